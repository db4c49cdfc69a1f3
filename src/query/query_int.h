/* SPDX-License-Identifier: Apache-2.0
 *
 * query/query_int.h: what the files of the query room share. In the order of the work: places,
 * tokens, the syntax tree, types, functions, bound expressions, evaluation, binding, plans.
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
#define SMI_MAX_SELECTS    1000 /* selects and FROM items within one another, views written out */
#define SMI_MAX_BIND_DEPTH 2000 /* of expressions, over all of those */
/* What all aliases, views and forms written out may come to; a text of 1 MiB has fewer nodes. */
#define SMI_MAX_BOUND_NODES ((int64_t)1 << 20)
#define SMI_MAX_WALKED      ((int64_t)1 << 22) /* expressions of one tree */

/* ---- places ---------------------------------------------------------------------------------- */

/** sm_fail with the line and 1-based byte of `off_bytes` in the text. */
sm_status smi_sql_fail(const sm_sql *sql, uint32_t off_bytes, sm_error *e, sm_status st,
                       const char *fmt, ...) SM_PRINTF(5, 6);
/** sm_fail at the place of a bound expression. */
sm_status smi_expr_fail(const sm_expr *x, sm_error *e, sm_status st, const char *fmt, ...)
    SM_PRINTF(4, 5);
/** Adds the place of a bound expression to an error made below. */
sm_status smi_expr_place(const sm_expr *x, sm_error *e, sm_status st) SM_MUST_USE;

/** The nearest of the names, "" where none is near. Names here are parts of the SQL text, not ended
 * by NUL, which is why sm_nearest_name is not enough. */
sm_str smi_nearest(sm_str wanted, const sm_str *names, int64_t n_names);

/* ---- tokens ---------------------------------------------------------------------------------- */

typedef enum smi_tok_kind {
    SMI_TOK_END,
    SMI_TOK_NAME,   /* or keyword */
    SMI_TOK_QUOTED, /* "name" */
    SMI_TOK_STRING, /* 'text' */
    SMI_TOK_NUMBER,
    SMI_TOK_OP,
} smi_tok_kind;

typedef struct smi_tok {
    uint32_t off, end; /* in the text */
    smi_tok_kind kind;
} smi_tok;

/** All tokens of the text, ended by SMI_TOK_END. */
sm_status smi_lex(const sm_sql *sql, sm_arena *a, smi_tok **out, int64_t *n,
                  sm_error *e) SM_MUST_USE;
/** A token's meaning: quotes taken off, doubled quotes made single. */
sm_str smi_tok_text(const sm_sql *sql, smi_tok t, sm_arena *a);
/** Is it a word that names nothing unless it is quoted? */
bool smi_is_reserved(sm_str word);

/* ---- syntax tree ----------------------------------------------------------------------------- */

typedef struct smi_ast smi_ast;
typedef struct smi_select smi_select;

typedef enum smi_ast_kind {
    SMI_AST_COLUMN,  /* parts */
    SMI_AST_STAR,    /* parts: its table, or none; names: EXCLUDE */
    SMI_AST_LITERAL, /* value */
    SMI_AST_CALL,    /* name, args; operators too */
    SMI_AST_AND,
    SMI_AST_OR,
    SMI_AST_CASE,  /* args as in sm_expr, the operand of the short form already in them */
    SMI_AST_CAST,  /* args[0], type, flag: TRY_CAST */
    SMI_AST_IN,    /* args[0] IN the others */
    SMI_AST_FIELD, /* args[0].name */
    SMI_AST_SUBQUERY,
    SMI_AST_LIST,   /* arguments of table functions only, as is the next */
    SMI_AST_STRUCT, /* args, each with its arg_name */
} smi_ast_kind;

typedef struct smi_order {
    smi_ast *expr;
    bool is_desc, nulls_first;
} smi_order;

typedef struct smi_over {
    smi_ast **partition;
    int32_t n_partition;
    smi_order *order;
    int32_t n_order;
} smi_over;

