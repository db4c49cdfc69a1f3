/* SPDX-License-Identifier: Apache-2.0
 *
 * exec/exec_window_int.h: what exec_window.c (keys and results in memory) and exec_window_spill.c
 * (on disk) share. */
#ifndef SM_EXEC_WINDOW_INT_H
#define SM_EXEC_WINDOW_INT_H

#include "exec/exec_sorter_int.h"

#define SMI_WINDOW_BLOCK 16384 /* rows of a block at least, if there are so many */

/* How a function's results are made, and so where they are. */
typedef enum smi_window_method {
    SMI_WINDOW_NONE,    /* not made yet */
    SMI_WINDOW_WHOLE,   /* `whole` gives them: OVER () with nothing to sort */
    SMI_WINDOW_BLOCKS,  /* in memory, in the order of sorting */
    SMI_WINDOW_SPILLED, /* on disk, cut as the input is */
} smi_window_method;

/* One function's results. */
typedef struct smi_window_result {
    smi_window_method method;
    smi_batches blocks; /* one column each */
    sm_block *where;    /* smi_ref of each input row, in input order */
    void *whole;        /* OVER (): what the function made of all rows, instead */
    const sm_type *arg; /* then: a struct of its argument */
    bool wants_pass;
    smi_rows by_batch; /* spilled: the results of each input batch, instead */
} smi_window_result;

typedef struct smi_window_all {
    smi_execution *exec;
    const sm_plan_node *node;
    sm_budget *budget;
    smi_rows rows;
    int64_t *first;           /* number of each input batch's first row */
    _Atomic int64_t spent_ns; /* over all threads */
    smi_window_result *results;
} smi_window_all;

/* One function at work. */
typedef struct smi_window_job {
    smi_window_all *w;
    const sm_window_item *item;
    smi_batches wide;   /* keys and arguments, beside w->rows */
    smi_sort_spec spec; /* over `wide` */
    const smi_sort_row *order;
    sm_window_before before; /* of the partition in which block 0 begins */
    const sm_type *args;     /* schema of the arguments */
    const sm_type *result;   /* a struct of the result alone */
    int64_t *block_first;    /* of sorted rows; one more at the end */
    sm_batch **blocks;
} smi_window_job;

/* Makes the job of a function: its expressions, the keys first, in *exprs; their schema; spec. */
void smi_window_prepare(smi_window_job *job, const sm_expr ***exprs, const sm_type **schema);
/* Does a partition, or a group of peers, start at row i of the job's sorted rows? */
bool smi_window_starts_part(const smi_window_job *job, int64_t i);
bool smi_window_starts_group(const smi_window_job *job, int64_t i);
/* Block b of a job's (ctx) sorted rows, whole partitions, to its blocks[b]. For sm_pool_for. */
sm_status smi_window_block(void *ctx, int64_t b, sm_error *e) SM_MUST_USE;
/* Makes the results of one function by way of sorted runs on disk. */
sm_status smi_window_spilled(smi_window_all *w, const sm_window_item *item,
                             smi_window_result *result, sm_error *e) SM_MUST_USE;

#endif
