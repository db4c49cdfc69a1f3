/* SPDX-License-Identifier: Apache-2.0
 *
 * query/expr_check.c: asserts that a plan's nodes and expressions are what the evaluator and the
 * passes of the optimizer take for granted.
 *
 * Calls    by the optimizer, before its first pass and after each, in debug and sanitizer builds:
 *          so a pass that breaks a plan is found there, not by a wrong row later.
 * Checks   by the kind of an expression: how many arguments it has, of which types, and what must
 *          have been prepared; by the kind of a node: its inputs, counts and limits. That a node's
 *          schema is what its expressions give is checked by exec before a plan runs
 *          (exec_plan_check.c). */
#include "query/function/function_int.h"

/* Where an expression is: only items of aggregates and windows may call others than scalars. */
typedef enum call_place { IN_ROW, IN_AGGREGATE, IN_WINDOW } call_place;

/* ---- expressions ----------------------------------------------------------------------------- */

static void check_expr(const sm_expr *x, const sm_type *input);

static void check_value(sm_value v)
{
    if (v.is_null) {
        return;
    }
    switch (v.type->id) {
    case SM_TYPE_NULL:
        SM_ASSERT(!"a value of type NULL is NULL");
        break;
    case SM_TYPE_DECIMAL:
        SM_ASSERT(v.type->precision <= 38 && v.type->scale <= v.type->precision);
        SM_ASSERT(v.as.d < smi_pow10[v.type->precision] && v.as.d > -smi_pow10[v.type->precision]);
        break;
    case SM_TYPE_DATE:
        SM_ASSERT(v.as.i >= INT32_MIN && v.as.i <= INT32_MAX);
        break;
    case SM_TYPE_STRUCT:
        SM_ASSERT(v.as.nested.n == v.type->n_fields);
        break;
    case SM_TYPE_MAP:
        SM_ASSERT(v.as.nested.n % 2 == 0);
        break;
    default:
        break;
    }
    for (int64_t i = 0; sm_type_is_nested(v.type->id) && i < v.as.nested.n; i++) {
        check_value(v.as.nested.items[i]);
    }
}

static void check_call(const sm_expr *x, call_place place)
{
    const sm_function_kind kinds[] = {SM_FN_SCALAR, SM_FN_AGGREGATE, SM_FN_WINDOW};
    SM_ASSERT(x->fn != NULL && x->fn->kind == kinds[place]);
    SM_ASSERT(!(smi_fn_flags(x->fn) & SMI_WRITTEN_OUT)); /* a CASE stands in its place */
    SM_ASSERT(!x->fn->is_strict || !sm_type_is_nested(x->type->id));
    if (smi_wraps(x)) {
        const sm_expr *const inner = x->prepared;
        SM_ASSERT(inner != NULL && inner->kind == SM_EXPR_CALL);
        SM_ASSERT(inner->fn->kind == SM_FN_AGGREGATE && sm_type_eq(inner->type, x->type));
        SM_ASSERT(inner->args == x->args && inner->n_args == x->n_args);
    }
}

static void check_case(const sm_expr *x)
{
    SM_ASSERT(x->n_args >= 3 && x->n_args % 2 == 1);
    for (int32_t i = 0; i < x->n_args; i++) {
        const bool is_when = i % 2 == 0 && i + 1 < x->n_args;
        SM_ASSERT(is_when ? x->args[i]->type->id == SM_TYPE_BOOL
                          : sm_type_eq(x->args[i]->type, x->type));
    }
}

static void check_in(const sm_expr *x)
{
    SM_ASSERT(x->n_args >= 2 && x->type->id == SM_TYPE_BOOL && x->prepared != NULL);
    for (int32_t i = 1; i < x->n_args; i++) {
        SM_ASSERT(x->args[i]->kind == SM_EXPR_CONST);
        SM_ASSERT(sm_type_eq(x->args[i]->type, x->args[0]->type));
    }
}

