/* SPDX-License-Identifier: Apache-2.0
 *
 * base/time_test.c: the calendar against counting, texts there and back, the clocks. */
#include "test.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/time.h"

/* Counts day by day through 2,400 years and compares. */
static void test_calendar_by_counting(void **state)
{
    sm_civil c = {.year = -400, .month = 1, .day = 1};
    const int64_t start = sm_days_from_civil(-400, 1, 1);
    for (int64_t days = start; c.year < 2400; days++) {
        const sm_civil got = sm_civil_from_days(days);
        if (got.year != c.year || got.month != c.month || got.day != c.day ||
            sm_days_from_civil(c.year, c.month, c.day) != days) {
            fail_msg("day %" PRId64, days);
        }
        if (++c.day > sm_days_in_month(c.year, c.month)) {
            c.day = 1;
            if (++c.month > 12) {
                c.month = 1;
                c.year++;
            }
        }
    }
    assert_int_equal(sm_days_from_civil(1970, 1, 1), 0);
    assert_int_equal(sm_days_from_civil(2000, 3, 1), 11017);
    assert_int_equal(sm_days_from_civil(2022, 4, 1), 19083);
    assert_int_equal(sm_days_in_month(1900, 2), 28);
    assert_int_equal(sm_days_in_month(2000, 2), 29);
    assert_int_equal(sm_days_in_month(2024, 2), 29);
    assert_int_equal(sm_days_in_month(2023, 2), 28);
}

static void test_parse_date(void **state)
{
    static const struct {
        const char *text;
        bool ok;
        int32_t days;
    } rows[] = {
        {"1970-01-01", true, 0},
        {"2022-04-01", true, 19083},
        {"1969-12-31", true, -1},
        {"2024-02-29", true, 19782},
        {"0000-01-01", true, -719528},
        {"-0001-12-31", true, -719529},
        {"+2022-04-01", false, 0},
        {"10000-01-01", true, 2932897},
        {"5881580-07-10", true, INT32_MAX - 1},
        {"5881580-07-11", false, 0},
        {"-5877641-06-25", true, INT32_MIN + 2},
        {"-5877641-06-24", false, 0},
        {"-5877641-06-23", false, 0},
        {"infinity", false, 0},
        {"epoch", false, 0},
        {"0045-01-15 (BC)", false, 0},
        {"2022-04-01 00:00:00", false, 0},
        {"2023-02-29", false, 0},
        {"1900-02-29", false, 0},
        {"2022-13-01", false, 0},
        {"2022-00-01", false, 0},
        {"2022-01-00", false, 0},
        {"2022-04-31", false, 0},
        {"2022-4-1", false, 0},
        {"22-04-01", false, 0},
        {"2022-04-01 ", false, 0},
        {" 2022-04-01", false, 0},
        {"2022-04-0", false, 0},
        {"2022-04-", false, 0},
        {"2022/04/01", false, 0},
        {"20220401", false, 0},
        {"99999999-01-01", false, 0},
        {"", false, 0},
        {"-", false, 0},
    };
    for (int i = 0; i < SM_COUNT(rows); i++) {
        int32_t days = 4711;
        const bool ok = sm_parse_date(sm_str_of(rows[i].text), &days);
        if (ok != rows[i].ok || days != (ok ? rows[i].days : 4711)) {
            fail_msg("\"%s\": ok %d, %d", rows[i].text, ok, days);
        }
        char text[SM_TIME_TEXT_BYTES];
        if (ok) {
            assert_int_equal(sm_format_date(days, text), strlen(rows[i].text));
            assert_string_equal(text, rows[i].text);
        }
    }
}

enum { D = 1, C = 2, Z = 4, NO = 8 };
#define H    INT64_C(3600000000)
#define NOON (12 * H)

