/* SPDX-License-Identifier: Apache-2.0
 *
 * contract/contract_kept_int.h: what checks keep beside a table, between contract_check.c, which
 * asks for it, contract_kept.c (whole verdicts), contract_kept_files.c (counts of files) and
 * contract_kept_keys.c (hashes of their keys). */
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
    sm_names *tables;
    sm_resolver names; /* of `tables` */
    sm_status (*other)(void *ctx, sm_str table, sm_arena *a, sm_relation *out, sm_error *e);
    void *ctx; /* of other() */
    sm_arena *a;
    const sm_snapshot *table; /* that is checked; NULL: nothing is kept */
    const sm_snapshot *rows;  /* the same; NULL: no whole verdict is kept */
    sm_str key;               /* of the object of the verdict */
    sm_str files_key;         /* of that of the counts of files */
    sm_str state;             /* of the rows, once it is known; else "" */
    smi_source *sources;      /* that the audit has read, each once */
    int64_t n_sources, cap_sources;
    sm_str *keys; /* names of objects of keys that the audit used (contract_kept_keys.c) */
    int64_t n_keys, cap_keys;
    bool is_open; /* the audit has read what has no snapshot: its verdict is not kept */
} smi_kept;

/* What was counted of all rules: by an audit now, or by the one whose verdict was kept. */
typedef struct smi_kept_counts {
    sm_rule_count *counts;
    int64_t n_rows, time_us;
    sm_str notes[2]; /* for the user; "" */
} smi_kept_counts;

/**
 * Begins to keep the verdict of a check. in, tables, names, other, ctx and a are set.
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

/* ---- objects --------------------------------------------------------------------------------- */

/* Object i of keys, by its name, 32 digits. */
#define SMI_KEYS_OBJECT SM_VERDICTS_FOLDER "%.*s-%d.keys"
#define SMI_KEPT_BYTES  ((size_t)64 << 20) /* that an object has at most */

/** The hash of bytes as 32 digits. In `a`. */
sm_str smi_kept_hash(sm_str bytes, sm_arena *a);
/** The hash, in `a`, of what a table says of its rows: id, columns, properties. Errors: of a schema
 * that cannot be written. */
sm_status smi_kept_metadata(const sm_snapshot *s, sm_arena *a, sm_str *out,
                            sm_error *e) SM_MUST_USE;
/** The hash of what is the same of a file of the table as long as its rows are. */
sm_hash128 smi_kept_file(const sm_delta_file *f);
/* One that was read. */
typedef struct smi_kept_object {
    sm_buf bytes; /* the caller's, who releases it */
    sm_str body; /* in it, what stands behind the first line; {0}: there is none that can be used */
    bool is_there;
    bool is_aging; /* written so long ago that it should be written again, lest a vacuum takes it */
} smi_kept_object;
/** Reads an object. Where one is there that cannot be used, *note says why, unless something is
 * said there. */
void smi_kept_get(const smi_kept *k, sm_str key, smi_kept_object *out, sm_str *note);
/** Replaces an object. Where that cannot be, *note says why, unless something is said there. */
void smi_kept_replace(const smi_kept *k, sm_str key, sm_str body, sm_str *note);

/* ---- counts of each file (contract_kept_files.c) --------------------------------------------- */

typedef struct smi_kept_files smi_kept_files;
/**
 * Counts the rows of the table and those that break its row rules, over the files that nothing is
 * kept of, and over others for rules that are new.
 *
 * Shape     rules: those of sm_contract_bind() over u->in->rows; sets u->n_rows, and of each rule
 *           in u->counts what a pass over all rows would give, but for the worst group. *out: what
 *           smi_files_put() keeps. *note: why what is there could not be used
 * Owner     *out lives in k->a
 * Errors    those of reading the table's log, of running a plan
 */
sm_status smi_files_count(smi_kept *k, smi_audit *u, const sm_bound_rule *rules, int64_t n,
                          smi_kept_files **out, sm_str *note, sm_error *e) SM_MUST_USE;
/**
 * Counts nothing: of the files that a write has added it is known that no row of them breaks a row
 * rule, and of others what was kept.
 *
 * Shape     rules: as of smi_files_count(). *out: what smi_files_put() keeps; NULL: it would know
 *           less than what is kept, as a rule is new, or no more. *is_all: the table has no other
 *           files than these; *n_rows in them. *note: as of smi_files_count()
 * Errors    those of reading the table's log
 */
sm_status smi_files_written(smi_kept *k, smi_audit *u, const sm_bound_rule *rules, int64_t n,
                            const sm_delta_add *added, int64_t n_added, smi_kept_files **out,
                            bool *is_all, int64_t *n_rows, sm_str *note, sm_error *e) SM_MUST_USE;
/* What contract_kept_keys.c needs of the files that were counted, in their order. */

int64_t smi_files_n(const smi_kept_files *f);
/** The hash by which file i is known. */
const sm_hash128 *smi_files_id(const smi_kept_files *f, int64_t i);
int64_t smi_files_rows_in(const smi_kept_files *f, int64_t i); /* how many rows are in file i? */
uint64_t smi_files_bytes(const smi_kept_files *f, int64_t i);  /* how many bytes has it? */
/** smi_kept_metadata() of the table. */
sm_str smi_files_table(const smi_kept_files *f);
/** The rows of files at[0] < at[1] < … as sm_names_file_rows() gives them, by numbers from 0 to
 * n − 1. Errors: those of it, and of reading the log. */
sm_status smi_files_rows(smi_kept_files *f, const int64_t *at, int64_t n, const sm_plan_node **out,
                         sm_error *e) SM_MUST_USE;
/** Appends all that makes an expression over `schema` another one. */
void smi_put_expr(sm_buf *out, const sm_expr *x, const sm_type *schema);
/** Appends a number as LEB128. */
void smi_put_varint(sm_buf *out, uint64_t v);
/** Takes such a number from the front, which is none below 0 as int64_t; false: there is none. */
bool smi_take_varint(sm_str *in, int64_t *out);

/** Keeps the counts for the next check, if they are others than those that were found. *note: as of
 * smi_kept_replace(). Takes NULL. */
void smi_files_put(smi_kept_files *f, sm_str *note);

/* ---- keys of each file (contract_kept_keys.c) ------------------------------------------------ */

/**
 * Finds the files in which a key may come more than once, by the hashes that are kept of files and
 * by reading the keys of others, whose hashes are kept then.
 *
 * Shape     exprs: the n parts of the key, over u->in->rows. *is_none: no key comes twice. Else
 *           *rows are those of the files that may have such keys, their columns first those of
 *           u->in->rows; it stays as it was where that is not known
 * Owner     *rows lives as long as the names of the check
 *           notes: [0] why what is there could not be used, [1] why nothing could be kept
 * Errors    those of running a plan; where memory is refused, nothing is known, and it is SM_OK
 */
sm_status smi_keys_narrow(smi_kept *k, smi_kept_files *f, const smi_audit *u,
                          const sm_expr *const *exprs, int32_t n, const sm_plan_node **rows,
                          bool *is_none, sm_str *notes, sm_error *e) SM_MUST_USE;

#endif
