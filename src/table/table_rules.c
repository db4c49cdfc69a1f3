/* SPDX-License-Identifier: Apache-2.0
 *
 * table/table_rules.c: what a table says of its rows: each row that is written must keep its
 * constraints, and columns that the rows do not have are computed. Called by table_stage.c, which
 * reads the rules before a row is written, and table_out.c, which applies them to each batch.
 *
 * Rules     CHECK constraints  table properties delta.constraints.NAME
 *           invariants         delta.invariants of a column, a JSON text within JSON
 *           generated columns  delta.generationExpression of a column: where the rows have the
 *                              column, its values must be those of the expression, NULL for NULL
 *           defaults           CURRENT_DEFAULT of a column that the rows do not have
 *           identity columns   table_identity.c, where the rows do not have the column
 * TRUE      A rule must be TRUE. NULL does not pass, unlike in standard SQL: so says the protocol,
 *           and so does Spark.
 * Dialect   The expressions are Spark's SQL. One that is not understood stops the write before it
 *           begins; a default only where it is needed. current_timestamp() and current_date() of
 *           defaults are the time at which the write begins, in UTC.
 * Source    PROTOCOL.md, "Column Invariants", "CHECK Constraints", "Generated Columns", "Default
 *           Columns" */
#include "base/json_doc.h"
#include "base/time.h"
#include "table/table_int.h"

#define CONSTRAINT "delta.constraints."
#define INVARIANT  "delta.invariants"
#define GENERATED  "delta.generationExpression"
#define DEFAULT    "CURRENT_DEFAULT"

#define DAY_US ((int64_t)86400 * 1000000)

/* The rules while they are read. */
typedef struct reading {
    const sm_type *schema;
    sm_arena *arena;
    smi_rule *rules;
    int64_t n, cap;
} reading;

/* ---- metadata of columns --------------------------------------------------------------------- */

static const sm_field_meta *meta_of(const sm_field *f, const char *key)
{
    for (int32_t i = 0; i < f->n_meta; i++) {
        if (sm_str_is(f->meta[i].key, key)) {
            return &f->meta[i];
        }
    }
    return NULL;
}

bool smi_field_is_computed(const sm_field *f)
{
    return meta_of(f, GENERATED) || meta_of(f, DEFAULT) || smi_field_is_identity(f);
}

bool smi_field_is_generated(const sm_field *f)
{
    return meta_of(f, GENERATED) != NULL;
}

/* The text that a column's metadata has under a key; no data where it has none. */
static sm_str meta_text(const sm_field *f, const char *key, sm_arena *a)
{
    const sm_field_meta *meta = meta_of(f, key);
    const sm_json *json = NULL;

    if (!meta || sm_json_parse(meta->json, a, &json, NULL) != SM_OK) {
        return (sm_str){0};
    }
    return sm_json_text(json);
}

/* ---- reading --------------------------------------------------------------------------------- */

static sm_status read_expr(const reading *r, sm_str name, sm_str text, const sm_type *type,
                           const sm_expr **out, sm_error *e)
{
    const sm_sql sql = {.name = name, .text = text};
    const sm_status st = sm_query_expr_spark(&sql, r->schema, type, r->arena, out, e);

    return sm_within(e, st, "%.*s: %.*s", SM_STR_ARG(name), SM_STR_ARG(text));
}

static void add_rule(reading *r, sm_str name, sm_str text, const sm_expr *holds)
{
    r->rules = sm_arena_grow(r->arena, r->rules, r->n, &r->cap, sizeof(*r->rules));
    r->rules[r->n++] = (smi_rule){.name = name, .text = text, .holds = holds};
}

static sm_status read_condition(reading *r, sm_str name, sm_str text, sm_error *e)
{
    const sm_expr *holds = NULL;

    SM_TRY(read_expr(r, name, text, &sm_type_bool, &holds, e));
    add_rule(r, name, text, holds);
    return SM_OK;
}

static sm_status read_constraints(reading *r, const sm_delta_metadata *m, sm_error *e)
{
    for (int32_t i = 0; i < m->n_config; i++) {
        const sm_str key = m->config[i].key;
        const sm_str prefix = {key.data, strlen(CONSTRAINT)};
        if (key.len > prefix.len && sm_str_eq_nocase(prefix, SM_STR(CONSTRAINT))) {
            const sm_str name = {key.data + prefix.len, key.len - prefix.len};
            SM_TRY(read_condition(r,
                                  sm_arena_strf(r->arena, "constraint \"%.*s\"", SM_STR_ARG(name)),
                                  m->config[i].value, e));
        }
    }
    return SM_OK;
}

