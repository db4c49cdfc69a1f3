/* SPDX-License-Identifier: Apache-2.0
 *
 * table/table_merge.c: the plans of MERGE. Called by table_dml.c, and by table_replace.c, which
 * rewrites the files that change.
 *
 * Pairs     The source is the right side of each join: it is hashed, and the table streams past it.
 *           LEFT where rows of the table change, so that they keep their order and those without a
 *           pair stay; a column that is true in all rows of the source says which have one.
 * Files     Before that, one plan takes the smallest and largest value of each key of the source
 *           (what `on` sets equal to a column of the table). Rows of the table outside of them have
 *           no pair, so most files are never looked into, and a commit of another writer that only
 *           adds such rows is no conflict. Conditions of `on` over the table alone count too.
 * Inserts   Rows of the source are numbered. Those whose number occurs in no pair are added. Both
 *           times the source gives the same rows in the same order (exec.h), so a number is a row.
 * Once      Where no row without a pair changes, all pairs are found in one pass before
 *           (table_match.c), and the joins here are not needed: those of rows that are added, and
 *           of files that are looked into and written anew. They are where there is no memory for
 *           the pairs.
 * Twice     The source is executed several times: what it reads are versions of tables, and files
 *           of which is seen in the end that they have not changed meanwhile (table_reread.c). No
 *           function of smelt gives two answers. */
#include "table/table_int.h"

/* ---- keys ------------------------------------------------------------------------------------ */

/* Which side's columns does it read? */
typedef struct reading {
    bool table, source;
} reading;

static reading columns_read(const sm_expr *x, int32_t n_columns)
{
    reading r = {0};

    if (x->kind == SM_EXPR_COLUMN) {
        r.table = x->index < n_columns;
        r.source = !r.table;
    }
    for (int32_t i = 0; i < x->n_args; i++) {
        const reading arg = columns_read(x->args[i], n_columns);
        r.table = r.table || arg.table;
        r.source = r.source || arg.source;
    }
    return r;
}

/* An equality of `on` between the sides. */
typedef struct merge_key {
    const sm_expr *table, *source; /* both over sm_row_change.rows */
} merge_key;

typedef struct merge_keys {
    merge_key *keys;
    int32_t n;
    const sm_expr **alone; /* conditions over the table alone */
    int32_t n_alone;
} merge_keys;

static int32_t n_conjuncts(const sm_expr *x)
{
    return x->kind == SM_EXPR_AND ? x->n_args : 1;
}

static const sm_expr *conjunct(const sm_expr *x, int32_t i)
{
    return x->kind == SM_EXPR_AND ? x->args[i] : x;
}

static merge_keys keys_of(const sm_row_change *c, sm_arena *a)
{
    const int32_t n = n_conjuncts(c->on);
    merge_keys out = {.keys = SM_NEW_ARRAY(a, merge_key, n),
                      .alone = SM_NEW_ARRAY(a, const sm_expr *, n)};

    for (int32_t i = 0; i < n; i++) {
        const sm_expr *x = conjunct(c->on, i);
        const reading of = columns_read(x, c->n_columns);
        if (!of.source) {
            out.alone[out.n_alone++] = x;
        } else if (of.table && x->kind == SM_EXPR_CALL && strcmp(x->fn->name, "=") == 0) {
            const reading l = columns_read(x->args[0], c->n_columns);
            const reading r = columns_read(x->args[1], c->n_columns);
            if (l.table != l.source && r.table != r.source && l.table != r.table) {
                out.keys[out.n++] = (merge_key){x->args[l.table ? 0 : 1], x->args[l.table ? 1 : 0]};
            }
        }
    }
    return out;
}

/* Is the value the column's own in a row that has a pair, or what `on` says is equal to it? */
static bool is_own(const sm_expr *value, int32_t column, const merge_keys *k)
{
    bool is = value->kind == SM_EXPR_COLUMN && value->index == column;

    for (int32_t i = 0; i < k->n && value->kind == SM_EXPR_COLUMN; i++) {
        const sm_expr *table = k->keys[i].table, *source = k->keys[i].source;
        const bool is_key = table->kind == SM_EXPR_COLUMN && table->index == column &&
                            source->kind == SM_EXPR_COLUMN && source->index == value->index;
        /* Floats that are equal may differ: 0 and −0. */
        is = is || (is_key && sm_type_eq(table->type, source->type) &&
                    !sm_type_is_nested(table->type->id) && table->type->id != SM_TYPE_F32 &&
                    table->type->id != SM_TYPE_F64);
    }
    if (value->kind == SM_EXPR_CASE) { /* of the clauses, in their order */
        is = true;
        for (int32_t i = 1; i < value->n_args; i += 2) {
            is = is && is_own(value->args[i], column, k);
        }
        is = is && is_own(value->args[value->n_args - 1], column, k);
    }
    return is;
}

