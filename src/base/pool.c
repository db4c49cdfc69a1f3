/* SPDX-License-Identifier: Apache-2.0
 *
 * base/pool.c: workers, drivers that may wait, and loops that idle workers help with.
 *
 * Calls    sm_pool_run() queues its drivers and works along until they are done; a waker, called by
 *          anyone, queues a driver that waits; sm_pool_for() hands out numbers to whoever is idle.
 * Method   One lock, one queue of ready drivers over all runs, one condition for the idle. A step
 *          is a morsel's work (about 1 ms), so the lock is taken some thousand times a second.
 *          Worker numbers are lent for the length of a step, which also bounds the steps at a time
 *          when several runs come with a caller each.
 * States   READY -> RUNNING -> READY | WAITING | DONE. A wake turns WAITING into READY, and RUNNING
 *          into RUNNING_WOKEN, for which SM_WAIT means READY: no wake is lost between a driver's
 *          last look and its answer.
 * Wakers   point at slots that the pool owns and reuses. One that is called after its run has ended
 *          finds the slot free, or wakes a stranger, which costs that one a step: so I/O that is
 *          still under way when a run fails does no harm.
 * Loops    Numbers are handed out in ascending order, so that all below a failed one have been
 *          handed out too and are finished: the smallest failure is known without luck.
 *          A loop's caller waits only for numbers that others work on, never for a free worker,
 *          and so loops nest without deadlock.
 * Source   Leis et al., Morsel-Driven Parallelism, SIGMOD 2014. */
#include "base/pool.h"

#include "base/memory.h"

#define THREADS_MAX    1024
#define CANCEL_LOOK_MS 50 /* how soon a run whose drivers all wait sees that it was cancelled */

typedef enum driver_state {
    DRIVER_FREE, /* a slot that no run uses */
    DRIVER_READY,
    DRIVER_RUNNING,
    DRIVER_RUNNING_WOKEN,
    DRIVER_WAITING,
    DRIVER_DONE,
} driver_state;

typedef struct run run;

typedef struct driver {
    sm_pool *pool; /* set once */
    run *of;
    void *work;
    int index;
    driver_state state;
    struct driver *next; /* in the queue, or among the free slots */
    struct driver *next_made;
} driver;

struct run {
    sm_step_fn step;
    const sm_cancel *cancel;
    int n_left;    /* drivers that have not ended */
    int n_running; /* steps under way */
    bool is_stopping;
    sm_status status;
    int failed_index; /* of the failure that is kept */
    sm_error error;
};

/* A sm_pool_for() under way, on its caller's stack. */
typedef struct loop {
    sm_for_fn fn;
    void *ctx;
    _Atomic int64_t next, end; /* numbers from `end` on are not started */
    int helpers;               /* workers inside, but for the caller */
    sm_cond done;
    sm_status status;
    sm_error error;
    struct loop *next_loop;
} loop;

typedef struct worker {
    sm_pool *pool;
    sm_thread *thread;
} worker;

struct sm_pool {
    sm_mutex lock; /* all below, but for n_threads */
    sm_cond work;  /* a driver became ready, a loop came, a run ended, the pool ends */
    int n_threads;
    bool is_ending;
    int n_idle; /* who waits on `work` */
    int n_runs;
    driver *ready_first, *ready_last;
    driver *slots_free, *slots_made;
    loop *loops;
    int *numbers; /* a stack of the worker numbers that nobody uses */
    int n_numbers;
    worker *workers;
    int n_workers;
};

/* ---- the queue (all with the lock held) ------------------------------------------------------ */

static void queue_push(sm_pool *p, driver *d)
{
    d->state = DRIVER_READY;
    d->next = NULL;
    if (p->ready_last) {
        p->ready_last->next = d;
    } else {
        p->ready_first = d;
    }
    p->ready_last = d;
}

static driver *queue_pop(sm_pool *p)
{
    driver *d = p->ready_first;
    p->ready_first = d->next;
    if (!p->ready_first) {
        p->ready_last = NULL;
    }
    return d;
}

static void queue_remove_run(sm_pool *p, const run *r)
{
    driver *d = p->ready_first;
    p->ready_first = NULL;
    p->ready_last = NULL;
    while (d) {
        driver *next = d->next;
        if (d->of == r) {
            d->state = DRIVER_DONE;
        } else {
            queue_push(p, d);
        }
        d = next;
    }
}

