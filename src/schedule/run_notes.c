/* SPDX-License-Identifier: Apache-2.0
 *
 * schedule/run_notes.c: a process of a run notes what it does: that it begins, each attempt at a
 * task, and how the run ends.
 *
 * Lost      A process that was killed notes no end. Whoever begins the next one of the run finds it
 *           RUNNING with its lock free, and counts it among the failures.
 * Trouble   Notes are for people and for the next process; the run does not need them. Where the
 *           state can be written no more (a full disk), that is said once and the run goes on. */
#include <inttypes.h>
#include <unistd.h>

#include "base/time.h"
#include "schedule/schedule_int.h"

struct sm_run_notes {
    sm_arena *arena;
    sm_state *state;
    sm_run_row run;
    int32_t process;
    int64_t attempt; /* the row of the attempt under way */
    sm_run_listener next;
    bool has_warned;
};

/* ---- beginning ------------------------------------------------------------------------------- */

static sm_status lose_attempts(sm_run_notes *n, sm_error *e)
{
    smi_query q = smi_query_new(
        n->state, "UPDATE attempts SET state = ?, ended_us = ? WHERE run = ? AND state = ?", e);

    smi_query_i64(&q, SM_ATTEMPT_LOST);
    smi_query_i64(&q, sm_now_us());
    smi_query_i64(&q, n->run.number);
    smi_query_i64(&q, SM_ATTEMPT_RUNNING);
    return smi_query_run(&q);
}

static sm_status note_begin(sm_run_notes *n, sm_error *e)
{
    const bool is_lost = n->run.state == SM_RUN_STATE_RUNNING;
    smi_query q = smi_query_new(
        n->state,
        "UPDATE runs SET state = ?, processes = ?, failures = failures + ?, pid = ?, pid_space = ?,"
        " started_us = iif(started_us = 0, ?, started_us) WHERE number = ?",
        e);

    smi_query_i64(&q, SM_RUN_STATE_RUNNING);
    smi_query_i64(&q, n->process);
    smi_query_i64(&q, is_lost);
    smi_query_i64(&q, getpid());
    smi_query_text(&q, smi_pid_space(n->arena));
    smi_query_i64(&q, sm_now_us());
    smi_query_i64(&q, n->run.number);
    SM_TRY(smi_query_run(&q));
    return lose_attempts(n, e);
}

/* Finds the run, or adds it, and takes its lock; in a transaction. */
static sm_status take_run(sm_run_notes *n, sm_str id, const sm_run_new *run, sm_error *e)
{
    bool is_taken = false;
    sm_status st = smi_state_run(n->state, id, n->arena, &n->run, e);

    if (st == SM_NOT_FOUND) {
        SM_TRY(smi_state_add(n->state, id, run, e));
        st = smi_state_run(n->state, id, n->arena, &n->run, e);
    }
    SM_TRY(st);
    if (n->run.state > SM_RUN_STATE_RUNNING) {
        sm_fail(e, SM_INVALID, "run %.*s has ended: %s", SM_STR_ARG(id),
                sm_run_state_name(n->run.state));
        sm_error_todo(e, "Clear it to run it again, or leave --run-id out to make another run.");
        return SM_INVALID;
    }
    SM_TRY(smi_lock_try(n->state, n->run.number, &is_taken, e));
    if (!is_taken) {
        return sm_fail(e, SM_CONFLICT, "run %.*s is running already: process %" PRId64,
                       SM_STR_ARG(id), n->run.pid);
    }
    n->process = n->run.processes + 1;
    return note_begin(n, e);
}

sm_status sm_run_notes_open(sm_state *s, sm_str id, const sm_run_new *run, sm_run_notes **out,
                            sm_error *e)
{
    sm_arena *a = sm_arena_new(NULL);
    sm_run_notes *n = SM_NEW(a, sm_run_notes);

    *n = (sm_run_notes){.arena = a, .state = s};
    sm_status st = smi_state_begin(s, false, e);
    if (st == SM_OK) {
        st = take_run(n, id.len ? id : smi_state_new_id(run, a), run, e);
        st = smi_state_end(s, st, e);
    }
    if (st != SM_OK) {
        sm_run_notes_close(n);
        return st;
    }
    *out = n;
    return SM_OK;
}

