/* SPDX-License-Identifier: Apache-2.0
 *
 * format/parquet/parquet_schema.c: translates between the schema tree of a file and types, finds
 * wanted columns in a file, and makes the tree to write.
 *
 * Groups   A group annotated as LIST or MAP with one repeated child is a list or a map. Which node
 *          is its element follows LogicalTypes.md's rules for old writers. A repeated node without
 *          annotation is a list of itself. A map without values is a list of its keys. Annotations
 *          on other groups are ignored: the group is a struct.
 * Leaves   A leaf has the type of its annotation, if that is known here and fits the physical type;
 *          else the physical type's. A UUID is read as text. INT96 is a local timestamp, as in
 *          DuckDB and Arrow, and may be read as an instant, which Spark means by it. Types that
 *          smelt does not have (INTERVAL, GEOMETRY, a TIME in UTC) are noted in the field
 *          and refused when it is read; a declared column reads them as its own type.
 * Variants A group that is annotated as VARIANT, or wanted as one, is a text: parquet_variant.c.
 * Finding  A wanted field with Delta's column mapping is found by its id or physical name. Any
 *          other is found by its name, or ignoring case if only one column matches. A field that is
 *          not found is null.
 * Source   apache/parquet-format, LogicalTypes.md "Nested Types"; delta-io/delta PROTOCOL.md,
 *          "Column Mapping"
 *
 * Called by parquet_reader.c and parquet_writer.c. */

#include <stdio.h>

#include "base/json_doc.h"
#include "base/text.h"
#include "format/parquet/parquet_int.h"

/* ---- what a node is -------------------------------------------------------------------------- */

typedef enum node_kind { NODE_LEAF, NODE_STRUCT, NODE_LIST, NODE_MAP } node_kind;

/* A node. `is_item`: seen as the element of a list, so that its own repetition does not count. */
typedef struct node_view {
    const smi_pq_node *node;
    bool is_item;
} node_view;

typedef struct node_form {
    node_kind kind;
    const smi_pq_node *repeated; /* LIST, MAP: the node that repeats */
    node_view items[2];          /* the element; key and value */
    int n_items;                 /* MAP: 1 where it has no values */
} node_form;

/* Is the repeated child itself the element (a list of two levels)? LogicalTypes.md, rules 1 to 4 */
static bool is_two_level(const smi_pq_node *list, const smi_pq_node *repeated)
{
    if (repeated->physical != SMI_PQ_GROUP || repeated->n_children != 1) {
        return true;
    }
    if (repeated->children[0]->repetition == SMI_PQ_REPEATED ||
        sm_str_is(repeated->name, "array")) {
        return true;
    }
    const sm_str tuple = SM_STR("_tuple");
    return repeated->name.len == list->name.len + tuple.len &&
           sm_str_starts(repeated->name, list->name) && sm_str_ends(repeated->name, tuple);
}

static node_form form_of(node_view v)
{
    const smi_pq_node *n = v.node;
    if (n->repetition == SMI_PQ_REPEATED && !v.is_item) {
        return (node_form){NODE_LIST, n, {{n, true}}, 1};
    }
    if (n->physical != SMI_PQ_GROUP) {
        return (node_form){.kind = NODE_LEAF};
    }
    const smi_pq_node *child = n->n_children == 1 ? n->children[0] : NULL;
    if (!child || child->repetition != SMI_PQ_REPEATED) {
        return (node_form){.kind = NODE_STRUCT};
    }
    if (n->logical == SMI_PQ_LIST) {
        const node_view item = is_two_level(n, child) ? (node_view){child, true}
                                                      : (node_view){child->children[0], false};
        return (node_form){NODE_LIST, child, {item}, 1};
    }
    if ((n->logical == SMI_PQ_MAP || n->logical == SMI_PQ_MAP_KEY_VALUE) &&
        (child->n_children == 1 || child->n_children == 2)) {
        node_form f = {NODE_MAP, child, {{child->children[0], false}}, child->n_children};
        if (f.n_items == 2) {
            f.items[1].node = child->children[1];
        }
        return f;
    }
    return (node_form){.kind = NODE_STRUCT};
}

static bool view_is_nullable(node_view v)
{
    return !v.is_item && v.node->repetition == SMI_PQ_OPTIONAL;
}

/* ---- types of nodes -------------------------------------------------------------------------- */

static const sm_type *integer_type(const smi_pq_node *n)
{
    switch (n->bits) {
    case 8:
        return n->is_signed ? &sm_type_i8 : &sm_type_u8;
    case 16:
        return n->is_signed ? &sm_type_i16 : &sm_type_u16;
    case 32:
        return n->is_signed ? &sm_type_i32 : &sm_type_u32;
    default:
        return n->is_signed ? &sm_type_i64 : &sm_type_u64;
    }
}

