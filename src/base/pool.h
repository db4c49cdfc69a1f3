/* SPDX-License-Identifier: Apache-2.0
 *
 * base/pool.h: the worker threads, and how work that may have to wait shares them.
 *
 * A *driver* is a piece of work that is cut into steps. A step does at most one morsel's work and
 * returns:
 *   SM_OK    there is more to do now
 *   SM_END   this driver is finished
 *   SM_WAIT  nothing to do until its waker is called; a call during the step counts, so no wake is
 *            lost
 *   error    the whole sm_pool_run() ends; its other drivers get no more steps
 * Workers take ready drivers from one queue, so a driver that waits occupies no thread. */
#ifndef SM_BASE_POOL_H
#define SM_BASE_POOL_H

#include "base/status.h"
#include "base/thread.h"

/* Wakes what returned SM_WAIT. It is copied by value and may be called from any thread, any number
 * of times. A pool's waker is valid until the pool is freed. After its sm_pool_run() has returned
 * it does nothing, or gives an unrelated driver one step too many; every driver must allow that. */
typedef struct sm_waker {
    void (*wake)(void *ctx);
    void *ctx;
} sm_waker;
/** Calls the waker; `{0}` wakes nothing. */
static inline void sm_wake(sm_waker w)
{
    if (w.wake) {
        w.wake(w.ctx);
    }
}

/* For a thread that may block: lets it wait for a waker. */
typedef struct sm_pause {
    sm_mutex lock;
    sm_cond woken;
    bool is_woken;
} sm_pause;

void sm_pause_init(sm_pause *p);      /* not woken */
void sm_pause_release(sm_pause *p);   /* its waker must not be called any more */
sm_waker sm_pause_waker(sm_pause *p); /* valid until the release */
/** Waits until the waker is called; returns at once if it was called since the last wait. */
void sm_pause_wait(sm_pause *p);

typedef struct sm_pool sm_pool;

/**
 * A pool of n_threads workers. The caller of sm_pool_run() is one of them, so n_threads − 1 threads
 * are started.
 *
 * Owner     *out is the caller's, to sm_pool_free()
 * Errors    SM_RANGE unless n_threads is 1 to 1,024; those of sm_thread_start()
 */
sm_status sm_pool_new(int n_threads, sm_pool **out, sm_error *e) SM_MUST_USE;
void sm_pool_free(sm_pool *p);         /* nothing may use it any more (asserted); takes NULL */
int sm_pool_threads(const sm_pool *p); /* its workers, the caller included */

/* One step of a driver; `worker` and `waker` are valid for this step, the waker for longer. */
typedef sm_status (*sm_step_fn)(void *driver, int worker, sm_waker waker, sm_error *e);

/**
 * Runs n drivers until all have ended. The caller works on them too.
 *
 * Owner     borrows `drivers`: n pointers, each of which is passed to `step`
 * Returns   SM_OK when all drivers ended; else the first failure, and of several at the same time
 *           that of the first driver; SM_INTERRUPTED if `cancel` (may be NULL) was set. When it
 *           returns, no step is running.
 * Threads   any thread, several calls at a time. `worker` is 0 … threads − 1 and unique among the
 *           steps that run at the same moment in this pool. Must not be called from within a step;
 *           use sm_pool_for() there.
 */
sm_status sm_pool_run(sm_pool *p, sm_step_fn step, void *const *drivers, int n,
                      const sm_cancel *cancel, sm_error *e) SM_MUST_USE;

/**
 * From within a step, in the middle of its work: waits until the step's own waker is called. A call
 * since the step began, or since the last such wait, counts. For what cannot return SM_WAIT yet.
 * The thread helps with loops meanwhile, and takes no other step.
 *
 * Units     own: the waker of this step
 * Returns   false: the run is ending (a failure, or cancelled), and the step should end too
 * Threads   that of the step, which holds no lock. A step that waits for others' steps, and not for
 *           I/O alone, has a leave.
 */
bool sm_pool_wait(sm_waker own) SM_MUST_USE;

/** A leave for a step that waits for other steps of the pool. There are fewer than workers, so that
 * some worker is left for those steps. false: none is left, the step must go on. */
bool sm_pool_take_leave(sm_pool *p) SM_MUST_USE;
void sm_pool_end_leave(sm_pool *p); /* after the wait */

typedef sm_status (*sm_for_fn)(void *ctx, int64_t i, sm_error *e);

/**
 * Calls fn for i = 0 … n − 1 on the caller and on workers that are idle.
 *
 * Returns   SM_OK, or the failure of the smallest i that failed; larger i may not have been called
 * Threads   any thread, also from within a step or another fn
 */
sm_status sm_pool_for(sm_pool *p, int64_t n, sm_for_fn fn, void *ctx, sm_error *e) SM_MUST_USE;

#endif
