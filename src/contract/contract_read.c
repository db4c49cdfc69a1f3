/* SPDX-License-Identifier: Apache-2.0
 *
 * contract/contract_read.c: reads a contract file into the model. contract_option.c,
 * contract_quality.c and contract_reference.c read the parts of properties and tables.
 *
 * Method   Each table is read twice: first its columns, with the fields of objects behind them,
 *          then the rules, which may name any column. Rules are sorted by their place in the file.
 * Source   Open Data Contract Standard v3.1.0, docs/fundamentals.md, docs/schema.md */
#include <math.h>
#include <stdlib.h>

#include "base/text.h"
#include "contract/contract_int.h"

/* ---- rules that there are -------------------------------------------------------------------- */

static const sm_rule_info infos[SM_RULES] = {
#define SM_ROW_RULE(id, name_, columns_, argument_, summary_, nulls_, logical_, type_, yaml_,      \
                    sql_, keeps_, breaks_)                                                         \
    [SM_RULE_##id] = {.name = (name_),                                                             \
                      .is_row = true,                                                              \
                      .columns = SM_COLUMNS_##columns_,                                            \
                      .argument = SM_ARGUMENT_##argument_,                                         \
                      .summary = (summary_),                                                       \
                      .nulls = (nulls_),                                                           \
                      .logical = (logical_),                                                       \
                      .type = (type_),                                                             \
                      .yaml = (yaml_),                                                             \
                      .sql = (sql_),                                                               \
                      .keeps = (keeps_),                                                           \
                      .breaks = (breaks_)},
#define SM_SET_RULE(id, name_, argument_, summary_, nulls_, yaml_, keeps_, breaks_)                \
    [SM_RULE_##id] = {.name = (name_),                                                             \
                      .argument = SM_ARGUMENT_##argument_,                                         \
                      .summary = (summary_),                                                       \
                      .nulls = (nulls_),                                                           \
                      .logical = "",                                                               \
                      .type = "",                                                                  \
                      .yaml = (yaml_),                                                             \
                      .sql = "",                                                                   \
                      .keeps = (keeps_),                                                           \
                      .breaks = (breaks_)},
#include "contract/rules.def"
#undef SM_ROW_RULE
#undef SM_SET_RULE
};

const sm_rule_info *sm_rule_info_of(sm_rule_kind kind)
{
    SM_ASSERT((int)kind >= 0 && kind < SM_RULES);
    return &infos[kind];
}

/* ---- values ---------------------------------------------------------------------------------- */

sm_status smi_read_bool(const smi_reading *r, const sm_yaml *n, const char *what, bool *out,
                        sm_error *e)
{
    sm_str text = {0};

    SM_TRY(sm_yaml_text(r->d, n, what, &text, e));
    *out = sm_str_is(text, "true");
    return *out || sm_str_is(text, "false")
               ? SM_OK
               : sm_yaml_at(r->d, n->at,
                            sm_fail(e, SM_INVALID, "%s is true or false, not \"%.*s\"", what,
                                    SM_STR_ARG(text)),
                            e);
}

/* true or false; *out stays as it is where the key is missing. */
static sm_status read_flag(const smi_reading *r, const sm_yaml_fields *f, int key, bool *out,
                           sm_error *e)
{
    return f->has[key] ? smi_read_bool(r, f->values[key], f->keys[key], out, e) : SM_OK;
}

sm_status smi_read_number(const smi_reading *r, const sm_yaml *n, const char *what, double *out,
                          sm_error *e)
{
    sm_str text = {0};

    SM_TRY(sm_yaml_text(r->d, n, what, &text, e));
    return sm_parse_f64(text, false, out)
               ? SM_OK
               : sm_yaml_at(
                     r->d, n->at,
                     sm_fail(e, SM_INVALID, "%s is a number, not \"%.*s\"", what, SM_STR_ARG(text)),
                     e);
}

void smi_note(smi_reading *r, sm_yaml_place at, sm_str text)
{
    sm_contract *c = r->c;

    c->notes = sm_arena_grow(r->arena, c->notes, c->n_notes, &r->cap_notes, sizeof(*c->notes));
    c->notes[c->n_notes++] = (sm_contract_note){.text = text, .at = at};
}

void smi_note_unchecked(smi_reading *r, sm_yaml_place at, const char *what, int32_t column)
{
    smi_note(r, at,
             sm_arena_strf(r->arena, "%s of column %.*s is not checked", what,
                           SM_STR_ARG(r->table->columns[column].path)));
}

/* ---- rules ----------------------------------------------------------------------------------- */

