/* SPDX-License-Identifier: Apache-2.0
 *
 * table/table_replace_test.c: rows of a condition are replaced: by whole files where statistics
 * tell, by rewriting where a file has others too; never a row that the condition is NULL for. */
#include "orders.h"

#include "base/json_doc.h"
#include "table/table_int.h"

static const order old_rows[] = {
    {"2022-04-01", "anna", 5}, {"2022-04-01", "bert", NO_NUMBER},
    {"2022-04-02", "carl", 7}, {"2022-04-02", NULL, 8},
    {NULL, "emma", 9},
};
static const order new_rows[] = {{"2022-04-01", "dora", 1}};
#define ANNA     "2022-04-01 anna 5;"
#define BERT     "2022-04-01 bert NULL;"
#define CARL     "2022-04-02 carl 7;"
#define NOBODY   "2022-04-02 NULL 8;"
#define EMMA     "NULL emma 9;"
#define OLD_TEXT ANNA BERT CARL NOBODY EMMA
#define NEW_TEXT "2022-04-01 dora 1;"

static void make_old(kit *k, const char *split)
{
    sm_error e = {0};
    const sm_write w = {.uri = kit_uri(k, "silver/orders"), .split_by = sm_str_of(split)};
    assert_ok(write_orders(k, &w, old_rows, SM_COUNT(old_rows), NULL, &e), &e);
}

static sm_write replace_where(kit *k, const char *where)
{
    return (sm_write){.uri = kit_uri(k, "silver/orders"),
                      .mode = SM_WRITE_REPLACE_WHERE,
                      .where = where_sql(where)};
}

/* A metric or a parameter of the last commit. */
static sm_str last_said(kit *k, bool of_metrics, const char *name)
{
    sm_error e = {0};
    sm_store *s = NULL;
    sm_delta_commit_info *info = NULL;
    const sm_json *json = NULL;
    int64_t n = 0;
    assert_ok(sm_store_open(test_stores, kit_uri(k, "silver/orders"), &s, &e), &e);
    assert_ok(sm_delta_history(s, 1, k->arena, &info, &n, &e), &e);
    assert_ok(sm_json_parse(of_metrics ? info[0].metrics_json : info[0].parameters_json, k->arena,
                            &json, &e),
              &e);
    sm_store_release(s);
    return sm_json_text(sm_json_get(json, name));
}

static int64_t metric(kit *k, const char *name)
{
    int64_t number = -1;
    assert_true(sscanf(last_said(k, true, name).data, "%" SCNd64, &number) == 1);
    return number;
}

static void test_replace(void **state)
{
    static const struct {
        const char *split, *where, *after;
        int64_t n_removed, n_copied;
    } rows[] = {
        /* Each day has files of its own, and statistics say so: nothing is read. */
        {"day", "day = DATE '2022-04-01'", CARL NOBODY EMMA NEW_TEXT, 1, 0},
        {"day", "day IS NULL", ANNA BERT CARL NOBODY NEW_TEXT, 1, 0},
        {"day", "day >= DATE '2022-04-01' AND day < DATE '2022-05-01'", EMMA NEW_TEXT, 2, 0},
        {"day", "day IN (DATE '2022-04-02', DATE '2022-04-03')", ANNA BERT EMMA NEW_TEXT, 1, 0},
        {"day", "day = DATE '2022-04-09'", OLD_TEXT NEW_TEXT, 0, 0},
        {"day", "true", NEW_TEXT, 3, 0},
        {"day", "false", OLD_TEXT NEW_TEXT, 0, 0},
        /* All rows are in one file: those that stay are written anew, in their order. */
        {"", "day = DATE '2022-04-01'", CARL NOBODY EMMA NEW_TEXT, 1, 3},
        {"", "amount > 5", ANNA BERT NEW_TEXT, 1, 2},
        {"", "NOT (amount > 5)", BERT CARL NOBODY EMMA NEW_TEXT, 1, 4},
        {"", "\"Name\" = 'anna' OR amount = 8", BERT CARL EMMA NEW_TEXT, 1, 3},
        {"", "amount = 7 -- and that is all", ANNA BERT NOBODY EMMA NEW_TEXT, 1, 4},
        {"", "amount = 70", OLD_TEXT NEW_TEXT, 0, 0},
        {"", "\"Name\" = 'beth'", OLD_TEXT NEW_TEXT, 0, 0},
        {"", "amount > 0 OR amount IS NULL", NEW_TEXT, 1, 0},
        /* Some files whole, some in part. */
        {"day", "amount = 5 OR day IS NULL", CARL NOBODY BERT NEW_TEXT, 2, 1},
    };
    for (int i = 0; i < SM_COUNT(rows); i++) {
        kit k;
        sm_error e = {0};
        sm_candidate *c = NULL;
        sm_relation r = {0};
        int64_t version = -1;
        kit_init(&k);
        make_old(&k, rows[i].split);
        const sm_write w = replace_where(&k, rows[i].where);
        assert_ok(stage_orders(&k, &w, new_rows, 1, 1, &c, &e), &e);

        /* Names show the table with the candidate before it is published. */
        sm_names *names = sm_names_new(test_stores, sm_str_of(k.at.path), k.budget);
        sm_names_set_candidate(names, SM_STR("silver.orders"), c);
        assert_ok(resolve(names, k.arena, "silver", "orders", &r, &e), &e);
        const char *staged = read_relation_text(&k, &r);
        sm_names_free(names);
        int64_t n_rows = 0;
        for (const char *at = rows[i].after; (at = strchr(at, ';')); at++) {
            n_rows++;
        }
        assert_int_equal(sm_candidate_table_rows(c), n_rows);
        assert_int_equal(sm_candidate_rows(c), 1);

        assert_ok(sm_publish(&c, 1, k.budget, &version, NULL, &e), &e);
        assert_int_equal(version, 1);
        sm_candidate_release(c);
        if (strcmp(table_text(&k, "silver", "orders"), rows[i].after) != 0) {
            fail_msg("%s: %s", rows[i].where, table_text(&k, "silver", "orders"));
        }
        assert_string_equal(staged, rows[i].after);
        assert_int_equal(metric(&k, "numRemovedFiles"), rows[i].n_removed);
        assert_int_equal(metric(&k, "numCopiedRows"), rows[i].n_copied);
        kit_release(&k);
    }
}

