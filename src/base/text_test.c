/* SPDX-License-Identifier: Apache-2.0
 *
 * base/text_test.c: places of broken UTF-8, numbers there and back, sizes, patterns. */
#include "test.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/text.h"

/* ---- UTF-8 ----------------------------------------------------------------------------------- */

static void test_utf8_check(void **state)
{
    static const struct {
        const char *text;
        size_t first_bad; /* SIZE_MAX: none */
    } rows[] = {
        {"", SIZE_MAX},
        {"abcdefgh", SIZE_MAX},
        {"abcdefghijklmnopq", SIZE_MAX},
        {"a\xC3\xA9z", SIZE_MAX},
        {"\xE2\x82\xAC", SIZE_MAX},
        {"\xF0\x9F\x98\x80", SIZE_MAX},
        {"\xF4\x8F\xBF\xBF", SIZE_MAX},
        {"\xED\x9F\xBF\xEE\x80\x80", SIZE_MAX},
        {"\x80", 0},
        {"a\xBFz", 1},
        {"\xC0\x80", 0},
        {"\xC1\xBF", 0},
        {"ab\xC3", 2},
        {"ab\xC3z", 2},
        {"\xE0\x9F\xBF", 0},
        {"\xED\xA0\x80", 0},
        {"\xE2\x82", 0},
        {"\xE2\x82z", 0},
        {"\xF0\x8F\xBF\xBF", 0},
        {"\xF4\x90\x80\x80", 0},
        {"\xF5\x80\x80\x80", 0},
        {"\xFF", 0},
        {"12345678\xFE", 8},
        {"1234567\xC3\xA9\xC3", 9},
        {"12345678 2345678 234567\xF0\x9F\x98", 23},
    };
    for (int i = 0; i < SM_COUNT(rows); i++) {
        const size_t n = strlen(rows[i].text);
        const size_t want = rows[i].first_bad == SIZE_MAX ? n : rows[i].first_bad;
        assert_int_equal(sm_utf8_check(rows[i].text, n), want);
    }
    assert_int_equal(sm_utf8_check("a\0b", 3), 3);
}

static void test_utf_other(void **state)
{
    static const struct {
        const char *text;
        size_t n;
        const char *want;
    } rows[] = {
        {"", 0, NULL},
        {"\xff", 1, NULL},
        {"\xff\xfe", 2, "UTF-16"},
        {"\xfe\xff\0", 3, "UTF-16"},
        {"\xff\xfe{\0", 4, "UTF-16"},
        {"\xff\xfe\0\0", 4, "UTF-32"},
        {"\0\0\xfe\xff", 4, "UTF-32"},
        {"{\0\"\0", 4, "UTF-16LE"},
        {"\0{\0\"", 4, "UTF-16BE"},
        {"{\0\0\0", 4, "UTF-32LE"},
        {"\0\0\0{", 4, "UTF-32BE"},
        {"{\0\"", 3, NULL},
        {"\xef\xbb\xbf{", 4, NULL},
        {"{\"a\"", 4, NULL},
        {"\0\0\0\0", 4, NULL},
        {"{\0\0\"", 4, NULL},
        {"{\0\xe4\0", 4, NULL},
    };
    for (int i = 0; i < SM_COUNT(rows); i++) {
        const char *got = sm_utf_other(rows[i].text, rows[i].n);
        assert_string_equal(got ? got : "none", rows[i].want ? rows[i].want : "none");
    }
}

static void test_utf8_all_code_points(void **state)
{
    for (uint32_t c = 0; c <= 0x10FFFF; c++) {
        char text[4];
        const int n = sm_utf8_put(c, text);
        const bool is_surrogate = c >= 0xD800 && c <= 0xDFFF;
        assert_int_equal(n, c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4);
        assert_int_equal(sm_utf8_check(text, (size_t)n), is_surrogate ? 0 : n);
        size_t at = 0;
        assert_int_equal(sm_utf8_next((sm_str){text, (size_t)n}, &at), c);
        assert_int_equal(at, n);
    }
    assert_int_equal(sm_utf8_count(SM_STR("a\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80z")), 5);
    assert_int_equal(sm_utf8_count(SM_STR("")), 0);
}

