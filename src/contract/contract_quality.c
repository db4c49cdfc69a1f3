/* SPDX-License-Identifier: Apache-2.0
 *
 * contract/contract_quality.c: reads the rules under `quality` of a property or a table. Called by
 * contract_read.c.
 *
 * Types    library  a metric with an operator, which says how many rows may break the rule
 *          sql      a query with one number, and an operator
 *          custom   of engine smelt: a condition, or a condition over groups; no row may break it.
 *                   Or how old the newest value may be, or how many rows there may be.
 *                   Of other engines: noted as not checked
 *          text     says nothing to a machine
 * Action   smelt.onViolation of the rule, else that of its property, else by `severity`: warning
 *          and info warn, all others fail.
 * Source   Open Data Contract Standard v3.1.0, docs/data-quality.md */
#include "base/text.h"
#include "contract/contract_int.h"

enum {
    Q_TYPE,
    Q_METRIC,
    Q_ARGUMENTS,
    Q_UNIT,
    Q_QUERY,
    Q_ENGINE,
    Q_IMPLEMENTATION,
    Q_NAME,
    Q_ID,
    Q_DESCRIPTION,
    Q_SEVERITY,
    Q_CUSTOM,
    Q_RULE,
    Q_OPERATORS, /* in the order of sm_rule_operator */
};
#define N_OPERATORS (SM_MUST_NOT_BE_BETWEEN + 1)

static const char *const quality_keys[] = {
    "type",
    "metric",
    "arguments",
    "unit",
    "query",
    "engine",
    "implementation",
    "name",
    "id",
    "description",
    "severity",
    "customProperties",
    "rule",
    "mustBe",
    "mustNotBe",
    "mustBeGreaterThan",
    "mustBeGreaterOrEqualTo",
    "mustBeLessThan",
    "mustBeLessOrEqualTo",
    "mustBeBetween",
    "mustNotBeBetween",
    /* what says nothing of the rows: */
    "authoritativeDefinitions",
    "businessImpact",
    "dimension",
    "method",
    "schedule",
    "scheduler",
    "tags",
    NULL,
};
_Static_assert(SM_COUNT(quality_keys) <= SM_YAML_KEYS + 1, "they fit");

/* The metrics of the library. */
static const struct {
    sm_str name;
    sm_rule_kind kind;
    bool of_column, of_table;
    const char *const *arguments; /* keys that it may have */
} metrics[] = {
    {{"nullValues", 10}, SM_RULE_NULL_VALUES, true, false, (const char *const[]){NULL}},
    {{"missingValues", 13},
     SM_RULE_MISSING_VALUES,
     true,
     false,
     (const char *const[]){"missingValues", NULL}},
    {{"invalidValues", 13},
     SM_RULE_VALID_VALUES,
     true,
     false,
     (const char *const[]){"validValues", "pattern", NULL}},
    {{"duplicateValues", 15},
     SM_RULE_DUPLICATE_VALUES,
     true,
     true,
     (const char *const[]){"properties", NULL}},
    {{"rowCount", 8}, SM_RULE_ROW_COUNT, false, true, (const char *const[]){NULL}},
};

/* ---- types ----------------------------------------------------------------------------------- */

typedef enum quality_type { TYPE_LIBRARY, TYPE_SQL, TYPE_CUSTOM, TYPE_TEXT } quality_type;

static const sm_str type_words[] = {
    [TYPE_LIBRARY] = {"library", 7},
    [TYPE_SQL] = {"sql", 3},
    [TYPE_CUSTOM] = {"custom", 6},
    [TYPE_TEXT] = {"text", 4},
};

