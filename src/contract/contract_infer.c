/* SPDX-License-Identifier: Apache-2.0
 *
 * contract/contract_infer.c: a contract that is proposed from rows.
 *
 * Method   1. The first 10,000 rows say which columns may have few values, and which may be unique.
 *          2. One aggregate over all rows counts values, finds the least and the greatest, the
 *             lengths of texts, and how many texts are of each format.
 *          3. Each column that may still be unique, or have few values, is grouped by itself, which
 *             is exact, and spills where it does not fit.
 * Rules    required     no NULL in any row (of a field: in any object)
 *          unique       a whole number or text, required, no value twice, in 20 rows at least
 *          format       all texts are of it
 *          validValues  a text with at most 32 values, each of which stands for 20 rows or more
 *          Bounds and lengths are none of them: that no greater value has come yet does not say
 *          that none will. They stand in the description, to be made rules by who knows. */
#include <inttypes.h>

#include "base/text.h"
#include "contract/contract_int.h"

enum {
    SAMPLE_ROWS = 10000,
    MOST_VALUES = 32,  /* of validValues */
    ROWS_A_VALUE = 20, /* that it must stand for, on average */
    UNIQUE_ROWS = 20,  /* fewer are different by chance */
    SHOWN_BYTES = 60,  /* of a value in a description */
    VALUE_BYTES = 200, /* of one in validValues: longer ones are no codes */
    NO_ITEM = -1,
};

/* What is known of a column, and where the aggregates have it. */
typedef struct facts {
    const sm_expr *x;
    int32_t at_count, at_distinct, at_least, at_lengths, at_formats; /* items; NO_ITEM: none */
    int64_t n_values;                                                /* without NULL */
    sm_value least, greatest;
    int64_t least_length, greatest_length;
    const smi_text_format *format;  /* of all texts; NULL: of none */
    bool may_be_unique, may_be_few; /* by the rows of the sample */
    bool is_unique;
    const sm_value *values; /* all that there are; NULL: too many */
    int32_t n_distinct;     /* of them */
} facts;

typedef struct inference {
    const sm_plan_node *rows;
    const sm_exec_env *env;
    sm_arena *a;
    smi_making m;
    const sm_contract_table *t; /* m.t */
    facts *facts;               /* one a column */
    int64_t cap_facts;
    smi_items items; /* of the pass that is being made */
    int64_t n_rows;
} inference;

/* ---- columns --------------------------------------------------------------------------------- */

static bool is_text(const facts *f)
{
    return f->x->type->id == SM_TYPE_STRING;
}

/* Has it an order that is worth telling? */
static bool is_ordered(const facts *f)
{
    const sm_logical_type logical = smi_logical_of(f->x->type);

    return is_text(f) || (logical >= SM_LOGICAL_DATE && logical <= SM_LOGICAL_INTEGER);
}

/* Adds a column with all fields below it; the schema's depth is bounded by those who made it. */
static void add_columns(inference *p, const sm_type *of, const sm_expr *within, int32_t parent)
{
    for (int32_t i = 0; i < of->n_fields; i++) {
        const sm_expr *x = within ? sm_expr_field(within, i, p->a) : sm_expr_column(of, i, p->a);
        p->facts = sm_arena_grow(p->a, p->facts, p->t->n_columns, &p->cap_facts, sizeof(*p->facts));
        const int32_t own =
            smi_make_column(&p->m, of->fields[i].name, parent, smi_logical_of(x->type));
        p->facts[own] = (facts){.x = x};
        if (x->type->id == SM_TYPE_STRUCT) {
            add_columns(p, x->type, x, own);
        } else {
            p->m.t->columns[own].physical_type = sm_type_text(x->type, p->a);
        }
    }
}

/* ---- 1: a sample ----------------------------------------------------------------------------- */

/* Values of these types may be keys. Days, times and numbers with fractions differ by chance. */
static bool is_key_type(const facts *f)
{
    return is_text(f) || sm_type_is_integer(f->x->type->id);
}

