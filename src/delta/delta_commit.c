/* SPDX-License-Identifier: Apache-2.0
 *
 * delta/delta_commit.c: makes the text of a version from the record of an operation.
 *
 * Calls    sm_delta_prepare() checks the record and prints its actions; delta_attempt.c brings the
 *          text into the log. sm_delta_commit_write() does both, for a change of one table.
 * Text     Nothing in it depends on the number of the version that it becomes. So it can follow
 *          versions of other writers unchanged, and everybody who holds it makes the same commit.
 * After    A checkpoint where one is due (delta_due.c), and then what of the log has expired is
 *          deleted. The commit stands without it.
 * Source   PROTOCOL.md, "Delta Log Entries", "Commit Provenance Information"
 */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/log.h"
#include "base/random.h"
#include "base/text.h"
#include "base/time.h"
#include "delta/delta_int.h"

/* The numbers of row ids that are filled in later may make the text longer. */
#define MOST_TEXT_BYTES (SMI_COMMIT_BYTES - SMI_COMMIT_BYTES / 16)

/* A commit whose text is being made. */
typedef struct commit_text {
    const sm_snapshot *base; /* NULL: a new table */
    const sm_delta_commit *c;
    const sm_delta_metadata *metadata; /* the table's after the commit */
    const sm_delta_protocol *protocol;
    sm_delta_protocol chosen;  /* what `protocol` points to for a new table */
    sm_delta_metadata stamped; /* what `metadata` points to if it begins to have timestamps */
    bool prints_metadata;
    bool turns_on_rows; /* the table begins to track rows: each file that stays must have ids */
    sm_delta_isolation isolation;
    bool gives_row_ids, gave_row_ids; /* it is to give them to new files, and did */
    int64_t high_row; /* the highest row id so far, those of this commit too; −1: none */
    sm_arena *arena;
    sm_str id;
    int64_t now_ms;
    sm_buf text;
    size_t counted_bytes; /* of the text, in the arena's budget */
} commit_text;

/* ---- is the commit allowed? ------------------------------------------------------------------ */

static bool has_type(const sm_type *t, sm_type_id id)
{
    for (int32_t i = 0; i < t->n_fields; i++) {
        if (t->fields[i].type->id == id || has_type(t->fields[i].type, id)) {
            return true;
        }
    }
    return false;
}

sm_delta_protocol sm_delta_protocol_new(const sm_type *schema)
{
    static const sm_str ntz[] = {{"timestampNtz", 12}};

    if (!has_type(schema, SM_TYPE_TIMESTAMP_NTZ)) {
        return (sm_delta_protocol){.min_reader = 1, .min_writer = 2};
    }
    return (sm_delta_protocol){.min_reader = 3,
                               .min_writer = 7,
                               .reader_features = ntz,
                               .n_reader_features = 1,
                               .writer_features = ntz,
                               .n_writer_features = 1};
}

/* The versions of an application's transactions only grow. Where the base already has this version
 * or a later one, another writer put it after the caller had looked for new input and before it
 * opened the table. */
static sm_status check_txns(const commit_text *r, sm_error *e)
{
    for (int64_t i = 0; r->base && i < r->c->n_txns; i++) {
        const sm_delta_txn *t = &r->c->txns[i];
        if (sm_snapshot_txn(r->base, t->app_id) >= t->version) {
            const sm_status st =
                sm_fail(e, SM_CONFLICT, "another writer has loaded into the table too (%.*s)",
                        SM_STR_ARG(t->app_id));
            sm_error_todo(e, "It is safe to run again.");
            return st;
        }
    }
    return SM_OK;
}

/* The table is append-only where the property is set to anything but false: a text that is no
 * boolean counts as true, the stricter of the two. A commit that changes the property counts as
 * one that follows the change; one that brings old files back, perhaps with the old property, does
 * not. */
static sm_status check_append_only(const commit_text *r, sm_error *e)
{
    if (r->c->n_removes == 0 || r->c->keeps_rows) {
        return SM_OK;
    }
    const sm_delta_metadata *m = r->c->n_restores > 0 ? &r->base->metadata : r->metadata;
    const sm_str said = smi_config(m, "delta.appendOnly");

    if (said.len == 0 || sm_str_eq_nocase(said, SM_STR("false"))) {
        return SM_OK;
    }
    const sm_status st = sm_fail(e, SM_DENIED, "the table is append-only");
    sm_error_todo(e, "Its property delta.appendOnly is \"%.*s\".", SM_STR_ARG(said));
    return st;
}

/* Can the rows of a file that stays, or comes back, have ids? */
static sm_status check_row_ids(const sm_delta_file *f, sm_error *e)
{
    if (f->base_row_id >= 0 || f->n_rows >= 0) {
        return SM_OK;
    }
    return sm_fail(e, SM_UNSUPPORTED,
                   "the rows of the file \"%.*s\" get no ids: the log does not say how many it has",
                   SM_STR_ARG(f->path));
}

/* What is turned on needs more than a property: the version since when commits have timestamps, or
 * ids for all rows. */
