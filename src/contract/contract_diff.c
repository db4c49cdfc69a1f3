/* SPDX-License-Identifier: Apache-2.0
 *
 * contract/contract_diff.c: what changed between two versions of a contract, and whom it breaks.
 *
 * Method   Tables and columns are matched by name, rules by name and kind; what is left of rules is
 *          matched by what they say, so that a rule with a new name is no new rule. Of a pair each
 *          part that differs is a change: a type, an argument, how many rows may break it, what
 *          becomes of these.
 * Breaks   Writers: rows that keep the old contract may break the new one. Readers: a query over
 *          the columns and types of the old one may fail. A rule that is loosened breaks nobody.
 * Unsure   Two patterns or two conditions are not compared; another one breaks writers. */
#include <math.h>

#include "base/quote.h"
#include "base/text.h"
#include "contract/contract_int.h"

typedef struct diffing {
    sm_arena *a;
    const sm_contract_table *before, *after; /* the tables that are compared */
    sm_contract_diff *out;
    int64_t cap;
} diffing;

/* How a part of a rule differs. */
typedef enum course { SAME, LOOSER, TIGHTER } course;

static unsigned breaks_by(course c)
{
    return c == TIGHTER ? SM_BREAKS_WRITERS : 0;
}

/* ---- changes --------------------------------------------------------------------------------- */

static void add(diffing *d, sm_contract_change change)
{
    sm_contract_diff *out = d->out;

    change.table = d->before ? d->before->name : d->after->name;
    out->changes =
        sm_arena_grow(d->a, out->changes, out->n_changes, &d->cap, sizeof(*out->changes));
    out->changes[out->n_changes++] = change;
    out->n_breaking += change.breaks != 0;
}

/* Of a part whose texts may be the same: then nothing changed. */
static void add_part(diffing *d, sm_str name, const char *what, sm_str before, sm_str after,
                     unsigned breaks)
{
    if (!sm_str_eq(before, after)) {
        add(d, (sm_contract_change){.name = name,
                                    .what = what,
                                    .kind = SM_CHANGE_CHANGED,
                                    .before = before,
                                    .after = after,
                                    .breaks = breaks});
    }
}

/* ---- columns --------------------------------------------------------------------------------- */

static int32_t find_column(const sm_contract_table *t, sm_str path)
{
    int32_t i = 0;

    while (i < t->n_columns && !sm_str_eq_nocase(t->columns[i].path, path)) {
        i++;
    }
    return i < t->n_columns ? i : -1;
}

static unsigned logical_breaks(sm_logical_type before, sm_logical_type after)
{
    if (before == SM_LOGICAL_NONE || (before == SM_LOGICAL_NUMBER && after == SM_LOGICAL_INTEGER)) {
        return SM_BREAKS_WRITERS;
    }
    const bool is_wider = before == SM_LOGICAL_INTEGER && after == SM_LOGICAL_NUMBER;
    return is_wider || after == SM_LOGICAL_NONE ? SM_BREAKS_READERS
                                                : SM_BREAKS_WRITERS | SM_BREAKS_READERS;
}

/* Types that smelt cannot read are of another engine, and not compared but by their texts. */
static unsigned physical_breaks(const diffing *d, sm_str before, sm_str after)
{
    const sm_type *old = NULL, *new = NULL;
    sm_error unused = {0};

    if (before.len == 0 || after.len == 0) {
        return after.len == 0 ? 0 : SM_BREAKS_WRITERS;
    }
    if (sm_type_parse(before, d->a, &old, &unused) != SM_OK ||
        sm_type_parse(after, d->a, &new, &unused) != SM_OK) {
        return SM_BREAKS_WRITERS | SM_BREAKS_READERS;
    }
    if (sm_type_eq(old, new) || sm_delta_may_widen(old, new)) {
        return 0;
    }
    return sm_delta_may_widen(new, old) ? SM_BREAKS_WRITERS : SM_BREAKS_WRITERS | SM_BREAKS_READERS;
}

