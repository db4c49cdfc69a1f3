/* SPDX-License-Identifier: Apache-2.0
 *
 * query/function/agg_sum.c: count, sum, avg, bool_and, bool_or.
 *
 * State     A sum of any type takes 16 bytes, because there may be a million groups with one each.
 *           All bytes zero means that there was no value yet.
 * Integers  The state is twice the sum in 128 bits, with the lowest bit set once there was a value.
 *           It is exact, and no row needs an overflow check: 2^62 rows cannot overflow it.
 * Decimals  The state is the sum in 128 bits; a sum of 0 is stored as SMI_WIDE_ZERO. A sum that
 *           overflows on the way is stored as SPILT from then on, and is an error at the end.
 * Floats    The state is the sum and the part of it that rounding lost (Neumaier), so that the
 *           result hardly depends on where ranges begin. A lost part of 0 is stored as −0, whose
 *           bits are not all zero.
 *
 * Source    A. Neumaier, Rundungsfehleranalyse einiger Verfahren zur Summation endlicher Summen,
 *           ZAMM 54, 1974; the error of one addition as in Knuth, TAOCP 2, 4.2.2, theorem B. */
#include <math.h>

#include "query/function/agg_int.h"

/* ---- count ---------------------------------------------------------------------------------- */

static inline void count_valid(const uint8_t *valid, int64_t n_rows, void *const *states)
{
    for (int64_t i = 0; i < n_rows; i++) {
        *(int64_t *)states[i] += sm_bit_get(valid, i);
    }
}

static sm_status count_update(const sm_expr *call, const sm_column *args, int32_t n_args,
                              int64_t n_rows, void *const *states, sm_agg_heap *heap, sm_error *e)
{
    const sm_column *const c = n_args > 0 ? &args[0] : NULL;
    const bool is_const = c && c->layout == SM_CONST && c->validity;
    if ((c && c->type->id == SM_TYPE_NULL) || (is_const && !sm_bit_get(c->validity, 0))) {
        return SM_OK;
    }
    if (c && c->validity && !is_const) { /* a dictionary's nulls are its codes' */
        count_valid(c->validity, n_rows, states);
    } else if (smi_one_state(states, n_rows)) {
        *(int64_t *)states[0] += n_rows;
    } else {
        for (int64_t i = 0; i < n_rows; i++) {
            ++*(int64_t *)states[i];
        }
    }
    return SM_OK;
}

static sm_status count_merge(const sm_expr *call, void *const *into, const void *const *from,
                             int64_t n, sm_agg_heap *heap, sm_error *e)
{
    for (int64_t i = 0; i < n; i++) {
        *(int64_t *)into[i] += *(const int64_t *)from[i];
    }
    return SM_OK;
}

static sm_status count_finish(const sm_expr *call, const void *const *states, int64_t n,
                              sm_builder *out, int64_t *failed, sm_error *e)
{
    for (int64_t i = 0; i < n; i++) {
        sm_builder_i64(out, *(const int64_t *)states[i]);
    }
    return SM_OK;
}

const sm_aggregate agg_count = {
    .kind = SM_AGG_COUNT,
    .state_bytes = sizeof(int64_t),
    .update = count_update,
    .merge = count_merge,
    .finish = count_finish,
};

/* ---- sums of one type ----------------------------------------------------------------------- */

typedef struct float_sum {
    double sum, rest;
} float_sum;

typedef union any_sum {
    smi_wide twice; /* of integers: 2 × sum + 1 */
    smi_wide exact; /* of decimals */
    float_sum f;
} any_sum;

typedef struct avg_state {
    any_sum sum;
    int64_t n;
} avg_state;

#define SPILT (SMI_WIDE_ZERO + 1)
_Static_assert(sizeof(any_sum) == 16, "has_sum() reads two words; groups have many of them");
_Static_assert(_Alignof(avg_state) == 8, "states need only 8: exec puts them one behind another");
_Static_assert(offsetof(avg_state, sum) == 0, "finish reads an avg's sum as a sum");

static inline void add_int(any_sum *s, sm_i128 v)
{
    s->twice = (s->twice + 2 * v) | 1;
}

static inline void add_decimal(any_sum *s, sm_i128 v)
{
    sm_i128 sum = 0;
    const sm_i128 old = s->exact == SMI_WIDE_ZERO ? 0 : s->exact;
    if (old == SPILT || __builtin_add_overflow(old, v, &sum) || sum <= SPILT) {
        s->exact = SPILT;
    } else {
        s->exact = sum == 0 ? SMI_WIDE_ZERO : sum;
    }
}

