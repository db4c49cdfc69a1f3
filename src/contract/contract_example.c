/* SPDX-License-Identifier: Apache-2.0
 *
 * contract/contract_example.c: rows that keep a contract, made up.
 *
 * Method   In rounds of ROUND rows. 1. Values of each column, by its type and the rules that say
 *          how to make them: bounds, steps, lengths, patterns, formats, lists. 2. What a rule of
 *          the column refuses is thrown away. 3. The rest is put together to rows; a reference
 *          takes the values of a row of the other table, which is made first, from the same seed.
 *          4. Rows that break any row rule, or have a key that is taken, are thrown away. In the
 *          end the real check looks at all, which also judges groups, row counts and queries.
 * Judge    Whether a row keeps a rule is never decided here: the bound expressions do that
 *          (contract_rule.c). What is known here only makes it likely.
 * Broken   Where rows are wanted that break one rule, its recipe is turned round (values below the
 *          least, texts that are too long), and rows stay that break it and no other.
 * NULL     One of ten in a column that may have it; the first rows have none, so that each column
 *          has a type in JSON.
 * Limit    TRIES rounds without a new row: an error that names the rule that refused most. */
#include <math.h>

#include "base/hash.h"
#include "base/text.h"
#include "contract/contract_int.h"

enum {
    ROUND = 512,
    TRIES = 100,
    NULLS = 10,       /* one of so many */
    FULL_ROWS = 4,    /* of the first round: so a column has a type also where few rows are made */
    SPREAD = 1000,    /* of numbers without bounds */
    DAY_2024 = 19723, /* 2024-01-01; times without bounds are of that year */
    MOST_ITEMS = 3,   /* of a list */
    DEEPEST = 16,     /* tables that refer to tables */
};
#define DAY_US 86400000000

/* What is known of how to make the values of a column. */
typedef struct recipe {
    const sm_rule *pattern, *format, *values; /* NULL: it has none */
    double least, greatest, step;             /* of numbers; NaN: none */
    sm_value from, to;                        /* of times, as they are; NULL: none */
    int64_t least_length, greatest_length;    /* −1: none */
    const sm_rule *has_missing; /* the values are those of this list, which it forbids */
    bool is_null;               /* all are NULL */
    bool is_any;                /* texts of any signs of ASCII */
    bool is_required;
    bool is_key; /* its values should differ */
} recipe;

/* A table whose rows are made. */
typedef struct making {
    const sm_example_order *in;
    const sm_exec_env *env;
    const sm_contract_table *t;
    const sm_type *schema;
    sm_arena *a;
    sm_arena *scratch; /* of a round */
    smi_random random;
    smi_random links;      /* which rows are referred to: values do not depend on it */
    recipe *recipes;       /* one a column of the contract */
    const sm_rule *broken; /* that each row must break; NULL: none */
    sm_bound_rule *rules;
    int64_t n_rules;
    int64_t *refused; /* rows by rule of the table, since the last row that was kept */
    sm_map **keys; /* one a rule of the table: the keys that are taken; NULL: it is no such rule */
    const struct making **others; /* one a rule: the table that it refers to; NULL: none */
    sm_value *rows;               /* n_rows × the schema's fields */
    int64_t n_rows;
    const struct making *outer; /* the table that refers to this one */
    int depth;
} making;

/* ---- recipes --------------------------------------------------------------------------------- */

static double number_of(sm_str text)
{
    double v = NAN;

    return sm_parse_f64(text, false, &v) ? v : NAN;
}

static void narrow(recipe *x, double least, double greatest)
{
    x->least = isnan(x->least) || least > x->least ? least : x->least;
    x->greatest = isnan(x->greatest) || greatest < x->greatest ? greatest : x->greatest;
}

static void take_bound(recipe *x, const sm_rule *r, const sm_type *type)
{
    const bool is_least = r->kind == SM_RULE_MINIMUM || r->kind == SM_RULE_EXCLUSIVE_MINIMUM;
    const double number = number_of(r->text);
    sm_value v = {0};
    sm_error unused = {0};

    if (sm_type_is_number(type->id)) {
        narrow(x, is_least ? number : NAN, is_least ? NAN : number);
    } else if (sm_value_parse(type, r->text, &v, &unused) == SM_OK) {
        *(is_least ? &x->from : &x->to) = v;
    }
}

static void take_format(recipe *x, const sm_rule *r)
{
    const smi_integer_format *f = smi_integer_formats;

    while (!sm_str_eq(f->word, r->text)) {
        f++;
        SM_ASSERT(f < smi_integer_formats + smi_n_integer_formats);
    }
    narrow(x, f->has_least ? (double)f->least : NAN, f->has_greatest ? (double)f->greatest : NAN);
}