/* ---- many files at once ---------------------------------------------------------------------- */

/* Two rows a day, a file each. The 2nd is counted and stays, the 4th is counted and goes, the 3rd
 * goes by its statistics; the others are cut. */
static const order days_rows[] = {
    {"2022-04-01", "a", 1}, {"2022-04-01", "b", 2}, {"2022-04-02", "c", 1}, {"2022-04-02", "d", 3},
    {"2022-04-03", "e", 2}, {"2022-04-03", "f", 2}, {"2022-04-04", "g", 4}, {"2022-04-04", "h", 2},
    {"2022-04-05", "i", 1}, {"2022-04-05", "j", 4}, {"2022-04-06", "k", 6}, {"2022-04-06", "l", 7},
};
#define EVEN "amount % 2 = 0"

/* Writes rows, a file a day, and stages their replacement. */
static sm_candidate *stage_replaced(kit *k, const order *rows, int64_t n, const char *where,
                                    const char *split)
{
    sm_error e = {0};
    sm_candidate *c = NULL;
    const sm_write old = {.uri = kit_uri(k, "silver/orders"), .split_by = SM_STR("day")};
    sm_write w = replace_where(k, where);

    w.split_by = sm_str_of(split);
    assert_ok(write_orders(k, &old, rows, n, NULL, &e), &e);
    assert_ok(stage_orders(k, &w, new_rows, 1, 1, &c, &e), &e);
    return c;
}

/* A new data file, in the test's arena. */
static sm_str read_add(kit *k, const sm_candidate *c, int64_t i)
{
    sm_buf bytes = {0};
    sm_error e = {0};

    assert_ok(sm_store_get(c->store, c->record.adds[i].key, &bytes, &e), &e);
    const sm_str out = sm_arena_str(k->arena, sm_buf_str(&bytes));
    sm_buf_release(&bytes);
    return out;
}

/* Each file that is cut has a new one of its own, in their order, with the bytes that it has where
 * it is the only one. */