struct smi_ast {
    smi_ast_kind kind;
    uint32_t off, end;
    int32_t depth;
    sm_str name;
    sm_str arg_name; /* as an argument: `name => …` */
    const sm_str *parts;
    int32_t n_parts;
    const sm_str *names;
    int32_t n_names;
    smi_ast **args;
    int32_t n_args;
    sm_value value;
    const sm_type *type;
    bool flag;        /* CAST: TRY; CALL: DISTINCT */
    bool is_star_arg; /* CALL: count(*) */
    smi_ast *filter;
    smi_over *over;
    smi_select *select;
};

typedef enum smi_from_kind {
    SMI_FROM_TABLE,    /* parts */
    SMI_FROM_FILE,     /* name: the path */
    SMI_FROM_FUNCTION, /* name, args */
    SMI_FROM_SELECT,
    SMI_FROM_JOIN,
} smi_from_kind;

typedef struct smi_from smi_from;
struct smi_from {
    smi_from_kind kind;
    uint32_t off, end;
    sm_str name;
    const sm_str *parts;
    int32_t n_parts;
    smi_ast **args;
    int32_t n_args;
    smi_select *select;
    sm_str alias;          /* "" where none */
    const sm_str *columns; /* t(a, b) */
    int32_t n_columns;
    smi_from *left, *right; /* JOIN */
    sm_join_kind join;
    smi_ast *on;
    const sm_str *using_names;
    int32_t n_using;
};

typedef struct smi_item {
    smi_ast *expr;
    sm_str alias; /* "" where none */
} smi_item;

typedef struct smi_cte {
    sm_str name;
    const sm_str *columns;
    int32_t n_columns;
    smi_select *select;
    const struct smi_cte *outer; /* those visible here, innermost first */
    const sm_sql *sql;           /* the text that it stands in */
} smi_cte;

typedef enum smi_select_kind {
    SMI_SELECT,
    SMI_SELECT_VALUES,
    SMI_SELECT_UNION, /* left UNION ALL right */
} smi_select_kind;

struct smi_select {
    smi_select_kind kind;
    uint32_t off, end;
    smi_cte *ctes;
    int32_t n_ctes;
    bool is_distinct; /* UNION without ALL too */
    smi_item *items;
    int32_t n_items;
    smi_from *from; /* NULL: one empty row */
    smi_ast *where, *having, *qualify;
    smi_ast **group;
    int32_t n_group;
    bool group_all;
    smi_ast ***rows; /* VALUES: n_rows arrays of n_items */
    int64_t n_rows;
    smi_select *left, *right;
    smi_order *order;
    int32_t n_order;
    bool order_all, order_all_desc;
    smi_ast *limit, *offset;
};

/* What a text says: the root of the tree. */
typedef enum smi_statement_kind {
    SMI_STATEMENT_SELECT, /* select */
} smi_statement_kind;

typedef struct smi_statement {
    smi_statement_kind kind;
    uint32_t off, end; /* without the semicolons behind it */
    smi_select *select;
} smi_statement;

/* The state of parsing; sql_parse.c and sql_expr.c only. */
#define SMI_MAX_EXPECTED 24
typedef struct smi_parser {
    const sm_sql *sql;
    sm_arena *a;
    const smi_tok *toks;
    int64_t n_toks, at;
    int32_t nesting;
    const char *expected[SMI_MAX_EXPECTED]; /* what was asked for, in vain, at `expected_at` */
    int32_t n_expected;
    int64_t expected_at;
    int64_t alias_at; /* the token taken as an alias without AS last; −1: none */
    sm_error *e;
} smi_parser;

bool smi_peek_word(const smi_parser *p, int64_t ahead, const char *word);
bool smi_peek_op(const smi_parser *p, int64_t ahead, const char *op);
bool smi_accept_word(smi_parser *p, const char *word); /* remembers what was expected */
bool smi_accept_op(smi_parser *p, const char *op);
sm_status smi_expect_word(smi_parser *p, const char *word) SM_MUST_USE;
sm_status smi_expect_op(smi_parser *p, const char *op) SM_MUST_USE;
sm_status smi_expected(smi_parser *p,
                       const char *what) SM_MUST_USE; /* the error; what: NULL or one thing more */
