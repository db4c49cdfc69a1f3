/* SPDX-License-Identifier: Apache-2.0
 *
 * table/table_names.c: what the names in a query stand for: variables, views, candidates, and the
 * tables of a lake.
 *
 * A table's name is layer.table. What was set for it (a view, a candidate) comes first, then the
 * folder of that name in the lake. The name is taken exactly; where nothing has it, case is ignored
 * if only one name fits then. For a name that stands for nothing the lake is listed, and the error
 * has the nearest name, or the tables of its layer. What was resolved is kept: a run sees one
 * version of each table, and asks the store for it once. */
#include "table/table_int.h"

#include <stdio.h>

/* ---- life ------------------------------------------------------------------------------------ */

sm_names *sm_names_new(sm_stores *stores, sm_str lake, sm_budget *budget)
{
    sm_names *n = sm_alloc_zero(sizeof(*n));

    while (lake.len > 1 && lake.data[lake.len - 1] == '/') {
        lake.len--;
    }
    n->stores = sm_stores_retain(stores);
    n->budget = budget;
    n->arena = sm_arena_new(budget);
    n->lake = sm_arena_str(n->arena, lake);
    n->variables = sm_map_new(n->arena);
    n->named = sm_map_new(n->arena);
    n->files = sm_map_new(n->arena);
    n->known = sm_map_new(n->arena);
    n->unknown = sm_map_new(n->arena);
    n->relations = sm_map_new(n->arena);
    n->calls = sm_map_new(n->arena);
    smi_pins_init(&n->pins, budget);
    return n;
}

void sm_names_free(sm_names *n)
{
    if (!n) {
        return;
    }
    for (int64_t i = 0; i < n->n_candidates; i++) {
        sm_candidate_release(n->candidates[i]);
    }
    for (int64_t i = 0; i < n->n_snapshots; i++) {
        sm_snapshot_release(n->snapshots[i]);
    }
    for (int64_t i = 0; i < n->n_held; i++) {
        sm_store_release(n->held[i]);
    }
    smi_pins_release(&n->pins);
    sm_stores_release(n->stores);
    sm_arena_free(n->arena);
    sm_free(n);
}

void smi_names_hold_store(sm_names *n, sm_store *s)
{
    n->held = sm_arena_grow(n->arena, n->held, n->n_held, &n->cap_held, sizeof(sm_store *));
    n->held[n->n_held++] = s;
}

/* What was resolved before may mean something else from now on. The old relations stay in the
 * arena: plans use them. */
static void forget_relations(sm_names *n)
{
    n->relations = sm_map_new(n->arena);
    n->calls = sm_map_new(n->arena);
}

/* ---- setting --------------------------------------------------------------------------------- */

sm_str sm_names_lake(const sm_names *n)
{
    return n->lake;
}

void sm_names_set_variable(sm_names *n, sm_str name, sm_value v)
{
    sm_value *copy = SM_NEW(n->arena, sm_value);
    *copy = sm_value_copy(n->arena, v);
    copy->type = sm_type_copy(n->arena, v.type);
    *sm_map_at(n->variables, name) = copy;
}

static smi_named *named_at(sm_names *n, sm_str table)
{
    smi_named *named = SM_NEW(n->arena, smi_named);
    *sm_map_at(n->named, table) = named;
    forget_relations(n);
    return named;
}

void sm_names_set_view(sm_names *n, sm_str table, sm_sql sql)
{
    named_at(n, table)->view = (sm_sql){
        .name = sm_arena_str(n->arena, sql.name),
        .text = sm_arena_str(n->arena, sql.text),
    };
}

void sm_names_set_candidate(sm_names *n, sm_str table, sm_candidate *c)
{
    n->candidates = sm_arena_grow(n->arena, n->candidates, n->n_candidates, &n->cap_candidates,
                                  sizeof(sm_candidate *));
    n->candidates[n->n_candidates++] = sm_candidate_retain(c);
    named_at(n, table)->candidate = c;
}

void sm_names_set_kept(sm_names *n, sm_str table)
{
    SM_ASSERT(n->lake.len > 0);
    named_at(n, table)->is_kept = true;
}

void sm_names_set_files(sm_names *n, sm_str path, const sm_files *files, const sm_type *known)
{
    *sm_map_at(n->files, path) = (void *)files;
    *sm_map_at(n->known, path) = (void *)known;
    forget_relations(n);
}

