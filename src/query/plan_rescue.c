/* SPDX-License-Identifier: Apache-2.0
 *
 * query/plan_rescue.c: carries the rescued column of a scan, which has the keys that no column
 * takes, up to the root of a plan, behind the columns of its SELECT. Called by query.c before the
 * plan is optimised, when the scan still has all columns of its dataset. */
#include "query/query_int.h"

/* The scan below projections and filters, if its dataset rescues unknown keys; else NULL. */
static const sm_plan_node *rescuing_scan(const sm_plan_node *n)
{
    while (n->kind == SM_PLAN_PROJECT || n->kind == SM_PLAN_FILTER) {
        n = n->inputs[0];
    }
    return n->kind == SM_PLAN_SCAN && n->as.scan.dataset->rescues ? n : NULL;
}

/* Adds the column to a projection; returns its place there. */
static int32_t add_column(sm_arena *a, sm_plan_node *n, int32_t at)
{
    const int32_t n_fields = n->schema->n_fields;
    const sm_type *in = n->inputs[0]->schema;
    sm_field *const fields = SM_NEW_ARRAY(a, sm_field, n_fields + 1);
    const sm_expr **const exprs = SM_NEW_ARRAY(a, const sm_expr *, n_fields + 1);

    if (n_fields > 0) {
        memcpy(fields, n->schema->fields, (size_t)n_fields * sizeof(*fields));
        memcpy(exprs, n->as.project.exprs, (size_t)n_fields * sizeof(*exprs));
    }
    fields[n_fields] = in->fields[at];
    exprs[n_fields] = sm_expr_column(in, at, a);
    n->schema = sm_type_struct(a, fields, n_fields + 1);
    n->as.project.exprs = exprs;
    return n_fields;
}

static int32_t carry(sm_arena *a, sm_plan_node *n)
{
    if (n->kind == SM_PLAN_SCAN) {
        const int32_t at = sm_dataset_keys(n->as.scan.dataset);
        SM_ASSERT(n->as.scan.columns[at] == at); /* it has not been pruned yet */
        return at;
    }
    const int32_t at = carry(a, n->inputs[0]);
    if (n->kind == SM_PLAN_PROJECT) {
        return add_column(a, n, at);
    }
    n->schema = n->inputs[0]->schema;
    return at;
}

void smi_plan_rescue(sm_arena *a, sm_plan_node *root)
{
    const sm_plan_node *const scan = rescuing_scan(root);

    if (!scan) {
        return;
    }
    const sm_dataset *const d = scan->as.scan.dataset;
    const sm_str name = d->schema->fields[sm_dataset_keys(d)].name;
    for (int32_t i = 0; i < root->schema->n_fields; i++) {
        if (sm_str_eq_nocase(root->schema->fields[i].name, name)) {
            return;
        }
    }
    (void)carry(a, root);
}
