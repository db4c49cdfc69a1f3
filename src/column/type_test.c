/* SPDX-License-Identifier: Apache-2.0
 *
 * column/type_test.c: types from text and back, places of errors, equality, names of fields. */
#include "test.h"

#include "column/type.h"

static sm_arena *arena;

static int setup(void **state)
{
    arena = sm_arena_new(NULL);
    return 0;
}

static int teardown(void **state)
{
    sm_arena_free(arena);
    assert_int_equal(sm_live_allocs(), 0);
    return 0;
}

static void assert_prints(const sm_type *t, const char *want)
{
    sm_buf text = {0};
    sm_type_print(t, &text);
    sm_buf_text(&text, (sm_str){"", 1});
    assert_string_equal((const char *)text.data, want);
    sm_buf_release(&text);
}

static void test_parse(void **state)
{
    static const struct {
        const char *sql, *want;
    } cases[] = {
        {"BIGINT", "BIGINT"},
        {" int ", "INTEGER"},
        {"Int8", "BIGINT"},
        {"INT1", "TINYINT"},
        {"long", "BIGINT"},
        {"uint8", "UTINYINT"},
        {"text", "VARCHAR"},
        {"STRING", "VARCHAR"},
        {"varchar(10)", "VARCHAR"},
        {"character varying (3)", "VARCHAR"},
        {"bytea", "BLOB"},
        {"real", "FLOAT"},
        {"FLOAT4", "FLOAT"},
        {"FLOAT8", "DOUBLE"},
        {"float(24)", "FLOAT"},
        {"float(25)", "DOUBLE"},
        {"double  precision", "DOUBLE"},
        {"numeric", "DECIMAL(18,3)"},
        {"DECIMAL(5)", "DECIMAL(5,0)"},
        {"dec ( 38 , 38 )", "DECIMAL(38,38)"},
        {"bool", "BOOLEAN"},
        {"datetime", "TIMESTAMP"},
        {"timestamp(6)", "TIMESTAMP"},
        {"timestamp without time zone", "TIMESTAMP"},
        {"timestamptz", "TIMESTAMP WITH TIME ZONE"},
        {"timestamp with\ttime zone[]", "TIMESTAMP WITH TIME ZONE[]"},
        {"time", "TIME"},
        {"date array", "DATE[]"},
        {"int[][ ]", "INTEGER[][]"},
        {"\"NULL\"", "NULL"},
        {"struct(a int, b text[])", "STRUCT(a INTEGER, b VARCHAR[])"},
        {"row(a int,)", "STRUCT(a INTEGER)"},
        {"struct(\"a \"\"b\" int, \"1a\" int, \"é\" int, \"\" date)[]",
         "STRUCT(\"a \"\"b\" INTEGER, \"1a\" INTEGER, \"é\" INTEGER, \"\" DATE)[]"},
        {"map(varchar, struct(x decimal(4,2), Y map(int, int[])))",
         "MAP(VARCHAR, STRUCT(x DECIMAL(4,2), Y MAP(INTEGER, INTEGER[])))"},
    };
    for (int i = 0; i < SM_COUNT(cases); i++) {
        sm_error e = {0};
        const sm_type *t = NULL, *again = NULL;
        sm_buf text = {0};
        assert_ok(sm_type_parse(sm_str_of(cases[i].sql), arena, &t, &e), &e);
        assert_prints(t, cases[i].want);
        sm_type_print(t, &text);
        assert_ok(sm_type_parse(sm_buf_str(&text), arena, &again, &e), &e);
        assert_true(sm_type_eq(t, again));
        sm_buf_release(&text);
    }
}

static void test_parse_errors(void **state)
{
    static const struct {
        const char *sql;
        sm_status want;
        int64_t byte;
        const char *todo;
    } cases[] = {
        {"", SM_SYNTAX, 1, ""},
        {"  ", SM_SYNTAX, 3, ""},
        {"BIGIN", SM_SYNTAX, 1, "Did you mean bigint?"},
        {"struct(a itn)", SM_SYNTAX, 10, "Did you mean int?"},
        {"int int", SM_SYNTAX, 5, ""},
        {"int[", SM_SYNTAX, 5, ""},
        {"int[3]", SM_UNSUPPORTED, 4, ""},
        {"decimal(39,0)", SM_SYNTAX, 8, ""},
        {"decimal(5,6)", SM_SYNTAX, 8, ""},
        {"decimal(5", SM_SYNTAX, 10, ""},
        {"decimal(9999999999)", SM_SYNTAX, 8, ""},
        {"struct()", SM_SYNTAX, 8, ""},
        {"struct(a)", SM_SYNTAX, 9, ""},
        {"struct(a int", SM_SYNTAX, 13, ""},
        {"struct(a int, a int)", SM_SYNTAX, 15, ""},
        {"struct(\"a int)", SM_SYNTAX, 8, ""},
        {"struct", SM_SYNTAX, 7, ""},
        {"map(int)", SM_SYNTAX, 8, ""},
        {"map(int, int, int)", SM_SYNTAX, 13, ""},
        {"timestamp with zone", SM_SYNTAX, 16, ""},
        {"timestamp(3)", SM_UNSUPPORTED, 10, ""},
        {"time with time zone", SM_UNSUPPORTED, 6, ""},
        {"float(54)", SM_SYNTAX, 6, ""},
        {"varchar(x)", SM_SYNTAX, 9, ""},
    };
    for (int i = 0; i < SM_COUNT(cases); i++) {
        sm_error e = {0};
        const sm_type *t = NULL;
        const sm_status st = sm_type_parse(sm_str_of(cases[i].sql), arena, &t, &e);
        if (st != cases[i].want || e.byte != cases[i].byte || strcmp(e.todo, cases[i].todo) != 0) {
            fail_msg("%s: got %s at %d (%s; %s)", cases[i].sql, sm_status_name(st), (int)e.byte,
                     e.what, e.todo);
        }
        assert_null(t);
    }
}

