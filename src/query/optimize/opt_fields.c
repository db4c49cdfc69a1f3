/* SPDX-License-Identifier: Apache-2.0
 *
 * query/optimize/opt_fields.c: where a query uses only some fields of a struct column, only these
 * are read.
 *
 * Method    Goes down with what is needed of each column, as a tree of fields. At a scan, the types
 *           of struct columns lose the fields that nobody needs. On the way back, references to
 *           columns take the new types, and references to fields their new indices. A struct that
 *           is needed as a whole (m, m IS NULL, GROUP BY m) stays whole, and so does one that a
 *           UNION, a CASE or a function takes.
 * When      After all other passes: the bounds of scans and what they take whole (opt_taken.c)
 *           count the fields of the dataset's own types. */
#include "query/optimize/optimize_int.h"

typedef struct need {
    bool whole;
    struct need *fields; /* of a struct: one a field; NULL: none so far */
} need;

/* ---- what is needed -------------------------------------------------------------------------- */

/* The need of a COLUMN, or of a FIELD within one; NULL where x is neither or is whole already. */
static need *place_of(sm_arena *a, const sm_expr *x, need *columns, bool *is_path)
{
    *is_path = true;
    if (x->kind == SM_EXPR_COLUMN) {
        SM_ASSERT(x->index >= 0);
        return &columns[x->index];
    }
    if (x->kind != SM_EXPR_FIELD) {
        *is_path = false;
        return NULL;
    }
    need *outer = place_of(a, x->args[0], columns, is_path);
    if (!outer || outer->whole) {
        return NULL;
    }
    SM_ASSERT(x->args[0]->type->id == SM_TYPE_STRUCT && x->index < x->args[0]->type->n_fields);
    if (!outer->fields) {
        outer->fields = SM_NEW_ARRAY(a, need, x->args[0]->type->n_fields);
    }
    return &outer->fields[x->index];
}

/* Notes what x reads of its input's columns. */
static void note_expr(sm_arena *a, const sm_expr *x, need *columns)
{
    bool is_path = false;
    need *n = place_of(a, x, columns, &is_path);
    if (n) {
        n->whole = true;
    }
    for (int32_t i = 0; i < x->n_args && !is_path; i++) {
        note_expr(a, x->args[i], columns);
    }
}

static void note_order(sm_arena *a, const sm_sort_key *keys, int32_t n, need *columns)
{
    for (int32_t i = 0; i < n; i++) {
        note_expr(a, keys[i].expr, columns);
    }
}

/* Adds what is needed of `from` to `into`; both are of type t. */
static void add_need(sm_arena *a, const sm_type *t, const need *from, need *into)
{
    into->whole = into->whole || from->whole;
    if (into->whole || !from->fields) {
        return;
    }
    SM_ASSERT(t->id == SM_TYPE_STRUCT);
    if (!into->fields) {
        into->fields = SM_NEW_ARRAY(a, need, t->n_fields);
    }
    for (int32_t i = 0; i < t->n_fields; i++) {
        add_need(a, t->fields[i].type, &from->fields[i], &into->fields[i]);
    }
}

/* ---- references in the new types ------------------------------------------------------------- */

typedef struct retyping {
    sm_arena *a;
    const sm_type *input; /* as it is now */
} retyping;

static const sm_expr *retype_one(void *ctx, const sm_expr *x)
{
    const retyping *r = ctx;
    if (x->kind == SM_EXPR_COLUMN) {
        const sm_type *now = r->input->fields[x->index].type;
        return now == x->type || sm_type_eq(now, x->type) ? x
                                                          : smi_column_ref(r->a, x->index, now, x);
    }
    if (x->kind != SM_EXPR_FIELD) {
        return NULL;
    }
    const sm_expr *const outer = smi_rewrite(r->a, x->args[0], retype_one, ctx);
    if (outer == x->args[0]) {
        return x;
    }
    const sm_str name = x->args[0]->type->fields[x->index].name;
    sm_expr *const field = SM_NEW(r->a, sm_expr);
    *field = *x;
    field->index = 0;
    while (!sm_str_eq(outer->type->fields[field->index].name, name)) {
        field->index++;
        SM_ENSURE(field->index < outer->type->n_fields);
    }
    field->type = outer->type->fields[field->index].type;
    field->args = SM_NEW_ARRAY(r->a, const sm_expr *, 1);
    field->args[0] = outer;
    return field;
}

