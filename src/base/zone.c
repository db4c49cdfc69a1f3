/* SPDX-License-Identifier: Apache-2.0
 *
 * base/zone.c: time zones from the files of the tz database. Called by cron.c, for the schedules of
 * pipelines.
 *
 * Method   A zone is a list of stretches of time, each with the offset of its clocks. The file has
 *          those of the past, and a rule for all years behind them ("CET-1CEST,M3.5.0,M10.5.0/3"),
 *          of which the stretches of LAST_YEAR and earlier are made when the zone is loaded. The
 *          calendar repeats itself in 400 years, so later times are looked at that much earlier.
 * File     a header of 44 bytes: "TZif", a version, 15 bytes, then as big-endian u32 the numbers of
 *          UT marks, standard marks, leap seconds, transitions, types and bytes of names. Version 1
 *          has a block with times of 4 bytes, and from version 2 on the same again follows with 8:
 *            transitions  i64 each, then for each the index of a type as u8
 *            types        i32 offset in seconds, u8 is it summer time, u8 where its name begins
 *            names, leap seconds (12 bytes each), standard marks, UT marks: not read
 *          Behind it stands the rule between two LF.
 * Leap     seconds are not counted, as in all clocks of the machine; files that do are refused.
 * Source   RFC 9636, sections 3 and 3.3; POSIX.1-2017 8.3. */
#include "base/zone.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/text.h"
#include "base/time.h"

#define FOLDER     "/usr/share/zoneinfo"
#define FILE_BYTES ((size_t)1 << 16) /* the largest of 2025 has 3.5 KB */
#define HEAD_BYTES 44
#define LAST_YEAR  2500
#define SECOND_US  INT64_C(1000000)
#define DAY_US     (86400 * SECOND_US)
#define CYCLE_US   (146097 * DAY_US)     /* 400 years */
#define LEAST_S    (-(INT64_C(1) << 36)) /* year -208; before it, nothing is in a file but -2^59 */
#define OFFSET_US  (26 * 3600 * SECOND_US) /* no clock is further from UTC */

/* A stretch of time, up to the next one. */
typedef struct stretch {
    int64_t start_us; /* INT64_MIN: the first */
    int64_t offset_us;
} stretch;

struct sm_zone {
    sm_str name;
    stretch *stretches;
    int64_t n;
    int64_t repeats_us; /* from here on all is as CYCLE_US before; INT64_MAX: there is no rule */
};

/* ---- the rule -------------------------------------------------------------------------------- */

/* A day of each year, and a time of it. */
typedef struct rule_day {
    char kind;   /* J: day 1 to 365 without 29 February; 0: day 0 to 365; M: a weekday of a month */
    int64_t day; /* of J and 0; of M the weekday, 0 is Sunday */
    int64_t month, week;
    int64_t time_s;
} rule_day;

typedef struct rule {
    int64_t standard_s, summer_s; /* east of UTC is positive */
    bool has_summer;
    rule_day begins, ends;
} rule;

static bool take(sm_str *s, char c)
{
    if (s->len == 0 || s->data[0] != c) {
        return false;
    }
    *s = (sm_str){s->data + 1, s->len - 1};
    return true;
}

/* Digits, up to a largest value. */
static bool take_number(sm_str *s, int64_t most, int64_t *out)
{
    size_t n = 0;

    *out = 0;
    while (n < s->len && n < 4 && s->data[n] >= '0' && s->data[n] <= '9') {
        *out = *out * 10 + (s->data[n++] - '0');
    }
    *s = (sm_str){s->data + n, s->len - n};
    return n > 0 && *out <= most;
}

