/* SPDX-License-Identifier: Apache-2.0
 *
 * table/table_alter_test.c: ALTER TABLE: the columns, rows and log after it, what is refused, and
 * what another writer's commit in between does to it. What other readers make of such tables:
 * tests/peers/test_altered.py. */
#include "orders.h"

static const order old_rows[] = {
    {"2022-04-01", "anna", 5}, {"2022-04-02", "carl", 7}, {"2022-04-02", NULL, 8}};

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

/* The columns of the newest version, as SQL prints their type. */
static const char *columns_of(kit *k)
{
    sm_store *store = NULL;
    sm_snapshot *s = NULL;
    sm_error e = {0};
    sm_buf text = {0};
    assert_ok(sm_store_open(test_stores, kit_uri(k, "b/t"), &store, &e), &e);
    assert_ok(sm_table_open(store, k->env.budget, &s, &e), &e);
    sm_type_print(sm_snapshot_metadata(s)->schema, &text);
    const char *out = sm_arena_str(k->arena, sm_buf_str(&text)).data;
    sm_buf_release(&text);
    sm_snapshot_release(s);
    sm_store_release(store);
    return out;
}

#define ON(property) "ALTER TABLE b.t SET TBLPROPERTIES ('delta." property ")"
#define MAP          ON("columnMapping.mode' = 'name'")
#define READ(list)   "ALTER TABLE b.t SET TBLPROPERTIES ('smelt.readers' = '" list "')"
#define WIDEN        ON("enableTypeWidening' = true")

/* Statements after which the table has these columns and rows. Those before the last one succeed.
 */
static const struct {
    const char *sql[6];
    const char *columns, *rows; /* NULL: as they were */
} done[] = {
    {{"ALTER TABLE b.t ADD COLUMN n INTEGER COMMENT 'it''s' FIRST"},
     "STRUCT(n INTEGER, day DATE, Name VARCHAR, amount BIGINT)",
     "NULL 2022-04-01 anna 5;NULL 2022-04-02 carl 7;NULL 2022-04-02 NULL 8;"},
    {{"ALTER TABLE b.t ADD COLUMNS (s STRUCT(a BIGINT), u DATE AFTER day)",
      "ALTER TABLE b.t ADD COLUMN s.b VARCHAR FIRST"},
     "STRUCT(day DATE, u DATE, Name VARCHAR, amount BIGINT, s STRUCT(b VARCHAR, a BIGINT))",
     NULL},
    {{"ALTER TABLE b.t ALTER COLUMN amount FIRST", "ALTER TABLE b.t CHANGE COLUMN day AFTER name"},
     "STRUCT(amount BIGINT, Name VARCHAR, day DATE)",
     "5 anna 2022-04-01;7 carl 2022-04-02;8 NULL 2022-04-02;"},
    {{MAP, "ALTER TABLE b.t RENAME COLUMN name TO who", "ALTER TABLE b.t DROP COLUMN day",
      "ALTER TABLE b.t ADD COLUMN day BIGINT", "INSERT INTO b.t VALUES ('x', 1, 2)",
      "DELETE FROM b.t WHERE who = 'anna'"},
     "STRUCT(who VARCHAR, amount BIGINT, day BIGINT)",
     "carl 7 NULL;NULL 8 NULL;x 1 2;"},
    {{WIDEN, "ALTER TABLE b.t ALTER COLUMN amount TYPE DECIMAL(22, 2)",
      "ALTER TABLE b.t ALTER COLUMN day SET DATA TYPE TIMESTAMP"},
     "STRUCT(day TIMESTAMP, Name VARCHAR, amount DECIMAL(22,2))",
     "2022-04-01 00:00:00 anna 5.00;2022-04-02 00:00:00 carl 7.00;2022-04-02 00:00:00 NULL 8.00;"},
    {{"ALTER TABLE b.t ADD COLUMN n INTEGER DEFAULT 3 + 4", "INSERT INTO b.t (name) VALUES ('x')",
      "ALTER TABLE b.t ALTER COLUMN n DROP DEFAULT", "INSERT INTO b.t (name) VALUES ('y')"},
     NULL,
     "2022-04-01 anna 5 NULL;2022-04-02 carl 7 NULL;2022-04-02 NULL 8 NULL;NULL x NULL 7;"
     "NULL y NULL NULL;"},
    {{"ALTER TABLE b.t ADD CONSTRAINT Few CHECK (\"amount\" < 10)",
      "ALTER TABLE b.t DROP CONSTRAINT few", "INSERT INTO b.t (amount) VALUES (10)"},
     NULL,
     "2022-04-01 anna 5;2022-04-02 carl 7;2022-04-02 NULL 8;NULL NULL 10;"},
    {{READ("duckdb,spark"), MAP, WIDEN, "ALTER TABLE b.t ADD COLUMN t TIMESTAMP"},
     "STRUCT(day DATE, Name VARCHAR, amount BIGINT, t TIMESTAMP)",
     NULL},
    {{"ALTER TABLE b.t DROP COLUMN IF EXISTS none", "ALTER TABLE b.t DROP CONSTRAINT IF EXISTS x",
      "ALTER TABLE b.t UNSET TBLPROPERTIES IF EXISTS ('a', b.c)"},
     NULL,
     NULL},
};

