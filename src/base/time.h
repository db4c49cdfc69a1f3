/* SPDX-License-Identifier: Apache-2.0
 *
 * base/time.h: clocks, the proleptic Gregorian calendar, and times as text. Days count from
 * 1970-01-01, microseconds from its midnight UTC. Only base reads a clock.
 * Threads: every function may be called from any thread. */
#ifndef SM_BASE_TIME_H
#define SM_BASE_TIME_H

#include "base/str.h"

/* ---- clocks ---------------------------------------------------------------------------------- */

int64_t sm_now_us(void);         /* the wall clock, UTC; SMELT_NOW_US overrides it in tests */
int64_t sm_monotonic_ns(void);   /* for measuring durations */
int64_t sm_cpu_ns(void);         /* processor time of this process, user + system */
int64_t sm_peak_bytes(void);     /* its largest resident size so far (VmHWM); 0: not known */
int64_t sm_resident_bytes(void); /* its resident size now; 0: not known. Costs microseconds. */
void sm_sleep_ms(int64_t ms);    /* the whole time, signals or not */

/* ---- the calendar ---------------------------------------------------------------------------- */

typedef struct sm_civil {
    int64_t year;
    int month, day; /* 1-based */
} sm_civil;
int64_t sm_days_from_civil(int64_t year, int month, int day); /* the date must exist (asserted) */
sm_civil sm_civil_from_days(int64_t days);                    /* the inverse */
int sm_days_in_month(int64_t year, int month);                /* 28 to 31; month 1 to 12 */

/* DATE's and TIMESTAMP's value for infinity, and negated for -infinity; the same as DuckDB's. */
#define SM_DATE_INFINITY      INT32_MAX
#define SM_TIMESTAMP_INFINITY INT64_MAX

/* ---- reading --------------------------------------------------------------------------------- */

/* A date, a time of day, or both, as a text states them: local time, and the zone's offset. */
typedef struct sm_when {
    int64_t days;      /* the date */
    int64_t us;        /* the time of day, 0 to that of 24:00:00 */
    int64_t offset_us; /* from UTC; east is positive; 0 without a zone */
    int infinite;      /* 1 infinity, −1 -infinity: the numbers above mean nothing then */
    bool has_date, has_clock, has_zone;
    bool is_cut; /* digits of the fraction beyond microseconds were cut off, and not all were 0 */
} sm_when;

/**
 * Reads a time. This is the only reader of times; it reads what DuckDB casts from text.
 *
 * Shape     "2022-04-01[T| ]17:05[:00[.ffffff]][zone]", a date or a time of day alone, years before
 *           1 as "0045-01-01 (BC)", "infinity", "epoch"; also '/' instead of '-', one digit instead
 *           of two, spaces around it. A zone is Z, ±hh[[:]mm[:ss]], UTC or GMT, and needs a time of
 *           day before it. Fractions are cut to microseconds.
 * Returns   false if s is something else or no such date exists
 */
bool sm_parse_when(sm_str s, sm_when *out);
/** The local date; false if it has none or DATE cannot hold it. */
bool sm_when_date(const sm_when *when, int32_t *days);
/** The local date and time, or in UTC if is_instant; false if it has no date or TIMESTAMP cannot
 * hold it. */
bool sm_when_timestamp(const sm_when *when, bool is_instant, int64_t *us);

/** Reads "2022-04-01", only a finite date in exactly the form that sm_format_date() writes: for
 * dates in names and options. */
bool sm_parse_date(sm_str s, int32_t *days);
/**
 * Finds a date of eight digits in a name: "tv-20220401_a.json".
 *
 * Returns   how many stretches of exactly eight digits the name has; longer and shorter ones do not
 *           count. *is_date says whether there is one stretch and it is a date of the calendar;
 *           only then is *days set.
 */
int sm_date_in_name(sm_str name, int32_t *days, bool *is_date);
/** Reads a finite instant in any form of sm_parse_when(); UTC if it has no zone. */
bool sm_parse_instant(sm_str s, int64_t *us);

/* ---- writing: with a NUL; a year over 9999 has more digits, one below 0 a sign --------------- */

#define SM_TIME_TEXT_BYTES 48
/** Writes "2022-04-01". Returns its length. */
size_t sm_format_date(int32_t days, char out[SM_TIME_TEXT_BYTES]);
/** Writes "2022-04-01 17:05:00", and ".ffffff" (6 digits) if it is not 0. Returns its length. */
size_t sm_format_timestamp(int64_t us, char out[SM_TIME_TEXT_BYTES]);
/** Writes the same as UTC: "2022-04-01T17:05:00Z". Returns its length. */
size_t sm_format_instant(int64_t us, char out[SM_TIME_TEXT_BYTES]);

#endif
