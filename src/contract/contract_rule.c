/* SPDX-License-Identifier: Apache-2.0
 *
 * contract/contract_rule.c: the row rules of a contract as expressions over a schema.
 *
 * Method   Expressions are built by calls of query.h. The text of a user is parsed only where it is
 *          an expression, or a number: what a number means, the query room knows.
 * NULL     Functions and comparisons of NULL are NULL, which keeps a rule. `required` and
 *          `missingValues` ask for it.
 * NaN      is the largest of all values to a comparison, so a lower bound alone would let it pass:
 *          such rules add that the value is infinity at most. */
#include <math.h>

#include "base/text.h"
#include "contract/contract_int.h"

/* A schema with columns of the contract found in it. */
typedef struct binding {
    const sm_contract *c;
    const sm_contract_table *table;
    const sm_type *schema;
    const sm_resolver *resolver;
    sm_arena *a;
    const sm_expr **columns; /* of the table */
    int32_t *places;         /* in the schema, of the columns that are no fields; else −1 */
} binding;

/* ---- types ----------------------------------------------------------------------------------- */

static bool is_float(const sm_type *t)
{
    return t->id == SM_TYPE_F32 || t->id == SM_TYPE_F64;
}

static bool is_time(const sm_type *t)
{
    return t->id == SM_TYPE_DATE || t->id == SM_TYPE_TIME || t->id == SM_TYPE_TIMESTAMP ||
           t->id == SM_TYPE_TIMESTAMP_NTZ;
}

static bool is_whole(const sm_type *t)
{
    return sm_type_is_integer(t->id) || (t->id == SM_TYPE_DECIMAL && t->scale == 0);
}

/* May a column of that type be what the contract calls it? */
static bool fits_logical(sm_logical_type logical, const sm_type *t)
{
    switch (logical) {
    case SM_LOGICAL_NONE:
        return true;
    case SM_LOGICAL_STRING:
        return sm_type_is_bytes(t->id);
    case SM_LOGICAL_DATE: /* before v3.1 it stood for timestamps too */
        return is_time(t) && t->id != SM_TYPE_TIME;
    case SM_LOGICAL_TIMESTAMP:
        return t->id == SM_TYPE_TIMESTAMP || t->id == SM_TYPE_TIMESTAMP_NTZ;
    case SM_LOGICAL_TIME:
        return t->id == SM_TYPE_TIME;
    case SM_LOGICAL_NUMBER:
        return sm_type_is_number(t->id);
    case SM_LOGICAL_INTEGER:
        return is_whole(t);
    case SM_LOGICAL_OBJECT:
        return t->id == SM_TYPE_STRUCT || t->id == SM_TYPE_MAP;
    case SM_LOGICAL_ARRAY:
        return t->id == SM_TYPE_LIST;
    case SM_LOGICAL_BOOLEAN:
        return t->id == SM_TYPE_BOOL;
    }
    return false;
}

static bool fits_rule(sm_rule_columns columns, const sm_type *t)
{
    switch (columns) {
    case SM_COLUMNS_ANY:
        return true;
    case SM_COLUMNS_SCALAR:
        return t->id == SM_TYPE_STRING || t->id == SM_TYPE_BOOL || sm_type_is_number(t->id) ||
               is_time(t);
    case SM_COLUMNS_ORDERED:
        return sm_type_is_number(t->id) || is_time(t);
    case SM_COLUMNS_NUMBER:
        return sm_type_is_number(t->id);
    case SM_COLUMNS_INTEGER:
        return is_whole(t);
    case SM_COLUMNS_TEXT:
        return t->id == SM_TYPE_STRING;
    }
    return false;
}

/* ---- columns --------------------------------------------------------------------------------- */

/* Column i of the table; its parent is bound already. */
static sm_status bind_column(const binding *b, int32_t i, sm_error *e)
{
    const sm_contract_column *c = &b->table->columns[i];
    SM_ASSERT(c->parent < i && (c->parent < 0 || b->columns[c->parent]));
    const sm_type *of = c->parent < 0 ? b->schema : b->columns[c->parent]->type;
    const int32_t at = of->id == SM_TYPE_STRUCT ? sm_type_find(of, c->physical) : -1;

    if (at < 0) {
        sm_str *names = SM_NEW_ARRAY(b->a, sm_str, of->n_fields + 1);
        const int32_t n = of->id == SM_TYPE_STRUCT ? of->n_fields : 0;
        for (int32_t k = 0; k < n; k++) {
            names[k] = sm_arena_str(b->a, of->fields[k].name);
        }
        return sm_yaml_fail_word(&b->c->yaml, c->at,
                                 c->parent < 0 ? "the rows have no column"
                                               : "the object has no field",
                                 c->physical, names, n, e);
    }
    b->columns[i] = c->parent < 0 ? sm_expr_column(b->schema, at, b->a)
                                  : sm_expr_field(b->columns[c->parent], at, b->a);
    b->places[i] = c->parent < 0 ? at : -1;
    const sm_type *t = b->columns[i]->type;
    return fits_logical(c->logical, t)
               ? SM_OK
               : sm_yaml_at(&b->c->yaml, c->at,
                            sm_fail(e, SM_TYPE,
                                    "column %.*s is of type %s, not of the "
                                    "logicalType that the contract says",
                                    SM_STR_ARG(c->path), sm_type_text(t, b->a).data),
                            e);
}

