/* SPDX-License-Identifier: Apache-2.0
 *
 * delta/delta_checkpoint_test.c: checkpoints with sidecars: when they are written, that they say
 * what the commits say, and what happens where one is damaged. */
#include "test.h"

#include <inttypes.h>

#include "base/time.h"
#include "delta_logs.h"

#define HEAD(features, config)                                                                     \
    "{\"protocol\":{\"minReaderVersion\":3,\"minWriterVersion\":7,\"readerFeatures\":[" features   \
    "],\"writerFeatures\":[" features "]}}\n" METADATA(config)
#define FEATURE  "\"v2Checkpoint\""
#define POLICY   "\"delta.checkpointPolicy\":\"v2\""
#define SIDECARS SMI_LOG "_sidecars/"
#define UUID     "80a083e8-7026-4e79-81be-64bd76c43a11"

static void print_adds(sm_buf *out, int from, int to)
{
    for (int i = from; i < to; i++) {
        sm_buf_printf(out,
                      "{\"add\":{\"path\":\"%d\",\"partitionValues\":{},\"size\":1,"
                      "\"modificationTime\":1,\"dataChange\":true}}\n",
                      i);
    }
}

static void print_remove(sm_buf *out, int number)
{
    sm_buf_printf(out,
                  "{\"remove\":{\"path\":\"%d\",\"deletionTimestamp\":4000000000000,"
                  "\"dataChange\":true}}\n",
                  number);
}

static void put_buf(sm_store *store, int64_t version, sm_buf *text)
{
    sm_buf_text(text, (sm_str){"", 1});
    put_commit(store, version, (const char *)text->data);
}

/* Versions 0 and 1: n files, less the first, and one more. */
static sm_store *new_table(const char *head, int n)
{
    sm_store *store = new_store();
    sm_buf text = {0};

    sm_buf_printf(&text, "%s", head);
    print_adds(&text, 0, n);
    put_buf(store, 0, &text);
    sm_buf_reset(&text);
    print_remove(&text, 0);
    print_adds(&text, n, n + 1);
    sm_buf_printf(&text, "{\"txn\":{\"appId\":\"app\",\"version\":7}}\n");
    put_buf(store, 1, &text);
    sm_buf_release(&text);
    return store;
}

static int64_t count_sidecars(sm_store *store)
{
    sm_arena *a = sm_arena_new(NULL);
    sm_entry *entries = NULL;
    sm_error e = {0};
    int64_t n = 0;

    const sm_status st = sm_store_list(store, SM_STR(SIDECARS), true, a, &entries, &n, &e);
    assert_true(st == SM_OK || st == SM_NOT_FOUND);
    sm_arena_free(a);
    return n;
}

/* The version has the files `from` to `to`, in this order, and is opened by the checkpoint `base`
 * with so many sidecars. */
static void assert_files(sm_store *store, int64_t version, int from, int to, int64_t base,
                         int64_t n_sidecars)
{
    sm_snapshot *s = NULL;
    sm_error e = {0};
    int64_t n = 0;
    char path[16];

    assert_ok(sm_snapshot_open(store, version, NULL, &s, &e), &e);
    assert_int_equal(s->base.version, base);
    assert_int_equal(s->base.n_sidecars, n_sidecars);
    assert_int_equal(sm_snapshot_txn(s, SM_STR("app")), 7);
    const sm_delta_file *files = sm_snapshot_files(s, &n);
    assert_int_equal(n, to - from);
    for (int i = from; i < to; i++) {
        snprintf(path, sizeof(path), "%d", i);
        assert_true(sm_str_is(files[i - from].path, path));
    }
    sm_snapshot_release(s);
}

static sm_status count_remove(void *ctx, const smi_action *remove, sm_error *e)
{
    (void)e;
    assert_true(sm_str_is(remove->path, "0"));
    ++*(int *)ctx;
    return SM_OK;
}

static void test_kinds(void **state)
{
    static const struct {
        const char *head;
        int n;
        int64_t n_sidecars;
    } cases[] = {
        {HEAD(FEATURE, POLICY), 3, 2}, /* a remove; adds */
        {HEAD(FEATURE, POLICY), 60000, 3},
        {HEAD(FEATURE, POLICY), 1, 2},
        {HEAD(FEATURE, ""), 3, 0},
        {HEAD(FEATURE, "\"delta.checkpointPolicy\":\"classic\""), 3, 0},
        {HEAD("", POLICY), 3, 0},
    };
    for (int i = 0; i < SM_COUNT(cases); i++) {
        sm_store *store = new_table(cases[i].head, cases[i].n);
        sm_snapshot *s = NULL;
        sm_error e = {0};
        int n_removes = 0;
        assert_files(store, 1, 1, cases[i].n + 1, -1, 0);
        write_checkpoint(store, 1);
        assert_files(store, 1, 1, cases[i].n + 1, 1, cases[i].n_sidecars);
        assert_int_equal(count_sidecars(store), cases[i].n_sidecars);
        assert_ok(sm_snapshot_open_head(store, 1, NULL, &s, &e), &e);
        assert_ok(
            smi_removes_each(s, (smi_action_sink){.each = count_remove, .ctx = &n_removes}, &e),
            &e);
        assert_int_equal(n_removes, 1);
        sm_snapshot_release(s);
        sm_store_release(store);
    }
    (void)state;
}

