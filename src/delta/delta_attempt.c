/* SPDX-License-Identifier: Apache-2.0
 *
 * delta/delta_attempt.c: brings a prepared commit into a table's log.
 *
 * Calls    new, then weigh (a commit that another is about to make), look (reads what is there) and
 *          put (writes the commit) in any order, then state, version and conflict. By
 *          table_publish.c, table_course.c and sm_delta_commit_write().
 * Method   Each version after the commit's base is read in turn. It is the commit itself (by its
 *          txnId), or another commit that this one may follow, or one that conflicts with it. The
 *          first version that does not exist is put if absent; if another writer was faster, that
 *          version is read as well and the search goes on.
 * Once     A writer puts version N only after it has read every version from the base to N - 1 and
 *          has not found the commit there. Versions never change. So two puts of the same commit
 *          cannot both succeed: the writer of the later one would have read the earlier one. For
 *          the same reason all writers of a commit find the same conflict.
 * Waiting  There is none between a put that lost and the next: only foreign writers compete for a
 *          version (smelt's own take turns by the lake's journal), and they would get it.
 * Lost     A put whose answer never came may have been carried out. The text of the version tells.
 * Cleaned  Where the log was cleaned up, or the table was made anew, versions that existed once are
 *          free again. So the log must still have the base.
 * Rules    Optimistic concurrency over what the commit has read. The rules depend on the commit and
 *          the log only, never on who applies them: otherwise two helpers of one commit could
 *          decide differently.
 * Source   PROTOCOL.md, "Delta Log Entries" */
#include <inttypes.h>

#include "base/hash_set.h"
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
    sm_error why;  /* of the conflict */
    smi_home home; /* of the table; lives in the arena */

    /* Of texts that the versions before them decide (delta_late.c). */
    bool wants_stamp, wants_rows;
    int64_t stamped;  /* the last version that was read here; −1: none … */
    bool has_stamp;   /* … and whether it has … */
    int64_t stamp_ms; /* … a timestamp */
    int64_t high_row; /* the highest row id that others have given out since the base; −1: none */

    /* What the commit itself does; parsed when the first version of another writer is read. */
    bool has_claims;
    sm_hash_set removed; /* files that it removes, with whatever deletion vector: those of two
                          * writers differ */
    sm_map *app_ids;     /* of its transactions */
    sm_map *domains;     /* of its domain metadata */
    bool changes_table;  /* its metadata or its protocol */
    bool brings_back;    /* it undoes a commit that removed files, and adds them again */
    sm_bounds read;
    sm_map *read_files; /* the base's files that may hold rows within `read`, by
                         * smi_file_identity(); NULL: not asked for yet */
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
    t->removed.budget = budget;
    t->arena = sm_arena_new(budget);
    t->home = smi_home_of(s, t->arena);
    t->state = SM_DELTA_FREE;
    t->version = c->base + 1;
    t->wants_stamp = smi_wants_stamp(c->text);
    t->wants_rows = smi_wants_rows(c->text);
    t->stamped = t->high_row = -1;
    return t;
}

void sm_delta_attempt_free(sm_delta_attempt *t)
{
    if (!t) {
        return;
    }
    sm_snapshot_release(t->base);
    sm_store_release(t->store);
    sm_hash_set_release(&t->removed);
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
    SM_ASSERT(t->why.status == SM_CONFLICT);
    if (e) {
        *e = t->why;
    }
    return SM_CONFLICT;
}

/* ---- what the commit does -------------------------------------------------------------------- */

static sm_status note_claim(void *ctx, const smi_action *action, sm_error *e)
{
    sm_delta_attempt *t = ctx;

    if (action->kind == SMI_ACTION_REMOVE) {
        return sm_hash_set_add(&t->removed, smi_path_hash(&t->home, action->path), NULL, e);
    }
    if (action->kind == SMI_ACTION_TXN) {
        *sm_map_at(t->app_ids, action->txn.app_id) = t;
    } else if (action->kind == SMI_ACTION_DOMAIN &&
               !sm_str_is(action->domain.name, SMI_DOMAIN_ROWS)) { /* two may give out row ids */
        *sm_map_at(t->domains, action->domain.name) = t;
    } else if (action->kind == SMI_ACTION_ADD && t->c->isolation == SM_READ_UNDONE) {
        t->brings_back = true;
    } else if (action->kind == SMI_ACTION_METADATA || action->kind == SMI_ACTION_PROTOCOL) {
        t->changes_table = true;
    }
    return SM_OK;
}

