/* SPDX-License-Identifier: Apache-2.0
 *
 * base/time.h: clocks and the proleptic Gregorian calendar. Days count from 1970-01-01,
 * microseconds from its midnight UTC. Only base reads a clock. */
#ifndef SM_BASE_TIME_H
#define SM_BASE_TIME_H

#include "base/arena.h"

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

/** "2022-04-01" in full; false where it is not a date. */
bool sm_parse_date(sm_str s, int32_t *days);
/** "2022-04-01[T ]17:05:00[.ffffff][Z|±hh[:mm]]" or a date alone. *has_zone: was one given (then us
 * is UTC)? Fractions beyond microseconds are cut. */
bool sm_parse_timestamp(sm_str s, int64_t *us, bool *has_zone);
/** Writes with NUL, returns the length. "2022-04-01"; "2022-04-01 17:05:00[.ffffff]" (6 digits,
 * none where zero). A year over 9999 or below 0 has a sign or more digits. */
#define SM_TIME_TEXT_BYTES 48
size_t sm_format_date(int32_t days, char out[SM_TIME_TEXT_BYTES]);
size_t sm_format_timestamp(int64_t us, char out[SM_TIME_TEXT_BYTES]);

#endif
