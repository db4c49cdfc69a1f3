/* SPDX-License-Identifier: Apache-2.0
 *
 * table/table_relation.c: Delta tables and candidates as relations. Called by table_names.c,
 * table_function.c and table_changes.c.
 *
 * A snapshot's dataset has the stored columns first, then those that the table is partitioned by.
 * Where the table has them in another order, its relation is a plan node: a projection over the
 * scan of the dataset, which puts the columns into the table's order. */
#include "base/map.h"
#include "table/table_int.h"

#include <inttypes.h>

/* ---- columns in the table's order ------------------------------------------------------------ */

const sm_plan_node *smi_scan_in_order(const sm_relation *scan, const int32_t *columns, int32_t n,
                                      sm_arena *a)
{
    const sm_plan_node *rows = sm_plan_scan(scan, false, a);
    const int32_t n_all = rows->schema->n_fields;
    const sm_expr **exprs = SM_NEW_ARRAY(a, const sm_expr *, n_all + 1);
    sm_str *names = SM_NEW_ARRAY(a, sm_str, n_all + 1);

    SM_ASSERT(n <= n_all);
    for (int32_t i = 0; i < n_all; i++) {
        const int32_t at = i < n ? columns[i] : i;
        SM_ASSERT(at >= 0 && at < (i < n ? n : n_all));
        exprs[i] = sm_expr_column(rows->schema, at, a);
        names[i] = rows->schema->fields[at].name;
    }
    return sm_plan_project(rows, exprs, names, n_all, a);
}

static bool is_in_order(const int32_t *columns, int32_t n)
{
    for (int32_t i = 0; columns && i < n; i++) {
        if (columns[i] != i) {
            return false;
        }
    }
    return true;
}

/* A dataset as a relation with the columns in the order of the table's schema. */
static sm_relation relation_of(const sm_names *n, const sm_dataset *d, const int32_t *columns,
                               sm_str label)
{
    const sm_relation scan = {.dataset = d, .label = label};

    if (is_in_order(columns, d->schema->n_fields)) {
        return scan;
    }
    return (sm_relation){
        .node = smi_scan_in_order(&scan, columns, d->schema->n_fields, n->arena),
        .label = label,
    };
}

/* ---- a table --------------------------------------------------------------------------------- */

static void hold_snapshot(sm_names *n, sm_snapshot *s)
{
    n->snapshots = sm_arena_grow(n->arena, n->snapshots, n->n_snapshots, &n->cap_snapshots,
                                 sizeof(sm_snapshot *));
    n->snapshots[n->n_snapshots++] = s;
}

static sm_status snapshot_relation(sm_names *n, sm_snapshot *s, sm_str label, sm_relation *out,
                                   sm_error *e)
{
    sm_dataset *d = SM_NEW(n->arena, sm_dataset);
    int32_t *columns = NULL;

    SM_TRY(sm_snapshot_dataset(s, n->arena, d, &columns, e));
    d->morsel_bytes = 0; /* it is of text files only */
    *out = relation_of(
        n, d, columns,
        sm_arena_strf(n->arena, "%.*s@v%" PRId64, SM_STR_ARG(label), sm_snapshot_version(s)));
    out->table = s;
    out->is_computed = smi_field_is_computed;
    out->default_of = smi_field_default;
    return SM_OK;
}

const sm_snapshot *sm_names_snapshot(const sm_relation *r)
{
    return r->table;
}

/* Where the table of that name is: its name may stand where a place must. "": there is none. */
static sm_str place_of_name(const sm_names *n, sm_str name)
{
    sm_str place = {0};
    sm_store *store = NULL;
    bool is_there = false;

    if (sm_names_uri(n, name, n->arena, &place, NULL) != SM_OK ||
        sm_store_open(n->stores, place, &store, NULL) != SM_OK) {
        return (sm_str){0};
    }
    const sm_status st = sm_delta_exists(store, &is_there, NULL);
    sm_store_release(store);
    return st == SM_OK && is_there ? place : (sm_str){0};
}

/* `st`: what opening it gave, if it was tried. An error with advice may say already that the table
 * is under way. */
