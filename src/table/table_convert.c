/* SPDX-License-Identifier: Apache-2.0
 *
 * table/table_convert.c: makes a Delta table of a folder of Parquet files, where they are. Called
 * by `smelt table convert`.
 *
 * Order    List the folder. Read the columns of all footers, several at a time, and unite them.
 *          Find the partition columns in the names of folders. Read the statistics of all footers
 *          by the table's columns. Commit version 0, CONVERT, by put-if-absent: who makes a table
 *          there at the same time wins or loses. No file is written but that commit.
 * Files    All that end in .parquet. Names that begin with '_' or '.', and what is in such folders,
 *          are hidden, but for folders of a partition ("_day=1"). Other files are counted. A folder
 *          that is a table itself is refused: its old files would come back to life.
 * Columns  United by name, in the order of their first appearance; a file that lacks one has NULL
 *          there. Fields of structs likewise. Other types must be equal: few readers of Delta read
 *          a file by a wider type. Unsigned integers are refused, since Delta has none, and readers
 *          differ in what they make of them.
 * Texts    An end of a range of texts that is not UTF-8, as some writers cut it, is left out.
 * Source   delta-io/delta, ConvertToDeltaCommand.scala (the record) */
#include "table/table_int.h"

#include <inttypes.h>

#include "base/json_write.h"
#include "base/random.h"
#include "base/text.h"
#include "base/time.h"

typedef struct converting {
    sm_store *store;
    const sm_convert *opts;
    const sm_exec_env *env;
    sm_arena *arena;
    sm_arena *of_slot[SMI_EACH_SLOTS]; /* what a thread reads lives in its own */
    sm_found_file *files;              /* uri: the key itself, for the names of folders */
    const sm_type **types;             /* of each file, as Delta has them */
    const sm_type *stored;             /* united */
    smi_hive hive;
    sm_delta_metadata metadata;
    sm_delta_add *adds;
    sm_converted *out;
} converting;

static sm_arena *arena_of(converting *k, int slot)
{
    if (!k->of_slot[slot]) {
        k->of_slot[slot] = sm_arena_new(NULL);
    }
    return k->of_slot[slot];
}

/* ---- which files ----------------------------------------------------------------------------- */

/* Does the name hide what it names? Folders of a partition do not. */
static bool is_hidden(sm_str name, bool is_folder)
{
    const bool has_mark = name.len == 0 || name.data[0] == '_' || name.data[0] == '.';

    return has_mark && !(is_folder && memchr(name.data, '=', name.len));
}

/* Is it, or a folder on the way to it, hidden? *is_log: the folder is that of a table's log. */
static bool is_left_out(sm_str key, bool *is_log)
{
    size_t start = 0;
    bool is = false;

    *is_log = false;
    for (size_t i = 0; i <= key.len; i++) {
        if (i < key.len && key.data[i] != '/') {
            continue;
        }
        const sm_str name = {key.data + start, i - start};
        *is_log = *is_log || (i < key.len && sm_str_is(name, "_delta_log"));
        is = is || is_hidden(name, i < key.len);
        start = i + 1;
    }
    return is;
}

static sm_status take_entry(converting *k, const sm_entry *entry, sm_error *e)
{
    bool is_log = false;

    if (is_left_out(entry->key, &is_log)) {
        if (is_log) {
            const sm_status st =
                sm_fail(e, SM_EXISTS, "the folder has a table already: it has the file %.*s",
                        SM_STR_ARG(entry->key));
            sm_error_todo(e, "A folder within it that is a table is to be moved away first.");
            return st;
        }
        return SM_OK;
    }
    if (!sm_str_ends(entry->key, SM_STR(".parquet"))) {
        k->out->n_others++;
        return SM_OK;
    }
    SM_ASSERT(entry->key.len > 0 && !entry->is_folder);
    k->files[k->out->n_files++] = (sm_found_file){
        .name = entry->key,
        .file = {.uri = entry->key,
                 .store = k->store,
                 .key = entry->key,
                 .size_bytes = entry->size_bytes,
                 .modified_us = entry->modified_us},
    };
    k->out->bytes += (int64_t)entry->size_bytes;
    return SM_OK;
}

