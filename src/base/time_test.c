/* SPDX-License-Identifier: Apache-2.0
 *
 * base/time_test.c: the calendar against counting, texts there and back, the clocks. */
#include "test.h"

#include <inttypes.h>
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
        {"+2022-04-01", true, 19083},
        {"10000-01-01", true, 2932897},
        {"5881580-07-11", true, INT32_MAX},
        {"5881580-07-12", false, 0},
        {"-5877641-06-23", true, INT32_MIN},
        {"-5877641-06-22", false, 0},
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
        if (ok && rows[i].text[0] != '+') {
            assert_int_equal(sm_format_date(days, text), strlen(rows[i].text));
            assert_string_equal(text, rows[i].text);
        }
    }
}

static void test_parse_timestamp(void **state)
{
    const int64_t noon = INT64_C(19083) * 86400000000 + INT64_C(43200) * 1000000;
    static const int64_t none = 4711;
    const struct {
        const char *text;
        bool ok, zone;
        int64_t us;
    } rows[] = {
        {"2022-04-01", true, false, noon - INT64_C(43200000000)},
        {"2022-04-01 12:00:00", true, false, noon},
        {"2022-04-01T12:00:00", true, false, noon},
        {"2022-04-01T12:00:00Z", true, true, noon},
        {"2022-04-01T12:00:00.5Z", true, true, noon + 500000},
        {"2022-04-01T12:00:00.000001", true, false, noon + 1},
        {"2022-04-01T12:00:00.0000019", true, false, noon + 1},
        {"2022-04-01T12:00:00.123456789Z", true, true, noon + 123456},
        {"2022-04-01T12:00:00+02", true, true, noon - INT64_C(7200000000)},
        {"2022-04-01T12:00:00-02:30", true, true, noon + INT64_C(9000000000)},
        {"2022-04-01T12:00:00+00:00", true, true, noon},
        {"2022-04-01T00:30:00+01:00", true, true, noon - INT64_C(45000000000)},
        {"1969-12-31 23:59:59.999999", true, false, -1},
        {"294247-01-10 04:00:54.775807", true, false, INT64_MAX},
        {"294247-01-10 04:00:54.775808", false, false, 0},
        {"-290308-12-21 19:59:05.224192", true, false, INT64_MIN},
        {"-290308-12-21 19:59:05.224191", false, false, 0},
        {"-5877641-06-23 00:00:00", false, false, 0},
        {"2022-04-01 24:00:00", false, false, 0},
        {"2022-04-01 12:60:00", false, false, 0},
        {"2022-04-01 12:00:60", false, false, 0},
        {"2022-04-01 12:00", false, false, 0},
        {"2022-04-01 12:00:00.", false, false, 0},
        {"2022-04-01 12:00:00.Z", false, false, 0},
        {"2022-04-01 12:00:00 Z", false, false, 0},
        {"2022-04-01 12:00:00z", false, false, 0},
        {"2022-04-01 12:00:00+2", false, false, 0},
        {"2022-04-01 12:00:00+02:", false, false, 0},
        {"2022-04-01 12:00:00+02:60", false, false, 0},
        {"2022-04-01 12:00:00+24:00", false, false, 0},
        {"2022-04-01 12:00:00Zx", false, false, 0},
        {"2022-04-01_12:00:00", false, false, 0},
        {"2022-04-01 ", false, false, 0},
        {"2022-04-01Z", false, false, 0},
        {"2022-02-30 12:00:00", false, false, 0},
        {"", false, false, 0},
    };
    for (int i = 0; i < SM_COUNT(rows); i++) {
        int64_t us = none;
        bool zone = false;
        const bool ok = sm_parse_timestamp(sm_str_of(rows[i].text), &us, &zone);
        if (ok != rows[i].ok || zone != rows[i].zone || us != (ok ? rows[i].us : none)) {
            fail_msg("\"%s\": ok %d, zone %d, %" PRId64, rows[i].text, ok, zone, us);
        }
    }
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
        {INT64_MAX, "294247-01-10 04:00:54.775807"},
        {INT64_MIN, "-290308-12-21 19:59:05.224192"},
    };
    for (int i = 0; i < SM_COUNT(rows); i++) {
        char text[SM_TIME_TEXT_BYTES];
        int64_t back = 0;
        bool zone = true;
        assert_int_equal(sm_format_timestamp(rows[i].us, text), strlen(rows[i].want));
        assert_string_equal(text, rows[i].want);
        assert_true(sm_parse_timestamp(sm_str_of(text), &back, &zone));
        assert_true(back == rows[i].us);
        assert_false(zone);
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
        cmocka_unit_test(test_parse_timestamp),
        cmocka_unit_test(test_format_timestamp),
        cmocka_unit_test(test_clocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
