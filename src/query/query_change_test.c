/* query/query_change_test.c: statements that change tables: what is wrong, with status, place,
 * cause and advice; and what the others are bound to. */
#include "test.h"

#include "query/query_testkit.h"

/* ---- errors ---------------------------------------------------------------------------------- */

static const struct {
    const char *sql;
    sm_status want;
    int64_t byte; /* in line 1 */
    const char *what, *todo;
} errors[] = {
    /* grammar */
    {"INSERT t VALUES (1)", SM_SYNTAX, 8, "expected INTO, found \"t\"", NULL},
    {"INSERT INTO t", SM_SYNTAX, 14, "expected", NULL},
    {"INSERT INTO t (i, b) VALEUS (1, 2)", SM_SYNTAX, 22, "SELECT or VALUES", NULL},
    {"INSERT INTO t (i,) VALUES (1)", SM_SYNTAX, 18, "expected a column", NULL},
    {"INSERT OVERWRITE t VALUES (1)", SM_UNSUPPORTED, 8, "INSERT with OVERWRITE", "REPLACE USING"},
    {"INSERT OR REPLACE INTO t VALUES (1)", SM_UNSUPPORTED, 8, "INSERT with OR", "MERGE INTO"},
    {"INSERT INTO t REPLACE (i) VALUES (1)", SM_SYNTAX, 23, "expected USING", NULL},
    {"INSERT INTO t REPLACE USING () VALUES (1)", SM_SYNTAX, 30, "expected a column", NULL},
    {"INSERT INTO t VALUES (1, 2, 3, 's', NULL) ON CONFLICT DO NOTHING", SM_UNSUPPORTED, 43,
     "INSERT with ON", "MERGE"},
    {"INSERT INTO t (a) DEFAULT VALUES", SM_UNSUPPORTED, 19, "INSERT with DEFAULT", NULL},
    {"CREATE VIEW v AS SELECT 1", SM_UNSUPPORTED, 8, "no views", NULL},
    {"CREATE TABLE x", SM_SYNTAX, 15, "needs columns, or a query", "AS SELECT"},
    {"CREATE TABLE x AS", SM_SYNTAX, 18, "expected WITH, FROM or SELECT", NULL},
    {"CREATE TABLE x (i INTEGER NOT NULL)", SM_UNSUPPORTED, 27, "only a type", "CONSTRAINT"},
    {"CREATE TABLE x (i INTEGER,)", SM_SYNTAX, 27, "expected a column", NULL},
    {"CREATE TABLE x (i INTEGER) AS SELECT 1", SM_SYNTAX, 28, "expected", NULL},
    {"CREATE TABEL x AS SELECT 1", SM_SYNTAX, 8, "expected", "TABLE instead of \"TABEL\""},
    {"CREATE TABLE IF EXISTS x AS SELECT 1", SM_SYNTAX, 17, "expected NOT", NULL},
    {"CREATE TABLE x PARTITIONED (i) AS SELECT 1 AS i", SM_SYNTAX, 28, "expected BY", NULL},
    {"CREATE TABLE x PARTITIONED BY () AS SELECT 1 AS i", SM_SYNTAX, 32, "expected a column", NULL},
    {"CREATE TABLE x PARTITIONED BY (i INT) AS SELECT 1", SM_SYNTAX, 34, "expected", NULL},
    {"CREATE TABLE x PARTITIONED BY (i) PARTITIONED BY (i) AS SELECT 1", SM_SYNTAX, 35, "expected",
     NULL},
    {"CREATE TABLE x TBLPROPERTIES ('a' '1') AS SELECT 1", SM_SYNTAX, 35, "\"=\"", NULL},
    {"CREATE TABLE x TBLPROPERTIES () AS SELECT 1", SM_SYNTAX, 31, "expected a property", NULL},
    {"CREATE TABLE x TBLPROPERTIES (a.b = 1, 'A.B' = 2) AS SELECT 1", SM_SYNTAX, 40, "set twice",
     NULL},
    {"CREATE TABLE x USING delta AS SELECT 1", SM_UNSUPPORTED, 16, "CREATE TABLE with USING",
     "Leave it out"},
    {"DROP TABLE t", SM_UNSUPPORTED, 1, "DROP is not supported", "DELETE FROM"},
    {"vacuum t", SM_UNSUPPORTED, 1, "VACUUM is not supported", "smelt table vacuum"},
    {"WITH x AS (SELECT 1) DROP TABLE t", SM_UNSUPPORTED, 22, "DROP is not supported", NULL},
    {"WITH x AS (SELECT 1) CREATE TABLE y AS FROM x", SM_SYNTAX, 1, "before CREATE TABLE",
     "within the statement"},
    {"WITH x AS (SELECT 1) INSRT INTO t FROM x", SM_SYNTAX, 22, "expected", "INSERT instead"},
    {"TRUNCATE TABLE t WHERE i = 1", SM_SYNTAX, 18, "expected", NULL},
    {"DELETE t", SM_SYNTAX, 8, "expected FROM", NULL},
    {"DELETE FROM t WERE i = 1", SM_SYNTAX, 20, "expected", "WHERE instead of \"WERE\""},
    {"DELETE FROM t USING log WHERE t.s = Key", SM_UNSUPPORTED, 15, "DELETE with USING", "MERGE"},
    {"DELETE FROM t RETURNING *", SM_UNSUPPORTED, 15, "DELETE with RETURNING", NULL},
    {"DELETE FROM t WHERE i = 1; SELECT 1", SM_SYNTAX, 28, "expected", NULL},
    {"UPDATE t WHERE i = 1", SM_SYNTAX, 10, "SET, found", NULL},
    {"UPDATE t SET i WHERE b = 1", SM_SYNTAX, 16, "\"=\"", NULL},
    {"UPDATE t SET i = 1 FROM log", SM_UNSUPPORTED, 20, "UPDATE with FROM", "MERGE"},
    {"COPY t FROM 'x.csv'", SM_UNSUPPORTED, 8, "COPY … FROM", "INSERT INTO"},
    {"COPY t TO x", SM_SYNTAX, 11, "name of a file", NULL},
    {"COPY (SELECT 1) TO 'x' (HEADER)", SM_SYNTAX, 25, "expected FORMAT", NULL},
    {"MERGE INTO t ON i = 1", SM_SYNTAX, 14, "expected", NULL},
    {"MERGE INTO t USING log s ON true", SM_SYNTAX, 33, "WHEN", NULL},
    {"MERGE INTO t USING log s ON true WHEN MATCHED DELETE", SM_SYNTAX, 47, "THEN", NULL},
    {"MERGE INTO t USING log s ON true WHEN MATCHED THEN INSERT *", SM_SYNTAX, 52,
     "expected DELETE or UPDATE", NULL},
    {"MERGE INTO t USING log s ON true WHEN NOT MATCHED THEN DELETE", SM_SYNTAX, 56,
     "expected INSERT", NULL},
    {"MERGE INTO t USING log s ON true WHEN NOT MATCHED THEN INSERT (i) VALUES (1, 2)", SM_SYNTAX,
     74, "names 1 columns and gives 2 values", NULL},
    {"MERGE INTO t USING log s ON true WHEN MATCHED THEN DELETE WHEN MATCHED THEN DELETE",
     SM_SYNTAX, 59, "never counts", NULL},
    /* names */
    {"INSERT INTO tt SELECT 1", SM_NAME, 13, "no table \"tt\"", NULL},
    {"INSERT INTO kinds SELECT 1", SM_UNSUPPORTED, 13, "no table that can be changed", "Delta"},
    {"INSERT INTO log (Kye) VALUES ('a')", SM_NAME, 18, "no column \"Kye\"", "\"Key\""},
    {"INSERT INTO log (Key, key) VALUES ('a', 'b')", SM_NAME, 23, "set twice", NULL},
    {"INSERT INTO log BY NAME SELECT 1 AS Kye", SM_NAME, 25, "no column \"Kye\"", "\"Key\""},
    {"INSERT INTO log (Key) BY NAME SELECT 'a' AS Key", SM_SYNTAX, 18, "BY NAME", NULL},
    {"INSERT INTO log VALUES (DEFAULT)", SM_SCHEMA, 17, "has 4 columns, and the query gives 1",
     NULL},
    {"CREATE TABLE x PARTITIONED BY (Kye) AS FROM log", SM_NAME, 32, "no column \"Kye\"",
     "\"Key\""},
    {"CREATE TABLE x (i INT, j INT) TBLPROPERTIES (a = 1) PARTITIONED BY (I, i)", SM_NAME, 72,
     "\"i\" is named twice", NULL},
    {"INSERT INTO log REPLACE USING (Kye) FROM log", SM_NAME, 32, "no column \"Kye\"", "\"Key\""},
    {"DELETE FROM log WHERE Kye = 'a'", SM_NAME, 23, "no column \"Kye\"", "\"Key\""},
    {"UPDATE log SET Kye = 'a'", SM_NAME, 16, "no column \"Kye\"", "\"Key\""},
    {"UPDATE log SET App = 'a', App = 'b'", SM_NAME, 27, "set twice", NULL},
    {"UPDATE t SET p.i = 1", SM_NAME, 14, "\"p.i\" is no column", "within a struct"},
    {"UPDATE t x SET t.i = 1", SM_NAME, 16, "\"t.i\" is no column", "The table is \"x\""},
    {"UPDATE t SET p.t.i = 1", SM_NAME, 14, "\"p.t.i\" is no column", NULL},
    {"UPDATE t SET t.p.i = 1", SM_NAME, 14, "\"t.p.i\" is no column", "within a struct"},
    {"INSERT INTO t (i, p.b) VALUES (1, 2)", SM_NAME, 19, "\"p.b\" is no column", NULL},
    {"MERGE INTO t USING log l ON t.s = l.Key WHEN MATCHED THEN UPDATE SET l.i = 1", SM_NAME, 70,
     "\"l.i\" is no column", NULL},
    {"MERGE INTO t USING log l ON t.s = l.Key WHEN NOT MATCHED THEN INSERT (t.i, l.s) VALUES (1, "
     "'a')",
     SM_NAME, 76, "\"l.s\" is no column", NULL},
    {"UPDATE log SET App = Kye", SM_NAME, 22, "no column \"Kye\"", "\"Key\""},
    {"MERGE INTO t USING log l ON t.s = l.Kye WHEN MATCHED THEN DELETE", SM_NAME, 35,
     "no column \"Kye\"", "\"Key\""},
    {"MERGE INTO t USING log l ON t.s = l.Key WHEN NOT MATCHED THEN INSERT (s) VALUES (t.s)",
     SM_NAME, 82, "\"t\"", NULL},
    {"MERGE INTO t USING log l ON t.s = l.Key WHEN NOT MATCHED BY SOURCE AND l.Secs > 1 THEN "
     "DELETE",
     SM_NAME, 72, "", NULL},
    {"MERGE INTO t USING log l ON t.s = l.Key WHEN MATCHED THEN UPDATE SET *", SM_NAME, 41,
     "source has no column \"i\"", "Name the columns"},
    /* types and numbers of columns */
    {"INSERT INTO log VALUES (1, 2)", SM_SCHEMA, 17, "has 4 columns, and the query gives 2",
     "BY NAME"},
    {"INSERT INTO log (Key) VALUES (1, 2)", SM_SCHEMA, 23, "names 1 columns", NULL},
    {"INSERT INTO log (Key, Secs) VALUES ('a', 1), ('b', 'x')", SM_TYPE, 52,
     "\"x\" cannot be cast to INTEGER", NULL},
    {"INSERT INTO t (i) VALUES (1), (2147483648)", SM_RANGE, 32,
     "\"2147483648\" cannot be cast to INTEGER", NULL},
    {"INSERT INTO t (i) VALUES (DEFAULT + 1)", SM_NAME, 27, "\"DEFAULT\"", NULL},
    {"INSERT INTO t (i) SELECT DEFAULT", SM_NAME, 26, "\"DEFAULT\"", NULL},
    {"INSERT INTO t (i) (VALUES (1) UNION ALL VALUES (DEFAULT))", SM_SYNTAX, 49,
     "DEFAULT stands only", NULL},
    {"UPDATE t SET i = p", SM_TYPE, 18, "cannot be cast to INTEGER", NULL},
    {"DELETE FROM t WHERE s", SM_TYPE, 21, "WHERE needs a BOOLEAN", NULL},
    {"DELETE FROM t WHERE sum(i) > 1", SM_SYNTAX, 21, "in WHERE", NULL},
    {"UPDATE t SET i = max(b)", SM_SYNTAX, 18, "in SET", NULL},
    {"MERGE INTO t USING log s ON count(*) > 1 WHEN MATCHED THEN DELETE", SM_SYNTAX, 29, "in MERGE",
     NULL},
};

