/* SPDX-License-Identifier: Apache-2.0
 *
 * column/column_test.c: text and JSON of rows (the wanted texts are DuckDB 2.0's), order, hashes,
 * bitmaps, and what validation refuses. */
#include "test.h"

#include <math.h>

#include "column/builder.h"
#include "column/column_int.h"

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

/* A column of the type, of values read from texts; NULL is null. */
static sm_column column_of(const char *sql, const char *const *texts, int64_t n)
{
    sm_error e = {0};
    sm_column c = {0};
    const sm_type *t = type_of(sql);
    sm_builder *b = sm_builder_new(t, budget);
    for (int64_t i = 0; i < n; i++) {
        sm_value v = sm_value_null(t);
        if (texts[i]) {
            assert_ok(sm_value_parse(t, sm_str_of(texts[i]), &v, &e), &e);
        }
        sm_builder_value(b, v);
    }
    assert_ok(sm_builder_finish(b, batch, &c, &e), &e);
    sm_builder_free(b);
    return c;
}

static void assert_text(const sm_column *c, int64_t row, const char *want, const char *want_json)
{
    sm_buf text = {0};
    sm_column_print(c, row, &text);
    sm_buf_text(&text, (sm_str){"", 1});
    assert_string_equal((const char *)text.data, want);
    sm_buf_reset(&text);
    sm_column_json(c, row, &(sm_json_writer){.out = &text});
    sm_buf_text(&text, (sm_str){"", 1});
    assert_string_equal((const char *)text.data, want_json);
    sm_buf_release(&text);
}

/* A list of one row that holds all of `inner`. */
static sm_column list_of(const sm_column *inner)
{
    sm_error e = {0};
    void *offsets = NULL, *child = NULL;
    const sm_field element = {.name = SM_STR("element"), .type = inner->type};
    assert_ok(sm_batch_alloc(batch, 8, &offsets, &e), &e);
    assert_ok(sm_batch_alloc(batch, sizeof(*inner), &child, &e), &e);
    ((int32_t *)offsets)[1] = (int32_t)inner->n_rows;
    memcpy(child, inner, sizeof(*inner));
    return (sm_column){.type = sm_type_list(arena, element),
                       .n_rows = 1,
                       .values = offsets,
                       .children = child,
                       .n_children = 1};
}

static void test_print_scalars(void **state)
{
    static const struct {
        const char *type, *text, *want, *json;
    } cases[] = {
        {"bool", "t", "true", "true"},
        {"int", "-5", "-5", "-5"},
        {"double", "1e20", "1e+20", "1e+20"},
        {"double", "5", "5.0", "5.0"},
        {"double", "nan", "nan", "null"},
        {"float", "-inf", "-inf", "null"},
        {"decimal(2,2)", "-0.5", "-.50", "-0.50"},
        {"decimal(9,2)", "0.5", "0.50", "0.50"},
        {"varchar", "a\"b\n", "a\"b\n", "\"a\\\"b\\n\""},
        {"blob", "a'", "a\\x27", "\"6127\""},
        {"date", "2022-04-01", "2022-04-01", "\"2022-04-01\""},
        {"time", "10:00:00.25", "10:00:00.25", "\"10:00:00.25\""},
        {"timestamp", "2022-04-01 17:05:00", "2022-04-01 17:05:00", "\"2022-04-01 17:05:00\""},
        {"timestamptz", "2022-04-01 17:05:00", "2022-04-01 17:05:00+00",
         "\"2022-04-01 17:05:00+00\""},
        {"date", NULL, "NULL", "null"},
    };
    for (int i = 0; i < SM_COUNT(cases); i++) {
        const sm_column c = column_of(cases[i].type, &cases[i].text, 1);
        assert_text(&c, 0, cases[i].want, cases[i].json);
    }
}

