/* SPDX-License-Identifier: Apache-2.0
 *
 * delta/delta_dataset.c: makes the dataset by which a scan reads a snapshot: its Parquet files,
 * the partition columns as constants of each file, and deletion vectors. Where the snapshot has its
 * files listed, they are all in the dataset, with their statistics for pruning. Else the scan lists
 * those that its bounds leave, when it begins: a table may have a million files. Called by
 * table_relation.c, table_candidate.c and serve's clickhouse.c. */
#include "delta/delta_int.h"

#include <inttypes.h>

/* Stored columns in the schema's order, then the partition columns in the metadata's. */
static const sm_type *dataset_schema(const sm_delta_metadata *m, sm_arena *a, int32_t *columns)
{
    sm_field *fields = SM_NEW_ARRAY(a, sm_field, m->schema->n_fields);
    int32_t n = 0;

    for (int32_t i = 0; i < m->schema->n_fields; i++) {
        if (sm_delta_partition_at(m, i) < 0) {
            columns[i] = n;
            fields[n++] = m->schema->fields[i];
        }
    }
    for (int32_t i = 0; i < m->n_partition_columns; i++) {
        const int32_t field = sm_type_find(m->schema, m->partition_columns[i]);
        columns[field] = n;
        fields[n++] = m->schema->fields[field];
    }
    SM_ASSERT(n == m->schema->n_fields); /* each field stands once */
    return sm_type_struct(a, fields, n);
}

const sm_range *sm_delta_dataset_ranges(const sm_delta_metadata *m, const sm_range *ranges,
                                        const int32_t *columns, sm_arena *a)
{
    if (!ranges || m->n_partition_columns == 0) {
        return ranges;
    }
    sm_range *out = SM_NEW_ARRAY(a, sm_range, m->schema->n_fields);
    for (int32_t i = 0; i < m->schema->n_fields; i++) {
        SM_ASSERT(columns[i] >= 0 && columns[i] < m->schema->n_fields);
        out[columns[i]] = ranges[i];
    }
    return out;
}

sm_status sm_delta_dataset(const sm_delta_metadata *m, sm_arena *a, sm_dataset *out,
                           int32_t **columns, sm_error *e)
{
    const sm_format *parquet = sm_format_named(SM_STR("parquet"));
    void *opts = sm_arena_alloc(a, parquet->opts_bytes + 1);

    SM_ASSERT(m->n_partition_columns <= m->schema->n_fields);
    SM_TRY(sm_options_default(parquet->options, opts, e));
    *columns = SM_NEW_ARRAY(a, int32_t, m->schema->n_fields + 1);
    *out = (sm_dataset){
        .format = parquet,
        .options = opts,
        .schema = dataset_schema(m, a, *columns),
        .n_constants = m->n_partition_columns,
    };
    return SM_OK;
}

sm_status smi_datafile_of(const sm_snapshot *s, const sm_delta_file *f, sm_arena *a,
                          sm_datafile *out, sm_error *e)
{
    sm_store *store = NULL;
    sm_str key = {0};

    SM_TRY(sm_snapshot_place(s, f, a, &store, &key, e));
    *out = (sm_datafile){
        .uri = sm_store_uri_of(store, key, a),
        .store = store,
        .key = key,
        .size_bytes = f->size_bytes,
        .is_size_said = f->size_bytes > 0,
        .modified_us = f->modified_ms * 1000,
        .constants = f->partition,
        .n_rows = sm_delta_file_rows(f),
    };
    return f->dv ? smi_vector_deletes(s, f, a, &out->deletes, e) : SM_OK;
}

/* ---- files that are listed when the scan begins ---------------------------------------------- */

typedef struct lister {
    sm_lister base;
    const sm_snapshot *snapshot;
    const int32_t *fields; /* the field of the table's schema of each column of the dataset */
    sm_str within;         /* of its files */
} lister;

typedef struct listing {
    const lister *lister;
    sm_arena *arena;
    sm_datafile *files;
    int64_t n, cap;
} listing;

static void begin_listing(void *ctx)
{
    listing *l = ctx;

    l->n = 0;
}

static const sm_value *copy_values(const sm_value *values, int32_t n, sm_arena *a)
{
    sm_value *out = SM_NEW_ARRAY(a, sm_value, n);

    for (int32_t i = 0; i < n; i++) {
        out[i] = sm_value_copy(a, values[i]);
        out[i].type = values[i].type; /* batches keep it, and may outlive the scan */
    }
    return out;
}

sm_delta_file sm_delta_file_copy(const sm_snapshot *s, const sm_delta_file *f, sm_arena *a)
{
    return (sm_delta_file){
        .path = sm_arena_str(a, f->path),
        .key = sm_arena_str(a, f->key),
        .size_bytes = f->size_bytes,
        .modified_ms = f->modified_ms,
        .partition = copy_values(f->partition, s->metadata.n_partition_columns, a),
        .n_rows = f->n_rows,
        .stats_json = sm_arena_str(a, f->stats_json),
        .dv = smi_vector_copy(f->dv, a),
        .base_row_id = f->base_row_id,
        .row_version = f->row_version,
    };
}

