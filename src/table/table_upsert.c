/* SPDX-License-Identifier: Apache-2.0
 *
 * table/table_upsert.c: merges rows into a table by key: the row of the table with the key of a row
 * gets its values, or goes; the others are added. Called by tasks of pipelines.
 *
 * Rows     have been staged as the files of a candidate that is never published: the query that
 *          gave them runs once, and a merge, which reads them several times, reads columns.
 * Keys     Each is there once, and none is NULL: one plan groups the rows by key first. A row whose
 *          key is equal to nothing would be added by each run.
 * Merge    is that of SQL (table_merge.c), with expressions made here: a pair acts where it
 *          differs, so a row that is the same stays in its file, and a run with the same rows
 *          changes nothing.
 * History  table_history.c has what is different for a table that keeps each row as it was.
 * New      Where there is no table, or it is made anew, the rows are all that it has. */
#include "table/table_int.h"

/* ---- expressions ----------------------------------------------------------------------------- */

const sm_expr *smi_keyed_old(const smi_keyed *k, int32_t i)
{
    SM_ASSERT(i >= 0 && i < k->table->n_fields);
    return sm_expr_column(k->s->change.rows, i, k->a);
}

const sm_expr *smi_keyed_new(const smi_keyed *k, int32_t i)
{
    SM_ASSERT(k->at[i] >= 0 && k->at[i] < k->source->schema->n_fields);
    return sm_expr_column(k->s->change.rows, k->table->n_fields + 1 + k->at[i], k->a);
}

const sm_expr *smi_keyed_pair(const smi_keyed *k)
{
    return sm_expr_column(k->s->change.rows, k->s->change.rows->n_fields - 1, k->a);
}

const sm_expr *smi_keyed_bool(const smi_keyed *k, bool v)
{
    return sm_expr_constant((sm_value){.type = &sm_type_bool, .as.b = v}, k->a);
}

sm_status smi_keyed_case(const smi_keyed *k, const sm_expr *when, const sm_expr *then,
                         const sm_expr *otherwise, const sm_expr **out, sm_error *e)
{
    const sm_expr *const parts[] = {when, then, otherwise};
    return sm_expr_case(parts, SM_COUNT(parts), k->a, out, e);
}

/* The column of the table that a column of the rows goes to. */
static int32_t column_of(const smi_keyed *k, int32_t of_rows)
{
    int32_t i = 0;

    while (i < k->table->n_fields && k->at[i] != of_rows) {
        i++;
    }
    SM_ASSERT(i < k->table->n_fields); /* else the schemas would not match */
    return i;
}

const int32_t *smi_keyed_columns(const smi_keyed *k)
{
    int32_t *out = SM_NEW_ARRAY(k->a, int32_t, k->m->n_keys);

    for (int32_t i = 0; i < k->m->n_keys; i++) {
        out[i] = column_of(k, k->m->keys[i]);
    }
    return out;
}

static bool has_floats(const sm_type *t)
{
    bool has = t->id == SM_TYPE_F32 || t->id == SM_TYPE_F64;

    for (int32_t i = 0; i < t->n_fields && !has; i++) {
        has = has_floats(t->fields[i].type);
    }
    return has;
}

/* Are two values other ones? 0.0 and -0.0 are, though SQL has them equal: else the one would never
 * replace the other. Their signs differ, and their texts where they are within other values. */
static sm_status is_other(const smi_keyed *k, const sm_expr *const *sides, const sm_expr **out,
                          sm_error *e)
{
    const bool is_nested = sm_type_is_nested(sides[0]->type->id);
    const sm_expr *marks[2] = {0}, *either[2] = {0};

    SM_TRY(sm_expr_call("is_distinct", sides, 2, k->a, out, e));
    if (!has_floats(sides[0]->type) || !sm_type_eq(sides[0]->type, sides[1]->type)) {
        return SM_OK; /* equal values of two types may have two texts */
    }
    for (int i = 0; i < 2; i++) {
        SM_TRY(is_nested ? sm_expr_cast(sides[i], &sm_type_string, false, k->a, &marks[i], e)
                         : sm_expr_call("signbit", &sides[i], 1, k->a, &marks[i], e));
    }
    either[0] = *out;
    SM_TRY(sm_expr_call("is_distinct", marks, 2, k->a, &either[1], e));
    return sm_expr_or(either, 2, k->a, out, e);
}

