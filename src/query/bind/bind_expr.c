/* SPDX-License-Identifier: Apache-2.0
 *
 * query/bind/bind_expr.c: binds expressions: a syntax tree goes in, a tree whose names have a
 * meaning and whose nodes have types comes out.
 *
 * Aggregates and window functions are added to the SELECT's lists; a placeholder stands for each in
 * the tree, which bind_select.c replaces by a column of the AGGREGATE or WINDOW node. The nodes
 * themselves are made by expr_make.c, as for expressions by calls. */
#include "query/bind/bind_int.h"
#include "query/function/function_int.h"

#include "base/text.h"

static sm_status fail_name(const smi_bind *b, const smi_ast *ast, sm_error *e, sm_status st,
                           const char *what, sm_str name)
{
    return smi_sql_fail(b->sql, ast->off, e, st, "%s \"%.*s\"", what, SM_STR_ARG(name));
}

/* Counts n more nodes of expressions against the limit of the whole query. */
static sm_status count_bound(smi_bind *b, const smi_ast *ast, int64_t n, sm_error *e)
{
    SM_ASSERT(n > 0);
    b->q->n_bound += n;
    return b->q->n_bound <= SMI_MAX_BOUND_NODES
               ? SM_OK
               : smi_sql_fail(b->sql, ast->off, e, SM_LIMIT,
                              "query is over the limit of %lld expressions when its aliases and "
                              "views are written out",
                              (long long)SMI_MAX_BOUND_NODES);
}

/* ---- columns --------------------------------------------------------------------------------- */

static bool name_fits(sm_str x, sm_str y, bool exact)
{
    return exact ? sm_str_eq(x, y) : sm_str_eq_nocase(x, y);
}

enum { NOT_FOUND = -1, AMBIGUOUS = -2 };

/* The scope's column of that name, and of that table if one is given. A name matches exactly, else
 * in any case if only one column does. */
static int64_t find_column(const smi_scope *s, const sm_str *table, sm_str name)
{
    for (int exact = 1; exact >= 0; exact--) {
        int64_t found = NOT_FOUND;
        for (int64_t i = 0; i < s->n; i++) {
            const smi_scope_col *const c = &s->cols[i];
            if (!name_fits(c->name, name, exact) ||
                (table ? !sm_str_eq_nocase(c->table, *table) : c->is_hidden)) {
                continue;
            }
            if (found != NOT_FOUND) {
                return AMBIGUOUS;
            }
            found = i;
        }
        if (found != NOT_FOUND) {
            return found;
        }
    }
    return NOT_FOUND;
}

/* A dataset in FROM whose columns were found in a sample of its rows; NULL where there is none. */
static const sm_dataset *sampled_in(const smi_scope *s)
{
    for (int64_t i = 0; i < s->n; i++) {
        const smi_whole *const w = s->cols[i].whole;
        for (int64_t k = 0; w && k < w->n; k++) {
            const sm_dataset *const d = w->scans[k]->as.scan.dataset;
            if (d->sampled && sm_sampled_options(d->sampled)[0] != '\0') {
                return d;
            }
        }
    }
    return NULL;
}

/* "20,480 rows", "20,480 rows of 32 of 100 files", "32 of 100 files". */
static void print_sampled(const sm_dataset *d, sm_buf *out)
{
    const sm_sampled *const s = d->sampled;
    char rows[SM_SIZE_TEXT_BYTES];
    if (s->n_rows >= 0) {
        sm_format_count(s->n_rows, rows);
        sm_buf_printf(out, "%s row%s%s", rows, s->n_rows == 1 ? "" : "s",
                      s->skips_files ? " of " : "");
    }
    if (s->skips_files) {
        sm_buf_printf(out, "%lld of %lld files", (long long)s->n_files, (long long)d->n_files);
    }
}

