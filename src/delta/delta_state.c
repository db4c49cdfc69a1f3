/* SPDX-License-Identifier: Apache-2.0
 *
 * delta/delta_state.c: replays actions into a table's state: live files, metadata, protocol,
 * transactions, tombstones. Called by delta_snapshot.c in the order of the log.
 *
 * A file is its path and its deletion vector: an add with another vector is another file. All adds
 * are kept in order, those of removed files too, so that a scan gives rows in the order of loading.
 * A map finds the live add of a file. An add whose tag says so (SMI_TAG_PLACE) stands where a file
 * stood that its commit has removed: it has the same rows in the same order, in fewer files.
 * Checkpoints have the files in that order, and need no such tag.
 *
 * Source  PROTOCOL.md, "Action Reconciliation" */
#include "delta/delta_int.h"

#include <stdlib.h>

sm_str smi_file_identity(sm_str path, const sm_delta_dv *dv, sm_buf *out)
{
    sm_buf_reset(out);
    /* file:/x, file:///x and /x are one: an add may write it one way and its remove another. */
    sm_buf_text(out, smi_without_file_scheme(path));
    if (dv) {
        sm_buf_text(out, (sm_str){"\0", 1});
        sm_buf_text(out, dv->storage_type);
        sm_buf_text(out, dv->path_or_inline);
        sm_buf_printf(out, "@%lld", (long long)dv->offset);
    }
    return sm_buf_str(out);
}

/* A map's value is an index plus one, held as a pointer: NULL means that there is none. */
static int64_t place_get(void *const *place)
{
    return (int64_t)(intptr_t)*place - 1;
}
static void place_set(void **place, int64_t index)
{
    SM_ASSERT(index >= 0 && place_get(place) != index);
    *place = (void *)(intptr_t)(index + 1);
}

int64_t smi_place_of(const sm_map *m, sm_str name)
{
    void *const place = sm_map_get(m, name);

    return place_get(&place);
}

/* Where an add stands: behind all others, or in the place that its tag names. */
static int64_t rank_of(const sm_snapshot *s, const smi_action *add)
{
    int64_t rank = s->n_adds;

    for (int32_t i = 0; i < add->n_tags; i++) {
        if (sm_str_is(add->tags[i].key, SMI_TAG_PLACE)) {
            sm_buf id = {0};
            sm_buf_text(&id, add->tags[i].value);
            for (size_t k = 0; k < id.len; k++) {
                id.data[k] = id.data[k] == '\n' ? '\0' : id.data[k];
            }
            const int64_t at = smi_place_of(s->tombstone_by_path, sm_buf_str(&id));
            rank = at >= 0 && s->tombstones[at].rank >= 0 ? s->tombstones[at].rank : rank;
            sm_buf_release(&id);
        }
    }
    return rank;
}

static void apply_add(sm_snapshot *s, const smi_action *action)
{
    sm_buf key = {0};

    const sm_str id = smi_file_identity(action->path, action->dv, &key);
    void **place = sm_map_at(s->by_path, id);
    const int64_t old = place_get(place);
    if (old >= 0) {
        SM_ASSERT(old < s->n_adds && !s->is_dead[old]);
        s->is_dead[old] = true;
    }
    s->adds = sm_arena_grow(s->arena, s->adds, s->n_adds, &s->cap_adds, sizeof(*s->adds));
    s->is_dead = sm_arena_grow(s->arena, s->is_dead, s->n_adds, &s->cap_dead, sizeof(bool));
    s->ranks = sm_arena_grow(s->arena, s->ranks, s->n_adds, &s->cap_ranks, sizeof(*s->ranks));
    s->adds[s->n_adds] = *action;
    s->is_dead[s->n_adds] = false;
    s->ranks[s->n_adds] = rank_of(s, action);
    place_set(place, s->n_adds++);

    place = sm_map_at(s->tombstone_by_path, id);
    if (place_get(place) >= 0) {
        SM_ASSERT(!s->tombstones[place_get(place)].is_live_again);
        s->tombstones[place_get(place)].is_live_again = true;
        *place = NULL;
    }
    sm_buf_release(&key);
}