static const sm_type *timestamp_type(const smi_pq_node *n)
{
    return n->is_utc ? &sm_type_timestamp : &sm_type_timestamp_ntz;
}

static const sm_type *scalar_type(const smi_pq_node *n)
{
    switch (n->physical) {
    case SMI_PQ_BOOLEAN:
        return &sm_type_bool;
    case SMI_PQ_INT32:
        return n->logical == SMI_PQ_INTEGER && n->bits <= 32           ? integer_type(n)
               : n->logical == SMI_PQ_DATE                             ? &sm_type_date
               : n->logical == SMI_PQ_TIME && n->unit == SMI_PQ_MILLIS ? &sm_type_time
                                                                       : &sm_type_i32;
    case SMI_PQ_INT64:
        return n->logical == SMI_PQ_INTEGER && n->bits == 64           ? integer_type(n)
               : n->logical == SMI_PQ_TIMESTAMP                        ? timestamp_type(n)
               : n->logical == SMI_PQ_TIME && n->unit != SMI_PQ_MILLIS ? &sm_type_time
                                                                       : &sm_type_i64;
    case SMI_PQ_INT96:
        return &sm_type_timestamp_ntz;
    case SMI_PQ_FLOAT:
        return &sm_type_f32;
    case SMI_PQ_DOUBLE:
        return &sm_type_f64;
    case SMI_PQ_BYTE_ARRAY:
        return n->logical == SMI_PQ_STRING ? &sm_type_string : &sm_type_binary;
    default:
        return n->logical == SMI_PQ_FLOAT16 && n->fixed_bytes == 2 ? &sm_type_f32
               : n->logical == SMI_PQ_UUID && n->fixed_bytes == 16 ? &sm_type_string
                                                                   : &sm_type_binary;
    }
}

static sm_status leaf_type(const smi_pq_node *n, sm_arena *a, const sm_type **out, sm_error *e)
{
    if (n->logical == SMI_PQ_UNKNOWN) {
        *out = &sm_type_null;
        return SM_OK;
    }
    const bool may_be_decimal = n->physical == SMI_PQ_INT32 || n->physical == SMI_PQ_INT64 ||
                                n->physical == SMI_PQ_BYTE_ARRAY || n->physical == SMI_PQ_FIXED;
    if (n->logical == SMI_PQ_DECIMAL && may_be_decimal) {
        if (n->precision < 1 || n->precision > 38 || n->scale < 0 || n->scale > n->precision) {
            return sm_fail(e, SM_UNSUPPORTED, "column \"%.*s\" is DECIMAL(%d,%d)",
                           SM_STR_ARG(n->name), n->precision, n->scale);
        }
        *out = sm_type_decimal(a, n->precision, n->scale);
        return SM_OK;
    }
    *out = scalar_type(n);
    return SM_OK;
}

/* The name of the node's type, if smelt does not have it; else NULL. */
static const char *foreign_type(const smi_pq_node *n)
{
    switch (n->logical) {
    case SMI_PQ_INTERVAL:
        return n->physical == SMI_PQ_FIXED ? "INTERVAL" : NULL;
    case SMI_PQ_GEOMETRY:
        return "GEOMETRY";
    case SMI_PQ_GEOGRAPHY:
        return "GEOGRAPHY";
    case SMI_PQ_TIME:
        return n->is_utc ? "TIME WITH TIME ZONE" : NULL;
    default:
        return NULL;
    }
}

/* The key under which a field notes the name of its foreign type. */
#define FOREIGN_KEY "smelt.foreign"

static void note_foreign(const smi_pq_node *n, sm_arena *a, sm_field *field)
{
    const char *const name = foreign_type(n);
    if (name) {
        sm_field_meta *const meta = SM_NEW(a, sm_field_meta);
        *meta = (sm_field_meta){SM_STR(FOREIGN_KEY), sm_str_of(name)};
        field->meta = meta;
        field->n_meta = 1;
    }
}

static sm_status type_of(node_view v, sm_arena *a, const sm_type **out, sm_error *e);

static sm_status struct_of(const smi_pq_node *n, sm_arena *a, const sm_type **out, sm_error *e)
{
    sm_field *fields = SM_NEW_ARRAY(a, sm_field, n->n_children);
    for (int32_t i = 0; i < n->n_children; i++) {
        const node_view child = {n->children[i], false};
        fields[i].name = child.node->name;
        fields[i].is_nullable = view_is_nullable(child);
        note_foreign(child.node, a, &fields[i]);
        SM_TRY(type_of(child, a, &fields[i].type, e));
    }
    *out = sm_type_struct(a, fields, n->n_children);
    return SM_OK;
}