static sm_status list_file(void *ctx, const sm_delta_file *f, sm_error *e)
{
    listing *l = ctx;
    const sm_snapshot *s = l->lister->snapshot;
    sm_delta_file *kept = SM_NEW(l->arena, sm_delta_file), brief = *f;

    SM_ASSERT(l->n <= l->cap && s == l->lister->base.of);
    brief.stats_json = SM_STR(""); /* they have excluded what they can */
    *kept = sm_delta_file_copy(s, &brief, l->arena);
    l->files = sm_arena_grow(l->arena, l->files, l->n, &l->cap, sizeof(*l->files));
    SM_TRY(smi_datafile_of(s, kept, l->arena, &l->files[l->n], e));
    l->files[l->n++].within = l->lister->within;
    return SM_OK;
}

/* The bounds on the dataset's columns as bounds on the table's. */
static sm_bounds table_bounds(const lister *l, const sm_bounds *bounds, sm_arena *a)
{
    sm_bound *items = SM_NEW_ARRAY(a, sm_bound, bounds->n);

    for (int32_t i = 0; i < bounds->n; i++) {
        int32_t *path = SM_NEW_ARRAY(a, int32_t, bounds->items[i].n_path);
        items[i] = bounds->items[i];
        SM_ASSERT(items[i].n_path > 0 && items[i].path[0] >= 0);
        memcpy(path, items[i].path, (size_t)items[i].n_path * sizeof(*path));
        path[0] = l->fields[path[0]];
        items[i].path = path;
    }
    return (sm_bounds){.items = items, .n = bounds->n};
}

/* sm_lister.list */
static sm_status list_files(const sm_lister *base, const sm_bounds *bounds, sm_arena *a,
                            sm_datafile **out, int64_t *n, sm_error *e)
{
    const lister *l = (const lister *)(const void *)base;
    const sm_bounds on_table = table_bounds(l, bounds, a);
    listing to = {.lister = l, .arena = a};

    SM_TRY(sm_snapshot_each(l->snapshot, &on_table,
                            &(sm_delta_sink){.begin = begin_listing, .file = list_file, .ctx = &to},
                            e));
    *out = to.files;
    *n = to.n;
    return SM_OK;
}

/* What errors in a file are told with. */
static sm_str within_of(const sm_snapshot *s, sm_arena *a)
{
    return sm_arena_strf(a, "version %" PRId64 " of Delta table %.*s", s->version,
                         SM_STR_ARG(sm_store_uri(s->store)));
}

static const sm_lister *new_lister(const sm_snapshot *s, const int32_t *columns, sm_arena *a)
{
    const int32_t n = s->metadata.schema->n_fields;
    int32_t *fields = SM_NEW_ARRAY(a, int32_t, n);
    lister *l = SM_NEW(a, lister);

    for (int32_t i = 0; i < n; i++) {
        SM_ASSERT(columns[i] >= 0 && columns[i] < n);
        fields[columns[i]] = i;
    }
    *l = (lister){.base = {.list = list_files, .of = s},
                  .snapshot = s,
                  .fields = fields,
                  .within = within_of(s, a)};
    return &l->base;
}

/* ---- the dataset ----------------------------------------------------------------------------- */

/* Puts the next file into a dataset that has room for it. */
static sm_status put_file(const sm_snapshot *s, const sm_delta_file *f, const int32_t *columns,
                          sm_arena *a, sm_dataset *d, sm_error *e)
{
    sm_datafile *out = &d->files[d->n_files];

    SM_TRY(smi_datafile_of(s, f, a, out, e));
    out->within = d->n_files > 0 ? d->files[0].within : within_of(s, a);
    out->ranges = sm_delta_dataset_ranges(&s->metadata, sm_snapshot_ranges(s, f, a), columns, a);
    d->n_files++;
    return SM_OK;
}

sm_status sm_snapshot_dataset_of(const sm_snapshot *s, const int64_t *files, int64_t n_files,
                                 sm_arena *a, sm_dataset *out, int32_t **columns, sm_error *e)
{
    SM_TRY(sm_delta_dataset(&s->metadata, a, out, columns, e));
    out->files = SM_NEW_ARRAY(a, sm_datafile, n_files + 1);
    SM_ENSURE(s->is_listed); /* else a table would seem to be empty */
    for (int64_t i = 0; i < n_files; i++) {
        const int64_t at = files ? files[i] : i;
        SM_ASSERT(at >= 0 && at < s->n_files);
        SM_TRY(put_file(s, &s->files[at], *columns, a, out, e));
    }
    return SM_OK;
}

sm_status sm_snapshot_dataset_picked(const sm_snapshot *s, const sm_delta_file *files,
                                     int64_t n_files, sm_arena *a, sm_dataset *out,
                                     int32_t **columns, sm_error *e)
{
    SM_TRY(sm_delta_dataset(&s->metadata, a, out, columns, e));
    out->files = SM_NEW_ARRAY(a, sm_datafile, n_files + 1);
    for (int64_t i = 0; i < n_files; i++) {
        SM_TRY(put_file(s, &files[i], *columns, a, out, e));
    }
    return SM_OK;
}

sm_status sm_snapshot_dataset(const sm_snapshot *s, sm_arena *a, sm_dataset *out, int32_t **columns,
                              sm_error *e)
{
    if (s->is_listed && !s->is_narrowed) {
        return sm_snapshot_dataset_of(s, NULL, s->n_files, a, out, columns, e);
    }
    SM_TRY(sm_delta_dataset(&s->metadata, a, out, columns, e));
    out->lister = new_lister(s, *columns, a);
    return SM_OK;
}
