/* SPDX-License-Identifier: Apache-2.0
 *
 * table/table_alter.c: ALTER TABLE: other columns, properties or constraints by one commit of
 * metadata. Called by `smelt table alter`, and by table_dml.c for the statement.
 *
 * Order    Open the newest version. Do the changes one after the other, in memory, each on what the
 *          ones before it have made (columns: table_alter_column.c). Give new columns of a mapped
 *          table their ids. Check new constraints against the rows that are there. Publish.
 * Features A change that needs a table feature turns it on: the protocol is raised, and the caller
 *          is told. Which property turns on which feature: properties.def of delta. Column mapping
 *          and type widening are never turned on by the way, for old readers lose the table: the
 *          user says so.
 * Others   A commit that changed metadata or protocol meanwhile is a conflict, as for every commit.
 *          Rows that others add or remove meanwhile are none, unless a constraint was checked
 *          against the rows: then all rows were read. Who commits after this one finds that the
 *          metadata changed, and begins anew with it.
 * Record   With the operations that Spark writes; ALTER TABLE where changes of several kinds are
 *          one commit. */
#include "table/table_int.h"

#include <inttypes.h>

#include "base/json_write.h"
#include "base/random.h"
#include "base/text.h"

#define CONSTRAINT "delta.constraints."
#define MAPPING    "delta.columnMapping.mode"

/* ---- properties ------------------------------------------------------------------------------ */

void smi_alter_feature(smi_altering *t, const char *feature)
{
    if (sm_delta_has_feature(&t->protocol, feature)) {
        return;
    }
    t->protocol = sm_delta_protocol_with(&t->protocol, feature, t->arena);
    t->features =
        sm_arena_grow(t->arena, t->features, t->n_features, &t->cap_features, sizeof(*t->features));
    t->features[t->n_features++] = sm_str_of(feature);
    t->is_changed = true;
}

/* The place of a property, whose name may be in any case; −1: it is not set. */
static int32_t find_property(const smi_altering *t, sm_str key)
{
    for (int32_t i = 0; i < t->m.n_config; i++) {
        if (sm_str_eq_nocase(t->m.config[i].key, key)) {
            return i;
        }
    }
    return -1;
}

static void put_property(smi_altering *t, sm_str key, sm_str value)
{
    const int32_t at = find_property(t, key);
    sm_pair *config = SM_NEW_ARRAY(t->arena, sm_pair, t->m.n_config + 1);

    SM_ASSERT(key.len > 0 && at < t->m.n_config);
    for (int32_t i = 0; i < t->m.n_config; i++) {
        config[i] = t->m.config[i];
    }
    if (at >= 0) {
        config[at].value = value;
    } else {
        config[t->m.n_config++] = (sm_pair){key, value};
    }
    t->m.config = config;
    t->is_changed = true;
}

static void take_property(smi_altering *t, int32_t at)
{
    sm_pair *config = SM_NEW_ARRAY(t->arena, sm_pair, t->m.n_config);
    int32_t n = 0;

    SM_ASSERT(at >= 0 && at < t->m.n_config);
    for (int32_t i = 0; i < t->m.n_config; i++) {
        if (i != at) {
            config[n++] = t->m.config[i];
        }
    }
    SM_ASSERT(n == t->m.n_config - 1);
    t->m.config = config;
    t->m.n_config = n;
    t->is_changed = true;
}

static sm_status set_mapping(smi_altering *t, sm_str key, sm_str value, sm_error *e)
{
    const bool is_mapped = sm_delta_is_mapped(&t->protocol, &t->m);
    const bool is_wanted = sm_str_eq_nocase(value, SM_STR("name"));

    if (is_wanted && !is_mapped) {
        smi_alter_feature(t, "columnMapping");
        sm_delta_map_by_name(&t->m, t->arena);
        t->is_changed = true;
        return SM_OK;
    }
    const int32_t at = find_property(t, key);
    SM_ASSERT(at >= 0 || !is_mapped);
    if (is_mapped && !sm_str_eq_nocase(t->m.config[at].value, value)) {
        return sm_fail(e, SM_DENIED,
                       "the table maps its columns by \"%.*s\", which does not change: its files "
                       "have names of their own",
                       SM_STR_ARG(t->m.config[at].value));
    }
    return SM_OK;
}

