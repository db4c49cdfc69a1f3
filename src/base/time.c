/* SPDX-License-Identifier: Apache-2.0
 *
 * base/time.c: clocks, the calendar, and times as text.
 *
 * Calendar  Years are counted from March, so that the leap day is the last day of a year. The
 *           calendar repeats every 400 years, which have 146,097 days. In such a year
 *           (153 m + 2) / 5 days come before month m, where March is 0 (Hinnant, chrono-Compatible
 *           Low-Level Date Algorithms).
 * Reading   sm_parse_when() walks over the text once; a take_ function reads one part and returns
 *           false if that part is not there. Dates and times of day in their usual form have a
 *           shorter way. */
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
    SM_ENSURE(failed == 0);
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

/* Reads one of the kernel's files on this process. Returns false if there is none. */
static bool read_own(const char *path, char *text, size_t cap)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    const ssize_t n = read(fd, text, cap - 1);
    close(fd);
    text[n > 0 ? n : 0] = '\0';
    return n > 0;
}

/* Not by getrusage: its maximum survives exec and may be that of the shell that started us. */
int64_t sm_peak_bytes(void)
{
    char text[4096];
    const char *row =
        read_own("/proc/self/status", text, sizeof(text)) ? strstr(text, "\nVmHWM:") : NULL;
    return row ? strtoll(row + strlen("\nVmHWM:"), NULL, 10) * 1024 : 0;
}

int64_t sm_resident_bytes(void)
{
    char text[256];
    const char *second =
        read_own("/proc/self/statm", text, sizeof(text)) ? strchr(text, ' ') : NULL;
    return second ? strtoll(second, NULL, 10) * sysconf(_SC_PAGESIZE) : 0;
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
    SM_ASSERT(day >= 1 && day <= sm_days_in_month(year, month));
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
    SM_ASSERT(day_of_era >= 0 && day_of_era < 146097 && year_of_era < 400);
    SM_ASSERT(month >= 1 && month <= 12);
    return (sm_civil){
        .year = year_of_era + era * 400 + (month <= 2),
        .month = month,
        .day = (int)(day_of_year - (153 * march_month + 2) / 5 + 1),
    };
}

/* ---- reading --------------------------------------------------------------------------------- */

typedef struct cursor {
    const char *at, *end;
} cursor;

static bool is_digit_at(const cursor *c)
{
    return c->at < c->end && *c->at >= '0' && *c->at <= '9';
}

static bool take_char(cursor *c, char wanted)
{
    if (c->at < c->end && *c->at == wanted) {
        c->at++;
        return true;
    }
    return false;
}

static bool is_space_at(const cursor *c)
{
    return c->at < c->end && (*c->at == ' ' || (*c->at >= '\t' && *c->at <= '\r'));
}

static void take_spaces(cursor *c)
{
    while (is_space_at(c)) {
        c->at++;
    }
}

static bool take_word(cursor *c, sm_str word)
{
    if ((size_t)(c->end - c->at) < word.len || !sm_str_eq_nocase((sm_str){c->at, word.len}, word)) {
        return false;
    }
    c->at += word.len;
    return true;
}

/* Reads a number of at most `most` digits; false if there are fewer than `least`. */
static bool take_number(cursor *c, int least, int most, int64_t *out)
{
    const char *const start = c->at;
    int64_t v = 0;
    while (is_digit_at(c) && c->at - start < most) {
        v = v * 10 + (*c->at++ - '0');
    }
    *out = v;
    return c->at - start >= least;
}

/* Sets the date, after reading the " (BC)" that may follow it; false if there is no such day. */
static bool set_date(cursor *c, int64_t year, int64_t month, int64_t day, sm_when *out)
{
    if (c->end - c->at >= 5 && c->at[1] == '(' && take_word(c, SM_STR(" (BC)"))) {
        if (year <= 0) {
            return false;
        }
        year = 1 - year;
    }
    if (month < 1 || month > 12 || day < 1 || day > sm_days_in_month(year, (int)month)) {
        return false;
    }
    out->days = sm_days_from_civil(year, (int)month, (int)day);
    out->has_date = true;
    return true;
}

/* Reads -M-D[ (BC)] behind a year. The separator is '-', '/', '\' or ' ', both times the same. */
static bool take_month_and_day(cursor *c, int64_t year, sm_when *out)
{
    int64_t month = 0, day = 0;
    if (c->at == c->end) {
        return false;
    }
    const char separator = *c->at++;
    if (separator != '-' && separator != '/' && separator != ' ' && separator != '\\') {
        return false;
    }
    return take_number(c, 1, 2, &month) && take_char(c, separator) && take_number(c, 1, 2, &day) &&
           !is_digit_at(c) && set_date(c, year, month, day, out);
}

