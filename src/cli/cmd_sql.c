/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/cmd_sql.c: `smelt sql`: runs one statement. The rows of a query go to stdout or to a file;
 * with --write, statements change tables and COPY writes files. */
#include <inttypes.h>
#include <stdio.h>

#include "base/text.h"
#include "base/time.h"
#include "cli/cli_query_int.h"

typedef struct options {
    smi_query_opts query;
    const char *output, *format;
    bool write;
} options;

static const smi_opt option_table[] = {
    SMI_QUERY_OPTIONS(options, query),
    {"--output -o", SMI_OPT_TEXT, "FILE", "write the result to FILE; its suffix gives the format",
     offsetof(options, output)},
    {"--format", SMI_OPT_TEXT, "NAME",
     "table, csv, json, ndjson, md, parquet (default: table on a terminal, else csv)",
     offsetof(options, format)},
    {"--write", SMI_OPT_FLAG, NULL, "allow statements that change tables, and COPY",
     offsetof(options, write)},
    {0},
};

/* Prints how many lines were left out, so that nothing is lost unseen. How far a scan got that
 * LIMIT ended early varies from run to run, and so does its count. */
static void tell_refused(const sm_exec_report *r)
{
    char refused[SM_COUNTED_TEXT_BYTES], lines[SM_SIZE_TEXT_BYTES];

    SM_ASSERT(r->counts.refused <= r->counts.lines);
    if (r->counts.refused == 0) {
        return;
    }
    if (r->is_partial) {
        sm_format_counted(r->counts.refused, "line", refused);
        fprintf(stderr,
                "smelt: at least %s could not be read and %s left out; the query ended before it "
                "had read all lines\n",
                refused, r->counts.refused == 1 ? "was" : "were");
        return;
    }
    sm_format_count(r->counts.refused, refused);
    sm_format_count(r->counts.lines, lines);
    fprintf(stderr, "smelt: %s of %s lines could not be read and were left out\n", refused, lines);
}

#define SHOWN_KEYS 5

/* Prints the keys that no column takes, of lines that were kept. */
static void tell_unknown(const sm_exec_report *r)
{
    char lines[SM_SIZE_TEXT_BYTES];

    if (r->counts.unknown_lines == 0) {
        return;
    }
    sm_format_count(r->counts.unknown_lines, lines);
    fprintf(stderr,
            "smelt: %s%s row%s keys that no column takes:", r->is_partial ? "at least " : "", lines,
            r->counts.unknown_lines == 1 ? " has" : "s have");
    for (int64_t i = 0; i < r->n_unknown && i < SHOWN_KEYS; i++) {
        sm_format_count(r->unknown[i].lines, lines);
        fprintf(stderr, "%s %.*s (%s)", i ? "," : "", SM_STR_ARG(r->unknown[i].path), lines);
    }
    fprintf(stderr, "%s\n", r->n_unknown > SHOWN_KEYS ? ", ..." : "");
}

/* ---- a query --------------------------------------------------------------------------------- */

/* The answer where the rows went to a file: statement is NULL for a query with -o. */
static void print_json(smi_cli *cli, const char *statement, const char *file, int64_t n_rows)
{
    sm_buf out = {0};
    sm_json_writer w = {.out = &out};

    sm_json_begin_object(&w);
    if (statement) {
        sm_json_set_text_or_null(&w, "statement", sm_str_of(statement));
    }
    sm_json_set_text_or_null(&w, "file", sm_str_of(file));
    sm_json_set_i64_or_null(&w, "rows", n_rows);
    sm_json_end_object(&w);
    smi_answer_print(cli, &w);
}

/* Runs the plan of a query; its rows go to `file`, or to stdout where that is NULL. */
static sm_status run_rows(smi_cli *cli, const sm_plan *plan, const char *format, const char *file,
                          int64_t *n_rows, sm_error *e)
{
    sm_output *output = NULL;
    sm_exec_report report = {0};
    sm_status st = SM_OK;

    SM_TRY_GOTO(st, done, smi_output_open(cli, plan->root->schema, format, file, &output, e));
    const sm_sink sink = sm_output_sink(output);
    smi_progress_start(cli, "query", &cli->progress);
    st = sm_exec_run(plan, &cli->env, &sink, NULL, &report, e);
    smi_progress_stop(cli);
    if (st == SM_OK) {
        tell_refused(&report);
        tell_unknown(&report);
        *n_rows = sm_output_rows(output);
    }
done:
    sm_exec_report_release(&report);
    sm_output_close(output);
    return st;
}

