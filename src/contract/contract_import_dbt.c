/* SPDX-License-Identifier: Apache-2.0
 *
 * contract/contract_import_dbt.c: the properties file of a dbt project (schema.yml) becomes a
 * contract: its models, seeds, snapshots and sources are tables, their tests and constraints rules.
 *
 * Method   A table's columns first, then the rules of each column in the order of the file, then
 *          those of the table. A test that only may fail is said in the shortest form (`required`);
 *          one with a name, a severity or a threshold as a quality rule, which can have these.
 * NULL     keeps every test of dbt but not_null, as here. dbt's unique_combination_of_columns takes
 *          NULL for a value; where a column may be NULL it becomes a rule over groups.
 * Counts   dbt counts values that come twice, or that are not accepted; smelt counts rows. Where a
 *          threshold makes this a difference, it is told.
 * Left     Tests of other packages, tests of a part of the rows (`where`), what has Jinja in it,
 *          and SQL that smelt cannot read are left out by name.
 * Source   dbt 1.10: reference/resource-properties (data-tests, constraints), reference/
 *          resource-configs/severity; dbt-utils 1.3: macros/generic_tests */
#include "base/quote.h"
#include "base/text.h"
#include "contract/contract_int.h"

typedef struct importing {
    smi_making m;
    const sm_yaml_doc *d;
    sm_arena *a;
    sm_contract_note *notes;
    int64_t n_notes, cap_notes;
} importing;

/* A test, or a constraint, with what each may say. */
typedef struct test {
    sm_str word;         /* "not_null", "dbt_utils.accepted_range" */
    const sm_yaml *map;  /* of its arguments; NULL: it has none */
    int32_t column;      /* that it is of; −1: of the table */
    sm_str name;         /* "": none of its own */
    bool is_warn;        /* by its severity */
    bool has_limit;      /* warn_if */
    sm_rule_limit limit; /* rows that may break it unseen */
    bool has_fail_above; /* error_if */
    double fail_above;
    sm_yaml_place at;
} test;

static void note(importing *p, sm_yaml_place at, sm_str text)
{
    p->notes = sm_arena_grow(p->a, p->notes, p->n_notes, &p->cap_notes, sizeof(*p->notes));
    p->notes[p->n_notes++] = (sm_contract_note){.text = text, .at = at};
}

static void leave_out(importing *p, sm_yaml_place at, const char *what, const char *why)
{
    note(p, at, sm_arena_strf(p->a, "%s is left out%s%s", what, why ? ": " : "", why ? why : ""));
}

static const char *owner_of(const importing *p, int32_t column)
{
    return column >= 0
               ? sm_arena_printf(p->a, "column %.*s", SM_STR_ARG(p->m.t->columns[column].path))
               : sm_arena_printf(p->a, "table %.*s", SM_STR_ARG(p->m.t->name));
}

static void leave_test(importing *p, const test *t, const char *why)
{
    leave_out(p, t->at,
              sm_arena_printf(p->a, "%.*s of %s", SM_STR_ARG(t->word), owner_of(p, t->column)),
              why);
}

/* ---- YAML ------------------------------------------------------------------------------------ */

static const sm_yaml *get(const sm_yaml *map, const char *key)
{
    const sm_yaml *found = map && map->type == SM_YAML_MAP ? map->child : NULL;

    while (found && !sm_str_is(found->key->text, key)) {
        found = found->next;
    }
    return found;
}

/* "" where the key is missing, or has no text. */
static sm_str text_at(const sm_yaml *map, const char *key)
{
    const sm_yaml *n = get(map, key);

    return n && n->type == SM_YAML_TEXT ? n->text : (sm_str){0};
}

static const sm_yaml *items_of(const sm_yaml *list)
{
    return list && list->type == SM_YAML_LIST ? list->child : NULL;
}

/* An argument of a test: in `arguments`, or beside it as before dbt 1.10. */
static const sm_yaml *argument(const test *t, const char *key)
{
    const sm_yaml *found = get(get(t->map, "arguments"), key);

    return found ? found : get(t->map, key);
}

