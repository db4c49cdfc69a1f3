/* query/query_test.c: queries to plans: what is parsed, how it is bound and what the optimizer
 * makes of it; and for what is wrong, the status, the place, the cause and the advice. */
#include "test.h"

#include "query/query_testkit.h"

/* ---- errors ---------------------------------------------------------------------------------- */

static const struct {
    const char *sql;
    sm_status want;
    int64_t line, byte;
    const char *what; /* a part of the cause */
    const char *todo; /* a part of the advice; NULL: none */
} errors[] = {
    /* tokens */
    {"SELECT 'abc", SM_SYNTAX, 1, 8, "string is not closed", NULL},
    {"SELECT \"abc", SM_SYNTAX, 1, 8, "quoted name is not closed", NULL},
    {"SELECT \"\"", SM_SYNTAX, 1, 8, "quoted name is empty", NULL},
    {"SELECT 1 /* a /* b */", SM_SYNTAX, 1, 10, "comment is not closed", NULL},
    {"SELECT 1abc", SM_SYNTAX, 1, 8, "number runs into a name", NULL},
    {"SELECT 1 # 2", SM_SYNTAX, 1, 10, "character 0x23", NULL},
    {"\xff\xfeS\0", SM_SYNTAX, 1, 1, "the text is UTF-16", "iconv -f UTF-16 "},
    {"SELECT '\xff'", SM_SYNTAX, 1, 9, "byte 0xff is not UTF-8", NULL},
    /* grammar: what was expected, and the nearest word */
    {"", SM_SYNTAX, 1, 1, "expected WITH, FROM or SELECT, found the end", NULL},
    {"SELCT 1", SM_SYNTAX, 1, 1, "expected WITH, FROM or SELECT, found \"SELCT\"", "SELECT"},
    {"SELECT\n  i FORM t", SM_SYNTAX, 2, 10, "found \"t\"", "FROM instead of \"FORM\""},
    {"SELECT i FROM t WERE i = 1", SM_SYNTAX, 1, 22, "expected", "WHERE instead of \"WERE\""},
    {"SELECT i FROM t GROUP i", SM_SYNTAX, 1, 23, "expected BY, found \"i\"", NULL},
    {"SELECT (1 + ", SM_SYNTAX, 1, 13, "expected an expression, found the end", NULL},
    {"SELECT (1 + 2", SM_SYNTAX, 1, 14, "expected \")\", found the end", NULL},
    {"SELECT CASE i WHEN 1 THEN 2 FROM t", SM_SYNTAX, 1, 29, "expected WHEN, ELSE or END", NULL},
    {"SELECT CAST(i BIGINT)", SM_SYNTAX, 1, 15, "expected AS", NULL},
    {"SELECT CAST(i AS BIGNT) FROM t", SM_SYNTAX, 1, 18, "no type \"BIGNT\"", "bigint"},
    {"SELECT i FROM t LIMIT", SM_SYNTAX, 1, 22, "expected ALL or an expression", NULL},
    {"SELECT i FROM t; SELECT 1", SM_SYNTAX, 1, 18, "found \"SELECT\"", NULL},
    {"SELECT i < b < 3 FROM t", SM_SYNTAX, 1, 14, "comparison of a comparison", "AND"},
    {"SELECT i FROM t RIGHT JOIN log ON true", SM_UNSUPPORTED, 1, 17, "right JOIN", "LEFT"},
    {"SELECT i FROM t WHERE i IN (SELECT 1)", SM_UNSUPPORTED, 1, 29, "IN (SELECT", "JOIN"},
    {"SELECT INTERVAL '1' DAY", SM_UNSUPPORTED, 1, 8, "INTERVAL", "days"},
    {"VALUES (1, 2), (3)", SM_SYNTAX, 1, 16, "row has 1 values, the first one has 2", NULL},
    {"SELECT 1 EXCEPT SELECT 2", SM_UNSUPPORTED, 1, 10, "EXCEPT", NULL},
    /* names */
    {"SELECT k FROM logs", SM_NAME, 1, 15, "no table \"logs\"", NULL},
    {"SELECT Kye FROM log", SM_NAME, 1, 8, "no column \"Kye\"", "\"Key\""},
    {"SELECT l.Kye FROM log l", SM_NAME, 1, 8, "no column \"Kye\"", "\"Key\""},
    {"SELECT Key FROM log a, log b", SM_NAME, 1, 8, "several tables have a column \"Key\"",
     "a.Key or b.Key"},
    {"SELECT * FROM (SELECT Key, Key AS Key FROM log) ORDER BY Key", SM_NAME, 1, 58,
     "several columns \"Key\"", "number"},
    {"SELECT lenght(Key) FROM log", SM_NAME, 1, 8, "no function \"lenght\"", "\"length\""},
    {"SELECT p.z FROM t", SM_NAME, 1, 8, "no field \"z\"", NULL},
    {"SELECT i.x FROM t", SM_TYPE, 1, 8, "INTEGER has no field \"x\"", NULL},
    {"SELECT q.* FROM t", SM_NAME, 1, 8, "no table \"q\" in FROM", NULL},
    {"SELECT * EXCLUDE (bb) FROM t", SM_NAME, 1, 8, "EXCLUDE: no column \"bb\"", "\"b\""},
    {"SELECT var('mont')", SM_NAME, 1, 8, "no variable \"mont\"", NULL},
    {"SELECT * FROM t JOIN log USING (i)", SM_NAME, 1, 22, "no column \"i\" on the right", NULL},
    {"SELECT 1 FROM f('x', wrong => 1)", SM_NAME, 1, 31, "no option \"wrong\"", NULL},
    {"SELECT 1 FROM f(['a', Key])", SM_NAME, 1, 23, "no column \"Key\"", NULL},
    {"SELECT 1 FROM f([1, 'x'])", SM_TYPE, 1, 21, "\"x\" cannot be cast to INTEGER", NULL},
    {"SELECT 1 FROM f([1, DATE '2022-04-01'])", SM_TYPE, 1, 21, "DATE does not go with INTEGER",
     "Cast"},
    {"SELECT [1]", SM_UNSUPPORTED, 1, 8, "only as arguments of table functions", NULL},
    {"SELECT i FROM t LIMIT MAP {1: 2}", SM_TYPE, 1, 23, "LIMIT takes a whole number", NULL},
    {"SELECT Key FROM broken", SM_NAME, 2, 16, "no column \"Kye\"", "\"Key\""},
    /* types */
    {"SELECT i FROM t WHERE s", SM_TYPE, 1, 23, "WHERE needs a BOOLEAN, this is VARCHAR", NULL},
    {"SELECT length(i) FROM t", SM_TYPE, 1, 8, "length does not take (INTEGER)", "length(text)"},
    {"SELECT i + s FROM t", SM_TYPE, 1, 8, "+ does not take (INTEGER, VARCHAR)", NULL},
    {"SELECT p < p FROM t", SM_TYPE, 1, 8, "has no order", NULL},
    {"SELECT p = i FROM t", SM_TYPE, 1, 8, "cannot be compared", NULL},
    {"SELECT CAST(p AS INTEGER) FROM t", SM_TYPE, 1, 8, "cannot be cast to INTEGER", NULL},
    {"SELECT i FROM t LIMIT 'x'", SM_TYPE, 1, 23, "LIMIT takes a whole number", NULL},
    {"SELECT i FROM t LIMIT -1", SM_TYPE, 1, 23, "LIMIT takes a whole number", NULL},
    {"SELECT i FROM t LIMIT i", SM_NAME, 1, 23, "no column \"i\"", NULL},
    /* aggregates and windows in the wrong place */
    {"SELECT Key, Secs FROM log GROUP BY Key", SM_SYNTAX, 1, 13, "\"Secs\" is neither in GROUP BY",
     "any_value(\"Secs\")"},
    {"SELECT sum(sum(i)) FROM t", SM_SYNTAX, 1, 12, "sum may not stand inside an aggregate", NULL},
    {"SELECT i FROM t WHERE sum(i) > 1", SM_SYNTAX, 1, 23, "sum may not stand in WHERE", NULL},
    {"SELECT i FROM t GROUP BY sum(i)", SM_SYNTAX, 1, 26, "may not stand in GROUP BY", NULL},
    {"SELECT rank() FROM t", SM_SYNTAX, 1, 8, "expected OVER", NULL},
    {"SELECT length(s) OVER () FROM t", SM_SYNTAX, 1, 8, "no window function", NULL},
    {"SELECT i FROM t WHERE rank() OVER () = 1", SM_SYNTAX, 1, 23, "may not stand in WHERE", NULL},
    {"SELECT qcut(i, 0) OVER () FROM t", SM_INVALID, 1, 16, "number of classes", NULL},
    {"SELECT length(DISTINCT s) FROM t", SM_SYNTAX, 1, 8, "no aggregate: it takes no DISTINCT",
     NULL},
    {"SELECT i FROM t GROUP BY 2", SM_RANGE, 1, 26, "GROUP BY 2: the list has 1 columns", NULL},
    {"SELECT i FROM t ORDER BY 0", SM_RANGE, 1, 26, "ORDER BY 0", NULL},
    {"SELECT DISTINCT i FROM t ORDER BY b", SM_SYNTAX, 1, 35, "only columns of the list", NULL},
    {"SELECT (SELECT 1, 2)", SM_TYPE, 1, 8, "must give one column, this one gives 2", NULL},
    /* constants that cannot be */
    {"SELECT regexp_matches(s, '(') FROM t", SM_INVALID, 1, 8, "regular expression \"(\"", NULL},
    {"VALUES (CAST('x' AS INTEGER))", SM_TYPE, 1, 9, "\"x\" cannot be cast to INTEGER", "TRY_CAST"},
    /* limits */
    {"SELECT * FROM loop", SM_LIMIT, 1, 1, "views are over the limit", "name itself"},
};

