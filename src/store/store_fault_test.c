/* SPDX-License-Identifier: Apache-2.0
 *
 * store/store_fault_test.c: each planned fault at each call; after any, an object is the old or the
 * new one, nothing leaks and nothing is left lying about. */
#include "test.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "base/time.h"
#include "scratch.h"
#include "store/store.h"

static sm_store *faulty(sm_store *inner, sm_fault_plan plan)
{
    sm_error e = {0};
    sm_store *s = NULL;
    assert_ok(sm_store_fault(inner, &plan, &s, &e), &e);
    return s;
}

/* ---- each kind at each call ------------------------------------------------------------------ */

typedef sm_status (*call_fn)(sm_store *s, sm_error *e);

static sm_status call_put(sm_store *s, sm_error *e)
{
    return sm_store_put(s, SM_STR("k"), "newer", 5, SM_PUT_REPLACE, e);
}

static sm_status call_delete(sm_store *s, sm_error *e)
{
    return sm_store_delete(s, SM_STR("k"), e);
}

static sm_status call_get(sm_store *s, sm_error *e)
{
    sm_buf buf = {0};
    const sm_status st = sm_store_get(s, SM_STR("k"), &buf, e);
    assert_int_equal(buf.len, st == SM_OK ? 3 : 0); /* an output is written only on success */
    sm_buf_release(&buf);
    return st;
}

static sm_status call_stat(sm_store *s, sm_error *e)
{
    sm_arena *a = sm_arena_new(NULL);
    sm_entry entry = {.size_bytes = 99};
    const sm_status st = sm_store_stat(s, SM_STR("k"), a, &entry, e);
    assert_int_equal(entry.size_bytes, st == SM_OK ? 3 : 99);
    sm_arena_free(a);
    return st;
}

static sm_status call_list(sm_store *s, sm_error *e)
{
    sm_arena *a = sm_arena_new(NULL);
    sm_entry *items = NULL;
    int64_t n = 99;
    const sm_status st = sm_store_list(s, SM_STR(""), false, a, &items, &n, e);
    assert_int_equal(n, st == SM_OK ? 1 : 99);
    sm_arena_free(a);
    return st;
}

static sm_status call_open(sm_store *s, sm_error *e)
{
    sm_blob *b = NULL;
    const sm_status st = sm_blob_open(s, SM_STR("k"), &b, e);
    assert_int_equal(b != NULL, st == SM_OK);
    sm_blob_close(b);
    return st;
}

static const struct {
    const char *name;
    call_fn call;
    const char *after; /* what the object is when the call was carried out */
    bool is_write;
} calls[] = {
    {"put", call_put, "newer", true},  {"delete", call_delete, NULL, true},
    {"get", call_get, "old", false},   {"stat", call_stat, "old", false},
    {"list", call_list, "old", false}, {"open", call_open, "old", false},
};

static const struct {
    sm_fault_kind kind;
    sm_status want;
    bool is_carried_out;
    const char *what;
} kinds[] = {
    {SM_FAULT_ERROR, SM_IO, false, "failed"},
    {SM_FAULT_LOST, SM_IO, true, "was lost"},
    {SM_FAULT_TORN, SM_IO, false, "call 2"},
    {SM_FAULT_DISK_FULL, SM_DISK_FULL, false, "no space left"},
};

static void check_kinds(sm_store *inner)
{
    for (int c = 0; c < SM_COUNT(calls); c++) {
        for (int k = 0; k < SM_COUNT(kinds); k++) {
            sm_error e = {0};
            put_text(inner, "k", "old");
            sm_store *s = faulty(inner, (sm_fault_plan){.at_call = 2, .kind = kinds[k].kind});
            assert_object(s, "k", "old"); /* call 1 */
            assert_false(sm_fault_has_fired(s));
            assert_status(calls[c].call(s, &e), kinds[k].want, &e);
            assert_non_null(strstr(e.what, kinds[k].what));
            assert_true(sm_str_starts(sm_str_of(e.object), sm_store_uri(inner)));
            assert_true(sm_fault_has_fired(s));
            assert_int_equal(sm_fault_calls(s), 2);
            assert_object(inner, "k", kinds[k].is_carried_out ? calls[c].after : "old");
            put_text(inner, "k", "old");
            assert_ok(calls[c].call(s, &e), &e); /* once only */
            assert_object(inner, "k", calls[c].after);
            sm_store_release(s);

            s = faulty(inner,
                       (sm_fault_plan){.at_call = 1, .kind = kinds[k].kind, .writes_only = true});
            put_text(inner, "k", "old");
            assert_int_equal(calls[c].call(s, &e), calls[c].is_write ? kinds[k].want : SM_OK);
            assert_int_equal(sm_fault_calls(s), calls[c].is_write ? 1 : 0);
            sm_store_release(s);
        }
    }
    sm_error e = {0};
    assert_ok(sm_store_delete(inner, SM_STR("k"), &e), &e);
}

