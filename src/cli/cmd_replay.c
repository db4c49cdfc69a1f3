/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/cmd_replay.c: `smelt replay PIPELINE TABLE`: tries the lines and rows again that are in the
 * quarantine of a table, and adds those that pass now. */
#include <inttypes.h>
#include <stdio.h>

#include "base/text.h"
#include "cli/cli_int.h"
#include "flow/flow.h"

typedef struct options {
    smi_list vars;
    const char *date;
} options;

static const smi_opt option_table[] = {
    {"--var", SMI_OPT_LIST, "K=V", "set a variable of the pipeline; can be repeated",
     offsetof(options, vars)},
    {"--date", SMI_OPT_TEXT, "D",
     "the run's logical date, like 2022-04-30 or 2022-04-30T06:00, in UTC (default: today)",
     offsetof(options, date)},
    {0},
};

/* ---- telling --------------------------------------------------------------------------------- */

static void print_summary(sm_str table, const sm_replay_report *r)
{
    char replayed[SM_SIZE_TEXT_BYTES], refused[SM_SIZE_TEXT_BYTES], left[SM_SIZE_TEXT_BYTES];
    char rows[SM_COUNTED_TEXT_BYTES];

    SM_ASSERT(r->n_replayed > 0 || r->n_rows + r->n_changed + r->n_deleted == 0);
    sm_format_count(r->n_replayed, replayed);
    sm_format_count(r->n_refused, refused);
    sm_format_count(r->n_not_replayed, left);
    sm_format_counted(r->n_rows, "row", rows);
    fprintf(stderr, "%.*s: %s replayed, %s still refused, %s not replayed\n",
            SM_STR_ARG(r->quarantine), replayed, refused, left);
    fprintf(stderr, "%.*s: %s added", SM_STR_ARG(table), rows);
    if (r->n_changed + r->n_deleted > 0) { /* rows were merged */
        sm_format_count(r->n_changed, replayed);
        sm_format_count(r->n_deleted, refused);
        fprintf(stderr, ", %s changed, %s deleted", replayed, refused);
    }
    fputc('\n', stderr);
}

/* The object is the same after a failure, of a replay that did nothing. */
static void print_json(smi_cli *cli, sm_str table, const sm_replay_report *r, const sm_error *e)
{
    sm_buf out = {0};
    sm_json_writer w = {.out = &out};

    sm_json_begin_object(&w);
    sm_json_set_text(&w, "table", table);
    sm_json_set_text_or_null(&w, "quarantine", r->quarantine);
    sm_json_set_i64(&w, "replayed", r->n_replayed);
    sm_json_set_i64(&w, "refused", r->n_refused);
    sm_json_set_i64(&w, "not_replayed", r->n_not_replayed);
    sm_json_set_i64(&w, "rows", r->n_rows);
    sm_json_set_i64(&w, "changed", r->n_changed);
    sm_json_set_i64(&w, "deleted", r->n_deleted);
    sm_json_set_i64_or_null(&w, "version", r->version);
    sm_json_set_i64_or_null(&w, "quarantine_version", r->quarantine_version);
    sm_json_set_array(&w, "warnings");
    for (int64_t i = 0; i < r->run.n_warnings; i++) {
        sm_json_put_text(&w, r->run.warnings[i]);
    }
    sm_json_end_array(&w);
    if (e) {
        sm_json_set_error(&w, e);
    }
    sm_json_end_object(&w);
    smi_answer_print(cli, &w);
}

static void print_failure(const sm_error *e)
{
    const sm_replay_report nothing = {.version = -1, .quarantine_version = -1};

    print_json(NULL, SM_STR(""), &nothing, e);
}

/* ---- the command ----------------------------------------------------------------------------- */

static sm_status replay(smi_cli *cli, const void *opts, char **args, int n_args, sm_error *e)
{
    const options *o = opts;
    sm_run_opts run_opts = {.task = sm_str_of(args[1])};
    sm_replay_report report = {.version = -1, .quarantine_version = -1};
    sm_pipeline *pipeline = NULL;
    sm_pair *vars = NULL;

    SM_ASSERT(n_args == 2);
    SM_TRY(smi_options_pairs(cli, "--var", &o->vars, &vars, e));
    run_opts.vars = vars;
    run_opts.n_vars = o->vars.n;
    SM_TRY(smi_options_day(o->date, &run_opts.interval.start_us, &run_opts.interval.end_us, e));
    sm_status st = sm_pipeline_open(cli->env.stores, sm_str_of(args[0]), &pipeline, e);
    if (st == SM_OK) {
        st = sm_pipeline_replay(pipeline, &run_opts, &cli->env, &report, e);
    }
    for (int64_t i = 0; i < report.run.n_warnings; i++) {
        fprintf(stderr, "smelt: warning: %.*s\n", SM_STR_ARG(report.run.warnings[i]));
    }
    if (st == SM_OK && !cli->globals.json && !cli->globals.quiet) {
        print_summary(run_opts.task, &report);
    }
    if (cli->globals.json) {
        print_json(cli, run_opts.task, &report, st == SM_OK ? NULL : e);
    }
    sm_replay_report_release(&report);
    sm_pipeline_close(pipeline);
    return st;
}

const smi_command smi_command_replay = {
    .name = "replay",
    .usage = "PIPELINE TABLE [--date D] [--var K=V]...",
    .summary = "Tries again what is in the quarantine of a table.",
    .details =
        "After the SQL, the contract or the types of columns were mended: lines go through the\n"
        "load's SQL again, rows that broke a rule through the contract. Those that pass are added\n"
        "to the table and marked in the quarantine, in one publication.\n"
        "\n"
        "  smelt replay pipelines/sales/delta.yaml bronze.sales --var month=2022-04\n",
    .options = option_table,
    .opts_bytes = sizeof(options),
    .min_args = 2,
    .max_args = 2,
    .run = replay,
    .print_failure = print_failure,
};