/* A setting of a test: in `config`, or beside it. */
static sm_str setting(const test *t, const char *key)
{
    const sm_str found = text_at(get(t->map, "config"), key);

    return found.len > 0 ? found : text_at(t->map, key);
}

static bool has_jinja(sm_str s)
{
    for (size_t i = 0; i + 1 < s.len; i++) {
        if (s.data[i] == '{' && (s.data[i + 1] == '{' || s.data[i + 1] == '%')) {
            return true;
        }
    }
    return false;
}

/* ---- rules ----------------------------------------------------------------------------------- */

static bool has_rule(const importing *p, sm_rule_kind kind, int32_t column)
{
    int64_t i = 0;

    while (i < p->m.t->n_rules &&
           (p->m.t->rules[i].kind != kind || p->m.t->rules[i].column != column)) {
        i++;
    }
    return i < p->m.t->n_rules;
}

/* Another one where a rule has that name. */
static sm_str free_name(const importing *p, sm_str name)
{
    sm_str made = name;

    for (int n = 2;; n++) {
        int64_t i = 0;
        while (i < p->m.t->n_rules && !sm_str_eq_nocase(p->m.t->rules[i].name, made)) {
            i++;
        }
        if (i == p->m.t->n_rules) {
            return made;
        }
        made = sm_arena_strf(p->a, "%.*s %d", SM_STR_ARG(name), n);
    }
}

/* Does the test say more than that it may fail? Then only a quality rule can say it. */
static bool has_settings(const test *t)
{
    return t->name.len > 0 || t->is_warn || t->has_limit || t->has_fail_above;
}

/* Adds a quality rule over the columns (NULL: its own), with the test's settings. */
static sm_rule *add_quality(importing *p, const test *t, sm_rule_kind kind, const int32_t *columns,
                            int32_t n_columns)
{
    const sm_rule like = {
        .kind = kind, .column = t->column, .columns = columns, .n_columns = n_columns};
    const sm_str name =
        free_name(p, t->name.len > 0 ? t->name : smi_rule_default_name(p->m.t, &like, p->a));
    sm_rule *r = smi_make_rule(&p->m, kind, t->column);

    r->is_quality = true;
    r->name = name;
    r->columns = columns ? columns : r->columns;
    r->n_columns = columns ? n_columns : r->n_columns;
    r->action = t->is_warn ? SM_POLICY_WARN : SM_POLICY_FAIL;
    r->has_fail_above = t->has_fail_above;
    r->fail_above = (sm_rule_limit){.op = SM_MUST_BE_GREATER, .value = t->fail_above};
    if (t->has_limit && (kind == SM_RULE_EXPRESSION || kind == SM_RULE_GROUP)) {
        leave_out(p, t->at, sm_arena_printf(p->a, "warn_if of %s", r->name.data),
                  "a condition in SQL warns from the first row on");
    } else if (t->has_limit) {
        r->limit = t->limit;
    }
    return r;
}

static void note_count(importing *p, const test *t, const char *what)
{
    if (t->has_limit || t->has_fail_above) {
        note(p, t->at,
             sm_arena_strf(p->a, "the threshold of %.*s of %s counts rows here, and %s in dbt",
                           SM_STR_ARG(t->word), owner_of(p, t->column), what));
    }
}

/* Why a condition cannot be a rule; NULL: it can. Columns need not be in the file. */
static const char *refuse_sql(const importing *p, sm_str text)
{
    const sm_sql sql = {.name = SM_STR("the test"), .text = text};
    const sm_expr *x = NULL;
    sm_error e = {0};

    if (text.len == 0 || has_jinja(text)) {
        return text.len == 0 ? "it has no expression" : "it has Jinja in it";
    }
    const sm_status st =
        sm_query_expr(&sql, smi_contract_schema(p->m.t, -1, p->a), NULL, p->a, &x, &e);
    return st == SM_SYNTAX || st == SM_UNSUPPORTED
               ? sm_arena_printf(p->a, "smelt's SQL has it not: %s", e.what)
               : NULL;
}

