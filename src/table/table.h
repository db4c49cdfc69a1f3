/* SPDX-License-Identifier: Apache-2.0
 *
 * table/table.h: the table room's door. What changes tables, and how names become relations.
 * Needs: base to exec.
 *
 * A write has two halves. Staging runs a query into data files and returns a candidate: actions,
 * statistics and counts of the table's next version, which nobody sees. Publishing commits a list
 * of candidates, all or none. Names inside a run resolve to the snapshot plus the candidate, so
 * that silver reads a bronze that nobody else sees yet. A candidate that is never published leaves
 * files that no version names; its last release deletes them.
 *
 * Threads: one at a time where nothing else is said. Writers of different tables may run at once.
 * Never publishes a part of a run's candidates; never writes for a reader. */
#ifndef SM_TABLE_TABLE_H
#define SM_TABLE_TABLE_H

#include "base/policy.h"
#include "delta/delta.h"
#include "exec/exec.h"

/* ---- lakes and names ------------------------------------------------------------------------- */

typedef struct sm_candidate sm_candidate; /* counted */
typedef struct sm_files sm_files;

/* What names stand for in one run or one command: a lake, variables, views, candidates. One thread
 * at a time, also for its resolver. */
typedef struct sm_names sm_names;
#define SM_CANDIDATE_NAME "candidate" /* the first part of the name of a kept candidate's rows */

/**
 * Makes an empty set of names.
 *
 * Shape     lake: the root URI under which tables lie as layer/table; "" for none
 * Owner     sm_names_free() it, after all plans that use its relations; retains `stores`, by which
 *           all that names stand for is opened
 */
sm_names *sm_names_new(sm_stores *stores, sm_str lake, sm_budget *budget);
/** Takes NULL. */
void sm_names_free(sm_names *n);
/** The lake's URI, without a '/' at its end; "" for none. As long as `n`. */
sm_str sm_names_lake(const sm_names *n);
/** Where the table of that name lies: "LAKE/layer/table", in `a`. SM_NAME unless the name has two
 * parts and there is a lake. */
sm_status sm_names_uri(const sm_names *n, sm_str table, sm_arena *a, sm_str *out,
                       sm_error *e) SM_MUST_USE;
/** May a new table have this name, `layer.table`? SM_NAME if a part begins with '_', as the folders
 * of smelt and Delta do. */
sm_status sm_table_check_name(sm_str name, sm_error *e) SM_MUST_USE;
/** Sets what var('name') is. Copies both. */
void sm_names_set_variable(sm_names *n, sm_str name, sm_value v);
/** `layer.table` stands for this SQL from now on. Copies it. */
void sm_names_set_view(sm_names *n, sm_str table, sm_sql sql);
/** `layer.table` stands for what the table will be once the candidate is published. Retains it. */
void sm_names_set_candidate(sm_names *n, sm_str table, sm_candidate *c);
/** `layer.table` stands for what candidate.layer.table does. */
void sm_names_set_kept(sm_names *n, sm_str table);
/** read_json and read_parquet of exactly this path read these files instead of listing it: a load
 * reads only what is new. `known`: the columns that were found in files of before, a STRUCT, which
 * belong to the sample where columns are not declared (table_fit.c); NULL: none. Both are borrowed,
 * as long as `n`. */
void sm_names_set_files(sm_names *n, sm_str path, const sm_files *files, const sm_type *known);
/** What read_json of exactly this path does with keys that no column takes, in all objects of the
 * rows: SM_POLICY_IGNORE, SM_POLICY_KEEP (they are the column SM_RESCUED) or SM_POLICY_FAIL. A call
 * that says something else is an error. */
void sm_names_set_unknown(sm_names *n, sm_str path, sm_policy unknown);
/* The column of the keys that no column takes. */
#define SM_RESCUED "_rescued"
/** The files that were set for that path; NULL: none. */
const sm_files *sm_names_files(const sm_names *n, sm_str path);
/**
 * Fits a column that was found in a sample of files to the table's column that it goes to: it has
 * the table's type where that takes all values that were found (table_fit.c). At any depth.
 *
 * Shape     d: a dataset of these names. path: the column, a field of it and so on, by name; n_path
 *           >= 1. there: the type of the table's column
 * Returns   true where this changes the dataset's schema: then a query over it is planned anew
 */
bool sm_names_fit_table(sm_names *n, const sm_dataset *d, const sm_str *path, int32_t n_path,
                        const sm_type *there);
/** The first file of a dataset whose values of that column do not fit the type that the table has
 * for it; "": columns were declared, or it is not among the files of a sample. Reads them again. */
sm_str sm_names_unlike_file(const sm_dataset *d, const sm_str *path, int32_t n_path,
                            const sm_type *there);
/** Bytes of a text file that one worker takes, for files that are read by these names; 0: the
 * format's own figure. */
void sm_names_set_morsel_bytes(sm_names *n, size_t bytes);
/**
 * The resolver of these names, for sm_query_plan(). It knows
 *   layer.table, 'path' (a Delta table's folder, a file, a glob); var('name');
 *   candidate.layer.table (SM_CANDIDATE_NAME): as it would be with the candidate that is kept;
 *   layer.table AT (VERSION => n | TIMESTAMP => t), and the same behind a Delta table's folder;
 *   delta_scan(uri, version => n, timestamp => t), one of both;
 *   table_changes(uri, from, to): the rows that changed in the versions from `from` to `to` (by
 *   default the newest), each a number or a time, with _change_type, _commit_version and
 *   _commit_timestamp;
 *   read_json and read_parquet (path, glob or list; options of the format, columns => {…},
 *   filename => true, file_date => true, match => regex, hive_partitioning, sample_size,
 *   maximum_sample_files, unknown => 'fail' | 'ignore' | 'keep',
 *   bad_lines => 'fail' | 'skip' | 'quarantine', validate => 'read' | 'all').
 *
 * Owner     good as long as `n`, as are its relations
 * Cost      a name is looked up in the store once; the same call gives the same dataset again
 */
sm_resolver sm_names_resolver(sm_names *n);
/** The version of a Delta table that a relation of names is. NULL: it is none, or a candidate.
 * Owner: borrowed from the names. */
const sm_snapshot *sm_names_snapshot(const sm_relation *r);
/**
 * Rows of some files of a snapshot that these names opened, as a plan by calls.
 *
 * Shape     the columns of the table, in their order, and behind them BIGINT: the place of the
 *           row's file in `files`. Those are copies (sm_delta_file_copy); rows come in their order
 * Owner     *out lives as long as `n`, and borrows the snapshot and the files
 * Errors    as of sm_snapshot_dataset_picked()
 */
sm_status sm_names_file_rows(sm_names *n, const sm_snapshot *s, const sm_delta_file *files,
                             int64_t n_files, sm_str label, const sm_plan_node **out,
                             sm_error *e) SM_MUST_USE;
/* The folder of a table, which starts at its root, where checks keep what they have found
 * (contract_kept.c). Files in it that nobody has written for the retention go by a vacuum. */
#define SM_VERDICTS_FOLDER "_smelt/verdicts/"
/** The value of the argument columns => {name: 'TYPE', …} of read_json() for these columns. In `a`.
 */
