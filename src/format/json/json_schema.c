/* SPDX-License-Identifier: Apache-2.0
 *
 * format/json/json_schema.c: turns the columns of a dataset into a tree of nodes, ready for reading
 * lines.
 *
 * Tree       The root is the line's object. A STRUCT column is an object with its fields below it;
 *            a LIST has its element below it, a MAP its key and its value. A node has what reading
 *            needs (its key as words to compare in place, which key came after it last time) and
 *            what a refusal needs (its rank in the column order, the name to report).
 * Order      Each leaf has a rank. A leaf is a node that is no STRUCT and not inside a list or map:
 *            what is wrong in a list is reported for its column. The leaves that the option
 *            column_order names come first. A name is a path ("a.b"), or its last part where only
 *            one column has it; a STRUCT's name stands for all its fields. All other leaves follow,
 *            depth first. A value that should be an object and is none is reported for the first
 *            field of the STRUCT.
 * Callers    json.c, once for each reader: the nodes hold the values of a line, so workers cannot
 *            share them. */
#include "base/quote.h"
#include "format/json/json_int.h"

/* Keys of up to this many bytes, with their closing quote, are compared in place. */
#define WORDS_BYTES 16
/* Up to so many fields, comparing the key with each of them beats hashing it. */
#define FEW_FIELDS 8

_Static_assert(sizeof(((smi_json_node *)0)->key_words) == WORDS_BYTES, "a key fits its words");
_Static_assert(WORDS_BYTES + 1 <= SM_PAD_BYTES, "a key at a line's end is read with the padding");

/* ---- the tree -------------------------------------------------------------------------------- */

/* Can the key be written in quotes without an escape? */
static bool is_plain_key(sm_str key)
{
    for (size_t i = 0; i < key.len; i++) {
        const uint8_t c = (uint8_t)key.data[i];
        if (c < 0x20 || c == '"' || c == '\\') {
            return false;
        }
    }
    return true;
}

static void make_key_words(smi_json_node *n)
{
    if (n->name.len + 1 > WORDS_BYTES || !is_plain_key(n->name)) {
        return;
    }
    uint8_t text[WORDS_BYTES] = {0}, mask[WORDS_BYTES] = {0};
    if (n->name.len > 0) {
        memcpy(text, n->name.data, n->name.len);
    }
    text[n->name.len] = '"';
    memset(mask, 0xff, n->name.len + 1);
    memcpy(n->key_words, text, WORDS_BYTES);
    memcpy(n->key_masks, mask, WORDS_BYTES);
    n->key_len = (uint32_t)n->name.len + 1;
}

static void make_key_table(smi_json_node *n, sm_arena *a)
{
    n->follows = SM_NEW_ARRAY(a, int32_t, n->n_fields + 1);
    for (int32_t i = 0; i <= n->n_fields; i++) {
        n->follows[i] = i < n->n_fields ? i : 0;
    }
    if (n->n_fields <= FEW_FIELDS) {
        return;
    }
    uint32_t size = 4 * FEW_FIELDS;
    while (size < 2 * (uint32_t)n->n_fields) {
        size *= 2;
    }
    n->table_mask = size - 1;
    n->table = SM_NEW_ARRAY(a, int32_t, size);
    memset(n->table, 0xff, size * sizeof(int32_t));
    for (int32_t i = 0; i < n->n_fields; i++) {
        const sm_str name = n->fields[i].name;
        uint32_t at = (uint32_t)sm_hash64(name.data, name.len) & n->table_mask;
        while (n->table[at] >= 0) {
            SM_ASSERT(!sm_str_eq(n->fields[n->table[at]].name, name)); /* names are unique */
            at = (at + 1) & n->table_mask;
        }
        n->table[at] = i;
    }
}

smi_json_node *smi_json_find(const smi_json_node *object, sm_str key)
{
    SM_ASSERT(object->id == SM_TYPE_STRUCT);
    SM_ASSERT((object->table != NULL) == (object->n_fields > FEW_FIELDS));
    if (!object->table) {
        for (int32_t i = 0; i < object->n_fields; i++) {
            if (sm_str_eq(object->fields[i].name, key)) {
                return &object->fields[i];
            }
        }
        return NULL;
    }
    uint32_t at = (uint32_t)sm_hash64(key.data, key.len) & object->table_mask;
    for (; object->table[at] >= 0; at = (at + 1) & object->table_mask) {
        smi_json_node *field = &object->fields[object->table[at]];
        if (sm_str_eq(field->name, key)) {
            return field;
        }
    }
    return NULL;
}