static sm_status type_of(node_view v, sm_arena *a, const sm_type **out, sm_error *e)
{
    const node_form f = form_of(v);
    const smi_pq_node *n = v.node;
    if (f.kind == NODE_LEAF) {
        return leaf_type(n, a, out, e);
    }
    if (f.kind == NODE_STRUCT && n->logical == SMI_PQ_VARIANT && smi_pq_is_variant(n)) {
        *out = &sm_type_variant;
        return SM_OK;
    }
    if (f.kind == NODE_STRUCT) {
        return struct_of(n, a, out, e);
    }
    sm_field items[2] = {{.name = SM_STR("key")}, {.name = SM_STR("value")}};
    for (int i = 0; i < f.n_items; i++) {
        items[i].is_nullable = view_is_nullable(f.items[i]);
        note_foreign(f.items[i].node, a, &items[i]);
        SM_TRY(type_of(f.items[i], a, &items[i].type, e));
    }
    if (f.n_items == 2) {
        *out = sm_type_map(a, items[0], items[1]);
    } else {
        items[0].name = SM_STR("element");
        *out = sm_type_list(a, items[0]);
    }
    return SM_OK;
}

sm_status smi_pq_schema_of(const smi_pq_footer *f, sm_arena *a, const sm_type **out, sm_error *e)
{
    const sm_type *t = NULL;
    SM_TRY(type_of((node_view){f->root, true}, a, &t, e));
    *out = sm_type_copy(a, t); /* names are in the footer's bytes, which may be freed before `a` */
    return SM_OK;
}

/* ---- names in messages ----------------------------------------------------------------------- */

static const char *logical_name(const smi_pq_node *n)
{
    static const char *const names[] = {
        [SMI_PQ_PLAIN_TYPE] = "",
        [SMI_PQ_STRING] = "STRING",
        [SMI_PQ_MAP] = "MAP",
        [SMI_PQ_LIST] = "LIST",
        [SMI_PQ_DECIMAL] = "DECIMAL",
        [SMI_PQ_DATE] = "DATE",
        [SMI_PQ_TIME] = "TIME",
        [SMI_PQ_UNKNOWN] = "UNKNOWN",
        [SMI_PQ_FLOAT16] = "FLOAT16",
        [SMI_PQ_MAP_KEY_VALUE] = "MAP",
        [SMI_PQ_TIMESTAMP] = "TIMESTAMP",
        [SMI_PQ_INTEGER] = "INTEGER",
        [SMI_PQ_UUID] = "UUID",
        [SMI_PQ_INTERVAL] = "INTERVAL",
        [SMI_PQ_GEOMETRY] = "GEOMETRY",
        [SMI_PQ_GEOGRAPHY] = "GEOGRAPHY",
        [SMI_PQ_VARIANT] = "VARIANT",
    };
    _Static_assert(SM_COUNT(names) == SMI_PQ_VARIANT + 1, "a name for each logical type");
    return names[n->logical];
}

static void print_node(const smi_pq_node *n, sm_buf *out)
{
    static const char *const names[] = {"BOOLEAN", "INT32",  "INT64",      "INT96",
                                        "FLOAT",   "DOUBLE", "BYTE_ARRAY", "FIXED_LEN_BYTE_ARRAY",
                                        "group"};
    _Static_assert(SM_COUNT(names) == SMI_PQ_GROUP + 1, "a name for each physical type");
    sm_buf_printf(out, "%s", names[n->physical]);
    if (n->physical == SMI_PQ_FIXED) {
        sm_buf_printf(out, "(%d)", n->fixed_bytes);
    }
    if (n->logical == SMI_PQ_DECIMAL) {
        sm_buf_printf(out, " (DECIMAL(%d,%d))", n->precision, n->scale);
    } else if (n->logical == SMI_PQ_INTEGER) {
        sm_buf_printf(out, " (INTEGER(%d,%s))", n->bits, n->is_signed ? "signed" : "unsigned");
    } else if (n->logical != SMI_PQ_PLAIN_TYPE) {
        sm_buf_printf(out, " (%s)", logical_name(n));
    }
}

/* ---- finding wanted types -------------------------------------------------------------------- */

typedef struct finder {
    const smi_pq_footer *footer;
    sm_str file;
    sm_arena *mem;
    sm_error *e;
} finder;

/* The place at which a wanted type is looked for: the levels of its slots, and its name in
 * messages. */
typedef struct spot {
    uint8_t slot_def, slot_rep;
    sm_str path;
} spot;