sm_status smi_keyed_differs(const smi_keyed *k, const sm_type *schema, int32_t shift,
                            const int32_t *columns, int32_t n, const sm_expr **out, sm_error *e)
{
    const sm_expr **parts = SM_NEW_ARRAY(k->a, const sm_expr *, n + 1);

    for (int32_t i = 0; i < n; i++) {
        const sm_expr *const sides[] = {
            sm_expr_column(schema, column_of(k, columns[i]), k->a),
            sm_expr_column(schema, shift + columns[i], k->a),
        };
        SM_TRY(is_other(k, sides, &parts[i], e));
    }
    parts[n] = smi_keyed_bool(k, false);
    return sm_expr_or(parts, n + 1, k->a, out, e);
}

sm_status smi_keyed_same_key(const smi_keyed *k, const sm_type *schema, int32_t shift,
                             const sm_expr **out, sm_error *e)
{
    const sm_expr **parts = SM_NEW_ARRAY(k->a, const sm_expr *, k->m->n_keys);
    const int32_t *columns = smi_keyed_columns(k);

    for (int32_t i = 0; i < k->m->n_keys; i++) {
        const sm_expr *const sides[] = {
            sm_expr_column(schema, columns[i], k->a),
            sm_expr_column(schema, shift + k->m->keys[i], k->a),
        };
        SM_TRY(sm_expr_call("=", sides, 2, k->a, &parts[i], e));
    }
    return sm_expr_and(parts, k->m->n_keys, k->a, out, e);
}

/* ---- keys ------------------------------------------------------------------------------------ */

void smi_keyed_print(const smi_keyed *k, const sm_batch *rows, int64_t row, sm_buf *out)
{
    for (int32_t i = 0; i < k->m->n_keys; i++) {
        const sm_str name = k->source->schema->fields[k->m->keys[i]].name;
        sm_buf_printf(out, "%s%.*s = ", i ? ", " : "", SM_STR_ARG(name));
        sm_value_print(sm_column_value(&rows->columns[i], row), out);
    }
}

sm_status smi_keyed_first(const smi_keyed *k, const sm_plan_node *root, sm_batch **out, sm_error *e)
{
    sm_plan *plan = NULL;
    sm_batch **rows = NULL;
    int64_t n = 0;

    *out = NULL;
    SM_TRY(sm_plan_finish(sm_plan_limit(root, 1, 0, k->a), k->a, &plan, e));
    SM_TRY(sm_exec_collect(plan, k->env, k->a, &rows, &n, NULL, e));
    for (int64_t i = 0; i < n; i++) {
        if (!*out && rows[i]->n_rows > 0) {
            *out = rows[i];
        } else {
            sm_batch_release(rows[i]);
        }
    }
    return SM_OK;
}

/* Plans the keys that are there more than once, or have a NULL: the keys, and how many rows. */
static sm_status plan_bad_keys(const smi_keyed *k, const sm_plan_node **out, sm_error *e)
{
    const int32_t n = k->m->n_keys;
    const sm_expr **keys = SM_NEW_ARRAY(k->a, const sm_expr *, n);
    const sm_expr **bad = SM_NEW_ARRAY(k->a, const sm_expr *, n + 1);
    const sm_expr *is_bad = NULL;
    const sm_plan_node *groups = NULL;
    sm_agg_item item = {0};

    for (int32_t i = 0; i < n; i++) {
        keys[i] = sm_expr_column(k->source->schema, k->m->keys[i], k->a);
    }
    SM_TRY(sm_expr_call("count", NULL, 0, k->a, &item.call, e));
    SM_TRY(sm_plan_aggregate(k->source, keys, n, &item, 1, k->a, &groups, e));
    for (int32_t i = 0; i < n; i++) {
        const sm_expr *key = sm_expr_column(groups->schema, i, k->a);
        SM_TRY(sm_expr_call("is_null", &key, 1, k->a, &bad[i], e));
    }
    const sm_expr *const sides[] = {sm_expr_column(groups->schema, n, k->a),
                                    sm_expr_constant(sm_value_i64(1), k->a)};
    SM_TRY(sm_expr_call(">", sides, 2, k->a, &bad[n], e));
    SM_TRY(sm_expr_or(bad, n + 1, k->a, &is_bad, e));
    return sm_plan_filter(groups, is_bad, k->a, out, e);
}

