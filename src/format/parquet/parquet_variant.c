/* SPDX-License-Identifier: Apache-2.0
 *
 * format/parquet/parquet_variant.c: the JSON text of variants.
 *
 * Group     A variant is a group of `metadata` (a dictionary of names) and `value` (the bytes of a
 *           value). In a shredded one, `typed_value` has the value as a column of its type: a
 *           scalar; a list of such pairs; or a struct whose fields are such pairs. An object may be
 *           in both: the fields that have no column are in `value`. Such a group is assembled as a
 *           struct, as any other, and then each row becomes a text here.
 * Text      Objects have their fields in the order of the names' bytes, without white space.
 *           Decimals lose zeros at their end, dates and times are strings as in SQL (an instant in
 *           UTC, with +00:00), bytes are base64, NaN and the infinities strings, as in Spark. A
 *           variant that is null is the text null; a group that is null is NULL.
 * Trust     Nothing is: each offset is checked against the bytes that there are, texts are UTF-8,
 *           and depth and length of a text are bounded, since many offsets may name one value.
 * Source    apache/parquet-format, VariantEncoding.md, VariantShredding.md
 *
 * Called by parquet_assemble.c; parquet_schema.c says which groups are variants. */

#include <math.h>
#include <stdlib.h>

#include "base/text.h"
#include "base/time.h"
#include "format/parquet/parquet_int.h"

#define MOST_DEPTH      500
#define MOST_TEXT_BYTES ((size_t)128 << 20) /* of one value */

/* The dictionary of names: n + 1 offsets of `width` bytes, then the names. */
typedef struct name_list {
    const uint8_t *offsets, *bytes;
    size_t n_bytes;
    uint32_t n;
    int width;
} name_list;

/* A variant whose text is being made. */
typedef struct printing {
    name_list names;
    sm_buf *out;
    size_t end_bytes; /* out may not be longer */
    sm_error *e;
} printing;

typedef struct span {
    const uint8_t *p, *end;
} span;

/* A pair of a value's columns at a row; NULL where there is no such column. */
typedef struct pair {
    const sm_column *value, *typed;
    int64_t row;
} pair;

static sm_status fail_damaged(const printing *p, const char *what)
{
    return sm_fail(p->e, SM_CORRUPT, "a variant is damaged: %s", what);
}

static uint64_t le(const uint8_t *p, int width)
{
    uint64_t v = 0;

    SM_ASSERT(width > 0 && width <= 8);
    for (int i = width - 1; i >= 0; i--) {
        v = v << 8 | p[i];
    }
    return v;
}

/* ---- texts ----------------------------------------------------------------------------------- */

static void put(const printing *p, const char *text)
{
    sm_buf_text(p->out, sm_str_of(text));
}

static sm_status put_text(const printing *p, sm_str s)
{
    sm_json_writer w = {.out = p->out};

    if (sm_utf8_check(s.data, s.len) != s.len) {
        return fail_damaged(p, "a text is not UTF-8");
    }
    sm_json_put_text(&w, s);
    return SM_OK;
}

static void put_quoted(const printing *p, const char *text)
{
    sm_buf_printf(p->out, "\"%s\"", text);
}

static void put_base64(const printing *p, sm_str s)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const uint8_t *b = (const uint8_t *)s.data;

    put(p, "\"");
    for (size_t i = 0; i < s.len; i += 3) {
        const size_t n = s.len - i < 3 ? s.len - i : 3;
        const uint32_t v = (uint32_t)b[i] << 16 | (n > 1 ? (uint32_t)b[i + 1] << 8 : 0) |
                           (n > 2 ? (uint32_t)b[i + 2] : 0);
        const char four[4] = {digits[v >> 18], digits[v >> 12 & 63],
                              n > 1 ? digits[v >> 6 & 63] : '=', n > 2 ? digits[v & 63] : '='};
        sm_buf_text(p->out, (sm_str){four, sizeof(four)});
    }
    put(p, "\"");
}

