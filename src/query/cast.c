/* SPDX-License-Identifier: Apache-2.0
 *
 * query/cast.c: CAST and TRY_CAST of columns, and the writer of text columns.
 *
 * Layouts   A FLAT or CONST column goes in, a FLAT one comes out.
 * Meaning   As DuckDB. Numbers round to the nearest; halves of a decimal go away from zero, those
 *           of a float to the even number. Text is read by sm_value_parse(). A value that does not
 *           fit is an error that quotes it. */
#include "query/function/function_int.h"

#include <math.h>
#include <stdio.h>

#include "base/json_doc.h"
#include "base/text.h"
#include "base/time.h"
#include "format/format.h"

/* ---- writing text ---------------------------------------------------------------------------- */

void smi_text_begin(smi_text_out *t, sm_column *out, sm_batch *into)
{
    *t = (smi_text_out){.out = out, .into = into, .pace = {.into = into}};
}

static sm_status new_chunk(smi_text_out *t, int64_t len, sm_error *e)
{
    void *bytes = NULL;
    const int64_t next = t->size == 0 ? 4096 : t->size < 1 << 20 ? t->size * 2 : t->size;
    if (len > INT32_MAX - 64) {
        return sm_fail(e, SM_LIMIT, "a text of %lld bytes is over the limit of 2 GiB",
                       (long long)len);
    }
    if (t->n_heap == t->cap_heap) {
        void *grown = NULL;
        const int32_t cap = t->cap_heap == 0 ? 4 : t->cap_heap * 2;
        SM_TRY(sm_batch_alloc(t->into, (size_t)cap * sizeof(sm_heap_buf), &grown, e));
        if (t->n_heap > 0) {
            memcpy(grown, t->heap, (size_t)t->n_heap * sizeof(sm_heap_buf));
        }
        t->heap = grown;
        t->cap_heap = cap;
    }
    t->size = len > next ? len : next;
    SM_TRY(sm_batch_alloc(t->into, (size_t)t->size, &bytes, e));
    t->chunk = bytes;
    t->used = 0;
    t->heap[t->n_heap++] = (sm_heap_buf){t->chunk, t->size};
    return SM_OK;
}

sm_status smi_text_room(smi_text_out *t, int64_t len, uint8_t **bytes, sm_error *e)
{
    SM_ASSERT(len >= 0 && t->used >= 0 && t->used <= t->size);
    if (t->size - t->used < len || t->n_heap == 0) {
        SM_TRY(new_chunk(t, len, e));
    }
    SM_TRY(smi_pace_on(&t->pace, (size_t)len, e));
    *bytes = t->chunk + t->used;
    return SM_OK;
}

void smi_text_set(smi_text_out *t, int64_t row, int64_t len)
{
    sm_view *const views = (sm_view *)t->out->values;
    SM_ASSERT(t->n_heap > 0 && len <= t->size - t->used); /* smi_text_room() made it */
    SM_ASSERT(row >= 0 && row < t->out->n_rows);
    views[row] = sm_view_make(t->chunk + t->used, (int32_t)len, t->n_heap - 1, (int32_t)t->used);
    t->used += len > SM_VIEW_INLINE ? len : 0;
}

sm_status smi_text_put(smi_text_out *t, int64_t row, sm_str s, sm_error *e)
{
    uint8_t *bytes = NULL;
    if (s.len <= SM_VIEW_INLINE) {
        ((sm_view *)t->out->values)[row] =
            sm_view_make((const uint8_t *)s.data, (int32_t)s.len, 0, 0);
        return SM_OK;
    }
    SM_TRY(smi_text_room(t, (int64_t)s.len, &bytes, e));
    SM_ENSURE(bytes);
    memcpy(bytes, s.data, s.len);
    smi_text_set(t, row, (int64_t)s.len);
    return SM_OK;
}

void smi_text_end(smi_text_out *t)
{
    t->out->heap = t->heap;
    t->out->n_heap = t->n_heap;
}

/* ---- numbers --------------------------------------------------------------------------------- */