/* The value of two digits at p; 100 if they are not both digits. */
static int two_digits(const char *p)
{
    const unsigned tens = (unsigned)p[0] - '0', ones = (unsigned)p[1] - '0';
    return tens < 10 && ones < 10 ? (int)(tens * 10 + ones) : 100;
}

/* Is a date of the form "2022-04-01" here? Nearly all dates are, and need no search for their
 * parts then. */
static bool is_at_usual_date(const cursor *c, int64_t *year, int *month, int *day)
{
    const char *const p = c->at;
    if (c->end - p < 10 || p[4] != '-' || p[7] != '-' ||
        (c->end - p > 10 && p[10] >= '0' && p[10] <= '9')) {
        return false;
    }
    const int high = two_digits(p), low = two_digits(p + 2);
    *year = (int64_t)high * 100 + low;
    *month = two_digits(p + 5);
    *day = two_digits(p + 8);
    return high < 100 && low < 100 && *month < 100 && *day < 100;
}

/* Reads a fraction as microseconds. Finer digits are cut; there may be no digit at all. */
static int64_t take_fraction(cursor *c, sm_when *out)
{
    int64_t us = 0;
    for (int64_t unit = 100000; is_digit_at(c); c->at++) {
        us += (*c->at - '0') * unit;
        out->is_cut = out->is_cut || (unit == 0 && *c->at != '0');
        unit /= 10;
    }
    SM_ASSERT(us < 1000000);
    return us;
}

/* Reads a time of day of the form "17:05:00", which nearly all have. */
static bool take_usual_clock(cursor *c, sm_when *out)
{
    const char *const p = c->at;
    if (c->end - p < 8 || p[2] != ':' || p[5] != ':' ||
        (c->end - p > 8 && p[8] >= '0' && p[8] <= '9')) {
        return false;
    }
    const int hour = two_digits(p), minute = two_digits(p + 3), second = two_digits(p + 6);
    if (hour > 23 || minute > 59 || second > 59) {
        return false;
    }
    c->at += 8;
    out->us = ((int64_t)hour * 3600 + minute * 60 + second) * 1000000;
    out->us += take_char(c, '.') ? take_fraction(c, out) : 0;
    out->has_clock = true;
    return true;
}

/* Reads :[M[:[S[.f]]]] behind an hour. The last part may be missing after its colon, as in DuckDB.
 * */
static bool take_clock(cursor *c, int64_t hour, sm_when *out)
{
    int64_t minute = 0, second = 0, fraction = 0;
    if (!take_char(c, ':')) {
        return false;
    }
    if (c->at < c->end) {
        if (!take_number(c, 1, 2, &minute) || minute > 59) {
            return false;
        }
        if (take_char(c, ':') && c->at < c->end) {
            if (!take_number(c, 1, 2, &second) || second > 59) {
                return false;
            }
            fraction = take_char(c, '.') ? take_fraction(c, out) : 0;
        }
    }
    out->us = (hour * 3600 + minute * 60 + second) * 1000000 + fraction;
    out->has_clock = true;
    return out->us <= DAY_US; /* 24:00:00 is the end of a day */
}

/* Reads ±hh[[:]mm[:ss]]. */
static bool take_offset(cursor *c, sm_when *out)
{
    int64_t hour = 0, minute = 0, second = 0;
    const bool is_negative = take_char(c, '-');
    if ((!is_negative && !take_char(c, '+')) || !take_number(c, 2, 2, &hour)) {
        return false;
    }
    const bool has_colon = take_char(c, ':');
    if ((has_colon || is_digit_at(c)) && !take_number(c, 2, 2, &minute)) {
        return false;
    }
    if (has_colon && take_char(c, ':') && !take_number(c, 2, 2, &second)) {
        return false;
    }
    const int64_t offset = ((hour * 60 + minute) * 60 + second) * 1000000;
    out->offset_us = is_negative ? -offset : offset;
    return hour < 24 && minute < 60 && second < 60 && !is_digit_at(c);
}

/* Reads Z, an offset, UTC or GMT, with a space before it or not; or nothing. */
static bool take_zone(cursor *c, sm_when *out)
{
    const bool has_space = take_char(c, ' ');
    if (c->at == c->end || is_space_at(c)) {
        return true;
    }
    out->has_zone = true;
    return take_char(c, 'Z') ||
           (has_space && (take_word(c, SM_STR("UTC")) || take_word(c, SM_STR("GMT")))) ||
           take_offset(c, out);
}

/* Reads infinity, -infinity, inf, -inf or epoch. */
static bool take_special(cursor *c, sm_when *out)
{
    const bool is_negative = take_char(c, '-');
    if (take_word(c, SM_STR("infinity")) || take_word(c, SM_STR("inf"))) {
        out->infinite = is_negative ? -1 : 1;
    } else if (is_negative || !take_word(c, SM_STR("epoch"))) {
        return false;
    }
    out->has_date = true;
    return true;
}

