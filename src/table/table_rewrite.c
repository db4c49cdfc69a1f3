/* SPDX-License-Identifier: Apache-2.0
 *
 * table/table_rewrite.c: writes the rows of some of a table's files into other files, as a
 * candidate that keeps the table's rows: what compaction (table_optimize.c) and every other
 * maintenance of data files stand on.
 *
 * Method   One plan scans the files, bin after bin; where the caller makes runs of bins, each run
 *          has a plan of its own. A constant column of the dataset says which bin a row is of; a
 *          new file is begun where it changes. The rows go into a stage that appends; what it
 *          gives is then made a commit that removes the files too. Rows that deletion vectors
 *          delete are not read, so they are gone for good.
 * Copied   A file whose row groups are of a good size, in the form that the writer gives, is taken
 *          as it is: its bytes are copied, nothing is decoded. Runs of other files between such are
 *          each read by a plan of their own. Never where a plan makes other rows of them, or the
 *          table keeps the ids of its rows, which then are written too (table_row_ids.c).
 * Order    The new files of a bin stand where its first file stood, in the order of their rows.
 * Record   an OPTIMIZE, with the parameters and metrics that Spark writes. dataChange is false in
 *          all of its actions, so that who follows the table's changes passes over it.
 * Others   The rewrite has read nothing but the files that it removes: only a commit that removed
 *          one of them, or changed metadata or protocol, conflicts. Appends go on beside it.
 * Check    As many rows must come out as the log says that the files have.
 * Memory   what a scan and one open Parquet writer take, whatever the size of the files */
#include "table/table_int.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/pool.h"

/* A rewrite under way. */
typedef struct rewriting {
    const smi_rewrite *r;
    const sm_exec_env *env;
    sm_arena *arena;
    sm_stage *stage;
    sm_dataset data;  /* the files in their order, each with its bin */
    int32_t *columns; /* of each field of the files' schema, its place among the rows */
    smi_row_ids *ids; /* NULL: the table keeps no ids of its rows */
    int64_t n_copied;
} rewriting;

/* Statistics must say that a file has so many rows before its footer is looked at. */
#define COPY_ROWS 50000

/* ---- reading --------------------------------------------------------------------------------- */

/* The dataset's columns, and behind them the number of a row's bin. */
static const sm_type *with_bin(const sm_type *schema, sm_arena *a)
{
    sm_field *fields = SM_NEW_ARRAY(a, sm_field, schema->n_fields + 1);

    memcpy(fields, schema->fields, (size_t)schema->n_fields * sizeof(*fields));
    fields[schema->n_fields] = (sm_field){.name = SM_STR("bin"), .type = &sm_type_i64};
    return sm_type_struct(a, fields, schema->n_fields + 1);
}

/* The constants of a file: those that it has, and behind them its bin. */
static const sm_value *constants_of(const sm_datafile *f, int32_t n, int64_t bin, sm_arena *a)
{
    sm_value *out = SM_NEW_ARRAY(a, sm_value, n + 1);

    for (int32_t i = 0; i < n; i++) {
        out[i] = f->constants[i];
    }
    out[n] = sm_value_i64(bin);
    return out;
}

/* Makes the dataset of the files that are rewritten, in their order. */
static sm_status open_files(rewriting *w, sm_error *e)
{
    const smi_rewrite *r = w->r;
    sm_dataset *d = &w->data;
    sm_datafile *files = SM_NEW_ARRAY(w->arena, sm_datafile, r->n_files);
    int64_t n_base = 0;
    const sm_delta_file *base = sm_snapshot_files(r->base, &n_base);

    SM_TRY(sm_snapshot_dataset_of(r->base, NULL, n_base, w->arena, d, &w->columns, e));
    SM_ASSERT(d->n_files == n_base); /* one a file, in their order */
    for (int64_t i = 0; i < r->n_files; i++) {
        SM_ASSERT(r->files[i] >= base && r->files[i] < base + n_base);
        files[i] = d->files[r->files[i] - base];
    }
    d->files = files;
    d->n_files = r->n_files;
    for (int64_t i = 0; i < r->n_files; i++) {
        files[i].constants =
            constants_of(&files[i], d->n_constants, r->bins ? r->bins[i] : 0, w->arena);
    }
    d->n_constants++;
    d->schema = with_bin(d->schema, w->arena);
    return w->ids ? smi_row_ids_dataset(w->ids, r->files, w->arena, d, e) : SM_OK;
}

static int64_t run_of(const smi_rewrite *r, int64_t file)
{
    return r->runs ? r->runs[file] : 0;
}

