/* contract/contract_rule_test.c: each rule of rules.def over a value that keeps it, one that breaks
 * it and NULL, held against its SQL; more values at the edges; what cannot be bound, with its
 * place. */
#include "test.h"

#include "contract/contract_testkit.h"

/* A batch of one row, with c of that type; value "NULL" is NULL. */
static sm_batch *row_of(const sm_type *schema, const char *value, sm_budget *budget)
{
    sm_batch *out = NULL;
    sm_error e = {0};
    sm_value v = sm_value_null(schema->fields[0].type);
    const sm_type *t = schema->fields[0].type;

    if (strcmp(value, "NULL") != 0) {
        assert_ok(sm_value_parse(t, sm_str_of(value), &v, &e), &e);
    }
    assert_ok(sm_batch_new(budget, schema, &out, &e), &e);
    sm_builder *b = sm_builder_new(t, budget);
    sm_builder_value(b, v);
    assert_ok(sm_builder_finish(b, out, &out->columns[0], &e), &e);
    sm_builder_free(b);
    out->n_rows = 1;
    return out;
}

/* Does the only row break it? */
static bool is_broken(const sm_expr *holds, const sm_batch *row, sm_budget *budget)
{
    sm_batch *into = NULL;
    sm_column c;
    sm_error e = {0};

    assert_int_equal(holds->type->id, SM_TYPE_BOOL);
    assert_ok(sm_batch_new(budget, row->schema, &into, &e), &e);
    assert_ok(sm_expr_eval(holds, row, NULL, into, &c, &e), &e);
    const bool broken = !sm_column_is_null(&c, 0) && !sm_column_value(&c, 0).as.b;
    sm_batch_release(into);
    return broken;
}

static const sm_type *schema_of(const char *type, sm_arena *a)
{
    sm_error e = {0};
    sm_field f = {.name = SM_STR("c"), .is_nullable = true};

    assert_ok(sm_type_parse(sm_str_of(type), a, &f.type, &e), &e);
    return sm_type_struct(a, &f, 1);
}

/* The row rules of a contract over a schema; its table is the only one. */
static sm_status bind(const char *yaml, const sm_type *schema, sm_arena *a, sm_bound_rule **out,
                      int64_t *n, sm_error *e)
{
    sm_contract *c = NULL;
    const sm_contract_table *t = NULL;
    sm_error why = {0};

    assert_ok(kit_read(yaml, a, &c, &why), &why);
    assert_ok(sm_contract_find(c, SM_STR(""), a, &t, &why), &why);
    return sm_contract_bind(c, t, schema, NULL, a, out, n, e);
}

/* ---- the registry ---------------------------------------------------------------------------- */

static void check_example(sm_rule_kind kind, sm_budget *budget)
{
    const sm_rule_info *info = sm_rule_info_of(kind);
    sm_arena *a = sm_arena_new(NULL);
    sm_error e = {0};
    sm_bound_rule *rules = NULL;
    int64_t n = 0;
    const sm_expr *same = NULL;
    const sm_type *schema = schema_of(info->type, a);
    const sm_sql sql = {SM_STR("rules.def"), sm_str_of(info->sql)};
    const char *const values[] = {info->keeps, info->breaks, "NULL"};
    const bool takes_null =
        kind != SM_RULE_REQUIRED && kind != SM_RULE_NULL_VALUES && kind != SM_RULE_MISSING_VALUES;

    assert_ok(bind(kit_column(info->logical, info->yaml, a), schema, a, &rules, &n, &e), &e);
    assert_int_equal(n, 1);
    assert_int_equal(rules[0].rule->kind, kind);
    assert_int_equal(rules[0].column, 0);
    assert_ok(sm_query_expr(&sql, schema, NULL, a, &same, &e), &e);
    for (int i = 0; i < SM_COUNT(values); i++) {
        sm_batch *row = row_of(schema, values[i], budget);
        const bool broken = is_broken(rules[0].holds, row, budget);
        if (broken != (i == 1 || (i == 2 && !takes_null)) ||
            broken != is_broken(same, row, budget)) {
            fail_msg("%s: %s: broken is %d", info->name, values[i], broken);
        }
        sm_batch_release(row);
    }
    sm_arena_free(a);
}

static void test_examples(void **state)
{
    sm_budget *budget = sm_budget_new(NULL, "test", 0);
    int n_rows = 0, n_sets = 0;

    for (int i = 0; i < SM_RULES; i++) {
        const sm_rule_info *info = sm_rule_info_of((sm_rule_kind)i);
        assert_true(info->name[0] && info->summary[0] && info->yaml[0]);
        n_rows += info->is_row;
        n_sets += !info->is_row;
        if (info->is_row) {
            check_example((sm_rule_kind)i, budget);
        }
    }
    assert_int_equal(n_rows, SM_RULE_EXPRESSION + 1);
    assert_int_equal(n_rows + n_sets, SM_RULES);
    sm_budget_free(budget);
}