bool smi_merge_leaves(const sm_row_change *c, int32_t column, sm_arena *a)
{
    if (!c->values) {
        return true;
    }
    const merge_keys keys = keys_of(c, a);
    return is_own(c->values[column], column, &keys);
}

/* ---- which rows may have a pair -------------------------------------------------------------- */

/* Has the key bounds that are worth having? */
static bool is_bounded(const merge_key *k)
{
    return k->table->kind == SM_EXPR_COLUMN && !sm_type_is_nested(k->table->type->id) &&
           k->table->type->id != SM_TYPE_BOOL && sm_type_eq(k->table->type, k->source->type);
}

/* Plans one row: how many rows the source has, then min and max of each key. */
static sm_status plan_extent(const sm_statement *s, const merge_keys *k, sm_arena *a, sm_plan **out,
                             sm_error *e)
{
    const sm_row_change *c = &s->change;
    sm_agg_item *items = SM_NEW_ARRAY(a, sm_agg_item, 2 * k->n + 1);
    const sm_plan_node *root = NULL;
    int32_t n = 1;

    SM_TRY(sm_expr_call("count", NULL, 0, a, &items[0].call, e));
    for (int32_t i = 0; i < k->n; i++) {
        if (is_bounded(&k->keys[i])) {
            const sm_expr *x = sm_expr_moved(k->keys[i].source, -(c->n_columns + 1), a);
            SM_TRY(sm_expr_call("min", &x, 1, a, &items[n++].call, e));
            SM_TRY(sm_expr_call("max", &x, 1, a, &items[n++].call, e));
        }
    }
    SM_TRY(sm_plan_aggregate(c->source, NULL, 0, items, n, a, &root, e));
    return sm_statement_finish(s, root, a, out, e);
}

/* column >= min AND column <= max. Where the source has no value, no row has a pair. */
static sm_status add_bounds(const merge_key *k, sm_value min, sm_value max, sm_arena *a,
                            const sm_expr **parts, int32_t *n, sm_error *e)
{
    if (min.is_null || max.is_null) {
        parts[(*n)++] = sm_expr_constant((sm_value){.type = &sm_type_bool, .as.b = false}, a);
        return SM_OK;
    }
    const sm_expr *low[] = {k->table, sm_expr_constant(min, a)};
    const sm_expr *high[] = {k->table, sm_expr_constant(max, a)};
    SM_TRY(sm_expr_call(">=", low, 2, a, &parts[(*n)++], e));
    return sm_expr_call("<=", high, 2, a, &parts[(*n)++], e);
}

static sm_status where_of(const merge_keys *k, const sm_batch *extent, sm_arena *a,
                          const sm_expr **out, sm_error *e)
{
    const sm_expr **parts = SM_NEW_ARRAY(a, const sm_expr *, 2 * k->n + k->n_alone + 1);
    int32_t n = 0, at = 1;

    SM_ASSERT(k->n + k->n_alone >= 0 && extent->n_columns >= 1);
    for (int32_t i = 0; i < k->n_alone; i++) {
        parts[n++] = k->alone[i];
    }
    for (int32_t i = 0; i < k->n; i++) {
        if (is_bounded(&k->keys[i])) {
            const sm_value min = sm_column_value_copy(&extent->columns[at], 0, a);
            const sm_value max = sm_column_value_copy(&extent->columns[at + 1], 0, a);
            at += 2;
            SM_TRY(add_bounds(&k->keys[i], min, max, a, parts, &n, e));
        }
    }
    if (n == 0) {
        parts[n++] = sm_expr_constant((sm_value){.type = &sm_type_bool, .as.b = true}, a);
    }
    return sm_expr_and(parts, n, a, out, e);
}