static void put_float(const printing *p, double v, const sm_type *t)
{
    if (isnan(v)) {
        put(p, "\"NaN\"");
    } else if (isinf(v)) {
        put(p, v > 0 ? "\"Infinity\"" : "\"-Infinity\"");
    } else {
        sm_value_print((sm_value){.type = t, .as.f = v}, p->out);
    }
}

/* Without zeros behind the point. */
static void put_decimal(const printing *p, sm_i128 v, int scale)
{
    char text[48];
    int at = sizeof(text);
    const bool is_negative = v < 0;
    unsigned __int128 left = is_negative ? -(unsigned __int128)v : (unsigned __int128)v;

    SM_ASSERT(scale >= 0 && scale <= 38);
    for (; scale > 0 && left % 10 == 0; scale--) {
        left /= 10;
    }
    for (int n = 0; n <= scale || left > 0; n++) {
        text[--at] = (char)('0' + (int)(left % 10));
        left /= 10;
        if (n == scale - 1) {
            text[--at] = '.';
        }
    }
    sm_buf_text(p->out, is_negative ? SM_STR("-") : SM_STR(""));
    sm_buf_text(p->out, (sm_str){text + at, sizeof(text) - (size_t)at});
}

/* 2022-04-01 17:05:00.5; nanos: 0 to 999 beyond the microseconds. */
static void put_timestamp(const printing *p, int64_t us, int nanos, bool is_utc)
{
    char text[SM_TIME_TEXT_BYTES];

    put(p, "\"");
    if (nanos == 0) {
        sm_value_print((sm_value){.type = &sm_type_timestamp_ntz, .as.i = us}, p->out);
    } else {
        sm_format_timestamp(us, text);
        sm_buf_printf(p->out, "%s%s%03d", text, us % 1000000 != 0 ? "" : ".000000", nanos);
    }
    put(p, is_utc ? "+00:00\"" : "\"");
}

static void put_nanos(const printing *p, int64_t ns, bool is_utc)
{
    const int nanos = (int)((ns % 1000 + 1000) % 1000);

    put_timestamp(p, (ns - nanos) / 1000, nanos, is_utc);
}

static sm_status put_scalar(const printing *p, const sm_column *c, int64_t row)
{
    const sm_value v = sm_column_value(c, row);
    char text[SM_TIME_TEXT_BYTES];

    SM_ASSERT(!v.is_null);
    switch (c->type->id) {
    case SM_TYPE_STRING:
        return put_text(p, v.as.s);
    case SM_TYPE_BINARY:
        put_base64(p, v.as.s);
        return SM_OK;
    case SM_TYPE_F32:
    case SM_TYPE_F64:
        put_float(p, v.as.f, c->type);
        return SM_OK;
    case SM_TYPE_DECIMAL:
        put_decimal(p, v.as.d, c->type->scale);
        return SM_OK;
    case SM_TYPE_DATE:
        sm_format_date((int32_t)v.as.i, text);
        put_quoted(p, text);
        return SM_OK;
    case SM_TYPE_TIMESTAMP:
    case SM_TYPE_TIMESTAMP_NTZ:
        put_timestamp(p, v.as.i, 0, c->type->id == SM_TYPE_TIMESTAMP);
        return SM_OK;
    case SM_TYPE_TIME:
        put(p, "\"");
        sm_value_print(v, p->out);
        put(p, "\"");
        return SM_OK;
    default:
        if (c->type->id != SM_TYPE_BOOL && !sm_type_is_signed(c->type->id)) {
            return fail_damaged(p, "a column has a type that variants do not have");
        }
        sm_value_print(v, p->out);
        return SM_OK;
    }
}

/* ---- the dictionary of names ----------------------------------------------------------------- */