/* What becomes of a value that cannot be cast; "": it is not. */
static sm_str cast_text(const sm_contract_column *c)
{
    return c->casts ? sm_str_of(sm_policy_name(c->cast_action)) : (sm_str){0};
}

/* What makes the values of a column when rows are written. Rows that leaned on it break where it is
 * gone. */
static void compare_making(diffing *d, const sm_contract_column *before,
                           const sm_contract_column *after)
{
    const sm_str none = {0};
    const unsigned lost = SM_BREAKS_WRITERS;

    add_part(d, before->path, "derive", before->derive, after->derive,
             after->derive.len == 0 ? lost : 0);
    add_part(d, before->path, "default", before->has_default ? before->default_text : none,
             after->has_default ? after->default_text : none, after->has_default ? 0 : lost);
    add_part(d, before->path, "cast", cast_text(before), cast_text(after),
             !after->casts || (before->casts && after->cast_action == SM_POLICY_FAIL) ? lost : 0);
}

static void compare_column(diffing *d, const sm_contract_column *before,
                           const sm_contract_column *after)
{
    add_part(d, before->path, "column name in the rows", before->physical, after->physical,
             SM_BREAKS_WRITERS | SM_BREAKS_READERS);
    add_part(d, before->path, "logicalType", smi_logical_words[before->logical],
             smi_logical_words[after->logical], logical_breaks(before->logical, after->logical));
    add_part(d, before->path, "physicalType", before->physical_type, after->physical_type,
             physical_breaks(d, before->physical_type, after->physical_type));
    compare_making(d, before, after);
}

static sm_str type_text(const diffing *d, const sm_contract_table *t, int32_t column)
{
    return sm_type_text(smi_column_type(t, column, d->a), d->a);
}

static void compare_columns(diffing *d)
{
    for (int32_t i = 0; i < d->before->n_columns; i++) {
        const sm_contract_column *c = &d->before->columns[i];
        const int32_t at = find_column(d->after, c->path);
        if (at >= 0) {
            compare_column(d, c, &d->after->columns[at]);
        } else {
            add(d, (sm_contract_change){.name = c->path,
                                        .what = "column",
                                        .kind = SM_CHANGE_REMOVED,
                                        .before = type_text(d, d->before, i),
                                        .breaks = SM_BREAKS_READERS});
        }
    }
    for (int32_t i = 0; i < d->after->n_columns; i++) {
        const sm_contract_column *c = &d->after->columns[i];
        if (find_column(d->before, c->path) < 0) {
            add(d, (sm_contract_change){.name = c->path,
                                        .what = "column",
                                        .kind = SM_CHANGE_ADDED,
                                        .after = type_text(d, d->after, i),
                                        .breaks = SM_BREAKS_WRITERS});
        }
    }
}

/* ---- what a rule is given -------------------------------------------------------------------- */

static sm_str columns_text(const diffing *d, const sm_contract_table *t, const sm_rule *r)
{
    sm_buf out = {0};

    for (int32_t i = 0; i < r->n_columns; i++) {
        sm_buf_printf(&out, "%s%.*s", i ? ", " : "", SM_STR_ARG(t->columns[r->columns[i]].path));
    }
    for (int32_t i = 0; r->other_columns && i < r->n_columns; i++) {
        sm_buf_printf(&out, "%s%.*s.%.*s", i ? ", " : " to ", SM_STR_ARG(r->other_table),
                      SM_STR_ARG(r->other_columns[i]));
    }
    return sm_arena_take(d->a, &out);
}

