/* SPDX-License-Identifier: Apache-2.0
 *
 * query/query.h: the query room's door. SQL text in DuckDB's dialect goes in, or calls that build a
 * plan node by node; a bound, optimised plan comes out. It is read-only from then on, so it can be
 * executed many times and by many threads. Needs: base to delta.
 *
 *   text -> parse -> syntax tree -> bind (names, types; the resolver gives relations and variables)
 *        -> logical plan -> optimise -> sm_plan, which exec runs
 *   sm_expr_call, sm_plan_filter, … -> logical plan -> sm_plan_finish: a copy, optimised
 *
 * Executes nothing, with one exception: expressions are evaluated here (sm_expr_eval), so that they
 * mean the same in constant folding, contracts and operators.
 *
 * Types     as DuckDB, with these differences, listed in docs/sql.md: sum() of integers is BIGINT
 *           and fails on overflow (DuckDB: HUGEINT)
 * Names     keep their case; they match exactly first, else without case where only one fits
 * Errors    carry the source's name, line and byte, what was expected, and the nearest name */
#ifndef SM_QUERY_QUERY_H
#define SM_QUERY_QUERY_H

#include "base/policy.h"
#include "column/builder.h"
#include "format/format.h"

/* ---- what goes in ---------------------------------------------------------------------------- */

typedef struct sm_sql {
    sm_str name; /* for messages: "silver.sql"; "" for a query from the command line ("SQL") */
    sm_str text;
} sm_sql;

/* An argument of a table function: 'logs/x.json', ['a', 'b'], columns => {a: 'BIGINT'}. */
typedef struct sm_table_arg {
    sm_str name;               /* "" where positional */
    sm_value value;            /* of any type: lists, structs and maps too */
    uint32_t off_bytes;        /* in the SQL text */
    const uint32_t *item_offs; /* of a list or struct literal: one for each of the value's items */
} sm_table_arg;

typedef struct sm_plan_node sm_plan_node;
typedef struct sm_expr sm_expr;

/* What a name in FROM stands for: a dataset to scan, a plan built by calls, or a view, whose SQL is
 * bound in its place. */
typedef struct sm_relation {
    const sm_dataset *dataset; /* in the resolver's arena, or outlives the plan */
    const sm_plan_node *node;  /* likewise; where dataset is NULL */
    sm_sql view;               /* where both are NULL */
    const int64_t *n_rows;     /* how many rows a view or node has, if that is known: they are not
                                * read to be counted. As long as the plan; NULL: it is not */
    sm_str label;              /* for EXPLAIN and messages: "bronze.orders@v3" */
    const void *table;         /* what the resolver knows of a table that statements may change;
                                * NULL: it is none */
    /* Is the column computed where rows that are added to the table do not have it? NULL: none is,
     * and they have NULL there. */
    bool (*is_computed)(const sm_field *column);
    /* What such a column has where a statement says DEFAULT, as a constant of its type; SM_DENIED:
     * it has no default, but is computed from others. NULL where is_computed is. */
    sm_status (*default_of)(const sm_field *column, sm_arena *a, const sm_expr **out, sm_error *e);
    bool keep_refused; /* refused lines are wanted as the query's side output */
    bool validate_all, count_unknown;
    sm_unknown unknown; /* what keys without a column are, in rows and objects taken whole */
} sm_relation;

/**
 * Turns names into relations, and variables into values.
 *
 * Owner     what is given lives in `a`, or outlives the plan
 * Returns   for the same call the same dataset, by address: by it the optimizer knows equal scans
 * Errors    An error about an argument leaves the argument's offset in the SQL text in e->byte,
 *           with no object and line 0; the binder makes a place of it
 */
typedef struct sm_resolver {
    void *ctx;
    /* SM_NAME with the nearest name where there is none. */
    sm_status (*table)(void *ctx, const sm_str *parts, int32_t n_parts, sm_arena *a,
                       sm_relation *out, sm_error *e);
    /* FROM table AT (…): `at` is named version or timestamp. NULL: there are no versions. */
    sm_status (*table_at)(void *ctx, const sm_str *parts, int32_t n_parts, const sm_table_arg *at,
                          sm_arena *a, sm_relation *out, sm_error *e);
    /* read_json(…), delta_scan(…), FROM 'path' (name = ""), with AT (…) as its second argument. */
    sm_status (*function)(void *ctx, sm_str name, const sm_table_arg *args, int32_t n_args,
                          sm_arena *a, sm_relation *out, sm_error *e);
    /* var('name'), typed by whoever set it. */
    sm_status (*variable)(void *ctx, sm_str name, sm_arena *a, sm_value *out, sm_error *e);
    /* The rows go to these columns of a table: files in which no column can be found, as they have
     * no line, have them. NULL, as that of fit: what files are like does not depend on it. */
    void (*expect)(void *ctx, const sm_type *columns);
    /* A column of a dataset goes into one of type `there`, as sm_names_fit_table of table does, but
     * numbers are rounded to DECIMAL and FLOAT as by a cast. */
    bool (*fit)(void *ctx, const sm_dataset *d, const sm_str *path, int32_t n_path,
                const sm_type *there);
} sm_resolver;

/* ---- expressions, bound ---------------------------------------------------------------------- */

typedef struct sm_function sm_function;

typedef enum sm_expr_kind {
    SM_EXPR_COLUMN, /* of the input batch */
    SM_EXPR_CONST,
    SM_EXPR_PARAM, /* the value of a scalar subquery, known when the plan is executed */
    SM_EXPR_CALL,  /* of a scalar function; operators are functions too */
    SM_EXPR_CAST,  /* args[0] to `type` */
    SM_EXPR_AND,   /* n-ary, three-valued; later arguments are evaluated only where needed */
    SM_EXPR_OR,
    SM_EXPR_CASE,  /* args: when, then, when, then, …, else; branches only where needed */
    SM_EXPR_IN,    /* args[0] IN (args[1] …), three-valued; all but the first constant */
    SM_EXPR_FIELD, /* field number `index` of the struct args[0] */
} sm_expr_kind;

