/* SPDX-License-Identifier: Apache-2.0
 *
 * table/table_vacuum_test.c: which files a vacuum deletes and which it leaves, by hand-written logs
 * in a memory store; symbolic links and failing deletions on a disk. */
#include "orders.h"

#include <sys/stat.h>

#define DAY_US ((int64_t)86400 * 1000000)

/* The time of the vacuum: the objects of a test, which are made now, are ten days old by then. */
static int64_t later_us(void)
{
    return sm_now_us() + 10 * DAY_US;
}

#define PROTOCOL "{\"protocol\":{\"minReaderVersion\":1,\"minWriterVersion\":2}}\n"
#define METADATA(config)                                                                           \
    "{\"metaData\":{\"id\":\"a\",\"format\":{\"provider\":\"parquet\",\"options\":{}},"            \
    "\"schemaString\":\"{\\\"type\\\":\\\"struct\\\",\\\"fields\\\":[{\\\"name\\\":\\\"_day\\\","  \
    "\\\"type\\\":\\\"integer\\\",\\\"nullable\\\":true,\\\"metadata\\\":{}}]}\","                 \
    "\"partitionColumns\":[\"_day\"],\"configuration\":{" config "}}}\n"
#define ADD_MORE(path, more)                                                                       \
    "{\"add\":{\"path\":\"" path "\",\"partitionValues\":{\"_day\":\"1\"},\"size\":1,"             \
    "\"modificationTime\":1,\"dataChange\":true" more "}}\n"
#define ADD(path) ADD_MORE(path, "")
#define CHANGE(path)                                                                               \
    "{\"cdc\":{\"path\":\"" path "\",\"partitionValues\":{\"_day\":\"1\"},\"size\":1,"             \
    "\"dataChange\":false}}\n"
#define VECTOR(type, text)                                                                         \
    ",\"deletionVector\":{\"storageType\":\"" type "\",\"pathOrInlineDv\":\"" text                 \
    "\",\"offset\":1,\"sizeInBytes\":1,\"cardinality\":1}"
/* The example of PROTOCOL.md. */
#define DV_TEXT "ab^-aqEH.-t@S}K{vb[*k^"
#define DV_KEY  "ab/deletion_vector_d2c639aa-8816-431a-aaf6-d3fe2512ff61.bin"

static void put_log(kit *k, sm_store *s, int version, const char *text)
{
    put_text(s, sm_arena_strf(k->arena, "_delta_log/%020d.json", version).data, text);
}

/* A line that removes a file so many days before the vacuum. */
static const char *removal(kit *k, const char *path, int days, const char *more)
{
    return sm_arena_strf(k->arena,
                         "{\"remove\":{\"path\":\"%s\",\"deletionTimestamp\":%" PRId64
                         ",\"dataChange\":true%s}}\n",
                         path, (later_us() - days * DAY_US) / 1000, more)
        .data;
}

static bool is_there(sm_store *s, const char *key)
{
    sm_error e = {0};
    sm_entry entry;
    sm_arena *a = sm_arena_new(NULL);
    const sm_status st = sm_store_stat(s, sm_str_of(key), a, &entry, &e);
    assert_true(st == SM_OK || st == SM_NOT_FOUND);
    sm_arena_free(a);
    return st == SM_OK;
}

static sm_status run(kit *k, sm_store *s, sm_vacuum v, sm_vacuum_report *r, sm_error *e)
{
    v.uri = sm_store_uri(s);
    v.now_us = v.now_us > 0 ? v.now_us : later_us();
    *r = (sm_vacuum_report){0};
    return sm_table_vacuum(test_stores, &v, k->budget, k->arena, r, e);
}

/* ---- which files ----------------------------------------------------------------------------- */

static const struct {
    const char *key;
    bool full, lite; /* does it go? */
} files[] = {
    {"live.parquet", false, false},
    {"_day=1/a b%.parquet", false, false},
    {"absolute.parquet", false, false},
    {"file uri.parquet", false, false},
    {"removed-late.parquet", false, false},
    {"removed-and-back.parquet", false, false},
    {DV_KEY, false, false},
    {"deletion_vector_of_late.bin", false, false}, /* by an absolute path */
    {"removed-early.parquet", true, true},
    {"_day=1/removed early.parquet", true, true},
    {"never-named.parquet", true, false},
    {"_day=2/never-named.parquet", true, false},
    {"ab/deletion_vector_d2c639aa-8816-431a-aaf6-d3fe2512ff62.bin", true, false},
    {".smelt-tmp-0123456789abcdef", true, false},
    {"_day=1/.smelt-tmp-0123456789abcdef", true, false},
    {"_smelt/x.parquet", false, false},
    {"_change_data/never-named.parquet", true, false},
    {"_change_data/_day=1/named early.parquet", true, true},
    {"_change_data/.smelt-tmp-0123456789abcdef", true, false},
    {"_change_data/_x/x.parquet", false, false},
    {"x/_change_data/x.parquet", false, false},
    {"_other=1/x.parquet", false, false},
    {".hidden/x.parquet", false, false},
    {".x.parquet.crc", false, false},
    {"_x.parquet", false, false},
    {"README.md", false, false},
    {"_delta_log/x.parquet", false, false},
    {"nested/_delta_log/00000000000000000000.json", false, false},
    {"nested/x.parquet", false, false},
    {"nested/deeper/x.parquet", false, false},
    {"nested-not/x.parquet", true, false},
};

