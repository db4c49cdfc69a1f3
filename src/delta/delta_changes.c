/* SPDX-License-Identifier: Apache-2.0
 *
 * delta/delta_changes.c: the rows that changed from version to version, as a dataset. Called by
 * table_changes.c (the table function table_changes).
 *
 * Version   A commit with cdc actions says all that it changed in their files, which have a column
 *           _change_type. Of any other commit the files that it added are rows that came, and those
 *           that it removed are rows that went, but for those with dataChange false: their rows are
 *           in other files of the table now.
 * Vectors   A commit that removes a file and adds it again has changed its deletion vector. Rows of
 *           the new vector that the old one does not have went; those of the old one alone came
 *           back (a RESTORE).
 * MERGE     Older Sparks wrote files anew for a MERGE that changed no row, and no cdc action. Its
 *           metrics say so, and it counts as no change, as in Spark.
 * Schema    All rows are read by the schema of the last version. That is right as long as columns
 *           were only added in between, so anything else is refused, as in Spark.
 * Time      of a version: as delta_time.c has it.
 * Source    PROTOCOL.md, "Change Data Files", "Add CDC File"; Spark's CDCReader */
#include <inttypes.h>

#include "base/map.h"
#include "delta/delta_int.h"

/* The constants behind the partition columns. */
enum { SAID, VERSION, TIMESTAMP, N_CONSTANTS };

typedef struct changes {
    const sm_snapshot *to;
    int64_t from;
    sm_arena *arena; /* of the dataset */
    smi_partitions *partitions;
    int32_t n_partition;
    const smi_version_time *times; /* of the versions from `from` on */
    sm_datafile *files;
    int64_t n_files, cap_files;
} changes;

/* What a commit does, while it is read. */
typedef struct commit {
    int64_t version, ms;
    sm_arena *arena;
    smi_action *actions; /* ADD, REMOVE with dataChange, CDC */
    int64_t n_actions, cap_actions;
    bool has_cdc, has_metadata;
    bool is_idle;     /* a MERGE that changed no row */
    int64_t stamp_ms; /* its inCommitTimestamp; −1: it has none */
    sm_str within;    /* for errors; lives as long as the dataset */
} commit;

bool sm_delta_has_feed(const sm_delta_metadata *m)
{
    return sm_str_eq_nocase(smi_config(m, "delta.enableChangeDataFeed"), SM_STR("true"));
}

/* ---- may the versions be read together? ------------------------------------------------------ */

static bool fits_type(const sm_type *was, const sm_type *is, sm_arena *a);

/* Is the column still there, under the same name in the schema and in files? */
static bool fits_field(const sm_field *was, const sm_field *is, sm_arena *a)
{
    return sm_str_eq(was->name, is->name) &&
           sm_str_eq(smi_physical_name(was, a), smi_physical_name(is, a)) &&
           (is->is_nullable || !was->is_nullable) && fits_type(was->type, is->type, a);
}

static bool fits_type(const sm_type *was, const sm_type *is, sm_arena *a)
{
    if (was->id != is->id || !sm_type_is_nested(was->id)) {
        return sm_type_eq(was, is);
    }
    for (int32_t i = 0; i < was->n_fields; i++) {
        const int32_t at = was->id == SM_TYPE_STRUCT ? sm_type_find(is, was->fields[i].name) : i;
        if (at < 0 || !fits_field(&was->fields[i], &is->fields[at], a)) {
            return false;
        }
    }
    return true;
}

static bool has_same_partitions(const sm_delta_metadata *x, const sm_delta_metadata *y)
{
    bool is_same = x->n_partition_columns == y->n_partition_columns;

    for (int32_t i = 0; i < x->n_partition_columns && is_same; i++) {
        is_same = sm_str_eq(x->partition_columns[i], y->partition_columns[i]);
    }
    return is_same;
}

static sm_status fail_schema(const changes *c, const sm_snapshot *was, sm_str what, sm_error *e)
{
    const sm_status st = sm_fail(e, SM_SCHEMA,
                                 "in version %" PRId64 " %.*s not as in version %" PRId64
                                 ", by whose schema the changes are read",
                                 was->version, SM_STR_ARG(what), c->to->version);
    sm_error_todo(e, "Only columns that were added fit. Ask for the changes before and since the "
                     "schema changed by themselves.");
    return st;
}

