/* SPDX-License-Identifier: Apache-2.0
 *
 * contract/contract_write.c: the model as a contract file.
 *
 * Order    Rules are in the order of the file, which decides by which rule a row is quarantined. So
 *          the keys of a property and of a table stand in the order of their first rule; those
 *          without a rule come last, in a fixed order.
 * Lost     is what the model does not have: sections that say nothing of rows, and what was noted
 *          as not checked.
 * Source   Open Data Contract Standard v3.1.0, docs/schema.md, docs/data-quality.md */
#include "base/hash.h"
#include "base/text.h"
#include "base/yaml_write.h"
#include "contract/contract_int.h"

/* A contract while it is written. */
typedef struct writing {
    sm_yaml_writer w;
    const sm_contract_table *t;
    sm_arena *a;
} writing;

/* ---- values ---------------------------------------------------------------------------------- */

/* The shortest text of a number, which JSON has too. */
static sm_str number_text(const writing *x, double v)
{
    char text[SM_F64_TEXT_BYTES];
    const size_t n = sm_format_f64(v, text);
    const sm_str s = sm_arena_str(x->a, (sm_str){text, n});

    return sm_str_ends(s, SM_STR(".0")) ? (sm_str){s.data, n - 2} : s;
}

static void set_number_or_text(writing *x, const char *key, sm_str text)
{
    if (sm_yaml_is_number(text)) {
        sm_yaml_set_plain(&x->w, key, text);
    } else {
        sm_yaml_set_text(&x->w, key, text);
    }
}

static void set_text(writing *x, const char *key, sm_str text)
{
    if (text.len > 0) {
        sm_yaml_set_text(&x->w, key, text);
    }
}

/* ---- smelt's own words ----------------------------------------------------------------------- */

static bool same_limit(const sm_rule_limit *x, const sm_rule_limit *y)
{
    return x->op == y->op && !(x->value < y->value) && !(x->value > y->value) &&
           x->is_percent == y->is_percent;
}

static void put_custom(writing *x, const char *name, sm_str value)
{
    sm_yaml_begin_item(&x->w);
    sm_yaml_set_text(&x->w, "property", sm_str_of(name));
    set_number_or_text(x, "value", value);
    sm_yaml_end_item(&x->w);
}

static void write_made(writing *x, const sm_contract_column *c)
{
    if (c->derive.len > 0) {
        put_custom(x, "smelt.derive", c->derive);
    }
    if (c->has_default) {
        put_custom(x, "smelt.default", c->default_text);
    }
    if (c->casts) {
        put_custom(x, "smelt.cast", SM_STR("true"));
    }
}

/* customProperties with what `own` says otherwise than `outer`, which holds where it says nothing;
 * of a column, also what is made of its values. */
static void write_custom(writing *x, const sm_rule *own, const sm_rule *outer,
                         const sm_contract_column *column)
{
    const bool is_made = column && (column->derive.len > 0 || column->has_default || column->casts);
    const bool has_action = own->action != outer->action;
    const bool has_limit =
        own->has_fail_above &&
        !(outer->has_fail_above && same_limit(&own->fail_above, &outer->fail_above));

    const bool has_share =
        own->has_share_per && !(outer->has_share_per && own->share_per == outer->share_per);

    if (!has_action && !has_limit && !has_share && !is_made) {
        return;
    }
    sm_yaml_set_list(&x->w, "customProperties");
    if (has_action) {
        put_custom(x, "smelt.onViolation", sm_str_of(sm_policy_name(own->action)));
    }
    if (has_limit) {
        const sm_str n = number_text(x, own->fail_above.value);
        put_custom(x, "smelt.failAbove",
                   own->fail_above.is_percent ? sm_arena_strf(x->a, "%.*s%%", SM_STR_ARG(n)) : n);
    }
    if (has_share) {
        put_custom(x, "smelt.sharePer", x->t->columns[own->share_per].path);
    }
    if (is_made) {
        write_made(x, column);
    }
    sm_yaml_end(&x->w);
}

/* ---- quality rules --------------------------------------------------------------------------- */

