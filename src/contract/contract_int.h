/* SPDX-License-Identifier: Apache-2.0
 *
 * contract/contract_int.h: what the files of the contract room share: a contract while it is read,
 * and the words of rules. */
#ifndef SM_CONTRACT_INT_H
#define SM_CONTRACT_INT_H

#include "base/hash_set.h"
#include "base/map.h"
#include "contract/contract.h"

/* ---- a contract while it is read (contract_read.c) ----------------------------------------- */

typedef struct smi_reading {
    sm_contract *c;
    const sm_yaml_doc *d; /* of c */
    sm_arena *arena;
    bool is_old;              /* v3.0: exclusive bounds are flags beside the bound */
    sm_contract_table *table; /* the one that is read */
    const sm_yaml *sla;       /* slaProperties; NULL: there are none */
    sm_str sla_element;       /* slaDefaultElement; "" */
    int64_t n_schema;         /* tables that the file has */
    const sm_yaml **nodes;    /* of its columns */
    sm_map *tables;           /* names in lower case that are taken */
    sm_map *columns;          /* paths in lower case -> the column's number, plus one */
    int64_t cap_columns, cap_nodes, cap_rules, cap_notes;
} smi_reading;

/* Where smelt's own words stand, as flags. */
typedef enum smi_custom_place {
    SMI_NOWHERE = 0, /* where none has an effect: each is refused */
    SMI_AT_TABLE = 1,
    SMI_AT_PROPERTY = 2,
    SMI_AT_RULE = 4,
} smi_custom_place;

/* smelt's own words at a table, a property or a rule; {0}: the file says nothing. */
typedef struct smi_custom {
    bool has_action, has_fail_above, has_share_per;
    sm_policy action;
    sm_yaml_place action_at;
    sm_rule_limit fail_above;
    int32_t share_per;
    sm_yaml_place fail_above_at, share_at;
    /* of a property alone; casts of a table too */
    sm_str derive, default_text;
    bool has_default, has_casts, casts;
    sm_yaml_place made_at; /* of the last of these */
} smi_custom;

/** Reads smelt's words of a list of customProperties (may be NULL) into *out, over what is there.
 * SM_NAME: none of smelt's words; SM_INVALID: its value, or it does not stand in such a place. */
sm_status smi_read_custom(const smi_reading *r, const sm_yaml *list, smi_custom_place place,
                          smi_custom *out, sm_error *e) SM_MUST_USE;
/** Sets what smelt's words at a property, and at its table, say is made of the column's values.
 * type_at: the place of its physicalType. SM_INVALID, SM_SYNTAX: it cannot be. */
sm_status smi_column_made(const smi_reading *r, sm_contract_column *c, sm_yaml_place type_at,
                          const smi_custom *of_table, const smi_custom *custom,
                          sm_error *e) SM_MUST_USE;
/** Adds a rule to the table that is read. SM_INVALID: its action cannot be done. */
sm_status smi_rule_add(smi_reading *r, const sm_rule *rule, const smi_custom *custom,
                       sm_error *e) SM_MUST_USE;
/** Sets rule->text, as what the kind of rule is given. SM_INVALID: it cannot be that. */
sm_status smi_rule_argument(const smi_reading *r, sm_rule *rule, const sm_yaml *value,
                            sm_error *e) SM_MUST_USE;
/** The name of a rule that has none of its own: "column:rule", of several columns "a,b:rule". */
sm_str smi_rule_default_name(const sm_contract_table *t, const sm_rule *rule, sm_arena *a);
/** The standard's words for logicalType; "" for none. */
extern const sm_str smi_logical_words[SM_LOGICAL_BOOLEAN + 1];
/** Adds a note. */
void smi_note(smi_reading *r, sm_yaml_place at, sm_str text);
/** Notes that something of a column is not checked. */
void smi_note_unchecked(smi_reading *r, sm_yaml_place at, const char *what, int32_t column);
/** The column of a path. SM_NAME with the nearest. */
sm_status smi_find_column(const smi_reading *r, const sm_yaml *path, int32_t *out,
                          sm_error *e) SM_MUST_USE;