/* Do rows of that version keep their meaning, read by the schema of the last one? */
static sm_status check_schema(const changes *c, const sm_snapshot *was, sm_arena *a, sm_error *e)
{
    const sm_type *before = was->metadata.schema, *after = c->to->metadata.schema;

    if (!has_same_partitions(&was->metadata, &c->to->metadata)) {
        return fail_schema(c, was, SM_STR("the partition columns are"), e);
    }
    for (int32_t i = 0; i < before->n_fields; i++) {
        const sm_field *f = &before->fields[i];
        const int32_t at = sm_type_find(after, f->name);
        if (at < 0 || !fits_field(f, &after->fields[at], a)) {
            return fail_schema(c, was, sm_arena_strf(a, "column \"%.*s\" is", SM_STR_ARG(f->name)),
                               e);
        }
    }
    return SM_OK;
}

static sm_status check_metadata(const changes *c, const sm_snapshot *of, sm_error *e)
{
    if (!sm_delta_has_feed(&of->metadata)) {
        const sm_status st = sm_fail(
            e, SM_INVALID, "the table did not record its changes in version %" PRId64, of->version);
        sm_error_todo(e, "It does from the version on that sets delta.enableChangeDataFeed.");
        return st;
    }
    sm_arena *a = sm_arena_new(c->to->budget);
    const sm_status st = check_schema(c, of, a, e);
    sm_arena_free(a);
    return st;
}

/* Checks the metadata that the table had from that version on. */
static sm_status check_version(const changes *c, int64_t version, sm_error *e)
{
    sm_snapshot *s = NULL;

    if (version == c->to->version) {
        return check_metadata(c, c->to, e);
    }
    SM_ASSERT(version >= c->from && version < c->to->version);
    SM_TRY(sm_snapshot_open_head(c->to->store, version, c->to->budget, &s, e));
    const sm_status st = check_metadata(c, s, e);
    sm_snapshot_release(s);
    return st;
}

/* ---- rows between two vectors ---------------------------------------------------------------- */

/* Leaves out all rows but those that one vector deletes and another does not. */
typedef struct between {
    sm_deletes deletes;                /* first: the reader knows this only */
    const sm_deletes *marked, *spared; /* spared may be NULL */
} between;

/* sm_deletes.read */
static sm_status between_read(const sm_deletes *d, int64_t n_rows, sm_budget *budget,
                              sm_block **out, sm_error *e)
{
    const between *b = (const between *)(const void *)d;
    sm_block *marked = NULL, *spared = NULL;

    SM_ASSERT(b->marked && n_rows >= 0);
    SM_TRY(b->marked->read(b->marked, n_rows, budget, &marked, e));
    const sm_status st = b->spared ? b->spared->read(b->spared, n_rows, budget, &spared, e) : SM_OK;
    if (st != SM_OK) {
        sm_block_release(marked);
        return st;
    }
    for (size_t i = 0; i < sm_bits_bytes(n_rows); i++) {
        marked->data[i] = (uint8_t)(~marked->data[i] | (spared ? spared->data[i] : 0));
    }
    sm_block_release(spared);
    *out = marked;
    return SM_OK;
}

/* ---- files ----------------------------------------------------------------------------------- */

static const sm_value *constants_of(const changes *c, const commit *k, const char *type,
                                    const sm_value *partition)
{
    sm_value *out = SM_NEW_ARRAY(c->arena, sm_value, c->n_partition + N_CONSTANTS);
    sm_value *more = out + c->n_partition;

    memcpy(out, partition, (size_t)c->n_partition * sizeof(*out));
    SM_ASSERT(partition || c->n_partition == 0);
    more[SAID] = type ? sm_value_str(sm_str_of(type)) : sm_value_null(&sm_type_string);
    more[VERSION] = sm_value_i64(k->version);
    more[TIMESTAMP] = (sm_value){.type = &sm_type_timestamp, .as.i = k->ms * 1000};
    return out;
}

/* Adds the rows of an action's file. type: what became of them; NULL: the file says so. */
static sm_status add_file(changes *c, const commit *k, const smi_action *action, const char *type,
                          sm_datafile **out, sm_error *e)
{
    sm_delta_file *f = SM_NEW(c->arena, sm_delta_file);
    smi_action kept = *action;

    SM_ASSERT((type == NULL) == (action->kind == SMI_ACTION_CDC));
    kept.path = sm_arena_str(c->arena, action->path);
    kept.dv = smi_vector_copy(action->dv, c->arena);
    SM_TRY(smi_file_of(c->to, &kept, c->partitions, c->arena, f, e));
    c->files = sm_arena_grow(c->arena, c->files, c->n_files, &c->cap_files, sizeof(*c->files));
    sm_datafile *file = &c->files[c->n_files];
    SM_TRY(smi_datafile_of(c->to, f, c->arena, file, e));
    file->within = k->within;
    file->constants = constants_of(c, k, type, f->partition);
    c->n_files++;
    if (out) {
        *out = file;
    }
    return SM_OK;
}