static inline void add_float(any_sum *s, double v)
{
    const double sum = s->f.sum + v;
    const double part = sum - s->f.sum;
    const double rest = s->f.rest + ((s->f.sum - (sum - part)) + (v - part));
    s->f.sum = sum;
    s->f.rest = rest == 0 ? -0.0 : rest;
}

static double float_result(const any_sum *s)
{
    /* an infinity on the way leaves a NaN in the rest */
    return isfinite(s->f.rest) ? s->f.sum + s->f.rest : s->f.sum;
}

typedef enum sum_kind { INTEGERS, DECIMALS, FLOATS } sum_kind;

static sum_kind sum_kind_of(const sm_expr *call)
{
    switch (call->args[0]->type->id) {
    case SM_TYPE_DECIMAL:
        return DECIMALS;
    case SM_TYPE_F32:
    case SM_TYPE_F64:
        return FLOATS;
    default:
        return INTEGERS;
    }
}

static bool has_sum(const any_sum *s)
{
    uint64_t words[2];
    memcpy(words, s, sizeof(words));
    return (words[0] | words[1]) != 0;
}

static void merge_sum(sum_kind kind, any_sum *into, const any_sum *from)
{
    if (!has_sum(from)) {
        return;
    }
    switch (kind) {
    case INTEGERS:
        add_int(into, from->twice >> 1);
        break;
    case DECIMALS:
        if (from->exact == SPILT) {
            into->exact = SPILT;
        } else {
            add_decimal(into, from->exact == SMI_WIDE_ZERO ? 0 : from->exact);
        }
        break;
    case FLOATS: {
        add_float(into, from->f.sum);
        const double rest = into->f.rest + from->f.rest;
        into->f.rest = rest == 0 ? -0.0 : rest;
        break;
    }
    }
    SM_ASSERT(has_sum(into));
}

/* ---- loops ---------------------------------------------------------------------------------- */

#define INT_TYPES(X)                                                                               \
    X(I8, int8_t)                                                                                  \
    X(I16, int16_t)                                                                                \
    X(I32, int32_t)                                                                                \
    X(I64, int64_t)                                                                                \
    X(U8, uint8_t)                                                                                 \
    X(U16, uint16_t)                                                                               \
    X(U32, uint32_t)                                                                               \
    X(U64, uint64_t)

#define SUM_LOOP(id, T) SMI_AGG_LOOP(sum_##id, any_sum, T, add_int)
INT_TYPES(SUM_LOOP)
#undef SUM_LOOP
SMI_AGG_LOOP(sum_F32, any_sum, float, add_float)
SMI_AGG_LOOP(sum_F64, any_sum, double, add_float)
SMI_AGG_LOOP(sum_DECIMAL, any_sum, smi_wide, add_decimal)

static inline void avg_int(avg_state *s, sm_i128 v)
{
    add_int(&s->sum, v);
    s->n++;
}
static inline void avg_float(avg_state *s, double v)
{
    add_float(&s->sum, v);
    s->n++;
}
static inline void avg_decimal(avg_state *s, sm_i128 v)
{
    add_decimal(&s->sum, v);
    s->n++;
}
#define AVG_LOOP(id, T) SMI_AGG_LOOP(avg_##id, avg_state, T, avg_int)
INT_TYPES(AVG_LOOP)
#undef AVG_LOOP
SMI_AGG_LOOP(avg_F32, avg_state, float, avg_float)
SMI_AGG_LOOP(avg_F64, avg_state, double, avg_float)
SMI_AGG_LOOP(avg_DECIMAL, avg_state, smi_wide, avg_decimal)

#define LOOPS(prefix)                                                                              \
    {                                                                                              \
        [SM_TYPE_I8] = prefix##_I8, [SM_TYPE_I16] = prefix##_I16, [SM_TYPE_I32] = prefix##_I32,    \
        [SM_TYPE_I64] = prefix##_I64, [SM_TYPE_U8] = prefix##_U8, [SM_TYPE_U16] = prefix##_U16,    \
        [SM_TYPE_U32] = prefix##_U32, [SM_TYPE_U64] = prefix##_U64, [SM_TYPE_F32] = prefix##_F32,  \
        [SM_TYPE_F64] = prefix##_F64, [SM_TYPE_DECIMAL] = prefix##_DECIMAL,                        \
        [SM_TYPE_MAP] = NULL, /* so that every type has its place */                               \
    }
static const smi_agg_loop sum_loops[] = LOOPS(sum);
static const smi_agg_loop avg_loops[] = LOOPS(avg);
_Static_assert(SM_COUNT(sum_loops) == SM_TYPE_MAP + 1, "loops are found by the type's id");
_Static_assert(SM_COUNT(avg_loops) == SM_COUNT(sum_loops), "loops are found by the type's id");
#undef LOOPS
#undef INT_TYPES

