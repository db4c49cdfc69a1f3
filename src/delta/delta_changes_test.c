/* SPDX-License-Identifier: Apache-2.0
 *
 * delta/delta_changes_test.c: which files and rows the changes of a range of versions are read
 * from, and which ranges are refused. Logs as Spark writes them; the files themselves are not
 * there. Feeds with rows: tests/peers/test_change_feed.py. */
#include "test.h"

#include <stdio.h>
#include <stdlib.h>

#include "delta/delta_int.h"
#include "stores.h"

#define ID                                                                                         \
    "{\\\"name\\\":\\\"id\\\",\\\"type\\\":\\\"long\\\",\\\"nullable\\\":true,\\\"metadata\\\":{}" \
    "}"
#define NAME                                                                                       \
    "{\\\"name\\\":\\\"name\\\",\\\"type\\\":\\\"string\\\",\\\"nullable\\\":true,"                \
    "\\\"metadata\\\":{}}"
#define ID_AS_TEXT                                                                                 \
    "{\\\"name\\\":\\\"id\\\",\\\"type\\\":\\\"string\\\",\\\"nullable\\\":true,\\\"metadata\\\":" \
    "{}}"
#define TYPE_COLUMN                                                                                \
    "{\\\"name\\\":\\\"_Change_Type\\\",\\\"type\\\":\\\"string\\\",\\\"nullable\\\":true,"        \
    "\\\"metadata\\\":{}}"
#define META(fields, parts, config)                                                                \
    "{\"metaData\":{\"id\":\"x\",\"format\":{\"provider\":\"parquet\",\"options\":{}},"            \
    "\"schemaString\":\"{\\\"type\\\":\\\"struct\\\",\\\"fields\\\":[" fields "]}\","              \
    "\"partitionColumns\":[" parts "],\"configuration\":{" config "}}}\n"
#define ON "\"delta.enableChangeDataFeed\":\"true\""
#define TABLE                                                                                      \
    "{\"protocol\":{\"minReaderVersion\":1,\"minWriterVersion\":4}}\n" META(ID "," NAME, "", ON)
#define FILE_OF(path)  "\"path\":\"" path "\",\"partitionValues\":{},\"size\":10,"
#define ADD(path)      "{\"add\":{" FILE_OF(path) "\"modificationTime\":1,\"dataChange\":true}}\n"
#define ADD_SAME(path) "{\"add\":{" FILE_OF(path) "\"modificationTime\":1,\"dataChange\":false}}\n"
#define REMOVE(path)   "{\"remove\":{" FILE_OF(path) "\"dataChange\":true}}\n"
#define REMOVE_SAME(path)                                                                          \
    "{\"remove\":{" FILE_OF(path) "\"deletionTimestamp\":1,\"dataChange\":false}}\n"
#define CDC(path) "{\"cdc\":{" FILE_OF(path) "\"dataChange\":false}}\n"
#define VECTOR(text, size, n)                                                                      \
    ",\"deletionVector\":{\"storageType\":\"i\",\"pathOrInlineDv\":\"" text                        \
    "\",\"sizeInBytes\":" size ",\"cardinality\":" n "}}}\n"

#define WITH(action, path, vector) "{\"" action "\":{" FILE_OF(path) "\"dataChange\":true" vector

/* Rows 3 and 7, and row 3, as delta_vector_test.c has them. */
#define ROWS_3_7 VECTOR("^Bg9^0rr910000000000iXQKl0rr91000315c8Xg0@@Ma", "36", "2")
#define ROW_3    VECTOR("^Bg9^0rr910000000000iXQKl0rr91000005c8Xg0@@r3", "34", "1")

#define INFO(more) "{\"commitInfo\":{\"operation\":\"MERGE\"" more "}}\n"

typedef struct feed_case {
    const char *name;
    const char *commits[5]; /* "": the commit was cleaned up */
    int64_t from, checkpoint;
    const char *want; /* "version type key[!rows]"; or a part of the error */
    sm_status status;
} feed_case;

