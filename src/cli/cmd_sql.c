/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/cmd_sql.c: `smelt sql`: runs one query; its rows go to stdout or to a file. */
#include <stdio.h>

#include "base/text.h"
#include "cli/cli_query_int.h"

typedef struct options {
    smi_query_opts query;
    const char *output, *format;
} options;

static const smi_opt option_table[] = {
    SMI_QUERY_OPTIONS(options, query),
    {"--output -o", SMI_OPT_TEXT, "FILE", "write the result to FILE; its suffix gives the format",
     offsetof(options, output)},
    {"--format", SMI_OPT_TEXT, "NAME",
     "table, csv, json, ndjson, md, parquet (default: table on a terminal, else csv)",
     offsetof(options, format)},
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

/* The answer where the rows went to a file. */
static void print_json(smi_cli *cli, const char *file, int64_t n_rows)
{
    sm_buf out = {0};
    sm_json_writer w = {.out = &out};

    sm_json_begin_object(&w);
    sm_json_set_text_or_null(&w, "file", sm_str_of(file));
    sm_json_set_i64_or_null(&w, "rows", n_rows);
    sm_json_end_object(&w);
    smi_answer_print(cli, &w);
}

static sm_status run_query(smi_cli *cli, const void *opts, char **args, int n_args, sm_error *e)
{
    const options *o = opts;
    sm_status st = SM_OK;
    sm_lake_query *q = NULL;
    sm_output *output = NULL;
    sm_exec_report report = {0};

    const char *format = o->format ? o->format : cli->globals.json && !o->output ? "json" : NULL;
    SM_TRY_GOTO(st, done, smi_lake_query_open(cli, &o->query, n_args ? args[0] : NULL, &q, e));
    const sm_plan *plan = sm_lake_query_plan(q);
    SM_TRY_GOTO(st, done, smi_output_open(cli, plan->root->schema, format, o->output, &output, e));
    const sm_sink sink = sm_output_sink(output);
    smi_progress_start(cli, "query", &cli->progress);
    st = sm_exec_run(plan, &cli->env, &sink, NULL, &report, e);
    smi_progress_stop(cli);
    if (st == SM_OK) {
        tell_refused(&report);
        tell_unknown(&report);
        if (cli->globals.json && o->output) {
            print_json(cli, o->output, sm_output_rows(output));
        }
    }
done:
    sm_exec_report_release(&report);
    sm_output_close(output);
    sm_lake_query_close(q);
    return st;
}

const smi_command smi_command_sql = {
    .name = "sql",
    .usage = "['SELECT ...' | -f FILE | < FILE] [-o FILE] [--format F] [--lake DIR] [--var K=V]...",
    .summary = "Runs a query over files and tables.",
    .details = "FROM can name a table of the lake (layer.table) or files ('logs/*.json',\n"
               "'data.parquet'), or call read_json, read_parquet or delta_scan.\n"
               "\n"
               "  smelt sql \"SELECT count(*) FROM 'logs/*.json'\"\n"
               "  smelt sql 'FROM gold.segments LIMIT 5' --lake ./lake\n",
    .options = option_table,
    .opts_bytes = sizeof(options),
    .min_args = 0,
    .max_args = 1,
    .run = run_query,
};
