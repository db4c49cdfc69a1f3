/* SPDX-License-Identifier: Apache-2.0
 *
 * table/table_restore.c: makes the rows of an earlier version the table's again, by one commit.
 * Called by `smelt table restore`, and by `smelt rollback` for all tables of a run at once.
 *
 * Order    Complete the publication that is open in the table's lake. Open the newest version and
 *          the one that is meant. Compare their files: those that only the newest has are removed,
 *          those that only the other has are added again, as the log had them. Look whether all
 *          files of the version are still in the store. Publish, as any change of a table.
 * Again    Where the newest version is the one that is meant, or is a RESTORE to it, nothing is
 *          done: so a restore that was killed may be repeated. Other versions with the same files
 *          are restored, for loads continue from the books of the version that is named.
 * Record   a RESTORE with the parameters and metrics that Spark writes. It always names the
 *          version, so that nobody must find it by the time.
 * Memory   Of all files of both versions a hash is kept; listed are those that differ.
 * Kept     the protocol (features are not taken away again) and transactions, as others do it.
 *          Schema, partition columns and properties are those of the version.
 * Others   A commit that changed rows meanwhile is a conflict: the restore has read all. */
#include "table/table_int.h"

#include <inttypes.h>

#include "base/time.h"

/* From so many files on, the table's folder is listed instead of asking for each of them. */
#define MOST_ASKED 64

typedef struct restoring {
    sm_store *store;
    sm_budget *budget;
    sm_arena *arena;
    const sm_restore *opts;
    sm_snapshot *now, *then;
    const sm_delta_file **removes, **restores; /* in the order of their snapshots */
    sm_delta_commit record;
    sm_restored out;
} restoring;

/* ---- which files ----------------------------------------------------------------------------- */

static sm_status add_hash(void *ctx, const sm_delta_file *f, sm_error *e)
{
    return sm_hash_set_add(ctx, sm_delta_file_hash(f), NULL, e);
}

sm_status smi_hash_files(const sm_snapshot *s, sm_hash_set *out, sm_error *e)
{
    return sm_snapshot_each(s, NULL, &(sm_delta_sink){.file = add_hash, .ctx = out}, e);
}

static bool is_not_in(void *ctx, const sm_delta_file *f)
{
    return !sm_hash_set_has(ctx, sm_delta_file_hash(f));
}

sm_status smi_list_only(sm_snapshot *s, sm_hash_set *others, sm_error *e)
{
    return sm_snapshot_list_if(s, is_not_in, others, e);
}

/* The files that `s` lists, and the bytes of them. */
static const sm_delta_file **listed_files(const sm_snapshot *s, sm_arena *a, int64_t *n,
                                          int64_t *bytes)
{
    const sm_delta_file *files = sm_snapshot_files(s, n);
    const sm_delta_file **out = SM_NEW_ARRAY(a, const sm_delta_file *, *n + 1);

    *bytes = 0;
    for (int64_t i = 0; i < *n; i++) {
        out[i] = &files[i];
        *bytes += (int64_t)files[i].size_bytes;
    }
    return out;
}

/* Lists of each of the two versions the files that the other has not. */
static sm_status list_differing(const restoring *r, sm_error *e)
{
    sm_hash_set now = {.budget = r->budget}, then = {.budget = r->budget};

    sm_status st = smi_hash_files(r->then, &then, e);
    st = st == SM_OK ? smi_hash_files(r->now, &now, e) : st;
    st = st == SM_OK ? smi_list_only(r->now, &then, e) : st;
    st = st == SM_OK ? smi_list_only(r->then, &now, e) : st;
    sm_hash_set_release(&then);
    sm_hash_set_release(&now);
    return st;
}

static sm_status compare_files(restoring *r, sm_error *e)
{
    sm_restored *o = &r->out;
    sm_delta_totals totals;

    SM_TRY(sm_snapshot_totals(r->then, &totals, e));
    o->n_files = totals.n_files;
    o->bytes = totals.bytes;
    SM_TRY(list_differing(r, e));
    r->removes = listed_files(r->now, r->arena, &o->n_removed, &o->removed_bytes);
    r->restores = listed_files(r->then, r->arena, &o->n_restored, &o->restored_bytes);
    return SM_OK;
}

/* ---- are they there? ------------------------------------------------------------------------- */

static sm_hash128 hash_of_key(sm_str key)
{
    return sm_hash128_of(key.data, key.len, 0);
}

