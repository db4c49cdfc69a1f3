/* SPDX-License-Identifier: Apache-2.0
 *
 * delta/delta.h: the delta room's door. The transaction log of a Delta table and nothing else:
 * a log folder becomes a snapshot; the record of an operation becomes the next version. Needs: base
 * to format.
 *
 * Start at   sm_snapshot_open_head() to read; sm_delta_commit_write() to change one table, or in
 *            steps sm_delta_prepare() and an attempt, by which the table room publishes several
 * Never      runs a query, deletes a data file, publishes half a version
 * Invariant  one put-if-absent makes a version; a lost race is rebased where the protocol allows
 *            it, else SM_CONFLICT
 * Protocol   reads reader versions 1 to 3 and writes writer versions 1 to 7, with the features that
 *            features.def names; any other feature is refused by name (SM_UNSUPPORTED)
 * Rows       that what a table says of its rows (constraints, generated columns) is kept, is the
 *            work of who writes them: the table room
 * Source     delta-io/delta PROTOCOL.md */
#ifndef SM_DELTA_DELTA_H
#define SM_DELTA_DELTA_H

#include "base/hash.h"
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
    int64_t created_ms; /* −1: unknown */
} sm_delta_metadata;

/* Which rows of a data file are deleted. Where the bits lie: PROTOCOL.md, "Deletion Vectors". */
typedef struct sm_delta_dv {
    sm_str storage_type, path_or_inline;
    /* Of a live file whose vector is named by an absolute path ("p") below the table's folder: the
     * text by which it is named relative to that ("u"); else "". */
    sm_str relative;
    int64_t offset; /* −1: none */
    int64_t size_bytes, cardinality;
} sm_delta_dv;

/* A live data file. */
typedef struct sm_delta_file {
    sm_str path; /* as in the log: relative and URL-encoded, or absolute */
    sm_str key;  /* decoded, below the table's root; "" where `path` is absolute */
    uint64_t size_bytes;
    int64_t modified_ms;
    const sm_value *partition; /* one a partition column, of its type */
    int64_t n_rows;            /* from the statistics, with deleted rows; −1 unknown */
    sm_str stats_json;         /* as written, "" where none; sm_snapshot_ranges() parses it */
    const sm_delta_dv *dv;     /* deletion vector, or NULL */
    const sm_pair *tags;
    int32_t n_tags;
    int64_t base_row_id;     /* of its first row, where the table tracks rows; −1: none … */
    int64_t row_version;     /* … and the version of its rows */
    sm_str cluster_provider; /* who sorted it by the columns of delta.clustering; "": nobody */
} sm_delta_file;

/** How many rows of the table are in the file: those that its deletion vector does not delete. −1:
 * not known. */
static inline int64_t sm_delta_file_rows(const sm_delta_file *f)
{
    if (f->n_rows < 0 || !f->dv) {
        return f->n_rows;
    }
    const bool is_possible = f->dv->cardinality >= 0 && f->dv->cardinality <= f->n_rows;
    return is_possible ? f->n_rows - f->dv->cardinality : -1;
}

/* What the files of a version are together. */
typedef struct sm_delta_totals {
    int64_t n_files, bytes;
    int64_t n_rows; /* −1: the statistics of a file do not say how many it has */
} sm_delta_totals;

typedef struct sm_delta_txn {
    sm_str app_id;
    int64_t version;
    int64_t updated_ms; /* −1: unknown */
} sm_delta_txn;

/* A named text that a feature of the table, or an application, keeps in the log. Names that begin
 * with "delta." belong to features. */
typedef struct sm_delta_domain {
    sm_str name, configuration;
    bool is_removed; /* a commit takes it away */
} sm_delta_domain;

/* ---- partitions ------------------------------------------------------------------------------ */

/** The place of a field of the schema among the partition columns; −1: it is none of them. */
int32_t sm_delta_partition_at(const sm_delta_metadata *m, int32_t field);
/** Are two values of one type the same partition? As sm_value_eq(), but −0 is not 0. */
bool sm_delta_partition_eq(sm_value a, sm_value b);
/**
 * Makes the folder of a partition's files, "day=2022-04-01/shop=7/", of one value a partition
 * column; "" where the table has none.
 *
 * Owner     *out lives in `a`
 * Errors    SM_INVALID: a value that the log cannot hold (an empty text, which is NULL there; bytes
 *           that are not UTF-8; a year beyond four digits). SM_LIMIT: a name over 255 bytes
 */
sm_status sm_delta_partition_folder(const sm_delta_metadata *m, const sm_value *values, sm_arena *a,
                                    sm_str *out, sm_error *e) SM_MUST_USE;
/** Appends "column=", with which the folders of a partition column begin. */
void sm_delta_folder_of(sm_str column, sm_buf *out);

/* ---- reading --------------------------------------------------------------------------------- */

typedef struct sm_snapshot sm_snapshot; /* counted, immutable */

#define SM_VERSION_LATEST ((int64_t)-1)

/**
 * Opens a version of the table at the store's root (SM_VERSION_LATEST: the newest), from the newest
 * checkpoint that can be read (classic, in parts, V2) and the commits after it. All its files are
 * listed: for whoever looks at each of them. All others take sm_snapshot_open_head().
 *
 * Owner     *out is the caller's, sm_snapshot_release() it; keeps the store; `budget` must outlive
 *           it
 * Errors    SM_NOT_FOUND: no table there, or not that version (naming the latest);
 *           SM_CORRUPT: a gap in the log, no protocol or no metadata, a log entry that leaves the
 *           table's root, a checksum of the version that says something else; SM_UNSUPPORTED: a
 *           reader feature, by name
 * Threads   one at a time; a snapshot that is open may be read from any thread
 * Cost      one listing of the log, and a request for each checkpoint file and commit that is read;
 *           memory for all live files and the texts of their statistics
 * Source    PROTOCOL.md, "Action Reconciliation", "Checkpoints"
 */
