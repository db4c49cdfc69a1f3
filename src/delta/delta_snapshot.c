/* SPDX-License-Identifier: Apache-2.0
 *
 * delta/delta_snapshot.c: opening a version of a table: lists the log, picks the newest whole
 * checkpoint at or before the version, replays it and the commits after it.
 *
 * Checkpoints  classic (N.checkpoint.parquet), in parts (N.checkpoint.I.OF.parquet, whole where all
 *              OF are there), and V2 (N.checkpoint.UUID.json or .parquet, with sidecars). The
 *              listing says which there are, so _last_checkpoint is never needed and a broken one
 *              does no harm.
 * Gaps         Every commit after the checkpoint must be there, else the log is damaged.
 *
 * Source  PROTOCOL.md, "Checkpoints", "Action Reconciliation" */
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>

#include "base/text.h"
#include "delta/delta_int.h"

/* ---- what the log's folder holds ------------------------------------------------------------- */

typedef struct checkpoint {
    int64_t version; /* −1: none */
    bool is_json;    /* V2 as JSON */
    sm_str *keys;
    int64_t n_keys;
} checkpoint;

typedef struct listing {
    sm_entry *entries;
    int64_t n;
    int64_t first_commit, last_commit; /* −1: none */
} listing;

static sm_status list_log(sm_store *s, sm_arena *a, listing *out, sm_error *e)
{
    *out = (listing){.first_commit = -1, .last_commit = -1};
    const sm_status st = sm_store_list(s, SM_STR(SMI_LOG), true, a, &out->entries, &out->n, e);
    if (st != SM_OK && st != SM_NOT_FOUND) {
        return st;
    }
    for (int64_t i = 0; i < out->n; i++) {
        int64_t version = 0;
        sm_str rest;
        if (smi_version_of_key(out->entries[i].key, &version, &rest) && sm_str_is(rest, ".json")) {
            out->first_commit = out->first_commit < 0 ? version : out->first_commit;
            out->last_commit = version;
        }
    }
    return SM_OK;
}

/* ".checkpoint.0000000001.0000000003.parquet" -> 3; 0 where it is no part. */
static int64_t parts_of(sm_str rest)
{
    int64_t part = 0, of = 0;
    const size_t prefix = strlen(".checkpoint.");

    if (rest.len != prefix + 10 + 1 + 10 + strlen(".parquet") || rest.data[prefix + 10] != '.' ||
        !sm_parse_i64((sm_str){rest.data + prefix, 10}, &part) ||
        !sm_parse_i64((sm_str){rest.data + prefix + 11, 10}, &of)) {
        return 0;
    }
    return of;
}

/* Is this entry a checkpoint by itself, or the last of a whole set of parts? */
static bool is_whole(const listing *l, int64_t i, int64_t version, sm_str rest, sm_arena *a,
                     checkpoint *out)
{
    const int64_t parts = parts_of(rest);
    const int64_t first = parts ? i - parts + 1 : i;

    if (first < 0) {
        return false;
    }
    for (int64_t p = first; p <= i; p++) { /* the listing is sorted: parts stand together */
        int64_t v = 0;
        sm_str r;
        if (!smi_version_of_key(l->entries[p].key, &v, &r) || v != version ||
            (parts && parts_of(r) != parts)) {
            return false;
        }
    }
    *out = (checkpoint){.version = version, .is_json = sm_str_ends(rest, SM_STR(".json"))};
    out->keys = SM_NEW_ARRAY(a, sm_str, i - first + 1);
    for (int64_t p = first; p <= i; p++) {
        out->keys[out->n_keys++] = l->entries[p].key;
    }
    return true;
}

/* The newest one at or before the version. */
static checkpoint find_checkpoint(const listing *l, int64_t at, sm_arena *a)
{
    checkpoint found = {.version = -1};

    for (int64_t i = l->n - 1; i >= 0; i--) {
        int64_t version = 0;
        sm_str rest;
        if (smi_version_of_key(l->entries[i].key, &version, &rest) && version <= at &&
            sm_str_starts(rest, SM_STR(".checkpoint.")) &&
            is_whole(l, i, version, rest, a, &found)) {
            return found;
        }
    }
    return found;
}

/* ---- replay ---------------------------------------------------------------------------------- */

typedef struct replay {
    sm_snapshot *snapshot;
    sm_str *sidecars;
    int64_t n_sidecars, cap_sidecars;
} replay;

static sm_status apply(void *ctx, const smi_action *action, sm_error *e)
{
    replay *r = ctx;

    if (action->kind == SMI_ACTION_SIDECAR) {
        r->sidecars = sm_arena_grow(r->snapshot->arena, r->sidecars, r->n_sidecars,
                                    &r->cap_sidecars, sizeof(*r->sidecars));
        r->sidecars[r->n_sidecars++] = action->path;
        return SM_OK;
    }
    smi_state_apply(r->snapshot, action);
    return SM_OK;
}

static sm_status replay_sidecars(replay *r, sm_error *e)
{
    sm_snapshot *s = r->snapshot;

    for (int64_t i = 0; i < r->n_sidecars; i++) {
        sm_str name = {0};
        bool is_outside = false;
        SM_TRY(smi_path_key(r->sidecars[i], s->arena, &name, &is_outside, e));
        if (is_outside) {
            return sm_fail(e, SM_UNSUPPORTED, "sidecar \"%.*s\" lies outside the log",
                           SM_STR_ARG(r->sidecars[i]));
        }
        const sm_str key = sm_arena_strf(s->arena, SMI_LOG "_sidecars/%.*s", SM_STR_ARG(name));
        SM_TRY(smi_checkpoint_read(s->store, key, s->budget, s->arena, apply, r, e));
    }
    return SM_OK;
}

