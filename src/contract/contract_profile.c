/* SPDX-License-Identifier: Apache-2.0
 *
 * contract/contract_profile.c: what the values of a table's columns look like, for the page of a
 * verdict (contract_page.c). Called by contract_check.c.
 *
 * Passes    1. The first 10,000 rows say which columns have few values.
 *           2. One aggregate over all rows counts values, and finds the least and the greatest.
 *           3. One aggregate over all rows counts, for each edge of each histogram, the rows whose
 *              value is at the edge or above. A bar is the difference of two such counts.
 *           4. For each column whose values are shown: a GROUP BY, of all rows or of the first
 *              100,000.
 * Edges     need only a comparison, so numbers, days and times are treated alike, and the counts
 *           are exact for all of them. The bound of a rule is one more edge: of two counts the
 *           smaller belongs to the edge further right, so the counts themselves say how many rows
 *           of a bar lie beyond the bound.
 * Steps     The width of a bar is 1, 2 or 5 times a power of 10; of times a part of a day, or
 *           days, or whole weeks. The first bar begins at a multiple of it; of days at the first
 *           day. Values of whole steps (integers, days, DECIMAL, microseconds) are computed in 128
 *           bits, all others as DOUBLE.
 * Window    Where a column has two bounds, values far beyond them are counted, and not drawn: else
 *           one wrong value makes all others one bar. */
#include <math.h>

#include "base/text.h"
#include "contract/contract_int.h"

enum {
    SAMPLE_ROWS = 10000, /* that say whether a column has few values */
    FEW_VALUES = 1000,
    SAMPLED_ROWS = 100000, /* whose values are counted where there are many */
    MOST_BARS = 32,        /* about: the days of a month */
    FAR = 3,   /* times as wide as its bounds is a column of which some values are not drawn */
    SHOWN = 8, /* most frequent values */
    SHOWN_BROKEN = 4, /* of those that break a rule */
    SHOWN_BYTES = 200,
    NO_ITEM = -1,
};

/* Of many values, those with a smaller share of the rows are not frequent. */
#define LEAST_SHARE 0.005

/* Where the values of a column lie, while its bars are made. */
typedef struct axis {
    const sm_expr *x;
    const sm_type *type; /* of x */
    bool is_float;
    sm_i128 lo, hi, step; /* of the bars, where steps are whole */
    double f_lo, f_hi, f_step;
    int32_t n_bars;
    double left, right;          /* what is drawn: the bars, and the bounds near them */
    int32_t at_edges;            /* items: n_bars + 1 */
    int32_t at_all, at_infinite; /* items: not below the least value, above the greatest */
    int32_t at_marks;            /* items: one a mark */
    sm_histogram *h;
} axis;

/* What is known of a column. */
typedef struct facts {
    const sm_expr *x, *length; /* NULL: it has none */
    const sm_expr *holds;      /* all rules of its value alone; NULL: it has none */
    int32_t at_count, at_distinct, at_ends, at_lengths, at_odd, at_broken; /* NO_ITEM: none */
    bool is_few;
    sm_value least, greatest;
    int64_t n_values, least_length, greatest_length, n_broken;
    axis axis; /* of the values, or of the lengths */
    sm_column_profile *out;
} facts;

typedef struct profiling {
    const sm_audit *in;
    sm_arena *a;
    facts *facts; /* one a column */
    smi_items items;
} profiling;

static sm_status call(const profiling *p, const char *name, const sm_expr *x, const sm_expr *y,
                      const sm_expr **out, sm_error *e)
{
    const sm_expr *const args[] = {x, y};

    return sm_expr_call(name, args, y ? 2 : 1, p->a, out, e);
}

/* ---- columns --------------------------------------------------------------------------------- */

static bool is_float(const sm_type *t)
{
    return t->id == SM_TYPE_F32 || t->id == SM_TYPE_F64;
}

static bool is_text(const sm_type *t)
{
    return t->id == SM_TYPE_STRING;
}

static bool is_ordered(const sm_type *t)
{
    return sm_type_is_number(t->id) || t->id == SM_TYPE_DATE || t->id == SM_TYPE_TIME ||
           t->id == SM_TYPE_TIMESTAMP || t->id == SM_TYPE_TIMESTAMP_NTZ;
}

/* Does the rule say which values the column may have, whatever else is in the row? */
static bool is_of_value(const sm_rule *r, int32_t column)
{
    return r->column == column && sm_rule_info_of(r->kind)->is_row && r->kind != SM_RULE_REQUIRED &&
           r->kind != SM_RULE_NULL_VALUES && r->kind != SM_RULE_EXPRESSION;
}

