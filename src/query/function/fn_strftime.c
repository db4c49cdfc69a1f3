/* SPDX-License-Identifier: Apache-2.0
 *
 * query/function/fn_strftime.c: strftime and strptime: dates and timestamps as text in a format of
 * % codes, and back. No locale: names are English.
 *
 *   %Y %y %m %d %j   year, of two digits, month, day, day of the year   %b %B %a %A  names
 *   %H %I %p %M %S   hour of 24, of 12, AM or PM, minute, second        %f %g %n     fraction of a
 *   %w %u            weekday from Sunday 0, from Monday 1                 second in 6, 3, 9 digits
 *   %U %W %V %G      week from Sundays, from Mondays, ISO week and its year
 *   %z %Z            offset from UTC, name of the zone (read: UTC, GMT)  %%
 *   %c %x %X         %Y-%m-%d %H:%M:%S, its date, its time
 *   A minus as in %-d leaves out leading zeros, for d m y H I M S j.
 *
 * Reading   As DuckDB. Spaces before and after the text are ignored; one or more spaces in the
 *           format match one or more in the text; numbers may have fewer digits than their code; a
 *           year of two digits is in 1969 to 2068. Fields that the format does not have are those
 *           of 1900-01-01 00:00:00. Where a month or a day is given, the date is that of the
 *           calendar, whatever else is given; else %j decides; else %G %V %u; else %Y with %U or %W
 *           and %w. An offset is subtracted: the result is then an instant, a TIMESTAMP WITH TIME
 *           ZONE. infinity and -infinity fit every format.
 * Limits    Zones other than UTC and GMT are refused by name; nanoseconds are cut. */
#include "query/function/function_int.h"

#include "base/time.h"

#define US_SECOND INT64_C(1000000)
#define US_DAY    (86400 * US_SECOND)

static const char *const month_names[] = {"January",   "February", "March",    "April",
                                          "May",       "June",     "July",     "August",
                                          "September", "October",  "November", "December"};
static const char *const day_names[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                        "Thursday", "Friday", "Saturday"};
#define ABBREVIATED 3 /* letters of %a and %b */
_Static_assert(SM_COUNT(month_names) == 12, "months are 1 to 12");
_Static_assert(SM_COUNT(day_names) == 7, "weekdays are 0 to 6");

/* ---- formats -------------------------------------------------------------------------------- */

static const char codes[] = "aAbBcdfgGhHIjmMnpSTuUVwWxXyYzZ%";
static const char minus_codes[] = "dmyHIMSj";

/* One code, or a byte that stands for itself. */
typedef struct piece {
    char code; /* 0: `byte` itself */
    char byte;
    bool has_minus;
} piece;

/* Reads the piece at fmt.data[*at] and moves *at behind it; false where no code follows a %. */
static bool next_piece(sm_str fmt, size_t *at, piece *out)
{
    SM_ASSERT(*at < fmt.len);
    *out = (piece){.byte = fmt.data[(*at)++]};
    if (out->byte != '%') {
        return true;
    }
    if (*at < fmt.len && fmt.data[*at] == '-') {
        out->has_minus = true;
        ++*at;
    }
    if (*at == fmt.len || fmt.data[*at] == 0 ||
        !strchr(out->has_minus ? minus_codes : codes, fmt.data[*at])) {
        return false;
    }
    out->code = fmt.data[(*at)++];
    if (out->code == '%') {
        out->code = 0;
    }
    return true;
}

/* What %c, %x, %X and %T are short for, or NULL. */
static const char *written_out(char code)
{
    return code == 'c'   ? "%Y-%m-%d %H:%M:%S"
           : code == 'x' ? "%Y-%m-%d"
           : code == 'X' ? "%H:%M:%S"
           : code == 'T' ? "%H:%M:%S"
                         : NULL;
}

static sm_status check_format(const sm_expr *call, sm_str fmt, sm_error *e)
{
    if (fmt.len == 0) {
        return smi_expr_fail(call, e, SM_INVALID, "%s: the format is empty", call->fn->name);
    }
    for (size_t at = 0; at < fmt.len;) {
        const size_t start = at;
        piece p;
        if (!next_piece(fmt, &at, &p)) {
            const size_t len = fmt.len - start < 4 ? fmt.len - start : at - start + 1;
            smi_expr_fail(call, e, SM_INVALID, "%s: no code \"%.*s\" in format \"%.*s\"",
                          call->fn->name, (int)len, fmt.data + start,
                          (int)(fmt.len > 80 ? 80 : fmt.len), fmt.data);
            sm_error_todo(e, "A percent sign itself is written %%%%.");
            return SM_INVALID;
        }
    }
    return SM_OK;
}

