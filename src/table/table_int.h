/* SPDX-License-Identifier: Apache-2.0
 *
 * table/table_int.h: what the files of the room share: the state of names, the writer of data
 * files, candidates. In the order of the work. */
#ifndef SM_TABLE_TABLE_INT_H
#define SM_TABLE_TABLE_INT_H

#include "base/hash_set.h"
#include "base/map.h"
#include "table/table.h"
#include "table/table_journal_int.h"

/* ---- names ----------------------------------------------------------------------------------- */

/* What a name was made to stand for. */
typedef struct smi_named {
    sm_sql view;             /* where candidate is NULL */
    sm_candidate *candidate; /* one of sm_names.candidates */
    bool is_kept;            /* it is the candidate that is kept of the table */
} smi_named;

/* Relations are made once and kept. The same call gives the same dataset, by address, so that a
 * plan reads it once; and a run sees one version of each table. */
struct sm_names {
    sm_stores *stores;
    sm_budget *budget;
    sm_arena *arena;
    sm_str lake;
    sm_map *variables;       /* name -> sm_value */
    sm_map *named;           /* layer.table -> smi_named */
    sm_map *files;           /* path -> const sm_files */
    sm_map *known;           /* path -> const sm_type: the columns of its files of before */
    sm_map *unknown;         /* path -> the policy for its unknown keys, plus one */
    const sm_type *expected; /* columns of files in which none are found; NULL: an error */
    sm_map *relations;       /* layer.table -> sm_relation */
    sm_map *calls;           /* a table function's call, as text -> sm_relation */
    smi_pins pins;           /* up to which publication tables are seen */
    size_t morsel_bytes;

    /* What relations use; released with the names. */
    sm_store **held;
    int64_t n_held, cap_held;
    sm_snapshot **snapshots;
    int64_t n_snapshots, cap_snapshots;
    sm_candidate **candidates;
    int64_t n_candidates, cap_candidates;
};

/** Keeps a store open as long as the names. Takes it. */
void smi_names_hold_store(sm_names *n, sm_store *s);

/** A version of a Delta table as a relation; `label` is what the user calls it. SM_NOT_FOUND where
 * there is no table (*is_there is false), or no such version. */
sm_status smi_table_relation(sm_names *n, sm_str uri, const sm_table_at *at, sm_str label,
                             bool *is_there, sm_relation *out, sm_error *e) SM_MUST_USE;
/** Opens a version of the table as readers see it, its files not listed; *out lives as long as the
 * names. *is_there and errors as smi_table_relation. */
sm_status smi_names_open(sm_names *n, sm_str uri, const sm_table_at *at, bool *is_there,
                         sm_snapshot **out, sm_error *e) SM_MUST_USE;
/** A new file of the candidate as a scan reads it. *columns as of sm_delta_dataset() for its
 * metadata; in `a`, borrows the add. */
sm_datafile smi_added_file(const sm_candidate *c, const sm_delta_add *add, const int32_t *columns,
                           sm_arena *a);
/** What the table will be once the candidate is published. */
sm_status smi_candidate_relation(sm_names *n, sm_candidate *c, sm_str label, sm_relation *out,
                                 sm_error *e) SM_MUST_USE;

/* What to do about a file whose name must have a date and has not one. */
#define SMI_DATE_ADVICE                                                                            \
    "Put one date into its name, like 20220401, or leave the file out with match."

/* How much is read to find columns, as in DuckDB: rows of a file, and files. */
#define SMI_SAMPLE_ROWS  20480
#define SMI_SAMPLE_FILES 32

/** The type of a column, or the STRUCT of all, that was found in a sample of files of format `f`,
 * fitted to the one that is known (table_fit.c). In `a`, or `found` itself where it fits. */
const sm_type *smi_fit_type(const sm_format *f, const sm_type *found, const sm_type *known,
                            sm_arena *a);

/** sm_resolver.function: read_…, delta_scan, table_changes, 'path'. */
sm_status smi_resolve_function(void *ctx, sm_str name, const sm_table_arg *args, int32_t n_args,
                               sm_arena *a, sm_relation *out, sm_error *e) SM_MUST_USE;

/** table_changes(…), by its arguments (table_changes.c). */
sm_status smi_changes_relation(sm_names *n, const sm_table_arg *args, int32_t n_args,
                               sm_relation *out, sm_error *e) SM_MUST_USE;

/* ---- arguments of table functions ------------------------------------------------------------ */

/** sm_fail at an argument's place, in the way of a resolver (query.h). */
sm_status smi_arg_fail(const sm_table_arg *arg, sm_error *e, sm_status st, const char *fmt, ...)
    SM_PRINTF(4, 5);
/** Moves an error that was made below to the argument's place, unless it names an object. Returns
 * st. */
sm_status smi_arg_place(const sm_table_arg *arg, sm_error *e, sm_status st) SM_MUST_USE;
/** A text, borrowed of the argument. `what` begins a message: "a path". SM_TYPE for anything else,
 * as of the next ones. */
sm_status smi_arg_text(const sm_table_arg *arg, const char *what, sm_str *out,
                       sm_error *e) SM_MUST_USE;
/** true or false. */
sm_status smi_arg_bool(const sm_table_arg *arg, bool *out, sm_error *e) SM_MUST_USE;
/** version => a whole number of 0 or more, timestamp => a TIMESTAMP, a DATE, or a text that is one
 * of these (UTC where it has no zone). By the argument's name, which is one of the two. */
sm_status smi_arg_at(const sm_table_arg *arg, sm_table_at *out, sm_error *e) SM_MUST_USE;
/** A version by its number, or by a time as of smi_arg_at. */
sm_status smi_arg_version(const sm_table_arg *arg, sm_table_at *out, sm_error *e) SM_MUST_USE;
/** A list of texts, or one text. In `a`. */
sm_status smi_arg_texts(const sm_table_arg *arg, const char *what, sm_arena *a, sm_str **out,
                        int32_t *n, sm_error *e) SM_MUST_USE;
/** {name: 'TYPE', …} as a struct type in `a`, all nullable. */
sm_status smi_arg_columns(const sm_table_arg *arg, sm_arena *a, const sm_type **out,
                          sm_error *e) SM_MUST_USE;
/** The call as a text, in `a`: the same for equal calls, and for no others. */
sm_str smi_call_text(sm_str name, const sm_table_arg *args, int32_t n_args, sm_arena *a);

/* ---- columns in folders' names (table_hive.c) ------------------------------------------------ */

typedef struct smi_hive_column {
    sm_field field;
    int32_t key; /* its place among the keys of a path, which are in the order of their names */
} smi_hive_column;

typedef struct smi_hive {
    smi_hive_column *columns;
    int32_t n;
} smi_hive;

/** The keys that the folders of all files have, with types that fit all their values. Where the
 * keys differ from file to file there are none, or, if is_wanted, it fails (SM_INVALID). In `a`. */
sm_status smi_hive_find(const sm_found_file *files, int64_t n, bool is_wanted, sm_arena *a,
                        smi_hive *out, sm_error *e) SM_MUST_USE;
/** A column's value for one of those files, by its URI, in `a`. The column may have been given
 * another type since; SM_TYPE or the like where the text does not fit that. */
sm_status smi_hive_value(const smi_hive *h, int32_t column, sm_str uri, sm_arena *a, sm_value *out,
                         sm_error *e) SM_MUST_USE;

/* ---- what a table says of its rows (table_rules.c) ------------------------------------------- */

