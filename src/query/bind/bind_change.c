/* SPDX-License-Identifier: Apache-2.0
 *
 * query/bind/bind_change.c: binds the statements that change tables: INSERT, CREATE TABLE AS, COPY,
 * DELETE, UPDATE and ALTER TABLE; MERGE is in bind_merge.c, which uses what is here. Called by
 * query.c.
 *
 * INSERT    becomes a projection of the query into the table's columns, in their order. A column
 *           that is not named gets NULL, or is left out where the table computes it.
 * UPDATE    becomes for each column CASE WHEN condition THEN new value ELSE old value END. All of
 *           them are over the same row, so SET sees the old values alone.
 * Casts     A value is cast to its column's type, as an explicit CAST does it: one that does not
 *           fit is an error when the statement is executed. */
#include "query/bind/bind_int.h"
#include "query/function/function_int.h"

/* ---- the table ------------------------------------------------------------------------------- */

sm_status smi_bind_changed_table(smi_bind *b, const smi_statement *s, sm_statement *out,
                                 sm_plan_node **node, bool **is_computed, sm_error *e)
{
    sm_relation relation = {0};

    SM_TRY(smi_bind_target(b, s->target, &relation, node, e));
    const sm_plan_node *scan = *node;
    while (scan->n_inputs == 1) { /* a projection may put the columns into the table's order */
        scan = scan->inputs[0];
    }
    SM_ASSERT(scan->kind == SM_PLAN_SCAN);
    if (is_computed) {
        *is_computed = SM_NEW_ARRAY(b->q->a, bool, (*node)->schema->n_fields + 1);
        for (int32_t i = 0; relation.is_computed && i < (*node)->schema->n_fields; i++) {
            (*is_computed)[i] = relation.is_computed(&(*node)->schema->fields[i]);
        }
    }
    out->table = relation.table;
    out->target = *node;
    out->dataset = scan->as.scan.dataset;
    return SM_OK;
}

/* The column of that name. */
static sm_status find_column(const smi_bind *b, const sm_type *columns, const smi_set *set,
                             int32_t *out, sm_error *e)
{
    sm_str *const names = SM_NEW_ARRAY(b->q->a, sm_str, columns->n_fields + 1);

    *out = sm_type_find(columns, set->column);
    if (*out >= 0) {
        return SM_OK;
    }
    for (int32_t i = 0; i < columns->n_fields; i++) {
        names[i] = columns->fields[i].name;
    }
    const sm_str near = smi_nearest(set->column, names, columns->n_fields);
    smi_sql_fail(b->sql, set->off, e, SM_NAME, "the table has no column \"%.*s\"",
                 SM_STR_ARG(set->column));
    if (near.len > 0) {
        sm_error_todo(e, "Did you mean \"%.*s\"?", SM_STR_ARG(near));
    }
    return SM_NAME;
}

sm_status smi_bind_value(smi_bind *b, const sm_expr *x, const sm_field *column,
                         const sm_expr *place, const sm_expr **out, sm_error *e)
{
    const sm_status st = smi_make_cast(b->q->a, x, column->type, false, place, out, e);
    if (st != SM_OK) {
        return sm_within(e, st, "column \"%.*s\"", SM_STR_ARG(column->name));
    }
    *out = smi_cast(b->q->a, *out, column->type); /* a literal becomes an ordinary constant */
    SM_ASSERT(sm_type_eq((*out)->type, column->type));
    return SM_OK;
}

/* Marks the column that `set` names; it may be named once. */
static sm_status mark_column(smi_bind *b, const smi_set *set, int32_t at, bool *is_set, sm_error *e)
{
    if (is_set[at]) {
        return smi_sql_fail(b->sql, set->off, e, SM_NAME, "column \"%.*s\" is set twice",
                            SM_STR_ARG(set->column));
    }
    is_set[at] = true;
    return SM_OK;
}

sm_status smi_bind_sets(smi_bind *b, const smi_set *sets, int32_t n, const sm_type *columns,
                        const sm_expr **values, sm_error *e)
{
    bool *const is_set = SM_NEW_ARRAY(b->q->a, bool, columns->n_fields + 1);

    for (int32_t i = 0; i < n; i++) {
        const sm_expr *x = NULL;
        int32_t at = 0;
        SM_TRY(find_column(b, columns, &sets[i], &at, e));
        SM_TRY(mark_column(b, &sets[i], at, is_set, e));
        SM_TRY(smi_bind_expr(b, sets[i].expr, &x, e));
        const sm_expr place = smi_place(b->sql, sets[i].expr->off, sets[i].expr->end);
        SM_TRY(smi_bind_value(b, x, &columns->fields[at], &place, &values[at], e));
    }
    return SM_OK;
}

/* ---- INSERT ---------------------------------------------------------------------------------- */

/* Which column of the query goes into column i of the table; −1: none. */
typedef struct placing {
    smi_bind *b;
    const smi_statement *s;
    const sm_type *columns, *given;
    int32_t *from;
} placing;

