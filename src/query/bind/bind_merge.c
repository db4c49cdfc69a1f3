/* SPDX-License-Identifier: Apache-2.0
 *
 * query/bind/bind_merge.c: binds MERGE. Called by bind_change.c.
 *
 * Rows      A row of the table is looked at beside the row of the source that it is paired with, or
 *           beside NULLs. So that one expression can be over both, the columns are those of the
 *           table, then a BIGINT that belongs to whoever executes the statement, the columns of the
 *           source, and at the end a BOOLEAN that is true where there is a pair (sm_row_change).
 * Clauses   The first WHEN whose condition is true counts. So each of acts, deletes and the values
 *           becomes CASE WHEN there is a pair THEN the clauses of MATCHED ELSE those of NOT MATCHED
 *           BY SOURCE END, and each half a CASE over the conditions of its clauses.
 * Pairs     Where no clause asks for rows without a pair, only pairs that a clause acts on are of
 *           interest (joins): a row may then match several rows of the source, as long as one of
 *           them acts on it.
 * Source    Spark and Databricks, MERGE INTO. */
#include "query/bind/bind_int.h"
#include "query/function/function_int.h"

/* A MERGE while it is bound. */
typedef struct merging {
    sm_arena *a;
    const smi_statement *s;
    smi_bind target;        /* scope: the table's columns */
    smi_bind source;        /* scope: the source's, from 0 on */
    smi_bind both;          /* scope: both, as in sm_row_change.rows */
    const sm_type *columns; /* of the table */
    const sm_type *source_columns;
    const sm_expr *has_pair;
    smi_changed table;
    const sm_expr **conditions; /* of each WHEN; TRUE where it has none */
    const sm_expr ***values;    /* of each WHEN: one a column of the table; NULL for DELETE */
} merging;

static const sm_expr *bool_of(const merging *m, bool v)
{
    return smi_const(m->a, (sm_value){.type = &sm_type_bool, .as.b = v}, NULL);
}

/* ---- what the expressions are over ----------------------------------------------------------- */

static void add_scope(sm_arena *a, smi_scope *to, const smi_scope *from, int32_t shift)
{
    for (int64_t i = 0; i < from->n; i++) {
        to->cols = sm_arena_grow(a, to->cols, to->n, &to->cap, sizeof(*to->cols));
        to->cols[to->n] = from->cols[i];
        to->cols[to->n++].index += shift;
    }
}

/* The table's columns, the executor's own, the source's, and whether there is a pair. */
static const sm_type *rows_of(const merging *m)
{
    const int32_t n = m->columns->n_fields, n_source = m->source_columns->n_fields;
    sm_field *const fields = SM_NEW_ARRAY(m->a, sm_field, n + n_source + 2);

    for (int32_t i = 0; i < n; i++) {
        fields[i] = m->columns->fields[i];
    }
    fields[n] = (sm_field){.name = SM_STR("place"), .type = &sm_type_i64};
    for (int32_t i = 0; i < n_source; i++) {
        fields[n + 1 + i] = m->source_columns->fields[i];
        fields[n + 1 + i].is_nullable = true;
    }
    fields[n + 1 + n_source] =
        (sm_field){.name = SM_STR("has_pair"), .type = &sm_type_bool, .is_nullable = true};
    return sm_type_struct(m->a, fields, n + n_source + 2);
}

/* The source's columns as the statement calls them: v(a, b) may rename them. */
static const sm_type *named_columns(const merging *m, const sm_type *schema)
{
    sm_field *const fields = SM_NEW_ARRAY(m->a, sm_field, schema->n_fields + 1);

    for (int32_t i = 0; i < schema->n_fields; i++) {
        fields[i] = schema->fields[i];
    }
    for (int64_t i = 0; i < m->source.scope.n; i++) {
        const smi_scope_col *const c = &m->source.scope.cols[i];
        SM_ASSERT(c->index >= 0 && c->index < schema->n_fields);
        fields[c->index].name = c->name;
    }
    return sm_type_struct(m->a, fields, schema->n_fields);
}

static sm_status bind_table(merging *m, sm_statement *out, sm_error *e)
{
    const sm_resolver *const r = m->target.q->resolver;

    SM_TRY(smi_bind_changed_table(&m->target, m->s, out, &m->table, e));
    m->columns = m->table.node->schema;
    if (r && r->expect) {
        r->expect(r->ctx, m->columns);
    }
    return SM_OK;
}

