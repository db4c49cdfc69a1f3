/* SPDX-License-Identifier: Apache-2.0
 *
 * delta/delta_checkpoint.c: writes a checkpoint: the snapshot's actions as one Parquet file with a
 * struct column for each kind of action, and _last_checkpoint beside it. Called by delta_due.c.
 *
 * V2      Where delta.checkpointPolicy is v2, the files are in sidecars of up to 50,000 rows, which
 *         the checkpoint names; removals come first, in sidecars of their own. It has the classic
 *         name, by which programs that do not know the feature find the protocol that says so.
 *
 * Files go from the checkpoint before to the new one, batch by batch: memory is bounded, however
 * many there are. They keep their order, so that a table that is read from a checkpoint is still
 * scanned in the order of loading. Tombstones younger than a week are written too, for programs
 * that delete old data files.
 *
 * Source  PROTOCOL.md, "Checkpoints", "Checkpoint Schema", "Last Checkpoint File" */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/json_write.h"
#include "base/random.h"
#include "base/time.h"
#include "column/builder.h"
#include "delta/delta_int.h"

/* ---- the schema ------------------------------------------------------------------------------ */

#define VECTOR_SQL                                                                                 \
    "STRUCT(storageType VARCHAR, pathOrInlineDv VARCHAR, \"offset\" INTEGER, "                     \
    "sizeInBytes INTEGER, cardinality BIGINT)"
static const char checkpoint_sql[] =
    "STRUCT("
    "txn STRUCT(appId VARCHAR, version BIGINT, lastUpdated BIGINT), "
    "add STRUCT(path VARCHAR, partitionValues MAP(VARCHAR, VARCHAR), size BIGINT, "
    "modificationTime BIGINT, dataChange BOOLEAN, tags MAP(VARCHAR, VARCHAR), "
    "deletionVector " VECTOR_SQL ", stats VARCHAR, "
    "baseRowId BIGINT, defaultRowCommitVersion BIGINT, clusteringProvider VARCHAR), "
    "remove STRUCT(path VARCHAR, deletionTimestamp BIGINT, dataChange BOOLEAN, "
    "deletionVector " VECTOR_SQL "), "
    "metaData STRUCT(id VARCHAR, name VARCHAR, description VARCHAR, "
    "format STRUCT(provider VARCHAR, options MAP(VARCHAR, VARCHAR)), schemaString VARCHAR, "
    "partitionColumns VARCHAR[], configuration MAP(VARCHAR, VARCHAR), createdTime BIGINT), "
    "protocol STRUCT(minReaderVersion INTEGER, minWriterVersion INTEGER, "
    "readerFeatures VARCHAR[], writerFeatures VARCHAR[]), "
    "domainMetadata STRUCT(domain VARCHAR, configuration VARCHAR, removed BOOLEAN), "
    "checkpointMetadata STRUCT(version BIGINT, tags MAP(VARCHAR, VARCHAR)), "
    "sidecar STRUCT(path VARCHAR, sizeInBytes BIGINT, modificationTime BIGINT, "
    "tags MAP(VARCHAR, VARCHAR)))";

enum {
    COLUMN_TXN,
    COLUMN_ADD,
    COLUMN_REMOVE,
    COLUMN_METADATA,
    COLUMN_PROTOCOL,
    COLUMN_DOMAIN,
    COLUMN_CHECKPOINT,
    COLUMN_SIDECAR,
    COLUMNS
};

/* The columns of each kind of file. */
#define V1_COLUMNS      ((UINT32_C(1) << COLUMN_CHECKPOINT) - 1)
#define V2_COLUMNS      ((UINT32_C(1) << COLUMNS) - 1)
#define SIDECAR_COLUMNS ((UINT32_C(1) << COLUMN_ADD) | (UINT32_C(1) << COLUMN_REMOVE))
#define SIDECAR_ROWS    50000 /* as Spark */

/* What checkpoint_sql calls them. */
static const char *const column_names[] = {
    [COLUMN_TXN] = "txn",
    [COLUMN_ADD] = "add",
    [COLUMN_REMOVE] = "remove",
    [COLUMN_METADATA] = "metaData",
    [COLUMN_PROTOCOL] = "protocol",
    [COLUMN_DOMAIN] = "domainMetadata",
    [COLUMN_CHECKPOINT] = "checkpointMetadata",
    [COLUMN_SIDECAR] = "sidecar",
};
static_assert(SM_COUNT(column_names) == COLUMNS, "a column has no name");

