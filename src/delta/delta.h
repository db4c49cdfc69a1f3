/* SPDX-License-Identifier: Apache-2.0
 *
 * delta/delta.h: the delta room's door. The Delta transaction log, nothing else: a log directory
 * becomes a snapshot, a list of actions becomes the next version. Needs: base to format.
 *
 * Start at   sm_snapshot_open() to read, sm_delta_commit_write() to write
 * Never      runs a query, deletes a data file, publishes half a version
 * Invariant  one put-if-absent makes a version; a lost race is rebased where the protocol allows
 *            it, else SM_CONFLICT
 * Protocol   reads (1..3) and writes (1,2); (3,7) with features named in features.def; a feature
 *            that is not there is refused by name (SM_UNSUPPORTED)
 * Source     delta-io/delta PROTOCOL.md */
#ifndef SM_DELTA_DELTA_H
#define SM_DELTA_DELTA_H

#include "format/format.h"

/* ---- what a log says ------------------------------------------------------------------------- */

typedef struct sm_delta_protocol {
    int32_t min_reader, min_writer;
    const sm_str *reader_features, *writer_features; /* (3,7) only */
    int32_t n_reader_features, n_writer_features;
} sm_delta_protocol;

typedef struct sm_delta_metadata {
    sm_str id; /* GUID */
    sm_str name, description;
    const sm_type *schema; /* nullability and field metadata kept */
    const sm_str *partition_columns;
    int32_t n_partition_columns;
    const sm_pair *config; /* delta.appendOnly, … */
    int32_t n_config;
    int64_t created_ms; /* −1: not said */
} sm_delta_metadata;

/* Which rows of a data file are deleted. Where the bits lie: PROTOCOL.md, "Deletion Vectors". */
typedef struct sm_delta_dv {
    sm_str storage_type, path_or_inline;
    int64_t offset; /* −1: none */
    int64_t size_bytes, cardinality;
} sm_delta_dv;

/* A live data file. */
typedef struct sm_delta_file {
    sm_str path; /* as in the log: relative and URL-encoded, or absolute */
    sm_str key;  /* decoded, below the table's root; "" where it lies elsewhere (then `uri`) */
    uint64_t size_bytes;
    int64_t modified_ms;
    const sm_value *partition; /* one a partition column, of its type */
    int64_t n_rows;            /* from the statistics; −1 unknown */
    const sm_range *ranges;    /* one a top-level field of the schema; NULL: no statistics */
    sm_str stats_json;         /* as written, "" where none */
    const sm_delta_dv *dv;     /* deletion vector, or NULL */
    const sm_pair *tags;
    int32_t n_tags;
} sm_delta_file;

typedef struct sm_delta_txn {
    sm_str app_id;
    int64_t version;
    int64_t updated_ms; /* −1: not said */
} sm_delta_txn;

/* ---- reading --------------------------------------------------------------------------------- */

typedef struct sm_snapshot sm_snapshot; /* counted, immutable */

#define SM_VERSION_LATEST ((int64_t)-1)

/**
 * Opens a version of the table at the store's root. Classic and multi-part checkpoints (Parquet),
 * V2 checkpoints where in reach; a broken _last_checkpoint is passed over.
 *
 * Errors    SM_NOT_FOUND: no table there, or not that version (naming those there are);
 *           SM_CORRUPT: a gap in the log, no protocol or no metadata, a log entry that leaves the
 *           table's root; SM_UNSUPPORTED: a reader feature, by name
 */
sm_status sm_snapshot_open(sm_store *s, int64_t version, sm_budget *budget, sm_snapshot **out,
                           sm_error *e) SM_MUST_USE;
sm_snapshot *sm_snapshot_retain(sm_snapshot *s);
void sm_snapshot_release(sm_snapshot *s); /* takes NULL */

/** Is there a table? false also where the folder is not there; other failures are errors. */
sm_status sm_delta_exists(sm_store *s, bool *out, sm_error *e) SM_MUST_USE;