/* ---- more values ----------------------------------------------------------------------------- */

#define OPTION(text) "logicalTypeOptions: {" text "}"
#define VALID(text)                                                                                \
    "quality: [{metric: invalidValues, arguments: {validValues: [" text "]}, mustBe: 0}]"
#define MISSING(text)                                                                              \
    "quality: [{metric: missingValues, arguments: {missingValues: [" text "]}, mustBe: 0}]"
#define CUSTOM(text) "quality: [{type: custom, engine: smelt, implementation: " text "}]"

static const struct {
    const char *logical, *type, *yaml, *value;
    bool broken;
} cases[] = {
    /* NaN and infinities */
    {"number", "DOUBLE", OPTION("minimum: 0"), "nan", true},
    {"number", "FLOAT", OPTION("minimum: 0"), "nan", true},
    {"number", "DOUBLE", OPTION("minimum: 0"), "inf", false},
    {"number", "DOUBLE", OPTION("minimum: 0"), "-inf", true},
    {"number", "DOUBLE", OPTION("exclusiveMinimum: 0"), "nan", true},
    {"number", "DOUBLE", OPTION("exclusiveMinimum: 0"), "-0.0", true},
    {"number", "DOUBLE", OPTION("maximum: 0"), "nan", true},
    {"number", "DOUBLE", OPTION("exclusiveMaximum: 0"), "nan", true},
    {"number", "DOUBLE", OPTION("maximum: 1e300"), "inf", true},
    {"number", "DOUBLE", "required: true", "nan", false},
    {"number", "DOUBLE", OPTION("multipleOf: 0.1"), "nan", true},
    {"number", "DOUBLE", OPTION("multipleOf: 0.1"), "inf", true},
    {"number", "DOUBLE", VALID("1, 2.5"), "nan", true},
    /* bounds of other types than the column's */
    {"integer", "TINYINT", OPTION("maximum: 100000"), "127", false},
    {"integer", "BIGINT", OPTION("minimum: 0.5"), "0", true},
    {"integer", "BIGINT", OPTION("minimum: 0.5"), "1", false},
    {"integer", "BIGINT", OPTION("maximum: 9223372036854775807"), "9223372036854775807", false},
    {"integer", "BIGINT", OPTION("exclusiveMaximum: 9223372036854775807"), "9223372036854775807",
     true},
    {"integer", "BIGINT", OPTION("minimum: -1e3"), "-1000", false},
    {"number", "DECIMAL(10,2)", OPTION("minimum: 0.01"), "0.01", false},
    {"number", "DECIMAL(10,2)", OPTION("exclusiveMinimum: 0.01"), "0.01", true},
    {"number", "DECIMAL(10,2)", OPTION("minimum: 0.005"), "0.00", true},
    {"date", "DATE", OPTION("minimum: 2022-04-01"), "2022-03-31", true},
    {"date", "TIMESTAMP", OPTION("minimum: '2022-04-01 12:00:00'"), "2022-04-01 12:00:00", false},
    {"timestamp", "TIMESTAMP WITH TIME ZONE", OPTION("maximum: '2022-04-01T00:00:00Z'"),
     "2022-04-01 00:00:01+00", true},
    /* steps */
    {"integer", "BIGINT", OPTION("multipleOf: 5"), "-10", false},
    {"integer", "BIGINT", OPTION("multipleOf: 5"), "-11", true},
    {"integer", "BIGINT", OPTION("multipleOf: 5"), "0", false},
    {"integer", "BIGINT", OPTION("multipleOf: 2.5"), "5", false},
    {"integer", "BIGINT", OPTION("multipleOf: 2.5"), "4", true},
    {"integer", "TINYINT", OPTION("multipleOf: 1000"), "0", false},
    {"integer", "TINYINT", OPTION("multipleOf: 1000"), "1", true},
    {"number", "DOUBLE", OPTION("multipleOf: 0.1"), "0.3", false},
    {"number", "DOUBLE", OPTION("multipleOf: 0.1"), "1.1", false},
    {"number", "DOUBLE", OPTION("multipleOf: 0.01"), "4.35", false},
    {"number", "DOUBLE", OPTION("multipleOf: 0.01"), "1234567.89", false},
    {"number", "DOUBLE", OPTION("multipleOf: 0.01"), "1234567.891", true},
    {"number", "DOUBLE", OPTION("multipleOf: 0.1"), "0.30000001", true},
    {"number", "DOUBLE", OPTION("multipleOf: 2"), "10000000001", true},
    {"number", "FLOAT", OPTION("multipleOf: 0.1"), "0.3", false},
    {"number", "FLOAT", OPTION("multipleOf: 0.1"), "0.31", true},
    /* formats of integers */
    {"integer", "BIGINT", OPTION("format: i8"), "-128", false},
    {"integer", "BIGINT", OPTION("format: i8"), "-129", true},
    {"integer", "BIGINT", OPTION("format: u64"), "-1", true},
    {"integer", "BIGINT", OPTION("format: u64"), "9223372036854775807", false},
    {"integer", "UBIGINT", OPTION("format: i64"), "9223372036854775808", true},
    {"integer", "UBIGINT", OPTION("format: u64"), "18446744073709551615", false},
    {"integer", "TINYINT", OPTION("format: i128"), "-128", false},
    {"integer", "TINYINT", OPTION("format: u128"), "-1", true},
    {"integer", "DECIMAL(20,0)", OPTION("format: u64"), "18446744073709551615", false},
    {"integer", "DECIMAL(20,0)", OPTION("format: u64"), "18446744073709551616", true},
    /* texts */
    {"string", "VARCHAR", OPTION("minLength: 0"), "", false},
    {"string", "VARCHAR", OPTION("minLength: 1"), "", true},
    {"string", "VARCHAR", OPTION("maxLength: 2"), "\xf0\x9f\x98\x80\xf0\x9f\x98\x80", false},
    {"string", "VARCHAR", OPTION("pattern: b"), "abc", false},
    {"string", "VARCHAR", OPTION("pattern: ^b"), "abc", true},
    {"string", "VARCHAR", OPTION("pattern: a"), "", true},
    {"string", "VARCHAR", OPTION("pattern: a*"), "", false},
    {"string", "VARCHAR", OPTION("format: date"), "", true},
    {"string", "VARCHAR", OPTION("format: date"), "2022-4-1", true},
    {"string", "VARCHAR", OPTION("format: date"), "2022-04-01 ", true},
    {"string", "VARCHAR", OPTION("format: date"), "2022-13-01", true},
    {"string", "VARCHAR", OPTION("format: uuid"), "f81d4fae-7dec-11d0-A765-00a0c91e6bf6", false},
    {"string", "VARCHAR", OPTION("format: uuid"), "f81d4fae7dec11d0a76500a0c91e6bf6", true},
    {"string", "VARCHAR", OPTION("format: uuid"), "f81d4fae-7dec-11d0-a765-00a0c91e6bfg", true},
    {"string", "VARCHAR", OPTION("format: email"), "a.b+c@example.co.uk", false},
    {"string", "VARCHAR", OPTION("format: email"), "a@localhost", false},
    {"string", "VARCHAR", OPTION("format: email"), "a@-x.org", true},
    {"string", "VARCHAR", OPTION("format: email"), "a@x.org\n", true},
    {"string", "VARCHAR", OPTION("format: email"), "a b@x.org", true},
    {"string", "VARCHAR", OPTION("format: email"), "@x.org", true},
    {"string", "VARCHAR", OPTION("format: hostname"), "a-b.example.org", false},
    {"string", "VARCHAR", OPTION("format: hostname"), "a_b.example.org", true},
    {"string", "VARCHAR", OPTION("format: hostname"), "a..b", true},
    {"string", "VARCHAR", OPTION("format: ipv4"), "255.0.10.199", false},
    {"string", "VARCHAR", OPTION("format: ipv4"), "256.0.0.1", true},
    {"string", "VARCHAR", OPTION("format: ipv4"), "1.2.3", true},
    {"string", "VARCHAR", OPTION("format: ipv4"), "01.2.3.4", true},
    {"string", "VARCHAR", OPTION("format: ipv6"), "::", false},
    {"string", "VARCHAR", OPTION("format: ipv6"), "::1", false},
    {"string", "VARCHAR", OPTION("format: ipv6"), "2001:db8::8a2e:370:7334", false},
    {"string", "VARCHAR", OPTION("format: ipv6"), "1:2:3:4:5:6:7:8", false},
    {"string", "VARCHAR", OPTION("format: ipv6"), "1:2:3:4:5:6:7::", false},
    {"string", "VARCHAR", OPTION("format: ipv6"), "::ffff:192.0.2.1", false},
    {"string", "VARCHAR", OPTION("format: ipv6"), "1:2:3:4:5:6:7", true},
    {"string", "VARCHAR", OPTION("format: ipv6"), "1::2::3", true},
    {"string", "VARCHAR", OPTION("format: ipv6"), "1:2:3:4:5:6:7:8:9", true},
    {"string", "VARCHAR", OPTION("format: ipv6"), "12345::", true},
    {"string", "VARCHAR", OPTION("format: uri"), "https://example.org/a?b=c#d", false},
    {"string", "VARCHAR", OPTION("format: uri"), "mailto:a@b.c", false},
    {"string", "VARCHAR", OPTION("format: uri"), "/a/b", true},
    {"string", "VARCHAR", OPTION("format: uri"), "http://x/a b", true},
    {"string", "VARCHAR", OPTION("format: uri"), "http://x/%zz", true},
    /* lists of values */
    {"string", "VARCHAR", VALID("a, null"), "a", false},
    {"string", "VARCHAR", VALID("a, null"), "null", true},
    {"string", "VARCHAR", VALID("a, 'null'"), "null", false},
    {"string", "VARCHAR", VALID("null"), "a", true},
    {"string", "VARCHAR", VALID("null"), "NULL", false},
    {"string", "VARCHAR", VALID("''"), "", false},
    {"string", "VARCHAR", VALID("1, 2"), "1", false},
    {"integer", "BIGINT", VALID("1, 2"), "2", false},
    {"integer", "BIGINT", VALID("1, 2.5"), "2", true},
    {"boolean", "BOOLEAN", VALID("true"), "false", true},
    {"boolean", "BOOLEAN", VALID("true"), "true", false},
    {"date", "DATE", VALID("2022-04-01"), "2022-04-01", false},
    {"string", "VARCHAR", MISSING("N/A"), "NULL", false},
    {"string", "VARCHAR", MISSING("null"), "NULL", true},
    {"string", "VARCHAR", MISSING("null"), "", false},
    {"integer", "BIGINT", MISSING("null, '', N/A, -1"), "-1", true},
    {"integer", "BIGINT", MISSING("null, '', N/A, -1"), "0", false},
    {"integer", "BIGINT", MISSING("'', N/A"), "0", false},
    /* conditions */
    {"integer", "BIGINT", CUSTOM("'NULL'"), "1", false},
    {"integer", "BIGINT", CUSTOM("c > 0"), "NULL", false},
    {"integer", "BIGINT", CUSTOM("c > 0"), "0", true},
};

