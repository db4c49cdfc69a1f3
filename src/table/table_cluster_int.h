/* SPDX-License-Identifier: Apache-2.0
 *
 * table/table_cluster_int.h: which files a clustering may move (table_cluster_list.c) and moves
 * (table_cluster_choose.c), which of them by one commit (table_cluster_part.c), and the domain
 * delta.clustering (table_cluster_domain.c), for table_cluster.c. */
#ifndef SM_TABLE_CLUSTER_INT_H
#define SM_TABLE_CLUSTER_INT_H

#include "table/table_int.h"

/* How a table is to be clustered. */
typedef struct smi_cluster_goal {
    sm_str by;              /* as marks have it (smi_cluster_mark_text) */
    const int32_t *columns; /* of the table's schema */
    int32_t n_columns;
    uint64_t file_bytes; /* of a good file */
    int64_t least_rows;  /* fewer rows without the mark stay */
    const sm_map *only;  /* identities of partitions (smi_partition_identity), each with a value
                          * that is not NULL: files of others stay. NULL: any may move */
    bool has_domain;     /* files that another implementation has clustered are its own */
} smi_cluster_goal;

/* Files of one snapshot. */
typedef struct smi_cluster_choice {
    const sm_delta_file **files; /* that move, partition after partition */
    const char **whys;           /* one a file, a static text */
    int64_t *partitions;         /* one a file: the number of its partition, ascending */
    int64_t n_files;
    int64_t n_kept, n_kept_sets; /* files that stay, also of others, and the sets of ours */
    uint64_t kept_bytes;
    int64_t n_waiting; /* files that are not clustered, and stay all the same */
} smi_cluster_choice;

/* A set of sorted files moves where it has at most so many times the bytes of what moves so far. 2:
 * with 1, loads that each are a little smaller than the one before would never be joined. */
#define SMI_CLUSTER_SLACK 2

/** Has another implementation clustered the file, so that it is for that one to move? */
bool smi_cluster_is_of_others(const smi_cluster_goal *goal, const sm_delta_file *f);

/* Files that stay whatever is chosen among the others, and their sets. */
typedef struct smi_cluster_rest {
    int64_t n_files, n_sets;
    uint64_t bytes;
} smi_cluster_rest;
/** Lists the files of the snapshot that may move, and counts the others (table_cluster_list.c). The
 * snapshot was opened without files. Errors: as sm_snapshot_each(). */
sm_status smi_cluster_list(sm_snapshot *s, const smi_cluster_goal *goal, smi_cluster_rest *out,
                           sm_error *e) SM_MUST_USE;
/** Chooses the files that move among those that the snapshot lists.
 *
 * Owner     *out lives in `a`, and borrows the snapshot */
void smi_cluster_choose(const sm_snapshot *s, const smi_cluster_goal *goal, sm_arena *a,
                        smi_cluster_choice *out);

/* Partitions whose rows one plan sorts. */
typedef struct smi_cluster_run {
    int64_t bin, n_bins;       /* the first of them, and how many */
    const uint64_t *quantiles; /* of several: keys between which are enough rows to be sorted apart
                                * from others */
    int32_t n_quantiles;
} smi_cluster_run;

/* What one commit moves: all that moves of some partitions. */
typedef struct smi_cluster_part {
    const sm_delta_file *const *files;
    const char *const *whys; /* one a file */
    int64_t *bins, *runs;    /* one a file: its partition and its run, from 0 */
    int64_t n_files, n_bins;
    uint64_t bytes;
    smi_cluster_run *items; /* the runs */
    int64_t n_runs;
    bool is_last; /* nothing that moves is left */
} smi_cluster_part;

/** Takes the first partitions of a choice, those that one commit may move.
 *
 * Shape     group_rows: of a row group; range_rows: so many are worth being sorted apart
 * Owner     *out lives in `a`, and borrows the choice */
void smi_cluster_part_take(const smi_cluster_choice *c, int64_t group_rows, int64_t range_rows,
                           sm_arena *a, smi_cluster_part *out);

/** Has the table the feature by which it says to every engine how it is clustered? */
bool smi_cluster_has_domain(const sm_snapshot *s);
/**
 * The columns by which it says so, of its schema, in `a`; *n is 0 where it says nothing.
 *
 * Errors    SM_TYPE: a nested column; SM_INVALID: the domain is not understood
 */
sm_status smi_cluster_domain_read(const sm_snapshot *s, sm_arena *a, sm_str **out, int32_t *n,
                                  sm_error *e) SM_MUST_USE;
/** The domain that says it, of n ≥ 1 columns of the schema; lives in `a`. */
sm_delta_domain smi_cluster_domain_make(const sm_type *schema, const int32_t *columns, int32_t n,
                                        sm_arena *a);

#endif