/* ---- rows ------------------------------------------------------------------------------------ */

static void put_text(sm_builder *b, int32_t field, sm_str s)
{
    sm_builder *child = sm_builder_child(b, field);

    if (s.data) {
        sm_builder_str(child, s);
    } else {
        sm_builder_null(child);
    }
}
/* An empty text is written as null. */
static void put_some_text(sm_builder *b, int32_t field, sm_str s)
{
    put_text(b, field, s.len ? s : (sm_str){0});
}
static void put_number(sm_builder *b, int32_t field, int64_t v)
{
    sm_builder_i64(sm_builder_child(b, field), v);
}
static void put_some_number(sm_builder *b, int32_t field, int64_t v)
{
    if (v >= 0) {
        put_number(b, field, v);
    } else {
        sm_builder_null(sm_builder_child(b, field));
    }
}

static void put_pair(sm_builder *map, sm_str key, sm_str value)
{
    sm_builder_str(sm_builder_child(map, 0), key);
    put_text(map, 1, value);
}

static void put_pairs(sm_builder *b, int32_t field, const sm_pair *items, int32_t n)
{
    sm_builder *map = sm_builder_child(b, field);

    for (int32_t i = 0; i < n; i++) {
        put_pair(map, items[i].key, items[i].value);
    }
    sm_builder_list(map);
}

static void put_texts(sm_builder *b, int32_t field, const sm_str *items, int32_t n)
{
    sm_builder *list = sm_builder_child(b, field);

    for (int32_t i = 0; i < n; i++) {
        sm_builder_str(sm_builder_child(list, 0), items[i]);
    }
    sm_builder_list(list);
}

static void put_protocol(sm_builder *b, const sm_delta_protocol *p)
{
    put_number(b, 0, p->min_reader);
    put_number(b, 1, p->min_writer);
    if (p->min_reader >= 3) {
        put_texts(b, 2, p->reader_features, p->n_reader_features);
    } else {
        sm_builder_null(sm_builder_child(b, 2));
    }
    if (p->min_writer >= 7) {
        put_texts(b, 3, p->writer_features, p->n_writer_features);
    } else {
        sm_builder_null(sm_builder_child(b, 3));
    }
    sm_builder_struct(b);
}

static void put_metadata(sm_builder *b, const sm_snapshot *s)
{
    const sm_delta_metadata *m = &s->metadata;
    sm_builder *format = sm_builder_child(b, 3);

    put_text(b, 0, m->id);
    put_some_text(b, 1, m->name);
    put_some_text(b, 2, m->description);
    put_text(format, 0, SM_STR("parquet"));
    put_pairs(format, 1, NULL, 0);
    sm_builder_struct(format);
    put_text(b, 4, s->schema_json);
    put_texts(b, 5, m->partition_columns, m->n_partition_columns);
    put_pairs(b, 6, m->config, m->n_config);
    put_some_number(b, 7, m->created_ms);
    sm_builder_struct(b);
}

static void put_txn(sm_builder *b, const sm_delta_txn *t)
{
    put_text(b, 0, t->app_id);
    put_number(b, 1, t->version);
    put_some_number(b, 2, t->updated_ms);
    sm_builder_struct(b);
}

static void put_domain(sm_builder *b, const sm_delta_domain *d)
{
    SM_ASSERT(!d->is_removed); /* a checkpoint has those that are there */
    put_text(b, 0, d->name);
    put_text(b, 1, d->configuration.data ? d->configuration : SM_STR(""));
    sm_builder_bool(sm_builder_child(b, 2), false);
    sm_builder_struct(b);
}

static void put_partition(sm_builder *map, const sm_snapshot *s, const sm_delta_file *f)
{
    const sm_delta_metadata *m = &s->metadata;
    sm_buf text = {0};
    sm_arena *scratch = sm_arena_new(NULL);

    for (int32_t i = 0; i < m->n_partition_columns; i++) {
        const int32_t field = sm_type_find(m->schema, m->partition_columns[i]);
        sm_buf_reset(&text);
        smi_partition_text(f->partition[i], &text);
        put_pair(map, smi_physical_name(&m->schema->fields[field], scratch),
                 f->partition[i].is_null ? (sm_str){0} : sm_buf_str(&text));
    }
    sm_builder_list(map);
    sm_arena_free(scratch);
    sm_buf_release(&text);
}

