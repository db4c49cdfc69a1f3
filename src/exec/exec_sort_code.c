/* SPDX-License-Identifier: Apache-2.0
 *
 * exec/exec_sort_code.c: makes one 64-bit number of a row's sort keys, as far as they fit.
 *
 * Calls    by smi_sort_rows() in exec_sort.c.
 * Method   First each key is measured over all rows: its least and its greatest value; of texts the
 *          common beginning and the longest. This gives the few bits that tell its values apart.
 *          The keys' bits are put one after another, the first key's highest; then the row's place.
 *          The last key that has room may be cut. Numbers compare as the rows do. Rows with equal
 *          numbers are compared by the keys from the first that was cut or left out. Two keys of a
 *          thousand values, or texts with a long common beginning, leave nothing to compare.
 * NULL     One more bit, above the value's, for a key that has NULLs. */
#include "exec/exec_sort_code_int.h"

#include <string.h>

#define SIGN ((uint64_t)1 << 63)

/* ---- values ---------------------------------------------------------------------------------- */

static uint64_t order_double(double f)
{
    uint64_t bits;
    if (f != f) {
        return UINT64_MAX;
    }
    f = f == 0 ? 0 : f;
    memcpy(&bits, &f, 8);
    return bits & SIGN ? ~bits : bits | SIGN;
}

/* A number as bits whose unsigned order is that of its type; of a wide decimal the upper half. */
static uint64_t order_bits(const sm_column *c, int64_t i)
{
    const sm_value v = sm_column_value(c, i);
    switch (c->type->id) {
    case SM_TYPE_BOOL:
        return v.as.b;
    case SM_TYPE_U8:
    case SM_TYPE_U16:
    case SM_TYPE_U32:
    case SM_TYPE_U64:
        return v.as.u;
    case SM_TYPE_DECIMAL:
        return (uint64_t)(c->type->precision <= 18 ? v.as.d : v.as.d >> 64) ^ SIGN;
    case SM_TYPE_F32:
    case SM_TYPE_F64:
        return order_double(v.as.f);
    default:
        return (uint64_t)v.as.i ^ SIGN;
    }
}

/* Eight bytes of a text from `skip` on, with zeros behind its end. */
static uint64_t text_bits(sm_str s, size_t skip)
{
    uint8_t head[8] = {0};
    uint64_t v;
    if (s.len > skip) {
        memcpy(head, s.data + skip, s.len - skip < 8 ? s.len - skip : 8);
    }
    memcpy(&v, head, 8);
    return __builtin_bswap64(v);
}

static size_t common_bytes(sm_str a, sm_str b, size_t most)
{
    size_t n = a.len < b.len ? a.len : b.len;
    n = n < most ? n : most;
    for (size_t i = 0; i < n; i++) {
        if (a.data[i] != b.data[i]) {
            return i;
        }
    }
    return n;
}

static bool is_text(const sm_column *c)
{
    return sm_type_is_bytes(c->type->id);
}

/* ---- measuring ------------------------------------------------------------------------------- */

/* What was measured of a key, in one batch or in all. */
typedef struct extent {
    bool any, has_null;
    uint64_t least, most;   /* numbers */
    sm_str first;           /* texts: one of them, */
    size_t common, longest; /* bytes that all begin with, and of the longest */
    bool has_zero;          /* a text has a byte 0, which looks like padding */
} extent;

static void see_text(extent *x, sm_str s)
{
    if (!x->any) {
        x->first = s;
        x->common = s.len;
    }
    x->common = common_bytes(x->first, s, x->common);
    x->longest = s.len > x->longest ? s.len : x->longest;
    x->has_zero = x->has_zero || (s.len > 0 && memchr(s.data, 0, s.len));
    x->any = true;
}

static void see_number(extent *x, uint64_t v)
{
    x->least = !x->any || v < x->least ? v : x->least;
    x->most = !x->any || v > x->most ? v : x->most;
    x->any = true;
}

static void measure_column(const sm_column *c, extent *x)
{
    for (int64_t i = 0; i < c->n_rows; i++) {
        if (sm_column_is_null(c, i)) {
            x->has_null = true;
        } else if (is_text(c)) {
            see_text(x, sm_column_str(c, i));
        } else {
            see_number(x, order_bits(c, i));
        }
    }
}

static void add_extent(extent *all, const extent *x)
{
    all->has_null = all->has_null || x->has_null;
    if (!x->any) {
        return;
    }
    const extent before = *all;
    if (!before.any) {
        *all = *x;
        all->has_null = before.has_null || x->has_null;
        return;
    }
    all->least = x->least < all->least ? x->least : all->least;
    all->most = x->most > all->most ? x->most : all->most;
    all->common = x->common < all->common ? x->common : all->common;
    all->common = common_bytes(all->first, x->first, all->common);
    all->longest = x->longest > all->longest ? x->longest : all->longest;
    all->has_zero = all->has_zero || x->has_zero;
}

/* The column of code key k in a batch: a sort key, or behind them the place. */
static const sm_column *column_at(const smi_sort_spec *spec, const sm_batch *b, int32_t k)
{
    return &b->columns[k < spec->n_keys ? spec->first + k : spec->place];
}