sm_status smi_parse_name(smi_parser *p, const char *what, sm_str *out) SM_MUST_USE;
sm_status smi_parse_name_list(smi_parser *p, const sm_str **out, int32_t *n) SM_MUST_USE;
sm_status smi_parse_expr(smi_parser *p, smi_ast **out) SM_MUST_USE;
sm_status smi_parse_order(smi_parser *p, smi_order **out, int32_t *n) SM_MUST_USE;
sm_status smi_parse_args(smi_parser *p, smi_ast ***out,
                         int32_t *n) SM_MUST_USE; /* after '(' , with ')' */
sm_status smi_parse_query(smi_parser *p, smi_select **out) SM_MUST_USE;
bool smi_starts_query(const smi_parser *p, int64_t ahead);
sm_status smi_nest(smi_parser *p) SM_MUST_USE;
bool smi_may_name(const smi_parser *p, int64_t ahead); /* a name that needs no quotes, or quoted */
smi_ast *smi_ast_new(smi_parser *p, smi_ast_kind kind, uint32_t off);

/** The one statement of a text. Errors: SM_SYNTAX and SM_UNSUPPORTED with place, SM_LIMIT. */
sm_status smi_parse(const sm_sql *sql, sm_arena *a, smi_statement **out, sm_error *e) SM_MUST_USE;
/** A text that is one query: a view's, a load's. Errors as smi_parse. */
sm_status smi_parse_select(const sm_sql *sql, sm_arena *a, smi_select **out,
                           sm_error *e) SM_MUST_USE;
/** A text that is one expression. Errors as smi_parse. */
sm_status smi_parse_one_expr(const sm_sql *sql, sm_arena *a, smi_ast **out,
                             sm_error *e) SM_MUST_USE;

/* How far a pass has gone down a tree, and what it has seen. One that starts as {0}, and enters and
 * leaves each node, gets as far as the binder does. */
typedef struct smi_descent {
    int32_t n_selects, n_exprs; /* around this place; selects: items of FROM too */
    int64_t n_seen;             /* expressions, shared ones as often as they stand there */
} smi_descent;
/** Left again when it is done, unless something failed. SM_LIMIT over SMI_MAX_SELECTS. */
sm_status smi_enter_select(smi_descent *d, const sm_sql *sql, uint32_t off_bytes,
                           sm_error *e) SM_MUST_USE;
void smi_leave_select(smi_descent *d);
/** SM_LIMIT over SMI_MAX_BIND_DEPTH within one another or SMI_MAX_WALKED in all. */
sm_status smi_enter_expr(smi_descent *d, const sm_sql *sql, uint32_t off_bytes,
                         sm_error *e) SM_MUST_USE;
void smi_leave_expr(smi_descent *d);

/** The tables of WITH that are visible behind `cte`, innermost first; in `a`. */
const smi_cte *smi_cte_add(sm_arena *a, const smi_cte *visible, const smi_cte *cte);
/** By name, exactly, else without case; NULL where there is none. */
const smi_cte *smi_cte_find(const smi_cte *visible, sm_str name);

/* What a pass does with the nodes of a tree, each before what is below it. A hook that is NULL lets
 * them pass; one that fails ends the walk. */
typedef struct smi_visitor {
    void *ctx;
    sm_status (*expr)(void *ctx, const smi_ast *x, sm_error *e);
    /* ctes: the tables of WITH that are visible there */
    sm_status (*from)(void *ctx, const smi_cte *ctes, const smi_from *f, sm_error *e);
} smi_visitor;
/** Shows the visitor every expression and item of FROM; views are not written out.
 * Errors: SM_LIMIT as smi_enter_*, what a hook says. */
