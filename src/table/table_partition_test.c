/* SPDX-License-Identifier: Apache-2.0
 *
 * table/table_partition_test.c: partitioned tables: what each write makes of them, the order in
 * which rows are wanted, which files a condition or new rows replace, and what is refused. The
 * texts of all types: tests/peers/test_partitioned.py. */
#include "orders.h"

#include "base/json_doc.h"
#include "base/time.h"
#include "table/table_int.h"

static const sm_str by_day[] = {{"day", 3}}, by_name[] = {{"name", 4}};
static const sm_str by_both[] = {{"Name", 4}, {"day", 3}};
static const order old_rows[] = {
    {"2022-04-02", "carl", 7}, {"2022-04-01", "anna", 5}, {NULL, "emma", 9},
    {"2022-04-01", "bert", 6}, {"2022-04-02", NULL, 8},
};
/* The order that sm_stage_arrange() gives: by day, NULL last. */
#define ANNA     "2022-04-01 anna 5;"
#define BERT     "2022-04-01 bert 6;"
#define CARL     "2022-04-02 carl 7;"
#define NOBODY   "2022-04-02 NULL 8;"
#define EMMA     "NULL emma 9;"
#define OLD_TEXT ANNA BERT CARL NOBODY EMMA

static sm_write write_by(kit *k, sm_write_mode mode, const sm_str *columns, int32_t n)
{
    return (sm_write){.uri = kit_uri(k, "silver/orders"),
                      .mode = mode,
                      .partition_by = columns,
                      .n_partition_by = n};
}

static const char *rows_sql(kit *k, const order *rows, int64_t n)
{
    sm_buf sql = {0};
    sm_buf_text(&sql,
                SM_STR("SELECT day, \"Name\", CAST(amount AS BIGINT) AS amount FROM (VALUES "));
    for (int64_t i = 0; i < n; i++) {
        const order *o = &rows[i];
        sm_buf_printf(&sql, "%s(%s%s%s, %s%s%s, %" PRId64 ")", i ? ", " : "",
                      o->day ? "DATE '" : "NULL", o->day ? o->day : "", o->day ? "'" : "",
                      o->name ? "'" : "NULL", o->name ? o->name : "", o->name ? "'" : "",
                      o->amount);
    }
    sm_buf_text(&sql, SM_STR(") t(day, \"Name\", amount)"));
    const sm_str out = sm_arena_str(k->arena, sm_buf_str(&sql));
    sm_buf_release(&sql);
    return out.data;
}

/* Rows by a plan, as the stage wants them. */
static sm_status stage_sorted(kit *k, const sm_write *w, const order *rows, int64_t n,
                              sm_candidate **out, sm_error *e)
{
    sm_plan *plan = NULL;
    const sm_sql sql = {.name = SM_STR("rows.sql"), .text = sm_str_of(rows_sql(k, rows, n))};
    sm_names *names = sm_names_new(test_stores, sm_str_of(k->at.path), k->budget);
    const sm_resolver by = sm_names_resolver(names);

    assert_ok(sm_query_plan(&sql, &by, k->arena, &plan, e), e);
    const sm_status st = sm_stage_plan(plan, w, &k->env, NULL, NULL, out, e);
    sm_names_free(names);
    return st;
}

static void publish(kit *k, sm_candidate *c)
{
    sm_error e = {0};
    int64_t version = -1;
    assert_ok(sm_publish(&c, 1, k->budget, &version, NULL, &e), &e);
    sm_candidate_release(c);
}

static void make_old(kit *k, const sm_str *columns, int32_t n)
{
    sm_error e = {0};
    sm_candidate *c = NULL;
    const sm_write w = write_by(k, SM_WRITE_APPEND, columns, n);
    assert_ok(stage_sorted(k, &w, old_rows, SM_COUNT(old_rows), &c, &e), &e);
    publish(k, c);
}

