/* SPDX-License-Identifier: Apache-2.0
 *
 * base/pool.c: workers, drivers that may wait, and loops that idle workers help with.
 *
 * Calls    sm_pool_run() queues its drivers, which are a *group* here, and works on ready drivers
 *          until the group is done. A waker, called by any thread, queues a driver that waits.
 *          sm_pool_for() shares its numbers with the workers that are idle.
 * Method   One lock, one queue of ready drivers for all groups, one condition for idle workers. A
 *          step is a morsel's work (about 1 ms), so the lock is taken about a thousand times a
 *          second. A worker number is lent for one step; there are as many as workers, so callers
 *          of several groups cannot run more steps at a time than that.
 * States   READY -> RUNNING -> READY | WAITING | DONE. A wake turns WAITING into READY. It turns
 *          RUNNING into RUNNING_WOKEN, from which SM_WAIT leads to READY: so a wake between the
 *          driver's last look and its return is not lost.
 * Wakers   point at driver slots that the pool owns and reuses. A waker that is called after its
 *          group has ended finds the slot free, or wakes the slot's new driver, which then takes
 *          one step too many. So I/O that is still under way when a group fails does no harm.
 * Loops    Numbers are handed out in ascending order. When one fails, all smaller ones have been
 *          handed out and will be finished, so the smallest failure is always found.
 *          A loop's caller waits only for numbers that others work on, never for a free worker;
 *          so loops may nest without deadlock.
 * Source   Leis et al., Morsel-Driven Parallelism, SIGMOD 2014. */
#include "base/pool.h"

#include "base/memory.h"

#define THREADS_MAX 1024
/* How often a group whose drivers all wait looks whether it is cancelled. */
#define CANCEL_LOOK_MS 50

typedef enum driver_state {
    DRIVER_FREE, /* a slot that no group uses */
    DRIVER_READY,
    DRIVER_RUNNING,
    DRIVER_RUNNING_WOKEN,
    DRIVER_WAITING,
    DRIVER_DONE,
} driver_state;

typedef struct group group;

typedef struct driver {
    sm_pool *pool; /* set once */
    group *of;
    void *work;
    int index;
    driver_state state;
    struct driver *next;      /* in the queue, or among the free slots */
    struct driver *next_made; /* all slots of the pool */
} driver;

/* The drivers of one sm_pool_run(), on its caller's stack. */
struct group {
    sm_step_fn step;
    const sm_cancel *cancel;
    int n_left;    /* drivers that have not ended */
    int n_running; /* steps under way */
    bool is_stopping;
    sm_status status;
    int failed_index; /* the driver whose failure is in status and error; −1: cancelled */
    sm_error error;
};

/* A sm_pool_for() under way, on its caller's stack. */
typedef struct loop {
    sm_for_fn fn;
    void *ctx;
    _Atomic int64_t next, end; /* numbers from `end` on are not started */
    int helpers;               /* workers inside, without the caller */
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
    sm_mutex lock;  /* guards all below; n_threads does not change */
    sm_cond work;   /* a driver is ready, a loop was added, a group is over, or the pool ends */
    sm_cond midway; /* a driver was woken during its step, or a loop was added */
    int n_threads;
    bool is_ending;
    int n_idle;   /* threads that wait on `work` */
    int n_midway; /* threads that wait on `midway`, within a step */
    int n_leaves;
    int n_groups;
    driver *ready_first, *ready_last;
    driver *slots_free, *slots_made;
    loop *loops;
    int *numbers; /* a stack of the worker numbers that are not lent */
    int n_numbers;
    worker *workers;
    int n_workers;
};

/* ---- the queue (all with the lock held) ------------------------------------------------------ */

static void queue_push(sm_pool *p, driver *d)
{
    SM_ASSERT(d->of && d->state != DRIVER_DONE);
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
    SM_ASSERT(d->state ==
              DRIVER_READY); /* a driver that is queued twice would run twice at a time */
    p->ready_first = d->next;
    if (!p->ready_first) {
        p->ready_last = NULL;
    }
    return d;
}

