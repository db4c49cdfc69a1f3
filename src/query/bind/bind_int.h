/* SPDX-License-Identifier: Apache-2.0
 *
 * query/bind/bind_int.h: binding: from a statement to a plan, where names have a meaning and
 * expressions have types. The state of binding a statement and a SELECT, and the functions by which
 * the files of this folder call each other. */
#ifndef SM_QUERY_BIND_INT_H
#define SM_QUERY_BIND_INT_H

#include "query/parse/parse_int.h"

/* The scans whose rows a SELECT or an item of FROM gives whole (by *). Who takes a row whole
 * expects all its keys, so a key for which there is no column would be missing. */
typedef struct smi_whole {
    sm_plan_node **scans;
    int64_t n, cap;
} smi_whole;
/** Adds the scans of `from` (or NULL) to `to`. */
void smi_whole_add(sm_arena *a, smi_whole *to, const smi_whole *from);
/** Marks the scans: the query gives their rows whole, or DISTINCT compares whole rows. */
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
    int32_t depth, expr_depth;  /* how deep in selects and in expressions binding is now */
    int64_t n_bound, n_selects; /* so far; limited, as views and aliases multiply */
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
    const char *no_aggregate; /* NULL; or where this is, if none may be here: "in WHERE" */
    const char *no_window;
    /* A nested value that cannot be cast to its column's type stays as it is, and is noted: the
     * types that files were found to have may give way, and all be bound anew (bind_merge.c). */
    bool takes_misfits, has_misfits;
    sm_agg_item *aggs;
    int64_t n_aggs, cap_aggs;
    sm_window_item *windows;
    int64_t n_windows, cap_windows;
} smi_bind;

/** An expression over the scope's columns. Aggregates and window functions are added to `b`; a
 * placeholder stands for each. */
sm_status smi_bind_expr(smi_bind *b, const smi_ast *ast, const sm_expr **out,
                        sm_error *e) SM_MUST_USE;
/** An expression that stands alone, over the columns of a schema (query.c); `resolver` may be NULL.
 * *out and what it points to live in `a`; it borrows the text. SM_UNSUPPORTED: a subquery. */
sm_status smi_bind_alone(const sm_sql *sql, const smi_ast *ast, const sm_type *schema,
                         const sm_resolver *resolver, sm_arena *a, const sm_expr **out,
                         sm_error *e) SM_MUST_USE;
/** Lets the columns of a schema be named, as those of FROM are. */
void smi_scope_open(smi_bind *b, const sm_type *schema);
/** A condition over groups as sm_query_grouped() gives it. */
sm_status smi_bind_grouped(const sm_sql *sql, const smi_ast *ast, const sm_grouping *g,
                           const sm_resolver *resolver, sm_arena *a, const sm_plan_node **out,
                           sm_error *e) SM_MUST_USE;
/** As BOOLEAN, for WHERE, ON and the like. */
sm_status smi_bind_predicate(smi_bind *b, const smi_ast *ast, const char *where,
                             const sm_expr **out, sm_error *e) SM_MUST_USE;
/** Why an expression that should be a constant was not folded: it is none (SM_SYNTAX), or the error
 * of its evaluation. Never SM_OK. */
sm_status smi_fail_constant(smi_bind *b, const smi_ast *ast, const sm_expr *x,
                            sm_error *e) SM_MUST_USE;
/** A constant, folded (LIMIT, VALUES). Errors: SM_SYNTAX where it is not constant; those of its
 * evaluation. */
sm_status smi_bind_constant(smi_bind *b, const smi_ast *ast, sm_value *out,
                            sm_error *e) SM_MUST_USE;
/** An argument of a table function: a constant, or a list or struct literal of constants. */
sm_status smi_bind_table_arg(smi_bind *b, const smi_ast *ast, sm_table_arg *out,
                             sm_error *e) SM_MUST_USE;
/** An item of FROM; its columns are added to the scope. */
sm_status smi_bind_from(smi_bind *b, const smi_from *f, sm_plan_node **out,
                        sm_error *e) SM_MUST_USE;
/** The table that a statement changes, as an item of FROM; its columns are added to the scope.
 * Errors: SM_UNSUPPORTED where the name stands for something that no statement may change. */
sm_status smi_bind_target(smi_bind *b, const smi_from *f, sm_relation *relation, sm_plan_node **out,
                          sm_error *e) SM_MUST_USE;
/**
 * A whole query to a plan that the optimizer has not seen.
 *
 * Owner     *out lives in q->a; it borrows the text
 * Errors    SM_NAME, SM_TYPE, SM_SYNTAX, SM_UNSUPPORTED with place; SM_LIMIT; the resolver's
 */
sm_status smi_bind_query(smi_binding *q, const sm_sql *sql, const smi_select *s, sm_plan_node **out,
                         sm_error *e) SM_MUST_USE;
/** A statement of any kind: fills `out`, but for its plans and subqueries; *root is its plan, which
 * the optimizer has not seen. Otherwise as smi_bind_query (bind_change.c). */
sm_status smi_bind_statement(smi_binding *q, const sm_sql *sql, const smi_statement *s,
                             sm_statement *out, sm_plan_node **root, sm_error *e) SM_MUST_USE;
/** The tables of WITH that all queries of the statement see. */
const smi_cte *smi_statement_ctes(sm_arena *a, const smi_statement *s);
/** A MERGE (bind_merge.c). */
sm_status smi_bind_merge(smi_binding *q, const sm_sql *sql, const smi_statement *s,
                         sm_statement *out, sm_plan_node **root, sm_error *e) SM_MUST_USE;
/* The table that a statement changes. */
typedef struct smi_changed {
    sm_relation relation;
    sm_plan_node *node;      /* its rows */
    const bool *is_computed; /* of each column: does the table compute it, if rows lack it? */
} smi_changed;
/** The table that `s` changes: sets what `out` says of it. b->scope gets its columns. */
sm_status smi_bind_changed_table(smi_bind *b, const smi_statement *s, sm_statement *out,
                                 smi_changed *t, sm_error *e) SM_MUST_USE;
/** What a column becomes by each of `sets`; those that are not set keep `values`. With is_new these
 * are of rows that are added: what is set to DEFAULT keeps them too. */
sm_status smi_bind_sets(smi_bind *b, const smi_changed *t, const smi_set *sets, int32_t n,
                        bool is_new, const sm_expr **values, sm_error *e) SM_MUST_USE;
/** x as a value of the column, cast to its type. */
sm_status smi_bind_value(smi_bind *b, const sm_expr *x, const sm_field *column,
                         const sm_expr *place, const sm_expr **out, sm_error *e) SM_MUST_USE;
/* A use of a column of rows that go into a table, or of a field of one. */
typedef struct smi_use {
    const sm_expr *x;     /* over the rows */
    const sm_type *there; /* of the table's column; NULL: it is used otherwise */
    bool is_compared;     /* with that column; else it becomes the column's value */
} smi_use;
/** Fits the types that were found in files to those of the table, as all uses of the rows allow
 * (bind_fit.c). true: the rows are to be bound anew. */
bool smi_fit_rows(smi_binding *q, const sm_plan_node *rows, const smi_use *uses, int64_t n);
/** A SELECT, VALUES or UNION that sees the tables of WITH in `ctes`; q->whole becomes its scans
 * that are given whole. */
sm_status smi_bind_select(smi_binding *q, const sm_sql *sql, const smi_cte *ctes,
                          const smi_select *s, sm_plan_node **out, sm_error *e) SM_MUST_USE;

#endif
