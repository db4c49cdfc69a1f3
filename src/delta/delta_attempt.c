/* SPDX-License-Identifier: Apache-2.0
 *
 * delta/delta_attempt.c: the way of a prepared commit into a table's log.
 *
 * Way      From the version behind the commit's base on, each version is read: is it this commit
 *          (by its txnId), is it another's that the commit may stand behind, or one in conflict?
 *          The first version that is not there is put if absent; who finds it taken reads it and
 *          goes on.
 * One      A version is put only by who has seen all versions from the base up to it without the
 *          commit among them, and versions never change. So two puts of the same commit cannot both
 *          succeed: the later version's writer would have met the earlier one. The same holds for
 *          conflicts: all who go this way come to the same end, whoever they are.
 * Lost     A put whose answer never came may have been carried out: the version's text says so.
 * Cleaned  A log that somebody has cleaned up, or a table made anew in the place of the old one,
 *          would have free versions that are long past. So the log must still have the base.
 * Rules    Those of optimistic concurrency over what a writer has read. They must not depend on
 *          who judges: two who disagree about one version would both be right.
 * Source   PROTOCOL.md, "Delta Log Entries" */
#include <inttypes.h>

#include "base/map.h"
#include "delta/delta_int.h"

#define MOST_TRIES 1000

struct sm_delta_attempt {
    sm_store *store;
    sm_snapshot *base; /* NULL: a new table, or not opened yet */
    const sm_delta_prepared *c;
    sm_budget *budget;
    sm_arena *arena;
    sm_delta_state state;
    int64_t version;
    sm_error why; /* of the conflict */

    /* What the commit itself does; read when a version of another is met. */
    bool has_claims;
    sm_map *removed;  /* paths */
    sm_map *app_ids;  /* of its transactions */
    bool brings_back; /* files that an undone commit removed */
    sm_bounds read;
};

sm_delta_attempt *sm_delta_attempt_new(sm_store *s, sm_snapshot *base, const sm_delta_prepared *c,
                                       sm_budget *budget)
{
    SM_ASSERT(s && c && c->id.len > 0 && c->text.len > 0 && c->base >= -1);
    SM_ASSERT(!base || base->version == c->base);
    sm_delta_attempt *t = sm_alloc_zero(sizeof(*t));

    t->store = sm_store_retain(s);
    t->base = base ? sm_snapshot_retain(base) : NULL;
    t->c = c;
    t->budget = budget;
    t->arena = sm_arena_new(budget);
    t->state = SM_DELTA_FREE;
    t->version = c->base + 1;
    return t;
}

void sm_delta_attempt_free(sm_delta_attempt *t)
{
    if (!t) {
        return;
    }
    sm_snapshot_release(t->base);
    sm_store_release(t->store);
    sm_arena_free(t->arena);
    sm_free(t);
}

sm_delta_state sm_delta_attempt_state(const sm_delta_attempt *t)
{
    return t->state;
}

int64_t sm_delta_attempt_version(const sm_delta_attempt *t)
{
    return t->version;
}

sm_status sm_delta_attempt_conflict(const sm_delta_attempt *t, sm_error *e)
{
    if (t->state != SM_DELTA_CONFLICT && t->state != SM_DELTA_LOST) {
        return SM_OK;
    }
    if (e) {
        *e = t->why;
    }
    return SM_CONFLICT;
}

/* ---- what the commit does -------------------------------------------------------------------- */

static sm_status take_claim(void *ctx, const smi_action *action, sm_error *e)
{
    sm_delta_attempt *t = ctx;

    if (action->kind == SMI_ACTION_REMOVE) {
        *sm_map_at(t->removed, action->path) = t;
    } else if (action->kind == SMI_ACTION_TXN) {
        *sm_map_at(t->app_ids, action->txn.app_id) = t;
    } else if (action->kind == SMI_ACTION_ADD && t->c->isolation == SM_READ_UNDONE) {
        t->brings_back = true;
    }
    return SM_OK;
}

static sm_status need_claims(sm_delta_attempt *t, sm_error *e)
{
    sm_arena *scratch = NULL;

    if (t->has_claims) {
        return SM_OK;
    }
    if (!t->base && t->c->base >= 0) {
        SM_TRY(sm_snapshot_open(t->store, t->c->base, t->budget, &t->base, e));
    }
    t->removed = sm_map_new(t->arena);
    t->app_ids = sm_map_new(t->arena);
    scratch = sm_arena_new(t->budget);
    sm_status st = smi_log_lines(t->c->text, scratch, take_claim, t, e);
    if (st == SM_OK && t->base) {
        st = smi_read_parse(t->c->read, t->base->metadata.schema, t->arena, &t->read, e);
    }
    sm_arena_free(scratch);
    t->has_claims = st == SM_OK;
    return st;
}