#define P(n) ((sm_i128)(n))
#define P18  P(1000000000000000000)
const sm_i128 smi_pow10[39] = {
    P(1),
    P(10),
    P(100),
    P(1000),
    P(10000),
    P(100000),
    P(1000000),
    P(10000000),
    P(100000000),
    P(1000000000),
    P(10000000000),
    P(100000000000),
    P(1000000000000),
    P(10000000000000),
    P(100000000000000),
    P(1000000000000000),
    P(10000000000000000),
    P(100000000000000000),
    P18,
    P18 * 10,
    P18 * 100,
    P18 * 1000,
    P18 * 10000,
    P18 * 100000,
    P18 * 1000000,
    P18 * 10000000,
    P18 * 100000000,
    P18 * 1000000000,
    P18 * 10000000000,
    P18 * 100000000000,
    P18 * 1000000000000,
    P18 * 10000000000000,
    P18 * 100000000000000,
    P18 * 1000000000000000,
    P18 * 10000000000000000,
    P18 * 100000000000000000,
    P18 *P18,
    P18 *P18 * 10,
    P18 *P18 * 100,
};
#undef P
#undef P18

/* A number between two types: an integer with decimal places, or a float. */
typedef struct number {
    bool is_float;
    double f;
    sm_i128 i;
    int scale;
} number;

static number number_at(const sm_column *c, int64_t i)
{
    const sm_type_id id = c->type->id;
    if (id == SM_TYPE_F32 || id == SM_TYPE_F64) {
        return (number){.is_float = true, .f = smi_f64_at(c, i)};
    }
    return (number){.i = smi_i128_at(c, i), .scale = id == SM_TYPE_DECIMAL ? c->type->scale : 0};
}

/* Half away from zero. */
static sm_i128 divide_round(sm_i128 v, sm_i128 by)
{
    SM_ASSERT(by > 0);
    const sm_i128 half = by / 2;
    return v >= 0 ? (v + half) / by : (v - half) / by;
}

/* Halves of a float are rounded away from zero, like those of a decimal. As in DuckDB, the float is
 * scaled in floating point. */
static bool float_to_scaled(double v, int scale, sm_i128 limit, sm_i128 *out)
{
    const double scaled = round(v * (double)smi_pow10[scale]);
    if (!(fabs(scaled) < (double)limit)) { /* NaN too */
        return false;
    }
    *out = (sm_i128)scaled;
    return true;
}

static bool to_scaled(number n, int scale, sm_i128 limit, sm_i128 *out)
{
    SM_ASSERT(scale >= 0 && scale < SM_COUNT(smi_pow10) && n.scale < SM_COUNT(smi_pow10));
    if (n.is_float) {
        return float_to_scaled(n.f, scale, limit, out);
    }
    if (n.scale > scale) {
        *out = divide_round(n.i, smi_pow10[n.scale - scale]);
    } else if (__builtin_mul_overflow(n.i, smi_pow10[scale - n.scale], out)) {
        return false;
    }
    return *out<limit && * out> - limit;
}

/* Halves of a float go to the even integer. */
static bool to_whole(number n, sm_i128 *out)
{
    if (!n.is_float) {
        *out = divide_round(n.i, smi_pow10[n.scale]);
        return true;
    }
    const double v = nearbyint(n.f);
    if (!(fabs(v) < 1.7e38)) { /* NaN too */
        return false;
    }
    *out = (sm_i128)v;
    return true;
}

/* Decimal digits and an exponent, to be read back correctly rounded. */
static sm_str exact_text(number n, char out[64])
{
    unsigned __int128 left = n.i < 0 ? -(unsigned __int128)n.i : (unsigned __int128)n.i;
    int at = 56;
    const int end = at + snprintf(out + at, 8, "e-%d", n.scale);
    do {
        out[--at] = (char)('0' + (int)(left % 10));
        left /= 10;
    } while (left > 0);
    if (n.i < 0) {
        out[--at] = '-';
    }
    return (sm_str){out + at, (size_t)(end - at)};
}

