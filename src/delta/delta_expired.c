/* SPDX-License-Identifier: Apache-2.0
 *
 * delta/delta_expired.c: which files of the log nobody needs any more, and deleting them. Called
 * after a checkpoint was written, by delta_commit.c and the table room.
 *
 * Kept     the newest commit that is not younger than the retention, and all after it; and what
 *          opening it needs: the newest checkpoint at or before it, with all commits from there on.
 *          Commits, checkpoints and checksums before that checkpoint are expired, and log
 *          compaction files that begin before it or with it.
 * Time     A commit's time is that of its file, as in delta_time.c: never before that of an
 *          earlier version. The limit is the midnight (UTC) before now less the retention, as in
 *          Spark, so a log is cleaned up once a day at most.
 * How long delta.logRetentionDuration, or 30 days; but at least as long as removed files are kept,
 *          for vacuum learns from the log when they were removed; and never less than a day.
 *          Nothing is deleted where delta.enableExpiredLogCleanup is false, or where one of the
 *          durations is not understood.
 * Order    The oldest first: where it stops half-way, the rest is deleted next time.
 * Sidecars where something else is deleted, those that no checkpoint names which is kept, and that
 *          are older than the midnight a day ago: a checkpoint that is being written names its own
 *          only at its end. If the checkpoint that is kept lacks one of its own, nothing goes.
 * Source   PROTOCOL.md, "Metadata Cleanup" */
#include "base/log.h"
#include "delta/delta_int.h"

#define DAY_US                ((int64_t)86400 * 1000000)
#define DEFAULT_RETENTION_US  (30 * DAY_US)
#define SMALLEST_RETENTION_US DAY_US

/* ---- how long -------------------------------------------------------------------------------- */

/* −1: nothing may be deleted. */
static int64_t retention_us(const sm_delta_metadata *m)
{
    const sm_str is_on = smi_config(m, "delta.enableExpiredLogCleanup");
    const int64_t log_us = smi_duration_us(m, "delta.logRetentionDuration", DEFAULT_RETENTION_US);
    const int64_t files_us = sm_delta_retention_us(m);

    if ((is_on.len > 0 && !sm_str_eq_nocase(is_on, SM_STR("true"))) || log_us < 0 || files_us < 0) {
        return -1;
    }
    const int64_t longest = log_us > files_us ? log_us : files_us;
    return longest > SMALLEST_RETENTION_US ? longest : SMALLEST_RETENTION_US;
}

/* ---- which files ----------------------------------------------------------------------------- */

/* The newest commit that is not younger than the limit; −1: none. */
static int64_t oldest_wanted(const sm_entry *entries, int64_t n, int64_t limit_ms)
{
    int64_t version = -1, ms = INT64_MIN;

    SM_ASSERT(n == 0 || entries);
    for (int64_t i = 0; i < n; i++) {
        const smi_log_entry what = smi_log_entry_of(entries[i].key);
        if (what.kind != SMI_ENTRY_COMMIT) {
            continue;
        }
        const int64_t own_ms = entries[i].modified_us / 1000;
        ms = ms == INT64_MIN || own_ms > ms ? own_ms : ms + 1;
        if (ms > limit_ms) {
            break;
        }
        version = what.version;
    }
    return version;
}

static bool is_classic(const sm_entry *entry)
{
    return sm_str_ends(entry->key, SM_STR(".checkpoint.parquet"));
}

/* The newest checkpoint of the classic name at or before a version; −1: none. Those in parts may
 * lack one, and those that others name by a UUID a sidecar: they hold nothing up, and end
 * nothing. */
static int64_t checkpoint_before(const sm_entry *entries, int64_t n, int64_t version)
{
    int64_t found = -1;

    for (int64_t i = 0; i < n; i++) {
        const smi_log_entry what = smi_log_entry_of(entries[i].key);
        if (what.kind == SMI_ENTRY_CHECKPOINT && what.version <= version &&
            is_classic(&entries[i])) {
            found = what.version;
        }
    }
    return found;
}

/* ---- sidecars -------------------------------------------------------------------------------- */

typedef struct sidecars {
    sm_arena *arena;
    sm_map *found,
        *named; /* keys: of the listing, with entries; of the checkpoints that are kept */
} sidecars;

static sm_status take_sidecar(void *ctx, const smi_action *action, sm_error *e)
{
    sidecars *c = ctx;
    sm_str key = {0};

    if (action->kind == SMI_ACTION_SIDECAR) {
        SM_TRY(smi_sidecar_key(action->path, c->arena, &key, e));
        *sm_map_at(c->named, key) = c;
        const sm_entry *entry = sm_map_get(c->found, key);
        const uint64_t said = action->size_bytes;
        if (!entry || (said > 0 && entry->size_bytes != said)) {
            return sm_fail(e, SM_NOT_FOUND, "sidecar %.*s is missing, or another file",
                           SM_STR_ARG(key));
        }
    }
    return SM_OK;
}

