/* SPDX-License-Identifier: Apache-2.0
 *
 * base/text.c: UTF-8, numbers, sizes, settings and shell patterns.
 *
 * Reading   The text of a double becomes digits and a power of ten. If there are at most 15 digits
 *           and the power is within ±22, the value is one multiplication or division of two exact
 *           doubles, which is correctly rounded (Clinger, How to Read Floating Point Numbers
 *           Accurately, PLDI 1990). Other values go to strtod as digits and an exponent without a
 *           point, so that no locale matters. At most 767 digits decide a double; 780 are kept, and
 *           of the rest only whether one is not zero.
 * Writing   A double is written with the fewest digits that read back as the same value: 15 are
 *           tried first (zeros at their end are dropped), then 16, then 17. The usual value, with
 *           few decimals, is found by exact integer arithmetic instead.
 * Patterns  Matching keeps the set of places in the pattern that the text so far can reach, and
 *           moves it on by one character of the text at a time. So its cost is at most pattern
 *           times text, however many stars there are. */
#include "base/text.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"

/* ---- UTF-8 ----------------------------------------------------------------------------------- */

/* The length of the sequence at p if it is complete and allowed, else 0. RFC 3629, section 4. */
static int sequence_len(const uint8_t *p, size_t n)
{
    const uint8_t lead = p[0];
    if (lead < 0x80) {
        return 1;
    }
    uint8_t low = 0x80, high = 0xBF; /* what the second byte may be */
    int len = 0;
    if (lead >= 0xC2 && lead <= 0xDF) {
        len = 2;
    } else if (lead >= 0xE0 && lead <= 0xEF) {
        len = 3;
        low = lead == 0xE0 ? 0xA0 : low;   /* else overlong */
        high = lead == 0xED ? 0x9F : high; /* else a surrogate */
    } else if (lead >= 0xF0 && lead <= 0xF4) {
        len = 4;
        low = lead == 0xF0 ? 0x90 : low;   /* else overlong */
        high = lead == 0xF4 ? 0x8F : high; /* else above U+10FFFF */
    }
    if (len == 0 || (size_t)len > n || p[1] < low || p[1] > high) {
        return 0;
    }
    for (int i = 2; i < len; i++) {
        if ((p[i] & 0xC0) != 0x80) {
            return 0;
        }
    }
    return len;
}

size_t sm_utf8_check(const void *bytes, size_t n)
{
    const uint8_t *p = bytes;
    size_t i = 0;
    while (i < n) {
        uint64_t eight = 0;
        while (i + 8 <= n) {
            memcpy(&eight, p + i, 8);
            if (eight & 0x8080808080808080u) {
                break;
            }
            i += 8;
        }
        if (i == n) {
            break;
        }
        const int len = sequence_len(p + i, n - i);
        if (len == 0) {
            return i;
        }
        i += (size_t)len;
    }
    return n;
}

int64_t sm_utf8_count(sm_str s)
{
    int64_t count = 0;
    for (size_t i = 0; i < s.len; i++) {
        count += ((uint8_t)s.data[i] & 0xC0) != 0x80;
    }
    return count;
}