sm_status sm_snapshot_open(sm_store *s, int64_t version, sm_budget *budget, sm_snapshot **out,
                           sm_error *e) SM_MUST_USE;
/**
 * The same without the files of the checkpoint, which are read each time that they are asked for:
 * by sm_snapshot_each(), or by a scan of its dataset. sm_snapshot_files() may not be called before
 * sm_snapshot_list().
 *
 * Errors    as sm_snapshot_open(); what is wrong with a file of the checkpoint is told later
 * Cost      memory for what the commits after the checkpoint say
 */
sm_status sm_snapshot_open_head(sm_store *s, int64_t version, sm_budget *budget, sm_snapshot **out,
                                sm_error *e) SM_MUST_USE;
/** Lists the files of a snapshot that was opened without them, as sm_snapshot_open() does; once.
 * Others may read the snapshot meanwhile, but not its list, and may not list it too. */
sm_status sm_snapshot_list(sm_snapshot *s, sm_error *e) SM_MUST_USE;
/**
 * The same of only those files that is_wanted(ctx, file) is true for: for whoever changes some
 * files by what is said of them. It is asked of each file, in their order, and from the first anew
 * where a checkpoint turns out to be damaged; the file is borrowed for the call. What is not about
 * the list, such as sm_snapshot_each() and the dataset, is of all files as before.
 *
 * Cost      reads the checkpoint; memory for the files that are wanted
 */
sm_status sm_snapshot_list_if(sm_snapshot *s, bool (*is_wanted)(void *ctx, const sm_delta_file *f),
                              void *ctx, sm_error *e) SM_MUST_USE;
/** One more holder, who releases it too. Any thread. */
sm_snapshot *sm_snapshot_retain(sm_snapshot *s);
void sm_snapshot_release(sm_snapshot *s); /* takes NULL; any thread */

/** Is there a table at the store's root? false also where the folder does not exist; other failures
 * are errors. */
sm_status sm_delta_exists(sm_store *s, bool *out, sm_error *e) SM_MUST_USE;

/* What these return is borrowed, as long as the snapshot. Any thread. */

/** The version that was opened. */
int64_t sm_snapshot_version(const sm_snapshot *s);
/** The store that it was opened from. */
sm_store *sm_snapshot_store(const sm_snapshot *s);
/** The protocol that the version needs of its readers and writers. */
const sm_delta_protocol *sm_snapshot_protocol(const sm_snapshot *s);
/** Schema, partition columns and properties. Metadata of fields that the table's mode of column
 * mapping does not use has other keys than in the log, but is written as it was. */
const sm_delta_metadata *sm_snapshot_metadata(const sm_snapshot *s);
/** Live files in the order in which they were added (within one commit: the order of its actions),
 * so that a scan gives rows in the order of loading. A file that holds rows of removed ones stands
 * in the place of the first of them (sm_delta_add.place). */
const sm_delta_file *sm_snapshot_files(const sm_snapshot *s, int64_t *n);
/**
 * Finds the live files that may have rows within the bounds (NULL: all), in their order, and copies
 * them: for whoever changes a part of the table. Nothing of the snapshot changes.
 *
 * Owner     *out lives in `a`, apart from its files' places (sm_snapshot_place)
 * Errors    as sm_snapshot_each()
 * Threads   any thread
 * Cost      reads the checkpoint; memory for what is found, and for their statistics
 */
sm_status sm_snapshot_pick(const sm_snapshot *s, const sm_bounds *bounds, sm_arena *a,
                           sm_delta_file **out, int64_t *n, sm_error *e) SM_MUST_USE;
/** The hash of what is the same of a file in each version that has it with the same rows: its path
 * and its deletion vector. */
sm_hash128 sm_delta_file_hash(const sm_delta_file *f);
/** The ranges of a file by its statistics: one a top-level field of the schema; NULL: no
 * statistics. They live in `a` and borrow the file. */
const sm_range *sm_snapshot_ranges(const sm_snapshot *s, const sm_delta_file *f, sm_arena *a);

/** A copy in `a` of a file of the snapshot; without tags. */
sm_delta_file sm_delta_file_copy(const sm_snapshot *s, const sm_delta_file *f, sm_arena *a);
/** What is wrong with the statistics of a file, as a static text: no JSON, or a number of rows that
 * is none. NULL where nothing is, or there are none. Readers pass over such statistics. */
const char *sm_delta_stats_flaw(sm_str stats_json);

/* Who is given the files of a snapshot, one by one. */
typedef struct sm_delta_sink {
    /* Before the first file, and when all begins anew since a checkpoint turned out to be damaged:
     * files that came before do not count. NULL: nothing is to be done. */
    void (*begin)(void *ctx);
    sm_status (*file)(void *ctx, const sm_delta_file *f, sm_error *e); /* borrowed for the call */
    void *ctx;
} sm_delta_sink;
/**
 * Gives each live file that may have rows within the bounds (NULL: each file), in their order.
 *
 * Errors    those of `to`; of reading the checkpoint, as sm_snapshot_open()
 * Threads   any thread
 * Cost      reads the checkpoint; memory for one of its row groups, and 32 bytes for each file that
 *           is given
 */
sm_status sm_snapshot_each(const sm_snapshot *s, const sm_bounds *bounds, const sm_delta_sink *to,
                           sm_error *e) SM_MUST_USE;