static sm_status plan_rows(rewriting *w, const sm_dataset *d, int64_t run, sm_arena *a,
                           sm_plan **out, sm_error *e)
{
    const sm_relation relation = {.dataset = d,
                                  .label = sm_store_uri(sm_snapshot_store(w->r->base))};
    const sm_plan_node *rows = sm_plan_scan(&relation, false, a);

    SM_TRY(w->ids ? smi_row_ids_plan(w->ids, rows, a, &rows, e) : SM_OK);
    const sm_plan_node *root = rows;
    if (w->r->plan) {
        SM_TRY(w->r->plan(w->r->ctx, run, rows, a, &root, e));
        SM_ASSERT(root->schema->n_fields == rows->schema->n_fields + (w->r->sorted != NULL));
    }
    return sm_plan_finish(root, a, out, e);
}

/* ---- writing --------------------------------------------------------------------------------- */

/* How many rows the files have by the log; −1 where it does not say. */
static int64_t rows_of(const smi_rewrite *r)
{
    int64_t sum = 0;

    for (int64_t i = 0; i < r->n_files && sum >= 0; i++) {
        const int64_t n = sm_delta_file_rows(r->files[i]);
        sum = n < 0 ? -1 : sum + n;
    }
    return sum;
}

static sm_status check_rows(const rewriting *w, sm_error *e)
{
    const int64_t said = rows_of(w->r), found = w->stage->out.n_rows;

    if (said < 0 || said == found) {
        return SM_OK;
    }
    const sm_status st =
        sm_fail(e, SM_CORRUPT,
                "the log says that %" PRId64 " files have %" PRId64 " rows, and they have %" PRId64,
                w->r->n_files, said, found);
    sm_error_todo(e, "Nothing was changed. The table can be read as it is.");
    return sm_within(e, st, "table %.*s", SM_STR_ARG(sm_store_uri(w->stage->out.store)));
}

/* The first file of each bin: the bin's new files stand in its place. */
static const sm_delta_file **first_files(const smi_rewrite *r, sm_arena *a)
{
    const sm_delta_file **out = SM_NEW_ARRAY(a, const sm_delta_file *, r->n_files);

    out[0] = r->files[0];
    for (int64_t i = 1; r->bins && i < r->n_files; i++) {
        SM_ASSERT(r->bins[i] >= r->bins[i - 1] && r->bins[i] <= i);
        if (r->bins[i] != r->bins[i - 1]) {
            out[r->bins[i]] = r->files[i];
        }
    }
    return out;
}

/* Writes the rows of a plan. */
static sm_status execute(rewriting *w, const sm_plan *plan, sm_error *e)
{
    smi_out_parts parts;

    smi_out_parts_init(&parts, &w->stage->out);
    sm_status st = sm_exec_run(plan, w->env, &parts.sink, NULL, NULL, e);
    if (st == SM_OK && parts.n > 0) {
        st = smi_out_parts_finish(&parts, e);
    }
    smi_out_parts_release(&parts);
    return st;
}

/* The rows of files `first` to `end`, which are of one run, by a plan. */
static sm_status write_rows(rewriting *w, int64_t first, int64_t end, sm_error *e)
{
    sm_arena *a = sm_arena_new(w->env->budget);
    sm_dataset d = w->data;
    sm_plan *plan = NULL;
    sm_status st = SM_OK;

    SM_ASSERT(first <= end && end <= d.n_files);
    d.files += first;
    d.n_files = end - first;
    if (d.n_files > 0) {
        st = plan_rows(w, &d, run_of(w->r, first), a, &plan, e);
        st = st == SM_OK ? execute(w, plan, e) : st;
    }
    sm_arena_free(a);
    return st;
}

/* Opens a file that can be copied; *out is NULL where it cannot. One whose size is not that of the
 * log is read instead, which tells what is wrong. */
static sm_status open_copied(const rewriting *w, int64_t i, sm_blob **out, sm_error *e)
{
    const sm_delta_file *f = w->r->files[i];
    const smi_out *o = &w->stage->out;
    sm_blob *blob = NULL;
    bool can = false;

    *out = NULL;
    if (w->r->plan || w->ids || f->dv || f->n_rows < COPY_ROWS || !o->format->writer->can_copy) {
        return SM_OK;
    }
    SM_TRY(sm_blob_open_tail(o->store, f->key, f->size_bytes, o->format->tail_bytes, &blob, e));
    sm_status st = SM_OK;
    if (sm_blob_bytes(blob) == f->size_bytes) {
        st = o->format->writer->can_copy(o->stored, o->options, blob, w->env->budget, &can, e);
    }
    if (st != SM_OK || !can) {
        sm_blob_close(blob);
        return st;
    }
    *out = blob;
    return SM_OK;
}