/* A table that tracks its rows says under which names its files have the ids of rows that moved,
 * and their versions. No column ever has such a name. */
static void name_row_columns(smi_altering *t)
{
    static const struct {
        const char *key, *name;
    } columns[] = {
        {"delta.rowTracking.materializedRowIdColumnName", "_row-id-col-"},
        {"delta.rowTracking.materializedRowCommitVersionColumnName", "_row-commit-version-col-"},
    };
    char uuid[SM_UUID_BYTES];

    for (int i = 0; i < SM_COUNT(columns); i++) {
        const sm_str key = sm_str_of(columns[i].key);
        if (find_property(t, key) < 0) {
            sm_uuid(uuid);
            put_property(t, key, sm_arena_strf(t->arena, "%s%s", columns[i].name, uuid));
        }
    }
}

sm_status smi_alter_property(smi_altering *t, sm_str key, sm_str value, sm_error *e)
{
    const char *feature = NULL;
    const int32_t at = find_property(t, key);

    SM_TRY(sm_delta_check_property(key, value, &feature, e));
    if (sm_str_eq_nocase(key, SM_STR(MAPPING))) {
        return set_mapping(t, key, value, e);
    }
    if (feature) {
        smi_alter_feature(t, feature);
    }
    if (feature && sm_str_is(sm_str_of(feature), "rowTracking")) {
        name_row_columns(t);
    }
    if (at < 0 || !sm_str_eq(t->m.config[at].value, value)) {
        put_property(t, key, value);
    }
    return SM_OK;
}

/* A name that is not there, with the nearest that is. `prefix`: what all of them begin with. */
static sm_status fail_not_set(const smi_altering *t, const char *what, const char *prefix,
                              sm_str name, sm_error *e)
{
    sm_str *names = SM_NEW_ARRAY(t->arena, sm_str, t->m.n_config + 1);
    int32_t n = 0;

    for (int32_t i = 0; i < t->m.n_config; i++) {
        const sm_str key = t->m.config[i].key;
        if (sm_str_starts(key, sm_str_of(prefix))) {
            const size_t skip = strlen(prefix);
            names[n++] = sm_arena_str(t->arena, (sm_str){key.data + skip, key.len - skip});
        }
    }
    const char *nearest = sm_nearest_name(name, names, n);
    const sm_status st =
        sm_fail(e, SM_NAME, "the table has no %s \"%.*s\"", what, SM_STR_ARG(name));
    if (nearest) {
        sm_error_todo(e, "Did you mean \"%s\"?", nearest);
    }
    return st;
}

static sm_status unset_property(smi_altering *t, const sm_alter *x, sm_error *e)
{
    const int32_t at = find_property(t, x->name);

    if (at < 0) {
        return x->if_exists ? SM_OK : fail_not_set(t, "property", "", x->name, e);
    }
    const sm_str key = t->m.config[at].key;
    const char *unused = NULL;
    SM_ASSERT(key.len == x->name.len);
    /* Only what is never changed this way stays; a value that means nothing may go. */
    if (sm_delta_check_property(key, t->m.config[at].value, &unused, NULL) == SM_DENIED) {
        return sm_delta_check_property(key, t->m.config[at].value, &unused, e);
    }
    if (sm_str_starts(key, SM_STR("delta.columnMapping.")) &&
        sm_delta_is_mapped(&t->protocol, &t->m)) {
        return sm_fail(e, SM_DENIED,
                       "the table maps its columns, so \"%.*s\" stays: its files have names of "
                       "their own",
                       SM_STR_ARG(key));
    }
    take_property(t, at);
    return SM_OK;
}

/* ---- constraints ----------------------------------------------------------------------------- */

