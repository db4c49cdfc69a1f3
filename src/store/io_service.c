/* SPDX-License-Identifier: Apache-2.0
 *
 * store/io_service.c: the two threads that do the I/O of all fetches and uploads of an engine.
 *
 * Method   Jobs are run in the order in which they are added. A job that waits for the network
 *          returns SMI_AGAIN and is `away` until its waker is called. A job whose response is due
 *          later (from a store that simulates a slow line, fault.c) is parked in a list ordered by
 *          time. So any number of slow responses overlap on two threads.
 * Life     The first fetch or upload starts the threads, the last one ends them.
 * Why two  One thread reads from the page cache faster than memory can take it (7.7 GB/s a core).
 *          The second works while the first waits for a disk or an fsync. */
#include "base/memory.h"
#include "base/time.h"
#include "store/store_int.h"

#define IO_THREADS 2

typedef struct job_list {
    smi_job *first, *last;
} job_list;

struct smi_io {
    smi_shared *shared;
    int64_t n_users; /* under the lock of what is shared */

    sm_mutex lock; /* guards all below */
    sm_cond changed;
    job_list ready; /* in the order in which they were added */
    job_list running;
    job_list away;   /* have returned SMI_AGAIN; their wakers were not called yet */
    job_list parked; /* have run; their responses are due later; in order of due_ns */
    bool is_ending;

    sm_thread *threads[IO_THREADS];
};

/* ---- lists ----------------------------------------------------------------------------------- */

/* Inserts j behind `before` (NULL: as the first). */
static void insert_after(job_list *l, smi_job *before, smi_job *j)
{
    SM_ASSERT((l->first == NULL) == (l->last == NULL));
    j->prev = before;
    j->next = before ? before->next : l->first;
    *(j->prev ? &j->prev->next : &l->first) = j;
    *(j->next ? &j->next->prev : &l->last) = j;
}

static smi_job *take_out_job(job_list *l, smi_job *j)
{
    /* Taken out of a list that it is not in, it would break both. */
    SM_ASSERT(j->prev ? j->prev->next == j : l->first == j);
    SM_ASSERT(j->next ? j->next->prev == j : l->last == j);
    *(j->prev ? &j->prev->next : &l->first) = j->next;
    *(j->next ? &j->next->prev : &l->last) = j->prev;
    j->prev = j->next = NULL;
    return j;
}

/* Parks a job. Most responses are due in the order of the calls, so the place is searched from the
 * end. */
static void park_job(smi_io *io, smi_job *j)
{
    smi_job *before = io->parked.last;
    while (before && before->due_ns > j->due_ns) {
        before = before->prev;
    }
    insert_after(&io->parked, before, j);
}

/* ---- the threads ----------------------------------------------------------------------------- */

/* Runs the first ready job. With the lock held, which it gives up for the work. A job that was
 * cancelled while it ran ends at once, as its owner waits for it. */
static void run_one(smi_io *io)
{
    smi_job *j = take_out_job(&io->ready, io->ready.first);
    SM_ASSERT(!j->is_running);
    insert_after(&io->running, io->running.last, j);
    j->is_running = true;
    j->is_called = false;
    sm_mutex_unlock(&io->lock);
    j->due_ns = j->run(j);
    SM_ASSERT(j->due_ns == SMI_AGAIN || j->due_ns >= 0);
    const bool is_due = j->due_ns <= sm_monotonic_ns();
    sm_mutex_lock(&io->lock);
    j->is_running = false;
    take_out_job(&io->running, j);
    if (j->due_ns == SMI_AGAIN) {
        job_list *to = j->is_called ? &io->ready : &io->away;
        insert_after(to, to->last, j);
        if (j->is_cancelled && !j->is_called && j->hasten) {
            j->hasten(j);
        }
    } else if (is_due || j->is_cancelled) {
        sm_mutex_unlock(&io->lock);
        j->done(j);
        sm_mutex_lock(&io->lock);
    } else {
        park_job(io, j);
        sm_cond_signal(&io->changed); /* the other thread may be waiting for a later time */
    }
}

static void end_parked(smi_io *io)
{
    smi_job *j = take_out_job(&io->parked, io->parked.first);
    sm_mutex_unlock(&io->lock);
    j->done(j);
    sm_mutex_lock(&io->lock);
}