static void test_cases(void **state)
{
    sm_budget *budget = sm_budget_new(NULL, "test", 0);

    for (int i = 0; i < SM_COUNT(cases); i++) {
        sm_arena *a = sm_arena_new(NULL);
        sm_bound_rule *rules = NULL;
        int64_t n = 0;
        sm_error e = {0};
        const sm_type *schema = schema_of(cases[i].type, a);
        assert_ok(bind(kit_column(cases[i].logical, cases[i].yaml, a), schema, a, &rules, &n, &e),
                  &e);
        assert_int_equal(n, 1);
        sm_batch *row = row_of(schema, cases[i].value, budget);
        if (is_broken(rules[0].holds, row, budget) != cases[i].broken) {
            fail_msg("case %d, %s: \"%s\" should %s", i, cases[i].yaml, cases[i].value,
                     cases[i].broken ? "break it" : "keep it");
        }
        sm_batch_release(row);
        sm_arena_free(a);
    }
    sm_budget_free(budget);
}

/* ---- fields of objects ----------------------------------------------------------------------- */

/* A field that is required may be missing with its object. */
static void test_fields(void **state)
{
    static const struct {
        int zip; /* 0: no object, 1: an object without zip, else zip */
        bool breaks_required, breaks_minimum;
    } rows[] = {{0, false, false}, {1, true, false}, {5, false, true}, {9, false, false}};
    sm_budget *budget = sm_budget_new(NULL, "test", 0);
    sm_arena *a = sm_arena_new(NULL);
    sm_bound_rule *rules = NULL;
    int64_t n = 0;
    sm_error e = {0};
    const sm_type *schema = schema_of("STRUCT(zip BIGINT, ZIP2 VARCHAR)", a);

    assert_ok(bind(kit_table("properties: [{name: address, physicalName: C, logicalType: object, "
                             "properties: [{name: zip, logicalType: integer, required: true, "
                             "logicalTypeOptions: {minimum: 6}}]}]",
                             a),
                   schema, a, &rules, &n, &e),
              &e);
    assert_int_equal(n, 2);
    assert_true(sm_str_is(rules[0].rule->name, "address.zip:required"));
    assert_true(sm_str_is(rules[1].rule->name, "address.zip:minimum"));
    assert_int_equal(rules[0].column, -1);
    for (int i = 0; i < SM_COUNT(rows); i++) {
        const sm_value items[] = {rows[i].zip == 1 ? sm_value_null(&sm_type_i64)
                                                   : sm_value_i64(rows[i].zip),
                                  sm_value_null(&sm_type_string)};
        sm_value v = {.type = schema->fields[0].type, .is_null = rows[i].zip == 0};
        v.as.nested.items = items;
        v.as.nested.n = 2;
        sm_batch *row = NULL;
        assert_ok(sm_batch_new(budget, schema, &row, &e), &e);
        sm_builder *b = sm_builder_new(v.type, budget);
        sm_builder_value(b, v);
        assert_ok(sm_builder_finish(b, row, &row->columns[0], &e), &e);
        sm_builder_free(b);
        row->n_rows = 1;
        assert_int_equal(is_broken(rules[0].holds, row, budget), rows[i].breaks_required);
        assert_int_equal(is_broken(rules[1].holds, row, budget), rows[i].breaks_minimum);
        sm_batch_release(row);
    }
    sm_arena_free(a);
    sm_budget_free(budget);
}