/* What JSON has no word for is a text that a cast reads back, at any depth; all else is as ever. */
static void test_print_exact_json(void **state)
{
    static const struct {
        const char *type, *text, *json, *in_list;
    } cases[] = {
        {"double", "nan", "\"nan\"", "[\"nan\"]"},
        {"double", "inf", "\"inf\"", "[\"inf\"]"},
        {"float", "-inf", "\"-inf\"", "[\"-inf\"]"},
        {"double", "0.1", "0.1", "[0.1]"},
        {"blob", "a'", "\"a\\\\x27\"", "[\"a\\\\x27\"]"},
        {"blob", "", "\"\"", "[\"\"]"},
        {"blob", NULL, "null", "[null]"},
        {"double", NULL, "null", "[null]"},
        {"varchar", "nan", "\"nan\"", "[\"nan\"]"},
        {"bigint", "-5", "-5", "[-5]"},
    };
    for (int i = 0; i < SM_COUNT(cases); i++) {
        const sm_column c = column_of(cases[i].type, &cases[i].text, 1), list = list_of(&c);
        sm_buf text = {0};
        sm_column_json(&c, 0, &(sm_json_writer){.out = &text, .is_exact = true});
        assert_true(sm_str_is(sm_buf_str(&text), cases[i].json));
        sm_buf_reset(&text);
        sm_column_json(&list, 0, &(sm_json_writer){.out = &text, .is_exact = true});
        assert_true(sm_str_is(sm_buf_str(&text), cases[i].in_list));
        sm_buf_release(&text);
    }
}

static void test_print_lists(void **state)
{
    static const char *const texts[] = {
        "a",   "b c", "",   "NULL", "nUll", "it's", "a,b",  "a\"b",  "[x]",     "{x",
        "a=b", "x:y", " a", "a ",   "\\",   "a\\b", "t\tx", "\tx",   "(x",      "\xC3\xA9",
        "'",   "1.5", NULL, "a-b;", "a|b",  "x)",   "null", "nulls", "2 ' \\ ", "\xC2\xA0"};
    const sm_column strings = column_of("varchar", texts, SM_COUNT(texts));
    const sm_column list = list_of(&strings);
    assert_text(
        &list, 0,
        "[a, b c, '', 'NULL', 'nUll', 'it\\'s', 'a,b', 'a\"b', '[x]', '{x', 'a=b', 'x:y', "
        "' a', 'a ', '\\\\', 'a\\\\b', t\tx, '\tx', '(x', \xC3\xA9, '\\'', 1.5, NULL, a-b;, "
        "a|b, 'x)', 'null', nulls, '2 \\' \\\\ ', \xC2\xA0]",
        "[\"a\",\"b c\",\"\",\"NULL\",\"nUll\",\"it's\",\"a,b\",\"a\\\"b\",\"[x]\",\"{x\","
        "\"a=b\",\"x:y\",\" a\",\"a \",\"\\\\\",\"a\\\\b\",\"t\\tx\",\"\\tx\",\"(x\","
        "\"\xC3\xA9\",\"'\",\"1.5\",null,\"a-b;\",\"a|b\",\"x)\",\"null\",\"nulls\","
        "\"2 ' \\\\ \",\"\xC2\xA0\"]");

    const sm_column nested = list_of(&list);
    sm_column empty = list;
    const int32_t zeros[2] = {0, 0};
    empty.values = zeros;
    assert_text(&empty, 0, "[]", "[]");
    assert_true(sm_column_eq(&nested, 0, &nested, 0));
    assert_false(sm_column_eq(&list, 0, &empty, 0));

    const char *times[] = {"2022-04-01 17:05:00", NULL};
    const sm_column stamps = column_of("timestamp", times, 2);
    const sm_column stamp_list = list_of(&stamps);
    assert_text(&stamp_list, 0, "['2022-04-01 17:05:00', NULL]", "[\"2022-04-01 17:05:00\",null]");
    const char *bytes[] = {"a,b", "'"};
    const sm_column blobs = column_of("blob", bytes, 2);
    const sm_column blob_list = list_of(&blobs);
    assert_text(&blob_list, 0, "['a,b', '\\\\x27']", "[\"612c62\",\"27\"]");
}