/** Adds up all live files. Errors and cost as sm_snapshot_each(). */
sm_status sm_snapshot_totals(const sm_snapshot *s, sm_delta_totals *out, sm_error *e) SM_MUST_USE;
/** The latest transaction of each application, in the order of first appearance. */
const sm_delta_txn *sm_snapshot_txns(const sm_snapshot *s, int64_t *n);
/** The latest transaction version of an application id, or −1. */
int64_t sm_snapshot_txn(const sm_snapshot *s, sm_str app_id);
/** The domains in the order of first appearance; those that are removed are no longer there. */
const sm_delta_domain *sm_snapshot_domains(const sm_snapshot *s, int64_t *n);
/** The domain of that name, or NULL. */
const sm_delta_domain *sm_snapshot_domain(const sm_snapshot *s, sm_str name);

/**
 * Finds where a live file of the snapshot lies: in the table's own store, or at an absolute path in
 * another (delta_outside.c says which a table may name).
 *
 * Owner     *store is borrowed, as long as the snapshot; *key lives in `a`, or as long as it
 * Errors    SM_UNSUPPORTED: the table may not name it, or smelt has no such store; SM_CORRUPT: it
 *           is no plain path; what the store could not be opened for
 * Threads   any
 */
sm_status sm_snapshot_place(const sm_snapshot *s, const sm_delta_file *f, sm_arena *a,
                            sm_store **store, sm_str *key, sm_error *e) SM_MUST_USE;

/** May the log of a table in that store name the file at `uri`? Else readers refuse it. */
bool sm_delta_may_name(const sm_store *table, sm_str uri);
/** An absolute path or a URI, as it stands, as a path of the log: an encoded URI. In `a`. */
sm_str sm_delta_absolute_path(sm_str uri, sm_arena *a);

/**
 * Makes the dataset by which a scan reads the snapshot. The files of a snapshot that was opened
 * without them are listed by the scan (sm_dataset.lister).
 *
 * Shape     the stored columns in the schema's order, then partition columns as constants of each
 *           file; *columns gives the index in the dataset of each field of the table's schema
 * Owner     *out and *columns live in `a`; borrows the snapshot, which must outlive them
 * Errors    those of sm_snapshot_place, also for deletion vectors; SM_CORRUPT: the log does not say
 *           where a deletion vector is
 * Cost      deletion vectors are read later, each when a scan opens its file
 */
sm_status sm_snapshot_dataset(const sm_snapshot *s, sm_arena *a, sm_dataset *out, int32_t **columns,
                              sm_error *e) SM_MUST_USE;
/** The same of some of the snapshot's listed files: files[i] is the place of one among them; NULL:
 * the first n_files. */
sm_status sm_snapshot_dataset_of(const sm_snapshot *s, const int64_t *files, int64_t n_files,
                                 sm_arena *a, sm_dataset *out, int32_t **columns,
                                 sm_error *e) SM_MUST_USE;

/** The same of files that sm_snapshot_pick() found, or of copies, which it borrows. */
sm_status sm_snapshot_dataset_picked(const sm_snapshot *s, const sm_delta_file *files,
                                     int64_t n_files, sm_arena *a, sm_dataset *out,
                                     int32_t **columns, sm_error *e) SM_MUST_USE;

/** Makes a dataset without files, of the shape that sm_snapshot_dataset() gives one of this
 * metadata; borrows that. */
sm_status sm_delta_dataset(const sm_delta_metadata *m, sm_arena *a, sm_dataset *out,
                           int32_t **columns, sm_error *e) SM_MUST_USE;
/** Ranges that are one a top-level field, as the files of such a dataset have them: in the order of
 * its columns. NULL for NULL. In `a`, or `ranges` itself. */
const sm_range *sm_delta_dataset_ranges(const sm_delta_metadata *m, const sm_range *ranges,
                                        const int32_t *columns, sm_arena *a);

/* One version as `history` shows it. */
typedef struct sm_delta_commit_info {
    int64_t version, timestamp_ms;
    sm_str operation, parameters_json, metrics_json, engine_info, user_metadata;
    sm_str json; /* the whole commitInfo */
} sm_delta_commit_info;
/** Is given what a version says of itself; the texts are borrowed for the call. */
typedef sm_status (*sm_delta_each_info)(void *ctx, const sm_delta_commit_info *info, sm_error *e);
/**
 * Gives what the newest versions say of themselves to each(ctx, …), one by one.
 *
 * Shape     newest first, at most `limit` (−1: all); versions without a JSON file are left out
 * Errors    SM_NOT_FOUND: the log has no commit at all; those of `each`
 * Cost      one listing of the log, a request for each version; memory for the listing and a commit
 */
sm_status sm_delta_history_each(sm_store *s, int64_t limit, sm_budget *budget,
                                sm_delta_each_info each, void *ctx, sm_error *e) SM_MUST_USE;
/** The same as an array. Owner: *out and its texts live in `a`. */
sm_status sm_delta_history(sm_store *s, int64_t limit, sm_arena *a, sm_delta_commit_info **out,
                           int64_t *n, sm_error *e) SM_MUST_USE;
/**
 * Reads what one version says of itself, and the transaction version that it gives an application
 * id (*txn; −1: none). Where the commit has no commitInfo, all of *out but the version is empty.
 *
 * Owner     the texts of *out live in `a`
 * Errors    SM_NOT_FOUND: the log does not have, or no longer has, the JSON file of the version
 */
sm_status sm_delta_info_read(sm_store *s, int64_t version, sm_str app_id, sm_arena *a,
                             sm_delta_commit_info *out, int64_t *txn, sm_error *e) SM_MUST_USE;