static sm_str opening_of(sm_str name, sm_arena *a)
{
    sm_buf text = {0};

    sm_buf_json_str(&text, name);
    sm_buf_text(&text, SM_STR(":{"));
    const sm_str out = sm_arena_str(a, sm_buf_str(&text));
    sm_buf_release(&text);
    return out;
}

/* Sets up n (zeroed) for its type, and all below it. */
static sm_status make_node(smi_json_node *n, sm_field field, smi_json_node *parent, sm_arena *a,
                           sm_error *e)
{
    n->name = field.name;
    n->type = field.type;
    n->id = field.type->id;
    n->parent = parent;
    n->slot.seen = UINT64_MAX;
    if (n->id == SM_TYPE_MAP && n->type->fields[0].type->id != SM_TYPE_STRING) {
        const sm_status st =
            sm_fail(e, SM_UNSUPPORTED, "JSON objects are read as a MAP only with keys of VARCHAR");
        return sm_within(e, st, "column %.*s", SM_STR_ARG(field.name));
    }
    make_key_words(n);
    if (!sm_type_is_nested(n->id)) {
        return SM_OK;
    }
    n->n_fields = n->type->n_fields;
    n->fields = SM_NEW_ARRAY(a, smi_json_node, n->n_fields);
    for (int32_t i = 0; i < n->n_fields; i++) {
        smi_json_node *child = &n->fields[i];
        const bool is_element = n->id != SM_TYPE_STRUCT;
        child->is_in_list = n->is_in_list || is_element;
        const bool is_top = n->path.len == 0 && !n->is_in_list;
        child->path = is_element ? n->path
                      : is_top   ? n->type->fields[i].name
                                 : sm_arena_strf(a, "%.*s.%.*s", SM_STR_ARG(n->path),
                                                 SM_STR_ARG(n->type->fields[i].name));
        SM_TRY(make_node(child, n->type->fields[i], is_element ? NULL : n, a, e));
    }
    if (n->id == SM_TYPE_STRUCT) {
        make_key_table(n, a);
        n->opening = opening_of(n->name, a);
    }
    return SM_OK;
}

/* ---- what is done with a node ---------------------------------------------------------------- */

/* Is there a STRUCT at or below n, whose objects may have unknown keys? */
static bool has_objects(const smi_json_node *n)
{
    return n->id == SM_TYPE_STRUCT || (n->id == SM_TYPE_LIST && has_objects(&n->fields[0])) ||
           (n->id == SM_TYPE_MAP && has_objects(&n->fields[1]));
}

static bool has_map(const smi_json_node *n)
{
    bool has = n->id == SM_TYPE_MAP;
    for (int32_t i = 0; i < n->n_fields && !has; i++) {
        has = has_map(&n->fields[i]);
    }
    return has;
}

/* A column that is read is checked as a whole, even if only some of its fields are wanted. */
static void mark_node(smi_json_node *n, const sm_projection *want, bool is_read)
{
    n->is_checked = is_read || want->validate_all;
    n->is_walked = n->is_checked || (want->count_unknown && has_objects(n));
    n->is_whole = want->count_unknown;
    for (int32_t i = 0; i < n->n_fields; i++) {
        mark_node(&n->fields[i], want, is_read);
    }
}

static void mark_whole(smi_json_node *n)
{
    n->is_whole = true;
    n->is_walked = n->is_walked || has_objects(n);
    for (int32_t i = 0; i < n->n_fields; i++) {
        mark_whole(&n->fields[i]);
    }
}

/* Marks the objects in which unknown keys are looked for. */
static void mark_taken(smi_json_schema *s, const sm_projection *want)
{
    s->root.is_whole = want->count_unknown || want->takes_row;
    for (int32_t i = 0; i < want->n_taken; i++) {
        smi_json_node *n = &s->root;
        for (int32_t k = 0; k < want->taken[i].n; k++) {
            SM_ASSERT(want->taken[i].items[k] >= 0 && want->taken[i].items[k] < n->n_fields);
            n = &n->fields[want->taken[i].items[k]];
            n->is_walked = true; /* to reach the objects below */
        }
        mark_whole(n);
    }
    s->looks_unknown = s->root.is_whole || want->n_taken > 0;
    s->fails_unknown = want->unknown == SM_UNKNOWN_FAIL;
}

static int32_t count_nodes(const smi_json_node *n)
{
    int32_t count = 1;
    for (int32_t i = 0; i < n->n_fields; i++) {
        count += count_nodes(&n->fields[i]);
    }
    return count;
}

/* Sets the builders of n and below. `made`: n's type, or a STRUCT of some of its fields, in their
 * order. */
