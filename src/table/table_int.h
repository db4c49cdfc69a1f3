/* SPDX-License-Identifier: Apache-2.0
 *
 * table/table_int.h: what the files of the room share: the state of names, the writer of data
 * files, candidates. In the order of the work. */
#ifndef SM_TABLE_TABLE_INT_H
#define SM_TABLE_TABLE_INT_H

#include "base/map.h"
#include "table/table.h"
#include "table/table_journal_int.h"

/* ---- names ----------------------------------------------------------------------------------- */

/* What a name was made to stand for. */
typedef struct smi_named {
    sm_sql view; /* where candidate is NULL */
    sm_candidate *candidate;
} smi_named;

/* Relations are made once and kept: the same call gives the same dataset, by address, so that a
 * plan reads it once and a run sees one version of a table. */
struct sm_names {
    sm_stores *stores;
    sm_budget *budget;
    sm_arena *arena;
    sm_str lake;
    sm_map *variables; /* name -> sm_value */
    sm_map *named;     /* layer.table -> smi_named */
    sm_map *files;     /* path -> const sm_files */
    sm_map *relations; /* layer.table -> sm_relation */
    sm_map *calls;     /* a table function's call, as text -> sm_relation */
    smi_pins pins;     /* which versions tables are seen at */
    size_t morsel_bytes;

    sm_store **held; /* until the end, as are the next two */
    int64_t n_held, cap_held;
    sm_snapshot **snapshots;
    int64_t n_snapshots, cap_snapshots;
    sm_candidate **candidates;
    int64_t n_candidates, cap_candidates;
};

/** Holds a store until the names end. Takes it. */
void smi_names_hold_store(sm_names *n, sm_store *s);

/** A Delta table as a relation; `label` is what the user calls it. SM_NOT_FOUND where there is
 * none. */
sm_status smi_table_relation(sm_names *n, sm_str uri, int64_t version, sm_str label,
                             sm_relation *out, sm_error *e) SM_MUST_USE;
/** What the table will be once the candidate is published. */
sm_status smi_candidate_relation(sm_names *n, sm_candidate *c, sm_str label, sm_relation *out,
                                 sm_error *e) SM_MUST_USE;

/** sm_resolver.function: read_…, delta_scan, 'path'. */
sm_status smi_resolve_function(void *ctx, sm_str name, const sm_table_arg *args, int32_t n_args,
                               sm_arena *a, sm_relation *out, sm_error *e) SM_MUST_USE;

/* ---- arguments of table functions ------------------------------------------------------------ */

/** sm_fail at an argument's place (resolver's way, query.h). */
sm_status smi_arg_fail(const sm_table_arg *arg, sm_error *e, sm_status st, const char *fmt, ...)
    SM_PRINTF(4, 5);
/** Moves an error made below to the argument; keeps one that names an object. */
sm_status smi_arg_place(const sm_table_arg *arg, sm_error *e, sm_status st) SM_MUST_USE;
sm_status smi_arg_text(const sm_table_arg *arg, const char *what, sm_str *out,
                       sm_error *e) SM_MUST_USE;
sm_status smi_arg_bool(const sm_table_arg *arg, bool *out, sm_error *e) SM_MUST_USE;
/** A whole number of 0 or more. */
sm_status smi_arg_count(const sm_table_arg *arg, int64_t *out, sm_error *e) SM_MUST_USE;
/** A list of text, or one text. In `a`. */
sm_status smi_arg_texts(const sm_table_arg *arg, const char *what, sm_arena *a, sm_str **out,
                        int32_t *n, sm_error *e) SM_MUST_USE;
/** {name: 'TYPE', …} as a struct type in `a`, all nullable. */
sm_status smi_arg_columns(const sm_table_arg *arg, sm_arena *a, const sm_type **out,
                          sm_error *e) SM_MUST_USE;
/** A text that is the same for the same call and no other; in `a`. */
sm_str smi_call_text(sm_str name, const sm_table_arg *args, int32_t n_args, sm_arena *a);

/* ---- columns in folders' names (table_hive.c) ------------------------------------------------ */

typedef struct smi_hive_column {
    sm_field field;
    int32_t key; /* among the keys of a path */
} smi_hive_column;

typedef struct smi_hive {
    smi_hive_column *columns;
    int32_t n;
} smi_hive;

/** The keys that the folders of all files have, with types that all their values fit. Where they
 * differ from file to file there are none, or, is_wanted, it fails (SM_INVALID). In `a`. */
sm_status smi_hive_find(const sm_found_file *files, int64_t n, bool is_wanted, sm_arena *a,
                        smi_hive *out, sm_error *e) SM_MUST_USE;
/** The value of a column in one of those files; the column's type may be another by now. */
sm_status smi_hive_value(const smi_hive *h, int32_t column, sm_str uri, sm_arena *a, sm_value *out,
                         sm_error *e) SM_MUST_USE;

/* ---- data files out -------------------------------------------------------------------------- */

/* Where the file that is being written stands. */
typedef enum smi_out_state {
    SMI_OUT_NONE,      /* no file is open */
    SMI_OUT_OPEN,      /* rows go in */
    SMI_OUT_ENDING,    /* the writer gives its last bytes */
    SMI_OUT_UPLOADING, /* the store makes it visible */
} smi_out_state;