/* All keys of the table's folder, by their hashes; none where each file is to be asked for. */
static sm_status list_keys(const restoring *r, sm_hash_set *out, sm_error *e)
{
    sm_arena *a = sm_arena_new(r->budget);
    sm_entry *entries = NULL;
    int64_t n = 0;

    sm_status st = sm_store_list(r->store, SM_STR(""), false, a, &entries, &n, e);
    for (int64_t i = 0; i < n && st == SM_OK; i++) {
        st = sm_hash_set_add(out, hash_of_key(entries[i].key), NULL, e);
    }
    sm_arena_free(a);
    return st;
}

/* A look at whether all files of the version are there. */
typedef struct finding {
    const restoring *r;
    sm_hash_set keys;  /* of the table's folder, … */
    bool knows_keys;   /* … where it was listed */
    sm_arena *scratch; /* of one file */
    int64_t n_gone;
    sm_str first; /* the path of the first that is gone */
} finding;

/* Is there the object that the log names so? One outside the table that cannot be looked for counts
 * as there: where it is to come back, check_restored() has said so. */
static sm_status is_in_store(const finding *w, const sm_delta_file *f, bool *out, sm_error *e)
{
    sm_store *store = NULL;
    sm_str key = {0};
    sm_entry entry;

    *out = true;
    if (sm_snapshot_place(w->r->then, f, w->scratch, &store, &key, NULL) != SM_OK) {
        return SM_OK;
    }
    if (w->knows_keys && f->key.len > 0) {
        *out = sm_hash_set_has(&w->keys, hash_of_key(key));
        return SM_OK;
    }
    const sm_status st = sm_store_stat(store, key, w->scratch, &entry, e);
    *out = st == SM_OK;
    return st == SM_NOT_FOUND ? SM_OK : st;
}

/* The file in which the deletion vector of a file is, as if it were a data file; false where there
 * is none. */
static bool vector_file(const sm_delta_file *f, sm_arena *a, sm_delta_file *out)
{
    *out = (sm_delta_file){0};
    if (f->dv) {
        out->key = sm_delta_dv_key(f->dv, a, &out->path);
    }
    return out->key.len > 0 || out->path.len > 0;
}

static sm_status find_file(void *ctx, const sm_delta_file *f, sm_error *e)
{
    finding *w = ctx;
    sm_delta_file vector;
    bool is_there = true;

    sm_arena_reset(w->scratch);
    SM_TRY(is_in_store(w, f, &is_there, e));
    if (is_there && vector_file(f, w->scratch, &vector)) {
        SM_TRY(is_in_store(w, &vector, &is_there, e));
    }
    if (!is_there && w->n_gone++ == 0) {
        w->first = sm_arena_str(w->r->arena, f->path);
    }
    return SM_OK;
}

static void begin_finding(void *ctx)
{
    finding *w = ctx;

    w->n_gone = 0;
}

static sm_status check_restored(const restoring *r, const sm_delta_file *f, sm_error *e)
{
    sm_store *store = NULL;
    sm_str key = {0};
    sm_delta_file vector;

    SM_TRY(sm_snapshot_place(r->then, f, r->arena, &store, &key, e));
    return vector_file(f, r->arena, &vector)
               ? sm_snapshot_place(r->then, &vector, r->arena, &store, &key, e)
               : SM_OK;
}

static sm_status find_files(finding *w, sm_error *e)
{
    const restoring *r = w->r;
    const sm_delta_sink to = {.begin = begin_finding, .file = find_file, .ctx = w};

    if (w->knows_keys) {
        SM_TRY(list_keys(r, &w->keys, e));
    }
    return sm_snapshot_each(r->then, NULL, &to, e);
}

/* Looks at all files of the version: a table that lacks one of those that stay is no better. */
static sm_status check_files(const restoring *r, sm_error *e)
{
    finding w = {.r = r, .keys = {.budget = r->budget}, .knows_keys = r->out.n_files > MOST_ASKED};

    for (int64_t i = 0; i < r->out.n_restored; i++) {
        SM_TRY(check_restored(r, r->restores[i], e));
    }
    w.scratch = sm_arena_new(r->budget);
    sm_status st = find_files(&w, e);
    sm_hash_set_release(&w.keys);
    sm_arena_free(w.scratch);
    if (st != SM_OK || w.n_gone == 0) {
        return st;
    }
    st = sm_fail(e, SM_NOT_FOUND,
                 "version %" PRId64 " cannot be restored: %" PRId64
                 " of its files %s gone from the store, the first is \"%.*s\"",
                 r->out.version, w.n_gone, w.n_gone == 1 ? "is" : "are", SM_STR_ARG(w.first));
    sm_error_todo(e, "Files are deleted by a vacuum. A later version may still be whole.");
    return st;
}

