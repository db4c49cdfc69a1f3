/* SPDX-License-Identifier: Apache-2.0
 *
 * table/table_dml_test.c: statements that change tables: the rows after them, the files that they
 * touch, and what another writer's commit in between does to them. */
#include "orders.h"

/* Each day has a file of its own. */
static const order old_rows[] = {
    {"2022-04-01", "anna", 5}, {"2022-04-01", "bert", 6}, {"2022-04-02", "carl", 7},
    {"2022-04-03", NULL, 8},   {"2022-04-03", "emil", 9},
};

static void make_old(kit *k)
{
    sm_error e = {0};
    const sm_write w = {.uri = kit_uri(k, "b/t"), .split_by = SM_STR("day")};
    assert_ok(write_orders(k, &w, old_rows, SM_COUNT(old_rows), NULL, &e), &e);
}

static sm_status open_sql(kit *k, const char *sql, sm_lake_query **out, sm_error *e)
{
    const sm_lake_query_opts opts = {
        .mode = SM_QUERY_CHANGES,
        .sql = {.name = SM_STR("a test"), .text = sm_str_of(sql)},
        .lake = sm_str_of(k->at.path),
    };
    return sm_lake_query_open(&opts, &k->env, out, e);
}

static sm_status change(kit *k, const char *sql, sm_changed *out, sm_error *e)
{
    sm_lake_query *q = NULL;
    SM_TRY(open_sql(k, sql, &q, e));
    const sm_status st = sm_lake_query_change(q, &k->env, NULL, out, e);
    sm_lake_query_close(q);
    return st;
}

#define DAY1 "2022-04-01 anna 5;2022-04-01 bert 6;"
#define DAY2 "2022-04-02 carl 7;"
#define DAY3 "2022-04-03 NULL 8;2022-04-03 emil 9;"

/* ---- rows and files -------------------------------------------------------------------------- */

static const struct {
    const char *sql;
    int64_t inserted, updated, deleted, added, removed;
    const char *after; /* in the order of files */
} statements[] = {
    {"INSERT INTO b.t (name, day) VALUES ('x', '2022-04-04')", 1, 0, 0, 1, 0,
     DAY1 DAY2 DAY3 "2022-04-04 x NULL;"},
    {"INSERT INTO b.t SELECT * FROM b.t WHERE amount = 7", 1, 0, 0, 1, 0,
     DAY1 DAY2 DAY3 "2022-04-02 carl 7;"},
    {"INSERT INTO b.t SELECT * FROM b.t WHERE amount = 70", 0, 0, 0, 0, 0, DAY1 DAY2 DAY3},
    /* whole files go unread, others are cut, the rest stays */
    {"DELETE FROM b.t WHERE day = DATE '2022-04-01'", 0, 0, 2, 0, 1, DAY2 DAY3},
    {"DELETE FROM b.t WHERE amount >= 6 AND amount < 9", 0, 0, 3, 2, 3,
     "2022-04-01 anna 5;2022-04-03 emil 9;"},
    {"DELETE FROM b.t WHERE name <> 'anna'", 0, 0, 3, 2, 3,
     "2022-04-01 anna 5;2022-04-03 NULL 8;"}, /* NULL <> 'anna' is not true */
    {"DELETE FROM b.t WHERE amount > 90", 0, 0, 0, 0, 0, DAY1 DAY2 DAY3},
    {"DELETE FROM b.t", 0, 0, 5, 0, 3, ""},
    {"DELETE FROM b.t WHERE amount = (SELECT max(amount) FROM b.t)", 0, 0, 1, 1, 1,
     DAY1 DAY2 "2022-04-03 NULL 8;"},
    /* an updated file comes behind those that stay, its rows in their order */
    {"UPDATE b.t SET amount = amount * 10 WHERE day = DATE '2022-04-01'", 0, 2, 0, 1, 1,
     DAY2 DAY3 "2022-04-01 anna 50;2022-04-01 bert 60;"},
    {"UPDATE b.t SET name = 'x' WHERE name IS NULL", 0, 1, 0, 1, 1,
     DAY1 DAY2 "2022-04-03 x 8;2022-04-03 emil 9;"},
    {"UPDATE b.t SET amount = length(name), name = amount::VARCHAR WHERE amount < 6", 0, 1, 0, 1, 1,
     DAY2 DAY3 "2022-04-01 5 4;2022-04-01 bert 6;"}, /* SET sees the old values */
    {"UPDATE b.t SET amount = NULL WHERE amount > 90", 0, 0, 0, 0, 0, DAY1 DAY2 DAY3},
    {"MERGE INTO b.t t USING (VALUES ('carl', 70), ('new', 1)) s(n, a) ON t.name = s.n "
     "WHEN MATCHED THEN UPDATE SET amount = s.a "
     "WHEN NOT MATCHED THEN INSERT (name, amount) VALUES (s.n, s.a)",
     1, 1, 0, 2, 1, DAY1 DAY3 "2022-04-02 carl 70;NULL new 1;"},
    {"MERGE INTO b.t t USING (VALUES ('anna'), ('bert')) s(n) ON t.name = s.n "
     "WHEN MATCHED AND t.amount > 5 THEN DELETE",
     0, 0, 1, 1, 1, DAY2 DAY3 "2022-04-01 anna 5;"},
    {"MERGE INTO b.t t USING (VALUES ('carl')) s(n) ON t.name = s.n "
     "WHEN NOT MATCHED BY SOURCE AND t.amount < 7 THEN DELETE "
     "WHEN NOT MATCHED BY SOURCE THEN UPDATE SET name = 'gone'",
     0, 2, 2, 1, 2, DAY2 "2022-04-03 gone 8;2022-04-03 gone 9;"},
    {"MERGE INTO b.t t USING (SELECT * FROM b.t WHERE amount = 90) s ON t.name = s.name "
     "WHEN MATCHED THEN DELETE",
     0, 0, 0, 0, 0, DAY1 DAY2 DAY3},
    /* several rows of the source, of which one acts */
    {"MERGE INTO b.t t USING (VALUES ('carl', 1), ('carl', 2)) s(n, a) ON t.name = s.n "
     "WHEN MATCHED AND s.a = 2 THEN UPDATE SET amount = s.a",
     0, 1, 0, 1, 1, DAY1 DAY3 "2022-04-02 carl 2;"},
};

