/* SPDX-License-Identifier: Apache-2.0
 *
 * contract/contract_option.c: reads the rules under `logicalTypeOptions` of a property. Called by
 * contract_read.c.
 *
 * Bounds   An exclusive bound is a value in v3.1, and in v3.0 a flag beside the bound, which makes
 *          that bound exclusive.
 * Source   Open Data Contract Standard v3.1.0, docs/schema.md, "Logical Type Options" */
#include "contract/contract_int.h"

#define OF(type)  (1u << SM_LOGICAL_##type)
#define OF_TIMES  (OF(DATE) | OF(TIMESTAMP) | OF(TIME))
#define OF_NUMBER (OF(NUMBER) | OF(INTEGER))

/* What becomes of an option. */
typedef enum option_use {
    USE_RULE,
    USE_NONE,      /* it says how values are written elsewhere, not which there may be */
    USE_UNCHECKED, /* a rule that smelt does not have */
} option_use;

/* The options of each logicalType. */
static const struct {
    const char *key;
    unsigned of; /* types */
    option_use use;
    sm_rule_kind kind;
} options[] = {
    {"minLength", OF(STRING), USE_RULE, SM_RULE_MIN_LENGTH},
    {"maxLength", OF(STRING), USE_RULE, SM_RULE_MAX_LENGTH},
    {"pattern", OF(STRING), USE_RULE, SM_RULE_PATTERN},
    {"format", OF(STRING), USE_RULE, SM_RULE_TEXT_FORMAT},
    {"format", OF(INTEGER), USE_RULE, SM_RULE_INTEGER_FORMAT},
    {"format", OF(NUMBER) | OF_TIMES, USE_NONE, SM_RULES},
    {"minimum", OF_NUMBER | OF_TIMES, USE_RULE, SM_RULE_MINIMUM},
    {"exclusiveMinimum", OF_NUMBER | OF_TIMES, USE_RULE, SM_RULE_EXCLUSIVE_MINIMUM},
    {"maximum", OF_NUMBER | OF_TIMES, USE_RULE, SM_RULE_MAXIMUM},
    {"exclusiveMaximum", OF_NUMBER | OF_TIMES, USE_RULE, SM_RULE_EXCLUSIVE_MAXIMUM},
    {"multipleOf", OF_NUMBER, USE_RULE, SM_RULE_MULTIPLE_OF},
    {"timezone", OF(TIMESTAMP) | OF(TIME), USE_NONE, SM_RULES},
    {"defaultTimezone", OF(TIMESTAMP) | OF(TIME), USE_NONE, SM_RULES},
    {"minItems", OF(ARRAY), USE_UNCHECKED, SM_RULES},
    {"maxItems", OF(ARRAY), USE_UNCHECKED, SM_RULES},
    {"uniqueItems", OF(ARRAY), USE_UNCHECKED, SM_RULES},
    {"minProperties", OF(OBJECT), USE_UNCHECKED, SM_RULES},
    {"maxProperties", OF(OBJECT), USE_UNCHECKED, SM_RULES},
    {"required", OF(OBJECT), USE_UNCHECKED, SM_RULES},
};

/* Options while they are read; options[used[i]] is that of key i. */
typedef struct option_fields {
    const char *keys[SM_COUNT(options) + 1];
    int used[SM_COUNT(options)];
    sm_yaml_fields f;
} option_fields;

static int find_option(const option_fields *o, sm_rule_kind kind)
{
    int i = 0;

    while (o->keys[i] && options[o->used[i]].kind != kind) {
        i++;
    }
    return o->keys[i] ? i : -1;
}

/* In v3.0 an exclusive bound is a flag: then *flag is set. */
static sm_status read_bound_flag(const smi_reading *r, const option_fields *o, sm_rule_kind kind,
                                 bool *flag, sm_error *e)
{
    const int key = find_option(o, kind);
    const sm_yaml *value = key >= 0 && o->f.has[key] ? o->f.values[key] : NULL;

    *flag = value && value->is_plain &&
            (sm_str_is(value->text, "true") || sm_str_is(value->text, "false"));
    if (!*flag || r->is_old) {
        return SM_OK;
    }
    const sm_status st = sm_fail(e, SM_INVALID, "%s is a value in v3.1, not a flag", o->keys[key]);
    sm_error_todo(e, "Write %s: and the bound itself.", o->keys[key]);
    return sm_yaml_at(r->d, value->at, st, e);
}

