/* SPDX-License-Identifier: Apache-2.0
 *
 * base/quote_test.c: text as JSON strings, in quotes, and out of them. */
#include "test.h"

#include "base/quote.h"

static void test_json(void **state)
{
    static const struct {
        sm_str text;
        const char *want;
    } rows[] = {
        {{"", 0}, "\"\""},
        {{"plain", 5}, "\"plain\""},
        {{"a\"b\\c/d", 7}, "\"a\\\"b\\\\c/d\""},
        {{"\b\f\n\r\t", 5}, "\"\\b\\f\\n\\r\\t\""},
        {{"\0\x1f\x7f", 3}, "\"\\u0000\\u001f\x7f\""},
        {{"\xC3\xA9\xF0\x9F\x98\x80", 6}, "\"\xC3\xA9\xF0\x9F\x98\x80\""},
        {{"a\xFFz", 3}, "\"a\\ufffdz\""},
        {{"\xE2\x82", 2}, "\"\\ufffd\\ufffd\""},
    };
    for (int i = 0; i < SM_COUNT(rows); i++) {
        sm_buf b = {0};
        sm_buf_json_str(&b, rows[i].text);
        assert_int_equal(b.len, strlen(rows[i].want));
        assert_memory_equal(b.data, rows[i].want, b.len);
        sm_buf_release(&b);
    }
}

static void test_quotes(void **state)
{
    static const struct {
        sm_str text;
        char quote;
        const char *quoted, *escaped;
    } rows[] = {
        {{"", 0}, '"', "\"\"", "\"\""},
        {{"plain", 5}, '\'', "'plain'", "'plain'"},
        {{"it's", 4}, '\'', "'it''s'", "'it\\'s'"},
        {{"'", 1}, '\'', "''''", "'\\''"},
        {{"a\"b'c\\", 6}, '"', "\"a\"\"b'c\\\"", "\"a\\\"b'c\\\\\""},
        {{"``", 2}, '`', "``````", "`\\`\\``"},
    };
    for (int i = 0; i < SM_COUNT(rows); i++) {
        sm_buf b = {0};
        sm_buf_quoted(&b, rows[i].text, rows[i].quote);
        assert_int_equal(b.len, strlen(rows[i].quoted));
        assert_memory_equal(b.data, rows[i].quoted, b.len);
        sm_buf_reset(&b);
        sm_buf_escaped(&b, rows[i].text, rows[i].quote);
        assert_int_equal(b.len, strlen(rows[i].escaped));
        assert_memory_equal(b.data, rows[i].escaped, b.len);
        sm_buf_release(&b);
    }
}

static void test_quotes_are_read(void **state)
{
    static const struct {
        const char *text, *want; /* NULL: no quote closes it */
        size_t used;
    } rows[] = {
        {"\"\"", "", 2},
        {"\"a,b\",c", "a,b", 5},
        {"\"a\"\"b\"", "a\"b", 6},
        {"\"\"\"\"\"\"", "\"\"", 6},
        {"'it''s' \"x\"", "it's", 7},
        {"'\"'", "\"", 3},
        {"\"", NULL, 0},
        {"\"a", NULL, 0},
        {"\"a\"\"", NULL, 0},
        {"\"a'", NULL, 0},
    };
    for (int i = 0; i < SM_COUNT(rows); i++) {
        char out[16];
        size_t n = 0;
        assert_int_equal(sm_quoted_read(sm_str_of(rows[i].text), out, &n), rows[i].used);
        if (rows[i].want) {
            assert_int_equal(n, strlen(rows[i].want));
            assert_memory_equal(out, rows[i].want, n);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_quotes),
        cmocka_unit_test(test_quotes_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
