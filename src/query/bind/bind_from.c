/* SPDX-License-Identifier: Apache-2.0
 *
 * query/bind/bind_from.c: binds FROM: tables, views, files, table functions, subqueries and joins
 * become a plan, and their columns become a scope. A view or CTE is bound anew wherever its name
 * stands; the optimizer compares the plans to find that two are the same. */
#include "query/bind/bind_int.h"
#include "query/function/function_int.h"

/* ---- scopes ---------------------------------------------------------------------------------- */

static sm_status add_columns(smi_bind *b, const smi_from *f, const sm_plan_node *n, sm_str table,
                             sm_error *e)
{
    smi_scope *const s = &b->scope;
    smi_whole *const whole = SM_NEW(b->q->a, smi_whole);
    *whole = b->q->whole;
    if (f->n_columns > n->schema->n_fields) {
        return smi_sql_fail(b->sql, f->off, e, SM_SYNTAX,
                            "\"%.*s\" has %d columns, %d names are given", SM_STR_ARG(table),
                            n->schema->n_fields, f->n_columns);
    }
    for (int32_t i = 0; i < n->schema->n_fields; i++) {
        s->cols = sm_arena_grow(b->q->a, s->cols, s->n, &s->cap, sizeof(*s->cols));
        s->cols[s->n++] = (smi_scope_col){
            .table = table,
            .name = i < f->n_columns ? f->columns[i] : n->schema->fields[i].name,
            .type = n->schema->fields[i].type,
            .index = i,
            .whole = whole,
        };
    }
    return SM_OK;
}

/* ---- whole rows ------------------------------------------------------------------------------ */

void smi_whole_add(sm_arena *a, smi_whole *to, const smi_whole *from)
{
    for (int64_t i = 0; from && i < from->n; i++) {
        to->scans = sm_arena_grow(a, to->scans, to->n, &to->cap, sizeof(*to->scans));
        to->scans[to->n++] = from->scans[i];
    }
}

void smi_whole_take(const smi_whole *w)
{
    for (int64_t i = 0; i < w->n; i++) {
        SM_ASSERT(w->scans[i]->kind == SM_PLAN_SCAN);
        w->scans[i]->as.scan.want.takes_row = true;
    }
}

/* ---- scans and views ------------------------------------------------------------------------- */

static sm_status bind_relation(smi_bind *b, const sm_relation *r, sm_plan_node **out, sm_error *e)
{
    if (r->dataset) {
        *out = smi_node_scan(b->q->a, r);
        b->q->whole = (smi_whole){0};
        if (r->unknown != SM_UNKNOWN_PASS) {
            smi_whole_add(b->q->a, &b->q->whole, &(smi_whole){.scans = out, .n = 1});
        }
        return SM_OK;
    }
    if (r->node) { /* its builder has told its scans what is taken whole */
        b->q->whole = (smi_whole){0};
        SM_TRY(smi_plan_clone(b->q->a, r->node, out, e));
    } else {
        sm_sql *const sql = SM_NEW(b->q->a, sm_sql);
        smi_select *select = NULL;
        *sql = r->view;
        SM_TRY(smi_parse_select(sql, b->q->a, &select, e));
        SM_TRY(smi_bind_select(b->q, sql, NULL, select, out, e));
    }
    (*out)->n_rows = r->n_rows ? r->n_rows : (*out)->n_rows;
    return SM_OK;
}

/* Gives a resolver's error its place: that of the argument whose offset is in e->byte
 * (sm_resolver), else that of the item of FROM. */
static sm_status place_resolver_error(smi_bind *b, const smi_from *f, sm_error *e, sm_status st)
{
    uint32_t off = f->off;
    if (e && e->object[0] == '\0' && e->line == 0 && e->byte >= 0) {
        off = (uint32_t)e->byte;
        e->byte = -1;
    }
    const sm_expr place = smi_place(b->sql, off, f->end);
    return smi_expr_place(&place, e, st);
}

