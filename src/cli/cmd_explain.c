/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/cmd_explain.c: `smelt explain`: prints the plan of a query; with --analyze it runs the query
 * and prints what each operator did. */
#include <stdio.h>

#include "cli/cli_query_int.h"

typedef struct options {
    smi_query_opts query;
    bool analyze;
} options;

static const smi_opt option_table[] = {
    SMI_QUERY_OPTIONS(options, query),
    {"--analyze", SMI_OPT_FLAG, NULL,
     "run the query and show the rows, time, bytes and memory of each step",
     offsetof(options, analyze)},
    {0},
};

/* A statement that is no query: what it changes. Below it stands the plan of what it reads. */
static void print_statement(const sm_statement *s, sm_buf *out)
{
    if (s->kind == SM_STATEMENT_SELECT) {
        return;
    }
    SM_ASSERT(s->n_parts > 0 || s->path.len > 0 || s->file.len > 0);
    sm_buf_printf(out, "%s ", sm_statement_name(s->kind));
    for (int32_t i = 0; i < s->n_parts; i++) {
        sm_buf_printf(out, "%s%.*s", i ? "." : "", SM_STR_ARG(s->parts[i]));
    }
    const sm_str path = s->kind == SM_STATEMENT_COPY ? s->file : s->path;
    if (path.len > 0) {
        sm_buf_printf(out, "'%.*s'", SM_STR_ARG(path));
    }
    sm_buf_text(out, SM_STR("\n"));
}

static sm_status print_analyzed(smi_cli *cli, const sm_statement *s, sm_buf *out, sm_error *e)
{
    const sm_plan *plan = s->plan;
    sm_exec_report report = {0};

    if (s->kind != SM_STATEMENT_SELECT) {
        return sm_fail(e, SM_USAGE, "--analyze runs the statement, and %s is no query",
                       sm_statement_name(s->kind));
    }
    smi_progress_start(cli, "query", &cli->progress);
    const sm_status st = sm_exec_run(plan, &cli->env, NULL, NULL, &report, e);
    smi_progress_stop(cli);
    if (st == SM_OK) {
        SM_ASSERT(report.n_nodes == plan->n_nodes);
        sm_exec_print(plan, &report, out);
    }
    sm_exec_report_release(&report);
    return st;
}

/* The lines of the text, as they are: their contents are for people. */
static void print_json(smi_cli *cli, sm_str text)
{
    sm_buf out = {0};
    sm_json_writer w = {.out = &out};

    SM_ASSERT(text.len > 0 && text.data[text.len - 1] == '\n');
    sm_json_begin_object(&w);
    sm_json_set_array(&w, "plan");
    while (text.len > 0) {
        const char *end = memchr(text.data, '\n', text.len);
        const size_t len = end ? (size_t)(end - text.data) : text.len;
        sm_json_put_text(&w, (sm_str){text.data, len});
        const size_t taken = end ? len + 1 : len;
        text = (sm_str){text.data + taken, text.len - taken};
    }
    sm_json_end_array(&w);
    sm_json_end_object(&w);
    smi_answer_print(cli, &w);
}

static sm_status explain_query(smi_cli *cli, const void *opts, char **args, int n_args, sm_error *e)
{
    const options *o = opts;
    sm_lake_query *q = NULL;
    sm_buf text = {0};

    sm_status st =
        smi_lake_query_open(cli, &o->query, SM_QUERY_EXPLAINS, n_args ? args[0] : NULL, &q, e);
    if (st == SM_OK && o->analyze) {
        st = print_analyzed(cli, sm_lake_query_statement(q), &text, e);
    } else if (st == SM_OK) {
        print_statement(sm_lake_query_statement(q), &text);
        sm_plan_print(sm_lake_query_plan(q), NULL, NULL, &text);
    }
    if (st == SM_OK && cli->globals.json) {
        print_json(cli, sm_buf_str(&text));
    } else if (st == SM_OK) {
        fwrite(text.data, 1, text.len, stdout);
    }
    sm_buf_release(&text);
    sm_lake_query_close(q);
    return st;
}

const smi_command smi_command_explain = {
    .name = "explain",
    .usage = "[--analyze] ['SELECT ...' | -f FILE | < FILE] [--lake DIR] [--var K=V]...",
    .summary = "Shows the plan of a query.",
    .details = "  smelt explain --analyze \"SELECT count(*) FROM 'logs/*.json'\"\n",
    .options = option_table,
    .opts_bytes = sizeof(options),
    .min_args = 0,
    .max_args = 1,
    .run = explain_query,
};
