/* query/parse/sql_canonical_test.c: which queries are the same one, and what is told apart. */
#include "test.h"

#include "query/query_testkit.h"

static bool is_month(void *ctx, sm_str variable)
{
    return sm_str_is(variable, "month");
}

static const sm_canonical_opts as_loads = {
    .is_open = is_month, .without_paths = true, .without_argument = "match"};

static sm_str text_of(const char *sql, const sm_canonical_opts *opts, sm_arena *a)
{
    const sm_sql one = {SM_STR("q.sql"), sm_str_of(sql)};
    sm_error e = {0};
    sm_str out = {0};

    if (sm_query_canonical(&one, &kit_resolver, opts, a, &out, &e) != SM_OK) {
        fail_msg("%s: %s", sql, e.what);
    }
    return out;
}

static const char base[] = "SELECT Key, p.x AS px, lower(App) AS app FROM read_json('in', "
                           "match => 'a', columns => {Key: 'VARCHAR', n: 'BIGINT'}, skip => 1) "
                           "WHERE n > 1 AND (Key <> 'a b' OR n IN (2, 3))";

/* ---- the same -------------------------------------------------------------------------------- */

static const char *const same[] = {
    /* layout, comments, case of words */
    "select Key,\n -- the key\n p.x px, LOWER(App) as app\nfrom READ_JSON('in', match => 'a', "
    "columns => {Key: 'VARCHAR', n: 'BIGINT'}, skip => 1) where n > 1 /* more */ and "
    "(Key <> 'a b' or n in (2, 3));",
    /* parentheses that say nothing */
    "SELECT (Key), (p.x) AS px, lower((App)) AS app FROM read_json('in', match => 'a', "
    "columns => {Key: 'VARCHAR', n: 'BIGINT'}, skip => 1) "
    "WHERE (n > 1) AND ((Key <> 'a b') OR (n IN (2, 3)))",
    /* another name of the table */
    "SELECT l.Key, l.p.x AS px, lower(l.App) AS app FROM read_json('in', match => 'a', "
    "columns => {Key: 'VARCHAR', n: 'BIGINT'}, skip => 1) AS l "
    "WHERE l.n > 1 AND (l.Key <> 'a b' OR l.n IN (2, 3))",
    /* another place, another match, arguments in another order, FROM first */
    "FROM read_json('elsewhere/x', skip => 1, columns => {Key: 'VARCHAR', n: 'BIGINT'}) "
    "SELECT Key, p.x AS px, lower(App) AS app WHERE n > 1 AND (Key <> 'a b' OR n IN (2, 3))",
};

static void what_says_nothing_is_left_out(void **state)
{
    sm_arena *a = sm_arena_new(NULL);
    const sm_str want = text_of(base, &as_loads, a);

    for (int i = 0; i < SM_COUNT(same); i++) {
        assert_string_equal(text_of(same[i], &as_loads, a).data, want.data);
    }
    sm_arena_free(a);
}

/* ---- others ---------------------------------------------------------------------------------- */

/* The first part of the base is replaced by the second; the text then has a line that the base's
 * has not. */
static const struct {
    const char *from, *to, *line;
} others[] = {
    {"Key, p.x", "Key AS k, p.x", "column \"k\": \"Key\""},
    {"p.x AS px", "p.y AS px", "column \"px\": \"p\".\"y\""},
    {"lower(App)", "lower(App || '')", "column \"app\": lower(||(\"App\", ''))"},
    {"lower(App)", "CAST(App AS BIGINT)", "column \"app\": CAST(\"App\" AS BIGINT)"},
    {"lower(App)", "CASE WHEN 1 = 2 THEN 1 ELSE 2 END",
     "column \"app\": CASE WHEN =(1, 2) THEN 1 ELSE 2 END"},
    {"n: 'BIGINT'", "n: 'DOUBLE'", "with columns n: 'DOUBLE'"},
    {"skip => 1", "skip => 2", "with skip: 2"},
    {", skip => 1", "", NULL},
    {"n > 1", "n > 2", "where >(\"n\", 2)"},
    {"n > 1 AND", "n > 1 AND Key IS NOT NULL AND", "where is_not_null(\"Key\")"},
    {"'a b'", "'a  b'", "where (<>(\"Key\", 'a  b') OR \"n\" IN (2, 3))"},
    {"'a b'", "'a b -- c'", "where (<>(\"Key\", 'a b -- c') OR \"n\" IN (2, 3))"},
    {"Key <>", "key <>", "where (<>(\"key\", 'a b') OR \"n\" IN (2, 3))"},
    {"SELECT Key", "SELECT DISTINCT Key", "DISTINCT"},
};

static void what_says_something_is_told(void **state)
{
    sm_arena *a = sm_arena_new(NULL);
    const sm_str before = text_of(base, &as_loads, a);

    for (int i = 0; i < SM_COUNT(others); i++) {
        const char *const at = strstr(base, others[i].from);
        assert_non_null(at);
        const sm_str sql = sm_arena_strf(a, "%.*s%s%s", (int)(at - base), base, others[i].to,
                                         at + strlen(others[i].from));
        const sm_str after = text_of(sql.data, &as_loads, a);
        assert_string_not_equal(after.data, before.data);
        if (others[i].line && !strstr(after.data, others[i].line)) {
            fail_msg("no \"%s\" in\n%s", others[i].line, after.data);
        }
    }
    sm_arena_free(a);
}

