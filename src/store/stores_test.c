/* SPDX-License-Identifier: Apache-2.0
 *
 * What stores share and what they do not: nothing of it is the process's. */
#include "test.h"

#include <stdlib.h>

#include "base/thread.h"
#include "scratch.h"
#include "store/store.h"

/* A root of its own, beside that of the other tests. */
static sm_stores *root_new(void)
{
    sm_http *http = sm_http_new(NULL, NULL);
    sm_stores *s = sm_stores_new(http);
    sm_http_release(http);
    return s;
}

static sm_store *open_by(sm_stores *stores, const char *uri)
{
    sm_error e = {0};
    sm_store *s = NULL;
    assert_ok(sm_store_open(stores, sm_str_of(uri), &s, &e), &e);
    return s;
}

static void test_memory_is_the_roots(void **state)
{
    const int64_t before = sm_live_allocs();
    sm_stores *one = root_new();
    sm_stores *other = root_new();
    sm_stores *below = sm_stores_below(one);
    sm_store *a = open_by(one, "memory://bucket/p");
    sm_store *b = open_by(below, "memory://bucket");
    sm_store *c = open_by(other, "memory://bucket");
    put_text(a, "k", "of one");
    assert_object(b, "p/k", "of one");
    assert_object(c, "p/k", NULL);
    put_text(c, "p/k", "of another");
    assert_object(a, "k", "of one");
    sm_store_release(a);
    sm_store_release(b);
    b = open_by(below, "memory://bucket");
    assert_object(b, "p/k", "of one");
    sm_store_release(b);
    sm_store_release(c);
    sm_stores_release(below);
    sm_stores_release(one);
    sm_stores_release(other);
    assert_int_equal(sm_live_allocs(), before); /* the objects too */
}

static void test_faults_are_counted_by_root(void **state)
{
    setenv("SMELT_FAULT", "at=2,kind=error,writes=1", 1);
    sm_stores *one = root_new();
    sm_stores *other = root_new();
    sm_stores *below = sm_stores_below(one);
    sm_store *a = open_by(one, "memory://a");
    sm_store *b = open_by(below, "memory://b");
    sm_store *c = open_by(other, "memory://c");
    sm_error e = {0};
    put_text(a, "k", "first");
    put_text(c, "k", "first");
    assert_int_equal(sm_fault_calls(b), 1);
    assert_int_equal(sm_fault_calls(c), 1);
    assert_status(sm_store_put(b, SM_STR("k"), "x", 1, SM_PUT_REPLACE, &e), SM_IO, &e);
    assert_true(sm_fault_has_fired(a));
    assert_false(sm_fault_has_fired(c));
    unsetenv("SMELT_FAULT");
    sm_store_release(a);
    sm_store_release(b);
    sm_store_release(c);
    sm_stores_release(below);
    sm_stores_release(one);
    sm_stores_release(other);
}

/* A store keeps all that it needs, a fetch too. */
static void test_stores_outlive_their_handles(void **state)
{
    const int64_t before = sm_live_allocs();
    sm_error e = {0};
    sm_fetch *fetch = NULL;
    sm_fetched got;
    sm_stores *root = root_new();
    sm_stores *below = sm_stores_below(root);
    sm_store *s = open_by(below, "memory://bucket");
    assert_ok(sm_fetch_new(below, NULL, &fetch, &e), &e);
    sm_stores_release(below);
    sm_stores_release(root);
    put_text(s, "k", "text");
    sm_range_read r = {.len = 4};
    assert_ok(sm_blob_open(s, SM_STR("k"), &r.blob, &e), &e);
    sm_store_release(s);
    assert_ok(sm_fetch_request(fetch, &r, &e), &e);
    assert_ok(sm_fetch_wait(fetch, &got, &e), &e);
    assert_memory_equal(got.block->data, "text", 4);
    sm_block_release(got.block);
    sm_blob_close(r.blob);
    sm_fetch_free(fetch);
    assert_int_equal(sm_live_allocs(), before);
}

/* ---- connections ----------------------------------------------------------------------------- */

static void connect(sm_stores *s, const char *uri, const char *name, const char *port)
{
    char endpoint[64];
    sm_error e = {0};
    snprintf(endpoint, sizeof(endpoint), "http://127.0.0.1:%s", port);
    const sm_pair settings[] = {{SM_STR("AWS_ENDPOINT_URL_S3"), sm_str_of(endpoint)},
                                {SM_STR("AWS_ACCESS_KEY_ID"), sm_str_of(name)},
                                {SM_STR("AWS_SECRET_ACCESS_KEY"), SM_STR("secret")}};
    assert_ok(
        sm_stores_connect(s, sm_str_of(uri), sm_str_of(name), settings, SM_COUNT(settings), &e),
        &e);
}

/* Where the store is, by whose keys. */
static void assert_access(sm_store *s, const char *url, const char *key_id)
{
    sm_error e = {0};
    sm_store_access access;
    sm_arena *a = sm_arena_new(NULL);
    assert_ok(sm_store_access_of(s, a, &access, &e), &e);
    assert_string_equal(sm_arena_str(a, access.url).data, url);
    assert_string_equal(sm_arena_str(a, access.key_id).data, key_id);
    sm_arena_free(a);
}

