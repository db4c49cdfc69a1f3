/* SPDX-License-Identifier: Apache-2.0
 *
 * delta/delta_test.c: commits, rebases and conflicts, checkpoints, statistics, damaged logs. Data
 * files need not exist for any of it. The golden tables are in tests/conformance. */
#include "test.h"

#include "base/time.h"
#include "delta/delta_int.h"
#include "parquet_io.h"
#include "stores.h"

typedef struct fixture {
    sm_arena *arena;
    sm_store *store;
    const sm_type *schema;
    int64_t live;
} fixture;

static int set_up(void **state)
{
    static int number = 0;
    static fixture f;
    char uri[64];
    sm_error e = {0};

    f = (fixture){.live = sm_live_allocs()};
    f.arena = sm_arena_new(NULL);
    snprintf(uri, sizeof(uri), "memory://delta_test_%d", number++);
    assert_ok(sm_store_open(test_stores, sm_str_of(uri), &f.store, &e), &e);
    assert_ok(sm_type_parse(SM_STR("STRUCT(id BIGINT, day DATE, name VARCHAR, ratio DOUBLE, "
                                   "price DECIMAL(10,2), at TIMESTAMP WITH TIME ZONE)"),
                            f.arena, &f.schema, &e),
              &e);
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;

    sm_store_release(f->store);
    sm_arena_free(f->arena);
    return 0;
}

/* ---- short ways to commit -------------------------------------------------------------------- */

static sm_delta_metadata metadata_of(const fixture *f)
{
    return (sm_delta_metadata){
        .id = SM_STR("11111111-2222-4333-8444-555555555555"),
        .schema = f->schema,
        .created_ms = 1650000000000,
    };
}

/* An add of 10 rows whose ids are first … first + 9, all else NULL. */
static sm_delta_add add_of(const fixture *f, const char *key, int64_t first)
{
    sm_range *ranges = SM_NEW_ARRAY(f->arena, sm_range, f->schema->n_fields);

    for (int32_t i = 0; i < f->schema->n_fields; i++) {
        ranges[i] = (sm_range){.has_nulls = true, .n_nulls = i == 0 ? 0 : 10, .n_rows = 10};
    }
    ranges[0].has_min = ranges[0].has_max = true;
    ranges[0].min = sm_value_i64(first);
    ranges[0].max = sm_value_i64(first + 9);
    return (sm_delta_add){.key = sm_str_of(key),
                          .size_bytes = 100,
                          .modified_ms = 1650000000001,
                          .n_rows = 10,
                          .ranges = ranges};
}

static sm_status commit(const fixture *f, sm_snapshot *base, const sm_delta_commit *c,
                        int64_t *version, sm_error *e)
{
    return sm_delta_commit_write(f->store, base, c, NULL, version, e);
}

static void make_table(const fixture *f)
{
    const sm_delta_metadata m = metadata_of(f);
    const sm_delta_commit c = {.metadata = &m, .operation = SM_STR("CREATE TABLE")};
    int64_t version = -1;
    sm_error e = {0};

    assert_ok(commit(f, NULL, &c, &version, &e), &e);
    assert_int_equal(version, 0);
}

static sm_snapshot *open_at(const fixture *f, int64_t version)
{
    sm_snapshot *s = NULL;
    sm_error e = {0};

    assert_ok(sm_snapshot_open(f->store, version, NULL, &s, &e), &e);
    return s;
}

static void append(const fixture *f, const char *key, int64_t first)
{
    sm_snapshot *s = open_at(f, SM_VERSION_LATEST);
    const sm_delta_add add = add_of(f, key, first);
    const sm_delta_commit c = {.adds = &add, .n_adds = 1};
    int64_t version = -1;
    sm_error e = {0};

    assert_ok(commit(f, s, &c, &version, &e), &e);
    sm_snapshot_release(s);
}

static void assert_keys(const sm_snapshot *s, const char *const *keys, int64_t n_keys)
{
    int64_t n = 0;
    const sm_delta_file *files = sm_snapshot_files(s, &n);

    assert_int_equal(n, n_keys);
    for (int64_t i = 0; i < n_keys; i++) {
        assert_int_equal(files[i].key.len, strlen(keys[i]));
        assert_memory_equal(files[i].key.data, keys[i], files[i].key.len);
    }
}

/* ---- commits --------------------------------------------------------------------------------- */

/* Adds of an earlier version come back as they stood; a change of rows since is a conflict. */
static void test_restore(void **state)
{
    const fixture *f = *state;
    int64_t version = -1, n = 0, m = 0;
    sm_error e = {0};

    make_table(f);
    append(f, "a b.parquet", 0);
    sm_snapshot *then = open_at(f, 1);
    const sm_delta_file *old = sm_snapshot_files(then, &n);
    const sm_delta_commit empty = {.removes = &old, .n_removes = 1, .isolation = SM_READ_ALL};
    assert_ok(commit(f, then, &empty, &version, &e), &e);
    sm_snapshot *now = open_at(f, 2);
    const sm_delta_commit back = {.operation = SM_STR("RESTORE"),
                                  .restores = &old,
                                  .n_restores = 1,
                                  .isolation = SM_READ_ALL};
    assert_ok(commit(f, now, &back, &version, &e), &e);
    assert_int_equal(version, 3);
    sm_snapshot *again = open_at(f, 3);
    const sm_delta_file *files = sm_snapshot_files(again, &m);
    assert_int_equal(m, 1);
    assert_true(sm_str_eq(files[0].path, old[0].path) && sm_str_eq(files[0].key, old[0].key));
    assert_true(sm_str_eq(files[0].stats_json, old[0].stats_json));
    assert_int_equal(files[0].n_rows, 10);
    assert_int_equal(files[0].modified_ms, old[0].modified_ms);
    append(f, "c.parquet", 10);
    sm_snapshot_release(again);
    again = open_at(f, 3);
    const sm_delta_file *back_file = sm_snapshot_files(again, &m);
    const sm_delta_commit late = {.removes = &back_file, .n_removes = 1, .isolation = SM_READ_ALL};
    assert_status(commit(f, again, &late, &version, &e), SM_CONFLICT, &e);
    sm_snapshot_release(again);
    sm_snapshot_release(now);
    sm_snapshot_release(then);
}