static const sm_expr *column_of(const binding *b, const sm_rule *r)
{
    return b->columns[r->column];
}

/* ---- pieces ---------------------------------------------------------------------------------- */

static sm_status call(const binding *b, const char *name, const sm_expr *x, const sm_expr *y,
                      const sm_expr **out, sm_error *e)
{
    const sm_expr *const args[] = {x, y};

    return sm_expr_call(name, args, y ? 2 : 1, b->a, out, e);
}

static const sm_expr *whole_number(const binding *b, int64_t v)
{
    return sm_expr_constant(sm_value_i64(v), b->a);
}

static const sm_expr *real_number(const binding *b, double v)
{
    return sm_expr_constant((sm_value){.type = &sm_type_f64, .as.f = v}, b->a);
}

/* Both hold; x may be NULL: then only y. */
static sm_status both(const binding *b, const sm_expr *x, const sm_expr *y, const sm_expr **out,
                      sm_error *e)
{
    const sm_expr *const args[] = {x, y};

    *out = y;
    return x ? sm_expr_and(args, 2, b->a, out, e) : SM_OK;
}

/* x, and the value is no NaN. */
static sm_status without_nan(const binding *b, const sm_expr *c, const sm_expr *x,
                             const sm_expr **out, sm_error *e)
{
    const sm_expr *is_less = NULL;

    *out = x;
    if (!is_float(c->type)) {
        return SM_OK;
    }
    SM_TRY(call(b, "<=", c, real_number(b, INFINITY), &is_less, e));
    return both(b, x, is_less, out, e);
}

/* A text of the file as SQL, which an expression keeps for its errors. */
static const sm_sql *sql_of(const binding *b, const sm_rule *r, sm_str text)
{
    sm_sql *sql = SM_NEW(b->a, sm_sql);

    *sql = (sm_sql){.name = r->name, .text = text};
    return sql;
}

/* A text of the file as a value of the column's type, or a number that compares with it.
 * SM_INVALID, SM_TYPE, SM_RANGE: it is none. */
static sm_status literal(const binding *b, const sm_rule *r, const sm_type *t, sm_str text,
                         const sm_expr **out, sm_error *e)
{
    double number = 0;
    sm_value v = sm_value_str(text);

    if (sm_type_is_number(t->id)) {
        return sm_parse_f64(text, false, &number)
                   ? sm_query_expr(sql_of(b, r, text), b->schema, NULL, b->a, out, e)
                   : sm_fail(e, SM_INVALID, "\"%.*s\" is not a number", SM_STR_ARG(text));
    }
    if (t->id != SM_TYPE_STRING) {
        SM_TRY(sm_value_parse(t, text, &v, e));
    }
    *out = sm_expr_constant(v, b->a);
    return SM_OK;
}

/* ---- rules ----------------------------------------------------------------------------------- */

static sm_status make_required(const binding *b, const sm_rule *r, const sm_expr **out, sm_error *e)
{
    const int32_t parent = b->table->columns[r->column].parent;
    const sm_expr *parts[2];

    SM_TRY(call(b, "is_not_null", column_of(b, r), NULL, &parts[0], e));
    *out = parts[0];
    if (parent < 0) {
        return SM_OK;
    }
    SM_TRY(call(b, "is_null", b->columns[parent], NULL, &parts[1], e));
    return sm_expr_or(parts, 2, b->a, out, e);
}

static sm_status make_bound(const binding *b, const sm_rule *r, const sm_expr **out, sm_error *e)
{
    const sm_expr *c = column_of(b, r), *bound = NULL, *x = NULL;
    const char *op = r->kind == SM_RULE_MINIMUM             ? ">="
                     : r->kind == SM_RULE_EXCLUSIVE_MINIMUM ? ">"
                     : r->kind == SM_RULE_MAXIMUM           ? "<="
                                                            : "<";

    SM_TRY(literal(b, r, c->type, r->text, &bound, e));
    SM_TRY(call(b, op, c, bound, &x, e));
    *out = x;
    return op[0] == '>' ? without_nan(b, c, x, out, e) : SM_OK;
}

