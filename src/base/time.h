/* SPDX-License-Identifier: Apache-2.0
 *
 * base/time.h: clocks and the proleptic Gregorian calendar. Days count from 1970-01-01,
 * microseconds from its midnight UTC. Only base reads a clock. */
#ifndef SM_BASE_TIME_H
#define SM_BASE_TIME_H

#include "base/str.h"

int64_t sm_now_us(void);       /* wall clock, UTC; SMELT_NOW_US overrides it in tests */
int64_t sm_monotonic_ns(void); /* for measuring */
int64_t sm_cpu_ns(void);       /* this process, user + system */
int64_t sm_peak_bytes(void);   /* VmHWM */
void sm_sleep_ms(int64_t ms);

typedef struct sm_civil {
    int64_t year;
    int month, day; /* 1-based */
} sm_civil;
int64_t sm_days_from_civil(int64_t year, int month, int day); /* the date must exist */
sm_civil sm_civil_from_days(int64_t days);
int sm_days_in_month(int64_t year, int month);

/* What DATE and TIMESTAMP hold for infinity; the negative of it for -infinity. As DuckDB. */
#define SM_DATE_INFINITY      INT32_MAX
#define SM_TIMESTAMP_INFINITY INT64_MAX

/* A date, a clock, or both, as they stand in a text: what a clock on the wall shows, and the zone
 * it hangs in. */
typedef struct sm_when {
    int64_t days;      /* of the date */
    int64_t us;        /* of the clock, to 24:00:00 */
    int64_t offset_us; /* from UTC; east is positive; 0 without a zone */
    int infinite;      /* 1 infinity, −1 -infinity: then nothing else counts */
    bool has_date, has_clock, has_zone;
    bool is_cut; /* its fraction has more than microseconds, which are not in us */
} sm_when;

/** The one reader of times, as DuckDB casts text: "2022-04-01[T| ]17:05[:00[.ffffff]][zone]", a
 * date or a clock alone, years before 1 as "0045-01-01 (BC)", "infinity", "epoch"; '/' for '-', one
 * digit for two, spaces around. A zone is Z, ±hh[[:]mm[:ss]], UTC or GMT, and stands behind a clock
 * only. Fractions beyond microseconds are cut. */
bool sm_parse_when(sm_str s, sm_when *out);
/** Its date on the wall; false where it has none or DATE has no such day. */
bool sm_when_date(const sm_when *when, int32_t *days);
/** Its date and clock on the wall, or, is_instant, in UTC. */
bool sm_when_timestamp(const sm_when *when, bool is_instant, int64_t *us);

/** "2022-04-01", finite and in just the form that sm_format_date writes: names, options, books. */
bool sm_parse_date(sm_str s, int32_t *days);
/** The one run of exactly eight digits in a name, longer and shorter ones left out, as a date:
 * "tv-20220401_a.json". Gives how many such runs there are; *days is set, and *is_date true, only
 * where it is one, and a date of the calendar. */
int sm_date_in_name(sm_str name, int32_t *days, bool *is_date);
/** The finite instant of a text that sm_parse_when reads; UTC where it has no zone. */
bool sm_parse_instant(sm_str s, int64_t *us);
/** Writes with NUL, returns the length. "2022-04-01"; "2022-04-01 17:05:00[.ffffff]" (6 digits,
 * none where zero). A year over 9999 or below 0 has a sign or more digits. */
#define SM_TIME_TEXT_BYTES 48
size_t sm_format_date(int32_t days, char out[SM_TIME_TEXT_BYTES]);
size_t sm_format_timestamp(int64_t us, char out[SM_TIME_TEXT_BYTES]);

#endif
