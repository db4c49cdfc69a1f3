/* SPDX-License-Identifier: Apache-2.0
 *
 * exec/exec_agg_int.h: what exec_agg.c (rows in) and exec_agg_fold.c (groups out) share. */
#ifndef SM_EXEC_AGG_INT_H
#define SM_EXEC_AGG_INT_H

#include "exec/exec_pack_int.h"

#define SMI_ARGS_MAX 16 /* arguments of one aggregate */

static inline uint32_t smi_part_of(uint64_t hash)
{
    return (uint32_t)(hash >> 56);
}

/* The aggregates with one FILTER, or without: lane 0, which always is and carries the keys. Its
 * evaluated batches have the columns: keys, args, hash (lane 0) or args, row (others), where row is
 * the row's place among those of lane 0 that are kept with it. */
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

/* Rows (or groups of a morsel, with their states) laid out by partition. A partition's run starts
 * at a multiple of 8, so that its slice of every column, bitmaps too, is a pointer. */
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
    bool starts_run;    /* the morsel before it has put its chunks itself */
    size_t size_bytes;
};

/* What was spilled of a partition, or kept beside it. */
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
    smi_agg_piece *pieces; /* under the lock; what comes after what the table has seen */
    int64_t n_pieces, cap_pieces;
} smi_part;

typedef struct smi_agg_morsel smi_agg_morsel;

/* FILLING -> (SPILLING) -> GIVING -> DONE */
typedef enum smi_agg_state {
    SMI_AGG_FILLING,  /* rows come, chunks are folded into tables */
    SMI_AGG_SPILLING, /* rows come, chunks go to disk; tables keep what they have */
    SMI_AGG_GIVING,   /* all rows were here: partitions take in what is on disk, groups go out */
    SMI_AGG_DONE,     /* all groups are out */
} smi_agg_state;

/* What a task has fed to the ends of chunks, in order. */
typedef struct smi_chunks {
    smi_chunk *head, *tail;
    size_t size_bytes;
    bool is_closed;
    bool is_put; /* the morsel has put them itself */
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
    smi_pack *pack;              /* NULL: the general way, by lanes */
    bool may_group_early;        /* every aggregate can merge, none is DISTINCT */
    smi_part parts[SMI_PARTS];
    size_t fold_bytes;      /* fold when so much waits */
    smi_spill *spill;       /* NULL: nothing is spilled yet */
    _Atomic size_t waiting; /* bytes in ring and queue */
    _Atomic int state;      /* smi_agg_state; moved by smi_agg_move */
    smi_chunk *kept;        /* that pieces name */
    sm_mutex lock;
    /* under the lock */
    smi_chunks *ring; /* of tasks that are ahead of their turn */
    uint64_t turn;
    bool had_put;     /* the last one that had its turn had put its chunks itself */
    smi_chunks queue; /* in order, to be folded */
    bool is_folding;
    uint32_t n_folds;
    _Atomic int64_t fold_ns; /* over all threads */
    smi_agg_morsel *open;    /* morsels not closed */
    /* output */
    int32_t *task_first; /* partitions of task i: [task_first[i], task_first[i + 1]) */
} smi_agg;

/* The only way from one state to another. Under the lock while rows come. */
void smi_agg_move(smi_agg *a, smi_agg_state to);

/* Adds chunks to the partitions, each partition's in order, partitions side by side; or spills
 * them. Takes those out of the list that are still needed. */
sm_status smi_agg_fold(smi_agg *a, smi_chunks *some, sm_error *e) SM_MUST_USE;
/* Adds the rows or groups of partition p of a chunk and those after it. */
sm_status smi_agg_fold_into(smi_agg *a, smi_part *part, const smi_chunk *head, int32_t p,
                            sm_error *e) SM_MUST_USE;
/* The groups of a morsel's own table as a batch: keys, number, hash. */
sm_status smi_agg_list_groups(smi_agg *a, const smi_groups *g, sm_batch **out,
                              sm_error *e) SM_MUST_USE;
/* Updates the states of n rows of one item. `rows` names each row's state, NULL: one after another;
 * args: the item's columns, first … first + n − 1. */
sm_status smi_agg_update(const smi_agg_item *it, const sm_column *cols, int64_t n,
                         uint8_t *const *states, const uint64_t *rows, void **pointers,
                         sm_agg_heap *heap, sm_error *e) SM_MUST_USE;
/* Gives the groups to the ops and the end, partition by partition. */
sm_status smi_agg_output(smi_agg *a, smi_op *next, smi_end *end, uint64_t *turn,
                         sm_error *e) SM_MUST_USE;
void smi_part_release(smi_agg *a, smi_part *p);

/* ---- spilling (exec_agg_spill.c) ------------------------------------------------------------- */

/* Whether chunks are to be put from now on; decides it anew where they are not yet. */
sm_status smi_agg_check_memory(smi_agg *a, bool *is_spilling, sm_error *e) SM_MUST_USE;
/* Puts partition p of some chunks behind what it has. n grows from call to call for a morsel. */
sm_status smi_agg_put(smi_agg *a, int32_t p, const smi_chunk *head, uint32_t n,
                      sm_error *e) SM_MUST_USE;
/* The aggregate takes over those chunks of a list that pieces name. */
void smi_agg_keep(smi_agg *a, smi_chunks *some);
/* Takes in what was put, so that the partition's table has all its groups. */
sm_status smi_agg_get(smi_agg *a, int32_t p, sm_error *e) SM_MUST_USE;

#endif
