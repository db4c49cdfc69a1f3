/* SPDX-License-Identifier: Apache-2.0
 *
 * Tests of the functions of dates and timestamps and of their formats. */
#include "fn_cases.h"

#define T "TIMESTAMP '2022-03-05 10:20:30.123456'"

static void test_parts(void **state)
{
    static const fn_case cases[] = {
        {"year(?)", {"DATE '2022-03-05'"}, "2022"},
        {"year(?)", {T}, "2022"},
        {"quarter(?)", {"DATE '2022-03-05'"}, "1"},
        {"month(?)", {"DATE '2022-12-05'"}, "12"},
        {"week(?)", {"DATE '2022-01-01'"}, "52"},
        {"week(?)", {"DATE '2020-12-31'"}, "53"},
        {"day(?)", {T}, "5"},
        {"dayofmonth(?)", {"DATE '1969-12-31'"}, "31"},
        {"dayofweek(?)", {"DATE '2022-04-03'"}, "0"},
        {"dayofweek(?)", {"DATE '1960-01-01'"}, "5"}, /* before 1970 */
        {"isodow(?)", {"DATE '2022-04-03'"}, "7"},
        {"dayofyear(?)", {"DATE '2020-12-31'"}, "366"},
        {"hour(?)", {"TIMESTAMP '1969-12-31 23:59:58.5'"}, "23"},
        {"minute(?)", {T}, "20"},
        {"second(?)", {"TIMESTAMP '1969-12-31 23:59:58.5'"}, "58"},
        {"date_part(?, ?)", {"'milliseconds'", T}, "30123"},
        {"date_part(?, ?)", {"'US'", T}, "30123456"},
        {"date_part(?, ?)", {"'century'", "DATE '2000-01-01'"}, "20"},
        {"date_part(?, ?)", {"'millennium'", "DATE '2001-01-01'"}, "3"},
        {"date_part(?, ?)", {"'decade'", T}, "202"},
        {"date_part(?, ?)", {"'era'", T}, "1"},
        {"date_part(?, ?)", {"'isoyear'", "DATE '2022-01-01'"}, "2021"},
        {"date_part(?, ?)", {"'yearweek'", "DATE '2022-01-01'"}, "202152"},
        {"date_part(?, ?)", {"'timezone'", T}, "0"},
        {"date_part('epoch', ?)", {"TIMESTAMP '1969-12-31 23:59:58.5'"}, "-1.5"},
        {"date_part('julian', ?)", {"TIMESTAMP '2022-02-03 12:00:00'"}, "2459614.5"},
        {"extract(doy FROM ?)", {"DATE '2022-02-03'"}, "34"},
        {"date_part(?, ?)", {"'yaer'", T}, "no unit \"yaer\"", SM_INVALID},
        {"date_part(?, ?)", {"'timezone'", "DATE '2022-02-03'"}, "\"timezone\"", SM_INVALID},
    };
    fn_cases_run(cases, SM_COUNT(cases));
}

static void test_trunc(void **state)
{
    static const fn_case cases[] = {
        {"date_trunc(?, ?)", {"'millennium'", T}, "2000-01-01 00:00:00"},
        {"date_trunc(?, ?)", {"'century'", "DATE '1999-05-01'"}, "1900-01-01 00:00:00"},
        {"date_trunc(?, ?)", {"'decade'", T}, "2020-01-01 00:00:00"},
        {"date_trunc(?, ?)", {"'year'", T}, "2022-01-01 00:00:00"},
        {"date_trunc(?, ?)", {"'quarter'", "DATE '2022-06-30'"}, "2022-04-01 00:00:00"},
        {"date_trunc(?, ?)", {"'month'", "DATE '2022-04-30'"}, "2022-04-01 00:00:00"},
        {"date_trunc(?, ?)", {"'week'", T}, "2022-02-28 00:00:00"},
        {"date_trunc(?, ?)", {"'isoyear'", "DATE '2022-01-01'"}, "2021-01-04 00:00:00"},
        {"date_trunc(?, ?)", {"'Day'", T}, "2022-03-05 00:00:00"},
        {"date_trunc(?, ?)", {"'hour'", T}, "2022-03-05 10:00:00"},
        {"date_trunc(?, ?)", {"'minute'", T}, "2022-03-05 10:20:00"},
        {"date_trunc(?, ?)",
         {"'second'", "TIMESTAMP '1969-12-31 23:59:58.5'"},
         "1969-12-31 23:59:58"},
        {"date_trunc(?, ?)", {"'ms'", T}, "2022-03-05 10:20:30.123"},
        {"date_trunc(?, ?)", {"'microseconds'", T}, "2022-03-05 10:20:30.123456"},
        {"date_trunc(?, ?)", {"'era'", T}, "\"era\"", SM_INVALID},
        {"date_trunc(?, ?)", {"'fortnight'", T}, "no unit \"fortnight\"", SM_INVALID},
        {"date_trunc(?, ?)", {"'year'", "make_date(300000, 2, 1)"}, "range of TIMESTAMP", SM_RANGE},
    };
    fn_cases_run(cases, SM_COUNT(cases));
}