static sm_status replay_checkpoint(sm_snapshot *s, const checkpoint *c, sm_error *e)
{
    replay r = {.snapshot = s};

    for (int64_t i = 0; i < c->n_keys; i++) {
        if (c->is_json) {
            SM_TRY(smi_log_text_read(s->store, c->keys[i], s->arena, apply, &r, e));
        } else {
            SM_TRY(smi_checkpoint_read(s->store, c->keys[i], s->budget, s->arena, apply, &r, e));
        }
    }
    return replay_sidecars(&r, e);
}

static sm_status replay_commits(sm_snapshot *s, int64_t from, int64_t to, sm_error *e)
{
    replay r = {.snapshot = s};

    for (int64_t version = from; version <= to; version++) {
        const sm_status st = smi_commit_read(s->store, version, s->arena, apply, &r, e);
        if (st == SM_NOT_FOUND) {
            return sm_fail(e, SM_CORRUPT, "version %" PRId64 " is missing from the log of %.*s",
                           version, SM_STR_ARG(sm_store_uri(s->store)));
        }
        SM_TRY(st);
    }
    return SM_OK;
}

/* Which version is asked for, and can it be had? */
static sm_status choose_version(sm_store *s, const listing *l, const checkpoint *newest,
                                int64_t asked, int64_t *version, sm_error *e)
{
    const int64_t last = l->last_commit > newest->version ? l->last_commit : newest->version;

    if (last < 0) {
        const sm_status st =
            sm_fail(e, SM_NOT_FOUND, "no Delta table in %.*s", SM_STR_ARG(sm_store_uri(s)));
        sm_error_todo(e, "A table is a folder with a folder _delta_log in it.");
        return st;
    }
    *version = asked == SM_VERSION_LATEST ? last : asked;
    if (*version < 0 || *version > last) {
        return sm_fail(e, SM_NOT_FOUND,
                       "no version %" PRId64 " of table %.*s: its latest is %" PRId64, asked,
                       SM_STR_ARG(sm_store_uri(s)), last);
    }
    return SM_OK;
}

static sm_status load(sm_snapshot *s, int64_t asked, sm_error *e)
{
    listing l;

    SM_TRY(list_log(s->store, s->arena, &l, e));
    checkpoint c = find_checkpoint(&l, INT64_MAX, s->arena);
    SM_TRY(choose_version(s->store, &l, &c, asked, &s->version, e));
    c = find_checkpoint(&l, s->version, s->arena);
    if (c.version < 0 && l.first_commit > 0) {
        return sm_fail(e, SM_CORRUPT,
                       "version %" PRId64 " cannot be made: the log begins at version %" PRId64
                       " and has no checkpoint before it",
                       s->version, l.first_commit);
    }
    if (c.version >= 0) {
        SM_TRY(replay_checkpoint(s, &c, e));
    }
    SM_TRY(replay_commits(s, c.version + 1, s->version, e));
    return smi_state_finish(s, e);
}

sm_status sm_snapshot_open(sm_store *store, int64_t version, sm_budget *budget, sm_snapshot **out,
                           sm_error *e)
{
    sm_snapshot *s = sm_alloc_zero(sizeof(*s));

    s->refs = 1;
    s->budget = budget;
    s->arena = sm_arena_new(budget);
    s->store = sm_store_retain(store);
    s->by_path = sm_map_new(s->arena);
    s->tombstone_by_path = sm_map_new(s->arena);
    s->txn_by_id = sm_map_new(s->arena);
    const sm_status st = load(s, version, e);
    if (st != SM_OK) {
        const sm_status told =
            sm_within(e, st, "Delta table %.*s", SM_STR_ARG(sm_store_uri(store)));
        sm_snapshot_release(s);
        return told;
    }
    *out = s;
    return SM_OK;
}

sm_snapshot *sm_snapshot_retain(sm_snapshot *s)
{
    atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
    return s;
}

void sm_snapshot_release(sm_snapshot *s)
{
    if (!s || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) > 1) {
        return;
    }
    sm_store_release(s->store);
    sm_arena_free(s->arena);
    sm_free(s);
}

sm_status sm_delta_exists(sm_store *s, bool *out, sm_error *e)
{
    sm_arena *a = sm_arena_new(NULL);
    listing l;

    const sm_status st = list_log(s, a, &l, e);
    if (st == SM_OK) {
        *out = l.last_commit >= 0 || find_checkpoint(&l, INT64_MAX, a).version >= 0;
    }
    sm_arena_free(a);
    return st;
}

/* ---- asking ---------------------------------------------------------------------------------- */

int64_t sm_snapshot_version(const sm_snapshot *s)
{
    return s->version;
}
sm_store *sm_snapshot_store(const sm_snapshot *s)
{
    return s->store;
}
const sm_delta_protocol *sm_snapshot_protocol(const sm_snapshot *s)
{
    return &s->protocol;
}
const sm_delta_metadata *sm_snapshot_metadata(const sm_snapshot *s)
{
    return &s->metadata;
}
const sm_delta_file *sm_snapshot_files(const sm_snapshot *s, int64_t *n)
{
    *n = s->n_files;
    return s->files;
}
const sm_delta_txn *sm_snapshot_txns(const sm_snapshot *s, int64_t *n)
{
    *n = s->n_txns;
    return s->txns;
}
int64_t sm_snapshot_txn(const sm_snapshot *s, sm_str app_id)
{
    const int64_t i = (int64_t)(intptr_t)sm_map_get(s->txn_by_id, app_id) - 1; /* apply_txn's */
    return i < 0 ? -1 : s->txns[i].version;
}
