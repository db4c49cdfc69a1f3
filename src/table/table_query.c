/* SPDX-License-Identifier: Apache-2.0
 *
 * table/table_query.c: a query's text with the tables of a lake becomes a plan. Called from outside
 * the room: for one query; the tasks of a pipeline share names (sm_names) instead. */
#include "base/arena.h"
#include "table/table.h"

struct sm_lake_query {
    sm_arena *arena; /* of all that follows, and of the plan */
    sm_sql sql;      /* a copy: the plan points into its text */
    sm_names *names;
    sm_plan *plan;
};

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
    const sm_resolver resolver = sm_names_resolver(q->names);
    const sm_status st = sm_query_plan(&q->sql, &resolver, arena, &q->plan, e);
    if (st != SM_OK) {
        sm_lake_query_close(q);
        return st;
    }
    SM_ASSERT(q->plan && q->plan->root);
    *out = q;
    return SM_OK;
}

const sm_plan *sm_lake_query_plan(const sm_lake_query *q)
{
    return q->plan;
}

void sm_lake_query_close(sm_lake_query *q)
{
    if (q) {
        sm_names_free(q->names);
        sm_arena_free(q->arena);
    }
}