/* A type without a loop is NULL, whose rows have no values: the binder lets no other through. */
static sm_status run_loop(const smi_agg_loop *loops, const sm_column *c, int64_t n_rows,
                          void *const *states, sm_agg_heap *heap, sm_error *e)
{
    const smi_agg_loop loop = loops[c->type->id];
    sm_column flat;
    sm_block *mem = NULL;
    if (!loop) {
        SM_ASSERT(c->type->id == SM_TYPE_NULL);
        return SM_OK;
    }
    SM_TRY(smi_flat(c, smi_heap_budget(heap), &flat, &mem, e));
    loop(&flat, n_rows, states);
    sm_block_release(mem);
    return SM_OK;
}

/* ---- sum ------------------------------------------------------------------------------------ */

static sm_status sum_update(const sm_expr *call, const sm_column *args, int32_t n_args,
                            int64_t n_rows, void *const *states, sm_agg_heap *heap, sm_error *e)
{
    return run_loop(sum_loops, &args[0], n_rows, states, heap, e);
}

static sm_status sum_merge(const sm_expr *call, void *const *into, const void *const *from,
                           int64_t n, sm_agg_heap *heap, sm_error *e)
{
    const sum_kind kind = sum_kind_of(call);
    for (int64_t i = 0; i < n; i++) {
        merge_sum(kind, into[i], from[i]);
    }
    return SM_OK;
}

/* The error of a sum that its result's type does not hold. */
static sm_status fail_sum(const sm_expr *call, const sm_type *of, sm_i128 sum, sm_error *e)
{
    sm_buf type = {0}, value = {0};
    const sm_type whole = {.id = SM_TYPE_DECIMAL, .precision = 38, .scale = of->scale};
    sm_type_print(of, &type);
    sm_value_print((sm_value){.type = &whole, .as.d = sum}, &value);
    const sm_status st =
        sum == SPILT ? smi_expr_fail(call, e, SM_RANGE, "%s is beyond %.*s", call->fn->name,
                                     SM_STR_ARG(sm_buf_str(&type)))
                     : smi_expr_fail(call, e, SM_RANGE, "%s of %.*s is beyond %.*s", call->fn->name,
                                     SM_STR_ARG(sm_buf_str(&value)), SM_STR_ARG(sm_buf_str(&type)));
    sm_error_todo(e, "Sum a cast to DOUBLE%s.",
                  of->id == SM_TYPE_I64 ? " or DECIMAL(38,0)" : ", which rounds");
    sm_buf_release(&value);
    sm_buf_release(&type);
    return st;
}

/* Appends the sum; false where the type of the result does not hold it. */
static bool append_sum(sum_kind kind, const any_sum *s, sm_builder *out)
{
    if (!has_sum(s)) {
        sm_builder_null(out);
        return true;
    }
    if (kind == FLOATS) {
        sm_builder_f64(out, float_result(s));
        return true;
    }
    if (kind == INTEGERS) {
        const sm_i128 sum = s->twice >> 1;
        if (sum < INT64_MIN || sum > INT64_MAX) {
            return false;
        }
        sm_builder_i64(out, (int64_t)sum);
        return true;
    }
    const sm_i128 sum = s->exact == SMI_WIDE_ZERO ? 0 : s->exact;
    if (sum <= -smi_pow10[38] || sum >= smi_pow10[38]) {
        return false;
    }
    sm_builder_i128(out, sum);
    return true;
}

static sm_status sum_finish(const sm_expr *call, const void *const *states, int64_t n,
                            sm_builder *out, int64_t *failed, sm_error *e)
{
    const sum_kind kind = sum_kind_of(call);
    SM_ASSERT(call->type->id == (kind == FLOATS     ? SM_TYPE_F64
                                 : kind == DECIMALS ? SM_TYPE_DECIMAL
                                                    : SM_TYPE_I64));
    for (int64_t i = 0; i < n; i++) {
        const any_sum *const s = states[i];
        if (!append_sum(kind, s, out)) {
            *failed = i;
            return fail_sum(call, call->type, kind == INTEGERS ? s->twice >> 1 : SPILT, e);
        }
    }
    return SM_OK;
}

sm_status sm_agg_sum_too_large(const sm_expr *call, sm_i128 sum, sm_error *e)
{
    return fail_sum(call, call->type, sum, e);
}

const sm_aggregate agg_sum = {
    .kind = SM_AGG_SUM,
    .state_bytes = sizeof(any_sum),
    .update = sum_update,
    .merge = sum_merge,
    .finish = sum_finish,
};

/* ---- avg ------------------------------------------------------------------------------------ */

static sm_status avg_update(const sm_expr *call, const sm_column *args, int32_t n_args,
                            int64_t n_rows, void *const *states, sm_agg_heap *heap, sm_error *e)
{
    return run_loop(avg_loops, &args[0], n_rows, states, heap, e);
}