static bool is_length_rule(const sm_rule *r)
{
    return r->kind == SM_RULE_MIN_LENGTH || r->kind == SM_RULE_MAX_LENGTH;
}

static bool is_low_rule(const sm_rule *r)
{
    return r->kind == SM_RULE_MINIMUM || r->kind == SM_RULE_EXCLUSIVE_MINIMUM ||
           r->kind == SM_RULE_MIN_LENGTH;
}

static bool is_high_rule(const sm_rule *r)
{
    return r->kind == SM_RULE_MAXIMUM || r->kind == SM_RULE_EXCLUSIVE_MAXIMUM ||
           r->kind == SM_RULE_MAX_LENGTH;
}

/* Has the column a rule with a list of values, or one of lengths? */
static bool has_rule(const profiling *p, int32_t column, bool is_length)
{
    const sm_contract_table *t = p->in->table;

    for (int64_t i = 0; i < t->n_rules; i++) {
        const sm_rule *r = &t->rules[i];
        if (r->column == column &&
            (is_length ? is_length_rule(r)
                       : r->kind == SM_RULE_VALID_VALUES || r->kind == SM_RULE_MISSING_VALUES)) {
            return true;
        }
    }
    return false;
}

/* Are the values themselves shown, with how often they are there? */
static bool shows_values(const profiling *p, int32_t column)
{
    const sm_type *t = p->facts[column].x->type;

    return is_text(t) || t->id == SM_TYPE_BOOL || (is_ordered(t) && has_rule(p, column, false));
}

static bool shows_histogram(const profiling *p, int32_t column)
{
    return is_ordered(p->facts[column].x->type) && !shows_values(p, column);
}

/* Of texts, the lengths are shown where a rule is of them, and where the values are many. */
static bool shows_lengths(const profiling *p, int32_t column)
{
    const facts *f = &p->facts[column];

    return f->length && (!f->is_few || has_rule(p, column, true));
}

/* Binds columns, and for each the rules of its value. */
static sm_status bind(profiling *p, sm_error *e)
{
    const sm_audit *in = p->in;
    const sm_expr **columns = NULL, *parts[2];
    sm_bound_rule *rules = NULL;
    int64_t n = 0;

    SM_TRY(smi_bind_columns(in->contract, in->table, in->rows->schema, p->a, &columns, e));
    SM_TRY(sm_contract_bind(in->contract, in->table, in->rows->schema, &in->names, p->a, &rules, &n,
                            e));
    for (int32_t i = 0; i < in->table->n_columns; i++) {
        facts *f = &p->facts[i];
        f->x = columns[i];
        f->out->type = sm_type_text(f->x->type, p->a);
        SM_TRY(is_text(f->x->type) ? call(p, "length", f->x, NULL, &f->length, e) : SM_OK);
        for (int64_t k = 0; k < n; k++) {
            if (is_of_value(rules[k].rule, i)) {
                parts[0] = rules[k].holds;
                parts[1] = f->holds;
                SM_TRY(sm_expr_and(parts, f->holds ? 2 : 1, p->a, &f->holds, e));
            }
        }
    }
    return SM_OK;
}

/* ---- 1: a sample ----------------------------------------------------------------------------- */

static sm_status look_at_sample(profiling *p, sm_error *e)
{
    const int32_t n = (int32_t)p->in->table->n_columns;
    sm_batch *row = NULL;
    int32_t at_rows = 0;

    smi_items_begin(&p->items);
    SM_TRY(smi_items_add(&p->items, "count", NULL, NULL, &at_rows, e));
    for (int32_t i = 0; i < n; i++) {
        facts *f = &p->facts[i];
        f->at_distinct = NO_ITEM;
        if (shows_values(p, i)) {
            SM_TRY(smi_items_add(&p->items, "count", f->x, NULL, &f->at_distinct, e));
            sm_agg_item *item = &p->items.items[f->at_distinct];
            SM_TRY(sm_expr_distinct(item->call, p->a, &item->call, e));
        }
    }
    SM_TRY(
        smi_items_run(&p->items, sm_plan_limit(p->in->rows, SAMPLE_ROWS, 0, p->a), &row, NULL, e));
    for (int32_t i = 0; i < n; i++) {
        facts *f = &p->facts[i];
        f->is_few = f->at_distinct != NO_ITEM && smi_whole_at(row, f->at_distinct) <= FEW_VALUES;
    }
    sm_batch_release(row);
    return SM_OK;
}