/* ---- the metadata ---------------------------------------------------------------------------- */

static bool are_same_pairs(const sm_pair *x, int32_t n_x, const sm_pair *y, int32_t n_y)
{
    bool is_same = n_x == n_y;

    for (int32_t i = 0; i < n_x && is_same; i++) {
        is_same = sm_str_eq(x[i].key, y[i].key) && sm_str_eq(x[i].value, y[i].value);
    }
    return is_same;
}

sm_status smi_is_same_schema(const sm_type *x, const sm_type *y, bool *out, sm_error *e)
{
    sm_buf a = {0}, b = {0};

    sm_status st = sm_delta_schema_json(x, &a, e);
    st = st == SM_OK ? sm_delta_schema_json(y, &b, e) : st;
    *out = sm_str_eq(sm_buf_str(&a), sm_buf_str(&b));
    sm_buf_release(&a);
    sm_buf_release(&b);
    return st;
}

sm_status smi_is_same_metadata(const sm_delta_metadata *x, const sm_delta_metadata *y, bool *out,
                               sm_error *e)
{
    bool is_same = false;

    SM_TRY(smi_is_same_schema(x->schema, y->schema, &is_same, e));
    is_same = is_same && sm_str_eq(x->id, y->id) && sm_str_eq(x->name, y->name) &&
              sm_str_eq(x->description, y->description) &&
              are_same_pairs(x->config, x->n_config, y->config, y->n_config) &&
              x->n_partition_columns == y->n_partition_columns;
    for (int32_t i = 0; is_same && i < x->n_partition_columns; i++) {
        is_same = sm_str_eq(x->partition_columns[i], y->partition_columns[i]);
    }
    *out = is_same;
    return SM_OK;
}

/* ---- is it restored already? ----------------------------------------------------------------- */

/* Is there nothing to do? The record says that nothing differs. */
static sm_status find_same(restoring *r, const sm_delta_commit *record, sm_error *e)
{
    sm_delta_commit_info info;
    int64_t version = -1, unused = -1;

    r->out.is_same = r->out.version == r->out.from;
    if (r->out.is_same || record->n_removes > 0 || record->n_restores > 0 || record->metadata) {
        return SM_OK;
    }
    sm_status st =
        sm_delta_info_read(r->store, r->out.from, SM_STR(""), r->arena, &info, &unused, e);
    if (st == SM_OK && sm_delta_effect_of(&info) == SM_DELTA_RESTORES) {
        st = sm_delta_restored_version(r->store, &info, r->budget, &version, e);
    }
    r->out.is_same = st == SM_OK && version == r->out.version;
    return st == SM_NOT_FOUND ? SM_OK : st; /* the log was cleaned up: then nobody knows */
}

/* ---- the commit ------------------------------------------------------------------------------ */

static void set_details(const restoring *r, sm_delta_commit *c)
{
    const sm_restored *o = &r->out;
    sm_value time = {.type = &sm_type_string, .is_null = true};
    char text[SM_TIME_TEXT_BYTES];

    if (r->opts->at.kind == SM_AT_TIME) {
        sm_format_timestamp(r->opts->at.time_us, text);
        time = sm_value_str(sm_arena_str(r->arena, sm_str_of(text)));
    }
    const sm_delta_detail parameters[] = {
        {SM_STR("version"), sm_value_i64(o->version)},
        {SM_STR("timestamp"), time},
    };
    const sm_delta_detail metrics[] = {
        {SM_STR("tableSizeAfterRestore"), sm_value_i64(o->bytes)},
        {SM_STR("numOfFilesAfterRestore"), sm_value_i64(o->n_files)},
        {SM_STR("numRemovedFiles"), sm_value_i64(o->n_removed)},
        {SM_STR("numRestoredFiles"), sm_value_i64(o->n_restored)},
        {SM_STR("removedFilesSize"), sm_value_i64(o->removed_bytes)},
        {SM_STR("restoredFilesSize"), sm_value_i64(o->restored_bytes)},
    };
    c->n_parameters = SM_COUNT(parameters);
    c->parameters =
        memcpy(sm_arena_alloc(r->arena, sizeof(parameters)), parameters, sizeof(parameters));
    c->n_metrics = SM_COUNT(metrics);
    c->metrics = memcpy(sm_arena_alloc(r->arena, sizeof(metrics)), metrics, sizeof(metrics));
}

