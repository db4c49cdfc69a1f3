/* SPDX-License-Identifier: Apache-2.0
 *
 * contract/contract_sla.c: reads `slaProperties` of a contract: `latency` and `freshness` of a
 * column are a rule of it. Called by contract_read.c, for each column and once at the end.
 *
 * Element  "table.column", several with commas between. Of a contract with one table its name may
 *          be left out. A key of its own, slaDefaultElement, says it for properties without one.
 * Others   (retention, frequency, availability, …) say nothing of rows that are there; that they
 *          are not checked is noted.
 * Source   Open Data Contract Standard v3.1.0, docs/service-level-agreement.md */
#include "base/text.h"
#include "contract/contract_int.h"

enum { SLA_PROPERTY, SLA_VALUE, SLA_UNIT, SLA_ELEMENT, SLA_DESCRIPTION, SLA_CUSTOM };

static sm_status read_fields(const smi_reading *r, const sm_yaml *item, sm_yaml_fields *f,
                             sm_error *e)
{
    static const char *const keys[] = {
        "property",
        "value",
        "unit",
        "element",
        "description",
        "customProperties",
        /* what says nothing of the rows: */
        "id",
        "valueExt",
        "driver",
        "scheduler",
        "schedule",
        "authoritativeDefinitions",
        "tags",
        NULL,
    };

    return sm_yaml_fields_read(r->d, item, "a service level", keys, f, e);
}

/* ---- ages ------------------------------------------------------------------------------------ */

sm_status smi_read_age(const smi_reading *r, sm_rule *rule, sm_str text, sm_str unit,
                       sm_yaml_place at, sm_error *e)
{
    /* The rule's word, and other words for it. No month and no year: they have no one length. */
    static const struct {
        const char *word;
        const char *const names[5];
    } units[] = {
        {"s", {"s", "sec", "second", "seconds"}}, {"min", {"min", "mins", "minute", "minutes"}},
        {"h", {"h", "hr", "hour", "hours"}},      {"d", {"d", "day", "days"}},
        {"w", {"w", "wk", "week", "weeks"}},
    };
    sm_str words[SM_COUNT(units)];
    double number = 0;

    if (!sm_parse_f64(text, false, &number) || !(number > 0)) {
        return sm_yaml_at(
            r->d, at,
            sm_fail(e, SM_INVALID, "an age is a number above 0, not \"%.*s\"", SM_STR_ARG(text)),
            e);
    }
    for (int i = 0; i < SM_COUNT(units); i++) {
        words[i] = sm_str_of(units[i].word);
        for (int k = 0; units[i].names[k]; k++) {
            if (sm_str_is(unit, units[i].names[k])) {
                rule->kind = SM_RULE_FRESHNESS;
                rule->text = sm_arena_strf(r->arena, "%.*s %s", SM_STR_ARG(text), units[i].word);
                rule->limit = (sm_rule_limit){.op = SM_MUST_BE_LESS_OR_EQUAL, .value = number};
                return SM_OK;
            }
        }
    }
    return sm_yaml_fail_word(r->d, at, "no unit of an age", unit, words, SM_COUNT(words), e);
}

/* ---- elements -------------------------------------------------------------------------------- */

/* The next of the elements of a list with commas; false: there is none. */
static bool next_element(sm_str *list, sm_str *out)
{
    size_t n = 0;

    while (list->len > 0 && (list->data[0] == ' ' || list->data[0] == ',')) {
        *list = (sm_str){list->data + 1, list->len - 1};
    }
    while (n < list->len && list->data[n] != ',') {
        n++;
    }
    *out = (sm_str){list->data, n};
    *list = (sm_str){list->data + n, list->len - n};
    while (out->len > 0 && out->data[out->len - 1] == ' ') {
        out->len--;
    }
    return out->len > 0;
}

/* Is the element that column of the table? The table's name may be left out where it is the only
 * one. */
static bool is_column(sm_str element, const sm_contract_table *t, sm_str path, bool is_only)
{
    const bool has_table = element.len > t->name.len && sm_str_starts(element, t->name) &&
                           element.data[t->name.len] == '.';
    const size_t skip = has_table ? t->name.len + 1 : 0;

    return (is_only && sm_str_eq(element, path)) ||
           (has_table && sm_str_eq((sm_str){element.data + skip, element.len - skip}, path));
}

/* Is it a service level that rows can be checked for? */
static sm_status is_checked(const smi_reading *r, const sm_yaml_fields *f, bool *out, sm_error *e)
{
    sm_str property = {0};

    SM_TRY(sm_yaml_fields_text(r->d, f, SLA_PROPERTY, "a service level", true, &property, e));
    *out = sm_str_is(property, "latency") || sm_str_is(property, "freshness");
    return SM_OK;
}

