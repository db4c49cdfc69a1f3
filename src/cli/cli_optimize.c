/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/cli_optimize.c: `smelt table optimize`: reads its options, calls the table room, prints the
 * report. Called by cmd_table.c. */
#include <inttypes.h>
#include <stdio.h>

#include "base/text.h"
#include "base/time.h"
#include "cli/cli_int.h"

static sm_status parse_target(const char *text, uint64_t *out, sm_error *e)
{
    size_t bytes = 0;

    if (sm_parse_size(sm_str_of(text), &bytes) && bytes > 0) {
        *out = bytes;
        return SM_OK;
    }
    const sm_status st = sm_fail(e, SM_USAGE, "--target-size \"%s\" is not a size", text);
    sm_error_todo(e, "Write a number of bytes, or one like 256MB or 64MiB.");
    return st;
}

/* ---- the report ------------------------------------------------------------------------------ */

static void answer(smi_cli *cli, const sm_optimize *o, const sm_optimize_report *r, double seconds)
{
    sm_buf out = {0};
    sm_json_writer w = {.out = &out};

    sm_json_begin_object(&w);
    sm_json_set_text_or_null(&w, "table", o->uri);
    sm_json_set_bool(&w, "dry_run", o->is_dry);
    sm_json_set_i64(&w, "target_bytes", (int64_t)r->target_bytes);
    sm_json_set_i64_or_null(&w, "from", r->from);
    sm_json_set_i64_or_null(&w, "version", r->version);
    sm_json_set_i64(&w, "commits", r->n_commits);
    sm_json_set_i64(&w, "bins", r->n_bins);
    sm_json_set_i64(&w, "removed_files", r->n_removed);
    sm_json_set_i64(&w, "removed_bytes", (int64_t)r->removed_bytes);
    sm_json_set_i64(&w, "deletion_vectors", r->n_vectors);
    sm_json_set_i64(&w, "copied_files", r->n_copied);
    sm_json_set_i64(&w, "added_files", r->n_added);
    sm_json_set_i64(&w, "added_bytes", (int64_t)r->added_bytes);
    sm_json_set_i64(&w, "rows", r->n_rows);
    sm_json_set_i64(&w, "conflicts", r->n_conflicts);
    sm_json_key(&w, SM_STR("seconds"));
    sm_json_put_fixed(&w, seconds, 3);
    sm_json_set_i64(&w, "peak_bytes", (int64_t)sm_peak_bytes());
    sm_json_end_object(&w);
    smi_answer_print(cli, &w);
}

static void print_report(const sm_optimize *o, const sm_optimize_report *r, double seconds)
{
    char removed[SM_SIZE_TEXT_BYTES], added[SM_SIZE_TEXT_BYTES];
    char from[SM_COUNTED_TEXT_BYTES], to[SM_COUNTED_TEXT_BYTES], commits[SM_COUNTED_TEXT_BYTES];

    SM_ASSERT(!o->is_dry || (r->n_commits == 0 && r->n_added == 0));
    SM_ASSERT((r->version >= 0) == (r->n_commits > 0));
    sm_format_size((int64_t)r->removed_bytes, removed);
    sm_format_size((int64_t)r->added_bytes, added);
    sm_format_counted(r->n_removed, "file", from);
    sm_format_counted(o->is_dry ? r->n_bins : r->n_added, "file", to);
    sm_format_counted(r->n_commits, "commit", commits);
    if (r->n_bins == 0) {
        printf("nothing to join, in %.2f s\n", seconds);
    } else if (o->is_dry) {
        printf("would join %s, %s, into %s, in %.2f s\n", from, removed, to, seconds);
    } else {
        printf("joined %s, %s, into %s, %s, by %s, in %.2f s\n", from, removed, to, added, commits,
               seconds);
    }
    if (r->n_vectors > 0) {
        sm_format_counted(r->n_vectors, "deletion vector", from);
        printf("%s %s\n", o->is_dry ? "would apply" : "applied", from);
    }
    if (r->n_conflicts > 0) {
        sm_format_counted(r->n_conflicts, "time", from);
        printf("began again %s, because another writer removed files that were being joined\n",
               from);
    }
}

sm_status smi_optimize_run(smi_cli *cli, sm_str uri, const char *target, bool is_dry, sm_error *e)
{
    sm_optimize o = {.uri = uri, .is_dry = is_dry};
    sm_optimize_report r = {0};
    const int64_t start_ns = sm_monotonic_ns();

    if (target) {
        SM_TRY(parse_target(target, &o.target_bytes, e));
    }
    smi_progress_start(cli, "optimize", &cli->progress);
    const sm_status st = sm_table_optimize(&o, &cli->env, &r, e);
    smi_progress_stop(cli);
    const double seconds = (double)(sm_monotonic_ns() - start_ns) / 1e9;
    if (st != SM_OK && r.n_commits == 0) {
        return st; /* nothing was changed */
    }
    if (cli->globals.json) {
        answer(cli, &o, &r, seconds);
    } else {
        print_report(&o, &r, seconds);
    }
    return st;
}