static sm_status find_files(converting *k, sm_error *e)
{
    sm_entry *entries = NULL;
    int64_t n = 0;

    SM_TRY(sm_store_list(k->store, SM_STR(""), false, k->arena, &entries, &n, e));
    k->files = SM_NEW_ARRAY(k->arena, sm_found_file, n + 1);
    for (int64_t i = 0; i < n; i++) {
        SM_TRY(take_entry(k, &entries[i], e));
    }
    if (k->out->n_files == 0) {
        const sm_status st = sm_fail(e, SM_NOT_FOUND, "there are no Parquet files in %.*s",
                                     SM_STR_ARG(sm_store_uri(k->store)));
        sm_error_todo(e, "Their names must end in .parquet.");
        return st;
    }
    return SM_OK;
}

/* ---- columns --------------------------------------------------------------------------------- */

static sm_status in_file(const converting *k, int64_t i, sm_status st, sm_error *e)
{
    return sm_within(e, st, "file %.*s", SM_STR_ARG(k->files[i].name));
}

/* Opens a file of which the footer is read. */
static sm_status open_footer(const converting *k, int64_t i, sm_blob **out, sm_error *e)
{
    const sm_format *parquet = sm_format_named(SM_STR("parquet"));
    const sm_status st = sm_blob_open_tail(k->store, k->files[i].name, k->files[i].file.size_bytes,
                                           parquet->tail_bytes, out, e);

    return in_file(k, i, st, e);
}

/* smi_each: the columns of one footer. */
static sm_status read_columns(void *ctx, int slot, int64_t i, sm_error *e)
{
    converting *k = ctx;
    const sm_format *parquet = sm_format_named(SM_STR("parquet"));
    sm_arena *a = arena_of(k, slot);
    const sm_type *columns = NULL;
    sm_blob *blob = NULL;

    void *opts = sm_arena_alloc(a, parquet->opts_bytes + 1);
    SM_TRY(sm_options_default(parquet->options, opts, e));
    SM_TRY(open_footer(k, i, &blob, e));
    const sm_status st = sm_format_infer(parquet, blob, opts, a, &columns, e);
    sm_blob_close(blob);
    SM_TRY(in_file(k, i, st, e));
    for (int32_t c = 0; c < columns->n_fields; c++) {
        if (sm_type_widen(a, columns->fields[c].type) != columns->fields[c].type) {
            return in_file(k, i,
                           sm_fail(e, SM_UNSUPPORTED,
                                   "column %.*s has unsigned integers, which Delta does not have",
                                   SM_STR_ARG(columns->fields[c].name)),
                           e);
        }
    }
    SM_ASSERT(columns->id == SM_TYPE_STRUCT && !k->types[i]); /* each file once */
    k->types[i] = columns;
    return SM_OK;
}

static int32_t find_field(const sm_type *t, sm_str name)
{
    for (int32_t i = 0; i < t->n_fields; i++) {
        if (sm_str_eq(t->fields[i].name, name)) {
            return i;
        }
    }
    return -1;
}

/* Both as one; NULL where they are different types. A column of which a file has only NULL, without
 * a type, takes the other's. */
static const sm_type *unite(sm_arena *a, const sm_type *x, const sm_type *y)
{
    if (sm_type_eq(x, y) || y->id == SM_TYPE_NULL) {
        return x;
    }
    if (x->id != SM_TYPE_STRUCT || y->id != SM_TYPE_STRUCT) {
        return x->id == SM_TYPE_NULL ? y : NULL;
    }
    sm_field *fields = SM_NEW_ARRAY(a, sm_field, x->n_fields + y->n_fields + 1);
    int32_t n = x->n_fields;
    memcpy(fields, x->fields, (size_t)n * sizeof(*fields));
    for (int32_t i = 0; i < y->n_fields; i++) {
        const int32_t at = find_field(x, y->fields[i].name);
        if (at < 0) {
            fields[n++] = y->fields[i];
            continue;
        }
        fields[at].type = unite(a, fields[at].type, y->fields[i].type);
        if (!fields[at].type) {
            return NULL;
        }
    }
    return sm_type_struct(a, fields, n);
}

