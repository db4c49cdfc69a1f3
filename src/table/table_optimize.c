/* SPDX-License-Identifier: Apache-2.0
 *
 * table/table_optimize.c: joins small data files into files of a good size, and drops the rows that
 * deletion vectors delete. Called by `smelt table optimize`.
 *
 * Vectors  A file is purged where its deletion vector deletes more than a twentieth of its rows, as
 *          OPTIMIZE of Spark does by default: below that, reading the deleted rows costs less than
 *          writing all others again.
 * Bins     A file is left alone where it has three quarters of the target, and is not to be purged.
 *          The others are taken in the order of the table, as long as they are neighbours in it and
 *          are not larger than the target together: that is a bin, which becomes one file. A bin of
 *          one file that is not to be purged stays as it is.
 * Order    As only neighbours are joined, rows keep their order, and with it the narrow ranges of
 *          values that files of one load have. In a partitioned table the neighbours are those of
 *          the same partition, whose rows keep their order among themselves.
 * Commits  Several bins, of up to MOST_BYTES or MOST_FILES, make a commit. A killed run keeps what
 *          it has committed, and the next one goes on from there: all that is known is in the log.
 *          The table is opened again for each commit, and looked at until nothing is to do. So a
 *          second run finds nothing. Each commit leaves fewer files, or fewer deletion vectors.
 * Others   Files that others add meanwhile are left for the next run, so that this one ends. Where
 *          another commit has removed a file that was being joined, that commit counts: the rewrite
 *          is given up and the newest version looked at, MOST_TRIES times in a row. */
#include "table/table_int.h"

#include "base/thread.h"
#include "base/time.h"

#define DEFAULT_TARGET ((uint64_t)256 << 20)
#define MOST_BYTES     ((uint64_t)1 << 30)
#define MOST_FILES     1000
#define MOST_TRIES     10
#define PURGED_SHARE   20
#define FIRST_WAIT_MS  50 /* after a conflict; doubled for each in a row, up to MOST_WAIT_MS */
#define MOST_WAIT_MS   2000

/* The bins of one commit. */
typedef struct bins {
    const sm_delta_file **files;
    int64_t *numbers; /* one a file: its bin */
    int64_t n_files, n_bins;
    uint64_t bytes;
    /* The bin that is open: files from `first` on. */
    int64_t first;
    uint64_t open_bytes;
    bool is_purged; /* one of its files is */
} bins;

typedef struct optimizing {
    const sm_optimize *opts;
    const sm_exec_env *env;
    sm_store *store;
    sm_arena *arena;
    sm_map *known; /* keys of the files that may be joined */
    sm_snapshot *snapshot;
    sm_optimize_report *report;
} optimizing;

/* ---- which files ----------------------------------------------------------------------------- */

/* A file that a clustering has sorted is none: it would no longer be marked as sorted. */
static bool is_small(const optimizing *w, const sm_delta_file *f)
{
    return smi_cluster_mark_of(f).by.len == 0 && f->cluster_provider.len == 0 &&
           f->size_bytes < w->report->target_bytes - w->report->target_bytes / 4;
}

/* Does its deletion vector delete so many rows that the file is better written anew? */
static bool is_purged(const sm_delta_file *f)
{
    return f->dv && (f->n_rows < 0 || f->dv->cardinality > f->n_rows / PURGED_SHARE);
}

/* Ends the open bin; forgets it where it would move a file for nothing. */
static void end_bin(bins *b)
{
    const int64_t n = b->n_files - b->first;

    if (n > 1 || b->is_purged) {
        b->n_bins++;
        b->bytes += b->open_bytes;
    } else {
        b->n_files = b->first;
    }
    b->first = b->n_files;
    b->open_bytes = 0;
    b->is_purged = false;
}

static void put_in_bin(bins *b, const sm_delta_file *f, uint64_t target)
{
    if (b->open_bytes + f->size_bytes > target) {
        end_bin(b);
    }
    b->files[b->n_files] = f;
    b->numbers[b->n_files++] = b->n_bins;
    b->open_bytes += f->size_bytes;
    b->is_purged = b->is_purged || is_purged(f);
}

static bool is_full(const bins *b)
{
    return b->bytes >= MOST_BYTES || b->n_files >= MOST_FILES;
}

/* Finds the bins of the next commit. A trial wants all of them. */
static void find_bins(const optimizing *w, sm_arena *a, bins *out)
{
    int64_t n = 0;
    const smi_placed_file *files = smi_partition_files(w->snapshot, a, &n);

    *out = (bins){
        .files = SM_NEW_ARRAY(a, const sm_delta_file *, n + 1),
        .numbers = SM_NEW_ARRAY(a, int64_t, n + 1),
    };
    for (int64_t i = 0; i < n && (w->opts->is_dry || !is_full(out)); i++) {
        const sm_delta_file *f = files[i].file;
        if (i > 0 && files[i].partition != files[i - 1].partition) {
            end_bin(out);
        }
        if ((is_small(w, f) || is_purged(f)) && sm_map_get(w->known, f->key)) {
            put_in_bin(out, f, w->report->target_bytes);
        } else {
            end_bin(out);
        }
    }
    end_bin(out);
    SM_ASSERT(out->n_files >= out->n_bins && out->n_files <= n);
}

/* ---- the table ------------------------------------------------------------------------------- */

/* What can be refused is refused before a row is read. */
static sm_status check_commit(const optimizing *w, sm_arena *a, sm_error *e)
{
    const sm_delta_commit c = {.operation = SM_STR("OPTIMIZE"), .keeps_rows = true};
    sm_delta_prepared unused;

    return sm_delta_prepare(w->snapshot, &c, a, &unused, e);
}

