/* SPDX-License-Identifier: Apache-2.0
 *
 * query/plan_build.c: plans by calls (the sm_plan_… of query.h), for callers without SQL text: a
 * write that looks into files, a check, a program.
 *
 * Nodes     are made by the same functions as the binder's (plan.c). So such a plan means what the
 *           same SQL means, and the same passes optimise it. Unlike the binder's, a node may have
 *           many parents: it never changes once it is made, hence `const`, and plan_clone.c copies
 *           it for the optimizer. link_of() alone removes the const, to link a node to its parent.
 * Mistakes  A wrong column or kind of call is the caller's mistake, and asserted. Types that do not
 *           fit depend on data, and are errors. */
#include "query/query_int.h"

/* As a node's input. Nothing is written through it: what is optimised is a copy. */
static sm_plan_node *link_of(const sm_plan_node *n)
{
    return (sm_plan_node *)n;
}

/* ---- what callers must see to ---------------------------------------------------------------- */

/* Is it an expression over these columns, without subqueries? */
static bool is_over(const sm_expr *x, const sm_type *columns)
{
    if (x->kind == SM_EXPR_COLUMN) {
        return x->index >= 0 && x->index < columns->n_fields &&
               sm_type_eq(x->type, columns->fields[x->index].type);
    }
    for (int32_t i = 0; i < x->n_args; i++) {
        if (!is_over(x->args[i], columns)) {
            return false;
        }
    }
    return x->kind != SM_EXPR_PARAM;
}

/* Is it computed row by row, with neither aggregates nor window functions in it? */
static bool is_plain(const sm_expr *x)
{
    if (x->kind == SM_EXPR_CALL && x->fn->kind != SM_FN_SCALAR) {
        return false;
    }
    for (int32_t i = 0; i < x->n_args; i++) {
        if (!is_plain(x->args[i])) {
            return false;
        }
    }
    return true;
}

static bool is_call_over(const sm_expr *call, const sm_type *columns)
{
    for (int32_t i = 0; i < call->n_args; i++) {
        if (!is_plain(call->args[i])) {
            return false;
        }
    }
    return call->kind == SM_EXPR_CALL && is_over(call, columns);
}

static bool is_plain_over(const sm_expr *x, const sm_type *columns)
{
    return is_plain(x) && is_over(x, columns);
}

/* ---- parts of nodes -------------------------------------------------------------------------- */

static const sm_expr **exprs_of(sm_arena *a, const sm_expr *const *exprs, int32_t n,
                                const sm_type *columns)
{
    const sm_expr **const out = SM_NEW_ARRAY(a, const sm_expr *, n + 1);
    for (int32_t i = 0; i < n; i++) {
        SM_ASSERT(is_plain_over(exprs[i], columns));
        out[i] = exprs[i];
    }
    return out;
}

static sm_status sort_keys_of(sm_arena *a, const sm_sort_key *keys, int32_t n,
                              const sm_type *columns, sm_sort_key **out, sm_error *e)
{
    sm_sort_key *const copy = SM_NEW_ARRAY(a, sm_sort_key, n + 1);
    for (int32_t i = 0; i < n; i++) {
        SM_ASSERT(is_plain_over(keys[i].expr, columns));
        if (sm_type_is_nested(keys[i].expr->type->id)) {
            return sm_fail(e, SM_TYPE, "lists and structs have no order");
        }
        copy[i] = keys[i];
    }
    *out = copy;
    return SM_OK;
}

static sm_status window_of(sm_arena *a, const sm_window_item *item, const sm_type *columns,
                           sm_window_item *out, sm_error *e)
{
    sm_sort_key *order = NULL;
    const bool is_aggregate = item->call->fn->kind == SM_FN_AGGREGATE;
    SM_ASSERT(is_call_over(item->call, columns) && item->call->fn->kind != SM_FN_SCALAR);
    SM_TRY(sort_keys_of(a, item->order, item->n_order, columns, &order, e));
    *out = (sm_window_item){
        .call = is_aggregate ? smi_make_over(a, item->call) : item->call,
        .partition = exprs_of(a, item->partition, item->n_partition, columns),
        .n_partition = item->n_partition,
        .order = order,
        .n_order = item->n_order,
    };
    return SM_OK;
}

