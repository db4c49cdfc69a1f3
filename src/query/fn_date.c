/* SPDX-License-Identifier: Apache-2.0
 *
 * query/fn_date.c: functions of dates and timestamps. A DATE is days, a TIMESTAMP microseconds;
 * most functions split either into days and the microseconds of the day and go on from there. */
#include "query/query_int.h"

#include "base/time.h"

#define SECOND_US INT64_C(1000000)
#define DAY_US    (86400 * SECOND_US)

typedef struct moment {
    int64_t days, us; /* us of the day, 0 … DAY_US − 1 */
} moment;

static moment moment_of_us(int64_t us)
{
    const int64_t days = us / DAY_US - (us % DAY_US < 0);
    return (moment){days, us - days * DAY_US};
}

static moment moment_at(const sm_column *c, int64_t i)
{
    const int64_t v = smi_i64_at(c, i);
    return c->type->id == SM_TYPE_DATE ? (moment){v, 0} : moment_of_us(v);
}

/* 0: Sunday. 1970-01-01 was a Thursday. */
static int64_t weekday(int64_t days)
{
    const int64_t d = (days + 4) % 7;
    return d < 0 ? d + 7 : d;
}

static int64_t iso_weekday(int64_t days)
{
    const int64_t d = weekday(days);
    return d == 0 ? 7 : d;
}

static int64_t day_of_year(int64_t days)
{
    return days - sm_days_from_civil(sm_civil_from_days(days).year, 1, 1) + 1;
}

/* The year that the day's Thursday lies in, and the number of its week there (ISO 8601). */
static int64_t iso_year(int64_t days)
{
    return sm_civil_from_days(days - iso_weekday(days) + 4).year;
}
static int64_t iso_week(int64_t days)
{
    return (day_of_year(days - iso_weekday(days) + 4) - 1) / 7 + 1;
}

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

/* ---- units ----------------------------------------------------------------------------------- */

typedef enum unit {
    UNIT_MICROSECOND,
    UNIT_MILLISECOND,
    UNIT_SECOND,
    UNIT_MINUTE,
    UNIT_HOUR,
    UNIT_DAY,
    UNIT_WEEK,
    UNIT_MONTH,
    UNIT_QUARTER,
    UNIT_YEAR,
    UNIT_DECADE,
    UNIT_CENTURY,
    UNIT_DOW,
    UNIT_ISODOW,
    UNIT_DOY,
    UNIT_ISOYEAR,
    UNIT_YEARWEEK,
    UNIT_EPOCH,
    UNITS,
} unit;

static const struct {
    const char *name;
    unit unit;
} unit_names[] = {
    {"microsecond", UNIT_MICROSECOND},
    {"millisecond", UNIT_MILLISECOND},
    {"second", UNIT_SECOND},
    {"minute", UNIT_MINUTE},
    {"hour", UNIT_HOUR},
    {"day", UNIT_DAY},
    {"week", UNIT_WEEK},
    {"month", UNIT_MONTH},
    {"quarter", UNIT_QUARTER},
    {"year", UNIT_YEAR},
    {"decade", UNIT_DECADE},
    {"century", UNIT_CENTURY},
    {"dow", UNIT_DOW},
    {"dayofweek", UNIT_DOW},
    {"weekday", UNIT_DOW},
    {"isodow", UNIT_ISODOW},
    {"doy", UNIT_DOY},
    {"dayofyear", UNIT_DOY},
    {"dayofmonth", UNIT_DAY},
    {"isoyear", UNIT_ISOYEAR},
    {"yearweek", UNIT_YEARWEEK},
    {"epoch", UNIT_EPOCH},
};