/* ---- 2: ends --------------------------------------------------------------------------------- */

static sm_status add_ends(profiling *p, const sm_expr *x, int32_t *at, sm_error *e)
{
    const sm_expr *is = NULL;
    int32_t next = 0;

    SM_TRY(smi_is_finite(x, p->a, &is, e));
    SM_TRY(smi_items_add(&p->items, "min", x, is, at, e));
    return smi_items_add(&p->items, "max", x, is, &next, e);
}

/* Counts NaN and infinities. */
static sm_status add_odd(profiling *p, facts *f, sm_error *e)
{
    const sm_expr *is = NULL;

    SM_TRY(smi_is_finite(f->x, p->a, &is, e));
    SM_TRY(call(p, "not", is, NULL, &is, e));
    return smi_items_add(&p->items, "count", NULL, is, &f->at_odd, e);
}

static sm_status add_facts(profiling *p, int32_t column, sm_error *e)
{
    facts *f = &p->facts[column];
    const sm_expr *broken = NULL, *parts[2];

    f->at_ends = f->at_lengths = f->at_odd = f->at_broken = NO_ITEM;
    SM_TRY(smi_items_add(&p->items, "count", f->x, NULL, &f->at_count, e));
    SM_TRY(is_float(f->x->type) ? add_odd(p, f, e) : SM_OK);
    SM_TRY(shows_histogram(p, column) ? add_ends(p, f->x, &f->at_ends, e) : SM_OK);
    SM_TRY(shows_lengths(p, column) ? add_ends(p, f->length, &f->at_lengths, e) : SM_OK);
    if (!f->holds || !f->is_few) {
        return SM_OK;
    }
    SM_TRY(call(p, "is_not_null", f->x, NULL, &parts[0], e));
    SM_TRY(call(p, "not", f->holds, NULL, &parts[1], e));
    SM_TRY(sm_expr_and(parts, 2, p->a, &broken, e));
    return smi_items_add(&p->items, "count", NULL, broken, &f->at_broken, e);
}

static sm_status look_at_ends(profiling *p, sm_error *e)
{
    const int32_t n = (int32_t)p->in->table->n_columns;
    sm_batch *row = NULL;
    int32_t at_rows = 0;

    smi_items_begin(&p->items);
    SM_TRY(smi_items_add(&p->items, "count", NULL, NULL, &at_rows, e));
    for (int32_t i = 0; i < n; i++) {
        SM_TRY(add_facts(p, i, e));
    }
    SM_TRY(smi_items_run(&p->items, p->in->rows, &row, NULL, e));
    for (int32_t i = 0; i < n; i++) {
        facts *f = &p->facts[i];
        f->n_values = smi_whole_at(row, f->at_count);
        f->out->n_rows = smi_whole_at(row, at_rows);
        f->out->n_null = f->out->n_rows - f->n_values;
        f->out->n_odd = f->at_odd != NO_ITEM ? smi_whole_at(row, f->at_odd) : 0;
        f->n_broken = f->at_broken != NO_ITEM ? smi_whole_at(row, f->at_broken) : 0;
        const int32_t at = f->at_ends != NO_ITEM ? f->at_ends : f->at_lengths;
        f->axis.x = f->at_ends != NO_ITEM ? f->x : f->length;
        if (at != NO_ITEM) {
            f->least = sm_column_value_copy(&row->columns[at], 0, p->a);
            f->greatest = sm_column_value_copy(&row->columns[at + 1], 0, p->a);
        }
    }
    sm_batch_release(row);
    return SM_OK;
}

/* ---- 3: an axis ------------------------------------------------------------------------------ */

static sm_i128 whole_of(sm_value v)
{
    return v.type->id == SM_TYPE_DECIMAL                                      ? v.as.d
           : sm_type_is_integer(v.type->id) && !sm_type_is_signed(v.type->id) ? (sm_i128)v.as.u
                                                                              : (sm_i128)v.as.i;
}

static sm_value value_of(const axis *x, sm_i128 whole)
{
    sm_value v = {.type = x->type};

    if (x->type->id == SM_TYPE_DECIMAL) {
        v.as.d = whole;
    } else if (sm_type_is_integer(x->type->id) && !sm_type_is_signed(x->type->id)) {
        v.as.u = (uint64_t)whole;
    } else {
        v.as.i = (int64_t)whole;
    }
    return v;
}

