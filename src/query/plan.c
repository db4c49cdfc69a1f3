/* SPDX-License-Identifier: Apache-2.0
 *
 * query/plan.c: makes the nodes of plans, with their schemas, and compares plans: do two of them
 * give the same rows? Both the binder and plans by calls (plan_build.c) make their nodes here. */
#include "query/function/function_int.h"

int32_t smi_node_inputs(sm_plan_kind kind)
{
    switch (kind) {
    case SM_PLAN_SCAN:
    case SM_PLAN_VALUES:
        return 0;
    case SM_PLAN_JOIN:
    case SM_PLAN_UNION:
        return 2;
    case SM_PLAN_FILTER:
    case SM_PLAN_PROJECT:
    case SM_PLAN_AGGREGATE:
    case SM_PLAN_WINDOW:
    case SM_PLAN_SORT:
    case SM_PLAN_LIMIT:
    case SM_PLAN_CHECK:
        return 1;
    }
    return 0;
}

bool sm_plan_has_check(const sm_plan_node *n)
{
    bool has = n->kind == SM_PLAN_CHECK;
    for (int32_t i = 0; i < n->n_inputs && !has; i++) {
        has = sm_plan_has_check(n->inputs[i]);
    }
    return has;
}

sm_plan_node *smi_node(sm_arena *a, sm_plan_kind kind, const sm_type *schema, sm_plan_node *left,
                       sm_plan_node *right)
{
    sm_plan_node *const n = SM_NEW(a, sm_plan_node);
    n->kind = kind;
    n->schema = schema;
    n->inputs[0] = left;
    n->inputs[1] = right;
    n->n_inputs = (left != NULL) + (right != NULL);
    SM_ASSERT(n->n_inputs == smi_node_inputs(kind) && schema->id == SM_TYPE_STRUCT);
    return n;
}

sm_plan_node *smi_node_row(sm_arena *a)
{
    sm_plan_node *const n = smi_node(a, SM_PLAN_VALUES, sm_type_struct(a, NULL, 0), NULL, NULL);
    n->as.values.n_rows = 1;
    return n;
}

sm_plan_node *smi_node_scan(sm_arena *a, const sm_relation *r)
{
    const sm_dataset *const d = r->dataset;
    const int32_t n = d->schema->n_fields, n_stored = n - d->n_constants;
    SM_ASSERT(d->n_constants >= 0 && n_stored >= 0); /* constants are the last columns */
    int32_t *const columns = SM_NEW_ARRAY(a, int32_t, n > 0 ? n : 1);
    for (int32_t i = 0; i < n; i++) {
        columns[i] = i;
    }
    sm_plan_node *const node = smi_node(a, SM_PLAN_SCAN, d->schema, NULL, NULL);
    node->as.scan.dataset = d;
    node->as.scan.columns = columns;
    node->as.scan.label = r->label;
    node->as.scan.want = (sm_projection){
        .columns = columns,
        .n_columns = n_stored,
        .validate_all = r->validate_all,
        .keep_refused = r->keep_refused,
        .count_unknown = r->count_unknown,
        .unknown = r->unknown,
    };
    return node;
}