/* The rows of the table by SQL, or of a candidate in its place. */
static const char *text_of(kit *k, sm_candidate *c)
{
    sm_error e = {0};
    const char *text = NULL;
    sm_names *names = sm_names_new(test_stores, sm_str_of(k->at.path), k->budget);
    if (c) {
        sm_names_set_candidate(names, SM_STR("silver.orders"), c);
    }
    assert_ok(sql_text(k, names, "SELECT day, \"Name\", amount FROM silver.orders", &text, &e), &e);
    sm_names_free(names);
    return text;
}

static const char *one_answer(kit *k, const char *sql)
{
    sm_error e = {0};
    const char *text = NULL;
    sm_names *names = sm_names_new(test_stores, sm_str_of(k->at.path), k->budget);
    assert_ok(sql_text(k, names, sql, &text, &e), &e);
    sm_names_free(names);
    return text;
}

static sm_snapshot *snapshot_of(kit *k)
{
    sm_error e = {0};
    sm_store *s = NULL;
    sm_snapshot *out = NULL;
    assert_ok(sm_store_open(test_stores, kit_uri(k, "silver/orders"), &s, &e), &e);
    assert_ok(sm_snapshot_open(s, SM_VERSION_LATEST, k->budget, &out, &e), &e);
    sm_store_release(s);
    return out;
}

/* ---- writes ---------------------------------------------------------------------------------- */

static void test_files(void **state)
{
    static const char *const folders[] = {
        "day=2022-04-01/part-00000-",
        "day=2022-04-02/part-00001-",
        "day=__HIVE_DEFAULT_PARTITION__/part-00002-",
    };
    kit k;
    int64_t n = 0;
    kit_init(&k);
    make_old(&k, by_day, 1);
    assert_string_equal(text_of(&k, NULL), OLD_TEXT);

    sm_snapshot *s = snapshot_of(&k);
    const sm_delta_file *files = sm_snapshot_files(s, &n);
    assert_int_equal(sm_snapshot_metadata(s)->n_partition_columns, 1);
    assert_int_equal(n, SM_COUNT(folders));
    for (int i = 0; i < SM_COUNT(folders); i++) {
        assert_true(sm_str_starts(files[i].key, sm_str_of(folders[i])));
        const sm_range *ranges = sm_snapshot_ranges(s, &files[i], k.arena);
        assert_false(ranges[0].has_min || ranges[0].has_nulls);
        assert_true(ranges[2].has_min && ranges[2].has_max);
    }
    assert_true(files[2].partition[0].is_null);
    assert_int_equal(files[0].n_rows, 2);
    sm_snapshot_release(s);
    kit_release(&k);
}

/* The ends of small files are under way together: a store that answers after 50 ms is waited for
 * less often than once a file. */
static void test_slow_store(void **state)
{
    order rows[8 * SMI_MOST_ENDING];
    char names[SM_COUNT(rows)][8];
    int64_t n = 0;
    kit k;
    kit_init(&k);

    for (int i = 0; i < SM_COUNT(rows); i++) {
        snprintf(names[i], sizeof(names[i]), "n%03d", i);
        rows[i] = (order){"2022-04-01", names[i], i};
    }
    setenv("SMELT_FAULT", "delay_ms=50", 1);
    sm_error e = {0};
    sm_candidate *c = NULL;
    const sm_write w = write_by(&k, SM_WRITE_APPEND, by_name, 1);
    const int64_t start_ns = sm_monotonic_ns();
    assert_ok(stage_sorted(&k, &w, rows, SM_COUNT(rows), &c, &e), &e);
    assert_true(sm_monotonic_ns() - start_ns < SM_COUNT(rows) * INT64_C(50000000));
    unsetenv("SMELT_FAULT");
    publish(&k, c);
    sm_snapshot *s = snapshot_of(&k);
    const sm_delta_file *files = sm_snapshot_files(s, &n);
    assert_int_equal(n, SM_COUNT(rows));
    for (int64_t i = 0; i < n; i++) { /* in the order of the rows, each as it was written */
        assert_true(sm_str_eq(files[i].partition[0].as.s, sm_str_of(names[i])));
    }
    assert_string_equal(one_answer(&k, "SELECT count(*), sum(amount) FROM silver.orders"),
                        "128 8128;");
    sm_snapshot_release(s);
    kit_release(&k);
}