#define EXACT_DOUBLE ((sm_i128)1 << 53) /* integers up to here are doubles */
#define EXACT_FLOAT  ((sm_i128)1 << 24)

/* The nearest double: conversion of an integer rounds correctly, and so does one division of exact
 * values; 10^22 is the last power that is a double. */
static double to_double(number n)
{
    char text[64];
    double v = 0;
    if (n.is_float || n.scale == 0) {
        return n.is_float ? n.f : (double)n.i;
    }
    if (n.i <= EXACT_DOUBLE && n.i >= -EXACT_DOUBLE && n.scale <= 22) {
        return (double)n.i / (double)smi_pow10[n.scale];
    }
    const bool is_read = sm_parse_f64(exact_text(n, text), false, &v);
    SM_ASSERT(is_read);
    return v;
}

/* The nearest float, not the nearest double's; 10^10 is the last power that is a float. */
static float to_float(number n)
{
    char text[64];
    float v = 0;
    if (n.is_float || n.scale == 0) {
        return n.is_float ? (float)n.f : (float)n.i;
    }
    if (n.i <= EXACT_FLOAT && n.i >= -EXACT_FLOAT && n.scale <= 10) {
        return (float)n.i / (float)smi_pow10[n.scale];
    }
    const bool is_read = sm_parse_f32(exact_text(n, text), false, &v);
    SM_ASSERT(is_read);
    return v;
}

static bool int_fits(sm_type_id id, sm_i128 v)
{
    const int bits = sm_type_bytes(id) * 8;
    SM_ASSERT(sm_type_is_integer(id));
    if (sm_type_is_signed(id)) {
        const sm_i128 limit = (sm_i128)1 << (bits - 1);
        return v >= -limit && v < limit;
    }
    return v >= 0 && v < (sm_i128)1 << bits;
}

/* Writes a number as a value of out's type; false where it does not fit. */
static bool put_number(number n, sm_column *out, int64_t i)
{
    const sm_type *const t = out->type;
    sm_i128 v = 0;
    if (t->id == SM_TYPE_BOOL) {
        if (n.is_float ? n.f != 0 : n.i != 0) {
            sm_bit_set((uint8_t *)out->values, i);
        }
        return true;
    }
    if (t->id == SM_TYPE_F64) {
        ((double *)out->values)[i] = to_double(n);
        return true;
    }
    if (t->id == SM_TYPE_F32) {
        const float f = to_float(n);
        ((float *)out->values)[i] = f;
        return !isinf(f) || (n.is_float && isinf(n.f));
    }
    if (t->id == SM_TYPE_DECIMAL) {
        if (!to_scaled(n, t->scale, smi_pow10[t->precision], &v)) {
            return false;
        }
        memcpy((uint8_t *)out->values + i * 16, &v, 16);
        return true;
    }
    if (!to_whole(n, &v) || !int_fits(t->id, v)) {
        return false;
    }
    memcpy((uint8_t *)out->values + i * sm_type_bytes(t->id), &v, (size_t)sm_type_bytes(t->id));
    return true;
}

/* ---- dates and timestamps -------------------------------------------------------------------- */

#define DAY_US INT64_C(86400000000)

/* Into DATE, TIME and the TIMESTAMPs, which share what infinity is; false where it does not fit. */
static bool put_time(const sm_column *in, sm_column *out, int64_t i)
{
    const sm_type_id from = in->type->id, to = out->type->id;
    const int64_t v = smi_i64_at(in, i);
    const int64_t infinity = from == SM_TYPE_DATE ? SM_DATE_INFINITY : SM_TIMESTAMP_INFINITY;
    const bool is_infinite = v == infinity || v == -infinity;
    int64_t *const us = (int64_t *)out->values;
    if (from == SM_TYPE_DATE) {
        us[i] = v > 0 ? SM_TIMESTAMP_INFINITY : -SM_TIMESTAMP_INFINITY;
        return is_infinite || !__builtin_mul_overflow(v, DAY_US, &us[i]);
    }
    const int64_t days = v / DAY_US - (v % DAY_US < 0), rest = v % DAY_US;
    if (to == SM_TYPE_DATE) { /* 64 bits of microseconds are fewer days than 31 bits */
        const int32_t infinite_day = v > 0 ? SM_DATE_INFINITY : -SM_DATE_INFINITY;
        ((int32_t *)out->values)[i] = is_infinite ? infinite_day : (int32_t)days;
        return true;
    }
    us[i] = to == SM_TYPE_TIME ? rest + (rest < 0 ? DAY_US : 0) : v;
    return to != SM_TYPE_TIME || !is_infinite;
}

