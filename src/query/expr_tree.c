/* SPDX-License-Identifier: Apache-2.0
 *
 * query/expr_tree.c: bound expressions as trees: makes, compares and rewrites them, and tells their
 * properties. A tree never changes once it is made, so trees may share parts. Called by the binder
 * and the optimizer; folding is in expr_fold.c, printing in expr_print.c. */
#include "query/function/function_int.h"

/* ---- making ---------------------------------------------------------------------------------- */

sm_expr *smi_expr_new(sm_arena *a, sm_expr_kind kind, const sm_type *t, const sm_expr *place)
{
    sm_expr *const x = SM_NEW(a, sm_expr);
    x->kind = kind;
    x->type = t;
    if (place) {
        x->off_bytes = place->off_bytes;
        x->end_bytes = place->end_bytes;
        x->sql = place->sql;
    }
    return x;
}

sm_expr smi_place(const sm_sql *sql, uint32_t off, uint32_t end)
{
    return (sm_expr){.off_bytes = off, .end_bytes = end, .sql = sql};
}

sm_expr *smi_const(sm_arena *a, sm_value v, const sm_expr *place)
{
    SM_ASSERT(v.is_null || v.type->id != SM_TYPE_NULL);
    SM_ASSERT(v.is_null || v.type->id != SM_TYPE_STRUCT || v.as.nested.n == v.type->n_fields);
    sm_expr *const x = smi_expr_new(a, SM_EXPR_CONST, v.type, place);
    x->value = v;
    return x;
}

sm_expr *smi_column_ref(sm_arena *a, int32_t index, const sm_type *t, const sm_expr *place)
{
    SM_ASSERT(index >= 0);
    sm_expr *const x = smi_expr_new(a, SM_EXPR_COLUMN, t, place);
    x->index = index;
    return x;
}

sm_expr *smi_field(sm_arena *a, const sm_expr *x, int32_t index, const sm_expr *place)
{
    SM_ASSERT(x->type->id == SM_TYPE_STRUCT && index >= 0 && index < x->type->n_fields);
    sm_expr *const field = smi_expr_new(a, SM_EXPR_FIELD, x->type->fields[index].type, place);
    field->index = index;
    field->args = SM_NEW_ARRAY(a, const sm_expr *, 1);
    field->args[0] = x;
    field->n_args = 1;
    return field;
}

const sm_expr *smi_cast(sm_arena *a, const sm_expr *x, const sm_type *t)
{
    SM_ASSERT(smi_plain_type(t) == t); /* nothing is cast to a literal's type */
    if (sm_type_eq(x->type, t)) {
        if (!smi_is_literal(x)) {
            return x;
        }
        sm_value v = x->value; /* a literal becomes an ordinary constant */
        v.type = t;
        return smi_const(a, v, x);
    }
    sm_expr *const cast = smi_expr_new(a, SM_EXPR_CAST, t, x);
    cast->args = SM_NEW_ARRAY(a, const sm_expr *, 1);
    cast->args[0] = smi_is_literal(x) ? smi_cast(a, x, smi_plain_type(x->type)) : x;
    cast->n_args = 1;
    return smi_fold(a, cast);
}

const sm_expr *smi_and(sm_arena *a, const sm_expr **parts, int32_t n)
{
    const sm_expr **const args = SM_NEW_ARRAY(a, const sm_expr *, n > 0 ? n : 1);
    int32_t n_args = 0;
    for (int32_t i = 0; i < n; i++) {
        if (parts[i]) {
            args[n_args++] = parts[i];
        }
    }
    if (n_args <= 1) {
        return n_args == 1 ? args[0] : NULL;
    }
    sm_expr *const x = smi_expr_new(a, SM_EXPR_AND, &sm_type_bool, args[0]);
    x->args = args;
    x->n_args = n_args;
    return smi_fold(a, x);
}

void smi_conjuncts(sm_arena *a, const sm_expr *x, const sm_expr ***out, int32_t *n)
{
    SM_ASSERT(*n >= 0 && x->type->id == SM_TYPE_BOOL);
    const int32_t n_parts = x->kind == SM_EXPR_AND ? x->n_args : 1;
    const sm_expr **const all = SM_NEW_ARRAY(a, const sm_expr *, *n + n_parts);
    if (*n > 0) {
        memcpy(all, *out, (size_t)*n * sizeof(*all));
    }
    for (int32_t i = 0; i < n_parts; i++) {
        all[*n + i] = x->kind == SM_EXPR_AND ? x->args[i] : x;
    }
    *out = all;
    *n += n_parts;
}

/* ---- asking ---------------------------------------------------------------------------------- */

bool smi_is_const_null(const sm_expr *x)
{
    return x->kind == SM_EXPR_CONST && x->value.is_null;
}

bool smi_is_true(const sm_expr *x)
{
    return x->kind == SM_EXPR_CONST && x->type->id == SM_TYPE_BOOL && !x->value.is_null &&
           x->value.as.b;
}