/* Rows that come in another order are written too: a file each time that the partition changes. */
static void test_unsorted(void **state)
{
    kit k;
    sm_error e = {0};
    sm_candidate *c = NULL;
    kit_init(&k);
    const sm_write w = write_by(&k, SM_WRITE_APPEND, by_day, 1);
    assert_ok(stage_orders(&k, &w, old_rows, SM_COUNT(old_rows), 2, &c, &e), &e);
    assert_int_equal(c ? c->record.n_adds : -1, 5);
    const char *staged = text_of(&k, c);
    assert_string_equal(staged, CARL ANNA EMMA BERT NOBODY);
    publish(&k, c);
    assert_string_equal(text_of(&k, NULL), staged);
    kit_release(&k);
}

static void test_modes(void **state)
{
    static const order more[] = {{"2022-04-02", "dora", 1}, {"2022-04-03", "dora", 2}};
#define MORE "2022-04-02 dora 1;2022-04-03 dora 2;"
    static const struct {
        sm_write_mode mode;
        const char *where, *after;
        int64_t n_removed, n_copied;
    } rows[] = {
        {SM_WRITE_APPEND, "", OLD_TEXT MORE, 0, 0},
        {SM_WRITE_OVERWRITE, "", MORE, 3, 0},
        {SM_WRITE_REPLACE_PARTITIONS, "", ANNA BERT EMMA MORE, 1, 0},
        /* By the partition alone: nothing is read. */
        {SM_WRITE_REPLACE_WHERE, "day = DATE '2022-04-01'", CARL NOBODY EMMA MORE, 1, 0},
        {SM_WRITE_REPLACE_WHERE, "day IS NULL", ANNA BERT CARL NOBODY MORE, 1, 0},
        {SM_WRITE_REPLACE_WHERE, "day < DATE '2022-04-02' OR day IS NULL", CARL NOBODY MORE, 2, 0},
        {SM_WRITE_REPLACE_WHERE, "day = DATE '2022-05-01'", OLD_TEXT MORE, 0, 0},
        /* With other columns: files are cut, and their rows stay in their partition. */
        {SM_WRITE_REPLACE_WHERE, "day = DATE '2022-04-01' AND amount = 5",
         BERT CARL NOBODY EMMA MORE, 1, 1},
        {SM_WRITE_REPLACE_WHERE, "amount % 2 = 0", ANNA CARL EMMA MORE, 2, 2},
    };
    for (int i = 0; i < SM_COUNT(rows); i++) {
        kit k;
        sm_error e = {0};
        sm_candidate *c = NULL;
        kit_init(&k);
        make_old(&k, by_day, 1);
        sm_write w = write_by(&k, rows[i].mode, i % 2 ? by_day : NULL, i % 2);
        w.where = where_sql(rows[i].where);
        assert_ok(stage_sorted(&k, &w, more, SM_COUNT(more), &c, &e), &e);
        assert_int_equal(c->record.n_removes, rows[i].n_removed);
        assert_int_equal(c->record.metrics[4].value.as.i, rows[i].n_copied);
        const char *staged = text_of(&k, c);
        publish(&k, c);
        const char *after = text_of(&k, NULL);
        if (strcmp(staged, after) != 0 || strlen(after) != strlen(rows[i].after)) {
            fail_msg("%d %s: %s, staged %s", i, rows[i].where, after, staged);
        }
        kit_release(&k);
    }
}