static sm_status turn_on(commit_text *r, sm_error *e)
{
    const sm_snapshot *b = r->base;

    if (smi_has_stamps(r->protocol, r->metadata) &&
        !(b && smi_has_stamps(&b->protocol, &b->metadata))) {
        r->stamped = smi_stamped_since(r->metadata, b, r->now_ms, r->arena);
        r->metadata = &r->stamped;
        r->prints_metadata = true;
    }
    if (!b || !smi_keeps_row_ids(r->protocol, r->metadata) ||
        smi_keeps_row_ids(&b->protocol, &b->metadata)) {
        return SM_OK;
    }
    if (!smi_gives_row_ids(r->protocol, r->metadata)) {
        const sm_status st = sm_fail(e, SM_DENIED, "the table gives its rows no ids");
        sm_error_todo(e, "Unset its property delta.rowTrackingSuspended first.");
        return st;
    }
    r->turns_on_rows = true;
    r->isolation = SM_READ_LAYOUT;
    return SM_OK;
}

static sm_status check_restored(const commit_text *r, sm_error *e)
{
    for (int64_t i = 0;
         r->base && i < r->c->n_restores && smi_gives_row_ids(r->protocol, r->metadata); i++) {
        SM_TRY(check_row_ids(r->c->restores[i], e));
    }
    return SM_OK;
}

static sm_status check_commit(commit_text *r, sm_error *e)
{
    const sm_delta_commit *c = r->c;

    if (!r->base && !c->metadata) {
        return sm_fail(e, SM_INVALID, "a new table needs metadata");
    }
    r->metadata = c->metadata ? c->metadata : &r->base->metadata;
    r->prints_metadata = c->metadata != NULL;
    r->isolation = c->isolation;
    r->protocol = c->protocol ? c->protocol : r->base ? &r->base->protocol : NULL;
    if (!r->protocol) {
        r->chosen = sm_delta_protocol_new(r->metadata->schema);
        r->protocol = &r->chosen;
    }
    if (r->base) {
        SM_TRY(smi_check_writer(&r->base->protocol, &r->base->metadata, e));
        if (has_type(r->metadata->schema, SM_TYPE_TIMESTAMP_NTZ) && !c->protocol &&
            r->base->protocol.min_reader < 3) {
            return sm_fail(e, SM_SCHEMA,
                           "a TIMESTAMP column needs the feature timestampNtz, "
                           "which the table does not have");
        }
    }
    SM_TRY(smi_check_writer(r->protocol, r->metadata, e));
    if (r->base && c->metadata) {
        SM_TRY(smi_mapping_check(r->base, c->metadata, e));
    }
    SM_TRY(turn_on(r, e));
    SM_TRY(check_restored(r, e));
    SM_TRY(sm_delta_check_readers(r->base, r->protocol, r->metadata, e));
    SM_TRY(check_txns(r, e));
    return check_append_only(r, e);
}

/* ---- how long it may be ---------------------------------------------------------------------- */

/* Bytes of text between two looks at the budget. */
#define LOOK_BYTES ((size_t)1 << 20)

/* Is the text, so far, one that can be read, and is there memory for it? To be asked after each
 * action: how many there are only the table decides. */
static sm_status check_text(commit_text *r, sm_error *e)
{
    if (r->text.len > MOST_TEXT_BYTES) {
        const sm_status st =
            sm_fail(e, SM_LIMIT, "a commit of over %zu bytes is too long to be read", r->text.len);
        sm_error_todo(e, "It names too many files: change a part of the table at a time, or join "
                         "small files first.");
        return st;
    }
    if (r->text.len < r->counted_bytes + LOOK_BYTES) {
        return SM_OK;
    }
    const size_t more = r->text.len - r->counted_bytes;
    SM_TRY(sm_budget_take(sm_arena_budget(r->arena), more, e));
    r->counted_bytes += more;
    return SM_OK;
}

/* ---- printing the actions -------------------------------------------------------------------- */

static void put_texts(sm_json_writer *w, const char *key, const sm_str *items, int32_t n)
{
    sm_json_set_array(w, key);
    for (int32_t i = 0; i < n; i++) {
        sm_json_put_text(w, items[i]);
    }
    sm_json_end_array(w);
}

void smi_put_text_or_null(sm_json_writer *w, sm_str text)
{
    if (text.data) {
        sm_json_put_text(w, text);
    } else {
        sm_json_put_null(w);
    }
}

void smi_put_pairs(sm_json_writer *w, const char *key, const sm_pair *items, int32_t n)
{
    sm_json_set_object(w, key);
    for (int32_t i = 0; i < n; i++) {
        sm_json_key(w, items[i].key);
        smi_put_text_or_null(w, items[i].value);
    }
    sm_json_end_object(w);
}

