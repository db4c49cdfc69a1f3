/* SPDX-License-Identifier: Apache-2.0
 *
 * table/table_fit_test.c: columns that were found, fitted to known ones. */
#include "test.h"

#include "table/table_int.h"

static const sm_type *parse(const char *sql, sm_arena *a)
{
    const sm_type *t = NULL;
    sm_error e = {0};

    assert_ok(sm_type_parse(sm_str_of(sql), a, &t, &e), &e);
    return t;
}

static const struct {
    const char *format, *found, *known, *want;
} cases[] = {
    {"json", "BIGINT", "BIGINT", "BIGINT"},
    {"json", "BIGINT", "DOUBLE", "DOUBLE"},
    {"json", "DOUBLE", "BIGINT", "DOUBLE"},
    {"json", "BIGINT", "BOOLEAN", "BIGINT"},
    {"json", "BOOLEAN", "VARCHAR", "VARCHAR"},
    {"json", "DATE", "VARCHAR", "VARCHAR"},
    {"json", "VARCHAR", "DATE", "VARCHAR"},
    {"json", "DATE", "TIMESTAMP", "DATE"},
    {"json", "BIGINT[]", "VARCHAR", "BIGINT[]"},
    {"json", "VARCHAR", "BIGINT[]", "VARCHAR"},
    /* tables have UBIGINT as DECIMAL(20,0): both ends fit there */
    {"json", "UBIGINT", "DECIMAL(20,0)", "UBIGINT"},
    {"json", "BIGINT", "DECIMAL(20,0)", "DECIMAL(20,0)"},
    {"json", "BIGINT", "UBIGINT", "BIGINT"},
    {"json", "DECIMAL(38,0)", "DECIMAL(20,0)", "DECIMAL(38,0)"},
    {"json", "BIGINT", "DECIMAL(18,0)", "BIGINT"},
    {"json", "BIGINT", "DECIMAL(38,2)", "BIGINT"},
    /* fields: the known ones first, then what is new */
    {"json", "STRUCT(n BIGINT, b BIGINT)", "STRUCT(a DATE, b DOUBLE)",
     "STRUCT(a DATE, b DOUBLE, n BIGINT)"},
    {"json", "STRUCT(b BIGINT)[]", "STRUCT(a STRUCT(x BIGINT), b VARCHAR)[]",
     "STRUCT(a STRUCT(x BIGINT), b VARCHAR)[]"},
    {"json", "MAP(VARCHAR, BIGINT)", "MAP(VARCHAR, DOUBLE)", "MAP(VARCHAR, DOUBLE)"},
    {"json", "STRUCT(a BIGINT)", "MAP(VARCHAR, BIGINT)", "STRUCT(a BIGINT)"},
    /* names: one that differs in case alone is the same, unless the files have both */
    {"json", "STRUCT(\"City\" VARCHAR)", "STRUCT(city VARCHAR)", "STRUCT(\"City\" VARCHAR)"},
    {"json", "STRUCT(\"City\" DATE, city DATE)", "STRUCT(city VARCHAR)",
     "STRUCT(city VARCHAR, \"City\" DATE)"},
    {"json", "STRUCT(\"City\" DATE)", "STRUCT(city VARCHAR, \"City\" VARCHAR)",
     "STRUCT(city VARCHAR, \"City\" VARCHAR)"},
    {"json", "STRUCT(\"CITY\" DATE)", "STRUCT(city DATE, \"City\" DATE)",
     "STRUCT(city DATE, \"City\" DATE, \"CITY\" DATE)"},
    /* files with types of their own */
    {"parquet", "BIGINT", "VARCHAR", "BIGINT"},
    {"parquet", "INTEGER", "BIGINT", "BIGINT"},
    {"parquet", "BIGINT", "INTEGER", "BIGINT"},
    {"parquet", "STRUCT(b INTEGER)", "STRUCT(a DATE, b BIGINT)", "STRUCT(a DATE, b BIGINT)"},
};

static void test_fit(void **state)
{
    for (int i = 0; i < SM_COUNT(cases); i++) {
        sm_arena *a = sm_arena_new(NULL);
        const sm_format *f = sm_format_named(sm_str_of(cases[i].format));
        const sm_type *found = parse(cases[i].found, a), *known = parse(cases[i].known, a);
        const sm_type *got = smi_fit_type(f, found, known, a);
        assert_true(sm_type_eq(got, parse(cases[i].want, a)));
        assert_true(sm_type_eq(smi_fit_type(f, got, known, a), got)); /* nothing is left to fit */
        sm_arena_free(a);
    }
}

static void test_fit_of_null_alone(void **state)
{
    sm_arena *a = sm_arena_new(NULL);
    const sm_field field = {.name = SM_STR("a"), .type = &sm_type_unseen, .is_nullable = true};
    const sm_type *known = parse("STRUCT(a BIGINT[])", a);

    assert_true(sm_type_eq(
        smi_fit_type(sm_format_named(SM_STR("json")), sm_type_struct(a, &field, 1), known, a),
        known));
    sm_arena_free(a);
}

static void test_fit_of_numbers_that_are_rounded(void **state)
{
    static const struct {
        const char *found, *known;
        bool fits;
    } numbers[] = {
        {"DOUBLE", "DECIMAL(20,2)", true}, {"BIGINT", "DECIMAL(18,0)", true},
        {"DOUBLE", "FLOAT", true},         {"DECIMAL(38,0)", "DECIMAL(20,2)", true},
        {"VARCHAR", "FLOAT", false},       {"BOOLEAN", "DECIMAL(20,2)", false},
    };
    for (int i = 0; i < SM_COUNT(numbers); i++) {
        sm_arena *a = sm_arena_new(NULL);
        const sm_type *found = parse(numbers[i].found, a);
        sm_type known = *parse(numbers[i].known, a);
        known.is_rounded = true;
        const sm_type *got = smi_fit_type(sm_format_named(SM_STR("json")), found, &known, a);
        assert_true(sm_type_eq(got, numbers[i].fits ? &known : found));
        assert_int_equal(got->is_rounded, numbers[i].fits);
        got = smi_fit_type(sm_format_named(SM_STR("parquet")), &sm_type_f64, &known, a);
        assert_ptr_equal(got, &sm_type_f64); /* a file with types of its own has no text */
        sm_arena_free(a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fit),
        cmocka_unit_test(test_fit_of_null_alone),
        cmocka_unit_test(test_fit_of_numbers_that_are_rounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
