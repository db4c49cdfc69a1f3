/* SPDX-License-Identifier: Apache-2.0
 *
 * delta/delta_mapping.c: column mapping: by which names or ids the data files know a table's
 * columns. Called when a snapshot is opened.
 *
 * Mode    none: the files use the names of the schema, whatever the metadata of its fields says (a
 *         table whose mapping was turned off may still have it). name: the files use each field's
 *         physical name. id: its field id, or its physical name in files without ids.
 * Method  Metadata that the mode does not use is removed from the schema. So readers of files (the
 *         parquet format), statistics and partition values need not know the mode.
 *
 * Source  PROTOCOL.md, "Column Mapping" */
#include "delta/delta_int.h"

#include <assert.h>

#define PHYSICAL_NAME "delta.columnMapping.physicalName"
#define FIELD_ID      "delta.columnMapping.id"

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
    out.n_meta = 0;
    for (int32_t i = 0; i < f->n_meta; i++) {
        const bool is_name = sm_str_is(f->meta[i].key, PHYSICAL_NAME);
        const bool is_id = sm_str_is(f->meta[i].key, FIELD_ID);
        if ((!is_name || mode != MAP_NONE) && (!is_id || mode == MAP_ID)) {
            kept[out.n_meta++] = f->meta[i];
        }
    }
    SM_ASSERT(out.n_meta <= f->n_meta && sm_str_eq(out.name, f->name));
    return out;
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
