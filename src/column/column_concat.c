/* SPDX-License-Identifier: Apache-2.0
 *
 * column/column_concat.c: concatenates columns into one flat column. With one source it flattens
 * that column.
 *
 * Fixed width  The rows of each source are written one source after the other. Flat values are
 *              copied, a constant is repeated, dictionary codes are replaced by their values.
 * Strings      Their views are written in the same way. The lists of heap buffers are merged into
 *              one without duplicates (by a hash table of addresses), and the buffer numbers in the
 *              views are changed to fit it. So string bytes are shared with the sources. With
 *              `compact`, they are copied into new buffers instead, so that the sources' memory can
 *              be freed. Each entry of a dictionary is copied once, as is a constant, however many
 *              rows have it.
 * Nested       Sources that are not flat are flattened by a gather. Then offsets are shifted by the
 *              number of elements before them, and the children are concatenated, too. */
#include "column/column_int.h"

#define NULL_ROW         (-1)
#define MAX_BUFFER_BYTES ((int64_t)1 << 30)

typedef struct concat {
    const sm_column *const *srcs;
    int64_t n;
    int64_t n_rows;
    bool compact;
    sm_batch *into;
} concat;

/* ---- validity -------------------------------------------------------------------------------- */

static sm_status concat_validity(const concat *k, sm_column *out, sm_error *e)
{
    bool has_any = false;
    void *bits = NULL;
    for (int64_t s = 0; s < k->n; s++) {
        has_any = has_any || k->srcs[s]->validity;
    }
    if (!has_any) {
        return SM_OK;
    }
    SM_TRY(sm_batch_alloc(k->into, sm_bits_bytes(k->n_rows), &bits, e));
    int64_t at = 0;
    for (int64_t s = 0; s < k->n; s++) {
        const sm_column *src = k->srcs[s];
        if (!src->validity || src->layout == SM_CONST) {
            smi_bits_fill(bits, at, src->n_rows, !sm_column_is_null(src, 0));
        } else {
            smi_bits_copy(bits, at, src->validity, 0, src->n_rows);
        }
        at += src->n_rows;
    }
    out->validity = bits;
    return SM_OK;
}

/* ---- fixed width ----------------------------------------------------------------------------- */

typedef struct word128 {
    uint64_t words[2];
} word128;

/* Repeats a constant or, if there are codes, writes the value of each code. Null rows of a
 * dictionary column become zero. */
#define SPREAD(ctype)                                                                              \
    do {                                                                                           \
        const ctype *const from = values;                                                          \
        ctype *const to = dst;                                                                     \
        for (int64_t i = 0; i < n; i++) {                                                          \
            const bool is_null = codes && validity && !sm_bit_get(validity, i);                    \
            to[i] = is_null ? (ctype){0} : from[codes ? codes[i] : 0];                             \
        }                                                                                          \
    } while (0)

static void spread_codes(const void *values, const int32_t *codes, const uint8_t *validity,
                         int64_t n, int width, void *dst)
{
    switch (width) {
    case 1:
        SPREAD(uint8_t);
        break;
    case 2:
        SPREAD(uint16_t);
        break;
    case 4:
        SPREAD(uint32_t);
        break;
    case 8:
        SPREAD(uint64_t);
        break;
    default:
        SPREAD(word128);
        break;
    }
}
#undef SPREAD

/* Writes all rows of a source. `values`: its own, or those of its dictionary. */
static void put_source_rows(const sm_column *src, const void *values, int width, void *dst)
{
    if (src->n_rows == 0) {
        return;
    }
    if (src->layout == SM_FLAT) {
        memcpy(dst, values, (size_t)src->n_rows * (size_t)width);
    } else {
        spread_codes(values, src->layout == SM_DICT ? smi_i32(src) : NULL, src->validity,
                     src->n_rows, width, dst);
    }
}

static const void *stored_values(const sm_column *src)
{
    return src->layout == SM_DICT ? src->children[0].values : src->values;
}