/* What a commit, by its own words, did to the rows that were there. Any writer's. */
typedef enum sm_delta_effect {
    SM_DELTA_CHANGES, /* added, changed or removed single rows: an append, DELETE, UPDATE, MERGE */
    SM_DELTA_OVERWRITES, /* put other rows in the place of all rows, or of a part that it named */
    SM_DELTA_RESTORES,   /* made the rows of an earlier version the table's again */
} sm_delta_effect;
/** What the commit did, by its operation and parameters. OPTIMIZE and unknown operations count as
 * SM_DELTA_CHANGES. */
sm_delta_effect sm_delta_effect_of(const sm_delta_commit_info *info);
/**
 * Finds the version whose rows a RESTORE brought back. Where the commit names a time, and not a
 * version, that is the newest earlier version with the same files: such a time has no time zone.
 *
 * Units     restore->version is the version of the RESTORE itself
 * Errors    SM_NOT_FOUND: the log no longer has such a version
 * Cost      where only a time is named, a snapshot for each version that is tried
 */
sm_status sm_delta_restored_version(sm_store *s, const sm_delta_commit_info *restore,
                                    sm_budget *budget, int64_t *out, sm_error *e) SM_MUST_USE;

/**
 * Finds the version that a table had at a time: the newest one that is not later, up to `newest`,
 * whose store it asks. A time after all versions gives `newest` itself.
 *
 * Units     time_us: since 1970, UTC
 * Errors    SM_NOT_FOUND: before the first version that can be opened, naming its time; SM_CORRUPT:
 *           a commit without the timestamp that the table's properties promise
 * Cost      one listing of the log; with in-commit timestamps a request for each halving of it
 * Source    PROTOCOL.md, "In-Commit Timestamps" (delta_time.c)
 */
sm_status sm_delta_version_at(const sm_snapshot *newest, int64_t time_us, int64_t *out,
                              sm_error *e) SM_MUST_USE;

/** The same for the first version that is not earlier than the time; that after `newest` where all
 * are earlier, the first of the log where none is. */
sm_status sm_delta_version_since(const sm_snapshot *newest, int64_t time_us, int64_t *out,
                                 sm_error *e) SM_MUST_USE;

/* ---- the change data feed -------------------------------------------------------------------- */

#define SM_CHANGE_FOLDER "_change_data/" /* of the files that have changed rows */
/* The columns of changes behind those of the table. */
#define SM_CHANGE_TYPE      "_change_type" /* VARCHAR, the only one that change files have */
#define SM_CHANGE_VERSION   "_commit_version"
#define SM_CHANGE_TIMESTAMP "_commit_timestamp"

/* The places of these columns in sm_delta_changes()'s `columns`, behind those of the schema. */
enum {
    SM_CHANGES_STORED,    /* the type that a change file has, else NULL */
    SM_CHANGES_SAID,      /* the type of all rows of another file, else NULL */
    SM_CHANGES_VERSION,   /* BIGINT */
    SM_CHANGES_TIMESTAMP, /* TIMESTAMP WITH TIME ZONE */
    SM_CHANGES_COLUMNS,
};

/** Does the table record its changes (delta.enableChangeDataFeed)? */
bool sm_delta_has_feed(const sm_delta_metadata *m);

/**
 * Makes the dataset of the rows that changed in the versions from `from` to the snapshot's, in the
 * order of versions; of one version those that went come first. The type of a change (insert,
 * update_preimage, update_postimage, delete) is SM_CHANGES_SAID where it is not NULL, else
 * SM_CHANGES_STORED.
 *
 * Shape     rows have the schema of `to`; from = to's version + 1: there are none. *columns gives
 *           the place in the dataset of each field of that schema, then SM_CHANGES_COLUMNS more
 * Owner     *out and *columns live in `a`; borrows the snapshot, which must outlive them
 * Errors    SM_NOT_FOUND: the log no longer has a version of them; SM_INVALID: the table did not
 *           record changes in one of them; SM_SCHEMA: the schema of one is not that of `to` but for
 *           columns that were added. Each names the version
 * Cost      a request for each version, and the memory for the names of their files, which are read
 *           later
 * Source    PROTOCOL.md, "Reader Requirements for Change Data Feed" (delta_changes.c)
 */
sm_status sm_delta_changes(const sm_snapshot *to, int64_t from, sm_arena *a, sm_dataset *out,
                           int32_t **columns, sm_error *e) SM_MUST_USE;

/* ---- writing --------------------------------------------------------------------------------- */

/** May this version be followed by one of smelt? SM_UNSUPPORTED names a writer version or a
 * feature. sm_delta_prepare asks it too; who writes files before that asks first. */
sm_status sm_delta_check_write(const sm_snapshot *s, sm_error *e) SM_MUST_USE;

/** Does the table keep the ids of its rows, and under which names have files the ids, and the
 * versions, of rows that were written into them from others? SM_CORRUPT: it does not say. */
sm_status sm_delta_row_columns(const sm_snapshot *s, bool *keeps, sm_str names[2],
                               sm_error *e) SM_MUST_USE;

/* A new data file, which is durable below the table's root before the commit. */
typedef struct sm_delta_add {
    sm_str key;                /* encoded by the commit */
    const sm_value *partition; /* one a partition column */
    uint64_t size_bytes;
    int64_t modified_ms;
    int64_t n_rows;         /* in the file, including those that `dv` deletes */
    const sm_range *ranges; /* one a top-level field; statistics are written from them. Those of
                             * partition columns say nothing */
    const sm_delta_dv *dv;  /* deletion vector, or NULL */
    const sm_pair *tags;
    int32_t n_tags;
    sm_str cluster_provider; /* as in sm_delta_file */
    /* A removed file of the base, in whose place this one stands in the order of files; several in
     * one place stand in their own order. NULL: behind all files. The log says it by a tag. */
    const sm_delta_file *place;
} sm_delta_add;