static void test_statements(void **state)
{
    for (int i = 0; i < SM_COUNT(statements); i++) {
        kit k;
        sm_error e = {0};
        sm_changed c = {0};
        kit_init(&k);
        make_old(&k);
        assert_ok(change(&k, statements[i].sql, &c, &e), &e);
        const char *text = table_text(&k, "b", "t");
        const bool same =
            strcmp(text, statements[i].after) == 0 && c.n_inserted == statements[i].inserted &&
            c.n_updated == statements[i].updated && c.n_deleted == statements[i].deleted &&
            c.n_added == statements[i].added && c.n_removed == statements[i].removed;
        if (!same || (c.version == 1) != (c.n_added + c.n_removed > 0)) {
            fail_msg("%s\n  gave %s\n  %d inserted, %d updated, %d deleted; files +%d -%d",
                     statements[i].sql, text, (int)c.n_inserted, (int)c.n_updated, (int)c.n_deleted,
                     (int)c.n_added, (int)c.n_removed);
        }
        kit_release(&k);
    }
}

/* A value that does not fit leaves the table, and no file behind. */
static void test_failures(void **state)
{
    static const struct {
        const char *sql;
        sm_status want;
        const char *what;
    } rows[] = {
        {"INSERT INTO b.t (amount) SELECT name FROM b.t", SM_TYPE, "anna"},
        {"UPDATE b.t SET day = name", SM_TYPE, "anna"},
        {"UPDATE b.t SET amount = 9223372036854775807 + amount", SM_RANGE, ""},
        {"DELETE FROM b.t WHERE name::INTEGER > 1", SM_TYPE, "cannot be cast"},
        {"MERGE INTO b.t t USING (VALUES ('anna', 1), ('new', 2), ('anna', 3)) s(n, a) "
         "ON t.name = s.n WHEN MATCHED THEN UPDATE SET amount = s.a "
         "WHEN NOT MATCHED THEN INSERT (name) VALUES (s.n)",
         SM_INVALID, "match one row of the table: Name = anna"},
        {"MERGE INTO b.t t USING (VALUES (1), (2)) s(a) ON t.amount > s.a AND t.amount < 6 "
         "WHEN MATCHED THEN DELETE",
         SM_INVALID, "match one row of the table"},
        {"CREATE TABLE b.t AS SELECT 1 AS a", SM_EXISTS, "already"},
        {"DELETE FROM b.none", SM_NAME, "b.none"},
    };
    for (int i = 0; i < SM_COUNT(rows); i++) {
        kit k;
        sm_error e = {0};
        sm_changed c = {0};
        kit_init(&k);
        make_old(&k);
        assert_status(change(&k, rows[i].sql, &c, &e), rows[i].want, &e);
        if (!strstr(e.what, rows[i].what)) {
            fail_msg("%s gave %s", rows[i].sql, e.what);
        }
        assert_string_equal(table_text(&k, "b", "t"), DAY1 DAY2 DAY3);
        assert_int_equal(count_data_files(&k, "b/t"), 3);
        kit_release(&k);
    }
}