sm_value sm_columns_value(const sm_type *columns, sm_arena *a);

/* ---- one statement over a lake --------------------------------------------------------------- */

/* A statement with the names that its plan stands on. For a program that runs them one by one. */
typedef struct sm_lake_query sm_lake_query;

/* What a statement may be. */
typedef enum sm_lake_query_mode {
    SM_QUERY_READS,    /* a query */
    SM_QUERY_EXPLAINS, /* any statement, of which nothing is run */
    SM_QUERY_CHANGES,  /* any; what is open in the lakes that it writes is completed first */
} sm_lake_query_mode;

typedef struct sm_lake_query_opts {
    sm_lake_query_mode mode;
    sm_sql sql;          /* its name is what messages call it */
    sm_str lake;         /* the root URI of layer.table names; "": there are none */
    const sm_pair *vars; /* what var('key') is: texts */
    int32_t n_vars;
} sm_lake_query_opts;

/**
 * Plans a statement. Nothing of it is run, but files and tables that it names are looked at.
 *
 * Owner     *out is the caller's, sm_lake_query_close() it; copies `opts`, borrows env's budget and
 *           retains its stores until then
 * Errors    those of sm_query_statement(), and of the tables and files that the text names;
 *           SM_DENIED: it is no query, and `mode` wants one
 * Threads   one at a time for a query; several queries at once
 */
sm_status sm_lake_query_open(const sm_lake_query_opts *opts, const sm_exec_env *env,
                             sm_lake_query **out, sm_error *e) SM_MUST_USE;
/** The plan, for sm_plan_print(), and of SELECT and COPY for sm_exec_run(), any number of times. As
 * long as the query. */
const sm_plan *sm_lake_query_plan(const sm_lake_query *q);
/** What it is. As long as the query. */
const sm_statement *sm_lake_query_statement(const sm_lake_query *q);

/** What of another writer, which had been killed or is slow, was completed before the statement was
 * planned, as part of a sentence; "": nothing. As long as the query. */
sm_str sm_lake_query_told(const sm_lake_query *q);

/* What a statement did to a table. */
typedef struct sm_changed {
    sm_str table;                             /* its URI, as long as the query */
    int64_t version;                          /* that it made; −1: none, for nothing changed */
    int64_t n_inserted, n_updated, n_deleted; /* rows; those that CREATE OR REPLACE TABLE takes the
                                               * place of are not counted */
    int64_t n_added, n_removed;               /* files */
    int64_t n_marked;       /* files that stay, with a deletion vector of rows that are gone */
    const sm_str *features; /* ALTER TABLE: table features that were turned on */
    int32_t n_features;
} sm_changed;

/**
 * Executes a statement that changes a table (neither SELECT nor COPY), once, and publishes what it
 * did: all of it or nothing.
 *
 * Owner     *report (may be NULL) is the caller's, also after a failure: of the query of INSERT and
 *           CREATE TABLE, else empty
 * Returns   SM_OK; SM_CONFLICT: another writer changed what was read meanwhile, nothing was done
 * Errors    those of sm_stage_open, sm_exec_run, sm_stage_candidate and sm_publish; SM_EXISTS:
 *           CREATE TABLE of a table that is there; SM_DENIED: rows of an append-only table;
 *           SM_INVALID: MERGE found several rows of the source for one of the table
 * Threads   no worker
 */
sm_status sm_lake_query_change(sm_lake_query *q, const sm_exec_env *env, sm_exec_report *report,
                               sm_changed *out, sm_error *e) SM_MUST_USE;
/** After all runs of its plan. Takes NULL. */
void sm_lake_query_close(sm_lake_query *q);

/* ---- files ----------------------------------------------------------------------------------- */

/* One file that was found for a path, glob or folder. */
typedef struct sm_found_file {
    sm_str name;      /* within the folder */
    sm_datafile file; /* its constants are not set */
    bool has_date;
    int32_t date; /* days since 1970; of the only run of exactly eight digits in its name */
} sm_found_file;
struct sm_files {
    sm_found_file *items; /* in byte order of name */
    int64_t n;
    /* Names directly in the folder that `match` left out, or that are no files. */
    int64_t n_ignored;
    sm_store *store; /* of all items; held until sm_files_release */
};
/**
 * Finds the files of a path, of a glob, or directly in a folder.
 *
 * Shape     match: a regular expression for the names in a folder; "": all. want_date: each name
 *           must have a date
 * Owner     *out is the caller's, sm_files_release() it; its items live in `a`
 * Errors    SM_NOT_FOUND: no such file or folder. SM_INVALID: a name without exactly one run of
 *           eight digits that is a date, which it names. SM_SYNTAX, SM_LIMIT: of `match`
 */
sm_status sm_files_find(sm_stores *stores, sm_str path, sm_str match, bool want_date, sm_arena *a,
                        sm_files *out, sm_error *e) SM_MUST_USE;
/** Lets the store go; what was found lives on in the arena. Takes {0}. */
void sm_files_release(sm_files *f);
/** sm_content_read over a file: what its content is known by. Blocks. */
sm_status sm_file_content(const sm_datafile *f, const sm_exec_env *env, sm_content *out,
                          bool *is_whole, sm_error *e) SM_MUST_USE;
/** sm_content_head over a file: its first bytes. Blocks. */
sm_status sm_file_head(const sm_datafile *f, const sm_exec_env *env, uint8_t *out, size_t *n,
                       sm_error *e) SM_MUST_USE;
/** sm_content_prefixes over a file: hashes of its first lens[i] bytes. Blocks. */
sm_status sm_file_prefixes(const sm_datafile *f, const sm_exec_env *env, const int64_t *lens,
                           int64_t n, sm_hash128 *out, sm_error *e) SM_MUST_USE;

/* ---- staging --------------------------------------------------------------------------------- */

typedef enum sm_write_mode {
    SM_WRITE_APPEND,
    SM_WRITE_OVERWRITE,     /* all files are removed; the schema may change */
    SM_WRITE_REPLACE_WHERE, /* rows for which `where` holds are removed: whole files by statistics,
                             * files with rows on both sides are rewritten without them */
    /* The partitions of the rows given are replaced, whole; the others stay (Spark's dynamic
     * partition overwrite). Of a partitioned table. */
    SM_WRITE_REPLACE_PARTITIONS,
} sm_write_mode;

/* The rows that a write replaces, as a condition over the columns that the table will have. A
 * function makes it, for only the stage knows these columns for sure. What it makes lives in `a`,
 * or as long as the candidate. */
typedef struct sm_condition {
    void *ctx;
    sm_status (*bind)(void *ctx, const sm_type *columns, sm_arena *a, const sm_expr **out,
                      sm_error *e);
} sm_condition;