static sm_status concat_fixed(const concat *k, sm_column *out, sm_error *e)
{
    const int width = sm_type_bytes(out->type->id);
    void *values = NULL;
    SM_TRY(sm_batch_alloc_raw(k->into, (size_t)k->n_rows * (size_t)width, &values, e));
    uint8_t *at = values;
    for (int64_t s = 0; s < k->n; s++) {
        put_source_rows(k->srcs[s], stored_values(k->srcs[s]), width, at);
        at += k->srcs[s]->n_rows * width;
    }
    out->values = values;
    return SM_OK;
}

static sm_status concat_bools(const concat *k, sm_column *out, sm_error *e)
{
    void *bits = NULL;
    SM_TRY(sm_batch_alloc(k->into, sm_bits_bytes(k->n_rows), &bits, e));
    int64_t at = 0;
    for (int64_t s = 0; s < k->n; s++) {
        const sm_column *src = k->srcs[s];
        if (src->layout == SM_FLAT) {
            smi_bits_copy(bits, at, src->values, 0, src->n_rows);
        } else {
            for (int64_t i = 0; i < src->n_rows; i++) {
                if (!sm_column_is_null(src, i) && sm_column_value(src, i).as.b) {
                    sm_bit_set(bits, at + i);
                }
            }
        }
        at += src->n_rows;
    }
    out->values = bits;
    return SM_OK;
}

/* ---- strings, shared ------------------------------------------------------------------------- */

/* The merged list of heap buffers, and a hash table (open addressing) that finds a buffer in it. */
typedef struct heap_set {
    sm_heap_buf *buffers;
    int32_t *slots; /* number + 1; 0: free */
    int32_t n;
    uint64_t mask;
} heap_set;

static const sm_column *stored(const sm_column *src)
{
    return src->layout == SM_DICT ? &src->children[0] : src;
}

static sm_status heap_set_make(const concat *k, heap_set *set, sm_error *e)
{
    int64_t n = 0;
    void *mem = NULL;
    for (int64_t s = 0; s < k->n; s++) {
        n += stored(k->srcs[s])->n_heap;
    }
    if (n > INT32_MAX / 4) {
        return sm_fail(e, SM_LIMIT, "a batch would have over %d heap buffers", INT32_MAX / 4);
    }
    uint64_t cap = 4;
    while (cap < (uint64_t)n * 2) {
        cap *= 2;
    }
    set->mask = cap - 1;
    SM_TRY(sm_batch_alloc_raw(k->into, (size_t)n * sizeof(sm_heap_buf), &mem, e));
    set->buffers = mem;
    SM_TRY(sm_batch_alloc(k->into, (size_t)cap * sizeof(int32_t), &mem, e));
    set->slots = mem;
    return SM_OK;
}

static int32_t heap_set_add(heap_set *set, const sm_heap_buf *buf)
{
    uint64_t at = ((uint64_t)(uintptr_t)buf->data * UINT64_C(0x9e3779b97f4a7c15)) >> 32;
    SM_ASSERT(set->slots);
    for (;; at++) {
        int32_t *slot = &set->slots[at & set->mask];
        if (*slot == 0) {
            set->buffers[set->n] = *buf;
            *slot = ++set->n;
            return set->n - 1;
        }
        const sm_heap_buf *there = &set->buffers[*slot - 1];
        if (there->data == buf->data && there->size_bytes == buf->size_bytes) {
            return *slot - 1;
        }
    }
}

static void renumber(sm_view *views, int64_t n, const int32_t *numbers)
{
    for (int64_t i = 0; i < n; i++) {
        if (views[i].inlined.len > SM_VIEW_INLINE) {
            views[i].ref.buffer = numbers[views[i].ref.buffer];
        }
    }
}