int64_t sm_snapshot_version(const sm_snapshot *s);
sm_store *sm_snapshot_store(const sm_snapshot *s);
const sm_delta_protocol *sm_snapshot_protocol(const sm_snapshot *s);
const sm_delta_metadata *sm_snapshot_metadata(const sm_snapshot *s);
/** Live files in the order in which they were added (within one commit: of their actions), so that
 * a scan gives rows in the order of loading. */
const sm_delta_file *sm_snapshot_files(const sm_snapshot *s, int64_t *n);
const sm_delta_txn *sm_snapshot_txns(const sm_snapshot *s, int64_t *n);
/** The version of an application id, or −1. */
int64_t sm_snapshot_txn(const sm_snapshot *s, sm_str app_id);

/** The snapshot as a dataset of parquet files: stored columns, then partition columns as constants
 * (so the order may differ: *columns gives, for each field of the table's schema, its index in the
 * dataset's). Lives in `a`; borrows the snapshot. A file with a deletion vector: SM_UNSUPPORTED. */
sm_status sm_snapshot_dataset(const sm_snapshot *s, sm_arena *a, sm_dataset *out, int32_t **columns,
                              sm_error *e) SM_MUST_USE;

/* One version as `history` shows it. */
typedef struct sm_delta_commit_info {
    int64_t version, timestamp_ms;
    sm_str operation, parameters_json, metrics_json, engine_info, user_metadata;
    sm_str json; /* the whole commitInfo */
} sm_delta_commit_info;
/** Newest first, at most `limit` (−1: all). Versions whose JSON file is gone are left out. */
sm_status sm_delta_history(sm_store *s, int64_t limit, sm_arena *a, sm_delta_commit_info **out,
                           int64_t *n, sm_error *e) SM_MUST_USE;
/** What one version says of itself, and the version that it gives an application id (−1: none);
 * SM_NOT_FOUND where the log has not (or no more) its JSON file. Of a commit without commitInfo all
 * but the version is empty. */
sm_status sm_delta_info_read(sm_store *s, int64_t version, sm_str app_id, sm_arena *a,
                             sm_delta_commit_info *out, int64_t *txn, sm_error *e) SM_MUST_USE;

/* What a commit says that it did to rows that were there, whoever wrote it. */
typedef enum sm_delta_effect {
    SM_DELTA_CHANGES,    /* what DELETE, UPDATE, MERGE, OPTIMIZE, an append do: rows by rows */
    SM_DELTA_OVERWRITES, /* other rows stand in the place of all, or of a part that it named */
    SM_DELTA_RESTORES,   /* the rows of an earlier version are the table's again */
} sm_delta_effect;
sm_delta_effect sm_delta_effect_of(const sm_delta_commit_info *info);
/** The version whose rows a RESTORE (`version`, the commit itself) brought back: as it says, else
 * the newest one of the same files, for a time means nothing without its zone. SM_NOT_FOUND where
 * the log reaches none. */
sm_status sm_delta_restored_version(sm_store *s, const sm_delta_commit_info *restore,
                                    sm_budget *budget, int64_t *out, sm_error *e) SM_MUST_USE;

/* ---- writing --------------------------------------------------------------------------------- */

/* A new data file: durable below the table's root before the commit. */
typedef struct sm_delta_add {
    sm_str key;                /* encoded by the commit */
    const sm_value *partition; /* one a partition column */
    uint64_t size_bytes;
    int64_t modified_ms;
    int64_t n_rows;         /* in the file, those of `dv` among them */
    const sm_range *ranges; /* one a top-level field; statistics are written from them */
    const sm_delta_dv *dv;  /* deletion vector, or NULL */
    bool has_row_id;
    int64_t base_row_id; /* has_row_id: the row id of its first row */
    const sm_pair *tags;
    int32_t n_tags;
} sm_delta_add;

/* What a commit has read, so that a lost race can be judged. */
typedef enum sm_delta_isolation {
    SM_READ_NOTHING, /* blind append: rebases over whatever does not change schema or protocol */
    SM_READ_FILES,   /* read the rows that `read` describes: conflicts with files added or removed
                      * there by others */
    SM_READ_ALL,     /* read the whole table: conflicts with every change of data */
    SM_READ_UNDONE,  /* takes one commit back: conflicts with who removed one of its files, and,
                      * where files come back, with every removal of rows */
} sm_delta_isolation;