/* Adds the rows of a file that the vector of `marked` deletes, and that of `spared` does not. */
static sm_status add_between(changes *c, const commit *k, const smi_action *marked,
                             const smi_action *spared, const char *type, sm_error *e)
{
    between *b = SM_NEW(c->arena, between);
    sm_datafile *file = NULL;

    if (!marked->dv) {
        return SM_OK;
    }
    SM_TRY(add_file(c, k, marked, type, &file, e));
    *b = (between){.deletes = {.read = between_read}, .marked = file->deletes};
    if (spared->dv) {
        SM_TRY(add_file(c, k, spared, type, &file, e));
        b->spared = file->deletes;
        SM_ASSERT(c->n_files >= 2 &&
                  c->files[c->n_files - 1].store == c->files[c->n_files - 2].store);
        c->n_files--; /* it was made for its vector alone */
        file = &c->files[c->n_files - 1];
    }
    file->deletes = &b->deletes;
    file->n_rows = -1;
    return SM_OK;
}

/* ---- a commit -------------------------------------------------------------------------------- */

static bool is_zero(const sm_json *metrics, const char *key)
{
    return sm_str_is(sm_json_text(sm_json_get(metrics, key)), "0");
}

/* Does a commit say that it is a MERGE which changed no row? */
static bool is_idle_merge(const sm_json *info)
{
    const sm_json *metrics = sm_json_get(info, "operationMetrics");

    return metrics && sm_str_is(sm_json_text(sm_json_get(info, "operation")), "MERGE") &&
           is_zero(metrics, "numTargetRowsInserted") && is_zero(metrics, "numTargetRowsUpdated") &&
           is_zero(metrics, "numTargetRowsDeleted");
}

static sm_status take_action(void *ctx, const smi_action *action, sm_error *e)
{
    commit *k = ctx;
    const bool is_change = (action->kind == SMI_ACTION_ADD || action->kind == SMI_ACTION_REMOVE) &&
                           action->data_change;

    (void)e;
    if (action->kind == SMI_ACTION_METADATA) {
        k->has_metadata = true;
    } else if (action->kind == SMI_ACTION_COMMIT_INFO) {
        k->is_idle = is_idle_merge(action->info);
        if (!sm_json_i64(sm_json_get(action->info, "inCommitTimestamp"), &k->stamp_ms)) {
            k->stamp_ms = -1;
        }
    } else if (is_change || action->kind == SMI_ACTION_CDC) {
        k->has_cdc = k->has_cdc || action->kind == SMI_ACTION_CDC;
        k->actions =
            sm_arena_grow(k->arena, k->actions, k->n_actions, &k->cap_actions, sizeof(*k->actions));
        smi_action kept = *action; /* what it points to ends with the call */
        kept.stats_json = (sm_str){0};
        kept.n_tags = 0;
        kept.cluster_provider = (sm_str){0};
        k->actions[k->n_actions++] = smi_add_copy(&kept, k->arena);
    }
    return SM_OK;
}

static sm_status add_change_files(changes *c, const commit *k, sm_error *e)
{
    for (int64_t i = 0; i < k->n_actions; i++) {
        if (k->actions[i].kind == SMI_ACTION_CDC) {
            SM_TRY(add_file(c, k, &k->actions[i], NULL, NULL, e));
        }
    }
    return SM_OK;
}

/* The actions of one kind by their plain paths. */
static sm_map *by_path(const changes *c, const commit *k, smi_action_kind kind)
{
    sm_map *out = sm_map_new(k->arena);
    sm_buf text = {0};

    for (int64_t i = 0; i < k->n_actions; i++) {
        if (k->actions[i].kind == kind) {
            const sm_str plain = smi_path_plain(&c->to->home, k->actions[i].path, &text);
            *sm_map_at(out, plain) = &k->actions[i];
        }
    }
    sm_buf_release(&text);
    return out;
}