static const sm_expr *retype(sm_arena *a, const sm_expr *x, const sm_type *input)
{
    retyping r = {a, input};
    return smi_rewrite(a, x, retype_one, &r);
}

static void retype_order(sm_arena *a, sm_sort_key *keys, int32_t n, const sm_type *input)
{
    for (int32_t i = 0; i < n; i++) {
        keys[i].expr = retype(a, keys[i].expr, input);
    }
}

/* ---- nodes ----------------------------------------------------------------------------------- */

static void narrow_node(sm_arena *a, sm_plan_node *n, need *needs);

/* The type with the fields that are needed; t itself where that is all. */
static const sm_type *narrow_type(sm_arena *a, const sm_type *t, const need *n)
{
    if (n->whole || !n->fields) {
        return t;
    }
    sm_field *const fields = SM_NEW_ARRAY(a, sm_field, t->n_fields);
    int32_t n_kept = 0;
    bool is_same = true;
    for (int32_t i = 0; i < t->n_fields; i++) {
        const need *const field = &n->fields[i];
        if (field->whole || field->fields) {
            fields[n_kept] = t->fields[i];
            fields[n_kept].type = narrow_type(a, t->fields[i].type, field);
            is_same = is_same && fields[n_kept].type == t->fields[i].type;
            n_kept++;
        }
    }
    SM_ASSERT(n_kept > 0); /* a tree of fields begins with one that is needed */
    return is_same && n_kept == t->n_fields ? t : sm_type_struct(a, fields, n_kept);
}

static void narrow_scan(sm_arena *a, sm_plan_node *n, const need *needs)
{
    const sm_type *const all = n->as.scan.dataset->schema;
    sm_projection *const want = &n->as.scan.want;
    sm_field *const fields = SM_NEW_ARRAY(a, sm_field, n->schema->n_fields + 1);
    const sm_type **const types = SM_NEW_ARRAY(a, const sm_type *, want->n_columns + 1);
    bool is_same = true;
    for (int32_t k = 0; k < want->n_columns; k++) {
        types[k] = all->fields[want->columns[k]].type;
    }
    for (int32_t i = 0; i < n->schema->n_fields; i++) {
        fields[i] = n->schema->fields[i];
        const sm_type *const t = narrow_type(a, fields[i].type, &needs[i]);
        for (int32_t k = 0; k < want->n_columns && t != fields[i].type; k++) {
            if (want->columns[k] == n->as.scan.columns[i]) {
                types[k] = fields[i].type = t;
                is_same = false;
            }
        }
    }
    if (!is_same) {
        n->schema = sm_type_struct(a, fields, n->schema->n_fields);
        want->types = types;
    }
}

static void narrow_project(sm_arena *a, sm_plan_node *n, const need *needs)
{
    sm_plan_node *const in = n->inputs[0];
    need *const below = SM_NEW_ARRAY(a, need, in->schema->n_fields + 1);
    sm_field *const fields = SM_NEW_ARRAY(a, sm_field, n->schema->n_fields + 1);
    for (int32_t i = 0; i < n->schema->n_fields; i++) {
        const sm_expr *const x = n->as.project.exprs[i];
        bool is_path = false;
        need *const place = place_of(a, x, below, &is_path);
        if (!is_path) {
            note_expr(a, x, below);
        } else if (place) {
            add_need(a, x->type, &needs[i], place);
            place->whole = place->whole || !place->fields; /* a column that nobody needs */
        }
    }
    narrow_node(a, in, below);
    for (int32_t i = 0; i < n->schema->n_fields; i++) {
        n->as.project.exprs[i] = retype(a, n->as.project.exprs[i], in->schema);
        fields[i] = n->schema->fields[i];
        fields[i].type = n->as.project.exprs[i]->type;
    }
    n->schema = sm_type_struct(a, fields, n->schema->n_fields);
}

