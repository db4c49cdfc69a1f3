/* SPDX-License-Identifier: Apache-2.0
 *
 * query/query.c: the door's functions for whole texts: parse, bind to a plan, optimise. */
#include "query/bind/bind_int.h"
#include "query/optimize/optimize_int.h"

static void number_nodes(sm_plan_node *n, int32_t *next)
{
    n->id = (*next)++;
    for (int32_t i = 0; i < n->n_inputs; i++) {
        number_nodes(n->inputs[i], next);
    }
}

/* A finished plan of these nodes, which it owns: each has one parent. */
static sm_status finish(sm_arena *a, sm_plan_node *root, sm_plan_param *params, int32_t n_params,
                        smi_watches watches, sm_plan **out, sm_error *e)
{
    sm_plan *const plan = *out = SM_NEW(a, sm_plan);
    plan->root = smi_optimize(a, root);
    SM_TRY(smi_watch(watches, a, &plan->root, e));
    plan->params = params;
    plan->n_params = n_params;
    number_nodes(plan->root, &plan->n_nodes);
    for (int32_t i = 0; i < n_params; i++) {
        plan->params[i].root = smi_optimize(a, plan->params[i].root);
        number_nodes(plan->params[i].root, &plan->n_nodes);
    }
    SM_ASSERT(plan->n_nodes >= 1 + n_params);
    smi_opt_taken(a, plan);
    smi_opt_fields(a, plan);
#ifdef SM_ASSERTS
    smi_check_plan(plan->root);
    for (int32_t i = 0; i < n_params; i++) {
        smi_check_plan(plan->params[i].root);
        SM_ASSERT(sm_type_eq(plan->params[i].root->schema->fields[0].type, plan->params[i].type));
    }
#endif
    return SM_OK;
}

sm_status sm_plan_finish(const sm_plan_node *root, sm_arena *a, sm_plan **out, sm_error *e)
{
    sm_plan_node *own = NULL;
    SM_TRY(smi_plan_clone(a, root, &own, e));
    return finish(a, own, NULL, 0, (smi_watches){0}, out, e);
}

sm_status sm_query_plan(const sm_sql *sql, const sm_resolver *resolver, sm_arena *a, sm_plan **out,
                        sm_error *e)
{
    smi_binding q = {.resolver = resolver, .a = a};
    smi_select *select = NULL;
    sm_plan_node *root = NULL;
    sm_sql *const kept = SM_NEW(a, sm_sql); /* the caller's struct may go, its text may not */
    *kept = *sql;
    SM_TRY(smi_parse_select(kept, a, &select, e));
    SM_TRY(smi_bind_query(&q, kept, select, &root, e));
    return finish(a, root, q.params, (int32_t)q.n_params, (smi_watches){0}, out, e);
}

/* ---- statements ------------------------------------------------------------------------------ */

/* The optimizer changes the nodes of a plan, and a statement has several plans with the same
 * subqueries. */
static sm_status clone_params(sm_arena *a, const sm_plan_param *params, int32_t n,
                              sm_plan_param **out, sm_error *e)
{
    *out = SM_NEW_ARRAY(a, sm_plan_param, n + 1);
    for (int32_t i = 0; i < n; i++) {
        (*out)[i].type = params[i].type;
        SM_TRY(smi_plan_clone(a, params[i].root, &(*out)[i].root, e));
    }
    return SM_OK;
}

sm_status sm_statement_watched(const sm_statement *s, const sm_plan_node *root, sm_plan_watch *w,
                               int32_t n, sm_arena *a, sm_plan **out, sm_error *e)
{
    sm_plan_node *own = NULL;
    sm_plan_param *params = NULL;
    SM_TRY(smi_plan_clone(a, root, &own, e));
    SM_TRY(clone_params(a, s->params, s->n_params, &params, e));
    return finish(a, own, params, s->n_params, (smi_watches){w, n}, out, e);
}

sm_status sm_statement_finish(const sm_statement *s, const sm_plan_node *root, sm_arena *a,
                              sm_plan **out, sm_error *e)
{
    return sm_statement_watched(s, root, NULL, 0, a, out, e);
}

sm_status sm_query_select(const sm_sql *sql, const sm_resolver *resolver, bool rescues, sm_arena *a,
                          sm_statement **out, sm_error *e)
{
    smi_binding q = {.resolver = resolver, .a = a};
    smi_select *select = NULL;
    sm_plan_node *root = NULL;
    sm_plan *plan = NULL;
    sm_sql *const kept = SM_NEW(a, sm_sql);
    sm_statement *const s = SM_NEW(a, sm_statement);
    *kept = *sql;
    SM_TRY(smi_parse_select(kept, a, &select, e));
    SM_TRY(smi_bind_query(&q, kept, select, &root, e));
    if (rescues) {
        smi_plan_rescue(a, root);
    }
    *s = (sm_statement){.kind = SM_STATEMENT_SELECT,
                        .target = root,
                        .params = q.params,
                        .n_params = (int32_t)q.n_params};
    SM_TRY(sm_statement_finish(s, root, a, &plan, e));
    s->plan = plan;
    *out = s;
    return SM_OK;
}

/* Plans one row with the values of all subqueries. */
static sm_status plan_params(sm_statement *s, sm_arena *a, sm_error *e)
{
    const sm_expr **const exprs = SM_NEW_ARRAY(a, const sm_expr *, s->n_params + 1);
    sm_str *const names = SM_NEW_ARRAY(a, sm_str, s->n_params + 1);
    sm_plan *plan = NULL;
    if (s->n_params == 0) {
        return SM_OK;
    }
    for (int32_t i = 0; i < s->n_params; i++) {
        sm_expr *const x = smi_expr_new(a, SM_EXPR_PARAM, s->params[i].type, NULL);
        x->index = i;
        exprs[i] = x;
        names[i] = SM_STR("");
    }
    sm_plan_node *const row = smi_node_project(a, smi_node_row(a), exprs, names, s->n_params);
    SM_TRY(sm_statement_finish(s, row, a, &plan, e));
    s->params_plan = plan;
    return SM_OK;
}

