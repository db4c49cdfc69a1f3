/* SPDX-License-Identifier: Apache-2.0
 *
 * query/function/fn_date.c: functions of dates and timestamps: their parts, truncation,
 * differences, and dates made of numbers. The calendar is the proleptic Gregorian one of
 * base/time.h. The time zone is UTC: a TIMESTAMP WITH TIME ZONE has its parts there, and truncating
 * one gives one.
 *
 * Method    A point in time is split into days since 1970-01-01 and microseconds of that day, both
 *           rounded down, so that no function has to look at the sign. The name of a unit is looked
 *           up once for a constant, else whenever it differs from the row before.
 * Meaning   As DuckDB. Decades, centuries and millennia begin in years ending in 0 where a date is
 *           truncated (2000, not 2001), but as parts they are counted from year 1 (the year 2000 is
 *           in century 20). The weeks between two points are the days between them divided by 7;
 *           every other difference counts the boundaries of the unit that lie between the two. */
#include "query/function/function_int.h"

#include "base/time.h"

#define US_SECOND   INT64_C(1000000)
#define US_MINUTE   (60 * US_SECOND)
#define US_HOUR     (60 * US_MINUTE)
#define US_DAY      (24 * US_HOUR)
#define JULIAN_1970 2440588 /* the Julian day that begins on 1970-01-01 at midnight */

/* The first and the last year of a DATE, which has 32 bits of days. */
#define MIN_YEAR (-5877641)
#define MAX_YEAR 5881580

/* ---- units ---------------------------------------------------------------------------------- */

typedef enum unit {
    UNIT_YEAR,
    UNIT_MONTH,
    UNIT_DAY,
    UNIT_DECADE,
    UNIT_CENTURY,
    UNIT_MILLENNIUM,
    UNIT_MICROSECOND,
    UNIT_MILLISECOND,
    UNIT_SECOND,
    UNIT_MINUTE,
    UNIT_HOUR,
    UNIT_DOW,
    UNIT_ISODOW,
    UNIT_WEEK,
    UNIT_ISOYEAR,
    UNIT_QUARTER,
    UNIT_DOY,
    UNIT_YEARWEEK,
    UNIT_ERA,
    UNIT_EPOCH,
    UNIT_JULIAN,
    UNIT_TIMEZONE,
} unit;

static const struct {
    const char *word;
    unit unit;
} unit_words[] = {
    {"year", UNIT_YEAR},
    {"years", UNIT_YEAR},
    {"y", UNIT_YEAR},
    {"yr", UNIT_YEAR},
    {"yrs", UNIT_YEAR},
    {"month", UNIT_MONTH},
    {"months", UNIT_MONTH},
    {"mon", UNIT_MONTH},
    {"mons", UNIT_MONTH},
    {"day", UNIT_DAY},
    {"days", UNIT_DAY},
    {"d", UNIT_DAY},
    {"dayofmonth", UNIT_DAY},
    {"decade", UNIT_DECADE},
    {"decades", UNIT_DECADE},
    {"dec", UNIT_DECADE},
    {"decs", UNIT_DECADE},
    {"century", UNIT_CENTURY},
    {"centuries", UNIT_CENTURY},
    {"cent", UNIT_CENTURY},
    {"c", UNIT_CENTURY},
    {"millennium", UNIT_MILLENNIUM},
    {"millennia", UNIT_MILLENNIUM},
    {"millenium", UNIT_MILLENNIUM},
    {"mil", UNIT_MILLENNIUM},
    {"mils", UNIT_MILLENNIUM},
    {"microsecond", UNIT_MICROSECOND},
    {"microseconds", UNIT_MICROSECOND},
    {"us", UNIT_MICROSECOND},
    {"usec", UNIT_MICROSECOND},
    {"usecs", UNIT_MICROSECOND},
    {"usecond", UNIT_MICROSECOND},
    {"useconds", UNIT_MICROSECOND},
    {"millisecond", UNIT_MILLISECOND},
    {"milliseconds", UNIT_MILLISECOND},
    {"ms", UNIT_MILLISECOND},
    {"msec", UNIT_MILLISECOND},
    {"msecs", UNIT_MILLISECOND},
    {"msecond", UNIT_MILLISECOND},
    {"mseconds", UNIT_MILLISECOND},
    {"second", UNIT_SECOND},
    {"seconds", UNIT_SECOND},
    {"s", UNIT_SECOND},
    {"sec", UNIT_SECOND},
    {"secs", UNIT_SECOND},
    {"minute", UNIT_MINUTE},
    {"minutes", UNIT_MINUTE},
    {"m", UNIT_MINUTE},
    {"min", UNIT_MINUTE},
    {"mins", UNIT_MINUTE},
    {"hour", UNIT_HOUR},
    {"hours", UNIT_HOUR},
    {"h", UNIT_HOUR},
    {"hr", UNIT_HOUR},
    {"hrs", UNIT_HOUR},
    {"dow", UNIT_DOW},
    {"dayofweek", UNIT_DOW},
    {"weekday", UNIT_DOW},
    {"isodow", UNIT_ISODOW},
    {"week", UNIT_WEEK},
    {"weeks", UNIT_WEEK},
    {"w", UNIT_WEEK},
    {"weekofyear", UNIT_WEEK},
    {"isoyear", UNIT_ISOYEAR},
    {"quarter", UNIT_QUARTER},
    {"quarters", UNIT_QUARTER},
    {"doy", UNIT_DOY},
    {"dayofyear", UNIT_DOY},
    {"yearweek", UNIT_YEARWEEK},
    {"era", UNIT_ERA},
    {"epoch", UNIT_EPOCH},
    {"julian", UNIT_JULIAN},
    {"timezone", UNIT_TIMEZONE},
    {"timezone_hour", UNIT_TIMEZONE},
    {"timezone_minute", UNIT_TIMEZONE},
};