/* The query's columns go by their names. */
static sm_status place_by_name(const placing *p, sm_error *e)
{
    bool *const is_set = SM_NEW_ARRAY(p->b->q->a, bool, p->columns->n_fields + 1);

    if (p->s->n_sets > 0) {
        return smi_sql_fail(p->b->sql, p->s->sets[0].off, e, SM_SYNTAX,
                            "BY NAME takes the names of the query's columns, so none are listed");
    }
    for (int32_t i = 0; i < p->given->n_fields; i++) {
        const smi_set set = {.column = p->given->fields[i].name, .off = p->s->select->off};
        int32_t at = 0;
        SM_TRY(find_column(p->b, p->columns, &set, &at, e));
        SM_TRY(mark_column(p->b, &set, at, is_set, e));
        p->from[at] = i;
    }
    return SM_OK;
}

/* The query's columns go into the columns that are listed, or without a list into all, in order. */
static sm_status place_in_order(const placing *p, sm_error *e)
{
    const smi_statement *const s = p->s;
    const int32_t n = s->n_sets > 0 ? s->n_sets : p->columns->n_fields;
    bool *const is_set = SM_NEW_ARRAY(p->b->q->a, bool, p->columns->n_fields + 1);

    for (int32_t i = 0; i < s->n_sets; i++) {
        int32_t at = 0;
        SM_TRY(find_column(p->b, p->columns, &s->sets[i], &at, e));
        SM_TRY(mark_column(p->b, &s->sets[i], at, is_set, e));
        p->from[at] = i;
    }
    for (int32_t i = 0; s->n_sets == 0 && i < n && i < p->given->n_fields; i++) {
        p->from[i] = i;
    }
    if (p->given->n_fields == n) {
        return SM_OK;
    }
    smi_sql_fail(p->b->sql, s->select->off, e, SM_SCHEMA, "%s %d columns, and the query gives %d",
                 s->n_sets > 0 ? "INSERT names" : "the table has", n, p->given->n_fields);
    if (s->n_sets == 0) {
        sm_error_todo(e, "Name the columns that get a value: INSERT INTO t (a, b) …, or take them "
                         "by the query's names: INSERT INTO t BY NAME ….");
    }
    return SM_SCHEMA;
}

static sm_status bind_insert(smi_bind *b, const smi_statement *s, sm_statement *out,
                             sm_plan_node **root, sm_error *e)
{
    sm_arena *const a = b->q->a;
    sm_plan_node *table = NULL, *rows = NULL;
    bool *is_computed = NULL;
    SM_TRY(smi_bind_changed_table(b, s, out, &table, &is_computed, e));
    SM_TRY(smi_bind_query(b->q, b->sql, s->select, &rows, e));
    const sm_type *const columns = table->schema;
    const int32_t n = columns->n_fields;
    placing p = {b, s, columns, rows->schema, SM_NEW_ARRAY(a, int32_t, n + 1)};
    const sm_expr **const exprs = SM_NEW_ARRAY(a, const sm_expr *, n + 1);
    sm_str *const names = SM_NEW_ARRAY(a, sm_str, n + 1);
    const sm_expr place = smi_place(b->sql, s->select->off, s->select->end);
    int32_t n_given = 0;

    for (int32_t i = 0; i < n; i++) {
        p.from[i] = -1;
    }
    SM_TRY(s->by_name ? place_by_name(&p, e) : place_in_order(&p, e));
    for (int32_t i = 0; i < n; i++) {
        const int32_t from = p.from[i];
        if (from < 0 && is_computed[i]) {
            continue;
        }
        const sm_expr *const x =
            from < 0 ? smi_const(a, sm_value_null(columns->fields[i].type), NULL)
                     : smi_column_ref(a, from, rows->schema->fields[from].type, &place);
        SM_TRY(smi_bind_value(b, x, &columns->fields[i], &place, &exprs[n_given], e));
        names[n_given++] = columns->fields[i].name;
    }
    SM_ASSERT(n_given <= n);
    *root = smi_node_project(a, rows, exprs, names, n_given);
    return SM_OK;
}

/* ---- DELETE, UPDATE -------------------------------------------------------------------------- */

static const sm_expr *bool_const(sm_arena *a, bool v)
{
    return smi_const(a, (sm_value){.type = &sm_type_bool, .as.b = v}, NULL);
}

/* The condition; TRUE where there is none. */
static sm_status bind_where(smi_bind *b, const smi_statement *s, const sm_expr **out, sm_error *e)
{
    b->no_aggregate = "in WHERE";
    b->no_window = "in WHERE";
    if (s->where) {
        return smi_bind_predicate(b, s->where, "WHERE", out, e);
    }
    *out = bool_const(b->q->a, true);
    return SM_OK;
}