bool smi_is_false_or_null(const sm_expr *x)
{
    return x->kind == SM_EXPR_CONST &&
           (x->value.is_null || (x->type->id == SM_TYPE_BOOL && !x->value.as.b));
}

bool smi_wraps(const sm_expr *x)
{
    return x->kind == SM_EXPR_CALL && (x->fn == &smi_fn_distinct || x->fn == &smi_fn_over);
}

bool sm_expr_eq(const sm_expr *a, const sm_expr *b)
{
    if (a == b) {
        return true;
    }
    if (a->kind != b->kind || a->n_args != b->n_args || !sm_type_eq(a->type, b->type)) {
        return false;
    }
    const bool has_index = a->kind == SM_EXPR_COLUMN || a->kind == SM_EXPR_PARAM ||
                           a->kind == SM_EXPR_FIELD || a->kind == SMI_EXPR_AGG ||
                           a->kind == SMI_EXPR_WINDOW;
    if (has_index && a->index != b->index) {
        return false;
    }
    if (a->kind == SM_EXPR_CONST) {
        return sm_value_eq(a->value, b->value);
    }
    if (a->kind == SM_EXPR_CALL) {
        if (a->fn != b->fn) {
            return false;
        }
        if (smi_wraps(a) && !sm_expr_eq(a->prepared, b->prepared)) {
            return false;
        }
    }
    if (a->kind == SM_EXPR_CAST &&
        (a->is_try != b->is_try || (a->type == &sm_type_json) != (b->type == &sm_type_json))) {
        return false;
    }
    for (int32_t i = 0; i < a->n_args; i++) {
        if (!sm_expr_eq(a->args[i], b->args[i])) {
            return false;
        }
    }
    return true;
}

void smi_columns_used(const sm_expr *x, bool *used)
{
    if (x->kind == SM_EXPR_COLUMN) {
        used[x->index] = true;
    }
    for (int32_t i = 0; i < x->n_args; i++) {
        smi_columns_used(x->args[i], used);
    }
}

bool smi_has_param(const sm_expr *x)
{
    if (x->kind == SM_EXPR_PARAM) {
        return true;
    }
    for (int32_t i = 0; i < x->n_args; i++) {
        if (smi_has_param(x->args[i])) {
            return true;
        }
    }
    return false;
}

/* Casts that take every value. */
static bool cast_can_fail(const sm_expr *x)
{
    const sm_type *const from = x->args[0]->type, *const to = x->type;
    if (x->is_try || from->id == SM_TYPE_NULL) {
        return false;
    }
    if (to->id == SM_TYPE_STRING) {
        return to == &sm_type_json && from->id == SM_TYPE_STRING;
    }
    if (sm_type_is_integer(from->id) && sm_type_is_integer(to->id)) {
        return sm_type_is_signed(from->id) != sm_type_is_signed(to->id) ||
               sm_type_bytes(from->id) > sm_type_bytes(to->id);
    }
    return !(sm_type_is_integer(from->id) && to->id == SM_TYPE_F64);
}

bool smi_can_fail(const sm_expr *x)
{
    if (x->kind == SM_EXPR_CAST && cast_can_fail(x)) {
        return true;
    }
    if (x->kind == SM_EXPR_CALL && (smi_fn_flags(x->fn) & SMI_CAN_FAIL)) {
        return true;
    }
    for (int32_t i = 0; i < x->n_args; i++) {
        if (smi_can_fail(x->args[i])) {
            return true;
        }
    }
    return false;
}

/* Is x NULL wherever the column is? */
static bool is_strict_in(const sm_expr *x, int32_t index)
{
    switch (x->kind) {
    case SM_EXPR_COLUMN:
        return x->index == index;
    case SM_EXPR_CAST:
    case SM_EXPR_FIELD:
    case SM_EXPR_IN:
        return is_strict_in(x->args[0], index);
    case SM_EXPR_CALL:
        if (!x->fn->is_strict) {
            return false;
        }
        for (int32_t i = 0; i < x->n_args; i++) {
            if (is_strict_in(x->args[i], index)) {
                return true;
            }
        }
        return false;
    default:
        return false;
    }
}

bool smi_rejects_null(const sm_expr *x, int32_t index)
{
    if (x->kind == SM_EXPR_AND || x->kind == SM_EXPR_OR) {
        const bool any = x->kind == SM_EXPR_AND;
        for (int32_t i = 0; i < x->n_args; i++) {
            if (smi_rejects_null(x->args[i], index) == any) {
                return any;
            }
        }
        return !any;
    }
    if (x->kind == SM_EXPR_CALL && strcmp(x->fn->name, "is_not_null") == 0) {
        return is_strict_in(x->args[0], index);
    }
    return is_strict_in(x, index);
}

bool smi_expr_nullable(const sm_expr *x, const sm_type *input)
{
    switch (x->kind) {
    case SM_EXPR_CONST:
        return x->value.is_null;
    case SM_EXPR_COLUMN:
        return input->fields[x->index].is_nullable;
    case SM_EXPR_AND:
    case SM_EXPR_OR:
        for (int32_t i = 0; i < x->n_args; i++) {
            if (smi_expr_nullable(x->args[i], input)) {
                return true;
            }
        }
        return false;
    case SM_EXPR_CALL:
        if (strncmp(x->fn->name, "is_", 3) == 0) { /* is_null, is_distinct and their contraries */
            return false;
        }
        return true;
    default:
        return true;
    }
}