/* What replaced partitions say of themselves. */
static void test_replaced_partitions(void **state)
{
    static const order new_rows[] = {{"2022-04-01", "x", 1}, {"2022-04-02", "x", 2}};
    kit k;
    sm_error e = {0};
    sm_candidate *c = NULL, *none = NULL;
    kit_init(&k);
    make_old(&k, by_day, 1);
    const sm_write w = write_by(&k, SM_WRITE_REPLACE_PARTITIONS, NULL, 0);
    assert_ok(stage_sorted(&k, &w, new_rows, 2, &c, &e), &e);
    assert_int_equal(c->record.isolation, SM_READ_FILES);
    assert_int_equal(c->record.read.n, 2);
    assert_string_equal(c->record.parameters[2].key.data, "isDynamicPartitionOverwrite");
    assert_string_equal(c->record.parameters[1].value.as.s.data, "[\"day\"]");
    /* Without a row nothing is replaced. */
    assert_ok(stage_orders(&k, &w, NULL, 0, 1, &none, &e), &e);
    assert_true(sm_candidate_is_empty(none));
    sm_candidate_release(none);

    /* Another writer's rows of another partition do not matter; those of a replaced one do. */
    const sm_write append = write_by(&k, SM_WRITE_APPEND, NULL, 0);
    const order later[] = {{"2022-04-09", "later", 1}};
    assert_ok(write_orders(&k, &append, later, 1, NULL, &e), &e);
    publish(&k, c);
    assert_string_equal(text_of(&k, NULL),
                        EMMA "2022-04-09 later 1;2022-04-01 x 1;2022-04-02 x 2;");
    assert_ok(stage_sorted(&k, &w, new_rows, 2, &c, &e), &e);
    assert_ok(write_orders(&k, &append, new_rows, 1, NULL, &e), &e);
    int64_t version = -1;
    assert_status(sm_publish(&c, 1, k.budget, &version, NULL, &e), SM_CONFLICT, &e);
    sm_candidate_release(c);
    kit_release(&k);
}

static void test_order(void **state)
{
    static const struct {
        const char *split;
        int n_partition;
        bool is_sorted;
    } rows[] = {
        {"", 0, false},    {"day", 0, false}, {"", 1, true},
        {"day", 1, false}, /* the order in which a load reads its files will do */
        {"Name", 1, true},
    };
    for (int i = 0; i < SM_COUNT(rows); i++) {
        kit k;
        sm_error e = {0};
        sm_stage *s = NULL;
        sm_plan_node root = {.kind = SM_PLAN_VALUES, .schema = &order_schema};
        const sm_plan plan = {.root = &root, .n_nodes = 1}, *out = NULL;
        kit_init(&k);
        sm_write w = write_by(&k, SM_WRITE_APPEND, by_day, rows[i].n_partition);
        w.split_by = sm_str_of(rows[i].split);
        assert_ok(sm_stage_open(&w, &order_schema, &k.env, &s, &e), &e);
        assert_ok(sm_stage_arrange(s, &plan, k.arena, &out, &e), &e);
        assert_int_equal(out != &plan, rows[i].is_sorted);
        if (rows[i].is_sorted) {
            assert_int_equal(out->root->kind, SM_PLAN_SORT);
            assert_int_equal(out->root->as.sort.n_keys, rows[i].split[0] ? 2 : 1);
            assert_int_equal(out->n_nodes, 2);
        }
        sm_stage_close(s);
        kit_release(&k);
    }
}

/* ---- a column that the table generates ------------------------------------------------------- */

/* Version 0, as another writer makes it: partitioned by the month of `day`. */
static void make_generated(kit *k)
{
    static const char *const fields[][3] = {
        {"day", "date", ""},
        {"Name", "string", ""},
        {"amount", "long", ""},
        {"month", "integer", "\\\"delta.generationExpression\\\":\\\"month(day)\\\""},
    };
    sm_error e = {0};
    sm_store *s = NULL;
    sm_buf log = {0};
    sm_buf_text(&log,
                SM_STR("{\"protocol\":{\"minReaderVersion\":1,\"minWriterVersion\":7,"
                       "\"writerFeatures\":[\"generatedColumns\"]}}\n"
                       "{\"metaData\":{\"id\":\"o\",\"format\":{\"provider\":\"parquet\","
                       "\"options\":{}},\"partitionColumns\":[\"month\"],\"configuration\":{},"
                       "\"schemaString\":\"{\\\"type\\\":\\\"struct\\\",\\\"fields\\\":["));
    for (int i = 0; i < SM_COUNT(fields); i++) {
        sm_buf_printf(&log,
                      "%s{\\\"name\\\":\\\"%s\\\",\\\"type\\\":\\\"%s\\\",\\\"nullable\\\":true,"
                      "\\\"metadata\\\":{%s}}",
                      i ? "," : "", fields[i][0], fields[i][1], fields[i][2]);
    }
    sm_buf_text(&log, SM_STR("]}\"}}\n"));
    assert_ok(sm_store_open(test_stores, kit_uri(k, "silver/orders"), &s, &e), &e);
    put_text(s, "_delta_log/00000000000000000000.json",
             sm_arena_str(k->arena, sm_buf_str(&log)).data);
    sm_store_release(s);
    sm_buf_release(&log);
}