/* ---- what another one did -------------------------------------------------------------------- */

typedef struct rival {
    sm_delta_attempt *attempt;
    sm_arena *arena; /* of the version's text */
    bool is_ours;
    bool is_conflict;
} rival;

static void conflict(rival *v, const char *what)
{
    sm_error *why = &v->attempt->why;

    if (v->is_conflict) {
        return; /* the first says why */
    }
    v->is_conflict = true;
    sm_fail(why, SM_CONFLICT, "version %" PRId64 " of another writer %s", v->attempt->version,
            what);
    sm_error_todo(why, "It is safe to run again.");
}

/* Could a file hold rows that this commit has read? */
static bool touches_read(const rival *v, const smi_action *action)
{
    const sm_delta_attempt *t = v->attempt;
    sm_delta_file f;
    sm_error unused = {0};

    if (t->c->isolation == SM_READ_NOTHING || t->c->isolation == SM_READ_UNDONE) {
        return false;
    }
    if (t->c->isolation == SM_READ_ALL ||
        smi_file_of(action, &t->base->metadata, v->arena, &f, &unused) != SM_OK || !f.ranges) {
        return true;
    }
    for (int32_t i = 0; i < t->read.n; i++) {
        const sm_bound *b = &t->read.items[i];
        if (sm_bound_excludes(b, &f.ranges[b->path[0]])) {
            return false;
        }
    }
    return true;
}

/* Transactions say what rows were brought in: an earlier version's rows, or all others, may be
 * without those that are told of. Nor can files come back behind such a commit. */
static void weigh_info(rival *v, const smi_action *action)
{
    sm_delta_attempt *t = v->attempt;
    sm_delta_commit_info info = {0};

    v->is_ours =
        v->is_ours || sm_str_eq(sm_json_text(sm_json_get(action->info, "txnId")), t->c->id);
    smi_info_of(action, &info);
    const sm_delta_effect effect = sm_delta_effect_of(&info);
    if (effect == SM_DELTA_CHANGES || (sm_map_count(t->app_ids) == 0 && !t->brings_back)) {
        return;
    }
    conflict(v, effect == SM_DELTA_RESTORES ? "has restored an earlier version"
                                            : "has overwritten rows");
}

static void weigh_remove(rival *v, const smi_action *action)
{
    const sm_delta_attempt *t = v->attempt;

    if (sm_map_get(t->removed, action->path)) {
        conflict(v, "has removed a file that this one removes");
    } else if (action->data_change && t->c->isolation == SM_READ_ALL) {
        conflict(v, "has removed rows of what was read");
    } else if (action->data_change && t->brings_back) {
        conflict(v, "has removed rows since");
    }
}

static sm_status weigh_action(void *ctx, const smi_action *action, sm_error *e)
{
    rival *v = ctx;
    const sm_delta_attempt *t = v->attempt;

    switch (action->kind) {
    case SMI_ACTION_COMMIT_INFO:
        weigh_info(v, action);
        break;
    case SMI_ACTION_METADATA:
        conflict(v, t->c->base < 0 ? "has made the table"
                                   : "has changed the schema or the properties");
        break;
    case SMI_ACTION_PROTOCOL:
        conflict(v, t->c->base < 0 ? "has made the table" : "has changed the protocol");
        break;
    case SMI_ACTION_TXN:
        if (sm_map_get(t->app_ids, action->txn.app_id)) {
            conflict(v, "has loaded into the table too");
        }
        break;
    case SMI_ACTION_ADD:
        if (action->data_change && touches_read(v, action)) {
            conflict(v, "has added rows to what was read");
        }
        break;
    case SMI_ACTION_REMOVE:
        weigh_remove(v, action);
        break;
    default:
        break;
    }
    return SM_OK;
}

/* ---- the way --------------------------------------------------------------------------------- */

