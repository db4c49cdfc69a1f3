/* SPDX-License-Identifier: Apache-2.0
 *
 * query/bind/bind_select.c: binds a query, and each SELECT in it, to a plan.
 *
 * Order     FROM, WHERE, the list, GROUP BY, HAVING, windows, QUALIFY, the projection, DISTINCT,
 *           ORDER BY, LIMIT. The list is bound before GROUP BY, as ordinals and ALL refer to it.
 * Grouping  At first everything is bound over FROM's columns, with placeholders for aggregates.
 *           Then each tree is rewritten over the AGGREGATE's output: an expression that equals a
 *           key becomes the key's column, a placeholder becomes its item's column, and any column
 *           that is then left is an error. Window functions likewise, over the WINDOW node's
 *           output.
 * ORDER BY  Keys that are not in the list are hidden columns of the projection; another projection
 *           above the SORT drops them. */
#include "query/bind/bind_int.h"

#define MAX_BOUND_SELECTS 10000 /* views of views multiply */

typedef struct out_item {
    const sm_expr *expr;
    sm_str name;
    bool is_alias; /* written with AS */
} out_item;

/* A SELECT while it is bound. */
typedef struct selecting {
    smi_bind b;
    const smi_select *s;
    sm_plan_node *plan;
    out_item *items;
    int64_t n_items, cap_items;
    const sm_expr **keys; /* GROUP BY */
    int32_t n_keys;
    const sm_expr *having, *qualify;
    sm_sort_key *order; /* over FROM's columns, as the items; expr NULL: column `order_item` */
    int32_t *order_item;
    int32_t n_order;
    bool is_grouped;
    smi_whole whole; /* by a star of the list */
} selecting;

/* ---- the list -------------------------------------------------------------------------------- */

static void add_item(selecting *t, const sm_expr *x, sm_str name, bool is_alias)
{
    sm_arena *const a = t->b.q->a;
    t->items = sm_arena_grow(a, t->items, t->n_items, &t->cap_items, sizeof(*t->items));
    t->items[t->n_items++] = (out_item){smi_cast(a, x, smi_plain_type(x->type)), name, is_alias};
}

static sm_status check_excluded(selecting *t, const smi_ast *star, const bool *hit, sm_error *e)
{
    for (int32_t i = 0; i < star->n_names; i++) {
        if (!hit[i]) {
            sm_str *const names = SM_NEW_ARRAY(t->b.q->a, sm_str, t->b.scope.n + 1);
            for (int64_t k = 0; k < t->b.scope.n; k++) {
                names[k] = t->b.scope.cols[k].name;
            }
            const sm_str near = smi_nearest(star->names[i], names, t->b.scope.n);
            smi_sql_fail(t->b.sql, star->off, e, SM_NAME, "EXCLUDE: no column \"%.*s\"",
                         SM_STR_ARG(star->names[i]));
            if (near.len > 0) {
                sm_error_todo(e, "Did you mean \"%.*s\"?", SM_STR_ARG(near));
            }
            return SM_NAME;
        }
    }
    return SM_OK;
}

static bool is_excluded(const smi_ast *star, sm_str name, bool *hit)
{
    bool excluded = false;
    for (int32_t k = 0; k < star->n_names; k++) {
        if (sm_str_eq_nocase(name, star->names[k])) {
            excluded = true;
            hit[k] = true;
        }
    }
    return excluded;
}

/* s.* where s is a column of type STRUCT: its fields. *is_one stays false where it is not. */
static sm_status expand_struct(selecting *t, const smi_ast *star, bool *hit, bool *is_one,
                               sm_error *e)
{
    sm_arena *const a = t->b.q->a;
    smi_ast *const column = SM_NEW(a, smi_ast);
    const sm_expr *x = NULL;
    sm_error no_column = {0};
    *column = (smi_ast){
        .kind = SMI_AST_COLUMN,
        .off = star->off,
        .end = star->end,
        .parts = star->parts,
        .n_parts = star->n_parts,
    };
    if (star->n_parts != 1 || smi_bind_expr(&t->b, column, &x, &no_column) != SM_OK ||
        x->type->id != SM_TYPE_STRUCT) {
        return SM_OK;
    }
    *is_one = true;
    for (int32_t i = 0; i < x->type->n_fields; i++) {
        const sm_field *const field = &x->type->fields[i];
        if (!is_excluded(star, field->name, hit)) {
            sm_expr *const item = smi_field(a, x, i, x);
            item->is_star = true;
            add_item(t, item, field->name, false);
        }
    }
    return SM_OK;
}