/* ---- nodes ----------------------------------------------------------------------------------- */

const sm_plan_node *sm_plan_scan(const sm_relation *from, bool takes_row, sm_arena *a)
{
    SM_ASSERT(from->dataset != NULL);
    sm_relation own = *from;
    own.label = sm_arena_str(a, from->label);
    sm_plan_node *const n = smi_node_scan(a, &own);
    n->as.scan.want.takes_row = takes_row && from->unknown != SM_UNKNOWN_PASS;
    return n;
}

const sm_plan_node *sm_plan_values(const sm_type *schema, const sm_value *values, int64_t n,
                                   sm_arena *a)
{
    const int64_t n_values = n * schema->n_fields;
    const sm_expr **rows = SM_NEW_ARRAY(a, const sm_expr *, n_values + 1);
    sm_plan_node *const node = smi_node(a, SM_PLAN_VALUES, schema, NULL, NULL);

    for (int64_t i = 0; i < n_values; i++) {
        SM_ASSERT(sm_type_eq(values[i].type, schema->fields[i % schema->n_fields].type));
        rows[i] = sm_expr_constant(values[i], a);
    }
    node->as.values.rows = rows;
    node->as.values.n_rows = n;
    return node;
}

sm_status sm_plan_filter(const sm_plan_node *in, const sm_expr *where, sm_arena *a,
                         const sm_plan_node **out, sm_error *e)
{
    SM_ASSERT(is_plain_over(where, in->schema));
    const sm_expr *x = NULL;
    SM_TRY(smi_make_predicate(a, where, "a filter", NULL, &x, e));
    *out = smi_node_filter(a, link_of(in), x);
    return SM_OK;
}

const sm_plan_node *sm_plan_project(const sm_plan_node *in, const sm_expr *const *exprs,
                                    const sm_str *names, int32_t n, sm_arena *a)
{
    sm_str *const own = SM_NEW_ARRAY(a, sm_str, n + 1);
    for (int32_t i = 0; i < n; i++) {
        own[i] = sm_arena_str(a, names[i]);
    }
    return smi_node_project(a, link_of(in), exprs_of(a, exprs, n, in->schema), own, n);
}

sm_status sm_plan_join(const sm_plan_node *left, const sm_plan_node *right, sm_join_kind kind,
                       const sm_expr *on, sm_arena *a, const sm_plan_node **out, sm_error *e)
{
    SM_ASSERT((kind == SM_JOIN_CROSS) == (on == NULL));
    sm_plan_node *const join = smi_node_join(a, link_of(left), link_of(right), kind);
    sm_plan_node *top = join;
    if (on) {
        const sm_expr *x = NULL;
        SM_ASSERT(is_plain_over(on, join->schema));
        SM_TRY(smi_make_predicate(a, on, "ON", NULL, &x, e));
        top = smi_join_on(a, join, x);
    }
    smi_join_settle(join);
    *out = top;
    return SM_OK;
}