/* Widths of bars of times, in microseconds. */
#define S_US   INT64_C(1000000)
#define MIN_US (60 * S_US)
#define H_US   (60 * MIN_US)
#define D_US   (24 * H_US)
static const int64_t time_steps[] = {
    S_US,        2 * S_US,    5 * S_US,  10 * S_US, 30 * S_US, MIN_US,     2 * MIN_US, 5 * MIN_US,
    10 * MIN_US, 30 * MIN_US, H_US,      2 * H_US,  3 * H_US,  6 * H_US,   12 * H_US,  D_US,
    2 * D_US,    7 * D_US,    14 * D_US, 28 * D_US, 91 * D_US, 182 * D_US, 364 * D_US,
};

/* The least of 1, 2, 5, 10, 20, … that is no less than `least`. */
static double round_step(double least)
{
    static const double digits[] = {1, 2, 5, 10};
    const double power = pow(10, floor(log10(least)));
    int i = 0;

    while (i < SM_COUNT(digits) - 1 && digits[i] * power < least * (1 - 1e-9)) {
        i++;
    }
    return digits[i] * power;
}

/* The width of a bar in whole steps, of times in a unit of the clock or calendar. */
static sm_i128 whole_step(const axis *x, double least)
{
    const bool is_time = x->type->id == SM_TYPE_TIME || x->type->id == SM_TYPE_TIMESTAMP ||
                         x->type->id == SM_TYPE_TIMESTAMP_NTZ;
    const int64_t unit = x->type->id == SM_TYPE_DATE ? D_US : is_time ? 1 : 0;

    for (int i = 0; least * (double)unit > (double)S_US / 2 && i < SM_COUNT(time_steps); i++) {
        if (time_steps[i] >= unit && (double)time_steps[i] >= least * (double)unit) {
            return time_steps[i] / unit;
        }
    }
    return least <= 1 ? 1 : (sm_i128)round_step(least);
}

static sm_i128 floor_to(sm_i128 v, sm_i128 step)
{
    const sm_i128 rest = v % step;

    return v - (rest < 0 ? rest + step : rest);
}

/* The number that a bound is on the axis, where of whole steps the values that keep it begin (or,
 * of a high one, end). */
static bool place_bound(const axis *x, const sm_rule *r, double *out)
{
    sm_value v = {0};
    sm_error none = {0};

    if (x->h->is_length || sm_type_is_number(x->type->id)) {
        if (!sm_parse_f64(r->text, false, out)) {
            return false;
        }
        for (int i = 0; x->type->id == SM_TYPE_DECIMAL && i < x->type->scale; i++) {
            *out *= 10;
        }
    } else if (sm_value_parse(x->type, r->text, &v, &none) == SM_OK) {
        *out = (double)v.as.i;
    } else {
        return false;
    }
    if (x->is_float) {
        return true;
    }
    const bool is_open =
        r->kind == SM_RULE_EXCLUSIVE_MINIMUM || r->kind == SM_RULE_EXCLUSIVE_MAXIMUM;
    *out = is_low_rule(r) != is_open ? ceil(*out) : floor(*out) + 1;
    return true;
}

/* Cuts off what lies far beyond two bounds. */
static void find_window(axis *x, double *lo, double *hi)
{
    double low = NAN, high = NAN;

    for (int32_t i = 0; i < x->h->n_marks; i++) {
        const sm_histogram_mark *m = &x->h->marks[i];
        low = m->is_low ? fmax(m->place, low) : low;
        high = m->is_low ? high : fmin(m->place, high);
    }
    if (*hi - *lo > FAR * (high - low)) { /* no bound is NaN */
        const double margin = (high - low) / 4;
        const double from = fmax(*lo, low - margin), to = fmin(*hi, high + margin);
        const bool is_some = high > low && from < to; /* some values are near the bounds */
        *lo = is_some ? from : *lo;
        *hi = is_some ? to : *hi;
    }
}

/* The ends of the drawing: those of the bars, or bounds that are near. */
static void find_drawing(axis *x, double lo, double hi)
{
    const double near = (hi - lo) / 2;

    x->left = lo;
    x->right = hi;
    for (int32_t i = 0; i < x->h->n_marks; i++) {
        const double at = x->h->marks[i].place;
        x->left = at < x->left && at >= lo - near ? at : x->left;
        x->right = at > x->right && at <= hi + near ? at : x->right;
    }
    for (int32_t i = 0; i < x->h->n_marks; i++) {
        x->h->marks[i].place = (x->h->marks[i].place - x->left) / (x->right - x->left);
    }
}