/* ---- numbers --------------------------------------------------------------------------------- */

static void test_parse_i64(void **state)
{
    static const struct {
        const char *text;
        bool ok;
        int64_t want;
    } rows[] = {
        {"0", true, 0},
        {"-0", true, 0},
        {"007", true, 7},
        {"-42", true, -42},
        {"9223372036854775807", true, INT64_MAX},
        {"-9223372036854775808", true, INT64_MIN},
        {"9223372036854775808", false, 0},
        {"-9223372036854775809", false, 0},
        {"99999999999999999999", false, 0},
        {"", false, 0},
        {"-", false, 0},
        {"+1", false, 0},
        {" 1", false, 0},
        {"1 ", false, 0},
        {"1.0", false, 0},
        {"1e3", false, 0},
        {"--1", false, 0},
    };
    for (int i = 0; i < SM_COUNT(rows); i++) {
        int64_t got = 12345;
        assert_int_equal(sm_parse_i64(sm_str_of(rows[i].text), &got), rows[i].ok);
        assert_int_equal(got, rows[i].ok ? rows[i].want : 12345);
    }
}

static void test_parse_f64(void **state)
{
    static const struct {
        const char *text;
        bool ok;
        double want;
    } rows[] = {
        {"0", true, 0},
        {"1", true, 1},
        {"+1", true, 1},
        {"-1.5", true, -1.5},
        {".5", true, 0.5},
        {"5.", true, 5},
        {"0.1", true, 0.1},
        {"00012.50", true, 12.5},
        {"0.000123", true, 0.000123},
        {"1e3", true, 1000},
        {"1E+3", true, 1000},
        {"1e-3", true, 0.001},
        {"0e999999999999999999999", true, 0},
        {"0.000e5", true, 0},
        {"1e308", true, 1e308},
        {"1.7976931348623157e308", true, DBL_MAX},
        {"4.9e-324", true, 4.9e-324},
        {"2e-324", true, 0},
        {"1e-999999999999999999999999", true, 0},
        {"9007199254740993", true, 9007199254740992.0},
        {"9007199254740993.00000000000000000000000000001", true, 9007199254740994.0},
        {"123456789012345678901234567890", true, 123456789012345678901234567890.0},
        {"2.2250738585072011e-308", true, 2.2250738585072011e-308},
        {"1e309", false, 0},
        {"-1e999", false, 0},
        {"1e99999999999999999999", false, 0},
        {"", false, 0},
        {"-", false, 0},
        {".", false, 0},
        {"+.e1", false, 0},
        {"1e", false, 0},
        {"1e+", false, 0},
        {"1.2.3", false, 0},
        {"1 ", false, 0},
        {" 1", false, 0},
        {"0x10", false, 0},
        {"1,5", false, 0},
        {"1_000", false, 0},
        {"nan", false, 0},
        {"inf", false, 0},
    };
    for (int i = 0; i < SM_COUNT(rows); i++) {
        double got = 77;
        const bool ok = sm_parse_f64(sm_str_of(rows[i].text), false, &got);
        if (ok != rows[i].ok || got != (ok ? rows[i].want : 77)) {
            fail_msg("\"%s\": ok %d, %.17g", rows[i].text, ok, got);
        }
    }
    double v = 0;
    assert_true(sm_parse_f64(SM_STR("-0"), false, &v) && v == 0 && signbit(v));
    assert_true(sm_parse_f64(SM_STR("inf"), true, &v) && isinf(v) && v > 0);
    assert_true(sm_parse_f64(SM_STR("-Infinity"), true, &v) && isinf(v) && v < 0);
    assert_true(sm_parse_f64(SM_STR("NaN"), true, &v) && isnan(v));
    assert_false(sm_parse_f64(SM_STR("infi"), true, &v));
    assert_false(sm_parse_f64(SM_STR("nan0"), true, &v));
    assert_false(sm_parse_f64(SM_STR(""), true, &v));
    const char not_ended[] = {'1', '.', '5', '9'};
    assert_true(sm_parse_f64((sm_str){not_ended, 3}, false, &v) && v == 1.5);
}