/* ---- rewriting ------------------------------------------------------------------------------- */

/* x with other arguments. A call that it wraps gets the same ones. */
static const sm_expr *with_args(sm_arena *a, const sm_expr *x, const sm_expr **args)
{
    sm_expr *const copy = SM_NEW(a, sm_expr);
    *copy = *x;
    copy->args = args;
    if (smi_wraps(x)) {
        SM_ASSERT(((const sm_expr *)x->prepared)->n_args == x->n_args);
        copy->prepared = with_args(a, x->prepared, args);
    }
    return copy;
}

const sm_expr *smi_rewrite(sm_arena *a, const sm_expr *x, smi_rewrite_fn fn, void *ctx)
{
    const sm_expr *const whole = fn(ctx, x);
    if (whole) {
        return whole;
    }
    const sm_expr **args = NULL;
    for (int32_t i = 0; i < x->n_args; i++) {
        const sm_expr *const arg = smi_rewrite(a, x->args[i], fn, ctx);
        if (arg != x->args[i] && !args) {
            args = SM_NEW_ARRAY(a, const sm_expr *, x->n_args);
            memcpy(args, x->args, (size_t)x->n_args * sizeof(*args));
        }
        if (args) {
            args[i] = arg;
        }
    }
    if (!args) {
        return x;
    }
    return smi_fold(a, with_args(a, x, args));
}

static const sm_expr *substitute_one(void *ctx, const sm_expr *x)
{
    const sm_expr *const *const exprs = ctx;
    SM_ASSERT(x->kind != SM_EXPR_COLUMN || sm_type_eq(exprs[x->index]->type, x->type));
    return x->kind == SM_EXPR_COLUMN ? exprs[x->index] : NULL;
}

const sm_expr *smi_substitute(sm_arena *a, const sm_expr *x, const sm_expr *const *exprs)
{
    return smi_rewrite(a, x, substitute_one, (void *)exprs);
}

typedef struct remapping {
    sm_arena *a;
    const int32_t *map;
} remapping;

static const sm_expr *remap_one(void *ctx, const sm_expr *x)
{
    const remapping *const r = ctx;
    if (x->kind != SM_EXPR_COLUMN) {
        return NULL;
    }
    SM_ASSERT(r->map[x->index] >= 0);
    return r->map[x->index] == x->index ? x : smi_column_ref(r->a, r->map[x->index], x->type, x);
}

const sm_expr *smi_remap(sm_arena *a, const sm_expr *x, const int32_t *map)
{
    remapping r = {a, map};
    return smi_rewrite(a, x, remap_one, &r);
}

const sm_expr *sm_expr_mapped(const sm_expr *x, const int32_t *map, sm_arena *a)
{
    return smi_remap(a, x, map);
}

void sm_expr_columns(const sm_expr *x, bool *used)
{
    smi_columns_used(x, used);
}

typedef struct moving {
    sm_arena *a;
    int32_t by;
} moving;

static const sm_expr *move_one(void *ctx, const sm_expr *x)
{
    const moving *const m = ctx;
    SM_ASSERT(x->kind != SM_EXPR_COLUMN || x->index + m->by >= 0);
    return x->kind == SM_EXPR_COLUMN ? smi_column_ref(m->a, x->index + m->by, x->type, x) : NULL;
}

const sm_expr *sm_expr_moved(const sm_expr *x, int32_t by, sm_arena *a)
{
    moving m = {a, by};
    return smi_rewrite(a, x, move_one, &m);
}

typedef struct spreading {
    const sm_expr *const *columns, *const *fields;
    int32_t n;
    bool takes_whole;
} spreading;

static const sm_expr *spread_one(void *ctx, const sm_expr *x)
{
    spreading *const s = ctx;
    if (x->kind == SM_EXPR_FIELD && x->args[0]->kind == SM_EXPR_COLUMN &&
        x->args[0]->index == s->n) {
        return s->fields[x->index];
    }
    if (x->kind != SM_EXPR_COLUMN) {
        return NULL;
    }
    SM_ASSERT(x->index >= 0 && x->index <= s->n);
    s->takes_whole = s->takes_whole || x->index == s->n;
    return x->index < s->n ? s->columns[x->index] : x;
}

const sm_expr *sm_expr_spread(const sm_expr *x, const sm_expr *const *columns, int32_t n,
                              const sm_expr *const *fields, sm_arena *a)
{
    spreading s = {.columns = columns, .fields = fields, .n = n};
    const sm_expr *const out = smi_rewrite(a, x, spread_one, &s);
    return s.takes_whole ? NULL : out;
}

int64_t smi_expr_size(const sm_expr *x)
{
    int64_t n = 1;
    for (int32_t i = 0; i < x->n_args; i++) {
        n += smi_expr_size(x->args[i]);
    }
    return n;
}
