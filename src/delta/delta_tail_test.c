/* SPDX-License-Identifier: Apache-2.0
 *
 * delta/delta_tail_test.c: a table whose _last_checkpoint leads to its newest checkpoint is opened
 * by the end of its log alone. What else is wrong with the log is seen as in a listing of all. */
#include "test.h"

#include <inttypes.h>

#include "delta_logs.h"

#define HEAD      "{\"protocol\":{\"minReaderVersion\":1,\"minWriterVersion\":2}}\n" METADATA("")
#define BASE      300 /* the version of the last checkpoint */
#define LAST      305
#define OLD       150 /* of the one before */
#define CHECKSUM  "{\"tableSizeBytes\":306,\"numFiles\":306,\"numMetadata\":1,\"numProtocol\":1}"
#define PARQUET   ".checkpoint.parquet"
#define COMPACTED "{\"txn\":{\"appId\":\"app\",\"version\":7}}\n"

/* Version N has the files 0 to N. */
static void put_version(sm_store *store, int64_t version)
{
    char text[1024];

    snprintf(text, sizeof(text),
             "%s{\"add\":{\"path\":\"%d\",\"partitionValues\":{},\"size\":1,"
             "\"modificationTime\":1,\"dataChange\":true}}\n",
             version == 0 ? HEAD : INFO, (int)version);
    put_commit(store, version, text);
}

static sm_store *new_log(void)
{
    sm_store *store = new_store();

    for (int64_t v = 0; v <= LAST; v++) {
        put_version(store, v);
    }
    write_checkpoint(store, OLD);
    write_checkpoint(store, BASE);
    return store;
}

static void put_at(sm_store *store, int64_t version, const char *suffix, const char *text)
{
    char key[128];

    snprintf(key, sizeof(key), SMI_LOG "%020d%s", (int)version, suffix);
    put_text(store, key, sm_str_of(text));
}

static void drop(sm_store *store, int64_t version, const char *suffix)
{
    char key[128];
    sm_error e = {0};

    snprintf(key, sizeof(key), SMI_LOG "%020d%s", (int)version, suffix);
    assert_ok(sm_store_delete(store, sm_str_of(key), &e), &e);
}

/* The version is opened by that checkpoint, and has its files. */
static void assert_opens(sm_store *store, int64_t version, int64_t base)
{
    sm_snapshot *s = NULL;
    sm_error e = {0};
    int64_t n = 0;

    assert_ok(sm_snapshot_open(store, version, NULL, &s, &e), &e);
    assert_int_equal(s->base.version, base);
    sm_snapshot_files(s, &n);
    assert_int_equal(n, sm_snapshot_version(s) + 1);
    assert_int_equal(sm_snapshot_version(s), version == SM_VERSION_LATEST ? LAST : version);
    sm_snapshot_release(s);
}

static void test_opens(void **state)
{
    sm_store *store = new_log();
    static const int64_t versions[][2] = {{SM_VERSION_LATEST, BASE},
                                          {LAST, BASE},
                                          {BASE, BASE},
                                          {BASE - 1, OLD},
                                          {OLD, OLD},
                                          {OLD - 1, -1},
                                          {0, -1}};
    sm_snapshot *s = NULL;
    sm_error e = {0};

    for (int i = 0; i < SM_COUNT(versions); i++) {
        assert_opens(store, versions[i][0], versions[i][1]);
    }
    assert_status(sm_snapshot_open(store, LAST + 1, NULL, &s, &e), SM_NOT_FOUND, &e);
    assert_non_null(strstr(e.what, "its latest is 305"));
    sm_store_release(store);
    (void)state;
}