/* The elements of a service level. */
static sm_status elements_of(const smi_reading *r, const sm_yaml_fields *f, sm_str *out,
                             sm_error *e)
{
    *out = r->sla_element;
    return sm_yaml_fields_text(r->d, f, SLA_ELEMENT, "a service level", false, out, e);
}

static sm_status add_rule(smi_reading *r, const sm_yaml_fields *f, int32_t column,
                          const smi_custom *custom, sm_error *e)
{
    sm_rule rule = {.column = column, .at = f->at};
    sm_str value = {0}, unit = {0};
    smi_custom own = *custom;

    SM_TRY(sm_yaml_fields_text(r->d, f, SLA_VALUE, "a service level", true, &value, e));
    SM_TRY(sm_yaml_fields_text(r->d, f, SLA_UNIT, "a service level", true, &unit, e));
    SM_TRY(sm_yaml_fields_text(r->d, f, SLA_DESCRIPTION, "a service level", false,
                               &rule.description, e));
    SM_TRY(smi_read_age(r, &rule, value, unit, f->at, e));
    own.has_action = own.has_action && !smi_mends(own.action); /* that is for rows */
    own.has_fail_above = own.has_share_per = false;            /* so are these */
    return smi_rule_add(r, &rule, &own, e);
}

sm_status smi_read_sla(smi_reading *r, int32_t column, const smi_custom *custom, sm_error *e)
{
    const sm_contract_table *t = r->table;

    for (const sm_yaml *item = r->sla ? r->sla->child : NULL; item; item = item->next) {
        sm_str list = {0}, element = {0};
        bool is = false;
        sm_yaml_fields f;
        SM_TRY(read_fields(r, item, &f, e));
        SM_TRY(is_checked(r, &f, &is, e));
        SM_TRY(is ? elements_of(r, &f, &list, e) : SM_OK);
        while (next_element(&list, &element)) {
            if (is_column(element, t, t->columns[column].path, r->n_schema == 1)) {
                SM_TRY(add_rule(r, &f, column, custom, e));
            }
        }
    }
    return SM_OK;
}

/* ---- what is not checked --------------------------------------------------------------------- */

/* An element names a column, or a table: of a table alone nothing is checked, which is noted. */
static sm_status check_element(smi_reading *r, const sm_yaml_fields *f, sm_str element, sm_error *e)
{
    const sm_contract *c = r->c;
    sm_str *names = NULL;
    int64_t n_names = 0, cap = 0;

    for (int64_t i = 0; i < c->n_tables; i++) {
        const sm_contract_table *t = &c->tables[i];
        if (sm_str_eq(element, t->name)) {
            smi_note(r, f->at,
                     sm_arena_strf(r->arena,
                                   "the service level of %.*s is not checked: it names no column",
                                   SM_STR_ARG(element)));
            return SM_OK;
        }
        for (int64_t k = 0; k < t->n_columns; k++) {
            if (is_column(element, t, t->columns[k].path, r->n_schema == 1)) {
                return SM_OK;
            }
            names = sm_arena_grow(r->arena, names, n_names, &cap, sizeof(*names));
            names[n_names++] = sm_arena_strf(r->arena, "%.*s.%.*s", SM_STR_ARG(t->name),
                                             SM_STR_ARG(t->columns[k].path));
        }
    }
    return sm_yaml_fail_word(r->d, f->has[SLA_ELEMENT] ? f->values[SLA_ELEMENT]->at : f->at,
                             "the contract has no column", element, names, (int32_t)n_names, e);
}

static sm_status check_level(smi_reading *r, const sm_yaml *item, sm_error *e)
{
    sm_str list = {0}, element = {0};
    smi_custom none = {0};
    bool is = false;
    sm_yaml_fields f;

    SM_TRY(read_fields(r, item, &f, e));
    SM_TRY(smi_read_custom(r, f.values[SLA_CUSTOM], SMI_NOWHERE, &none, e));
    SM_TRY(is_checked(r, &f, &is, e));
    SM_TRY(elements_of(r, &f, &list, e));
    if (!is || list.len == 0) {
        sm_str property = {0};
        SM_TRY(sm_yaml_text(r->d, f.values[SLA_PROPERTY], "property", &property, e));
        smi_note(r, f.at,
                 sm_arena_strf(r->arena, "the service level %.*s is not checked%s",
                               SM_STR_ARG(property), is ? ": it has no element" : ""));
        return SM_OK;
    }
    while (next_element(&list, &element)) {
        SM_TRY(check_element(r, &f, element, e));
    }
    return SM_OK;
}

sm_status smi_check_sla(smi_reading *r, sm_error *e)
{
    for (const sm_yaml *item = r->sla ? r->sla->child : NULL; item; item = item->next) {
        SM_TRY(check_level(r, item, e));
    }
    return SM_OK;
}