static sm_status copy_file(rewriting *w, int64_t i, sm_blob *blob, sm_error *e)
{
    const smi_copied from = {.blob = blob, .partition = w->r->files[i]->partition};
    sm_status st = SM_OK;
    sm_pause pause;

    sm_pause_init(&pause);
    while ((st = smi_out_copy(&w->stage->out, &from, w->r->bins ? w->r->bins[i] : 0,
                              sm_pause_waker(&pause), e)) == SM_WAIT) {
        sm_pause_wait(&pause);
    }
    sm_pause_release(&pause);
    w->n_copied++;
    return st;
}

static sm_status end_last_file(rewriting *w, sm_error *e)
{
    sm_status st = SM_OK;
    sm_pause pause;

    sm_pause_init(&pause);
    while ((st = smi_out_finish(&w->stage->out, sm_pause_waker(&pause), e)) == SM_WAIT) {
        sm_pause_wait(&pause);
    }
    sm_pause_release(&pause);
    return st;
}

/* Writes the files of a run, the open file with them: it holds the memory of a row group, which the
 * next plan may need. */
static sm_status write_run(rewriting *w, int64_t first, int64_t end, sm_error *e)
{
    for (int64_t i = first; i < end; i++) {
        sm_blob *from = NULL;
        SM_TRY(open_copied(w, i, &from, e));
        if (from) {
            sm_status st = write_rows(w, first, i, e);
            st = st == SM_OK ? copy_file(w, i, from, e) : st;
            sm_blob_close(from);
            SM_TRY(st);
            first = i + 1;
        }
    }
    SM_TRY(write_rows(w, first, end, e));
    return end_last_file(w, e);
}

static sm_status write_files(rewriting *w, sm_error *e)
{
    const smi_rewrite *r = w->r;
    int64_t first = 0;

    for (int64_t end = 1; end <= r->n_files; end++) {
        if (end == r->n_files || run_of(r, end) != run_of(r, first)) {
            SM_TRY(write_run(w, first, end, e));
            first = end;
        }
    }
    return check_rows(w, e);
}

/* The new files have two columns more, which the rows have behind those of the table. */
static void take_ids(rewriting *w)
{
    smi_out *o = &w->stage->out;
    const int32_t n = o->schema->n_fields;
    int32_t *columns = NULL;

    smi_row_ids_out(w->ids, o);
    columns = SM_NEW_ARRAY(w->arena, int32_t, o->schema->n_fields);
    for (int32_t i = 0; i < o->schema->n_fields; i++) {
        columns[i] = i < n ? w->columns[i] : i;
    }
    w->columns = columns;
}

static sm_status stage_files(rewriting *w, sm_error *e)
{
    const smi_rewrite *r = w->r;
    const sm_type *schema = sm_snapshot_metadata(r->base)->schema;
    const sm_write write = {
        .uri = sm_store_uri(sm_snapshot_store(r->base)),
        .mode = SM_WRITE_APPEND,
        .file_bytes = r->file_bytes > 0 ? r->file_bytes : UINT64_MAX,
        .has_base = true,
        .base = r->base,
        .keeps_values = true,
    };

    SM_TRY(smi_row_ids_settle(r->base, w->arena, &w->ids, e));
    SM_TRY(sm_stage_open(&write, schema, w->env, &w->stage, e));
    SM_TRY(open_files(w, e));
    if (w->ids) {
        take_ids(w);
    }
    smi_out *o = &w->stage->out;
    o->rules = (smi_rules){0}; /* the rows are in the table */
    o->order = w->columns;
    o->origin = o->schema->n_fields;
    o->places = first_files(r, w->arena);
    if (r->sorted) {
        r->sorted->column = o->schema->n_fields + 1;
        o->sorted = r->sorted;
    }
    if (r->group_rows > 0) {
        SM_TRY(smi_stage_group_rows(w->stage, r->group_rows, e));
    }
    return write_files(w, e);
}

/* ---- the record ------------------------------------------------------------------------------ */

static int by_size(const void *x, const void *y)
{
    const int64_t a = *(const int64_t *)x, b = *(const int64_t *)y;

    return a < b ? -1 : a > b;
}

/* The sizes of the new files, ascending; of none a 0. */
static int64_t *sorted_sizes(const sm_delta_commit *c, sm_arena *a)
{
    int64_t *sizes = SM_NEW_ARRAY(a, int64_t, c->n_adds + 1);

    for (int64_t i = 0; i < c->n_adds; i++) {
        sizes[i] = (int64_t)c->adds[i].size_bytes;
    }
    qsort(sizes, (size_t)c->n_adds, sizeof(*sizes), by_size);
    return sizes;
}

