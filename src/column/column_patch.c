/* SPDX-License-Identifier: Apache-2.0
 *
 * column/column_patch.c: replaces some rows of a column by those of another one (patch). The bytes
 * of strings are shared with both, so the caller's batch must keep their memory.
 *
 * Flat       The values are copied at once, and those of the replaced rows over them. The heaps of
 *            the two columns stand one behind the other.
 * Dictionary One of few entries gets the new values as further entries, so that it stays one.
 * Constant   stays one where all new values are the same as its own; else it becomes flat.
 * Else       Nested columns and bitmaps are concatenated and gathered. */
#include "column/column_int.h"

typedef struct patch {
    const sm_column *src, *with;
    const int32_t *rows;
    int64_t n;
    sm_batch *into;
} patch;

/* ---- nulls ----------------------------------------------------------------------------------- */

static sm_status patch_validity(const patch *p, sm_column *out, sm_error *e)
{
    void *mem = NULL;

    if (!p->src->validity && !p->with->validity) {
        return SM_OK;
    }
    SM_TRY(sm_batch_alloc_raw(p->into, sm_bits_bytes(out->n_rows), &mem, e));
    uint8_t *const bits = mem;
    if (p->src->validity) {
        smi_bits_copy(bits, 0, p->src->validity, 0, out->n_rows);
    } else {
        smi_bits_fill(bits, 0, out->n_rows, true);
    }
    for (int64_t i = 0; i < p->n; i++) {
        if (sm_column_is_null(p->with, i)) {
            sm_bit_clear(bits, p->rows[i]);
        } else {
            sm_bit_set(bits, p->rows[i]);
        }
    }
    out->validity = bits;
    return SM_OK;
}

/* ---- flat ------------------------------------------------------------------------------------ */

typedef struct word128 {
    uint64_t words[2];
} word128;

#define PUT(ctype)                                                                                 \
    do {                                                                                           \
        for (int64_t i = 0; i < n; i++) {                                                          \
            ((ctype *)dst)[rows[i]] = ((const ctype *)src)[i];                                     \
        }                                                                                          \
    } while (0)

static void put_rows(const void *src, int width, const int32_t *rows, int64_t n, void *dst)
{
    switch (width) {
    case 1:
        PUT(uint8_t);
        break;
    case 2:
        PUT(uint16_t);
        break;
    case 4:
        PUT(uint32_t);
        break;
    case 8:
        PUT(uint64_t);
        break;
    default:
        SM_ASSERT(width == sizeof(word128));
        PUT(word128);
        break;
    }
}
#undef PUT

/* Puts the new column's heap behind that of the old one, and returns its views as they are then. */
static sm_status join_heaps(const patch *p, sm_column *out, const void **views, sm_error *e)
{
    const int64_t n_heap = (int64_t)p->src->n_heap + p->with->n_heap;
    void *mem = NULL;

    *views = p->with->values;
    out->heap = p->src->heap;
    out->n_heap = p->src->n_heap;
    if (p->with->n_heap == 0) {
        return SM_OK;
    }
    if (n_heap > INT32_MAX) {
        return sm_fail(e, SM_LIMIT, "a batch would have over %d heap buffers", INT32_MAX);
    }
    SM_TRY(sm_batch_alloc_raw(p->into, (size_t)n_heap * sizeof(sm_heap_buf), &mem, e));
    sm_heap_buf *const heap = mem;
    if (p->src->n_heap > 0) {
        memcpy(heap, p->src->heap, (size_t)p->src->n_heap * sizeof(*heap));
    }
    memcpy(heap + p->src->n_heap, p->with->heap, (size_t)p->with->n_heap * sizeof(*heap));
    SM_TRY(sm_batch_alloc_raw(p->into, (size_t)p->n * sizeof(sm_view), &mem, e));
    sm_view *const moved = mem;
    for (int64_t i = 0; i < p->n; i++) {
        moved[i] = smi_views(p->with)[i];
        moved[i].ref.buffer += moved[i].inlined.len > SM_VIEW_INLINE ? p->src->n_heap : 0;
    }
    out->heap = heap;
    out->n_heap = (int32_t)n_heap;
    *views = moved;
    return SM_OK;
}

