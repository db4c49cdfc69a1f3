/* SPDX-License-Identifier: Apache-2.0
 *
 * query/function/fn_case.c: lower and upper case, one code point at a time, by Unicode's simple
 * mapping: it needs no locale and is the same everywhere. The table is unicode_case.def, which is
 * searched by bisection. ASCII is mapped byte by byte without the table. */
#include "query/function/function_int.h"

#include "base/text.h"

/* Every step-th code point from `first` to `last` is mapped to itself + delta. */
typedef struct case_range {
    uint32_t first, last, step;
    int32_t delta;
} case_range;

#define UPPER(first, last, step, delta)
#define LOWER(first, last, step, delta) {first, last, step, delta},
static const case_range lower_ranges[] = {
#include "query/function/unicode_case.def"
};
#undef LOWER
#undef UPPER
#define LOWER(first, last, step, delta)
#define UPPER(first, last, step, delta) {first, last, step, delta},
static const case_range upper_ranges[] = {
#include "query/function/unicode_case.def"
};
#undef LOWER
#undef UPPER

typedef struct case_map {
    const case_range *ranges;
    int n_ranges;
    uint8_t ascii_first; /* of the 26 letters that are mapped */
    int8_t ascii_delta;
} case_map;

static const case_map to_lower = {lower_ranges, SM_COUNT(lower_ranges), 'A', 32};
static const case_map to_upper = {upper_ranges, SM_COUNT(upper_ranges), 'a', -32};

static uint8_t map_byte(const case_map *m, uint8_t c)
{
    return (uint8_t)((uint8_t)(c - m->ascii_first) < 26 ? c + m->ascii_delta : c);
}

static uint32_t map_char(const case_map *m, uint32_t c)
{
    int low = 0, high = m->n_ranges;
    if (c < 0x80) {
        return map_byte(m, (uint8_t)c);
    }
    while (low < high) { /* the first range that ends at c or behind it */
        const int middle = (low + high) / 2;
        if (m->ranges[middle].last < c) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    SM_ASSERT(low == 0 || m->ranges[low - 1].last < c); /* the table is in order */
    if (low == m->n_ranges || c < m->ranges[low].first ||
        (c - m->ranges[low].first) % m->ranges[low].step != 0) {
        return c;
    }
    return (uint32_t)((int64_t)c + m->ranges[low].delta);
}

/* Maps the bytes up to the first that is not ASCII; returns their number. */
static size_t map_ascii(const case_map *m, sm_str s, uint8_t *out)
{
    uint8_t all = 0;
    for (size_t i = 0; i < s.len; i++) {
        all |= (uint8_t)s.data[i];
        out[i] = map_byte(m, (uint8_t)s.data[i]);
    }
    if (all < 0x80) {
        return s.len;
    }
    size_t n = 0;
    while ((uint8_t)s.data[n] < 0x80) {
        n++;
    }
    return n;
}

/* No mapping makes more than three bytes out of two. */
static size_t most_bytes(size_t len)
{
    return len + len / 2 + 4;
}

/* Writes s mapped, at most most_bytes(s.len); returns the length. */
static size_t map_text(const case_map *m, sm_str s, uint8_t *out)
{
    size_t at = map_ascii(m, s, out), len = at;
    while (at < s.len) {
        const uint32_t c = map_char(m, sm_utf8_next(s, &at));
        len += (size_t)sm_utf8_put(c, (char *)out + len);
        SM_ASSERT(len <= most_bytes(s.len));
    }
    return len;
}

static sm_status map_rows(const sm_fn_call *call, const case_map *m, sm_column *out, sm_error *e)
{
    smi_text_out text;
    smi_text_begin(&text, out, call->into);
    for (int64_t i = 0; i < call->n_rows; i++) {
        uint8_t *bytes = NULL;
        if (smi_valid(out, i)) {
            const sm_str s = smi_str_at(&call->args[0], i);
            SM_TRY(smi_text_room(&text, (int64_t)most_bytes(s.len), &bytes, e));
            smi_text_set(&text, i, (int64_t)map_text(m, s, bytes));
        }
    }
    smi_text_end(&text);
    return SM_OK;
}

sm_status fn_lower(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    return map_rows(call, &to_lower, out, e);
}
sm_status fn_upper(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    return map_rows(call, &to_upper, out, e);
}

sm_status smi_lower(sm_str s, sm_buf *out, sm_error *e)
{
    sm_buf_reset(out);
    SM_TRY(sm_buf_reserve(out, most_bytes(s.len), e));
    out->len = map_text(&to_lower, s, out->data);
    return SM_OK;
}

sm_str sm_text_lower(sm_str s, sm_arena *a)
{
    if (sm_utf8_check(s.data, s.len) < s.len) {
        return s;
    }
    uint8_t *out = sm_arena_alloc(a, most_bytes(s.len));
    return (sm_str){(const char *)out, map_text(&to_lower, s, out)};
}
