/* SPDX-License-Identifier: Apache-2.0
 *
 * column/batch.h: a batch: some rows of columns, with the memory of these columns and a reference
 * count. A builder (builder.h) makes columns row by row.
 *
 * A batch holds references to blocks, its own and those of other batches; so slicing, projecting
 * and gathering copy no bytes of strings.
 * Threads: one worker makes a batch; then it is immutable, and any thread may retain and read it.
 * */
#ifndef SM_COLUMN_BATCH_H
#define SM_COLUMN_BATCH_H

#include "column/column.h"

/* The most rows that an operator puts into one batch: nine columns of so many rows fit in L2. */
#define SM_BATCH_ROWS 4096

typedef struct sm_batch sm_batch;
struct sm_batch {
    const sm_type *schema; /* a struct type; borrowed, must outlive the batch */
    sm_column *columns;    /* one for each field of the schema; each n_rows long */
    int32_t n_columns;
    int64_t n_rows;
    uint64_t ordinal; /* the number of its morsel in the scan */
    uint32_t seq;     /* its number among the batches of that morsel */
    struct sm_batch_memory *memory;
    _Atomic int32_t refs;
};

/* ---- making ---------------------------------------------------------------------------------- */

/**
 * A batch of 0 rows whose columns are {0}. The caller fills them and sets n_rows.
 *
 * Owner     *out is the caller's, to sm_batch_release(); it keeps pointers to `budget` and `schema`
 * Errors    SM_BUDGET
 */
sm_status sm_batch_new(sm_budget *budget, const sm_type *schema, sm_batch **out,
                       sm_error *e) SM_MUST_USE;
sm_batch *sm_batch_retain(sm_batch *b); /* one more reference; returns b */
void sm_batch_release(sm_batch *b);     /* one reference less; takes NULL */

/** Allocates memory that lives as long as the batch: zeroed, aligned to 64 bytes, followed by
 * SM_PAD_BYTES, and charged to the batch's budget. */
sm_status sm_batch_alloc(sm_batch *b, size_t bytes, void **out, sm_error *e) SM_MUST_USE;
/** The same, but not zeroed: for values all of which are written. */
sm_status sm_batch_alloc_raw(sm_batch *b, size_t bytes, void **out, sm_error *e) SM_MUST_USE;
/** Retains a block for as long as the batch lives. */
void sm_batch_keep(sm_batch *b, sm_block *block);
/** Retains all memory that `other` holds, so that `b` may contain columns of `other`. */
void sm_batch_keep_all(sm_batch *b, const sm_batch *other);

/* ---- deriving: *out is a new batch with the ordinal and seq of the old one ------------------- */

/** The columns of the given indices, in that order; `schema` is their schema. Copies nothing. */
sm_status sm_batch_project(const sm_batch *b, const sm_type *schema, const int32_t *columns,
                           sm_batch **out, sm_error *e) SM_MUST_USE;
/** The rows first … first + n_rows − 1. Copies only bitmaps and offsets. */
sm_status sm_batch_slice(const sm_batch *b, int64_t first, int64_t n_rows, sm_budget *budget,
                         sm_batch **out, sm_error *e) SM_MUST_USE;
/** The rows of the given numbers, in that order; a number may come more than once. */
sm_status sm_batch_gather(const sm_batch *b, const int32_t *rows, int64_t n_rows, sm_budget *budget,
                          sm_batch **out, sm_error *e) SM_MUST_USE;
/** All rows of n ≥ 1 batches of one schema, one batch after the other; columns are flat. With
 * `compact` it copies the bytes of strings, so that it does not hold the inputs' blocks. */
sm_status sm_batch_concat(sm_batch *const *batches, int64_t n, bool compact, sm_budget *budget,
                          sm_batch **out, sm_error *e) SM_MUST_USE;

/* ---- columns of a batch that is being made: memory comes from `into` ------------------------- */

/* `into` must hold the memory of `src` already (sm_batch_keep_all), as the results share it. */

/** The rows of the given numbers; −1 gives NULL. A dictionary column stays one; a constant stays
 * one unless a −1 makes it flat. */
sm_status sm_column_gather(const sm_column *src, const int32_t *rows, int64_t n_rows,
                           sm_batch *into, sm_column *out, sm_error *e) SM_MUST_USE;
/** All rows of src, but row rows[k] is row k of `with`, for all its rows: at most as many as src
 * has. The rows ascend; the types are the same; `into` holds the memory of both. */
sm_status sm_column_patch(const sm_column *src, const int32_t *rows, const sm_column *with,
                          sm_batch *into, sm_column *out, sm_error *e) SM_MUST_USE;
/** Rows first … first + n − 1 of a flat column, without copying; first is a multiple of 8. The
 * arrays of children come from the arena. */
sm_column sm_column_part(const sm_column *c, int64_t first, int64_t n, sm_arena *a);
/** The same values with the layout SM_FLAT; the column itself if it is flat already. */
sm_status sm_column_flatten(const sm_column *src, sm_batch *into, sm_column *out,
                            sm_error *e) SM_MUST_USE;
/** The values as type `to`, which is src's type or what sm_type_widen() makes of it. */
sm_status sm_column_widen(const sm_column *src, const sm_type *to, sm_batch *into, sm_column *out,
                          sm_error *e) SM_MUST_USE;
/** Turns a flat VARCHAR column of `into` into a dictionary column if it has few different values,
 * none longer than 12 bytes; else leaves it. Depends on the column's rows only. */
sm_status sm_column_find_dict(sm_column *c, sm_batch *into, sm_error *e) SM_MUST_USE;
/** A constant column of n_rows rows. Copies a string's bytes. */
sm_status sm_column_constant(sm_value v, int64_t n_rows, sm_batch *into, sm_column *out,
                             sm_error *e) SM_MUST_USE;

/* ---- checks ---------------------------------------------------------------------------------- */

/** Checks the batch and each column (sm_column_validate). Returns false with a reason in *why. */
bool sm_batch_validate(const sm_batch *b, bool deep, const char **why);
/** Bytes of all memory that the batch holds references to, alone or with other batches. */
size_t sm_batch_bytes(const sm_batch *b);
/** SM_INTERRUPTED if the run that its budget belongs to is cancelled (sm_check_cancel). */
sm_status sm_batch_check_cancel(const sm_batch *b, sm_error *e) SM_MUST_USE;
/** The same in a loop, at row i (sm_check_cancel_at). */
static inline sm_status sm_batch_check_cancel_at(const sm_batch *b, int64_t i, sm_error *e)
{
    return (i & (SM_LOOK_ROWS - 1)) == 0 ? sm_batch_check_cancel(b, e) : SM_OK;
}

#endif