sm_str smi_rule_default_name(const sm_contract_table *t, const sm_rule *rule, sm_arena *a)
{
    const char *own = sm_rule_info_of(rule->kind)->name;
    sm_str names = rule->column >= 0 ? t->columns[rule->column].path : (sm_str){"", 0};

    for (int32_t i = 0; rule->column < 0 && i < rule->n_columns; i++) {
        names = sm_arena_strf(a, "%.*s%s%.*s", SM_STR_ARG(names), i ? "," : "",
                              SM_STR_ARG(t->columns[rule->columns[i]].path));
    }
    return names.len ? sm_arena_strf(a, "%.*s:%s", SM_STR_ARG(names), own) : sm_str_of(own);
}

/* Why a rule cannot have its action; NULL: it can. */
static const char *refuse_action(const smi_reading *r, const sm_rule *rule)
{

    if (smi_is_whole(rule->kind) && smi_mends(rule->action)) {
        return "it is of the whole table, not of rows";
    }
    if (rule->kind == SM_RULE_GROUP && smi_mends(rule->action)) {
        return "it is of groups, not of rows";
    }
    if (rule->action != SM_POLICY_NULL) {
        return NULL;
    }
    if (rule->column < 0) {
        return "it is of no column that could become NULL";
    }
    const sm_contract_column *c = &r->table->columns[rule->column];
    return c->is_required   ? "its column must not be NULL"
           : c->parent >= 0 ? "it is of a field within an object"
                            : NULL;
}

static bool has_column(const sm_rule *rule, int32_t column)
{
    bool has = false;

    for (int32_t i = 0; i < rule->n_columns; i++) {
        has = has || rule->columns[i] == column;
    }
    return has;
}

/* Why a rule cannot have a share of each group of rows; NULL: it can. */
static const char *refuse_share(const sm_rule *rule)
{
    const bool is_unique = rule->kind == SM_RULE_UNIQUE || rule->kind == SM_RULE_PRIMARY_KEY ||
                           rule->kind == SM_RULE_DUPLICATE_VALUES;

    if (smi_is_whole(rule->kind) || rule->kind == SM_RULE_GROUP) {
        return "it does not count rows";
    }
    if (smi_mends(rule->action)) {
        return "rows that break it are taken away or changed, so they are in no group";
    }
    if (!(rule->has_fail_above && rule->fail_above.is_percent) && !rule->limit.is_percent) {
        return "nothing says which share is allowed: smelt.failAbove: 0.1%, or unit: percent";
    }
    return is_unique && !has_column(rule, rule->share_per)
               ? "it is of other columns, so of duplicates it is not said which group they are in"
               : NULL;
}

/* The most rows, or the greatest share of them, with which a rule passes. */
static double most_passing(const sm_rule_limit *l)
{
    switch (l->op) {
    case SM_MUST_BE:
    case SM_MUST_BE_LESS_OR_EQUAL:
        return l->value;
    case SM_MUST_BE_LESS:
        return l->is_percent ? l->value : ceil(l->value) - 1;
    case SM_MUST_BE_BETWEEN:
        return l->to;
    default:
        return INFINITY;
    }
}

/* Why a rule cannot have smelt.failAbove; NULL: it can. */
static const char *refuse_fail_above(const sm_rule *rule)
{
    if (smi_is_whole(rule->kind)) {
        return "it is of the whole table, not of rows";
    }
    return rule->limit.is_percent == rule->fail_above.is_percent &&
                   most_passing(&rule->limit) > rule->fail_above.value
               ? "it passes with more than that"
               : NULL;
}

sm_status smi_rule_add(smi_reading *r, const sm_rule *rule, const smi_custom *custom, sm_error *e)
{
    sm_contract_table *t = r->table;
    SM_ASSERT(rule->column >= -1 && rule->column < t->n_columns);
    SM_ASSERT((sm_rule_info_of(rule->kind)->argument != SM_ARGUMENT_TARGET) ||
              (rule->n_columns > 0 && rule->other_columns));

    t->rules = sm_arena_grow(r->arena, t->rules, t->n_rules, &r->cap_rules, sizeof(*t->rules));
    sm_rule *own = &t->rules[t->n_rules++];
    *own = *rule;
    own->action = custom->has_action ? custom->action : rule->action;
    own->has_fail_above = custom->has_fail_above;
    own->fail_above = custom->fail_above;
    own->has_share_per = custom->has_share_per;
    own->share_per = custom->share_per;
    own->name = rule->name.len ? rule->name : smi_rule_default_name(t, rule, r->arena);
    const char *why = own->has_fail_above ? refuse_fail_above(own) : NULL;
    if (why) {
        return sm_yaml_at(r->d, custom->fail_above_at,
                          sm_fail(e, SM_INVALID, "rule \"%.*s\" cannot have smelt.failAbove: %s",
                                  SM_STR_ARG(own->name), why),
                          e);
    }
    why = own->has_share_per ? refuse_share(own) : NULL;
    if (why) {
        return sm_yaml_at(r->d, custom->share_at,
                          sm_fail(e, SM_INVALID, "rule \"%.*s\" cannot have smelt.sharePer: %s",
                                  SM_STR_ARG(own->name), why),
                          e);
    }
    why = refuse_action(r, own);
    return why ? sm_yaml_at(r->d, custom->has_action ? custom->action_at : own->at,
                            sm_fail(e, SM_INVALID, "rule \"%.*s\" cannot have the action %s: %s",
                                    SM_STR_ARG(own->name), sm_policy_name(own->action), why),
                            e)
               : SM_OK;
}