/* Advises the nearest name ("": none), and more rows where columns come from a sample. */
static void advise_name(const smi_bind *b, sm_str near, sm_error *e)
{
    const sm_dataset *const d = sampled_in(&b->scope);
    sm_buf text = {0};
    if (near.len > 0) {
        sm_buf_printf(&text, "Did you mean \"%.*s\"?", SM_STR_ARG(near));
    }
    if (d) {
        sm_buf_printf(&text, "%sColumns were found in ", near.len > 0 ? " " : "");
        print_sampled(d, &text);
        sm_buf_printf(&text, ": %s looks at more.", sm_sampled_options(d->sampled));
    }
    if (text.len > 0) {
        sm_error_todo(e, "%.*s", SM_STR_ARG(sm_buf_str(&text)));
    }
    sm_buf_release(&text);
}

/* Is it x.a where there is neither a table nor a column x? */
static bool is_of_no_table(const smi_bind *b, const smi_ast *ast)
{
    for (int64_t i = 0; i < b->scope.n; i++) {
        const smi_scope_col *const c = &b->scope.cols[i];
        if (sm_str_eq_nocase(c->table, ast->parts[0]) || sm_str_eq_nocase(c->name, ast->parts[0])) {
            return false;
        }
    }
    return ast->n_parts == 2;
}

static sm_status fail_no_column(const smi_bind *b, const smi_ast *ast, sm_error *e)
{
    const bool is_table = is_of_no_table(b, ast);
    const sm_str name = ast->parts[is_table ? 0 : ast->n_parts - 1];
    int64_t n = 0;
    sm_str *const names = SM_NEW_ARRAY(b->q->a, sm_str, b->scope.n * 2 + 1);
    for (int64_t i = 0; i < b->scope.n; i++) {
        if (!is_table) {
            names[n++] = b->scope.cols[i].name;
        }
        names[n++] = b->scope.cols[i].table;
    }
    sm_str near = smi_nearest(name, names, n);
    if (ast->n_parts > 1 && near.len == 0) {
        near = smi_nearest(ast->parts[0], names, n);
    }
    fail_name(b, ast, e, SM_NAME, is_table ? "no table or column" : "no column", name);
    advise_name(b, near, e);
    return SM_NAME;
}

/* m.key and m['key']: the MAP's value there. */
static sm_status bind_key(smi_bind *b, const smi_ast *ast, const sm_expr *x, sm_str key,
                          const sm_expr **out, sm_error *e)
{
    const sm_expr place = smi_place(b->sql, ast->off, ast->end);
    const sm_value text = {.type = &smi_type_str_literal, .as.s = key};
    const sm_expr **const args = SM_NEW_ARRAY(b->q->a, const sm_expr *, 2);
    args[0] = x;
    args[1] = smi_const(b->q->a, text, &place);
    return smi_bind_call(b->q->a, smi_function_named(SM_STR("map_extract_value")), args, 2, &place,
                         out, e);
}

/* The error where a name matches several columns: of one table, with names that are the same or
 * differ only in case, or of several tables. */
static sm_status fail_ambiguous(const smi_bind *b, const smi_ast *ast, sm_str name,
                                const sm_str *table, sm_error *e)
{
    const smi_scope_col *fits[2] = {0};
    int n = 0;
    for (int64_t i = 0; i < b->scope.n && n < 2; i++) {
        const smi_scope_col *c = &b->scope.cols[i];
        const bool is_of_table = !table || sm_str_eq_nocase(c->table, *table);
        if (is_of_table && !c->is_hidden && sm_str_eq_nocase(c->name, name)) {
            fits[n++] = c;
        }
    }
    SM_ASSERT(n == 2);
    if (!sm_str_eq_nocase(fits[0]->table, fits[1]->table)) {
        fail_name(b, ast, e, SM_NAME, "several tables have a column", name);
        sm_error_todo(e, "Write the table's name before it: %.*s.%.*s or %.*s.%.*s.",
                      SM_STR_ARG(fits[0]->table), SM_STR_ARG(name), SM_STR_ARG(fits[1]->table),
                      SM_STR_ARG(name));
        return SM_NAME;
    }
    fail_name(b, ast, e, SM_NAME, "several columns are named", name);
    if (sm_str_eq(fits[0]->name, fits[1]->name)) {
        sm_error_todo(e, "Give them other names where they are made.");
    } else {
        sm_error_todo(e, "Write it as it is: \"%.*s\" or \"%.*s\".", SM_STR_ARG(fits[0]->name),
                      SM_STR_ARG(fits[1]->name));
    }
    return SM_NAME;
}