static void take_rule(making *m, const sm_rule *r)
{
    recipe *x = r->column >= 0 ? &m->recipes[r->column] : NULL;

    for (int32_t i = 0; i < r->n_columns && r->kind != SM_RULE_GROUP; i++) {
        m->recipes[r->columns[i]].is_key = r->kind != SM_RULE_REFERENCE;
    }
    if (!x) {
        return;
    }
    switch (r->kind) {
    case SM_RULE_REQUIRED:
    case SM_RULE_NULL_VALUES:
        x->is_required = true;
        break;
    case SM_RULE_MINIMUM:
    case SM_RULE_EXCLUSIVE_MINIMUM:
    case SM_RULE_MAXIMUM:
    case SM_RULE_EXCLUSIVE_MAXIMUM:
        take_bound(x, r, smi_column_type(m->t, r->column, m->a));
        break;
    case SM_RULE_MULTIPLE_OF:
        x->step = number_of(r->text);
        break;
    case SM_RULE_INTEGER_FORMAT:
        take_format(x, r);
        break;
    case SM_RULE_MIN_LENGTH:
        (void)sm_parse_i64(r->text, &x->least_length);
        break;
    case SM_RULE_MAX_LENGTH:
        (void)sm_parse_i64(r->text, &x->greatest_length);
        break;
    case SM_RULE_PATTERN:
        x->pattern = r;
        break;
    case SM_RULE_TEXT_FORMAT:
        x->format = r;
        break;
    case SM_RULE_VALID_VALUES:
        x->values = r;
        break;
    case SM_RULE_MISSING_VALUES:
        x->is_required = x->is_required || r->takes_null;
        break;
    default:
        break;
    }
}

/* The other way round, for a rule that is to be broken. A rule that is not here is broken by what
 * is made without it. */
static void turn_rule(making *m, const sm_rule *r)
{
    recipe *x = r->column >= 0 ? &m->recipes[r->column] : NULL;
    int64_t n = 0;

    if (!x) {
        return;
    }
    switch (r->kind) {
    case SM_RULE_MINIMUM:
    case SM_RULE_EXCLUSIVE_MINIMUM:
    case SM_RULE_MAXIMUM:
    case SM_RULE_EXCLUSIVE_MAXIMUM: {
        const bool is_least = r->kind == SM_RULE_MINIMUM || r->kind == SM_RULE_EXCLUSIVE_MINIMUM;
        const sm_rule turned = {.kind = is_least ? SM_RULE_MAXIMUM : SM_RULE_MINIMUM,
                                .column = r->column,
                                .text = r->text};
        take_bound(x, &turned, smi_column_type(m->t, r->column, m->a));
        x->least = is_least && isnan(x->least) ? x->greatest - SPREAD : x->least;
        break;
    }
    case SM_RULE_INTEGER_FORMAT:
        x->least = NAN;
        x->greatest = -1; /* of signed formats: their rule says that none is found */
        break;
    case SM_RULE_MIN_LENGTH:
    case SM_RULE_MAX_LENGTH:
        SM_ENSURE(sm_parse_i64(r->text, &n)); /* looked at when it was read */
        x->least_length = r->kind == SM_RULE_MIN_LENGTH ? 0 : n + 1;
        x->greatest_length = r->kind == SM_RULE_MIN_LENGTH && n > 0 ? n - 1 : -1;
        break;
    default:
        x->is_null = r->kind == SM_RULE_REQUIRED || r->kind == SM_RULE_NULL_VALUES ||
                     (r->kind == SM_RULE_MISSING_VALUES && r->takes_null);
        break;
    }
    x->is_any = r->kind == SM_RULE_PATTERN || r->kind == SM_RULE_TEXT_FORMAT ||
                r->kind == SM_RULE_VALID_VALUES;
    x->is_required = !x->is_null; /* NULL keeps all others */
    x->has_missing = r->kind == SM_RULE_MISSING_VALUES && r->n_values > 0 ? r : NULL;
}

static void make_recipes(making *m)
{
    m->recipes = SM_NEW_ARRAY(m->a, recipe, m->t->n_columns + 1);
    for (int64_t i = 0; i < m->t->n_columns; i++) {
        m->recipes[i] = (recipe){.least = NAN,
                                 .greatest = NAN,
                                 .step = NAN,
                                 .from = {.is_null = true},
                                 .to = {.is_null = true},
                                 .least_length = -1,
                                 .greatest_length = -1,
                                 .is_required = m->t->columns[i].is_required};
    }
    for (int64_t i = 0; i < m->t->n_rules; i++) {
        if (&m->t->rules[i] != m->broken) {
            take_rule(m, &m->t->rules[i]);
        }
    }
    if (m->broken) {
        turn_rule(m, m->broken);
    }
}

/* ---- single values --------------------------------------------------------------------------- */

/* The least and greatest of both ends, where one or both are open. */
static void close_bounds(const recipe *x, double spread, double *least, double *greatest)
{
    *least = x->least;
    *greatest = x->greatest;
    if (isnan(*least) && isnan(*greatest)) {
        *least = 0;
    }
    if (isnan(*least)) {
        *least = *greatest >= 0 && *greatest <= spread ? 0 : *greatest - spread;
    }
    if (isnan(*greatest)) {
        *greatest = *least + spread;
    }
}

/* How far numbers without bounds spread: keys must differ. */
static double spread_of(const making *m, const recipe *x)
{
    const double rows = 10 * (double)m->in->n_rows;
    const double step = isnan(x->step) ? 1 : x->step;

    return step * (x->is_key && rows > SPREAD ? rows : SPREAD);
}

