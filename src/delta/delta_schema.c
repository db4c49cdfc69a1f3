/* SPDX-License-Identifier: Apache-2.0
 *
 * delta/delta_schema.c: translates a table's schema between Delta's JSON and smelt's types.
 * Called when metadata is read or written.
 *
 * Source  PROTOCOL.md, "Schema Serialization Format" */
#include <stdio.h>

#include "base/json_write.h"
#include "delta/delta_int.h"

#define MOST_DEPTH 64

/* ---- from JSON ------------------------------------------------------------------------------- */

static sm_status parse_type(const sm_json *v, sm_arena *a, int depth, const sm_type **out,
                            sm_error *e);

static sm_status parse_decimal(sm_str name, sm_arena *a, const sm_type **out, sm_error *e)
{
    int precision = 0, scale = 0;
    char text[32] = "";

    memcpy(text, name.data, name.len < sizeof(text) - 1 ? name.len : sizeof(text) - 1);
    if (sscanf(text, "decimal(%d,%d)", &precision, &scale) != 2 || precision < 1 ||
        precision > 38 || scale < 0 || scale > precision) {
        return sm_fail(e, SM_CORRUPT, "type \"%.*s\" of the schema cannot be read",
                       SM_STR_ARG(name));
    }
    *out = sm_type_decimal(a, precision, scale);
    return SM_OK;
}

static sm_status parse_primitive(sm_str name, sm_arena *a, const sm_type **out, sm_error *e)
{
    static const struct {
        const char *name;
        const sm_type *type;
    } primitives[] = {
        {"string", &sm_type_string},
        {"long", &sm_type_i64},
        {"integer", &sm_type_i32},
        {"short", &sm_type_i16},
        {"byte", &sm_type_i8},
        {"float", &sm_type_f32},
        {"double", &sm_type_f64},
        {"boolean", &sm_type_bool},
        {"binary", &sm_type_binary},
        {"date", &sm_type_date},
        {"timestamp", &sm_type_timestamp},
        {"timestamp_ntz", &sm_type_timestamp_ntz},
        {"void", &sm_type_null},
        {"variant", &sm_type_variant},
    };

    for (int i = 0; i < SM_COUNT(primitives); i++) {
        if (sm_str_is(name, primitives[i].name)) {
            *out = primitives[i].type;
            return SM_OK;
        }
    }
    if (sm_str_starts(name, SM_STR("decimal("))) {
        return parse_decimal(name, a, out, e);
    }
    if (sm_str_is(name, "decimal")) {
        *out = sm_type_decimal(a, 10, 0);
        return SM_OK;
    }
    return sm_fail(e, SM_UNSUPPORTED, "type \"%.*s\" of the schema is not supported",
                   SM_STR_ARG(name));
}

static void parse_meta(const sm_json *object, sm_arena *a, sm_field *f)
{
    SM_ASSERT(f->n_meta == 0 && !f->meta);
    if (!object || object->type != SM_JSON_OBJECT || object->n_children == 0) {
        return;
    }
    sm_field_meta *meta = SM_NEW_ARRAY(a, sm_field_meta, object->n_children);
    for (const sm_json *m = object->child; m; m = m->next) {
        sm_buf json = {0};
        sm_json_writer w = {.out = &json};
        meta[f->n_meta].key = m->key;
        switch (m->type) {
        case SM_JSON_STRING:
            sm_json_put_text(&w, m->text);
            break;
        case SM_JSON_BOOL:
            sm_json_put_bool(&w, m->b);
            break;
        case SM_JSON_NULL:
            sm_json_put_null(&w);
            break;
        default: /* a number's token, or the source bytes of what is nested */
            sm_json_put_raw(&w, m->text);
        }
        meta[f->n_meta++].json = sm_arena_str(a, sm_buf_str(&json));
        sm_buf_release(&json);
    }
    SM_ASSERT(f->n_meta == object->n_children);
    f->meta = meta;
}