sm_status smi_merge_where(const sm_statement *s, const sm_exec_env *env, sm_arena *a,
                          const sm_expr **out, int64_t *n_source, sm_error *e)
{
    const merge_keys keys = keys_of(&s->change, a);
    sm_plan *plan = NULL;
    sm_batch **rows = NULL;
    int64_t n = 0;

    SM_TRY(plan_extent(s, &keys, a, &plan, e));
    SM_TRY(sm_exec_collect(plan, env, a, &rows, &n, NULL, e));
    SM_ENSURE(n == 1 && rows[0]->n_rows == 1);
    SM_ASSERT(!s->change.inserts || s->change.insert_values);
    *n_source = sm_column_value(&rows[0]->columns[0], 0).as.i;
    sm_status st = SM_OK;
    if (s->change.takes_unmatched) {
        *out = sm_expr_constant((sm_value){.type = &sm_type_bool, .as.b = true}, a);
    } else {
        st = where_of(&keys, rows[0], a, out, e);
    }
    sm_batch_release(rows[0]);
    return st;
}

/* ---- pairs ----------------------------------------------------------------------------------- */

/* The source's columns, and one more of that value or expression. */
static const sm_plan_node *source_with(const sm_plan_node *source, const sm_expr *more,
                                       const char *name, sm_arena *a)
{
    const int32_t n = source->schema->n_fields;
    const sm_expr **exprs = SM_NEW_ARRAY(a, const sm_expr *, n + 1);
    sm_str *names = SM_NEW_ARRAY(a, sm_str, n + 1);

    for (int32_t i = 0; i < n; i++) {
        exprs[i] = sm_expr_column(source->schema, i, a);
        names[i] = source->schema->fields[i].name;
    }
    exprs[n] = more;
    names[n] = sm_str_of(name);
    return sm_plan_project(source, exprs, names, n + 1, a);
}

/* The source with the number of each row behind its columns. */
static sm_status number_source(const sm_plan_node *source, sm_arena *a, const sm_plan_node **out,
                               sm_error *e)
{
    sm_window_item item = {0};

    SM_TRY(sm_expr_call("row_number", NULL, 0, a, &item.call, e));
    return sm_plan_window(source, &item, 1, a, out, e);
}

sm_status smi_merge_source(const sm_row_change *c, bool numbers, sm_arena *a,
                           const sm_plan_node **out, sm_error *e)
{
    const sm_expr *yes = sm_expr_constant((sm_value){.type = &sm_type_bool, .as.b = true}, a);

    *out = source_with(c->source, yes, "has_pair", a);
    return numbers ? number_source(*out, a, out, e) : SM_OK;
}

sm_status smi_merge_pairs(const sm_row_change *c, const sm_plan_node *files, sm_arena *a,
                          const sm_plan_node **out, sm_error *e)
{
    const sm_expr *no = sm_expr_constant((sm_value){.type = &sm_type_bool, .as.b = false}, a);
    const int32_t n_left = c->n_columns + 1, n_more = files->schema->n_fields - n_left;
    const int32_t n = c->rows->n_fields;
    const sm_plan_node *source = NULL;

    SM_TRY(smi_merge_source(c, false, a, &source, e));
    SM_ASSERT(n_more >= 0 && n == n_left + source->schema->n_fields);
    const sm_type *schema = sm_plan_join_schema(files, source, SM_JOIN_LEFT, a);
    const sm_expr **columns = SM_NEW_ARRAY(a, const sm_expr *, n + n_more);
    sm_str *names = SM_NEW_ARRAY(a, sm_str, n + n_more);
    for (int32_t i = 0; i < n + n_more; i++) { /* where the join has column i of the rows */
        const int32_t at = i < n_left ? i : i < n ? i + n_more : i - n + n_left;
        columns[i] = sm_expr_column(schema, at, a);
        names[i] = schema->fields[at].name;
    }
    const sm_expr *joins = sm_expr_spread(c->joins ? c->joins : no, columns, n, NULL, a);
    SM_TRY(sm_plan_join(files, source, SM_JOIN_LEFT, joins, a, out, e));
    *out = n_more > 0 ? sm_plan_project(*out, columns, names, n + n_more, a) : *out;
    return SM_OK;
}

/* ---- a row with several pairs ---------------------------------------------------------------- */

