/* SPDX-License-Identifier: Apache-2.0
 *
 * query/bind/bind_change.c: binds the statements that change tables: INSERT, CREATE TABLE AS, COPY,
 * DELETE, UPDATE and ALTER TABLE; MERGE is in bind_merge.c, which uses what is here. Called by
 * query.c.
 *
 * INSERT    becomes a projection of the query into the table's columns, in their order. A column
 *           that is not named, or DEFAULT in all rows of VALUES, gets NULL, or is left out where
 *           the table computes it. DEFAULT elsewhere is the constant that the table has for it.
 *           Types that were found in files give way to those of the table, where it has the values
 *           as they are; files without a line have its columns.
 * UPDATE    becomes for each column CASE WHEN condition THEN new value ELSE old value END. All of
 *           them are over the same row, so SET sees the old values alone.
 * Casts     A value is cast to its column's type, as an explicit CAST does it: one that does not
 *           fit is an error when the statement is executed. */
#include "query/bind/bind_int.h"
#include "query/function/function_int.h"

/* ---- the table ------------------------------------------------------------------------------- */

const smi_cte *smi_statement_ctes(sm_arena *a, const smi_statement *s)
{
    const smi_cte *ctes = NULL;
    for (int32_t i = 0; i < s->n_ctes; i++) {
        ctes = smi_cte_add(a, ctes, &s->ctes[i]);
    }
    return ctes;
}

sm_status smi_bind_changed_table(smi_bind *b, const smi_statement *s, sm_statement *out,
                                 smi_changed *t, sm_error *e)
{
    *t = (smi_changed){0};
    SM_TRY(smi_bind_target(b, s->target, &t->relation, &t->node, e));
    const sm_plan_node *scan = t->node;
    while (scan->n_inputs == 1) { /* a projection may put the columns into the table's order */
        scan = scan->inputs[0];
    }
    SM_ASSERT(scan->kind == SM_PLAN_SCAN);
    bool *const is_computed = SM_NEW_ARRAY(b->q->a, bool, t->node->schema->n_fields + 1);
    for (int32_t i = 0; t->relation.is_computed && i < t->node->schema->n_fields; i++) {
        is_computed[i] = t->relation.is_computed(&t->node->schema->fields[i]);
    }
    t->is_computed = is_computed;
    out->table = t->relation.table;
    out->target = t->node;
    out->dataset = scan->as.scan.dataset;
    return SM_OK;
}

