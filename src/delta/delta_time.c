/* SPDX-License-Identifier: Apache-2.0
 *
 * delta/delta_time.c: finds which version a table had at a time. Called where a user names a time
 * in place of a version: by table_pin.c and table_changes.c; delta_changes.c asks for the times of
 * versions.
 *
 * Time     of a version: where the table has in-commit timestamps, what its commit says
 *          (inCommitTimestamp, which grows from version to version); else when the file of its
 *          commit was last modified. Such times may be equal, or go back after a copy: then a
 *          version counts as one millisecond later than the one before it, as in Spark.
 * Both     A table that got in-commit timestamps later says in its properties at which version and
 *          time. From that time on the versions since then are looked at, before it the others.
 * Begin    Only versions that can be opened count: from the first commit, or, where that is not
 *          version 0, from the oldest checkpoint that the log still has.
 * Source   PROTOCOL.md, "In-Commit Timestamps", "Recommendations for Readers of Tables with
 *          In-Commit Timestamps"; Spark's DeltaHistoryManager */
#include <inttypes.h>

#include "base/text.h"
#include "base/time.h"
#include "delta/delta_int.h"

typedef struct commit_time {
    int64_t version;
    int64_t ms; /* when its file was modified; never before that of an earlier version */
} commit_time;

/* The commits that a search looks at, the oldest first. */
typedef struct timeline {
    const sm_snapshot *newest;
    sm_arena *arena;
    commit_time *items;
    int64_t n;
    int64_t since; /* the first of them that has a timestamp of its own; n: none has */
} timeline;

/* ---- the commits ----------------------------------------------------------------------------- */

/* The first version from which on every version can be opened. */
static int64_t first_whole(const smi_log_listing *l, sm_arena *a)
{
    int64_t i = l->n, first = INT64_MAX;

    if (l->first_commit == 0) {
        return 0;
    }
    for (;;) {
        const smi_checkpoint c = smi_next_checkpoint(l, INT64_MAX, &i, a);
        if (c.version < 0) {
            return first;
        }
        SM_ASSERT(c.version <= first); /* the newest comes first */
        first = c.version;
    }
}

static sm_status list_times(timeline *t, sm_error *e)
{
    smi_log_listing l;

    SM_TRY(smi_log_list(t->newest->store, t->arena, &l, e));
    const int64_t first = first_whole(&l, t->arena);
    t->items = SM_NEW_ARRAY(t->arena, commit_time, l.n + 1);
    for (int64_t i = 0; i < l.n; i++) {
        const smi_log_entry *what = &l.what[i];
        const bool is_seen = what->kind == SMI_ENTRY_COMMIT && what->version >= first &&
                             what->version <= t->newest->version;
        if (is_seen) {
            const int64_t ms = l.entries[i].modified_us / 1000;
            const int64_t least = t->n > 0 ? t->items[t->n - 1].ms + 1 : ms;
            SM_ASSERT(t->n == 0 || what->version > t->items[t->n - 1].version);
            t->items[t->n++] = (commit_time){what->version, ms > least ? ms : least};
        }
    }
    if (t->n == 0) {
        return sm_fail(e, SM_NOT_FOUND, "the log of %.*s no longer has the times of its versions",
                       SM_STR_ARG(sm_store_uri(t->newest->store)));
    }
    return SM_OK;
}

/* ---- timestamps in commits ------------------------------------------------------------------- */

static bool number_of(const timeline *t, const char *property, int64_t *out)
{
    return sm_parse_i64(smi_config(&t->newest->metadata, property), out);
}

/* Finds the commits that have a timestamp of their own, and since when. *since_ms is INT64_MIN
 * where all have one. */
static void find_since(timeline *t, int64_t *since_ms)
{
    const sm_str enabled = smi_config(&t->newest->metadata, "delta.enableInCommitTimestamps");
    int64_t version = 0;

    t->since = t->n;
    *since_ms = INT64_MIN;
    if (!sm_str_eq_nocase(enabled, SM_STR("true"))) {
        return;
    }
    if (!number_of(t, "delta.inCommitTimestampEnablementVersion", &version) ||
        !number_of(t, "delta.inCommitTimestampEnablementTimestamp", since_ms)) {
        version = 0;
        *since_ms = INT64_MIN;
    }
    while (t->since > 0 && t->items[t->since - 1].version >= version) {
        t->since--;
    }
}

typedef struct stamp {
    int64_t ms;
    bool is_there;
} stamp;

static sm_status take_stamp(void *ctx, const smi_action *action, sm_error *e)
{
    stamp *s = ctx;

    if (action->kind == SMI_ACTION_COMMIT_INFO) {
        s->is_there = sm_json_i64(sm_json_get(action->info, "inCommitTimestamp"), &s->ms);
    }
    return SM_OK;
}