static void test_kinds(void **state)
{
    const int64_t before = sm_live_allocs();
    scratch at = scratch_new();
    const char *uris[] = {at.path, "memory://fault_kinds"};
    for (int i = 0; i < SM_COUNT(uris); i++) {
        sm_store *s = open_store(uris[i]);
        check_kinds(s);
        assert_int_equal(sm_fault_calls(s), 0); /* no fault store */
        assert_false(sm_fault_has_fired(s));
        sm_store_release(s);
    }
    assert_int_equal(count_files(at.path), 0);
    scratch_free(&at);
    assert_int_equal(sm_live_allocs(), before);
}

static void test_torn_read(void **state)
{
    sm_error e = {0};
    sm_store *inner = open_store("memory://fault_torn");
    put_text(inner, "k", "0123456789");
    sm_store *s = faulty(inner, (sm_fault_plan){.at_call = 2, .kind = SM_FAULT_TORN});
    sm_blob *b = NULL;
    char got[11] = "..........";
    assert_ok(sm_blob_open(s, SM_STR("k"), &b, &e), &e);
    assert_status(sm_blob_read(b, 2, 8, got, &e), SM_IO, &e);
    assert_non_null(strstr(e.what, "torn after 4 of 8 bytes"));
    assert_string_equal(e.object, "memory://fault_torn/k");
    assert_int_equal(e.byte, 2);
    assert_string_equal(got, "2345......");
    assert_ok(sm_blob_read(b, 2, 8, got, &e), &e);
    assert_string_equal(got, "23456789..");
    sm_blob_close(b);
    assert_ok(sm_store_delete(inner, SM_STR("k"), &e), &e);
    sm_store_release(s);
    sm_store_release(inner);
}

/* The planned call is late, and it alone. */
static void test_late(void **state)
{
    (void)state;
    sm_error e = {0};
    sm_store *inner = open_store("memory://fault_late");
    put_text(inner, "k", "0123456789");
    sm_store *s =
        faulty(inner, (sm_fault_plan){.at_call = 2, .kind = SM_FAULT_LATE, .delay_ms = 80});
    for (int call = 1; call <= 3; call++) {
        sm_buf got = {0};
        const int64_t start_ns = sm_monotonic_ns();
        assert_ok(sm_store_get(s, SM_STR("k"), &got, &e), &e);
        const int64_t took_ms = (sm_monotonic_ns() - start_ns) / 1000000;
        assert_int_equal(got.len, 10);
        assert_int_equal(took_ms >= 80, call == 2);
        sm_buf_release(&got);
    }
    assert_ok(sm_store_delete(inner, SM_STR("k"), &e), &e);
    sm_store_release(s);
    sm_store_release(inner);
}

static void test_refused_plans(void **state)
{
    static const sm_fault_plan plans[] = {{.at_call = -1},
                                          {.kind = (sm_fault_kind)(SM_FAULT_LATE + 1)},
                                          {.delay_ms = -1},
                                          {.bytes_per_s = -1}};
    sm_store *inner = open_store("memory://fault_plans");
    for (int i = 0; i < SM_COUNT(plans); i++) {
        sm_error e = {0};
        sm_store *s = NULL;
        assert_status(sm_store_fault(inner, &plans[i], &s, &e), SM_INVALID, &e);
        assert_null(s);
    }
    sm_store_release(inner);
}

/* ---- every call of a piece of work ----------------------------------------------------------- */

static sm_status write_pieces(sm_store *s, sm_budget *budget, sm_error *e)
{
    sm_upload *u = NULL;
    SM_TRY(sm_upload_open(s, SM_STR("d/up"), budget, 0, &u, e));
    sm_status st = SM_OK;
    for (int i = 0; i < 4 && st == SM_OK; i++) {
        sm_block *b = NULL;
        st = sm_block_new(budget, 3, &b, e);
        if (st == SM_OK) {
            memcpy(b->data, "new", 3);
            st = sm_upload_write_wait(u, b, 3, e);
        }
        sm_block_release(b);
    }
    if (st == SM_OK) {
        st = sm_upload_finish_wait(u, e);
    }
    sm_upload_close(u);
    return st;
}