static sm_status concat_views_shared(const concat *k, sm_column *out, sm_error *e)
{
    heap_set set = {0};
    void *views_mem = NULL, *numbers_mem = NULL;
    int64_t most = 0;

    SM_TRY(heap_set_make(k, &set, e));
    for (int64_t s = 0; s < k->n; s++) {
        const int32_t n_heap = stored(k->srcs[s])->n_heap;
        most = n_heap > most ? n_heap : most;
    }
    SM_TRY(sm_batch_alloc_raw(k->into, (size_t)most * sizeof(int32_t), &numbers_mem, e));
    int32_t *const numbers = numbers_mem;
    SM_TRY(sm_batch_alloc_raw(k->into, (size_t)k->n_rows * sizeof(sm_view), &views_mem, e));
    sm_view *at = views_mem;
    for (int64_t s = 0; s < k->n; s++) {
        const sm_column *src = k->srcs[s], *from = stored(src);
        bool is_same = true;
        for (int32_t i = 0; i < from->n_heap; i++) {
            numbers[i] = heap_set_add(&set, &from->heap[i]);
            is_same = is_same && numbers[i] == i;
        }
        put_source_rows(src, from->values, (int)sizeof(sm_view), at);
        if (!is_same) {
            renumber(at, src->n_rows, numbers);
        }
        at += src->n_rows;
    }
    out->values = views_mem;
    out->heap = set.buffers;
    out->n_heap = set.n;
    return SM_OK;
}

/* ---- strings, compact ------------------------------------------------------------------------ */

/* New buffers, filled one after the other. left_bytes: how many bytes are still to come, at most. A
 * new buffer is no larger than that. */
typedef struct heap_out {
    sm_heap_buf *buffers;
    int64_t n, cap;
    int64_t left_bytes;
    uint8_t *data;
    int64_t used_bytes, size_bytes;
} heap_out;

static sm_status heap_out_open(const concat *k, heap_out *h, int64_t len, sm_error *e)
{
    void *mem = NULL;
    if (h->n == h->cap) {
        const int64_t cap = h->cap ? 2 * h->cap : 4;
        SM_TRY(sm_batch_alloc(k->into, (size_t)cap * sizeof(sm_heap_buf), &mem, e));
        if (h->n > 0) {
            memcpy(mem, h->buffers, (size_t)h->n * sizeof(sm_heap_buf));
        }
        h->buffers = mem;
        h->cap = cap;
    }
    h->size_bytes = h->left_bytes < MAX_BUFFER_BYTES ? h->left_bytes : MAX_BUFFER_BYTES;
    h->size_bytes = h->size_bytes < len ? len : h->size_bytes;
    SM_TRY(sm_batch_alloc_raw(k->into, (size_t)h->size_bytes, &mem, e));
    h->data = mem;
    h->used_bytes = 0;
    h->buffers[h->n++] = (sm_heap_buf){.data = mem};
    return SM_OK;
}

static sm_status copy_bytes(const concat *k, heap_out *h, sm_view *views, int64_t n,
                            const sm_heap_buf *from, sm_error *e)
{
    for (int64_t i = 0; i < n; i++) {
        const int32_t len = views[i].inlined.len;
        if (len <= SM_VIEW_INLINE) {
            continue;
        }
        if (h->n == 0 || h->size_bytes - h->used_bytes < len) {
            SM_TRY(heap_out_open(k, h, len, e));
        }
        memcpy(h->data + h->used_bytes, sm_view_str(&views[i], from).data, (size_t)len);
        views[i].ref.buffer = (int32_t)(h->n - 1);
        views[i].ref.off_bytes = (int32_t)h->used_bytes;
        h->used_bytes += len;
        h->left_bytes -= len;
        h->buffers[h->n - 1].size_bytes = h->used_bytes;
    }
    return SM_OK;
}

/* Are the bytes of each entry copied once, rather than those of each row? That is right for a
 * constant, and for a dictionary that has no more entries than the column has rows. */
static bool copies_entries(const sm_column *src)
{
    return src->layout == SM_CONST ||
           (src->layout == SM_DICT && src->children[0].n_rows <= src->n_rows);
}

