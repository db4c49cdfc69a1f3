/* SPDX-License-Identifier: Apache-2.0
 *
 * query/spark_expr_test.c: Spark's SQL in expressions: what is read, as smelt's SQL of the same
 * meaning, and what is refused, at which byte. */
#include "test.h"

#include "query/query_testkit.h"

/* t of the kit (i b d s p), and columns whose names or types matter. */
static const sm_field more_fields[] = {
    {.name = {"i", 1}, .type = &sm_type_i32},        {.name = {"b", 1}, .type = &sm_type_i64},
    {.name = {"d", 1}, .type = &sm_type_f64},        {.name = {"s", 1}, .type = &sm_type_string},
    {.name = {"p", 1}, .type = &kit_point},          {.name = {"day", 3}, .type = &sm_type_date},
    {.name = {"at", 2}, .type = &sm_type_timestamp}, {.name = {"my col", 6}, .type = &sm_type_i32},
};
static const sm_type more = {
    .id = SM_TYPE_STRUCT, .fields = more_fields, .n_fields = SM_COUNT(more_fields)};

static sm_status read_text(const char *text, const sm_type *type, sm_arena *a, const char **out,
                           sm_error *e)
{
    const sm_sql sql = {.name = SM_STR("rule"), .text = sm_str_of(text)};
    const sm_expr *x = NULL;
    sm_buf sql_of = {0};

    SM_TRY(sm_query_expr_spark(&sql, &more, type, a, &x, e));
    assert_true(sm_type_eq(x->type, type));
    sm_expr_sql(x, &more, &sql_of);
    *out = sm_arena_str(a, sm_buf_str(&sql_of)).data;
    sm_buf_release(&sql_of);
    return SM_OK;
}

/* The expression in smelt's own SQL, as a value of the type. */
static const char *own_text(const char *text, const sm_type *type, sm_arena *a)
{
    const sm_sql *sql = &(sm_sql){.name = SM_STR("own"), .text = sm_str_of(text)};
    const sm_expr *x = NULL;
    sm_error e = {0};
    sm_buf sql_of = {0};

    assert_ok(sm_query_expr(sql, &more, NULL, a, &x, &e), &e);
    assert_ok(sm_expr_cast(x, type, false, a, &x, &e), &e);
    sm_expr_sql(x, &more, &sql_of);
    const char *out = sm_arena_str(a, sm_buf_str(&sql_of)).data;
    sm_buf_release(&sql_of);
    return out;
}

static void test_read(void **state)
{
    static const struct {
        const char *spark, *own;
        const sm_type *type;
    } rows[] = {
        {"i > 0", "i > 0", &sm_type_bool},
        {"I > 0 AND `my col` == 3", "i > 0 AND \"my col\" = 3", &sm_type_bool},
        {"s = \"x\" or s = 'y'", "s = 'x' OR s = 'y'", &sm_type_bool},
        {"b < 5000000000L and b > 12L", "b < 5000000000 AND b > 12", &sm_type_bool},
        {"length(s) between 1 and 3", "length(s) BETWEEN 1 AND 3", &sm_type_bool},
        {"s IN ('a', \"c\")", "s IN ('a', 'c')", &sm_type_bool},
        {"day > '1900-01-01'", "day > DATE '1900-01-01'", &sm_type_bool},
        {"at >= TIMESTAMP '2020-01-01 00:00:00'", "at >= TIMESTAMPTZ '2020-01-01 00:00:00+00'",
         &sm_type_bool},
        {"p.x is not null", "p.x IS NOT NULL", &sm_type_bool},
        {"not (s like 'a%')", "NOT s LIKE 'a%'", &sm_type_bool},
        {"case when i > 1 then true else b > 1 end", "CASE WHEN i > 1 THEN true ELSE b > 1 END",
         &sm_type_bool},
        {"CAST(at AS DATE)", "CAST(at AS DATE)", &sm_type_date},
        {"year(at)", "CAST(year(at) AS INTEGER)", &sm_type_i32},
        {"substring(s, 1, 4)", "substring(s, 1, 4)", &sm_type_string},
        {"i * 2", "i * 2", &sm_type_i64},
        {"i", "CAST(i AS VARCHAR)", &sm_type_string},
        {"'fixed'", "'fixed'", &sm_type_string},
        {"NULL", "CAST(NULL AS INTEGER)", &sm_type_i32},
    };
    sm_arena *a = sm_arena_new(NULL);
    for (int i = 0; i < SM_COUNT(rows); i++) {
        sm_error e = {0};
        const char *text = NULL;
        print_message("%s\n", rows[i].spark);
        assert_ok(read_text(rows[i].spark, rows[i].type, a, &text, &e), &e);
        assert_string_equal(text, own_text(rows[i].own, rows[i].type, a));
    }
    sm_arena_free(a);
}

