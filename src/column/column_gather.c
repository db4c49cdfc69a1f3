/* SPDX-License-Identifier: Apache-2.0
 *
 * column/column_gather.c: makes a column from rows of another one (gather: any rows, in any order;
 * slice: a range; part: a range without a copy), and a column that has one value in all rows
 * (constant). String bytes and dictionaries are shared with the source, so the caller's batch must
 * keep that memory.
 *
 * Gather   A row number of −1 gives NULL. Whether there is one is determined once, before the loop:
 *          the loop without NULL has no branch. Values and validity are gathered in separate loops;
 *          there is one for each width of values, not for each type. */
#include "column/builder.h"
#include "column/column_int.h"

#define NULL_ROW (-1)

static bool has_null_row(const int32_t *rows, int64_t n)
{
    int32_t all = 0;
    for (int64_t i = 0; i < n; i++) {
        all |= rows[i];
    }
    return all < 0;
}

/* ---- gather: values and validity ------------------------------------------------------------- */

static void gather_bits(const uint8_t *src, const int32_t *rows, int64_t n, uint8_t *dst)
{
    for (int64_t at = 0; at < n; at += 8) {
        const int64_t most = n - at < 8 ? n - at : 8;
        unsigned byte = 0;
        for (int64_t i = 0; i < most; i++) {
            const int32_t row = rows[at + i];
            byte |= (row >= 0 && (!src || sm_bit_get(src, row)) ? 1u : 0u) << i;
        }
        dst[at >> 3] = (uint8_t)byte;
    }
}

static sm_status gather_validity(const sm_column *src, const int32_t *rows, int64_t n,
                                 bool has_null, sm_batch *into, sm_column *out, sm_error *e)
{
    out->validity = NULL;
    if (!src->validity && !has_null) {
        return SM_OK;
    }
    void *bits = NULL;
    SM_TRY(sm_batch_alloc_raw(into, sm_bits_bytes(n), &bits, e));
    gather_bits(src->validity, rows, n, bits);
    out->validity = bits;
    return SM_OK;
}

typedef struct word128 {
    uint64_t words[2];
} word128;

#define GATHER(ctype)                                                                              \
    do {                                                                                           \
        const ctype *const from = src;                                                             \
        ctype *const to = dst;                                                                     \
        if (!has_null) {                                                                           \
            for (int64_t i = 0; i < n; i++) {                                                      \
                to[i] = from[rows[i]];                                                             \
            }                                                                                      \
        } else {                                                                                   \
            for (int64_t i = 0; i < n; i++) {                                                      \
                to[i] = rows[i] < 0 ? (ctype){0} : from[rows[i]];                                  \
            }                                                                                      \
        }                                                                                          \
    } while (0)

static void gather_fixed(const void *src, int width, const int32_t *rows, int64_t n, bool has_null,
                         void *dst)
{
    switch (width) {
    case 1:
        GATHER(uint8_t);
        break;
    case 2:
        GATHER(uint16_t);
        break;
    case 4:
        GATHER(uint32_t);
        break;
    case 8:
        GATHER(uint64_t);
        break;
    default:
        GATHER(word128);
        break;
    }
}
#undef GATHER

/* ---- gather: nested -------------------------------------------------------------------------- */

static sm_status gather_list(const sm_column *src, const int32_t *rows, int64_t n, sm_batch *into,
                             sm_column *out, sm_error *e)
{
    const int32_t *const from = smi_i32(src);
    void *offsets_mem = NULL, *picked_mem = NULL, *children_mem = NULL;
    int64_t total = 0;

    SM_TRY(sm_batch_alloc(into, (size_t)(n + 1) * sizeof(int32_t), &offsets_mem, e));
    int32_t *const offsets = offsets_mem;
    for (int64_t i = 0; i < n; i++) {
        if (rows[i] >= 0 && (!src->validity || sm_bit_get(src->validity, rows[i]))) {
            total += from[rows[i] + 1] - from[rows[i]];
        }
        if (total > INT32_MAX) {
            return sm_fail(e, SM_LIMIT, "a batch would have over %d elements in its lists",
                           INT32_MAX);
        }
        offsets[i + 1] = (int32_t)total;
    }
    SM_TRY(sm_batch_alloc_raw(into, (size_t)total * sizeof(int32_t), &picked_mem, e));
    int32_t *const picked = picked_mem;
    for (int64_t i = 0; i < n; i++) {
        for (int32_t k = offsets[i]; k < offsets[i + 1]; k++) {
            picked[k] = from[rows[i]] + (k - offsets[i]);
        }
    }
    SM_TRY(sm_batch_alloc(into, (size_t)src->n_children * sizeof(sm_column), &children_mem, e));
    sm_column *const children = children_mem;
    for (int32_t k = 0; k < src->n_children; k++) {
        SM_TRY(sm_column_gather(&src->children[k], picked, total, into, &children[k], e));
    }
    out->values = offsets;
    out->children = children;
    return SM_OK;
}