static bool is_timestamp(sm_type_id id)
{
    return id == SM_TYPE_TIMESTAMP || id == SM_TYPE_TIMESTAMP_NTZ;
}

/* As in DuckDB, a DATE has no clock, and a TIME comes from what a clock on the wall shows only. */
static bool is_time_cast(sm_type_id from, sm_type_id to)
{
    return is_timestamp(from) ? is_timestamp(to) || to == SM_TYPE_DATE ||
                                    (to == SM_TYPE_TIME && from == SM_TYPE_TIMESTAMP_NTZ)
                              : from == SM_TYPE_DATE && is_timestamp(to);
}

/* ---- text ------------------------------------------------------------------------------------ */

static void put_parsed(sm_value v, sm_column *out, int64_t i)
{
    const sm_type_id id = out->type->id;
    SM_ASSERT(sm_type_eq(v.type, out->type) && !v.is_null);
    if (id == SM_TYPE_BOOL) {
        if (v.as.b) {
            sm_bit_set((uint8_t *)out->values, i);
        }
    } else if (id == SM_TYPE_F32) {
        ((float *)out->values)[i] = (float)v.as.f;
    } else if (id == SM_TYPE_DECIMAL) {
        memcpy((uint8_t *)out->values + i * 16, &v.as.d, 16);
    } else { /* integers of any width, little endian; doubles */
        memcpy((uint8_t *)out->values + i * sm_type_bytes(id), &v.as, (size_t)sm_type_bytes(id));
    }
}

static sm_status fail_cast(const sm_expr *x, const sm_column *in, int64_t i, sm_error *e)
{
    const bool is_text = in->type->id == SM_TYPE_STRING;
    sm_buf value = {0}, type = {0};
    sm_column_print(in, i, &value);
    sm_type_print(x->type, &type);
    sm_str v = sm_buf_str(&value);
    v.len = v.len > 64 ? 64 : v.len;
    const sm_status st =
        smi_expr_fail(x, e, is_text ? SM_TYPE : SM_RANGE, "\"%.*s\" cannot be cast to %.*s",
                      SM_STR_ARG(v), SM_STR_ARG(sm_buf_str(&type)));
    sm_error_todo(e,
                  "TRY_CAST gives NULL instead. To find the rows: WHERE x IS NOT NULL AND "
                  "TRY_CAST(x AS %.*s) IS NULL.",
                  SM_STR_ARG(sm_buf_str(&type)));
    sm_buf_release(&value);
    sm_buf_release(&type);
    return st;
}

/* Its bytes, \xHH being one of them. */
static sm_status blob_from_text(sm_str s, int64_t i, smi_text_out *text, bool *ok, sm_error *e)
{
    uint8_t *bytes = NULL;
    size_t len = 0;
    SM_TRY(smi_text_room(text, (int64_t)s.len, &bytes, e));
    *ok = sm_blob_unescape(s, bytes, &len);
    if (*ok) {
        smi_text_set(text, i, (int64_t)len);
    }
    return SM_OK;
}

/* Casts one row from text; *ok is false where the text is not such a value. */
static sm_status from_text(const sm_expr *x, const sm_column *in, int64_t i, smi_text_out *text,
                           bool *ok, sm_error *e)
{
    sm_error inner = {0};
    sm_value v = {0};
    if (x->type->id == SM_TYPE_BINARY) {
        return blob_from_text(smi_str_at(in, i), i, text, ok, e);
    }
    *ok = sm_value_parse(x->type, smi_str_at(in, i), &v, &inner) == SM_OK;
    if (!*ok) {
        return SM_OK;
    }
    put_parsed(v, text->out, i);
    return SM_OK;
}

