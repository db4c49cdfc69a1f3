/* SPDX-License-Identifier: Apache-2.0
 *
 * table/table_vacuum.c: deletes files of a table that no version within the retention needs.
 * Called by `smelt table vacuum`.
 *
 * Order    1. list the table's folder (a full vacuum)
 *          2. complete the publication that is open in the lake's journal (a dry run: read it)
 *          3. open the newest version, and read which files the log's commits removed
 *          4. choose; 5. record VACUUM START, if there is something to delete; 6. delete; 7. record
 *          VACUUM END
 *          Because the listing comes first, a file in it that was committed or put into the journal
 *          before step 2 is known to be needed at step 3. A candidate of a run that goes on has
 *          files that are younger than the retention.
 * Needed   live files of the newest version, their deletion vectors, files that were removed less
 *          than the retention ago and their vectors, files of changed rows whose commit is younger
 *          than the retention, files that an open publication names, or a candidate that is kept
 *          (table_kept.c): an older one than SM_KEPT_US is dropped first, also of a table that has
 *          no version.
 *          Of an absolute path in the log every end counts ("/x/t/a" keeps "a", "t/a" and "x/t/a"):
 *          a link may give the root another name, and a file too many is kept rather than one lost.
 * Requests several at a time: a file in LITE, or 1,000 files that are deleted.
 * Chosen   FULL: of what the folder holds. LITE: of what the log says was removed. FULL also takes
 *          what checks have kept beside the table (SM_VERDICTS_FOLDER): a check writes again what
 *          it uses, so what is old is of files or contracts that are gone.
 * Left     folders that begin with '_' or '.' ("_delta_log", "_smelt"), but "_change_data" and
 *          those of a partition column ("_day=1"); all of a folder that is a table itself; files
 *          that are neither Parquet, nor a deletion vector, nor a temporary file of smelt.
 * Killed   anywhere, the table reads the same: nothing that a reader needs is touched. The next
 *          vacuum deletes the rest.
 * Records  as Spark by default: commits without files, on a local disk but not in S3. A table whose
 *          features smelt cannot write is vacuumed without them.
 * Source   PROTOCOL.md, "Vacuum Protocol Check"; delta-io/delta, VacuumCommand.scala */
#include "table/table_int.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/text.h"
#include "base/time.h"

#define BATCH_FILES 1000 /* as many as one request of S3 deletes */
#define HOUR_US     INT64_C(3600000000)
#define LOG_FOLDER  "_delta_log"
/* SM_CHANGE_FOLDER without the '/' */
#define CHANGE_FOLDER "_change_data"

typedef struct vacuum {
    const sm_vacuum *v;
    sm_stores *stores;
    sm_budget *budget;
    sm_arena *arena;   /* of the report */
    sm_arena *names;   /* of what is needed */
    sm_arena *scratch; /* of one path */
    sm_store *store;
    sm_snapshot *snapshot;
    int64_t cutoff_us; /* what was removed or written before it is old enough */
    sm_entry *entries; /* FULL: what the folder holds */
    int64_t n_entries;
    sm_delta_named *removed; /* by the log */
    int64_t n_removed;
    sm_map *needed;    /* keys */
    bool is_only_kept; /* a candidate is kept, or was, of a table without a version */
    sm_map *nested;    /* folders ("a/b/") that are tables themselves */
    sm_map *chosen;    /* keys; is_lite: a file may have been removed twice */
    sm_vacuum_file *files;
    int64_t n_files, cap_files;
    sm_vacuum_report report;
} vacuum;

static const char present = 1; /* the value of keys in these maps */

static void put_key(sm_map *m, sm_str key)
{
    SM_ASSERT(key.len > 0);
    *sm_map_at(m, key) = (void *)&present;
}

/* ---- what is needed -------------------------------------------------------------------------- */

/* Returns whether the path is one within the table. */
static bool need_key(vacuum *w, sm_str path)
{
    sm_arena_reset(w->scratch);
    const sm_str key = sm_delta_path_key(w->snapshot, path, w->scratch);
    put_key(w->needed, path); /* also as it stands, should its writer not have encoded it */
    if (key.len > 0) {
        put_key(w->needed, key);
    }
    return key.len > 0;
}