/* Makes the bars' ends of the least and the greatest value. False: they cannot be drawn. */
static bool make_axis(axis *x, const facts *f)
{
    x->type = x->x->type;
    x->is_float = is_float(x->type);
    if (f->least.is_null || f->greatest.is_null) {
        return false;
    }
    double lo = x->is_float ? f->least.as.f : (double)whole_of(f->least);
    double hi = x->is_float ? f->greatest.as.f : (double)whole_of(f->greatest);
    find_window(x, &lo, &hi);
    if (!isfinite(hi - lo) || (!x->is_float && hi - lo > 0x1p120)) {
        return false;
    }
    if (x->is_float) {
        x->f_step = round_step(hi > lo ? (hi - lo) / (MOST_BARS - 1) : fmax(fabs(lo), 1) / 10);
        x->f_lo = floor(lo / x->f_step);
        x->n_bars = (int32_t)fmin(floor(hi / x->f_step) - x->f_lo + 1, MOST_BARS + 1);
        find_drawing(x, x->f_lo * x->f_step, (x->f_lo + x->n_bars) * x->f_step);
        return x->f_lo + 1 > x->f_lo; /* else the values differ by less than a DOUBLE can say */
    }
    x->step = whole_step(x, (hi - lo + 1) / (MOST_BARS - 1));
    const sm_i128 least = whole_of(f->least), greatest = whole_of(f->greatest);
    x->lo = lo > (double)least ? (sm_i128)floor(lo) : least;
    x->lo = x->type->id == SM_TYPE_DATE ? x->lo : floor_to(x->lo, x->step);
    x->hi = hi < (double)greatest ? (sm_i128)ceil(hi) : greatest;
    x->n_bars = (int32_t)((x->hi - x->lo) / x->step + 1);
    find_drawing(x, (double)x->lo, (double)(x->lo + x->n_bars * x->step));
    return true;
}

/* Edge k of a float's bars: a number with few digits. */
static double float_edge(const axis *x, int32_t k)
{
    const double n = x->f_lo + k;

    return x->f_step >= 1 ? n * x->f_step : n / round(1 / x->f_step);
}

/* ---- 3: counts at edges ---------------------------------------------------------------------- */

/* Counts the rows with x `op` v. */
static sm_status add_edge(profiling *p, const sm_expr *x, const char *op, const sm_expr *v,
                          int32_t *at, sm_error *e)
{
    const sm_expr *is = NULL;

    SM_TRY(call(p, op, x, v, &is, e));
    return smi_items_add(&p->items, "count", NULL, is, at, e);
}

/* Edge k of the bars: never beyond the values that there are, so it is a value of their type. */
static sm_status add_bar_edge(profiling *p, const facts *f, int32_t k, int32_t *at, sm_error *e)
{
    const axis *x = &f->axis;
    sm_value v = {.type = &sm_type_f64};

    if (x->is_float) {
        v.as.f = float_edge(x, k);
        return v.as.f > f->greatest.as.f
                   ? add_edge(p, x->x, ">", sm_expr_constant(f->greatest, p->a), at, e)
                   : add_edge(p, x->x, ">=", sm_expr_constant(v, p->a), at, e);
    }
    const sm_i128 edge = x->lo + k * x->step;
    if (edge > whole_of(f->greatest)) {
        return add_edge(p, x->x, ">", sm_expr_constant(f->greatest, p->a), at, e);
    }
    v = edge < whole_of(f->least) ? f->least : value_of(x, edge);
    return add_edge(p, x->x, ">=", sm_expr_constant(v, p->a), at, e);
}

static sm_status add_mark_edge(profiling *p, const axis *x, const sm_rule *r, int32_t *at,
                               sm_error *e)
{
    const sm_expr *bound = NULL;
    const bool is_open = r->kind == SM_RULE_EXCLUSIVE_MINIMUM || r->kind == SM_RULE_MAXIMUM ||
                         r->kind == SM_RULE_MAX_LENGTH;

    SM_TRY(smi_bind_bound(p->in->contract, r, p->in->rows->schema, x->type, p->a, &bound, e));
    return add_edge(p, x->x, is_open ? ">" : ">=", bound, at, e);
}