/** The columns of a list of paths, or of one path, into the rule. SM_NAME with the nearest; `what`
 * names the list in messages. */
sm_status smi_find_columns(const smi_reading *r, const sm_yaml *paths, const char *what,
                           sm_rule *rule, sm_error *e) SM_MUST_USE;
/** A plain word of YAML that stands for no value. */
static inline bool smi_is_null_word(sm_str text)
{
    return text.len == 0 || sm_str_is(text, "~") || sm_str_is(text, "null");
}

/** true or false. SM_INVALID. */
sm_status smi_read_bool(const smi_reading *r, const sm_yaml *n, const char *what, bool *out,
                        sm_error *e) SM_MUST_USE;
/** A number of the file: no NaN, no infinity. SM_INVALID. */
sm_status smi_read_number(const smi_reading *r, const sm_yaml *n, const char *what, double *out,
                          sm_error *e) SM_MUST_USE;
/** Reads the logicalTypeOptions of a column; `at`: of their key. `custom`: of the property. */
sm_status smi_read_options(smi_reading *r, const sm_yaml *node, sm_yaml_place at, int32_t column,
                           const smi_custom *custom, sm_error *e) SM_MUST_USE;
/** Reads the relationships of a column, or with −1 of the table. */
sm_status smi_read_relationships(smi_reading *r, const sm_yaml *list, sm_yaml_place at,
                                 int32_t column, const smi_custom *custom, sm_error *e) SM_MUST_USE;
/** Makes a rule one of freshness. text: a number; unit: of time, as the standard has it.
 * SM_INVALID: no number above 0; SM_NAME: no unit. */
sm_status smi_read_age(const smi_reading *r, sm_rule *rule, sm_str text, sm_str unit,
                       sm_yaml_place at, sm_error *e) SM_MUST_USE;
/** Adds the rules that `slaProperties` has for a column. `custom`: of the property. */
sm_status smi_read_sla(smi_reading *r, int32_t column, const smi_custom *custom,
                       sm_error *e) SM_MUST_USE;
/** Notes which of slaProperties are not checked. SM_NAME: one is of a column that is not there. */
sm_status smi_check_sla(smi_reading *r, sm_error *e) SM_MUST_USE;
/** Reads the quality rules of a column, or with −1 of the table. `custom`: of the property. */
sm_status smi_read_quality(smi_reading *r, const sm_yaml *list, sm_yaml_place at, int32_t column,
                           const smi_custom *custom, sm_error *e) SM_MUST_USE;

/* ---- a contract that is made (contract_make.c) ----------------------------------------------- */

typedef struct smi_making {
    sm_contract_table *t;
    sm_arena *a;
    int64_t cap_columns, cap_rules;
} smi_making;

/** Begins a contract of one table of that name, a draft; both live in `a`. */
sm_contract *smi_make_contract(smi_making *m, sm_str name, sm_arena *a);
/** Adds a column, or a field of the column `parent`; returns its number. Borrows the name. */
int32_t smi_make_column(smi_making *m, sm_str name, int32_t parent, sm_logical_type logical);
/** What the standard calls a type; NONE: it has no word for it. */
sm_logical_type smi_logical_of(const sm_type *t);
/** Adds a rule of a column, or with −1 of the table, by its default name. Good until the next
 * call. */
sm_rule *smi_make_rule(smi_making *m, sm_rule_kind kind, int32_t column);

/* ---- what the values of columns are (contract_facts.c) --------------------------------------- */

/* The aggregates of one pass over rows, while they are gathered. */
typedef struct smi_items {
    const sm_exec_env *env;
    sm_arena *a;
    sm_agg_item *items;
    int32_t n;
    int64_t cap;
} smi_items;