static sm_status fetch_pieces(sm_store *s, sm_budget *budget, sm_error *e)
{
    sm_blob *b = NULL;
    sm_fetch *f = NULL;
    sm_status st = SM_OK;
    SM_TRY_GOTO(st, done, sm_blob_open(s, SM_STR("d/up"), &b, e));
    SM_TRY_GOTO(st, done, sm_fetch_new(test_stores, budget, &f, e));
    for (uint64_t i = 0; i < 3; i++) {
        const sm_range_read r = {.blob = b, .off_bytes = i, .len = 1, .tag = i};
        SM_TRY_GOTO(st, done, sm_fetch_request(f, &r, e));
    }
    sm_fetched got;
    while ((st = sm_fetch_wait(f, &got, e)) == SM_OK) {
        sm_block_release(got.block);
    }
    st = st == SM_END ? SM_OK : st;
done:
    sm_fetch_free(f); /* with what it still has to give */
    sm_blob_close(b);
    return st;
}

/* 1 put, 4 pieces, 1 end, 1 open, 3 reads, 1 get, 1 list, 1 delete. */
#define WORK_CALLS        13
#define WORK_WRITES       7
#define WORK_UPLOAD_FIRST 2
#define WORK_UPLOAD_LAST  6

static sm_status work(sm_store *s, sm_budget *budget, sm_error *e)
{
    sm_arena *a = sm_arena_new(NULL);
    sm_buf buf = {0};
    sm_entry *items = NULL;
    int64_t n = 0;
    sm_status st = SM_OK;
    SM_TRY_GOTO(st, done, sm_store_put(s, SM_STR("d/put"), "new", 3, SM_PUT_REPLACE, e));
    SM_TRY_GOTO(st, done, write_pieces(s, budget, e));
    SM_TRY_GOTO(st, done, fetch_pieces(s, budget, e));
    SM_TRY_GOTO(st, done, sm_store_get(s, SM_STR("d/put"), &buf, e));
    SM_TRY_GOTO(st, done, sm_store_list(s, SM_STR("d/"), false, a, &items, &n, e));
    SM_TRY_GOTO(st, done, sm_store_delete(s, SM_STR("gone"), e));
done:
    sm_buf_release(&buf);
    sm_arena_free(a);
    return st;
}

static bool is_text(sm_store *s, const char *key, const char *text)
{
    sm_error e = {0};
    sm_buf buf = {0};
    const sm_status st = sm_store_get(s, sm_str_of(key), &buf, &e);
    const bool is_it = st == SM_OK && sm_str_is(sm_buf_str(&buf), text);
    sm_buf_release(&buf);
    return is_it;
}

static void reset_objects(sm_store *s)
{
    put_text(s, "d/put", "old");
    put_text(s, "d/up", "older");
    put_text(s, "gone", "x");
}

/* Each object is the old or the new one, and no name stands beside them. */
static void assert_before_or_after(sm_store *s)
{
    char names[1024];
    assert_true(is_text(s, "d/put", "old") || is_text(s, "d/put", "new"));
    assert_true(is_text(s, "d/up", "older") || is_text(s, "d/up", "newnewnewnew"));
    list_text(s, "", false, names);
    assert_true(strcmp(names, "d/put d/up gone ") == 0 || strcmp(names, "d/put d/up ") == 0);
}