/* What each text says; what DuckDB makes of it stands in value_test.c. */
static const struct {
    const char *text;
    int has; /* D date, C clock, Z zone; NO: it is none */
    int64_t days, us, offset_us;
} whens[] = {
    {"2022-04-01", D, 19083, 0, 0},
    {"2022-4-1", D, 19083, 0, 0},
    {"2022/04/01", D, 19083, 0, 0},
    {"2022 04 01", D, 19083, 0, 0},
    {"2022\\4\\1", D, 19083, 0, 0},
    {" 2022-04-01\t", D, 19083, 0, 0},
    {"02022-04-01", D, 19083, 0, 0},
    {"1-1-1", D, -719162, 0, 0},
    {"0-1-1", D, -719528, 0, 0},
    {"-1-12-31", D, -719529, 0, 0},
    {"2-12-31 (bc)", D, -719529, 0, 0},
    {"epoch", D, 0, 0, 0},
    {"2022-04-01 12:00:00", D | C, 19083, NOON, 0},
    {"2022-04-01T12:00:00", D | C, 19083, NOON, 0},
    {"2022-04-01T12:00", D | C, 19083, NOON, 0},
    {"2022-04-01T12:0:0", D | C, 19083, NOON, 0},
    {"2022-04-01  12:00:00.", D | C, 19083, NOON, 0},
    {"2022-04-01 12:", D | C, 19083, NOON, 0},
    {"2022-04-01 12:00:", D | C, 19083, NOON, 0},
    {"2022-04-01 012:00:00 ", D | C, 19083, NOON, 0},
    {"0045-03-15 (BC) 12:00:00", D | C, -735525, NOON, 0},
    {"2022-04-01T12:00:00.000001", D | C, 19083, NOON + 1, 0},
    {"2022-04-01T12:00:00.0000019", D | C, 19083, NOON + 1, 0},
    {"2022-04-01 24:00:00", D | C, 19083, 24 * H, 0},
    {"2022-04-01T12:00Z", D | C | Z, 19083, NOON, 0},
    {"2022-04-01T12:00:00.5Z", D | C | Z, 19083, NOON + 500000, 0},
    {"2022-04-01T12:00:00 Z\n", D | C | Z, 19083, NOON, 0},
    {"2022-04-01T12:00:00 UTC", D | C | Z, 19083, NOON, 0},
    {"2022-04-01T12:00 gmt ", D | C | Z, 19083, NOON, 0},
    {"2022-04-01T12:00:00+02", D | C | Z, 19083, NOON, 2 * H},
    {"2022-04-01T12:00:00+0200", D | C | Z, 19083, NOON, 2 * H},
    {"2022-04-01T12:00:00 +02:00", D | C | Z, 19083, NOON, 2 * H},
    {"2022-04-01T12:00:00-02:30", D | C | Z, 19083, NOON, -H * 5 / 2},
    {"2022-04-01T12:00:00+02:00:01", D | C | Z, 19083, NOON, 2 * H + 1000000},
    {"12:00", C, 0, NOON, 0},
    {"12:0:0.000001", C, 0, NOON + 1, 0},
    {"12:00:00Z", C | Z, 0, NOON, 0},
    {"12:00 -0100", C | Z, 0, NOON, -H},
    {"", NO},
    {" ", NO},
    {"-", NO},
    {"2022", NO},
    {"2022-", NO},
    {"2022-04", NO},
    {"2022-04-", NO},
    {"2022-04/01", NO},
    {"2022.04.01", NO},
    {"20220401", NO},
    {"+2022-04-01", NO},
    {"2022-04-001", NO},
    {"2022-004-01", NO},
    {"2022-00-01", NO},
    {"2022-01-00", NO},
    {"2022-13-01", NO},
    {"2022-04-31", NO},
    {"2023-02-29", NO},
    {"1900-02-29", NO},
    {"123456789-01-01", NO},
    {"-1-1-1 (BC)", NO},
    {"0-1-1 (BC)", NO},
    {"2022-04-01(BC)", NO},
    {"0045-04-01 (BC)12:00", NO},
    {"2022-04-01 BC", NO},
    {"2022-04-01T", NO},
    {"2022-04-01t12:00", NO},
    {"2022-04-01_12:00", NO},
    {"2022-04-01 12", NO},
    {"2022-04-01Z", NO},
    {"2022-04-01+02", NO},
    {"2022-04-01 +02", NO},
    {"2022-04-01 UTC", NO},
    {"2022-04-01 24:00:01", NO},
    {"2022-04-01 12:60", NO},
    {"2022-04-01 12:00:60", NO},
    {"2022-04-01 12:00:00,5", NO},
    {"2022-04-01 12:00:00z", NO},
    {"2022-04-01 12:00:00UTC", NO},
    {"2022-04-01 12:00:00  +02", NO},
    {"2022-04-01 12:00:00+2", NO},
    {"2022-04-01 12:00:00+020", NO},
    {"2022-04-01 12:00:00+02:", NO},
    {"2022-04-01 12:00:00+02:0", NO},
    {"2022-04-01 12:00:00+02:60", NO},
    {"2022-04-01 12:00:00+24:00", NO},
    {"2022-04-01 12:00:00+02:00:00:00", NO},
    {"2022-04-01 12:00:00Zx", NO},
    {"2022-04-01 12:00:00 PM", NO},
    {"2022-04-01 12:00:00 Europe/Berlin", NO},
    {"12", NO},
    {":12", NO},
    {"-1:00", NO},
    {"infin", NO},
    {"+infinity", NO},
    {"infinity 12:00", NO},
    {"-epoch", NO},
};
#undef H
#undef NOON

