/* SPDX-License-Identifier: Apache-2.0
 *
 * delta/delta_dataset.c: makes the dataset by which a scan reads a snapshot: its Parquet files,
 * the partition columns as constants of each file, statistics for pruning, and deletion vectors.
 * Called by table_relation.c, table_candidate.c and serve's clickhouse.c. */
#include "delta/delta_int.h"

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

static sm_status datafile_of(const sm_snapshot *s, const sm_delta_file *f, const int32_t *columns,
                             sm_arena *a, sm_datafile *out, sm_error *e)
{
    sm_store *store = NULL;
    sm_str key = {0};

    SM_TRY(sm_snapshot_place(s, f, a, &store, &key, e));
    *out = (sm_datafile){
        .uri = sm_store_uri_of(store, key, a),
        .store = store,
        .key = key,
        .size_bytes = f->size_bytes,
        .modified_us = f->modified_ms * 1000,
        .constants = f->partition,
        .n_rows = sm_delta_file_rows(f),
        .ranges = sm_delta_dataset_ranges(&s->metadata, f->ranges, columns, a),
    };
    return f->dv ? smi_vector_deletes(s, f, a, &out->deletes, e) : SM_OK;
}

sm_status sm_snapshot_dataset_of(const sm_snapshot *s, const int64_t *files, int64_t n_files,
                                 sm_arena *a, sm_dataset *out, int32_t **columns, sm_error *e)
{
    const sm_delta_metadata *m = &s->metadata;

    SM_TRY(sm_delta_dataset(m, a, out, columns, e));
    out->files = SM_NEW_ARRAY(a, sm_datafile, n_files + 1);
    out->n_files = n_files;
    SM_ASSERT(s->files);
    for (int64_t i = 0; i < n_files; i++) {
        const int64_t at = files ? files[i] : i;
        SM_ASSERT(at >= 0 && at < s->n_files);
        SM_TRY(datafile_of(s, &s->files[at], *columns, a, &out->files[i], e));
    }
    return SM_OK;
}

sm_status sm_snapshot_dataset(const sm_snapshot *s, sm_arena *a, sm_dataset *out, int32_t **columns,
                              sm_error *e)
{
    return sm_snapshot_dataset_of(s, NULL, s->n_files, a, out, columns, e);
}
