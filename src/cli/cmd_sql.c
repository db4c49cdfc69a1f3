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
        smi_tell_lines(&report);
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

/* ---- the command ----------------------------------------------------------------------------- */

static sm_status run_statement(smi_cli *cli, const options *o, sm_lake_query *q, sm_error *e)
{
    const sm_statement *s = sm_lake_query_statement(q);

    if (s->kind == SM_STATEMENT_SELECT) {
        return run_select(cli, o, s->plan, e);
    }
    SM_TRY(check_no_output(o, sm_statement_name(s->kind), e));
    return s->kind == SM_STATEMENT_COPY ? run_copy(cli, s, e) : smi_change_run(cli, q, e);
}

static sm_status run_sql(smi_cli *cli, const void *opts, char **args, int n_args, sm_error *e)
{
    const options *o = opts;
    const sm_lake_query_mode mode = o->write ? SM_QUERY_CHANGES : SM_QUERY_READS;
    sm_lake_query *q = NULL;

    SM_TRY(smi_lake_query_open(cli, &o->query, mode, n_args ? args[0] : NULL, &q, e));
    smi_tell_completed(q);
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