static sm_status gather_struct(const sm_column *src, const int32_t *rows, int64_t n, sm_batch *into,
                               sm_column *out, sm_error *e)
{
    void *children_mem = NULL;
    SM_TRY(sm_batch_alloc(into, (size_t)src->n_children * sizeof(sm_column), &children_mem, e));
    sm_column *const children = children_mem;
    for (int32_t k = 0; k < src->n_children; k++) {
        SM_TRY(sm_column_gather(&src->children[k], rows, n, into, &children[k], e));
    }
    out->children = children;
    return SM_OK;
}

/* ---- gather ---------------------------------------------------------------------------------- */

/* Rows of a constant, of which some are NULL. The result is flat. */
static sm_status gather_constant(const sm_column *src, const int32_t *rows, int64_t n,
                                 sm_batch *into, sm_column *out, sm_error *e)
{
    void *first_mem = NULL;
    sm_column flat = *src;
    flat.layout = SM_FLAT;
    flat.n_rows = 1;
    SM_TRY(sm_batch_alloc_raw(into, (size_t)n * sizeof(int32_t), &first_mem, e));
    int32_t *const first = first_mem;
    for (int64_t i = 0; i < n; i++) {
        first[i] = rows[i] < 0 ? NULL_ROW : 0;
    }
    return sm_column_gather(&flat, first, n, into, out, e);
}

sm_status sm_column_gather(const sm_column *src, const int32_t *rows, int64_t n_rows,
                           sm_batch *into, sm_column *out, sm_error *e)
{
    sm_column made = *src;
    made.n_rows = n_rows;
    if (src->type->id == SM_TYPE_NULL) {
        *out = made;
        return SM_OK;
    }
    const bool has_null = has_null_row(rows, n_rows);
    if (src->layout == SM_CONST) {
        if (has_null) {
            return gather_constant(src, rows, n_rows, into, out, e);
        }
        *out = made;
        return SM_OK;
    }
    SM_TRY(gather_validity(src, rows, n_rows, has_null, into, &made, e));
    const sm_type_id id = src->type->id;
    if (src->layout == SM_FLAT && (id == SM_TYPE_LIST || id == SM_TYPE_MAP)) {
        SM_TRY(gather_list(src, rows, n_rows, into, &made, e));
    } else if (src->layout == SM_FLAT && id == SM_TYPE_STRUCT) {
        SM_TRY(gather_struct(src, rows, n_rows, into, &made, e));
    } else {
        const bool is_bits = src->layout == SM_FLAT && id == SM_TYPE_BOOL;
        const int width = src->layout == SM_DICT ? (int)sizeof(int32_t) : sm_type_bytes(id);
        void *values = NULL;
        SM_TRY(sm_batch_alloc_raw(
            into, is_bits ? sm_bits_bytes(n_rows) : (size_t)n_rows * (size_t)width, &values, e));
        if (is_bits) {
            gather_bits(src->values, rows, n_rows, values);
        } else {
            gather_fixed(src->values, width, rows, n_rows, has_null, values);
        }
        made.values = values;
    }
    *out = made;
    return SM_OK;
}

/* ---- slice ----------------------------------------------------------------------------------- */

static sm_status slice_bits(const uint8_t *src, int64_t first, int64_t n, sm_batch *into,
                            const void **out, sm_error *e)
{
    void *bits = NULL;
    if (!src || first % 8 == 0) {
        *out = src ? src + first / 8 : NULL;
        return SM_OK;
    }
    SM_TRY(sm_batch_alloc_raw(into, sm_bits_bytes(n), &bits, e));
    smi_bits_copy(bits, 0, src, first, n);
    *out = bits;
    return SM_OK;
}

