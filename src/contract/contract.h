/* SPDX-License-Identifier: Apache-2.0
 *
 * contract/contract.h: the contract room's door. A contract file (Open Data Contract Standard,
 * v3.0 and v3.1) becomes a model: tables, columns and rules; the rules that look at one row become
 * expressions over the schema of rows. Needs: base to table.
 *
 *   file -> sm_contract_read -> model -> sm_contract_bind (a table of it, a schema) -> expressions
 *
 *   model + rows -> sm_contract_audit -> counts -> sm_contract_judge -> verdict
 *
 * Has no evaluator of its own, and writes nothing but verdicts beside tables: rules are expressions
 * of query, or plans that exec runs.
 *
 * NULL      keeps every rule but `required` and `missingValues`; rules.def says what NULL, NaN and
 *           an empty text mean to each
 * Names     of rules are unique in a table; a rule without a name is "column:rule"
 * Errors    have the file, line and byte of what is wrong, and the nearest word that is right
 * Threads   any, on an arena of its own; a model may be read by any thread
 * Source    bitol-io/open-data-contract-standard, v3.1.0: docs/ and schema/ */
#ifndef SM_CONTRACT_CONTRACT_H
#define SM_CONTRACT_CONTRACT_H

#include "base/json_write.h"
#include "base/policy.h"
#include "base/yaml.h"
#include "exec/exec.h"
#include "table/table.h"

/* ---- the rules that there are (rules.def) ---------------------------------------------------- */

typedef enum sm_rule_kind {
#define SM_ROW_RULE(id, name, columns, argument, summary, nulls, logical, type, yaml, sql, keeps,  \
                    breaks)                                                                        \
    SM_RULE_##id,
#define SM_SET_RULE(id, name, argument, summary, nulls, yaml, keeps, breaks) SM_RULE_##id,
#include "contract/rules.def"
#undef SM_ROW_RULE
#undef SM_SET_RULE
    SM_RULES,
} sm_rule_kind;

/* The kinds of columns that a rule can be of. */
typedef enum sm_rule_columns {
    SM_COLUMNS_ANY,
    SM_COLUMNS_SCALAR,  /* no list, struct or map */
    SM_COLUMNS_ORDERED, /* numbers, DATE, TIME, TIMESTAMPs */
    SM_COLUMNS_NUMBER,
    SM_COLUMNS_INTEGER,
    SM_COLUMNS_TEXT,
} sm_rule_columns;

/* What a rule is given, and where sm_rule has it. */
typedef enum sm_rule_argument {
    SM_ARGUMENT_NONE,
    SM_ARGUMENT_BOUND,        /* text: a value of the column */
    SM_ARGUMENT_STEP,         /* text: a number above 0 */
    SM_ARGUMENT_COUNT,        /* text: a whole number from 0 on */
    SM_ARGUMENT_PATTERN,      /* text: a regular expression */
    SM_ARGUMENT_INTEGER_WORD, /* text: "u8" */
    SM_ARGUMENT_TEXT_WORD,    /* text: "uuid" */
    SM_ARGUMENT_VALUES,       /* values */
    SM_ARGUMENT_SQL,          /* text */
    SM_ARGUMENT_COLUMNS,      /* columns */
    SM_ARGUMENT_TARGET,       /* columns, and as many of other_columns in other_table */
    SM_ARGUMENT_GROUP_SQL,    /* columns and text */
    SM_ARGUMENT_AGE,          /* text: "24 h", and the number in limit */
    SM_ARGUMENT_VOLUME,       /* text: a number of earlier versions; the shares in limit */
} sm_rule_argument;

/* A row of rules.def. */
typedef struct sm_rule_info {
    const char *name;        /* the standard's word */
    bool is_row;             /* it looks at one row; else it needs others, or the whole table */
    sm_rule_columns columns; /* of row rules */
    sm_rule_argument argument;
    const char *summary, *nulls;
    const char *logical, *type, *yaml, *sql, *keeps, *breaks; /* the example; of set rules
                                                               * logical, type and sql are "" */
} sm_rule_info;

/** What rules.def says of a kind of rule. */
const sm_rule_info *sm_rule_info_of(sm_rule_kind kind);

/* ---- a contract as it was read --------------------------------------------------------------- */

/* How a count or share is compared. */
typedef enum sm_rule_operator {
    SM_MUST_BE,
    SM_MUST_NOT_BE,
    SM_MUST_BE_GREATER,
    SM_MUST_BE_GREATER_OR_EQUAL,
    SM_MUST_BE_LESS,
    SM_MUST_BE_LESS_OR_EQUAL,
    SM_MUST_BE_BETWEEN,     /* both ends belong to it */
    SM_MUST_NOT_BE_BETWEEN, /* its complement */
} sm_rule_operator;

/* What the number of rows that break a rule must be (of rowCount and sql: what is counted). */
typedef struct sm_rule_limit {
    sm_rule_operator op;
    double value, to; /* `to` of the two that have a second end */
    bool is_percent;  /* of the rows; else a number of rows */
} sm_rule_limit;