/* An absolute path: each of its ends. */
static void need_ends(vacuum *w, sm_str path)
{
    for (size_t i = 0; i + 1 < path.len; i++) {
        if (path.data[i] == '/' && path.data[i + 1] != '/') {
            (void)need_key(w, (sm_str){path.data + i + 1, path.len - i - 1});
        }
    }
}

static void need_path(vacuum *w, sm_str path)
{
    SM_ASSERT(path.len > 0); /* an action that names no file is refused */
    if (!need_key(w, path)) {
        need_ends(w, path);
    }
}

static sm_status need_vector(vacuum *w, const sm_delta_dv *dv, sm_error *e)
{
    sm_str absolute = {0};

    if (!dv || sm_str_is(dv->storage_type, "i")) {
        return SM_OK;
    }
    const sm_str key = sm_delta_dv_key(dv, w->arena, &absolute);
    SM_ASSERT(key.len == 0 || absolute.len == 0);
    if (key.len > 0) {
        put_key(w->needed, key);
    } else if (absolute.len > 0) {
        need_path(w, absolute);
    } else {
        return sm_fail(e, SM_CORRUPT, "where the deletion vector \"%.*s\" lies is not understood",
                       SM_STR_ARG(dv->path_or_inline));
    }
    return SM_OK;
}

static bool is_old(const vacuum *w, int64_t time_us)
{
    return time_us < w->cutoff_us;
}

static sm_status need_file(void *ctx, const sm_delta_file *f, sm_error *e)
{
    const vacuum *w = ctx;

    SM_TRY(sm_budget_take(w->budget, 0, e)); /* refused where the names so far exceed it */
    need_path(ctx, f->path);
    return need_vector(ctx, f->dv, e);
}

static sm_status need_version(vacuum *w, sm_error *e)
{
    /* Where all begins anew, what was needed stays so: that keeps a file rather than deletes it. */
    SM_TRY(sm_snapshot_each(w->snapshot, NULL, &(sm_delta_sink){.file = need_file, .ctx = w}, e));
    for (int64_t i = 0; i < w->n_removed; i++) {
        const sm_delta_named *r = &w->removed[i];
        SM_ASSERT(r->deleted_ms >= 0);
        if (r->deleted_ms > INT64_MAX / 1000 || !is_old(w, r->deleted_ms * 1000)) {
            need_path(w, r->path);
            SM_TRY(need_vector(w, r->dv, e));
        }
    }
    return SM_OK;
}

/* ---- the journal ----------------------------------------------------------------------------- */

/* A dry run completes nothing: files that the open publication names count as needed. */
static sm_status need_publication(vacuum *w, smi_journal *j, sm_str path, sm_error *e)
{
    smi_publication p = {0};
    sm_delta_named *items = NULL;
    int64_t n = 0;

    while (smi_journal_is_open(j)) {
        const sm_status st = smi_journal_read(j, j->newest, false, w->arena, &p, e);
        if (st == SM_NOT_FOUND) { /* it is over, and a later one was begun */
            SM_TRY(smi_journal_list(j, e));
            continue;
        }
        SM_TRY(st);
        const smi_part *part = smi_publication_part(&p, path);
        if (part && p.is_newer) {
            return sm_fail(e, SM_UNSUPPORTED,
                           "a newer smelt has begun a publication of this table, whose files are "
                           "not known");
        }
        if (part) {
            SM_TRY(sm_delta_prepared_files(&part->commit, w->arena, &items, &n, e));
        }
        for (int64_t i = 0; i < n; i++) {
            need_path(w, items[i].path);
            SM_TRY(need_vector(w, items[i].dv, e));
        }
        return SM_OK;
    }
    return SM_OK;
}

static sm_status settle(vacuum *w, sm_error *e)
{
    const smi_lake_place place = smi_lake_of(w->store, w->arena);
    smi_journal j = {0};
    sm_str told = {0};

    if (place.lake.len == 0) {
        return SM_OK;
    }
    if (!w->v->is_dry) {
        return sm_table_settle(w->store, w->budget, w->arena, &told, e);
    }
    SM_TRY(smi_journal_open(w->stores, place.lake, w->budget, &j, e));
    const sm_status st = need_publication(w, &j, place.path, e);
    smi_journal_close(&j);
    return st;
}