/* A key of another type of rule would have no effect. */
static sm_status check_keys(const smi_reading *r, const sm_yaml_fields *f, quality_type type,
                            sm_error *e)
{
    static const struct {
        int key;
        quality_type of, also;
    } keys[] = {
        {Q_METRIC, TYPE_LIBRARY, TYPE_LIBRARY},
        {Q_ARGUMENTS, TYPE_LIBRARY, TYPE_LIBRARY},
        {Q_UNIT, TYPE_LIBRARY, TYPE_SQL}, /* there it only describes the number */
        {Q_QUERY, TYPE_SQL, TYPE_SQL},
        {Q_ENGINE, TYPE_CUSTOM, TYPE_CUSTOM},
        {Q_IMPLEMENTATION, TYPE_CUSTOM, TYPE_CUSTOM},
    };

    for (int i = 0; i < SM_COUNT(keys); i++) {
        if (f->has[keys[i].key] && type != keys[i].of && type != keys[i].also) {
            const sm_status st = sm_fail(
                e, SM_INVALID, "%s is of a rule of type %s, and this one is of type %s",
                quality_keys[keys[i].key], type_words[keys[i].of].data, type_words[type].data);
            sm_error_todo(e, "Write type: %s, or leave it out.", type_words[keys[i].of].data);
            return sm_yaml_at(r->d, f->places[keys[i].key], st, e);
        }
    }
    return SM_OK;
}

/* ---- operators ------------------------------------------------------------------------------- */

static sm_status read_ends(const smi_reading *r, const sm_yaml *list, const char *what,
                           sm_rule_limit *out, sm_error *e)
{
    SM_TRY(sm_yaml_want(r->d, list, list->at, SM_YAML_LIST, what, e));
    if (list->n_children != 2) {
        return sm_yaml_at(r->d, list->at, sm_fail(e, SM_INVALID, "%s has two numbers", what), e);
    }
    SM_TRY(smi_read_number(r, list->child, what, &out->value, e));
    SM_TRY(smi_read_number(r, list->child->next, what, &out->to, e));
    return out->value < out->to
               ? SM_OK
               : sm_yaml_at(r->d, list->at,
                            sm_fail(e, SM_INVALID, "%s has the smaller number first", what), e);
}

/* The one operator of a rule. */
static sm_status read_limit(const smi_reading *r, const sm_yaml_fields *f, sm_rule_limit *out,
                            sm_error *e)
{
    int found = -1, n = 0;

    for (int i = 0; i < N_OPERATORS; i++) {
        found = f->has[Q_OPERATORS + i] ? i : found;
        n += f->has[Q_OPERATORS + i];
    }
    if (n != 1) {
        const sm_status st =
            sm_fail(e, SM_SYNTAX, "a quality rule has %s operator", n ? "more than one" : "no");
        sm_error_todo(e, "Write one of mustBe: 0, mustBeLessThan: 10, mustBeBetween: [1, 9], …");
        return sm_yaml_at(r->d, f->at, st, e);
    }
    const int key = Q_OPERATORS + found;
    out->op = (sm_rule_operator)found;
    return out->op == SM_MUST_BE_BETWEEN || out->op == SM_MUST_NOT_BE_BETWEEN
               ? read_ends(r, f->values[key], f->keys[key], out, e)
               : smi_read_number(r, f->values[key], f->keys[key], &out->value, e);
}

static sm_status read_unit(const smi_reading *r, const sm_yaml_fields *f, sm_rule *rule,
                           sm_error *e)
{
    static const sm_str units[] = {{"rows", 4}, {"percent", 7}};
    sm_str unit = units[0];

    SM_TRY(sm_yaml_fields_text(r->d, f, Q_UNIT, "a quality rule", false, &unit, e));
    rule->limit.is_percent = sm_str_eq(unit, units[1]);
    if (rule->limit.is_percent && rule->kind == SM_RULE_ROW_COUNT) {
        return sm_yaml_at(r->d, f->values[Q_UNIT]->at,
                          sm_fail(e, SM_INVALID, "rowCount has no share of rows"), e);
    }
    return rule->limit.is_percent || sm_str_eq(unit, units[0])
               ? SM_OK
               : sm_yaml_fail_word(r->d, f->values[Q_UNIT]->at, "no unit", unit, units,
                                   SM_COUNT(units), e);
}

