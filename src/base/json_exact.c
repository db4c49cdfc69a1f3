/* SPDX-License-Identifier: Apache-2.0
 *
 * base/json_exact.c: the exact integer that a number's text means, without floating point:
 * 9007199254740993 and 9007199254740993.0e0 are the same integer, 0e500 is 0, 1e-1 is not an
 * integer.
 *
 * Method   Without its leading and trailing zeros a number is M * 10^E, where M is an integer of d
 *          digits. It is an integer if E >= 0, and then has d + E digits. Nothing is multiplied
 *          before that number of digits is known to fit, so 1e999999999 costs no more than 1e3. */
#include "base/json_scan.h"

/* Exponents are cut off here: far above the number of digits that a line can have (2^24), and far
 * below an overflow when that number is added. */
#define EXPONENT_CUT ((int64_t)1000000000000)
/* All integers of so many digits fit 128 bits with sign. */
#define EXACT_DIGITS 38

typedef struct decimal {
    unsigned __int128 digits; /* M, valid while n_digits <= EXACT_DIGITS */
    int64_t n_digits;         /* d */
    int64_t exponent;         /* E */
    bool is_negative;
} decimal;

static int64_t read_exponent(const uint8_t *p, const uint8_t *end)
{
    int64_t v = 0;
    bool is_negative = false;
    if (p < end && (*p == '+' || *p == '-')) {
        is_negative = *p == '-';
        p++;
    }
    for (; p < end; p++) {
        v = v > EXPONENT_CUT ? v : v * 10 + (*p - '0');
    }
    return is_negative ? -v : v;
}

static decimal read_decimal(const uint8_t *p, size_t n)
{
    const uint8_t *end = p + n;
    decimal d = {0};
    int64_t zeros = 0; /* zeros behind M so far; they become part of M if another digit follows */
    bool in_fraction = false;

    if (p < end && *p == '-') {
        d.is_negative = true;
        p++;
    }
    for (; p < end && (*p | 0x20) != 'e'; p++) {
        if (*p == '.') {
            in_fraction = true;
            continue;
        }
        d.exponent -= in_fraction;
        if (*p == '0') {
            zeros += d.n_digits > 0;
            continue;
        }
        d.n_digits += zeros + 1;
        if (d.n_digits <= EXACT_DIGITS) {
            for (; zeros > 0; zeros--) {
                d.digits *= 10;
            }
            d.digits = d.digits * 10 + (unsigned)(*p - '0');
        }
        zeros = 0;
    }
    d.exponent += zeros;
    if (p < end) {
        d.exponent += read_exponent(p + 1, end);
    }
    return d;
}

bool sm_json_exact(const uint8_t *p, size_t n, int scale, __int128 *out, bool *is_integer)
{
    const decimal d = read_decimal(p, n);
    const int64_t exponent = d.exponent + scale;
    *is_integer = d.n_digits == 0 || exponent >= 0;
    if (d.n_digits == 0) {
        *out = 0;
        return true;
    }
    if (!*is_integer || d.n_digits + exponent > EXACT_DIGITS) {
        return false;
    }
    SM_ASSERT(d.n_digits + exponent > 0 && exponent >= 0);
    __int128 v = (__int128)d.digits;
    for (int64_t i = 0; i < exponent; i++) {
        v *= 10;
    }
    *out = d.is_negative ? -v : v;
    return true;
}
