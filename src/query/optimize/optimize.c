/* SPDX-License-Identifier: Apache-2.0
 *
 * query/optimize/optimize.c: makes a bound plan a better one that gives the same rows in the same
 * order.
 *
 * Passes    0 Rows whose number is known are not counted (opt_count.c). It is known of nodes that
 *             no pass has changed, so this comes first.
 *           1 Joins of aggregates over equal inputs become one aggregate (opt_merge.c). This comes
 *             while filters still stand above the aggregates: there both sides may have different
 *             ones.
 *           2 Filters move down to where their columns come from; equalities between the two sides
 *             of a cross join become its keys. Then 1 and 2 again, for the joins that this made.
 *           3 Columns that nothing uses are left out, from the scans on (opt_prune.c).
 *           4 What a projection computes several times is computed once, below it (opt_share.c).
 *           5 A LIMIT is told to the SORT below it.
 *           6 Bounds are told to scans by the filters above them.
 * Nodes     are changed in place: each has one parent.
 * Checks    Debug and sanitizer builds check the plan before and after each pass: expr_check.c. */
#include "query/optimize/optimize_int.h"

/* A predicate that would have more nodes than this below a projection stays above it. */
#define MAX_PUSHED_NODES 2000

/* AND-ed predicates on their way down, over the output columns of the node that gets them. */
typedef struct preds {
    const sm_expr **items;
    int32_t n;
} preds;

static sm_plan_node *push_preds(sm_arena *a, sm_plan_node *n, preds down);

static preds preds_new(sm_arena *a, int32_t cap)
{
    return (preds){SM_NEW_ARRAY(a, const sm_expr *, cap + 1), 0};
}

static sm_plan_node *no_rows(sm_arena *a, const sm_type *schema)
{
    return smi_node(a, SM_PLAN_VALUES, schema, NULL, NULL);
}

static sm_plan_node *filtered(sm_arena *a, sm_plan_node *n, preds here)
{
    const sm_expr *const where = smi_and(a, here.items, here.n);
    SM_ASSERT(!where || where->type->id == SM_TYPE_BOOL);
    if (where && smi_is_false_or_null(where) && !sm_plan_has_check(n)) {
        return no_rows(a, n->schema);
    }
    return smi_node_filter(a, n, where);
}

/* ---- through one node ------------------------------------------------------------------------ */

static sm_plan_node *push_filter(sm_arena *a, sm_plan_node *n, preds down)
{
    preds all = {0};
    smi_conjuncts(a, n->as.filter.where, &all.items, &all.n); /* the lower ones come first */
    for (int32_t i = 0; i < down.n; i++) {
        smi_conjuncts(a, down.items[i], &all.items, &all.n);
    }
    return push_preds(a, n->inputs[0], all);
}

static sm_plan_node *push_project(sm_arena *a, sm_plan_node *n, preds down)
{
    preds below = preds_new(a, down.n), stay = preds_new(a, down.n);
    for (int32_t i = 0; i < down.n; i++) {
        int64_t size = smi_expr_size(down.items[i]);
        for (int32_t k = 0; k < n->schema->n_fields && size <= MAX_PUSHED_NODES; k++) {
            size += smi_expr_size(n->as.project.exprs[k]);
        }
        if (size <= MAX_PUSHED_NODES) {
            below.items[below.n++] = smi_substitute(a, down.items[i], n->as.project.exprs);
        } else {
            stay.items[stay.n++] = down.items[i];
        }
    }
    SM_ASSERT(below.n + stay.n == down.n);
    n->inputs[0] = push_preds(a, n->inputs[0], below);
    return filtered(a, n, stay);
}

/* Does x use only the first n columns (`first`), or only the columns after them? */
static bool uses_only(sm_arena *a, const sm_expr *x, int32_t n, int32_t n_columns, bool first)
{
    bool *const used = SM_NEW_ARRAY(a, bool, n_columns + 1);
    smi_columns_used(x, used);
    for (int32_t i = first ? n : 0; i < (first ? n_columns : n); i++) {
        if (used[i]) {
            return false;
        }
    }
    return true;
}

static sm_plan_node *push_aggregate(sm_arena *a, sm_plan_node *n, preds down)
{
    preds below = preds_new(a, down.n), stay = preds_new(a, down.n);
    const int32_t n_keys = n->as.aggregate.n_keys;
    for (int32_t i = 0; i < down.n; i++) {
        if (n_keys > 0 && uses_only(a, down.items[i], n_keys, n->schema->n_fields, true)) {
            below.items[below.n++] = smi_substitute(a, down.items[i], n->as.aggregate.keys);
        } else {
            stay.items[stay.n++] = down.items[i];
        }
    }
    n->inputs[0] = push_preds(a, n->inputs[0], below);
    return filtered(a, n, stay);
}

static const sm_expr *to_right(sm_arena *a, const sm_expr *x, int32_t n_left, int32_t n_columns)
{
    int32_t *const map = SM_NEW_ARRAY(a, int32_t, n_columns + 1);
    for (int32_t i = 0; i < n_columns; i++) {
        map[i] = i - n_left;
    }
    return smi_remap(a, x, map);
}