static sm_status check_keys(const smi_keyed *k, sm_error *e)
{
    const sm_plan_node *bad = NULL;
    sm_batch *row = NULL;
    sm_buf key = {0};
    sm_status st = SM_OK;

    SM_TRY(plan_bad_keys(k, &bad, e));
    SM_TRY(smi_keyed_first(k, bad, &row, e));
    if (!row) {
        return SM_OK;
    }
    SM_ASSERT(row->n_columns == k->m->n_keys + 1);
    const int64_t n = sm_column_value(&row->columns[k->m->n_keys], 0).as.i;
    smi_keyed_print(k, row, 0, &key);
    if (n > 1) {
        st = sm_fail(e, SM_INVALID, "%lld rows have the key %.*s", (long long)n,
                     SM_STR_ARG(sm_buf_str(&key)));
        sm_error_todo(e, "Let the SQL have one row for each, by GROUP BY or QUALIFY row_number() "
                         "OVER (PARTITION BY … ORDER BY …) = 1. Nothing was changed.");
    } else {
        st = sm_fail(e, SM_INVALID, "a row has no key: %.*s", SM_STR_ARG(sm_buf_str(&key)));
        sm_error_todo(e, "Leave such rows out by WHERE … IS NOT NULL. Nothing was changed.");
    }
    sm_buf_release(&key);
    sm_batch_release(row);
    return st;
}

/* ---- the table ------------------------------------------------------------------------------- */

/* The table's columns, a BIGINT of the one who executes, the source's, and whether there is one. */
static const sm_type *rows_of(const smi_keyed *k)
{
    const sm_type *source = k->source->schema;
    const int32_t n = k->table->n_fields, n_source = source->n_fields;
    sm_field *fields = SM_NEW_ARRAY(k->a, sm_field, n + n_source + 2);

    memcpy(fields, k->table->fields, (size_t)n * sizeof(*fields));
    fields[n] = (sm_field){.name = SM_STR("place"), .type = &sm_type_i64};
    for (int32_t i = 0; i < n_source; i++) {
        fields[n + 1 + i] = source->fields[i];
        fields[n + 1 + i].is_nullable = true;
    }
    fields[n + 1 + n_source] =
        (sm_field){.name = SM_STR("has_pair"), .type = &sm_type_bool, .is_nullable = true};
    return sm_type_struct(k->a, fields, n + n_source + 2);
}

static sm_status open_table(smi_keyed *k, sm_error *e)
{
    sm_snapshot *base = k->m->write.base;
    sm_dataset *d = SM_NEW(k->a, sm_dataset);
    int32_t *columns = NULL, *order = NULL;
    const sm_type *source = k->source->schema;

    k->table = sm_snapshot_metadata(base)->schema;
    SM_TRY(smi_schema_match(k->table, source, k->a, &order, e));
    if (!order) {
        order = SM_NEW_ARRAY(k->a, int32_t, source->n_fields + 1);
        for (int32_t i = 0; i < source->n_fields; i++) {
            order[i] = i;
        }
    }
    k->at = order;
    SM_TRY(sm_snapshot_dataset(base, k->a, d, &columns, e));
    const sm_relation scan = {.dataset = d, .label = k->m->write.uri};
    k->s = SM_NEW(k->a, sm_statement);
    *k->s = (sm_statement){
        .kind = SM_STATEMENT_MERGE,
        .table = base,
        .dataset = d,
        .target = smi_scan_in_order(&scan, columns, k->table->n_fields, k->a),
    };
    k->inserts = k->m->history ? SM_NEW(k->a, sm_statement) : k->s;
    SM_TRY(k->m->history ? smi_history_look(k, e) : SM_OK);
    k->s->change =
        (sm_row_change){.rows = rows_of(k), .n_columns = k->table->n_fields, .source = k->source};
    return SM_OK;
}

/* ---- newest rows only ------------------------------------------------------------------------ */