static bool unit_of(sm_str word, unit *out)
{
    for (int i = 0; i < SM_COUNT(unit_words); i++) {
        if (sm_str_eq_nocase(word, sm_str_of(unit_words[i].word))) {
            *out = unit_words[i].unit;
            return true;
        }
    }
    return false;
}

static sm_status fail_unit(const sm_expr *call, sm_str word, sm_error *e)
{
    sm_str words[SM_COUNT(unit_words)];
    for (int i = 0; i < SM_COUNT(unit_words); i++) {
        words[i] = sm_str_of(unit_words[i].word);
    }
    const sm_str shown = {word.data, word.len > 40 ? 40 : word.len};
    smi_expr_fail(call, e, SM_INVALID, "%s has no unit \"%.*s\"", call->fn->name,
                  SM_STR_ARG(shown));
    const char *const nearest =
        word.len < 40 ? sm_nearest_name(word, words, SM_COUNT(words)) : NULL;
    if (nearest) {
        sm_error_todo(e, "Did you mean \"%s\"?", nearest);
    } else {
        sm_error_todo(e, "Units are year, quarter, month, week, day, hour, minute, second.");
    }
    return SM_INVALID;
}

/* The unit exists, but the function does not take it. */
static sm_status refuse_unit(const sm_fn_call *call, int64_t i, sm_error *e)
{
    const sm_str word = smi_str_at(&call->args[0], i);
    return smi_expr_fail(call->expr, e, SM_INVALID, "%s does not take the unit \"%.*s\"",
                         call->expr->fn->name, SM_STR_ARG(word));
}

/* The unit of the last row that was read; {0} before the first. */
typedef struct unit_reader {
    sm_str word;
    unit unit;
} unit_reader;

static sm_status read_unit(unit_reader *r, const sm_fn_call *call, int64_t i, sm_error *e)
{
    const sm_str word = smi_str_at(&call->args[0], i);
    if (r->word.data && (r->word.data == word.data || sm_str_eq(r->word, word))) {
        return SM_OK; /* the same address for a constant; else the bytes are compared */
    }
    r->word = word;
    return unit_of(word, &r->unit) ? SM_OK : fail_unit(call->expr, word, e);
}

/* Prepares nothing; but a wrong constant unit is an error when the call is bound, and so without a
 * row too. */
const void *smi_prepare_unit(const sm_expr *call, sm_arena *a, sm_error *e)
{
    (void)a;
    const sm_expr *const word = call->args[0];
    unit u;
    if (word->kind == SM_EXPR_CONST && !word->value.is_null && !unit_of(word->value.as.s, &u)) {
        const sm_status st = fail_unit(call, word->value.as.s, e);
        SM_ASSERT(st == e->status);
    }
    return NULL;
}