static void make_files(kit *k, sm_store *s)
{
    for (int i = 0; i < SM_COUNT(files); i++) {
        put_text(s, files[i].key, "x");
    }
    put_log(k, s, 0,
            PROTOCOL METADATA("") ADD("removed-and-back.parquet")
                CHANGE("_change_data/_day=1/named%20early.parquet")
                    ADD_MORE("live.parquet", VECTOR("u", DV_TEXT)));
    const sm_str removes = sm_arena_strf(
        k->arena, "%s%s%s%s%s%s", removal(k, "removed-late.parquet", 6, ""),
        removal(k, "removed-early.parquet", 8, ""),
        removal(k, "_day=1/removed%20early.parquet", 8, ""),
        removal(k, "removed-and-back.parquet", 8, ""),
        removal(k, "late.parquet", 1, VECTOR("p", "s3://b/deletion_vector_of_late.bin")),
        removal(k, "_delta_log/x.parquet", 8, ""));
    put_log(k, s, 1, removes.data);
    put_log(k, s, 2,
            ADD("removed-and-back.parquet") ADD("_day=1/a%20b%25.parquet")
                ADD("/any/where/absolute.parquet") ADD("file:/any/where/file%20uri.parquet"));
}

static void check_kinds(bool is_lite)
{
    kit k;
    sm_error e = {0};
    sm_vacuum_report r, dry;
    int64_t n = 0;
    kit_init(&k);
    sm_store *s = open_store(is_lite ? "memory://vacuum-lite" : "memory://vacuum-full");
    make_files(&k, s);

    assert_ok(
        run(&k, s, (sm_vacuum){.retention_us = -1, .is_lite = is_lite, .is_dry = true}, &dry, &e),
        &e);
    for (int i = 0; i < SM_COUNT(files); i++) {
        assert_true(is_there(s, files[i].key));
        n += is_lite ? files[i].lite : files[i].full;
    }
    assert_int_equal(dry.n_files, n);
    assert_false(is_there(s, "_delta_log/00000000000000000003.json"));

    assert_ok(run(&k, s, (sm_vacuum){.retention_us = -1, .is_lite = is_lite}, &r, &e), &e);
    for (int i = 0; i < SM_COUNT(files); i++) {
        const bool goes = is_lite ? files[i].lite : files[i].full;
        if (is_there(s, files[i].key) == goes) {
            fail_msg("%s %s", files[i].key, goes ? "was not deleted" : "was deleted");
        }
    }
    assert_int_equal(r.n_deleted, n);
    assert_int_equal(r.size_bytes, n);
    assert_int_equal(r.n_failed + r.n_young, 0);
    assert_int_equal(r.retention_us, 7 * DAY_US);
    assert_false(r.log_is_cut);
    assert_true(r.has_records);
    assert_true(is_there(s, "_delta_log/00000000000000000004.json")); /* START and END */
    assert_false(is_there(s, "_delta_log/00000000000000000005.json"));

    assert_ok(run(&k, s, (sm_vacuum){.retention_us = -1, .is_lite = is_lite}, &r, &e), &e);
    assert_int_equal(r.n_files, 0);
    sm_store_release(s);
    kit_release(&k);
}

static void test_full(void **state)
{
    check_kinds(false);
}

static void test_lite(void **state)
{
    check_kinds(true);
}