static sm_status check_word(const smi_reading *r, sm_rule *rule, const sm_yaml *value, sm_error *e)
{
    sm_str words[32];
    const bool is_text = rule->kind == SM_RULE_TEXT_FORMAT;
    const int32_t n = is_text ? smi_n_text_formats : smi_n_integer_formats;

    SM_ENSURE(n <= SM_COUNT(words));
    for (int32_t i = 0; i < n; i++) {
        words[i] = is_text ? smi_text_formats[i].word : smi_integer_formats[i].word;
        if (sm_str_eq(words[i], rule->text)) {
            return SM_OK;
        }
    }
    return sm_yaml_fail_word(r->d, value->at,
                             is_text ? "texts have no format" : "no integer format", rule->text,
                             words, n, e);
}

sm_status smi_rule_argument(const smi_reading *r, sm_rule *rule, const sm_yaml *value, sm_error *e)
{
    const sm_rule_info *info = sm_rule_info_of(rule->kind);
    const sm_logical_type logical =
        rule->column >= 0 ? r->table->columns[rule->column].logical : SM_LOGICAL_NONE;
    const bool is_number = logical == SM_LOGICAL_NUMBER || logical == SM_LOGICAL_INTEGER;
    double number = 0;
    int64_t count = 0;

    SM_TRY(sm_yaml_text(r->d, value, info->name, &rule->text, e));
    if (rule->text.len == 0) {
        return sm_yaml_at(r->d, rule->at, sm_fail(e, SM_SYNTAX, "%s is empty", info->name), e);
    }
    switch (info->argument) {
    case SM_ARGUMENT_BOUND:
        return is_number ? smi_read_number(r, value, info->name, &number, e) : SM_OK;
    case SM_ARGUMENT_STEP:
        SM_TRY(smi_read_number(r, value, info->name, &number, e));
        return number > 0 ? SM_OK
                          : sm_yaml_at(r->d, value->at,
                                       sm_fail(e, SM_INVALID, "multipleOf is a number above 0"), e);
    case SM_ARGUMENT_COUNT:
        return sm_parse_i64(rule->text, &count) && count >= 0
                   ? SM_OK
                   : sm_yaml_at(r->d, value->at,
                                sm_fail(e, SM_INVALID,
                                        "%s is a whole number from 0 on, not "
                                        "\"%.*s\"",
                                        info->name, SM_STR_ARG(rule->text)),
                                e);
    case SM_ARGUMENT_INTEGER_WORD:
    case SM_ARGUMENT_TEXT_WORD:
        return check_word(r, rule, value, e);
    default:
        return SM_OK;
    }
}

/* ---- columns --------------------------------------------------------------------------------- */

enum {
    PROP_NAME,
    PROP_PHYSICAL,
    PROP_DESCRIPTION,
    PROP_LOGICAL,
    PROP_OPTIONS,
    PROP_REQUIRED,
    PROP_UNIQUE,
    PROP_KEY,
    PROP_KEY_POSITION,
    PROP_PROPERTIES,
    PROP_ITEMS,
    PROP_QUALITY,
    PROP_RELATIONSHIPS,
    PROP_CUSTOM,
    PROP_PHYSICAL_TYPE,
};

