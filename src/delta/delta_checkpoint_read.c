/* SPDX-License-Identifier: Apache-2.0
 *
 * delta/delta_checkpoint_read.c: reads a Parquet checkpoint, or a sidecar of one, as actions.
 * Called by delta_snapshot.c for what a snapshot holds, and by delta_files.c for its files.
 *
 * A row is one action: there is a struct column for each kind of action, and all but one of them
 * are null. The parquet format's reader reads the columns of the kinds that are asked for, and of
 * these the fields that are known, one row group at a time. So memory is bounded by a row group.
 * Statistics as columns (stats_parsed) are read only where the file has none as JSON (stats), and
 * become JSON: a table may ask for that (delta.checkpoint.writeStatsAsJson is false), and they must
 * outlive the next checkpoint.
 *
 * Source  PROTOCOL.md, "Checkpoint Schema" */
#include <inttypes.h>

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

/* Borrowed from the column. A text that is there has data, even where it is empty. */
static sm_str text_at(const sm_column *c, int64_t row)
{
    if (!has_value(c, row) || !sm_type_is_bytes(c->type->id)) {
        return (sm_str){0};
    }
    const sm_str s = sm_column_str(c, row);
    return s.len > 0 ? s : SM_STR("");
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
        items[*n].key = text_at(&c->children[0], i);
        items[*n].value = text_at(&c->children[1], i);
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
        items[(*n)++] = text_at(&c->children[0], i);
    }
    return items;
}

/* ---- fields of an action --------------------------------------------------------------------- */

/* What a field must be, where something hangs on it. Of another type it would pass for missing;
 * delta_action.c says which do, and does the same for JSON. */
typedef enum cell_kind {
    CELL_TEXT,
    CELL_NUMBER,
    CELL_TRUTH,
    CELL_PAIRS,
    CELL_TEXTS,
    CELL_STRUCT
} cell_kind;

static bool is_of_kind(const sm_type *t, cell_kind kind)
{
    switch (kind) {
    case CELL_TEXT:
        return sm_type_is_bytes(t->id);
    case CELL_NUMBER:
        return sm_type_is_signed(t->id);
    case CELL_TRUTH:
        return t->id == SM_TYPE_BOOL;
    case CELL_PAIRS:
        return t->id == SM_TYPE_MAP && sm_type_is_bytes(t->fields[0].type->id) &&
               sm_type_is_bytes(t->fields[1].type->id);
    case CELL_TEXTS:
        return t->id == SM_TYPE_LIST && sm_type_is_bytes(t->fields[0].type->id);
    case CELL_STRUCT:
        return t->id == SM_TYPE_STRUCT;
    }
    return false;
}

/* The column of a field; NULL where the file has none, or only nulls without a type. */
static sm_status find_cell(const sm_column *action, const char *name, cell_kind kind,
                           const sm_column **out, sm_error *e)
{
    static const char *const words[] = {
        [CELL_TEXT] = "a text",           [CELL_NUMBER] = "a whole number",
        [CELL_TRUTH] = "true or false",   [CELL_PAIRS] = "a map of texts",
        [CELL_TEXTS] = "a list of texts", [CELL_STRUCT] = "a struct",
    };
    const sm_column *c = child_of(action, name);

    *out = c && c->type->id != SM_TYPE_NULL ? c : NULL;
    return !*out || is_of_kind(c->type, kind)
               ? SM_OK
               : sm_fail(e, SM_CORRUPT, "\"%s\" of the log is not %s", name, words[kind]);
}

static sm_status find_text(const sm_column *action, const char *name, int64_t row, sm_str *out,
                           sm_error *e)
{
    const sm_column *c = NULL;

    SM_TRY(find_cell(action, name, CELL_TEXT, &c, e));
    *out = text_at(c, row);
    return SM_OK;
}