void sm_names_set_unknown(sm_names *n, sm_str path, sm_policy unknown)
{
    *sm_map_at(n->unknown, path) = (void *)((intptr_t)unknown + 1);
    forget_relations(n);
}

const sm_files *sm_names_files(const sm_names *n, sm_str path)
{
    return sm_map_get(n->files, path);
}

void sm_names_set_morsel_bytes(sm_names *n, size_t bytes)
{
    n->morsel_bytes = bytes;
    forget_relations(n);
}

/* ---- where a table lies ---------------------------------------------------------------------- */

/* Can it be the name of a layer or table, as a folder? */
static bool is_part(sm_str s)
{
    return s.len > 0 && !memchr(s.data, '/', s.len) && !sm_str_is(s, ".") && !sm_str_is(s, "..");
}

static sm_status refuse_form(sm_str table, sm_error *e)
{
    const sm_status st =
        sm_fail(e, SM_NAME, "\"%.*s\" is not the name of a table", SM_STR_ARG(table));
    sm_error_todo(e, "A table's name is layer.table.");
    return st;
}

sm_status sm_names_uri(const sm_names *n, sm_str table, sm_arena *a, sm_str *out, sm_error *e)
{
    const char *dot = table.len > 0 ? memchr(table.data, '.', table.len) : NULL;
    if (!dot) {
        return refuse_form(table, e);
    }
    const sm_str layer = {table.data, (size_t)(dot - table.data)};
    const sm_str name = {dot + 1, table.len - layer.len - 1};
    if (!is_part(layer) || !is_part(name) || memchr(name.data, '.', name.len)) {
        return refuse_form(table, e);
    }
    if (n->lake.len == 0) {
        const sm_status st =
            sm_fail(e, SM_NAME, "no table \"%.*s\": no lake is given", SM_STR_ARG(table));
        sm_error_todo(e, "Say where the tables lie, with --lake.");
        return st;
    }
    const char *joint = n->lake.data[n->lake.len - 1] == '/' ? "" : "/";
    *out = sm_arena_strf(a, "%.*s%s%.*s/%.*s", SM_STR_ARG(n->lake), joint, SM_STR_ARG(layer),
                         SM_STR_ARG(name));
    return SM_OK;
}

/* ---- all names there are --------------------------------------------------------------------- */

typedef struct name_list {
    sm_arena *arena;
    sm_str *items;
    int64_t n, cap;
} name_list;

static void add_name(name_list *l, sm_str name)
{
    for (int64_t i = 0; i < l->n; i++) {
        if (sm_str_eq(l->items[i], name)) {
            return;
        }
    }
    l->items = sm_arena_grow(l->arena, l->items, l->n, &l->cap, sizeof(*l->items));
    l->items[l->n++] = sm_arena_str(l->arena, name);
}

/* Can it be the folder of a layer or table? Names with '_' or '.' first are smelt's own. */
static bool is_table_folder(const sm_entry *entry)
{
    return entry->is_folder && entry->key.len > 1 && entry->key.data[0] != '_' &&
           entry->key.data[0] != '.';
}

/* A folder's key without the '/' at its end. */
static sm_str folder_name(const sm_entry *entry)
{
    const bool has_end = entry->key.data[entry->key.len - 1] == '/';
    return (sm_str){entry->key.data, entry->key.len - (has_end ? 1 : 0)};
}

static sm_status add_layer(name_list *l, sm_store *lake, sm_str layer, sm_error *e)
{
    sm_entry *tables = NULL;
    int64_t n = 0;
    const sm_str prefix = sm_arena_strf(l->arena, "%.*s/", SM_STR_ARG(layer));

    SM_TRY(sm_store_list(lake, prefix, true, l->arena, &tables, &n, e));
    for (int64_t i = 0; i < n; i++) {
        tables[i].key = (sm_str){tables[i].key.data + prefix.len, tables[i].key.len - prefix.len};
        if (is_table_folder(&tables[i])) {
            add_name(l, sm_arena_strf(l->arena, "%.*s.%.*s", SM_STR_ARG(layer),
                                      SM_STR_ARG(folder_name(&tables[i]))));
        }
    }
    return SM_OK;
}

static sm_status add_lake(name_list *l, sm_stores *stores, sm_str uri, sm_error *e)
{
    sm_store *lake = NULL;
    sm_entry *layers = NULL;
    int64_t n = 0;

    SM_TRY(sm_store_open(stores, uri, &lake, e));
    sm_status st = sm_store_list(lake, SM_STR(""), true, l->arena, &layers, &n, e);
    if (st == SM_NOT_FOUND) {
        st = SM_OK;
        n = 0;
    }
    for (int64_t i = 0; i < n && st == SM_OK; i++) {
        if (is_table_folder(&layers[i])) {
            st = add_layer(l, lake, folder_name(&layers[i]), e);
        }
    }
    sm_store_release(lake);
    return st;
}

