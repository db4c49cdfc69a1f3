/* SPDX-License-Identifier: Apache-2.0
 *
 * query/parse/sql_take_test.c: the texts of queries that take further keys of their files: where
 * the keys are put, that nothing else changes, and which texts are left as they are. */
#include "test.h"

#include "query/query.h"

static const struct {
    const char *text, *path, *type;
    const char *want; /* NULL: the text stays, and `why` begins so */
    const char *why;
} cases[] = {
    /* all on one line */
    {"SELECT id FROM read_json('x', columns => {id: 'BIGINT'})", "x", "VARCHAR",
     "SELECT id, x FROM read_json('x', columns => {id: 'BIGINT', x: 'VARCHAR'})", NULL},
    {"SELECT id AS \"I\" FROM read_json('x', columns => {id: 'BIGINT'}) AS r WHERE id > 1;", "a b",
     "DOUBLE",
     "SELECT id AS \"I\", \"a b\" FROM read_json('x', columns => {id: 'BIGINT', \"a b\": "
     "'DOUBLE'}) "
     "AS r WHERE id > 1;",
     NULL},
    {"SELECT 1 FROM read_json('x', columns => {s: 'STRUCT(a BIGINT)'})", "s.x", "BOOLEAN",
     "SELECT 1, s.x AS x FROM read_json('x', columns => {s: 'STRUCT(a BIGINT, x BOOLEAN)'})", NULL},
    /* on lines of their own, with comments */
    {"SELECT\n    id, -- the key\n    s.a AS a -- the last\nFROM read_json(\n    'x',\n    columns "
     "=> "
     "{\n        id: 'BIGINT',\n        s: 'STRUCT(a BIGINT)' -- nested\n    },\n    validate => "
     "'all'\n)",
     "n", "BIGINT",
     "SELECT\n    id, -- the key\n    s.a AS a, -- the last\n    n\nFROM read_json(\n    'x',\n    "
     "columns => {\n        id: 'BIGINT',\n        s: 'STRUCT(a BIGINT)', -- nested\n        n: "
     "'BIGINT'\n    },\n    validate => 'all'\n)",
     NULL},
    {"SELECT id,\r\n\ta\r\nFROM read_json('x', columns => {\r\n\tid: 'BIGINT',\r\n\ta: "
     "'DATE'\r\n})",
     "x", "VARCHAR",
     "SELECT id,\r\n\ta,\r\n\tx\r\nFROM read_json('x', columns => {\r\n\tid: 'BIGINT',\r\n\ta: "
     "'DATE',\r\n\tx: 'VARCHAR'\r\n})",
     NULL},
    {"SELECT id FROM read_json('x', columns => {\n  s: 'STRUCT(\n    a BIGINT,\n    b VARCHAR\n  "
     ")'})",
     "s.x", "BIGINT",
     "SELECT id, s.x AS x FROM read_json('x', columns => {\n  s: 'STRUCT(\n    a BIGINT,\n    b "
     "VARCHAR,\n    x BIGINT\n  )'})",
     NULL},
    /* deeper, and with names in quotes */
    {"SELECT 1 FROM read_json('x', columns => {s: 'STRUCT(a BIGINT, \"t u\" STRUCT(b "
     "DECIMAL(9,2)), "
     "c DATE)'})",
     "s.t u.it's", "VARCHAR",
     "SELECT 1, s.\"t u\".\"it's\" AS \"it's\" FROM read_json('x', columns => {s: 'STRUCT(a "
     "BIGINT, "
     "\"t u\" STRUCT(b DECIMAL(9,2), \"it''s\" VARCHAR), c DATE)'})",
     NULL},
    /* a name that is taken */
    {"SELECT s.a AS x FROM read_json('x', columns => {s: 'STRUCT(a BIGINT)'})", "s.x", "BIGINT",
     "SELECT s.a AS x, s.x AS s_x FROM read_json('x', columns => {s: 'STRUCT(a BIGINT, x "
     "BIGINT)'})",
     NULL},
    /* a star takes it */
    {"SELECT *, 1 AS one FROM read_json('x', columns => {id: 'BIGINT'})", "x", "VARCHAR",
     "SELECT *, 1 AS one FROM read_json('x', columns => {id: 'BIGINT', x: 'VARCHAR'})", NULL},
    /* left as they are */
    {"SELECT id FROM (SELECT id FROM read_json('x', columns => {id: 'BIGINT'}))", "x", "VARCHAR",
     NULL, "the SELECT does not"},
    {"WITH r AS (FROM read_json('x', columns => {id: 'BIGINT'})) SELECT id FROM r", "x", "VARCHAR",
     NULL, "the SELECT does not"},
    {"FROM read_json('x', columns => {id: 'BIGINT'}) SELECT id", "x", "VARCHAR", NULL,
     "the SELECT does not"},
    {"SELECT id FROM read_json('x')", "x", "VARCHAR", NULL, "the SQL declares no columns"},
    {"SELECT id FROM read_json('x', columns => {id: 'BIGINT', \"X\": 'DATE'})", "x", "VARCHAR",
     NULL, "a column has its name"},
    {"SELECT 1 FROM read_json('x', columns => {s: 'STRUCT(a BIGINT)'})", "s.A", "VARCHAR", NULL,
     "a column has its name"},
    {"SELECT 1 FROM read_json('x', columns => {l: 'STRUCT(a BIGINT)[]'})", "l.x", "VARCHAR", NULL,
     "it stands in a list"},
    {"SELECT 1 FROM read_json('x', columns => {l: 'STRUCT(a STRUCT(b DATE))[]'})", "l.a.x",
     "VARCHAR", NULL, "it stands in a list"},
    {"SELECT 1 FROM read_json('x', columns => {m: 'MAP(VARCHAR, STRUCT(a BIGINT))'})", "m.x",
     "VARCHAR", NULL, "it stands in a value that is no STRUCT"},
    {"SELECT x, 2 AS s_x FROM read_json('x', columns => {x: 'BIGINT', s: 'STRUCT(a BIGINT)'})",
     "s.x", "BIGINT", NULL, "columns of the SELECT have its names"},
};