sm_status sm_plan_aggregate(const sm_plan_node *in, const sm_expr *const *keys, int32_t n_keys,
                            const sm_agg_item *items, int32_t n_items, sm_arena *a,
                            const sm_plan_node **out, sm_error *e)
{
    SM_ASSERT(n_keys + n_items > 0);
    sm_agg_item *const own = SM_NEW_ARRAY(a, sm_agg_item, n_items + 1);
    for (int32_t i = 0; i < n_keys; i++) {
        if (sm_type_is_nested(keys[i]->type->id)) {
            return sm_fail(e, SM_TYPE, "lists and structs cannot be grouped by");
        }
    }
    for (int32_t i = 0; i < n_items; i++) {
        SM_ASSERT(is_call_over(items[i].call, in->schema) && !items[i].is_distinct);
        SM_ASSERT(items[i].call->fn->kind == SM_FN_AGGREGATE);
        own[i].call = items[i].call;
        if (items[i].filter) {
            SM_ASSERT(is_plain_over(items[i].filter, in->schema));
            SM_TRY(smi_make_predicate(a, items[i].filter, "FILTER", NULL, &own[i].filter, e));
        }
    }
    *out = smi_node_aggregate(a, link_of(in), exprs_of(a, keys, n_keys, in->schema), n_keys, own,
                              n_items);
    return SM_OK;
}

sm_status sm_plan_window(const sm_plan_node *in, const sm_window_item *items, int32_t n_items,
                         sm_arena *a, const sm_plan_node **out, sm_error *e)
{
    SM_ASSERT(n_items > 0);
    sm_window_item *const own = SM_NEW_ARRAY(a, sm_window_item, n_items + 1);
    for (int32_t i = 0; i < n_items; i++) {
        SM_TRY(window_of(a, &items[i], in->schema, &own[i], e));
    }
    *out = smi_node_window(a, link_of(in), own, n_items);
    return SM_OK;
}

sm_status sm_plan_sort(const sm_plan_node *in, const sm_sort_key *keys, int32_t n_keys, sm_arena *a,
                       const sm_plan_node **out, sm_error *e)
{
    SM_ASSERT(n_keys > 0);
    sm_sort_key *own = NULL;
    SM_TRY(sort_keys_of(a, keys, n_keys, in->schema, &own, e));
    *out = smi_node_sort(a, link_of(in), own, n_keys);
    return SM_OK;
}

const sm_plan_node *sm_plan_sort_even(const sm_plan_node *in, int32_t column,
                                      const uint64_t *quantiles, int32_t n, sm_arena *a)
{
    SM_ASSERT(n >= 0 && (n == 0 || quantiles));
    SM_ASSERT(in->schema->fields[column].type->id == SM_TYPE_U64);
    sm_sort_key *key = SM_NEW_ARRAY(a, sm_sort_key, 1);

    for (int32_t i = 1; i < n; i++) {
        SM_ASSERT(quantiles[i - 1] <= quantiles[i]);
    }
    key[0] = (sm_sort_key){.expr = sm_expr_column(in->schema, column, a)};
    sm_plan_node *sort = smi_node_sort(a, link_of(in), key, 1);
    sort->as.sort.quantiles = quantiles;
    sort->as.sort.n_quantiles = n;
    return sort;
}

sm_status sm_plan_sorted(const sm_plan *plan, const sm_expr *const *by, int32_t n, sm_arena *a,
                         sm_plan **out, sm_error *e)
{
    sm_sort_key *keys = SM_NEW_ARRAY(a, sm_sort_key, n + 1);
    const sm_plan_node *sort = NULL;

    SM_ASSERT(n > 0);
    for (int32_t i = 0; i < n; i++) {
        keys[i].expr = by[i];
    }
    SM_TRY(sm_plan_sort(plan->root, keys, n, a, &sort, e));
    *out = SM_NEW(a, sm_plan);
    **out = *plan;
    (*out)->root = link_of(sort);
    (*out)->root->id = (*out)->n_nodes++;
    return SM_OK;
}

const sm_plan_node *sm_plan_limit(const sm_plan_node *in, int64_t limit, int64_t offset,
                                  sm_arena *a)
{
    SM_ASSERT(limit >= -1 && offset >= 0);
    return smi_node_limit(a, link_of(in), limit, offset);
}

const sm_plan_node *sm_plan_counted(const sm_plan_node *rows, const int64_t *n_rows, sm_arena *a)
{
    sm_plan_node *const n = SM_NEW(a, sm_plan_node);

    *n = *rows;
    n->n_rows = n_rows;
    return n;
}