static void add_condition(importing *p, const test *t, sm_str sql)
{
    const char *why = refuse_sql(p, sql);

    if (why) {
        leave_test(p, t, why);
    } else {
        add_quality(p, t, SM_RULE_EXPRESSION, NULL, 0)->text = sql;
    }
}

static sm_str quoted(const importing *p, sm_str name)
{
    sm_buf out = {0};

    sm_buf_quoted(&out, name, '"');
    return sm_arena_take(p->a, &out);
}

/* ---- tests of a column ----------------------------------------------------------------------- */

static void take_not_null(importing *p, const test *t)
{
    if (has_settings(t)) {
        add_quality(p, t, SM_RULE_NULL_VALUES, NULL, 0);
    } else if (!has_rule(p, SM_RULE_REQUIRED, t->column)) {
        smi_make_rule(&p->m, SM_RULE_REQUIRED, t->column)->at = t->at;
    }
}

static void take_unique(importing *p, const test *t)
{
    if (has_settings(t)) {
        add_quality(p, t, SM_RULE_DUPLICATE_VALUES, NULL, 0);
        note_count(p, t, "values that come twice");
    } else if (!has_rule(p, SM_RULE_UNIQUE, t->column)) {
        smi_make_rule(&p->m, SM_RULE_UNIQUE, t->column)->at = t->at;
    }
}

static void take_accepted_values(importing *p, const test *t)
{
    const sm_yaml *list = argument(t, "values");
    sm_rule_value *values = SM_NEW_ARRAY(p->a, sm_rule_value, (list ? list->n_children : 0) + 1);
    int32_t n = 0;

    for (const sm_yaml *x = items_of(list); x; x = x->next) {
        const bool is_null = x->is_plain && (x->text.len == 0 || sm_str_is(x->text, "null"));
        if (x->type != SM_YAML_TEXT || has_jinja(x->text)) {
            leave_test(p, t, "a value of it is no constant");
            return;
        }
        if (!is_null) { /* which keeps it anyway */
            values[n++] = (sm_rule_value){.text = x->text, .is_plain = x->is_plain};
        }
    }
    if (n == 0) {
        leave_test(p, t, "it has no values");
        return;
    }
    sm_rule *r = add_quality(p, t, SM_RULE_VALID_VALUES, NULL, 0);
    r->values = values;
    r->n_values = n;
    note_count(p, t, "values");
}

/* The last text in quotes of ref('customers') or source('shop', 'customers'). */
static sm_str name_in_ref(sm_str s)
{
    const char *const end = s.data + s.len;
    sm_str found = {0};

    for (const char *i = s.data; i < end; i++) {
        const char *close =
            *i == '\'' || *i == '"' ? memchr(i + 1, *i, (size_t)(end - i - 1)) : NULL;
        if (close) {
            found = (sm_str){i + 1, (size_t)(close - i - 1)};
            i = close;
        }
    }
    return found;
}

/* A reference over n columns; other: as many names. */
static void add_reference(importing *p, const test *t, const int32_t *columns, const sm_str *other,
                          int32_t n, sm_str to)
{
    if (to.len == 0 || n == 0 || other[0].len == 0) {
        leave_test(p, t, "it does not say the column of a model");
        return;
    }
    if (t->has_limit || t->name.len > 0) {
        leave_out(p, t->at,
                  sm_arena_printf(p->a, "%s of the relationship of %s",
                                  t->has_limit ? "warn_if" : "the name", owner_of(p, t->column)),
                  NULL);
    }
    sm_rule *r = smi_make_rule(&p->m, SM_RULE_REFERENCE, t->column);
    r->at = t->at;
    r->columns = columns ? columns : r->columns;
    r->n_columns = n;
    r->other_table = to;
    r->other_columns = other;
    r->action = t->is_warn ? SM_POLICY_WARN : SM_POLICY_FAIL;
    r->has_fail_above = t->has_fail_above;
    r->fail_above = (sm_rule_limit){.op = SM_MUST_BE_GREATER, .value = t->fail_above};
    r->name = smi_rule_default_name(p->m.t, r, p->a);
}