static void a_key_is_put_where_its_kind_ends(void **state)
{
    for (int i = 0; i < SM_COUNT(cases); i++) {
        sm_arena *a = sm_arena_new(NULL);
        sm_sql_key key = {.path = sm_str_of(cases[i].path), .type = sm_str_of(cases[i].type)};
        const sm_sql sql = {.name = SM_STR("q.sql"), .text = sm_str_of(cases[i].text)};
        sm_str out = {0};
        sm_error e = {0};

        assert_ok(sm_query_take_keys(&sql, &key, 1, a, &out, &e), &e);
        const char *want = cases[i].want ? cases[i].want : cases[i].text;
        if (!sm_str_is(out, want)) {
            fail_msg("case %d: got\n%.*s\nwant\n%s\n(%s)", i, SM_STR_ARG(out), want,
                     key.why ? key.why : "");
        }
        assert_int_equal(key.why != NULL, cases[i].want == NULL);
        if (key.why) {
            assert_true(sm_str_starts(sm_str_of(key.why), sm_str_of(cases[i].why)));
        }
        /* once more: it is there now */
        if (cases[i].want) {
            const sm_sql again = {.name = sql.name, .text = out};
            assert_ok(sm_query_take_keys(&again, &key, 1, a, &out, &e), &e);
            assert_true(sm_str_eq(out, again.text));
            assert_string_equal(key.why, "a column has its name already");
        }
        sm_arena_free(a);
    }
}

static void several_keys_at_once(void **state)
{
    sm_arena *a = sm_arena_new(NULL);
    sm_sql_key keys[] = {{.path = SM_STR("x"), .type = SM_STR("BIGINT")},
                         {.path = SM_STR("l.y"), .type = SM_STR("DATE")},
                         {.path = SM_STR("s.x"), .type = SM_STR("VARCHAR")},
                         {.path = SM_STR("s.z"), .type = SM_STR("DOUBLE")}};
    const sm_sql sql = {
        .name = SM_STR("q.sql"),
        .text = SM_STR("SELECT s.a FROM read_json('f', columns => {s: 'STRUCT(a BIGINT)', l: "
                       "'STRUCT(k BIGINT)[]'})")};
    sm_str out = {0};
    sm_error e = {0};

    assert_ok(sm_query_take_keys(&sql, keys, SM_COUNT(keys), a, &out, &e), &e);
    assert_true(sm_str_is(out, "SELECT s.a, x, s.x AS s_x, s.z AS z FROM read_json('f', columns => "
                               "{s: 'STRUCT(a BIGINT, x VARCHAR, z DOUBLE)', l: 'STRUCT(k "
                               "BIGINT)[]', x: 'BIGINT'})"));
    assert_true(keys[1].why && sm_str_is(keys[1].declared, "y DATE"));
    assert_true(sm_str_is(keys[1].selected, "l.y AS y"));
    sm_arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_is_put_where_its_kind_ends),
        cmocka_unit_test(several_keys_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
