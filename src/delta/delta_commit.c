/* SPDX-License-Identifier: Apache-2.0
 *
 * delta/delta_commit.c: a list of actions becomes the next version of a table.
 *
 * Calls    check what was asked, print the actions, put the commit if absent; where another writer
 *          was first, read what it did, and go on behind it if that does not touch what was read.
 * Lost     A put whose answer never came, or that found a commit there, may have been our own: each
 *          commit carries a random txnId, so the text that stands there says who won.
 * After    Every checkpointInterval versions a checkpoint; the commit stands without it.
 * Source   PROTOCOL.md, "Delta Log Entries", "Commit Provenance Information"; the conflict rules
 *          are those of optimistic concurrency over what a writer has read
 */
#include <inttypes.h>
#include <stdio.h>

#include "base/log.h"
#include "base/quote.h"
#include "base/random.h"
#include "base/text.h"
#include "base/time.h"
#include "delta/delta_int.h"

#define MOST_TRIES                  1000
#define DEFAULT_CHECKPOINT_INTERVAL 10

typedef struct commit_run {
    sm_store *store;
    sm_snapshot *base; /* NULL: a new table */
    const sm_delta_commit *c;
    const sm_delta_metadata *metadata; /* the table's after the commit */
    const sm_delta_protocol *protocol;
    sm_delta_protocol chosen;
    sm_arena *arena;
    char txn_id[SM_UUID_BYTES];
    int64_t now_ms;
    sm_buf text;
} commit_run;

/* ---- what it is allowed to do ---------------------------------------------------------------- */

static bool has_type(const sm_type *t, sm_type_id id)
{
    for (int32_t i = 0; i < t->n_fields; i++) {
        if (t->fields[i].type->id == id || has_type(t->fields[i].type, id)) {
            return true;
        }
    }
    return false;
}

/* (1,2), unless a type of the schema is a feature. */
static void choose_protocol(commit_run *r)
{
    static const sm_str ntz[] = {{"timestampNtz", 12}};

    r->chosen = (sm_delta_protocol){.min_reader = 1, .min_writer = 2};
    if (has_type(r->metadata->schema, SM_TYPE_TIMESTAMP_NTZ)) {
        r->chosen = (sm_delta_protocol){.min_reader = 3,
                                        .min_writer = 7,
                                        .reader_features = ntz,
                                        .n_reader_features = 1,
                                        .writer_features = ntz,
                                        .n_writer_features = 1};
    }
    r->protocol = &r->chosen;
}

/* An application's transactions grow: one that the base has was another's, between the time when
 * the caller looked for new input and when it opened the table. */
static sm_status check_txns(const commit_run *r, sm_error *e)
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

/* Set, and not to false: what is no boolean is taken for the stricter one. */
static sm_status check_append_only(const commit_run *r, sm_error *e)
{
    const sm_str said = r->base ? smi_config(&r->base->metadata, "delta.appendOnly") : (sm_str){0};

    if (said.len == 0 || sm_str_eq_nocase(said, SM_STR("false"))) {
        return SM_OK;
    }
    if (r->c->n_removes == 0 || r->c->keeps_rows) {
        return SM_OK;
    }
    const sm_status st = sm_fail(e, SM_DENIED, "the table is append-only");
    sm_error_todo(e, "Its property delta.appendOnly is \"%.*s\".", SM_STR_ARG(said));
    return st;
}