static sm_status find_texts(const sm_column *action, const char *name, int64_t row, sm_arena *a,
                            const sm_str **out, int32_t *n, sm_error *e)
{
    const sm_column *c = NULL;

    SM_TRY(find_cell(action, name, CELL_TEXTS, &c, e));
    *out = texts_at(c, row, a, n);
    return SM_OK;
}

/* ---- a row as an action ---------------------------------------------------------------------- */

/* The columns of adds, or of removes, in a batch: NULL where the file does not have one. Found once
 * a batch, since a checkpoint may have a million rows. */
typedef struct file_columns {
    const sm_column *action; /* the struct itself; NULL: no row has one */
    const sm_column *path, *partition, *size, *time, *data_change, *stats, *parsed, *vector;
    const sm_column *tags;
    const sm_column *row_id, *row_version, *cluster_provider;
    const sm_column *vector_type, *vector_path, *vector_offset, *vector_size, *vector_rows;
} file_columns;

typedef struct batch_columns {
    file_columns add, remove;
    const sm_column *metadata, *protocol, *txn, *sidecar, *domain;
} batch_columns;

static sm_status file_columns_of(const sm_column *action, bool is_add, file_columns *out,
                                 sm_error *e)
{
    file_columns c = {
        .action = action,
        .time = child_of(action, is_add ? "modificationTime" : "deletionTimestamp"),
        .stats = child_of(action, "stats"),
        .parsed = child_of(action, "stats_parsed"),
        .tags = child_of(action, "tags"),
        .cluster_provider = child_of(action, "clusteringProvider"),
    };
    const sm_column *unused = NULL;

    SM_TRY(find_cell(action, "path", CELL_TEXT, &c.path, e));
    SM_TRY(find_cell(action, "partitionValues", CELL_PAIRS, &c.partition, e));
    SM_TRY(find_cell(action, "size", CELL_NUMBER, &c.size, e));
    SM_TRY(find_cell(action, "deletionTimestamp", CELL_NUMBER, &unused, e));
    SM_TRY(find_cell(action, "dataChange", CELL_TRUTH, &c.data_change, e));
    SM_TRY(find_cell(action, "baseRowId", CELL_NUMBER, &c.row_id, e));
    SM_TRY(find_cell(action, "defaultRowCommitVersion", CELL_NUMBER, &c.row_version, e));
    SM_TRY(find_cell(action, "deletionVector", CELL_STRUCT, &c.vector, e));
    SM_TRY(find_cell(c.vector, "storageType", CELL_TEXT, &c.vector_type, e));
    SM_TRY(find_cell(c.vector, "pathOrInlineDv", CELL_TEXT, &c.vector_path, e));
    SM_TRY(find_cell(c.vector, "offset", CELL_NUMBER, &c.vector_offset, e));
    SM_TRY(find_cell(c.vector, "sizeInBytes", CELL_NUMBER, &c.vector_size, e));
    SM_TRY(find_cell(c.vector, "cardinality", CELL_NUMBER, &c.vector_rows, e));
    *out = c;
    return SM_OK;
}

static const sm_delta_dv *vector_at(const file_columns *c, int64_t row, sm_arena *a)
{
    if (!has_value(c->vector, row)) {
        return NULL;
    }
    SM_ASSERT(row >= 0 && row < c->vector->n_rows);
    sm_delta_dv *dv = SM_NEW(a, sm_delta_dv);
    dv->storage_type = text_at(c->vector_type, row);
    dv->path_or_inline = text_at(c->vector_path, row);
    dv->offset = number_at(c->vector_offset, row, -1);
    dv->size_bytes = number_at(c->vector_size, row, -1);
    dv->cardinality = number_at(c->vector_rows, row, -1);
    return dv;
}