static sm_status need_claims(sm_delta_attempt *t, sm_error *e)
{
    if (t->has_claims) {
        return SM_OK;
    }
    if (!t->base && t->c->base >= 0) {
        SM_TRY(sm_snapshot_open_head(t->store, t->c->base, t->budget, &t->base, e));
    }
    SM_ASSERT(t->base ? t->base->version == t->c->base : t->c->base < 0);
    t->app_ids = sm_map_new(t->arena);
    t->domains = sm_map_new(t->arena);
    sm_status st = smi_log_lines(t->c->text, NULL, note_claim, t, e);
    if (st == SM_OK && t->base) {
        st = smi_read_parse(t->c->read, t->base->metadata.schema, t->arena, &t->read, e);
    }
    t->has_claims = st == SM_OK;
    return st;
}

/* ---- what another commit did ----------------------------------------------------------------- */

/* A commit, as it is read: a version of the log, or one that is to become a version. */
typedef struct rival {
    sm_delta_attempt *attempt;
    bool is_ours; /* it is the commit of the attempt */
    bool has_stamp;
    int64_t stamp_ms, high_row; /* that it says; −1: none */
    const char *why;            /* what it does that conflicts; NULL: nothing */
} rival;

/* The first conflict is the one that is reported. */
static void set_conflict(rival *v, const char *why)
{
    v->why = v->why ? v->why : why;
}

/* Could a file that another commit adds hold rows that this commit has read? */
static bool is_read(const rival *v, const smi_action *add)
{
    const sm_delta_attempt *t = v->attempt;

    if (t->c->isolation == SM_READ_NOTHING || t->c->isolation == SM_READ_UNDONE) {
        return false;
    }
    if (t->c->isolation != SM_READ_FILES || !t->base) {
        return true;
    }
    smi_pruner *p = smi_pruner_new(&t->base->metadata, &t->read, t->budget);
    const bool is_excluded = smi_pruner_excludes(p, add);
    smi_pruner_free(p);
    return !is_excluded;
}

static sm_status note_read(void *ctx, const smi_action *add, sm_error *e)
{
    sm_delta_attempt *t = ctx;
    sm_buf text = {0};

    (void)e;
    const sm_str id = smi_file_identity(&t->home, add->path, add->dv, &text);
    *sm_map_at(t->read_files, id) = t->read_files; /* any value: it is there */
    sm_buf_release(&text);
    return SM_OK;
}

/* Finds the files of the base that may hold rows that this commit has read, when it is first asked
 * for one. */
static sm_status find_read_files(sm_delta_attempt *t, sm_error *e)
{
    if (t->read_files) {
        return SM_OK;
    }
    smi_pruner *p = smi_pruner_new(&t->base->metadata, &t->read, t->budget);
    t->read_files = sm_map_new(t->arena);
    const sm_status st =
        smi_live_each(t->base, p, SMI_WHOLE, (smi_action_sink){.each = note_read, .ctx = t}, e);
    smi_pruner_free(p);
    if (st != SM_OK) {
        t->read_files = NULL; /* what is there is not all */
    }
    return st;
}

/* Did another commit remove rows that this commit has read, in a file that this one leaves? What
 * this one wrote may be due to a row that is gone. Files that came after the base were judged when
 * they were added. */
static sm_status removes_read(const rival *v, const smi_action *remove, bool *out, sm_error *e)
{
    sm_delta_attempt *t = v->attempt;
    sm_buf text = {0};

    *out = t->c->isolation == SM_READ_ALL;
    if (t->c->isolation != SM_READ_FILES || !t->base) {
        return SM_OK;
    }
    SM_TRY(find_read_files(t, e));
    *out = sm_map_get(t->read_files,
                      smi_file_identity(&t->home, remove->path, remove->dv, &text)) != NULL;
    sm_buf_release(&text);
    return SM_OK;
}

/* A transaction says that certain rows are in the table. After a RESTORE or an overwrite those of
 * earlier transactions may be gone, so a commit with transactions cannot follow one. Neither can a
 * commit that brings files back. */
