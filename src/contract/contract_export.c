/* SPDX-License-Identifier: Apache-2.0
 *
 * contract/contract_export.c: a table of a contract in other forms: CREATE TABLE, and constraints
 * of a Delta table. contract_schema.c writes the JSON Schema.
 *
 * Strict   Each form knows rules that no row may break, and nothing else. A rule that only warns,
 *          or that some rows may break, is none of them.
 * Types    By physicalType where smelt can read it, else by logicalType: an integer is a BIGINT or
 *          what its format says, a number a DOUBLE.
 * Delta    A constraint is met only where it is TRUE, and a rule also where it is NULL: hence
 *          coalesce(rule, true). Each is read as Spark's SQL (sm_query_expr_spark) before it is
 *          given away; a condition in the contract's SQL is taken where both readings are one
 *          expression.
 * Source   Delta PROTOCOL.md, "CHECK Constraints"; DuckDB's documentation, "Constraints" */
#include "base/quote.h"
#include "base/text.h"
#include "base/yaml_write.h"
#include "contract/contract_int.h"

static void add_note(smi_exporting *x, const sm_rule *r, const char *what)
{
    x->notes = sm_arena_grow(x->a, x->notes, x->n_notes, &x->cap_notes, sizeof(*x->notes));
    x->notes[x->n_notes++] = (sm_contract_note){
        .text = sm_arena_strf(x->a, "rule \"%.*s\" %s", SM_STR_ARG(r->name), what),
        .at = r->at,
    };
}

void smi_unsaid(smi_exporting *x, const sm_rule *r, const char *why)
{
    add_note(x, r, sm_arena_printf(x->a, "is left out: %s", why));
}

bool smi_is_strict(smi_exporting *x, const sm_rule *r)
{
    const sm_rule_limit *l = &r->limit;
    const bool takes_none = l->op == SM_MUST_BE && !(l->value > 0) && !(l->value < 0);

    if (smi_is_whole(r->kind)) {
        return true; /* their limit is no number of rows that may break it */
    }
    if (r->action == SM_POLICY_WARN) {
        smi_unsaid(x, r, "it only warns");
    } else if (!takes_none) {
        smi_unsaid(x, r, "some rows may break it");
    }
    return r->action != SM_POLICY_WARN && takes_none;
}

/* A column, or a field of one. */
static const sm_expr *expr_of(const smi_exporting *x, int32_t column)
{
    const sm_contract_column *c = &x->t->columns[column];
    const sm_expr *within = c->parent >= 0 ? expr_of(x, c->parent) : NULL;
    const int32_t at = sm_type_find(within ? within->type : x->schema, c->physical);

    SM_ENSURE(at >= 0); /* the schema was made of these columns */
    return within ? sm_expr_field(within, at, x->a) : sm_expr_column(x->schema, at, x->a);
}

/* ---- types ----------------------------------------------------------------------------------- */

/* By the format of an integer, as the type's name; NULL: it has none. */
static const char *type_of_format(const sm_contract_table *t, int32_t column)
{
    static const char *const types[][2] = {
        {"i8", "TINYINT"},         {"i16", "SMALLINT"}, {"i32", "INTEGER"},
        {"i64", "BIGINT"},         {"u8", "UTINYINT"},  {"u16", "USMALLINT"},
        {"u32", "UINTEGER"},       {"u64", "UBIGINT"},  {"i128", "DECIMAL(38,0)"},
        {"u128", "DECIMAL(38,0)"},
    };

    for (int64_t i = 0; i < t->n_rules; i++) {
        const sm_rule *r = &t->rules[i];
        for (int k = 0;
             r->column == column && r->kind == SM_RULE_INTEGER_FORMAT && k < SM_COUNT(types); k++) {
            if (sm_str_is(r->text, types[k][0])) {
                return types[k][1];
            }
        }
    }
    return NULL;
}