static sm_status list_names(const sm_names *n, name_list *l, sm_error *e)
{
    for (int64_t i = 0; i < sm_map_count(n->named); i++) {
        add_name(l, sm_map_key(n->named, i));
    }
    return n->lake.len > 0 ? add_lake(l, n->stores, n->lake, e) : SM_OK;
}

/* ---- no such table --------------------------------------------------------------------------- */

/* Advises "There are: a.x, a.y." with the names of the table's layer, or with all where it has
 * none. */
static void advise_names(const name_list *l, sm_str table, sm_error *e)
{
    const char *dot = memchr(table.data, '.', table.len);
    sm_buf text = {0};
    const sm_str layer = {table.data, dot ? (size_t)(dot - table.data) + 1 : 0};

    for (int pass = 0; pass < 2 && text.len == 0; pass++) {
        for (int64_t i = 0; i < l->n; i++) {
            const bool fits = text.len + l->items[i].len < sizeof(e->todo) - 24;
            if (fits && (pass == 1 || (layer.len > 0 && sm_str_starts(l->items[i], layer)))) {
                sm_buf_printf(&text, "%s%.*s", text.len > 0 ? ", " : "", SM_STR_ARG(l->items[i]));
            }
        }
    }
    if (text.len > 0) {
        sm_error_todo(e, "There are: %.*s.", SM_STR_ARG(sm_buf_str(&text)));
    }
    sm_buf_release(&text);
}

/* Refuses a folder of that name which has no version to be seen. `e` has the reason that opening it
 * gave. */
static sm_status no_version(const sm_names *n, sm_str table, sm_error *e)
{
    char why[sizeof(e->todo)] = "";

    if (e) {
        memcpy(why, e->todo, sizeof(why));
    }
    const sm_status st =
        sm_fail(e, SM_NAME, "the folder of \"%.*s\" in %.*s is not a table%s", SM_STR_ARG(table),
                SM_STR_ARG(n->lake), why[0] ? "" : ": its log has no version");
    if (why[0]) {
        sm_error_todo(e, "%s", why);
    }
    return st;
}

static sm_status no_table(const sm_names *n, sm_str table, const name_list *l, sm_error *e)
{
    const char *nearest = sm_nearest_name(table, l->items, l->n);
    sm_status st = SM_OK;
    bool is_folder = false;

    for (int64_t i = 0; i < l->n; i++) {
        is_folder = is_folder || sm_str_eq(l->items[i], table);
    }
    if (is_folder) {
        return no_version(n, table, e);
    }
    if (n->lake.len > 0) {
        st = sm_fail(e, SM_NAME, "no table \"%.*s\" in %.*s", SM_STR_ARG(table),
                     SM_STR_ARG(n->lake));
    } else {
        st = sm_fail(e, SM_NAME, "no table \"%.*s\", and no lake is given", SM_STR_ARG(table));
    }
    if (nearest) {
        sm_error_todo(e, "Did you mean \"%s\"?", nearest);
    } else if (e) {
        advise_names(l, table, e);
    }
    return st;
}

/* ---- tables ---------------------------------------------------------------------------------- */

static sm_status named_relation(sm_names *n, sm_str table, const smi_named *named, sm_relation *out,
                                sm_error *e)
{
    if (named->candidate) {
        return smi_candidate_relation(n, named->candidate, table, out, e);
    }
    if (named->is_kept) {
        return smi_kept_commit_relation(n, table, out, e);
    }
    *out = (sm_relation){.view = named->view, .label = table};
    return SM_OK;
}

/* The relation of exactly this name; SM_NOT_FOUND with *is_there false where there is none. At a
 * version a candidate does not count: it is none yet. */
static sm_status exact_relation(sm_names *n, sm_str table, const sm_table_at *at, bool *is_there,
                                sm_relation *out, sm_error *e)
{
    const smi_named *named = sm_map_get(n->named, table);
    sm_str uri = {0};

    *is_there = named != NULL;
    if (named && at->kind == SM_AT_NEWEST) {
        return named_relation(n, table, named, out, e);
    }
    if (named && !named->candidate && !named->is_kept) {
        return sm_fail(e, SM_INVALID, "\"%.*s\" is a view, which has no versions",
                       SM_STR_ARG(table));
    }
    *is_there = false;
    if (n->lake.len == 0) {
        return SM_NOT_FOUND;
    }
    SM_TRY(sm_names_uri(n, table, n->arena, &uri, e));
    return smi_table_relation(n, uri, at, table, is_there, out, e);
}

