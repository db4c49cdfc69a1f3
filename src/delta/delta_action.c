/* SPDX-License-Identifier: Apache-2.0
 *
 * delta/delta_action.c: parses one line of a commit (or of a JSON checkpoint) into an action.
 * Called by delta_log.c. Parquet checkpoints give the same struct (delta_checkpoint_read.c).
 *
 * Refused  A value of another type than the protocol's must not pass for a missing one, where rows,
 *          row ids, retention or what a writer may do hang on it: the table would be read without
 *          a feature, a partition or a vector that it has. Both ways in keep that by themselves,
 *          and what an action must have is asked of both (smi_action_settle).
 * Loose    statistics, tags, modification times, names and descriptions: nothing hangs on them. Of
 *          another type they are missing; a tag's value is then its source text.
 *
 * Source  PROTOCOL.md, "Actions" */
#include "delta/delta_int.h"

/* ---- members --------------------------------------------------------------------------------- */

/* A member of that type; NULL where there is none, or null. */
static sm_status member_of(const sm_json *o, const char *key, sm_json_type type,
                           const sm_json **out, sm_error *e)
{
    const sm_json *v = sm_json_get(o, key);

    *out = v && v->type != SM_JSON_NULL ? v : NULL;
    if (*out && (*out)->type != type) {
        return sm_fail(e, SM_CORRUPT, "\"%s\" of the log is not %s", key,
                       type == SM_JSON_ARRAY    ? "a list"
                       : type == SM_JSON_OBJECT ? "an object"
                       : type == SM_JSON_STRING ? "a text"
                       : type == SM_JSON_BOOL   ? "true or false"
                                                : "a whole number");
    }
    return SM_OK;
}

static sm_status text_of(const sm_json *o, const char *key, sm_str *out, sm_error *e)
{
    const sm_json *v = NULL;

    SM_TRY(member_of(o, key, SM_JSON_STRING, &v, e));
    *out = sm_json_text(v);
    return SM_OK;
}

static sm_status number_of(const sm_json *o, const char *key, int64_t otherwise, int64_t *out,
                           sm_error *e)
{
    const sm_json *v = NULL;

    *out = otherwise;
    SM_TRY(member_of(o, key, SM_JSON_NUMBER, &v, e));
    return !v || sm_json_i64(v, out)
               ? SM_OK
               : sm_fail(e, SM_CORRUPT, "\"%s\" of the log is not a whole number", key);
}

static sm_status bool_of(const sm_json *o, const char *key, bool otherwise, bool *out, sm_error *e)
{
    const sm_json *v = NULL;

    SM_TRY(member_of(o, key, SM_JSON_BOOL, &v, e));
    *out = v ? v->b : otherwise;
    return SM_OK;
}