/** Begins the items of another pass. */
void smi_items_begin(smi_items *m);
/** Adds an aggregate of x (NULL: of rows), over the rows for which `filter` (NULL: all) is true;
 * *at: its column in the row that the pass gives. Errors: those of sm_expr_call(). */
sm_status smi_items_add(smi_items *m, const char *name, const sm_expr *x, const sm_expr *filter,
                        int32_t *at, sm_error *e) SM_MUST_USE;
/** Runs the pass. *out is the caller's: one row, a column an item. */
sm_status smi_items_run(const smi_items *m, const sm_plan_node *rows, sm_batch **out,
                        sm_exec_report *report, sm_error *e) SM_MUST_USE;
/** A BIGINT of the one row; 0 for NULL. */
int64_t smi_whole_at(const sm_batch *row, int32_t column);
/** The condition that a value is neither NaN nor infinite; NULL: no value of its type is. Errors:
 * those of sm_expr_call(). */
sm_status smi_is_finite(const sm_expr *x, sm_arena *a, const sm_expr **out,
                        sm_error *e) SM_MUST_USE;
/** Appends a value, cut where it has more than so many bytes. */
void smi_print_short(sm_value v, size_t most_bytes, sm_buf *out);

/* ---- a table in another form (contract_export.c) --------------------------------------------- */

/** The type that the contract says of a column: its fields, or its physicalType where smelt can
 * read it, or by its logicalType and format. In `a`. */
const sm_type *smi_column_type(const sm_contract_table *t, int32_t column, sm_arena *a);
/** A struct of the columns that lie in `parent` (−1: in the table), by smi_column_type(); YAML
 * bounds the depth. In `a`. */
const sm_type *smi_contract_schema(const sm_contract_table *t, int32_t parent, sm_arena *a);

typedef struct smi_exporting {
    const sm_contract *c;
    const sm_contract_table *t;
    const sm_type *schema; /* of its rows, by the types that the contract says */
    sm_arena *a;
    sm_buf *out;
    sm_contract_note *notes; /* rules that the form cannot say */
    int64_t n_notes, cap_notes;
} smi_exporting;

/** Notes that the form cannot say the rule. */
void smi_unsaid(smi_exporting *x, const sm_rule *r, const char *why);
/** May no row break the rule? Else that is noted, for no form can say it. */
bool smi_is_strict(smi_exporting *x, const sm_rule *r);
/** Appends the JSON Schema of a row (contract_schema.c). */
void smi_export_schema(smi_exporting *x);

/* ---- the words of formats (contract_format.c) ------------------------------------------------ */

/* A format of texts. */
typedef struct smi_text_format {
    sm_str word;
    sm_str pattern; /* for the whole text; "": it only describes, and is not checked */
} smi_text_format;
extern const smi_text_format smi_text_formats[];
extern const int32_t smi_n_text_formats;

/** The condition that a text is of that format, or NULL. The first format is `date`, whose day must
 * be one that there is. Errors: those of sm_expr_call(). */
sm_status smi_text_format_holds(const smi_text_format *f, const sm_expr *c, sm_arena *a,
                                const sm_expr **out, sm_error *e) SM_MUST_USE;

/* A format of integers; its range as DECIMAL(38,0), or no bound at all. */
typedef struct smi_integer_format {
    sm_str word;
    sm_i128 least, greatest;
    bool has_least, has_greatest;
} smi_integer_format;
extern const smi_integer_format smi_integer_formats[];
extern const int32_t smi_n_integer_formats;

#define SMI_BITS(n) ((sm_i128)1 << (n)) /* 2 to the power of n < 127 */

/* ---- texts that are made up (contract_example_text.c) ---------------------------------------- */

/* A sequence of numbers that looks like chance, and is the same for the same state. */
typedef struct smi_random {
    uint64_t state;
} smi_random;