static const char *type_of_logical(const sm_contract_table *t, int32_t column)
{
    static const char *const types[] = {
        [SM_LOGICAL_NONE] = "VARCHAR",    [SM_LOGICAL_STRING] = "VARCHAR",
        [SM_LOGICAL_DATE] = "DATE",       [SM_LOGICAL_TIMESTAMP] = "TIMESTAMP WITH TIME ZONE",
        [SM_LOGICAL_TIME] = "TIME",       [SM_LOGICAL_NUMBER] = "DOUBLE",
        [SM_LOGICAL_INTEGER] = "BIGINT",  [SM_LOGICAL_OBJECT] = "MAP(VARCHAR, VARCHAR)",
        [SM_LOGICAL_ARRAY] = "VARCHAR[]", [SM_LOGICAL_BOOLEAN] = "BOOLEAN",
    };
    const sm_logical_type logical = t->columns[column].logical;
    const char *of_format = logical == SM_LOGICAL_INTEGER ? type_of_format(t, column) : NULL;

    return of_format ? of_format : types[logical];
}

const sm_type *smi_column_type(const sm_contract_table *t, int32_t column, sm_arena *a)
{
    const sm_contract_column *c = &t->columns[column];
    const sm_type *type = smi_contract_schema(t, column, a);
    sm_error unused = {0};

    if (type->n_fields > 0) {
        return type;
    }
    if (c->physical_type.len == 0 || sm_type_parse(c->physical_type, a, &type, &unused) != SM_OK) {
        SM_ENSURE(sm_type_parse(sm_str_of(type_of_logical(t, column)), a, &type, &unused) == SM_OK);
    }
    return type;
}

const sm_type *smi_contract_schema(const sm_contract_table *t, int32_t parent, sm_arena *a)
{
    sm_field *fields = SM_NEW_ARRAY(a, sm_field, t->n_columns + 1);
    int32_t n = 0;

    for (int32_t i = parent + 1; i < t->n_columns; i++) {
        if (t->columns[i].parent == parent) {
            fields[n++] = (sm_field){.name = t->columns[i].physical,
                                     .type = smi_column_type(t, i, a),
                                     .is_nullable = true};
        }
    }
    return sm_type_struct(a, fields, n);
}

/* ---- CREATE TABLE ---------------------------------------------------------------------------- */

static void put_name(smi_exporting *x, sm_str name)
{
    sm_buf_quoted(x->out, name, '"');
}

/* "layer.table" in parts, each in quotes. */
static void put_table(smi_exporting *x, sm_str name)
{
    const char *dot = memchr(name.data, '.', name.len);

    if (dot) {
        put_name(x, (sm_str){name.data, (size_t)(dot - name.data)});
        sm_buf_text(x->out, SM_STR("."));
        name = (sm_str){dot + 1, name.len - (size_t)(dot - name.data) - 1};
    }
    put_name(x, name);
}

static void put_names(smi_exporting *x, const sm_rule *r)
{
    sm_buf_text(x->out, SM_STR(" ("));
    for (int32_t i = 0; i < r->n_columns; i++) {
        sm_buf_text(x->out, i ? SM_STR(", ") : SM_STR(""));
        put_name(x, x->t->columns[r->columns[i]].physical);
    }
    sm_buf_text(x->out, SM_STR(")"));
}

/* RE2, which DuckDB has, knows no possessive quantifiers; the patterns of formats mean the same
 * with greedy ones, for they match the whole text and leave no choice. */