static sm_status read_stamp(const timeline *t, int64_t i, int64_t *ms, sm_error *e)
{
    sm_arena *a = sm_arena_new(t->newest->budget);
    stamp s = {0};
    const smi_log_reading what = {
        .arena = a, .budget = t->newest->budget, .each = take_stamp, .ctx = &s};

    SM_ASSERT(i >= t->since && i < t->n);
    sm_status st = smi_commit_read(t->newest->store, t->items[i].version, &what, e);
    if (st == SM_OK && !s.is_there) {
        st = sm_fail(e, SM_CORRUPT,
                     "version %" PRId64 " has no inCommitTimestamp, which the table has enabled",
                     t->items[i].version);
    }
    *ms = s.ms;
    sm_arena_free(a);
    return st;
}

/* ---- the search ------------------------------------------------------------------------------ */

/* Is a time in milliseconds not after one in microseconds? No multiplication, which could pass the
 * ends of int64_t. */
static bool is_by(int64_t ms, int64_t time_us)
{
    const int64_t floor_ms = time_us / 1000 - (time_us % 1000 < 0);

    return ms <= floor_ms;
}

static sm_status time_of(const timeline *t, int64_t i, int64_t *ms, sm_error *e)
{
    if (i >= t->since) {
        return read_stamp(t, i, ms, e);
    }
    *ms = t->items[i].ms;
    return SM_OK;
}

/* The last item of [first, end) that is not after the time, by halving; first − 1 where there is
 * none. */
static sm_status search(const timeline *t, int64_t first, int64_t end, int64_t time_us,
                        int64_t *out, sm_error *e)
{
    int64_t low = first - 1, high = end;

    while (high - low > 1) {
        const int64_t middle = low + (high - low) / 2;
        int64_t ms = 0;
        SM_TRY(time_of(t, middle, &ms, e));
        if (is_by(ms, time_us)) {
            low = middle;
        } else {
            high = middle;
        }
    }
    *out = low;
    return SM_OK;
}

static sm_status fail_before(const timeline *t, int64_t time_us, sm_error *e)
{
    char asked[SM_TIME_TEXT_BYTES], first[SM_TIME_TEXT_BYTES];
    int64_t ms = 0;

    SM_TRY(time_of(t, 0, &ms, e));
    sm_format_timestamp(time_us, asked);
    sm_format_timestamp(ms > INT64_MAX / 1000 ? SM_TIMESTAMP_INFINITY : ms * 1000, first);
    return sm_fail(e, SM_NOT_FOUND, "no version at %s: the first, version %" PRId64 ", is of %s",
                   asked, t->items[0].version, first);
}

/* The place of the last version that is not after the time; −1: there is none. */
static sm_status find(timeline *t, int64_t time_us, int64_t *out, sm_error *e)
{
    int64_t since_ms = 0;

    find_since(t, &since_ms);
    const bool has_stamp = t->since < t->n && (t->since == 0 || is_by(since_ms, time_us));
    SM_TRY(has_stamp ? search(t, t->since, t->n, time_us, out, e)
                     : search(t, 0, t->since, time_us, out, e));
    SM_ASSERT(*out >= -1 && *out < t->n);
    return SM_OK;
}

static sm_status of_table(const sm_snapshot *newest, sm_status st, sm_error *e)
{
    return sm_within(e, st, "Delta table %.*s", SM_STR_ARG(sm_store_uri(newest->store)));
}

sm_status sm_delta_version_at(const sm_snapshot *newest, int64_t time_us, int64_t *out, sm_error *e)
{
    timeline t = {.newest = newest, .arena = sm_arena_new(newest->budget)};
    int64_t found = -1;

    sm_status st = list_times(&t, e);
    st = st == SM_OK ? find(&t, time_us, &found, e) : st;
    if (st == SM_OK && found < 0) {
        st = fail_before(&t, time_us, e);
    }
    if (st == SM_OK) {
        *out = t.items[found].version;
        SM_ASSERT(*out >= 0 && *out <= newest->version);
    }
    sm_arena_free(t.arena);
    return of_table(newest, st, e);
}

sm_status sm_delta_version_since(const sm_snapshot *newest, int64_t time_us, int64_t *out,
                                 sm_error *e)
{
    timeline t = {.newest = newest, .arena = sm_arena_new(newest->budget)};
    const int64_t before_us = time_us > INT64_MIN ? time_us - 1 : time_us;
    int64_t found = -1;

    sm_status st = list_times(&t, e);
    st = st == SM_OK ? find(&t, before_us, &found, e) : st;
    if (st == SM_OK) {
        *out = found + 1 < t.n ? t.items[found + 1].version : newest->version + 1;
        SM_ASSERT(*out >= 0 && *out <= newest->version + 1);
    }
    sm_arena_free(t.arena);
    return of_table(newest, st, e);
}

sm_status smi_version_times(const sm_snapshot *newest, sm_arena *a, smi_version_time **out,
                            int64_t *n, sm_error *e)
{
    timeline t = {.newest = newest, .arena = a};
    int64_t since_ms = 0;

    SM_TRY(list_times(&t, e));
    find_since(&t, &since_ms);
    *out = SM_NEW_ARRAY(a, smi_version_time, t.n);
    for (int64_t i = 0; i < t.n; i++) {
        (*out)[i] = (smi_version_time){
            .version = t.items[i].version,
            .ms = t.items[i].ms,
            .is_in_commit = i >= t.since,
        };
    }
    *n = t.n;
    return SM_OK;
}
