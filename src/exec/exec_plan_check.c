/* SPDX-License-Identifier: Apache-2.0
 *
 * exec/exec_plan_check.c: is a plan as operators rely on?
 *
 * Calls    by sm_exec_run(), in debug and sanitizer builds.
 * Checks   For each node: the number of inputs; the columns of its expressions, and their types,
 *          against those of the input; the node's own schema against its expressions. Operators
 *          index columns without checking: with a plan that the optimizer has cut wrongly they
 *          would read another column, or beyond the last. */
#include "exec/exec_int.h"

/* The plan that is checked, and the first thing that is wrong with it. */
typedef struct check {
    const sm_plan *plan;
    const char *why;
} check;

static bool fails(check *c, const char *why)
{
    c->why = why;
    return false;
}

static bool is_same(const sm_type *a, const sm_type *b)
{
    return sm_type_eq(a, b);
}

/* ---- expressions ----------------------------------------------------------------------------- */

static bool check_expr(check *c, const sm_expr *x, const sm_type *input)
{
    if (x->kind == SM_EXPR_COLUMN) {
        if (x->index < 0 || x->index >= input->n_fields) {
            return fails(c, "a plan's column is not one of its input's");
        }
        if (!is_same(x->type, input->fields[x->index].type)) {
            return fails(c, "a plan's column has another type than its input's");
        }
    }
    if (x->kind == SM_EXPR_PARAM && (x->index < 0 || x->index >= c->plan->n_params)) {
        return fails(c, "a plan uses a subquery that it does not have");
    }
    for (int32_t i = 0; i < x->n_args; i++) {
        if (!check_expr(c, x->args[i], input)) {
            return false;
        }
    }
    return true;
}

static bool check_condition(check *c, const sm_expr *x, const sm_type *input)
{
    if (x && x->type->id != SM_TYPE_BOOL) {
        return fails(c, "a plan's condition is no BOOLEAN");
    }
    return !x || check_expr(c, x, input);
}

/* An expression over `input` that makes column i of the node. */
static bool check_output(check *c, const sm_plan_node *node, int32_t i, const sm_expr *x,
                         const sm_type *input)
{
    if (i >= node->schema->n_fields || !is_same(x->type, node->schema->fields[i].type)) {
        return fails(c, "a plan's expression has another type than the column that it makes");
    }
    return check_expr(c, x, input);
}

/* ---- nodes ----------------------------------------------------------------------------------- */

static bool check_scan(check *c, const sm_plan_node *node)
{
    const sm_type *stored = node->as.scan.dataset->schema;
    for (int32_t i = 0; i < node->schema->n_fields; i++) {
        const int32_t column = node->as.scan.columns[i];
        if (column < 0 || column >= stored->n_fields) {
            return fails(c, "a scan's column is not one of its dataset's");
        }
    }
    return true;
}

static bool check_aggregate(check *c, const sm_plan_node *node, const sm_type *input)
{
    const int32_t n_keys = node->as.aggregate.n_keys;
    if (node->schema->n_fields != n_keys + node->as.aggregate.n_items) {
        return fails(c, "an aggregate gives other columns than keys and items");
    }
    for (int32_t i = 0; i < n_keys; i++) {
        if (!check_output(c, node, i, node->as.aggregate.keys[i], input)) {
            return false;
        }
    }
    for (int32_t i = 0; i < node->as.aggregate.n_items; i++) {
        const sm_agg_item *it = &node->as.aggregate.items[i];
        if (!check_output(c, node, n_keys + i, it->call, input) ||
            !check_condition(c, it->filter, input)) {
            return false;
        }
    }
    return true;
}

static bool check_join(check *c, const sm_plan_node *node)
{
    const sm_type *left = node->inputs[0]->schema, *right = node->inputs[1]->schema;
    if (node->schema->n_fields != left->n_fields + right->n_fields) {
        return fails(c, "a join gives other columns than left's and right's");
    }
    for (int32_t i = 0; i < node->as.join.n_keys; i++) {
        const sm_expr *x = node->as.join.left_keys[i], *y = node->as.join.right_keys[i];
        if (!is_same(x->type, y->type)) { /* equal keys would have different hashes */
            return fails(c, "a join compares keys of two types");
        }
        if (!check_expr(c, x, left) || !check_expr(c, y, right)) {
            return false;
        }
    }
    return check_condition(c, node->as.join.on, node->schema);
}

static bool check_keys(check *c, const sm_sort_key *keys, int32_t n, const sm_type *input)
{
    for (int32_t i = 0; i < n; i++) {
        if (!check_expr(c, keys[i].expr, input)) {
            return false;
        }
    }
    return true;
}