/* ---- a candidate that is kept ---------------------------------------------------------------- */

/* Deletes claims that killed processes left. */
static sm_status delete_claims(const vacuum *w, sm_store *lake, const sm_entry *entries, int64_t n,
                               int64_t before_us, sm_error *e)
{
    for (int64_t i = 0; i < n && !w->v->is_dry; i++) {
        if (sm_str_ends(entries[i].key, SM_STR(".claim")) && entries[i].modified_us < before_us) {
            SM_TRY(sm_store_delete(lake, entries[i].key, e));
        }
    }
    return SM_OK;
}

/* Its files are needed until it has expired; then it goes. */
static sm_status need_kept(vacuum *w, sm_store *lake, sm_str path, sm_error *e)
{
    const int64_t now_us = w->v->now_us > 0 ? w->v->now_us : sm_now_us();
    const sm_str prefix = sm_arena_strf(w->arena, SMI_KEPT_FOLDER "%.*s/", SM_STR_ARG(path));
    sm_entry *entries = NULL;
    int64_t n = 0;
    smi_kept_commit k;

    SM_ASSERT(!w->snapshot); /* what has expired goes before files are chosen */
    sm_status st = sm_store_list(lake, prefix, false, w->arena, &entries, &n, e);
    if (st == SM_NOT_FOUND || (st == SM_OK && n == 0)) {
        return SM_OK;
    }
    SM_TRY(st);
    st = smi_kept_commit_read(lake, path, w->arena, &k, e);
    w->is_only_kept = st == SM_OK && k.kept.base < 0;
    if (st == SM_OK && k.kept.about.now_us < now_us - SM_KEPT_US) {
        w->report.n_dropped = k.n_files;
        st = w->v->is_dry ? SM_OK : smi_kept_commit_drop(lake, &k, w->arena, e);
    } else if (st == SM_OK) {
        for (int64_t i = 0; i < k.n_files; i++) {
            put_key(w->needed, k.files[i]);
        }
    }
    SM_TRY(st == SM_NOT_FOUND ? SM_OK : st);
    return delete_claims(w, lake, entries, n, now_us - SM_KEPT_US, e);
}

static sm_status settle_kept(vacuum *w, sm_error *e)
{
    const smi_lake_place place = smi_lake_of(w->store, w->arena);
    sm_store *lake = NULL;

    if (place.lake.len == 0) {
        return SM_OK;
    }
    SM_TRY(sm_store_open(w->stores, place.lake, &lake, e));
    const sm_status st = need_kept(w, lake, place.path, e);
    sm_store_release(lake);
    return st;
}

/* ---- what is left alone ---------------------------------------------------------------------- */

/* Is the folder one of the column's? Its name may be escaped, as most writers do it, or not. */
static bool is_partition_of(sm_str folder, sm_str column)
{
    sm_buf escaped = {0};

    sm_delta_folder_of(column, &escaped);
    const bool is_one = sm_str_starts(folder, sm_buf_str(&escaped));
    sm_buf_release(&escaped);
    return is_one || (folder.len > column.len && sm_str_starts(folder, column) &&
                      folder.data[column.len] == '=');
}

/* Is the folder named after a partition column, by its name or by that in files? */
static bool is_partition(const vacuum *w, sm_str folder)
{
    const sm_delta_metadata *m = sm_snapshot_metadata(w->snapshot);

    for (int32_t i = 0; i < m->n_partition_columns; i++) {
        const int32_t at = sm_type_find(m->schema, m->partition_columns[i]);
        const sm_field *field = at >= 0 ? &m->schema->fields[at] : NULL;
        if (is_partition_of(folder, m->partition_columns[i])) {
            return true;
        }
        for (int32_t k = 0; field && k < field->n_meta; k++) {
            const sm_str json = field->meta[k].json; /* with quotes */
            if (sm_str_is(field->meta[k].key, "delta.columnMapping.physicalName") && json.len > 2 &&
                is_partition_of(folder, (sm_str){json.data + 1, json.len - 2})) {
                return true;
            }
        }
    }
    return false;
}

