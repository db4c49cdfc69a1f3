/* SPDX-License-Identifier: Apache-2.0
 *
 * query/optimize/opt_count.c: where only the number of rows is asked for, and it is known of a node
 * (sm_relation.n_rows), the number takes the place of the node: `SELECT count(*) FROM view` then
 * reads nothing. What filters, groups or limits the rows has another number, and stays. */
#include "query/optimize/optimize_int.h"

/* How many rows a node gives; NULL: it is not known. */
static const int64_t *known_rows(const sm_plan_node *n)
{
    while (!n->n_rows && (n->kind == SM_PLAN_PROJECT || n->kind == SM_PLAN_WINDOW)) {
        n = n->inputs[0];
    }
    return n->n_rows;
}

/* Does it count all rows? */
static bool counts_all(const sm_agg_item *item, const sm_type *input)
{
    const sm_expr *const call = item->call;
    bool counts = call->fn->aggregate->kind == SM_AGG_COUNT && !item->filter && !item->is_distinct;

    for (int32_t i = 0; i < call->n_args; i++) {
        counts = counts && !smi_expr_nullable(call->args[i], input);
    }
    return counts;
}

/* One row of the number, as often as it is asked for. */
static sm_plan_node *number_row(sm_arena *a, const sm_plan_node *n, int64_t n_rows)
{
    const sm_expr **const values = SM_NEW_ARRAY(a, const sm_expr *, n->schema->n_fields + 1);
    sm_plan_node *const row = smi_node(a, SM_PLAN_VALUES, n->schema, NULL, NULL);

    for (int32_t i = 0; i < n->schema->n_fields; i++) {
        SM_ASSERT(n->schema->fields[i].type->id == SM_TYPE_I64);
        values[i] = sm_expr_constant(sm_value_i64(n_rows), a);
    }
    SM_ASSERT(n_rows >= 0);
    row->as.values.rows = values;
    row->as.values.n_rows = 1;
    return row;
}

sm_plan_node *smi_opt_count(sm_arena *a, sm_plan_node *n)
{
    for (int32_t i = 0; i < n->n_inputs; i++) {
        n->inputs[i] = smi_opt_count(a, n->inputs[i]);
    }
    const int64_t *const n_rows = n->kind == SM_PLAN_AGGREGATE && n->as.aggregate.n_keys == 0
                                      ? known_rows(n->inputs[0])
                                      : NULL;
    bool is_number = n_rows && n->as.aggregate.n_items > 0 && !sm_plan_has_check(n->inputs[0]);

    for (int32_t i = 0; is_number && i < n->as.aggregate.n_items; i++) {
        is_number = counts_all(&n->as.aggregate.items[i], n->inputs[0]->schema);
    }
    return is_number ? number_row(a, n, *n_rows) : n;
}