static const feed_case cases[] = {
    {"adds and removes",
     {TABLE ADD("a"), ADD("b") REMOVE("a")},
     0,
     0,
     "0 insert a;1 delete a;1 insert b;",
     0},
    {"cdc alone counts",
     {TABLE ADD("a"), ADD("b") CDC("_change_data/c") REMOVE("a") CDC("d%20e")},
     0,
     0,
     "0 insert a;1 NULL _change_data/c;1 NULL d e;",
     0},
    {"rows in other files",
     {TABLE ADD("a"), ADD_SAME("b") REMOVE_SAME("a"), ADD("c")},
     1,
     0,
     "2 insert c;",
     0},
    {"none", {TABLE ADD("a"), ADD("b")}, 2, 0, "", 0},
    {"a MERGE that changed nothing",
     {TABLE ADD("a"),
      INFO(",\"operationMetrics\":{\"numTargetRowsInserted\":\"0\","
           "\"numTargetRowsUpdated\":\"0\",\"numTargetRowsDeleted\":\"0\"}") REMOVE("a") ADD("b")},
     0,
     0,
     "0 insert a;",
     0},
    {"a MERGE without metrics",
     {TABLE ADD("a"), INFO("") REMOVE("a") ADD("b")},
     1,
     0,
     "1 delete a;1 insert b;",
     0},
    {"a vector is set, grows, and goes",
     {TABLE ADD("a"), REMOVE("a") WITH("add", "a", ROW_3),
      WITH("remove", "a", ROW_3) WITH("add", "a", ROWS_3_7),
      WITH("remove", "a", ROWS_3_7) ADD("a")},
     1,
     0,
     "1 delete a!3;2 delete a!7;2 insert a!;3 insert a!3,7;",
     0},
    {"a file with a vector comes, and goes",
     {TABLE WITH("add", "a", ROWS_3_7), WITH("remove", "a", ROWS_3_7)},
     0,
     0,
     "0 insert a!0,1,2,4,5,6;1 delete a!0,1,2,4,5,6;",
     0},
    {"removed, and added as it was",
     {TABLE ADD("a"), REMOVE("a"), ADD("a")},
     1,
     0,
     "1 delete a;2 insert a;",
     0},
    {"a column is added",
     {TABLE ADD("a"), META(ID "," NAME "," TYPE_COLUMN, "", ON)},
     0,
     0,
     "_Change_Type",
     SM_SCHEMA},
    {"columns were added",
     {"{\"protocol\":{\"minReaderVersion\":1,\"minWriterVersion\":4}}\n" META(ID, "", ON) ADD("a"),
      META(ID "," NAME, "", ON), ADD("b")},
     0,
     0,
     "0 insert a;2 insert b;",
     0},
    {"a column went",
     {TABLE ADD("a"), META(ID, "", ON) ADD("b")},
     0,
     0,
     "in version 0 column \"name\" is not as in version 1",
     SM_SCHEMA},
    {"since the column went", {TABLE ADD("a"), META(ID, "", ON) ADD("b")}, 1, 0, "1 insert b;", 0},
    {"another type, and back",
     {TABLE ADD("a"), META(ID_AS_TEXT "," NAME, "", ON), META(ID "," NAME, "", ON)},
     0,
     0,
     "in version 1 column \"id\" is not as in version 2",
     SM_SCHEMA},
    {"other partitions",
     {TABLE ADD("a"), META(ID "," NAME, "\"name\"", ON)},
     0,
     0,
     "in version 0 the partition columns are not as",
     SM_SCHEMA},
    {"not recorded at first",
     {"{\"protocol\":{\"minReaderVersion\":1,\"minWriterVersion\":4}}\n" META(ID, "", "") ADD("a"),
      META(ID, "", ON) ADD("b")},
     0,
     0,
     "did not record its changes in version 0",
     SM_INVALID},
    {"since they are recorded",
     {"{\"protocol\":{\"minReaderVersion\":1,\"minWriterVersion\":4}}\n" META(ID, "", "") ADD("a"),
      META(ID, "", ON) ADD("b")},
     1,
     0,
     "1 insert b;",
     0},
    {"not recorded in between",
     {TABLE ADD("a"), META(ID "," NAME, "", ""), META(ID "," NAME, "", ON) ADD("b")},
     0,
     0,
     "did not record its changes in version 1",
     SM_INVALID},
    {"cleaned up",
     {"", "", TABLE ADD("a"), ADD("b")},
     1,
     2,
     "the log no longer has version 1",
     SM_NOT_FOUND},
    {"not cleaned up", {"", "", TABLE ADD("a"), ADD("b")}, 3, 2, "3 insert b;", 0},
};

static void put(sm_store *s, int64_t version, const char *suffix, const char *text)
{
    char key[128], now[32];
    sm_error e = {0};

    snprintf(key, sizeof(key), "_delta_log/%020d.%s", (int)version, suffix);
    snprintf(now, sizeof(now), "%d", 1000000 * (100 + (int)version));
    setenv("SMELT_NOW_US", now, 1);
    assert_ok(sm_store_put(s, sm_str_of(key), text, strlen(text), SM_PUT_IF_ABSENT, &e), &e);
    unsetenv("SMELT_NOW_US");
}