static double greatest_of(const sm_type *t)
{
    return t->id == SM_TYPE_DECIMAL
               ? pow(10, t->precision) - 1
               : ldexp(1, 8 * sm_type_bytes(t->id) - sm_type_is_signed(t->id)) - 1;
}

/* A whole number of steps between two numbers of the type, which is an integer or a DECIMAL by its
 * unscaled value. */
static int64_t make_whole(making *m, const sm_type *t, const recipe *x, double scale)
{
    const double most = fmin(greatest_of(t), 9e18);
    const double bottom = sm_type_is_signed(t->id) || t->id == SM_TYPE_DECIMAL ? -most : 0;
    const double step = isnan(x->step) ? 1 : fmax(1, round(x->step * scale));
    double least = 0, greatest = 0;

    close_bounds(x, spread_of(m, x), &least, &greatest);
    least = ceil(fmax(least * scale, bottom) / step);
    greatest = floor(fmin(greatest * scale, most) / step);
    if (least > greatest) { /* no such number: its rules will say so */
        greatest = least;
    }
    return (int64_t)(step *
                     (double)smi_random_between(&m->random, (int64_t)least, (int64_t)greatest));
}

static double make_real(making *m, const recipe *x)
{
    double least = 0, greatest = 0;

    close_bounds(x, spread_of(m, x), &least, &greatest);
    if (!isnan(x->step)) {
        const double from = ceil(least / x->step), to = fmax(from, floor(greatest / x->step));
        return x->step * (double)smi_random_between(&m->random, (int64_t)fmax(from, -9e18),
                                                    (int64_t)fmin(to, 9e18));
    }
    const double v =
        least + (greatest - least) * ((double)smi_random_between(&m->random, 0, 10000) / 10000);
    return greatest - least >= 1 && fabs(v) < 1e12 ? round(v * 100) / 100 : v;
}

static int64_t make_time(making *m, const sm_type *t, const recipe *x)
{
    const int64_t unit = t->id == SM_TYPE_DATE ? 1 : 1000000;
    const int64_t day = t->id == SM_TYPE_DATE ? 1 : DAY_US;
    const int64_t first = t->id == SM_TYPE_TIME ? 0 : DAY_2024 * day;
    const int64_t length = t->id == SM_TYPE_TIME ? DAY_US - unit : 365 * day;
    int64_t from = x->from.is_null ? first : x->from.as.i, to = x->to.is_null ? 0 : x->to.as.i;

    if (x->to.is_null) {
        to = t->id == SM_TYPE_TIME ? length : from > INT64_MAX - length ? from : from + length;
    } else if (x->from.is_null && (from > to || t->id != SM_TYPE_TIME)) {
        from = t->id == SM_TYPE_TIME ? 0 : to < INT64_MIN + length ? to : to - length;
    }
    const int64_t v = smi_random_between(&m->random, from, from > to ? from : to);
    return v - (v % unit >= 0 && v - v % unit >= from ? v % unit : 0);
}

/* Bytes of the arena. NULL where the pattern cannot be made: *why says it. */
static sm_str make_text(making *m, const recipe *x, const char **why)
{
    const int64_t least = x->least_length >= 0                                ? x->least_length
                          : x->greatest_length >= 0 && x->greatest_length < 3 ? x->greatest_length
                                                                              : 3;
    const int64_t greatest = x->greatest_length >= 0 ? x->greatest_length : least + 7;
    sm_buf out = {0};

    if (x->is_any) {
        *why = smi_pattern_example(SM_STR("[ -~]{1,12}"), 0, &m->random, &out);
    } else if (x->pattern) {
        *why = smi_pattern_example(x->pattern->text, x->least_length, &m->random, &out);
    } else if (x->format) {
        smi_format_example(x->format->text, &m->random, &out);
    } else {
        smi_word_example(least,
                         greatest < least        ? least
                         : greatest > least + 20 ? least + 20
                                                 : greatest,
                         &m->random, &out);
    }
    return sm_arena_take(m->scratch, &out);
}

static sm_value make_scalar(making *m, const sm_type *t, const recipe *x, const char **why)
{
    sm_value v = {.type = t};

    switch (t->id) {
    case SM_TYPE_NULL:
        v.is_null = true;
        break;
    case SM_TYPE_BOOL:
        v.as.b = smi_random_between(&m->random, 0, 1) != 0;
        break;
    case SM_TYPE_F32:
        v.as.f = (float)make_real(m, x);
        break;
    case SM_TYPE_F64:
        v.as.f = make_real(m, x);
        break;
    case SM_TYPE_DECIMAL:
        v.as.d = make_whole(m, t, x, pow(10, t->scale));
        break;
    case SM_TYPE_STRING:
    case SM_TYPE_BINARY:
        v.as.s = make_text(m, x, why);
        break;
    case SM_TYPE_DATE:
    case SM_TYPE_TIME:
    case SM_TYPE_TIMESTAMP:
    case SM_TYPE_TIMESTAMP_NTZ:
        v.as.i = make_time(m, t, x);
        break;
    default:
        v.as.i = make_whole(m, t, x, 1); /* of unsigned types as.u, which has the same bits */
        break;
    }
    return v;
}