static void test_many_files(void **state)
{
    static const int cut[] = {0, 4, 5};
    kit k;
    sm_error e = {0};
    int64_t version = -1;
    kit_init(&k);
    sm_candidate *c = stage_replaced(&k, days_rows, SM_COUNT(days_rows), EVEN, "");
    assert_int_equal(c->record.n_removes, 5);
    assert_int_equal(c->record.n_adds, SM_COUNT(cut) + 1);
    assert_int_equal(sm_candidate_table_rows(c), 2 + SM_COUNT(cut) + 1);
    for (int i = 0; i < SM_COUNT(cut); i++) {
        kit alone;
        kit_init(&alone);
        sm_candidate *one = stage_replaced(&alone, &days_rows[2 * cut[i]], 2, EVEN, "");
        assert_int_equal(one->record.n_adds, 2);
        assert_int_equal(c->record.adds[i].n_rows, 1);
        assert_true(sm_str_eq(read_add(&k, c, i), read_add(&alone, one, 0)));
        sm_candidate_release(one);
        kit_release(&alone);
    }
    assert_ok(sm_publish(&c, 1, k.budget, &version, NULL, &e), &e);
    sm_candidate_release(c);
    assert_string_equal(table_text(&k, "silver", "orders"),
                        "2022-04-02 c 1;2022-04-02 d 3;2022-04-01 a 1;2022-04-05 i 1;"
                        "2022-04-06 l 7;" NEW_TEXT);
    kit_release(&k);
}

/* Where files are split by a column too, the end of an old file ends a new one, though the next
 * file's rows go on with the same value. */
static void test_split_and_cut(void **state)
{
    static const order first[] = {{"2022-04-01", "a", 1}, {"2022-04-02", "b", 1}, {NULL, "x", 1}};
    static const order second[] = {{"2022-04-02", "c", 1}, {NULL, "x", 2}};
    static const char *const want[] = {"2022-04-01", "2022-04-02", "2022-04-02", "2022-04-01"};
    kit k;
    sm_error e = {0};
    sm_candidate *c = NULL;
    kit_init(&k);
    const sm_write old = {.uri = kit_uri(&k, "silver/orders")};
    sm_write w = replace_where(&k, "\"Name\" = 'x'");
    w.split_by = SM_STR("day");
    assert_ok(write_orders(&k, &old, first, SM_COUNT(first), NULL, &e), &e);
    assert_ok(write_orders(&k, &old, second, SM_COUNT(second), NULL, &e), &e);
    assert_ok(stage_orders(&k, &w, new_rows, 1, 1, &c, &e), &e);
    assert_int_equal(c->record.n_removes, 2);
    assert_int_equal(c->record.n_adds, SM_COUNT(want));
    for (int i = 0; i < SM_COUNT(want); i++) {
        const sm_range *day = &c->record.adds[i].ranges[0];
        int32_t days = 0;
        assert_true(sm_parse_date(sm_str_of(want[i]), &days));
        assert_int_equal(c->record.adds[i].n_rows, 1);
        assert_int_equal(day->min.as.i, days);
        assert_int_equal(day->max.as.i, days);
    }
    sm_candidate_release(c);
    kit_release(&k);
}

static void publish_sql(kit *k, sm_names *names, const sm_write *w, const char *sql)
{
    sm_plan *plan = NULL;
    const sm_resolver by = sm_names_resolver(names);
    const sm_sql text = {.name = SM_STR("q.sql"), .text = sm_str_of(sql)};
    sm_candidate *c = NULL;
    int64_t version = -1;
    sm_error e = {0};

    assert_ok(sm_query_plan(&text, &by, k->arena, &plan, &e), &e);
    assert_ok(sm_stage_plan(plan, w, &k->env, NULL, NULL, &c, &e), &e);
    assert_ok(sm_publish(&c, 1, k->budget, &version, NULL, &e), &e);
    sm_candidate_release(c);
}

/* A column of the table may have the name of the one that says which file a row is of. */
static void test_column_place(void **state)
{
    kit k;
    sm_error e = {0};
    const char *text = NULL;
    kit_init(&k);
    sm_names *names = sm_names_new(k.env.stores, sm_str_of(k.at.path), k.budget);
    const sm_write old = {.uri = kit_uri(&k, "silver/places")};
    const sm_write w = {
        .uri = old.uri, .mode = SM_WRITE_REPLACE_WHERE, .where = where_sql("place % 2 = 0")};
    publish_sql(&k, names, &old, "FROM (VALUES (7, 'a'), (8, 'b')) AS t(\"place\", name)");
    publish_sql(&k, names, &old, "FROM (VALUES (9, 'c'), (10, 'd')) AS t(\"place\", name)");
    publish_sql(&k, names, &w, "SELECT 6 AS \"place\", 'e' AS name");
    assert_ok(sql_text(&k, names, "FROM silver.places", &text, &e), &e);
    assert_string_equal(text, "7 a;9 c;6 e;");
    sm_names_free(names);
    kit_release(&k);
}