static void check_error(int i)
{
    sm_error e = {0};
    sm_statement *s = NULL;
    sm_arena *const a = sm_arena_new(NULL);
    const sm_status st = kit_statement(errors[i].sql, a, &s, &e);
    const bool same = st == errors[i].want && e.status == st && e.line == 1 &&
                      e.byte == errors[i].byte && strstr(e.what, errors[i].what) &&
                      (!errors[i].todo || strstr(e.todo, errors[i].todo));
    if (!same) {
        fail_msg("%s\n  gave %s at %lld:%lld: %s (%s)", errors[i].sql, sm_status_name(st),
                 (long long)e.line, (long long)e.byte, e.what, e.todo);
    }
    sm_arena_free(a);
}

static void test_errors(void **unused)
{
    for (int i = 0; i < SM_COUNT(errors); i++) {
        check_error(i);
    }
}

/* Where only a query may stand, each of them is refused by its name. */
static void test_only_queries(void **unused)
{
    static const struct {
        const char *sql, *word;
    } rows[] = {
        {"INSERT INTO t VALUES (1)", "INSERT"},
        {"create table x AS SELECT 1", "CREATE"},
        {"DELETE FROM t", "DELETE"},
        {"UPDATE t SET i = 1", "UPDATE"},
        {"MERGE INTO t", "MERGE"},
        {"COPY t TO 'x.csv'", "COPY"},
        {"TRUNCATE t", "TRUNCATE"},
        {"WITH x AS (SELECT 1) INSERT INTO t FROM x", "INSERT"},
    };
    for (int i = 0; i < SM_COUNT(rows); i++) {
        sm_error e = {0};
        sm_plan *plan = NULL;
        sm_arena *const a = sm_arena_new(NULL);
        assert_status(kit_plan(rows[i].sql, a, &plan, &e), SM_DENIED, &e);
        assert_non_null(strstr(e.what, rows[i].word));
        assert_non_null(strstr(e.todo, "--write"));
        assert_int_equal(e.byte, 1);
        sm_arena_free(a);
    }
}