/* {"expression":{"expression":"x > 3"}}, as a text. */
static sm_status read_invariant(reading *r, const sm_field *f, sm_error *e)
{
    const sm_str said = meta_text(f, INVARIANT, r->arena);
    const sm_json *json = NULL;

    if (!meta_of(f, INVARIANT)) {
        return SM_OK;
    }
    const bool is_json = said.data && sm_json_parse(said, r->arena, &json, NULL) == SM_OK;
    const sm_json *inner = is_json ? sm_json_get(json, "expression") : NULL;
    const sm_str text = sm_json_text(sm_json_get(inner, "expression"));
    if (text.len == 0) {
        return sm_fail(e, SM_UNSUPPORTED, "the invariant of column \"%.*s\" is of an unknown form",
                       SM_STR_ARG(f->name));
    }
    return read_condition(
        r, sm_arena_strf(r->arena, "the invariant of column \"%.*s\"", SM_STR_ARG(f->name)), text,
        e);
}

/* At any depth. Such expressions name columns of the table, never fields beside them. */
static sm_status read_invariants(reading *r, const sm_type *t, sm_error *e)
{
    for (int32_t i = 0; i < t->n_fields; i++) {
        SM_TRY(read_invariant(r, &t->fields[i], e));
        SM_TRY(read_invariants(r, t->fields[i].type, e));
    }
    return SM_OK;
}

/* A generated column that the rows have becomes a rule, one that they have not is computed. */
static sm_status read_generated(reading *r, int32_t column, bool is_given, smi_rules *out,
                                sm_error *e)
{
    const sm_field *f = &r->schema->fields[column];
    const sm_str text = meta_text(f, GENERATED, r->arena);
    const sm_expr *value = NULL, *same = NULL;

    if (!meta_of(f, GENERATED)) {
        return SM_OK;
    }
    const sm_str name = sm_arena_strf(r->arena, "generated column \"%.*s\"", SM_STR_ARG(f->name));
    SM_TRY(read_expr(r, name, text, f->type, &value, e));
    if (!is_given) {
        out->generated[column] = value;
        return SM_OK;
    }
    const sm_expr *const sides[] = {sm_expr_column(r->schema, column, r->arena), value};
    SM_TRY(sm_expr_call("is_not_distinct", sides, 2, r->arena, &same, e));
    add_rule(r, name, text, same);
    return SM_OK;
}

/* What a default is that depends on the time of the write; false where it does not. */
static bool value_of_now(const sm_type *t, sm_str text, sm_value *out)
{
    const bool is_time = sm_str_eq_nocase(text, SM_STR("current_timestamp()")) ||
                         sm_str_eq_nocase(text, SM_STR("current_timestamp")) ||
                         sm_str_eq_nocase(text, SM_STR("now()"));
    const bool is_date = sm_str_eq_nocase(text, SM_STR("current_date()")) ||
                         sm_str_eq_nocase(text, SM_STR("current_date"));
    const int64_t now_us = sm_now_us();

    *out = (sm_value){.type = t};
    if (is_time && (t->id == SM_TYPE_TIMESTAMP || t->id == SM_TYPE_TIMESTAMP_NTZ)) {
        out->as.i = now_us;
        return true;
    }
    out->as.i = now_us / DAY_US;
    return (is_time || is_date) && t->id == SM_TYPE_DATE;
}

/* *out stays as it is where the column has no default. */
static sm_status read_default(const reading *r, const sm_field *f, const sm_expr **out, sm_error *e)
{
    const sm_str text = meta_text(f, DEFAULT, r->arena);
    sm_value now = {0};

    if (!meta_of(f, DEFAULT)) {
        return SM_OK;
    }
    if (value_of_now(f->type, text, &now)) {
        *out = sm_expr_constant(now, r->arena);
        return SM_OK;
    }
    return read_expr(r,
                     sm_arena_strf(r->arena, "the default of column \"%.*s\"", SM_STR_ARG(f->name)),
                     text, f->type, out, e);
}

sm_status smi_field_default(const sm_field *f, sm_arena *a, const sm_expr **out, sm_error *e)
{
    static const sm_type no_columns = {.id = SM_TYPE_STRUCT};
    const reading r = {.schema = &no_columns, .arena = a};

    *out = NULL;
    SM_TRY(read_default(&r, f, out, e));
    if (*out) {
        return SM_OK;
    }
    const sm_status st =
        sm_fail(e, SM_DENIED, "the table computes column \"%.*s\" itself", SM_STR_ARG(f->name));
    sm_error_todo(e, "Leave it out, or say DEFAULT in all rows that are added.");
    return st;
}