static sm_status fail_type(finder *f, const smi_pq_node *n, const sm_type *want, sm_str path)
{
    sm_buf have = {0}, wanted = {0};
    print_node(n, &have);
    if (want->is_variant) {
        sm_buf_printf(&wanted, "VARIANT");
    } else {
        sm_type_print(want, &wanted);
    }
    const sm_status st =
        sm_fail(f->e, SM_SCHEMA, "column \"%.*s\" is %.*s in the file, %.*s is wanted",
                SM_STR_ARG(path), SM_STR_ARG(sm_buf_str(&have)), SM_STR_ARG(sm_buf_str(&wanted)));
    sm_error_place_str(f->e, f->file, 0, -1);
    sm_buf_release(&have);
    sm_buf_release(&wanted);
    return st;
}

static const sm_field_meta *meta_of(const sm_field *f, const char *key)
{
    for (int32_t i = 0; i < f->n_meta; i++) {
        if (sm_str_is(f->meta[i].key, key)) {
            return &f->meta[i];
        }
    }
    return NULL;
}

/* Fails where the field's type was found to be one that smelt does not have. */
static sm_status check_foreign(finder *f, const sm_field *want, sm_str path)
{
    const sm_field_meta *const meta = meta_of(want, FOREIGN_KEY);
    if (!meta) {
        return SM_OK;
    }
    sm_fail(f->e, SM_UNSUPPORTED, "column \"%.*s\" is %.*s in the file, a type that smelt lacks",
            SM_STR_ARG(path), SM_STR_ARG(meta->json));
    sm_error_todo(f->e,
                  "Leave it out, or read it as what it is stored as: read_parquet(…, "
                  "columns => {name: '%s', …}).",
                  want->type->id == SM_TYPE_TIME     ? "TIME"
                  : want->type->id == SM_TYPE_BINARY ? "BLOB"
                                                     : "STRUCT(…)");
    sm_error_place_str(f->e, f->file, 0, -1);
    return SM_UNSUPPORTED;
}

static const smi_pq_node *find_by_name(const smi_pq_node *group, sm_str name, bool exactly)
{
    const smi_pq_node *found = NULL;
    for (int32_t i = 0; i < group->n_children; i++) {
        if (sm_str_eq(group->children[i]->name, name)) {
            return group->children[i];
        }
    }
    for (int32_t i = 0; i < group->n_children && !exactly; i++) {
        if (sm_str_eq_nocase(group->children[i]->name, name)) {
            if (found) {
                return NULL;
            }
            found = group->children[i];
        }
    }
    return found;
}

/* Finds a wanted field among a group's children: by its id if the file has ids, as Delta's id mode
 * asks; else by its physical name if it has one; else by its name. */
static const smi_pq_node *find_child(finder *f, const smi_pq_node *group, const sm_field *want)
{
    const sm_field_meta *id_meta = meta_of(want, "delta.columnMapping.id");
    const sm_field_meta *name_meta = meta_of(want, "delta.columnMapping.physicalName");
    int64_t id = 0;
    bool has_ids = false;
    if (id_meta && sm_parse_i64(id_meta->json, &id)) {
        for (int32_t i = 0; i < group->n_children; i++) {
            has_ids = has_ids || group->children[i]->has_field_id;
            if (group->children[i]->has_field_id && group->children[i]->field_id == id) {
                return group->children[i];
            }
        }
    }
    const sm_json *name = NULL;
    if (name_meta && sm_json_parse(name_meta->json, f->mem, &name, NULL) == SM_OK) {
        const smi_pq_node *n = find_by_name(group, sm_json_text(name), true);
        /* A node of that name with another id belongs to another column. */
        return n && id_meta && n->has_field_id && n->field_id != id ? NULL : n;
    }
    return has_ids ? NULL : find_by_name(group, want->name, false);
}

static int32_t first_leaf(const smi_pq_node *n)
{
    if (n->physical != SMI_PQ_GROUP) {
        return n->leaf;
    }
    for (int32_t i = 0; i < n->n_children; i++) {
        const int32_t leaf = first_leaf(n->children[i]);
        if (leaf >= 0) {
            return leaf;
        }
    }
    return -1;
}

