/* SPDX-License-Identifier: Apache-2.0
 *
 * contract/contract_custom.c: reads smelt's own words, which the standard has a place for: the
 * customProperties of a table, a property or a rule. Called by contract_read.c, contract_quality.c
 * and contract_reference.c.
 *
 * Words     are the rows of one table below, with the places where each may stand. Custom
 *           properties without "smelt." are others' and are passed over. */
#include "base/text.h"
#include "contract/contract_int.h"

/* ---- what becomes of rows -------------------------------------------------------------------- */

static sm_status read_fail_above(const smi_reading *r, const sm_yaml *value, smi_custom *out,
                                 sm_error *e)
{
    sm_str text = {0};
    double number = 0;

    SM_TRY(sm_yaml_text(r->d, value, "smelt.failAbove", &text, e));
    const bool is_percent = sm_str_ends(text, SM_STR("%"));
    if (!sm_parse_f64((sm_str){text.data, text.len - is_percent}, false, &number) || number < 0) {
        const sm_status st =
            sm_fail(e, SM_INVALID, "smelt.failAbove cannot be \"%.*s\"", SM_STR_ARG(text));
        sm_error_todo(e, "Write a number of rows (100) or their share (\"0.1%%\").");
        return sm_yaml_at(r->d, value->at, st, e);
    }
    out->has_fail_above = true;
    out->fail_above_at = value->at;
    out->fail_above = (sm_rule_limit){SM_MUST_BE_GREATER, number, 0, is_percent};
    return SM_OK;
}

static sm_status read_action(const smi_reading *r, const sm_yaml *value, smi_custom *out,
                             sm_error *e)
{
    const unsigned takes = SM_TAKES(SM_POLICY_FAIL) | SM_TAKES(SM_POLICY_QUARANTINE) |
                           SM_TAKES(SM_POLICY_WARN) | SM_TAKES(SM_POLICY_NULL);
    sm_str word = {0};

    SM_TRY(sm_yaml_text(r->d, value, "smelt.onViolation", &word, e));
    out->has_action = true;
    out->action_at = value->at;
    return sm_yaml_at(r->d, value->at,
                      sm_policy_parse("smelt.onViolation", word, takes, &out->action, e), e);
}

static sm_status read_share_per(const smi_reading *r, const sm_yaml *value, smi_custom *out,
                                sm_error *e)
{
    out->has_share_per = true;
    out->share_at = value->at;
    return smi_find_column(r, value, &out->share_per, e);
}

/* ---- what is made of rows -------------------------------------------------------------------- */

static sm_status read_derive(const smi_reading *r, const sm_yaml *value, smi_custom *out,
                             sm_error *e)
{
    out->made_at = value->at;
    SM_TRY(sm_yaml_text(r->d, value, "smelt.derive", &out->derive, e));
    return out->derive.len > 0
               ? SM_OK
               : sm_yaml_at(r->d, value->at, sm_fail(e, SM_SYNTAX, "smelt.derive is empty"), e);
}

static sm_status read_default(const smi_reading *r, const sm_yaml *value, smi_custom *out,
                              sm_error *e)
{
    out->made_at = value->at;
    out->has_default = true;
    SM_TRY(sm_yaml_text(r->d, value, "smelt.default", &out->default_text, e));
    return value->is_plain && smi_is_null_word(out->default_text)
               ? sm_yaml_at(r->d, value->at,
                            sm_fail(e, SM_INVALID, "smelt.default is what takes the place of NULL"),
                            e)
               : SM_OK;
}

static sm_status read_cast(const smi_reading *r, const sm_yaml *value, smi_custom *out, sm_error *e)
{
    out->made_at = value->at;
    out->has_casts = true;
    return smi_read_bool(r, value, "smelt.cast", &out->casts, e);
}

/* ---- words ----------------------------------------------------------------------------------- */

static const struct {
    sm_str name;
    unsigned places;
    sm_status (*read)(const smi_reading *r, const sm_yaml *value, smi_custom *out, sm_error *e);
} words[] = {
    {{"smelt.onViolation", 17}, SMI_AT_TABLE | SMI_AT_PROPERTY | SMI_AT_RULE, read_action},
    {{"smelt.failAbove", 15}, SMI_AT_TABLE | SMI_AT_PROPERTY | SMI_AT_RULE, read_fail_above},
    {{"smelt.sharePer", 14}, SMI_AT_TABLE | SMI_AT_PROPERTY | SMI_AT_RULE, read_share_per},
    {{"smelt.derive", 12}, SMI_AT_PROPERTY, read_derive},
    {{"smelt.default", 13}, SMI_AT_PROPERTY, read_default},
    {{"smelt.cast", 10}, SMI_AT_TABLE | SMI_AT_PROPERTY, read_cast},
};

