/* SPDX-License-Identifier: Apache-2.0
 *
 * base/zone_test.c: what clocks show, also as they are put forward and back; names and files that
 * are none. */
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/time.h"
#include "base/zone.h"

static const sm_zone *load(const char *name, sm_arena *a)
{
    const sm_zone *z = NULL;
    sm_error e = {0};

    assert_ok(sm_zone_load(sm_str_of(name), a, &z, &e), &e);
    return z;
}

static int64_t us_of(const char *text)
{
    sm_when when;
    int64_t us = 0;

    assert_true(sm_parse_when(sm_str_of(text), &when));
    assert_true(sm_when_timestamp(&when, false, &us));
    return us;
}

/* Answers of Python's zoneinfo. */
static void test_what_clocks_show(void **state)
{
    static const struct {
        const char *zone, *instant, *local;
    } rows[] = {
        {"UTC", "2024-05-01 12:00:00", "2024-05-01 12:00:00"},
        {"Europe/Paris", "2024-03-31 00:59:59", "2024-03-31 01:59:59"},
        {"Europe/Paris", "2024-03-31 01:00:00", "2024-03-31 03:00:00"},
        {"Europe/Paris", "2024-10-27 00:59:59", "2024-10-27 02:59:59"},
        {"Europe/Paris", "2024-10-27 01:00:00", "2024-10-27 02:00:00"},
        {"Europe/Paris", "2090-07-01 00:00:00", "2090-07-01 02:00:00"},
        {"Europe/Paris", "2899-01-15 00:00:00", "2899-01-15 01:00:00"},
        {"Europe/Paris", "2899-07-15 00:00:00", "2899-07-15 02:00:00"},
        {"Europe/Paris", "1850-01-01 00:00:00", "1850-01-01 00:09:21"},
        {"Asia/Ho_Chi_Minh", "2024-05-01 17:00:00", "2024-05-02 00:00:00"},
        {"Australia/Lord_Howe", "2024-04-06 14:59:59", "2024-04-07 01:59:59"},
        {"Australia/Lord_Howe", "2024-04-06 15:00:00", "2024-04-07 01:30:00"},
        {"Pacific/Apia", "2011-12-30 09:59:59", "2011-12-29 23:59:59"},
        {"Pacific/Apia", "2011-12-30 10:00:00", "2011-12-31 00:00:00"},
        {"America/New_York", "2044-03-13 06:59:59", "2044-03-13 01:59:59"},
        {"America/New_York", "2044-03-13 07:00:00", "2044-03-13 03:00:00"},
        {"America/Santiago", "2060-01-01 00:00:00", "2059-12-31 21:00:00"},
        {"Asia/Kathmandu", "2024-05-01 00:00:00", "2024-05-01 05:45:00"},
    };
    sm_arena *a = sm_arena_new(NULL);

    for (int i = 0; i < SM_COUNT(rows); i++) {
        const sm_zone *z = load(rows[i].zone, a);
        char got[SM_TIME_TEXT_BYTES];
        (void)sm_format_timestamp(sm_zone_local(z, us_of(rows[i].instant)), got);
        if (strcmp(got, rows[i].local) != 0) {
            fail_msg("%s in %s: %s, not %s", rows[i].instant, rows[i].zone, got, rows[i].local);
        }
        assert_true(sm_str_is(sm_zone_name(z), rows[i].zone));
    }
    sm_arena_free(a);
}

static void test_when_clocks_show_a_time(void **state)
{
    static const struct {
        const char *zone, *local, *instant;
        sm_zone_shown shown;
    } rows[] = {
        {"UTC", "2024-03-31 02:30:00", "2024-03-31 02:30:00", SM_ZONE_ONCE},
        {"Europe/Paris", "2024-03-31 01:59:59", "2024-03-31 00:59:59", SM_ZONE_ONCE},
        {"Europe/Paris", "2024-03-31 02:00:00", "2024-03-31 01:00:00", SM_ZONE_NEVER},
        {"Europe/Paris", "2024-03-31 02:59:59", "2024-03-31 01:00:00", SM_ZONE_NEVER},
        {"Europe/Paris", "2024-03-31 03:00:00", "2024-03-31 01:00:00", SM_ZONE_ONCE},
        {"Europe/Paris", "2024-10-27 01:59:59", "2024-10-26 23:59:59", SM_ZONE_ONCE},
        {"Europe/Paris", "2024-10-27 02:00:00", "2024-10-27 00:00:00", SM_ZONE_TWICE},
        {"Europe/Paris", "2024-10-27 02:59:59", "2024-10-27 00:59:59", SM_ZONE_TWICE},
        {"Europe/Paris", "2024-10-27 03:00:00", "2024-10-27 02:00:00", SM_ZONE_ONCE},
        {"Europe/Paris", "2824-03-31 02:30:00", "2824-03-31 01:00:00", SM_ZONE_NEVER},
        {"Pacific/Apia", "2011-12-30 12:00:00", "2011-12-30 10:00:00", SM_ZONE_NEVER},
        {"Australia/Lord_Howe", "2024-04-07 01:45:00", "2024-04-06 14:45:00", SM_ZONE_TWICE},
        {"Australia/Lord_Howe", "2024-10-06 02:15:00", "2024-10-05 15:30:00", SM_ZONE_NEVER},
    };
    sm_arena *a = sm_arena_new(NULL);

    for (int i = 0; i < SM_COUNT(rows); i++) {
        int64_t us = 0;
        char got[SM_TIME_TEXT_BYTES];
        const sm_zone_shown shown =
            sm_zone_instant(load(rows[i].zone, a), us_of(rows[i].local), &us);
        (void)sm_format_timestamp(us, got);
        if (shown != rows[i].shown || strcmp(got, rows[i].instant) != 0) {
            fail_msg("%s in %s: %s (%d)", rows[i].local, rows[i].zone, got, (int)shown);
        }
    }
    sm_arena_free(a);
}