static sm_status bind_field(smi_bind *b, const smi_ast *ast, const sm_expr *x, sm_str name,
                            const sm_expr **out, sm_error *e)
{
    SM_ASSERT(x != NULL);
    if (x->type->id == SM_TYPE_MAP) {
        return bind_key(b, ast, x, name, out, e);
    }
    if (x->type->id != SM_TYPE_STRUCT) {
        const sm_str t = smi_type_text(b->q->a, x->type);
        return smi_sql_fail(b->sql, ast->off, e, SM_TYPE, "%.*s has no field \"%.*s\"",
                            SM_STR_ARG(t), SM_STR_ARG(name));
    }
    const int32_t i = sm_type_find(x->type, name);
    if (i < 0) {
        sm_str *const names = SM_NEW_ARRAY(b->q->a, sm_str, x->type->n_fields + 1);
        for (int32_t k = 0; k < x->type->n_fields; k++) {
            names[k] = x->type->fields[k].name;
        }
        const sm_str near = smi_nearest(name, names, x->type->n_fields);
        fail_name(b, ast, e, SM_NAME, "no field", name);
        advise_name(b, near, e);
        return SM_NAME;
    }
    const sm_expr place = smi_place(b->sql, ast->off, ast->end);
    *out = smi_field(b->q->a, x, i, &place);
    return SM_OK;
}

/* A name that no table has may be an alias of the SELECT's list. */
static sm_status bind_alias(smi_bind *b, const smi_ast *ast, const sm_expr **out, bool *found,
                            sm_error *e)
{
    const sm_str name = ast->parts[0];
    *found = false;
    for (int exact = 1; exact >= 0 && b->select && b->alias_depth < 16; exact--) {
        for (int32_t i = 0; i < b->select->n_items; i++) {
            const smi_item *const item = &b->select->items[i];
            if (item->alias.len > 0 && name_fits(item->alias, name, exact)) {
                *found = true;
                b->alias_depth++;
                const sm_status st = smi_bind_expr(b, item->expr, out, e);
                b->alias_depth--;
                return st;
            }
        }
    }
    return SM_OK;
}

static sm_status bind_column(smi_bind *b, const smi_ast *ast, const sm_expr **out, sm_error *e)
{
    int32_t used = 0;
    int64_t i = NOT_FOUND;
    if (ast->n_parts > 1) { /* table.column.fields … */
        i = find_column(&b->scope, &ast->parts[0], ast->parts[1]);
        used = 2;
    }
    if (ast->n_parts > 2 && i == NOT_FOUND) { /* layer.table.column: the layer says no more */
        i = find_column(&b->scope, &ast->parts[1], ast->parts[2]);
        used = 3;
    }
    if (i == NOT_FOUND) { /* column.fields … */
        i = find_column(&b->scope, NULL, ast->parts[0]);
        used = 1;
    }
    if (i == NOT_FOUND && ast->n_parts == 1) {
        bool found = false;
        SM_TRY(bind_alias(b, ast, out, &found, e));
        if (found) {
            return SM_OK;
        }
    }
    if (i == NOT_FOUND) {
        return fail_no_column(b, ast, e);
    }
    if (i == AMBIGUOUS) {
        return fail_ambiguous(b, ast, ast->parts[used - 1], used > 1 ? &ast->parts[used - 2] : NULL,
                              e);
    }
    SM_ASSERT(used >= 1 && used <= ast->n_parts && i < b->scope.n);
    const sm_expr place = smi_place(b->sql, ast->off, ast->end);
    *out = smi_column_ref(b->q->a, b->scope.cols[i].index, b->scope.cols[i].type, &place);
    for (int32_t k = used; k < ast->n_parts; k++) {
        SM_TRY(bind_field(b, ast, *out, ast->parts[k], out, e));
    }
    return SM_OK;
}