/* Decimal digits, right-aligned in out[20]; returns where they begin. */
static int digits_of(int64_t v, char out[20])
{
    uint64_t left = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
    int at = 20;
    do {
        out[--at] = (char)('0' + left % 10);
        left /= 10;
    } while (left > 0);
    if (v < 0) {
        out[--at] = '-'; /* 19 digits and a sign at most */
    }
    return at;
}

/* Integers are most of what is made text (keys, classes), and need no formatting. */
static sm_status ints_to_text(const sm_column *in, sm_batch *into, sm_column *out, sm_error *e)
{
    sm_view *const views = (sm_view *)out->values;
    smi_text_out text;
    smi_text_begin(&text, out, into);
    for (int64_t i = 0; i < out->n_rows; i++) {
        char digits[20];
        if (!smi_valid(out, i)) {
            continue;
        }
        const int64_t v = smi_i64_at(in, i);
        if (v >= 0 && v < 10) {
            views[i] = (sm_view){.words = {1 | (uint64_t)('0' + v) << 32, 0}};
            continue;
        }
        const int at = digits_of(v, digits);
        SM_TRY(smi_text_put(&text, i, (sm_str){digits + at, (size_t)(20 - at)}, e));
    }
    smi_text_end(&text);
    return SM_OK;
}

static sm_status to_text(const sm_column *in, sm_batch *into, sm_column *out, sm_error *e)
{
    smi_text_out text;
    sm_buf one = {0};
    sm_status st = SM_OK;
    smi_text_begin(&text, out, into);
    for (int64_t i = 0; i < out->n_rows && st == SM_OK; i++) {
        if (smi_valid(out, i)) {
            sm_buf_reset(&one);
            sm_column_print(in, i, &one);
            st = smi_text_put(&text, i, sm_buf_str(&one), e);
        }
    }
    smi_text_end(&text);
    sm_buf_release(&one);
    return st;
}

/* ---- JSON ------------------------------------------------------------------------------------ */

/* A text must be JSON already and stays as it is; values of other types are written as JSON. */
static sm_status to_json(const sm_expr *x, const sm_column *in, sm_batch *into, sm_column *out,
                         sm_error *e)
{
    const bool is_text = in->type->id == SM_TYPE_STRING;
    sm_arena *const scratch = sm_arena_new(NULL);
    smi_text_out text;
    sm_buf one = {0};
    sm_status st = SM_OK;
    smi_text_begin(&text, out, into);
    for (int64_t i = 0; i < out->n_rows && st == SM_OK; i++) {
        const sm_json *unused = NULL;
        sm_error why = {0};
        if (!smi_valid(out, i)) {
            continue;
        }
        if (!is_text) {
            sm_buf_reset(&one);
            sm_column_json(in, i, &(sm_json_writer){.out = &one});
            st = smi_text_put(&text, i, sm_buf_str(&one), e);
            continue;
        }
        sm_arena_reset(scratch);
        if (sm_json_parse(smi_str_at(in, i), scratch, &unused, &why) == SM_OK) {
            st = smi_text_put(&text, i, smi_str_at(in, i), e);
        } else {
            st = x->is_try ? smi_set_null(out, i, into, e) : fail_cast(x, in, i, e);
        }
    }
    smi_text_end(&text);
    sm_buf_release(&one);
    sm_arena_free(scratch);
    return st;
}

/* ---- any cast -------------------------------------------------------------------------------- */

