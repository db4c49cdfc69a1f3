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

/* A member of that type; NULL where there is none, or null. What has another type must not pass for
 * missing: the table would be read without a feature, a partition or a vector that it has. */
static sm_status member_of(const sm_json *o, const char *key, sm_json_type type,
                           const sm_json **out, sm_error *e)
{
    const sm_json *v = sm_json_get(o, key);

    *out = v && v->type != SM_JSON_NULL ? v : NULL;
    if (*out && (*out)->type != type) {
        return sm_fail(e, SM_CORRUPT, "\"%s\" of the log is not %s", key,
                       type == SM_JSON_ARRAY ? "a list" : "an object");
    }
    return SM_OK;
}

/* A member that is an object of texts and nulls. The value of a null has no data. */
static sm_status pairs_of(const sm_json *o, const char *key, sm_arena *a, const sm_pair **out,
                          int32_t *n, sm_error *e)
{
    const sm_json *v = NULL;

    SM_TRY(member_of(o, key, SM_JSON_OBJECT, &v, e));
    sm_pair *items = v && v->n_children > 0 ? SM_NEW_ARRAY(a, sm_pair, v->n_children) : NULL;
    *out = items;
    *n = 0;
    for (const sm_json *m = v ? v->child : NULL; m; m = m->next) {
        SM_ASSERT(*n < v->n_children);
        if (m->type != SM_JSON_STRING && m->type != SM_JSON_NULL) {
            return sm_fail(e, SM_CORRUPT, "\"%.*s\" in \"%s\" of the log is not a text",
                           SM_STR_ARG(m->key), key);
        }
        items[(*n)++] = (sm_pair){m->key, m->type == SM_JSON_STRING ? m->text : (sm_str){0}};
    }
    return SM_OK;
}

/* A member that is a list of texts. */
static sm_status texts_of(const sm_json *o, const char *key, sm_arena *a, const sm_str **out,
                          int32_t *n, sm_error *e)
{
    const sm_json *v = NULL;

    SM_TRY(member_of(o, key, SM_JSON_ARRAY, &v, e));
    sm_str *items = v && v->n_children > 0 ? SM_NEW_ARRAY(a, sm_str, v->n_children) : NULL;
    *out = items;
    *n = 0;
    for (const sm_json *m = v ? v->child : NULL; m; m = m->next) {
        SM_ASSERT(*n < v->n_children);
        if (m->type != SM_JSON_STRING) {
            return sm_fail(e, SM_CORRUPT, "\"%s\" of the log is not a list of texts", key);
        }
        items[(*n)++] = m->text;
    }
    return SM_OK;
}

static sm_status vector_of(const sm_json *o, sm_arena *a, const sm_delta_dv **out, sm_error *e)
{
    const sm_json *v = NULL;

    SM_TRY(member_of(o, "deletionVector", SM_JSON_OBJECT, &v, e));
    if (!v) {
        *out = NULL;
        return SM_OK;
    }
    sm_delta_dv *dv = SM_NEW(a, sm_delta_dv);
    dv->storage_type = sm_json_text(sm_json_get(v, "storageType"));
    dv->path_or_inline = sm_json_text(sm_json_get(v, "pathOrInlineDv"));
    dv->offset = number_of(v, "offset", -1);
    dv->size_bytes = number_of(v, "sizeInBytes", 0);
    dv->cardinality = number_of(v, "cardinality", 0);
    *out = dv;
    return SM_OK;
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
    SM_TRY(pairs_of(v, "partitionValues", a, &out->partition, &out->n_partition, e));
    const int64_t size = number_of(v, "size", 0);
    out->size_bytes = size > 0 ? (uint64_t)size : 0;
    out->modified_ms = number_of(v, is_remove ? "deletionTimestamp" : "modificationTime", 0);
    out->data_change = bool_of(v, "dataChange", kind != SMI_ACTION_CDC);
    out->stats_json = sm_json_text(sm_json_get(v, "stats"));
    SM_TRY(vector_of(v, a, &out->dv, e));
    SM_TRY(pairs_of(v, "tags", a, &out->tags, &out->n_tags, e));
    out->base_row_id = number_of(v, "baseRowId", -1);
    out->row_version = number_of(v, "defaultRowCommitVersion", -1);
    out->cluster_provider = sm_json_text(sm_json_get(v, "clusteringProvider"));
    return SM_OK;
}

