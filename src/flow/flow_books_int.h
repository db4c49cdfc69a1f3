/* SPDX-License-Identifier: Apache-2.0
 *
 * flow/flow_books_int.h: what a table knows of the files that it was loaded from: its books. Loads
 * and quarantines use them alike, each for a table of its own (flow_books.c says how they are kept).
 *
 * Calls    open; judge or reload; then, where something is to be written, the transactions of the
 *          files that are brought in, and attach to the candidate. Release. */
#ifndef SM_FLOW_FLOW_BOOKS_INT_H
#define SM_FLOW_FLOW_BOOKS_INT_H

#include "flow/flow_match_int.h"
#include "table/table.h"

typedef struct smi_flow_run smi_flow_run;
typedef struct smi_flow_source_state smi_flow_source_state;
typedef struct smi_flow_chain smi_flow_chain; /* the files that books were read from */

/* A table's books; `{0}` is a table that is not there. */
typedef struct smi_flow_books {
    sm_snapshot *snapshot; /* that they were read with, and that a write goes on from; NULL: none */
    sm_str pipeline;       /* that wrote them last; "" where there are none */
    const smi_flow_root *roots;
    int32_t n_roots;
    smi_flow_known *known; /* of all roots and windows, in the order of root and path */
    int64_t n_known;
    smi_flow_chain *chain;
    sm_map *versions;    /* an application id of this pipeline -> 1 + the version that it has */
    bool is_taken_over;  /* from an old table or a restored version: the next run writes them */
    smi_match_out match; /* after judge or reload: of the files of the source's window */
    sm_str query;        /* of the load, for its root; "": as it is. To be set before attach */
} smi_flow_books;

/** Opens a table's books. SM_INVALID, with what to do, where another writer has overwritten the
 * table, or where what it was restored to is not known any more. */
sm_status smi_flow_books_open(smi_flow_run *r, sm_str table, sm_str uri, smi_flow_books *out,
                              sm_error *e) SM_MUST_USE;
void smi_flow_books_release(smi_flow_books *b);

/* How a task wants its files judged. */
typedef struct smi_flow_wants {
    bool takes_date, takes_name; /* what the query takes from a file's name */
    smi_copies copies;
    smi_gone gone;
} smi_flow_wants;
/** Judges the files of the source's window: b->match. */
sm_status smi_flow_books_judge(smi_flow_run *r, smi_flow_source_state *s,
                               const smi_flow_wants *wants, smi_flow_books *b,
                               sm_error *e) SM_MUST_USE;
/** Instead of judging: all that is in the books of this root, whatever its date, and the files of
 * the window are to be read, and all rows of the root leave. The source's files must be those of
 * all windows (s->takes_all). SM_NOT_FOUND names a file of the books that is gone. */
sm_status smi_flow_books_reload(smi_flow_run *r, smi_flow_source_state *s, smi_flow_books *b,
                                sm_error *e) SM_MUST_USE;
/** After judge or reload: the query that the books have of the source's root; "" where the root is
 * new, or its query is not known. */
sm_str smi_flow_books_query(const smi_flow_books *b);

/** The version of the transaction that file i of the window has; −1: none. */
int64_t smi_flow_books_version(const smi_flow_run *r, const smi_flow_source_state *s,
                               const smi_flow_books *b, int64_t i);
/** Is there anything to write where no file is read? */
bool smi_flow_books_has_news(const smi_flow_books *b);

/* What a commit brings: its transactions, those of the files that it reads among them, and its own
 * information; the books' file goes with the candidate. */
typedef struct smi_flow_entry {
    sm_delta_txn *txns;
    int64_t n_txns;
    sm_str info, key, text; /* of the commit; the books' file */
} smi_flow_entry;
/** `versions`: of the transactions of the window's files that are read; n_rows: the table's after
 * the commit, −1 where unknown. In the run's arena, but text (the caller's, sm_buf). */
sm_status smi_flow_books_enter(smi_flow_run *r, const smi_flow_source_state *s,
                               const smi_flow_books *b, const int64_t *versions, int64_t n_rows,
                               smi_flow_entry *out, sm_error *e) SM_MUST_USE;

int64_t smi_flow_snapshot_rows(const sm_snapshot *s); /* −1: not known, or NULL */
/** What the newest commit that changed rows says of a key in its "smelt" member; "" where nothing.
 * In the run's arena. */
sm_status smi_flow_books_last(smi_flow_run *r, sm_store *s, const char *key, sm_str *out,
                              sm_error *e) SM_MUST_USE;

#endif