typedef struct sm_write {
    sm_str uri; /* the table; made where it is not there */
    sm_write_mode mode;
    sm_condition where; /* of REPLACE_WHERE; called once, when the stage is opened */
    /* The columns that a new table, or one that is overwritten, is partitioned by. Where none are
     * named, a table that is there keeps its own. Any other write may name only these. */
    const sm_str *partition_by;
    int32_t n_partition_by;
    sm_str split_by;      /* a column: a data file holds one value of it. "": none */
    const sm_value *only; /* the one value that split_by may have in all rows given; SM_INVALID
                           * names another. NULL: any. Borrowed, as long as the stage */
    /* Properties that the table has after the write; those that it has otherwise, or has not, are
     * set by the same commit, as by ALTER TABLE, even where the write changes no row. */
    const sm_pair *properties;
    int32_t n_properties;
    bool keeps_values; /* the rows given are the table's own, or none: what a user may not set in a
                        * row is as it was */
    bool adds_columns; /* columns that the rows have and the table has not are added at its end,
                           * NULL in the rows that are there. OVERWRITE takes all columns as they
                           * are */
    uint64_t file_bytes;  /* a file is ended once it has so many; 0: 256 MiB */
    sm_str user_metadata; /* see sm_delta_commit */
    bool has_base; /* it goes on from `base` (NULL: no table yet), not from the newest version */
    sm_snapshot *base; /* retained; its files are listed, if they are not yet */
} sm_write;

/* A write under way: rows go in, data files and at its end a candidate come out. */
typedef struct sm_stage sm_stage;

/**
 * Opens a write. All that can be refused before a row is read is refused here.
 *
 * Shape     schema: of the rows. A table that is there must have the same columns, but for
 *           OVERWRITE and adds_columns
 * Owner     *out is the caller's, sm_stage_close() it. Copies `env`, retains w->base; borrows
 *           w->only until the close
 * Errors    SM_SCHEMA shows the first difference; also where the table is partitioned by other
 *           columns than partition_by, or these are all columns. SM_UNSUPPORTED: a type that Delta
 *           has not. SM_NAME, SM_TYPE: of partition_by, split_by or `where`. SM_INVALID: a column
 *           twice in partition_by; REPLACE_PARTITIONS of a table that is not partitioned. Those of
 *           sm_delta_check_property() and sm_delta_check_readers(). SM_DENIED: rows have a column
 *           that is GENERATED ALWAYS AS IDENTITY
 * Cost      reads the table's snapshot, unless w->has_base
 */
sm_status sm_stage_open(const sm_write *w, const sm_type *schema, const sm_exec_env *env,
                        sm_stage **out, sm_error *e) SM_MUST_USE;
/**
 * The plan to run into the sink for the rows of `plan`: the same, or with its rows sorted, so that
 * a partition has few files. Rows in another order are written too.
 *
 * Owner     *out is `plan` or lives in `a`; it shares the nodes of `plan`, which must outlive it
 * Errors    none but those of memory
 */
sm_status sm_stage_arrange(const sm_stage *s, const sm_plan *plan, sm_arena *a, const sm_plan **out,
                           sm_error *e) SM_MUST_USE;
/** Where the rows go. It may be finished and pushed to again; good until sm_stage_candidate. */
sm_sink sm_stage_sink(sm_stage *s);
/**
 * Ends the write, once, after the sink's last finish: finds which files of the table go, and writes
 * anew the other rows of those that REPLACE_WHERE cuts through.
 *
 * Owner     *out is the caller's, sm_candidate_release() it; the stage is then to be closed
 * Errors    what the condition fails with on a row; SM_UNSUPPORTED where a file must be looked into
 *           and lies outside the table, or its deletion vector does
 * Threads   no worker: runs plans
 */
sm_status sm_stage_candidate(sm_stage *s, sm_candidate **out, sm_error *e) SM_MUST_USE;
/** Frees; deletes its files where it has given no candidate. Takes NULL. */
void sm_stage_close(sm_stage *s);

/**
 * The usual way: a plan's rows into a candidate.
 *
 * Shape     refused: gets the lines that the plan's scans refuse; NULL: they are dropped
 * Owner     *report (may be NULL) is the caller's, also after a failure; *out as of
 *           sm_stage_candidate
 * Errors    those of sm_stage_open, sm_exec_run and sm_stage_candidate
 */
sm_status sm_stage_plan(const sm_plan *plan, const sm_write *w, const sm_exec_env *env,
                        const sm_sink *refused, sm_exec_report *report, sm_candidate **out,
                        sm_error *e) SM_MUST_USE;

/* ---- rows that are merged by key ------------------------------------------------------------- */

/* A table that keeps each row as it was, and from when to when (slowly changing dimensions, type
 * 2): it has three columns behind those of the rows. Of each key at most one row is current. */
typedef struct sm_history {
    sm_str valid_from, valid_to, is_current; /* the columns; valid_to of a current row is NULL */
    const sm_expr *at; /* over the rows' columns: since when a row is so; a DATE or a TIMESTAMP */
    const int32_t *compared; /* places of columns: a row has changed where one of them differs */
    int32_t n_compared;
    bool closes_missing; /* a current row whose key is not among the rows ends … */
    sm_value ends;       /* … at this time, of at's type */
    bool is_again; /* all rows are of one time, and the table may have rows that were merged of that
                    * very time: the table becomes what it would be if the rows had come then */
    sm_str goes_to; /* as text, where the table was merged of a later time than the rows, which all
                     * are of one: they may only say what it says already, else SM_INVALID without
                     * advice; "": it was not */
} sm_history;

/* Rows that take the place of a table's rows with the same key. */
typedef struct sm_merge {
    sm_write write;      /* uri, partition_by, user_metadata; base: NULL for a new table. OVERWRITE:
                            * the table is made anew; else `mode` is not looked at */
    sm_candidate *rows;  /* staged for a new table in the same place; not to be published */
    const int32_t *keys; /* places of columns of the rows */
    int32_t n_keys;      /* 1 at least */
    const sm_expr *acts; /* over the rows' columns, then a struct of the table's: which rows of the
                            * table change; NULL: all with the key of a row that differs */
    const sm_expr *deletes; /* over the rows' columns: the row of the table goes; NULL: none goes */
    const sm_history *history; /* without acts and deletes; NULL: the table has only the newest */
} sm_merge;

typedef struct sm_merged {
    int64_t n_rows; /* that were merged */
    int64_t n_added, n_changed,
        n_deleted; /* rows of the table. A row that ends counts as changed */
} sm_merged;

/**
 * Stages a merge. Rows of the table that would be the same stay where they are; where all are, the
 * candidate is empty.
 *
 * Owner     *out is the caller's, sm_candidate_release() it, as is m->rows still
 * Errors    SM_INVALID: a key twice among the rows, or NULL; a row that is older than the history
 *           of its key, and not what that says; no rows, where those that are missing are to end.
 *           SM_SCHEMA: the table has other columns. Those of sm_stage_open, sm_exec_run and
 *           sm_stage_candidate
 * Threads   no worker: runs plans
 * Cost      reads the staged rows several times, and the columns that decide of the table's files
 *           in which keys may be; writes anew those in which rows change
 */
sm_status sm_stage_merge(const sm_merge *m, const sm_exec_env *env, sm_merged *counts,
                         sm_candidate **out, sm_error *e) SM_MUST_USE;

/* ---- candidates: what is borrowed of one lives as long as it --------------------------------- */

