/* SPDX-License-Identifier: Apache-2.0
 *
 * query/parse/sql_canonical.c: prints a query as a text by which two queries can be compared: if
 * the texts are the same, they give the same rows of the same files. Called for loads, whose tables
 * remember the query that made their rows.
 *
 * Ignored   layout, comments, the case of keywords and functions, parentheses that change nothing,
 *           the table's name before a column where there is one table, the order of named
 *           arguments, and what sm_canonical_opts leaves out.
 * Compared  all else, even a constant in a branch that is never taken. Nothing is folded and no
 *           type is looked up, so the text does not depend on the data.
 * Views     are printed as their SQL; a variable as its value, or as var('name').
 * Lines     "column NAME: EXPRESSION" for each output column; "from …"; "with ARGUMENT: …" for each
 *           argument of the one function in FROM; "where …" for each conjunct; then the rest.
 * Stored    in tables: so the text of a query must never change.
 * Walk      Not by sql_walk.c: words stand between a node's children, arguments are sorted by name,
 *           and a table of WITH is printed where it is named. */
#include "base/quote.h"
#include "query/parse/parse_int.h"

#include <stdlib.h>

typedef struct canonical {
    const sm_canonical_opts *opts;
    const sm_resolver *resolver;
    sm_arena *a;
    sm_str table; /* the name of the only table, left out before columns; "": there are several */
    const smi_cte *ctes;
    const sm_sql *sql; /* the text being read: a view's, where one is */
    smi_descent at;
    sm_buf out;
} canonical;

static sm_status print_expr(canonical *c, const smi_ast *x, sm_error *e);
static sm_status print_select(canonical *c, const smi_select *s, bool is_top, sm_error *e);

/* ---- words ----------------------------------------------------------------------------------- */

static void put(canonical *c, const char *text)
{
    sm_buf_text(&c->out, sm_str_of(text));
}

static void put_lower(canonical *c, sm_str s)
{
    for (size_t i = 0; i < s.len; i++) {
        const char lower = s.data[i] >= 'A' && s.data[i] <= 'Z' ? s.data[i] + 32 : s.data[i];
        sm_buf_text(&c->out, (sm_str){&lower, 1});
    }
}

static void put_value(canonical *c, sm_value v)
{
    if (v.is_null) {
        put(c, "NULL");
    } else if (v.type->id == SM_TYPE_STRING) {
        sm_buf_quoted(&c->out, v.as.s, '\'');
    } else {
        sm_value_print(v, &c->out);
    }
}

static void put_names(canonical *c, const sm_str *names, int32_t n)
{
    for (int32_t i = 0; i < n; i++) {
        put(c, i ? ", " : "");
        sm_buf_quoted(&c->out, names[i], '"');
    }
}

/* ---- expressions ----------------------------------------------------------------------------- */

static sm_status print_exprs(canonical *c, smi_ast *const *items, int32_t n, const char *between,
                             sm_error *e)
{
    for (int32_t i = 0; i < n; i++) {
        put(c, i ? between : "");
        if (items[i]->arg_name.len > 0) {
            sm_buf_quoted(&c->out, items[i]->arg_name, '"');
            put(c, ": ");
        }
        SM_TRY(print_expr(c, items[i], e));
    }
    return SM_OK;
}

static sm_status print_order(canonical *c, const smi_order *order, int32_t n, sm_error *e)
{
    for (int32_t i = 0; i < n; i++) {
        put(c, i ? ", " : "");
        SM_TRY(print_expr(c, order[i].expr, e));
        put(c, order[i].is_desc ? " DESC" : "");
        put(c, order[i].nulls_first ? " NULLS FIRST" : "");
    }
    return SM_OK;
}

static sm_status print_variable(canonical *c, const smi_ast *x, sm_error *e)
{
    sm_value v = {0};
    const sm_str name = x->n_args == 1 ? x->args[0]->value.as.s : (sm_str){0};

    if (name.len == 0 || (c->opts->is_open && c->opts->is_open(c->opts->ctx, name))) {
        put(c, "var(");
        sm_buf_quoted(&c->out, name, '\'');
        put(c, ")");
        return SM_OK;
    }
    SM_TRY(c->resolver->variable(c->resolver->ctx, name, c->a, &v, e));
    put_value(c, v);
    return SM_OK;
}