/* [+-]hh[:mm[:ss]] in seconds. */
static bool take_clock(sm_str *s, int64_t *out)
{
    const bool is_negative = take(s, '-');
    int64_t hours = 0, minutes = 0, seconds = 0;

    if ((!is_negative && take(s, '+') && s->len == 0) || !take_number(s, 167, &hours) ||
        (take(s, ':') &&
         (!take_number(s, 59, &minutes) || (take(s, ':') && !take_number(s, 59, &seconds))))) {
        return false;
    }
    *out = (hours * 60 + minutes) * 60 + seconds;
    *out = is_negative ? -*out : *out;
    return true;
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* The name of an offset: letters, or anything in < >. */
static bool pass_name(sm_str *s)
{
    const bool is_quoted = take(s, '<');
    size_t n = 0;

    while (n < s->len && (is_quoted ? s->data[n] != '>' : is_letter(s->data[n]))) {
        n++;
    }
    *s = (sm_str){s->data + n, s->len - n};
    return n > 0 && (!is_quoted || take(s, '>'));
}

static bool take_day(sm_str *s, rule_day *out)
{
    bool ok = false;

    *out = (rule_day){.time_s = 2 * 3600};
    if (!take(s, ',')) {
        return false;
    }
    if (take(s, 'M')) {
        out->kind = 'M';
        ok = take_number(s, 12, &out->month) && out->month > 0 && take(s, '.') &&
             take_number(s, 5, &out->week) && out->week > 0 && take(s, '.') &&
             take_number(s, 6, &out->day);
    } else {
        out->kind = take(s, 'J') ? 'J' : '0';
        ok = take_number(s, 365, &out->day) && (out->kind == '0' || out->day > 0);
    }
    return ok && (!take(s, '/') || take_clock(s, &out->time_s));
}

/* POSIX counts offsets to the west. */
static bool read_rule(sm_str s, rule *out)
{
    if (!pass_name(&s) || !take_clock(&s, &out->standard_s)) {
        return false;
    }
    out->standard_s = -out->standard_s;
    out->summer_s = out->standard_s + 3600;
    out->has_summer = s.len > 0;
    if (!out->has_summer) {
        return true;
    }
    if (!pass_name(&s)) {
        return false;
    }
    if (s.len > 0 && s.data[0] != ',') {
        if (!take_clock(&s, &out->summer_s)) {
            return false;
        }
        out->summer_s = -out->summer_s;
    }
    return take_day(&s, &out->begins) && take_day(&s, &out->ends) && s.len == 0;
}

/* The day since 1970 that a rule means in a year. */
static int64_t day_in_year(const rule_day *d, int64_t year)
{
    const int64_t first = sm_days_from_civil(year, 1, 1);
    const bool is_leap = sm_days_in_month(year, 2) == 29;

    if (d->kind == '0') {
        return first + d->day;
    }
    if (d->kind == 'J') {
        return first + d->day - 1 + (is_leap && d->day >= 60);
    }
    SM_ASSERT(d->kind == 'M' && d->week >= 1);
    const int64_t month = sm_days_from_civil(year, (int)d->month, 1);
    const int64_t weekday = ((month % 7) + 11) % 7; /* 1970-01-01 was a Thursday */
    const int64_t at = (d->day - weekday + 7) % 7 + (d->week - 1) * 7;
    return month + at - (at >= sm_days_in_month(year, (int)d->month) ? 7 : 0);
}

/* ---- the stretches --------------------------------------------------------------------------- */

static void add_stretch(sm_zone *z, int64_t start_us, int64_t offset_us)
{
    if (z->n > 0 && z->stretches[z->n - 1].offset_us == offset_us) {
        return;
    }
    if (z->n > 0 && z->stretches[z->n - 1].start_us >= start_us) { /* of no length */
        z->stretches[z->n - 1].offset_us = offset_us;
        return;
    }
    SM_ASSERT(z->n == 0 || start_us > z->stretches[z->n - 1].start_us);
    z->stretches[z->n++] = (stretch){start_us, offset_us};
}

/* A change of the clocks in a year, behind those of the file. */
static void add_change(sm_zone *z, const rule_day *d, int64_t year, int64_t before_s,
                       int64_t after_s, int64_t behind_us)
{
    const int64_t at = day_in_year(d, year) * DAY_US + (d->time_s - before_s) * SECOND_US;

    if (at > behind_us) {
        add_stretch(z, at, after_s * SECOND_US);
    }
}

static void add_years(sm_zone *z, const rule *r)
{
    const int64_t behind = z->n > 1 ? z->stretches[z->n - 1].start_us : LEAST_S * SECOND_US;
    const int64_t first = sm_civil_from_days(behind / DAY_US).year;

    if (!r->has_summer) {
        add_stretch(z, behind + 1, r->standard_s * SECOND_US);
        return;
    }
    for (int64_t year = first > 1900 ? first : 1900; year <= LAST_YEAR; year++) {
        const bool is_north = day_in_year(&r->begins, year) < day_in_year(&r->ends, year);
        for (int i = 0; i < 2; i++) {
            if ((i == 0) == is_north) {
                add_change(z, &r->begins, year, r->standard_s, r->summer_s, behind);
            } else {
                add_change(z, &r->ends, year, r->summer_s, r->standard_s, behind);
            }
        }
    }
    SM_ASSERT(z->n > 1);
    z->repeats_us = sm_days_from_civil(LAST_YEAR, 1, 1) * DAY_US;
}

/* ---- the file -------------------------------------------------------------------------------- */

typedef struct head {
    int64_t n_ut, n_standard, n_leaps, n_times, n_types, n_chars;
} head;

static uint32_t be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static int64_t be64(const uint8_t *p)
{
    return (int64_t)((uint64_t)be32(p) << 32 | be32(p + 4));
}

static bool read_head(sm_str s, head *out)
{
    const uint8_t *p = (const uint8_t *)s.data;

    if (s.len < HEAD_BYTES || memcmp(p, "TZif", 4) != 0 || p[4] < '2') {
        return false;
    }
    *out =
        (head){be32(p + 20), be32(p + 24), be32(p + 28), be32(p + 32), be32(p + 36), be32(p + 40)};
    return true;
}

/* The bytes behind a head, for times of so many bytes. */
static size_t block_bytes(const head *h, int64_t time_bytes)
{
    return (size_t)(h->n_times * (time_bytes + 1) + h->n_types * 6 + h->n_chars +
                    h->n_leaps * (time_bytes + 4) + h->n_standard + h->n_ut);
}

static bool read_block(sm_zone *z, const head *h, const uint8_t *times)
{
    const uint8_t *indexes = times + h->n_times * 8, *types = indexes + h->n_times;

    add_stretch(z, INT64_MIN, (int32_t)be32(types) * SECOND_US);
    for (int64_t i = 0; i < h->n_times; i++) {
        const int64_t at = be64(times + i * 8);
        if (indexes[i] >= h->n_types || (i > 0 && at <= be64(times + (i - 1) * 8))) {
            return false;
        }
        const int64_t offset_us = (int32_t)be32(types + indexes[i] * 6) * SECOND_US;
        if (at < LEAST_S) { /* the time since ever */
            z->stretches[0].offset_us = offset_us;
        } else if (at > -LEAST_S || llabs(offset_us) > OFFSET_US) {
            return false;
        } else {
            add_stretch(z, at * SECOND_US, offset_us);
        }
    }
    return true;
}

/* Reads what is in a file; false: it is damaged. */
static bool read_zone(sm_str s, sm_zone *z, sm_arena *a)
{
    head h;
    rule r = {0};

    if (!read_head(s, &h) || block_bytes(&h, 4) > s.len - HEAD_BYTES) {
        return false;
    }
    s = (sm_str){s.data + HEAD_BYTES + block_bytes(&h, 4), s.len - HEAD_BYTES - block_bytes(&h, 4)};
    if (!read_head(s, &h) || h.n_types == 0 || h.n_leaps > 0 ||
        block_bytes(&h, 8) > s.len - HEAD_BYTES) {
        return false;
    }
    z->stretches = SM_NEW_ARRAY(a, stretch, h.n_times + 2 * (LAST_YEAR - 1900 + 1) + 2);
    if (!read_block(z, &h, (const uint8_t *)s.data + HEAD_BYTES)) {
        return false;
    }
    const size_t used = HEAD_BYTES + block_bytes(&h, 8);
    s = (sm_str){s.data + used, s.len - used};
    if (!take(&s, '\n') || s.len == 0 || s.data[s.len - 1] != '\n') {
        return false;
    }
    s.len--;
    if (s.len > 0) { /* else nothing is known of the time behind the table */
        if (!read_rule(s, &r)) {
            return false;
        }
        add_years(z, &r);
    }
    return true;
}

/* ---- loading --------------------------------------------------------------------------------- */

static bool is_zone_name(sm_str s)
{
    char last = '/';

    for (size_t i = 0; i < s.len; last = s.data[i++]) {
        const char c = s.data[i];
        const bool is_word = is_letter(c) || (c >= '0' && c <= '9') || c == '_' || c == '-' ||
                             c == '+' || (c == '/' && last != '/');
        if (!is_word) {
            return false;
        }
    }
    return s.len > 0 && s.len <= 64 && last != '/' && is_letter(s.data[0]);
}

/* The bytes of a file, at most FILE_BYTES. */
static sm_status read_bytes(const char *path, sm_arena *a, sm_str *out, sm_error *e)
{
    char *bytes = SM_NEW_ARRAY(a, char, FILE_BYTES);
    FILE *f = fopen(path, "rbe");

    if (!f) {
        return sm_fail_errno(e, errno, "could not open it");
    }
    const size_t n = fread(bytes, 1, FILE_BYTES, f);
    const bool is_read = ferror(f) == 0;
    (void)fclose(f);
    *out = (sm_str){bytes, n};
    return is_read ? SM_OK : sm_fail(e, SM_IO, "could not read it");
}

sm_status sm_zone_load(sm_str name, sm_arena *a, const sm_zone **out, sm_error *e)
{
    sm_zone *z = SM_NEW(a, sm_zone);
    const char *folder = sm_env("TZDIR") ? sm_env("TZDIR") : FOLDER;
    sm_str bytes = {0};

    *z = (sm_zone){.name = sm_arena_str(a, name), .repeats_us = INT64_MAX};
    *out = z;
    if (sm_str_is(name, "UTC")) {
        z->stretches = SM_NEW_ARRAY(a, stretch, 1);
        add_stretch(z, INT64_MIN, 0);
        return SM_OK;
    }
    const sm_str path = sm_arena_strf(a, "%s/%.*s", folder, SM_STR_ARG(name));
    if (!is_zone_name(name) || read_bytes(path.data, a, &bytes, NULL) != SM_OK) {
        const sm_status st = sm_fail(e, SM_NAME, "no time zone \"%.*s\"", SM_STR_ARG(name));
        sm_error_todo(e,
                      "Write a name of the tz database, like Europe/Paris. It is in %s (package "
                      "tzdata).",
                      folder);
        return st;
    }
    if (!read_zone(bytes, z, a)) {
        const sm_status st = sm_fail(e, SM_CORRUPT, "no file of a time zone");
        sm_error_place_str(e, path, 0, -1);
        return st;
    }
    return SM_OK;
}

sm_str sm_zone_name(const sm_zone *z)
{
    return z->name;
}

/* ---- clocks ---------------------------------------------------------------------------------- */

/* By how much a time is looked at earlier. */
static int64_t cycles_us(const sm_zone *z, int64_t us)
{
    SM_ASSERT(us < INT64_MAX - CYCLE_US);
    return us < z->repeats_us ? 0 : ((us - z->repeats_us) / CYCLE_US + 1) * CYCLE_US;
}

/* The stretch that an instant is in. */
static int64_t stretch_at(const sm_zone *z, int64_t instant_us)
{
    int64_t low = 0, high = z->n;

    SM_ASSERT(z->n > 0 && z->stretches[0].start_us == INT64_MIN);

    while (high - low > 1) {
        const int64_t middle = (low + high) / 2;
        if (z->stretches[middle].start_us <= instant_us) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

int64_t sm_zone_local(const sm_zone *z, int64_t instant_us)
{
    const int64_t at = instant_us - cycles_us(z, instant_us);

    return instant_us + z->stretches[stretch_at(z, at)].offset_us;
}

sm_zone_shown sm_zone_instant(const sm_zone *z, int64_t local_us, int64_t *out)
{
    const int64_t cycles = cycles_us(z, local_us);
    const int64_t local = local_us - cycles;
    int n_shown = 0;

    SM_ASSERT(local < z->repeats_us);

    for (int64_t i = stretch_at(z, local - OFFSET_US);
         i < z->n && (i == 0 || z->stretches[i].start_us <= local + OFFSET_US); i++) {
        const stretch *s = &z->stretches[i];
        const int64_t instant = local - s->offset_us;
        const bool is_begun = s->start_us <= instant;
        if (is_begun && (i + 1 == z->n || instant < z->stretches[i + 1].start_us)) {
            *out = n_shown++ == 0 ? instant + cycles : *out;
        } else if (!is_begun && n_shown == 0) { /* put forward over it */
            *out = s->start_us + cycles;
            return SM_ZONE_NEVER;
        }
    }
    SM_ENSURE(n_shown > 0);
    return n_shown == 1 ? SM_ZONE_ONCE : SM_ZONE_TWICE;
}
