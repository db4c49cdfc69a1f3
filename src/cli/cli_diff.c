/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/cli_diff.c: `smelt table diff`: reads its options, runs the plan that the table room makes,
 * prints its rows, and counts all of them, also those that are not printed. Called by cmd_table.c.
 *
 * The rows go to stdout as those of `smelt sql` do; what is told of the schemas before them, and of
 * the counts behind them, goes to stderr. With --json all is one object. */
#include <inttypes.h>

#include "base/text.h"
#include "cli/cli_int.h"

#define DEFAULT_ROWS 1000 /* printed of a table or an answer; as many as a table shows of a query */

static const char *const changes[] = {"came", "went", "changed"};

/* Between the plan and the output. */
typedef struct counting {
    sm_sink to;
    sm_budget *budget;
    int64_t limit; /* −1: none */
    int64_t n_given;
    int64_t n[SM_COUNT(changes)];
    bool has_rows; /* column 1 says how many rows each row stands for */
    sm_batch *cut; /* the part of a batch that is given while it waits; NULL: none */
} counting;

/* ---- counting -------------------------------------------------------------------------------- */

static void count_rows(counting *c, const sm_batch *rows)
{
    SM_ASSERT(rows->n_columns >= 2 && sm_type_is_bytes(rows->columns[0].type->id));
    for (int64_t i = 0; i < rows->n_rows; i++) {
        const sm_str change = sm_column_value(&rows->columns[0], i).as.s;
        const int64_t n = c->has_rows ? sm_column_value(&rows->columns[1], i).as.i : 1;
        for (int k = 0; k < SM_COUNT(changes); k++) {
            c->n[k] += sm_str_is(change, changes[k]) ? n : 0;
        }
    }
}

/* sm_sink.push: counts each batch once, when it is taken. */
static sm_status push_counted(void *ctx, sm_batch *rows, sm_waker waker, sm_error *e)
{
    counting *c = ctx;
    const int64_t room = c->limit < 0 ? rows->n_rows : c->limit - c->n_given;

    SM_ASSERT(room >= 0);
    if (room > 0 && room < rows->n_rows && !c->cut) {
        SM_TRY(sm_batch_slice(rows, 0, room, c->budget, &c->cut, e));
    }
    sm_batch *given = c->cut ? c->cut : rows;
    if (room > 0) {
        SM_TRY(c->to.push(c->to.ctx, given, waker, e));
        c->n_given += given->n_rows;
        SM_ASSERT(c->limit < 0 || c->n_given <= c->limit);
    }
    sm_batch_release(c->cut);
    c->cut = NULL;
    count_rows(c, rows);
    return SM_OK;
}

static sm_status finish_counted(void *ctx, sm_waker waker, sm_error *e)
{
    counting *c = ctx;

    return c->to.finish ? c->to.finish(c->to.ctx, waker, e) : SM_OK;
}

/* ---- options --------------------------------------------------------------------------------- */

static sm_status read_version(const char *option, const char *given, sm_table_at *out, sm_error *e)
{
    *out = (sm_table_at){.kind = SM_AT_NEWEST};
    if (given) {
        out->kind = SM_AT_VERSION;
        if (!sm_parse_i64(sm_str_of(given), &out->version) || out->version < 0) {
            return sm_fail(e, SM_USAGE, "%s \"%s\" is not a version, which is a number from 0 on",
                           option, given);
        }
    }
    return SM_OK;
}

static sm_status read_options(smi_cli *cli, const smi_diff_opts *o, sm_diff_opts *out, sm_error *e)
{
    sm_str *keys = NULL;

    *out = (sm_diff_opts){0};
    if (!o->from) {
        const sm_status st = sm_fail(e, SM_USAGE, "smelt table diff needs a version to start from");
        sm_error_todo(e, "Name it with --from; smelt table history lists them. --to is the latest "
                         "where it is not given.");
        return st;
    }
    if (cli->globals.json && o->format) {
        return sm_fail(e, SM_USAGE, "--json and --format exclude each other");
    }
    SM_TRY(read_version("--from", o->from, &out->from, e));
    SM_TRY(read_version("--to", o->to, &out->to, e));
    if (o->by) {
        SM_TRY(smi_options_names(cli, "--by", o->by, &keys, &out->n_keys, e));
        out->keys = keys;
    }
    return SM_OK;
}

/* ---- the rows -------------------------------------------------------------------------------- */

static sm_status run_plan(smi_cli *cli, const sm_diff *d, sm_output *output, counting *c,
                          sm_error *e)
{
    const sm_sink sink = {.ctx = c, .push = push_counted, .finish = finish_counted};
    sm_exec_report report = {0};

    SM_ASSERT(!c->cut && c->n_given == 0); /* it runs once */
    c->to = sm_output_sink(output);
    smi_progress_start(cli, "diff", &cli->progress);
    const sm_status st = sm_exec_run(sm_diff_plan(d), &cli->env, &sink, NULL, &report, e);
    smi_progress_stop(cli);
    sm_exec_report_release(&report);
    sm_batch_release(c->cut);
    c->cut = NULL;
    return st;
}

static int64_t all_of(const counting *c)
{
    int64_t n = 0;

    for (int i = 0; i < SM_COUNT(changes); i++) {
        n += c->n[i];
    }
    return n;
}

/* ---- for machines ---------------------------------------------------------------------------- */

static sm_status write_text(void *ctx, sm_block *block, size_t len, sm_waker waker, sm_error *e)
{
    return sm_buf_add(ctx, block->data, len, e);
}

