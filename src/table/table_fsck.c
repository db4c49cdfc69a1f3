/* SPDX-License-Identifier: Apache-2.0
 *
 * table/table_fsck.c: is a table whole? Compares its log with itself and with the files that it
 * names, and removes the entries of files that are gone. Called by `smelt table fsck`.
 *
 * Order    Before a repair the publication that is open in the table's lake is completed. Read the
 *          log (delta_audit.c). Open the newest version, as readers see it. Look at each of its
 *          files, several at a time. Read their pages, one file after the other (reads_data,
 *          table_fsck_data.c). Count temporary files. Repair.
 * Windows  A table may have a million files. They are copied and looked at some thousand at a time,
 *          as the log gives them, and each finding is handed on when its window is done. Of files
 *          with findings a hash is kept: where a checkpoint turns out to be damaged, all files come
 *          anew, and nothing is told twice. A repair lists the files whose entries go.
 * File     It is in its store; its size is the log's; its footer can be read and its columns fit
 *          the table's; it has as many rows as the log says; its deletion vector can be read, and
 *          deletes rows that it has, as many as the log says. The first thing that is wrong ends
 *          the look at a file.
 * Faults   What is wrong with the table is a finding. What keeps the check from looking (a store
 *          that does not answer, memory) is an error, for then nothing is known.
 * Repair   One commit FSCK that removes entries, as Databricks and delta-rs make it. Rows go with
 *          it, so the user must name how many: by then he has seen the findings. Files that are
 *          there but damaged stay, unless he asks for them too. No file is deleted: that is
 *          vacuum's work. */
#include "base/hash_set.h"
#include "table/table_int.h"

#include <inttypes.h>

/* A finding of a file, in the arena of the thread that made it. */
typedef struct found {
    sm_fsck_kind kind;
    sm_str what;
    struct found *next;
} found;

typedef struct checking checking;

/* Looks at files. */
typedef struct looker {
    checking *k;
    sm_arena *kept;    /* of what it found */
    sm_arena *scratch; /* of one file */
    int64_t file;      /* at which it is */
} looker;

/* Files that are looked at together: enough for 16 threads to be at work most of the time, and few
 * beside what reading the checkpoint takes. */
#define WINDOW 4096

typedef struct window {
    sm_arena *arena; /* of the files */
    sm_delta_file *files;
    const char **flaws; /* of the statistics in the log; NULL: none */
    found **by_file;    /* the last one of each file */
    int64_t n;
} window;

struct checking {
    const sm_fsck *opts;
    const sm_exec_env *env;
    sm_store *store;
    sm_arena *arena; /* of the report */
    sm_fsck_report *out;
    sm_snapshot *snapshot;
    window window;
    looker lookers[SMI_EACH_SLOTS]; /* a thread's own each */
    bool has_failed;                /* looking at files did, not the log */
    sm_hash_set told, going;        /* files with findings; those of them whose entries go */
    int64_t n_going;                /* findings of these */
};

bool smi_fsck_is_fault(sm_status st)
{
    return st == SM_NOT_FOUND || st == SM_UNSUPPORTED || st == SM_SYNTAX || st == SM_CORRUPT ||
           st == SM_TYPE || st == SM_RANGE || st == SM_LIMIT || st == SM_SCHEMA;
}

/* ---- one file -------------------------------------------------------------------------------- */

static void find(looker *w, sm_fsck_kind kind, const char *what)
{
    found *f = SM_NEW(w->kept, found);

    SM_ASSERT(w->file >= 0 && w->file < w->k->window.n);
    *f = (found){kind, sm_arena_str(w->kept, sm_str_of(what)), w->k->window.by_file[w->file]};
    w->k->window.by_file[w->file] = f;
}

/* A fault becomes a finding, and all is well; another failure stays one. */
static sm_status take_fault(looker *w, sm_status st, sm_fsck_kind kind, const char *of,
                            const sm_error *bad, sm_error *e)
{
    SM_ASSERT(st != SM_OK && bad->status == st);
    if (smi_fsck_is_fault(st)) {
        find(w, kind, sm_arena_printf(w->scratch, "%s%s", of, bad->what));
        return SM_OK;
    }
    if (e) {
        *e = *bad;
    }
    return st;
}