/* Neither removes nor adds: no sidecar. */
static void test_empty(void **state)
{
    sm_store *store = new_store();
    sm_snapshot *s = NULL;
    sm_error e = {0};
    int64_t n = -1;

    put_commit(store, 0, HEAD(FEATURE, POLICY));
    write_checkpoint(store, 0);
    assert_int_equal(count_sidecars(store), 0);
    assert_ok(sm_snapshot_open(store, 0, NULL, &s, &e), &e);
    assert_int_equal(s->base.version, 0);
    (void)sm_snapshot_files(s, &n);
    assert_int_equal(n, 0);
    sm_snapshot_release(s);
    sm_store_release(store);
    (void)state;
}

/* ---- sidecars of another size ---------------------------------------------------------------- */

/* Puts a sound sidecar, which has fewer files, in the place of the one with the adds of version 2.
 * Its key is in `key`, and both sizes are in `sizes`. */
static sm_store *with_other_sidecar(char key[128], uint64_t sizes[2])
{
    sm_store *store = new_table(HEAD(FEATURE, POLICY), 3);
    sm_snapshot *one = NULL, *two = NULL;
    sm_buf bytes = {0}, text = {0};
    sm_error e = {0};

    write_checkpoint(store, 1);
    print_adds(&text, 4, 40);
    put_buf(store, 2, &text);
    write_checkpoint(store, 2);
    assert_ok(sm_snapshot_open_head(store, 1, NULL, &one, &e), &e);
    assert_ok(sm_snapshot_open_head(store, 2, NULL, &two, &e), &e);
    const smi_sidecar *from = &one->base.sidecars[1], *to = &two->base.sidecars[1];
    snprintf(key, 128, "%.*s", SM_STR_ARG(to->key));
    sizes[0] = from->size_bytes;
    sizes[1] = to->size_bytes;
    assert_ok(sm_store_get(store, from->key, &bytes, &e), &e);
    assert_int_equal(bytes.len, sizes[0]);
    assert_int_not_equal(sizes[0], sizes[1]);
    put_text(store, key, sm_buf_str(&bytes));
    sm_buf_release(&bytes);
    sm_buf_release(&text);
    sm_snapshot_release(one);
    sm_snapshot_release(two);
    return store;
}

/* The version is read by what is older, or refused by the name of the sidecar. */
static void test_other_size(void **state)
{
    char key[128], sizes_text[128];
    uint64_t sizes[2] = {0};
    sm_store *store = with_other_sidecar(key, sizes);
    sm_snapshot *s = NULL;
    sm_error e = {0};

    assert_files(store, 2, 1, 40, 2, 2); /* by the older one, when its files are asked for */
    for (int v = 0; v <= 2; v++) {
        char commit[SMI_LOG_KEY_BYTES];
        smi_commit_key(v, commit);
        assert_ok(sm_store_delete(store, sm_str_of(commit), &e), &e);
    }
    assert_status(sm_snapshot_open(store, 2, NULL, &s, &e), SM_CORRUPT, &e);
    snprintf(sizes_text, sizeof(sizes_text),
             "%" PRIu64 " bytes, the checkpoint that names it says "
             "%" PRIu64,
             sizes[0], sizes[1]);
    assert_non_null(strstr(e.what, sizes_text));
    assert_non_null(strstr(e.frame[0], key));
    sm_store_release(store);
    (void)state;
}