static void weigh_info(rival *v, const smi_action *action)
{
    const sm_delta_attempt *t = v->attempt;
    sm_delta_commit_info info = {0};

    v->is_ours =
        v->is_ours || sm_str_eq(sm_json_text(sm_json_get(action->info, "txnId")), t->c->id);
    v->has_stamp = sm_json_i64(sm_json_get(action->info, "inCommitTimestamp"), &v->stamp_ms);
    smi_info_of(action, &info);
    const sm_delta_effect effect = sm_delta_effect_of(&info);
    if (effect == SM_DELTA_CHANGES || (sm_map_count(t->app_ids) == 0 && !t->brings_back)) {
        return;
    }
    set_conflict(v, effect == SM_DELTA_RESTORES ? "has restored an earlier version"
                                                : "has overwritten rows");
}

static sm_status weigh_remove(rival *v, const smi_action *action, sm_error *e)
{
    const sm_delta_attempt *t = v->attempt;
    bool was_read = false;

    if (sm_hash_set_has(&t->removed, smi_path_hash(&t->home, action->path))) {
        set_conflict(v, "has removed a file that this one removes");
        return SM_OK;
    }
    if (t->c->isolation == SM_READ_LAYOUT) {
        set_conflict(v, "has removed a file");
        return SM_OK;
    }
    if (!action->data_change) {
        return SM_OK;
    }
    SM_TRY(removes_read(v, action, &was_read, e));
    if (was_read) {
        set_conflict(v, "has removed rows of what was read");
    } else if (t->brings_back) {
        set_conflict(v, "has removed rows since");
    }
    return SM_OK;
}

/* Properties by which writers lay out files, which `smelt table cluster` sets. */
static bool is_of_layout(sm_str key)
{
    static const char *const keys[] = {"smelt.clusterBy", "smelt.clusterCurve",
                                       "smelt.rowGroupRows", "delta.targetFileSize"};
    for (int i = 0; i < SM_COUNT(keys); i++) {
        if (sm_str_is(key, keys[i])) {
            return true;
        }
    }
    return false;
}

/* Are all properties of x that are not of the layout in y too? */
static bool has_properties(const sm_delta_metadata *x, const sm_delta_metadata *y)
{
    for (int32_t i = 0; i < x->n_config; i++) {
        const sm_pair *p = &x->config[i];
        bool is_there = is_of_layout(p->key);
        for (int32_t k = 0; k < y->n_config && !is_there; k++) {
            is_there =
                sm_str_eq(p->key, y->config[k].key) && sm_str_eq(p->value, y->config[k].value);
        }
        if (!is_there) {
            return false;
        }
    }
    return true;
}

/* Does the rival change only properties of the layout? Who only writes rows need not know. */
static bool changes_layout_only(const sm_delta_attempt *t, const smi_action *action)
{
    const sm_delta_metadata *m = &action->metadata;

    SM_ASSERT(action->kind == SMI_ACTION_METADATA);
    if (!t->base || t->changes_table) {
        return false;
    }
    const sm_delta_metadata *was = &t->base->metadata;
    bool is_same = sm_str_eq(m->id, was->id) && sm_str_eq(m->name, was->name) &&
                   sm_str_eq(m->description, was->description) &&
                   m->n_partition_columns == was->n_partition_columns &&
                   smi_are_same_schemas(action->schema_json, t->base->schema_json);
    for (int32_t i = 0; is_same && i < m->n_partition_columns; i++) {
        is_same = sm_str_eq(m->partition_columns[i], was->partition_columns[i]);
    }
    return is_same && has_properties(m, was) && has_properties(was, m);
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
        if (!changes_layout_only(t, action)) {
            set_conflict(v, t->c->base < 0 ? "has made the table"
                                           : "has changed the schema or the properties");
        }
        break;
    case SMI_ACTION_PROTOCOL:
        set_conflict(v, t->c->base < 0 ? "has made the table" : "has changed the protocol");
        break;
    case SMI_ACTION_TXN:
        if (sm_map_get(t->app_ids, action->txn.app_id)) {
            set_conflict(v, "has loaded into the table too");
        }
        break;
    case SMI_ACTION_DOMAIN:
        if (sm_map_get(t->domains, action->domain.name)) {
            set_conflict(v, "has changed the same domain metadata");
        }
        if (sm_str_is(action->domain.name, SMI_DOMAIN_ROWS)) {
            v->high_row = smi_high_row(&action->domain);
        }
        break;
    case SMI_ACTION_ADD:
        if (t->c->isolation == SM_READ_LAYOUT) {
            set_conflict(v, "has added a file");
        } else if (action->data_change && is_read(v, action)) {
            set_conflict(v, "has added rows to what was read");
        }
        break;
    case SMI_ACTION_REMOVE:
        return weigh_remove(v, action, e);
    default:
        break;
    }
    return SM_OK;
}

