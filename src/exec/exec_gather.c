/* SPDX-License-Identifier: Apache-2.0
 *
 * exec/exec_gather.c: gathers rows by reference: copies rows of many batches into one.
 *
 * Calls    by the aggregate (to scatter rows into partitions), sort, window and join.
 * Method   Each fixed width, and bits, have a copying loop of their own. Strings become views, and
 *          the bytes of long ones are copied into new heap buffers, so that nothing of the sources
 *          is held. Nested types go through a builder. Constants and dictionaries are resolved.
 * Why      sm_column_gather() takes rows of one batch. To concatenate all batches first would copy
 *          each row twice. */
#include "exec/exec_int.h"

#include <string.h>

/* ---- where a row's value stands -------------------------------------------------------------- */

/* Resolves a constant or dictionary column: returns the flat column, and sets *row to the row in
 * it. */
static inline const sm_column *look_through(const sm_column *c, int64_t *row)
{
    if (c->layout == SM_CONST) {
        *row = 0;
        return c;
    }
    if (c->layout == SM_DICT) {
        if (c->validity && !sm_bit_get(c->validity, *row)) {
            return NULL;
        }
        *row = ((const int32_t *)c->values)[*row];
        return &c->children[0];
    }
    return c;
}

/* NULL where the referenced row is null. */
static inline const sm_column *value_of(const sm_column *const *src, smi_ref ref, int64_t *row)
{
    if (ref.batch == SMI_NO_ROW) {
        return NULL;
    }
    *row = ref.row;
    const sm_column *c = look_through(src[ref.batch], row);
    return c && (!c->validity || sm_bit_get(c->validity, *row)) ? c : NULL;
}

static bool is_plain(const sm_column *const *src, int64_t n_src)
{
    for (int64_t i = 0; i < n_src; i++) {
        if (src[i]->layout != SM_FLAT || src[i]->validity) {
            return false;
        }
    }
    return true;
}

/* ---- fixed width ----------------------------------------------------------------------------- */

/* All sources flat and without nulls: the common case, without a branch but for absent rows. */
#define GATHER_PLAIN(type_t)                                                                       \
    do {                                                                                           \
        type_t *to = values;                                                                       \
        for (int64_t i = 0; i < n; i++) {                                                          \
            to[i] = refs[i].batch == SMI_NO_ROW                                                    \
                        ? 0                                                                        \
                        : ((const type_t *)src[refs[i].batch]->values)[refs[i].row];               \
        }                                                                                          \
    } while (0)

static void gather_plain(const sm_column *const *src, const smi_ref *refs, int64_t n, int width,
                         void *values)
{
    switch (width) {
    case 1:
        GATHER_PLAIN(uint8_t);
        break;
    case 2:
        GATHER_PLAIN(uint16_t);
        break;
    case 4:
        GATHER_PLAIN(uint32_t);
        break;
    case 8:
        GATHER_PLAIN(uint64_t);
        break;
    default:
        GATHER_PLAIN(sm_i128);
        break;
    }
}
#undef GATHER_PLAIN

static void gather_fixed(const sm_column *const *src, const smi_ref *refs, int64_t n, int width,
                         uint8_t *values)
{
    for (int64_t i = 0; i < n; i++) {
        int64_t row = 0;
        const sm_column *c = value_of(src, refs[i], &row);
        if (c) {
            memcpy(values + i * width, (const uint8_t *)c->values + row * width, (size_t)width);
        }
    }
}

static void gather_bits(const sm_column *const *src, const smi_ref *refs, int64_t n, uint8_t *bits)
{
    for (int64_t i = 0; i < n; i++) {
        int64_t row = 0;
        const sm_column *c = value_of(src, refs[i], &row);
        if (c && sm_bit_get(c->values, row)) {
            sm_bit_set(bits, i);
        }
    }
}

/* ---- strings --------------------------------------------------------------------------------- */

static inline const sm_view *view_of(const sm_column *const *src, smi_ref ref, const sm_column **c)
{
    int64_t row = 0;
    *c = value_of(src, ref, &row);
    return *c ? (const sm_view *)(*c)->values + row : NULL;
}

/* Long strings are copied into heap buffers of at most 1 GiB: view offsets have 31 bits. */
#define HEAP_MAX ((int64_t)1 << 30)

