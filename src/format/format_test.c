/* SPDX-License-Identifier: Apache-2.0
 *
 * format/format_test.c: the registry and the options of formats. */
#include "test.h"

#include "format/format.h"

static void formats_are_found_by_name(void **state)
{
    static const struct {
        const char *file, *want;
    } names[] = {
        {"a.json", "json"},
        {"20220401.ndjson.gz", "json"},
        {"x/y.jsonl.zst", "json"},
        {"a.json.bz2", NULL},
        {"json", NULL},
        {".json", NULL},
        {"a.txt", NULL},
        {"", NULL},
        {"a.JSON", NULL},
    };
    for (int i = 0; i < SM_COUNT(names); i++) {
        const sm_format *f = sm_format_of_name(sm_str_of(names[i].file));
        if (names[i].want) {
            assert_non_null(f);
            assert_string_equal(f->name, names[i].want);
        } else {
            assert_null(f);
        }
    }
    for (int i = 0; sm_formats[i]; i++) {
        assert_ptr_equal(sm_format_named(sm_str_of(sm_formats[i]->name)), sm_formats[i]);
    }
    assert_null(sm_format_named(SM_STR("jsonx")));
}

static void formats_to_write_are_found_by_suffix(void **state)
{
    static const struct {
        const char *file, *want;
    } names[] = {
        {"a.json", "json"},
        {"x/y.z.ndjson", "ndjson"},
        {"a.csv", "csv"},
        {"a.parquet", "parquet"},
        {".csv", "csv"},
        {"a.json.gz", NULL},
        {"a.CSV", NULL},
        {"a.jsonl", NULL},
        {"csv", NULL},
        {"a.csv/b", NULL},
        {"a.", NULL},
        {"", NULL},
        {"a.csv/.json", "json"},
    };
    for (int i = 0; i < SM_COUNT(names); i++) {
        const sm_format *f = sm_format_to_write(sm_str_of(names[i].file));
        if (names[i].want) {
            assert_non_null(f);
            assert_string_equal(f->name, names[i].want);
        } else {
            assert_null(f);
        }
    }
}

static void json_is_known_by_its_first_bytes(void **state)
{
    static const struct {
        const char *head;
        bool want;
    } heads[] = {
        {"{\"a\":1}", true}, {"\xef\xbb\xbf\n {", true}, {"[1]", false}, {"PAR1", false},
        {"", false},         {"\xef\xbb\xbf", false},    {"  ", false},
    };
    const sm_format *json = sm_format_named(SM_STR("json"));
    for (int i = 0; i < SM_COUNT(heads); i++) {
        assert_int_equal(json->probe((const uint8_t *)heads[i].head, strlen(heads[i].head)),
                         heads[i].want);
    }
}

typedef struct opts {
    bool on;
    int64_t count;
    size_t size;
    sm_str text;
} opts;

static const sm_option table[] = {
    {"is_on", SM_OPT_BOOL, "true", offsetof(opts, on), "."},
    {"count", SM_OPT_I64, "-3", offsetof(opts, count), "."},
    {"size", SM_OPT_SIZE, "2KiB", offsetof(opts, size), "."},
    {"text", SM_OPT_TEXT, "", offsetof(opts, text), "."},
    {0},
};

static const sm_value yes = {.type = &sm_type_bool, .as.b = true};

static void options_are_set_by_name(void **state)
{
    sm_arena *a = sm_arena_new(NULL);
    opts o = {0};
    sm_error e = {0};
    const sm_value no = {.type = &sm_type_bool};
    assert_ok(sm_options_default(table, &o, &e), &e);
    assert_true(o.on && o.count == -3 && o.size == 2048 && o.text.len == 0);
    assert_ok(sm_options_set(table, &o, SM_STR("is_on"), no, a, &e), &e);
    assert_ok(sm_options_set(table, &o, SM_STR("count"), sm_value_i64(9), a, &e), &e);
    assert_ok(sm_options_set(table, &o, SM_STR("size"), sm_value_i64(7), a, &e), &e);
    assert_ok(sm_options_set(table, &o, SM_STR("text"), sm_value_str(SM_STR("abc")), a, &e), &e);
    assert_true(!o.on && o.count == 9 && o.size == 7 && sm_str_is(o.text, "abc"));
    assert_ok(sm_options_set(table, &o, SM_STR("size"), sm_value_str(SM_STR("1 MiB")), a, &e), &e);
    assert_int_equal(o.size, 1048576);
    sm_arena_free(a);
}

static void wrong_options_are_told(void **state)
{
    const struct {
        const char *name;
        sm_value v;
        sm_status want;
        const char *what, *todo;
    } cases[] = {
        {"cuont", sm_value_i64(1), SM_NAME, "no option \"cuont\"", "Did you mean \"count\"?"},
        {"count", yes, SM_TYPE, "option count is an integer, not true", ""},
        {"is_on", sm_value_i64(1), SM_TYPE, "option is_on is true or false, not 1", ""},
        {"size", sm_value_i64(-1), SM_TYPE,
         "option size is a size such as 1048576 or '1 MiB', not -1", ""},
        {"size", sm_value_str(SM_STR("big")), SM_TYPE,
         "option size is a size such as 1048576 or '1 MiB', not big", ""},
        {"text", sm_value_null(&sm_type_string), SM_TYPE, "option text is text, not NULL", ""},
    };
    for (int i = 0; i < SM_COUNT(cases); i++) {
        sm_arena *a = sm_arena_new(NULL);
        opts o = {0};
        sm_error e = {0};
        assert_status(sm_options_set(table, &o, sm_str_of(cases[i].name), cases[i].v, a, &e),
                      cases[i].want, &e);
        assert_string_equal(e.what, cases[i].what);
        assert_string_equal(e.todo, cases[i].todo);
        sm_arena_free(a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(formats_are_found_by_name),
        cmocka_unit_test(formats_to_write_are_found_by_suffix),
        cmocka_unit_test(json_is_known_by_its_first_bytes),
        cmocka_unit_test(options_are_set_by_name),
        cmocka_unit_test(wrong_options_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