static void read_file(const file_columns *c, int64_t row, bool is_add, const sm_type *schema,
                      sm_arena *a, smi_action *out)
{
    out->kind = is_add ? SMI_ACTION_ADD : SMI_ACTION_REMOVE;
    out->path = text_at(c->path, row);
    out->partition = pairs_at(c->partition, row, a, &out->n_partition);
    out->size_bytes = (uint64_t)number_at(c->size, row, -1);
    out->modified_ms = number_at(c->time, row, 0);
    out->data_change = bool_at(c->data_change, row, false);
    out->stats_json = has_value(c->parsed, row) ? smi_stats_of_columns(c->parsed, row, schema, a)
                                                : text_at(c->stats, row);
    out->dv = vector_at(c, row, a);
    out->tags = pairs_at(c->tags, row, a, &out->n_tags);
    out->base_row_id = number_at(c->row_id, row, -1);
    out->row_version = number_at(c->row_version, row, -1);
    out->cluster_provider = text_at(c->cluster_provider, row);
}

static sm_status read_metadata(const sm_column *c, int64_t row, sm_arena *a, smi_action *out,
                               sm_error *e)
{
    sm_delta_metadata *m = &out->metadata;
    const sm_column *format = NULL, *config = NULL;

    SM_ASSERT(c && row >= 0 && row < c->n_rows);
    out->kind = SMI_ACTION_METADATA;
    m->id = text_at(child_of(c, "id"), row);
    m->name = text_at(child_of(c, "name"), row);
    m->description = text_at(child_of(c, "description"), row);
    SM_TRY(find_text(c, "schemaString", row, &out->schema_json, e));
    SM_TRY(find_cell(c, "format", CELL_STRUCT, &format, e));
    SM_TRY(find_text(format, "provider", row, &out->provider, e));
    SM_TRY(find_texts(c, "partitionColumns", row, a, &m->partition_columns, &m->n_partition_columns,
                      e));
    SM_TRY(find_cell(c, "configuration", CELL_PAIRS, &config, e));
    m->config = pairs_at(config, row, a, &m->n_config);
    m->created_ms = number_at(child_of(c, "createdTime"), row, -1);
    return SM_OK;
}

/* 1 where the file has no such column. */
static int32_t version_at(const sm_column *protocol, const char *name, int64_t row)
{
    const sm_column *c = child_of(protocol, name);

    return c ? smi_version_of(number_at(c, row, 0)) : 1;
}

static sm_status read_protocol(const sm_column *c, int64_t row, sm_arena *a, smi_action *out,
                               sm_error *e)
{
    sm_delta_protocol *p = &out->protocol;

    out->kind = SMI_ACTION_PROTOCOL;
    p->min_reader = version_at(c, "minReaderVersion", row);
    p->min_writer = version_at(c, "minWriterVersion", row);
    SM_TRY(find_texts(c, "readerFeatures", row, a, &p->reader_features, &p->n_reader_features, e));
    return find_texts(c, "writerFeatures", row, a, &p->writer_features, &p->n_writer_features, e);
}

static sm_status read_txn(const sm_column *c, int64_t row, smi_action *out, sm_error *e)
{
    const sm_column *version = NULL;

    SM_ASSERT(c && row >= 0 && row < c->n_rows);
    out->kind = SMI_ACTION_TXN;
    out->txn.updated_ms = number_at(child_of(c, "lastUpdated"), row, -1);
    SM_TRY(find_text(c, "appId", row, &out->txn.app_id, e));
    SM_TRY(find_cell(c, "version", CELL_NUMBER, &version, e));
    out->txn.version = number_at(version, row, SMI_NO_VERSION);
    return SM_OK;
}

static sm_status read_domain(const sm_column *c, int64_t row, smi_action *out, sm_error *e)
{
    const sm_column *removed = NULL;

    SM_ASSERT(c && row >= 0 && row < c->n_rows);
    out->kind = SMI_ACTION_DOMAIN;
    SM_TRY(find_text(c, "domain", row, &out->domain.name, e));
    SM_TRY(find_text(c, "configuration", row, &out->domain.configuration, e));
    SM_TRY(find_cell(c, "removed", CELL_TRUTH, &removed, e));
    out->domain.is_removed = bool_at(removed, row, false);
    return SM_OK;
}