static void write_limit(writing *x, const sm_rule_limit *limit)
{
    static const char *const words[] = {
        [SM_MUST_BE] = "mustBe",
        [SM_MUST_NOT_BE] = "mustNotBe",
        [SM_MUST_BE_GREATER] = "mustBeGreaterThan",
        [SM_MUST_BE_GREATER_OR_EQUAL] = "mustBeGreaterOrEqualTo",
        [SM_MUST_BE_LESS] = "mustBeLessThan",
        [SM_MUST_BE_LESS_OR_EQUAL] = "mustBeLessOrEqualTo",
        [SM_MUST_BE_BETWEEN] = "mustBeBetween",
        [SM_MUST_NOT_BE_BETWEEN] = "mustNotBeBetween",
    };

    if (limit->is_percent) {
        sm_yaml_set_text(&x->w, "unit", SM_STR("percent"));
    }
    if (limit->op == SM_MUST_BE_BETWEEN || limit->op == SM_MUST_NOT_BE_BETWEEN) {
        sm_yaml_set_line(&x->w, words[limit->op]);
        sm_yaml_put_plain(&x->w, number_text(x, limit->value));
        sm_yaml_put_plain(&x->w, number_text(x, limit->to));
        sm_yaml_end_line(&x->w);
    } else {
        sm_yaml_set_plain(&x->w, words[limit->op], number_text(x, limit->value));
    }
}

static void write_values(writing *x, const char *key, const sm_rule *r)
{
    sm_yaml_set_line(&x->w, key);
    if (r->takes_null) {
        sm_yaml_put_plain(&x->w, SM_STR("null"));
    }
    for (int32_t i = 0; i < r->n_values; i++) {
        const sm_rule_value *v = &r->values[i];
        const bool is_word =
            sm_yaml_is_number(v->text) || sm_str_is(v->text, "true") || sm_str_is(v->text, "false");
        if (v->is_plain && is_word) {
            sm_yaml_put_plain(&x->w, v->text);
        } else {
            sm_yaml_put_text(&x->w, v->text);
        }
    }
    sm_yaml_end_line(&x->w);
}

static void write_column_names(writing *x, const char *key, const sm_rule *r)
{
    sm_yaml_set_line(&x->w, key);
    for (int32_t i = 0; i < r->n_columns; i++) {
        sm_yaml_put_text(&x->w, x->t->columns[r->columns[i]].path);
    }
    sm_yaml_end_line(&x->w);
}

/* A rule of the standard's library: its metric, arguments and operator. */
static void write_metric(writing *x, const char *metric, const sm_rule *r)
{
    sm_yaml_set_text(&x->w, "metric", sm_str_of(metric));
    const bool has_columns = r->kind == SM_RULE_DUPLICATE_VALUES && r->column < 0;
    const bool has_values = r->kind == SM_RULE_VALID_VALUES || r->kind == SM_RULE_MISSING_VALUES;
    if (has_columns || has_values || r->kind == SM_RULE_PATTERN) {
        sm_yaml_set_map(&x->w, "arguments");
        if (has_columns) {
            write_column_names(x, "properties", r);
        } else if (has_values) {
            write_values(x, sm_rule_info_of(r->kind)->name, r);
        } else {
            sm_yaml_set_text(&x->w, "pattern", r->text);
        }
        sm_yaml_end(&x->w);
    }
    write_limit(x, &r->limit);
}

/* A rule in smelt's own words: SQL over a row, or over groups. */
static void write_own(writing *x, const sm_rule *r)
{
    sm_yaml_set_text(&x->w, "type", SM_STR("custom"));
    sm_yaml_set_text(&x->w, "engine", SM_STR("smelt"));
    if (r->kind == SM_RULE_EXPRESSION) {
        sm_yaml_set_text(&x->w, "implementation", r->text);
        return;
    }
    sm_yaml_set_map(&x->w, "implementation");
    if (r->kind == SM_RULE_FRESHNESS) {
        sm_yaml_set_text(&x->w, "freshness", r->text);
    } else if (r->kind == SM_RULE_VOLUME) {
        sm_yaml_set_map(&x->w, "volume");
        sm_yaml_set_text(&x->w, "within", sm_arena_strf(x->a, "%.15g%%", r->limit.to));
        sm_yaml_set_plain(&x->w, "of", r->text);
        sm_yaml_end(&x->w);
    } else {
        SM_ASSERT(r->kind == SM_RULE_GROUP);
        write_column_names(x, "groupBy", r);
        sm_yaml_set_text(&x->w, "check", r->text);
    }
    sm_yaml_end(&x->w);
}