/* ---- what cannot be bound -------------------------------------------------------------------- */

static const struct {
    const char *logical, *type, *yaml;
    sm_status want;
    int line;
    const char *object, *what, *todo;
} refused[] = {
    {"string", "BIGINT", "required: true", SM_TYPE, 9, "c.yaml", "column c is of type BIGINT", ""},
    {"integer", "DOUBLE", "required: true", SM_TYPE, 9, "c.yaml", "of type DOUBLE", ""},
    {"integer", "DECIMAL(5,1)", "required: true", SM_TYPE, 9, "c.yaml", "DECIMAL(5,1)", ""},
    {"string", "BLOB", OPTION("minLength: 1"), SM_TYPE, 11, "c.yaml",
     "minLength cannot be a rule of column c, which is of type BLOB", ""},
    {"object", "STRUCT(x BIGINT)", VALID("1"), SM_TYPE, 11, "c.yaml", "validValues cannot be", ""},
    {"object", "STRUCT(zip BIGINT)", "properties: [{name: zop}]", SM_NAME, 11, "c.yaml",
     "no field \"zop\"", "\"zip\""},
    {"string", "VARCHAR", "physicalName: d", SM_NAME, 9, "c.yaml", "no column \"d\"",
     "It may have: c."},
    {"string", "VARCHAR", OPTION("pattern: '(a'"), SM_INVALID, 11, "c.yaml", "regular expression",
     ""},
    {"date", "DATE", OPTION("minimum: 2022-02-30"), SM_TYPE, 11, "c.yaml", "2022-02-30", ""},
    {"integer", "BIGINT", VALID("1, x"), SM_INVALID, 11, "c.yaml", "\"x\" is not a number", ""},
    {"boolean", "BOOLEAN", VALID("maybe"), SM_TYPE, 11, "c.yaml", "maybe", ""},
    {"integer", "BIGINT", OPTION("multipleOf: 1e-2"), SM_INVALID, 11, "c.yaml", "no exact number",
     "without exponent"},
    {"integer", "BIGINT", CUSTOM("c + 1"), SM_TYPE, 11, "c.yaml", "no condition", ""},
    {"integer", "BIGINT", CUSTOM("d > 0"), SM_NAME, 1, "c:expression", "\"d\"", ""},
    {"integer", "BIGINT", CUSTOM("c >"), SM_SYNTAX, 1, "c:expression", "", ""},
    {"integer", "BIGINT", CUSTOM("'c IN (SELECT 1)'"), SM_UNSUPPORTED, 1, "c:expression", "", ""},
};

static void test_refused(void **state)
{
    for (int i = 0; i < SM_COUNT(refused); i++) {
        sm_arena *a = sm_arena_new(NULL);
        sm_bound_rule *rules = NULL;
        int64_t n = 0;
        sm_error e = {0};
        const sm_status st = bind(kit_column(refused[i].logical, refused[i].yaml, a),
                                  schema_of(refused[i].type, a), a, &rules, &n, &e);
        if (st != refused[i].want || e.line != refused[i].line ||
            strcmp(e.object, refused[i].object) != 0 || !strstr(e.what, refused[i].what) ||
            !strstr(e.todo, refused[i].todo)) {
            fail_msg("case %d, %s: %s at %s:%d: %s %s", i, refused[i].yaml, sm_status_name(st),
                     e.object, (int)e.line, e.what, e.todo);
        }
        sm_arena_free(a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_examples),
        cmocka_unit_test(test_cases),
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