static sm_status read_named(sm_store *s, const sm_entry *entry, sidecars *c, sm_error *e)
{
    const smi_checkpoint_reading what = {
        .kinds = SMI_KIND(SMI_ACTION_SIDECAR), .each = take_sidecar, .ctx = c};
    const smi_log_reading text = {.arena = c->arena, .each = take_sidecar, .ctx = c};

    return smi_log_entry_of(entry->key).is_json
               ? smi_log_text_read(s, entry->key, &text, e)
               : smi_checkpoint_read(s, entry->key, &what, NULL, e);
}

/* Appends the sidecars that have expired, or takes back all that has: `log` is the log's listing of
 * n_log entries. */
static sm_status add_sidecars(sm_store *s, const sm_entry *log, int64_t n_log, int64_t now_us,
                              sm_arena *a, sm_delta_expired *out, sm_error *e)
{
    sm_entry *entries = NULL;
    int64_t n = 0;
    sidecars c = {.arena = a, .found = sm_map_new(a), .named = sm_map_new(a)};

    const sm_status listed = sm_store_list(s, SM_STR(SMI_LOG_SIDECARS), true, a, &entries, &n, e);
    if (listed != SM_OK || n == 0) {
        return listed == SM_NOT_FOUND ? SM_OK : listed;
    }
    for (int64_t i = 0; i < n; i++) {
        *sm_map_at(c.found, entries[i].key) = &entries[i];
    }
    for (int64_t i = 0; i < n_log; i++) {
        const smi_log_entry what = smi_log_entry_of(log[i].key);
        if (what.kind != SMI_ENTRY_CHECKPOINT || what.version < out->first_kept) {
            continue;
        }
        const sm_status st = read_named(s, &log[i], &c, e);
        if (st != SM_OK) { /* it is not known which it names */
            out->n = what.version == out->first_kept && is_classic(&log[i]) ? 0 : out->n;
            return smi_is_damage(st) ? SM_OK : st;
        }
    }
    const int64_t limit_us = now_us - now_us % DAY_US - DAY_US;
    sm_str *keys = SM_NEW_ARRAY(a, sm_str, out->n + n);
    memcpy(keys, out->keys, (size_t)out->n * sizeof(*keys));
    for (int64_t i = 0; i < n; i++) {
        if (!sm_map_get(c.named, entries[i].key) && entries[i].modified_us < limit_us) {
            keys[out->n++] = entries[i].key;
        }
    }
    out->keys = keys;
    return SM_OK;
}

sm_status sm_delta_log_expired(sm_store *s, const sm_delta_metadata *m, int64_t now_us, sm_arena *a,
                               sm_delta_expired *out, sm_error *e)
{
    const int64_t keep_us = retention_us(m);
    sm_entry *entries = NULL;
    int64_t n = 0;

    *out = (sm_delta_expired){.first_kept = -1};
    if (keep_us < 0) {
        return SM_OK;
    }
    SM_TRY(sm_store_list(s, SM_STR(SMI_LOG), true, a, &entries, &n, e));
    const int64_t limit_us = now_us - keep_us;
    const int64_t midnight_ms = (limit_us - limit_us % DAY_US) / 1000;
    const int64_t wanted = oldest_wanted(entries, n, midnight_ms);
    out->first_kept = wanted < 0 ? -1 : checkpoint_before(entries, n, wanted);
    out->keys = SM_NEW_ARRAY(a, sm_str, n + 1);
    for (int64_t i = 0; i < n; i++) {
        const smi_log_entry what = smi_log_entry_of(entries[i].key);
        /* A log compaction file ends where the commits begin that it would be read instead of. */
        const bool is_cut = what.kind == SMI_ENTRY_COMPACTED && what.version == out->first_kept;
        if (what.kind != SMI_ENTRY_OTHER && (what.version < out->first_kept || is_cut)) {
            out->keys[out->n++] = entries[i].key;
        }
    }
    SM_ASSERT(out->n == 0 || out->first_kept > 0);
    return out->n > 0 ? add_sidecars(s, entries, n, now_us, a, out, e) : SM_OK;
}

void sm_delta_log_delete(sm_store *s, const sm_delta_expired *expired)
{
    sm_error e = {0};

    SM_ASSERT(expired->n >= 0 && (expired->n == 0 || expired->first_kept > 0));
    if (expired->n > 0 && sm_store_delete_many(s, expired->keys, expired->n, &e) != SM_OK) {
        sm_log(sm_store_log(s), SM_LOG_WARN, "old files of the log of %.*s stay: %s",
               SM_STR_ARG(sm_store_uri(s)), e.what);
    }
}