static void put_vector(sm_builder *b, const sm_delta_dv *dv)
{
    if (!dv) {
        sm_builder_null(b);
        return;
    }
    put_text(b, 0, dv->storage_type);
    put_text(b, 1, dv->path_or_inline);
    put_some_number(b, 2, dv->offset);
    put_number(b, 3, dv->size_bytes);
    put_number(b, 4, dv->cardinality);
    sm_builder_struct(b);
}

static void put_remove(sm_builder *b, const smi_action *remove)
{
    put_text(b, 0, remove->path);
    put_number(b, 1, remove->modified_ms);
    sm_builder_bool(sm_builder_child(b, 2), false); /* as the protocol wants it in checkpoints */
    put_vector(sm_builder_child(b, 3), remove->dv); /* or it would be the removal of another file */
    sm_builder_struct(b);
}

static void put_add(sm_builder *b, const sm_snapshot *s, const sm_delta_file *f)
{
    put_text(b, 0, f->path);
    put_partition(sm_builder_child(b, 1), s, f);
    put_number(b, 2, (int64_t)f->size_bytes);
    put_number(b, 3, f->modified_ms);
    sm_builder_bool(sm_builder_child(b, 4), false);
    if (f->n_tags) {
        put_pairs(b, 5, f->tags, f->n_tags);
    } else {
        sm_builder_null(sm_builder_child(b, 5));
    }
    put_vector(sm_builder_child(b, 6), f->dv);
    put_some_text(b, 7, f->stats_json);
    put_some_number(b, 8, f->base_row_id);
    put_some_number(b, 9, f->row_version);
    put_some_text(b, 10, f->cluster_provider);
    sm_builder_struct(b);
}

/* ---- the file -------------------------------------------------------------------------------- */

typedef struct checkpoint_file {
    const sm_type *schema;
    sm_builder *columns[COLUMNS]; /* NULL: the file has no such column */
    int64_t n_buffered, n_rows;   /* those that were written, and those that come next */
    sm_upload *upload;
    const struct sm_writer_ops *ops;
    sm_writer *writer;
    sm_budget *budget;
} checkpoint_file;

static sm_status write_wait(void *ctx, sm_block *block, size_t len, sm_waker waker, sm_error *e)
{
    return sm_upload_write_wait(ctx, block, len, e);
}

static sm_status flush_rows(checkpoint_file *f, sm_error *e)
{
    sm_status st = SM_OK;
    sm_batch *batch = NULL;

    if (f->n_buffered == 0) {
        return SM_OK;
    }
    SM_TRY(sm_batch_new(f->budget, f->schema, &batch, e));
    SM_ASSERT(f->n_buffered <= SM_BATCH_ROWS);
    for (int i = 0, n = 0; i < COLUMNS; i++) {
        if (f->columns[i]) {
            SM_TRY_GOTO(st, done, sm_builder_finish(f->columns[i], batch, &batch->columns[n], e));
            SM_ASSERT(batch->columns[n].n_rows == f->n_buffered); /* each row was ended once */
            n++;
        }
    }
    batch->n_rows = f->n_buffered;
    st = f->ops->write(f->writer, batch, (sm_waker){0}, e);
    f->n_rows += f->n_buffered;
    f->n_buffered = 0;
done:
    sm_batch_release(batch);
    return st;
}

/* Ends a row whose action was put into `column`: the other columns are null in it. */
static sm_status end_row(checkpoint_file *f, int column, sm_error *e)
{
    SM_ASSERT(column >= 0 && column < COLUMNS && f->columns[column]);
    for (int i = 0; i < COLUMNS; i++) {
        if (i != column && f->columns[i]) {
            sm_builder_null(f->columns[i]);
        }
    }
    return ++f->n_buffered == SM_BATCH_ROWS ? flush_rows(f, e) : SM_OK;
}