static void put_detail(sm_json_writer *w, sm_value v, bool as_text)
{
    sm_buf text = {0};

    if (v.is_null) {
        sm_json_put_null(w);
        return;
    }
    sm_value_print(v, &text);
    if (as_text || v.type->id == SM_TYPE_STRING) {
        sm_json_put_text(w, sm_buf_str(&text));
    } else {
        sm_json_put_raw(w, sm_buf_str(&text));
    }
    sm_buf_release(&text);
}

/* as_text: numbers are written as texts too, as Spark writes metrics. */
static void put_details(sm_json_writer *w, const char *key, const sm_delta_detail *items, int32_t n,
                        bool as_text)
{
    sm_json_set_object(w, key);
    for (int32_t i = 0; i < n; i++) {
        sm_json_key(w, items[i].key);
        put_detail(w, items[i].value, as_text);
    }
    sm_json_end_object(w);
}

void smi_begin_action(sm_json_writer *w, const char *name)
{
    SM_ASSERT(w->depth == 0); /* the action before it was ended */
    sm_json_begin_object(w);
    sm_json_set_object(w, name);
}

void smi_end_action(sm_json_writer *w)
{
    SM_ASSERT(w->depth == 2);
    sm_json_end_object(w);
    sm_json_end_object(w);
    sm_json_end_line(w);
}

void smi_put_provenance(sm_json_writer *w, sm_str id, sm_str info_json)
{
    sm_json_set_text(w, "engineInfo", SM_STR("smelt/" SMELT_VERSION));
    sm_json_set_text(w, "txnId", id);
    sm_json_put_members(w, info_json);
}

static void print_info(const commit_text *r, sm_json_writer *w)
{
    const sm_delta_commit *c = r->c;

    smi_begin_action(w, "commitInfo");
    if (smi_has_stamps(r->protocol, r->metadata)) {
        smi_put_stamp(w, r->now_ms);
    }
    sm_json_set_i64(w, "timestamp", r->now_ms);
    sm_json_set_text(w, "operation", c->operation.len ? c->operation : SM_STR("WRITE"));
    put_details(w, "operationParameters", c->parameters, c->n_parameters, false);
    if (r->base) {
        sm_json_set_i64(w, "readVersion", r->base->version);
    }
    sm_json_set_bool(w, "isBlindAppend", r->isolation == SM_READ_NOTHING && c->n_removes == 0);
    if (c->n_metrics > 0) {
        put_details(w, "operationMetrics", c->metrics, c->n_metrics, true);
    }
    if (c->user_metadata.len) {
        sm_json_set_text(w, "userMetadata", c->user_metadata);
    }
    if (r->base && smi_keeps_row_ids(&r->base->protocol, &r->base->metadata)) {
        sm_json_set_object(w, "tags"); /* whoever moves rows takes their ids along */
        sm_json_set_text(w, "delta.rowTracking.preserved", SM_STR("true"));
        sm_json_end_object(w);
    }
    smi_put_provenance(w, r->id, c->info_json);
    smi_end_action(w);
}

void smi_put_protocol(sm_json_writer *w, const char *key, const sm_delta_protocol *p)
{
    SM_ASSERT(p->min_reader >= 3 || p->n_reader_features == 0); /* or they would be lost */
    SM_ASSERT(p->min_writer >= 7 || p->n_writer_features == 0);
    sm_json_set_object(w, key);
    sm_json_set_i64(w, "minReaderVersion", p->min_reader);
    sm_json_set_i64(w, "minWriterVersion", p->min_writer);
    if (p->min_reader >= 3) {
        put_texts(w, "readerFeatures", p->reader_features, p->n_reader_features);
    }
    if (p->min_writer >= 7) {
        put_texts(w, "writerFeatures", p->writer_features, p->n_writer_features);
    }
    sm_json_end_object(w);
}

static void print_protocol(const sm_delta_protocol *p, sm_json_writer *w)
{
    sm_json_begin_object(w);
    smi_put_protocol(w, "protocol", p);
    sm_json_end_object(w);
    sm_json_end_line(w);
}

void smi_put_metadata(sm_json_writer *w, const char *key, const sm_delta_metadata *m,
                      sm_str schema_json)
{
    sm_json_set_object(w, key);
    sm_json_set_text(w, "id", m->id);
    if (m->name.len) {
        sm_json_set_text(w, "name", m->name);
    }
    if (m->description.len) {
        sm_json_set_text(w, "description", m->description);
    }
    sm_json_set_object(w, "format");
    sm_json_set_text(w, "provider", SM_STR("parquet"));
    smi_put_pairs(w, "options", NULL, 0);
    sm_json_end_object(w);
    sm_json_set_text(w, "schemaString", schema_json);
    put_texts(w, "partitionColumns", m->partition_columns, m->n_partition_columns);
    smi_put_pairs(w, "configuration", m->config, m->n_config);
    if (m->created_ms >= 0) {
        sm_json_set_i64(w, "createdTime", m->created_ms);
    }
    sm_json_end_object(w);
}