static void queue_remove_group(sm_pool *p, const group *g)
{
    driver *d = p->ready_first;
    p->ready_first = NULL;
    p->ready_last = NULL;
    while (d) {
        driver *next = d->next;
        if (d->of == g) {
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

static void signal_midway(sm_pool *p)
{
    if (p->n_midway > 0) {
        sm_cond_broadcast(&p->midway);
    }
}

/* ---- groups (with the lock held, which only the step itself gives up) ------------------------ */

static void stop_group(sm_pool *p, group *g)
{
    g->is_stopping = true;
    queue_remove_group(p, g);
}

static bool group_is_over(const group *g)
{
    return (g->n_left == 0 || g->is_stopping) && g->n_running == 0;
}

static void look_at_cancel(sm_pool *p, group *g)
{
    if (sm_cancel_is_set(g->cancel) && g->n_left > 0 && !g->is_stopping) {
        g->status = sm_fail(&g->error, SM_INTERRUPTED, "interrupted");
        g->failed_index = -1; /* the failure of a step that saw the flag too says nothing better */
        stop_group(p, g);
    }
}

/* Keeps a failure, unless an earlier driver of the group has failed too. */
static void keep_failure(sm_pool *p, group *g, const driver *d, sm_status st, const sm_error *e)
{
    if (g->status == SM_OK || d->index < g->failed_index) {
        g->status = st;
        g->failed_index = d->index;
        g->error = *e;
    }
    if (!g->is_stopping) {
        stop_group(p, g);
    }
}

/* Sets a driver's next state by what its step returned. */
static void settle_driver(sm_pool *p, driver *d, sm_status st, const sm_error *e)
{
    group *g = d->of;
    const bool was_woken = d->state == DRIVER_RUNNING_WOKEN;
    SM_ASSERT(was_woken || d->state == DRIVER_RUNNING);
    switch (st) {
    case SM_OK:
    case SM_WAIT:
        if (g->is_stopping) {
            d->state = DRIVER_DONE;
        } else if (st == SM_OK || was_woken) {
            queue_push(p, d);
        } else {
            d->state = DRIVER_WAITING;
        }
        break;
    case SM_END:
        SM_ASSERT(g->n_left > 0);
        d->state = DRIVER_DONE;
        g->n_left--;
        break;
    default:
        SM_ASSERT(!sm_status_is_answer(st));
        d->state = DRIVER_DONE;
        keep_failure(p, g, d, st, e);
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
        signal_midway(p);
    }
    sm_mutex_unlock(&p->lock);
}

/* Runs one step of the first ready driver, without the lock. */
static void step_one(sm_pool *p)
{
    driver *d = queue_pop(p);
    group *g = d->of;
    look_at_cancel(p, g);
    if (g->is_stopping) {
        d->state = DRIVER_DONE;
        if (group_is_over(g)) {
            sm_cond_broadcast(&p->work);
        }
        return;
    }
    SM_ASSERT(p->n_numbers > 0 && p->n_numbers <= p->n_threads);
    const int number = p->numbers[--p->n_numbers];
    d->state = DRIVER_RUNNING;
    g->n_running++;
    if (has_work(p)) {
        signal_idle(p); /* each worker that starts wakes the next one if there is more work */
    }
    sm_mutex_unlock(&p->lock);

    sm_error e = {0};
    const sm_status st = g->step(d->work, number, (sm_waker){wake_driver, d}, &e);

    sm_mutex_lock(&p->lock);
    SM_ASSERT(d->of == g && g->n_running > 0); /* the group did not end during its step */
    p->numbers[p->n_numbers++] = number;
    g->n_running--;
    settle_driver(p, d, st, &e);
    if (group_is_over(g)) {
        sm_cond_broadcast(&p->work); /* the group's caller may be one of those that wait */
    }
}

/* ---- loops ----------------------------------------------------------------------------------- */

/* Calls the loop's function for up to `max` numbers. Without the lock. */
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

/* Works on the first loop. With the lock held, which it gives up during the work. A loop without
 * numbers left is taken off the list, so that nobody tries it again. */
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
    SM_ASSERT(l->helpers > 0);
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
    l.next_loop = p->loops; /* the newest loop first: outer loops wait for inner ones */
    p->loops = &l;
    signal_idle(p);
    signal_midway(p);
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

/* ---- waiting within a step ------------------------------------------------------------------- */

bool sm_pool_wait(sm_waker own)
{
    driver *d = own.ctx;
    sm_pool *p = d->pool;
    SM_ASSERT(own.wake == wake_driver);

    sm_mutex_lock(&p->lock);
    group *g = d->of;
    SM_ASSERT(d->state == DRIVER_RUNNING || d->state == DRIVER_RUNNING_WOKEN);
    look_at_cancel(p, g);
    while (d->state == DRIVER_RUNNING && !g->is_stopping) {
        if (p->loops) {
            help_loop(p, 1);
        } else {
            p->n_midway++;
            sm_cond_wait_ms(&p->midway, &p->lock, CANCEL_LOOK_MS);
            p->n_midway--;
        }
        look_at_cancel(p, g);
    }
    d->state = DRIVER_RUNNING; /* the wake is used up */
    const bool goes_on = !g->is_stopping;
    sm_mutex_unlock(&p->lock);
    return goes_on;
}

bool sm_pool_take_leave(sm_pool *p)
{
    sm_mutex_lock(&p->lock);
    const bool may = p->n_leaves + 1 < p->n_threads;
    p->n_leaves += may;
    sm_mutex_unlock(&p->lock);
    return may;
}

void sm_pool_end_leave(sm_pool *p)
{
    sm_mutex_lock(&p->lock);
    SM_ASSERT(p->n_leaves > 0);
    p->n_leaves--;
    sm_mutex_unlock(&p->lock);
}

/* ---- threads --------------------------------------------------------------------------------- */

/* With the lock held. Works on at most `max_numbers` of a loop, or on one step, or waits once for
 * wait_ms; wait_ms < 0: until there is work. */
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
    sm_cond_init(&p->midway);
    p->n_threads = n_threads;
    p->numbers = sm_alloc((size_t)n_threads * sizeof(*p->numbers));
    p->workers = sm_alloc_zero((size_t)n_threads * sizeof(*p->workers));
    for (int i = n_threads - 1; i >= 0; i--) {
        p->numbers[p->n_numbers++] = i; /* 0 is the first to be lent */
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
    SM_ASSERT(p->n_groups == 0 && !p->loops && p->n_leaves == 0);
    SM_ASSERT(!p->ready_first && p->n_numbers == p->n_threads);
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
    sm_cond_release(&p->midway);
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

/* ---- sm_pool_run ----------------------------------------------------------------------------- */

static driver *slot_take(sm_pool *p)
{
    driver *d = p->slots_free;
    if (d) {
        SM_ASSERT(d->state == DRIVER_FREE && !d->of);
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
    /* Not queued and not in a step: only a group that stops leaves drivers that wait. */
    SM_ASSERT(d->state == DRIVER_DONE || (d->state == DRIVER_WAITING && d->of->is_stopping));
    d->state = DRIVER_FREE;
    d->of = NULL;
    d->work = NULL;
    d->next = p->slots_free;
    p->slots_free = d;
}

static void queue_drivers(sm_pool *p, group *g, void *const *drivers, int n, driver **slots)
{
    for (int i = 0; i < n; i++) {
        driver *d = slot_take(p);
        d->of = g;
        d->work = drivers[i];
        d->index = i;
        slots[i] = d;
        queue_push(p, d);
    }
    p->n_groups++;
    signal_idle(p);
}

sm_status sm_pool_run(sm_pool *p, sm_step_fn step, void *const *drivers, int n,
                      const sm_cancel *cancel, sm_error *e)
{
    SM_ASSERT(n >= 0);
    group g = {.step = step, .cancel = cancel, .n_left = n, .status = SM_OK};
    driver **slots = sm_alloc((size_t)n * sizeof(driver *));

    sm_mutex_lock(&p->lock);
    queue_drivers(p, &g, drivers, n, slots);
    for (;;) {
        look_at_cancel(p, &g);
        if (group_is_over(&g)) {
            break;
        }
        /* One number at a time: another group's long loop must not delay the end of this one. */
        work_or_wait(p, 1, cancel && !g.is_stopping ? CANCEL_LOOK_MS : -1);
    }
    SM_ASSERT((g.status == SM_OK) == !g.is_stopping);
    for (int i = 0; i < n; i++) {
        slot_give(p, slots[i]);
    }
    p->n_groups--;
    if (has_work(p)) {
        signal_idle(p); /* this caller may have received a signal that was meant for a worker */
    }
    sm_mutex_unlock(&p->lock);
    sm_free(slots);
    if (g.status != SM_OK && e) {
        *e = g.error;
    }
    return g.status;
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