/** The table's URI, as the write had it. */
sm_str sm_candidate_uri(const sm_candidate *c);
/** The schema that the table will have. */
const sm_type *sm_candidate_schema(const sm_candidate *c);
/** How many rows were written; those that a replace moved are not counted. */
int64_t sm_candidate_rows(const sm_candidate *c);
/** Bytes of all new files, those of moved rows among them. */
uint64_t sm_candidate_bytes(const sm_candidate *c);
/** Files that it adds with rows of the write alone: rows that a replace moved are in none of them.
 * Of a merge they may have rows that were there. */
const sm_delta_add *sm_candidate_new_files(const sm_candidate *c, int64_t *n);
/** The id of the table, which no other one has. */
sm_str sm_candidate_table_id(const sm_candidate *c);
/** Is this version the next one behind what the candidate changes? Then the table has there what
 * the candidate makes of it, and nothing of other writers. */
bool sm_candidate_is_next(const sm_candidate *c, int64_t version);
/** How many rows the table will have; −1 where a file of another writer does not say how many it
 * has, or they cannot be counted now. The first time reads the base's checkpoint; one at a time. */
int64_t sm_candidate_table_rows(sm_candidate *c);
/** Does it change nothing, so that publishing it makes no version? */
bool sm_candidate_is_empty(const sm_candidate *c);
/** Will the table have the same rows? True also of one that only notes something. */
bool sm_candidate_keeps_rows(const sm_candidate *c);

/* What goes with a commit besides rows. It is known once they are read, so it comes after them. */
typedef struct sm_note {
    const sm_delta_txn *txns;
    int64_t n_txns;
    sm_str info_json; /* see sm_delta_commit; its member "smelt", if it has one, comes first */
    sm_str key, text; /* an object that the commit names: made, where it is not there, right before
                       * the commit, and deleted where that fails. key "": none */
} sm_note;
/** Adds a note. Copies all of it; a second one takes the place of the first. Before the candidate
 * is published. */
void sm_candidate_note(sm_candidate *c, const sm_note *note);

/**
 * Says that the candidate has to keep a contract. From then on sm_publish() refuses it
 * (SM_CONTRACT) until it was judged, and after a verdict that does not pass. Before it is
 * published; one that is empty is left out of a publication anyway.
 */
void sm_candidate_guard(sm_candidate *c);

typedef struct sm_judged {
    bool passes;
    bool is_of_table; /* it depends on rows that others may write or remove: then the candidate has
                       * read the whole table, and follows no commit that changed rows */
    sm_str json;      /* an object, which the commit's information has as "smelt": {"verdict": …},
                       * beside what a note says there */
} sm_judged;
/** The verdict; copied. A second one takes the place of the first. */
void sm_candidate_judge(sm_candidate *c, const sm_judged *v);

/* What is said of a candidate that is kept. */
typedef struct sm_keeping {
    sm_str run, contract, hash; /* of the pipeline's run; of the contract: its file, its text */
    sm_str report;              /* the verdict: an array of JSON */
    int64_t n_left;             /* rows that rules took away and that are in no quarantine: with
                                 * them it cannot be published */
    int64_t now_us;
} sm_keeping;
/**
 * Keeps a candidate that was judged and does not pass: it can be read and published later, also by
 * other processes. The one of the table that was kept before goes, with its files.
 *
 * Shape     *is_kept false: there is nothing to keep, or the table belongs to no lake
 * Errors    those of sm_delta_prepare() and of the store: then it is not kept
 */
sm_status sm_candidate_keep(sm_candidate *c, const sm_keeping *k, sm_budget *budget, bool *is_kept,
                            sm_error *e) SM_MUST_USE;

/* Rows of a candidate. */
typedef enum sm_candidate_part {
    SM_CANDIDATE_TABLE,   /* all that the table will have */
    SM_CANDIDATE_WRITTEN, /* those that the write was given: not the ones that it moved */
    SM_CANDIDATE_STAYS,   /* all others */
} sm_candidate_part;
/**
 * Rows of a candidate as a plan by calls.
 *
 * Shape     the columns that the table will have, in their order
 * Owner     *out lives as long as `n`, and borrows the candidate; `label` is for messages
 */
sm_status sm_names_candidate_rows(sm_names *n, sm_candidate *c, sm_candidate_part part,
                                  sm_str label, const sm_plan_node **out, sm_error *e) SM_MUST_USE;

/** All rows of a version of a table, likewise. Retains the snapshot. */
sm_status sm_names_snapshot_rows(sm_names *n, sm_snapshot *s, sm_str label,
                                 const sm_plan_node **out, sm_error *e) SM_MUST_USE;

/** Counts one more owner; gives c back. Any thread. */
sm_candidate *sm_candidate_retain(sm_candidate *c);
/** Any thread; takes NULL. The last release of an unpublished one deletes its files. */
void sm_candidate_release(sm_candidate *c);

/* ---- quarantines ----------------------------------------------------------------------------- */

/* A quarantine table being written: the lines that scans refused, and the rows that broke rules,
 * each with its file, place and reason. A table of before gets the columns that it lacks. */
typedef struct sm_quarantine sm_quarantine;

/* What it points to is borrowed until the quarantine is closed. */
typedef struct sm_quarantine_opts {
    sm_str run;          /* the column `run` of all rows */
    int64_t time_us;     /* the column `time` of all rows */
    const sm_str *paths; /* paths of columns in the lines, as format gives them ("device.name"), */
    const sm_str *columns; /* and the loaded table's names for them */
    int32_t n_columns;     /* a path that is not among them is called by its last part */
} sm_quarantine_opts;

/**
 * Opens a write of refused lines and rows.
 *
 * Owner     *out is the caller's, sm_quarantine_close() it
 * Errors    those of sm_stage_open
 */
sm_status sm_quarantine_open(const sm_write *w, const sm_quarantine_opts *opts,
                             const sm_exec_env *env, sm_quarantine **out, sm_error *e) SM_MUST_USE;
/** Ends the data file that is open, if there is one; the next line goes into another file. Errors
 * of the store. No worker may call it: it waits until the file is written. */
sm_status sm_quarantine_end_file(sm_quarantine *q, sm_error *e) SM_MUST_USE;
/** What the quarantine has now, for sm_quarantine_rollback(). Only where no file is open. */
int64_t sm_quarantine_mark(const sm_quarantine *q);
/**
 * Throws away the lines that were given since `mark`: their files are deleted, the open one too,
 * even where an error or a router's waiting left it half written. More lines may follow.
 *
 * Errors    none: a file that cannot be deleted stays, with a warning in the log
 * Threads   no worker; after the routers of these lines are released
 */
void sm_quarantine_rollback(sm_quarantine *q, int64_t mark);
/**
 * Ends the write, once, where no file is open.
 *
 * Owner     *out is the caller's, sm_candidate_release() it; the quarantine is then to be closed
 * Errors    those of sm_stage_candidate
 */
sm_status sm_quarantine_candidate(sm_quarantine *q, sm_candidate **out, sm_error *e) SM_MUST_USE;
/** Frees; without a candidate its files are deleted. Takes NULL. */
void sm_quarantine_close(sm_quarantine *q);

/* Gives the refused lines of one plan to the quarantines that take them. The caller sets the first
 * four members and zeroes the others. */