void sm_run_notes_close(sm_run_notes *n)
{
    if (n) {
        if (n->process > 0) { /* it has the lock */
            smi_lock_give(n->state, n->run.number);
        }
        sm_arena_free(n->arena);
    }
}

sm_str sm_run_notes_id(const sm_run_notes *n)
{
    return n->run.id;
}

sm_interval sm_run_notes_interval(const sm_run_notes *n)
{
    return n->run.interval;
}

sm_str sm_run_notes_date(const sm_run_notes *n)
{
    return n->run.date;
}

/* ---- what was done before -------------------------------------------------------------------- */

static sm_status processes_before(sm_run_notes *n, int64_t *out, sm_error *e)
{
    smi_query q = smi_query_new(n->state, "SELECT processes_before FROM runs WHERE number = ?", e);

    smi_query_i64(&q, n->run.number);
    if (smi_query_step(&q) == SM_OK) {
        *out = smi_query_get_i64(&q);
    }
    return smi_query_end(&q);
}

sm_status sm_run_notes_earlier(sm_run_notes *n, sm_arena *a, sm_run_earlier *out, sm_error *e)
{
    int64_t before = 0, cap = 0;
    sm_str *done = NULL;
    int32_t n_done = 0;

    SM_TRY(processes_before(n, &before, e));
    smi_query q = smi_query_new(
        n->state, "SELECT DISTINCT task FROM attempts WHERE run = ? AND process > ? AND state = ?",
        e);
    smi_query_i64(&q, n->run.number);
    smi_query_i64(&q, before);
    smi_query_i64(&q, SM_ATTEMPT_SUCCESS);
    while (smi_query_step(&q) == SM_OK) {
        done = sm_arena_grow(a, done, n_done, &cap, sizeof(*done));
        done[n_done++] = smi_query_get_text(&q, a);
    }
    SM_TRY(smi_query_end(&q));
    *out = (sm_run_earlier){
        .since_us = n->process > before + 1 ? n->run.queued_us : 0, .done = done, .n_done = n_done};
    return SM_OK;
}

/* ---- attempts -------------------------------------------------------------------------------- */

static void warn(sm_run_notes *n, const sm_error *e)
{
    if (!n->has_warned) {
        fprintf(stderr, "warning the run goes on, but the history does not show all of it: %s\n",
                e->what);
        n->has_warned = true;
    }
}

static sm_status add_attempt(sm_run_notes *n, const sm_task_begin *b, sm_error *e)
{
    smi_query q =
        smi_query_new(n->state,
                      "INSERT INTO attempts(run, process, task, attempt, state, started_us)"
                      " VALUES (?, ?, ?, ?, ?, ?)",
                      e);

    smi_query_i64(&q, n->run.number);
    smi_query_i64(&q, n->process);
    smi_query_text(&q, b->name);
    smi_query_i64(&q, b->attempt);
    smi_query_i64(&q, SM_ATTEMPT_RUNNING);
    smi_query_i64(&q, sm_now_us());
    const sm_status st = smi_query_run(&q);
    n->attempt = st == SM_OK ? sqlite3_last_insert_rowid(n->state->db) : 0;
    return st;
}

static sm_status end_attempt(sm_run_notes *n, const sm_task_report *r, sm_error *e)
{
    smi_query q = smi_query_new(
        n->state,
        "UPDATE attempts SET state = ?, ended_us = ?, rows = ?, bytes = ? WHERE rowid = ?", e);

    smi_query_i64(&q, r->status == SM_OK ? SM_ATTEMPT_SUCCESS : SM_ATTEMPT_FAILED);
    smi_query_i64(&q, sm_now_us());
    smi_query_i64(&q, r->rows);
    smi_query_i64(&q, (int64_t)r->bytes);
    smi_query_i64(&q, n->attempt);
    return smi_query_run(&q);
}

