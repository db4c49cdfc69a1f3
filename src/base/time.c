/* SPDX-License-Identifier: Apache-2.0
 *
 * base/time.c: clocks, and the calendar as arithmetic.
 *
 * Calendar Years start in March, so that the leap day is a year's last, and the 400 years of
 * 146,097 days repeat. Days before a month of such a year are (153 m + 2) / 5, m = 0 for March
 *          (Hinnant, chrono-Compatible Low-Level Date Algorithms). */
#include "base/time.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/text.h"

#define DAY_US INT64_C(86400000000)

/* ---- clocks ---------------------------------------------------------------------------------- */

static int64_t clock_ns(clockid_t clock)
{
    struct timespec t = {0};
    const int failed = clock_gettime(clock, &t);
    SM_ASSERT(failed == 0);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int64_t sm_now_us(void)
{
    const char *fixed = sm_env("SMELT_NOW_US");
    int64_t us = 0;
    if (fixed && sm_parse_i64(sm_str_of(fixed), &us)) {
        return us;
    }
    return clock_ns(CLOCK_REALTIME) / 1000;
}

int64_t sm_monotonic_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

int64_t sm_cpu_ns(void)
{
    return clock_ns(CLOCK_PROCESS_CPUTIME_ID);
}

/* Not getrusage: its maximum outlives exec, and so tells of the shell that started us. */
int64_t sm_peak_bytes(void)
{
    char text[4096];
    const int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return 0;
    }
    const ssize_t n = read(fd, text, sizeof(text) - 1);
    close(fd);
    if (n <= 0) {
        return 0;
    }
    text[n] = '\0';
    const char *row = strstr(text, "\nVmHWM:");
    return row ? strtoll(row + strlen("\nVmHWM:"), NULL, 10) * 1024 : 0;
}

void sm_sleep_ms(int64_t ms)
{
    if (ms <= 0) {
        return;
    }
    struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    while (nanosleep(&left, &left) != 0 && errno == EINTR) {
    }
}

/* ---- calendar -------------------------------------------------------------------------------- */