static void assert_opens(sm_stores *stores, const char *uri, const char *url, const char *key_id)
{
    sm_store *s = open_by(stores, uri);
    assert_access(s, url, key_id);
    sm_store_release(s);
}

static void set_environment(void)
{
    setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1", 1);
    setenv("AWS_ACCESS_KEY_ID", "environment", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "secret", 1);
}

static void test_connections_of_two_runs(void **state)
{
    set_environment();
    sm_stores *root = root_new();
    sm_stores *first = sm_stores_below(root);
    sm_stores *second = sm_stores_below(root);
    connect(first, "s3://bucket/logs", "one", "11");
    connect(second, "s3://bucket", "two", "22");
    connect(second, "s3://other", "two", "22");
    assert_opens(first, "s3://bucket/a", "http://127.0.0.1:11/bucket/a", "one");
    assert_opens(second, "s3://bucket/a", "http://127.0.0.1:22/bucket/a", "two");
    assert_opens(root, "s3://bucket/a", "http://127.0.0.1:1/bucket/a", "environment");
    assert_opens(first, "s3://other", "http://127.0.0.1:1/other/", "environment");
    assert_opens(second, "s3://other", "http://127.0.0.1:22/other/", "two");
    sm_stores_release(first);
    sm_stores_release(second);
    sm_stores_release(root);
}

static void test_nearer_connection(void **state)
{
    set_environment();
    sm_stores *root = root_new();
    sm_stores *run = sm_stores_below(root);
    sm_error e = {0};
    connect(root, "s3://bucket", "engine", "11");
    assert_opens(run, "s3://bucket/a", "http://127.0.0.1:11/bucket/a", "engine");
    sm_store *before = open_by(run, "s3://bucket/b");
    connect(run, "s3://bucket/below", "run", "22");
    assert_opens(run, "s3://bucket/a", "http://127.0.0.1:22/bucket/a", "run");
    assert_opens(root, "s3://bucket/a", "http://127.0.0.1:11/bucket/a", "engine");
    assert_access(before, "http://127.0.0.1:11/bucket/b", "engine"); /* it keeps its own */

    const sm_pair nothing = {0};
    assert_status(sm_stores_connect(run, SM_STR("s3://bucket/x"), SM_STR("third"), &nothing, 0, &e),
                  SM_EXISTS, &e);
    assert_string_equal(e.what, "s3://bucket has the connection run already");
    connect(run, "s3://bucket", "run", "33"); /* the same name again: the newest holds */
    assert_opens(run, "s3://bucket/a", "http://127.0.0.1:33/bucket/a", "run");
    sm_stores_release(run);
    sm_stores_release(root);
    assert_access(before, "http://127.0.0.1:11/bucket/b", "engine");
    sm_store_release(before);
}

/* ---- many at once ---------------------------------------------------------------------------- */

#define N_RUNS 8

typedef struct run {
    sm_stores *root;
    int number;
    sm_thread *thread;
} run;

static void work(void *ctx)
{
    run *r = ctx;
    char name[16], port[16], url[64];
    snprintf(name, sizeof(name), "run%d", r->number);
    snprintf(port, sizeof(port), "%d", 100 + r->number);
    snprintf(url, sizeof(url), "http://127.0.0.1:%s/bucket/a", port);
    for (int i = 0; i < 50; i++) {
        sm_stores *mine = sm_stores_below(r->root);
        connect(mine, "s3://bucket", name, port);
        assert_opens(mine, "s3://bucket/a", url, name);
        sm_store *shared = open_by(mine, "memory://bucket");
        put_text(shared, name, name);
        assert_object(shared, name, name);
        sm_store_release(shared);
        sm_stores_release(mine);
    }
}

static void test_many_runs_at_once(void **state)
{
    set_environment();
    sm_stores *root = root_new();
    sm_error e = {0};
    run runs[N_RUNS];
    for (int i = 0; i < N_RUNS; i++) {
        runs[i] = (run){.root = root, .number = i};
        assert_ok(sm_thread_start(work, &runs[i], "run", &runs[i].thread, &e), &e);
    }
    for (int i = 0; i < N_RUNS; i++) {
        sm_thread_join(runs[i].thread);
    }
    sm_store *s = open_by(root, "memory://bucket");
    char text[1024];
    list_text(s, "", true, text);
    assert_string_equal(text, "run0 run1 run2 run3 run4 run5 run6 run7 ");
    sm_store_release(s);
    sm_stores_release(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory_is_the_roots),
        cmocka_unit_test(test_faults_are_counted_by_root),
        cmocka_unit_test(test_stores_outlive_their_handles),
        cmocka_unit_test(test_connections_of_two_runs),
        cmocka_unit_test(test_nearer_connection),
        cmocka_unit_test(test_many_runs_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