/* A condition that must be TRUE for each row that is written. */
typedef struct smi_rule {
    sm_str name; /* "constraint \"positive\"", for messages */
    sm_str text; /* as the table has it */
    const sm_expr *holds;
} smi_rule;

typedef struct smi_identity smi_identity;

typedef struct smi_rules {
    const smi_rule *rules;
    int32_t n, n_columns; /* n_columns: of the table */
    /* Of each column of the table, what its value is where the rows do not have it: a default, or
     * what generates it; NULL: the rows have it. Defaults first: no column is generated from a
     * generated one. */
    const sm_expr **defaults, **generated;
    smi_identity *identity; /* of identity columns that the rows do not have; NULL: of none. It
                             * remembers what it gave out */
    bool has_missing;       /* one of them is not NULL */
} smi_rules;

/** Is it an identity column, of which each row has another value? */
bool smi_field_is_identity(const sm_field *f);
/** The identity columns among those that the rows do not have, by `order` as of
 * smi_rules_settle(); NULL: none. In `a`. SM_UNSUPPORTED: it is not as the protocol has it. */
sm_status smi_identity_settle(const sm_type *schema, const int32_t *order, sm_arena *a,
                              smi_identity **out, sm_error *e) SM_MUST_USE;
/** May a user give the columns of the rows? SM_DENIED names one that is GENERATED ALWAYS. */
sm_status smi_identity_check_given(const sm_type *schema, const int32_t *order,
                                   sm_error *e) SM_MUST_USE;
/** May rows of a table get these values, one a column of it (NULL: they get none)? SM_DENIED. */
sm_status smi_identity_check_change(const sm_type *schema, const sm_expr *const *values,
                                    sm_error *e) SM_MUST_USE;
/** Gives the rows of a batch that is being made their values. SM_LIMIT: there are no more. */
sm_status smi_identity_fill(smi_identity *id, sm_batch *b, sm_error *e) SM_MUST_USE;
/** The schema with the marks of what was given out, in `a`; itself where nothing was. */
const sm_type *smi_identity_marked(const smi_identity *id, const sm_type *schema, sm_arena *a);
/** Does the table itself know the column's value where rows do not have it? */
bool smi_field_is_computed(const sm_field *f);
/** sm_relation.default_of of such a column. */
sm_status smi_field_default(const sm_field *f, sm_arena *a, const sm_expr **out,
                            sm_error *e) SM_MUST_USE;
/** Is it a generated column, whose value always follows from the other columns? */
bool smi_field_is_generated(const sm_field *f);
/**
 * Reads the table's constraints, invariants, generated columns and, for columns that the rows do
 * not have, defaults.
 *
 * Shape     order[i]: the place of the table's column i in the rows, or −1; NULL: they have all.
 *           m is what the table will have, with its schema
 * Owner     *out lives in `a`
 * Errors    those of sm_query_expr_spark, naming the rule: SM_UNSUPPORTED, SM_SYNTAX, SM_NAME, …
 */
sm_status smi_rules_settle(const sm_delta_metadata *m, const int32_t *order, sm_arena *a,
                           smi_rules *out, sm_error *e) SM_MUST_USE;
/** Computes the columns that the rows do not have, which are NULL in `b` until then. `b` is being
 * made, and holds the memory of the others. */
sm_status smi_rules_fill(const smi_rules *r, sm_batch *b, sm_error *e) SM_MUST_USE;
/** The columns that a rule reads, with their values in a row: "a = 1, b = NULL". In `a`. */
sm_str smi_rule_row(const sm_expr *holds, const sm_batch *rows, int64_t row, sm_arena *a);
/** SM_INVALID names the first rule that a row does not keep, with what the row has. */
sm_status smi_rules_check(const smi_rules *r, const sm_batch *rows, sm_budget *budget,
                          sm_error *e) SM_MUST_USE;

/* ---- marks of clustered files (table_cluster_mark.c) ----------------------------------------- */

/* What the tags of a file say of how its rows are sorted. */
typedef struct smi_cluster_mark {
    sm_str by;    /* the curve and its columns; "": it is not clustered */
    sm_str set;   /* the set of files that were sorted together */
    bool is_told; /* other engines are told that smelt has clustered the file */
} smi_cluster_mark;

/* What the log calls smelt where it tells other engines (clusteringProvider). */
#define SMI_CLUSTER_PROVIDER SM_STR("smelt")

/** The mark of a file, borrowed of the snapshot; {0}: it has none. */
smi_cluster_mark smi_cluster_mark_of(const sm_delta_file *f);
/** A curve and its columns as a mark has them, in `a`. */
sm_str smi_cluster_mark_text(sm_curve curve, const sm_str *by, int32_t n, sm_arena *a);
/** Marks a new file that has none yet. The tags live in `a`; the mark's texts are borrowed. */
void smi_cluster_mark_put(sm_delta_add *add, const smi_cluster_mark *m, uint64_t least,
                          uint64_t greatest, sm_arena *a);
/** Gives a new file with some rows of an old one, in their order, the mark of that one, if it has
 * one. Borrows the old one's snapshot. */
void smi_cluster_mark_keep(sm_delta_add *add, const sm_delta_file *of, sm_arena *a);

/* ---- data files out -------------------------------------------------------------------------- */

/* The state of the file that is being written. */
typedef enum smi_out_state {
    SMI_OUT_NONE,      /* no file is open */
    SMI_OUT_OPEN,      /* rows go in */
    SMI_OUT_ENDING,    /* the writer gives its last bytes */
    SMI_OUT_UPLOADING, /* the store makes it visible */
} smi_out_state;

/* Sorted rows: a further column (UBIGINT) of the rows given has their keys, ascending. */
typedef struct smi_out_sorted {
    int32_t column;
    const smi_cluster_mark *mark; /* of the new files */
    int cell_shift; /* keys that are equal but for so many low bits are of one cell; 64: all are */
    int64_t group_rows; /* as the writer has it: a row group ends with so many, … */
    int64_t least_rows; /* … or, with so many, where its cell ends; files end with cells too */
    /* Keys, ascending, each the first of a cell, from which on rows are of another file. A file
     * between two of them may be half as large again as file_bytes before it is cut. */
    const uint64_t *cuts;
    int32_t n_cuts;
} smi_out_sorted;

#define SMI_MOST_ENDING 16