struct sm_expr {
    sm_expr_kind kind;
    const sm_type *type;
    int32_t index;  /* COLUMN: in the input; PARAM: its slot; FIELD: the field */
    bool is_try;    /* CAST: NULL instead of an error */
    bool is_star;   /* FIELD: by s.*, which takes the others as well */
    sm_value value; /* CONST */
    const sm_function *fn;
    const void *prepared; /* what fn->prepare made of constant arguments (a compiled regex) */
    const sm_expr **args;
    int32_t n_args;
    uint32_t off_bytes, end_bytes; /* in `sql`: for messages */
    const sm_sql *sql;
    sm_str column; /* CAST, for messages: of a table, that gets the value; "": none */
};

/**
 * Evaluates an expression over all rows of a batch.
 *
 * Shape     in->n_rows rows of x->type, in any layout
 * Owner     *out lives as long as `into`, which also retains in's memory where the result shares
 *           it; `params` are the values of the plan's scalar subqueries, borrowed (NULL: it has
 *           none)
 * Errors    with the place in the SQL, quoting the value: SM_RANGE for overflow, SM_TYPE for a cast
 *           that fails, what a function says; SM_BUDGET, SM_CANCELLED
 * Threads   any thread; one at a time for a batch `into`
 */
sm_status sm_expr_eval(const sm_expr *x, const sm_batch *in, const sm_value *params, sm_batch *into,
                       sm_column *out, sm_error *e) SM_MUST_USE;
/**
 * Evaluates a BOOLEAN expression that depends on a single dictionary column once for each entry.
 *
 * Returns   *dict: that column; passes[k]: is the expression true for entry k? The entry after the
 *           last one stands for NULL. *dict is NULL where the expression is not of this kind
 * Owner     *dict is borrowed from `in`; *passes lives as long as `into`
 */
sm_status sm_expr_select_entries(const sm_expr *x, const sm_batch *in, const sm_value *params,
                                 sm_batch *into, const sm_column **dict, uint8_t **passes,
                                 sm_error *e) SM_MUST_USE;
/**
 * The rows for which a BOOLEAN expression is true.
 *
 * Shape     rows[0 … *n − 1], ascending; `rows` has room for in->n_rows
 * Errors    as sm_expr_eval; memory that is needed meanwhile is of `budget`
 */
sm_status sm_expr_select(const sm_expr *x, const sm_batch *in, const sm_value *params,
                         int32_t *rows, int64_t *n, sm_budget *budget, sm_error *e) SM_MUST_USE;
/** For EXPLAIN and messages: columns by their names in `input`, by #number where that is NULL. */
void sm_expr_print(const sm_expr *x, const sm_type *input, sm_buf *out);
/** As SQL, for other readers too: sm_query_expr over `input` makes an expression of the same
 * meaning of it. All names are quoted. */
void sm_expr_sql(const sm_expr *x, const sm_type *input, sm_buf *out);
/** Are they the same expression, whatever their places in the text? Then they give equal values. */
bool sm_expr_eq(const sm_expr *a, const sm_expr *b);

/* ---- expressions by calls -------------------------------------------------------------------- */

/* Expressions without SQL text are bound as those of SQL are: the same casts are added, constants
 * are folded. An expression never changes once it is made, so any number of expressions and plans
 * may share it. It lives in `a`, as must the expressions that it is made of; arrays of arguments
 * are borrowed for the call. */

/**
 * A column of the rows of a schema.
 *
 * Shape     `index` is one of the schema's fields
 */
const sm_expr *sm_expr_column(const sm_type *schema, int32_t index, sm_arena *a);
/** A constant of the value's type; a text is copied. */
const sm_expr *sm_expr_constant(sm_value v, sm_arena *a);
/**
 * A call of a function by its name in docs/sql.md; operators are functions too ("=", "+", "not").
 *
 * Shape     A call of an aggregate or a window function may stand only in a node that computes such
 *           (sm_agg_item, sm_window_item), not in another expression
 * Errors    SM_NAME with the nearest name; SM_TYPE where it does not take such arguments; SM_LIMIT
 *           where the expression comes to more than 2^20 nodes or 2,000 levels, shared parts as
 *           often as they stand there
 */
sm_status sm_expr_call(const char *name, const sm_expr *const *args, int32_t n_args, sm_arena *a,
                       const sm_expr **out, sm_error *e) SM_MUST_USE;
/** An aggregate's call over the distinct values of its one or more arguments. Errors: SM_TYPE for
 * lists and structs. */
sm_status sm_expr_distinct(const sm_expr *call, sm_arena *a, const sm_expr **out,
                           sm_error *e) SM_MUST_USE;
/** x as a value of the type; is_try: NULL where the value cannot be one, which else is an error of
 * the run. Errors: SM_TYPE where no value can be one; SM_LIMIT. */
sm_status sm_expr_cast(const sm_expr *x, const sm_type *type, bool is_try, sm_arena *a,
                       const sm_expr **out, sm_error *e) SM_MUST_USE;
/** All of n ≥ 1 are true, three-valued. Errors: SM_TYPE where one is no BOOLEAN; SM_LIMIT. */
sm_status sm_expr_and(const sm_expr *const *args, int32_t n_args, sm_arena *a, const sm_expr **out,
                      sm_error *e) SM_MUST_USE;
/** One of n ≥ 1 is true, three-valued. Errors as sm_expr_and. */
sm_status sm_expr_or(const sm_expr *const *args, int32_t n_args, sm_arena *a, const sm_expr **out,
                     sm_error *e) SM_MUST_USE;
/**
 * when, then, when, then, …, else: the first `then` whose `when` is true, else `else`.
 *
 * Shape     n_args is odd
 * Errors    SM_TYPE where a `when` is no BOOLEAN or the values meet in no type; SM_LIMIT
 */
sm_status sm_expr_case(const sm_expr *const *args, int32_t n_args, sm_arena *a, const sm_expr **out,
                       sm_error *e) SM_MUST_USE;
