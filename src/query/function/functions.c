/* SPDX-License-Identifier: Apache-2.0
 *
 * query/function/functions.c: the registry of functions, made from functions.def, and how a call is
 * bound: the function's binder (or its signature) casts the arguments and sets the result's type,
 * `prepare` compiles constant arguments, and what can be computed now is folded. */
#include "query/function/function_int.h"

#include <stdlib.h>

#define SM_FN(fn_name, sig, kernel, fn_flags, binder, prep, text, in, gives)                       \
    {.name = (fn_name),                                                                            \
     .signature = (sig),                                                                           \
     .kind = SM_FN_SCALAR,                                                                         \
     .is_strict = ((fn_flags)&SMI_STRICT) != 0,                                                    \
     .is_pure = ((fn_flags)&SMI_PURE) != 0,                                                        \
     .eval = (kernel),                                                                             \
     .prepare = (prep),                                                                            \
     .summary = (text),                                                                            \
     .example = (in),                                                                              \
     .answer = (gives)},
#define SM_AGG(fn_name, sig, agg, binder, text, in, gives)                                         \
    {.name = (fn_name),                                                                            \
     .signature = (sig),                                                                           \
     .kind = SM_FN_AGGREGATE,                                                                      \
     .aggregate = &(agg),                                                                          \
     .summary = (text),                                                                            \
     .example = (in),                                                                              \
     .answer = (gives)},
#define SM_WIN(fn_name, sig, win, pieces, all_rows, binder, text, in, gives)                       \
    {.name = (fn_name),                                                                            \
     .signature = (sig),                                                                           \
     .kind = SM_FN_WINDOW,                                                                         \
     .window = (win),                                                                              \
     .in_pieces = (pieces),                                                                        \
     .whole = (all_rows),                                                                          \
     .summary = (text),                                                                            \
     .example = (in),                                                                              \
     .answer = (gives)},
static const sm_function functions[] = {
#include "query/function/functions.def"
};
#undef SM_FN
#undef SM_AGG
#undef SM_WIN

/* What the door does not show of a function; in the order of `functions`. */
typedef struct fn_more {
    smi_bind_fn bind; /* NULL: by the signature */
    int flags;        /* smi_fn_flag */
} fn_more;
#define SM_FN(fn_name, sig, kernel, fn_flags, binder, prep, text, in, gives)                       \
    {.bind = (binder), .flags = (fn_flags)},
#define SM_AGG(fn_name, sig, agg, binder, text, in, gives)                   {.bind = (binder)},
#define SM_WIN(fn_name, sig, win, pieces, all_rows, binder, text, in, gives) {.bind = (binder)},
static const fn_more more[] = {
#include "query/function/functions.def"
};
#undef SM_FN
#undef SM_AGG
#undef SM_WIN
_Static_assert(SM_COUNT(more) == SM_COUNT(functions), "one row each: more_of() goes by the index");

/* Names are looked up in a buffer of this size, in lower case. */
#define MAX_NAME_BYTES 32
#define SM_FN(fn_name, sig, kernel, fn_flags, binder, prep, text, in, gives)                       \
    _Static_assert(sizeof(fn_name) <= MAX_NAME_BYTES, "a name that cannot be looked up");          \
    _Static_assert(!((fn_flags)&SMI_WRITTEN_OUT) || !((fn_flags)&SMI_STRICT),                      \
                   "what becomes a CASE sees NULLs");
#define SM_AGG(fn_name, sig, agg, binder, text, in, gives)                                         \
    _Static_assert(sizeof(fn_name) <= MAX_NAME_BYTES, "a name that cannot be looked up");
#define SM_WIN(fn_name, sig, win, pieces, all_rows, binder, text, in, gives)                       \
    _Static_assert(sizeof(fn_name) <= MAX_NAME_BYTES, "a name that cannot be looked up");
#include "query/function/functions.def"
#undef SM_FN
#undef SM_AGG
#undef SM_WIN

const sm_function *sm_functions(int32_t *n)
{
    *n = SM_COUNT(functions);
    return functions;
}

static const fn_more *more_of(const sm_function *fn)
{
    static const fn_more none = {0};
    const bool is_listed = fn >= functions && fn < functions + SM_COUNT(functions);
    return is_listed ? &more[fn - functions] : &none;
}

int smi_fn_flags(const sm_function *fn)
{
    return more_of(fn)->flags;
}

static int name_cmp(const void *key, const void *item)
{
    return strcmp(key, ((const sm_function *)item)->name);
}

const sm_function *smi_function_named(sm_str name)
{
    char low[MAX_NAME_BYTES];
    if (name.len >= sizeof(low)) {
        return NULL;
    }
    for (size_t i = 0; i < name.len; i++) {
        const char c = name.data[i];
        low[i] = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
    }
    low[name.len] = 0;
    return bsearch(low, functions, SM_COUNT(functions), sizeof(functions[0]), name_cmp);
}

const char *smi_function_nearest(sm_str name)
{
    sm_str names[SM_COUNT(functions)];
    for (int i = 0; i < SM_COUNT(functions); i++) {
        names[i] = sm_str_of(functions[i].name);
    }
    return sm_nearest_name(name, names, SM_COUNT(functions));
}

/* ---- calls ----------------------------------------------------------------------------------- */

sm_status smi_bind_call(sm_arena *a, const sm_function *fn, const sm_expr **args, int32_t n_args,
                        const sm_expr *place, const sm_expr **out, sm_error *e)
{
    smi_call_bind b = {.a = a, .fn = fn, .args = args, .n_args = n_args, .place = place};
    const smi_bind_fn bind = more_of(fn)->bind;
    SM_TRY(bind ? bind(&b, e) : smi_bind_signature(&b, e));
    SM_ASSERT(b.result != NULL);
    SM_ASSERT(!fn->is_strict || !sm_type_is_nested(b.result->id)); /* smi_column_new makes none */
    sm_expr *const call = smi_expr_new(a, SM_EXPR_CALL, smi_plain_type(b.result), place);
    call->fn = fn;
    call->args = b.args;
    call->n_args = b.n_args;
    for (int32_t i = 0; i < call->n_args; i++) { /* no literals from here on */
        if (smi_is_literal(call->args[i])) {
            call->args[i] = smi_cast(a, call->args[i], smi_plain_type(call->args[i]->type));
        }
    }
    if (fn->prepare) {
        sm_error inner = {0};
        call->prepared = fn->prepare(call, a, &inner);
        if (inner.status != SM_OK) {
            smi_expr_fail(place, e, inner.status, "%s", inner.what);
            sm_error_todo(e, "%s", inner.todo);
            return inner.status;
        }
    }
    if (smi_fn_flags(fn) & SMI_OF_TYPES) { /* the result is known now, whatever the values are */
        SM_ASSERT(call->n_args > 0 && (smi_fn_flags(fn) & SMI_PURE));
        call->args[0] = smi_const(a, sm_value_null(call->args[0]->type), place);
    }
    *out = fn->kind == SM_FN_SCALAR ? smi_fold(a, call) : call;
    return SM_OK;
}

const sm_expr *smi_call(sm_arena *a, const char *name, const sm_type *t, const sm_expr **args,
                        int32_t n_args, const sm_expr *place)
{
    sm_expr *const call = smi_expr_new(a, SM_EXPR_CALL, t, place);
    call->fn = smi_function_named(sm_str_of(name));
    SM_ASSERT(call->fn != NULL && call->fn->kind == SM_FN_SCALAR);
    SM_ASSERT(!call->fn->prepare); /* nothing is prepared here */
    call->args = args;
    call->n_args = n_args;
    return smi_fold(a, call);
}