static sm_status read_property_fields(const smi_reading *r, const sm_yaml *map, sm_yaml_fields *f,
                                      sm_error *e)
{
    static const char *const keys[] = {
        "name",
        "physicalName",
        "description",
        "logicalType",
        "logicalTypeOptions",
        "required",
        "unique",
        "primaryKey",
        "primaryKeyPosition",
        "properties",
        "items",
        "quality",
        "relationships",
        "customProperties",
        "physicalType",
        /* what says nothing of the rows: */
        "id",
        "businessName",
        "authoritativeDefinitions",
        "tags",
        "partitioned",
        "partitionKeyPosition",
        "classification",
        "encryptedName",
        "transformSourceObjects",
        "transformLogic",
        "transformDescription",
        "examples",
        "criticalDataElement",
        NULL,
    };
    _Static_assert(SM_COUNT(keys) <= SM_YAML_KEYS + 1, "they fit");

    return sm_yaml_fields_read(r->d, map, "a property", keys, f, e);
}

const sm_str smi_logical_words[SM_LOGICAL_BOOLEAN + 1] = {
    [SM_LOGICAL_NONE] = {"", 0},           [SM_LOGICAL_STRING] = {"string", 6},
    [SM_LOGICAL_DATE] = {"date", 4},       [SM_LOGICAL_TIMESTAMP] = {"timestamp", 9},
    [SM_LOGICAL_TIME] = {"time", 4},       [SM_LOGICAL_NUMBER] = {"number", 6},
    [SM_LOGICAL_INTEGER] = {"integer", 7}, [SM_LOGICAL_OBJECT] = {"object", 6},
    [SM_LOGICAL_ARRAY] = {"array", 5},     [SM_LOGICAL_BOOLEAN] = {"boolean", 7},
};

static sm_status read_logical(const smi_reading *r, const sm_yaml_fields *f, sm_logical_type *out,
                              sm_error *e)
{
    sm_str word = {0};

    if (!f->has[PROP_LOGICAL]) {
        return SM_OK;
    }
    SM_TRY(sm_yaml_fields_text(r->d, f, PROP_LOGICAL, "a property", true, &word, e));
    for (int i = 1; i < SM_COUNT(smi_logical_words); i++) {
        if (sm_str_eq(smi_logical_words[i], word)) {
            *out = (sm_logical_type)i;
            return SM_OK;
        }
    }
    return sm_yaml_fail_word(r->d, f->values[PROP_LOGICAL]->at, "no logicalType", word,
                             smi_logical_words + 1, SM_COUNT(smi_logical_words) - 1, e);
}

static sm_status read_key(const smi_reading *r, const sm_yaml_fields *f, sm_contract_column *c,
                          sm_error *e)
{
    bool is_key = false;
    sm_str text = SM_STR("-1");
    int64_t position = 0;

    SM_TRY(read_flag(r, f, PROP_KEY, &is_key, e));
    SM_TRY(sm_yaml_fields_text(r->d, f, PROP_KEY_POSITION, "a property", false, &text, e));
    if (!sm_parse_i64(text, &position) || position > INT32_MAX) {
        return sm_yaml_at(r->d, f->values[PROP_KEY_POSITION]->at,
                          sm_fail(e, SM_INVALID,
                                  "primaryKeyPosition is a whole number, not "
                                  "\"%.*s\"",
                                  SM_STR_ARG(text)),
                          e);
    }
    if (position > 0 && !is_key) {
        const sm_status st = sm_fail(e, SM_INVALID, "primaryKeyPosition of no primary key");
        sm_error_todo(e, "Write primaryKey: true beside it, or leave it out.");
        return sm_yaml_at(r->d, f->values[PROP_KEY_POSITION]->at, st, e);
    }
    if (is_key) {
        c->key_position = position > 0 ? (int32_t)position : INT32_MAX;
        c->is_required = true;
    }
    return SM_OK;
}

/* Notes the path of the next column. SM_EXISTS: another one has it, case aside. */
static sm_status take_path(const smi_reading *r, const sm_contract_column *c, sm_error *e)
{
    void **taken = sm_map_at(r->columns, sm_text_lower(c->path, r->arena));

    if (*taken) {
        return sm_yaml_at(
            r->d, c->at,
            sm_fail(e, SM_EXISTS, "two properties are called %.*s", SM_STR_ARG(c->path)), e);
    }
    *taken = (void *)(intptr_t)(r->table->n_columns + 1);
    return SM_OK;
}