/** args[0] IN the n_args − 1 ≥ 1 others, three-valued. Errors: SM_TYPE where they meet in no type;
 * SM_LIMIT. */
sm_status sm_expr_in(const sm_expr *const *args, int32_t n_args, sm_arena *a, const sm_expr **out,
                     sm_error *e) SM_MUST_USE;

/** Field number `index` of the struct x; NULL where the struct is. */
const sm_expr *sm_expr_field(const sm_expr *x, int32_t index, sm_arena *a);

/** The same expression with column i + by in the place of column i, which must not be negative. */
const sm_expr *sm_expr_moved(const sm_expr *x, int32_t by, sm_arena *a);
/** … with column map[i], which must not be negative where x has column i. */
const sm_expr *sm_expr_mapped(const sm_expr *x, const int32_t *map, sm_arena *a);
/** Marks used[i] for each column i that x has. */
void sm_expr_columns(const sm_expr *x, bool *used);

/**
 * The same expression over other rows: columns[i] in the place of column i, for i < n, and
 * fields[k] in the place of field k of column n, a struct.
 *
 * Shape     each is of the type of what it takes the place of; x reads no column behind n
 * Returns   NULL where x takes that struct as a whole
 */
const sm_expr *sm_expr_spread(const sm_expr *x, const sm_expr *const *columns, int32_t n,
                              const sm_expr *const *fields, sm_arena *a);

/* ---- functions ------------------------------------------------------------------------------- */

/* An aggregate has a state for each group: `state_bytes` bytes, all zero at first. Rows reach a
 * group in the order of the input, and merge adds a later range's state to an earlier one's, so the
 * result does not depend on threads. What a state cannot hold itself (text, sets) is in a heap,
 * which lives as long as the states and is counted by its budget. */
typedef struct sm_agg_heap sm_agg_heap;

/* What an aggregate is, for callers that compute the common ones faster than by its functions. */
typedef enum sm_agg_kind {
    SM_AGG_OTHER,
    SM_AGG_COUNT,
    SM_AGG_SUM,
    SM_AGG_MIN,
    SM_AGG_MAX,
    SM_AGG_DISTINCT, /* of the aggregate call in `prepared`, over distinct values */
} sm_agg_kind;

typedef struct sm_aggregate {
    size_t state_bytes;
    /* Adds row i of args to the state states[i], for each i < n_rows. */
    sm_status (*update)(const sm_expr *call, const sm_column *args, int32_t n_args, int64_t n_rows,
                        void *const *states, sm_agg_heap *heap, sm_error *e);
    /* Adds from[i] to into[i] for i < n. The states of `from` may have another heap: what is kept
     * of them is copied to `heap`. */
    sm_status (*merge)(const sm_expr *call, void *const *into, const void *const *from, int64_t n,
                       sm_agg_heap *heap, sm_error *e);
    /* Appends the result of n states to `out`. *failed: the index of the state that failed, so that
     * the caller can name its group. */
    sm_status (*finish)(const sm_expr *call, const void *const *states, int64_t n, sm_builder *out,
                        int64_t *failed, sm_error *e);
    sm_agg_kind kind;
} sm_aggregate;

/** The error of a sum() of integers that BIGINT does not hold, for callers that keep such sums in
 * states of their own. Returns SM_RANGE. */
sm_status sm_agg_sum_too_large(const sm_expr *call, sm_i128 sum, sm_error *e) SM_MUST_USE;

/** An empty heap whose blocks are of `budget` (NULL: uncounted), which must outlive it. */
sm_agg_heap *sm_agg_heap_new(sm_budget *budget);
/** Frees all that was allocated in it. Takes NULL. */
void sm_agg_heap_free(sm_agg_heap *h);
/** The bytes of its blocks. */
size_t sm_agg_heap_bytes(const sm_agg_heap *h);

/* What a partition had before some of its rows. */
typedef struct sm_window_before {
    int64_t n_rows;
    int64_t n_groups;   /* of peers: rows that are equal in ORDER BY */
    int64_t last_group; /* the number of rows before the last of them */
} sm_window_before;

/* A window function is given one partition's rows, sorted by its ORDER BY; one that can be given it
 * in pieces (in_pieces), some of them. */
typedef struct sm_window_in {
    const sm_column *args; /* of the sorted rows */
    int32_t n_args;
    int64_t n_rows;
    sm_window_before before; /* {0}: the rows begin the partition */
    const uint8_t
        *peer_start;   /* bitmap: bit i set where row i differs from row i − 1 in ORDER BY */
    sm_budget *budget; /* for what the function needs meanwhile; NULL: uncounted */
} sm_window_in;
typedef sm_status (*sm_window_fn)(const sm_expr *call, const sm_window_in *in, sm_builder *out,
                                  sm_error *e);

/* For a window function that need not have all rows at once: it is shown all of them in one pass or
 * several, and then gives the result of each. It is given its first argument alone; the others must
 * be constants. */
typedef struct sm_whole_fn {
    /** A new state; NULL where this call needs `window`. n_slots: how many threads may call `look`
     * at the same time, each with a slot of its own. */
    void *(*begin)(const sm_expr *call, int32_t n_slots);
    /** Shows some rows, flat. Each row is shown once in a pass, to any slot. */
    void (*look)(void *state, int32_t slot, const sm_column *arg);
    /** Ends a pass. Is another one needed? After `begin` one is. */
    bool (*next)(void *state);
    /** Appends the results of some rows. Any thread. */
    void (*give)(const void *state, const sm_column *arg, sm_builder *out);
    void (*end)(void *state); /* takes NULL */
} sm_whole_fn;

typedef enum sm_function_kind { SM_FN_SCALAR, SM_FN_AGGREGATE, SM_FN_WINDOW } sm_function_kind;

typedef struct sm_fn_call {
    const sm_expr *expr;
    const sm_column *args; /* any layout */
    int32_t n_args;
    int64_t n_rows;
    sm_batch *into;
} sm_fn_call;