/* Of floats: is the quotient whole, but for the error that a division of two rounded numbers has?
 * That is 1.5 units in the last place of the quotient; of a FLOAT, half a unit of its own. */
static sm_status make_float_multiple(const binding *b, const sm_rule *r, const sm_expr **out,
                                     sm_error *e)
{
    const sm_expr *c = column_of(b, r), *wide = NULL, *q = NULL, *x = NULL, *size = NULL;
    double step = 0;
    const double error = c->type->id == SM_TYPE_F32 ? 0x1p-23 : 0x1p-51;

    SM_ENSURE(sm_parse_f64(r->text, false, &step)); /* looked at when it was read */
    SM_TRY(sm_expr_cast(c, &sm_type_f64, false, b->a, &wide, e));
    SM_TRY(call(b, "/", wide, real_number(b, step), &q, e));
    SM_TRY(call(b, "round", q, NULL, &x, e));
    SM_TRY(call(b, "-", q, x, &x, e));
    SM_TRY(call(b, "abs", x, NULL, &x, e));
    SM_TRY(call(b, "abs", q, NULL, &size, e));
    SM_TRY(call(b, "*", size, real_number(b, error), &size, e));
    SM_TRY(call(b, "<=", x, size, &x, e));
    return without_nan(b, c, x, out, e);
}

static sm_status make_multiple(const binding *b, const sm_rule *r, const sm_expr **out, sm_error *e)
{
    const sm_expr *c = column_of(b, r), *step = NULL, *x = NULL;

    if (is_float(c->type)) {
        return make_float_multiple(b, r, out, e);
    }
    SM_TRY(literal(b, r, c->type, r->text, &step, e));
    if (is_float(step->type)) {
        const sm_status st =
            sm_fail(e, SM_INVALID, "\"%.*s\" is no exact number", SM_STR_ARG(r->text));
        sm_error_todo(e, "Write it without exponent: 0.01.");
        return st;
    }
    SM_TRY(call(b, "%", c, step, &x, e));
    return call(b, "=", x, whole_number(b, 0), out, e);
}

/* The least and the greatest value of a type of integers. */
static void range_of(const sm_type *t, sm_i128 *least, sm_i128 *greatest)
{
    const int bits = 8 * sm_type_bytes(t->id);

    *least = sm_type_is_signed(t->id) ? -SMI_BITS(bits - 1) : 0;
    *greatest = sm_type_is_signed(t->id) ? SMI_BITS(bits - 1) - 1 : SMI_BITS(bits) - 1;
}

/* A bound that lies within the type's range, or of a DECIMAL. */
static const sm_expr *integer_bound(const binding *b, const sm_type *t, sm_i128 v)
{
    return t->id == SM_TYPE_DECIMAL
               ? sm_expr_constant((sm_value){.type = sm_type_decimal(b->a, 38, 0), .as.d = v}, b->a)
               : whole_number(b, (int64_t)v);
}

static sm_status make_integer_format(const binding *b, const sm_rule *r, const sm_expr **out,
                                     sm_error *e)
{
    const sm_expr *c = column_of(b, r), *x = NULL, *all = NULL;
    const smi_integer_format *f = smi_integer_formats;
    sm_i128 least = 0, greatest = 0;
    const bool is_decimal = c->type->id == SM_TYPE_DECIMAL;

    while (!sm_str_eq(f->word, r->text)) { /* it is one of them: looked at when it was read */
        f++;
        SM_ASSERT(f < smi_integer_formats + smi_n_integer_formats);
    }
    if (!is_decimal) { /* the contract says integer, so its scale is 0 */
        range_of(c->type, &least, &greatest);
    }
    if (f->has_least && (is_decimal || f->least > least)) {
        SM_TRY(call(b, ">=", c, integer_bound(b, c->type, f->least), &all, e));
    }
    if (f->has_greatest && (is_decimal || f->greatest < greatest)) {
        SM_TRY(call(b, "<=", c, integer_bound(b, c->type, f->greatest), &x, e));
        SM_TRY(both(b, all, x, &all, e));
    }
    *out = all ? all : sm_expr_constant((sm_value){.type = &sm_type_bool, .as.b = true}, b->a);
    return SM_OK;
}