static sm_status print_over(canonical *c, const smi_over *over, sm_error *e)
{
    put(c, " OVER (");
    if (over->n_partition > 0) {
        put(c, "PARTITION BY ");
        SM_TRY(print_exprs(c, over->partition, over->n_partition, ", ", e));
    }
    if (over->n_order > 0) {
        put(c, over->n_partition > 0 ? " ORDER BY " : "ORDER BY ");
        SM_TRY(print_order(c, over->order, over->n_order, e));
    }
    put(c, ")");
    return SM_OK;
}

static sm_status print_call(canonical *c, const smi_ast *x, sm_error *e)
{
    if (sm_str_eq_nocase(x->name, SM_STR("var"))) {
        return print_variable(c, x, e);
    }
    put_lower(c, x->name);
    put(c, x->flag ? "(DISTINCT " : "(");
    put(c, x->is_star_arg ? "*" : "");
    SM_TRY(print_exprs(c, x->args, x->n_args, ", ", e));
    put(c, ")");
    if (x->filter) {
        put(c, " FILTER (");
        SM_TRY(print_expr(c, x->filter, e));
        put(c, ")");
    }
    return x->over ? print_over(c, x->over, e) : SM_OK;
}

static void print_column(canonical *c, const smi_ast *x)
{
    const bool is_said =
        x->n_parts > 1 && c->table.len > 0 && sm_str_eq_nocase(x->parts[0], c->table);

    for (int32_t i = is_said ? 1 : 0; i < x->n_parts; i++) {
        sm_buf_quoted(&c->out, x->parts[i], '"');
        put(c, i + 1 < x->n_parts ? "." : "");
    }
}

static void print_star(canonical *c, const smi_ast *x)
{
    const bool is_said =
        x->n_parts == 1 && c->table.len > 0 && sm_str_eq_nocase(x->parts[0], c->table);

    if (!is_said && x->n_parts > 0) {
        put_names(c, x->parts, x->n_parts);
        put(c, ".");
    }
    put(c, "*");
    if (x->n_names > 0) {
        put(c, " EXCLUDE (");
        put_names(c, x->names, x->n_names);
        put(c, ")");
    }
}

static sm_status print_case(canonical *c, const smi_ast *x, sm_error *e)
{
    put(c, "CASE");
    for (int32_t i = 0; i + 1 < x->n_args; i += 2) {
        put(c, " WHEN ");
        SM_TRY(print_expr(c, x->args[i], e));
        put(c, " THEN ");
        SM_TRY(print_expr(c, x->args[i + 1], e));
    }
    put(c, " ELSE ");
    SM_TRY(print_expr(c, x->args[x->n_args - 1], e));
    put(c, " END");
    return SM_OK;
}

static sm_status print_around(canonical *c, const char *before, smi_ast *const *items, int32_t n,
                              const char *between, const char *behind, sm_error *e)
{
    put(c, before);
    SM_TRY(print_exprs(c, items, n, between, e));
    put(c, behind);
    return SM_OK;
}

static sm_status print_node(canonical *c, const smi_ast *x, sm_error *e)
{
    switch (x->kind) {
    case SMI_AST_COLUMN:
        print_column(c, x);
        return SM_OK;
    case SMI_AST_STAR:
        print_star(c, x);
        return SM_OK;
    case SMI_AST_LITERAL:
        put_value(c, x->value);
        return SM_OK;
    case SMI_AST_CALL:
        return print_call(c, x, e);
    case SMI_AST_AND:
        return print_around(c, "(", x->args, x->n_args, " AND ", ")", e);
    case SMI_AST_OR:
        return print_around(c, "(", x->args, x->n_args, " OR ", ")", e);
    case SMI_AST_CASE:
        return print_case(c, x, e);
    case SMI_AST_CAST:
        put(c, x->flag ? "TRY_CAST(" : "CAST(");
        SM_TRY(print_expr(c, x->args[0], e));
        put(c, " AS ");
        sm_type_print(x->type, &c->out);
        put(c, ")");
        return SM_OK;
    case SMI_AST_IN:
        SM_TRY(print_expr(c, x->args[0], e));
        return print_around(c, " IN (", x->args + 1, x->n_args - 1, ", ", ")", e);
    case SMI_AST_FIELD:
        SM_TRY(print_expr(c, x->args[0], e));
        put(c, ".");
        sm_buf_quoted(&c->out, x->name, '"');
        return SM_OK;
    case SMI_AST_SUBQUERY:
        return print_select(c, x->select, false, e);
    case SMI_AST_DEFAULT: /* refused by the binder in a query */
        put(c, "DEFAULT");
        return SM_OK;
    case SMI_AST_LIST:
        return print_around(c, "[", x->args, x->n_args, ", ", "]", e);
    case SMI_AST_STRUCT:
        return print_around(c, "{", x->args, x->n_args, ", ", "}", e);
    }
    return SM_OK;
}