static const smi_action *action_of(const changes *c, const sm_map *by_path, sm_str path)
{
    sm_buf text = {0};
    const smi_action *out = sm_map_get(by_path, smi_path_plain(&c->to->home, path, &text));

    sm_buf_release(&text);
    return out;
}

/* Adds the files of one kind. Of a file that is removed and added too, those rows went that only
 * the vector of the add deletes, and those came that only that of the remove does. */
static sm_status add_files(changes *c, const commit *k, smi_action_kind kind, const char *type,
                           const sm_map *others, sm_error *e)
{
    for (int64_t i = 0; i < k->n_actions; i++) {
        const smi_action *action = &k->actions[i];
        if (action->kind != kind) {
            continue;
        }
        const smi_action *other = action_of(c, others, action->path);
        SM_TRY(other ? add_between(c, k, other, action, type, e)
                     : add_file(c, k, action, type, NULL, e));
    }
    return SM_OK;
}

static sm_status add_changed_files(changes *c, const commit *k, sm_error *e)
{
    SM_ASSERT(!k->has_cdc && !k->is_idle);
    const sm_map *adds = by_path(c, k, SMI_ACTION_ADD), *removes = by_path(c, k, SMI_ACTION_REMOVE);

    SM_TRY(add_files(c, k, SMI_ACTION_REMOVE, "delete", adds, e));
    return add_files(c, k, SMI_ACTION_ADD, "insert", removes, e);
}

static sm_status set_time(commit *k, const smi_version_time *t, sm_error *e)
{
    SM_ASSERT(t && t->version == k->version);
    k->ms = t->is_in_commit ? k->stamp_ms : t->ms;
    if (t->is_in_commit && k->stamp_ms < 0) {
        return sm_fail(e, SM_CORRUPT,
                       "version %" PRId64 " has no inCommitTimestamp, which the table has enabled",
                       k->version);
    }
    if (k->ms > INT64_MAX / 1000) {
        return sm_fail(e, SM_CORRUPT, "the time of version %" PRId64 " is out of range",
                       k->version);
    }
    return SM_OK;
}

static sm_status add_commit(changes *c, int64_t version, sm_error *e)
{
    commit k = {
        .version = version,
        .arena = sm_arena_new(c->to->budget),
        .stamp_ms = -1,
        .within = sm_arena_strf(c->arena, "the changes of version %" PRId64, version),
    };

    const smi_log_reading what = {
        .arena = k.arena, .budget = c->to->budget, .each = take_action, .ctx = &k};

    sm_status st = sm_check_cancel(c->to->budget, e);
    st = st == SM_OK ? smi_commit_read(c->to->store, version, &what, e) : st;
    st = st == SM_OK ? set_time(&k, &c->times[version - c->from], e) : st;
    if (st == SM_OK && k.has_metadata && version > c->from) { /* that of the first was checked */
        st = check_version(c, version, e);
    }
    if (st == SM_OK && k.has_cdc) {
        st = add_change_files(c, &k, e);
    } else if (st == SM_OK && !k.is_idle) {
        st = add_changed_files(c, &k, e);
    }
    sm_arena_free(k.arena);
    return st == SM_OK ? st : sm_within(e, st, "%.*s", SM_STR_ARG(k.within));
}

/* ---- the dataset ----------------------------------------------------------------------------- */

static bool is_taken(sm_str name)
{
    return sm_str_eq_nocase(name, SM_STR(SM_CHANGE_TYPE)) ||
           sm_str_eq_nocase(name, SM_STR(SM_CHANGE_VERSION)) ||
           sm_str_eq_nocase(name, SM_STR(SM_CHANGE_TIMESTAMP));
}

sm_status smi_check_change_names(const sm_type *schema, sm_error *e)
{
    for (int32_t i = 0; i < schema->n_fields; i++) {
        if (is_taken(schema->fields[i].name)) {
            const sm_status st = sm_fail(
                e, SM_SCHEMA, "column \"%.*s\" of the table has the name of one of its changes",
                SM_STR_ARG(schema->fields[i].name));
            sm_error_todo(e, "Rename it, or set delta.enableChangeDataFeed to false.");
            return st;
        }
    }
    return SM_OK;
}