/* ---- the library ----------------------------------------------------------------------------- */

/* Values of a list; NULL is written null, ~ or nothing, without quotes. */
static sm_status read_values(const smi_reading *r, const sm_yaml *list, const char *what,
                             sm_rule *rule, sm_error *e)
{
    SM_TRY(sm_yaml_want(r->d, list, list->at, SM_YAML_LIST, what, e));
    sm_rule_value *values = SM_NEW_ARRAY(r->arena, sm_rule_value, list->n_children + 1);

    for (const sm_yaml *item = list->child; item; item = item->next) {
        sm_str text = {0};
        SM_TRY(sm_yaml_text(r->d, item, what, &text, e));
        if (item->is_plain && smi_is_null_word(text)) {
            rule->takes_null = true;
        } else {
            values[rule->n_values++] = (sm_rule_value){text, item->is_plain};
        }
    }
    rule->values = values;
    return list->n_children > 0
               ? SM_OK
               : sm_yaml_at(r->d, list->key->at, sm_fail(e, SM_SYNTAX, "%s is empty", what), e);
}

/* The arguments of a metric into the rule; a pattern makes it another one. */
static sm_status read_arguments(const smi_reading *r, const sm_yaml_fields *quality, int metric,
                                sm_rule *rule, sm_error *e)
{
    const char *const *keys = metrics[metric].arguments;
    sm_yaml_fields f = {0};

    if (quality->has[Q_ARGUMENTS]) {
        SM_TRY(sm_yaml_fields_read(r->d, quality->values[Q_ARGUMENTS], metrics[metric].name.data,
                                   keys, &f, e));
    }
    const int n = f.has[0] + f.has[1];
    const bool is_own = rule->kind == SM_RULE_DUPLICATE_VALUES && rule->column >= 0;
    if (n != (keys[0] && !is_own)) {
        const sm_status st = sm_fail(e, SM_SYNTAX, "%s of a %s %s", metrics[metric].name.data,
                                     rule->column < 0 ? "table" : "property",
                                     n == 0   ? "needs an argument"
                                     : n == 1 ? "takes no argument"
                                              : "takes one argument");
        sm_error_todo(e, "%s",
                      n > 1    ? "Make two rules of them."
                      : n == 1 ? "Leave it out."
                               : "Write it below arguments.");
        return sm_yaml_at(r->d, quality->has[Q_ARGUMENTS] ? quality->places[Q_ARGUMENTS] : rule->at,
                          st, e);
    }
    if (is_own) {
        int32_t *own = SM_NEW(r->arena, int32_t);
        *own = rule->column;
        rule->columns = own;
        rule->n_columns = 1;
        return SM_OK;
    }
    if (rule->kind == SM_RULE_DUPLICATE_VALUES) {
        return smi_find_columns(r, f.values[0], keys[0], rule, e);
    }
    if (f.has[1]) {
        rule->kind = SM_RULE_PATTERN;
        return smi_rule_argument(r, rule, f.values[1], e);
    }
    return n > 0 ? read_values(r, f.values[0], keys[0], rule, e) : SM_OK;
}

static sm_status find_metric(const smi_reading *r, const sm_yaml_fields *f, int32_t column,
                             int *out, sm_error *e)
{
    sm_str names[SM_COUNT(metrics)], word = {0};

    if (!f->has[Q_METRIC] && f->has[Q_RULE]) {
        const sm_status st =
            sm_fail(e, SM_UNSUPPORTED, "rule is the older word of v3.0, which is not read");
        sm_error_todo(e, "Write metric: nullValues, invalidValues, duplicateValues, …");
        return sm_yaml_at(r->d, f->places[Q_RULE], st, e);
    }
    SM_TRY(sm_yaml_fields_text(r->d, f, Q_METRIC, "a quality rule", true, &word, e));
    for (int i = 0; i < SM_COUNT(metrics); i++) {
        names[i] = metrics[i].name;
        *out = i;
        if (sm_str_eq(names[i], word)) {
            return (column >= 0 ? metrics[i].of_column : metrics[i].of_table)
                       ? SM_OK
                       : sm_yaml_at(r->d, f->values[Q_METRIC]->at,
                                    sm_fail(e, SM_INVALID, "%s is of a %s, not of a %s", word.data,
                                            column >= 0 ? "table" : "property",
                                            column >= 0 ? "property" : "table"),
                                    e);
        }
    }
    return sm_yaml_fail_word(r->d, f->values[Q_METRIC]->at, "no metric", word, names,
                             SM_COUNT(metrics), e);
}

