/* SPDX-License-Identifier: Apache-2.0
 *
 * store/upload.c: a new object out, streaming.
 *
 * Method   Pieces queue up and go to the I/O threads one at a time, in order: the next is sent
 *          when the store has carried out the one before, not when its answer has come, so slow
 *          answers overlap. A piece is in flight, and its block held, until it is answered. The end
 *          is sent when all pieces are answered.
 * States   OPEN -> FINISHING -> FINISHED, from the first two also -> FAILED (enum upload_state).
 *          A failure is kept and is the answer to all further calls; what is queued is dropped.
 * Bound    A piece is taken while in_flight + len stays within the bound, or nothing is in flight
 *          (so a piece greater than the bound passes alone).
 * Memory   A block is counted where it was made and stays so while it is retained here; nothing is
 *          copied. What a store itself would buffer is for it to take from the budget.
 * Wakes    As in fetch.c: a job counts as flying until its wakes are done. */
#include "base/memory.h"
#include "store/store_int.h"

typedef enum upload_state { OPEN, FINISHING, FINISHED, FAILED } upload_state;

typedef struct write_job {
    smi_job job; /* first: a job is its piece */
    struct sm_upload *upload;
    sm_block *block; /* NULL: the end */
    size_t len;
    struct write_job *next_queued;
} write_job;

struct sm_upload {
    sm_store *store;
    char *key, *uri;
    smi_io *io;
    size_t bound_bytes;

    /* Of the job that runs; handed from one to the next under the lock. */
    smi_writer *writer; /* NULL before the first job */

    sm_mutex lock;  /* of all below */
    sm_cond answer; /* a piece or the end was answered */
    sm_cond landed; /* n_flying is 0 */
    upload_state state;
    sm_error failure; /* of FAILED */
    write_job *queued_first, *queued_last;
    bool is_running;  /* a job has been sent and not yet been carried out */
    int64_t n_flying; /* sent, and not yet answered and told */
    size_t in_flight_bytes;
    uint64_t accepted_bytes;
    bool is_closing;
    smi_waiters waiters;
};

sm_status sm_upload_open(sm_store *s, sm_str key, sm_budget *budget, size_t inflight_bytes,
                         sm_upload **out, sm_error *e)
{
    const sm_status st = smi_key_check(key, e);
    if (st != SM_OK) {
        sm_error_place(e, s->uri, 0, -1);
        return st;
    }
    smi_io *io = NULL;
    SM_TRY(smi_io_join(s->stores, &io, e));
    sm_upload *u = sm_alloc_zero(sizeof(*u));
    u->store = sm_store_retain(s);
    u->key = smi_str_dup(key);
    u->uri = (char *)smi_object_uri(s, key).data;
    u->io = io;
    u->bound_bytes = inflight_bytes > 0 ? inflight_bytes : sm_store_inflight_bytes(s);
    sm_mutex_init(&u->lock);
    sm_cond_init(&u->answer);
    sm_cond_init(&u->landed);
    *out = u;
    return SM_OK;
}

/* ---- on an I/O thread ------------------------------------------------------------------------ */

/* Sends the next piece if none is being carried out. Locked. */
static void send_next(sm_upload *u)
{
    write_job *w = u->queued_first;
    if (u->is_running || !w) {
        return;
    }
    u->queued_first = w->next_queued;
    if (!u->queued_first) {
        u->queued_last = NULL;
    }
    u->is_running = true;
    u->n_flying++;
    smi_io_add(u->io, &w->job);
}

static sm_status carry_out(write_job *w, sm_error *e)
{
    sm_upload *u = w->upload;
    if (!u->writer) {
        SM_TRY(smi_writer_open(u->store, sm_str_of(u->key), &u->writer, e));
    }
    return w->block ? smi_writer_write(u->writer, w->block, w->len, smi_io_waker(&w->job), e)
                    : smi_writer_finish(u->writer, smi_io_waker(&w->job), e);
}

static void fail(sm_upload *u, const sm_error *e)
{
    if (u->state != FAILED) {
        u->state = FAILED;
        u->failure = *e;
    }
}

static int64_t write_run(smi_job *j)
{
    write_job *w = (write_job *)j;
    sm_upload *u = w->upload;
    sm_mutex_lock(&u->lock);
    const bool is_needed = u->state != FAILED && !u->is_closing;
    sm_mutex_unlock(&u->lock);

    sm_error e = {0};
    int64_t due_ns = 0;
    sm_status st = SM_OK;
    if (is_needed) {
        st = carry_out(w, &e);
        if (st == SM_WAIT) {
            return SMI_AGAIN;
        }
        due_ns = smi_due_ns(u->store, 0, st == SM_OK ? w->len : 0);
    }
    sm_mutex_lock(&u->lock);
    if (st != SM_OK) {
        sm_error_place(&e, u->uri, 0, -1);
        fail(u, &e);
    }
    u->is_running = false;
    send_next(u);
    sm_mutex_unlock(&u->lock);
    return due_ns;
}

static void write_free(write_job *w)
{
    sm_block_release(w->block);
    sm_free(w);
}

/* Queues a piece, or with NULL the end. Locked. */
static void enqueue(sm_upload *u, sm_block *block, size_t len);