/* Does the format, which was checked, have %z or %Z? */
static bool has_zone_code(sm_str fmt)
{
    piece p;
    for (size_t at = 0; at < fmt.len && next_piece(fmt, &at, &p);) {
        if (p.code == 'z' || p.code == 'Z') {
            return true;
        }
    }
    return false;
}

/* With a zone in the format the result is an instant: so such a format must be a constant. */
sm_status smi_bind_strptime(smi_call_bind *b, sm_error *e)
{
    SM_TRY(smi_bind_signature(b, e));
    const sm_expr *const fmt = b->args[1];
    if (fmt->kind == SM_EXPR_CONST && !fmt->value.is_null && has_zone_code(fmt->value.as.s)) {
        b->result = &sm_type_timestamp;
    }
    return SM_OK;
}

/* Prepares nothing; but a wrong constant format is an error when the call is bound. */
const void *smi_prepare_format(const sm_expr *call, sm_arena *a, sm_error *e)
{
    const sm_expr *const format = call->args[1];
    if (format->kind == SM_EXPR_CONST && !format->value.is_null) {
        const sm_status st = check_format(call, format->value.as.s, e);
        SM_ASSERT(st == e->status);
    }
    return NULL;
}

/* Checks a row's format where it differs from the row before. */
static sm_status check_row_format(const sm_fn_call *call, int64_t i, sm_str *last, sm_error *e)
{
    const sm_str fmt = smi_str_at(&call->args[1], i);
    if (last->data && sm_str_eq(*last, fmt)) {
        *last = fmt;
        return SM_OK;
    }
    *last = fmt;
    return check_format(call->expr, fmt, e);
}

/* ---- writing -------------------------------------------------------------------------------- */

typedef struct clock_parts {
    int64_t days; /* since 1970-01-01 */
    sm_civil date;
    int hour, minute, second, us;
    int infinite; /* 1, −1: nothing else counts */
    bool has_zone;
} clock_parts;

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

static clock_parts parts_at(const sm_column *c, int64_t i)
{
    const int64_t v = smi_i64_at(c, i);
    const bool is_date = c->type->id == SM_TYPE_DATE;
    const int64_t days = is_date ? v : floor_div(v, US_DAY);
    const int64_t infinity = is_date ? SM_DATE_INFINITY : SM_TIMESTAMP_INFINITY;
    const int64_t rest = is_date ? 0 : v % US_DAY; /* the day's own start may be out of range */
    const int64_t us = rest + (rest < 0 ? US_DAY : 0);
    const int seconds = (int)(us / US_SECOND);
    return (clock_parts){
        .days = days,
        .date = sm_civil_from_days(days),
        .hour = seconds / 3600,
        .minute = seconds / 60 % 60,
        .second = seconds % 60,
        .us = (int)(us % US_SECOND),
        .infinite = v == infinity    ? 1
                    : v == -infinity ? -1
                                     : 0,
        .has_zone = c->type->id == SM_TYPE_TIMESTAMP,
    };
}

/* Sunday is 0. 1970-01-01 was a Thursday. */
static int weekday(int64_t days)
{
    const int64_t day = days + 4 - floor_div(days + 4, 7) * 7;
    SM_ASSERT(day >= 0 && day < SM_COUNT(day_names));
    return (int)day;
}

static int day_of_year(const clock_parts *t)
{
    return (int)(t->days - sm_days_from_civil(t->date.year, 1, 1)) + 1;
}

/* The week of the year; weeks begin on `first` (0: Sunday), and the first whole one is 1. */
static int week_from(const clock_parts *t, int first)
{
    return (day_of_year(t) + 6 - (weekday(t->days) + 7 - first) % 7) / 7;
}

static int64_t thursday_of(int64_t days)
{
    return days - (weekday(days) + 6) % 7 + 3;
}

static int64_t iso_year(int64_t days)
{
    return sm_civil_from_days(thursday_of(days)).year;
}

