/* SPDX-License-Identifier: Apache-2.0
 *
 * query/fn_window.c: window functions. Each gets one partition's rows in their order and appends a
 * value a row. Aggregates as windows are smi_fn_over, with the aggregate's call in `prepared`: over
 * all rows, or, with ORDER BY, over those up to the last peer of the row (SQL's default frame). */
#include "query/query_int.h"

#include <math.h>
#include <stdlib.h>

static bool starts_peers(const sm_window_in *in, int64_t i)
{
    return i == 0 || (in->peer_start && sm_bit_get(in->peer_start, i));
}

sm_status win_row_number(const sm_expr *call, const sm_window_in *in, sm_builder *out, sm_error *e)
{
    for (int64_t i = 0; i < in->n_rows; i++) {
        sm_builder_i64(out, i + 1);
    }
    return SM_OK;
}

sm_status win_rank(const sm_expr *call, const sm_window_in *in, sm_builder *out, sm_error *e)
{
    int64_t rank = 0;
    for (int64_t i = 0; i < in->n_rows; i++) {
        rank = starts_peers(in, i) ? i + 1 : rank;
        sm_builder_i64(out, rank);
    }
    return SM_OK;
}

sm_status win_dense_rank(const sm_expr *call, const sm_window_in *in, sm_builder *out, sm_error *e)
{
    int64_t rank = 0;
    for (int64_t i = 0; i < in->n_rows; i++) {
        rank += starts_peers(in, i);
        sm_builder_i64(out, rank);
    }
    return SM_OK;
}

sm_status win_ntile(const sm_expr *call, const sm_window_in *in, sm_builder *out, sm_error *e)
{
    const sm_expr *const x = call->args[0];
    if (x->kind != SM_EXPR_CONST || x->value.is_null || x->value.as.i < 1) {
        return smi_expr_fail(x, e, SM_INVALID, "ntile's number of parts is a constant from 1 on");
    }
    const int64_t parts = x->value.as.i < in->n_rows ? x->value.as.i : in->n_rows;
    const int64_t each = parts > 0 ? in->n_rows / parts : 0;
    const int64_t larger = parts > 0 ? in->n_rows % parts : 0; /* parts that have one row more */
    for (int64_t i = 0; i < in->n_rows; i++) {
        const int64_t in_larger = larger * (each + 1);
        sm_builder_i64(out,
                       i < in_larger ? i / (each + 1) + 1 : (i - in_larger) / each + larger + 1);
    }
    return SM_OK;
}

/* ---- qcut ------------------------------------------------------------------------------------ */

/* The classes' upper bounds are order statistics. Numbers of up to 64 bits become sortable 64-bit
 * keys that are sorted by radix, eight bits at a time, leaving out the bytes that all share: no
 * input makes that slow. Any other type is sorted by comparison. */

static uint64_t key_of_int(int64_t v)
{
    return (uint64_t)v ^ (UINT64_C(1) << 63);
}

static uint64_t key_of_double(double v)
{
    uint64_t bits = 0;
    v = isnan(v) ? (double)NAN : v == 0 ? 0.0 : v;
    memcpy(&bits, &v, 8);
    bits = isnan(v) ? UINT64_C(0x7fffffffffffffff) : bits; /* the largest */
    return bits >> 63 ? ~bits : bits | (UINT64_C(1) << 63);
}

static bool has_key(sm_type_id id)
{
    return id != SM_TYPE_DECIMAL && !sm_type_is_bytes(id) && id != SM_TYPE_NULL;
}

static uint64_t key_at(const sm_column *c, int64_t i)
{
    const sm_value v = sm_column_value(c, i);
    switch (c->type->id) {
    case SM_TYPE_F32:
    case SM_TYPE_F64:
        return key_of_double(v.as.f);
    case SM_TYPE_BOOL:
        return v.as.b;
    case SM_TYPE_U8:
    case SM_TYPE_U16:
    case SM_TYPE_U32:
    case SM_TYPE_U64:
        return v.as.u;
    default:
        return key_of_int(v.as.i);
    }
}

static void radix_sort(uint64_t *keys, uint64_t *spare, int64_t n)
{
    uint64_t all_or = 0, all_and = UINT64_MAX;
    uint64_t *from = keys, *to = spare;
    for (int64_t i = 0; i < n; i++) {
        all_or |= keys[i];
        all_and &= keys[i];
    }
    for (int shift = 0; shift < 64; shift += 8) {
        int64_t starts[257] = {0};
        if ((((all_or ^ all_and) >> shift) & 0xff) == 0) {
            continue;
        }
        for (int64_t i = 0; i < n; i++) {
            starts[((from[i] >> shift) & 0xff) + 1]++;
        }
        for (int b = 0; b < 256; b++) {
            starts[b + 1] += starts[b];
        }
        for (int64_t i = 0; i < n; i++) {
            to[starts[(from[i] >> shift) & 0xff]++] = from[i];
        }
        uint64_t *const other = from;
        from = to;
        to = other;
    }
    if (from != keys) {
        memcpy(keys, from, (size_t)n * sizeof(*keys));
    }
}

