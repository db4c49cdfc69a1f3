/* SPDX-License-Identifier: Apache-2.0
 *
 * flow/flow_books_int.h: what a table knows of the files that it was loaded from: its books. Loads
 * and quarantines use them alike, each for a table of its own (flow_books.c).
 *
 * Calls    open; match or reload; then, where something is written, settle after the reading and
 *          enter into the candidate. Release. */
#ifndef SM_FLOW_FLOW_BOOKS_INT_H
#define SM_FLOW_FLOW_BOOKS_INT_H

#include "base/json_doc.h"
#include "base/map.h"
#include "flow/flow.h"
#include "flow/flow_match_int.h"

typedef struct smi_flow_source_state smi_flow_source_state;

/* A file, and what the run came to know of it. */
typedef struct smi_flow_file {
    int64_t at;     /* of the files found; −1: of another root */
    bool is_again;  /* of another root, but its refused lines are to be quarantined again */
    int32_t reader; /* the task whose refused lines of it are quarantined; −1: none yet */
    bool is_in_period;
    bool is_read;
    int32_t read_by; /* where is_read: the first task of this run that read it */
    bool is_skipped; /* a load has found nothing new in it */
    bool is_hashed;  /* its content is known; */
    bool is_whole;   /* … that of an unfinished compressed file is what there is */
    sm_content content;
    int64_t n_lines; /* not blank; −1 where it was neither read now nor is known from before */
} smi_flow_file;

/* ---- the files under TABLE/_smelt (flow_books_file.c) ---------------------------------------- */

#define SMI_BOOKS_APP "smelt:books" /* the transaction whose version names a commit's books */

/* One file of books, and how many entries it has. */
typedef struct smi_flow_books_link {
    int64_t number, n_entries;
} smi_flow_books_link;

/* An entry that a file of the chain takes out. */
typedef struct smi_flow_books_gone {
    sm_str key;
    int32_t link;
} smi_flow_books_gone;

/* What books were read from: the newest file, the one before it, … to a whole one. */
typedef struct smi_flow_books_chain {
    const smi_flow_books_link *links; /* newest first */
    int32_t n_links;
    const int32_t *link_of; /* of each known entry, the newest file that tells of it */
    const smi_flow_books_gone *gone;
    int64_t n_gone;
    const int64_t *wholes; /* numbers of whole ones, newest first, about one a day */
    int64_t n_wholes;
    int64_t n_rows; /* of the table with them; −1: not known */
} smi_flow_books_chain;

/* ---- books (flow_books.c) -------------------------------------------------------------------- */

/* A file of another root whose rows leave, and are read again from there: its Date is replaced, or
 * the whole table. */
typedef struct smi_flow_other {
    int64_t known;
    sm_found_file found;
    smi_flow_file *state; /* one for all tables' books */
} smi_flow_other;

/* Another root, once one of its files is to be read again. */
typedef struct smi_flow_folder {
    sm_store *store; /* NULL: not opened */
    sm_map *files;   /* key -> sm_entry, of those directly in it */
} smi_flow_folder;

/* A table's books; `{0}` is a table that is not there. */
typedef struct smi_flow_books {
    sm_str table;          /* its name, for messages */
    sm_snapshot *snapshot; /* that they were read with, and that a write goes on from; NULL: none */
    sm_store *store;
    const smi_flow_root *roots;
    int32_t n_roots;
    const smi_flow_known *known; /* of all roots and periods */
    int64_t n_known;
    smi_flow_books_chain chain; /* `{0}`: none, or those of an old table */
    bool is_taken_over; /* from an old table or a restored version: the next run writes them */

    smi_match_in in; /* after match or reload, as is the rest */
    smi_match_out match;
    smi_match_read *reads; /* one a file found */
    smi_flow_other *others;
    int64_t n_others;
    smi_flow_folder *folders; /* one a root; NULL: none was needed */
    sm_str query;             /* of the load; "": as the roots have it */
    bool has_other_query;     /* than the books have: they change */
} smi_flow_books;

/** Opens a table's books. SM_INVALID, with what to do, where another writer has overwritten the
 * table, or what it was restored to is not known any more; not `for_reload`: then the newest books
 * hold, whatever was done to the rows. */
sm_status smi_flow_books_open(sm_run *r, sm_str table, sm_str uri, bool for_reload,
                              smi_flow_books *out, sm_error *e) SM_MUST_USE;
void smi_flow_books_release(smi_flow_books *b);

/* What decides beside the source's own policies. */
typedef struct smi_flow_wants {
    bool takes_date, takes_name; /* what the query takes from a file's name */
    bool has_dates;              /* are its rows replaced by Dates, those of all roots? */
    bool is_reload;              /* are all rows written anew, those of all roots? */
} smi_flow_wants;
/** Judges the files found in the source's folder: b->match, b->others. SM_INVALID also where a file
 * of another root whose Date is replaced cannot be had. */