static bool has_work(const sm_pool *p)
{
    return p->loops || (p->ready_first && p->n_numbers > 0);
}

static void signal_idle(sm_pool *p)
{
    if (p->n_idle > 0) {
        sm_cond_signal(&p->work);
    }
}

/* ---- runs (all with the lock held, but for the step itself) ---------------------------------- */

static void stop_run(sm_pool *p, run *r)
{
    r->is_stopping = true;
    queue_remove_run(p, r);
}

static bool run_is_over(const run *r)
{
    return (r->n_left == 0 || r->is_stopping) && r->n_running == 0;
}

static void look_at_cancel(sm_pool *p, run *r)
{
    if (sm_cancel_is_set(r->cancel) && r->n_left > 0 && !r->is_stopping) {
        r->status = sm_fail(&r->error, SM_INTERRUPTED, "interrupted");
        r->failed_index = -1; /* a step that fails because of it says nothing better */
        stop_run(p, r);
    }
}

/* Of the failures that are seen before the run ends the one of the first driver is kept. */
static void keep_failure(sm_pool *p, run *r, const driver *d, sm_status st, const sm_error *e)
{
    if (r->status == SM_OK || d->index < r->failed_index) {
        r->status = st;
        r->failed_index = d->index;
        r->error = *e;
    }
    if (!r->is_stopping) {
        stop_run(p, r);
    }
}

static void settle(sm_pool *p, driver *d, sm_status st, const sm_error *e)
{
    run *r = d->of;
    const bool was_woken = d->state == DRIVER_RUNNING_WOKEN;
    SM_ASSERT(was_woken || d->state == DRIVER_RUNNING);
    switch (st) {
    case SM_OK:
    case SM_WAIT:
        if (r->is_stopping) {
            d->state = DRIVER_DONE;
        } else if (st == SM_OK || was_woken) {
            queue_push(p, d);
        } else {
            d->state = DRIVER_WAITING;
        }
        break;
    case SM_END:
        d->state = DRIVER_DONE;
        r->n_left--;
        break;
    default:
        SM_ASSERT(!sm_status_is_answer(st));
        d->state = DRIVER_DONE;
        keep_failure(p, r, d, st, e);
    }
}

static void wake_driver(void *ctx)
{
    driver *d = ctx;
    sm_pool *p = d->pool;
    sm_mutex_lock(&p->lock);
    if (d->state == DRIVER_WAITING && !d->of->is_stopping) {
        queue_push(p, d);
        signal_idle(p);
    } else if (d->state == DRIVER_RUNNING) {
        d->state = DRIVER_RUNNING_WOKEN;
    }
    sm_mutex_unlock(&p->lock);
}

/* Takes the first ready driver one step on. Gives up the lock meanwhile. */
static void step_one(sm_pool *p)
{
    driver *d = queue_pop(p);
    run *r = d->of;
    look_at_cancel(p, r);
    if (r->is_stopping) {
        d->state = DRIVER_DONE;
        if (run_is_over(r)) {
            sm_cond_broadcast(&p->work);
        }
        return;
    }
    const int number = p->numbers[--p->n_numbers];
    d->state = DRIVER_RUNNING;
    r->n_running++;
    if (has_work(p)) {
        signal_idle(p); /* each that starts looks whether there is more for another */
    }
    sm_mutex_unlock(&p->lock);

    sm_error e = {0};
    const sm_status st = r->step(d->work, number, (sm_waker){wake_driver, d}, &e);

    sm_mutex_lock(&p->lock);
    p->numbers[p->n_numbers++] = number;
    r->n_running--;
    settle(p, d, st, &e);
    if (run_is_over(r)) {
        sm_cond_broadcast(&p->work); /* its caller is one of those who wait */
    }
}

/* ---- loops ----------------------------------------------------------------------------------- */

/* Without the lock. Takes up to `max` numbers. */
static void work_on_loop(sm_pool *p, loop *l, int64_t max)
{
    sm_error e = {0};
    for (int64_t taken = 0; taken < max; taken++) {
        const int64_t i = atomic_fetch_add_explicit(&l->next, 1, memory_order_relaxed);
        if (i >= atomic_load_explicit(&l->end, memory_order_relaxed)) {
            return;
        }
        const sm_status st = l->fn(l->ctx, i, &e);
        if (st == SM_OK) {
            continue;
        }
        SM_ASSERT(!sm_status_is_answer(st));
        sm_mutex_lock(&p->lock);
        if (i < atomic_load_explicit(&l->end, memory_order_relaxed)) {
            atomic_store_explicit(&l->end, i, memory_order_relaxed);
            l->status = st;
            l->error = e;
        }
        sm_mutex_unlock(&p->lock);
    }
}

