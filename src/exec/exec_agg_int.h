/* SPDX-License-Identifier: Apache-2.0
 *
 * exec/exec_agg_int.h: what exec_agg.c (rows in), exec_agg_fold.c (groups out) and
 * exec_agg_spill.c share. */
#ifndef SM_EXEC_AGG_INT_H
#define SM_EXEC_AGG_INT_H

#include "exec/exec_pack_int.h"

#define SMI_ARGS_MAX 16 /* arguments of one aggregate */

static inline uint32_t smi_part_of(uint64_t hash)
{
    return (uint32_t)(hash >> 56);
}

/* The aggregates with one FILTER. Lane 0 is that of the aggregates without FILTER; it always exists
 * and has the keys. The columns of its evaluated batches are: keys, arguments, hash. Those of other
 * lanes: arguments, and the row's number among the rows of lane 0. */
typedef struct smi_agg_lane {
    const sm_expr *filter;
    const sm_expr **args; /* distinct ones; lane 0: after the keys */
    int32_t n_args;
    const sm_type *schema;
} smi_agg_lane;

/* One aggregate of the list. */
typedef struct smi_agg_item {
    const sm_agg_item *item;
    const sm_aggregate *fn;
    int32_t lane;
    int32_t cols[SMI_ARGS_MAX]; /* of the lane's batches */
    int32_t n_args;
    size_t state_off;
    int32_t set;               /* DISTINCT: which of a partition's sets; −1 */
    const sm_type **set_types; /* of its keys: the group, then the arguments */
} smi_agg_item;

/* Rows (or groups of a morsel, with their states) sorted by partition. The rows of a partition
 * start at a multiple of 8, so that their slice of any column, bitmaps too, is just a pointer. */
typedef struct smi_chunk_lane {
    sm_batch *rows;
    uint32_t first[SMI_PARTS], count[SMI_PARTS];
} smi_chunk_lane;

typedef struct smi_chunk smi_chunk;
struct smi_chunk {
    smi_chunk *next;
    smi_chunk_lane *lanes; /* groups: one, with the columns keys, group number, hash */
    int32_t n_lanes;
    smi_groups *groups; /* NULL: rows */
    sm_agg_heap *heap;
    smi_packed *packed; /* then there are no lanes */
    uint64_t ordinal;   /* of its morsel */
    bool is_early;      /* rows of a morsel that would have made groups (exec_agg_spill.c) */
    bool starts_run;    /* the morsel before it has written its chunks to disk itself */
    size_t size_bytes;
};

/* Rows or groups of a partition that were spilled, or are kept until the output. */
typedef struct smi_agg_piece {
    union {
        smi_pack_piece packed;
        smi_extent lanes; /* rows, a batch a lane */
        const smi_chunk *kept;
    } is;
    uint64_t ordinal; /* of its first chunk */
    uint64_t seq;     /* among those of the morsel */
    bool is_early, is_kept;
} smi_agg_piece;

typedef struct smi_part {
    smi_pack_table *packed; /* then the rest is not used */
    smi_groups *groups;
    sm_agg_heap *heap;
    smi_groups **sets;
    smi_agg_piece *pieces; /* under the lock; to be added after all that the table has */
    int64_t n_pieces, cap_pieces;
} smi_part;

typedef struct smi_agg_morsel smi_agg_morsel;

/* FILLING -> (SPILLING) -> GIVING -> DONE */
typedef enum smi_agg_state {
    SMI_AGG_FILLING,  /* rows come, chunks are folded into tables */
    SMI_AGG_SPILLING, /* rows come, chunks go to disk; tables keep what they have */
    SMI_AGG_GIVING,   /* all rows have come: partitions read what is on disk, groups go out */
    SMI_AGG_DONE,     /* all groups are out */
} smi_agg_state;

/* The chunks of one task, in order. */
typedef struct smi_chunks {
    smi_chunk *head, *tail;
    size_t size_bytes;
    bool is_closed;
    bool is_put; /* the morsel has written them to disk itself */
} smi_chunks;