/** From least to greatest, both included. */
int64_t smi_random_between(smi_random *r, int64_t least, int64_t greatest);
/** Appends a text that most likely matches a regular expression; what is repeated without an end is
 * repeated so often that `length` characters may come of it. Returns why no text can be made, or
 * NULL. */
const char *smi_pattern_example(sm_str text, int64_t length, smi_random *r, sm_buf *out);
/** Appends a word of so many letters. */
void smi_word_example(int64_t least, int64_t greatest, smi_random *r, sm_buf *out);
/** Appends a text of one of the formats of texts. */
void smi_format_example(sm_str word, smi_random *r, sm_buf *out);

/* ---- columns over a schema (contract_rule.c) ------------------------------------------------- */

/** The columns of a table as expressions over a schema, table->n_columns of them in `a`. Errors as
 * sm_contract_bind() has them of columns. */
sm_status smi_bind_columns(const sm_contract *c, const sm_contract_table *table,
                           const sm_type *schema, sm_arena *a, const sm_expr ***out,
                           sm_error *e) SM_MUST_USE;

/** The bound of a rule, for comparisons with values of that type. Errors: it is none. */
sm_status smi_bind_bound(const sm_contract *c, const sm_rule *r, const sm_type *schema,
                         const sm_type *type, sm_arena *a, const sm_expr **out,
                         sm_error *e) SM_MUST_USE;

/* ---- texts of a verdict (contract_verdict.c) ------------------------------------------------- */

/** Does the rule stand in slaProperties, and not at its column? */
static inline bool smi_is_sla(const sm_rule *r)
{
    return r->kind == SM_RULE_FRESHNESS && !r->is_quality;
}
/** Is the rule of a number of the whole table, and not of rows? */
bool smi_is_whole(sm_rule_kind kind);
/** Appends what a rule allows: "< 5%", or where it does less than fail "0, fails > 0.1%". */
void smi_print_allowed(const sm_rule *r, sm_buf *out);
/** Appends the share of rows that break a rule; never 0% or 100% of what is neither. */
void smi_print_share(const sm_rule_count *c, sm_buf *out);
/** Appends the number of a rule of the whole table. */
void smi_print_measure(const sm_rule *r, double v, sm_buf *out);

/* ---- a page (contract_page.c, contract_page_draw.c) ------------------------------------------ */

/* A page while it is written. */
typedef struct smi_html {
    sm_buf *out;
    int32_t n_ids; /* that elements have so far */
} smi_html;

/** Appends HTML of the page's own. */
void smi_html_put(smi_html *h, const char *html);
/** Appends "12,345". */
void smi_html_count(smi_html *h, int64_t n);
/** Appends "1 row", "12,345 rows". */
void smi_html_counted(smi_html *h, int64_t n, const char *one);
/** Appends a text of the data or the contract, so that it is only text: characters that HTML takes
 * for its own are escaped, and those that cannot be seen or change the order of others (controls,
 * bidirectional marks) are spelled out, as \u202e. */
void smi_html_text(sm_buf *out, sm_str s);
/** The same, of as much as is `most` letters wide at most, with an ellipsis where there is more. */
void smi_html_short(sm_buf *out, sm_str s, int64_t most);
/** Draws what a column looks like, and adds its numbers as tables. `name`: of the column. */
void smi_html_draw(smi_html *h, sm_str name, const sm_column_profile *p);

#define SMI_MOST_VERSIONS 1000 /* that `volume` looks back */

/* ---- an audit (contract_audit.c) ------------------------------------------------------------- */

/* Columns of an example: what a plan gives, and the key of each in JSON. */
typedef struct smi_picks {
    const sm_expr **exprs;
    sm_str *names;
    int32_t n, cap;
} smi_picks;

