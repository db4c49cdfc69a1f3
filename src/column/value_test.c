/* SPDX-License-Identifier: Apache-2.0
 *
 * column/value_test.c: text to value and back, and the order of values. The wanted texts are what
 * DuckDB 2.0 answers to CAST(CAST(text AS type) AS VARCHAR). */
#include "test.h"

#include <math.h>

#include "column/value.h"

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

static const sm_type *type_of(const char *sql)
{
    sm_error e = {0};
    const sm_type *t = NULL;
    assert_ok(sm_type_parse(sm_str_of(sql), arena, &t, &e), &e);
    return t;
}

typedef struct round_trip {
    const char *type, *text, *want; /* NULL: refused with `status` */
    sm_status status;
} round_trip;

static void assert_round_trips(const round_trip *cases, int n)
{
    for (int i = 0; i < n; i++) {
        sm_error e = {0};
        sm_value v = {0};
        sm_buf text = {0};
        const sm_status st =
            sm_value_parse(type_of(cases[i].type), sm_str_of(cases[i].text), &v, &e);
        if (!cases[i].want) {
            if (st != cases[i].status || !strstr(e.what, cases[i].text)) {
                fail_msg("%s '%s': got %s (%s)", cases[i].type, cases[i].text, sm_status_name(st),
                         e.what);
            }
            continue;
        }
        if (st == SM_OK) {
            sm_value_print(v, &text);
        }
        if (st != SM_OK || !sm_str_is(sm_buf_str(&text), cases[i].want)) {
            fail_msg("%s '%s': got %s '%.*s' (%s)", cases[i].type, cases[i].text,
                     sm_status_name(st), (int)text.len, (const char *)text.data, e.what);
        }
        sm_buf_release(&text);
    }
}

static void test_integers(void **state)
{
    static const round_trip cases[] = {
        {"int", "1", "1"},
        {"int", " 12 ", "12"},
        {"int", "\t1\n", "1"},
        {"int", "+5", "5"},
        {"int", "-0", "0"},
        {"int", "1e3", "1000"},
        {"int", "1E+2", "100"},
        {"int", "1.e2", "100"},
        {"int", "1.5e1", "15"},
        {"int", "1.5", "2"},
        {"int", "2.5", "3"},
        {"int", "-1.5", "-2"},
        {"int", "1.4", "1"},
        {"int", "99e-2", "1"},
        {"int", "1e-400", "0"},
        {"int", ".5", "1"},
        {"int", "5.", "5"},
        {"int", "0x10", "16"},
        {"int", "0b101", "5"},
        {"int", "1_000", "1000"},
        {"tinyint", "-128", "-128"},
        {"tinyint", "127.4", "127"},
        {"tinyint", "128", NULL, SM_RANGE},
        {"smallint", "-32769", NULL, SM_RANGE},
        {"int", "3000000000", NULL, SM_RANGE},
        {"int", "1e10", NULL, SM_RANGE},
        {"int", "1e400", NULL, SM_RANGE},
        {"int", "1e99999999999999999999", NULL, SM_RANGE},
        {"int", "0e99999999999999999999", "0"},
        {"int", "", NULL, SM_TYPE},
        {"int", " ", NULL, SM_TYPE},
        {"int", "-", NULL, SM_TYPE},
        {"int", "1e", NULL, SM_TYPE},
        {"int", "1e+", NULL, SM_TYPE},
        {"int", ".", NULL, SM_TYPE},
        {"int", "--1", NULL, SM_TYPE},
        {"int", "1 2", NULL, SM_TYPE},
        {"int", "abc", NULL, SM_TYPE},
        {"int", "1__0", NULL, SM_TYPE},
        {"int", "_1", NULL, SM_TYPE},
        {"int", "1_", NULL, SM_TYPE},
        {"int", "0x", NULL, SM_TYPE},
        {"int", "0xg", NULL, SM_TYPE},
        {"int", "0xfffffffffffffffffffffffffffffffffff", NULL, SM_RANGE},
        {"int", "true", NULL, SM_TYPE},
        {"bigint", "9223372036854775807", "9223372036854775807"},
        {"bigint", "9223372036854775807.4", "9223372036854775807"},
        {"bigint", "9223372036854775807.5", NULL, SM_RANGE},
        {"bigint", "-9223372036854775808", "-9223372036854775808"},
        {"bigint", "-9223372036854775809", NULL, SM_RANGE},
        {"bigint", "9.3e18", NULL, SM_RANGE},
        {"bigint", "1.8446744073709551615e5", "184467"},
        {"ubigint", "18446744073709551615", "18446744073709551615"},
        {"ubigint", "18446744073709551616", NULL, SM_RANGE},
        {"utinyint", "255", "255"},
        {"utinyint", "-0", "0"},
        {"utinyint", "-1", NULL, SM_RANGE},
        {"uint16", "65536", NULL, SM_RANGE},
        {"uint32", "4294967295", "4294967295"},
    };
    assert_round_trips(cases, SM_COUNT(cases));
}

