/* SPDX-License-Identifier: Apache-2.0
 *
 * query/plan.c: plan nodes: making them with their schemas, and whether two give the same rows. */
#include "query/query_int.h"

sm_plan_node *smi_node(sm_arena *a, sm_plan_kind kind, const sm_type *schema, sm_plan_node *left,
                       sm_plan_node *right)
{
    sm_plan_node *const n = SM_NEW(a, sm_plan_node);
    n->kind = kind;
    n->schema = schema;
    n->inputs[0] = left;
    n->inputs[1] = right;
    n->n_inputs = (left != NULL) + (right != NULL);
    return n;
}

sm_plan_node *smi_node_filter(sm_arena *a, sm_plan_node *in, const sm_expr *where)
{
    if (!where || smi_is_true(where)) {
        return in;
    }
    sm_plan_node *const n = smi_node(a, SM_PLAN_FILTER, in->schema, in, NULL);
    n->as.filter.where = where;
    return n;
}

sm_plan_node *smi_node_project(sm_arena *a, sm_plan_node *in, const sm_expr **exprs,
                               const sm_str *names, int32_t n)
{
    sm_field *const fields = SM_NEW_ARRAY(a, sm_field, n > 0 ? n : 1);
    for (int32_t i = 0; i < n; i++) {
        fields[i].name = names[i];
        fields[i].type = exprs[i]->type;
        fields[i].is_nullable = smi_expr_nullable(exprs[i], in->schema);
    }
    sm_plan_node *const node = smi_node(a, SM_PLAN_PROJECT, sm_type_struct(a, fields, n), in, NULL);
    node->as.project.exprs = exprs;
    return node;
}

static sm_str name_of(sm_arena *a, const sm_expr *x, const sm_type *input)
{
    if (x->kind == SM_EXPR_COLUMN) {
        return input->fields[x->index].name;
    }
    sm_buf text = {0};
    sm_expr_print(x, input, &text);
    const sm_str s = sm_arena_str(a, sm_buf_str(&text));
    sm_buf_release(&text);
    return s;
}

sm_plan_node *smi_node_aggregate(sm_arena *a, sm_plan_node *in, const sm_expr **keys,
                                 int32_t n_keys, sm_agg_item *items, int32_t n_items)
{
    sm_field *const fields = SM_NEW_ARRAY(a, sm_field, n_keys + n_items + 1);
    for (int32_t i = 0; i < n_keys; i++) {
        fields[i].name = name_of(a, keys[i], in->schema);
        fields[i].type = keys[i]->type;
        fields[i].is_nullable = smi_expr_nullable(keys[i], in->schema);
    }
    for (int32_t i = 0; i < n_items; i++) {
        sm_field *const f = &fields[n_keys + i];
        const sm_function *fn = items[i].call->fn;
        if (fn == &smi_fn_distinct) {
            fn = ((const sm_expr *)items[i].call->prepared)->fn;
        }
        f->name = name_of(a, items[i].call, in->schema);
        f->type = items[i].call->type;
        f->is_nullable = strcmp(fn->name, "count") != 0;
    }
    sm_plan_node *const n =
        smi_node(a, SM_PLAN_AGGREGATE, sm_type_struct(a, fields, n_keys + n_items), in, NULL);
    n->as.aggregate.keys = keys;
    n->as.aggregate.n_keys = n_keys;
    n->as.aggregate.items = items;
    n->as.aggregate.n_items = n_items;
    return n;
}

sm_plan_node *smi_node_window(sm_arena *a, sm_plan_node *in, sm_window_item *items, int32_t n_items)
{
    const int32_t n_in = in->schema->n_fields;
    sm_field *const fields = SM_NEW_ARRAY(a, sm_field, n_in + n_items);
    memcpy(fields, in->schema->fields, (size_t)n_in * sizeof(*fields));
    for (int32_t i = 0; i < n_items; i++) {
        fields[n_in + i].name = name_of(a, items[i].call, in->schema);
        fields[n_in + i].type = items[i].call->type;
        fields[n_in + i].is_nullable = true;
    }
    sm_plan_node *const n =
        smi_node(a, SM_PLAN_WINDOW, sm_type_struct(a, fields, n_in + n_items), in, NULL);
    n->as.window.items = items;
    n->as.window.n_items = n_items;
    return n;
}