static sm_status bind_delete(smi_bind *b, const smi_statement *s, sm_statement *out,
                             sm_plan_node **root, sm_error *e)
{
    sm_row_change *const c = &out->change;

    SM_TRY(smi_bind_changed_table(b, s, out, root, NULL, e));
    c->rows = (*root)->schema;
    c->n_columns = c->rows->n_fields;
    SM_TRY(bind_where(b, s, &c->acts, e));
    SM_ASSERT(c->acts->type->id == SM_TYPE_BOOL);
    c->deletes = c->acts;
    *root = smi_node_filter(b->q->a, *root, c->acts);
    return SM_OK;
}

/* CASE WHEN acts THEN value ELSE what the column has END. */
static const sm_expr *changed_value(sm_arena *a, const sm_expr *acts, const sm_expr *value,
                                    const sm_expr *old)
{
    if (smi_is_true(acts) || value == old) {
        return value;
    }
    sm_expr *const x = smi_expr_new(a, SM_EXPR_CASE, value->type, value);
    x->args = SM_NEW_ARRAY(a, const sm_expr *, 3);
    x->args[0] = acts;
    x->args[1] = value;
    x->args[2] = old;
    x->n_args = 3;
    return smi_fold(a, x);
}

static sm_status bind_update(smi_bind *b, const smi_statement *s, sm_statement *out,
                             sm_plan_node **root, sm_error *e)
{
    sm_arena *const a = b->q->a;
    sm_row_change *const c = &out->change;

    SM_TRY(smi_bind_changed_table(b, s, out, root, NULL, e));
    c->rows = (*root)->schema;
    c->n_columns = c->rows->n_fields;
    const sm_expr **const old = SM_NEW_ARRAY(a, const sm_expr *, c->n_columns + 1);
    sm_str *const names = SM_NEW_ARRAY(a, sm_str, c->n_columns + 1);
    c->values = SM_NEW_ARRAY(a, const sm_expr *, c->n_columns + 1);
    for (int32_t i = 0; i < c->n_columns; i++) {
        old[i] = c->values[i] = smi_column_ref(a, i, c->rows->fields[i].type, NULL);
        names[i] = c->rows->fields[i].name;
    }
    b->no_aggregate = "in SET";
    b->no_window = "in SET";
    SM_TRY(smi_bind_sets(b, s->sets, s->n_sets, c->rows, c->values, e));
    SM_TRY(bind_where(b, s, &c->acts, e));
    c->deletes = bool_const(a, false);
    sm_plan_node *const shown =
        smi_node_project(a, smi_node_filter(a, *root, c->acts), c->values, names, c->n_columns);
    const sm_expr **const values = SM_NEW_ARRAY(a, const sm_expr *, c->n_columns + 1);
    SM_ASSERT(s->n_sets > 0);
    for (int32_t i = 0; i < c->n_columns; i++) {
        values[i] = changed_value(a, c->acts, c->values[i], old[i]);
    }
    c->values = values;
    *root = shown;
    return SM_OK;
}

/* ---- ALTER TABLE ----------------------------------------------------------------------------- */

static sm_status bind_alter(smi_bind *b, const smi_statement *s, sm_statement *out,
                            sm_plan_node **root, sm_error *e)
{
    sm_plan_node *table = NULL;

    SM_TRY(smi_bind_changed_table(b, s, out, &table, NULL, e));
    out->alters = s->alters;
    out->n_alters = s->n_alters;
    *root = smi_node_row(b->q->a);
    return SM_OK;
}

/* ---- any ------------------------------------------------------------------------------------- */

sm_status smi_bind_statement(smi_binding *q, const sm_sql *sql, const smi_statement *s,
                             sm_statement *out, sm_plan_node **root, sm_error *e)
{
    smi_bind b = {.q = q, .sql = sql};

    out->kind = s->kind;
    out->or_replace = s->or_replace;
    out->properties = s->properties;
    out->n_properties = s->n_properties;
    out->if_not_exists = s->if_not_exists;
    out->file = s->file;
    out->format = s->format;
    if (s->target) {
        out->parts = s->target->parts;
        out->n_parts = s->target->n_parts;
        out->path = s->target->name;
    }
    switch (s->kind) {
    case SM_STATEMENT_SELECT:
    case SM_STATEMENT_COPY:
    case SM_STATEMENT_CREATE_TABLE:
        return smi_bind_query(q, sql, s->select, root, e);
    case SM_STATEMENT_INSERT:
        return bind_insert(&b, s, out, root, e);
    case SM_STATEMENT_ALTER:
        return bind_alter(&b, s, out, root, e);
    case SM_STATEMENT_DELETE:
        return bind_delete(&b, s, out, root, e);
    case SM_STATEMENT_UPDATE:
        return bind_update(&b, s, out, root, e);
    case SM_STATEMENT_MERGE:
        return smi_bind_merge(q, sql, s, out, root, e);
    }
    return SM_OK;
}