/* Removed files are looked up several at a time, and deleted in several batches. */
static void test_many(void **state)
{
    enum { N = 1200, DELAY_MS = 20 };
    kit k;
    sm_error e = {0};
    sm_vacuum_report r;
    sm_buf log = {0};
    kit_init(&k);
    sm_store *s = open_store(kit_uri(&k, "table").data);
    sm_buf_printf(&log, "%s", PROTOCOL METADATA("") ADD("live.parquet"));
    put_text(s, "live.parquet", "x");
    for (int i = 0; i < N; i++) {
        const char *key = sm_arena_strf(k.arena, "f%04d.parquet", i).data;
        sm_buf_printf(&log, "%s", removal(&k, key, 30, ""));
        put_text(s, key, "xy");
    }
    put_log(&k, s, 0, sm_arena_str(k.arena, sm_buf_str(&log)).data);

    setenv("SMELT_FAULT", "delay_ms=20", 1);
    const int64_t start_ns = sm_monotonic_ns();
    assert_ok(run(&k, s, (sm_vacuum){.retention_us = -1, .is_lite = true, .is_dry = true}, &r, &e),
              &e);
    assert_true(sm_monotonic_ns() - start_ns < N * DELAY_MS * INT64_C(1000000));
    unsetenv("SMELT_FAULT");
    assert_int_equal(r.n_files, N);
    assert_ok(run(&k, s, (sm_vacuum){.retention_us = -1}, &r, &e), &e);
    assert_int_equal(r.n_deleted, N);
    assert_int_equal(r.size_bytes, 2 * N);
    assert_true(is_there(s, "live.parquet"));
    assert_false(is_there(s, "f0000.parquet") || is_there(s, "f1199.parquet"));
    sm_buf_release(&log);
    sm_store_release(s);
    kit_release(&k);
}

/* Nothing is old enough yet. */
static void test_young(void **state)
{
    kit k;
    sm_error e = {0};
    sm_vacuum_report r;
    kit_init(&k);
    sm_store *s = open_store("memory://vacuum-young");
    put_log(&k, s, 0, PROTOCOL METADATA(""));
    put_text(s, "x.parquet", "x");
    assert_ok(run(&k, s, (sm_vacuum){.retention_us = -1, .now_us = sm_now_us() + DAY_US}, &r, &e),
              &e);
    assert_int_equal(r.n_files, 0);
    assert_int_equal(r.n_young, 1);
    assert_true(is_there(s, "x.parquet"));
    sm_store_release(s);
    kit_release(&k);
}

/* A file of changed rows stays as long as its commit is young, however old the file is. */
static void test_young_changes(void **state)
{
    kit k;
    sm_error e = {0};
    sm_vacuum_report r;
    char before[32];
    kit_init(&k);
    sm_store *s = open_store("memory://vacuum-changes");
    snprintf(before, sizeof(before), "%" PRId64, sm_now_us() - 20 * DAY_US);
    setenv("SMELT_NOW_US", before, 1);
    put_text(s, "_change_data/named.parquet", "x");
    put_text(s, "_change_data/never-named.parquet", "x");
    unsetenv("SMELT_NOW_US");
    put_log(&k, s, 0, PROTOCOL METADATA("") CHANGE("_change_data/named.parquet"));
    for (int lite = 0; lite < 2; lite++) {
        const sm_vacuum v = {.retention_us = -1, .now_us = sm_now_us() + DAY_US, .is_lite = lite};
        assert_ok(run(&k, s, v, &r, &e), &e);
        assert_int_equal(r.n_files, lite ? 0 : 1);
        assert_int_equal(r.n_young, 0);
    }
    assert_true(is_there(s, "_change_data/named.parquet"));
    assert_false(is_there(s, "_change_data/never-named.parquet"));
    sm_store_release(s);
    kit_release(&k);
}

/* A log that was cleaned up: what its first commits removed is known to a full vacuum only. */
static void test_cut_log(void **state)
{
    kit k;
    sm_error e = {0};
    sm_vacuum_report r;
    kit_init(&k);
    const sm_write w = {.uri = kit_uri(&k, "silver/orders")};
    for (int i = 0; i < 11; i++) {
        assert_ok(write_orders(&k, &w, (const order[]){{"2022-04-01", "anna", i}}, 1, NULL, &e),
                  &e);
    }
    sm_store *s = open_store(kit_uri(&k, "silver/orders").data);
    for (int i = 0; i < 10; i++) {
        const sm_str key = sm_arena_strf(k.arena, "_delta_log/%020d.json", i);
        assert_ok(sm_store_delete(s, key, &e), &e);
    }
    put_text(s, "orphan.parquet", "x");
    assert_ok(run(&k, s, (sm_vacuum){.retention_us = -1, .is_lite = true}, &r, &e), &e);
    assert_true(r.log_is_cut);
    assert_int_equal(r.n_files, 0);
    assert_ok(run(&k, s, (sm_vacuum){.retention_us = -1}, &r, &e), &e);
    assert_int_equal(r.n_deleted, 1);
    assert_non_null(strstr(table_text(&k, "silver", "orders"), "2022-04-01 anna 10;"));
    sm_store_release(s);
    kit_release(&k);
}