static int iso_week(int64_t days)
{
    const int64_t thursday = thursday_of(days);
    return (int)((thursday - sm_days_from_civil(iso_year(days), 1, 1)) / 7) + 1;
}

static void put_year(sm_buf *out, int64_t year)
{
    if (year >= 0 && year <= 9999) {
        sm_buf_printf(out, "%04lld", (long long)year);
    } else {
        sm_buf_printf(out, "%lld", (long long)year);
    }
}

static void put_two(sm_buf *out, int64_t v, bool has_minus)
{
    sm_buf_printf(out, has_minus ? "%lld" : "%02lld", (long long)v);
}

static void put_name(sm_buf *out, const char *name, bool is_whole)
{
    sm_buf_text(out, (sm_str){name, is_whole ? strlen(name) : ABBREVIATED});
}

/* One case for each code. */
static void put_code(sm_buf *out, const clock_parts *t, piece p)
{
    const bool m = p.has_minus;
    switch (p.code) {
    case 'Y':
        put_year(out, t->date.year);
        return;
    case 'G':
        put_year(out, iso_year(t->days));
        return;
    case 'y':
        put_two(out, (t->date.year < 0 ? -t->date.year : t->date.year) % 100, m);
        return;
    case 'm':
        put_two(out, t->date.month, m);
        return;
    case 'd':
        put_two(out, t->date.day, m);
        return;
    case 'j':
        sm_buf_printf(out, m ? "%d" : "%03d", day_of_year(t));
        return;
    case 'H':
        put_two(out, t->hour, m);
        return;
    case 'I':
        put_two(out, t->hour % 12 == 0 ? 12 : t->hour % 12, m);
        return;
    case 'M':
        put_two(out, t->minute, m);
        return;
    case 'S':
        put_two(out, t->second, m);
        return;
    case 'U':
        put_two(out, week_from(t, 0), false);
        return;
    case 'W':
        put_two(out, week_from(t, 1), false);
        return;
    case 'V':
        put_two(out, iso_week(t->days), false);
        return;
    case 'f':
        sm_buf_printf(out, "%06d", t->us);
        return;
    case 'g':
        sm_buf_printf(out, "%03d", t->us / 1000);
        return;
    case 'n':
        sm_buf_printf(out, "%06d000", t->us);
        return;
    case 'p':
        sm_buf_text(out, t->hour < 12 ? SM_STR("AM") : SM_STR("PM"));
        return;
    case 'a':
    case 'A':
        put_name(out, day_names[weekday(t->days)], p.code == 'A');
        return;
    case 'b':
    case 'h':
    case 'B':
        SM_ASSERT(t->date.month >= 1 && t->date.month <= SM_COUNT(month_names));
        put_name(out, month_names[t->date.month - 1], p.code == 'B');
        return;
    case 'w':
        sm_buf_printf(out, "%d", weekday(t->days));
        return;
    case 'u':
        sm_buf_printf(out, "%d", (weekday(t->days) + 6) % 7 + 1);
        return;
    case 'z':
        sm_buf_text(out, SM_STR("+00"));
        return;
    default: /* %Z: a time without zone has no name for it */
        sm_buf_text(out, t->has_zone ? SM_STR("UTC") : SM_STR(""));
        return;
    }
}

static void put_format(sm_buf *out, const clock_parts *t, sm_str fmt)
{
    for (size_t at = 0; at < fmt.len;) {
        piece p;
        const bool is_known = next_piece(fmt, &at, &p);
        SM_ASSERT(is_known); /* check_format saw it */
        const char *const longer = written_out(p.code);
        if (p.code == 0) {
            sm_buf_text(out, (sm_str){&p.byte, 1});
        } else if (longer) {
            put_format(out, t, sm_str_of(longer)); /* one level: those have none of the three */
        } else {
            put_code(out, t, p);
        }
    }
}

sm_status fn_strftime(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    smi_text_out text;
    sm_buf one = {0};
    sm_str fmt = {0};
    sm_status st = SM_OK;
    smi_text_begin(&text, out, call->into);
    for (int64_t i = 0; i < call->n_rows && st == SM_OK; i++) {
        if (!smi_valid(out, i)) {
            continue;
        }
        SM_TRY_GOTO(st, done, check_row_format(call, i, &fmt, e));
        const clock_parts t = parts_at(&call->args[0], i);
        sm_buf_reset(&one);
        if (t.infinite != 0) {
            sm_buf_text(&one, t.infinite > 0 ? SM_STR("infinity") : SM_STR("-infinity"));
        } else {
            put_format(&one, &t, fmt);
        }
        st = smi_text_put(&text, i, sm_buf_str(&one), e);
    }
done:
    smi_text_end(&text);
    sm_buf_release(&one);
    return st;
}