sm_status smi_walk(const sm_sql *sql, const smi_statement *s, const smi_visitor *visitor,
                   sm_arena *a, sm_error *e) SM_MUST_USE;

/* ---- types ----------------------------------------------------------------------------------- */

/* Literals adapt to what they meet: told apart by the address of their type, on CONST only. */
extern const sm_type smi_type_int_literal, smi_type_str_literal;
bool smi_is_literal(const sm_expr *x);
const sm_type *smi_plain_type(const sm_type *t); /* a literal's type made ordinary */

/** The type that both are cast to for CASE, UNION, IN and the like; NULL where there is none. */
const sm_type *smi_common_type(sm_arena *a, const sm_type *x, const sm_type *y);
/** The same for two expressions, literals adapting. A text that is no literal meets what is no text
 * in = and IN alone (SMI_MEET_EQUAL), as that. */
typedef enum smi_meeting { SMI_MEET_ONE, SMI_MEET_EQUAL } smi_meeting;
const sm_type *smi_meet(sm_arena *a, const sm_expr *x, const sm_expr *y, smi_meeting how);
/** An integer type as the DECIMAL that holds it. */
const sm_type *smi_as_decimal(sm_arena *a, const sm_type *t);
extern const sm_i128 smi_pow10[39];
sm_str smi_type_text(sm_arena *a, const sm_type *t);

/* ---- bound expressions ----------------------------------------------------------------------- */

/* Stand for an aggregate or window function while a SELECT is bound; in no finished plan. */
#define SMI_EXPR_AGG    ((sm_expr_kind)100)
#define SMI_EXPR_WINDOW ((sm_expr_kind)101)

sm_expr *smi_expr_new(sm_arena *a, sm_expr_kind kind, const sm_type *t, const sm_expr *place);
sm_expr *smi_const(sm_arena *a, sm_value v, const sm_expr *place);
sm_expr *smi_column_ref(sm_arena *a, int32_t index, const sm_type *t, const sm_expr *place);
/** x cast to t: itself where it is of that type already, folded where constant. */
const sm_expr *smi_cast(sm_arena *a, const sm_expr *x, const sm_type *t);
/** A call of a function by its exact name and types, folded. */
const sm_expr *smi_call(sm_arena *a, const char *name, const sm_type *t, const sm_expr **args,
                        int32_t n_args, const sm_expr *place);
/** AND of all, flat; NULL entries are skipped; NULL where nothing is left. */
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
/** Each COLUMN i becomes COLUMN map[i] (−1 asserted away). */
const sm_expr *smi_remap(sm_arena *a, const sm_expr *x, const int32_t *map);
/** Marks used[i] for each COLUMN i. */
void smi_columns_used(const sm_expr *x, bool *used);
bool smi_has_param(const sm_expr *x);
int64_t smi_expr_size(const sm_expr *x); /* its nodes, shared ones as often as they stand */
/** Can an evaluation fail at run time? */
bool smi_can_fail(const sm_expr *x);
/** Is `x` never true where column `index` is NULL? */
bool smi_rejects_null(const sm_expr *x, int32_t index);

/* ---- expressions of expressions (expr_make.c) ------------------------------------------------ */

/* Arguments are bound, and the arrays become the new expression's own. `place`: of errors and of
 * what is made, NULL where there is no SQL text. */

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
/** A call of a scalar function; one that is short for a CASE becomes that. */
sm_status smi_make_call(sm_arena *a, const sm_function *fn, const sm_expr **args, int32_t n,
                        const sm_expr *place, const sm_expr **out, sm_error *e) SM_MUST_USE;
sm_status smi_make_aggregate(sm_arena *a, const sm_function *fn, bool is_distinct,
                             const sm_expr **args, int32_t n, const sm_expr *place,
                             const sm_expr **out, sm_error *e) SM_MUST_USE;
/** An aggregate's call as that of a window. */
const sm_expr *smi_make_over(sm_arena *a, const sm_expr *call);

/* ---- functions ------------------------------------------------------------------------------- */

