/* SPDX-License-Identifier: Apache-2.0
 *
 * delta/delta_action.c: parses one line of a commit (or of a JSON checkpoint) into an action.
 * Called by delta_log.c. Parquet checkpoints give the same struct (delta_checkpoint_read.c).
 *
 * Source  PROTOCOL.md, "Actions" */
#include "delta/delta_int.h"

static int64_t number_of(const sm_json *o, const char *key, int64_t otherwise)
{
    int64_t v = 0;

    return sm_json_i64(sm_json_get(o, key), &v) ? v : otherwise;
}

static bool bool_of(const sm_json *o, const char *key, bool otherwise)
{
    const sm_json *v = sm_json_get(o, key);

    return v && v->type == SM_JSON_BOOL ? v->b : otherwise;
}

/* An object of texts. The value of a null has no data. */
static const sm_pair *pairs_of(const sm_json *o, sm_arena *a, int32_t *n)
{
    *n = 0;
    if (!o || o->type != SM_JSON_OBJECT || o->n_children == 0) {
        return NULL;
    }
    sm_pair *items = SM_NEW_ARRAY(a, sm_pair, o->n_children);
    for (const sm_json *m = o->child; m; m = m->next) {
        SM_ASSERT(*n < o->n_children);
        items[*n].key = m->key;
        items[*n].value = m->type == SM_JSON_STRING ? m->text : (sm_str){0};
        (*n)++;
    }
    return items;
}

static const sm_str *texts_of(const sm_json *list, sm_arena *a, int32_t *n)
{
    *n = 0;
    if (!list || list->type != SM_JSON_ARRAY || list->n_children == 0) {
        return NULL;
    }
    sm_str *items = SM_NEW_ARRAY(a, sm_str, list->n_children);
    for (const sm_json *m = list->child; m; m = m->next) {
        SM_ASSERT(*n < list->n_children);
        items[(*n)++] = sm_json_text(m);
    }
    return items;
}

static const sm_delta_dv *vector_of(const sm_json *v, sm_arena *a)
{
    if (!v || v->type != SM_JSON_OBJECT) {
        return NULL;
    }
    sm_delta_dv *dv = SM_NEW(a, sm_delta_dv);
    dv->storage_type = sm_json_text(sm_json_get(v, "storageType"));
    dv->path_or_inline = sm_json_text(sm_json_get(v, "pathOrInlineDv"));
    dv->offset = number_of(v, "offset", -1);
    dv->size_bytes = number_of(v, "sizeInBytes", 0);
    dv->cardinality = number_of(v, "cardinality", 0);
    return dv;
}

static sm_status parse_file(const sm_json *v, smi_action_kind kind, sm_arena *a, smi_action *out,
                            sm_error *e)
{
    const bool is_remove = kind == SMI_ACTION_REMOVE;

    out->kind = kind;
    out->path = sm_json_text(sm_json_get(v, "path"));
    if (out->path.len == 0) {
        return sm_fail(e, SM_CORRUPT, "an add, remove or cdc of the log names no file");
    }
    out->partition = pairs_of(sm_json_get(v, "partitionValues"), a, &out->n_partition);
    const int64_t size = number_of(v, "size", 0);
    out->size_bytes = size > 0 ? (uint64_t)size : 0;
    out->modified_ms = number_of(v, is_remove ? "deletionTimestamp" : "modificationTime", 0);
    out->data_change = bool_of(v, "dataChange", kind != SMI_ACTION_CDC);
    out->stats_json = sm_json_text(sm_json_get(v, "stats"));
    out->dv = vector_of(sm_json_get(v, "deletionVector"), a);
    out->tags = pairs_of(sm_json_get(v, "tags"), a, &out->n_tags);
    out->base_row_id = number_of(v, "baseRowId", -1);
    out->row_version = number_of(v, "defaultRowCommitVersion", -1);
    out->cluster_provider = sm_json_text(sm_json_get(v, "clusteringProvider"));
    return SM_OK;
}

static void parse_metadata(const sm_json *v, sm_arena *a, smi_action *out)
{
    sm_delta_metadata *m = &out->metadata;

    out->kind = SMI_ACTION_METADATA;
    m->id = sm_json_text(sm_json_get(v, "id"));
    m->name = sm_json_text(sm_json_get(v, "name"));
    m->description = sm_json_text(sm_json_get(v, "description"));
    out->schema_json = sm_json_text(sm_json_get(v, "schemaString"));
    m->partition_columns = texts_of(sm_json_get(v, "partitionColumns"), a, &m->n_partition_columns);
    m->config = pairs_of(sm_json_get(v, "configuration"), a, &m->n_config);
    m->created_ms = number_of(v, "createdTime", -1);
}