static sm_str argument_text(const test *t, const char *key)
{
    const sm_yaml *n = argument(t, key);

    return n && n->type == SM_YAML_TEXT ? n->text : (sm_str){0};
}

static void take_relationships(importing *p, const test *t)
{
    sm_str *field = SM_NEW(p->a, sm_str);

    *field = argument_text(t, "field");
    if (has_rule(p, SM_RULE_REFERENCE, t->column)) {
        leave_test(p, t, "the column refers to another one already");
        return;
    }
    add_reference(p, t, NULL, field, 1, name_in_ref(argument_text(t, "to")));
}

/* A bound as an option, which only a number can be. */
static bool add_bound(importing *p, const test *t, sm_rule_kind kind, sm_str text)
{
    const sm_logical_type logical = p->m.t->columns[t->column].logical;
    double number = 0;

    if (has_settings(t) || has_rule(p, kind, t->column) || !sm_parse_f64(text, false, &number) ||
        (logical != SM_LOGICAL_INTEGER && logical != SM_LOGICAL_NUMBER)) {
        return false;
    }
    sm_rule *r = smi_make_rule(&p->m, kind, t->column);
    r->text = text;
    r->at = t->at;
    return true;
}

static void take_range(importing *p, const test *t)
{
    const sm_str bounds[] = {argument_text(t, "min_value"), argument_text(t, "max_value")};
    const bool is_open = sm_str_eq_nocase(argument_text(t, "inclusive"), SM_STR("false"));
    const sm_rule_kind kinds[] = {is_open ? SM_RULE_EXCLUSIVE_MINIMUM : SM_RULE_MINIMUM,
                                  is_open ? SM_RULE_EXCLUSIVE_MAXIMUM : SM_RULE_MAXIMUM};
    const char *const ops[] = {is_open ? ">" : ">=", is_open ? "<" : "<="};
    sm_buf sql = {0};

    for (int i = 0; i < SM_COUNT(bounds); i++) {
        if (bounds[i].len > 0 && !add_bound(p, t, kinds[i], bounds[i])) {
            sm_buf_printf(&sql, sql.len > 0 ? " %s " : "", "AND");
            sm_buf_text(&sql, quoted(p, p->m.t->columns[t->column].physical));
            sm_buf_printf(&sql, " %s ", ops[i]);
            sm_buf_text(&sql, bounds[i]);
        }
    }
    if (sql.len > 0 || (bounds[0].len == 0 && bounds[1].len == 0)) {
        add_condition(p, t, sm_arena_take(p->a, &sql));
    }
}

/* Of a column the expression stands behind its name. */
static void take_expression(importing *p, const test *t)
{
    const sm_str sql = argument_text(t, "expression");

    add_condition(p, t,
                  t->column < 0 || sql.len == 0
                      ? sql
                      : sm_arena_strf(p->a, "%.*s %.*s",
                                      SM_STR_ARG(quoted(p, p->m.t->columns[t->column].physical)),
                                      SM_STR_ARG(sql)));
}

/* ---- tests of several columns ---------------------------------------------------------------- */

/* The columns of a list; NULL where one is not described, which is told. */
static int32_t *find_columns(importing *p, const test *t, const sm_yaml *list, int32_t *n)
{
    int32_t *columns = SM_NEW_ARRAY(p->a, int32_t, (list ? list->n_children : 0) + 1);

    *n = 0;
    for (const sm_yaml *x = items_of(list); x; x = x->next) {
        int32_t i = 0;
        while (i < p->m.t->n_columns && !sm_str_eq_nocase(p->m.t->columns[i].name, x->text)) {
            i++;
        }
        if (i == p->m.t->n_columns) {
            leave_test(p, t,
                       sm_arena_printf(p->a, "column %.*s is not described", SM_STR_ARG(x->text)));
            return NULL;
        }
        columns[(*n)++] = i;
    }
    if (*n == 0) {
        leave_test(p, t, "it names no column");
        return NULL;
    }
    return columns;
}