static sm_status duckdb_format(const smi_exporting *x, const sm_rule *r, const sm_expr **out,
                               sm_error *e)
{
    smi_text_format *f = SM_NEW(x->a, smi_text_format);
    sm_buf text = {0};
    int32_t i = 0;

    while (!sm_str_eq(smi_text_formats[i].word, r->text)) {
        i++;
        SM_ASSERT(i < smi_n_text_formats);
    }
    if (i == 0) { /* a date's day is looked at too; its pattern has none of them */
        return SM_OK;
    }
    const sm_str p = smi_text_formats[i].pattern;
    for (size_t k = 0; k < p.len; k++) {
        const bool is_second = k > 0 && p.data[k] == '+' && memchr("+*", p.data[k - 1], 2);
        sm_buf_text(&text, (sm_str){p.data + k, !is_second});
    }
    f->word = r->text;
    f->pattern = sm_arena_take(x->a, &text);
    return smi_text_format_holds(f, expr_of(x, r->column), x->a, out, e);
}

static bool has_comment(sm_str sql)
{
    for (size_t i = 0; i + 1 < sql.len; i++) {
        if (memcmp(sql.data + i, "--", 2) == 0 || memcmp(sql.data + i, "/*", 2) == 0) {
            return true;
        }
    }
    return false;
}

static sm_status put_check(smi_exporting *x, const sm_bound_rule *b, sm_error *e)
{
    const sm_rule *r = b->rule;
    const sm_expr *holds = b->holds;

    if (r->kind == SM_RULE_TEXT_FORMAT) {
        if (sm_str_is(r->text, "hostname")) {
            smi_unsaid(x, r, "DuckDB's regular expressions cannot say it");
            return SM_OK;
        }
        SM_TRY(duckdb_format(x, r, &holds, e));
    }
    if (holds->kind == SM_EXPR_CONST) { /* the type says it */
        return SM_OK;
    }
    sm_buf_text(x->out, SM_STR(",\n    CONSTRAINT "));
    put_name(x, r->name);
    sm_buf_text(x->out, SM_STR(" CHECK ("));
    if (r->kind == SM_RULE_EXPRESSION && !has_comment(r->text)) {
        sm_buf_text(x->out, r->text); /* DuckDB reads the words of whoever wrote it */
    } else {
        sm_expr_sql(holds, x->schema, x->out);
    }
    sm_buf_text(x->out, SM_STR(")"));
    return SM_OK;
}

/* A field cannot be NOT NULL, but a CHECK can say it. */
static bool is_not_null(const smi_exporting *x, const sm_rule *r)
{
    return (r->kind == SM_RULE_REQUIRED || r->kind == SM_RULE_NULL_VALUES) &&
           x->t->columns[r->column].parent < 0;
}

static void put_columns(smi_exporting *x, const sm_bound_rule *rules, int64_t n)
{
    for (int32_t i = 0; i < x->schema->n_fields; i++) {
        bool is_required = false;
        for (int64_t k = 0; k < n; k++) {
            is_required = is_required || (rules[k].column == i && is_not_null(x, rules[k].rule));
        }
        sm_buf_text(x->out, i ? SM_STR(",\n    ") : SM_STR("\n    "));
        put_name(x, x->schema->fields[i].name);
        sm_buf_text(x->out, SM_STR(" "));
        sm_type_print(x->schema->fields[i].type, x->out);
        sm_buf_text(x->out, is_required ? SM_STR(" NOT NULL") : SM_STR(""));
    }
}

static void put_set_rule(smi_exporting *x, const sm_rule *r)
{
    bool is_of_fields = false;

    for (int32_t i = 0; i < r->n_columns; i++) {
        is_of_fields = is_of_fields || x->t->columns[r->columns[i]].parent >= 0;
    }
    const bool is_key = r->kind == SM_RULE_PRIMARY_KEY;
    if (is_of_fields) {
        smi_unsaid(x, r, "it is of a field within an object");
    } else if (is_key || r->kind == SM_RULE_UNIQUE || r->kind == SM_RULE_DUPLICATE_VALUES) {
        sm_buf_text(x->out, is_key ? SM_STR(",\n    PRIMARY KEY") : SM_STR(",\n    UNIQUE"));
        put_names(x, r);
    } else if (r->kind == SM_RULE_REFERENCE) {
        sm_buf_text(x->out, SM_STR(",\n    FOREIGN KEY"));
        put_names(x, r);
        sm_buf_text(x->out, SM_STR(" REFERENCES "));
        put_table(x, r->other_table);
        for (int32_t i = 0; i < r->n_columns; i++) {
            sm_buf_text(x->out, i ? SM_STR(", ") : SM_STR(" ("));
            put_name(x, r->other_columns[i]);
        }
        sm_buf_text(x->out, SM_STR(")"));
    } else {
        smi_unsaid(x, r, "a CREATE TABLE has no word for it");
    }
}