static sm_status read_names(printing *p, sm_str metadata)
{
    const uint8_t *b = (const uint8_t *)metadata.data;
    name_list *l = &p->names;

    SM_ASSERT(l->n == 0 && !l->bytes); /* each variant has its own */
    if (metadata.len < 1 || (b[0] & 0x0F) != 1) {
        return fail_damaged(p, "its metadata is not of version 1");
    }
    l->width = (b[0] >> 6) + 1;
    if (metadata.len < 1 + (size_t)l->width) {
        return fail_damaged(p, "its metadata is too short");
    }
    const uint64_t n = le(b + 1, l->width);
    const uint64_t head = 1 + (uint64_t)l->width * (n + 2);
    if (metadata.len < head) {
        return fail_damaged(p, "its metadata is too short");
    }
    l->n = (uint32_t)n;
    l->offsets = b + 1 + l->width;
    l->bytes = b + head;
    l->n_bytes = metadata.len - head;
    return SM_OK;
}

static sm_status name_of(const printing *p, uint64_t id, sm_str *out)
{
    const name_list *l = &p->names;

    if (id >= l->n) {
        return fail_damaged(p, "a field has no name");
    }
    const uint64_t from = le(l->offsets + id * (uint64_t)l->width, l->width);
    const uint64_t to = le(l->offsets + (id + 1) * (uint64_t)l->width, l->width);
    if (from > to || to > l->n_bytes) {
        return fail_damaged(p, "a name is not within the metadata");
    }
    *out = (sm_str){(const char *)l->bytes + from, (size_t)(to - from)};
    return SM_OK;
}

/* ---- a value's bytes ------------------------------------------------------------------------- */

static sm_status put_value(const printing *p, span s, int depth);

static bool has_bytes(span s, uint64_t n)
{
    return (uint64_t)(s.end - s.p) >= n;
}

static sm_status put_bytes(const printing *p, span s, bool is_text)
{
    if (!has_bytes(s, 4) || !has_bytes(s, 4 + le(s.p, 4))) {
        return fail_damaged(p, "a text is longer than its value");
    }
    const sm_str bytes = {(const char *)s.p + 4, (size_t)le(s.p, 4)};
    if (is_text) {
        return put_text(p, bytes);
    }
    put_base64(p, bytes);
    return SM_OK;
}

static sm_status put_decimal_bytes(const printing *p, span s, int width)
{
    sm_i128 v = 0;

    if (s.p[0] > 38) {
        return fail_damaged(p, "a decimal has too many digits");
    }
    for (int i = width; i >= 1; i--) { /* the first one is the sign's */
        v = i == width ? (int8_t)s.p[i] : (sm_i128)((unsigned __int128)v << 8 | s.p[i]);
    }
    put_decimal(p, v, s.p[0]);
    return SM_OK;
}