sm_status smi_print_metadata(const sm_delta_metadata *m, sm_json_writer *w, sm_error *e)
{
    sm_buf schema = {0};

    const sm_status st = sm_delta_schema_json(m->schema, &schema, e);
    if (st == SM_OK) {
        sm_json_begin_object(w);
        smi_put_metadata(w, "metaData", m, sm_buf_str(&schema));
        sm_json_end_object(w);
        sm_json_end_line(w);
    }
    sm_buf_release(&schema);
    return st;
}

void smi_print_txn(const sm_delta_txn *t, sm_json_writer *w)
{
    smi_begin_action(w, "txn");
    sm_json_set_text(w, "appId", t->app_id);
    sm_json_set_i64(w, "version", t->version);
    if (t->updated_ms >= 0) {
        sm_json_set_i64(w, "lastUpdated", t->updated_ms);
    }
    smi_end_action(w);
}

void smi_print_domain(const sm_delta_domain *d, sm_json_writer *w)
{
    smi_begin_action(w, "domainMetadata");
    sm_json_set_text(w, "domain", d->name);
    sm_json_set_text(w, "configuration", d->configuration);
    sm_json_set_bool(w, "removed", d->is_removed);
    smi_end_action(w);
}

static void put_partition(const sm_delta_metadata *m, const sm_value *values, sm_arena *a,
                          sm_json_writer *w)
{
    sm_buf text = {0};

    sm_json_set_object(w, "partitionValues");
    for (int32_t i = 0; i < m->n_partition_columns; i++) {
        const int32_t field = sm_type_find(m->schema, m->partition_columns[i]);
        SM_ASSERT(field >= 0 && sm_type_eq(values[i].type, m->schema->fields[field].type));
        sm_json_key(w, smi_physical_name(&m->schema->fields[field], a));
        if (values[i].is_null) {
            sm_json_put_null(w);
        } else {
            sm_buf_reset(&text);
            smi_partition_text(values[i], &text);
            sm_json_put_text(w, sm_buf_str(&text));
        }
    }
    sm_json_end_object(w);
    sm_buf_release(&text);
}

void smi_put_vector(sm_json_writer *w, const sm_delta_dv *dv)
{
    sm_json_set_object(w, "deletionVector");
    sm_json_set_text(w, "storageType", dv->storage_type);
    sm_json_set_text(w, "pathOrInlineDv", dv->path_or_inline);
    if (dv->offset >= 0) {
        sm_json_set_i64(w, "offset", dv->offset);
    }
    sm_json_set_i64(w, "sizeInBytes", dv->size_bytes);
    sm_json_set_i64(w, "cardinality", dv->cardinality);
    sm_json_end_object(w);
}

void smi_put_rows(sm_json_writer *w, int64_t base_row_id, int64_t row_version)
{
    if (base_row_id >= 0) {
        sm_json_set_i64(w, "baseRowId", base_row_id);
    }
    if (row_version >= 0) {
        sm_json_set_i64(w, "defaultRowCommitVersion", row_version);
    }
}

static void put_provider(sm_json_writer *w, sm_str provider)
{
    if (provider.len > 0) {
        sm_json_set_text(w, "clusteringProvider", provider);
    }
}

static void print_remove(const commit_text *r, const sm_delta_file *f, sm_json_writer *w)
{
    SM_ASSERT(r->base);
    smi_begin_action(w, "remove");
    sm_json_set_text(w, "path", f->path);
    sm_json_set_i64(w, "deletionTimestamp", r->now_ms);
    sm_json_set_bool(w, "dataChange", !r->c->keeps_rows);
    sm_json_set_bool(w, "extendedFileMetadata", true);
    put_partition(&r->base->metadata, f->partition, r->arena, w);
    sm_json_set_u64(w, "size", f->size_bytes);
    if (f->dv) {
        smi_put_vector(w, f->dv);
    }
    smi_put_rows(w, f->base_row_id, f->row_version);
    smi_end_action(w);
}

/* `of`: the file whose place the add takes, or NULL. It counts, and not a tag of the same name. */
static void put_tags(const sm_pair *tags, int32_t n, const sm_delta_file *of, sm_json_writer *w)
{
    sm_buf id = {0}, place = {0};

    if (n == 0 && !of) {
        return;
    }
    sm_json_set_object(w, "tags");
    for (int32_t i = 0; i < n; i++) {
        if (!of || !sm_str_is(tags[i].key, SMI_TAG_PLACE)) {
            sm_json_key(w, tags[i].key);
            smi_put_text_or_null(w, tags[i].value);
        }
    }
    if (of) {
        smi_tag_of_identity(smi_identity_of(of, &id), &place);
        sm_json_set_text(w, SMI_TAG_PLACE, sm_buf_str(&place));
        sm_buf_release(&place);
        sm_buf_release(&id);
    }
    sm_json_end_object(w);
}

/* The ids of a file that has none yet, in a table that tracks rows: as for the version right behind
 * the base. */
static void put_new_rows(commit_text *r, int64_t n_rows, sm_json_writer *w)
{
    if (r->gives_row_ids) {
        SM_ASSERT(n_rows >= 0); /* check_row_ids() */
        smi_put_rows(w, r->high_row + 1, r->base ? r->base->version + 1 : 0);
        r->high_row += n_rows;
        r->gave_row_ids = true;
    }
}

