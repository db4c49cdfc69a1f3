/* SPDX-License-Identifier: Apache-2.0
 *
 * schedule/schedule.h: the schedule room's door. Which runs there were, are and shall be (the
 * state, in SQLite), and the scheduler, which starts runs when they are due. Needs: base to flow.
 *
 * A run is always a process of its own, `smelt run`: by hand, or started by the scheduler. It notes
 * in the state what it does, so a scheduler that was killed finds there what its runs did
 * meanwhile. Who is alive is known by locks, which a killed process loses: never by a process id.
 *
 * Never runs a task, reads data or opens a table: the scheduler is small because it only starts
 * processes. */
#ifndef SM_SCHEDULE_SCHEDULE_H
#define SM_SCHEDULE_SCHEDULE_H

#include "flow/flow.h"

/* ---- the state ------------------------------------------------------------------------------- */

/* The folder `.smelt` beside a pipeline file ($SMELT_STATE names another one): state.sqlite, lock,
 * and logs/RUN/PROCESS.log. Pipelines of one folder share it. */
typedef struct sm_state sm_state;

/** The folder of the state of a pipeline file, or of the pipelines of a folder. In `a`, absolute
 * where `path` is. */
sm_str sm_state_folder(sm_str path, sm_arena *a);
/**
 * Opens a state, and brings one of an earlier version of smelt up to date.
 *
 * Shape     `make`: the folder and the state are made where they are not there
 * Owner     sm_state_close() *out
 * Errors    SM_NOT_FOUND: there is none, and `make` is false; SM_CORRUPT: it is damaged (with the
 *           file, and what to do: nothing of the lake is in it); SM_UNSUPPORTED: of a later
 *           version; SM_DENIED, SM_IO; SM_CONFLICT: others have held it for ten seconds
 * Threads   one thread at a time a state; any number of processes
 */
sm_status sm_state_open(sm_str folder, bool make, sm_state **out, sm_error *e) SM_MUST_USE;
void sm_state_close(sm_state *s); /* takes NULL; ends the locks it holds */
/** Its folder; as long as the state. */
sm_str sm_state_path(const sm_state *s);
/** The folder of a run's logs: it has PROCESS.log of each process that a scheduler started. */
sm_str sm_state_logs(const sm_state *s, sm_str run, sm_arena *a);

/* Why a run is there. */
typedef enum sm_run_kind {
    SM_RUN_MANUAL,    /* smelt run, or asked for by hand */
    SM_RUN_SCHEDULED, /* its interval has ended */
    SM_RUN_BACKFILL,
    SM_RUN_WATCH, /* files came */
    SM_RUN_AFTER, /* a run of another pipeline has succeeded */
} sm_run_kind;

/* Queued, running, and at last one of the other three. A run that is cleared is queued again. */
typedef enum sm_run_state {
    SM_RUN_STATE_QUEUED,
    SM_RUN_STATE_RUNNING,
    SM_RUN_STATE_SUCCESS,
    SM_RUN_STATE_FAILED,
    SM_RUN_STATE_CANCELLED,
} sm_run_state;
/** The word for it: "backfill". */
const char *sm_run_kind_name(sm_run_kind kind);
/** The word for it: "success". */
const char *sm_run_state_name(sm_run_state state);

/* A run, as the state has it. */
typedef struct sm_run_row {
    sm_str id;            /* "sales-2022-04-30-0a1b2c3d" */
    int64_t number;       /* of the state, from 1: later runs have greater ones */
    sm_str pipeline;      /* its name */
    sm_str file;          /* absolute */
    sm_interval interval; /* instants; start_us is the logical date */
    sm_str date; /* the logical date as the clocks of the pipeline's zone show it, as --date
                          * takes it */
    sm_run_kind kind;
    sm_run_state state;
    sm_str arguments;   /* further ones of smelt run, as a JSON array of texts: ["--var", "a=b"] */
    int32_t processes;  /* that have been started for it */
    int32_t failures;   /* of them, that ended without noting an end, since it was queued; not yet
                         * the last one, where it is RUNNING and not alive */
    bool is_cancelling; /* it was asked to end */
    int64_t queued_us, started_us, ended_us; /* 0: not yet */
    int64_t pid;                             /* of its last process, for people; 0: none */
    sm_str error;                            /* of a failure: the text that people saw; "" */
    sm_str report; /* what `smelt run --json` says of it; "": it has not ended */
} sm_run_row;