static sm_status look_at_sample(inference *p, sm_error *e)
{
    sm_batch *row = NULL;
    int32_t at_rows = 0;

    smi_items_begin(&p->items);
    SM_TRY(smi_items_add(&p->items, "count", NULL, NULL, &at_rows, e));
    for (int64_t i = 0; i < p->t->n_columns; i++) {
        facts *f = &p->facts[i];
        f->at_distinct = NO_ITEM;
        if (is_key_type(f)) {
            SM_TRY(smi_items_add(&p->items, "count", f->x, NULL, &f->at_count, e));
            SM_TRY(smi_items_add(&p->items, "count", f->x, NULL, &f->at_distinct, e));
            sm_agg_item *item = &p->items.items[f->at_distinct];
            SM_TRY(sm_expr_distinct(item->call, p->a, &item->call, e));
        }
    }
    SM_TRY(smi_items_run(&p->items, sm_plan_limit(p->rows, SAMPLE_ROWS, 0, p->a), &row, NULL, e));
    const int64_t n_rows = smi_whole_at(row, at_rows);
    for (int64_t i = 0; i < p->t->n_columns; i++) {
        facts *f = &p->facts[i];
        if (f->at_distinct == NO_ITEM) {
            continue;
        }
        const int64_t n_values = smi_whole_at(row, f->at_count);
        const int64_t n_distinct = smi_whole_at(row, f->at_distinct);
        f->may_be_unique = n_values == n_rows && n_distinct == n_rows;
        f->may_be_few = is_text(f) && n_distinct <= MOST_VALUES;
    }
    sm_batch_release(row);
    return SM_OK;
}

/* ---- 2: all rows ----------------------------------------------------------------------------- */

/* What a text must be beside its format's pattern, for the format to be proposed: "note:1" has the
 * form of a URI too. */
static sm_status add_format(inference *p, facts *f, const smi_text_format *format, int32_t *at,
                            sm_error *e)
{
    const sm_expr *holds = NULL;

    SM_TRY(smi_text_format_holds(format, f->x, p->a, &holds, e));
    if (sm_str_is(format->word, "uri")) {
        const sm_expr *const args[] = {f->x, sm_expr_constant(sm_value_str(SM_STR("://")), p->a)};
        const sm_expr *parts[] = {holds, NULL};
        SM_TRY(sm_expr_call("contains", args, 2, p->a, &parts[1], e));
        SM_TRY(sm_expr_and(parts, 2, p->a, &holds, e));
    }
    return smi_items_add(&p->items, "count", NULL, holds, at, e);
}

/* Is a format proposed? Words are host names too. */
static bool is_telling(const smi_text_format *format)
{
    return format->pattern.len > 0 && !sm_str_is(format->word, "hostname");
}

static sm_status add_column_items(inference *p, facts *f, sm_error *e)
{
    const sm_expr *length = NULL;
    int32_t at = 0;

    f->at_least = f->at_lengths = f->at_formats = NO_ITEM;
    SM_TRY(smi_items_add(&p->items, "count", f->x, NULL, &f->at_count, e));
    if (is_ordered(f)) {
        SM_TRY(smi_items_add(&p->items, "min", f->x, NULL, &f->at_least, e));
        SM_TRY(smi_items_add(&p->items, "max", f->x, NULL, &at, e));
    }
    if (!is_text(f)) {
        return SM_OK;
    }
    SM_TRY(sm_expr_call("length", &f->x, 1, p->a, &length, e));
    SM_TRY(smi_items_add(&p->items, "min", length, NULL, &f->at_lengths, e));
    SM_TRY(smi_items_add(&p->items, "max", length, NULL, &at, e));
    f->at_formats = p->items.n;
    for (int32_t i = 0; i < smi_n_text_formats; i++) {
        SM_TRY(is_telling(&smi_text_formats[i]) ? add_format(p, f, &smi_text_formats[i], &at, e)
                                                : SM_OK);
    }
    return SM_OK;
}

static void take_facts(const inference *p, const sm_batch *row, facts *f)
{
    f->n_values = smi_whole_at(row, f->at_count);
    if (f->at_least != NO_ITEM) {
        f->least = sm_column_value_copy(&row->columns[f->at_least], 0, p->a);
        f->greatest = sm_column_value_copy(&row->columns[f->at_least + 1], 0, p->a);
    }
    if (f->at_lengths == NO_ITEM) {
        return;
    }
    f->least_length = smi_whole_at(row, f->at_lengths);
    f->greatest_length = smi_whole_at(row, f->at_lengths + 1);
    int32_t at = f->at_formats;
    for (int32_t i = 0; i < smi_n_text_formats; i++) {
        if (!is_telling(&smi_text_formats[i])) {
            continue;
        }
        if (!f->format && f->n_values > 0 && smi_whole_at(row, at) == f->n_values) {
            f->format = &smi_text_formats[i];
        }
        at++;
    }
}

