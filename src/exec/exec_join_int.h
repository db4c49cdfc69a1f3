/* SPDX-License-Identifier: Apache-2.0
 *
 * exec/exec_join_int.h: what exec_join.c (in memory) and exec_join_spill.c (by partitions on disk)
 * share. */
#ifndef SM_EXEC_JOIN_INT_H
#define SM_EXEC_JOIN_INT_H

#include "exec/exec_sorter_int.h"

typedef struct smi_join {
    smi_op op;
    smi_run *run;
    const sm_plan_node *node;
    sm_budget *budget;
    smi_rows rows; /* of the right side, when they do not all fit: then the rest is unused */
    smi_batches right;
    int32_t n_left, n_right; /* columns */
    const sm_column ***src;  /* [right column][batch] */
    const sm_type *left_keys, *right_keys;
    smi_groups *groups; /* NULL: no keys, every pair is a candidate */
    sm_block *refs_block, *first_block;
    const smi_ref *refs;  /* of right rows, by group */
    const int64_t *first; /* where a group's begin; one more at the end */
    int64_t n_refs;
    /* a partition's: */
    const sm_type *placed; /* the node's schema and a place; NULL: rows have none */
} smi_join;

/* Builds over `right`, which holds all rows or those of one partition. */
sm_status smi_join_build(smi_join *j, sm_error *e) SM_MUST_USE;
/* Gives the rows of a left batch (borrowed) to j->op.next. */
sm_status smi_join_probe(smi_join *j, smi_driver *d, sm_batch *left, sm_error *e) SM_MUST_USE;
/* What build has made. */
void smi_join_drop_build(smi_join *j);

#endif