/* A column without its rules. */
static sm_status read_column(smi_reading *r, const sm_yaml *map, const sm_yaml_fields *f,
                             int32_t parent, sm_error *e)
{
    sm_contract_table *t = r->table;
    sm_contract_column c = {.parent = parent};
    SM_ASSERT(parent < t->n_columns); /* parents come first */

    SM_TRY(sm_yaml_fields_text(r->d, f, PROP_NAME, "a property", true, &c.name, e));
    c.at = f->values[PROP_NAME]->at;
    c.physical = c.name;
    SM_TRY(sm_yaml_fields_text(r->d, f, PROP_PHYSICAL, "a property", false, &c.physical, e));
    SM_TRY(sm_yaml_fields_text(r->d, f, PROP_DESCRIPTION, "a property", false, &c.description, e));
    SM_TRY(
        sm_yaml_fields_text(r->d, f, PROP_PHYSICAL_TYPE, "a property", false, &c.physical_type, e));
    SM_TRY(read_logical(r, f, &c.logical, e));
    SM_TRY(read_flag(r, f, PROP_REQUIRED, &c.is_required, e));
    SM_TRY(read_key(r, f, &c, e));
    c.path = parent < 0 ? c.name
                        : sm_arena_strf(r->arena, "%.*s.%.*s", SM_STR_ARG(t->columns[parent].path),
                                        SM_STR_ARG(c.name));
    SM_TRY(take_path(r, &c, e));
    t->columns =
        sm_arena_grow(r->arena, t->columns, t->n_columns, &r->cap_columns, sizeof(*t->columns));
    r->nodes = sm_arena_grow(r->arena, r->nodes, t->n_columns, &r->cap_nodes, sizeof(*r->nodes));
    r->nodes[t->n_columns] = map;
    t->columns[t->n_columns++] = c;
    return SM_OK;
}

/* The columns of a list of properties, with those below them; libfyaml bounds the depth. */
static sm_status read_columns(smi_reading *r, const sm_yaml *list, sm_yaml_place at, int32_t parent,
                              sm_error *e)
{
    SM_TRY(sm_yaml_want(r->d, list, at, SM_YAML_LIST, "properties", e));
    for (const sm_yaml *item = list->child; item; item = item->next) {
        sm_yaml_fields f;
        SM_TRY(read_property_fields(r, item, &f, e));
        SM_TRY(read_column(r, item, &f, parent, e));
        const int32_t own = (int32_t)r->table->n_columns - 1;
        if (f.has[PROP_ITEMS]) {
            smi_note_unchecked(r, f.places[PROP_ITEMS], "items", own);
        }
        SM_TRY(f.has[PROP_PROPERTIES]
                   ? read_columns(r, f.values[PROP_PROPERTIES], f.places[PROP_PROPERTIES], own, e)
                   : SM_OK);
    }
    return SM_OK;
}

/* A rule that a flag of a property says. */
static sm_status add_flag_rule(smi_reading *r, const sm_yaml_fields *f, int key, sm_rule_kind kind,
                               int32_t column, const smi_custom *custom, sm_error *e)
{
    bool is = false;
    int32_t *own = SM_NEW(r->arena, int32_t);

    SM_TRY(read_flag(r, f, key, &is, e));
    *own = column;
    const sm_rule rule = {.kind = kind,
                          .column = column,
                          .columns = own,
                          .n_columns = sm_rule_info_of(kind)->is_row ? 0 : 1,
                          .at = f->places[key]};
    return is ? smi_rule_add(r, &rule, custom, e) : SM_OK;
}

/* What is said at a property of what its rules do, where none of its rules is checked. */
static void note_idle(smi_reading *r, const smi_custom *custom, int32_t column, int64_t n_rules)
{
    const bool has_cast =
        r->table->columns[column].casts && custom->has_action && custom->action == SM_POLICY_NULL;

    if (r->table->n_rules > n_rules || has_cast ||
        !(custom->has_action || custom->has_fail_above || custom->has_share_per)) {
        return;
    }
    const sm_yaml_place at = custom->has_action       ? custom->action_at
                             : custom->has_fail_above ? custom->fail_above_at
                                                      : custom->share_at;
    smi_note(r, at,
             sm_arena_strf(r->arena,
                           "smelt's words at column %.*s have no effect: no rule of it is checked",
                           SM_STR_ARG(r->table->columns[column].path)));
}

