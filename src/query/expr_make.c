/* SPDX-License-Identifier: Apache-2.0
 *
 * query/expr_make.c: makes bound expressions out of bound expressions, with the casts that SQL
 * adds. Called by the binder, which gives the place in the SQL text, and by callers that build
 * plans (the sm_expr_… of query.h), which have no place to give.
 *
 * Lazy      coalesce, nullif and if become a CASE, so that an argument is evaluated only for the
 *           rows that need it.
 * Limits    The binder counts the nodes that a query's text becomes. A program may share a part of
 *           an expression any number of times, so here the arguments of each call are counted. */
#include "query/function/function_int.h"

/* ---- conditions ------------------------------------------------------------------------------ */

sm_status smi_make_predicate(sm_arena *a, const sm_expr *x, const char *where, const sm_expr *place,
                             const sm_expr **out, sm_error *e)
{
    const sm_type_id id = x->type->id;
    if (id != SM_TYPE_BOOL && id != SM_TYPE_NULL && !sm_type_is_number(id) &&
        x->type != &smi_type_str_literal) {
        const sm_str t = smi_type_text(a, x->type);
        return smi_expr_fail(place, e, SM_TYPE, "%s needs a BOOLEAN, this is %.*s", where,
                             SM_STR_ARG(t));
    }
    *out = smi_cast(a, x, &sm_type_bool);
    return SM_OK;
}

const sm_expr *smi_make_logic(sm_arena *a, sm_expr_kind kind, const sm_expr **args, int32_t n,
                              const sm_expr *place)
{
    SM_ASSERT((kind == SM_EXPR_AND || kind == SM_EXPR_OR) && n > 0);
    sm_expr *const x = smi_expr_new(a, kind, &sm_type_bool, place);
    x->args = args;
    x->n_args = n;
    return smi_fold(a, x);
}

/* ---- types that meet ------------------------------------------------------------------------- */

sm_status smi_meet_all(sm_arena *a, const sm_expr *const *args, int32_t n, smi_meeting how,
                       const sm_type **out, sm_error *e)
{
    SM_ASSERT(args && n > 0);
    sm_expr so_far = *args[0];
    for (int32_t i = 1; i < n; i++) {
        const sm_type *const t = smi_meet(a, &so_far, args[i], how);
        if (!t) {
            const sm_str x = smi_type_text(a, so_far.type);
            const sm_str y = smi_type_text(a, args[i]->type);
            smi_expr_fail(args[i], e, SM_TYPE, "%.*s does not go with %.*s", SM_STR_ARG(y),
                          SM_STR_ARG(x));
            sm_error_todo(e, "Cast one of them: CAST(x AS %.*s).", SM_STR_ARG(x));
            return SM_TYPE;
        }
        if (!sm_type_eq(t, so_far.type) || !smi_is_literal(args[i])) {
            so_far.kind = SM_EXPR_COLUMN; /* no longer a literal that adapts */
        }
        so_far.type = t;
    }
    *out = smi_plain_type(so_far.type);
    return SM_OK;
}

sm_status smi_make_case(sm_arena *a, const sm_expr **args, int32_t n, const sm_expr *place,
                        const sm_expr **out, sm_error *e)
{
    SM_ASSERT(n % 2 == 1);
    const sm_expr **const values = SM_NEW_ARRAY(a, const sm_expr *, n);
    int32_t n_values = 0;
    const sm_type *type = NULL;
    for (int32_t i = 0; i < n; i++) {
        if (i % 2 == 1 || i + 1 == n) {
            values[n_values++] = args[i];
        }
    }
    SM_TRY(smi_meet_all(a, values, n_values, SMI_MEET_ONE, &type, e));
    SM_ASSERT(type != NULL);
    for (int32_t i = 0; i < n; i++) {
        if (i % 2 == 1 || i + 1 == n) {
            args[i] = smi_cast(a, args[i], type);
        }
    }
    sm_expr *const x = smi_expr_new(a, SM_EXPR_CASE, type, place);
    x->args = args;
    x->n_args = n;
    *out = smi_fold(a, x);
    return SM_OK;
}