/* One of the values of a rule, as the file has it. */
typedef struct sm_rule_value {
    sm_str text;
    bool is_plain; /* without quotes */
} sm_rule_value;

typedef struct sm_rule {
    sm_rule_kind kind;
    sm_str name;      /* unique in the table, case aside */
    int32_t column;   /* of the table's columns; −1: of the table as a whole */
    bool is_quality;  /* it stands under `quality` */
    sm_policy action; /* FAIL, QUARANTINE, WARN or NULL: what becomes of a row that breaks it, or of
                       * the whole write */
    sm_rule_limit limit; /* {0}: no row may break it */
    bool has_fail_above; /* beyond this many a rule fails that else does less */
    sm_rule_limit fail_above;
    bool has_share_per; /* a percentage is that of the worst group of rows */
    int32_t share_per;  /* that are alike in this column of the table */
    sm_str text;        /* the argument, by sm_rule_info.argument */
    const sm_rule_value *values;
    int32_t n_values;
    bool takes_null;        /* validValues, missingValues: NULL is among the values */
    const int32_t *columns; /* of the table's columns */
    int32_t n_columns;
    sm_str other_table;
    const sm_str *other_columns; /* as many as columns */
    sm_str description;
    sm_yaml_place at; /* of its key in the file */
} sm_rule;

/* The standard's logicalType. */
typedef enum sm_logical_type {
    SM_LOGICAL_NONE, /* the file does not say */
    SM_LOGICAL_STRING,
    SM_LOGICAL_DATE,
    SM_LOGICAL_TIMESTAMP,
    SM_LOGICAL_TIME,
    SM_LOGICAL_NUMBER,
    SM_LOGICAL_INTEGER,
    SM_LOGICAL_OBJECT,
    SM_LOGICAL_ARRAY,
    SM_LOGICAL_BOOLEAN,
} sm_logical_type;

/* A property: a column of the table, or a field of one that is an object. */
typedef struct sm_contract_column {
    sm_str name;
    sm_str path;          /* "address.zip": as rules are named by it */
    sm_str physical;      /* its name in the rows */
    sm_str physical_type; /* as the file has it, in whatever dialect: "DECIMAL(10,2)"; "" */
    int32_t parent;       /* the object that it is a field of; −1: none. Parents come first */
    sm_logical_type logical;
    bool is_required;     /* by `required` or as a part of the primary key */
    int32_t key_position; /* in the primary key, from 1; INT32_MAX: the file gives none; 0: it is
                           * not in the key */
    sm_str derive;    /* SQL that makes its values when rows are written; "": the rows have them */
    bool has_default; /* NULL becomes … */
    sm_str default_text;   /* … this value of its type, when rows are written */
    bool casts;            /* it becomes physical_type, when rows are written */
    sm_policy cast_action; /* FAIL or NULL: what becomes of a value that cannot */
    sm_yaml_place made_at; /* of the last of these three words */
    sm_str description;
    sm_yaml_place at;
} sm_contract_column;

typedef struct sm_contract_table {
    sm_str name;     /* "orders" */
    sm_str physical; /* as the file has it, or name */
    sm_str description;
    sm_contract_column *columns;
    int64_t n_columns;
    sm_rule *rules; /* in the order of the file */
    int64_t n_rules;
    sm_yaml_place at;
} sm_contract_table;

/* What of the file is not checked, for whoever shows it to the user. */
typedef struct sm_contract_note {
    sm_str text; /* "rule \"x\" is for engine soda" */
    sm_yaml_place at;
} sm_contract_note;

typedef struct sm_contract {
    sm_yaml_doc yaml; /* the file; its name is for messages */
    sm_str id, name, version, status;
    sm_contract_table *tables;
    int64_t n_tables;
    sm_contract_note *notes;
    int64_t n_notes;
} sm_contract;

/**
 * Reads a contract.
 *
 * Shape     name: of the file, for messages. Keys of sections that say nothing of rows (servers,
 *           team, price, …) are not looked into, and a
 *           contract may have no table. What smelt has no rule for is noted
 * Owner     *out lives in `a`, and borrows neither text nor name
 * Errors    with their place: SM_SYNTAX: not YAML, a value of the wrong kind, a key that is
 *           missing; SM_NAME: a key or word that the standard has not, a column that the table has
 *           not; SM_EXISTS: two tables, columns or rules of one name; SM_INVALID: a value that
 *           cannot be, an action that cannot be done; SM_UNSUPPORTED: a version before 3, a
 *           reference by id, the older words of quality rules
 */
sm_status sm_contract_read(sm_str name, sm_str text, sm_arena *a, sm_contract **out,
                           sm_error *e) SM_MUST_USE;
/** The table of that name in the contract, case aside; where name is "", its only table. SM_NAME
 * with the nearest name, for which `a` is scratch. */