static sm_status add_constraint(smi_altering *t, const sm_alter *x, sm_error *e)
{
    const sm_str key =
        sm_arena_strf(t->arena, CONSTRAINT "%.*s", SM_STR_ARG(sm_text_lower(x->name, t->arena)));
    const sm_sql sql = {.name = SM_STR("constraint"), .text = x->text};
    const sm_expr *unused = NULL;

    if (find_property(t, key) >= 0) {
        return sm_fail(e, SM_EXISTS, "the table has a constraint \"%.*s\" already",
                       SM_STR_ARG(x->name));
    }
    SM_TRY(sm_query_expr_spark(&sql, t->m.schema, &sm_type_bool, t->arena, &unused, e));
    smi_alter_feature(t, "checkConstraints");
    put_property(t, key, x->text);
    return SM_OK;
}

static sm_status drop_constraint(smi_altering *t, const sm_alter *x, sm_error *e)
{
    const int32_t at =
        find_property(t, sm_arena_strf(t->arena, CONSTRAINT "%.*s", SM_STR_ARG(x->name)));

    if (at < 0) {
        return x->if_exists ? SM_OK : fail_not_set(t, "constraint", CONSTRAINT, x->name, e);
    }
    take_property(t, at);
    return SM_OK;
}

/* The one row that a plan gives; NULL: it gave none. */
static sm_status run_for_row(const smi_altering *t, const sm_plan_node *root,
                             const sm_exec_env *env, sm_batch **out, sm_error *e)
{
    sm_plan *plan = NULL;
    sm_batch **rows = NULL;
    int64_t n = 0;

    *out = NULL;
    SM_TRY(sm_plan_finish(root, t->arena, &plan, e));
    SM_TRY(sm_exec_collect(plan, env, t->arena, &rows, &n, NULL, e));
    for (int64_t i = 0; i < n; i++) {
        if (!*out && rows[i]->n_rows > 0) {
            *out = rows[i];
        } else {
            sm_batch_release(rows[i]);
        }
    }
    return SM_OK;
}

/* The rows that are there for which the condition is not TRUE. */
static sm_status rows_against(const smi_altering *t, const sm_expr *holds, const sm_plan_node **out,
                              sm_error *e)
{
    sm_dataset *d = SM_NEW(t->arena, sm_dataset);
    const sm_value yes = {.type = &sm_type_bool, .as.b = true};
    const sm_expr *const sides[] = {holds, sm_expr_constant(yes, t->arena)};
    const sm_expr *is_bad = NULL;
    int32_t *columns = NULL;

    SM_TRY(sm_snapshot_dataset(t->base, t->arena, d, &columns, e));
    const sm_relation relation = {.dataset = d, .label = sm_store_uri(sm_snapshot_store(t->base))};
    SM_TRY(sm_expr_call("is_distinct", sides, 2, t->arena, &is_bad, e));
    return sm_plan_filter(smi_scan_in_order(&relation, columns, t->m.schema->n_fields, t->arena),
                          is_bad, t->arena, out, e);
}

static sm_status count_rows(const smi_altering *t, const sm_plan_node *in, const sm_exec_env *env,
                            int64_t *out, sm_error *e)
{
    sm_agg_item item = {0};
    const sm_plan_node *counted = NULL;
    sm_batch *row = NULL;

    SM_TRY(sm_expr_call("count", NULL, 0, t->arena, &item.call, e));
    SM_TRY(sm_plan_aggregate(in, NULL, 0, &item, 1, t->arena, &counted, e));
    SM_TRY(run_for_row(t, counted, env, &row, e));
    SM_ENSURE(row != NULL); /* without keys an aggregate gives one row */
    *out = sm_column_value(&row->columns[0], 0).as.i;
    sm_batch_release(row);
    return SM_OK;
}