sm_status smi_make_in(sm_arena *a, const sm_expr **args, int32_t n, const sm_expr *place,
                      const sm_expr **out, sm_error *e)
{
    SM_ASSERT(n >= 2);
    const sm_type *type = NULL;
    bool is_const = true;
    SM_TRY(smi_meet_all(a, args, n, SMI_MEET_EQUAL, &type, e));
    SM_ASSERT(type != NULL);
    for (int32_t i = 0; i < n; i++) {
        args[i] = smi_cast(a, args[i], type);
        is_const = is_const && (i == 0 || args[i]->kind == SM_EXPR_CONST);
    }
    if (is_const && !sm_type_is_nested(type->id)) {
        sm_expr *const x = smi_expr_new(a, SM_EXPR_IN, &sm_type_bool, place);
        x->args = args;
        x->n_args = n;
        x->prepared = smi_prepare_in(x, a);
        *out = smi_fold(a, x);
        return SM_OK;
    }
    const sm_expr **const equals = SM_NEW_ARRAY(a, const sm_expr *, n);
    for (int32_t i = 1; i < n; i++) {
        const sm_expr **const pair = SM_NEW_ARRAY(a, const sm_expr *, 2);
        pair[0] = args[0];
        pair[1] = args[i];
        equals[i - 1] = smi_call(a, "=", &sm_type_bool, pair, 2, place);
    }
    *out = smi_make_logic(a, SM_EXPR_OR, equals, n - 1, place);
    return SM_OK;
}

/* ---- casts ----------------------------------------------------------------------------------- */

sm_status smi_make_cast(sm_arena *a, const sm_expr *x, const sm_type *type, bool is_try,
                        const sm_expr *place, const sm_expr **out, sm_error *e)
{
    const bool nested = sm_type_is_nested(x->type->id) || sm_type_is_nested(type->id);
    const bool is_free = x->type->id == SM_TYPE_NULL || type->id == SM_TYPE_STRING;
    if (nested && !sm_type_eq(x->type, type) && !is_free) {
        const sm_str from = smi_type_text(a, x->type), to = smi_type_text(a, type);
        return smi_expr_fail(place, e, SM_TYPE, "%.*s cannot be cast to %.*s", SM_STR_ARG(from),
                             SM_STR_ARG(to));
    }
    if (sm_type_eq(x->type, type) && type != &sm_type_json) {
        *out = smi_cast(a, x, type);
        return SM_OK;
    }
    sm_expr *const cast = smi_expr_new(a, SM_EXPR_CAST, type, place);
    cast->is_try = is_try;
    cast->args = SM_NEW_ARRAY(a, const sm_expr *, 1);
    cast->args[0] = smi_is_literal(x) ? smi_cast(a, x, smi_plain_type(x->type)) : x;
    cast->n_args = 1;
    *out = smi_fold(a, cast);
    return SM_OK;
}

/* ---- forms that are written out -------------------------------------------------------------- */

static const sm_expr *null_at(sm_arena *a, const sm_expr *place)
{
    return smi_const(a, sm_value_null(&sm_type_null), place);
}

/* if(condition, then, else) */
static sm_status write_if(sm_arena *a, const sm_expr **args, const sm_expr *place,
                          const sm_expr **out, sm_error *e)
{
    SM_TRY(smi_make_predicate(a, args[0], "WHEN", args[0], &args[0], e));
    return smi_make_case(a, args, 3, place, out, e);
}

/* nullif(x, y): NULL where they are equal, else x. */
static sm_status write_nullif(sm_arena *a, const sm_expr **args, const sm_expr *place,
                              const sm_expr **out, sm_error *e)
{
    const sm_expr **const pair = SM_NEW_ARRAY(a, const sm_expr *, 2);
    const sm_expr **const parts = SM_NEW_ARRAY(a, const sm_expr *, 3);
    memcpy(pair, args, 2 * sizeof(*pair));
    SM_TRY(smi_bind_call(a, smi_function_named(SM_STR("=")), pair, 2, place, &parts[0], e));
    parts[1] = null_at(a, place);
    parts[2] = args[0];
    return smi_make_case(a, parts, 3, place, out, e);
}

/* coalesce(x, y, z): the first that is not NULL; ifnull is the same of two. */
static sm_status write_coalesce(sm_arena *a, const sm_expr **args, int32_t n, const sm_expr *place,
                                const sm_expr **out, sm_error *e)
{
    const sm_function *const is_there = smi_function_named(SM_STR("is_not_null"));
    const sm_expr **const parts = SM_NEW_ARRAY(a, const sm_expr *, 2 * n - 1);
    for (int32_t i = 0; i + 1 < n; i++) {
        const sm_expr **const one = SM_NEW_ARRAY(a, const sm_expr *, 1);
        one[0] = args[i];
        SM_TRY(smi_bind_call(a, is_there, one, 1, place, &parts[2 * i], e));
        parts[2 * i + 1] = args[i];
    }
    parts[2 * n - 2] = args[n - 1];
    return smi_make_case(a, parts, 2 * n - 1, place, out, e);
}

