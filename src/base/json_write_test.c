/* SPDX-License-Identifier: Apache-2.0
 *
 * base/json_write_test.c: the bytes of each kind of value, commas, lines, members. */
#include "test.h"

#include <math.h>

#include "base/json_write.h"

static void assert_text(sm_buf *b, const char *want)
{
    assert_int_equal(b->len, strlen(want));
    assert_memory_equal(b->data, want, b->len);
    sm_buf_release(b);
}

static void test_values(void **state)
{
    sm_buf b = {0};
    sm_json_writer w = {.out = &b};

    sm_json_begin_object(&w);
    sm_json_set_text(&w, "text", SM_STR("a\"\n"));
    sm_json_set_i64(&w, "least", INT64_MIN);
    sm_json_set_u64(&w, "most", UINT64_MAX);
    sm_json_set_bool(&w, "yes", true);
    sm_json_set_bool(&w, "no", false);
    sm_json_set_raw(&w, "raw", SM_STR("[1, 2]"));
    sm_json_key(&w, SM_STR("printed"));
    sm_buf_printf(sm_json_value_out(&w), "%d", 7);
    sm_json_key(&w, SM_STR("a \"key\""));
    sm_json_put_null(&w);
    sm_json_key(&w, SM_STR("seconds"));
    sm_json_put_fixed(&w, 1.23456, 3);
    sm_json_key(&w, SM_STR("none"));
    sm_json_put_fixed(&w, NAN, 3);
    sm_json_end_object(&w);
    assert_text(
        &b, "{\"text\":\"a\\\"\\n\",\"least\":-9223372036854775808,"
            "\"most\":18446744073709551615,\"yes\":true,\"no\":false,\"raw\":[1, 2],\"printed\":7,"
            "\"a \\\"key\\\"\":null,\"seconds\":1.235,\"none\":null}");
}

static void test_nesting(void **state)
{
    sm_buf b = {0};
    sm_json_writer w = {.out = &b};

    sm_json_begin_array(&w);
    sm_json_begin_array(&w);
    sm_json_end_array(&w);
    sm_json_begin_object(&w);
    sm_json_set_object(&w, "o");
    sm_json_end_object(&w);
    sm_json_set_array(&w, "a");
    sm_json_put_i64(&w, 1);
    sm_json_put_text(&w, SM_STR(""));
    sm_json_begin_object(&w);
    sm_json_end_object(&w);
    sm_json_end_array(&w);
    sm_json_set_i64(&w, "last", 2);
    sm_json_end_object(&w);
    sm_json_put_bool(&w, true);
    sm_json_end_array(&w);
    assert_int_equal(w.depth, 0);
    assert_text(&b, "[[],{\"o\":{},\"a\":[1,\"\",{}],\"last\":2},true]");
}

/* Deeper than what is known of objects and arrays. */
static void test_depth(void **state)
{
    sm_buf b = {0};
    sm_json_writer w = {.out = &b};
    char want[2 * 200 * 5 + 2] = "";
    size_t len = 0;

    for (int i = 0; i < 200; i++) {
        sm_json_begin_object(&w);
        sm_json_set_array(&w, "k");
        len += (size_t)snprintf(want + len, sizeof(want) - len, "{\"k\":[");
    }
    for (int i = 0; i < 200; i++) {
        sm_json_end_array(&w);
        sm_json_end_object(&w);
        len += (size_t)snprintf(want + len, sizeof(want) - len, "]}");
    }
    assert_text(&b, want);
}

static void test_lines(void **state)
{
    sm_buf b = {0};
    sm_buf_text(&b, SM_STR("head\n"));
    sm_json_writer w = {.out = &b};

    for (int i = 0; i < 2; i++) {
        sm_json_begin_object(&w);
        sm_json_set_i64(&w, "i", i);
        sm_json_end_object(&w);
        sm_json_end_line(&w);
    }
    sm_json_put_text(&w, SM_STR("x"));
    sm_json_end_line(&w);
    assert_text(&b, "head\n{\"i\":0}\n{\"i\":1}\n\"x\"\n");
}

static void test_members(void **state)
{
    sm_buf members = {0}, b = {0};
    sm_json_writer inner = {.out = &members}, w = {.out = &b};

    sm_json_set_i64(&inner, "a", 1);
    sm_json_set_object(&inner, "b");
    sm_json_end_object(&inner);

    sm_json_begin_object(&w);
    sm_json_put_members(&w, SM_STR(""));
    sm_json_put_members(&w, sm_buf_str(&members));
    sm_json_set_i64(&w, "c", 3);
    sm_json_put_members(&w, SM_STR("\"d\":4"));
    sm_json_end_object(&w);
    assert_text(&members, "\"a\":1,\"b\":{}");
    assert_text(&b, "{\"a\":1,\"b\":{},\"c\":3,\"d\":4}");
}

static void test_missing(void **state)
{
    sm_buf b = {0};
    sm_json_writer w = {.out = &b};

    sm_json_begin_object(&w);
    sm_json_set_text_or_null(&w, "text", SM_STR("a"));
    sm_json_set_text_or_null(&w, "no text", SM_STR(""));
    sm_json_set_i64_or_null(&w, "zero", 0);
    sm_json_set_i64_or_null(&w, "no number", -1);
    sm_json_end_object(&w);
    assert_text(&b, "{\"text\":\"a\",\"no text\":null,\"zero\":0,\"no number\":null}");
}

static void test_error(void **state)
{
    sm_error e = {0};
    sm_buf b = {0};
    sm_json_writer w = {.out = &b};

    sm_json_begin_object(&w);
    assert_int_equal(sm_fail(&e, SM_SYNTAX, "no \"value\""), SM_SYNTAX);
    sm_json_set_error(&w, &e);
    sm_json_end_object(&w);
    assert_text(&b,
                "{\"error\":{\"status\":\"SYNTAX\",\"code\":20,\"message\":\"no \\\"value\\\"\","
                "\"place\":null,\"todo\":null,\"within\":[]}}");

    w = (sm_json_writer){.out = &b};
    sm_json_begin_object(&w);
    sm_error_place(&e, "s3://lake/a.json", 3, 7);
    sm_error_todo(&e, "Give it one.");
    for (int i = 0; i < 5; i++) { /* the fifth is dropped */
        assert_int_equal(sm_within(&e, SM_SYNTAX, "frame %d", i), SM_SYNTAX);
    }
    sm_json_set_error(&w, &e);
    sm_json_end_object(&w);
    assert_text(&b,
                "{\"error\":{\"status\":\"SYNTAX\",\"code\":20,\"message\":\"no \\\"value\\\"\","
                "\"place\":\"s3://lake/a.json:3:7\",\"todo\":\"Give it one.\","
                "\"within\":[\"frame 0\",\"frame 1\",\"frame 2\",\"frame 3\"]}}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),  cmocka_unit_test(test_nesting),
        cmocka_unit_test(test_depth),   cmocka_unit_test(test_lines),
        cmocka_unit_test(test_members), cmocka_unit_test(test_missing),
        cmocka_unit_test(test_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