int sm_utf8_put(uint32_t code_point, char out[4])
{
    SM_ENSURE(code_point <= 0x10FFFF);
    if (code_point < 0x80) {
        out[0] = (char)code_point;
        return 1;
    }
    if (code_point < 0x800) {
        out[0] = (char)(0xC0 | code_point >> 6);
        out[1] = (char)(0x80 | (code_point & 0x3F));
        return 2;
    }
    if (code_point < 0x10000) {
        out[0] = (char)(0xE0 | code_point >> 12);
        out[1] = (char)(0x80 | (code_point >> 6 & 0x3F));
        out[2] = (char)(0x80 | (code_point & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | code_point >> 18);
    out[1] = (char)(0x80 | (code_point >> 12 & 0x3F));
    out[2] = (char)(0x80 | (code_point >> 6 & 0x3F));
    out[3] = (char)(0x80 | (code_point & 0x3F));
    return 4;
}

const char *sm_utf_other(const void *bytes, size_t n)
{
    static const struct {
        const char *name, *mark; /* NULL: none, but two characters of ASCII */
        size_t n_mark;
        bool is_zero[4]; /* of the bytes of these */
    } rows[] = {
        {"UTF-32", "\xff\xfe\0\0", 4, {0}}, /* before UTF-16, whose mark begins it */
        {"UTF-32", "\0\0\xfe\xff", 4, {0}},
        {"UTF-16", "\xff\xfe", 2, {0}},
        {"UTF-16", "\xfe\xff", 2, {0}},
        {"UTF-32LE", NULL, 0, {false, true, true, true}},
        {"UTF-32BE", NULL, 0, {true, true, true, false}},
        {"UTF-16LE", NULL, 0, {false, true, false, true}},
        {"UTF-16BE", NULL, 0, {true, false, true, false}},
    };
    const uint8_t *p = bytes;

    for (int i = 0; i < SM_COUNT(rows); i++) {
        bool fits = n >= (rows[i].mark ? rows[i].n_mark : 4);
        for (size_t k = 0; fits && k < (rows[i].mark ? rows[i].n_mark : 4); k++) {
            fits = rows[i].mark ? p[k] == (uint8_t)rows[i].mark[k]
                                : p[k] < 0x80 && (p[k] == 0) == rows[i].is_zero[k];
        }
        if (fits) {
            return rows[i].name;
        }
    }
    return NULL;
}

uint32_t sm_utf8_next(sm_str s, size_t *at)
{
    SM_ASSERT(*at < s.len);
    const uint8_t *p = (const uint8_t *)s.data + *at;
    SM_ASSERT((*p & 0xC0) != 0x80); /* *at is the start of a sequence */
    const size_t left = s.len - *at;
    const size_t len = p[0] < 0x80 ? 1 : p[0] < 0xE0 ? 2 : p[0] < 0xF0 ? 3 : 4;
    SM_ENSURE(len <= left);
    *at += len;
    switch (len) {
    case 1:
        return p[0];
    case 2:
        return (uint32_t)(p[0] & 0x1F) << 6 | (p[1] & 0x3F);
    case 3:
        return (uint32_t)(p[0] & 0x0F) << 12 | (uint32_t)(p[1] & 0x3F) << 6 | (p[2] & 0x3F);
    default:
        return (uint32_t)(p[0] & 0x07) << 18 | (uint32_t)(p[1] & 0x3F) << 12 |
               (uint32_t)(p[2] & 0x3F) << 6 | (p[3] & 0x3F);
    }
}

/* ---- reading numbers ------------------------------------------------------------------------- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

bool sm_parse_i64(sm_str s, int64_t *out)
{
    const bool negative = s.len > 0 && s.data[0] == '-';
    size_t i = negative;
    if (i == s.len) {
        return false;
    }
    int64_t value = 0; /* negated: INT64_MIN has no positive counterpart */
    for (; i < s.len; i++) {
        if (!is_digit(s.data[i]) || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_sub_overflow(value, s.data[i] - '0', &value)) {
            return false;
        }
    }
    if (!negative && value == INT64_MIN) {
        return false;
    }
    *out = negative ? value : -value;
    return true;
}

#define F64_DIGITS_MAX 780

/* A decimal: 0.d1d2…dn times ten to the power of `exp10`, where d1 is not 0. n = 0 means zero. */
typedef struct decimal {
    bool is_negative;
    int n;
    int64_t exp10;
    char digits[F64_DIGITS_MAX + 1];
} decimal;

/* Reads the digits at *at. Returns how many there were, leading zeros included. */
static size_t take_digits(sm_str s, size_t *at, decimal *d)
{
    const size_t start = *at;
    for (; *at < s.len && is_digit(s.data[*at]); ++*at) {
        const char c = s.data[*at];
        if (d->n == 0 && c == '0') {
            d->exp10--; /* keeps the power right once the first digit comes */
        } else if (d->n < F64_DIGITS_MAX) {
            d->digits[d->n++] = c;
        } else if (c != '0') {
            d->digits[F64_DIGITS_MAX - 1] = '1'; /* any digit but 0 will do in this place */
        }
    }
    return *at - start;
}

static bool take_exponent(sm_str s, size_t *at, decimal *d)
{
    if (*at == s.len || (s.data[*at] != 'e' && s.data[*at] != 'E')) {
        return true;
    }
    ++*at;
    bool is_negative = false;
    if (*at < s.len && (s.data[*at] == '-' || s.data[*at] == '+')) {
        is_negative = s.data[*at] == '-';
        ++*at;
    }
    const size_t start = *at;
    const int64_t bound = INT64_C(1) << 60; /* far beyond any text's length */
    int64_t exponent = 0;
    for (; *at < s.len && is_digit(s.data[*at]); ++*at) {
        exponent = exponent < bound / 10 ? exponent * 10 + (s.data[*at] - '0') : bound;
    }
    d->exp10 += is_negative ? -exponent : exponent;
    return *at > start;
}

/* [+-] digits [. digits] [e[+-]digits], with a digit before or after the point. */
static bool scan_decimal(sm_str s, decimal *d)
{
    size_t at = 0;
    d->is_negative = false; /* field by field: the digits need no zeroing */
    d->n = 0;
    d->exp10 = 0;
    if (at < s.len && (s.data[at] == '-' || s.data[at] == '+')) {
        d->is_negative = s.data[at] == '-';
        at++;
    }
    const size_t whole = take_digits(s, &at, d);
    size_t fraction = 0;
    d->exp10 += (int64_t)whole;
    if (at < s.len && s.data[at] == '.') {
        at++;
        fraction = take_digits(s, &at, d);
        if (d->n == 0) {
            d->exp10 = 0;
        }
    }
    return whole + fraction > 0 && take_exponent(s, &at, d) && at == s.len;
}

static bool parse_special(sm_str s, double *out)
{
    const bool has_sign = s.len > 0 && (s.data[0] == '-' || s.data[0] == '+');
    const bool is_negative = has_sign && s.data[0] == '-';
    const sm_str word = has_sign ? (sm_str){s.data + 1, s.len - 1} : s;
    if (sm_str_eq_nocase(word, SM_STR("inf")) || sm_str_eq_nocase(word, SM_STR("infinity"))) {
        *out = is_negative ? -(double)INFINITY : (double)INFINITY;
        return true;
    }
    if (sm_str_eq_nocase(word, SM_STR("nan"))) {
        *out = (double)NAN;
        return true;
    }
    return false;
}

static const double exact_powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                      1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                      1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

_Static_assert(SM_COUNT(exact_powers) == 23, "decimal_value reads powers of up to 22");

/* Digits and an exponent without a point, which no locale changes. */
#define DECIMAL_TEXT_BYTES (F64_DIGITS_MAX + 32)
static void decimal_text(const decimal *d, char out[DECIMAL_TEXT_BYTES])
{
    snprintf(out, DECIMAL_TEXT_BYTES, "%.*se%" PRId64, d->n, d->digits, d->exp10 - d->n);
}

static double decimal_value(const decimal *d)
{
    const int64_t power = d->exp10 - d->n; /* of the digits read as an integer */
    if (d->n <= 15 && power >= -22 && power <= 22) {
        int64_t digits = 0;
        for (int i = 0; i < d->n; i++) {
            digits = digits * 10 + (d->digits[i] - '0');
        }
        return power < 0 ? (double)digits / exact_powers[-power]
                         : (double)digits * exact_powers[power];
    }
    char text[DECIMAL_TEXT_BYTES];
    decimal_text(d, text);
    return strtod(text, NULL);
}

/* Rounding to a double first and then to a float gives a wrong result only if the double lies in
 * the middle between two floats, or among the subnormal floats. */
static float decimal_float(const decimal *d)
{
    const double v = decimal_value(d);
    uint64_t bits = 0;
    memcpy(&bits, &v, sizeof(bits));
    if ((bits & 0x1FFFFFFF) != 0x10000000 && v >= (double)FLT_MIN) {
        return (float)v;
    }
    char text[DECIMAL_TEXT_BYTES];
    decimal_text(d, text);
    return strtof(text, NULL);
}

bool sm_parse_f64(sm_str s, bool allow_special, double *out)
{
    decimal d;
    if (!scan_decimal(s, &d)) {
        return allow_special && parse_special(s, out);
    }
    const double value = d.n ? decimal_value(&d) : 0.0;
    if (isinf(value)) {
        return false;
    }
    *out = d.is_negative ? -value : value;
    return true;
}

bool sm_parse_f32(sm_str s, bool allow_special, float *out)
{
    decimal d;
    double special = 0;
    if (!scan_decimal(s, &d)) {
        if (!allow_special || !parse_special(s, &special)) {
            return false;
        }
        *out = (float)special;
        return true;
    }
    const float value = d.n ? decimal_float(&d) : 0.0F;
    if (isinf(value)) {
        return false;
    }
    *out = d.is_negative ? -value : value;
    return true;
}

/* ---- writing numbers ------------------------------------------------------------------------- */

/* The digits of a positive number, d1.d2d3… times ten to the power of exp10, where d1 is not 0. */
typedef struct shortest {
    char digits[20];
    int n, exp10;
} shortest;

static bool reads_back(const shortest *d, double v, bool is_float)
{
    char text[40];
    snprintf(text, sizeof(text), "%se%d", d->digits, d->exp10 - d->n + 1);
    return is_float ? strtof(text, NULL) == (float)v : strtod(text, NULL) == v;
}

/* The n digits that are nearest to v. */
static void round_to_digits(double v, int n, shortest *out)
{
    char text[40];
    snprintf(text, sizeof(text), "%.*e", n - 1, v);
    const char *e = strchr(text, 'e');
    SM_ASSERT(e && n <= 17);
    out->digits[0] = text[0];
    memcpy(out->digits + 1, text + 2, (size_t)n - 1);
    out->digits[n] = '\0';
    out->n = n;
    out->exp10 = (int)strtol(e + 1, NULL, 10);
}

/* The next larger number with as many digits. */
static void step_up(shortest *d)
{
    int i = d->n - 1;
    while (i >= 0 && d->digits[i] == '9') {
        d->digits[i--] = '0';
    }
    if (i >= 0) {
        d->digits[i]++;
        return;
    }
    d->digits[0] = '1'; /* 99 becomes 100; the other digits are 0 already */
    d->exp10++;
}

static void drop_zeros(shortest *d)
{
    while (d->n > 1 && d->digits[d->n - 1] == '0') {
        d->digits[--d->n] = '\0';
    }
}

/* Finds the digits of a value that is an integer below 10^15 divided by a power of ten of up to 6.
 * decimal_value() reads such a text by the same division, so it reads back as v. With at most 15
 * digits, no two texts mean the same double, so no shorter text does. */
static bool shortest_by_integer(double v, shortest *out)
{
    for (int decimals = 0; decimals <= 6; decimals++) {
        const double scaled = v * exact_powers[decimals];
        if (scaled >= 1e15) {
            return false;
        }
        const int64_t whole = (int64_t)scaled;
        if ((double)whole == scaled && (double)whole / exact_powers[decimals] == v) {
            out->n = snprintf(out->digits, sizeof(out->digits), "%" PRId64, whole);
            out->exp10 = out->n - 1 - decimals;
            drop_zeros(out);
            return true;
        }
    }
    return false;
}

static void shortest_of(double v, bool is_float, shortest *out)
{
    const bool is_tiny = v < (is_float ? (double)FLT_MIN : DBL_MIN); /* fewer bits than usual */
    const int last = is_float ? FLT_DECIMAL_DIG : DBL_DECIMAL_DIG;
    if (!is_float && shortest_by_integer(v, out)) {
        return;
    }
    int exp2 = 0;
    const bool is_power_of_two = frexp(v, &exp2) == 0.5;
    for (int n = is_tiny ? 1 : is_float ? FLT_DIG : DBL_DIG; n <= last; n++) {
        round_to_digits(v, n, out);
        if (reads_back(out, v, is_float)) {
            break;
        }
        if (is_power_of_two) { /* the gap below v is half the gap above: try the next one above */
            step_up(out);
            if (reads_back(out, v, is_float)) {
                break;
            }
        }
    }
    drop_zeros(out);
}

/* Writes the digits: plainly from 0.0001 to below 10^16, else with an exponent of at least two
 * digits. */
static size_t write_digits(const shortest *d, bool is_negative, char out[SM_F64_TEXT_BYTES])
{
    SM_ASSERT(d->n >= 1 && d->n <= DBL_DECIMAL_DIG && d->digits[0] != '0');
    char *o = out;
    if (is_negative) {
        *o++ = '-';
    }
    if (d->exp10 < -4 || d->exp10 >= 16) {
        *o++ = d->digits[0];
        if (d->n > 1) {
            *o++ = '.';
            memcpy(o, d->digits + 1, (size_t)d->n - 1);
            o += d->n - 1;
        }
        const int len = snprintf(o, 8, "e%c%02d", d->exp10 < 0 ? '-' : '+', abs(d->exp10));
        return (size_t)(o - out + len);
    }
    if (d->exp10 < 0) {
        memcpy(o, "0.0000", 6);
        o += 1 - d->exp10; /* "0." and a zero less than the power says */
        memcpy(o, d->digits, (size_t)d->n);
        o += d->n;
    } else {
        for (int i = 0; i <= d->exp10; i++) {
            *o++ = i < d->n ? d->digits[i] : '0';
        }
        *o++ = '.';
        for (int i = d->exp10 + 1; i < d->n; i++) {
            *o++ = d->digits[i];
        }
        if (o[-1] == '.') {
            *o++ = '0';
        }
    }
    *o = '\0';
    SM_ASSERT(o - out < SM_F64_TEXT_BYTES);
    return (size_t)(o - out);
}

static size_t format_double(double v, bool is_float, char out[SM_F64_TEXT_BYTES])
{
    const char *word = isnan(v)   ? "nan"
                       : isinf(v) ? (v < 0 ? "-inf" : "inf")
                       : v == 0   ? (signbit(v) ? "-0.0" : "0.0")
                                  : NULL;
    if (word) {
        const size_t len = strlen(word);
        memcpy(out, word, len + 1);
        return len;
    }
    shortest d;
    shortest_of(fabs(v), is_float, &d);
    return write_digits(&d, v < 0, out);
}

size_t sm_format_f64(double v, char out[SM_F64_TEXT_BYTES])
{
    return format_double(v, false, out);
}

size_t sm_format_f32(float v, char out[SM_F64_TEXT_BYTES])
{
    return format_double((double)v, true, out);
}

/* ---- sizes ----------------------------------------------------------------------------------- */

/* The bytes of a unit; 0 if the word is not a unit. */
static size_t unit_of(sm_str word)
{
    static const struct {
        const char *name;
        size_t bytes;
    } units[] = {
        {"", 1},
        {"b", 1},
        {"kb", 1000},
        {"mb", 1000000},
        {"gb", 1000000000},
        {"tb", 1000000000000},
        {"pb", 1000000000000000},
        {"kib", (size_t)1 << 10},
        {"mib", (size_t)1 << 20},
        {"gib", (size_t)1 << 30},
        {"tib", (size_t)1 << 40},
        {"pib", (size_t)1 << 50},
    };
    for (int i = 0; i < SM_COUNT(units); i++) {
        if (sm_str_eq_nocase(word, sm_str_of(units[i].name))) {
            return units[i].bytes;
        }
    }
    return 0;
}

bool sm_parse_size(sm_str s, size_t *out)
{
    size_t i = 0, whole = 0, fraction = 0, scale = 1, n_fraction = 0;
    for (; i < s.len && is_digit(s.data[i]); i++) {
        if (!sm_mul_size(whole, 10, &whole) ||
            !sm_add_size(whole, (size_t)(s.data[i] - '0'), &whole)) {
            return false;
        }
    }
    if (i == 0) {
        return false;
    }
    if (i < s.len && s.data[i] == '.') {
        for (i++; i < s.len && is_digit(s.data[i]); i++, n_fraction++) {
            if (n_fraction < 9) { /* a billionth of a unit of PB is a megabyte: enough */
                fraction = fraction * 10 + (size_t)(s.data[i] - '0');
                scale *= 10;
            }
        }
        if (n_fraction == 0) {
            return false;
        }
    }
    if (i < s.len && s.data[i] == ' ') {
        i++;
        if (i == s.len) {
            return false;
        }
    }
    const size_t unit = unit_of((sm_str){s.data + i, s.len - i});
    if (unit == 0 || !sm_mul_size(whole, unit, &whole)) {
        return false;
    }
    const size_t part = (size_t)((unsigned __int128)fraction * unit / scale);
    return sm_add_size(whole, part, out);
}

/* Is it the letter of a unit, or a word for it, in the singular or the plural? */
static bool is_unit(sm_str word, const char *const *names)
{
    for (int i = 0; names[i]; i++) {
        const size_t n = strlen(names[i]);
        const bool is_plural = n > 1 && word.len == n + 1 && word.data[n] == 's';
        if ((word.len == n || is_plural) && memcmp(word.data, names[i], n) == 0) {
            return true;
        }
    }
    return false;
}

bool sm_parse_duration(sm_str s, int64_t *us)
{
    static const struct {
        int64_t seconds;
        const char *names[4];
    } units[] = {
        {1, {"s", "sec", "second"}}, {60, {"m", "min", "minute"}}, {3600, {"h", "hour"}},
        {86400, {"d", "day"}},       {604800, {"w", "week"}},
    };
    size_t digits = 0;
    int64_t n = 0;

    while (digits < s.len && is_digit(s.data[digits])) {
        digits++;
    }
    const size_t unit = digits + (digits < s.len && s.data[digits] == ' ');
    if (!sm_parse_i64((sm_str){s.data, digits}, &n) || n > 1000000) {
        return false;
    }
    for (int i = 0; i < SM_COUNT(units); i++) {
        if (is_unit((sm_str){s.data + unit, s.len - unit}, units[i].names)) {
            *us = n * units[i].seconds * 1000000;
            return true;
        }
    }
    return false;
}

size_t sm_format_size(int64_t bytes, char out[SM_SIZE_TEXT_BYTES])
{
    static const char *const units[] = {"B", "KB", "MB", "GB", "TB", "PB", "EB"};
    const char *sign = bytes < 0 ? "-" : "";
    const uint64_t n = bytes < 0 ? 0 - (uint64_t)bytes : (uint64_t)bytes;
    if (n < 1000) {
        return (size_t)snprintf(out, SM_SIZE_TEXT_BYTES, "%s%" PRIu64 " B", sign, n);
    }
    uint64_t unit = 1000;
    int u = 1;
    while (n / unit >= 1000) {
        unit *= 1000;
        u++;
    }
    static const uint64_t powers[] = {1, 10, 100};
    int decimals = n / unit >= 100 ? 0 : n / unit >= 10 ? 1 : 2;
    const uint64_t step = unit / powers[decimals];
    uint64_t steps = n / step + (n % step >= step / 2);
    if (steps == 1000) { /* 9.996 becomes 10.0, and 999.5 KB 1.00 MB */
        steps = 100;
        u += decimals == 0;
        decimals = decimals == 0 ? 2 : decimals - 1;
    }
    SM_ASSERT(u < SM_COUNT(units) && steps < 1000);
    if (decimals == 0) {
        return (size_t)snprintf(out, SM_SIZE_TEXT_BYTES, "%s%" PRIu64 " %s", sign, steps, units[u]);
    }
    return (size_t)snprintf(out, SM_SIZE_TEXT_BYTES, "%s%" PRIu64 ".%0*" PRIu64 " %s", sign,
                            steps / powers[decimals], decimals, steps % powers[decimals], units[u]);
}

size_t sm_format_count(int64_t n, char out[SM_SIZE_TEXT_BYTES])
{
    char digits[24];
    const uint64_t positive = n < 0 ? 0 - (uint64_t)n : (uint64_t)n;
    const int len = snprintf(digits, sizeof(digits), "%" PRIu64, positive);
    char *o = out;
    if (n < 0) {
        *o++ = '-';
    }
    for (int i = 0; i < len; i++) {
        if (i > 0 && (len - i) % 3 == 0) {
            *o++ = ',';
        }
        *o++ = digits[i];
    }
    *o = '\0';
    return (size_t)(o - out);
}

size_t sm_format_counted(int64_t n, const char *one, char out[SM_COUNTED_TEXT_BYTES])
{
    char count[SM_SIZE_TEXT_BYTES];

    sm_format_count(n, count);
    const int len = snprintf(out, SM_COUNTED_TEXT_BYTES, "%s %s%s", count, one, n == 1 ? "" : "s");
    SM_ASSERT(len > 0 && len < SM_COUNTED_TEXT_BYTES);
    return (size_t)len;
}

/* ---- settings -------------------------------------------------------------------------------- */

const char *sm_env(const char *name)
{
    const char *value = getenv(name);
    return value && value[0] ? value : NULL;
}

/* ---- shell patterns -------------------------------------------------------------------------- */

/* Reads a code point. A byte that is not UTF-8 counts as a character above all code points. */
static uint32_t next_char(sm_str s, size_t *at)
{
    const uint8_t *p = (const uint8_t *)s.data + *at;
    if (sequence_len(p, s.len - *at) == 0) {
        ++*at;
        return 0x110000u + p[0];
    }
    return sm_utf8_next(s, at);
}

/* Is `c` in the class whose '[' is at `at`? *end is the place behind its ']'; it is `at` if there
 * is no ']', and the '[' is then a plain character. */
static bool in_class(sm_str pattern, size_t at, uint32_t c, size_t *end)
{
    SM_ASSERT(at < pattern.len && pattern.data[at] == '[');
    *end = at;
    size_t i = at + 1;
    const bool is_negated = i < pattern.len && (pattern.data[i] == '!' || pattern.data[i] == '^');
    bool found = false;
    i += is_negated;
    for (bool is_first = true; i < pattern.len; is_first = false) {
        if (pattern.data[i] == ']' && !is_first) {
            *end = i + 1;
            return found != is_negated;
        }
        i += pattern.data[i] == '\\' && i + 1 < pattern.len;
        const uint32_t low = next_char(pattern, &i);
        uint32_t high = low;
        if (i + 1 < pattern.len && pattern.data[i] == '-' && pattern.data[i + 1] != ']') {
            i++;
            i += pattern.data[i] == '\\' && i + 1 < pattern.len;
            high = next_char(pattern, &i);
        }
        found |= c >= low && c <= high;
    }
    return false;
}

/* What is at a place of the pattern. */
typedef enum glob_kind {
    GLOB_CHAR,    /* one character: literal, '?' or a class */
    GLOB_STAR,    /* any number of characters but '/' */
    GLOB_ANY,     /* `**`: any number of characters */
    GLOB_FOLDERS, /* `**` and '/' at the start of a name: any number of whole folders */
} glob_kind;

static glob_kind glob_at(sm_str pattern, size_t at, size_t *next)
{
    size_t end = at;
    while (end < pattern.len && pattern.data[end] == '*') {
        end++;
    }
    *next = end;
    if (end == at) {
        return GLOB_CHAR;
    }
    if (end == at + 1) {
        return GLOB_STAR;
    }
    const bool starts_name = at == 0 || pattern.data[at - 1] == '/';
    if (starts_name && end < pattern.len && pattern.data[end] == '/') {
        *next = end + 1;
        return GLOB_FOLDERS;
    }
    return GLOB_ANY;
}

/* Does the character of the pattern at `at` (a GLOB_CHAR) match c? *next is the place behind it. */
static bool char_matches(sm_str pattern, size_t at, uint32_t c, size_t *next)
{
    size_t i = at;
    if (pattern.data[i] == '?') {
        *next = i + 1;
        return c != '/';
    }
    if (pattern.data[i] == '[') {
        const bool in = in_class(pattern, i, c, next);
        if (*next != i) {
            return in && c != '/';
        }
    } else if (pattern.data[i] == '\\' && i + 1 < pattern.len) {
        i++;
    }
    const uint32_t want = next_char(pattern, &i);
    *next = i;
    return c == want;
}

/* A GLOB_FOLDERS has a second state, "within the name of a folder". The place of its second star
 * stands for it; it is free, because consecutive stars are read as one. */
static bool is_inside_folder(sm_str pattern, size_t at)
{
    size_t next = 0;
    return at > 0 && pattern.data[at] == '*' && pattern.data[at - 1] == '*' &&
           (at == 1 || pattern.data[at - 2] == '/') &&
           glob_at(pattern, at - 1, &next) == GLOB_FOLDERS;
}

/* Adds the places that are reached without reading a character. They come later in the pattern, so
 * one pass is enough. */
static void add_empty_moves(sm_str pattern, bool *now)
{
    for (size_t at = 0; at < pattern.len; at++) {
        size_t next = at;
        if (now[at] && !is_inside_folder(pattern, at) && glob_at(pattern, at, &next) != GLOB_CHAR) {
            SM_ASSERT(next > at && next <= pattern.len);
            now[next] = true;
        }
    }
}

/* The places `then` that are reached from the places `now` by reading c. */
static void glob_step(sm_str pattern, const bool *now, bool *then, uint32_t c)
{
    memset(then, 0, pattern.len + 1);
    for (size_t at = 0; at < pattern.len; at++) {
        if (!now[at]) {
            continue;
        }
        if (is_inside_folder(pattern, at)) {
            then[c == '/' ? at - 1 : at] = true;
            continue;
        }
        size_t next = at;
        switch (glob_at(pattern, at, &next)) {
        case GLOB_CHAR:
            if (char_matches(pattern, at, c, &next)) {
                then[next] = true;
            }
            break;
        case GLOB_STAR:
            then[at] |= c != '/';
            break;
        case GLOB_ANY:
            then[at] = true;
            break;
        case GLOB_FOLDERS:
            then[c == '/' ? at : at + 1] = true;
            break;
        }
    }
}

bool sm_glob_match(sm_str pattern, sm_str text)
{
    bool small[2][256];
    const size_t n_places = pattern.len + 1;
    bool *own = n_places > sizeof(small[0]) ? sm_alloc(2 * n_places) : NULL;
    bool *now = own ? own : small[0];
    bool *then = own ? own + n_places : small[1];

    memset(now, 0, n_places);
    now[0] = true;
    add_empty_moves(pattern, now);
    for (size_t at = 0; at < text.len;) {
        glob_step(pattern, now, then, next_char(text, &at));
        add_empty_moves(pattern, then);
        bool *swap = now;
        now = then;
        then = swap;
    }
    const bool matches = now[pattern.len];
    sm_free(own);
    return matches;
}
