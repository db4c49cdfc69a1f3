/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/cli_vacuum.c: `smelt table vacuum`: reads its options, calls the table room, prints the
 * report. Called by cmd_table.c. */
#include "base/text.h"
#include "base/time.h"
#include "cli/cli_int.h"

#define HOUR_US ((int64_t)3600 * 1000000)

/* ---- a time ---------------------------------------------------------------------------------- */

/* "7d"; a number without a unit is not a time. */
static sm_status parse_retention(const char *text, int64_t *us, sm_error *e)
{
    if (sm_parse_duration(sm_str_of(text), us)) {
        SM_ASSERT(*us >= 0);
        return SM_OK;
    }
    const sm_status st = sm_fail(e, SM_USAGE, "--retention \"%s\" is not a time", text);
    sm_error_todo(e, "Write a number and w, d, h, m or s: 7d, 12h.");
    return st;
}

/* ---- the report ------------------------------------------------------------------------------ */

static void answer(smi_cli *cli, sm_str uri, const smi_vacuum_opts *o, bool is_dry,
                   const sm_vacuum_report *r, double seconds)
{
    sm_buf out = {0};
    sm_json_writer w = {.out = &out};

    sm_json_begin_object(&w);
    sm_json_set_text_or_null(&w, "table", uri);
    sm_json_set_bool(&w, "dry_run", is_dry);
    sm_json_set_bool(&w, "lite", o->lite);
    sm_json_set_i64(&w, "retention_hours", r->retention_us / HOUR_US);
    sm_json_set_i64(&w, "files", is_dry ? r->n_files : r->n_deleted);
    sm_json_set_i64(&w, "bytes", (int64_t)r->size_bytes);
    sm_json_set_i64(&w, "failed", r->n_failed);
    sm_json_set_i64(&w, "too_young", r->n_young);
    sm_json_set_i64(&w, "candidate_files", r->n_dropped);
    sm_json_set_bool(&w, "log_is_whole", !r->log_is_cut);
    if (is_dry) {
        sm_json_set_array(&w, "names");
        for (int64_t i = 0; i < r->n_files; i++) {
            sm_json_put_text(&w, r->files[i].key);
        }
        sm_json_end_array(&w);
    }
    sm_json_key(&w, SM_STR("seconds"));
    sm_json_put_fixed(&w, seconds, 3);
    sm_json_end_object(&w);
    smi_answer_print(cli, &w);
}

static void print_report(const smi_vacuum_opts *o, bool is_dry, const sm_vacuum_report *r,
                         double seconds)
{
    char size[SM_SIZE_TEXT_BYTES], count[SM_COUNTED_TEXT_BYTES];

    for (int64_t i = 0; is_dry && i < r->n_files; i++) {
        sm_format_size((int64_t)r->files[i].size_bytes, size);
        printf("%9s  %.*s\n", size, SM_STR_ARG(r->files[i].key));
    }
    SM_ASSERT(!is_dry || (r->n_deleted == 0 && r->n_failed == 0));
    sm_format_size((int64_t)r->size_bytes, size);
    sm_format_counted(is_dry ? r->n_files : r->n_deleted, "file", count);
    printf("%s%s, %s, in %.2f s\n", is_dry ? "would delete " : "deleted ", count, size, seconds);
    if (r->n_failed > 0) {
        sm_format_counted(r->n_failed, "file", count);
        printf("could not delete %s\n", count);
    }
    SM_ASSERT(r->n_dropped >= 0);
    if (r->n_dropped > 0) {
        sm_format_counted(r->n_dropped, "file", count);
        printf("%s the candidate that was kept of a failed run, with %s\n",
               is_dry ? "would drop" : "dropped", count);
    }
    if (r->n_young > 0) {
        sm_format_counted(r->n_young, "file", count);
        printf("kept %s younger than the retention, which no version needs\n", count);
    }
    if (o->lite && r->log_is_cut) {
        printf("the log was cleaned up: files that it does not name any more need a vacuum "
               "without --lite\n");
    }
}

sm_status smi_vacuum_run(smi_cli *cli, sm_str uri, const smi_vacuum_opts *o, bool is_dry,
                         sm_error *e)
{
    sm_vacuum v = {
        .uri = uri,
        .retention_us = -1,
        .ignores_own_retention = o->no_retention_check,
        .is_lite = o->lite,
        .is_dry = is_dry,
    };
    sm_vacuum_report r = {0};
    const int64_t start_ns = sm_monotonic_ns();

    if (o->retention) {
        SM_TRY(parse_retention(o->retention, &v.retention_us, e));
    }
    const sm_status st = sm_table_vacuum(cli->env.stores, &v, cli->env.budget, cli->arena, &r, e);
    const double seconds = (double)(sm_monotonic_ns() - start_ns) / 1e9;
    SM_ASSERT(r.n_deleted + r.n_failed <= r.n_files);
    if (st != SM_OK && r.n_deleted + r.n_failed == 0) {
        return st; /* it has not come as far as deleting */
    }
    if (cli->globals.json) {
        answer(cli, uri, o, is_dry, &r, seconds);
    } else {
        print_report(o, is_dry, &r, seconds);
    }
    return st;
}
