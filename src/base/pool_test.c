/* SPDX-License-Identifier: Apache-2.0
 *
 * base/pool_test.c: runs, wakes, failures, cancelling and loops, at several numbers of threads.
 * Runs under ThreadSanitizer as well. */
#include "test.h"

#include <stdlib.h>

#include "base/memory.h"
#include "base/pool.h"
#include "base/time.h"

static const int thread_counts[] = {1, 2, 3, 8};

static sm_pool *new_pool(int n_threads)
{
    sm_error e = {0};
    sm_pool *p = NULL;
    assert_ok(sm_pool_new(n_threads, &p, &e), &e);
    assert_int_equal(sm_pool_threads(p), n_threads);
    return p;
}

/* ---- runs ------------------------------------------------------------------------------------ */

typedef struct counter {
    int steps, want;
    int n_threads;
    atomic_int *in_use; /* a flag a worker number */
    bool was_wrong;
} counter;

static sm_status count_step(void *driver, int worker, sm_waker waker, sm_error *e)
{
    counter *c = driver;
    if (worker < 0 || worker >= c->n_threads || atomic_fetch_add(&c->in_use[worker], 1) != 0) {
        c->was_wrong = true;
        return SM_OK;
    }
    const bool more = ++c->steps < c->want; /* unguarded: one step of a driver at a time */
    atomic_fetch_sub(&c->in_use[worker], 1);
    return more ? SM_OK : SM_END;
}

static void test_all_drivers_end(void **state)
{
    for (int t = 0; t < SM_COUNT(thread_counts); t++) {
        sm_error e = {0};
        sm_pool *p = new_pool(thread_counts[t]);
        atomic_int in_use[8] = {0};
        counter c[20] = {0};
        void *drivers[20];
        for (int i = 0; i < 20; i++) {
            c[i] = (counter){.want = i * 10 + 1, .n_threads = thread_counts[t], .in_use = in_use};
            drivers[i] = &c[i];
        }
        assert_ok(sm_pool_run(p, count_step, drivers, 20, NULL, &e), &e);
        for (int i = 0; i < 20; i++) {
            assert_int_equal(c[i].steps, c[i].want);
            assert_false(c[i].was_wrong);
        }
        assert_ok(sm_pool_run(p, count_step, NULL, 0, NULL, &e), &e);
        sm_pool_free(p);
    }
}

typedef struct many_runs {
    sm_pool *pool;
    atomic_int *in_use;
    sm_status st;
    bool was_wrong;
} many_runs;

static void run_some(void *ctx)
{
    many_runs *m = ctx;
    for (int round = 0; round < 30 && m->st == SM_OK; round++) {
        counter c[5] = {0};
        void *drivers[5];
        for (int i = 0; i < 5; i++) {
            c[i] = (counter){.want = 7, .n_threads = sm_pool_threads(m->pool), .in_use = m->in_use};
            drivers[i] = &c[i];
        }
        m->st = sm_pool_run(m->pool, count_step, drivers, 5, NULL, NULL);
        for (int i = 0; i < 5; i++) {
            m->was_wrong |= c[i].was_wrong || c[i].steps != 7;
        }
    }
}

/* More callers than workers: the numbers stay unique, every run ends. */
static void test_runs_at_once(void **state)
{
    for (int t = 0; t < SM_COUNT(thread_counts); t++) {
        sm_error e = {0};
        sm_pool *p = new_pool(thread_counts[t]);
        atomic_int in_use[8] = {0};
        many_runs m[4];
        sm_thread *threads[4];
        for (int i = 0; i < 4; i++) {
            m[i] = (many_runs){.pool = p, .in_use = in_use, .st = SM_OK};
            assert_ok(sm_thread_start(run_some, &m[i], "caller", &threads[i], &e), &e);
        }
        for (int i = 0; i < 4; i++) {
            sm_thread_join(threads[i]);
            assert_int_equal(m[i].st, SM_OK);
            assert_false(m[i].was_wrong);
        }
        sm_pool_free(p);
    }
}

