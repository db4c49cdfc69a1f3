/* SPDX-License-Identifier: Apache-2.0
 *
 * query/function/fn_arith.c: + − * / // % on numbers and dates.
 *
 * Types     Both arguments have the result's type, except in products of decimals and with dates
 *           (fn_bind.c casts them).
 * Errors    A result that its type does not hold is SM_RANGE, with both values; so is a remainder
 *           or // of integers and decimals by zero. / and arithmetic on floats follow IEEE 754. */
#include "query/function/function_int.h"

#include <math.h>

#include "base/time.h"

typedef enum arith { ADD, SUBTRACT, MULTIPLY, DIVIDE_WHOLE, MODULO } arith;

static const char *const signs[] = {"+", "-", "*", "//", "%"};
_Static_assert(SM_COUNT(signs) == MODULO + 1, "one sign for each operation");

static sm_status fail_range(const sm_fn_call *call, arith op, int64_t i, sm_error *e)
{
    sm_buf text = {0};
    sm_value_print(sm_column_value(&call->args[0], i), &text);
    sm_buf_printf(&text, " %s ", signs[op]);
    sm_value_print(sm_column_value(&call->args[1], i), &text);
    sm_buf type = {0};
    sm_type_print(call->expr->type, &type);
    const sm_status st =
        smi_expr_fail(call->expr, e, SM_RANGE, "%.*s is out of the range of %.*s",
                      SM_STR_ARG(sm_buf_str(&text)), SM_STR_ARG(sm_buf_str(&type)));
    sm_buf_release(&text);
    sm_buf_release(&type);
    return st;
}

/* ---- integers -------------------------------------------------------------------------------- */

typedef struct int_range {
    int64_t min, max; /* of a signed type up to 64 bits */
    uint64_t umax;    /* of an unsigned one; 0: signed */
} int_range;

static int_range range_of(sm_type_id id)
{
    switch (id) {
    case SM_TYPE_I8:
        return (int_range){INT8_MIN, INT8_MAX, 0};
    case SM_TYPE_I16:
        return (int_range){INT16_MIN, INT16_MAX, 0};
    case SM_TYPE_I32:
        return (int_range){INT32_MIN, INT32_MAX, 0};
    case SM_TYPE_U8:
        return (int_range){0, UINT8_MAX, 0};
    case SM_TYPE_U16:
        return (int_range){0, UINT16_MAX, 0};
    case SM_TYPE_U32:
        return (int_range){0, UINT32_MAX, 0};
    case SM_TYPE_U64:
        return (int_range){0, 0, UINT64_MAX};
    default:
        return (int_range){INT64_MIN, INT64_MAX, 0};
    }
}

static void store_int(sm_column *out, int64_t i, int64_t v)
{
    switch (sm_type_bytes(out->type->id)) {
    case 1:
        ((int8_t *)out->values)[i] = (int8_t)v;
        return;
    case 2:
        ((int16_t *)out->values)[i] = (int16_t)v;
        return;
    case 4:
        ((int32_t *)out->values)[i] = (int32_t)v;
        return;
    default:
        ((int64_t *)out->values)[i] = v;
        return;
    }
}

static sm_status fail_zero(const sm_fn_call *call, arith op, int64_t i, sm_error *e)
{
    sm_buf text = {0};
    sm_value_print(sm_column_value(&call->args[0], i), &text);
    smi_expr_fail(call->expr, e, SM_RANGE, "%.*s %s 0: division by zero",
                  SM_STR_ARG(sm_buf_str(&text)), signs[op]);
    sm_error_todo(e, "NULL instead: a %s nullif(b, 0).", signs[op]);
    sm_buf_release(&text);
    return SM_RANGE;
}

/* The exact result; false where the divisor is 0. */
static bool exact_result(arith op, sm_i128 a, sm_i128 b, sm_i128 *out)
{
    switch (op) {
    case ADD:
        *out = a + b;
        return true;
    case SUBTRACT:
        *out = a - b;
        return true;
    case MULTIPLY:
        *out = a * b;
        return true;
    case DIVIDE_WHOLE:
        *out = b == 0 ? 0 : a / b;
        return b != 0;
    case MODULO:
        *out = b == 0 ? 0 : a % b;
        return b != 0;
    }
    return false;
}

/* Any width: 64-bit operands fit 128 bits whatever is done with them. */
static sm_status int_any(const sm_fn_call *call, arith op, sm_column *out, sm_error *e)
{
    SM_ASSERT(sm_type_is_integer(out->type->id));
    const int_range range = range_of(out->type->id);
    const sm_i128 max = range.umax > 0 ? (sm_i128)range.umax : range.max;
    for (int64_t i = 0; i < call->n_rows; i++) {
        sm_i128 v = 0;
        if (!smi_valid(out, i)) {
            continue;
        }
        if (!exact_result(op, smi_i128_at(&call->args[0], i), smi_i128_at(&call->args[1], i), &v)) {
            return fail_zero(call, op, i, e);
        }
        if (v < range.min || v > max) {
            return fail_range(call, op, i, e);
        }
        store_int(out, i, (int64_t)v);
    }
    return SM_OK;
}