static sm_status bind_source(merging *m, sm_statement *out, sm_plan_node **source, sm_error *e)
{
    sm_row_change *const c = &out->change;

    m->source.scope = m->both.scope = (smi_scope){0};
    SM_TRY(smi_bind_from(&m->source, m->s->source, source, e));
    smi_whole_take(&m->source.q->whole);
    m->source_columns = named_columns(m, (*source)->schema);
    c->rows = rows_of(m);
    c->n_columns = m->columns->n_fields;
    c->source = *source;
    add_scope(m->a, &m->both.scope, &m->target.scope, 0);
    add_scope(m->a, &m->both.scope, &m->source.scope, c->n_columns + 1);
    m->has_pair = smi_column_ref(m->a, c->rows->n_fields - 1, &sm_type_bool, NULL);
    return SM_OK;
}

/* ---- clauses --------------------------------------------------------------------------------- */

static smi_bind *scope_of(merging *m, smi_when_kind kind)
{
    return kind == SMI_WHEN_MATCHED       ? &m->both
           : kind == SMI_WHEN_NOT_MATCHED ? &m->source
                                          : &m->target;
}

/* SET *, INSERT *: each column gets the source's column of the same name. */
static sm_status bind_star(merging *m, const smi_when *w, const sm_expr **values, sm_error *e)
{
    const int32_t shift = w->action == SMI_ACTION_UPDATE ? m->columns->n_fields + 1 : 0;
    smi_bind *const b = scope_of(m, w->kind);
    const sm_expr place = smi_place(b->sql, w->off, w->end);

    for (int32_t i = 0; i < m->columns->n_fields; i++) {
        const sm_field *const column = &m->columns->fields[i];
        const int32_t at = sm_type_find(m->source_columns, column->name);
        if (at < 0) {
            smi_sql_fail(b->sql, w->off, e, SM_NAME,
                         "the source has no column \"%.*s\", which * needs",
                         SM_STR_ARG(column->name));
            sm_error_todo(e, "Name the columns that get a value in place of the *.");
            return SM_NAME;
        }
        const sm_expr *const x =
            smi_column_ref(m->a, at + shift, m->source_columns->fields[at].type, &place);
        SM_TRY(smi_bind_value(b, x, column, &place, &values[i], e));
    }
    return SM_OK;
}

static sm_status bind_values(merging *m, const smi_when *w, const sm_expr **values, sm_error *e)
{
    smi_bind *const b = scope_of(m, w->kind);

    for (int32_t i = 0; i < m->columns->n_fields; i++) {
        const sm_type *const t = m->columns->fields[i].type;
        values[i] = w->action == SMI_ACTION_UPDATE ? smi_column_ref(m->a, i, t, NULL)
                                                   : smi_const(m->a, sm_value_null(t), NULL);
    }
    return w->is_star ? bind_star(m, w, values, e)
                      : smi_bind_sets(b, &m->table, w->sets, w->n_sets,
                                      w->action == SMI_ACTION_INSERT, values, e);
}

static sm_status bind_when(merging *m, int32_t i, sm_error *e)
{
    const smi_when *const w = &m->s->whens[i];

    SM_ASSERT((w->action == SMI_ACTION_INSERT) == (w->kind == SMI_WHEN_NOT_MATCHED));
    m->conditions[i] = bool_of(m, true);
    if (w->condition) {
        SM_TRY(
            smi_bind_predicate(scope_of(m, w->kind), w->condition, "WHEN", &m->conditions[i], e));
    }
    for (int32_t k = 0; k < i; k++) {
        if (m->s->whens[k].kind == w->kind && !m->s->whens[k].condition) {
            return smi_sql_fail(
                m->both.sql, w->off, e, SM_SYNTAX,
                "a WHEN before this one has no condition, so this one never counts");
        }
    }
    if (w->action != SMI_ACTION_DELETE) {
        m->values[i] = SM_NEW_ARRAY(m->a, const sm_expr *, m->columns->n_fields + 1);
        SM_TRY(bind_values(m, w, m->values[i], e));
    }
    return SM_OK;
}

static bool has_kind(const merging *m, smi_when_kind kind)
{
    bool has = false;
    for (int32_t i = 0; i < m->s->n_whens && !has; i++) {
        has = m->s->whens[i].kind == kind;
    }
    return has;
}

/* ---- clauses as one expression --------------------------------------------------------------- */

/* What each clause gives, where it is the one that counts. */
typedef const sm_expr *(*clause_fn)(const merging *m, int32_t clause, int32_t column);

static const sm_expr *is_act(const merging *m, int32_t clause, int32_t column)
{
    return bool_of(m, true);
}

