/* SPDX-License-Identifier: Apache-2.0
 *
 * query/query_int.h: what all folders of the query room share: limits, places in the text, types,
 * bound expressions, nodes of plans. The folders' own: parse/parse_int.h (tokens, the syntax
 * tree), bind/bind_int.h, function/function_int.h (functions, and what kernels are written with),
 * optimize/optimize_int.h.
 *
 * Lives      the syntax tree, bound expressions and plans live in the arena of sm_query_plan
 * Depth      every recursion follows a tree that the parser bounded: SMI_MAX_NESTING for what
 *            nests in the text, SMI_MAX_DEPTH for chains of operators */
#ifndef SM_QUERY_INT_H
#define SM_QUERY_INT_H

#include "query/query.h"

#define SMI_MAX_TEXT_BYTES ((size_t)1 << 20)
#define SMI_MAX_NESTING    200  /* of parentheses, subqueries, CASE */
#define SMI_MAX_DEPTH      1000 /* of the tree: a + b + c … is as deep as it is long */
#define SMI_MAX_SELECTS    1000 /* nested SELECTs and items of FROM, those of views too */
#define SMI_MAX_BIND_DEPTH 2000 /* of expressions, over all of those */
/* The most nodes after aliases, views and short forms are written out; a text has fewer. */
#define SMI_MAX_BOUND_NODES ((int64_t)1 << 20)
#define SMI_MAX_WALKED      ((int64_t)1 << 22) /* expressions of one tree */

/* ---- places ---------------------------------------------------------------------------------- */

/** sm_fail with the line and 1-based byte of `off_bytes` in the text. */
sm_status smi_sql_fail(const sm_sql *sql, uint32_t off_bytes, sm_error *e, sm_status st,
                       const char *fmt, ...) SM_PRINTF(5, 6);
/** A place in SQL text, as an expression that has nothing else. */
sm_expr smi_place(const sm_sql *sql, uint32_t off, uint32_t end);
/** sm_fail at the place of a bound expression. */
sm_status smi_expr_fail(const sm_expr *x, sm_error *e, sm_status st, const char *fmt, ...)
    SM_PRINTF(4, 5);
/** Adds the place of a bound expression to an error made below. */
sm_status smi_expr_place(const sm_expr *x, sm_error *e, sm_status st) SM_MUST_USE;

/** The nearest of the names, "" where none is near. Names here are parts of the SQL text, not ended
 * by NUL, which is why sm_nearest_name is not enough. */
sm_str smi_nearest(sm_str wanted, const sm_str *names, int64_t n_names);

/* ---- types ----------------------------------------------------------------------------------- */

/* Literals adapt to the type that they meet. They are CONST, and known by the address of their
 * type. */
extern const sm_type smi_type_int_literal, smi_type_str_literal;
/** Is it a literal that adapts? */
bool smi_is_literal(const sm_expr *x);
const sm_type *smi_plain_type(const sm_type *t); /* a literal's type made ordinary */

/** The type that both are cast to for CASE, UNION, IN and the like; NULL where there is none. */
const sm_type *smi_common_type(sm_arena *a, const sm_type *x, const sm_type *y);
/** The same for two expressions, where literals adapt. A text that is no literal meets another type
 * only in = and IN (SMI_MEET_EQUAL), as that type. */
typedef enum smi_meeting { SMI_MEET_ONE, SMI_MEET_EQUAL } smi_meeting;
const sm_type *smi_meet(sm_arena *a, const sm_expr *x, const sm_expr *y, smi_meeting how);
/** The type that n ≥ 1 expressions meet in, with an error at the first that does not fit. */
sm_status smi_meet_all(sm_arena *a, const sm_expr *const *args, int32_t n, smi_meeting how,
                       const sm_type **out, sm_error *e) SM_MUST_USE;
/** An integer type as the DECIMAL that holds it. */
const sm_type *smi_as_decimal(sm_arena *a, const sm_type *t);
extern const sm_i128 smi_pow10[39];
sm_str smi_type_text(sm_arena *a, const sm_type *t);

/** sm_plan_way() of an expression over the rows of `n`. */
int32_t smi_expr_way(const sm_plan_node *n, const sm_expr *x, sm_arena *a, sm_str **names,
                     const sm_plan_node **scan);
/** Are the scan's column, or fields of it, only passed on by the projections and filters below and
 * at `n`? Of a node for which sm_plan_way() found a way. */
bool smi_plan_passes(const sm_plan_node *n, sm_str column);

/* ---- bound expressions ----------------------------------------------------------------------- */

/* Placeholders for aggregates and window functions while a SELECT is bound; `index` is their number
 * in smi_bind. No finished plan has one. */
#define SMI_EXPR_AGG    ((sm_expr_kind)100)
#define SMI_EXPR_WINDOW ((sm_expr_kind)101)

