/* SPDX-License-Identifier: Apache-2.0
 *
 * base/thread.h: locks, threads, and the flag that cancels a run. Only base calls pthread. A lock
 * or condition that fails is a mistake in smelt's code and ends the process (SM_ENSURE).
 * Threads: every function may be called from any thread. */
#ifndef SM_BASE_THREAD_H
#define SM_BASE_THREAD_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/status.h"

typedef struct sm_mutex {
    pthread_mutex_t os;
} sm_mutex;
typedef struct sm_cond {
    pthread_cond_t os;
} sm_cond;
typedef struct sm_thread sm_thread;

/* ---- locks and conditions -------------------------------------------------------------------- */

void sm_mutex_init(sm_mutex *m);            /* unlocked */
void sm_mutex_release(sm_mutex *m);         /* must be unlocked */
void sm_mutex_lock(sm_mutex *m);            /* not recursive */
void sm_mutex_unlock(sm_mutex *m);          /* by the thread that locked it */
void sm_cond_init(sm_cond *c);              /* its waits use the monotonic clock */
void sm_cond_release(sm_cond *c);           /* no thread may wait on it */
void sm_cond_wait(sm_cond *c, sm_mutex *m); /* with m locked; may return without a signal */
/** The same for at most wait_ms, and at most a day. Returns false if the time passed. */
bool sm_cond_wait_ms(sm_cond *c, sm_mutex *m, int64_t wait_ms);
void sm_cond_signal(sm_cond *c);    /* wakes one thread that waits, if any does */
void sm_cond_broadcast(sm_cond *c); /* wakes all threads that wait */

/* ---- threads --------------------------------------------------------------------------------- */

/**
 * Starts a thread.
 *
 * Shape     all signals are blocked in it: signals belong to the main thread. `name`, of at most 15
 *           bytes (asserted), is for debuggers.
 * Owner     *out is the caller's, to sm_thread_join(); `ctx` must live until then
 * Errors    SM_IO, SM_NOMEM or SM_DENIED if the system refuses
 */
sm_status sm_thread_start(void (*run)(void *ctx), void *ctx, const char *name, sm_thread **out,
                          sm_error *e) SM_MUST_USE;
void sm_thread_join(sm_thread *t); /* waits for the thread's end and frees it */

/* ---- cancelling ------------------------------------------------------------------------------ */

/* For tests: the longest time that a thread worked without looking at the flag. It is measured in
 * the thread's own processor time, so that a busy machine does not lengthen it. */
typedef struct sm_watch {
    _Atomic int64_t longest_ns;
} sm_watch;
/** Starts to watch the calling thread; another thread is watched from its first look on. */
void sm_watch_start(sm_watch *w);
/** Notes that the calling thread looks at the flag now. */
void sm_watch_look(sm_watch *w);

/* The flag that cancels a run; a signal handler or any thread may set it. Code that works on rows
 * looks at it between two batches, and within a loop whose length depends on input. */
typedef struct sm_cancel {
    atomic_bool is_set;
    sm_watch *watch;               /* NULL outside tests */
    const struct sm_cancel *above; /* what cancels this one too; may be NULL */
    _Atomic int64_t deadline_ns;   /* of sm_monotonic_ns(): it is cancelled then; 0: it is not */
} sm_cancel;
/** Has its time come, or is one above it cancelled? */
bool sm_cancel_is_over(const sm_cancel *c);
/** Cancels; safe in a signal handler. */
static inline void sm_cancel_set(sm_cancel *c)
{
    atomic_store_explicit(&c->is_set, true, memory_order_release);
}
/** Is it cancelled? `c` may be NULL: never. */
static inline bool sm_cancel_is_set(const sm_cancel *c)
{
    if (c && c->watch) {
        sm_watch_look(c->watch);
    }
    return c && (atomic_load_explicit(&((sm_cancel *)c)->is_set, memory_order_acquire) ||
                 (c->above && sm_cancel_is_over(c)) ||
                 (atomic_load_explicit(&((sm_cancel *)c)->deadline_ns, memory_order_relaxed) &&
                  sm_cancel_is_over(c)));
}

#endif