/* One of a list; a text that is no value of the type is for the rule to refuse. */
static sm_value pick_value(making *m, const sm_type *t, const sm_rule *list)
{
    const sm_str text = list->values[smi_random_between(&m->random, 0, list->n_values - 1)].text;
    sm_value v = sm_value_str(text);
    sm_error unused = {0};

    v.type = t;
    return t->id == SM_TYPE_STRING || sm_value_parse(t, text, &v, &unused) == SM_OK
               ? v
               : sm_value_null(t);
}

/* A list or map that the contract says nothing more of. */
static sm_value make_nested(making *m, const sm_type *t)
{
    const recipe plain = {.least = NAN,
                          .greatest = NAN,
                          .step = NAN,
                          .from = {.is_null = true},
                          .to = {.is_null = true},
                          .least_length = -1,
                          .greatest_length = -1};
    const int64_t n = smi_random_between(&m->random, 1, MOST_ITEMS) * t->n_fields;
    sm_value *items = SM_NEW_ARRAY(m->scratch, sm_value, n);
    const char *unused = NULL;

    for (int64_t i = 0; i < n; i++) {
        const sm_type *of = t->fields[i % t->n_fields].type;
        items[i] =
            sm_type_is_nested(of->id) ? sm_value_null(of) : make_scalar(m, of, &plain, &unused);
    }
    return (sm_value){.type = t, .as.nested = {items, t->id == SM_TYPE_MAP ? 2 : n}};
}

static int32_t column_at(const making *m, int32_t parent, int32_t place)
{
    int32_t i = parent + 1;

    for (int32_t n = 0;; i++) {
        SM_ASSERT(i < m->t->n_columns);
        if (m->t->columns[i].parent == parent && n++ == place) {
            return i;
        }
    }
}

/* A value of a column, with those of its fields. is_full: no NULL where it can be helped. */
static sm_value make_value(making *m, int32_t column, const sm_type *t, bool is_full,
                           const char **why)
{
    const recipe *x = &m->recipes[column];
    const bool is_null = smi_random_between(&m->random, 1, NULLS) == 1;

    if (x->is_null || (is_null && !x->is_required && !is_full)) {
        return sm_value_null(t);
    }
    if (x->has_missing) {
        return pick_value(m, t, x->has_missing);
    }
    if (x->values && x->values->n_values > 0) {
        return pick_value(m, t, x->values);
    }
    if (t->id == SM_TYPE_LIST || t->id == SM_TYPE_MAP) {
        return make_nested(m, t);
    }
    if (t->id != SM_TYPE_STRUCT) {
        return make_scalar(m, t, x, why);
    }
    sm_value *items = SM_NEW_ARRAY(m->scratch, sm_value, t->n_fields);
    for (int32_t i = 0; i < t->n_fields; i++) {
        items[i] = make_value(m, column_at(m, column, i), t->fields[i].type, is_full, why);
    }
    return (sm_value){.type = t, .as.nested = {items, t->n_fields}};
}

/* ---- rows ------------------------------------------------------------------------------------ */

/* Rows as a batch; values: n_rows × the schema's fields. *out is the caller's. */
static sm_status make_batch(const making *m, const sm_value *values, int64_t n_rows, sm_batch **out,
                            sm_error *e)
{
    const int32_t n = m->schema->n_fields;
    sm_batch *b = NULL;
    sm_status st = SM_OK;

    SM_TRY(sm_batch_new(m->env->budget, m->schema, &b, e));
    for (int32_t c = 0; c < n && st == SM_OK; c++) {
        sm_builder *builder = sm_builder_new(m->schema->fields[c].type, m->env->budget);
        for (int64_t i = 0; i < n_rows; i++) {
            sm_builder_value(builder, values[i * n + c]);
        }
        st = sm_builder_finish(builder, b, &b->columns[c], e);
        sm_builder_free(builder);
    }
    b->n_rows = n_rows;
    if (st != SM_OK) {
        sm_batch_release(b);
        return st;
    }
    *out = b;
    return SM_OK;
}

/* Marks the rows that break a rule, and counts them. */
static sm_status mark_broken(making *m, const sm_bound_rule *r, const sm_batch *rows, bool *broken,
                             sm_error *e)
{
    sm_batch *into = NULL;
    sm_column holds = {0};

    SM_TRY(sm_batch_new(m->env->budget, m->schema, &into, e));
    const sm_status st = sm_expr_eval(r->holds, rows, NULL, into, &holds, e);
    for (int64_t i = 0; st == SM_OK && i < rows->n_rows; i++) {
        const sm_value v = sm_column_value(&holds, i);
        const bool breaks = (!v.is_null && !v.as.b) != (r->rule == m->broken);
        m->refused[r->rule - m->t->rules] += breaks;
        broken[i] = broken[i] || breaks;
    }
    sm_batch_release(into);
    return sm_within(e, st, "rule \"%.*s\"", SM_STR_ARG(r->rule->name));
}

static bool is_of_column(const sm_bound_rule *r)
{
    return r->rule->column >= 0 && r->rule->kind != SM_RULE_EXPRESSION;
}

