/* SPDX-License-Identifier: Apache-2.0
 *
 * column/value.c: copies, compares and prints single values. value_parse.c reads them from text. */
#include "column/value.h"

#include <math.h>

#include "base/quote.h"
#include "base/text.h"
#include "base/time.h"
#include "column/column_int.h"

const sm_type *smi_item_type(const sm_type *t, int64_t i)
{
    SM_ASSERT(sm_type_is_nested(t->id));
    return t->id == SM_TYPE_LIST  ? t->fields[0].type
           : t->id == SM_TYPE_MAP ? t->fields[i & 1].type
                                  : t->fields[i].type;
}

/* `t`: the value's type, in the arena already. */
static sm_value copy_as(sm_arena *a, sm_value v, const sm_type *t)
{
    v.type = t;
    if (v.is_null) {
        return v;
    }
    if (sm_type_is_bytes(t->id)) {
        v.as.s = sm_arena_str(a, v.as.s);
    } else if (sm_type_is_nested(t->id)) {
        sm_value *const items = SM_NEW_ARRAY(a, sm_value, v.as.nested.n + 1);
        for (int64_t i = 0; i < v.as.nested.n; i++) {
            items[i] = copy_as(a, v.as.nested.items[i], smi_item_type(t, i));
        }
        v.as.nested.items = items;
    }
    return v;
}

sm_value sm_value_copy(sm_arena *a, sm_value v)
{
    return copy_as(a, v, sm_type_copy(a, v.type));
}

/* ---- comparing ------------------------------------------------------------------------------- */

static int cmp_f64(double a, double b)
{
    if (isnan(a) || isnan(b)) {
        return (isnan(a) ? 1 : 0) - (isnan(b) ? 1 : 0);
    }
    return (a > b) - (a < b);
}

static int cmp_nested(sm_value a, sm_value b)
{
    const int64_t n_a = a.as.nested.n, n_b = b.as.nested.n;
    SM_ASSERT(n_a >= 0 && n_b >= 0 && (a.type->id != SM_TYPE_STRUCT || n_a == n_b));
    for (int64_t i = 0; i < n_a && i < n_b; i++) {
        const sm_value *const x = &a.as.nested.items[i], *const y = &b.as.nested.items[i];
        const int c =
            x->is_null || y->is_null ? (int)x->is_null - (int)y->is_null : sm_value_cmp(*x, *y);
        if (c != 0) {
            return c;
        }
    }
    return (n_a > n_b) - (n_a < n_b);
}

int sm_value_cmp(sm_value a, sm_value b)
{
    SM_ASSERT(!a.is_null && !b.is_null && a.type->id == b.type->id);
    switch (a.type->id) {
    case SM_TYPE_BOOL:
        return (int)a.as.b - (int)b.as.b;
    case SM_TYPE_U8:
    case SM_TYPE_U16:
    case SM_TYPE_U32:
    case SM_TYPE_U64:
        return (a.as.u > b.as.u) - (a.as.u < b.as.u);
    case SM_TYPE_F32:
    case SM_TYPE_F64:
        return cmp_f64(a.as.f, b.as.f);
    case SM_TYPE_DECIMAL:
        SM_ASSERT(a.type->scale == b.type->scale);
        return (a.as.d > b.as.d) - (a.as.d < b.as.d);
    case SM_TYPE_STRING:
    case SM_TYPE_BINARY: {
        const int c = sm_str_cmp(a.as.s, b.as.s);
        return (c > 0) - (c < 0);
    }
    case SM_TYPE_I8:
    case SM_TYPE_I16:
    case SM_TYPE_I32:
    case SM_TYPE_I64:
    case SM_TYPE_DATE:
    case SM_TYPE_TIME:
    case SM_TYPE_TIMESTAMP:
    case SM_TYPE_TIMESTAMP_NTZ:
        return (a.as.i > b.as.i) - (a.as.i < b.as.i);
    case SM_TYPE_LIST:
    case SM_TYPE_STRUCT:
    case SM_TYPE_MAP:
        return cmp_nested(a, b);
    case SM_TYPE_NULL:
        break;
    }
    SM_ENSURE(!"the type NULL has no value");
    return 0;
}

bool sm_value_eq(sm_value a, sm_value b)
{
    if (!sm_type_eq(a.type, b.type) || a.is_null != b.is_null) {
        return false;
    }
    return a.is_null || sm_value_cmp(a, b) == 0;
}

/* ---- printing -------------------------------------------------------------------------------- */

static void print_u128(unsigned __int128 v, int least_digits, sm_buf *out)
{
    char text[48];
    int at = SM_COUNT(text);
    while (v > 0 || SM_COUNT(text) - at < least_digits) {
        text[--at] = (char)('0' + (int)(v % 10));
        v /= 10;
    }
    sm_buf_text(out, (sm_str){text + at, (size_t)(SM_COUNT(text) - at)});
}

void smi_print_decimal(sm_i128 v, const sm_type *t, bool is_json, sm_buf *out)
{
    unsigned __int128 u = v < 0 ? -(unsigned __int128)v : (unsigned __int128)v;
    unsigned __int128 unit = 1;
    for (int i = 0; i < t->scale; i++) {
        unit *= 10;
    }
    if (v < 0) {
        sm_buf_text(out, SM_STR("-"));
    }
    /* A DECIMAL(2,2) has no digit before the point: DuckDB prints .50, JSON wants 0.50. */
    print_u128(u / unit, is_json || t->precision > t->scale ? 1 : 0, out);
    if (t->scale > 0) {
        sm_buf_text(out, SM_STR("."));
        print_u128(u % unit, t->scale, out);
    }
}