typedef struct measuring {
    const smi_execution *exec;
    const smi_sort_spec *spec;
    int32_t n_keys;
    extent *extents; /* n_keys a batch */
} measuring;

static sm_status measure_batch(void *ctx, int64_t b, sm_error *e)
{
    const measuring *m = ctx;
    SM_TRY(smi_check_cancel(m->exec, e));
    for (int32_t k = 0; k < m->n_keys; k++) {
        measure_column(column_at(m->spec, m->spec->rows->items[b], k),
                       &m->extents[b * m->n_keys + k]);
    }
    return SM_OK;
}

/* ---- planning -------------------------------------------------------------------------------- */

static int bits_of(uint64_t v)
{
    return v == 0 ? 0 : 64 - __builtin_clzll(v);
}

/* Gives a key some of the bits that are left. Returns false where no key may follow it. */
static bool plan_key(smi_sort_code *key, const sm_type *t, const extent *x, int *left)
{
    const bool text = sm_type_is_bytes(t->id);
    const bool is_wide = t->id == SM_TYPE_DECIMAL && t->precision > 18;
    const size_t rest = text && x->any ? x->longest - x->common : 0;
    const int null_bits = x->has_null;
    int bits = text ? (rest < 8 ? (int)rest * 8 : 64) : bits_of(x->most - x->least);
    bool is_exact = text ? rest <= 8 && !x->has_zero : !is_wide;
    if (*left < null_bits) {
        return false;
    }
    if (bits + null_bits > *left) {
        is_exact = false;
        key->cut = bits + null_bits - *left;
        bits -= key->cut;
    }
    key->is_text = text;
    key->has_null = x->has_null;
    key->least = x->least;
    key->skip = x->common;
    key->bits = bits;
    *left -= bits + null_bits;
    key->shift = *left;
    return is_exact;
}

sm_status smi_sort_codes_plan(smi_execution *exec, const smi_sort_spec *spec, smi_sort_codes *out,
                              sm_error *e)
{
    const int64_t n_batches = spec->rows->n;
    measuring m = {.exec = exec, .spec = spec};
    int left = 64;
    *out = (smi_sort_codes){.n = 0};
    if (n_batches == 0) {
        return SM_OK;
    }
    while (m.n_keys < spec->n_keys + (spec->place >= 0) && m.n_keys < SMI_CODE_KEYS &&
           !sm_type_is_nested(column_at(spec, spec->rows->items[0], m.n_keys)->type->id)) {
        m.n_keys++;
    }
    m.extents = sm_alloc_zero((size_t)(n_batches * m.n_keys + 1) * sizeof(*m.extents));
    const sm_status st = sm_pool_for(exec->env->pool, n_batches, measure_batch, &m, e);
    bool goes_on = st == SM_OK;
    for (int32_t k = 0; k < m.n_keys && goes_on; k++) {
        extent all = {0};
        smi_sort_code *key = &out->keys[k];
        for (int64_t b = 0; b < n_batches; b++) {
            add_extent(&all, &m.extents[b * m.n_keys + k]);
        }
        key->is_desc = k < spec->n_keys && spec->keys[k].is_desc;
        key->nulls_first = k < spec->n_keys && spec->keys[k].nulls_first;
        goes_on = plan_key(key, column_at(spec, spec->rows->items[0], k)->type, &all, &left);
        out->n = k + 1;
        out->n_exact += goes_on;
    }
    sm_free(m.extents);
    return st;
}

/* ---- coding ---------------------------------------------------------------------------------- */

static uint64_t code_of(const smi_sort_code *key, const sm_column *c, int64_t i)
{
    const uint64_t above = key->bits < 64 ? (uint64_t)1 << key->bits : 0;
    if (sm_column_is_null(c, i)) {
        return key->nulls_first ? 0 : above;
    }
    uint64_t v = 0;
    if (key->is_text) {
        v = key->bits == 0 ? 0 : text_bits(sm_column_str(c, i), key->skip) >> (64 - key->bits);
    } else {
        v = key->bits == 0 ? 0 : (order_bits(c, i) - key->least) >> key->cut; /* it may be 64 */
    }
    v = key->is_desc ? ~v & (above - 1) : v;
    return key->has_null && key->nulls_first ? v | above : v;
}

void smi_sort_codes_of(const smi_sort_codes *codes, const smi_sort_spec *spec, int64_t b,
                       smi_sort_row *rows)
{
    const sm_batch *batch = spec->rows->items[b];
    for (int64_t i = 0; i < batch->n_rows; i++) {
        rows[i] = (smi_sort_row){.ref = {.batch = (uint32_t)b, .row = (uint32_t)i}};
    }
    for (int32_t k = 0; k < codes->n; k++) {
        const smi_sort_code *key = &codes->keys[k];
        const sm_column *c = column_at(spec, batch, k);
        if (key->bits + key->has_null == 0) {
            continue;
        }
        for (int64_t i = 0; i < batch->n_rows; i++) {
            rows[i].prefix |= code_of(key, c, i) << key->shift;
        }
    }
}