/* By name, one or several ("days"), without case. `last`: units beyond it do not count. */
static sm_status unit_of(const sm_fn_call *call, sm_str name, unit last, unit *out, sm_error *e)
{
    const sm_str single = {
        name.data, name.len > 1 && (name.data[name.len - 1] | 32) == 's' ? name.len - 1 : name.len};
    sm_str names[SM_COUNT(unit_names)];
    int64_t n = 0;
    for (int i = 0; i < SM_COUNT(unit_names); i++) {
        const sm_str known = sm_str_of(unit_names[i].name);
        if (unit_names[i].unit > last) {
            continue;
        }
        if (sm_str_eq_nocase(known, name) || sm_str_eq_nocase(known, single)) {
            *out = unit_names[i].unit;
            return SM_OK;
        }
        names[n++] = known;
    }
    const char *const near = sm_nearest_name(name, names, n);
    smi_expr_fail(call->expr, e, SM_NAME, "%s: no unit \"%.*s\"", call->expr->fn->name,
                  SM_STR_ARG(name));
    if (near) {
        sm_error_todo(e, "Did you mean '%s'?", near);
    }
    return SM_NAME;
}

/* ---- parts ----------------------------------------------------------------------------------- */

static int64_t part_of(unit u, moment m)
{
    const sm_civil c = sm_civil_from_days(m.days);
    switch (u) {
    case UNIT_MICROSECOND:
        return m.us % (60 * SECOND_US);
    case UNIT_MILLISECOND:
        return m.us % (60 * SECOND_US) / 1000;
    case UNIT_SECOND:
        return m.us / SECOND_US % 60;
    case UNIT_MINUTE:
        return m.us / (60 * SECOND_US) % 60;
    case UNIT_HOUR:
        return m.us / (3600 * SECOND_US);
    case UNIT_DAY:
        return c.day;
    case UNIT_WEEK:
        return iso_week(m.days);
    case UNIT_MONTH:
        return c.month;
    case UNIT_QUARTER:
        return (c.month - 1) / 3 + 1;
    case UNIT_YEAR:
        return c.year;
    case UNIT_DECADE:
        return floor_div(c.year, 10);
    case UNIT_CENTURY:
        return c.year > 0 ? (c.year - 1) / 100 + 1 : c.year / 100 - 1;
    case UNIT_DOW:
        return weekday(m.days);
    case UNIT_ISODOW:
        return iso_weekday(m.days);
    case UNIT_DOY:
        return day_of_year(m.days);
    case UNIT_ISOYEAR:
        return iso_year(m.days);
    case UNIT_YEARWEEK:
        return iso_year(m.days) * 100 + iso_week(m.days);
    case UNIT_EPOCH:
        return m.days * 86400 + m.us / SECOND_US;
    case UNITS:
        break;
    }
    return 0;
}

static sm_status part_rows(const sm_fn_call *call, unit u, sm_column *out)
{
    for (int64_t i = 0; i < call->n_rows; i++) {
        if (smi_valid(out, i)) {
            ((int64_t *)out->values)[i] = part_of(u, moment_at(&call->args[0], i));
        }
    }
    return SM_OK;
}

#define PART(fn, which)                                                                            \
    sm_status fn(const sm_fn_call *call, sm_column *out, sm_error *e)                              \
    {                                                                                              \
        return part_rows(call, which, out);                                                        \
    }
PART(fn_year, UNIT_YEAR)
PART(fn_quarter, UNIT_QUARTER)
PART(fn_month, UNIT_MONTH)
PART(fn_week, UNIT_WEEK)
PART(fn_day, UNIT_DAY)
PART(fn_hour, UNIT_HOUR)
PART(fn_minute, UNIT_MINUTE)
PART(fn_second, UNIT_SECOND)
PART(fn_dayofweek, UNIT_DOW)
PART(fn_isodow, UNIT_ISODOW)
PART(fn_dayofyear, UNIT_DOY)
#undef PART

sm_status fn_date_part(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    unit u = UNIT_DAY;
    bool has_unit = false;
    for (int64_t i = 0; i < call->n_rows; i++) {
        if (!smi_valid(out, i)) {
            continue;
        }
        if (!has_unit || call->args[0].layout != SM_CONST) { /* a constant is looked up once */
            SM_TRY(unit_of(call, smi_str_at(&call->args[0], i), UNIT_EPOCH, &u, e));
            has_unit = true;
        }
        ((int64_t *)out->values)[i] = part_of(u, moment_at(&call->args[1], i));
    }
    return SM_OK;
}

/* ---- cutting --------------------------------------------------------------------------------- */