/* The argument of a rule, for people and to be compared; "" where its kind has none. */
static sm_str argument_text(const diffing *d, const sm_contract_table *t, const sm_rule *r)
{
    sm_buf out = {0};

    switch (sm_rule_info_of(r->kind)->argument) {
    case SM_ARGUMENT_NONE:
        return SM_STR("");
    case SM_ARGUMENT_VALUES:
        sm_buf_text(&out, r->takes_null ? SM_STR("null") : SM_STR(""));
        for (int32_t i = 0; i < r->n_values; i++) {
            sm_buf_printf(&out, "%s%.*s", out.len ? ", " : "", SM_STR_ARG(r->values[i].text));
        }
        return sm_arena_take(d->a, &out);
    case SM_ARGUMENT_COLUMNS:
    case SM_ARGUMENT_TARGET:
        return columns_text(d, t, r);
    case SM_ARGUMENT_GROUP_SQL:
        return sm_arena_strf(d->a, "%.*s by %.*s", SM_STR_ARG(r->text),
                             SM_STR_ARG(columns_text(d, t, r)));
    default:
        return r->text;
    }
}

/* Is the condition over constants true? false too where it is none. */
static bool is_true(const diffing *d, const char *condition)
{
    const sm_sql sql = {.name = SM_STR("bounds"), .text = sm_str_of(condition)};
    const sm_type *none = sm_type_struct(d->a, NULL, 0);
    const sm_expr *x = NULL;
    sm_error unused = {0};

    return sm_query_expr(&sql, none, NULL, d->a, &x, &unused) == SM_OK &&
           x->kind == SM_EXPR_CONST && x->type->id == SM_TYPE_BOOL && !x->value.is_null &&
           x->value.as.b;
}

/* A bound as SQL: a number as it is, so that it is compared exactly. */
static const char *bound_sql(const diffing *d, const sm_contract_table *t, const sm_rule *r)
{
    const sm_type *type = smi_column_type(t, r->column, d->a);
    double number = 0;
    sm_buf out = {0};

    if (sm_type_is_number(type->id) && sm_parse_f64(r->text, false, &number)) {
        return sm_arena_printf(d->a, "(%.*s)", SM_STR_ARG(r->text));
    }
    sm_buf_text(&out, SM_STR("CAST("));
    sm_buf_quoted(&out, r->text, '\'');
    sm_buf_printf(&out, " AS %s)", sm_type_text(type, d->a).data);
    return sm_arena_take(d->a, &out).data;
}

static course compare_bounds(const diffing *d, const sm_rule *before, const sm_rule *after,
                             const char *looser)
{
    const char *old = bound_sql(d, d->before, before), *new = bound_sql(d, d->after, after);

    return is_true(d, sm_arena_printf(d->a, "%s = %s", new, old))            ? SAME
           : is_true(d, sm_arena_printf(d->a, "%s %s %s", new, looser, old)) ? LOOSER
                                                                             : TIGHTER;
}

static bool has_value(const sm_rule *r, sm_str text)
{
    int32_t i = 0;

    while (i < r->n_values && !sm_str_eq(r->values[i].text, text)) {
        i++;
    }
    return i < r->n_values;
}

/* Are all values of one rule among those of another? */
static bool has_all(const sm_rule *r, const sm_rule *of)
{
    bool has = true;

    for (int32_t i = 0; i < of->n_values; i++) {
        has = has && has_value(r, of->values[i].text);
    }
    return has;
}

static course compare_values(const sm_rule *before, const sm_rule *after)
{
    const bool keeps = has_all(after, before), adds = !has_all(before, after);

    if (before->kind == SM_RULE_VALID_VALUES) { /* NULL in its list changes nothing */
        return !keeps ? TIGHTER : adds ? LOOSER : SAME;
    }
    return adds || (after->takes_null && !before->takes_null)     ? TIGHTER
           : !keeps || (before->takes_null && !after->takes_null) ? LOOSER
                                                                  : SAME;
}

static const smi_integer_format *integer_format(const sm_rule *r)
{
    const smi_integer_format *f = smi_integer_formats;

    while (!sm_str_eq(f->word, r->text)) {
        f++;
        SM_ASSERT(f < smi_integer_formats + smi_n_integer_formats);
    }
    return f;
}

static course compare_ranges(const sm_rule *before, const sm_rule *after)
{
    const smi_integer_format *old = integer_format(before), *new = integer_format(after);
    const bool has_least = !new->has_least || (old->has_least && new->least <= old->least);
    const bool has_greatest =
        !new->has_greatest || (old->has_greatest && new->greatest >= old->greatest);

    return has_least && has_greatest ? LOOSER : TIGHTER;
}