static void take_combination(importing *p, const test *t)
{
    int32_t n = 0;
    const int32_t *columns = find_columns(p, t, argument(t, "combination_of_columns"), &n);
    bool are_required = true;

    for (int32_t i = 0; columns && i < n; i++) {
        are_required = are_required && p->m.t->columns[columns[i]].is_required;
    }
    if (columns && are_required) {
        add_quality(p, t, SM_RULE_DUPLICATE_VALUES, columns, n);
        note_count(p, t, "values that come twice");
    } else if (columns) {
        add_quality(p, t, SM_RULE_GROUP, columns, n)->text = SM_STR("count(*) = 1");
    }
}

/* ---- constraints ----------------------------------------------------------------------------- */

static void take_primary_key(importing *p, const test *t, const int32_t *columns, int32_t n)
{
    if (has_rule(p, SM_RULE_PRIMARY_KEY, -1)) {
        leave_test(p, t, "there is a primary key already");
        return;
    }
    for (int32_t i = 0; i < n; i++) {
        sm_contract_column *c = &p->m.t->columns[columns[i]];
        c->key_position = i + 1;
        if (!has_rule(p, SM_RULE_REQUIRED, columns[i])) {
            smi_make_rule(&p->m, SM_RULE_REQUIRED, columns[i])->at = t->at;
        }
    }
    sm_rule *r = smi_make_rule(&p->m, SM_RULE_PRIMARY_KEY, -1);
    r->at = t->at;
    r->columns = columns;
    r->n_columns = n;
    r->name = smi_rule_default_name(p->m.t, r, p->a);
}

static void take_foreign_key(importing *p, const test *t, const int32_t *columns, int32_t n)
{
    const sm_yaml *list = get(t->map, "to_columns");
    sm_str *other = SM_NEW_ARRAY(p->a, sm_str, n + 1);
    int32_t n_other = 0;

    for (const sm_yaml *x = items_of(list); x && n_other < n; x = x->next) {
        other[n_other++] = x->text;
    }
    if (n_other != n || list->n_children != n) {
        leave_test(p, t, "it does not say as many columns in to_columns");
    } else {
        add_reference(p, t, columns, other, n, name_in_ref(text_at(t->map, "to")));
    }
}

static void take_constraint(importing *p, const sm_yaml *node, int32_t column)
{
    test t = {.word = text_at(node, "type"), .map = node, .column = column, .at = node->at};
    const sm_str name = text_at(node, "name");
    int32_t *columns = SM_NEW(p->a, int32_t), n = 1;

    *columns = column;
    if (sm_str_is(t.word, "check")) {
        t.name = name;
        add_condition(p, &t, text_at(node, "expression"));
        return;
    }
    if (column < 0) {
        columns = find_columns(p, &t, get(node, "columns"), &n);
        if (!columns) {
            return;
        }
    }
    if (sm_str_is(t.word, "primary_key")) {
        take_primary_key(p, &t, columns, n);
    } else if (sm_str_is(t.word, "foreign_key")) {
        take_foreign_key(p, &t, columns, n);
    } else if (sm_str_is(t.word, "unique") && n > 1) {
        add_quality(p, &t, SM_RULE_DUPLICATE_VALUES, columns, n);
    } else if (sm_str_is(t.word, "unique") || sm_str_is(t.word, "not_null")) {
        for (int32_t i = 0; i < n; i++) {
            t.column = columns[i];
            (sm_str_is(t.word, "unique") ? take_unique : take_not_null)(p, &t);
        }
    } else {
        leave_test(p, &t, "there is no rule for it");
    }
}