static void test_decimals(void **state)
{
    static const round_trip cases[] = {
        {"decimal(5,2)", "1.234", "1.23"},
        {"decimal(5,2)", "1.235", "1.24"},
        {"decimal(5,2)", "-1.235", "-1.24"},
        {"decimal(5,2)", "999.99", "999.99"},
        {"decimal(5,2)", "-0.05", "-0.05"},
        {"decimal(5,2)", "-0.001", "0.00"},
        {"decimal(5,2)", "0.0049999", "0.00"},
        {"decimal(5,2)", "5e-3", "0.01"},
        {"decimal(5,2)", "4.5e-3", "0.00"},
        {"decimal(5,2)", "1e2", "100.00"},
        {"decimal(5,2)", " +1 ", "1.00"},
        {"decimal(5,2)", "99999e-2", "999.99"},
        {"decimal(5,2)", "1e-400", "0.00"},
        {"decimal(5,2)", "000000000000000000000000000000000000000000001", "1.00"},
        {"decimal(5,2)", "999.995", NULL, SM_RANGE},
        {"decimal(5,2)", "1000", NULL, SM_RANGE},
        {"decimal(5,2)", "1e40", NULL, SM_RANGE},
        {"decimal(5,2)", "", NULL, SM_TYPE},
        {"decimal(5,2)", "inf", NULL, SM_TYPE},
        {"decimal(5,2)", "1,5", NULL, SM_TYPE},
        {"decimal(2,2)", "0.5", ".50"},
        {"decimal(1,1)", "-0.5", "-.5"},
        {"decimal(38,0)", "99999999999999999999999999999999999999",
         "99999999999999999999999999999999999999"},
        {"decimal(38,0)", "-99999999999999999999999999999999999999",
         "-99999999999999999999999999999999999999"},
        {"decimal(38,0)", "99999999999999999999999999999999999999.4",
         "99999999999999999999999999999999999999"},
        {"decimal(38,0)", "99999999999999999999999999999999999999.5", NULL, SM_RANGE},
        {"decimal(38,0)", "100000000000000000000000000000000000000", NULL, SM_RANGE},
        {"decimal(38,0)", "1e37", "10000000000000000000000000000000000000"},
        {"decimal(38,0)", "1e38", NULL, SM_RANGE},
        {"decimal(38,38)", "0.1", ".10000000000000000000000000000000000000"},
        {"decimal(38,38)", "1", NULL, SM_RANGE},
    };
    assert_round_trips(cases, SM_COUNT(cases));
}

static void test_floats_and_bools(void **state)
{
    static const round_trip cases[] = {
        {"double", "1", "1.0"},
        {"double", " 1.5 ", "1.5"},
        {"double", "1e5", "100000.0"},
        {"double", "+1", "1.0"},
        {"double", "1_000.5", "1000.5"},
        {"double", "1e20", "1e+20"},
        {"double", "1e15", "1000000000000000.0"},
        {"double", "1e-5", "1e-05"},
        {"double", "-0", "-0.0"},
        {"double", "Infinity", "inf"},
        {"double", "-inf", "-inf"},
        {"double", "+inf", "inf"},
        {"double", "NaN", "nan"},
        {"double", "1e400", "inf"},
        {"double", "-1e400", "-inf"},
        {"double", "1e-400", "0.0"},
        {"double", "", NULL, SM_TYPE},
        {"double", "+-1", NULL, SM_TYPE},
        {"double", "1e", NULL, SM_TYPE},
        {"double", "0x1", NULL, SM_TYPE},
        {"double", "1,5", NULL, SM_TYPE},
        {"float", "0.1", "0.1"},
        {"float", "1e38", "1e+38"},
        {"float", "1e39", "inf"},
        {"float", "123456789", "123456790.0"},
        {"bool", "true", "true"},
        {"bool", "T", "true"},
        {"bool", "YES", "true"},
        {"bool", "1", "true"},
        {"bool", "tRuE", "true"},
        {"bool", "f", "false"},
        {"bool", "no", "false"},
        {"bool", "0", "false"},
        {"bool", "on", NULL, SM_TYPE},
        {"bool", " true ", NULL, SM_TYPE},
        {"bool", "", NULL, SM_TYPE},
    };
    assert_round_trips(cases, SM_COUNT(cases));
}