static void check_error(int i)
{
    sm_error e = {0};
    sm_plan *plan = NULL;
    sm_arena *const a = sm_arena_new(NULL);
    const sm_status st = kit_plan(errors[i].sql, a, &plan, &e);
    const bool same = st == errors[i].want && e.status == st && e.line == errors[i].line &&
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

/* ---- limits ---------------------------------------------------------------------------------- */

/* prefix, n times `unit`, suffix. */
static sm_status plan_repeated(const char *prefix, const char *unit, int n, const char *suffix,
                               sm_error *e)
{
    sm_buf text = {0};
    sm_plan *plan = NULL;
    sm_arena *const a = sm_arena_new(NULL);
    sm_buf_text(&text, sm_str_of(prefix));
    for (int i = 0; i < n; i++) {
        sm_buf_text(&text, sm_str_of(unit));
    }
    sm_buf_text(&text, sm_str_of(suffix));
    const sm_sql sql = {SM_STR(""), sm_buf_str(&text)};
    const sm_status st = sm_query_plan(&sql, &kit_resolver, a, &plan, e);
    sm_arena_free(a);
    sm_buf_release(&text);
    return st;
}

static void test_limits(void **unused)
{
    sm_error e = {0};
    assert_status(plan_repeated("SELECT ", "(", 100000, "1", &e), SM_LIMIT, &e);
    assert_int_equal(e.byte, 207); /* the list's own expression is a level */
    assert_status(plan_repeated("SELECT ", "NOT ", 100000, "true", &e), SM_LIMIT, &e);
    assert_status(plan_repeated("SELECT ", "- ", 100000, "1", &e), SM_LIMIT, &e);
    assert_status(plan_repeated("SELECT 1", " + 1", 100000, "", &e), SM_LIMIT, &e);
    assert_status(plan_repeated("", "SELECT * FROM (", 1000, "", &e), SM_LIMIT, &e);
    assert_status(plan_repeated("SELECT 1 FROM log", ", log", 1000, "", &e), SM_LIMIT, &e);
    assert_status(plan_repeated("SELECT 1", " UNION ALL SELECT 1", 1000, "", &e), SM_LIMIT, &e);
    assert_status(plan_repeated("", " ", (1 << 20) + 1, "", &e), SM_LIMIT, &e);
    /* written out, each level doubles */
    assert_status(plan_repeated("SELECT ", "coalesce(", 60, "1", &e), SM_SYNTAX, &e);
    assert_status(
        plan_repeated("SELECT 1 AS a0, a0+a0 AS a1, a1+a1 AS a2, a2+a2 AS a3", "", 1, "", &e),
        SM_OK, &e);
    /* long is not deep */
    assert_status(plan_repeated("SELECT true", " AND true", 20000, "", &e), SM_OK, &e);
    assert_status(plan_repeated("SELECT 1 IN (1", ", 1", 20000, ")", &e), SM_OK, &e);
}

/* BETWEEN names its operand twice: nested a hundred times it would be 2^100 comparisons. */
static void test_no_explosion(void **unused)
{
    sm_error e = {0};
    sm_buf text = {0};
    sm_plan *plan = NULL;
    static const sm_canonical_opts opts = {0};
    sm_table_name *names = NULL;
    sm_str canonical = {0};
    int32_t n = 0;
    sm_arena *const a = sm_arena_new(NULL);
    sm_buf_text(&text, SM_STR("SELECT "));
    for (int i = 0; i < 100; i++) {
        sm_buf_text(&text, SM_STR("("));
    }
    sm_buf_text(&text, SM_STR("i"));
    for (int i = 0; i < 100; i++) {
        sm_buf_text(&text, SM_STR(" BETWEEN 1 AND 2)"));
    }
    sm_buf_text(&text, SM_STR(" FROM t"));
    const sm_sql sql = {SM_STR(""), sm_buf_str(&text)};
    assert_status(sm_query_plan(&sql, &kit_resolver, a, &plan, &e), SM_LIMIT, &e);
    assert_status(sm_query_tables(&sql, a, &names, &n, &e), SM_LIMIT, &e);
    assert_status(sm_query_canonical(&sql, &kit_resolver, &opts, a, &canonical, &e), SM_LIMIT, &e);
    sm_buf_release(&text);
    sm_arena_free(a);
}

/* Chains of operators in subqueries of one another: each is as deep as is allowed. */
static void test_no_deep_walk(void **unused)
{
    static const sm_canonical_opts opts = {0};
    sm_error e = {0};
    sm_buf text = {0};
    sm_table_name *names = NULL;
    sm_str canonical = {0};
    int32_t n = 0;
    sm_arena *const a = sm_arena_new(NULL);
    for (int i = 0; i < 60; i++) {
        sm_buf_text(&text, SM_STR("(SELECT "));
    }
    sm_buf_text(&text, SM_STR("1"));
    for (int i = 0; i < 60; i++) {
        for (int k = 0; k < 900; k++) {
            sm_buf_text(&text, SM_STR("+1"));
        }
        sm_buf_text(&text, SM_STR(")"));
    }
    const sm_sql sql = {SM_STR(""), sm_buf_str(&text)};
    assert_status(sm_query_tables(&sql, a, &names, &n, &e), SM_LIMIT, &e);
    assert_status(sm_query_canonical(&sql, &kit_resolver, &opts, a, &canonical, &e), SM_LIMIT, &e);
    sm_buf_release(&text);
    sm_arena_free(a);
}

/* ---- plans ----------------------------------------------------------------------------------- */

static const struct {
    const char *sql, *plan;
} plans[] = {
    {"SELECT 1 + 2 AS three", "PROJECT 3 AS three\n  VALUES 1 row\n"},
    {"FROM t", "SCAN t [i, b, d, s, p]\n"},
    {"SELECT count(*) FROM log", "AGGREGATE: count(*)\n  SCAN log []\n"},
    {"SELECT b, I FROM t", "PROJECT b, i\n  SCAN t [i, b]\n"},
    {"SELECT p.x, p['y'] FROM t", "PROJECT p.x AS x, p.y AS y\n  SCAN t [p]\n"},
    {"SELECT t.* EXCLUDE (p, d), i AS \"I am\" FROM lake.t", "PROJECT i, b, s, i AS \"I am\"\n"
                                                             "  SCAN t [i, b, s]\n"},
    /* filters */
    {"SELECT i FROM t WHERE 5 < i AND NOT (s = 'x' OR b IS NULL)",
     "PROJECT i\n"
     "  FILTER ((i > 5) AND not(((s = 'x') OR b IS NULL)))\n"
     "    SCAN t [i, b, s] bounds: i > 5\n"},
    {"SELECT i FROM t WHERE NOT i <> 3 AND p.x >= 2",
     "PROJECT i\n"
     "  FILTER ((i = 3) AND (p.x >= 2))\n"
     "    SCAN t [i, p(x)] bounds: i = 3 AND p.x >= 2\n"},
    /* structs are read as far as they are looked into, below every operator */
    {"SELECT p.y FROM t ORDER BY p.y", "SORT y\n  PROJECT p.y AS y\n    SCAN t [p(y)]\n"},
    {"SELECT p, p.x FROM t", "PROJECT p, p.x AS x\n  SCAN t [p]\n"},
    {"SELECT p.x FROM t WHERE p IS NOT NULL",
     "PROJECT p.x AS x\n  FILTER p IS NOT NULL\n    SCAN t [p]\n"},
    {"SELECT p.x, count(p.y) AS n FROM t GROUP BY p.x",
     "PROJECT \"p.x\" AS x, \"count(p.y)\" AS n\n"
     "  AGGREGATE by p.x: count(p.y)\n    SCAN t [p]\n"},
    {"SELECT count(p.y) FROM t", "AGGREGATE: count(p.y)\n  SCAN t [p(y)]\n"},
    {"SELECT a.p.x FROM t a JOIN t b ON a.i = b.p.x",
     "PROJECT p.x AS x\n  JOIN INNER on i = p.x\n    SCAN t [i, p(x)]\n    SCAN t [p(x)]\n"},
    {"SELECT q.p.y FROM (SELECT p, i FROM t LIMIT 3) q",
     "PROJECT p.y AS y\n  LIMIT 3\n    SCAN t [p(y)]\n"},
    {"SELECT p.x, rank() OVER (ORDER BY p.x) AS r FROM t",
     "PROJECT p.x AS x, \"rank()\" AS r\n  WINDOW rank() OVER (ORDER BY p.x)\n    SCAN t [p(x)]\n"},
    {"SELECT q.p.x FROM (SELECT p FROM t UNION ALL SELECT p FROM t) q",
     "PROJECT p.x AS x\n  UNION ALL\n    SCAN t [p]\n    SCAN t [p]\n"},
    {"SELECT (CASE WHEN i > 1 THEN p END).x FROM t",
     "PROJECT CASE WHEN (i > 1) THEN p END.x AS x\n  SCAN t [i, p]\n"},
    {"SELECT Key FROM log WHERE Day BETWEEN CAST(var('month') || '-01' AS DATE) AND '2022-04-30'",
     "PROJECT Key\n"
     "  FILTER ((Day >= DATE '2022-04-01') AND (Day <= DATE '2022-04-30'))\n"
     "    SCAN log [Key, Day] bounds: Day >= DATE '2022-04-01' AND Day <= DATE '2022-04-30'\n"},
    {"SELECT i FROM t WHERE 1 = 2", "VALUES 0 rows\n"},
    {"SELECT i FROM t WHERE i IN (1, 2, NULL) OR false", "FILTER i IN (1, 2, NULL)\n"
                                                         "  SCAN t [i] bounds: i IN (2 values)\n"},
    {"SELECT * FROM (SELECT i + 1 AS n, s FROM t) WHERE n > 3 AND s = 'a'",
     "PROJECT (i + 1) AS n, s\n"
     "  FILTER (((i + 1) > 3) AND (s = 'a'))\n"
     "    SCAN t [i, s] bounds: s = 'a'\n"},
    {"SELECT * FROM (SELECT s, sum(b) AS n FROM t GROUP BY s) WHERE s = 'a' AND n > 3",
     "PROJECT s, \"sum(b)\" AS n\n"
     "  FILTER (\"sum(b)\" > 3)\n"
     "    AGGREGATE by s: sum(b)\n"
     "      FILTER (s = 'a')\n"
     "        SCAN t [b, s] bounds: s = 'a'\n"},
    /* aggregates */
    {"SELECT s, count(*) AS n, sum(DISTINCT i) FROM t GROUP BY ALL HAVING n > 1 ORDER BY 2 DESC, s",
     "PROJECT s, \"count(*)\" AS n, \"sum(DISTINCT i)\"\n"
     "  SORT \"count(*)\" DESC, s\n"
     "    FILTER (\"count(*)\" > 1)\n"
     "      AGGREGATE by s: count(*), sum(DISTINCT i)\n"
     "        SCAN t [i, s]\n"},
    {"SELECT i % 3 AS m, max(b) + 1 FROM t GROUP BY m",
     "PROJECT \"(i % 3)\" AS m, (\"max(b)\" + 1) AS \"max(b) + 1\"\n"
     "  AGGREGATE by (i % 3): max(b)\n"
     "    SCAN t [i, b]\n"},
    {"SELECT sum(b) FILTER (WHERE i > 0), sum(b) + sum(b) FROM t",
     "PROJECT \"sum(b)\" AS \"sum(b) FILTER (WHERE i > 0)\", (\"sum(b)\" + \"sum(b)\") AS "
     "\"sum(b) + sum(b)\"\n"
     "  AGGREGATE: sum(b) FILTER ((i > 0)), sum(b)\n"
     "    SCAN t [i, b]\n"},
    {"SELECT DISTINCT i, i FROM t", "AGGREGATE by i, i\n  PROJECT i, i\n    SCAN t [i]\n"},
    /* windows */
    {"SELECT i, rank() OVER (PARTITION BY s ORDER BY b DESC NULLS FIRST) AS r FROM t "
     "QUALIFY r = 1",
     "PROJECT i, \"rank()\" AS r\n"
     "  FILTER (\"rank()\" = 1)\n"
     "    WINDOW rank() OVER (PARTITION BY s ORDER BY b DESC NULLS FIRST)\n"
     "      SCAN t [i, b, s]\n"},
    {"SELECT s, sum(sum(b)) OVER () AS n FROM t GROUP BY s",
     "PROJECT s, \"sum(\"\"sum(b)\"\")\" AS n\n"
     "  WINDOW sum(\"sum(b)\") OVER ()\n"
     "    AGGREGATE by s: sum(b)\n"
     "      SCAN t [b, s]\n"},
    /* joins */
    {"SELECT x.Key, y.Secs FROM log x, log y WHERE x.Key = y.Key AND x.Secs > 3",
     "PROJECT Key, Secs\n"
     "  JOIN INNER on Key = Key\n"
     "    FILTER (Secs > 3)\n"
     "      SCAN log [Key, Secs] bounds: Secs > 3\n"
     "    SCAN log [Key, Secs]\n"},
    {"SELECT x.Key FROM log x LEFT JOIN t ON x.Key = t.s AND t.i > 3 AND x.App = 'q' WHERE b = 1",
     "PROJECT Key\n"
     "  FILTER (b = 1)\n"
     "    JOIN LEFT on Key = s AND (App = 'q')\n"
     "      SCAN log [Key, App]\n"
     "      FILTER (i > 3)\n"
     "        SCAN t [i, b, s] bounds: i > 3\n"},
    {"SELECT * EXCLUDE (p, d) FROM t JOIN (SELECT i, 1 AS one FROM t) u USING (i)",
     "PROJECT i, b, s, one\n"
     "  JOIN INNER on i = i\n"
     "    SCAN t [i, b, s]\n"
     "    PROJECT i, 1 AS one\n"
     "      SCAN t [i]\n"},
    {"SELECT x.i FROM t x CROSS JOIN t y", "JOIN CROSS\n  SCAN t [i]\n  SCAN t []\n"},
    /* ordering and limits */
    {"SELECT i FROM t ORDER BY b LIMIT 3 OFFSET 2", "LIMIT 3 OFFSET 2\n"
                                                    "  PROJECT i\n"
                                                    "    SORT b limit 5\n"
                                                    "      SCAN t [i, b]\n"},
    {"SELECT i FROM t UNION ALL SELECT b FROM t WHERE b = 3 ORDER BY 1",
     "SORT i\n"
     "  UNION ALL\n"
     "    PROJECT CAST(i AS BIGINT) AS i\n"
     "      SCAN t [i]\n"
     "    FILTER (b = 3)\n"
     "      SCAN t [b] bounds: b = 3\n"},
    {"SELECT y FROM (VALUES (1, 'a'), (2, NULL)) v(x, y) WHERE x > 1", "PROJECT col1 AS y\n"
                                                                       "  FILTER (col0 > 1)\n"
                                                                       "    VALUES 2 rows\n"},
    /* CTEs, subqueries, functions, files */
    {"WITH a AS (SELECT i FROM t), c(n) AS (SELECT i + 1 FROM a) SELECT n FROM c, a WHERE n = a.i",
     "PROJECT \"i + 1\" AS n\n"
     "  JOIN INNER on \"i + 1\" = i\n"
     "    PROJECT (i + 1) AS \"i + 1\"\n"
     "      SCAN t [i]\n"
     "    SCAN t [i]\n"},
    {"SELECT i FROM t WHERE b = (SELECT max(b) FROM t)", "PROJECT i\n"
                                                         "  FILTER (b = $0)\n"
                                                         "    SCAN t [i, b]\n"
                                                         "$0:\n"
                                                         "  AGGREGATE: max(b)\n"
                                                         "    SCAN t [b]\n"},
    {"SELECT Key FROM read(var('month'), a => [1, '2', 1 + 2], c = {k: 2, 'l': [true], m: []}) r",
     "SCAN read 2022-04 a=[1, 2, 3]@41@44@49 c={'k': 2, 'l': [true], 'm': []}@65@73@84 [Key]\n"},
    {"SELECT Key FROM read([[1], NULL, [2]], {}, MAP {'a': 'b'})",
     "SCAN read [[1], NULL, [2]]@22@27@33 {} {a=b} [Key]\n"},
    /* constants become one constant, maps too; not where that fails, or as a list */
    {"SELECT MAP {'a': 1, 'b': 1 + 1} AS m, MAP {1: 4} = MAP {2: 3} AS e",
     "PROJECT MAP {'a': 1, 'b': 2} AS m, false AS e\n  VALUES 1 row\n"},
    {"SELECT MAP {'a': NULL, 'b': 1::BIGINT} AS m, MAP {1.5: DATE '2022-04-01'} AS d",
     "PROJECT MAP {'a': CAST(NULL AS BIGINT), 'b': 1} AS m, MAP {CAST(1.5 AS DECIMAL(2,1)): DATE "
     "'2022-04-01'} AS d\n  VALUES 1 row\n"},
    {"SELECT MAP {'a': MAP {i: 'x'}}, MAP {'a': MAP {1: 'x'}} AS c FROM t",
     "PROJECT MAP {'a': MAP {i: 'x'}} AS \"MAP {'a': MAP {i: 'x'}}\", MAP {'a': MAP {1: 'x'}} AS "
     "c\n  SCAN t [i]\n"},
    {"SELECT MAP {DATE '2022-04-01': 1}[Day] AS x FROM log",
     "PROJECT map_extract_value(MAP {DATE '2022-04-01': 1}, Day) AS x\n  SCAN log [Day]\n"},
    {"SELECT cardinality(MAP {'a': 1}) AS n, map_keys(MAP {'a': 1}) AS k, MAP {1: 2, 1: 3} AS m",
     "PROJECT 1 AS n, map_keys(MAP {'a': 1}) AS k, MAP {1: 2, 1: 3} AS m\n  VALUES 1 row\n"},
    {"SELECT Key FROM 'x/*.json'", "SCAN file x/*.json [Key]\n"},
    /* what repeats is computed once; not what may fail */
    {"SELECT coalesce(length(s), 0), coalesce(length(s), 0) * 2 FROM t",
     "PROJECT shared1 AS \"coalesce(length(s), 0)\", (shared1 * 2) AS "
     "\"coalesce(length(s), 0) * 2\"\n"
     "  PROJECT s, CASE WHEN shared1 IS NOT NULL THEN shared1 ELSE 0 END AS shared1\n"
     "    PROJECT s, length(s) AS shared1\n"
     "      SCAN t [s]\n"},
    {"SELECT b + 1, (b + 1) FROM t", "PROJECT (b + 1) AS \"b + 1\", (b + 1) AS \"b + 1\"\n"
                                     "  SCAN t [b]\n"},
};

static void print_plan(const char *sql, sm_buf *out)
{
    sm_error e = {0};
    sm_plan *plan = NULL;
    sm_arena *const a = sm_arena_new(NULL);
    if (kit_plan(sql, a, &plan, &e) != SM_OK) {
        fail_msg("%s: %s", sql, e.what);
    }
    sm_plan_print(plan, NULL, NULL, out);
    sm_arena_free(a);
}

static void test_plans(void **unused)
{
    for (int i = 0; i < SM_COUNT(plans); i++) {
        sm_buf text = {0};
        print_plan(plans[i].sql, &text);
        if (!sm_str_is(sm_buf_str(&text), plans[i].plan)) {
            fail_msg("%s\ngave:\n%.*swant:\n%s", plans[i].sql, (int)text.len,
                     (const char *)text.data, plans[i].plan);
        }
        sm_buf_release(&text);
    }
}

/* ---- merged aggregates ----------------------------------------------------------------------- */

static const struct {
    const char *sql;
    int scans, aggregates, joins;
} merges[] = {
    /* the shape of two layers over one view: one scan */
    {"WITH m AS (SELECT Key, max(Day) AS d, count(DISTINCT Day) AS f, sum(Secs) AS x FROM kinds "
     "GROUP BY Key) SELECT s.*, d, f, x FROM sums s JOIN m USING (Key)",
     1, 1, 0},
    {"WITH m AS (SELECT max(Day) AS d, Key AS k FROM kinds GROUP BY 2) "
     "SELECT Xs, d FROM sums JOIN m ON k = Key",
     1, 1, 0},
    /* three of them */
    {"SELECT a.Key FROM sums a JOIN sums b USING (Key) JOIN sums c ON c.Key = b.Key", 1, 1, 0},
    /* filters above the aggregates, on keys and on sums */
    {"SELECT * FROM (SELECT * FROM sums WHERE Xs > 3 AND Key > 'b') a JOIN "
     "(SELECT Key, max(Day) AS d FROM kinds GROUP BY Key HAVING count(*) > 1) b USING (Key)",
     1, 1, 0},
    /* two keys in another order */
    {"SELECT 1 FROM (SELECT i, s, sum(b) AS x FROM t GROUP BY i, s) a JOIN "
     "(SELECT s, i, max(d) AS y FROM t GROUP BY s, i) c ON a.s = c.s AND a.i = c.i",
     1, 1, 0},
    /* not these: another filter, another key, only one of two keys, LEFT, keys crossed */
    {"SELECT 1 FROM sums a JOIN (SELECT Key, max(Day) FROM kinds WHERE Secs > 1 GROUP BY Key) b "
     "USING (Key)",
     2, 2, 1},
    {"SELECT 1 FROM sums a JOIN (SELECT Kind AS Key, max(Day) FROM kinds GROUP BY Kind) b "
     "USING (Key)",
     2, 2, 1},
    {"SELECT 1 FROM (SELECT i, s FROM t GROUP BY i, s) a JOIN (SELECT i, s FROM t GROUP BY i, s) c "
     "ON a.s = c.s",
     2, 2, 1},
    {"SELECT 1 FROM sums a LEFT JOIN sums b USING (Key)", 2, 2, 1},
    {"SELECT 1 FROM (SELECT i, b FROM t GROUP BY i, b) a JOIN (SELECT i, b FROM t GROUP BY i, b) c "
     "ON a.i = c.b AND a.b = c.i",
     2, 2, 1},
};

static int count_word(sm_str text, const char *word)
{
    int n = 0;
    const size_t len = strlen(word);
    for (size_t i = 0; i + len <= text.len; i++) {
        n += memcmp(text.data + i, word, len) == 0;
    }
    return n;
}

static void test_merges(void **unused)
{
    for (int i = 0; i < SM_COUNT(merges); i++) {
        sm_buf text = {0};
        print_plan(merges[i].sql, &text);
        const sm_str s = sm_buf_str(&text);
        if (count_word(s, "SCAN ") != merges[i].scans ||
            count_word(s, "AGGREGATE ") != merges[i].aggregates ||
            count_word(s, "JOIN ") != merges[i].joins) {
            fail_msg("%s\ngave:\n%.*s", merges[i].sql, (int)text.len, (const char *)text.data);
        }
        sm_buf_release(&text);
    }
}

/* What the merged plan computes, in full; a key that may be NULL is asked not to be. */
static void test_merged_plans(void **unused)
{
    static const struct {
        const char *sql, *plan;
    } rows[] = {
        {"SELECT s.Xs, m.d FROM sums s JOIN (SELECT Key, max(Day) AS d FROM kinds GROUP BY Key) m "
         "USING (Key)",
         "PROJECT \"sum(Secs)\" AS Xs, \"max(Day)\" AS d\n"
         "  AGGREGATE by Key: sum(Secs) FILTER ((Kind = 'X')), max(Day)\n"
         "    PROJECT Key, Day, Secs, CASE WHEN App IN ('a', 'b') THEN 'X' WHEN (App = 'c') THEN "
         "'Y' "
         "END AS Kind\n"
         "      FILTER ((Key <> '0') AND (Secs > 0))\n"
         "        SCAN log [Key, App, Secs, Day] bounds: Secs > 0\n"},
        {"SELECT a.x, c.y FROM (SELECT s, sum(b) AS x FROM t GROUP BY s) a JOIN "
         "(SELECT s, max(i) AS y FROM t GROUP BY s HAVING max(i) > 2) c USING (s)",
         "PROJECT \"sum(b)\" AS x, \"max(i)\" AS y\n"
         "  FILTER (\"max(i)\" > 2)\n"
         "    AGGREGATE by s: sum(b), max(i)\n"
         "      FILTER s IS NOT NULL\n"
         "        SCAN t [i, b, s] bounds: s IS NOT NULL\n"},
    };
    for (int i = 0; i < SM_COUNT(rows); i++) {
        sm_buf text = {0};
        print_plan(rows[i].sql, &text);
        if (!sm_str_is(sm_buf_str(&text), rows[i].plan)) {
            fail_msg("%s\ngave:\n%.*swant:\n%s", rows[i].sql, (int)text.len,
                     (const char *)text.data, rows[i].plan);
        }
        sm_buf_release(&text);
    }
}

/* ---- tables ---------------------------------------------------------------------------------- */

static void test_tables(void **unused)
{
    static const struct {
        const char *sql, *names;
    } rows[] = {
        {"SELECT 1", ""},
        {"FROM b.x JOIN a.y USING (k), b.x", "b.x@5 a.y@14"},
        {"WITH c AS (SELECT * FROM t1) SELECT * FROM c, (SELECT (SELECT 1 FROM t2) FROM c.d)",
         "t1@25 t2@69 c.d@78"},
        /* at a version it is published already; what stands in AT is walked too */
        {"FROM b.x AT (VERSION => 1) JOIN a.y t AT (TIMESTAMP => (FROM c.z)) USING (k), b.x at (k)",
         "c.z@61 b.x@78"},
        {"SELECT * FROM read('x') UNION ALL SELECT 1 FROM 'f' WHERE (SELECT 1 FROM \"T 3\") = 1",
         "T 3@73"},
        /* wherever an expression can stand */
        {"SELECT 1 FROM a.b WHERE (FROM t) > 0", "a.b@14 t@30"},
        {"SELECT count(*) FROM a.b GROUP BY (FROM t)", "a.b@21 t@40"},
        {"SELECT count(*) FROM a.b GROUP BY k HAVING (FROM t) > 0", "a.b@21 t@49"},
        {"SELECT rank() OVER (ORDER BY k) AS r FROM a.b QUALIFY r > (FROM t)", "a.b@42 t@64"},
        {"FROM a.b ORDER BY k, (FROM t) DESC", "a.b@5 t@27"},
        {"FROM a.b LIMIT (FROM t) OFFSET (FROM u)", "a.b@5 t@21 u@37"},
        {"FROM a.b UNION ALL FROM c.d ORDER BY (FROM t) LIMIT (FROM u)", "a.b@5 c.d@24 t@43 u@58"},
        {"VALUES (1, (FROM t)), ((FROM u), 2) ORDER BY (FROM v)", "t@17 u@29 v@51"},
        {"SELECT sum(x) FILTER (WHERE (FROM t) = 1) FROM a.b", "t@34 a.b@47"},
        {"SELECT rank() OVER (PARTITION BY k, (FROM t) ORDER BY (FROM u)) FROM a.b",
         "t@42 u@60 a.b@69"},
        {"SELECT coalesce(x, abs((FROM t))) FROM a.b", "t@29 a.b@39"},
        {"SELECT CASE WHEN (FROM t) = 1 THEN (FROM u) ELSE (FROM v) END, CASE (FROM w) WHEN 1 "
         "THEN 2 END FROM a.b",
         "t@23 u@41 v@55 w@74 a.b@100"},
        {"SELECT CAST((FROM t) AS DATE), (FROM u)::DATE, ((FROM v)).x, MAP {1: (FROM w)}[(FROM y)]",
         "t@18 u@37 v@54 w@75 y@85"},
        {"SELECT (FROM t) IN (1, (FROM u)), 2 BETWEEN (FROM v) AND (FROM w)",
         "t@13 u@29 v@50 w@63"},
        {"FROM a.b JOIN c.d ON (FROM t) = 1 JOIN (FROM e.f WHERE (FROM u) = 1) ON true",
         "a.b@5 c.d@14 t@27 e.f@45 u@61"},
        {"FROM read((FROM t), n => [1, {a: (FROM u)}])", "t@16 u@39"},
        {"WITH c AS (FROM t ORDER BY (FROM u)) SELECT 1 GROUP BY (FROM c)", "t@16 u@33"},
        /* a table of WITH is seen behind it and below, not before it */
        {"WITH c AS (FROM d), d AS (FROM c) SELECT (SELECT 1 FROM C), (WITH e AS (FROM d) FROM e) "
         "FROM e",
         "d@16 e@93"},
    };
    for (int i = 0; i < SM_COUNT(rows); i++) {
        sm_error e = {0};
        sm_buf text = {0};
        sm_table_name *names = NULL;
        int32_t n = 0;
        sm_arena *const a = sm_arena_new(NULL);
        const sm_sql sql = {SM_STR(""), sm_str_of(rows[i].sql)};
        assert_ok(sm_query_tables(&sql, a, &names, &n, &e), &e);
        for (int32_t k = 0; k < n; k++) {
            sm_buf_text(&text, k > 0 ? SM_STR(" ") : SM_STR(""));
            for (int32_t p = 0; p < names[k].n_parts; p++) {
                sm_buf_printf(&text, p > 0 ? ".%.*s" : "%.*s", SM_STR_ARG(names[k].parts[p]));
            }
            sm_buf_printf(&text, "@%u", names[k].off_bytes);
        }
        if (!sm_str_is(sm_buf_str(&text), rows[i].names)) {
            fail_msg("%s gave %.*s", rows[i].sql, (int)text.len, (const char *)text.data);
        }
        sm_buf_release(&text);
        sm_arena_free(a);
    }
}

/* ---- what is taken whole --------------------------------------------------------------------- */

/* As kit_table, but unknown keys of its datasets are looked for. */
static sm_status looking_table(void *ctx, const sm_str *parts, int32_t n, sm_arena *a,
                               sm_relation *out, sm_error *e)
{
    const sm_status st = kit_table(ctx, parts, n, a, out, e);
    out->unknown = SM_UNKNOWN_FAIL;
    return st;
}

static void print_taken(const sm_plan_node *n, sm_buf *out)
{
    const sm_projection *want = &n->as.scan.want;
    for (int32_t i = 0; i < n->n_inputs; i++) {
        print_taken(n->inputs[i], out);
    }
    if (n->kind != SM_PLAN_SCAN) {
        return;
    }
    sm_buf_printf(out, "%.*s%s", SM_STR_ARG(n->as.scan.label), want->takes_row ? "*" : "");
    for (int32_t i = 0; i < want->n_taken; i++) {
        const sm_type *t = n->as.scan.dataset->schema;
        for (int32_t k = 0; k < want->taken[i].n; k++) {
            const sm_field *field = &t->fields[want->taken[i].items[k]];
            sm_buf_printf(out, "%s%.*s", k > 0 ? "." : " ", SM_STR_ARG(field->name));
            t = field->type;
        }
    }
    sm_buf_printf(out, ";");
}

static void test_taken_whole(void **state)
{
    static const struct {
        const char *sql, *taken;
    } rows[] = {
        {"SELECT * FROM t", "t* p;"},
        {"SELECT * EXCLUDE (p) FROM t", "t*;"},
        {"SELECT i, p.x FROM t WHERE p.y > 1", "t;"},
        {"SELECT p FROM t", "t p;"},
        {"SELECT i FROM (SELECT * FROM t) WHERE p.x = 1", "t;"},
        {"SELECT q.* FROM (SELECT * FROM t) q", "t* p;"},
        {"SELECT * FROM (SELECT i, p FROM t)", "t p;"},
        {"SELECT p.x FROM (SELECT p FROM (SELECT * FROM t))", "t;"},
        {"SELECT count(p), count(*) FROM t WHERE p IS NOT NULL", "t;"},
        {"SELECT CAST(p AS VARCHAR) FROM t", "t p;"},
        {"SELECT p.* FROM t", "t p;"},
        {"SELECT p.* EXCLUDE (x) FROM t q", "t p;"},
        {"SELECT i FROM (SELECT DISTINCT * FROM log) JOIN t ON Secs = i", "log*;t;"},
        {"SELECT i FROM t UNION ALL SELECT Secs FROM (SELECT * FROM log)", "t;log;"},
        {"FROM log UNION ALL FROM log", "log*;log*;"},
        {"SELECT a.* FROM t a JOIN log b ON a.i = b.Secs", "t* p;log;"},
        {"SELECT * FROM t a JOIN log b ON a.i = b.Secs", "t* p;log*;"},
        {"SELECT *, row_number() OVER (ORDER BY i) FROM t ORDER BY d LIMIT 3", "t* p;"},
        {"WITH c AS (FROM t) SELECT i FROM c WHERE i > (SELECT max(i) FROM c)", "t;"},
        {"SELECT a.p.x, b.p FROM t a JOIN t b ON a.i = b.i", "t p;t p;"},
        {"SELECT * FROM kinds", "log;"},
    };
    for (int i = 0; i < SM_COUNT(rows); i++) {
        const sm_resolver looking = {.table = looking_table};
        const sm_sql sql = {SM_STR("q.sql"), sm_str_of(rows[i].sql)};
        sm_arena *const a = sm_arena_new(NULL);
        sm_plan *plan = NULL;
        sm_buf text = {0};
        sm_error e = {0};
        assert_ok(sm_query_plan(&sql, &looking, a, &plan, &e), &e);
        print_taken(plan->root, &text);
        if (!sm_str_is(sm_buf_str(&text), rows[i].taken)) {
            fail_msg("%s gave %.*s", rows[i].sql, (int)text.len, (const char *)text.data);
        }
        sm_buf_release(&text);
        sm_arena_free(a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_errors),       cmocka_unit_test(test_limits),
        cmocka_unit_test(test_no_explosion), cmocka_unit_test(test_plans),
        cmocka_unit_test(test_merges),       cmocka_unit_test(test_merged_plans),
        cmocka_unit_test(test_no_deep_walk), cmocka_unit_test(test_tables),
        cmocka_unit_test(test_taken_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