typedef struct sm_quarantine_router {
    sm_quarantine *const *quarantines; /* NULL among them: none is open there */
    int32_t n_quarantines;
    void *ctx;
    /* Does quarantine i take the lines of this file (URI as it was opened)? Asked for each line,
     * from any worker, one call at a time. */
    bool (*takes)(void *ctx, int32_t i, sm_str file);

    int32_t at;        /* the quarantine in work */
    sm_batch *pending; /* rows that it has no room for yet */
} sm_quarantine_router;

/** The sink for sm_exec_run's refused lines. Good until the router is released. */
sm_sink sm_quarantine_router_sink(sm_quarantine_router *r);
/** After the plan, whether or not it failed. Takes {0}. */
void sm_quarantine_router_release(sm_quarantine_router *r);

/* Why rows leave a plan by one of its checks: a rule. */
typedef struct sm_quarantine_rule {
    sm_str name;    /* the column `reason` of its rows */
    sm_str wants;   /* in the message, before the value: "minimum: 0" */
    int32_t column; /* of the rows: it is named in `column`, and its value in the message. −1: the
                     * rule is of no single column */
} sm_quarantine_rule;

/* The rows that leave a plan by one side output of a CHECK. */
typedef struct sm_quarantine_side {
    const sm_type *leaves; /* sm_plan_check_leaves(): the columns of rows, then INTEGER "check" */
    /* The first of the columns of sm_origin_schema among them (sm_origin_find()), which become
     * `file`, `line` and `byte_offset`; −1: they are not there. All others are in `raw` */
    int32_t origin;
    const sm_quarantine_rule *rules; /* by "check" */
    int32_t n_rules;
    void *ctx;
    /* Is a row of this file (URI as it was opened) taken? Asked as of a router. NULL: all are, also
     * those without an origin, of which it is not asked. */
    bool (*takes)(void *ctx, sm_str file);
} sm_quarantine_side;

/* A side output on its way into a quarantine. */
typedef struct sm_quarantine_rows sm_quarantine_rows;

/**
 * Makes a way for one execution of a plan. Each side output has a way of its own; they, and one
 * router, may be used at the same time. Their rows go into different data files, so that the order
 * of rows depends on no thread.
 *
 * Shape     a row of the table: `reason` is the name of the rule, `message` what that wants and the
 *           value, `raw` the row as a JSON object, of which 65,536 bytes are kept, raw_bytes the
 *           length of the whole
 * Owner     *out is the caller's, sm_quarantine_rows_close() it before the quarantine; what `side`
 *           points to is borrowed until then
 * Cost      nothing but a few hundred bytes where no row leaves; a file is opened for the first one
 */
sm_quarantine_rows *sm_quarantine_rows_new(sm_quarantine *q, const sm_quarantine_side *side);
/** The sink for the plan's side output. Its finish makes the files durable. */
sm_sink sm_quarantine_rows_sink(sm_quarantine_rows *r);
/** Ends the way. Where its sink was finished the rows are the quarantine's from now on, behind all
 * that were closed before; else they are thrown away. No worker may call it; one at a time for a
 * quarantine, and after the execution. Takes NULL. */
void sm_quarantine_rows_close(sm_quarantine_rows *r);

/* ---- publishing ------------------------------------------------------------------------------ */

/**
 * Makes the candidates visible, all or none, in one publication of their lake's journal. Those that
 * are empty are left out. It completes a publication that another run has left open first. Where
 * others have written to a table meanwhile, its commit goes behind theirs if Delta's rules allow
 * it.
 *
 * Shape     versions[i] is what candidate i became; −1: it was empty, or was not published
 * Units     *mixed_ns (may be NULL): for how long those who read the tables by path, without smelt,
 *           may have seen some with this publication and some without; 0 where at most one table
 *           was written; −1: not known, for another smelt has done it
 * Returns   SM_OK: all are published. SM_CONFLICT: none is, or only those that could not be taken
 *           back any more (e says which)
 * Errors    SM_UNSUPPORTED: tables of two lakes, or several that lie in none. A failure of the
 *           store may leave the publication begun: whoever writes to the lake next completes it,
 *           and until then readers see the versions before it
 * Threads   no worker; any number of processes may publish into one lake at once
 * Source    the protocol: table_journal.c
 */
sm_status sm_publish(sm_candidate *const *candidates, int32_t n, sm_budget *budget,
                     int64_t *versions, int64_t *mixed_ns, sm_error *e) SM_MUST_USE;

/* A candidate that is kept. At most one a table. */
typedef struct sm_kept {
    sm_str table;   /* "silver.orders" */
    sm_str id;      /* another candidate of the table has another one */
    int64_t base;   /* the version that it changes; −1: it makes the table */
    int64_t n_rows; /* written */
    sm_keeping about;
} sm_kept;
#define SM_DAY_US  INT64_C(86400000000)
#define SM_KEPT_US (7 * SM_DAY_US) /* vacuum drops older ones */

/** Is it a name candidate.layer.table? Its parts are borrowed of it. */
bool sm_kept_is_name(sm_str name, sm_str *layer, sm_str *table);
/** Reads what is kept of `layer.table`; its rows are those of candidate.layer.table. *out lives in
 * `a`. SM_NOT_FOUND: nothing is. */
sm_status sm_kept_read(sm_stores *stores, sm_str lake, sm_str table, sm_arena *a, sm_kept *out,
                       sm_error *e) SM_MUST_USE;
/**
 * Publishes a kept candidate, as sm_publish() does one that was just staged, by a new verdict; then
 * it is kept no more. Where a process was killed at that, this one completes it.
 *
 * Returns   SM_OK with *version; SM_CONFLICT: another one is kept by now, or others have changed
 *           the table since: it stays kept
 * Errors    those of sm_publish(); SM_NOT_FOUND: none is kept
 */
sm_status sm_kept_publish(sm_stores *stores, sm_str lake, const sm_kept *kept, const sm_judged *v,
                          sm_budget *budget, int64_t *version, sm_error *e) SM_MUST_USE;
/** Deletes what is kept of `layer.table`, if anything is, and its files. */
sm_status sm_kept_drop(sm_stores *stores, sm_str lake, sm_str table, sm_budget *budget,
                       sm_error *e) SM_MUST_USE;

/**
 * Completes the publication that another run has left open in a lake, if there is one. To be called
 * before a run that writes into the lake reads its tables. A lake that is not there has none.
 *
 * Owner     *told lives in `a`: what was done, as part of a sentence; "" where nothing was open
 */
sm_status sm_lake_settle(sm_stores *stores, sm_str lake, sm_budget *budget, sm_arena *a,
                         sm_str *told, sm_error *e) SM_MUST_USE;
/** sm_lake_settle() for the lake that a table belongs to, or will belong to; of none: nothing. What
 * changes a table does so by itself; who wants to tell what was done does it before. */
sm_status sm_table_settle(sm_store *table, sm_budget *budget, sm_arena *a, sm_str *told,
                          sm_error *e) SM_MUST_USE;