static const round_trip time_cases[] = {
    {"date", "2022-04-01", "2022-04-01"},
    {"date", " 2022-04-01 ", "2022-04-01"},
    {"date", "2022-4-1", "2022-04-01"},
    {"date", "2022/04/01", "2022-04-01"},
    {"date", "2022-04-01 23:00:00", "2022-04-01"},
    {"date", "2026-04-29T14:38:00+02:00", "2026-04-29"},
    {"date", "2026-04-29 00:30:00+01:00", "2026-04-29"},
    {"date", "2026-04-29T14:38:00+0200", "2026-04-29"},
    {"date", "2026-04-29T14:38:00+02", "2026-04-29"},
    {"date", "2026-04-29T14:38", "2026-04-29"},
    {"date", "2026-04-29 14:38:00 UTC", "2026-04-29"},
    {"date", "2026-04-29T14:38Z", "2026-04-29"},
    {"date", "2022-04-01 10:00:00.1234567", "2022-04-01"},
    {"date", "2022-04-01 10:00:00.500", "2022-04-01"},
    {"date", "1969-12-31 23:59:59.5", "1969-12-31"},
    {"date", "2022-04-01 24:00:00", "2022-04-01"},
    {"date", "0045-01-15 (BC) 01:02:03", "0045-01-15 (BC)"},
    {"date", "-44-01-15", "0045-01-15 (BC)"},
    {"date", "infinity", "infinity"},
    {"date", "-Inf", "-infinity"},
    {"date", "epoch", "1970-01-01"},
    {"date", "14:38", NULL, SM_TYPE},
    {"date", "1:2:3.5", NULL, SM_TYPE},
    {"date", "24:00:00", NULL, SM_TYPE},
    {"date", "14:38:00+02", NULL, SM_TYPE},
    {"date", "24:00:01", NULL, SM_TYPE},
    {"date", "25:00:00", NULL, SM_TYPE},
    {"date", "10:60", NULL, SM_TYPE},
    {"date", "10:00:60", NULL, SM_TYPE},
    {"date", "10", NULL, SM_TYPE},
    {"date", "10:00:00,5", NULL, SM_TYPE},
    {"date", "2022-02-30", NULL, SM_TYPE},
    {"date", "20220401", NULL, SM_TYPE},
    {"date", "yesterday", NULL, SM_TYPE},
    {"date", "", NULL, SM_TYPE},
    {"time", "2022-04-01", "00:00:00"},
    {"time", "2022-4-1", "00:00:00"},
    {"time", "2022/04/01", "00:00:00"},
    {"time", "2022-04-01 23:00:00", "23:00:00"},
    {"time", "2026-04-29T14:38:00+02:00", "14:38:00"},
    {"time", "2026-04-29 00:30:00+01:00", "00:30:00"},
    {"time", "2026-04-29T14:38:00+0200", "14:38:00"},
    {"time", "2026-04-29T14:38:00+02", "14:38:00"},
    {"time", "2026-04-29T14:38", "14:38:00"},
    {"time", "2026-04-29 14:38:00 UTC", "14:38:00"},
    {"time", "2026-04-29T14:38Z", "14:38:00"},
    {"time", "2022-04-01 10:00:00.1234567", "10:00:00.123456"},
    {"time", "2022-04-01 10:00:00.500", "10:00:00.5"},
    {"time", "1969-12-31 23:59:59.5", "23:59:59.5"},
    {"time", "2022-04-01 24:00:00", "00:00:00"},
    {"time", "0045-01-15 (BC) 01:02:03", "01:02:03"},
    {"time", "-44-01-15", "00:00:00"},
    {"time", "infinity", NULL, SM_TYPE},
    {"time", "-Inf", NULL, SM_TYPE},
    {"time", "epoch", "00:00:00"},
    {"time", "14:38", "14:38:00"},
    {"time", "1:2:3.5", "01:02:03.5"},
    {"time", "24:00:00", "24:00:00"},
    {"time", "14:38:00+02", "14:38:00"},
    {"time", "24:00:01", NULL, SM_TYPE},
    {"time", "25:00:00", NULL, SM_TYPE},
    {"time", "10:60", NULL, SM_TYPE},
    {"time", "10:00:60", NULL, SM_TYPE},
    {"time", "10", NULL, SM_TYPE},
    {"time", "2022-02-30", NULL, SM_TYPE},
    {"time", "20220401", NULL, SM_TYPE},
    {"time", "yesterday", NULL, SM_TYPE},
    {"time", "", NULL, SM_TYPE},
    {"timestamp", "2022-04-01", "2022-04-01 00:00:00"},
    {"timestamp", "2022-4-1", "2022-04-01 00:00:00"},
    {"timestamp", "2022/04/01", "2022-04-01 00:00:00"},
    {"timestamp", "2022-04-01 23:00:00", "2022-04-01 23:00:00"},
    {"timestamp", "2026-04-29T14:38:00+02:00", "2026-04-29 14:38:00"},
    {"timestamp", "2026-04-29 00:30:00+01:00", "2026-04-29 00:30:00"},
    {"timestamp", "2026-04-29T14:38:00+0200", "2026-04-29 14:38:00"},
    {"timestamp", "2026-04-29T14:38:00+02", "2026-04-29 14:38:00"},
    {"timestamp", "2026-04-29T14:38", "2026-04-29 14:38:00"},
    {"timestamp", "2026-04-29 14:38:00 UTC", "2026-04-29 14:38:00"},
    {"timestamp", "2026-04-29T14:38Z", "2026-04-29 14:38:00"},
    {"timestamp", "2022-04-01 10:00:00.1234567", "2022-04-01 10:00:00.123456"},
    {"timestamp", "2022-04-01 10:00:00.500", "2022-04-01 10:00:00.5"},
    {"timestamp", "1969-12-31 23:59:59.5", "1969-12-31 23:59:59.5"},
    {"timestamp", "2022-04-01 24:00:00", "2022-04-02 00:00:00"},
    {"timestamp", "0045-01-15 (BC) 01:02:03", "0045-01-15 (BC) 01:02:03"},
    {"timestamp", "-44-01-15", "0045-01-15 (BC) 00:00:00"},
    {"timestamp", "infinity", "infinity"},
    {"timestamp", "-Inf", "-infinity"},
    {"timestamp", "epoch", "1970-01-01 00:00:00"},
    {"timestamp", "14:38", NULL, SM_TYPE},
    {"timestamp", "1:2:3.5", NULL, SM_TYPE},
    {"timestamp", "24:00:00", NULL, SM_TYPE},
    {"timestamp", "14:38:00+02", NULL, SM_TYPE},
    {"timestamp", "24:00:01", NULL, SM_TYPE},
    {"timestamp", "25:00:00", NULL, SM_TYPE},
    {"timestamp", "10:60", NULL, SM_TYPE},
    {"timestamp", "10:00:60", NULL, SM_TYPE},
    {"timestamp", "10", NULL, SM_TYPE},
    {"timestamp", "10:00:00,5", NULL, SM_TYPE},
    {"timestamp", "2022-02-30", NULL, SM_TYPE},
    {"timestamp", "20220401", NULL, SM_TYPE},
    {"timestamp", "yesterday", NULL, SM_TYPE},
    {"timestamp", "", NULL, SM_TYPE},
    {"timestamptz", "2022-04-01", "2022-04-01 00:00:00+00"},
    {"timestamptz", "2022-4-1", "2022-04-01 00:00:00+00"},
    {"timestamptz", "2022/04/01", "2022-04-01 00:00:00+00"},
    {"timestamptz", "2022-04-01 23:00:00", "2022-04-01 23:00:00+00"},
    {"timestamptz", "2026-04-29T14:38:00+02:00", "2026-04-29 12:38:00+00"},
    {"timestamptz", "2026-04-29 00:30:00+01:00", "2026-04-28 23:30:00+00"},
    {"timestamptz", "2026-04-29T14:38:00+0200", "2026-04-29 12:38:00+00"},
    {"timestamptz", "2026-04-29T14:38:00+02", "2026-04-29 12:38:00+00"},
    {"timestamptz", "2026-04-29T14:38", "2026-04-29 14:38:00+00"},
    {"timestamptz", "2026-04-29 14:38:00 UTC", "2026-04-29 14:38:00+00"},
    {"timestamptz", "2026-04-29T14:38Z", "2026-04-29 14:38:00+00"},
    {"timestamptz", "2022-04-01 10:00:00.1234567", "2022-04-01 10:00:00.123456+00"},
    {"timestamptz", "2022-04-01 10:00:00.500", "2022-04-01 10:00:00.5+00"},
    {"timestamptz", "1969-12-31 23:59:59.5", "1969-12-31 23:59:59.5+00"},
    {"timestamptz", "2022-04-01 24:00:00", "2022-04-02 00:00:00+00"},
    {"timestamptz", "0045-01-15 (BC) 01:02:03", "0045-01-15 (BC) 01:02:03+00"},
    {"timestamptz", "-44-01-15", "0045-01-15 (BC) 00:00:00+00"},
    {"timestamptz", "infinity", "infinity"},
    {"timestamptz", "-Inf", "-infinity"},
    {"timestamptz", "epoch", "1970-01-01 00:00:00+00"},
    {"timestamptz", "14:38", NULL, SM_TYPE},
    {"timestamptz", "1:2:3.5", NULL, SM_TYPE},
    {"timestamptz", "24:00:00", NULL, SM_TYPE},
    {"timestamptz", "14:38:00+02", NULL, SM_TYPE},
    {"timestamptz", "24:00:01", NULL, SM_TYPE},
    {"timestamptz", "25:00:00", NULL, SM_TYPE},
    {"timestamptz", "10:60", NULL, SM_TYPE},
    {"timestamptz", "10:00:60", NULL, SM_TYPE},
    {"timestamptz", "10", NULL, SM_TYPE},
    {"timestamptz", "10:00:00,5", NULL, SM_TYPE},
    {"timestamptz", "2022-02-30", NULL, SM_TYPE},
    {"timestamptz", "20220401", NULL, SM_TYPE},
    {"timestamptz", "yesterday", NULL, SM_TYPE},
    {"timestamptz", "", NULL, SM_TYPE},
    /* where DuckDB differs: an error, 10:00:00, 02:38:00 */
    {"timestamptz", "2026-04-29 14:38:00 +02:00", "2026-04-29 12:38:00+00"},
    {"time", "10:00:00x", NULL, SM_TYPE},
    {"time", "10:00:00,5", NULL, SM_TYPE},
    {"timestamp", "2026-04-29 2:38 PM", NULL, SM_TYPE},
};