/* ---- reading -------------------------------------------------------------------------------- */

/* The fields read so far; −1 for those that were not given. */
typedef struct fields {
    int64_t year, iso_year;
    int month, day, day_of_year;
    int week, week_first; /* %U and %W, and the weekday with which they begin */
    int iso_week, weekday, iso_weekday;
    int hour, minute, second, us;
    int half; /* 0 AM, 1 PM */
    int64_t offset_s;
} fields;

typedef struct text_reader {
    sm_str s;
    size_t at;
} text_reader;

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static void skip_spaces(text_reader *r)
{
    while (r->at < r->s.len && is_space(r->s.data[r->at])) {
        r->at++;
    }
}

/* Reads 1 to `width` digits as a number from min to max. */
static bool take_number(text_reader *r, int width, int min, int max, int *out)
{
    SM_ASSERT(width >= 1 && width <= 9 && min <= max); /* so that the value fits an int */
    const size_t start = r->at;
    int64_t v = 0;
    while (r->at < r->s.len && r->at < start + (size_t)width && is_digit(r->s.data[r->at])) {
        v = v * 10 + (r->s.data[r->at++] - '0');
    }
    const bool fits = r->at > start && v >= min && v <= max;
    if (!fits) {
        r->at = start; /* where the error is */
        return false;
    }
    *out = (int)v;
    return true;
}

static bool take_year(text_reader *r, int64_t *out)
{
    int year = 0;
    if (!take_number(r, 4, 0, 9999, &year)) {
        return false;
    }
    *out = year;
    return true;
}

static bool take_short_year(text_reader *r, int64_t *out)
{
    int year = 0;
    if (!take_number(r, 2, 0, 99, &year)) {
        return false;
    }
    *out = year < 69 ? 2000 + year : 1900 + year;
    return true;
}

/* A fraction of up to `width` digits, in microseconds. */
static bool take_fraction(text_reader *r, int width, int *us)
{
    const size_t start = r->at;
    int v = 0;
    if (!take_number(r, width, 0, 999999999, &v)) {
        return false;
    }
    for (size_t n = r->at - start; n < 9; n++) {
        v *= 10;
    }
    *us = v / 1000;
    return true;
}

static bool take_byte(text_reader *r, char byte)
{
    const bool is_there = r->at < r->s.len && r->s.data[r->at] == byte;
    r->at += is_there;
    return is_there;
}

static bool take_word(text_reader *r, const char *word, size_t len)
{
    if (r->s.len - r->at < len ||
        !sm_str_eq_nocase((sm_str){r->s.data + r->at, len}, (sm_str){word, len})) {
        return false;
    }
    r->at += len;
    return true;
}

static bool take_name(text_reader *r, const char *const *names, int n, bool is_whole, int *out)
{
    for (int i = 0; i < n; i++) {
        if (take_word(r, names[i], is_whole ? strlen(names[i]) : ABBREVIATED)) {
            *out = i;
            return true;
        }
    }
    return false;
}

static bool take_half(text_reader *r, int *half)
{
    *half = take_word(r, "PM", 2);
    return *half == 1 || take_word(r, "AM", 2);
}

/* Exactly two digits. */
static bool take_pair(text_reader *r, int max, int *out)
{
    const size_t start = r->at;
    return take_number(r, 2, 0, max, out) && r->at - start == 2;
}

/* ±hh, ±hhmm, ±hh:mm, ±hh:mm:ss */
static bool take_offset(text_reader *r, int64_t *seconds)
{
    int hour = 0, minute = 0, second = 0;
    const bool is_negative = take_byte(r, '-');
    if ((!is_negative && !take_byte(r, '+')) || !take_pair(r, 23, &hour)) {
        return false;
    }
    if (take_byte(r, ':')) {
        if (!take_pair(r, 59, &minute) || (take_byte(r, ':') && !take_pair(r, 59, &second))) {
            return false;
        }
    } else if (r->at < r->s.len && is_digit(r->s.data[r->at]) && !take_pair(r, 59, &minute)) {
        return false;
    }
    const int64_t v = (int64_t)hour * 3600 + minute * 60 + second;
    *seconds = is_negative ? -v : v;
    return true;
}