static void write_quality_rule(writing *x, const sm_rule *r, const sm_rule *outer)
{
    sm_yaml_begin_item(&x->w);
    if (!sm_str_eq(r->name, smi_rule_default_name(x->t, r, x->a))) {
        sm_yaml_set_text(&x->w, "name", r->name);
    }
    switch (r->kind) {
    case SM_RULE_PATTERN:
    case SM_RULE_VALID_VALUES:
        write_metric(x, "invalidValues", r);
        break;
    case SM_RULE_QUERY:
        sm_yaml_set_text(&x->w, "type", SM_STR("sql"));
        sm_yaml_set_text(&x->w, "query", r->text);
        write_limit(x, &r->limit);
        break;
    case SM_RULE_EXPRESSION:
    case SM_RULE_GROUP:
    case SM_RULE_FRESHNESS:
    case SM_RULE_VOLUME:
        write_own(x, r);
        break;
    default:
        write_metric(x, sm_rule_info_of(r->kind)->name, r);
        break;
    }
    set_text(x, "description", r->description);
    write_custom(x, r, outer, NULL);
    sm_yaml_end_item(&x->w);
}

/* ---- references ------------------------------------------------------------------------------ */

static void write_ends(writing *x, const char *key, sm_str table, const sm_str *columns, int32_t n)
{
    for (int32_t i = 0; i < n; i++) {
        sm_buf text = {0};
        sm_buf_text(&text, table);
        sm_buf_text(&text, SM_STR("."));
        sm_buf_text(&text, columns[i]);
        const sm_str end = sm_arena_take(x->a, &text);
        if (n == 1) {
            sm_yaml_set_text(&x->w, key, end);
            return;
        }
        if (i == 0) {
            sm_yaml_set_line(&x->w, key);
        }
        sm_yaml_put_text(&x->w, end);
    }
    sm_yaml_end_line(&x->w);
}

static void write_reference(writing *x, const sm_rule *r, const sm_rule *outer)
{
    sm_yaml_begin_item(&x->w);
    if (r->column < 0) {
        sm_str *own = SM_NEW_ARRAY(x->a, sm_str, r->n_columns);
        for (int32_t i = 0; i < r->n_columns; i++) {
            own[i] = x->t->columns[r->columns[i]].path;
        }
        write_ends(x, "from", x->t->name, own, r->n_columns);
    }
    write_ends(x, "to", r->other_table, r->other_columns, r->n_columns);
    write_custom(x, r, outer, NULL);
    sm_yaml_end_item(&x->w);
}

/* ---- groups of rules ------------------------------------------------------------------------- */

/* The keys that rules stand under, in the order of those that have none. */
typedef enum key_group {
    GROUP_REQUIRED,
    GROUP_UNIQUE,
    GROUP_KEY,
    GROUP_OPTIONS,
    GROUP_REFERENCES,
    GROUP_QUALITY,
    GROUP_PROPERTIES,
    GROUPS,
} key_group;

/* GROUPS: it stands at no column (write_sla). */
static key_group group_of(const sm_rule *r)
{
    return smi_is_sla(r)                    ? GROUPS
           : r->is_quality                  ? GROUP_QUALITY
           : r->kind == SM_RULE_REQUIRED    ? GROUP_REQUIRED
           : r->kind == SM_RULE_UNIQUE      ? GROUP_UNIQUE
           : r->kind == SM_RULE_PRIMARY_KEY ? GROUP_KEY
           : r->kind == SM_RULE_REFERENCE   ? GROUP_REFERENCES
                                            : GROUP_OPTIONS;
}

/* Does a column lie in the object `above`? −1: in the table. */
static bool is_within(const sm_contract_table *t, int32_t column, int32_t above)
{
    while (column >= 0 && t->columns[column].parent != above) {
        column = t->columns[column].parent;
    }
    return column >= 0;
}

/* For each group of a column (−1: of the table) its first rule; INT64_MAX: none. */
static void find_groups(const sm_contract_table *t, int32_t column, int64_t first[GROUPS])
{
    for (int g = 0; g < GROUPS; g++) {
        first[g] = INT64_MAX;
    }
    for (int64_t i = t->n_rules - 1; i >= 0; i--) {
        const sm_rule *r = &t->rules[i];
        const int32_t of = r->kind == SM_RULE_PRIMARY_KEY ? r->columns[0] : r->column;
        if (group_of(r) == GROUPS) {
            continue;
        }
        if (r->column == column && r->kind != SM_RULE_PRIMARY_KEY) {
            first[group_of(r)] = i;
        } else if (is_within(t, of, column)) {
            first[GROUP_PROPERTIES] = i;
        }
    }
}

