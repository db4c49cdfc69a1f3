/* SPDX-License-Identifier: Apache-2.0
 *
 * delta/delta_stats.c: translates statistics of data files between their JSON and smelt's values.
 * Called when actions are replayed and when a commit is written.
 *
 * Reading  A range may become wider, never narrower. A bound whose text is not understood whole is
 *          dropped. A bound that its writer may have rounded (decimals by way of doubles, times to
 *          milliseconds, long texts that were cut) is moved outwards.
 * Writing  Readers differ in what they take a missing bound for. So a file gets bounds of every
 *          column that has values and for which Delta has bounds, or of none (is_complete).
 *
 *          Columns that the table is partitioned by have no statistics: the log has their value.
 *
 * Source  PROTOCOL.md, "Per-file Statistics" */
#include "base/json_write.h"
#include "base/text.h"
#include "base/time.h"
#include "delta/delta_int.h"

#include <math.h>
#include <stdio.h>

/* ---- reading --------------------------------------------------------------------------------- */

/* Does Delta have bounds of the type? Bounds of fields within a struct are not kept here. */
static bool has_bounds(const sm_type *t)
{
    return !sm_type_is_nested(t->id) && t->id != SM_TYPE_NULL && t->id != SM_TYPE_BINARY;
}

static bool is_timestamp(const sm_type *t)
{
    return t->id == SM_TYPE_TIMESTAMP || t->id == SM_TYPE_TIMESTAMP_NTZ;
}

static bool is_float(const sm_type *t)
{
    return t->id == SM_TYPE_F32 || t->id == SM_TYPE_F64;
}

/* Is the JSON value of the kind that bounds of the type have? */
static bool is_of_kind(const sm_json *j, const sm_type *t)
{
    switch (t->id) {
    case SM_TYPE_BOOL:
        return j->type == SM_JSON_BOOL;
    case SM_TYPE_STRING:
    case SM_TYPE_DATE:
    case SM_TYPE_TIMESTAMP:
    case SM_TYPE_TIMESTAMP_NTZ:
        return j->type == SM_JSON_STRING;
    case SM_TYPE_F32:
    case SM_TYPE_F64:
    case SM_TYPE_DECIMAL:
        return j->type == SM_JSON_NUMBER || j->type == SM_JSON_STRING;
    default:
        return j->type == SM_JSON_NUMBER;
    }
}

/* Moves a decimal bound outwards by as much as its writer may have moved it inwards. A number of up
 * to 15 digits passes through a double and its text unchanged. A longer one may have been rounded
 * to a double and divided by a power of ten that was rounded too: the error is less than 2^-48 of
 * the value. */
static void widen_decimal(bool is_exact, bool is_max, sm_value *v)
{
    const sm_i128 size = v->as.d < 0 ? -v->as.d : v->as.d;
    const sm_i128 most_exact = 1000000000000000;
    sm_i128 by = is_exact ? 0 : 1;

    if (size >= most_exact) {
        by += (size >> 48) + 1;
    }
    v->as.d += is_max ? by : -by;
}

/* Some writers cut a long greatest text and end it with U+FFFD. Characters beyond U+FFFF sort
 * behind that one, so a text that was cut may be greater than its bound. The mark is replaced by
 * the byte FF, which no text has: the bound is then greater than all texts that begin like it. */
static void widen_text(sm_arena *a, sm_value *v)
{
    const sm_str mark = SM_STR("\xEF\xBF\xBD");

    if (sm_str_ends(v->as.s, mark)) {
        char *text = sm_arena_alloc(a, v->as.s.len);
        memcpy(text, v->as.s.data, v->as.s.len - mark.len);
        text[v->as.s.len - mark.len] = (char)0xFF;
        v->as.s = (sm_str){text, v->as.s.len - mark.len + 1};
    }
}

/* Moves a time outwards by what its writer may have cut off, towards the past or towards zero. Most
 * writers write milliseconds; a text without a fraction may have been cut to seconds. */
static void widen_timestamp(sm_str text, bool is_max, sm_value *v)
{
    const int64_t unit = memchr(text.data, '.', text.len) ? 1000 : 1000000;

    if (v->as.i % unit != 0) {
        return;
    }
    if (is_max) {
        v->as.i += v->as.i <= INT64_MAX - unit ? unit - 1 : 0;
    } else if (v->as.i < 0) {
        v->as.i -= v->as.i >= INT64_MIN + unit ? unit - 1 : 0;
    }
}