static sm_status parse_struct(const sm_json *v, sm_arena *a, int depth, const sm_type **out,
                              sm_error *e)
{
    const sm_json *fields = sm_json_get(v, "fields");
    int32_t n = 0;

    if (!fields || fields->type != SM_JSON_ARRAY || fields->n_children > 100000) {
        return sm_fail(e, SM_CORRUPT, "a struct of the schema has no list of fields");
    }
    sm_field *items = SM_NEW_ARRAY(a, sm_field, fields->n_children);
    for (const sm_json *f = fields->child; f; f = f->next) {
        const sm_json *nullable = sm_json_get(f, "nullable");
        sm_field *item = &items[n++];
        item->name = sm_json_text(sm_json_get(f, "name"));
        item->is_nullable = !nullable || nullable->type != SM_JSON_BOOL || nullable->b;
        parse_meta(sm_json_get(f, "metadata"), a, item);
        const sm_status st = parse_type(sm_json_get(f, "type"), a, depth + 1, &item->type, e);
        if (st != SM_OK) {
            return sm_within(e, st, "column %.*s", SM_STR_ARG(item->name));
        }
    }
    SM_ASSERT(n == fields->n_children);
    *out = sm_type_struct(a, items, n);
    return SM_OK;
}

static bool is_nullable(const sm_json *v, const char *key)
{
    const sm_json *flag = sm_json_get(v, key);

    return !flag || flag->type != SM_JSON_BOOL || flag->b;
}

static sm_status parse_type(const sm_json *v, sm_arena *a, int depth, const sm_type **out,
                            sm_error *e)
{
    if (depth > MOST_DEPTH) {
        return sm_fail(e, SM_LIMIT, "the schema is nested deeper than %d", MOST_DEPTH);
    }
    if (v && v->type == SM_JSON_STRING) {
        return parse_primitive(v->text, a, out, e);
    }
    const sm_str kind = sm_json_text(sm_json_get(v, "type"));
    if (sm_str_is(kind, "struct")) {
        return parse_struct(v, a, depth, out, e);
    }
    if (sm_str_is(kind, "array")) {
        sm_field f = {.name = SM_STR("element"), .is_nullable = is_nullable(v, "containsNull")};
        SM_TRY(parse_type(sm_json_get(v, "elementType"), a, depth + 1, &f.type, e));
        *out = sm_type_list(a, f);
        return SM_OK;
    }
    if (sm_str_is(kind, "map")) {
        sm_field key = {.name = SM_STR("key")};
        sm_field value = {.name = SM_STR("value"),
                          .is_nullable = is_nullable(v, "valueContainsNull")};
        SM_TRY(parse_type(sm_json_get(v, "keyType"), a, depth + 1, &key.type, e));
        SM_TRY(parse_type(sm_json_get(v, "valueType"), a, depth + 1, &value.type, e));
        *out = sm_type_map(a, key, value);
        return SM_OK;
    }
    return sm_fail(e, SM_CORRUPT, "a type of the schema cannot be read");
}

sm_status sm_delta_schema_parse(sm_str json, sm_arena *a, const sm_type **out, sm_error *e)
{
    const sm_json *doc = NULL;

    const sm_status st = sm_json_parse(sm_arena_str(a, json), a, &doc, e);
    if (st != SM_OK) {
        return sm_within(e, st, "schema");
    }
    SM_TRY(parse_type(doc, a, 0, out, e));
    return (*out)->id == SM_TYPE_STRUCT ? SM_OK
                                        : sm_fail(e, SM_CORRUPT, "the schema is not a struct");
}

/* ---- to JSON --------------------------------------------------------------------------------- */

static sm_status put_type(const sm_type *t, sm_json_writer *w, sm_error *e);