/* Does a folder of the key hide it, or does it belong to another table? */
static bool is_left(const vacuum *w, sm_str key)
{
    size_t start = 0;

    for (size_t i = 0; i < key.len; i++) {
        if (key.data[i] != '/') {
            continue;
        }
        const sm_str folder = {key.data + start, i - start};
        const bool is_hidden = folder.len == 0 || folder.data[0] == '_' || folder.data[0] == '.';
        const bool is_of_changes = start == 0 && sm_str_is(folder, CHANGE_FOLDER);
        if ((is_hidden && !is_of_changes && !is_partition(w, folder)) ||
            sm_map_get(w->nested, (sm_str){key.data, i + 1})) {
            return true;
        }
        start = i + 1;
    }
    return false;
}

/* Is it a file of a kind that writers of Delta tables make? */
static bool is_ours(sm_str key)
{
    sm_str folder, name;

    sm_uri_split(key, &folder, &name);
    SM_ASSERT(name.len > 0 && name.len <= key.len);
    if (name.data[0] == '.' || name.data[0] == '_') {
        return sm_str_starts(name, SM_STR(".smelt-tmp-"));
    }
    return sm_str_ends(name, SM_STR(".parquet")) ||
           (sm_str_starts(name, SM_STR("deletion_vector_")) && sm_str_ends(name, SM_STR(".bin")));
}

/* A folder below the root that has a log is a table of its own. */
static void find_nested(vacuum *w)
{
    const sm_str log = SM_STR("/" LOG_FOLDER "/");

    for (int64_t i = 0; i < w->n_entries; i++) {
        const sm_str key = w->entries[i].key;
        for (size_t at = 1; at + log.len < key.len; at++) {
            if (sm_str_starts((sm_str){key.data + at, key.len - at}, log)) {
                put_key(w->nested, (sm_str){key.data, at + 1});
                break;
            }
        }
    }
}

/* ---- choosing -------------------------------------------------------------------------------- */

/* Takes a file that is there, if no version needs it and it is old enough. */
static void weigh(vacuum *w, const sm_entry *entry)
{
    const bool is_verdict = sm_str_starts(entry->key, SM_STR(SM_VERDICTS_FOLDER));

    SM_ASSERT(!entry->is_folder && !entry->is_linked && entry->key.len > 0);
    if (!is_verdict &&
        (!is_ours(entry->key) || is_left(w, entry->key) || sm_map_get(w->needed, entry->key))) {
        return;
    }
    if (!is_old(w, entry->modified_us)) {
        w->report.n_young += !is_verdict;
        return;
    }
    w->files = sm_arena_grow(w->arena, w->files, w->n_files, &w->cap_files, sizeof(*w->files));
    w->files[w->n_files++] = (sm_vacuum_file){.key = entry->key, .size_bytes = entry->size_bytes};
    w->report.size_bytes += entry->size_bytes;
}

/* LITE: files that the log says were removed, each once, which are looked up. */
typedef struct looking {
    vacuum *w;
    sm_entry *entries; /* of those that are not there: without a key */
    int64_t n, cap;
    sm_arena *arenas[SMI_EACH_SLOTS];
} looking;

static void want(looking *l, sm_str key)
{
    vacuum *w = l->w;

    if (key.len == 0 || sm_map_get(w->needed, key) || sm_map_get(w->chosen, key) || !is_ours(key) ||
        is_left(w, key)) {
        return;
    }
    put_key(w->chosen, key);
    l->entries = sm_arena_grow(w->arena, l->entries, l->n, &l->cap, sizeof(*l->entries));
    l->entries[l->n++] = (sm_entry){.key = key};
}