static sm_status read_library(const smi_reading *r, const sm_yaml_fields *f, sm_rule *rule,
                              sm_error *e)
{
    int metric = 0;

    SM_TRY(find_metric(r, f, rule->column, &metric, e));
    rule->kind = metrics[metric].kind;
    SM_TRY(read_limit(r, f, &rule->limit, e));
    SM_TRY(read_unit(r, f, rule, e));
    return read_arguments(r, f, metric, rule, e);
}

/* ---- the other types ------------------------------------------------------------------------- */

static sm_status read_query(const smi_reading *r, const sm_yaml_fields *f, sm_rule *rule,
                            sm_error *e)
{
    rule->kind = SM_RULE_QUERY;
    SM_TRY(read_limit(r, f, &rule->limit, e));
    return sm_yaml_fields_text(r->d, f, Q_QUERY, "a quality rule of type sql", true, &rule->text,
                               e);
}

/* The keys of an implementation that is no expression. */
enum { OWN_GROUP_BY, OWN_CHECK, OWN_FRESHNESS, OWN_VOLUME };

/* {groupBy: [k], check: sum(x) > 0} */
static sm_status read_group(const smi_reading *r, const sm_yaml_fields *f, sm_rule *rule,
                            sm_error *e)
{
    rule->kind = SM_RULE_GROUP;
    SM_TRY(sm_yaml_fields_text(r->d, f, OWN_CHECK, "implementation", true, &rule->text, e));
    return f->has[OWN_GROUP_BY]
               ? smi_find_columns(r, f->values[OWN_GROUP_BY], "groupBy", rule, e)
               : sm_yaml_at(r->d, f->at, sm_fail(e, SM_SYNTAX, "implementation has no groupBy"), e);
}

/* {freshness: 24 h} */
static sm_status read_freshness(const smi_reading *r, const sm_yaml *value, sm_rule *rule,
                                sm_error *e)
{
    sm_str text = {0};
    size_t n = 0;

    SM_TRY(sm_yaml_text(r->d, value, "freshness", &text, e));
    if (rule->column < 0) {
        return sm_yaml_at(r->d, value->at,
                          sm_fail(e, SM_INVALID, "freshness is of a property, not of a table"), e);
    }
    while (n < text.len && strchr("0123456789.", text.data[n])) {
        n++;
    }
    n = n > 0 ? n : text.len; /* no number: it is told whole */
    size_t at = n;
    while (at < text.len && text.data[at] == ' ') {
        at++;
    }
    return smi_read_age(r, rule, (sm_str){text.data, n}, (sm_str){text.data + at, text.len - at},
                        value->at, e);
}

/* within: 30% */
static sm_status read_within(const smi_reading *r, const sm_yaml *value, sm_rule *rule, sm_error *e)
{
    sm_str text = {0};
    double share = 0;

    SM_TRY(sm_yaml_text(r->d, value, "within", &text, e));
    if (!sm_str_ends(text, SM_STR("%")) ||
        !sm_parse_f64((sm_str){text.data, text.len - 1}, false, &share) || !(share > 0)) {
        const sm_status st = sm_fail(e, SM_INVALID, "within cannot be \"%.*s\"", SM_STR_ARG(text));
        sm_error_todo(e, "Write a share of the mean number of rows: 30%%.");
        return sm_yaml_at(r->d, value->at, st, e);
    }
    rule->limit = (sm_rule_limit){SM_MUST_BE_BETWEEN, -share, share, true};
    return SM_OK;
}