/* ---- going through the log ------------------------------------------------------------------- */

/* Reads the version that the attempt stands at: passes it, or ends the attempt there. SM_NOT_FOUND
 * where the version does not exist. */
static sm_status read_version(sm_delta_attempt *t, sm_error *e)
{
    SM_ASSERT(t->state == SM_DELTA_FREE && t->version > t->c->base);
    rival v = {.attempt = t, .high_row = -1};
    const smi_log_reading what = {.budget = t->budget, .each = weigh_action, .ctx = &v};

    sm_status st = need_claims(t, e);
    if (st == SM_OK) {
        st = smi_commit_read(t->store, t->version, &what, e);
    }
    if (st == SM_OK && t->c->base < 0) {
        set_conflict(&v, "has made the table");
    }
    if (st == SM_OK && v.is_ours) {
        t->state = SM_DELTA_DONE;
    } else if (st == SM_OK && v.why) {
        sm_fail(&t->why, SM_CONFLICT, "version %" PRId64 " of another writer %s", t->version,
                v.why);
        sm_error_todo(&t->why, "It is safe to run again.");
        t->state = SM_DELTA_CONFLICT;
    } else if (st == SM_OK) {
        t->stamped = t->version++;
        t->has_stamp = v.has_stamp;
        t->stamp_ms = v.stamp_ms;
        t->high_row = v.high_row > t->high_row ? v.high_row : t->high_row;
    }
    return st;
}

/* The versions that the log has, from the base on. */
typedef struct versions {
    bool has_base;
    int64_t newest; /* the last of the unbroken row of commits after the base, or the base itself */
    bool has_gap;   /* there are commits after `newest`, but not the next one */
} versions;

static sm_status list_versions(const sm_delta_attempt *t, sm_arena *a, versions *out, sm_error *e)
{
    smi_log_listing l;

    *out = (versions){.newest = t->c->base, .has_base = t->c->base < 0};
    SM_TRY(smi_log_list_after(t->store, t->c->base > 0 ? t->c->base - 1 : -1, a, &l, e));
    for (int64_t i = 0; i < l.n; i++) {
        const smi_log_entry entry = l.what[i];
        if (entry.kind == SMI_ENTRY_OTHER || entry.kind == SMI_ENTRY_CHECKSUM ||
            entry.kind == SMI_ENTRY_COMPACTED) {
            continue;
        }
        out->has_base = out->has_base || entry.version == t->c->base;
        if (entry.kind == SMI_ENTRY_COMMIT && entry.version == out->newest + 1) {
            out->newest++;
        } else if (entry.version > out->newest) {
            out->has_gap = entry.kind == SMI_ENTRY_COMMIT || out->has_gap;
        }
    }
    SM_ASSERT(out->newest >= t->c->base);
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
        sm_fail(&t->why, SM_CONFLICT, "the log of %.*s no longer has version %" PRId64,
                SM_STR_ARG(sm_store_uri(t->store)), there.has_base ? there.newest + 1 : t->c->base);
        sm_error_todo(&t->why, "Somebody has cleaned it up, or made the table anew.");
        t->state = SM_DELTA_LOST;
    }
    while (st == SM_OK && t->state == SM_DELTA_FREE && t->version <= there.newest) {
        st = read_version(t, e);
    }
    return st;
}

sm_status sm_delta_attempt_weigh(sm_delta_attempt *t, const sm_delta_prepared *other, sm_error *e)
{
    SM_ASSERT(t && other && t->state == SM_DELTA_FREE && !sm_str_eq(other->id, t->c->id));
    rival v = {.attempt = t};

    sm_status st = need_claims(t, e);
    if (st == SM_OK) {
        st = smi_log_lines(other->text, NULL, weigh_action, &v, e);
    }
    if (st == SM_OK && t->c->base < 0) {
        set_conflict(&v, "has made the table");
    }
    if (st == SM_OK && v.why) {
        st = sm_fail(e, SM_CONFLICT, "another writer, which is publishing now, %s", v.why);
    }
    return st;
}

/* After a put that was not answered by SM_OK: reads the version to see whose it is. `put` is
 * SM_EXISTS where the version was taken; after a failure that leaves the outcome open the version
 * may be this commit, or not exist: then the failure is returned. */