static int64_t long_bytes(const sm_column *src)
{
    const sm_column *from = stored(src);
    const bool by_entry = src->layout == SM_FLAT || copies_entries(src);
    const int64_t n = by_entry ? smi_physical_rows(from) : src->n_rows;
    int64_t bytes = 0;
    for (int64_t i = 0; i < n; i++) {
        if (!by_entry && sm_column_is_null(src, i)) {
            continue;
        }
        const int32_t len = smi_views(from)[by_entry ? i : smi_i32(src)[i]].inlined.len;
        bytes += len > SM_VIEW_INLINE ? len : 0;
    }
    return bytes;
}

static sm_status concat_views_compact(const concat *k, sm_column *out, sm_error *e)
{
    heap_out heap = {0};
    void *views_mem = NULL, *entries_mem = NULL;

    for (int64_t s = 0; s < k->n; s++) {
        heap.left_bytes += k->srcs[s]->n_rows > 0 ? long_bytes(k->srcs[s]) : 0;
    }
    SM_TRY(sm_batch_alloc_raw(k->into, (size_t)k->n_rows * sizeof(sm_view), &views_mem, e));
    sm_view *at = views_mem;
    for (int64_t s = 0; s < k->n; s++) {
        const sm_column *src = k->srcs[s], *from = stored(src);
        if (src->n_rows > 0 && copies_entries(src)) {
            const int64_t n = smi_physical_rows(from);
            SM_TRY(sm_batch_alloc_raw(k->into, (size_t)n * sizeof(sm_view), &entries_mem, e));
            if (n > 0) {
                memcpy(entries_mem, from->values, (size_t)n * sizeof(sm_view));
            }
            SM_TRY(copy_bytes(k, &heap, entries_mem, n, from->heap, e));
            put_source_rows(src, entries_mem, (int)sizeof(sm_view), at);
        } else {
            put_source_rows(src, from->values, (int)sizeof(sm_view), at);
            SM_TRY(copy_bytes(k, &heap, at, src->n_rows, from->heap, e));
        }
        at += src->n_rows;
    }
    out->values = views_mem;
    out->heap = heap.buffers;
    out->n_heap = (int32_t)heap.n;
    return SM_OK;
}

/* ---- nested ---------------------------------------------------------------------------------- */

/* Makes a flat column of a nested one that is constant or has a dictionary. */
static sm_status flatten_nested(const sm_column *src, sm_batch *into, sm_column *out, sm_error *e)
{
    void *rows_mem = NULL;
    SM_TRY(sm_batch_alloc_raw(into, (size_t)src->n_rows * sizeof(int32_t), &rows_mem, e));
    int32_t *const rows = rows_mem;
    for (int64_t i = 0; i < src->n_rows; i++) {
        const bool is_null = sm_column_is_null(src, i);
        rows[i] = is_null ? NULL_ROW : src->layout == SM_DICT ? smi_i32(src)[i] : 0;
    }
    sm_column entries = *stored(src);
    if (src->layout == SM_CONST) {
        entries.layout = SM_FLAT;
        entries.n_rows = 1;
    }
    return sm_column_gather(&entries, rows, src->n_rows, into, out, e);
}

static sm_status concat_offsets(const concat *k, sm_column *parts, sm_column *out, sm_error *e)
{
    void *offsets_mem = NULL;
    SM_TRY(sm_batch_alloc(k->into, (size_t)(k->n_rows + 1) * sizeof(int32_t), &offsets_mem, e));
    int32_t *const offsets = offsets_mem;
    int64_t at = 0, total = 0;
    for (int64_t s = 0; s < k->n; s++) {
        const sm_column *src = k->srcs[s];
        const int32_t *from = smi_i32(src);
        const int64_t first = src->n_rows > 0 ? from[0] : 0;
        const int64_t count = src->n_rows > 0 ? from[src->n_rows] - first : 0;
        if (total + count > INT32_MAX) {
            return sm_fail(e, SM_LIMIT, "a batch would have over %d elements in its lists",
                           INT32_MAX);
        }
        for (int64_t i = 1; i <= src->n_rows; i++) {
            offsets[at + i] = (int32_t)(total + from[i] - first);
        }
        for (int32_t c = 0; c < src->n_children; c++) {
            SM_TRY(smi_column_slice(&src->children[c], first, count, k->into,
                                    &parts[s * src->n_children + c], e));
        }
        at += src->n_rows;
        total += count;
    }
    out->values = offsets;
    return SM_OK;
}