sm_status sm_contract_find(const sm_contract *c, sm_str name, sm_arena *a,
                           const sm_contract_table **out, sm_error *e) SM_MUST_USE;
/**
 * Changes the text of a contract: the table (as for sm_contract_find) gets a column behind its last
 * one (contract_take.c). All else stays as it is.
 *
 * Owner     *out lives in `a`, or is `text`, where the table has the column already or *why says
 *           why there is no certain place for it
 * Errors    those of sm_contract_read and sm_contract_find
 */
sm_status sm_contract_take(sm_str name, sm_str text, sm_str table, sm_str column,
                           const sm_type *type, sm_arena *a, sm_str *out, const char **why,
                           sm_error *e) SM_MUST_USE;

/* ---- a contract as text ---------------------------------------------------------------------- */

/**
 * Appends the model as a contract in YAML, of the standard's v3.1.0. Reading it gives the model
 * again, with its rules in the same order.
 *
 * Shape     A model that was made by hand must be one that a file can say: the rules of a column
 *           stand together, and those that are not under `quality` have one action
 * Owner     `a` is scratch; `out` has no bound and no budget
 */
void sm_contract_write(const sm_contract *c, sm_arena *a, sm_buf *out);
/** The hash of that text, as hex, in `a`: layout and comments of the file do not count. */
sm_str sm_contract_hash(const sm_contract *c, sm_arena *a);

/**
 * The tables that a rule speaks of, beside its own: those of its query, or the one that it refers
 * to. A name of one part is one of the contract's tables.
 *
 * Owner     *out lives in `a`, and borrows the rule
 * Errors    those of sm_query_tables(), with the place of the rule
 */
sm_status sm_rule_tables(const sm_contract *c, const sm_contract_table *table, const sm_rule *r,
                         sm_arena *a, sm_table_name **out, int32_t *n, sm_error *e) SM_MUST_USE;

/** Leaves out the rules over `{files}`, which only a run has, and notes them. In `a`. */
void sm_contract_leave_files(sm_contract *c, sm_arena *a);

/* ---- contracts that are made ----------------------------------------------------------------- */

/**
 * Proposes a contract of one table for rows that are there.
 *
 * Shape     `rows`: a plan of them. name: of the table; source: what they are called in the
 *           description. Proposed is what holds for all of them and is likely to hold for others
 *           (contract_infer.c); what was counted stands in the descriptions
 * Owner     *out lives in `a`; *report is the caller's (may be NULL): that of the pass over all
 *           rows
 * Errors    those of sm_exec_run()
 * Cost      a pass over 10,000 rows, one over all, and one for each column that may be unique or
 *           have few values
 */
sm_status sm_contract_infer(const sm_plan_node *rows, sm_str name, sm_str source,
                            const sm_exec_env *env, sm_arena *a, sm_contract **out,
                            sm_exec_report *report, sm_error *e) SM_MUST_USE;

/**
 * Makes a contract of a Patito model's JSON Schema, as model_json_schema() gives it.
 *
 * Shape     name: of the table, "": the model's. *notes: what of the schema is left out, without a
 *           place
 * Owner     *out and *notes live in `a`, and borrow nothing
 * Errors    SM_SYNTAX: no JSON, or no schema of an object with properties; SM_LIMIT: models within
 *           models, deeper than 16, as one that refers to itself is; over 10,000 fields
 */
sm_status sm_contract_import_patito(sm_str name, sm_str text, sm_arena *a, sm_contract **out,
                                    sm_contract_note **notes, int64_t *n_notes,
                                    sm_error *e) SM_MUST_USE;

/**
 * Makes a contract of the properties file of a dbt project (schema.yml).
 *
 * Shape     name: of the file, for messages. model: the only one that is wanted; "": a table for
 *           each model, seed, snapshot and table of a source. *notes: what of the tests and
 *           constraints is left out, or counts otherwise, with its place
 * Owner     *out and *notes live in `a`, and borrow neither text nor name
 * Errors    with their place: SM_SYNTAX: not YAML, no models, a model or column without a name;
 *           SM_NAME: no such model
 */
sm_status sm_contract_import_dbt(sm_str name, sm_str model, sm_str text, sm_arena *a,
                                 sm_contract **out, sm_contract_note **notes, int64_t *n_notes,
                                 sm_error *e) SM_MUST_USE;

/* ---- two versions of a contract -------------------------------------------------------------- */

/* Whom a change breaks. */
enum sm_change_breaks {
    SM_BREAKS_WRITERS = 1, /* rows that keep the old contract may break the new one */
    SM_BREAKS_READERS = 2, /* a query over the columns and types of the old one may fail */
};

typedef enum sm_change_kind {
    SM_CHANGE_ADDED,
    SM_CHANGE_REMOVED,
    SM_CHANGE_CHANGED
} sm_change_kind;