/* One row of functions.def. `example` and `answer` are a test and the entry in docs/sql.md. */
struct sm_function {
    const char *name;
    const char *signature; /* "(text, timestamp) -> timestamp" */
    sm_function_kind kind;
    bool is_strict; /* NULL for a NULL argument, by the evaluator; scalar functions only */
    bool is_pure;   /* may be folded */
    sm_status (*eval)(const sm_fn_call *call, sm_column *out, sm_error *e);
    const void *(*prepare)(const sm_expr *call, sm_arena *a, sm_error *e); /* NULL: nothing to */
    const sm_aggregate *aggregate;
    sm_window_fn window;
    bool in_pieces;           /* it needs of a partition the rows given, and what was before them */
    const sm_whole_fn *whole; /* for OVER (), or NULL */
    const char *summary, *example, *answer;
};
/** All functions, sorted by name; for help and docs. */
const sm_function *sm_functions(int32_t *n);

/* ---- plans ----------------------------------------------------------------------------------- */

typedef enum sm_plan_kind {
    SM_PLAN_SCAN,
    SM_PLAN_VALUES, /* constant rows; SELECT without FROM is one empty row */
    SM_PLAN_FILTER,
    SM_PLAN_PROJECT,
    SM_PLAN_AGGREGATE,
    SM_PLAN_JOIN,
    SM_PLAN_WINDOW,
    SM_PLAN_SORT,
    SM_PLAN_LIMIT,
    SM_PLAN_UNION, /* ALL: the inputs' rows, one input after the other */
    SM_PLAN_CHECK, /* the input's rows, looked at by rules: sm_plan_check() */
} sm_plan_kind;

typedef enum sm_join_kind {
    SM_JOIN_INNER,
    SM_JOIN_LEFT,
    SM_JOIN_CROSS, /* no keys */
} sm_join_kind;

typedef struct sm_agg_item {
    const sm_expr *call;   /* CALL of an aggregate; its args over the input */
    const sm_expr *filter; /* FILTER (WHERE …), or NULL */
    bool is_distinct; /* the values are to be made distinct; never from this room's binder, whose
                       * DISTINCT calls keep their own sets */
} sm_agg_item;

typedef struct sm_sort_key {
    const sm_expr *expr;
    bool is_desc, nulls_first;
} sm_sort_key;

typedef struct sm_window_item {
    const sm_expr *call;
    const sm_expr **partition;
    int32_t n_partition;
    const sm_sort_key *order;
    int32_t n_order;
} sm_window_item;

/* A rule of a CHECK. A row breaks it where it is FALSE; where it is NULL the row keeps it. Rules
 * see the rows as they came in, whatever the rules before them do to a row. */
typedef struct sm_check {
    sm_str name;          /* for EXPLAIN and reports */
    const sm_expr *holds; /* BOOLEAN over the input's columns */
    /* What becomes of a row that breaks it, which is counted in any case. FAIL, WARN: it stays;
     * NULL: it stays, and `column` becomes NULL in it; QUARANTINE: it leaves. */
    sm_policy action;
    int32_t column;
} sm_check;

struct sm_plan_node {
    sm_plan_kind kind;
    int32_t id;            /* 0 … n_nodes − 1: where exec keeps its profile */
    const sm_type *schema; /* what it gives: a struct type */
    sm_plan_node *inputs[2];
    int32_t n_inputs;
    const int64_t *n_rows; /* sm_relation.n_rows; only until the plan is optimised */
    union {
        struct {
            const sm_dataset *dataset;
            int32_t *columns; /* of the dataset's schema, one an output column */
            sm_projection want;
            sm_str label;
        } scan;
        struct {
            const sm_expr **rows; /* n_rows × the schema's fields, constants */
            int64_t n_rows;
        } values;
        struct {
            const sm_expr *where;
        } filter;
        struct {
            const sm_expr **exprs; /* one an output column */
        } project;
        struct { /* gives the keys, then the items; no keys: exactly one row */
            const sm_expr **keys;
            int32_t n_keys;
            sm_agg_item *items;
            int32_t n_items;
        } aggregate;
        struct { /* gives left's columns, then right's; rows in the order of left, a row's matches
                  * in the order of right */
            sm_join_kind kind;
            const sm_expr **left_keys, **right_keys; /* equal pairwise; NULL equals nothing */
            int32_t n_keys;
            const sm_expr *on; /* what else must hold, over left's then right's columns, or NULL */
            const bool
                *is_read; /* one an output column: does `on` or an operator above? NULL: all */
        } join;
        struct { /* gives the input's columns, then the items; rows in the order of the input */
            sm_window_item *items;
            int32_t n_items;
        } window;
        struct { /* stable */
            sm_sort_key *keys;
            int32_t n_keys;
            int64_t limit;             /* only so many rows are wanted; −1: all */
            const uint64_t *quantiles; /* ascending, of the first key, which is a UBIGINT column */
            int32_t n_quantiles;       /* 0: not known */
        } sort;
        struct {
            int64_t limit; /* −1: all */
            int64_t offset;
        } limit;
        struct { /* gives the rows that no check with the action QUARANTINE takes away; its columns
                  * are the input's, or the first of them */
            const sm_check *checks;
            const sm_expr **breaks; /* one a check: true where a row breaks it */
            int32_t n_checks;
            int32_t side;          /* which side output has the rows that leave */
            const sm_type *leaves; /* their columns */
            bool is_watch; /* of sm_plan_watch: its checks look at the columns that do not go on */
        } check;
    } as;
};

/* A scalar subquery, executed before what uses it. No row gives NULL, two rows are an error. */
typedef struct sm_plan_param {
    sm_plan_node *root;
    const sm_type *type;
} sm_plan_param;

typedef struct sm_plan {
    sm_plan_node *root;
    sm_plan_param *params; /* in the order in which they must be executed */
    int32_t n_params;
    int32_t n_nodes; /* over root and params */
} sm_plan;

