/* SPDX-License-Identifier: Apache-2.0
 *
 * query/parse/parse_int.h: parsing: tokens, the syntax tree, parsing whole texts, walking a tree;
 * at the end the state of a parser, which only sql_parse.c and sql_expr.c use.
 *
 * Never      looks up what a name means
 * Owner      trees live in the given arena; names and literals may point into the SQL text */
#ifndef SM_QUERY_PARSE_INT_H
#define SM_QUERY_PARSE_INT_H

#include "query/query_int.h"

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
    SMI_AST_DEFAULT, /* DEFAULT as a value of INSERT, UPDATE, MERGE; given */
    SMI_AST_LIST,    /* arguments of table functions only, as is the next */
    SMI_AST_STRUCT,  /* args, each with its arg_name */
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
    const struct sm_expr *given; /* set by the binder of the statement */
};

typedef enum smi_from_kind {
    SMI_FROM_TABLE,    /* parts; args: AT (…), or none */
    SMI_FROM_FILE,     /* name: the path; args: likewise */
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
    bool group_none; /* GROUP BY (): one group, of no row too */
    smi_ast ***rows; /* VALUES: n_rows arrays of n_items */
    int64_t n_rows;
    smi_select *left, *right;
    smi_order *order;
    int32_t n_order;
    bool order_all, order_all_desc;
    smi_ast *limit, *offset;
};

/* A column that a statement names, with the value that it gets. */
typedef struct smi_set {
    sm_str column;
    uint32_t off;
    const sm_str *tables; /* what stands before the column: `t`, `layer.t` */
    int32_t n_tables;
    sm_str text;   /* all of it, as it is written */
    smi_ast *expr; /* NULL: the value comes from elsewhere (INSERT INTO t (a, b) SELECT …) */
} smi_set;

/* A WHEN of MERGE. */
typedef enum smi_when_kind {
    SMI_WHEN_MATCHED,
    SMI_WHEN_NOT_MATCHED,           /* by the target: the source's row is new */
    SMI_WHEN_NOT_MATCHED_BY_SOURCE, /* the target's row has no match */
} smi_when_kind;

typedef enum smi_action { SMI_ACTION_UPDATE, SMI_ACTION_DELETE, SMI_ACTION_INSERT } smi_action;

typedef struct smi_when {
    smi_when_kind kind;
    uint32_t off, end;
    smi_ast *condition; /* AND …, or NULL */
    smi_action action;
    bool is_star;  /* UPDATE SET *, INSERT *: all columns, by their names */
    smi_set *sets; /* of UPDATE and INSERT */
    int32_t n_sets;
} smi_when;

/* What a text says: the root of the tree. Its kind is one of query.h, which says what it is. */
typedef struct smi_statement {
    sm_statement_kind kind;
    uint32_t off, end; /* without the semicolons behind it */
    smi_cte *ctes;     /* WITH before INSERT, DELETE, UPDATE, MERGE */
    int32_t n_ctes;
    smi_select *select;             /* SELECT, INSERT, CREATE_TABLE, COPY */
    smi_from *target;               /* the table that is changed: a name or a path */
    bool by_name;                   /* INSERT: the query's columns go by their names */
    bool or_replace, if_not_exists; /* CREATE_TABLE */
    sm_pair *properties;            /* the same: TBLPROPERTIES */
    int32_t n_properties;
    smi_set *partition_by; /* the same: PARTITIONED BY; INSERT: REPLACE USING */
    int32_t n_partition_by;
    smi_set *sets; /* INSERT: the columns that are named; UPDATE */
    int32_t n_sets;
    smi_ast *where;   /* DELETE, UPDATE; or NULL */
    smi_from *source; /* MERGE */
    smi_ast *on;
    smi_when *whens;
    int32_t n_whens;
    sm_str file, format; /* COPY; the format is "" where its suffix gives it */
    sm_alter *alters;    /* ALTER TABLE */
    int32_t n_alters;
} smi_statement;

/* ---- whole texts ----------------------------------------------------------------------------- */

/** The one statement of a text, of any kind. Errors: SM_SYNTAX and SM_UNSUPPORTED with place,
 * SM_LIMIT. */
sm_status smi_parse(const sm_sql *sql, sm_arena *a, smi_statement **out, sm_error *e) SM_MUST_USE;
/** A text that is one query: a view's, a load's. Errors as smi_parse; SM_DENIED for a statement
 * that changes something. */
sm_status smi_parse_select(const sm_sql *sql, sm_arena *a, smi_select **out,
                           sm_error *e) SM_MUST_USE;
/** A text that is one expression. Errors as smi_parse. */
sm_status smi_parse_one_expr(const sm_sql *sql, sm_arena *a, smi_ast **out,
                             sm_error *e) SM_MUST_USE;

/* ---- walking a tree -------------------------------------------------------------------------- */

/* How deep a pass over a tree is, and how much it has seen. A pass that begins with {0} and enters
 * and leaves every node has the binder's limits. */
typedef struct smi_descent {
    int32_t n_selects, n_exprs; /* around this place; selects: items of FROM too */
    int64_t n_seen;             /* expressions, shared ones as often as they stand there */
} smi_descent;
/** To be left when it is done, unless something failed. SM_LIMIT over SMI_MAX_SELECTS. */
sm_status smi_enter_select(smi_descent *d, const sm_sql *sql, uint32_t off_bytes,
                           sm_error *e) SM_MUST_USE;
