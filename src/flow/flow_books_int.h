/* SPDX-License-Identifier: Apache-2.0
 *
 * flow/flow_books_int.h: a table's books: what it knows of the files that it was loaded from. Loads
 * and quarantines use them alike, each for its own table (flow_books.c).
 *
 * Calls  open; match or reload. If something is to be written: settle after the reading, then enter
 *        the books into the candidate. release. */
#ifndef SM_FLOW_FLOW_BOOKS_INT_H
#define SM_FLOW_FLOW_BOOKS_INT_H

#include "base/json_doc.h"
#include "base/map.h"
#include "flow/flow.h"
#include "flow/flow_match_int.h"

typedef struct smi_flow_source_state smi_flow_source_state;

/* A file, and what the run came to know of it. */
typedef struct smi_flow_file {
    int64_t at;     /* its index in the files found; −1: it is of another root */
    bool is_again;  /* of another root, and its refused lines are quarantined again */
    int32_t reader; /* the task whose refused lines of it are quarantined; −1: none yet */
    bool is_in_period;
    bool is_read;
    int32_t read_by; /* where is_read: the first task of this run that read it */
    bool is_skipped; /* a load has found nothing new in it */
    bool is_hashed;  /* `content` is known */
    bool is_whole;   /* false: a compressed file that is not finished; `content` is what it has */
    sm_content content;
    int64_t n_lines; /* without blank ones; −1: not known, from this run or an earlier one */
} smi_flow_file;

/* ---- the files under TABLE/_smelt (flow_books_file.c) ---------------------------------------- */

#define SMI_BOOKS_APP "smelt:books" /* the transaction whose version names a commit's books */

/* One file of books, and how many entries it has. */
typedef struct smi_flow_books_link {
    int64_t number, n_entries;
} smi_flow_books_link;

/* An entry that a file of the chain removes. */
typedef struct smi_flow_books_gone {
    sm_str key;
    int32_t link;
} smi_flow_books_gone;

/* The files that books were read from: the newest, the one before it, and so on to a whole one. */
typedef struct smi_flow_books_chain {
    const smi_flow_books_link *links; /* newest first */
    int32_t n_links;
    const int32_t *link_of; /* for each known entry: the newest file that has it */
    const smi_flow_books_gone *gone;
    int64_t n_gone;
    const int64_t *wholes; /* numbers of whole files, newest first, about one a day */
    int64_t n_wholes;
    int64_t n_rows; /* of the table that these books belong to; −1: not known */
} smi_flow_books_chain;

/* ---- books (flow_books.c) -------------------------------------------------------------------- */

/* A file of another root that is read again from there, because its date or the whole table is
 * replaced. */
typedef struct smi_flow_other {
    int64_t known;
    sm_found_file found;
    smi_flow_file *state; /* shared by the books of all tables */
} smi_flow_other;

/* Another root of which a file is to be read again. */
typedef struct smi_flow_folder {
    sm_store *store; /* NULL: not opened */
    sm_map *files;   /* key -> sm_entry, of the files directly in it */
} smi_flow_folder;

/* A table's books; `{0}` is a table that is not there. */
typedef struct smi_flow_books {
    sm_str table;          /* its name, for messages */
    sm_snapshot *snapshot; /* the version they were read at, and a write starts from; NULL: none */
    sm_store *store;
    const smi_flow_root *roots;
    int32_t n_roots;
    const smi_flow_known *known; /* of all roots and periods */
    int64_t n_known;
    smi_flow_books_chain chain; /* `{0}`: none, or those of an old table */
    bool is_taken_over; /* they come from an old table or a restored version: to be written anew */

    smi_match_in in; /* from here on: set by match or reload */
    smi_match_out match;
    smi_match_read *reads; /* one for each file found */
    smi_flow_other *others;
    int64_t n_others;
    smi_flow_folder *folders; /* one for each root; NULL: none was needed */
    sm_str query;             /* the load's; "": as the roots have it */
    sm_str columns;           /* that the load has found, beside the query; "": they are declared */
    sm_str seen;          /* the keys that it has seen (flow_drift.c); "": as the roots have it */
    bool has_other_query; /* the load's query is not the one in the books, so they change */
} smi_flow_books;

/** Opens a table's books. SM_INVALID, with what to do, if another writer has overwritten the table,
 * or the version that it was restored to is not known any more. `for_reload`: no such error; the
 * newest books are valid, whatever was done to the rows. */
sm_status smi_flow_books_open(sm_run *r, sm_str table, sm_str uri, bool for_reload,
                              smi_flow_books *out, sm_error *e) SM_MUST_USE;
void smi_flow_books_release(smi_flow_books *b); /* takes {0} */

/* What a matching needs to know beside the source's policies. */
typedef struct smi_flow_wants {
    bool takes_date, takes_name; /* what the query takes from a file's name */
    bool has_dates;              /* rows are replaced by date, whatever their root */
    bool is_reload;              /* all rows are written anew, whatever their root */
} smi_flow_wants;
/** Matches the files of the source's folder with the books: b->match, b->others. Once after open.
 * SM_INVALID also if a file of another root whose date is replaced cannot be read. */
sm_status smi_flow_books_match(sm_run *r, smi_flow_source_state *s, const smi_flow_wants *wants,
                               smi_flow_books *b, sm_error *e) SM_MUST_USE;