/* ---- how long -------------------------------------------------------------------------------- */

#define OWN(text) PROTOCOL METADATA("\"delta.deletedFileRetentionDuration\":\"" text "\"")

static void test_retention(void **state)
{
    static const struct {
        const char *log;
        int64_t hours; /* −1: as the table says */
        bool ignores;
        sm_status want;
        int64_t want_hours;
    } cases[] = {
        {PROTOCOL METADATA(""), -1, false, SM_OK, 168},
        {PROTOCOL METADATA(""), 168, false, SM_OK, 168},
        {PROTOCOL METADATA(""), 167, false, SM_USAGE, 0},
        {PROTOCOL METADATA(""), 0, true, SM_OK, 0},
        {OWN("interval 2 hours"), -1, false, SM_OK, 2},
        {OWN("interval 2 hours"), 2, false, SM_OK, 2},
        {OWN("interval 2 hours"), 1, false, SM_USAGE, 0},
        {OWN("interval 1 week 2 days"), -1, false, SM_OK, 216},
        {OWN("2 Days"), -1, false, SM_OK, 48},
        {OWN("a while"), -1, false, SM_INVALID, 0},
        {OWN("interval"), -1, false, SM_INVALID, 0},
        {OWN("interval 2 days and"), 1000, false, SM_INVALID, 0},
        {OWN("a while"), -1, true, SM_INVALID, 0},
        {OWN("a while"), 5, true, SM_OK, 5},
    };
    kit k;
    kit_init(&k);
    for (int i = 0; i < SM_COUNT(cases); i++) {
        sm_error e = {0};
        sm_vacuum_report r;
        sm_store *s = open_store(sm_arena_strf(k.arena, "memory://vacuum-time-%d", i).data);
        put_log(&k, s, 0, cases[i].log);
        put_text(s, "x.parquet", "x");
        const sm_status st =
            run(&k, s,
                (sm_vacuum){.retention_us = cases[i].hours < 0 ? -1 : cases[i].hours * DAY_US / 24,
                            .ignores_own_retention = cases[i].ignores},
                &r, &e);
        assert_status(st, cases[i].want, &e);
        assert_int_equal(is_there(s, "x.parquet"), st != SM_OK);
        assert_int_equal(r.retention_us, cases[i].want_hours * DAY_US / 24);
        sm_store_release(s);
    }
    kit_release(&k);
}

/* ---- what is refused ------------------------------------------------------------------------- */

#define FEATURES(version, names)                                                                   \
    "{\"protocol\":{\"minReaderVersion\":1,\"minWriterVersion\":" version                          \
    ",\"writerFeatures\":[" names "]}}\n" METADATA("")

static void test_features(void **state)
{
    static const struct {
        const char *log;
        sm_status want;
        bool has_records;
    } cases[] = {
        {FEATURES("7", "\"vacuumProtocolCheck\""), SM_OK, true},
        {FEATURES("7", "\"rowTracking\",\"domainMetadata\""), SM_OK, true},
        {FEATURES("4", ""), SM_OK, true},
        {FEATURES("7", "\"icebergCompatV1\""), SM_UNSUPPORTED, false},
        {FEATURES("7", "\"fromTheFuture\""), SM_UNSUPPORTED, false},
        {FEATURES("8", ""), SM_UNSUPPORTED, false},
        {PROTOCOL METADATA("") ADD_MORE("a.parquet", VECTOR("u", "short")), SM_CORRUPT, false},
        {PROTOCOL METADATA("") ADD_MORE("a.parquet", VECTOR("q", DV_TEXT)), SM_CORRUPT, false},
        {PROTOCOL METADATA("") ADD_MORE("a.parquet", VECTOR("i", DV_TEXT)), SM_OK, true},
    };
    kit k;
    kit_init(&k);
    for (int i = 0; i < SM_COUNT(cases); i++) {
        sm_error e = {0};
        sm_vacuum_report r;
        sm_store *s = open_store(sm_arena_strf(k.arena, "memory://vacuum-features-%d", i).data);
        put_log(&k, s, 0, cases[i].log);
        put_text(s, "x.parquet", "x");
        const sm_status st = run(&k, s, (sm_vacuum){.retention_us = -1}, &r, &e);
        assert_status(st, cases[i].want, &e);
        assert_int_equal(is_there(s, "x.parquet"), st != SM_OK);
        assert_int_equal(r.has_records, cases[i].has_records);
        sm_store_release(s);
    }
    kit_release(&k);
}