static void check_kind(const sm_expr *x, const sm_type *input, call_place place)
{
    switch (x->kind) {
    case SM_EXPR_COLUMN:
        SM_ASSERT(x->index >= 0 && x->index < input->n_fields && x->n_args == 0);
        SM_ASSERT(sm_type_eq(x->type, input->fields[x->index].type));
        return;
    case SM_EXPR_CONST:
        SM_ASSERT(sm_type_eq(x->type, x->value.type) && x->n_args == 0);
        check_value(x->value);
        return;
    case SM_EXPR_PARAM:
        SM_ASSERT(x->index >= 0 && x->n_args == 0);
        return;
    case SM_EXPR_CALL:
        check_call(x, place);
        return;
    case SM_EXPR_CAST:
        SM_ASSERT(x->n_args == 1);
        return;
    case SM_EXPR_AND:
    case SM_EXPR_OR:
        SM_ASSERT(x->n_args >= 2 && x->type->id == SM_TYPE_BOOL);
        for (int32_t i = 0; i < x->n_args; i++) {
            SM_ASSERT(x->args[i]->type->id == SM_TYPE_BOOL);
            SM_ASSERT(x->args[i]->kind != x->kind); /* flat: fold_logic() */
        }
        return;
    case SM_EXPR_CASE:
        check_case(x);
        return;
    case SM_EXPR_IN:
        check_in(x);
        return;
    case SM_EXPR_FIELD: {
        SM_ASSERT(x->n_args == 1 && x->args[0]->type->id == SM_TYPE_STRUCT);
        const sm_type *const outer = x->args[0]->type;
        SM_ASSERT(x->index >= 0 && x->index < outer->n_fields);
        SM_ASSERT(sm_type_eq(x->type, outer->fields[x->index].type));
        return;
    }
    }
    SM_ASSERT(!"a placeholder of the binder is left in a plan");
}

static void check_item(const sm_expr *x, const sm_type *input, call_place place)
{
    SM_ASSERT(x->type != NULL && smi_plain_type(x->type) == x->type); /* no literal's type */
    SM_ASSERT(x->off_bytes <= x->end_bytes);
    SM_ASSERT(!x->is_try || x->kind == SM_EXPR_CAST);
    SM_ASSERT(!x->is_star || x->kind == SM_EXPR_FIELD);
    for (int32_t i = 0; i < x->n_args; i++) {
        check_expr(x->args[i], input);
    }
    check_kind(x, input, place);
}

static void check_expr(const sm_expr *x, const sm_type *input)
{
    check_item(x, input, IN_ROW);
}

static void check_condition(const sm_expr *x, const sm_type *input)
{
    if (x) {
        SM_ASSERT(x->type->id == SM_TYPE_BOOL);
        check_expr(x, input);
    }
}

static void check_order(const sm_sort_key *keys, int32_t n, const sm_type *input)
{
    for (int32_t i = 0; i < n; i++) {
        SM_ASSERT(!sm_type_is_nested(keys[i].expr->type->id)); /* they have no order */
        check_expr(keys[i].expr, input);
    }
}

/* ---- nodes ----------------------------------------------------------------------------------- */

/* The columns of a scan, and those that it reads of its files, both in the dataset's order. */
static void check_scan(const sm_plan_node *n)
{
    const sm_dataset *const d = n->as.scan.dataset;
    const sm_projection *const want = &n->as.scan.want;
    const int32_t n_stored = d->schema->n_fields - d->n_constants;
    int32_t n_read = 0;
    for (int32_t i = 0; i < n->schema->n_fields; i++) {
        const int32_t column = n->as.scan.columns[i];
        SM_ASSERT(column >= 0 && column < d->schema->n_fields);
        SM_ASSERT(i == 0 || column > n->as.scan.columns[i - 1]);
        n_read += column < n_stored;
    }
    SM_ASSERT(want->n_columns == n_read);
    for (int32_t i = 0; i < want->n_columns; i++) {
        SM_ASSERT(want->columns[i] >= 0 && want->columns[i] < n_stored);
        SM_ASSERT(i == 0 || want->columns[i] > want->columns[i - 1]);
    }
}

static void check_values(const sm_plan_node *n)
{
    const int32_t n_columns = n->schema->n_fields;
    SM_ASSERT(n->as.values.n_rows >= 0);
    for (int64_t i = 0; i < n->as.values.n_rows * n_columns; i++) {
        const sm_expr *const x = n->as.values.rows[i];
        SM_ASSERT(x->kind == SM_EXPR_CONST);
        SM_ASSERT(sm_type_eq(x->type, n->schema->fields[i % n_columns].type));
    }
}

static void check_aggregate(const sm_plan_node *n, const sm_type *input)
{
    SM_ASSERT(n->schema->n_fields == n->as.aggregate.n_keys + n->as.aggregate.n_items);
    for (int32_t i = 0; i < n->as.aggregate.n_keys; i++) {
        check_expr(n->as.aggregate.keys[i], input);
    }
    for (int32_t i = 0; i < n->as.aggregate.n_items; i++) {
        check_item(n->as.aggregate.items[i].call, input, IN_AGGREGATE);
        check_condition(n->as.aggregate.items[i].filter, input);
    }
}

