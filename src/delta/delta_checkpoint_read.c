/* SPDX-License-Identifier: Apache-2.0
 *
 * delta/delta_checkpoint_read.c: reads a Parquet checkpoint, or a sidecar of one, as actions.
 * Called by delta_snapshot.c.
 *
 * A row is one action: there is a struct column for each kind of action, and all but one of them
 * are null. The parquet format's reader reads the columns of known actions, one row group at a
 * time.
 *
 * Source  PROTOCOL.md, "Checkpoint Schema" */
#include "delta/delta_int.h"

/* ---- cells of a row -------------------------------------------------------------------------- */

/* The child of a struct column, or NULL where the file has no such column. */
static const sm_column *child_of(const sm_column *c, const char *name)
{
    if (!c || c->type->id != SM_TYPE_STRUCT) {
        return NULL;
    }
    SM_ASSERT(c->layout == SM_FLAT && c->n_children == c->type->n_fields); /* rows are theirs */
    for (int32_t i = 0; i < c->type->n_fields; i++) {
        if (sm_str_is(c->type->fields[i].name, name)) {
            return &c->children[i];
        }
    }
    return NULL;
}

static bool has_value(const sm_column *c, int64_t row)
{
    return c && !sm_column_is_null(c, row);
}

static sm_str text_at(const sm_column *c, int64_t row, sm_arena *a)
{
    if (!has_value(c, row) || !sm_type_is_bytes(c->type->id)) {
        return (sm_str){0};
    }
    return sm_arena_str(a, sm_column_str(c, row));
}

static int64_t number_at(const sm_column *c, int64_t row, int64_t otherwise)
{
    if (!has_value(c, row) || !sm_type_is_signed(c->type->id)) {
        return otherwise;
    }
    return sm_column_value(c, row).as.i;
}

static bool bool_at(const sm_column *c, int64_t row, bool otherwise)
{
    return has_value(c, row) && c->type->id == SM_TYPE_BOOL ? sm_column_value(c, row).as.b
                                                            : otherwise;
}

static const sm_pair *pairs_at(const sm_column *c, int64_t row, sm_arena *a, int32_t *n)
{
    *n = 0;
    if (!has_value(c, row) || c->type->id != SM_TYPE_MAP) {
        return NULL;
    }
    SM_ASSERT(c->layout == SM_FLAT && c->n_children == 2 && row < c->n_rows);
    const int32_t *offsets = c->values;
    sm_pair *items = SM_NEW_ARRAY(a, sm_pair, offsets[row + 1] - offsets[row]);
    for (int32_t i = offsets[row]; i < offsets[row + 1]; i++) {
        items[*n].key = text_at(&c->children[0], i, a);
        items[*n].value = text_at(&c->children[1], i, a);
        (*n)++;
    }
    return items;
}

static const sm_str *texts_at(const sm_column *c, int64_t row, sm_arena *a, int32_t *n)
{
    *n = 0;
    if (!has_value(c, row) || c->type->id != SM_TYPE_LIST) {
        return NULL;
    }
    SM_ASSERT(c->layout == SM_FLAT && c->n_children == 1 && row < c->n_rows);
    const int32_t *offsets = c->values;
    sm_str *items = SM_NEW_ARRAY(a, sm_str, offsets[row + 1] - offsets[row]);
    for (int32_t i = offsets[row]; i < offsets[row + 1]; i++) {
        items[(*n)++] = text_at(&c->children[0], i, a);
    }
    return items;
}

static const sm_delta_dv *vector_at(const sm_column *c, int64_t row, sm_arena *a)
{
    if (!has_value(c, row)) {
        return NULL;
    }
    sm_delta_dv *dv = SM_NEW(a, sm_delta_dv);
    dv->storage_type = text_at(child_of(c, "storageType"), row, a);
    dv->path_or_inline = text_at(child_of(c, "pathOrInlineDv"), row, a);
    dv->offset = number_at(child_of(c, "offset"), row, -1);
    dv->size_bytes = number_at(child_of(c, "sizeInBytes"), row, 0);
    dv->cardinality = number_at(child_of(c, "cardinality"), row, 0);
    return dv;
}

/* ---- a row as an action ---------------------------------------------------------------------- */