static sm_status gather_views(const sm_column *const *src, const smi_ref *refs, int64_t n,
                              sm_view *views, sm_batch *into, sm_column *out, sm_error *e)
{
    int64_t total = 0;
    const sm_column *c = NULL;
    for (int64_t i = 0; i < n; i++) {
        const sm_view *v = view_of(src, refs[i], &c);
        SM_TRY(sm_batch_check_cancel_at(into, i, e));
        if (v) {
            views[i] = *v;
            total += v->inlined.len > SM_VIEW_INLINE ? v->inlined.len : 0;
        }
    }
    if (total == 0) {
        return SM_OK;
    }
    const int64_t max_heaps = total / (HEAP_MAX / 2) + 1;
    sm_heap_buf *heaps = NULL;
    SM_TRY(sm_batch_alloc(into, (size_t)max_heaps * sizeof(*heaps), (void **)&heaps, e));
    int32_t n_heaps = 0;
    int64_t used = 0, cap = 0;
    uint8_t *bytes = NULL;
    for (int64_t i = 0; i < n; i++) {
        const int32_t len = views[i].inlined.len;
        SM_TRY(sm_batch_check_cancel_at(into, i, e));
        if (len <= SM_VIEW_INLINE) {
            continue;
        }
        const sm_view *v = view_of(src, refs[i], &c);
        if (used + len > cap) { /* total bounds what is still to come */
            cap = total < HEAP_MAX ? total : len > HEAP_MAX ? len : HEAP_MAX;
            used = 0;
            SM_TRY(sm_batch_alloc(into, (size_t)cap, (void **)&bytes, e));
            heaps[n_heaps++] = (sm_heap_buf){.data = bytes, .size_bytes = cap};
        }
        memcpy(bytes + used, c->heap[v->ref.buffer].data + v->ref.off_bytes, (size_t)len);
        views[i].ref.buffer = n_heaps - 1;
        views[i].ref.off_bytes = (int32_t)used;
        used += len;
        total -= len;
    }
    out->heap = heaps;
    out->n_heap = n_heaps;
    return SM_OK;
}

/* ---- any type -------------------------------------------------------------------------------- */

static sm_status gather_nested(const sm_column *const *src, const smi_ref *refs, int64_t n,
                               const sm_type *type, sm_budget *budget, sm_batch *into,
                               sm_column *out, sm_error *e)
{
    sm_builder *b = sm_builder_new(type, budget);
    for (int64_t i = 0; i < n; i++) {
        if (refs[i].batch == SMI_NO_ROW) {
            sm_builder_null(b);
        } else {
            sm_builder_cell(b, src[refs[i].batch], refs[i].row);
        }
    }
    const sm_status st = sm_builder_finish(b, into, out, e);
    sm_builder_free(b);
    return st;
}

static sm_status gather_validity(const sm_column *const *src, const smi_ref *refs, int64_t n,
                                 sm_batch *into, sm_column *out, sm_error *e)
{
    uint8_t *bits = NULL;
    int64_t n_valid = 0;
    SM_TRY(sm_batch_alloc(into, sm_bits_bytes(n), (void **)&bits, e));
    for (int64_t i = 0; i < n; i++) {
        int64_t row = 0;
        if (value_of(src, refs[i], &row)) {
            sm_bit_set(bits, i);
            n_valid++;
        }
    }
    out->validity = n_valid < n ? bits : NULL;
    return SM_OK;
}

static bool has_absent(const smi_ref *refs, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        if (refs[i].batch == SMI_NO_ROW) {
            return true;
        }
    }
    return false;
}

sm_status smi_gather(const sm_type *type, const sm_column *const *src, int64_t n_src,
                     const smi_ref *refs, int64_t n, sm_budget *budget, sm_batch *into,
                     sm_column *out, sm_error *e)
{
    for (int64_t i = 0; i < n_src; i++) {
        SM_ASSERT(sm_type_eq(src[i]->type, type));
    }
    for (int64_t i = 0; i < n; i++) {
        SM_ASSERT(refs[i].batch == SMI_NO_ROW || (int64_t)refs[i].batch < n_src);
        SM_ASSERT(refs[i].batch == SMI_NO_ROW || refs[i].row < src[refs[i].batch]->n_rows);
    }
    void *values = NULL;
    sm_column c = {.type = type, .layout = SM_FLAT, .n_rows = n};
    const int width = sm_type_bytes(type->id);
    if (type->id == SM_TYPE_NULL) {
        *out = c;
        return SM_OK;
    }
    if (sm_type_is_nested(type->id)) {
        return gather_nested(src, refs, n, type, budget, into, out, e);
    }
    const size_t bytes = type->id == SM_TYPE_BOOL ? sm_bits_bytes(n) : (size_t)n * (size_t)width;
    SM_TRY(sm_batch_alloc(into, bytes, &values, e));
    const bool plain = is_plain(src, n_src);
    if (!plain || has_absent(refs, n)) {
        SM_TRY(gather_validity(src, refs, n, into, &c, e));
    }
    c.values = values;
    if (sm_type_is_bytes(type->id)) {
        SM_TRY(gather_views(src, refs, n, values, into, &c, e));
    }
    for (int64_t at = 0; at < n && !sm_type_is_bytes(type->id); at += SM_LOOK_ROWS) {
        const int64_t some = n - at < SM_LOOK_ROWS ? n - at : SM_LOOK_ROWS;
        SM_TRY(sm_check_cancel(budget, e));
        if (type->id == SM_TYPE_BOOL) {
            gather_bits(src, refs + at, some, (uint8_t *)values + at / 8);
        } else if (plain) {
            gather_plain(src, refs + at, some, width, (uint8_t *)values + at * width);
        } else {
            gather_fixed(src, refs + at, some, width, (uint8_t *)values + at * width);
        }
    }
    *out = c;
    return SM_OK;
}