/* BIGINT by the processor's own overflow flag; null rows hold zeros and cannot overflow. */
static sm_status int_i64(const sm_fn_call *call, arith op, sm_column *out, sm_error *e)
{
    SM_ASSERT(op <= MULTIPLY && call->args[0].type->id == SM_TYPE_I64 &&
              call->args[1].type->id == SM_TYPE_I64);
    const int64_t *const xs = call->args[0].values, *const ys = call->args[1].values;
    const int64_t mx = smi_mask(&call->args[0]), my = smi_mask(&call->args[1]);
    int64_t *const to = (int64_t *)out->values;
    bool bad = false;
    for (int64_t i = 0; i < call->n_rows; i++) {
        const int64_t a = xs[i & mx], b = ys[i & my];
        const bool over = op == ADD        ? __builtin_add_overflow(a, b, &to[i])
                          : op == SUBTRACT ? __builtin_sub_overflow(a, b, &to[i])
                                           : __builtin_mul_overflow(a, b, &to[i]);
        bad = bad || (over && smi_valid(out, i));
    }
    for (int64_t i = 0; (bad || out->validity) && i < call->n_rows; i++) {
        int64_t v = 0;
        const int64_t a = xs[i & mx], b = ys[i & my];
        const bool over = op == ADD        ? __builtin_add_overflow(a, b, &v)
                          : op == SUBTRACT ? __builtin_sub_overflow(a, b, &v)
                                           : __builtin_mul_overflow(a, b, &v);
        if (smi_valid(out, i) && over) {
            return fail_range(call, op, i, e);
        }
        to[i] = smi_valid(out, i) ? to[i] : 0;
    }
    return SM_OK;
}

/* ---- floats and decimals --------------------------------------------------------------------- */

static sm_status floats(const sm_fn_call *call, arith op, sm_column *out, sm_error *e)
{
    for (int64_t i = 0; i < call->n_rows; i++) {
        if (!smi_valid(out, i)) {
            continue;
        }
        const double a = smi_f64_at(&call->args[0], i), b = smi_f64_at(&call->args[1], i);
        const double v = op == ADD            ? a + b
                         : op == SUBTRACT     ? a - b
                         : op == MULTIPLY     ? a * b
                         : op == DIVIDE_WHOLE ? a / b
                                              : fmod(a, b);
        if (out->type->id == SM_TYPE_F32) {
            ((float *)out->values)[i] = (float)v;
        } else {
            ((double *)out->values)[i] = v;
        }
    }
    return SM_OK;
}

/* Adds, or subtracts, where no row is NULL. true: all values were so small that each result is
 * below the limit; else nothing is known of them. */
static inline bool add_small_decimals(const sm_fn_call *call, bool subtracts, sm_i128 limit,
                                      sm_column *out)
{
    const sm_column *const x = &call->args[0], *const y = &call->args[1];
    const uint8_t *const xs = x->values, *const ys = y->values;
    const int64_t mx = smi_mask(x), my = smi_mask(y);
    uint8_t *const to = (uint8_t *)out->values;
    int64_t high = 0; /* bits of the values' upper halves, of negative ones inverted */
    SM_ASSERT(x->type->id == SM_TYPE_DECIMAL && y->type->id == SM_TYPE_DECIMAL);
    for (int64_t i = 0; i < call->n_rows; i++) {
        unsigned __int128 a, b;
        memcpy(&a, xs + (i & mx) * 16, 16);
        memcpy(&b, ys + (i & my) * 16, 16);
        const int64_t of_a = (int64_t)(a >> 64), of_b = (int64_t)(b >> 64);
        high |= (of_a ^ (of_a >> 63)) | (of_b ^ (of_b >> 63));
        const unsigned __int128 v = subtracts ? a - b : a + b;
        memcpy(to + i * 16, &v, 16);
    }
    /* |a| and |b| are at most (high + 1) * 2^64 */
    return high < INT64_MAX / 2 && (((sm_i128)high + 1) << 65) < limit;
}

static sm_status decimals(const sm_fn_call *call, arith op, sm_column *out, sm_error *e)
{
    SM_ASSERT(op != DIVIDE_WHOLE); /* the binder makes that a division of floats */
    const sm_i128 limit =
        out->type->precision >= 38 ? smi_pow10[38] : smi_pow10[out->type->precision];
    if (!out->validity && ((op == ADD && add_small_decimals(call, false, limit, out)) ||
                           (op == SUBTRACT && add_small_decimals(call, true, limit, out)))) {
        return SM_OK;
    }
    for (int64_t i = 0; i < call->n_rows; i++) {
        sm_i128 v = 0;
        if (!smi_valid(out, i)) {
            continue;
        }
        const sm_i128 a = smi_i128_at(&call->args[0], i), b = smi_i128_at(&call->args[1], i);
        if (op == MODULO && b == 0) {
            return fail_zero(call, op, i, e);
        }
        const bool over = op == ADD        ? __builtin_add_overflow(a, b, &v)
                          : op == SUBTRACT ? __builtin_sub_overflow(a, b, &v)
                          : op == MULTIPLY ? __builtin_mul_overflow(a, b, &v)
                                           : (v = a % b, false);
        if (over || v >= limit || v <= -limit) {
            return fail_range(call, op, i, e);
        }
        memcpy((uint8_t *)out->values + i * 16, &v, 16);
    }
    return SM_OK;
}

