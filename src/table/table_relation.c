/* SPDX-License-Identifier: Apache-2.0
 *
 * table/table_relation.c: Delta tables and candidates as relations. Called by table_names.c and
 * table_function.c.
 *
 * A snapshot's dataset has the stored columns first, then those that the table is partitioned by.
 * Where the table has them in another order, its relation is a plan node: a projection over the
 * scan of the dataset, which puts the columns into the table's order. */
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
    return SM_OK;
}

sm_status smi_table_relation(sm_names *n, sm_str uri, const sm_table_at *at, sm_str label,
                             bool *is_there, sm_relation *out, sm_error *e)
{
    sm_store *store = NULL;
    sm_snapshot *snapshot = NULL;
    sm_status st = SM_OK;

    *is_there = true;
    SM_TRY(sm_store_open(n->stores, uri, &store, e));
    smi_names_hold_store(n, store);
    if (at->kind != SM_AT_NEWEST) { /* else a version that is not there would be no table */
        SM_TRY(sm_delta_exists(store, is_there, e));
    }
    if (*is_there) {
        st = smi_pins_open_at(&n->pins, store, at, &snapshot, e);
        *is_there = at->kind != SM_AT_NEWEST || st != SM_NOT_FOUND;
    }
    if (!*is_there) { /* an error with advice says already that it is under way */
        return st == SM_NOT_FOUND && e && e->todo[0]
                   ? st
                   : sm_fail(e, SM_NOT_FOUND, "no table at %.*s", SM_STR_ARG(uri));
    }
    SM_TRY(st);
    hold_snapshot(n, snapshot);
    return snapshot_relation(n, snapshot, label, out, e);
}

/* ---- a candidate ----------------------------------------------------------------------------- */

/* The base's files that the candidate does not remove. Where it removes all, the base's dataset is
 * not made: its schema may be another, and it may be one that cannot be read. */
static sm_status kept_files(sm_names *n, const sm_candidate *c, sm_dataset *d, sm_error *e)
{
    sm_dataset base = {0};
    int32_t *columns = NULL;
    smi_kept k = {0};

    if (!smi_candidate_kept(c, &k)) {
        return SM_OK;
    }
    SM_TRY(smi_candidate_base(c, n->arena, &base, &columns, e));
    do {
        d->files[d->n_files++] = base.files[k.at];
    } while (smi_candidate_kept(c, &k));
    return SM_OK;
}

static sm_datafile added_file(const sm_names *n, const sm_candidate *c, const sm_delta_add *add,
                              const int32_t *columns)
{
    const sm_delta_metadata *m = smi_candidate_metadata(c);

    return (sm_datafile){
        .uri = sm_store_uri_of(c->store, add->key, n->arena),
        .store = c->store,
        .key = add->key,
        .size_bytes = add->size_bytes,
        .modified_us = add->modified_ms * 1000,
        .constants = add->partition,
        .n_rows = add->n_rows,
        .ranges = sm_delta_dataset_ranges(m, add->ranges, columns, n->arena),
    };
}

sm_status smi_candidate_relation(sm_names *n, sm_candidate *c, sm_str label, sm_relation *out,
                                 sm_error *e)
{
    sm_dataset *d = SM_NEW(n->arena, sm_dataset);
    int32_t *columns = NULL;
    int64_t n_base = 0;

    SM_ASSERT(c->record.n_restores == 0); /* what a restore makes is published at once */
    SM_TRY(sm_delta_dataset(smi_candidate_metadata(c), n->arena, d, &columns, e));
    if (c->base) {
        (void)sm_snapshot_files(c->base, &n_base);
    }
    d->files = SM_NEW_ARRAY(n->arena, sm_datafile, n_base + c->record.n_adds + 1);
    SM_TRY(kept_files(n, c, d, e));
    SM_ASSERT(d->n_files == n_base - c->record.n_removes);
    for (int64_t i = 0; i < c->record.n_adds; i++) {
        d->files[d->n_files++] = added_file(n, c, &c->record.adds[i], columns);
    }
    *out = relation_of(n, d, columns, sm_arena_strf(n->arena, "%.*s@staged", SM_STR_ARG(label)));
    return SM_OK;
}
