/* SPDX-License-Identifier: Apache-2.0
 *
 * format/json/json_time_test.c: which texts are dates and times where nobody said so, and that they
 * mean what a cast makes of them. */
#include "test.h"

#include <inttypes.h>

#include "base/hash.h"
#include "base/time.h"
#include "format/json/json_int.h"

#define DATE    SM_TYPE_DATE
#define WALL    SM_TYPE_TIMESTAMP_NTZ
#define INSTANT SM_TYPE_TIMESTAMP
#define TEXT    SM_TYPE_STRING

static const struct {
    const char *text;
    sm_type_id want;
} cases[] = {
    {"2022-04-03", DATE},
    {"2022-4-3", DATE},
    {"2022-04-3", DATE},
    {"0000-01-01", DATE},
    {"0001-01-01", DATE},
    {"2024-02-29", DATE},
    {"9999-12-31", DATE},
    {"2022-04-03T10:00:00", WALL},
    {"2022-04-03 10:00:00", WALL},
    {"2022-04-03  1:2:3", WALL},
    {"2022-04-03T10:00", WALL},
    {"2022-04-03T00:00:00.5", WALL},
    {"2022-04-03 10:00:00.123456", WALL},
    {"2022-04-03T10:00:00.123456000", WALL},
    {"2022-04-03T23:59:59.999999", WALL},
    {"2022-04-03T10:00:00Z", INSTANT},
    {"2022-04-03T10:00Z", INSTANT},
    {"2022-04-03 10:00:00.123Z", INSTANT},
    {"2026-04-29T14:38:00+02:00", INSTANT},
    {"2026-04-29T14:38:00+0200", INSTANT},
    {"2026-04-29T14:38:00-02", INSTANT},
    {"2026-04-29T14:38:00 +02:00", INSTANT},
    {"2026-04-29 14:38:00 UTC", INSTANT},
    {"2026-04-29T14:38 gmt", INSTANT},
    {"0000-01-01T00:00+23:59:59", INSTANT},
    {"9999-12-31T23:59:59.999999-23:59:59", INSTANT},
    /* no such time */
    {"2022-02-30", TEXT},
    {"2023-02-29", TEXT},
    {"2022-13-01", TEXT},
    {"0000-00-00", TEXT},
    {"2022-04-03T25:00:00", TEXT},
    {"2022-04-03T10:60:00", TEXT},
    {"2022-04-03T10:00:60", TEXT},
    {"2022-04-03 10:00:00 CET", TEXT},
    {"2022-04-03T10:00:00+2", TEXT},
    {"2022-04-03T10:00:00z", TEXT},
    {"2022-04-03Z", TEXT},
    {"2022-04-03T10", TEXT},
    /* a time of which something would be lost */
    {"2022-04-03T10:00:00.1234567", TEXT},
    {"2022-04-03T10:00:00.000000001Z", TEXT},
    {"2022-04-03 24:00:00", TEXT},
    /* what a cast takes, but nobody would call a date */
    {"", TEXT},
    {" 2022-04-03", TEXT},
    {"2022-04-03 ", TEXT},
    {"2022/04/03", TEXT},
    {"2022 04 03", TEXT},
    {"2022\\04\\03", TEXT},
    {"22-04-03", TEXT},
    {"12022-04-03", TEXT},
    {"-2022-04-03", TEXT},
    {"0045-03-15 (BC)", TEXT},
    {"0045-03-15 (BC) 10:00", TEXT},
    {"2022-04-03T10:", TEXT},
    {"2022-04-03T10:00:", TEXT},
    {"2022-04-03T10:00:00.", TEXT},
    {"10:00:00", TEXT},
    {"infinity", TEXT},
    {"-inf", TEXT},
    {"epoch", TEXT},
    /* numbers, versions, ids */
    {"2022", TEXT},
    {"2022-04", TEXT},
    {"20220403", TEXT},
    {"20220403T100000Z", TEXT},
    {"1649000000", TEXT},
    {"2022.1.1", TEXT},
    {"2022-1-1-1", TEXT},
    {"2022-W13-7", TEXT},
    {"2022-04-03abc", TEXT},
    {"5508-8400-12-04", TEXT},
    {"0123-456-789", TEXT},
};

static void some_texts_are_times(void **state)
{
    for (int i = 0; i < SM_COUNT(cases); i++) {
        const sm_str text = sm_str_of(cases[i].text);
        int64_t value = 4711, cast = 0;
        const sm_type_id got = smi_json_time(text, &value);
        if (got != cases[i].want) {
            fail_msg("\"%s\" is of type %d, not %d", cases[i].text, (int)got, (int)cases[i].want);
        }
        if (got == TEXT) {
            assert_int_equal(value, 4711);
        } else if (!sm_parse_time_as(got, text, &cast) || cast != value) {
            fail_msg("\"%s\" is %" PRId64 ", and by a cast %" PRId64, cases[i].text, value, cast);
        }
    }
}

/* Whatever is taken means what a cast makes of it, and nothing of it is lost: as text of its own
 * type it is the same again. */
static void what_is_taken_is_what_a_cast_makes(void **state)
{
    static const char alphabet[] = "0123456789--::T .+Z(UTCgmt";
    uint64_t seed = 1;
    int n_taken = 0;
    for (int i = 0; i < 400000; i++) {
        char text[48];
        const char *from = cases[i % SM_COUNT(cases)].text;
        const size_t len = strlen(from);
        memcpy(text, from, len + 1);
        for (int k = 0; k < 1 + i % 2 && len > 0; k++) {
            seed = sm_hash64(&seed, sizeof(seed));
            text[seed % len] = alphabet[(seed >> 32) % (sizeof(alphabet) - 1)];
        }
        int64_t value = 0, cast = 0;
        const sm_type_id id = smi_json_time((sm_str){text, len}, &value);
        if (id == TEXT) {
            continue;
        }
        n_taken++;
        if (!sm_parse_time_as(id, (sm_str){text, len}, &cast) || cast != value) {
            fail_msg("\"%s\" is %" PRId64 ", and by a cast %" PRId64, text, value, cast);
        }
        char written[SM_TIME_TEXT_BYTES];
        int64_t again = 0;
        const size_t n = id == DATE ? sm_format_date((int32_t)value, written)
                                    : sm_format_timestamp(value, written);
        if (!sm_parse_time_as(id, (sm_str){written, n}, &again) || again != value) {
            fail_msg("\"%s\" is written as \"%s\"", text, written);
        }
    }
    assert_in_range(n_taken, 20000, 400000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(some_texts_are_times),
        cmocka_unit_test(what_is_taken_is_what_a_cast_makes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