static sm_status settle_put(sm_delta_attempt *t, sm_status put, sm_error *e)
{
    sm_error unused = {0};

    SM_ASSERT(put != SM_OK && t->state == SM_DELTA_FREE);
    if (put == SM_EXISTS) {
        return read_version(t, e);
    }
    if (!sm_status_retry(put)) {
        return put;
    }
    const sm_status seen = read_version(t, &unused);
    return seen == SM_OK ? SM_OK : put;
}

/* Finds the timestamp of the version before, where none was read yet: that of the base. */
static sm_status need_stamp(sm_delta_attempt *t, sm_error *e)
{
    sm_delta_commit_info info;
    int64_t unused = 0;

    SM_ASSERT(t->stamped < 0 || t->stamped == t->version - 1);
    if (!t->wants_stamp || t->stamped >= 0 || t->c->base < 0) {
        return SM_OK;
    }
    SM_ASSERT(t->version == t->c->base + 1);
    SM_TRY(sm_delta_info_read(t->store, t->c->base, SM_STR(""), t->arena, &info, &unused, e));
    const sm_json *said = NULL;
    SM_TRY(sm_json_parse(info.json.len > 0 ? info.json : SM_STR("{}"), t->arena, &said, e));
    t->has_stamp = sm_json_i64(sm_json_get(said, "inCommitTimestamp"), &t->stamp_ms);
    t->stamped = t->c->base;
    return SM_OK;
}

/* The version before has no timestamp, as none before the first that has one: then the time of its
 * file counts. */
static sm_status need_file_time(sm_delta_attempt *t, sm_error *e)
{
    char key[SMI_LOG_KEY_BYTES];
    sm_entry entry = {0};

    if (!t->wants_stamp || t->has_stamp || t->stamped < 0) {
        return SM_OK;
    }
    smi_commit_key(t->stamped, key);
    SM_TRY(sm_store_stat(t->store, sm_str_of(key), t->arena, &entry, e));
    t->has_stamp = true;
    t->stamp_ms = entry.modified_us / 1000;
    return SM_OK;
}

/* The text as that of the version at which the attempt stands: in `filled`, where versions before
 * decide some of it. */
static sm_status text_of(sm_delta_attempt *t, sm_buf *filled, sm_str *out, sm_error *e)
{
    smi_before before = {.base = t->c->base,
                         .has_rows = t->wants_rows && t->version > t->c->base + 1,
                         .base_high_row = -1};

    *out = t->c->text;
    if (!t->wants_stamp && !before.has_rows) {
        return SM_OK;
    }
    SM_TRY(need_stamp(t, e));
    SM_TRY(need_file_time(t, e));
    if (before.has_rows) {
        SM_TRY(need_claims(t, e));
        before.base_high_row = smi_high_row(sm_snapshot_domain(t->base, SM_STR(SMI_DOMAIN_ROWS)));
    }
    before.has_stamp = t->has_stamp;
    before.stamp_ms = t->stamp_ms;
    before.high_row = t->high_row > before.base_high_row ? t->high_row : before.base_high_row;
    sm_buf_reset(filled);
    smi_late_fill(t->c->text, t->version, &before, filled);
    *out = sm_buf_str(filled);
    return SM_OK;
}

static sm_status put_once(sm_delta_attempt *t, sm_error *e)
{
    char key[SMI_LOG_KEY_BYTES];
    sm_buf filled = {0};
    sm_str text;
    const size_t filled_bytes = t->wants_stamp || t->wants_rows ? t->c->text.len : 0;

    SM_TRY(sm_budget_take(t->budget, filled_bytes, e));
    sm_status st = text_of(t, &filled, &text, e);
    if (st == SM_OK) {
        smi_commit_key(t->version, key);
        st = sm_store_put(t->store, sm_str_of(key), text.data, text.len, SM_PUT_IF_ABSENT, e);
        if (st == SM_OK) {
            t->state = SM_DELTA_DONE;
        } else {
            st = settle_put(t, st, e);
        }
    }
    sm_buf_release(&filled);
    sm_budget_give(t->budget, filled_bytes);
    return st;
}

sm_status sm_delta_attempt_put(sm_delta_attempt *t, sm_error *e)
{
    SM_ASSERT(t);
    for (int tries = 0; tries < MOST_TRIES && t->state == SM_DELTA_FREE; tries++) {
        SM_TRY(put_once(t, e));
    }
    return t->state != SM_DELTA_FREE
               ? SM_OK
               : sm_fail(e, SM_CONFLICT, "other writers were faster %d times", MOST_TRIES);
}