/* A version of the protocol, 1 where there is none. Another value than a version must not pass as
 * an old one: the table may need what this program does not know. */
static sm_status protocol_version(const sm_json *o, const char *key, int32_t *out, sm_error *e)
{
    const sm_json *v = sm_json_get(o, key);
    int64_t version = 1;

    if (v && (!sm_json_i64(v, &version) || version < 1 || version > INT32_MAX)) {
        return sm_fail(e, SM_CORRUPT, "\"%s\" of the protocol is not a version", key);
    }
    *out = (int32_t)version;
    return SM_OK;
}

static sm_status parse_protocol(const sm_json *v, sm_arena *a, smi_action *out, sm_error *e)
{
    sm_delta_protocol *p = &out->protocol;

    out->kind = SMI_ACTION_PROTOCOL;
    SM_TRY(protocol_version(v, "minReaderVersion", &p->min_reader, e));
    SM_TRY(protocol_version(v, "minWriterVersion", &p->min_writer, e));
    p->reader_features = texts_of(sm_json_get(v, "readerFeatures"), a, &p->n_reader_features);
    p->writer_features = texts_of(sm_json_get(v, "writerFeatures"), a, &p->n_writer_features);
    return SM_OK;
}

static sm_status parse_sidecar(const sm_json *v, smi_action *out, sm_error *e)
{
    out->kind = SMI_ACTION_SIDECAR;
    out->path = sm_json_text(sm_json_get(v, "path"));
    return out->path.len ? SM_OK : sm_fail(e, SM_CORRUPT, "a sidecar of the log has no path");
}

static void parse_txn(const sm_json *v, smi_action *out)
{
    out->kind = SMI_ACTION_TXN;
    out->txn.app_id = sm_json_text(sm_json_get(v, "appId"));
    out->txn.version = number_of(v, "version", 0);
    out->txn.updated_ms = number_of(v, "lastUpdated", -1);
}

static sm_status parse_domain(const sm_json *v, smi_action *out, sm_error *e)
{
    out->kind = SMI_ACTION_DOMAIN;
    out->domain.name = sm_json_text(sm_json_get(v, "domain"));
    out->domain.configuration = sm_json_text(sm_json_get(v, "configuration"));
    out->domain.is_removed = bool_of(v, "removed", false);
    return out->domain.name.len ? SM_OK : sm_fail(e, SM_CORRUPT, "a domain of the log has no name");
}

/* The action of that name. Some writers put null for each action that the line does not hold. */
static const sm_json *action_of(const sm_json *doc, const char *name)
{
    const sm_json *v = sm_json_get(doc, name);

    return v && v->type != SM_JSON_NULL ? v : NULL;
}

sm_status smi_action_parse(sm_str line, sm_arena *a, smi_action *out, sm_error *e)
{
    const sm_json *doc = NULL;
    const sm_json *v = NULL;

    *out = (smi_action){.kind = SMI_ACTION_OTHER};
    SM_TRY(sm_json_parse(line, a, &doc, e));
    if (doc->type != SM_JSON_OBJECT) {
        return sm_fail(e, SM_CORRUPT, "a line of the log is not a JSON object");
    }
    if ((v = action_of(doc, "add"))) {
        return parse_file(v, SMI_ACTION_ADD, a, out, e);
    }
    if ((v = action_of(doc, "remove"))) {
        return parse_file(v, SMI_ACTION_REMOVE, a, out, e);
    }
    if ((v = action_of(doc, "cdc"))) {
        return parse_file(v, SMI_ACTION_CDC, a, out, e);
    }
    if ((v = action_of(doc, "metaData"))) {
        parse_metadata(v, a, out);
    } else if ((v = action_of(doc, "protocol"))) {
        return parse_protocol(v, a, out, e);
    } else if ((v = action_of(doc, "txn"))) {
        parse_txn(v, out);
    } else if ((v = action_of(doc, "commitInfo"))) {
        out->kind = SMI_ACTION_COMMIT_INFO;
        out->info = v;
    } else if ((v = action_of(doc, "domainMetadata"))) {
        return parse_domain(v, out, e);
    } else if ((v = action_of(doc, "sidecar"))) {
        return parse_sidecar(v, out, e);
    }
    return SM_OK;
}