static void test_bad_counts(void **state)
{
    sm_error e = {0};
    sm_pool *p = NULL;
    assert_status(sm_pool_new(0, &p, &e), SM_RANGE, &e);
    assert_status(sm_pool_new(1025, &p, &e), SM_RANGE, &e);
    assert_null(p);
    sm_pool_free(NULL);
}

/* ---- waiting --------------------------------------------------------------------------------- */

/* A consumer says SM_WAIT when its inbox is empty; a thread outside fills inboxes and wakes. */
typedef struct inbox {
    sm_mutex lock;
    sm_waker waker; /* set while the consumer waits */
    int64_t items, taken, want;
    int wakes; /* besides the needed one */
} inbox;

static sm_status consume_step(void *driver, int worker, sm_waker waker, sm_error *e)
{
    inbox *in = driver;
    sm_mutex_lock(&in->lock);
    in->taken += in->items;
    in->items = 0;
    const bool is_done = in->taken == in->want;
    in->waker = is_done ? (sm_waker){0} : waker;
    sm_mutex_unlock(&in->lock);
    return is_done ? SM_END : SM_WAIT; /* a wake may come before the pool reads this answer */
}

typedef struct producer {
    inbox *in;
    int n;
} producer;

static void produce(void *ctx)
{
    producer *pr = ctx;
    for (int64_t left = INT64_MAX; left > 0;) {
        left = 0;
        for (int i = 0; i < pr->n; i++) {
            inbox *in = &pr->in[i];
            sm_mutex_lock(&in->lock);
            const int64_t missing = in->want - in->taken - in->items;
            const bool gives = missing > 0;
            in->items += gives;
            left += gives ? missing - 1 : 0;
            const sm_waker waker = in->waker;
            in->waker = (sm_waker){0};
            sm_mutex_unlock(&in->lock);
            if (gives) {
                sm_wake(waker); /* good for ever: exactly one wake an item that is waited for */
            }
            if (gives && in->wakes > 0) {
                sm_wake(waker); /* and some that nobody needs */
            }
        }
    }
}

static void test_no_wake_is_lost(void **state)
{
    for (int t = 0; t < SM_COUNT(thread_counts); t++) {
        for (int extra = 0; extra < 2; extra++) {
            sm_error e = {0};
            sm_pool *p = new_pool(thread_counts[t]);
            inbox in[6];
            void *drivers[6];
            for (int i = 0; i < 6; i++) {
                in[i] = (inbox){.want = 300, .wakes = extra};
                sm_mutex_init(&in[i].lock);
                drivers[i] = &in[i];
            }
            producer pr = {.in = in, .n = 6};
            sm_thread *thread = NULL;
            assert_ok(sm_thread_start(produce, &pr, "producer", &thread, &e), &e);
            assert_ok(sm_pool_run(p, consume_step, drivers, 6, NULL, &e), &e);
            sm_thread_join(thread);
            for (int i = 0; i < 6; i++) {
                assert_int_equal(in[i].taken, 300);
                sm_mutex_release(&in[i].lock);
            }
            sm_pool_free(p);
        }
    }
}

typedef struct self_waker {
    int steps;
} self_waker;

static sm_status wake_self_step(void *driver, int worker, sm_waker waker, sm_error *e)
{
    self_waker *s = driver;
    sm_wake(waker); /* before the answer: it may already have been called */
    sm_wake(waker);
    return ++s->steps < 100 ? SM_WAIT : SM_END;
}

static void test_wake_within_step(void **state)
{
    sm_error e = {0};
    sm_pool *p = new_pool(2);
    self_waker s = {0};
    void *drivers[] = {&s};
    assert_ok(sm_pool_run(p, wake_self_step, drivers, 1, NULL, &e), &e);
    assert_int_equal(s.steps, 100);
    sm_wake((sm_waker){0}); /* an empty one may be called */
    sm_pool_free(p);
}

/* Waits in the midst of its step, several times. */
typedef struct midway {
    sm_pool *pool;
    inbox *in;
    bool was_stopped;
} midway;

