/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/cli_fsck.c: `smelt table fsck`: reads its options, calls the table room, prints what was
 * found. Called by cmd_table.c. */
#include <inttypes.h>

#include "base/text.h"
#include "base/time.h"
#include "cli/cli_int.h"

static const char *const kind_names[] = {
    [SM_FSCK_LOG] = "log",         [SM_FSCK_GONE] = "gone",
    [SM_FSCK_SIZE] = "size",       [SM_FSCK_UNREACHABLE] = "unreachable",
    [SM_FSCK_DAMAGED] = "damaged", [SM_FSCK_ROWS] = "rows",
    [SM_FSCK_VECTOR] = "vector",   [SM_FSCK_STATISTICS] = "statistics",
};

/* ---- options --------------------------------------------------------------------------------- */

static sm_status read_options(const smi_fsck_opts *o, bool is_dry, sm_fsck *out, sm_error *e)
{
    const char *lonely = o->rows      ? "--rows"
                         : o->damaged ? "--damaged"
                         : is_dry     ? "--dry-run"
                                      : NULL;

    *out = (sm_fsck){
        .reads_data = o->data,
        .is_repair = o->repair,
        .removes_damaged = o->damaged,
        .is_dry = is_dry,
        .rows_named = SM_ROWS_UNNAMED,
    };
    if (!o->repair && lonely) {
        return sm_fail(e, SM_USAGE, "%s is of a repair: give --repair too", lonely);
    }
    if (o->rows && sm_str_is(sm_str_of(o->rows), "unknown")) {
        out->rows_named = -1;
    } else if (o->rows &&
               (!sm_parse_i64(sm_str_of(o->rows), &out->rows_named) || out->rows_named < 0)) {
        return sm_fail(e, SM_USAGE, "--rows \"%s\" is neither a number of rows nor \"unknown\"",
                       o->rows);
    }
    return SM_OK;
}

/* ---- findings, as they come ------------------------------------------------------------------ */

/* Where they go. */
typedef struct telling {
    sm_str table; /* its URI */
    bool is_json;
    sm_buf out;
    sm_json_writer w; /* is_json: within "findings" from the first one on */
} telling;

/* Most of a text that is kept before it is printed. */
#define HELD_BYTES ((size_t)1 << 16)

static void begin_answer(telling *t)
{
    SM_ASSERT(t->is_json);
    if (t->w.depth == 0) {
        t->w.out = &t->out;
        sm_json_begin_object(&t->w);
        sm_json_set_text_or_null(&t->w, "table", t->table);
        sm_json_set_array(&t->w, "findings");
    }
}

static void put_finding(telling *t, const sm_fsck_finding *f)
{
    sm_json_writer *w = &t->w;

    begin_answer(t);
    sm_json_begin_object(w);
    SM_ASSERT(f->kind >= 0 && f->kind < SM_COUNT(kind_names));
    sm_json_set_text_or_null(w, "kind", sm_str_of(kind_names[f->kind]));
    sm_json_set_text_or_null(w, "file", f->file);
    sm_json_set_i64_or_null(w, "version", f->version);
    sm_json_set_text_or_null(w, "what", f->what);
    sm_json_set_text_or_null(w, "todo", f->todo);
    sm_json_set_i64_or_null(w, "rows", f->n_rows);
    sm_json_end_object(w);
    if (t->out.len > HELD_BYTES) {
        fwrite(t->out.data, 1, t->out.len, stdout);
        sm_buf_reset(&t->out);
    }
}

static void print_finding(const sm_fsck_finding *f)
{
    printf("%s%.*s%s", smi_bold(), SM_STR_ARG(f->file), smi_plain());
    if (f->version >= 0) {
        printf(" (version %" PRId64 ")", f->version);
    }
    printf(": %.*s\n  %.*s\n", SM_STR_ARG(f->what), SM_STR_ARG(f->todo));
}

/* sm_fsck.found */
static void tell(void *ctx, const sm_fsck_finding *f)
{
    telling *t = ctx;

    SM_ASSERT(f->file.len > 0 && f->what.len > 0 && f->todo.len > 0);
    if (t->is_json) {
        put_finding(t, f);
    } else {
        print_finding(f);
    }
}

/* ---- for machines ---------------------------------------------------------------------------- */