static sm_status print_expr(canonical *c, const smi_ast *x, sm_error *e)
{
    SM_TRY(smi_enter_expr(&c->at, c->sql, x->off, e));
    const sm_status st = print_node(c, x, e);
    smi_leave_expr(&c->at);
    return st;
}

/* ---- FROM ------------------------------------------------------------------------------------ */

/* `name => value`, also written name = value. */
static sm_str name_of_argument(const smi_ast *arg, const smi_ast **value)
{
    *value = arg;
    if (arg->kind == SMI_AST_CALL && sm_str_is(arg->name, "=") && arg->arg_name.len == 0 &&
        arg->n_args == 2 && arg->args[0]->kind == SMI_AST_COLUMN && arg->args[0]->n_parts == 1) {
        *value = arg->args[1];
        return arg->args[0]->parts[0];
    }
    return arg->arg_name;
}

static int by_name(const void *x, const void *y)
{
    const smi_ast *unused = NULL;

    return sm_str_cmp(name_of_argument(*(smi_ast *const *)x, &unused),
                      name_of_argument(*(smi_ast *const *)y, &unused));
}

/* A struct has a line for each member, so that a difference can be told by its line. */
static sm_status print_argument(canonical *c, sm_str name, const smi_ast *value, const char *before,
                                sm_error *e)
{
    if (value->kind != SMI_AST_STRUCT) {
        put(c, before);
        sm_buf_text(&c->out, name);
        put(c, ": ");
        smi_ast unnamed = *value;
        unnamed.arg_name = (sm_str){0};
        return print_expr(c, &unnamed, e);
    }
    for (int32_t i = 0; i < value->n_args; i++) {
        put(c, before);
        sm_buf_printf(&c->out, "%.*s %.*s: ", SM_STR_ARG(name),
                      SM_STR_ARG(value->args[i]->arg_name));
        SM_TRY(print_expr(c, value->args[i], e));
    }
    return SM_OK;
}

static sm_status print_function(canonical *c, const smi_from *f, bool is_top, sm_error *e)
{
    smi_ast **args = SM_NEW_ARRAY(c->a, smi_ast *, f->n_args + 1);
    const char *const before = is_top ? "\nwith " : ", with ";

    put_lower(c, f->name);
    if (f->n_args > 0) {
        memcpy(args, f->args, (size_t)f->n_args * sizeof(smi_ast *));
        qsort(args, (size_t)f->n_args, sizeof(smi_ast *), by_name);
    }
    for (int32_t i = 0; i < f->n_args; i++) {
        const smi_ast *value = NULL;
        const sm_str name = name_of_argument(args[i], &value);
        if (name.len == 0 && c->opts->without_paths) {
            continue;
        }
        if (c->opts->without_argument && sm_str_is(name, c->opts->without_argument)) {
            continue;
        }
        SM_TRY(print_argument(c, name, value, before, e));
    }
    return SM_OK;
}

/* A SELECT of another text, or one that sees other CTEs. */
static sm_status print_elsewhere(canonical *c, const sm_sql *sql, const smi_cte *ctes,
                                 const smi_select *s, sm_error *e)
{
    const sm_sql *const sql_here = c->sql;
    const smi_cte *const ctes_here = c->ctes;

    c->sql = sql;
    c->ctes = ctes;
    const sm_status st = print_select(c, s, false, e);
    c->sql = sql_here;
    c->ctes = ctes_here;
    return st;
}

static sm_status print_view(canonical *c, const sm_sql *view, sm_error *e)
{
    smi_select *select = NULL;
    sm_sql *const kept = SM_NEW(c->a, sm_sql);

    *kept = *view;
    SM_TRY(smi_parse_select(kept, c->a, &select, e));
    return print_elsewhere(c, kept, NULL, select, e);
}