static bool loop_has_numbers(const loop *l)
{
    return atomic_load_explicit(&l->next, memory_order_relaxed) <
           atomic_load_explicit(&l->end, memory_order_relaxed);
}

/* With the lock held. */
static void loop_unlink(sm_pool *p, const loop *l)
{
    for (loop **at = &p->loops; *at; at = &(*at)->next_loop) {
        if (*at == l) {
            *at = l->next_loop;
            return;
        }
    }
}

/* With the lock held, which it gives up meanwhile. A loop that has no numbers left is taken off the
 * list, so that nobody looks at it again. */
static void help_loop(sm_pool *p, int64_t max)
{
    loop *l = p->loops;
    if (!loop_has_numbers(l)) {
        loop_unlink(p, l);
        return;
    }
    l->helpers++;
    signal_idle(p);
    sm_mutex_unlock(&p->lock);
    work_on_loop(p, l, max);
    sm_mutex_lock(&p->lock);
    if (--l->helpers == 0) {
        sm_cond_signal(&l->done);
    }
}

static sm_status run_loop_alone(int64_t n, sm_for_fn fn, void *ctx, sm_error *e)
{
    for (int64_t i = 0; i < n; i++) {
        SM_TRY(fn(ctx, i, e));
    }
    return SM_OK;
}

sm_status sm_pool_for(sm_pool *p, int64_t n, sm_for_fn fn, void *ctx, sm_error *e)
{
    if (n <= 1 || p->n_threads == 1) {
        return run_loop_alone(n, fn, ctx, e);
    }
    loop l = {.fn = fn, .ctx = ctx, .next = 0, .end = n, .status = SM_OK};
    sm_cond_init(&l.done);

    sm_mutex_lock(&p->lock);
    l.next_loop = p->loops; /* the innermost loop first: its caller is held up most */
    p->loops = &l;
    signal_idle(p);
    sm_mutex_unlock(&p->lock);

    work_on_loop(p, &l, INT64_MAX);

    sm_mutex_lock(&p->lock);
    loop_unlink(p, &l);
    while (l.helpers > 0) {
        sm_cond_wait(&l.done, &p->lock);
    }
    sm_mutex_unlock(&p->lock);
    sm_cond_release(&l.done);
    if (l.status != SM_OK && e) {
        *e = l.error;
    }
    return l.status;
}

/* ---- threads --------------------------------------------------------------------------------- */

/* With the lock held. Works once, on no more than `max_numbers` of a loop, or waits once; wait_ms
 * < 0: without end. */
static void work_or_wait(sm_pool *p, int64_t max_numbers, int64_t wait_ms)
{
    if (p->loops) {
        help_loop(p, max_numbers);
    } else if (has_work(p)) {
        step_one(p);
    } else {
        p->n_idle++;
        if (wait_ms < 0) {
            sm_cond_wait(&p->work, &p->lock);
        } else {
            sm_cond_wait_ms(&p->work, &p->lock, wait_ms);
        }
        p->n_idle--;
    }
}

static void worker_main(void *ctx)
{
    sm_pool *p = ((worker *)ctx)->pool;
    sm_mutex_lock(&p->lock);
    while (!p->is_ending) {
        work_or_wait(p, INT64_MAX, -1);
    }
    sm_mutex_unlock(&p->lock);
}

sm_status sm_pool_new(int n_threads, sm_pool **out, sm_error *e)
{
    if (n_threads < 1 || n_threads > THREADS_MAX) {
        return sm_fail(e, SM_RANGE, "cannot work with %d threads, only with 1 to %d", n_threads,
                       THREADS_MAX);
    }
    sm_pool *p = sm_alloc_zero(sizeof(*p));
    sm_mutex_init(&p->lock);
    sm_cond_init(&p->work);
    p->n_threads = n_threads;
    p->numbers = sm_alloc((size_t)n_threads * sizeof(*p->numbers));
    p->workers = sm_alloc_zero((size_t)n_threads * sizeof(*p->workers));
    for (int i = n_threads - 1; i >= 0; i--) {
        p->numbers[p->n_numbers++] = i; /* 0 is lent first */
    }
    for (int i = 0; i < n_threads - 1; i++) {
        worker *w = &p->workers[i];
        w->pool = p;
        const sm_status st = sm_thread_start(worker_main, w, "smelt-worker", &w->thread, e);
        if (st != SM_OK) {
            sm_pool_free(p);
            return st;
        }
        p->n_workers++;
    }
    *out = p;
    return SM_OK;
}