typedef struct sm_contract_change {
    sm_str table;
    sm_str name;      /* of the column, by its path, or of the rule; of a table its own */
    const char *what; /* "table", "column", "rule"; or the part of one that is another now */
    sm_change_kind kind;
    sm_str before, after; /* what stood there, and what does; "" where it is added or removed */
    unsigned breaks;      /* SM_BREAKS_…; 0: nobody */
} sm_contract_change;

typedef struct sm_contract_diff {
    const sm_contract *before, *after;
    sm_contract_change *changes; /* in the order of the old file, then what is new in that of the
                                  * new one; table by table */
    int64_t n_changes, n_breaking;
} sm_contract_diff;

/** What changed in tables, columns and rules. Texts for people, servers and the like are not looked
 * at. *out lives in `a`, and borrows both. */
void sm_contract_compare(const sm_contract *before, const sm_contract *after, sm_arena *a,
                         sm_contract_diff *out);

/* ---- contracts in other forms ---------------------------------------------------------------- */

typedef enum sm_contract_form {
    SM_FORM_JSON_SCHEMA, /* of a row; 2020-12 */
    SM_FORM_DDL,         /* CREATE TABLE, in DuckDB's dialect */
    SM_FORM_DELTA,       /* ALTER TABLE … ADD CONSTRAINT, in Spark's SQL */
} sm_contract_form;

/**
 * Appends a table of a contract in another form.
 *
 * Shape     *notes: what the form cannot say, by rule, with its place in the contract
 * Owner     *notes lives in `a`; `out` has no bound and no budget
 * Errors    SM_INVALID: the table has no columns; but for the JSON Schema those of
 *           sm_contract_bind() over the types that the contract says
 */
sm_status sm_contract_export(const sm_contract *c, const sm_contract_table *table,
                             sm_contract_form form, sm_arena *a, sm_buf *out,
                             sm_contract_note **notes, int64_t *n_notes, sm_error *e) SM_MUST_USE;

/**
 * The row rules of a table as constraints of a Delta table with these columns.
 *
 * Shape     pairs of a name and a condition in Spark's SQL, which is TRUE where the rule holds or
 *           is NULL. *notes: rules that cannot be one, as of sm_contract_export()
 * Owner     *out and *notes live in `a`
 * Errors    those of sm_contract_bind()
 */
sm_status sm_contract_constraints(const sm_contract *c, const sm_contract_table *table,
                                  const sm_type *schema, sm_arena *a, sm_pair **out, int32_t *n,
                                  sm_contract_note **notes, int64_t *n_notes,
                                  sm_error *e) SM_MUST_USE;

/* ---- rules over rows ------------------------------------------------------------------------- */

/* A row rule over a schema. */
typedef struct sm_bound_rule {
    const sm_rule *rule;
    const sm_expr *holds; /* BOOLEAN: a row breaks the rule where it is FALSE; NULL keeps it */
    int32_t column;       /* of the schema; for an action NULL the one that becomes NULL. −1: the
                           * rule is of no single column */
} sm_bound_rule;

/**
 * Makes the row rules of a table expressions over rows.
 *
 * Shape     schema: of the rows; it may have columns that the contract does not name. Rules in the
 *           order of the file; set rules are left out
 * Owner     *out lives in `a`, which the contract must outlive, and the schema too; `resolver` is
 *           asked for variables in users' expressions, NULL: there are none
 * Errors    with the place in the contract: SM_NAME: the schema has no such column, with the
 *           nearest; SM_TYPE: a column is not of the contract's logicalType, or of none that the
 *           rule can be of; SM_INVALID, SM_RANGE: a bound that no value of the column's type can
 *           be, a pattern that is none; those of sm_query_expr() for users' expressions
 */
sm_status sm_contract_bind(const sm_contract *c, const sm_contract_table *table,
                           const sm_type *schema, const sm_resolver *resolver, sm_arena *a,
                           sm_bound_rule **out, int64_t *n, sm_error *e) SM_MUST_USE;

/* ---- profiles -------------------------------------------------------------------------------- */

/* A bar of a histogram: the rows whose value is within its ends. */
typedef struct sm_histogram_bar {
    sm_str label;      /* "3", "10 to 19", "0.5 to below 1.0" */
    double start, end; /* of the bar in the drawing: 0 is its left end, 1 its right one */
    int64_t n_rows;
    int64_t n_beyond; /* of them, those that a bound of a rule excludes */
} sm_histogram_bar;

/* The bound of a rule in a histogram. */
typedef struct sm_histogram_mark {
    const sm_rule *rule;
    double place; /* as of bars; below 0 or over 1: outside of the drawing */
    bool is_low;  /* the rule's values lie right of it; else left */
} sm_histogram_mark;

/* How values, or the lengths of texts, are distributed. All counts are exact. */
typedef struct sm_histogram {
    bool is_length;         /* of texts, in code points */
    sm_str least, greatest; /* that there are; no NaN, no infinity */
    sm_str start, end;      /* what the ends of the drawing are */
    sm_histogram_bar *bars;
    int32_t n_bars;
    int64_t n_under, n_over; /* rows left and right of the bars: far beyond the bounds */
    sm_histogram_mark *marks;
    int32_t n_marks;
} sm_histogram;