static void take_constraints(importing *p, const sm_yaml *map, int32_t column)
{
    for (const sm_yaml *x = items_of(get(map, "constraints")); x; x = x->next) {
        take_constraint(p, x, column);
    }
}

/* ---- tests ----------------------------------------------------------------------------------- */

enum { OF_COLUMN = 1, OF_TABLE = 2 };

static const struct {
    const char *word;
    unsigned of;
    void (*take)(importing *p, const test *t);
} words[] = {
    {"not_null", OF_COLUMN, take_not_null},
    {"unique", OF_COLUMN, take_unique},
    {"accepted_values", OF_COLUMN, take_accepted_values},
    {"relationships", OF_COLUMN, take_relationships},
    {"dbt_utils.accepted_range", OF_COLUMN, take_range},
    {"dbt_utils.expression_is_true", OF_COLUMN | OF_TABLE, take_expression},
    {"dbt_utils.unique_combination_of_columns", OF_TABLE, take_combination},
};

/* ">10", ">= 1", "!=0": the number of rows from which on it holds, less one. */
static bool read_threshold(sm_str text, double *most)
{
    int64_t n = 0;
    size_t i = 0;

    while (i < text.len && memchr("<>!= ", text.data[i], 5)) {
        i++;
    }
    size_t n_op = i;
    while (n_op > 0 && text.data[n_op - 1] == ' ') {
        n_op--;
    }
    const sm_str op = {text.data, n_op};
    if (!sm_parse_i64((sm_str){text.data + i, text.len - i}, &n) || n < 0) {
        return false;
    }
    *most = (double)(sm_str_is(op, ">=") ? n - 1 : n);
    return sm_str_is(op, ">") || (sm_str_is(op, ">=") && n > 0) ||
           ((sm_str_is(op, "!=") || sm_str_is(op, "<>")) && n == 0);
}

/* Severity and thresholds. Returns why the test cannot be a rule, or NULL. */
static const char *read_settings(const importing *p, test *t)
{
    const sm_str warn_if = setting(t, "warn_if"), error_if = setting(t, "error_if");
    const sm_str severity = setting(t, "severity");
    double most = 0;

    if (sm_str_eq_nocase(setting(t, "enabled"), SM_STR("false"))) {
        return "it is not enabled";
    }
    if (setting(t, "where").len > 0 || setting(t, "fail_calc").len > 0) {
        return setting(t, "where").len > 0 ? "it is of a part of the rows (where)"
                                           : "it counts otherwise (fail_calc)";
    }
    if (has_jinja(severity) || has_jinja(warn_if) || has_jinja(error_if)) {
        return "it has Jinja in it";
    }
    t->name = text_at(t->map, "name");
    t->is_warn = sm_str_eq_nocase(severity, SM_STR("warn"));
    if (warn_if.len > 0 && !read_threshold(warn_if, &most)) {
        return sm_arena_printf(p->a, "warn_if \"%.*s\" is no greatest number of rows",
                               SM_STR_ARG(warn_if));
    }
    t->has_limit = most > 0;
    t->limit = (sm_rule_limit){.op = SM_MUST_BE_LESS_OR_EQUAL, .value = most};
    if (error_if.len > 0 && !t->is_warn) {
        if (!read_threshold(error_if, &t->fail_above)) {
            return sm_arena_printf(p->a, "error_if \"%.*s\" is no greatest number of rows",
                                   SM_STR_ARG(error_if));
        }
        t->has_fail_above = t->fail_above > 0;
    }
    if (t->has_limit && !t->is_warn && t->fail_above < most) { /* an error comes before a warning */
        t->has_limit = false;
    }
    return NULL;
}