static void read_file(const sm_column *c, int64_t row, bool is_add, sm_arena *a, smi_action *out)
{
    const int64_t size = number_at(child_of(c, "size"), row, 0);

    out->kind = is_add ? SMI_ACTION_ADD : SMI_ACTION_REMOVE;
    out->path = text_at(child_of(c, "path"), row, a);
    out->partition = pairs_at(child_of(c, "partitionValues"), row, a, &out->n_partition);
    out->size_bytes = size > 0 ? (uint64_t)size : 0;
    out->modified_ms =
        number_at(child_of(c, is_add ? "modificationTime" : "deletionTimestamp"), row, 0);
    out->data_change = bool_at(child_of(c, "dataChange"), row, false);
    out->stats_json = text_at(child_of(c, "stats"), row, a);
    out->dv = vector_at(child_of(c, "deletionVector"), row, a);
    out->tags = pairs_at(child_of(c, "tags"), row, a, &out->n_tags);
}

static void read_metadata(const sm_column *c, int64_t row, sm_arena *a, smi_action *out)
{
    sm_delta_metadata *m = &out->metadata;

    out->kind = SMI_ACTION_METADATA;
    m->id = text_at(child_of(c, "id"), row, a);
    m->name = text_at(child_of(c, "name"), row, a);
    m->description = text_at(child_of(c, "description"), row, a);
    out->schema_json = text_at(child_of(c, "schemaString"), row, a);
    m->partition_columns =
        texts_at(child_of(c, "partitionColumns"), row, a, &m->n_partition_columns);
    m->config = pairs_at(child_of(c, "configuration"), row, a, &m->n_config);
    m->created_ms = number_at(child_of(c, "createdTime"), row, -1);
}

static void read_protocol(const sm_column *c, int64_t row, sm_arena *a, smi_action *out)
{
    sm_delta_protocol *p = &out->protocol;

    out->kind = SMI_ACTION_PROTOCOL;
    p->min_reader = (int32_t)number_at(child_of(c, "minReaderVersion"), row, 1);
    p->min_writer = (int32_t)number_at(child_of(c, "minWriterVersion"), row, 1);
    p->reader_features = texts_at(child_of(c, "readerFeatures"), row, a, &p->n_reader_features);
    p->writer_features = texts_at(child_of(c, "writerFeatures"), row, a, &p->n_writer_features);
}

static const sm_column *column_named(const sm_batch *b, const char *name)
{
    for (int32_t i = 0; i < b->n_columns; i++) {
        if (sm_str_is(b->schema->fields[i].name, name)) {
            return &b->columns[i];
        }
    }
    return NULL;
}

static void read_row(const sm_batch *b, int64_t row, sm_arena *a, smi_action *out)
{
    const sm_column *c = NULL;

    *out = (smi_action){.kind = SMI_ACTION_OTHER};
    if (has_value((c = column_named(b, "add")), row)) {
        read_file(c, row, true, a, out);
    } else if (has_value((c = column_named(b, "remove")), row)) {
        read_file(c, row, false, a, out);
    } else if (has_value((c = column_named(b, "metaData")), row)) {
        read_metadata(c, row, a, out);
    } else if (has_value((c = column_named(b, "protocol")), row)) {
        read_protocol(c, row, a, out);
    } else if (has_value((c = column_named(b, "txn")), row)) {
        out->kind = SMI_ACTION_TXN;
        out->txn.app_id = text_at(child_of(c, "appId"), row, a);
        out->txn.version = number_at(child_of(c, "version"), row, 0);
        out->txn.updated_ms = number_at(child_of(c, "lastUpdated"), row, -1);
    } else if (has_value((c = column_named(b, "sidecar")), row)) {
        out->kind = SMI_ACTION_SIDECAR;
        out->path = text_at(child_of(c, "path"), row, a);
    }
}

/* ---- the file -------------------------------------------------------------------------------- */

static sm_status read_batch(const sm_batch *b, sm_arena *a, smi_each_action each, void *ctx,
                            sm_error *e)
{
    SM_ASSERT(b->n_columns == b->schema->n_fields);
    for (int64_t row = 0; row < b->n_rows; row++) {
        smi_action action;
        read_row(b, row, a, &action);
        SM_TRY(each(ctx, &action, e));
    }
    return SM_OK;
}

static sm_status read_ranges(sm_blob *blob, const sm_morsel *m, sm_budget *budget,
                             sm_block **blocks, size_t *lens, sm_error *e)
{
    for (int32_t i = 0; i < m->n_ranges; i++) {
        SM_TRY(sm_block_new(budget, m->ranges[i].len, &blocks[i], e));
        lens[i] = m->ranges[i].len;
        SM_TRY(sm_blob_read(blob, m->ranges[i].off_bytes, lens[i], blocks[i]->data, e));
    }
    return SM_OK;
}

typedef struct open_file {
    const sm_format *format;
    sm_dataset dataset;
    sm_projection want;
    sm_blob *blob;
    sm_file *file;
    sm_reader *reader;
} open_file;

