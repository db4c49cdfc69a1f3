/* SPDX-License-Identifier: Apache-2.0
 *
 * column/builder_test.c: rows appended, taken back, refused, and the builder used again. That any
 * type can be built is batch_test.c's property test. */
#include "test.h"

#include "column/builder.h"

static sm_arena *arena;
static sm_budget *budget;
static sm_batch *batch;

static int setup(void **state)
{
    sm_error e = {0};
    arena = sm_arena_new(NULL);
    budget = sm_budget_new(NULL, "test", 0);
    assert_ok(sm_batch_new(budget, sm_type_struct(arena, NULL, 0), &batch, &e), &e);
    return 0;
}

static int teardown(void **state)
{
    sm_batch_release(batch);
    assert_int_equal(sm_budget_used(budget), 0);
    sm_budget_free(budget);
    sm_arena_free(arena);
    assert_int_equal(sm_live_allocs(), 0);
    return 0;
}

static const sm_type *type_of(const char *sql)
{
    sm_error e = {0};
    const sm_type *t = NULL;
    assert_ok(sm_type_parse(sm_str_of(sql), arena, &t, &e), &e);
    return t;
}

static sm_column finish(sm_builder *b)
{
    sm_error e = {0};
    sm_column c = {0};
    const char *why = NULL;
    assert_ok(sm_builder_finish(b, batch, &c, &e), &e);
    if (!sm_column_validate(&c, true, &why)) {
        fail_msg("%s", why);
    }
    assert_int_equal(sm_builder_rows(b), 0);
    return c;
}

static void assert_rows(const sm_column *c, const char *const *want, int64_t n)
{
    assert_int_equal(c->n_rows, n);
    for (int64_t i = 0; i < n; i++) {
        sm_buf text = {0};
        sm_column_print(c, i, &text);
        sm_buf_text(&text, (sm_str){"", 1});
        assert_string_equal((const char *)text.data, want[i]);
        sm_buf_release(&text);
    }
}

static void test_validity(void **state)
{
    sm_builder *b = sm_builder_new(&sm_type_i32, budget);
    for (int64_t i = 0; i < 100; i++) {
        sm_builder_i64(b, i);
    }
    sm_column c = finish(b);
    assert_null(c.validity);
    assert_int_equal(((const int32_t *)c.values)[99], 99);

    for (int64_t i = 0; i < 100; i++) { /* the first null comes late, and past a growth */
        if (i % 90 == 80) {
            sm_builder_null(b);
        } else {
            sm_builder_i64(b, -i);
        }
    }
    c = finish(b);
    assert_int_equal(sm_column_null_count(&c), 1);
    assert_true(sm_column_is_null(&c, 80));
    assert_int_equal(((const int32_t *)c.values)[80], 0);
    assert_int_equal(((const int32_t *)c.values)[99], -99);

    sm_builder_i64(b, 1);
    sm_builder_null(b);
    sm_builder_truncate(b, 1); /* the only null is taken back */
    sm_builder_i64(b, 2);
    c = finish(b);
    assert_null(c.validity);
    assert_rows(&c, (const char *const[]){"1", "2"}, 2);
    sm_builder_free(b);
}

static void append_person(sm_builder *b, const char *name, int n_tags)
{
    sm_builder *tags = sm_builder_child(b, 1), *scores = sm_builder_child(b, 2);
    sm_builder_str(sm_builder_child(b, 0), sm_str_of(name));
    for (int i = 0; i < n_tags; i++) {
        sm_builder_str(sm_builder_child(tags, 0), SM_STR("a tag that is rather long"));
        sm_builder_str(sm_builder_child(scores, 0), SM_STR("k"));
        sm_builder_i64(sm_builder_child(scores, 1), i);
    }
    sm_builder_list(tags);
    sm_builder_list(scores);
    sm_builder_struct(b);
}

static void test_truncate_nested(void **state)
{
    sm_builder *b =
        sm_builder_new(type_of("struct(s varchar, t varchar[], m map(varchar, int))"), budget);
    append_person(b, "one", 1);
    append_person(b, "two, whose name is long", 2);
    sm_builder_null(b);
    append_person(b, "three", 0);
    sm_builder_truncate(b, 2);
    /* A row that was broken off: some children are ahead of the struct. */
    sm_builder_str(sm_builder_child(b, 0), SM_STR("half"));
    sm_builder_str(sm_builder_child(sm_builder_child(b, 1), 0), SM_STR("pending"));
    sm_builder_truncate(b, 2);
    append_person(b, "four", 1);
    sm_builder_truncate(b, 3);
    const sm_column c = finish(b);
    static const char *const want[] = {
        "{'s': one, 't': [a tag that is rather long], 'm': {k=0}}",
        "{'s': 'two, whose name is long', 't': [a tag that is rather long, a tag that is rather "
        "long], 'm': {k=0, k=1}}",
        "{'s': four, 't': [a tag that is rather long], 'm': {k=0}}",
    };
    assert_rows(&c, want, 3);
    assert_int_equal(c.children[1].children[0].n_rows, 4);

    append_person(b, "again", 1); /* the builder is as new */
    sm_builder_truncate(b, 0);
    const sm_column none = finish(b);
    assert_int_equal(none.n_rows, 0);
    assert_int_equal(none.children[1].children[0].n_rows, 0);
    sm_builder_free(b);
}