static void set_metrics(sm_candidate *c)
{
    sm_delta_commit *r = &c->record;
    const int64_t *sizes = sorted_sizes(r, c->arena);
    const int64_t last = r->n_adds > 0 ? r->n_adds - 1 : 0;
    int64_t removed_bytes = 0, n_vectors = 0;

    for (int64_t i = 0; i < r->n_removes; i++) {
        removed_bytes += (int64_t)r->removes[i]->size_bytes;
        n_vectors += r->removes[i]->dv != NULL;
    }
    const sm_delta_detail metrics[] = {
        {SM_STR("numRemovedFiles"), sm_value_i64(r->n_removes)},
        {SM_STR("numRemovedBytes"), sm_value_i64(removed_bytes)},
        {SM_STR("numAddedFiles"), sm_value_i64(r->n_adds)},
        {SM_STR("numAddedBytes"), sm_value_i64((int64_t)c->bytes)},
        {SM_STR("minFileSize"), sm_value_i64(sizes[0])},
        {SM_STR("p25FileSize"), sm_value_i64(sizes[last / 4])},
        {SM_STR("p50FileSize"), sm_value_i64(sizes[last / 2])},
        {SM_STR("p75FileSize"), sm_value_i64(sizes[last * 3 / 4])},
        {SM_STR("maxFileSize"), sm_value_i64(sizes[last])},
        {SM_STR("numDeletionVectorsRemoved"), sm_value_i64(n_vectors)},
    };
    r->n_metrics = SM_COUNT(metrics);
    r->metrics = memcpy(sm_arena_alloc(c->arena, sizeof(metrics)), metrics, sizeof(metrics));
}

static void set_parameters(sm_candidate *c, sm_str z_order_by)
{
    const sm_str by = z_order_by.len > 0 ? sm_arena_str(c->arena, z_order_by) : SM_STR("[]");
    const sm_delta_detail parameters[] = {
        {SM_STR("predicate"), sm_value_str(SM_STR("[]"))},
        {SM_STR("zOrderBy"), sm_value_str(by)},
        {SM_STR("auto"), (sm_value){.type = &sm_type_bool, .as.b = false}},
    };

    c->record.n_parameters = SM_COUNT(parameters);
    c->record.parameters =
        memcpy(sm_arena_alloc(c->arena, sizeof(parameters)), parameters, sizeof(parameters));
}

/* Files of one snapshot, in its order. */
static int by_place(const void *x, const void *y)
{
    const sm_delta_file *a = *(const sm_delta_file *const *)x;
    const sm_delta_file *b = *(const sm_delta_file *const *)y;

    return a < b ? -1 : a > b;
}

/* Makes the append of a stage a commit that removes the files whose rows it has. */
static void set_record(sm_candidate *c, const smi_rewrite *r)
{
    const sm_delta_file **removes = SM_NEW_ARRAY(c->arena, const sm_delta_file *, r->n_files);

    SM_ASSERT(c->record.isolation == SM_READ_NOTHING && c->record.n_removes == 0);
    for (int64_t i = 0; i < r->n_files; i++) {
        removes[i] = r->files[i];
    }
    qsort((void *)removes, (size_t)r->n_files, sizeof(*removes), by_place);
    c->record.operation = SM_STR("OPTIMIZE");
    c->record.removes = removes;
    c->record.n_removes = r->n_files;
    c->record.keeps_rows = true;
    c->n_rows = 0; /* rows that were there before */
    set_parameters(c, r->z_order_by);
    set_metrics(c);
}

/* ---- the inside's door ----------------------------------------------------------------------- */

sm_status smi_rewrite_files(const smi_rewrite *r, const sm_exec_env *env, sm_candidate **out,
                            sm_error *e)
{
    SM_ASSERT(r->base && r->files && r->n_files > 0);
    rewriting w = {.r = r, .env = env, .arena = sm_arena_new(env->budget)};
    sm_candidate *c = NULL;

    sm_status st = stage_files(&w, e);
    if (st == SM_OK) {
        st = sm_stage_candidate(w.stage, &c, e);
    }
    if (st == SM_OK) {
        set_record(c, r);
        smi_candidate_assert_valid(c);
        if (r->n_copied) {
            *r->n_copied = w.n_copied;
        }
        *out = c;
    }
    sm_stage_close(w.stage);
    sm_arena_free(w.arena);
    return st;
}