static void test_date_in_name(void **state)
{
    static const struct {
        const char *name, *date; /* NULL: none */
        int n_runs;
    } names[] = {
        {"20220401.json", "2022-04-01", 1}, {"tv-20220401_a.json.gz", "2022-04-01", 1},
        {"a20220401", "2022-04-01", 1},     {"202204011.json", NULL, 0},
        {"2022040.json", NULL, 0},          {"20220401-20220402", NULL, 2},
        {"20220431.json", NULL, 1},         {"", NULL, 0},
        {"1-20220401-2", "2022-04-01", 1},
    };
    for (int i = 0; i < SM_COUNT(names); i++) {
        int32_t days = -7, wanted = -7;
        bool is_date = true;
        assert_int_equal(sm_date_in_name(sm_str_of(names[i].name), &days, &is_date),
                         names[i].n_runs);
        assert_int_equal(is_date, names[i].date != NULL);
        if (names[i].date) {
            assert_true(sm_parse_date(sm_str_of(names[i].date), &wanted));
        }
        assert_int_equal(days, wanted);
    }
}

static void test_parse_when(void **state)
{
    for (int i = 0; i < SM_COUNT(whens); i++) {
        sm_when w = {.days = 4711};
        const bool ok = sm_parse_when(sm_str_of(whens[i].text), &w);
        const int has = (w.has_date ? D : 0) | (w.has_clock ? C : 0) | (w.has_zone ? Z : 0);
        if (whens[i].has == NO ? ok || w.days != 4711
                               : !ok || has != whens[i].has || w.days != whens[i].days ||
                                     w.us != whens[i].us || w.offset_us != whens[i].offset_us) {
            fail_msg("\"%s\": ok %d, has %d, %" PRId64 " %" PRId64 " %" PRId64, whens[i].text, ok,
                     has, w.days, w.us, w.offset_us);
        }
    }
    for (int i = 0; i < SM_COUNT(whens); i++) { /* one more zero: the long way to the same */
        char text[64];
        sm_when w = {.days = 4711}, same = {.days = 4711};
        if (whens[i].text[0] < '0' || whens[i].text[0] > '9') {
            continue;
        }
        snprintf(text, sizeof(text), "0%s", whens[i].text);
        const bool ok = sm_parse_when(sm_str_of(whens[i].text), &w);
        const bool same_ok = sm_parse_when(sm_str_of(text), &same);
        if (strcmp(whens[i].text, "123456789-01-01") != 0 &&
            (ok != same_ok || w.days != same.days || w.us != same.us ||
             w.offset_us != same.offset_us)) {
            fail_msg("\"%s\" and \"%s\" differ", whens[i].text, text);
        }
    }
    static const struct {
        const char *text;
        bool is_cut;
    } fractions[] = {{"2022-04-01 12:00:00.123456", false}, {"2022-04-01 12:00:00.1234560", false},
                     {"2022-04-01 12:00:00.1234567", true}, {"2022-04-01T1:2:3.0000000010", true},
                     {"12:00:00.123456789", true},          {"2022-04-01", false}};
    for (int i = 0; i < SM_COUNT(fractions); i++) {
        sm_when w = {0};
        assert_true(sm_parse_when(sm_str_of(fractions[i].text), &w));
        assert_int_equal(w.is_cut, fractions[i].is_cut);
    }
    static const sm_str holes[] = {SM_STR("2022\0004\00001"), SM_STR("2022-04-01\0"),
                                   SM_STR("2022-04-01 12:00\0")};
    for (int i = 0; i < SM_COUNT(holes); i++) {
        sm_when w;
        assert_false(sm_parse_when(holes[i], &w));
    }
}

