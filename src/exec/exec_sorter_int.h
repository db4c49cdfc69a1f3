/* SPDX-License-Identifier: Apache-2.0
 *
 * exec/exec_sorter_int.h: takes rows in any order and gives them sorted, by way of sorted runs on
 * disk where memory is short (exec_sorter.c). For ORDER BY, windows with keys, and a join's output.
 * */
#ifndef SM_EXEC_SORTER_INT_H
#define SM_EXEC_SORTER_INT_H

#include "exec/exec_spill_int.h"

/* A struct of a schema's fields and a UBIGINT, the row's place; fields have no names. */
const sm_type *smi_with_place(sm_arena *a, const sm_type *schema);

/* Sorted rows of several runs, a batch after another. */
typedef struct smi_merge {
    smi_sort_spec spec; /* over `held` */
    const smi_rows *runs;
    int64_t n_runs;
    sm_budget *budget; /* of what is held */
    smi_batches held;  /* the runs' current batches, and those that rows were taken from since */
    int64_t *next;     /* of each run: its next batch, */
    smi_ref *at;       /* where it stands among the held ones */
    int32_t *heap;     /* runs, the least row first */
    int32_t n_heap;
} smi_merge;

/** `spec` without rows: keys, their first column, place (which no two rows share). Borrows runs. */
sm_status smi_merge_begin(smi_merge *m, const smi_sort_spec *spec, const smi_rows *runs, int64_t n,
                          sm_budget *budget, sm_error *e) SM_MUST_USE;
/** The first columns (those of `schema`) of the next rows, at most a batch of them, from `budget`;
 * NULL at the end. */
sm_status smi_merge_next(smi_merge *m, const sm_type *schema, sm_budget *budget, sm_batch **out,
                         sm_error *e) SM_MUST_USE;
void smi_merge_end(smi_merge *m);

typedef enum smi_sorter_state {
    SMI_SORTER_NONE,    /* {0} */
    SMI_SORTER_FILLING, /* takes rows */
    SMI_SORTER_SORTED,  /* finished, all rows in memory: `order` gives them */
    SMI_SORTER_MERGING, /* finished, rows in runs on disk: `merge` gives them */
} smi_sorter_state;

typedef struct smi_sorter {
    smi_sorter_state state;
    smi_execution *exec;
    const sm_plan_node *node;
    sm_budget *budget;
    const sm_type *schema; /* of the rows: with keys and place */
    smi_sort_spec spec;    /* without rows */
    bool is_of_driver;     /* a driver finishes it, which counts its own time */
    sm_mutex lock;
    /* under the lock */
    smi_batches rows;
    int64_t n_rows;
    size_t bytes; /* of rows */
    smi_spill *spill;
    smi_rows *runs; /* they borrow the spill */
    int64_t n_runs, cap_runs;
    /* finished */
    smi_merge merge;
    sm_block *block;
    const smi_sort_row *order;
    int64_t n_order, at;
} smi_sorter;

void smi_sorter_init(smi_sorter *s, smi_execution *exec, const sm_plan_node *node,
                     sm_budget *budget, const sm_type *schema, const smi_sort_spec *spec);
/** Adds to the profile of its node what it has spilled: one at a time of those of a node. */
void smi_sorter_release(smi_sorter *s);
/** Takes compact rows. Any thread. When memory is short, sorts and spills all rows in memory. */
sm_status smi_sorter_add(smi_sorter *s, sm_batch *taken, sm_error *e) SM_MUST_USE;
/** After the last row. Where all rows are in memory, sorts them into s->order (s->n_order rows of
 * s->rows); else begins the merge of the runs on disk. s->state says which. */
sm_status smi_sorter_finish(smi_sorter *s, sm_error *e) SM_MUST_USE;
/** The first columns (those of `schema`) of the next rows, as smi_merge_next, wherever they are. */
sm_status smi_sorter_next(smi_sorter *s, const sm_type *schema, sm_budget *budget, sm_batch **out,
                          sm_error *e) SM_MUST_USE;

#endif