/* A name without a layer may have been meant for a table of WITH. */
static void suggest_cte(const smi_bind *b, const smi_from *f, sm_error *e, sm_status st)
{
    sm_str names[64];
    int64_t n = 0;

    if (st != SM_NAME || f->n_parts != 1 || (e && e->todo[0])) {
        return;
    }
    for (const smi_cte *c = b->ctes; c && n < SM_COUNT(names); c = c->outer) {
        names[n++] = sm_arena_str(b->q->a, c->name);
    }
    const char *near = sm_nearest_name(f->parts[0], names, n);
    if (near) {
        sm_error_todo(e, "Did you mean \"%s\"?", near);
    }
}

/* The arguments of a table function, or of AT. */
static sm_status bind_args(smi_bind *b, const smi_from *f, sm_table_arg *out, sm_error *e)
{
    smi_bind none = {.q = b->q,
                     .sql = b->sql,
                     .ctes = b->ctes,
                     .no_aggregate = "in FROM",
                     .no_window = "in FROM"};
    for (int32_t i = 0; i < f->n_args; i++) {
        SM_TRY(smi_bind_table_arg(&none, f->args[i], &out[i], e));
    }
    return SM_OK;
}

static sm_status resolve_table(smi_bind *b, const smi_from *f, sm_relation *out, sm_error *e)
{
    const sm_resolver *const r = b->q->resolver;
    sm_table_arg at = {0};

    if (f->n_args == 0) {
        return r->table(r->ctx, f->parts, f->n_parts, b->q->a, out, e);
    }
    SM_ASSERT(f->n_args == 1);
    SM_TRY(bind_args(b, f, &at, e));
    if (!r->table_at) {
        return smi_sql_fail(b->sql, f->args[0]->off, e, SM_UNSUPPORTED,
                            "tables have no versions here");
    }
    return r->table_at(r->ctx, f->parts, f->n_parts, &at, b->q->a, out, e);
}

/* A path: FROM 'path' is the table function without a name, with the path as its first argument. */
static sm_status resolve_path(smi_bind *b, const smi_from *f, sm_relation *out, sm_error *e)
{
    const sm_resolver *const r = b->q->resolver;
    const sm_table_arg path = {.value = sm_value_str(f->name), .off_bytes = f->off};

    if (!r || !r->function) {
        return smi_sql_fail(b->sql, f->off, e, SM_NAME, "no table \"%.*s\"", SM_STR_ARG(f->name));
    }
    return r->function(r->ctx, SM_STR(""), &path, 1, b->q->a, out, e);
}

sm_status smi_bind_target(smi_bind *b, const smi_from *f, sm_relation *relation, sm_plan_node **out,
                          sm_error *e)
{
    const bool is_path = f->kind == SMI_FROM_FILE;
    const sm_resolver *const r = b->q->resolver;
    const sm_str name = is_path ? f->name : f->parts[f->n_parts - 1];
    SM_ASSERT(f->n_args == 0 && (is_path || f->kind == SMI_FROM_TABLE));
    if (!is_path && (!r || !r->table)) {
        return smi_sql_fail(b->sql, f->off, e, SM_NAME, "no table \"%.*s\"", SM_STR_ARG(name));
    }
    const sm_status st =
        is_path ? resolve_path(b, f, relation, e) : resolve_table(b, f, relation, e);
    if (st != SM_OK) {
        return place_resolver_error(b, f, e, st);
    }
    if (!relation->table) {
        smi_sql_fail(b->sql, f->off, e, SM_UNSUPPORTED, "\"%.*s\" is no table that can be changed",
                     SM_STR_ARG(name));
        sm_error_todo(e, "Name a Delta table: layer.table, or the path of its folder in quotes.");
        return SM_UNSUPPORTED;
    }
    SM_TRY(bind_relation(b, relation, out, e));
    SM_ASSERT(f->n_columns == 0);
    return add_columns(b, f, *out, f->alias.len > 0 ? f->alias : name, e);
}