/* Chooses the leaf whose levels a nested shape reads; missing children read the same. */
static void choose_leaf(smi_pq_shape *s, const smi_pq_node *n)
{
    SM_ASSERT(s->kind == SMI_PQ_SHAPE_STRUCT || s->kind == SMI_PQ_SHAPE_LIST);
    s->leaf = -1;
    for (int32_t i = 0; i < s->n_children && s->leaf < 0; i++) {
        s->leaf = s->children[i].leaf;
    }
    if (s->leaf < 0) {
        s->leaf = first_leaf(n);
    }
    for (int32_t i = 0; i < s->n_children; i++) {
        if (s->children[i].leaf < 0) {
            s->children[i].leaf = s->leaf;
        }
    }
    if (s->leaf < 0) {
        s->kind = SMI_PQ_SHAPE_MISSING; /* a group without leaves has no levels anywhere */
    }
}

static sm_status find_shape(finder *f, node_view v, const sm_type *want, spot at,
                            smi_pq_shape *out);

static void set_missing(const sm_type *want, spot at, smi_pq_shape *out)
{
    *out = (smi_pq_shape){
        .kind = SMI_PQ_SHAPE_MISSING,
        .type = want,
        .leaf = -1,
        .slot_def = at.slot_def,
        .slot_rep = at.slot_rep,
    };
}

static sm_status find_leaf(finder *f, const smi_pq_node *n, spot at, smi_pq_shape *out)
{
    const sm_type *natural = NULL;
    SM_TRY(leaf_type(n, f->mem, &natural, f->e));
    SM_ENSURE(natural);
    out->leaf = n->leaf;
    if (natural->id == SM_TYPE_NULL) {
        out->kind = SMI_PQ_SHAPE_MISSING;
        return SM_OK;
    }
    out->kind = SMI_PQ_SHAPE_LEAF;
    if (!smi_pq_convert_find(n, natural, out->type, &out->convert)) {
        return fail_type(f, n, out->type, at.path);
    }
    return SM_OK;
}

static sm_status find_struct(finder *f, const smi_pq_node *n, spot at, smi_pq_shape *out)
{
    const sm_type *want = out->type;
    out->kind = SMI_PQ_SHAPE_STRUCT;
    out->n_children = want->n_fields;
    out->children = SM_NEW_ARRAY(f->mem, smi_pq_shape, want->n_fields);
    for (int32_t i = 0; i < want->n_fields; i++) {
        const sm_field *field = &want->fields[i];
        const smi_pq_node *child = find_child(f, n, field);
        spot below = at;
        below.path =
            sm_arena_strf(f->mem, "%.*s.%.*s", SM_STR_ARG(at.path), SM_STR_ARG(field->name));
        if (child) {
            SM_TRY(check_foreign(f, field, below.path));
            SM_TRY(find_shape(f, (node_view){child, false}, field->type, below, &out->children[i]));
        } else {
            set_missing(field->type, below, &out->children[i]);
        }
    }
    choose_leaf(out, n);
    return SM_OK;
}

/* The group is read as the struct that it is; its texts are made of that. */
static sm_status find_variant(finder *f, const smi_pq_node *n, spot at, smi_pq_shape *out)
{
    const sm_type *group = NULL;
    if (!smi_pq_is_variant(n)) {
        return fail_type(f, n, out->type, at.path);
    }
    SM_TRY(struct_of(n, f->mem, &group, f->e));
    out->kind = SMI_PQ_SHAPE_VARIANT;
    out->path = at.path;
    out->n_children = 1;
    out->children = SM_NEW(f->mem, smi_pq_shape);
    *out->children = *out;
    out->children->type = group;
    SM_TRY(find_struct(f, n, at, out->children));
    out->leaf = out->children->leaf;
    SM_ASSERT(out->children->kind == SMI_PQ_SHAPE_STRUCT); /* it has a leaf: metadata */
    return SM_OK;
}

static sm_status find_list(finder *f, const smi_pq_node *n, const node_form *form, spot at,
                           smi_pq_shape *out)
{
    const sm_type *want = out->type;
    out->kind = SMI_PQ_SHAPE_LIST;
    out->item_def = form->repeated->max_def;
    out->item_rep = form->repeated->max_rep;
    SM_ASSERT(out->item_def > out->def && out->item_def > at.slot_def);
    SM_ASSERT(out->item_rep == at.slot_rep + 1); /* no other list is between the two */
    out->n_children = want->n_fields;
    out->children = SM_NEW_ARRAY(f->mem, smi_pq_shape, want->n_fields);
    for (int32_t i = 0; i < want->n_fields; i++) {
        const spot below = {out->item_def, out->item_rep,
                            sm_arena_strf(f->mem, "%.*s.%.*s", SM_STR_ARG(at.path),
                                          SM_STR_ARG(want->fields[i].name))};
        if (i < form->n_items) {
            SM_TRY(check_foreign(f, &want->fields[i], below.path));
            SM_TRY(find_shape(f, form->items[i], want->fields[i].type, below, &out->children[i]));
        } else {
            set_missing(want->fields[i].type, below, &out->children[i]);
        }
    }
    choose_leaf(out, n);
    return SM_OK;
}