static sm_status look_at_vector(looker *w, const sm_datafile *d, int64_t n_rows, sm_error *e)
{
    sm_error bad = {0};
    sm_block *rows = NULL;

    if (!d->deletes) {
        return SM_OK;
    }
    const sm_status st = d->deletes->read(d->deletes, n_rows, w->k->env->budget, &rows, &bad);
    sm_block_release(rows);
    return st == SM_OK ? SM_OK : take_fault(w, st, SM_FSCK_VECTOR, "deletion vector: ", &bad, e);
}

static sm_status look_into(looker *w, const sm_dataset *d, sm_blob *blob, sm_error *e)
{
    const sm_delta_file *f = &w->k->window.files[w->file];
    const sm_type *stored =
        sm_type_struct(w->scratch, d->schema->fields, d->schema->n_fields - d->n_constants);
    sm_error bad = {0};
    sm_written said = {0};

    if (sm_blob_bytes(blob) != f->size_bytes) {
        find(w, SM_FSCK_SIZE,
             sm_arena_printf(w->scratch, "it has %" PRIu64 " bytes, the log says %" PRIu64,
                             sm_blob_bytes(blob), f->size_bytes));
        return SM_OK;
    }
    const sm_status st = d->format->look(blob, stored, w->scratch, &said, &bad);
    if (st != SM_OK) {
        return take_fault(w, st, SM_FSCK_DAMAGED, "", &bad, e);
    }
    if (f->n_rows >= 0 && said.n_rows != f->n_rows) {
        find(w, SM_FSCK_ROWS,
             sm_arena_printf(w->scratch, "it has %" PRId64 " rows, the log says %" PRId64,
                             said.n_rows, f->n_rows));
        return SM_OK;
    }
    return look_at_vector(w, &d->files[0], said.n_rows, e);
}

static sm_status look_at_file(looker *w, sm_error *e)
{
    sm_dataset d;
    int32_t *columns = NULL;
    sm_blob *blob = NULL;
    sm_error bad = {0};

    sm_arena_reset(w->scratch);
    sm_status st = sm_snapshot_dataset_picked(w->k->snapshot, &w->k->window.files[w->file], 1,
                                              w->scratch, &d, &columns, &bad);
    if (st != SM_OK) {
        return take_fault(w, st, SM_FSCK_UNREACHABLE, "", &bad, e);
    }
    st = sm_blob_open(d.files[0].store, d.files[0].key, &blob, &bad);
    if (st == SM_NOT_FOUND) {
        find(w, SM_FSCK_GONE, "it is gone from the store");
        return SM_OK;
    }
    if (st != SM_OK) {
        return take_fault(w, st, SM_FSCK_DAMAGED, "", &bad, e);
    }
    st = look_into(w, &d, blob, e);
    sm_blob_close(blob);
    return sm_within(e, st, "file %.*s", SM_STR_ARG(d.files[0].uri));
}

/* ---- all files ------------------------------------------------------------------------------- */

static sm_status look_at(void *ctx, int slot, int64_t i, sm_error *e)
{
    checking *k = ctx;
    looker *w = &k->lookers[slot];

    if (!w->kept) {
        *w = (looker){.k = k, .kept = sm_arena_new(NULL), .scratch = sm_arena_new(NULL)};
    }
    w->file = i;
    const sm_status st = look_at_file(w, e);
    if (st == SM_OK && k->window.flaws[i] && !k->window.by_file[i]) {
        find(w, SM_FSCK_STATISTICS, k->window.flaws[i]);
    }
    return st;
}

static const char *todo_of(sm_fsck_kind kind)
{
    switch (kind) {
    case SM_FSCK_GONE:
        return "Put it back, if there is a copy; smelt table restore goes back to a version that "
               "is whole; --repair removes its entry from the log.";
    case SM_FSCK_UNREACHABLE:
        return "Queries of the table fail. docs/limits.md says which files a table may name.";
    case SM_FSCK_STATISTICS:
        return "Queries may leave out rows of it, or read it in vain: write its rows anew.";
    default:
        return "Put it back, if there is a copy; smelt table restore goes back to a version that "
               "is whole; --repair --damaged removes its entry from the log, and its rows.";
    }
}

