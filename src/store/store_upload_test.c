/* SPDX-License-Identifier: Apache-2.0
 *
 * store/store_upload_test.c: objects out in pieces: whole or not at all, bounded, in order. */
#include "test.h"

#include <stdlib.h>

#include "base/thread.h"
#include "base/time.h"
#include "scratch.h"
#include "store/store.h"

static sm_block *block_of(sm_budget *budget, const char *text)
{
    sm_error e = {0};
    sm_block *b = NULL;
    assert_ok(sm_block_new(budget, strlen(text), &b, &e), &e);
    memcpy(b->data, text, strlen(text));
    return b;
}

static void write_text(sm_upload *u, sm_budget *budget, const char *text)
{
    sm_error e = {0};
    sm_block *b = block_of(budget, text);
    assert_ok(sm_upload_write_wait(u, b, strlen(text), &e), &e);
    sm_block_release(b); /* the upload holds it now */
}

static sm_upload *begin(sm_store *s, const char *key, sm_budget *budget, size_t inflight_bytes)
{
    sm_error e = {0};
    sm_upload *u = NULL;
    assert_ok(sm_upload_open(s, sm_str_of(key), budget, inflight_bytes, &u, &e), &e);
    return u;
}

/* ---- whole or not at all --------------------------------------------------------------------- */

static void check_upload(sm_store *s)
{
    sm_error e = {0};
    char text[1024];
    sm_budget *budget = sm_budget_new(NULL, "upload", 0);
    sm_upload *u = begin(s, "up/one", budget, 0);
    write_text(u, budget, "first,");
    write_text(u, budget, "");
    write_text(u, budget, "second,");
    write_text(u, budget, "third");
    assert_int_equal(sm_upload_bytes(u), 18);
    assert_object(s, "up/one", NULL);
    assert_ok(sm_upload_finish_wait(u, &e), &e);
    assert_ok(sm_upload_finish_wait(u, &e), &e); /* an answer that stays */
    assert_ok(sm_upload_finish(u, (sm_waker){0}, &e), &e);
    sm_upload_close(u);
    assert_object(s, "up/one", "first,second,third");
    assert_int_equal(sm_budget_used(budget), 0);

    u = begin(s, "up/one", budget, 0); /* replaces */
    write_text(u, budget, "new");
    assert_ok(sm_upload_finish_wait(u, &e), &e);
    assert_object(s, "up/one", "new");
    sm_upload_close(u);

    u = begin(s, "up/empty", budget, 0);
    assert_ok(sm_upload_finish_wait(u, &e), &e);
    sm_upload_close(u);
    assert_object(s, "up/empty", "");

    u = begin(s, "up/left", budget, 0); /* never finished */
    write_text(u, budget, "x");
    sm_upload_close(u);
    u = begin(s, "up/one", budget, 0);
    write_text(u, budget, "unfinished");
    sm_upload_close(u);
    sm_upload_close(begin(s, "up/untouched", budget, 0));
    sm_upload_close(NULL);
    list_text(s, "up/", false, text);
    assert_string_equal(text, "up/empty up/one ");
    assert_object(s, "up/one", "new");

    assert_int_equal(sm_budget_used(budget), 0);
    sm_budget_free(budget);
    assert_ok(sm_store_delete(s, SM_STR("up/one"), &e), &e);
    assert_ok(sm_store_delete(s, SM_STR("up/empty"), &e), &e);
}

static void test_upload(void **state)
{
    const int64_t before = sm_live_allocs();
    scratch at = scratch_new();
    char root[300];
    snprintf(root, sizeof(root), "%s/new/root", at.path);
    const char *uris[] = {root, "memory://upload"};
    for (int i = 0; i < SM_COUNT(uris); i++) {
        sm_store *s = open_store(uris[i]), *slow = NULL;
        sm_error e = {0};
        check_upload(s);
        assert_ok(sm_store_fault(s, &(sm_fault_plan){.delay_ms = 3}, &slow, &e), &e);
        check_upload(slow);
        sm_store_release(slow);
        sm_store_release(s);
    }
    assert_int_equal(count_files(at.path), 0); /* no temporary file is left */
    scratch_free(&at);
    assert_int_equal(sm_live_allocs(), before);
}

static void test_counts(void **state)
{
    sm_error e = {0};
    sm_store *s = open_store("memory://upload_counts");
    sm_upload *u = begin(s, "x", NULL, 0);
    write_text(u, NULL, "12345");
    write_text(u, NULL, "678");
    assert_ok(sm_upload_finish_wait(u, &e), &e);
    sm_upload_close(u);
    assert_int_equal(sm_store_count(s).requests, 3);
    assert_int_equal(sm_store_count(s).written_bytes, 8);
    assert_ok(sm_store_delete(s, SM_STR("x"), &e), &e);
    sm_store_release(s);
}

/* ---- bound and wakes ------------------------------------------------------------------------- */

typedef struct caller {
    sm_mutex lock;
    sm_cond called;
    int64_t n_calls;
} caller;

