/* SPDX-License-Identifier: Apache-2.0
 *
 * table/table_query.c: a statement's text with the tables of a lake becomes a plan, and may be
 * executed. Called from outside the room: for one statement; the tasks of a pipeline share names
 * (sm_names) instead. */
#include "base/arena.h"
#include "table/table_int.h"

struct sm_lake_query {
    sm_arena *arena; /* of all that follows, and of the plans */
    sm_sql sql;      /* a copy: the plan points into its text */
    sm_names *names;
    sm_statement *statement;
};

/* A query alone: all other statements are refused before a name in them is looked up. */
static sm_status plan_select(sm_lake_query *q, const sm_resolver *resolver, sm_error *e)
{
    sm_plan *plan = NULL;

    SM_TRY(sm_query_plan(&q->sql, resolver, q->arena, &plan, e));
    q->statement = SM_NEW(q->arena, sm_statement);
    *q->statement = (sm_statement){.kind = SM_STATEMENT_SELECT, .plan = plan};
    return SM_OK;
}

static sm_status plan_statement(sm_lake_query *q, sm_lake_query_mode mode, const sm_exec_env *env,
                                sm_error *e)
{
    const sm_resolver resolver = sm_names_resolver(q->names);
    const sm_str lake = sm_names_lake(q->names);
    sm_str told = {0};

    if (mode == SM_QUERY_READS) {
        return plan_select(q, &resolver, e);
    }
    if (mode == SM_QUERY_CHANGES && lake.len > 0) {
        SM_TRY(sm_lake_settle(env->stores, lake, env->budget, q->arena, &told, e));
    }
    return sm_query_statement(&q->sql, &resolver, q->arena, &q->statement, e);
}

sm_status sm_lake_query_open(const sm_lake_query_opts *opts, const sm_exec_env *env,
                             sm_lake_query **out, sm_error *e)
{
    sm_arena *arena = sm_arena_new(env->budget);
    sm_lake_query *q = SM_NEW(arena, sm_lake_query);

    q->arena = arena;
    q->sql = (sm_sql){.name = sm_arena_str(arena, opts->sql.name),
                      .text = sm_arena_str(arena, opts->sql.text)};
    q->names = sm_names_new(env->stores, opts->lake, env->budget);
    for (int32_t i = 0; i < opts->n_vars; i++) {
        sm_names_set_variable(q->names, opts->vars[i].key, sm_value_str(opts->vars[i].value));
    }
    const sm_status st = plan_statement(q, opts->mode, env, e);
    if (st != SM_OK) {
        sm_lake_query_close(q);
        return st;
    }
    SM_ASSERT(q->statement->plan && q->statement->plan->root);
    *out = q;
    return SM_OK;
}

const sm_plan *sm_lake_query_plan(const sm_lake_query *q)
{
    return q->statement->plan;
}

const sm_statement *sm_lake_query_statement(const sm_lake_query *q)
{
    return q->statement;
}

sm_status sm_lake_query_change(sm_lake_query *q, const sm_exec_env *env, sm_exec_report *report,
                               sm_changed *out, sm_error *e)
{
    return smi_statement_run(q->statement, q->names, env, q->arena, report, out, e);
}

void sm_lake_query_close(sm_lake_query *q)
{
    if (q) {
        sm_names_free(q->names);
        sm_arena_free(q->arena);
    }
}
