/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/cli_query.c: a query from the command line into a plan: its text, its lake, its variables.
 * Shared by cmd_sql.c and cmd_explain.c. */
#include "cli/cli_query_int.h"

static sm_status check_text(const sm_sql *sql, sm_error *e)
{
    for (size_t i = 0; i < sql->text.len; i++) {
        if (!memchr(" \t\r\n", sql->text.data[i], 4)) {
            return SM_OK;
        }
    }
    const sm_status st =
        sm_fail(e, SM_USAGE, "there is no query: %.*s is empty", SM_STR_ARG(sql->name));
    sm_error_todo(e, "Give it in quotes, in a file (-f FILE), or on stdin.");
    return st;
}

sm_status smi_query_open(smi_cli *cli, const smi_query_opts *o, const char *text, smi_query *out,
                         sm_error *e)
{
    const char *path = o->file ? o->file : "-";
    sm_pair *vars = NULL;

    *out = (smi_query){.sql = {.name = SM_STR("SQL"), .text = sm_str_of(text)}};
    if (text && o->file) {
        return sm_fail(e, SM_USAGE, "a query and --file %s: one of them", o->file);
    }
    if (!text) {
        SM_TRY(smi_read_text(cli, path, &out->sql.text, e));
        out->sql.name = o->file ? sm_str_of(path) : SM_STR("stdin");
    }
    SM_TRY(check_text(&out->sql, e));
    out->names =
        sm_names_new(cli->env.stores, sm_str_of(o->lake ? o->lake : "./lake"), cli->env.budget);
    SM_TRY(smi_options_pairs(cli, "--var", &o->vars, &vars, e));
    for (int32_t i = 0; i < o->vars.n; i++) {
        sm_names_set_variable(out->names, vars[i].key, sm_value_str(vars[i].value));
    }
    const sm_resolver resolver = sm_names_resolver(out->names);
    return sm_query_plan(&out->sql, &resolver, cli->arena, &out->plan, e);
}

void smi_query_close(smi_query *q)
{
    sm_names_free(q->names);
}