static void test_commit_reads_back(void **state)
{
    const fixture *f = *state;
    const sm_delta_metadata m = metadata_of(f);
    const sm_delta_add add = add_of(f, "part 1%.parquet", 7);
    const sm_delta_txn txn = {
        .app_id = SM_STR("smelt:x:\"1\".json"), .version = 3, .updated_ms = -1};
    const sm_delta_commit c = {.metadata = &m,
                               .adds = &add,
                               .n_adds = 1,
                               .txns = &txn,
                               .n_txns = 1,
                               .user_metadata = SM_STR("{\"month\":\"2022-04\"}"),
                               .info_json = SM_STR("\"smelt\":{\"a\":1}")};
    int64_t version = -1, n = 0;
    sm_error e = {0};

    assert_ok(commit(f, NULL, &c, &version, &e), &e);
    sm_snapshot *s = open_at(f, SM_VERSION_LATEST);
    assert_int_equal(sm_snapshot_version(s), 0);
    assert_int_equal(sm_snapshot_protocol(s)->min_reader, 1);
    assert_int_equal(sm_snapshot_protocol(s)->min_writer, 2);
    assert_true(sm_type_eq(sm_snapshot_metadata(s)->schema, f->schema));
    assert_int_equal(sm_snapshot_metadata(s)->created_ms, 1650000000000);
    assert_int_equal(sm_snapshot_txn(s, txn.app_id), 3);
    assert_int_equal(sm_snapshot_txn(s, SM_STR("other")), -1);
    assert_keys(s, (const char *const[]){"part 1%.parquet"}, 1);
    const sm_delta_file *file = sm_snapshot_files(s, &n);
    assert_true(sm_str_is(file->path, "part%201%25.parquet"));
    assert_int_equal(file->n_rows, 10);
    const sm_range *ranges = sm_snapshot_ranges(s, file, f->arena);
    assert_true(ranges[0].has_min && ranges[0].has_max);
    assert_int_equal(ranges[0].min.as.i, 7);
    assert_int_equal(ranges[0].max.as.i, 16);
    assert_false(ranges[1].has_min);

    sm_delta_commit_info *history = NULL;
    assert_ok(sm_delta_history(f->store, -1, f->arena, &history, &n, &e), &e);
    assert_int_equal(n, 1);
    assert_true(sm_str_is(history[0].user_metadata, "{\"month\":\"2022-04\"}"));
    assert_true(sm_str_is(history[0].operation, "WRITE"));
    assert_non_null(strstr(history[0].json.data, "\"smelt\":{\"a\":1}"));
    sm_snapshot_release(s);
}

/* What the record says beside rows, in the words of the log. */
static void test_commit_text(void **state)
{
    const fixture *f = *state;
    const sm_delta_metadata m = metadata_of(f);
    const sm_delta_dv dv = {.storage_type = SM_STR("u"),
                            .path_or_inline = SM_STR("ab^-aqEH.-t@S}K{vb[*k^"),
                            .offset = 4,
                            .size_bytes = 40,
                            .cardinality = 6};
    sm_delta_add adds[] = {add_of(f, "a.parquet", 0), add_of(f, "b.parquet", 10)};
    const sm_delta_detail parameters[] = {
        {SM_STR("mode"), sm_value_str(SM_STR("\"Append\""))},
        {SM_STR("version"), sm_value_i64(7)},
        {SM_STR("strict"), {.type = &sm_type_bool, .as.b = true}},
        {SM_STR("timestamp"), sm_value_null(&sm_type_string)},
    };
    const sm_delta_detail metrics[] = {{SM_STR("numFiles"), sm_value_i64(2)}};
    const sm_delta_commit c = {.operation = SM_STR("MERGE"),
                               .parameters = parameters,
                               .n_parameters = SM_COUNT(parameters),
                               .metrics = metrics,
                               .n_metrics = SM_COUNT(metrics),
                               .keeps_rows = true,
                               .metadata = &m,
                               .adds = adds,
                               .n_adds = SM_COUNT(adds)};
    static const char *const want[] = {
        "\"operation\":\"MERGE\",\"operationParameters\":{\"mode\":\"\\\"Append\\\"\",\"version\":"
        "7,"
        "\"strict\":true,\"timestamp\":null},",
        "\"operationMetrics\":{\"numFiles\":\"2\"},",
        "\"path\":\"a.parquet\",\"partitionValues\":{},\"size\":100,\"modificationTime\":"
        "1650000000001,"
        "\"dataChange\":false,",
        ",\"deletionVector\":{\"storageType\":\"u\",\"pathOrInlineDv\":\"ab^-aqEH.-t@S}K{vb[*k^\","
        "\"offset\":4,\"sizeInBytes\":40,\"cardinality\":6}}}\n",
    };
    int64_t version = -1, n = 0;
    sm_buf text = {0};
    sm_error e = {0};

    adds[1].dv = &dv;
    make_table(f);
    sm_snapshot *base = open_at(f, 0);
    assert_ok(commit(f, base, &c, &version, &e), &e);
    sm_snapshot_release(base);
    assert_ok(sm_store_get(f->store, SM_STR("_delta_log/00000000000000000001.json"), &text, &e),
              &e);
    const sm_str all = sm_arena_str(f->arena, sm_buf_str(&text));
    for (int i = 0; i < SM_COUNT(want); i++) {
        if (!strstr(all.data, want[i])) {
            fail_msg("no %s in %s", want[i], all.data);
        }
    }
    sm_snapshot *s = open_at(f, SM_VERSION_LATEST);
    const sm_delta_file *files = sm_snapshot_files(s, &n);
    assert_int_equal(n, 2);
    assert_null(files[0].dv);
    assert_int_equal(files[1].dv->cardinality, 6);
    sm_snapshot_release(s);
    sm_buf_release(&text);
}

static void test_blind_appends_rebase(void **state)
{
    const fixture *f = *state;
    int64_t version = -1;
    sm_error e = {0};

    make_table(f);
    sm_snapshot *old = open_at(f, 0);
    append(f, "a.parquet", 0);
    append(f, "b.parquet", 10);
    const sm_delta_add add = add_of(f, "c.parquet", 20);
    const sm_delta_commit c = {.adds = &add, .n_adds = 1};
    assert_ok(commit(f, old, &c, &version, &e), &e);
    assert_int_equal(version, 3);
    sm_snapshot *s = open_at(f, SM_VERSION_LATEST);
    assert_keys(s, (const char *const[]){"a.parquet", "b.parquet", "c.parquet"}, 3);
    sm_snapshot_release(s);
    sm_snapshot_release(old);
}