/* Adds the rule of a bound, and of the exclusive one beside it. */
static sm_status read_bound(smi_reading *r, const option_fields *o, sm_rule_kind kind,
                            sm_rule_kind exclusive, int32_t column, const smi_custom *custom,
                            sm_error *e)
{
    bool is_flag = false;
    const int keys[] = {find_option(o, kind), find_option(o, exclusive)};

    SM_TRY(read_bound_flag(r, o, exclusive, &is_flag, e));
    const bool is_open = is_flag && sm_str_is(o->f.values[keys[1]]->text, "true");
    for (int i = 0; i < (is_flag ? 1 : 2); i++) {
        if (keys[i] < 0 || !o->f.has[keys[i]]) {
            continue;
        }
        sm_rule rule = {.kind = i == 1 || is_open ? exclusive : kind,
                        .column = column,
                        .at = o->f.places[keys[i]]};
        SM_TRY(smi_rule_argument(r, &rule, o->f.values[keys[i]], e));
        SM_TRY(smi_rule_add(r, &rule, custom, e));
    }
    return SM_OK;
}

static bool is_bound(sm_rule_kind k)
{
    return k == SM_RULE_MINIMUM || k == SM_RULE_EXCLUSIVE_MINIMUM || k == SM_RULE_MAXIMUM ||
           k == SM_RULE_EXCLUSIVE_MAXIMUM;
}

/* A format that only describes. */
static bool is_unchecked(const sm_rule *rule)
{
    for (int32_t i = 0; rule->kind == SM_RULE_TEXT_FORMAT && i < smi_n_text_formats; i++) {
        if (sm_str_eq(rule->text, smi_text_formats[i].word)) {
            return smi_text_formats[i].pattern.len == 0;
        }
    }
    return false;
}

static sm_status read_option(smi_reading *r, const option_fields *o, int key, int32_t column,
                             const smi_custom *custom, sm_error *e)
{
    const int i = o->used[key];
    sm_rule rule = {.kind = options[i].kind, .column = column, .at = o->f.places[key]};

    if (!o->f.has[key] || options[i].use == USE_NONE || is_bound(options[i].kind)) {
        return SM_OK;
    }
    if (options[i].use == USE_UNCHECKED) {
        smi_note_unchecked(r, rule.at, options[i].key, column);
        return SM_OK;
    }
    SM_TRY(smi_rule_argument(r, &rule, o->f.values[key], e));
    if (is_unchecked(&rule)) {
        smi_note_unchecked(r, rule.at, sm_arena_printf(r->arena, "format %s", rule.text.data),
                           column);
        return SM_OK;
    }
    return smi_rule_add(r, &rule, custom, e);
}

sm_status smi_read_options(smi_reading *r, const sm_yaml *node, sm_yaml_place at, int32_t column,
                           const smi_custom *custom, sm_error *e)
{
    const sm_contract_column *c = &r->table->columns[column];
    option_fields o = {0};
    int n = 0;

    if (c->logical == SM_LOGICAL_NONE) {
        return sm_yaml_at(r->d, at, sm_fail(e, SM_SYNTAX, "logicalTypeOptions need a logicalType"),
                          e);
    }
    for (int i = 0; i < SM_COUNT(options); i++) {
        if (options[i].of & 1u << c->logical) {
            o.keys[n] = options[i].key;
            o.used[n++] = i;
        }
    }
    SM_TRY(sm_yaml_fields_read(r->d, node, "this logicalTypeOptions", o.keys, &o.f, e));
    SM_TRY(read_bound(r, &o, SM_RULE_MINIMUM, SM_RULE_EXCLUSIVE_MINIMUM, column, custom, e));
    SM_TRY(read_bound(r, &o, SM_RULE_MAXIMUM, SM_RULE_EXCLUSIVE_MAXIMUM, column, custom, e));
    for (int i = 0; i < n; i++) {
        SM_TRY(read_option(r, &o, i, column, custom, e));
    }
    return SM_OK;
}