/* Rows into data files of one table, one file after the other (table_out.c). */
typedef struct smi_out {
    sm_store *store;
    const sm_exec_env *env;
    sm_arena *arena;         /* of the adds */
    const sm_type *schema;   /* as files have it */
    const int32_t *order;    /* of each field of schema, its place in the rows given; NULL: as is */
    const int32_t *required; /* columns without NULL */
    int32_t n_required;
    int32_t split; /* a column of schema, or −1 */
    int32_t
        origin; /* a further column (BIGINT) of the rows given, or −1: a file holds rows of one */
    const sm_value *only; /* that it may hold; NULL: any */
    uint64_t file_bytes;
    const sm_format *format;
    void *options;

    smi_out_state state;
    sm_str key;
    sm_upload *upload;
    sm_writer *writer;
    sm_written written;
    sm_arena *value_arena;
    sm_value value; /* of the split column in this file */
    int64_t from;   /* of the origin column */
    int32_t n_opened;

    sm_batch *given; /* the batch in work, as it was given: to know it again after SM_WAIT */
    sm_batch *rows;  /* the same with columns in order */
    sm_batch *slice; /* rows[at, end) */
    int64_t at, end;

    sm_delta_add *adds;
    int64_t n_adds, cap_adds;
    int64_t n_rows; /* of the adds */
    uint64_t bytes;
} smi_out;

/** sm_sink's push and finish, over an smi_out; finish ends the open file, more rows may follow. */
sm_status smi_out_push(void *out, sm_batch *rows, sm_waker waker, sm_error *e) SM_MUST_USE;
sm_status smi_out_finish(void *out, sm_waker waker, sm_error *e) SM_MUST_USE;
/** Lets go what is under way; the adds stay. */
void smi_out_release(smi_out *o);
/** Deletes what was written; what cannot be deleted is logged and stays, unknown to any version. */
void smi_delete_files(sm_store *s, const sm_delta_add *adds, int64_t n);

/* ---- candidates ------------------------------------------------------------------------------ */

struct sm_candidate {
    _Atomic int32_t refs;
    sm_arena *arena;
    sm_store *store;
    sm_snapshot *base; /* that it changes; NULL: a new table */
    sm_str uri;
    const sm_type *schema;
    sm_delta_commit record;     /* in the arena, or borrowed of the base; removes are the base's */
    bool is_always_made;        /* a version, though the record changes nothing */
    sm_str note_key, note_text; /* sm_note */
    bool has_note;              /* is it there, by this candidate? */

    int64_t n_rows; /* of the write; rows that a replace moved are not counted */
    uint64_t bytes;
    bool keeps_files; /* published, or nobody knows: the files stay */
};

/* Where a write stands. It goes on to the next state or is closed, from any of them; only GIVEN
 * leaves its files to the candidate. */
typedef enum smi_stage_state {
    SMI_STAGE_OPENING,  /* all that can be refused is settled; no row is taken */
    SMI_STAGE_WRITING,  /* rows go in; the sink may be finished and pushed to again */
    SMI_STAGE_SETTLING, /* which files of the base go is found, their other rows are moved */
    SMI_STAGE_GIVEN,    /* the candidate is another's */
} smi_stage_state;

/* The way of a write; what it was asked for (its mode) ends here, in the candidate's record. */
struct sm_stage {
    smi_stage_state state;
    sm_exec_env env;
    sm_candidate *candidate; /* adds, removes and counts unset until it is given out */
    smi_out out;
    sm_write_mode mode;
    const sm_expr *where; /* REPLACE_WHERE: over the table's schema */
    sm_str predicate;     /* the same as SQL */
    const sm_delta_file **removes;
    int64_t n_removes, cap_removes;
};

/** Finds the files that rows of `where` lie in; removes them, and rewrites without those rows the
 * ones that others lie in as well. */
sm_status smi_replace(sm_stage *s, sm_error *e) SM_MUST_USE;
/** A file of the base goes. Called in the base's order. */
void smi_stage_remove(sm_stage *s, const sm_delta_file *f);
/* A walk over the files of the base that a candidate leaves. */
typedef struct smi_kept {
    int64_t at; /* the file's place among the base's */
    int64_t n_seen, n_gone;
} smi_kept;
/** The next one, from {0} on; false after the last. */
bool smi_candidate_kept(const sm_candidate *c, smi_kept *k);
/** Is its record whole (sm_delta_commit_validate), and does what is counted beside it agree with
 * it? false with *why. Debug and sanitizer builds ask it of each candidate that is given out. */
bool smi_candidate_validate(const sm_candidate *c, bool deep, const char **why);
/** The files that it goes on from, as they will be read: columns that it adds are NULL in them. In
 * `a`; borrows the candidate. */
sm_status smi_candidate_base(const sm_candidate *c, sm_arena *a, sm_dataset *out,
                             sm_error *e) SM_MUST_USE;

/** The schema of rows against the table's: SM_SCHEMA with the first difference. order[i]: where
 * field i of the table stands in the rows; NULL where all stand alike. */
sm_status smi_schema_match(const sm_type *table, const sm_type *rows, sm_arena *a, int32_t **order,
                           sm_error *e) SM_MUST_USE;
/** The table's schema with the rows' further columns at its end; `table` itself where there are
 * none. */
sm_status smi_schema_widen(const sm_type *table, const sm_type *rows, sm_arena *a,
                           const sm_type **out, sm_error *e) SM_MUST_USE;
/** A new table's schema: nullable all through, without metadata. SM_UNSUPPORTED where Delta has no
 * such type. */
sm_status smi_schema_new(const sm_type *rows, sm_arena *a, const sm_type **out,
                         sm_error *e) SM_MUST_USE;
/** Columns that must not be NULL; SM_UNSUPPORTED where a nested field must not. */
sm_status smi_schema_required(const sm_type *table, sm_arena *a, int32_t **out, int32_t *n,
                              sm_error *e) SM_MUST_USE;

#endif
