/* SPDX-License-Identifier: Apache-2.0
 *
 * base/cron.c: schedules as cron writes them. Called where a pipeline is read, and by the
 * scheduler.
 *
 * Method   A field is a set of bits. The next time of a set of fields is found from the largest
 * unit
 *          to the smallest: the next day whose month, day and weekday fit, then the next time of
 *          that day. That is done with the times that the clocks show; sm_zone_instant() says when
 *          they do, and what comes to no later instant than the one asked for is passed over.
 *          Instants do not fall as local times grow, so the first later one is the next.
 * Source   crontab(5) of Vixie cron; the presets of it, and Airflow's names of them. */
#include "base/cron.h"

#include "base/text.h"
#include "base/time.h"

#define SECOND_US INT64_C(1000000)
#define MOST_DAYS 14610 /* 40 years: 29 February on a certain weekday comes at least as often */

/* ---- reading --------------------------------------------------------------------------------- */

typedef struct field {
    const char *what;
    int64_t least, most;
    const char *names; /* three letters each, of `first` and the values behind it; NULL: none */
    int64_t first;
} field;

static const field fields[] = {
    {"second", 0, 59, NULL, 0},
    {"minute", 0, 59, NULL, 0},
    {"hour", 0, 23, NULL, 0},
    {"day of the month", 1, 31, NULL, 0},
    {"month", 1, 12, "janfebmaraprmayjunjulaugsepoctnovdec", 1},
    {"day of the week", 0, 7, "sunmontuewedthufrisat", 0},
};
#define N_FIELDS SM_COUNT(fields)

static const struct {
    const char *name, *text;
} presets[] = {
    {"@hourly", "0 * * * *"},   {"@daily", "0 0 * * *"},   {"@midnight", "0 0 * * *"},
    {"@weekly", "0 0 * * 0"},   {"@monthly", "0 0 1 * *"}, {"@yearly", "0 0 1 1 *"},
    {"@annually", "0 0 1 1 *"},
};

/* A text while it is read. */
typedef struct reader {
    sm_str text;
    size_t at;
    sm_error *e;
} reader;

static char peek(const reader *r)
{
    return r->at < r->text.len ? r->text.data[r->at] : '\0';
}