static void narrow_aggregate(sm_arena *a, sm_plan_node *n)
{
    sm_plan_node *const in = n->inputs[0];
    need *const below = SM_NEW_ARRAY(a, need, in->schema->n_fields + 1);
    for (int32_t i = 0; i < n->as.aggregate.n_keys; i++) {
        note_expr(a, n->as.aggregate.keys[i], below);
    }
    for (int32_t i = 0; i < n->as.aggregate.n_items; i++) {
        const sm_agg_item *const item = &n->as.aggregate.items[i];
        note_expr(a, item->call, below);
        if (item->filter) {
            note_expr(a, item->filter, below);
        }
    }
    narrow_node(a, in, below);
    for (int32_t i = 0; i < n->as.aggregate.n_keys; i++) {
        n->as.aggregate.keys[i] = retype(a, n->as.aggregate.keys[i], in->schema);
    }
    for (int32_t i = 0; i < n->as.aggregate.n_items; i++) {
        sm_agg_item *const item = &n->as.aggregate.items[i];
        item->call = retype(a, item->call, in->schema);
        item->filter = item->filter ? retype(a, item->filter, in->schema) : NULL;
    }
}

static void narrow_join(sm_arena *a, sm_plan_node *n, need *needs)
{
    sm_plan_node *const left = n->inputs[0], *const right = n->inputs[1];
    need *const right_needs = needs + left->schema->n_fields;
    if (n->as.join.on) {
        note_expr(a, n->as.join.on, needs);
    }
    for (int32_t i = 0; i < n->as.join.n_keys; i++) {
        note_expr(a, n->as.join.left_keys[i], needs);
        note_expr(a, n->as.join.right_keys[i], right_needs);
    }
    narrow_node(a, left, needs);
    narrow_node(a, right, right_needs);
    for (int32_t i = 0; i < n->as.join.n_keys; i++) {
        n->as.join.left_keys[i] = retype(a, n->as.join.left_keys[i], left->schema);
        n->as.join.right_keys[i] = retype(a, n->as.join.right_keys[i], right->schema);
    }
    n->schema = sm_plan_join_schema(left, right, n->as.join.kind, a);
    n->as.join.on = n->as.join.on ? retype(a, n->as.join.on, n->schema) : NULL;
}

static void narrow_window(sm_arena *a, sm_plan_node *n, need *needs)
{
    sm_plan_node *const in = n->inputs[0];
    const int32_t n_in = in->schema->n_fields;
    sm_field *const fields = SM_NEW_ARRAY(a, sm_field, n->schema->n_fields);
    for (int32_t i = 0; i < n->as.window.n_items; i++) {
        const sm_window_item *const w = &n->as.window.items[i];
        note_expr(a, w->call, needs);
        for (int32_t k = 0; k < w->n_partition; k++) {
            note_expr(a, w->partition[k], needs);
        }
        note_order(a, w->order, w->n_order, needs);
    }
    narrow_node(a, in, needs);
    for (int32_t i = 0; i < n->as.window.n_items; i++) {
        sm_window_item *const w = &n->as.window.items[i];
        w->call = retype(a, w->call, in->schema);
        for (int32_t k = 0; k < w->n_partition; k++) {
            w->partition[k] = retype(a, w->partition[k], in->schema);
        }
        retype_order(a, (sm_sort_key *)w->order, w->n_order, in->schema); /* the plan's own */
    }
    for (int32_t i = 0; i < n->schema->n_fields; i++) {
        fields[i] = i < n_in ? in->schema->fields[i] : n->schema->fields[i];
    }
    n->schema = sm_type_struct(a, fields, n->schema->n_fields);
}