static void test_times(void **state)
{
    assert_round_trips(time_cases, SM_COUNT(time_cases));
}

static void test_bytes(void **state)
{
    static const round_trip cases[] = {
        {"varchar", " a\\x ", " a\\x "}, {"varchar", "", ""},
        {"blob", "abc", "abc"},          {"blob", "a'\"b", "a\\x27\\x22b"},
        {"blob", "é", NULL, SM_TYPE},    {"blob", "\\x41", NULL, SM_TYPE},
        {"int[]", "[1]", NULL, SM_TYPE},
    };
    assert_round_trips(cases, SM_COUNT(cases));
}

static void assert_printed(sm_value v, const char *want)
{
    sm_buf text = {0};
    sm_value_print(v, &text);
    sm_buf_text(&text, (sm_str){"", 1});
    assert_string_equal((const char *)text.data, want);
    sm_buf_release(&text);
}

static void test_print_edges(void **state)
{
    assert_printed(sm_value_null(&sm_type_i64), "NULL");
    assert_printed((sm_value){.type = &sm_type_date, .as.i = -735585}, "0045-01-15 (BC)");
    assert_printed((sm_value){.type = &sm_type_date, .as.i = 3671649}, "12022-08-20");
    assert_printed((sm_value){.type = &sm_type_binary, .as.s = {"\n\\a\x7F\xFF\0", 6}},
                   "\\x0A\\x5Ca\\x7F\\xFF\\x00");
}