static sm_status bind_table(smi_bind *b, const smi_from *f, sm_plan_node **out, sm_error *e)
{
    const sm_resolver *const r = b->q->resolver;
    const sm_str name = f->parts[f->n_parts - 1];
    const sm_str alias = f->alias.len > 0 ? f->alias : name;
    const smi_cte *const cte = f->n_parts == 1 ? smi_cte_find(b->ctes, name) : NULL;
    if (cte && f->n_args > 0) {
        return smi_sql_fail(b->sql, f->off, e, SM_NAME,
                            "\"%.*s\" is a table of WITH, which has no versions", SM_STR_ARG(name));
    }
    if (cte) {
        SM_TRY(smi_bind_select(b->q, cte->sql, cte->outer, cte->select, out, e));
        smi_from named = *f; /* WITH t(a, b): these names, unless FROM gives others */
        if (f->n_columns == 0) {
            named.columns = cte->columns;
            named.n_columns = cte->n_columns;
        }
        return add_columns(b, &named, *out, alias, e);
    }
    if (!r || !r->table) {
        return smi_sql_fail(b->sql, f->off, e, SM_NAME, "no table \"%.*s\"", SM_STR_ARG(name));
    }
    sm_relation rel = {0};
    const sm_status st = resolve_table(b, f, &rel, e);
    if (st != SM_OK) {
        suggest_cte(b, f, e, st);
        return place_resolver_error(b, f, e, st);
    }
    SM_TRY(bind_relation(b, &rel, out, e));
    return add_columns(b, f, *out, alias, e);
}

/* ---- table functions ------------------------------------------------------------------------- */

/* A function, or the path of a file: FROM 'path' is the function without a name, with the path as
 * its first argument. */
static sm_status bind_function(smi_bind *b, const smi_from *f, sm_plan_node **out, sm_error *e)
{
    const sm_resolver *const r = b->q->resolver;
    const bool is_file = f->kind == SMI_FROM_FILE;
    const int32_t n_first = is_file ? 1 : 0, n = n_first + f->n_args;
    sm_table_arg *const args = SM_NEW_ARRAY(b->q->a, sm_table_arg, n + 1);
    if (is_file) {
        args[0] = (sm_table_arg){.value = sm_value_str(f->name), .off_bytes = f->off};
    }
    SM_TRY(bind_args(b, f, args + n_first, e));
    if (!r || !r->function) {
        return smi_sql_fail(b->sql, f->off, e, SM_NAME, "no table function \"%.*s\"",
                            SM_STR_ARG(f->name));
    }
    sm_relation rel = {0};
    const sm_str name = is_file ? SM_STR("") : f->name;
    const sm_status st = r->function(r->ctx, name, args, n, b->q->a, &rel, e);
    if (st != SM_OK) {
        return place_resolver_error(b, f, e, st);
    }
    SM_TRY(bind_relation(b, &rel, out, e));
    return add_columns(b, f, *out, f->alias.len > 0 ? f->alias : f->name, e);
}

/* ---- joins ----------------------------------------------------------------------------------- */

static sm_status bind_on(smi_bind *b, const smi_from *f, int64_t first, sm_plan_node **join,
                         sm_error *e)
{
    const sm_expr *on = NULL;
    smi_bind inner = {
        .q = b->q,
        .sql = b->sql,
        .ctes = b->ctes,
        .scope = {b->scope.cols + first, b->scope.n - first, 0},
        .no_aggregate = "in ON",
        .no_window = "in ON",
    };
    SM_TRY(smi_bind_predicate(&inner, f->on, "ON", &on, e));
    *join = smi_join_on(b->q->a, *join, on);
    return SM_OK;
}