static void test_create(void **state)
{
    kit k;
    sm_error e = {0};
    sm_changed c = {0};

    kit_init(&k);
    assert_ok(change(&k, "CREATE TABLE b.t AS SELECT 1 AS a LIMIT 0", &c, &e), &e);
    assert_int_equal(c.version, 0);
    assert_string_equal(table_text(&k, "b", "t"), "");
    assert_ok(change(&k, "CREATE TABLE IF NOT EXISTS b.t AS SELECT 'x' AS b", &c, &e), &e);
    assert_int_equal(c.version, -1);
    assert_ok(change(&k, "CREATE OR REPLACE TABLE b.t AS SELECT 'x' AS b", &c, &e), &e);
    assert_int_equal(c.version, 1);
    assert_string_equal(table_text(&k, "b", "t"), "x;");
    assert_ok(change(&k, "CREATE OR REPLACE TABLE b.t AS SELECT b, 2 AS n FROM b.t", &c, &e), &e);
    assert_string_equal(table_text(&k, "b", "t"), "x 2;");
    kit_release(&k);
}

/* ---- other writers --------------------------------------------------------------------------- */

/* What another writer does between the statement's reading and its commit. */
static void test_rivals(void **state)
{
    static const char delete_day[] = "DELETE FROM b.t WHERE day = DATE '2022-04-01'";
    static const char merge_anna[] =
        "MERGE INTO b.t t USING (VALUES ('anna')) s(n) ON t.name = s.n "
        "WHEN MATCHED THEN DELETE";
    static const struct {
        const char *sql, *other;
        sm_status want;
    } rows[] = {
        {"INSERT INTO b.t (amount) VALUES (1)", "INSERT INTO b.t (amount) VALUES (2)", SM_OK},
        {"INSERT INTO b.t (amount) VALUES (1)", "DELETE FROM b.t", SM_OK},
        {"INSERT INTO b.t (amount) SELECT max(amount) FROM b.t",
         "INSERT INTO b.t (amount) VALUES (2)", SM_CONFLICT},
        {delete_day, "INSERT INTO b.t (day) VALUES (DATE '2022-04-02')", SM_OK},
        {delete_day, "INSERT INTO b.t (day) VALUES (DATE '2022-04-01')", SM_CONFLICT},
        {delete_day, "UPDATE b.t SET amount = 1 WHERE day = DATE '2022-04-02'", SM_OK},
        {delete_day, "UPDATE b.t SET amount = 1 WHERE day = DATE '2022-04-01'", SM_CONFLICT},
        {"UPDATE b.t SET amount = (SELECT max(amount) FROM b.t) WHERE day = DATE '2022-04-01'",
         "INSERT INTO b.t (day) VALUES (DATE '2022-04-02')", SM_CONFLICT},
        {"DELETE FROM b.t WHERE amount + 0 = 5", "INSERT INTO b.t (amount) VALUES (2)",
         SM_CONFLICT}, /* no bound: it has read all */
        {merge_anna, "INSERT INTO b.t (name) VALUES ('zoe')", SM_OK},
        {merge_anna, "INSERT INTO b.t (name) VALUES ('anna')", SM_CONFLICT},
        {"MERGE INTO b.t t USING (VALUES ('new')) s(n) ON t.name = s.n WHEN NOT MATCHED THEN "
         "INSERT (name) VALUES (s.n)",
         "INSERT INTO b.t (name) VALUES ('new')", SM_CONFLICT},
        {"CREATE OR REPLACE TABLE b.t AS SELECT 1 AS a", "INSERT INTO b.t (amount) VALUES (2)",
         SM_OK}, /* it opens the table only when it is executed */
    };
    for (int i = 0; i < SM_COUNT(rows); i++) {
        kit k;
        sm_error e = {0};
        sm_changed c = {0};
        sm_lake_query *q = NULL;
        kit_init(&k);
        make_old(&k);
        assert_ok(open_sql(&k, rows[i].sql, &q, &e), &e);
        assert_ok(change(&k, rows[i].other, &c, &e), &e);
        const char *before = table_text(&k, "b", "t");
        const sm_status st = sm_lake_query_change(q, &k.env, NULL, &c, &e);
        if (st != rows[i].want) {
            fail_msg("%s\n  after %s: %s %s", rows[i].sql, rows[i].other, sm_status_name(st),
                     e.what);
        }
        if (st == SM_CONFLICT) {
            assert_string_equal(table_text(&k, "b", "t"), before);
        }
        sm_lake_query_close(q);
        kit_release(&k);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_statements),
        cmocka_unit_test(test_failures),
        cmocka_unit_test(test_create),
        cmocka_unit_test(test_rivals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