/* Why the attempt that ended last has failed. */
static sm_status note_why(sm_run_notes *n, sm_str why, sm_error *e)
{
    smi_query q =
        smi_query_new(n->state, "UPDATE attempts SET error = ? WHERE rowid = ? AND state = ?", e);

    smi_query_text(&q, why);
    smi_query_i64(&q, n->attempt);
    smi_query_i64(&q, SM_ATTEMPT_FAILED);
    return smi_query_run(&q);
}

static void on_begin(void *ctx, const sm_task_begin *b)
{
    sm_run_notes *n = ctx;
    sm_error e = {0};

    sm_status st = smi_state_begin(n->state, false, &e);
    if (st == SM_OK) {
        st = smi_state_end(n->state, add_attempt(n, b, &e), &e);
    }
    if (st != SM_OK) {
        warn(n, &e);
    }
    if (n->next.begin) {
        n->next.begin(n->next.ctx, b);
    }
}

static void on_end(void *ctx, const sm_task_report *r)
{
    sm_run_notes *n = ctx;
    sm_error e = {0};

    SM_ASSERT(r->rows >= 0);
    sm_status st = smi_state_begin(n->state, false, &e);
    if (st == SM_OK) {
        st = smi_state_end(n->state, end_attempt(n, r, &e), &e);
    }
    if (st != SM_OK) {
        warn(n, &e);
    }
    if (n->next.end) {
        n->next.end(n->next.ctx, r);
    }
}

static void on_again(void *ctx, const sm_task_report *failed, const sm_error *why, int64_t wait_ms)
{
    sm_run_notes *n = ctx;
    sm_error e = {0};

    sm_status st = smi_state_begin(n->state, false, &e);
    if (st == SM_OK) {
        st = smi_state_end(n->state, note_why(n, sm_str_of(why->what), &e), &e);
    }
    if (st != SM_OK) {
        warn(n, &e);
    }
    if (n->next.again) {
        n->next.again(n->next.ctx, failed, why, wait_ms);
    }
}

sm_run_listener sm_run_notes_listener(sm_run_notes *n, const sm_run_listener *next)
{
    n->next = *next;
    return (sm_run_listener){.ctx = n, .begin = on_begin, .end = on_end, .again = on_again};
}

/* ---- the end --------------------------------------------------------------------------------- */

static sm_status note_end(sm_run_notes *n, sm_run_state state, sm_str report, sm_str error,
                          sm_error *e)
{
    const bool is_over = state != SM_RUN_STATE_QUEUED;
    smi_query q = smi_query_new(n->state,
                                "UPDATE runs SET state = ?, ended_us = ?, report = ?, error = ?,"
                                " is_cancelling = 0 WHERE number = ?",
                                e);

    smi_query_i64(&q, state);
    smi_query_i64(&q, is_over ? sm_now_us() : 0);
    smi_query_text(&q, is_over ? report : SM_STR(""));
    smi_query_text(&q, is_over ? error : SM_STR(""));
    smi_query_i64(&q, n->run.number);
    SM_TRY(smi_query_run(&q));
    return note_why(n, error, e);
}

sm_status sm_run_notes_end(sm_run_notes *n, sm_run_state state, sm_str report, sm_str error,
                           sm_error *e)
{
    SM_ASSERT(state != SM_RUN_STATE_RUNNING);
    SM_TRY(smi_state_begin(n->state, true, e));
    return smi_state_end(n->state, note_end(n, state, report, error, e), e);
}

sm_status sm_run_notes_is_cancelling(sm_run_notes *n, bool *out, sm_error *e)
{
    sm_run_row now = {0};

    SM_TRY(smi_state_run(n->state, n->run.id, n->arena, &now, e));
    *out = now.is_cancelling;
    return SM_OK;
}
