/* SPDX-License-Identifier: Apache-2.0
 *
 * delta/delta_stats.c: the statistics and partition values of data files between their JSON and our
 * values. Called when actions are replayed and when a commit is written.
 *
 * Statistics may only widen: what cannot be read exactly is left out. Timestamps are written with
 * milliseconds by others, so a maximum is moved to the end of its millisecond.
 *
 * Source  PROTOCOL.md, "Per-file Statistics", "Partition Value Serialization" */
#include "base/text.h"
#include "base/time.h"
#include "delta/delta_int.h"

#include <math.h>
#include <stdio.h>

/* ---- partition values ------------------------------------------------------------------------ */

sm_status smi_partition_value(const sm_type *t, sm_str text, sm_arena *a, sm_value *out,
                              sm_error *e)
{
    if (!text.data || text.len == 0) {
        *out = sm_value_null(t);
        return SM_OK;
    }
    if (sm_type_is_bytes(t->id)) {
        *out = (sm_value){.type = t, .as.s = sm_arena_str(a, text)};
        return SM_OK;
    }
    const sm_status st = sm_value_parse(t, text, out, e);
    if (st != SM_OK) {
        return sm_fail(e, SM_CORRUPT, "partition value \"%.*s\" cannot be read", SM_STR_ARG(text));
    }
    out->type = t;
    return SM_OK;
}

void smi_partition_text(sm_value v, sm_buf *out)
{
    if (!v.is_null) {
        sm_value_print(v, out);
    }
}

/* ---- reading --------------------------------------------------------------------------------- */

static bool has_statistics(const sm_type *t)
{
    return !sm_type_is_nested(t->id) && t->id != SM_TYPE_NULL && t->id != SM_TYPE_BOOL &&
           t->id != SM_TYPE_BINARY;
}

/* A JSON value as a value of the column's type; false where it cannot be one. */
static bool parse_bound(const sm_json *j, const sm_type *t, sm_arena *a, sm_value *out)
{
    sm_error unused = {0};

    if (!j || !has_statistics(t)) {
        return false;
    }
    if (t->id == SM_TYPE_STRING) {
        *out = (sm_value){.type = t, .as.s = j->text};
        return j->type == SM_JSON_STRING;
    }
    if (j->type != SM_JSON_NUMBER && j->type != SM_JSON_STRING) {
        return false;
    }
    return sm_value_parse(t, sm_arena_str(a, j->text), out, &unused) == SM_OK;
}

static bool is_timestamp(const sm_type *t)
{
    return t->id == SM_TYPE_TIMESTAMP || t->id == SM_TYPE_TIMESTAMP_NTZ;
}

static void parse_range(const sm_json *doc, sm_str name, const sm_type *t, sm_arena *a, sm_range *r)
{
    const char *key = sm_arena_str(a, name).data;

    r->has_min = parse_bound(sm_json_get(sm_json_get(doc, "minValues"), key), t, a, &r->min);
    r->has_max = parse_bound(sm_json_get(sm_json_get(doc, "maxValues"), key), t, a, &r->max);
    if (r->has_max && is_timestamp(t) && r->max.as.i % 1000 == 0) {
        r->max.as.i += 999;
    }
    r->has_nulls = sm_json_i64(sm_json_get(sm_json_get(doc, "nullCount"), key), &r->n_nulls);
    r->may_have_nan = t->id == SM_TYPE_F32 || t->id == SM_TYPE_F64;
}

void smi_stats_parse(sm_str json, const sm_type *schema, sm_arena *a, int64_t *n_rows,
                     const sm_range **ranges)
{
    const sm_json *doc = NULL;
    sm_error unused = {0};

    *n_rows = -1;
    *ranges = NULL;
    if (json.len == 0 || sm_json_parse(sm_arena_str(a, json), a, &doc, &unused) != SM_OK) {
        return;
    }
    if (!sm_json_i64(sm_json_get(doc, "numRecords"), n_rows) || *n_rows < 0) {
        *n_rows = -1;
        return;
    }
    sm_range *items = SM_NEW_ARRAY(a, sm_range, schema->n_fields);
    for (int32_t i = 0; i < schema->n_fields; i++) {
        items[i].n_rows = *n_rows;
        parse_range(doc, smi_physical_name(&schema->fields[i], a), schema->fields[i].type, a,
                    &items[i]);
    }
    *ranges = items;
}