static sm_status open_file(checkpoint_file *f, sm_store *store, sm_str key, uint32_t columns,
                           sm_arena *a, sm_error *e)
{
    const sm_format *parquet = sm_format_named(SM_STR("parquet"));
    void *opts = sm_arena_alloc(a, parquet->opts_bytes);
    const sm_type *all = NULL;
    sm_field fields[COLUMNS];
    int32_t n = 0;

    SM_ASSERT(!f->writer && columns != 0 && columns <= V2_COLUMNS);
    SM_TRY(sm_type_parse(sm_str_of(checkpoint_sql), a, &all, e));
    SM_ASSERT(all->n_fields == COLUMNS);
    for (int i = 0; i < COLUMNS; i++) {
        SM_ASSERT(sm_str_is(all->fields[i].name, column_names[i]));
        if (columns >> i & 1) {
            fields[n++] = all->fields[i];
            f->columns[i] = sm_builder_new(all->fields[i].type, f->budget);
        }
    }
    f->schema = sm_type_struct(a, fields, n);
    SM_TRY(sm_options_default(parquet->options, opts, e));
    SM_TRY(sm_upload_open(store, key, f->budget, 0, &f->upload, e));
    f->ops = parquet->writer;
    const sm_bytes_out to = {.write = write_wait, .ctx = f->upload};
    return f->ops->open(f->schema, opts, to, NULL, f->budget, &f->writer, e);
}

static sm_status finish_file(checkpoint_file *f, sm_error *e)
{
    sm_written written = {0};

    SM_TRY(flush_rows(f, e));
    SM_TRY(f->ops->finish(f->writer, (sm_waker){0}, &written, e));
    SM_ASSERT(written.n_rows == f->n_rows);
    return sm_upload_finish_wait(f->upload, e);
}

/* An unfinished file leaves nothing behind. */
static void close_file(checkpoint_file *f)
{
    for (int i = 0; i < COLUMNS; i++) {
        sm_builder_free(f->columns[i]);
    }
    if (f->writer) {
        f->ops->close(f->writer);
    }
    sm_upload_close(f->upload);
    *f = (checkpoint_file){.budget = f->budget};
}

/* ---- the rows of files ----------------------------------------------------------------------- */

/* A finished sidecar. */
typedef struct sidecar {
    sm_str name; /* below _sidecars */
    uint64_t size_bytes;
    int64_t modified_ms;
} sidecar;

/* A checkpoint that is being written. */
typedef struct checkpoint {
    const sm_snapshot *snapshot;
    sm_arena *arena;
    bool is_v2;
    checkpoint_file file;      /* that rows are put into; V2: a sidecar, if one is open */
    int64_t n_rows;            /* of all its files */
    int64_t oldest_removal_ms; /* earlier ones are left out */
    int64_t n_begun; /* how often the files began: at first for the removes, then for the adds */
    sm_str open_name;
    sidecar *sidecars;
    int64_t n_sidecars, cap_sidecars;
    bool is_named; /* there may be a checkpoint that names the sidecars */
} checkpoint;

static sm_str sidecar_key(const checkpoint *c, sm_str name)
{
    return sm_arena_strf(c->arena, SMI_LOG_SIDECARS "%.*s", SM_STR_ARG(name));
}

static sm_status open_sidecar(checkpoint *c, sm_error *e)
{
    char uuid[SM_UUID_BYTES];

    SM_ASSERT(c->is_v2 && c->open_name.len == 0);
    sm_uuid(uuid);
    const sm_str name = sm_arena_strf(c->arena, "%s.parquet", uuid);
    SM_TRY(open_file(&c->file, c->snapshot->store, sidecar_key(c, name), SIDECAR_COLUMNS, c->arena,
                     e));
    c->open_name = name;
    return SM_OK;
}

static sm_status finish_sidecar(checkpoint *c, sm_error *e)
{
    if (c->open_name.len == 0) {
        return SM_OK;
    }
    SM_TRY(finish_file(&c->file, e));
    c->sidecars =
        sm_arena_grow(c->arena, c->sidecars, c->n_sidecars, &c->cap_sidecars, sizeof(*c->sidecars));
    c->sidecars[c->n_sidecars++] = (sidecar){
        .name = c->open_name,
        .size_bytes = sm_upload_bytes(c->file.upload),
        .modified_ms = sm_now_us() / 1000,
    };
    c->n_rows += c->file.n_rows;
    c->open_name = (sm_str){0};
    close_file(&c->file);
    return SM_OK;
}