typedef struct smi_agg {
    smi_end end;
    smi_execution *exec;
    const sm_plan_node *node;
    sm_budget *budget;
    sm_budget *tables; /* below it: the partitions' */
    int32_t n_keys;
    const sm_type **key_types;
    smi_agg_lane *lanes;
    int32_t n_lanes;
    smi_agg_item *items;
    int32_t n_items, n_sets;
    size_t state_bytes;
    const sm_type *group_schema; /* keys, group number, hash */
    smi_pack *pack;              /* NULL: rows are not packed, but go by lanes */
    bool may_group_early;        /* every aggregate can merge, none is DISTINCT */
    smi_part parts[SMI_PARTS];
    size_t fold_bytes;      /* fold when so much waits */
    smi_spill *spill;       /* NULL: nothing is spilled yet */
    _Atomic size_t waiting; /* bytes in ring and queue */
    _Atomic int state;      /* smi_agg_state; moved by smi_agg_move */
    smi_chunk *kept;        /* chunks that pieces point to */
    sm_mutex lock;
    /* under the lock */
    smi_chunks *ring; /* of tasks that are ahead of their turn */
    uint64_t turn;
    bool had_put;     /* the last task whose turn came had written its chunks to disk itself */
    smi_chunks queue; /* in order, to be folded */
    bool is_folding;
    uint32_t n_folds;
    _Atomic int64_t fold_ns; /* over all threads */
    smi_agg_morsel *open;    /* morsels not closed */
    /* output */
    int32_t *task_first; /* partitions of task i: [task_first[i], task_first[i + 1]) */
} smi_agg;

/* Changes the state; asserts that the change is one of those above. Under the lock while rows come.
 * */
void smi_agg_move(smi_agg *a, smi_agg_state to);

/* Adds chunks to the partitions, or spills them: partitions side by side, the chunks of each in
 * order. Removes chunks from the list that are still needed. */
sm_status smi_agg_fold(smi_agg *a, smi_chunks *some, sm_error *e) SM_MUST_USE;
/* Adds the rows or groups of partition p of a chunk and those after it. */
sm_status smi_agg_fold_into(smi_agg *a, smi_part *part, const smi_chunk *head, int32_t p,
                            sm_error *e) SM_MUST_USE;
/* The groups of a morsel's own table as a batch: keys, number, hash. */
sm_status smi_agg_list_groups(smi_agg *a, const smi_groups *g, sm_batch **out,
                              sm_error *e) SM_MUST_USE;
/* Updates the states of one item by n rows of `cols`. Row i belongs to states[rows[i]], or to
 * states[i] where rows is NULL. `pointers` is scratch for n. */
sm_status smi_agg_update(const smi_agg_item *it, const sm_column *cols, int64_t n,
                         uint8_t *const *states, const uint64_t *rows, void **pointers,
                         sm_agg_heap *heap, sm_error *e) SM_MUST_USE;
/* Gives the groups to the ops and the end, partition by partition. */
sm_status smi_agg_output(smi_agg *a, smi_op *next, smi_end *end, uint64_t *turn,
                         sm_error *e) SM_MUST_USE;
void smi_part_release(smi_agg *a, smi_part *p);

/* ---- spilling (exec_agg_spill.c) ------------------------------------------------------------- */

/* Are chunks to be written to disk from now on? Where they are not yet, decides it anew. */
sm_status smi_agg_check_memory(smi_agg *a, bool *is_spilling, sm_error *e) SM_MUST_USE;
/* Writes partition p of some chunks as its next piece. `n` orders the pieces of a morsel. */
sm_status smi_agg_put(smi_agg *a, int32_t p, const smi_chunk *head, uint32_t n,
                      sm_error *e) SM_MUST_USE;
/* Moves those chunks of a list that pieces point to into a->kept. */
void smi_agg_keep(smi_agg *a, smi_chunks *some);
/* Reads the pieces of a partition, so that its table has all its groups. */
sm_status smi_agg_get(smi_agg *a, int32_t p, sm_error *e) SM_MUST_USE;

#endif
