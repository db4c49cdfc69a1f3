/* SPDX-License-Identifier: Apache-2.0
 *
 * schedule/schedule_int.h: what the files of this room share: the open state, statements on its
 * database, and its locks. */
#ifndef SM_SCHEDULE_SCHEDULE_INT_H
#define SM_SCHEDULE_SCHEDULE_INT_H

#include <sqlite3.h>

#include "base/buf.h"
#include "schedule/schedule.h"

struct sm_state {
    sm_arena *arena;
    sm_str folder;
    sqlite3 *db;
    sqlite3_stmt *version; /* of the database, as sm_state_has_changed() asks for it */
    int64_t seen_version;
    int lock_fd;
};

/* ---- statements (state.c) -------------------------------------------------------------------- */

/* A statement under way: values are put in their order, and columns got in theirs. The first
 * failure is kept, so that only smi_query_step() and smi_query_end() have to be checked. */
typedef struct smi_query {
    sm_state *state;
    sqlite3_stmt *stmt;
    int n_put, n_got;
    sm_status status;
    sm_error *e;
} smi_query;

/** Begins a statement. `sql` is one of smelt's own texts; values come as parameters. */
smi_query smi_query_new(sm_state *s, const char *sql, sm_error *e);
void smi_query_i64(smi_query *q, int64_t v);
void smi_query_text(smi_query *q, sm_str v); /* borrowed until the end of the query */
/** The next row: SM_OK, or SM_END behind the last. */
sm_status smi_query_step(smi_query *q) SM_MUST_USE;
int64_t smi_query_get_i64(smi_query *q);
sm_str smi_query_get_text(smi_query *q, sm_arena *a); /* a copy */
/** A column of an enum of n values; a state that has another number is damaged. */
int smi_query_get_enum(smi_query *q, int n);
/** Frees it. Takes a query that has failed. Returns what it failed with. */
sm_status smi_query_end(smi_query *q) SM_MUST_USE;
/** Runs a statement without rows to its end, and frees it. */
sm_status smi_query_run(smi_query *q) SM_MUST_USE;

/**
 * Begins a transaction that writes: waits for others up to ten seconds.
 *
 * Shape     `is_kept`: it is on disk when it ends, whatever happens to the machine; else only a
 *           killed process loses nothing of it
 */
sm_status smi_state_begin(sm_state *s, bool is_kept, sm_error *e) SM_MUST_USE;
/** Ends it: commits where `st` is SM_OK, else takes it back and returns `st`. */
sm_status smi_state_end(sm_state *s, sm_status st, sm_error *e) SM_MUST_USE;

/* ---- runs (state_runs.c) --------------------------------------------------------------------- */

/** The run of exactly that id; SM_NOT_FOUND. */
sm_status smi_state_run(sm_state *s, sm_str id, sm_arena *a, sm_run_row *out,
                        sm_error *e) SM_MUST_USE;
/** Adds a run of such an id, in a transaction. */
sm_status smi_state_add(sm_state *s, sm_str id, const sm_run_new *run, sm_error *e) SM_MUST_USE;
/** An id for it, as no other run has it. */
sm_str smi_state_new_id(const sm_run_new *run, sm_arena *a);

/* ---- locks (state_lock.c): a byte of the file `lock` each ------------------------------------ */

#define SMI_LOCK_SCHEDULER 0               /* a run's is its number */
#define SMI_LOCK_SETUP     (INT64_MAX - 1) /* while the database is made or brought up to date */

/** Opens the file of the locks. */
sm_status smi_lock_open(sm_state *s, sm_error *e) SM_MUST_USE;
/** Takes a lock if it is free; *is_taken says so. Taking one that this state holds does nothing. */
sm_status smi_lock_try(sm_state *s, int64_t byte, bool *is_taken, sm_error *e) SM_MUST_USE;
void smi_lock_give(sm_state *s, int64_t byte);
/** Takes the scheduler's lock, and notes this process. SM_CONFLICT: another one has it, with its
 * process id. It is given back when the state is closed. */
sm_status smi_lock_scheduler(sm_state *s, sm_error *e) SM_MUST_USE;
/** Asks the process of a run to end, by SIGTERM, where it is alive and of this machine. */
sm_status smi_state_ask_to_end(sm_state *s, const sm_run_row *run, sm_error *e) SM_MUST_USE;
/** "pid:[4026531836]": which process ids this process sees. */
sm_str smi_pid_space(sm_arena *a);

#endif