static void io_thread(void *ctx)
{
    smi_io *io = ctx;
    sm_mutex_lock(&io->lock);
    for (;;) {
        const smi_job *due = io->parked.first;
        const int64_t wait_ns = due ? due->due_ns - sm_monotonic_ns() : 0;
        if (due && wait_ns <= 0) {
            end_parked(io);
        } else if (io->ready.first) {
            run_one(io);
        } else if (io->is_ending) {
            break;
        } else if (due) {
            sm_cond_wait_ms(&io->changed, &io->lock, (wait_ns + 999999) / 1000000);
        } else {
            sm_cond_wait(&io->changed, &io->lock);
        }
    }
    sm_mutex_unlock(&io->lock);
}

/* ---- joining and leaving --------------------------------------------------------------------- */

static void io_free(smi_io *io)
{
    sm_mutex_lock(&io->lock);
    SM_ASSERT(!io->ready.first && !io->parked.first && !io->away.first && !io->running.first);
    io->is_ending = true;
    sm_cond_broadcast(&io->changed);
    sm_mutex_unlock(&io->lock);
    for (int i = 0; i < IO_THREADS; i++) {
        if (io->threads[i]) {
            sm_thread_join(io->threads[i]);
        }
    }
    sm_cond_release(&io->changed);
    sm_mutex_release(&io->lock);
    sm_free(io);
}

static sm_status io_new(smi_shared *shared, smi_io **out, sm_error *e)
{
    smi_io *io = sm_alloc_zero(sizeof(*io));
    io->shared = shared;
    sm_mutex_init(&io->lock);
    sm_cond_init(&io->changed);
    for (int i = 0; i < IO_THREADS; i++) {
        const sm_status st = sm_thread_start(io_thread, io, "smelt-io", &io->threads[i], e);
        if (st != SM_OK) {
            io_free(io);
            return st;
        }
    }
    *out = io;
    return SM_OK;
}

sm_status smi_io_join(sm_stores *stores, smi_io **out, sm_error *e)
{
    smi_shared *shared = stores->shared;
    sm_mutex_lock(&shared->lock);
    const sm_status st = shared->io ? SM_OK : io_new(shared, &shared->io, e);
    if (st == SM_OK) {
        shared->io->n_users++;
        *out = shared->io;
    }
    sm_mutex_unlock(&shared->lock);
    return st;
}

void smi_io_leave(smi_io *io)
{
    smi_shared *shared = io->shared;
    sm_mutex_lock(&shared->lock);
    SM_ASSERT(io == shared->io && io->n_users > 0);
    const bool is_last = --io->n_users == 0;
    if (is_last) {
        shared->io = NULL; /* a later join starts new threads */
    }
    sm_mutex_unlock(&shared->lock);
    if (is_last) {
        io_free(io);
    }
}

/* ---- jobs ------------------------------------------------------------------------------------ */

void smi_io_add(smi_io *io, smi_job *j)
{
    SM_ASSERT(j->run && j->done && j->owner); /* smi_io_cancel finds it by its owner */
    sm_mutex_lock(&io->lock);
    SM_ASSERT(!io->is_ending && !j->prev && !j->next && !j->is_running);
    j->io = io;
    insert_after(&io->ready, io->ready.last, j);
    sm_cond_signal(&io->changed);
    sm_mutex_unlock(&io->lock);
}

static void wake_job(void *job)
{
    smi_job *j = job;
    smi_io *io = j->io;
    sm_mutex_lock(&io->lock);
    SM_ASSERT(!j->is_called); /* a waker is called once each time */
    if (j->is_running) {
        j->is_called = true;
    } else {
        take_out_job(&io->away, j);
        insert_after(&io->ready, io->ready.last, j);
        sm_cond_signal(&io->changed);
    }
    sm_mutex_unlock(&io->lock);
}

sm_waker smi_io_waker(smi_job *j)
{
    return (sm_waker){wake_job, j};
}

static smi_job *take_owned(job_list *l, const void *owner, smi_job *taken)
{
    for (smi_job *j = l->first, *next; j; j = next) {
        next = j->next;
        if (j->owner == owner) {
            take_out_job(l, j)->next = taken;
            taken = j;
        }
    }
    return taken;
}

smi_job *smi_io_cancel(smi_io *io, const void *owner)
{
    sm_mutex_lock(&io->lock);
    smi_job *taken = take_owned(&io->ready, owner, NULL);
    taken = take_owned(&io->parked, owner, taken);
    for (smi_job *j = io->running.first; j; j = j->next) {
        j->is_cancelled = j->is_cancelled || j->owner == owner;
    }
    for (smi_job *j = io->away.first; j; j = j->next) {
        if (j->owner == owner && j->hasten) {
            j->hasten(j);
        }
    }
    sm_mutex_unlock(&io->lock);
    return taken;
}
