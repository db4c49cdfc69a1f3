/* SPDX-License-Identifier: Apache-2.0
 *
 * schedule/schedule_due_test.c: the intervals of schedules over a year in several zones, days on
 * which the clocks change, and the scheduler itself on a clock that runs a year in a second. */
#include "scratch.h"

#include <malloc.h>

#include "base/thread.h"
#include "base/time.h"
#include "schedule/scheduler_int.h"

#define HOUR_US INT64_C(3600000000)

static sm_pipeline_times times_of(const char *text, const char *zone, sm_arena *a)
{
    sm_pipeline_times t = {.text = sm_str_of(text)};

    assert_int_equal(sm_cron_parse(t.text, &t.cron, NULL), SM_OK);
    assert_int_equal(sm_zone_load(sm_str_of(zone), a, &t.zone, NULL), SM_OK);
    return t;
}

static int64_t at(const char *text)
{
    int64_t us = 0;

    assert_true(sm_parse_instant(sm_str_of(text), &us));
    return us;
}

static const struct {
    const char *schedule, *zone;
    int64_t n; /* intervals that end in 2024 */
} years[] = {
    {"@daily", "UTC", 366},
    {"@daily", "Europe/Paris", 366},
    {"@daily", "America/New_York", 366},
    {"30 2 * * *", "Europe/Paris", 366}, /* a time that one day does not have, and one twice */
    {"30 2 * * *", "Australia/Lord_Howe", 366}, /* clocks change by half an hour */
    {"@hourly", "Asia/Kolkata", 8784},
    {"@hourly", "Europe/Paris", 8783}, /* the hour that comes twice fires once */
    {"0 6 * * 1-5", "Europe/Paris", 262},
    {"@monthly", "Pacific/Apia", 12},
    {"0 0 29 2 *", "UTC", 1},
};

static void test_a_year_has_all_its_intervals(void **state)
{
    (void)state;
    for (int i = 0; i < SM_COUNT(years); i++) {
        sm_arena *a = sm_arena_new(NULL);
        const sm_pipeline_times t = times_of(years[i].schedule, years[i].zone, a);
        sm_due *due = NULL;
        int64_t n = 0, begin = 0, end = 0;

        (void)sm_zone_instant(t.zone, at("2024-01-01"), &begin);
        (void)sm_zone_instant(t.zone, at("2025-01-01"), &end);
        assert_int_equal(sm_schedule_due(&t, begin - 1, end - 1, a, &due, &n, NULL), SM_OK);
        if (n != years[i].n) {
            fail_msg("%s in %s: %d intervals", years[i].schedule, years[i].zone, (int)n);
        }
        for (int64_t k = 1; k < n; k++) { /* each begins where the one before it ended */
            assert_int_equal(due[k].interval.start_us, due[k - 1].interval.end_us);
        }
        sm_arena_free(a);
    }
}

static const struct {
    const char *schedule, *zone, *after, *start, *end, *date; /* instants in UTC */
} days[] = {
    {"@daily", "UTC", "2024-05-01 05:00", "2024-05-01", "2024-05-02", "2024-05-01"},
    {"@daily", "Europe/Paris", "2024-04-30 21:59", "2024-04-29 22:00", "2024-04-30 22:00",
     "2024-04-30"},
    /* 02:30 does not exist: it fires at 03:00 of the summer time */
    {"30 2 * * *", "Europe/Paris", "2024-03-31 00:59", "2024-03-30 01:30", "2024-03-31 01:00",
     "2024-03-30T02:30:00"},
    {"30 2 * * *", "Europe/Paris", "2024-03-31 01:00", "2024-03-31 01:00", "2024-04-01 00:30",
     "2024-03-31T03:00:00"},
    /* 02:30 comes twice: once, at the first */
    {"30 2 * * *", "Europe/Paris", "2024-10-27 00:29", "2024-10-26 00:30", "2024-10-27 00:30",
     "2024-10-26T02:30:00"},
    {"30 2 * * *", "Europe/Paris", "2024-10-27 00:30", "2024-10-27 00:30", "2024-10-28 01:30",
     "2024-10-27T02:30:00"},
    {"*/10 * * * * *", "UTC", "2024-01-01 00:00:10", "2024-01-01 00:00:10", "2024-01-01 00:00:20",
     "2024-01-01T00:00:10"},
};