/* Rows come without the column by which they are sorted, and split into files. */
static void test_generated(void **state)
{
    static const order rows[] = {{"2022-05-01", "a", 1},
                                 {"2022-04-01", "b", 2},
                                 {NULL, "c", 3},
                                 {"2021-05-09", "d", 4},
                                 {"2023-04-07", "e", 5}};
    kit k;
    sm_error e = {0};
    sm_candidate *c = NULL;
    kit_init(&k);
    make_generated(&k);
    const sm_write w = write_by(&k, SM_WRITE_APPEND, NULL, 0);
    assert_ok(stage_sorted(&k, &w, rows, SM_COUNT(rows), &c, &e), &e);
    assert_int_equal(c->record.n_adds, 3);
    assert_true(sm_str_starts(c->record.adds[0].key, SM_STR("month=4/")));
    assert_true(sm_str_starts(c->record.adds[1].key, SM_STR("month=5/")));
    publish(&k, c);
    assert_string_equal(text_of(&k, NULL), "2022-04-01 b 2;2023-04-07 e 5;2022-05-01 a 1;"
                                           "2021-05-09 d 4;NULL c 3;");
    kit_release(&k);
}

/* ---- columns --------------------------------------------------------------------------------- */

static void test_columns(void **state)
{
    static const sm_str no_such[] = {{"days", 4}}, twice[] = {{"day", 3}, {"DAY", 3}};
    static const sm_str all[] = {{"day", 3}, {"Name", 4}, {"amount", 6}};
    static const struct {
        const sm_str *there, *here;
        int n_there, n_here; /* −1: there is no table */
        sm_write_mode mode;
        const char *what;  /* NULL: it is done */
        const char *first; /* and partitioned by this first; "": not at all */
    } rows[] = {
        {NULL, by_name, -1, 1, SM_WRITE_APPEND, NULL, "Name"},
        {NULL, by_both, -1, 2, SM_WRITE_REPLACE_PARTITIONS, NULL, "Name"},
        {NULL, no_such, -1, 1, SM_WRITE_APPEND, "no column \"days\" to partition by", ""},
        {NULL, twice, -1, 2, SM_WRITE_APPEND, "partitioned by \"day\" twice", ""},
        {NULL, all, -1, 3, SM_WRITE_APPEND, "partition columns only", ""},
        {NULL, NULL, -1, 0, SM_WRITE_REPLACE_PARTITIONS, "no partitions to replace", ""},
        {NULL, NULL, 0, 0, SM_WRITE_REPLACE_PARTITIONS, "no partitions to replace", ""},
        {NULL, by_day, 0, 1, SM_WRITE_APPEND, "the table is not partitioned, so not by \"day\"",
         ""},
        {NULL, by_day, 0, 1, SM_WRITE_OVERWRITE, NULL, "day"},
        {by_day, NULL, 1, 0, SM_WRITE_APPEND, NULL, "day"},
        {by_day, NULL, 1, 0, SM_WRITE_OVERWRITE, NULL, "day"},
        {by_day, by_name, 1, 1, SM_WRITE_OVERWRITE, NULL, "Name"},
        {by_day, by_both, 1, 2, SM_WRITE_REPLACE_PARTITIONS,
         "the table is partitioned by \"day\", not by \"Name\", \"day\"", ""},
        {by_both, by_both, 2, 2, SM_WRITE_REPLACE_PARTITIONS, NULL, "Name"},
    };
    for (int i = 0; i < SM_COUNT(rows); i++) {
        kit k;
        sm_error e = {0};
        kit_init(&k);
        if (rows[i].n_there >= 0) {
            make_old(&k, rows[i].there, rows[i].n_there);
        }
        const sm_write w = write_by(&k, rows[i].mode, rows[i].here, rows[i].n_here);
        const sm_status st = write_orders(&k, &w, old_rows, SM_COUNT(old_rows), NULL, &e);
        assert_int_equal(st == SM_OK, rows[i].what == NULL);
        if (rows[i].what) {
            if (!strstr(e.what, rows[i].what)) {
                fail_msg("%d: %s", i, e.what);
            }
        } else {
            sm_snapshot *s = snapshot_of(&k);
            assert_true(sm_str_is(sm_snapshot_metadata(s)->partition_columns[0], rows[i].first));
            sm_snapshot_release(s);
        }
        kit_release(&k);
    }
}