static bool has_fields(const sm_contract_table *t, int32_t column)
{
    for (int32_t i = column + 1; i < t->n_columns; i++) {
        if (t->columns[i].parent == column) {
            return true;
        }
    }
    return false;
}

static void write_options(writing *x, int32_t column)
{
    sm_yaml_set_map(&x->w, "logicalTypeOptions");
    for (int64_t i = 0; i < x->t->n_rules; i++) {
        const sm_rule *r = &x->t->rules[i];
        if (r->column != column || group_of(r) != GROUP_OPTIONS) {
            continue;
        }
        if (r->kind == SM_RULE_PATTERN) {
            sm_yaml_set_text(&x->w, "pattern", r->text);
        } else {
            set_number_or_text(x, sm_rule_info_of(r->kind)->name, r->text);
        }
    }
    sm_yaml_end(&x->w);
}

static void write_list(writing *x, int32_t column, key_group group, const sm_rule *outer)
{
    sm_yaml_set_list(&x->w, group == GROUP_QUALITY ? "quality" : "relationships");
    for (int64_t i = 0; i < x->t->n_rules; i++) {
        const sm_rule *r = &x->t->rules[i];
        if (r->column != column || r->kind == SM_RULE_PRIMARY_KEY || group_of(r) != group) {
            continue;
        }
        if (group == GROUP_QUALITY) {
            write_quality_rule(x, r, outer);
        } else {
            write_reference(x, r, outer);
        }
    }
    sm_yaml_end(&x->w);
}

static void write_columns(writing *x, int32_t parent);

static void write_group(writing *x, int32_t column, key_group group, const sm_rule *outer)
{
    const int32_t key = column >= 0 ? x->t->columns[column].key_position : 0;

    switch (group) {
    case GROUP_REQUIRED:
        sm_yaml_set_plain(&x->w, "required", SM_STR("true"));
        break;
    case GROUP_UNIQUE:
        sm_yaml_set_plain(&x->w, "unique", SM_STR("true"));
        break;
    case GROUP_KEY:
        sm_yaml_set_plain(&x->w, "primaryKey", SM_STR("true"));
        if (key != INT32_MAX) {
            sm_yaml_set_plain(&x->w, "primaryKeyPosition", sm_arena_strf(x->a, "%d", key));
        }
        break;
    case GROUP_OPTIONS:
        write_options(x, column);
        break;
    case GROUP_PROPERTIES:
        write_columns(x, column);
        break;
    default:
        write_list(x, column, group, outer);
        break;
    }
}

/* The keys of a column (−1: of the table) that have rules, by their first ones. `outer`: what holds
 * for rules below that say nothing. */
static void write_groups(writing *x, int32_t column, int64_t first[GROUPS], const sm_rule *outer)
{
    bool is_there[GROUPS];

    for (int g = 0; g < GROUPS; g++) {
        is_there[g] = first[g] != INT64_MAX;
    }
    is_there[GROUP_KEY] = column >= 0 && x->t->columns[column].key_position > 0;
    is_there[GROUP_PROPERTIES] = has_fields(x->t, column);
    for (int n = 0; n < GROUPS; n++) {
        int next = -1;
        for (int g = 0; g < GROUPS; g++) {
            if (is_there[g] && (next < 0 || first[g] < first[next])) {
                next = g;
            }
        }
        if (next >= 0) {
            is_there[next] = false;
            write_group(x, column, (key_group)next, outer);
        }
    }
}

/* ---- columns and tables ---------------------------------------------------------------------- */

static void write_column(writing *x, int32_t column)
{
    static const sm_rule plain = {.action = SM_POLICY_FAIL}, nulls = {.action = SM_POLICY_NULL};
    const sm_contract_column *c = &x->t->columns[column];
    const sm_rule *outer = c->casts && c->cast_action == SM_POLICY_NULL ? &nulls : &plain;
    int64_t first[GROUPS];

    sm_yaml_begin_item(&x->w);
    sm_yaml_set_text(&x->w, "name", c->name);
    if (!sm_str_eq(c->name, c->physical)) {
        sm_yaml_set_text(&x->w, "physicalName", c->physical);
    }
    set_text(x, "logicalType", smi_logical_words[c->logical]);
    set_text(x, "physicalType", c->physical_type);
    set_text(x, "description", c->description);
    find_groups(x->t, column, first);
    for (int g = GROUP_REQUIRED; g <= GROUP_OPTIONS; g++) {
        outer = first[g] != INT64_MAX ? &x->t->rules[first[g]] : outer;
    }
    for (int64_t i = 0; i < x->t->n_rules && outer == &plain; i++) {
        const sm_rule *r = &x->t->rules[i];
        outer = smi_is_sla(r) && r->column == column ? r : outer; /* it has the property's words */
    }
    write_custom(x, outer, &plain, c);
    write_groups(x, column, first, outer);
    sm_yaml_end_item(&x->w);
}