static bool is_leap(int64_t year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

int sm_days_in_month(int64_t year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    SM_ASSERT(month >= 1 && month <= 12);
    return month == 2 && is_leap(year) ? 29 : days[month - 1];
}

int64_t sm_days_from_civil(int64_t year, int month, int day)
{
    const int64_t y = month <= 2 ? year - 1 : year;
    const int64_t era = (y >= 0 ? y : y - 399) / 400;
    const int64_t year_of_era = y - era * 400;
    const int64_t march_month = month > 2 ? month - 3 : month + 9;
    const int64_t day_of_year = (153 * march_month + 2) / 5 + day - 1;
    const int64_t day_of_era =
        year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + day_of_era - 719468; /* days from 0000-03-01 to 1970-01-01 */
}

sm_civil sm_civil_from_days(int64_t days)
{
    const int64_t z = days + 719468;
    const int64_t era = (z >= 0 ? z : z - 146096) / 146097;
    const int64_t day_of_era = z - era * 146097;
    const int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    const int64_t day_of_year =
        day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    const int64_t march_month = (5 * day_of_year + 2) / 153;
    const int month = (int)(march_month < 10 ? march_month + 3 : march_month - 9);
    return (sm_civil){
        .year = year_of_era + era * 400 + (month <= 2),
        .month = month,
        .day = (int)(day_of_year - (153 * march_month + 2) / 5 + 1),
    };
}

/* ---- reading --------------------------------------------------------------------------------- */

/* Reads exactly two digits, 0 … max. */
static bool take_two(sm_str s, size_t *at, int max, int *out)
{
    if (s.len - *at < 2) {
        return false;
    }
    const char a = s.data[*at], b = s.data[*at + 1];
    if (a < '0' || a > '9' || b < '0' || b > '9') {
        return false;
    }
    *out = (a - '0') * 10 + (b - '0');
    *at += 2;
    return *out <= max;
}

static bool take_char(sm_str s, size_t *at, char c)
{
    if (*at < s.len && s.data[*at] == c) {
        ++*at;
        return true;
    }
    return false;
}

/* [+-]YYYY-MM-DD, a year of four to seven digits. */
static bool take_date(sm_str s, size_t *at, int64_t *days)
{
    const bool is_negative = take_char(s, at, '-');
    if (!is_negative) {
        take_char(s, at, '+');
    }
    const size_t start = *at;
    int64_t year = 0;
    while (*at < s.len && *at - start < 7 && s.data[*at] >= '0' && s.data[*at] <= '9') {
        year = year * 10 + (s.data[*at] - '0');
        ++*at;
    }
    if (*at - start < 4) {
        return false;
    }
    year = is_negative ? -year : year;
    int month = 0, day = 0;
    if (!take_char(s, at, '-') || !take_two(s, at, 12, &month) || month == 0 ||
        !take_char(s, at, '-') || !take_two(s, at, sm_days_in_month(year, month), &day) ||
        day == 0) {
        return false;
    }
    *days = sm_days_from_civil(year, month, day);
    return true;
}

/* HH:MM:SS[.f…], in microseconds. */
static bool take_time(sm_str s, size_t *at, int64_t *us)
{
    int hour = 0, minute = 0, second = 0;
    if (!take_two(s, at, 23, &hour) || !take_char(s, at, ':') || !take_two(s, at, 59, &minute) ||
        !take_char(s, at, ':') || !take_two(s, at, 59, &second)) {
        return false;
    }
    *us = ((int64_t)hour * 3600 + minute * 60 + second) * 1000000;
    if (!take_char(s, at, '.')) {
        return true;
    }
    const size_t start = *at;
    int64_t unit = 100000;
    for (; *at < s.len && s.data[*at] >= '0' && s.data[*at] <= '9'; ++*at) {
        *us += (s.data[*at] - '0') * unit;
        unit /= 10; /* becomes 0: finer digits are cut */
    }
    return *at > start;
}

/* [Z|±hh[:mm]]; what is to be subtracted to get UTC. */
static bool take_zone(sm_str s, size_t *at, bool *has_zone, int64_t *offset_us)
{
    *offset_us = 0;
    *has_zone = *at < s.len;
    if (!*has_zone || take_char(s, at, 'Z')) {
        return true;
    }
    const bool is_negative = take_char(s, at, '-');
    int hour = 0, minute = 0;
    if ((!is_negative && !take_char(s, at, '+')) || !take_two(s, at, 23, &hour) ||
        (take_char(s, at, ':') && !take_two(s, at, 59, &minute))) {
        return false;
    }
    const int64_t offset = ((int64_t)hour * 60 + minute) * 60000000;
    *offset_us = is_negative ? -offset : offset;
    return true;
}

bool sm_parse_date(sm_str s, int32_t *days)
{
    size_t at = 0;
    int64_t wide = 0;
    if (!take_date(s, &at, &wide) || at != s.len || wide < INT32_MIN || wide > INT32_MAX) {
        return false;
    }
    *days = (int32_t)wide;
    return true;
}

bool sm_parse_timestamp(sm_str s, int64_t *us, bool *has_zone)
{
    size_t at = 0;
    int64_t days = 0, time_us = 0, offset_us = 0, sum = 0;
    bool zone = false;
    if (!take_date(s, &at, &days)) {
        return false;
    }
    if (at < s.len) {
        if (!take_char(s, &at, 'T') && !take_char(s, &at, ' ')) {
            return false;
        }
        if (!take_time(s, &at, &time_us) || !take_zone(s, &at, &zone, &offset_us) || at != s.len) {
            return false;
        }
    }
    /* The day before the first whole one is reached from above: -292277-… ends within a day. */
    time_us -= offset_us;
    const int64_t borrow = days < 0;
    if (__builtin_mul_overflow(days + borrow, DAY_US, &sum) ||
        __builtin_add_overflow(sum, time_us - borrow * DAY_US, &sum)) {
        return false;
    }
    *us = sum;
    *has_zone = zone;
    return true;
}

/* ---- writing --------------------------------------------------------------------------------- */

static size_t put_date(int64_t days, char *out, size_t cap)
{
    const sm_civil c = sm_civil_from_days(days);
    const char *sign = c.year < 0 ? "-" : "";
    const int64_t year = c.year < 0 ? -c.year : c.year;
    return (size_t)snprintf(out, cap, "%s%04" PRId64 "-%02d-%02d", sign, year, c.month, c.day);
}

size_t sm_format_date(int32_t days, char out[SM_TIME_TEXT_BYTES])
{
    return put_date(days, out, SM_TIME_TEXT_BYTES);
}

size_t sm_format_timestamp(int64_t us, char out[SM_TIME_TEXT_BYTES])
{
    int64_t days = us / DAY_US, rest = us % DAY_US;
    if (rest < 0) {
        rest += DAY_US;
        days--;
    }
    size_t len = put_date(days, out, SM_TIME_TEXT_BYTES);
    const int second = (int)(rest / 1000000), fraction = (int)(rest % 1000000);
    len += (size_t)snprintf(out + len, SM_TIME_TEXT_BYTES - len, " %02d:%02d:%02d", second / 3600,
                            second / 60 % 60, second % 60);
    if (fraction) {
        len += (size_t)snprintf(out + len, SM_TIME_TEXT_BYTES - len, ".%06d", fraction);
    }
    return len;
}