static sm_status midway_step(void *driver, int worker, sm_waker waker, sm_error *e)
{
    midway *m = driver;
    while (m->in->taken < m->in->want) {
        sm_mutex_lock(&m->in->lock);
        const bool has = m->in->items > 0;
        m->in->items -= has;
        m->in->taken += has;
        m->in->waker = waker;
        sm_mutex_unlock(&m->in->lock);
        if (!has && !sm_pool_wait(waker)) {
            m->was_stopped = true;
            return SM_OK;
        }
    }
    return SM_END;
}

static void test_wait_within_step(void **state)
{
    for (int t = 0; t < SM_COUNT(thread_counts); t++) {
        sm_error e = {0};
        sm_pool *p = new_pool(thread_counts[t]);
        inbox in[6];
        midway m[6];
        void *drivers[6];
        for (int i = 0; i < 6; i++) {
            in[i] = (inbox){.want = 100, .wakes = i % 2};
            m[i] = (midway){.pool = p, .in = &in[i]};
            sm_mutex_init(&in[i].lock);
            drivers[i] = &m[i];
        }
        producer pr = {.in = in, .n = 6};
        sm_thread *thread = NULL;
        assert_ok(sm_thread_start(produce, &pr, "producer", &thread, &e), &e);
        assert_ok(sm_pool_run(p, midway_step, drivers, 6, NULL, &e), &e);
        sm_thread_join(thread);
        for (int i = 0; i < 6; i++) {
            assert_int_equal(in[i].taken, 100);
            assert_false(m[i].was_stopped);
            sm_mutex_release(&in[i].lock);
        }
        sm_pool_free(p);
    }
}

/* One waits for ever, the other fails: the run ends with that failure. */
static sm_status wait_or_fail_step(void *driver, int worker, sm_waker waker, sm_error *e)
{
    midway *m = driver;
    if (!m->in) {
        return sm_fail(e, SM_CORRUPT, "the other driver");
    }
    while (sm_pool_wait(waker)) {
    }
    m->was_stopped = true;
    return SM_OK;
}

static void test_wait_ends_with_the_run(void **state)
{
    sm_error e = {0};
    sm_pool *p = new_pool(2);
    inbox in = {0};
    midway m[2] = {{.in = &in}, {0}};
    void *drivers[2] = {&m[0], &m[1]};
    assert_status(sm_pool_run(p, wait_or_fail_step, drivers, 2, NULL, &e), SM_CORRUPT, &e);
    assert_true(m[0].was_stopped);
    sm_cancel cancel = {0};
    sm_cancel_set(&cancel);
    assert_status(sm_pool_run(p, wait_or_fail_step, drivers, 1, &cancel, &e), SM_INTERRUPTED, &e);
    sm_pool_free(p);
}

static void test_leaves(void **state)
{
    for (int t = 0; t < SM_COUNT(thread_counts); t++) {
        sm_pool *p = new_pool(thread_counts[t]);
        for (int i = 1; i < thread_counts[t]; i++) {
            assert_true(sm_pool_take_leave(p));
        }
        assert_false(sm_pool_take_leave(p)); /* one worker is left */
        for (int i = 1; i < thread_counts[t]; i++) {
            sm_pool_end_leave(p);
        }
        sm_pool_free(p);
    }
}

/* ---- failures -------------------------------------------------------------------------------- */

typedef struct failer {
    int id, steps, fail_at; /* fail_at 0: never */
    sm_waker waker;
    bool waits;
    _Atomic bool is_on; /* it came to a second step */
} failer;

static sm_status fail_step(void *driver, int worker, sm_waker waker, sm_error *e)
{
    failer *f = driver;
    f->steps++;
    f->waker = waker;
    f->is_on = f->steps > 1;
    if (f->waits) {
        return SM_WAIT;
    }
    if (f->steps == f->fail_at) {
        return sm_fail(e, SM_CORRUPT, "driver %d", f->id);
    }
    return SM_OK; /* without end */
}