static void test_diff(void **state)
{
    static const fn_case cases[] = {
        {"date_diff(?, ?, ?)", {"'day'", "DATE '2022-01-31'", "DATE '2022-02-02'"}, "2"},
        {"date_diff(?, ?, ?)", {"'month'", "DATE '2022-01-31'", "DATE '2022-02-01'"}, "1"},
        {"date_diff(?, ?, ?)", {"'month'", "DATE '2022-02-01'", "DATE '2022-01-31'"}, "-1"},
        {"date_diff(?, ?, ?)", {"'quarter'", "DATE '1999-12-31'", "DATE '2000-01-01'"}, "1"},
        {"date_diff(?, ?, ?)", {"'year'", "DATE '1999-12-31'", "DATE '2000-01-01'"}, "1"},
        {"date_diff(?, ?, ?)", {"'century'", "DATE '1999-12-31'", "DATE '2000-01-01'"}, "1"},
        {"date_diff(?, ?, ?)", {"'isoyear'", "DATE '2022-01-02'", "DATE '2022-01-03'"}, "1"},
        {"date_diff(?, ?, ?)", {"'week'", "DATE '2022-01-02'", "DATE '2022-01-08'"}, "0"},
        {"date_diff(?, ?, ?)", {"'week'", "DATE '2022-01-02'", "DATE '2022-01-09'"}, "1"},
        {"date_diff(?, ?, ?)",
         {"'day'", "TIMESTAMP '1969-12-31 23:59:59'", "TIMESTAMP '1970-01-01 00:00:01'"},
         "1"},
        {"date_diff(?, ?, ?)",
         {"'hour'", "TIMESTAMP '1969-12-31 23:59:59'", "TIMESTAMP '1970-01-01 00:00:01'"},
         "1"},
        {"date_diff(?, ?, ?)",
         {"'second'", "TIMESTAMP '1969-12-31 23:59:59.5'", "TIMESTAMP '1970-01-01 00:00:01'"},
         "2"},
        {"datediff(?, ?, ?)", {"'minute'", "DATE '2022-01-01'", "DATE '2022-01-02'"}, "1440"},
        {"datediff(?, ?, ?)",
         {"'era'", "DATE '2022-01-01'", "DATE '2022-01-02'"},
         "\"era\"",
         SM_INVALID},
        {"datediff(?, ?, ?)",
         {"'us'", "make_date(-5000000, 1, 1)", "make_date(5000000, 1, 1)"},
         "range of BIGINT",
         SM_RANGE},
    };
    fn_cases_run(cases, SM_COUNT(cases));
}

static void test_made(void **state)
{
    static const fn_case cases[] = {
        {"last_day(?)", {"DATE '2022-02-03'"}, "2022-02-28"},
        {"last_day(?)", {"DATE '2000-02-29'"}, "2000-02-29"},
        {"last_day(?)", {"TIMESTAMP '1969-12-31 23:59:59'"}, "1969-12-31"},
        {"make_date(?, ?, ?)", {"2022", "4", "3"}, "2022-04-03"},
        {"make_date(?, ?, ?)", {"2022", "2", "29"}, "2022-2-29", SM_RANGE},
        {"make_date(?, ?, ?)", {"2022", "0", "1"}, "2022-0-1", SM_RANGE},
        {"make_date(?, ?, ?)",
         {"9000000000000000000", "1", "1"},
         "9000000000000000000-1-1",
         SM_RANGE},
        {"last_day(?)", {"make_date(5881580, 7, 10)"}, "range of DATE", SM_RANGE},
    };
    fn_cases_run(cases, SM_COUNT(cases));
}