/* A test is its word, or a map of its word and its arguments, or one with its word in test_name. */
static void take_test(importing *p, const sm_yaml *node, int32_t column)
{
    const sm_str generic = text_at(node, "test_name");
    const bool is_short = node->type == SM_YAML_MAP && generic.len == 0 && node->child;
    test t = {.word = node->type == SM_YAML_TEXT ? node->text
                      : is_short                 ? node->child->key->text
                                                 : generic,
              .map = is_short ? node->child : node,
              .column = column,
              .at = is_short ? node->child->key->at : node->at};

    const char *why = read_settings(p, &t);
    if (sm_str_starts(t.word, SM_STR("dbt."))) {
        t.word = (sm_str){t.word.data + 4, t.word.len - 4};
    }
    for (int i = 0; !why && i < SM_COUNT(words); i++) {
        if (sm_str_is(t.word, words[i].word) &&
            (words[i].of & (column < 0 ? OF_TABLE : OF_COLUMN))) {
            words[i].take(p, &t);
            return;
        }
    }
    leave_test(p, &t, why ? why : "there is no rule for it");
}

static void take_tests(importing *p, const sm_yaml *map, int32_t column)
{
    static const char *const keys[] = {"tests", "data_tests"};

    for (int i = 0; i < SM_COUNT(keys); i++) {
        for (const sm_yaml *x = items_of(get(map, keys[i])); x; x = x->next) {
            take_test(p, x, column);
        }
    }
}

/* ---- tables ---------------------------------------------------------------------------------- */

static sm_str description_of(importing *p, const sm_yaml *map, const char *owner)
{
    const sm_str text = text_at(map, "description");

    if (has_jinja(text)) {
        leave_out(p, get(map, "description")->at,
                  sm_arena_printf(p->a, "the description of %s", owner), "it has Jinja in it");
        return (sm_str){0};
    }
    return text;
}

/* Other names of types, of the databases that dbt is used with. */
static sm_str type_name(const importing *p, sm_str text)
{
    static const char *const names[][2] = {
        {"number", "DECIMAL(38,0)"},
        {"float64", "DOUBLE"},
        {"bytes", "BLOB"},
        {"timestamp_ntz", "TIMESTAMP"},
        {"timestamp_tz", "TIMESTAMPTZ"},
        {"timestamp_ltz", "TIMESTAMPTZ"},
    };

    for (int i = 0; i < SM_COUNT(names); i++) {
        if (sm_str_eq_nocase(text, sm_str_of(names[i][0]))) {
            return sm_str_of(names[i][1]);
        }
    }
    const sm_str head = {text.data, text.len < 7 ? 0 : 7};
    return sm_str_eq_nocase(head, SM_STR("number("))
               ? sm_arena_strf(p->a, "DECIMAL%s", text.data + 6)
               : text;
}

static void take_type(importing *p, const sm_yaml *map, int32_t column)
{
    const sm_str text = text_at(map, "data_type");
    const sm_type *type = NULL;
    sm_error e = {0};

    if (text.len == 0) {
        return;
    }
    if (sm_type_parse(type_name(p, text), p->a, &type, &e) != SM_OK) {
        leave_out(
            p, get(map, "data_type")->at,
            sm_arena_printf(p->a, "data_type %.*s of %s", SM_STR_ARG(text), owner_of(p, column)),
            e.what);
        return;
    }
    p->m.t->columns[column].physical_type = sm_type_text(type, p->a);
    p->m.t->columns[column].logical = smi_logical_of(type);
}

static sm_status take_column(importing *p, const sm_yaml *map, sm_error *e)
{
    sm_str name = {0};

    SM_TRY(sm_yaml_want(p->d, map, map->at, SM_YAML_MAP, "a column", e));
    SM_TRY(sm_yaml_text(p->d, get(map, "name"), "the name of a column", &name, e));
    const int32_t own = smi_make_column(&p->m, name, -1, SM_LOGICAL_NONE);
    p->m.t->columns[own].description = description_of(p, map, owner_of(p, own));
    take_type(p, map, own);
    return SM_OK;
}