static sm_status export_ddl(smi_exporting *x, const sm_bound_rule *rules, int64_t n, sm_error *e)
{
    sm_bound_rule *strict = SM_NEW_ARRAY(x->a, sm_bound_rule, n + 1);
    int64_t n_strict = 0;

    for (int64_t i = 0; i < n; i++) {
        if (smi_is_strict(x, rules[i].rule)) {
            strict[n_strict++] = rules[i];
        }
    }
    sm_buf_text(x->out, SM_STR("CREATE TABLE "));
    put_table(x, x->t->physical);
    sm_buf_text(x->out, SM_STR(" ("));
    put_columns(x, strict, n_strict);
    for (int64_t i = 0; i < n_strict; i++) {
        SM_TRY(is_not_null(x, strict[i].rule) ? SM_OK : put_check(x, &strict[i], e));
    }
    for (int64_t i = 0; i < x->t->n_rules; i++) {
        const sm_rule *r = &x->t->rules[i];
        if (!sm_rule_info_of(r->kind)->is_row && smi_is_strict(x, r)) {
            put_set_rule(x, r);
        }
    }
    sm_buf_text(x->out, SM_STR("\n);\n"));
    return SM_OK;
}

/* ---- constraints of a Delta table ------------------------------------------------------------ */

static bool is_simple_name(sm_str s)
{
    bool is = s.len > 0 && !(s.data[0] >= '0' && s.data[0] <= '9');

    for (size_t i = 0; i < s.len; i++) {
        const char c = s.data[i];
        is = is && ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                    c == '_');
    }
    return is;
}

static void put_spark_name(sm_buf *out, sm_str name)
{
    if (is_simple_name(name)) {
        sm_buf_text(out, name);
    } else {
        sm_buf_quoted(out, name, '`');
    }
}

/* a.b of a field */
static void put_spark_path(const smi_exporting *x, int32_t column, sm_buf *out)
{
    const sm_contract_column *c = &x->t->columns[column];

    if (c->parent >= 0) {
        put_spark_path(x, c->parent, out);
        sm_buf_text(out, SM_STR("."));
    }
    put_spark_name(out, c->physical);
}

/* A value of the file; quotes and signs that Spark reads otherwise are refused when it is read. */
static void put_spark_value(const smi_exporting *x, int32_t column, sm_str text, sm_buf *out)
{
    const sm_logical_type logical = x->t->columns[column].logical;
    double number = 0;

    if (logical == SM_LOGICAL_DATE) {
        sm_buf_text(out, SM_STR("DATE "));
    }
    const bool is_number = (logical == SM_LOGICAL_NUMBER || logical == SM_LOGICAL_INTEGER) &&
                           sm_parse_f64(text, false, &number);
    if (is_number || logical == SM_LOGICAL_BOOLEAN) {
        sm_buf_text(out, text);
    } else {
        sm_buf_quoted(out, text, '\'');
    }
}

static void put_spark_values(const smi_exporting *x, const sm_rule *r, sm_buf *out)
{
    for (int32_t i = 0; i < r->n_values; i++) {
        sm_buf_text(out, i ? SM_STR(", ") : SM_STR(" ("));
        put_spark_value(x, r->column, r->values[i].text, out);
    }
    sm_buf_text(out, SM_STR(")"));
}

