/* SPDX-License-Identifier: Apache-2.0
 *
 * delta/delta_mapping.c: column mapping: by which names or ids the data files know a table's
 * columns. Called when a snapshot is opened.
 *
 * Mode    none: the files use the names of the schema, whatever the metadata of its fields says (a
 *         table whose mapping was turned off may still have it). name: the files use each field's
 *         physical name. id: its field id, or its physical name in files without ids.
 * Method  Metadata that the mode does not use is hidden: its keys get a prefix, which only the text
 *         of the schema is without. So readers of files (the parquet format), statistics and
 *         partition values need not know the mode, and metadata that is written again is whole.
 * Write   Files get the physical names, and the ids as Parquet's field ids. New columns of a mapped
 *         table get the next ids, and names that no file has. Where mapping is turned on for a
 *         table with files, its columns are mapped to their own names.
 *
 * Source  PROTOCOL.md, "Column Mapping" */
#include <assert.h>
#include <inttypes.h>

#include "base/random.h"
#include "base/text.h"
#include "delta/delta_int.h"

#define PHYSICAL_NAME "delta.columnMapping.physicalName"
#define FIELD_ID      "delta.columnMapping.id"
#define MAX_ID        "delta.columnMapping.maxColumnId"
#define HIDDEN        "smelt.unused:"

typedef enum mapping { MAP_NONE, MAP_NAME, MAP_ID } mapping;

/* Does the protocol have column mapping? Where it does not, the property means nothing. */
static bool knows_mapping(const sm_delta_protocol *p)
{
    for (int32_t i = 0; i < p->n_reader_features; i++) {
        if (sm_str_is(p->reader_features[i], "columnMapping")) {
            return true;
        }
    }
    return p->min_reader == 2;
}

static sm_status mode_of(const sm_delta_protocol *p, const sm_delta_metadata *m, mapping *out,
                         sm_error *e)
{
    static const char *const names[] = {[MAP_NONE] = "none", [MAP_NAME] = "name", [MAP_ID] = "id"};
    const sm_str mode = smi_config(m, "delta.columnMapping.mode");

    static_assert(SM_COUNT(names) == MAP_ID + 1, "each mode has a name");
    *out = MAP_NONE;
    if (mode.len == 0 || !knows_mapping(p)) {
        return SM_OK;
    }
    for (int i = 0; i < SM_COUNT(names); i++) {
        if (sm_str_eq_nocase(mode, sm_str_of(names[i]))) {
            *out = (mapping)i;
            return SM_OK;
        }
    }
    return sm_fail(e, SM_UNSUPPORTED,
                   "the table maps its columns by \"%.*s\", which is not supported",
                   SM_STR_ARG(mode));
}

static const sm_field_meta *find_meta(const sm_field *f, const char *key)
{
    for (int32_t i = 0; i < f->n_meta; i++) {
        if (sm_str_is(f->meta[i].key, key)) {
            return &f->meta[i];
        }
    }
    return NULL;
}

static const sm_type *keep_used(const sm_type *t, mapping mode, sm_arena *a);

static sm_field keep_used_of(const sm_field *f, mapping mode, sm_arena *a)
{
    sm_field out = *f;
    sm_field_meta *kept = SM_NEW_ARRAY(a, sm_field_meta, f->n_meta + 1);

    out.type = keep_used(f->type, mode, a);
    out.meta = kept;
    for (int32_t i = 0; i < f->n_meta; i++) {
        const bool is_name = sm_str_is(f->meta[i].key, PHYSICAL_NAME);
        const bool is_id = sm_str_is(f->meta[i].key, FIELD_ID);
        kept[i] = f->meta[i];
        if ((is_name && mode == MAP_NONE) || (is_id && mode != MAP_ID)) {
            kept[i].key = sm_arena_strf(a, HIDDEN "%.*s", SM_STR_ARG(f->meta[i].key));
        }
    }
    SM_ASSERT(sm_str_eq(out.name, f->name));
    return out;
}