static sm_status expand_star(selecting *t, const smi_ast *star, sm_error *e)
{
    const sm_expr place = smi_place(t->b.sql, star->off, star->end);
    bool *const hit = SM_NEW_ARRAY(t->b.q->a, bool, star->n_names + 1);
    const int64_t before = t->n_items;
    bool any_table = star->n_parts == 0;
    const smi_whole *last = NULL;
    if (t->b.scope.n == 0 && t->s->from) {
        const sm_status st =
            smi_sql_fail(t->b.sql, star->off, e, SM_SYNTAX, "*: FROM has no columns");
        sm_error_todo(e,
                      "An object that is always {} makes none. count(*) counts the rows; columns "
                      "that later files have are declared: columns => {name: 'TYPE', …}.");
        return st;
    }
    if (t->b.scope.n == 0) {
        return smi_sql_fail(t->b.sql, star->off, e, SM_SYNTAX, "* needs FROM");
    }
    for (int64_t i = 0; i < t->b.scope.n; i++) {
        const smi_scope_col *const c = &t->b.scope.cols[i];
        const bool of_table = star->n_parts == 0
                                  ? !c->is_hidden
                                  : sm_str_eq_nocase(c->table, star->parts[star->n_parts - 1]);
        any_table = any_table || of_table;
        if (c->whole != last && (of_table || star->n_parts == 0)) { /* once a table */
            last = c->whole;
            smi_whole_add(t->b.q->a, &t->whole, last);
        }
        if (!is_excluded(star, c->name, hit) && of_table) {
            add_item(t, smi_column_ref(t->b.q->a, c->index, c->type, &place), c->name, false);
        }
    }
    if (!any_table) {
        SM_TRY(expand_struct(t, star, hit, &any_table, e));
    }
    if (!any_table) {
        const sm_str name = star->parts[star->n_parts - 1];
        return smi_sql_fail(t->b.sql, star->off, e, SM_NAME, "no table \"%.*s\" in FROM",
                            SM_STR_ARG(name));
    }
    SM_TRY(check_excluded(t, star, hit, e));
    if (t->n_items == before) {
        return smi_sql_fail(t->b.sql, star->off, e, SM_SYNTAX, "EXCLUDE leaves no column");
    }
    return SM_OK;
}

/* The name of an item without alias: the column's own, else the text as it stands. */
static sm_str item_name(const selecting *t, const smi_ast *x)
{
    if (x->kind == SMI_AST_COLUMN) {
        const sm_str last = x->parts[x->n_parts - 1];
        for (int exact = 1; exact >= 0; exact--) {
            for (int64_t i = 0; i < t->b.scope.n; i++) {
                const sm_str name = t->b.scope.cols[i].name;
                if (exact ? sm_str_eq(name, last) : sm_str_eq_nocase(name, last)) {
                    return name;
                }
            }
        }
        return last;
    }
    if (x->kind == SMI_AST_FIELD) {
        return x->name;
    }
    return (sm_str){t->b.sql->text.data + x->off, x->end - x->off};
}

static sm_status bind_items(selecting *t, sm_error *e)
{
    for (int32_t i = 0; i < t->s->n_items; i++) {
        const smi_item *const item = &t->s->items[i];
        if (item->expr->kind == SMI_AST_STAR) {
            SM_TRY(expand_star(t, item->expr, e));
            continue;
        }
        const sm_expr *x = NULL;
        SM_TRY(smi_bind_expr(&t->b, item->expr, &x, e));
        const bool is_alias = item->alias.len > 0;
        add_item(t, x, is_alias ? item->alias : item_name(t, item->expr), is_alias);
    }
    return SM_OK;
}

/* ---- GROUP BY -------------------------------------------------------------------------------- */

static bool has_kind(const sm_expr *x, sm_expr_kind kind)
{
    if (x->kind == kind) {
        return true;
    }
    for (int32_t i = 0; i < x->n_args; i++) {
        if (has_kind(x->args[i], kind)) {
            return true;
        }
    }
    return false;
}

/* `2`: the second item. */
static bool is_ordinal(const smi_ast *x)
{
    return x->kind == SMI_AST_LITERAL && x->value.type == &smi_type_int_literal;
}

static sm_status bind_ordinal(const selecting *t, const smi_ast *x, const char *clause,
                              int64_t *out, sm_error *e)
{
    *out = x->value.as.i - 1;
    if (*out < 0 || *out >= t->n_items) {
        return smi_sql_fail(t->b.sql, x->off, e, SM_RANGE, "%s %lld: the list has %lld columns",
                            clause, (long long)x->value.as.i, (long long)t->n_items);
    }
    return SM_OK;
}