/* The columns of all files; from[i] is the file that gave field i. */
static sm_status unite_columns(converting *k, const sm_type **out, sm_error *e)
{
    int64_t n_most = 0;
    for (int64_t i = 0; i < k->out->n_files; i++) {
        n_most += k->types[i]->n_fields;
    }
    sm_field *fields = SM_NEW_ARRAY(k->arena, sm_field, n_most + 1);
    int64_t *from = SM_NEW_ARRAY(k->arena, int64_t, n_most + 1);
    sm_map *at = sm_map_new(k->arena); /* name -> its field */
    int32_t n = 0;

    for (int64_t i = 0; i < k->out->n_files; i++) {
        for (int32_t c = 0; c < k->types[i]->n_fields; c++) {
            const sm_field *f = &k->types[i]->fields[c];
            void **place = sm_map_at(at, f->name);
            if (!*place) {
                fields[n] = *f;
                from[n] = i;
                *place = &fields[n++];
                continue;
            }
            sm_field *there = *place;
            const sm_type *both = unite(k->arena, there->type, f->type);
            if (!both) {
                return sm_fail(e, SM_SCHEMA, "column %.*s is %.*s in %.*s and %.*s in %.*s",
                               SM_STR_ARG(f->name), SM_STR_ARG(sm_type_text(there->type, k->arena)),
                               SM_STR_ARG(k->files[from[there - fields]].name),
                               SM_STR_ARG(sm_type_text(f->type, k->arena)),
                               SM_STR_ARG(k->files[i].name));
            }
            there->type = both;
        }
    }
    SM_ASSERT(n <= n_most);
    *out = sm_type_struct(k->arena, fields, n);
    return SM_OK;
}

/* ---- partitions ------------------------------------------------------------------------------ */

/* Gives the columns in folders the types and the order that the user says. */
static sm_status declare(converting *k, sm_error *e)
{
    const sm_str said = k->opts->partition_by;
    const sm_type *t = NULL;

    if (said.len == 0) {
        return SM_OK;
    }
    const sm_str sql = sm_arena_strf(k->arena, "STRUCT(%.*s)", SM_STR_ARG(said));
    if (sm_type_parse(sql, k->arena, &t, e) != SM_OK) {
        const sm_status st =
            sm_fail(e, SM_USAGE, "\"%.*s\" are no columns with types", SM_STR_ARG(said));
        sm_error_todo(e, "Write them like 'shop INTEGER, day DATE'.");
        return st;
    }
    smi_hive_column *columns = SM_NEW_ARRAY(k->arena, smi_hive_column, t->n_fields + 1);
    for (int32_t i = 0; i < t->n_fields; i++) {
        int32_t at = 0;
        while (at < k->hive.n && !sm_str_eq(k->hive.columns[at].field.name, t->fields[i].name)) {
            at++;
        }
        if (at == k->hive.n) {
            return sm_fail(e, SM_INVALID, "the folders have no column %.*s",
                           SM_STR_ARG(t->fields[i].name));
        }
        columns[i] = k->hive.columns[at];
        columns[i].field.type = t->fields[i].type;
    }
    if (t->n_fields < k->hive.n) {
        return sm_fail(e, SM_INVALID, "the folders have %d columns, and %d are declared", k->hive.n,
                       t->n_fields);
    }
    k->hive = (smi_hive){.columns = columns, .n = t->n_fields};
    return SM_OK;
}

static sm_status find_partitions(converting *k, sm_error *e)
{
    SM_TRY(smi_hive_find(k->files, k->out->n_files, true, k->arena, &k->hive, e));
    SM_TRY(declare(k, e));
    for (int32_t i = 0; i < k->hive.n; i++) {
        const sm_field *f = &k->hive.columns[i].field;
        if (sm_type_find(k->stored, f->name) >= 0) {
            return sm_fail(e, SM_SCHEMA,
                           "column %.*s is in the files and in the names of their folders",
                           SM_STR_ARG(f->name));
        }
        if (sm_type_is_nested(f->type->id) || sm_type_widen(k->arena, f->type) != f->type) {
            return sm_fail(e, SM_UNSUPPORTED, "no table is partitioned by a %.*s",
                           SM_STR_ARG(sm_type_text(f->type, k->arena)));
        }
    }
    return SM_OK;
}