/* ---- points in time ---------------------------------------------------------------------------
 * */

typedef struct moment {
    int64_t days;     /* since 1970-01-01 */
    int64_t us;       /* of the day */
    bool is_infinite; /* either infinity: it has no parts, and is its own start of any unit */
} moment;

static int64_t floor_div(int64_t a, int64_t b)
{
    SM_ASSERT(b > 0);
    return a / b - (a % b < 0);
}

static moment moment_at(const sm_column *c, int64_t i)
{
    const int64_t v = smi_i64_at(c, i);
    if (c->type->id == SM_TYPE_DATE) {
        return (moment){.days = v, .is_infinite = v == SM_DATE_INFINITY || v == -SM_DATE_INFINITY};
    }
    SM_ASSERT(sm_type_bytes(c->type->id) == 8); /* a timestamp */
    const int64_t rest = v % US_DAY;            /* the day's own start may be out of range */
    return (moment){
        .days = floor_div(v, US_DAY),
        .us = rest + (rest < 0 ? US_DAY : 0),
        .is_infinite = v == SM_TIMESTAMP_INFINITY || v == -SM_TIMESTAMP_INFINITY,
    };
}

/* Monday is 1, Sunday 7. 1970-01-01 was a Thursday. */
static int64_t iso_weekday(int64_t days)
{
    return days - floor_div(days + 3, 7) * 7 + 4;
}

static int64_t monday_of(int64_t days)
{
    return days - iso_weekday(days) + 1;
}

/* The week belongs to the year that has its Thursday. */
static int64_t iso_year(int64_t days)
{
    return sm_civil_from_days(monday_of(days) + 3).year;
}

/* The Monday of week 1, which has January 4. */
static int64_t iso_year_start(int64_t year)
{
    return monday_of(sm_days_from_civil(year, 1, 4));
}

static int64_t iso_week(int64_t days)
{
    return (monday_of(days) - iso_year_start(iso_year(days))) / 7 + 1;
}

static int64_t day_of_year(int64_t days)
{
    return days - sm_days_from_civil(sm_civil_from_days(days).year, 1, 1) + 1;
}

/* The century or millennium that has the year, counted from 1 and from −1 backwards. */
static int64_t count_of_years(int64_t year, int64_t length)
{
    return year > 0 ? (year - 1) / length + 1 : year / length - 1;
}

/* ---- parts ---------------------------------------------------------------------------------- */

static int64_t date_part_of(moment m, unit u)
{
    SM_ASSERT(!m.is_infinite && m.us >= 0 && m.us < US_DAY);
    switch (u) {
    case UNIT_YEAR:
        return sm_civil_from_days(m.days).year;
    case UNIT_MONTH:
        return sm_civil_from_days(m.days).month;
    case UNIT_DAY:
        return sm_civil_from_days(m.days).day;
    case UNIT_DECADE:
        return sm_civil_from_days(m.days).year / 10;
    case UNIT_CENTURY:
        return count_of_years(sm_civil_from_days(m.days).year, 100);
    case UNIT_MILLENNIUM:
        return count_of_years(sm_civil_from_days(m.days).year, 1000);
    case UNIT_MICROSECOND:
        return m.us % US_MINUTE;
    case UNIT_MILLISECOND:
        return m.us % US_MINUTE / 1000;
    case UNIT_SECOND:
        return m.us % US_MINUTE / US_SECOND;
    case UNIT_MINUTE:
        return m.us % US_HOUR / US_MINUTE;
    case UNIT_HOUR:
        return m.us / US_HOUR;
    case UNIT_DOW:
        return iso_weekday(m.days) % 7;
    case UNIT_ISODOW:
        return iso_weekday(m.days);
    case UNIT_WEEK:
        return iso_week(m.days);
    case UNIT_ISOYEAR:
        return iso_year(m.days);
    case UNIT_QUARTER:
        return (sm_civil_from_days(m.days).month - 1) / 3 + 1;
    case UNIT_DOY:
        return day_of_year(m.days);
    case UNIT_YEARWEEK: {
        const int64_t year = iso_year(m.days);
        return year * 100 + (year > 0 ? 1 : -1) * iso_week(m.days); /* as DuckDB, of year 0 too */
    }
    case UNIT_ERA:
        return sm_civil_from_days(m.days).year > 0;
    case UNIT_EPOCH:
        return m.days * 86400 + m.us / US_SECOND;
    case UNIT_JULIAN:
        return m.days + JULIAN_1970;
    case UNIT_TIMEZONE:
        return 0;
    }
    return 0;
}