/* Rounded once: a double in between would give another float for the first ones. */
static void test_parse_f32(void **state)
{
    static const struct {
        const char *text;
        bool ok;
        float want;
    } rows[] = {
        {"16777217.0000000001", true, 16777218.0F},
        {"-16777217.0000000001", true, -16777218.0F},
        {"16777217", true, 16777216.0F},
        {"9007199791611905", true, 9007200328482816.0F},
        {"7.038531e-26", true, 7.038531e-26F},
        {"1.17549429e-38", true, 1.17549429e-38F},
        {"1e-45", true, 1e-45F},
        {"7.1e-46", true, 1e-45F},
        {"7e-46", true, 0},
        {"0.1", true, 0.1F},
        {"0", true, 0},
        {"3.4028235e38", true, FLT_MAX},
        {"3.4028236e38", false, 0},
        {"1e39", false, 0},
        {"-1e400", false, 0},
        {"1e", false, 0},
        {"inf", false, 0},
    };
    for (int i = 0; i < SM_COUNT(rows); i++) {
        float got = 77;
        const bool ok = sm_parse_f32(sm_str_of(rows[i].text), false, &got);
        if (ok != rows[i].ok || got != (ok ? rows[i].want : 77)) {
            fail_msg("\"%s\": ok %d, %.9g", rows[i].text, ok, (double)got);
        }
    }
    float v = 0;
    assert_true(sm_parse_f32(SM_STR("-inf"), true, &v) && isinf(v) && v < 0);
    assert_true(sm_parse_f32(SM_STR("nan"), true, &v) && isnan(v));
}

/* A digit far behind decides only between "exactly half" and "more". */
static void test_parse_f64_long(void **state)
{
    static char text[5000];
    double v = 0;
    strcpy(text, "9007199254740993.");
    memset(text + 17, '0', 4000);
    assert_true(sm_parse_f64((sm_str){text, 4017}, false, &v) && v == 9007199254740992.0);
    text[4016] = '1';
    assert_true(sm_parse_f64((sm_str){text, 4017}, false, &v) && v == 9007199254740994.0);

    memset(text, '0', 4000);
    text[1] = '.';
    memcpy(text + 4000, "25e3999", 8);
    assert_true(sm_parse_f64(sm_str_of(text), false, &v) && v == 2.5);
    memset(text, '3', 4000);
    memcpy(text + 4000, "e-3999", 7);
    assert_true(sm_parse_f64(sm_str_of(text), false, &v) && v == 10.0 / 3);
}

static void test_format_f64(void **state)
{
    static const struct {
        double v;
        const char *want;
    } rows[] = {
        {0, "0.0"},
        {-0.0, "-0.0"},
        {5, "5.0"},
        {-5, "-5.0"},
        {0.1, "0.1"},
        {0.1 + 0.2, "0.30000000000000004"},
        {1.0 / 3, "0.3333333333333333"},
        {123456.789, "123456.789"},
        {100, "100.0"},
        {0.5, "0.5"},
        {0.0001, "0.0001"},
        {0.00012345, "0.00012345"},
        {0.00001, "1e-05"},
        {0.000012345, "1.2345e-05"},
        {1e15, "1000000000000000.0"},
        {1e16, "1e+16"},
        {1.5e16, "1.5e+16"},
        {1234567890123456.0, "1234567890123456.0"},
        {1234567890123456.8, "1234567890123456.8"},
        {9007199254740993.0, "9007199254740992.0"},
        {1e22, "1e+22"},
        {1e300, "1e+300"},
        {DBL_MAX, "1.7976931348623157e+308"},
        {DBL_MIN, "2.2250738585072014e-308"},
        {4.9e-324, "5e-324"},
        {1e-320, "1e-320"},
        {0x1p-44, "5.684341886080802e-14"},
        {0x1p81, "2.4178516392292583e+24"},
        {0x1p807, "8.535058474086213e+242"},
        {0x1p-1022, "2.2250738585072014e-308"},
        {9.5367431640625e-07, "9.5367431640625e-07"},
        {NAN, "nan"},
        {INFINITY, "inf"},
        {-INFINITY, "-inf"},
    };
    for (int i = 0; i < SM_COUNT(rows); i++) {
        char text[SM_F64_TEXT_BYTES];
        const size_t len = sm_format_f64(rows[i].v, text);
        assert_string_equal(text, rows[i].want);
        assert_int_equal(len, strlen(text));
    }
    static const struct {
        float v;
        const char *want;
    } floats[] = {
        {0.1f, "0.1"},
        {16777216.0f, "16777216.0"},
        {1e10f, "10000000000.0"},
        {3.4028235e38f, "3.4028235e+38"},
        {1e-45f, "1e-45"},
        {0.3f, "0.3"},
        {1.0f / 3, "0.33333334"},
        {-2.5f, "-2.5"},
        {NAN, "nan"},
    };
    for (int i = 0; i < SM_COUNT(floats); i++) {
        char text[SM_F64_TEXT_BYTES];
        const size_t len = sm_format_f32(floats[i].v, text);
        assert_string_equal(text, floats[i].want);
        assert_int_equal(len, strlen(text));
    }
}