/* ---- logic ----------------------------------------------------------------------------------- */

sm_status smi_bind_predicate(smi_bind *b, const smi_ast *ast, const char *where,
                             const sm_expr **out, sm_error *e)
{
    const sm_expr place = smi_place(b->sql, ast->off, ast->end);
    const sm_expr *x = NULL;
    SM_TRY(smi_bind_expr(b, ast, &x, e));
    return smi_make_predicate(b->q->a, x, where, &place, out, e);
}

static sm_status bind_logic(smi_bind *b, const smi_ast *ast, const sm_expr **out, sm_error *e)
{
    const bool is_and = ast->kind == SMI_AST_AND;
    const sm_expr place = smi_place(b->sql, ast->off, ast->end);
    const sm_expr **const args = SM_NEW_ARRAY(b->q->a, const sm_expr *, ast->n_args);
    for (int32_t i = 0; i < ast->n_args; i++) {
        SM_TRY(smi_bind_predicate(b, ast->args[i], is_and ? "AND" : "OR", &args[i], e));
    }
    *out = smi_make_logic(b->q->a, is_and ? SM_EXPR_AND : SM_EXPR_OR, args, ast->n_args, &place);
    return SM_OK;
}

static sm_status bind_case(smi_bind *b, const smi_ast *ast, const sm_expr **out, sm_error *e)
{
    const sm_expr place = smi_place(b->sql, ast->off, ast->end);
    const int32_t n = ast->n_args;
    const sm_expr **const args = SM_NEW_ARRAY(b->q->a, const sm_expr *, n);
    for (int32_t i = 0; i < n; i++) {
        const bool is_when = i % 2 == 0 && i + 1 < n;
        SM_TRY(is_when ? smi_bind_predicate(b, ast->args[i], "WHEN", &args[i], e)
                       : smi_bind_expr(b, ast->args[i], &args[i], e));
    }
    return smi_make_case(b->q->a, args, n, &place, out, e);
}

static sm_status bind_in(smi_bind *b, const smi_ast *ast, const sm_expr **out, sm_error *e)
{
    const sm_expr place = smi_place(b->sql, ast->off, ast->end);
    const sm_expr **const args = SM_NEW_ARRAY(b->q->a, const sm_expr *, ast->n_args);
    for (int32_t i = 0; i < ast->n_args; i++) {
        SM_TRY(smi_bind_expr(b, ast->args[i], &args[i], e));
    }
    return smi_make_in(b->q->a, args, ast->n_args, &place, out, e);
}

/* ---- variables ------------------------------------------------------------------------------- */

static sm_status bind_variable(smi_bind *b, const smi_ast *ast, const sm_expr **out, sm_error *e)
{
    const sm_expr place = smi_place(b->sql, ast->off, ast->end);
    const sm_resolver *const r = b->q->resolver;
    if (ast->n_args != 1 || ast->args[0]->kind != SMI_AST_LITERAL ||
        ast->args[0]->value.type != &smi_type_str_literal) {
        return smi_sql_fail(b->sql, ast->off, e, SM_SYNTAX, "expected var('name')");
    }
    const sm_str name = ast->args[0]->value.as.s;
    if (!r || !r->variable) {
        return fail_name(b, ast, e, SM_NAME, "no variable", name);
    }
    sm_value v = {0};
    const sm_status st = r->variable(r->ctx, name, b->q->a, &v, e);
    if (st != SM_OK) {
        return smi_expr_place(&place, e, st);
    }
    *out = smi_const(b->q->a, v, &place);
    return SM_OK;
}

/* ---- aggregates and windows ------------------------------------------------------------------ */

static sm_status bind_args(smi_bind *b, const smi_ast *ast, const sm_expr ***out, sm_error *e)
{
    *out = SM_NEW_ARRAY(b->q->a, const sm_expr *, ast->n_args + 1);
    for (int32_t i = 0; i < ast->n_args; i++) {
        if (ast->args[i]->arg_name.len > 0) {
            return smi_sql_fail(b->sql, ast->args[i]->off, e, SM_SYNTAX,
                                "only table functions take arguments by name");
        }
        SM_TRY(smi_bind_expr(b, ast->args[i], &(*out)[i], e));
    }
    return SM_OK;
}