sm_str smi_meta_key(sm_str key)
{
    const size_t n = sm_str_starts(key, SM_STR(HIDDEN)) ? strlen(HIDDEN) : 0;
    return (sm_str){key.data + n, key.len - n};
}

static const sm_type *keep_used(const sm_type *t, mapping mode, sm_arena *a)
{
    if (t->n_fields == 0) {
        return t;
    }
    sm_field *fields = SM_NEW_ARRAY(a, sm_field, t->n_fields);
    for (int32_t i = 0; i < t->n_fields; i++) {
        fields[i] = keep_used_of(&t->fields[i], mode, a);
    }
    sm_type *out = SM_NEW(a, sm_type);
    *out = *t;
    out->fields = fields;
    return out;
}

/* Every field of a struct must be mapped: by its plain name another column of the files could be
 * taken for it. */
static sm_status check_names(const sm_type *t, sm_arena *a, sm_error *e)
{
    for (int32_t i = 0; i < t->n_fields; i++) {
        const sm_field *f = &t->fields[i];
        const sm_field_meta *name = find_meta(f, PHYSICAL_NAME);
        const sm_json *text = NULL;
        if (t->id == SM_TYPE_STRUCT &&
            (!name || sm_json_parse(name->json, a, &text, NULL) != SM_OK ||
             text->type != SM_JSON_STRING || text->text.len == 0)) {
            return sm_fail(e, SM_CORRUPT, "column \"%.*s\" has no physical name in a mapped table",
                           SM_STR_ARG(f->name));
        }
        SM_TRY(check_names(f->type, a, e));
    }
    return SM_OK;
}

sm_status smi_mapping_settle(const sm_delta_protocol *p, sm_delta_metadata *m, sm_arena *a,
                             sm_error *e)
{
    mapping mode = MAP_NONE;

    SM_ASSERT(m->schema && m->schema->id == SM_TYPE_STRUCT);
    SM_TRY(mode_of(p, m, &mode, e));
    if (mode != MAP_NONE) {
        SM_TRY(check_names(m->schema, a, e));
    }
    m->schema = keep_used(m->schema, mode, a);
    return SM_OK;
}

sm_str smi_physical_name(const sm_field *f, sm_arena *a)
{
    const sm_field_meta *name = find_meta(f, PHYSICAL_NAME);
    const sm_json *text = NULL;

    return name && sm_json_parse(name->json, a, &text, NULL) == SM_OK ? sm_json_text(text)
                                                                      : f->name;
}

/* ---- writing --------------------------------------------------------------------------------- */

bool sm_delta_is_mapped(const sm_delta_protocol *p, const sm_delta_metadata *m)
{
    mapping mode = MAP_NONE;
    return mode_of(p, m, &mode, NULL) == SM_OK && mode != MAP_NONE;
}

/* The id of a column of a mapped table; NULL: it has none. */
static const sm_field_meta *find_id(const sm_field *f)
{
    const sm_field_meta *id = find_meta(f, FIELD_ID);
    return id ? id : find_meta(f, HIDDEN FIELD_ID);
}

static sm_field file_field(const sm_field *f, sm_arena *a)
{
    const sm_field_meta *id = find_id(f);
    sm_field out = {.name = f->name, .type = sm_delta_file_schema(f->type, a)};

    out.is_nullable = f->is_nullable;
    if (find_meta(f, PHYSICAL_NAME)) {
        out.name = smi_physical_name(f, a);
        if (id) {
            sm_field_meta *meta = SM_NEW(a, sm_field_meta);
            *meta = (sm_field_meta){.key = SM_STR(SM_PARQUET_FIELD_ID), .json = id->json};
            out.meta = meta;
            out.n_meta = 1;
        }
    }
    return out;
}