static sm_status add_key(selecting *t, const sm_expr *x, sm_error *e)
{
    if (sm_type_is_nested(x->type->id)) {
        return smi_expr_fail(x, e, SM_TYPE, "GROUP BY does not take lists and structs");
    }
    if (has_kind(x, SMI_EXPR_WINDOW) || has_kind(x, SMI_EXPR_AGG)) {
        return smi_expr_fail(x, e, SM_SYNTAX,
                             "aggregates and window functions may not stand in GROUP BY");
    }
    for (int32_t i = 0; i < t->n_keys; i++) {
        if (sm_expr_eq(t->keys[i], x)) {
            return SM_OK;
        }
    }
    SM_ASSERT(t->n_keys < t->n_items + t->s->n_group + 1);
    t->keys[t->n_keys++] = x;
    return SM_OK;
}

static sm_status bind_group(selecting *t, sm_error *e)
{
    sm_arena *const a = t->b.q->a;
    t->keys = SM_NEW_ARRAY(a, const sm_expr *, t->n_items + t->s->n_group + 1);
    for (int64_t i = 0; t->s->group_all && i < t->n_items; i++) {
        /* A value without a column is the same in all rows and no key, as in DuckDB: a key that is
         * the only one would make "no row" of the one row that aggregates have of no row. */
        const sm_expr *const x = t->items[i].expr;
        if (has_kind(x, SM_EXPR_COLUMN) && !has_kind(x, SMI_EXPR_AGG) &&
            !has_kind(x, SMI_EXPR_WINDOW)) {
            SM_TRY(add_key(t, x, e));
        }
    }
    t->b.no_aggregate = "in GROUP BY";
    t->b.no_window = "in GROUP BY";
    for (int32_t i = 0; i < t->s->n_group; i++) {
        const smi_ast *const ast = t->s->group[i];
        const sm_expr *x = NULL;
        int64_t k = 0;
        if (is_ordinal(ast)) {
            SM_TRY(bind_ordinal(t, ast, "GROUP BY", &k, e));
            x = t->items[k].expr;
        } else {
            SM_TRY(smi_bind_expr(&t->b, ast, &x, e));
            x = smi_cast(a, x, smi_plain_type(x->type));
        }
        SM_TRY(add_key(t, x, e));
    }
    t->b.no_aggregate = NULL;
    t->b.no_window = NULL;
    return SM_OK;
}

/* ---- ORDER BY -------------------------------------------------------------------------------- */

static int32_t item_of(const selecting *t, const sm_expr *x)
{
    for (int64_t i = 0; i < t->n_items; i++) {
        if (sm_expr_eq(t->items[i].expr, x)) {
            return (int32_t)i;
        }
    }
    return -1;
}

/* The last item of that name among those with an alias (is_alias), or among those without; −1:
 * none. *is_many: there are several, with different values. */
static int32_t last_named(const selecting *t, sm_str name, bool is_alias, bool *is_many)
{
    int32_t found = -1;
    *is_many = false;
    for (int exact = 1; exact >= 0 && found < 0; exact--) {
        for (int64_t i = 0; i < t->n_items; i++) {
            const out_item *item = &t->items[i];
            const bool fits =
                exact ? sm_str_eq(item->name, name) : sm_str_eq_nocase(item->name, name);
            if (item->is_alias == is_alias && fits) {
                *is_many = found >= 0 && !sm_expr_eq(t->items[found].expr, item->expr);
                found = (int32_t)i;
            }
        }
    }
    return found;
}

/* A name in ORDER BY is an alias, of several the last one, as in DuckDB; else a column of the list,
 * which must be the only one of that name. *out is −1 where it is neither. */
static sm_status item_named(const selecting *t, const smi_ast *x, int32_t *out, sm_error *e)
{
    bool is_many = false;
    *out = -1;
    if (x->kind != SMI_AST_COLUMN || x->n_parts != 1) {
        return SM_OK;
    }
    *out = last_named(t, x->parts[0], true, &is_many);
    if (*out >= 0) {
        return SM_OK;
    }
    *out = last_named(t, x->parts[0], false, &is_many);
    if (is_many) {
        smi_sql_fail(t->b.sql, x->off, e, SM_NAME,
                     "ORDER BY: the list has several columns \"%.*s\"", SM_STR_ARG(x->parts[0]));
        sm_error_todo(e, "Write the table's name before it, or the column's number in the list.");
        return SM_NAME;
    }
    return SM_OK;
}