static void give_builders(smi_json_schema *s, smi_json_node *n, const sm_type *made, sm_builder *b)
{
    SM_ASSERT(!n->is_wanted && n->id == made->id);
    n->is_wanted = true;
    n->builder = b;
    if (sm_type_is_bytes(n->id)) {
        s->bindable[s->n_bindable++] = n;
    }
    n->made = SM_NEW_ARRAY(s->arena, smi_json_node *, made->n_fields + 1);
    for (int32_t i = 0; i < n->n_fields && n->n_made < made->n_fields; i++) {
        const int32_t at = n->n_made;
        if (n->id != SM_TYPE_STRUCT || sm_str_eq(n->fields[i].name, made->fields[at].name)) {
            n->made[n->n_made++] = &n->fields[i];
            give_builders(s, &n->fields[i], made->fields[at].type, sm_builder_child(b, at));
        }
    }
    SM_ASSERT(n->n_made == made->n_fields);
}

static void make_wanted(smi_json_schema *s, const sm_dataset *d, const sm_projection *want,
                        sm_budget *budget)
{
    sm_field *fields = SM_NEW_ARRAY(s->arena, sm_field, want->n_columns);
    const bool rescues = d->rescues && want->n_columns > 0 &&
                         want->columns[want->n_columns - 1] == sm_dataset_keys(d);
    s->n_builders = want->n_columns;
    s->n_wanted = want->n_columns - rescues;
    s->wanted = SM_NEW_ARRAY(s->arena, smi_json_node *, want->n_columns);
    s->builders = SM_NEW_ARRAY(s->arena, sm_builder *, want->n_columns);
    s->bindable = SM_NEW_ARRAY(s->arena, smi_json_node *, count_nodes(&s->root));
    s->root.is_walked = true;
    for (int32_t i = 0; i < s->root.n_fields; i++) {
        mark_node(&s->root.fields[i], want, false);
    }
    for (int32_t i = 0; i < want->n_columns; i++) {
        fields[i] = sm_projected(d, want, i);
        s->builders[i] = sm_builder_new(fields[i].type, budget);
    }
    for (int32_t i = 0; i < s->n_wanted; i++) {
        smi_json_node *n = &s->root.fields[want->columns[i]];
        s->wanted[i] = n;
        mark_node(n, want, true);
        give_builders(s, n, fields[i].type, s->builders[i]);
    }
    s->rescued = rescues ? s->builders[s->n_wanted] : NULL;
    SM_ASSERT(!rescues || want->count_unknown); /* they are looked for in all objects */
    s->row = sm_type_struct(s->arena, fields, want->n_columns);
}

/* Adds the fields of an object to those whose keys are counted, and their own fields. */
static void add_keyed(smi_json_schema *s, smi_json_node *object)
{
    for (int32_t i = 0; i < object->n_fields; i++) {
        smi_json_node *field = &object->fields[i];
        sm_buf type = {0};
        sm_type_print(field->type, &type);
        s->keyed[s->n_keyed] = field;
        s->keys[s->n_keyed++] =
            (sm_known_key){.path = field->path, .type = sm_arena_str(s->arena, sm_buf_str(&type))};
        sm_buf_release(&type);
        if (field->id == SM_TYPE_STRUCT) {
            add_keyed(s, field);
        }
    }
}

/* ---- the column order ------------------------------------------------------------------------ */

#define NO_RANK INT32_MAX

/* A leaf has a rank of its own. A STRUCT has its first field's, but one without fields is a leaf.
 */
static bool is_leaf(const smi_json_node *n)
{
    return n->id != SM_TYPE_STRUCT || n->n_fields == 0;
}

static void clear_ranks(smi_json_node *n)
{
    n->rank = NO_RANK;
    for (int32_t i = 0; i < n->n_fields; i++) {
        clear_ranks(&n->fields[i]);
    }
}

/* Gives the next ranks to the leaves at and below n that have none yet, depth first. */
static void rank_leaves(smi_json_node *n, int32_t *next)
{
    if (is_leaf(n)) {
        if (n->rank == NO_RANK) {
            n->rank = (*next)++;
            n->column = n->name;
        }
        return;
    }
    for (int32_t i = 0; i < n->n_fields; i++) {
        rank_leaves(&n->fields[i], next);
    }
}

/* Gives each STRUCT the rank and the name of its first leaf. */
static void rank_structs(smi_json_node *n)
{
    SM_ASSERT(!is_leaf(n) || n->rank != NO_RANK);
    if (is_leaf(n)) {
        return;
    }
    for (int32_t i = 0; i < n->n_fields; i++) {
        const smi_json_node *field = &n->fields[i];
        rank_structs(&n->fields[i]);
        if (field->rank < n->rank) {
            n->rank = field->rank;
            n->column = field->column;
        }
    }
}