static bool take_zone(text_reader *r, int64_t *seconds)
{
    *seconds = 0;
    return take_word(r, "UTC", 3) || take_word(r, "GMT", 3);
}

/* Reads what one code stands for. */
static bool take_code(text_reader *r, char code, fields *f)
{
    int ignored = 0; /* names of weekdays are checked and say nothing */
    switch (code) {
    case 'Y':
        return take_year(r, &f->year);
    case 'y':
        return take_short_year(r, &f->year);
    case 'G':
        return take_year(r, &f->iso_year);
    case 'm':
        return take_number(r, 2, 1, 12, &f->month);
    case 'd':
        return take_number(r, 2, 1, 31, &f->day);
    case 'j':
        return take_number(r, 3, 1, 366, &f->day_of_year);
    case 'H':
        return take_number(r, 2, 0, 23, &f->hour);
    case 'I':
        return take_number(r, 2, 1, 12, &f->hour);
    case 'M':
        return take_number(r, 2, 0, 59, &f->minute);
    case 'S':
        return take_number(r, 2, 0, 59, &f->second);
    case 'U':
    case 'W':
        f->week_first = code == 'W';
        return take_number(r, 2, 0, 53, &f->week);
    case 'V':
        return take_number(r, 2, 1, 53, &f->iso_week);
    case 'w':
        return take_number(r, 1, 0, 6, &f->weekday);
    case 'u':
        return take_number(r, 1, 1, 7, &f->iso_weekday);
    case 'f':
        return take_fraction(r, 6, &f->us);
    case 'g':
        return take_fraction(r, 3, &f->us);
    case 'n':
        return take_fraction(r, 9, &f->us);
    case 'p':
        return take_half(r, &f->half);
    case 'a':
    case 'A':
        return take_name(r, day_names, SM_COUNT(day_names), code == 'A', &ignored);
    case 'b':
    case 'h':
    case 'B': {
        const bool ok = take_name(r, month_names, SM_COUNT(month_names), code == 'B', &f->month);
        f->month += ok;
        return ok;
    }
    case 'z':
        return take_offset(r, &f->offset_s);
    default:
        return take_zone(r, &f->offset_s);
    }
}

/* One or more spaces in the format match one or more in the text. */
static bool take_spaces(text_reader *r, sm_str fmt, size_t *at)
{
    const size_t start = r->at;
    skip_spaces(r);
    while (*at < fmt.len && is_space(fmt.data[*at])) {
        ++*at;
    }
    return r->at > start;
}

static bool take_format(text_reader *r, sm_str fmt, fields *f)
{
    for (size_t at = 0; at < fmt.len;) {
        piece p;
        const bool is_known = next_piece(fmt, &at, &p);
        SM_ASSERT(is_known); /* check_format saw it */
        const char *const longer = written_out(p.code);
        bool ok = false;
        if (p.code == 0) {
            ok = is_space(p.byte) ? take_spaces(r, fmt, &at) : take_byte(r, p.byte);
        } else if (longer) {
            ok = take_format(r, sm_str_of(longer), f);
        } else {
            ok = take_code(r, p.code, f);
        }
        if (!ok) {
            return false;
        }
    }
    return true;
}

/* ---- what was read as a point in time ----------------------------------------------------------
 * */

/* The day of a week counted by %U or %W. */
static int64_t day_in_week(const fields *f, int64_t year)
{
    const int64_t january_1 = sm_days_from_civil(year, 1, 1);
    const int64_t first = january_1 + (7 + f->week_first - weekday(january_1)) % 7;
    const int day = f->weekday < 0 ? 0 : (f->weekday + 7 - f->week_first) % 7;
    return first + 7 * (int64_t)(f->week - 1) + day;
}

static int64_t day_in_iso_week(const fields *f)
{
    const int64_t year = f->iso_year < 0 ? 1900 : f->iso_year;
    const int64_t monday = thursday_of(sm_days_from_civil(year, 1, 4)) - 3;
    const int week = f->iso_week < 0 ? 1 : f->iso_week;
    return monday + 7 * (int64_t)(week - 1) + (f->iso_weekday < 0 ? 0 : f->iso_weekday - 1);
}

