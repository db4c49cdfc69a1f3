/* SPDX-License-Identifier: Apache-2.0
 *
 * base/thread.h: locks, threads and the flag that stops a run. Only base calls pthread. */
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

void sm_mutex_init(sm_mutex *m);
void sm_mutex_release(sm_mutex *m);
void sm_mutex_lock(sm_mutex *m);
void sm_mutex_unlock(sm_mutex *m);
void sm_cond_init(sm_cond *c);
void sm_cond_release(sm_cond *c);
void sm_cond_wait(sm_cond *c, sm_mutex *m);
/** Returns false when wait_ms passed without a signal. */
bool sm_cond_wait_ms(sm_cond *c, sm_mutex *m, int64_t wait_ms);
void sm_cond_signal(sm_cond *c);
void sm_cond_broadcast(sm_cond *c);

/** Starts a thread with all signals blocked (signals belong to the main thread). */
sm_status sm_thread_start(void (*run)(void *ctx), void *ctx, const char *name, sm_thread **out,
                          sm_error *e) SM_MUST_USE;
void sm_thread_join(sm_thread *t); /* waits and frees */

/* How long a thread has worked without looking at the flag, at most: what a test watches. In the
 * thread's own processor time, so that a busy machine does not lengthen it. */
typedef struct sm_watch {
    _Atomic int64_t longest_ns;
} sm_watch;
/** The calling thread begins to be watched here; others at their first look. */
void sm_watch_start(sm_watch *w);
void sm_watch_look(sm_watch *w);

/* Set from a signal handler or another thread. Whoever works on rows looks at it: between two
 * batches, and within a loop whose length the input decides. */
typedef struct sm_cancel {
    atomic_bool is_set;
    sm_watch *watch; /* NULL but in tests */
} sm_cancel;
static inline void sm_cancel_set(sm_cancel *c)
{
    atomic_store_explicit(&c->is_set, true, memory_order_release);
}
static inline bool sm_cancel_is_set(const sm_cancel *c)
{
    if (c && c->watch) {
        sm_watch_look(c->watch);
    }
    return c && atomic_load_explicit(&((sm_cancel *)c)->is_set, memory_order_acquire);
}

#endif