/* What _last_checkpoint says is believed only as far as the log has it. */
static void test_other_pointers(void **state)
{
    static const struct {
        const char *text;
        int64_t base; /* LAST + 1: it is refused */
    } cases[] = {
        {"{\"version\":150}", BASE}, /* an older one: there is a newer one behind it */
        {"{\"version\":299}", BASE}, /* none is there */
        {"{\"version\":-5}", BASE},
        {"{\"version\":9223372036854775807}", LAST + 1},
        {"{\"version\":306}", LAST + 1},
        {"{", BASE},
        {"", BASE},
    };

    for (int i = 0; i < SM_COUNT(cases); i++) {
        sm_store *store = new_log();
        sm_snapshot *s = NULL;
        sm_error e = {0};
        put_text(store, SMI_LAST_CHECKPOINT, sm_str_of(cases[i].text));
        if (cases[i].base <= LAST) {
            assert_opens(store, SM_VERSION_LATEST, cases[i].base);
        } else {
            assert_status(sm_snapshot_open(store, SM_VERSION_LATEST, NULL, &s, &e), SM_CORRUPT, &e);
            assert_non_null(strstr(e.what, "commits are missing at the end of the log"));
        }
        sm_store_release(store);
    }
    (void)state;
}

/* A damaged checkpoint is passed over by an older one that no tail has; one that is gone too. */
static void test_damaged(void **state)
{
    sm_store *store = new_log();
    sm_snapshot *s = NULL;
    sm_error e = {0};

    put_at(store, BASE, PARQUET, "PAR1");
    assert_opens(store, SM_VERSION_LATEST, OLD);
    assert_opens(store, LAST, OLD);
    drop(store, BASE, PARQUET);
    assert_opens(store, SM_VERSION_LATEST, OLD);
    drop(store, OLD, PARQUET);
    assert_opens(store, SM_VERSION_LATEST, -1);
    put_at(store, BASE, PARQUET, "PAR1");
    drop(store, 7, ".json");
    assert_status(sm_snapshot_open(store, SM_VERSION_LATEST, NULL, &s, &e), SM_CORRUPT, &e);
    sm_store_release(store);
    (void)state;
}

/* A log that lost its newest commits, or one after the checkpoint. */
static void test_lost_end(void **state)
{
    static const struct {
        int64_t version;
        const char *suffix, *text;
    } told[] = {
        {LAST, ".crc", CHECKSUM},
        {BASE + 1, ".00000000000000000305.compacted.json", COMPACTED},
        {BASE - 60, ".00000000000000000305.compacted.json", COMPACTED},
    };
    sm_snapshot *s = NULL;
    sm_error e = {0};

    for (int i = 0; i < SM_COUNT(told); i++) {
        sm_store *store = new_log();
        put_at(store, told[i].version, told[i].suffix, told[i].text);
        drop(store, LAST, ".json");
        assert_status(sm_snapshot_open(store, SM_VERSION_LATEST, NULL, &s, &e), SM_CORRUPT, &e);
        assert_non_null(strstr(e.what, "is of version 305, and the log ends at version 304"));
        sm_store_release(store);
    }
    sm_store *store = new_log();
    drop(store, LAST - 2, ".json");
    assert_status(sm_snapshot_open(store, SM_VERSION_LATEST, NULL, &s, &e), SM_CORRUPT, &e);
    assert_non_null(strstr(e.what, "version 303 is missing"));
    sm_store_release(store);
    (void)state;
}

static size_t peak_of_opening(sm_store *store)
{
    sm_budget *b = sm_budget_new(NULL, "test", (size_t)1 << 30);
    sm_snapshot *s = NULL;
    sm_error e = {0};

    assert_ok(sm_snapshot_open_head(store, SM_VERSION_LATEST, b, &s, &e), &e);
    assert_int_equal(sm_snapshot_version(s), LAST);
    sm_snapshot_release(s);
    const size_t peak = sm_budget_peak(b);
    sm_budget_free(b);
    return peak;
}