/* `x`, over the rows' columns and a struct of the table's, as the change is over them. */
static sm_status spread(const smi_keyed *k, const sm_expr *x, const sm_expr **out, sm_error *e)
{
    const int32_t n = k->source->schema->n_fields;
    const sm_expr **columns = SM_NEW_ARRAY(k->a, const sm_expr *, n + 1);
    const sm_expr **fields = SM_NEW_ARRAY(k->a, const sm_expr *, k->table->n_fields + 1);

    for (int32_t i = 0; i < n; i++) {
        columns[i] = sm_expr_column(k->s->change.rows, k->table->n_fields + 1 + i, k->a);
    }
    for (int32_t i = 0; i < k->table->n_fields; i++) {
        fields[i] = smi_keyed_old(k, i);
    }
    *out = sm_expr_spread(x, columns, n, fields, k->a);
    return *out ? SM_OK
                : sm_fail(e, SM_UNSUPPORTED, "the row of the table is named by its columns only");
}

/* Which pairs change the row of the table: those that delete it or differ, where `acts` holds. */
static sm_status pairs_that_act(const smi_keyed *k, const sm_expr *deletes, const sm_expr **out,
                                sm_error *e)
{
    const int32_t n_columns = k->source->schema->n_fields;
    int32_t *columns = SM_NEW_ARRAY(k->a, int32_t, n_columns + 1);
    const sm_expr *parts[2] = {0};

    for (int32_t i = 0; i < n_columns; i++) {
        columns[i] = i;
    }
    SM_TRY(smi_keyed_differs(k, k->s->change.rows, k->table->n_fields + 1, columns, n_columns,
                             &parts[0], e));
    if (deletes) {
        const sm_expr *const either[] = {deletes, parts[0]};
        SM_TRY(sm_expr_or(either, 2, k->a, &parts[0], e));
    }
    if (!k->m->acts) {
        *out = parts[0];
        return SM_OK;
    }
    SM_ASSERT(k->m->acts->type->id == SM_TYPE_BOOL);
    SM_TRY(spread(k, k->m->acts, &parts[1], e));
    return sm_expr_and(parts, 2, k->a, out, e);
}

static sm_status values_of(const smi_keyed *k, const sm_expr *when, sm_error *e)
{
    sm_row_change *c = &k->s->change;

    c->values = SM_NEW_ARRAY(k->a, const sm_expr *, k->table->n_fields + 1);
    for (int32_t i = 0; i < k->table->n_fields; i++) {
        c->values[i] = smi_keyed_old(k, i);
        if (k->at[i] >= 0) {
            SM_TRY(smi_keyed_case(k, when, smi_keyed_new(k, i), c->values[i], &c->values[i], e));
        }
    }
    return SM_OK;
}

/* The rows that are added, in the columns that the table does not compute. */
static void insert_values(const smi_keyed *k)
{
    sm_row_change *c = &k->s->change;

    c->insert_values = SM_NEW_ARRAY(k->a, const sm_expr *, k->table->n_fields + 1);
    for (int32_t i = 0; i < k->table->n_fields; i++) {
        c->insert_values[i] =
            k->at[i] < 0 ? NULL : sm_expr_column(k->source->schema, k->at[i], k->a);
    }
}

/* Which rows are not to be deleted, over the rows' columns. */
static sm_status rows_that_stay(const smi_keyed *k, const sm_expr **out, sm_error *e)
{
    const sm_expr *deletes = k->m->deletes;

    SM_ASSERT(!deletes || deletes->type->id == SM_TYPE_BOOL);
    return deletes ? smi_keyed_case(k, deletes, smi_keyed_bool(k, false), smi_keyed_bool(k, true),
                                    out, e)
                   : (*out = smi_keyed_bool(k, true), SM_OK);
}