static bool check_window(check *c, const sm_plan_node *node, const sm_type *input)
{
    if (node->schema->n_fields != input->n_fields + node->as.window.n_items) {
        return fails(c, "a window gives other columns than its input's and its items");
    }
    for (int32_t i = 0; i < node->as.window.n_items; i++) {
        const sm_window_item *it = &node->as.window.items[i];
        for (int32_t k = 0; k < it->n_partition; k++) {
            if (!check_expr(c, it->partition[k], input)) {
                return false;
            }
        }
        if (!check_output(c, node, input->n_fields + i, it->call, input) ||
            !check_keys(c, it->order, it->n_order, input)) {
            return false;
        }
    }
    return true;
}

/* The node gives its input's columns unchanged. */
/* Are the node's columns the first of the input's? */
static bool check_first_columns(check *c, const sm_plan_node *node, const sm_type *input)
{
    if (node->schema->n_fields > input->n_fields) {
        return fails(c, "a node that only passes rows gives other columns than it gets");
    }
    for (int32_t i = 0; i < node->schema->n_fields; i++) {
        if (!is_same(node->schema->fields[i].type, input->fields[i].type)) {
            return fails(c, "a node that only passes rows gives another type than it gets");
        }
    }
    return true;
}

static bool check_same_columns(check *c, const sm_plan_node *node, const sm_type *input)
{
    return node->schema->n_fields == input->n_fields
               ? check_first_columns(c, node, input)
               : fails(c, "a node that only passes rows gives other columns than it gets");
}

static bool check_checks(check *c, const sm_plan_node *node, const sm_type *input)
{
    if (node->as.check.side < 0) {
        return fails(c, "a check has no side output");
    }
    for (int32_t i = 0; i < node->as.check.n_checks; i++) {
        const sm_check *it = &node->as.check.checks[i];
        if (it->action == SM_POLICY_NULL &&
            (it->column < 0 || it->column >= node->schema->n_fields)) {
            return fails(c, "a check changes a column that is not one of its own");
        }
        if (!check_condition(c, node->as.check.breaks[i], input)) {
            return false;
        }
    }
    return check_first_columns(c, node, input);
}

static bool check_node(check *c, const sm_plan_node *node)
{
    const sm_type *input = node->n_inputs > 0 ? node->inputs[0]->schema : NULL;
    switch (node->kind) {
    case SM_PLAN_SCAN:
        return check_scan(c, node);
    case SM_PLAN_VALUES:
        return true;
    case SM_PLAN_FILTER:
        return check_condition(c, node->as.filter.where, input) &&
               check_same_columns(c, node, input);
    case SM_PLAN_PROJECT:
        for (int32_t i = 0; i < node->schema->n_fields; i++) {
            if (!check_output(c, node, i, node->as.project.exprs[i], input)) {
                return false;
            }
        }
        return true;
    case SM_PLAN_AGGREGATE:
        return check_aggregate(c, node, input);
    case SM_PLAN_JOIN:
        return check_join(c, node);
    case SM_PLAN_WINDOW:
        return check_window(c, node, input);
    case SM_PLAN_SORT:
        return check_keys(c, node->as.sort.keys, node->as.sort.n_keys, input) &&
               check_same_columns(c, node, input);
    case SM_PLAN_LIMIT:
        return check_same_columns(c, node, input);
    case SM_PLAN_UNION:
        return check_same_columns(c, node, input) &&
               check_same_columns(c, node, node->inputs[node->n_inputs - 1]->schema);
    case SM_PLAN_CHECK:
        return check_checks(c, node, input);
    }
    return fails(c, "a plan has a node of no kind");
}

static int32_t inputs_of(sm_plan_kind kind)
{
    switch (kind) {
    case SM_PLAN_SCAN:
    case SM_PLAN_VALUES:
        return 0;
    case SM_PLAN_JOIN:
    case SM_PLAN_UNION:
        return 2;
    default:
        return 1;
    }
}

static bool check_tree(check *c, const sm_plan_node *node)
{
    if (node->id < 0 || node->id >= c->plan->n_nodes) { /* profiles are found by it */
        return fails(c, "a plan's node has a number that is not the plan's");
    }
    if (node->n_inputs != inputs_of(node->kind)) {
        return fails(c, "a plan's node has too many or too few inputs");
    }
    for (int32_t i = 0; i < node->n_inputs; i++) {
        if (!check_tree(c, node->inputs[i])) {
            return false;
        }
    }
    return check_node(c, node);
}

bool smi_plan_validate(const sm_plan *plan, const char **why)
{
    check c = {.plan = plan, .why = ""};
    bool is_right = check_tree(&c, plan->root);
    for (int32_t i = 0; i < plan->n_params && is_right; i++) {
        is_right = check_tree(&c, plan->params[i].root);
    }
    *why = c.why;
    return is_right;
}