static sm_status read_column_rules(smi_reading *r, int32_t column, const smi_custom *of_table,
                                   sm_error *e)
{
    sm_yaml_fields f;
    smi_custom custom = {0};
    sm_contract_column *c = &r->table->columns[column];
    const int64_t n_before = r->table->n_rules;
    SM_ASSERT(r->nodes && column < r->table->n_columns);

    SM_TRY(read_property_fields(r, r->nodes[column], &f, e));
    SM_TRY(smi_read_custom(r, f.values[PROP_CUSTOM], SMI_AT_PROPERTY, &custom, e));
    if (custom.has_action && custom.action == SM_POLICY_NULL && c->is_required) {
        return sm_yaml_at(r->d, custom.action_at,
                          sm_fail(e, SM_INVALID,
                                  "column %.*s must not be NULL, so its rules "
                                  "cannot have the action null",
                                  SM_STR_ARG(c->path)),
                          e);
    }
    const sm_yaml_place type_at =
        f.has[PROP_PHYSICAL_TYPE] ? f.values[PROP_PHYSICAL_TYPE]->at : c->at;
    SM_TRY(smi_column_made(r, c, type_at, of_table, &custom, e));
    SM_TRY(add_flag_rule(r, &f, PROP_REQUIRED, SM_RULE_REQUIRED, column, &custom, e));
    SM_TRY(add_flag_rule(r, &f, PROP_UNIQUE, SM_RULE_UNIQUE, column, &custom, e));
    if (c->key_position > 0 && (!f.has[PROP_REQUIRED] || !f.values[PROP_REQUIRED] ||
                                !sm_str_is(f.values[PROP_REQUIRED]->text, "true"))) {
        SM_TRY(add_flag_rule(r, &f, PROP_KEY, SM_RULE_REQUIRED, column, &custom, e));
    }
    if (f.has[PROP_OPTIONS]) {
        SM_TRY(smi_read_options(r, f.values[PROP_OPTIONS], f.places[PROP_OPTIONS], column, &custom,
                                e));
    }
    if (f.has[PROP_RELATIONSHIPS]) {
        SM_TRY(smi_read_relationships(r, f.values[PROP_RELATIONSHIPS], f.places[PROP_RELATIONSHIPS],
                                      column, &custom, e));
    }
    SM_TRY(f.has[PROP_QUALITY] ? smi_read_quality(r, f.values[PROP_QUALITY], f.places[PROP_QUALITY],
                                                  column, &custom, e)
                               : SM_OK);
    SM_TRY(smi_read_sla(r, column, &custom, e));
    note_idle(r, &custom, column, n_before);
    return SM_OK;
}

/* ---- tables ---------------------------------------------------------------------------------- */

enum {
    TABLE_NAME,
    TABLE_PHYSICAL,
    TABLE_DESCRIPTION,
    TABLE_PROPERTIES,
    TABLE_QUALITY,
    TABLE_RELATIONSHIPS,
    TABLE_CUSTOM,
    TABLE_LOGICAL
};

/* The columns of the primary key, by their positions; those without one come last. smelt's words at
 * the table are those of this rule: the others have a place of their own for them. */
static sm_status add_primary_key(smi_reading *r, const sm_yaml_fields *f, const smi_custom *custom,
                                 sm_error *e)
{
    const sm_contract_table *t = r->table;
    int32_t *columns = SM_NEW_ARRAY(r->arena, int32_t, t->n_columns + 1);
    int32_t n = 0;

    for (int32_t i = 0; i < t->n_columns; i++) {
        int32_t at = n;
        if (t->columns[i].key_position == 0) {
            continue;
        }
        for (; at > 0 && t->columns[columns[at - 1]].key_position > t->columns[i].key_position;
             at--) {
            columns[at] = columns[at - 1];
        }
        columns[at] = i;
        n++;
    }
    if (n == 0) {
        return custom->has_action || custom->has_fail_above || custom->has_share_per
                   ? sm_yaml_at(r->d, f->places[TABLE_CUSTOM],
                                sm_fail(e, SM_INVALID,
                                        "smelt's words at a table are for its primary key, and it "
                                        "has none"),
                                e)
                   : SM_OK;
    }
    const sm_rule rule = {.kind = SM_RULE_PRIMARY_KEY,
                          .column = -1,
                          .columns = columns,
                          .n_columns = n,
                          .at = t->columns[columns[0]].at};
    return smi_rule_add(r, &rule, custom, e);
}

/* Rules that stand in slaProperties come last, as contract_write.c writes them. */
static int compare_places(const void *a, const void *b)
{
    const sm_rule *p = a, *q = b;
    const sm_yaml_place x = p->at, y = q->at;

    if (smi_is_sla(p) != smi_is_sla(q)) {
        return smi_is_sla(p) ? 1 : -1;
    }
    return x.line != y.line ? (x.line > y.line) - (x.line < y.line)
                            : (x.byte > y.byte) - (x.byte < y.byte);
}

