/* SPDX-License-Identifier: Apache-2.0
 *
 * delta/delta_checksum_test.c: a version is held against its checksum, and a table that has
 * checksums gets one with each commit. */
#include "test.h"

#include "delta/delta_int.h"
#include "stores.h"

static sm_store *store_of(const char *name)
{
    sm_store *s = NULL;
    sm_error e = {0};
    char uri[64];

    snprintf(uri, sizeof(uri), "memory://checksum-%s", name);
    assert_ok(sm_store_open(test_stores, sm_str_of(uri), &s, &e), &e);
    return s;
}

static void put_log(sm_store *s, const char *name, const char *text)
{
    char key[80];
    sm_error e = {0};

    snprintf(key, sizeof(key), "_delta_log/0000000000000000000%s", name);
    assert_ok(sm_store_put(s, sm_str_of(key), text, strlen(text), SM_PUT_REPLACE, &e), &e);
}

#define TABLE                                                                                      \
    "{\"protocol\":{\"minReaderVersion\":1,\"minWriterVersion\":2}}\n"                             \
    "{\"metaData\":{\"id\":\"i\",\"format\":{\"provider\":\"parquet\",\"options\":{}},"            \
    "\"schemaString\":\"{\\\"type\\\":\\\"struct\\\",\\\"fields\\\":[{\\\"name\\\":\\\"a\\\", "    \
    "\\\"type\\\":\\\"long\\\",\\\"nullable\\\":true,\\\"metadata\\\":{}}]}\","                    \
    "\"partitionColumns\":[],\"configuration\":{}}}\n"                                             \
    "{\"add\":{\"path\":\"x\",\"partitionValues\":{},\"size\":100,\"modificationTime\":1,"         \
    "\"dataChange\":true}}\n"

static void test_check(void **state)
{
    static const struct {
        const char *crc;
        sm_status want;
        const char *what;
    } rows[] = {
        {"{\"numFiles\":1,\"tableSizeBytes\":100,\"protocol\":{\"minReaderVersion\":1}}", SM_OK,
         NULL},
        {"{}", SM_OK, NULL},
        {"{\"numFiles\":", SM_OK, NULL}, /* half written */
        {"{\"numFiles\":2,\"tableSizeBytes\":100}", SM_CORRUPT,
         "version 0 has a number of files of 1, but its checksum says 2"},
        {"{\"numFiles\":1,\"tableSizeBytes\":99}", SM_CORRUPT,
         "version 0 has a size in bytes of 100, but its checksum says 99"},
        {"{\"numFiles\":1,\"protocol\":{\"minReaderVersion\":1,\"minWriterVersion\":7}}",
         SM_CORRUPT, "version 0 has the writer version 2, but its checksum says 7"},
    };
    sm_store *s = store_of("check");
    put_log(s, "0.json", TABLE);
    for (int i = 0; i < SM_COUNT(rows); i++) {
        sm_error e = {0};
        sm_snapshot *snapshot = NULL;
        put_log(s, "0.crc", rows[i].crc);
        assert_status(sm_snapshot_open(s, SM_VERSION_LATEST, NULL, &snapshot, &e), rows[i].want,
                      &e);
        if (rows[i].what) {
            assert_string_equal(e.what, rows[i].what);
            assert_non_null(strstr(e.object, "00000000000000000000.crc"));
        }
        sm_snapshot_release(snapshot);
    }
    sm_store_release(s);
}

/* Appends a file of 50 bytes to the version, and removes its first file where it says so. */
static int64_t follow(sm_store *s, int64_t base, const char *key, bool removes)
{
    sm_error e = {0};
    sm_snapshot *snapshot = NULL;
    int64_t version = -1, n = 0;

    assert_ok(sm_snapshot_open(s, base, NULL, &snapshot, &e), &e);
    const sm_delta_file *first = sm_snapshot_files(snapshot, &n);
    const sm_delta_add add = {.key = sm_str_of(key), .size_bytes = 50, .n_rows = 1};
    const sm_delta_commit c = {
        .adds = &add, .n_adds = 1, .removes = &first, .n_removes = removes ? 1 : 0};
    assert_ok(sm_delta_commit_write(s, snapshot, &c, NULL, &version, &e), &e);
    sm_snapshot_release(snapshot);
    return version;
}