/* ---- the table ------------------------------------------------------------------------------- */

static sm_status make_metadata(converting *k, sm_error *e)
{
    const int32_t n = k->stored->n_fields + k->hive.n;
    sm_field *fields = SM_NEW_ARRAY(k->arena, sm_field, n + 1);
    sm_str *names = SM_NEW_ARRAY(k->arena, sm_str, k->hive.n + 1);
    char uuid[SM_UUID_BYTES];

    memcpy(fields, k->stored->fields, (size_t)k->stored->n_fields * sizeof(*fields));
    for (int32_t i = 0; i < k->hive.n; i++) {
        fields[k->stored->n_fields + i] = k->hive.columns[i].field;
        names[i] = k->hive.columns[i].field.name;
    }
    if (k->stored->n_fields == 0) {
        return sm_fail(e, SM_UNSUPPORTED, "the files have no columns");
    }
    sm_uuid(uuid);
    k->metadata = (sm_delta_metadata){
        .id = sm_arena_str(k->arena, sm_str_of(uuid)),
        .partition_columns = names,
        .n_partition_columns = k->hive.n,
        .created_ms = sm_now_us() / 1000,
    };
    return smi_schema_new(sm_type_struct(k->arena, fields, n), k->arena, &k->metadata.schema, e);
}

static bool is_utf8(sm_value v)
{
    return v.type->id != SM_TYPE_STRING || sm_utf8_check(v.as.s.data, v.as.s.len) == v.as.s.len;
}

/* One range a field of the table: those of the footer, nothing of partition columns. */
static const sm_range *ranges_of(const converting *k, const sm_written *said, sm_arena *a)
{
    const int32_t n = k->metadata.schema->n_fields;
    sm_range *out = SM_NEW_ARRAY(a, sm_range, n + 1);

    SM_ASSERT(said->n_ranges == n - k->hive.n);
    for (int32_t i = 0; i < n; i++) {
        out[i] = i < said->n_ranges ? said->ranges[i] : (sm_range){.n_rows = said->n_rows};
        out[i].has_min = out[i].has_min && is_utf8(out[i].min);
        out[i].has_max = out[i].has_max && is_utf8(out[i].max);
    }
    return out;
}

static sm_status read_partition(converting *k, int64_t i, sm_arena *a, sm_error *e)
{
    sm_value *values = SM_NEW_ARRAY(a, sm_value, k->hive.n + 1);
    sm_str unused = {0};

    for (int32_t c = 0; c < k->hive.n; c++) {
        SM_TRY(smi_hive_value(&k->hive, c, k->files[i].file.uri, a, &values[c], e));
        values[c].type = k->metadata.schema->fields[k->stored->n_fields + c].type;
    }
    k->adds[i].partition = values;
    return sm_delta_partition_folder(&k->metadata, values, a, &unused,
                                     e); /* can the log hold it? */
}

/* smi_each: the statistics of one footer, and the file's partition. */
static sm_status read_statistics(void *ctx, int slot, int64_t i, sm_error *e)
{
    converting *k = ctx;
    const sm_type *schema = k->metadata.schema;
    sm_arena *a = arena_of(k, slot);
    const sm_type *stored = sm_type_struct(a, schema->fields, k->stored->n_fields);
    sm_blob *blob = NULL;
    sm_written said = {0};

    SM_TRY(in_file(k, i, read_partition(k, i, a, e), e));
    SM_TRY(open_footer(k, i, &blob, e));
    const sm_status st = sm_format_named(SM_STR("parquet"))->look(blob, stored, a, &said, e);
    sm_blob_close(blob);
    SM_TRY(in_file(k, i, st, e));
    k->adds[i].key = k->files[i].name;
    k->adds[i].size_bytes = said.size_bytes;
    k->adds[i].modified_ms = k->files[i].file.modified_us / 1000;
    k->adds[i].n_rows = said.n_rows;
    k->adds[i].ranges = ranges_of(k, &said, a);
    return SM_OK;
}