/* smi_each: one request. What is not there was deleted by an earlier vacuum, or lies elsewhere. */
static sm_status look_at(void *ctx, int slot, int64_t i, sm_error *e)
{
    looking *l = ctx;
    sm_entry found = {0};
    const sm_str key = l->entries[i].key;

    if (!l->arenas[slot]) {
        l->arenas[slot] = sm_arena_new(l->w->budget);
    }
    const sm_status st = sm_store_stat(l->w->store, key, l->arenas[slot], &found, e);
    const bool is_there = st == SM_OK && !found.is_linked;
    l->entries[i] = is_there ? found : (sm_entry){0};
    l->entries[i].key = is_there ? key : (sm_str){0};
    return st == SM_NOT_FOUND ? SM_OK : st;
}

static sm_status choose_removed(vacuum *w, sm_error *e)
{
    looking l = {.w = w};

    for (int64_t i = 0; i < w->n_removed; i++) {
        const sm_delta_named *r = &w->removed[i];
        sm_str absolute = {0};
        want(&l, sm_delta_path_key(w->snapshot, r->path, w->arena));
        if (r->dv) {
            want(&l, sm_delta_dv_key(r->dv, w->arena, &absolute));
        }
    }
    const sm_status st = smi_each(l.n, look_at, &l, w->budget, e);
    for (int64_t i = 0; st == SM_OK && i < l.n; i++) {
        if (l.entries[i].key.len > 0) {
            weigh(w, &l.entries[i]);
        }
    }
    for (int i = 0; i < SMI_EACH_SLOTS; i++) {
        sm_arena_free(l.arenas[i]);
    }
    return st;
}

static int by_key(const void *a, const void *b)
{
    return sm_str_cmp(((const sm_vacuum_file *)a)->key, ((const sm_vacuum_file *)b)->key);
}

static sm_status choose(vacuum *w, sm_error *e)
{
    if (w->v->is_lite) {
        SM_TRY(choose_removed(w, e));
    } else {
        find_nested(w);
        for (int64_t i = 0; i < w->n_entries; i++) {
            weigh(w, &w->entries[i]);
        }
    }
    if (w->n_files > 0) {
        qsort(w->files, (size_t)w->n_files, sizeof(*w->files), by_key);
    }
    w->report.files = w->files;
    w->report.n_files = w->n_files;
    return SM_OK;
}

/* ---- how long -------------------------------------------------------------------------------- */

static sm_status set_cutoff(vacuum *w, sm_error *e)
{
    const int64_t own_us = sm_delta_retention_us(sm_snapshot_metadata(w->snapshot));
    const int64_t now_us = w->v->now_us > 0 ? w->v->now_us : sm_now_us();
    const int64_t retention_us = w->v->retention_us >= 0 ? w->v->retention_us : own_us;
    char asked[SM_COUNTED_TEXT_BYTES], own[SM_COUNTED_TEXT_BYTES];

    if (retention_us < 0 || (own_us < 0 && !w->v->ignores_own_retention)) {
        return sm_fail(e, SM_INVALID,
                       "the table's delta.deletedFileRetentionDuration is not understood");
    }
    if (retention_us < own_us && !w->v->ignores_own_retention) {
        sm_format_counted(retention_us / HOUR_US, "hour", asked);
        sm_format_counted(own_us / HOUR_US, "hour", own);
        const sm_status st =
            sm_fail(e, SM_USAGE,
                    "a retention of %s is shorter than the table's, %s: readers of older versions, "
                    "and writers whose files are not published yet, could lose files",
                    asked, own);
        sm_error_todo(e, "Give --no-retention-check where nobody reads or writes the table.");
        return st;
    }
    w->report.retention_us = retention_us;
    w->cutoff_us = retention_us < now_us ? now_us - retention_us : 0;
    return SM_OK;
}

/* ---- records in the log ---------------------------------------------------------------------- */

static sm_delta_detail number(const char *key, int64_t v)
{
    return (sm_delta_detail){.key = sm_str_of(key), .value = sm_value_i64(v)};
}

static sm_status put_record(vacuum *w, const sm_delta_commit *c, sm_error *e)
{
    int64_t version = -1;

    const sm_status st = sm_delta_commit_write(w->store, w->snapshot, c, w->budget, &version, e);
    SM_ASSERT(st != SM_OK || version > sm_snapshot_version(w->snapshot));
    return st;
}

