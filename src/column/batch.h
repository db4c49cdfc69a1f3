/* SPDX-License-Identifier: Apache-2.0
 *
 * column/batch.h: some rows of columns, counted, with the memory they stand in; and the builder
 * that makes columns row by row.
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

/* ---- builder: a column row by row ------------------------------------------------------------ */

/* A tree in the shape of the type. Row-wise makers (JSON, aggregates, log replay) append; appending
 * never fails on the spot: a refused allocation is kept and told by sm_builder_finish, so that the
 * loop over values has no branch for it. */
typedef struct sm_builder sm_builder;

sm_builder *sm_builder_new(const sm_type *t, sm_budget *budget);
void sm_builder_free(sm_builder *b); /* takes NULL */
int64_t sm_builder_rows(const sm_builder *b);

void sm_builder_null(sm_builder *b);
void sm_builder_bool(sm_builder *b, bool v);
void sm_builder_i64(sm_builder *b,
                    int64_t v); /* I8 … I64, DATE, TIME, TIMESTAMPs; fits (asserted) */
void sm_builder_u64(sm_builder *b, uint64_t v);
void sm_builder_f64(sm_builder *b, double v); /* F32 rounds */
void sm_builder_i128(sm_builder *b, sm_i128 v);
/** Copies the bytes (into a heap buffer of the builder's own where over 12). */
void sm_builder_str(sm_builder *b, sm_str v);
/** Copies nothing: v lies in `block` (an index that sm_builder_block gave). */
void sm_builder_str_in(sm_builder *b, int32_t block, sm_str v);
/** Retains a block until the finished column's batch goes; returns its index for str_in. */
int32_t sm_builder_block(sm_builder *b, sm_block *block);
void sm_builder_value(sm_builder *b, sm_value v); /* of the builder's type */
/** Row i of a column of the same type, nested too; copies string bytes. */
void sm_builder_cell(sm_builder *b, const sm_column *c, int64_t i);

/* In bulk, no LIST or MAP: rows written in place, by a loop of the caller's. */
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

/** STRUCT: append one row to every child, then call sm_builder_struct; sm_builder_null appends a
 * null to each child itself. LIST and MAP: append the elements to the children (map: key and value
 * alike), then sm_builder_list ends the row with all elements that came since the last row. */
sm_builder *sm_builder_child(sm_builder *b, int32_t i);
void sm_builder_struct(sm_builder *b);
void sm_builder_list(sm_builder *b);

/** Takes back rows so that n_rows are left (children too): a refused line leaves nothing behind. */
void sm_builder_truncate(sm_builder *b, int64_t n_rows);

/** Moves what was built into *out, whose memory `into` holds from now on; the builder is empty and
 * may be used again. SM_BUDGET where an append was refused. */
sm_status sm_builder_finish(sm_builder *b, sm_batch *into, sm_column *out, sm_error *e) SM_MUST_USE;

#endif