typedef enum sm_attempt_state {
    SM_ATTEMPT_RUNNING,
    SM_ATTEMPT_SUCCESS, /* of a table: it is published once the run says so */
    SM_ATTEMPT_FAILED,
    SM_ATTEMPT_LOST, /* its process ended in it */
} sm_attempt_state;
/** The word for it: "lost". */
const char *sm_attempt_state_name(sm_attempt_state state);

/* An attempt at a task of a run. */
typedef struct sm_attempt_row {
    sm_str task;
    int32_t process, attempt; /* both from 1 */
    sm_attempt_state state;
    int64_t started_us, ended_us;
    int64_t rows, bytes;
    sm_str error;
} sm_attempt_row;

/* Which runs; every member that is set must fit. */
typedef struct sm_run_filter {
    sm_str id;         /* or the beginning of one */
    sm_str pipeline;   /* "": of all */
    uint32_t states;   /* bits 1 << sm_run_state; 0: all */
    int64_t limit;     /* the latest so many; 0: all */
    bool wants_report; /* else their reports, which may be long, are "" */
} sm_run_filter;
/** The runs that fit, the latest first. Both live in `a`. */
sm_status sm_state_runs(sm_state *s, const sm_run_filter *f, sm_arena *a, sm_run_row **out,
                        int64_t *n, sm_error *e) SM_MUST_USE;
/** The attempts of a run, in their order. */
sm_status sm_state_attempts(sm_state *s, sm_str run, sm_arena *a, sm_attempt_row **out, int64_t *n,
                            sm_error *e) SM_MUST_USE;

/* What a new run is made of. */
typedef struct sm_run_new {
    sm_str pipeline, file, date;
    sm_interval interval;
    sm_run_kind kind;
    sm_str arguments; /* a JSON array; "": none */
    int64_t up_to_us; /* SCHEDULED: intervals that end by then are dealt with; 0: says nothing */
} sm_run_new;
/** Adds a queued run, and notes up_to_us, in one transaction. *id (may be NULL) in `a`. */
sm_status sm_state_queue(sm_state *s, const sm_run_new *run, sm_arena *a, sm_str *id,
                         sm_error *e) SM_MUST_USE;
/** Up to which instant the schedule of a pipeline file is dealt with; 0: it is new here. */
sm_status sm_state_dealt(sm_state *s, sm_str file, int64_t *up_to_us, sm_error *e) SM_MUST_USE;
/** The pipeline files that a scheduler of this state has had, by name, in `a`. */
sm_status sm_state_files(sm_state *s, sm_arena *a, sm_str **out, int64_t *n,
                         sm_error *e) SM_MUST_USE;
/** Notes it without a run: intervals that are skipped, or a pipeline that is new. */
sm_status sm_state_set_dealt(sm_state *s, sm_str file, int64_t up_to_us, sm_error *e) SM_MUST_USE;

/* What people ask of a run. */
typedef enum sm_run_order {
    SM_RUN_CANCEL,       /* queued: it is cancelled; running: its process is asked to end */
    SM_RUN_CLEAR,        /* ended: it is queued again, with all of its tasks */
    SM_RUN_MARK_SUCCESS, /* ended or queued: its state is set */
    SM_RUN_MARK_FAILED,
} sm_run_order;
/** SM_NOT_FOUND: no such run; SM_INVALID: its state does not allow it (with that state). `from` of
 * CLEAR: only this task and those that need it ("": all); kept as `--select FROM+` in its
 * arguments. */
sm_status sm_state_order(sm_state *s, sm_str run, sm_run_order order, sm_str from,
                         sm_error *e) SM_MUST_USE;
/** A run that is queued, or whose process was lost, has FAILED with this text. */
sm_status sm_state_give_up(sm_state *s, sm_str run, sm_str error, sm_error *e) SM_MUST_USE;
/** Deletes runs that ended before an instant, with their attempts and logs. */
sm_status sm_state_forget(sm_state *s, int64_t before_us, int64_t *n, sm_error *e) SM_MUST_USE;
/** Has another process changed the state since this was called last? Cheap: no query. */
sm_status sm_state_has_changed(sm_state *s, bool *out, sm_error *e) SM_MUST_USE;

/* ---- a process notes what it does ------------------------------------------------------------ */

/* The notes of one process of a run. It holds the run's lock. */
typedef struct sm_run_notes sm_run_notes;

/**
 * Begins a process of a run: takes the run's lock, and notes that it runs. Attempts of earlier
 * processes of the run that never ended become LOST.
 *
 * Shape     `id` "" or unknown to the state: the run is added (`run` says which; its state is
 *           RUNNING at once); else it is the queued or lost run of that id
 * Owner     *out borrows the state; sm_run_notes_close() it
 * Errors    SM_CONFLICT: another process of this run is alive; SM_INVALID: the run has ended
 */