static void test_strftime(void **state)
{
    static const fn_case cases[] = {
        {"strftime(?, ?)", {"DATE '2022-04-03'", "'%d/%m/%Y'"}, "03/04/2022"},
        {"strftime(?, ?)", {T, "'%a %A %b %B %y %-y'"}, "Sat Saturday Mar March 22 22"},
        {"strftime(?, ?)", {T, "'%-d.%-m. %-H:%-M:%-S %-I %-j'"}, "5.3. 10:20:30 10 64"},
        {"strftime(?, ?)", {T, "'%f %g %n %j %w %u'"}, "123456 123 123456000 064 6 6"},
        {"strftime(?, ?)", {"DATE '2023-01-01'", "'%U %W %V %G'"}, "01 00 52 2022"},
        {"strftime(?, ?)",
         {"TIMESTAMP '2022-04-03 00:05:09'", "'%I %p %z%Z|%c|%x|%X|%%'"},
         "12 AM +00|2022-04-03 00:05:09|2022-04-03|00:05:09|%"},
        {"strftime(?, ?)", {"make_date(-5, 2, 3)", "'%Y %y'"}, "-5 05"},
        {"strftime(?, ?)", {"make_date(12345, 2, 3)", "'%Y %y'"}, "12345 45"},
        {"strftime(?, ?)", {T, "'\u00e9%d'"}, "\u00e905"},
        {"strftime(?, ?)", {T, "''"}, "empty", SM_INVALID},
        {"strftime(?, ?)", {T, "'%d %q'"}, "no code \"%q\" in format \"%d %q\"", SM_INVALID},
        {"strftime(?, ?)", {T, "'%-Y'"}, "no code \"%-Y\"", SM_INVALID},
        {"strftime(?, ?)", {T, "'50%'"}, "no code \"%\" in format \"50%\"", SM_INVALID},
    };
    fn_cases_run(cases, SM_COUNT(cases));
}

static void test_strptime(void **state)
{
    static const fn_case cases[] = {
        {"strptime(?, ?)", {"'03/04/2022'", "'%d/%m/%Y'"}, "2022-04-03 00:00:00"},
        {"strptime(?, ?)", {"'  3/4/68  '", "'%d/%m/%y'"}, "2068-04-03 00:00:00"},
        {"strptime(?, ?)", {"'3/4/69'", "'%d/%m/%y'"}, "1969-04-03 00:00:00"},
        {"strptime(?, ?)", {"'20220403T101112'", "'%Y%m%dT%H%M%S'"}, "2022-04-03 10:11:12"},
        {"strptime(?, ?)", {"'2022-04-03   10:11:12.5'", "'%x %X.%f'"}, "2022-04-03 10:11:12.5"},
        {"strptime(?, ?)", {"'12:30 am'", "'%I:%M %p'"}, "1900-01-01 00:30:00"},
        {"strptime(?, ?)", {"'sun APR 3 2022'", "'%a %b %d %Y'"}, "2022-04-03 00:00:00"},
        {"strptime(?, ?)", {"'3 april 2022'", "'%d %B %Y'"}, "2022-04-03 00:00:00"},
        {"strptime(?, ?)", {"'093 2022'", "'%j %Y'"}, "2022-04-03 00:00:00"},
        {"strptime(?, ?)", {"'2022 13 7'", "'%G %V %u'"}, "2022-04-03 00:00:00"},
        {"strptime(?, ?)", {"'2022 14 0'", "'%Y %U %w'"}, "2022-04-03 00:00:00"},
        {"strptime(?, ?)", {"'2022 13 0'", "'%Y %W %w'"}, "2022-04-03 00:00:00"},
        {"strptime(?, '%Y-%m-%d %H:%M %z')",
         {"'2022-04-03 01:00 +02:30'"},
         "2022-04-02 22:30:00+00"},
        {"strptime(?, '%Y-%m-%d %H %Z')", {"'2022-04-03 01 UTC'"}, "2022-04-03 01:00:00+00"},
        {"strptime(?, ?)", {"'12.123456789'", "'%S.%n'"}, "1900-01-01 00:00:12.123456"},
        {"strptime(?, ?)", {"'2022-02-30'", "'%Y-%m-%d'"}, "\"2022-02-30\" is no time", SM_TYPE},
        {"strptime(?, ?)", {"'2022-13-01'", "'%Y-%m-%d'"}, "from byte 6 on", SM_TYPE},
        {"strptime(?, ?)", {"'2022-04-03x'", "'%Y-%m-%d'"}, "from byte 11 on", SM_TYPE},
        {"strptime(?, ?)", {"'13:30 pm'", "'%H:%M %p'"}, "\"13:30 pm\"", SM_TYPE},
        {"strptime(?, ?)", {"'t10'", "'T%H'"}, "from byte 1 on", SM_TYPE},
        {"strptime(?, ?)", {"''", "'%H'"}, "\"\" is no time", SM_TYPE},
        {"strptime(?, ?)", {"'1'", "'%Q'"}, "no code \"%Q\"", SM_INVALID},
    };
    fn_cases_run(cases, SM_COUNT(cases));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parts),    cmocka_unit_test(test_trunc),
        cmocka_unit_test(test_diff),     cmocka_unit_test(test_made),
        cmocka_unit_test(test_strftime), cmocka_unit_test(test_strptime),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