static sm_status find_shape(finder *f, node_view v, const sm_type *want, spot at, smi_pq_shape *out)
{
    const smi_pq_node *n = v.node;
    const node_form form = form_of(v);
    *out = (smi_pq_shape){.type = want,
                          .leaf = -1,
                          .def = n->max_def,
                          .slot_def = at.slot_def,
                          .slot_rep = at.slot_rep};
    if (form.kind == NODE_LIST && form.repeated == n) {
        out->def--; /* without an annotation, the list is null only where its parent is */
    }
    if (want->is_variant) {
        return form.kind == NODE_STRUCT ? find_variant(f, n, at, out)
                                        : fail_type(f, n, want, at.path);
    }
    if (form.kind == NODE_LEAF && !sm_type_is_nested(want->id)) {
        return find_leaf(f, n, at, out);
    }
    if (form.kind == NODE_STRUCT && want->id == SM_TYPE_STRUCT) {
        return find_struct(f, n, at, out);
    }
    const bool is_list = form.kind == NODE_LIST || (form.kind == NODE_MAP && form.n_items == 1);
    if ((is_list && want->id == SM_TYPE_LIST) ||
        (form.kind == NODE_MAP && want->id == SM_TYPE_MAP)) {
        return find_list(f, n, &form, at, out);
    }
    return fail_type(f, n, want, at.path);
}

sm_status smi_pq_shape_of(const smi_pq_footer *f, const sm_field *want, sm_str file, sm_arena *a,
                          smi_pq_shape *out, sm_error *e)
{
    finder find = {.footer = f, .file = file, .mem = a, .e = e};
    const spot at = {0, 0, want->name};
    const smi_pq_node *n = find_child(&find, f->root, want);
    if (!n) {
        set_missing(want->type, at, out);
        return SM_OK;
    }
    SM_TRY(check_foreign(&find, want, at.path));
    SM_TRY(find_shape(&find, (node_view){n, false}, want->type, at, out));
    out->is_flat = out->kind == SMI_PQ_SHAPE_LEAF && n->max_def <= 1 && n->max_rep == 0;
    return SM_OK;
}

/* ---- unknown columns: those that no field takes ---------------------------------------------- */

typedef struct extra_list {
    finder find;
    sm_str *paths;
    int64_t n, cap;
} extra_list;

/* Adds the children of a group that are no field of t. */
static void add_extra(extra_list *l, const smi_pq_node *group, const sm_type *t, sm_str path)
{
    for (int32_t i = 0; i < group->n_children; i++) {
        const smi_pq_node *child = group->children[i];
        bool is_taken = false;
        for (int32_t k = 0; k < t->n_fields && !is_taken; k++) {
            is_taken = find_child(&l->find, group, &t->fields[k]) == child;
        }
        if (!is_taken) {
            l->paths = sm_arena_grow(l->find.mem, l->paths, l->n, &l->cap, sizeof(*l->paths));
            l->paths[l->n++] = sm_arena_strf(l->find.mem, "%.*s%s%.*s", SM_STR_ARG(path),
                                             path.len > 0 ? "." : "", SM_STR_ARG(child->name));
        }
    }
}

/* Adds those at and below a node that the query takes whole. */
static void add_extra_below(extra_list *l, node_view v, const sm_type *t, sm_str path)
{
    const node_form form = form_of(v);
    for (int i = 0; i < form.n_items && i < t->n_fields && form.kind != NODE_STRUCT; i++) {
        add_extra_below(l, form.items[i], t->fields[i].type, path);
    }
    if (form.kind != NODE_STRUCT || t->id != SM_TYPE_STRUCT) {
        return;
    }
    add_extra(l, v.node, t, path);
    for (int32_t i = 0; i < t->n_fields; i++) {
        const smi_pq_node *child = find_child(&l->find, v.node, &t->fields[i]);
        if (child) {
            const sm_str below =
                sm_arena_strf(l->find.mem, "%.*s%s%.*s", SM_STR_ARG(path), path.len > 0 ? "." : "",
                              SM_STR_ARG(t->fields[i].name));
            add_extra_below(l, (node_view){child, false}, t->fields[i].type, below);
        }
    }
}