static sm_status bind_order_key(selecting *t, const smi_order *o, int32_t at, sm_error *e)
{
    sm_sort_key *const key = &t->order[at];
    key->is_desc = o->is_desc;
    key->nulls_first = o->nulls_first;
    t->order_item[at] = -1;
    if (is_ordinal(o->expr)) {
        int64_t k = 0;
        SM_TRY(bind_ordinal(t, o->expr, "ORDER BY", &k, e));
        t->order_item[at] = (int32_t)k;
        return SM_OK;
    }
    if (o->expr->kind == SMI_AST_LITERAL) {
        return smi_sql_fail(t->b.sql, o->expr->off, e, SM_SYNTAX,
                            "ORDER BY a constant has no effect");
    }
    SM_TRY(item_named(t, o->expr, &t->order_item[at], e));
    if (t->order_item[at] < 0) {
        SM_TRY(smi_bind_expr(&t->b, o->expr, &key->expr, e));
        key->expr = smi_cast(t->b.q->a, key->expr, smi_plain_type(key->expr->type));
        t->order_item[at] = item_of(t, key->expr);
    }
    return SM_OK;
}

static sm_status bind_order(selecting *t, sm_error *e)
{
    const smi_select *const s = t->s;
    const int64_t n = s->order_all ? t->n_items : s->n_order;
    t->order = SM_NEW_ARRAY(t->b.q->a, sm_sort_key, n + 1);
    t->order_item = SM_NEW_ARRAY(t->b.q->a, int32_t, n + 1);
    t->n_order = (int32_t)n;
    for (int32_t i = 0; i < n; i++) {
        if (s->order_all) {
            t->order[i] = (sm_sort_key){.is_desc = s->order_all_desc};
            t->order_item[i] = i;
        } else {
            SM_TRY(bind_order_key(t, &s->order[i], i, e));
        }
        const int32_t item = t->order_item[i];
        const sm_expr *const x = item >= 0 ? t->items[item].expr : t->order[i].expr;
        if (sm_type_is_nested(x->type->id)) {
            return smi_expr_fail(x, e, SM_TYPE, "ORDER BY: lists and structs have no order");
        }
        if (item < 0 && s->is_distinct) {
            return smi_expr_fail(x, e, SM_SYNTAX,
                                 "ORDER BY with DISTINCT takes only columns of the list");
        }
    }
    return SM_OK;
}

/* ---- the AGGREGATE node ---------------------------------------------------------------------- */

typedef struct regrouping {
    sm_arena *a;
    const sm_expr *const *keys;
    int32_t n_keys;
    const sm_expr *stray; /* a column that is no key */
} regrouping;

static const sm_expr *regroup_one(void *ctx, const sm_expr *x)
{
    regrouping *const g = ctx;
    for (int32_t i = 0; i < g->n_keys; i++) {
        if (sm_expr_eq(g->keys[i], x)) {
            return smi_column_ref(g->a, i, x->type, x);
        }
    }
    SM_ASSERT(x->kind != SM_EXPR_CALL || x->fn->kind != SM_FN_AGGREGATE);
    if (x->kind == SMI_EXPR_AGG) {
        return smi_column_ref(g->a, g->n_keys + x->index, x->type, x);
    }
    if (x->kind == SM_EXPR_COLUMN && !g->stray) {
        g->stray = x;
    }
    return x->kind == SM_EXPR_COLUMN ? x : NULL;
}

static sm_status regroup(selecting *t, const sm_expr **x, sm_error *e)
{
    regrouping g = {t->b.q->a, t->keys, t->n_keys, NULL};
    if (!*x) {
        return SM_OK;
    }
    const sm_expr *const out = smi_rewrite(g.a, *x, regroup_one, &g);
    if (g.stray) {
        sm_str name = {0};
        for (int64_t i = 0; i < t->b.scope.n; i++) {
            if (t->b.scope.cols[i].index == g.stray->index) {
                name = t->b.scope.cols[i].name;
            }
        }
        smi_expr_fail(g.stray, e, SM_SYNTAX,
                      "column \"%.*s\" is neither in GROUP BY nor in an aggregate",
                      SM_STR_ARG(name));
        sm_error_todo(e, "Add it to GROUP BY, or take any_value(\"%.*s\").", SM_STR_ARG(name));
        return SM_SYNTAX;
    }
    *x = out;
    return SM_OK;
}

static sm_status regroup_window(selecting *t, sm_window_item *w, sm_error *e)
{
    sm_sort_key *const order = (sm_sort_key *)w->order;
    SM_TRY(regroup(t, &w->call, e));
    for (int32_t i = 0; i < w->n_partition; i++) {
        SM_TRY(regroup(t, &w->partition[i], e));
    }
    for (int32_t i = 0; i < w->n_order; i++) {
        SM_TRY(regroup(t, &order[i].expr, e));
    }
    return SM_OK;
}