/* A value with the number of its rows. */
typedef struct sm_frequent_value {
    sm_str text; /* cut where it is long */
    int64_t n_rows;
    bool is_broken; /* it breaks a rule of its column */
} sm_frequent_value;

/* The most frequent values: first those that keep the column's rules, then those that break one,
 * each by their number of rows. */
typedef struct sm_frequent {
    sm_frequent_value *values;
    int32_t n_values;
    int64_t n_rows;   /* that have a value and were counted */
    int64_t n_broken; /* of them, those whose value breaks a rule of the column */
    bool is_sample;   /* only the first rows were counted, as there are many values */
} sm_frequent;

/* What the values of a column look like. */
typedef struct sm_column_profile {
    sm_str type; /* as the rows have it */
    int64_t n_rows, n_null;
    int64_t n_odd;                 /* NaN and infinities */
    const sm_histogram *histogram; /* NULL: there is none to draw */
    const sm_frequent *frequent;   /* NULL: there are none to draw */
} sm_column_profile;

/* ---- verdicts -------------------------------------------------------------------------------- */

/* What was counted of a rule over some rows. */
typedef struct sm_rule_count {
    int64_t n_rows;   /* looked at: rows of the table; of a group rule its groups */
    int64_t n_broken; /* of them, those that break it; of rowCount and sql the verdict says it */
    int64_t n_mended; /* of rows that were written: those that it took away, or in which it made a
                       * value NULL; each counts at one rule */
    double measure;   /* of rowCount and sql: the number itself; NaN: it is NULL */
    sm_str worst;     /* of a rule with share_per that is broken: the value of the group with the
                       * largest share; else NULL, as where no row is left to be in one */
    int64_t worst_rows, worst_broken; /* in it, as n_rows and n_broken */
    sm_str *examples; /* of rows that break it: JSON objects, in the order of the rows */
    int32_t n_examples;
    sm_str detail;     /* what the measure comes from; of a rule that is not checked why; "" */
    bool is_unchecked; /* there was nothing to compare with */
} sm_rule_count;
#define SM_RULE_EXAMPLES 10 /* so many at most */

typedef enum sm_outcome {
    SM_OUTCOME_PASSED,
    SM_OUTCOME_WARNED,
    SM_OUTCOME_FAILED,
    SM_OUTCOME_UNCHECKED, /* of a rule alone */
} sm_outcome;

/* A rule, judged. */
typedef struct sm_rule_verdict {
    const sm_rule *rule;
    sm_rule_count count;
    double share; /* n_broken of n_rows, or those of the worst group, 0 to 1; of no rows 0 */
    sm_outcome outcome;
} sm_rule_verdict;

/* A table, judged. */
typedef struct sm_verdict {
    const sm_contract *contract;
    const sm_contract_table *table;
    sm_str
        name; /* of the table, as reports have it: the contract's, unless the caller sets another */
    int64_t n_rows;
    sm_rule_verdict *rules; /* table->n_rules, in the order of the file */
    int64_t n_failed, n_warned;
    int64_t n_quarantined; /* rows that rules took away as they were written */
    int64_t n_nulled;      /* values that became NULL then */
    sm_outcome outcome;    /* the worst of the rules */
    int64_t now_us;        /* the time that it is for */
    bool is_kept; /* it was kept from that time: nothing of the rows was read (contract_kept.c) */
    sm_str notes[2]; /* for the user: why a kept one was not taken, or it could not be kept; "" */
    const sm_column_profile *profile; /* one a column of the table; NULL: it was not asked for */
} sm_verdict;

/**
 * Judges what was counted over rows that are there and stay there.
 *
 * Shape     counts: one a rule of the table. A rule passes where the number or share of rows that
 *           break it is as its limit says. Else it fails; but it warns where its action is WARN, or
 *           where it has fail_above and no more rows than that break it
 * Owner     the verdict lives in `a`; it borrows the contract and the counts' examples
 */
sm_verdict *sm_contract_judge(const sm_contract *c, const sm_contract_table *table, int64_t n_rows,
                              const sm_rule_count *counts, sm_arena *a);
/** May rows of the table that others write or remove change what these rules say of a write? True
 * where a rule looks at several rows and does more than warn. */
bool sm_contract_is_of_table(const sm_contract_table *table);
/** Does more than rows and tables decide a verdict: the time, or earlier versions? */
bool sm_contract_depends_on_more(const sm_contract_table *table);
/** SM_OK, or SM_CONTRACT: the first rule that failed, with its place, and how many did. */
sm_status sm_verdict_status(const sm_verdict *v, sm_error *e) SM_MUST_USE;
/** "passed", "warned", "failed", "unchecked". */
const char *sm_outcome_name(sm_outcome o);
/** What a commit says of its verdict, an object in `a`: contract, version, hash (of the contract),
 * outcome, rows, and how many rows break each rule. */