static void test_print_structs_and_maps(void **state)
{
    sm_error e = {0};
    sm_column c = {0};
    sm_builder *b = sm_builder_new(
        type_of("struct(\"a b\" varchar, \"A'b\\\" int, m map(varchar, double), d date[])"),
        budget);
    sm_builder *map = sm_builder_child(b, 2), *dates = sm_builder_child(b, 3);
    sm_builder_str(sm_builder_child(b, 0), SM_STR("NULL"));
    sm_builder_null(sm_builder_child(b, 1));
    sm_builder_str(sm_builder_child(map, 0), SM_STR("k k"));
    sm_builder_f64(sm_builder_child(map, 1), 0.5);
    sm_builder_str(sm_builder_child(map, 0), SM_STR("a=\"b"));
    sm_builder_null(sm_builder_child(map, 1));
    sm_builder_list(map);
    sm_builder_i64(sm_builder_child(dates, 0), 0);
    sm_builder_list(dates);
    sm_builder_struct(b);
    sm_builder_null(b);
    assert_ok(sm_builder_finish(b, batch, &c, &e), &e);
    sm_builder_free(b);
    assert_text(&c, 0,
                "{'a b': 'NULL', 'A\\'b\\\\': NULL, 'm': {k k=0.5, 'a=\"b'=NULL}, "
                "'d': [1970-01-01]}",
                "{\"a b\":\"NULL\",\"A'b\\\\\":null,\"m\":{\"k k\":0.5,\"a=\\\"b\":null},"
                "\"d\":[\"1970-01-01\"]}");
    assert_text(&c, 1, "NULL", "null");
    sm_column constant = c;
    constant.layout = SM_CONST;
    constant.n_rows = 9;
    assert_true(sm_column_eq(&constant, 8, &c, 0));
}

static void test_cmp(void **state)
{
    static const struct {
        const char *type, *rising[5];
    } cases[] = {
        {"int", {"-2000000000", "-1", "0", "2000000000", NULL}},
        {"ubigint", {"0", "1", "9223372036854775808", "18446744073709551615", NULL}},
        {"double", {"-inf", "-1", "inf", "nan", NULL}},
        {"varchar", {"", "a", "a long string of bytes", "b", NULL}},
        {"decimal(20,2)", {"-99999999999999999.5", "-1", "0", "0.01", NULL}},
        {"bool", {"f", "t", NULL}},
    };
    for (int k = 0; k < SM_COUNT(cases); k++) {
        const int n = k == 5 ? 3 : 5;
        const sm_column c = column_of(cases[k].type, cases[k].rising, n);
        for (int i = 0; i < n; i++) {
            for (int j = 0; j < n; j++) {
                assert_int_equal(sm_column_cmp(&c, i, &c, j), (i > j) - (i < j));
                assert_true(sm_column_eq(&c, i, &c, j) == (i == j));
            }
        }
    }
}

static uint64_t hash_of(const char *type, const char *text)
{
    uint64_t h = 0;
    const sm_column c = column_of(type, &text, 1);
    sm_column_hash(&c, &h, false);
    return h;
}

static void test_hash(void **state)
{
    assert_true(hash_of("double", "-0.0") == hash_of("double", "0"));
    assert_true(hash_of("double", "-nan") == hash_of("double", "nan"));
    assert_true(hash_of("float", "nan") == hash_of("double", "nan"));
    assert_true(hash_of("int", NULL) == hash_of("varchar", NULL));
    assert_true(hash_of("int", NULL) != hash_of("int", "0"));
    assert_true(hash_of("varchar", NULL) != hash_of("varchar", ""));
    assert_true(hash_of("varchar", "a") != hash_of("varchar", "b"));

    /* Order matters when columns are mixed. */
    uint64_t ab[2] = {0}, ba[2] = {0};
    const sm_column a = column_of("int", (const char *const[]){"1", "2"}, 2);
    const sm_column b = column_of("int", (const char *const[]){"2", "1"}, 2);
    sm_column_hash(&a, ab, false);
    sm_column_hash(&b, ab, true);
    sm_column_hash(&b, ba, false);
    sm_column_hash(&a, ba, true);
    assert_true(ab[0] != ba[0] && ab[0] == ba[1]);
}

