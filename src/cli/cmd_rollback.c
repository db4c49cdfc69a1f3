/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/cmd_rollback.c: `smelt rollback RUN`: takes back what a run of a pipeline has published. */
#include <inttypes.h>
#include <stdio.h>

#include "base/json_doc.h"
#include "cli/cli_runs_int.h"

typedef struct options {
    const char *project;
    bool dry_run;
} options;

static const smi_opt option_table[] = {
    {"--project", SMI_OPT_TEXT, "PATH",
     "a pipeline file, or the folder that pipelines are in (default: this folder)",
     offsetof(options, project)},
    {"--dry-run", SMI_OPT_FLAG, NULL, "only print what would be done", offsetof(options, dry_run)},
    {0},
};

/* ---- what is printed ------------------------------------------------------------------------- */

static void print_json(smi_cli *cli, const sm_run_row *run, const sm_rolled_back *tables, int32_t n)
{
    sm_buf out = {0};
    sm_json_writer w = {.out = &out};

    sm_json_begin_object(&w);
    sm_json_set_text(&w, "run", run->id);
    sm_json_set_array(&w, "tables");
    for (int32_t i = 0; i < n; i++) {
        sm_json_begin_object(&w);
        sm_json_set_text(&w, "table", tables[i].table);
        sm_json_set_i64(&w, "of_run", tables[i].version);
        sm_json_set_i64(&w, "restored", tables[i].to);
        sm_json_set_i64_or_null(&w, "version", tables[i].made);
        sm_json_end_object(&w);
    }
    sm_json_end_array(&w);
    sm_json_end_object(&w);
    smi_answer_print(cli, &w);
}

static void print_tables(const sm_rolled_back *tables, int32_t n, bool is_trial)
{
    for (int32_t i = 0; i < n; i++) {
        const sm_rolled_back *t = &tables[i];
        printf("%-28.*s ", SM_STR_ARG(t->table));
        if (t->is_same) {
            printf("is as before version %" PRId64 " already\n", t->version);
        } else if (is_trial) {
            printf("version %" PRId64 " would be taken back to %" PRId64 "\n", t->version, t->to);
        } else {
            printf("version %" PRId64 " was taken back to %" PRId64 ", by version %" PRId64 "\n",
                   t->version, t->to, t->made);
        }
    }
}

/* Tables of a server read those of the lake. */
static void print_published(const sm_pipeline *p)
{
    for (int32_t i = 0; i < sm_pipeline_tasks(p); i++) {
        if (sm_pipeline_task_kind(p, i) == SM_TASK_PUBLISH) {
            const sm_str name = sm_pipeline_task_name(p, i);
            printf("%-28.*s reads a table of the lake, and follows it\n", SM_STR_ARG(name));
        }
    }
}

/* ---- the command ----------------------------------------------------------------------------- */

/* The variables that the run was given, from its arguments: ["--var", "a=b", …]. */
static sm_status read_vars(smi_cli *cli, const sm_run_row *run, sm_run_opts *out, sm_error *e)
{
    const sm_json *arguments = NULL;
    sm_pair *vars = NULL;
    smi_list given = {0};

    SM_TRY(sm_json_parse(run->arguments, cli->arena, &arguments, e));
    given.items = SM_NEW_ARRAY(cli->arena, const char *, arguments->n_children + 1);
    for (const sm_json *v = arguments->child; v && v->next; v = v->next) {
        if (sm_str_is(sm_json_text(v), "--var")) {
            v = v->next;
            given.items[given.n++] = sm_arena_str(cli->arena, sm_json_text(v)).data;
        }
    }
    SM_TRY(smi_options_pairs(cli, "--var", &given, &vars, e));
    out->vars = vars;
    out->n_vars = given.n;
    return SM_OK;
}

static sm_status take_back(smi_cli *cli, const sm_run_row *row, bool is_trial, sm_error *e)
{
    sm_run_opts opts = {
        .run_id = row->id, .interval = row->interval, .earlier = {.since_us = row->queued_us}};
    sm_pipeline *p = NULL;
    sm_run *r = NULL;
    sm_rolled_back *tables = NULL;
    int32_t n = 0;

    SM_ASSERT(row->queued_us > 0);
    SM_TRY(read_vars(cli, row, &opts, e));
    sm_status st = sm_pipeline_open(cli->env.stores, row->file, &p, e);
    st = st == SM_OK ? sm_run_open(p, &opts, &cli->env, &r, e) : st;
    st = st == SM_OK ? sm_run_roll_back(r, is_trial, cli->arena, &tables, &n, e) : st;
    if (st == SM_OK && cli->globals.json) {
        print_json(cli, row, tables, n);
    } else if (st == SM_OK) {
        print_tables(tables, n, is_trial);
        print_published(p);
    }
    sm_run_close(r, NULL);
    sm_pipeline_close(p);
    return st;
}

static sm_status roll_back(smi_cli *cli, const void *opts, char **args, int n_args, sm_error *e)
{
    const options *o = opts;
    sm_state *s = NULL;
    sm_run_row row = {0};
    bool is_alive = false;

    SM_ASSERT(n_args == 1);
    SM_TRY(smi_state_open(cli, o->project, &s, e));
    sm_status st = smi_state_find(cli, s, args[0], &row, e);
    st = st == SM_OK ? sm_state_is_alive(s, row.number, &is_alive, e) : st;
    sm_state_close(s);
    if (st == SM_OK && is_alive) {
        st = sm_fail(e, SM_CONFLICT, "run %.*s is running", SM_STR_ARG(row.id));
        sm_error_todo(e, "Cancel it first, or wait for its end.");
    }
    return st == SM_OK ? take_back(cli, &row, o->dry_run, e) : st;
}

const smi_command smi_command_rollback = {
    .name = "rollback",
    .usage = "RUN [--project PATH] [--dry-run]",
    .summary = "Takes back what a run has published.",
    .details =
        "All its tables and quarantines have the rows of the versions before the run again, or "
        "none has.\n"
        "It is refused where somebody has written one of them since.\n"
        "\n"
        "  smelt rollback sales-2022-04-30-1f2e3d4c --project pipelines/sales --dry-run\n",
    .options = option_table,
    .opts_bytes = sizeof(options),
    .min_args = 1,
    .max_args = 1,
    .run = roll_back,
};