/** A node without arguments; `place` (or NULL) gives its place in the text. */
sm_expr *smi_expr_new(sm_arena *a, sm_expr_kind kind, const sm_type *t, const sm_expr *place);
/** A constant that shares the value's memory. */
sm_expr *smi_const(sm_arena *a, sm_value v, const sm_expr *place);
sm_expr *smi_column_ref(sm_arena *a, int32_t index, const sm_type *t, const sm_expr *place);
/** Field number `index` of the struct x. */
sm_expr *smi_field(sm_arena *a, const sm_expr *x, int32_t index, const sm_expr *place);
/** x cast to t: itself where it is of that type already, folded where constant. */
const sm_expr *smi_cast(sm_arena *a, const sm_expr *x, const sm_type *t);
/** A call of a function by its exact name and types, folded. */
const sm_expr *smi_call(sm_arena *a, const char *name, const sm_type *t, const sm_expr **args,
                        int32_t n_args, const sm_expr *place);
/** AND of all parts, without nested ANDs; NULL entries are skipped; NULL where none is left. */
const sm_expr *smi_and(sm_arena *a, const sm_expr **parts, int32_t n);
/** Splits a predicate into its AND-ed parts, appended to *out. */
void smi_conjuncts(sm_arena *a, const sm_expr *x, const sm_expr ***out, int32_t *n);
/** Folds constants and simplifies this node, whose arguments are folded already. */
const sm_expr *smi_fold(sm_arena *a, const sm_expr *x);
bool smi_is_true(const sm_expr *x);
bool smi_is_false_or_null(const sm_expr *x);
bool smi_is_const_null(const sm_expr *x);

/* Replaces nodes of a tree: fn returns a replacement or NULL to go on below. Shares what did not
 * change; refolds what did. */
typedef const sm_expr *(*smi_rewrite_fn)(void *ctx, const sm_expr *x);
const sm_expr *smi_rewrite(sm_arena *a, const sm_expr *x, smi_rewrite_fn fn, void *ctx);
/** Each COLUMN i becomes exprs[i]. */
const sm_expr *smi_substitute(sm_arena *a, const sm_expr *x, const sm_expr *const *exprs);
/** Each COLUMN i becomes COLUMN map[i], which must not be −1. */
const sm_expr *smi_remap(sm_arena *a, const sm_expr *x, const int32_t *map);
/** Marks used[i] for each COLUMN i. */
void smi_columns_used(const sm_expr *x, bool *used);
/** Does it need the value of a scalar subquery? */
bool smi_has_param(const sm_expr *x);
/** How many nodes it has; shared ones count wherever they stand. */
int64_t smi_expr_size(const sm_expr *x);
/** Can an evaluation fail at run time? */
bool smi_can_fail(const sm_expr *x);
/** Is `x` never true where column `index` is NULL? */
bool smi_rejects_null(const sm_expr *x, int32_t index);

/* ---- expressions of expressions (expr_make.c) ------------------------------------------------ */

/* Arguments are bound. The arrays of arguments are taken: they become the new expression's. `place`
 * is that of errors and of the new expression; NULL where there is no SQL text. */

/** As BOOLEAN; `where` says in errors what needs one ("WHERE"). */
sm_status smi_make_predicate(sm_arena *a, const sm_expr *x, const char *where, const sm_expr *place,
                             const sm_expr **out, sm_error *e) SM_MUST_USE;
/** AND or OR of predicates. */
const sm_expr *smi_make_logic(sm_arena *a, sm_expr_kind kind, const sm_expr **args, int32_t n,
                              const sm_expr *place);
/** when, then, …, else; each `when` is a predicate. */
sm_status smi_make_case(sm_arena *a, const sm_expr **args, int32_t n, const sm_expr *place,
                        const sm_expr **out, sm_error *e) SM_MUST_USE;
/** args[0] IN the others. */
sm_status smi_make_in(sm_arena *a, const sm_expr **args, int32_t n, const sm_expr *place,
                      const sm_expr **out, sm_error *e) SM_MUST_USE;
sm_status smi_make_cast(sm_arena *a, const sm_expr *x, const sm_type *type, bool is_try,
                        const sm_expr *place, const sm_expr **out, sm_error *e) SM_MUST_USE;
/** A call of a scalar function; coalesce and others that are short for a CASE become one. */
sm_status smi_make_call(sm_arena *a, const sm_function *fn, const sm_expr **args, int32_t n,
                        const sm_expr *place, const sm_expr **out, sm_error *e) SM_MUST_USE;
sm_status smi_make_aggregate(sm_arena *a, const sm_function *fn, bool is_distinct,
                             const sm_expr **args, int32_t n, const sm_expr *place,
                             const sm_expr **out, sm_error *e) SM_MUST_USE;
/** An aggregate's call as that of a window. */
const sm_expr *smi_make_over(sm_arena *a, const sm_expr *call);