/* Every bit pattern reads back, and no text of fewer digits would. */
static void test_format_f64_round_trip(void **state)
{
    for (uint64_t i = 0; i < 40000; i++) {
        const uint64_t bits = i < 2047 ? i << 52 : sm_mix64(i); /* all powers of two, then any */
        double v = 0, back = 0;
        memcpy(&v, &bits, 8);
        if (isnan(v) || isinf(v)) {
            continue;
        }
        char text[SM_F64_TEXT_BYTES], fewer[64];
        const size_t len = sm_format_f64(v, text);
        assert_true(len < SM_F64_TEXT_BYTES);
        assert_true(sm_parse_f64((sm_str){text, len}, false, &back));
        assert_true(back == v);
        assert_true(strtod(text, NULL) == v);
        int digits = 0;
        bool is_leading = true;
        for (const char *c = text; *c && *c != 'e'; c++) {
            is_leading &= !(*c >= '1' && *c <= '9');
            digits += !is_leading && *c >= '0' && *c <= '9';
        }
        if (v != 0 && digits > 1 && strchr(text, 'e')) {
            snprintf(fewer, sizeof(fewer), "%.*e", digits - 2, v);
            assert_true(strtod(fewer, NULL) != v);
        }
        float f = (float)v;
        sm_format_f32(f, text);
        assert_true(isinf(f) || strtof(text, NULL) == f);
    }
}

/* ---- sizes ----------------------------------------------------------------------------------- */

static void test_parse_size(void **state)
{
    static const struct {
        const char *text;
        bool ok;
        size_t want;
    } rows[] = {
        {"1000", true, 1000},
        {"0", true, 0},
        {"7B", true, 7},
        {"512MB", true, 512000000},
        {"512 mb", true, 512000000},
        {"64KiB", true, 65536},
        {"1.5 GiB", true, (size_t)3 << 29},
        {"0.5KB", true, 500},
        {"0.0001KB", true, 0},
        {"2TB", true, 2000000000000},
        {"1PiB", true, (size_t)1 << 50},
        {"18446744073709551615", true, SIZE_MAX},
        {"18446744073709551616", false, 0},
        {"99999999TB", false, 0},
        {"16384PiB", false, 0},
        {"", false, 0},
        {"MB", false, 0},
        {"-1MB", false, 0},
        {"1.", false, 0},
        {"1.MB", false, 0},
        {".5MB", false, 0},
        {"1  MB", false, 0},
        {"1 ", false, 0},
        {"1M", false, 0},
        {"1MBs", false, 0},
        {"1e3", false, 0},
    };
    for (int i = 0; i < SM_COUNT(rows); i++) {
        size_t got = 55;
        const bool ok = sm_parse_size(sm_str_of(rows[i].text), &got);
        if (ok != rows[i].ok || got != (ok ? rows[i].want : 55)) {
            fail_msg("\"%s\": ok %d, %zu", rows[i].text, ok, got);
        }
    }
}