/* What the plans of an audit share. */
typedef struct smi_audit smi_audit;
struct smi_audit {
    const sm_audit *in;
    sm_arena *a;
    const sm_expr **columns;   /* of the table, over the rows */
    const sm_plan_node *added; /* of the rows, those that a write adds: duplicates count only of
                                * them; NULL: of all */
    const sm_plan_node *from;  /* the plan that has written all of the rows, each as it is, with
                                * columns of the same names; NULL: it is not known */
    int64_t n_rows;
    struct smi_search **searches; /* one a rule: of its keys; NULL: none was begun */
    sm_rule_count *counts;        /* one a rule */
    sm_exec_report *report;       /* of the plan that is executed; NULL: not wanted */
    /* For smi_audit_all(): counts the row rules in another way than sm_contract_audit() does, by
     * one pass over in->rows; sets n_rows, and of each rule what such a pass gives. */
    sm_status (*count)(smi_audit *u, const sm_bound_rule *rules, int64_t n, sm_error *e);
    /* Of a rule about duplicates, whose key is n exprs: sets *is_none where no key comes twice, or
     * else *rows to fewer ones that have all whose key may. NULL: it is not known. */
    sm_status (*narrow)(smi_audit *u, const sm_expr *const *exprs, int32_t n,
                        const sm_plan_node **rows, bool *is_none, sm_error *e);
    void *ctx; /* of count() and narrow() */
};

/** Counts all rules; `in`, `a`, count() and narrow() are set. Sets n_rows and counts. */
sm_status smi_audit_all(smi_audit *u, sm_error *e) SM_MUST_USE;

/** Runs a plan that gives one row of `n` BIGINTs; NULL counts as 0. */
sm_status smi_audit_numbers(const smi_audit *u, const sm_plan *plan, int64_t *out, int32_t n,
                            sm_error *e) SM_MUST_USE;
/** Runs a plan of ten rows at most, which become the examples of a rule; names: one a column. */
sm_status smi_audit_examples(const smi_audit *u, const sm_plan *plan, const sm_str *names,
                             sm_rule_count *out, sm_error *e) SM_MUST_USE;
/** Adds rows of a batch as the examples of a rule; `u` and the rule are over its columns. */
sm_status smi_audit_show(smi_audit *u, const sm_bound_rule *b, const sm_batch *rows,
                         sm_rule_count *out, sm_error *e) SM_MUST_USE;
/** The different values of expressions over a plan, none of them NULL: a column each. */
sm_status smi_audit_different(smi_audit *u, const sm_plan_node *in, const sm_expr *const *exprs,
                              int32_t n, const sm_plan_node **out, sm_error *e) SM_MUST_USE;
/** The different values that a reference may have: a plan of the rule's columns. */
sm_status smi_audit_target(smi_audit *u, const sm_rule *r, const sm_plan_node **out,
                           sm_error *e) SM_MUST_USE;
/** Looks for the keys of rows among different values, none of them NULL. *out: left's columns, and
 * what stands behind them does not matter; *found: BOOLEAN over them, is the row's key there? */
sm_status smi_audit_look_up(smi_audit *u, const sm_plan_node *left, const sm_expr *const *keys,
                            int32_t n, const sm_plan_node *right, const sm_plan_node **out,
                            const sm_expr **found, sm_error *e) SM_MUST_USE;
/** What examples of a row rule show, over in->rows: the key, and what the rule is about. None: it
 * is a constant, and no row says why. */
smi_picks smi_audit_picks(smi_audit *u, const sm_bound_rule *b);
/** Adds the first rows of a plan that break a row rule, `most` of them, as its examples. The plan's
 * first columns are those of in->rows. */
sm_status smi_audit_show_first(smi_audit *u, const sm_bound_rule *b, const sm_plan_node *rows,
                               int32_t most, sm_rule_count *out, sm_error *e) SM_MUST_USE;
