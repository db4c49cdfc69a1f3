/* SPDX-License-Identifier: Apache-2.0
 *
 * base/pool.h: the worker threads, and how work that may have to wait shares them.
 *
 * A *driver* is a piece of work cut into steps. A step does at most a morsel's work and says:
 *   SM_OK    there is more to do now
 *   SM_END   this driver is finished
 *   SM_WAIT  nothing to do until its waker is called (it may already have been: no wake is lost)
 *   error    the whole run ends; other drivers are not stepped again
 * Workers take ready drivers from one queue, so a driver that waits costs no thread. */
#ifndef SM_BASE_POOL_H
#define SM_BASE_POOL_H

#include "base/status.h"
#include "base/thread.h"

/* Calls back whoever said SM_WAIT; from any thread, any number of times. Copied by value. A pool's
 * waker is good until the pool is freed: after its run has returned it does nothing, or at most
 * makes another driver take a step for nothing, which every driver must bear. */
typedef struct sm_waker {
    void (*wake)(void *ctx);
    void *ctx;
} sm_waker;
static inline void sm_wake(sm_waker w)
{
    if (w.wake) {
        w.wake(w.ctx);
    }
}

/* For a thread that may block: it waits until its waker was called. */
typedef struct sm_pause {
    sm_mutex lock;
    sm_cond woken;
    bool is_woken;
} sm_pause;

void sm_pause_init(sm_pause *p);
void sm_pause_release(sm_pause *p);
sm_waker sm_pause_waker(sm_pause *p);
/** Returns when it was called since the last time. */
void sm_pause_wait(sm_pause *p);

typedef struct sm_pool sm_pool;

/** 1 to 1,024 workers; the caller of a run is one of them, so n − 1 threads are started.
 * SM_RANGE for other numbers. */
sm_status sm_pool_new(int n_threads, sm_pool **out, sm_error *e) SM_MUST_USE;
void sm_pool_free(sm_pool *p);
int sm_pool_threads(const sm_pool *p);

typedef sm_status (*sm_step_fn)(void *driver, int worker, sm_waker waker, sm_error *e);

/**
 * Runs n drivers to their end; the caller works along.
 *
 * Owner     borrows `drivers` (n pointers, each given to `step`)
 * Returns   SM_OK when all ended; the first failure, of several at once that of the first driver;
 *           SM_INTERRUPTED when `cancel` was set (may be NULL). No step is running any more when it
 *           returns.
 * Threads   any thread, several runs at once; `worker` is 0 … threads − 1 and unique among the
 *           steps that run at the same moment in this pool. May not be called from within a step
 *           (use sm_pool_for() there).
 */
sm_status sm_pool_run(sm_pool *p, sm_step_fn step, void *const *drivers, int n,
                      const sm_cancel *cancel, sm_error *e) SM_MUST_USE;

typedef sm_status (*sm_for_fn)(void *ctx, int64_t i, sm_error *e);

/** Calls fn for i = 0 … n − 1 on the caller and on workers that are idle; also from within a step.
 * Returns the failure of the smallest i that failed. */
sm_status sm_pool_for(sm_pool *p, int64_t n, sm_for_fn fn, void *ctx, sm_error *e) SM_MUST_USE;

#endif