static sm_status record_start(vacuum *w, sm_error *e)
{
    const sm_delta_metadata *m = sm_snapshot_metadata(w->snapshot);
    const sm_delta_detail parameters[] = {
        {.key = SM_STR("retentionCheckEnabled"),
         .value = {.type = &sm_type_bool, .as.b = !w->v->ignores_own_retention}},
        number("defaultRetentionMillis", sm_delta_retention_us(m) / 1000),
        number("specifiedRetentionMillis", w->report.retention_us / 1000),
    };
    const sm_delta_detail metrics[] = {
        number("numFilesToDelete", w->n_files),
        number("sizeOfDataToDelete", (int64_t)w->report.size_bytes),
    };
    const sm_delta_commit c = {
        .operation = SM_STR("VACUUM START"),
        .parameters = parameters,
        .n_parameters = SM_COUNT(parameters),
        .metrics = metrics,
        .n_metrics = SM_COUNT(metrics),
        .isolation = SM_READ_NOTHING,
    };
    sm_error why = {0};

    if (w->n_files == 0 || sm_str_starts(sm_store_uri(w->store), SM_STR("s3://"))) {
        return SM_OK;
    }
    const sm_status st = put_record(w, &c, &why);
    if (st == SM_UNSUPPORTED) {
        return SM_OK; /* a table that smelt cannot write: this is all that is missing */
    }
    if (st != SM_OK && e) {
        *e = why;
    }
    w->report.has_records = st == SM_OK;
    return st;
}

static sm_status record_end(vacuum *w, bool is_whole, sm_error *e)
{
    const sm_delta_detail parameters[] = {
        {.key = SM_STR("status"),
         .value = sm_value_str(is_whole ? SM_STR("COMPLETED") : SM_STR("FAILED"))},
    };
    const sm_delta_detail metrics[] = {number("numDeletedFiles", w->report.n_deleted)};
    const sm_delta_commit c = {
        .operation = SM_STR("VACUUM END"),
        .parameters = parameters,
        .n_parameters = SM_COUNT(parameters),
        .metrics = metrics,
        .n_metrics = SM_COUNT(metrics),
        .isolation = SM_READ_NOTHING,
    };

    return w->report.has_records ? put_record(w, &c, e) : SM_OK;
}

/* ---- deleting -------------------------------------------------------------------------------- */

/* What became of a batch of files. */
typedef struct batch {
    int64_t n_deleted, n_failed;
    uint64_t bytes; /* of those that were deleted */
    sm_error first; /* failure; SM_OK: none */
} batch;

typedef struct deleting {
    vacuum *w;
    batch *batches;
} deleting;

/* One by one, to count those that stay. */
static void delete_each(const vacuum *w, const sm_vacuum_file *files, int64_t n, batch *out)
{
    for (int64_t i = 0; i < n; i++) {
        sm_error bad = {0};
        if (sm_store_delete(w->store, files[i].key, &bad) == SM_OK) {
            out->n_deleted++;
            out->bytes += files[i].size_bytes;
            continue;
        }
        out->n_failed++;
        out->first = out->first.status == SM_OK ? bad : out->first;
    }
}

/* smi_each: one batch. What fails does not end the others. */
static sm_status delete_batch(void *ctx, int slot, int64_t i, sm_error *e)
{
    const deleting *d = ctx;
    const sm_vacuum_file *files = d->w->files + i * BATCH_FILES;
    const int64_t n_left = d->w->n_files - i * BATCH_FILES;
    const int64_t n = n_left < BATCH_FILES ? n_left : BATCH_FILES;
    sm_str keys[BATCH_FILES] = {{0}};
    sm_error unused = {0};

    (void)slot;
    (void)e;
    SM_ASSERT(n > 0);
    for (int64_t k = 0; k < n; k++) {
        keys[k] = files[k].key;
    }
    if (sm_store_delete_many(d->w->store, keys, n, &unused) != SM_OK) {
        delete_each(d->w, files, n, &d->batches[i]);
        return SM_OK;
    }
    d->batches[i].n_deleted = n;
    for (int64_t k = 0; k < n; k++) {
        d->batches[i].bytes += files[k].size_bytes;
    }
    return SM_OK;
}

