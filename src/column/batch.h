/* SPDX-License-Identifier: Apache-2.0
 *
 * column/batch.h: some rows of columns, counted, with the memory they stand in.
 * Columns are made row by row by a builder (builder.h).
 *
 * A batch owns blocks (its own, and retained ones of others), so slicing, projecting and gathering
 * strings copy no string bytes. It is made by one worker, then immutable and shared by retain. */
#ifndef SM_COLUMN_BATCH_H
#define SM_COLUMN_BATCH_H

#include "column/column.h"

/* Most rows that an operator puts into one batch: nine columns of it stay in L2. */
#define SM_BATCH_ROWS 4096

typedef struct sm_batch sm_batch;
struct sm_batch {
    const sm_type *schema; /* a struct type; borrowed, outlives the batch */
    sm_column *columns;    /* one a field of the schema; each n_rows long */
    int32_t n_columns;
    int64_t n_rows;
    uint64_t ordinal; /* of the morsel it came from, counted over the whole scan */
    uint32_t seq;     /* its place among the batches of that morsel */
    struct sm_batch_memory *memory;
    _Atomic int32_t refs;
};

/* ---- making ---------------------------------------------------------------------------------- */

/** A batch of 0 rows whose columns are {0}; the maker fills them and sets n_rows. */
sm_status sm_batch_new(sm_budget *budget, const sm_type *schema, sm_batch **out,
                       sm_error *e) SM_MUST_USE;
sm_batch *sm_batch_retain(sm_batch *b); /* returns it */
void sm_batch_release(sm_batch *b);     /* takes NULL */

/** Zeroed, 64-byte aligned, padded memory that lives with the batch, from its budget. */
sm_status sm_batch_alloc(sm_batch *b, size_t bytes, void **out, sm_error *e) SM_MUST_USE;
/** Retains a block for as long as the batch. */
void sm_batch_keep(sm_batch *b, sm_block *block);
/** Retains all that `other` holds: for columns of `other` that stand in `b` as well. */
void sm_batch_keep_all(sm_batch *b, const sm_batch *other);

/* ---- deriving: *out is a new batch with the ordinal and seq of the old one ------------------- */

/** The given columns in the given order; `schema` is theirs. Copies nothing. */
sm_status sm_batch_project(const sm_batch *b, const sm_type *schema, const int32_t *columns,
                           sm_batch **out, sm_error *e) SM_MUST_USE;
/** Rows first … first + n_rows − 1. Copies bitmaps and offsets only. */
sm_status sm_batch_slice(const sm_batch *b, int64_t first, int64_t n_rows, sm_budget *budget,
                         sm_batch **out, sm_error *e) SM_MUST_USE;
/** The given rows (each in range, in any order, repeats allowed). */
sm_status sm_batch_gather(const sm_batch *b, const int32_t *rows, int64_t n_rows, sm_budget *budget,
                          sm_batch **out, sm_error *e) SM_MUST_USE;
/** All rows of n ≥ 1 batches of one schema, flat, one after another. Copies string bytes where
 * `compact` (so that the inputs' blocks are let go), else shares them. */
sm_status sm_batch_concat(sm_batch *const *batches, int64_t n, bool compact, sm_budget *budget,
                          sm_batch **out, sm_error *e) SM_MUST_USE;

/* ---- the same for a column of a batch that is being made; memory comes from `into` ----------- */

/** `src` belongs to a batch whose memory `into` keeps already (sm_batch_keep_all). −1 among the
 * rows gives NULL. Dictionary columns stay dictionary columns; constants stay constants unless a −1
 * makes them flat. */
sm_status sm_column_gather(const sm_column *src, const int32_t *rows, int64_t n_rows,
                           sm_batch *into, sm_column *out, sm_error *e) SM_MUST_USE;
/** The same values SM_FLAT (itself where it is). */
/** Rows first … first + n − 1 of a flat column without copying; first is a multiple of 8.
 * `children` of structs come from the arena. */
sm_column sm_column_part(const sm_column *c, int64_t first, int64_t n, sm_arena *a);
sm_status sm_column_flatten(const sm_column *src, sm_batch *into, sm_column *out,
                            sm_error *e) SM_MUST_USE;
/** The values as type `to`, which is sm_type_widen's of src's type, or that type. */
sm_status sm_column_widen(const sm_column *src, const sm_type *to, sm_batch *into, sm_column *out,
                          sm_error *e) SM_MUST_USE;
/** Makes a flat VARCHAR column of `into` a dictionary column where it has few different values,
 * none over 12 bytes; else leaves it. A function of its rows alone. */
sm_status sm_column_find_dict(sm_column *c, sm_batch *into, sm_error *e) SM_MUST_USE;
/** n_rows times the value. Copies a string's bytes. */
sm_status sm_column_constant(sm_value v, int64_t n_rows, sm_batch *into, sm_column *out,
                             sm_error *e) SM_MUST_USE;

bool sm_batch_validate(const sm_batch *b, bool deep, const char **why);
/** Bytes of memory that the batch alone or with others keeps alive. */
size_t sm_batch_bytes(const sm_batch *b);
/** SM_INTERRUPTED where the work that its budget counts is to end. */
sm_status sm_batch_check_cancel(const sm_batch *b, sm_error *e) SM_MUST_USE;
/** The same in a loop, at number i: see sm_check_cancel_at. */
static inline sm_status sm_batch_check_cancel_at(const sm_batch *b, int64_t i, sm_error *e)
{
    return (i & (SM_LOOK_ROWS - 1)) == 0 ? sm_batch_check_cancel(b, e) : SM_OK;
}

#endif