static void test_conflicts(void **state)
{
    const fixture *f = *state;
    const sm_delta_txn txn = {.app_id = SM_STR("app"), .version = 1, .updated_ms = -1};
    const int32_t path[] = {0};
    const sm_bound below_5 = {
        .path = path, .n_path = 1, .op = SM_BOUND_LT, .value = sm_value_i64(5)};
    const sm_bound above_50 = {
        .path = path, .n_path = 1, .op = SM_BOUND_GT, .value = sm_value_i64(50)};
    const sm_bounds read_below_5 = {.items = &below_5, .n = 1};
    const sm_bounds read_above_50 = {.items = &above_50, .n = 1};
    int64_t n = 0, version = -1;
    sm_error e = {0};

    make_table(f);
    append(f, "a.parquet", 0); /* version 1 */
    sm_snapshot *old = open_at(f, SM_VERSION_LATEST);
    const sm_delta_file *const remove_a = sm_snapshot_files(old, &n);
    const sm_delta_add add = add_of(f, "mine.parquet", 100);

    /* Another writer: brings in rows 0 … 9 again, with a txn, and removes the file. */
    sm_snapshot *now = open_at(f, SM_VERSION_LATEST);
    const sm_delta_add theirs = add_of(f, "theirs.parquet", 0);
    const sm_delta_file *const their_remove = sm_snapshot_files(now, &n);
    const sm_delta_commit other = {.adds = &theirs,
                                   .n_adds = 1,
                                   .removes = &their_remove,
                                   .n_removes = 1,
                                   .txns = &txn,
                                   .n_txns = 1,
                                   .isolation = SM_READ_ALL};
    assert_ok(commit(f, now, &other, &version, &e), &e);
    assert_int_equal(version, 2);
    sm_snapshot_release(now);

    const struct {
        const char *what;
        sm_delta_commit c;
        sm_status want;
    } cases[] = {
        {"read all", {.adds = &add, .n_adds = 1, .isolation = SM_READ_ALL}, SM_CONFLICT},
        {"read what they wrote",
         {.adds = &add, .n_adds = 1, .isolation = SM_READ_FILES, .read = read_below_5},
         SM_CONFLICT},
        {"the same txn", {.adds = &add, .n_adds = 1, .txns = &txn, .n_txns = 1}, SM_CONFLICT},
        {"the same remove",
         {.removes = &remove_a, .n_removes = 1, .isolation = SM_READ_FILES, .read = read_above_50},
         SM_CONFLICT},
        {"read elsewhere",
         {.adds = &add, .n_adds = 1, .isolation = SM_READ_FILES, .read = read_above_50},
         SM_OK},
    };
    for (int i = 0; i < SM_COUNT(cases); i++) {
        const sm_status st = commit(f, old, &cases[i].c, &version, &e);
        if (st != cases[i].want) {
            fail_msg("%s: %s %s", cases[i].what, sm_status_name(st), e.what);
        }
        if (st == SM_CONFLICT) {
            assert_non_null(strstr(e.what, "version 2"));
        }
    }
    assert_int_equal(version, 3);

    /* Who looked for new input before that version and at the table after it. */
    now = open_at(f, SM_VERSION_LATEST);
    const sm_delta_add again = add_of(f, "again.parquet", 0);
    sm_delta_txn next = txn;
    sm_delta_commit late = {.adds = &again, .n_adds = 1, .txns = &next, .n_txns = 1};
    assert_status(commit(f, now, &late, &version, &e), SM_CONFLICT, &e);
    assert_non_null(strstr(e.what, "loaded into the table too"));
    sm_snapshot_release(now);

    /* The table made by two at once; metadata changed under an append. */
    sm_delta_metadata m = metadata_of(f);
    const sm_delta_commit create = {.metadata = &m};
    assert_status(commit(f, NULL, &create, &version, &e), SM_CONFLICT, &e);
    m.description = SM_STR("another one");
    now = open_at(f, SM_VERSION_LATEST);
    assert_ok(commit(f, now, &create, &version, &e), &e);
    const sm_delta_commit blind = {.adds = &add, .n_adds = 1};
    assert_status(commit(f, now, &blind, &version, &e), SM_CONFLICT, &e);
    assert_non_null(strstr(e.what, "version 4"));
    sm_snapshot_release(now);
    sm_snapshot_release(old);
}

/* Commits as other writers write them, and what they did. */
static void test_effects_of_others(void **state)
{
    static const struct {
        const char *operation, *parameters;
        sm_delta_effect want;
    } rows[] = {
        {"WRITE", "{\"mode\":\"Append\"}", SM_DELTA_CHANGES},
        {"WRITE", "{\"mode\":\"ErrorIfExists\"}", SM_DELTA_CHANGES},
        {"WRITE", "{\"mode\":\"Overwrite\",\"partitionBy\":\"[]\"}", SM_DELTA_OVERWRITES},
        {"WRITE", "{\"mode\":\"Overwrite\",\"predicate\":\"a = 9\"}", SM_DELTA_OVERWRITES},
        {"STREAMING UPDATE", "{\"outputMode\":\"Append\"}", SM_DELTA_CHANGES},
        {"STREAMING UPDATE", "{\"outputMode\":\"Complete\"}", SM_DELTA_OVERWRITES},
        {"CREATE OR REPLACE TABLE", "{}", SM_DELTA_OVERWRITES},
        {"REPLACE TABLE AS SELECT", "{}", SM_DELTA_OVERWRITES},
        {"CREATE TABLE", "{}", SM_DELTA_CHANGES},
        {"TRUNCATE", "", SM_DELTA_OVERWRITES},
        {"CLONE", "{}", SM_DELTA_OVERWRITES},
        {"DELETE", "{\"predicate\":\"[]\"}", SM_DELTA_CHANGES},
        {"OPTIMIZE", "{\"predicate\":\"[]\"}", SM_DELTA_CHANGES},
        {"RESTORE", "{\"version\":\"0\"}", SM_DELTA_RESTORES},
        {"", "", SM_DELTA_CHANGES},
        {"WRITE", "[no json", SM_DELTA_CHANGES},
    };

    for (int i = 0; i < SM_COUNT(rows); i++) {
        const sm_delta_commit_info info = {.operation = sm_str_of(rows[i].operation),
                                           .parameters_json = sm_str_of(rows[i].parameters)};
        if (sm_delta_effect_of(&info) != rows[i].want) {
            fail_msg("%s %s", rows[i].operation, rows[i].parameters);
        }
    }
}

static int64_t restored(const fixture *f, int64_t version)
{
    sm_delta_commit_info info;
    int64_t out = -1, txn = 0;
    sm_error e = {0};

    assert_ok(sm_delta_info_read(f->store, version, SM_STR("app"), f->arena, &info, &txn, &e), &e);
    assert_int_equal(info.version, version);
    assert_int_equal(txn, -1);
    assert_ok(sm_delta_restored_version(f->store, &info, NULL, &out, &e), &e);
    return out;
}

/* Takes a version's second file away, with the words of a RESTORE. */
static void restore(const fixture *f, const sm_delta_detail *parameters, int32_t n_parameters)
{
    sm_snapshot *s = open_at(f, SM_VERSION_LATEST);
    int64_t n = 0, version = -1;
    const sm_delta_file *files = sm_snapshot_files(s, &n);
    const sm_delta_file *const gone = &files[n - 1];
    const sm_delta_commit c = {.removes = &gone,
                               .n_removes = 1,
                               .isolation = SM_READ_ALL,
                               .operation = SM_STR("RESTORE"),
                               .parameters = parameters,
                               .n_parameters = n_parameters};
    sm_error e = {0};

    assert_ok(commit(f, s, &c, &version, &e), &e);
    sm_snapshot_release(s);
}

static void test_restores(void **state)
{
    const fixture *f = *state;
    const sm_delta_txn txn = {.app_id = SM_STR("app"), .version = 1, .updated_ms = -1};
    const sm_delta_add add = add_of(f, "c.parquet", 20);
    const sm_delta_commit plain = {.adds = &add, .n_adds = 1};
    const sm_delta_commit with_txn = {.adds = &add, .n_adds = 1, .txns = &txn, .n_txns = 1};
    const sm_value none_said = sm_value_null(&sm_type_string);
    const sm_delta_detail in_text[] = {{SM_STR("version"), sm_value_str(SM_STR("1"))}};
    const sm_delta_detail in_number[] = {{SM_STR("version"), sm_value_i64(1)},
                                         {SM_STR("timestamp"), none_said}};
    const sm_delta_detail to_time[] = {{SM_STR("version"), none_said},
                                       {SM_STR("timestamp"), sm_value_str(SM_STR("2022-04-01"))}};
    const sm_delta_detail to_datetime[] = {
        {SM_STR("datetime"), sm_value_str(SM_STR("1650000000000"))}};
    int64_t version = -1;
    sm_error e = {0};

    make_table(f);
    append(f, "a.parquet", 0);  /* version 1 */
    append(f, "b.parquet", 10); /* version 2 */
    sm_snapshot *old = open_at(f, SM_VERSION_LATEST);
    restore(f, in_text, 1); /* version 3, as delta-rs says it */
    assert_int_equal(restored(f, 3), 1);
    assert_status(commit(f, old, &with_txn, &version, &e), SM_CONFLICT, &e);
    assert_non_null(strstr(e.what, "restored"));
    assert_ok(commit(f, old, &plain, &version, &e), &e); /* an append that tells of no input */
    assert_int_equal(version, 4);
    sm_snapshot_release(old);
    restore(f, in_number, 2); /* as Spark does */
    assert_int_equal(restored(f, 5), 1);
    restore(f, to_time, 2);
    assert_int_equal(restored(f, 6), 0);
    append(f, "d.parquet", 30); /* version 7 */
    append(f, "e.parquet", 40);
    restore(f, to_datetime, 1);
    assert_int_equal(restored(f, 9), 7);

    const sm_delta_commit_info unknown = {.version = 7};
    sm_delta_commit_info none;
    assert_status(sm_delta_restored_version(f->store, &unknown, NULL, &version, &e), SM_NOT_FOUND,
                  &e);
    int64_t number = 0;
    assert_status(sm_delta_info_read(f->store, 10, SM_STR("app"), f->arena, &none, &number, &e),
                  SM_NOT_FOUND, &e);
    sm_snapshot *now = open_at(f, SM_VERSION_LATEST);
    assert_ok(commit(f, now, &with_txn, &version, &e), &e);
    assert_ok(sm_delta_info_read(f->store, 10, SM_STR("app"), f->arena, &none, &number, &e), &e);
    assert_int_equal(number, 1);
    sm_snapshot_release(now);
}