/* The nodes that a name in column_order may mean, by their path or by its last part. Those inside
 * lists and maps have no rank and are left out. */
typedef struct named {
    smi_json_node *by_path, *by_part;
    int n_by_part;
} named;

static void find_named(smi_json_node *n, sm_str name, named *out)
{
    for (int32_t i = 0; n->id == SM_TYPE_STRUCT && i < n->n_fields; i++) {
        smi_json_node *field = &n->fields[i];
        if (sm_str_eq(field->path, name) && !out->by_path) {
            out->by_path = field;
        }
        if (sm_str_eq(field->name, name)) {
            out->by_part = field;
            out->n_by_part++;
        }
        find_named(field, name, out);
    }
}

static int64_t collect_paths(const smi_json_node *n, sm_str *out, int64_t count)
{
    for (int32_t i = 0; n->id == SM_TYPE_STRUCT && i < n->n_fields; i++) {
        if (out) {
            out[count] = n->fields[i].path;
        }
        count = collect_paths(&n->fields[i], out, count + 1);
    }
    return count;
}

static sm_status no_such_column(smi_json_schema *s, sm_str name, sm_error *e)
{
    const int64_t n_paths = collect_paths(&s->root, NULL, 0);
    sm_str *paths = SM_NEW_ARRAY(s->arena, sm_str, n_paths);
    (void)collect_paths(&s->root, paths, 0);
    const char *nearest = sm_nearest_name(name, paths, n_paths);
    const sm_status st =
        sm_fail(e, SM_NAME, "no column \"%.*s\" for column_order", SM_STR_ARG(name));
    if (nearest) {
        sm_error_todo(e, "Did you mean \"%s\"?", nearest);
    }
    return st;
}

static sm_str trim(sm_str s)
{
    while (s.len > 0 && s.data[0] == ' ') {
        s = (sm_str){s.data + 1, s.len - 1};
    }
    while (s.len > 0 && s.data[s.len - 1] == ' ') {
        s.len--;
    }
    return s;
}

static sm_status rank_named(smi_json_schema *s, sm_str order, int32_t *next, sm_error *e)
{
    while (order.len > 0) {
        const char *comma = memchr(order.data, ',', order.len);
        const size_t len = comma ? (size_t)(comma - order.data) : order.len;
        const sm_str name = trim((sm_str){order.data, len});
        named found = {0};
        find_named(&s->root, name, &found);
        if (!found.by_path && found.n_by_part > 1) {
            return sm_fail(e, SM_NAME, "\"%.*s\" in column_order names %d columns: write its path",
                           SM_STR_ARG(name), found.n_by_part);
        }
        smi_json_node *n = found.by_path ? found.by_path : found.by_part;
        if (!n) {
            return no_such_column(s, name, e);
        }
        rank_leaves(n, next);
        const size_t passed = len + (comma != NULL);
        order = (sm_str){order.data + passed, order.len - passed};
    }
    return SM_OK;
}

/* ---- life ------------------------------------------------------------------------------------ */

sm_status smi_json_schema_new(const sm_dataset *d, const sm_projection *want, sm_str order,
                              sm_budget *budget, smi_json_schema **out, sm_error *e)
{
    sm_arena *a = sm_arena_new(budget);
    smi_json_schema *s = SM_NEW(a, smi_json_schema);
    sm_status st = SM_OK;
    s->arena = a;
    const sm_type *stored = sm_type_struct(a, d->schema->fields, sm_dataset_keys(d));
    const sm_field root = {.name = SM_STR(""), .type = stored};

    SM_TRY_GOTO(st, done, make_node(&s->root, root, NULL, a, e));
    clear_ranks(&s->root);
    int32_t next = 0;
    SM_TRY_GOTO(st, done, rank_named(s, order, &next, e));
    rank_leaves(&s->root, &next);
    rank_structs(&s->root);
    make_wanted(s, d, want, budget);
    mark_taken(s, want);
    s->has_maps = has_map(&s->root);
    if (want->count_unknown) {
        const int32_t n = count_nodes(&s->root);
        s->keyed = SM_NEW_ARRAY(a, smi_json_node *, n);
        s->keys = SM_NEW_ARRAY(a, sm_known_key, n);
        add_keyed(s, &s->root);
    }
    s->is_found = d->sampled != NULL;
    *out = s;
done:
    if (st != SM_OK) {
        smi_json_schema_free(s);
    }
    return st;
}

void smi_json_schema_free(smi_json_schema *s)
{
    if (!s) {
        return;
    }
    for (int32_t i = 0; i < s->n_builders; i++) {
        sm_builder_free(s->builders[i]);
    }
    sm_arena_free(s->arena);
}
