/* SPDX-License-Identifier: Apache-2.0
 *
 * table/table_schema.c: compares the schema of rows with that of the table that they go to, and
 * makes the schemas of new and wider tables. Called by table_stage.c. Columns are matched by their
 * exact names; their order may differ, their types may not. A column that the table computes may be
 * missing. */
#include "table/table_int.h"

/* The field of exactly that name, or −1: a table may have a and A. */
static int32_t find_exact(const sm_type *t, sm_str name)
{
    for (int32_t i = 0; i < t->n_fields; i++) {
        if (sm_str_eq(t->fields[i].name, name)) {
            return i;
        }
    }
    return -1;
}

/* Goes from two types that differ to the first field within them that does, also of the elements of
 * lists, and adds its name to the path; false: they differ here. */
static bool step_into(const sm_type **there, const sm_type **here, sm_buf *path)
{
    const sm_type *t = *there, *h = *here;

    for (int32_t i = 0; t->id == h->id && i < t->n_fields; i++) {
        const bool is_struct = t->id == SM_TYPE_STRUCT;
        const int32_t at = is_struct ? find_exact(h, t->fields[i].name) : i;
        if (at < 0 || sm_type_eq(t->fields[i].type, h->fields[at].type) ||
            (!is_struct && !(sm_type_is_nested(t->fields[i].type->id) &&
                             sm_type_is_nested(h->fields[at].type->id)))) {
            continue;
        }
        if (is_struct) {
            sm_buf_printf(path, ".%.*s", SM_STR_ARG(t->fields[i].name));
        }
        *there = t->fields[i].type;
        *here = h->fields[at].type;
        return true;
    }
    return false;
}

/* Two structs whose common fields are alike: names what one of them has more. SM_OK: nothing, so
 * their order differs. */
static sm_status fail_field(sm_str path, const sm_type *there, const sm_type *here, sm_error *e)
{
    const bool are_structs = there->id == SM_TYPE_STRUCT && here->id == SM_TYPE_STRUCT;

    for (int32_t i = 0; are_structs && i < here->n_fields; i++) {
        if (find_exact(there, here->fields[i].name) < 0) {
            return sm_fail(e, SM_SCHEMA, "column \"%.*s.%.*s\" is not in the table",
                           SM_STR_ARG(path), SM_STR_ARG(here->fields[i].name));
        }
    }
    for (int32_t i = 0; are_structs && i < there->n_fields; i++) {
        if (find_exact(here, there->fields[i].name) < 0) {
            return sm_fail(e, SM_SCHEMA, "column \"%.*s.%.*s\" of the table is missing here",
                           SM_STR_ARG(path), SM_STR_ARG(there->fields[i].name));
        }
    }
    return SM_OK;
}

static sm_status fail_type(const sm_field *there, const sm_field *here, sm_error *e)
{
    sm_buf a = {0}, b = {0}, path = {0};
    const sm_type *t = there->type, *h = here->type;

    sm_buf_text(&path, there->name);
    while (step_into(&t, &h, &path)) {
    }
    sm_status st = fail_field(sm_buf_str(&path), t, h, e);
    if (st == SM_OK) {
        sm_type_print(t, &a);
        sm_type_print(h, &b);
        st = sm_fail(e, SM_SCHEMA, "column \"%.*s\" is %.*s in the table and %.*s here",
                     SM_STR_ARG(sm_buf_str(&path)), SM_STR_ARG(sm_buf_str(&a)),
                     SM_STR_ARG(sm_buf_str(&b)));
    }
    sm_buf_reset(&a);
    sm_buf_reset(&b);
    sm_type_print(there->type, &a);
    sm_type_print(here->type, &b);
    if (!sm_type_is_nested(there->type->id) && !sm_type_is_nested(here->type->id) &&
        sm_delta_may_widen(there->type, here->type)) {
        sm_error_todo(e,
                      "Cast it to %.*s, or widen it first: smelt table alter URI 'ALTER COLUMN "
                      "%.*s TYPE %.*s'.",
                      SM_STR_ARG(sm_buf_str(&a)), SM_STR_ARG(there->name),
                      SM_STR_ARG(sm_buf_str(&b)));
    } else {
        sm_error_todo(e, "Cast it to %.*s, or overwrite the table.", SM_STR_ARG(sm_buf_str(&a)));
    }
    sm_buf_release(&a);
    sm_buf_release(&b);
    sm_buf_release(&path);
    return st;
}