/* Reads what may follow a date: nothing, or a 'T' or spaces and a time of day. */
static bool take_clock_behind(cursor *c, sm_when *out)
{
    int64_t hour = 0;
    const bool has_t = take_char(c, 'T');
    const bool has_space = is_space_at(c);
    if (!has_t) {
        take_spaces(c);
    }
    if (!has_t && !(has_space && is_digit_at(c))) {
        return true;
    }
    const bool has_clock =
        take_usual_clock(c, out) || (take_number(c, 1, 9, &hour) && take_clock(c, hour, out));
    return has_clock && take_zone(c, out);
}

/* Reads a time. The first number is an hour if a colon follows, else a year. */
static bool take_when(cursor *c, sm_when *out)
{
    const char *const start = c->at;
    int64_t first = 0;
    int month = 0, day = 0;
    if (is_at_usual_date(c, &first, &month, &day)) {
        c->at += 10;
        return set_date(c, first, month, day, out) && take_clock_behind(c, out);
    }
    const bool is_negative = take_char(c, '-');
    if (!take_number(c, 1, 9, &first)) {
        c->at = start;
        return take_special(c, out);
    }
    if (!is_negative && c->at < c->end && *c->at == ':') {
        return take_clock(c, first, out) && take_zone(c, out);
    }
    return first < 100000000 && take_month_and_day(c, is_negative ? -first : first, out) &&
           take_clock_behind(c, out);
}

bool sm_parse_when(sm_str s, sm_when *out)
{
    cursor c = {s.data, s.data + s.len};
    sm_when when = {0};
    take_spaces(&c);
    const bool is_one = take_when(&c, &when);
    take_spaces(&c);
    if (!is_one || c.at != c.end) {
        return false;
    }
    *out = when;
    return true;
}

bool sm_when_date(const sm_when *when, int32_t *days)
{
    SM_ASSERT(when->infinite >= -1 && when->infinite <= 1);
    if (when->infinite != 0) {
        *days = when->infinite * SM_DATE_INFINITY;
        return true;
    }
    *days = (int32_t)when->days;
    return when->has_date && when->days > -SM_DATE_INFINITY && when->days < SM_DATE_INFINITY;
}

bool sm_when_timestamp(const sm_when *when, bool is_instant, int64_t *us)
{
    if (when->infinite != 0) {
        *us = when->infinite * SM_TIMESTAMP_INFINITY;
        return true;
    }
    const int64_t in_day = when->us - (is_instant ? when->offset_us : 0);
    /* The first day of the range is not whole (it is in the year -290308), so its midnight would
     * overflow: a negative day is reached from the midnight after it. */
    const int64_t borrow = when->days < 0;
    int64_t sum = 0;
    if (!when->has_date || __builtin_mul_overflow(when->days + borrow, DAY_US, &sum) ||
        __builtin_add_overflow(sum, in_day - borrow * DAY_US, &sum)) {
        return false;
    }
    SM_ASSERT(when->us >= 0 && when->us <= DAY_US);
    *us = sum;
    return sum > -SM_TIMESTAMP_INFINITY && sum < SM_TIMESTAMP_INFINITY;
}

bool sm_parse_date(sm_str s, int32_t *days)
{
    char text[SM_TIME_TEXT_BYTES];
    sm_when when = {0};
    int32_t read = 0;
    if (!sm_parse_when(s, &when) || when.infinite != 0 || !sm_when_date(&when, &read) ||
        !sm_str_eq(s, (sm_str){text, sm_format_date(read, text)})) {
        return false;
    }
    *days = read;
    return true;
}

int sm_date_in_name(sm_str name, int32_t *days, bool *is_date)
{
    const char *d = NULL;
    int n = 0;

    for (size_t i = 0, end = 0; i < name.len; i = end + 1) {
        for (end = i; end < name.len && name.data[end] >= '0' && name.data[end] <= '9'; end++) {
        }
        if (end - i == 8) {
            d = name.data + i;
            n++;
        }
    }
    *is_date = false;
    if (n == 1) {
        const char text[] = {d[0], d[1], d[2], d[3], '-', d[4], d[5], '-', d[6], d[7]};
        *is_date = sm_parse_date((sm_str){text, sizeof(text)}, days);
    }
    return n;
}

bool sm_parse_instant(sm_str s, int64_t *us)
{
    sm_when when = {0};
    int64_t read = 0;
    if (!sm_parse_when(s, &when) || when.infinite != 0 || !sm_when_timestamp(&when, true, &read)) {
        return false;
    }
    *us = read;
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

size_t sm_format_instant(int64_t us, char out[SM_TIME_TEXT_BYTES])
{
    const size_t len = sm_format_timestamp(us, out);
    char *blank = memchr(out, ' ', len);

    SM_ENSURE(blank && len + 2 <= SM_TIME_TEXT_BYTES);
    *blank = 'T';
    memcpy(out + len, "Z", 2);
    return len + 1;
}