static void test_lost_answer_is_resolved(void **state)
{
    const fixture *f = *state;
    const sm_fault_plan plan = {.at_call = 1, .writes_only = true, .kind = SM_FAULT_LOST};
    const sm_delta_metadata m = metadata_of(f);
    const sm_delta_commit c = {.metadata = &m};
    sm_store *lossy = NULL;
    int64_t version = -1;
    sm_error e = {0};

    assert_ok(sm_store_fault(f->store, &plan, &lossy, &e), &e);
    assert_ok(sm_delta_commit_write(lossy, NULL, &c, NULL, &version, &e), &e);
    assert_true(sm_fault_has_fired(lossy));
    assert_int_equal(version, 0);
    sm_store_release(lossy);
}

static void put_text(const fixture *f, const char *name, sm_str text)
{
    sm_error e = {0};

    const sm_str key = sm_arena_strf(f->arena, SMI_LOG "%s", name);
    assert_ok(sm_store_put(f->store, key, text.data, text.len, SM_PUT_REPLACE, &e), &e);
}

static void test_append_only(void **state)
{
    const fixture *f = *state;
    const sm_pair config[] = {{SM_STR("delta.appendOnly"), SM_STR("true")}};
    sm_delta_metadata m = metadata_of(f);
    int64_t version = -1, n = 0;
    sm_error e = {0};

    m.config = config;
    m.n_config = 1;
    const sm_delta_add add = add_of(f, "a.parquet", 0);
    const sm_delta_commit create = {.metadata = &m, .adds = &add, .n_adds = 1};
    assert_ok(commit(f, NULL, &create, &version, &e), &e);
    sm_snapshot *s = open_at(f, 0);
    const sm_delta_file *const remove = sm_snapshot_files(s, &n);
    sm_delta_commit c = {.removes = &remove, .n_removes = 1, .isolation = SM_READ_ALL};
    assert_status(commit(f, s, &c, &version, &e), SM_DENIED, &e);
    c.keeps_rows = true; /* compaction may */
    assert_ok(commit(f, s, &c, &version, &e), &e);
    sm_snapshot_release(s);
}

static void test_append_only_in_other_letters(void **state)
{
    const fixture *f = *state;
    static const struct {
        const char *key, *value;
        bool is_append_only;
    } cases[] = {
        {"delta.appendOnly", "TRUE", true},   {"delta.appendOnly", "True", true},
        {"delta.APPENDONLY", "true", true},   {"delta.appendOnly", "yes", true},
        {"delta.appendOnly", "False", false}, {"delta.appendOnly", "", false},
        {"delta.appendOnlyX", "true", false},
    };

    make_table(f);
    for (int i = 0; i < SM_COUNT(cases); i++) {
        const sm_pair config = {sm_str_of(cases[i].key), sm_str_of(cases[i].value)};
        sm_delta_metadata m = metadata_of(f);
        int64_t version = -1, n = 0;
        sm_error e = {0};
        m.config = &config;
        m.n_config = 1;
        const sm_delta_add add = add_of(f, sm_arena_strf(f->arena, "%d.parquet", i).data, 0);
        const sm_delta_commit c = {.metadata = &m, .adds = &add, .n_adds = 1};
        sm_snapshot *s = open_at(f, SM_VERSION_LATEST);
        assert_ok(commit(f, s, &c, &version, &e), &e);
        sm_snapshot_release(s);
        s = open_at(f, SM_VERSION_LATEST);
        const sm_delta_file *const remove = sm_snapshot_files(s, &n);
        const sm_delta_commit r = {.removes = &remove, .n_removes = 1, .isolation = SM_READ_ALL};
        assert_status(commit(f, s, &r, &version, &e), cases[i].is_append_only ? SM_DENIED : SM_OK,
                      &e);
        sm_snapshot_release(s);
    }
}

/* ---- checkpoints ----------------------------------------------------------------------------- */

static sm_status count_action(void *ctx, const smi_action *action, sm_error *e)
{
    (void)e;
    assert_int_equal(action->kind, SMI_ACTION_REMOVE);
    ++*(int64_t *)ctx;
    return SM_OK;
}

/* The removes of checkpoint and commits. */
static int64_t count_removes(const sm_snapshot *s)
{
    int64_t n = 0;
    sm_error e = {0};

    assert_ok(smi_removes_each(s, (smi_action_sink){.each = count_action, .ctx = &n}, &e), &e);
    return n;
}

static void test_a_type_of_the_future(void **state)
{
    const fixture *f = *state;
    const sm_type *t = NULL;
    sm_error e = {0};
    const char *json = "{\"type\":\"struct\",\"fields\":[{\"name\":\"g\",\"type\":\"geometry\"}]}";

    assert_status(sm_delta_schema_parse(sm_str_of(json), f->arena, &t, &e), SM_UNSUPPORTED, &e);
    assert_string_equal(e.what, "type \"geometry\" of the schema is not supported");
}

