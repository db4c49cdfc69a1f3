/* SPDX-License-Identifier: Apache-2.0
 *
 * schedule/schedule_due.c: the intervals of a schedule. Called by the scheduler and by smelt
 * backfill.
 *
 * Meaning   Each interval goes from one time at which the schedule fires to the next. Its run is
 *           due at its end, when its data is there, and has the start as its logical date: the run
 *           of 1 May is for 30 April. */
#include "base/time.h"
#include "schedule/scheduler_int.h"

/* An instant as --date takes it: what the clocks of the zone show. */
static sm_str date_text(const sm_zone *z, int64_t instant_us, sm_arena *a)
{
    const int64_t day_us = INT64_C(86400000000);
    const int64_t local_us = sm_zone_local(z, instant_us);
    char text[SM_TIME_TEXT_BYTES];

    if (local_us % day_us == 0) {
        sm_format_date((int32_t)(local_us / day_us), text);
    } else {
        sm_format_timestamp(local_us, text);
        text[10] = 'T'; /* one word, also in the name of the run */
    }
    return sm_arena_str(a, sm_str_of(text));
}

sm_due smi_schedule_next(const sm_pipeline_times *t, int64_t after_us, sm_arena *a)
{
    const int64_t end_us = sm_cron_next(&t->cron, t->zone, after_us);
    const int64_t start_us = sm_cron_last(&t->cron, t->zone, end_us - 1);

    SM_ASSERT(start_us < end_us && end_us > after_us);
    return (sm_due){{start_us, end_us}, date_text(t->zone, start_us, a)};
}

sm_status sm_schedule_due(const sm_pipeline_times *t, int64_t after_us, int64_t to_us, sm_arena *a,
                          sm_due **out, int64_t *n, sm_error *e)
{
    int64_t cap = 0;

    *out = NULL;
    *n = 0;
    for (sm_due due = smi_schedule_next(t, after_us, a); due.interval.end_us <= to_us;
         due = smi_schedule_next(t, due.interval.end_us, a)) {
        if (*n == SMI_MOST_DUE) {
            return sm_fail(e, SM_LIMIT, "more than %d intervals of \"%.*s\"", SMI_MOST_DUE,
                           SM_STR_ARG(t->text));
        }
        *out = sm_arena_grow(a, *out, *n, &cap, sizeof(**out));
        (*out)[(*n)++] = due;
    }
    return SM_OK;
}