/* Adds those at and below the column or field that a path leads to. */
static void add_extra_at(extra_list *l, const smi_pq_node *root, const sm_type *schema,
                         const sm_path *at)
{
    const smi_pq_node *n = root;
    const sm_type *t = schema;
    sm_str path = SM_STR("");
    for (int32_t i = 0; i < at->n && n; i++) {
        SM_ASSERT(at->items[i] >= 0 && at->items[i] < t->n_fields);
        const sm_field *field = &t->fields[at->items[i]];
        n = find_child(&l->find, n, field);
        t = field->type;
        path = sm_arena_strf(l->find.mem, "%.*s%s%.*s", SM_STR_ARG(path), i > 0 ? "." : "",
                             SM_STR_ARG(field->name));
    }
    if (n) {
        add_extra_below(l, (node_view){n, false}, t, path);
    }
}

void smi_pq_unknown(const smi_pq_footer *f, const sm_type *schema, const sm_projection *want,
                    sm_arena *a, sm_str **out, int64_t *n)
{
    extra_list l = {.find = {.footer = f, .mem = a}};
    if (want->count_unknown) {
        add_extra_below(&l, (node_view){f->root, true}, schema, SM_STR(""));
    } else if (want->takes_row) {
        add_extra(&l, f->root, schema, SM_STR(""));
    }
    for (int32_t i = 0; i < want->n_taken && !want->count_unknown; i++) {
        add_extra_at(&l, f->root, schema, &want->taken[i]);
    }
    *out = l.paths;
    *n = l.n;
}

/* ---- the tree to write ----------------------------------------------------------------------- */

typedef struct tree_maker {
    sm_arena *mem;
    int32_t n_leaves;
    const smi_pq_node **leaves;
    int64_t leaves_cap;
    sm_error *e;
} tree_maker;

static void set_integer(smi_pq_node *n, sm_type_id id)
{
    n->physical = id == SM_TYPE_I64 || id == SM_TYPE_U64 ? SMI_PQ_INT64 : SMI_PQ_INT32;
    if (id == SM_TYPE_I32 || id == SM_TYPE_I64) {
        return; /* the physical type means this without an annotation */
    }
    n->logical = SMI_PQ_INTEGER;
    n->is_signed = sm_type_is_signed(id);
    n->bits = sm_type_bytes(id) * 8;
}

static void set_decimal(smi_pq_node *n, const sm_type *t)
{
    SM_ASSERT(t->precision >= 1 && t->precision <= 38 && t->scale <= t->precision);
    n->logical = SMI_PQ_DECIMAL;
    n->precision = t->precision;
    n->scale = t->scale;
    n->physical = t->precision <= 9    ? SMI_PQ_INT32
                  : t->precision <= 18 ? SMI_PQ_INT64
                                       : SMI_PQ_FIXED;
    if (n->physical == SMI_PQ_FIXED) {
        /* The fewest bytes that hold precision digits and a sign: 10^p <= 2^(8n - 1). */
        sm_i128 limit = 1;
        for (int i = 0; i < t->precision; i++) {
            limit *= 10;
        }
        n->fixed_bytes = 1;
        while (n->fixed_bytes < 16 && (limit - 1) >> (8 * n->fixed_bytes - 1) != 0) {
            n->fixed_bytes++;
        }
    }
}

static void set_leaf(smi_pq_node *n, const sm_type *t)
{
    n->unit = SMI_PQ_MICROS;
    switch (t->id) {
    case SM_TYPE_BOOL:
        n->physical = SMI_PQ_BOOLEAN;
        return;
    case SM_TYPE_F32:
        n->physical = SMI_PQ_FLOAT;
        return;
    case SM_TYPE_F64:
        n->physical = SMI_PQ_DOUBLE;
        return;
    case SM_TYPE_DECIMAL:
        set_decimal(n, t);
        return;
    case SM_TYPE_STRING:
        n->physical = SMI_PQ_BYTE_ARRAY;
        n->logical = SMI_PQ_STRING;
        return;
    case SM_TYPE_BINARY:
        n->physical = SMI_PQ_BYTE_ARRAY;
        return;
    case SM_TYPE_DATE:
        n->physical = SMI_PQ_INT32;
        n->logical = SMI_PQ_DATE;
        return;
    case SM_TYPE_TIME:
        n->physical = SMI_PQ_INT64;
        n->logical = SMI_PQ_TIME;
        return;
    case SM_TYPE_TIMESTAMP:
    case SM_TYPE_TIMESTAMP_NTZ:
        n->physical = SMI_PQ_INT64;
        n->logical = SMI_PQ_TIMESTAMP;
        n->is_utc = t->id == SM_TYPE_TIMESTAMP;
        return;
    case SM_TYPE_NULL:
        n->physical = SMI_PQ_INT32;
        n->logical = SMI_PQ_UNKNOWN;
        return;
    default:
        SM_ASSERT(sm_type_is_integer(t->id));
        set_integer(n, t->id);
    }
}