static sm_status read_morsel(open_file *f, const sm_morsel *m, sm_budget *budget, sm_arena *a,
                             smi_each_action each, void *ctx, sm_error *e)
{
    sm_status st = SM_OK;
    sm_block **blocks = SM_NEW_ARRAY(a, sm_block *, m->n_ranges);
    size_t *lens = SM_NEW_ARRAY(a, size_t, m->n_ranges);

    SM_TRY_GOTO(st, done, read_ranges(f->blob, m, budget, blocks, lens, e));
    SM_TRY_GOTO(st, done, f->format->begin(f->reader, f->file, m, blocks, lens, e));
    for (;;) {
        sm_batch *rows = NULL, *refused = NULL;
        sm_byte_range more = {0};
        st = f->format->pull(f->reader, &rows, &refused, &more, e);
        if (st == SM_END) {
            st = SM_OK;
            break;
        }
        SM_ASSERT(st != SM_MORE); /* a row group's ranges are known before */
        if (st == SM_OK && rows) {
            st = read_batch(rows, a, each, ctx, e);
        }
        sm_batch_release(rows);
        if (st != SM_OK) {
            break;
        }
    }
done:
    for (int32_t i = 0; i < m->n_ranges; i++) {
        sm_block_release(blocks[i]);
    }
    return st;
}

/* The columns of actions that are known here. Others may have types that smelt does not have. A
 * second column of the same name is passed over. */
static const sm_type *known_columns(const sm_type *all, sm_arena *a, sm_projection *want)
{
    static const char *const names[] = {"add", "remove", "metaData", "protocol", "txn", "sidecar"};
    sm_field *fields = SM_NEW_ARRAY(a, sm_field, SM_COUNT(names));
    int32_t *columns = SM_NEW_ARRAY(a, int32_t, SM_COUNT(names));
    int32_t n = 0;

    for (int i = 0; i < SM_COUNT(names); i++) {
        for (int32_t c = 0; c < all->n_fields; c++) {
            if (sm_str_is(all->fields[c].name, names[i])) {
                SM_ASSERT(n <= i);
                columns[n] = n;
                fields[n++] = all->fields[c];
                break;
            }
        }
    }
    want->columns = columns;
    want->n_columns = n;
    return sm_type_struct(a, fields, n);
}

static sm_status open_checkpoint(sm_store *s, sm_str key, sm_budget *budget, sm_arena *a,
                                 open_file *f, sm_error *e)
{
    const sm_type *all = NULL;
    void *opts = NULL;

    f->format = sm_format_named(SM_STR("parquet"));
    opts = sm_arena_alloc(a, f->format->opts_bytes);
    SM_TRY(sm_options_default(f->format->options, opts, e));
    SM_TRY(sm_blob_open(s, key, &f->blob, e));
    SM_TRY(sm_format_infer(f->format, f->blob, opts, a, &all, e));
    sm_datafile *file = SM_NEW(a, sm_datafile);
    *file = (sm_datafile){
        .uri = sm_store_uri_of(s, key, a),
        .store = s,
        .key = key,
        .size_bytes = sm_blob_bytes(f->blob),
        .n_rows = -1,
    };
    f->dataset = (sm_dataset){
        .format = f->format,
        .options = opts,
        .schema = known_columns(all, a, &f->want),
        .files = file,
        .n_files = 1,
    };
    SM_TRY(f->format->open(&f->dataset, 0, f->blob, &f->want, budget, &f->file, e));
    return f->format->reader_new(&f->dataset, &f->want, budget, &f->reader, e);
}

sm_status smi_checkpoint_read(sm_store *s, sm_str key, sm_budget *budget, sm_arena *a,
                              smi_each_action each, void *ctx, sm_error *e)
{
    sm_status st = SM_OK;
    open_file f = {0};
    sm_morsel *morsels = NULL;
    int64_t n = 0, skipped = 0;

    SM_TRY_GOTO(st, done, open_checkpoint(s, key, budget, a, &f, e));
    SM_TRY_GOTO(st, done, f.format->plan(f.file, a, &morsels, &n, &skipped, e));
    for (int64_t i = 0; i < n; i++) {
        SM_TRY_GOTO(st, done, read_morsel(&f, &morsels[i], budget, a, each, ctx, e));
    }
done:
    if (f.reader) {
        f.format->reader_free(f.reader);
    }
    if (f.file) {
        f.format->close(f.file);
    }
    sm_blob_close(f.blob);
    return sm_within(e, st, "checkpoint %.*s", SM_STR_ARG(key));
}