static sm_status concat_nested(const concat *k, sm_column *out, sm_error *e)
{
    const int32_t n_children = out->type->n_fields;
    void *mem = NULL;

    SM_TRY(sm_batch_alloc(k->into, (size_t)n_children * sizeof(sm_column), &mem, e));
    sm_column *const children = mem;
    SM_TRY(sm_batch_alloc_raw(k->into, (size_t)(k->n * n_children) * sizeof(sm_column), &mem, e));
    sm_column *const parts = mem;
    SM_TRY(sm_batch_alloc_raw(k->into, (size_t)k->n * sizeof(sm_column *), &mem, e));
    const sm_column **const srcs = mem;

    if (out->type->id != SM_TYPE_STRUCT) {
        SM_TRY(concat_offsets(k, parts, out, e));
    } else {
        for (int64_t s = 0; s < k->n; s++) {
            for (int32_t c = 0; c < n_children; c++) {
                parts[s * n_children + c] = k->srcs[s]->children[c];
            }
        }
    }
    for (int32_t c = 0; c < n_children; c++) {
        for (int64_t s = 0; s < k->n; s++) {
            srcs[s] = &parts[s * n_children + c];
        }
        SM_TRY(smi_column_concat(srcs, k->n, k->compact, k->into, &children[c], e));
    }
    out->children = children;
    out->n_children = n_children;
    return SM_OK;
}

static sm_status concat_flattened(const concat *k, sm_column *out, sm_error *e)
{
    void *mem = NULL;
    concat flat = *k;
    SM_TRY(sm_batch_alloc_raw(k->into, (size_t)k->n * sizeof(sm_column), &mem, e));
    sm_column *const made = mem;
    SM_TRY(sm_batch_alloc_raw(k->into, (size_t)k->n * sizeof(sm_column *), &mem, e));
    const sm_column **const srcs = mem;
    for (int64_t s = 0; s < k->n; s++) {
        srcs[s] = k->srcs[s];
        if (srcs[s]->layout != SM_FLAT) {
            SM_TRY(flatten_nested(srcs[s], k->into, &made[s], e));
            srcs[s] = &made[s];
        }
    }
    flat.srcs = srcs;
    SM_TRY(concat_validity(&flat, out, e));
    return concat_nested(&flat, out, e);
}

/* ---- all types ------------------------------------------------------------------------------- */

sm_status smi_column_concat(const sm_column *const *srcs, int64_t n, bool compact, sm_batch *into,
                            sm_column *out, sm_error *e)
{
    concat k = {.srcs = srcs, .n = n, .compact = compact, .into = into};
    for (int64_t s = 0; s < n; s++) {
        k.n_rows += srcs[s]->n_rows;
    }
    sm_column made = {.type = srcs[0]->type, .layout = SM_FLAT, .n_rows = k.n_rows};
    const sm_type_id id = made.type->id;
    if (sm_type_is_nested(id)) {
        SM_TRY(concat_flattened(&k, &made, e));
    } else if (id != SM_TYPE_NULL) {
        SM_TRY(concat_validity(&k, &made, e));
        if (id == SM_TYPE_BOOL) {
            SM_TRY(concat_bools(&k, &made, e));
        } else if (!sm_type_is_bytes(id)) {
            SM_TRY(concat_fixed(&k, &made, e));
        } else if (compact) {
            SM_TRY(concat_views_compact(&k, &made, e));
        } else {
            SM_TRY(concat_views_shared(&k, &made, e));
        }
    }
    *out = made;
    return SM_OK;
}

sm_status sm_column_flatten(const sm_column *src, sm_batch *into, sm_column *out, sm_error *e)
{
    if (src->layout == SM_FLAT) {
        *out = *src;
        return SM_OK;
    }
    return smi_column_concat(&src, 1, false, into, out, e);
}