/* What can fail stays above: below the join it might meet rows that the join drops. */
static sm_plan_node *push_join(sm_arena *a, sm_plan_node *n, preds down)
{
    const int32_t n_left = n->inputs[0]->schema->n_fields, n_all = n->schema->n_fields;
    const bool is_left = n->as.join.kind == SM_JOIN_LEFT;
    preds left = preds_new(a, down.n), right = preds_new(a, down.n), stay = preds_new(a, down.n);
    for (int32_t i = 0; i < down.n; i++) {
        const sm_expr *const x = down.items[i];
        const bool may_fail = smi_can_fail(x);
        if (!may_fail && uses_only(a, x, n_left, n_all, true)) {
            left.items[left.n++] = x;
        } else if (!may_fail && !is_left && uses_only(a, x, n_left, n_all, false)) {
            right.items[right.n++] = to_right(a, x, n_left, n_all);
        } else if (!is_left && !may_fail && smi_join_add(a, n, x)) {
            n->as.join.kind = SM_JOIN_INNER;
        } else {
            stay.items[stay.n++] = x;
        }
    }
    SM_ASSERT(left.n + right.n + stay.n <= down.n); /* the others are keys now */
    n->inputs[0] = push_preds(a, n->inputs[0], left);
    n->inputs[1] = push_preds(a, n->inputs[1], right);
    return filtered(a, n, stay);
}

static sm_plan_node *push_preds(sm_arena *a, sm_plan_node *n, preds down)
{
    const preds none = {0};
    switch (n->kind) {
    case SM_PLAN_FILTER:
        return push_filter(a, n, down);
    case SM_PLAN_PROJECT:
        return push_project(a, n, down);
    case SM_PLAN_AGGREGATE:
        return push_aggregate(a, n, down);
    case SM_PLAN_JOIN:
        return push_join(a, n, down);
    case SM_PLAN_UNION:
        n->inputs[0] = push_preds(a, n->inputs[0], down);
        n->inputs[1] = push_preds(a, n->inputs[1], down);
        return n;
    case SM_PLAN_SORT:
        if (n->as.sort.limit < 0) {
            n->inputs[0] = push_preds(a, n->inputs[0], down);
            return n;
        }
        break;
    default:
        break;
    }
    if (n->n_inputs > 0) {
        n->inputs[0] = push_preds(a, n->inputs[0], none);
    }
    return filtered(a, n, down);
}

static sm_plan_node *push_filters(sm_arena *a, sm_plan_node *n)
{
    return push_preds(a, n, (preds){0});
}

/* ---- LIMIT ----------------------------------------------------------------------------------- */

static sm_plan_node *push_limits(sm_arena *a, sm_plan_node *n)
{
    if (n->kind == SM_PLAN_LIMIT && n->as.limit.limit >= 0) {
        sm_plan_node *below = n->inputs[0];
        int64_t rows = 0;
        while (below->kind == SM_PLAN_PROJECT) {
            below = below->inputs[0];
        }
        const bool fits = !__builtin_add_overflow(n->as.limit.limit, n->as.limit.offset, &rows);
        if (below->kind == SM_PLAN_SORT && fits) {
            below->as.sort.limit = rows;
        }
    }
    for (int32_t i = 0; i < n->n_inputs; i++) {
        n->inputs[i] = push_limits(a, n->inputs[i]);
    }
    return n;
}

/* ---- bounds ---------------------------------------------------------------------------------- */

static void set_bounds(sm_arena *a, sm_plan_node *n)
{
    if (n->kind == SM_PLAN_FILTER && n->inputs[0]->kind == SM_PLAN_SCAN) {
        sm_plan_node *const scan = n->inputs[0];
        sm_bounds bounds = {0};
        sm_expr_bounds(n->as.filter.where, a, &bounds);
        for (int32_t i = 0; i < bounds.n; i++) { /* the scan's columns to the dataset's */
            int32_t *const path = (int32_t *)bounds.items[i].path;
            SM_ASSERT(path[0] >= 0 && path[0] < scan->schema->n_fields);
            path[0] = scan->as.scan.columns[path[0]];
        }
        scan->as.scan.want.bounds = bounds;
    }
    for (int32_t i = 0; i < n->n_inputs; i++) {
        set_bounds(a, n->inputs[i]);
    }
}

/* ---- all passes ------------------------------------------------------------------------------ */

/* The plan, which still gives the columns of `schema`. */
static sm_plan_node *checked(sm_plan_node *root, const sm_type *schema)
{
#ifdef SM_ASSERTS
    smi_check_plan(root);
#endif
    SM_ASSERT(sm_type_eq(root->schema, schema));
    return root;
}

sm_plan_node *smi_optimize(sm_arena *a, sm_plan_node *root)
{
    const sm_type *const schema = root->schema;
    root = checked(root, schema);
    root = checked(smi_opt_count(a, root), schema);
    root = checked(smi_opt_merge_aggregates(a, root), schema);
    root = checked(push_filters(a, root), schema);
    root = checked(smi_opt_merge_aggregates(a, root), schema);
    root = checked(push_filters(a, root), schema);
    root = checked(smi_opt_prune(a, root), schema);
    root = checked(smi_opt_share(a, root), schema);
    root = checked(push_limits(a, root), schema);
    set_bounds(a, root);
    return root;
}