/* Puts the rules in the order of the file; no two have one name. */
static sm_status order_rules(smi_reading *r, sm_error *e)
{
    sm_contract_table *t = r->table;
    sm_map *names = sm_map_new(r->arena);

    if (t->n_rules > 0) {
        qsort(t->rules, (size_t)t->n_rules, sizeof(*t->rules), compare_places);
    }
    for (int64_t i = 0; i < t->n_rules; i++) {
        void **seen = sm_map_at(names, sm_text_lower(t->rules[i].name, r->arena));
        if (*seen) {
            const sm_status st = sm_fail(e, SM_EXISTS, "two rules are called \"%.*s\"",
                                         SM_STR_ARG(t->rules[i].name));
            sm_error_todo(e, "Give one of them a name.");
            return sm_yaml_at(r->d, t->rules[i].at, st, e);
        }
        *seen = t;
    }
    return SM_OK;
}

static sm_status read_table_rules(smi_reading *r, const sm_yaml_fields *f, sm_error *e)
{
    const smi_custom none = {0};
    smi_custom custom = {0};

    SM_TRY(smi_read_custom(r, f->values[TABLE_CUSTOM], SMI_AT_TABLE, &custom, e));
    for (int32_t i = 0; i < r->table->n_columns; i++) {
        SM_TRY(read_column_rules(r, i, &custom, e));
    }
    SM_TRY(add_primary_key(r, f, &custom, e));
    if (f->has[TABLE_RELATIONSHIPS]) {
        SM_TRY(smi_read_relationships(r, f->values[TABLE_RELATIONSHIPS],
                                      f->places[TABLE_RELATIONSHIPS], -1, &none, e));
    }
    if (f->has[TABLE_QUALITY]) {
        SM_TRY(
            smi_read_quality(r, f->values[TABLE_QUALITY], f->places[TABLE_QUALITY], -1, &none, e));
    }
    return order_rules(r, e);
}

static sm_status read_table(smi_reading *r, const sm_yaml *map, sm_error *e)
{
    static const char *const keys[] = {
        "name",
        "physicalName",
        "description",
        "properties",
        "quality",
        "relationships",
        "customProperties",
        "logicalType",
        "id",
        "physicalType",
        "businessName",
        "authoritativeDefinitions",
        "tags",
        "dataGranularityDescription",
        NULL,
    };
    sm_contract *c = r->c;
    sm_contract_table *t = &c->tables[c->n_tables];
    sm_yaml_fields f;

    r->table = t;
    r->nodes = NULL;
    r->columns = sm_map_new(r->arena);
    r->cap_columns = r->cap_nodes = r->cap_rules = 0;
    SM_TRY(sm_yaml_fields_read(r->d, map, "a table of the schema", keys, &f, e));
    SM_TRY(sm_yaml_fields_text(r->d, &f, TABLE_NAME, "a table of the schema", true, &t->name, e));
    t->at = f.values[TABLE_NAME]->at;
    t->physical = t->name;
    SM_TRY(sm_yaml_fields_text(r->d, &f, TABLE_PHYSICAL, "a table", false, &t->physical, e));
    SM_TRY(sm_yaml_fields_text(r->d, &f, TABLE_DESCRIPTION, "a table", false, &t->description, e));
    void **taken = sm_map_at(r->tables, sm_text_lower(t->name, r->arena));
    if (*taken) {
        return sm_yaml_at(r->d, t->at,
                          sm_fail(e, SM_EXISTS, "two tables are called %.*s", SM_STR_ARG(t->name)),
                          e);
    }
    *taken = t;
    SM_TRY(f.has[TABLE_PROPERTIES]
               ? read_columns(r, f.values[TABLE_PROPERTIES], f.places[TABLE_PROPERTIES], -1, e)
               : SM_OK);
    SM_TRY(read_table_rules(r, &f, e));
    c->n_tables++;
    return SM_OK;
}

/* ---- the file -------------------------------------------------------------------------------- */

enum {
    ROOT_API,
    ROOT_KIND,
    ROOT_ID,
    ROOT_NAME,
    ROOT_VERSION,
    ROOT_STATUS,
    ROOT_SCHEMA,
    ROOT_SLA,
    ROOT_SLA_ELEMENT,
    ROOT_CUSTOM
};