sm_status sm_run_notes_open(sm_state *s, sm_str id, const sm_run_new *run, sm_run_notes **out,
                            sm_error *e) SM_MUST_USE;
/** The run's id; as long as the notes. */
sm_str sm_run_notes_id(const sm_run_notes *n);
/** For which interval it is: as it was queued. */
sm_interval sm_run_notes_interval(const sm_run_notes *n);
/** Its logical date, as --date takes it; as long as the notes. */
sm_str sm_run_notes_date(const sm_run_notes *n);
/** What earlier processes of this run have finished, for its options; names in `a`. Whether it has
 * published, the lake says. */
sm_status sm_run_notes_earlier(sm_run_notes *n, sm_arena *a, sm_run_earlier *out,
                               sm_error *e) SM_MUST_USE;
/** A listener that notes attempts and hands on what it hears to `next` (borrowed; may be {0}). A
 * state that cannot be written any more does not stop the run: it is warned of once, on stderr. */
sm_run_listener sm_run_notes_listener(sm_run_notes *n, const sm_run_listener *next);
/** Was the run asked to end (SM_RUN_CANCEL)? Else its process was, and the run may go on later. */
sm_status sm_run_notes_is_cancelling(sm_run_notes *n, bool *out, sm_error *e) SM_MUST_USE;
/** The end of the run: its state, report (JSON) and error ("" for success). QUEUED: only this
 * process ends, as it was asked to; the next one goes on. */
sm_status sm_run_notes_end(sm_run_notes *n, sm_run_state state, sm_str report, sm_str error,
                           sm_error *e) SM_MUST_USE;
void sm_run_notes_close(sm_run_notes *n); /* takes NULL; gives the lock back */
/** Is a process of that run alive? */
sm_status sm_state_is_alive(sm_state *s, int64_t number, bool *out, sm_error *e) SM_MUST_USE;

/* ---- the scheduler --------------------------------------------------------------------------- */

typedef struct sm_scheduler_opts {
    sm_stores *stores;   /* by which pipeline files are read, and watched folders listed */
    const sm_str *files; /* pipelines */
    int32_t n_files;
    int32_t max_runs;        /* at once, of all pipelines; 0: 2 */
    sm_str program;          /* what is started for a run; "": this one */
    const sm_str *arguments; /* further ones of each smelt run */
    int32_t n_arguments;
    bool is_backfill; /* it runs what is queued as BACKFILL, max_runs at once, and then ends */
    const sm_cancel *cancel; /* ends it: running runs are asked to end, and waited for */
    /* What it does, a line each, for people; may be NULL. */
    void (*say)(void *ctx, const char *line);
    void *ctx;
    /* Tests: the clock, which moves by itself: nothing is waited for but processes. NULL: the
     * machine's. */
    int64_t (*now_us)(void *ctx);
} sm_scheduler_opts;

/**
 * Starts runs when they are due, until it is cancelled.
 *
 * Shape     one state a folder of pipelines, each locked. Files are read again when they change;
 *           one that cannot be read is said, and keeps what it was, and never stops the others.
 *           Each run is a process: smelt run FILE --date D --run-id ID, with a log in the state
 * Errors    SM_CONFLICT: another scheduler has the state (with its process id); those of
 *           sm_state_open(); of the pipelines when it starts. What happens later is said, not
 *           returned
 */
sm_status sm_scheduler_run(const sm_scheduler_opts *o, sm_error *e) SM_MUST_USE;

/* What is known of the scheduler of a state. */
typedef struct sm_scheduler_status {
    bool is_alive;
    int64_t pid, since_us;
} sm_scheduler_status;
/** Looks whether one has the lock. */
sm_status sm_scheduler_look(sm_state *s, sm_scheduler_status *out, sm_error *e) SM_MUST_USE;

/* An interval of a schedule. */
typedef struct sm_due {
    sm_interval interval;
    sm_str date; /* its start as --date takes it: what the clocks of the zone show */
} sm_due;
/** The intervals of a schedule that end after `after_us` and by `to_us`, the earliest first, in
 * `a`. A run is due at the end of its interval. */
sm_status sm_schedule_due(const sm_pipeline_times *t, int64_t after_us, int64_t to_us, sm_arena *a,
                          sm_due **out, int64_t *n, sm_error *e) SM_MUST_USE;

#endif
