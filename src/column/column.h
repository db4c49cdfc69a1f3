/* SPDX-License-Identifier: Apache-2.0
 *
 * column/column.h: a column of values in Arrow's layout, and the kernels on it that all later rooms
 * use. Kernels do no I/O, allocate memory only from the batch that they are given, and make no
 * error messages: their callers know the names and places.
 * Threads: every function may be called from any thread; a column is immutable. */
#ifndef SM_COLUMN_COLUMN_H
#define SM_COLUMN_COLUMN_H

#include "base/buf.h"
#include "base/json_write.h"
#include "column/value.h"

/* Arrow's Utf8View or BinaryView, 16 bytes. Up to 12 bytes are stored inline and padded with zeros,
 * so that two such views are equal if their words are. A longer string has a prefix here and its
 * bytes in one of the column's heap buffers. */
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

/* A buffer that views point into, smaller than 2 GiB. */
typedef struct sm_heap_buf {
    const uint8_t *data;
    int64_t size_bytes;
} sm_heap_buf;

typedef enum sm_layout {
    SM_FLAT,  /* one value for each row */
    SM_CONST, /* all rows have the value of row 0; the arrays have that row only */
    SM_DICT,  /* values are int32 codes: rows of children[0], which is FLAT and of the same type;
               * nulls are in the column's own validity */
} sm_layout;

/* Immutable once the code that made it has handed it on. What it points to belongs to its batch.
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

/** Is bit i of a bitmap set? The least bit of a byte comes first. */
static inline bool sm_bit_get(const uint8_t *bits, int64_t i)
{
    return (bits[i >> 3] >> (i & 7)) & 1;
}
/** Sets bit i. */
static inline void sm_bit_set(uint8_t *bits, int64_t i)
{
    bits[i >> 3] = (uint8_t)(bits[i >> 3] | (1u << (i & 7)));
}
/** Clears bit i. */
static inline void sm_bit_clear(uint8_t *bits, int64_t i)
{
    bits[i >> 3] = (uint8_t)(bits[i >> 3] & ~(1u << (i & 7)));
}
/** The bytes of a bitmap of n_bits bits. */
static inline size_t sm_bits_bytes(int64_t n_bits)
{
    return (size_t)((n_bits + 7) / 8);
}

/** The index of row i in the column's arrays: 0 in a constant, else i. In a dictionary column that
 * is the place of its code. */
static inline int64_t sm_column_at(const sm_column *c, int64_t i)
{
    return c->layout == SM_CONST ? 0 : i;
}
bool sm_column_is_null(const sm_column *c, int64_t i); /* is row i NULL, in any layout? */
int64_t sm_column_null_count(const sm_column *c);      /* how many rows are NULL; counts them */

/** The bytes of a view. Borrowed from the heap, or from *v itself if they are inline. */
static inline sm_str sm_view_str(const sm_view *v, const sm_heap_buf *heap)
{
    return v->inlined.len <= SM_VIEW_INLINE
               ? (sm_str){(const char *)v->inlined.bytes, (size_t)v->inlined.len}
               : (sm_str){(const char *)heap[v->ref.buffer].data + v->ref.off_bytes,
                          (size_t)v->ref.len};
}
/** Row i of a STRING or BINARY column in any layout; the empty string if it is NULL. Borrowed from
 * the column. */
sm_str sm_column_str(const sm_column *c, int64_t i);
/** Row i of a scalar column in any layout, as a value. A string is borrowed from the column. */
sm_value sm_column_value(const sm_column *c, int64_t i);
/** Row i of a column of any type. Copies the value, its type and its bytes into `a`. */
sm_value sm_column_value_copy(const sm_column *c, int64_t i, sm_arena *a);

/** The view of bytes that are at heap[buffer].data + off_bytes; up to 12 bytes are inlined. */
sm_view sm_view_make(const uint8_t *bytes, int32_t len, int32_t buffer, int32_t off_bytes);
/** For each length up to 12: the bits of a view that it and its bytes take. */
extern const uint64_t sm_view_masks[SM_VIEW_INLINE + 1][2];
/** sm_view_make for bytes with padding behind them, of which it reads 12 whatever their length. */
static inline sm_view sm_view_read(const uint8_t *bytes, uint32_t len, int32_t buffer,
                                   int64_t off_bytes)
{
    uint32_t first = 0;
    uint64_t rest = 0;

    memcpy(&first, bytes, sizeof(first));
    memcpy(&rest, bytes + sizeof(first), sizeof(rest));
    if (len <= SM_VIEW_INLINE) {
        return (sm_view){.words = {(len | (uint64_t)first << 32) & sm_view_masks[len][0],
                                   rest & sm_view_masks[len][1]}};
    }
    return (sm_view){
        .words = {len | (uint64_t)first << 32, (uint32_t)buffer | (uint64_t)off_bytes << 32}};
}

/** Appends row i as text, as DuckDB casts to VARCHAR: [1, 2], {'a': 1}, {k=v}. */
void sm_column_print(const sm_column *c, int64_t i, sm_buf *out);
/** Writes row i as JSON. Dates and timestamps are strings, NaN and infinities null, blobs hex;
 * where the writer is exact, these are as sm_column_print() has them. */
void sm_column_json(const sm_column *c, int64_t i, sm_json_writer *w);

/* ---- kernels, any layout, any type ----------------------------------------------------------- */

/** Hashes each row into hashes[i], or mixes it into the hash that is there (mix_in). Equal values
 * of equal types have equal hashes in every layout; −0 and 0 are equal, so are all NaN; NULL has a
 * hash of its own. */
void sm_column_hash(const sm_column *c, uint64_t *hashes, bool mix_in);
/** Are two rows equal for grouping, where NULL equals NULL and NaN equals NaN? The columns have the
 * same type. */
bool sm_column_eq(const sm_column *a, int64_t i, const sm_column *b, int64_t j);
/** −1, 0 or 1: the order of two rows for sorting; NULL is the largest. The columns have the same
 * type, which is not nested. */
int sm_column_cmp(const sm_column *a, int64_t i, const sm_column *b, int64_t j);

/** Checks the invariants above: lengths, offsets, views within the heap, codes; with `deep` also
 * UTF-8 and that null rows are zero. Returns false with a reason in *why (static text). */
bool sm_column_validate(const sm_column *c, bool deep, const char **why);

#endif
