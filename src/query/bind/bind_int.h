/* SPDX-License-Identifier: Apache-2.0
 *
 * query/bind/bind_int.h: from a statement to a plan: what names mean and which types they have. The
 * state of a query and of a SELECT under way, and the ways from one file of the folder into
 * another. */
#ifndef SM_QUERY_BIND_INT_H
#define SM_QUERY_BIND_INT_H

#include "query/parse/parse_int.h"

/* The scans whose rows a SELECT or an item of FROM gives whole, by *: with all keys that there are,
 * so that one which no column takes is missing there. */
typedef struct smi_whole {
    sm_plan_node **scans;
    int64_t n, cap;
} smi_whole;
void smi_whole_add(sm_arena *a, smi_whole *to, const smi_whole *from);
/** The rows are looked at whole: by whoever gets them, or by DISTINCT. */
void smi_whole_take(const smi_whole *w);

typedef struct smi_scope_col {
    sm_str table, name;
    const sm_type *type;
    int32_t index;          /* in the plan's output */
    bool is_hidden;         /* the right side of USING: only by its table's name */
    const smi_whole *whole; /* what * over its table takes */
} smi_scope_col;

typedef struct smi_scope {
    smi_scope_col *cols;
    int64_t n, cap;
} smi_scope;

/* A statement while it is bound: what all its SELECTs share. */
typedef struct smi_binding {
    const sm_resolver *resolver;
    sm_arena *a;
    sm_plan_param *params;
    int64_t n_params, cap_params;
    int32_t depth, expr_depth;  /* now: in selects, in expressions */
    int64_t n_bound, n_selects; /* so far: limited, for views and aliases multiply */
    smi_whole whole;            /* of the SELECT or item of FROM that was bound last */
} smi_binding;

/* One SELECT while it is bound. */
typedef struct smi_bind {
    smi_binding *q;
    const sm_sql *sql;
    const smi_cte *ctes;
    smi_scope scope;
    const smi_select *select; /* its aliases may be used as names; NULL: none */
    int32_t alias_depth;
    const char *no_aggregate; /* why none may stand here ("in WHERE"), or NULL */
    const char *no_window;
    sm_agg_item *aggs;
    int64_t n_aggs, cap_aggs;
    sm_window_item *windows;
    int64_t n_windows, cap_windows;
} smi_bind;

sm_status smi_bind_expr(smi_bind *b, const smi_ast *ast, const sm_expr **out,
                        sm_error *e) SM_MUST_USE;
/** As BOOLEAN, for WHERE, ON and the like. */
sm_status smi_bind_predicate(smi_bind *b, const smi_ast *ast, const char *where,
                             const sm_expr **out, sm_error *e) SM_MUST_USE;
/** A constant, folded (LIMIT, VALUES). Errors: SM_SYNTAX where it is none; what evaluating says. */
sm_status smi_bind_constant(smi_bind *b, const smi_ast *ast, sm_value *out,
                            sm_error *e) SM_MUST_USE;
/** An argument of a table function: a constant, or a list or struct literal of such. */
sm_status smi_bind_table_arg(smi_bind *b, const smi_ast *ast, sm_table_arg *out,
                             sm_error *e) SM_MUST_USE;
sm_status smi_bind_from(smi_bind *b, const smi_from *f, sm_plan_node **out,
                        sm_error *e) SM_MUST_USE;
/**
 * A statement to a plan that the optimizer has not seen.
 *
 * Owner     *out lives in q->a; it borrows the text
 * Errors    SM_NAME, SM_TYPE, SM_SYNTAX, SM_UNSUPPORTED with place; SM_LIMIT; the resolver's
 */
sm_status smi_bind_statement(smi_binding *q, const sm_sql *sql, const smi_statement *s,
                             sm_plan_node **out, sm_error *e) SM_MUST_USE;
sm_status smi_bind_select(smi_binding *q, const sm_sql *sql, const smi_cte *ctes,
                          const smi_select *s, sm_plan_node **out, sm_error *e) SM_MUST_USE;

#endif