sm_status sm_query_statement(const sm_sql *sql, const sm_resolver *resolver, sm_arena *a,
                             sm_statement **out, sm_error *e)
{
    smi_binding q = {.resolver = resolver, .a = a};
    smi_statement *ast = NULL;
    sm_plan_node *root = NULL;
    sm_plan *plan = NULL;
    sm_sql *const kept = SM_NEW(a, sm_sql);
    sm_statement *const s = SM_NEW(a, sm_statement);
    *kept = *sql;
    SM_TRY(smi_parse(kept, a, &ast, e));
    SM_TRY(smi_bind_statement(&q, kept, ast, s, &root, e));
    s->params = q.params;
    s->n_params = (int32_t)q.n_params;
    SM_TRY(sm_statement_finish(s, root, a, &plan, e));
    s->plan = plan;
    SM_ASSERT(plan && (s->change.rows != NULL) == (s->kind >= SM_STATEMENT_DELETE));
    if (s->change.rows) {
        SM_TRY(plan_params(s, a, e));
    }
    *out = s;
    return SM_OK;
}

typedef struct settling {
    sm_arena *a;
    const sm_value *values;
    int32_t n;
} settling;

static const sm_expr *settle_one(void *ctx, const sm_expr *x)
{
    const settling *const t = ctx;
    SM_ASSERT(x->kind != SM_EXPR_PARAM || (x->index >= 0 && x->index < t->n));
    return x->kind == SM_EXPR_PARAM ? smi_const(t->a, t->values[x->index], x) : NULL;
}

static const sm_expr *settled(settling *t, const sm_expr *x)
{
    return x ? smi_rewrite(t->a, x, settle_one, t) : NULL;
}

void sm_statement_settle(sm_statement *s, const sm_value *values, sm_arena *a)
{
    settling t = {a, values, s->n_params};
    sm_row_change *const c = &s->change;
    c->acts = settled(&t, c->acts);
    c->deletes = settled(&t, c->deletes);
    c->on = settled(&t, c->on);
    c->joins = settled(&t, c->joins);
    c->inserts = settled(&t, c->inserts);
    for (int32_t i = 0; i < c->n_columns; i++) {
        if (c->values) {
            c->values[i] = settled(&t, c->values[i]);
        }
        if (c->insert_values) {
            c->insert_values[i] = settled(&t, c->insert_values[i]);
        }
    }
}

const char *sm_statement_name(sm_statement_kind kind)
{
    static const char *const names[] = {
        [SM_STATEMENT_SELECT] = "SELECT",
        [SM_STATEMENT_COPY] = "COPY",
        [SM_STATEMENT_CREATE_TABLE] = "CREATE TABLE",
        [SM_STATEMENT_INSERT] = "INSERT",
        [SM_STATEMENT_ALTER] = "ALTER TABLE",
        [SM_STATEMENT_DELETE] = "DELETE",
        [SM_STATEMENT_UPDATE] = "UPDATE",
        [SM_STATEMENT_MERGE] = "MERGE",
    };
    return names[kind];
}

/* ---- expressions ----------------------------------------------------------------------------- */

void smi_scope_open(smi_bind *b, const sm_type *schema)
{
    b->scope.cols = SM_NEW_ARRAY(b->q->a, smi_scope_col, schema->n_fields + 1);
    b->scope.n = schema->n_fields;
    for (int32_t i = 0; i < schema->n_fields; i++) {
        b->scope.cols[i] = (smi_scope_col){
            .name = schema->fields[i].name,
            .type = schema->fields[i].type,
            .index = i,
        };
    }
}

sm_status smi_bind_alone(const sm_sql *sql, const smi_ast *ast, const sm_type *schema,
                         const sm_resolver *resolver, sm_arena *a, const sm_expr **out, sm_error *e)
{
    smi_binding q = {.resolver = resolver, .a = a};
    smi_bind b = {.q = &q, .sql = sql, .no_aggregate = "here", .no_window = "here"};
    const sm_expr *x = NULL;

    smi_scope_open(&b, schema);
    SM_TRY(smi_bind_expr(&b, ast, &x, e));
    if (q.n_params > 0) {
        return smi_sql_fail(sql, ast->off, e, SM_UNSUPPORTED, "no subquery may stand here");
    }
    *out = smi_cast(a, x, smi_plain_type(x->type));
    return SM_OK;
}

sm_status sm_query_expr(const sm_sql *sql, const sm_type *schema, const sm_resolver *resolver,
                        sm_arena *a, const sm_expr **out, sm_error *e)
{
    smi_ast *ast = NULL;
    sm_sql *const kept = SM_NEW(a, sm_sql);
    *kept = *sql;
    SM_TRY(smi_parse_one_expr(kept, a, &ast, e));
    return smi_bind_alone(kept, ast, schema, resolver, a, out, e);
}

sm_status sm_query_grouped(const sm_sql *sql, const sm_grouping *g, const sm_resolver *resolver,
                           sm_arena *a, const sm_plan_node **out, sm_error *e)
{
    smi_ast *ast = NULL;
    sm_sql *const kept = SM_NEW(a, sm_sql);

    SM_ASSERT(g->in && g->n_keys > 0);
    *kept = *sql;
    SM_TRY(smi_parse_one_expr(kept, a, &ast, e));
    return smi_bind_grouped(kept, ast, g, resolver, a, out, e);
}