static void changes_are_done(void **state)
{
    for (int i = 0; i < SM_COUNT(done); i++) {
        kit k;
        sm_error e = {0};
        sm_changed c = {0};
        kit_init(&k);
        make_old(&k);
        for (int j = 0; j < SM_COUNT(done[i].sql) && done[i].sql[j]; j++) {
            assert_ok(change(&k, done[i].sql[j], &c, &e), &e);
        }
        if (done[i].columns) {
            assert_string_equal(columns_of(&k), done[i].columns);
        }
        if (done[i].rows) {
            assert_string_equal(table_text(&k, "b", "t"), done[i].rows);
        }
        assert_true((i == SM_COUNT(done) - 1) == (c.version < 0)); /* the last one does nothing */
        kit_release(&k);
    }
}

/* The last statement is refused, with these words; the version stays. */
static const struct {
    const char *sql[4];
    sm_status want;
    const char *what;
} refused[] = {
    {{"ALTER TABLE b.t RENAME COLUMN name TO who"}, SM_DENIED, "is not renamed: the files know"},
    {{"ALTER TABLE b.t DROP COLUMN name"}, SM_DENIED, "is not dropped: the files know"},
    {{"ALTER TABLE b.t ALTER COLUMN amount TYPE DECIMAL(20,0)"}, SM_DENIED, "type widening"},
    {{WIDEN, "ALTER TABLE b.t ALTER COLUMN amount TYPE DOUBLE"}, SM_TYPE, "does not widen"},
    {{WIDEN, "ALTER TABLE b.t ALTER COLUMN amount TYPE INTEGER"}, SM_TYPE, "does not widen"},
    {{"ALTER TABLE b.t ADD COLUMN Name VARCHAR"}, SM_EXISTS, "already"},
    {{"ALTER TABLE b.t ADD COLUMN amount.x VARCHAR"}, SM_TYPE, "is no STRUCT"},
    {{"ALTER TABLE b.t ADD COLUMN t TIME"}, SM_UNSUPPORTED, "TIME"},
    {{"ALTER TABLE b.t ADD COLUMN t VARCHAR NOT NULL"}, SM_UNSUPPORTED, "NOT NULL"},
    {{"ALTER TABLE b.t ALTER COLUMN nam COMMENT 'x'"}, SM_NAME, "no column \"nam\""},
    {{"ALTER TABLE b.t ALTER COLUMN name AFTER nam"}, SM_NAME, "no column \"nam\""},
    {{"ALTER TABLE b.t ALTER COLUMN name AFTER name"}, SM_NAME, "itself"},
    {{MAP, "ALTER TABLE b.t RENAME COLUMN name TO AMOUNT"}, SM_SCHEMA, "differ in case"},
    {{MAP, "ALTER TABLE b.t ADD CONSTRAINT c CHECK (amount > 0)",
      "ALTER TABLE b.t RENAME COLUMN amount TO n"},
     SM_DENIED,
     "it is used by the constraint \"c\""},
    {{MAP, ON("dataSkippingStatsColumns' = 'day,name'"), "ALTER TABLE b.t DROP COLUMN name"},
     SM_DENIED,
     "used by delta.dataSkippingStatsColumns"},
    {{MAP, ON("columnMapping.mode' = 'none'")}, SM_DENIED, "does not change"},
    {{MAP, "ALTER TABLE b.t DROP COLUMNS (day, name, amount)"}, SM_DENIED, "only column"},
    {{"ALTER TABLE b.t ADD CONSTRAINT c CHECK (name <> 'carl')"},
     SM_INVALID,
     "does not hold for 2 rows that the table has; of the first: Name = carl"},
    {{"ALTER TABLE b.t ADD CONSTRAINT c CHECK (amount > 0)",
      "ALTER TABLE b.t ADD CONSTRAINT C CHECK (amount > 1)"},
     SM_EXISTS,
     "already"},
    {{"ALTER TABLE b.t ADD CONSTRAINT c CHECK (amount / 2 > 0)"}, SM_UNSUPPORTED, "/"},
    {{READ("spark, Polars"), MAP},
     SM_DENIED,
     "declared to be read by polars, which does not know the table feature columnMapping"},
    {{READ("delta-rs,duckdb"), MAP, WIDEN}, SM_DENIED, "by delta-rs, which does not know"},
    {{WIDEN, READ("spark"), READ("spark,polars")}, SM_DENIED, "feature typeWidening"},
    {{READ("sparc")}, SM_INVALID, "cannot be \"sparc\""},
    {{"ALTER TABLE b.t DROP CONSTRAINT c"}, SM_NAME, "no constraint \"c\""},
    {{"ALTER TABLE b.t UNSET TBLPROPERTIES ('a')"}, SM_NAME, "no property \"a\""},
    {{ON("appendOnly' = 1")}, SM_INVALID, "cannot be"},
    {{"ALTER TABLE b.t ADD COLUMN n INTEGER DEFAULT name"}, SM_UNSUPPORTED, ""},
    {{"ALTER TABLE b.t ADD COLUMN n INTEGER DEFAULT 'x'"}, SM_UNSUPPORTED, "cast"},
    {{"ALTER TABLE b.t RENAME TO c"}, SM_UNSUPPORTED, "a table is not renamed"},
    {{"ALTER TABLE b.t ALTER COLUMN name SET NOT NULL"}, SM_UNSUPPORTED, "NOT NULL"},
    {{"ALTER TABLE b.t"}, SM_SYNTAX, "ADD, DROP, RENAME"},
    {{"ALTER TABLE b.none ADD COLUMN a BIGINT"}, SM_NAME, "b.none"},
};