/* What DEFAULT stands for in a column: a constant. */
static sm_status bind_default(smi_bind *b, const smi_changed *t, int32_t column, const smi_ast *ast,
                              const sm_expr **out, sm_error *e)
{
    const sm_field *const f = &t->node->schema->fields[column];
    const sm_expr place = smi_place(b->sql, ast->off, ast->end);

    if (!t->is_computed[column]) {
        *out = smi_const(b->q->a, sm_value_null(f->type), &place);
        return SM_OK;
    }
    SM_ASSERT(t->relation.default_of);
    const sm_status st = t->relation.default_of(f, b->q->a, out, e);
    SM_ASSERT(st != SM_OK || sm_type_eq((*out)->type, f->type));
    return st == SM_OK ? st : smi_expr_place(&place, e, st);
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
    sm_error ignored = {0};
    const bool is_loose = b->takes_misfits && sm_type_is_nested(x->type->id);
    const sm_status st =
        smi_make_cast(b->q->a, x, column->type, false, place, out, is_loose ? &ignored : e);
    if (st != SM_OK && is_loose) {
        b->has_misfits = true;
        *out = x;
        return SM_OK;
    }
    if (st != SM_OK) {
        return sm_within(e, st, "column \"%.*s\"", SM_STR_ARG(column->name));
    }
    *out = smi_cast(b->q->a, *out, column->type); /* a literal becomes an ordinary constant */
    SM_ASSERT(sm_type_eq((*out)->type, column->type));
    if ((*out)->kind == SM_EXPR_CAST) {
        sm_expr *const named = SM_NEW(b->q->a, sm_expr);
        *named = **out;
        named->column = column->name;
        *out = named;
    }
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

sm_status smi_bind_sets(smi_bind *b, const smi_changed *t, const smi_set *sets, int32_t n,
                        bool is_new, const sm_expr **values, sm_error *e)
{
    const sm_type *const columns = t->node->schema;
    bool *const is_set = SM_NEW_ARRAY(b->q->a, bool, columns->n_fields + 1);

    for (int32_t i = 0; i < n; i++) {
        const sm_expr *x = NULL;
        int32_t at = 0;
        SM_TRY(find_column(b, columns, &sets[i], &at, e));
        SM_TRY(mark_column(b, &sets[i], at, is_set, e));
        const bool is_default = sets[i].expr->kind == SMI_AST_DEFAULT;
        if (is_default && is_new) {
            continue;
        }
        SM_TRY(is_default ? bind_default(b, t, at, sets[i].expr, &x, e)
                          : smi_bind_expr(b, sets[i].expr, &x, e));
        const sm_expr place = smi_place(b->sql, sets[i].expr->off, sets[i].expr->end);
        SM_TRY(smi_bind_value(b, x, &columns->fields[at], &place, &values[at], e));
    }
    return SM_OK;
}

/* ---- partitions ------------------------------------------------------------------------------ */

/* The columns by which a new table is partitioned, or whose partitions an INSERT replaces. */
static sm_status bind_partitions(smi_bind *b, const smi_statement *s, const sm_type *columns,
                                 sm_statement *out, sm_error *e)
{
    bool *const is_named = SM_NEW_ARRAY(b->q->a, bool, columns->n_fields + 1);
    sm_str *const names = SM_NEW_ARRAY(b->q->a, sm_str, s->n_partition_by + 1);

    for (int32_t i = 0; i < s->n_partition_by; i++) {
        const smi_set *const set = &s->partition_by[i];
        int32_t at = 0;
        SM_TRY(find_column(b, columns, set, &at, e));
        if (is_named[at]) {
            return smi_sql_fail(b->sql, set->off, e, SM_NAME, "column \"%.*s\" is named twice",
                                SM_STR_ARG(set->column));
        }
        is_named[at] = true;
        names[i] = columns->fields[at].name;
    }
    out->partition_by = names;
    out->n_partition_by = s->n_partition_by;
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

/* How many values a row must have. */
static int32_t n_wanted(const placing *p)
{
    return p->s->n_sets > 0 ? p->s->n_sets : p->columns->n_fields;
}

static sm_status check_number(const placing *p, int32_t n_given, sm_error *e)
{
    const smi_statement *const s = p->s;

    if (n_given == n_wanted(p)) {
        return SM_OK;
    }
    smi_sql_fail(p->b->sql, s->select->off, e, SM_SCHEMA, "%s %d columns, and the query gives %d",
                 s->n_sets > 0 ? "INSERT names" : "the table has", n_wanted(p), n_given);
    if (s->n_sets == 0) {
        sm_error_todo(e, "Name the columns that get a value: INSERT INTO t (a, b) …, or take them "
                         "by the query's names: INSERT INTO t BY NAME ….");
    }
    return SM_SCHEMA;
}

/* The query's columns go into the columns that are listed, or without a list into all, in order. */
static sm_status place_in_order(const placing *p, sm_error *e)
{
    const smi_statement *const s = p->s;
    const int32_t n = n_wanted(p);
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
    return check_number(p, p->given->n_fields, e);
}

/* Are the rows those of VALUES in the statement itself? */
static bool gives_values(const smi_statement *s)
{
    return s->select->kind == SMI_SELECT_VALUES && !s->by_name;
}

/* Gives DEFAULT in VALUES its meaning. is_left[i]: column i of the table is DEFAULT in all rows,
 * and the table computes it. */
static sm_status settle_defaults(const placing *p, const smi_changed *t, bool *is_left, sm_error *e)
{
    smi_select *const q = p->s->select;

    if (!gives_values(p->s)) {
        return SM_OK;
    }
    SM_TRY(check_number(p, q->n_items, e));
    for (int32_t c = 0; c < q->n_items; c++) {
        int32_t at = c;
        int64_t n = 0;
        if (p->s->n_sets > 0) {
            SM_TRY(find_column(p->b, p->columns, &p->s->sets[c], &at, e));
        }
        for (int64_t r = 0; r < q->n_rows; r++) {
            n += q->rows[r][c]->kind == SMI_AST_DEFAULT;
        }
        SM_ASSERT(at >= 0 && at < p->columns->n_fields);
        is_left[at] = n == q->n_rows && t->is_computed[at];
        for (int64_t r = 0; n > 0 && r < q->n_rows; r++) {
            smi_ast *const cell = q->rows[r][c];
            if (is_left[at]) {
                cell->given =
                    smi_const(p->b->q->a, sm_value_null(p->columns->fields[at].type), NULL);
            } else if (cell->kind == SMI_AST_DEFAULT) {
                SM_TRY(bind_default(p->b, t, at, cell, &cell->given, e));
            }
        }
    }
    return SM_OK;
}

/* Where the value of a column stands: its item in SELECT, else the query. */
static sm_expr place_of_value(const placing *p, int32_t from)
{
    const smi_select *const q = p->s->select;
    bool is_item = q->kind == SMI_SELECT && q->n_items == p->given->n_fields;

    SM_ASSERT(from >= 0 && from < p->given->n_fields);
    for (int32_t i = 0; is_item && i <= from; i++) {
        is_item = q->items[i].expr->kind != SMI_AST_STAR;
    }
    return is_item ? smi_place(p->b->sql, q->items[from].expr->off, q->items[from].expr->end)
                   : smi_place(p->b->sql, q->off, q->end);
}

/* Sees that the values of VALUES are ones of their column: here each has a place of its own. */
static sm_status check_cells(const placing *p, const sm_plan_node *rows, int32_t column,
                             sm_error *e)
{
    smi_bind alone = {.q = p->b->q, .sql = p->b->sql}; /* constants are over no columns */
    const sm_field *const f = &p->columns->fields[column];
    const int32_t from = p->from[column], n = p->given->n_fields;

    if (!gives_values(p->s) || rows->kind != SM_PLAN_VALUES ||
        sm_type_eq(p->given->fields[from].type, f->type)) {
        return SM_OK;
    }
    SM_ASSERT(rows->as.values.n_rows == p->s->select->n_rows && n == p->s->select->n_items);
    for (int64_t r = 0; r < rows->as.values.n_rows; r++) {
        const smi_ast *const cell = p->s->select->rows[r][from];
        const sm_expr place = smi_place(p->b->sql, cell->off, cell->end);
        const sm_expr *x = NULL;
        SM_TRY(smi_bind_value(&alone, rows->as.values.rows[r * n + from], f, &place, &x, e));
        SM_TRY(x->kind == SM_EXPR_CONST ? SM_OK : smi_fail_constant(&alone, cell, x, e));
    }
    return SM_OK;
}

/* Tells the resolver which columns the query's rows should have. */
static sm_status expect_columns(const placing *p, const smi_changed *t, sm_error *e)
{
    const sm_resolver *const r = p->b->q->resolver;
    const int32_t n = n_wanted(p);
    sm_field *const fields = SM_NEW_ARRAY(p->b->q->a, sm_field, n + 1);
    int32_t n_fields = 0;

    for (int32_t i = 0; i < n; i++) {
        int32_t at = i;
        if (p->s->n_sets > 0) {
            SM_TRY(find_column(p->b, p->columns, &p->s->sets[i], &at, e));
        }
        if (!p->s->by_name || !t->is_computed[at]) {
            fields[n_fields++] = p->columns->fields[at];
        }
    }
    if (r && r->expect) {
        r->expect(r->ctx, sm_type_struct(p->b->q->a, fields, n_fields));
    }
    return SM_OK;
}

/* Binds the query, and places its columns. */
static sm_status bind_rows(placing *p, sm_plan_node **rows, sm_error *e)
{
    SM_TRY(smi_bind_select(p->b->q, p->b->sql, p->b->ctes, p->s->select, rows, e));
    p->given = (*rows)->schema;
    for (int32_t i = 0; i < p->columns->n_fields; i++) {
        p->from[i] = -1;
    }
    return p->s->by_name ? place_by_name(p, e) : place_in_order(p, e);
}

/* Fits the types of the rows to those of the columns that they become the values of. */
static bool fit_rows(const placing *p, const sm_plan_node *rows)
{
    const int32_t n = p->columns->n_fields;
    smi_use *const uses = SM_NEW_ARRAY(p->b->q->a, smi_use, n + 1);
    int64_t n_uses = 0;

    for (int32_t i = 0; i < n; i++) {
        const int32_t from = p->from[i];
        if (from >= 0) {
            uses[n_uses++] = (smi_use){
                .x = smi_column_ref(p->b->q->a, from, p->given->fields[from].type, NULL),
                .there = p->columns->fields[i].type,
            };
        }
    }
    return smi_fit_rows(p->b->q, rows, uses, n_uses);
}

static sm_status bind_insert(smi_bind *b, const smi_statement *s, sm_statement *out,
                             sm_plan_node **root, sm_error *e)
{
    sm_arena *const a = b->q->a;
    sm_plan_node *rows = NULL;
    smi_changed t = {0};
    SM_TRY(smi_bind_changed_table(b, s, out, &t, e));
    const sm_type *const columns = t.node->schema;
    SM_TRY(bind_partitions(b, s, columns, out, e));
    const int32_t n = columns->n_fields;
    bool *const is_left = SM_NEW_ARRAY(a, bool, n + 1);
    placing p = {b, s, columns, NULL, SM_NEW_ARRAY(a, int32_t, n + 1)};
    SM_TRY(settle_defaults(&p, &t, is_left, e));
    SM_TRY(expect_columns(&p, &t, e));
    SM_TRY(bind_rows(&p, &rows, e));
    if (fit_rows(&p, rows)) {
        SM_TRY(bind_rows(&p, &rows, e));
    }
    const sm_expr **const exprs = SM_NEW_ARRAY(a, const sm_expr *, n + 1);
    sm_str *const names = SM_NEW_ARRAY(a, sm_str, n + 1);
    int32_t n_given = 0;

    for (int32_t i = 0; i < n; i++) {
        const int32_t from = is_left[i] ? -1 : p.from[i];
        const sm_expr *x = smi_const(a, sm_value_null(columns->fields[i].type), NULL);
        if (from < 0 && t.is_computed[i]) {
            continue;
        }
        if (from >= 0) {
            const sm_expr place = place_of_value(&p, from);
            SM_TRY(check_cells(&p, rows, i, e));
            x = smi_column_ref(a, from, rows->schema->fields[from].type, &place);
            SM_TRY(smi_bind_value(b, x, &columns->fields[i], &place, &x, e));
        }
        exprs[n_given] = x;
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
    smi_changed t = {0};

    SM_TRY(smi_bind_changed_table(b, s, out, &t, e));
    *root = t.node;
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
    smi_changed t = {0};

    SM_TRY(smi_bind_changed_table(b, s, out, &t, e));
    *root = t.node;
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
    SM_TRY(smi_bind_sets(b, &t, s->sets, s->n_sets, false, c->values, e));
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
    smi_changed t = {0};

    SM_TRY(smi_bind_changed_table(b, s, out, &t, e));
    out->alters = s->alters;
    out->n_alters = s->n_alters;
    *root = smi_node_row(b->q->a);
    return SM_OK;
}

/* ---- CREATE TABLE ---------------------------------------------------------------------------- */

static sm_status bind_create(smi_bind *b, const smi_statement *s, sm_statement *out,
                             sm_plan_node **root, sm_error *e)
{
    SM_TRY(smi_bind_query(b->q, b->sql, s->select, root, e));
    return bind_partitions(b, s, (*root)->schema, out, e);
}

/* ---- any ------------------------------------------------------------------------------------- */

sm_status smi_bind_statement(smi_binding *q, const sm_sql *sql, const smi_statement *s,
                             sm_statement *out, sm_plan_node **root, sm_error *e)
{
    smi_bind b = {.q = q, .sql = sql, .ctes = smi_statement_ctes(q->a, s)};

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
        return smi_bind_query(q, sql, s->select, root, e);
    case SM_STATEMENT_CREATE_TABLE:
        return bind_create(&b, s, out, root, e);
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
