/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/cli_cluster.c: `smelt table cluster`: reads its options, calls the table room, prints the
 * report. Called by cmd_table.c. */
#include <inttypes.h>

#include "base/text.h"
#include "base/time.h"
#include "cli/cli_int.h"

/* ---- the options ----------------------------------------------------------------------------- */

static sm_status read_curve(const char *text, sm_curve *out, sm_error *e)
{
    *out = strcmp(text, "hilbert") == 0 ? SM_CURVE_HILBERT : SM_CURVE_ZORDER;
    return *out == SM_CURVE_HILBERT || strcmp(text, "zorder") == 0
               ? SM_OK
               : sm_fail(e, SM_USAGE, "--curve \"%s\" is neither zorder nor hilbert", text);
}

/* ---- the report ------------------------------------------------------------------------------ */

static const char *curve_name(sm_curve curve)
{
    return curve == SM_CURVE_HILBERT ? "hilbert" : "zorder";
}

static void put_files(sm_json_writer *w, const sm_cluster_report *r)
{
    sm_json_set_array(w, "moves");
    for (int64_t i = 0; i < r->n_removed; i++) {
        SM_ASSERT(r->files[i].why != NULL);
        sm_json_begin_object(w);
        sm_json_set_text_or_null(w, "path", r->files[i].path);
        sm_json_set_i64(w, "bytes", (int64_t)r->files[i].size_bytes);
        sm_json_set_i64_or_null(w, "rows", r->files[i].n_rows);
        sm_json_set_text(w, "why", sm_str_of(r->files[i].why));
        sm_json_end_object(w);
    }
    sm_json_end_array(w);
}

static void answer(smi_cli *cli, const sm_cluster *c, const sm_cluster_report *r, double seconds)
{
    sm_buf out = {0};
    sm_json_writer w = {.out = &out};

    sm_json_begin_object(&w);
    sm_json_set_text_or_null(&w, "table", c->uri);
    sm_json_set_bool(&w, "dry_run", c->is_dry);
    sm_json_set_array(&w, "by");
    for (int32_t i = 0; i < r->n_by; i++) {
        sm_json_put_text(&w, r->by[i]);
    }
    sm_json_end_array(&w);
    sm_json_set_text(&w, "curve", sm_str_of(curve_name(r->curve)));
    sm_json_set_i64_or_null(&w, "version", r->version);
    sm_json_set_i64(&w, "commits", r->n_commits);
    sm_json_set_i64(&w, "removed_files", r->n_removed);
    sm_json_set_i64(&w, "removed_bytes", (int64_t)r->removed_bytes);
    sm_json_set_i64(&w, "added_files", r->n_added);
    sm_json_set_i64(&w, "added_bytes", (int64_t)r->added_bytes);
    sm_json_set_i64(&w, "rows", r->n_rows);
    sm_json_set_i64(&w, "kept_files", r->n_kept);
    sm_json_set_i64(&w, "kept_bytes", (int64_t)r->kept_bytes);
    sm_json_set_i64(&w, "sets", r->n_sets);
    sm_json_set_i64(&w, "conflicts", r->n_conflicts);
    if (c->is_dry) {
        put_files(&w, r);
    }
    sm_json_key(&w, SM_STR("seconds"));
    sm_json_put_fixed(&w, seconds, 3);
    sm_json_end_object(&w);
    smi_answer_print(cli, &w);
}

static void print_kept(const sm_cluster_report *r)
{
    char size[SM_SIZE_TEXT_BYTES], count[SM_COUNTED_TEXT_BYTES];

    if (r->n_kept > 0) {
        sm_format_size((int64_t)r->kept_bytes, size);
        sm_format_counted(r->n_kept, "file", count);
        printf("%s, %s, clustered already\n", count, size);
    }
}

static void print_moves(const sm_cluster_report *r)
{
    char size[SM_SIZE_TEXT_BYTES];

    for (int64_t i = 0; i < r->n_removed; i++) {
        sm_format_size((int64_t)r->files[i].size_bytes, size);
        printf("%9s  %.*s  %s\n", size, SM_STR_ARG(r->files[i].path), r->files[i].why);
    }
}

static void print_report(const sm_cluster *c, const sm_cluster_report *r, double seconds)
{
    char size[SM_SIZE_TEXT_BYTES], count[SM_COUNTED_TEXT_BYTES];

    SM_ASSERT(!c->is_dry || (r->n_added == 0 && r->n_rows == 0));
    if (r->n_removed == 0) {
        printf("nothing to cluster, in %.2f s\n", seconds);
        print_kept(r);
        return;
    }
    if (c->is_dry) {
        print_moves(r);
    }
    sm_format_size((int64_t)r->removed_bytes, size);
    sm_format_counted(r->n_removed, "file", count);
    printf("%s %s, %s", c->is_dry ? "would sort" : "sorted", count, size);
    if (!c->is_dry) {
        sm_format_size((int64_t)r->added_bytes, size);
        sm_format_counted(r->n_added, "file", count);
        printf(", into %s, %s", count, size);
        if (r->n_commits > 1) {
            sm_format_counted(r->n_commits, "commit", count);
            printf(", by %s", count);
        }
        printf(", version %" PRId64, r->version);
    }
    printf(", in %.2f s\n", seconds);
    print_kept(r);
}

sm_status smi_cluster_run(smi_cli *cli, sm_str uri, const smi_cluster_opts *o, bool is_dry,
                          sm_error *e)
{
    sm_cluster c = {.uri = uri, .is_dry = is_dry};
    sm_cluster_report r = {0};
    sm_curve curve = SM_CURVE_ZORDER;
    sm_str *by = NULL;
    const int64_t start_ns = sm_monotonic_ns();

    if (o->by) {
        SM_TRY(smi_options_names(cli, "--by", o->by, &by, &c.n_by, e));
        c.by = by;
    }
    if (o->curve) {
        SM_TRY(read_curve(o->curve, &curve, e));
        c.curve = &curve;
    }
    smi_progress_start(cli, "clustering", &cli->progress);
    const sm_status st = sm_table_cluster(&c, &cli->env, cli->arena, &r, e);
    smi_progress_stop(cli);
    if (st != SM_OK && r.n_commits == 0) {
        return st; /* nothing was changed */
    }
    SM_ASSERT((r.version < 0) == (is_dry || r.n_removed == 0));
    const double seconds = (double)(sm_monotonic_ns() - start_ns) / 1e9;
    if (cli->globals.json) {
        answer(cli, &c, &r, seconds);
    } else {
        print_report(&c, &r, seconds);
    }
    return st;
}