static sm_status run_select(smi_cli *cli, const options *o, const sm_plan *plan, sm_error *e)
{
    const char *format = o->format ? o->format : cli->globals.json && !o->output ? "json" : NULL;
    int64_t n_rows = 0;

    SM_TRY(run_rows(cli, plan, format, o->output, &n_rows, e));
    if (cli->globals.json && o->output) {
        print_json(cli, NULL, o->output, n_rows);
    }
    return SM_OK;
}

/* ---- statements that write ------------------------------------------------------------------- */

/* -o and --format are of the rows that a query gives. */
static sm_status check_no_output(const options *o, const char *statement, sm_error *e)
{
    if (!o->output && !o->format) {
        return SM_OK;
    }
    return sm_fail(e, SM_USAGE, "%s gives no rows, so %s has no meaning", statement,
                   o->output ? "--output" : "--format");
}

static sm_status run_copy(smi_cli *cli, const sm_statement *s, sm_error *e)
{
    const char *file = sm_arena_str(cli->arena, s->file).data;
    const char *format = s->format.len > 0 ? sm_arena_str(cli->arena, s->format).data : NULL;
    int64_t n_rows = 0;
    char rows[SM_COUNTED_TEXT_BYTES];

    SM_ASSERT(s->kind == SM_STATEMENT_COPY && file[0]);
    SM_TRY(run_rows(cli, s->plan, format, file, &n_rows, e));
    if (cli->globals.json) {
        print_json(cli, "COPY", file, n_rows);
        return SM_OK;
    }
    sm_format_counted(n_rows, "row", rows);
    printf("%s copied to %s\n", rows, file);
    return SM_OK;
}

static void print_change_json(smi_cli *cli, const char *statement, const sm_changed *c, double secs)
{
    sm_buf out = {0};
    sm_json_writer w = {.out = &out};

    sm_json_begin_object(&w);
    sm_json_set_text_or_null(&w, "statement", sm_str_of(statement));
    sm_json_set_text_or_null(&w, "table", c->table);
    sm_json_set_i64_or_null(&w, "version", c->version);
    sm_json_set_object(&w, "rows");
    sm_json_set_i64_or_null(&w, "inserted", c->n_inserted);
    sm_json_set_i64_or_null(&w, "updated", c->n_updated);
    sm_json_set_i64_or_null(&w, "deleted", c->n_deleted);
    sm_json_end_object(&w);
    sm_json_set_object(&w, "files");
    sm_json_set_i64_or_null(&w, "added", c->n_added);
    sm_json_set_i64_or_null(&w, "removed", c->n_removed);
    sm_json_set_i64_or_null(&w, "marked", c->n_marked);
    sm_json_end_object(&w);
    if (c->n_features > 0) {
        sm_json_set_array(&w, "features");
        for (int32_t i = 0; i < c->n_features; i++) {
            sm_json_put_text(&w, c->features[i]);
        }
        sm_json_end_array(&w);
    }
    sm_json_key(&w, SM_STR("seconds"));
    sm_json_put_fixed(&w, secs, 3);
    sm_json_end_object(&w);
    smi_answer_print(cli, &w);
}

/* One line: what became of how many rows, and the table's version. */
static void print_change(sm_statement_kind kind, const sm_changed *c)
{
    const struct {
        const char *verb;
        int64_t n;
        bool is_shown;
    } counts[] = {
        {"inserted", c->n_inserted, c->n_inserted > 0},
        {"updated", c->n_updated, c->n_updated > 0},
        {"deleted", c->n_deleted, c->n_deleted > 0},
    };
    char rows[SM_COUNTED_TEXT_BYTES];
    const char *before = "";

    for (int i = 0; i < SM_COUNT(counts); i++) {
        if (counts[i].is_shown) {
            sm_format_counted(counts[i].n, "row", rows);
            printf("%s%s %s", before, rows, counts[i].verb);
            before = ", ";
        }
    }
    SM_ASSERT(c->table.len > 0);
    if (c->version < 0) {
        printf("nothing changed: %.*s stays as it is\n", SM_STR_ARG(c->table));
    } else {
        const char *what = kind == SM_STATEMENT_ALTER                        ? "altered"
                           : kind == SM_STATEMENT_CREATE_TABLE && !before[0] ? "no rows"
                                                                             : "";
        printf("%s: version %" PRId64 " of %.*s\n", what, c->version, SM_STR_ARG(c->table));
    }
    for (int32_t i = 0; i < c->n_features; i++) {
        printf("turned on the table feature %.*s\n", SM_STR_ARG(c->features[i]));
    }
}

