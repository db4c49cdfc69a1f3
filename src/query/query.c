/* SPDX-License-Identifier: Apache-2.0
 *
 * query/query.c: the door's functions: a query's way through parser, binder and optimizer. */
#include "query/query_int.h"

#include <stdlib.h>

static void number_nodes(sm_plan_node *n, int32_t *next)
{
    n->id = (*next)++;
    for (int32_t i = 0; i < n->n_inputs; i++) {
        number_nodes(n->inputs[i], next);
    }
}

/* A plan of nodes that are the plan's own. */
static sm_plan *finished(sm_arena *a, sm_plan_node *root, sm_plan_param *params, int32_t n_params)
{
    sm_plan *const plan = SM_NEW(a, sm_plan);
    plan->root = smi_optimize(a, root);
    plan->params = params;
    plan->n_params = n_params;
    number_nodes(plan->root, &plan->n_nodes);
    for (int32_t i = 0; i < n_params; i++) {
        plan->params[i].root = smi_optimize(a, plan->params[i].root);
        number_nodes(plan->params[i].root, &plan->n_nodes);
    }
    smi_opt_taken(a, plan);
    smi_opt_fields(a, plan);
    return plan;
}

sm_status sm_plan_finish(const sm_plan_node *root, sm_arena *a, sm_plan **out, sm_error *e)
{
    sm_plan_node *own = NULL;
    SM_TRY(smi_plan_clone(a, root, &own, e));
    *out = finished(a, own, NULL, 0);
    return SM_OK;
}

sm_status sm_query_plan(const sm_sql *sql, const sm_resolver *resolver, sm_arena *a, sm_plan **out,
                        sm_error *e)
{
    smi_query q = {.resolver = resolver, .a = a};
    smi_select *select = NULL;
    sm_plan_node *root = NULL;
    sm_sql *const kept = SM_NEW(a, sm_sql); /* the caller's struct may go, its text may not */
    *kept = *sql;
    SM_TRY(smi_parse(kept, a, &select, e));
    SM_TRY(smi_bind_select(&q, kept, NULL, select, &root, e));
    smi_whole_take(&q.whole);
    *out = finished(a, root, q.params, (int32_t)q.n_params);
    return SM_OK;
}

sm_status sm_query_expr(const sm_sql *sql, const sm_type *schema, const sm_resolver *resolver,
                        sm_arena *a, const sm_expr **out, sm_error *e)
{
    smi_query q = {.resolver = resolver, .a = a};
    smi_ast *ast = NULL;
    sm_sql *const kept = SM_NEW(a, sm_sql);
    *kept = *sql;
    smi_bind b = {.q = &q, .sql = kept, .no_aggregate = "here", .no_window = "here"};
    b.scope.cols = SM_NEW_ARRAY(a, smi_scope_col, schema->n_fields + 1);
    b.scope.n = schema->n_fields;
    for (int32_t i = 0; i < schema->n_fields; i++) {
        b.scope.cols[i] = (smi_scope_col){
            .name = schema->fields[i].name,
            .type = schema->fields[i].type,
            .index = i,
        };
    }
    SM_TRY(smi_parse_one_expr(kept, a, &ast, e));
    const sm_expr *x = NULL;
    SM_TRY(smi_bind_expr(&b, ast, &x, e));
    if (q.n_params > 0) {
        return smi_sql_fail(kept, ast->off, e, SM_UNSUPPORTED, "no subquery may stand here");
    }
    *out = smi_cast(a, x, smi_plain_type(x->type));
    return SM_OK;
}

/* ---- the tables of a query ------------------------------------------------------------------- */

typedef struct collecting {
    sm_arena *a;
    sm_table_name *names;
    int64_t n, cap;
    int64_t n_seen; /* forms written out share their parts, so a tree may be longer than its text */
} collecting;

#define MAX_SEEN ((int64_t)1 << 22)