/* Rows into data files of one table, one file after the other (table_out.c). */
typedef struct smi_out {
    sm_store *store;
    const sm_exec_env *env;
    sm_arena *arena;                   /* of the adds; where it has a lock, with it */
    sm_mutex *arena_lock;              /* NULL: nobody else uses the arena */
    const sm_delta_metadata *metadata; /* the table's */
    const sm_type *schema;             /* the same's */
    /* Of each field of schema, its place in the rows given, or −1: computed. NULL: as is. */
    const int32_t *order;
    const int32_t *required; /* columns without NULL */
    int32_t n_required;
    /* Of each field of schema, is it in the rows given? The others are a file's, and anything in
     * the rows (table_keep.c). NULL: all are. */
    const bool *given_columns;
    smi_rules rules;
    const sm_type *stored; /* as files have it (sm_delta_file_schema): without partition columns */
    const int32_t *stored_columns; /* of each field of stored, its place in schema; NULL: as is */
    /* A file holds rows of one value each of these columns. */
    const int32_t *keys; /* of schema: the partition columns in their order, then perhaps `split` */
    int32_t n_keys, n_partition; /* the first n_partition of the keys */
    int32_t split;               /* one of the keys, or −1 */
    int32_t origin;              /* a further column (BIGINT) of the rows given, or −1 */
    const sm_value *only;        /* the one value that `split` may have; NULL: any */
    /* Of each value of `origin`: the removed file in whose place its new files stand. NULL: they
     * stand behind all files. */
    const sm_delta_file *const *places;
    const smi_out_sorted *sorted; /* the rows given are sorted; NULL: they need not be */
    /* The files that `origin` is the number of: what is written of one keeps its mark. Or NULL. */
    const sm_delta_file *origins;
    sm_str folder; /* below the table's root, with a '/'; "": files lie there, or in partitions */
    uint64_t file_bytes;
    const sm_format *format;
    void *options;

    smi_out_state state;
    sm_str key;
    sm_upload *upload;
    sm_writer *writer;
    sm_written written;
    sm_arena *value_arena;
    sm_value *values;         /* of the keys in this file */
    int64_t from;             /* of the origin column */
    uint64_t least, greatest; /* keys of its first and last row */
    int64_t n_group;          /* rows of its open row group, as they were cut by cells */
    uint64_t cut;             /* keys from here on are of another file, where has_cut */
    bool has_cut;
    int32_t n_opened;

    sm_batch *given; /* the batch in work: after SM_WAIT the same one is given again */
    sm_batch *rows;  /* it, with its columns as the table has them */
    sm_batch *slice; /* rows[at, end) of the stored columns, which go into one file; NULL: not cut
                      * yet */
    int64_t at, end;

    sm_delta_add *adds;
    int64_t n_adds, cap_adds;
    int64_t n_rows; /* of the adds */
    uint64_t bytes;
    /* The files of the last adds, whose ends are under way: a ring, the oldest at first_ending. */
    sm_upload *ending[SMI_MOST_ENDING];
    int32_t first_ending, n_ending;
} smi_out;

/** The push of an sm_sink whose ctx is an smi_out. */
sm_status smi_out_push(void *out, sm_batch *rows, sm_waker waker, sm_error *e) SM_MUST_USE;
/** The finish of that sink: ends the open file; after it all files are there. More rows may follow.
 */
sm_status smi_out_finish(void *out, sm_waker waker, sm_error *e) SM_MUST_USE;
/** Ends the open file, which need not be there yet: that is waited for by the finish. More rows may
 * follow. SM_WAIT: call again when the waker was called. */
sm_status smi_out_end(smi_out *o, sm_waker waker, sm_error *e) SM_MUST_USE;
/* A data file that is taken as it is. */
typedef struct smi_copied {
    sm_blob *blob;
    const sm_value *partition; /* one a partition column */
} smi_copied;
/** Takes all rows of a data file as they are, between batches: for a file of which the format's
 * can_copy said so, and rows of that value of the origin column. SM_WAIT: call again with the same
 * arguments. Reads block, so no worker may call it. */
sm_status smi_out_copy(smi_out *o, const smi_copied *from, int64_t origin, sm_waker waker,
                       sm_error *e) SM_MUST_USE;
/** Ends the open file, and opens one for rows of that value of the origin column and of that
 * partition. SM_WAIT: call again with the same arguments. */
sm_status smi_out_enter(smi_out *o, const smi_copied *from, int64_t origin, sm_waker waker,
                        sm_error *e) SM_MUST_USE;
/** Goes back to the first n_adds files: gives up the one that is being written, and deletes those
 * after them. More rows may follow. */
void smi_out_rollback(smi_out *o, int64_t n_adds);
/** Gives up the files that are being written or are ending; the adds stay, as do their files. */
void smi_out_release(smi_out *o);
/** Deletes the files of adds that no version names. One that cannot be deleted stays, with a
 * warning in the log. */
void smi_delete_files(sm_store *s, const sm_delta_add *adds, int64_t n);

/** Makes *o write into other files of the table that `of` is of, at the same time: with adds of its
 * own, in the same arena, which both then use with the lock. */
void smi_out_fork(const smi_out *of, sm_mutex *lock, smi_out *o);
/** Gives up what *o is writing, and puts its adds behind those of `into`, which it was forked
 * from. */
void smi_out_join(smi_out *into, smi_out *o);

/* Rows that are sorted, into the files of an smi_out, several at a time (table_out_parts.c). */
typedef struct smi_out_parts {
    smi_out *into;
    sm_sink sink; /* for the execution that gives the rows */
    sm_sink_parts parts;
    sm_mutex lock;  /* of the arena that all share */
    smi_out *items; /* one a part */
    int32_t n;      /* 0: the rows have no cuts */
} smi_out_parts;

/** Between two files of `into`, which is borrowed until the release, and not used meanwhile. */
void smi_out_parts_init(smi_out_parts *p, smi_out *into);
/** After it all files are there. Blocks; no worker may call it. */
sm_status smi_out_parts_finish(smi_out_parts *p, sm_error *e) SM_MUST_USE;
/** Gives the files to `into`, in the order of the rows; those that are being written are given up.
 */
void smi_out_parts_release(smi_out_parts *p);

/* ---- quarantines ----------------------------------------------------------------------------- */

struct sm_quarantine {
    sm_stage *stage; /* its `out` takes refused lines */
    sm_budget *budget;
    sm_quarantine_opts opts;
    sm_mutex lock; /* of the stage's arena, while several write files */
};

/** The columns of a quarantine table, and their places. */
enum {
    SMI_QUARANTINE_FILE,
    SMI_QUARANTINE_LINE,
    SMI_QUARANTINE_BYTE_OFFSET,
    SMI_QUARANTINE_COLUMN,
    SMI_QUARANTINE_REASON,
    SMI_QUARANTINE_MESSAGE,
    SMI_QUARANTINE_RAW,
    SMI_QUARANTINE_RAW_BYTES,
    SMI_QUARANTINE_RUN,
    SMI_QUARANTINE_TIME,
    SMI_QUARANTINE_REPLAYED,
    SMI_QUARANTINE_COLUMNS,
};
extern const sm_type smi_quarantine_schema;
/** Fills in the columns from RUN on, of b->n_rows rows, which are the same in all rows. */
sm_status smi_quarantine_stamp(const sm_quarantine *q, sm_batch *b, sm_error *e) SM_MUST_USE;

/* ---- candidates ------------------------------------------------------------------------------ */

struct sm_candidate {
    _Atomic int32_t refs;
    sm_arena *arena;
    sm_store *store;
    sm_snapshot *base; /* that it changes; NULL: a new table */
    sm_str uri;
    const sm_type *schema;
    sm_delta_commit record;     /* what it points to is in the arena, or the base's */
    bool removes_all;           /* no file of the base stays: its columns may be others */
    bool is_always_made;        /* it makes a version even where the record changes nothing */
    sm_str note_info;           /* sm_note: info_json; record.info_json has the verdict, too */
    sm_str note_key, note_text; /* likewise */
    bool has_note;              /* this candidate has put that object */

    /* It was kept (table_kept.c): the record is not that of its commit, which stands here. */
    const sm_delta_prepared *kept; /* borrowed; NULL: it was staged by this process */
    sm_snapshot *staged;           /* what it makes of the table */

    bool is_guarded;  /* it has to keep a contract, … */
    bool passes;      /* … and was found to */
    bool is_of_table; /* the verdict: sm_judged */
    sm_str verdict;   /* as JSON; "": it was not judged */