/* The file that the next row of a file goes into. */
static sm_status file_for_row(checkpoint *c, checkpoint_file **out, sm_error *e)
{
    *out = &c->file;
    if (!c->is_v2) {
        return SM_OK;
    }
    if (c->file.n_rows + c->file.n_buffered >= SIDECAR_ROWS) {
        SM_TRY(finish_sidecar(c, e));
    }
    return c->open_name.len == 0 ? open_sidecar(c, e) : SM_OK;
}

/* Removals before this time are left out. A vacuum, whoever does it, keeps a removed file for as
 * long as the table says, if it knows of the removal. A text that is not understood keeps all. */
static int64_t oldest_removal_ms(const sm_snapshot *s)
{
    const int64_t retention_us = sm_delta_retention_us(&s->metadata);

    return retention_us < 0 ? INT64_MIN : (sm_now_us() - retention_us) / 1000;
}

static void begin_files(void *ctx)
{
    checkpoint *c = ctx;

    c->n_begun++;
}

/* Rows that were written cannot be taken back. The next attempt meets the damage as soon as it
 * opens the table. */
static sm_status check_begun(const checkpoint *c, int64_t expected, sm_error *e)
{
    return c->n_begun == expected
               ? SM_OK
               : sm_fail(e, SM_CORRUPT, "the checkpoint before turned out to be damaged");
}

static sm_status put_old_remove(void *ctx, const smi_action *remove, sm_error *e)
{
    checkpoint *c = ctx;
    checkpoint_file *f = NULL;

    SM_TRY(check_begun(c, 1, e));
    if (remove->modified_ms < c->oldest_removal_ms) {
        return SM_OK;
    }
    SM_TRY(file_for_row(c, &f, e));
    put_remove(f->columns[COLUMN_REMOVE], remove);
    return end_row(f, COLUMN_REMOVE, e);
}

static sm_status put_file(void *ctx, const sm_delta_file *file, sm_error *e)
{
    checkpoint *c = ctx;
    checkpoint_file *f = NULL;

    SM_TRY(check_begun(c, 2, e));
    SM_TRY(file_for_row(c, &f, e));
    put_add(f->columns[COLUMN_ADD], c->snapshot, file);
    return end_row(f, COLUMN_ADD, e);
}

/* Removes and adds: into the open file, or into sidecars. */
static sm_status put_files(checkpoint *c, sm_error *e)
{
    SM_TRY(smi_removes_each(
        c->snapshot, (smi_action_sink){.begin = begin_files, .each = put_old_remove, .ctx = c}, e));
    SM_TRY(finish_sidecar(c, e));
    SM_TRY(sm_snapshot_each(c->snapshot, NULL,
                            &(sm_delta_sink){.begin = begin_files, .file = put_file, .ctx = c}, e));
    return finish_sidecar(c, e);
}

/* ---- the other rows -------------------------------------------------------------------------- */

static sm_status put_head(checkpoint_file *f, const sm_snapshot *s, sm_error *e)
{
    put_protocol(f->columns[COLUMN_PROTOCOL], &s->protocol);
    SM_TRY(end_row(f, COLUMN_PROTOCOL, e));
    put_metadata(f->columns[COLUMN_METADATA], s);
    SM_TRY(end_row(f, COLUMN_METADATA, e));
    for (int64_t i = 0; i < s->n_txns; i++) {
        put_txn(f->columns[COLUMN_TXN], &s->txns[i]);
        SM_TRY(end_row(f, COLUMN_TXN, e));
    }
    for (int64_t i = 0; i < s->n_domains; i++) {
        if (!s->domains[i].is_removed) {
            put_domain(f->columns[COLUMN_DOMAIN], &s->domains[i]);
            SM_TRY(end_row(f, COLUMN_DOMAIN, e));
        }
    }
    return SM_OK;
}