/* The column of the rows that a column of the contract is, or lies in. */
static int32_t place_of(const making *m, int32_t column)
{
    while (m->t->columns[column].parent >= 0) {
        column = m->t->columns[column].parent;
    }
    return sm_type_find(m->schema, m->t->columns[column].physical);
}

/* Values for all columns, of which those that a rule of their column refuses are gone: passes has
 * the numbers of the rows of each column that are left, n_passes how many. */
static sm_status make_columns(making *m, sm_value *values, int32_t *passes, int64_t *n_passes,
                              sm_error *e)
{
    const int32_t n = m->schema->n_fields;
    bool *broken = SM_NEW_ARRAY(m->scratch, bool, ROUND *(int64_t)n);
    const char *why = NULL;
    sm_batch *rows = NULL;

    for (int32_t c = 0; c < n; c++) {
        const int32_t column = column_at(m, -1, c);
        for (int64_t i = 0; i < ROUND; i++) {
            values[i * n + c] = make_value(m, column, m->schema->fields[c].type,
                                           m->n_rows == 0 && i < FULL_ROWS, &why);
        }
        if (why) {
            return sm_yaml_at(&m->in->contract->yaml, m->t->columns[column].at,
                              sm_fail(e, SM_UNSUPPORTED,
                                      "no text can be made of the pattern of column %.*s: %s",
                                      SM_STR_ARG(m->t->columns[column].path), why),
                              e);
        }
    }
    SM_TRY(make_batch(m, values, ROUND, &rows, e));
    sm_status st = SM_OK;
    for (int64_t i = 0; i < m->n_rules && st == SM_OK; i++) {
        if (is_of_column(&m->rules[i])) {
            st = mark_broken(m, &m->rules[i], rows,
                             broken + ROUND * (int64_t)place_of(m, m->rules[i].rule->column), e);
        }
    }
    sm_batch_release(rows);
    for (int32_t c = 0; c < n; c++) {
        for (int32_t i = 0; i < ROUND; i++) {
            if (!broken[ROUND * (int64_t)c + i]) {
                passes[ROUND * (int64_t)c + n_passes[c]++] = i;
            }
        }
    }
    return st;
}

/* ---- references ------------------------------------------------------------------------------ */

/* The values of a row of the other table; of a row of its own where a table refers to itself. Where
 * tables refer to each other in a circle, the one that is made for the other's sake keeps what was
 * made up: only its keys are looked at. */
static void refer(making *m, int64_t rule, sm_value *row)
{
    const sm_rule *r = &m->t->rules[rule];
    const making *other = m->others[rule];
    const bool is_own = other == m && other->n_rows == 0;

    if (other->n_rows == 0 && !is_own) {
        return;
    }
    const int64_t pick = is_own ? 0 : smi_random_between(&m->links, 0, other->n_rows - 1);
    const sm_value *from = is_own ? row : &other->rows[pick * other->schema->n_fields];
    for (int32_t i = 0; i < r->n_columns; i++) {
        const int32_t at = place_of(m, r->columns[i]);
        const int32_t column = sm_type_find(other->schema, r->other_columns[i]);
        if (!row[at].is_null && column >= 0 && sm_type_eq(from[column].type, row[at].type)) {
            row[at] = from[column];
        }
    }
}

/* ---- keys ------------------------------------------------------------------------------------ */

/* The values of a rule's columns as a text; "": one of them is NULL. */
static sm_str key_of(const making *m, const sm_rule *r, const sm_value *row)
{
    sm_buf out = {0};

    for (int32_t i = 0; i < r->n_columns; i++) {
        const sm_value *v = &row[place_of(m, r->columns[i])];
        int32_t path[DEEPEST], n = 0;
        for (int32_t c = r->columns[i]; m->t->columns[c].parent >= 0 && n < DEEPEST;
             c = m->t->columns[c].parent) {
            path[n++] = c;
        }
        while (n > 0 && !v->is_null) {
            v = &v->as.nested.items[sm_type_find(v->type, m->t->columns[path[--n]].physical)];
        }
        if (v->is_null) {
            sm_buf_release(&out);
            return (sm_str){0};
        }
        const size_t start = out.len;
        sm_value_print(*v, &out);
        sm_buf_printf(&out, "|%zu|", out.len - start);
    }
    return sm_arena_take(m->scratch, &out);
}

/* Are the keys of a row free? Then they are taken. */
static bool take_keys(making *m, const sm_value *row)
{
    sm_str *keys = SM_NEW_ARRAY(m->scratch, sm_str, m->t->n_rules + 1);

    for (int64_t i = 0; i < m->t->n_rules; i++) {
        keys[i] = m->keys[i] ? key_of(m, &m->t->rules[i], row) : (sm_str){0};
        if (keys[i].len > 0 && sm_map_get(m->keys[i], keys[i])) {
            m->refused[i]++;
            return false;
        }
    }
    for (int64_t i = 0; i < m->t->n_rules; i++) {
        if (keys[i].len > 0) {
            *sm_map_at(m->keys[i], keys[i]) = m;
        }
    }
    return true;
}

/* ---- rounds ---------------------------------------------------------------------------------- */