static sm_status slice_children(const sm_column *src, int64_t first, int64_t n, sm_batch *into,
                                sm_column *out, sm_error *e)
{
    void *children_mem = NULL;
    SM_TRY(sm_batch_alloc(into, (size_t)src->n_children * sizeof(sm_column), &children_mem, e));
    sm_column *const children = children_mem;
    for (int32_t k = 0; k < src->n_children; k++) {
        SM_TRY(smi_column_slice(&src->children[k], first, n, into, &children[k], e));
    }
    out->children = children;
    return SM_OK;
}

/* The new offsets start at 0. The children are sliced, too, so they have only the slice's
 * elements. */
static sm_status slice_list(const sm_column *src, int64_t first, int64_t n, sm_batch *into,
                            sm_column *out, sm_error *e)
{
    void *offsets_mem = NULL;
    SM_TRY(sm_batch_alloc(into, (size_t)(n + 1) * sizeof(int32_t), &offsets_mem, e));
    int32_t *const offsets = offsets_mem;
    const int32_t base = src->n_rows > 0 ? smi_i32(src)[first] : 0;
    for (int64_t i = 0; i <= n && src->n_rows > 0; i++) {
        offsets[i] = smi_i32(src)[first + i] - base;
    }
    out->values = offsets;
    return slice_children(src, base, offsets[n], into, out, e);
}

sm_status smi_column_slice(const sm_column *src, int64_t first, int64_t n_rows, sm_batch *into,
                           sm_column *out, sm_error *e)
{
    sm_column made = *src;
    const void *bits = NULL;
    made.n_rows = n_rows;
    if (src->type->id == SM_TYPE_NULL || src->layout == SM_CONST || n_rows == src->n_rows) {
        *out = made;
        return SM_OK;
    }
    SM_TRY(slice_bits(src->validity, first, n_rows, into, &bits, e));
    made.validity = bits;
    const sm_type_id id = src->type->id;
    if (src->layout == SM_DICT) {
        made.values = smi_i32(src) ? smi_i32(src) + first : NULL;
    } else if (id == SM_TYPE_LIST || id == SM_TYPE_MAP) {
        SM_TRY(slice_list(src, first, n_rows, into, &made, e));
    } else if (id == SM_TYPE_STRUCT) {
        SM_TRY(slice_children(src, first, n_rows, into, &made, e));
    } else if (id == SM_TYPE_BOOL) {
        SM_TRY(slice_bits(src->values, first, n_rows, into, &made.values, e));
    } else {
        made.values = (const uint8_t *)src->values + first * sm_type_bytes(id);
    }
    *out = made;
    return SM_OK;
}

/* ---- constant -------------------------------------------------------------------------------- */

/* Makes a column of NULLs: a constant, or a flat column of 0 rows. A nested type gets the children
 * that it must have. */
static sm_status make_null(const sm_type *t, sm_layout layout, int64_t n_rows, sm_batch *into,
                           sm_column *out, sm_error *e)
{
    void *zeros = NULL, *children_mem = NULL;
    SM_TRY(sm_batch_alloc(into, 16, &zeros, e)); /* a bitmap, a value of any type, two offsets */
    *out = (sm_column){
        .type = t, .layout = layout, .n_rows = n_rows, .validity = zeros, .values = zeros};
    if (t->n_fields == 0) {
        return SM_OK;
    }
    SM_TRY(sm_batch_alloc(into, (size_t)t->n_fields * sizeof(sm_column), &children_mem, e));
    sm_column *const children = children_mem;
    for (int32_t i = 0; i < t->n_fields; i++) {
        const bool is_element = t->id != SM_TYPE_STRUCT; /* of which there are none */
        SM_TRY(make_null(t->fields[i].type, is_element ? SM_FLAT : layout,
                         is_element || layout == SM_FLAT ? 0 : 1, into, &children[i], e));
    }
    out->children = children;
    out->n_children = t->n_fields;
    return SM_OK;
}