static int64_t month_start(int64_t year, int month)
{
    return sm_days_from_civil(year, month, 1);
}

static moment truncated(unit u, moment m)
{
    const sm_civil c = sm_civil_from_days(m.days);
    switch (u) {
    case UNIT_MICROSECOND:
        return m;
    case UNIT_MILLISECOND:
        return (moment){m.days, m.us / 1000 * 1000};
    case UNIT_SECOND:
        return (moment){m.days, m.us / SECOND_US * SECOND_US};
    case UNIT_MINUTE:
        return (moment){m.days, m.us / (60 * SECOND_US) * (60 * SECOND_US)};
    case UNIT_HOUR:
        return (moment){m.days, m.us / (3600 * SECOND_US) * (3600 * SECOND_US)};
    case UNIT_WEEK:
        return (moment){m.days - iso_weekday(m.days) + 1, 0};
    case UNIT_MONTH:
        return (moment){month_start(c.year, c.month), 0};
    case UNIT_QUARTER:
        return (moment){month_start(c.year, (c.month - 1) / 3 * 3 + 1), 0};
    case UNIT_YEAR:
        return (moment){month_start(c.year, 1), 0};
    case UNIT_DECADE:
        return (moment){month_start(floor_div(c.year, 10) * 10, 1), 0};
    case UNIT_CENTURY: /* by hundreds: 2022 is cut to 2000, as DuckDB does */
        return (moment){month_start(floor_div(c.year, 100) * 100, 1), 0};
    default:
        return (moment){m.days, 0};
    }
}

sm_status fn_date_trunc(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    for (int64_t i = 0; i < call->n_rows; i++) {
        unit u = UNIT_DAY;
        int64_t us = 0;
        if (!smi_valid(out, i)) {
            continue;
        }
        SM_TRY(unit_of(call, smi_str_at(&call->args[0], i), UNIT_CENTURY, &u, e));
        const moment m = truncated(u, moment_at(&call->args[1], i));
        if (__builtin_mul_overflow(m.days, DAY_US, &us) || __builtin_add_overflow(us, m.us, &us)) {
            return smi_expr_fail(call->expr, e, SM_RANGE,
                                 "date_trunc: the date is out of the "
                                 "range of TIMESTAMP");
        }
        ((int64_t *)out->values)[i] = us;
    }
    return SM_OK;
}

/* ---- differences ----------------------------------------------------------------------------- */

/* The number of the unit that a moment lies in, counted without gaps. */
static int64_t ordinal_of(unit u, moment m)
{
    const sm_civil c = sm_civil_from_days(m.days);
    switch (u) {
    case UNIT_MICROSECOND:
        return m.days * DAY_US + m.us;
    case UNIT_MILLISECOND:
        return m.days * (DAY_US / 1000) + m.us / 1000;
    case UNIT_SECOND:
        return m.days * 86400 + m.us / SECOND_US;
    case UNIT_MINUTE:
        return m.days * 1440 + m.us / (60 * SECOND_US);
    case UNIT_HOUR:
        return m.days * 24 + m.us / (3600 * SECOND_US);
    case UNIT_MONTH:
        return c.year * 12 + c.month;
    case UNIT_QUARTER:
        return c.year * 4 + (c.month - 1) / 3;
    case UNIT_YEAR:
        return c.year;
    case UNIT_DECADE:
        return floor_div(c.year, 10);
    case UNIT_CENTURY:
        return floor_div(c.year, 100);
    default:
        return m.days;
    }
}

sm_status fn_date_diff(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    for (int64_t i = 0; i < call->n_rows; i++) {
        unit u = UNIT_DAY;
        if (!smi_valid(out, i)) {
            continue;
        }
        SM_TRY(unit_of(call, smi_str_at(&call->args[0], i), UNIT_CENTURY, &u, e));
        const moment from = moment_at(&call->args[1], i), to = moment_at(&call->args[2], i);
        const bool is_far = from.days > 100000000 || from.days < -100000000 ||
                            to.days > 100000000 || to.days < -100000000;
        if (is_far && u == UNIT_MICROSECOND) {
            return smi_expr_fail(call->expr, e, SM_RANGE, "%s: too many microseconds for BIGINT",
                                 call->expr->fn->name);
        }
        /* weeks are whole ones between the two days, as DuckDB has it */
        ((int64_t *)out->values)[i] =
            u == UNIT_WEEK ? (to.days - from.days) / 7 : ordinal_of(u, to) - ordinal_of(u, from);
    }
    return SM_OK;
}

