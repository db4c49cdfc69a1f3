/* SPDX-License-Identifier: Apache-2.0
 *
 * base/thread.c: locks, conditions and threads over pthread. A lock that fails is a mistake in our
 * code and ends the process (SM_ENSURE). Waits use the monotonic clock, so that setting the
 * system's time does not lengthen them. */
#include "base/thread.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/memory.h"
#include "base/time.h"

struct sm_thread {
    pthread_t os;
    void (*run)(void *ctx);
    void *ctx;
    char name[16]; /* the system's bound, NUL included */
};

void sm_mutex_init(sm_mutex *m)
{
    const int failed = pthread_mutex_init(&m->os, NULL);
    SM_ENSURE(failed == 0);
}

void sm_mutex_release(sm_mutex *m)
{
    const int failed = pthread_mutex_destroy(&m->os);
    SM_ENSURE(failed == 0);
}

void sm_mutex_lock(sm_mutex *m)
{
    const int failed = pthread_mutex_lock(&m->os);
    SM_ENSURE(failed == 0);
}

void sm_mutex_unlock(sm_mutex *m)
{
    const int failed = pthread_mutex_unlock(&m->os);
    SM_ENSURE(failed == 0);
}

void sm_cond_init(sm_cond *c)
{
    pthread_condattr_t attr;
    int failed = pthread_condattr_init(&attr);
    failed |= pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    failed |= pthread_cond_init(&c->os, &attr);
    SM_ENSURE(failed == 0);
    pthread_condattr_destroy(&attr);
}

void sm_cond_release(sm_cond *c)
{
    const int failed = pthread_cond_destroy(&c->os);
    SM_ENSURE(failed == 0);
}

void sm_cond_wait(sm_cond *c, sm_mutex *m)
{
    const int failed = pthread_cond_wait(&c->os, &m->os);
    SM_ENSURE(failed == 0);
}

bool sm_cond_wait_ms(sm_cond *c, sm_mutex *m, int64_t wait_ms)
{
    const int64_t day_ms = 86400000; /* keeps the sums below far from an overflow */
    const int64_t ms = wait_ms < 0 ? 0 : wait_ms > day_ms ? day_ms : wait_ms;
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += ms / 1000;
    until.tv_nsec += ms % 1000 * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    const int failed = pthread_cond_timedwait(&c->os, &m->os, &until);
    SM_ENSURE(failed == 0 || failed == ETIMEDOUT);
    return failed == 0;
}

void sm_cond_signal(sm_cond *c)
{
    pthread_cond_signal(&c->os); /* cannot fail */
}

void sm_cond_broadcast(sm_cond *c)
{
    pthread_cond_broadcast(&c->os); /* cannot fail */
}

static void *thread_main(void *ctx)
{
    sm_thread *t = ctx;
    pthread_setname_np(pthread_self(), t->name); /* for debuggers only: a failure is harmless */
    t->run(t->ctx);
    return NULL;
}

sm_status sm_thread_start(void (*run)(void *ctx), void *ctx, const char *name, sm_thread **out,
                          sm_error *e)
{
    sm_thread *t = sm_alloc_zero(sizeof(*t));
    SM_ASSERT(strlen(name) < sizeof(t->name)); /* the system refuses longer ones */
    t->run = run;
    t->ctx = ctx;
    snprintf(t->name, sizeof(t->name), "%.15s", name);

    /* A new thread inherits the signal mask of the thread that makes it. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int failed = pthread_create(&t->os, NULL, thread_main, t);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed) {
        sm_free(t);
        return sm_fail_errno(e, failed, "could not start thread \"%s\"", name);
    }
    *out = t;
    return SM_OK;
}

void sm_thread_join(sm_thread *t)
{
    const int failed = pthread_join(t->os, NULL);
    SM_ENSURE(failed == 0);
    sm_free(t);
}

/* ---- watching -------------------------------------------------------------------------------- */

/* This thread's last look: for which watch, and when. */
static _Thread_local const sm_watch *looked_for;
static _Thread_local int64_t looked_ns;

static int64_t thread_cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void sm_watch_start(sm_watch *w)
{
    atomic_store(&w->longest_ns, 0);
    looked_for = w;
    looked_ns = thread_cpu_ns();
}

void sm_watch_look(sm_watch *w)
{
    const int64_t now_ns = thread_cpu_ns();
    int64_t longest_ns = atomic_load(&w->longest_ns);
    if (looked_for == w) {
        while (now_ns - looked_ns > longest_ns &&
               !atomic_compare_exchange_weak(&w->longest_ns, &longest_ns, now_ns - looked_ns)) {
        }
    }
    looked_for = w;
    looked_ns = now_ns;
}

bool sm_cancel_is_over(const sm_cancel *c)
{
    const int64_t at = atomic_load_explicit(&((sm_cancel *)c)->deadline_ns, memory_order_relaxed);

    return sm_cancel_is_set(c->above) || (at != 0 && sm_monotonic_ns() >= at);
}