enum smi_fn_flag {
    SMI_STRICT = 1 << 0,      /* sees no NULL */
    SMI_PURE = 1 << 1,        /* constants are folded */
    SMI_CAN_FAIL = 1 << 2,    /* at run time */
    SMI_OF_TYPES = 1 << 3,    /* the arguments' types alone decide, not their values */
    SMI_WRITTEN_OUT = 1 << 4, /* short for a CASE, which stands in its place */
};

/* A call being bound: args may be replaced by casts; the result's type is to be set. */
typedef struct smi_call_bind {
    sm_arena *a;
    const sm_function *fn;
    const sm_expr **args;
    int32_t n_args;
    const sm_type *result;
    const sm_expr *place; /* sql, off, end of the call */
} smi_call_bind;
typedef sm_status (*smi_bind_fn)(smi_call_bind *b, sm_error *e);

/** smi_fn_flag of a function; none of those that are in no table. */
int smi_fn_flags(const sm_function *fn);
/** By name without case; NULL where there is none. */
const sm_function *smi_function_named(sm_str name);
const char *smi_function_nearest(sm_str name);
/** Binds by the signature: "(text, bigint[, bigint]) -> text | (T, ...) -> T". */
sm_status smi_bind_signature(smi_call_bind *b, sm_error *e) SM_MUST_USE;
/** Binds, prepares and folds a call. */
sm_status smi_bind_call(sm_arena *a, const sm_function *fn, const sm_expr **args, int32_t n_args,
                        const sm_expr *place, const sm_expr **out, sm_error *e) SM_MUST_USE;

/* binders that functions.def names */
sm_status smi_bind_arith(smi_call_bind *b, sm_error *e) SM_MUST_USE;
sm_status smi_bind_divide(smi_call_bind *b, sm_error *e) SM_MUST_USE;
sm_status smi_bind_compare(smi_call_bind *b, sm_error *e) SM_MUST_USE;
sm_status smi_bind_concat(smi_call_bind *b, sm_error *e) SM_MUST_USE;
sm_status smi_bind_round(smi_call_bind *b, sm_error *e) SM_MUST_USE;
sm_status smi_bind_sum(smi_call_bind *b, sm_error *e) SM_MUST_USE;
sm_status smi_bind_avg(smi_call_bind *b, sm_error *e) SM_MUST_USE;
sm_status smi_bind_arg(smi_call_bind *b, sm_error *e) SM_MUST_USE;
sm_status smi_bind_qcut(smi_call_bind *b, sm_error *e) SM_MUST_USE;
sm_status smi_bind_map(smi_call_bind *b, sm_error *e) SM_MUST_USE;
sm_status smi_bind_map_literal(smi_call_bind *b, sm_error *e) SM_MUST_USE;
sm_status smi_bind_date_part(smi_call_bind *b, sm_error *e) SM_MUST_USE;
sm_status smi_bind_strptime(smi_call_bind *b, sm_error *e) SM_MUST_USE;
const void *smi_prepare_format(const sm_expr *call, sm_arena *a, sm_error *e);
const void *smi_prepare_regex(const sm_expr *call, sm_arena *a, sm_error *e);

#define SM_FN(name, signature, eval, flags, bind, prepare, summary, example, answer)               \
    sm_status eval(const sm_fn_call *call, sm_column *out, sm_error *e);
#define SM_AGG(name, signature, aggregate, bind, summary, example, answer)                         \
    extern const sm_aggregate aggregate;
extern const sm_whole_fn smi_whole_qcut;
#define SM_WIN(name, signature, window, whole, bind, summary, example, answer)                     \
    sm_status window(const sm_expr *call, const sm_window_in *in, sm_builder *out, sm_error *e);
#include "query/function/functions.def"
#undef SM_FN
#undef SM_AGG
#undef SM_WIN

/* Aggregates over distinct values, and aggregates as windows: `prepared` is the inner call. */
extern const sm_function smi_fn_distinct, smi_fn_over;
bool smi_wraps(const sm_expr *x); /* is it a call of one of them? */