static sm_status look_at_all(inference *p, sm_exec_report *report, sm_error *e)
{
    sm_batch *row = NULL;
    int32_t at_rows = 0;

    smi_items_begin(&p->items);
    SM_TRY(smi_items_add(&p->items, "count", NULL, NULL, &at_rows, e));
    for (int64_t i = 0; i < p->t->n_columns; i++) {
        SM_TRY(add_column_items(p, &p->facts[i], e));
    }
    SM_TRY(smi_items_run(&p->items, p->rows, &row, report, e));
    p->n_rows = smi_whole_at(row, at_rows);
    for (int64_t i = 0; i < p->t->n_columns; i++) {
        take_facts(p, row, &p->facts[i]);
    }
    sm_batch_release(row);
    return SM_OK;
}

/* ---- 3: columns by themselves ---------------------------------------------------------------- */

/* The values of a column, each once, with the number of their rows. */
static sm_status plan_groups(const inference *p, const facts *f, const sm_plan_node **out,
                             sm_error *e)
{
    const sm_expr *is_there = NULL;
    const sm_plan_node *some = NULL;
    sm_agg_item item = {0};

    SM_TRY(sm_expr_call("is_not_null", &f->x, 1, p->a, &is_there, e));
    SM_TRY(sm_plan_filter(p->rows, is_there, p->a, &some, e));
    SM_TRY(sm_expr_call("count", NULL, 0, p->a, &item.call, e));
    return sm_plan_aggregate(some, &f->x, 1, &item, 1, p->a, out, e);
}

static sm_status find_unique(inference *p, facts *f, sm_error *e)
{
    const sm_plan_node *groups = NULL;
    sm_batch *row = NULL;
    int32_t at = 0;

    SM_TRY(plan_groups(p, f, &groups, e));
    smi_items_begin(&p->items);
    const sm_expr *n = sm_expr_column(groups->schema, 1, p->a);
    SM_TRY(smi_items_add(&p->items, "max", n, NULL, &at, e));
    SM_TRY(smi_items_run(&p->items, groups, &row, NULL, e));
    f->is_unique = smi_whole_at(row, at) == 1;
    sm_batch_release(row);
    return SM_OK;
}

/* All values, in their order, unless there are too many. */
static sm_status find_values(const inference *p, facts *f, sm_error *e)
{
    const sm_plan_node *groups = NULL, *sorted = NULL;
    sm_plan *plan = NULL;
    sm_batch **rows = NULL;
    sm_value *values = SM_NEW_ARRAY(p->a, sm_value, MOST_VALUES + 1);
    int64_t n = 0;

    SM_TRY(plan_groups(p, f, &groups, e));
    const sm_sort_key by = {.expr = sm_expr_column(groups->schema, 0, p->a)};
    SM_TRY(sm_plan_sort(groups, &by, 1, p->a, &sorted, e));
    SM_TRY(sm_plan_finish(sm_plan_limit(sorted, MOST_VALUES + 1, 0, p->a), p->a, &plan, e));
    SM_TRY(sm_exec_collect(plan, p->env, p->a, &rows, &n, NULL, e));
    for (int64_t i = 0; i < n; i++) {
        for (int64_t k = 0; k < rows[i]->n_rows; k++) {
            SM_ENSURE(f->n_distinct <= MOST_VALUES);
            values[f->n_distinct++] = sm_column_value_copy(&rows[i]->columns[0], k, p->a);
        }
        sm_batch_release(rows[i]);
    }
    f->values = f->n_distinct <= MOST_VALUES ? values : NULL;
    return SM_OK;
}

static sm_status look_at_columns(inference *p, sm_error *e)
{
    for (int64_t i = 0; i < p->t->n_columns; i++) {
        facts *f = &p->facts[i];
        if (f->may_be_unique && p->n_rows >= UNIQUE_ROWS && f->n_values == p->n_rows) {
            SM_TRY(find_unique(p, f, e));
        }
        if (f->may_be_few && f->n_values > 0) {
            SM_TRY(find_values(p, f, e));
        }
    }
    return SM_OK;
}