static void test_fail_each_call(void **state)
{
    const int64_t before = sm_live_allocs();
    scratch at = scratch_new();
    sm_store *inner = open_scratch(&at);
    sm_budget *budget = sm_budget_new(NULL, "work", 0);
    for (int k = 0; k < SM_COUNT(kinds); k++) {
        for (int64_t call = 1;; call++) {
            reset_objects(inner);
            sm_error e = {0};
            const int64_t live = sm_live_allocs();
            sm_store *s = faulty(inner, (sm_fault_plan){.at_call = call, .kind = kinds[k].kind});
            const sm_status st = work(s, budget, &e);
            const bool has_fired = sm_fault_has_fired(s);
            sm_store_release(s);
            assert_int_equal(sm_live_allocs(), live);
            assert_int_equal(sm_budget_used(budget), 0);
            assert_before_or_after(inner);
            assert_true(count_files(at.path) <= 3); /* no temporary file stays */
            if (!has_fired) {
                assert_ok(st, &e);
                assert_int_equal(call, WORK_CALLS + 1);
                break;
            }
            assert_status(st, kinds[k].want, &e);
            const bool is_upload = call >= WORK_UPLOAD_FIRST && call <= WORK_UPLOAD_LAST;
            const bool is_visible = call > WORK_UPLOAD_LAST ||
                                    (call == WORK_UPLOAD_LAST && kinds[k].kind == SM_FAULT_LOST);
            assert_int_equal(is_text(inner, "d/up", "newnewnewnew"), is_visible);
            if (is_upload) {
                assert_true(sm_str_ends(sm_str_of(e.object), SM_STR("/d/up")));
            }
        }
    }
    sm_budget_free(budget);
    sm_store_release(inner);
    scratch_free(&at);
    assert_int_equal(sm_live_allocs(), before);
}

/* A child that is killed before or after its call-th call. Returns whether it was. */
static bool kill_child(const char *root, sm_fault_plan plan)
{
    fflush(NULL);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        sm_error e = {0};
        sm_store *inner = NULL, *s = NULL;
        const bool is_fine = sm_store_open(test_stores, sm_str_of(root), &inner, &e) == SM_OK &&
                             sm_store_fault(inner, &plan, &s, &e) == SM_OK &&
                             work(s, NULL, &e) == SM_OK;
        _exit(is_fine ? 0 : 1);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFSIGNALED(status)) {
        assert_int_equal(WTERMSIG(status), SIGKILL);
        return true;
    }
    assert_int_equal(WEXITSTATUS(status), 0);
    return false;
}

static void test_kill_at_each_call(void **state)
{
    static const sm_fault_kind deaths[] = {SM_FAULT_KILL, SM_FAULT_KILL_AFTER};
    scratch at = scratch_new();
    sm_store *inner = open_scratch(&at);
    for (int k = 0; k < SM_COUNT(deaths); k++) {
        for (int writes = 0; writes < 2; writes++) {
            int64_t call = 1;
            for (;; call++) {
                reset_objects(inner);
                const bool was_killed = kill_child(
                    at.path, (sm_fault_plan){
                                 .at_call = call, .kind = deaths[k], .writes_only = writes == 1});
                assert_before_or_after(inner);
                if (!was_killed) {
                    break;
                }
                /* Pieces and end are the same numbers in both counts. */
                const bool is_done = call > WORK_UPLOAD_LAST ||
                                     (call == WORK_UPLOAD_LAST && deaths[k] == SM_FAULT_KILL_AFTER);
                assert_int_equal(is_text(inner, "d/up", "newnewnewnew"), is_done);
                const bool is_put = call > 1 || deaths[k] == SM_FAULT_KILL_AFTER;
                assert_int_equal(is_text(inner, "d/put", "new"), is_put);
            }
            assert_int_equal(call, (writes ? WORK_WRITES : WORK_CALLS) + 1);
        }
    }
    sm_store_release(inner);
    scratch_free(&at);
}

/* Killed at any moment, not only between two calls: in the middle of a write, an fsync, a link. */
static void test_kill_at_any_time(void **state)
{
    enum { N = 60 };
    scratch at = scratch_new();
    sm_store *s = open_scratch(&at);
    static char text[2][200000];
    memset(text[0], 'a', sizeof(text[0]));
    memset(text[1], 'b', sizeof(text[1]));
    sm_error e = {0};
    assert_ok(sm_store_put(s, SM_STR("k"), text[0], sizeof(text[0]), SM_PUT_REPLACE, &e), &e);
    for (int round = 0; round < N; round++) {
        fflush(NULL);
        const pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            for (int i = 0;; i++) {
                char key[40];
                snprintf(key, sizeof(key), "log/%d-%d", round, i);
                if (sm_store_put(s, SM_STR("k"), text[i & 1], sizeof(text[0]), SM_PUT_REPLACE,
                                 &e) != SM_OK ||
                    sm_store_put(s, sm_str_of(key), text[i & 1], 5000, SM_PUT_IF_ABSENT, &e) !=
                        SM_OK) {
                    _exit(1);
                }
            }
        }
        sm_sleep_ms(1 + round % 40);
        assert_int_equal(kill(child, SIGKILL), 0);
        int status = 0;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
        sm_buf buf = {0};
        assert_ok(sm_store_get(s, SM_STR("k"), &buf, &e), &e);
        assert_int_equal(buf.len, sizeof(text[0]));
        assert_memory_equal(buf.data, text[buf.data[0] == 'b'], buf.len);
        sm_buf_release(&buf);
    }
    sm_arena *a = sm_arena_new(NULL);
    sm_entry *items = NULL;
    int64_t n = 0;
    assert_ok(sm_store_list(s, SM_STR(""), false, a, &items, &n, &e), &e);
    print_message("%d kills: %d objects, %d files with those left behind\n", N, (int)n,
                  count_files(at.path));
    for (int64_t i = 0; i < n; i++) {
        assert_null(strstr(items[i].key.data, "smelt-tmp"));
        assert_int_equal(items[i].size_bytes, i == 0 ? sizeof(text[0]) : 5000);
    }
    sm_arena_free(a);
    sm_store_release(s);
    scratch_free(&at);
}