/* False where the fields make no day. */
static bool day_of(const fields *f, int64_t *days)
{
    const int64_t year = f->year < 0 ? 1900 : f->year;
    const bool is_iso = f->iso_year >= 0 || f->iso_week >= 0;
    if (f->month >= 0 || f->day >= 0) {
        const int month = f->month < 0 ? 1 : f->month, day = f->day < 0 ? 1 : f->day;
        *days = sm_days_from_civil(year, month, 1) + day - 1;
        return day <= sm_days_in_month(year, month);
    }
    if (f->day_of_year >= 0) {
        *days = sm_days_from_civil(year, 1, 1) + f->day_of_year - 1;
        return true;
    }
    if (is_iso) {
        *days = day_in_iso_week(f);
        return f->year < 0;
    }
    *days = f->week >= 0 ? day_in_week(f, year) : sm_days_from_civil(year, 1, 1);
    return true;
}

static bool hour_of(const fields *f, int *hour)
{
    *hour = f->hour < 0 ? 0 : f->hour;
    if (f->half < 0) {
        return true;
    }
    const bool fits = *hour <= 12;
    *hour = *hour % 12 + 12 * f->half;
    return fits;
}

/* Reads all of `s`; where it does not fit, *at is the byte that does not. */
static bool read_time(sm_str s, sm_str fmt, int64_t *us, size_t *at)
{
    fields f = {.year = -1,
                .iso_year = -1,
                .month = -1,
                .day = -1,
                .day_of_year = -1,
                .week = -1,
                .iso_week = -1,
                .weekday = -1,
                .iso_weekday = -1,
                .hour = -1,
                .half = -1};
    text_reader r = {.s = s};
    int64_t days = 0;
    int hour = 0;
    skip_spaces(&r);
    bool ok = take_format(&r, fmt, &f);
    if (ok) {
        skip_spaces(&r);
        ok = r.at == s.len;
    }
    *at = r.at;
    if (!ok || !day_of(&f, &days) || !hour_of(&f, &hour)) {
        return false;
    }
    const int64_t seconds = (int64_t)hour * 3600 + f.minute * 60 + f.second - f.offset_s;
    *us = days * US_DAY + seconds * US_SECOND + f.us;
    return true;
}

static sm_status does_not_fit(const sm_fn_call *call, sm_str s, sm_str fmt, size_t at, sm_error *e)
{
    const sm_str shown = {s.data, s.len > 60 ? 60 : s.len};
    const sm_str shown_fmt = {fmt.data, fmt.len > 40 ? 40 : fmt.len};
    if (at == s.len) { /* all was read, but the text ends too early or there is no such day */
        return smi_expr_fail(call->expr, e, SM_TYPE, "\"%.*s\" is no time in the format \"%.*s\"",
                             SM_STR_ARG(shown), SM_STR_ARG(shown_fmt));
    }
    return smi_expr_fail(call->expr, e, SM_TYPE,
                         "\"%.*s\" does not fit the format \"%.*s\" from byte %zu on",
                         SM_STR_ARG(shown), SM_STR_ARG(shown_fmt), at + 1);
}

/* infinity and -infinity, which fit every format. */
static bool read_infinite(sm_str s, int64_t *us)
{
    sm_when when;
    return sm_parse_when(s, &when) && when.infinite != 0 && sm_when_timestamp(&when, false, us);
}

sm_status fn_strptime(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    const bool is_instant = out->type->id == SM_TYPE_TIMESTAMP;
    int64_t *const us = (int64_t *)out->values;
    sm_str fmt = {0}, checked = {0};
    for (int64_t i = 0; i < call->n_rows; i++) {
        size_t at = 0;
        if (!smi_valid(out, i)) {
            continue;
        }
        const sm_str s = smi_str_at(&call->args[0], i);
        SM_TRY(check_row_format(call, i, &fmt, e));
        if (!is_instant && !sm_str_eq(checked, fmt) && has_zone_code(fmt)) {
            return smi_expr_fail(call->expr, e, SM_INVALID,
                                 "strptime: a format with %%z or %%Z must be a constant");
        }
        checked = fmt;
        if (!read_time(s, fmt, &us[i], &at) && !read_infinite(s, &us[i])) {
            return does_not_fit(call, s, fmt, at, e);
        }
    }
    return SM_OK;
}
