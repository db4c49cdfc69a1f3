/* SPDX-License-Identifier: Apache-2.0
 *
 * base/json_scan_test.c: tokens and where they end, what is wrong and where, exact integers. */
#include "test.h"

#include "base/json_scan.h"
#include "base/memory.h"

/* A text as scans want it. */
typedef struct text {
    uint8_t bytes[512 + SM_PAD_BYTES];
    sm_json_scan scan;
} text;

static void init_text(text *t, const char *s)
{
    const size_t n = strlen(s);
    assert_true(n < 512);
    memset(t->bytes, 0, sizeof(t->bytes));
    memcpy(t->bytes, s, n);
    t->bytes[n] = '\n';
    t->scan = sm_json_scan_of(t->bytes, n);
}

static void test_tokens(void **state)
{
    static const struct {
        const char *text;
        sm_json_kind kind;
        const char *span;
        bool is_odd;
        int after; /* what was read of the text */
    } rows[] = {
        {"null,", SM_JSON_IS_NULL, "null", false, 4},
        {"true", SM_JSON_IS_TRUE, "true", false, 4},
        {"false]", SM_JSON_IS_FALSE, "false", false, 5},
        {"-12}", SM_JSON_IS_NUMBER, "-12", false, 3},
        {"0", SM_JSON_IS_NUMBER, "0", false, 1},
        {"1.5e-3 ", SM_JSON_IS_NUMBER, "1.5e-3", true, 6},
        {"\"\"", SM_JSON_IS_STRING, "", false, 2},
        {"\"abc\":", SM_JSON_IS_STRING, "abc", false, 5},
        {"\"a\\\"b\\u00e9\"", SM_JSON_IS_STRING, "a\\\"b\\u00e9", true, 12},
        {"[1, {\"a\": [] }] ", SM_JSON_IS_ARRAY, "[1, {\"a\": [] }]", false, 15},
        {"{}{}", SM_JSON_IS_OBJECT, "{}", false, 2},
    };
    for (int i = 0; i < SM_COUNT(rows); i++) {
        text t;
        sm_json_token token = {0};
        init_text(&t, rows[i].text);
        const uint8_t *p = sm_json_scan_value(&t.scan, t.bytes, &token);
        assert_non_null(p);
        assert_int_equal(p - t.bytes, rows[i].after);
        assert_int_equal(token.kind, rows[i].kind);
        assert_int_equal(token.is_odd, rows[i].is_odd);
        assert_int_equal(token.len, strlen(rows[i].span));
        assert_memory_equal(token.at, rows[i].span, token.len);
        assert_int_equal(t.scan.depth, 0);
    }
}

static void test_faults(void **state)
{
    static const struct {
        const char *text;
        sm_json_fault fault;
        int at;
        const char *message;
    } rows[] = {
        {"", SM_JSON_FAULT_SYNTAX, 0, "expected a value, found the end"},
        {"nul", SM_JSON_FAULT_SYNTAX, 3, "expected null, found the end"},
        {"-x", SM_JSON_FAULT_SYNTAX, 1, "expected a digit, found 'x'"},
        {"[1 2]", SM_JSON_FAULT_SYNTAX, 3, "expected ',' or ']', found '2'"},
        {"{\"a\" 1}", SM_JSON_FAULT_SYNTAX, 5, "expected ':', found '1'"},
        {"[1,]", SM_JSON_FAULT_SYNTAX, 3, "expected a value, found ']'"},
        {"\"\\ud800x\"", SM_JSON_FAULT_SURROGATE, 1,
         "the escape '\\ud800' is half of a surrogate pair"},
        {"\"\\q\"", SM_JSON_FAULT_SYNTAX, 2,
         "expected one of \"\\/bfnrtu after a backslash, found 'q'"},
    };
    for (int i = 0; i < SM_COUNT(rows); i++) {
        text t;
        sm_json_token token = {0};
        char message[160];
        init_text(&t, rows[i].text);
        assert_null(sm_json_scan_value(&t.scan, t.bytes, &token));
        assert_int_equal(t.scan.fault, rows[i].fault);
        assert_int_equal(t.scan.bad - t.bytes, rows[i].at);
        sm_json_scan_message(&t.scan, message, sizeof(message));
        assert_string_equal(message, rows[i].message);
        assert_int_equal(sm_json_fault_status(t.scan.fault), SM_SYNTAX);
    }
    assert_int_equal(sm_json_fault_status(SM_JSON_NO_FAULT), SM_OK);
}