static double real_part_of(moment m, unit u)
{
    SM_ASSERT(u == UNIT_EPOCH || u == UNIT_JULIAN); /* smi_bind_date_part() */
    if (u == UNIT_EPOCH) {
        /* Whole seconds by themselves: a day far away has more microseconds than a double holds. */
        if (m.us % US_SECOND == 0) {
            return (double)date_part_of(m, UNIT_EPOCH);
        }
        return (double)((sm_i128)m.days * US_DAY + m.us) / (double)US_SECOND;
    }
    return (double)(m.days + JULIAN_1970) + (double)m.us / (double)US_DAY;
}

/* One unit, known by the function's name. */
static sm_status fixed_part(const sm_fn_call *call, unit u, sm_column *out, sm_error *e)
{
    int64_t *const values = (int64_t *)out->values;
    for (int64_t i = 0; i < call->n_rows; i++) {
        if (!smi_valid(out, i)) {
            continue;
        }
        const moment m = moment_at(&call->args[0], i);
        if (m.is_infinite) {
            SM_TRY(smi_set_null(out, i, call->into, e));
        } else {
            values[i] = date_part_of(m, u);
        }
    }
    return SM_OK;
}

sm_status fn_year(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    return fixed_part(call, UNIT_YEAR, out, e);
}
sm_status fn_quarter(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    return fixed_part(call, UNIT_QUARTER, out, e);
}
sm_status fn_month(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    return fixed_part(call, UNIT_MONTH, out, e);
}
sm_status fn_week(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    return fixed_part(call, UNIT_WEEK, out, e);
}
sm_status fn_day(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    return fixed_part(call, UNIT_DAY, out, e);
}
sm_status fn_dayofweek(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    return fixed_part(call, UNIT_DOW, out, e);
}
sm_status fn_isodow(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    return fixed_part(call, UNIT_ISODOW, out, e);
}
sm_status fn_dayofyear(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    return fixed_part(call, UNIT_DOY, out, e);
}
sm_status fn_hour(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    return fixed_part(call, UNIT_HOUR, out, e);
}
sm_status fn_minute(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    return fixed_part(call, UNIT_MINUTE, out, e);
}
sm_status fn_second(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    return fixed_part(call, UNIT_SECOND, out, e);
}

/* epoch and julian have fractions: DOUBLE where the unit is known when the call is bound, whole
 * numbers where it differs from row to row. */
sm_status smi_bind_date_part(smi_call_bind *b, sm_error *e)
{
    unit u = UNIT_DAY;
    SM_TRY(smi_bind_signature(b, e));
    const sm_expr *const word = b->args[0];
    const bool is_known =
        word->kind == SM_EXPR_CONST && !word->value.is_null && unit_of(word->value.as.s, &u);
    if (is_known && (u == UNIT_EPOCH || u == UNIT_JULIAN)) {
        b->result = &sm_type_f64;
    }
    return SM_OK;
}

sm_status fn_date_part(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    const bool is_date = call->args[1].type->id == SM_TYPE_DATE;
    unit_reader r = {0};
    for (int64_t i = 0; i < call->n_rows; i++) {
        if (!smi_valid(out, i)) {
            continue;
        }
        SM_TRY(read_unit(&r, call, i, e));
        if (r.unit == UNIT_TIMEZONE && is_date) {
            return refuse_unit(call, i, e);
        }
        const moment m = moment_at(&call->args[1], i);
        if (m.is_infinite) {
            SM_TRY(smi_set_null(out, i, call->into, e));
        } else if (out->type->id == SM_TYPE_F64) {
            ((double *)out->values)[i] = real_part_of(m, r.unit);
        } else {
            ((int64_t *)out->values)[i] = date_part_of(m, r.unit);
        }
    }
    return SM_OK;
}

/* ---- truncation ----------------------------------------------------------------------------- */

static int64_t year_start(int64_t days, int64_t length)
{
    return sm_days_from_civil(sm_civil_from_days(days).year / length * length, 1, 1);
}