/* ---- making ---------------------------------------------------------------------------------- */

sm_status fn_last_day(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    for (int64_t i = 0; i < call->n_rows; i++) {
        if (!smi_valid(out, i)) {
            continue;
        }
        const sm_civil c = sm_civil_from_days(moment_at(&call->args[0], i).days);
        const int64_t last = sm_days_from_civil(c.year, c.month, sm_days_in_month(c.year, c.month));
        if (last > INT32_MAX) {
            return smi_expr_fail(call->expr, e, SM_RANGE, "last_day: out of the range of DATE");
        }
        ((int32_t *)out->values)[i] = (int32_t)last;
    }
    return SM_OK;
}

static bool make_days(int64_t year, int64_t month, int64_t day, int32_t *out)
{
    if (year < -5000000 || year > 5000000 || month < 1 || month > 12 || day < 1 ||
        day > sm_days_in_month(year, (int)month)) {
        return false;
    }
    const int64_t days = sm_days_from_civil(year, (int)month, (int)day);
    *out = (int32_t)days; /* five million years are under 2^31 days */
    return true;
}

sm_status fn_make_date(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    for (int64_t i = 0; i < call->n_rows; i++) {
        if (!smi_valid(out, i)) {
            continue;
        }
        const int64_t y = smi_i64_at(&call->args[0], i), m = smi_i64_at(&call->args[1], i);
        const int64_t d = smi_i64_at(&call->args[2], i);
        if (!make_days(y, m, d, &((int32_t *)out->values)[i])) {
            return smi_expr_fail(call->expr, e, SM_RANGE, "%lld-%lld-%lld is no date", (long long)y,
                                 (long long)m, (long long)d);
        }
    }
    return SM_OK;
}

/* ---- strftime, strptime ---------------------------------------------------------------------- */

static const char *const day_names[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                        "Thursday", "Friday", "Saturday"};
static const char *const month_names[] = {"January",   "February", "March",    "April",
                                          "May",       "June",     "July",     "August",
                                          "September", "October",  "November", "December"};

static sm_status no_code(const sm_fn_call *call, char code, sm_error *e)
{
    smi_expr_fail(call->expr, e, SM_INVALID, "%s: no format code %%%c", call->expr->fn->name,
                  code ? code : ' ');
    sm_error_todo(e, "Codes are %%Y %%y %%m %%d %%H %%I %%M %%S %%f %%g %%p %%j %%a %%A %%b %%B "
                     "%%u %%w %%-d and the like, %%%%.");
    return SM_INVALID;
}

/* One code as text; false where there is no such code. `pad` false: %-d, without zeros. */
static bool format_code(char code, bool pad, moment m, sm_buf *out)
{
    const sm_civil c = sm_civil_from_days(m.days);
    const int hour = (int)(m.us / (3600 * SECOND_US));
    const int width = pad ? 2 : 1;
    switch (code) {
    case 'Y':
        sm_buf_printf(out, "%0*lld", pad ? 4 : 1, (long long)c.year);
        return true;
    case 'y':
        sm_buf_printf(out, "%0*lld", width, (long long)(c.year - floor_div(c.year, 100) * 100));
        return true;
    case 'm':
        sm_buf_printf(out, "%0*d", width, c.month);
        return true;
    case 'd':
        sm_buf_printf(out, "%0*d", width, c.day);
        return true;
    case 'H':
        sm_buf_printf(out, "%0*d", width, hour);
        return true;
    case 'I':
        sm_buf_printf(out, "%0*d", width, hour % 12 == 0 ? 12 : hour % 12);
        return true;
    case 'M':
        sm_buf_printf(out, "%0*d", width, (int)part_of(UNIT_MINUTE, m));
        return true;
    case 'S':
        sm_buf_printf(out, "%0*d", width, (int)part_of(UNIT_SECOND, m));
        return true;
    case 'f':
        sm_buf_printf(out, "%06d", (int)(m.us % SECOND_US));
        return true;
    case 'g':
        sm_buf_printf(out, "%03d", (int)(m.us % SECOND_US / 1000));
        return true;
    case 'j':
        sm_buf_printf(out, "%0*d", pad ? 3 : 1, (int)day_of_year(m.days));
        return true;
    case 'p':
        sm_buf_printf(out, "%s", hour < 12 ? "AM" : "PM");
        return true;
    case 'a':
        sm_buf_printf(out, "%.3s", day_names[weekday(m.days)]);
        return true;
    case 'A':
        sm_buf_printf(out, "%s", day_names[weekday(m.days)]);
        return true;
    case 'b':
        sm_buf_printf(out, "%.3s", month_names[c.month - 1]);
        return true;
    case 'B':
        sm_buf_printf(out, "%s", month_names[c.month - 1]);
        return true;
    case 'u':
        sm_buf_printf(out, "%d", (int)iso_weekday(m.days));
        return true;
    case 'w':
        sm_buf_printf(out, "%d", (int)weekday(m.days));
        return true;
    case '%':
        sm_buf_text(out, SM_STR("%"));
        return true;
    default:
        return false;
    }
}

