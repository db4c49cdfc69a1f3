/* SPDX-License-Identifier: Apache-2.0
 *
 * column/column_int.h: what the files of this room share behind its doors. */
#ifndef SM_COLUMN_INT_H
#define SM_COLUMN_INT_H

#include "column/batch.h"

/* ---- printing -------------------------------------------------------------------------------- */

/** With a digit before the point where JSON wants one (DuckDB prints a DECIMAL(2,2) as .50). */
void smi_print_decimal(sm_i128 v, const sm_type *t, bool is_json, sm_buf *out);

/* ---- rows ------------------------------------------------------------------------------------ */

/** Rows that physically stand in the arrays: 1 in a constant. */
static inline int64_t smi_physical_rows(const sm_column *c)
{
    return c->layout == SM_CONST ? 1 : c->n_rows;
}

/** Steps down to where the value of row i stands: *c becomes a flat or constant column and the
 * returned row one of its arrays. False where the row is null (*c and *i are then unspecified). */
bool smi_resolve(const sm_column **c, int64_t *i);

static inline const int32_t *smi_i32(const sm_column *c)
{
    return (const int32_t *)c->values;
}
static inline const sm_view *smi_views(const sm_column *c)
{
    return (const sm_view *)c->values;
}

/** sm_view_make for bytes that stand inside (len ≤ 12): two or three overlapping loads, no loop, no
 * call; what lies outside the bytes is never read. */
static inline sm_view smi_view_inline(const uint8_t *bytes, size_t len)
{
    uint64_t low = 0; /* the first eight */
    uint32_t high = 0, tail = 0;
    if (len >= 4) {
        memcpy(&tail, bytes + len - 4, 4);
        if (len >= 8) {
            memcpy(&low, bytes, 8);
            high = (uint32_t)((uint64_t)tail >> (8 * (12 - len)));
        } else {
            memcpy(&high, bytes, 4);
            low = high | (uint64_t)tail << (8 * (len - 4));
            high = 0;
        }
    } else if (len > 0) {
        low = bytes[0] | (uint64_t)bytes[len >> 1] << (8 * (len >> 1)) |
              (uint64_t)bytes[len - 1] << (8 * (len - 1));
    }
    return (sm_view){.words = {len | low << 32, low >> 32 | (uint64_t)high << 32}};
}

/** The same for longer ones. Made of words: written as fields, the view would stall on its way back
 * to a register. */
static inline sm_view smi_view_ref(const uint8_t *bytes, size_t len, int32_t buffer,
                                   int64_t off_bytes)
{
    uint32_t prefix = 0;
    memcpy(&prefix, bytes, 4);
    return (sm_view){
        .words = {len | (uint64_t)prefix << 32, (uint32_t)buffer | (uint64_t)off_bytes << 32}};
}

/* ---- bitmaps --------------------------------------------------------------------------------- */

/** Copies n bits; what follows them in their last byte becomes zero unless dst_off + n ends within
 * a byte that holds later bits already: so copy in rising order. */
void smi_bits_copy(uint8_t *dst, int64_t dst_off, const uint8_t *src, int64_t src_off, int64_t n);
/** Sets n bits to `value`. */
void smi_bits_fill(uint8_t *dst, int64_t dst_off, int64_t n, bool value);
int64_t smi_bits_count(const uint8_t *bits, int64_t n);

/* ---- making columns within `into` ------------------------------------------------------------ */

sm_status smi_column_slice(const sm_column *src, int64_t first, int64_t n_rows, sm_batch *into,
                           sm_column *out, sm_error *e) SM_MUST_USE;

/** All rows of n ≥ 1 columns of one type, flat. With `compact` the string bytes are copied. */
sm_status smi_column_concat(const sm_column *const *srcs, int64_t n, bool compact, sm_batch *into,
                            sm_column *out, sm_error *e) SM_MUST_USE;

/** The type of item i of a nested value (sm_value). */
const sm_type *smi_item_type(const sm_type *t, int64_t i);
/** Prints a value as it stands within a list, struct or map (column_print.c). */
void smi_print_inside(sm_value v, sm_buf *out);

#endif