static const sm_expr *placeholder(smi_bind *b, sm_expr_kind kind, int64_t index,
                                  const sm_expr *call)
{
    SM_ASSERT(index < (kind == SMI_EXPR_AGG ? b->n_aggs : b->n_windows));
    sm_expr *const x = smi_expr_new(b->q->a, kind, call->type, call);
    x->index = (int32_t)index;
    return x;
}

static sm_status bind_aggregate_call(smi_bind *b, const smi_ast *ast, const sm_function *fn,
                                     const sm_expr **out, sm_error *e)
{
    const sm_expr place = smi_place(b->sql, ast->off, ast->end);
    const sm_expr **args = NULL;
    SM_TRY(bind_args(b, ast, &args, e));
    SM_TRY(smi_make_aggregate(b->q->a, fn, ast->flag, args, ast->n_args, &place, out, e));
    return SM_OK;
}

static sm_status bind_aggregate(smi_bind *b, const smi_ast *ast, const sm_function *fn,
                                const sm_expr **out, sm_error *e)
{
    if (b->no_aggregate) {
        return smi_sql_fail(b->sql, ast->off, e, SM_SYNTAX, "aggregate %s may not stand %s",
                            fn->name, b->no_aggregate);
    }
    const char *const no_window = b->no_window;
    sm_agg_item item = {0};
    b->no_aggregate = "inside an aggregate";
    b->no_window = "inside an aggregate";
    sm_status st = bind_aggregate_call(b, ast, fn, &item.call, e);
    if (st == SM_OK && ast->filter) {
        st = smi_bind_predicate(b, ast->filter, "FILTER", &item.filter, e);
    }
    b->no_aggregate = NULL;
    b->no_window = no_window;
    SM_TRY(st);
    int64_t at = 0;
    while (at < b->n_aggs) { /* the same aggregate twice is computed once */
        const sm_agg_item *const other = &b->aggs[at];
        const bool same_filter = other->filter && item.filter
                                     ? sm_expr_eq(other->filter, item.filter)
                                     : other->filter == item.filter;
        if (same_filter && sm_expr_eq(other->call, item.call)) {
            break;
        }
        at++;
    }
    if (at == b->n_aggs) {
        b->aggs = sm_arena_grow(b->q->a, b->aggs, b->n_aggs, &b->cap_aggs, sizeof(*b->aggs));
        b->aggs[b->n_aggs++] = item;
    }
    *out = placeholder(b, SMI_EXPR_AGG, at, item.call);
    return SM_OK;
}

static sm_status bind_over(smi_bind *b, const smi_over *over, sm_window_item *w, sm_error *e)
{
    sm_sort_key *const order = SM_NEW_ARRAY(b->q->a, sm_sort_key, over->n_order + 1);
    w->partition = SM_NEW_ARRAY(b->q->a, const sm_expr *, over->n_partition + 1);
    for (int32_t i = 0; i < over->n_partition; i++) {
        SM_TRY(smi_bind_expr(b, over->partition[i], &w->partition[i], e));
        w->partition[i] = smi_cast(b->q->a, w->partition[i], smi_plain_type(w->partition[i]->type));
    }
    for (int32_t i = 0; i < over->n_order; i++) {
        const sm_expr *x = NULL;
        SM_TRY(smi_bind_expr(b, over->order[i].expr, &x, e));
        SM_ASSERT(x != NULL);
        if (sm_type_is_nested(x->type->id)) {
            return smi_expr_fail(x, e, SM_TYPE, "lists and structs have no order");
        }
        order[i] = (sm_sort_key){
            .expr = smi_cast(b->q->a, x, smi_plain_type(x->type)),
            .is_desc = over->order[i].is_desc,
            .nulls_first = over->order[i].nulls_first,
        };
    }
    w->n_partition = over->n_partition;
    w->order = order;
    w->n_order = over->n_order;
    return SM_OK;
}