static sm_status write_out(sm_arena *a, const sm_function *fn, const sm_expr **args, int32_t n,
                           const sm_expr *place, const sm_expr **out, sm_error *e)
{
    const bool is_coalesce = strcmp(fn->name, "coalesce") == 0;
    const bool is_nullif = strcmp(fn->name, "nullif") == 0;
    const bool is_if = strcmp(fn->name, "if") == 0 || strcmp(fn->name, "iff") == 0;
    const int32_t want = is_if ? 3 : 2;
    if (is_coalesce ? n < 1 : n != want) {
        return smi_expr_fail(place, e, SM_TYPE, "%s takes %d arguments, not %d", fn->name,
                             is_coalesce ? 1 : want, n);
    }
    return is_if       ? write_if(a, args, place, out, e)
           : is_nullif ? write_nullif(a, args, place, out, e)
                       : write_coalesce(a, args, n, place, out, e);
}

/* ---- calls ----------------------------------------------------------------------------------- */

sm_status smi_make_call(sm_arena *a, const sm_function *fn, const sm_expr **args, int32_t n,
                        const sm_expr *place, const sm_expr **out, sm_error *e)
{
    SM_ASSERT(fn->kind != SM_FN_AGGREGATE); /* smi_make_aggregate() */
    return smi_fn_flags(fn) & SMI_WRITTEN_OUT ? write_out(a, fn, args, n, place, out, e)
                                              : smi_bind_call(a, fn, args, n, place, out, e);
}

/* The call of `fn` that does for the call `inner` what it is for: over distinct values, over a
 * window. */
static const sm_expr *wrap_call(sm_arena *a, const sm_function *fn, const sm_expr *inner)
{
    sm_expr *const x = SM_NEW(a, sm_expr);
    *x = *inner;
    x->fn = fn;
    x->prepared = inner;
    return x;
}

const sm_expr *smi_make_over(sm_arena *a, const sm_expr *call)
{
    return wrap_call(a, &smi_fn_over, call);
}

static bool ignores_distinct(const sm_function *fn)
{
    static const char *const names[] = {"min", "max", "bool_and", "bool_or", "any_value", "first"};
    for (int i = 0; i < SM_COUNT(names); i++) {
        if (strcmp(fn->name, names[i]) == 0) {
            return true;
        }
    }
    return false;
}

sm_status smi_make_aggregate(sm_arena *a, const sm_function *fn, bool is_distinct,
                             const sm_expr **args, int32_t n, const sm_expr *place,
                             const sm_expr **out, sm_error *e)
{
    const bool is_count = strcmp(fn->name, "count") == 0;
    for (int32_t i = 0; i < n; i++) {
        if (sm_type_is_nested(args[i]->type->id) && (!is_count || is_distinct)) {
            return smi_expr_fail(args[i], e, SM_TYPE, "%s%s does not take lists and structs",
                                 fn->name, is_distinct ? " (DISTINCT …)" : "");
        }
    }
    if (is_distinct && n == 0) {
        return smi_expr_fail(place, e, SM_SYNTAX, "DISTINCT needs an argument");
    }
    SM_TRY(smi_bind_call(a, fn, args, n, place, out, e));
    if (is_distinct && !ignores_distinct(fn)) {
        *out = wrap_call(a, &smi_fn_distinct, *out);
    }
    return SM_OK;
}

/* ---- the door -------------------------------------------------------------------------------- */

/* Is it at most so deep, and of at most *left nodes? */
static bool fits(const sm_expr *x, int32_t depth, int64_t *left)
{
    if (depth > SMI_MAX_BIND_DEPTH || --*left < 0) {
        return false;
    }
    for (int32_t i = 0; i < x->n_args; i++) {
        if (!fits(x->args[i], depth + 1, left)) {
            return false;
        }
    }
    return true;
}

/* The arguments as an array of their own, of an expression that is not too large. */
static sm_status take_args(sm_arena *a, const sm_expr *const *args, int32_t n, const sm_expr ***out,
                           sm_error *e)
{
    const sm_expr **const own = SM_NEW_ARRAY(a, const sm_expr *, n + 1);
    int64_t left = SMI_MAX_BOUND_NODES;
    for (int32_t i = 0; i < n; i++) {
        if (!fits(args[i], 2, &left)) {
            return sm_fail(e, SM_LIMIT, "expression is over the limit of %lld nodes or %d levels",
                           (long long)SMI_MAX_BOUND_NODES, SMI_MAX_BIND_DEPTH);
        }
        own[i] = args[i];
    }
    *out = own;
    return SM_OK;
}

