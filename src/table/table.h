/* SPDX-License-Identifier: Apache-2.0
 *
 * table/table.h: the table room's door. What changes tables, and how names become relations.
 * Needs: base to exec.
 *
 * A write has two halves. Staging runs a query into data files and returns a candidate: actions,
 * statistics, counts; nobody sees it. Publishing commits a list of candidates in order. Names
 * inside a run resolve to snapshot plus candidate, so silver reads a bronze that nobody else sees
 * yet. A candidate that is never published leaves files that no version names; its last release
 * deletes them. */
#ifndef SM_TABLE_TABLE_H
#define SM_TABLE_TABLE_H

#include "delta/delta.h"
#include "exec/exec.h"

/* ---- lakes and names ------------------------------------------------------------------------- */

typedef struct sm_candidate sm_candidate; /* counted */
typedef struct sm_files sm_files;

/* Names for one run or one command: a lake, variables, views, candidates. One at a time while it is
 * being filled; then its resolver may be used by one thread at a time. */
typedef struct sm_names sm_names;

/** `lake`: the root URI under which tables live as layer/table; "" for none. Retains `stores`, by
 * which all that names stand for is opened. */
sm_names *sm_names_new(sm_stores *stores, sm_str lake, sm_budget *budget);
void sm_names_free(sm_names *n); /* takes NULL */
sm_str sm_names_lake(const sm_names *n);
/** Where the table of that name lies: "LAKE/layer/table". SM_NAME unless it has two parts. */
sm_status sm_names_uri(const sm_names *n, sm_str table, sm_arena *a, sm_str *out,
                       sm_error *e) SM_MUST_USE;
void sm_names_set_variable(sm_names *n, sm_str name, sm_value v);
/** `layer.table` stands for this SQL from now on. */
void sm_names_set_view(sm_names *n, sm_str table, sm_sql sql);
/** `layer.table` stands for what the table will be once the candidate is published. Retains it. */
void sm_names_set_candidate(sm_names *n, sm_str table, sm_candidate *c);
/** What read_json and read_parquet of exactly this path read instead of listing it: files chosen
 * before (a load reads only what is new). Borrowed, as long as `n`. */
void sm_names_set_files(sm_names *n, sm_str path, const sm_files *files);
/** The files that were set for it; NULL: none. */
const sm_files *sm_names_files(const sm_names *n, sm_str path);
/** Fits a column that was found in a sample of `d`, a dataset of these names, to the table's column
 * that it goes to, `there`, at any depth: where that is VARCHAR, texts that would be dates or times
 * stay VARCHAR; what the sample had only null of takes the table's type. `path`: the column, a
 * field of it and so on, by name. true where this changes its type: then a query over it is planned
 * anew. */
bool sm_names_fit_table(sm_names *n, const sm_dataset *d, const sm_str *path, int32_t n_path,
                        const sm_type *there);
void sm_names_set_morsel_bytes(sm_names *n, size_t bytes); /* tests */
/** Tables: layer.table, delta_scan(uri, version => n), read_json/read_parquet(path or glob or list,
 * options of the format, columns => {…}, filename => true, file_date => true, match => regex,
 * bad_lines => 'error' | 'skip' | 'quarantine', validate => 'read' | 'all'),
 * 'path' (a Delta folder, a file, a glob). Good as long as `n`. */
sm_resolver sm_names_resolver(sm_names *n);

/* ---- one query over a lake ------------------------------------------------------------------- */

/* A query with the names that its plan stands on. For a program that runs queries one by one. */
typedef struct sm_lake_query sm_lake_query;

typedef struct sm_lake_query_opts {
    sm_sql sql;          /* its name is what messages call it */
    sm_str lake;         /* the root URI of layer.table names; "": there are none */
    const sm_pair *vars; /* what var('key') is: texts */
    int32_t n_vars;
} sm_lake_query_opts;

/**
 * Plans a query. Nothing of it is run, but files and tables that it names are looked at.
 *
 * Owner     *out is the caller's, sm_lake_query_close() it; copies `opts`, borrows env's budget and
 *           retains its stores until then
 * Errors    those of sm_query_plan(), and of the tables and files that the query names
 * Threads   one at a time for a query; several queries at once
 */
sm_status sm_lake_query_open(const sm_lake_query_opts *opts, const sm_exec_env *env,
                             sm_lake_query **out, sm_error *e) SM_MUST_USE;
/** The plan, for sm_exec_run() and sm_plan_print(), any number of times. As long as the query. */
const sm_plan *sm_lake_query_plan(const sm_lake_query *q);
/** After all runs of its plan. Takes NULL. */
void sm_lake_query_close(sm_lake_query *q);