static sm_status bind_window(smi_bind *b, const smi_ast *ast, const sm_function *fn,
                             const sm_expr **out, sm_error *e)
{
    const sm_expr place = smi_place(b->sql, ast->off, ast->end);
    sm_window_item w = {0};
    const sm_expr **args = NULL;
    if (b->no_window) {
        return smi_sql_fail(b->sql, ast->off, e, SM_SYNTAX, "window function %s may not stand %s",
                            fn->name, b->no_window);
    }
    if (ast->filter) {
        return smi_sql_fail(b->sql, ast->off, e, SM_UNSUPPORTED,
                            "FILTER with OVER is not supported");
    }
    b->no_window = "inside a window function";
    sm_status st = bind_over(b, ast->over, &w, e);
    if (st == SM_OK && fn->kind == SM_FN_AGGREGATE) {
        st = bind_aggregate_call(b, ast, fn, &w.call, e);
        w.call = st == SM_OK ? smi_make_over(b->q->a, w.call) : NULL;
    } else if (st == SM_OK) {
        st = bind_args(b, ast, &args, e);
        if (st == SM_OK) {
            st = smi_bind_call(b->q->a, fn, args, ast->n_args, &place, &w.call, e);
        }
    }
    b->no_window = NULL;
    SM_TRY(st);
    for (int64_t i = 0; i < b->n_windows; i++) {
        if (smi_window_eq(&b->windows[i], &w)) {
            *out = placeholder(b, SMI_EXPR_WINDOW, i, w.call);
            return SM_OK;
        }
    }
    b->windows =
        sm_arena_grow(b->q->a, b->windows, b->n_windows, &b->cap_windows, sizeof(*b->windows));
    b->windows[b->n_windows] = w;
    b->n_windows++;
    *out = placeholder(b, SMI_EXPR_WINDOW, b->n_windows - 1, w.call);
    return SM_OK;
}

/* ---- calls ----------------------------------------------------------------------------------- */

static sm_status bind_call(smi_bind *b, const smi_ast *ast, const sm_expr **out, sm_error *e)
{
    const sm_expr place = smi_place(b->sql, ast->off, ast->end);
    if (sm_str_eq_nocase(ast->name, SM_STR("var"))) {
        return bind_variable(b, ast, out, e);
    }
    const sm_function *const fn = smi_function_named(ast->name);
    if (!fn) {
        const char *const near = smi_function_nearest(ast->name);
        fail_name(b, ast, e, SM_NAME, "no function", ast->name);
        if (near) {
            sm_error_todo(e, "Did you mean \"%s\"?", near);
        }
        return SM_NAME;
    }
    if (ast->over && fn->kind != SM_FN_SCALAR) {
        return bind_window(b, ast, fn, out, e);
    }
    if (ast->over || fn->kind == SM_FN_WINDOW) {
        return smi_sql_fail(b->sql, ast->off, e, SM_SYNTAX,
                            ast->over ? "%s is no window function: expected no OVER"
                                      : "%s is a window function: expected OVER (…) behind it",
                            fn->name);
    }
    if (fn->kind == SM_FN_AGGREGATE) {
        return bind_aggregate(b, ast, fn, out, e);
    }
    if (ast->flag || ast->filter || ast->is_star_arg) {
        return smi_sql_fail(b->sql, ast->off, e, SM_SYNTAX, "%s is no aggregate: it takes no %s",
                            fn->name,
                            ast->flag     ? "DISTINCT"
                            : ast->filter ? "FILTER"
                                          : "*");
    }
    const sm_expr **args = NULL;
    SM_TRY(bind_args(b, ast, &args, e));
    for (int32_t i = 0; i < ast->n_args && smi_fn_flags(fn) & SMI_WRITTEN_OUT; i++) {
        SM_TRY(count_bound(b, ast, smi_expr_size(args[i]), e)); /* it will stand there twice */
    }
    return smi_make_call(b->q->a, fn, args, ast->n_args, &place, out, e);
}

/* ---- subqueries ------------------------------------------------------------------------------ */