    int64_t n_moved;   /* of the adds, the first ones, with rows that a replace moved */
    int64_t kept_rows; /* of the base's files that stay; −1: not known */
    bool has_kept_rows;
    int64_t n_rows;     /* of the write; rows that a replace moved are not counted */
    uint64_t bytes;     /* of all adds */
    sm_str vectors_key; /* of its file of deletion vectors; "": it has none */
    bool keeps_files;   /* it was published, or nobody knows: the last release deletes nothing */
};

/** The record of its commit, which has read what its verdict rests on. */
sm_delta_commit smi_candidate_record(const sm_candidate *c);
/** May the candidate be published, as to its contract? SM_CONTRACT. */
sm_status smi_candidate_check_verdict(const sm_candidate *c, sm_error *e) SM_MUST_USE;
/** A change that a record says all of: it has no new files. base: NULL for a new table. Borrows
 * what the record points to, until it is released. */
sm_candidate *smi_candidate_of_record(sm_store *table, sm_snapshot *base,
                                      const sm_delta_commit *record, sm_budget *budget);
/** Publishes a change that a record says all of: it has no new files. base: NULL for a new table.
 * Borrows the record. */
sm_status smi_publish_record(sm_store *table, sm_snapshot *base, const sm_delta_commit *record,
                             sm_budget *budget, int64_t *version, sm_error *e) SM_MUST_USE;

/* ---- candidates that are kept (table_kept.c) ------------------------------------------------- */

#define SMI_KEPT_FOLDER "_smelt/candidates/" /* in the lake, then layer/table/ */

/* One that is kept, as its object says. */
typedef struct smi_kept_commit {
    sm_kept kept;
    smi_part part;
    sm_str info, note_key, note_text; /* sm_note */
    sm_str *files;                    /* keys below the table that were written for it */
    int64_t n_files;
} smi_kept_commit;
/** Reads that of the table at `path`, "layer/table". *out lives in `a`. SM_NOT_FOUND: none is kept;
 * SM_CORRUPT, SM_UNSUPPORTED with the object. */
sm_status smi_kept_commit_read(sm_store *lake, sm_str path, sm_arena *a, smi_kept_commit *out,
                               sm_error *e) SM_MUST_USE;
/** Deletes it with its files, unless somebody may be publishing it. `a` is scratch. */
sm_status smi_kept_commit_drop(sm_store *lake, const smi_kept_commit *k, sm_arena *a,
                               sm_error *e) SM_MUST_USE;
/** Opens what that of layer.table would make of the table, not yet held by the names. SM_NOT_FOUND:
 * none is kept. */
sm_status smi_kept_commit_open(sm_names *n, sm_str table, sm_snapshot **out,
                               sm_error *e) SM_MUST_USE;
/** Its rows as a relation. */
sm_status smi_kept_commit_relation(sm_names *n, sm_str table, sm_relation *out,
                                   sm_error *e) SM_MUST_USE;

/* ---- writing --------------------------------------------------------------------------------- */

/* The state of a write. They follow in this order, and it may be closed in any of them; only GIVEN
 * leaves its files to the candidate. */
typedef enum smi_stage_state {
    SMI_STAGE_OPENING,  /* all that can be refused is settled; no row is taken */
    SMI_STAGE_WRITING,  /* rows go in; the sink may be finished and pushed to again */
    SMI_STAGE_SETTLING, /* the base's files that go are found, their other rows are moved */
    SMI_STAGE_GIVEN,    /* the candidate is another's */
} smi_stage_state;

/* What becomes of the rows that are there (table_replace.c), and of how many of them. */
typedef struct smi_change {
    sm_row_change rows;
    const sm_statement *statement; /* whose change it is; NULL: a load's */
    struct smi_matches *matches;   /* MERGE: the pairs, where they were found before; else NULL */
    int64_t n_updated, n_deleted;
} smi_change;

/* A write. How it was meant (its mode) is known here only: what is behind it reads the candidate's
 * record. */
struct sm_stage {
    smi_stage_state state;
    sm_exec_env env;
    sm_candidate *candidate; /* its adds, removes and counts are set when it is given out */
    smi_out out;
    sm_write_mode mode;
    const sm_expr *where;   /* REPLACE_WHERE, over the table's schema: no other row changes */
    smi_change change;      /* REPLACE_WHERE: by default rows of `where` are deleted */
    sm_str predicate;       /* the same as SQL */
    smi_identity *identity; /* what gives out values to the rows given; NULL: nothing */
    sm_str properties; /* those that the write sets and the table had not so, as JSON; "": none */
    const sm_delta_file **removes; /* of the base, in its order */
    int64_t n_removes, cap_removes;
    sm_delta_mark *marks; /* of files that are among the removes, in their order */
    int64_t n_marks, cap_marks;
    smi_out feed; /* changed rows (table_feed.c) */
};

/** Settles what the table is partitioned by, and what files are split by. While it is OPENING,
 * after the schema. Errors: SM_SCHEMA, SM_NAME, SM_TYPE, SM_INVALID: the columns cannot be that;
 * the table is partitioned by others. */
sm_status smi_partition_settle(sm_stage *s, const sm_write *w, sm_error *e) SM_MUST_USE;
/** Settles which of the columns of o->schema files have, and that they are split by the partition
 * columns alone. */
void smi_partition_out(smi_out *o);
/** Settles which columns files store, of the schema as it is now. */
void smi_partition_stored(smi_out *o);
/** A text, in `text`, that only the same values of n partition columns have. */
sm_str smi_partition_identity(const sm_value *values, int32_t n, sm_buf *text);
/* A file, and the number of its partition, from 1: partitions count as they come in the table. */
typedef struct smi_placed_file {
    const sm_delta_file *file;
    int64_t partition;
} smi_placed_file;
/** The listed files of a snapshot, partition after partition, in `a`; those of one in its
 * order. Of a table without partitions all are of one. */
smi_placed_file *smi_partition_files(const sm_snapshot *s, sm_arena *a, int64_t *n);
/** Removes the files of the base whose partition has new rows. While the stage is SETTLING. */
sm_status smi_partition_replace(sm_stage *s, sm_error *e) SM_MUST_USE;
/** Removes the files in which rows of `where` change, and writes what stays of them anew. While the
 * stage is SETTLING. */
sm_status smi_replace(sm_stage *s, sm_error *e) SM_MUST_USE;
#define SMI_PLACE_BITS 40 /* of a row's number in its file */
/** Where a replace finds the columns of rows that get new values, in `a`: place i, or −1 where the
 * table computes the column. */
int32_t *smi_replace_order(const sm_stage *s, sm_arena *a);
/** Removes a file of the base, which lives as long as the candidate. In the base's order; while the
 * stage is SETTLING. */
void smi_stage_remove(sm_stage *s, const sm_delta_file *f);
/** Sets the rows of a row group, before the first row. */
sm_status smi_stage_group_rows(sm_stage *s, int64_t n, sm_error *e) SM_MUST_USE;

/* ---- rows that are marked as deleted (table_mark.c) ------------------------------------------ */

/* What a look at a file of the base has found; {0}: nothing. */
typedef struct smi_look {
    int64_t n_rows, n_acts, n_deletes; /* that are there, that change or go, that go */
    sm_block *bits; /* of the rows that are there: those that change or go. Only where the file has
                     * a deletion vector already */
    sm_buf bytes;   /* of the vector; empty: it has none */
} smi_look;