static sm_status make_length(const binding *b, const sm_rule *r, const sm_expr **out, sm_error *e)
{
    const sm_expr *length = NULL;
    int64_t n = 0;

    SM_ENSURE(sm_parse_i64(r->text, &n)); /* looked at when it was read */
    SM_TRY(call(b, "length", column_of(b, r), NULL, &length, e));
    return call(b, r->kind == SM_RULE_MIN_LENGTH ? ">=" : "<=", length, whole_number(b, n), out, e);
}

static sm_status make_pattern(const binding *b, const sm_rule *r, const sm_expr **out, sm_error *e)
{
    return call(b, "regexp_matches", column_of(b, r), sm_expr_constant(sm_value_str(r->text), b->a),
                out, e);
}

sm_status smi_text_format_holds(const smi_text_format *f, const sm_expr *c, sm_arena *a,
                                const sm_expr **out, sm_error *e)
{
    const sm_expr *day = NULL, *parts[2];
    const sm_expr *const args[] = {c, sm_expr_constant(sm_value_str(f->pattern), a)};

    SM_TRY(sm_expr_call("regexp_full_match", args, 2, a, out, e));
    if (f != &smi_text_formats[0]) {
        return SM_OK;
    }
    SM_TRY(sm_expr_cast(c, &sm_type_date, true, a, &day, e));
    SM_TRY(sm_expr_call("is_null", &c, 1, a, &parts[0], e));
    SM_TRY(sm_expr_call("is_not_null", &day, 1, a, &parts[1], e));
    SM_TRY(sm_expr_or(parts, 2, a, &day, e));
    return sm_expr_and((const sm_expr *const[]){*out, day}, 2, a, out, e);
}

static sm_status make_text_format(const binding *b, const sm_rule *r, const sm_expr **out,
                                  sm_error *e)
{
    const smi_text_format *f = smi_text_formats;

    while (!sm_str_eq(f->word, r->text)) {
        f++;
        SM_ASSERT(f < smi_text_formats + smi_n_text_formats);
    }
    return smi_text_format_holds(f, column_of(b, r), b->a, out, e);
}

/* args[0] is the column, the others its values; *n counts all. */
static sm_status value_list(const binding *b, const sm_rule *r, bool skips, const sm_expr ***out,
                            int32_t *n, sm_error *e)
{
    const sm_expr *c = column_of(b, r);
    const sm_expr **args = SM_NEW_ARRAY(b->a, const sm_expr *, r->n_values + 1);

    args[0] = c;
    *n = 1;
    for (int32_t i = 0; i < r->n_values; i++) {
        sm_error why = {0};
        const sm_status st = literal(b, r, c->type, r->values[i].text, &args[*n], &why);
        *n += st == SM_OK;
        if (st != SM_OK && !skips) {
            return sm_fail(e, st, "%s", why.what);
        }
    }
    *out = args;
    return SM_OK;
}

static sm_status make_valid_values(const binding *b, const sm_rule *r, const sm_expr **out,
                                   sm_error *e)
{
    const sm_expr **args = NULL;
    int32_t n = 0;

    SM_TRY(value_list(b, r, false, &args, &n, e));
    return n > 1 ? sm_expr_in(args, n, b->a, out, e) : call(b, "is_null", args[0], NULL, out, e);
}

static sm_status make_missing_values(const binding *b, const sm_rule *r, const sm_expr **out,
                                     sm_error *e)
{
    const sm_expr **args = NULL, *x = NULL, *is_there = NULL;
    int32_t n = 0;

    SM_TRY(value_list(b, r, true, &args, &n, e));
    *out = sm_expr_constant((sm_value){.type = &sm_type_bool, .as.b = true}, b->a);
    if (n > 1) {
        SM_TRY(sm_expr_in(args, n, b->a, &x, e));
        SM_TRY(call(b, "not", x, NULL, &x, e));
        *out = x;
    }
    if (!r->takes_null) {
        return SM_OK;
    }
    SM_TRY(call(b, "is_not_null", args[0], NULL, &is_there, e));
    return both(b, x, is_there, out, e);
}

static sm_status make_expression(const binding *b, const sm_rule *r, const sm_expr **out,
                                 sm_error *e)
{
    SM_TRY(sm_query_expr(sql_of(b, r, r->text), b->schema, b->resolver, b->a, out, e));
    if ((*out)->type->id == SM_TYPE_NULL) {
        return sm_expr_cast(*out, &sm_type_bool, false, b->a, out, e);
    }
    return (*out)->type->id == SM_TYPE_BOOL
               ? SM_OK
               : sm_fail(e, SM_TYPE, "the expression is a %s, and no condition",
                         sm_type_text((*out)->type, b->a).data);
}