/* A column that only one side has; the advice is the nearest name of the other side. */
static sm_status fail_missing(const sm_type *where, sm_str name, const char *text, sm_error *e)
{
    sm_arena *a = sm_arena_new(NULL);
    sm_str *names = SM_NEW_ARRAY(a, sm_str, where->n_fields + 1);

    for (int32_t i = 0; i < where->n_fields; i++) {
        names[i] = sm_arena_str(a, where->fields[i].name);
    }
    const char *nearest = sm_nearest_name(name, names, where->n_fields);
    const sm_status st = sm_fail(e, SM_SCHEMA, "column \"%.*s\" %s", SM_STR_ARG(name), text);
    if (nearest) {
        sm_error_todo(e, "Is it \"%s\"?", nearest);
    }
    sm_arena_free(a);
    return st;
}

static sm_status fail_names(sm_str within, sm_str a, sm_str b, sm_error *e)
{
    const char *where = within.len > 0 ? " in column \"" : "";
    const char *end = within.len > 0 ? "\"" : "";

    const sm_status st =
        sm_str_eq(a, b)
            ? sm_fail(e, SM_SCHEMA, "two columns%s%.*s%s are called \"%.*s\"", where,
                      SM_STR_ARG(within), end, SM_STR_ARG(a))
            : sm_fail(e, SM_SCHEMA, "the columns \"%.*s\" and \"%.*s\"%s%.*s%s differ in case only",
                      SM_STR_ARG(a), SM_STR_ARG(b), where, SM_STR_ARG(within), end);
    sm_error_todo(e, "Rename one of them: few readers of Delta tables tell them apart.");
    return st;
}

/* Refuses two fields of one struct whose names differ in case only, or not at all: most readers of
 * Delta ignore case, and cannot open such a table. `within` is the struct's path. */
static sm_status check_names(const sm_type *t, sm_str within, sm_error *e)
{
    sm_status st = SM_OK;
    sm_arena *a = sm_arena_new(NULL);
    sm_map *lower = sm_map_new(a); /* of a struct's names -> field */

    for (int32_t i = 0; i < t->n_fields && st == SM_OK; i++) {
        const sm_field *f = &t->fields[i];
        const sm_str path = sm_arena_strf(a, "%.*s%s%.*s", SM_STR_ARG(within),
                                          within.len ? "." : "", SM_STR_ARG(f->name));
        if (t->id == SM_TYPE_STRUCT) {
            void **place = sm_map_at(lower, sm_text_lower(f->name, a));
            const sm_field *before = *place;
            if (before) {
                st = fail_names(within, before->name, f->name, e);
            }
            *place = (void *)f;
        }
        if (st == SM_OK) {
            st = check_names(f->type, t->id == SM_TYPE_STRUCT ? path : within, e);
        }
    }
    sm_arena_free(a);
    return st;
}

sm_status smi_schema_check(const sm_type *rows, sm_error *e)
{
    for (int32_t i = 0; i < rows->n_fields; i++) {
        const sm_field *f = &rows->fields[i];
        if (f->type->id == SM_TYPE_NULL) {
            const sm_status st = sm_fail(
                e, SM_UNSUPPORTED, "column \"%.*s\" has no type, only NULL", SM_STR_ARG(f->name));
            sm_error_todo(e, "Cast it: CAST(NULL AS VARCHAR).");
            return st;
        }
    }
    return check_names(rows, SM_STR(""), e);
}

sm_status smi_schema_match(const sm_type *table, const sm_type *rows, sm_arena *a, int32_t **order,
                           sm_error *e)
{
    bool is_alike = true;
    int32_t *places = SM_NEW_ARRAY(a, int32_t, table->n_fields + 1);

    SM_TRY(smi_schema_check(rows, e));
    for (int32_t i = 0; i < table->n_fields; i++) {
        const sm_field *there = &table->fields[i];
        const int32_t at = find_exact(rows, there->name);
        if (at < 0 && !smi_field_is_computed(there)) {
            return fail_missing(rows, there->name, "of the table is missing here", e);
        }
        if (at >= 0 && !sm_type_eq(there->type, rows->fields[at].type)) {
            return fail_type(there, &rows->fields[at], e);
        }
        places[i] = at;
        is_alike = is_alike && at == i;
    }
    for (int32_t i = 0; i < rows->n_fields; i++) {
        if (find_exact(table, rows->fields[i].name) < 0) {
            return fail_missing(table, rows->fields[i].name, "is not in the table", e);
        }
    }
    *order = is_alike ? NULL : places;
    return SM_OK;
}