/* Sequential keys must spread over the top bits (partitions) and the low bits (tables). */
static void test_hash_spread(void **state)
{
    enum { N = 65536 };
    sm_error e = {0};
    uint64_t *hashes = sm_alloc(N * sizeof(uint64_t));
    for (int kind = 0; kind < 3; kind++) {
        sm_column c = {0};
        sm_builder *b = sm_builder_new(kind == 0 ? &sm_type_i64 : &sm_type_string, budget);
        for (int64_t i = 0; i < N; i++) {
            char text[40];
            const int len =
                snprintf(text, sizeof(text), kind == 1 ? "K%06d" : "a longer key %06d", (int)i);
            if (kind == 0) {
                sm_builder_i64(b, i);
            } else {
                sm_builder_str(b, (sm_str){text, (size_t)len});
            }
        }
        assert_ok(sm_builder_finish(b, batch, &c, &e), &e);
        sm_builder_free(b);
        sm_column_hash(&c, hashes, false);
        int top[256] = {0}, low[256] = {0};
        for (int i = 0; i < N; i++) {
            top[hashes[i] >> 56]++;
            low[hashes[i] & 255]++;
        }
        for (int i = 0; i < 256; i++) { /* 256 wanted, deviation 16: six of them are allowed */
            assert_in_range(top[i], 160, 352);
            assert_in_range(low[i], 160, 352);
        }
    }
    sm_free(hashes);
}

/* Every length, at the very end of its allocation: nothing outside the bytes is read. */
static void test_views(void **state)
{
    for (int32_t len = 0; len <= 30; len++) {
        uint8_t *bytes = sm_alloc((size_t)len);
        sm_view want = {0};
        for (int32_t i = 0; i < len; i++) {
            bytes[i] = (uint8_t)(200 + i);
        }
        const sm_heap_buf heap = {.data = bytes, .size_bytes = len};
        const sm_view v = sm_view_make(bytes, len, 0, 0);
        want.inlined.len = len;
        if (len > 0) {
            memcpy(want.inlined.bytes, bytes, (size_t)(len > 12 ? 4 : len));
        }
        assert_memory_equal(&v, &want, sizeof(v));
        assert_true(sm_str_eq(sm_view_str(&v, &heap), (sm_str){(const char *)bytes, (size_t)len}));
        sm_free(bytes);
    }
}

static void test_bits(void **state)
{
    uint8_t src[40], dst[40], want[40];
    for (int i = 0; i < 40; i++) {
        src[i] = (uint8_t)(i * 89 + 17);
    }
    for (int from = 0; from < 17; from++) {
        for (int to = 0; to < 17; to++) {
            for (int n = 0; n <= 130; n++) {
                int64_t n_set = 0;
                memset(dst, 0, sizeof(dst));
                memset(want, 0, sizeof(want));
                smi_bits_fill(dst, 0, to, true);
                smi_bits_fill(want, 0, to, true);
                smi_bits_copy(dst, to, src, from, n);
                for (int i = 0; i < n; i++) {
                    if (sm_bit_get(src, from + i)) {
                        sm_bit_set(want, to + i);
                        n_set++;
                    }
                }
                assert_memory_equal(dst, want, sizeof(dst));
                assert_int_equal(smi_bits_count(dst, to + n), to + n_set);
            }
        }
    }
}

static void assert_refused(const sm_column *c, const char *want)
{
    const char *why = "accepted";
    assert_false(sm_column_validate(c, true, &why));
    assert_string_equal(why, want);
}