/* A file of the base that gets another deletion vector; it is one of the removes too. The rows that
 * the vector deletes are those that the base's vector deleted, and more. The number of the file's
 * rows is known. */
typedef struct sm_delta_mark {
    const sm_delta_file *file;
    const sm_delta_dv *dv;
} sm_delta_mark;

/* What a commit has read: decides which commits of others it may follow. Removing a file that
 * another commit has removed, changed metadata and a changed protocol are conflicts for each. */
typedef enum sm_delta_isolation {
    SM_READ_NOTHING, /* append, compaction: nothing else is a conflict */
    SM_READ_FILES,   /* read the rows that `read` describes: conflicts with rows that others add or
                      * remove there */
    SM_READ_ALL,     /* read the whole table: conflicts with every change of rows */
    SM_READ_LAYOUT,  /* read which files there are: conflicts with each file that others add or
                      * remove */
    SM_READ_UNDONE,  /* undoes one commit: where files come back, conflicts with every removal of
                      * rows */
} sm_delta_isolation;

/* A parameter or a metric of an operation. */
typedef struct sm_delta_detail {
    sm_str key;
    sm_value value; /* a text, an I64, a boolean, or NULL of one of these types */
} sm_delta_detail;

/* The record of an operation (a write, a restore, …): all that the log needs to know of it. The
 * table room fills it when it stages the operation; after that nothing depends on which operation
 * it was. */
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
    /* NULL: unchanged; of a new table sm_delta_protocol_new(). */
    const sm_delta_protocol *protocol;
    const sm_delta_add *adds;
    int64_t n_adds;
    /* Live files of the snapshot that was read, in its order, out of one array. */
    const sm_delta_file *const *removes;
    int64_t n_removes;
    /* Instead: all live files of the base, which are not listed but read when the text is made.
     * These are their totals, n_removes is totals->n_files, and `removes` NULL. */
    const sm_delta_totals *removes_all;
    /* Of an earlier snapshot: added again as they stood. Of a new table: files of another one, by
     * absolute paths. */
    const sm_delta_file *const *restores;
    int64_t n_restores;
    /* Instead, of a new table: gives the n_restores files to `to` when the text is made, as
     * sm_snapshot_each() does; `restores` is NULL. It may be called several times. */
    sm_status (*restores_each)(void *ctx, const sm_delta_sink *to, sm_error *e);
    void *restores_of;          /* its ctx */
    const sm_delta_mark *marks; /* in the base's order */
    int64_t n_marks;
    /* Files of the rows that changed, with a column SM_CHANGE_TYPE, below SM_CHANGE_FOLDER. Where
     * there are some, they have all rows that changed; else `adds` and `removes` say it. Of these
     * only key, partition and size_bytes count. */
    const sm_delta_add *changes;
    int64_t n_changes;
    const sm_delta_txn *txns; /* a transaction of another commit with the same id is a conflict */
    int64_t n_txns;
    /* Domains that it sets or removes; the table's other ones stay. Another commit that changes one
     * of them is a conflict. The protocol must have the feature domainMetadata. */
    const sm_delta_domain *domains;
    int64_t n_domains;
    sm_str id;            /* its txnId, which no other commit of the table has; "": a random one */
    sm_str user_metadata; /* any text, or "" */
    sm_str info_json;     /* members to add to commitInfo: "\"smelt\":{…}", or "" */
} sm_delta_commit;

/**
 * Does the record keep what is said of it above, against the snapshot that it starts from (NULL: a
 * new table)? Where not, that is a mistake in smelt, never of a user or of another writer.
 *
 * Returns   false with *why, a static text
 * Cost      a look at each parameter, transaction and file; deep: also a map of the keys of the
 *           adds, and their statistics
 */
bool sm_delta_commit_validate(const sm_delta_commit *c, const sm_snapshot *base, bool deep,
                              const char **why);

/**
 * Makes the next version by put-if-absent. Where another writer was faster, it takes the version
 * after that one, if the other commit does not touch what this one has read. Then writes a
 * checkpoint where one is due; if that fails, the commit stands all the same.
 *
 * Owner     borrows all; `base` is the snapshot that was read, NULL for a new table
 * Returns   SM_OK with *version; SM_CONFLICT naming the version that won and what it did
 * Errors    SM_UNSUPPORTED: a writer feature, by name; SM_SCHEMA: a type that needs a feature the
 *           table does not have; SM_DENIED: removes in an append-only table, a feature that a
 *           reader which the table declares does not know
 * Cost      a put, and a request for each version that others made since `base`
 */
sm_status sm_delta_commit_write(sm_store *s, sm_snapshot *base, const sm_delta_commit *c,
                                sm_budget *budget, int64_t *version, sm_error *e) SM_MUST_USE;

/* ---- writing in steps: prepare, look, put --------------------------------------------------- */

/* A commit as text. Nothing in it depends on the version that it becomes or on who brings it into
 * the log: whoever holds it makes the same commit, or finds that it is made. */
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
 * Makes the text of a commit that undoes what `c` did as version `version` of the table: the files
 * that it added are removed, those that it removed are added again, and metadata that it changed is
 * set back. Later versions of others stay. In the log it is a RESTORE of the version before (−1
 * where there was none: then an empty table stays).
 *
 * Owner     *out lives in `a`; `id` and `info_json` as in sm_delta_commit
 * Errors    SM_CORRUPT: the version before does not have a file that `c` removed
 */
