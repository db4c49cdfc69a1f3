/* SPDX-License-Identifier: Apache-2.0
 *
 * exec/exec_pack_int.h: grouping of rows packed into words (exec_pack.c), for exec_agg*.c. */
#ifndef SM_EXEC_PACK_INT_H
#define SM_EXEC_PACK_INT_H

#include "exec/exec_spill_int.h"

#define SMI_PARTS 256

/* How the rows and groups of one aggregate node are packed. Does not change, but for DISTINCT
 * bases. */
typedef struct smi_pack smi_pack;
/* NULL where a key or an aggregate does not pack. Lives in the execution's arena. */
smi_pack *smi_pack_new(smi_execution *exec, const sm_plan_node *node);

typedef struct smi_pack_table smi_pack_table;

/* What records are: rows, rows whose arguments are 4 bytes each, or groups. */
typedef enum smi_pack_kind { SMI_PACK_ROWS, SMI_PACK_NARROW_ROWS, SMI_PACK_GROUPS } smi_pack_kind;

/* Rows of a batch, or groups of a table, one record each, laid out by partition. */
typedef struct smi_packed {
    sm_block *records;
    sm_block *text;        /* bytes of keys over 12 bytes that records point to; NULL: none */
    smi_pack_table *owner; /* of groups: the table that they come from, which holds such bytes */
    sm_block *carries;     /* of groups: n_carries carries of their sums */
    int64_t n_carries;
    smi_pack_kind kind;
    uint32_t first[SMI_PARTS + 1]; /* record of each partition's run */
} smi_packed;
void smi_packed_free(smi_packed *k); /* takes NULL */
size_t smi_packed_bytes(const smi_packed *k);

/* Evaluates keys, arguments and filters of a batch and packs its rows. */
sm_status smi_pack_rows(smi_pack *k, sm_batch *in, sm_budget *budget, smi_packed **out,
                        sm_error *e) SM_MUST_USE;
/* Are there few groups among the rows, by linear counting? Then a table of the morsel's own is
 * cheaper. */
bool smi_pack_has_few_groups(const smi_pack *k, const smi_packed *rows);

/* A hash table of groups. */
smi_pack_table *smi_pack_table_new(const smi_pack *k, sm_budget *budget);
void smi_pack_table_free(smi_pack_table *t); /* takes NULL */
int64_t smi_pack_count(const smi_pack_table *t);
/* Adds the records of partitions first … end − 1 of n lists, list after list. */
sm_status smi_pack_add(smi_pack_table *t, const smi_packed *const *list, int64_t n, int32_t first,
                       int32_t end, sm_error *e) SM_MUST_USE;
/* The groups as records for another table. Takes t where it succeeds. */
sm_status smi_pack_groups(smi_pack_table *t, smi_packed **out, sm_error *e) SM_MUST_USE;
/* Appends key k of a group. */
void smi_pack_key(const smi_pack_table *t, int64_t id, int32_t k, sm_builder *to);
/* Appends groups first … first + n − 1: keys, then aggregates, one builder each. *failed: the group
 * whose result failed, −1. */
sm_status smi_pack_fill(const smi_pack_table *t, int64_t first, int64_t n, sm_builder *const *out,
                        int64_t *failed, sm_error *e) SM_MUST_USE;

/* Records of one partition in a spill. */
typedef struct smi_pack_piece {
    smi_extent extent;
    int64_t n_carries;
    uint32_t n_records;
    smi_pack_kind kind;
} smi_pack_piece;
/* Writes a partition's records of n lists of one kind. */
sm_status smi_pack_put(const smi_pack *k, const smi_packed *const *list, int64_t n, int32_t part,
                       smi_spill *spill, smi_pack_piece *out, sm_error *e) SM_MUST_USE;
/* Reads them back. */
sm_status smi_pack_get(const smi_pack *k, const smi_pack_piece *piece, int32_t part,
                       smi_spill *spill, sm_budget *budget, smi_packed **out,
                       sm_error *e) SM_MUST_USE;

#endif