const sm_type *smi_join_schema(sm_arena *a, const sm_plan_node *left, const sm_plan_node *right,
                               sm_join_kind kind)
{
    const int32_t n_left = left->schema->n_fields, n_right = right->schema->n_fields;
    sm_field *const fields = SM_NEW_ARRAY(a, sm_field, n_left + n_right + 1);
    for (int32_t i = 0; i < n_left; i++) {
        fields[i] = left->schema->fields[i];
    }
    for (int32_t i = 0; i < n_right; i++) {
        fields[n_left + i] = right->schema->fields[i];
        fields[n_left + i].is_nullable |= kind == SM_JOIN_LEFT;
    }
    return sm_type_struct(a, fields, n_left + n_right);
}

/* ---- equality -------------------------------------------------------------------------------- */

static bool exprs_eq(const sm_expr *const *x, const sm_expr *const *y, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        if (!sm_expr_eq(x[i], y[i])) {
            return false;
        }
    }
    return true;
}

static bool opt_eq(const sm_expr *x, const sm_expr *y)
{
    return x && y ? sm_expr_eq(x, y) : x == y;
}

/* The same dataset: the one a resolver gives for a name, or one that lists the same files. */
static bool dataset_eq(const sm_dataset *x, const sm_dataset *y)
{
    if (x == y) {
        return true;
    }
    if (x->format != y->format || x->n_files != y->n_files || x->n_constants != y->n_constants ||
        !sm_type_eq(x->schema, y->schema)) {
        return false;
    }
    if (x->format && x->format->opts_bytes > 0 && x->options != y->options) {
        return false; /* options may hold pointers: only the same ones are surely equal */
    }
    for (int64_t i = 0; i < x->n_files; i++) {
        if (!sm_str_eq(x->files[i].uri, y->files[i].uri)) {
            return false;
        }
        for (int32_t k = 0; k < x->n_constants; k++) {
            if (!sm_value_eq(x->files[i].constants[k], y->files[i].constants[k])) {
                return false;
            }
        }
    }
    return true;
}

static bool scan_eq(const sm_plan_node *x, const sm_plan_node *y)
{
    const sm_projection *const wx = &x->as.scan.want, *const wy = &y->as.scan.want;
    return dataset_eq(x->as.scan.dataset, y->as.scan.dataset) && sm_type_eq(x->schema, y->schema) &&
           memcmp(x->as.scan.columns, y->as.scan.columns,
                  (size_t)x->schema->n_fields * sizeof(int32_t)) == 0 &&
           wx->validate_all == wy->validate_all && wx->keep_refused == wy->keep_refused &&
           wx->count_unknown == wy->count_unknown && wx->takes_row == wy->takes_row;
}

static bool aggregate_eq(const sm_plan_node *x, const sm_plan_node *y)
{
    if (x->as.aggregate.n_keys != y->as.aggregate.n_keys ||
        x->as.aggregate.n_items != y->as.aggregate.n_items ||
        !exprs_eq(x->as.aggregate.keys, y->as.aggregate.keys, x->as.aggregate.n_keys)) {
        return false;
    }
    for (int32_t i = 0; i < x->as.aggregate.n_items; i++) {
        const sm_agg_item *const ix = &x->as.aggregate.items[i];
        const sm_agg_item *const iy = &y->as.aggregate.items[i];
        if (!sm_expr_eq(ix->call, iy->call) || !opt_eq(ix->filter, iy->filter)) {
            return false;
        }
    }
    return true;
}