static sm_status add_aggregate(selecting *t, sm_error *e)
{
    t->plan =
        smi_node_aggregate(t->b.q->a, t->plan, t->keys, t->n_keys, t->b.aggs, (int32_t)t->b.n_aggs);
    for (int64_t i = 0; i < t->n_items; i++) {
        SM_TRY(regroup(t, &t->items[i].expr, e));
    }
    SM_TRY(regroup(t, &t->having, e));
    SM_TRY(regroup(t, &t->qualify, e));
    for (int32_t i = 0; i < t->n_order; i++) {
        if (t->order_item[i] < 0) {
            SM_TRY(regroup(t, &t->order[i].expr, e));
        }
    }
    for (int64_t i = 0; i < t->b.n_windows; i++) {
        SM_TRY(regroup_window(t, &t->b.windows[i], e));
    }
    t->plan = smi_node_filter(t->b.q->a, t->plan, t->having);
    return SM_OK;
}

/* ---- the WINDOW node ------------------------------------------------------------------------- */

typedef struct windowing {
    sm_arena *a;
    int32_t n_input;
} windowing;

static const sm_expr *window_one(void *ctx, const sm_expr *x)
{
    const windowing *const w = ctx;
    return x->kind == SMI_EXPR_WINDOW ? smi_column_ref(w->a, w->n_input + x->index, x->type, x)
                                      : NULL;
}

static void add_window(selecting *t)
{
    windowing w = {t->b.q->a, t->plan->schema->n_fields};
    if (t->b.n_windows > 0) {
        t->plan = smi_node_window(w.a, t->plan, t->b.windows, (int32_t)t->b.n_windows);
        for (int64_t i = 0; i < t->n_items; i++) {
            t->items[i].expr = smi_rewrite(w.a, t->items[i].expr, window_one, &w);
        }
        for (int32_t i = 0; i < t->n_order; i++) {
            if (t->order_item[i] < 0) {
                t->order[i].expr = smi_rewrite(w.a, t->order[i].expr, window_one, &w);
            }
        }
        if (t->qualify) {
            t->qualify = smi_rewrite(w.a, t->qualify, window_one, &w);
        }
    }
    t->plan = smi_node_filter(w.a, t->plan, t->qualify);
}

/* ---- projection, DISTINCT, ORDER BY, LIMIT --------------------------------------------------- */

static sm_plan_node *distinct_of(sm_arena *a, sm_plan_node *in)
{
    const int32_t n = in->schema->n_fields;
    const sm_expr **const keys = SM_NEW_ARRAY(a, const sm_expr *, n + 1);
    for (int32_t i = 0; i < n; i++) {
        keys[i] = smi_column_ref(a, i, in->schema->fields[i].type, NULL);
    }
    return smi_node_aggregate(a, in, keys, n, NULL, 0);
}

/* The first n columns as they are. */
static sm_plan_node *first_columns(sm_arena *a, sm_plan_node *in, int32_t n)
{
    const sm_expr **const exprs = SM_NEW_ARRAY(a, const sm_expr *, n + 1);
    sm_str *const names = SM_NEW_ARRAY(a, sm_str, n + 1);
    for (int32_t i = 0; i < n; i++) {
        exprs[i] = smi_column_ref(a, i, in->schema->fields[i].type, NULL);
        names[i] = in->schema->fields[i].name;
    }
    return smi_node_project(a, in, exprs, names, n);
}

static void add_projection(selecting *t)
{
    sm_arena *const a = t->b.q->a;
    const int32_t n = (int32_t)t->n_items;
    const sm_expr **const exprs = SM_NEW_ARRAY(a, const sm_expr *, n + t->n_order + 1);
    sm_str *const names = SM_NEW_ARRAY(a, sm_str, n + t->n_order + 1);
    int32_t n_all = n;
    for (int32_t i = 0; i < n; i++) {
        exprs[i] = t->items[i].expr;
        names[i] = t->items[i].name;
    }
    for (int32_t i = 0; i < t->n_order; i++) {
        if (t->order_item[i] < 0) {
            exprs[n_all] = t->order[i].expr;
            names[n_all] = SM_STR("");
            t->order_item[i] = n_all++;
        }
        SM_ASSERT(t->order_item[i] >= 0 && t->order_item[i] < n_all);
    }
    for (int32_t i = 0; i < n_all; i++) { /* add_aggregate() and add_window() replaced them */
        SM_ASSERT(!has_kind(exprs[i], SMI_EXPR_AGG) && !has_kind(exprs[i], SMI_EXPR_WINDOW));
    }
    t->plan = smi_node_project(a, t->plan, exprs, names, n_all);
    if (t->s->is_distinct) {
        t->plan = distinct_of(a, t->plan);
    }
    if (t->n_order > 0) {
        for (int32_t i = 0; i < t->n_order; i++) {
            const int32_t k = t->order_item[i];
            t->order[i].expr = smi_column_ref(a, k, t->plan->schema->fields[k].type, NULL);
        }
        sm_plan_node *const sort = smi_node_sort(a, t->plan, t->order, t->n_order);
        t->plan = n_all > n ? first_columns(a, sort, n) : sort;
    }
}