/* A further column of a load stands behind the partition columns in the table, not in the files. */
static void test_added_column(void **state)
{
    static const sm_str first[] = {{"id", 2}};
    kit k;
    sm_error e = {0};
    const char *text = NULL;
    kit_init(&k);
    sm_write w = write_by(&k, SM_WRITE_APPEND, first, 1);
    static const char *const sqls[] = {
        "SELECT 1 AS id, 'a' AS x", "SELECT 2 AS id, 'b' AS x, 7 AS y",
        "SELECT 3 AS id, 'c' AS x, 8 AS y", /* replaces one row: the others are cut out */
    };
    sm_names *names = sm_names_new(test_stores, sm_str_of(k.at.path), k.budget);
    const sm_resolver by = sm_names_resolver(names);
    for (int i = 0; i < SM_COUNT(sqls); i++) {
        sm_plan *plan = NULL;
        sm_candidate *c = NULL;
        const sm_sql sql = {.name = SM_STR("q.sql"), .text = sm_str_of(sqls[i])};
        w.adds_columns = i == 1;
        w.mode = i == 2 ? SM_WRITE_REPLACE_WHERE : SM_WRITE_APPEND;
        w.where = where_sql("x = 'a' OR y = 9");
        assert_ok(sm_query_plan(&sql, &by, k.arena, &plan, &e), &e);
        assert_ok(sm_stage_plan(plan, &w, &k.env, NULL, NULL, &c, &e), &e);
        publish(&k, c);
    }
    sm_names_free(names);
    names = sm_names_new(test_stores, sm_str_of(k.at.path), k.budget);
    assert_ok(sql_text(&k, names, "FROM silver.orders", &text, &e), &e);
    assert_string_equal(text, "2 b 7;3 c 8;");
    sm_names_free(names);
    kit_release(&k);
}

/* A value that the log cannot hold is refused, and what was written before it is deleted. */
static void test_refused_values(void **state)
{
    static const order rows[] = {{"2022-04-01", "anna", 5}, {"2022-04-01", "", 5}};
    kit k;
    sm_error e = {0};
    kit_init(&k);
    const sm_write w = write_by(&k, SM_WRITE_APPEND, by_name, 1);
    assert_status(write_orders(&k, &w, rows, 2, NULL, &e), SM_INVALID, &e);
    assert_string_equal(e.what, "partition column \"Name\" has an empty text in a row");
    assert_int_equal(count_data_files(&k, "silver/orders"), 0);
    kit_release(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_files),          cmocka_unit_test(test_unsorted),
        cmocka_unit_test(test_modes),          cmocka_unit_test(test_replaced_partitions),
        cmocka_unit_test(test_order),          cmocka_unit_test(test_generated),
        cmocka_unit_test(test_columns),        cmocka_unit_test(test_added_column),
        cmocka_unit_test(test_refused_values), cmocka_unit_test(test_slow_store),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
