/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/cli_query.c: a query from the command line: its text (an argument, a file or stdin), its lake
 * and its variables. Shared by cmd_sql.c and cmd_explain.c. */
#include "cli/cli_query_int.h"

static sm_status check_has_query(const sm_sql *sql, sm_error *e)
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

sm_status smi_lake_query_open(smi_cli *cli, const smi_query_opts *o, sm_lake_query_mode mode,
                              const char *text, sm_lake_query **out, sm_error *e)
{
    const char *path = o->file ? o->file : "-";
    sm_lake_query_opts opts = {
        .mode = mode,
        .sql = {.name = SM_STR("SQL"), .text = sm_str_of(text)},
        .lake = sm_str_of(o->lake ? o->lake : "./lake"),
        .n_vars = o->vars.n,
    };
    sm_pair *vars = NULL;

    if (text && o->file) {
        return sm_fail(e, SM_USAGE, "a query and --file %s: give one of them", o->file);
    }
    if (!text) {
        SM_TRY(smi_read_text(cli, path, &opts.sql.text, e));
        opts.sql.name = o->file ? sm_str_of(path) : SM_STR("stdin");
    }
    SM_TRY(check_has_query(&opts.sql, e));
    SM_TRY(smi_options_pairs(cli, "--var", &o->vars, &vars, e));
    opts.vars = vars;
    return sm_lake_query_open(&opts, &cli->env, out, e);
}