/* ---- writing --------------------------------------------------------------------------------- */

static void print_timestamp(int64_t us, bool has_zone, sm_buf *out)
{
    char day[SM_TIME_TEXT_BYTES];
    const int64_t days = us >= 0 ? us / 86400000000 : (us - 86399999999) / 86400000000;
    const int64_t in_day = us - days * 86400000000;

    sm_format_date((int32_t)days, day);
    sm_buf_printf(out, "\"%sT%02d:%02d:%02d.%03d%s\"", day, (int)(in_day / 3600000000),
                  (int)(in_day / 60000000 % 60), (int)(in_day / 1000000 % 60),
                  (int)(in_day / 1000 % 1000), has_zone ? "Z" : "");
}

static int64_t floor_to_ms(int64_t us)
{
    return us >= 0 ? us / 1000 * 1000 : -((-us + 999) / 1000 * 1000);
}

/* Infinities and NaN have no JSON: a bound that is one is left out. */
static bool is_printable(sm_value v)
{
    const bool is_float = v.type->id == SM_TYPE_F32 || v.type->id == SM_TYPE_F64;

    return has_statistics(v.type) && (!is_float || isfinite(v.as.f));
}

static void print_bound(sm_value v, sm_buf *out)
{
    if (is_timestamp(v.type)) {
        print_timestamp(floor_to_ms(v.as.i), v.type->id == SM_TYPE_TIMESTAMP, out);
    } else if (v.type->id == SM_TYPE_STRING) {
        sm_buf_json_str(out, v.as.s);
    } else if (v.type->id == SM_TYPE_DATE) {
        char text[SM_TIME_TEXT_BYTES];
        sm_format_date((int32_t)v.as.i, text);
        sm_buf_printf(out, "\"%s\"", text);
    } else if (v.type->id == SM_TYPE_F32 || v.type->id == SM_TYPE_F64) {
        char text[SM_F64_TEXT_BYTES];
        sm_format_f64(v.as.f, text);
        sm_buf_text(out, sm_str_of(text));
    } else {
        sm_value_print(v, out);
    }
}

static void print_bounds(const sm_type *schema, const sm_range *ranges, bool is_max, sm_buf *out)
{
    bool is_first = true;
    sm_arena *scratch = sm_arena_new(NULL);

    for (int32_t i = 0; i < schema->n_fields; i++) {
        const sm_range *r = &ranges[i];
        if (!(is_max ? r->has_max : r->has_min) || !is_printable(is_max ? r->max : r->min)) {
            continue;
        }
        sm_buf_text(out, is_first ? SM_STR("") : SM_STR(","));
        is_first = false;
        sm_buf_json_str(out, smi_physical_name(&schema->fields[i], scratch));
        sm_buf_text(out, SM_STR(":"));
        print_bound(is_max ? r->max : r->min, out);
    }
    sm_arena_free(scratch);
}

void smi_stats_print(const sm_type *schema, const sm_range *ranges, int64_t n_rows, sm_buf *out)
{
    bool is_first = true;
    sm_arena *scratch = sm_arena_new(NULL);

    sm_buf_printf(out, "{\"numRecords\":%lld,\"minValues\":{", (long long)n_rows);
    if (ranges) {
        print_bounds(schema, ranges, false, out);
    }
    sm_buf_text(out, SM_STR("},\"maxValues\":{"));
    if (ranges) {
        print_bounds(schema, ranges, true, out);
    }
    sm_buf_text(out, SM_STR("},\"nullCount\":{"));
    for (int32_t i = 0; ranges && i < schema->n_fields; i++) {
        if (ranges[i].has_nulls && !sm_type_is_nested(schema->fields[i].type->id)) {
            sm_buf_text(out, is_first ? SM_STR("") : SM_STR(","));
            is_first = false;
            sm_buf_json_str(out, smi_physical_name(&schema->fields[i], scratch));
            sm_buf_printf(out, ":%lld", (long long)ranges[i].n_nulls);
        }
    }
    sm_buf_text(out, SM_STR("}}"));
    sm_arena_free(scratch);
}
