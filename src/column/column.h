/* SPDX-License-Identifier: Apache-2.0
 *
 * column/column.h: a column of values in Arrow's layout, and the kernels on it that every room
 * above uses. Kernels do no I/O, allocate nothing but through the batch given for it, and never
 * make an error message (their callers know names and places). */
#ifndef SM_COLUMN_COLUMN_H
#define SM_COLUMN_COLUMN_H

#include "base/buf.h"
#include "base/json_write.h"
#include "column/value.h"

/* Arrow's Utf8View / BinaryView: 16 bytes. Up to 12 bytes stand inside, zero-padded (so two words
 * compare); longer ones have a prefix and a place in one of the column's heap buffers. */
typedef union sm_view {
    struct {
        int32_t len;
        uint8_t bytes[12];
    } inlined;
    struct {
        int32_t len;
        uint8_t prefix[4];
        int32_t buffer;
        int32_t off_bytes;
    } ref;
    uint64_t words[2];
} sm_view;
#define SM_VIEW_INLINE 12

/* One buffer that views point into; under 2 GiB. */
typedef struct sm_heap_buf {
    const uint8_t *data;
    int64_t size_bytes;
} sm_heap_buf;

typedef enum sm_layout {
    SM_FLAT,  /* a value a row */
    SM_CONST, /* row 0 stands for all rows; the physical arrays have one row */
    SM_DICT,  /* int32 codes into children[0], FLAT and of the same type; nulls are in the codes */
} sm_layout;

/* Immutable once it left its maker. What it points to belongs to the batch that holds it.
 *
 *   type                    values (SM_FLAT)              children
 *   BOOL                    bitmap, least bit first       none
 *   fixed width             array of sm_type_bytes()      none
 *   STRING, BINARY          sm_view array                 none; bytes in heap
 *   LIST                    int32 offsets, n_rows + 1     the element
 *   MAP                     int32 offsets, n_rows + 1     key, value (equally long, flat)
 *   STRUCT                  NULL                          one a field, each n_rows long
 *   NULL                    NULL                          none; every row is null
 *
 * validity: bitmap, bit set = there is a value; NULL pointer = all valid. Bits and values of null
 * rows are zero (views too), so that kernels may read them. Children of a null struct are null. */
typedef struct sm_column {
    const sm_type *type;
    sm_layout layout;
    int64_t n_rows;
    const uint8_t *validity;
    const void *values;
    const sm_heap_buf *heap;
    int32_t n_heap;
    int32_t n_children;
    const struct sm_column *children;
} sm_column;

/* ---- reading one row ------------------------------------------------------------------------- */

static inline bool sm_bit_get(const uint8_t *bits, int64_t i)
{
    return (bits[i >> 3] >> (i & 7)) & 1;
}
static inline void sm_bit_set(uint8_t *bits, int64_t i)
{
    bits[i >> 3] = (uint8_t)(bits[i >> 3] | (1u << (i & 7)));
}
static inline void sm_bit_clear(uint8_t *bits, int64_t i)
{
    bits[i >> 3] = (uint8_t)(bits[i >> 3] & ~(1u << (i & 7)));
}
static inline size_t sm_bits_bytes(int64_t n_bits)
{
    return (size_t)((n_bits + 7) / 8);
}

/** Where row i physically stands: i, or 0 in a constant (in a dictionary column: of its code). */
static inline int64_t sm_column_at(const sm_column *c, int64_t i)
{
    return c->layout == SM_CONST ? 0 : i;
}
bool sm_column_is_null(const sm_column *c, int64_t i);
int64_t sm_column_null_count(const sm_column *c);

static inline sm_str sm_view_str(const sm_view *v, const sm_heap_buf *heap)
{
    return v->inlined.len <= SM_VIEW_INLINE
               ? (sm_str){(const char *)v->inlined.bytes, (size_t)v->inlined.len}
               : (sm_str){(const char *)heap[v->ref.buffer].data + v->ref.off_bytes,
                          (size_t)v->ref.len};
}
/** Row i of a STRING or BINARY column in any layout; the empty string where null. Borrowed: inline
 * bytes are the column's own. */
sm_str sm_column_str(const sm_column *c, int64_t i);
/** Row i of a scalar column in any layout, as a value; strings borrowed from the column. */
sm_value sm_column_value(const sm_column *c, int64_t i);
/** Row i, of any type, with its type and all that it points to in `a`. */
sm_value sm_column_value_copy(const sm_column *c, int64_t i, sm_arena *a);

/** Makes a view of bytes at heap[buffer].data + off; inlines up to 12. */
sm_view sm_view_make(const uint8_t *bytes, int32_t len, int32_t buffer, int32_t off_bytes);

/** Row i as text, nested values too: as DuckDB casts to VARCHAR ([1, 2], {'a': 1}, {k=v}). */
void sm_column_print(const sm_column *c, int64_t i, sm_buf *out);
/** Row i as JSON. Dates and timestamps are strings; NaN and infinities are null; blobs hex. */
void sm_column_json(const sm_column *c, int64_t i, sm_json_writer *w);

/* ---- kernels, any layout, any type ----------------------------------------------------------- */

/** hashes[i] = hash of row i, or mixed into the hash that stands there. Equal values of equal types
 * hash equally whatever their layout; −0 as 0, all NaN alike; NULL has a hash of its own. */
void sm_column_hash(const sm_column *c, uint64_t *hashes, bool mix_in);
/** Are the rows equal as grouping means it (NULL equals NULL, NaN equals NaN)? Same type. */
bool sm_column_eq(const sm_column *a, int64_t i, const sm_column *b, int64_t j);
/** −1, 0, 1 as sorting means it; nulls are the largest. Same type, not nested. */
int sm_column_cmp(const sm_column *a, int64_t i, const sm_column *b, int64_t j);

/** Checks the invariants above: lengths, offsets, views within the heap, codes; with `deep` UTF-8
 * and zeroed nulls as well. false with a reason in *why (static text). */
bool sm_column_validate(const sm_column *c, bool deep, const char **why);

#endif