static void test_refused(void **state)
{
    static const struct {
        const char *spark;
        const sm_type *type;
        sm_status want;
        int64_t byte;
        const char *what;
    } rows[] = {
        {"i / 2 > 1", &sm_type_bool, SM_UNSUPPORTED, 1, "/ of Spark's SQL"},
        {"i > 0 AND upper(s) = s", &sm_type_bool, SM_UNSUPPORTED, 11, "upper of Spark's SQL"},
        {"s rlike 'a'", &sm_type_bool, SM_SYNTAX, 3, NULL},
        {"concat(s, s) = 'aa'", &sm_type_bool, SM_UNSUPPORTED, 1, "concat of Spark's SQL"},
        {"s = 'a\\'b'", &sm_type_bool, SM_UNSUPPORTED, 7, "a \\ in a text of Spark's SQL"},
        {"s = 'a''b'", &sm_type_bool, SM_UNSUPPORTED, 5, "quotes that do not end, or stand twice"},
        {"s = \"it's\"", &sm_type_bool, SM_UNSUPPORTED, 8,
         "a quote of another kind between quotes"},
        {"s = \"x", &sm_type_bool, SM_UNSUPPORTED, 5, "quotes that do not end, or stand twice"},
        {"\"S\" = 'x'", &sm_type_bool, SM_UNSUPPORTED, 1, "a column's name in double quotes"},
        {"i > 0 -- so", &sm_type_bool, SM_UNSUPPORTED, 7, "a comment in an expression"},
        {"d % 2 = 0", &sm_type_bool, SM_UNSUPPORTED, 1, "% of numbers that are not whole"},
        {"substring(s, i) = 'a'", &sm_type_bool, SM_UNSUPPORTED, 14, "a computed place in a text"},
        {"substring(s, 0) = 'a'", &sm_type_bool, SM_UNSUPPORTED, 14, "a computed place in a text"},
        {"CAST(d AS INT) = 1", &sm_type_bool, SM_UNSUPPORTED, 1, "a cast of DOUBLE to INTEGER"},
        {"s = i", &sm_type_bool, SM_UNSUPPORTED, 1, "a cast of VARCHAR to INTEGER"},
        {"CAST(i AS DECIMAL) > 1", &sm_type_bool, SM_UNSUPPORTED, 1,
         "a DECIMAL without its digits"},
        {"d", &sm_type_i32, SM_UNSUPPORTED, 1, "a cast of DOUBLE to INTEGER"},
        {"x > 0", &sm_type_bool, SM_NAME, 1, NULL},
        {"i >", &sm_type_bool, SM_SYNTAX, 4, NULL},
        {"i > (SELECT 1)", &sm_type_bool, SM_UNSUPPORTED, 5, "this kind of expression"},
        {"sum(i) > 1", &sm_type_bool, SM_UNSUPPORTED, 1, "sum of Spark's SQL"},
        {"now() > at", &sm_type_bool, SM_UNSUPPORTED, 1, "now of Spark's SQL"},
        {"", &sm_type_bool, SM_SYNTAX, 1, NULL},
    };
    sm_arena *a = sm_arena_new(NULL);
    for (int i = 0; i < SM_COUNT(rows); i++) {
        sm_error e = {0};
        const char *text = NULL;
        print_message("%s\n", rows[i].spark);
        assert_status(read_text(rows[i].spark, rows[i].type, a, &text, &e), rows[i].want, &e);
        assert_int_equal(e.byte, rows[i].byte);
        if (rows[i].what) {
            assert_string_equal(e.what, rows[i].what);
        }
    }
    sm_arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
