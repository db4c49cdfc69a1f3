/* SPDX-License-Identifier: Apache-2.0
 *
 * delta/delta_check_test.c: a record that is whole passes, and each promise that is broken is told
 * by its own words. */
#include "stores.h"
#include "test.h"

#include "delta/delta_int.h"

/* A table of three files, and a record that replaces the first two by two others. */
typedef struct fixture {
    sm_arena *arena;
    sm_store *store;
    sm_snapshot *base;
    const sm_delta_file *files; /* of the base */
    const sm_type *schema;
    sm_delta_metadata metadata;
    sm_delta_add adds[2];
    sm_range ranges[2][2];
    const sm_delta_file *removes[2];
    sm_delta_detail parameters[2], metrics[1];
    sm_delta_txn txn;
    sm_bound bound;
    int32_t path[1];
    sm_delta_dv dv;
    sm_delta_mark marks[2];
    sm_delta_commit c;
} fixture;

static void set_add(fixture *f, int i, const char *key)
{
    f->ranges[i][0] = (sm_range){.has_min = true,
                                 .has_max = true,
                                 .has_nulls = true,
                                 .min = sm_value_i64(i * 10),
                                 .max = sm_value_i64(i * 10 + 9)};
    f->ranges[i][1] = (sm_range){.has_nulls = true, .n_nulls = 10};
    f->adds[i] = (sm_delta_add){
        .key = sm_str_of(key), .size_bytes = 100, .n_rows = 10, .ranges = f->ranges[i]};
}

static void set_record(fixture *f)
{
    set_add(f, 0, "x.parquet");
    set_add(f, 1, "y.parquet");
    f->parameters[0] = (sm_delta_detail){SM_STR("mode"), sm_value_str(SM_STR("Overwrite"))};
    f->parameters[1] = (sm_delta_detail){SM_STR("version"), sm_value_null(&sm_type_i64)};
    f->metrics[0] = (sm_delta_detail){SM_STR("numFiles"), sm_value_i64(2)};
    f->txn = (sm_delta_txn){.app_id = SM_STR("app"), .version = 1, .updated_ms = -1};
    f->path[0] = 0;
    f->bound =
        (sm_bound){.path = f->path, .n_path = 1, .op = SM_BOUND_LT, .value = sm_value_i64(20)};
    f->metadata.schema = f->schema;
    f->removes[0] = f->files;
    f->removes[1] = f->files + 1;
    f->dv = (sm_delta_dv){.storage_type = SM_STR("u"), .offset = -1, .cardinality = 5};
    f->marks[0] = (sm_delta_mark){.file = f->files, .dv = &f->dv};
    f->marks[1] = (sm_delta_mark){.file = f->files + 1, .dv = &f->dv};
    f->c = (sm_delta_commit){.operation = SM_STR("WRITE"),
                             .parameters = f->parameters,
                             .n_parameters = 2,
                             .metrics = f->metrics,
                             .n_metrics = 1,
                             .isolation = SM_READ_FILES,
                             .read = {.items = &f->bound, .n = 1},
                             .adds = f->adds,
                             .n_adds = 2,
                             .removes = f->removes,
                             .n_removes = 2,
                             .marks = f->marks,
                             .n_marks = 2,
                             .txns = &f->txn,
                             .n_txns = 1};
}

static void make_base(fixture *f)
{
    int64_t version = -1, n = 0;
    sm_delta_add adds[3];
    sm_error e = {0};

    for (int i = 0; i < SM_COUNT(adds); i++) {
        adds[i] = (sm_delta_add){.key = sm_arena_strf(f->arena, "%d.parquet", i), .n_rows = 5};
    }
    const sm_delta_commit c = {.metadata = &f->metadata, .adds = adds, .n_adds = SM_COUNT(adds)};
    assert_ok(sm_delta_commit_write(f->store, NULL, &c, NULL, &version, &e), &e);
    assert_ok(sm_snapshot_open(f->store, 0, NULL, &f->base, &e), &e);
    f->files = sm_snapshot_files(f->base, &n);
    assert_int_equal(n, 3);
}

static void init(fixture *f)
{
    static int number = 0;
    char uri[64];
    sm_error e = {0};

    snprintf(uri, sizeof(uri), "memory://delta_check_test_%d", number++);
    *f = (fixture){.arena = sm_arena_new(NULL)};
    assert_ok(sm_store_open(test_stores, sm_str_of(uri), &f->store, &e), &e);
    assert_ok(sm_type_parse(SM_STR("STRUCT(id BIGINT, name VARCHAR)"), f->arena, &f->schema, &e),
              &e);
    f->metadata = (sm_delta_metadata){.id = SM_STR("a"), .schema = f->schema, .created_ms = -1};
    make_base(f);
    set_record(f);
}

static void release(fixture *f)
{
    sm_snapshot_release(f->base);
    sm_store_release(f->store);
    sm_arena_free(f->arena);
}