static void put_spark_bound(const smi_exporting *x, const sm_rule *r, const char *op, sm_buf *out)
{
    put_spark_path(x, r->column, out);
    sm_buf_printf(out, " %s ", op);
    put_spark_value(x, r->column, r->text, out);
}

static void put_spark_range(const smi_exporting *x, const sm_rule *r, sm_buf *out)
{
    const smi_integer_format *f = smi_integer_formats;

    while (!sm_str_eq(f->word, r->text)) {
        f++;
        SM_ASSERT(f < smi_integer_formats + smi_n_integer_formats);
    }
    const char *also = "";
    if (f->has_least && f->least > INT64_MIN) {
        put_spark_path(x, r->column, out);
        sm_buf_printf(out, " >= %lld", (long long)f->least);
        also = " AND ";
    }
    if (f->has_greatest && f->greatest < INT64_MAX) {
        sm_buf_printf(out, "%s", also);
        put_spark_path(x, r->column, out);
        sm_buf_printf(out, " <= %lld", (long long)f->greatest);
    }
    sm_buf_text(out, out->len == 0 ? SM_STR("true") : SM_STR(""));
}

static void put_spark_present(const smi_exporting *x, const sm_rule *r, sm_buf *out)
{
    const int32_t parent = x->t->columns[r->column].parent;

    if (parent >= 0) {
        put_spark_path(x, parent, out);
        sm_buf_text(out, SM_STR(" IS NULL OR "));
    }
    put_spark_path(x, r->column, out);
    sm_buf_text(out, SM_STR(" IS NOT NULL"));
}

static void put_spark_missing(const smi_exporting *x, const sm_rule *r, sm_buf *out)
{
    if (r->n_values > 0) {
        put_spark_path(x, r->column, out);
        sm_buf_text(out, SM_STR(" NOT IN"));
        put_spark_values(x, r, out);
    }
    if (r->takes_null) {
        sm_buf_text(out, out->len > 0 ? SM_STR(" AND ") : SM_STR(""));
        put_spark_path(x, r->column, out);
        sm_buf_text(out, SM_STR(" IS NOT NULL"));
    }
}

/* The rule in Spark's SQL. Returns why it cannot be said, or NULL. */
static const char *put_spark_rule(const smi_exporting *x, const sm_rule *r, sm_buf *out)
{
    const sm_logical_type logical = r->column >= 0 ? x->t->columns[r->column].logical : 0;
    const bool is_time = logical == SM_LOGICAL_TIMESTAMP || logical == SM_LOGICAL_TIME;

    switch (r->kind) {
    case SM_RULE_REQUIRED:
    case SM_RULE_NULL_VALUES:
        put_spark_present(x, r, out);
        return NULL;
    case SM_RULE_MINIMUM:
    case SM_RULE_EXCLUSIVE_MINIMUM:
        put_spark_bound(x, r, r->kind == SM_RULE_MINIMUM ? ">=" : ">", out);
        return is_time ? "a time without zone is another one in each session of Spark" : NULL;
    case SM_RULE_MAXIMUM:
    case SM_RULE_EXCLUSIVE_MAXIMUM:
        put_spark_bound(x, r, r->kind == SM_RULE_MAXIMUM ? "<=" : "<", out);
        return is_time ? "a time without zone is another one in each session of Spark" : NULL;
    case SM_RULE_MULTIPLE_OF:
        put_spark_bound(x, r, "%", out);
        sm_buf_text(out, SM_STR(" = 0"));
        return logical == SM_LOGICAL_INTEGER ? NULL : "Spark rounds fractions otherwise";
    case SM_RULE_INTEGER_FORMAT:
        put_spark_range(x, r, out);
        return NULL;
    case SM_RULE_MIN_LENGTH:
    case SM_RULE_MAX_LENGTH:
        sm_buf_text(out, SM_STR("length("));
        put_spark_path(x, r->column, out);
        sm_buf_printf(out, ") %s %.*s",
                      r->kind == SM_RULE_MIN_LENGTH ? ">=" : "<=", SM_STR_ARG(r->text));
        return NULL;
    case SM_RULE_VALID_VALUES:
        put_spark_path(x, r->column, out);
        sm_buf_text(out, r->n_values > 0 ? SM_STR(" IN") : SM_STR(" IS NULL"));
        if (r->n_values > 0) {
            put_spark_values(x, r, out);
        }
        return NULL;
    case SM_RULE_MISSING_VALUES:
        put_spark_missing(x, r, out);
        return NULL;
    case SM_RULE_EXPRESSION:
        sm_buf_text(out, r->text);
        return NULL;
    default:
        return "Spark has other regular expressions";
    }
}