/* ---- files ----------------------------------------------------------------------------------- */

/* Files found for a path, glob or folder. */
typedef struct sm_found_file {
    sm_str name;      /* within the folder */
    sm_datafile file; /* constants unset */
    bool has_date;
    int32_t date; /* days; the only run of exactly eight ASCII digits in its name */
} sm_found_file;
struct sm_files {
    sm_found_file *items; /* in byte order of name */
    int64_t n;
    int64_t
        n_ignored;   /* names directly in the folder that `match` left out, or that are no files */
    sm_store *store; /* of all items; held until sm_files_release */
};
/** Files of a path, a glob, or a folder (then those directly in it whose name matches the regular
 * expression; "" all). want_date: a name without exactly one run of eight digits that is a date is
 * an error naming the file (SM_INVALID). SM_NOT_FOUND where the folder is not there. */
sm_status sm_files_find(sm_stores *stores, sm_str path, sm_str match, bool want_date, sm_arena *a,
                        sm_files *out, sm_error *e) SM_MUST_USE;
/** Lets the store go; what was found lives in the arena. Takes {0}. */
void sm_files_release(sm_files *f);
/** What a file's content is known by, when its mark does not settle it: sm_content_read and the
 * others of format.h over the file. They block. */
sm_status sm_file_content(const sm_datafile *f, const sm_exec_env *env, sm_content *out,
                          bool *is_whole, sm_error *e) SM_MUST_USE;
sm_status sm_file_head(const sm_datafile *f, const sm_exec_env *env, uint8_t *out, size_t *n,
                       sm_error *e) SM_MUST_USE;
sm_status sm_file_prefixes(const sm_datafile *f, const sm_exec_env *env, const int64_t *lens,
                           int64_t n, sm_hash128 *out, sm_error *e) SM_MUST_USE;

/* ---- staging --------------------------------------------------------------------------------- */

typedef enum sm_write_mode {
    SM_WRITE_APPEND,
    SM_WRITE_OVERWRITE,     /* all files are removed; the schema may change */
    SM_WRITE_REPLACE_WHERE, /* rows for which `where` holds are removed: whole files by statistics,
                             * files with rows on both sides are rewritten without them */
} sm_write_mode;

/* The rows that a write replaces, as a condition over the columns that the table will have: only
 * the stage knows these for sure. What `bind` makes lives in `a`, or as long as the candidate. */
typedef struct sm_condition {
    void *ctx;
    sm_status (*bind)(void *ctx, const sm_type *columns, sm_arena *a, const sm_expr **out,
                      sm_error *e);
} sm_condition;

typedef struct sm_write {
    sm_str uri; /* the table; made where it is not there */
    sm_write_mode mode;
    sm_condition where;   /* REPLACE_WHERE; called once, when the stage is opened */
    sm_str split_by;      /* a column: a data file holds one value of it ("" : none) */
    const sm_value *only; /* the one value that split_by may have in all rows given; SM_INVALID
                           * names another. NULL: any. Borrowed, as long as the stage */
    bool adds_columns;    /* what the rows have and the table has not is added at its end, NULL in
                           * the rows that are there. OVERWRITE takes all columns as they are */
    uint64_t file_bytes;  /* a file is ended once it has so many; 0: 256 MiB */
    sm_str user_metadata; /* see sm_delta_commit */
    bool has_base; /* it goes on from `base` (NULL: no table yet), not from the newest version */
    sm_snapshot *base; /* retained */
} sm_write;

typedef struct sm_stage sm_stage;

/** Opens a write of rows of `schema`. A table that is there must have the same columns
 * (SM_SCHEMA shows the difference), except for OVERWRITE. Reads the table's snapshot. */
sm_status sm_stage_open(const sm_write *w, const sm_type *schema, const sm_exec_env *env,
                        sm_stage **out, sm_error *e) SM_MUST_USE;
/** Where the rows go; good until the stage is closed. */
sm_sink sm_stage_sink(sm_stage *s);
/**
 * Ends the write, once, after the sink's last finish: finds which files of the table go, and writes
 * anew the other rows of those that REPLACE_WHERE cuts through.
 *
 * Owner     *out is the caller's, sm_candidate_release() it; the stage is then to be closed
 * Errors    what the condition fails with on a row; SM_UNSUPPORTED where a file must be looked into
 *           and has a deletion vector or lies outside the table
 */
sm_status sm_stage_candidate(sm_stage *s, sm_candidate **out, sm_error *e) SM_MUST_USE;
/** Frees; without a candidate its files are deleted. Takes NULL. */
void sm_stage_close(sm_stage *s);