static void check_join(const sm_plan_node *n)
{
    const sm_type *const left = n->inputs[0]->schema, *const right = n->inputs[1]->schema;
    SM_ASSERT(n->schema->n_fields == left->n_fields + right->n_fields);
    SM_ASSERT(n->as.join.kind != SM_JOIN_CROSS || n->as.join.n_keys == 0);
    SM_ASSERT(n->as.join.kind != SM_JOIN_INNER || n->as.join.n_keys > 0); /* smi_join_settle() */
    SM_ASSERT(n->as.join.kind == SM_JOIN_LEFT || !n->as.join.on);         /* else a filter above */
    for (int32_t i = 0; i < n->as.join.n_keys; i++) {
        SM_ASSERT(sm_type_eq(n->as.join.left_keys[i]->type, n->as.join.right_keys[i]->type));
        check_expr(n->as.join.left_keys[i], left);
        check_expr(n->as.join.right_keys[i], right);
    }
    check_condition(n->as.join.on, n->schema);
}

static void check_window(const sm_plan_node *n, const sm_type *input)
{
    SM_ASSERT(n->as.window.n_items > 0);
    SM_ASSERT(n->schema->n_fields == input->n_fields + n->as.window.n_items);
    for (int32_t i = 0; i < n->as.window.n_items; i++) {
        const sm_window_item *const w = &n->as.window.items[i];
        check_item(w->call, input, IN_WINDOW);
        for (int32_t k = 0; k < w->n_partition; k++) {
            check_expr(w->partition[k], input);
        }
        check_order(w->order, w->n_order, input);
    }
}

static void check_checks(const sm_plan_node *n, const sm_type *input)
{
    const sm_type *const leaves = n->as.check.leaves;
    SM_ASSERT(n->as.check.n_checks > 0 && n->as.check.side >= 0);
    SM_ASSERT(n->schema->n_fields <= input->n_fields);
    SM_ASSERT(leaves->n_fields == n->schema->n_fields + 1);
    for (int32_t i = 0; i < n->schema->n_fields; i++) {
        SM_ASSERT(sm_type_eq(n->schema->fields[i].type, input->fields[i].type));
        SM_ASSERT(sm_type_eq(leaves->fields[i].type, input->fields[i].type));
    }
    for (int32_t i = 0; i < n->as.check.n_checks; i++) {
        const sm_check *const c = &n->as.check.checks[i];
        check_condition(c->holds, input);
        check_condition(n->as.check.breaks[i], input);
        SM_ASSERT(c->action != SM_POLICY_NULL || n->schema->fields[c->column].is_nullable);
    }
}

static void check_node(const sm_plan_node *n)
{
    const sm_type *const input = n->n_inputs > 0 ? n->inputs[0]->schema : NULL;
    switch (n->kind) {
    case SM_PLAN_SCAN:
        check_scan(n);
        return;
    case SM_PLAN_VALUES:
        check_values(n);
        return;
    case SM_PLAN_FILTER:
        SM_ASSERT(n->as.filter.where != NULL);
        check_condition(n->as.filter.where, input);
        return;
    case SM_PLAN_PROJECT:
        for (int32_t i = 0; i < n->schema->n_fields; i++) {
            check_expr(n->as.project.exprs[i], input);
            SM_ASSERT(sm_type_eq(n->as.project.exprs[i]->type, n->schema->fields[i].type));
        }
        return;
    case SM_PLAN_AGGREGATE:
        check_aggregate(n, input);
        return;
    case SM_PLAN_JOIN:
        check_join(n);
        return;
    case SM_PLAN_WINDOW:
        check_window(n, input);
        return;
    case SM_PLAN_SORT:
        SM_ASSERT(n->as.sort.n_keys > 0 && n->as.sort.limit >= -1);
        check_order(n->as.sort.keys, n->as.sort.n_keys, input);
        return;
    case SM_PLAN_LIMIT:
        SM_ASSERT(n->as.limit.limit >= -1 && n->as.limit.offset >= 0);
        return;
    case SM_PLAN_UNION:
        SM_ASSERT(n->inputs[0]->schema->n_fields == n->schema->n_fields);
        SM_ASSERT(n->inputs[1]->schema->n_fields == n->schema->n_fields);
        return;
    case SM_PLAN_CHECK:
        check_checks(n, input);
        return;
    }
    SM_ASSERT(!"a node of no kind");
}

void smi_check_plan(const sm_plan_node *n)
{
    SM_ASSERT(n->n_inputs == smi_node_inputs(n->kind) && n->schema->id == SM_TYPE_STRUCT);
    for (int32_t i = 0; i < n->n_inputs; i++) {
        smi_check_plan(n->inputs[i]);
    }
    check_node(n);
}