static void test_when_as_number(void **state)
{
    static const struct {
        const char *text;
        bool has_wall, has_instant; /* is it a TIMESTAMP, and one with a zone? */
        int64_t wall, instant;
    } rows[] = {
        {"1970-01-01 00:00:00", true, true, 0, 0},
        {"1970-01-01T02:00:00+02:00", true, true, INT64_C(7200000000), 0},
        {"1969-12-31T23:00:00 -0100", true, true, INT64_C(-3600000000), 0},
        {"1969-12-31 23:59:59.999999", true, true, -1, -1},
        {"infinity", true, true, INT64_MAX, INT64_MAX},
        {" -INF ", true, true, -INT64_MAX, -INT64_MAX},
        {"294247-01-10 04:00:54.775806", true, true, INT64_MAX - 1, INT64_MAX - 1},
        {"294247-01-10 04:00:54.775807", false, false, 0, 0}, /* that number is infinity's */
        {"294247-01-10 04:00:54.775806-01", true, false, INT64_MAX - 1, 0},
        {"-290308-12-21 19:59:05.224194", true, true, -INT64_MAX + 1, -INT64_MAX + 1},
        {"-290308-12-21 19:59:05.224193", false, false, 0, 0},
        {"-5877641-06-25 00:00:00", false, false, 0, 0},
        {"17:05", false, false, 0, 0},
    };
    for (int i = 0; i < SM_COUNT(rows); i++) {
        sm_when w = {0};
        int64_t wall = 0, instant = 0;
        assert_true(sm_parse_when(sm_str_of(rows[i].text), &w));
        const bool has_wall = sm_when_timestamp(&w, false, &wall);
        const bool has_instant = sm_when_timestamp(&w, true, &instant);
        if (has_wall != rows[i].has_wall || has_instant != rows[i].has_instant ||
            (has_wall && wall != rows[i].wall) || (has_instant && instant != rows[i].instant)) {
            fail_msg("\"%s\": %d %" PRId64 ", %d %" PRId64, rows[i].text, has_wall, wall,
                     has_instant, instant);
        }
    }
    int64_t us = 4711;
    assert_false(sm_parse_instant(SM_STR("infinity"), &us));
    assert_false(sm_parse_instant(SM_STR("soon"), &us));
    assert_true(us == 4711);
    assert_true(sm_parse_instant(SM_STR("1970-01-01T00:00:01Z"), &us));
    assert_true(us == 1000000);
}

static void test_format_timestamp(void **state)
{
    static const struct {
        int64_t us;
        const char *want;
    } rows[] = {
        {0, "1970-01-01 00:00:00"},
        {-1, "1969-12-31 23:59:59.999999"},
        {INT64_C(19083) * 86400000000 + INT64_C(61500) * 1000000, "2022-04-01 17:05:00"},
        {INT64_C(19083) * 86400000000 + 1000, "2022-04-01 00:00:00.001000"},
        {INT64_MAX - 1, "294247-01-10 04:00:54.775806"},
        {-INT64_MAX + 1, "-290308-12-21 19:59:05.224194"},
    };
    for (int i = 0; i < SM_COUNT(rows); i++) {
        char text[SM_TIME_TEXT_BYTES];
        int64_t back = 0;
        assert_int_equal(sm_format_instant(rows[i].us, text), strlen(rows[i].want) + 1);
        assert_true(text[strlen(text) - 1] == 'Z' && strchr(text, 'T') && !strchr(text, ' '));
        assert_int_equal(sm_format_timestamp(rows[i].us, text), strlen(rows[i].want));
        assert_string_equal(text, rows[i].want);
        assert_true(sm_parse_instant(sm_str_of(text), &back));
        assert_true(back == rows[i].us);
    }
}

static void test_clocks(void **state)
{
    setenv("SMELT_NOW_US", "1648818300000000", 1);
    assert_true(sm_now_us() == 1648818300000000);
    unsetenv("SMELT_NOW_US");
    assert_true(sm_now_us() > INT64_C(1700000000000000));

    const int64_t before = sm_monotonic_ns();
    sm_sleep_ms(5);
    sm_sleep_ms(-1);
    assert_true(sm_monotonic_ns() - before >= 5000000);
    const int64_t cpu = sm_cpu_ns();
    assert_true(cpu > 0);
    assert_true(sm_cpu_ns() >= cpu);

    const int64_t peak = sm_peak_bytes();
    assert_true(peak > 100000);
    volatile uint8_t *p = malloc(64 << 20);
    for (size_t i = 0; i < 64 << 20; i += 4096) {
        p[i] = 1;
    }
    assert_true(sm_peak_bytes() > 64 << 20);
    free((void *)p);
    assert_true(sm_peak_bytes() > 64 << 20); /* the peak stays */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_calendar_by_counting),
        cmocka_unit_test(test_parse_date),
        cmocka_unit_test(test_date_in_name),
        cmocka_unit_test(test_parse_when),
        cmocka_unit_test(test_when_as_number),
        cmocka_unit_test(test_format_timestamp),
        cmocka_unit_test(test_clocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