/* A JSON value as a bound of the column's type; false where it cannot be one. */
static bool parse_bound(const sm_json *j, const sm_type *t, bool is_max, sm_arena *a, sm_value *out)
{
    bool is_exact = false;

    if (!j || !has_bounds(t) || !is_of_kind(j, t)) {
        return false;
    }
    if (t->id == SM_TYPE_BOOL) {
        *out = (sm_value){.type = t, .as.b = j->b};
        return true;
    }
    if (is_timestamp(t) && !memchr(j->text.data, ':', j->text.len)) {
        return false; /* a date without a time */
    }
    if (!smi_text_value(t, j->text, out, &is_exact) || (is_float(t) && isnan(out->as.f))) {
        return false;
    }
    if (t->id == SM_TYPE_DECIMAL) {
        widen_decimal(is_exact, is_max, out);
    } else if (is_timestamp(t)) {
        widen_timestamp(j->text, is_max, out);
    } else if (t->id == SM_TYPE_STRING && is_max) {
        widen_text(a, out);
    }
    return true;
}

/* The range lives as long as the document and `a`. A range that contradicts itself is dropped. */
static void parse_range(const sm_json *doc, sm_str name, const sm_type *t, sm_arena *a, sm_range *r)
{
    const char *key = sm_arena_str(a, name).data;

    r->has_min = parse_bound(sm_json_get(sm_json_get(doc, "minValues"), key), t, false, a, &r->min);
    r->has_max = parse_bound(sm_json_get(sm_json_get(doc, "maxValues"), key), t, true, a, &r->max);
    if (r->has_min && r->has_max && sm_value_cmp(r->min, r->max) > 0) {
        r->has_min = r->has_max = false; /* one of them is wrong */
    }
    r->has_nulls = sm_json_i64(sm_json_get(sm_json_get(doc, "nullCount"), key), &r->n_nulls) &&
                   r->n_nulls >= 0 && r->n_nulls <= r->n_rows;
    if (r->has_nulls && r->n_nulls == r->n_rows && (r->has_min || r->has_max)) {
        r->has_nulls = false; /* all are NULL, and yet there are bounds */
    }
    r->may_have_nan = is_float(t);
}

static const sm_range *parse_ranges(const sm_json *doc, const sm_type *schema, int64_t n_rows,
                                    sm_arena *scratch, sm_arena *a)
{
    sm_range *items = SM_NEW_ARRAY(a, sm_range, schema->n_fields);

    SM_ASSERT(n_rows >= 0);
    for (int32_t i = 0; i < schema->n_fields; i++) {
        sm_range *r = &items[i];
        r->n_rows = n_rows;
        parse_range(doc, smi_physical_name(&schema->fields[i], scratch), schema->fields[i].type,
                    scratch, r);
        r->min = r->has_min ? sm_value_copy(a, r->min) : (sm_value){0};
        r->max = r->has_max ? sm_value_copy(a, r->max) : (sm_value){0};
    }
    return items;
}

void smi_stats_parse(sm_str json, const sm_type *schema, sm_arena *a, int64_t *n_rows,
                     const sm_range **ranges)
{
    const sm_json *doc = NULL;
    sm_error unused = {0};
    /* A table may have 100,000 files, and a parsed document takes several times what is kept of it.
     * */
    sm_arena *scratch = sm_arena_new(NULL);

    *n_rows = -1;
    *ranges = NULL;
    if (json.len > 0 && sm_json_parse(json, scratch, &doc, &unused) == SM_OK) {
        if (!sm_json_i64(sm_json_get(doc, "numRecords"), n_rows) || *n_rows < 0) {
            *n_rows = -1;
        } else {
            *ranges = parse_ranges(doc, schema, *n_rows, scratch, a);
        }
    }
    sm_arena_free(scratch);
}

/* ---- writing --------------------------------------------------------------------------------- */

static void put_timestamp(int64_t us, bool has_zone, sm_json_writer *w)
{
    char day[SM_TIME_TEXT_BYTES], text[SM_TIME_TEXT_BYTES + 80];
    const int64_t days = us >= 0 ? us / 86400000000 : (us - 86399999999) / 86400000000;
    const int64_t in_day = us - days * 86400000000;

    SM_ASSERT(in_day >= 0 && in_day < 86400000000); /* as much as fits `text` */
    sm_format_date((int32_t)days, day);
    snprintf(text, sizeof(text), "%sT%02d:%02d:%02d.%03d%s", day, (int)(in_day / 3600000000),
             (int)(in_day / 60000000 % 60), (int)(in_day / 1000000 % 60),
             (int)(in_day / 1000 % 1000), has_zone ? "Z" : "");
    sm_json_put_text(w, sm_str_of(text));
}

static int64_t floor_to_ms(int64_t us)
{
    return us >= 0 ? us / 1000 * 1000 : -((-us + 999) / 1000 * 1000);
}