static int by_row(const void *x, const void *y, void *column)
{
    return sm_column_cmp(column, *(const int64_t *)x, column, *(const int64_t *)y);
}

/* The index of bound k among n sorted values, k from 1. */
static int64_t bound_index(int64_t k, int64_t n, int64_t parts)
{
    return (int64_t)((sm_i128)k * (n - 1) / parts);
}

/* The first k whose bound is not less than the value: bounds ascend. */
static int64_t class_of_key(uint64_t key, const uint64_t *keys, int64_t n, int64_t parts)
{
    int64_t low = 1, high = parts;
    while (low < high) {
        const int64_t middle = low + (high - low) / 2;
        if (key <= keys[bound_index(middle, n, parts)]) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low;
}

static int64_t class_of_row(const sm_column *c, int64_t row, const int64_t *rows, int64_t n,
                            int64_t parts)
{
    int64_t low = 1, high = parts;
    while (low < high) {
        const int64_t middle = low + (high - low) / 2;
        if (sm_column_cmp(c, row, c, rows[bound_index(middle, n, parts)]) <= 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low;
}

sm_status win_qcut(const sm_expr *call, const sm_window_in *in, sm_builder *out, sm_error *e)
{
    const sm_column *const c = &in->args[0];
    const int64_t parts = call->args[1]->value.as.i;
    const bool keyed = has_key(c->type->id);
    const size_t bytes = ((size_t)in->n_rows + 1) * sizeof(uint64_t);
    sm_block *mem = NULL;
    SM_TRY(sm_block_new(in->budget, 2 * bytes, &mem, e));
    uint64_t *const keys = (uint64_t *)(void *)mem->data;
    uint64_t *const spare = keys + in->n_rows + 1;
    int64_t *const rows = (int64_t *)spare;
    int64_t n = 0;
    for (int64_t i = 0; i < in->n_rows; i++) {
        if (sm_column_is_null(c, i)) {
            continue;
        }
        if (keyed) {
            keys[n++] = key_at(c, i);
        } else {
            rows[n++] = i;
        }
    }
    if (keyed) {
        radix_sort(keys, spare, n);
    } else {
        qsort_r(rows, (size_t)n, sizeof(*rows), by_row, (void *)c);
    }
    for (int64_t i = 0; i < in->n_rows; i++) {
        if (sm_column_is_null(c, i)) {
            sm_builder_null(out);
        } else {
            sm_builder_i64(out, keyed ? class_of_key(key_at(c, i), keys, n, parts)
                                      : class_of_row(c, i, rows, n, parts));
        }
    }
    sm_block_release(mem);
    return SM_OK;
}

/* ---- aggregates ------------------------------------------------------------------------------ */

static int64_t count_peers(const sm_window_in *in)
{
    int64_t n = 0;
    for (int64_t i = 0; i < in->n_rows; i++) {
        n += starts_peers(in, i);
    }
    return n;
}

/* One state for each group of peers, then running merges into one that is finished for each. */
static sm_status over_partition(const sm_expr *call, const sm_window_in *in, sm_builder *out,
                                sm_error *e)
{
    const sm_expr *const inner = call->prepared;
    const sm_aggregate *const agg = inner->fn->aggregate;
    const size_t stride = (agg->state_bytes + 7) & ~(size_t)7;
    const int64_t n_peers = count_peers(in);
    uint8_t *const states = sm_alloc_zero(stride * (size_t)(n_peers + 1) + 8);
    void **const by_state = sm_alloc(((size_t)in->n_rows + 1) * sizeof(void *));
    sm_agg_heap *const heap = sm_agg_heap_new(in->budget);
    int64_t peer = 0, failed = 0;
    for (int64_t i = 0; i < in->n_rows; i++) { /* states[0] is the running one */
        peer += starts_peers(in, i);
        by_state[i] = states + stride * (size_t)peer;
    }
    sm_status st = agg->update(inner, in->args, in->n_args, in->n_rows, by_state, heap, e);
    void *const running = states;
    int64_t first = 0;
    for (int64_t k = 1; k <= n_peers && st == SM_OK; k++) {
        const void *const from = states + stride * (size_t)k;
        int64_t end = first + 1;
        while (end < in->n_rows && !starts_peers(in, end)) {
            end++;
        }
        st = agg->merge(inner, &running, &from, 1, heap, e);
        for (int64_t i = first; i < end; i++) {
            by_state[i] = running;
        }
        if (st == SM_OK) {
            st = agg->finish(inner, (const void *const *)by_state + first, end - first, out,
                             &failed, e);
        }
        first = end;
    }
    sm_agg_heap_free(heap);
    sm_free(by_state);
    sm_free(states);
    return st;
}

const sm_function smi_fn_over = {
    .name = "over",
    .signature = "",
    .kind = SM_FN_WINDOW,
    .window = over_partition,
    .summary = "The aggregate over a window.",
};