/** The usual way: plan into candidate, refused lines (may be NULL) into another sink. */
sm_status sm_stage_plan(const sm_plan *plan, const sm_write *w, const sm_exec_env *env,
                        const sm_sink *refused, sm_exec_report *report, sm_candidate **out,
                        sm_error *e) SM_MUST_USE;

/* What is borrowed lives as long as the candidate. */

/** Of the table, as the write had it. */
sm_str sm_candidate_uri(const sm_candidate *c);
/** The table's, once it is published. */
const sm_type *sm_candidate_schema(const sm_candidate *c);
/** Of the write; those that a replace moved are not counted. */
int64_t sm_candidate_rows(const sm_candidate *c);
/** Of all new files; those of moved rows are counted. */
uint64_t sm_candidate_bytes(const sm_candidate *c);
/** That the table will have; −1 where a file of another writer does not say how many it has. */
int64_t sm_candidate_table_rows(const sm_candidate *c);
/** Does it change nothing, so that publishing it makes no version? */
bool sm_candidate_is_empty(const sm_candidate *c);
/** Will the table have the same rows? (Also of one that only notes something.) */
bool sm_candidate_keeps_rows(const sm_candidate *c);

/* What goes with a commit besides rows (what they were made of is known once they are read). */
typedef struct sm_note {
    const sm_delta_txn *txns;
    int64_t n_txns;
    sm_str info_json; /* see sm_delta_commit */
    sm_str key, text; /* an object that the commit names: made, where it is not there, right before
                       * the commit, and deleted where that fails; key "": none */
} sm_note;
/** Copies all. Before it is published; a second note takes the place of the first. */
void sm_candidate_note(sm_candidate *c, const sm_note *note);

/** Any thread. Gives c back. */
sm_candidate *sm_candidate_retain(sm_candidate *c);
/** Any thread; takes NULL. The last release of an unpublished one deletes its files. */
void sm_candidate_release(sm_candidate *c);

/* ---- quarantines ----------------------------------------------------------------------------- */

/* A quarantine table being written: the lines that scans refused, each with its file, place and
 * reason. */
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
 * Opens a write of refused lines.
 *
 * Owner     *out is the caller's, sm_quarantine_close() it
 * Errors    those of sm_stage_open
 */
sm_status sm_quarantine_open(const sm_write *w, const sm_quarantine_opts *opts,
                             const sm_exec_env *env, sm_quarantine **out, sm_error *e) SM_MUST_USE;
/**
 * Ends the write, once, after the last line.
 *
 * Owner     *out is the caller's, sm_candidate_release() it; the quarantine is then to be closed
 * Errors    those of sm_stage_candidate, and of the store
 * Threads   no worker: waits until the last file is written
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

/* ---- publishing ------------------------------------------------------------------------------ */

/**
 * Makes the candidates visible, all or none, in one publication of their lake's journal; those that
 * are empty are left out. What others wrote meanwhile is gone behind where that is right. First
 * completes what another publication has left open.
 *
 * Shape     versions[i] is what candidate i became; −1: it was empty, or was not published
 * Units     *mixed_ns (may be NULL): for how long a reader who opens the tables by their places,
 *           without smelt, may have seen some with this publication and some without; 0 where at
 *           most one table was written; −1: not known, for another smelt completed it
 * Returns   SM_OK: all are published. SM_CONFLICT: none is, or those that could not be taken back
 *           any more (e says which)
 * Errors    SM_UNSUPPORTED: tables of two lakes, or several that lie in none. A failure of the
 *           store may leave the publication begun: whoever writes to the lake next completes it,
 *           and until then readers see the versions before it
 */
sm_status sm_publish(sm_candidate *const *candidates, int32_t n, sm_budget *budget,
                     int64_t *versions, int64_t *mixed_ns, sm_error *e) SM_MUST_USE;

/**
 * Brings a publication to its end that somebody has left open. To be called by who is going to
 * write into the lake, before it reads its tables. A lake that is not there is at rest.
 *
 * Owner     *told lives in `a`: what was done, as part of a sentence; "" where nothing was open
 */
sm_status sm_lake_settle(sm_stores *stores, sm_str lake, sm_budget *budget, sm_arena *a,
                         sm_str *told, sm_error *e) SM_MUST_USE;

/**
 * Opens the newest version of a table that is all there: without what a publication has done to it
 * that is still open. Writes nothing.
 *
 * Owner     *out is the caller's
 * Errors    SM_NOT_FOUND: there is none, or not yet; those of sm_snapshot_open
 * See       names (sm_names) do the same, for all tables of a command alike
 */
sm_status sm_table_open(sm_store *table, sm_budget *budget, sm_snapshot **out,
                        sm_error *e) SM_MUST_USE;

#endif