/* ---- evaluation ------------------------------------------------------------------------------ */

/* Arguments of a kernel are FLAT or CONST (never DICT). For strict functions `out` comes with its
 * type, rows, joint validity and zeroed values; the kernel writes valid rows only. */
static inline bool smi_valid(const sm_column *c, int64_t i)
{
    return !c->validity || sm_bit_get(c->validity, c->layout == SM_CONST ? 0 : i);
}
/* 0 for a constant: `values[i & mask]`. */
static inline int64_t smi_mask(const sm_column *c)
{
    return c->layout == SM_CONST ? 0 : -1;
}
static inline sm_str smi_str_at(const sm_column *c, int64_t i)
{
    return sm_view_str((const sm_view *)c->values + (i & smi_mask(c)), c->heap);
}
/** Integers of any width, dates and timestamps as int64; floats as double. */
int64_t smi_i64_at(const sm_column *c, int64_t i);
double smi_f64_at(const sm_column *c, int64_t i);
sm_i128 smi_i128_at(const sm_column *c, int64_t i);
bool smi_bool_at(const sm_column *c, int64_t i);

/** A FLAT column of n rows, zeroed, all valid. */
sm_status smi_column_new(const sm_type *t, int64_t n_rows, sm_batch *into, sm_column *out,
                         sm_error *e) SM_MUST_USE;
/** Makes row i of a column under construction NULL. */
sm_status smi_set_null(sm_column *out, int64_t i, sm_batch *into, sm_error *e) SM_MUST_USE;
/** Gives a column under construction a validity bitmap of its own, all valid at first. */
sm_status smi_own_validity(sm_column *out, sm_batch *into, uint8_t **bits, sm_error *e) SM_MUST_USE;

/* Texts may be long: a function counts the bytes that it goes through, and looks at the flag of
 * cancelling once in some millions. */
#define SMI_LOOK_BYTES ((size_t)1 << 22)
typedef struct smi_pace {
    const sm_batch *into; /* whose budget knows the flag */
    size_t bytes;
} smi_pace;
static inline sm_status smi_pace_on(smi_pace *p, size_t bytes, sm_error *e)
{
    p->bytes += bytes;
    if (p->bytes < SMI_LOOK_BYTES) {
        return SM_OK;
    }
    p->bytes = 0;
    return sm_batch_check_cancel(p->into, e);
}

/* Writes text values of a column under construction; its heap is in chunks of the batch. */
typedef struct smi_text_out {
    sm_column *out;
    sm_batch *into;
    sm_heap_buf *heap;
    int32_t n_heap, cap_heap;
    uint8_t *chunk; /* heap[n_heap − 1] while it is filled */
    int64_t used, size;
    smi_pace pace;
} smi_text_out;
void smi_text_begin(smi_text_out *t, sm_column *out, sm_batch *into);
/** Room for `len` bytes; then smi_text_set(row, len) makes the view of what was written there. */
sm_status smi_text_room(smi_text_out *t, int64_t len, uint8_t **bytes, sm_error *e) SM_MUST_USE;
void smi_text_set(smi_text_out *t, int64_t row, int64_t len);
sm_status smi_text_put(smi_text_out *t, int64_t row, sm_str s, sm_error *e) SM_MUST_USE;
void smi_text_end(smi_text_out *t);

/* The other way to text: views into the memory of the argument that it is a part of. */
/** Gives `out` the heap of `from`. */
void smi_text_share(sm_column *out, const sm_column *from);
/** Row i becomes `part`, which lies in row i of `from` or is empty. */
void smi_text_part(sm_column *out, int64_t i, const sm_column *from, sm_str part);
/** Writes s in lower case over what `out` holds. */
sm_status smi_lower(sm_str s, sm_buf *out, sm_error *e) SM_MUST_USE;