static void test_unescape(void **state)
{
    uint8_t out[16];
    size_t n = 0;
    assert_true(sm_blob_unescape(SM_STR("a\\x0a\\xFFb"), out, &n));
    assert_int_equal(n, 4);
    assert_memory_equal(out,
                        "a\n\xFF"
                        "b",
                        4);
    static const char *const bad[] = {"\\", "\\x", "\\x4", "\\a12", "\\X41", "\\xg0", "é"};
    for (int i = 0; i < SM_COUNT(bad); i++) {
        assert_false(sm_blob_unescape(sm_str_of(bad[i]), out, &n));
    }
}

static void test_order(void **state)
{
    const double floats[] = {-INFINITY, -1.5, 0, 2, INFINITY, NAN};
    for (int i = 0; i < SM_COUNT(floats); i++) {
        for (int j = 0; j < SM_COUNT(floats); j++) {
            const sm_value a = {.type = &sm_type_f64, .as.f = floats[i]};
            const sm_value b = {.type = &sm_type_f64, .as.f = floats[j]};
            assert_int_equal(sm_value_cmp(a, b), (i > j) - (i < j));
        }
    }
    assert_true(sm_value_eq((sm_value){.type = &sm_type_f64, .as.f = -0.0},
                            (sm_value){.type = &sm_type_f64, .as.f = 0.0}));
    const char *strings[] = {"", "a", "ab", "b", "\xC3\xA9"};
    for (int i = 0; i < SM_COUNT(strings); i++) {
        for (int j = 0; j < SM_COUNT(strings); j++) {
            assert_int_equal(sm_value_cmp(sm_value_str(sm_str_of(strings[i])),
                                          sm_value_str(sm_str_of(strings[j]))),
                             (i > j) - (i < j));
        }
    }
    const sm_value big = {.type = &sm_type_u64, .as.u = UINT64_MAX};
    const sm_value one = {.type = &sm_type_u64, .as.u = 1};
    assert_int_equal(sm_value_cmp(big, one), 1);
    assert_int_equal(sm_value_cmp(sm_value_i64(-1), sm_value_i64(1)), -1);
    assert_true(sm_value_eq(sm_value_null(&sm_type_i64), sm_value_null(&sm_type_i64)));
    assert_false(sm_value_eq(sm_value_null(&sm_type_i64), sm_value_i64(0)));
    assert_false(sm_value_eq(sm_value_null(&sm_type_i64), sm_value_null(&sm_type_u64)));
    assert_false(sm_value_eq(sm_value_i64(1), one));
}