static void test_first_failure_ends_all(void **state)
{
    for (int t = 0; t < SM_COUNT(thread_counts); t++) {
        sm_error e = {0};
        sm_pool *p = new_pool(thread_counts[t]);
        failer f[10] = {0};
        void *drivers[10];
        for (int i = 0; i < 10; i++) {
            f[i] = (failer){.id = i, .fail_at = i == 6 ? 20 : 0, .waits = i == 9};
            drivers[i] = &f[i];
        }
        assert_status(sm_pool_run(p, fail_step, drivers, 10, NULL, &e), SM_CORRUPT, &e);
        assert_string_equal(e.what, "driver 6");
        assert_int_equal(f[6].steps, 20);
        assert_int_equal(f[9].steps, 1);
        const int steps = f[0].steps;

        /* Input or output that was under way ends later: its wakes do nothing. */
        sm_wake(f[9].waker);
        sm_wake(f[0].waker);
        self_waker s = {0};
        void *other[] = {&s};
        assert_ok(sm_pool_run(p, wake_self_step, other, 1, NULL, &e), &e);
        assert_int_equal(s.steps, 100);
        sm_wake(f[9].waker);
        assert_int_equal(f[9].steps, 1);
        assert_int_equal(f[0].steps, steps);
        assert_status(sm_pool_run(p, fail_step, drivers + 9, 0, NULL, NULL), SM_OK, &e);
        sm_pool_free(p);
    }
}

static void test_failure_of_the_first_driver(void **state)
{
    sm_error e = {0};
    sm_pool *p = new_pool(1); /* one worker: drivers in their order */
    failer f[3] = {{.id = 0, .fail_at = 2}, {.id = 1, .fail_at = 1}, {.id = 2, .fail_at = 1}};
    void *drivers[] = {&f[0], &f[1], &f[2]};
    assert_status(sm_pool_run(p, fail_step, drivers, 3, NULL, &e), SM_CORRUPT, &e);
    assert_string_equal(e.what, "driver 1");
    assert_int_equal(f[2].steps, 0);
    assert_int_equal(sm_pool_run(p, fail_step, drivers, 3, NULL, NULL), SM_CORRUPT);
    sm_pool_free(p);
}

/* ---- cancelling ------------------------------------------------------------------------------ */

typedef struct canceller {
    sm_cancel flag;
    failer *drivers; /* 4 */
} canceller;

/* Not before each driver was stepped again, unless it waits: on a busy machine that takes long. */
static void cancel_soon(void *ctx)
{
    canceller *c = ctx;
    sm_sleep_ms(20);
    for (int i = 0; i < 4; i++) {
        while (!c->drivers[i].waits && !c->drivers[i].is_on) {
            sm_sleep_ms(1);
        }
    }
    sm_cancel_set(&c->flag);
}

static void test_cancel(void **state)
{
    for (int t = 0; t < SM_COUNT(thread_counts); t++) {
        for (int waits = 0; waits < 2; waits++) {
            sm_error e = {0};
            sm_pool *p = new_pool(thread_counts[t]);
            failer f[4] = {0};
            canceller c = {.drivers = f};
            void *drivers[4];
            for (int i = 0; i < 4; i++) {
                f[i].waits = waits;
                drivers[i] = &f[i];
            }
            sm_thread *thread = NULL;
            assert_ok(sm_thread_start(cancel_soon, &c, "cancel", &thread, &e), &e);
            assert_status(sm_pool_run(p, fail_step, drivers, 4, &c.flag, &e), SM_INTERRUPTED, &e);
            assert_int_equal(e.status, SM_INTERRUPTED);
            assert_int_equal(f[3].steps > 1, !waits);
            sm_thread_join(thread);

            const int steps = f[0].steps; /* set before: nothing is stepped */
            assert_status(sm_pool_run(p, fail_step, drivers, 4, &c.flag, &e), SM_INTERRUPTED, &e);
            assert_int_equal(f[0].steps, steps);
            sm_pool_free(p);
        }
    }
}