static void print_time(int64_t us, sm_buf *out)
{
    const int64_t s = us / 1000000;
    sm_buf_printf(out, "%02d:%02d:%02d", (int)(s / 3600), (int)(s / 60 % 60), (int)(s % 60));
    int fraction = (int)(us % 1000000), digits = 6;
    if (fraction == 0) {
        return;
    }
    while (fraction % 10 == 0) {
        fraction /= 10;
        digits--;
    }
    sm_buf_printf(out, ".%0*d", digits, fraction);
}

static bool print_infinite(int64_t v, int64_t infinity, sm_buf *out)
{
    if (v == infinity || v == -infinity) {
        sm_buf_text(out, v > 0 ? SM_STR("infinity") : SM_STR("-infinity"));
        return true;
    }
    return false;
}

/* DuckDB writes years before 1 as "0045-01-01 (BC)", and leaves off zeros that end a fraction. */
static void print_date(int64_t days, sm_buf *out)
{
    const sm_civil c = sm_civil_from_days(days);
    const bool is_bc = c.year <= 0;
    sm_buf_printf(out, "%04lld-%02d-%02d%s", (long long)(is_bc ? 1 - c.year : c.year), c.month,
                  c.day, is_bc ? " (BC)" : "");
}

static void print_timestamp(int64_t us, bool has_zone, sm_buf *out)
{
    const int64_t day_us = INT64_C(86400000000);
    int64_t days = us / day_us, rest = us % day_us;
    if (print_infinite(us, SM_TIMESTAMP_INFINITY, out)) {
        return;
    }
    if (rest < 0) {
        rest += day_us;
        days--;
    }
    print_date(days, out);
    sm_buf_text(out, SM_STR(" "));
    print_time(rest, out);
    if (has_zone) {
        sm_buf_text(out, SM_STR("+00"));
    }
}

static void print_blob(sm_str s, sm_buf *out)
{
    for (size_t i = 0; i < s.len; i++) {
        const uint8_t c = (uint8_t)s.data[i];
        if (c >= 0x20 && c < 0x7F && c != '\\' && c != '\'' && c != '"') {
            sm_buf_text(out, (sm_str){s.data + i, 1});
        } else {
            sm_buf_printf(out, "\\x%02X", c);
        }
    }
}

static void print_float(sm_value v, sm_buf *out)
{
    char text[SM_F64_TEXT_BYTES];
    const size_t len = v.type->id == SM_TYPE_F32 ? sm_format_f32((float)v.as.f, text)
                                                 : sm_format_f64(v.as.f, text);
    sm_buf_text(out, (sm_str){text, len});
}

/* As column_print.c prints a row. */
static void print_nested(sm_value v, sm_buf *out)
{
    const bool is_list = v.type->id == SM_TYPE_LIST, is_map = v.type->id == SM_TYPE_MAP;
    sm_buf_text(out, is_list ? SM_STR("[") : SM_STR("{"));
    for (int64_t i = 0; i < v.as.nested.n; i++) {
        const bool is_behind_key = is_map && (i & 1);
        sm_buf_text(out, i == 0 ? SM_STR("") : is_behind_key ? SM_STR("=") : SM_STR(", "));
        if (v.type->id == SM_TYPE_STRUCT) {
            sm_buf_escaped(out, v.type->fields[i].name, '\'');
            sm_buf_text(out, SM_STR(": "));
        }
        smi_print_inside(v.as.nested.items[i], out);
    }
    sm_buf_text(out, is_list ? SM_STR("]") : SM_STR("}"));
}

void sm_value_print(sm_value v, sm_buf *out)
{
    if (v.is_null) {
        sm_buf_text(out, SM_STR("NULL"));
        return;
    }
    switch (v.type->id) {
    case SM_TYPE_BOOL:
        sm_buf_text(out, v.as.b ? SM_STR("true") : SM_STR("false"));
        break;
    case SM_TYPE_I8:
    case SM_TYPE_I16:
    case SM_TYPE_I32:
    case SM_TYPE_I64:
        sm_buf_printf(out, "%lld", (long long)v.as.i);
        break;
    case SM_TYPE_U8:
    case SM_TYPE_U16:
    case SM_TYPE_U32:
    case SM_TYPE_U64:
        sm_buf_printf(out, "%llu", (unsigned long long)v.as.u);
        break;
    case SM_TYPE_F32:
    case SM_TYPE_F64:
        print_float(v, out);
        break;
    case SM_TYPE_DECIMAL:
        smi_print_decimal(v.as.d, v.type, false, out);
        break;
    case SM_TYPE_STRING:
        sm_buf_text(out, v.as.s);
        break;
    case SM_TYPE_BINARY:
        print_blob(v.as.s, out);
        break;
    case SM_TYPE_DATE:
        if (!print_infinite(v.as.i, SM_DATE_INFINITY, out)) {
            print_date(v.as.i, out);
        }
        break;
    case SM_TYPE_TIME:
        print_time(v.as.i, out);
        break;
    case SM_TYPE_TIMESTAMP:
    case SM_TYPE_TIMESTAMP_NTZ:
        print_timestamp(v.as.i, v.type->id == SM_TYPE_TIMESTAMP, out);
        break;
    case SM_TYPE_LIST:
    case SM_TYPE_STRUCT:
    case SM_TYPE_MAP:
        print_nested(v, out);
        break;
    case SM_TYPE_NULL:
        SM_ENSURE(!"the type NULL has no value");
    }
}