sm_str sm_verdict_brief(const sm_verdict *v, sm_str hash, sm_arena *a);
/** Writes a verdict's rules into an open array, an object each: table, rule, kind, columns,
 * severity, action, rows, violations, share, worst, value, allowed, outcome, examples. */
void sm_verdict_json(const sm_verdict *v, sm_json_writer *w);
/** Appends a verdict as a table for people: a line a rule, then examples of rules that are broken,
 * then a line for all. */
void sm_verdict_print(const sm_verdict *v, sm_buf *out);
/** Appends "4 of 1,000 rows break it, 0 are allowed" for a rule that did not pass. */
void sm_rule_verdict_print(const sm_rule_verdict *v, sm_buf *out);

/* ---- audits ---------------------------------------------------------------------------------- */

/* What is to be audited. */
typedef struct sm_audit {
    const sm_contract *contract;
    const sm_contract_table *table;
    const sm_plan_node *rows; /* all rows of the table, a plan by calls */
    sm_resolver names;        /* what the SQL of rules names beside the contract's tables, and its
                               * variables */
    /* The rows of another table, by the name that the contract has for it; `{files}`: those that
     * the run has read, a row each. */
    sm_status (*other)(void *ctx, sm_str table, sm_arena *a, const sm_plan_node **out, sm_error *e);
    void *ctx; /* of other() and earlier() */
    const sm_exec_env *env;
    sm_exec_report *report; /* of the pass over all rows, which comes first; the caller's, also
                             * after a failure. NULL: it is not wanted */
    int64_t now_us;         /* the time that the audit is for; 0: the clock's */
    /* How many rows the table had in the versions before these rows, the newest first, n at most;
     * *out lives in `a`. NULL: it has no such versions. */
    sm_status (*earlier)(void *ctx, int32_t n, sm_arena *a, int64_t **out, int32_t *n_out,
                         sm_error *e);
} sm_audit;

/**
 * Counts, for each rule of a table, the rows that break it.
 *
 * Shape     *out: table->n_rules, in their order. All row rules are counted in one pass; each set
 *           rule, and the examples of each rule that is broken, are a pass of their own
 * Owner     *out lives in `a`; borrows `in`
 * Errors    those of sm_contract_bind; SM_TYPE with the rule's place: a column that cannot be
 *           grouped or compared, a query without one number; those of running a plan
 * Threads   blocks; not from a worker
 */
sm_status sm_contract_audit(const sm_audit *in, sm_arena *a, sm_rule_count **out, int64_t *n_rows,
                            sm_error *e) SM_MUST_USE;

/* An audit of rows that a plan of another purpose reads: of a view, while a table is made. */
typedef struct sm_audit_watch sm_audit_watch;

/**
 * Begins it. Its checks look at each row for the row rules, and search the keys of rules about
 * duplicates for those that come again.
 *
 * Shape     in->report is not used. side: a number that no other CHECK of the plan has. room_bytes:
 *           what its searches may take of the budget while the plan runs; one that needs more is
 *           given up
 * Owner     *out lives in `a`, and borrows `in`, which is copied, and what it points to;
 *           sm_audit_watch_free() it
 * Errors    those of sm_contract_bind()
 */
sm_status sm_audit_watch_new(const sm_audit *in, int32_t side, size_t room_bytes, sm_arena *a,
                             sm_audit_watch **out, sm_error *e) SM_MUST_USE;
/** Its checks, for sm_statement_watched(), which sets where they stand. */
sm_plan_watch *sm_audit_watch_plan(sm_audit_watch *w);
/**
 * What sm_contract_audit() gives, after an execution of the plan that has its CHECK.
 *
 * Shape     report: of that, which was not partial. Rules that need more than one look at each row,
 *           as of keys that may come again, and the worst groups of rules that are broken, are
 *           passes over in->rows as there
 * Owner     *counts lives in `a`
 * Errors    those of sm_contract_audit()
 */
sm_status sm_audit_watch_end(sm_audit_watch *w, const sm_exec_report *report, sm_arena *a,
                             sm_rule_count **counts, int64_t *n_rows, sm_error *e) SM_MUST_USE;
/** Gives back what its searches took. Takes NULL. */
void sm_audit_watch_free(sm_audit_watch *w);

/**
 * Looks at the values of a table's columns.
 *
 * Shape     *out: table->n_columns. Histograms have about 25 bars at most, with round ends.
 *           Values are counted over all rows, unless the first 10,000 have over 1,000 of them: then
 *           over the first 100,000 rows
 * Owner     *out lives in `a`; borrows the contract
 * Errors    those of sm_contract_bind(), of running a plan
 * Cost      two passes over all rows, one over the first 10,000, and one for each column whose
 *           values are counted
 */
sm_status sm_contract_profile(const sm_audit *in, sm_arena *a, const sm_column_profile **out,
                              sm_error *e) SM_MUST_USE;