/* Letters, digits and _ of the rule's name; a number behind it where another one has it. */
static sm_str constraint_name(const smi_exporting *x, sm_map *taken, sm_str name)
{
    const sm_str copy = sm_arena_str(x->a, name);
    char *text = (char *)copy.data;

    for (size_t i = 0; i < copy.len; i++) {
        if (!is_simple_name((sm_str){&text[i], 1}) && !(text[i] >= '0' && text[i] <= '9')) {
            text[i] = '_';
        }
    }
    sm_str made = is_simple_name(copy) ? copy : sm_arena_strf(x->a, "_%s", text);
    for (int n = 2; *sm_map_at(taken, sm_text_lower(made, x->a)); n++) {
        made = sm_arena_strf(x->a, "%s_%d", text, n);
    }
    *sm_map_at(taken, sm_text_lower(made, x->a)) = taken;
    return made;
}

/* Is the text read as Spark's SQL, and a condition of the contract as the same one? */
static const char *check_spark(const smi_exporting *x, const sm_bound_rule *b, sm_str text)
{
    const sm_sql sql = {.name = b->rule->name, .text = text};
    const sm_expr *read = NULL;
    sm_error e = {0};

    if (sm_query_expr_spark(&sql, x->schema, &sm_type_bool, x->a, &read, &e) != SM_OK) {
        return sm_arena_printf(x->a, "%s", e.what);
    }
    return b->rule->kind == SM_RULE_EXPRESSION && !sm_expr_eq(read, b->holds)
               ? "Spark reads its condition otherwise"
               : NULL;
}

/* A lower bound is weaker for Spark: NaN is its largest number. */
static void note_nan(smi_exporting *x, const sm_rule *r)
{
    const bool is_lower = r->kind == SM_RULE_MINIMUM || r->kind == SM_RULE_EXCLUSIVE_MINIMUM;
    const sm_type_id id = is_lower ? expr_of(x, r->column)->type->id : SM_TYPE_NULL;

    if (id == SM_TYPE_F32 || id == SM_TYPE_F64) {
        add_note(x, r, "lets NaN in, the largest number to Spark");
    }
}

/* The constraint of a rule; false, which is noted: it cannot be said. */
static bool make_constraint(smi_exporting *x, const sm_bound_rule *b, sm_map *taken, sm_pair *out)
{
    sm_buf text = {0};

    const char *why = put_spark_rule(x, b->rule, &text);
    why = why ? why : check_spark(x, b, sm_buf_str(&text));
    if (why) {
        smi_unsaid(x, b->rule, why);
    } else {
        out->key = constraint_name(x, taken, b->rule->name);
        sm_buf check = {0};
        sm_buf_text(&check, SM_STR("coalesce("));
        sm_buf_text(&check, sm_buf_str(&text));
        sm_buf_text(&check, SM_STR(", true)"));
        out->value = sm_arena_take(x->a, &check);
        note_nan(x, b->rule);
    }
    sm_buf_release(&text);
    return !why;
}

