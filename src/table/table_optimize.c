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
 *          second run finds nothing. Each commit leaves fewer files, or fewer deletion vectors. A
 *          commit that leaves no two files that might be joined is the last one (is_settled).
 * Memory   The files are looked at one by one. Of those in bins a hash and a size is kept, and
 *          those of one commit are listed.
 * Others   Files that others add meanwhile are left for the next run, so that this one ends. Where
 *          another commit has removed a file that was being joined, that commit counts: the rewrite
 *          is given up and the newest version looked at, MOST_TRIES times in a row. */
#include "table/table_int.h"

#include <stdlib.h>

#include "base/thread.h"
#include "base/time.h"

#define DEFAULT_TARGET ((uint64_t)256 << 20)
#define MOST_BYTES     ((uint64_t)1 << 30)
#define MOST_FILES     1000
#define MOST_TRIES     10
#define PURGED_SHARE   20
#define FIRST_WAIT_MS  50 /* after a conflict; doubled for each in a row, up to MOST_WAIT_MS */
#define MOST_WAIT_MS   2000

/* A file that is in a bin. */
typedef struct item {
    sm_hash128 hash; /* sm_delta_file_hash() */
    int64_t bin;
    uint64_t size_bytes;
    bool is_purged;
} item;

/* The bins of a partition, or of a commit. */
typedef struct bins {
    item *items; /* bin after bin; not kept in a trial */
    int64_t n_files, cap_items, n_bins;
    uint64_t bytes;
    int64_t n_vectors; /* files that have one */
    int64_t n_movable; /* of a partition: files that might be in a bin */
    bool is_last;      /* of a commit: nothing is to do after it */
    /* The bin that is open: files from `first` on. */
    int64_t first, open_vectors;
    uint64_t open_bytes;
    bool is_purged; /* one of its files is */
} bins;