static bool sort_keys_eq(const sm_sort_key *x, const sm_sort_key *y, int32_t n)
{
    for (int32_t i = 0; i < n; i++) {
        if (!sm_expr_eq(x[i].expr, y[i].expr) || x[i].is_desc != y[i].is_desc ||
            x[i].nulls_first != y[i].nulls_first) {
            return false;
        }
    }
    return true;
}

bool smi_window_eq(const sm_window_item *x, const sm_window_item *y)
{
    return x->n_partition == y->n_partition && x->n_order == y->n_order &&
           sm_expr_eq(x->call, y->call) && exprs_eq(x->partition, y->partition, x->n_partition) &&
           sort_keys_eq(x->order, y->order, x->n_order);
}

static bool windows_eq(const sm_plan_node *x, const sm_plan_node *y)
{
    if (x->as.window.n_items != y->as.window.n_items) {
        return false;
    }
    for (int32_t i = 0; i < x->as.window.n_items; i++) {
        if (!smi_window_eq(&x->as.window.items[i], &y->as.window.items[i])) {
            return false;
        }
    }
    return true;
}

static bool reads_eq(const sm_plan_node *x, const sm_plan_node *y)
{
    for (int32_t i = 0; i < x->schema->n_fields; i++) {
        if ((!x->as.join.is_read || x->as.join.is_read[i]) !=
            (!y->as.join.is_read || y->as.join.is_read[i])) {
            return false;
        }
    }
    return true;
}

static bool join_eq(const sm_plan_node *x, const sm_plan_node *y)
{
    return x->as.join.kind == y->as.join.kind && x->as.join.n_keys == y->as.join.n_keys &&
           exprs_eq(x->as.join.left_keys, y->as.join.left_keys, x->as.join.n_keys) &&
           exprs_eq(x->as.join.right_keys, y->as.join.right_keys, x->as.join.n_keys) &&
           opt_eq(x->as.join.on, y->as.join.on) && reads_eq(x, y);
}

static bool node_eq(const sm_plan_node *x, const sm_plan_node *y)
{
    const int32_t n = x->schema->n_fields;
    switch (x->kind) {
    case SM_PLAN_SCAN:
        return scan_eq(x, y);
    case SM_PLAN_VALUES:
        return x->as.values.n_rows == y->as.values.n_rows &&
               exprs_eq(x->as.values.rows, y->as.values.rows, x->as.values.n_rows * n);
    case SM_PLAN_FILTER:
        return sm_expr_eq(x->as.filter.where, y->as.filter.where);
    case SM_PLAN_PROJECT:
        return exprs_eq(x->as.project.exprs, y->as.project.exprs, n);
    case SM_PLAN_AGGREGATE:
        return aggregate_eq(x, y);
    case SM_PLAN_JOIN:
        return join_eq(x, y);
    case SM_PLAN_WINDOW:
        return windows_eq(x, y);
    case SM_PLAN_SORT:
        return x->as.sort.n_keys == y->as.sort.n_keys && x->as.sort.limit == y->as.sort.limit &&
               sort_keys_eq(x->as.sort.keys, y->as.sort.keys, x->as.sort.n_keys);
    case SM_PLAN_LIMIT:
        return x->as.limit.limit == y->as.limit.limit && x->as.limit.offset == y->as.limit.offset;
    case SM_PLAN_UNION:
        return true;
    }
    return false;
}

bool smi_plan_eq(const sm_plan_node *x, const sm_plan_node *y)
{
    if (x == y) {
        return true;
    }
    if (x->kind != y->kind || x->n_inputs != y->n_inputs ||
        x->schema->n_fields != y->schema->n_fields || !node_eq(x, y)) {
        return false;
    }
    for (int32_t i = 0; i < x->n_inputs; i++) {
        if (!smi_plan_eq(x->inputs[i], y->inputs[i])) {
            return false;
        }
    }
    return true;
}
