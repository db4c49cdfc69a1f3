/* SPDX-License-Identifier: Apache-2.0
 *
 * exec/exec_join_int.h: what exec_join.c (in memory) and exec_join_spill.c (by partitions on disk)
 * share. */
#ifndef SM_EXEC_JOIN_INT_H
#define SM_EXEC_JOIN_INT_H

#include "exec/exec_sorter_int.h"

#define SMI_JOIN_PARTS_MAX 16

/* The right side's keys as groups, in parts by their hash, which are built side by side. Group g of
 * part p has the number base[p] + g. */
typedef struct smi_join_table {
    int32_t n_parts; /* a power of two; 0: no keys, every pair is a candidate */
    smi_groups *groups[SMI_JOIN_PARTS_MAX];
    int64_t base[SMI_JOIN_PARTS_MAX + 1];
    sm_block *refs_block, *first_block;
    const smi_ref *refs;  /* of right rows, by group */
    const int64_t *first; /* where a group's begin; one more at the end */
    int64_t n_refs;
    /* Tells of most hashes that no right row has them; NULL: there are too many right rows. */
    sm_block *filter_block;
    uint64_t *filter;
    uint64_t filter_mask;               /* words − 1 */
    _Atomic int64_t n_tested, n_passed; /* left rows */
} smi_join_table;

typedef enum smi_join_state {
    SMI_JOIN_EMPTY, /* {0}, or dropped */
    SMI_JOIN_KEPT,  /* the right side is too large: its rows are kept, for exec_join_spill.c */
    SMI_JOIN_BUILT, /* may be probed */
} smi_join_state;

typedef struct smi_join {
    smi_op op;
    smi_join_state state;
    smi_execution *exec;
    const sm_plan_node *node;
    sm_budget *budget;
    smi_rows rows; /* of the right side, when they do not all fit: then the rest is unused */
    smi_batches right;
    int32_t n_left, n_right; /* columns */
    const sm_column ***src;  /* [right column][batch] */
    const sm_type *left_keys, *right_keys;
    smi_join_table table;
    /* a partition's: */
    const sm_type *placed; /* the node's schema and a place; NULL: rows have none */
} smi_join;

/* ---- the table (exec_join_table.c) ----------------------------------------------------------- */

/* Makes the table of all right rows. To be dropped also after a failure. */
sm_status smi_join_table_build(smi_join *j, int64_t n_rows, sm_error *e) SM_MUST_USE;
/* The groups with the keys of the left rows; −1 where there is none. */
sm_status smi_join_table_look(smi_join *j, sm_batch *left, int32_t *ids, sm_error *e) SM_MUST_USE;
void smi_join_table_drop(smi_join_table *t);

/* ---- the join (exec_join.c) ------------------------------------------------------------------ */

/* Builds over `right`, which holds all rows or those of one partition. */
sm_status smi_join_build(smi_join *j, sm_error *e) SM_MUST_USE;
/* Gives the rows of a left batch (borrowed) to j->op.next. */
sm_status smi_join_probe(smi_join *j, smi_driver *d, sm_batch *left, sm_error *e) SM_MUST_USE;
/* Releases what smi_join_build() has made. */
void smi_join_drop_build(smi_join *j);

#endif