static int64_t find_using(const smi_scope *s, int64_t first, int64_t end, sm_str name)
{
    for (int exact = 1; exact >= 0; exact--) {
        for (int64_t i = first; i < end; i++) {
            const bool fits =
                exact ? sm_str_eq(s->cols[i].name, name) : sm_str_eq_nocase(s->cols[i].name, name);
            if (fits && !s->cols[i].is_hidden) {
                return i;
            }
        }
    }
    return -1;
}

static sm_status bind_using(smi_bind *b, const smi_from *f, int64_t first, int64_t middle,
                            sm_plan_node *join, sm_error *e)
{
    sm_arena *const a = b->q->a;
    const sm_expr place = smi_place(b->sql, f->off, f->end);
    for (int32_t i = 0; i < f->n_using; i++) {
        const sm_str name = f->using_names[i];
        const int64_t left = find_using(&b->scope, first, middle, name);
        const int64_t right = find_using(&b->scope, middle, b->scope.n, name);
        if (left < 0 || right < 0) {
            return smi_sql_fail(b->sql, f->off, e, SM_NAME,
                                "USING: no column \"%.*s\" on the %s side of the join",
                                SM_STR_ARG(name), left < 0 ? "left" : "right");
        }
        const smi_scope_col *const l = &b->scope.cols[left], *const r = &b->scope.cols[right];
        const sm_expr **const pair = SM_NEW_ARRAY(a, const sm_expr *, 2);
        const sm_expr *equal = NULL;
        pair[0] = smi_column_ref(a, l->index, l->type, &place);
        pair[1] = smi_column_ref(a, r->index, r->type, &place);
        SM_TRY(smi_bind_call(a, smi_function_named(SM_STR("=")), pair, 2, &place, &equal, e));
        SM_ENSURE(smi_join_add(a, join, equal));
        b->scope.cols[right].is_hidden = true;
    }
    return SM_OK;
}

static sm_status bind_join(smi_bind *b, const smi_from *f, sm_plan_node **out, sm_error *e)
{
    sm_plan_node *left = NULL, *right = NULL;
    const int64_t first = b->scope.n;
    SM_TRY(smi_bind_from(b, f->left, &left, e));
    const int64_t middle = b->scope.n;
    SM_ASSERT(middle - first == left->schema->n_fields);
    SM_TRY(smi_bind_from(b, f->right, &right, e));
    for (int64_t i = middle; i < b->scope.n; i++) {
        b->scope.cols[i].index += left->schema->n_fields;
    }
    sm_plan_node *const join = smi_node_join(b->q->a, left, right, f->join);
    *out = join;
    if (f->on) {
        SM_TRY(bind_on(b, f, first, out, e));
    }
    if (f->n_using > 0) {
        SM_TRY(bind_using(b, f, first, middle, join, e));
    }
    smi_join_settle(join);
    return SM_OK;
}

static sm_status bind_from_item(smi_bind *b, const smi_from *f, sm_plan_node **out, sm_error *e)
{
    switch (f->kind) {
    case SMI_FROM_TABLE:
        return bind_table(b, f, out, e);
    case SMI_FROM_FILE:
    case SMI_FROM_FUNCTION:
        return bind_function(b, f, out, e);
    case SMI_FROM_SELECT:
        SM_TRY(smi_bind_select(b->q, b->sql, b->ctes, f->select, out, e));
        return add_columns(b, f, *out, f->alias, e);
    case SMI_FROM_JOIN:
        return bind_join(b, f, out, e);
    }
    return SM_OK;
}

sm_status smi_bind_from(smi_bind *b, const smi_from *f, sm_plan_node **out, sm_error *e)
{
    if (++b->q->depth > SMI_MAX_SELECTS) {
        return smi_sql_fail(b->sql, f->off, e, SM_LIMIT, "query nests deeper than the limit of %d",
                            SMI_MAX_SELECTS);
    }
    const sm_status st = bind_from_item(b, f, out, e);
    SM_ASSERT(b->q->depth > 0);
    b->q->depth--;
    return st;
}