/* {volume: {within: 30%, of: 7}} */
static sm_status read_volume(const smi_reading *r, const sm_yaml *value, sm_rule *rule, sm_error *e)
{
    static const char *const keys[] = {"within", "of", NULL};
    sm_yaml_fields f;
    int64_t n = 0;

    SM_TRY(sm_yaml_fields_read(r->d, value, "volume", keys, &f, e));
    rule->kind = SM_RULE_VOLUME;
    rule->text = SM_STR("7");
    SM_TRY(sm_yaml_fields_text(r->d, &f, 1, "volume", false, &rule->text, e));
    if (rule->column >= 0) {
        return sm_yaml_at(r->d, value->at,
                          sm_fail(e, SM_INVALID, "volume is of a table, not of a property"), e);
    }
    if (!sm_parse_i64(rule->text, &n) || n < 1 || n > SMI_MOST_VERSIONS) {
        return sm_yaml_at(r->d, f.values[1]->at,
                          sm_fail(e, SM_INVALID,
                                  "of is a number of versions, 1 to %d, not \"%.*s\"",
                                  SMI_MOST_VERSIONS, SM_STR_ARG(rule->text)),
                          e);
    }
    return f.has[0] ? read_within(r, f.values[0], rule, e)
                    : sm_yaml_at(r->d, f.at, sm_fail(e, SM_SYNTAX, "volume has no within"), e);
}

static sm_status read_own_map(const smi_reading *r, const sm_yaml *map, sm_rule *rule, sm_error *e)
{
    static const char *const keys[] = {"groupBy", "check", "freshness", "volume", NULL};
    sm_yaml_fields f;

    SM_TRY(sm_yaml_fields_read(r->d, map, "implementation", keys, &f, e));
    const bool is_group = f.has[OWN_GROUP_BY] || f.has[OWN_CHECK];
    if (is_group + f.has[OWN_FRESHNESS] + f.has[OWN_VOLUME] > 1) {
        const sm_status st = sm_fail(e, SM_SYNTAX, "implementation says several rules");
        sm_error_todo(e, "Make a rule of each: groupBy with check, freshness, volume.");
        return sm_yaml_at(r->d, f.at, st, e);
    }
    return f.has[OWN_FRESHNESS] ? read_freshness(r, f.values[OWN_FRESHNESS], rule, e)
           : f.has[OWN_VOLUME]  ? read_volume(r, f.values[OWN_VOLUME], rule, e)
                                : read_group(r, &f, rule, e);
}

/* *is_ours: false where it is for another engine. */
static sm_status read_engine(const smi_reading *r, const sm_yaml_fields *f, sm_rule *rule,
                             sm_str *engine, bool *is_ours, sm_error *e)
{
    SM_TRY(
        sm_yaml_fields_text(r->d, f, Q_ENGINE, "a quality rule of type custom", true, engine, e));
    *is_ours = sm_str_is(*engine, "smelt");
    if (!*is_ours) { /* it has keys of its own */
        return SM_OK;
    }
    SM_TRY(check_keys(r, f, TYPE_CUSTOM, e));
    for (int i = 0; i < N_OPERATORS; i++) {
        if (f->has[Q_OPERATORS + i]) {
            const sm_status st = sm_fail(e, SM_INVALID, "a rule of type custom has no operator");
            sm_error_todo(e, "How many rows may break it is said by smelt.failAbove.");
            return sm_yaml_at(r->d, f->places[Q_OPERATORS + i], st, e);
        }
    }
    if (f->has[Q_IMPLEMENTATION] && f->values[Q_IMPLEMENTATION]->type == SM_YAML_MAP) {
        return read_own_map(r, f->values[Q_IMPLEMENTATION], rule, e);
    }
    rule->kind = SM_RULE_EXPRESSION;
    return sm_yaml_fields_text(r->d, f, Q_IMPLEMENTATION, "a quality rule of type custom", true,
                               &rule->text, e);
}