/* ---- checks ---------------------------------------------------------------------------------- */

/* The first n of the input's columns, then the number of the check. */
static const sm_type *leaving_columns(sm_arena *a, const sm_type *in, int32_t n)
{
    sm_field *const fields = SM_NEW_ARRAY(a, sm_field, n + 1);
    memcpy(fields, in->fields, (size_t)n * sizeof(*fields));
    fields[n] = (sm_field){.name = SM_STR("check"), .type = &sm_type_i32};
    return sm_type_struct(a, fields, n + 1);
}

const sm_type *sm_plan_check_leaves(const sm_plan_node *in, sm_arena *a)
{
    return leaving_columns(a, in->schema, in->schema->n_fields);
}

/* The first n_columns of the input's columns; those that become NULL in some rows are nullable. */
static const sm_type *checked_columns(sm_arena *a, const sm_type *in, int32_t n_columns,
                                      const sm_check *checks, int32_t n)
{
    sm_field *const fields = SM_NEW_ARRAY(a, sm_field, n_columns + 1);
    memcpy(fields, in->fields, (size_t)n_columns * sizeof(*fields));
    for (int32_t i = 0; i < n; i++) {
        if (checks[i].action == SM_POLICY_NULL) {
            SM_ASSERT(checks[i].column >= 0 && checks[i].column < n_columns);
            fields[checks[i].column].is_nullable = true;
        }
    }
    return sm_type_struct(a, fields, n_columns);
}

static bool is_check_action(sm_policy p)
{
    return p == SM_POLICY_FAIL || p == SM_POLICY_WARN || p == SM_POLICY_NULL ||
           p == SM_POLICY_QUARANTINE;
}

sm_status sm_plan_check_first(const sm_plan_node *in, int32_t n_columns, const sm_check *checks,
                              int32_t n, int32_t side, sm_arena *a, const sm_plan_node **out,
                              sm_error *e)
{
    SM_ASSERT(n > 0 && side >= 0 && n_columns > 0 && n_columns <= in->schema->n_fields);
    sm_check *const own = SM_NEW_ARRAY(a, sm_check, n);
    const sm_expr **const breaks = SM_NEW_ARRAY(a, const sm_expr *, n);
    for (int32_t i = 0; i < n; i++) {
        SM_ASSERT(is_plain_over(checks[i].holds, in->schema) && is_check_action(checks[i].action));
        own[i] = checks[i];
        own[i].name = sm_arena_str(a, checks[i].name);
        SM_TRY(smi_make_predicate(a, checks[i].holds, "a check", NULL, &own[i].holds, e));
        SM_TRY(sm_expr_call("not", &own[i].holds, 1, a, &breaks[i], e));
    }
    sm_plan_node *const node = smi_node(
        a, SM_PLAN_CHECK, checked_columns(a, in->schema, n_columns, own, n), link_of(in), NULL);
    node->as.check.checks = own;
    node->as.check.breaks = breaks;
    node->as.check.n_checks = n;
    node->as.check.side = side;
    node->as.check.leaves = leaving_columns(a, in->schema, n_columns);
    *out = node;
    return SM_OK;
}

sm_status sm_plan_check(const sm_plan_node *in, const sm_check *checks, int32_t n, int32_t side,
                        sm_arena *a, const sm_plan_node **out, sm_error *e)
{
    return sm_plan_check_first(in, in->schema->n_fields, checks, n, side, a, out, e);
}

/* ---- two inputs ------------------------------------------------------------------------------ */

sm_status sm_plan_union(const sm_plan_node *first, const sm_plan_node *second, sm_arena *a,
                        const sm_plan_node **out, sm_error *e)
{
    sm_plan_node *n = NULL;
    SM_TRY(smi_node_union(a, link_of(first), link_of(second), NULL, &n, e));
    *out = n;
    return SM_OK;
}