static sm_status fail_no_table(const sm_names *n, sm_str uri, sm_status st, sm_error *e)
{
    const sm_str place = place_of_name(n, uri);

    if (place.len == 0 && st == SM_NOT_FOUND && e && e->todo[0]) {
        return st;
    }
    (void)sm_fail(e, SM_NOT_FOUND, "no table at %.*s", SM_STR_ARG(uri));
    if (place.len > 0) {
        sm_error_todo(e, "The table of this name is at '%.*s'.", SM_STR_ARG(place));
    }
    return SM_NOT_FOUND;
}

sm_status smi_names_open(sm_names *n, sm_str uri, const sm_table_at *at, bool *is_there,
                         sm_snapshot **out, sm_error *e)
{
    sm_store *store = NULL;
    sm_status st = SM_OK;

    *is_there = true;
    SM_TRY(sm_store_open(n->stores, uri, &store, e));
    smi_names_hold_store(n, store);
    if (at->kind != SM_AT_NEWEST) { /* else a version that is not there would be no table */
        SM_TRY(sm_delta_exists(store, is_there, e));
    }
    if (*is_there) {
        st = smi_pins_open_at(&n->pins, store, at, out, e);
        *is_there = at->kind != SM_AT_NEWEST || st != SM_NOT_FOUND;
    }
    if (!*is_there) {
        return fail_no_table(n, uri, st, e);
    }
    SM_TRY(st);
    hold_snapshot(n, *out);
    return SM_OK;
}

sm_status smi_table_relation(sm_names *n, sm_str uri, const sm_table_at *at, sm_str label,
                             bool *is_there, sm_relation *out, sm_error *e)
{
    sm_snapshot *snapshot = NULL;

    SM_TRY(smi_names_open(n, uri, at, is_there, &snapshot, e));
    return snapshot_relation(n, snapshot, label, out, e);
}

sm_status smi_kept_commit_relation(sm_names *n, sm_str table, sm_relation *out, sm_error *e)
{
    sm_snapshot *s = NULL;

    SM_TRY(smi_kept_commit_open(n, table, &s, e));
    hold_snapshot(n, s);
    return snapshot_relation(n, s, sm_arena_strf(n->arena, "candidate.%.*s", SM_STR_ARG(table)),
                             out, e);
}

/* ---- some files of a table ------------------------------------------------------------------- */

/* Adds the places of the dataset's files as one more constant column. */
static void number_files(sm_dataset *d, sm_arena *a)
{
    const int32_t n = d->schema->n_fields;
    sm_field *fields = SM_NEW_ARRAY(a, sm_field, n + 1);

    for (int32_t i = 0; i < n; i++) {
        fields[i] = d->schema->fields[i];
    }
    fields[n] = (sm_field){.name = SM_STR("file"), .type = &sm_type_i64};
    for (int64_t i = 0; i < d->n_files; i++) {
        sm_value *constants = SM_NEW_ARRAY(a, sm_value, d->n_constants + 1);
        for (int32_t k = 0; k < d->n_constants; k++) {
            constants[k] = d->files[i].constants[k];
        }
        constants[d->n_constants] = sm_value_i64(i);
        d->files[i].constants = constants;
        d->files[i].ranges = NULL; /* they have none of the new column */
    }
    d->schema = sm_type_struct(a, fields, n + 1);
    d->n_constants++;
}

sm_status sm_names_file_rows(sm_names *n, const sm_snapshot *s, const sm_delta_file *files,
                             int64_t n_files, sm_str label, const sm_plan_node **out, sm_error *e)
{
    sm_dataset *d = SM_NEW(n->arena, sm_dataset);
    const sm_relation scan = {.dataset = d, .label = label};
    int32_t *columns = NULL;

    SM_TRY(sm_snapshot_dataset_picked(s, files, n_files, n->arena, d, &columns, e));
    const int32_t n_columns = d->schema->n_fields;
    number_files(d, n->arena);
    *out = smi_scan_in_order(&scan, columns, n_columns, n->arena);
    return SM_OK;
}

/* ---- a candidate ----------------------------------------------------------------------------- */

/* Finds the files that the table will have, when a scan begins: those of the base that stay, then
 * the new ones. */
typedef struct staged_lister {
    sm_lister base;
    sm_dataset kept; /* the base's: its files, or their lister */
    const int32_t
        *places;   /* of each column of the dataset, its place in the base's; −1: it is new */
    bool is_wider; /* the base's columns are not the dataset's */
    const sm_map *gone; /* URIs of the files of the base that do not stay */
    const sm_datafile *added;
    int64_t n_added;
} staged_lister;

