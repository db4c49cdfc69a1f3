/* SPDX-License-Identifier: Apache-2.0
 *
 * column/builder.h: makes a column row by row, or some rows at a time.
 *
 * Calls     new, appends (of a nested type: to the children, then to itself), finish, free.
 * Threads   one at a time. */
#ifndef SM_COLUMN_BUILDER_H
#define SM_COLUMN_BUILDER_H

#include "column/batch.h"

/* A tree in the shape of the type. Row-wise makers (JSON, aggregates, log replay) append; appending
 * never fails on the spot: a refused allocation is kept and told by sm_builder_finish, so that the
 * loop over values has no branch for it. */
typedef struct sm_builder sm_builder;

/* ---- life ------------------------------------------------------------------------------------ */

/** A builder of a column of type t, which outlives it; its memory from `budget`. */
sm_builder *sm_builder_new(const sm_type *t, sm_budget *budget);
void sm_builder_free(sm_builder *b); /* takes NULL */
/** Rows that were appended and not taken back. */
int64_t sm_builder_rows(const sm_builder *b);

/* ---- one row at a time ----------------------------------------------------------------------- */

/** Of a STRUCT: a null to each child too. */
void sm_builder_null(sm_builder *b);
void sm_builder_bool(sm_builder *b, bool v); /* BOOL */
/** I8 … I64, DATE, TIME, TIMESTAMPs; the value fits the type. */
void sm_builder_i64(sm_builder *b, int64_t v);
/** U8 … U64; the value fits the type. */
void sm_builder_u64(sm_builder *b, uint64_t v);
void sm_builder_f64(sm_builder *b, double v);   /* F32 rounds */
void sm_builder_i128(sm_builder *b, sm_i128 v); /* DECIMAL, unscaled */
/** Copies the bytes (into a heap buffer of the builder's own where over 12). */
void sm_builder_str(sm_builder *b, sm_str v);
/** Copies nothing: v lies in `block` (an index that sm_builder_block gave). */
void sm_builder_str_in(sm_builder *b, int32_t block, sm_str v);
/** Retains a block until the finished column's batch goes; returns its index for str_in. */
int32_t sm_builder_block(sm_builder *b, sm_block *block);
void sm_builder_value(sm_builder *b, sm_value v); /* of the builder's type */
/** Row i of a column of the same type, nested too; copies string bytes. */
void sm_builder_cell(sm_builder *b, const sm_column *c, int64_t i);

/* ---- in bulk, no LIST or MAP: rows written in place, by a loop of the caller's --------------- */

/** Room for n more rows, of the children too. false: refused, as finish will tell. */
bool sm_builder_reserve(sm_builder *b, int64_t n);
/** The array of values (BOOL: bits), to be written from row sm_builder_rows(b) on, as far as room
 * was reserved. Good until the next append or reserve. */
void *sm_builder_values(sm_builder *b);
/** The view of a string whose row is written in place; copies its bytes as sm_builder_str. */
sm_view sm_builder_keep_str(sm_builder *b, sm_str v);
/** n rows were written in place, none of them null. STRUCT: its children's are counted apart. */
void sm_builder_advance(sm_builder *b, int64_t n);
/** Makes a row null again that was appended; no LIST or MAP. STRUCT: its children's rows apart. */
void sm_builder_set_null(sm_builder *b, int64_t row);

/* ---- nested ---------------------------------------------------------------------------------- */

/** STRUCT: append one row to every child, then call sm_builder_struct; sm_builder_null appends a
 * null to each child itself. LIST and MAP: append the elements to the children (map: key and value
 * alike), then sm_builder_list ends the row with all elements that came since the last row. */
sm_builder *sm_builder_child(sm_builder *b, int32_t i);
void sm_builder_struct(sm_builder *b); /* each child has one row more */
void sm_builder_list(sm_builder *b);   /* MAP: keys and values are as many */

/* ---- ending ---------------------------------------------------------------------------------- */

/** Takes back rows so that n_rows are left (children too): a refused line leaves nothing behind. */
void sm_builder_truncate(sm_builder *b, int64_t n_rows);

/** Moves what was built into *out, whose memory `into` holds from now on; the builder is empty and
 * may be used again. SM_BUDGET where an append was refused. */
sm_status sm_builder_finish(sm_builder *b, sm_batch *into, sm_column *out, sm_error *e) SM_MUST_USE;

#endif