static sm_store *make_log(const feed_case *c)
{
    static int number = 0;
    char uri[64];
    sm_store *s = NULL;
    sm_error e = {0};

    snprintf(uri, sizeof(uri), "memory://delta_changes_test_%d", number++);
    assert_ok(sm_store_open(test_stores, sm_str_of(uri), &s, &e), &e);
    for (int v = 0; v < SM_COUNT(c->commits) && c->commits[v]; v++) {
        if (c->commits[v][0]) {
            put(s, v, "json", c->commits[v]);
        }
        if (v == c->checkpoint && v > 0) {
            put(s, v, "checkpoint.11111111-2222-4333-8444-555555555555.json", c->commits[v]);
        }
    }
    return s;
}

/* "!3,7": the rows of a file of 8 that are left. */
static void print_rows(const sm_datafile *f, sm_buf *out)
{
    sm_block *bits = NULL;
    sm_error e = {0};
    const char *before = "";

    if (!f->deletes) {
        return;
    }
    assert_ok(f->deletes->read(f->deletes, 8, NULL, &bits, &e), &e);
    sm_buf_text(out, SM_STR("!"));
    for (int64_t i = 0; i < 8; i++) {
        if (!sm_bit_get(bits->data, i)) {
            sm_buf_printf(out, "%s%d", before, (int)i);
            before = ",";
        }
    }
    sm_block_release(bits);
}

static void print_changes(const sm_dataset *d, const int32_t *columns, int32_t n, sm_buf *out)
{
    const int32_t n_stored = d->schema->n_fields - d->n_constants;

    for (int64_t i = 0; i < d->n_files; i++) {
        const sm_value *v = d->files[i].constants;
        const sm_value version = v[columns[n + SM_CHANGES_VERSION] - n_stored];
        const sm_value said = v[columns[n + SM_CHANGES_SAID] - n_stored];
        const sm_value time = v[columns[n + SM_CHANGES_TIMESTAMP] - n_stored];
        sm_buf_printf(out, "%d %.*s %.*s", (int)version.as.i, said.is_null ? 4 : (int)said.as.s.len,
                      said.is_null ? "NULL" : said.as.s.data, SM_STR_ARG(d->files[i].key));
        print_rows(&d->files[i], out);
        sm_buf_text(out, SM_STR(";"));
        assert_int_equal(time.as.i, 1000000 * (100 + version.as.i));
    }
}

static void test_changes(void **state)
{
    for (int i = 0; i < SM_COUNT(cases); i++) {
        sm_store *s = make_log(&cases[i]);
        sm_arena *a = sm_arena_new(NULL);
        sm_snapshot *to = NULL;
        sm_dataset d = {0};
        int32_t *columns = NULL;
        sm_buf text = {0};
        sm_error e = {0};
        assert_ok(sm_snapshot_open_head(s, SM_VERSION_LATEST, NULL, &to, &e), &e);
        const sm_status st = sm_delta_changes(to, cases[i].from, a, &d, &columns, &e);
        if (st == SM_OK) {
            print_changes(&d, columns, to->metadata.schema->n_fields, &text);
        }
        const bool is_right =
            st == cases[i].status && (st == SM_OK ? sm_str_is(sm_buf_str(&text), cases[i].want)
                                                  : strstr(e.what, cases[i].want) != NULL);
        if (!is_right) {
            fail_msg("%s: %.*s, %s", cases[i].name, SM_STR_ARG(sm_buf_str(&text)), e.what);
        }
        sm_buf_release(&text);
        sm_snapshot_release(to);
        sm_arena_free(a);
        sm_store_release(s);
    }
}

/* The first version that is not before a time. */
static void test_since(void **state)
{
    static const struct {
        int64_t at_us, want;
    } rows[] = {{0, 0},         {INT64_MIN, 0}, {100000000, 0}, {100000001, 1}, {101000000, 1},
                {101000001, 2}, {102000000, 2}, {102000001, 3}, {INT64_MAX, 3}};
    const feed_case log = {.commits = {TABLE, ADD("a"), ADD("b")}};
    sm_store *s = make_log(&log);
    sm_snapshot *newest = NULL;
    sm_error e = {0};

    assert_ok(sm_snapshot_open_head(s, SM_VERSION_LATEST, NULL, &newest, &e), &e);
    for (int i = 0; i < SM_COUNT(rows); i++) {
        int64_t got = -1;
        assert_ok(sm_delta_version_since(newest, rows[i].at_us, &got, &e), &e);
        assert_int_equal(got, rows[i].want);
    }
    sm_snapshot_release(newest);
    sm_store_release(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_changes),
        cmocka_unit_test(test_since),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