/* A checkpoint as JSON says the size too; one that does not say it takes any. */
static void test_size_in_json(void **state)
{
    static const struct {
        int off; /* of the size that is said */
        bool is_said;
        sm_status want;
    } cases[] = {
        {0, true, SM_OK}, {1, true, SM_CORRUPT}, {-1, true, SM_CORRUPT}, {0, false, SM_OK}};

    for (int i = 0; i < SM_COUNT(cases); i++) {
        sm_store *store = new_table(HEAD(FEATURE, POLICY), 3);
        sm_snapshot *s = NULL;
        sm_buf text = {0};
        sm_error e = {0};
        write_checkpoint(store, 1);
        assert_ok(sm_snapshot_open_head(store, 1, NULL, &s, &e), &e);
        const smi_sidecar adds = s->base.sidecars[1];
        sm_buf_printf(&text, HEAD(FEATURE, POLICY) "{\"sidecar\":{\"path\":\"%.*s\"",
                      (int)(adds.key.len - strlen(SIDECARS)), adds.key.data + strlen(SIDECARS));
        if (cases[i].is_said) {
            sm_buf_printf(&text, ",\"sizeInBytes\":%lld",
                          (long long)adds.size_bytes + cases[i].off);
        }
        sm_buf_printf(&text, "}}\n");
        put_text(store, SMI_LOG "00000000000000000001.checkpoint." UUID ".json", sm_buf_str(&text));
        assert_ok(sm_store_delete(store, s->base.keys[0], &e), &e);
        assert_ok(sm_store_delete(store, SM_STR(SMI_LOG "00000000000000000000.json"), &e), &e);
        sm_snapshot_release(s);
        assert_status(sm_snapshot_open(store, 1, NULL, &s, &e), cases[i].want, &e);
        sm_snapshot_release(cases[i].want == SM_OK ? s : NULL);
        sm_buf_release(&text);
        sm_store_release(store);
    }
    (void)state;
}

/* ---- cleaning up ----------------------------------------------------------------------------- */

#define DAY_US ((int64_t)86400 * 1000000)

/* What is expired so many days from now: "2 of the log, 1 sidecar". */
static void expire(sm_store *store, int days, bool is_deleted, int64_t n_log, int64_t n_sidecars)
{
    sm_arena *a = sm_arena_new(NULL);
    const sm_delta_metadata m = {0};
    sm_delta_expired expired;
    sm_error e = {0};
    int64_t n = 0;

    assert_ok(sm_delta_log_expired(store, &m, sm_now_us() + days * DAY_US, a, &expired, &e), &e);
    for (int64_t i = 0; i < expired.n; i++) {
        n += sm_str_starts(expired.keys[i], SM_STR(SIDECARS));
    }
    assert_int_equal(n, n_sidecars);
    assert_int_equal(expired.n - n, n_log);
    if (is_deleted) {
        sm_delta_log_delete(store, &expired);
    }
    sm_arena_free(a);
}

static void put_sidecar(sm_store *store, const char *name)
{
    char key[128];

    snprintf(key, sizeof(key), SIDECARS "%s", name);
    put_text(store, key, SM_STR("x"));
}

/* Sidecars go when no checkpoint that is kept names them, also those that were never named. */
static void test_cleanup(void **state)
{
    sm_store *store = new_table(HEAD(FEATURE, POLICY), 3);
    sm_error e = {0};

    write_checkpoint(store, 1);
    put_commit(store, 2, "");
    write_checkpoint(store, 2);
    put_sidecar(store, "lost.parquet");
    assert_int_equal(count_sidecars(store), 5);
    expire(store, 29, false, 0, 0);
    expire(store, 32, true, 3, 3); /* of version 1, and the lost one */
    assert_int_equal(count_sidecars(store), 2);
    assert_files(store, 2, 1, 4, 2, 2);
    expire(store, 90, false, 0, 0);
    assert_ok(sm_store_delete(store, SM_STR(SMI_LOG "00000000000000000002.json"), &e), &e);
    assert_files(store, 2, 1, 4, 2, 2);
    sm_store_release(store);
    (void)state;
}

/* Nothing goes where the checkpoint that is kept lacks a sidecar, and no sidecar where it is not
 * known what a later checkpoint names. */
static void test_no_cleanup(void **state)
{
    sm_store *store = new_table(HEAD(FEATURE, POLICY), 3);
    sm_snapshot *s = NULL;
    sm_error e = {0};

    write_checkpoint(store, 1);
    put_sidecar(store, "lost.parquet");
    expire(store, 90, false, 1, 1);
    put_commit(store, 3, "");
    put_text(store, SMI_LOG "00000000000000000003.checkpoint." UUID ".json", SM_STR("x"));
    expire(store, 90, false, 1, 0);
    assert_ok(sm_snapshot_open_head(store, 1, NULL, &s, &e), &e);
    assert_ok(sm_store_delete(store, s->base.sidecars[0].key, &e), &e);
    sm_snapshot_release(s);
    expire(store, 90, false, 0, 0);
    assert_files(store, 1, 1, 4, 1, 2); /* by the commits, when its files are asked for */
    sm_store_release(store);
    (void)state;
}

/* … nor where one of its own is another file now. */
static void test_no_cleanup_of_others(void **state)
{
    char key[128];
    uint64_t sizes[2] = {0};
    sm_store *store = with_other_sidecar(key, sizes);

    expire(store, 90, true, 0, 0);
    assert_files(store, 2, 1, 40, 2, 2);
    sm_store_release(store);
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_other_size),
        cmocka_unit_test(test_size_in_json),
        cmocka_unit_test(test_cleanup),
        cmocka_unit_test(test_no_cleanup),
        cmocka_unit_test(test_no_cleanup_of_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