/* AT (…) behind a table or a path. Such a table is none of the run's, and no view. */
static sm_status print_at(canonical *c, const smi_from *f, sm_error *e)
{
    if (f->n_args == 0) {
        return SM_OK;
    }
    return print_argument(c, f->args[0]->arg_name, f->args[0], " at ", e);
}

static sm_status print_table(canonical *c, const smi_from *f, sm_error *e)
{
    const smi_cte *const cte = f->n_parts == 1 ? smi_cte_find(c->ctes, f->parts[0]) : NULL;
    sm_relation relation = {0};

    if (cte) {
        SM_TRY(print_elsewhere(c, cte->sql, cte->outer, cte->select, e));
        put(c, cte->n_columns ? " columns " : "");
        put_names(c, cte->columns, cte->n_columns);
        return SM_OK;
    }
    if (f->n_args > 0) {
        put(c, "table ");
        put_names(c, f->parts, f->n_parts);
        return print_at(c, f, e);
    }
    SM_TRY(c->resolver->table(c->resolver->ctx, f->parts, f->n_parts, c->a, &relation, e));
    if (!relation.dataset && !relation.node) {
        return print_view(c, &relation.view, e);
    }
    put(c, "table ");
    put_names(c, f->parts, f->n_parts);
    return SM_OK;
}

static sm_status print_from(canonical *c, const smi_from *f, bool is_top, sm_error *e)
{
    static const char *const kinds[] = {"INNER", "LEFT", "CROSS"};
    _Static_assert(SM_COUNT(kinds) == SM_JOIN_CROSS + 1, "one for each kind of join");

    switch (f->kind) {
    case SMI_FROM_TABLE:
        SM_TRY(print_table(c, f, e));
        break;
    case SMI_FROM_FILE:
        put(c, "file ");
        sm_buf_quoted(&c->out, c->opts->without_paths ? (sm_str){0} : f->name, '\'');
        SM_TRY(print_at(c, f, e));
        break;
    case SMI_FROM_FUNCTION:
        SM_TRY(print_function(c, f, is_top, e));
        break;
    case SMI_FROM_SELECT:
        SM_TRY(print_select(c, f->select, false, e));
        break;
    case SMI_FROM_JOIN:
        SM_TRY(print_from(c, f->left, false, e));
        sm_buf_printf(&c->out, " %s JOIN ", kinds[f->join]);
        SM_TRY(print_from(c, f->right, false, e));
        if (f->on) {
            put(c, " ON ");
            SM_TRY(print_expr(c, f->on, e));
        }
        put(c, f->n_using ? " USING " : "");
        put_names(c, f->using_names, f->n_using);
        break;
    }
    put(c, f->n_columns ? " columns " : "");
    put_names(c, f->columns, f->n_columns);
    return SM_OK;
}

/* ---- SELECT ---------------------------------------------------------------------------------- */

/* The name of the only table in FROM, as it may be written before a column. */
static sm_str table_of(const smi_from *f)
{
    if (!f || f->kind == SMI_FROM_JOIN) {
        return (sm_str){0};
    }
    return f->alias.len > 0                              ? f->alias
           : f->kind == SMI_FROM_TABLE && f->n_parts > 0 ? f->parts[f->n_parts - 1]
                                                         : f->name;
}

static sm_status print_items(canonical *c, const smi_select *s, bool is_top, sm_error *e)
{
    for (int32_t i = 0; i < s->n_items && s->items; i++) {
        const smi_item *const item = &s->items[i];
        put(c, is_top ? (i ? "\ncolumn " : "column ") : i ? ", " : "");
        if (item->alias.len > 0) {
            sm_buf_quoted(&c->out, item->alias, '"');
        } else if (item->expr->kind == SMI_AST_COLUMN) {
            sm_buf_quoted(&c->out, item->expr->parts[item->expr->n_parts - 1], '"');
        } else if (item->expr->kind == SMI_AST_FIELD) {
            sm_buf_quoted(&c->out, item->expr->name, '"');
        }
        put(c, ": ");
        SM_TRY(print_expr(c, item->expr, e));
    }
    return SM_OK;
}

static sm_status print_where(canonical *c, const smi_ast *where, const char *before, sm_error *e)
{
    if (where->kind != SMI_AST_AND) {
        put(c, before);
        return print_expr(c, where, e);
    }
    for (int32_t i = 0; i < where->n_args; i++) {
        SM_TRY(print_where(c, where->args[i], before, e));
    }
    return SM_OK;
}