/** The cast of one column; also the meaning of constants' casts. */
sm_status smi_cast_column(const sm_expr *x, const sm_column *in, sm_batch *into, sm_column *out,
                          sm_error *e) SM_MUST_USE;

/** What IN needs, made when it is bound. */
const void *smi_prepare_in(const sm_expr *in, sm_arena *a);
void smi_in_bits(const sm_expr *x, const sm_column *c, uint8_t *bits);
bool smi_in_has_null(const sm_expr *x);

/* ---- aggregates' memory ---------------------------------------------------------------------- */

/** Zeroed, 16-byte aligned, until the heap goes. */
sm_status smi_heap_alloc(sm_agg_heap *h, size_t bytes, void **out, sm_error *e) SM_MUST_USE;

/* ---- binding --------------------------------------------------------------------------------- */

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

/* The whole query. */
typedef struct smi_query {
    const sm_resolver *resolver;
    sm_arena *a;
    sm_plan_param *params;
    int64_t n_params, cap_params;
    int32_t depth, expr_depth;  /* now: in selects, in expressions */
    int64_t n_bound, n_selects; /* so far: limited, for views and aliases multiply */
    smi_whole whole;            /* of the SELECT or item of FROM that was bound last */
} smi_query;

/* One SELECT while it is bound. */
typedef struct smi_bind {
    smi_query *q;
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
/** A constant, folded (LIMIT, arguments of table functions). */
sm_status smi_bind_constant(smi_bind *b, const smi_ast *ast, sm_value *out,
                            sm_error *e) SM_MUST_USE;
sm_status smi_bind_from(smi_bind *b, const smi_from *f, sm_plan_node **out,
                        sm_error *e) SM_MUST_USE;
/**
 * A statement to a plan that the optimizer has not seen.
 *
 * Owner     *out lives in q->a; it borrows the text
 * Errors    SM_NAME, SM_TYPE, SM_SYNTAX, SM_UNSUPPORTED with place; SM_LIMIT; the resolver's
 */
sm_status smi_bind_statement(smi_query *q, const sm_sql *sql, const smi_statement *s,
                             sm_plan_node **out, sm_error *e) SM_MUST_USE;
sm_status smi_bind_select(smi_query *q, const sm_sql *sql, const smi_cte *ctes, const smi_select *s,
                          sm_plan_node **out, sm_error *e) SM_MUST_USE;
sm_expr smi_place(const sm_sql *sql, uint32_t off, uint32_t end);

/* ---- plans ----------------------------------------------------------------------------------- */

sm_plan_node *smi_node(sm_arena *a, sm_plan_kind kind, const sm_type *schema, sm_plan_node *left,
                       sm_plan_node *right);
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
bool smi_expr_nullable(const sm_expr *x, const sm_type *input);
/** Structural equality: the same rows, whatever the columns are called. */
bool smi_window_eq(const sm_window_item *x, const sm_window_item *y);
bool smi_plan_eq(const sm_plan_node *x, const sm_plan_node *y);

/** A copy that shares expressions and datasets with the original, and nothing that the optimizer
 * changes. SM_LIMIT as sm_plan_finish. */
sm_status smi_plan_clone(sm_arena *a, const sm_plan_node *root, sm_plan_node **out,
                         sm_error *e) SM_MUST_USE;

/* the optimizer's passes, in their order */
sm_plan_node *smi_opt_merge_aggregates(sm_arena *a, sm_plan_node *n);
sm_plan_node *smi_opt_prune(sm_arena *a, sm_plan_node *root);
sm_plan_node *smi_opt_share(sm_arena *a, sm_plan_node *n);
sm_plan_node *smi_optimize(sm_arena *a, sm_plan_node *root);
/** Tells the scans of a whole plan which objects it takes whole; behind all that moves columns. */
void smi_opt_taken(sm_arena *a, const sm_plan *plan);
/** Lets scans read of structs only the fields that something above them uses. The last pass: what
 * is told to scans before are paths in the files' own types. */
void smi_opt_fields(sm_arena *a, const sm_plan *plan);

#endif