static void put_uuid(const printing *p, const uint8_t *b)
{
    put(p, "\"");
    for (int i = 0; i < 16; i++) {
        sm_buf_printf(p->out, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", b[i]);
    }
    put(p, "\"");
}

static void put_time(const printing *p, int64_t us)
{
    put(p, "\"");
    sm_value_print((sm_value){.type = &sm_type_time, .as.i = us}, p->out);
    put(p, "\"");
}

static double f64_of(const uint8_t *b)
{
    double v;
    memcpy(&v, b, sizeof(v));
    return v;
}

static float f32_of(const uint8_t *b)
{
    float v;
    memcpy(&v, b, sizeof(v));
    return v;
}

/* The numbers of VariantEncoding.md, "Variant primitive types", and the bytes that each has. */
enum {
    VARIANT_NULL,
    VARIANT_TRUE,
    VARIANT_FALSE,
    VARIANT_I8,
    VARIANT_I16,
    VARIANT_I32,
    VARIANT_I64,
    VARIANT_F64,
    VARIANT_DECIMAL4,
    VARIANT_DECIMAL8,
    VARIANT_DECIMAL16,
    VARIANT_DATE,
    VARIANT_TIMESTAMP,
    VARIANT_TIMESTAMP_NTZ,
    VARIANT_F32,
    VARIANT_BINARY,
    VARIANT_STRING,
    VARIANT_TIME,
    VARIANT_NANOS,
    VARIANT_NANOS_NTZ,
    VARIANT_UUID,
    VARIANT_PRIMITIVES
};
static const uint8_t primitive_bytes[] = {0, 0, 0, 1, 2, 4, 8, 8, 5, 9, 17,
                                          4, 8, 8, 4, 4, 4, 8, 8, 8, 16};
_Static_assert(SM_COUNT(primitive_bytes) == VARIANT_PRIMITIVES, "the bytes of each primitive");

/* `s` is behind the value's first byte. A switch over all types. */
static sm_status put_primitive(const printing *p, int kind, span s)
{
    char text[SM_TIME_TEXT_BYTES];

    if (kind >= VARIANT_PRIMITIVES) {
        return sm_fail(p->e, SM_UNSUPPORTED, "a variant has a value of type %d", kind);
    }
    if (!has_bytes(s, primitive_bytes[kind])) {
        return fail_damaged(p, "a value is cut off");
    }
    switch (kind) {
    case VARIANT_NULL:
        put(p, "null");
        return SM_OK;
    case VARIANT_TRUE:
    case VARIANT_FALSE:
        put(p, kind == VARIANT_TRUE ? "true" : "false");
        return SM_OK;
    case VARIANT_I8:
        sm_buf_printf(p->out, "%d", (int8_t)s.p[0]);
        return SM_OK;
    case VARIANT_I16:
        sm_buf_printf(p->out, "%d", (int16_t)le(s.p, 2));
        return SM_OK;
    case VARIANT_I32:
        sm_buf_printf(p->out, "%d", (int32_t)le(s.p, 4));
        return SM_OK;
    case VARIANT_I64:
        sm_buf_printf(p->out, "%lld", (long long)le(s.p, 8));
        return SM_OK;
    case VARIANT_F64:
        put_float(p, f64_of(s.p), &sm_type_f64);
        return SM_OK;
    case VARIANT_F32:
        put_float(p, f32_of(s.p), &sm_type_f32);
        return SM_OK;
    case VARIANT_DECIMAL4:
    case VARIANT_DECIMAL8:
    case VARIANT_DECIMAL16:
        return put_decimal_bytes(p, s, primitive_bytes[kind] - 1);
    case VARIANT_DATE:
        sm_format_date((int32_t)le(s.p, 4), text);
        put_quoted(p, text);
        return SM_OK;
    case VARIANT_TIMESTAMP:
    case VARIANT_TIMESTAMP_NTZ:
        put_timestamp(p, (int64_t)le(s.p, 8), 0, kind == VARIANT_TIMESTAMP);
        return SM_OK;
    case VARIANT_NANOS:
    case VARIANT_NANOS_NTZ:
        put_nanos(p, (int64_t)le(s.p, 8), kind == VARIANT_NANOS);
        return SM_OK;
    case VARIANT_TIME:
        put_time(p, (int64_t)le(s.p, 8));
        return SM_OK;
    case VARIANT_UUID:
        put_uuid(p, s.p);
        return SM_OK;
    default:
        SM_ASSERT(kind == VARIANT_BINARY || kind == VARIANT_STRING);
        return put_bytes(p, s, kind == VARIANT_STRING);
    }
}

/* An object or an array: its items' names and places. */
typedef struct items {
    uint64_t n;
    const uint8_t *ids, *offsets; /* ids NULL: an array */
    int id_width, offset_width;
    span values;
} items;

static sm_status read_items(const printing *p, bool is_object, int header, span s, items *out)
{
    const bool is_large = is_object ? header >> 4 & 1 : header >> 2 & 1;
    const int count_width = is_large ? 4 : 1;

    *out = (items){.offset_width = (header & 3) + 1,
                   .id_width = is_object ? (header >> 2 & 3) + 1 : 0};
    if (!has_bytes(s, (uint64_t)count_width)) {
        return fail_damaged(p, "an object or array is cut off");
    }
    out->n = le(s.p, count_width);
    s.p += count_width;
    const uint64_t id_bytes = out->n * (uint64_t)out->id_width;
    const uint64_t offset_bytes = (out->n + 1) * (uint64_t)out->offset_width;
    if (!has_bytes(s, id_bytes + offset_bytes)) {
        return fail_damaged(p, "an object or array is cut off");
    }
    out->ids = is_object ? s.p : NULL;
    out->offsets = s.p + id_bytes;
    out->values = (span){s.p + id_bytes + offset_bytes, s.end};
    return SM_OK;
}

static sm_status item_value(const printing *p, const items *list, uint64_t i, span *out)
{
    const uint64_t at = le(list->offsets + i * (uint64_t)list->offset_width, list->offset_width);

    if (!has_bytes(list->values, at)) {
        return fail_damaged(p, "an item is not within its object or array");
    }
    *out = (span){list->values.p + at, list->values.end};
    return SM_OK;
}

static sm_status item_name(const printing *p, const items *list, uint64_t i, sm_str *out)
{
    return name_of(p, le(list->ids + i * (uint64_t)list->id_width, list->id_width), out);
}

static sm_status put_items(const printing *p, const items *list, int depth)
{
    const bool is_object = list->ids != NULL;

    SM_ASSERT(is_object == (list->id_width > 0) && list->offset_width > 0);
    put(p, is_object ? "{" : "[");
    for (uint64_t i = 0; i < list->n; i++) {
        span value;
        put(p, i > 0 ? "," : "");
        if (is_object) {
            sm_str name;
            SM_TRY(item_name(p, list, i, &name));
            SM_TRY(put_text(p, name));
            put(p, ":");
        }
        SM_TRY(item_value(p, list, i, &value));
        SM_TRY(put_value(p, value, depth + 1));
    }
    put(p, is_object ? "}" : "]");
    return SM_OK;
}

static sm_status check_size(const printing *p, int depth)
{
    if (depth > MOST_DEPTH) {
        return sm_fail(p->e, SM_LIMIT, "a variant is nested deeper than %d", MOST_DEPTH);
    }
    return p->out->len <= p->end_bytes
               ? SM_OK
               : sm_fail(p->e, SM_LIMIT, "a variant has a text of more than %zu bytes",
                         MOST_TEXT_BYTES);
}

static sm_status put_value(const printing *p, span s, int depth)
{
    items list;

    SM_TRY(check_size(p, depth));
    if (!has_bytes(s, 1)) {
        return fail_damaged(p, "a value is cut off");
    }
    const int header = s.p[0] >> 2;
    const int basic = s.p[0] & 3;
    s.p++;
    if (basic == 0) {
        return put_primitive(p, header, s);
    }
    if (basic == 1) {
        return has_bytes(s, (uint64_t)header)
                   ? put_text(p, (sm_str){(const char *)s.p, (size_t)header})
                   : fail_damaged(p, "a text is longer than its value");
    }
    SM_TRY(read_items(p, basic == 2, header, s, &list));
    return put_items(p, &list, depth);
}

/* ---- shredded values ------------------------------------------------------------------------- */

static const sm_column *child_of(const sm_column *c, const char *name)
{
    for (int32_t i = 0; i < c->n_children; i++) {
        if (sm_str_is(c->type->fields[i].name, name)) {
            return &c->children[i];
        }
    }
    return NULL;
}

static pair pair_of(const sm_column *group, int64_t row)
{
    SM_ASSERT(group->layout == SM_FLAT);
    return (pair){child_of(group, "value"), child_of(group, "typed_value"), row};
}

static bool has(const sm_column *c, int64_t row)
{
    return c && !sm_column_is_null(c, row);
}

static bool is_missing(const pair *v)
{
    return !has(v->value, v->row) && !has(v->typed, v->row);
}

static span bytes_at(const sm_column *c, int64_t row)
{
    const sm_str s = sm_column_str(c, row);
    const uint8_t *p = (const uint8_t *)s.data;

    return (span){p, p + s.len};
}

static sm_status put_pair(const printing *p, const pair *v, int depth);

static sm_status put_array(const printing *p, const sm_column *list, int64_t row, int depth)
{
    const int32_t *offsets = list->values;
    SM_ASSERT(list->layout == SM_FLAT && row < list->n_rows);
    const sm_column *item_group = &list->children[0];

    if (item_group->type->id != SM_TYPE_STRUCT) {
        return fail_damaged(p, "the items of a list have no columns value and typed_value");
    }
    put(p, "[");
    for (int32_t i = offsets[row]; i < offsets[row + 1]; i++) {
        const pair item = pair_of(item_group, i);
        put(p, i > offsets[row] ? "," : "");
        SM_TRY(put_pair(p, &item, depth + 1));
    }
    put(p, "]");
    return SM_OK;
}

/* A field of a shredded object: in columns, or (typed and value NULL) in bytes. */
typedef struct object_field {
    sm_str name;
    pair columns;
    span bytes;
} object_field;

static int by_name(const void *x, const void *y)
{
    const object_field *a = x, *b = y;

    return sm_str_cmp(a->name, b->name);
}

static sm_status put_fields(const printing *p, object_field *fields, size_t n, int depth)
{
    qsort(fields, n, sizeof(*fields), by_name);
    put(p, "{");
    for (size_t i = 0; i < n; i++) {
        const object_field *f = &fields[i];
        if (i > 0 && sm_str_eq(fields[i - 1].name, f->name)) {
            return fail_damaged(p, "a field is in a column and in the value too");
        }
        put(p, i > 0 ? "," : "");
        SM_TRY(put_text(p, f->name));
        put(p, ":");
        SM_TRY(f->bytes.p ? put_value(p, f->bytes, depth + 1)
                          : put_pair(p, &f->columns, depth + 1));
    }
    put(p, "}");
    return SM_OK;
}

/* The fields that have a column, and those in `value`. */
static sm_status put_object(const printing *p, const pair *v, int depth)
{
    const sm_column *typed = v->typed;
    items rest = {0};
    size_t n = 0;

    if (has(v->value, v->row)) {
        span s = bytes_at(v->value, v->row);
        if (!has_bytes(s, 1) || (s.p[0] & 3) != 2) {
            return fail_damaged(p, "an object in columns has a value that is no object");
        }
        const int header = s.p[0] >> 2;
        s.p++;
        SM_TRY(read_items(p, true, header, s, &rest));
    }
    object_field *fields = sm_alloc(((size_t)typed->n_children + rest.n + 1) * sizeof(*fields));
    sm_status st = SM_OK;
    for (int32_t i = 0; i < typed->n_children && st == SM_OK; i++) {
        if (typed->children[i].type->id != SM_TYPE_STRUCT) {
            st = fail_damaged(p, "a field has no columns value and typed_value");
            break;
        }
        const pair field = pair_of(&typed->children[i], v->row);
        if (!is_missing(&field)) {
            fields[n++] = (object_field){.name = typed->type->fields[i].name, .columns = field};
        }
    }
    for (uint64_t i = 0; i < rest.n && st == SM_OK; i++, n++) {
        fields[n] = (object_field){0};
        st = item_name(p, &rest, i, &fields[n].name);
        st = st == SM_OK ? item_value(p, &rest, i, &fields[n].bytes) : st;
    }
    st = st == SM_OK ? put_fields(p, fields, n, depth) : st;
    sm_free(fields);
    return st;
}

static sm_status put_pair(const printing *p, const pair *v, int depth)
{
    SM_TRY(check_size(p, depth));
    if (!has(v->typed, v->row)) {
        if (!has(v->value, v->row)) { /* where a value must be */
            put(p, "null");
            return SM_OK;
        }
        return put_value(p, bytes_at(v->value, v->row), depth);
    }
    if (v->typed->type->id == SM_TYPE_STRUCT) {
        return put_object(p, v, depth);
    }
    if (has(v->value, v->row)) {
        return fail_damaged(p, "a value is in a column and in bytes too");
    }
    return v->typed->type->id == SM_TYPE_LIST ? put_array(p, v->typed, v->row, depth)
                                              : put_scalar(p, v->typed, v->row);
}

/* ---- the door -------------------------------------------------------------------------------- */

bool smi_pq_is_variant(const smi_pq_node *n)
{
    bool has_metadata = false, has_value = false;

    for (int32_t i = 0; n->physical == SMI_PQ_GROUP && i < n->n_children; i++) {
        const smi_pq_node *child = n->children[i];
        const bool is_bytes = child->physical == SMI_PQ_BYTE_ARRAY;
        has_metadata = has_metadata || (is_bytes && sm_str_is(child->name, "metadata"));
        has_value = has_value || (is_bytes && sm_str_is(child->name, "value")) ||
                    sm_str_is(child->name, "typed_value");
    }
    return has_metadata && has_value;
}

/* The texts end to end, and where each one ends. */
static sm_status print_all(const sm_column *group, sm_buf *texts, size_t *ends, sm_error *e)
{
    const sm_column *metadata = child_of(group, "metadata");

    for (int64_t i = 0; i < group->n_rows; i++) {
        if (!sm_column_is_null(group, i)) {
            printing p = {.out = texts, .end_bytes = texts->len + MOST_TEXT_BYTES, .e = e};
            const pair v = pair_of(group, i);
            SM_TRY(read_names(&p, sm_column_str(metadata, i)));
            SM_TRY(put_pair(&p, &v, 0));
        }
        ends[i] = texts->len;
        if (texts->len > INT32_MAX) {
            return sm_fail(e, SM_LIMIT, "the variants of one batch have more than 2 GiB of text");
        }
    }
    return SM_OK;
}

sm_status smi_pq_variant_texts(const sm_column *group, sm_batch *into, sm_column *out, sm_error *e)
{
    sm_buf texts = {0};
    void *bytes = NULL, *views = NULL, *heap = NULL;
    size_t *ends = sm_alloc((size_t)(group->n_rows + 1) * sizeof(*ends));

    SM_ASSERT(group->type->id == SM_TYPE_STRUCT && group->layout == SM_FLAT);
    sm_status st = SM_OK;
    SM_TRY_GOTO(st, done, print_all(group, &texts, ends, e));
    SM_TRY_GOTO(st, done, sm_batch_alloc(into, texts.len, &bytes, e));
    SM_TRY_GOTO(st, done, sm_batch_alloc(into, sizeof(sm_heap_buf), &heap, e));
    SM_TRY_GOTO(st, done, sm_batch_alloc(into, (size_t)group->n_rows * sizeof(sm_view), &views, e));
    if (texts.len > 0) {
        memcpy(bytes, texts.data, texts.len);
    }
    *(sm_heap_buf *)heap = (sm_heap_buf){bytes, (int64_t)texts.len};
    for (int64_t i = 0; i < group->n_rows; i++) {
        const size_t from = i > 0 ? ends[i - 1] : 0;
        if (!sm_column_is_null(group, i)) {
            ((sm_view *)views)[i] =
                sm_view_make((uint8_t *)bytes + from, (int32_t)(ends[i] - from), 0, (int32_t)from);
        }
    }
    *out = (sm_column){.type = out->type,
                       .n_rows = group->n_rows,
                       .validity = group->validity,
                       .values = views,
                       .heap = heap,
                       .n_heap = 1};
done:
    sm_free(ends);
    sm_buf_release(&texts);
    return st;
}
