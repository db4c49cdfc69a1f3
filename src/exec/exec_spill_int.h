/* SPDX-License-Identifier: Apache-2.0
 *
 * exec/exec_spill_int.h: where an operator puts rows and state that its budget has no room for.
 *
 * A *spill* is one scratch file of one operator. Pieces go in and come back whole. Each is
 * compressed by LZ4, block by block, and every block has a checksum. An operator spills where
 * smi_memory_is_short() says so, or where the budget has refused memory; where it can wait instead,
 * it waits first.
 * Threads: every function may be called from any thread. Blocks its caller: a local disk. */
#ifndef SM_EXEC_SPILL_INT_H
#define SM_EXEC_SPILL_INT_H

#include "exec/exec_memory_int.h"

typedef struct smi_spill smi_spill;

/* A piece in the file. */
typedef struct smi_extent {
    uint64_t off_bytes;
    uint64_t plain_bytes; /* 0: nothing was put */
} smi_extent;

/** Makes the file in env->spill_dir. `node`: whose spilled_bytes count. */
sm_status smi_spill_new(smi_execution *exec, const sm_plan_node *node, smi_spill **out,
                        sm_error *e) SM_MUST_USE;
/** Its pieces are not to be compressed, for they have few bytes already. Before the first. */
void smi_spill_as_is(smi_spill *s);
void smi_spill_free(smi_spill *s); /* takes NULL */

/* A piece that is being written: parts are added one after another, `bytes` of them in all. */
typedef struct smi_piece smi_piece;
sm_status smi_piece_begin(smi_spill *s, uint64_t bytes, smi_piece **out, sm_error *e) SM_MUST_USE;
sm_status smi_piece_add(smi_piece *p, const void *bytes, size_t len, sm_error *e) SM_MUST_USE;
/** Ends it and frees p. */
sm_status smi_piece_end(smi_piece *p, smi_extent *out, sm_error *e) SM_MUST_USE;
void smi_piece_drop(smi_piece *p); /* takes NULL */

/** Reads a piece back into x->plain_bytes bytes at `out`. SM_CORRUPT where a check fails. */
sm_status smi_spill_get(smi_spill *s, const smi_extent *x, void *out, sm_error *e) SM_MUST_USE;
/** The piece is not needed any more. */
void smi_spill_drop(smi_spill *s, const smi_extent *x);

/** Writes n batches of any layout and type as a piece, and reads them back: flat, of memory from
 * `budget`, with their ordinals and seqs. A batch that is NULL comes back as NULL. */
sm_status smi_spill_put_batches(smi_spill *s, sm_batch *const *batches, int32_t n,
                                sm_budget *budget, smi_extent *out, sm_error *e) SM_MUST_USE;
sm_status smi_spill_get_batches(smi_spill *s, const smi_extent *x, const sm_type *const *schemas,
                                int32_t n, sm_budget *budget, sm_batch **out,
                                sm_error *e) SM_MUST_USE;

/* ---- rows in their order, spilled where memory is short (exec_collect.c) --------------------- */

typedef struct smi_kept {
    sm_batch *rows; /* NULL: in the spill */
    smi_extent extent;
    int64_t n_rows;
    uint64_t ordinal;
    uint32_t seq;
} smi_kept;

typedef struct smi_rows {
    smi_kept *items;
    int64_t n, cap, n_rows;
    const sm_type *schema;
    smi_spill *spill; /* NULL: all are in memory */
} smi_rows;

void smi_rows_add(smi_rows *r, const smi_kept *taken);
/** Batch i, which the caller releases. One that is in memory is only retained. */
sm_status smi_rows_get(const smi_rows *r, int64_t i, sm_budget *budget, sm_batch **out,
                       sm_error *e) SM_MUST_USE;
/** Batch i is not needed any more. */
void smi_rows_drop(smi_rows *r, int64_t i);
/** By (ordinal, seq). */
void smi_rows_sort(smi_rows *r);
/** Brings all into memory; leaves `r` empty. */
sm_status smi_rows_load(smi_rows *r, sm_budget *budget, smi_batches *out, sm_error *e) SM_MUST_USE;
void smi_rows_release(smi_rows *r); /* leaves {0} */

/** An end that keeps compact copies of all rows, in order; counted in `budget`. */
smi_end *smi_collect_new(smi_execution *exec, sm_budget *budget, const sm_plan_node *node,
                         const sm_type *schema);
/** After the pipe: moves the rows out. */
void smi_collect_take(smi_end *end, smi_rows *out);
void smi_collect_free(smi_end *end);

#endif