/* Keeps the rows that break no rule, as many as are wanted. */
static sm_status keep_rows(making *m, const sm_value *values, int64_t n_rows, sm_error *e)
{
    const int32_t n = m->schema->n_fields;
    bool *broken = SM_NEW_ARRAY(m->scratch, bool, n_rows + 1);
    sm_batch *rows = NULL;
    sm_status st = SM_OK;

    SM_TRY(make_batch(m, values, n_rows, &rows, e));
    for (int64_t i = 0; i < m->n_rules && st == SM_OK; i++) {
        st = mark_broken(m, &m->rules[i], rows, broken, e);
    }
    sm_batch_release(rows);
    for (int64_t i = 0; st == SM_OK && i < n_rows && m->n_rows < m->in->n_rows; i++) {
        if (!broken[i] && take_keys(m, &values[i * n])) {
            for (int32_t c = 0; c < n; c++) {
                sm_value *own = &m->rows[m->n_rows * n + c];
                *own = sm_value_copy(m->a, values[i * n + c]);
                own->type = m->schema->fields[c].type;
            }
            m->n_rows++;
        }
    }
    return st;
}

static sm_status do_round(making *m, sm_error *e)
{
    const int32_t n = m->schema->n_fields;
    sm_value *values = SM_NEW_ARRAY(m->scratch, sm_value, ROUND * (int64_t)n);
    sm_value *rows = SM_NEW_ARRAY(m->scratch, sm_value, ROUND * (int64_t)n);
    int32_t *passes = SM_NEW_ARRAY(m->scratch, int32_t, ROUND * (int64_t)n);
    int64_t *n_passes = SM_NEW_ARRAY(m->scratch, int64_t, n), n_rows = ROUND;

    SM_TRY(make_columns(m, values, passes, n_passes, e));
    for (int32_t c = 0; c < n; c++) {
        n_rows = n_passes[c] < n_rows ? n_passes[c] : n_rows;
    }
    for (int64_t i = 0; i < n_rows; i++) {
        for (int32_t c = 0; c < n; c++) {
            rows[i * n + c] = values[passes[ROUND * (int64_t)c + i] * n + c];
        }
        for (int64_t r = 0; r < m->t->n_rules; r++) {
            if (m->others[r]) {
                refer(m, r, &rows[i * n]);
            }
        }
    }
    return n_rows > 0 ? keep_rows(m, rows, n_rows, e) : SM_OK;
}

static sm_status fail_rule(const making *m, sm_error *e)
{
    const sm_rule *r = m->t->rules;

    for (int64_t i = 0; i < m->t->n_rules; i++) {
        r = m->refused[i] > m->refused[r - m->t->rules] ? &m->t->rules[i] : r;
    }
    const sm_status st =
        sm_fail(e, SM_LIMIT, "after %lld rows of table %.*s, %d in a row %s rule \"%.*s\"",
                (long long)m->n_rows, SM_STR_ARG(m->t->name), ROUND * TRIES,
                r == m->broken ? "did not break" : "broke", SM_STR_ARG(r->name));
    sm_error_todo(
        e, "Ask for fewer rows, or give the columns of the rule bounds or a list of values.");
    return sm_yaml_at(&m->in->contract->yaml, r->at, st, e);
}

static sm_status make_rows(making *m, sm_error *e)
{
    sm_status st = SM_OK;
    int tries = 0;

    m->scratch = sm_arena_new(m->env->budget);
    m->rows = SM_NEW_ARRAY(m->a, sm_value, m->in->n_rows * m->schema->n_fields + 1);
    while (m->n_rows < m->in->n_rows && st == SM_OK) {
        const int64_t before = m->n_rows;
        st = do_round(m, e);
        tries = m->n_rows > before ? 0 : tries + 1;
        st = st == SM_OK ? sm_check_cancel(m->env->budget, e) : st;
        if (st == SM_OK && tries == TRIES) {
            st = fail_rule(m, e);
        }
        if (m->n_rows > before) {
            memset(m->refused, 0, sizeof(*m->refused) * (size_t)m->t->n_rules);
        }
        sm_arena_reset(m->scratch);
    }
    sm_arena_free(m->scratch);
    m->scratch = NULL;
    return st;
}

/* ---- tables ---------------------------------------------------------------------------------- */

static sm_status make_table(const sm_example_order *in, const sm_contract_table *t,
                            const making *outer, const sm_exec_env *env, sm_arena *a, making **out,
                            sm_error *e);

static const sm_contract_table *table_named(const sm_contract *c, sm_str name)
{
    for (int64_t i = 0; i < c->n_tables; i++) {
        if (sm_str_eq(c->tables[i].name, name)) {
            return &c->tables[i];
        }
    }
    return NULL;
}

/* Makes the table that a rule refers to; in a circle of references the rows that are made. */
static sm_status make_other(making *m, int64_t rule, sm_error *e)
{
    const sm_contract_table *other = table_named(m->in->contract, m->t->rules[rule].other_table);
    const making *known = m;
    making *made = NULL;

    if (!other) {
        return SM_OK; /* its values are made up: the caller is told */
    }
    while (known && known->t != other) {
        known = known->outer;
    }
    if (!known) {
        SM_TRY(make_table(m->in, other, m, m->env, m->a, &made, e));
        known = made;
    }
    m->others[rule] = known;
    return SM_OK;
}