static void write_done(smi_job *j)
{
    write_job *w = (write_job *)j;
    sm_upload *u = w->upload;
    const bool is_end = !w->block;
    const size_t len = w->len;
    write_free(w); /* its bytes are free before anyone hears of it */

    sm_mutex_lock(&u->lock);
    u->in_flight_bytes -= len;
    if (is_end && u->state == FINISHING) {
        u->state = FINISHED;
    }
    smi_waiters woken = smi_waiters_take(&u->waiters);
    sm_cond_broadcast(&u->answer);
    sm_mutex_unlock(&u->lock);

    smi_waiters_wake(&woken);

    sm_mutex_lock(&u->lock);
    u->n_flying--;
    if (u->n_flying == 0 && u->state == FINISHING && !u->is_closing) {
        enqueue(u, NULL, 0);
    }
    if (u->n_flying == 0) {
        sm_cond_broadcast(&u->landed);
    }
    sm_mutex_unlock(&u->lock);
}

static void enqueue(sm_upload *u, sm_block *block, size_t len)
{
    write_job *w = sm_alloc_zero(sizeof(*w));
    w->job = (smi_job){.run = write_run, .done = write_done, .owner = u};
    w->upload = u;
    w->block = block;
    w->len = len;
    if (u->queued_last) {
        u->queued_last->next_queued = w;
    } else {
        u->queued_first = w;
    }
    u->queued_last = w;
    u->in_flight_bytes += len;
    send_next(u);
}

/* ---- the caller's side ----------------------------------------------------------------------- */

static sm_status kept_failure(const sm_upload *u, sm_error *e)
{
    if (e) {
        *e = u->failure;
    }
    return u->failure.status;
}

/* One try. Locked. */
static sm_status try_write(sm_upload *u, sm_block *block, size_t len, sm_error *e)
{
    SM_ASSERT(len <= block->size_bytes);
    if (u->state == FAILED) {
        return kept_failure(u, e);
    }
    SM_ASSERT(u->state == OPEN);
    if (u->in_flight_bytes > 0 &&
        (u->in_flight_bytes >= u->bound_bytes || len > u->bound_bytes - u->in_flight_bytes)) {
        return SM_WAIT;
    }
    if (len > 0) {
        u->accepted_bytes += len;
        enqueue(u, sm_block_retain(block), len);
    }
    return SM_OK;
}

/* One try; the first sends the end or has it sent. Locked. */
static sm_status try_finish(sm_upload *u, sm_error *e)
{
    if (u->state == OPEN) {
        u->state = FINISHING;
        if (u->n_flying == 0) {
            enqueue(u, NULL, 0);
        }
    }
    if (u->state == FAILED) {
        return kept_failure(u, e);
    }
    return u->state == FINISHED ? SM_OK : SM_WAIT;
}

sm_status sm_upload_write(sm_upload *u, sm_block *block, size_t len, sm_waker waker, sm_error *e)
{
    sm_mutex_lock(&u->lock);
    const sm_status st = try_write(u, block, len, e);
    if (st == SM_WAIT) {
        smi_waiters_add(&u->waiters, waker);
    }
    sm_mutex_unlock(&u->lock);
    return st;
}

sm_status sm_upload_finish(sm_upload *u, sm_waker waker, sm_error *e)
{
    sm_mutex_lock(&u->lock);
    const sm_status st = try_finish(u, e);
    if (st == SM_WAIT) {
        smi_waiters_add(&u->waiters, waker);
    }
    sm_mutex_unlock(&u->lock);
    return st;
}

sm_status sm_upload_write_wait(sm_upload *u, sm_block *block, size_t len, sm_error *e)
{
    sm_status st = SM_OK;
    sm_mutex_lock(&u->lock);
    while ((st = try_write(u, block, len, e)) == SM_WAIT) {
        sm_cond_wait(&u->answer, &u->lock);
    }
    sm_mutex_unlock(&u->lock);
    return st;
}

sm_status sm_upload_finish_wait(sm_upload *u, sm_error *e)
{
    sm_status st = SM_OK;
    sm_mutex_lock(&u->lock);
    while ((st = try_finish(u, e)) == SM_WAIT) {
        sm_cond_wait(&u->answer, &u->lock);
    }
    sm_mutex_unlock(&u->lock);
    return st;
}

uint64_t sm_upload_bytes(const sm_upload *u)
{
    sm_upload *locked = (sm_upload *)u;
    sm_mutex_lock(&locked->lock);
    const uint64_t n = u->accepted_bytes;
    sm_mutex_unlock(&locked->lock);
    return n;
}

/* Ends what is queued, sent or waiting for its answer; returns when no I/O thread has any of it. */
static void stop(sm_upload *u)
{
    sm_mutex_lock(&u->lock);
    u->is_closing = true;
    smi_waiters_release(&u->waiters);
    while (u->queued_first) {
        write_job *w = u->queued_first;
        u->queued_first = w->next_queued;
        write_free(w);
    }
    u->queued_last = NULL;
    sm_mutex_unlock(&u->lock);

    smi_job *cancelled = smi_io_cancel(u->io, u);
    sm_mutex_lock(&u->lock);
    while (cancelled) {
        smi_job *next = cancelled->next;
        write_free((write_job *)cancelled);
        u->n_flying--;
        cancelled = next;
    }
    while (u->n_flying > 0) {
        sm_cond_wait(&u->landed, &u->lock);
    }
    sm_mutex_unlock(&u->lock);
}

void sm_upload_close(sm_upload *u)
{
    if (!u) {
        return;
    }
    stop(u);
    smi_writer_free(u->writer);
    smi_io_leave(u->io);
    smi_waiters_release(&u->waiters);
    sm_cond_release(&u->landed);
    sm_cond_release(&u->answer);
    sm_mutex_release(&u->lock);
    sm_store_release(u->store);
    sm_free(u->key);
    sm_free(u->uri);
    sm_free(u);
}
