/* SPDX-License-Identifier: Apache-2.0
 *
 * exec/exec_range_int.h: rows in few bytes (exec_range_pack.c) and the texts that they have codes
 * for (exec_range_texts.c), for exec_range.c.
 *
 * A *parcel* is some rows of a schema in one block, without pointers: it goes to disk and comes
 * back as it is. */
#ifndef SM_EXEC_RANGE_INT_H
#define SM_EXEC_RANGE_INT_H

#include "exec/exec_spill_int.h"

/* ---- the texts of columns that have few ------------------------------------------------------ */

typedef struct smi_texts smi_texts;

/** Owner     keeps a pointer to `budget`, which is charged with the texts without being asked */
smi_texts *smi_texts_new(int32_t n_columns, sm_budget *budget);
void smi_texts_free(smi_texts *t); /* takes NULL; batches that retain entries keep them */

/**
 * The codes of the first n texts of a flat column, for a column of the sort. The same text has the
 * same code whoever asks.
 *
 * Returns   false: there are too many texts, and no codes
 * Threads   any, before smi_texts_finish()
 */
bool smi_texts_codes(smi_texts *t, int32_t column, const sm_column *texts, int64_t n,
                     uint16_t *codes);

/** Ends the numbering: the entries can be had from now on. Their memory is of `budget`. */
sm_status smi_texts_finish(smi_texts *t, const sm_type *schema, sm_budget *budget,
                           sm_error *e) SM_MUST_USE;

/** The texts of a column, a flat column in which code i is row i; NULL: there are none. Borrowed;
 * who keeps it longer retains *block. Any thread. */
const sm_column *smi_texts_of(const smi_texts *t, int32_t column, sm_block **block);

/* ---- parcels --------------------------------------------------------------------------------- */

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
    smi_texts *texts; /* of the schema's columns but for the last */
} smi_group;

/**
 * Packs each row into the parcel of its range, where rows keep their order.
 *
 * Shape     out: n_ranges blocks, NULL where a range has no rows; sizes: their bytes
 * Owner     the blocks are the caller's; after a failure there are none
 */
sm_status smi_parcels_pack(const smi_group *group, sm_budget *budget, sm_block **out, size_t *sizes,
                           sm_error *e) SM_MUST_USE;

/* Parcels of one schema that become a batch. */
typedef struct smi_parcels {
    sm_block *const *items;
    int64_t n;
    const sm_type *schema;
    const smi_texts *texts; /* finished; those of the groups that they are of */
} smi_parcels;

/**
 * The rows of n ≥ 1 parcels, one parcel after another, with their places: these order rows as the
 * input does, and those of the rows of one run follow each other, but need not be the rows' own. A
 * column that has one value becomes a constant, texts that all have codes get a dictionary, others
 * are flat.
 *
 * Owner     *out retains the parcels and the texts, which its own are in
 */
sm_status smi_parcels_unpack(const smi_parcels *parcels, sm_budget *budget, sm_batch **out,
                             sm_error *e) SM_MUST_USE;

#endif