static smi_pq_node *add_child(tree_maker *p, smi_pq_node *parent, sm_str name, smi_pq_repetition r)
{
    SM_ASSERT(parent->max_def < UINT8_MAX && parent->max_rep <= parent->max_def);
    smi_pq_node *n = SM_NEW(p->mem, smi_pq_node);
    n->name = name;
    n->repetition = r;
    n->leaf = -1;
    n->physical = SMI_PQ_GROUP;
    n->max_def = (uint8_t)(parent->max_def + (r != SMI_PQ_REQUIRED));
    n->max_rep = (uint8_t)(parent->max_rep + (r == SMI_PQ_REPEATED));
    parent->children[parent->n_children++] = n;
    return n;
}

static sm_status make_node(tree_maker *p, smi_pq_node *n, const sm_type *t, int depth);

/* Adds the node of a field, under the field's own name (not a physical name that a Delta table may
 * have for it). */
static sm_status add_field_node(tree_maker *p, smi_pq_node *parent, const sm_field *f, sm_str name,
                                bool is_key, int depth)
{
    const bool is_required = is_key || (!f->is_nullable && f->type->id != SM_TYPE_NULL);
    smi_pq_node *n = add_child(p, parent, name, is_required ? SMI_PQ_REQUIRED : SMI_PQ_OPTIONAL);
    const sm_field_meta *id = meta_of(f, SM_PARQUET_FIELD_ID);
    int64_t field_id = 0;
    n->has_field_id = id && sm_parse_i64(id->json, &field_id) && field_id == (int32_t)field_id;
    n->field_id = n->has_field_id ? (int32_t)field_id : 0;
    return make_node(p, n, f->type, depth + 1);
}

static sm_status make_node(tree_maker *p, smi_pq_node *n, const sm_type *t, int depth)
{
    if (depth > SMI_PQ_MAX_DEPTH / 3) { /* a list is three levels */
        return sm_fail(p->e, SM_LIMIT, "type is nested more than %d deep", SMI_PQ_MAX_DEPTH / 3);
    }
    if (!sm_type_is_nested(t->id)) {
        set_leaf(n, t);
        n->leaf = p->n_leaves;
        p->leaves =
            sm_arena_grow(p->mem, p->leaves, p->n_leaves, &p->leaves_cap, sizeof(*p->leaves));
        p->leaves[p->n_leaves++] = n;
        return SM_OK;
    }
    if (t->id == SM_TYPE_STRUCT) {
        if (t->n_fields == 0) {
            return sm_fail(p->e, SM_UNSUPPORTED, "Parquet has no struct without fields");
        }
        n->children = SM_NEW_ARRAY(p->mem, smi_pq_node *, t->n_fields);
        for (int32_t i = 0; i < t->n_fields; i++) {
            SM_TRY(add_field_node(p, n, &t->fields[i], t->fields[i].name, false, depth));
        }
        return SM_OK;
    }
    const bool is_map = t->id == SM_TYPE_MAP;
    n->logical = is_map ? SMI_PQ_MAP : SMI_PQ_LIST;
    n->children = SM_NEW_ARRAY(p->mem, smi_pq_node *, 1);
    smi_pq_node *repeated =
        add_child(p, n, is_map ? SM_STR("key_value") : SM_STR("list"), SMI_PQ_REPEATED);
    repeated->children = SM_NEW_ARRAY(p->mem, smi_pq_node *, 2);
    for (int32_t i = 0; i < t->n_fields; i++) {
        const sm_str name = !is_map ? SM_STR("element") : i == 0 ? SM_STR("key") : SM_STR("value");
        SM_TRY(add_field_node(p, repeated, &t->fields[i], name, is_map && i == 0, depth));
    }
    return SM_OK;
}

sm_status smi_pq_tree_of(const sm_type *schema, sm_arena *a, smi_pq_node **root,
                         const smi_pq_node ***leaves, int32_t *n_leaves, sm_error *e)
{
    tree_maker p = {.mem = a, .e = e};
    smi_pq_node *n = SM_NEW(a, smi_pq_node);
    n->name = SM_STR("schema");
    n->leaf = -1;
    n->physical = SMI_PQ_GROUP;
    SM_TRY(make_node(&p, n, sm_type_copy(a, schema), 0));
    for (int32_t i = 0; i < p.n_leaves; i++) {
        SM_ASSERT(p.leaves[i]->leaf == i && p.leaves[i]->physical != SMI_PQ_GROUP);
    }
    *root = n;
    *leaves = p.leaves;
    *n_leaves = p.n_leaves;
    return SM_OK;
}