/* It may be this very statement, which was killed when it was run before. */
static void tell_completed(sm_str told)
{
    if (told.len > 0) {
        fprintf(stderr, "smelt: before this statement, %.*s\n", SM_STR_ARG(told));
    }
}

static sm_status run_change(smi_cli *cli, sm_lake_query *q, sm_error *e)
{
    const sm_statement *s = sm_lake_query_statement(q);
    const int64_t start = sm_monotonic_ns();
    sm_exec_report report = {0};
    sm_changed changed;

    SM_ASSERT(s->kind != SM_STATEMENT_SELECT && s->kind != SM_STATEMENT_COPY);
    smi_progress_start(cli, sm_statement_name(s->kind), &cli->progress);
    const sm_status st = sm_lake_query_change(q, &cli->env, &report, &changed, e);
    smi_progress_stop(cli);
    if (st == SM_OK) {
        tell_refused(&report);
        tell_unknown(&report);
        if (cli->globals.json) {
            print_change_json(cli, sm_statement_name(s->kind), &changed,
                              (double)(sm_monotonic_ns() - start) / 1e9);
        } else {
            print_change(s->kind, &changed);
        }
    }
    sm_exec_report_release(&report);
    return st;
}

/* ---- the command ----------------------------------------------------------------------------- */

static sm_status run_statement(smi_cli *cli, const options *o, sm_lake_query *q, sm_error *e)
{
    const sm_statement *s = sm_lake_query_statement(q);

    if (s->kind == SM_STATEMENT_SELECT) {
        return run_select(cli, o, s->plan, e);
    }
    SM_TRY(check_no_output(o, sm_statement_name(s->kind), e));
    return s->kind == SM_STATEMENT_COPY ? run_copy(cli, s, e) : run_change(cli, q, e);
}

static sm_status run_sql(smi_cli *cli, const void *opts, char **args, int n_args, sm_error *e)
{
    const options *o = opts;
    const sm_lake_query_mode mode = o->write ? SM_QUERY_CHANGES : SM_QUERY_READS;
    sm_lake_query *q = NULL;

    SM_TRY(smi_lake_query_open(cli, &o->query, mode, n_args ? args[0] : NULL, &q, e));
    tell_completed(sm_lake_query_told(q));
    const sm_status st = run_statement(cli, o, q, e);
    sm_lake_query_close(q);
    return st;
}

const smi_command smi_command_sql = {
    .name = "sql",
    .usage = "['SELECT ...' | -f FILE | < FILE] [-o FILE] [--format F] [--write] [--lake DIR] "
             "[--var K=V]...",
    .summary = "Runs a query over files and tables; with --write, changes tables.",
    .details =
        "FROM can name a table of the lake (layer.table) or files ('logs/*.json',\n"
        "'data.parquet'), or call read_json, read_parquet or delta_scan.\n"
        "\n"
        "  smelt sql \"SELECT count(*) FROM 'logs/*.json'\"\n"
        "  smelt sql 'FROM gold.segments LIMIT 5' --lake ./lake\n"
        "\n"
        "With --write also INSERT INTO, CREATE TABLE ... AS, DELETE FROM, UPDATE, MERGE INTO,\n"
        "ALTER TABLE and COPY ... TO.\n"
        "\n"
        "  smelt sql --write \"DELETE FROM gold.segments WHERE day < DATE '2022-04-01'\"\n",
    .options = option_table,
    .opts_bytes = sizeof(options),
    .min_args = 0,
    .max_args = 1,
    .run = run_sql,
};