static void test_checkpoint_stands_for_the_log(void **state)
{
    const fixture *f = *state;
    const sm_delta_txn txn = {.app_id = SM_STR("app"), .version = 5, .updated_ms = -1};
    char keys[12][16];
    const char *want[12];
    sm_error e = {0};
    int64_t version = -1;
    sm_snapshot *s = NULL;

    make_table(f);
    for (int i = 0; i < 11; i++) { /* versions 1 … 11; the checkpoint is at 10 */
        snprintf(keys[i], sizeof(keys[i]), "f%d.parquet", 20 - i);
        want[i] = keys[i];
        append(f, keys[i], i * 10);
    }
    s = open_at(f, SM_VERSION_LATEST);
    const sm_delta_commit c = {.txns = &txn, .n_txns = 1};
    assert_ok(commit(f, s, &c, &version, &e), &e);
    sm_snapshot_release(s);
    for (int64_t v = 0; v < 10; v++) {
        char key[SMI_LOG_KEY_BYTES];
        smi_commit_key(v, key);
        assert_ok(sm_store_delete(f->store, sm_str_of(key), &e), &e);
    }
    s = open_at(f, SM_VERSION_LATEST);
    assert_int_equal(sm_snapshot_version(s), 12);
    assert_keys(s, want, 11);
    assert_int_equal(sm_snapshot_txn(s, txn.app_id), 5);
    assert_true(sm_type_eq(sm_snapshot_metadata(s)->schema, f->schema));
    int64_t n = 0;
    const sm_delta_file *files = sm_snapshot_files(s, &n);
    assert_int_equal(sm_snapshot_ranges(s, &files[3], f->arena)[0].min.as.i, 30);
    assert_int_equal(files[3].modified_ms, 1650000000001);
    sm_snapshot_release(s);
    assert_status(sm_snapshot_open(f->store, 9, NULL, &s, &e), SM_NOT_FOUND, &e);
    assert_status(sm_snapshot_open(f->store, 13, NULL, &s, &e), SM_NOT_FOUND, &e);
    assert_non_null(strstr(e.what, "its latest is 12"));

    /* A broken pointer does no harm, and a removed file stays removed. */
    assert_ok(sm_store_put(f->store, SM_STR("_delta_log/_last_checkpoint"), "{\"vers", 7,
                           SM_PUT_REPLACE, &e),
              &e);
    s = open_at(f, SM_VERSION_LATEST);
    const sm_delta_file *const remove = sm_snapshot_files(s, &n);
    const sm_delta_commit r = {.removes = &remove, .n_removes = 1, .isolation = SM_READ_ALL};
    assert_ok(commit(f, s, &r, &version, &e), &e);
    sm_snapshot_release(s);
    s = open_at(f, SM_VERSION_LATEST);
    assert_ok(sm_delta_checkpoint(s, NULL, &e), &e);
    sm_snapshot_release(s);
    s = open_at(f, SM_VERSION_LATEST);
    assert_keys(s, want + 1, 10);
    assert_int_equal(count_removes(s), 1);
    sm_snapshot_release(s);
}

/* A log may remove a file twice. When the file comes back, a checkpoint must not tell readers that
 * it is gone. */
static void test_removed_twice_and_back(void **state)
{
    static const char remove[] = "{\"remove\":{\"path\":\"f0\",\"deletionTimestamp\":9000000000000,"
                                 "\"dataChange\":true}}\n";
    static const char *const keys[] = {"f0"};
    const fixture *f = *state;
    sm_error e = {0};

    make_table(f);
    for (int version = 1; version <= 4; version++) {
        const bool is_remove = version == 2 || version == 3;
        const sm_str add = SM_STR("{\"add\":{\"path\":\"f0\",\"partitionValues\":{},\"size\":1,"
                                  "\"modificationTime\":1,\"dataChange\":true}}\n");
        char name[SMI_LOG_KEY_BYTES];
        snprintf(name, sizeof(name), "%020d.json", version);
        put_text(f, name, is_remove ? sm_str_of(remove) : add);
    }
    sm_snapshot *s = open_at(f, 3);
    assert_int_equal(count_removes(s), 1);
    assert_int_equal(s->n_files, 0);
    sm_snapshot_release(s);
    s = open_at(f, 4);
    assert_keys(s, keys, 1);
    assert_ok(sm_delta_checkpoint(s, NULL, &e), &e);
    sm_snapshot_release(s);
    s = open_at(f, 4);
    assert_keys(s, keys, 1);
    assert_int_equal(count_removes(s), 0);
    sm_snapshot_release(s);
}

/* A checkpoint keeps a removal for as long as the table's property says. */
static void test_removals_in_a_checkpoint(void **state)
{
    static const struct {
        const char *retention; /* NULL: the table says nothing, which means 7 days */
        int days_ago;
        int64_t n_kept;
    } rows[] = {
        {NULL, 6, 1},
        {NULL, 8, 0},
        {"interval 30 days", 29, 1},
        {"interval 30 days", 31, 0},
        {"interval 1 hour", 1, 0},
        {"a month or so", 400, 1}, /* not understood: all are kept */
    };
    const fixture *f = *state;

    for (int i = 0; i < SM_COUNT(rows); i++) {
        char text[2048], config[128] = "", name[SMI_LOG_KEY_BYTES];
        const int64_t removed_ms = sm_now_us() / 1000 - rows[i].days_ago * INT64_C(86400000);
        sm_error e = {0};
        if (rows[i].retention) {
            snprintf(config, sizeof(config), "\"delta.deletedFileRetentionDuration\":\"%s\"",
                     rows[i].retention);
        }
        snprintf(text, sizeof(text),
                 "{\"protocol\":{\"minReaderVersion\":1,\"minWriterVersion\":2}}\n"
                 "{\"metaData\":{\"id\":\"x\",\"format\":{\"provider\":\"parquet\",\"options\":{}},"
                 "\"schemaString\":\"{\\\"type\\\":\\\"struct\\\",\\\"fields\\\":[]}\","
                 "\"partitionColumns\":[],\"configuration\":{%s}}}\n"
                 "{\"remove\":{\"path\":\"f\",\"deletionTimestamp\":%lld,\"dataChange\":true}}\n",
                 config, (long long)removed_ms);
        snprintf(name, sizeof(name), "%020d.json", i);
        put_text(f, name, sm_str_of(text));
        sm_snapshot *s = open_at(f, i);
        assert_int_equal(count_removes(s), 1);
        assert_ok(sm_delta_checkpoint(s, NULL, &e), &e);
        sm_snapshot_release(s);
        s = open_at(f, i);
        assert_int_equal(count_removes(s), rows[i].n_kept);
        sm_snapshot_release(s);
    }
}

/* A table of 7 versions, a file each but of the first; checkpoints at 2 and 4. */
static void make_seven(const fixture *f)
{
    sm_error e = {0};

    make_table(f);
    for (int i = 1; i < 7; i++) {
        append(f, sm_arena_strf(f->arena, "f%d.parquet", i).data, i * 10);
        if (i == 2 || i == 4) {
            sm_snapshot *s = open_at(f, i);
            assert_ok(sm_delta_checkpoint(s, NULL, &e), &e);
            sm_snapshot_release(s);
        }
    }
}

#define FOUR "00000000000000000004.checkpoint."

static void test_damaged_checkpoints_are_passed_over(void **state)
{
    const fixture *f = *state;
    static const char *const want[] = {"f1.parquet", "f2.parquet", "f3.parquet",
                                       "f4.parquet", "f5.parquet", "f6.parquet"};
    static const struct {
        const char *name, *text;
    } damage[] = {
        {FOUR "parquet", ""},
        {FOUR "parquet", "PAR1 and no more"},
        {FOUR "parquet", "PAR1\xFF\xFF\xFF\x7FPAR1"},
        {FOUR "80a083e8-7026-4e79-81be-64bd76c43a11.json", "{\"add\":"},
        {FOUR "80a083e8-7026-4e79-81be-64bd76c43a11.json",
         "{\"sidecar\":{\"path\":\"gone.parquet\",\"sizeInBytes\":1}}"},
        {FOUR "parquet.bak", "PAR1"},
        {FOUR "parquet.tmp", ""},
        {FOUR "0000000001.0000000002.parquet", "PAR1"}, /* half a set */
        {FOUR "0000000002.0000000002.parquet", "PAR1"}, /* and now a whole one */
        {FOUR "0000000000.0000000000.parquet", "PAR1"},
        {FOUR "9999999999.9999999999.parquet", "PAR1"},
        {"_last_checkpoint", "{\"version\":5,\"size\":1}"},
    };
    sm_error e = {0};
    sm_snapshot *s = NULL;

    make_seven(f);
    for (int i = 0; i < SM_COUNT(damage); i++) {
        put_text(f, damage[i].name, sm_str_of(damage[i].text));
        s = open_at(f, SM_VERSION_LATEST);
        assert_int_equal(sm_snapshot_version(s), 6);
        assert_keys(s, want, 6);
        sm_snapshot_release(s);
    }
    /* By the older one, then by nothing: the damage is told. */
    for (int64_t v = 0; v <= 2; v++) {
        char key[SMI_LOG_KEY_BYTES];
        smi_commit_key(v, key);
        assert_ok(sm_store_delete(f->store, sm_str_of(key), &e), &e);
    }
    s = open_at(f, SM_VERSION_LATEST);
    assert_keys(s, want, 6);
    sm_snapshot_release(s);
    assert_ok(
        sm_store_delete(f->store, SM_STR(SMI_LOG "00000000000000000002.checkpoint.parquet"), &e),
        &e);
    assert_status(sm_snapshot_open(f->store, SM_VERSION_LATEST, NULL, &s, &e), SM_CORRUPT, &e);
    assert_non_null(strstr(e.object, "00000000000000000004.checkpoint."));
    assert_non_null(strstr(e.todo, "no older checkpoint"));
}