static sm_status bind_count(smi_bind *b, const smi_ast *x, const char *clause, int64_t *out,
                            sm_error *e)
{
    sm_value v = {0};
    SM_TRY(smi_bind_constant(b, x, &v, e));
    const bool is_count = sm_type_is_integer(v.type->id) && !v.is_null && v.as.i >= 0;
    if (!is_count && v.type->id != SM_TYPE_NULL) {
        return smi_sql_fail(b->sql, x->off, e, SM_TYPE, "%s takes a whole number of 0 or more",
                            clause);
    }
    *out = v.is_null ? *out : v.as.i;
    return SM_OK;
}

static sm_status add_limit(smi_binding *q, const sm_sql *sql, const smi_cte *ctes,
                           const smi_select *s, sm_plan_node **plan, sm_error *e)
{
    smi_bind none = {
        .q = q, .sql = sql, .ctes = ctes, .no_aggregate = "in LIMIT", .no_window = "in LIMIT"};
    int64_t limit = -1, offset = 0;
    if (s->limit) {
        SM_TRY(bind_count(&none, s->limit, "LIMIT", &limit, e));
    }
    if (s->offset) {
        SM_TRY(bind_count(&none, s->offset, "OFFSET", &offset, e));
    }
    if (limit >= 0 || offset > 0) {
        *plan = smi_node_limit(q->a, *plan, limit, offset);
    }
    return SM_OK;
}

/* ---- SELECT ---------------------------------------------------------------------------------- */

static sm_status bind_clauses(selecting *t, sm_error *e)
{
    const smi_select *const s = t->s;
    smi_bind *const b = &t->b;
    if (s->where) {
        const sm_expr *where = NULL;
        b->no_aggregate = "in WHERE";
        b->no_window = "in WHERE";
        SM_TRY(smi_bind_predicate(b, s->where, "WHERE", &where, e));
        b->no_aggregate = NULL;
        b->no_window = NULL;
        t->plan = smi_node_filter(b->q->a, t->plan, where);
    }
    SM_TRY(bind_items(t, e));
    SM_TRY(bind_group(t, e));
    if (s->having) {
        b->no_window = "in HAVING";
        SM_TRY(smi_bind_predicate(b, s->having, "HAVING", &t->having, e));
        b->no_window = NULL;
    }
    if (s->qualify) {
        SM_TRY(smi_bind_predicate(b, s->qualify, "QUALIFY", &t->qualify, e));
        if (b->n_windows == 0) {
            smi_sql_fail(b->sql, s->qualify->off, e, SM_SYNTAX,
                         "QUALIFY without a window function");
            sm_error_todo(e, "WHERE or HAVING choose without one.");
            return SM_SYNTAX;
        }
    }
    return bind_order(t, e);
}

static sm_status bind_plain(smi_binding *q, const sm_sql *sql, const smi_cte *ctes,
                            const smi_select *s, sm_plan_node **out, sm_error *e)
{
    selecting t = {.b = {.q = q, .sql = sql, .ctes = ctes, .select = s}, .s = s};
    if (s->from) {
        SM_TRY(smi_bind_from(&t.b, s->from, &t.plan, e));
    } else {
        t.plan = smi_node_row(q->a);
    }
    SM_TRY(bind_clauses(&t, e));
    if (t.b.n_aggs > 0 || t.n_keys > 0 || t.having || s->group_none) {
        SM_TRY(add_aggregate(&t, e));
    }
    add_window(&t);
    add_projection(&t);
    if (s->is_distinct || s->group_all) {
        smi_whole_take(&t.whole);
    }
    q->whole = t.whole;
    *out = t.plan;
    return SM_OK;
}

/* ---- a condition over groups ----------------------------------------------------------------- */

/* The text as a BOOLEAN over the rows, with placeholders for aggregates. */
static sm_status bind_condition(selecting *t, const smi_ast *ast, sm_error *e)
{
    const sm_expr *x = NULL;

    SM_TRY(smi_bind_expr(&t->b, ast, &x, e));
    if (t->b.q->n_params > 0) {
        return smi_sql_fail(t->b.sql, ast->off, e, SM_UNSUPPORTED, "no subquery may stand here");
    }
    if (x->type->id != SM_TYPE_BOOL && x->type->id != SM_TYPE_NULL) {
        return smi_sql_fail(t->b.sql, ast->off, e, SM_TYPE, "this is no condition");
    }
    t->having = smi_cast(t->b.q->a, x, &sm_type_bool);
    return SM_OK;
}