static void apply_remove(sm_snapshot *s, const smi_action *action)
{
    sm_buf key = {0};

    int64_t rank = -1;

    const sm_str id = smi_file_identity(action->path, action->dv, &key);
    void **place = sm_map_at(s->by_path, id);
    if (place_get(place) >= 0) {
        SM_ASSERT(place_get(place) < s->n_adds && !s->is_dead[place_get(place)]);
        s->is_dead[place_get(place)] = true;
        rank = s->ranks[place_get(place)];
        *place = NULL;
    }
    place = sm_map_at(s->tombstone_by_path, id);
    int64_t at = place_get(place);
    if (at < 0) { /* else it is removed a second time: the later removal counts */
        at = s->n_tombstones++;
        s->tombstones =
            sm_arena_grow(s->arena, s->tombstones, at, &s->cap_tombstones, sizeof(*s->tombstones));
        place_set(place, at);
    }
    SM_ASSERT(at < s->n_tombstones && s->n_tombstones <= s->cap_tombstones);
    s->tombstones[at] = (smi_tombstone){
        .path = action->path,
        .deleted_ms = action->modified_ms,
        .data_change = action->data_change,
        .dv = action->dv,
        .rank = rank,
    };
    sm_buf_release(&key);
}

static void apply_txn(sm_snapshot *s, const sm_delta_txn *txn)
{
    void **place = sm_map_at(s->txn_by_id, txn->app_id);

    if (place_get(place) >= 0) {
        SM_ASSERT(place_get(place) < s->n_txns);
        s->txns[place_get(place)] = *txn;
        return;
    }
    s->txns = sm_arena_grow(s->arena, s->txns, s->n_txns, &s->cap_txns, sizeof(*s->txns));
    s->txns[s->n_txns] = *txn;
    place_set(place, s->n_txns++);
}

void smi_state_apply(sm_snapshot *s, const smi_action *action)
{
    SM_ASSERT(!s->files); /* a finished snapshot does not change */
    switch (action->kind) {
    case SMI_ACTION_ADD:
        apply_add(s, action);
        break;
    case SMI_ACTION_REMOVE:
        apply_remove(s, action);
        break;
    case SMI_ACTION_METADATA:
        s->metadata = action->metadata;
        s->schema_json = action->schema_json;
        s->has_metadata = true;
        break;
    case SMI_ACTION_PROTOCOL:
        s->protocol = action->protocol;
        s->has_protocol = true;
        break;
    case SMI_ACTION_TXN:
        apply_txn(s, &action->txn);
        break;
    case SMI_ACTION_COMMIT_INFO:
    case SMI_ACTION_SIDECAR:
    case SMI_ACTION_DOMAIN:
    case SMI_ACTION_OTHER:
        break;
    }
}

/* ---- after the last action ------------------------------------------------------------------- */

/* The values of the partition columns, in the metadata's order. */
static sm_status partition_of(const smi_action *add, const sm_delta_metadata *m, sm_arena *a,
                              sm_value **out, sm_error *e)
{
    sm_value *values = SM_NEW_ARRAY(a, sm_value, m->n_partition_columns);

    for (int32_t i = 0; i < m->n_partition_columns; i++) {
        const int32_t column = sm_type_find(m->schema, m->partition_columns[i]);
        SM_ASSERT(column >= 0); /* check_partition_columns() */
        const sm_field *field = &m->schema->fields[column];
        const sm_str physical = smi_physical_name(field, a);
        const sm_pair *said = NULL;
        for (int32_t p = 0; p < add->n_partition; p++) {
            if (sm_str_eq(add->partition[p].key, physical)) {
                said = &add->partition[p];
            }
        }
        if (!said) {
            return sm_fail(e, SM_CORRUPT,
                           "file \"%.*s\" has no value for partition column \"%.*s\"",
                           SM_STR_ARG(add->path), SM_STR_ARG(field->name));
        }
        const sm_status st = smi_partition_value(field->type, said->value, a, &values[i], e);
        if (st != SM_OK) {
            return sm_within(e, st, "column %.*s", SM_STR_ARG(field->name));
        }
    }
    *out = values;
    return SM_OK;
}

sm_status smi_file_of(const smi_action *add, const sm_delta_metadata *m, sm_arena *a,
                      sm_delta_file *out, sm_error *e)
{
    bool is_outside = false;
    sm_value *partition = NULL;

    *out = (sm_delta_file){
        .path = add->path,
        .size_bytes = add->size_bytes,
        .modified_ms = add->modified_ms,
        .stats_json = add->stats_json,
        .dv = add->dv,
        .tags = add->tags,
        .n_tags = add->n_tags,
    };
    SM_TRY(smi_path_key(add->path, a, &out->key, &is_outside, e));
    SM_TRY(partition_of(add, m, a, &partition, e));
    out->partition = partition;
    smi_stats_parse(add->stats_json, m->schema, a, &out->n_rows, &out->ranges);
    return SM_OK;
}

