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
    sm_str told; /* what was completed before; "": nothing */
};

static void make_names(sm_lake_query *q, const sm_lake_query_opts *opts, const sm_exec_env *env)
{
    q->names = sm_names_new(env->stores, opts->lake, env->budget);
    for (int32_t i = 0; i < opts->n_vars; i++) {
        sm_names_set_variable(q->names, opts->vars[i].key, sm_value_str(opts->vars[i].value));
    }
}

/* A query alone: all other statements are refused before a name in them is looked up. */
static sm_status plan_select(sm_lake_query *q, const sm_resolver *resolver, sm_error *e)
{
    sm_plan *plan = NULL;

    SM_TRY(sm_query_plan(&q->sql, resolver, q->arena, &plan, e));
    q->statement = SM_NEW(q->arena, sm_statement);
    *q->statement = (sm_statement){.kind = SM_STATEMENT_SELECT, .plan = plan};
    return SM_OK;
}

/* The table that the statement changes may be named by its path, and belong to another lake. */
static sm_status settle_target(sm_lake_query *q, const sm_exec_env *env, sm_str *told, sm_error *e)
{
    const sm_statement *s = q->statement;
    sm_store *table = NULL;

    *told = (sm_str){0};
    if (s->kind == SM_STATEMENT_SELECT || s->kind == SM_STATEMENT_COPY || s->n_parts > 0) {
        return SM_OK;
    }
    SM_TRY(sm_store_open(env->stores, s->path, &table, e));
    const sm_status st = sm_table_settle(table, env->budget, q->arena, told, e);
    sm_store_release(table);
    return st;
}

/* What an earlier writer has begun is completed first. Else a statement could see the table without
 * it, and lose to it each time that it is run. */
static sm_status plan_change(sm_lake_query *q, const sm_lake_query_opts *opts,
                             const sm_exec_env *env, sm_error *e)
{
    const sm_str lake = sm_names_lake(q->names);
    sm_resolver resolver = sm_names_resolver(q->names);
    sm_str told = {0};

    if (lake.len > 0) {
        SM_TRY(sm_lake_settle(env->stores, lake, env->budget, q->arena, &q->told, e));
    }
    SM_TRY(sm_query_statement(&q->sql, &resolver, q->arena, &q->statement, e));
    SM_TRY(settle_target(q, env, &told, e));
    if (told.len == 0) {
        return SM_OK;
    }
    q->told = q->told.len == 0 ? told
                               : sm_arena_strf(q->arena, "%.*s, and %.*s", SM_STR_ARG(q->told),
                                               SM_STR_ARG(told));
    sm_names_free(q->names);
    make_names(q, opts, env);
    resolver = sm_names_resolver(q->names);
    return sm_query_statement(&q->sql, &resolver, q->arena, &q->statement, e);
}

static sm_status plan_statement(sm_lake_query *q, const sm_lake_query_opts *opts,
                                const sm_exec_env *env, sm_error *e)
{
    const sm_resolver resolver = sm_names_resolver(q->names);

    switch (opts->mode) {
    case SM_QUERY_READS:
        return plan_select(q, &resolver, e);
    case SM_QUERY_EXPLAINS:
        return sm_query_statement(&q->sql, &resolver, q->arena, &q->statement, e);
    case SM_QUERY_CHANGES:
        break;
    }
    return plan_change(q, opts, env, e);
}

sm_status sm_lake_query_open(const sm_lake_query_opts *opts, const sm_exec_env *env,
                             sm_lake_query **out, sm_error *e)
{
    sm_arena *arena = sm_arena_new(env->budget);
    sm_lake_query *q = SM_NEW(arena, sm_lake_query);

    q->arena = arena;
    q->sql = (sm_sql){.name = sm_arena_str(arena, opts->sql.name),
                      .text = sm_arena_str(arena, opts->sql.text)};
    make_names(q, opts, env);
    const sm_status st = plan_statement(q, opts, env, e);
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

sm_str sm_lake_query_told(const sm_lake_query *q)
{
    return q->told;
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
