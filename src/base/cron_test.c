/* SPDX-License-Identifier: Apache-2.0
 *
 * base/cron_test.c: schedules that are read and that are none, and when they fire. */
#include "test.h"

#include "base/cron.h"
#include "base/time.h"

static int64_t us_of(const char *text)
{
    int64_t us = 0;

    assert_true(sm_parse_instant(sm_str_of(text), &us));
    return us;
}

static void test_next(void **state)
{
    static const struct {
        const char *cron, *zone, *after, *next[3];
    } rows[] = {
        {"0 6 * * *",
         "UTC",
         "2024-05-01 05:59:59",
         {"2024-05-01 06:00:00", "2024-05-02 06:00:00", "2024-05-03 06:00:00"}},
        {"@daily",
         "UTC",
         "2024-02-28 00:00:00",
         {"2024-02-29 00:00:00", "2024-03-01 00:00:00", "2024-03-02 00:00:00"}},
        {"@Monthly",
         "UTC",
         "2023-12-31 23:59:59.999999",
         {"2024-01-01 00:00:00", "2024-02-01 00:00:00", "2024-03-01 00:00:00"}},
        {"*/20 1-2 * * *",
         "UTC",
         "2024-05-01 01:40:00",
         {"2024-05-01 02:00:00", "2024-05-01 02:20:00", "2024-05-01 02:40:00"}},
        {"*/30 * * * * *",
         "UTC",
         "2024-05-01 23:59:29",
         {"2024-05-01 23:59:30", "2024-05-02 00:00:00", "2024-05-02 00:00:30"}},
        {"5/20 0 * jan,JUL Mon-fri",
         "UTC",
         "2024-01-31 00:24:59",
         {"2024-01-31 00:25:00", "2024-01-31 00:45:00", "2024-07-01 00:05:00"}},
        {"0 0 13 * 5",
         "UTC",
         "2024-09-12 12:00:00", /* the 13th, and Fridays */
         {"2024-09-13 00:00:00", "2024-09-20 00:00:00", "2024-09-27 00:00:00"}},
        {"0 0 */2 * 1",
         "UTC",
         "2024-05-01 00:00:00", /* a step restricts, too */
         {"2024-05-03 00:00:00", "2024-05-05 00:00:00", "2024-05-06 00:00:00"}},
        {"0 0 * * 7",
         "UTC",
         "2024-05-01 00:00:00",
         {"2024-05-05 00:00:00", "2024-05-12 00:00:00", "2024-05-19 00:00:00"}},
        {"0 0 29 2 *",
         "UTC",
         "2096-03-01 00:00:00",
         {"2104-02-29 00:00:00", "2108-02-29 00:00:00", "2112-02-29 00:00:00"}},
        {"0 0 1 1 *",
         "UTC",
         "1969-06-01 00:00:00",
         {"1970-01-01 00:00:00", "1971-01-01 00:00:00", "1972-01-01 00:00:00"}},
        /* put forward over it: at the first instant after */
        {"30 2 * * *",
         "Europe/Paris",
         "2024-03-30 12:00:00",
         {"2024-03-31 01:00:00", "2024-04-01 00:30:00", "2024-04-02 00:30:00"}},
        {"*/15 2,3 * * *",
         "Europe/Paris",
         "2024-03-31 00:00:00",
         {"2024-03-31 01:00:00", "2024-03-31 01:15:00", "2024-03-31 01:30:00"}},
        {"0 12 * * *",
         "Pacific/Apia",
         "2011-12-29 22:00:00", /* a day that was not */
         {"2011-12-30 10:00:00", "2011-12-30 22:00:00", "2011-12-31 22:00:00"}},
        /* shown twice: at the first */
        {"30 2 * * *",
         "Europe/Paris",
         "2024-10-26 12:00:00",
         {"2024-10-27 00:30:00", "2024-10-28 01:30:00", "2024-10-29 01:30:00"}},
        {"0,30 * * * *",
         "Europe/Paris",
         "2024-10-27 00:29:59",
         {"2024-10-27 00:30:00", "2024-10-27 02:00:00", "2024-10-27 02:30:00"}},
        {"0 0 * * *",
         "Asia/Ho_Chi_Minh",
         "2024-05-01 00:00:00",
         {"2024-05-01 17:00:00", "2024-05-02 17:00:00", "2024-05-03 17:00:00"}},
    };
    sm_arena *a = sm_arena_new(NULL);

    for (int i = 0; i < SM_COUNT(rows); i++) {
        sm_cron c;
        const sm_zone *z = NULL;
        sm_error e = {0};
        assert_ok(sm_cron_parse(sm_str_of(rows[i].cron), &c, &e), &e);
        assert_ok(sm_zone_load(sm_str_of(rows[i].zone), a, &z, &e), &e);
        int64_t at = us_of(rows[i].after);
        for (int k = 0; k < 3; k++) {
            char got[SM_TIME_TEXT_BYTES];
            const int64_t before = at;
            at = sm_cron_next(&c, z, at);
            (void)sm_format_timestamp(at, got);
            if (strcmp(got, rows[i].next[k]) != 0) {
                fail_msg("%s: %s, not %s", rows[i].cron, got, rows[i].next[k]);
            }
            assert_int_equal(sm_cron_last(&c, z, at), at);
            assert_int_equal(sm_cron_last(&c, z, at + 999999), at);
            assert_true(sm_cron_last(&c, z, at - 1) <= before);
        }
    }
    sm_arena_free(a);
}