sm_status sm_delta_prepare_undo(sm_store *s, const sm_delta_prepared *c, int64_t version, sm_str id,
                                sm_str info_json, sm_budget *budget, sm_arena *a,
                                sm_delta_prepared *out, sm_error *e) SM_MUST_USE;

/**
 * Opens what a prepared commit would make of its base, as sm_snapshot_open_head(): the version
 * right behind that, whatever versions there are by now. Nobody else sees it.
 *
 * Owner     as there; borrows `c`, whose text a NUL follows, as long as the snapshot
 * Errors    as there; SM_CORRUPT: the text cannot be read
 */
sm_status sm_snapshot_open_staged(sm_store *s, const sm_delta_prepared *c, sm_budget *budget,
                                  sm_snapshot **out, sm_error *e) SM_MUST_USE;
/**
 * Makes the text of a commit that was prepared earlier, with `info_json` "", anew, as if that were
 * done now: its times are of now, which decides how long removed files are kept.
 *
 * Owner     *out lives in `a`, but for `read`; `id` and `info_json` as in sm_delta_commit
 * Errors    SM_CORRUPT: it is not such a text
 */
sm_status sm_delta_prepare_again(const sm_delta_prepared *c, sm_str id, sm_str info_json,
                                 int64_t now_us, sm_arena *a, sm_delta_prepared *out,
                                 sm_error *e) SM_MUST_USE;

/* Brings a prepared commit into the log. Goes through the versions after its base until it meets
 * the commit itself, a version that conflicts with it, or the end of the log. Versions never
 * change, so all who do this with the same commit find the same, and no commit is made twice. */
typedef struct sm_delta_attempt sm_delta_attempt;

typedef enum sm_delta_state {
    SM_DELTA_FREE,     /* the commit may follow all versions before sm_delta_attempt_version() */
    SM_DELTA_DONE,     /* that version is the commit */
    SM_DELTA_CONFLICT, /* that version is another commit, which this one conflicts with */
    SM_DELTA_LOST, /* the log no longer has the base, or not all versions after it: it was cleaned
                        * up, or the table was made anew. Whether it had the commit is unknown */
} sm_delta_state;

/**
 * Begins with the version after the commit's base.
 *
 * Owner     the caller's, sm_delta_attempt_free() it; keeps the store and `base`, borrows `c` until
 *           it is freed. `base` may be NULL: it is opened where it is needed
 */
sm_delta_attempt *sm_delta_attempt_new(sm_store *s, sm_snapshot *base, const sm_delta_prepared *c,
                                       sm_budget *budget);
void sm_delta_attempt_free(sm_delta_attempt *t); /* takes NULL */
/** Goes on to the end of the log as it is now; writes nothing. SM_OK in each of the states. */
sm_status sm_delta_attempt_look(sm_delta_attempt *t, sm_error *e) SM_MUST_USE;
/**
 * Sees whether the commit would be in conflict behind a commit that somebody is about to make. The
 * attempt stays as it is.
 *
 * Returns   SM_OK: it may follow; SM_CONFLICT with what the other commit does
 * Errors    those of sm_snapshot_open; SM_CORRUPT: the other commit cannot be read
 */
sm_status sm_delta_attempt_weigh(sm_delta_attempt *t, const sm_delta_prepared *other,
                                 sm_error *e) SM_MUST_USE;
/**
 * Puts the commit at the first free version.
 *
 * Returns   SM_OK in SM_DELTA_DONE, and in SM_DELTA_CONFLICT where a conflicting commit came first
 * Errors    those of the store. After one that leaves open whether the commit was put
 *           (sm_status_retry) the attempt stays where it was, and anybody may put again
 */
sm_status sm_delta_attempt_put(sm_delta_attempt *t, sm_error *e) SM_MUST_USE;
/** Where the attempt stands. */
sm_delta_state sm_delta_attempt_state(const sm_delta_attempt *t);
/** The version that the state is about. */
int64_t sm_delta_attempt_version(const sm_delta_attempt *t);
/** In SM_DELTA_CONFLICT and SM_DELTA_LOST: SM_CONFLICT with what the other commit did, or what the
 * log lacks. Else SM_OK. */
sm_status sm_delta_attempt_conflict(const sm_delta_attempt *t, sm_error *e) SM_MUST_USE;

/* ---- deletion vectors ------------------------------------------------------------------------ */

/** May commits to the table add deletion vectors? It has the feature, and the property
 * delta.enableDeletionVectors is true. */
bool sm_delta_has_vectors(const sm_snapshot *s);
/**
 * Makes the bytes of the deletion vector that deletes the rows whose bits are set.
 *
 * Owner     appends to *out, which is empty; its budget counts the work too
 * Errors    SM_BUDGET
 * Threads   any
 */
sm_status sm_delta_vector_encode(const uint8_t *bits, int64_t n_rows, sm_buf *out,
                                 sm_error *e) SM_MUST_USE;

/* Puts the deletion vectors of one commit where the log finds them (delta_vector_write.c). */
typedef struct sm_delta_vectors sm_delta_vectors;
/** A writer of vectors for the table at the root of the store. It lives in `a`, to be closed;
 * borrows the store and the budget. */
sm_delta_vectors *sm_delta_vectors_new(sm_store *s, sm_budget *budget, sm_arena *a);
/**
 * Keeps a vector of that many rows, in the log or in the commit's file of vectors.
 *
 * Owner     *out lives in the writer's arena
 * Errors    SM_LIMIT: over 2 GiB; SM_BUDGET; those of the store
 * Threads   no worker: it blocks
 */