/** Marks the columns of the rows that examples of a row rule show. */
void smi_audit_shown(smi_audit *u, const sm_bound_rule *b, bool *used);
/** The worst group of u->in->rows, if the row rule has smelt.sharePer. */
sm_status smi_audit_share(smi_audit *u, const sm_bound_rule *b, sm_rule_count *out,
                          sm_error *e) SM_MUST_USE;
/** Of `rows` those whose key lies between the least and the greatest of the rows that a write adds,
 * or a little further. keys: of the rule, over `rows`; added: the same over u->added. */
sm_status smi_audit_between(smi_audit *u, const sm_rule *r, const sm_expr *const *keys,
                            const sm_expr **added, const sm_plan_node **rows,
                            sm_error *e) SM_MUST_USE;
/** The number of rows of a plan. */
sm_status smi_audit_count(smi_audit *u, const sm_plan_node *in, int64_t *out,
                          sm_error *e) SM_MUST_USE;
/** Counts the rows, of u->n_rows, that break a set rule, and finds its examples. Errors have the
 * rule's place. */
sm_status smi_audit_set_rule(smi_audit *u, const sm_rule *r, sm_error *e) SM_MUST_USE;
/** smi_audit_set_rule() for each of them. */
sm_status smi_audit_sets(smi_audit *u, sm_error *e) SM_MUST_USE;
/** Adds the place of a rule in the contract to an error, and its name; returns st. */
sm_status smi_at_rule(const sm_contract *c, const sm_rule *r, sm_status st,
                      sm_error *e) SM_MUST_USE;
/** Counts groups, and those that break the rule's condition (contract_audit_sql.c). */
sm_status smi_audit_group(smi_audit *u, const sm_rule *r, sm_rule_count *out,
                          sm_error *e) SM_MUST_USE;
/** The unit of a rule's age, in microseconds (contract_audit_past.c). */
double smi_age_unit_us(const sm_rule *r);
/** The age of the newest value of a column (contract_audit_past.c). */
sm_status smi_audit_freshness(smi_audit *u, const sm_rule *r, sm_rule_count *out,
                              sm_error *e) SM_MUST_USE;
/** By how many percent there are more rows than in earlier versions (contract_audit_past.c). */
sm_status smi_audit_volume(smi_audit *u, const sm_rule *r, sm_rule_count *out,
                           sm_error *e) SM_MUST_USE;
/** Asks for all that a set rule reads beside the rows of the table, as an audit of it does, and
 * runs nothing (contract_audit_sql.c). */
sm_status smi_audit_ask(smi_audit *u, const sm_rule *r, sm_error *e) SM_MUST_USE;
/** The number of a rule's query (contract_audit_sql.c). */
sm_status smi_audit_query(smi_audit *u, const sm_rule *r, sm_rule_count *out,
                          sm_error *e) SM_MUST_USE;

/* ---- shares of groups (contract_share.c) ----------------------------------------------------- */

/** Finds the worst group of rows by r->share_per; `broken`: BOOLEAN over `rows`, whose first
 * columns are those that `u` is over. */
sm_status smi_share_rows(smi_audit *u, const sm_rule *r, const sm_plan_node *rows,
                         const sm_expr *broken, sm_rule_count *out, sm_error *e) SM_MUST_USE;
/** The same for duplicates among u->in->rows. twice: the keys of the rule that more than one row
 * has, and how many rows. */
sm_status smi_share_unique(smi_audit *u, const sm_rule *r, const sm_plan_node *twice,
                           sm_rule_count *out, sm_error *e) SM_MUST_USE;

/* ---- keys that may come more than once (contract_repeats.c) ---------------------------------- */

/* A search for keys that may come more than once, among all rows or for a start among those that
 * pass by in a plan of another purpose. */
typedef struct smi_search smi_search;
/** most_bytes: what it may take of the budget while rows pass by. Lives in `a`; smi_search_free()
 * it. */