void smi_leave_select(smi_descent *d);
/** SM_LIMIT over SMI_MAX_BIND_DEPTH levels or SMI_MAX_WALKED expressions in all. */
sm_status smi_enter_expr(smi_descent *d, const sm_sql *sql, uint32_t off_bytes,
                         sm_error *e) SM_MUST_USE;
void smi_leave_expr(smi_descent *d);

/** The tables of WITH that are visible behind `cte`, innermost first; in `a`. */
const smi_cte *smi_cte_add(sm_arena *a, const smi_cte *visible, const smi_cte *cte);
/** By name, exactly, else without case; NULL where there is none. */
const smi_cte *smi_cte_find(const smi_cte *visible, sm_str name);

/* What a pass does with the nodes of a tree, each before what is below it. A hook that fails ends
 * the walk. */
typedef struct smi_visitor {
    void *ctx;
    /* ctes: the tables of WITH that are visible there */
    sm_status (*from)(void *ctx, const smi_cte *ctes, const smi_from *f, sm_error *e);
} smi_visitor;
/** Shows the visitor every item of FROM in a query; views are not opened. Errors: SM_LIMIT as
 * smi_enter_*, those of a hook. */
sm_status smi_walk(const sm_sql *sql, const smi_select *s, const smi_visitor *visitor, sm_arena *a,
                   sm_error *e) SM_MUST_USE;

/* ---- the state of parsing -------------------------------------------------------------------- */

#define SMI_MAX_EXPECTED 24
typedef struct smi_parser {
    const sm_sql *sql;
    sm_arena *a;
    const smi_tok *toks;
    int64_t n_toks, at;
    int32_t nesting;
    const char *expected[SMI_MAX_EXPECTED]; /* what would have fitted at `expected_at` */
    int32_t n_expected;
    int64_t expected_at;
    int64_t alias_at; /* the last token taken as an alias without AS; −1: none */
    sm_error *e;
} smi_parser;

/* `ahead` counts tokens from the next one. Words are compared without case. Errors go to p->e. */

/** Is it this word, this operator? Takes nothing. */
bool smi_peek_word(const smi_parser *p, int64_t ahead, const char *word);
bool smi_peek_op(const smi_parser *p, int64_t ahead, const char *op);
/** Takes the word or operator where it is there; else remembers that it was expected. */
bool smi_accept_word(smi_parser *p, const char *word);
bool smi_accept_op(smi_parser *p, const char *op);
sm_status smi_expect_word(smi_parser *p, const char *word) SM_MUST_USE;
sm_status smi_expect_op(smi_parser *p, const char *op) SM_MUST_USE;
/** The error at this token: what was expected here, besides `what` (or NULL), and what it is. */
sm_status smi_expected(smi_parser *p, const char *what) SM_MUST_USE;
sm_status smi_parse_name(smi_parser *p, const char *what, sm_str *out) SM_MUST_USE;
sm_status smi_parse_name_list(smi_parser *p, const sm_str **out, int32_t *n) SM_MUST_USE;
sm_status smi_parse_expr(smi_parser *p, smi_ast **out) SM_MUST_USE;
/** An expression, or DEFAULT alone. */
sm_status smi_parse_value(smi_parser *p, smi_ast **out) SM_MUST_USE;
sm_status smi_parse_order(smi_parser *p, smi_order **out, int32_t *n) SM_MUST_USE;
sm_status smi_parse_type(smi_parser *p, const sm_type **out) SM_MUST_USE;
/** What stands behind ALTER TABLE and its name (sql_alter.c). */
sm_status smi_parse_alters(smi_parser *p, sm_alter **out, int32_t *n) SM_MUST_USE;
/** ('k' = 'v', …) behind TBLPROPERTIES (sql_alter.c). */
sm_status smi_parse_properties(smi_parser *p, sm_pair **out, int32_t *n) SM_MUST_USE;
/** Arguments behind a '(', with the ')'. */
sm_status smi_parse_args(smi_parser *p, smi_ast ***out, int32_t *n) SM_MUST_USE;
sm_status smi_parse_query(smi_parser *p, smi_select **out) SM_MUST_USE;
/** [AS] name. `words` can continue the statement here, so they are no aliases without AS although
 * they are not reserved. */
sm_status smi_parse_alias(smi_parser *p, const char *const *words, int n_words,
                          sm_str *out) SM_MUST_USE;
/** A table, a file, a function or a subquery, with its alias. */
sm_status smi_parse_from_item(smi_parser *p, smi_from **out) SM_MUST_USE;
/** The name of a table or the path of its folder, without alias and version. */
sm_status smi_parse_target(smi_parser *p, smi_from **out) SM_MUST_USE;
/** A whole statement, if one that changes something begins here; else *out is NULL
 * (sql_change.c). */
sm_status smi_parse_change(smi_parser *p, smi_statement **out) SM_MUST_USE;
/** Refuses a statement that others have, if one begins here: SM_UNSUPPORTED says what does it. */
sm_status smi_refuse_statement(smi_parser *p) SM_MUST_USE;
/** The first word of a statement that changes something, if one begins here; else NULL. */
const char *smi_peek_change(const smi_parser *p);
/** Does a query (SELECT, WITH, VALUES, FROM) begin there? */
bool smi_starts_query(const smi_parser *p, int64_t ahead);
/** One level deeper; the caller leaves it by p->nesting--. SM_LIMIT over SMI_MAX_NESTING. */
sm_status smi_nest(smi_parser *p) SM_MUST_USE;
/** Is it a name: in quotes, or a word that needs none? */
bool smi_may_name(const smi_parser *p, int64_t ahead);
smi_ast *smi_ast_new(smi_parser *p, smi_ast_kind kind, uint32_t off);

#endif
