/* SPDX-License-Identifier: Apache-2.0
 *
 * column/value_parse.c: parses a text as a value of a type, as DuckDB casts from VARCHAR.
 *
 * Numbers   Integers and decimals have one parser. Its text is a sign, digits (with '_' allowed
 *           between two digits), a decimal point and an exponent; only digits are required.
 * Rounding  The digits up to the scale of the type become an integer of 128 bits. The digit after
 *           them decides the rounding: 5 and above away from zero. No binary fraction is used, so
 *           the result is exact. */
#include "column/value.h"

#include <math.h>

#include "base/text.h"
#include "base/time.h"

/* 10^37. A number above it, times ten, is too large for every integer and DECIMAL type, but still
 * fits into 128 bits. */
#define TEN_37 ((unsigned __int128)UINT64_C(10000000000000000000) * UINT64_C(1000000000000000000))

#define DAY_US INT64_C(86400000000)

static sm_str trim_spaces(sm_str s)
{
    while (s.len > 0 && (s.data[0] == ' ' || (s.data[0] >= '\t' && s.data[0] <= '\r'))) {
        s.data++;
        s.len--;
    }
    while (s.len > 0 &&
           (s.data[s.len - 1] == ' ' || (s.data[s.len - 1] >= '\t' && s.data[s.len - 1] <= '\r'))) {
        s.len--;
    }
    return s;
}

static sm_status fail_value(const sm_type *t, sm_str text, sm_status st, sm_error *e)
{
    sm_buf name = {0};
    sm_type_print(t, &name);
    sm_fail(e, st, st == SM_RANGE ? "\"%.*s\" is out of range for %.*s" : "\"%.*s\" is not a %.*s",
            (int)(text.len < 80 ? text.len : 80), text.data, (int)(name.len < 60 ? name.len : 60),
            (const char *)name.data);
    sm_buf_release(&name);
    return st;
}

/* ---- integers and decimals ------------------------------------------------------------------- */

typedef struct digits {
    const char *data; /* the mantissa: digits, '_', at most one point */
    size_t len;
    int64_t n_before_point; /* digits */
    int64_t exponent;       /* at most ±100,000, which is far more than any type has */
    bool is_negative;
} digits;

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool split_exponent(sm_str s, int64_t *out)
{
    size_t i = 0;
    int64_t v = 0;
    const bool is_negative = s.len > 0 && s.data[0] == '-';
    if (s.len > 0 && (s.data[0] == '-' || s.data[0] == '+')) {
        i++;
    }
    if (i == s.len) {
        return false;
    }
    for (; i < s.len; i++) {
        if (!is_digit(s.data[i])) {
            return false;
        }
        v = v < 100000 ? v * 10 + (s.data[i] - '0') : v;
    }
    v = v > 100000 ? 100000 : v;
    *out = is_negative ? -v : v;
    return true;
}

static bool split_number(sm_str s, digits *out)
{
    *out = (digits){0};
    if (s.len > 0 && (s.data[0] == '-' || s.data[0] == '+')) {
        out->is_negative = s.data[0] == '-';
        s.data++;
        s.len--;
    }
    int64_t n_digits = 0;
    bool has_point = false;
    size_t i = 0;
    for (; i < s.len; i++) {
        const char c = s.data[i];
        if (is_digit(c)) {
            n_digits++;
            out->n_before_point += has_point ? 0 : 1;
        } else if (c == '.' && !has_point) {
            has_point = true;
        } else if (c != '_' || i == 0 || !is_digit(s.data[i - 1]) || i + 1 == s.len ||
                   !is_digit(s.data[i + 1])) {
            break;
        }
    }
    out->data = s.data;
    out->len = i;
    if (n_digits == 0) {
        return false;
    }
    if (i == s.len) {
        return true;
    }
    return (s.data[i] == 'e' || s.data[i] == 'E') &&
           split_exponent((sm_str){s.data + i + 1, s.len - i - 1}, &out->exponent);
}

/* Computes value * 10^scale, rounded half away from zero. Returns false if it is too large. */
static bool unscaled(const digits *d, int scale, sm_i128 *out)
{
    const int64_t wanted = d->n_before_point + d->exponent + scale; /* digits that count */
    unsigned __int128 v = 0;
    int64_t n = 0;
    bool rounds_up = false;
    for (size_t i = 0; i < d->len && n <= wanted; i++) {
        if (!is_digit(d->data[i])) {
            continue;
        }
        if (n == wanted) {
            rounds_up = d->data[i] >= '5';
            break;
        }
        if (v > TEN_37) {
            return false;
        }
        v = v * 10 + (unsigned)(d->data[i] - '0');
        n++;
    }
    for (; n < wanted && v > 0; n++) {
        if (v > TEN_37) {
            return false;
        }
        v *= 10;
    }
    v += rounds_up ? 1 : 0;
    *out = d->is_negative ? -(sm_i128)v : (sm_i128)v;
    return true;
}

