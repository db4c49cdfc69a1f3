/* SPDX-License-Identifier: Apache-2.0
 *
 * format/csv/csv_writer_test.c: the bytes of CSV; blocks that wait, fail or do not fit. */
#include "test.h"

#include "text_write.h"

static const struct {
    const char *schema;
    const char *cells[6];
    int64_t n_rows;
    const char *want;
} texts[] = {
    {"STRUCT(a VARCHAR, b BIGINT)", {NULL}, 0, "a,b\n"},
    {"STRUCT(a VARCHAR, b BIGINT)", {"x", "1", "y", "-2"}, 2, "a,b\nx,1\ny,-2\n"},
    /* NULL and an empty text stay apart */
    {"STRUCT(a VARCHAR, b BIGINT)", {NULL, NULL, "", "3"}, 2, "a,b\n,\n\"\",3\n"},
    {"STRUCT(a VARCHAR)",
     {",", "say \"x\"", "1\n2", "\r", " ' ;"},
     5,
     "a\n\",\"\n\"say \"\"x\"\"\"\n\"1\n2\"\n\"\r\"\n ' ;\n"},
    {"STRUCT(\"a,b\" VARCHAR, \"c\"\"\" VARCHAR)",
     {"\xc3\xa4", "NULL"},
     1,
     "\"a,b\",\"c\"\"\"\n\xc3\xa4,NULL\n"},
    {"STRUCT(a BOOLEAN, b DATE, c TIMESTAMP)",
     {"true", "2022-04-03", "2022-04-03 17:05:00"},
     1,
     "a,b,c\ntrue,2022-04-03,2022-04-03 17:05:00\n"},
};

static void test_texts(void **state)
{
    for (int i = 0; i < SM_COUNT(texts); i++) {
        text_write_gives((text_write){.format = "csv",
                                      .schema = texts[i].schema,
                                      .cells = texts[i].cells,
                                      .n_rows = texts[i].n_rows},
                         texts[i].want);
    }
}

static void test_many_rows(void **state)
{
    const char *cells[2 * 100];

    for (int i = 0; i < SM_COUNT(cells); i++) {
        cells[i] = i % 7 == 0 ? NULL : "\"a longer text, with commas and \"quotes\" in it\"";
    }
    text_write_many("csv", "STRUCT(a VARCHAR, b VARCHAR)", cells, SM_COUNT(cells) / 2, 100);
}

/* It cannot be read: no name stands for it, but its writer is found by its suffix. */
static void test_registry(void **state)
{
    const sm_format *csv = sm_format_named(SM_STR("csv"));

    assert_non_null(csv);
    assert_false(sm_format_is_read(csv));
    assert_null(sm_format_of_name(SM_STR("a.csv")));
    assert_ptr_equal(sm_format_to_write(SM_STR("s3://a/b.c/d.csv")), csv);
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