/**
 * Opens a table's newest version, as readers see it: of a publication that is under way it shows
 * nothing. Its files are not listed. Writes nothing.
 *
 * Owner     *out is the caller's, sm_snapshot_release() it
 * Errors    SM_NOT_FOUND: there is no table, or not yet; those of sm_snapshot_open_head
 * See       sm_names does the same, alike for all tables of a command
 */
sm_status sm_table_open(sm_store *table, sm_budget *budget, sm_snapshot **out,
                        sm_error *e) SM_MUST_USE;

typedef enum sm_table_at_kind {
    SM_AT_NEWEST,
    SM_AT_VERSION, /* any version that the log has: one that a user names is read as it is */
    SM_AT_TIME,    /* the newest version that readers see and that is not later */
} sm_table_at_kind;

/* Which version of a table is meant. */
typedef struct sm_table_at {
    sm_table_at_kind kind;
    int64_t version; /* SM_AT_VERSION */
    int64_t time_us; /* SM_AT_TIME: since 1970, UTC */
} sm_table_at;

/**
 * Opens a version of a table. Its files are not listed. Writes nothing.
 *
 * Owner     *out is the caller's, sm_snapshot_release() it
 * Errors    SM_NOT_FOUND: there is no table, no such version, or the time is before the first;
 *           those of sm_table_open and sm_delta_version_at
 */
sm_status sm_table_open_at(sm_store *table, const sm_table_at *at, sm_budget *budget,
                           sm_snapshot **out, sm_error *e) SM_MUST_USE;

/* ---- earlier versions ------------------------------------------------------------------------ */

typedef struct sm_restore {
    sm_table_at at; /* a version or a time */
    bool is_trial;  /* only find out what would be done, and whether it can be */
} sm_restore;

/* What a restore did, or would do. */
typedef struct sm_restored {
    int64_t from;    /* the version before it, the newest */
    int64_t version; /* the version whose rows are the table's again */
    int64_t made;    /* the version that the restore made; −1 of a trial, or where it is_same */
    bool is_same;    /* the newest version is that version, or a RESTORE to it: nothing is done */
    int64_t n_removed, removed_bytes;   /* files of `from` that go */
    int64_t n_restored, restored_bytes; /* files of `version` that come back */
    int64_t n_files, bytes;             /* of the table afterwards */
} sm_restored;

/**
 * Makes the rows, schema and properties of an earlier version the table's again, by a commit
 * RESTORE in a publication of its own. First it completes the publication that is open in the
 * table's lake. Where the table is as at that version already, it makes no commit, so a restore
 * may be repeated.
 *
 * Owner     *out is set only on success
 * Returns   SM_OK; SM_CONFLICT: another writer changed rows meanwhile, nothing was done
 * Errors    SM_NOT_FOUND: no table, no such version, a time before the first, or files of the
 *           version that are gone from the store (naming the first); SM_UNSUPPORTED: a file outside
 *           the table, a writer feature; SM_DENIED: an append-only table
 * Threads   no worker
 * Cost      two snapshots; a request for each file of the version, or one listing of the table's
 *           folder where they are many
 */
sm_status sm_table_restore(sm_store *table, const sm_restore *opts, sm_budget *budget,
                           sm_restored *out, sm_error *e) SM_MUST_USE;
/** The same of n tables of one lake, in one publication: all or none (sm_publish). opts and out
 * have one for each; all are trials, or none is. */
sm_status sm_tables_restore(sm_store *const *tables, const sm_restore *opts, int32_t n,
                            sm_budget *budget, sm_restored *out, sm_error *e) SM_MUST_USE;

/* ---- optimize -------------------------------------------------------------------------------- */

typedef struct sm_optimize {
    sm_str uri;            /* the table */
    uint64_t target_bytes; /* of a file; 0: as the table says (delta.targetFileSize), or 256 MiB */
    bool is_dry;           /* only find out which files would be joined; writes nothing */
} sm_optimize;

/* What an optimize did, or would do. */
typedef struct sm_optimize_report {
    uint64_t target_bytes;
    int64_t from;    /* the version before it; −1: it did not come so far */
    int64_t version; /* the last version that it made; −1: none */
    int64_t n_commits;
    int64_t n_bins;    /* groups of files, each of which became one file, or none */
    int64_t n_removed; /* files */
    int64_t n_vectors; /* of them with a deletion vector */
    uint64_t removed_bytes;
    int64_t n_copied;        /* of them copied as they are, without decoding; 0 in a dry run */
    int64_t n_added, n_rows; /* files and their rows; 0 in a dry run, as added_bytes */
    uint64_t added_bytes;
    int64_t n_conflicts; /* commits of others by which work was lost and done again */
} sm_optimize_report;

/**
 * Joins small data files of a table into files of a good size, and drops the rows that deletion
 * vectors delete, by commits OPTIMIZE that keep the table's rows and their order. A second one
 * finds nothing to do, and commits nothing. First it completes the publication that is open in the
 * table's lake.
 *
 * Owner     *out is set also after a failure: what was committed before stays
 * Returns   SM_OK; SM_CONFLICT: others removed files that were being joined, many times in a row
 * Errors    SM_NOT_FOUND: no table; SM_UNSUPPORTED: a partitioned table, a feature, a file outside
 *           the table; SM_INVALID: delta.targetFileSize is not understood; those of the store and
 *           of reading files
 * Threads   no worker: runs plans. Appends and loads may go on meanwhile
 * Cost      reads and writes only files that are joined; memory of a scan and one open file
 */
sm_status sm_table_optimize(const sm_optimize *o, const sm_exec_env *env, sm_optimize_report *out,
                            sm_error *e) SM_MUST_USE;
/* ---- cluster --------------------------------------------------------------------------------- */

/* The curve by which rows are sorted, so that rows with near values in several columns are near. */
typedef enum sm_curve {
    SM_CURVE_ZORDER,  /* Morton: the bits of the columns' ranks in turn */
    SM_CURVE_HILBERT, /* without jumps: rows that follow each other are near in each column */
} sm_curve;

typedef struct sm_cluster {
    sm_str uri;            /* the table */
    const sm_str *by;      /* its columns, in the order of the curve */
    int32_t n_by;          /* 1 to 8; 0: columns and curve are those of the table's properties */
    const sm_curve *curve; /* NULL: the table's where it has the same columns, else z-order */
    int64_t least_rows;    /* fewer rows that are not sorted wait for a later run; 0: any move */
    bool is_dry;           /* only find out which files would move; reads no row, writes nothing */
} sm_cluster;

/* A file that was moved, or would be. */
typedef struct sm_cluster_file {
    sm_str path; /* as in the log */
    uint64_t size_bytes;
    int64_t n_rows;  /* −1: not known */
    const char *why; /* a static text */
} sm_cluster_file;

/* What a clustering did, or would do. */
typedef struct sm_cluster_report {
    const sm_str *by;
    int32_t n_by;
    sm_curve curve;
    int64_t from;    /* the version before it; −1: it did not come so far */
    int64_t version; /* the last that it made; −1: none, for nothing had to move */
    int64_t n_commits;
    const sm_cluster_file *files; /* that moved */
    int64_t n_removed;
    uint64_t removed_bytes;
    int64_t n_kept; /* files that are clustered and stay where they are */
    uint64_t kept_bytes;
    int64_t n_waiting;       /* files that are not, and have too few rows (least_rows) */
    int64_t n_added, n_rows; /* new files, and the rows in them; 0 in a dry run, as added_bytes */
    uint64_t added_bytes;
    int64_t n_sets;      /* sets of sorted files that its partitions have afterwards */
    int64_t n_conflicts; /* commits of others by which work was lost and done again */
} sm_cluster_report;

