/* SPDX-License-Identifier: Apache-2.0
 * exec/exec_standin.c: expressions until the query room has them (not to be merged). */
#include "exec/exec_int.h"

struct sm_agg_heap {
    sm_budget *budget;
};
sm_agg_heap *sm_agg_heap_new(sm_budget *budget)
{
    sm_agg_heap *h = sm_alloc_zero(sizeof(*h));
    h->budget = budget;
    return h;
}
void sm_agg_heap_free(sm_agg_heap *h)
{
    sm_free(h);
}
size_t sm_agg_heap_bytes(const sm_agg_heap *h)
{
    return 0;
}
bool sm_expr_eq(const sm_expr *a, const sm_expr *b)
{
    return a == b ||
           (a->kind == SM_EXPR_COLUMN && b->kind == SM_EXPR_COLUMN && a->index == b->index);
}
void sm_plan_print(const sm_plan *p, void (*note)(void *ctx, const sm_plan_node *n, sm_buf *out),
                   void *ctx, sm_buf *out)
{
}
sm_status sm_expr_eval(const sm_expr *x, const sm_batch *in, const sm_value *params, sm_batch *into,
                       sm_column *out, sm_error *e)
{
    switch (x->kind) {
    case SM_EXPR_COLUMN:
        *out = in->columns[x->index];
        return SM_OK;
    case SM_EXPR_CONST:
        return sm_column_constant(x->value, in->n_rows, into, out, e);
    case SM_EXPR_PARAM:
        return sm_column_constant(params[x->index], in->n_rows, into, out, e);
    case SM_EXPR_CALL: {
        sm_column args[8];
        for (int i = 0; i < x->n_args; i++) {
            SM_TRY(sm_expr_eval(x->args[i], in, params, into, &args[i], e));
        }
        const sm_fn_call call = {
            .expr = x, .args = args, .n_args = x->n_args, .n_rows = in->n_rows, .into = into};
        return x->fn->eval(&call, out, e);
    }
    case SM_EXPR_FIELD: {
        sm_column c;
        SM_TRY(sm_expr_eval(x->args[0], in, params, into, &c, e));
        *out = c.children[x->index];
        return SM_OK;
    }
    default:
        return sm_fail(e, SM_INTERNAL, "standin");
    }
}
sm_status sm_expr_select(const sm_expr *x, const sm_batch *in, const sm_value *params,
                         int32_t *rows, int64_t *n, sm_budget *budget, sm_error *e)
{
    static const sm_type none = {.id = SM_TYPE_STRUCT};
    sm_batch *b = NULL;
    sm_column c = {0};
    SM_TRY(sm_batch_new(budget, &none, &b, e));
    const sm_status st = sm_expr_eval(x, in, params, b, &c, e);
    *n = 0;
    for (int64_t i = 0; st == SM_OK && i < in->n_rows; i++) {
        if (!sm_column_is_null(&c, i) && sm_column_value(&c, i).as.b) {
            rows[(*n)++] = (int32_t)i;
        }
    }
    sm_batch_release(b);
    return st;
}