static sm_status avg_merge(const sm_expr *call, void *const *into, const void *const *from,
                           int64_t n, sm_agg_heap *heap, sm_error *e)
{
    const sum_kind kind = sum_kind_of(call);
    for (int64_t i = 0; i < n; i++) {
        merge_sum(kind, &((avg_state *)into[i])->sum, &((const avg_state *)from[i])->sum);
        ((avg_state *)into[i])->n += ((const avg_state *)from[i])->n;
    }
    return SM_OK;
}

static sm_status avg_finish(const sm_expr *call, const void *const *states, int64_t n,
                            sm_builder *out, int64_t *failed, sm_error *e)
{
    const sum_kind kind = sum_kind_of(call);
    const sm_type *const t = call->args[0]->type;
    SM_ASSERT(call->type->id == SM_TYPE_F64);
    const double unit = kind == DECIMALS ? (double)smi_pow10[t->scale] : 1;
    for (int64_t i = 0; i < n; i++) {
        const avg_state *const s = states[i];
        if (s->n == 0) {
            sm_builder_null(out);
        } else if (kind == FLOATS) {
            sm_builder_f64(out, float_result(&s->sum) / (double)s->n);
        } else if (kind == INTEGERS) {
            sm_builder_f64(out, (double)(s->sum.twice >> 1) / (double)s->n);
        } else if (s->sum.exact == SPILT) {
            const sm_type widest = {.id = SM_TYPE_DECIMAL, .precision = 38, .scale = t->scale};
            *failed = i;
            return fail_sum(call, &widest, SPILT, e);
        } else {
            const sm_i128 sum = s->sum.exact == SMI_WIDE_ZERO ? 0 : s->sum.exact;
            sm_builder_f64(out, (double)sum / ((double)s->n * unit));
        }
    }
    return SM_OK;
}

const sm_aggregate agg_avg = {
    .state_bytes = sizeof(avg_state),
    .update = avg_update,
    .merge = avg_merge,
    .finish = avg_finish,
};

/* ---- bool_and, bool_or ------------------------------------------------------------------------
 * */

typedef struct bool_state {
    bool has, has_false, has_true;
} bool_state;

static sm_status bool_update(const sm_expr *call, const sm_column *args, int32_t n_args,
                             int64_t n_rows, void *const *states, sm_agg_heap *heap, sm_error *e)
{
    sm_column c;
    sm_block *mem = NULL;
    if (args[0].type->id == SM_TYPE_NULL) {
        return SM_OK;
    }
    SM_TRY(smi_flat(&args[0], smi_heap_budget(heap), &c, &mem, e));
    for (int64_t i = 0; i < n_rows; i++) {
        bool_state *const s = states[i];
        const bool has = !c.validity || sm_bit_get(c.validity, i);
        const bool v = sm_bit_get(c.values, i);
        s->has |= has;
        s->has_true |= has && v;
        s->has_false |= has && !v;
    }
    sm_block_release(mem);
    return SM_OK;
}

static sm_status bool_merge(const sm_expr *call, void *const *into, const void *const *from,
                            int64_t n, sm_agg_heap *heap, sm_error *e)
{
    for (int64_t i = 0; i < n; i++) {
        bool_state *const s = into[i];
        const bool_state *const more = from[i];
        s->has |= more->has;
        s->has_true |= more->has_true;
        s->has_false |= more->has_false;
    }
    return SM_OK;
}

static void bool_append(const bool_state *s, bool result, sm_builder *out)
{
    if (s->has) {
        sm_builder_bool(out, result);
    } else {
        sm_builder_null(out);
    }
}

static sm_status and_finish(const sm_expr *call, const void *const *states, int64_t n,
                            sm_builder *out, int64_t *failed, sm_error *e)
{
    for (int64_t i = 0; i < n; i++) {
        bool_append(states[i], !((const bool_state *)states[i])->has_false, out);
    }
    return SM_OK;
}

static sm_status or_finish(const sm_expr *call, const void *const *states, int64_t n,
                           sm_builder *out, int64_t *failed, sm_error *e)
{
    for (int64_t i = 0; i < n; i++) {
        bool_append(states[i], ((const bool_state *)states[i])->has_true, out);
    }
    return SM_OK;
}

const sm_aggregate agg_bool_and = {
    .state_bytes = sizeof(bool_state),
    .update = bool_update,
    .merge = bool_merge,
    .finish = and_finish,
};
const sm_aggregate agg_bool_or = {
    .state_bytes = sizeof(bool_state),
    .update = bool_update,
    .merge = bool_merge,
    .finish = or_finish,
};