/**
 * Where a column of a node's rows comes from.
 *
 * Owner     *names is in `a`
 * Returns   how many names: the column of *scan, a field of it and so on; 0, and nothing set, where
 *           the column is computed, or something else than projections and filters is between
 */
int32_t sm_plan_way(const sm_plan_node *n, int32_t column, sm_arena *a, sm_str **names,
                    const sm_plan_node **scan);

/**
 * Parses, binds and optimises one SELECT.
 *
 * Owner     *out and all that it points to live in `a`; the SQL text must outlive it too
 * Errors    SM_DENIED for a statement that changes something; SM_SYNTAX, SM_NAME, SM_TYPE,
 *           SM_UNSUPPORTED with their place; SM_LIMIT for a text over 1 MiB or nesting over 200;
 *           what the resolver says
 * Threads   any thread; one at a time for an arena and a resolver
 */
sm_status sm_query_plan(const sm_sql *sql, const sm_resolver *resolver, sm_arena *a, sm_plan **out,
                        sm_error *e) SM_MUST_USE;

/* ---- statements ------------------------------------------------------------------------------ */

/* What a text asks for. */
typedef enum sm_statement_kind {
    SM_STATEMENT_SELECT,
    SM_STATEMENT_COPY,         /* the rows of a query go to a file */
    SM_STATEMENT_CREATE_TABLE, /* the rows of a query become a table */
    SM_STATEMENT_INSERT,       /* the rows of a query are added to a table */
    SM_STATEMENT_ALTER,        /* a table's columns, properties or constraints become others */
    SM_STATEMENT_DELETE,
    SM_STATEMENT_UPDATE,
    SM_STATEMENT_MERGE,
} sm_statement_kind;

/* What ALTER TABLE does, one change. */
typedef enum sm_alter_kind {
    SM_ALTER_ADD_COLUMN,      /* path, type */
    SM_ALTER_RENAME_COLUMN,   /* path, text: the new name of its last part */
    SM_ALTER_DROP_COLUMN,     /* path */
    SM_ALTER_MOVE_COLUMN,     /* path, name: the field that it stands behind; "": it is the first */
    SM_ALTER_TYPE,            /* path, type */
    SM_ALTER_DROP_NOT_NULL,   /* path */
    SM_ALTER_COMMENT,         /* path, text */
    SM_ALTER_SET_DEFAULT,     /* path, text: an expression */
    SM_ALTER_DROP_DEFAULT,    /* path */
    SM_ALTER_SET_PROPERTY,    /* name, text: its value */
    SM_ALTER_UNSET_PROPERTY,  /* name */
    SM_ALTER_ADD_CONSTRAINT,  /* name, text: an expression */
    SM_ALTER_DROP_CONSTRAINT, /* name */
} sm_alter_kind;

typedef struct sm_alter {
    sm_alter_kind kind;
    /* A column, and the fields within it by which it is reached; "element", "key" and "value" stand
     * for what is in a list or map. */
    const sm_str *path;
    int32_t n_path;
    const sm_type *type;
    sm_str name, text; /* expressions are in Spark's SQL, as a table keeps them */
    bool if_exists;    /* DROP, UNSET: where it is not there, nothing is to be done */
    sm_str sql;        /* the words that say it, which may say several changes */
} sm_alter;

/**
 * Parses what stands behind ALTER TABLE and its name: "ADD COLUMN a BIGINT COMMENT 'x' AFTER b".
 *
 * Shape     a column that is added with a comment, a default or a place is several changes, in
 *           their order
 * Owner     *out lives in `a`, which the text must outlive
 * Errors    SM_SYNTAX, SM_UNSUPPORTED with their place
 */
sm_status sm_query_alter(const sm_sql *sql, sm_arena *a, sm_alter **out, int32_t *n,
                         sm_error *e) SM_MUST_USE;

/* What becomes of the rows of a table, by DELETE, UPDATE or MERGE. Its expressions are over `rows`:
 * the table's columns; of a MERGE, behind them a BIGINT for whoever executes it, the columns of the
 * source, and a BOOLEAN that is true where there is a row of the source. */
typedef struct sm_row_change {
    const sm_type *rows;    /* NULL: the statement is none of these */
    int32_t n_columns;      /* of the table */
    const sm_expr *acts;    /* BOOLEAN: which rows are changed or deleted; else they stay */
    const sm_expr *deletes; /* BOOLEAN: which of these are deleted */
    const sm_expr **values; /* one a column of the table: what it becomes in a row that is not
                             * deleted; NULL: no row is changed */
    /* MERGE */
    const sm_plan_node *source;    /* its rows; NULL: no MERGE */
    const sm_expr *on;             /* which row of the table and which of the source are a pair */
    const sm_expr *joins;          /* which of the pairs may change the row; NULL: none */
    bool takes_unmatched;          /* rows of the table without a pair are changed too */
    const sm_expr *inserts;        /* BOOLEAN over the source's columns: which of its rows without a
                                 * pair are added; NULL: none */
    const sm_expr **insert_values; /* over the source's columns, one a column of the table; NULL
                                    * where the table computes it */
} sm_row_change;

/* A statement, bound. */
typedef struct sm_statement {
    sm_statement_kind kind;
    /* SELECT, COPY, CREATE TABLE, INSERT: gives the rows, for INSERT in the table's columns without
     * those that it computes. Else it shows which rows are looked at: for EXPLAIN. */
    const sm_plan *plan;
    sm_str file, format; /* COPY; "": the file's suffix says the format */
    /* The table as the text names it: parts, or where there is none the path of its folder. */
    const sm_str *parts;
    int32_t n_parts;
    sm_str path;
    bool or_replace, if_not_exists; /* CREATE TABLE */
    const sm_pair *properties;      /* the same: TBLPROPERTIES */
    int32_t n_properties;
    /* CREATE TABLE: the columns that the table is partitioned by. INSERT: those of the table, whose
     * partitions are replaced where the query gives a row for them; 0: rows are only added. */
    const sm_str *partition_by;
    int32_t n_partition_by;
    const void *table;          /* sm_relation.table; but for CREATE TABLE */
    const sm_plan_node *target; /* its rows; of SELECT those of the query; for
                                 * sm_statement_finish */
    const sm_dataset *dataset;  /* its files, as scans of it have them */
    const sm_alter *alters;     /* ALTER TABLE; its plan is one row, of nothing */
    int32_t n_alters;
    sm_row_change change; /* DELETE, UPDATE, MERGE */
    /* Subqueries in `change`: a plan of one row with their values. NULL: there are none. */
    const sm_plan *params_plan;
    const sm_plan_param *params;
    int32_t n_params;
} sm_statement;