/* False where the unit cannot be truncated to. */
static bool start_of(moment m, unit u, moment *out)
{
    const sm_civil d = sm_civil_from_days(m.days);
    *out = (moment){.days = m.days};
    switch (u) {
    case UNIT_MILLENNIUM:
        out->days = year_start(m.days, 1000);
        return true;
    case UNIT_CENTURY:
        out->days = year_start(m.days, 100);
        return true;
    case UNIT_DECADE:
        out->days = year_start(m.days, 10);
        return true;
    case UNIT_YEAR:
        out->days = year_start(m.days, 1);
        return true;
    case UNIT_QUARTER:
        out->days = sm_days_from_civil(d.year, (d.month - 1) / 3 * 3 + 1, 1);
        return true;
    case UNIT_MONTH:
        out->days = m.days - d.day + 1;
        return true;
    case UNIT_WEEK:
    case UNIT_YEARWEEK:
        out->days = monday_of(m.days);
        return true;
    case UNIT_ISOYEAR:
        out->days = iso_year_start(iso_year(m.days));
        return true;
    case UNIT_DAY:
    case UNIT_DOW:
    case UNIT_ISODOW:
    case UNIT_DOY:
    case UNIT_JULIAN:
        return true;
    case UNIT_HOUR:
        out->us = m.us / US_HOUR * US_HOUR;
        return true;
    case UNIT_MINUTE:
        out->us = m.us / US_MINUTE * US_MINUTE;
        return true;
    case UNIT_SECOND:
    case UNIT_EPOCH:
        out->us = m.us / US_SECOND * US_SECOND;
        return true;
    case UNIT_MILLISECOND:
        out->us = m.us / 1000 * 1000;
        return true;
    case UNIT_MICROSECOND:
        out->us = m.us;
        return true;
    case UNIT_ERA:
    case UNIT_TIMEZONE:
        return false;
    }
    return false;
}

static sm_status out_of_range(const sm_fn_call *call, int32_t arg, int64_t i, const char *type,
                              sm_error *e)
{
    sm_buf value = {0};
    sm_value_print(sm_column_value(&call->args[arg], i), &value);
    const sm_status st = smi_expr_fail(call->expr, e, SM_RANGE,
                                       "%s of \"%.*s\" is out of the "
                                       "range of %s",
                                       call->expr->fn->name, SM_STR_ARG(sm_buf_str(&value)), type);
    sm_buf_release(&value);
    return st;
}

/* Exact: the sum may be in range where the first product is not. */
static bool to_us(moment m, int64_t *us)
{
    const sm_i128 v = (sm_i128)m.days * US_DAY + m.us;
    *us = (int64_t)v;
    return v >= INT64_MIN && v <= INT64_MAX;
}

sm_status fn_date_trunc(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    unit_reader r = {0};
    for (int64_t i = 0; i < call->n_rows; i++) {
        moment start;
        if (!smi_valid(out, i)) {
            continue;
        }
        SM_TRY(read_unit(&r, call, i, e));
        const moment m = moment_at(&call->args[1], i);
        if (!start_of(m, r.unit, &start)) {
            return refuse_unit(call, i, e);
        }
        if (m.is_infinite) {
            ((int64_t *)out->values)[i] =
                m.days > 0 ? SM_TIMESTAMP_INFINITY : -SM_TIMESTAMP_INFINITY;
        } else if (!to_us(start, &((int64_t *)out->values)[i])) {
            return out_of_range(call, 1, i, "TIMESTAMP", e);
        }
    }
    return SM_OK;
}

/* ---- differences ---------------------------------------------------------------------------- */

static int64_t months_of(moment m)
{
    const sm_civil d = sm_civil_from_days(m.days);
    return d.year * 12 + d.month - 1;
}

/* Units of `length` microseconds, a divisor of the day; 128 bits, for dates reach further than
 * timestamps. */
static sm_i128 ticks(moment m, int64_t length)
{
    SM_ASSERT(US_DAY % length == 0);
    return (sm_i128)m.days * (US_DAY / length) + m.us / length;
}