/* The bounds as the base's columns have them. Those of columns that it does not have are left out,
 * as are those within structs, which may have fewer fields there: they only spare reading. */
static sm_bounds base_bounds(const staged_lister *l, const sm_bounds *bounds, sm_arena *a)
{
    sm_bound *items = SM_NEW_ARRAY(a, sm_bound, bounds->n + 1);
    sm_bounds out = {.items = items};

    if (!l->is_wider) {
        return *bounds;
    }
    for (int32_t i = 0; i < bounds->n; i++) {
        const sm_bound *b = &bounds->items[i];
        SM_ASSERT(b->n_path > 0);
        if (b->n_path == 1 && l->places[b->path[0]] >= 0) {
            items[out.n] = *b;
            items[out.n++].path = &l->places[b->path[0]];
        }
    }
    return out;
}

/* sm_lister.list */
static sm_status list_staged(const sm_lister *base, const sm_bounds *bounds, sm_arena *a,
                             sm_datafile **out, int64_t *n, sm_error *e)
{
    const staged_lister *l = (const staged_lister *)(const void *)base;
    const sm_bounds on_base = base_bounds(l, bounds, a);
    sm_datafile *there = l->kept.files;
    int64_t n_there = l->kept.n_files;

    if (l->kept.lister) {
        SM_TRY(l->kept.lister->list(l->kept.lister, &on_base, a, &there, &n_there, e));
    }
    sm_datafile *files = SM_NEW_ARRAY(a, sm_datafile, n_there + l->n_added + 1);
    *n = 0;
    for (int64_t i = 0; i < n_there; i++) {
        if (!sm_map_get(l->gone, there[i].uri)) {
            files[(*n)++] = there[i];
        }
    }
    for (int64_t i = 0; i < l->n_added; i++) {
        files[(*n)++] = l->added[i];
    }
    SM_ASSERT(*n <= n_there + l->n_added);
    *out = files;
    return SM_OK;
}

static sm_status find_gone(sm_names *n, const sm_candidate *c, const sm_map **out, sm_error *e)
{
    sm_map *gone = sm_map_new(n->arena);
    sm_store *store = NULL;
    sm_str key = {0};

    for (int64_t i = 0; i < c->record.n_removes; i++) {
        SM_TRY(sm_snapshot_place(c->base, c->record.removes[i], n->arena, &store, &key, e));
        *sm_map_at(gone, sm_store_uri_of(store, key, n->arena)) = gone;
    }
    *out = gone;
    return SM_OK;
}

/* What the lister needs of the base. Where no file stays, its dataset is not made: its schema may
 * be another, and it may be one that cannot be read. */
static sm_status list_kept(sm_names *n, const sm_candidate *c, const sm_dataset *d,
                           staged_lister *out, sm_error *e)
{
    const sm_delta_metadata *m = sm_snapshot_metadata(c->base);
    int32_t *places = SM_NEW_ARRAY(n->arena, int32_t, d->schema->n_fields + 1);
    int32_t *columns = NULL;

    SM_TRY(sm_snapshot_dataset(c->base, n->arena, &out->kept, &columns, e));
    SM_ASSERT(out->kept.n_constants == d->n_constants); /* an overwrite alone changes them */
    for (int32_t i = 0; i < d->schema->n_fields; i++) {
        const int32_t field = sm_type_find(m->schema, d->schema->fields[i].name);
        places[i] = field < 0 ? -1 : columns[field];
    }
    out->places = places;
    out->is_wider = !sm_type_eq(out->kept.schema, d->schema);
    for (int64_t i = 0; out->is_wider && i < out->kept.n_files; i++) {
        out->kept.files[i].ranges = NULL; /* they have none of the new columns */
    }
    return find_gone(n, c, &out->gone, e);
}