static sm_status check_version(smi_reading *r, const sm_yaml_fields *f, sm_error *e)
{
    static const sm_str versions[] = {{"v3.1.0", 6}, {"v3.0.2", 6}, {"v3.0.1", 6}, {"v3.0.0", 6}};
    sm_str kind = {0}, version = {0};

    SM_TRY(sm_yaml_fields_text(r->d, f, ROOT_KIND, "the contract", true, &kind, e));
    if (!sm_str_is(kind, "DataContract")) {
        return sm_yaml_at(
            r->d, f->values[ROOT_KIND]->at,
            sm_fail(e, SM_INVALID, "kind is DataContract, not \"%.*s\"", SM_STR_ARG(kind)), e);
    }
    SM_TRY(sm_yaml_fields_text(r->d, f, ROOT_API, "the contract", true, &version, e));
    for (int i = 0; i < SM_COUNT(versions); i++) {
        if (sm_str_eq(version, versions[i])) {
            r->is_old = i > 0;
            return SM_OK;
        }
    }
    const sm_status st = sm_yaml_fail_word(r->d, f->values[ROOT_API]->at, "no apiVersion", version,
                                           versions, SM_COUNT(versions), e);
    return sm_str_starts(version, SM_STR("v2."))
               ? sm_yaml_at(r->d, f->values[ROOT_API]->at,
                            sm_fail(e, SM_UNSUPPORTED, "contracts before v3.0.0 are not read"), e)
               : st;
}

static sm_status read_root(smi_reading *r, sm_error *e)
{
    static const char *const keys[] = {
        "apiVersion",
        "kind",
        "id",
        "name",
        "version",
        "status",
        "schema",
        "slaProperties",
        "slaDefaultElement",
        "customProperties",
        "tenant",
        "tags",
        "servers",
        "dataProduct",
        "description",
        "domain",
        "support",
        "price",
        "team",
        "roles",
        "authoritativeDefinitions",
        "contractCreatedTs",
        NULL,
    };
    sm_contract *c = r->c;
    smi_custom none = {0};
    sm_yaml_fields f;

    SM_TRY(sm_yaml_fields_read(r->d, c->yaml.root, "a contract", keys, &f, e));
    SM_TRY(smi_read_custom(r, f.values[ROOT_CUSTOM], SMI_NOWHERE, &none, e));
    SM_TRY(check_version(r, &f, e));
    SM_TRY(sm_yaml_fields_text(r->d, &f, ROOT_ID, "the contract", true, &c->id, e));
    SM_TRY(sm_yaml_fields_text(r->d, &f, ROOT_NAME, "the contract", false, &c->name, e));
    SM_TRY(sm_yaml_fields_text(r->d, &f, ROOT_VERSION, "the contract", true, &c->version, e));
    SM_TRY(sm_yaml_fields_text(r->d, &f, ROOT_STATUS, "the contract", true, &c->status, e));
    SM_TRY(
        sm_yaml_fields_text(r->d, &f, ROOT_SLA_ELEMENT, "the contract", false, &r->sla_element, e));
    r->sla = f.values[ROOT_SLA];
    SM_TRY(r->sla ? sm_yaml_want(r->d, r->sla, f.places[ROOT_SLA], SM_YAML_LIST, "slaProperties", e)
                  : SM_OK);
    if (!f.has[ROOT_SCHEMA]) { /* it says nothing of rows */
        return smi_check_sla(r, e);
    }
    const sm_yaml *schema = f.values[ROOT_SCHEMA];
    SM_TRY(sm_yaml_want(r->d, schema, f.places[ROOT_SCHEMA], SM_YAML_LIST, "schema", e));
    c->tables = SM_NEW_ARRAY(r->arena, sm_contract_table, schema->n_children + 1);
    r->n_schema = schema->n_children;
    for (const sm_yaml *item = schema->child; item; item = item->next) {
        SM_TRY(read_table(r, item, e));
    }
    return smi_check_sla(r, e);
}

sm_status sm_contract_read(sm_str name, sm_str text, sm_arena *a, sm_contract **out, sm_error *e)
{
    sm_contract *c = SM_NEW(a, sm_contract);
    smi_reading r = {.c = c, .d = &c->yaml, .arena = a, .tables = sm_map_new(a)};

    c->yaml = (sm_yaml_doc){.name = sm_arena_str(a, name), .arena = a};
    SM_TRY(sm_yaml_parse(&c->yaml, text, "the contract", e));
    SM_TRY(read_root(&r, e));
    *out = c;
    return SM_OK;
}

sm_status sm_contract_find(const sm_contract *c, sm_str name, sm_arena *a,
                           const sm_contract_table **out, sm_error *e)
{
    sm_str *names = SM_NEW_ARRAY(a, sm_str, c->n_tables);

    for (int64_t i = 0; i < c->n_tables; i++) {
        names[i] = c->tables[i].name;
        if (sm_str_eq_nocase(names[i], name) || (name.len == 0 && c->n_tables == 1)) {
            *out = &c->tables[i];
            return SM_OK;
        }
    }
    return sm_yaml_fail_word(&c->yaml, (sm_yaml_place){0}, "the contract has no table", name, names,
                             (int32_t)c->n_tables, e);
}