static const sm_expr *is_delete(const merging *m, int32_t clause, int32_t column)
{
    return bool_of(m, m->s->whens[clause].action == SMI_ACTION_DELETE);
}

/* In a row that is deleted the value does not matter. */
static const sm_expr *value_of(const merging *m, int32_t clause, int32_t column)
{
    const sm_type *const t = m->columns->fields[column].type;
    return m->values[clause] ? m->values[clause][column] : smi_column_ref(m->a, column, t, NULL);
}

/* The last of the n arguments is ELSE. Where all values are alike, no condition is needed: most
 * columns of a row stay as they are. */
static const sm_expr *case_of(sm_arena *a, const sm_expr **args, int32_t n)
{
    bool is_one = true;
    SM_ASSERT(n % 2 == 1);
    for (int32_t i = 1; i < n && is_one; i += 2) {
        is_one = sm_expr_eq(args[i], args[n - 1]);
    }
    if (is_one) {
        return args[n - 1];
    }
    sm_expr *const x = smi_expr_new(a, SM_EXPR_CASE, args[n - 1]->type, NULL);
    x->args = args;
    x->n_args = n;
    return smi_fold(a, x);
}

/* CASE WHEN condition THEN what its clause gives … ELSE otherwise END, over a kind's clauses. */
static const sm_expr *clauses_of(const merging *m, smi_when_kind kind, clause_fn fn, int32_t column,
                                 const sm_expr *otherwise)
{
    const sm_expr **const args = SM_NEW_ARRAY(m->a, const sm_expr *, 2 * m->s->n_whens + 1);
    int32_t n = 0;

    for (int32_t i = 0; i < m->s->n_whens; i++) {
        if (m->s->whens[i].kind == kind) {
            args[n++] = m->conditions[i];
            args[n++] = fn(m, i, column);
        }
    }
    args[n++] = otherwise;
    SM_ASSERT(n <= 2 * m->s->n_whens + 1);
    return case_of(m->a, args, n);
}

/* The clauses of MATCHED for a row with a pair, those of BY SOURCE for one without. */
static const sm_expr *clauses_of_row(const merging *m, clause_fn fn, int32_t column,
                                     const sm_expr *otherwise)
{
    const sm_expr **const args = SM_NEW_ARRAY(m->a, const sm_expr *, 3);

    args[0] = m->has_pair;
    args[1] = clauses_of(m, SMI_WHEN_MATCHED, fn, column, otherwise);
    args[2] = clauses_of(m, SMI_WHEN_NOT_MATCHED_BY_SOURCE, fn, column, otherwise);
    return case_of(m->a, args, 3);
}

/* on, and for a row that only a pair changes: one of the conditions of MATCHED. */
static const sm_expr *joins_of(const merging *m, const sm_row_change *c)
{
    const sm_expr *parts[2] = {c->on, NULL};

    if (!c->takes_unmatched) {
        parts[1] = clauses_of(m, SMI_WHEN_MATCHED, is_act, 0, bool_of(m, false));
    }
    return smi_and(m->a, parts, 2);
}

/* How many clauses of INSERT there are (*n), and how many of them name the column. */
static int32_t n_naming(const merging *m, int32_t column, int32_t *n)
{
    int32_t n_named = 0;

    *n = 0;
    for (int32_t i = 0; i < m->s->n_whens; i++) {
        const smi_when *const w = &m->s->whens[i];
        bool names = w->is_star;
        for (int32_t k = 0; k < w->n_sets && !names; k++) {
            names = w->sets[k].expr->kind != SMI_AST_DEFAULT &&
                    sm_type_find(m->columns, w->sets[k].column) == column;
        }
        *n += w->kind == SMI_WHEN_NOT_MATCHED;
        n_named += w->kind == SMI_WHEN_NOT_MATCHED && names;
    }
    return n_named;
}

/* What the column gets in rows that are added; NULL: the table computes it. */
static sm_status insert_value(const merging *m, int32_t column, const sm_expr **out, sm_error *e)
{
    const sm_field *const f = &m->columns->fields[column];
    int32_t n = 0;
    const int32_t n_named = n_naming(m, column, &n);

    *out = NULL;
    if (m->table.is_computed[column] && n_named == 0) {
        return SM_OK;
    }
    if (m->table.is_computed[column] && n_named < n) {
        return smi_sql_fail(m->both.sql, m->s->off, e, SM_UNSUPPORTED,
                            "column \"%.*s\" has a default or is generated: each INSERT names it, "
                            "or none does",
                            SM_STR_ARG(f->name));
    }
    *out = clauses_of(m, SMI_WHEN_NOT_MATCHED, value_of, column,
                      smi_const(m->a, sm_value_null(f->type), NULL));
    return SM_OK;
}