const sm_type *sm_delta_file_schema(const sm_type *t, sm_arena *a)
{
    if (t->n_fields == 0) {
        return t;
    }
    sm_field *fields = SM_NEW_ARRAY(a, sm_field, t->n_fields);
    for (int32_t i = 0; i < t->n_fields; i++) {
        fields[i] = file_field(&t->fields[i], a);
    }
    sm_type *out = SM_NEW(a, sm_type);
    *out = *t;
    out->fields = fields;
    return out;
}

/* Gives the fields of structs that have no physical name one, and the next id. */
static const sm_type *map_new(const sm_type *t, int64_t *last_id, sm_arena *a)
{
    if (t->n_fields == 0) {
        return t;
    }
    sm_field *fields = SM_NEW_ARRAY(a, sm_field, t->n_fields);
    for (int32_t i = 0; i < t->n_fields; i++) {
        fields[i] = t->fields[i];
        if (t->id == SM_TYPE_STRUCT && !find_meta(&t->fields[i], PHYSICAL_NAME)) {
            sm_field_meta *meta = SM_NEW_ARRAY(a, sm_field_meta, t->fields[i].n_meta + 2);
            char uuid[SM_UUID_BYTES];
            sm_uuid(uuid);
            for (int32_t k = 0; k < t->fields[i].n_meta; k++) {
                meta[k + 2] = t->fields[i].meta[k];
            }
            meta[0] = (sm_field_meta){SM_STR(FIELD_ID), sm_arena_strf(a, "%" PRId64, ++*last_id)};
            meta[1] = (sm_field_meta){SM_STR(PHYSICAL_NAME), sm_arena_strf(a, "\"col-%s\"", uuid)};
            fields[i].meta = meta;
            fields[i].n_meta += 2;
        }
        fields[i].type = map_new(t->fields[i].type, last_id, a);
    }
    sm_type *out = SM_NEW(a, sm_type);
    *out = *t;
    out->fields = fields;
    return out;
}

/* The largest id that a column has. */
static int64_t largest_id(const sm_type *t)
{
    int64_t largest = 0;

    for (int32_t i = 0; i < t->n_fields; i++) {
        const sm_field_meta *meta = find_id(&t->fields[i]);
        int64_t id = 0;
        if (meta && sm_parse_i64(meta->json, &id) && id > largest) {
            largest = id;
        }
        id = largest_id(t->fields[i].type);
        largest = id > largest ? id : largest;
    }
    return largest;
}

/* Does every field of a struct have a name in files, and an id? */
static bool is_all_mapped(const sm_type *t)
{
    bool is = true;
    for (int32_t i = 0; i < t->n_fields && is; i++) {
        const sm_field *f = &t->fields[i];
        is = (t->id != SM_TYPE_STRUCT || (find_meta(f, PHYSICAL_NAME) && find_id(f))) &&
             is_all_mapped(f->type);
    }
    return is;
}

void sm_delta_map_columns(const sm_delta_protocol *p, sm_delta_metadata *m, sm_arena *a)
{
    int64_t last_id = 0, said = 0;

    if (!sm_delta_is_mapped(p, m)) {
        return;
    }
    last_id = largest_id(m->schema);
    if (sm_parse_i64(smi_config(m, MAX_ID), &said) && said > last_id) {
        last_id = said;
    }
    m->schema = map_new(m->schema, &last_id, a);
    sm_pair *config = SM_NEW_ARRAY(a, sm_pair, m->n_config + 1);
    int32_t n = 0;
    for (int32_t i = 0; i < m->n_config; i++) {
        if (!sm_str_eq_nocase(m->config[i].key, SM_STR(MAX_ID))) {
            config[n++] = m->config[i];
        }
    }
    config[n++] = (sm_pair){SM_STR(MAX_ID), sm_arena_strf(a, "%" PRId64, last_id)};
    SM_ASSERT(is_all_mapped(m->schema) && largest_id(m->schema) <= last_id);
    m->config = config;
    m->n_config = n;
}