/* What the clocks show at an instant, they show at that instant. */
static void test_there_and_back(void **state)
{
    static const char *const zones[] = {"Europe/Paris", "America/Santiago",    "Africa/Casablanca",
                                        "Asia/Tehran",  "Australia/Lord_Howe", "America/Nuuk"};
    sm_arena *a = sm_arena_new(NULL);

    for (int i = 0; i < SM_COUNT(zones); i++) {
        const sm_zone *z = load(zones[i], a);
        const int64_t step = INT64_C(1801) * 1000000;
        for (int64_t us = us_of("1960-01-01 00:00:00"); us < us_of("2045-01-01 00:00:00");
             us += step) {
            const int64_t local = sm_zone_local(z, us);
            int64_t first = 0;
            const sm_zone_shown shown = sm_zone_instant(z, local, &first);
            if (shown == SM_ZONE_NEVER || first > us || sm_zone_local(z, first) != local ||
                (shown == SM_ZONE_ONCE && first != us)) {
                fail_msg("%s at %lld", zones[i], (long long)us);
            }
        }
    }
    sm_arena_free(a);
}

static void test_no_zone(void **state)
{
    static const char *const names[] = {
        "",        "Mars/Olympus",  "../etc/passwd",  "/etc/passwd", "Europe",
        "Europe/", "europe//Paris", "Europe/Paris\n", "zone.tab"};
    sm_arena *a = sm_arena_new(NULL);
    const sm_zone *z = NULL;
    sm_error e = {0};

    for (int i = 0; i < SM_COUNT(names); i++) {
        assert_status(sm_zone_load(sm_str_of(names[i]), a, &z, &e), SM_NAME, &e);
        assert_non_null(strstr(e.todo, "Europe/Paris"));
    }
    sm_arena_free(a);
}

/* Each cut of a file, and each byte of it that is another: no zone, or one with all its clocks. */
static void test_damaged_files(void **state)
{
    char folder[] = "/tmp/smelt-zone-XXXXXX", path[64];
    uint8_t good[4096], bad[4096];
    FILE *f = fopen("/usr/share/zoneinfo/America/Santiago", "rb");
    int64_t n_refused = 0, us = 0;

    assert_non_null(f);
    const size_t n = fread(good, 1, sizeof(good), f);
    assert_int_equal(fclose(f), 0);
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof(path), "%s/Bad", folder);
    assert_int_equal(setenv("TZDIR", folder, 1), 0);
    for (size_t i = 0; i < 2 * n; i++) {
        sm_arena *a = sm_arena_new(NULL);
        const sm_zone *z = NULL;
        sm_error e = {0};
        memcpy(bad, good, n);
        bad[i % n] = i < n ? bad[i % n] : (uint8_t)(bad[i % n] ^ (0x80 | i % 64));
        f = fopen(path, "wb");
        assert_non_null(f);
        assert_int_equal(fwrite(bad, 1, i < n ? i : n, f), i < n ? i : n);
        assert_int_equal(fclose(f), 0);
        const sm_status st = sm_zone_load(SM_STR("Bad"), a, &z, &e);
        assert_true(st == SM_OK || st == SM_CORRUPT);
        n_refused += st == SM_CORRUPT;
        if (st == SM_OK) {
            const int64_t local = sm_zone_local(z, us_of("2024-05-01 12:00:00"));
            (void)sm_zone_instant(z, local, &us);
        }
        assert_true(i >= n || st == SM_CORRUPT); /* the last byte ends the rule */
        sm_arena_free(a);
    }
    assert_true(n_refused >= (int64_t)n);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(folder), 0);
    assert_int_equal(unsetenv("TZDIR"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_clocks_show), cmocka_unit_test(test_when_clocks_show_a_time),
        cmocka_unit_test(test_there_and_back),   cmocka_unit_test(test_no_zone),
        cmocka_unit_test(test_damaged_files),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