static void test_depth(void **state)
{
    text t;
    char deep[2 * (SM_JSON_MAX_DEPTH + 1) + 1] = "";
    sm_json_token token = {0};

    memset(deep, '[', SM_JSON_MAX_DEPTH);
    memset(deep + SM_JSON_MAX_DEPTH, ']', SM_JSON_MAX_DEPTH);
    init_text(&t, deep);
    assert_non_null(sm_json_scan_value(&t.scan, t.bytes, &token));
    assert_int_equal(token.len, 2 * SM_JSON_MAX_DEPTH);

    memset(deep, '[', SM_JSON_MAX_DEPTH + 1);
    init_text(&t, deep);
    assert_null(sm_json_scan_value(&t.scan, t.bytes, &token));
    assert_int_equal(t.scan.fault, SM_JSON_FAULT_DEPTH);
    assert_int_equal(t.scan.bad - t.bytes, SM_JSON_MAX_DEPTH);
    assert_int_equal(sm_json_fault_status(t.scan.fault), SM_LIMIT);
}

static void test_unescape(void **state)
{
    static const char span[] = "a\\n\\u00e9\\/\\ud83d\\ude00z";
    static const char want[] = "a\n\xC3\xA9/\xF0\x9F\x98\x80z";
    uint8_t out[sizeof(span)];

    assert_int_equal(sm_json_unescape((const uint8_t *)span, sizeof(span) - 1, out),
                     sizeof(want) - 1);
    assert_memory_equal(out, want, sizeof(want) - 1);
}

static void test_excerpt(void **state)
{
    char out[8];

    assert_string_equal(sm_json_excerpt((const uint8_t *)"[1,\n2]", 6, out, 8).data, "[1, 2]");
    assert_string_equal(sm_json_excerpt((const uint8_t *)"abcdefgh", 8, out, 8).data, "abcd...");
    assert_string_equal(sm_json_excerpt((const uint8_t *)"abc\xC3\xA9"
                                                         "fgh",
                                        8, out, 8)
                            .data,
                        "abc..."); /* not half of a character */
}

static void test_exact(void **state)
{
    static const struct {
        const char *token;
        int scale;
        bool fits, is_integer;
        int64_t want;
    } rows[] = {
        {"0", 0, true, true, 0},
        {"-0.000e500", 0, true, true, 0},
        {"9007199254740993.0e0", 0, true, true, 9007199254740993},
        {"-1.50e1", 0, true, true, -15},
        {"1e3", 0, true, true, 1000},
        {"1e-1", 0, false, false, 0},
        {"2.50", 0, false, false, 0},
        {"2.50", 1, true, true, 25},
        {"-2.505", 3, true, true, -2505},
        {"1e38", 0, false, true, 0},
        {"1e999999999999999999999", 0, false, true, 0},
    };
    for (int i = 0; i < SM_COUNT(rows); i++) {
        __int128 v = 0;
        bool is_integer = false;
        const bool fits = sm_json_exact((const uint8_t *)rows[i].token, strlen(rows[i].token),
                                        rows[i].scale, &v, &is_integer);
        assert_int_equal(fits, rows[i].fits);
        assert_int_equal(is_integer, rows[i].is_integer);
        assert_true(v == rows[i].want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tokens),  cmocka_unit_test(test_faults),
        cmocka_unit_test(test_depth),   cmocka_unit_test(test_unescape),
        cmocka_unit_test(test_excerpt), cmocka_unit_test(test_exact),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