static sm_status cancel_at_end_step(void *driver, int worker, sm_waker waker, sm_error *e)
{
    sm_cancel_set(driver);
    return SM_END;
}

static void test_cancel_after_the_end(void **state)
{
    sm_error e = {0};
    sm_pool *p = new_pool(2);
    sm_cancel cancel = {0};
    void *drivers[] = {&cancel};
    assert_ok(sm_pool_run(p, cancel_at_end_step, drivers, 1, &cancel, &e), &e); /* all ended */
    sm_pool_free(p);
}

/* ---- loops ----------------------------------------------------------------------------------- */

typedef struct marks {
    sm_pool *pool;
    atomic_int seen[2000];
    int64_t fail_from; /* every number from here on fails; -1: none */
    int64_t nested;    /* numbers of a loop within each number */
    atomic_int nested_seen;
} marks;

static sm_status mark_nested(void *ctx, int64_t i, sm_error *e)
{
    marks *m = ctx;
    atomic_fetch_add(&m->nested_seen, 1);
    return SM_OK;
}

static sm_status mark(void *ctx, int64_t i, sm_error *e)
{
    marks *m = ctx;
    atomic_fetch_add(&m->seen[i], 1);
    if (m->nested) {
        SM_TRY(sm_pool_for(m->pool, m->nested, mark_nested, m, e));
    }
    if (m->fail_from >= 0 && i >= m->fail_from) {
        return sm_fail(e, SM_RANGE, "number %d", (int)i);
    }
    return SM_OK;
}

static marks *new_marks(sm_pool *p)
{
    marks *m = calloc(1, sizeof(*m));
    m->pool = p;
    m->fail_from = -1;
    return m;
}

static void test_for(void **state)
{
    for (int t = 0; t < SM_COUNT(thread_counts); t++) {
        sm_error e = {0};
        sm_pool *p = new_pool(thread_counts[t]);
        static const int64_t lens[] = {-1, 0, 1, 2, 2000};
        for (int k = 0; k < SM_COUNT(lens); k++) {
            marks *m = new_marks(p);
            assert_ok(sm_pool_for(p, lens[k], mark, m, &e), &e);
            for (int64_t i = 0; i < 2000; i++) {
                assert_int_equal(m->seen[i], i < lens[k]);
            }
            free(m);
        }
        for (int round = 0; round < 50; round++) { /* the smallest, whoever was faster */
            marks *m = new_marks(p);
            m->fail_from = round * 7;
            assert_status(sm_pool_for(p, 2000, mark, m, &e), SM_RANGE, &e);
            char want[32];
            snprintf(want, sizeof(want), "number %d", round * 7);
            assert_string_equal(e.what, want);
            for (int64_t i = 0; i <= m->fail_from; i++) {
                assert_int_equal(m->seen[i], 1);
            }
            assert_int_equal(sm_pool_for(p, 2000, mark, m, NULL), SM_RANGE);
            free(m);
        }
        marks *m = new_marks(p);
        m->nested = 9;
        assert_ok(sm_pool_for(p, 300, mark, m, &e), &e);
        assert_int_equal(m->nested_seen, 2700);
        free(m);
        sm_pool_free(p);
    }
}

static sm_status loop_step(void *driver, int worker, sm_waker waker, sm_error *e)
{
    marks *m = driver;
    SM_TRY(sm_pool_for(m->pool, 50, mark, m, e));
    return m->seen[0] < 10 ? SM_OK : SM_END;
}