static void call(void *ctx)
{
    caller *c = ctx;
    sm_mutex_lock(&c->lock);
    c->n_calls++;
    sm_cond_signal(&c->called);
    sm_mutex_unlock(&c->lock);
}

/* Waits for the n-th call; fails after ten seconds. */
static void wait_call(caller *c, int64_t n)
{
    sm_mutex_lock(&c->lock);
    while (c->n_calls < n) {
        assert_true(sm_cond_wait_ms(&c->called, &c->lock, 10000));
    }
    sm_mutex_unlock(&c->lock);
}

static int64_t calls(caller *c)
{
    sm_mutex_lock(&c->lock);
    const int64_t n = c->n_calls;
    sm_mutex_unlock(&c->lock);
    return n;
}

/* 100 bytes may be in flight. A piece waits until enough of those before it have been answered. */
static void test_bound(void **state)
{
    static char big[301];
    memset(big, 'b', 300);
    sm_error e = {0};
    caller c = {0};
    sm_mutex_init(&c.lock);
    sm_cond_init(&c.called);
    const sm_waker waker = {call, &c};
    sm_budget *budget = sm_budget_new(NULL, "bound", 0);
    sm_store *s = open_store("memory://upload_bound"), *slow = NULL;
    assert_ok(sm_store_fault(s, &(sm_fault_plan){.delay_ms = 100}, &slow, &e), &e);
    sm_upload *u = begin(slow, "x", budget, 100);
    sm_block *b300 = block_of(budget, big);
    big[60] = '\0';
    sm_block *b60 = block_of(budget, big);

    assert_ok(sm_upload_write(u, b60, 60, waker, &e), &e);
    assert_ok(sm_upload_write(u, b60, 40, waker, &e), &e); /* just fits */
    assert_int_equal(sm_upload_write(u, b60, 1, waker, &e), SM_WAIT);
    assert_int_equal(sm_upload_write(u, b300, 300, waker, &e), SM_WAIT);
    assert_int_equal(sm_upload_bytes(u), 100); /* nothing of the refused was taken */
    assert_int_equal(calls(&c), 0);
    wait_call(&c, 1);
    sm_status st = SM_OK;
    for (int64_t n = 1; (st = sm_upload_write(u, b300, 300, waker, &e)) == SM_WAIT;) {
        wait_call(&c, ++n);
    }
    assert_int_equal(st, SM_OK); /* greater than the bound: alone */
    assert_int_equal(sm_upload_write(u, b60, 1, waker, &e), SM_WAIT);
    assert_int_equal(sm_upload_bytes(u), 400);
    assert_int_equal(sm_upload_inflight_bytes(u), 300); /* the others have been answered */

    int64_t n = calls(&c);
    while ((st = sm_upload_finish(u, waker, &e)) == SM_WAIT) {
        wait_call(&c, ++n);
        n = calls(&c);
    }
    assert_ok(st, &e);
    assert_int_equal(sm_upload_inflight_bytes(u), 0);
    sm_upload_close(u);
    sm_entry entry = {0};
    sm_arena *a = sm_arena_new(NULL);
    assert_ok(sm_store_stat(s, SM_STR("x"), a, &entry, &e), &e);
    assert_int_equal(entry.size_bytes, 400);
    sm_arena_free(a);
    sm_block_release(b60);
    sm_block_release(b300);
    assert_int_equal(sm_budget_used(budget), 0);
    sm_budget_free(budget);
    assert_ok(sm_store_delete(s, SM_STR("x"), &e), &e);
    sm_store_release(slow);
    sm_store_release(s);
    sm_cond_release(&c.called);
    sm_mutex_release(&c.lock);
}

static void test_delays_overlap(void **state)
{
    sm_error e = {0};
    sm_store *s = open_store("memory://upload_overlap"), *slow = NULL;
    assert_ok(sm_store_fault(s, &(sm_fault_plan){.delay_ms = 50}, &slow, &e), &e);
    sm_upload *u = begin(slow, "x", NULL, 0);
    char want[65] = "", text[2] = "";
    const int64_t start_ns = sm_monotonic_ns();
    for (int i = 0; i < 64; i++) {
        text[0] = want[i] = (char)('!' + i);
        write_text(u, NULL, text);
    }
    assert_ok(sm_upload_finish_wait(u, &e), &e);
    const double ms = (double)(sm_monotonic_ns() - start_ns) / 1e6;
    print_message("64 pieces and an end of 50 ms each: %.0f ms\n", ms);
    assert_true(ms >= 100); /* the end goes when all pieces are answered */
    assert_true(ms < 800);
    sm_upload_close(u);
    assert_object(s, "x", want); /* in order all the same */
    assert_ok(sm_store_delete(s, SM_STR("x"), &e), &e);
    sm_store_release(slow);
    sm_store_release(s);
}