/** Is a BOOLEAN true in that row, neither false nor NULL? */
static inline bool smi_row_is_true(const sm_column *c, int64_t row)
{
    const sm_value v = sm_column_value(c, row);
    return !v.is_null && v.as.b;
}
/** Is a deletion vector cheaper than writing the file anew? The look has seen all its rows. */
bool smi_mark_is_worth(const sm_delta_file *f, const smi_look *l);
/** Was it, and was there memory for it? */
static inline bool smi_look_has_vector(const smi_look *l)
{
    return l->bits || l->bytes.len > 0;
}
/**
 * Executes a plan that gives, for each row of some of the files in their order: the place of its
 * file among them (BIGINT), whether it changes or goes, and whether it goes (BOOLEAN).
 *
 * Shape     files: of the base; looks: one for each, {0}
 * Owner     what it notes is the caller's, smi_looks_release() it also after a failure
 */
sm_status smi_mark_look(const sm_stage *s, const sm_plan *plan, const sm_delta_file *files,
                        int64_t n_files, smi_look *looks, sm_error *e) SM_MUST_USE;
void smi_looks_release(smi_look *looks, int64_t n);
/** Makes the vector of a file from the places of the rows that change or go, ascending, as of
 * smi_replace_scan; the look knows how many. Where it is not worth it, or there is no memory for
 * it, the look gets none. */
sm_status smi_mark_places(const sm_stage *s, const sm_delta_file *f, const int64_t *places,
                          smi_look *l, sm_error *e) SM_MUST_USE;
/** Writes the deletion vectors of all looks that have one, and makes them the stage's marks. While
 * it is SETTLING, once. */
sm_status smi_mark_write(sm_stage *s, const sm_delta_file *files, int64_t n_files, smi_look *looks,
                         sm_error *e) SM_MUST_USE;

/* ---- pairs of a MERGE (table_match.c, table_patch.c) ----------------------------------------- */

/* The columns that are kept of a pair; those of the source follow. */
enum {
    SMI_PAIR_PLACE, /* smi_replace_scan, with numbers */
    SMI_PAIR_NUMBER,
    SMI_PAIR_JOINS,
    SMI_PAIR_ACTS,
    SMI_PAIR_DELETES, /* NULL or false: the row gets other values */
    SMI_PAIR_SOURCE
};

/* Pairs that change or delete their row of the table, in the order of these rows. */
typedef struct smi_matches {
    sm_arena *arena;
    sm_delta_file *files; /* of the base: those that may have such rows; the candidate's */
    int64_t n_files;
    smi_look *looks; /* one for each: how many rows act, and go; n_rows is not known */
    int64_t n;
    sm_buf places;      /* n int64_t */
    sm_batch **batches; /* the pairs */
    int64_t n_batches, cap_batches;
    const int32_t *columns; /* the source's columns that they have */
    int32_t n_columns;
    sm_block *paired; /* a bit for each row of the source: it has a pair by `on`. NULL: not asked */
    int64_t n_source;
} smi_matches;
/**
 * Finds the pairs of a MERGE that changes no row without one, and makes them those of s->change.
 *
 * Shape     n_source: the rows of the source, which are then told that have a pair; −1: not asked
 * Owner     s->change.matches is the caller's, smi_matches_free() it once the stage has given its
 *           candidate; NULL where their number is too large for the memory
 * Errors    SM_INVALID: several pairs would change a row; those of the plan
 * Threads   no worker: runs a plan. While the stage is WRITING
 */
sm_status smi_matches_find(sm_stage *s, int64_t n_source, sm_error *e) SM_MUST_USE;
/** Takes NULL. */
void smi_matches_free(smi_matches *m);
/* Of the files of matches, and what of them is read. */
typedef struct smi_scan_pick {
    int64_t first, end;       /* of the files between these … */
    const bool *files;        /* … of each, is it read? */
    const bool *const *parts; /* of each: sm_datafile.parts */
    const bool *columns;      /* of each column of the table, is it read? Else it is NULL. NULL: all
                               * are */
    sm_arena *arena;          /* of the plan */
} smi_scan_pick;
/** Plans the rows of the files: the table's columns in its order, then a BIGINT: the place of a
 * row's file among them. With `numbers` that stands in the high bits, and the row's number in the
 * file in the low SMI_PLACE_BITS bits. Lives as long as the pairs (table_replace.c). `pick`: NULL
 * for all rows. */
sm_status smi_replace_scan(sm_stage *s, const smi_matches *m, const smi_scan_pick *pick,
                           bool numbers, const sm_plan_node **out, sm_error *e) SM_MUST_USE;
/** Executes a plan whose last column is the number of a row of the source (smi_merge_numbered), and
 * gives `to` the rows that have no pair, without that column. */
sm_status smi_matches_rest(const smi_matches *m, const sm_plan *plan, const sm_exec_env *env,
                           const sm_sink *to, sm_error *e) SM_MUST_USE;

typedef struct smi_keep smi_keep;

/* Rows of files that are written anew, on their way into the stage's files. */
typedef struct smi_patch {
    sm_stage *stage;
    const smi_matches *matches;
    bool has_ids;       /* the rows have ids and versions before their places */
    smi_keep *keep;     /* what stays of the files as it is; NULL: nothing */
    int64_t keep_end;   /* the file behind the last one whose rows come */
    int64_t next;       /* the first pair that was not met yet … */
    int64_t batch, row; /* … and where it is among the batches */
    int32_t *gone;      /* rows of the batch in work that go */
    int64_t n_gone;
    sm_batch *made; /* what becomes of that batch */
    int64_t place;  /* of its first row */
    bool is_ready;  /* the stage's smi_out has begun to take it */
} smi_patch;
/* Rows of a batch that have pairs. */
typedef struct smi_patch_rows {
    const int32_t *found; /* n of the batch's rows */
    int64_t n;
    int64_t file;             /* they are of it */
    const sm_batch *old;      /* the n rows */
    sm_batch *pairs;          /* the same as the expressions of the change are over them */
    const sm_column *deletes; /* of pair i, from `first` on: does its row go? */
    int64_t first;
} smi_patch_rows;
typedef sm_status (*smi_patch_fn)(void *ctx, const smi_patch_rows *rows, sm_error *e);
/** Calls `fn`, which may be several times, for all pairs of the rows of a batch, and steps over
 * them. */
sm_status smi_patch_visit(smi_patch *p, const sm_batch *rows, smi_patch_fn fn, void *ctx,
                          sm_error *e) SM_MUST_USE;
/** Does the row of the next pair go? */
bool smi_patch_deletes(const smi_patch *p);
/** The place of the next pair's row. */
int64_t smi_patch_place(const smi_patch *p);
/** Steps over n pairs. */
void smi_patch_step(smi_patch *p, int64_t n);
/** Steps over the pairs before a place: their files are not written here. */
void smi_patch_pass(smi_patch *p, int64_t place);
/** The push of an sm_sink whose ctx is an smi_patch: takes rows of smi_replace_scan with numbers,
 * in the order of the files, and gives the stage's smi_out those that stay, with their new values
 * and the place of their file. */
sm_status smi_patch_push(void *patch, sm_batch *rows, sm_waker waker, sm_error *e) SM_MUST_USE;
/** The finish of that sink. */
sm_status smi_patch_finish(void *patch, sm_waker waker, sm_error *e) SM_MUST_USE;
void smi_patch_release(smi_patch *p);

/* ---- what stays of files that are written anew (table_keep.c) -------------------------------- */

#define SMI_KEEP_FILES 32 /* at a time: of each its footer is held */