/* Two sets of parts at one version: each part belongs to the set that says how many it has. */
static void test_sets_of_parts_are_told_apart(void **state)
{
    const fixture *f = *state;
    static const char *const want[] = {"f1.parquet", "f2.parquet", "f3.parquet",
                                       "f4.parquet", "f5.parquet", "f6.parquet"};
    sm_buf whole = {0};
    sm_error e = {0};

    make_seven(f);
    assert_ok(sm_store_get(f->store, SM_STR(SMI_LOG FOUR "parquet"), &whole, &e), &e);
    assert_ok(sm_store_delete(f->store, SM_STR(SMI_LOG FOUR "parquet"), &e), &e);
    for (int64_t v = 0; v <= 4; v++) { /* only a whole set of version 4 can do */
        char key[SMI_LOG_KEY_BYTES];
        smi_commit_key(v, key);
        assert_ok(sm_store_delete(f->store, sm_str_of(key), &e), &e);
    }
    assert_ok(
        sm_store_delete(f->store, SM_STR(SMI_LOG "00000000000000000002.checkpoint.parquet"), &e),
        &e);
    put_text(f, FOUR "0000000001.0000000003.parquet", sm_buf_str(&whole));
    put_text(f, FOUR "0000000003.0000000003.parquet", sm_buf_str(&whole));
    put_text(f, FOUR "0000000001.0000000004.parquet", sm_buf_str(&whole));
    put_text(f, FOUR "0000000002.0000000004.parquet", sm_buf_str(&whole));
    sm_snapshot *s = NULL;
    assert_status(sm_snapshot_open(f->store, SM_VERSION_LATEST, NULL, &s, &e), SM_CORRUPT, &e);
    put_text(f, FOUR "0000000003.0000000004.parquet", sm_buf_str(&whole));
    put_text(f, FOUR "0000000004.0000000004.parquet", sm_buf_str(&whole));
    s = open_at(f, SM_VERSION_LATEST);
    assert_keys(s, want, 6);
    sm_snapshot_release(s);
    assert_ok(sm_store_delete(f->store, SM_STR(SMI_LOG FOUR "0000000004.0000000004.parquet"), &e),
              &e);
    put_text(f, FOUR "0000000002.0000000003.parquet", sm_buf_str(&whole));
    s = open_at(f, SM_VERSION_LATEST);
    assert_keys(s, want, 6);
    sm_snapshot_release(s);
    sm_buf_release(&whole);
}

/* ---- logs of others, and damaged ones -------------------------------------------------------- */

#define PROTOCOL "{\"protocol\":{\"minReaderVersion\":1,\"minWriterVersion\":2}}\n"
#define METADATA                                                                                   \
    "{\"metaData\":{\"id\":\"x\",\"format\":{\"provider\":\"parquet\"},\"schemaString\":"          \
    "\"{\\\"type\\\":\\\"struct\\\",\\\"fields\\\":[{\\\"name\\\":\\\"a\\\",\\\"type\\\":"         \
    "\\\"long\\\",\\\"nullable\\\":true,\\\"metadata\\\":{}}]}\",\"partitionColumns\":[],"         \
    "\"configuration\":{}}}\n"

static void test_damaged_logs(void **state)
{
    const fixture *f = *state;
    const struct {
        const char *text;
        sm_status want;
        const char *what; /* part of the message */
        int64_t line, byte;
    } cases[] = {
        {PROTOCOL METADATA, SM_OK, "", 0, 0},
        {PROTOCOL "\n \r\n" METADATA, SM_OK, "", 0, 0},
        {METADATA, SM_CORRUPT, "no protocol", 0, -1},
        {PROTOCOL, SM_CORRUPT, "no metadata", 0, -1},
        {PROTOCOL METADATA "{\"add\":", SM_CORRUPT, "", 3, 8},
        {PROTOCOL "[]\n" METADATA, SM_CORRUPT, "not a JSON object", 2, 0},
        {PROTOCOL METADATA "{\"add\":{\"size\":1}}", SM_CORRUPT, "names no file", 3, 0},
        {PROTOCOL METADATA "{\"add\":{\"path\":\"../x.parquet\",\"size\":1}}", SM_CORRUPT,
         "leaves the table's folder", 0, -1},
        {PROTOCOL METADATA "{\"add\":{\"path\":\"a/%2e%2E/b\",\"size\":1}}", SM_CORRUPT,
         "leaves the table's folder", 0, -1},
        {"{\"protocol\":{\"minReaderVersion\":4,\"minWriterVersion\":2}}\n" METADATA,
         SM_UNSUPPORTED, "reader version 4", 0, -1},
        {"{\"protocol\":{\"minReaderVersion\":3,\"minWriterVersion\":7,\"readerFeatures\":"
         "[\"timeMachine\"],\"writerFeatures\":[\"timeMachine\"]}}\n" METADATA,
         SM_UNSUPPORTED, "\"timeMachine\"", 0, -1},
    };

    for (int i = 0; i < SM_COUNT(cases); i++) {
        sm_error e = {0};
        sm_snapshot *s = NULL;
        assert_ok(sm_store_put(f->store, SM_STR("_delta_log/00000000000000000000.json"),
                               cases[i].text, strlen(cases[i].text), SM_PUT_REPLACE, &e),
                  &e);
        const sm_status st = sm_snapshot_open(f->store, SM_VERSION_LATEST, NULL, &s, &e);
        if (st != cases[i].want || (st != SM_OK && !strstr(e.what, cases[i].what))) {
            fail_msg("case %d: %s: %s", i, sm_status_name(st), e.what);
        }
        if (st != SM_OK && cases[i].line) {
            assert_int_equal(e.line, cases[i].line);
            assert_non_null(strstr(e.object, "00000000000000000000.json"));
        }
        if (st != SM_OK && cases[i].byte > 0) {
            assert_int_equal(e.byte, cases[i].byte);
        }
        sm_snapshot_release(s);
    }
}