/* Parses 0x1F or 0b101, which DuckDB allows for integers. Returns false if the number is too large.
 * *is_one: the text is such a number. */
static bool parse_radix(sm_str s, sm_i128 *out, bool *is_one)
{
    const int shift = s.data[1] == 'x' || s.data[1] == 'X' ? 4 : 1;
    sm_i128 v = 0;
    *is_one = s.len > 2;
    for (size_t i = 2; i < s.len && *is_one; i++) {
        const char c = s.data[i];
        const int lower = c | 0x20;
        int digit = is_digit(c) ? c - '0' : lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : 99;
        if (digit >= 1 << shift) {
            *is_one = false;
            break;
        }
        if (v >> 64) {
            return false;
        }
        v = (v << shift) | digit;
    }
    *out = v;
    return true;
}

static bool integer_fits(sm_type_id id, sm_i128 v)
{
    const int bits = 8 * sm_type_bytes(id);
    if (sm_type_is_signed(id)) {
        return v >= -((sm_i128)1 << (bits - 1)) && v < (sm_i128)1 << (bits - 1);
    }
    return v >= 0 && v < (sm_i128)1 << bits;
}

/* Is this number less than zero before it is rounded? -0 is not. */
static bool is_below_zero(sm_str s)
{
    for (size_t i = 1; i < s.len && s.data[0] == '-' && s.data[i] != 'e' && s.data[i] != 'E'; i++) {
        if (s.data[i] >= '1' && s.data[i] <= '9') {
            return true;
        }
    }
    return false;
}

static sm_status parse_integer(const sm_type *t, sm_str text, sm_value *out, sm_error *e)
{
    const sm_str s = trim_spaces(text);
    sm_i128 v = 0;
    int64_t plain = 0;
    digits d;

    if (sm_parse_i64(s, &plain)) {
        v = plain;
    } else if (s.len > 2 && s.data[0] == '0' && strchr("xXbB", s.data[1]) && s.data[1] != 0) {
        bool is_one = false;
        const bool fits = parse_radix(s, &v, &is_one);
        if (!is_one || !fits) {
            return fail_value(t, text, is_one ? SM_RANGE : SM_TYPE, e);
        }
    } else if (!split_number(s, &d)) {
        return fail_value(t, text, SM_TYPE, e);
    } else if (!unscaled(&d, 0, &v)) {
        return fail_value(t, text, SM_RANGE, e);
    }
    if (!integer_fits(t->id, v) || (v == 0 && is_below_zero(s) && !sm_type_is_signed(t->id))) {
        return fail_value(t, text, SM_RANGE, e);
    }
    if (sm_type_is_signed(t->id)) {
        out->as.i = (int64_t)v;
    } else {
        out->as.u = (uint64_t)v;
    }
    return SM_OK;
}

static sm_status parse_decimal(const sm_type *t, sm_str text, sm_value *out, sm_error *e)
{
    digits d;
    sm_i128 v = 0, limit = 1;
    for (int i = 0; i < t->precision; i++) {
        limit *= 10;
    }
    if (!split_number(trim_spaces(text), &d)) {
        return fail_value(t, text, SM_TYPE, e);
    }
    if (!unscaled(&d, t->scale, &v) || v >= limit || v <= -limit) {
        return fail_value(t, text, SM_RANGE, e);
    }
    out->as.d = v;
    return SM_OK;
}

/* ---- the other types ------------------------------------------------------------------------- */

static sm_status parse_bool(const sm_type *t, sm_str text, sm_value *out, sm_error *e)
{
    static const char *const words[2][5] = {{"false", "f", "no", "n", "0"},
                                            {"true", "t", "yes", "y", "1"}};
    for (int value = 0; value < 2; value++) {
        for (int i = 0; i < 5; i++) {
            if (sm_str_eq_nocase(text, sm_str_of(words[value][i]))) {
                out->as.b = value == 1;
                return SM_OK;
            }
        }
    }
    return fail_value(t, text, SM_TYPE, e);
}

/* Parses what sm_parse_f64() refuses: numbers with '_' between digits, and numbers that are too
 * large for a double, which become an infinity. */