/* The bounds of a column's rules. */
static void find_marks(profiling *p, int32_t column)
{
    const sm_contract_table *t = p->in->table;
    axis *x = &p->facts[column].axis;
    sm_histogram *h = x->h;

    h->marks = SM_NEW_ARRAY(p->a, sm_histogram_mark, t->n_rules + 1);
    for (int64_t i = 0; i < t->n_rules; i++) {
        const sm_rule *r = &t->rules[i];
        sm_histogram_mark *m = &h->marks[h->n_marks];
        if (r->column == column && (is_low_rule(r) || is_high_rule(r)) &&
            is_length_rule(r) == h->is_length && place_bound(x, r, &m->place)) {
            m->rule = r;
            m->is_low = is_low_rule(r);
            h->n_marks++;
        }
    }
}

/* Adds the items of a column's histogram, if it has one. */
static sm_status add_histogram(profiling *p, int32_t column, sm_error *e)
{
    facts *f = &p->facts[column];
    axis *x = &f->axis;
    int32_t at = 0;

    if (f->at_ends == NO_ITEM && f->at_lengths == NO_ITEM) {
        return SM_OK;
    }
    x->h = SM_NEW(p->a, sm_histogram);
    *x->h = (sm_histogram){.is_length = f->at_ends == NO_ITEM};
    x->type = x->x->type;
    x->is_float = is_float(x->type);
    find_marks(p, column);
    if (!make_axis(x, f)) {
        x->h = NULL;
        return SM_OK;
    }
    SM_TRY(add_edge(p, x->x, ">=", sm_expr_constant(f->least, p->a), &x->at_all, e));
    SM_TRY(add_edge(p, x->x, ">", sm_expr_constant(f->greatest, p->a), &x->at_infinite, e));
    x->at_edges = p->items.n;
    for (int32_t k = 0; k <= x->n_bars; k++) {
        SM_TRY(add_bar_edge(p, f, k, &at, e));
    }
    x->at_marks = p->items.n;
    for (int32_t i = 0; i < x->h->n_marks; i++) {
        SM_TRY(add_mark_edge(p, x, x->h->marks[i].rule, &at, e));
    }
    return SM_OK;
}

/* ---- 3: bars --------------------------------------------------------------------------------- */

/* A value as a text: whole numbers with commas, the start of a day as the day. */
static sm_str text_of(const profiling *p, sm_value v)
{
    static const sm_str midnight = {" 00:00:00", 9};
    sm_buf out = {0};
    char count[SM_SIZE_TEXT_BYTES];

    const bool is_whole = sm_type_is_integer(v.type->id)
                              ? whole_of(v) == (int64_t)whole_of(v)
                              : is_float(v.type) && v.as.f == floor(v.as.f) && fabs(v.as.f) < 1e15;
    if (is_whole) {
        sm_format_count(is_float(v.type) ? (int64_t)v.as.f : (int64_t)whole_of(v), count);
        sm_buf_printf(&out, "%s", count);
    } else {
        sm_value_print(v, &out);
        const bool is_day =
            v.type->id == SM_TYPE_TIMESTAMP_NTZ && sm_str_ends(sm_buf_str(&out), midnight);
        out.len -= is_day ? midnight.len : 0;
    }
    return sm_arena_take(p->a, &out);
}

/* Edge k, or the value before it. Never outside the values that there are: their type may have
 * nothing there. */
static sm_str edge_text(const profiling *p, const facts *f, int32_t k, bool is_before)
{
    const axis *x = &f->axis;

    if (x->is_float) {
        return text_of(p, (sm_value){.type = &sm_type_f64, .as.f = float_edge(x, k)});
    }
    const sm_i128 edge = x->lo + k * x->step - is_before;
    return text_of(p, edge < whole_of(f->least)      ? f->least
                      : edge > whole_of(f->greatest) ? f->greatest
                                                     : value_of(x, edge));
}

/* Has a value a next one that people know? */
static bool has_whole_steps(const axis *x)
{
    return sm_type_is_integer(x->type->id) || x->type->id == SM_TYPE_DATE;
}

/* "10 to 19" of whole numbers and days, "0.5 to below 1.0" of all others. */
static sm_str bar_label(const profiling *p, const facts *f, int32_t k)
{
    const axis *x = &f->axis;
    const bool is_whole = has_whole_steps(x);
    const sm_str from = edge_text(p, f, k, false), to = edge_text(p, f, k + 1, is_whole);

    return sm_str_eq(from, to) ? from
                               : sm_arena_strf(p->a, "%.*s to %s%.*s", SM_STR_ARG(from),
                                               is_whole ? "" : "below ", SM_STR_ARG(to));
}