/** "INSERT", "CREATE TABLE", … */
const char *sm_statement_name(sm_statement_kind kind);

/**
 * Parses, binds and optimises one statement of any kind.
 *
 * Owner, Errors, Threads as sm_query_plan; a value that is put into a column is cast to its type:
 *           SM_TYPE where no such value can be one, else an error of the run
 */
sm_status sm_query_statement(const sm_sql *sql, const sm_resolver *resolver, sm_arena *a,
                             sm_statement **out, sm_error *e) SM_MUST_USE;
/**
 * As sm_query_plan(), for a caller that looks at the plan and then builds another one on the rows
 * of the query: (*out)->plan, and (*out)->target for sm_statement_finish(). `rescues`: the unknown
 * keys that its dataset rescues stand behind its columns, unless it has a column of their name, or
 * is more than projections and filters over one scan.
 */
sm_status sm_query_select(const sm_sql *sql, const sm_resolver *resolver, bool rescues, sm_arena *a,
                          sm_statement **out, sm_error *e) SM_MUST_USE;
/**
 * Puts values in the place of the subqueries of s->change, whose expressions then have none. Its
 * source keeps its own: sm_statement_finish().
 *
 * Shape     values: s->n_params, as params_plan gives them; what they point to must outlive `a`
 */
void sm_statement_settle(sm_statement *s, const sm_value *values, sm_arena *a);
/** sm_plan_finish for a plan that stands on s->target or s->change.source: with the subqueries of
 * the statement. */
sm_status sm_statement_finish(const sm_statement *s, const sm_plan_node *root, sm_arena *a,
                              sm_plan **out, sm_error *e) SM_MUST_USE;

/* Checks that look at the rows of a relation in a query that reads them for its own purpose. */
typedef struct sm_plan_watch {
    const sm_plan_node *rows; /* the relation's, without subqueries */
    const sm_check *checks;   /* over their columns; FAIL or WARN, for all rows go on */
    int32_t n_checks;
    int32_t side;              /* as of sm_plan_check() */
    const sm_plan_node *check; /* set by sm_statement_watched(): the CHECK, whose input has the
                                * relation's columns behind those that go on; NULL: there is none */
} sm_plan_watch;
/** A watch that counts the rows of a relation: all that its one check looks at. */
void sm_plan_watch_rows(const sm_plan_node *rows, int32_t side, sm_arena *a, sm_plan_watch *out);
/**
 * sm_statement_finish() of a plan that gives the same rows, and in which n watches look at all rows
 * of their relations (plan_watch.c).
 *
 * Shape     w[i].check is NULL where the plan does not read the relation's rows, or not as they
 *           would be read for the checks
 * Owner     *out lives in `a`; borrows the checks
 * Errors    those of both, and of sm_plan_check()
 */
sm_status sm_statement_watched(const sm_statement *s, const sm_plan_node *root, sm_plan_watch *w,
                               int32_t n, sm_arena *a, sm_plan **out, sm_error *e) SM_MUST_USE;

/**
 * Parses and binds one expression over a schema: "Date = DATE '2022-04-01'", for contracts and
 * replace-where.
 *
 * Owner     as sm_query_plan; `resolver` is asked for variables, NULL: there are none
 * Errors    as sm_query_plan; SM_UNSUPPORTED for a subquery
 */
sm_status sm_query_expr(const sm_sql *sql, const sm_type *schema, const sm_resolver *resolver,
                        sm_arena *a, const sm_expr **out, sm_error *e) SM_MUST_USE;

/* Rows in groups. */
typedef struct sm_grouping {
    const sm_plan_node *in;
    const sm_expr *const *keys; /* over the columns of `in` */
    int32_t n_keys;             /* 1 at least */
} sm_grouping;
/**
 * Parses and binds one condition over groups of rows, with aggregates: "sum(x) > 0".
 *
 * Shape     *out: a row for each group: its keys, then the condition, a BOOLEAN
 * Owner     as sm_query_plan, and `g->in` must outlive *out
 * Errors    as sm_query_expr; SM_TYPE where it is no condition, or a key is a list or struct;
 *           SM_SYNTAX for a column that is neither a key nor in an aggregate
 */
sm_status sm_query_grouped(const sm_sql *sql, const sm_grouping *g, const sm_resolver *resolver,
                           sm_arena *a, const sm_plan_node **out, sm_error *e) SM_MUST_USE;

/**
 * Parses and binds one expression in Spark's SQL, as Delta tables have them in constraints,
 * generated columns and defaults, as a value of `type`.
 *
 * Owner     *out lives in `a`; borrows nothing
 * Errors    SM_UNSUPPORTED with the place where it is not known to mean the same here
 *           (spark_expr.c lists what is); as sm_query_expr
 */
sm_status sm_query_expr_spark(const sm_sql *sql, const sm_type *schema, const sm_type *type,
                              sm_arena *a, const sm_expr **out, sm_error *e) SM_MUST_USE;

/* ---- plans by calls -------------------------------------------------------------------------- */

/* A plan built node by node, from the scans up. A node never changes once it is made, and may be
 * the input of any number of others; sm_plan_finish copies the nodes that it optimises. A node
 * lives in `a`, as must its inputs and expressions; arrays and names are copied. Expressions are
 * over the columns of the input (its schema). */

/**
 * All rows of a relation's dataset. takes_row: the plan gives them whole (SQL's *), so that a key
 * which no column takes is missing there; it matters only where the relation looks for such keys.
 *
 * Shape     the dataset's columns, in its order
 * Owner     borrows the dataset, as long as the plan runs
 */