/* Where the texts of both arguments differ. */
static course compare_arguments(const diffing *d, const sm_rule *before, const sm_rule *after)
{
    switch (before->kind) {
    case SM_RULE_MINIMUM:
    case SM_RULE_EXCLUSIVE_MINIMUM:
        return compare_bounds(d, before, after, "<");
    case SM_RULE_MAXIMUM:
    case SM_RULE_EXCLUSIVE_MAXIMUM:
        return compare_bounds(d, before, after, ">");
    case SM_RULE_MIN_LENGTH:
    case SM_RULE_MAX_LENGTH:
        return is_true(d, sm_arena_printf(d->a, "%.*s %s %.*s", SM_STR_ARG(after->text),
                                          before->kind == SM_RULE_MIN_LENGTH ? "<" : ">",
                                          SM_STR_ARG(before->text)))
                   ? LOOSER
                   : TIGHTER;
    case SM_RULE_MULTIPLE_OF:
        return is_true(d, sm_arena_printf(d->a, "%.*s %% %.*s = 0", SM_STR_ARG(before->text),
                                          SM_STR_ARG(after->text)))
                   ? LOOSER
                   : TIGHTER;
    case SM_RULE_INTEGER_FORMAT:
        return compare_ranges(before, after);
    case SM_RULE_VALID_VALUES:
    case SM_RULE_MISSING_VALUES:
        return compare_values(before, after);
    default:
        return TIGHTER;
    }
}

/* ---- how many rows may break it -------------------------------------------------------------- */

/* The numbers that a limit allows: from `least` to `greatest`, which belong to it or not; or, with
 * is_outside, all others. */
typedef struct range {
    double least, greatest;
    bool least_open, greatest_open, is_outside;
} range;

static range range_of(const sm_rule_limit *l)
{
    const bool is_less = l->op == SM_MUST_BE_LESS || l->op == SM_MUST_BE_LESS_OR_EQUAL;
    const bool is_greater = l->op == SM_MUST_BE_GREATER || l->op == SM_MUST_BE_GREATER_OR_EQUAL;
    const bool is_between = l->op == SM_MUST_BE_BETWEEN || l->op == SM_MUST_NOT_BE_BETWEEN;

    return (range){.least = is_less ? -INFINITY : l->value,
                   .greatest = is_greater   ? INFINITY
                               : is_between ? l->to
                                            : l->value,
                   .least_open = l->op == SM_MUST_BE_GREATER,
                   .greatest_open = l->op == SM_MUST_BE_LESS,
                   .is_outside = l->op == SM_MUST_NOT_BE || l->op == SM_MUST_NOT_BE_BETWEEN};
}

/* Does x allow all that y allows, both not outside of theirs? */
static bool holds_range(const range *x, const range *y)
{
    const bool from =
        x->least < y->least || (!(x->least > y->least) && (!x->least_open || y->least_open));
    const bool to = x->greatest > y->greatest ||
                    (!(x->greatest < y->greatest) && (!x->greatest_open || y->greatest_open));

    return from && to;
}

static course compare_limits(const sm_rule_limit *before, const sm_rule_limit *after)
{
    const range old = range_of(before), new = range_of(after);
    const bool is_none = before->op == SM_MUST_BE && !(before->value > 0); /* 0 rows are 0% */

    if (before->is_percent != after->is_percent && !is_none) {
        return TIGHTER;
    }
    if (old.is_outside || new.is_outside) {
        return old.is_outside && new.is_outside &&holds_range(&old, &new) ? LOOSER : TIGHTER;
    }
    return holds_range(&new, &old) ? LOOSER : TIGHTER;
}

/* Beyond how many broken rows a check fails. */
static double fails_above(const sm_rule *r)
{
    return r->has_fail_above ? r->fail_above.value : r->action == SM_POLICY_WARN ? INFINITY : 0;
}