/* Do the rows that are there keep the constraint? */
static sm_status check_rows(const smi_altering *t, const sm_alter *x, const sm_exec_env *env,
                            sm_error *e)
{
    const sm_sql sql = {.name = SM_STR("constraint"), .text = x->text};
    const sm_plan_node *bad = NULL;
    const sm_expr *holds = NULL;
    sm_batch *row = NULL;
    int64_t n = 0;
    char rows[SM_COUNTED_TEXT_BYTES];

    SM_TRY(sm_query_expr_spark(&sql, t->m.schema, &sm_type_bool, t->arena, &holds, e));
    SM_TRY(rows_against(t, holds, &bad, e));
    SM_TRY(run_for_row(t, sm_plan_limit(bad, 1, 0, t->arena), env, &row, e));
    if (!row) {
        return SM_OK;
    }
    SM_ASSERT(row->n_rows == 1 && row->n_columns == t->m.schema->n_fields);
    const sm_str first = smi_rule_row(holds, row, 0, t->arena);
    sm_batch_release(row);
    SM_TRY(count_rows(t, bad, env, &n, e));
    sm_format_counted(n, "row", rows);
    const sm_status st = sm_fail(e, SM_INVALID,
                                 "constraint \"%.*s\" (%.*s) does not hold for %s that the table "
                                 "has; of the first: %.*s",
                                 SM_STR_ARG(x->name), SM_STR_ARG(x->text), rows, SM_STR_ARG(first));
    sm_error_todo(e, "Correct these rows, or delete them, before the constraint is added.");
    return st;
}

/* ---- all changes ----------------------------------------------------------------------------- */

static sm_status alter_one(smi_altering *t, const sm_alter *x, sm_error *e)
{
    switch (x->kind) {
    case SM_ALTER_SET_PROPERTY:
        return smi_alter_property(t, x->name, x->text, e);
    case SM_ALTER_UNSET_PROPERTY:
        return unset_property(t, x, e);
    case SM_ALTER_ADD_CONSTRAINT:
        return add_constraint(t, x, e);
    case SM_ALTER_DROP_CONSTRAINT:
        return drop_constraint(t, x, e);
    default:
        return smi_alter_column(t, x, e);
    }
}

/* A constraint is checked against the rows with the columns that they have. */
static sm_status check_constraints(const smi_altering *t, const sm_alter *items, int32_t n,
                                   const sm_exec_env *env, sm_error *e)
{
    for (int32_t i = 0; i < n; i++) {
        if (items[i].kind != SM_ALTER_ADD_CONSTRAINT) {
            continue;
        }
        if (t->m.schema != sm_snapshot_metadata(t->base)->schema) {
            const sm_status st = sm_fail(
                e, SM_UNSUPPORTED, "a constraint is not added together with a change of columns");
            sm_error_todo(e, "Do it before or after that, by a command of its own.");
            return st;
        }
        SM_TRY(check_rows(t, &items[i], env, e));
    }
    return SM_OK;
}

static bool adds_constraint(const sm_alter *items, int32_t n)
{
    bool adds = false;

    for (int32_t i = 0; i < n && !adds; i++) {
        adds = items[i].kind == SM_ALTER_ADD_CONSTRAINT;
    }
    return adds;
}

/* ---- the commit ------------------------------------------------------------------------------ */

/* Spark's name for a commit of one kind of change. */
static const char *operation_of(sm_alter_kind kind)
{
    switch (kind) {
    case SM_ALTER_ADD_COLUMN:
        return "ADD COLUMNS";
    case SM_ALTER_RENAME_COLUMN:
        return "RENAME COLUMN";
    case SM_ALTER_DROP_COLUMN:
        return "DROP COLUMNS";
    case SM_ALTER_SET_PROPERTY:
        return "SET TBLPROPERTIES";
    case SM_ALTER_UNSET_PROPERTY:
        return "UNSET TBLPROPERTIES";
    case SM_ALTER_ADD_CONSTRAINT:
        return "ADD CONSTRAINT";
    case SM_ALTER_DROP_CONSTRAINT:
        return "DROP CONSTRAINT";
    default:
        return "CHANGE COLUMN";
    }
}

/* The words of all changes, each once, as a JSON list. */
static sm_str words_of(const sm_alter *items, int32_t n, sm_arena *a)
{
    sm_buf text = {0};
    sm_json_writer w = {.out = &text};

    sm_json_begin_array(&w);
    for (int32_t i = 0; i < n; i++) {
        if (i == 0 || items[i].sql.data != items[i - 1].sql.data) {
            sm_json_put_text(&w, items[i].sql);
        }
    }
    sm_json_end_array(&w);
    const sm_str out = sm_arena_str(a, sm_buf_str(&text));
    sm_buf_release(&text);
    return out;
}