/* The one name that differs in case only, or not at all; NULL where there are several or none. */
static const sm_str *only_nocase(const name_list *l, sm_str table)
{
    const sm_str *found = NULL;
    for (int64_t i = 0; i < l->n; i++) {
        if (sm_str_eq_nocase(l->items[i], table)) {
            if (found) {
                return NULL;
            }
            found = &l->items[i];
        }
    }
    return found;
}

static sm_status table_relation(sm_names *n, sm_str table, const sm_table_at *at, sm_relation *out,
                                sm_error *e)
{
    bool is_there = false;
    sm_status st = exact_relation(n, table, at, &is_there, out, e);
    if (is_there || st != SM_NOT_FOUND) {
        return st;
    }
    name_list l = {.arena = sm_arena_new(n->budget)};
    st = list_names(n, &l, e);
    if (st == SM_OK) {
        const sm_str *other = only_nocase(&l, table);
        st = other && !sm_str_eq(*other, table)
                 ? exact_relation(n, sm_arena_str(n->arena, *other), at, &is_there, out, e)
                 : SM_NOT_FOUND;
        if (st == SM_NOT_FOUND && !is_there) {
            st = no_table(n, table, &l, e);
        }
    }
    sm_arena_free(l.arena);
    return st;
}

/* Refuses a name that is not layer.table. */
static sm_status refuse_parts(sm_names *n, const sm_str *parts, int32_t n_parts, sm_error *e)
{
    name_list l = {.arena = sm_arena_new(n->budget)};
    const sm_str last = parts[n_parts - 1];
    sm_error unused = {0};

    if (list_names(n, &l, &unused) != SM_OK) {
        l.n = 0;
    }
    const sm_status st =
        sm_fail(e, SM_NAME, "no table \"%.*s\": a table's name is layer.table", SM_STR_ARG(last));
    for (int64_t i = 0; i < l.n; i++) {
        const char *dot = memchr(l.items[i].data, '.', l.items[i].len);
        const sm_str name = {dot + 1, l.items[i].len - (size_t)(dot + 1 - l.items[i].data)};
        if (sm_str_eq_nocase(name, last)) {
            sm_error_todo(e, "Did you mean \"%.*s\"?", SM_STR_ARG(l.items[i]));
        }
    }
    sm_arena_free(l.arena);
    return st;
}

/* candidate.layer.table: what a candidate that is kept would make of the table. */
static sm_status kept_relation(sm_names *n, const sm_str *parts, sm_relation *out, sm_error *e)
{
    const sm_str table =
        sm_arena_strf(n->arena, "%.*s.%.*s", SM_STR_ARG(parts[1]), SM_STR_ARG(parts[2]));
    const sm_str key = sm_arena_strf(n->arena, SM_CANDIDATE_NAME ".%.*s", SM_STR_ARG(table));
    const sm_relation *there = sm_map_get(n->relations, key);
    sm_relation *made = SM_NEW(n->arena, sm_relation);

    if (there) {
        *out = *there;
        return SM_OK;
    }
    SM_TRY(smi_kept_commit_relation(n, table, made, e));
    *sm_map_at(n->relations, key) = made;
    *out = *made;
    return SM_OK;
}

/* The full name, in the names' arena. */
static sm_status name_of_parts(sm_names *n, const sm_str *parts, int32_t n_parts, sm_str *out,
                               sm_error *e)
{
    SM_ASSERT(n_parts > 0);
    if (n_parts != 2 || !is_part(parts[0]) || !is_part(parts[1])) {
        return refuse_parts(n, parts, n_parts, e);
    }
    *out = sm_arena_strf(n->arena, "%.*s.%.*s", SM_STR_ARG(parts[0]), SM_STR_ARG(parts[1]));
    return SM_OK;
}