/* What only V2 checkpoints have. */
static sm_status put_sidecars(checkpoint_file *f, const checkpoint *c, sm_error *e)
{
    sm_builder *b = f->columns[COLUMN_CHECKPOINT];

    put_number(b, 0, c->snapshot->version);
    put_pairs(b, 1, NULL, 0);
    sm_builder_struct(b);
    SM_TRY(end_row(f, COLUMN_CHECKPOINT, e));
    for (int64_t i = 0; i < c->n_sidecars; i++) {
        const sidecar *one = &c->sidecars[i];
        b = f->columns[COLUMN_SIDECAR];
        put_text(b, 0, one->name);
        put_number(b, 1, (int64_t)one->size_bytes);
        put_number(b, 2, one->modified_ms);
        put_pairs(b, 3, NULL, 0);
        sm_builder_struct(b);
        SM_TRY(end_row(f, COLUMN_SIDECAR, e));
    }
    return SM_OK;
}

static sm_status write_v1(checkpoint *c, sm_str key, sm_error *e)
{
    SM_TRY(open_file(&c->file, c->snapshot->store, key, V1_COLUMNS, c->arena, e));
    SM_TRY(put_head(&c->file, c->snapshot, e));
    SM_TRY(put_files(c, e));
    SM_TRY(finish_file(&c->file, e));
    c->n_rows = c->file.n_rows;
    return SM_OK;
}

static sm_status write_v2(checkpoint *c, sm_str key, sm_error *e)
{
    SM_TRY(put_files(c, e));
    SM_TRY(open_file(&c->file, c->snapshot->store, key, V2_COLUMNS, c->arena, e));
    SM_TRY(put_sidecars(&c->file, c, e));
    SM_TRY(put_head(&c->file, c->snapshot, e));
    c->is_named = true; /* also after a failure: the answer of the store may have been lost */
    SM_TRY(finish_file(&c->file, e));
    c->n_rows += c->file.n_rows;
    return SM_OK;
}

/* No checkpoint names them. Those that stay are deleted when the log is cleaned up. */
static void delete_sidecars(const checkpoint *c)
{
    sm_str *keys = SM_NEW_ARRAY(c->arena, sm_str, c->n_sidecars);
    sm_error unused = {0};

    for (int64_t i = 0; i < c->n_sidecars; i++) {
        keys[i] = sidecar_key(c, c->sidecars[i].name);
    }
    if (c->n_sidecars > 0 && !c->is_named) {
        (void)!sm_store_delete_many(c->snapshot->store, keys, c->n_sidecars, &unused);
    }
}

static sm_status put_last_checkpoint(const sm_snapshot *s, int64_t n_rows, sm_error *e)
{
    sm_buf text = {0};
    sm_json_writer w = {.out = &text};

    sm_json_begin_object(&w);
    sm_json_set_i64(&w, "version", s->version);
    sm_json_set_i64(&w, "size", n_rows);
    sm_json_end_object(&w);
    const sm_status st =
        sm_store_put(s->store, SM_STR(SMI_LAST_CHECKPOINT), text.data, text.len, SM_PUT_REPLACE, e);
    sm_buf_release(&text);
    return st;
}

/* A property without the feature asks for nothing. */
static bool wants_v2(const sm_snapshot *s)
{
    return sm_delta_has_feature(&s->protocol, "v2Checkpoint") &&
           sm_str_eq_nocase(smi_config(&s->metadata, "delta.checkpointPolicy"), SM_STR("v2"));
}

sm_status sm_delta_checkpoint(sm_snapshot *s, sm_budget *budget, sm_error *e)
{
    smi_snapshot_assert_valid(s, false);
    sm_arena *a = sm_arena_new(budget);
    checkpoint c = {
        .snapshot = s,
        .arena = a,
        .is_v2 = wants_v2(s),
        .file = {.budget = budget},
        .oldest_removal_ms = oldest_removal_ms(s),
    };

    const sm_str key = sm_arena_strf(a, SMI_LOG "%020" PRId64 ".checkpoint.parquet", s->version);
    sm_status st = c.is_v2 ? write_v2(&c, key, e) : write_v1(&c, key, e);
    if (st != SM_OK) {
        delete_sidecars(&c);
    }
    st = st == SM_OK ? put_last_checkpoint(s, c.n_rows, e) : st;
    close_file(&c.file);
    sm_arena_free(a);
    return st;
}