static void narrow_passing(sm_arena *a, sm_plan_node *n, need *needs)
{
    sm_plan_node *const in = n->inputs[0];
    if (n->kind == SM_PLAN_FILTER) {
        note_expr(a, n->as.filter.where, needs);
    } else if (n->kind == SM_PLAN_SORT) {
        note_order(a, n->as.sort.keys, n->as.sort.n_keys, needs);
    }
    narrow_node(a, in, needs);
    if (n->kind == SM_PLAN_FILTER) {
        n->as.filter.where = retype(a, n->as.filter.where, in->schema);
    } else if (n->kind == SM_PLAN_SORT) {
        retype_order(a, n->as.sort.keys, n->as.sort.n_keys, in->schema);
    }
    n->schema = in->schema;
}

/* The first fields of a struct type as the first columns of another. */
static const sm_type *with_first(sm_arena *a, const sm_type *t, const sm_type *columns, int32_t n)
{
    sm_field *const fields = SM_NEW_ARRAY(a, sm_field, t->n_fields);
    for (int32_t i = 0; i < t->n_fields; i++) {
        fields[i] = t->fields[i];
        fields[i].type = i < n ? columns->fields[i].type : t->fields[i].type;
    }
    return sm_type_struct(a, fields, t->n_fields);
}

static need *all_of(sm_arena *a, const sm_plan_node *n)
{
    need *const needs = SM_NEW_ARRAY(a, need, n->schema->n_fields + 1);
    for (int32_t i = 0; i < n->schema->n_fields; i++) {
        needs[i].whole = true;
    }
    return needs;
}

/* A CHECK reads its input whole. One that watches does not look at the columns that go on: of these
 * is read what is used above it. */
static void narrow_check(sm_arena *a, sm_plan_node *n, const need *needs)
{
    sm_plan_node *const in = n->inputs[0];
    const int32_t n_own = n->schema->n_fields;
    need *const below = all_of(a, in);
    SM_ASSERT(n_own <= in->schema->n_fields);
    if (n->as.check.is_watch) {
        memcpy(below, needs, (size_t)n_own * sizeof(*below));
    }
    narrow_node(a, in, below);
    n->schema = with_first(a, n->schema, in->schema, n_own);
    n->as.check.leaves = with_first(a, n->as.check.leaves, in->schema, n_own);
}

/* `needs` has one for each column of n; what n itself needs is added. */
static void narrow_node(sm_arena *a, sm_plan_node *n, need *needs)
{
    switch (n->kind) {
    case SM_PLAN_SCAN:
        narrow_scan(a, n, needs);
        break;
    case SM_PLAN_PROJECT:
        narrow_project(a, n, needs);
        break;
    case SM_PLAN_AGGREGATE:
        narrow_aggregate(a, n);
        break;
    case SM_PLAN_JOIN:
        narrow_join(a, n, needs);
        break;
    case SM_PLAN_WINDOW:
        narrow_window(a, n, needs);
        break;
    case SM_PLAN_UNION:
        narrow_node(a, n->inputs[0], all_of(a, n));
        narrow_node(a, n->inputs[1], all_of(a, n));
        break;
    case SM_PLAN_CHECK:
        narrow_check(a, n, needs);
        break;
    case SM_PLAN_FILTER:
    case SM_PLAN_SORT:
    case SM_PLAN_LIMIT:
        narrow_passing(a, n, needs);
        break;
    case SM_PLAN_VALUES:
        break;
    }
}

void smi_opt_fields(sm_arena *a, const sm_plan *plan)
{
    narrow_node(a, plan->root, all_of(a, plan->root));
    for (int32_t i = 0; i < plan->n_params; i++) {
        narrow_node(a, plan->params[i].root, all_of(a, plan->params[i].root));
    }
}