/* Memory does not grow with what the log has before its last checkpoint, nor with its sidecars. */
static void test_bounded(void **state)
{
    sm_store *store = new_log();
    const size_t before = peak_of_opening(store);

    for (int64_t i = 0; i < 20000; i++) {
        char name[64];
        snprintf(name, sizeof(name), ".%05d.bak", (int)i);
        put_at(store, i % 200, name, "x");
        snprintf(name, sizeof(name), SMI_LOG_SIDECARS "%d.parquet", (int)i);
        put_text(store, name, SM_STR("x"));
    }
    assert_in_range(peak_of_opening(store), 0, before + 65536);
    drop(store, BASE, PARQUET); /* the whole log is larger, or the test shows nothing */
    assert_true(peak_of_opening(store) > before + 500000);
    sm_store_release(store);
    (void)state;
}

/* ---- the history ----------------------------------------------------------------------------- */

/* The newest commits of the log, which has none of the versions from first_lost to last_lost. */
static void assert_history(sm_store *store, int64_t limit, int64_t first_lost, int64_t last_lost)
{
    sm_arena *a = sm_arena_new(NULL);
    sm_delta_commit_info *infos = NULL;
    sm_error e = {0};
    int64_t n = 0, version = LAST;

    assert_ok(sm_delta_history(store, limit, a, &infos, &n, &e), &e);
    for (int64_t i = 0; i < n; i++) {
        version = version <= last_lost && version >= first_lost ? first_lost - 1 : version;
        assert_int_equal(infos[i].version, version--);
    }
    const int64_t n_all = LAST + 1 - (last_lost - first_lost + 1);
    assert_int_equal(n, limit < 0 || limit > n_all ? n_all : limit);
    sm_arena_free(a);
}

static void test_history(void **state)
{
    static const char *const pointers[] = {"{\"version\":300}",
                                           "{\"version\":150}",
                                           "{\"version\":3}",
                                           "{\"version\":-5}",
                                           "{\"version\":9223372036854775807}",
                                           "{\"version\":310}",
                                           "{",
                                           NULL};
    static const int64_t limits[] = {-1, 0, 1, 5, 6, 7, 10, 299, 300, 301, 306, 400, INT64_MAX};
    sm_store *store = new_log();
    sm_error e = {0};

    for (int lost = 0; lost < 2; lost++) {
        for (int i = 0; i < SM_COUNT(pointers); i++) {
            if (pointers[i]) {
                put_text(store, SMI_LAST_CHECKPOINT, sm_str_of(pointers[i]));
            } else {
                assert_ok(sm_store_delete(store, SM_STR(SMI_LAST_CHECKPOINT), &e), &e);
            }
            for (int k = 0; k < SM_COUNT(limits); k++) {
                assert_history(store, limits[k], lost ? 290 : 1, lost ? 297 : 0);
            }
        }
        for (int64_t v = 290; v <= 297 && !lost; v++) {
            drop(store, v, ".json");
        }
    }
    sm_store_release(store);
    (void)state;
}

static sm_status count_info(void *ctx, const sm_delta_commit_info *info, sm_error *e)
{
    *(int64_t *)ctx += info->version == LAST;
    return SM_OK;
}

/* The newest commits need no listing of the others. */
static void test_history_is_bounded(void **state)
{
    sm_store *store = new_log();
    size_t peaks[2];

    for (int i = 0; i < 2; i++) {
        sm_budget *b = sm_budget_new(NULL, "test", (size_t)1 << 30);
        sm_error e = {0};
        int64_t n = 0;
        assert_ok(sm_delta_history_each(store, 5, b, count_info, &n, &e), &e);
        assert_int_equal(n, 1);
        peaks[i] = sm_budget_peak(b);
        sm_budget_free(b);
        for (int64_t k = 0; k < 20000 && i == 0; k++) {
            char name[64];
            snprintf(name, sizeof(name), ".%05d.bak", (int)k);
            put_at(store, k % 200, name, "x");
        }
    }
    assert_in_range(peaks[1], 0, peaks[0] + 65536);
    sm_store_release(store);
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_opens),
        cmocka_unit_test(test_other_pointers),
        cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_lost_end),
        cmocka_unit_test(test_bounded),
        cmocka_unit_test(test_history),
        cmocka_unit_test(test_history_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