static void print_add(commit_text *r, const sm_delta_add *add, sm_json_writer *w)
{
    sm_buf stats = {0};

    smi_stats_print(r->metadata, add->ranges, add->n_rows, &stats);
    smi_begin_action(w, "add");
    sm_json_set_text(w, "path", smi_path_encode(add->key, r->arena));
    put_partition(r->metadata, add->partition, r->arena, w);
    sm_json_set_u64(w, "size", add->size_bytes);
    sm_json_set_i64(w, "modificationTime", add->modified_ms);
    sm_json_set_bool(w, "dataChange", !r->c->keeps_rows);
    sm_json_set_text(w, "stats", sm_buf_str(&stats));
    put_tags(add->tags, add->n_tags, add->place, w);
    if (add->dv) {
        smi_put_vector(w, add->dv);
    }
    put_new_rows(r, add->n_rows, w);
    put_provider(w, add->cluster_provider);
    smi_end_action(w);
    sm_buf_release(&stats);
}

static void print_change(const commit_text *r, const sm_delta_add *file, sm_json_writer *w)
{
    smi_begin_action(w, "cdc");
    sm_json_set_text(w, "path", smi_path_encode(file->key, r->arena));
    put_partition(r->metadata, file->partition, r->arena, w);
    sm_json_set_u64(w, "size", file->size_bytes);
    sm_json_set_bool(w, "dataChange", false);
    smi_end_action(w);
}

/* Adds a file that was in the table before, in the place of the file `of` (NULL: behind all). Its
 * statistics are those that its writer gave. */
static void print_old_file(commit_text *r, const sm_delta_file *f, const sm_delta_file *of,
                           bool data_change, sm_json_writer *w)
{
    SM_ASSERT(r->base || f->key.len == 0); /* a clone names the files of another table */
    smi_begin_action(w, "add");
    sm_json_set_text(w, "path", f->path);
    put_partition(r->metadata, f->partition, r->arena, w);
    sm_json_set_u64(w, "size", f->size_bytes);
    sm_json_set_i64(w, "modificationTime", f->modified_ms);
    sm_json_set_bool(w, "dataChange", data_change);
    if (f->stats_json.len > 0) {
        sm_json_set_text(w, "stats", f->stats_json);
    }
    put_tags(f->tags, f->n_tags, of, w);
    if (f->dv) {
        smi_put_vector(w, f->dv);
    }
    if (f->base_row_id >= 0) {
        smi_put_rows(w, f->base_row_id, f->row_version);
    } else {
        put_new_rows(r, f->n_rows, w);
    }
    put_provider(w, f->cluster_provider);
    smi_end_action(w);
}

/* Adds a file again with another deletion vector: the statistics of its columns are now bounds. */
static void print_mark(commit_text *r, const sm_delta_mark *m, sm_json_writer *w)
{
    sm_delta_file f = *m->file;

    SM_ASSERT(f.n_rows >= m->dv->cardinality);
    f.stats_json = smi_stats_loosen(f.stats_json, r->arena);
    f.dv = m->dv;
    print_old_file(r, &f, m->file, !r->c->keeps_rows, w);
}

/* ---- ids for files that have none ------------------------------------------------------------ */

/* The files of the base that a commit leaves where they are. */
typedef struct staying {
    commit_text *r;
    sm_map *removed; /* smi_identity_of() the others */
    bool lacks_ids;  /* one of them has none */
    sm_json_writer *w;
    size_t text_bytes; /* of the commit's text before the first of them, … */
    int64_t high_row;  /* … and its highest row id */
} staying;

static void begin_staying(void *ctx)
{
    staying *s = ctx;

    SM_ASSERT(s->r->text.len >= s->text_bytes && s->r->high_row >= s->high_row);
    s->lacks_ids = false;
    s->r->text.len = s->text_bytes;
    s->r->high_row = s->high_row;
}

static bool stays(const staying *s, const sm_delta_file *f)
{
    sm_buf text = {0};
    const bool is_removed = sm_map_get(s->removed, smi_identity_of(f, &text)) != NULL;

    sm_buf_release(&text);
    return !is_removed;
}

static sm_status note_lack(void *ctx, const sm_delta_file *f, sm_error *e)
{
    staying *s = ctx;

    if (stays(s, f)) {
        SM_TRY(check_row_ids(f, e));
        s->lacks_ids = s->lacks_ids || f->base_row_id < 0;
    }
    return SM_OK;
}

static sm_status print_staying(void *ctx, const sm_delta_file *f, sm_error *e)
{
    staying *s = ctx;

    if (stays(s, f)) {
        print_old_file(s->r, f, NULL, false, s->w);
    }
    return check_text(s->r, e);
}

/* Where the table begins to track rows, its files are added once more, with ids: all of them, so
 * that they stay in their order. */