static sm_status format_moment(const sm_fn_call *call, sm_str format, moment m, sm_buf *out,
                               sm_error *e)
{
    for (size_t i = 0; i < format.len; i++) {
        if (format.data[i] != '%') {
            sm_buf_text(out, (sm_str){format.data + i, 1});
            continue;
        }
        const bool pad = !(i + 1 < format.len && format.data[i + 1] == '-');
        i += pad ? 1 : 2;
        const char code = i < format.len ? format.data[i] : 0;
        if (!format_code(code, pad, m, out)) {
            return no_code(call, code, e);
        }
    }
    return SM_OK;
}

sm_status fn_strftime(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    smi_text_out text;
    sm_buf one = {0};
    sm_status st = SM_OK;
    smi_text_begin(&text, out, call->into);
    for (int64_t i = 0; i < call->n_rows && st == SM_OK; i++) {
        if (!smi_valid(out, i)) {
            continue;
        }
        sm_buf_reset(&one);
        st = format_moment(call, smi_str_at(&call->args[1], i), moment_at(&call->args[0], i), &one,
                           e);
        if (st == SM_OK) {
            st = smi_text_put(&text, i, sm_buf_str(&one), e);
        }
    }
    smi_text_end(&text);
    sm_buf_release(&one);
    return st;
}

/* What strptime has read so far; month 0 and hour12 −1: not given. */
typedef struct reading {
    int64_t year;
    int month, day, hour, minute, second, us, day_of_year;
    bool is_pm, has_half;
} reading;

static bool read_number(sm_str s, size_t *at, int max_digits, int *out)
{
    int v = 0, n = 0;
    while (n < max_digits && *at < s.len && s.data[*at] >= '0' && s.data[*at] <= '9') {
        v = v * 10 + (s.data[(*at)++] - '0');
        n++;
    }
    *out = v;
    return n > 0;
}

static bool read_fraction(sm_str s, size_t *at, int *us)
{
    const size_t start = *at;
    int v = 0;
    if (!read_number(s, at, 6, &v)) {
        return false;
    }
    for (size_t n = *at - start; n < 6; n++) {
        v *= 10;
    }
    *us = v;
    return true;
}

static bool read_name(sm_str s, size_t *at, const char *const *names, int n, int *out)
{
    for (int i = 0; i < n; i++) {
        const size_t lens[2] = {strlen(names[i]), 3}; /* in full first */
        for (int k = 0; k < 2; k++) {
            if (s.len - *at >= lens[k] &&
                sm_str_eq_nocase((sm_str){s.data + *at, lens[k]}, (sm_str){names[i], lens[k]})) {
                *at += lens[k];
                *out = i;
                return true;
            }
        }
    }
    return false;
}