static int64_t positive(int64_t n)
{
    return n > 0 ? n : 0;
}

/* Rows of a bar beyond the bounds. Its edges have n0 and n1 rows at or above them. */
static int64_t count_beyond(const axis *x, const sm_batch *row, int64_t n0, int64_t n1)
{
    int64_t under = 0, over = 0;

    for (int32_t i = 0; i < x->h->n_marks; i++) {
        const int64_t n = smi_whole_at(row, x->at_marks + i);
        if (x->h->marks[i].is_low) {
            const int64_t below = positive(n0 - (n > n1 ? n : n1));
            under = below > under ? below : under;
        } else {
            const int64_t above = positive((n < n0 ? n : n0) - n1);
            over = above > over ? above : over;
        }
    }
    return under + over < n0 - n1 ? under + over : positive(n0 - n1);
}

static void take_histogram(const profiling *p, const sm_batch *row, facts *f)
{
    const axis *x = &f->axis;
    sm_histogram *h = x->h;
    const double width = x->right - x->left;
    const int64_t n_all = smi_whole_at(row, x->at_all);
    const int64_t n_infinite = smi_whole_at(row, x->at_infinite);

    h->least = text_of(p, f->least);
    h->greatest = text_of(p, f->greatest);
    h->start = edge_text(p, f, 0, false);
    h->end = edge_text(p, f, x->n_bars, has_whole_steps(x));
    h->n_bars = x->n_bars;
    h->bars = SM_NEW_ARRAY(p->a, sm_histogram_bar, x->n_bars);
    for (int32_t k = 0; k < x->n_bars; k++) {
        const int64_t n0 = smi_whole_at(row, x->at_edges + k);
        const int64_t n1 = smi_whole_at(row, x->at_edges + k + 1);
        const double step = x->is_float ? x->f_step : (double)x->step;
        const double from = (x->is_float ? x->f_lo * step : (double)x->lo) + k * step;
        h->bars[k] = (sm_histogram_bar){.label = bar_label(p, f, k),
                                        .start = (from - x->left) / width,
                                        .end = (from + step - x->left) / width,
                                        .n_rows = positive(n0 - n1),
                                        .n_beyond = count_beyond(x, row, n0, n1)};
    }
    h->n_under = positive(n_all - smi_whole_at(row, x->at_edges));
    h->n_over = positive(smi_whole_at(row, x->at_edges + x->n_bars) - n_infinite);
    f->out->histogram = h;
}

static sm_status make_histograms(profiling *p, sm_error *e)
{
    const int32_t n = (int32_t)p->in->table->n_columns;
    sm_batch *row = NULL;

    smi_items_begin(&p->items);
    for (int32_t i = 0; i < n; i++) {
        SM_TRY(add_histogram(p, i, e));
    }
    if (p->items.n == 0) {
        return SM_OK;
    }
    SM_TRY(smi_items_run(&p->items, p->in->rows, &row, NULL, e));
    for (int32_t i = 0; i < n; i++) {
        if (p->facts[i].axis.h) {
            take_histogram(p, row, &p->facts[i]);
        }
    }
    sm_batch_release(row);
    return SM_OK;
}

/* ---- 4: values ------------------------------------------------------------------------------- */

/* Adds the most frequent values for which `is` (NULL: any value) is true. */
static sm_status add_frequent(profiling *p, const facts *f, const sm_expr *is, bool is_broken,
                              sm_frequent *out, sm_error *e)
{
    const sm_expr *there = NULL, *parts[2] = {NULL, is};
    const sm_plan_node *node = p->in->rows;
    sm_agg_item item = {0};
    sm_plan *plan = NULL;
    sm_batch **rows = NULL;
    int64_t n = 0;

    SM_TRY(call(p, "is_not_null", f->x, NULL, &parts[0], e));
    SM_TRY(sm_expr_and(parts, is ? 2 : 1, p->a, &there, e));
    node = out->is_sample ? sm_plan_limit(node, SAMPLED_ROWS, 0, p->a) : node;
    SM_TRY(sm_plan_filter(node, there, p->a, &node, e));
    SM_TRY(sm_expr_call("count", NULL, 0, p->a, &item.call, e));
    SM_TRY(sm_plan_aggregate(node, &f->x, 1, &item, 1, p->a, &node, e));
    const sm_sort_key by[] = {{.expr = sm_expr_column(node->schema, 1, p->a), .is_desc = true},
                              {.expr = sm_expr_column(node->schema, 0, p->a)}};
    SM_TRY(sm_plan_sort(node, by, SM_COUNT(by), p->a, &node, e));
    node = sm_plan_limit(node, is_broken ? SHOWN_BROKEN : SHOWN, 0, p->a);
    SM_TRY(sm_plan_finish(node, p->a, &plan, e));
    SM_TRY(sm_exec_collect(plan, p->in->env, p->a, &rows, &n, NULL, e));
    for (int64_t i = 0; i < n; i++) {
        for (int64_t k = 0; k < rows[i]->n_rows; k++) {
            const int64_t n_rows = sm_column_value(&rows[i]->columns[1], k).as.i;
            sm_buf text = {0};
            SM_ENSURE(out->n_values < SHOWN + SHOWN_BROKEN);
            if (!is_broken && !f->is_few && (double)n_rows < LEAST_SHARE * (double)out->n_rows) {
                continue;
            }
            smi_print_short(sm_column_value(&rows[i]->columns[0], k), SHOWN_BYTES, &text);
            out->values[out->n_values++] = (sm_frequent_value){
                .text = sm_arena_take(p->a, &text), .n_rows = n_rows, .is_broken = is_broken};
        }
        sm_batch_release(rows[i]);
    }
    return SM_OK;
}

