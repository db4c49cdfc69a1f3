/* SPDX-License-Identifier: Apache-2.0
 *
 * format/json/json_writer_test.c: the bytes of an array of objects and of NDJSON; blocks that wait,
 * fail or do not fit. */
#include "test.h"

#include "text_write.h"

static const struct {
    const char *schema;
    const char *cells[6];
    int64_t n_rows;
    const char *array, *lines;
} texts[] = {
    {"STRUCT(a VARCHAR)", {NULL}, 0, "[]\n", ""},
    {"STRUCT(a VARCHAR)", {"x"}, 1, "[\n{\"a\":\"x\"}\n]\n", "{\"a\":\"x\"}\n"},
    {"STRUCT(a VARCHAR, b BIGINT)",
     {"", NULL, NULL, "-1"},
     2,
     "[\n{\"a\":\"\",\"b\":null},\n{\"a\":null,\"b\":-1}\n]\n",
     "{\"a\":\"\",\"b\":null}\n{\"a\":null,\"b\":-1}\n"},
    {"STRUCT(\"a\"\"\" VARCHAR)",
     {"1\n\"2\""},
     1,
     "[\n{\"a\\\"\":\"1\\n\\\"2\\\"\"}\n]\n",
     "{\"a\\\"\":\"1\\n\\\"2\\\"\"}\n"},
    {"STRUCT(a BOOLEAN, b DATE, c DOUBLE)",
     {"true", "2022-04-03", "nan"},
     1,
     "[\n{\"a\":true,\"b\":\"2022-04-03\",\"c\":null}\n]\n",
     "{\"a\":true,\"b\":\"2022-04-03\",\"c\":null}\n"},
};

static void test_texts(void **state)
{
    for (int i = 0; i < SM_COUNT(texts); i++) {
        text_write how = {.format = "json",
                          .schema = texts[i].schema,
                          .cells = texts[i].cells,
                          .n_rows = texts[i].n_rows};
        text_write_gives(how, texts[i].array);
        how.format = "ndjson";
        text_write_gives(how, texts[i].lines);
    }
}

static void test_many_rows(void **state)
{
    const char *cells[2 * 100];

    for (int i = 0; i < SM_COUNT(cells); i++) {
        cells[i] = i % 7 == 0 ? NULL : "\"a longer text\", with\ttabs and \"quotes\" in it";
    }
    text_write_many("json", "STRUCT(a VARCHAR, b VARCHAR)", cells, SM_COUNT(cells) / 2, 100);
    text_write_many("ndjson", "STRUCT(a VARCHAR, b VARCHAR)", cells, SM_COUNT(cells) / 2, 100);
}

static void test_registry(void **state)
{
    const sm_format *json = sm_format_named(SM_STR("json"));
    const sm_format *ndjson = sm_format_named(SM_STR("ndjson"));

    assert_true(sm_format_is_read(json));
    assert_false(sm_format_is_read(ndjson));
    assert_ptr_equal(sm_format_of_name(SM_STR("a.ndjson")), json);
    assert_ptr_equal(sm_format_to_write(SM_STR("a.ndjson")), ndjson);
    assert_ptr_equal(sm_format_to_write(SM_STR("a.json")), json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_many_rows),
        cmocka_unit_test(test_registry),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