/* ---- rules ----------------------------------------------------------------------------------- */

/* Do the values look like a list that is closed? */
static bool is_closed(const facts *f)
{
    bool is_short = f->values != NULL && f->n_values >= (int64_t)ROWS_A_VALUE * f->n_distinct;

    for (int32_t i = 0; is_short && i < f->n_distinct; i++) {
        is_short = f->values[i].as.s.len <= VALUE_BYTES;
    }
    return is_short;
}

static void add_values(inference *p, const facts *f, int32_t column)
{
    sm_rule_value *values = SM_NEW_ARRAY(p->a, sm_rule_value, f->n_distinct);
    sm_rule *r = smi_make_rule(&p->m, SM_RULE_VALID_VALUES, column);

    for (int32_t i = 0; i < f->n_distinct; i++) {
        values[i].text = f->values[i].as.s;
    }
    r->is_quality = true;
    r->values = values;
    r->n_values = f->n_distinct;
}

static void add_rules(inference *p, int32_t column)
{
    const facts *f = &p->facts[column];
    const sm_contract_column *c = &p->t->columns[column];
    const int64_t n_rows = c->parent < 0 ? p->n_rows : p->facts[c->parent].n_values;

    if (n_rows > 0 && f->n_values == n_rows) {
        smi_make_rule(&p->m, SM_RULE_REQUIRED, column);
    }
    if (f->is_unique) {
        smi_make_rule(&p->m, SM_RULE_UNIQUE, column);
    }
    if (f->format) {
        smi_make_rule(&p->m, SM_RULE_TEXT_FORMAT, column)->text = f->format->word;
    } else if (is_closed(f)) {
        add_values(p, f, column);
    }
}

/* ---- descriptions ---------------------------------------------------------------------------- */

static void describe(const inference *p, int32_t column)
{
    const facts *f = &p->facts[column];
    sm_buf out = {0};
    char values[SM_COUNTED_TEXT_BYTES], nulls[SM_SIZE_TEXT_BYTES];

    sm_format_counted(f->n_values, "value", values);
    sm_format_count(p->n_rows - f->n_values, nulls);
    sm_buf_printf(&out, "%s, %s NULL", values, nulls);
    if (f->is_unique) {
        sm_buf_text(&out, SM_STR(", all different"));
    } else if (f->values) {
        sm_buf_printf(&out, ", %d different", f->n_distinct);
    }
    if (f->at_least != NO_ITEM && f->n_values > 0) {
        sm_buf_text(&out, SM_STR(", from "));
        smi_print_short(f->least, SHOWN_BYTES, &out);
        sm_buf_text(&out, SM_STR(" to "));
        smi_print_short(f->greatest, SHOWN_BYTES, &out);
    }
    if (f->at_lengths != NO_ITEM && f->n_values > 0) {
        sm_buf_printf(&out, ", %" PRId64 " to %" PRId64 " characters long", f->least_length,
                      f->greatest_length);
    }
    p->m.t->columns[column].description = sm_arena_take(p->a, &out);
}

/* ---- the whole ------------------------------------------------------------------------------- */

sm_status sm_contract_infer(const sm_plan_node *rows, sm_str name, sm_str source,
                            const sm_exec_env *env, sm_arena *a, sm_contract **out,
                            sm_exec_report *report, sm_error *e)
{
    inference p = {.rows = rows, .env = env, .a = a, .items = {.env = env, .a = a}};
    char n_rows[SM_COUNTED_TEXT_BYTES];

    sm_contract *c = smi_make_contract(&p.m, name, a);
    p.t = p.m.t;
    add_columns(&p, rows->schema, NULL, -1);
    SM_TRY(look_at_sample(&p, e));
    SM_TRY(look_at_all(&p, report, e));
    SM_TRY(look_at_columns(&p, e));
    for (int32_t i = 0; i < p.t->n_columns; i++) {
        add_rules(&p, i);
        describe(&p, i);
    }
    sm_format_counted(p.n_rows, "row", n_rows);
    p.m.t->description = sm_arena_strf(a, "Proposed from %s of %.*s.", n_rows, SM_STR_ARG(source));
    *out = c;
    return SM_OK;
}