/* Each partition column must be in the schema by its exact name, of a type that is not nested, and
 * named once. */
static sm_status check_partition_columns(const sm_delta_metadata *m, sm_error *e)
{
    for (int32_t i = 0; i < m->n_partition_columns; i++) {
        const sm_str name = m->partition_columns[i];
        const int32_t at = sm_type_find(m->schema, name);
        if (at < 0 || !sm_str_eq(m->schema->fields[at].name, name)) {
            const sm_status st = sm_fail(
                e, SM_CORRUPT, "partition column \"%.*s\" is not in the schema", SM_STR_ARG(name));
            if (at >= 0) {
                sm_error_todo(e, "The schema has \"%.*s\".",
                              SM_STR_ARG(m->schema->fields[at].name));
            }
            return st;
        }
        if (sm_type_is_nested(m->schema->fields[at].type->id)) {
            return sm_fail(e, SM_CORRUPT, "partition column \"%.*s\" is nested", SM_STR_ARG(name));
        }
        for (int32_t before = 0; before < i; before++) {
            if (sm_str_eq(m->partition_columns[before], name)) {
                return sm_fail(e, SM_CORRUPT, "partition column \"%.*s\" is named twice",
                               SM_STR_ARG(name));
            }
        }
    }
    return SM_OK;
}

sm_str smi_config(const sm_delta_metadata *m, const char *key)
{
    for (int32_t i = 0; i < m->n_config; i++) {
        if (sm_str_eq_nocase(m->config[i].key, sm_str_of(key))) {
            return m->config[i].value;
        }
    }
    return (sm_str){0};
}

typedef struct live_add {
    int64_t rank, at;
} live_add;

static int by_rank(const void *x, const void *y)
{
    const live_add *a = x, *b = y;

    if (a->rank != b->rank) {
        return a->rank < b->rank ? -1 : 1;
    }
    return a->at < b->at ? -1 : a->at > b->at;
}

int64_t *smi_state_live(const sm_snapshot *s, sm_arena *a, int64_t *n)
{
    int64_t *out = SM_NEW_ARRAY(a, int64_t, s->n_adds + 1);
    live_add *live = sm_alloc((size_t)(s->n_adds + 1) * sizeof(*live));
    bool is_sorted = true;

    *n = 0;
    for (int64_t i = 0; i < s->n_adds; i++) {
        if (!s->is_dead[i]) {
            SM_ASSERT(s->ranks[i] >= 0 && s->ranks[i] <= i);
            is_sorted = is_sorted && (*n == 0 || live[*n - 1].rank < s->ranks[i]);
            live[(*n)++] = (live_add){s->ranks[i], i};
        }
    }
    if (!is_sorted) {
        qsort(live, (size_t)*n, sizeof(*live), by_rank);
    }
    for (int64_t i = 0; i < *n; i++) {
        out[i] = live[i].at;
    }
    sm_free(live);
    return out;
}

static void open_outside(sm_snapshot *s, const sm_delta_file *f)
{
    if (f->key.len == 0) {
        smi_outside_open(s, f->path);
    }
    if (f->dv && sm_str_is(f->dv->storage_type, "p")) {
        smi_outside_open(s, f->dv->path_or_inline);
    }
}

sm_status smi_state_finish(sm_snapshot *s, sm_error *e)
{
    int64_t n = 0;

    SM_ASSERT(!s->files && s->n_files == 0);
    if (!s->has_protocol) {
        return sm_fail(e, SM_CORRUPT, "the log has no protocol");
    }
    if (!s->has_metadata) {
        return sm_fail(e, SM_CORRUPT, "the log has no metadata");
    }
    SM_TRY(smi_check_reader(&s->protocol, e));
    if (s->schema_json.len == 0) { /* as the reference implementation: no columns */
        s->metadata.schema = sm_type_struct(s->arena, NULL, 0);
    } else {
        SM_TRY(sm_delta_schema_parse(s->schema_json, s->arena, &s->metadata.schema, e));
        SM_TRY(smi_mapping_settle(&s->protocol, &s->metadata, s->arena, e));
    }
    SM_TRY(check_partition_columns(&s->metadata, e));
    const int64_t *live = smi_state_live(s, s->arena, &n);
    s->files = SM_NEW_ARRAY(s->arena, sm_delta_file, n);
    for (int64_t i = 0; i < n; i++) {
        SM_TRY(smi_file_of(&s->adds[live[i]], &s->metadata, s->arena, &s->files[i], e));
        open_outside(s, &s->files[s->n_files++]);
    }
    return SM_OK;
}
