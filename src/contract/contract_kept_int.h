/* SPDX-License-Identifier: Apache-2.0
 *
 * contract/contract_kept_int.h: verdicts that are kept beside a table, between contract_check.c and
 * contract_kept.c. */
#ifndef SM_CONTRACT_KEPT_INT_H
#define SM_CONTRACT_KEPT_INT_H

#include "contract/contract_int.h"

/* How the SQL of a rule, or a reference, has named other rows. */
typedef enum smi_source_kind {
    SMI_SOURCE_OTHER, /* a table of the contract, which lies where a check says */
    SMI_SOURCE_TABLE, /* layer.table of the lake */
    SMI_SOURCE_CALL,  /* FROM 'place', or a table function: its name, and its only argument */
} smi_source_kind;

/* Rows beside those that are checked. */
typedef struct smi_source {
    smi_source_kind kind;
    const sm_str *parts;
    int32_t n_parts;
    const sm_snapshot *snapshot;
} smi_source;

/* The verdict of one check: the one that is kept, and what the audit of a new one has read. */
typedef struct smi_kept {
    const sm_checked_rows *in;
    sm_resolver names; /* those of the check */
    sm_status (*other)(void *ctx, sm_str table, sm_arena *a, sm_relation *out, sm_error *e);
    void *ctx; /* of other() */
    sm_arena *a;
    const sm_snapshot *rows; /* NULL: nothing is kept */
    sm_str key;              /* of the object */
    sm_str state;            /* of the rows, once it is known; else "" */
    smi_source *sources;     /* that the audit has read, each once */
    int64_t n_sources, cap_sources;
    bool is_open; /* the audit has read what has no snapshot: its verdict is not kept */
} smi_kept;

/* What was counted of all rules: by an audit now, or by the one whose verdict was kept. */
typedef struct smi_kept_counts {
    sm_rule_count *counts;
    int64_t n_rows, time_us;
    sm_str notes[2]; /* for the user; "" */
} smi_kept_counts;

/**
 * Begins to keep the verdict of a check. in, names, other, ctx and a are set.
 *
 * Shape     rows: what is checked; NULL: no Delta table, and nothing is found or kept
 */
void smi_kept_begin(smi_kept *k, const sm_snapshot *rows);

/**
 * Finds the verdict that is kept, if nothing that it depends on has changed since.
 *
 * Shape     *out: the rows and counts of it, as of sm_contract_judge(), and its time; counts NULL:
 *           there is none. `notes`: why one that is there could not be used
 * Owner     *out lives in the arena
 * Errors    those of reading the table's log
 * Cost      one object, and the logs of the tables
 */
sm_status smi_kept_find(smi_kept *k, smi_kept_counts *out, sm_error *e) SM_MUST_USE;
/** The names for an audit, which note what is read. Borrows `k`. */
sm_resolver smi_kept_names(smi_kept *k);
/** Notes the rows of another table that the audit reads, by its name in the contract. */
void smi_kept_saw(smi_kept *k, smi_source_kind kind, const sm_str *parts, int32_t n,
                  const sm_relation *rows);
/** Keeps what an audit has counted. Where that cannot be, notes[1] says why. Errors: those of
 * reading a log. */
sm_status smi_kept_put(smi_kept *k, smi_kept_counts *counts, sm_error *e) SM_MUST_USE;

#endif
