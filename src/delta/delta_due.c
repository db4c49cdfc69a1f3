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
 *             At once, whatever the interval, behind a commit of MANY_FILES, as a clone or the
 *             overwrite of a large table is: of such a commit each reader would keep all files.
 *             Again not where it is large and the commits are less than 1/20 of it.
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
/* A commit of so many files takes who opens the table 13 MB, or 9 MB less by a checkpoint, and 8 ms
 * of CPU more. Writing the checkpoint takes 32 ms: four opens. (`smelt table show` of a clone.) */
#define MANY_FILES 10000

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
    SM_ASSERT(r.checkpoint <= version);
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

/* Is it worth its bytes, where the table does not ask for it at this version? */
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

static bool has_many_files(const sm_delta_commit *c)
{
    SM_ASSERT(c->n_adds >= 0 && c->n_removes >= 0 && c->n_restores >= 0 && c->n_marks >= 0);
    return c->n_adds + c->n_removes + c->n_restores + c->n_marks >= MANY_FILES;
}

/* What may be due behind a commit, by its version and its record. */
typedef struct due {
    bool is_checkpoint, is_sure; /* is_sure: the table asks for it */
    bool is_compacted;
} due;

static due due_by_version(const sm_delta_metadata *m, const sm_delta_commit *c, int64_t version)
{
    const int64_t said = said_interval(m);
    const bool is_turn = version > 0 && version % (said ? said : INTERVAL) == 0;

    return (due){
        .is_checkpoint = is_turn || has_many_files(c),
        .is_sure = is_turn && said > 0,
        .is_compacted = version > 0 && version % INTERVAL == 0 && !(said && said <= INTERVAL),
    };
}

static sm_status write_checkpoint(sm_store *store, int64_t version, sm_budget *budget, sm_error *e)
{
    sm_snapshot *s = NULL;

    sm_status st = smi_snapshot_open_commits(store, version, budget, &s, e);
    st = st == SM_OK ? sm_delta_checkpoint(s, budget, e) : st;
    sm_snapshot_release(s);
    return st;
}

/* Writes what is due, and leaves in *d what that is. */
static sm_status write_due(sm_store *store, int64_t version, sm_budget *budget, due *d, sm_arena *a,
                           sm_error *e)
{
    recent r = {.checkpoint = -1};

    if (!d->is_sure && (d->is_checkpoint || d->is_compacted)) {
        smi_log_listing l;
        SM_TRY(smi_log_list_after(store, version - LONGEST_INTERVAL, a, &l, e));
        r = look(&l, version);
        d->is_checkpoint = d->is_checkpoint && is_worth(&r);
    }
    if (d->is_checkpoint) {
        return write_checkpoint(store, version, budget, e);
    }
    return d->is_compacted && is_compactable(&r, version)
               ? smi_compacted_write(store, r.first, version, budget, e)
               : SM_OK;
}

bool sm_delta_checkpoint_if_due(sm_store *store, const sm_snapshot *base, const sm_delta_commit *c,
                                int64_t version, sm_budget *budget)
{
    sm_error e = {0};

    SM_ASSERT(version >= 0 && (base || c->metadata));
    due d = due_by_version(c->metadata ? c->metadata : &base->metadata, c, version);
    sm_arena *a = sm_arena_new(budget);
    const sm_status st = write_due(store, version, budget, &d, a, &e);
    if (st != SM_OK) { /* the commit stands; a later one tries again */
        sm_log(sm_store_log(store), SM_LOG_WARN,
               "could not write the %s of version %" PRId64 ": %s",
               d.is_checkpoint ? "checkpoint" : "log compaction file", version, e.what);
    }
    sm_arena_free(a);
    return st == SM_OK && d.is_checkpoint;
}