sm_status smi_rules_settle(const sm_delta_metadata *m, const int32_t *order, sm_arena *a,
                           smi_rules *out, sm_error *e)
{
    const int32_t n = m->schema->n_fields;
    reading r = {.schema = m->schema, .arena = a};
    smi_rules made = {
        .n_columns = n,
        .defaults = SM_NEW_ARRAY(a, const sm_expr *, n + 1),
        .generated = SM_NEW_ARRAY(a, const sm_expr *, n + 1),
    };

    SM_TRY(read_constraints(&r, m, e));
    SM_TRY(read_invariants(&r, m->schema, e));
    for (int32_t i = 0; i < n; i++) {
        const bool is_given = !order || order[i] >= 0;
        SM_TRY(read_generated(&r, i, is_given, &made, e));
        if (!is_given && !made.generated[i]) {
            SM_TRY(read_default(&r, &m->schema->fields[i], &made.defaults[i], e));
        }
        SM_ASSERT(is_given || made.generated[i] || made.defaults[i] || /* smi_schema_match saw it */
                  smi_field_is_identity(&m->schema->fields[i]));
        made.has_missing = made.has_missing || !is_given;
    }
    SM_TRY(smi_identity_settle(m->schema, order, a, &made.identity, e));
    made.rules = r.rules;
    made.n = (int32_t)r.n;
    *out = made;
    return SM_OK;
}

/* ---- computing ------------------------------------------------------------------------------- */

static sm_status fill_with(const sm_expr *const *values, int32_t n, sm_batch *b, sm_error *e)
{
    SM_ASSERT(n <= b->n_columns); /* further ones are none of the table's */
    for (int32_t i = 0; i < n; i++) {
        if (values[i]) {
            sm_column made = {0};
            SM_TRY(sm_expr_eval(values[i], b, NULL, b, &made, e));
            b->columns[i] = made;
        }
    }
    return SM_OK;
}

sm_status smi_rules_fill(const smi_rules *r, sm_batch *b, sm_error *e)
{
    if (!r->has_missing) {
        return SM_OK;
    }
    SM_TRY(fill_with(r->defaults, r->n_columns, b, e));
    SM_TRY(r->identity ? smi_identity_fill(r->identity, b, e) : SM_OK);
    return fill_with(r->generated, r->n_columns, b, e);
}

/* ---- checking -------------------------------------------------------------------------------- */

/* Appends the columns that an expression reads, with their values in a row, each once. */
static void print_columns(const sm_expr *x, const sm_batch *rows, int64_t row, bool *is_said,
                          sm_buf *out)
{
    if (x->kind == SM_EXPR_COLUMN && !is_said[x->index]) {
        is_said[x->index] = true;
        sm_buf_printf(out, "%s%.*s = ", out->len > 0 ? ", " : "",
                      SM_STR_ARG(rows->schema->fields[x->index].name));
        sm_value_print(sm_column_value(&rows->columns[x->index], row), out);
    }
    for (int32_t i = 0; i < x->n_args; i++) {
        print_columns(x->args[i], rows, row, is_said, out);
    }
}

/* The first row that is not among the n selected ones, which ascend. */
static int64_t first_other(const int32_t *selected, int64_t n)
{
    int64_t row = 0;
    while (row < n && selected[row] == row) {
        row++;
    }
    return row;
}

sm_str smi_rule_row(const sm_expr *holds, const sm_batch *rows, int64_t row, sm_arena *a)
{
    bool *is_said = SM_NEW_ARRAY(a, bool, rows->n_columns + 1);
    sm_buf values = {0};

    SM_ASSERT(row < rows->n_rows);
    print_columns(holds, rows, row, is_said, &values);
    const sm_str out = sm_arena_str(a, sm_buf_str(&values));
    sm_buf_release(&values);
    return out;
}

static sm_status fail_rule(const smi_rule *rule, const sm_batch *rows, int64_t row, sm_error *e)
{
    sm_arena *a = sm_arena_new(NULL);

    const sm_status st =
        sm_fail(e, SM_INVALID, "%.*s (%.*s) does not hold for a row: %.*s", SM_STR_ARG(rule->name),
                SM_STR_ARG(rule->text), SM_STR_ARG(smi_rule_row(rule->holds, rows, row, a)));
    sm_error_todo(e, "The table demands it of each row. Correct such rows, or leave them out.");
    sm_arena_free(a);
    return st;
}

sm_status smi_rules_check(const smi_rules *r, const sm_batch *rows, sm_budget *budget, sm_error *e)
{
    sm_status st = SM_OK;

    if (r->n == 0 || rows->n_rows == 0) {
        return SM_OK;
    }
    int32_t *selected = sm_alloc((size_t)rows->n_rows * sizeof(*selected));
    for (int32_t i = 0; i < r->n && st == SM_OK; i++) {
        int64_t n = 0;
        st = sm_expr_select(r->rules[i].holds, rows, NULL, selected, &n, budget, e);
        if (st != SM_OK) {
            st = sm_within(e, st, "%.*s", SM_STR_ARG(r->rules[i].name));
        } else if (n < rows->n_rows) {
            st = fail_rule(&r->rules[i], rows, first_other(selected, n), e);
        }
    }
    sm_free(selected);
    return st;
}