sm_status smi_bind_grouped(const sm_sql *sql, const smi_ast *ast, const sm_grouping *g,
                           const sm_resolver *resolver, sm_arena *a, const sm_plan_node **out,
                           sm_error *e)
{
    smi_binding q = {.resolver = resolver, .a = a};
    selecting t = {.b = {.q = &q, .sql = sql, .no_window = "here"}, .n_keys = g->n_keys};
    const sm_expr **exprs = SM_NEW_ARRAY(a, const sm_expr *, g->n_keys + 1);
    sm_str *names = SM_NEW_ARRAY(a, sm_str, g->n_keys + 1);
    const sm_plan_node *groups = NULL;

    t.keys = SM_NEW_ARRAY(a, const sm_expr *, g->n_keys);
    memcpy(t.keys, g->keys, (size_t)g->n_keys * sizeof(*t.keys));
    smi_scope_open(&t.b, g->in->schema);
    SM_TRY(bind_condition(&t, ast, e));
    SM_TRY(
        sm_plan_aggregate(g->in, t.keys, t.n_keys, t.b.aggs, (int32_t)t.b.n_aggs, a, &groups, e));
    SM_TRY(regroup(&t, &t.having, e));
    for (int32_t i = 0; i < g->n_keys; i++) {
        exprs[i] = sm_expr_column(groups->schema, i, a);
        names[i] = groups->schema->fields[i].name;
    }
    exprs[g->n_keys] = t.having;
    names[g->n_keys] = SM_STR("holds");
    *out = sm_plan_project(groups, exprs, names, g->n_keys + 1, a);
    return SM_OK;
}

/* ---- VALUES ---------------------------------------------------------------------------------- */

static sm_status bind_values(smi_binding *q, const sm_sql *sql, const smi_cte *ctes,
                             const smi_select *s, sm_plan_node **out, sm_error *e)
{
    const int32_t n = s->n_items;
    smi_bind b = {
        .q = q, .sql = sql, .ctes = ctes, .no_aggregate = "in VALUES", .no_window = "in VALUES"};
    sm_field *const fields = SM_NEW_ARRAY(q->a, sm_field, n + 1);
    const sm_expr **const rows = SM_NEW_ARRAY(q->a, const sm_expr *, s->n_rows *n + 1);
    for (int32_t c = 0; c < n; c++) {
        sm_expr so_far = {0};
        for (int64_t r = 0; r < s->n_rows; r++) {
            const smi_ast *const cell = s->rows[r][c];
            const sm_expr place = smi_place(sql, cell->off, cell->end);
            const sm_expr *x = NULL;
            SM_TRY(smi_bind_expr(&b, cell, &x, e));
            if (x->kind != SM_EXPR_CONST) {
                sm_value v = {0};
                SM_TRY(smi_bind_constant(&b, cell, &v, e));
                x = smi_const(q->a, v, &place);
            }
            rows[r * n + c] = x;
            const sm_type *const t = r == 0 ? x->type : smi_meet(q->a, &so_far, x, SMI_MEET_ONE);
            if (!t) {
                const sm_str name = smi_type_text(q->a, x->type);
                return smi_sql_fail(sql, cell->off, e, SM_TYPE,
                                    "%.*s does not go with the type of the rows before it",
                                    SM_STR_ARG(name));
            }
            so_far = r == 0 ? *x : so_far;
            so_far.kind =
                smi_is_literal(x) && sm_type_eq(t, so_far.type) ? so_far.kind : SM_EXPR_COLUMN;
            so_far.type = t;
        }
        const sm_type *const t = smi_plain_type(so_far.type);
        fields[c] = (sm_field){
            .name = sm_arena_strf(q->a, "col%d", c),
            .type = t,
        };
        for (int64_t r = 0; r < s->n_rows; r++) {
            const sm_expr *const x = smi_cast(q->a, rows[r * n + c], fields[c].type);
            if (x->kind != SM_EXPR_CONST) {
                return smi_fail_constant(&b, s->rows[r][c], x, e);
            }
            rows[r * n + c] = x;
            fields[c].is_nullable |= x->value.is_null;
        }
    }
    q->whole = (smi_whole){0};
    *out = smi_node(q->a, SM_PLAN_VALUES, sm_type_struct(q->a, fields, n), NULL, NULL);
    (*out)->as.values.rows = rows;
    (*out)->as.values.n_rows = s->n_rows;
    return SM_OK;
}

/* ---- UNION ----------------------------------------------------------------------------------- */