static void collect_select(collecting *c, const smi_cte *ctes, const smi_select *s);

static bool is_cte(const smi_cte *ctes, sm_str name)
{
    for (; ctes; ctes = ctes->outer) {
        if (sm_str_eq_nocase(ctes->name, name)) {
            return true;
        }
    }
    return false;
}

static void add_table(collecting *c, const smi_from *f)
{
    for (int64_t i = 0; i < c->n; i++) {
        bool same = c->names[i].n_parts == f->n_parts;
        for (int32_t k = 0; same && k < f->n_parts; k++) {
            same = sm_str_eq(c->names[i].parts[k], f->parts[k]);
        }
        if (same) {
            return;
        }
    }
    c->names = sm_arena_grow(c->a, c->names, c->n, &c->cap, sizeof(*c->names));
    c->names[c->n++] = (sm_table_name){f->parts, f->n_parts, f->off};
}

static void collect_expr(collecting *c, const smi_cte *ctes, const smi_ast *x)
{
    if (!x || ++c->n_seen > MAX_SEEN) {
        return;
    }
    if (x->kind == SMI_AST_SUBQUERY) {
        collect_select(c, ctes, x->select);
    }
    for (int32_t i = 0; i < x->n_args; i++) {
        collect_expr(c, ctes, x->args[i]);
    }
    collect_expr(c, ctes, x->filter);
}

static void collect_from(collecting *c, const smi_cte *ctes, const smi_from *f)
{
    switch (f->kind) {
    case SMI_FROM_TABLE:
        if (f->n_parts > 1 || !is_cte(ctes, f->parts[0])) {
            add_table(c, f);
        }
        break;
    case SMI_FROM_SELECT:
        collect_select(c, ctes, f->select);
        break;
    case SMI_FROM_JOIN:
        collect_from(c, ctes, f->left);
        collect_from(c, ctes, f->right);
        collect_expr(c, ctes, f->on);
        break;
    case SMI_FROM_FILE:
    case SMI_FROM_FUNCTION:
        break;
    }
}

static void collect_select(collecting *c, const smi_cte *ctes, const smi_select *s)
{
    for (int32_t i = 0; i < s->n_ctes; i++) {
        collect_select(c, ctes, s->ctes[i].select);
        smi_cte *const one = SM_NEW(c->a, smi_cte);
        *one = s->ctes[i];
        one->outer = ctes;
        ctes = one;
    }
    if (s->kind == SMI_SELECT_UNION) {
        collect_select(c, ctes, s->left);
        collect_select(c, ctes, s->right);
    }
    for (int32_t i = 0; i < s->n_items && s->items; i++) {
        collect_expr(c, ctes, s->items[i].expr);
    }
    if (s->from) {
        collect_from(c, ctes, s->from);
    }
    collect_expr(c, ctes, s->where);
    collect_expr(c, ctes, s->having);
    collect_expr(c, ctes, s->qualify);
}

static int by_place(const void *x, const void *y)
{
    const uint32_t a = ((const sm_table_name *)x)->off_bytes;
    const uint32_t b = ((const sm_table_name *)y)->off_bytes;
    return (a > b) - (a < b);
}

sm_status sm_query_tables(const sm_sql *sql, sm_arena *a, sm_table_name **out, int32_t *n,
                          sm_error *e)
{
    collecting c = {.a = a};
    smi_select *select = NULL;
    SM_TRY(smi_parse(sql, a, &select, e));
    collect_select(&c, NULL, select);
    if (c.n_seen > MAX_SEEN) {
        return smi_sql_fail(sql, 0, e, SM_LIMIT, "query is over the limit of %lld expressions",
                            (long long)MAX_SEEN);
    }
    if (c.n > 1) {
        qsort(c.names, (size_t)c.n, sizeof(*c.names), by_place);
    }
    *out = c.names;
    *n = (int32_t)c.n;
    return SM_OK;
}