/* Files of the base that get a deletion vector. */
static sm_status marked_files(sm_names *n, const sm_candidate *c, sm_dataset *d, sm_error *e)
{
    const int64_t n_marks = c->record.n_marks;
    sm_delta_file *files = SM_NEW_ARRAY(n->arena, sm_delta_file, n_marks + 1);
    sm_dataset base = {0};
    int32_t *columns = NULL;

    if (n_marks == 0) {
        return SM_OK;
    }
    for (int64_t i = 0; i < n_marks; i++) {
        files[i] = *c->record.marks[i].file;
    }
    SM_TRY(smi_candidate_base(c, files, n_marks, n->arena, &base, &columns, e));
    for (int64_t i = 0; i < n_marks; i++) {
        const sm_delta_mark *m = &c->record.marks[i];
        sm_datafile *f = &d->files[d->n_files++];
        *f = base.files[i];
        f->n_rows = m->file->n_rows - m->dv->cardinality;
        SM_TRY(sm_delta_mark_deletes(c->base, m, n->arena, &f->deletes, e));
    }
    return SM_OK;
}

sm_datafile smi_added_file(const sm_candidate *c, const sm_delta_add *add, const int32_t *columns,
                           sm_arena *a)
{
    const sm_delta_metadata *m = smi_candidate_metadata(c);

    return (sm_datafile){
        .uri = sm_store_uri_of(c->store, add->key, a),
        .store = c->store,
        .key = add->key,
        .size_bytes = add->size_bytes,
        .is_size_said = true,
        .modified_us = add->modified_ms * 1000,
        .constants = add->partition,
        .n_rows = add->n_rows,
        .ranges = sm_delta_dataset_ranges(m, add->ranges, columns, a),
    };
}

/* A part of the candidate's rows as a relation. */
static sm_status part_relation(sm_names *n, sm_candidate *c, sm_candidate_part part, sm_str label,
                               sm_relation *out, sm_error *e)
{
    sm_dataset *d = SM_NEW(n->arena, sm_dataset);
    const bool has_kept = part != SM_CANDIDATE_WRITTEN;
    const int64_t first = has_kept ? 0 : c->n_moved;
    const int64_t end = part == SM_CANDIDATE_STAYS ? c->n_moved : c->record.n_adds;
    int32_t *columns = NULL;

    SM_ASSERT(c->record.n_restores == 0); /* what a restore makes is published at once */
    SM_TRY(sm_delta_dataset(smi_candidate_metadata(c), n->arena, d, &columns, e));
    d->files = SM_NEW_ARRAY(n->arena, sm_datafile, c->record.n_marks + c->record.n_adds + 1);
    SM_TRY(has_kept ? marked_files(n, c, d, e) : SM_OK);
    for (int64_t i = first; i < end; i++) {
        d->files[d->n_files++] = smi_added_file(c, &c->record.adds[i], columns, n->arena);
    }
    if (has_kept && c->base && !c->removes_all) {
        staged_lister *l = SM_NEW(n->arena, staged_lister);
        *l = (staged_lister){
            .base = {.list = list_staged, .of = c},
            .added = d->files,
            .n_added = d->n_files,
        };
        SM_TRY(list_kept(n, c, d, l, e));
        d->lister = &l->base;
        d->n_files = 0;
    }
    *out = relation_of(n, d, columns, sm_arena_strf(n->arena, "%.*s@staged", SM_STR_ARG(label)));
    return SM_OK;
}

sm_status smi_candidate_relation(sm_names *n, sm_candidate *c, sm_str label, sm_relation *out,
                                 sm_error *e)
{
    return part_relation(n, c, SM_CANDIDATE_TABLE, label, out, e);
}

/* ---- as plans -------------------------------------------------------------------------------- */

static const sm_plan_node *node_of(const sm_names *n, const sm_relation *rows)
{
    return rows->dataset ? sm_plan_scan(rows, false, n->arena) : rows->node;
}

sm_status sm_names_candidate_rows(sm_names *n, sm_candidate *c, sm_candidate_part part,
                                  sm_str label, const sm_plan_node **out, sm_error *e)
{
    sm_relation rows = {0};

    SM_TRY(part_relation(n, c, part, label, &rows, e));
    *out = node_of(n, &rows);
    return SM_OK;
}

sm_status sm_names_snapshot_rows(sm_names *n, sm_snapshot *s, sm_str label,
                                 const sm_plan_node **out, sm_error *e)
{
    sm_relation rows = {0};

    hold_snapshot(n, sm_snapshot_retain(s));
    SM_TRY(snapshot_relation(n, s, label, &rows, e));
    *out = node_of(n, &rows);
    return SM_OK;
}