static void test_validate_scalars(void **state)
{
    const char *why = NULL;
    const uint8_t first_null[1] = {2};
    const int32_t ints[2] = {7, 8};
    sm_column c = {.type = &sm_type_i32, .n_rows = 2, .values = ints};
    assert_true(sm_column_validate(&c, true, &why));
    c.validity = first_null;
    assert_refused(&c, "the value of a null row is not zero");
    assert_true(sm_column_validate(&c, false, &why));
    c.values = NULL;
    assert_refused(&c, "a column has no values");
    c.n_rows = -1;
    assert_refused(&c, "a column has a negative number of rows");
    c.type = NULL;
    assert_refused(&c, "a column has no type");

    const sm_i128 big[1] = {100};
    c = (sm_column){.type = sm_type_decimal(arena, 2, 0), .n_rows = 1, .values = big};
    assert_refused(&c, "a decimal has more digits than its type");

    const int32_t codes[2] = {1, 2};
    c = (sm_column){.type = &sm_type_i32,
                    .layout = SM_DICT,
                    .n_rows = 2,
                    .values = codes,
                    .n_children = 1,
                    .children = &(sm_column){.type = &sm_type_i32, .n_rows = 2, .values = ints}};
    assert_refused(&c, "a code is not in the dictionary");
    c.n_rows = 1;
    assert_true(sm_column_validate(&c, true, &why));
    c.validity = (const uint8_t[1]){0};
    assert_refused(&c, "the code of a null row is not zero");
    c.type = &sm_type_date;
    assert_refused(&c, "a dictionary has another type");
}

static void test_validate_strings(void **state)
{
    static const uint8_t bytes[] = "a string that stands in the heap";
    const sm_heap_buf heap[1] = {{.data = bytes, .size_bytes = 32}};
    const char *why = NULL;
    sm_view v = sm_view_make(bytes, 32, 0, 0);
    sm_column c = {.type = &sm_type_string, .n_rows = 1, .values = &v, .heap = heap, .n_heap = 1};
    assert_true(sm_column_validate(&c, true, &why));
    c.n_heap = 0;
    assert_refused(&c, "a view points to a buffer that is not there");
    c.n_heap = 1;
    v.ref.off_bytes = 1;
    assert_refused(&c, "a view points beyond its buffer");
    v.ref.len = 31;
    assert_refused(&c, "the prefix of a view differs from its bytes");
    v = sm_view_make((const uint8_t *)"\xFFz", 2, 0, 0);
    assert_refused(&c, "a string is not UTF-8");
    c.type = &sm_type_binary;
    assert_true(sm_column_validate(&c, true, &why));
    v.inlined.bytes[5] = 1;
    assert_refused(&c, "the rest of an inline view is not zero");
    v.inlined.len = -1;
    assert_refused(&c, "a view has a negative length");
}

static void test_validate_nested(void **state)
{
    const char *why = NULL;
    const int32_t ints[3] = {1, 0, 3}, offsets[3] = {0, 2, 3}, falling[3] = {0, 2, 1};
    const uint8_t second_null[1] = {1};
    sm_column child = {.type = &sm_type_i32, .n_rows = 3, .values = ints};
    sm_column c = {.type = type_of("int[]"),
                   .n_rows = 2,
                   .values = offsets,
                   .children = &child,
                   .n_children = 1};
    assert_true(sm_column_validate(&c, true, &why));
    c.values = falling;
    assert_refused(&c, "offsets fall or overrun");
    c.values = offsets;
    child.n_rows = 2;
    assert_refused(&c, "offsets fall or overrun");
    child.n_rows = 3;
    c.validity = second_null;
    assert_refused(&c, "a null list has elements");
    child.type = &sm_type_date;
    assert_refused(&c, "a child has another type than its field");

    child.type = &sm_type_i32;
    c = (sm_column){
        .type = type_of("struct(a int)"), .n_rows = 2, .children = &child, .n_children = 1};
    assert_refused(&c, "a struct's child has another number of rows");
    child.n_rows = 2;
    assert_true(sm_column_validate(&c, true, &why));
    c.validity = second_null;
    assert_refused(&c, "the child of a null struct is not null");
    c.n_children = 0;
    assert_refused(&c, "a struct has the wrong number of children");

    sm_batch b = {.schema = type_of("struct(a int)"), .columns = &child, .n_columns = 1};
    b.n_rows = 2;
    assert_true(sm_batch_validate(&b, true, &why));
    b.n_rows = 3;
    assert_false(sm_batch_validate(&b, true, &why));
    assert_string_equal(why, "a column has another number of rows than its batch");
}