/* Closing does not wait for answers that take hours. */
static void test_close_in_flight(void **state)
{
    scratch at = scratch_new();
    sm_error e = {0};
    sm_store *s = open_scratch(&at), *line = NULL;
    sm_budget *budget = sm_budget_new(NULL, "close", 0);
    assert_ok(sm_store_fault(s, &(sm_fault_plan){.bytes_per_s = 1}, &line, &e), &e);
    const int64_t start_ns = sm_monotonic_ns();
    for (int round = 0; round < 50; round++) {
        sm_upload *u = begin(line, "x", budget, 0);
        for (int i = 0; i < round; i++) {
            write_text(u, budget,
                       "a minute of a line that carries one byte in a second ...........");
        }
        if (round > 0) {
            assert_int_equal(sm_upload_finish(u, (sm_waker){0}, &e), SM_WAIT);
        }
        sm_upload_close(u);
        assert_int_equal(sm_budget_used(budget), 0);
    }
    assert_true(sm_monotonic_ns() - start_ns < 20000000000);
    assert_int_equal(count_files(at.path), 0);
    sm_budget_free(budget);
    sm_store_release(line);
    sm_store_release(s);
    scratch_free(&at);
}

/* ---- failures -------------------------------------------------------------------------------- */

static void test_failure_stays(void **state)
{
    scratch at = scratch_new();
    sm_error e = {0};
    sm_store *s = open_scratch(&at);
    put_text(s, "file", "x");
    sm_upload *u = begin(s, "file/x", NULL, 0); /* where a folder cannot be */
    sm_block *b = block_of(NULL, "abc");
    for (int i = 0; i < 100; i++) {
        const sm_status st = sm_upload_write_wait(u, b, 3, &e);
        assert_true(st == SM_OK || st == SM_INVALID); /* OK until it is found out */
    }
    for (int i = 0; i < 2; i++) {
        memset(&e, 0, sizeof(e));
        assert_status(sm_upload_finish_wait(u, &e), SM_INVALID, &e);
        assert_true(sm_str_ends(sm_str_of(e.object), SM_STR("/file/x")));
        assert_non_null(strstr(e.what, "a file stands"));
    }
    assert_status(sm_upload_write(u, b, 3, (sm_waker){0}, &e), SM_INVALID, &e);
    sm_upload_close(u);
    sm_block_release(b);
    assert_int_equal(count_files(at.path), 1);
    assert_object(s, "file", "x");
    sm_store_release(s);
    scratch_free(&at);
}

/* ---- many at once ---------------------------------------------------------------------------- */

typedef struct writer {
    sm_store *store;
    int id;
    sm_status status;
} writer;

static void write_many(void *ctx)
{
    writer *w = ctx;
    sm_error e = {0};
    char key[40], line[40];
    for (int round = 0; round < 5 && w->status == SM_OK; round++) {
        snprintf(key, sizeof(key), "many/%d-%d", w->id, round);
        sm_upload *u = NULL;
        w->status = sm_upload_open(w->store, sm_str_of(key), NULL, 64, &u, &e);
        for (int i = 0; i < 50 && w->status == SM_OK; i++) {
            sm_block *b = NULL;
            const int n = snprintf(line, sizeof(line), "%d %d %d\n", w->id, round, i);
            w->status = sm_block_new(NULL, (size_t)n, &b, &e);
            if (w->status == SM_OK) {
                memcpy(b->data, line, (size_t)n);
                w->status = sm_upload_write_wait(u, b, (size_t)n, &e);
                sm_block_release(b);
            }
        }
        if (w->status == SM_OK) {
            w->status = sm_upload_finish_wait(u, &e);
        }
        sm_upload_close(u);
    }
}

static void test_many(void **state)
{
    enum { N = 6 };
    scratch at = scratch_new();
    sm_store *s = open_scratch(&at);
    sm_error e = {0};
    writer writers[N];
    sm_thread *threads[N];
    for (int i = 0; i < N; i++) {
        writers[i] = (writer){.store = s, .id = i};
        assert_ok(sm_thread_start(write_many, &writers[i], "writer", &threads[i], &e), &e);
    }
    for (int i = 0; i < N; i++) {
        sm_thread_join(threads[i]);
        assert_int_equal(writers[i].status, SM_OK);
    }
    for (int i = 0; i < N; i++) {
        for (int round = 0; round < 5; round++) {
            char key[40], want[1000] = "";
            size_t len = 0;
            for (int k = 0; k < 50; k++) {
                len += (size_t)snprintf(want + len, sizeof(want) - len, "%d %d %d\n", i, round, k);
            }
            snprintf(key, sizeof(key), "many/%d-%d", i, round);
            assert_object(s, key, want);
        }
    }
    assert_int_equal(count_files(at.path), N * 5);
    sm_store_release(s);
    scratch_free(&at);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_upload),
        cmocka_unit_test(test_counts),
        cmocka_unit_test(test_bound),
        cmocka_unit_test(test_delays_overlap),
        cmocka_unit_test(test_close_in_flight),
        cmocka_unit_test(test_failure_stays),
        cmocka_unit_test(test_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