static void tell(checking *k, const sm_fsck_finding *f)
{
    k->out->n_findings++;
    if (k->opts->found) {
        k->opts->found(k->opts->ctx, f);
    }
}

/* The findings of a file in the order in which they were made, from the last one back. */
static void tell_of_file(checking *k, const sm_delta_file *file, const found *last)
{
    if (!last) {
        return;
    }
    tell_of_file(k, file, last->next);
    tell(k, &(sm_fsck_finding){
                .kind = last->kind,
                .version = k->out->version,
                .file = file->path,
                .what = last->what,
                .todo = sm_str_of(todo_of(last->kind)),
                .n_rows = sm_delta_file_rows(file),
            });
}

static bool is_removed(const checking *k, sm_fsck_kind kind)
{
    switch (kind) {
    case SM_FSCK_GONE:
        return true;
    case SM_FSCK_SIZE:
    case SM_FSCK_DAMAGED:
    case SM_FSCK_ROWS:
    case SM_FSCK_VECTOR:
        return k->opts->removes_damaged;
    case SM_FSCK_LOG:
    case SM_FSCK_UNREACHABLE:
    case SM_FSCK_STATISTICS:
        return false;
    }
    return false;
}

/* Does a repair take the entry of a file with these findings? */
static bool goes(const checking *k, const found *last)
{
    bool out = false;

    for (const found *f = last; f && k->opts->is_repair; f = f->next) {
        out = out || is_removed(k, f->kind);
    }
    return out;
}

static void count_going(sm_fsck_report *o, const sm_delta_file *file)
{
    const int64_t n_rows = sm_delta_file_rows(file);

    o->n_removed++;
    o->removed_bytes += (int64_t)file->size_bytes;
    o->removed_rows = n_rows < 0 || o->removed_rows < 0 ? -1 : o->removed_rows + n_rows;
}

/* Hands on what was found in a file of the window. */
static sm_status settle_file(checking *k, int64_t i, sm_error *e)
{
    const sm_delta_file *file = &k->window.files[i];
    const found *last = k->window.by_file[i];
    const int64_t n_before = k->out->n_findings;
    bool is_new = true;

    k->out->n_files++;
    k->out->bytes += (int64_t)file->size_bytes;
    if (!last) {
        return SM_OK;
    }
    SM_TRY(sm_hash_set_add(&k->told, sm_delta_file_hash(file), &is_new, e));
    if (is_new) {
        tell_of_file(k, file, last);
    }
    if (goes(k, last)) {
        count_going(k->out, file);
        k->n_going += k->out->n_findings - n_before;
        return sm_hash_set_add(&k->going, sm_delta_file_hash(file), NULL, e);
    }
    return SM_OK;
}

static void look_found(void *ctx, sm_fsck_kind kind, const char *what)
{
    find(ctx, kind, what);
}

/* Reads the pages of files of which nothing is known yet. Blocks on the engine's workers. */
static sm_status read_files(checking *k, sm_error *e)
{
    looker *w = &k->lookers[0];
    const smi_fsck_sink sink = {look_found, w};

    for (int64_t i = 0; i < k->window.n && k->opts->reads_data; i++) {
        if (!k->window.by_file[i]) {
            w->k = k;
            w->kept = w->kept ? w->kept : sm_arena_new(NULL);
            w->file = i;
            SM_TRY(smi_fsck_data(k->snapshot, &k->window.files[i], k->env, sink, e));
        }
    }
    return SM_OK;
}

static void empty_window(checking *k)
{
    window *w = &k->window;

    for (int i = 0; i < SMI_EACH_SLOTS; i++) {
        if (k->lookers[i].kept) {
            sm_arena_reset(k->lookers[i].kept);
        }
    }
    if (w->n > 0) {
        sm_arena_reset(w->arena);
        memset(w->by_file, 0, (size_t)w->n * sizeof(*w->by_file));
        w->n = 0;
    }
}