static sm_status put_field(const sm_field *f, sm_json_writer *w, sm_error *e)
{
    sm_json_begin_object(w);
    sm_json_set_text(w, "name", f->name);
    sm_json_key(w, SM_STR("type"));
    const sm_status st = put_type(f->type, w, e);
    if (st != SM_OK) {
        return sm_within(e, st, "column %.*s", SM_STR_ARG(f->name));
    }
    sm_json_set_bool(w, "nullable", f->is_nullable);
    sm_json_set_object(w, "metadata");
    for (int32_t i = 0; i < f->n_meta; i++) {
        sm_json_key(w, smi_meta_key(f->meta[i].key));
        sm_json_put_raw(w, f->meta[i].json);
    }
    sm_json_end_object(w);
    sm_json_end_object(w);
    return SM_OK;
}

static sm_status put_nested(const sm_type *t, sm_json_writer *w, sm_error *e)
{
    sm_json_begin_object(w);
    switch (t->id) {
    case SM_TYPE_STRUCT:
        sm_json_set_text(w, "type", SM_STR("struct"));
        sm_json_set_array(w, "fields");
        for (int32_t i = 0; i < t->n_fields; i++) {
            SM_TRY(put_field(&t->fields[i], w, e));
        }
        sm_json_end_array(w);
        break;
    case SM_TYPE_LIST:
        SM_ASSERT(t->n_fields == 1);
        sm_json_set_text(w, "type", SM_STR("array"));
        sm_json_key(w, SM_STR("elementType"));
        SM_TRY(put_type(t->fields[0].type, w, e));
        sm_json_set_bool(w, "containsNull", t->fields[0].is_nullable);
        break;
    default:
        SM_ASSERT(t->id == SM_TYPE_MAP && t->n_fields == 2);
        sm_json_set_text(w, "type", SM_STR("map"));
        sm_json_key(w, SM_STR("keyType"));
        SM_TRY(put_type(t->fields[0].type, w, e));
        sm_json_key(w, SM_STR("valueType"));
        SM_TRY(put_type(t->fields[1].type, w, e));
        sm_json_set_bool(w, "valueContainsNull", t->fields[1].is_nullable);
    }
    sm_json_end_object(w);
    return SM_OK;
}

/* Delta's names of types, "" where it has none. */
static const char *const names[] = {
#define NAME_OF(id, sql, delta, bytes) [SM_TYPE_##id] = (delta),
    SM_TYPE_LIST(NAME_OF)
#undef NAME_OF
};

void smi_put_type_name(const sm_type *t, sm_json_writer *w)
{
    char decimal[32];

    SM_ASSERT(!sm_type_is_nested(t->id) && names[t->id][0]);
    if (t->id == SM_TYPE_DECIMAL) {
        snprintf(decimal, sizeof(decimal), "decimal(%d,%d)", t->precision, t->scale);
    }
    sm_json_put_text(w, sm_str_of(t->id == SM_TYPE_DECIMAL ? decimal : names[t->id]));
}

static sm_status put_type(const sm_type *t, sm_json_writer *w, sm_error *e)
{
    sm_buf sql = {0};

    if (sm_type_is_nested(t->id)) {
        return put_nested(t, w, e);
    }
    SM_ASSERT(t->id < SM_COUNT(names) && names[t->id]);
    if (names[t->id][0] && t->id != SM_TYPE_NULL) {
        smi_put_type_name(t, w);
        return SM_OK;
    }
    sm_type_print(t, &sql);
    const sm_status st =
        sm_fail(e, SM_UNSUPPORTED, "Delta has no type %.*s", SM_STR_ARG(sm_buf_str(&sql)));
    sm_buf_release(&sql);
    sm_error_todo(e, "Cast the column to a type that Delta has, like BIGINT or VARCHAR.");
    return st;
}

sm_status sm_delta_schema_json(const sm_type *schema, sm_buf *out, sm_error *e)
{
    sm_json_writer w = {.out = out};

    SM_ASSERT(schema->id == SM_TYPE_STRUCT);
    return put_type(schema, &w, e);
}