void sm_pool_free(sm_pool *p)
{
    if (!p) {
        return;
    }
    sm_mutex_lock(&p->lock);
    SM_ASSERT(p->n_runs == 0 && !p->loops);
    p->is_ending = true;
    sm_cond_broadcast(&p->work);
    sm_mutex_unlock(&p->lock);
    for (int i = 0; i < p->n_workers; i++) {
        sm_thread_join(p->workers[i].thread);
    }
    while (p->slots_made) {
        driver *next = p->slots_made->next_made;
        sm_free(p->slots_made);
        p->slots_made = next;
    }
    sm_cond_release(&p->work);
    sm_mutex_release(&p->lock);
    sm_free(p->workers);
    sm_free(p->numbers);
    sm_free(p);
}

int sm_pool_threads(const sm_pool *p)
{
    return p->n_threads;
}

/* ---- a run ----------------------------------------------------------------------------------- */

static driver *slot_take(sm_pool *p)
{
    driver *d = p->slots_free;
    if (d) {
        p->slots_free = d->next;
        return d;
    }
    d = sm_alloc_zero(sizeof(*d));
    d->pool = p;
    d->next_made = p->slots_made;
    p->slots_made = d;
    return d;
}

static void slot_give(sm_pool *p, driver *d)
{
    d->state = DRIVER_FREE;
    d->of = NULL;
    d->work = NULL;
    d->next = p->slots_free;
    p->slots_free = d;
}

static void queue_drivers(sm_pool *p, run *r, void *const *drivers, int n, driver **slots)
{
    for (int i = 0; i < n; i++) {
        driver *d = slot_take(p);
        d->of = r;
        d->work = drivers[i];
        d->index = i;
        slots[i] = d;
        queue_push(p, d);
    }
    p->n_runs++;
    signal_idle(p);
}

sm_status sm_pool_run(sm_pool *p, sm_step_fn step, void *const *drivers, int n,
                      const sm_cancel *cancel, sm_error *e)
{
    SM_ASSERT(n >= 0);
    run r = {.step = step, .cancel = cancel, .n_left = n, .status = SM_OK};
    driver **slots = sm_alloc((size_t)n * sizeof(driver *));

    sm_mutex_lock(&p->lock);
    queue_drivers(p, &r, drivers, n, slots);
    for (;;) {
        look_at_cancel(p, &r);
        if (run_is_over(&r)) {
            break;
        }
        /* One number at a time: a stranger's long loop must not keep this run from its end. */
        work_or_wait(p, 1, cancel && !r.is_stopping ? CANCEL_LOOK_MS : -1);
    }
    for (int i = 0; i < n; i++) {
        slot_give(p, slots[i]);
    }
    p->n_runs--;
    if (has_work(p)) {
        signal_idle(p); /* a signal that came to this caller was meant for others */
    }
    sm_mutex_unlock(&p->lock);
    sm_free(slots);
    if (r.status != SM_OK && e) {
        *e = r.error;
    }
    return r.status;
}

/* ---- pauses ---------------------------------------------------------------------------------- */

void sm_pause_init(sm_pause *p)
{
    p->is_woken = false;
    sm_mutex_init(&p->lock);
    sm_cond_init(&p->woken);
}

void sm_pause_release(sm_pause *p)
{
    sm_cond_release(&p->woken);
    sm_mutex_release(&p->lock);
}

static void wake_pause(void *ctx)
{
    sm_pause *p = ctx;
    sm_mutex_lock(&p->lock);
    p->is_woken = true;
    sm_cond_signal(&p->woken);
    sm_mutex_unlock(&p->lock);
}

sm_waker sm_pause_waker(sm_pause *p)
{
    return (sm_waker){wake_pause, p};
}

void sm_pause_wait(sm_pause *p)
{
    sm_mutex_lock(&p->lock);
    while (!p->is_woken) {
        sm_cond_wait(&p->woken, &p->lock);
    }
    p->is_woken = false;
    sm_mutex_unlock(&p->lock);
}
