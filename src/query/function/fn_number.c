/* SPDX-License-Identifier: Apache-2.0
 *
 * query/function/fn_number.c: functions of numbers, and typeof. A function whose signature is
 * (N) -> N keeps its argument's type, so that integers and decimals stay exact. */
#include "query/function/function_int.h"

#include <math.h>

static sm_status out_of_range(const sm_fn_call *call, int64_t i, sm_error *e)
{
    sm_buf v = {0};
    sm_value_print(sm_column_value(&call->args[0], i), &v);
    const sm_status st = smi_expr_fail(call->expr, e, SM_RANGE, "%s(%.*s) is out of range",
                                       call->expr->fn->name, SM_STR_ARG(sm_buf_str(&v)));
    sm_buf_release(&v);
    return st;
}

static bool is_float(const sm_column *c)
{
    return c->type->id == SM_TYPE_F64 || c->type->id == SM_TYPE_F32;
}

static void store_float(sm_column *out, int64_t i, double v)
{
    if (out->type->id == SM_TYPE_F32) {
        ((float *)out->values)[i] = (float)v;
    } else {
        ((double *)out->values)[i] = v;
    }
}

/* An integer or decimal of out's type; false where it does not fit. */
static bool store_exact(sm_column *out, int64_t i, sm_i128 v)
{
    const sm_type *const t = out->type;
    const int bytes = sm_type_bytes(t->id);
    SM_ASSERT(t->id == SM_TYPE_DECIMAL || sm_type_is_integer(t->id));
    if (t->id == SM_TYPE_DECIMAL) {
        if (v >= smi_pow10[t->precision] || v <= -smi_pow10[t->precision]) {
            return false;
        }
    } else if (sm_type_is_signed(t->id)) {
        const sm_i128 limit = (sm_i128)1 << (bytes * 8 - 1);
        if (v >= limit || v < -limit) {
            return false;
        }
    } else if (v < 0 || v >= (sm_i128)1 << (bytes * 8)) {
        return false;
    }
    memcpy((uint8_t *)out->values + i * bytes, &v, (size_t)bytes);
    return true;
}

sm_status fn_abs(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    for (int64_t i = 0; i < call->n_rows; i++) {
        if (!smi_valid(out, i)) {
            continue;
        }
        if (is_float(out)) {
            store_float(out, i, fabs(smi_f64_at(&call->args[0], i)));
            continue;
        }
        const sm_i128 v = smi_i128_at(&call->args[0], i);
        if (!store_exact(out, i, v < 0 ? -v : v)) {
            return out_of_range(call, i, e);
        }
    }
    return SM_OK;
}

sm_status fn_sign(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    const sm_column *const c = &call->args[0];
    for (int64_t i = 0; i < call->n_rows; i++) {
        if (smi_valid(out, i)) {
            const double f = is_float(c) ? smi_f64_at(c, i) : 0;
            const sm_i128 v = is_float(c) ? (f > 0) - (f < 0) : smi_i128_at(c, i);
            ((int8_t *)out->values)[i] = (int8_t)((v > 0) - (v < 0));
        }
    }
    return SM_OK;
}

sm_status fn_signbit(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    for (int64_t i = 0; i < call->n_rows; i++) {
        const double f = smi_valid(out, i) ? smi_f64_at(&call->args[0], i) : 0;
        if (signbit(f) && !isnan(f)) {
            sm_bit_set((uint8_t *)out->values, i);
        }
    }
    return SM_OK;
}

/* ---- rounding -------------------------------------------------------------------------------- */

typedef enum rounding { NEAREST, UP, DOWN } rounding;

/* v / by, rounded. */
static sm_i128 divide_rounded(sm_i128 v, sm_i128 by, rounding how)
{
    SM_ASSERT(by > 0);
    const sm_i128 q = v / by, r = v % by;
    if (r == 0) {
        return q;
    }
    if (how == UP) {
        return q + (v > 0);
    }
    if (how == DOWN) {
        return q - (v < 0);
    }
    const sm_i128 twice = (r < 0 ? -r : r) * 2;
    return twice >= by ? q + (v < 0 ? -1 : 1) : q;
}