static void test_parse_duration(void **state)
{
    static const struct {
        const char *text;
        int64_t seconds; /* −1: none */
    } rows[] = {
        {"30s", 30},
        {"0 sec", 0},
        {"1 second", 1},
        {"5m", 300},
        {"5 min", 300},
        {"90 minutes", 5400},
        {"12 hours", 43200},
        {"1h", 3600},
        {"7d", 604800},
        {"30 days", 2592000},
        {"1 day", 86400},
        {"2w", 1209600},
        {"1 weeks", 604800},
        {"1000000s", 1000000},
        {"1000001s", -1},
        {"", -1},
        {"7", -1},
        {"d", -1},
        {"-1d", -1},
        {"1.5d", -1},
        {"1y", -1},
        {"1 month", -1},
        {"3  days", -1},
        {" 3 days", -1},
        {"3 daysx", -1},
        {"3 das", -1},
        {"3 days ", -1},
        {"3 ds", -1},
        {"99999999999999999999s", -1},
    };

    for (int i = 0; i < SM_COUNT(rows); i++) {
        int64_t us = -1;
        const bool ok = sm_parse_duration(sm_str_of(rows[i].text), &us);
        if (ok != (rows[i].seconds >= 0) || (ok && us != rows[i].seconds * 1000000)) {
            fail_msg("\"%s\"", rows[i].text);
        }
    }
}

static void test_format_size(void **state)
{
    static const struct {
        int64_t bytes;
        const char *want;
    } rows[] = {
        {0, "0 B"},
        {999, "999 B"},
        {1000, "1.00 KB"},
        {1044, "1.04 KB"},
        {1045, "1.05 KB"},
        {9994, "9.99 KB"},
        {9996, "10.0 KB"},
        {99949, "99.9 KB"},
        {99950, "100 KB"},
        {817000, "817 KB"},
        {999499, "999 KB"},
        {999500, "1.00 MB"},
        {10400000000, "10.4 GB"},
        {-817000, "-817 KB"},
        {INT64_MAX, "9.22 EB"},
        {INT64_MIN, "-9.22 EB"},
    };
    for (int i = 0; i < SM_COUNT(rows); i++) {
        char text[SM_SIZE_TEXT_BYTES];
        const size_t len = sm_format_size(rows[i].bytes, text);
        assert_string_equal(text, rows[i].want);
        assert_int_equal(len, strlen(text));
    }
    static const struct {
        int64_t n;
        const char *want;
    } counts[] = {
        {0, "0"},
        {999, "999"},
        {1000, "1,000"},
        {12345678, "12,345,678"},
        {-1000, "-1,000"},
        {-999, "-999"},
        {INT64_MIN, "-9,223,372,036,854,775,808"},
    };
    for (int i = 0; i < SM_COUNT(counts); i++) {
        char text[SM_SIZE_TEXT_BYTES];
        const size_t len = sm_format_count(counts[i].n, text);
        assert_string_equal(text, counts[i].want);
        assert_int_equal(len, strlen(text));
    }

    static const struct {
        int64_t n;
        const char *one, *want;
    } counted[] = {
        {0, "row", "0 rows"},
        {1, "row", "1 row"},
        {-1, "row", "-1 rows"},
        {12345, "kept line", "12,345 kept lines"},
        {INT64_MAX, "thing of thirty bytes, no more", /* the longest text */
         "9,223,372,036,854,775,807 thing of thirty bytes, no mores"},
    };
    for (int i = 0; i < SM_COUNT(counted); i++) {
        char text[SM_COUNTED_TEXT_BYTES];
        const size_t len = sm_format_counted(counted[i].n, counted[i].one, text);
        assert_string_equal(text, counted[i].want);
        assert_int_equal(len, strlen(text));
    }
}

static void test_env(void **state)
{
    setenv("SMELT_TEXT_TEST", "x", 1);
    assert_string_equal(sm_env("SMELT_TEXT_TEST"), "x");
    setenv("SMELT_TEXT_TEST", "", 1);
    assert_null(sm_env("SMELT_TEXT_TEST"));
    unsetenv("SMELT_TEXT_TEST");
    assert_null(sm_env("SMELT_TEXT_TEST"));
}

/* ---- patterns -------------------------------------------------------------------------------- */