/* A log of one commit: protocol, the schema's fields, partition columns, configuration, an add. */
#define LOG_OF(protocol, fields, partitions, config, values)                                       \
    "{\"protocol\":" protocol                                                                      \
    "}\n{\"metaData\":{\"id\":\"x\",\"format\":{\"provider\":\"parquet\"},"                        \
    "\"schemaString\":\"{\\\"type\\\":\\\"struct\\\",\\\"fields\\\":[" fields "]}\","              \
    "\"partitionColumns\":" partitions ",\"configuration\":" config "}}\n"                         \
    "{\"add\":{\"path\":\"f.parquet\",\"partitionValues\":" values ",\"size\":1,"                  \
    "\"modificationTime\":1,\"dataChange\":true,\"stats\":\"{\\\"numRecords\\\":1,"                \
    "\\\"minValues\\\":{\\\"a\\\":5,\\\"col-1\\\":7}}\"}}\n"
#define LONG(name, meta)                                                                           \
    "{\\\"name\\\":\\\"" name "\\\",\\\"type\\\":\\\"long\\\",\\\"nullable\\\":true,"              \
    "\\\"metadata\\\":{" meta "}}"
#define MAPPED                                                                                     \
    "\\\"delta.columnMapping.id\\\":1,"                                                            \
    "\\\"delta.columnMapping.physicalName\\\":\\\"col-1\\\""
#define P12        "{\"minReaderVersion\":1,\"minWriterVersion\":2}"
#define P25        "{\"minReaderVersion\":2,\"minWriterVersion\":5}"
#define MODE(mode) "{\"delta.columnMapping.mode\":\"" mode "\"}"

/* Which of a file's columns is the table's, by its statistics. */
static void test_mapping_modes(void **state)
{
    const fixture *f = *state;
    static const struct {
        const char *text;
        sm_status want;
        int64_t min;
        const char *what; /* part of the message */
    } cases[] = {
        {LOG_OF(P25, LONG("a", MAPPED), "[]", MODE("name"), "{}"), SM_OK, 7, ""},
        {LOG_OF(P25, LONG("a", MAPPED), "[]", MODE("NAME"), "{}"), SM_OK, 7, ""},
        {LOG_OF(P25, LONG("a", MAPPED), "[]", MODE("id"), "{}"), SM_OK, 7, ""},
        {LOG_OF(P25, LONG("a", MAPPED), "[]", MODE("none"), "{}"), SM_OK, 5, ""},
        {LOG_OF(P25, LONG("a", MAPPED), "[]", "{}", "{}"), SM_OK, 5, ""},
        {LOG_OF(P12, LONG("a", MAPPED), "[]", MODE("name"), "{}"), SM_OK, 5, ""},
        {LOG_OF(P25, LONG("a", ""), "[]", MODE("name"), "{}"), SM_CORRUPT, 0, "no physical name"},
        {LOG_OF(P25, LONG("a", MAPPED), "[]", MODE("iceberg"), "{}"), SM_UNSUPPORTED, 0,
         "\"iceberg\""},
    };

    for (int i = 0; i < SM_COUNT(cases); i++) {
        sm_error e = {0};
        sm_snapshot *s = NULL;
        int64_t n = 0;
        put_text(f, "00000000000000000000.json", sm_str_of(cases[i].text));
        const sm_status st = sm_snapshot_open(f->store, SM_VERSION_LATEST, NULL, &s, &e);
        if (st != cases[i].want || (st != SM_OK && !strstr(e.what, cases[i].what))) {
            fail_msg("case %d: %s: %s", i, sm_status_name(st), e.what);
        }
        if (st == SM_OK) {
            const sm_delta_file *file = sm_snapshot_files(s, &n);
            assert_int_equal(n, 1);
            const sm_range *ranges = sm_snapshot_ranges(s, file, f->arena);
            assert_true(ranges[0].has_min);
            assert_int_equal(ranges[0].min.as.i, cases[i].min);
        }
        sm_snapshot_release(s);
    }
}

static void test_partitions_that_cannot_be(void **state)
{
    const fixture *f = *state;
    static const struct {
        const char *text;
        sm_status want;
        const char *what;
    } cases[] = {
#define BY(partitions, values)                                                                     \
    LOG_OF(P12, LONG("a", "") "," LONG("P", ""), partitions, "{}", values)
        {BY("[\"P\"]", "{\"P\":\"-12\"}"), SM_OK, ""},
        {BY("[\"P\"]", "{\"P\":null}"), SM_OK, ""},
        {BY("[\"P\"]", "{\"P\":\"\"}"), SM_OK, ""},
        {BY("[\"p\"]", "{\"p\":\"1\"}"), SM_CORRUPT, "\"p\" is not in the schema"},
        {BY("[\"q\"]", "{\"q\":\"1\"}"), SM_CORRUPT, "\"q\" is not in the schema"},
        {BY("[\"P\",\"P\"]", "{\"P\":\"1\"}"), SM_CORRUPT, "named twice"},
        {BY("[\"P\"]", "{\"p\":\"1\"}"), SM_CORRUPT, "no value for partition column \"P\""},
        {BY("[\"P\"]", "{}"), SM_CORRUPT, "no value for partition column \"P\""},
        {BY("[\"P\"]", "{\"P\":\"99999999999999999999\"}"), SM_CORRUPT, "cannot be read"},
        {BY("[\"P\"]", "{\"P\":\"1.5\"}"), SM_CORRUPT, "cannot be read"},
        {BY("[\"P\"]", "{\"P\":\" 1\"}"), SM_CORRUPT, "cannot be read"},
        {BY("[\"P\"]", "{\"P\":\"0x1\"}"), SM_CORRUPT, "cannot be read"},
#undef BY
    };

    for (int i = 0; i < SM_COUNT(cases); i++) {
        sm_error e = {0};
        sm_snapshot *s = NULL;
        put_text(f, "00000000000000000000.json", sm_str_of(cases[i].text));
        const sm_status st = sm_snapshot_open(f->store, SM_VERSION_LATEST, NULL, &s, &e);
        if (st != cases[i].want || (st != SM_OK && !strstr(e.what, cases[i].what))) {
            fail_msg("case %d: %s: %s", i, sm_status_name(st), e.what);
        }
        sm_snapshot_release(s);
    }
}

static void test_no_table(void **state)
{
    const fixture *f = *state;
    sm_error e = {0};
    sm_snapshot *s = NULL;
    bool is_there = true;

    assert_status(sm_snapshot_open(f->store, SM_VERSION_LATEST, NULL, &s, &e), SM_NOT_FOUND, &e);
    assert_ok(sm_delta_exists(f->store, &is_there, &e), &e);
    assert_false(is_there);
    make_table(f);
    assert_ok(sm_delta_exists(f->store, &is_there, &e), &e);
    assert_true(is_there);
}

static void test_tables_that_cannot_be_written(void **state)
{
    const fixture *f = *state;
    static const char *const protocols[] = {
        "{\"protocol\":{\"minReaderVersion\":1,\"minWriterVersion\":8}}\n",
        "{\"protocol\":{\"minReaderVersion\":3,\"minWriterVersion\":7,\"readerFeatures\":"
        "[\"deletionVectors\"],\"writerFeatures\":[\"deletionVectors\",\"icebergCompatV1\"]}}\n",
    };

    for (int i = 0; i < SM_COUNT(protocols); i++) {
        sm_error e = {0};
        int64_t version = -1;
        const sm_str text = sm_arena_strf(f->arena, "%s%s", protocols[i], METADATA);
        assert_ok(sm_store_put(f->store, SM_STR("_delta_log/00000000000000000000.json"), text.data,
                               text.len, SM_PUT_REPLACE, &e),
                  &e);
        sm_snapshot *s = open_at(f, SM_VERSION_LATEST);
        const sm_delta_commit c = {.operation = SM_STR("WRITE")};
        assert_status(commit(f, s, &c, &version, &e), SM_UNSUPPORTED, &e);
        sm_snapshot_release(s);
    }
}