static sm_delta_commit make_record(const smi_altering *t, const sm_alter *items, int32_t n)
{
    sm_delta_detail *details = SM_NEW(t->arena, sm_delta_detail);
    const char *operation = operation_of(items[0].kind);
    bool is_one = true;

    SM_ASSERT(n > 0 && t->m.schema->n_fields > 0);
    for (int32_t i = 1; i < n; i++) {
        is_one = is_one && items[i].sql.data == items[0].sql.data;
    }
    *details = (sm_delta_detail){SM_STR("changes"), sm_value_str(words_of(items, n, t->arena))};
    return (sm_delta_commit){
        .operation = is_one ? sm_str_of(operation) : SM_STR("ALTER TABLE"),
        .parameters = details,
        .n_parameters = 1,
        .isolation = adds_constraint(items, n) ? SM_READ_ALL : SM_READ_NOTHING,
        .metadata = &t->m,
        .protocol = t->n_features > 0 ? &t->protocol : NULL,
    };
}

/* ---- the door -------------------------------------------------------------------------------- */

static sm_status alter_all(smi_altering *t, const sm_alter *items, int32_t n,
                           const sm_exec_env *env, sm_error *e)
{
    SM_TRY(sm_delta_check_write(t->base, e));
    for (int32_t i = 0; i < n; i++) {
        SM_TRY(alter_one(t, &items[i], e));
    }
    if (t->m.schema != sm_snapshot_metadata(t->base)->schema) {
        sm_delta_map_columns(&t->protocol, &t->m, t->arena);
    }
    return check_constraints(t, items, n, env, e);
}

sm_status smi_alter_run(sm_snapshot *base, const sm_alter *items, int32_t n, bool is_dry,
                        const sm_exec_env *env, sm_arena *a, sm_altered *out, sm_error *e)
{
    smi_altering t = {
        .arena = a,
        .base = base,
        .m = *sm_snapshot_metadata(base),
        .protocol = *sm_snapshot_protocol(base),
    };
    sm_delta_prepared unused;
    bool is_same = false;

    SM_ASSERT(n > 0);
    *out = (sm_altered){.from = sm_snapshot_version(base), .version = -1};
    sm_status st = alter_all(&t, items, n, env, e);
    if (st == SM_OK && t.is_changed && t.n_features == 0) { /* a column may be so already */
        st = smi_is_same_metadata(&t.m, sm_snapshot_metadata(base), &is_same, e);
        t.is_changed = !is_same;
    }
    const sm_delta_commit record = make_record(&t, items, n);
    if (st == SM_OK && t.is_changed) { /* asked before the journal is: it says the same shorter */
        st = sm_delta_prepare(base, &record, a, &unused, e);
    }
    if (st != SM_OK) {
        return sm_within(e, st, "table %.*s", SM_STR_ARG(sm_store_uri(sm_snapshot_store(base))));
    }
    if (t.is_changed && !is_dry) {
        SM_TRY(smi_publish_record(sm_snapshot_store(base), base, &record, env->budget,
                                  &out->version, e));
    }
    SM_ASSERT(t.is_changed || t.n_features == 0);
    SM_ASSERT((out->version >= 0) == (t.is_changed && !is_dry));
    out->is_changed = t.is_changed;
    out->features = t.features;
    out->n_features = (int32_t)t.n_features;
    out->min_reader = t.protocol.min_reader;
    out->min_writer = t.protocol.min_writer;
    return SM_OK;
}

sm_status sm_table_alter(sm_store *table, const sm_alter *items, int32_t n, bool is_dry,
                         const sm_exec_env *env, sm_arena *a, sm_altered *out, sm_error *e)
{
    sm_snapshot *base = NULL;

    SM_TRY(sm_store_check_put(table, e));
    SM_TRY(smi_open_settled(table, is_dry, env->budget, &base, e));
    const sm_status st = smi_alter_run(base, items, n, is_dry, env, a, out, e);
    sm_snapshot_release(base);
    return st;
}