/* Resolves a name once: what was made is kept in `known` under `key`. */
static sm_status resolve_once(sm_names *n, sm_map *known, sm_str key, sm_str table,
                              const sm_table_at *at, sm_relation *out, sm_error *e)
{
    const sm_relation *there = sm_map_get(known, key);
    if (there) {
        *out = *there;
        return SM_OK;
    }
    sm_relation *made = SM_NEW(n->arena, sm_relation);
    SM_TRY(table_relation(n, table, at, made, e));
    *sm_map_at(known, key) = made;
    *out = *made;
    return SM_OK;
}

static sm_status resolve_table(void *ctx, const sm_str *parts, int32_t n_parts, sm_arena *a,
                               sm_relation *out, sm_error *e)
{
    const sm_table_at newest = {.kind = SM_AT_NEWEST};
    sm_names *n = ctx;
    sm_str table = {0};

    if (n_parts == 3 && sm_str_eq_nocase(parts[0], SM_STR(SM_CANDIDATE_NAME)) &&
        is_part(parts[1]) && is_part(parts[2])) {
        return kept_relation(n, parts, out, e);
    }
    SM_TRY(name_of_parts(n, parts, n_parts, &table, e));
    SM_ASSERT(table.len > 0 && table.data);
    return resolve_once(n, n->relations, table, table, &newest, out, e);
}

static sm_status resolve_table_at(void *ctx, const sm_str *parts, int32_t n_parts,
                                  const sm_table_arg *arg, sm_arena *a, sm_relation *out,
                                  sm_error *e)
{
    sm_table_at at = {.kind = SM_AT_NEWEST};
    sm_names *n = ctx;
    sm_str table = {0};

    SM_TRY(name_of_parts(n, parts, n_parts, &table, e));
    SM_ASSERT(table.len > 0 && table.data);
    SM_TRY(smi_arg_at(arg, &at, e));
    const sm_str name = sm_arena_strf(a, "AT %.*s", SM_STR_ARG(table)); /* no table function's */
    return resolve_once(n, n->calls, smi_call_text(name, arg, 1, n->arena), table, &at, out, e);
}

/* ---- variables ------------------------------------------------------------------------------- */

static sm_status resolve_variable(void *ctx, sm_str name, sm_arena *a, sm_value *out, sm_error *e)
{
    const sm_names *n = ctx;
    const sm_value *v = sm_map_get(n->variables, name);

    if (v) {
        *out = *v;
        return SM_OK;
    }
    const int64_t n_names = sm_map_count(n->variables);
    sm_str *names = SM_NEW_ARRAY(a, sm_str, n_names + 1);
    for (int64_t i = 0; i < n_names; i++) {
        names[i] = sm_arena_str(a, sm_map_key(n->variables, i));
    }
    const char *nearest = sm_nearest_name(name, names, n_names);
    const sm_status st = sm_fail(e, SM_NAME, "no variable \"%.*s\"", SM_STR_ARG(name));
    if (nearest) {
        sm_error_todo(e, "Did you mean \"%s\"?", nearest);
    } else {
        sm_error_todo(e, "Set it with --var %.*s=VALUE.", SM_STR_ARG(name));
    }
    return st;
}

static void resolve_expected(void *ctx, const sm_type *columns)
{
    sm_names *const n = ctx;

    SM_ASSERT(columns->id == SM_TYPE_STRUCT);
    n->expected = sm_type_copy(n->arena, columns);
}

/* A statement casts numbers to the types of the table. A DOUBLE in between would round them twice:
 * where the table has DECIMAL or FLOAT, their text is rounded. */
static const sm_type *rounded(sm_arena *a, const sm_type *t)
{
    sm_type *const out = SM_NEW(a, sm_type);
    sm_field *const fields = SM_NEW_ARRAY(a, sm_field, t->n_fields + 1);

    *out = *t;
    out->is_rounded = t->id == SM_TYPE_DECIMAL || t->id == SM_TYPE_F32;
    for (int32_t i = 0; i < t->n_fields; i++) {
        fields[i] = t->fields[i];
        fields[i].type = rounded(a, fields[i].type);
    }
    out->fields = fields;
    return out;
}

static bool resolve_fit(void *ctx, const sm_dataset *d, const sm_str *path, int32_t n_path,
                        const sm_type *there)
{
    sm_names *const n = ctx;

    return sm_names_fit_table(n, d, path, n_path, rounded(n->arena, there));
}

sm_resolver sm_names_resolver(sm_names *n)
{
    return (sm_resolver){
        .ctx = n,
        .table = resolve_table,
        .table_at = resolve_table_at,
        .function = smi_resolve_function,
        .variable = resolve_variable,
        .expect = resolve_expected,
        .fit = resolve_fit,
    };
}
