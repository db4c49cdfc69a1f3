/* SPDX-License-Identifier: Apache-2.0
 *
 * query/parse/sql_walk.c: walks a syntax tree: visits every expression, SELECT and item of FROM,
 * each before its children. Only this file knows which children a node has; a pass says what it
 * does with a node (smi_visitor). Called by sql_tables.c. The binder and sql_canonical.c do not use
 * the walk, as they have work between a node's children; sql_canonical.c keeps to the same limits.
 *
 * Order      WITH, then the clauses as they are parsed.
 * Depth      The binder's limits: the parser limits chains of operators and nested subqueries, but
 *            one within the other they multiply.
 * Length     Forms that are written out share their parts (BETWEEN), so a tree may have far more
 *            nodes than its text has words: SMI_MAX_WALKED limits them. */
#include "query/parse/parse_int.h"

typedef struct walk {
    const smi_visitor *visitor;
    const sm_sql *sql;
    sm_arena *a;
    smi_descent at;
    const smi_cte *ctes; /* visible here */
} walk;

static sm_status walk_expr(walk *w, const smi_ast *x, sm_error *e);
static sm_status walk_select(walk *w, const smi_select *s, sm_error *e);

/* ---- limits ---------------------------------------------------------------------------------- */

sm_status smi_enter_select(smi_descent *d, const sm_sql *sql, uint32_t off_bytes, sm_error *e)
{
    if (++d->n_selects > SMI_MAX_SELECTS) {
        return smi_sql_fail(sql, off_bytes, e, SM_LIMIT, "query nests deeper than the limit of %d",
                            SMI_MAX_SELECTS);
    }
    return SM_OK;
}

void smi_leave_select(smi_descent *d)
{
    SM_ASSERT(d->n_selects > 0);
    d->n_selects--;
}

sm_status smi_enter_expr(smi_descent *d, const sm_sql *sql, uint32_t off_bytes, sm_error *e)
{
    if (++d->n_exprs > SMI_MAX_BIND_DEPTH) {
        return smi_sql_fail(sql, off_bytes, e, SM_LIMIT,
                            "expression is over the limit of %d operators deep",
                            SMI_MAX_BIND_DEPTH);
    }
    if (++d->n_seen > SMI_MAX_WALKED) {
        return smi_sql_fail(sql, off_bytes, e, SM_LIMIT,
                            "query is over the limit of %lld expressions",
                            (long long)SMI_MAX_WALKED);
    }
    return SM_OK;
}

void smi_leave_expr(smi_descent *d)
{
    SM_ASSERT(d->n_exprs > 0);
    d->n_exprs--;
}

/* ---- tables of WITH -------------------------------------------------------------------------- */

const smi_cte *smi_cte_add(sm_arena *a, const smi_cte *visible, const smi_cte *cte)
{
    smi_cte *const one = SM_NEW(a, smi_cte);
    *one = *cte;
    one->outer = visible;
    return one;
}

const smi_cte *smi_cte_find(const smi_cte *visible, sm_str name)
{
    for (int exact = 1; exact >= 0; exact--) {
        for (const smi_cte *c = visible; c; c = c->outer) {
            if (exact ? sm_str_eq(c->name, name) : sm_str_eq_nocase(c->name, name)) {
                return c;
            }
        }
    }
    return NULL;
}

/* ---- expressions ----------------------------------------------------------------------------- */

static sm_status walk_exprs(walk *w, smi_ast *const *items, int64_t n, sm_error *e)
{
    for (int64_t i = 0; i < n; i++) {
        SM_TRY(walk_expr(w, items[i], e));
    }
    return SM_OK;
}

static sm_status walk_order(walk *w, const smi_order *order, int32_t n, sm_error *e)
{
    for (int32_t i = 0; i < n; i++) {
        SM_TRY(walk_expr(w, order[i].expr, e));
    }
    return SM_OK;
}

/* x is NULL where a clause is not there. */
static sm_status walk_expr(walk *w, const smi_ast *x, sm_error *e)
{
    if (!x) {
        return SM_OK;
    }
    SM_TRY(smi_enter_expr(&w->at, w->sql, x->off, e));
    SM_TRY(walk_exprs(w, x->args, x->n_args, e));
    SM_TRY(walk_expr(w, x->filter, e));
    if (x->over) {
        SM_TRY(walk_exprs(w, x->over->partition, x->over->n_partition, e));
        SM_TRY(walk_order(w, x->over->order, x->over->n_order, e));
    }
    if (x->select) {
        SM_TRY(walk_select(w, x->select, e));
    }
    smi_leave_expr(&w->at);
    return SM_OK;
}

/* ---- FROM and SELECT ------------------------------------------------------------------------- */

static sm_status walk_from(walk *w, const smi_from *f, sm_error *e)
{
    if (!f) {
        return SM_OK;
    }
    SM_TRY(smi_enter_select(&w->at, w->sql, f->off, e));
    SM_TRY(w->visitor->from(w->visitor->ctx, w->ctes, f, e));
    SM_TRY(walk_exprs(w, f->args, f->n_args, e));
    if (f->select) {
        SM_TRY(walk_select(w, f->select, e));
    }
    SM_TRY(walk_from(w, f->left, e));
    SM_TRY(walk_from(w, f->right, e));
    SM_TRY(walk_expr(w, f->on, e));
    smi_leave_select(&w->at);
    return SM_OK;
}

static sm_status walk_clauses(walk *w, const smi_select *s, sm_error *e)
{
    if (s->kind == SMI_SELECT_UNION) {
        SM_TRY(walk_select(w, s->left, e));
        SM_TRY(walk_select(w, s->right, e));
    }
    for (int64_t i = 0; i < s->n_rows; i++) {
        SM_TRY(walk_exprs(w, s->rows[i], s->n_items, e));
    }
    for (int32_t i = 0; s->items && i < s->n_items; i++) { /* of VALUES there is the number alone */
        SM_TRY(walk_expr(w, s->items[i].expr, e));
    }
    SM_TRY(walk_from(w, s->from, e));
    SM_TRY(walk_expr(w, s->where, e));
    SM_TRY(walk_exprs(w, s->group, s->n_group, e));
    SM_TRY(walk_expr(w, s->having, e));
    SM_TRY(walk_expr(w, s->qualify, e));
    SM_TRY(walk_order(w, s->order, s->n_order, e));
    SM_TRY(walk_expr(w, s->limit, e));
    return walk_expr(w, s->offset, e);
}

static sm_status walk_select(walk *w, const smi_select *s, sm_error *e)
{
    const smi_cte *const outer = w->ctes;

    SM_TRY(smi_enter_select(&w->at, w->sql, s->off, e));
    for (int32_t i = 0; i < s->n_ctes; i++) { /* each sees those before it, so none names itself */
        SM_TRY(walk_select(w, s->ctes[i].select, e));
        w->ctes = smi_cte_add(w->a, w->ctes, &s->ctes[i]);
    }
    SM_TRY(walk_clauses(w, s, e));
    w->ctes = outer;
    smi_leave_select(&w->at);
    return SM_OK;
}

sm_status smi_walk(const sm_sql *sql, const smi_select *s, const smi_visitor *visitor, sm_arena *a,
                   sm_error *e)
{
    walk w = {.visitor = visitor, .sql = sql, .a = a};

    SM_TRY(walk_select(&w, s, e));
    SM_ASSERT(w.at.n_selects == 0 && w.at.n_exprs == 0 &&
              !w.ctes); /* all that was entered is left */
    return SM_OK;
}