static sm_status remove_file(void *ctx, const sm_delta_file *f, sm_error *e)
{
    const sm_delta_commit c = {.isolation = SM_READ_ALL, .removes = &f, .n_removes = 1};
    int64_t version = -1;
    sm_snapshot *base = ctx;

    SM_TRY(sm_delta_commit_write(sm_snapshot_store(base), base, &c, NULL, &version, e));
    return SM_END; /* the first alone */
}

/* Removes the first file of a version of which the files are not listed, so that its checksum is
 * believed. */
static int64_t follow_head(sm_store *s, int64_t base)
{
    sm_error e = {0};
    sm_snapshot *snapshot = NULL;

    assert_ok(sm_snapshot_open_head(s, base, NULL, &snapshot, &e), &e);
    const sm_delta_sink to = {.file = remove_file, .ctx = snapshot};
    assert_int_equal(sm_snapshot_each(snapshot, NULL, &to, &e), SM_END);
    sm_snapshot_release(snapshot);
    return base + 1;
}

static bool has_checksum(sm_store *s, int64_t version)
{
    sm_error e = {0};
    sm_snapshot *snapshot = NULL;

    assert_ok(sm_snapshot_open(s, version, NULL, &snapshot, &e), &e);
    const bool has = snapshot->has_checksum; /* it was compared */
    sm_snapshot_release(snapshot);
    return has;
}

static void test_follow(void **state)
{
    sm_store *s = store_of("follow");
    sm_error e = {0};
    sm_buf text = {0};

    put_log(s, "0.json", TABLE);
    assert_int_equal(follow(s, 0, "b", false), 1);
    assert_false(has_checksum(s, 1)); /* the table has none */
    put_log(s, "1.crc", "{\"numFiles\":2,\"tableSizeBytes\":150}");
    assert_int_equal(follow(s, 1, "c", false), 2);
    assert_int_equal(follow(s, 2, "d", true), 3);
    assert_true(has_checksum(s, 2));
    assert_true(has_checksum(s, 3));
    assert_int_equal(follow(s, 2, "e", false), 4); /* behind a version that it did not read */
    assert_false(has_checksum(s, 4));
    put_log(s, "4.crc", "{\"numFiles\":4,\"tableSizeBytes\":0}"); /* it cannot be so small */
    assert_int_equal(follow_head(s, 4), 5);
    assert_false(has_checksum(s, 5));

    /* The schema is as its writer printed it, with its space. */
    assert_ok(sm_store_get(s, SM_STR("_delta_log/00000000000000000003.crc"), &text, &e), &e);
    assert_ok(sm_buf_add(&text, "", 1, &e), &e);
    assert_string_equal(
        (const char *)text.data,
        "{\"tableSizeBytes\":150,\"numFiles\":3,\"numMetadata\":1,\"numProtocol\":1,"
        "\"metadata\":{\"id\":\"i\",\"format\":{\"provider\":\"parquet\",\"options\":{}},"
        "\"schemaString\":\"{\\\"type\\\":\\\"struct\\\",\\\"fields\\\":[{\\\"name\\\":\\\"a\\\", "
        "\\\"type\\\":\\\"long\\\",\\\"nullable\\\":true,\\\"metadata\\\":{}}]}\","
        "\"partitionColumns\":[],\"configuration\":{}},"
        "\"protocol\":{\"minReaderVersion\":1,\"minWriterVersion\":2}}\n");
    sm_buf_release(&text);
    sm_store_release(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_check),
        cmocka_unit_test(test_follow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
