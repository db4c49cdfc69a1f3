/* SPDX-License-Identifier: Apache-2.0
 *
 * column/type.c: makes types, compares and prints them, and finds a field by its name. type_parse.c
 * reads them from SQL. */
#include "column/type.h"

#include "base/quote.h"

#define SIMPLE(name, type_id) const sm_type name = {.id = SM_TYPE_##type_id}
SIMPLE(sm_type_null, NULL);
SIMPLE(sm_type_bool, BOOL);
SIMPLE(sm_type_i8, I8);
SIMPLE(sm_type_i16, I16);
SIMPLE(sm_type_i32, I32);
SIMPLE(sm_type_i64, I64);
SIMPLE(sm_type_u8, U8);
SIMPLE(sm_type_u16, U16);
SIMPLE(sm_type_u32, U32);
SIMPLE(sm_type_u64, U64);
SIMPLE(sm_type_f32, F32);
SIMPLE(sm_type_f64, F64);
SIMPLE(sm_type_string, STRING);
SIMPLE(sm_type_json, STRING);
SIMPLE(sm_type_binary, BINARY);
SIMPLE(sm_type_date, DATE);
SIMPLE(sm_type_time, TIME);
SIMPLE(sm_type_timestamp, TIMESTAMP);
SIMPLE(sm_type_timestamp_ntz, TIMESTAMP_NTZ);
#undef SIMPLE
const sm_type sm_type_variant = {.id = SM_TYPE_STRING, .is_variant = true};

/* ---- making types ---------------------------------------------------------------------------- */

const sm_type *sm_type_decimal(sm_arena *a, int precision, int scale)
{
    SM_ASSERT(precision >= 1 && precision <= 38 && scale >= 0 && scale <= precision);
    sm_type *t = SM_NEW(a, sm_type);
    t->id = SM_TYPE_DECIMAL;
    t->precision = (uint8_t)precision;
    t->scale = (uint8_t)scale;
    return t;
}

static const sm_type *with_fields(sm_arena *a, sm_type_id id, const sm_field *fields, int32_t n)
{
    sm_type *t = SM_NEW(a, sm_type);
    sm_field *copy = SM_NEW_ARRAY(a, sm_field, n > 0 ? n : 1);
    SM_ASSERT(n >= 0);
    for (int32_t i = 0; i < n; i++) {
        SM_ASSERT(fields[i].type); /* a schema that was made before its types were known */
        copy[i] = fields[i];
    }
    t->id = id;
    t->fields = copy;
    t->n_fields = n;
    return t;
}

const sm_type *sm_type_list(sm_arena *a, sm_field element)
{
    return with_fields(a, SM_TYPE_LIST, &element, 1);
}

const sm_type *sm_type_map(sm_arena *a, sm_field key, sm_field value)
{
    const sm_field fields[2] = {key, value};
    return with_fields(a, SM_TYPE_MAP, fields, 2);
}

const sm_type *sm_type_struct(sm_arena *a, const sm_field *fields, int32_t n_fields)
{
    return with_fields(a, SM_TYPE_STRUCT, fields, n_fields);
}

static sm_field copy_field(sm_arena *a, const sm_field *f)
{
    sm_field out = *f;
    out.name = sm_arena_str(a, f->name);
    out.type = sm_type_copy(a, f->type);
    out.meta = NULL;
    if (f->n_meta > 0) {
        sm_field_meta *meta = SM_NEW_ARRAY(a, sm_field_meta, f->n_meta);
        for (int32_t i = 0; i < f->n_meta; i++) {
            meta[i].key = sm_arena_str(a, f->meta[i].key);
            meta[i].json = sm_arena_str(a, f->meta[i].json);
        }
        out.meta = meta;
    }
    return out;
}

const sm_type *sm_type_copy(sm_arena *a, const sm_type *t)
{
    sm_type *out = SM_NEW(a, sm_type);
    *out = *t;
    out->fields = NULL;
    if (sm_type_is_nested(t->id)) {
        sm_field *fields = SM_NEW_ARRAY(a, sm_field, t->n_fields > 0 ? t->n_fields : 1);
        for (int32_t i = 0; i < t->n_fields; i++) {
            fields[i] = copy_field(a, &t->fields[i]);
        }
        out->fields = fields;
    }
    return out;
}

/* ---- asking ---------------------------------------------------------------------------------- */