/* ---- what they are bound to ------------------------------------------------------------------ */

static void put_expr(sm_buf *out, const char *name, const sm_expr *x, const sm_type *columns)
{
    if (x) {
        sm_buf_printf(out, "%s ", name);
        sm_expr_print(x, columns, out);
        sm_buf_text(out, SM_STR("; "));
    }
}

/* The plan of what gives rows; else the expressions of the change. */
static void print_statement(const sm_statement *s, sm_buf *out)
{
    const sm_row_change *const c = &s->change;
    if (!c->rows) {
        sm_plan_print(s->plan, NULL, NULL, out);
        return;
    }
    put_expr(out, "acts", c->acts, c->rows);
    put_expr(out, "deletes", c->deletes, c->rows);
    for (int32_t i = 0; c->values && i < c->n_columns; i++) {
        if (c->values[i]->kind != SM_EXPR_COLUMN) {
            put_expr(out, "set", c->values[i], c->rows);
        }
    }
    put_expr(out, "joins", c->joins, c->rows);
    put_expr(out, "inserts", c->inserts, c->source ? c->source->schema : NULL);
    for (int32_t i = 0; c->insert_values && c->source && i < c->n_columns; i++) {
        put_expr(out, "value", c->insert_values[i], c->source->schema);
    }
}