static bool parse_wide_float(sm_str s, double *out)
{
    digits d;
    char plain[400];
    size_t len = 0;
    if (!split_number(s, &d)) {
        return false;
    }
    for (size_t i = 0; i < s.len && len < sizeof(plain); i++) {
        plain[len] = s.data[i];
        len += s.data[i] == '_' ? 0 : 1;
    }
    if (len == s.len || !sm_parse_f64((sm_str){plain, len}, false, out)) {
        *out = d.is_negative ? -INFINITY : INFINITY;
    }
    return len < sizeof(plain) || len == s.len;
}

static sm_status parse_float(const sm_type *t, sm_str text, sm_value *out, sm_error *e)
{
    sm_str s = trim_spaces(text);
    if (s.len > 1 && s.data[0] == '+' && s.data[1] != '-') {
        s.data++;
        s.len--;
    }
    float single = 0;
    if (t->id == SM_TYPE_F32 && sm_parse_f32(s, true, &single)) {
        out->as.f = (double)single;
        return SM_OK;
    }
    if (!sm_parse_f64(s, true, &out->as.f) && !parse_wide_float(s, &out->as.f)) {
        return fail_value(t, text, SM_TYPE, e);
    }
    if (t->id == SM_TYPE_F32) {
        out->as.f = (double)(float)out->as.f;
    }
    return SM_OK;
}

bool sm_parse_time_as(sm_type_id id, sm_str text, int64_t *out)
{
    sm_when when = {0};
    int32_t days = 0;
    if (!sm_parse_when(text, &when)) {
        return false;
    }
    if (id == SM_TYPE_DATE) {
        const bool is_one = sm_when_date(&when, &days);
        *out = days;
        return is_one;
    }
    if (id == SM_TYPE_TIME && !when.has_date && when.infinite == 0) {
        *out = when.us;
        return true;
    }
    if (!sm_when_timestamp(&when, id == SM_TYPE_TIMESTAMP, out)) {
        return false;
    }
    if (id == SM_TYPE_TIME) { /* of a TIMESTAMP; 24:00:00 is 00:00:00 of the next day */
        *out = when.us % DAY_US;
    }
    return id != SM_TYPE_TIME || when.infinite == 0;
}

bool sm_blob_unescape(sm_str text, uint8_t *out, size_t *n_bytes)
{
    size_t n = 0;
    for (size_t i = 0; i < text.len; i++) {
        const uint8_t c = (uint8_t)text.data[i];
        if (c >= 0x80) {
            return false;
        }
        if (c != '\\') {
            out[n++] = c;
            continue;
        }
        if (text.len - i < 4 || text.data[i + 1] != 'x') {
            return false;
        }
        int byte = 0;
        for (int k = 2; k < 4; k++) {
            const char h = text.data[i + (size_t)k];
            const int lower = h | 0x20;
            if (!is_digit(h) && (lower < 'a' || lower > 'f')) {
                return false;
            }
            byte = byte * 16 + (is_digit(h) ? h - '0' : lower - 'a' + 10);
        }
        out[n++] = (uint8_t)byte;
        i += 3;
    }
    *n_bytes = n;
    return true;
}

static sm_status parse_blob(const sm_type *t, sm_str text, sm_value *out, sm_error *e)
{
    for (size_t i = 0; i < text.len; i++) {
        if ((uint8_t)text.data[i] >= 0x80) {
            return fail_value(t, text, SM_TYPE, e);
        }
        if (text.data[i] == '\\') { /* such text is for sm_blob_unescape() */
            return fail_value(t, text, SM_TYPE, e);
        }
    }
    out->as.s = text;
    return SM_OK;
}

sm_status sm_value_parse(const sm_type *t, sm_str text, sm_value *out, sm_error *e)
{
    sm_value v = {.type = t};
    sm_status st = SM_OK;

    if (sm_type_is_integer(t->id)) {
        st = parse_integer(t, text, &v, e);
    } else if (t->id == SM_TYPE_F32 || t->id == SM_TYPE_F64) {
        st = parse_float(t, text, &v, e);
    } else if (t->id == SM_TYPE_DECIMAL) {
        st = parse_decimal(t, text, &v, e);
    } else if (t->id == SM_TYPE_BOOL) {
        st = parse_bool(t, text, &v, e);
    } else if (t->id == SM_TYPE_STRING) {
        v.as.s = text;
    } else if (t->id == SM_TYPE_BINARY) {
        st = parse_blob(t, text, &v, e);
    } else if (t->id == SM_TYPE_NULL || sm_type_is_nested(t->id)) {
        st = fail_value(t, text, SM_TYPE, e);
    } else {
        st = sm_parse_time_as(t->id, text, &v.as.i) ? SM_OK : fail_value(t, text, SM_TYPE, e);
    }
    if (st == SM_OK) {
        *out = v;
    }
    return st;
}