/**
 * Finds what stays, as it is, of the files first … end − 1 of the matches, of which those that are
 * cut are written anew.
 *
 * Shape     is_cut: one for each file of the matches; at: stands before the pairs of these files
 * Owner     *out is the caller's, smi_keep_free()
 * Errors    those of the store, of the files' footers, and of the plans that compare values
 * Threads   no worker: runs plans and reads footers
 */
sm_status smi_keep_find(sm_stage *s, int64_t first, int64_t end, const bool *is_cut,
                        const smi_patch *at, smi_keep **out, sm_error *e) SM_MUST_USE;
void smi_keep_free(smi_keep *k); /* takes NULL; once the new files have ended */
/** What is read of the files that are cut, from file `first` on as far as the same is read of them.
 * Returns the file behind them. */
int64_t smi_keep_pick(const smi_keep *k, int64_t first, const bool *is_cut, smi_scan_pick *out);
/** Does a file that is cut get the column's values from rows? */
bool smi_keep_reads(const smi_keep *k, int64_t file, int32_t column);
/** Makes the stage's smi_out ready for rows from that place on, which are of one row group: writes
 * what stays before them. SM_WAIT: call again with the same arguments. */
sm_status smi_keep_go_to(smi_keep *k, int64_t place, sm_waker waker, sm_error *e) SM_MUST_USE;
/** Writes what stays of the files before file `end`. SM_WAIT as above. */
sm_status smi_keep_finish(smi_keep *k, int64_t end, sm_waker waker, sm_error *e) SM_MUST_USE;
/** Does the column have the value that it had in all rows that MERGE changes, as the statement
 * tells: it is not set, or only to what `on` says that it is? */
bool smi_merge_leaves(const sm_row_change *c, int32_t column, sm_arena *a);

/* ---- of candidates --------------------------------------------------------------------------- */

/** Is the candidate's record valid (sm_delta_commit_validate), and do its counts agree with it?
 * false with *why. Debug and sanitizer builds ask it of each candidate that is given out. */
bool smi_candidate_validate(const sm_candidate *c, bool deep, const char **why);
/** In those builds: ends the process with what is wrong, where it is not valid. */
void smi_candidate_assert_valid(const sm_candidate *c);
/** Gives the table new metadata, with the candidate's commit: that of the base, or of a new table,
 * with this schema. The candidate's; the caller may change more of it. */
sm_delta_metadata *smi_candidate_change(sm_candidate *c, const sm_type *schema);
/** The metadata that the table will have. */
const sm_delta_metadata *smi_candidate_metadata(const sm_candidate *c);
/** Files of the base, read with the candidate's schema: columns that it adds are NULL in them.
 * The shape is that of sm_delta_dataset() for the candidate's metadata; *columns as there. In `a`;
 * borrows the candidate, which has a base and changes its schema by further columns only, and the
 * files (sm_snapshot_pick). */
sm_status smi_candidate_base(const sm_candidate *c, const sm_delta_file *files, int64_t n_files,
                             sm_arena *a, sm_dataset *out, int32_t **columns,
                             sm_error *e) SM_MUST_USE;
/** The scan of a dataset, with its columns in the order of the table's schema: columns[i] is the
 * place of the table's field i. Then come the dataset's last columns, of which the table has none.
 */
const sm_plan_node *smi_scan_in_order(const sm_relation *scan, const int32_t *columns, int32_t n,
                                      sm_arena *a);

/** Opens a table's newest version for a change of the whole table: first completes the publication
 * that is open in its lake (not is_dry: then it writes nothing). Its files are not listed. */
sm_status smi_open_settled(sm_store *table, bool is_dry, sm_budget *budget, sm_snapshot **out,
                           sm_error *e) SM_MUST_USE;

/* ---- ids of rows that move (table_row_ids.c) ------------------------------------------------- */

/* The columns, in the order in which they stand behind those of the table. */
enum { SMI_ROW_ID, SMI_ROW_VERSION, SMI_ROW_IDS };

/* Of a table that tracks its rows. */
typedef struct smi_row_ids {
    bool keeps;
    sm_str names[SMI_ROW_IDS];   /* that files of moved rows have for them */
    int32_t n_columns, n_stored; /* of the dataset before it was changed */
    bool numbers_bins;           /* set by the caller: of a row, the bin is to be that of its file
                                  * plus the row's number in it, from 0 */
} smi_row_ids;

/** *out, in `a`, is NULL where the table keeps no ids. SM_CORRUPT: it does not name the columns. */
sm_status smi_row_ids_settle(const sm_snapshot *base, sm_arena *a, smi_row_ids **out,
                             sm_error *e) SM_MUST_USE;
/** From now on the files have two columns more: ids and versions, behind those of the table. */
void smi_row_ids_out(const smi_row_ids *ids, smi_out *o);
/** Makes a dataset of these files of the base (sm_snapshot_dataset), whose last constant is the
 * bin, one for smi_row_ids_plan(). SM_CORRUPT: a file has no ids. */
sm_status smi_row_ids_dataset(smi_row_ids *ids, const sm_delta_file *const *files, sm_arena *a,
                              sm_dataset *d, sm_error *e) SM_MUST_USE;
/** Of the scan of that dataset: the table's columns, each row's id and version, and its bin. */
sm_status smi_row_ids_plan(const smi_row_ids *ids, const sm_plan_node *scan, sm_arena *a,
                           const sm_plan_node **out, sm_error *e) SM_MUST_USE;

/* ---- rewriting files (table_rewrite.c) ------------------------------------------------------- */

/* Rows of some files of a table, to be written into other files. All is borrowed for the call; what
 * points to files, as long as the candidate too: it holds the base. */
typedef struct smi_rewrite {
    sm_snapshot *base;
    const sm_delta_file *const *files; /* of those that the base lists, each once, in their rows'
                                        * order; of a partitioned table a bin's of one partition */
    int64_t n_files;                   /* 1 at least */
    const int64_t *bins; /* one a file, ascending from 0: rows of two bins share no new file, and a
                          * bin's new files stand where its first stood. NULL: all are of one */
    const int64_t *runs; /* one a file, ascending from 0, the same for all files of a bin: a plan
                          * reads the files of one run. NULL: all are of one */
    uint64_t file_bytes; /* a new file is ended once it has so many; 0: one for each bin */
    int64_t group_rows;  /* of a row group; 0: as the table says */
    sm_str z_order_by;   /* columns by which rows are sorted, as JSON, for the record; "": "[]" */
    /* Makes other rows of the rows of a run's files: a sorted plan. `rows` gives the table's
     * columns as sm_snapshot_dataset() has them, and last the number of the bin (BIGINT); *out must
     * give the same columns, and as many rows, a bin's rows together. NULL: they are written as
     * they are. Where there is `sorted`, it gives one more column behind these: the keys. */
    sm_status (*plan)(void *ctx, int64_t run, const sm_plan_node *rows, sm_arena *a,
                      const sm_plan_node **out, sm_error *e);
    void *ctx;
    int64_t *n_copied; /* out: files whose row groups were copied as they are; NULL: not asked */
    /* The rows are sorted. All but the column is to be known once plan() has returned, which may
     * change it for each run; the mark is borrowed as long as the candidate. NULL: they are not. */
    smi_out_sorted *sorted;
} smi_rewrite;