static bool is_key_rule(const sm_rule *r)
{
    return r->kind == SM_RULE_UNIQUE || r->kind == SM_RULE_PRIMARY_KEY ||
           r->kind == SM_RULE_DUPLICATE_VALUES;
}

/* The rule that rows are to break. */
static sm_status find_broken(making *m, sm_error *e)
{
    sm_str *names = SM_NEW_ARRAY(m->a, sm_str, m->t->n_rules + 1);

    for (int64_t i = 0; i < m->t->n_rules; i++) {
        const sm_rule *r = &m->t->rules[i];
        names[i] = r->name;
        if (sm_str_eq_nocase(r->name, m->in->broken)) {
            m->broken = r;
            return sm_rule_info_of(r->kind)->is_row
                       ? SM_OK
                       : sm_yaml_at(&m->in->contract->yaml, r->at,
                                    sm_fail(e, SM_UNSUPPORTED,
                                            "rule \"%.*s\" is of several rows: no single row "
                                            "breaks it",
                                            SM_STR_ARG(r->name)),
                                    e);
        }
    }
    return sm_yaml_fail_word(
        &m->in->contract->yaml, m->t->at,
        sm_arena_printf(m->a, "table %.*s has no rule", SM_STR_ARG(m->t->name)), m->in->broken,
        names, (int32_t)m->t->n_rules, e);
}

static sm_status make_table(const sm_example_order *in, const sm_contract_table *t,
                            const making *outer, const sm_exec_env *env, sm_arena *a, making **out,
                            sm_error *e)
{
    making *m = SM_NEW(a, making);

    *m = (making){.in = in,
                  .env = env,
                  .t = t,
                  .a = a,
                  .outer = outer,
                  .depth = outer ? outer->depth + 1 : 0};
    m->schema = smi_contract_schema(t, -1, a);
    if (m->schema->n_fields == 0 || m->depth > DEEPEST) {
        return sm_yaml_at(
            &in->contract->yaml, t->at,
            sm_fail(e, SM_INVALID, "table %.*s %s", SM_STR_ARG(t->name),
                    m->depth > DEEPEST ? "is at the end of too many references" : "has no columns"),
            e);
    }
    m->random.state = in->seed ^ sm_hash64(t->name.data, t->name.len);
    m->links.state = ~m->random.state;
    SM_TRY(sm_contract_bind(in->contract, t, m->schema, NULL, a, &m->rules, &m->n_rules, e));
    SM_TRY(!outer && in->broken.len > 0 ? find_broken(m, e) : SM_OK);
    make_recipes(m);
    m->refused = SM_NEW_ARRAY(a, int64_t, t->n_rules + 1);
    m->keys = SM_NEW_ARRAY(a, sm_map *, t->n_rules + 1);
    m->others = SM_NEW_ARRAY(a, const making *, t->n_rules + 1);
    for (int64_t i = 0; i < t->n_rules; i++) {
        m->keys[i] = is_key_rule(&t->rules[i]) ? sm_map_new(a) : NULL;
        if (t->rules[i].kind == SM_RULE_REFERENCE) {
            SM_TRY(make_other(m, i, e));
        }
    }
    SM_TRY(make_rows(m, e));
    *out = m;
    return SM_OK;
}

/* ---- the check ------------------------------------------------------------------------------- */

static sm_status print_rows(const making *m, sm_buf *out, sm_error *e)
{
    const int32_t n = m->schema->n_fields;
    sm_json_writer w = {.out = out};
    sm_batch *rows = NULL;

    for (int64_t i = 0; i < m->n_rows; i += ROUND) {
        const int64_t n_rows = m->n_rows - i < ROUND ? m->n_rows - i : ROUND;
        SM_TRY(make_batch(m, &m->rows[i * n], n_rows, &rows, e));
        for (int64_t k = 0; k < n_rows; k++) {
            sm_json_begin_object(&w);
            for (int32_t c = 0; c < n; c++) {
                sm_json_key(&w, m->schema->fields[c].name);
                sm_column_json(&rows->columns[c], k, &w);
            }
            sm_json_end_object(&w);
            sm_json_end_line(&w);
        }
        sm_batch_release(rows);
    }
    return SM_OK;
}

/* The tables that were made, each as a file of a folder in memory. */
typedef struct placing {
    sm_store *store;
    sm_pair *places;
    int32_t n;
    int64_t cap;
    sm_arena *a;
} placing;

#define FOLDER "memory://contract-examples"

static sm_status place(placing *p, const making *m, sm_error *e)
{
    const sm_str key = sm_arena_strf(p->a, "%d.json", p->n);
    sm_buf text = {0};

    p->places = sm_arena_grow(p->a, p->places, p->n, &p->cap, sizeof(*p->places));
    p->places[p->n++] = (sm_pair){m->t->name, sm_arena_strf(p->a, FOLDER "/%s", key.data)};
    sm_status st = print_rows(m, &text, e);
    st = st == SM_OK ? sm_store_put(p->store, key, text.data, text.len, SM_PUT_REPLACE, e) : st;
    sm_buf_release(&text);
    for (int64_t i = 0; i < m->t->n_rules && st == SM_OK; i++) {
        const making *other = m->others[i];
        int32_t k = 0;
        while (other && k < p->n && !sm_str_eq(p->places[k].key, other->t->name)) {
            k++;
        }
        st = other && k == p->n ? place(p, other, e) : SM_OK;
    }
    return st;
}