sm_status smi_flow_books_match(sm_run *r, smi_flow_source_state *s, const smi_flow_wants *wants,
                               smi_flow_books *b, sm_error *e) SM_MUST_USE;
/** Tells the report of files that moved and of copies; after settle, which finds some. */
void smi_flow_books_tell(sm_run *r, const smi_flow_books *b);
/** What tells that a file was not written since. */
smi_flow_mark smi_flow_mark_of(const sm_datafile *f);
/** As match, but all that is in the books, whatever its date and root, and the files of the period
 * are to be read; the caller overwrites the table. SM_INVALID where a file of the books is gone. */
sm_status smi_flow_books_reload(sm_run *r, smi_flow_source_state *s, smi_flow_books *b,
                                sm_error *e) SM_MUST_USE;
/** After match or reload: the query that the books have of the source's root, or, where it is new,
 * of the pipeline's other roots; "" where none is known. */
sm_str smi_flow_books_query(const sm_run *r, const smi_flow_books *b);
/** The query by which the load goes on from here, for all roots of the pipeline. Before enter. */
void smi_flow_books_take_query(const sm_run *r, smi_flow_books *b, sm_str query);

/** Are rows of a known file in the table? */
static inline bool smi_flow_books_has_rows(const smi_flow_known *k)
{
    return !k->is_dropped && !k->is_passed;
}
/** Do they leave it, and has no other file its path? */
bool smi_flow_books_loses(const smi_flow_books *b, int64_t known);
/** The version of the transaction of file i found; −1: none. */
int64_t smi_flow_books_version(const sm_run *r, const smi_flow_books *b, int64_t i);
/** Is there anything to write where no file is read? */
bool smi_flow_books_has_news(const smi_flow_books *b);

/** File i is not read after all: it stays as the books have it. */
void smi_flow_books_leave(smi_flow_books *b, int64_t i);
/** After the reading: takes what is now known of the files that were read (the source's states; the
 * caller has set the versions in b->reads), and finds copies. SM_INVALID where they are not
 * allowed. */
sm_status smi_flow_books_settle(sm_run *r, const smi_flow_source_state *s, smi_flow_books *b,
                                sm_error *e) SM_MUST_USE;
/** The books, transactions and commit information go with the candidate from now on. */
void smi_flow_books_enter(sm_run *r, const smi_flow_books *b, sm_candidate *c);

/** Reads the chain that begins with that number into *b: roots, known, chain. SM_CORRUPT or
 * SM_NOT_FOUND, with what to do, where one of its files is damaged or gone. */
sm_status smi_flow_books_read(sm_run *r, int64_t number, smi_flow_books *b,
                              sm_error *e) SM_MUST_USE;
/* What is to be written: the books as they are now. */
typedef struct smi_flow_books_page {
    const smi_flow_root *roots;
    int32_t n_roots;
    const smi_flow_known *known;
    int64_t n_known;
    int64_t n_rows;
} smi_flow_books_page;
/** The file that follows on those that *b was read from. Key and text in the run's arena. */
void smi_flow_books_write(sm_run *r, const smi_flow_books *b, const smi_flow_books_page *page,
                          int64_t *number, sm_str *key, sm_str *text);
/** "books-0123456789abcdef.ndjson" */
sm_str smi_flow_books_name(int64_t number, sm_arena *a);
/** What an entry of the books is known by. */
sm_str smi_flow_books_key(const smi_flow_known *k, sm_arena *a);

/** The hash as sm_hash128_hex writes it; false where it is none. */
bool smi_flow_books_hash(sm_str hex, sm_hash128 *out);

/** What a table tells of its files that was loaded before there were such files: in commits'
 * information, at or below `version`; `at`: that version's snapshot, for transactions that no
 * commit tells of, or NULL (flow_books_old.c). */
sm_status smi_flow_books_read_old(sm_run *r, int64_t version, const sm_snapshot *at,
                                  smi_flow_books *b, sm_error *e) SM_MUST_USE;
/** A commit's own member of its information, or NULL. */
const sm_json *smi_flow_smelt_member(sm_str commit_info, sm_arena *a);

int64_t smi_flow_snapshot_rows(const sm_snapshot *s); /* −1: not known, or NULL */
/** What the newest commit that changed rows says of a key in its own member; "" where nothing. In
 * the run's arena. */
sm_status smi_flow_books_last(sm_run *r, sm_store *s, const char *key, sm_str *out,
                              sm_error *e) SM_MUST_USE;

#endif