/* ---- a disk ---------------------------------------------------------------------------------- */

/* A link to a file and one to a folder, and the log names files behind both. */
static void test_links(void **state)
{
    kit k;
    sm_error e = {0};
    sm_vacuum_report r;
    kit_init(&k);
    sm_store *s = open_store(kit_uri(&k, "table").data);
    sm_store *outside = open_store(kit_uri(&k, "outside").data);
    put_text(outside, "a.parquet", "x");
    put_text(outside, "b.parquet", "x");
    put_text(s, "own/a.parquet", "x");
    assert_int_equal(symlink("../outside", kit_uri(&k, "table/folder").data), 0);
    assert_int_equal(symlink("../outside/b.parquet", kit_uri(&k, "table/b.parquet").data), 0);
    put_log(&k, s, 0, PROTOCOL METADATA(""));
    const sm_str removes =
        sm_arena_strf(k.arena, "%s%s%s", removal(&k, "folder/a.parquet", 8, ""),
                      removal(&k, "b.parquet", 8, ""), removal(&k, "own/a.parquet", 8, ""));
    put_log(&k, s, 1, removes.data);

    assert_ok(run(&k, s, (sm_vacuum){.retention_us = -1, .is_lite = true}, &r, &e), &e);
    assert_int_equal(r.n_deleted, 1);
    assert_false(is_there(s, "own/a.parquet"));
    put_text(s, "own/a.parquet", "x");
    assert_ok(run(&k, s, (sm_vacuum){.retention_us = -1}, &r, &e), &e);
    assert_int_equal(r.n_deleted, 1);
    assert_true(is_there(outside, "a.parquet"));
    assert_true(is_there(outside, "b.parquet"));
    assert_true(is_there(s, "folder/a.parquet"));
    sm_store_release(s);
    sm_store_release(outside);
    kit_release(&k);
}

/* Each k-th call to the store fails: what is needed stays, and the next vacuum ends the work. */
static void test_failures(void **state)
{
    for (int at = 1;; at++) {
        kit k;
        sm_error e = {0};
        sm_vacuum_report r;
        kit_init(&k);
        sm_store *s = open_store(kit_uri(&k, "table").data);
        put_log(&k, s, 0, PROTOCOL METADATA("") ADD("live.parquet"));
        put_text(s, "live.parquet", "x");
        put_text(s, "x.parquet", "x");
        put_text(s, "y.parquet", "x");

        setenv("SMELT_FAULT", sm_arena_strf(k.arena, "at=%d,kind=error", at).data, 1);
        const sm_status st = run(&k, s, (sm_vacuum){.retention_us = -1}, &r, &e);
        sm_store *count = open_store("memory://count");
        const bool fired = sm_fault_calls(count) >= at;
        sm_store_release(count);
        unsetenv("SMELT_FAULT");
        assert_true(is_there(s, "live.parquet"));
        assert_true(st == SM_OK || r.n_deleted + r.n_failed == 0 || r.n_deleted + r.n_failed == 2);
        assert_int_equal(r.n_failed > 0 && st == SM_OK, false);

        e = (sm_error){0};
        assert_ok(run(&k, s, (sm_vacuum){.retention_us = -1}, &r, &e), &e);
        assert_true(is_there(s, "live.parquet"));
        assert_false(is_there(s, "x.parquet") || is_there(s, "y.parquet"));
        sm_store_release(s);
        kit_release(&k);
        if (!fired) {
            assert_int_equal(st, SM_OK);
            assert_true(at > 5);
            break;
        }
    }
}

static void test_no_table(void **state)
{
    kit k;
    sm_error e = {0};
    sm_vacuum_report r;
    kit_init(&k);
    sm_store *s = open_store(kit_uri(&k, "folder").data);
    assert_status(run(&k, s, (sm_vacuum){.retention_us = -1}, &r, &e), SM_NOT_FOUND, &e);
    put_text(s, "x.parquet", "x");
    e = (sm_error){0};
    assert_status(run(&k, s, (sm_vacuum){.retention_us = -1}, &r, &e), SM_NOT_FOUND, &e);
    assert_true(is_there(s, "x.parquet"));
    sm_store_release(s);
    kit_release(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_full),     cmocka_unit_test(test_lite),
        cmocka_unit_test(test_young),    cmocka_unit_test(test_young_changes),
        cmocka_unit_test(test_cut_log),  cmocka_unit_test(test_retention),
        cmocka_unit_test(test_features), cmocka_unit_test(test_links),
        cmocka_unit_test(test_failures), cmocka_unit_test(test_no_table),
        cmocka_unit_test(test_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