/* Groups by the table's side of the keys, and counts. */
static sm_status count_by_key(const merge_keys *k, const sm_plan_node *rows, sm_arena *a,
                              const sm_plan_node **out, sm_error *e)
{
    const sm_expr **by = SM_NEW_ARRAY(a, const sm_expr *, k->n);
    sm_agg_item item = {0};

    for (int32_t i = 0; i < k->n; i++) {
        by[i] = k->keys[i].table;
    }
    SM_TRY(sm_expr_call("count", NULL, 0, a, &item.call, e));
    return sm_plan_aggregate(rows, by, k->n, &item, 1, a, out, e);
}

/* Plans a key that has more pairs than rows. Keys with NULL have no pair. */
static sm_status plan_doubled(const smi_change *c, const merge_keys *k, const sm_plan_node *files,
                              sm_arena *a, sm_plan **out, sm_error *e)
{
    const sm_plan_node *pairs = NULL, *rows = NULL, *both = NULL, *doubled = NULL;
    const sm_expr **parts = SM_NEW_ARRAY(a, const sm_expr *, k->n + 1);
    const sm_expr *on = NULL;

    SM_TRY(smi_merge_pairs(&c->rows, files, a, &pairs, e));
    SM_TRY(count_by_key(k, pairs, a, &pairs, e));
    SM_TRY(count_by_key(k, files, a, &rows, e));
    const sm_type *schema = sm_plan_join_schema(pairs, rows, SM_JOIN_INNER, a);
    for (int32_t i = 0; i <= k->n; i++) {
        const sm_expr *sides[] = {sm_expr_column(schema, i, a),
                                  sm_expr_column(schema, k->n + 1 + i, a)};
        SM_TRY(sm_expr_call(i < k->n ? "=" : ">", sides, 2, a, &parts[i], e));
    }
    SM_TRY(sm_expr_and(parts, k->n + 1, a, &on, e));
    SM_TRY(sm_plan_join(pairs, rows, SM_JOIN_INNER, on, a, &both, e));
    doubled = sm_plan_limit(both, 1, 0, a);
    return c->statement ? sm_statement_finish(c->statement, doubled, a, out, e)
                        : sm_plan_finish(doubled, a, out, e);
}

static void print_key(const merge_keys *k, const sm_type *columns, const sm_batch *row, sm_buf *out)
{
    for (int32_t i = 0; i < k->n; i++) {
        sm_buf_text(out, i ? SM_STR(", ") : SM_STR(""));
        sm_expr_print(k->keys[i].table, columns, out);
        sm_buf_text(out, SM_STR(" = "));
        sm_value_print(sm_column_value(&row->columns[i], 0), out);
    }
}

sm_status smi_merge_fail_pairs(const smi_change *c, const sm_plan_node *files,
                               const sm_exec_env *env, sm_arena *a, sm_error *e)
{
    const merge_keys keys = keys_of(&c->rows, a);
    sm_plan *plan = NULL;
    sm_batch **rows = NULL;
    int64_t n = 0;
    sm_buf key = {0};

    if (keys.n > 0) {
        SM_TRY(plan_doubled(c, &keys, files, a, &plan, e));
        SM_TRY(sm_exec_collect(plan, env, a, &rows, &n, NULL, e));
    }
    for (int64_t i = 0; i < n; i++) {
        if (key.len == 0 && rows[i]->n_rows > 0) {
            print_key(&keys, c->rows.rows, rows[i], &key);
        }
        sm_batch_release(rows[i]);
    }
    const sm_status st =
        sm_fail(e, SM_INVALID, "MERGE: several rows of the source match one row of the table%s%.*s",
                key.len > 0 ? ": " : "", SM_STR_ARG(sm_buf_str(&key)));
    sm_error_todo(e, "Let the source have one row for each, by GROUP BY or QUALIFY row_number() "
                     "OVER (PARTITION BY … ORDER BY …) = 1. Nothing was changed.");
    sm_buf_release(&key);
    return st;
}

/* ---- rows that are added --------------------------------------------------------------------- */