/* Stores a value of fixed width as columns have it; sm_column_value() reads it back. */
static void put_value(sm_value v, uint8_t *at)
{
    const size_t width = (size_t)sm_type_bytes(v.type->id);
    if (v.type->id == SM_TYPE_BOOL) {
        at[0] = v.as.b ? 1 : 0;
    } else if (v.type->id == SM_TYPE_F32) {
        const float f = (float)v.as.f;
        memcpy(at, &f, sizeof(f));
    } else if (v.type->id == SM_TYPE_F64) {
        memcpy(at, &v.as.f, sizeof(v.as.f));
    } else if (v.type->id == SM_TYPE_DECIMAL) {
        memcpy(at, &v.as.d, sizeof(v.as.d));
    } else { /* the low bytes of i and u, which share their place */
        memcpy(at, &v.as.u, width);
    }
}

/* A nested constant: a flat column of one row, whose layout is then changed to constant. */
static sm_status nested_constant(sm_value v, int64_t n_rows, sm_batch *into, sm_column *out,
                                 sm_error *e)
{
    sm_builder *const b = sm_builder_new(v.type, NULL);
    sm_column one = {0};
    sm_builder_value(b, v);
    const sm_status st = sm_builder_finish(b, into, &one, e);
    sm_builder_free(b);
    SM_TRY(st);
    one.layout = SM_CONST;
    one.n_rows = n_rows;
    *out = one;
    return SM_OK;
}

sm_status sm_column_constant(sm_value v, int64_t n_rows, sm_batch *into, sm_column *out,
                             sm_error *e)
{
    void *value = NULL, *bytes = NULL, *heap_mem = NULL;
    if (v.is_null) {
        return make_null(v.type, SM_CONST, n_rows, into, out, e);
    }
    if (sm_type_is_nested(v.type->id)) {
        return nested_constant(v, n_rows, into, out, e);
    }
    SM_TRY(sm_batch_alloc(into, 16, &value, e));
    sm_column made = {.type = v.type, .layout = SM_CONST, .n_rows = n_rows, .values = value};
    if (!sm_type_is_bytes(v.type->id)) {
        SM_ASSERT(v.type->id != SM_TYPE_NULL);
        put_value(v, value);
        *out = made;
        return SM_OK;
    }
    if (v.as.s.len > INT32_MAX) {
        return sm_fail(e, SM_LIMIT, "a string of %zu bytes is too long for a column", v.as.s.len);
    }
    *(sm_view *)value = sm_view_make((const uint8_t *)v.as.s.data, (int32_t)v.as.s.len, 0, 0);
    if (v.as.s.len > SM_VIEW_INLINE) {
        SM_TRY(sm_batch_alloc_raw(into, v.as.s.len, &bytes, e));
        memcpy(bytes, v.as.s.data, v.as.s.len);
        SM_TRY(sm_batch_alloc(into, sizeof(sm_heap_buf), &heap_mem, e));
        sm_heap_buf *heap = heap_mem;
        *heap = (sm_heap_buf){.data = bytes, .size_bytes = (int64_t)v.as.s.len};
        made.heap = heap;
        made.n_heap = 1;
    }
    *out = made;
    return SM_OK;
}

sm_column sm_column_part(const sm_column *c, int64_t first, int64_t n, sm_arena *a)
{
    sm_column out = *c;
    SM_ASSERT(c->layout == SM_FLAT && first % 8 == 0);
    out.n_rows = n;
    if (c->validity) {
        out.validity = c->validity + first / 8;
    }
    switch (c->type->id) {
    case SM_TYPE_NULL:
        break;
    case SM_TYPE_BOOL:
        out.values = (const uint8_t *)c->values + first / 8;
        break;
    case SM_TYPE_LIST:
    case SM_TYPE_MAP:
        out.values = (const int32_t *)c->values + first;
        break;
    case SM_TYPE_STRUCT: {
        sm_column *children = SM_NEW_ARRAY(a, sm_column, c->n_children + 1);
        for (int32_t i = 0; i < c->n_children; i++) {
            children[i] = sm_column_part(&c->children[i], first, n, a);
        }
        out.children = children;
        break;
    }
    default:
        out.values = (const uint8_t *)c->values + first * sm_type_bytes(c->type->id);
        break;
    }
    return out;
}