static void test_a_run_is_due_at_the_end_and_has_the_date_of_the_start(void **state)
{
    (void)state;
    for (int i = 0; i < SM_COUNT(days); i++) {
        sm_arena *a = sm_arena_new(NULL);
        const sm_pipeline_times t = times_of(days[i].schedule, days[i].zone, a);
        const sm_due due = smi_schedule_next(&t, at(days[i].after), a);

        assert_int_equal(due.interval.start_us, at(days[i].start));
        assert_int_equal(due.interval.end_us, at(days[i].end));
        assert_string_equal(due.date.data, days[i].date);
        sm_arena_free(a);
    }
}

static void test_too_many_intervals_are_refused(void **state)
{
    sm_arena *a = sm_arena_new(NULL);
    const sm_pipeline_times t = times_of("* * * * * *", "UTC", a);
    sm_due *due = NULL;
    int64_t n = 0;
    sm_error e = {0};

    (void)state;
    assert_int_equal(sm_schedule_due(&t, at("2024-01-01"), at("2025-01-01"), a, &due, &n, &e),
                     SM_LIMIT);
    sm_arena_free(a);
}

/* ---- the scheduler on a clock of its own ----------------------------------------------------- */

/* A year, by the hour. What is started only ends, so that each run is given up. */
typedef struct year {
    int64_t now_us, end_us;
    sm_cancel cancel;
    int64_t n_lines, n_skipped;
    size_t early_bytes, late_bytes; /* the most on the heap in the second month, and at last */
} year;

static int64_t tell_time(void *ctx)
{
    year *y = ctx;

    const size_t used = mallinfo2().uordblks;
    const int64_t day = 366 - (y->end_us - y->now_us) / (24 * HOUR_US);

    y->now_us += HOUR_US / 4;
    if (day > 30 && day < 60) {
        y->early_bytes = used > y->early_bytes ? used : y->early_bytes;
    } else if (day > 300) {
        y->late_bytes = used > y->late_bytes ? used : y->late_bytes;
    }
    if (y->now_us >= y->end_us) {
        sm_cancel_set(&y->cancel);
    }
    return y->now_us;
}

static void hear(void *ctx, const char *line)
{
    year *y = ctx;

    y->n_lines++;
    y->n_skipped += strstr(line, "are skipped") != NULL;
}

static void test_a_year_of_days_in_a_second(void **state)
{
    scratch where = scratch_new();
    sm_arena *a = sm_arena_new(NULL);
    sm_store *store = open_scratch(&where);
    year y = {.now_us = at("2024-01-01"), .end_us = at("2025-01-01")};
    const sm_str file = sm_arena_strf(a, "%s/p.yaml", where.path);
    sm_state *s = NULL;
    sm_run_row *rows = NULL;
    int64_t n = 0;

    (void)state;
    put_text(store, "p.yaml",
             "name: p\nschedule: '@daily'\ntimezone: Europe/Paris\ncatchup: true\n"
             "vars: {lake: {type: uri, default: ./lake}}\nlake: lake\n"
             "tasks: [{view: a.b, sql: q.sql}]\n");
    put_text(store, "q.sql", "SELECT 1 AS x");
    sm_store_release(store);
    const sm_scheduler_opts opts = {.stores = test_stores,
                                    .files = &file,
                                    .n_files = 1,
                                    .program = SM_STR("/bin/true"),
                                    .cancel = &y.cancel,
                                    .say = hear,
                                    .ctx = &y,
                                    .now_us = tell_time};
    assert_int_equal(sm_scheduler_run(&opts, NULL), SM_OK);
    assert_int_equal(sm_state_open(sm_state_folder(file, a), false, &s, NULL), SM_OK);
    assert_int_equal(sm_state_runs(s, &(sm_run_filter){0}, a, &rows, &n, NULL), SM_OK);
    assert_in_range(n, 364, 366);
    for (int64_t i = 0; i + 1 < n; i++) { /* the latest first: none is missing, none is twice */
        assert_int_equal(rows[i].interval.start_us, rows[i + 1].interval.end_us);
    }
    assert_string_equal(rows[n - 1].date.data, "2024-01-01");
    /* But for SQLite's cache of pages, of which there may be 512 KiB, it is flat. */
    if (y.late_bytes > y.early_bytes + (512 << 10)) {
        fail_msg("the heap grows: %zu, then %zu bytes", y.early_bytes, y.late_bytes);
    }
    assert_int_equal(y.n_skipped, 0);
    sm_state_close(s);
    sm_arena_free(a);
    scratch_free(&where);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_year_has_all_its_intervals),
        cmocka_unit_test(test_a_run_is_due_at_the_end_and_has_the_date_of_the_start),
        cmocka_unit_test(test_too_many_intervals_are_refused),
        cmocka_unit_test(test_a_year_of_days_in_a_second),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