/* A parameter or a metric of an operation. */
typedef struct sm_delta_detail {
    sm_str key;
    sm_value value; /* text, a number (I64), a truth, NULL */
} sm_delta_detail;

/* The record of an operation: all that there is to say of it, whichever it is (a write, a restore,
 * …). Who stages an operation fills it once; from there on nothing asks what operation it was. */
typedef struct sm_delta_commit {
    sm_str operation; /* as Delta calls it: "WRITE", "CREATE TABLE", … */
    const sm_delta_detail *parameters;
    int32_t n_parameters;
    const sm_delta_detail *metrics;
    int32_t n_metrics;

    sm_delta_isolation isolation;
    sm_bounds read;  /* SM_READ_FILES: on the table's schema; rows outside were not read */
    bool keeps_rows; /* the same rows in other files: dataChange is false in adds and removes */
    const sm_delta_metadata *metadata; /* new or changed, or NULL; needed for the first version */
    /* NULL: as it is; (1,2) for a new table, or what its schema's types ask for (timestamp_ntz:
     * (3,7)). */
    const sm_delta_protocol *protocol;
    const sm_delta_add *adds;
    int64_t n_adds;
    const sm_delta_file *const *removes; /* of the snapshot that was read, in its order */
    int64_t n_removes;
    const sm_delta_txn *txns; /* their present versions are read: another one's txn of the same id
                               * is a conflict */
    int64_t n_txns;
    sm_str id;            /* its txnId, which no other commit of the table has; "": a random one */
    sm_str user_metadata; /* any text, or "" */
    sm_str info_json;     /* members to add to commitInfo: "\"smelt\":{…}", or "" */
} sm_delta_commit;

/**
 * Does the record keep what it promises, against the snapshot that it goes on from (NULL: a new
 * table)? What fails it is a mistake of ours, never of a user or of another writer.
 *
 * Cost      its parameters, transactions and files; deep: also a map of the keys of the adds, and
 *           their statistics
 * Returns   false with *why, a static text
 */
bool sm_delta_commit_validate(const sm_delta_commit *c, const sm_snapshot *base, bool deep,
                              const char **why);

/**
 * Makes the next version by put-if-absent; rebases and tries again where the winner's changes do
 * not touch what was read; writes a classic checkpoint and _last_checkpoint every 10 versions
 * (delta.checkpointInterval), whose failure does not undo the commit.
 *
 * `base` is the snapshot that was read, NULL for a new table (version 0).
 *
 * Returns   SM_OK with *version; SM_CONFLICT naming the version that won and what it touched
 * Errors    SM_UNSUPPORTED: a writer feature, by name; SM_SCHEMA; an append-only table with removes
 */
sm_status sm_delta_commit_write(sm_store *s, sm_snapshot *base, const sm_delta_commit *c,
                                sm_budget *budget, int64_t *version, sm_error *e) SM_MUST_USE;

/* ---- writing in steps: prepare, look, put --------------------------------------------------- */

/* A commit as text. Nothing in it depends on the version that it becomes or on who brings it into
 * the log: whoever has it makes the very same commit, or finds it made. */
typedef struct sm_delta_prepared {
    sm_str id;    /* its txnId: the version that carries it is this commit */
    int64_t base; /* the version that was read; −1: a new table */
    sm_delta_isolation isolation;
    sm_str read; /* SM_READ_FILES: bounds of what was read, as JSON; else "" */
    sm_str text; /* the version's lines */
} sm_delta_prepared;

/**
 * Makes the text of a commit, with all checks that sm_delta_commit_write makes.
 *
 * Owner     *out lives in `a`; borrows nothing
 * Errors    SM_UNSUPPORTED, SM_SCHEMA, SM_DENIED, SM_CONFLICT as sm_delta_commit_write
 */
