/* SPDX-License-Identifier: Apache-2.0
 *
 * base/cron.h: schedules as cron writes them, and the instants at which they fire.
 * Threads: a schedule does not change, so any number of threads may use one. */
#ifndef SM_BASE_CRON_H
#define SM_BASE_CRON_H

#include "base/zone.h"

/* The times of day and days of a schedule: bit n is the value n. */
typedef struct sm_cron {
    uint64_t seconds, minutes, hours;
    uint64_t days, months, weekdays; /* days and months from 1; weekday 0 is Sunday */
    bool is_any_day, is_any_weekday; /* the field is a star alone */
} sm_cron;

/**
 * Reads a schedule.
 *
 * Shape     five fields: minute, hour, day of the month, month, day of the week; six: seconds
 * first.
 *           A field is a list, by commas, of `*`, n or n-m, each with a step, "/n" (n/s goes to the
 *           end). Months and weekdays may be the first three letters of their English names; 7 is
 *           Sunday. Or @hourly, @daily, @midnight, @weekly, @monthly, @yearly, @annually. Where
 *           both
 *           kinds of day are restricted (all but a star alone), one of them is enough, as cron has
 *           it
 * Errors    SM_SYNTAX with the byte of the text; SM_INVALID: it never fires (30 February)
 * Source    crontab(5) of Vixie cron
 */
sm_status sm_cron_parse(sm_str text, sm_cron *out, sm_error *e) SM_MUST_USE;
/**
 * The first instant after another at which a schedule fires.
 *
 * Shape     the fields are of the clocks of the zone. A time that they do not show, as they are put
 *           forward over it, fires at the first instant after; one that they show twice fires at
 *           the
 *           first. Several times that come to one instant fire once
 */
int64_t sm_cron_next(const sm_cron *c, const sm_zone *z, int64_t after_us);
/** The last instant before or at another at which it fires. */
int64_t sm_cron_last(const sm_cron *c, const sm_zone *z, int64_t at_us);

#endif