/* Of a number on which nothing hangs. */
static int64_t loose_number(const sm_json *o, const char *key, int64_t otherwise)
{
    int64_t v = 0;

    return sm_json_i64(sm_json_get(o, key), &v) ? v : otherwise;
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

/* The tags of a file. Spark makes texts of other values too. */
static const sm_pair *tags_of(const sm_json *o, sm_arena *a, int32_t *n)
{
    const sm_json *v = sm_json_get(o, "tags");

    *n = 0;
    if (!v || v->type != SM_JSON_OBJECT || v->n_children == 0) {
        return NULL;
    }
    sm_pair *items = SM_NEW_ARRAY(a, sm_pair, v->n_children);
    for (const sm_json *m = v->child; m; m = m->next) {
        const sm_str text = m->type == SM_JSON_NULL   ? (sm_str){0}
                            : m->type != SM_JSON_BOOL ? m->text
                            : m->b                    ? SM_STR("true")
                                                      : SM_STR("false");
        SM_ASSERT(*n < v->n_children);
        items[(*n)++] = (sm_pair){m->key, text};
    }
    return items;
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
    SM_TRY(text_of(v, "storageType", &dv->storage_type, e));
    SM_TRY(text_of(v, "pathOrInlineDv", &dv->path_or_inline, e));
    SM_TRY(number_of(v, "offset", -1, &dv->offset, e));
    SM_TRY(number_of(v, "sizeInBytes", -1, &dv->size_bytes, e));
    SM_TRY(number_of(v, "cardinality", -1, &dv->cardinality, e));
    *out = dv;
    return SM_OK;
}

/* ---- actions --------------------------------------------------------------------------------- */

static sm_status parse_file(const sm_json *v, smi_action_kind kind, sm_arena *a, smi_action *out,
                            sm_error *e)
{
    int64_t size = -1;

    out->kind = kind;
    SM_TRY(text_of(v, "path", &out->path, e));
    SM_TRY(pairs_of(v, "partitionValues", a, &out->partition, &out->n_partition, e));
    SM_TRY(number_of(v, "size", -1, &size, e));
    out->size_bytes = (uint64_t)size;
    out->modified_ms = loose_number(v, "modificationTime", 0);
    if (kind == SMI_ACTION_REMOVE) {
        SM_TRY(number_of(v, "deletionTimestamp", 0, &out->modified_ms, e));
    }
    SM_TRY(bool_of(v, "dataChange", kind != SMI_ACTION_CDC, &out->data_change, e));
    out->stats_json = sm_json_text(sm_json_get(v, "stats"));
    SM_TRY(vector_of(v, a, &out->dv, e));
    out->tags = tags_of(v, a, &out->n_tags);
    SM_TRY(number_of(v, "baseRowId", -1, &out->base_row_id, e));
    SM_TRY(number_of(v, "defaultRowCommitVersion", -1, &out->row_version, e));
    out->cluster_provider = sm_json_text(sm_json_get(v, "clusteringProvider"));
    return SM_OK;
}

static sm_status parse_metadata(const sm_json *v, sm_arena *a, smi_action *out, sm_error *e)
{
    sm_delta_metadata *m = &out->metadata;
    const sm_json *format = NULL;

    out->kind = SMI_ACTION_METADATA;
    m->id = sm_json_text(sm_json_get(v, "id"));
    m->name = sm_json_text(sm_json_get(v, "name"));
    m->description = sm_json_text(sm_json_get(v, "description"));
    SM_TRY(text_of(v, "schemaString", &out->schema_json, e));
    SM_TRY(member_of(v, "format", SM_JSON_OBJECT, &format, e));
    SM_TRY(text_of(format, "provider", &out->provider, e));
    SM_TRY(texts_of(v, "partitionColumns", a, &m->partition_columns, &m->n_partition_columns, e));
    SM_TRY(pairs_of(v, "configuration", a, &m->config, &m->n_config, e));
    m->created_ms = loose_number(v, "createdTime", -1);
    return SM_OK;
}

int32_t smi_version_of(int64_t number)
{
    return number >= 1 && number <= INT32_MAX ? (int32_t)number : 0;
}

/* 1 where there is none. */
static int32_t protocol_version(const sm_json *o, const char *key)
{
    const sm_json *v = sm_json_get(o, key);
    int64_t number = 0;

    if (!v) {
        return 1;
    }
    return sm_json_i64(v, &number) ? smi_version_of(number) : 0;
}

static sm_status parse_protocol(const sm_json *v, sm_arena *a, smi_action *out, sm_error *e)
{
    sm_delta_protocol *p = &out->protocol;

    out->kind = SMI_ACTION_PROTOCOL;
    p->min_reader = protocol_version(v, "minReaderVersion");
    p->min_writer = protocol_version(v, "minWriterVersion");
    SM_TRY(texts_of(v, "readerFeatures", a, &p->reader_features, &p->n_reader_features, e));
    return texts_of(v, "writerFeatures", a, &p->writer_features, &p->n_writer_features, e);
}

static sm_status parse_sidecar(const sm_json *v, smi_action *out, sm_error *e)
{
    int64_t size = -1;

    out->kind = SMI_ACTION_SIDECAR;
    SM_TRY(text_of(v, "path", &out->path, e));
    SM_TRY(number_of(v, "sizeInBytes", -1, &size, e));
    out->size_bytes = (uint64_t)size;
    return SM_OK;
}

static sm_status parse_txn(const sm_json *v, smi_action *out, sm_error *e)
{
    out->kind = SMI_ACTION_TXN;
    out->txn.updated_ms = loose_number(v, "lastUpdated", -1);
    SM_TRY(text_of(v, "appId", &out->txn.app_id, e));
    return number_of(v, "version", SMI_NO_VERSION, &out->txn.version, e);
}

static sm_status parse_domain(const sm_json *v, smi_action *out, sm_error *e)
{
    out->kind = SMI_ACTION_DOMAIN;
    SM_TRY(text_of(v, "domain", &out->domain.name, e));
    SM_TRY(text_of(v, "configuration", &out->domain.configuration, e));
    return bool_of(v, "removed", false, &out->domain.is_removed, e);
}

/* ---- what an action must have ---------------------------------------------------------------- */

static sm_status settle_vector(const smi_action *action, sm_error *e)
{
    const sm_delta_dv *dv = action->dv;
    SM_ASSERT(dv);
    const bool is_whole = action->kind == SMI_ACTION_REMOVE || /* of which it is but a name */
                          (dv->size_bytes >= 0 && dv->cardinality >= 0);

    return is_whole && dv->storage_type.len > 0 && dv->path_or_inline.len > 0
               ? SM_OK
               : sm_fail(e, SM_CORRUPT,
                         "the deletion vector of \"%.*s\" in the log has no place, no size or no "
                         "number of rows",
                         SM_STR_ARG(action->path));
}

static sm_status settle_file(smi_action *action, sm_error *e)
{
    SM_ASSERT(SMI_KIND(action->kind) & (SMI_FILES | SMI_KIND(SMI_ACTION_CDC)));
    if (action->path.len == 0) {
        return sm_fail(e, SM_CORRUPT, "an add, remove or cdc of the log names no file");
    }
    if (action->size_bytes > INT64_MAX && action->kind != SMI_ACTION_REMOVE) {
        return sm_fail(e, SM_CORRUPT, "the log does not say how large \"%.*s\" is",
                       SM_STR_ARG(action->path));
    }
    action->size_bytes = action->size_bytes > INT64_MAX ? 0 : action->size_bytes;
    return action->dv ? settle_vector(action, e) : SM_OK;
}

static sm_status settle_protocol(const sm_delta_protocol *p, sm_error *e)
{
    const char *wrong = p->min_reader < 1   ? "minReaderVersion"
                        : p->min_writer < 1 ? "minWriterVersion"
                                            : NULL;

    return wrong ? sm_fail(e, SM_CORRUPT, "\"%s\" of the protocol is not a version", wrong) : SM_OK;
}

sm_status smi_action_settle(smi_action *action, sm_error *e)
{
    switch (action->kind) {
    case SMI_ACTION_ADD:
    case SMI_ACTION_REMOVE:
    case SMI_ACTION_CDC:
        return settle_file(action, e);
    case SMI_ACTION_METADATA:
        return action->provider.len == 0 || sm_str_is(action->provider, "parquet")
                   ? SM_OK
                   : sm_fail(e, SM_CORRUPT, "the table's files are %.*s, not Parquet",
                             SM_STR_ARG(action->provider));
    case SMI_ACTION_PROTOCOL:
        return settle_protocol(&action->protocol, e);
    case SMI_ACTION_TXN:
        return action->txn.version != SMI_NO_VERSION
                   ? SM_OK
                   : sm_fail(e, SM_CORRUPT, "transaction \"%.*s\" of the log has no version",
                             SM_STR_ARG(action->txn.app_id));
    case SMI_ACTION_SIDECAR:
        action->size_bytes = action->size_bytes > INT64_MAX ? 0 : action->size_bytes;
        return action->path.len > 0 ? SM_OK
                                    : sm_fail(e, SM_CORRUPT, "a sidecar of the log has no path");
    case SMI_ACTION_DOMAIN:
        return action->domain.name.len > 0
                   ? SM_OK
                   : sm_fail(e, SM_CORRUPT, "a domain of the log has no name");
    case SMI_ACTION_COMMIT_INFO:
    case SMI_ACTION_OTHER:
        return SM_OK;
    }
    return SM_OK;
}

/* ---- a line ---------------------------------------------------------------------------------- */

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

static sm_status parse_action(const sm_json *v, smi_action_kind kind, sm_arena *a, smi_action *out,
                              sm_error *e)
{
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
        return parse_txn(v, out, e);
    case SMI_ACTION_DOMAIN:
        return parse_domain(v, out, e);
    case SMI_ACTION_SIDECAR:
        return parse_sidecar(v, out, e);
    case SMI_ACTION_COMMIT_INFO:
        out->kind = kind;
        out->info = v;
        return SM_OK;
    case SMI_ACTION_OTHER:
        return SM_OK; /* of a later protocol, or without meaning for the table's state */
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
    SM_TRY(parse_action(v, kind, a, out, e));
    return smi_action_settle(out, e);
}