static sm_status cast_rows(const sm_expr *x, const sm_column *in, sm_batch *into, sm_column *out,
                           sm_error *e)
{
    const sm_type_id from = in->type->id, to = x->type->id;
    const bool is_number = (sm_type_is_number(from) || from == SM_TYPE_BOOL) &&
                           (sm_type_is_number(to) || to == SM_TYPE_BOOL);
    const bool is_text = from == SM_TYPE_STRING;
    smi_text_out text;
    smi_text_begin(&text, out, into);
    for (int64_t i = 0; i < out->n_rows; i++) {
        bool ok = false;
        if (!smi_valid(out, i)) {
            continue;
        }
        if (is_text) {
            SM_TRY(from_text(x, in, i, &text, &ok, e));
        } else if (is_number) {
            ok = put_number(number_at(in, i), out, i);
        } else if (is_time_cast(from, to)) {
            ok = put_time(in, out, i);
        }
        if (!ok && !x->is_try) {
            return fail_cast(x, in, i, e);
        }
        if (!ok) {
            SM_TRY(smi_set_null(out, i, into, e));
            if (sm_type_bytes(to) > 0) { /* a value that was half written */
                const size_t width = (size_t)sm_type_bytes(to);
                memset((uint8_t *)out->values + (size_t)i * width, 0, width);
            }
        }
    }
    smi_text_end(&text);
    return SM_OK;
}

/* Is every value of an integer's type one of the DECIMAL? */
static bool has_room(const sm_type *from, const sm_type *to)
{
    return to->id == SM_TYPE_DECIMAL && sm_type_is_integer(from->id) && from->id != SM_TYPE_U64 &&
           to->precision - to->scale >= 19;
}

/* As cast_rows() where has_room(): sums that are to be exact begin with it. */
static void ints_to_decimal(const sm_column *in, sm_column *out)
{
    const sm_i128 scale = smi_pow10[out->type->scale];
    const bool is_plain = in->type->id == SM_TYPE_I64 && in->layout == SM_FLAT && scale == 1;
    for (int64_t i = 0; is_plain && !out->validity && i < out->n_rows; i++) {
        const sm_i128 v = ((const int64_t *)in->values)[i];
        memcpy((uint8_t *)out->values + i * 16, &v, 16);
    }
    for (int64_t i = 0; (!is_plain || out->validity) && i < out->n_rows; i++) {
        const sm_i128 v = smi_valid(out, i) ? smi_i64_at(in, i) * scale : 0;
        memcpy((uint8_t *)out->values + i * 16, &v, 16);
    }
}

sm_status smi_cast_column(const sm_expr *x, const sm_column *in, sm_batch *into, sm_column *out,
                          sm_error *e)
{
    const bool wants_json = x->type == &sm_type_json;
    SM_ASSERT(x->kind == SM_EXPR_CAST && in->layout != SM_DICT);
    if (sm_type_eq(in->type, x->type) && !wants_json) {
        *out = *in;
        return SM_OK;
    }
    if (in->type->id == SM_TYPE_NULL && sm_type_is_nested(x->type->id)) {
        sm_builder *const b = sm_builder_new(x->type, NULL);
        for (int64_t i = 0; i < in->n_rows; i++) {
            sm_builder_null(b);
        }
        const sm_status st = sm_builder_finish(b, into, out, e);
        sm_builder_free(b);
        return st;
    }
    if (in->type->id == SM_TYPE_NULL || (in->layout == SM_CONST && !smi_valid(in, 0))) {
        return sm_column_constant(sm_value_null(x->type), in->n_rows, into, out, e);
    }
    SM_TRY(smi_column_new(x->type, in->n_rows, into, out, e));
    if (in->validity && in->layout == SM_FLAT) {
        uint8_t *bits = NULL;
        SM_TRY(smi_own_validity(out, into, &bits, e));
        for (size_t k = 0; k < sm_bits_bytes(out->n_rows); k++) {
            bits[k] &= in->validity[k];
        }
    }
    if (wants_json) {
        return to_json(x, in, into, out, e);
    }
    if (x->type->id == SM_TYPE_STRING) {
        const bool is_int = sm_type_is_integer(in->type->id) && in->type->id != SM_TYPE_U64;
        return is_int ? ints_to_text(in, into, out, e) : to_text(in, into, out, e);
    }
    if (has_room(in->type, x->type)) {
        ints_to_decimal(in, out);
        return SM_OK;
    }
    return cast_rows(x, in, into, out, e);
}