static void learn_files(optimizing *w)
{
    int64_t n = 0;
    const sm_delta_file *files = sm_snapshot_files(w->snapshot, &n);

    w->known = sm_map_new(w->arena);
    for (int64_t i = 0; i < n; i++) {
        *sm_map_at(w->known, sm_arena_str(w->arena, files[i].key)) = w;
    }
}

static sm_status open_first(optimizing *w, sm_error *e)
{
    sm_optimize_report *r = w->report;

    SM_TRY(sm_store_open(w->env->stores, w->opts->uri, &w->store, e));
    SM_TRY(smi_open_settled(w->store, w->opts->is_dry, w->env->budget, &w->snapshot, e));
    SM_TRY(check_commit(w, w->arena, e));
    r->from = sm_snapshot_version(w->snapshot);
    r->target_bytes = w->opts->target_bytes;
    if (r->target_bytes == 0) {
        SM_TRY(sm_delta_target_bytes(sm_snapshot_metadata(w->snapshot), &r->target_bytes, e));
    }
    r->target_bytes = r->target_bytes > 0 ? r->target_bytes : DEFAULT_TARGET;
    learn_files(w);
    return SM_OK;
}

static sm_status open_again(optimizing *w, sm_error *e)
{
    sm_snapshot_release(w->snapshot);
    w->snapshot = NULL;
    return smi_open_settled(w->store, false, w->env->budget, &w->snapshot, e);
}

/* ---- a commit -------------------------------------------------------------------------------- */

static void count_removed(optimizing *w, const bins *b)
{
    sm_optimize_report *r = w->report;

    r->n_bins += b->n_bins;
    r->n_removed += b->n_files;
    r->removed_bytes += b->bytes;
    for (int64_t i = 0; i < b->n_files; i++) {
        r->n_vectors += b->files[i]->dv != NULL;
    }
}

static void count_commit(optimizing *w, const bins *b, const sm_candidate *c, int64_t version)
{
    sm_optimize_report *r = w->report;

    count_removed(w, b);
    r->version = version;
    r->n_commits++;
    r->n_added += c->record.n_adds;
    r->added_bytes += c->bytes;
    for (int64_t i = 0; i < c->record.n_adds; i++) {
        r->n_rows += c->record.adds[i].n_rows;
        *sm_map_at(w->known, sm_arena_str(w->arena, c->record.adds[i].key)) = w;
    }
}

static sm_status join_files(optimizing *w, const bins *b, sm_error *e)
{
    int64_t version = -1, n_copied = 0;
    const smi_rewrite rewrite = {.base = w->snapshot,
                                 .files = b->files,
                                 .n_files = b->n_files,
                                 .bins = b->numbers,
                                 .n_copied = &n_copied};
    sm_candidate *c = NULL;

    SM_TRY(smi_rewrite_files(&rewrite, w->env, &c, e));
    SM_ASSERT(c->record.n_adds <= b->n_bins);
    const sm_status st = sm_publish(&c, 1, w->env->budget, &version, NULL, e);
    if (st == SM_OK) {
        count_commit(w, b, c, version);
        w->report->n_copied += n_copied;
    }
    sm_candidate_release(c);
    return st;
}

/* After the conflict number n in a row: waits, longer each time, so that who writes gets on. */
static sm_status wait_and_reopen(optimizing *w, int n, sm_error *e)
{
    int wait_ms = FIRST_WAIT_MS << n;

    wait_ms = wait_ms < MOST_WAIT_MS ? wait_ms : MOST_WAIT_MS;
    for (int ms = 0; ms < wait_ms && !sm_cancel_is_set(w->env->cancel); ms += FIRST_WAIT_MS) {
        sm_sleep_ms(FIRST_WAIT_MS);
    }
    w->report->n_conflicts++;
    return open_again(w, e);
}

/* One commit, or the end: *is_done. */
static sm_status next_commit(optimizing *w, bool *is_done, sm_error *e)
{
    sm_status st = SM_CONFLICT;

    for (int tries = 0; tries < MOST_TRIES && st == SM_CONFLICT; tries++) {
        bins b;
        sm_arena *a = sm_arena_new(w->env->budget);
        st = tries > 0 ? wait_and_reopen(w, tries - 1, e) : SM_OK;
        if (st == SM_OK) {
            find_bins(w, a, &b);
            *is_done = b.n_bins == 0;
            st = *is_done ? SM_OK : join_files(w, &b, e);
        }
        sm_arena_free(a);
    }
    return st;
}

static sm_status join_all(optimizing *w, sm_error *e)
{
    bool is_done = false;

    while (!is_done) {
        SM_TRY(next_commit(w, &is_done, e));
        if (!is_done) {
            SM_TRY(open_again(w, e));
        }
    }
    return SM_OK;
}

/* ---- the door -------------------------------------------------------------------------------- */

sm_status sm_table_optimize(const sm_optimize *o, const sm_exec_env *env, sm_optimize_report *out,
                            sm_error *e)
{
    SM_ASSERT(o && env && out && o->uri.len > 0);
    *out = (sm_optimize_report){.from = -1, .version = -1};
    optimizing w = {.opts = o, .env = env, .arena = sm_arena_new(env->budget), .report = out};
    bins b;

    sm_status st = open_first(&w, e);
    if (st == SM_OK && o->is_dry) {
        find_bins(&w, w.arena, &b);
        count_removed(&w, &b);
    } else if (st == SM_OK) {
        st = join_all(&w, e);
    }
    sm_snapshot_release(w.snapshot);
    sm_store_release(w.store);
    sm_arena_free(w.arena);
    return st;
}