static sm_status bind_subquery(smi_bind *b, const smi_ast *ast, const sm_expr **out, sm_error *e)
{
    const sm_expr place = smi_place(b->sql, ast->off, ast->end);
    smi_binding *const q = b->q;
    sm_plan_node *root = NULL;
    SM_TRY(smi_bind_select(q, b->sql, b->ctes, ast->select, &root, e));
    smi_whole_take(&q->whole);
    if (root->schema->n_fields != 1) {
        return smi_sql_fail(b->sql, ast->off, e, SM_TYPE,
                            "a subquery in an expression must give one column, this one gives %d",
                            root->schema->n_fields);
    }
    q->params = sm_arena_grow(q->a, q->params, q->n_params, &q->cap_params, sizeof(*q->params));
    q->params[q->n_params] = (sm_plan_param){root, root->schema->fields[0].type};
    sm_expr *const x = smi_expr_new(q->a, SM_EXPR_PARAM, root->schema->fields[0].type, &place);
    x->index = (int32_t)q->n_params++;
    *out = x;
    return SM_OK;
}

/* ---- one node -------------------------------------------------------------------------------- */

static sm_status bind_cast(smi_bind *b, const smi_ast *ast, const sm_expr **out, sm_error *e)
{
    const sm_expr place = smi_place(b->sql, ast->off, ast->end);
    const sm_expr *x = NULL;
    SM_TRY(smi_bind_expr(b, ast->args[0], &x, e));
    return smi_make_cast(b->q->a, x, ast->type, ast->flag, &place, out, e);
}

static sm_status bind_node(smi_bind *b, const smi_ast *ast, const sm_expr **out, sm_error *e)
{
    const sm_expr place = smi_place(b->sql, ast->off, ast->end);
    const sm_expr *x = NULL;
    switch (ast->kind) {
    case SMI_AST_COLUMN:
        return bind_column(b, ast, out, e);
    case SMI_AST_LITERAL:
        *out = smi_const(b->q->a, ast->value, &place);
        return SM_OK;
    case SMI_AST_CALL:
        return bind_call(b, ast, out, e);
    case SMI_AST_AND:
    case SMI_AST_OR:
        return bind_logic(b, ast, out, e);
    case SMI_AST_CASE:
        return bind_case(b, ast, out, e);
    case SMI_AST_IN:
        return bind_in(b, ast, out, e);
    case SMI_AST_CAST:
        return bind_cast(b, ast, out, e);
    case SMI_AST_FIELD:
        SM_TRY(smi_bind_expr(b, ast->args[0], &x, e));
        return bind_field(b, ast, x, ast->name, out, e);
    case SMI_AST_SUBQUERY:
        return bind_subquery(b, ast, out, e);
    case SMI_AST_DEFAULT:
        if (!ast->given) {
            return smi_sql_fail(b->sql, ast->off, e, SM_SYNTAX,
                                "DEFAULT stands only for a value of INSERT, UPDATE or MERGE");
        }
        *out = ast->given;
        return SM_OK;
    case SMI_AST_STAR:
        return smi_sql_fail(b->sql, ast->off, e, SM_SYNTAX,
                            "* stands alone in SELECT or in count(*)");
    case SMI_AST_LIST:
    case SMI_AST_STRUCT:
        break;
    }
    return smi_sql_fail(b->sql, ast->off, e, SM_UNSUPPORTED,
                        "lists and structs are written only as arguments of table functions");
}

sm_status smi_bind_expr(smi_bind *b, const smi_ast *ast, const sm_expr **out, sm_error *e)
{
    SM_TRY(count_bound(b, ast, 1, e));
    if (++b->q->expr_depth > SMI_MAX_BIND_DEPTH) {
        return smi_sql_fail(b->sql, ast->off, e, SM_LIMIT,
                            "expression is over the limit of %d operators deep with its aliases "
                            "and views written out",
                            SMI_MAX_BIND_DEPTH);
    }
    const sm_status st = bind_node(b, ast, out, e);
    SM_ASSERT(st != SM_OK || (*out && (*out)->type));
    b->q->expr_depth--;
    return st;
}