static sm_status set_inserts(const merging *m, sm_row_change *c, sm_error *e)
{
    if (!has_kind(m, SMI_WHEN_NOT_MATCHED)) {
        return SM_OK;
    }
    c->inserts = clauses_of(m, SMI_WHEN_NOT_MATCHED, is_act, 0, bool_of(m, false));
    c->insert_values = SM_NEW_ARRAY(m->a, const sm_expr *, c->n_columns + 1);
    for (int32_t i = 0; i < c->n_columns; i++) {
        SM_TRY(insert_value(m, i, &c->insert_values[i], e));
    }
    return SM_OK;
}

static void set_change(const merging *m, sm_row_change *c)
{
    const int32_t n = c->n_columns;
    const bool matched = has_kind(m, SMI_WHEN_MATCHED);

    c->takes_unmatched = has_kind(m, SMI_WHEN_NOT_MATCHED_BY_SOURCE);
    c->acts = clauses_of_row(m, is_act, 0, bool_of(m, false));
    c->deletes = clauses_of_row(m, is_delete, 0, bool_of(m, false));
    c->values = SM_NEW_ARRAY(m->a, const sm_expr *, n + 1);
    for (int32_t i = 0; i < n; i++) {
        const sm_expr *const old = smi_column_ref(m->a, i, m->columns->fields[i].type, NULL);
        c->values[i] = clauses_of_row(m, value_of, i, old);
    }
    SM_ASSERT(c->acts->type->id == SM_TYPE_BOOL && c->deletes->type->id == SM_TYPE_BOOL);
    c->joins = matched || c->takes_unmatched ? joins_of(m, c) : NULL;
}

/* ---- types that were found in files ---------------------------------------------------------- */

/* The uses of the source's columns in expressions over some rows, in which these columns begin at
 * `first` (0: there are no others). */
typedef struct use_list {
    const merging *m;
    int32_t first;
    smi_use *uses;
    int64_t n, cap;
} use_list;

/* The number of the column that x is, or is a field of; −1: it is neither. */
static int32_t column_of(const sm_expr *x)
{
    while (x->kind == SM_EXPR_FIELD) {
        x = x->args[0];
    }
    return x->kind == SM_EXPR_COLUMN ? x->index : -1;
}

/* x without the cast that binding added: such a cast has the place of what is cast. */
static const sm_expr *plain(const sm_expr *x)
{
    const sm_expr *const in = x->kind == SM_EXPR_CAST && !x->is_try ? x->args[0] : x;

    return in->off_bytes == x->off_bytes && in->end_bytes == x->end_bytes ? in : x;
}

static bool is_of_source(const use_list *l, const sm_expr *x)
{
    const int32_t at = column_of(x) - l->first;

    return column_of(x) >= 0 && at >= 0 && at < l->m->source_columns->n_fields;
}

static void add_use(use_list *l, const sm_expr *x, const sm_type *there, bool is_compared)
{
    const int32_t n = l->m->source_columns->n_fields;
    int32_t *const map = SM_NEW_ARRAY(l->m->a, int32_t, l->first + n + 1);

    for (int32_t i = 0; i < n; i++) {
        map[l->first + i] = i;
    }
    l->uses = sm_arena_grow(l->m->a, l->uses, l->n, &l->cap, sizeof(*l->uses));
    SM_ASSERT(is_of_source(l, x) && l->n < l->cap);
    l->uses[l->n++] = (smi_use){smi_remap(l->m->a, x, map), there, is_compared};
}

static bool is_comparison(const sm_expr *x)
{
    static const char *const names[] = {
        "=", "<>", "<", "<=", ">", ">=", "is_distinct", "is_not_distinct"};
    bool is_one = false;

    for (int i = 0; x->kind == SM_EXPR_CALL && i < SM_COUNT(names); i++) {
        is_one |= strcmp(x->fn->name, names[i]) == 0;
    }
    return is_one;
}

/* Is x a comparison of a column of the source with one of the table? Then it is added. */
static bool add_comparison(use_list *l, const sm_expr *x)
{
    if (!is_comparison(x)) {
        return false;
    }
    for (int i = 0; i < 2; i++) {
        const sm_expr *const mine = plain(x->args[i]), *const its = plain(x->args[1 - i]);
        const int32_t at = column_of(its);
        if (is_of_source(l, mine) && at >= 0 && at < l->first && at < l->m->columns->n_fields) {
            add_use(l, mine, its->type, true);
            return true;
        }
    }
    return false;
}