static sm_status parse_metadata(const sm_json *v, sm_arena *a, smi_action *out, sm_error *e)
{
    sm_delta_metadata *m = &out->metadata;

    out->kind = SMI_ACTION_METADATA;
    m->id = sm_json_text(sm_json_get(v, "id"));
    m->name = sm_json_text(sm_json_get(v, "name"));
    m->description = sm_json_text(sm_json_get(v, "description"));
    out->schema_json = sm_json_text(sm_json_get(v, "schemaString"));
    const sm_str provider = sm_json_text(sm_json_get(sm_json_get(v, "format"), "provider"));
    if (provider.len > 0 && !sm_str_eq(provider, SM_STR("parquet"))) {
        return sm_fail(e, SM_CORRUPT, "the table's files are %.*s, not Parquet",
                       SM_STR_ARG(provider));
    }
    SM_TRY(texts_of(v, "partitionColumns", a, &m->partition_columns, &m->n_partition_columns, e));
    SM_TRY(pairs_of(v, "configuration", a, &m->config, &m->n_config, e));
    m->created_ms = number_of(v, "createdTime", -1);
    return SM_OK;
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
    SM_TRY(texts_of(v, "readerFeatures", a, &p->reader_features, &p->n_reader_features, e));
    return texts_of(v, "writerFeatures", a, &p->writer_features, &p->n_writer_features, e);
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

/* The action of a line: its one member with that name that is not null, as some writers put null
 * for each action that the line does not hold. NULL: none that is known. Of two, one would be
 * lost. */
static sm_status find_action(const sm_json *line, const sm_json **out, smi_action_kind *kind,
                             sm_error *e)
{
    static const struct {
        const char *name;
        smi_action_kind kind;
    } actions[] = {
        {"add", SMI_ACTION_ADD},
        {"remove", SMI_ACTION_REMOVE},
        {"cdc", SMI_ACTION_CDC},
        {"metaData", SMI_ACTION_METADATA},
        {"protocol", SMI_ACTION_PROTOCOL},
        {"txn", SMI_ACTION_TXN},
        {"sidecar", SMI_ACTION_SIDECAR},
        {"commitInfo", SMI_ACTION_COMMIT_INFO},
        {"domainMetadata", SMI_ACTION_DOMAIN},
    };

    *out = NULL;
    for (const sm_json *m = line->child; m; m = m->next) {
        for (int i = 0; m->type != SM_JSON_NULL && i < SM_COUNT(actions); i++) {
            if (!sm_str_eq(m->key, sm_str_of(actions[i].name))) {
                continue;
            }
            if (*out) {
                return sm_fail(e, SM_CORRUPT,
                               "a line of the log has two actions, \"%.*s\" and \"%s\"",
                               SM_STR_ARG((*out)->key), actions[i].name);
            }
            *out = m;
            *kind = actions[i].kind;
        }
    }
    return SM_OK;
}

sm_status smi_action_parse(sm_str line, sm_arena *a, smi_action *out, sm_error *e)
{
    const sm_json *doc = NULL;
    const sm_json *v = NULL;
    smi_action_kind kind = SMI_ACTION_OTHER;

    *out = (smi_action){.kind = SMI_ACTION_OTHER};
    SM_TRY(sm_json_parse(line, a, &doc, e));
    if (doc->type != SM_JSON_OBJECT) {
        return sm_fail(e, SM_CORRUPT, "a line of the log is not a JSON object");
    }
    SM_TRY(find_action(doc, &v, &kind, e));
    switch (kind) {
    case SMI_ACTION_ADD:
    case SMI_ACTION_REMOVE:
    case SMI_ACTION_CDC:
        return parse_file(v, kind, a, out, e);
    case SMI_ACTION_METADATA:
        return parse_metadata(v, a, out, e);
    case SMI_ACTION_PROTOCOL:
        return parse_protocol(v, a, out, e);
    case SMI_ACTION_TXN:
        parse_txn(v, out);
        return SM_OK;
    case SMI_ACTION_DOMAIN:
        return parse_domain(v, out, e);
    case SMI_ACTION_SIDECAR:
        return parse_sidecar(v, out, e);
    case SMI_ACTION_COMMIT_INFO:
        out->kind = kind;
        out->info = v;
        return SM_OK;
    default:
        return SM_OK; /* of a later protocol, or without meaning for the table's state */
    }
}
