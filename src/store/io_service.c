/* SPDX-License-Identifier: Apache-2.0
 *
 * store/io_service.c: the two threads that do the I/O of every fetch and upload of an engine.
 *
 * Jobs are run in the order in which they came. A job whose answer is due later (a store that plays
 * a slow wire) is parked in a list ordered by time, so that any number of slow answers overlap on
 * two threads; one that waits for the network is away until it is called again. Started for the
 * first fetch or upload, ended with the last: who has none open has no I/O thread.
 * Two threads: the page cache gives more than memory can take up already with one
 * (7.7 GB/s a core); the second one keeps going while the first waits for a disk or an fsync. */
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

    sm_mutex lock; /* of all below */
    sm_cond changed;
    job_list ready; /* in the order in which they came */
    job_list running;
    job_list away;   /* said SMI_AGAIN, not yet called */
    job_list parked; /* run, not yet answered; in order of due_ns */
    bool is_ending;

    sm_thread *threads[IO_THREADS];
};

/* ---- lists ----------------------------------------------------------------------------------- */

/* Puts j behind `before` (NULL: first). */
static void insert_after(job_list *l, smi_job *before, smi_job *j)
{
    j->prev = before;
    j->next = before ? before->next : l->first;
    *(j->prev ? &j->prev->next : &l->first) = j;
    *(j->next ? &j->next->prev : &l->last) = j;
}

static smi_job *take_out(job_list *l, smi_job *j)
{
    *(j->prev ? &j->prev->next : &l->first) = j->next;
    *(j->next ? &j->next->prev : &l->last) = j->prev;
    j->prev = j->next = NULL;
    return j;
}

/* Answers mostly fall due in the order of their calls: the place is found from the end. */
static void park(smi_io *io, smi_job *j)
{
    smi_job *before = io->parked.last;
    while (before && before->due_ns > j->due_ns) {
        before = before->prev;
    }
    insert_after(&io->parked, before, j);
}

/* ---- the threads ----------------------------------------------------------------------------- */

/* Locked on entry and exit, not while the work is done. A job that was cancelled while it ran is
 * answered at once: its owner waits for it, and not for a slow wire. */
static void run_one(smi_io *io)
{
    smi_job *j = take_out(&io->ready, io->ready.first);
    insert_after(&io->running, io->running.last, j);
    j->is_running = true;
    j->is_called = false;
    sm_mutex_unlock(&io->lock);
    j->due_ns = j->run(j);
    const bool is_due = j->due_ns <= sm_monotonic_ns();
    sm_mutex_lock(&io->lock);
    j->is_running = false;
    take_out(&io->running, j);
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
        park(io, j);
        sm_cond_signal(&io->changed); /* the other thread may sleep past this time */
    }
}

static void answer_one(smi_io *io)
{
    smi_job *j = take_out(&io->parked, io->parked.first);
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
            answer_one(io);
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
    SM_ASSERT(!io->ready.first && !io->parked.first && !io->away.first);
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
        shared->io = NULL; /* whoever joins from now on starts anew */
    }
    sm_mutex_unlock(&shared->lock);
    if (is_last) {
        io_free(io);
    }
}

/* ---- jobs ------------------------------------------------------------------------------------ */

void smi_io_add(smi_io *io, smi_job *j)
{
    sm_mutex_lock(&io->lock);
    j->io = io;
    insert_after(&io->ready, io->ready.last, j);
    sm_cond_signal(&io->changed);
    sm_mutex_unlock(&io->lock);
}

static void again(void *job)
{
    smi_job *j = job;
    smi_io *io = j->io;
    sm_mutex_lock(&io->lock);
    if (j->is_running) {
        j->is_called = true;
    } else {
        take_out(&io->away, j);
        insert_after(&io->ready, io->ready.last, j);
        sm_cond_signal(&io->changed);
    }
    sm_mutex_unlock(&io->lock);
}

sm_waker smi_io_waker(smi_job *j)
{
    return (sm_waker){again, j};
}

static smi_job *take_owned(job_list *l, const void *owner, smi_job *taken)
{
    for (smi_job *j = l->first, *next; j; j = next) {
        next = j->next;
        if (j->owner == owner) {
            take_out(l, j)->next = taken;
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