static sm_status look_at_window(checking *k, sm_error *e)
{
    sm_status st = smi_each(k->window.n, look_at, k, k->env->budget, e);

    st = st == SM_OK ? read_files(k, e) : st;
    /* Also after a failure: what was found until then is true. */
    for (int64_t i = 0; i < k->window.n; i++) {
        const sm_status settled = settle_file(k, i, st == SM_OK ? e : NULL);
        st = st == SM_OK ? settled : st;
    }
    k->has_failed = st != SM_OK;
    empty_window(k);
    return st;
}

/* sm_delta_sink: all files come, perhaps anew. */
static void begin_files(void *ctx)
{
    checking *k = ctx;
    sm_fsck_report *o = k->out;

    empty_window(k);
    o->n_files = o->bytes = 0;
    o->n_removed = o->removed_rows = o->removed_bytes = 0;
}

static sm_status take_file(void *ctx, const sm_delta_file *f, sm_error *e)
{
    checking *k = ctx;
    window *w = &k->window;
    sm_delta_file brief = *f;

    SM_ASSERT(w->n < WINDOW);
    if (!k->opts->reads_data) {
        brief.stats_json = SM_STR(""); /* the values are not held against them */
    }
    w->files[w->n] = sm_delta_file_copy(k->snapshot, &brief, w->arena);
    w->flaws[w->n++] = sm_delta_stats_flaw(f->stats_json);
    return w->n < WINDOW ? SM_OK : look_at_window(k, e);
}

static void tell_unopened(checking *k, const char *what, const char *todo)
{
    tell(k, &(sm_fsck_finding){
                .kind = SM_FSCK_LOG,
                .version = -1,
                .file = SM_STR("_delta_log"),
                .what = sm_arena_strf(k->arena, "the newest version cannot be opened: %s", what),
                .todo = sm_str_of(todo),
            });
}

/* Is it the log's fault that the newest version cannot be read? */
static bool is_of_log(const checking *k, sm_status st)
{
    return st == SM_CORRUPT ||
           (st != SM_NOT_FOUND && smi_fsck_is_fault(st) && k->out->log.n_flaws > 0);
}

static sm_status look_at_files(checking *k, sm_error *e)
{
    const sm_delta_sink to = {.begin = begin_files, .file = take_file, .ctx = k};
    window *w = &k->window;
    sm_error bad = {0};

    w->files = SM_NEW_ARRAY(k->arena, sm_delta_file, WINDOW);
    w->flaws = SM_NEW_ARRAY(k->arena, const char *, WINDOW);
    w->by_file = SM_NEW_ARRAY(k->arena, found *, WINDOW);
    sm_status st = sm_snapshot_each(k->snapshot, NULL, &to, &bad);
    st = st == SM_OK ? look_at_window(k, &bad) : st;
    if (st != SM_OK && !k->has_failed && is_of_log(k, st)) {
        tell_unopened(k, bad.what, "Not all of its files were looked at, and none is removed.");
        k->out->n_removed = k->out->removed_rows = k->out->removed_bytes = k->n_going = 0;
        return SM_OK;
    }
    if (st != SM_OK && e) {
        *e = bad;
    }
    return st;
}

/* ---- what lies around ------------------------------------------------------------------------ */

static sm_status count_leftovers(checking *k, sm_error *e)
{
    sm_entry *entries = NULL;
    int64_t n = 0;

    const sm_status st = sm_store_list_left(k->store, k->arena, &entries, &n, e);
    for (int64_t i = 0; st == SM_OK && i < n; i++) {
        k->out->n_leftovers++;
        k->out->leftover_bytes += (int64_t)entries[i].size_bytes;
    }
    return st == SM_NOT_FOUND ? SM_OK : st;
}

