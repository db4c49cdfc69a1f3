/* SPDX-License-Identifier: Apache-2.0
 *
 * format/json/json_number.c: which numbers a column's type can hold. */
#include "format/json/json_int.h"

bool smi_json_fits_float(sm_i128 v, sm_type_id id)
{
    SM_ASSERT(id == SM_TYPE_F32 || id == SM_TYPE_F64);
    /* Both types have the range for 38 digits, so the casts are defined. */
    return id == SM_TYPE_F32 ? (sm_i128)(float)v == v : (sm_i128)(double)v == v;
}

static size_t count_digits(sm_str s, size_t at)
{
    size_t n = 0;
    while (at + n < s.len && s.data[at + n] >= '0' && s.data[at + n] <= '9') {
        n++;
    }
    return n;
}

bool smi_json_is_number(sm_str s, bool *is_odd)
{
    size_t at = s.len > 0 && s.data[0] == '-' ? 1 : 0;
    const size_t n_int = count_digits(s, at);
    if (n_int == 0 || (n_int > 1 && s.data[at] == '0')) {
        return false;
    }
    at += n_int;
    *is_odd = at < s.len;
    if (at < s.len && s.data[at] == '.') {
        const size_t n_fraction = count_digits(s, at + 1);
        if (n_fraction == 0) {
            return false;
        }
        at += 1 + n_fraction;
    }
    if (at < s.len && (s.data[at] | 0x20) == 'e') {
        at++;
        at += at < s.len && (s.data[at] == '+' || s.data[at] == '-');
        const size_t n_exponent = count_digits(s, at);
        if (n_exponent == 0) {
            return false;
        }
        at += n_exponent;
    }
    return at == s.len;
}

void smi_json_int_bounds(sm_type_id id, sm_i128 *min, sm_i128 *max)
{
    SM_ASSERT(sm_type_is_integer(id));
    const int bits = sm_type_bytes(id) * 8;
    const bool is_signed = sm_type_is_signed(id);
    *max = ((sm_i128)1 << (is_signed ? bits - 1 : bits)) - 1;
    *min = is_signed ? -*max - 1 : 0;
}