static void what_cannot_be_is_refused(void **state)
{
    for (int i = 0; i < SM_COUNT(refused); i++) {
        kit k;
        sm_error e = {0};
        sm_changed c = {0};
        sm_status st = SM_OK;
        kit_init(&k);
        make_old(&k);
        const char *columns = columns_of(&k), *sql = NULL;
        for (int j = 0; j < SM_COUNT(refused[i].sql) && refused[i].sql[j]; j++) {
            assert_ok(st, &e);
            sql = refused[i].sql[j];
            st = change(&k, sql, &c, &e);
        }
        if (st != refused[i].want || !strstr(e.what, refused[i].what)) {
            fail_msg("%s: %s: %s", sql, sm_status_name(st), e.what);
        }
        assert_string_equal(columns_of(&k), columns);
        kit_release(&k);
    }
}

/* What another writer does between the statement's reading and its commit. */
static void others_are_seen(void **state)
{
    static const char add[] = "ALTER TABLE b.t ADD COLUMN n BIGINT";
    static const char constrain[] = "ALTER TABLE b.t ADD CONSTRAINT c CHECK (amount > 0)";
    static const char insert[] = "INSERT INTO b.t (amount) VALUES (-2)";
    static const struct {
        const char *sql, *other;
        sm_status want;
    } rows[] = {
        {add, insert, SM_OK},
        {add, "DELETE FROM b.t", SM_OK},
        {add, MAP, SM_CONFLICT},
        {add, "ALTER TABLE b.t ADD COLUMN m BIGINT", SM_CONFLICT},
        {constrain, insert, SM_CONFLICT},
        {insert, add, SM_CONFLICT},
        {insert, constrain, SM_CONFLICT},
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
        const sm_status st = sm_lake_query_change(q, &k.env, NULL, &c, &e);
        if (st != rows[i].want) {
            fail_msg("%s\n  after %s: %s %s", rows[i].sql, rows[i].other, sm_status_name(st),
                     e.what);
        }
        sm_lake_query_close(q);
        kit_release(&k);
    }
}

/* Rows with a BIGINT come to a table with an INTEGER. */
static void rows_of_wider_types(void **state)
{
    static const char create[] = "CREATE TABLE b.t AS SELECT DATE '2022-04-01' AS day, 'old' AS "
                                 "Name, CAST(4 AS INTEGER) AS amount";
    static const struct {
        const char *sql[2]; /* before the rows come */
        sm_write_mode mode;
        sm_status want;
        const char *said; /* what the table has then, or the advice */
    } rows[] = {
        {{WIDEN}, SM_WRITE_APPEND, SM_OK, "STRUCT(day DATE, Name VARCHAR, amount BIGINT)"},
        {{NULL}, SM_WRITE_APPEND, SM_SCHEMA, "'ALTER COLUMN amount TYPE BIGINT'"},
        {{WIDEN}, SM_WRITE_REPLACE_WHERE, SM_SCHEMA, "'ALTER COLUMN amount TYPE BIGINT'"},
        {{WIDEN, "ALTER TABLE b.t ADD CONSTRAINT c CHECK (amount > 0)"},
         SM_WRITE_APPEND,
         SM_DENIED,
         ""},
    };
    for (int i = 0; i < SM_COUNT(rows); i++) {
        kit k;
        sm_error e = {0};
        sm_changed c = {0};
        kit_init(&k);
        assert_ok(change(&k, create, &c, &e), &e);
        for (int j = 0; j < SM_COUNT(rows[i].sql) && rows[i].sql[j]; j++) {
            assert_ok(change(&k, rows[i].sql[j], &c, &e), &e);
        }
        const sm_write w = {
            .uri = kit_uri(&k, "b/t"), .mode = rows[i].mode, .where = where_sql("amount = 0")};
        const sm_status st = write_orders(&k, &w, old_rows, 1, NULL, &e);
        if (st != rows[i].want || !strstr(st == SM_OK ? columns_of(&k) : e.todo, rows[i].said)) {
            fail_msg("row %d: %s: %s %s", i, sm_status_name(st), e.what, e.todo);
        }
        assert_string_equal(table_text(&k, "b", "t"), st == SM_OK
                                                          ? "2022-04-01 old 4;2022-04-01 anna 5;"
                                                          : "2022-04-01 old 4;");
        kit_release(&k);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(changes_are_done),
        cmocka_unit_test(what_cannot_be_is_refused),
        cmocka_unit_test(others_are_seen),
        cmocka_unit_test(rows_of_wider_types),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