static sm_status find_publication(checking *k, const smi_lake_place *place, sm_error *e)
{
    smi_journal j = {0};
    smi_publication p = {0};

    sm_status st = smi_journal_open(k->env->stores, place->lake, k->env->budget, &j, e);
    if (st == SM_OK && smi_journal_is_open(&j)) {
        st = smi_journal_read(&j, j.newest, true, k->arena, &p, e);
        if (st == SM_OK && smi_publication_part(&p, place->path)) {
            k->out->publication = p.number;
        }
    }
    smi_journal_close(&j);
    return st == SM_NOT_FOUND ? SM_OK : st; /* it is over meanwhile */
}

/* A candidate that is kept is no fault. One that cannot be read is told by who asks for it. */
static sm_status find_kept(checking *k, const smi_lake_place *place, sm_error *e)
{
    sm_store *lake = NULL;
    smi_kept_commit kept;
    sm_error bad = {0};

    SM_TRY(sm_store_open(k->env->stores, place->lake, &lake, e));
    const sm_status st = smi_kept_commit_read(lake, place->path, k->arena, &kept, &bad);
    sm_store_release(lake);
    if (st == SM_OK) {
        k->out->candidate = kept.kept.id;
        k->out->candidate_us = kept.kept.about.now_us;
    } else if (smi_fsck_is_fault(st) && st != SM_NOT_FOUND) {
        tell(k, &(sm_fsck_finding){
                    .kind = SM_FSCK_LOG,
                    .version = -1,
                    .file = sm_arena_str(k->arena, sm_str_of(bad.object)),
                    .what = sm_arena_str(k->arena, sm_str_of(bad.what)),
                    .todo = SM_STR("Delete it: vacuum takes its files."),
                });
    } else if (st != SM_NOT_FOUND && st != SM_DENIED) {
        if (e) {
            *e = bad;
        }
        return st;
    }
    return SM_OK;
}

/* Completes it before a repair, else says that there is one. */
static sm_status look_at_lake(checking *k, sm_error *e)
{
    const smi_lake_place place = smi_lake_of(k->store, k->arena);
    sm_str told = {0};
    sm_error bad = {0};

    if (place.lake.len == 0) {
        return SM_OK;
    }
    SM_TRY(find_kept(k, &place, e));
    if (k->opts->is_repair && !k->opts->is_dry) {
        return sm_table_settle(k->store, k->env->budget, k->arena, &told, e);
    }
    const sm_status st = find_publication(k, &place, &bad);
    if (st == SM_DENIED) {
        return SM_OK; /* who may not list the journal sees the table as other engines do */
    }
    if (st != SM_OK && e) {
        *e = bad;
    }
    return st;
}

/* ---- the log --------------------------------------------------------------------------------- */

static sm_status look_at_log(checking *k, sm_error *e)
{
    sm_delta_audit *log = &k->out->log;
    sm_error bad = {0};

    SM_TRY(sm_delta_audit_log(k->store, k->env->budget, k->arena, log, e));
    for (int64_t i = 0; i < log->n_flaws; i++) {
        const sm_delta_flaw *f = &log->flaws[i];
        tell(k, &(sm_fsck_finding){
                    .kind = SM_FSCK_LOG,
                    .version = f->version,
                    .file = f->file,
                    .what = f->what,
                    .todo = f->todo,
                });
    }
    const sm_status st = sm_table_open(k->store, k->env->budget, &k->snapshot, &bad);
    if (st == SM_OK) {
        k->out->version = sm_snapshot_version(k->snapshot);
        return SM_OK;
    }
    k->snapshot = NULL;
    if (is_of_log(k, st)) {
        tell_unopened(k, bad.what, "Its files were not looked at.");
        return SM_OK;
    }
    if (e) {
        *e = bad;
    }
    return st;
}

/* ---- the repair ------------------------------------------------------------------------------ */

static sm_status check_named(const checking *k, sm_error *e)
{
    const sm_fsck_report *o = k->out;
    char rows[32] = "unknown";

    if (k->opts->rows_named == o->removed_rows) {
        return SM_OK;
    }
    if (o->removed_rows >= 0) {
        snprintf(rows, sizeof(rows), "%" PRId64, o->removed_rows);
    }
    const sm_status st = sm_fail(
        e, SM_USAGE, "the repair would take %s rows out of the table, with %" PRId64 " file%s",
        o->removed_rows < 0 ? "an unknown number of" : rows, o->n_removed,
        o->n_removed == 1 ? "" : "s");
    sm_error_todo(e, "Nothing was done. Name them to let them go: --repair%s --rows %s",
                  k->opts->removes_damaged ? " --damaged" : "", rows);
    return st;
}