static sm_status take_table(importing *p, const sm_yaml *map, sm_error *e)
{
    const sm_str alias = text_at(get(map, "config"), "alias"),
                 identifier = text_at(map, "identifier");
    const sm_yaml *columns = get(map, "columns");
    int32_t i = 0;

    SM_TRY(sm_yaml_text(p->d, get(map, "name"), "the name of a model", &p->m.t->name, e));
    p->m.t->physical = alias.len > 0 ? alias : identifier.len > 0 ? identifier : p->m.t->name;
    p->m.t->description = description_of(p, map, owner_of(p, -1));
    if (get(map, "versions")) {
        leave_out(p, get(map, "versions")->key->at,
                  sm_arena_printf(p->a, "versions of %s", owner_of(p, -1)), NULL);
    }
    for (const sm_yaml *x = items_of(columns); x; x = x->next) {
        SM_TRY(take_column(p, x, e));
    }
    for (const sm_yaml *x = items_of(columns); x; x = x->next, i++) {
        take_constraints(p, x, i);
        take_tests(p, x, i);
    }
    take_constraints(p, map, -1);
    take_tests(p, map, -1);
    return SM_OK;
}

/* ---- the file -------------------------------------------------------------------------------- */

/* The tables of a properties file. */
typedef struct tables {
    const sm_yaml **maps;
    int64_t n, cap;
} tables;

static void find_in(const importing *p, const sm_yaml *list, sm_str model, tables *out)
{
    for (const sm_yaml *x = items_of(list); x; x = x->next) {
        if (model.len == 0 || sm_str_eq(text_at(x, "name"), model)) {
            out->maps = sm_arena_grow(p->a, out->maps, out->n, &out->cap, sizeof(*out->maps));
            out->maps[out->n++] = x;
        }
    }
}

static void find_tables(const importing *p, sm_str model, tables *out)
{
    static const char *const keys[] = {"models", "seeds", "snapshots"};

    for (int i = 0; i < SM_COUNT(keys); i++) {
        find_in(p, get(p->d->root, keys[i]), model, out);
    }
    for (const sm_yaml *x = items_of(get(p->d->root, "sources")); x; x = x->next) {
        find_in(p, get(x, "tables"), model, out);
    }
}

static sm_status fail_model(const importing *p, sm_str model, sm_error *e)
{
    tables all = {0};

    find_tables(p, (sm_str){0}, &all);
    if (all.n == 0) {
        return sm_fail(e, SM_SYNTAX, "the file has no models, seeds, snapshots or sources");
    }
    sm_str *names = SM_NEW_ARRAY(p->a, sm_str, all.n);
    for (int64_t i = 0; i < all.n; i++) {
        names[i] = sm_arena_str(p->a, text_at(all.maps[i], "name"));
    }
    return sm_yaml_fail_word(p->d, (sm_yaml_place){0}, "the file has no model", model, names,
                             (int32_t)all.n, e);
}

sm_status sm_contract_import_dbt(sm_str name, sm_str model, sm_str text, sm_arena *a,
                                 sm_contract **out, sm_contract_note **notes, int64_t *n_notes,
                                 sm_error *e)
{
    sm_yaml_doc d = {.name = name, .arena = a};
    importing p = {.d = &d, .a = a};
    tables found = {0};

    SM_TRY(sm_yaml_parse(&d, text, "the properties file", e));
    find_tables(&p, model, &found);
    if (found.n == 0) {
        return fail_model(&p, model, e);
    }
    const sm_str id = found.n == 1 ? text_at(found.maps[0], "name") : SM_STR("dbt");
    sm_contract *c = smi_make_contract(&p.m, id, a);
    c->tables = SM_NEW_ARRAY(a, sm_contract_table, found.n);
    c->n_tables = found.n;
    for (int64_t i = 0; i < found.n; i++) {
        p.m = (smi_making){.t = &c->tables[i], .a = a};
        SM_TRY(take_table(&p, found.maps[i], e));
    }
    *out = c;
    *notes = p.notes;
    *n_notes = p.n_notes;
    return SM_OK;
}