static course compare_tolerance(const sm_rule *before, const sm_rule *after)
{
    const double old = fails_above(before), new = fails_above(after);
    const bool same_unit = before->fail_above.is_percent == after->fail_above.is_percent ||
                           !(old > 0) || !(new > 0) || isinf(old) || isinf(new);

    return !same_unit || new < old ? TIGHTER : new > old ? LOOSER : SAME;
}

/* How much an action does to a row, or to the write. */
static int strictness(sm_policy p)
{
    return p == SM_POLICY_WARN ? 0 : p == SM_POLICY_NULL ? 1 : p == SM_POLICY_QUARANTINE ? 2 : 3;
}

/* Of an age in microseconds: its unit may be another one. */
static sm_rule_limit limit_of(const sm_rule *r)
{
    sm_rule_limit l = r->limit;

    l.value *= r->kind == SM_RULE_FRESHNESS ? smi_age_unit_us(r) : 1;
    return l;
}

static void compare_allowed(diffing *d, const sm_rule *before, const sm_rule *after)
{
    sm_buf old = {0}, new = {0};

    smi_print_allowed(before, &old);
    smi_print_allowed(after, &new);
    const sm_rule_limit was = limit_of(before), is = limit_of(after);
    const bool same_limit = was.op == is.op && was.is_percent == is.is_percent &&
                            !(was.value < is.value) && !(was.value > is.value) &&
                            !(was.to < is.to) && !(was.to > is.to);
    const course limit = same_limit ? SAME : compare_limits(&was, &is);
    const course tolerance = compare_tolerance(before, after);
    add_part(d, before->name, "allowed", sm_arena_take(d->a, &old), sm_arena_take(d->a, &new),
             breaks_by(limit == TIGHTER || tolerance == TIGHTER ? TIGHTER : LOOSER));
}

/* The column whose groups a percentage is looked at in; "": it is one of all rows. */
static sm_str group_column(const sm_contract_table *t, const sm_rule *r)
{
    return r->has_share_per ? t->columns[r->share_per].path : (sm_str){0};
}

/* ---- rules ----------------------------------------------------------------------------------- */

static void compare_rule(diffing *d, const sm_rule *before, const sm_rule *after)
{
    const sm_str old = argument_text(d, d->before, before);
    const sm_str new = argument_text(d, d->after, after);
    const bool is_limit = sm_rule_info_of(before->kind)->argument == SM_ARGUMENT_AGE;

    add_part(d, before->name, "name", before->name, after->name, 0);
    if (!sm_str_eq(old, new) && !is_limit) { /* an age is what is allowed, too */
        const course c = compare_arguments(d, before, after);
        add_part(d, before->name, sm_rule_info_of(before->kind)->name, old, new, breaks_by(c));
    }
    compare_allowed(d, before, after);
    add_part(d, before->name, "share per", group_column(d->before, before),
             group_column(d->after, after), after->has_share_per ? SM_BREAKS_WRITERS : 0);
    add_part(d, before->name, "action", sm_str_of(sm_policy_name(before->action)),
             sm_str_of(sm_policy_name(after->action)),
             strictness(after->action) > strictness(before->action) ? SM_BREAKS_WRITERS : 0);
}

/* Do both say the same, whatever they are called? */
static bool says_same(const diffing *d, const sm_rule *before, const sm_rule *after)
{
    const bool have_columns = before->column >= 0 && after->column >= 0;

    return before->kind == after->kind && (before->column < 0) == (after->column < 0) &&
           (!have_columns || sm_str_eq_nocase(d->before->columns[before->column].path,
                                              d->after->columns[after->column].path)) &&
           sm_str_eq(argument_text(d, d->before, before), argument_text(d, d->after, after));
}