/**
 * Sorts a table's rows by a curve through several columns, so that a filter on any of them leaves
 * out most row groups; those of a partitioned table within each partition. It moves only files that
 * are not clustered yet, and of the clustered ones those whose set is small beside what moves; a
 * second one finds nothing to do, reads no rows, and commits nothing. First it completes the
 * publication that is open in the table's lake. Many partitions are done by several commits: what
 * is committed counts also after a failure.
 *
 * Owner     what *out has lives in `a`; it is set also after a failure
 * Returns   SM_OK; SM_CONFLICT: others removed files that were being moved, several times in a row
 * Errors    SM_NOT_FOUND: no table; SM_USAGE: no columns, and the table names none, or too many;
 *           SM_NAME, SM_TYPE: of a column; SM_UNSUPPORTED: a feature; SM_INVALID: a partition
 *           column, or a property of the table; those of the store and of reading files
 * Threads   no worker: runs plans. Appends and loads may go on meanwhile
 * Cost      reads the columns twice and all others once, of files that move; sorts within the
 *           environment's budget
 */
sm_status sm_table_cluster(const sm_cluster *c, const sm_exec_env *env, sm_arena *a,
                           sm_cluster_report *out, sm_error *e) SM_MUST_USE;

/* ---- two versions compared ------------------------------------------------------------------- */

typedef struct sm_diff_opts {
    sm_table_at from, to;
    const sm_str *keys; /* columns by which rows of both versions belong together */
    int32_t n_keys;     /* 0: rows are compared as wholes, and counted */
} sm_diff_opts;

/* The difference of two versions of a table: a plan whose rows tell it. */
typedef struct sm_diff sm_diff;

typedef struct sm_diff_about {
    int64_t from, to;     /* versions */
    const sm_str *schema; /* how the columns differ, a text each: "+ price DOUBLE" */
    int32_t n_schema;
    int64_t n_files_from, n_files_to; /* that are read of each */
    int64_t n_common;                 /* that both versions have, and are not read */
} sm_diff_about;

/**
 * Compares two versions. With keys it sees that no row that is read has NULL in one, and that none
 * of their keys is there twice in a version.
 *
 * Owner     *out is the caller's, sm_diff_close() it; copies `env`, retains what it needs
 * Errors    SM_NAME: a key that is no column of both versions; SM_TYPE: a key that is nested;
 *           SM_INVALID: a key twice, or NULL, naming one; SM_UNSUPPORTED: nested columns without
 *           keys; SM_SCHEMA: a column whose types cannot be compared; those of sm_table_open_at and
 *           of reading
 * Threads   no worker
 * Cost      reads files that one version alone has. With keys it reads their key columns twice, and
 *           the key columns of common files in which such a key may be
 */
sm_status sm_diff_open(sm_store *table, const sm_diff_opts *opts, const sm_exec_env *env,
                       sm_diff **out, sm_error *e) SM_MUST_USE;
/**
 * The plan, for sm_exec_run(), any number of times. Its rows, in their order by key or by column:
 *   with keys    _change ('came', 'went', 'changed'), the keys, and texts: _columns, the names of
 *                those that changed; _before and _after, "amount=1, name='Anna'": of a row that
 *                changed these columns, else all
 *   without      _change ('came', 'went'), _rows: how many such rows, and the columns
 */
const sm_plan *sm_diff_plan(const sm_diff *d);
/** What is compared; as long as the difference. */
const sm_diff_about *sm_diff_about_of(const sm_diff *d);
void sm_diff_close(sm_diff *d); /* takes NULL */

/* ---- vacuum ---------------------------------------------------------------------------------- */

typedef struct sm_vacuum {
    sm_str uri;                 /* the table */
    int64_t retention_us;       /* how long removed files are kept; −1: as the table says */
    bool ignores_own_retention; /* it may be shorter than the table's */
    bool is_lite;               /* only files that the log removed; the folder is not listed */
    bool is_dry;                /* deletes and writes nothing */
    int64_t now_us;             /* the wall clock; 0: sm_now_us() */
} sm_vacuum;

typedef struct sm_vacuum_file {
    sm_str key;
    uint64_t size_bytes;
} sm_vacuum_file;

typedef struct sm_vacuum_report {
    const sm_vacuum_file *files; /* that no version needs, in byte order of their keys */
    int64_t n_files;
    int64_t n_deleted, n_failed; /* of them; 0 in a dry run */
    uint64_t size_bytes;         /* of the files; of the deleted ones unless it is a dry run */
    int64_t n_dropped; /* files of a candidate that was kept, and expired: it is dropped */
    int64_t n_young;   /* needed by no version, but not old enough */
    int64_t retention_us;
    bool
        log_is_cut; /* the log lost old commits: there may be removed files that it does not name */
    bool has_records; /* the log has VACUUM START and VACUUM END; not where nothing was to delete */
} sm_vacuum_report;

/**
 * Deletes files below a table's root that no version within the retention needs: data files,
 * deletion vectors, and temporary files of killed writers. Completes the lake's open publication
 * first. It never touches a file that is younger than the retention, one in a folder whose name
 * begins with '_' or '.', one behind a symbolic link, or one of another kind.
 *
 * Owner     what *out has lives in `a`
 * Returns   SM_OK; after the failure of a deletion the others are deleted all the same, and the
 *           status is that of the first failure. *out is set whenever it came as far as deleting
 * Errors    SM_USAGE: the retention is shorter than the table's; SM_UNSUPPORTED: a table feature;
 *           SM_INVALID: the table's own retention is not understood; those of the store
 * Cost      one listing of the folder (not is_lite); a request for each commit of the log; is_lite:
 *           a look at each removed file
 */
sm_status sm_table_vacuum(sm_stores *stores, const sm_vacuum *v, sm_budget *budget, sm_arena *a,
                          sm_vacuum_report *out, sm_error *e) SM_MUST_USE;

/* ---- fsck ------------------------------------------------------------------------------------ */

#define SM_ROWS_UNNAMED INT64_MIN /* sm_fsck.rows_named: the user named no number of rows */

typedef enum sm_fsck_kind {
    SM_FSCK_LOG,         /* the log is damaged, or contradicts itself */
    SM_FSCK_GONE,        /* a file is not in its store */
    SM_FSCK_UNREACHABLE, /* it lies where smelt cannot look */
    SM_FSCK_SIZE,        /* it has another size than the log says */
    SM_FSCK_DAMAGED,     /* its footer, or a page, cannot be read */
    SM_FSCK_ROWS,        /* it has another number of rows than the log says */
    SM_FSCK_VECTOR,      /* its deletion vector cannot be read, or does not fit it */
    SM_FSCK_STATISTICS, /* statistics exclude values that it has, so that queries leave rows out, or
                          * cannot be read */
} sm_fsck_kind;