/* ---- finding dictionaries -------------------------------------------------------------------- */

/* n rows of which `different` differ; every tenth is null where has_nulls; the last is `last`. */
static sm_column texts_of(int64_t n, int different, bool has_nulls, const char *last)
{
    const char **texts = sm_alloc((size_t)n * sizeof(*texts));
    for (int64_t i = 0; i < n; i++) {
        texts[i] = has_nulls && i % 10 == 9
                       ? NULL
                       : sm_arena_strf(arena, "v%d", (int)(i * 7 % different)).data;
    }
    texts[n - 1] = last ? last : texts[n - 1];
    const sm_column c = column_of("VARCHAR", texts, n);
    sm_free(texts);
    return c;
}

static void test_find_dict(void **state)
{
    static const struct {
        int64_t n;
        int different;
        bool has_nulls;
        const char *last;
        sm_layout want;
    } cases[] = {
        {256, 1, false, NULL, SM_DICT},
        {255, 1, false, NULL, SM_FLAT}, /* too few rows to pay */
        {4096, 31, true, NULL, SM_DICT},
        {4096, 32, false, NULL, SM_DICT},
        {4096, 33, false, NULL, SM_FLAT},
        {4096, 31, false, "", SM_DICT},
        {4096, 32, false, "one more", SM_FLAT},
        {4096, 5, false, "twelve bytes", SM_DICT},
        {4096, 5, false, "thirteen byte", SM_FLAT},
        {4096, 4000, true, NULL, SM_FLAT},
    };
    for (int k = 0; k < SM_COUNT(cases); k++) {
        sm_error e = {0};
        const char *why = NULL;
        const sm_column flat =
            texts_of(cases[k].n, cases[k].different, cases[k].has_nulls, cases[k].last);
        sm_column c = flat;
        assert_ok(sm_column_find_dict(&c, batch, &e), &e);
        if (c.layout != cases[k].want) {
            fail_msg("case %d: layout %d", k, (int)c.layout);
        }
        assert_true(sm_column_validate(&c, true, &why));
        assert_int_equal(c.n_rows, flat.n_rows);
        for (int64_t i = 0; i < c.n_rows; i++) {
            assert_true(sm_column_eq(&c, i, &flat, i));
        }
    }
    sm_error e = {0};
    sm_column number = column_of("BIGINT", (const char *[]){"1"}, 1);
    assert_ok(sm_column_find_dict(&number, batch, &e), &e);
    assert_int_equal(number.layout, SM_FLAT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_print_scalars, setup, teardown),
        cmocka_unit_test_setup_teardown(test_print_exact_json, setup, teardown),
        cmocka_unit_test_setup_teardown(test_print_lists, setup, teardown),
        cmocka_unit_test_setup_teardown(test_print_structs_and_maps, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cmp, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hash, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hash_spread, setup, teardown),
        cmocka_unit_test_setup_teardown(test_views, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_validate_scalars, setup, teardown),
        cmocka_unit_test_setup_teardown(test_validate_strings, setup, teardown),
        cmocka_unit_test_setup_teardown(test_validate_nested, setup, teardown),
        cmocka_unit_test_setup_teardown(test_find_dict, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