/* ---- one rule -------------------------------------------------------------------------------- */

static sm_status read_type(const smi_reading *r, const sm_yaml_fields *f, quality_type *out,
                           sm_error *e)
{
    sm_str word = type_words[TYPE_LIBRARY];

    SM_TRY(sm_yaml_fields_text(r->d, f, Q_TYPE, "a quality rule", false, &word, e));
    for (int i = 0; i < SM_COUNT(type_words); i++) {
        if (sm_str_eq(type_words[i], word)) {
            *out = (quality_type)i;
            return SM_OK;
        }
    }
    return sm_yaml_fail_word(r->d, f->values[Q_TYPE]->at, "no type of quality rule", word,
                             type_words, SM_COUNT(type_words), e);
}

/* What stands at every rule: its name, and what becomes of rows that break it. */
static sm_status read_head(const smi_reading *r, const sm_yaml_fields *f, sm_rule *rule,
                           smi_custom_place place, smi_custom *custom, sm_error *e)
{
    sm_str severity = {0};

    SM_TRY(sm_yaml_fields_text(r->d, f, Q_ID, "a quality rule", false, &rule->name, e));
    SM_TRY(sm_yaml_fields_text(r->d, f, Q_NAME, "a quality rule", false, &rule->name, e));
    SM_TRY(sm_yaml_fields_text(r->d, f, Q_DESCRIPTION, "a quality rule", false, &rule->description,
                               e));
    SM_TRY(sm_yaml_fields_text(r->d, f, Q_SEVERITY, "a quality rule", false, &severity, e));
    rule->action = sm_str_is(severity, "warning") || sm_str_is(severity, "info") ? SM_POLICY_WARN
                                                                                 : SM_POLICY_FAIL;
    return smi_read_custom(r, f->values[Q_CUSTOM], place, custom, e);
}

static sm_status read_rule(smi_reading *r, const sm_yaml *map, int32_t column,
                           const smi_custom *of_property, sm_error *e)
{
    sm_rule rule = {.column = column, .is_quality = true, .at = map->at};
    smi_custom custom = *of_property;
    quality_type type = TYPE_LIBRARY;
    sm_str engine = {0};
    bool is_ours = true;
    sm_yaml_fields f;

    SM_TRY(sm_yaml_fields_read(r->d, map, "a quality rule", quality_keys, &f, e));
    SM_TRY(read_type(r, &f, &type, e));
    SM_TRY(read_head(r, &f, &rule, type == TYPE_TEXT ? SMI_NOWHERE : SMI_AT_RULE, &custom, e));
    SM_TRY(type != TYPE_CUSTOM ? check_keys(r, &f, type, e) : SM_OK);
    switch (type) {
    case TYPE_LIBRARY:
        SM_TRY(read_library(r, &f, &rule, e));
        break;
    case TYPE_SQL:
        SM_TRY(read_query(r, &f, &rule, e));
        break;
    case TYPE_CUSTOM:
        SM_TRY(read_engine(r, &f, &rule, &engine, &is_ours, e));
        break;
    case TYPE_TEXT:
        return SM_OK;
    }
    if (!is_ours) {
        smi_note(
            r, rule.at,
            sm_arena_strf(r->arena, "the rule for engine %.*s is not checked", SM_STR_ARG(engine)));
        return SM_OK;
    }
    return smi_rule_add(r, &rule, &custom, e);
}

sm_status smi_read_quality(smi_reading *r, const sm_yaml *list, sm_yaml_place at, int32_t column,
                           const smi_custom *custom, sm_error *e)
{
    SM_TRY(sm_yaml_want(r->d, list, at, SM_YAML_LIST, "quality", e));
    for (const sm_yaml *item = list->child; item; item = item->next) {
        SM_TRY(read_rule(r, item, column, custom, e));
    }
    return SM_OK;
}