typedef struct optimizing {
    const sm_optimize *opts;
    const sm_exec_env *env;
    sm_store *store;
    sm_arena *arena;
    sm_hash_set known; /* of the files that may be joined (name_of); none in a trial */
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

/* Deletion vectors come and go, but a file keeps its name. */
static sm_hash128 name_of(sm_str key, sm_str path)
{
    const sm_str name = key.len > 0 ? key : path;

    return sm_hash128_of(name.data, name.len, 0);
}

/* Ends the open bin; forgets it where it would move a file for nothing. */
static void end_bin(bins *b)
{
    const int64_t n = b->n_files - b->first;

    if (n > 1 || b->is_purged) {
        b->n_bins++;
        b->bytes += b->open_bytes;
        b->n_vectors += b->open_vectors;
    } else {
        b->n_files = b->first;
    }
    b->first = b->n_files;
    b->open_bytes = 0;
    b->open_vectors = 0;
    b->is_purged = false;
}

/* a: where the items are kept; NULL: they are only counted. */
static void put_in_bin(bins *b, item i, bool has_vector, uint64_t target, sm_arena *a)
{
    if (b->open_bytes + i.size_bytes > target) {
        end_bin(b);
    }
    if (a) {
        b->items = sm_arena_grow(a, b->items, b->n_files, &b->cap_items, sizeof(*b->items));
        b->items[b->n_files] = i;
        b->items[b->n_files].bin = b->n_bins;
    }
    b->n_files++;
    b->open_bytes += i.size_bytes;
    b->open_vectors += has_vector;
    b->is_purged = b->is_purged || i.is_purged;
}

static bool is_full(const bins *b)
{
    return b->bytes >= MOST_BYTES || b->n_files >= MOST_FILES;
}

/* A look at all files, of which those in bins are noted. */
typedef struct looking {
    optimizing *w;
    sm_arena *arena;
    sm_map *parts; /* identity of a partition -> bins; in the order in which they come in the
                    * table */
    sm_buf text;
    bool learns; /* the first look: what may be joined by this run is what is there now */
} looking;

static void begin_look(void *ctx)
{
    looking *l = ctx;

    l->parts = sm_map_new(l->arena);
}

static sm_status look_at(void *ctx, const sm_delta_file *f, sm_error *e)
{
    looking *l = ctx;
    optimizing *w = l->w;
    const int32_t n_columns = sm_snapshot_metadata(w->snapshot)->n_partition_columns;
    const sm_hash128 name = name_of(f->key, f->path);
    const item i = {.size_bytes = f->size_bytes, .is_purged = is_purged(f)};
    bool may_move = is_small(w, f) || i.is_purged;

    if (may_move && l->learns && !w->opts->is_dry) {
        SM_TRY(sm_hash_set_add(&w->known, name, NULL, e));
    }
    may_move = may_move && (w->opts->is_dry || sm_hash_set_has(&w->known, name));
    bins **part =
        (bins **)sm_map_at(l->parts, smi_partition_identity(f->partition, n_columns, &l->text));
    *part = *part ? *part : SM_NEW(l->arena, bins);
    (*part)->n_movable += may_move;
    if (may_move) {
        item kept = i;
        kept.hash = sm_delta_file_hash(f);
        put_in_bin(*part, kept, f->dv != NULL, w->report->target_bytes,
                   w->opts->is_dry ? NULL : l->arena);
    } else {
        end_bin(*part);
    }
    return SM_OK;
}

/* Is nothing to do in a partition once its bins are joined? Of several bins the new files may be
 * small enough to be joined in their turn, or with a file that did not fit into a bin. */
static bool is_settled(const bins *part)
{
    return part->n_bins == 0 || (part->n_bins == 1 && part->n_movable == part->n_files);
}

/* Takes the first bins of the partitions, as many as make a commit. A trial wants all of them. */
static void take_bins(const looking *l, bins *out)
{
    const bool is_dry = l->w->opts->is_dry;
    int64_t n_in_bins = 0;
    bool are_settled = true;

    *out = (bins){0};
    for (int64_t p = 0; p < sm_map_count(l->parts); p++) {
        bins *part = sm_map_value(l->parts, p);
        end_bin(part);
        n_in_bins += part->n_files;
        are_settled = are_settled && is_settled(part);
        if (is_dry) {
            out->n_files += part->n_files;
            out->n_bins += part->n_bins;
            out->bytes += part->bytes;
            out->n_vectors += part->n_vectors;
        }
        for (int64_t i = 0; !is_dry && i < part->n_files && !is_full(out); i++) {
            if (i == 0 || part->items[i].bin != part->items[i - 1].bin) {
                end_bin(out);
            }
            put_in_bin(out, part->items[i], false, l->w->report->target_bytes, l->arena);
        }
    }
    if (!is_dry) {
        end_bin(out);
    }
    out->is_last = are_settled && out->n_files == n_in_bins;
    SM_ASSERT(out->n_files >= out->n_bins);
}

/* Finds the bins of the next commit. */
static sm_status find_bins(optimizing *w, bool learns, sm_arena *a, bins *out, sm_error *e)
{
    looking l = {.w = w, .arena = a, .learns = learns};

    const sm_status st = sm_snapshot_each(
        w->snapshot, NULL, &(sm_delta_sink){.begin = begin_look, .file = look_at, .ctx = &l}, e);
    if (st == SM_OK) {
        take_bins(&l, out);
    }
    sm_buf_release(&l.text);
    return st;
}

/* ---- the table ------------------------------------------------------------------------------- */

/* What can be refused is refused before a row is read. */
static sm_status check_commit(const optimizing *w, sm_arena *a, sm_error *e)
{
    const sm_delta_commit c = {.operation = SM_STR("OPTIMIZE"), .keeps_rows = true};
    sm_delta_prepared unused;

    return sm_delta_prepare(w->snapshot, &c, a, &unused, e);
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
    r->n_vectors += b->n_vectors;
}

static sm_status count_commit(optimizing *w, const bins *b, const sm_candidate *c, int64_t version,
                              sm_error *e)
{
    sm_optimize_report *r = w->report;

    count_removed(w, b);
    r->version = version;
    r->n_commits++;
    r->n_added += c->record.n_adds;
    r->added_bytes += c->bytes;
    for (int64_t i = 0; i < c->record.n_adds; i++) {
        const sm_str key = c->record.adds[i].key;
        r->n_rows += c->record.adds[i].n_rows;
        SM_TRY(sm_hash_set_add(&w->known, name_of(key, key), NULL, e));
    }
    return SM_OK;
}

/* The files of the bins, listed by the snapshot, in the order of the bins. */
typedef struct listed {
    const sm_delta_file **files;
    int64_t *numbers; /* one a file: its bin */
} listed;

static bool is_in_bin(void *ctx, const sm_delta_file *f)
{
    return sm_hash_set_has(ctx, sm_delta_file_hash(f));
}

static int by_hash(const void *x, const void *y)
{
    const item *a = *(const item *const *)x, *b = *(const item *const *)y;

    if (a->hash.low != b->hash.low) {
        return a->hash.low < b->hash.low ? -1 : 1;
    }
    return a->hash.high < b->hash.high ? -1 : a->hash.high > b->hash.high;
}

/* Finds the listed file of each item. */
static sm_status match_files(const optimizing *w, const bins *b, sm_arena *a, listed *out,
                             sm_error *e)
{
    int64_t n = 0;
    const sm_delta_file *files = sm_snapshot_files(w->snapshot, &n);
    const item **sorted = SM_NEW_ARRAY(a, const item *, b->n_files + 1);

    out->files = SM_NEW_ARRAY(a, const sm_delta_file *, b->n_files + 1);
    out->numbers = SM_NEW_ARRAY(a, int64_t, b->n_files + 1);
    for (int64_t i = 0; i < b->n_files; i++) {
        sorted[i] = &b->items[i];
        out->numbers[i] = b->items[i].bin;
    }
    qsort((void *)sorted, (size_t)b->n_files, sizeof(*sorted), by_hash);
    for (int64_t i = 0; i < n; i++) {
        const item key = {.hash = sm_delta_file_hash(&files[i])}, *k = &key;
        const item **at =
            bsearch(&k, (const void *)sorted, (size_t)b->n_files, sizeof(*sorted), by_hash);
        SM_ENSURE(at != NULL); /* it was wanted */
        out->files[*at - b->items] = &files[i];
    }
    return n == b->n_files
               ? SM_OK
               : sm_fail(e, SM_CORRUPT,
                         "the table's checkpoint turned out to be damaged while it was read");
}

/* Lists the files of the bins, and no others. */
static sm_status list_files(const optimizing *w, const bins *b, sm_arena *a, listed *out,
                            sm_error *e)
{
    sm_hash_set wanted = {.budget = w->env->budget};
    sm_status st = SM_OK;

    for (int64_t i = 0; i < b->n_files && st == SM_OK; i++) {
        st = sm_hash_set_add(&wanted, b->items[i].hash, NULL, e);
    }
    st = st == SM_OK ? sm_snapshot_list_if(w->snapshot, is_in_bin, &wanted, e) : st;
    sm_hash_set_release(&wanted);
    return st == SM_OK ? match_files(w, b, a, out, e) : st;
}

static sm_status join_files(optimizing *w, bins *b, sm_arena *a, sm_error *e)
{
    int64_t version = -1, n_copied = 0;
    listed files;
    sm_candidate *c = NULL;

    SM_TRY(list_files(w, b, a, &files, e));
    for (int64_t i = 0; i < b->n_files; i++) {
        b->n_vectors += files.files[i]->dv != NULL;
    }
    const smi_rewrite rewrite = {.base = w->snapshot,
                                 .files = files.files,
                                 .n_files = b->n_files,
                                 .bins = files.numbers,
                                 .n_copied = &n_copied};
    SM_TRY(smi_rewrite_files(&rewrite, w->env, &c, e));
    SM_ASSERT(c->record.n_adds <= b->n_bins);
    sm_status st = sm_publish(&c, 1, w->env->budget, &version, NULL, e);
    if (st == SM_OK) {
        w->report->n_copied += n_copied;
        st = count_commit(w, b, c, version, e);
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
static sm_status next_commit(optimizing *w, bool is_first, bool *is_done, sm_error *e)
{
    sm_status st = SM_CONFLICT;

    for (int tries = 0; tries < MOST_TRIES && st == SM_CONFLICT; tries++) {
        bins b;
        sm_arena *a = sm_arena_new(w->env->budget);
        st = tries > 0 ? wait_and_reopen(w, tries - 1, e) : SM_OK;
        if (st == SM_OK) {
            st = find_bins(w, is_first && tries == 0, a, &b, e);
        }
        if (st == SM_OK) {
            *is_done = b.n_bins == 0 || b.is_last;
            st = b.n_bins == 0 ? SM_OK : join_files(w, &b, a, e);
        }
        sm_arena_free(a);
    }
    return st;
}

static sm_status join_all(optimizing *w, sm_error *e)
{
    bool is_done = false;

    for (bool is_first = true; !is_done; is_first = false) {
        SM_TRY(next_commit(w, is_first, &is_done, e));
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
    optimizing w = {.opts = o,
                    .env = env,
                    .arena = sm_arena_new(env->budget),
                    .known = {.budget = env->budget},
                    .report = out};
    bins b;

    sm_status st = open_first(&w, e);
    if (st == SM_OK && o->is_dry) {
        st = find_bins(&w, true, w.arena, &b, e);
        if (st == SM_OK) {
            count_removed(&w, &b);
        }
    } else if (st == SM_OK) {
        st = join_all(&w, e);
    }
    sm_snapshot_release(w.snapshot);
    sm_store_release(w.store);
    sm_hash_set_release(&w.known);
    sm_arena_free(w.arena);
    return st;
}
