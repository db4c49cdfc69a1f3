/* SPDX-License-Identifier: Apache-2.0
 *
 * store/upload.c: writes a new object piece by piece.
 *
 * Method   Pieces wait in a queue and go to the I/O threads one at a time, in order. The next is
 *          sent when the store has carried out the one before; its response may still be due, so
 *          slow responses overlap. A piece is in flight, and its block is held, until its response.
 *          The end is sent after the responses to all pieces.
 * States   OPEN -> FINISHING -> FINISHED; OPEN and FINISHING also -> FAILED (enum upload_state).
 *          The first failure is kept and returned by all later calls; queued pieces are dropped.
 * Bound    A piece is accepted while in_flight + len is within the bound, or if nothing is in
 *          flight (so a piece that is larger than the bound goes alone).
 * Memory   A block stays counted in the budget that it was made from; nothing is copied.
 * Wakes    As in fetch.c: a job counts as flying until its wakes are done. */
#include "base/memory.h"
#include "store/store_int.h"

typedef enum upload_state { OPEN, FINISHING, FINISHED, FAILED } upload_state;

typedef struct write_job {
    smi_job job; /* first, so that a pointer to the job is one to the piece */
    struct sm_upload *upload;
    sm_block *block; /* NULL: this job is the object's end */
    size_t len;
    struct write_job *next_queued;
} write_job;

struct sm_upload {
    sm_store *store;
    char *key, *uri;
    smi_io *io;
    size_t bound_bytes;

    /* Used by the job that runs; the lock orders one job's use before the next one's. */
    smi_writer *writer; /* NULL before the first job */

    sm_mutex lock;  /* guards all below */
    sm_cond answer; /* the response to a piece or to the end came */
    sm_cond landed; /* n_flying is 0 */
    upload_state state;
    sm_error failure; /* set in the state FAILED */
    write_job *queued_first, *queued_last;
    bool is_running;  /* a job was sent and is not carried out yet */
    int64_t n_flying; /* jobs that were sent and whose wakes are not done */
    size_t in_flight_bytes;
    uint64_t accepted_bytes;
    bool is_closing;
    smi_waiters waiters;
};

/* How much may wait to be written. A store that takes large requests keeps the bytes of several
 * itself while they are under way, so the pieces of the next one are enough. */
static size_t default_bound(const sm_store *s)
{
    const size_t request = sm_store_request_bytes(s);
    return request > 0 ? request : sm_store_inflight_bytes(s);
}

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
    u->bound_bytes = inflight_bytes > 0 ? inflight_bytes : default_bound(s);
    sm_mutex_init(&u->lock);
    sm_cond_init(&u->answer);
    sm_cond_init(&u->landed);
    *out = u;
    return SM_OK;
}

/* ---- on an I/O thread ------------------------------------------------------------------------ */

/* Sends the next piece if none is being carried out. With the lock held. */
static void send_next(sm_upload *u)
{
    write_job *w = u->queued_first;
    SM_ASSERT((u->queued_first == NULL) == (u->queued_last == NULL));
    SM_ASSERT(!w || u->state != FINISHED);
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

static sm_status write_piece(write_job *w, sm_error *e)
{
    sm_upload *u = w->upload;
    if (!u->writer) {
        SM_TRY(smi_writer_open(u->store, sm_str_of(u->key), &u->writer, e));
    }
    return w->block ? smi_writer_write(u->writer, w->block, w->len, smi_io_waker(&w->job), e)
                    : smi_writer_finish(u->writer, smi_io_waker(&w->job), e);
}

static void fail_upload(sm_upload *u, const sm_error *e)
{
    SM_ASSERT(
        !sm_status_is_answer(e->status)); /* a store that fails without filling in the error */
    SM_ASSERT(u->state != FINISHED);
    if (u->state != FAILED) {
        u->state = FAILED;
        u->failure = *e;
    }
}

static int64_t run_write(smi_job *j)
{
    write_job *w = (write_job *)j;
    sm_upload *u = w->upload;
    sm_mutex_lock(&u->lock);
    SM_ASSERT(u->is_running && u->n_flying > 0);
    const bool is_needed = u->state != FAILED && !u->is_closing;
    sm_mutex_unlock(&u->lock);

    sm_error e = {0};
    int64_t due_ns = 0;
    sm_status st = SM_OK;
    if (is_needed) {
        st = write_piece(w, &e);
        if (st == SM_WAIT) {
            return SMI_AGAIN;
        }
        due_ns = smi_due_ns(u->store, 0, st == SM_OK ? w->len : 0);
    }
    sm_mutex_lock(&u->lock);
    if (st != SM_OK) {
        sm_error_place(&e, u->uri, 0, -1);
        fail_upload(u, &e);
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

/* Queues a piece, or with NULL the object's end. With the lock held. */
static void queue_piece(sm_upload *u, sm_block *block, size_t len);

static void end_write(smi_job *j)
{
    write_job *w = (write_job *)j;
    sm_upload *u = w->upload;
    const bool is_end = !w->block;
    const size_t len = w->len;
    write_free(w); /* before the wakes, so that a waiter finds its memory free */

    sm_mutex_lock(&u->lock);
    SM_ASSERT(u->in_flight_bytes >= len && u->n_flying > 0);
    SM_ASSERT(!is_end || u->state != OPEN);
    u->in_flight_bytes -= len;
    if (is_end && u->state == FINISHING) {
        SM_ASSERT(u->in_flight_bytes == 0); /* every piece came before the end */
        u->state = FINISHED;
    }
    smi_waiters woken = smi_waiters_take(&u->waiters);
    sm_cond_broadcast(&u->answer);
    sm_mutex_unlock(&u->lock);

    smi_waiters_wake(&woken);

    sm_mutex_lock(&u->lock);
    u->n_flying--;
    if (u->n_flying == 0 && u->state == FINISHING && !u->is_closing) {
        queue_piece(u, NULL, 0);
    }
    if (u->n_flying == 0) {
        sm_cond_broadcast(&u->landed);
    }
    sm_mutex_unlock(&u->lock);
}

static void queue_piece(sm_upload *u, sm_block *block, size_t len)
{
    SM_ASSERT(!u->is_closing);
    SM_ASSERT(block ? u->state == OPEN : u->state == FINISHING && !u->queued_first);
    write_job *w = sm_alloc_zero(sizeof(*w));
    w->job = (smi_job){.run = run_write, .done = end_write, .owner = u};
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

/* Queues a piece, or returns SM_WAIT. With the lock held. */
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
        queue_piece(u, sm_block_retain(block), len);
    }
    return SM_OK;
}

/* Sends the object's end, or lets the last piece send it; returns SM_WAIT until it is carried out.
 * With the lock held. */
static sm_status try_finish(sm_upload *u, sm_error *e)
{
    if (u->state == OPEN) {
        u->state = FINISHING;
        if (u->n_flying == 0) {
            queue_piece(u, NULL, 0);
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

size_t sm_upload_inflight_bytes(const sm_upload *u)
{
    sm_upload *locked = (sm_upload *)u;
    sm_mutex_lock(&locked->lock);
    const size_t n = u->in_flight_bytes;
    sm_mutex_unlock(&locked->lock);
    return n;
}

/* Drops the queued pieces and waits until no I/O thread works on one. */
static void stop_upload(sm_upload *u)
{
    sm_mutex_lock(&u->lock);
    SM_ASSERT(!u->is_closing);
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
        SM_ASSERT(u->n_flying > 0);
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
    stop_upload(u);
    SM_ASSERT(!u->queued_first); /* no job has queued the end meanwhile */
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