static sm_status print_with_ids(commit_text *r, sm_json_writer *w, sm_error *e)
{
    staying s = {.r = r,
                 .removed = sm_map_new(r->arena),
                 .w = w,
                 .text_bytes = r->text.len,
                 .high_row = r->high_row};
    sm_delta_sink sink = {.begin = begin_staying, .file = note_lack, .ctx = &s};
    sm_buf text = {0};

    if (!r->turns_on_rows || r->c->removes_all) { /* none stays */
        return SM_OK;
    }
    SM_ASSERT(r->base && r->gives_row_ids && r->isolation == SM_READ_LAYOUT);
    for (int64_t i = 0; i < r->c->n_removes; i++) {
        const sm_delta_file *f = r->c->removes[i];
        *sm_map_at(s.removed, smi_identity_of(f, &text)) = r;
    }
    sm_buf_release(&text);
    SM_TRY(sm_snapshot_each(r->base, NULL, &sink, e));
    sink.file = print_staying;
    return s.lacks_ids ? sm_snapshot_each(r->base, NULL, &sink, e) : SM_OK;
}

/* The files are others than when they were counted: a checkpoint was found to be damaged. */
static sm_status fail_damaged(sm_error *e)
{
    return sm_fail(e, SM_CORRUPT,
                   "the table's checkpoint turned out to be damaged while it was read");
}

/* The removes of all files of the base, as they are read. */
typedef struct all_removes {
    commit_text *r;
    sm_json_writer *w;
    size_t begin;       /* of the first of them in the text */
    sm_delta_totals is; /* what they are in the end */
} all_removes;

static void begin_removes(void *ctx)
{
    all_removes *all = ctx;

    SM_ASSERT(all->begin <= all->w->out->len);
    all->w->out->len = all->begin; /* what came before does not count */
    all->is = (sm_delta_totals){0};
}

static sm_status print_one_remove(void *ctx, const sm_delta_file *f, sm_error *e)
{
    all_removes *all = ctx;

    print_remove(all->r, f, all->w);
    all->is.n_files++;
    all->is.bytes += (int64_t)f->size_bytes;
    return check_text(all->r, e);
}

static sm_status print_removes(commit_text *r, sm_json_writer *w, sm_error *e)
{
    const sm_delta_commit *c = r->c;
    all_removes all = {.r = r, .w = w, .begin = w->out->len};
    const sm_delta_sink to = {.begin = begin_removes, .file = print_one_remove, .ctx = &all};

    for (int64_t i = 0; i < c->n_removes && !c->removes_all; i++) {
        print_remove(r, c->removes[i], w);
        SM_TRY(check_text(r, e));
    }
    if (!c->removes_all) {
        return SM_OK;
    }
    SM_TRY(sm_snapshot_each(r->base, NULL, &to, e));
    const bool is_same = all.is.n_files == c->n_removes && all.is.bytes == c->removes_all->bytes;
    return is_same ? SM_OK : fail_damaged(e);
}

/* Files of another table, as they are read. */
typedef struct all_restores {
    commit_text *r;
    sm_json_writer *w;
    size_t begin; /* of the first of them in the text */
    int64_t n;
} all_restores;

static void begin_restores(void *ctx)
{
    all_restores *all = ctx;

    SM_ASSERT(all->begin <= all->w->out->len);
    all->w->out->len = all->begin;
    all->n = 0;
}

static sm_status print_one_restore(void *ctx, const sm_delta_file *f, sm_error *e)
{
    all_restores *all = ctx;

    SM_ASSERT(!all->r->base && f->path.len > 0); /* it is of another table */
    print_old_file(all->r, f, NULL, !all->r->c->keeps_rows, all->w);
    all->n++;
    return check_text(all->r, e);
}

static sm_status print_restores(commit_text *r, sm_json_writer *w, sm_error *e)
{
    const sm_delta_commit *c = r->c;
    all_restores all = {.r = r, .w = w, .begin = w->out->len};
    const sm_delta_sink to = {.begin = begin_restores, .file = print_one_restore, .ctx = &all};

    for (int64_t i = 0; i < c->n_restores && !c->restores_each; i++) {
        print_old_file(r, c->restores[i], NULL, !c->keeps_rows, w);
        SM_TRY(check_text(r, e));
    }
    if (!c->restores_each) {
        return SM_OK;
    }
    SM_TRY(c->restores_each(c->restores_of, &to, e));
    return all.n == c->n_restores ? SM_OK : fail_damaged(e);
}