sm_status sm_delta_prepare(const sm_snapshot *base, const sm_delta_commit *c, sm_arena *a,
                           sm_delta_prepared *out, sm_error *e) SM_MUST_USE;

/**
 * Makes the text of a commit that takes back what `c` did as version `version` of the table: its
 * files go, those that it removed come back, and the metadata that it changed. To the log's readers
 * it is a RESTORE of the version before (−1 where there was none: the table is left, empty).
 * Versions of others that came since stay as they are.
 *
 * Owner     *out lives in `a`; `id` and `info_json` as in sm_delta_commit
 * Errors    SM_CORRUPT: the log no longer says what the files were
 */
sm_status sm_delta_prepare_undo(sm_store *s, const sm_delta_prepared *c, int64_t version, sm_str id,
                                sm_str info_json, sm_budget *budget, sm_arena *a,
                                sm_delta_prepared *out, sm_error *e) SM_MUST_USE;

/* The way of a prepared commit into the log: from the version behind its base on, one after the
 * other, until the commit itself, a version behind which it cannot stand, or the log's end.
 * Versions never change, so all who go this way find the same, and no commit is made twice. */
typedef struct sm_delta_attempt sm_delta_attempt;

typedef enum sm_delta_state {
    SM_DELTA_FREE,     /* all versions before sm_delta_attempt_version() may stand before it */
    SM_DELTA_DONE,     /* that version is the commit */
    SM_DELTA_CONFLICT, /* that version is another's, behind which it cannot stand */
    SM_DELTA_LOST, /* the log has the base no more, or not all behind it: somebody has cleaned it
                        * up, or made the table anew. Whether the commit was in it is not known */
} sm_delta_state;

/** Begins behind the base. `base` may be NULL: it is opened where it is needed. Keeps the store and
 * the base; borrows `c`. */
sm_delta_attempt *sm_delta_attempt_new(sm_store *s, sm_snapshot *base, const sm_delta_prepared *c,
                                       sm_budget *budget);
void sm_delta_attempt_free(sm_delta_attempt *t); /* takes NULL */
/** Goes on to the end of the log as it is now; changes nothing. SM_OK in each of the states. */
sm_status sm_delta_attempt_look(sm_delta_attempt *t, sm_error *e) SM_MUST_USE;
/** Puts the commit at the first free version. SM_OK: SM_DELTA_DONE, or SM_DELTA_CONFLICT where
 * another's came first. A failure that leaves open whether it was put (sm_status_retry) leaves the
 * attempt where it was: it may go on, by whomever. */
sm_status sm_delta_attempt_put(sm_delta_attempt *t, sm_error *e) SM_MUST_USE;
sm_delta_state sm_delta_attempt_state(const sm_delta_attempt *t);
/** What the state is of. */
int64_t sm_delta_attempt_version(const sm_delta_attempt *t);
/** SM_CONFLICT with what the other one did, of SM_DELTA_CONFLICT and SM_DELTA_LOST; else SM_OK. */
sm_status sm_delta_attempt_conflict(const sm_delta_attempt *t, sm_error *e) SM_MUST_USE;

/* ---- checkpoints, schemas -------------------------------------------------------------------- */

/** Writes a checkpoint of that version where the table's properties ask for one (every 10
 * versions, or delta.checkpointInterval). A failure is logged: the next one tries again. */
void sm_delta_checkpoint_if_due(sm_store *store, const sm_delta_metadata *m, int64_t version,
                                sm_budget *budget);
/** Writes a classic checkpoint of the snapshot and points _last_checkpoint at it. */
sm_status sm_delta_checkpoint(sm_snapshot *s, sm_budget *budget, sm_error *e) SM_MUST_USE;

/** The types as Delta's schema JSON, and back. SM_UNSUPPORTED for types that Delta has not. */
sm_status sm_delta_schema_json(const sm_type *schema, sm_buf *out, sm_error *e) SM_MUST_USE;
sm_status sm_delta_schema_parse(sm_str json, sm_arena *a, const sm_type **out,
                                sm_error *e) SM_MUST_USE;

#endif