static bool take(reader *r, char c)
{
    if (peek(r) != c || r->at >= r->text.len) {
        return false;
    }
    r->at++;
    return true;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static sm_status fail_at(reader *r, size_t at, const char *what, const field *f)
{
    const sm_status st = sm_fail(r->e, SM_SYNTAX, "schedule \"%.*s\": %s at byte %zu, in %s",
                                 SM_STR_ARG(r->text), what, at + 1, f ? f->what : "its fields");

    if (f) {
        sm_error_todo(r->e,
                      "Write %d to %d, a range like 1-5, a list like 1,3, or a step like */2.",
                      (int)f->least, (int)f->most);
    } else {
        sm_error_todo(r->e, "Write minute, hour, day of the month, month and day of the week, like "
                            "0 6 * * 1-5, or @daily.");
    }
    return st;
}

/* A number or a name. */
static bool take_value(reader *r, const field *f, int64_t *out)
{
    size_t n = 0;

    while (r->at + n < r->text.len && n < 9 && r->text.data[r->at + n] >= '0' &&
           r->text.data[r->at + n] <= '9') {
        n++;
    }
    if (n > 0) {
        const bool ok = sm_parse_i64((sm_str){r->text.data + r->at, n}, out);
        r->at += n;
        return ok && *out >= f->least && *out <= f->most;
    }
    for (int64_t i = 0; f->names && f->names[i * 3] && r->at + 3 <= r->text.len; i++) {
        const sm_str name = {f->names + i * 3, 3};
        if (sm_str_eq_nocase((sm_str){r->text.data + r->at, 3}, name)) {
            r->at += 3;
            *out = f->first + i;
            return true;
        }
    }
    return false;
}

/* One member of a field's list: a star, a value or a range, and its step. */
static sm_status read_member(reader *r, const field *f, uint64_t *bits)
{
    const size_t start = r->at;
    int64_t from = f->least, to = f->most, step = 1;
    const bool is_star = take(r, '*');

    if (!is_star) {
        if (!take_value(r, f, &from)) {
            return fail_at(r, start, "no value", f);
        }
        to = from;
        if (take(r, '-') && (!take_value(r, f, &to) || to < from)) {
            return fail_at(r, start, "no range", f);
        }
    }
    if (take(r, '/')) {
        const field steps = {.least = 1, .most = f->most};
        to = to == from && !is_star ? f->most : to;
        if (!take_value(r, &steps, &step)) {
            return fail_at(r, start, "no step", f);
        }
    }
    SM_ASSERT(from >= f->least && to <= f->most && f->most < 64);
    for (int64_t v = from; v <= to; v += step) {
        *bits |= UINT64_C(1) << v;
    }
    return SM_OK;
}

static sm_status read_field(reader *r, const field *f, uint64_t *bits)
{
    do {
        SM_TRY(read_member(r, f, bits));
    } while (take(r, ','));
    return r->at == r->text.len || is_blank(peek(r)) ? SM_OK : fail_at(r, r->at, "no value", f);
}

static void pass_blanks(reader *r)
{
    while (is_blank(peek(r))) {
        r->at++;
    }
}

static int count_fields(sm_str s)
{
    int n = 0;

    for (size_t i = 0; i < s.len; i++) {
        n += !is_blank(s.data[i]) && (i == 0 || is_blank(s.data[i - 1]));
    }
    return n;
}

static sm_status read_fields(sm_str text, sm_cron *c, sm_error *e)
{
    reader r = {.text = text, .e = e};
    uint64_t *const sets[] = {&c->seconds, &c->minutes, &c->hours,
                              &c->days,    &c->months,  &c->weekdays};
    const int n = count_fields(text), first = N_FIELDS - n;
    _Static_assert(SM_COUNT(sets) == N_FIELDS, "a set for each field");

    if (n < N_FIELDS - 1 || n > N_FIELDS) {
        return fail_at(&r, 0, n < N_FIELDS ? "too few" : "too many", NULL);
    }
    c->seconds = first == 1 ? 1 : 0;
    for (int i = first; i < N_FIELDS; i++) {
        pass_blanks(&r);
        const size_t at = r.at;
        SM_TRY(read_field(&r, &fields[i], sets[i]));
        const bool is_any = r.at == at + 1 && text.data[at] == '*';
        c->is_any_day = i == 3 ? is_any : c->is_any_day;
        c->is_any_weekday = i == 5 ? is_any : c->is_any_weekday;
    }
    c->weekdays |= c->weekdays >> 7 & 1;
    return SM_OK;
}

/* ---- times ----------------------------------------------------------------------------------- */

static bool has(uint64_t bits, int64_t i)
{
    return (bits >> i & 1) != 0;
}

/* cron's rule: of two restricted kinds of day, one is enough. A star with a step restricts, as
 * croniter and so Airflow have it. */
static bool fits_day(const sm_cron *c, int64_t days)
{
    const sm_civil day = sm_civil_from_days(days);
    SM_ASSERT(day.month >= 1 && day.month <= 12 && day.day >= 1);
    const bool fits = has(c->days, day.day),
               fits_week = has(c->weekdays, ((days % 7) + 11) % 7); /* 1970-01-01: a Thursday */

    return has(c->months, day.month) &&
           (c->is_any_day || c->is_any_weekday ? fits && fits_week : fits || fits_week);
}

/* The least member of a set at or above i; −1: there is none. */
static int64_t member_from(uint64_t bits, int64_t i)
{
    SM_ASSERT(i >= 0);
    const uint64_t left = i < 64 ? bits >> i << i : 0;

    return left == 0 ? -1 : __builtin_ctzll(left);
}

static int64_t at_least_0(int64_t v)
{
    return v > 0 ? v : 0;
}

/* The least time of day, in seconds, at or after another; −1: there is none. */
static int64_t time_from(const sm_cron *c, int64_t s)
{
    for (int64_t h = member_from(c->hours, s / 3600); h >= 0; h = member_from(c->hours, h + 1)) {
        const int64_t in_hour = at_least_0(s - h * 3600);
        for (int64_t m = member_from(c->minutes, in_hour / 60); m >= 0;
             m = member_from(c->minutes, m + 1)) {
            const int64_t second = member_from(c->seconds, at_least_0(in_hour - m * 60));
            if (second >= 0) {
                SM_ASSERT((h * 60 + m) * 60 + second >= s);
                return (h * 60 + m) * 60 + second;
            }
        }
    }
    return -1;
}

/* The least time that fits, at or after another, in seconds; false: there is none within 40 years.
 */
static bool find_time(const sm_cron *c, int64_t *local_s)
{
    int64_t day = *local_s >= 0 ? *local_s / 86400 : -((-*local_s + 86399) / 86400);
    int64_t in_day = *local_s - day * 86400;

    for (int64_t i = 0; i < MOST_DAYS; i++, day++, in_day = 0) {
        const int64_t time = fits_day(c, day) ? time_from(c, in_day) : -1;
        if (time >= 0) {
            *local_s = day * 86400 + time;
            return true;
        }
    }
    return false;
}

sm_status sm_cron_parse(sm_str text, sm_cron *out, sm_error *e)
{
    sm_cron c = {0};
    int64_t first = 0;
    sm_str fields_text = text;

    for (int i = 0; i < SM_COUNT(presets); i++) {
        fields_text = sm_str_eq_nocase(text, sm_str_of(presets[i].name))
                          ? sm_str_of(presets[i].text)
                          : fields_text;
    }
    if (text.len > 0 && text.data[0] == '@' && fields_text.data == text.data) {
        const sm_status st =
            sm_fail(e, SM_SYNTAX, "no schedule is called \"%.*s\"", SM_STR_ARG(text));
        sm_error_todo(e, "There are @hourly, @daily, @midnight, @weekly, @monthly, @yearly and "
                         "@annually.");
        return st;
    }
    SM_TRY(read_fields(fields_text, &c, e));
    if (!find_time(&c, &first)) {
        const sm_status st =
            sm_fail(e, SM_INVALID, "schedule \"%.*s\" never fires", SM_STR_ARG(text));
        sm_error_todo(e, "No month that it names has such a day.");
        return st;
    }
    *out = c;
    return SM_OK;
}

/* ---- instants -------------------------------------------------------------------------------- */

int64_t sm_cron_next(const sm_cron *c, const sm_zone *z, int64_t after_us)
{
    const int64_t local_us = sm_zone_local(z, after_us);
    int64_t local_s =
        local_us >= 0 ? local_us / SECOND_US : -((-local_us + SECOND_US - 1) / SECOND_US);
    int64_t out = after_us;

    SM_ASSERT(c->hours != 0 && c->minutes != 0 && c->seconds != 0);

    for (;; local_s++) {
        SM_ENSURE(find_time(c, &local_s));
        (void)sm_zone_instant(z, local_s * SECOND_US, &out);
        if (out > after_us) {
            return out;
        }
    }
}

int64_t sm_cron_last(const sm_cron *c, const sm_zone *z, int64_t at_us)
{
    int64_t span_us = 60 * SECOND_US, out = 0, next = sm_cron_next(c, z, at_us - span_us);

    while (next > at_us) {
        span_us *= 2;
        next = sm_cron_next(c, z, at_us - span_us);
    }
    SM_ASSERT(next <= at_us);
    for (out = next; next <= at_us; next = sm_cron_next(c, z, next)) {
        out = next;
    }
    return out;
}