static void answer(smi_cli *cli, telling *t, const sm_fsck *opts, const sm_fsck_report *r)
{
    sm_json_writer *w = &t->w;

    begin_answer(t);
    sm_json_end_array(w);
    sm_json_set_i64_or_null(w, "version", r->version);
    sm_json_set_i64(w, "commits", r->log.n_commits);
    sm_json_set_i64(w, "checkpoints", r->log.n_checkpoints);
    sm_json_set_i64(w, "compared", r->log.n_compared);
    sm_json_set_i64(w, "files", r->n_files);
    sm_json_set_i64(w, "bytes", r->bytes);
    sm_json_set_bool(w, "data", opts->reads_data);
    sm_json_set_i64(w, "leftovers", r->n_leftovers);
    sm_json_set_i64(w, "leftover_bytes", r->leftover_bytes);
    sm_json_set_i64_or_null(w, "publication", r->publication > 0 ? r->publication : -1);
    sm_json_set_text_or_null(w, "candidate", r->candidate);
    if (opts->is_repair) {
        sm_json_set_bool(w, "dry_run", opts->is_dry);
        sm_json_set_i64(w, "removed_files", r->n_removed);
        sm_json_set_i64_or_null(w, "removed_rows", r->removed_rows);
        sm_json_set_i64_or_null(w, "repaired", r->made);
    }
    sm_json_set_i64(w, "left", r->n_left);
    sm_json_end_object(w);
    smi_answer_print(cli, w);
}

/* ---- for people ------------------------------------------------------------------------------ */

static void print_removed(const sm_fsck *opts, const sm_fsck_report *r)
{
    char files[SM_COUNTED_TEXT_BYTES], rows[SM_COUNTED_TEXT_BYTES] = "an unknown number of rows";

    SM_ASSERT(r->n_removed >= 0 && (r->made < 0 || !opts->is_dry));
    if (!opts->is_repair || (r->made < 0 && !opts->is_dry)) {
        return;
    }
    sm_format_counted(r->n_removed, "file", files);
    if (r->removed_rows >= 0) {
        sm_format_counted(r->removed_rows, "row", rows);
    }
    if (opts->is_dry) {
        printf("repair       would remove the entries of %s, with %s\n", files, rows);
    } else {
        printf("repair       version %" PRId64 ": removed the entries of %s, with %s\n", r->made,
               files, rows);
    }
}

static void print_report(sm_str uri, const sm_fsck *opts, const sm_fsck_report *r)
{
    char size[SM_SIZE_TEXT_BYTES], count[SM_COUNTED_TEXT_BYTES], more[SM_COUNTED_TEXT_BYTES];
    char since[SM_TIME_TEXT_BYTES];

    printf("table        %.*s\n", SM_STR_ARG(uri));
    if (r->version >= 0) {
        printf("version      %" PRId64 "\n", r->version);
    }
    sm_format_counted(r->log.n_commits, "commit", count);
    sm_format_counted(r->log.n_checkpoints, "checkpoint", more);
    printf("log          %s, %s, %" PRId64 " compared with the commits\n", count, more,
           r->log.n_compared);
    sm_format_size(r->bytes, size);
    printf("files        %" PRId64 ", %s%s\n", r->n_files, size,
           opts->reads_data ? ", all pages read" : "");
    if (r->n_leftovers > 0) {
        sm_format_size(r->leftover_bytes, size);
        printf("temporary    %" PRId64 ", %s: smelt table vacuum deletes old ones\n",
               r->n_leftovers, size);
    }
    if (r->publication > 0) {
        printf("publication  %" PRId64 " of the lake has this table and is under way: the next run "
               "completes it\n",
               r->publication);
    }
    SM_ASSERT(r->candidate.len == 0 || r->candidate_us > 0);
    if (r->candidate.len > 0) {
        sm_format_timestamp(r->candidate_us, since);
        printf("candidate    kept since %s, of a run that failed by the contract\n", since);
    }
    print_removed(opts, r);
    sm_format_counted(r->n_findings, "finding", count);
    printf("found        %s\n", r->n_findings > 0 ? count : "nothing wrong");
}

/* ---- the verb -------------------------------------------------------------------------------- */

sm_status smi_fsck_run(smi_cli *cli, sm_store *store, const smi_fsck_opts *o, bool is_dry,
                       sm_error *e)
{
    sm_fsck opts;
    sm_fsck_report r = {.version = -1};
    const sm_str uri = sm_store_uri(store);
    telling t = {.table = uri, .is_json = cli->globals.json};
    char count[SM_COUNTED_TEXT_BYTES];

    SM_TRY(read_options(o, is_dry, &opts, e));
    opts.found = tell;
    opts.ctx = &t;
    const sm_status st = sm_table_fsck(store, &opts, &cli->env, cli->arena, &r, e);
    if (st != SM_OK && r.n_findings == 0) {
        return st;
    }
    SM_ASSERT(r.n_left <= r.n_findings);
    if (cli->globals.json) {
        answer(cli, &t, &opts, &r);
    } else {
        print_report(uri, &opts, &r);
    }
    SM_TRY(st);
    if (r.n_left == 0) {
        return SM_OK;
    }
    sm_format_counted(r.n_left, "finding", count);
    return sm_fail(e, SM_CORRUPT, "%s in table %.*s", count, SM_STR_ARG(uri));
}