/**
 * Writes the rows of the files anew, without those that deletion vectors delete, and gives a
 * candidate of an OPTIMIZE that removes the files and keeps the table's rows.
 *
 * Owner     *out is the caller's, sm_candidate_release() it
 * Errors    SM_CORRUPT where files have other rows than the log says; those of sm_stage_open,
 *           sm_snapshot_dataset and sm_exec_run. No file stays behind
 * Threads   no worker: runs a plan
 */
sm_status smi_rewrite_files(const smi_rewrite *r, const sm_exec_env *env, sm_candidate **out,
                            sm_error *e) SM_MUST_USE;

/* ---- two versions compared ------------------------------------------------------------------- */

/** Adds the hashes of all files of the snapshot (sm_delta_file_hash). Errors: SM_BUDGET; those of
 * sm_snapshot_each(). */
sm_status smi_hash_files(const sm_snapshot *s, sm_hash_set *out, sm_error *e) SM_MUST_USE;
/** Lists the files of `s` that are not among the others: those that another version has not with
 * the same deletion vector. Errors: as sm_snapshot_list_if(). */
sm_status smi_list_only(sm_snapshot *s, sm_hash_set *others, sm_error *e) SM_MUST_USE;

/* A column that is compared. */
typedef struct smi_diff_column {
    sm_field field; /* as `to` has it; of the common type where they differ */
    int32_t at[2];  /* the place among the fields of `from` and `to`; −1: not there, NULL */
    bool is_key;
    bool is_text; /* the types differ so that both are compared as VARCHAR */
} smi_diff_column;

/* What the plans of a difference are made from (table_diff_plan.c). */
typedef struct smi_diff_parts {
    const sm_snapshot *versions[2]; /* from, to */
    const int64_t *files[2];        /* that are read: places among the version's listed files */
    int64_t n_files[2];
    const int64_t *common; /* of `to` */
    int64_t n_common;
    const smi_diff_column *columns; /* keys first, in the user's order */
    int32_t n_columns, n_keys;
    const sm_exec_env *env;
    sm_arena *arena;
} smi_diff_parts;

/** Sees that the keys are keys: runs plans. SM_INVALID names a value. */
sm_status smi_diff_check_keys(const smi_diff_parts *p, sm_error *e) SM_MUST_USE;
/** Makes the plan of sm_diff_plan(). */
sm_status smi_diff_make_plan(const smi_diff_parts *p, sm_plan **out, sm_error *e) SM_MUST_USE;

/* ---- many files ------------------------------------------------------------------------------ */

#define SMI_EACH_SLOTS 16
/**
 * Calls fn for i = 0 … n − 1, up to SMI_EACH_SLOTS at a time. `slot` is a number below that, which
 * no other call that runs at the same time has.
 *
 * Returns   SM_OK; the failure of the smallest i that failed: later ones may not have been called
 * Threads   no worker; starts threads of its own, and blocks until they end
 */
sm_status smi_each(int64_t n, sm_status (*fn)(void *ctx, int slot, int64_t i, sm_error *e),
                   void *ctx, sm_budget *budget, sm_error *e) SM_MUST_USE;

/**
 * Fails if a file that was listed for the plan's scans is no more what it was then. Ask after the
 * last of several reads; blocks.
 *
 * Errors    SM_INVALID names the file; what the store fails with
 */
sm_status smi_reread_check(const sm_plan_node *root, sm_budget *budget, sm_error *e) SM_MUST_USE;

/* ---- fsck ------------------------------------------------------------------------------------ */

/* Takes what is found in a file. Copies the text. */
typedef struct smi_fsck_sink {
    void (*found)(void *ctx, sm_fsck_kind kind, const char *what);
    void *ctx;
} smi_fsck_sink;
/** Is what was read at fault, and not the store or the memory? */
bool smi_fsck_is_fault(sm_status st);
/** Reads all pages of one file of the snapshot, and compares the statistics of the log and of the
 * file with its values (table_fsck_data.c). Errors: those that are no fault of the file. */
sm_status smi_fsck_data(const sm_snapshot *s, const sm_delta_file *file, const sm_exec_env *env,
                        smi_fsck_sink sink, sm_error *e) SM_MUST_USE;

/** How many rows the table wants its row groups to have: smelt.rowGroupRows; 0 where it does not
 * say. SM_INVALID where the text is no such number. */
sm_status smi_group_rows(const sm_delta_metadata *m, int64_t *out, sm_error *e) SM_MUST_USE;

/* ---- the change data feed (table_feed.c) ----------------------------------------------------- */

/* What a replace changed. All is borrowed. */
typedef struct smi_feed {
    const sm_plan_node *rows; /* of the files that it changed or removed, as they were: what the
                               * expressions of the stage's change are over */
    int64_t n_new;            /* the first of the stage's adds have rows that are new */
    sm_arena *arena;          /* of the plans */
} smi_feed;
/** Writes the rows that changed into files of the stage's feed. While it is SETTLING, once all
 * other files are written. Runs plans. */
sm_status smi_feed_write(sm_stage *s, const smi_feed *f, sm_error *e) SM_MUST_USE;

/* ---- schemas --------------------------------------------------------------------------------- */

/** Compares the schema of rows with the table's: SM_SCHEMA with the first difference. order[i]: the
 * place of the table's field i among the rows' fields, −1 where the rows do not have it and the
 * table computes it; *order NULL: all have the same place. */
sm_status smi_schema_match(const sm_type *table, const sm_type *rows, sm_arena *a, int32_t **order,
                           sm_error *e) SM_MUST_USE;
/** The table's schema with the rows' further columns at its end, and further fields at the ends of
 * its structs; `table` itself where there are none. */
sm_status smi_schema_widen(const sm_type *table, const sm_type *rows, sm_arena *a,
                           const sm_type **out, sm_error *e) SM_MUST_USE;
/** Are two schemas of tables the same, with all metadata of their fields? */
sm_status smi_is_same_schema(const sm_type *x, const sm_type *y, bool *out,
                             sm_error *e) SM_MUST_USE;
/** Likewise all that a metaData action says; when it was made does not count. */
sm_status smi_is_same_metadata(const sm_delta_metadata *x, const sm_delta_metadata *y, bool *out,
                               sm_error *e) SM_MUST_USE;
/** A new table's schema: all nullable, at any depth, without metadata. SM_UNSUPPORTED where Delta
 * has no such type. */
sm_status smi_schema_new(const sm_type *rows, sm_arena *a, const sm_type **out,
                         sm_error *e) SM_MUST_USE;
/** Refuses columns that no table may have: without a type, or with names that most readers take for
 * the same one. */
sm_status smi_schema_check(const sm_type *rows, sm_error *e) SM_MUST_USE;
/** The columns that must not be NULL, in `a`; SM_UNSUPPORTED where a nested field must not. */
sm_status smi_schema_required(const sm_type *table, sm_arena *a, int32_t **out, int32_t *n,
                              sm_error *e) SM_MUST_USE;

/* ---- ALTER TABLE ----------------------------------------------------------------------------- */

/* What the changes, one after the other, make of a table's metadata and protocol. */
typedef struct smi_altering {
    sm_arena *arena;
    const sm_snapshot *base; /* NULL: a new table */
    sm_delta_metadata m;     /* what is not the base's lives in the arena */
    sm_delta_protocol protocol;
    sm_str *features; /* that were turned on */
    int64_t n_features, cap_features;
    bool is_changed;
} smi_altering;

/** Turns on a table feature, if the table has it not. */
void smi_alter_feature(smi_altering *t, const char *feature);
/** Sets a property, and turns on the table feature that it needs. Both texts live in the arena, or
 * as long. Errors: those of sm_delta_check_property(); SM_DENIED: the table's has come to stay. */