/* How many rows of a sample have a value, and how many of these break a rule. */
static sm_status count_sample(profiling *p, const facts *f, const sm_expr *broken, sm_frequent *out,
                              sm_error *e)
{
    sm_batch *row = NULL;
    int32_t at_rows = 0, at_broken = NO_ITEM;

    smi_items_begin(&p->items);
    SM_TRY(smi_items_add(&p->items, "count", f->x, NULL, &at_rows, e));
    SM_TRY(broken ? smi_items_add(&p->items, "count", f->x, broken, &at_broken, e) : SM_OK);
    SM_TRY(
        smi_items_run(&p->items, sm_plan_limit(p->in->rows, SAMPLED_ROWS, 0, p->a), &row, NULL, e));
    out->n_rows = smi_whole_at(row, at_rows);
    out->n_broken = broken ? smi_whole_at(row, at_broken) : 0;
    sm_batch_release(row);
    return SM_OK;
}

static sm_status count_values(profiling *p, facts *f, sm_error *e)
{
    sm_frequent *out = SM_NEW(p->a, sm_frequent);
    const sm_expr *broken = NULL, *keeps = NULL;

    *out = (sm_frequent){.values = SM_NEW_ARRAY(p->a, sm_frequent_value, SHOWN + SHOWN_BROKEN),
                         .n_rows = f->n_values,
                         .n_broken = f->n_broken,
                         .is_sample = !f->is_few && f->out->n_rows > SAMPLED_ROWS};
    if (f->holds) {
        SM_TRY(call(p, "not", f->holds, NULL, &broken, e));
        SM_TRY(call(p, "not", broken, NULL, &keeps, e));
    }
    SM_TRY(f->is_few ? SM_OK : count_sample(p, f, broken, out, e));
    SM_TRY(add_frequent(p, f, keeps, false, out, e));
    SM_TRY(out->n_broken > 0 ? add_frequent(p, f, broken, true, out, e) : SM_OK);
    f->out->frequent = out->n_values > 0 ? out : NULL;
    return SM_OK;
}

/* ---- the whole ------------------------------------------------------------------------------- */

sm_status sm_contract_profile(const sm_audit *in, sm_arena *a, const sm_column_profile **out,
                              sm_error *e)
{
    const int32_t n = (int32_t)in->table->n_columns;
    sm_column_profile *columns = SM_NEW_ARRAY(a, sm_column_profile, n + 1);
    profiling p = {.in = in,
                   .a = a,
                   .facts = SM_NEW_ARRAY(a, facts, n + 1),
                   .items = {.env = in->env, .a = a}};

    for (int32_t i = 0; i < n; i++) {
        columns[i] = (sm_column_profile){0};
        p.facts[i] = (facts){.out = &columns[i]};
    }
    SM_TRY(bind(&p, e));
    SM_TRY(look_at_sample(&p, e));
    SM_TRY(look_at_ends(&p, e));
    SM_TRY(make_histograms(&p, e));
    for (int32_t i = 0; i < n; i++) {
        SM_TRY(shows_values(&p, i) && p.facts[i].n_values > 0 ? count_values(&p, &p.facts[i], e)
                                                              : SM_OK);
    }
    *out = columns;
    return SM_OK;
}