/* Without the names and ids of a mapping that was turned off; each field of a struct is mapped to
 * the name that files have for it, which is its own. */
static const sm_type *map_to_itself(const sm_type *t, int64_t *last_id, sm_arena *a)
{
    if (t->n_fields == 0) {
        return t;
    }
    sm_field *fields = SM_NEW_ARRAY(a, sm_field, t->n_fields);
    for (int32_t i = 0; i < t->n_fields; i++) {
        sm_field *f = &fields[i];
        sm_field_meta *meta = SM_NEW_ARRAY(a, sm_field_meta, t->fields[i].n_meta + 2);
        *f = t->fields[i];
        f->n_meta = 0;
        for (int32_t k = 0; k < t->fields[i].n_meta; k++) {
            const sm_str key = smi_meta_key(t->fields[i].meta[k].key);
            if (!sm_str_is(key, PHYSICAL_NAME) && !sm_str_is(key, FIELD_ID)) {
                meta[f->n_meta++] = t->fields[i].meta[k];
            }
        }
        if (t->id == SM_TYPE_STRUCT) {
            sm_buf name = {0};
            sm_json_writer w = {.out = &name};
            sm_json_put_text(&w, f->name);
            meta[f->n_meta++] =
                (sm_field_meta){SM_STR(FIELD_ID), sm_arena_strf(a, "%" PRId64, ++*last_id)};
            meta[f->n_meta++] =
                (sm_field_meta){SM_STR(PHYSICAL_NAME), sm_arena_str(a, sm_buf_str(&name))};
            sm_buf_release(&name);
        }
        f->meta = meta;
        f->type = map_to_itself(t->fields[i].type, last_id, a);
    }
    sm_type *out = SM_NEW(a, sm_type);
    *out = *t;
    out->fields = fields;
    return out;
}

void sm_delta_map_by_name(sm_delta_metadata *m, sm_arena *a)
{
    const sm_str mode = SM_STR("delta.columnMapping.mode"), max_id = SM_STR(MAX_ID);
    sm_pair *config = SM_NEW_ARRAY(a, sm_pair, m->n_config + 2);
    int64_t last_id = largest_id(m->schema);
    int32_t n = 0;

    m->schema = map_to_itself(m->schema, &last_id, a);
    for (int32_t i = 0; i < m->n_config; i++) {
        if (!sm_str_eq_nocase(m->config[i].key, mode) &&
            !sm_str_eq_nocase(m->config[i].key, max_id)) {
            config[n++] = m->config[i];
        }
    }
    config[n++] = (sm_pair){mode, SM_STR("name")};
    config[n++] = (sm_pair){max_id, sm_arena_strf(a, "%" PRId64, last_id)};
    SM_ASSERT(is_all_mapped(m->schema) && largest_id(m->schema) <= last_id);
    m->config = config;
    m->n_config = n;
}

sm_status smi_mapping_check(const sm_snapshot *base, const sm_delta_metadata *m, sm_error *e)
{
    int64_t before = 0, after = 0;

    SM_ASSERT(m->schema && m->schema->id == SM_TYPE_STRUCT);
    if (!sm_delta_is_mapped(&base->protocol, &base->metadata)) {
        return SM_OK;
    }
    const bool is_same = sm_str_eq_nocase(smi_config(m, "delta.columnMapping.mode"),
                                          smi_config(&base->metadata, "delta.columnMapping.mode"));
    (void)sm_parse_i64(smi_config(&base->metadata, MAX_ID), &before);
    (void)sm_parse_i64(smi_config(m, MAX_ID), &after);
    if (!is_same || after < before || largest_id(m->schema) > after || !is_all_mapped(m->schema)) {
        const sm_status st = sm_fail(e, SM_UNSUPPORTED,
                                     "the table maps its columns, and the change of its schema "
                                     "would give an id to two of them");
        sm_error_todo(e, "A version from before columns were added cannot be restored.");
        return st;
    }
    return SM_OK;
}