static sm_status patch_flat(const patch *p, sm_column *out, sm_error *e)
{
    const int width = sm_type_bytes(out->type->id);
    const void *values = p->with->values;
    void *mem = NULL;

    if (sm_type_is_bytes(out->type->id)) {
        SM_TRY(join_heaps(p, out, &values, e));
    }
    SM_TRY(sm_batch_alloc_raw(p->into, (size_t)out->n_rows * (size_t)width, &mem, e));
    memcpy(mem, p->src->values, (size_t)out->n_rows * (size_t)width);
    put_rows(values, width, p->rows, p->n, mem);
    out->values = mem;
    return patch_validity(p, out, e);
}

/* ---- other layouts --------------------------------------------------------------------------- */

static sm_status patch_dictionary(const patch *p, sm_column *out, sm_error *e)
{
    const sm_column *const entries[] = {&p->src->children[0], p->with};
    const int32_t n_entries = (int32_t)entries[0]->n_rows;
    void *mem = NULL;

    SM_TRY(sm_batch_alloc(p->into, sizeof(sm_column), &mem, e));
    sm_column *const joint = mem;
    SM_TRY(smi_column_concat(entries, 2, false, p->into, joint, e));
    joint->validity = NULL; /* NULLs are told by the codes' validity */
    SM_TRY(sm_batch_alloc_raw(p->into, (size_t)out->n_rows * sizeof(int32_t), &mem, e));
    int32_t *const codes = mem;
    memcpy(codes, p->src->values, (size_t)out->n_rows * sizeof(int32_t));
    for (int64_t i = 0; i < p->n; i++) {
        codes[p->rows[i]] = sm_column_is_null(p->with, i) ? 0 : n_entries + (int32_t)i;
    }
    out->layout = SM_DICT;
    out->values = codes;
    out->children = joint;
    out->n_children = 1;
    return patch_validity(p, out, e);
}

/* By a gather over all rows of the old column and the new one. */
static sm_status patch_nested(const patch *p, sm_column *out, sm_error *e)
{
    const sm_column *const both[] = {p->src, p->with};
    sm_column joint = {0};
    void *mem = NULL;

    SM_TRY(smi_column_concat(both, 2, false, p->into, &joint, e));
    SM_TRY(sm_batch_alloc_raw(p->into, (size_t)out->n_rows * sizeof(int32_t), &mem, e));
    int32_t *const rows = mem;
    for (int64_t i = 0; i < out->n_rows; i++) {
        rows[i] = (int32_t)i;
    }
    for (int64_t i = 0; i < p->n; i++) {
        rows[p->rows[i]] = (int32_t)(out->n_rows + i);
    }
    return sm_column_gather(&joint, rows, out->n_rows, p->into, out, e);
}

static bool is_all(const sm_column *constant, const sm_column *with)
{
    bool is = true;
    for (int64_t i = 0; i < with->n_rows && is; i++) {
        is = sm_column_eq(constant, 0, with, i);
    }
    return is;
}

/* ---- any ------------------------------------------------------------------------------------- */

sm_status sm_column_patch(const sm_column *src, const int32_t *rows, const sm_column *with,
                          sm_batch *into, sm_column *out, sm_error *e)
{
    const sm_type_id id = src->type->id;
    sm_column flat = *src, values = *with;
    const patch p = {&flat, &values, rows, with->n_rows, into};

    SM_ASSERT(sm_type_eq(src->type, with->type) && with->n_rows <= src->n_rows);
    SM_ASSERT(src->n_rows <= INT32_MAX / 2);
    if (with->n_rows == 0 || id == SM_TYPE_NULL || (src->layout == SM_CONST && is_all(src, with))) {
        *out = *src;
        return SM_OK;
    }
    sm_column made = {.type = src->type, .layout = SM_FLAT, .n_rows = src->n_rows};
    sm_status st = SM_OK;
    if (id == SM_TYPE_BOOL || sm_type_is_nested(id)) {
        st = patch_nested(&p, &made, e);
    } else {
        SM_TRY(sm_column_flatten(with, into, &values, e));
        if (src->layout == SM_DICT && src->children[0].n_rows <= src->n_rows) {
            st = patch_dictionary(&p, &made, e);
        } else {
            SM_TRY(sm_column_flatten(src, into, &flat, e));
            st = patch_flat(&p, &made, e);
        }
    }
    *out = made; /* which may be src */
    return st;
}