/* Refused lines must not fill the heap: their bytes are taken back with them. */
static void test_truncate_gives_bytes_back(void **state)
{
    char text[3000];
    memset(text, 'x', sizeof(text));
    sm_builder *b = sm_builder_new(&sm_type_string, budget);
    sm_builder_str(b, (sm_str){"kept, and longer than 12", 24});
    for (int i = 0; i < 10000; i++) {
        const int64_t n = sm_builder_rows(b);
        sm_builder_str(b, (sm_str){text, sizeof(text)});
        sm_builder_str(b, SM_STR("short"));
        sm_builder_str(b, (sm_str){text, 2000});
        sm_builder_truncate(b, n);
    }
    assert_true(sm_budget_used(budget) < 60000);
    sm_builder_str(b, (sm_str){text, 13});
    const sm_column c = finish(b);
    assert_rows(&c, (const char *const[]){"kept, and longer than 12", "xxxxxxxxxxxxx"}, 2);
    sm_builder_free(b);
}

static void test_strings_in_blocks(void **state)
{
    sm_error e = {0};
    sm_block *one = NULL, *two = NULL;
    assert_ok(sm_block_new(budget, 64, &one, &e), &e);
    assert_ok(sm_block_new(budget, 64, &two, &e), &e);
    memcpy(one->data, "..first of the long strings..", 29);
    memcpy(two->data, "second of the long strings", 26);
    sm_builder *b = sm_builder_new(&sm_type_string, budget);
    sm_builder_str(b, SM_STR("its own copy of a long string"));
    const int32_t first = sm_builder_block(b, one), second = sm_builder_block(b, two);
    assert_int_equal(sm_builder_block(b, one), first);
    assert_true(first != second);
    sm_builder_str_in(b, first, (sm_str){(const char *)one->data + 2, 25});
    sm_builder_str_in(b, second, (sm_str){(const char *)two->data, 26});
    sm_builder_str_in(b, second, (sm_str){(const char *)two->data, 6});
    sm_builder_str(b, SM_STR("another copy of a long string"));
    sm_block_release(one);
    sm_block_release(two);
    const sm_column c = finish(b);
    sm_builder_free(b);
    assert_rows(&c,
                (const char *const[]){"its own copy of a long string", "first of the long strings",
                                      "second of the long strings", "second",
                                      "another copy of a long string"},
                5);
    const sm_view *views = c.values;
    assert_int_equal(views[1].ref.off_bytes, 2); /* nothing was copied */
    assert_int_equal(c.n_heap, 3);
}

static void test_refused(void **state)
{
    const sm_type *t = type_of("struct(s varchar, t varchar[], m map(varchar, int))");
    int n_refused = 0;
    for (size_t limit = 5000;; limit += 2500) {
        sm_error e = {0};
        sm_column c = {0};
        sm_budget *small = sm_budget_new(budget, "small", limit);
        sm_builder *b = sm_builder_new(t, small);
        for (int i = 0; i < 300; i++) {
            if (i % 7 == 0) {
                sm_builder_null(b);
            } else {
                append_person(b, "somebody with a long name", i % 3);
            }
            assert_int_equal(sm_builder_rows(b), i + 1);
            if (i % 10 == 9) { /* rows can be taken back after a refusal too */
                append_person(b, "taken back", 2);
                sm_builder_truncate(b, i + 1);
            }
        }
        sm_batch *into = NULL;
        assert_ok(sm_batch_new(budget, batch->schema, &into, &e), &e);
        const sm_status st = sm_builder_finish(b, into, &c, &e);
        assert_int_equal(sm_builder_rows(b), 0);
        if (st != SM_OK) {
            assert_int_equal(st, SM_BUDGET);
            assert_non_null(strstr(e.what, "small"));
            assert_null(c.type);
            n_refused++;
            /* Used again within its budget. */
            append_person(b, "x", 0);
            if (limit > 10000) {
                assert_ok(sm_builder_finish(b, into, &c, &e), &e);
                assert_rows(&c, (const char *const[]){"{'s': x, 't': [], 'm': {}}"}, 1);
            }
        }
        sm_builder_free(b);
        sm_batch_release(into);
        assert_int_equal(sm_budget_used(small), 0);
        sm_budget_free(small);
        if (st == SM_OK) {
            break;
        }
    }
    assert_true(n_refused > 5);
}

static void test_values(void **state)
{
    static const struct {
        const char *type, *text;
    } cases[] = {
        {"boolean", "true"},
        {"tinyint", "-128"},
        {"smallint", "32767"},
        {"date", "2022-04-01"},
        {"bigint", "-9223372036854775808"},
        {"uint8", "255"},
        {"uint16", "65535"},
        {"uint32", "4294967295"},
        {"ubigint", "18446744073709551615"},
        {"float", "0.1"},
        {"double", "0.1"},
        {"decimal(38,5)", "123456789012345678901234567890123.45678"},
        {"varchar", "text of more than twelve bytes"},
        {"blob", "bytes"},
        {"time", "23:59:59.5"},
        {"timestamp", "2022-04-01 17:05:00"},
        {"timestamptz", "2022-04-01 17:05:00+00"},
    };
    for (int i = 0; i < SM_COUNT(cases); i++) {
        sm_error e = {0};
        sm_value v = {0};
        const sm_type *t = type_of(cases[i].type);
        sm_builder *b = sm_builder_new(t, budget);
        assert_ok(sm_value_parse(t, sm_str_of(cases[i].text), &v, &e), &e);
        sm_builder_value(b, v);
        sm_builder_value(b, sm_value_null(t));
        const sm_column c = finish(b);
        assert_rows(&c, (const char *const[]){cases[i].text, "NULL"}, 2);
        assert_true(sm_value_eq(sm_column_value(&c, 0), v));
        sm_builder_free(b);
    }
    sm_builder_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_validity, setup, teardown),
        cmocka_unit_test_setup_teardown(test_truncate_nested, setup, teardown),
        cmocka_unit_test_setup_teardown(test_truncate_gives_bytes_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_strings_in_blocks, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_values, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