static sm_status print_commit(commit_text *r, sm_error *e)
{
    const sm_delta_commit *c = r->c;
    sm_json_writer w = {.out = &r->text};

    sm_buf_reset(&r->text);
    /* The files of a clone have the ids that they have. */
    r->gives_row_ids =
        (r->base || c->n_restores == 0) && smi_gives_row_ids(r->protocol, r->metadata);
    r->high_row = r->base ? smi_high_row(sm_snapshot_domain(r->base, SM_STR(SMI_DOMAIN_ROWS))) : -1;
    print_info(r, &w);
    if (!r->base || c->protocol) {
        print_protocol(r->protocol, &w);
    }
    if (r->prints_metadata) {
        SM_TRY(smi_print_metadata(r->metadata, &w, e));
    }
    for (int64_t i = 0; i < c->n_txns; i++) {
        sm_delta_txn txn = c->txns[i];
        txn.updated_ms = txn.updated_ms >= 0 ? txn.updated_ms : r->now_ms;
        smi_print_txn(&txn, &w);
    }
    for (int64_t i = 0; i < c->n_domains; i++) {
        smi_print_domain(&c->domains[i], &w);
    }
    SM_TRY(print_removes(r, &w, e));
    SM_TRY(print_with_ids(r, &w, e));
    for (int64_t i = 0; i < c->n_adds; i++) {
        print_add(r, &c->adds[i], &w);
        SM_TRY(check_text(r, e));
    }
    for (int64_t i = 0; i < c->n_marks; i++) {
        print_mark(r, &c->marks[i], &w);
        SM_TRY(check_text(r, e));
    }
    for (int64_t i = 0; i < c->n_changes; i++) {
        print_change(r, &c->changes[i], &w);
        SM_TRY(check_text(r, e));
    }
    SM_TRY(print_restores(r, &w, e));
    if (r->gave_row_ids) { /* files without rows have an id too */
        smi_print_high_row(&w, r->high_row > 0 ? r->high_row : 0);
    }
    return check_text(r, e);
}

/* ---- the bounds of what was read, as text -------------------------------------------------- */

static const char *const op_words[] = {
    [SM_BOUND_EQ] = "=",
    [SM_BOUND_LT] = "<",
    [SM_BOUND_LE] = "<=",
    [SM_BOUND_GT] = ">",
    [SM_BOUND_GE] = ">=",
    [SM_BOUND_IS_NULL] = "is null",
    [SM_BOUND_NOT_NULL] = "not null",
};
static_assert(SM_COUNT(op_words) == SM_BOUND_IN, "each kind of bound but IN has a word");

/* Does parsing the text give the same value? Only then can the text stand for it. */
static bool is_said_exactly(sm_value v, sm_str text)
{
    sm_value back = {0};
    sm_error unused = {0};

    return !v.is_null && sm_value_parse(v.type, text, &back, &unused) == SM_OK &&
           sm_value_cmp(v, back) == 0;
}

/* [{"column":"day","op":">=","value":"2022-04-01"}, …]. A bound that has no such form is left out,
 * so that more rows count as read than were. */
static void print_read(const commit_text *r, sm_buf *out)
{
    sm_buf value = {0};
    sm_json_writer w = {.out = out};

    sm_json_begin_array(&w);
    for (int32_t i = 0; i < r->c->read.n; i++) {
        const sm_bound *b = &r->c->read.items[i];
        SM_ASSERT(b->path[0] >= 0 && b->path[0] < r->base->metadata.schema->n_fields);
        const bool has_value = b->op != SM_BOUND_IS_NULL && b->op != SM_BOUND_NOT_NULL;
        if (b->n_path != 1 || b->op == SM_BOUND_IN) {
            continue;
        }
        sm_buf_reset(&value);
        if (has_value) {
            sm_value_print(b->value, &value);
            if (!is_said_exactly(b->value, sm_buf_str(&value))) {
                continue;
            }
        }
        sm_json_begin_object(&w);
        sm_json_set_text(&w, "column", r->base->metadata.schema->fields[b->path[0]].name);
        sm_json_set_text(&w, "op", sm_str_of(op_words[b->op]));
        if (has_value) {
            sm_json_set_text(&w, "value", sm_buf_str(&value));
        }
        sm_json_end_object(&w);
    }
    sm_json_end_array(&w);
    sm_buf_release(&value);
}

static sm_status parse_bound(const sm_json *o, const sm_type *schema, sm_arena *a, sm_bound *out,
                             sm_error *e)
{
    const sm_str op = sm_json_text(sm_json_get(o, "op"));
    const sm_json *value = sm_json_get(o, "value");
    int32_t *path = SM_NEW_ARRAY(a, int32_t, 1);
    int which = 0;

    path[0] = sm_type_find(schema, sm_json_text(sm_json_get(o, "column")));
    while (which < SM_COUNT(op_words) && !sm_str_is(op, op_words[which])) {
        which++;
    }
    if (path[0] < 0 || which == SM_COUNT(op_words)) {
        return sm_fail(e, SM_CORRUPT, "a bound of what a commit has read cannot be read");
    }
    *out = (sm_bound){.path = path, .n_path = 1, .op = (sm_bound_op)which};
    if (which == SM_BOUND_IS_NULL || which == SM_BOUND_NOT_NULL) {
        return SM_OK;
    }
    if (!value || sm_value_parse(schema->fields[path[0]].type, sm_json_text(value), &out->value,
                                 e) != SM_OK) {
        return sm_fail(e, SM_CORRUPT, "a bound of what a commit has read has no value");
    }
    return SM_OK;
}