static void write_columns(writing *x, int32_t parent)
{
    sm_yaml_set_list(&x->w, "properties");
    for (int32_t i = parent + 1; i < x->t->n_columns; i++) {
        if (x->t->columns[i].parent == parent) {
            write_column(x, i);
        }
    }
    sm_yaml_end(&x->w);
}

static void write_table(writing *x)
{
    static const sm_rule plain = {.action = SM_POLICY_FAIL};
    int64_t first[GROUPS];

    sm_yaml_begin_item(&x->w);
    sm_yaml_set_text(&x->w, "name", x->t->name);
    if (!sm_str_eq(x->t->name, x->t->physical)) {
        sm_yaml_set_text(&x->w, "physicalName", x->t->physical);
    }
    set_text(x, "description", x->t->description);
    for (int64_t i = 0; i < x->t->n_rules; i++) {
        if (x->t->rules[i].kind == SM_RULE_PRIMARY_KEY) { /* the only rule that is of the table */
            write_custom(x, &x->t->rules[i], &plain, NULL);
        }
    }
    find_groups(x->t, -1, first);
    write_groups(x, -1, first, &plain);
    sm_yaml_end_item(&x->w);
}

/* What stands in slaProperties; *is_open: their list was begun. */
static void write_sla(writing *x, bool *is_open)
{
    for (int64_t i = 0; i < x->t->n_rules; i++) {
        const sm_rule *r = &x->t->rules[i];
        const char *unit = smi_is_sla(r) ? memchr(r->text.data, ' ', r->text.len) : NULL;
        if (!unit) {
            continue;
        }
        if (!*is_open) {
            sm_yaml_set_list(&x->w, "slaProperties");
        }
        *is_open = true;
        sm_yaml_begin_item(&x->w);
        sm_yaml_set_text(&x->w, "property", SM_STR("latency"));
        sm_yaml_set_plain(&x->w, "value", (sm_str){r->text.data, (size_t)(unit - r->text.data)});
        const size_t at = (size_t)(unit - r->text.data) + 1;
        sm_yaml_set_text(&x->w, "unit", (sm_str){r->text.data + at, r->text.len - at});
        set_text(x, "description", r->description);
        sm_yaml_set_text(&x->w, "element",
                         sm_arena_strf(x->a, "%.*s.%.*s", SM_STR_ARG(x->t->name),
                                       SM_STR_ARG(x->t->columns[r->column].path)));
        sm_yaml_end_item(&x->w);
    }
}

void sm_contract_write(const sm_contract *c, sm_arena *a, sm_buf *out)
{
    writing x = {.w = {.out = out}, .a = a};
    bool has_sla = false;

    sm_yaml_set_text(&x.w, "apiVersion", SM_STR("v3.1.0"));
    sm_yaml_set_text(&x.w, "kind", SM_STR("DataContract"));
    sm_yaml_set_text(&x.w, "id", c->id);
    set_text(&x, "name", c->name);
    sm_yaml_set_text(&x.w, "version", c->version);
    sm_yaml_set_text(&x.w, "status", c->status);
    if (c->n_tables == 0) {
        return;
    }
    sm_yaml_set_list(&x.w, "schema");
    for (int64_t i = 0; i < c->n_tables; i++) {
        x.t = &c->tables[i];
        write_table(&x);
    }
    sm_yaml_end(&x.w);
    for (int64_t i = 0; i < c->n_tables; i++) {
        x.t = &c->tables[i];
        write_sla(&x, &has_sla);
    }
    if (has_sla) {
        sm_yaml_end(&x.w);
    }
}

sm_str sm_contract_hash(const sm_contract *c, sm_arena *a)
{
    char hex[33];
    sm_buf text = {0};
    sm_arena *scratch = sm_arena_new(NULL);

    sm_contract_write(c, scratch, &text);
    sm_hash128_hex(sm_hash128_of(text.data, text.len, 0), hex);
    sm_buf_release(&text);
    sm_arena_free(scratch);
    return sm_arena_str(a, sm_str_of(hex));
}