static void test_glob(void **state)
{
    static const struct {
        const char *pattern, *text;
        bool want;
    } rows[] = {
        {"", "", true},
        {"", "a", false},
        {"a", "a", true},
        {"a", "ab", false},
        {"*", "", true},
        {"*", "abc", true},
        {"*", "a/c", false},
        {"*.json", "x.json", true},
        {"*.json", "x.jsonl", false},
        {"a*b*c", "aXXbYYc", true},
        {"a*b*c", "aXXbYY", false},
        {"logs/*.json", "logs/1.json", true},
        {"logs/*.json", "logs/d/1.json", false},
        {"logs/*/x", "logs/d/x", true},
        {"logs/*/x", "logs//x", true},
        {"?", "a", true},
        {"?", "\xE2\x82\xAC", true},
        {"?", "/", false},
        {"?", "", false},
        {"a?c", "abc", true},
        {"[a-c]x", "bx", true},
        {"[a-c]x", "dx", false},
        {"[!a-c]x", "dx", true},
        {"[^a-c]x", "bx", false},
        {"[!a]", "/", false},
        {"a[/]b", "a/b", false},
        {"[]]", "]", true},
        {"[!]]", "a", true},
        {"[a-]", "-", true},
        {"[-a]", "-", true},
        {"[\xC3\xA0-\xC3\xBC]", "\xC3\xA9", true},
        {"[ab", "[ab", true},
        {"[", "[", true},
        {"\\*", "*", true},
        {"\\*", "a", false},
        {"\\", "\\", true},
        {"[\\]]", "]", true},
        {"**", "a/b/c", true},
        {"**", "", true},
        {"**/x", "x", true},
        {"**/x", "a/x", true},
        {"**/x", "a/b/x", true},
        {"**/x", "ax", false},
        {"**/x", "a/bx", false},
        {"a/**/b", "a/b", true},
        {"a/**/b", "a/x/b", true},
        {"a/**/b", "a/x/y/b", true},
        {"a/**/b", "a/xb", false},
        {"a/**/b", "ab", false},
        {"a/**", "a/", true},
        {"a/**", "a/b/c", true},
        {"a/**", "a", false},
        {"a**c", "a/b/c", true},
        {"**/*.json", "2022/04/01.json", true},
        {"**/*.json", "01.json", true},
        {"**/*.json", "2022/04/01.csv", false},
        {"***/x", "a/b/x", true},
        {"**/**/x", "x", true},
        {"**/a/**/b", "q/a/r/b", true},
        {"**/a/**/b", "q/r/b", false},
        {"\xFF*",
         "\xFF"
         "a",
         true},
        {"\xFE", "\xFF", false},
        {"Day=*/part-?.parquet", "Day=3/part-7.parquet", true},
    };
    for (int i = 0; i < SM_COUNT(rows); i++) {
        if (sm_glob_match(sm_str_of(rows[i].pattern), sm_str_of(rows[i].text)) != rows[i].want) {
            fail_msg("pattern \"%s\", text \"%s\"", rows[i].pattern, rows[i].text);
        }
    }
}

/* A matcher that backtracks would need 2^100 steps. */
static void test_glob_no_blow_up(void **state)
{
    static char pattern[400], text[3000];
    for (int i = 0; i < 200; i++) {
        memcpy(pattern + 2 * i, "*a", 2);
    }
    memset(text, 'a', sizeof(text));
    assert_true(sm_glob_match((sm_str){pattern, 400}, (sm_str){text, 3000}));
    text[2999] = 'b';
    assert_false(sm_glob_match((sm_str){pattern, 400}, (sm_str){text, 3000}));
    for (int i = 0; i < 100; i++) {
        memcpy(pattern + 4 * i, "**/a", 4);
    }
    assert_false(sm_glob_match((sm_str){pattern, 400}, (sm_str){text, 3000}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_utf8_check),
        cmocka_unit_test(test_utf_other),
        cmocka_unit_test(test_utf8_all_code_points),
        cmocka_unit_test(test_parse_i64),
        cmocka_unit_test(test_parse_f64),
        cmocka_unit_test(test_parse_f32),
        cmocka_unit_test(test_parse_f64_long),
        cmocka_unit_test(test_format_f64),
        cmocka_unit_test(test_format_f64_round_trip),
        cmocka_unit_test(test_parse_size),
        cmocka_unit_test(test_parse_duration),
        cmocka_unit_test(test_format_size),
        cmocka_unit_test(test_env),
        cmocka_unit_test(test_glob),
        cmocka_unit_test(test_glob_no_blow_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