/* Returns the first failure. */
static sm_status delete_files(vacuum *w, sm_error *e)
{
    const int64_t n = (w->n_files + BATCH_FILES - 1) / BATCH_FILES;
    deleting d = {.w = w, .batches = SM_NEW_ARRAY(w->arena, batch, n + 1)};
    const sm_error *first = NULL;

    const sm_status st = smi_each(n, delete_batch, &d, w->budget, e);
    w->report.size_bytes = 0; /* from here on: of those that are deleted */
    for (int64_t i = 0; i < n; i++) {
        w->report.n_deleted += d.batches[i].n_deleted;
        w->report.n_failed += d.batches[i].n_failed;
        w->report.size_bytes += d.batches[i].bytes;
        first = !first && d.batches[i].first.status != SM_OK ? &d.batches[i].first : first;
    }
    if (st != SM_OK || !first) {
        SM_ASSERT(st != SM_OK || w->report.n_deleted == w->n_files);
        return st; /* it was interrupted */
    }
    if (e) {
        *e = *first;
    }
    return first->status;
}

/* ---- the door -------------------------------------------------------------------------------- */

/* A table that a run has failed to make has no version, and so none to look at: without a log no
 * other file may be deleted, for it may be all that is left of a table. */
static sm_status open_table(vacuum *w, sm_error *e)
{
    sm_error why = {0};
    const sm_status st =
        sm_snapshot_open_head(w->store, SM_VERSION_LATEST, w->budget, &w->snapshot, &why);

    if (st == SM_NOT_FOUND && w->is_only_kept) {
        w->report.retention_us = SM_KEPT_US;
        return SM_OK;
    }
    if (st != SM_OK && e) {
        *e = why;
    }
    return st;
}

static sm_status find_files(vacuum *w, sm_error *e)
{
    bool is_whole = false;

    if (!w->v->is_lite) {
        const sm_status st = sm_store_list_own(w->store, w->arena, &w->entries, &w->n_entries, e);
        if (st != SM_OK && st != SM_NOT_FOUND) { /* no folder is no table, says the snapshot */
            return st;
        }
    }
    SM_TRY(settle(w, e));
    SM_TRY(settle_kept(w, e));
    SM_TRY(open_table(w, e));
    if (!w->snapshot) {
        return SM_OK;
    }
    SM_TRY(sm_delta_check_vacuum(w->snapshot, e));
    SM_TRY(set_cutoff(w, e));
    SM_TRY(sm_delta_removed_files(w->snapshot, w->arena, &w->removed, &w->n_removed, &is_whole, e));
    w->report.log_is_cut = !is_whole;
    SM_TRY(need_version(w, e));
    return choose(w, e);
}

sm_status sm_table_vacuum(sm_stores *stores, const sm_vacuum *v, sm_budget *budget, sm_arena *a,
                          sm_vacuum_report *out, sm_error *e)
{
    SM_ASSERT(v && v->retention_us >= -1 && v->now_us >= 0);
    vacuum w = {.v = v, .stores = stores, .budget = budget, .arena = a};
    sm_status st = SM_OK;

    w.nested = sm_map_new(a);
    w.chosen = sm_map_new(a);
    SM_TRY(sm_store_open(stores, v->uri, &w.store, e));
    w.names = sm_arena_new(budget);
    w.scratch = sm_arena_new(budget);
    w.needed = sm_map_new(w.names);
    SM_TRY_GOTO(st, done, find_files(&w, e));
    if (!v->is_dry && w.snapshot) {
        SM_TRY_GOTO(st, done, record_start(&w, e));
        st = delete_files(&w, e);
        sm_error unused = {0};
        const sm_status end = record_end(&w, st == SM_OK, st == SM_OK ? e : &unused);
        st = st == SM_OK ? end : st;
    }
    *out = w.report;
done:
    sm_snapshot_release(w.snapshot);
    sm_store_release(w.store);
    sm_arena_free(w.scratch);
    sm_arena_free(w.names);
    return sm_within(e, st, "vacuum of %.*s", SM_STR_ARG(v->uri));
}