/* ---- pages ----------------------------------------------------------------------------------- */

/* A table on a page. */
typedef struct sm_page_table {
    const sm_verdict *verdict;
    sm_str uri; /* of its rows */
} sm_page_table;

/**
 * Appends a page in HTML that shows the verdicts of one table, or of all tables of a run.
 *
 * Shape     a whole document, for a screen of any width. It needs no other resource and no script.
 *           Where a verdict has a profile, what the columns look like is drawn beside their rules.
 *           title: of a run, which `told` says more of; "": the page is of its only table
 * Owner     `out` has no bound and no budget
 */
void sm_verdict_page(sm_str title, sm_str told, const sm_page_table *tables, int32_t n,
                     sm_buf *out);

/* ---- rows that are written ------------------------------------------------------------------- */

/* The rows of one write, guarded by the rules of its table. Made before the write, which runs its
 * plan; then it judges what the write has staged. */
typedef struct sm_guard sm_guard;

/* What is to be guarded. */
typedef struct sm_guarded {
    const sm_contract *contract;
    const sm_contract_table *table;
    const sm_plan_node *rows;  /* that are to be written */
    const sm_plan_node *stays; /* rows of the table that stay beside them, with columns of the same
                                * names and types in any order; NULL: none do */
    size_t room_bytes;  /* what searches of keys that come again may take of the budget while the
                        * rows are written; 0: there are none, for the rows are not written as they
                        * are, and beside them rows may be that do not stay */
    int32_t first_side; /* the guard's side outputs are numbered from here on */
    sm_resolver names;  /* as of sm_audit, and other() and ctx too */
    sm_status (*other)(void *ctx, sm_str table, sm_arena *a, const sm_plan_node **out, sm_error *e);
    void *ctx;
    const sm_exec_env *env;
    bool writes_as_is; /* what is left of the rows is written as it is, each once */
    /* As of sm_audit: of the table before these rows are written. */
    sm_status (*earlier)(void *ctx, int32_t n, sm_arena *a, int64_t **out, int32_t *n_out,
                         sm_error *e);
} sm_guarded;

/**
 * Puts the rules of a table around a plan of rows that are to be written.
 *
 * Method    First what the contract makes of the rows: values that are derived, defaults for NULL,
 *           casts. Then the row rules, as one CHECK. Then each set rule with the action QUARANTINE
 *           or NULL, over the rows that remain and those that stay, as one more. Set rules that
 *           FAIL or WARN are audited behind the pass, over what it staged
 * Owner     *out lives in `a`, sm_guard_free() it; borrows `in`, which is copied, and what it
 *           points to
 * Errors    those of sm_contract_bind(); SM_INVALID with the rule's place: an action that a rule of
 *           its kind cannot have
 */
sm_status sm_guard_new(const sm_guarded *in, sm_arena *a, sm_guard **out, sm_error *e) SM_MUST_USE;
void sm_guard_free(sm_guard *g); /* gives back what its searches took; takes NULL */
/** The rows that are left to write: the plan to run in the place of `rows`. */
const sm_plan_node *sm_guard_rows(const sm_guard *g);
/** How many side outputs it has: those that a row may leave by, from first_side on. 0: none of its
 * rules quarantines. */
int32_t sm_guard_sides(const sm_guard *g);
/** How many numbers of side outputs it takes, from first_side on: also those of CHECK nodes that no
 * row leaves by. Another guard in the same plan is numbered behind them. */
int32_t sm_guard_checks(const sm_guard *g);
/** The columns of the rows that leave by side output first_side <= side < first_side +
 * sm_guard_sides(): those of the rows as they are written, then INTEGER "check". */
const sm_type *sm_guard_leaves(const sm_guard *g, int32_t side);
/** How many rules a row may leave by into side output i. */
int32_t sm_guard_rules(const sm_guard *g, int32_t side);
/** The rule by which a row left; check: its value of "check", below sm_guard_rules(). */
const sm_rule *sm_guard_rule(const sm_guard *g, int32_t side, int32_t check);
/* The rows of a write that was staged, each as a plan by calls. */
typedef struct sm_guard_staged {
    const sm_plan_node *table; /* all that the table will have */
    const sm_plan_node
        *written;              /* those of them that this write adds; the same node: it adds all */
    const sm_plan_node *stays; /* all others; NULL: it is not known which they are */
} sm_guard_staged;
/**
 * Judges the write: takes the counts of the pass, and audits the other rules.
 *
 * Shape     report: of the run of sm_guard_rows(). References are audited over the
 *           written rows, other set rules over the table, where rows count as duplicates only if
 *           one that was written has their key. A rule whose action is
 *           QUARANTINE or NULL warns where it took rows away or changed them, and fails where they
 *           were more than its fail_above, or a limit other than `mustBe: 0`, allows.
 *           Behind the file's rules the verdict has one for each column that is cast, "column:cast"
 * Owner     the verdict lives in `a`; it borrows the contract
 * Errors    those of sm_contract_audit()
 */