static void test_for_within_steps(void **state)
{
    for (int t = 0; t < SM_COUNT(thread_counts); t++) {
        sm_error e = {0};
        sm_pool *p = new_pool(thread_counts[t]);
        marks *m[6];
        void *drivers[6];
        for (int i = 0; i < 6; i++) {
            m[i] = new_marks(p);
            m[i]->nested = i % 2 ? 3 : 0;
            drivers[i] = m[i];
        }
        assert_ok(sm_pool_run(p, loop_step, drivers, 6, NULL, &e), &e);
        for (int i = 0; i < 6; i++) {
            for (int k = 0; k < 50; k++) {
                assert_int_equal(m[i]->seen[k], 10);
            }
            assert_int_equal(m[i]->nested_seen, i % 2 ? 1500 : 0);
        }
        m[2]->fail_from = 11;
        m[2]->seen[0] = 0;
        assert_status(sm_pool_run(p, loop_step, drivers + 2, 1, NULL, &e), SM_RANGE, &e);
        assert_string_equal(e.what, "number 11");
        for (int i = 0; i < 6; i++) {
            free(m[i]);
        }
        sm_pool_free(p);
    }
}

/* Both numbers wait for each other: only a second thread can bring the loop to its end. */
static sm_status meet(void *ctx, int64_t i, sm_error *e)
{
    atomic_int *arrived = ctx;
    atomic_fetch_add(arrived, 1);
    const int64_t start = sm_monotonic_ns();
    while (atomic_load(arrived) < 2) {
        if (sm_monotonic_ns() - start > INT64_C(20000000000)) {
            return sm_fail(e, SM_TIMEOUT, "nobody helped");
        }
        sm_sleep_ms(1);
    }
    return SM_OK;
}

static sm_status meet_step(void *driver, int worker, sm_waker waker, sm_error *e)
{
    sm_pool *p = driver;
    atomic_int arrived = 0;
    SM_TRY(sm_pool_for(p, 2, meet, &arrived, e));
    return SM_END;
}

static void test_idle_workers_help(void **state)
{
    sm_error e = {0};
    sm_pool *p = new_pool(2);
    atomic_int arrived = 0;
    assert_ok(sm_pool_for(p, 2, meet, &arrived, &e), &e);
    void *drivers[] = {p};
    for (int i = 0; i < 20; i++) {
        assert_ok(sm_pool_run(p, meet_step, drivers, 1, NULL, &e), &e);
    }
    sm_pool_free(p);
}

/* ---- threads --------------------------------------------------------------------------------- */

static void test_nothing_leaks(void **state)
{
    const int64_t before = sm_live_allocs();
    sm_pool *p = new_pool(4);
    sm_error e = {0};
    self_waker s[3] = {0};
    void *drivers[] = {&s[0], &s[1], &s[2]};
    assert_ok(sm_pool_run(p, wake_self_step, drivers, 3, NULL, &e), &e);
    sm_pool_free(p);
    assert_int_equal(sm_live_allocs(), before);
}

static void test_timed_wait(void **state)
{
    sm_mutex m;
    sm_cond c;
    sm_mutex_init(&m);
    sm_cond_init(&c);
    sm_mutex_lock(&m);
    const int64_t start = sm_monotonic_ns();
    bool was_signalled = true;
    for (int i = 0; i < 100 && was_signalled; i++) { /* a wake without a reason is allowed */
        was_signalled = sm_cond_wait_ms(&c, &m, 10);
    }
    assert_false(was_signalled);
    assert_true(sm_monotonic_ns() - start >= 10000000);
    assert_false(sm_cond_wait_ms(&c, &m, -5));
    sm_mutex_unlock(&m);
    sm_cond_release(&c);
    sm_mutex_release(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_drivers_end),
        cmocka_unit_test(test_runs_at_once),
        cmocka_unit_test(test_bad_counts),
        cmocka_unit_test(test_no_wake_is_lost),
        cmocka_unit_test(test_wake_within_step),
        cmocka_unit_test(test_wait_within_step),
        cmocka_unit_test(test_wait_ends_with_the_run),
        cmocka_unit_test(test_leaves),
        cmocka_unit_test(test_first_failure_ends_all),
        cmocka_unit_test(test_failure_of_the_first_driver),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_cancel_after_the_end),
        cmocka_unit_test(test_for),
        cmocka_unit_test(test_for_within_steps),
        cmocka_unit_test(test_idle_workers_help),
        cmocka_unit_test(test_nothing_leaks),
        cmocka_unit_test(test_timed_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
