/* SPDX-License-Identifier: Apache-2.0
 *
 * delta/delta_due.c: what is written into the log behind a commit, so that readers open the table
 * with few reads: a checkpoint, or a log compaction file. Called by delta_commit.c and the table
 * room after a commit.
 *
 * Checkpoint  Every delta.checkpointInterval versions, where the table has that property. Else
 *             every 10 versions; but a large one costs more to write than it saves, so it waits
 *             until the commits since the last one are 1/20 of its size, or until there are 100 of
 *             them. So checkpoints have at most about 20 times as many bytes as the commits.
 * Compaction  Every 10 versions where there is no checkpoint: of the last 10 commits, or of those
 *             after the last checkpoint. So a version of a table with the default interval is
 *             opened by a checkpoint and at most 9 files and 9 commits. Large commits stay: reading
 *             them takes longer than opening them.
 *
 * Source  PROTOCOL.md, "Checkpoints", "Log Compaction Files" */
#include <inttypes.h>

#include "base/log.h"
#include "base/text.h"
#include "delta/delta_int.h"

#define INTERVAL              10  /* Delta's default for checkpoints; of compaction files too */
#define LONGEST_INTERVAL      100 /* of checkpoints, where the table does not say */
#define LARGE_CHECKPOINT      ((uint64_t)4 << 20)
#define CHECKPOINT_PER_COMMIT 20
#define MOST_COMPACTED_BYTES  ((uint64_t)16 << 20)

/* 0: the table does not say. */
static int64_t said_interval(const sm_delta_metadata *m)
{
    int64_t interval = 0;
    const sm_str text = smi_config(m, "delta.checkpointInterval");

    return text.len && sm_parse_i64(text, &interval) && interval >= 1 ? interval : 0;
}

/* What the log has of the last versions up to one. */
typedef struct recent {
    int64_t checkpoint; /* the newest; −1: none of them has one */
    uint64_t checkpoint_bytes;
    uint64_t commit_bytes; /* of all commits after it */
    int64_t first;         /* the commits that a compaction file would have: from this version on */
    int64_t n_commits;
    uint64_t compacted_bytes;
} recent;

static void find_checkpoint(const smi_log_listing *l, int64_t version, recent *r)
{
    for (int64_t i = 0; i < l->n; i++) {
        const smi_log_entry *w = &l->what[i];
        if ((w->kind != SMI_ENTRY_CHECKPOINT && w->kind != SMI_ENTRY_PART) ||
            w->version > version) {
            continue;
        }
        r->checkpoint_bytes = w->version == r->checkpoint ? r->checkpoint_bytes : 0;
        r->checkpoint = w->version;
        r->checkpoint_bytes += l->entries[i].size_bytes;
    }
}

static recent look(const smi_log_listing *l, int64_t version)
{
    recent r = {.checkpoint = -1};

    find_checkpoint(l, version, &r);
    SM_ASSERT(r.checkpoint <= version && version % INTERVAL == 0);
    r.first = version + 1 - INTERVAL;
    r.first = r.checkpoint >= r.first ? r.checkpoint + 1 : r.first;
    for (int64_t i = 0; i < l->n; i++) {
        const smi_log_entry *w = &l->what[i];
        if (w->kind != SMI_ENTRY_COMMIT || w->version <= r.checkpoint || w->version > version) {
            continue;
        }
        r.commit_bytes += l->entries[i].size_bytes;
        if (w->version >= r.first) {
            r.compacted_bytes += l->entries[i].size_bytes;
            r.n_commits++;
        }
    }
    SM_ASSERT(r.compacted_bytes <= r.commit_bytes && r.n_commits <= INTERVAL);
    return r;
}

/* Is a checkpoint due that the table does not ask for at this version? */
static bool is_worth(const recent *r)
{
    SM_ASSERT(r->checkpoint >= 0 || r->checkpoint_bytes == 0);
    return r->checkpoint < 0 || r->checkpoint_bytes < LARGE_CHECKPOINT ||
           r->commit_bytes >= r->checkpoint_bytes / CHECKPOINT_PER_COMMIT;
}

/* Is there a file to write that has at least two commits, and not too large ones? */
static bool is_compactable(const recent *r, int64_t version)
{
    SM_ASSERT(r->first >= 0);
    return r->n_commits == version + 1 - r->first && r->n_commits > 1 &&
           r->compacted_bytes <= MOST_COMPACTED_BYTES;
}

/* Writes what is due. *is_checkpoint: it was a checkpoint. */
static sm_status write_due(sm_store *store, const sm_delta_metadata *m, int64_t version,
                           sm_budget *budget, bool *is_checkpoint, sm_arena *a, sm_error *e)
{
    const int64_t said = said_interval(m);
    sm_snapshot *s = NULL;
    recent r = {.checkpoint = -1};

    *is_checkpoint = version % (said ? said : INTERVAL) == 0;
    if (!*is_checkpoint && (version % INTERVAL != 0 || (said && said <= INTERVAL))) {
        return SM_OK;
    }
    if (!said || !*is_checkpoint) {
        smi_log_listing l;
        SM_TRY(smi_log_list_after(store, version - LONGEST_INTERVAL, a, &l, e));
        r = look(&l, version);
        *is_checkpoint = *is_checkpoint && is_worth(&r);
    }
    if (!*is_checkpoint) {
        return is_compactable(&r, version) ? smi_compacted_write(store, r.first, version, budget, e)
                                           : SM_OK;
    }
    sm_status st = smi_snapshot_open_commits(store, version, budget, &s, e);
    if (st == SM_OK) {
        st = sm_delta_checkpoint(s, budget, e);
    }
    sm_snapshot_release(s);
    return st;
}

bool sm_delta_checkpoint_if_due(sm_store *store, const sm_delta_metadata *m, int64_t version,
                                sm_budget *budget)
{
    bool is_checkpoint = false;
    sm_error e = {0};

    SM_ASSERT(version >= 0);
    if (version == 0) {
        return false;
    }
    sm_arena *a = sm_arena_new(budget);
    const sm_status st = write_due(store, m, version, budget, &is_checkpoint, a, &e);
    if (st != SM_OK) { /* the commit stands; a later one tries again */
        sm_log(sm_store_log(store), SM_LOG_WARN,
               "could not write the %s of version %" PRId64 ": %s",
               is_checkpoint ? "checkpoint" : "log compaction file", version, e.what);
    }
    sm_arena_free(a);
    return st == SM_OK && is_checkpoint;
}