static sm_status read_sidecar(const sm_column *c, int64_t row, smi_action *out, sm_error *e)
{
    const sm_column *size = NULL;

    SM_ASSERT(c && row >= 0 && row < c->n_rows);
    out->kind = SMI_ACTION_SIDECAR;
    SM_TRY(find_text(c, "path", row, &out->path, e));
    SM_TRY(find_cell(c, "sizeInBytes", CELL_NUMBER, &size, e));
    out->size_bytes = (uint64_t)number_at(size, row, -1);
    return SM_OK;
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

static sm_status columns_of(const sm_batch *b, batch_columns *out, sm_error *e)
{
    *out = (batch_columns){
        .metadata = column_named(b, "metaData"),
        .protocol = column_named(b, "protocol"),
        .txn = column_named(b, "txn"),
        .sidecar = column_named(b, "sidecar"),
        .domain = column_named(b, "domainMetadata"),
    };
    SM_TRY(file_columns_of(column_named(b, "add"), true, &out->add, e));
    return file_columns_of(column_named(b, "remove"), false, &out->remove, e);
}

static sm_status read_row(const batch_columns *c, int64_t row, const sm_type *schema, sm_arena *a,
                          smi_action *out, sm_error *e)
{
    *out = (smi_action){.kind = SMI_ACTION_OTHER};
    if (has_value(c->add.action, row)) {
        read_file(&c->add, row, true, schema, a, out);
    } else if (has_value(c->remove.action, row)) {
        read_file(&c->remove, row, false, schema, a, out);
    } else if (has_value(c->metadata, row)) {
        SM_TRY(read_metadata(c->metadata, row, a, out, e));
    } else if (has_value(c->protocol, row)) {
        SM_TRY(read_protocol(c->protocol, row, a, out, e));
    } else if (has_value(c->txn, row)) {
        SM_TRY(read_txn(c->txn, row, out, e));
    } else if (has_value(c->sidecar, row)) {
        SM_TRY(read_sidecar(c->sidecar, row, out, e));
    } else if (has_value(c->domain, row)) {
        SM_TRY(read_domain(c->domain, row, out, e));
    }
    return smi_action_settle(out, e);
}

/* ---- the file -------------------------------------------------------------------------------- */

/* What a read is about, and where its actions go. */
typedef struct reading {
    const smi_checkpoint_reading *what;
    sm_budget *budget;
    sm_arena *rows;     /* of the actions of one batch */
    sm_hash128 *hashes; /* of the paths of ANNOUNCED rows */
} reading;

/* Rows whose paths are announced at a time: enough to hide how long memory takes to come, and few
 * enough that it is still there when it is wanted. */
#define ANNOUNCED 256

/* Computes the hashes of the paths of the rows from `first` to `end`, and tells them. */
static void announce(const reading *r, const batch_columns *c, int64_t first, int64_t end)
{
    SM_ASSERT(first <= end && end - first <= ANNOUNCED);
    for (int64_t row = first; row < end; row++) {
        const sm_str path = text_at(c->add.path ? c->add.path : c->remove.path, row);
        sm_hash128 *hash = &r->hashes[row - first];
        *hash = path.len > 0 ? smi_path_hash(r->what->home, path) : (sm_hash128){0};
        if (path.len > 0) {
            r->what->announce(r->what->ctx, *hash);
        }
    }
}

static sm_status read_batch(const reading *r, const sm_batch *b, sm_error *e)
{
    batch_columns columns;

    SM_ASSERT(b->n_columns == b->schema->n_fields && r->what->each);
    SM_TRY(sm_check_cancel(r->budget, e));
    SM_TRY(columns_of(b, &columns, e));
    const bool has_one_path = (columns.add.path != NULL) != (columns.remove.path != NULL);
    const bool announces = r->what->announce && has_one_path;
    for (int64_t row = 0; row < b->n_rows; row++) {
        smi_action action;
        if (announces && row % ANNOUNCED == 0) {
            announce(r, &columns, row, row + ANNOUNCED < b->n_rows ? row + ANNOUNCED : b->n_rows);
        }
        SM_TRY(read_row(&columns, row, r->what->schema, r->rows, &action, e));
        if (announces && (SMI_KIND(action.kind) & SMI_FILES)) {
            action.path_hash = r->hashes[row % ANNOUNCED];
        }
        if (action.kind != SMI_ACTION_OTHER) {
            SM_TRY(r->what->each(r->what->ctx, &action, e));
        }
    }
    sm_arena_reset(r->rows);
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

static sm_status read_morsel(const reading *r, open_file *f, const sm_morsel *m, sm_arena *a,
                             sm_error *e)
{
    sm_status st = SM_OK;
    sm_block **blocks = SM_NEW_ARRAY(a, sm_block *, m->n_ranges);
    size_t *lens = SM_NEW_ARRAY(a, size_t, m->n_ranges);

    SM_TRY_GOTO(st, done, read_ranges(f->blob, m, r->budget, blocks, lens, e));
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
            st = read_batch(r, rows, e);
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

/* The fields of an add or a remove that are read, those of SMI_BRIEF first; of the other actions
 * all are. */
#define BRIEF_FIELDS 4
static const char *const file_fields[] = {
    "path",
    "size",
    "stats",
    "deletionVector",
    "partitionValues",
    "modificationTime",
    "deletionTimestamp",
    "dataChange",
    "tags",
    "baseRowId",
    "defaultRowCommitVersion",
    "clusteringProvider",
};

/* The columns of actions, and what they are called. */
static const struct {
    const char *name;
    smi_action_kind kind;
} action_columns[] = {
    {"add", SMI_ACTION_ADD},
    {"remove", SMI_ACTION_REMOVE},
    {"metaData", SMI_ACTION_METADATA},
    {"protocol", SMI_ACTION_PROTOCOL},
    {"txn", SMI_ACTION_TXN},
    {"sidecar", SMI_ACTION_SIDECAR},
    {"domainMetadata", SMI_ACTION_DOMAIN},
};

/* The struct with those of its fields that are read. */
static const sm_type *known_fields(const sm_type *t, smi_detail detail, sm_arena *a)
{
    const int n_known = detail == SMI_BRIEF ? BRIEF_FIELDS : SM_COUNT(file_fields);

    if (t->id != SM_TYPE_STRUCT) {
        return t;
    }
    sm_field *fields = SM_NEW_ARRAY(a, sm_field, t->n_fields);
    int32_t n = 0;
    for (int32_t i = 0; i < t->n_fields; i++) {
        for (int k = 0; k < n_known; k++) {
            if (sm_str_is(t->fields[i].name, file_fields[k])) {
                fields[n++] = t->fields[i];
                break;
            }
        }
    }
    const int32_t parsed = sm_type_find(t, SM_STR("stats_parsed"));
    if (parsed >= 0 && sm_type_find(t, SM_STR("stats")) < 0) {
        const sm_type *known = smi_stats_fields(t->fields[parsed].type, a);
        if (known && known->id == SM_TYPE_STRUCT) {
            fields[n] = t->fields[parsed];
            fields[n++].type = known;
        }
    }
    SM_ASSERT(n <= t->n_fields);
    return n > 0 ? sm_type_struct(a, fields, n) : t;
}

/* The columns of those kinds of action. Others may have types that smelt does not have. A second
 * column of the same name is passed over. */
static const sm_type *known_columns(const sm_type *all, const smi_checkpoint_reading *what,
                                    sm_arena *a, sm_projection *want)
{
    sm_field *fields = SM_NEW_ARRAY(a, sm_field, SM_COUNT(action_columns));
    const sm_type **types = SM_NEW_ARRAY(a, const sm_type *, SM_COUNT(action_columns));
    int32_t *columns = SM_NEW_ARRAY(a, int32_t, SM_COUNT(action_columns));
    int32_t n = 0;

    for (int i = 0; i < SM_COUNT(action_columns); i++) {
        const smi_action_kind kind = action_columns[i].kind;
        const bool is_file = kind == SMI_ACTION_ADD || kind == SMI_ACTION_REMOVE;
        for (int32_t c = 0; (what->kinds & SMI_KIND(kind)) && c < all->n_fields; c++) {
            if (sm_str_is(all->fields[c].name, action_columns[i].name)) {
                SM_ASSERT(n <= i);
                columns[n] = n;
                fields[n] = all->fields[c];
                types[n] = is_file ? known_fields(fields[n].type, what->detail, a) : fields[n].type;
                n++;
                break;
            }
        }
    }
    *want = (sm_projection){.columns = columns, .n_columns = n, .types = types};
    return sm_type_struct(a, fields, n);
}

/* A sidecar has the size that its checkpoint says, or it is another file: one that lost its last
 * row groups, or another's copy, may be sound by itself, and would give other files. */
static sm_status check_size(const reading *r, uint64_t bytes, sm_error *e)
{
    const uint64_t said = r->what->size_bytes;

    return said == 0 || said == bytes
               ? SM_OK
               : sm_fail(e, SM_CORRUPT,
                         "the file has %" PRIu64 " bytes, the checkpoint that names it says "
                         "%" PRIu64,
                         bytes, said);
}

static sm_status open_checkpoint(sm_store *s, sm_str key, const reading *r, sm_arena *a,
                                 open_file *f, sm_error *e)
{
    const sm_type *all = NULL;
    void *opts = NULL;

    f->format = sm_format_named(SM_STR("parquet"));
    opts = sm_arena_alloc(a, f->format->opts_bytes);
    SM_TRY(sm_options_default(f->format->options, opts, e));
    SM_TRY(sm_blob_open(s, key, &f->blob, e));
    SM_TRY(check_size(r, sm_blob_bytes(f->blob), e));
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
        .schema = known_columns(all, r->what, a, &f->want),
        .files = file,
        .n_files = 1,
    };
    if (f->want.n_columns == 0) { /* it has no such actions */
        return SM_OK;
    }
    SM_TRY(f->format->open(&f->dataset, 0, f->blob, &f->want, r->budget, &f->file, e));
    return f->format->reader_new(&f->dataset, &f->want, r->budget, &f->reader, e);
}

sm_status smi_checkpoint_read(sm_store *s, sm_str key, const smi_checkpoint_reading *what,
                              sm_budget *budget, sm_error *e)
{
    sm_status st = SM_OK;
    SM_ASSERT(what->kinds != 0 && what->each);
    sm_arena *a = sm_arena_new(budget);
    const reading r = {
        .what = what,
        .budget = budget,
        .rows = sm_arena_new(budget),
        .hashes = SM_NEW_ARRAY(a, sm_hash128, ANNOUNCED),
    };
    open_file f = {0};
    sm_morsel *morsels = NULL;
    int64_t n = 0, skipped = 0;

    SM_TRY_GOTO(st, done, open_checkpoint(s, key, &r, a, &f, e));
    if (!f.file) {
        goto done;
    }
    SM_TRY_GOTO(st, done, f.format->plan(f.file, a, &morsels, &n, &skipped, e));
    for (int64_t i = 0; i < n; i++) {
        SM_TRY_GOTO(st, done, read_morsel(&r, &f, &morsels[i], a, e));
    }
done:
    if (f.reader) {
        f.format->reader_free(f.reader);
    }
    if (f.file) {
        f.format->close(f.file);
    }
    sm_blob_close(f.blob);
    sm_arena_free(r.rows);
    sm_arena_free(a);
    return sm_within(e, st, "checkpoint %.*s", SM_STR_ARG(key));
}