/* ---- a new table's --------------------------------------------------------------------------- */

static const sm_type *nullable_all(const sm_type *t, sm_arena *a);

static sm_field nullable_field(const sm_field *f, sm_arena *a)
{
    return (sm_field){
        .name = sm_arena_str(a, f->name),
        .type = nullable_all(f->type, a),
        .is_nullable = true,
    };
}

static const sm_type *nullable_all(const sm_type *t, sm_arena *a)
{
    if (t->n_fields == 0) {
        return sm_type_copy(a, t);
    }
    sm_field *fields = SM_NEW_ARRAY(a, sm_field, t->n_fields);
    for (int32_t i = 0; i < t->n_fields; i++) {
        fields[i] = nullable_field(&t->fields[i], a);
    }
    sm_type *copy = SM_NEW(a, sm_type);
    *copy = *t;
    copy->fields = fields;
    if (t->id == SM_TYPE_MAP) {
        fields[0].is_nullable = false; /* a key is never NULL */
    }
    return copy;
}

sm_status smi_schema_new(const sm_type *rows, sm_arena *a, const sm_type **out, sm_error *e)
{
    sm_buf json = {0};

    SM_TRY(smi_schema_check(rows, e));
    const sm_type *schema = nullable_all(rows, a);
    const sm_status st = sm_delta_schema_json(schema, &json, e);
    sm_buf_release(&json);
    *out = schema;
    return st;
}

/* ---- a wider table --------------------------------------------------------------------------- */

/* `table` with the further fields of `rows` at the end of each struct, also within lists and maps;
 * `table` itself where there are none. */
static const sm_type *widen(const sm_type *table, const sm_type *rows, sm_arena *a)
{
    const bool is_struct = table->id == SM_TYPE_STRUCT;
    bool is_wider = false;
    int32_t n = table->n_fields;

    if (table->id != rows->id || !sm_type_is_nested(table->id)) {
        return table;
    }
    sm_field *fields = SM_NEW_ARRAY(a, sm_field, n + rows->n_fields + 1);
    for (int32_t i = 0; i < table->n_fields; i++) {
        const int32_t at = is_struct ? find_exact(rows, table->fields[i].name) : i;
        fields[i] = table->fields[i];
        if (at >= 0) {
            fields[i].type = widen(table->fields[i].type, rows->fields[at].type, a);
        }
        is_wider = is_wider || fields[i].type != table->fields[i].type;
    }
    for (int32_t i = 0; is_struct && i < rows->n_fields; i++) {
        if (find_exact(table, rows->fields[i].name) < 0) {
            fields[n++] = nullable_field(&rows->fields[i], a);
        }
    }
    if (!is_wider && n == table->n_fields) {
        return table;
    }
    sm_type *out = SM_NEW(a, sm_type);
    *out = *table;
    out->fields = fields;
    out->n_fields = n;
    return out;
}

sm_status smi_schema_widen(const sm_type *table, const sm_type *rows, sm_arena *a,
                           const sm_type **out, sm_error *e)
{
    sm_buf json = {0};

    SM_TRY(smi_schema_check(rows, e));
    const sm_type *schema = widen(table, rows, a);
    const sm_status st = schema == table ? SM_OK : sm_delta_schema_json(schema, &json, e);
    sm_buf_release(&json);
    *out = schema;
    return st;
}

/* ---- NOT NULL -------------------------------------------------------------------------------- */

/* Must something inside a value not be NULL? Elements of lists and values of maps count. Keys of
 * maps do not: they are never NULL. */
static bool has_required(const sm_type *t)
{
    for (int32_t i = 0; i < t->n_fields; i++) {
        const bool is_key = t->id == SM_TYPE_MAP && i == 0;
        if ((!t->fields[i].is_nullable && !is_key) || has_required(t->fields[i].type)) {
            return true;
        }
    }
    return false;
}

sm_status smi_schema_required(const sm_type *table, sm_arena *a, int32_t **out, int32_t *n,
                              sm_error *e)
{
    int32_t *columns = SM_NEW_ARRAY(a, int32_t, table->n_fields + 1);

    *n = 0;
    for (int32_t i = 0; i < table->n_fields; i++) {
        if (has_required(table->fields[i].type)) {
            return sm_fail(e, SM_UNSUPPORTED, "column \"%.*s\" has NOT NULL inside it",
                           SM_STR_ARG(table->fields[i].name));
        }
        if (!table->fields[i].is_nullable) {
            columns[(*n)++] = i;
        }
    }
    *out = columns;
    return SM_OK;
}