static sm_status print_clause(canonical *c, const char *between, const char *word, const smi_ast *x,
                              sm_error *e)
{
    if (!x) {
        return SM_OK;
    }
    put(c, between);
    put(c, word);
    return print_expr(c, x, e);
}

static sm_status print_order_by(canonical *c, const char *between, const smi_select *s, sm_error *e)
{
    if (s->n_order == 0 && !s->order_all) {
        return SM_OK;
    }
    put(c, between);
    put(c, !s->order_all ? "ORDER BY " : s->order_all_desc ? "ORDER BY ALL DESC" : "ORDER BY ALL");
    return print_order(c, s->order, s->n_order, e);
}

static sm_status print_rest(canonical *c, const smi_select *s, bool is_top, sm_error *e)
{
    const char *const between = is_top ? "\n" : " ";

    if (s->where) {
        SM_TRY(print_where(c, s->where, is_top ? "\nwhere " : " WHERE ", e));
    }
    if (s->group_all || s->group_none || s->n_group > 0) {
        put(c, between);
        put(c, s->group_all ? "GROUP BY ALL" : s->group_none ? "GROUP BY ()" : "GROUP BY ");
        SM_TRY(print_exprs(c, s->group, s->n_group, ", ", e));
    }
    SM_TRY(print_clause(c, between, "HAVING ", s->having, e));
    SM_TRY(print_clause(c, between, "QUALIFY ", s->qualify, e));
    SM_TRY(print_order_by(c, between, s, e));
    SM_TRY(print_clause(c, between, "LIMIT ", s->limit, e));
    return print_clause(c, between, "OFFSET ", s->offset, e);
}

static sm_status print_body(canonical *c, const smi_select *s, bool is_top, sm_error *e)
{
    if (s->kind == SMI_SELECT_UNION) {
        SM_TRY(print_select(c, s->left, false, e));
        put(c, s->is_distinct ? " UNION " : " UNION ALL ");
        SM_TRY(print_select(c, s->right, false, e));
        return print_rest(c, s, is_top, e);
    }
    for (int64_t i = 0; s->kind == SMI_SELECT_VALUES && i < s->n_rows; i++) {
        SM_TRY(print_around(c, i ? ", (" : "VALUES (", s->rows[i], s->n_items, ", ", ")", e));
    }
    if (s->is_distinct) {
        put(c, is_top ? "DISTINCT\n" : "DISTINCT ");
    }
    c->table = table_of(s->from);
    SM_TRY(print_items(c, s, is_top, e));
    if (s->from) {
        const sm_str table = c->table;
        put(c, is_top ? "\nfrom " : " FROM ");
        SM_TRY(print_from(c, s->from, is_top, e));
        c->table = table;
    }
    return print_rest(c, s, is_top, e);
}

static sm_status print_select(canonical *c, const smi_select *s, bool is_top, sm_error *e)
{
    const smi_cte *const ctes = c->ctes;
    const sm_str table = c->table;

    SM_TRY(smi_enter_select(&c->at, c->sql, s->off, e));
    for (int32_t i = 0; i < s->n_ctes; i++) {
        c->ctes = smi_cte_add(c->a, c->ctes, &s->ctes[i]);
    }
    put(c, is_top ? "" : "(");
    const sm_status st = print_body(c, s, is_top, e);
    put(c, is_top ? "\n" : ")");
    c->ctes = ctes;
    c->table = table;
    smi_leave_select(&c->at);
    return st;
}

sm_status sm_query_canonical(const sm_sql *sql, const sm_resolver *resolver,
                             const sm_canonical_opts *opts, sm_arena *a, sm_str *out, sm_error *e)
{
    canonical c = {.opts = opts, .resolver = resolver, .a = a, .sql = sql};
    smi_select *select = NULL;

    SM_TRY(smi_parse_select(sql, a, &select, e));
    const sm_status st = print_select(&c, select, true, e);
    SM_ASSERT(st != SM_OK || (c.at.n_selects == 0 && c.at.n_exprs == 0 && c.sql == sql && !c.ctes));
    if (st == SM_OK) {
        *out = sm_arena_str(a, sm_buf_str(&c.out));
    }
    sm_buf_release(&c.out);
    return st;
}