static sm_status make_record(const restoring *r, sm_delta_commit *out, sm_error *e)
{
    const sm_delta_metadata *then = sm_snapshot_metadata(r->then);
    bool is_same = false;

    *out = (sm_delta_commit){
        .operation = SM_STR("RESTORE"),
        .isolation = SM_READ_ALL,
        .removes = r->removes,
        .n_removes = r->out.n_removed,
        .restores = r->restores,
        .n_restores = r->out.n_restored,
    };
    SM_TRY(smi_is_same_metadata(sm_snapshot_metadata(r->now), then, &is_same, e));
    out->metadata = is_same ? NULL : then;
    set_details(r, out);
    return SM_OK;
}

/* ---- the door -------------------------------------------------------------------------------- */

static sm_status open_versions(restoring *r, sm_error *e)
{
    const sm_table_at *at = &r->opts->at;

    SM_TRY(smi_open_settled(r->store, r->opts->is_trial, r->budget, &r->now, e));
    r->out.from = sm_snapshot_version(r->now);
    r->out.version = at->version;
    if (at->kind == SM_AT_TIME) {
        SM_TRY(sm_delta_version_at(r->now, at->time_us, &r->out.version, e));
    }
    if (r->out.version > r->out.from) {
        return sm_fail(e, SM_NOT_FOUND,
                       "no version %" PRId64 " of table %.*s: its latest is %" PRId64,
                       r->out.version, SM_STR_ARG(sm_store_uri(r->store)), r->out.from);
    }
    return sm_snapshot_open_head(r->store, r->out.version, r->budget, &r->then, e);
}

/* All but the publication. */
static sm_status prepare(restoring *r, sm_error *e)
{
    sm_delta_prepared unused;

    SM_TRY(open_versions(r, e));
    SM_TRY(compare_files(r, e));
    SM_ASSERT(r->out.n_restored <= r->out.n_files);
    SM_TRY(check_files(r, e));
    SM_TRY(make_record(r, &r->record, e));
    SM_TRY(find_same(r, &r->record, e));
    return r->opts->is_trial || r->out.is_same
               ? sm_delta_prepare(r->now, &r->record, r->arena, &unused, e)
               : SM_OK;
}

/* In one publication, of those that are not as at their version already. */
static sm_status publish(restoring *items, int32_t n, sm_budget *budget, sm_error *e)
{
    sm_arena *a = items[0].arena;
    sm_candidate **candidates = SM_NEW_ARRAY(a, sm_candidate *, n);
    int64_t *versions = SM_NEW_ARRAY(a, int64_t, n);
    int32_t n_made = 0;
    sm_status st = SM_OK;

    for (int32_t i = 0; i < n; i++) {
        if (!items[i].out.is_same) {
            candidates[n_made++] =
                smi_candidate_of_record(items[i].store, items[i].now, &items[i].record, budget);
        }
    }
    if (n_made > 0) {
        st = sm_publish(candidates, n_made, budget, versions, NULL, e);
    }
    for (int32_t i = 0, k = 0; i < n; i++) {
        if (!items[i].out.is_same) {
            items[i].out.made = versions[k];
            sm_candidate_release(candidates[k++]);
        }
    }
    return st;
}

sm_status sm_tables_restore(sm_store *const *tables, const sm_restore *opts, int32_t n,
                            sm_budget *budget, sm_restored *out, sm_error *e)
{
    sm_arena *a = sm_arena_new(budget);
    restoring *items = SM_NEW_ARRAY(a, restoring, n);
    sm_status st = SM_OK;

    SM_ASSERT(n > 0);
    for (int32_t i = 0; i < n && st == SM_OK; i++) {
        SM_ASSERT(opts[i].at.kind != SM_AT_NEWEST && opts[i].is_trial == opts[0].is_trial);
        items[i] = (restoring){.store = tables[i],
                               .budget = budget,
                               .arena = sm_arena_new(budget),
                               .opts = &opts[i],
                               .out = {.made = -1}};
        st = prepare(&items[i], e);
    }
    if (st == SM_OK && !opts[0].is_trial) {
        st = publish(items, n, budget, e);
    }
    for (int32_t i = 0; i < n; i++) {
        if (st == SM_OK) {
            out[i] = items[i].out;
        }
        sm_snapshot_release(items[i].then);
        sm_snapshot_release(items[i].now);
        if (items[i].arena) {
            sm_arena_free(items[i].arena);
        }
    }
    sm_arena_free(a);
    return st;
}

sm_status sm_table_restore(sm_store *table, const sm_restore *opts, sm_budget *budget,
                           sm_restored *out, sm_error *e)
{
    return sm_tables_restore(&table, opts, 1, budget, out, e);
}