static void test_bound(void **unused)
{
    static const struct {
        const char *sql, *printed;
    } rows[] = {
        {"INSERT INTO t (b, s) VALUES (1, 'x')",
         "PROJECT NULL AS i, CAST(col0 AS BIGINT) AS b, NULL AS d, col1 AS s, NULL AS p\n"
         "  VALUES 1 row\n"},
        {"INSERT INTO log (App) FROM (SELECT s FROM t)",
         "PROJECT NULL AS Key, s AS App, NULL AS Secs, NULL AS Day\n"
         "  SCAN t [s]\n"},
        {"INSERT INTO log BY NAME SELECT 'a' AS key, 5 AS Secs",
         "PROJECT 'a' AS Key, NULL AS App, 5 AS Secs, NULL AS Day\n  VALUES 1 row\n"},
        {"DELETE FROM t", "acts true; deletes true; "},
        {"DELETE FROM t AS x WHERE x.i > 3", "acts (i > 3); deletes (i > 3); "},
        {"UPDATE t SET s = 'x', i = b WHERE i = 1",
         "acts (i = 1); deletes false; set CASE WHEN (i = 1) THEN CAST(b AS INTEGER) ELSE i END; "
         "set CASE WHEN (i = 1) THEN 'x' ELSE s END; "},
        {"UPDATE t SET s = 'x'", "acts true; deletes false; set 'x'; "},
        {"MERGE INTO t USING log l ON t.s = l.Key WHEN MATCHED AND l.Secs > 5 THEN DELETE",
         "acts CASE WHEN has_pair THEN CASE WHEN (Secs > 5) THEN true ELSE false END ELSE false "
         "END; "
         "deletes CASE WHEN has_pair THEN CASE WHEN (Secs > 5) THEN true ELSE false END ELSE false "
         "END; joins ((s = Key) AND CASE WHEN (Secs > 5) THEN true ELSE false END); "},
        {"MERGE INTO t USING log l ON t.s = l.Key WHEN NOT MATCHED THEN INSERT (s) VALUES (l.App)",
         "acts false; deletes false; inserts true; value NULL; value NULL; value NULL; value App; "
         "value "
         "NULL; "},
    };
    for (int i = 0; i < SM_COUNT(rows); i++) {
        sm_error e = {0};
        sm_statement *s = NULL;
        sm_buf text = {0};
        sm_arena *const a = sm_arena_new(NULL);
        assert_ok(kit_statement(rows[i].sql, a, &s, &e), &e);
        print_statement(s, &text);
        if (!sm_str_is(sm_buf_str(&text), rows[i].printed)) {
            fail_msg("%s gave\n%.*s\n  wanted\n%s", rows[i].sql, (int)text.len,
                     (const char *)text.data, rows[i].printed);
        }
        sm_buf_release(&text);
        sm_arena_free(a);
    }
}

/* Subqueries get their values before anything is changed. */
static void test_settle(void **unused)
{
    sm_error e = {0};
    sm_statement *s = NULL;
    sm_buf text = {0};
    sm_arena *const a = sm_arena_new(NULL);
    const sm_value five = sm_value_i64(5);
    assert_ok(kit_statement("DELETE FROM t WHERE b > (SELECT max(Secs) FROM log)", a, &s, &e), &e);
    assert_int_equal(s->n_params, 1);
    assert_non_null(s->params_plan);
    assert_int_equal(s->params_plan->root->schema->n_fields, 1);
    sm_statement_settle(s, &five, a);
    print_statement(s, &text);
    assert_true(sm_str_is(sm_buf_str(&text), "acts (b > 5); deletes (b > 5); "));
    sm_buf_release(&text);
    sm_arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_only_queries),
        cmocka_unit_test(test_bound),
        cmocka_unit_test(test_settle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
