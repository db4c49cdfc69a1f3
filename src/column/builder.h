/* SPDX-License-Identifier: Apache-2.0
 *
 * column/builder.h: makes a column row by row, or some rows at a time.
 *
 * Calls     new, appends (of a nested type: to the children, then to itself), finish, free.
 * Threads   one at a time. */
#ifndef SM_COLUMN_BUILDER_H
#define SM_COLUMN_BUILDER_H

#include "column/batch.h"

/* A tree of builders in the shape of the type. Appending does not report failures: if an allocation
 * is refused, the builder remembers it and sm_builder_finish() returns it. So loops over values
 * need no branch for it. */
typedef struct sm_builder sm_builder;

/* ---- life ------------------------------------------------------------------------------------ */

/** A builder of a column of type t. Keeps pointers to t and to `budget`, which pays its memory. */
sm_builder *sm_builder_new(const sm_type *t, sm_budget *budget);
void sm_builder_free(sm_builder *b); /* takes NULL */
/** The rows that were appended, without those that sm_builder_truncate() removed. */
int64_t sm_builder_rows(const sm_builder *b);

/* ---- one row at a time ----------------------------------------------------------------------- */

/** Appends NULL; to a STRUCT's children too. */
void sm_builder_null(sm_builder *b);
void sm_builder_bool(sm_builder *b, bool v); /* BOOL */
/** I8 … I64, DATE, TIME, TIMESTAMPs; the value fits the type. */
void sm_builder_i64(sm_builder *b, int64_t v);
/** U8 … U64; the value fits the type. */
void sm_builder_u64(sm_builder *b, uint64_t v);
void sm_builder_f64(sm_builder *b, double v);   /* F32 rounds */
void sm_builder_i128(sm_builder *b, sm_i128 v); /* DECIMAL, unscaled */
/** STRING, BINARY; copies the bytes, to a heap buffer of the builder if they are more than 12. */
void sm_builder_str(sm_builder *b, sm_str v);
/** The same without copying: v is in a block whose index sm_builder_block() gave. */
void sm_builder_str_in(sm_builder *b, int32_t block, sm_str v);
/** Retains a block for as long as the finished column's batch lives; returns its index. */
int32_t sm_builder_block(sm_builder *b, sm_block *block);
void sm_builder_value(sm_builder *b, sm_value v); /* a value of the builder's type, or NULL */
/** Row i of a column of the same type, which may be nested; copies the bytes of strings. */
void sm_builder_cell(sm_builder *b, const sm_column *c, int64_t i);

/* ---- many rows, written in place by a loop of the caller; not for LIST and MAP --------------- */

/** Makes room for n more rows, in children too. Returns false if that was refused; finish fails
 * then. */
bool sm_builder_reserve(sm_builder *b, int64_t n);
/** The array of values (BOOL: bits). The caller writes it from row sm_builder_rows(b) on, as far as
 * it has reserved. Valid until the next append or reserve. */
void *sm_builder_values(sm_builder *b);
/** The view of a string whose row the caller writes; copies the bytes like sm_builder_str(). */
sm_view sm_builder_keep_str(sm_builder *b, sm_str v);
/** Counts n rows that the caller has written, none of them NULL; not those of a STRUCT's children.
 */
void sm_builder_advance(sm_builder *b, int64_t n);
/** Makes an appended row NULL; not that of a STRUCT's children. */
void sm_builder_set_null(sm_builder *b, int64_t row);

/* ---- nested ---------------------------------------------------------------------------------- */

/** The builder of a child: a STRUCT's field i, a LIST's element, a MAP's keys (0) and values (1).
 * */
sm_builder *sm_builder_child(sm_builder *b, int32_t i);
/** Ends a row of a STRUCT, after one row was appended to each child (asserted). */
void sm_builder_struct(sm_builder *b);
/** Ends a row of a LIST or MAP: it has all elements that were appended to the children since the
 * row before. A MAP has as many keys as values (asserted). */
void sm_builder_list(sm_builder *b);

/* ---- ending ---------------------------------------------------------------------------------- */

/** Removes the last rows, of children too, so that n_rows are left: for a line that is refused. */
void sm_builder_truncate(sm_builder *b, int64_t n_rows);

/**
 * Moves the rows into the column *out.
 *
 * Owner     `into` holds the column's memory from now on; the builder is empty and may be used
 *           again
 * Errors    SM_BUDGET if an append was refused
 */
sm_status sm_builder_finish(sm_builder *b, sm_batch *into, sm_column *out, sm_error *e) SM_MUST_USE;

#endif