/* Breaks the i-th promise; what is then said, NULL after the last. */
static const char *break_promise(fixture *f, int i)
{
    static const sm_pair feed = {{"delta.enableChangeDataFeed", 26}, {"true", 4}};
    static sm_delta_metadata with_feed = {.config = &feed, .n_config = 1};
    static const sm_delta_file elsewhere = {0};

    switch (i) {
    case 0:
        f->metadata.schema = NULL;
        f->c.metadata = &f->metadata;
        return "the table has no schema";
    case 1:
        f->c.n_removes = -1;
        return "a count is negative";
    case 2:
        f->parameters[1].key = SM_STR("");
        return "a parameter or metric has no name";
    case 3:
        f->parameters[1].value.type = NULL;
        return "a parameter or metric has no type";
    case 4:
        f->metrics[0].value = (sm_value){.type = &sm_type_f64, .as.f = 1};
        return "a parameter or metric is neither text nor a number nor true or false";
    case 5:
        f->parameters[1].key = SM_STR("mode");
        return "a parameter or metric is said twice";
    case 6:
        f->txn.app_id = SM_STR("");
        return "a transaction has no application";
    case 7:
        f->txn.version = -1;
        return "a transaction's version is negative";
    case 8:
        f->path[0] = 2;
        return "a bound of what was read is of no column";
    case 9:
        f->removes[0] = &elsewhere;
        return "a file that is removed is not of the base";
    case 10:
        f->removes[0] = f->removes[1];
        return "removes are not in the base's order, each once";
    case 11:
        f->adds[1].key = SM_STR("");
        return "a new file has no name";
    case 12:
        f->adds[1].key = SM_STR("_delta_log/y.parquet");
        return "a new file lies in the log";
    case 13:
        f->adds[1].n_rows = -1;
        return "a new file's rows are not known";
    case 14:
        f->c.n_marks = 0;
        f->dv.cardinality = 11;
        f->adds[1].dv = &f->dv;
        return "a deletion vector has more rows than its file";
    case 15:
        f->adds[1].place = &elsewhere;
        return "a new file takes the place of one that stays";
    case 16:
        f->marks[1].file = &elsewhere;
        return "a file that gets a deletion vector is not removed first";
    case 17:
        f->marks[1].file = f->files;
        return "files that get deletion vectors are not in the base's order, each once";
    case 18:
        f->dv.cardinality = 6;
        return "a new deletion vector has no rows, or more than its file";
    case 19:
        f->dv.cardinality = 0;
        return "a new deletion vector has no rows, or more than its file";
    case 20:
        f->c.changes = f->adds;
        f->c.n_changes = 1;
        return "the table records no changes";
    case 21:
        f->c.changes = f->adds;
        f->c.n_changes = 1;
        f->c.metadata = &with_feed;
        with_feed.schema = f->schema;
        return "a file of changes lies among those of rows";
    default:
        return NULL;
    }
}

/* The same of what only a deep look finds. */
static const char *break_deep(fixture *f, int i)
{
    switch (i) {
    case 0:
        f->ranges[1][1].n_nulls = 11;
        return "a column has more NULLs than the file has rows";
    case 1:
        f->ranges[1][0].max = sm_value_str(SM_STR("29"));
        return "a bound is not of its column's type";
    case 2:
        f->ranges[1][0].min = sm_value_null(&sm_type_i64);
        return "a bound is NULL";
    case 3:
        f->ranges[1][0].max = sm_value_i64(9);
        return "a column's least value is greater than its greatest";
    case 4:
        f->adds[1].key = SM_STR("x.parquet");
        return "a file is added twice";
    default:
        return NULL;
    }
}

static void assert_whole(const fixture *f, bool deep)
{
    const char *why = "";

    if (!sm_delta_commit_validate(&f->c, f->base, deep, &why)) {
        fail_msg("%s", why);
    }
}

static void test_promises(void **state)
{
    const char *(*const breaks[])(fixture *, int) = {break_promise, break_deep};
    fixture f;

    init(&f);
    for (int level = 0; level < SM_COUNT(breaks); level++) {
        for (int i = 0;; i++) {
            const char *why = "";
            set_record(&f);
            assert_whole(&f, true);
            const char *want = breaks[level](&f, i);
            if (!want) {
                assert_true(i > 3);
                break;
            }
            assert_false(sm_delta_commit_validate(&f.c, f.base, true, &why));
            assert_string_equal(why, want);
            if (level > 0) {
                assert_whole(&f, false);
            }
        }
    }
    release(&f);
}

/* What a new table cannot have. */
static void test_new_table(void **state)
{
    fixture f;
    const char *why = "";

    init(&f);
    f.c.metadata = &f.metadata;
    assert_false(sm_delta_commit_validate(&f.c, NULL, false, &why));
    assert_string_equal(why, "a new table has nothing to be read");
    f.c.isolation = SM_READ_NOTHING;
    assert_false(sm_delta_commit_validate(&f.c, NULL, false, &why));
    assert_string_equal(why, "a new table has no file to be removed");
    f.c.n_removes = f.c.n_marks = 0;
    f.c.keeps_rows = true;
    assert_false(sm_delta_commit_validate(&f.c, NULL, false, &why));
    assert_string_equal(why, "a new table's rows were not there before");
    f.c.keeps_rows = false;
    assert_true(sm_delta_commit_validate(&f.c, NULL, true, &why));
    f.metadata.partition_columns = &(const sm_str){"name", 4};
    f.metadata.n_partition_columns = 1;
    assert_false(sm_delta_commit_validate(&f.c, NULL, true, &why));
    assert_string_equal(why, "a new file is of no partition");
    sm_value of_file = sm_value_i64(7);
    f.adds[0].partition = f.adds[1].partition = &of_file;
    assert_false(sm_delta_commit_validate(&f.c, NULL, false, &why));
    assert_string_equal(why, "a new file's partition value is not of its column's type");
    of_file = sm_value_str(SM_STR("x"));
    assert_false(sm_delta_commit_validate(&f.c, NULL, true, &why));
    assert_string_equal(why, "a partition column has statistics");
    f.metadata.partition_columns = &(const sm_str){"no", 2};
    assert_false(sm_delta_commit_validate(&f.c, NULL, false, &why));
    assert_string_equal(why, "a partition column is no column with plain values");
    release(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_promises),
        cmocka_unit_test(test_new_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