static void answer(smi_cli *cli, const sm_diff *d, const counting *c, sm_str rows)
{
    const sm_diff_about *about = sm_diff_about_of(d);
    sm_buf out = {0};
    sm_json_writer w = {.out = &out};

    SM_ASSERT(rows.len >= 2 && rows.data[0] == '['); /* one value, which is put as it stands */
    SM_ASSERT(about->from >= 0 && about->to >= 0);
    sm_json_begin_object(&w);
    sm_json_set_i64(&w, "from", about->from);
    sm_json_set_i64(&w, "to", about->to);
    sm_json_set_array(&w, "schema");
    for (int32_t i = 0; i < about->n_schema; i++) {
        sm_json_put_text(&w, about->schema[i]);
    }
    sm_json_end_array(&w);
    sm_json_set_i64(&w, "files_from", about->n_files_from);
    sm_json_set_i64(&w, "files_to", about->n_files_to);
    sm_json_set_i64(&w, "files_common", about->n_common);
    for (int i = 0; i < SM_COUNT(changes); i++) {
        sm_json_set_i64(&w, changes[i], c->n[i]);
    }
    sm_json_set_i64(&w, "printed", c->n_given);
    sm_json_set_raw(&w, "rows", rows);
    sm_json_end_object(&w);
    smi_answer_print(cli, &w);
}

/* The array that the format json writes, without the ends of its lines. */
static sm_str one_line(sm_buf *text)
{
    size_t n = 0;

    for (size_t i = 0; i < text->len; i++) {
        if (text->data[i] != '\n') { /* within a text it is escaped */
            text->data[n++] = text->data[i];
        }
    }
    return (sm_str){(const char *)text->data, n};
}

static sm_status print_json(smi_cli *cli, const sm_diff *d, counting *c, sm_error *e)
{
    sm_buf text = {0};
    sm_output *output = NULL;
    const sm_output_opts opts = {.format = sm_format_named(SM_STR("json")),
                                 .bytes = {.write = write_text, .ctx = &text}};

    sm_status st = sm_output_open(&opts, sm_diff_plan(d)->root->schema, &cli->env, &output, e);
    st = st == SM_OK ? run_plan(cli, d, output, c, e) : st;
    sm_output_close(output);
    if (st == SM_OK) {
        answer(cli, d, c, one_line(&text));
    }
    sm_buf_release(&text);
    return st;
}

/* ---- for people ------------------------------------------------------------------------------ */

static void tell_schema(const smi_cli *cli, const sm_diff_about *about)
{
    for (int32_t i = 0; i < about->n_schema && !cli->globals.quiet; i++) {
        fprintf(stderr, "schema  %.*s\n", SM_STR_ARG(about->schema[i]));
    }
}

static void tell_counts(const smi_cli *cli, const sm_diff_about *about, const counting *c)
{
    char text[SM_SIZE_TEXT_BYTES];

    if (cli->globals.quiet) {
        return;
    }
    SM_ASSERT(c->n_given <= all_of(c) && (c->has_rows || c->n[2] >= 0));
    fprintf(stderr, "version %" PRId64 " to %" PRId64 ":", about->from, about->to);
    for (int i = 0; i < SM_COUNT(changes); i++) {
        if (i < 2 || !c->has_rows) { /* whole rows never change */
            sm_format_count(c->n[i], text);
            fprintf(stderr, "%s %s %s", i > 0 ? "," : "", text, changes[i]);
        }
    }
    if (!c->has_rows && c->n_given < all_of(c)) {
        fprintf(stderr, "; printed %" PRId64 " of them (--limit)", c->n_given);
    } else if (c->has_rows && c->limit >= 0 && c->n_given == c->limit) {
        fprintf(stderr, "; printed the first %" PRId64 " lines (--limit)", c->n_given);
    }
    fprintf(stderr, "\n");
}

static sm_status print_rows(smi_cli *cli, const sm_diff *d, const char *format, counting *c,
                            sm_error *e)
{
    const sm_diff_about *about = sm_diff_about_of(d);
    sm_output *output = NULL;

    tell_schema(cli, about);
    SM_TRY(smi_output_open(cli, sm_diff_plan(d)->root->schema, format, NULL, &output, e));
    const sm_status st = run_plan(cli, d, output, c, e);
    sm_output_close(output);
    if (st == SM_OK) {
        fflush(stdout);
        tell_counts(cli, about, c);
    }
    return st;
}

/* ---- the verb -------------------------------------------------------------------------------- */

sm_status smi_diff_run(smi_cli *cli, sm_store *store, const smi_diff_opts *o, int64_t limit,
                       sm_error *e)
{
    sm_diff_opts opts;
    sm_diff *d = NULL;
    counting c = {.budget = cli->env.budget, .limit = limit};

    SM_TRY(read_options(cli, o, &opts, e));
    SM_TRY(sm_diff_open(store, &opts, &cli->env, &d, e));
    SM_ASSERT(sm_diff_about_of(d)->n_files_to >= 0 && opts.n_keys >= 0);
    c.has_rows = opts.n_keys == 0;
    if (cli->globals.json) {
        c.limit = limit < 0 ? DEFAULT_ROWS : limit;
    }
    const sm_status st =
        cli->globals.json ? print_json(cli, d, &c, e) : print_rows(cli, d, o->format, &c, e);
    sm_diff_close(d);
    return st;
}