/* ---- plans ----------------------------------------------------------------------------------- */

/* Checks that are to look at the rows of a plan (plan_watch.c). */
typedef struct smi_watches {
    sm_plan_watch *items;
    int32_t n;
} smi_watches;
/** Puts a CHECK of each where the plan has the rows of its relation, if it can take it there. *root
 * is optimised, but for what counts the fields of structs. Errors: those of sm_plan_check(). */
sm_status smi_watch(smi_watches w, sm_arena *a, sm_plan_node **root, sm_error *e) SM_MUST_USE;
/** Does node n of a plan give the rows of v, of another one? Both are optimised as for smi_watch(),
 * and v has no subqueries (plan_match.c).
 *
 * Returns   which column of n is column i of v, −1: n does not have it; NULL: it is not known that
 *           they give the same rows */
const int32_t *smi_plan_match(sm_arena *a, const sm_plan_node *v, const sm_plan_node *n);
/** Is it text, of which a scan may refuse lines? Tests of this room have no format. */
static inline bool smi_is_text(const sm_dataset *d)
{
    return d->format && d->format->is_text;
}

/** How many inputs a node of the kind has. */
int32_t smi_node_inputs(sm_plan_kind kind);
/** A node without its `as`; left and right are NULL where the kind has no such input. */
sm_plan_node *smi_node(sm_arena *a, sm_plan_kind kind, const sm_type *schema, sm_plan_node *left,
                       sm_plan_node *right);
/** One row without columns. */
sm_plan_node *smi_node_row(sm_arena *a);
/** All columns of a relation's dataset. */
sm_plan_node *smi_node_scan(sm_arena *a, const sm_relation *r);
sm_plan_node *smi_node_filter(sm_arena *a, sm_plan_node *in, const sm_expr *where);
/** exprs become the columns; names has one each. */
sm_plan_node *smi_node_project(sm_arena *a, sm_plan_node *in, const sm_expr **exprs,
                               const sm_str *names, int32_t n);
sm_plan_node *smi_node_aggregate(sm_arena *a, sm_plan_node *in, const sm_expr **keys,
                                 int32_t n_keys, sm_agg_item *items, int32_t n_items);
sm_plan_node *smi_node_window(sm_arena *a, sm_plan_node *in, sm_window_item *items,
                              int32_t n_items);
sm_plan_node *smi_node_sort(sm_arena *a, sm_plan_node *in, sm_sort_key *keys, int32_t n_keys);
sm_plan_node *smi_node_limit(sm_arena *a, sm_plan_node *in, int64_t limit, int64_t offset);
/** Both sides' columns cast to the types that they meet in. */
sm_status smi_node_union(sm_arena *a, sm_plan_node *left, sm_plan_node *right, const sm_expr *place,
                         sm_plan_node **out, sm_error *e) SM_MUST_USE;
/** Without a condition; then smi_join_on where there is one, and smi_join_settle. */
sm_plan_node *smi_node_join(sm_arena *a, sm_plan_node *left, sm_plan_node *right,
                            sm_join_kind kind);
/** A condition over left's then right's columns. Equalities between the sides are keys. What an
 * INNER join must hold besides is a filter above it; of a LEFT one, what only asks the right side
 * filters that, the rest stays with the join. Returns the topmost node. */
sm_plan_node *smi_join_on(sm_arena *a, sm_plan_node *join, const sm_expr *on);
/** An INNER join without keys is a CROSS one. */
void smi_join_settle(sm_plan_node *join);
/** Makes an equality between the sides a key of the join; false where it is none. */
bool smi_join_add(sm_arena *a, sm_plan_node *join, const sm_expr *x);
/** May it be NULL for a row of `input`? */
bool smi_expr_nullable(const sm_expr *x, const sm_type *input);
/** Structural equality: the same rows, whatever the columns are called. */
bool smi_window_eq(const sm_window_item *x, const sm_window_item *y);
bool smi_plan_eq(const sm_plan_node *x, const sm_plan_node *y);

/** Asserts that a tree is what the evaluator and the optimizer's passes rely on (expr_check.c); for
 * debug and sanitizer builds. */
void smi_check_plan(const sm_plan_node *root);
/** A copy that shares expressions and datasets with the original, and nothing that the optimizer
 * changes. SM_LIMIT as sm_plan_finish. */
sm_status smi_plan_clone(sm_arena *a, const sm_plan_node *root, sm_plan_node **out,
                         sm_error *e) SM_MUST_USE;
/** A name as SQL has it: in quotes where it needs them. */
void smi_print_name(sm_str name, sm_buf *out);
/** Carries the rescued column of the plan's dataset behind the columns of its root, unless that has
 * one of its name (plan_rescue.c). Before the plan is optimised. */
void smi_plan_rescue(sm_arena *a, sm_plan_node *root);

#endif