sm_status sm_delta_vectors_put(sm_delta_vectors *v, const sm_buf *bytes, int64_t cardinality,
                               const sm_delta_dv **out, sm_error *e) SM_MUST_USE;
/** Makes the file of vectors visible and durable, if there is one. Blocks. */
sm_status sm_delta_vectors_finish(sm_delta_vectors *v, sm_error *e) SM_MUST_USE;
/** The key of the file of vectors, which whoever does not commit must delete; "": no vector needed
 * one. As long as the writer's arena. */
sm_str sm_delta_vectors_key(const sm_delta_vectors *v);
/** Before finish it gives the file up. Takes NULL. */
void sm_delta_vectors_close(sm_delta_vectors *v);
/** Which rows of a marked file are deleted, for a dataset with the file. In `a`; borrows both. */
sm_status sm_delta_mark_deletes(const sm_snapshot *s, const sm_delta_mark *m, sm_arena *a,
                                const sm_deletes **out, sm_error *e) SM_MUST_USE;

/* ---- which files the log needs, for vacuum --------------------------------------------------- */

/* A file that the log names. */
typedef struct sm_delta_named {
    sm_str path;           /* as in the log */
    int64_t deleted_ms;    /* of a removed file: when; of an added one −1 */
    const sm_delta_dv *dv; /* its deletion vector, or NULL */
} sm_delta_named;

/**
 * Finds the files that versions up to the snapshot's have removed: those that the commits in the
 * log name, and those that its checkpoint still lists. Some may be live again. A commit that does
 * not say when it removed a file counts from the time of its own file.
 * Files of changed rows are among them, from the time of the commit that names them.
 *
 * Shape     *is_whole: the log has all commits from version 0 on, so that nothing is left out
 * Owner     *out lives in `a`
 * Errors    those of the store; SM_CORRUPT: a commit that cannot be read
 * Cost      one listing of the log, and a request for each commit that it has
 */
sm_status sm_delta_removed_files(const sm_snapshot *s, sm_arena *a, sm_delta_named **out,
                                 int64_t *n, bool *is_whole, sm_error *e) SM_MUST_USE;
/** The files that a prepared commit names: those that it adds or removes, and those of changed
 * rows. *out lives in `a`. */
sm_status sm_delta_prepared_files(const sm_delta_prepared *c, sm_arena *a, sm_delta_named **out,
                                  int64_t *n, sm_error *e) SM_MUST_USE;
/** The key of a path of the snapshot's log, in `a`; "" where it leaves the table's root. */
sm_str sm_delta_path_key(const sm_snapshot *s, sm_str path, sm_arena *a);
/** Where the bits of a deletion vector lie, in `a`: a key below the table's root; "" where they are
 * in the log itself (inline), at an absolute path (*absolute), or not where the protocol says. */
sm_str sm_delta_dv_key(const sm_delta_dv *dv, sm_arena *a, sm_str *absolute);
/** For how long the table keeps removed files: delta.deletedFileRetentionDuration, or 7 days. −1
 * where its text is not understood. */
int64_t sm_delta_retention_us(const sm_delta_metadata *m);
/** The size that the table wants its data files to have: delta.targetFileSize, "100mb" or bytes; 0
 * where it does not say. SM_INVALID where the text is not understood. */
sm_status sm_delta_target_bytes(const sm_delta_metadata *m, uint64_t *out, sm_error *e) SM_MUST_USE;
/** May files that no version names be deleted? SM_UNSUPPORTED names a feature that is not known, or
 * by which files of the table are named elsewhere (icebergCompat). */
sm_status sm_delta_check_vacuum(const sm_snapshot *s, sm_error *e) SM_MUST_USE;

/* ---- is the log sound? for fsck -------------------------------------------------------------- */

/* Something that is wrong in the log. */
typedef struct sm_delta_flaw {
    int64_t version; /* −1: of no version */
    sm_str file;     /* below the table's root */
    sm_str what;     /* "versions 3 to 4 are missing" */
    sm_str todo;     /* full sentences */
} sm_delta_flaw;

typedef struct sm_delta_audit {
    sm_delta_flaw *flaws;
    int64_t n_flaws;
    int64_t n_commits;     /* that the log has */
    int64_t n_checkpoints; /* complete ones */
    int64_t n_compared;    /* of them, with what the commits before them say */
} sm_delta_audit;

/**
 * Reads the whole log, and compares its checkpoints with its commits (delta_audit.c). A log that is
 * not there has no flaw.
 *
 * Owner     what *out points to lives in `a`
 * Errors    those of the store; what is wrong in the log is no error, but a flaw
 * Cost      one listing of the log, a request for each commit, and two for each checkpoint file;
 *           memory for what the commits between two checkpoints say, and 32 bytes a file
 */
sm_status sm_delta_audit_log(sm_store *s, sm_budget *budget, sm_arena *a, sm_delta_audit *out,
                             sm_error *e) SM_MUST_USE;

/* ---- what a table may become, for ALTER TABLE ------------------------------------------------ */

/** Does the protocol have the table feature, by its name or by a version that stands for it? */
bool sm_delta_has_feature(const sm_delta_protocol *p, const char *feature);
/**
 * The protocol with one more feature of features.def; the same where it has it.
 *
 * Shape     a feature for writers that an older version has (checkConstraints) raises the version
 *           to that one; any other one makes it (3,7), or (1,7) for writers alone, with what the
 *           old version stood for
 * Owner     what *out points to lives in `a`
 */
sm_delta_protocol sm_delta_protocol_with(const sm_delta_protocol *p, const char *feature,
                                         sm_arena *a);
/** The protocol of a new table without further features: (1,2), or (3,7) where a type of its schema
 * is a table feature (timestamp_ntz). */