/* n times `open`, a leaf, n times `close`. */
static sm_status parse_nested(const char *open, const char *close, int n, sm_error *e)
{
    sm_buf text = {0};
    const sm_type *t = NULL;
    for (int i = 0; i < n; i++) {
        sm_buf_text(&text, sm_str_of(open));
    }
    sm_buf_text(&text, SM_STR("int"));
    for (int i = 0; i < n; i++) {
        sm_buf_text(&text, sm_str_of(close));
    }
    const sm_status st = sm_type_parse(sm_buf_str(&text), arena, &t, e);
    sm_buf_release(&text);
    return st;
}

static void test_depth(void **state)
{
    sm_error e = {0};
    assert_ok(parse_nested("struct(a ", ")", 63, &e), &e);
    assert_status(parse_nested("struct(a ", ")", 64, &e), SM_LIMIT, &e);
    assert_ok(parse_nested("", "[]", 63, &e), &e);
    assert_status(parse_nested("", "[]", 64, &e), SM_LIMIT, &e);
    assert_ok(parse_nested("map(int, ", ")[]", 31, &e), &e);
    assert_status(parse_nested("map(int, ", ")[]", 32, &e), SM_LIMIT, &e);
    assert_status(parse_nested("map(", "", 100000, &e), SM_LIMIT, &e);
    assert_status(parse_nested("struct(a ", ")[][][][][][][]", 60, &e), SM_LIMIT, &e);
}

static void test_eq_and_copy(void **state)
{
    sm_error e = {0};
    const sm_type *t = NULL, *other = NULL;
    const sm_field_meta meta = {SM_STR("comment"), SM_STR("\"x\"")};
    assert_ok(sm_type_parse(SM_STR("struct(a int, b decimal(4,2)[])"), arena, &t, &e), &e);
    const sm_field fields[2] = {
        {.name = SM_STR("a"), .type = &sm_type_i32, .meta = &meta, .n_meta = 1},
        {.name = SM_STR("b"),
         .type = sm_type_list(
             arena, (sm_field){.name = SM_STR("item"), .type = sm_type_decimal(arena, 4, 2)})},
    };
    const sm_type *made = sm_type_struct(arena, fields, 2);
    assert_true(
        sm_type_eq(t, made)); /* nullability, metadata and the element's name do not count */

    const sm_type *copy = sm_type_copy(arena, made);
    assert_true(sm_type_eq(copy, made));
    assert_true(copy->fields[0].name.data != fields[0].name.data);
    assert_true(copy->fields[0].meta != &meta);
    assert_true(sm_str_is(copy->fields[0].meta[0].json, "\"x\""));
    assert_false(copy->fields[1].is_nullable);

    static const char *const others[] = {
        "struct(A int, b decimal(4,2)[])", "struct(a int, b decimal(4,1)[])",
        "struct(a int, b decimal(5,2)[])", "struct(a int)",
        "struct(a int, b decimal(4,2))",   "int"};
    for (int i = 0; i < SM_COUNT(others); i++) {
        assert_ok(sm_type_parse(sm_str_of(others[i]), arena, &other, &e), &e);
        assert_false(sm_type_eq(t, other));
    }
}

static void test_find(void **state)
{
    const sm_field fields[4] = {
        {.name = SM_STR("id"), .type = &sm_type_i32},
        {.name = SM_STR("Name"), .type = &sm_type_i32},
        {.name = SM_STR("day"), .type = &sm_type_i32},
        {.name = SM_STR("DAY"), .type = &sm_type_i32},
    };
    const sm_type *t = sm_type_struct(arena, fields, 4);
    assert_int_equal(sm_type_find(t, SM_STR("id")), 0);
    assert_int_equal(sm_type_find(t, SM_STR("ID")), 0);
    assert_int_equal(sm_type_find(t, SM_STR("name")), 1);
    assert_int_equal(sm_type_find(t, SM_STR("DAY")), 3);
    assert_int_equal(sm_type_find(t, SM_STR("Day")), -1); /* two would fit */
    assert_int_equal(sm_type_find(t, SM_STR("nam")), -1);
}

static void test_classes(void **state)
{
    assert_int_equal(sm_type_bytes(SM_TYPE_DECIMAL), 16);
    assert_int_equal(sm_type_bytes(SM_TYPE_BOOL), 0);
    assert_int_equal(sm_type_bytes(SM_TYPE_DATE), 4);
    assert_true(sm_type_is_integer(SM_TYPE_U64) && !sm_type_is_integer(SM_TYPE_F32));
    assert_true(sm_type_is_signed(SM_TYPE_I8) && !sm_type_is_signed(SM_TYPE_U8));
    assert_true(sm_type_is_number(SM_TYPE_DECIMAL) && !sm_type_is_number(SM_TYPE_DATE));
    assert_true(sm_type_is_bytes(SM_TYPE_BINARY) && !sm_type_is_bytes(SM_TYPE_LIST));
    assert_true(sm_type_is_nested(SM_TYPE_MAP) && !sm_type_is_nested(SM_TYPE_STRING));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_parse, setup, teardown),
        cmocka_unit_test_setup_teardown(test_parse_errors, setup, teardown),
        cmocka_unit_test_setup_teardown(test_depth, setup, teardown),
        cmocka_unit_test_setup_teardown(test_eq_and_copy, setup, teardown),
        cmocka_unit_test_setup_teardown(test_find, setup, teardown),
        cmocka_unit_test_setup_teardown(test_classes, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