bool sm_type_eq(const sm_type *a, const sm_type *b)
{
    if (a == b) {
        return true;
    }
    if (a->id != b->id || a->n_fields != b->n_fields) {
        return false;
    }
    if (a->id == SM_TYPE_DECIMAL && (a->precision != b->precision || a->scale != b->scale)) {
        return false;
    }
    for (int32_t i = 0; i < a->n_fields; i++) {
        /* The names of a list's element and of a map's key and value differ by who wrote them. */
        if (a->id == SM_TYPE_STRUCT && !sm_str_eq(a->fields[i].name, b->fields[i].name)) {
            return false;
        }
        if (!sm_type_eq(a->fields[i].type, b->fields[i].type)) {
            return false;
        }
    }
    return true;
}

int sm_type_bytes(sm_type_id id)
{
    static const uint8_t bytes[] = {
#define BYTES(type_id, sql, delta, n) [SM_TYPE_##type_id] = (n),
        SM_TYPE_LIST(BYTES)
#undef BYTES
    };
    return bytes[id];
}

int sm_type_digits(sm_type_id id)
{
    switch (id) {
    case SM_TYPE_BOOL:
        return 1;
    case SM_TYPE_I8:
    case SM_TYPE_U8:
        return 3;
    case SM_TYPE_I16:
    case SM_TYPE_U16:
        return 5;
    case SM_TYPE_I32:
    case SM_TYPE_U32:
        return 10;
    case SM_TYPE_I64:
        return 19;
    default:
        return 20;
    }
}

bool sm_type_is_integer(sm_type_id id)
{
    return id >= SM_TYPE_I8 && id <= SM_TYPE_U64;
}

bool sm_type_is_signed(sm_type_id id)
{
    return id >= SM_TYPE_I8 && id <= SM_TYPE_I64;
}

bool sm_type_is_number(sm_type_id id)
{
    return id >= SM_TYPE_I8 && id <= SM_TYPE_DECIMAL;
}

bool sm_type_is_bytes(sm_type_id id)
{
    return id == SM_TYPE_STRING || id == SM_TYPE_BINARY;
}

bool sm_type_is_nested(sm_type_id id)
{
    return id >= SM_TYPE_LIST;
}

static bool is_plain_name(sm_str name)
{
    for (size_t i = 0; i < name.len; i++) {
        const char c = name.data[i];
        const bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        if (!is_letter && !(i > 0 && c >= '0' && c <= '9')) {
            return false;
        }
    }
    return name.len > 0;
}

static void print_name(sm_str name, sm_buf *out)
{
    if (is_plain_name(name)) {
        sm_buf_text(out, name);
        return;
    }
    sm_buf_quoted(out, name, '"');
}

void sm_type_print(const sm_type *t, sm_buf *out)
{
    static const char *const names[] = {
#define NAME(type_id, sql, delta, n) [SM_TYPE_##type_id] = (sql),
        SM_TYPE_LIST(NAME)
#undef NAME
    };
    if (t->id == SM_TYPE_LIST) {
        sm_type_print(t->fields[0].type, out);
        sm_buf_text(out, SM_STR("[]"));
        return;
    }
    sm_buf_text(out, t == &sm_type_json ? SM_STR("JSON") : sm_str_of(names[t->id]));
    if (t->id == SM_TYPE_DECIMAL) {
        sm_buf_printf(out, "(%d,%d)", t->precision, t->scale);
    } else if (t->id == SM_TYPE_STRUCT || t->id == SM_TYPE_MAP) {
        sm_buf_text(out, SM_STR("("));
        for (int32_t i = 0; i < t->n_fields; i++) {
            sm_buf_text(out, i > 0 ? SM_STR(", ") : SM_STR(""));
            if (t->id == SM_TYPE_STRUCT) {
                print_name(t->fields[i].name, out);
                sm_buf_text(out, SM_STR(" "));
            }
            sm_type_print(t->fields[i].type, out);
        }
        sm_buf_text(out, SM_STR(")"));
    }
}

sm_str sm_type_text(const sm_type *t, sm_arena *a)
{
    sm_buf text = {0};

    sm_type_print(t, &text);
    return sm_arena_take(a, &text);
}

int32_t sm_type_find(const sm_type *t, sm_str name)
{
    int32_t found = -1, n_found = 0;
    for (int32_t i = 0; i < t->n_fields; i++) {
        if (sm_str_eq(t->fields[i].name, name)) {
            return i;
        }
        if (sm_str_eq_nocase(t->fields[i].name, name)) {
            found = i;
            n_found++;
        }
    }
    return n_found == 1 ? found : -1;
}