static sm_status gather_columns(const smi_batches *rows, int32_t first, const smi_ref *refs,
                                int64_t n, const sm_type *schema, sm_budget *budget, sm_batch **out,
                                sm_error *e)
{
    const sm_column **src = sm_alloc((size_t)(rows->n + 1) * sizeof(*src));
    sm_batch *b = NULL;
    sm_status st = sm_batch_new(budget, schema, &b, e);
    for (int32_t c = 0; st == SM_OK && c < schema->n_fields; c++) {
        SM_TRY_GOTO(st, done, sm_check_cancel(budget, e));
        for (int64_t i = 0; i < rows->n; i++) {
            SM_ASSERT(first + c < rows->items[i]->n_columns);
            src[i] = &rows->items[i]->columns[first + c];
        }
        st =
            smi_gather(schema->fields[c].type, src, rows->n, refs, n, budget, b, &b->columns[c], e);
    }
done:
    sm_free(src);
    if (st != SM_OK) {
        sm_batch_release(b);
        return st;
    }
    b->n_rows = n;
    *out = b;
    return SM_OK;
}

/* ---- few rows of very many batches ----------------------------------------------------------- */

/* The batches that some refs name, each once, and the refs to this list. */
typedef struct named {
    smi_batches list; /* borrows the batches */
    smi_ref *refs;
} named;

static void name_batches(const smi_batches *rows, const smi_ref *refs, int64_t n, named *out)
{
    int log = 6;
    while ((int64_t)1 << log < 2 * n) {
        log++;
    }
    const uint32_t mask = ((uint32_t)1 << log) - 1;
    uint32_t *slots = sm_alloc_zero(((size_t)mask + 1) * sizeof(*slots)); /* from 1; 0: free */
    out->list = (smi_batches){.items = sm_alloc((size_t)(n + 1) * sizeof(sm_batch *)), .cap = n};
    out->refs = sm_alloc((size_t)(n + 1) * sizeof(*out->refs));
    for (int64_t i = 0; i < n; i++) {
        out->refs[i] = refs[i];
        if (refs[i].batch == SMI_NO_ROW) {
            continue;
        }
        sm_batch *b = rows->items[refs[i].batch];
        uint32_t at = refs[i].batch * UINT32_C(0x9E3779B1) >> (32 - log); /* Fibonacci hashing */
        while (slots[at] != 0 && out->list.items[slots[at] - 1] != b) {
            at = (at + 1) & mask;
        }
        if (slots[at] == 0) {
            out->list.items[out->list.n++] = b;
            slots[at] = (uint32_t)out->list.n;
        }
        out->refs[i].batch = slots[at] - 1;
    }
    sm_free(slots);
}

sm_status smi_gather_rows(const smi_batches *rows, int32_t first, const smi_ref *refs, int64_t n,
                          const sm_type *schema, sm_budget *budget, sm_batch **out, sm_error *e)
{
    named some;

    if (rows->n <= n || rows->n <= SM_BATCH_ROWS) {
        return gather_columns(rows, first, refs, n, schema, budget, out, e);
    }
    /* For every column each batch is looked at: else a sort would take as many looks as the square
     * of its batches. */
    SM_ASSERT(n < (int64_t)1 << 30);
    name_batches(rows, refs, n, &some);
    const sm_status st = gather_columns(&some.list, first, some.refs, n, schema, budget, out, e);
    sm_free(some.list.items);
    sm_free(some.refs);
    return st;
}