/** Adds moved files and copies to the run's report. After settle, which finds some copies. */
void smi_flow_books_tell(sm_run *r, const smi_flow_books *b);
/** The mark of a file as it is now. */
smi_flow_mark smi_flow_mark_of(const sm_datafile *f);
/** Like match, but all files are to be read: those in the books, whatever their date and root, and
 * those of the period. The caller overwrites the table. SM_INVALID if a file in the books is
 * gone. */
sm_status smi_flow_books_reload(sm_run *r, smi_flow_source_state *s, smi_flow_books *b,
                                sm_error *e) SM_MUST_USE;
/** After match or reload: the query that the books have for the source's root or, if that is new,
 * for the pipeline's other roots; "": none is known. */
sm_str smi_flow_books_query(const sm_run *r, const smi_flow_books *b);
/** Likewise the columns that were found in the files of earlier loads, in `a`; NULL: none, or all
 * files are loaded again. SM_CORRUPT if the text is none of a STRUCT. */
sm_status smi_flow_books_columns(const sm_run *r, const smi_flow_books *b, sm_arena *a,
                                 const sm_type **out, sm_error *e) SM_MUST_USE;
/** Sets the query by which all roots of the pipeline are loaded from now on. Before enter. */
void smi_flow_books_take_query(const sm_run *r, smi_flow_books *b, sm_str query);
/** Sets the columns that were found in their files, a STRUCT; NULL: they are declared. After
 * take_query, before enter. */
void smi_flow_books_take_columns(const sm_run *r, smi_flow_books *b, const sm_type *columns);

/** Do its rows leave the table without another file at its path? */
bool smi_flow_books_loses(const smi_flow_books *b, int64_t known);
/** The version of the transaction of the found file i; −1: none. */
int64_t smi_flow_books_version(const sm_run *r, const smi_flow_books *b, int64_t i);
/** Is there anything to write if no file is read? */
bool smi_flow_books_has_news(const smi_flow_books *b);

/** File i is not read after all: its entry stays as it is in the books. */
void smi_flow_books_leave(smi_flow_books *b, int64_t i);
/** After the reading: takes over what is known of the files that were read (the source's states),
 * and finds copies. The caller has set the versions in b->reads. SM_INVALID if copies are not
 * allowed. */
sm_status smi_flow_books_settle(sm_run *r, const smi_flow_source_state *s, smi_flow_books *b,
                                sm_error *e) SM_MUST_USE;
/** Adds the new books, the transactions and the commit information to the candidate. */
void smi_flow_books_enter(sm_run *r, const smi_flow_books *b, sm_candidate *c);

/** Adds the books as they are to a candidate that changes rows of known files, and a member of the
 * commit's information: `"key":value`. Of a table without books only that. */
void smi_flow_books_carry(sm_run *r, const smi_flow_books *b, sm_str member, sm_candidate *c);

/** Reads the chain that starts at that number into *b: roots, known, chain. SM_CORRUPT or
 * SM_NOT_FOUND, with what to do, if one of its files is damaged or gone. */
sm_status smi_flow_books_read(sm_run *r, int64_t number, smi_flow_books *b,
                              sm_error *e) SM_MUST_USE;
/* The books to be written, as they are now. */
typedef struct smi_flow_books_page {
    const smi_flow_root *roots;
    int32_t n_roots;
    const smi_flow_known *known;
    int64_t n_known;
    int64_t n_rows;
} smi_flow_books_page;
/** Makes the next file of the chain that *b was read from. Key and text live in the run's arena. */
void smi_flow_books_write(sm_run *r, const smi_flow_books *b, const smi_flow_books_page *page,
                          int64_t *number, sm_str *key, sm_str *text);
/** "books-0123456789abcdef.ndjson" */
sm_str smi_flow_books_name(int64_t number, sm_arena *a);
/** The key of an entry; no two entries of books have the same. */
sm_str smi_flow_books_key(const smi_flow_known *k, sm_arena *a);

/** Reads a hash as sm_hash128_hex writes it; false if it is none. */
bool smi_flow_books_hash(sm_str hex, sm_hash128 *out);

/** Reads the books of a table that was loaded before there were such files, from the information of
 * its commits at or below `version`. `at`: the snapshot of that version, for transactions that no
 * commit mentions, or NULL (flow_books_old.c). */
sm_status smi_flow_books_read_old(sm_run *r, int64_t version, const sm_snapshot *at,
                                  smi_flow_books *b, sm_error *e) SM_MUST_USE;
/** The member "smelt" of a commit's information, or NULL. */
const sm_json *smi_flow_smelt_member(sm_str commit_info, sm_arena *a);

/** How many rows a version has; −1: not known, or s is NULL. Errors as sm_snapshot_totals(). */
sm_status smi_flow_snapshot_rows(const sm_snapshot *s, int64_t *out, sm_error *e) SM_MUST_USE;
/** The member "smelt" of the newest commit that changed rows, in `a`; NULL: it has none, or is not
 * seen. */
sm_status smi_flow_books_said(sm_store *s, sm_arena *a, const sm_json **out,
                              sm_error *e) SM_MUST_USE;
/** The text of a key in the member "smelt" of the newest commit that changed rows; "": none. In the
 * run's arena. */
sm_status smi_flow_books_last(sm_run *r, sm_store *s, const char *key, sm_str *out,
                              sm_error *e) SM_MUST_USE;
/** Were the rows of the newest commit that changed rows judged by the contract of that hash? True
 * also where another writer made it. */
sm_status smi_flow_books_judged(sm_run *r, sm_store *s, sm_str contract, bool *out,
                                sm_error *e) SM_MUST_USE;

#endif