static sm_status check(commit_run *r, sm_error *e)
{
    const sm_delta_commit *c = r->c;

    if (!r->base && !c->metadata) {
        return sm_fail(e, SM_INVALID, "a new table needs metadata");
    }
    r->metadata = c->metadata ? c->metadata : &r->base->metadata;
    r->protocol = c->protocol ? c->protocol : r->base ? &r->base->protocol : NULL;
    if (!r->protocol) {
        choose_protocol(r);
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
    SM_TRY(check_txns(r, e));
    return check_append_only(r, e);
}

/* ---- printing the actions -------------------------------------------------------------------- */

static void print_texts(const sm_str *items, int32_t n, sm_buf *out)
{
    sm_buf_text(out, SM_STR("["));
    for (int32_t i = 0; i < n; i++) {
        sm_buf_text(out, i ? SM_STR(",") : SM_STR(""));
        sm_buf_json_str(out, items[i]);
    }
    sm_buf_text(out, SM_STR("]"));
}

static void print_pairs(const sm_pair *items, int32_t n, sm_buf *out)
{
    sm_buf_text(out, SM_STR("{"));
    for (int32_t i = 0; i < n; i++) {
        sm_buf_text(out, i ? SM_STR(",") : SM_STR(""));
        sm_buf_json_str(out, items[i].key);
        sm_buf_text(out, SM_STR(":"));
        if (items[i].value.data) {
            sm_buf_json_str(out, items[i].value);
        } else {
            sm_buf_text(out, SM_STR("null"));
        }
    }
    sm_buf_text(out, SM_STR("}"));
}

static void print_detail(sm_value v, bool as_text, sm_buf *out)
{
    sm_buf text = {0};

    if (v.is_null) {
        sm_buf_text(out, SM_STR("null"));
        return;
    }
    sm_value_print(v, &text);
    if (as_text || v.type->id == SM_TYPE_STRING) {
        sm_buf_json_str(out, sm_buf_str(&text));
    } else {
        sm_buf_text(out, sm_buf_str(&text));
    }
    sm_buf_release(&text);
}

/* as_text: numbers too, as Spark writes metrics. */
static void print_details(const sm_delta_detail *items, int32_t n, bool as_text, sm_buf *out)
{
    sm_buf_text(out, SM_STR("{"));
    for (int32_t i = 0; i < n; i++) {
        sm_buf_text(out, i ? SM_STR(",") : SM_STR(""));
        sm_buf_json_str(out, items[i].key);
        sm_buf_text(out, SM_STR(":"));
        print_detail(items[i].value, as_text, out);
    }
    sm_buf_text(out, SM_STR("}"));
}

static void print_info(const commit_run *r, sm_buf *out)
{
    const sm_delta_commit *c = r->c;

    sm_buf_printf(out, "{\"commitInfo\":{\"timestamp\":%" PRId64 ",\"operation\":", r->now_ms);
    sm_buf_json_str(out, c->operation.len ? c->operation : SM_STR("WRITE"));
    sm_buf_text(out, SM_STR(",\"operationParameters\":"));
    print_details(c->parameters, c->n_parameters, false, out);
    if (r->base) {
        sm_buf_printf(out, ",\"readVersion\":%" PRId64, r->base->version);
    }
    sm_buf_printf(out, ",\"isBlindAppend\":%s",
                  c->isolation == SM_READ_NOTHING && c->n_removes == 0 ? "true" : "false");
    if (c->n_metrics > 0) {
        sm_buf_text(out, SM_STR(",\"operationMetrics\":"));
        print_details(c->metrics, c->n_metrics, true, out);
    }
    if (c->user_metadata.len) {
        sm_buf_text(out, SM_STR(",\"userMetadata\":"));
        sm_buf_json_str(out, c->user_metadata);
    }
    sm_buf_printf(out, ",\"engineInfo\":\"smelt/%s\",\"txnId\":\"%s\"", SMELT_VERSION, r->txn_id);
    if (c->info_json.len) {
        sm_buf_text(out, SM_STR(","));
        sm_buf_text(out, c->info_json);
    }
    sm_buf_text(out, SM_STR("}}\n"));
}

static void print_protocol(const sm_delta_protocol *p, sm_buf *out)
{
    sm_buf_printf(out, "{\"protocol\":{\"minReaderVersion\":%d,\"minWriterVersion\":%d",
                  p->min_reader, p->min_writer);
    if (p->min_reader >= 3) {
        sm_buf_text(out, SM_STR(",\"readerFeatures\":"));
        print_texts(p->reader_features, p->n_reader_features, out);
    }
    if (p->min_writer >= 7) {
        sm_buf_text(out, SM_STR(",\"writerFeatures\":"));
        print_texts(p->writer_features, p->n_writer_features, out);
    }
    sm_buf_text(out, SM_STR("}}\n"));
}

static sm_status print_metadata(const sm_delta_metadata *m, sm_buf *out, sm_error *e)
{
    sm_buf schema = {0};

    const sm_status st = sm_delta_schema_json(m->schema, &schema, e);
    if (st == SM_OK) {
        sm_buf_text(out, SM_STR("{\"metaData\":{\"id\":"));
        sm_buf_json_str(out, m->id);
        if (m->name.len) {
            sm_buf_text(out, SM_STR(",\"name\":"));
            sm_buf_json_str(out, m->name);
        }
        if (m->description.len) {
            sm_buf_text(out, SM_STR(",\"description\":"));
            sm_buf_json_str(out, m->description);
        }
        sm_buf_text(out, SM_STR(",\"format\":{\"provider\":\"parquet\",\"options\":{}}"
                                ",\"schemaString\":"));
        sm_buf_json_str(out, sm_buf_str(&schema));
        sm_buf_text(out, SM_STR(",\"partitionColumns\":"));
        print_texts(m->partition_columns, m->n_partition_columns, out);
        sm_buf_text(out, SM_STR(",\"configuration\":"));
        print_pairs(m->config, m->n_config, out);
        if (m->created_ms >= 0) {
            sm_buf_printf(out, ",\"createdTime\":%" PRId64, m->created_ms);
        }
        sm_buf_text(out, SM_STR("}}\n"));
    }
    sm_buf_release(&schema);
    return st;
}

static void print_txn(const sm_delta_txn *t, int64_t now_ms, sm_buf *out)
{
    sm_buf_text(out, SM_STR("{\"txn\":{\"appId\":"));
    sm_buf_json_str(out, t->app_id);
    sm_buf_printf(out, ",\"version\":%" PRId64 ",\"lastUpdated\":%" PRId64 "}}\n", t->version,
                  t->updated_ms >= 0 ? t->updated_ms : now_ms);
}

static void print_partition(const sm_delta_metadata *m, const sm_value *values, sm_arena *a,
                            sm_buf *out)
{
    sm_buf text = {0};

    sm_buf_text(out, SM_STR("{"));
    for (int32_t i = 0; i < m->n_partition_columns; i++) {
        const int32_t field = sm_type_find(m->schema, m->partition_columns[i]);
        sm_buf_text(out, i ? SM_STR(",") : SM_STR(""));
        sm_buf_json_str(out, smi_physical_name(&m->schema->fields[field], a));
        sm_buf_text(out, SM_STR(":"));
        if (values[i].is_null) {
            sm_buf_text(out, SM_STR("null"));
        } else {
            sm_buf_reset(&text);
            smi_partition_text(values[i], &text);
            sm_buf_json_str(out, sm_buf_str(&text));
        }
    }
    sm_buf_text(out, SM_STR("}"));
    sm_buf_release(&text);
}

/* As a further member of an action. */
static void print_vector(const sm_delta_dv *dv, sm_buf *out)
{
    sm_buf_text(out, SM_STR(",\"deletionVector\":{\"storageType\":"));
    sm_buf_json_str(out, dv->storage_type);
    sm_buf_text(out, SM_STR(",\"pathOrInlineDv\":"));
    sm_buf_json_str(out, dv->path_or_inline);
    if (dv->offset >= 0) {
        sm_buf_printf(out, ",\"offset\":%" PRId64, dv->offset);
    }
    sm_buf_printf(out, ",\"sizeInBytes\":%" PRId64 ",\"cardinality\":%" PRId64 "}", dv->size_bytes,
                  dv->cardinality);
}

static const char *data_change(const commit_run *r)
{
    return r->c->keeps_rows ? "false" : "true";
}

static void print_remove(const commit_run *r, const sm_delta_file *f, sm_buf *out)
{
    sm_buf_text(out, SM_STR("{\"remove\":{\"path\":"));
    sm_buf_json_str(out, f->path);
    sm_buf_printf(out,
                  ",\"deletionTimestamp\":%" PRId64
                  ",\"dataChange\":%s,\"extendedFileMetadata\":true,\"partitionValues\":",
                  r->now_ms, data_change(r));
    print_partition(&r->base->metadata, f->partition, r->arena, out);
    sm_buf_printf(out, ",\"size\":%" PRIu64, f->size_bytes);
    if (f->dv) {
        print_vector(f->dv, out);
    }
    sm_buf_text(out, SM_STR("}}\n"));
}

static void print_add(const commit_run *r, const sm_delta_add *add, sm_buf *out)
{
    sm_buf stats = {0};

    smi_stats_print(r->metadata->schema, add->ranges, add->n_rows, &stats);
    sm_buf_text(out, SM_STR("{\"add\":{\"path\":"));
    sm_buf_json_str(out, smi_path_encode(add->key, r->arena));
    sm_buf_text(out, SM_STR(",\"partitionValues\":"));
    print_partition(r->metadata, add->partition, r->arena, out);
    sm_buf_printf(
        out, ",\"size\":%" PRIu64 ",\"modificationTime\":%" PRId64 ",\"dataChange\":%s,\"stats\":",
        add->size_bytes, add->modified_ms, data_change(r));
    sm_buf_json_str(out, sm_buf_str(&stats));
    if (add->n_tags) {
        sm_buf_text(out, SM_STR(",\"tags\":"));
        print_pairs(add->tags, add->n_tags, out);
    }
    if (add->dv) {
        print_vector(add->dv, out);
    }
    if (add->has_row_id) {
        sm_buf_printf(out, ",\"baseRowId\":%" PRId64, add->base_row_id);
    }
    sm_buf_text(out, SM_STR("}}\n"));
    sm_buf_release(&stats);
}

static sm_status print_commit(commit_run *r, sm_error *e)
{
    const sm_delta_commit *c = r->c;

    sm_buf_reset(&r->text);
    print_info(r, &r->text);
    if (!r->base || c->protocol) {
        print_protocol(r->protocol, &r->text);
    }
    if (c->metadata) {
        SM_TRY(print_metadata(c->metadata, &r->text, e));
    }
    for (int64_t i = 0; i < c->n_txns; i++) {
        print_txn(&c->txns[i], r->now_ms, &r->text);
    }
    for (int64_t i = 0; i < c->n_removes; i++) {
        print_remove(r, c->removes[i], &r->text);
    }
    for (int64_t i = 0; i < c->n_adds; i++) {
        print_add(r, &c->adds[i], &r->text);
    }
    return SM_OK;
}

/* ---- another writer was first ---------------------------------------------------------------- */

typedef struct rival {
    const commit_run *run;
    int64_t version;
} rival;

static sm_status conflict(const rival *v, sm_error *e, const char *what)
{
    const sm_status st =
        sm_fail(e, SM_CONFLICT, "version %" PRId64 " of another writer %s", v->version, what);
    sm_error_todo(e, "It is safe to run again.");
    return st;
}

/* Could a file hold rows that this commit has read? */
static bool touches_read(const commit_run *r, const smi_action *action)
{
    sm_delta_file f;
    sm_error unused = {0};

    if (r->c->isolation != SM_READ_FILES ||
        smi_file_of(action, &r->base->metadata, r->arena, &f, &unused) != SM_OK || !f.ranges) {
        return r->c->isolation != SM_READ_NOTHING;
    }
    for (int32_t i = 0; i < r->c->read.n; i++) {
        const sm_bound *b = &r->c->read.items[i];
        if (b->n_path == 1 && sm_bound_excludes(b, &f.ranges[b->path[0]])) {
            return false;
        }
    }
    return true;
}

static bool removes_path(const commit_run *r, sm_str path)
{
    for (int64_t i = 0; i < r->c->n_removes; i++) {
        if (sm_str_eq(r->c->removes[i]->path, path)) {
            return true;
        }
    }
    return false;
}

/* Transactions say what rows were brought in: an earlier version's rows, or all others, may be
 * without those that are told of. */
static sm_status judge_info(const rival *v, const smi_action *action, sm_error *e)
{
    sm_delta_commit_info info = {0};

    smi_info_of(action, &info);
    const sm_delta_effect effect = sm_delta_effect_of(&info);
    if (v->run->c->n_txns == 0 || effect == SM_DELTA_CHANGES) {
        return SM_OK;
    }
    return conflict(v, e,
                    effect == SM_DELTA_RESTORES ? "has restored an earlier version"
                                                : "has overwritten rows");
}

static sm_status judge(void *ctx, const smi_action *action, sm_error *e)
{
    const rival *v = ctx;
    const commit_run *r = v->run;

    switch (action->kind) {
    case SMI_ACTION_COMMIT_INFO:
        return judge_info(v, action, e);
    case SMI_ACTION_METADATA:
        return conflict(v, e, "has changed the schema or the properties");
    case SMI_ACTION_PROTOCOL:
        return conflict(v, e, "has changed the protocol");
    case SMI_ACTION_TXN:
        for (int64_t i = 0; i < r->c->n_txns; i++) {
            if (sm_str_eq(r->c->txns[i].app_id, action->txn.app_id)) {
                return conflict(v, e, "has loaded into the table too");
            }
        }
        return SM_OK;
    case SMI_ACTION_ADD:
        return action->data_change && touches_read(r, action)
                   ? conflict(v, e, "has added rows to what was read")
                   : SM_OK;
    case SMI_ACTION_REMOVE:
        if (removes_path(r, action->path)) {
            return conflict(v, e, "has removed a file that this one removes");
        }
        return action->data_change && r->c->isolation == SM_READ_ALL
                   ? conflict(v, e, "has removed rows of what was read")
                   : SM_OK;
    default:
        return SM_OK;
    }
}

/* Is the commit that stands there our own? */
static sm_status is_ours(const commit_run *r, sm_str key, bool *out, sm_error *e)
{
    sm_buf there = {0};

    *out = false;
    const sm_status st = sm_store_get(r->store, key, &there, e);
    if (st == SM_OK) {
        *out = sm_str_eq(sm_buf_str(&there), sm_buf_str(&r->text));
    }
    sm_buf_release(&there);
    return st == SM_NOT_FOUND ? SM_OK : st;
}

/* SM_OK: the version is ours. SM_EXISTS: somebody else's. */
static sm_status put_version(const commit_run *r, int64_t version, sm_error *e)
{
    char key[SMI_LOG_KEY_BYTES];
    sm_error unused = {0};
    bool ours = false;

    smi_commit_key(version, key);
    const sm_status st =
        sm_store_put(r->store, sm_str_of(key), r->text.data, r->text.len, SM_PUT_IF_ABSENT, e);
    if (st == SM_OK || (st != SM_EXISTS && !sm_status_retry(st))) {
        return st;
    }
    const sm_status seen = is_ours(r, sm_str_of(key), &ours, &unused);
    return seen == SM_OK && ours ? SM_OK : st;
}

static sm_status put_behind_rivals(commit_run *r, int64_t *version, sm_error *e)
{
    for (int tries = 0; tries < MOST_TRIES; tries++) {
        const sm_status st = put_version(r, *version, e);
        if (st != SM_EXISTS) {
            return st;
        }
        rival v = {.run = r, .version = *version};
        if (!r->base) {
            return conflict(&v, e, "has made the table");
        }
        SM_TRY(smi_commit_read(r->store, *version, r->arena, judge, &v, e));
        (*version)++;
    }
    return sm_fail(e, SM_CONFLICT, "other writers were first %d times", MOST_TRIES);
}

/* ---- the door -------------------------------------------------------------------------------- */

static void checkpoint_if_due(const commit_run *r, int64_t version, sm_budget *budget)
{
    int64_t interval = DEFAULT_CHECKPOINT_INTERVAL;
    sm_snapshot *s = NULL;
    sm_error e = {0};

    const sm_str text = smi_config(r->metadata, "delta.checkpointInterval");
    if (text.len && (!sm_parse_i64(text, &interval) || interval < 1)) {
        interval = DEFAULT_CHECKPOINT_INTERVAL;
    }
    if (version == 0 || version % interval != 0) {
        return;
    }
    sm_status st = sm_snapshot_open(r->store, version, budget, &s, &e);
    if (st == SM_OK) {
        st = sm_delta_checkpoint(s, budget, &e);
    }
    if (st != SM_OK) { /* the commit stands; the next one tries again */
        sm_log(SM_LOG_WARN, "no checkpoint at version %" PRId64 ": %s", version, e.what);
    }
    sm_snapshot_release(s);
}

sm_status sm_delta_commit_write(sm_store *s, sm_snapshot *base, const sm_delta_commit *c,
                                sm_budget *budget, int64_t *version, sm_error *e)
{
    commit_run r = {.store = s, .base = base, .c = c, .now_ms = sm_now_us() / 1000};
    int64_t at = base ? base->version + 1 : 0;

    r.arena = sm_arena_new(budget);
    sm_uuid(r.txn_id);
    sm_status st = check(&r, e);
    if (st == SM_OK) {
        st = print_commit(&r, e);
    }
    if (st == SM_OK) {
        st = put_behind_rivals(&r, &at, e);
    }
    if (st == SM_OK) {
        *version = at;
        checkpoint_if_due(&r, at, budget);
    }
    sm_buf_release(&r.text);
    sm_arena_free(r.arena);
    return sm_within(e, st, "commit to %.*s", SM_STR_ARG(sm_store_uri(s)));
}