static void add_uses(use_list *l, const sm_expr *x)
{
    if (is_of_source(l, x)) {
        add_use(l, x, NULL, false);
    } else if (!add_comparison(l, x)) {
        for (int32_t i = 0; i < x->n_args; i++) {
            add_uses(l, x->args[i]);
        }
    }
}

static void add_uses_of_when(use_list *l, int32_t when)
{
    const merging *const m = l->m;
    const smi_when_kind kind = m->s->whens[when].kind;

    if (kind == SMI_WHEN_NOT_MATCHED_BY_SOURCE) {
        return;
    }
    l->first = kind == SMI_WHEN_MATCHED ? m->columns->n_fields + 1 : 0;
    add_uses(l, m->conditions[when]);
    for (int32_t i = 0; m->values[when] && i < m->columns->n_fields; i++) {
        const sm_expr *const x = plain(m->values[when][i]);
        if (is_of_source(l, x)) {
            add_use(l, x, m->columns->fields[i].type, false);
        } else {
            add_uses(l, x);
        }
    }
}

/* Fits the source's columns to the table's (bind_fit.c). true: all is to be bound anew. */
static bool fit_source(const merging *m, const sm_row_change *c, const sm_plan_node *source)
{
    use_list l = {.m = m, .first = m->columns->n_fields + 1};

    SM_ASSERT(c->on && c->source == source);
    add_uses(&l, c->on);
    for (int32_t i = 0; i < m->s->n_whens; i++) {
        add_uses_of_when(&l, i);
    }
    return smi_fit_rows(m->source.q, source, l.uses, l.n);
}

/* ---- a MERGE --------------------------------------------------------------------------------- */

/* All but the table. */
static sm_status bind_clauses(merging *m, sm_statement *out, sm_plan_node **source, sm_error *e)
{
    SM_TRY(bind_source(m, out, source, e));
    SM_TRY(smi_bind_predicate(&m->both, m->s->on, "ON", &out->change.on, e));
    for (int32_t i = 0; i < m->s->n_whens; i++) {
        SM_TRY(bind_when(m, i, e));
    }
    return SM_OK;
}

/* For EXPLAIN: the table's rows with their pairs. */
static sm_status plan_shown(const merging *m, const sm_row_change *c, sm_plan_node *table,
                            sm_plan_node *source, sm_plan_node **out, sm_error *e)
{
    const int32_t n = c->n_columns;
    int32_t *const map = SM_NEW_ARRAY(m->a, int32_t, c->rows->n_fields + 1);

    for (int32_t i = 0; i < c->rows->n_fields; i++) {
        map[i] = i < n ? i : i - 1;
    }
    SM_ASSERT(c->rows->n_fields == n + m->source_columns->n_fields + 2);
    sm_plan_node *const join = smi_node_join(m->a, table, source, SM_JOIN_INNER);
    *out = smi_join_on(m->a, join, smi_remap(m->a, c->on, map));
    smi_join_settle(join);
    return SM_OK;
}

sm_status smi_bind_merge(smi_binding *q, const sm_sql *sql, const smi_statement *s,
                         sm_statement *out, sm_plan_node **root, sm_error *e)
{
    const smi_bind none = {.q = q, .sql = sql, .no_aggregate = "in MERGE", .no_window = "in MERGE"};
    merging m = {.a = q->a, .s = s, .target = none, .source = none, .both = none};
    sm_row_change *const c = &out->change;
    sm_plan_node *source = NULL;

    m.conditions = SM_NEW_ARRAY(q->a, const sm_expr *, s->n_whens + 1);
    m.values = SM_NEW_ARRAY(q->a, const sm_expr **, s->n_whens + 1);
    m.target.ctes = m.source.ctes = m.both.ctes = smi_statement_ctes(q->a, s);
    SM_TRY(bind_table(&m, out, e));
    m.both.takes_misfits = m.source.takes_misfits = true;
    SM_TRY(bind_clauses(&m, out, &source, e));
    m.both.takes_misfits = m.source.takes_misfits = false;
    if (fit_source(&m, c, source) || m.both.has_misfits || m.source.has_misfits) {
        SM_TRY(bind_clauses(&m, out, &source, e));
    }
    set_change(&m, c);
    SM_TRY(set_inserts(&m, c, e));
    return plan_shown(&m, c, m.table.node, source, root, e);
}