const sm_plan_node *sm_plan_scan(const sm_relation *from, bool takes_row, sm_arena *a);
/** n rows of constants; values: n times the schema's fields, row after row, each of its type. */
const sm_plan_node *sm_plan_values(const sm_type *schema, const sm_value *values, int64_t n,
                                   sm_arena *a);
/** The rows for which `where` is true. Errors: SM_TYPE where it is no BOOLEAN. */
sm_status sm_plan_filter(const sm_plan_node *in, const sm_expr *where, sm_arena *a,
                         const sm_plan_node **out, sm_error *e) SM_MUST_USE;
/** n columns, each an expression with a name. */
const sm_plan_node *sm_plan_project(const sm_plan_node *in, const sm_expr *const *exprs,
                                    const sm_str *names, int32_t n, sm_arena *a);
/** The columns of a join, which its condition is over: left's, then right's, nullable for LEFT. */
const sm_type *sm_plan_join_schema(const sm_plan_node *left, const sm_plan_node *right,
                                   sm_join_kind kind, sm_arena *a);
/**
 * The pairs of rows for which `on` is true, in the order of left, a row's matches in that of right;
 * LEFT: also the rows of left that have none, with NULL.
 *
 * Shape     sm_plan_join_schema; `on` is NULL for CROSS
 * Errors    SM_TYPE where `on` is no BOOLEAN
 */
sm_status sm_plan_join(const sm_plan_node *left, const sm_plan_node *right, sm_join_kind kind,
                       const sm_expr *on, sm_arena *a, const sm_plan_node **out,
                       sm_error *e) SM_MUST_USE;
/**
 * A row for each group of rows that are alike in the keys; without keys exactly one row. Without
 * items they are the distinct keys.
 *
 * Shape     the keys, then the items; at least one of them
 * Errors    SM_TYPE where a key is a list or struct, or a filter no BOOLEAN
 */
sm_status sm_plan_aggregate(const sm_plan_node *in, const sm_expr *const *keys, int32_t n_keys,
                            const sm_agg_item *items, int32_t n_items, sm_arena *a,
                            const sm_plan_node **out, sm_error *e) SM_MUST_USE;
/**
 * Window functions, and aggregates as such (each row sees its partition up to its peers, without an
 * order all of it). Rows keep their order.
 *
 * Shape     the input's columns, then n ≥ 1 items
 * Errors    SM_TYPE where a list or struct is to be ordered
 */
sm_status sm_plan_window(const sm_plan_node *in, const sm_window_item *items, int32_t n_items,
                         sm_arena *a, const sm_plan_node **out, sm_error *e) SM_MUST_USE;
/** By n ≥ 1 keys, stable. Errors: SM_TYPE where a list or struct is to be ordered. */
sm_status sm_plan_sort(const sm_plan_node *in, const sm_sort_key *keys, int32_t n_keys, sm_arena *a,
                       const sm_plan_node **out, sm_error *e) SM_MUST_USE;
/**
 * By a UBIGINT column without NULL, stable, where the caller knows about how its values lie:
 * between two of n ascending quantiles are about as many rows as between any others. The rows are
 * then divided before they are sorted. Wrong quantiles cost time, and change no row.
 *
 * Owner     borrows `quantiles`
 */
const sm_plan_node *sm_plan_sort_even(const sm_plan_node *in, int32_t column,
                                      const uint64_t *quantiles, int32_t n, sm_arena *a);
/** At most `limit` rows (−1: all) behind the first `offset`. */
const sm_plan_node *sm_plan_limit(const sm_plan_node *in, int64_t limit, int64_t offset,
                                  sm_arena *a);
/**
 * The rows of one, then those of the other (UNION ALL).
 *
 * Shape     the names of `first`; the types that both meet in
 * Errors    SM_SYNTAX for different numbers of columns, SM_TYPE where two types do not meet
 */
sm_status sm_plan_union(const sm_plan_node *first, const sm_plan_node *second, sm_arena *a,
                        const sm_plan_node **out, sm_error *e) SM_MUST_USE;
/**
 * The rows, each looked at by n ≥ 1 checks: a row that breaks several with the action QUARANTINE
 * leaves by the first of them. The rows that leave go to the run's side output `side` (exec.h), in
 * the order of the input; the run reports how many rows broke each check.
 *
 * Every row of `in` is looked at, whatever stands above: no filter moves below a CHECK, no LIMIT
 * above one ends the reading below it, and a condition above that is never true leaves it in place.
 * All columns of `in` are read: where few are wanted, project before it.
 *
 * Shape     the input's columns; those that a check with the action NULL may change are nullable.
 *           `side` is another one for each CHECK of a plan, from 0 on
 * Errors    SM_TYPE where a check is no BOOLEAN; SM_LIMIT
 */
sm_status sm_plan_check(const sm_plan_node *in, const sm_check *checks, int32_t n, int32_t side,
                        sm_arena *a, const sm_plan_node **out, sm_error *e) SM_MUST_USE;
/** The same, where only the first n_columns >= 1 of the input go on, and only they leave with a
 * row: those behind them are there for the checks, and in the report's examples. */
sm_status sm_plan_check_first(const sm_plan_node *in, int32_t n_columns, const sm_check *checks,
                              int32_t n, int32_t side, sm_arena *a, const sm_plan_node **out,
                              sm_error *e) SM_MUST_USE;
/** The rows that leave a CHECK over `in`: its columns, as they came in, then INTEGER "check": the
 * number of the check that took the row away, from 0 on. */
