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
    smi_binding q = {.resolver = resolver, .a = a};
    smi_statement *statement = NULL;
    sm_plan_node *root = NULL;
    sm_sql *const kept = SM_NEW(a, sm_sql); /* the caller's struct may go, its text may not */
    *kept = *sql;
    SM_TRY(smi_parse(kept, a, &statement, e));
    SM_TRY(smi_bind_statement(&q, kept, statement, &root, e));
    *out = finished(a, root, q.params, (int32_t)q.n_params);
    return SM_OK;
}

sm_status smi_bind_alone(const sm_sql *sql, const smi_ast *ast, const sm_type *schema,
                         const sm_resolver *resolver, sm_arena *a, const sm_expr **out, sm_error *e)
{
    smi_binding q = {.resolver = resolver, .a = a};
    smi_bind b = {.q = &q, .sql = sql, .no_aggregate = "here", .no_window = "here"};
    const sm_expr *x = NULL;

    b.scope.cols = SM_NEW_ARRAY(a, smi_scope_col, schema->n_fields + 1);
    b.scope.n = schema->n_fields;
    for (int32_t i = 0; i < schema->n_fields; i++) {
        b.scope.cols[i] = (smi_scope_col){
            .name = schema->fields[i].name,
            .type = schema->fields[i].type,
            .index = i,
        };
    }
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