sm_status smi_alter_property(smi_altering *t, sm_str key, sm_str value, sm_error *e) SM_MUST_USE;
/** Does a change of a column, of its comment or its default. Errors: SM_NAME, SM_TYPE, SM_SCHEMA;
 * SM_DENIED where something in the table uses the column, or a feature must be turned on first
 * (table_alter_column.c). */
sm_status smi_alter_column(smi_altering *t, const sm_alter *x, sm_error *e) SM_MUST_USE;
/** In a table with type widening, gives columns the types of rows that are to be added, where these
 * are wider. Errors as smi_alter_column(): something uses such a column. */
sm_status smi_alter_to_rows(smi_altering *t, const sm_type *rows, sm_error *e) SM_MUST_USE;
/** As sm_table_alter(), of a version that is open. *out lives in `a`. */
sm_status smi_alter_run(sm_snapshot *base, const sm_alter *items, int32_t n, bool is_dry,
                        const sm_exec_env *env, sm_arena *a, sm_altered *out,
                        sm_error *e) SM_MUST_USE;

/* ---- statements ------------------------------------------------------------------------------ */

/* A MERGE that is staged. */
typedef struct smi_merge {
    sm_statement *s;             /* its table, and the change; it has no subqueries */
    const sm_statement *inserts; /* the same, but that `on` may be another for the rows added */
    const sm_write *write;       /* uri, base (not NULL), partition_by, user_metadata */
} smi_merge;
/** Stages a MERGE. *out counts its rows. Errors: as smi_statement_run, but those of publishing. */
sm_status smi_merge_stage(const smi_merge *m, const sm_exec_env *env, sm_arena *a, sm_changed *out,
                          sm_candidate **candidate, sm_error *e) SM_MUST_USE;

/* ---- rows that are merged by key (table_upsert.c, table_history.c) --------------------------- */

/* A merge in the making. */
typedef struct smi_keyed {
    const sm_merge *m;
    const sm_exec_env *env;
    sm_arena *a;
    const sm_plan_node *source; /* the rows, in all columns of the table that it does not compute */
    const sm_type *table;       /* the table's columns; from here on NULL for a new table */
    const int32_t *at; /* of each: its place in the source, or −1: the table computes it */
    sm_statement *s, *inserts; /* smi_merge */
} smi_keyed;

/** Of column i of the table: as it is in the table, and in the row that it is paired with. Over
 * sm_row_change.rows. */
const sm_expr *smi_keyed_old(const smi_keyed *k, int32_t i);
const sm_expr *smi_keyed_new(const smi_keyed *k, int32_t i);
/** Is there a pair? TRUE or NULL. */
const sm_expr *smi_keyed_pair(const smi_keyed *k);
/** CASE WHEN when THEN then ELSE otherwise END. */
sm_status smi_keyed_case(const smi_keyed *k, const sm_expr *when, const sm_expr *then,
                         const sm_expr *otherwise, const sm_expr **out, sm_error *e) SM_MUST_USE;
/** TRUE or FALSE, as a constant. */
const sm_expr *smi_keyed_bool(const smi_keyed *k, bool v);
/** Does one of these columns of the rows differ from the table's? Never NULL. Over a schema with
 * the table's columns from 0, the source's from `shift`. */
sm_status smi_keyed_differs(const smi_keyed *k, const sm_type *schema, int32_t shift,
                            const int32_t *columns, int32_t n, const sm_expr **out,
                            sm_error *e) SM_MUST_USE;
/** The places of the keys among the table's columns. */
const int32_t *smi_keyed_columns(const smi_keyed *k);
/** Are the keys equal? Over a schema with the table's columns from 0, the source's from `shift`. */
sm_status smi_keyed_same_key(const smi_keyed *k, const sm_type *schema, int32_t shift,
                             const sm_expr **out, sm_error *e) SM_MUST_USE;
/** "id = 3, shop = 4" of a row that begins with the keys. */
void smi_keyed_print(const smi_keyed *k, const sm_batch *rows, int64_t row, sm_buf *out);
/** Runs a plan of at most a row. *out: the row, to be released; NULL: there is none. */
sm_status smi_keyed_first(const smi_keyed *k, const sm_plan_node *root, sm_batch **out,
                          sm_error *e) SM_MUST_USE;

/** The source of a history: the rows, with their times. SM_TYPE: `at` is no time. */
sm_status smi_history_source(smi_keyed *k, sm_error *e) SM_MUST_USE;
/** Refuses rows without a time. */
sm_status smi_history_check_times(const smi_keyed *k, sm_error *e) SM_MUST_USE;
/** Looks at what the table says already: refuses rows that are late and say another thing, leaves
 * out those that say the same, and marks those by which a row goes on that has ended. May give
 * another source. */
sm_status smi_history_look(smi_keyed *k, sm_error *e) SM_MUST_USE;
/** What becomes of the table's rows, and which rows are added. */
sm_status smi_history_change(const smi_keyed *k, sm_error *e) SM_MUST_USE;

/** May a table be written here? SM_INVALID within a folder that smelt or Delta keeps in a table or
 * in a lake (table_place.c). */
sm_status smi_table_check_place(sm_store *table, sm_error *e) SM_MUST_USE;

/** Executes a statement that changes a table, and publishes it. As sm_lake_query_change. */
sm_status smi_statement_run(sm_statement *s, sm_names *names, const sm_exec_env *env, sm_arena *a,
                            sm_exec_report *report, sm_changed *out, sm_error *e) SM_MUST_USE;
/** MERGE: the rows of the table that may have a pair, as a condition over its columns; counts the
 * rows of the source. In `a` (table_merge.c). */
sm_status smi_merge_where(const sm_statement *s, const sm_exec_env *env, sm_arena *a,
                          const sm_expr **out, int64_t *n_source, sm_error *e) SM_MUST_USE;
/** MERGE: plans the rows of the source that are added, in the table's columns but for those that it
 * computes. `where`: as smi_merge_where gave it. */
sm_status smi_merge_inserts(const sm_statement *s, const sm_expr *where, const sm_type *columns,
                            sm_arena *a, sm_plan **out, sm_error *e) SM_MUST_USE;
/** MERGE: the same rows, also those that have a pair, and behind their columns the number of a row
 * in the source, from 1 (BIGINT). */
sm_status smi_merge_numbered(const sm_statement *s, const sm_type *columns, sm_arena *a,
                             sm_plan **out, sm_error *e) SM_MUST_USE;
/** MERGE: the source as it stands in sm_row_change.rows, and, where `numbers`, behind it the number
 * of a row, from 1. */
sm_status smi_merge_source(const sm_row_change *c, bool numbers, sm_arena *a,
                           const sm_plan_node **out, sm_error *e) SM_MUST_USE;
/** MERGE: the rows of the table beside those of the source (sm_row_change.rows). `files`: the
 * table's columns, then a BIGINT; what else it has stands behind all of these. */
sm_status smi_merge_pairs(const sm_row_change *c, const sm_plan_node *files, sm_arena *a,
                          const sm_plan_node **out, sm_error *e) SM_MUST_USE;
/** The error that a row of `files` has several pairs, with its key. Returns SM_INVALID, or what
 * looking for the key fails with. */
sm_status smi_merge_fail_pairs(const smi_change *c, const sm_plan_node *files,
                               const sm_exec_env *env, sm_arena *a, sm_error *e) SM_MUST_USE;

#endif