/* The constraints of all row rules, in their order; what cannot be one is noted. */
static void make_constraints(smi_exporting *x, const sm_bound_rule *rules, int64_t n, sm_pair **out,
                             int32_t *n_out)
{
    sm_map *taken = sm_map_new(x->a);

    *out = SM_NEW_ARRAY(x->a, sm_pair, n + 1);
    *n_out = 0;
    for (int64_t i = 0; i < n; i++) {
        if (smi_is_strict(x, rules[i].rule) &&
            make_constraint(x, &rules[i], taken, &(*out)[*n_out])) {
            ++*n_out;
        }
    }
    for (int64_t i = 0; i < x->t->n_rules; i++) {
        if (!sm_rule_info_of(x->t->rules[i].kind)->is_row) {
            smi_unsaid(x, &x->t->rules[i], "a constraint looks at one row");
        }
    }
}

/* "layer.table", each part in quotes where Spark needs them. */
static void put_spark_table(smi_exporting *x)
{
    const sm_str name = x->t->physical;
    const char *dot = memchr(name.data, '.', name.len);
    const size_t n = dot ? (size_t)(dot - name.data) + 1 : 0;

    if (dot) {
        put_spark_name(x->out, (sm_str){name.data, n - 1});
        sm_buf_text(x->out, SM_STR("."));
    }
    put_spark_name(x->out, (sm_str){name.data + n, name.len - n});
}

static void export_delta(smi_exporting *x, const sm_bound_rule *rules, int64_t n)
{
    sm_pair *constraints = NULL;
    int32_t n_constraints = 0;

    make_constraints(x, rules, n, &constraints, &n_constraints);
    for (int32_t i = 0; i < n_constraints; i++) {
        sm_buf_text(x->out, SM_STR("ALTER TABLE "));
        put_spark_table(x);
        sm_buf_text(x->out, SM_STR(" ADD CONSTRAINT "));
        sm_buf_text(x->out, constraints[i].key);
        sm_buf_text(x->out, SM_STR(" CHECK ("));
        sm_buf_text(x->out, constraints[i].value);
        sm_buf_text(x->out, SM_STR(");\n"));
    }
}

/* ---- the door -------------------------------------------------------------------------------- */

sm_status sm_contract_export(const sm_contract *c, const sm_contract_table *table,
                             sm_contract_form form, sm_arena *a, sm_buf *out,
                             sm_contract_note **notes, int64_t *n_notes, sm_error *e)
{
    smi_exporting x = {.c = c, .t = table, .a = a, .out = out};
    sm_bound_rule *rules = NULL;
    int64_t n = 0;

    x.schema = smi_contract_schema(table, -1, a);
    if (x.schema->n_fields == 0) {
        return sm_yaml_at(
            &c->yaml, table->at,
            sm_fail(e, SM_INVALID, "table %.*s has no columns", SM_STR_ARG(table->name)), e);
    }
    if (form == SM_FORM_JSON_SCHEMA) {
        smi_export_schema(&x);
    } else {
        SM_TRY(sm_contract_bind(c, table, x.schema, NULL, a, &rules, &n, e));
        if (form == SM_FORM_DDL) {
            SM_TRY(export_ddl(&x, rules, n, e));
        } else {
            export_delta(&x, rules, n);
        }
    }
    *notes = x.notes;
    *n_notes = x.n_notes;
    return SM_OK;
}

sm_status sm_contract_constraints(const sm_contract *c, const sm_contract_table *table,
                                  const sm_type *schema, sm_arena *a, sm_pair **out, int32_t *n,
                                  sm_contract_note **notes, int64_t *n_notes, sm_error *e)
{
    smi_exporting x = {.c = c, .t = table, .schema = schema, .a = a};
    sm_bound_rule *rules = NULL;
    int64_t n_rules = 0;

    SM_TRY(sm_contract_bind(c, table, schema, NULL, a, &rules, &n_rules, e));
    make_constraints(&x, rules, n_rules, out, n);
    *notes = x.notes;
    *n_notes = x.n_notes;
    return SM_OK;
}