static void test_new_table(void **state)
{
    kit k;
    sm_error e = {0};
    kit_init(&k);
    const sm_write w = replace_where(&k, "day = DATE '2022-04-01'");
    assert_ok(write_orders(&k, &w, new_rows, 1, NULL, &e), &e);
    assert_ok(write_orders(&k, &w, new_rows, 1, NULL, &e), &e);
    assert_string_equal(table_text(&k, "silver", "orders"), NEW_TEXT);
    kit_release(&k);
}

/* A replace without new rows makes a version only where rows are removed. */
static void test_no_rows(void **state)
{
    kit k;
    sm_error e = {0};
    int64_t version = 5;
    kit_init(&k);
    make_old(&k, "");
    sm_write w = replace_where(&k, "amount = 70");
    assert_ok(write_orders(&k, &w, NULL, 0, &version, &e), &e);
    assert_int_equal(version, -1);
    w = replace_where(&k, "amount = 7");
    assert_ok(write_orders(&k, &w, NULL, 0, &version, &e), &e);
    assert_int_equal(version, 1);
    assert_string_equal(table_text(&k, "silver", "orders"), ANNA BERT NOBODY EMMA);
    assert_true(sm_str_is(last_said(&k, false, "predicate"), "\"amount\" = 7"));
    kit_release(&k);
}

static void test_refused(void **state)
{
    static const struct {
        const char *where;
        sm_status want;
    } rows[] = {
        {"", SM_SYNTAX},           {"amount =", SM_SYNTAX}, {"amount = 1) OR (true", SM_SYNTAX},
        {"amonut = 1", SM_NAME},   {"amount + 1", SM_TYPE}, {"count(*) > 1", SM_SYNTAX},
        {"var('x') = 1", SM_NAME},
    };
    for (int i = 0; i < SM_COUNT(rows); i++) {
        kit k;
        sm_error e = {0};
        sm_stage *s = NULL;
        kit_init(&k);
        make_old(&k, "");
        const sm_write w = replace_where(&k, rows[i].where);
        const sm_status st = sm_stage_open(&w, &order_schema, &k.env, &s, &e);
        if (st != rows[i].want) {
            fail_msg("%s: %s %s", rows[i].where, sm_status_name(st), e.what);
        }
        kit_release(&k);
    }
}

/* A condition that fails on a row fails the write, which leaves no file. */
static void test_failing_condition(void **state)
{
    kit k;
    sm_error e = {0};
    kit_init(&k);
    make_old(&k, "");
    const sm_write w = replace_where(&k, "CAST(\"Name\" AS BIGINT) = 7");
    const sm_status st = write_orders(&k, &w, new_rows, 1, NULL, &e);
    assert_true(st == SM_TYPE || st == SM_RANGE);
    assert_int_equal(count_data_files(&k, "silver/orders"), 1);
    assert_string_equal(table_text(&k, "silver", "orders"), OLD_TEXT);
    kit_release(&k);
}

/* Rows of another day that others write meanwhile are no conflict; rows of the same day are. */
static void test_rivals(void **state)
{
    static const struct {
        order row;
        sm_status want;
    } rows[] = {
        {{"2022-04-03", "fred", 1}, SM_OK},
        {{"2022-04-01", "fred", 1}, SM_CONFLICT},
    };
    for (int i = 0; i < SM_COUNT(rows); i++) {
        kit k;
        sm_error e = {0};
        sm_candidate *c = NULL;
        int64_t version = -1;
        kit_init(&k);
        make_old(&k, "day");
        const sm_write w = replace_where(&k, "day = DATE '2022-04-01'");
        const sm_write append = {.uri = w.uri};
        assert_ok(stage_orders(&k, &w, new_rows, 1, 1, &c, &e), &e);
        assert_ok(write_orders(&k, &append, &rows[i].row, 1, NULL, &e), &e);
        assert_status(sm_publish(&c, 1, k.budget, &version, NULL, &e), rows[i].want, &e);
        sm_candidate_release(c);
        assert_int_equal(count_data_files(&k, "silver/orders"), rows[i].want == SM_OK ? 5 : 4);
        kit_release(&k);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replace),       cmocka_unit_test(test_many_files),
        cmocka_unit_test(test_split_and_cut), cmocka_unit_test(test_column_place),
        cmocka_unit_test(test_new_table),     cmocka_unit_test(test_no_rows),
        cmocka_unit_test(test_refused),       cmocka_unit_test(test_failing_condition),
        cmocka_unit_test(test_rivals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