/* ---- SMELT_FAULT ----------------------------------------------------------------------------- */

static void test_environment(void **state)
{
    static const struct {
        const char *text;
        sm_status want;
        const char *what;
    } rows[] = {
        {"", SM_OK, NULL},
        {"at=3,kind=error", SM_OK, NULL},
        {"at=3,kind=error,", SM_OK, NULL},
        {"at=3,kind=late,delay_ms=5", SM_OK, NULL},
        {"delay_ms=1,bytes_per_s=1000000000,writes=1", SM_OK, NULL},
        {"at", SM_USAGE, "\"at\""},
        {"at=", SM_USAGE, "\"at=\""},
        {"at=-1", SM_USAGE, "\"at=-1\""},
        {"kind=error,at=x", SM_USAGE, "\"at=x\""},
        {"kind=maybe", SM_USAGE, "\"kind=maybe\""},
        {"at=1,,kind=error", SM_USAGE, "\"\""},
        {"when=1", SM_USAGE, "\"when=1\""},
    };
    for (int i = 0; i < SM_COUNT(rows); i++) {
        setenv("SMELT_FAULT", rows[i].text, 1);
        sm_error e = {0};
        sm_store *s = NULL;
        assert_status(sm_store_open(test_stores, SM_STR("memory://env"), &s, &e), rows[i].want, &e);
        if (rows[i].want != SM_OK) {
            assert_null(s);
            assert_non_null(strstr(e.what, rows[i].what));
            assert_non_null(strstr(e.todo, "kind="));
        }
        sm_store_release(s);
    }
    unsetenv("SMELT_FAULT");
}

/* Call 7 of the program, whichever of its stores it goes to. */
static void test_environment_is_one_count(void **state)
{
    setenv("SMELT_FAULT", "at=7,kind=lost,writes=1", 1);
    sm_error e = {0};
    sm_store *a = open_store("memory://env_a");
    for (int i = 0; i < 4; i++) {
        put_text(a, "k", "a");
    }
    sm_store_release(a);
    sm_store *b = open_store("memory://env_b");
    a = open_store("memory://env_a");
    assert_int_equal(sm_fault_calls(b), 4);
    put_text(b, "k", "b");
    assert_object(a, "k", "a"); /* no write, not counted */
    put_text(a, "k", "a");
    assert_status(sm_store_put(b, SM_STR("k"), "lost", 4, SM_PUT_REPLACE, &e), SM_IO, &e);
    assert_string_equal(e.object, "memory://env_b/k");
    assert_object(b, "k", "lost");
    assert_true(sm_fault_has_fired(a));
    assert_ok(sm_store_delete(a, SM_STR("k"), &e), &e);
    assert_ok(sm_store_delete(b, SM_STR("k"), &e), &e);
    assert_int_equal(sm_fault_calls(a), 9);
    sm_store_release(a);
    sm_store_release(b);
    unsetenv("SMELT_FAULT");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_torn_read),
        cmocka_unit_test(test_late),
        cmocka_unit_test(test_refused_plans),
        cmocka_unit_test(test_fail_each_call),
        cmocka_unit_test(test_kill_at_each_call),
        cmocka_unit_test(test_kill_at_any_time),
        cmocka_unit_test(test_environment),
        cmocka_unit_test(test_environment_is_one_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