typedef struct sm_fsck_finding {
    sm_fsck_kind kind;
    int64_t version; /* −1: of no version */
    sm_str file;     /* as in the log; of the log: below the table's root */
    sm_str what;     /* part of a sentence */
    sm_str todo;     /* full sentences */
    int64_t n_rows;  /* of the file, as the log says; −1: not known. Of the log: 0 */
} sm_fsck_finding;

typedef struct sm_fsck {
    bool reads_data;      /* all pages of all files, and compares statistics with the values */
    bool is_repair;       /* removes the entries of files that are gone from the log */
    bool removes_damaged; /* is_repair: also of files that are there but damaged */
    bool is_dry;          /* is_repair: only find out what would go */
    int64_t rows_named; /* is_repair, not is_dry: the rows that the user lets go; −1: not known */
    /* Is given each finding when it is made, for the call: of the log, then in the order of the
     * files. There may be a million. NULL: they are counted. */
    void (*found)(void *ctx, const sm_fsck_finding *f);
    void *ctx;
} sm_fsck;

typedef struct sm_fsck_report {
    int64_t version; /* that was checked; −1: none can be opened */
    sm_delta_audit log;
    int64_t n_files, bytes;
    int64_t n_leftovers, leftover_bytes; /* temporary files of writers, some perhaps at work */
    int64_t publication;                 /* that is open in the lake and has the table; 0: none */
    sm_str candidate;                    /* the id of the one that is kept; "": none is … */
    int64_t candidate_us;                /* … and since when */
    int64_t n_findings;
    int64_t n_removed, removed_bytes; /* entries that the repair removed, or would remove */
    int64_t removed_rows;             /* −1: the statistics of one do not say how many it had */
    int64_t made;                     /* the version of the repair; −1: none */
    int64_t n_left;                   /* findings that are still there */
} sm_fsck_report;

/**
 * Checks a table: reads its log, compares checkpoints with commits, and compares each live file of
 * the newest version with what the log says of it. Repairs, where it is asked to, by a commit FSCK
 * that removes entries. It deletes no file.
 *
 * Owner     what *out points to lives in `a`; it is set as far as the check came
 * Returns   SM_OK, whatever was found; SM_CONFLICT: another writer removed a file meanwhile
 * Errors    SM_NOT_FOUND: no table; SM_USAGE: rows_named is not what the repair would take, nothing
 *           was done; SM_DENIED: the table is append-only; those of the store
 * Threads   no worker; starts up to 16 threads of its own, each with one request at a time
 * Cost      a request for each commit, and four for each checkpoint; two for each file, more where
 *           it has a deletion vector; a listing of the table's folder. reads_data: all bytes.
 *           Memory for some thousand files, and 32 bytes for each; a repair lists those that go
 */
sm_status sm_table_fsck(sm_store *table, const sm_fsck *opts, const sm_exec_env *env, sm_arena *a,
                        sm_fsck_report *out, sm_error *e) SM_MUST_USE;

/* ---- a folder of Parquet files becomes a table ----------------------------------------------- */

typedef struct sm_convert {
    sm_str partition_by; /* "shop INTEGER, day DATE": the columns in the names of folders; "": by
                          * their values */
    bool is_dry;         /* only find out what the table would be */
} sm_convert;

/* What the table is, or would be. */
typedef struct sm_converted {
    int64_t version; /* 0; −1 of a dry run */
    int64_t n_files, bytes, n_rows;
    int64_t n_others;      /* files of other kinds, which are left out */
    const sm_type *schema; /* stored columns, then those in the names of folders */
    const sm_str *partition_columns;
    int32_t n_partition_columns;
} sm_converted;

/**
 * Makes a Delta table of the Parquet files in a folder and below it, where they are, by one commit
 * CONVERT. Columns, rows and statistics are those of the footers; no file is rewritten.
 *
 * Owner     what *out points to lives in `a`
 * Returns   SM_OK; SM_CONFLICT: somebody made a table there meanwhile
 * Errors    SM_EXISTS: the folder is a table already, or has one in it; SM_NOT_FOUND: no Parquet
 *           files; SM_SCHEMA: files with different types of a column, naming both; SM_INVALID:
 *           folders with different keys, or a value that no table can have; SM_TYPE: a value that
 *           is not of the type that partition_by says; SM_UNSUPPORTED: a type; SM_USAGE:
 *           partition_by
 * Threads   no worker; starts up to 16 threads of its own
 * Cost      one listing; reads each footer twice
 */
sm_status sm_table_convert(sm_store *folder, const sm_convert *opts, const sm_exec_env *env,
                           sm_arena *a, sm_converted *out, sm_error *e) SM_MUST_USE;

/* ---- other columns, properties and constraints ----------------------------------------------- */

typedef struct sm_altered {
    int64_t from, version;  /* version: −1 where nothing was to be changed, and of a dry run */
    bool is_changed;        /* also of a dry run: something would be */
    const sm_str *features; /* table features that were turned on */
    int32_t n_features;
    int32_t min_reader, min_writer; /* versions of the protocol that it has, or would have */
} sm_altered;

/**
 * Does what ALTER TABLE says, one change after the other, all by one commit of metadata. No data
 * file is written; a constraint is checked against the rows that are there.
 *
 * Owner     what *out points to lives in `a`
 * Returns   SM_OK; SM_CONFLICT: another writer changed the columns, properties or protocol
 *           meanwhile, or, where a constraint is added, the rows
 * Errors    SM_NAME: no such column, property or constraint; SM_EXISTS: there is one; SM_TYPE: not
 *           a type that the column can become; SM_DENIED: something in the table uses the column, a
 *           feature must be turned on first, a reader that the table declares could not read it;
 *           SM_INVALID: rows that do not keep a constraint, with their number; SM_UNSUPPORTED: a
 *           feature that smelt does not write, an expression that is not understood
 * Threads   no worker: a constraint runs a plan
 */
sm_status sm_table_alter(sm_store *table, const sm_alter *items, int32_t n, bool is_dry,
                         const sm_exec_env *env, sm_arena *a, sm_altered *out,
                         sm_error *e) SM_MUST_USE;

/* ---- shallow clones -------------------------------------------------------------------------- */

typedef struct sm_clone {
    sm_str source, target; /* URIs */
    sm_table_at at;        /* the version of the source */
} sm_clone;

typedef struct sm_cloned {
    int64_t source_version, version; /* version: 0 */
    int64_t n_files, bytes;          /* of the source, which the clone names */
} sm_cloned;

/**
 * Makes a table whose log names the files of a version of another table, by absolute paths. No file
 * is copied. Only readers that know absolute paths can read it.
 *
 * Returns   SM_OK; SM_CONFLICT: somebody made a table at the target meanwhile
 * Errors    SM_EXISTS: there is a table at the target; SM_NOT_FOUND: no such source or version;
 *           SM_UNSUPPORTED: a feature that smelt does not write, a target that may not name the
 *           files; those of sm_publish
 * Threads   no worker
 */
sm_status sm_table_clone(const sm_clone *opts, const sm_exec_env *env, sm_cloned *out,
                         sm_error *e) SM_MUST_USE;

#endif