/* sm_snapshot_list_if */
static bool is_going(void *ctx, const sm_delta_file *f)
{
    const checking *k = ctx;

    return sm_hash_set_has(&k->going, sm_delta_file_hash(f));
}

static void list_removes(checking *k, sm_delta_commit *record)
{
    int64_t n = 0;
    const sm_delta_file *files = sm_snapshot_files(k->snapshot, &n);
    const sm_delta_file **removes = SM_NEW_ARRAY(k->arena, const sm_delta_file *, n + 1);

    SM_ASSERT(n == k->out->n_removed);
    for (int64_t i = 0; i < n; i++) {
        removes[i] = &files[i];
    }
    record->removes = removes;
    record->n_removes = n;
}

static sm_status repair(checking *k, sm_error *e)
{
    sm_fsck_report *o = k->out;
    const sm_delta_detail parameters[] = {
        {SM_STR("removesDamaged"), {.type = &sm_type_bool, .as.b = k->opts->removes_damaged}},
    };
    const sm_delta_detail metrics[] = {
        {SM_STR("numRemovedFiles"), sm_value_i64(o->n_removed)},
        {SM_STR("removedFilesSize"), sm_value_i64(o->removed_bytes)},
    };
    sm_delta_commit record = {
        .operation = SM_STR("FSCK"),
        .parameters = parameters,
        .n_parameters = SM_COUNT(parameters),
        .metrics = metrics,
        .n_metrics = SM_COUNT(metrics),
        .isolation = SM_READ_NOTHING,
    };

    if (o->n_removed == 0 || k->opts->is_dry) {
        return SM_OK;
    }
    SM_TRY(check_named(k, e));
    SM_TRY(sm_snapshot_list_if(k->snapshot, is_going, k, e));
    list_removes(k, &record);
    const sm_status st =
        smi_publish_record(k->store, k->snapshot, &record, k->env->budget, &o->made, e);
    SM_ASSERT(st != SM_OK || o->made > o->version);
    return st;
}

/* ---- the door -------------------------------------------------------------------------------- */

static sm_status check_and_repair(checking *k, sm_error *e)
{
    SM_TRY(look_at_lake(k, e));
    SM_TRY(look_at_log(k, e));
    if (k->snapshot) {
        SM_TRY(look_at_files(k, e));
    }
    SM_TRY(count_leftovers(k, e));
    k->out->n_left = k->out->n_findings;
    const sm_status st = repair(k, e);
    if (st == SM_OK && k->out->made >= 0) {
        k->out->n_left -= k->n_going;
    }
    SM_ASSERT(k->out->n_left >= 0);
    return st;
}

sm_status sm_table_fsck(sm_store *table, const sm_fsck *opts, const sm_exec_env *env, sm_arena *a,
                        sm_fsck_report *out, sm_error *e)
{
    checking k = {
        .opts = opts,
        .env = env,
        .store = table,
        .arena = a,
        .out = out,
        .window = {.arena = sm_arena_new(env->budget)},
        .told = {.budget = env->budget},
        .going = {.budget = env->budget},
    };

    SM_ASSERT(opts->is_repair || (!opts->is_dry && !opts->removes_damaged));
    *out = (sm_fsck_report){.version = -1, .made = -1};
    const sm_status st = check_and_repair(&k, e);
    for (int i = 0; i < SMI_EACH_SLOTS; i++) {
        sm_arena_free(k.lookers[i].kept);
        sm_arena_free(k.lookers[i].scratch);
    }
    sm_arena_free(k.window.arena);
    sm_hash_set_release(&k.told);
    sm_hash_set_release(&k.going);
    sm_snapshot_release(k.snapshot);
    return sm_within(e, st, "check of %.*s", SM_STR_ARG(sm_store_uri(table)));
}