static void text_is_in_lines(void **state)
{
    sm_arena *a = sm_arena_new(NULL);

    assert_string_equal(text_of(base, &as_loads, a).data,
                        "column \"Key\": \"Key\"\n"
                        "column \"px\": \"p\".\"x\"\n"
                        "column \"app\": lower(\"App\")\n"
                        "from read_json\n"
                        "with columns Key: 'VARCHAR'\n"
                        "with columns n: 'BIGINT'\n"
                        "with skip: 1\n"
                        "where >(\"n\", 1)\n"
                        "where (<>(\"Key\", 'a b') OR \"n\" IN (2, 3))\n");
    sm_arena_free(a);
}

/* A subquery in each place where an expression or a FROM can stand: another one, another query. */
static const char *const places[] = {
    "SELECT (FROM t)",
    "SELECT 1 FROM log WHERE (FROM t) > 0",
    "SELECT 1 FROM log GROUP BY (FROM t)",
    "SELECT 1 FROM log GROUP BY Key HAVING (FROM t) > 0",
    "SELECT 1 FROM log QUALIFY (FROM t) > 0",
    "SELECT 1 FROM log ORDER BY Key, (FROM t)",
    "SELECT 1 FROM log LIMIT (FROM t)",
    "SELECT 1 FROM log OFFSET (FROM t)",
    "VALUES (1, 2), (3, (FROM t))",
    "SELECT sum(Secs) FILTER (WHERE (FROM t) = 1) FROM log",
    "SELECT rank() OVER (PARTITION BY (FROM t)) FROM log",
    "SELECT rank() OVER (ORDER BY (FROM t)) FROM log",
    "SELECT abs((FROM t)), CAST((FROM log) AS DATE), ((FROM log)).x",
    "SELECT CASE WHEN (FROM t) = 1 THEN 2 END",
    "SELECT 1 IN (2, (FROM t)), MAP {1: (FROM log)}",
    "FROM log a JOIN log b ON (FROM t) = 1",
    "FROM log a JOIN (FROM t) USING (Key)",
    "FROM log UNION ALL (FROM t)",
    "FROM read((FROM t))",
    "FROM read('x', n => [{a: (FROM t)}])",
    "WITH c AS (FROM t) FROM c",
};

static void every_place_is_told(void **state)
{
    static const sm_canonical_opts all = {0};
    sm_arena *a = sm_arena_new(NULL);

    for (int i = 0; i < SM_COUNT(places); i++) {
        const char *const at = strstr(places[i], "(FROM t)");
        assert_non_null(at);
        const sm_str other = sm_arena_strf(a, "%.*s(FROM log)%s", (int)(at - places[i]), places[i],
                                           at + strlen("(FROM t)"));
        const sm_str one = text_of(places[i], &all, a);
        assert_string_not_equal(one.data, text_of(other.data, &all, a).data);
    }
    sm_arena_free(a);
}

static void variables_stand_as_values_or_open(void **state)
{
    static const char sql[] = "SELECT var('month') AS m FROM log";
    static const sm_canonical_opts all = {0};
    sm_arena *a = sm_arena_new(NULL);

    assert_string_equal(text_of(sql, &as_loads, a).data,
                        "column \"m\": var('month')\nfrom table \"log\"\n");
    assert_string_equal(text_of(sql, &all, a).data,
                        "column \"m\": '2022-04'\nfrom table \"log\"\n");
    sm_arena_free(a);
}

static void views_stand_as_their_sql(void **state)
{
    static const sm_canonical_opts all = {0};
    sm_arena *a = sm_arena_new(NULL);
    const sm_sql loop = {SM_STR("q.sql"), SM_STR("SELECT * FROM loop")};
    sm_error e = {0};
    sm_str out = {0};

    assert_non_null(strstr(text_of("SELECT Key FROM kinds", &all, a).data, ">(\"Secs\", 0)"));
    assert_int_equal(sm_query_canonical(&loop, &kit_resolver, &all, a, &out, &e), SM_LIMIT);
    assert_string_equal(
        text_of("WITH c AS (SELECT Key FROM log) SELECT c.Key FROM c", &all, a).data,
        "column \"Key\": \"Key\"\nfrom (\"Key\": \"Key\" FROM table \"log\")\n");
    sm_arena_free(a);
}

/* AT does not open the table: it may be one that no longer is, or is not yet. */
static void versions_are_told(void **state)
{
    static const sm_canonical_opts all = {0};
    static const struct {
        const char *sql, *text;
    } rows[] = {
        {"FROM a.nope AT (VERSION => 1 + 1) x SELECT x.n",
         "column \"n\": \"n\"\nfrom table \"a\", \"nope\" at version: +(1, 1)\n"},
        {"SELECT n FROM a.nope x at (timestamp=>var('month'))",
         "column \"n\": \"n\"\nfrom table \"a\", \"nope\" at timestamp: '2022-04'\n"},
        {"SELECT n FROM 'lake/a' AT (VERSION => 3) x(n)",
         "column \"n\": \"n\"\nfrom file 'lake/a' at version: 3 columns \"n\"\n"},
        {"SELECT n FROM log at(n)", "column \"n\": \"n\"\nfrom table \"log\" columns \"n\"\n"},
    };
    sm_arena *a = sm_arena_new(NULL);

    for (int i = 0; i < SM_COUNT(rows); i++) {
        assert_string_equal(text_of(rows[i].sql, &all, a).data, rows[i].text);
    }
    sm_arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_says_nothing_is_left_out),
        cmocka_unit_test(what_says_something_is_told),
        cmocka_unit_test(every_place_is_told),
        cmocka_unit_test(text_is_in_lines),
        cmocka_unit_test(variables_stand_as_values_or_open),
        cmocka_unit_test(views_stand_as_their_sql),
        cmocka_unit_test(versions_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