const sm_type *sm_plan_check_leaves(const sm_plan_node *in, sm_arena *a);
/* Where a row comes from: columns that a plan carries behind its own ones. */
enum {
    SM_ORIGIN_FILE,        /* VARCHAR: the URI by which it was opened */
    SM_ORIGIN_LINE,        /* BIGINT, from 1 */
    SM_ORIGIN_BYTE_OFFSET, /* BIGINT, from 0, of the line's first byte in the decompressed file */
    SM_ORIGIN_COLUMNS,
};
extern const sm_type sm_origin_schema;
/**
 * The same rows with their origin: the columns of sm_origin_schema behind those of `rows`. A run
 * gives the line as a number that only it understands; where rows leave by a side output it makes
 * lines of them (sm_outputs.side_lines).
 *
 * Returns   NULL: the rows are not lines of files, as they are where the plan is more than
 *           projections and filters over one scan of text
 * Owner     lives in `a`; shares nodes, expressions and files of `rows`, which must outlive it
 */
const sm_plan_node *sm_plan_with_origin(const sm_plan_node *rows, sm_arena *a);
/** The same rows, of which it is known how many they are (sm_relation.n_rows). */
const sm_plan_node *sm_plan_counted(const sm_plan_node *rows, const int64_t *n_rows, sm_arena *a);
/** Where the columns of sm_origin_schema begin among those of rows; −1: they are not there. */
int32_t sm_origin_find(const sm_type *columns);
/** The rows without their origin, if they have it. */
const sm_plan_node *sm_plan_without_origin(const sm_plan_node *rows, sm_arena *a);
/** Is it certain that no two rows are alike in n >= 1 keys, expressions over them, of which columns
 * alone count? NULL is like NULL (plan_unique.c). */
bool sm_plan_is_unique(const sm_plan_node *rows, const sm_expr *const *keys, int32_t n,
                       sm_arena *a);
/** Is there a CHECK among the node and all below it? */
bool sm_plan_has_check(const sm_plan_node *n);
/**
 * A plan to run: a copy of the nodes, optimised. The nodes stay as they are, so that other plans
 * can be built on them.
 *
 * Owner     *out lives in `a`; it borrows the expressions and datasets, not the nodes
 * Errors    SM_LIMIT over 100,000 nodes or 2,000 levels, shared ones as often as they stand there
 */
sm_status sm_plan_finish(const sm_plan_node *root, sm_arena *a, sm_plan **out,
                         sm_error *e) SM_MUST_USE;

/**
 * The same plan with its rows sorted by n ≥ 1 expressions over its columns, in ascending order,
 * NULL last. Rows with equal values stay in the order of `plan`.
 *
 * Owner     *out lives in `a`; it shares the nodes of `plan`, which must outlive it
 * Errors    SM_TYPE where a list or struct is to be ordered
 */
sm_status sm_plan_sorted(const sm_plan *plan, const sm_expr *const *by, int32_t n, sm_arena *a,
                         sm_plan **out, sm_error *e) SM_MUST_USE;

/* ---- what a query names, and how it compares ------------------------------------------------- */

/* A table name as it stands in FROM. */
typedef struct sm_table_name {
    const sm_str *parts;
    int32_t n_parts;
    uint32_t off_bytes;
} sm_table_name;
/** The tables that a query names, each once, in the order of the text, without tables of WITH,
 * table functions and tables AT a version: what a task of a pipeline depends on. Errors: as
 * sm_query_plan's of the text. */
sm_status sm_query_tables(const sm_sql *sql, sm_arena *a, sm_table_name **out, int32_t *n,
                          sm_error *e) SM_MUST_USE;

/* A key that a query is to take, of the files that it reads. */
typedef struct sm_sql_key {
    sm_str path, type; /* "item.size", "BIGINT" */
    /* set by the call: */
    sm_str declared; /* what is added to `columns`: "size: 'BIGINT'", in a STRUCT "size BIGINT" */
    sm_str selected; /* what is added to the SELECT: "item.size AS size" */
    sm_str name;     /* the column that this makes */
    const char *why; /* nothing is added for it: why; NULL: it has its place */
} sm_sql_key;
/**
 * Changes the text of a query so that it takes these keys, too (sql_take.c): their types are added
 * to the columns that its read function declares, and they to its SELECT, unless that has a star.
 * All else stays as it is, comments too.
 *
 * Owner     *out and the texts of the keys live in `a`
 * Errors    those of the parser; a key without a certain place is none, but says why
 */
sm_status sm_query_take_keys(const sm_sql *sql, sm_sql_key *keys, int32_t n, sm_arena *a,
                             sm_str *out, sm_error *e) SM_MUST_USE;

/* What sm_query_canonical leaves out. */
typedef struct sm_canonical_opts {
    void *ctx;
    bool (*is_open)(void *ctx, sm_str variable); /* stands as its name, not its value; or NULL */
    bool without_paths;           /* of files: the arguments of table functions without a name */
    const char *without_argument; /* of table functions, by its name; or NULL */
} sm_canonical_opts;
/**
 * Prints a query as a text by which queries are compared: if two texts are equal, the queries mean
 * the same (sql_canonical.c). Layout, comments and names of tables do not count. A text has several
 * lines, which tell what differs between two queries.
 *
 * Owner     *out lives in `a`; the resolver is asked for variables, and for tables that may be
 *           views
 * Errors    as sm_query_plan's of the text; what the resolver says
 */
sm_status sm_query_canonical(const sm_sql *sql, const sm_resolver *resolver,
                             const sm_canonical_opts *opts, sm_arena *a, sm_str *out,
                             sm_error *e) SM_MUST_USE;

/** A text in lower case, as lower() makes it, in `a`; so names that differ only in case become the
 * same. What is not UTF-8 stays as it is. */
sm_str sm_text_lower(sm_str s, sm_arena *a);

/** The bounds that follow from `where`: AND-ed parts of the form `column op constant`. In `a`. */
void sm_expr_bounds(const sm_expr *where, sm_arena *a, sm_bounds *out);

/** A plan as lines, one for each node, its inputs indented below it. note(ctx, node, out) adds to a
 * node's line (EXPLAIN ANALYZE); it may be NULL. */
void sm_plan_print(const sm_plan *p, void (*note)(void *ctx, const sm_plan_node *n, sm_buf *out),
                   void *ctx, sm_buf *out);

#endif