/* Why rows that are made may not keep a rule; NULL: they will. `other`: the table that it refers
 * to, where the contract has it. */
static const char *why_not_kept(const making *m, const sm_rule *r, const making *other)
{
    switch (r->kind) {
    case SM_RULE_REFERENCE:
        return other ? NULL
                     : sm_arena_printf(m->a, "table %.*s is not in the contract",
                                       SM_STR_ARG(r->other_table));
    case SM_RULE_FRESHNESS:
        return "the rows do not depend on the clock";
    case SM_RULE_VOLUME:
        return "the rows have no earlier version";
    default:
        return NULL;
    }
}

/* The table without the rules that the rows may not keep, which are noted. */
static const sm_contract_table *known_rules(const making *m, sm_example *out)
{
    sm_contract_table *t = SM_NEW(m->a, sm_contract_table);

    *t = *m->t;
    t->rules = SM_NEW_ARRAY(m->a, sm_rule, t->n_rules + 1);
    t->n_rules = 0;
    out->notes = SM_NEW_ARRAY(m->a, sm_contract_note, m->t->n_rules + 1);
    for (int64_t i = 0; i < m->t->n_rules; i++) {
        const sm_rule *r = &m->t->rules[i];
        const char *const why = why_not_kept(m, r, m->others[i]);
        if (why) {
            out->notes[out->n_notes++] =
                (sm_contract_note){.text = sm_arena_strf(m->a, "rule \"%.*s\" may not be kept: %s",
                                                         SM_STR_ARG(r->name), why),
                                   .at = r->at};
        } else {
            t->rules[t->n_rules++] = *r;
        }
    }
    return t;
}

/* Is a rule as the rows are to have it: kept, or broken by each of them? */
static bool is_as_wanted(const making *m, const sm_rule_verdict *r)
{
    return m->broken && sm_str_eq(r->rule->name, m->broken->name) ? r->count.n_broken == m->n_rows
                                                                  : r->outcome == SM_OUTCOME_PASSED;
}

static sm_status fail_broken(const making *m, const sm_verdict *v, sm_error *e)
{
    sm_buf text = {0};
    sm_status st = SM_OK;

    for (int64_t i = 0; i < v->table->n_rules && st == SM_OK; i++) {
        const sm_rule_verdict *r = &v->rules[i];
        if (!is_as_wanted(m, r)) {
            sm_rule_verdict_print(r, &text);
            st =
                sm_yaml_at(&v->contract->yaml, r->rule->at,
                           sm_fail(e, SM_LIMIT, "the rows that were made break rule \"%.*s\": %.*s",
                                   SM_STR_ARG(r->rule->name), SM_STR_ARG(sm_buf_str(&text))),
                           e);
            sm_error_todo(e,
                          "Rows are made by rules of single rows and keys; try another number of "
                          "rows.");
        }
    }
    sm_buf_release(&text);
    return st;
}

/* Checks the rows as whoever uses them will: with the types that the JSON has by itself. Where
 * these are not those of the contract, that is noted, and the rules are checked over the right
 * ones. */
static sm_status check_rows(const making *m, const placing *p, sm_example *out, sm_error *e)
{
    sm_checked_rows check = {.contract = m->in->contract,
                             .table = known_rules(m, out),
                             .uri = p->places[0].value,
                             .others = p->places,
                             .n_others = p->n};
    sm_verdict *v = NULL;
    sm_error first = {0};

    check.columns = m->broken ? m->schema : NULL; /* a column of NULL alone has no type in JSON */
    sm_status st = sm_contract_check(&check, m->env, m->a, &v, &first);
    if (st == SM_TYPE && !m->broken) {
        check.columns = m->schema;
        out->notes[out->n_notes++] = (sm_contract_note){
            .text = sm_arena_strf(m->a, "smelt check would not take these rows: %s", first.what),
            .at = m->t->at};
        st = sm_contract_check(&check, m->env, m->a, &v, &first);
    }
    if (st != SM_OK) {
        *e = first;
        return sm_within(e, st, "the rows that were made");
    }
    return fail_broken(m, v, e);
}

sm_status sm_contract_example(const sm_example_order *in, const sm_exec_env *env, sm_arena *a,
                              sm_example *out, sm_error *e)
{
    placing p = {.a = a};
    making *m = NULL;
    sm_buf text = {0};

    SM_ASSERT(in->n_rows > 0);
    *out = (sm_example){0};
    SM_TRY(make_table(in, in->table, NULL, env, a, &m, e));
    SM_TRY(sm_store_open(env->stores, SM_STR(FOLDER), &p.store, e));
    sm_status st = place(&p, m, e);
    st = st == SM_OK ? check_rows(m, &p, out, e) : st;
    st = st == SM_OK ? print_rows(m, &text, e) : st;
    out->text = sm_arena_take(a, &text);
    sm_store_release(p.store);
    return st;
}