sm_delta_protocol sm_delta_protocol_new(const sm_type *schema);
/** Do files and log know the columns by physical names or ids? */
bool sm_delta_is_mapped(const sm_delta_protocol *p, const sm_delta_metadata *m);
/** Turns on column mapping by name for a table that has none: its columns keep their names in
 * files. The protocol must have the feature. What *m then has lives in `a`. */
void sm_delta_map_by_name(sm_delta_metadata *m, sm_arena *a);
/** May a column's type become another one, whose values all old ones are? By the table of
 * PROTOCOL.md, "Type Widening"; both are types of values that are not nested. */
bool sm_delta_may_widen(const sm_type *from, const sm_type *to);
/**
 * Notes in a field's metadata that its type, or one within it, is another from now on
 * (delta.typeChanges). The type itself is the caller's to change.
 *
 * Shape     within: "" for the field's own type; "element", "key", "value", "value.element" for the
 *           list or map that it is
 * Owner     what *f then has lives in `a`
 */
void sm_delta_note_widened(sm_field *f, sm_str within, const sm_type *from, const sm_type *to,
                           sm_arena *a);
/**
 * Is it a property that a table may be given, with a value that means something? Names that begin
 * with neither "delta." nor "smelt." are the user's own.
 *
 * Shape     *feature: the table feature that the value turns on; NULL: none
 * Errors    SM_NAME with the nearest one; SM_INVALID: its values are others; SM_DENIED: it is not
 *           set this way, with the way
 */
sm_status sm_delta_check_property(sm_str key, sm_str value, const char **feature,
                                  sm_error *e) SM_MUST_USE;
/** Has the metadata all of these properties, with these values? Names may be in any case. */
bool sm_delta_has_properties(const sm_delta_metadata *m, const sm_pair *items, int32_t n);
/** May a table with this base (NULL: none) get the protocol and metadata, by the readers that it
 * declares? Of `m` only the properties count. SM_DENIED names a reader and a feature. */
sm_status sm_delta_check_readers(const sm_snapshot *base, const sm_delta_protocol *p,
                                 const sm_delta_metadata *m, sm_error *e) SM_MUST_USE;
/** The programs of readers.def that know all features of a protocol which ask something of readers.
 * Returns their number; *out lives in `a`. */
int32_t sm_delta_readers_of(const sm_delta_protocol *p, const char *const **out, sm_arena *a);

/* ---- checksums, checkpoints, schemas --------------------------------------------------------- */

/** Writes the checksum of a version that a commit became, where it is the one after `base` and the
 * base has one (N.crc). A failure is only logged. base NULL: a new table, which gets none. */
void sm_delta_checksum_follow(sm_store *store, const sm_snapshot *base, const sm_delta_commit *c,
                              int64_t version);
/** Writes what lets readers open the version that a commit on `base` (NULL: a new table) has just
 * become with few reads: a checkpoint every delta.checkpointInterval versions, or where the table
 * has no such property every 10, and less often where checkpoints are large; at once behind a
 * commit of many files; else, every 10 versions, a log compaction file. A failure is only logged: a
 * later version tries again. true: there is a new checkpoint, so the log may have become longer
 * than it needs to be. */
bool sm_delta_checkpoint_if_due(sm_store *store, const sm_snapshot *base, const sm_delta_commit *c,
                                int64_t version, sm_budget *budget);
/** Writes a checkpoint of the snapshot, of the kind that delta.checkpointPolicy says, and points
 * _last_checkpoint at it. */
sm_status sm_delta_checkpoint(sm_snapshot *s, sm_budget *budget, sm_error *e) SM_MUST_USE;

/* What of a log is older than the table's properties want (delta_expired.c). */
typedef struct sm_delta_expired {
    int64_t first_kept; /* versions from this one on can be opened; −1: none has to go */
    sm_str *keys;       /* of commits, checkpoints and checksums before it, the oldest first */
    int64_t n;
} sm_delta_expired;
/**
 * Finds what nobody needs any more: delta.logRetentionDuration (30 days), unless
 * delta.enableExpiredLogCleanup is false.
 *
 * Owner     *out lives in `a`
 * Cost      one listing of the log
 * Source    PROTOCOL.md, "Metadata Cleanup"
 */
sm_status sm_delta_log_expired(sm_store *s, const sm_delta_metadata *m, int64_t now_us, sm_arena *a,
                               sm_delta_expired *out, sm_error *e) SM_MUST_USE;
/** Deletes it. A failure is only logged: the next time tries again. */
void sm_delta_log_delete(sm_store *s, const sm_delta_expired *expired);

/** The schema as data files have it, in `a`: under column mapping with physical names, and ids for
 * Parquet. Of a struct whose fields are columns of the table's schema. */
const sm_type *sm_delta_file_schema(const sm_type *t, sm_arena *a);
/** Gives new columns of a table with column mapping their ids and names in files. What *m then has
 * lives in `a`. Other tables stay as they are. */
void sm_delta_map_columns(const sm_delta_protocol *p, sm_delta_metadata *m, sm_arena *a);

/** Appends a struct's fields as Delta's schema JSON. SM_UNSUPPORTED: a type that Delta does not
 * have. */
sm_status sm_delta_schema_json(const sm_type *schema, sm_buf *out, sm_error *e) SM_MUST_USE;
/** Parses Delta's schema JSON. *out lives in `a`. SM_CORRUPT where it is none, SM_UNSUPPORTED: a
 * type that smelt does not have, SM_LIMIT: nested too deep. */
sm_status sm_delta_schema_parse(sm_str json, sm_arena *a, const sm_type **out,
                                sm_error *e) SM_MUST_USE;

#endif