/* Each row rule's maker. */
static sm_status (*const makers[SM_RULES])(const binding *b, const sm_rule *r, const sm_expr **out,
                                           sm_error *e) = {
    [SM_RULE_REQUIRED] = make_required,
    [SM_RULE_MINIMUM] = make_bound,
    [SM_RULE_EXCLUSIVE_MINIMUM] = make_bound,
    [SM_RULE_MAXIMUM] = make_bound,
    [SM_RULE_EXCLUSIVE_MAXIMUM] = make_bound,
    [SM_RULE_MULTIPLE_OF] = make_multiple,
    [SM_RULE_INTEGER_FORMAT] = make_integer_format,
    [SM_RULE_MIN_LENGTH] = make_length,
    [SM_RULE_MAX_LENGTH] = make_length,
    [SM_RULE_PATTERN] = make_pattern,
    [SM_RULE_TEXT_FORMAT] = make_text_format,
    [SM_RULE_VALID_VALUES] = make_valid_values,
    [SM_RULE_MISSING_VALUES] = make_missing_values,
    [SM_RULE_NULL_VALUES] = make_required,
    [SM_RULE_EXPRESSION] = make_expression,
};

/* ---- a table's rules ------------------------------------------------------------------------- */

static sm_status bind_rule(const binding *b, const sm_rule *r, sm_bound_rule *out, sm_error *e)
{
    const sm_rule_info *info = sm_rule_info_of(r->kind);
    const sm_type *t = r->column >= 0 ? column_of(b, r)->type : NULL;

    if (t && !fits_rule(info->columns, t)) {
        return sm_yaml_at(&b->c->yaml, r->at,
                          sm_fail(e, SM_TYPE,
                                  "%s cannot be a rule of column %.*s, which is of "
                                  "type %s",
                                  info->name, SM_STR_ARG(b->table->columns[r->column].path),
                                  sm_type_text(t, b->a).data),
                          e);
    }
    out->rule = r;
    out->column = r->column >= 0 ? b->places[r->column] : -1;
    SM_ASSERT(info->is_row && makers[r->kind]);
    const sm_status st = makers[r->kind](b, r, &out->holds, e);
    /* The place of a mistake in an expression is the one in its text. */
    return sm_within(e, sm_yaml_at(&b->c->yaml, r->at, st, e), "rule \"%.*s\", line %d of %s",
                     SM_STR_ARG(r->name), (int)r->at.line, b->c->yaml.name.data);
}

/* Columns of the table over the schema; fields stand behind what they are of. */
static sm_status bind_columns(binding *b, sm_error *e)
{
    b->columns = SM_NEW_ARRAY(b->a, const sm_expr *, b->table->n_columns + 1);
    b->places = SM_NEW_ARRAY(b->a, int32_t, b->table->n_columns + 1);
    for (int32_t i = 0; i < b->table->n_columns; i++) {
        SM_TRY(bind_column(b, i, e));
    }
    return SM_OK;
}

sm_status smi_bind_bound(const sm_contract *c, const sm_rule *r, const sm_type *schema,
                         const sm_type *type, sm_arena *a, const sm_expr **out, sm_error *e)
{
    const binding b = {.c = c, .schema = schema, .a = a};

    return literal(&b, r, type, r->text, out, e);
}

sm_status smi_bind_columns(const sm_contract *c, const sm_contract_table *table,
                           const sm_type *schema, sm_arena *a, const sm_expr ***out, sm_error *e)
{
    binding b = {.c = c, .table = table, .schema = schema, .a = a};

    SM_TRY(bind_columns(&b, e));
    *out = b.columns;
    return SM_OK;
}

sm_status sm_contract_bind(const sm_contract *c, const sm_contract_table *table,
                           const sm_type *schema, const sm_resolver *resolver, sm_arena *a,
                           sm_bound_rule **out, int64_t *n, sm_error *e)
{
    binding b = {.c = c, .table = table, .schema = schema, .resolver = resolver, .a = a};
    sm_bound_rule *rules = SM_NEW_ARRAY(a, sm_bound_rule, table->n_rules + 1);
    int64_t n_rules = 0;

    SM_TRY(bind_columns(&b, e));
    for (int64_t i = 0; i < table->n_rules; i++) {
        if (sm_rule_info_of(table->rules[i].kind)->is_row) {
            SM_TRY(bind_rule(&b, &table->rules[i], &rules[n_rules++], e));
        }
    }
    *out = rules;
    *n = n_rules;
    return SM_OK;
}