sm_status sm_guard_judge(const sm_guard *g, const sm_exec_report *report,
                         const sm_guard_staged *rows, sm_arena *a, sm_verdict **out,
                         sm_error *e) SM_MUST_USE;

/**
 * How many rows a Delta table had in the versions before one, for sm_audit.earlier.
 *
 * Shape     *out: the newest first, n at most. Versions that only change the table's metadata or
 *           its files are left out, and those whose files do not say how many rows they have
 * Owner     *out lives in `a`
 *           Of a folder without a table there are none
 * Errors    those of sm_snapshot_open_head(), but for versions that are no longer there
 * Cost      one listing of the log, and for each version a request and the opening of a snapshot
 */
sm_status sm_contract_earlier(sm_store *table, int64_t before, int32_t n, sm_budget *budget,
                              sm_arena *a, int64_t **out, int32_t *n_out, sm_error *e) SM_MUST_USE;

/* Where a check finds its rows. */
typedef struct sm_checked_rows {
    const sm_contract *contract;
    const sm_contract_table *table;
    sm_str uri;            /* a Delta table, a file, a pattern; or candidate.layer.table */
    sm_str lake;           /* of layer.table in SQL; "": the folder two above uri */
    const sm_pair *others; /* where other tables are: name, URI. One that is not among them lies
                            * where its physicalName says (contract_check.c) */
    int32_t n_others;
    const sm_pair *vars; /* of var('name') in SQL, as texts */
    int32_t n_vars;
    int64_t now_us;     /* the time that the check is for; 0: the clock's */
    bool wants_profile; /* of the columns, for a page */
    bool keeps;         /* the verdict of a Delta table is kept beside it, and taken from there */
    const sm_type *columns; /* that the files at uri have; NULL: as they are found in them */
} sm_checked_rows;

/**
 * Audits the rows at a URI against a table of a contract, and judges them. Writes nothing but the
 * verdict, where in->keeps: of a table that has not changed, the next check takes it from there.
 *
 * Owner     *out lives in `a`
 * Errors    those of reading the URI, of sm_contract_audit
 */
sm_status sm_contract_check(const sm_checked_rows *in, const sm_exec_env *env, sm_arena *a,
                            sm_verdict **out, sm_error *e) SM_MUST_USE;

/* Rows of a table that were judged as they were written, by a guard, and have been published. */
typedef struct sm_written_rows {
    const sm_verdict *verdict;
    sm_str uri;                /* of the table */
    int64_t version;           /* that they became */
    const sm_delta_add *files; /* that have them, as the guard's plan gave them, and no others */
    int64_t n_files;
    bool are_all; /* the table's set rules were judged over these alone */
    /* Was this version of another table judged with them? A rule may have read it. */
    bool (*was_read)(void *ctx, sm_str table_id, int64_t version);
    void *ctx;
} sm_written_rows;

/**
 * Keeps of such rows what the next sm_contract_check() of the table would count: that no row of
 * these files breaks a row rule, and where they are all, the whole verdict.
 *
 * Shape     *notes: as of sm_verdict; "" where nothing could be known, as where a rule has another
 *           meaning for a check, or somebody has changed the table since
 * Owner     *notes lives in `a`
 * Errors    those of reading the table's log
 * Cost      the table's log, and at most one object read and two written
 */
sm_status sm_contract_keep(const sm_written_rows *in, const sm_exec_env *env, sm_arena *a,
                           sm_str notes[2], sm_error *e) SM_MUST_USE;

/* ---- rows that are made up ------------------------------------------------------------------- */

/* Which rows are wanted. */
typedef struct sm_example_order {
    const sm_contract *contract;
    const sm_contract_table *table;
    int64_t n_rows; /* 1 at least */
    uint64_t seed;  /* the same seed, contract and n_rows give the same rows */
    sm_str broken;  /* the name of a row rule that each row breaks, and no other; "": none */
} sm_example_order;

typedef struct sm_example {
    sm_str text;             /* the rows, as NDJSON */
    sm_contract_note *notes; /* where a check of them would not pass, with the place of the rule */
    int64_t n_notes;
} sm_example;

/**
 * Makes rows that keep all rules of a table, of types that the contract says.
 *
 * Shape     Rows of a table that others refer to are the same, by its seed, as where they are made
 *           for themselves. The rows were checked by sm_contract_check(); where that cannot be, it
 *           is noted
 * Owner     *out lives in `a`
 * Errors    SM_LIMIT with the rule's place: no more rows are found that keep it, or break it;
 *           SM_UNSUPPORTED: a pattern that no text can be made of, a rule that no single row
 *           breaks; SM_NAME: no such rule; SM_INVALID: a table without columns; those of
 *           sm_contract_bind() and sm_contract_check()
 */
sm_status sm_contract_example(const sm_example_order *in, const sm_exec_env *env, sm_arena *a,
                              sm_example *out, sm_error *e) SM_MUST_USE;

#endif