static sm_status read_word(const smi_reading *r, const sm_yaml *at, sm_str name,
                           const sm_yaml *value, smi_custom_place place, smi_custom *out,
                           sm_error *e)
{
    sm_str names[SM_COUNT(words)];
    int32_t n = 0;

    if (place == SMI_NOWHERE) {
        const sm_status st = sm_fail(e, SM_INVALID, "%.*s has no effect here", SM_STR_ARG(name));
        sm_error_todo(e, "Write it at the property that it is for, or leave it out.");
        return sm_yaml_at(r->d, at->at, st, e);
    }
    for (int i = 0; i < SM_COUNT(words); i++) {
        const bool is_here = words[i].places & place;
        if (sm_str_eq(name, words[i].name)) {
            return is_here
                       ? words[i].read(r, value, out, e)
                       : sm_yaml_at(r->d, at->at,
                                    sm_fail(e, SM_INVALID, "%.*s stands on a property%s",
                                            SM_STR_ARG(name),
                                            words[i].places & SMI_AT_TABLE ? " or a table" : ""),
                                    e);
        }
        if (is_here) {
            names[n++] = words[i].name;
        }
    }
    return sm_yaml_fail_word(r->d, at->at, "no custom property", name, names, n, e);
}

sm_status smi_read_custom(const smi_reading *r, const sm_yaml *list, smi_custom_place place,
                          smi_custom *out, sm_error *e)
{
    static const char *const keys[] = {"id", "property", "value", "description", NULL};

    SM_TRY(list ? sm_yaml_want(r->d, list, list->at, SM_YAML_LIST, "customProperties", e) : SM_OK);
    for (const sm_yaml *item = list ? list->child : NULL; item; item = item->next) {
        sm_yaml_fields f;
        sm_str name = {0};
        SM_TRY(sm_yaml_fields_read(r->d, item, "a custom property", keys, &f, e));
        SM_TRY(sm_yaml_fields_text(r->d, &f, 1, "a custom property", true, &name, e));
        if (!f.has[2]) {
            return sm_yaml_at(r->d, f.at, sm_fail(e, SM_SYNTAX, "a custom property has no value"),
                              e);
        }
        if (sm_str_starts(name, SM_STR("smelt."))) {
            SM_TRY(read_word(r, f.values[1], name, f.values[2], place, out, e));
        }
    }
    return SM_OK;
}

/* ---- a property ------------------------------------------------------------------------------ */

/* Why a property cannot have what its words say; NULL: it can. */
static const char *refuse_made(const sm_contract_column *c, const smi_custom *custom)
{
    const bool has_any = c->derive.len > 0 || c->has_default || custom->has_casts;

    if (has_any && c->parent >= 0) {
        return "it is a field within an object";
    }
    if (c->derive.len > 0 && c->has_default) {
        return "what is derived has no default: its SQL may say coalesce(…)";
    }
    return custom->has_casts && custom->casts && c->physical_type.len == 0
               ? "it has no physicalType to be cast to"
               : NULL;
}

/* The physicalType that a column is cast to is one that smelt knows. */
static sm_status check_cast(const smi_reading *r, const sm_contract_column *c, sm_yaml_place at,
                            sm_error *e)
{
    const sm_type *type = NULL;
    const sm_status st = c->casts ? sm_type_parse(c->physical_type, r->arena, &type, e) : SM_OK;

    if (st == SM_OK) {
        return SM_OK;
    }
    e->byte = -1; /* in the text of the type */
    return sm_within(e, sm_yaml_at(r->d, at, st, e), "physicalType of column %.*s",
                     SM_STR_ARG(c->path));
}

sm_status smi_column_made(const smi_reading *r, sm_contract_column *c, sm_yaml_place type_at,
                          const smi_custom *of_table, const smi_custom *custom, sm_error *e)
{
    c->derive = custom->derive;
    c->has_default = custom->has_default;
    c->default_text = custom->default_text;
    c->made_at = custom->made_at;
    const char *why = refuse_made(c, custom);
    if (why) {
        return sm_yaml_at(
            r->d, custom->made_at,
            sm_fail(e, SM_INVALID, "column %.*s cannot be made so: %s", SM_STR_ARG(c->path), why),
            e);
    }
    c->casts = custom->has_casts ? custom->casts
                                 : of_table->casts && c->parent < 0 && c->physical_type.len > 0;
    if (c->casts && !custom->has_casts) {
        c->made_at = custom->made_at.line > 0 ? custom->made_at : of_table->made_at;
    }
    if (c->casts && custom->has_action && custom->action == SM_POLICY_NULL) {
        c->cast_action = SM_POLICY_NULL;
    }
    return check_cast(r, c, type_at, e);
}