/* ---- translations ---------------------------------------------------------------------------- */

static void test_statistics(void **state)
{
    const fixture *f = *state;
    sm_range ranges[6] = {0};
    sm_buf text = {0};
    int64_t n_rows = 0;
    const sm_range *back = NULL;
    static const struct {
        const char *min, *max;
    } bounds[] = {
        {"-5", "9223372036854775807"},
        {"0001-01-01", "2022-04-30"},
        {"", "\"\\\xc3\xa4\xf0\x9f\x98\x80\n"},
        {"-0.1", "1e+300"},
        {"-12345678.90", "0.01"},
        {"1969-12-31 23:59:59.9999", "2022-04-01 17:05:00.123"},
    };

    for (int32_t i = 0; i < 6; i++) {
        const sm_type *t = f->schema->fields[i].type;
        sm_error e = {0};
        assert_ok(sm_value_parse(t, sm_str_of(bounds[i].min), &ranges[i].min, &e), &e);
        assert_ok(sm_value_parse(t, sm_str_of(bounds[i].max), &ranges[i].max, &e), &e);
        ranges[i].has_min = ranges[i].has_max = ranges[i].has_nulls = true;
        ranges[i].n_nulls = i;
        ranges[i].n_rows = 99;
    }
    smi_stats_print(&(sm_delta_metadata){.schema = f->schema}, ranges, 99, &text);
    smi_stats_parse(sm_buf_str(&text), f->schema, f->arena, &n_rows, &back);
    assert_int_equal(n_rows, 99);
    for (int32_t i = 0; i < 6; i++) {
        assert_true(back[i].has_min && back[i].has_max && back[i].has_nulls);
        assert_int_equal(back[i].n_nulls, i);
        /* never narrower; equal but for timestamps, which have milliseconds */
        assert_true(sm_value_cmp(back[i].min, ranges[i].min) <= 0);
        assert_true(sm_value_cmp(back[i].max, ranges[i].max) >= 0);
        if (i < 5) {
            assert_true(sm_value_eq(back[i].min, ranges[i].min));
            assert_true(sm_value_eq(back[i].max, ranges[i].max));
        }
    }
    sm_buf_release(&text);
    smi_stats_parse(SM_STR("{\"numRecords\":"), f->schema, f->arena, &n_rows, &back);
    assert_int_equal(n_rows, -1);
    assert_null(back);
}

static void test_schemas(void **state)
{
    const fixture *f = *state;
    static const char *const types[] = {
        "STRUCT(a TINYINT, b SMALLINT, c INTEGER, d FLOAT, e BOOLEAN, f BLOB)",
        "STRUCT(a BIGINT[], b STRUCT(x VARCHAR, y DATE[]), c MAP(VARCHAR, DECIMAL(38,3)))",
        "STRUCT(a TIMESTAMP, \"b c\" TIMESTAMP WITH TIME ZONE)",
    };

    for (int i = 0; i < SM_COUNT(types); i++) {
        const sm_type *t = NULL, *back = NULL;
        sm_buf json = {0};
        sm_error e = {0};
        assert_ok(sm_type_parse(sm_str_of(types[i]), f->arena, &t, &e), &e);
        assert_ok(sm_delta_schema_json(t, &json, &e), &e);
        assert_ok(sm_delta_schema_parse(sm_buf_str(&json), f->arena, &back, &e), &e);
        assert_true(sm_type_eq(t, back));
        sm_buf_release(&json);
    }
    const sm_type *t = NULL;
    sm_buf json = {0};
    sm_error e = {0};
    assert_ok(sm_type_parse(SM_STR("STRUCT(a UBIGINT)"), f->arena, &t, &e), &e);
    assert_status(sm_delta_schema_json(t, &json, &e), SM_UNSUPPORTED, &e);
    assert_string_equal(e.frame[0], "column a");
    sm_buf_release(&json);
    assert_status(sm_delta_schema_parse(SM_STR("{\"type\":\"struct\",\"fields\":[{\"name\":\"v\","
                                               "\"type\":\"interval\"}]}"),
                                        f->arena, &t, &e),
                  SM_UNSUPPORTED, &e);
}

/* ---- every store call fails once ------------------------------------------------------------- */

static void test_failing_store(void **state)
{
    const fixture *f = *state;
    sm_error e = {0};

    make_table(f);
    append(f, "a.parquet", 0);
    for (int64_t k = 1;; k++) {
        const sm_fault_plan plan = {.at_call = k, .kind = SM_FAULT_ERROR};
        sm_store *failing = NULL;
        sm_snapshot *s = NULL;
        int64_t version = -1, n = 0;
        const int64_t live = sm_live_allocs();

        assert_ok(sm_store_fault(f->store, &plan, &failing, &e), &e);
        sm_status st = sm_snapshot_open(failing, SM_VERSION_LATEST, NULL, &s, &e);
        if (st == SM_OK) {
            const sm_delta_txn txn = {.app_id = SM_STR("k"), .version = k, .updated_ms = -1};
            const sm_delta_commit c = {.txns = &txn, .n_txns = 1};
            st = sm_delta_commit_write(failing, s, &c, NULL, &version, &e);
        }
        const bool has_fired = sm_fault_has_fired(failing);
        sm_snapshot_release(s);
        sm_store_release(failing);
        assert_true(st == SM_OK || has_fired);
        assert_true(sm_live_allocs() <= live + 65536); /* the memory store keeps the commit */
        s = open_at(f, SM_VERSION_LATEST);
        assert_int_equal(sm_snapshot_txn(s, SM_STR("k")) == k, st == SM_OK);
        sm_snapshot_files(s, &n);
        assert_int_equal(n, 1);
        sm_snapshot_release(s);
        if (!has_fired) {
            break;
        }
    }
}

int main(void)
{
#define DELTA_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        DELTA_TEST(test_commit_reads_back),
        DELTA_TEST(test_restore),
        DELTA_TEST(test_commit_text),
        DELTA_TEST(test_blind_appends_rebase),
        DELTA_TEST(test_conflicts),
        DELTA_TEST(test_effects_of_others),
        DELTA_TEST(test_restores),
        DELTA_TEST(test_lost_answer_is_resolved),
        DELTA_TEST(test_append_only),
        DELTA_TEST(test_append_only_in_other_letters),
        DELTA_TEST(test_a_type_of_the_future),
        DELTA_TEST(test_checkpoint_stands_for_the_log),
        DELTA_TEST(test_removed_twice_and_back),
        DELTA_TEST(test_removals_in_a_checkpoint),
        DELTA_TEST(test_damaged_checkpoints_are_passed_over),
        DELTA_TEST(test_sets_of_parts_are_told_apart),
        DELTA_TEST(test_mapping_modes),
        DELTA_TEST(test_partitions_that_cannot_be),
        DELTA_TEST(test_damaged_logs),
        DELTA_TEST(test_no_table),
        DELTA_TEST(test_tables_that_cannot_be_written),
        DELTA_TEST(test_statistics),
        DELTA_TEST(test_schemas),
        DELTA_TEST(test_failing_store),
    };
#undef DELTA_TEST
    return cmocka_run_group_tests(tests, NULL, NULL);
}