smi_search *smi_search_new(const sm_exec_env *env, size_t most_bytes, sm_arena *a);
/** UBIGINT: the hash of a row's key; NULL where a part of the key is. */
const sm_expr *smi_search_hash(const sm_expr *const *keys, int32_t n_keys, sm_arena *a);
/** BOOLEAN: TRUE for each row, whose hash the search then has, unless it is NULL. `hash`: a column
 * of the rows that take it, for what is computed of one column is computed once for its equal
 * values. Any thread. */
const sm_expr *smi_search_take(smi_search *s, const sm_expr *hash, sm_arena *a);
/** Rows beside those that have passed, until the end. Blocks; not from a worker. Errors: those of
 * running a plan. */
sm_status smi_search_add(smi_search *s, const smi_audit *u, const sm_plan_node *in,
                         const sm_expr *const *keys, int32_t n_keys, sm_error *e) SM_MUST_USE;
/** When all rows have passed, and again. Where this is not called, none did. SM_INTERRUPTED. */
sm_status smi_search_end(smi_search *s, sm_error *e) SM_MUST_USE;
/**
 * Finds which keys of rows may come more than once: all that do, and few others.
 *
 * Shape     in: the rows, those that have passed among them; it reads them only for what it could
 *           not keep of these. Keys with NULL are none
 * Errors    those of running a plan; where memory is refused, nothing is known, and it is SM_OK
 * Threads   blocks; not from a worker
 */
sm_status smi_search_find(smi_search *s, const smi_audit *u, const sm_plan_node *in,
                          const sm_expr *const *keys, int32_t n_keys, sm_error *e) SM_MUST_USE;
/** Is it certain that no key comes more than once? Before find() too. */
bool smi_search_none(const smi_search *s);
/** The rows of `in` whose keys may come more than once, after find(); *out borrows the search. */
sm_status smi_search_only(const smi_search *s, const sm_plan_node *in, const sm_expr *const *keys,
                          int32_t n_keys, sm_arena *a, const sm_plan_node **out,
                          sm_error *e) SM_MUST_USE;
void smi_search_free(smi_search *s); /* gives back what it took; takes NULL */

/* The searches of a table's rules about duplicates (contract_searches.c). */
typedef struct smi_searches {
    const sm_contract_table *table;
    smi_search **of_rule; /* one a rule of the table; NULL: it has none */
    int32_t n;
    const sm_rule **rules;  /* the n that have one */
    const sm_expr **hashes; /* of their keys, over the rows of the audit */
} smi_searches;
/** Begins them, over u->columns. of_mending: also for rules with the action QUARANTINE or NULL.
 * room_bytes: what they may take together while rows pass by. */
void smi_searches_begin(smi_searches *s, const smi_audit *u, bool of_mending, size_t room_bytes);
/** The rows, and behind their columns a hash for each search. */
const sm_plan_node *smi_searches_rows(const smi_searches *s, const sm_plan_node *rows, sm_arena *a);
/** BOOLEAN: TRUE for each row, whose hash search i then has. rows: whose last columns are the
 * hashes. */
const sm_expr *smi_searches_take(const smi_searches *s, int32_t i, const sm_type *rows,
                                 sm_arena *a);
/** When all rows have passed: smi_search_end() of each. */
sm_status smi_searches_end(const smi_searches *s, sm_error *e) SM_MUST_USE;
void smi_searches_free(smi_searches *s); /* takes {0} */

/* ---- verdicts (contract_verdict.c) ----------------------------------------------------------- */

/** Does the action take rows away that break a rule, or make their value NULL? */
static inline bool smi_mends(sm_policy action)
{
    return action == SM_POLICY_QUARANTINE || action == SM_POLICY_NULL;
}

/** sm_contract_judge() of rows that were written: of those that break a rule whose action is
 * QUARANTINE or NULL nothing is left (sm_guard_judge). */
sm_verdict *smi_judge_written(const sm_contract *c, const sm_contract_table *table, int64_t n_rows,
                              const sm_rule_count *counts, sm_arena *a);

#endif
