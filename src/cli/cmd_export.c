/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/cmd_export.c: `smelt export airflow PIPELINE`: writes a pipeline as the file of another
 * system. Runs nothing. */
#include <stdio.h>
#include <unistd.h>

#include "cli/cli_int.h"
#include "export/export.h"

typedef struct options {
    const char *form, *output, *select;
    smi_list vars;
} options;

static const smi_opt option_table[] = {
    {"--form", SMI_OPT_TEXT, "F", "bash, docker or taskflow (default: bash)",
     offsetof(options, form)},
    {"--output -o", SMI_OPT_TEXT, "FILE", "write it there (default: to stdout)",
     offsetof(options, output)},
    {"--select -s", SMI_OPT_TEXT, "S",
     "only these tasks: names, layer.*, @tag; T+ also those that need T, +T those that it needs",
     offsetof(options, select)},
    {"--var", SMI_OPT_LIST, "K=V", "set a variable of the pipeline in each call; can be repeated",
     offsetof(options, vars)},
    {0},
};

static sm_status read_form(const char *text, sm_airflow_form *out, sm_error *e)
{
    static const char *const names[] = {[SM_AIRFLOW_BASH] = "bash",
                                        [SM_AIRFLOW_DOCKER] = "docker",
                                        [SM_AIRFLOW_TASKFLOW] = "taskflow"};

    _Static_assert(SM_COUNT(names) == SM_AIRFLOW_TASKFLOW + 1, "a name for each form");
    *out = SM_AIRFLOW_BASH;
    for (int i = 0; i < SM_COUNT(names) && text; i++) {
        if (strcmp(text, names[i]) == 0) {
            *out = (sm_airflow_form)i;
            return SM_OK;
        }
    }
    return text ? sm_fail(e, SM_USAGE, "--form is bash, docker or taskflow, not \"%s\"", text)
                : SM_OK;
}

static sm_status write_file(smi_cli *cli, const char *path, sm_str text, sm_error *e)
{
    sm_store *store = NULL;
    sm_str folder = {0}, name = {0};

    if (!path || strcmp(path, "-") == 0) {
        fwrite(text.data, 1, text.len, stdout);
        return SM_OK;
    }
    sm_uri_split(sm_str_of(path), &folder, &name);
    SM_TRY(sm_store_open(cli->env.stores, folder, &store, e));
    const sm_status st = sm_store_put(store, name, text.data, text.len, SM_PUT_REPLACE, e);
    sm_store_release(store);
    return st;
}

static sm_status export_airflow(smi_cli *cli, const options *o, const char *path, sm_error *e)
{
    sm_airflow_opts opts = {.file = sm_str_of(path), .n_vars = o->vars.n};
    char home[4096];
    sm_pipeline *p = NULL;
    sm_pair *vars = NULL;
    bool *chosen = NULL;
    sm_buf out = {0};

    SM_TRY(read_form(o->form, &opts.form, e));
    SM_TRY(smi_options_pairs(cli, "--var", &o->vars, &vars, e));
    opts.home = sm_str_of(getcwd(home, sizeof(home)) ? home : "/");
    opts.vars = vars;
    SM_TRY(sm_pipeline_open(cli->env.stores, opts.file, &p, e));
    sm_status st = sm_pipeline_select(p, sm_str_of(o->select), cli->arena, &chosen, e);
    if (st == SM_OK) {
        SM_ASSERT(chosen);
        opts.chosen = chosen;
        st = sm_export_airflow(p, &opts, &out, e);
    }
    st = st == SM_OK ? write_file(cli, o->output, sm_buf_str(&out), e) : st;
    sm_buf_release(&out);
    sm_pipeline_close(p);
    return st;
}

static sm_status run_export(smi_cli *cli, const void *opts, char **args, int n_args, sm_error *e)
{
    SM_ASSERT(n_args == 2);
    if (cli->globals.json) {
        return sm_fail(e, SM_USAGE, "export has no --json: what it writes is the file");
    }
    if (strcmp(args[0], "airflow") != 0) {
        const sm_status st = sm_fail(e, SM_USAGE, "cannot export to \"%s\"", args[0]);
        sm_error_todo(e, "Write smelt export airflow PIPELINE.");
        return st;
    }
    return export_airflow(cli, opts, args[1], e);
}

const smi_command smi_command_export = {
    .name = "export",
    .usage = "airflow PIPELINE [--form bash|docker|taskflow] [-o FILE]",
    .summary = "Writes a pipeline as a DAG file of Airflow 3.",
    .details = "Each task but views becomes a task there, which calls smelt.\n"
               "\n"
               "  smelt export airflow pipelines/sales/delta.yaml -o dags/sales.py\n",
    .options = option_table,
    .opts_bytes = sizeof(options),
    .min_args = 2,
    .max_args = 2,
    .run = run_export,
};