/* The table's rows that may have a pair, and a BIGINT, so that `on` is over them. */
static sm_status scan_table(const sm_statement *s, const sm_expr *where, const sm_type *columns,
                            sm_arena *a, const sm_plan_node **out, sm_error *e)
{
    const sm_plan_node *rows = NULL;

    SM_ASSERT(s->target->schema->n_fields == columns->n_fields);
    SM_TRY(sm_plan_filter(s->target, where, a, &rows, e));
    *out = source_with(rows, sm_expr_constant(sm_value_i64(0), a), "place", a);
    return SM_OK;
}

/* The numbers that occur in a pair, each once. */
static sm_status paired_numbers(const sm_statement *s, const sm_plan_node *table,
                                const sm_plan_node *numbered, sm_arena *a, const sm_plan_node **out,
                                sm_error *e)
{
    const sm_plan_node *pairs = NULL;

    SM_TRY(sm_plan_join(table, numbered, SM_JOIN_INNER, s->change.on, a, &pairs, e));
    const sm_expr *number = sm_expr_column(pairs->schema, pairs->schema->n_fields - 1, a);
    return sm_plan_aggregate(pairs, &number, 1, NULL, 0, a, out, e);
}

/* The rows of `numbered` whose number is not among `paired`. */
static sm_status without_pair(const sm_plan_node *numbered, const sm_plan_node *paired, sm_arena *a,
                              const sm_plan_node **out, sm_error *e)
{
    const int32_t n = numbered->schema->n_fields;
    const sm_type *schema = sm_plan_join_schema(numbered, paired, SM_JOIN_LEFT, a);
    const sm_expr *sides[] = {sm_expr_column(schema, n - 1, a), sm_expr_column(schema, n, a)};
    const sm_expr *is_same = NULL, *is_free = NULL;

    SM_TRY(sm_expr_call("=", sides, 2, a, &is_same, e));
    SM_TRY(sm_plan_join(numbered, paired, SM_JOIN_LEFT, is_same, a, out, e));
    const sm_expr *number = sm_expr_column((*out)->schema, n, a);
    SM_TRY(sm_expr_call("is_null", &number, 1, a, &is_free, e));
    return sm_plan_filter(*out, is_free, a, out, e);
}

/* The values of added rows, over rows that begin with the source's columns; `more`: NULL, or one
 * more column. */
static const sm_plan_node *inserted_values(const sm_row_change *c, const sm_plan_node *rows,
                                           const sm_type *columns, const sm_expr *more, sm_arena *a)
{
    const sm_expr **values = SM_NEW_ARRAY(a, const sm_expr *, columns->n_fields + 1);
    sm_str *names = SM_NEW_ARRAY(a, sm_str, columns->n_fields + 1);
    int32_t n = 0;

    for (int32_t i = 0; i < columns->n_fields; i++) {
        if (c->insert_values[i]) {
            values[n] = c->insert_values[i];
            names[n++] = columns->fields[i].name;
        }
    }
    if (more) {
        values[n] = more;
        names[n++] = SM_STR("number");
    }
    return sm_plan_project(rows, values, names, n, a);
}

sm_status smi_merge_inserts(const sm_statement *s, const sm_expr *where, const sm_type *columns,
                            sm_arena *a, sm_plan **out, sm_error *e)
{
    const sm_row_change *c = &s->change;
    const sm_plan_node *table = NULL, *numbered = NULL, *rows = NULL;

    SM_TRY(number_source(c->source, a, &numbered, e));
    SM_TRY(scan_table(s, where, columns, a, &table, e));
    SM_TRY(paired_numbers(s, table, numbered, a, &rows, e));
    SM_TRY(without_pair(numbered, rows, a, &rows, e));
    SM_TRY(sm_plan_filter(rows, c->inserts, a, &rows, e));
    rows = inserted_values(c, rows, columns, NULL, a);
    return sm_statement_finish(s, rows, a, out, e);
}

sm_status smi_merge_numbered(const sm_statement *s, const sm_type *columns, sm_arena *a,
                             sm_plan **out, sm_error *e)
{
    const sm_row_change *c = &s->change;
    const sm_plan_node *rows = NULL;

    SM_TRY(number_source(c->source, a, &rows, e));
    const sm_expr *number = sm_expr_column(rows->schema, rows->schema->n_fields - 1, a);
    SM_TRY(sm_plan_filter(rows, c->inserts, a, &rows, e));
    rows = inserted_values(c, rows, columns, number, a);
    return sm_statement_finish(s, rows, a, out, e);
}