static void test_no_schedule(void **state)
{
    static const struct {
        const char *text;
        sm_status status;
        const char *what;
    } rows[] = {
        {"", SM_SYNTAX, "too few at byte 1"},
        {"* * * *", SM_SYNTAX, "too few at byte 1"},
        {"* * * * * * *", SM_SYNTAX, "too many at byte 1"},
        {"60 * * * *", SM_SYNTAX, "no value at byte 1, in minute"},
        {"0 24 * * *", SM_SYNTAX, "no value at byte 3, in hour"},
        {"0 0 0 * *", SM_SYNTAX, "no value at byte 5, in day of the month"},
        {"0 0 * 13 *", SM_SYNTAX, "no value at byte 7, in month"},
        {"0 0 * * 8", SM_SYNTAX, "no value at byte 9, in day of the week"},
        {"0 0 * * mo", SM_SYNTAX, "no value at byte 9, in day of the week"},
        {"0 0 * * monday", SM_SYNTAX, "no value at byte 12, in day of the week"},
        {"5-1 * * * *", SM_SYNTAX, "no range at byte 1, in minute"},
        {"*/0 * * * *", SM_SYNTAX, "no step at byte 1, in minute"},
        {"1,,2 * * * *", SM_SYNTAX, "no value at byte 3, in minute"},
        {"1,2, * * * *", SM_SYNTAX, "no value at byte 5, in minute"},
        {"-1 * * * *", SM_SYNTAX, "no value at byte 1, in minute"},
        {"0 0 L * *", SM_SYNTAX, "no value at byte 5, in day of the month"},
        {"99999999999999999999 * * * *", SM_SYNTAX, "no value at byte 1, in minute"},
        {"@fortnightly", SM_SYNTAX, "no schedule is called \"@fortnightly\""},
        {"0 0 30 2 *", SM_INVALID, "schedule \"0 0 30 2 *\" never fires"},
        {"0 0 31 4,6,9,11 *", SM_INVALID, "never fires"},
    };

    for (int i = 0; i < SM_COUNT(rows); i++) {
        sm_cron c = {.hours = 42};
        sm_error e = {0};
        assert_status(sm_cron_parse(sm_str_of(rows[i].text), &c, &e), rows[i].status, &e);
        if (!strstr(e.what, rows[i].what)) {
            fail_msg("%s: %s", rows[i].text, e.what);
        }
        assert_true(e.todo[0] != '\0' && c.hours == 42);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_next),
        cmocka_unit_test(test_no_schedule),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