/* ---- nested values --------------------------------------------------------------------------- */

static sm_value nested(const char *type, const sm_value *items, int64_t n)
{
    return (sm_value){.type = type_of(type), .as.nested = {items, n}};
}

/* [{'a': …, 'b': {k=…}}, NULL] */
static sm_value list_of(sm_value *room, int64_t a, const char *key)
{
    const char *const element = "STRUCT(a BIGINT, b MAP(VARCHAR, BIGINT))";
    room[0] = sm_value_str(sm_str_of(key));
    room[1] = sm_value_null(&sm_type_i64);
    room[2] = sm_value_i64(a);
    room[3] = nested("MAP(VARCHAR, BIGINT)", room, 2);
    room[4] = nested(element, room + 2, 2);
    room[5] = sm_value_null(type_of(element));
    return nested("STRUCT(a BIGINT, b MAP(VARCHAR, BIGINT))[]", room + 4, 2);
}

static void test_nested(void **state)
{
    sm_value rooms[4][6];
    sm_value one = list_of(rooms[0], 1, "k, l"), same = list_of(rooms[1], 1, "k, l");
    sm_value more = list_of(rooms[2], 1, "l"), less = list_of(rooms[3], 0, "k");
    assert_printed(one, "[{'a': 1, 'b': {'k, l'=NULL}}, NULL]");
    assert_true(sm_value_eq(one, same));
    assert_false(sm_value_eq(one, more));
    assert_int_equal(sm_value_cmp(one, more), -1);
    assert_int_equal(sm_value_cmp(one, less), 1);
    same.as.nested.n = 1; /* a part of it comes before it */
    assert_int_equal(sm_value_cmp(same, one), -1);
    same.as.nested.n = 0;
    assert_printed(same, "[]");

    sm_arena *const a = sm_arena_new(NULL);
    const sm_value copy = sm_value_copy(a, one);
    memset(rooms[0], 0, sizeof(rooms[0]));
    assert_printed(copy, "[{'a': 1, 'b': {'k, l'=NULL}}, NULL]");
    sm_arena_free(a);
}

static void test_copy(void **state)
{
    char text[] = "shared";
    const sm_value v = sm_value_str(sm_str_of(text));
    const sm_value copy = sm_value_copy(arena, v);
    text[0] = 'X';
    assert_true(sm_str_is(copy.as.s, "shared"));
    assert_true(sm_type_eq(copy.type, &sm_type_string));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_integers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_decimals, setup, teardown),
        cmocka_unit_test_setup_teardown(test_floats_and_bools, setup, teardown),
        cmocka_unit_test_setup_teardown(test_times, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bytes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_print_edges, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unescape, setup, teardown),
        cmocka_unit_test_setup_teardown(test_order, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nested, setup, teardown),
        cmocka_unit_test_setup_teardown(test_copy, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
