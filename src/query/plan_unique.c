/* SPDX-License-Identifier: Apache-2.0
 *
 * query/plan_unique.c: is it certain by the plan alone that no two of its rows are alike in some
 * columns? So a rule about duplicates need not look at rows of which a GROUP BY has made one each.
 * Called by contract.
 *
 * Proof     from the node down, for a set of its columns, where NULL is like NULL:
 *           AGGREGATE  has one row for each value of its keys: all of them are in the set
 *           JOIN       a row of one side, which is known by columns of the set, meets one row of
 *                      the other at most, whose rows differ in the keys of the join; or each
 *                      side's rows differ in their part of the set, as pairs then do
 *           others     give the rows of their input, or some of them: the columns that they pass
 *                      on as they are
 *           More columns in the set only help. Of a scan nothing is known. */
#include "query/query_int.h"

/* Do the rows of `n` differ in the columns of which `in` is true? */
static bool differs(const sm_plan_node *n, const bool *in, sm_arena *a);

/* The columns among n expressions over `input`. */
static bool *columns_among(const sm_expr *const *exprs, int32_t n, const sm_type *input,
                           sm_arena *a)
{
    bool *const out = SM_NEW_ARRAY(a, bool, input->n_fields + 1);

    for (int32_t i = 0; i < n; i++) {
        if (exprs[i]->kind == SM_EXPR_COLUMN) {
            out[exprs[i]->index] = true;
        }
    }
    return out;
}

static bool project_differs(const sm_plan_node *n, const bool *in, sm_arena *a)
{
    const sm_type *const input = n->inputs[0]->schema;
    bool *const below = SM_NEW_ARRAY(a, bool, input->n_fields + 1);

    for (int32_t i = 0; i < n->schema->n_fields; i++) {
        const sm_expr *const x = n->as.project.exprs[i];
        if (in[i] && x->kind == SM_EXPR_COLUMN) {
            below[x->index] = true;
        }
    }
    return differs(n->inputs[0], below, a);
}

static bool aggregate_differs(const sm_plan_node *n, const bool *in)
{
    bool has_all = true; /* without keys it gives one row */

    SM_ASSERT(n->as.aggregate.n_keys <= n->schema->n_fields);
    for (int32_t i = 0; i < n->as.aggregate.n_keys; i++) {
        has_all = has_all && in[i];
    }
    return has_all;
}

/* A LEFT join gives a row of the right side as often as it has a pair, and NULLs in its place as
 * often as it has none: so only rows of the left side are known by one side's columns. */
static bool join_differs(const sm_plan_node *n, const bool *in, sm_arena *a)
{
    const sm_plan_node *const left = n->inputs[0], *const right = n->inputs[1];
    const int32_t n_keys = n->as.join.n_keys;
    const bool *const in_right = in + left->schema->n_fields;
    SM_ASSERT(left->schema->n_fields + right->schema->n_fields == n->schema->n_fields);
    const bool by_left = differs(left, in, a), by_right = differs(right, in_right, a);

    if ((by_left && by_right) ||
        (by_left &&
         differs(right, columns_among(n->as.join.right_keys, n_keys, right->schema, a), a))) {
        return true;
    }
    return by_right && n->as.join.kind == SM_JOIN_INNER &&
           differs(left, columns_among(n->as.join.left_keys, n_keys, left->schema, a), a);
}

/* Columns in which a check puts NULL are no longer those of the input. */
static bool check_differs(const sm_plan_node *n, const bool *in, sm_arena *a)
{
    bool *const below = SM_NEW_ARRAY(a, bool, n->inputs[0]->schema->n_fields + 1);

    for (int32_t i = 0; i < n->schema->n_fields; i++) {
        below[i] = in[i];
    }
    for (int32_t i = 0; i < n->as.check.n_checks; i++) {
        const sm_check *const c = &n->as.check.checks[i];
        if (c->action == SM_POLICY_NULL) {
            SM_ASSERT(c->column >= 0 && c->column < n->schema->n_fields);
            below[c->column] = false;
        }
    }
    return differs(n->inputs[0], below, a);
}

static bool differs(const sm_plan_node *n, const bool *in, sm_arena *a)
{
    switch (n->kind) {
    case SM_PLAN_PROJECT:
        return project_differs(n, in, a);
    case SM_PLAN_AGGREGATE:
        return aggregate_differs(n, in);
    case SM_PLAN_JOIN:
        return join_differs(n, in, a);
    case SM_PLAN_CHECK:
        return check_differs(n, in, a);
    case SM_PLAN_FILTER:
    case SM_PLAN_SORT:
    case SM_PLAN_LIMIT:
    case SM_PLAN_WINDOW: /* its input's columns come first */
        return differs(n->inputs[0], in, a);
    case SM_PLAN_VALUES:
        return n->as.values.n_rows <= 1;
    case SM_PLAN_SCAN:
    case SM_PLAN_UNION:
        break;
    }
    return false;
}

bool sm_plan_is_unique(const sm_plan_node *rows, const sm_expr *const *keys, int32_t n, sm_arena *a)
{
    SM_ASSERT(n > 0);
    return differs(rows, columns_among(keys, n, rows->schema, a), a);
}