/* Reads the next version, which is there, and goes past it or ends. SM_NOT_FOUND: it is not. */
static sm_status step(sm_delta_attempt *t, sm_error *e)
{
    SM_ASSERT(t->state == SM_DELTA_FREE);
    rival v = {.attempt = t, .arena = sm_arena_new(t->budget)};

    sm_status st = need_claims(t, e);
    if (st == SM_OK) {
        st = smi_commit_read(t->store, t->version, v.arena, weigh_action, &v, e);
    }
    if (st == SM_OK && !v.is_ours && t->c->base < 0) {
        conflict(&v, "has made the table");
    }
    if (st == SM_OK && v.is_ours) {
        t->state = SM_DELTA_DONE;
    } else if (st == SM_OK && v.is_conflict) {
        t->state = SM_DELTA_CONFLICT;
    } else if (st == SM_OK) {
        t->version++;
    }
    sm_arena_free(v.arena);
    return st;
}

/* The versions that the log has, from the base on. */
typedef struct versions {
    bool has_base;
    int64_t newest; /* of the commits in one row behind the base; the base where there is none */
    bool has_gap;   /* there are more behind it */
} versions;

static sm_status list_versions(const sm_delta_attempt *t, sm_arena *a, versions *out, sm_error *e)
{
    char after[SMI_LOG_KEY_BYTES] = SMI_LOG;
    sm_entry *entries = NULL;
    int64_t n = 0;

    if (t->c->base > 0) {
        smi_commit_key(t->c->base - 1, after);
    }
    *out = (versions){.newest = t->c->base, .has_base = t->c->base < 0};
    const sm_status st =
        sm_store_list_after(t->store, SM_STR(SMI_LOG), sm_str_of(after), a, &entries, &n, e);
    if (st != SM_OK) {
        return st == SM_NOT_FOUND ? SM_OK : st;
    }
    for (int64_t i = 0; i < n; i++) {
        const smi_log_entry entry = smi_log_entry_of(entries[i].key);
        if (entry.kind == SMI_ENTRY_OTHER) {
            continue;
        }
        out->has_base = out->has_base || entry.version == t->c->base;
        if (entry.kind == SMI_ENTRY_COMMIT && entry.version == out->newest + 1) {
            out->newest++;
        } else if (entry.version > out->newest) {
            out->has_gap = entry.kind == SMI_ENTRY_COMMIT || out->has_gap;
        }
    }
    return SM_OK;
}

sm_status sm_delta_attempt_look(sm_delta_attempt *t, sm_error *e)
{
    SM_ASSERT(t);
    versions there = {0};
    sm_arena *a = sm_arena_new(t->budget);

    sm_status st = list_versions(t, a, &there, e);
    sm_arena_free(a);
    if (st == SM_OK && t->state == SM_DELTA_FREE && (!there.has_base || there.has_gap)) {
        sm_fail(&t->why, SM_CONFLICT, "the log of %.*s has no longer version %" PRId64,
                SM_STR_ARG(sm_store_uri(t->store)), there.has_base ? there.newest + 1 : t->c->base);
        sm_error_todo(&t->why, "Somebody has cleaned it up, or made the table anew.");
        t->state = SM_DELTA_LOST;
    }
    while (st == SM_OK && t->state == SM_DELTA_FREE && t->version <= there.newest) {
        st = step(t, e);
    }
    return st;
}

/* A put that failed, or found the version taken: is it ours all the same? SM_EXISTS: another's is
 * there. */
static sm_status settle_put(sm_delta_attempt *t, sm_status put, sm_error *e)
{
    sm_error unused = {0};

    if (put == SM_EXISTS) {
        return step(t, e);
    }
    if (!sm_status_retry(put)) {
        return put;
    }
    const sm_status seen = step(t, &unused); /* an answer that was lost */
    return seen == SM_OK ? SM_OK : put;
}

sm_status sm_delta_attempt_put(sm_delta_attempt *t, sm_error *e)
{
    SM_ASSERT(t);
    char key[SMI_LOG_KEY_BYTES];

    for (int tries = 0; tries < MOST_TRIES && t->state == SM_DELTA_FREE; tries++) {
        smi_commit_key(t->version, key);
        const sm_status st = sm_store_put(t->store, sm_str_of(key), t->c->text.data, t->c->text.len,
                                          SM_PUT_IF_ABSENT, e);
        if (st == SM_OK) {
            t->state = SM_DELTA_DONE;
        } else {
            SM_TRY(settle_put(t, st, e));
        }
    }
    return t->state != SM_DELTA_FREE
               ? SM_OK
               : sm_fail(e, SM_CONFLICT, "other writers were first %d times", MOST_TRIES);
}