/* Reads what one code stands for. *known false: there is no such code. */
static bool read_code(char code, sm_str s, size_t *at, reading *r, bool *known)
{
    int v = 0;
    *known = true;
    switch (code) {
    case 'Y': {
        const bool ok = read_number(s, at, 4, &v);
        r->year = v;
        return ok;
    }
    case 'y': {
        const bool ok = read_number(s, at, 2, &v);
        r->year = v + (v < 69 ? 2000 : 1900); /* POSIX's pivot */
        return ok;
    }
    case 'm':
        return read_number(s, at, 2, &r->month);
    case 'd':
        return read_number(s, at, 2, &r->day);
    case 'H':
    case 'I':
        return read_number(s, at, 2, &r->hour) && (code == 'H' || (r->hour >= 1 && r->hour <= 12));
    case 'M':
        return read_number(s, at, 2, &r->minute);
    case 'S':
        return read_number(s, at, 2, &r->second);
    case 'f':
    case 'g':
        return read_fraction(s, at, &r->us);
    case 'j':
        return read_number(s, at, 3, &r->day_of_year);
    case 'p': {
        static const char *const halves[] = {"AM ", "PM "};
        if (s.len - *at < 2) {
            return false;
        }
        const sm_str half = {s.data + *at, 2};
        r->has_half = true;
        r->is_pm = sm_str_eq_nocase(half, (sm_str){halves[1], 2});
        *at += 2;
        return r->is_pm || sm_str_eq_nocase(half, (sm_str){halves[0], 2});
    }
    case 'a':
    case 'A':
        return read_name(s, at, day_names, 7, &v);
    case 'b':
    case 'B': {
        const bool ok = read_name(s, at, month_names, 12, &v);
        r->month = v + 1;
        return ok;
    }
    case '%':
        return *at < s.len && s.data[(*at)++] == '%';
    default:
        *known = false;
        return false;
    }
}

static bool finish_reading(const reading *r, int64_t *us)
{
    int32_t days = 0;
    int hour = r->hour;
    if (r->has_half) {
        if (hour < 1 || hour > 12) {
            return false;
        }
        hour = hour % 12 + (r->is_pm ? 12 : 0);
    }
    if (r->day_of_year > 0) {
        if (r->day_of_year > 366 || !make_days(r->year, 1, 1, &days)) {
            return false;
        }
        days += r->day_of_year - 1;
    } else if (!make_days(r->year, r->month, r->day, &days)) {
        return false;
    }
    if (hour > 23 || r->minute > 59 || r->second > 59) {
        return false;
    }
    *us = days * DAY_US + ((hour * 60 + r->minute) * 60 + r->second) * SECOND_US + r->us;
    return true;
}

/* *ok false: the text is not of the format. */
static sm_status parse_moment(const sm_fn_call *call, sm_str s, sm_str format, int64_t *us,
                              bool *ok, sm_error *e)
{
    reading r = {.year = 1900, .month = 1, .day = 1};
    size_t at = 0;
    *ok = true;
    for (size_t i = 0; i < format.len && *ok; i++) {
        if (format.data[i] != '%') {
            *ok = at < s.len && s.data[at++] == format.data[i];
            continue;
        }
        i += i + 1 < format.len && format.data[i + 1] == '-' ? 2 : 1;
        const char code = i < format.len ? format.data[i] : 0;
        bool known = false;
        *ok = read_code(code, s, &at, &r, &known);
        if (!known) {
            return no_code(call, code, e);
        }
    }
    *ok = *ok && at == s.len && finish_reading(&r, us);
    return SM_OK;
}

sm_status fn_strptime(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    for (int64_t i = 0; i < call->n_rows; i++) {
        bool ok = false;
        if (!smi_valid(out, i)) {
            continue;
        }
        const sm_str s = smi_str_at(&call->args[0], i), format = smi_str_at(&call->args[1], i);
        SM_TRY(parse_moment(call, s, format, &((int64_t *)out->values)[i], &ok, e));
        if (!ok) {
            return smi_expr_fail(call->expr, e, SM_TYPE, "\"%.*s\" is not of the format \"%.*s\"",
                                 (int)(s.len > 60 ? 60 : s.len), s.data,
                                 (int)(format.len > 60 ? 60 : format.len), format.data);
        }
    }
    return SM_OK;
}