static sm_status bind_union(smi_binding *q, const sm_sql *sql, const smi_cte *ctes,
                            const smi_select *s, sm_plan_node **out, sm_error *e)
{
    sm_plan_node *sides[2] = {0};
    smi_whole whole = {0};
    SM_TRY(smi_bind_select(q, sql, ctes, s->left, &sides[0], e));
    smi_whole_add(q->a, &whole, &q->whole);
    SM_TRY(smi_bind_select(q, sql, ctes, s->right, &sides[1], e));
    smi_whole_add(q->a, &whole, &q->whole);
    q->whole = whole;
    SM_ASSERT(sides[0] != NULL && sides[1] != NULL);
    const sm_expr place = smi_place(sql, s->right->off, s->right->end);
    SM_TRY(smi_node_union(q->a, sides[0], sides[1], &place, out, e));
    SM_ASSERT((*out)->schema->n_fields == sides[0]->schema->n_fields);
    if (s->is_distinct) {
        *out = distinct_of(q->a, *out);
        smi_whole_take(&q->whole);
    }
    return SM_OK;
}

/* ORDER BY of VALUES and UNION: keys can only be over their output. */
static sm_status order_output(smi_binding *q, const sm_sql *sql, const smi_select *s,
                              sm_plan_node **plan, sm_error *e)
{
    selecting t = {.b = {.q = q,
                         .sql = sql,
                         .no_aggregate = "in ORDER BY of a UNION",
                         .no_window = "in ORDER BY of a UNION"},
                   .s = s,
                   .plan = *plan};
    SM_ASSERT(*plan != NULL);
    const sm_type *const schema = (*plan)->schema;
    if (s->n_order == 0 && !s->order_all) {
        return SM_OK;
    }
    for (int32_t i = 0; i < schema->n_fields; i++) {
        const sm_expr *const c = smi_column_ref(q->a, i, schema->fields[i].type, NULL);
        smi_scope *const scope = &t.b.scope;
        add_item(&t, c, schema->fields[i].name, false);
        scope->cols = sm_arena_grow(q->a, scope->cols, scope->n, &scope->cap, sizeof(*scope->cols));
        scope->cols[scope->n++] = (smi_scope_col){
            .name = schema->fields[i].name,
            .type = schema->fields[i].type,
            .index = i,
        };
    }
    SM_TRY(bind_order(&t, e));
    smi_select plain = *s;
    plain.is_distinct = false; /* a UNION's DISTINCT is done */
    t.s = &plain;
    add_projection(&t);
    *plan = t.plan;
    return SM_OK;
}

/* ---- any query ------------------------------------------------------------------------------- */

static sm_status bind_query(smi_binding *q, const sm_sql *sql, const smi_cte *ctes,
                            const smi_select *s, sm_plan_node **out, sm_error *e)
{
    for (int32_t i = 0; i < s->n_ctes; i++) { /* each sees those before it, so none names itself */
        ctes = smi_cte_add(q->a, ctes, &s->ctes[i]);
    }
    switch (s->kind) {
    case SMI_SELECT:
        SM_TRY(bind_plain(q, sql, ctes, s, out, e));
        break;
    case SMI_SELECT_VALUES:
        SM_TRY(bind_values(q, sql, ctes, s, out, e));
        SM_TRY(order_output(q, sql, s, out, e));
        break;
    case SMI_SELECT_UNION:
        SM_TRY(bind_union(q, sql, ctes, s, out, e));
        SM_TRY(order_output(q, sql, s, out, e));
        break;
    }
    return add_limit(q, sql, ctes, s, out, e);
}

sm_status smi_bind_select(smi_binding *q, const sm_sql *sql, const smi_cte *ctes,
                          const smi_select *s, sm_plan_node **out, sm_error *e)
{
    if (++q->depth > SMI_MAX_SELECTS || ++q->n_selects > MAX_BOUND_SELECTS) {
        smi_sql_fail(sql, s->off, e, SM_LIMIT, "views are over the limit of %d deep or %d in all",
                     SMI_MAX_SELECTS, MAX_BOUND_SELECTS);
        sm_error_todo(e, "Does a view name itself?");
        return SM_LIMIT;
    }
    const sm_status st = bind_query(q, sql, ctes, s, out, e);
    q->depth--;
    return st;
}

sm_status smi_bind_query(smi_binding *q, const sm_sql *sql, const smi_select *s, sm_plan_node **out,
                         sm_error *e)
{
    SM_TRY(smi_bind_select(q, sql, NULL, s, out, e));
    SM_ASSERT(q->depth == 0 && q->expr_depth == 0);
    smi_whole_take(&q->whole);
    return SM_OK;
}
