/* SPDX-License-Identifier: Apache-2.0
 *
 * table/table_cluster_int.h: which files a clustering moves (table_cluster_choose.c), and the
 * domain delta.clustering (table_cluster_domain.c), for table_cluster.c. */
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
    bool has_domain;     /* files that another implementation has clustered are its own */
} smi_cluster_goal;

/* Files of one snapshot. */
typedef struct smi_cluster_choice {
    const sm_delta_file **files; /* that move, in the snapshot's order */
    const char **whys;           /* one a file, a static text */
    int64_t n_files;
    uint64_t bytes;
    int64_t n_kept, n_kept_sets; /* files that stay, also of others, and the sets of ours */
    uint64_t kept_bytes;
    int64_t n_waiting; /* files that are not clustered, and stay all the same */
} smi_cluster_choice;

/** Chooses the files that move. Reads nothing but the snapshot.
 *
 * Owner     *out lives in `a`, and borrows the snapshot */
void smi_cluster_choose(const sm_snapshot *s, const smi_cluster_goal *goal, sm_arena *a,
                        smi_cluster_choice *out);

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