sm_status smi_read_parse(sm_str json, const sm_type *schema, sm_arena *a, sm_bounds *out,
                         sm_error *e)
{
    const sm_json *list = NULL;
    int32_t n = 0;

    *out = (sm_bounds){0};
    if (json.len == 0) {
        return SM_OK;
    }
    SM_TRY(sm_json_parse(json, a, &list, e));
    sm_bound *items = SM_NEW_ARRAY(a, sm_bound, list->n_children + 1);
    for (const sm_json *o = list->child; o; o = o->next) {
        SM_TRY(parse_bound(o, schema, a, &items[n++], e));
    }
    *out = (sm_bounds){.items = items, .n = n};
    return SM_OK;
}

/* ---- the door -------------------------------------------------------------------------------- */

static void assert_valid(const sm_delta_commit *c, const sm_snapshot *base)
{
#ifdef SM_ASSERTS
    const char *why = "";
    if (base) {
        smi_snapshot_assert_valid(base, false);
    }
    if (!sm_delta_commit_validate(c, base, true, &why)) {
        sm_assert_failed(why, "delta: the record of a commit", 0);
    }
#else
    (void)c;
    (void)base;
#endif
}

static sm_status ignore_action(void *ctx, const smi_action *action, sm_error *e)
{
    return SM_OK;
}

bool smi_is_readable(const sm_delta_prepared *p)
{
    sm_arena *a = sm_arena_new(NULL);
    sm_error unused = {0};
    const bool out = smi_log_lines(p->text, a, ignore_action, NULL, &unused) == SM_OK;

    sm_arena_free(a);
    return out;
}

sm_status sm_delta_prepare(const sm_snapshot *base, const sm_delta_commit *c, sm_arena *a,
                           sm_delta_prepared *out, sm_error *e)
{
    SM_ASSERT(c && a && out);
    assert_valid(c, base);
    commit_text r = {.base = base, .c = c, .arena = a, .now_ms = sm_now_us() / 1000};
    char uuid[SM_UUID_BYTES];
    sm_buf read = {0};

    sm_uuid(uuid);
    r.id = c->id.len > 0 ? sm_arena_str(a, c->id) : sm_arena_str(a, sm_str_of(uuid));
    sm_status st = check_commit(&r, e);
    if (st == SM_OK) {
        st = print_commit(&r, e);
    }
    sm_budget_give(sm_arena_budget(a),
                   r.counted_bytes); /* the arena takes the text, and counts it */
    if (st == SM_OK) {
        if (base && r.isolation == SM_READ_FILES) {
            print_read(&r, &read);
        }
        *out = (sm_delta_prepared){
            .id = r.id,
            .base = base ? base->version : -1,
            .isolation = r.isolation,
            .read = sm_arena_str(a, sm_buf_str(&read)),
            .text = sm_arena_take(a, &r.text),
        };
        SM_ASSERT(smi_is_readable(out));
    }
    sm_buf_release(&read);
    sm_buf_release(&r.text);
    return st;
}

/* Deletes what of the log has expired. */
static void clean_log(sm_store *s, const sm_delta_metadata *m, sm_budget *budget)
{
    sm_arena *a = sm_arena_new(budget);
    sm_delta_expired expired;
    sm_error e = {0};

    if (sm_delta_log_expired(s, m, sm_now_us(), a, &expired, &e) == SM_OK) {
        sm_delta_log_delete(s, &expired);
    }
    sm_arena_free(a);
}

static sm_status put_commit(sm_store *s, sm_snapshot *base, const sm_delta_commit *c,
                            sm_budget *budget, int64_t *version, sm_error *e)
{
    sm_arena *a = sm_arena_new(budget);
    sm_delta_prepared prepared;
    sm_delta_attempt *t = NULL;

    sm_status st = sm_delta_prepare(base, c, a, &prepared, e);
    if (st == SM_OK) {
        t = sm_delta_attempt_new(s, base, &prepared, budget);
        st = sm_delta_attempt_put(t, e);
    }
    if (st == SM_OK) {
        st = sm_delta_attempt_conflict(t, e);
    }
    if (st == SM_OK) {
        *version = sm_delta_attempt_version(t);
        SM_ASSERT(sm_delta_attempt_state(t) == SM_DELTA_DONE && *version > prepared.base);
    }
    sm_delta_attempt_free(t);
    sm_arena_free(a);
    return st;
}

sm_status sm_delta_commit_write(sm_store *s, sm_snapshot *base, const sm_delta_commit *c,
                                sm_budget *budget, int64_t *version, sm_error *e)
{
    /* Its text is gone before a checkpoint is made: both may need much memory. */
    const sm_status st = put_commit(s, base, c, budget, version, e);

    if (st == SM_OK) {
        sm_delta_checksum_follow(s, base, c, *version);
        if (sm_delta_checkpoint_if_due(s, base, c, *version, budget)) {
            clean_log(s, c->metadata ? c->metadata : &base->metadata, budget);
        }
    }
    return sm_within(e, st, "commit to %.*s", SM_STR_ARG(sm_store_uri(s)));
}