static sm_status newest_change(const smi_keyed *k, sm_error *e)
{
    sm_row_change *c = &k->s->change;
    const sm_expr *parts[3] = {smi_keyed_pair(k)};
    const sm_expr *deletes =
        k->m->deletes ? sm_expr_moved(k->m->deletes, k->table->n_fields + 1, k->a) : NULL;

    SM_TRY(smi_keyed_same_key(k, c->rows, k->table->n_fields + 1, &c->on, e));
    SM_TRY(pairs_that_act(k, deletes, &parts[1], e));
    const sm_expr *const joins[] = {c->on, parts[1]};
    SM_TRY(sm_expr_and(joins, 2, k->a, &c->joins, e));
    SM_TRY(sm_expr_and(parts, 2, k->a, &c->acts, e));
    parts[2] = deletes ? deletes : smi_keyed_bool(k, false);
    SM_TRY(sm_expr_and(parts, 3, k->a, &c->deletes, e));
    SM_TRY(values_of(k, c->acts, e));
    return rows_that_stay(k, &c->inserts, e);
}

/* ---- staging --------------------------------------------------------------------------------- */

static sm_status merge_into(smi_keyed *k, sm_merged *counts, sm_candidate **out, sm_error *e)
{
    sm_changed changed = {0};

    SM_TRY(open_table(k, e));
    if (k->m->history) {
        SM_TRY(smi_history_change(k, e));
    } else {
        SM_TRY(newest_change(k, e));
    }
    SM_ASSERT(k->s->change.on && k->s->change.joins && k->s->change.values);
    insert_values(k);
    k->inserts->change.insert_values = k->s->change.insert_values;
    const smi_merge merge = {.s = k->s, .inserts = k->inserts, .write = &k->m->write};
    SM_TRY(smi_merge_stage(&merge, k->env, k->a, &changed, out, e));
    counts->n_added = changed.n_inserted;
    counts->n_changed = changed.n_updated;
    counts->n_deleted = changed.n_deleted;
    return SM_OK;
}

static sm_status make_anew(const smi_keyed *k, sm_merged *counts, sm_candidate **out, sm_error *e)
{
    const sm_expr *stays = NULL;
    const sm_plan_node *rows = k->source;
    sm_plan *plan = NULL;
    sm_write w = k->m->write;

    w.mode = SM_WRITE_OVERWRITE;
    w.has_base = true;
    if (!w.base && !k->m->deletes && !k->m->history) {
        *out = sm_candidate_retain(k->m->rows); /* they are the table */
    } else {
        SM_TRY(rows_that_stay(k, &stays, e));
        SM_TRY(sm_plan_filter(rows, stays, k->a, &rows, e));
        SM_TRY(sm_plan_finish(rows, k->a, &plan, e));
        SM_TRY(sm_stage_plan(plan, &w, k->env, NULL, NULL, out, e));
    }
    counts->n_added = sm_candidate_rows(*out);
    return SM_OK;
}

static sm_status stage(smi_keyed *k, sm_names *names, sm_merged *counts, sm_candidate **out,
                       sm_error *e)
{
    sm_relation rows = {0};

    SM_TRY(smi_candidate_relation(names, k->m->rows, SM_STR("rows"), &rows, e));
    k->source = rows.node ? rows.node : sm_plan_scan(&rows, false, k->a);
    if (k->m->history) {
        SM_TRY(smi_history_source(k, e));
    }
    SM_TRY(check_keys(k, e));
    SM_TRY(k->m->history ? smi_history_check_times(k, e) : SM_OK);
    return k->m->write.base && k->m->write.mode != SM_WRITE_OVERWRITE
               ? merge_into(k, counts, out, e)
               : make_anew(k, counts, out, e);
}

sm_status sm_stage_merge(const sm_merge *m, const sm_exec_env *env, sm_merged *counts,
                         sm_candidate **out, sm_error *e)
{
    sm_arena *a = sm_arena_new(env->budget);
    sm_names *names = sm_names_new(env->stores, SM_STR(""), env->budget);
    smi_keyed k = {.m = m, .env = env, .a = a};

    SM_ASSERT(m->rows && m->n_keys > 0 && m->write.uri.len > 0);
    SM_ASSERT(!m->history || (!m->acts && !m->deletes));
    SM_ASSERT(!m->rows->base); /* its files are all that it is */
    *counts = (sm_merged){.n_rows = sm_candidate_rows(m->rows)};
    const sm_status st = stage(&k, names, counts, out, e);
    sm_names_free(names);
    sm_arena_free(a);
    return st == SM_OK ? st : sm_within(e, st, "table %.*s", SM_STR_ARG(m->write.uri));
}