/* Puts the columns of changes behind the stored and behind the constant columns. */
static sm_status add_columns(const changes *c, sm_dataset *d, int32_t **columns, sm_error *e)
{
    static const sm_field stored = {.name = {SM_CHANGE_TYPE, sizeof(SM_CHANGE_TYPE) - 1},
                                    .type = &sm_type_string,
                                    .is_nullable = true};
    static const sm_field constants[N_CONSTANTS] = {
        [SAID] = {.name = {"_change", 7}, .type = &sm_type_string, .is_nullable = true},
        [VERSION] = {.name = {SM_CHANGE_VERSION, sizeof(SM_CHANGE_VERSION) - 1},
                     .type = &sm_type_i64},
        [TIMESTAMP] = {.name = {SM_CHANGE_TIMESTAMP, sizeof(SM_CHANGE_TIMESTAMP) - 1},
                       .type = &sm_type_timestamp},
    };
    const int32_t n = d->schema->n_fields, n_stored = n - d->n_constants;
    sm_field *fields = SM_NEW_ARRAY(c->arena, sm_field, n + 1 + N_CONSTANTS);
    int32_t *places = SM_NEW_ARRAY(c->arena, int32_t, n + SM_CHANGES_COLUMNS);

    SM_TRY(smi_check_change_names(d->schema, e));
    for (int32_t i = 0; i < n; i++) {
        places[i] = (*columns)[i] + ((*columns)[i] >= n_stored ? 1 : 0);
        fields[i + (i >= n_stored ? 1 : 0)] = d->schema->fields[i];
    }
    fields[n_stored] = stored;
    memcpy(fields + n + 1, constants, sizeof(constants));
    places[n + SM_CHANGES_STORED] = n_stored;
    places[n + SM_CHANGES_SAID] = n + 1 + SAID;
    places[n + SM_CHANGES_VERSION] = n + 1 + VERSION;
    places[n + SM_CHANGES_TIMESTAMP] = n + 1 + TIMESTAMP;
    d->schema = sm_type_struct(c->arena, fields, n + 1 + N_CONSTANTS);
    d->n_constants += N_CONSTANTS;
    *columns = places;
    return SM_OK;
}

/* Finds the times of all versions, which the log must still have. */
static sm_status find_times(changes *c, sm_arena *a, sm_error *e)
{
    smi_version_time *times = NULL;
    int64_t n = 0, first = 0;

    SM_TRY(smi_version_times(c->to, a, &times, &n, e));
    while (first < n && times[first].version < c->from) {
        first++;
    }
    for (int64_t v = c->from; v <= c->to->version; v++) {
        const int64_t at = first + (v - c->from);
        if (at >= n || times[at].version != v) {
            const sm_status st =
                sm_fail(e, SM_NOT_FOUND,
                        "the log no longer has version %" PRId64 ", whose changes are "
                        "asked for",
                        v);
            sm_error_todo(e, "It was cleaned up. Ask for the changes since version %" PRId64 ".",
                          times[first < n ? first : n - 1].version);
            return st;
        }
    }
    c->times = times + first;
    return SM_OK;
}

static sm_status make_changes(changes *c, sm_arena *scratch, sm_dataset *out, int32_t **columns,
                              sm_error *e)
{
    SM_TRY(sm_delta_dataset(&c->to->metadata, c->arena, out, columns, e));
    SM_TRY(add_columns(c, out, columns, e));
    if (c->from <= c->to->version) {
        SM_TRY(find_times(c, scratch, e));
        SM_TRY(check_version(c, c->from, e));
    }
    for (int64_t v = c->from; v <= c->to->version; v++) {
        SM_TRY(add_commit(c, v, e));
    }
    out->files = c->files;
    out->n_files = c->n_files;
    return SM_OK;
}

sm_status sm_delta_changes(const sm_snapshot *to, int64_t from, sm_arena *a, sm_dataset *out,
                           int32_t **columns, sm_error *e)
{
    sm_arena *scratch = sm_arena_new(to->budget);
    changes c = {
        .to = to,
        .from = from,
        .arena = a,
        .partitions = smi_partitions_new(&to->metadata, a),
        .n_partition = to->metadata.n_partition_columns,
    };

    SM_ASSERT(from >= 0 && from <= to->version + 1);
    const sm_status st = make_changes(&c, scratch, out, columns, e);
    SM_ASSERT(st != SM_OK || c.n_files <= c.cap_files);
    sm_arena_free(scratch);
    return st == SM_OK ? st
                       : sm_within(e, st, "Delta table %.*s", SM_STR_ARG(sm_store_uri(to->store)));
}
