/* SPDX-License-Identifier: Apache-2.0
 *
 * exec/exec_range_int.h: rows in few bytes (exec_range_pack.c), for exec_range.c.
 *
 * A *parcel* is some rows of a schema in one block, without pointers: it goes to disk and comes
 * back as it is. */
#ifndef SM_EXEC_RANGE_INT_H
#define SM_EXEC_RANGE_INT_H

#include "exec/exec_spill_int.h"

/** Can rows with these columns be packed? Not lists, structs and maps. */
bool smi_parcel_can(const sm_type *schema);

/* Rows that follow each other in the input: the place of the first, and how many they are. */
typedef struct smi_run {
    uint64_t first;
    int64_t n_rows;
} smi_run;

/* Rows that are divided among ranges. */
typedef struct smi_group {
    const smi_batches *rows; /* the columns of the schema but for the last */
    const sm_type *schema;   /* the last field is the place */
    const smi_run *runs;     /* of all rows, in their order */
    int64_t n_runs;
    const uint32_t *ranges; /* one a row, below n_ranges */
    int32_t n_ranges;
} smi_group;

/**
 * Packs each row into the parcel of its range, where rows keep their order.
 *
 * Shape     out: n_ranges blocks, NULL where a range has no rows; sizes: their bytes
 * Owner     the blocks are the caller's; after a failure there are none
 */
sm_status smi_parcels_pack(const smi_group *group, sm_budget *budget, sm_block **out, size_t *sizes,
                           sm_error *e) SM_MUST_USE;

/**
 * The rows of n ≥ 1 parcels, one parcel after another, with their places: these order rows as the
 * input does, and those of the rows of one run follow each other, but need not be the rows' own. A
 * column that has one value becomes a constant, texts that have few values get a dictionary, others
 * are flat.
 *
 * Owner     *out retains the parcels, which its texts are in
 */
sm_status smi_parcels_unpack(sm_block *const *parcels, int64_t n, const sm_type *schema,
                             sm_budget *budget, sm_batch **out, sm_error *e) SM_MUST_USE;

#endif