sm_plan_node *smi_node_filter(sm_arena *a, sm_plan_node *in, const sm_expr *where)
{
    if (!where || smi_is_true(where)) {
        return in;
    }
    SM_ASSERT(where->type->id == SM_TYPE_BOOL);
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
        SM_ASSERT(!sm_type_is_nested(keys[i]->type->id) || n_items == 0); /* DISTINCT takes all */
        fields[i].name = name_of(a, keys[i], in->schema);
        fields[i].type = keys[i]->type;
        fields[i].is_nullable = smi_expr_nullable(keys[i], in->schema);
    }
    for (int32_t i = 0; i < n_items; i++) {
        sm_field *const f = &fields[n_keys + i];
        const sm_function *fn = items[i].call->fn;
        SM_ASSERT(items[i].call->kind == SM_EXPR_CALL && fn->kind == SM_FN_AGGREGATE);
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
        SM_ASSERT(items[i].call->kind == SM_EXPR_CALL && items[i].call->fn->kind == SM_FN_WINDOW);
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

const sm_type *sm_plan_join_schema(const sm_plan_node *left, const sm_plan_node *right,
                                   sm_join_kind kind, sm_arena *a)
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

sm_plan_node *smi_node_sort(sm_arena *a, sm_plan_node *in, sm_sort_key *keys, int32_t n_keys)
{
    SM_ASSERT(n_keys > 0);
    sm_plan_node *const n = smi_node(a, SM_PLAN_SORT, in->schema, in, NULL);
    n->as.sort.keys = keys;
    n->as.sort.n_keys = n_keys;
    n->as.sort.limit = -1;
    return n;
}

sm_plan_node *smi_node_limit(sm_arena *a, sm_plan_node *in, int64_t limit, int64_t offset)
{
    SM_ASSERT(limit >= -1 && offset >= 0);
    sm_plan_node *const n = smi_node(a, SM_PLAN_LIMIT, in->schema, in, NULL);
    n->as.limit.limit = limit;
    n->as.limit.offset = offset;
    return n;
}

/* ---- joins ----------------------------------------------------------------------------------- */

sm_plan_node *smi_node_join(sm_arena *a, sm_plan_node *left, sm_plan_node *right, sm_join_kind kind)
{
    const sm_type *const schema = sm_plan_join_schema(left, right, kind, a);
    sm_plan_node *const join = smi_node(a, SM_PLAN_JOIN, schema, left, right);
    join->as.join.kind = kind;
    return join;
}

/* Which sides does an expression over the join's columns use? 1: left, 2: right. */
static int sides_of(const sm_expr *x, int32_t n_left)
{
    if (x->kind == SM_EXPR_COLUMN) {
        return x->index < n_left ? 1 : 2;
    }
    int sides = 0;
    for (int32_t i = 0; i < x->n_args; i++) {
        sides |= sides_of(x->args[i], n_left);
    }
    return sides;
}

static const sm_expr *shifted(sm_arena *a, const sm_expr *x, int32_t n_columns, int32_t by)
{
    int32_t *const map = SM_NEW_ARRAY(a, int32_t, n_columns + 1);
    for (int32_t i = 0; i < n_columns; i++) {
        map[i] = i + by;
    }
    return smi_remap(a, x, map);
}

bool smi_join_add(sm_arena *a, sm_plan_node *join, const sm_expr *x)
{
    const int32_t n_left = join->inputs[0]->schema->n_fields;
    const int32_t n = n_left + join->inputs[1]->schema->n_fields;
    SM_ASSERT(join->kind == SM_PLAN_JOIN && n == join->schema->n_fields);
    if (x->kind != SM_EXPR_CALL || strcmp(x->fn->name, "=") != 0) {
        return false;
    }
    const int sides[2] = {sides_of(x->args[0], n_left), sides_of(x->args[1], n_left)};
    if (!(sides[0] == 1 && sides[1] == 2) && !(sides[0] == 2 && sides[1] == 1)) {
        return false;
    }
    const sm_expr *const left = x->args[sides[0] == 1 ? 0 : 1];
    const sm_expr *const right = shifted(a, x->args[sides[0] == 1 ? 1 : 0], n, -n_left);
    SM_ASSERT(sm_type_eq(left->type, right->type)); /* "=" compares two of one type */
    const int32_t n_keys = join->as.join.n_keys;
    const sm_expr **const lefts = SM_NEW_ARRAY(a, const sm_expr *, n_keys + 1);
    const sm_expr **const rights = SM_NEW_ARRAY(a, const sm_expr *, n_keys + 1);
    for (int32_t i = 0; i < n_keys; i++) {
        lefts[i] = join->as.join.left_keys[i];
        rights[i] = join->as.join.right_keys[i];
    }
    lefts[n_keys] = left;
    rights[n_keys] = right;
    join->as.join.left_keys = lefts;
    join->as.join.right_keys = rights;
    join->as.join.n_keys = n_keys + 1;
    return true;
}

sm_plan_node *smi_join_on(sm_arena *a, sm_plan_node *join, const sm_expr *on)
{
    const int32_t n_left = join->inputs[0]->schema->n_fields;
    const bool is_left_join = join->as.join.kind == SM_JOIN_LEFT;
    SM_ASSERT(!join->as.join.on); /* it has one condition */
    const sm_expr **parts = NULL;
    int32_t n = 0;
    smi_conjuncts(a, on, &parts, &n);
    const sm_expr **const rest = SM_NEW_ARRAY(a, const sm_expr *, n);
    const sm_expr **const right_only = SM_NEW_ARRAY(a, const sm_expr *, n);
    for (int32_t i = 0; i < n; i++) {
        if (smi_join_add(a, join, parts[i])) {
            continue;
        }
        if (is_left_join && sides_of(parts[i], n_left) == 2 && !smi_can_fail(parts[i])) {
            right_only[i] = shifted(a, parts[i], join->schema->n_fields, -n_left);
        } else {
            rest[i] = parts[i];
        }
    }
    join->inputs[1] = smi_node_filter(a, join->inputs[1], smi_and(a, right_only, n));
    const sm_expr *const more = smi_and(a, rest, n);
    if (is_left_join) {
        join->as.join.on = more;
        return join;
    }
    return smi_node_filter(a, join, more);
}

void smi_join_settle(sm_plan_node *join)
{
    if (join->as.join.kind == SM_JOIN_INNER && join->as.join.n_keys == 0) {
        join->as.join.kind = SM_JOIN_CROSS;
    }
}

/* ---- unions ---------------------------------------------------------------------------------- */

/* One side's columns cast to the types of the whole. */
static sm_plan_node *cast_side(sm_arena *a, sm_plan_node *in, const sm_field *fields, int32_t n)
{
    const sm_expr **const exprs = SM_NEW_ARRAY(a, const sm_expr *, n + 1);
    sm_str *const names = SM_NEW_ARRAY(a, sm_str, n + 1);
    bool is_same = true;
    for (int32_t i = 0; i < n; i++) {
        const sm_expr *const c = smi_column_ref(a, i, in->schema->fields[i].type, NULL);
        exprs[i] = smi_cast(a, c, fields[i].type);
        names[i] = fields[i].name;
        is_same = is_same && exprs[i] == c;
    }
    return is_same ? in : smi_node_project(a, in, exprs, names, n);
}

sm_status smi_node_union(sm_arena *a, sm_plan_node *left, sm_plan_node *right, const sm_expr *place,
                         sm_plan_node **out, sm_error *e)
{
    const int32_t n = left->schema->n_fields;
    if (n != right->schema->n_fields) {
        return smi_expr_fail(place, e, SM_SYNTAX, "UNION of %d columns with %d columns", n,
                             right->schema->n_fields);
    }
    sm_field *const fields = SM_NEW_ARRAY(a, sm_field, n + 1);
    for (int32_t i = 0; i < n; i++) {
        const sm_field *const l = &left->schema->fields[i];
        const sm_field *const r = &right->schema->fields[i];
        fields[i] = (sm_field){
            .name = l->name,
            .type = smi_common_type(a, l->type, r->type),
            .is_nullable = l->is_nullable || r->is_nullable,
        };
        if (!fields[i].type) {
            const sm_str x = smi_type_text(a, l->type), y = smi_type_text(a, r->type);
            return smi_expr_fail(place, e, SM_TYPE,
                                 "UNION: column %d is %.*s on one side and %.*s on the other",
                                 i + 1, SM_STR_ARG(x), SM_STR_ARG(y));
        }
    }
    const sm_type *const schema = sm_type_struct(a, fields, n);
    *out = smi_node(a, SM_PLAN_UNION, schema, cast_side(a, left, fields, n),
                    cast_side(a, right, fields, n));
    return SM_OK;
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

/* Is it the same dataset, or one of the same files, format and columns? */
static bool dataset_eq(const sm_dataset *x, const sm_dataset *y)
{
    if (x == y) {
        return true;
    }
    const void *const of_x = x->lister ? x->lister->of : NULL;
    const void *const of_y = y->lister ? y->lister->of : NULL;
    if (x->format != y->format || x->n_files != y->n_files || x->n_constants != y->n_constants ||
        x->rescues != y->rescues || of_x != of_y || !sm_type_eq(x->schema, y->schema)) {
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
    case SM_PLAN_CHECK: /* each counts for itself, so that one cannot stand for another */
        return false;
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