static sm_str partition_json(const converting *k)
{
    sm_buf text = {0};
    sm_json_writer w = {.out = &text};

    sm_json_begin_array(&w);
    for (int32_t i = 0; i < k->hive.n; i++) {
        sm_json_put_text(&w, k->metadata.partition_columns[i]);
    }
    sm_json_end_array(&w);
    const sm_str out = sm_arena_str(k->arena, sm_buf_str(&text));
    sm_buf_release(&text);
    return out;
}

static sm_status commit(converting *k, sm_error *e)
{
    const sm_delta_detail parameters[] = {
        {SM_STR("numFiles"), sm_value_i64(k->out->n_files)},
        {SM_STR("partitionedBy"), sm_value_str(partition_json(k))},
        {SM_STR("collectStats"), {.type = &sm_type_bool, .as.b = true}},
        {SM_STR("sourceFormat"), sm_value_str(SM_STR("parquet"))},
    };
    const sm_delta_detail metrics[] = {
        {SM_STR("numConvertedFiles"), sm_value_i64(k->out->n_files)}};
    const sm_delta_commit record = {
        .operation = SM_STR("CONVERT"),
        .parameters = parameters,
        .n_parameters = SM_COUNT(parameters),
        .metrics = metrics,
        .n_metrics = SM_COUNT(metrics),
        .metadata = &k->metadata,
        .adds = k->adds,
        .n_adds = k->out->n_files,
    };
    sm_delta_prepared unused;

    if (k->opts->is_dry) {
        return sm_delta_prepare(NULL, &record, k->arena, &unused, e);
    }
    return sm_delta_commit_write(k->store, NULL, &record, k->env->budget, &k->out->version, e);
}

/* ---- the door -------------------------------------------------------------------------------- */

static sm_status check_free(const converting *k, sm_error *e)
{
    bool is_table = false;

    SM_TRY(smi_table_check_place(k->store, e));
    SM_TRY(sm_delta_exists(k->store, &is_table, e));
    return is_table ? sm_fail(e, SM_EXISTS, "%.*s is a Delta table already",
                              SM_STR_ARG(sm_store_uri(k->store)))
                    : SM_OK;
}

static sm_status convert(converting *k, sm_error *e)
{
    SM_TRY(check_free(k, e));
    if (!k->opts->is_dry) {
        SM_TRY(sm_store_check_put(k->store, e));
    }
    SM_TRY(find_files(k, e));
    k->types = SM_NEW_ARRAY(k->arena, const sm_type *, k->out->n_files);
    SM_TRY(smi_each(k->out->n_files, read_columns, k, k->env->budget, e));
    SM_TRY(unite_columns(k, &k->stored, e));
    SM_TRY(find_partitions(k, e));
    SM_TRY(make_metadata(k, e));
    k->adds = SM_NEW_ARRAY(k->arena, sm_delta_add, k->out->n_files);
    SM_TRY(smi_each(k->out->n_files, read_statistics, k, k->env->budget, e));
    for (int64_t i = 0; i < k->out->n_files; i++) {
        k->out->n_rows += k->adds[i].n_rows;
    }
    k->out->schema = k->metadata.schema;
    k->out->partition_columns = k->metadata.partition_columns;
    k->out->n_partition_columns = k->metadata.n_partition_columns;
    return commit(k, e);
}

sm_status sm_table_convert(sm_store *folder, const sm_convert *opts, const sm_exec_env *env,
                           sm_arena *a, sm_converted *out, sm_error *e)
{
    converting k = {.store = folder, .opts = opts, .env = env, .arena = a, .out = out};

    *out = (sm_converted){.version = -1};
    const sm_status st = convert(&k, e);
    for (int i = 0; i < SMI_EACH_SLOTS; i++) {
        sm_arena_free(k.of_slot[i]);
    }
    SM_ASSERT(st != SM_OK || (out->version == 0) == !opts->is_dry);
    return sm_within(e, st, "conversion of %.*s", SM_STR_ARG(sm_store_uri(folder)));
}