/* Can all readers read the value? Years have four digits in the log. */
bool smi_is_printable(sm_value v)
{
    const int64_t day_us = INT64_C(86400000000);
    const int64_t last_us = INT64_C(253402300799999000); /* 9999-12-31 23:59:59.999 */
    int64_t days = v.as.i;

    if (is_timestamp(v.type)) {
        if (v.as.i > last_us) {
            return false;
        }
        days = v.as.i / day_us - (v.as.i % day_us < 0);
    } else if (v.type->id != SM_TYPE_DATE) {
        return true;
    }
    const int64_t year = sm_civil_from_days(days).year;
    return year >= 1 && year <= 9999;
}

/* May the file's bounds be written? Some readers skip a file if the column that they filter by has
 * no bounds while another column has some. And readers take bounds to cover NaN, which they do not.
 * So each column with values must have both bounds and no NaN, or no bounds are written. */
static bool is_complete(const sm_delta_metadata *m, const sm_range *ranges, int64_t n_rows)
{
    const sm_type *schema = m->schema;

    for (int32_t i = 0; ranges && i < schema->n_fields; i++) {
        const sm_range *r = &ranges[i];
        if (sm_delta_partition_at(m, i) >= 0) {
            continue;
        }
        const bool is_all_null = r->has_nulls && r->n_nulls == n_rows;
        if (has_bounds(schema->fields[i].type) && !is_all_null &&
            (!r->has_min || !r->has_max || (is_float(r->min.type) && r->may_have_nan) ||
             !smi_is_printable(r->min) || !smi_is_printable(r->max))) {
            return false;
        }
    }
    return ranges != NULL;
}

/* Infinities are texts, since JSON has no such numbers. A zero gets the sign that lets both zeros
 * be within the bounds. */
static void put_float(double v, bool is_max, sm_json_writer *w)
{
    char text[SM_F64_TEXT_BYTES];

    SM_ASSERT(!isnan(v)); /* is_complete() */
    if (isinf(v)) {
        sm_json_put_text(w, v < 0 ? SM_STR("-Infinity") : SM_STR("Infinity"));
        return;
    }
    sm_format_f64(v != 0 ? v : is_max ? 0.0 : -0.0, text);
    sm_json_put_raw(w, sm_str_of(text));
}

static void put_bound(sm_value v, bool is_max, sm_json_writer *w)
{
    char day[SM_TIME_TEXT_BYTES];

    if (is_timestamp(v.type)) {
        const int64_t us = is_max ? -floor_to_ms(-v.as.i) : floor_to_ms(v.as.i);
        put_timestamp(us, v.type->id == SM_TYPE_TIMESTAMP, w);
    } else if (v.type->id == SM_TYPE_STRING) {
        sm_json_put_text(w, v.as.s);
    } else if (v.type->id == SM_TYPE_DATE) {
        sm_format_date((int32_t)v.as.i, day);
        sm_json_put_text(w, sm_str_of(day));
    } else if (is_float(v.type)) {
        put_float(v.as.f, is_max, w);
    } else { /* a number or a truth, as JSON has them */
        smi_partition_text(v, sm_json_value_out(w));
    }
}

static void put_bounds(const sm_type *schema, const sm_range *ranges, bool is_max,
                       sm_json_writer *w)
{
    sm_arena *scratch = sm_arena_new(NULL);

    SM_ASSERT(w->depth > 0 && !w->has_key); /* members of the statistics' object */
    sm_json_set_object(w, is_max ? "maxValues" : "minValues");
    for (int32_t i = 0; i < schema->n_fields; i++) {
        const sm_range *r = &ranges[i];
        if (!r->has_min || !r->has_max || !has_bounds(schema->fields[i].type)) {
            continue;
        }
        sm_json_key(w, smi_physical_name(&schema->fields[i], scratch));
        put_bound(is_max ? r->max : r->min, is_max, w);
    }
    sm_json_end_object(w);
    sm_arena_free(scratch);
}

void smi_stats_print(const sm_delta_metadata *m, const sm_range *ranges, int64_t n_rows,
                     sm_buf *out)
{
    const sm_type *schema = m->schema;
    sm_arena *scratch = sm_arena_new(NULL);
    sm_json_writer w = {.out = out};

    SM_ASSERT(n_rows >= 0);
    sm_json_begin_object(&w);
    sm_json_set_i64(&w, "numRecords", n_rows);
    if (is_complete(m, ranges, n_rows)) {
        put_bounds(schema, ranges, false, &w);
        put_bounds(schema, ranges, true, &w);
    }
    sm_json_set_object(&w, "nullCount");
    for (int32_t i = 0; ranges && i < schema->n_fields; i++) {
        if (ranges[i].has_nulls && !sm_type_is_nested(schema->fields[i].type->id)) {
            sm_json_key(&w, smi_physical_name(&schema->fields[i], scratch));
            sm_json_put_i64(&w, ranges[i].n_nulls);
        }
    }
    sm_json_end_object(&w);
    sm_json_end_object(&w);
    sm_arena_free(scratch);
}