const sm_expr *sm_expr_column(const sm_type *schema, int32_t index, sm_arena *a)
{
    SM_ASSERT(index >= 0 && index < schema->n_fields);
    return smi_column_ref(a, index, schema->fields[index].type, NULL);
}

const sm_expr *sm_expr_field(const sm_expr *x, int32_t index, sm_arena *a)
{
    return smi_fold(a, smi_field(a, x, index, NULL));
}

const sm_expr *sm_expr_constant(sm_value v, sm_arena *a)
{
    return smi_const(a, sm_value_copy(a, v), NULL);
}

sm_status sm_expr_call(const char *name, const sm_expr *const *args, int32_t n_args, sm_arena *a,
                       const sm_expr **out, sm_error *e)
{
    const sm_function *const fn = smi_function_named(sm_str_of(name));
    const sm_expr **own = NULL;
    if (!fn) {
        const char *const near = smi_function_nearest(sm_str_of(name));
        sm_fail(e, SM_NAME, "no function \"%s\"", name);
        if (near) {
            sm_error_todo(e, "Did you mean \"%s\"?", near);
        }
        return SM_NAME;
    }
    SM_TRY(take_args(a, args, n_args, &own, e));
    return fn->kind == SM_FN_AGGREGATE ? smi_make_aggregate(a, fn, false, own, n_args, NULL, out, e)
                                       : smi_make_call(a, fn, own, n_args, NULL, out, e);
}

sm_status sm_expr_distinct(const sm_expr *call, sm_arena *a, const sm_expr **out, sm_error *e)
{
    const sm_expr **own = NULL;
    SM_ASSERT(call->kind == SM_EXPR_CALL && call->fn->kind == SM_FN_AGGREGATE && call->n_args > 0);
    SM_TRY(take_args(a, call->args, call->n_args, &own, e));
    return smi_make_aggregate(a, call->fn, true, own, call->n_args, NULL, out, e);
}

sm_status sm_expr_cast(const sm_expr *x, const sm_type *type, bool is_try, sm_arena *a,
                       const sm_expr **out, sm_error *e)
{
    const sm_expr **own = NULL;
    SM_TRY(take_args(a, &x, 1, &own, e));
    return smi_make_cast(a, x, type, is_try, NULL, out, e);
}

static sm_status logic(sm_expr_kind kind, const char *name, const sm_expr *const *args, int32_t n,
                       sm_arena *a, const sm_expr **out, sm_error *e)
{
    const sm_expr **own = NULL;
    SM_ASSERT(n > 0);
    SM_TRY(take_args(a, args, n, &own, e));
    for (int32_t i = 0; i < n; i++) {
        SM_TRY(smi_make_predicate(a, own[i], name, NULL, &own[i], e));
    }
    *out = smi_make_logic(a, kind, own, n, NULL);
    return SM_OK;
}

sm_status sm_expr_and(const sm_expr *const *args, int32_t n_args, sm_arena *a, const sm_expr **out,
                      sm_error *e)
{
    return logic(SM_EXPR_AND, "AND", args, n_args, a, out, e);
}

sm_status sm_expr_or(const sm_expr *const *args, int32_t n_args, sm_arena *a, const sm_expr **out,
                     sm_error *e)
{
    return logic(SM_EXPR_OR, "OR", args, n_args, a, out, e);
}

sm_status sm_expr_case(const sm_expr *const *args, int32_t n_args, sm_arena *a, const sm_expr **out,
                       sm_error *e)
{
    const sm_expr **own = NULL;
    SM_ASSERT(n_args % 2 == 1);
    SM_TRY(take_args(a, args, n_args, &own, e));
    for (int32_t i = 0; i + 1 < n_args; i += 2) {
        SM_TRY(smi_make_predicate(a, own[i], "WHEN", NULL, &own[i], e));
    }
    return smi_make_case(a, own, n_args, NULL, out, e);
}

sm_status sm_expr_in(const sm_expr *const *args, int32_t n_args, sm_arena *a, const sm_expr **out,
                     sm_error *e)
{
    const sm_expr **own = NULL;
    SM_ASSERT(n_args > 1);
    SM_TRY(take_args(a, args, n_args, &own, e));
    return smi_make_in(a, own, n_args, NULL, out, e);
}