/* For each rule of the old table its rule of the new one, or −1. */
static int64_t *match_rules(const diffing *d, bool *is_taken)
{
    int64_t *of = SM_NEW_ARRAY(d->a, int64_t, d->before->n_rules + 1);

    for (int64_t i = 0; i < d->before->n_rules; i++) {
        const sm_rule *r = &d->before->rules[i];
        of[i] = -1;
        for (int64_t k = 0; k < d->after->n_rules; k++) {
            if (r->kind == d->after->rules[k].kind &&
                sm_str_eq_nocase(r->name, d->after->rules[k].name)) {
                of[i] = k;
                is_taken[k] = true;
            }
        }
    }
    for (int64_t i = 0; i < d->before->n_rules; i++) {
        for (int64_t k = 0; of[i] < 0 && k < d->after->n_rules; k++) {
            if (!is_taken[k] && says_same(d, &d->before->rules[i], &d->after->rules[k])) {
                of[i] = k;
                is_taken[k] = true;
            }
        }
    }
    return of;
}

static sm_str rule_text(const diffing *d, const sm_contract_table *t, const sm_rule *r)
{
    const sm_str argument = argument_text(d, t, r);

    return argument.len > 0 ? argument : SM_STR("true");
}

/* Is it of a column that the other table has not? That the column came or went says enough. */
static bool is_of_missing(const sm_contract_table *t, const sm_rule *r,
                          const sm_contract_table *other)
{
    return r->column >= 0 && find_column(other, t->columns[r->column].path) < 0;
}

static void compare_rules(diffing *d)
{
    bool *is_taken = SM_NEW_ARRAY(d->a, bool, d->after->n_rules + 1);
    const int64_t *of = match_rules(d, is_taken);

    for (int64_t i = 0; i < d->before->n_rules; i++) {
        const sm_rule *r = &d->before->rules[i];
        if (of[i] >= 0) {
            compare_rule(d, r, &d->after->rules[of[i]]);
        } else if (!is_of_missing(d->before, r, d->after)) {
            add(d, (sm_contract_change){.name = r->name,
                                        .what = "rule",
                                        .kind = SM_CHANGE_REMOVED,
                                        .before = rule_text(d, d->before, r)});
        }
    }
    for (int64_t k = 0; k < d->after->n_rules; k++) {
        const sm_rule *r = &d->after->rules[k];
        if (!is_taken[k] && !is_of_missing(d->after, r, d->before)) {
            add(d, (sm_contract_change){.name = r->name,
                                        .what = "rule",
                                        .kind = SM_CHANGE_ADDED,
                                        .after = rule_text(d, d->after, r),
                                        .breaks = r->action == SM_POLICY_WARN && !r->has_fail_above
                                                      ? 0
                                                      : SM_BREAKS_WRITERS});
        }
    }
}

/* ---- tables ---------------------------------------------------------------------------------- */

static const sm_contract_table *find_table(const sm_contract *c, sm_str name)
{
    for (int64_t i = 0; i < c->n_tables; i++) {
        if (sm_str_eq_nocase(c->tables[i].name, name)) {
            return &c->tables[i];
        }
    }
    return NULL;
}

void sm_contract_compare(const sm_contract *before, const sm_contract *after, sm_arena *a,
                         sm_contract_diff *out)
{
    diffing d = {.a = a, .out = out};

    *out = (sm_contract_diff){.before = before, .after = after};
    for (int64_t i = 0; i < before->n_tables; i++) {
        d.before = &before->tables[i];
        d.after = find_table(after, d.before->name);
        if (d.after) {
            add_part(&d, d.before->name, "table name in the lake", d.before->physical,
                     d.after->physical, SM_BREAKS_READERS);
            compare_columns(&d);
            compare_rules(&d);
        } else {
            add(&d, (sm_contract_change){.name = d.before->name,
                                         .what = "table",
                                         .kind = SM_CHANGE_REMOVED,
                                         .before = d.before->physical,
                                         .breaks = SM_BREAKS_READERS});
        }
    }
    for (int64_t i = 0; i < after->n_tables; i++) {
        d.before = NULL;
        d.after = &after->tables[i];
        if (!find_table(before, d.after->name)) {
            add(&d, (sm_contract_change){.name = d.after->name,
                                         .what = "table",
                                         .kind = SM_CHANGE_ADDED,
                                         .after = d.after->physical});
        }
    }
}