static double round_float(double v, int64_t places)
{
    if (!isfinite(v) || places > 308) {
        return v;
    }
    if (places < -308) {
        return 0;
    }
    const double by = pow(10, (double)(places < 0 ? -places : places));
    const double scaled = places < 0 ? v / by : v * by;
    if (!isfinite(scaled)) {
        return v;
    }
    const double r = round(scaled);
    return places < 0 ? r * by : r / by;
}

/* Rounds an integer or decimal to `places`; negative places are before the point. */
static bool round_exact(const sm_column *in, int64_t i, int64_t places, rounding how,
                        sm_column *out)
{
    const int scale_in = in->type->id == SM_TYPE_DECIMAL ? in->type->scale : 0;
    const int scale_out = out->type->id == SM_TYPE_DECIMAL ? out->type->scale : 0;
    const sm_i128 v = smi_i128_at(in, i);
    const int64_t drop = scale_in - places; /* digits that go */
    if (drop <= 0) {
        return store_exact(out, i, v); /* more places than there are: the scale is the same */
    }
    if (drop > 38) {
        return store_exact(out, i, 0);
    }
    const sm_i128 kept = divide_rounded(v, smi_pow10[drop], how); /* in units of 10^−places */
    const int64_t fill = scale_out - places;
    SM_ASSERT(scale_out <= scale_in && drop > 0); /* smi_bind_round() */
    sm_i128 result = 0;
    if (fill > 38 || __builtin_mul_overflow(kept, smi_pow10[fill > 0 ? fill : 0], &result)) {
        return false;
    }
    return store_exact(out, i, result);
}

static sm_status round_rows(const sm_fn_call *call, rounding how, sm_column *out, sm_error *e)
{
    const sm_column *const c = &call->args[0];
    for (int64_t i = 0; i < call->n_rows; i++) {
        if (!smi_valid(out, i)) {
            continue;
        }
        const int64_t places = call->n_args == 2 ? smi_i64_at(&call->args[1], i) : 0;
        if (is_float(c)) {
            const double v = smi_f64_at(c, i);
            store_float(out, i,
                        how == UP     ? ceil(v)
                        : how == DOWN ? floor(v)
                                      : round_float(v, places));
        } else if (!round_exact(c, i, places, how, out)) {
            return out_of_range(call, i, e);
        }
    }
    return SM_OK;
}

sm_status fn_round(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    return round_rows(call, NEAREST, out, e);
}
sm_status fn_ceil(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    return round_rows(call, UP, out, e);
}
sm_status fn_floor(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    return round_rows(call, DOWN, out, e);
}

/* ---- DOUBLE in, DOUBLE out ------------------------------------------------------------------- */

static sm_status map_f64(const sm_fn_call *call, double (*f)(double), sm_column *out)
{
    for (int64_t i = 0; i < call->n_rows; i++) {
        if (smi_valid(out, i)) {
            ((double *)out->values)[i] = f(smi_f64_at(&call->args[0], i));
        }
    }
    return SM_OK;
}

sm_status fn_sqrt(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    return map_f64(call, sqrt, out);
}
sm_status fn_exp(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    return map_f64(call, exp, out);
}
sm_status fn_ln(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    return map_f64(call, log, out);
}
sm_status fn_log10(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    return map_f64(call, log10, out);
}

sm_status fn_power(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    for (int64_t i = 0; i < call->n_rows; i++) {
        if (smi_valid(out, i)) {
            ((double *)out->values)[i] =
                pow(smi_f64_at(&call->args[0], i), smi_f64_at(&call->args[1], i));
        }
    }
    return SM_OK;
}

/* ---- types ----------------------------------------------------------------------------------- */

sm_status fn_typeof(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    sm_buf name = {0};
    if (call->args[0].type->id == SM_TYPE_NULL) {
        sm_buf_text(&name, SM_STR("\"NULL\"")); /* DuckDB's name for it, quotes included */
    } else {
        sm_type_print(call->args[0].type, &name);
    }
    const sm_status st =
        sm_column_constant(sm_value_str(sm_buf_str(&name)), call->n_rows, call->into, out, e);
    sm_buf_release(&name);
    return st;
}