/* ---- dates ----------------------------------------------------------------------------------- */

/* A DATE that is infinite stays so, however many days are added. */
static bool is_infinite_date(const sm_column *c, int64_t v)
{
    return c->type->id == SM_TYPE_DATE && (v == SM_DATE_INFINITY || v == -SM_DATE_INFINITY);
}

static sm_status dates(const sm_fn_call *call, arith op, sm_column *out, sm_error *e)
{
    for (int64_t i = 0; i < call->n_rows; i++) {
        if (!smi_valid(out, i)) {
            continue;
        }
        const int64_t a = smi_i64_at(&call->args[0], i), b = smi_i64_at(&call->args[1], i);
        SM_ASSERT(op == ADD || op == SUBTRACT);
        int64_t v = op == ADD ? a + b : a - b;
        if (out->type->id == SM_TYPE_DATE) {
            const bool is_first = is_infinite_date(&call->args[0], a);
            if (is_first || is_infinite_date(&call->args[1], b)) {
                v = is_first ? a : b;
            } else if (v <= -SM_DATE_INFINITY || v >= SM_DATE_INFINITY) {
                return fail_range(call, op, i, e);
            }
        }
        store_int(out, i, v);
    }
    return SM_OK;
}

/* ---- the functions --------------------------------------------------------------------------- */

static sm_status run_arith(const sm_fn_call *call, arith op, sm_column *out, sm_error *e)
{
    SM_ASSERT(call->n_args == 2 && out->layout == SM_FLAT && out->n_rows == call->n_rows);
    const sm_type_id id = out->type->id;
    if (id == SM_TYPE_DECIMAL) {
        return decimals(call, op, out, e);
    }
    if (id == SM_TYPE_F64 || id == SM_TYPE_F32) {
        return floats(call, op, out, e);
    }
    if (call->args[0].type->id == SM_TYPE_DATE || call->args[1].type->id == SM_TYPE_DATE) {
        return dates(call, op, out, e);
    }
    if (id == SM_TYPE_I64 && op <= MULTIPLY) {
        return int_i64(call, op, out, e);
    }
    return int_any(call, op, out, e);
}

sm_status fn_add(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    return run_arith(call, ADD, out, e);
}
sm_status fn_multiply(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    return run_arith(call, MULTIPLY, out, e);
}
/* Floats are divided as by /, except that dividing by 0 is an error. */
sm_status fn_divide_whole(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    const bool is_float = out->type->id == SM_TYPE_F64 || out->type->id == SM_TYPE_F32;
    for (int64_t i = 0; is_float && i < call->n_rows; i++) {
        if (smi_valid(out, i) && smi_f64_at(&call->args[1], i) == 0) {
            return fail_zero(call, DIVIDE_WHOLE, i, e);
        }
    }
    return run_arith(call, DIVIDE_WHOLE, out, e);
}
sm_status fn_modulo(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    return run_arith(call, MODULO, out, e);
}

sm_status fn_subtract(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    if (call->n_args == 2) {
        return run_arith(call, SUBTRACT, out, e);
    }
    /* −x is 0 − x, except for −0.0 */
    const sm_type *const t = out->type;
    const bool is_float = t->id == SM_TYPE_F64 || t->id == SM_TYPE_F32;
    if (is_float) {
        for (int64_t i = 0; i < call->n_rows; i++) {
            const double v = smi_valid(out, i) ? -smi_f64_at(&call->args[0], i) : 0;
            if (t->id == SM_TYPE_F32) {
                ((float *)out->values)[i] = (float)v;
            } else {
                ((double *)out->values)[i] = v;
            }
        }
        return SM_OK;
    }
    static const sm_i128 zero = 0;
    const sm_column none = {.type = t, .layout = SM_CONST, .n_rows = call->n_rows, .values = &zero};
    const sm_column args[2] = {none, call->args[0]};
    const sm_fn_call both = {call->expr, args, 2, call->n_rows, call->into};
    return run_arith(&both, SUBTRACT, out, e);
}

sm_status fn_divide(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    return floats(call, DIVIDE_WHOLE, out, e);
}

/* ---- written out by the binder --------------------------------------------------------------- */

sm_status fn_written_out(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    return smi_expr_fail(call->expr, e, SM_INTERNAL, "%s was not written out",
                         call->expr->fn->name);
}