static bool date_difference(moment from, moment to, unit u, sm_i128 *out)
{
    const int64_t y = sm_civil_from_days(from.days).year, z = sm_civil_from_days(to.days).year;
    switch (u) {
    case UNIT_MILLENNIUM:
        *out = z / 1000 - y / 1000;
        return true;
    case UNIT_CENTURY:
        *out = z / 100 - y / 100;
        return true;
    case UNIT_DECADE:
        *out = z / 10 - y / 10;
        return true;
    case UNIT_YEAR:
        *out = z - y;
        return true;
    case UNIT_ISOYEAR:
        *out = iso_year(to.days) - iso_year(from.days);
        return true;
    case UNIT_QUARTER:
        *out = months_of(to) / 3 - months_of(from) / 3;
        return true;
    case UNIT_MONTH:
        *out = months_of(to) - months_of(from);
        return true;
    case UNIT_WEEK:
    case UNIT_YEARWEEK:
        *out = (to.days - from.days) / 7;
        return true;
    case UNIT_DAY:
    case UNIT_DOW:
    case UNIT_ISODOW:
    case UNIT_DOY:
    case UNIT_JULIAN:
        *out = to.days - from.days;
        return true;
    case UNIT_HOUR:
        *out = ticks(to, US_HOUR) - ticks(from, US_HOUR);
        return true;
    case UNIT_MINUTE:
        *out = ticks(to, US_MINUTE) - ticks(from, US_MINUTE);
        return true;
    case UNIT_SECOND:
    case UNIT_EPOCH:
        *out = ticks(to, US_SECOND) - ticks(from, US_SECOND);
        return true;
    case UNIT_MILLISECOND:
        *out = ticks(to, 1000) - ticks(from, 1000);
        return true;
    case UNIT_MICROSECOND:
        *out = ticks(to, 1) - ticks(from, 1);
        return true;
    case UNIT_ERA:
    case UNIT_TIMEZONE:
        return false;
    }
    return false;
}

sm_status fn_date_diff(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    unit_reader r = {0};
    for (int64_t i = 0; i < call->n_rows; i++) {
        sm_i128 n = 0;
        if (!smi_valid(out, i)) {
            continue;
        }
        SM_TRY(read_unit(&r, call, i, e));
        const moment from = moment_at(&call->args[1], i), to = moment_at(&call->args[2], i);
        if (from.is_infinite || to.is_infinite) {
            SM_TRY(smi_set_null(out, i, call->into, e));
            continue;
        }
        if (!date_difference(from, to, r.unit, &n)) {
            return refuse_unit(call, i, e);
        }
        if (n < INT64_MIN || n > INT64_MAX) {
            return out_of_range(call, 2, i, "BIGINT", e);
        }
        ((int64_t *)out->values)[i] = (int64_t)n;
    }
    return SM_OK;
}

/* ---- dates made ----------------------------------------------------------------------------- */

sm_status fn_last_day(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    for (int64_t i = 0; i < call->n_rows; i++) {
        if (!smi_valid(out, i)) {
            continue;
        }
        const moment m = moment_at(&call->args[0], i);
        if (m.is_infinite) {
            SM_TRY(smi_set_null(out, i, call->into, e));
            continue;
        }
        const sm_civil d = sm_civil_from_days(m.days);
        const int64_t last = m.days - d.day + sm_days_in_month(d.year, d.month);
        if (last >= SM_DATE_INFINITY) {
            return out_of_range(call, 0, i, "DATE", e);
        }
        ((int32_t *)out->values)[i] = (int32_t)last;
    }
    return SM_OK;
}

sm_status fn_make_date(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    for (int64_t i = 0; i < call->n_rows; i++) {
        if (!smi_valid(out, i)) {
            continue;
        }
        const int64_t year = smi_i64_at(&call->args[0], i), month = smi_i64_at(&call->args[1], i);
        const int64_t day = smi_i64_at(&call->args[2], i);
        const bool is_date = year >= MIN_YEAR && year <= MAX_YEAR && month >= 1 && month <= 12 &&
                             day >= 1 && day <= sm_days_in_month(year, (int)month);
        const int64_t days = is_date ? sm_days_from_civil(year, (int)month, (int)day) : INT64_MAX;
        if (days <= -SM_DATE_INFINITY || days >= SM_DATE_INFINITY) {
            return smi_expr_fail(call->expr, e, SM_RANGE, "there is no date %lld-%lld-%lld",
                                 (long long)year, (long long)month, (long long)day);
        }
        ((int32_t *)out->values)[i] = (int32_t)days;
    }
    return SM_OK;
}
