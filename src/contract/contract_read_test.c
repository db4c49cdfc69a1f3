/* contract/contract_read_test.c: what a contract file becomes, in which order its rules stand, and
 * the places of what it may not say. */
#include "test.h"

#include "contract/contract_testkit.h"

/* ---- what a file becomes --------------------------------------------------------------------- */

static const char *const orders = KIT_HEAD
    "name: Orders\n"
    "servers: [{server: lake, type: s3, location: s3://lake/}]\n"
    "team: {name: sales}\n"
    "slaProperties: [{property: latency, value: 1.5, unit: days, element: orders.day},\n"
    "  {property: freshness, value: 2, unit: h, element: 'orders, amount , customer.id'},\n"
    "  {property: retention, value: 3, unit: y, element: orders.day}]\n"
    "schema:\n"
    "  - name: orders\n"
    "    physicalName: silver.orders\n"
    "    description: One row an order.\n"
    "    quality:\n" /* stands before the columns that it names */
    "      - {metric: duplicateValues, arguments: {properties: [day, id]}, mustBe: 0,\n"
    "         severity: warning,\n"
    "         customProperties: [{property: smelt.failAbove, value: 0.1%}]}\n"
    "      - {name: few, metric: rowCount, mustBeBetween: [1, 900]}\n"
    "      - {name: paid later, type: custom, engine: smelt, implementation: paid_at >= day,\n"
    "         customProperties: [{property: smelt.onViolation, value: quarantine}]}\n"
    "      - {name: sums, type: custom, engine: smelt,\n"
    "         implementation: {groupBy: day, check: sum(amount) > 0}}\n"
    "      - {type: custom, engine: soda, implementation: 'checks: []'}\n"
    "      - {type: text, description: Orders are never changed.}\n"
    "      - {name: none, type: sql, query: 'SELECT count(*) FROM {object}', mustNotBe: 5}\n"
    "    relationships:\n"
    "      - {from: [orders.day, orders.id], to: [days.day, days.order_id]}\n"
    "    properties:\n"
    "      - name: day\n"
    "        logicalType: date\n"
    "        primaryKey: true\n"
    "        primaryKeyPosition: 2\n"
    "        logicalTypeOptions: {format: yyyy-MM-dd, maximum: '2030-01-01', minimum: 2020-01-01}\n"
    "      - name: id\n"
    "        physicalName: order_id\n"
    "        logicalType: string\n"
    "        primaryKey: true\n"
    "        primaryKeyPosition: 1\n"
    "        required: true\n"
    "        logicalTypeOptions:\n"
    "          format: password\n"
    "          pattern: ^[A-Z]+$\n"
    "      - name: amount\n"
    "        logicalType: number\n"
    "        customProperties:\n"
    "          - {property: smelt.onViolation, value: 'null'}\n"
    "          - {property: owner, value: [sales, 7]}\n"
    "        logicalTypeOptions: {exclusiveMinimum: 0}\n"
    "        quality:\n"
    "          - {metric: nullValues, unit: percent, mustBeLessThan: 5,\n"
    "             customProperties: [{property: smelt.onViolation, value: warn}]}\n"
    "          - {name: steps, metric: invalidValues, mustBe: 0,\n"
    "             arguments: {validValues: [1, '2', null]}}\n"
    "      - name: customer\n"
    "        logicalType: object\n"
    "        properties:\n"
    "          - name: id\n"
    "            unique: true\n"
    "            relationships: [{to: customers.id}]\n"
    "      - {name: lines, logicalType: array, items: {logicalType: string},\n"
    "         logicalTypeOptions: {minItems: 1}}\n";

static const struct {
    const char *name;
    sm_rule_kind kind;
    int32_t column;
    sm_policy action;
    const char *text;
} wanted[] = {
    {"day,id:duplicateValues", SM_RULE_DUPLICATE_VALUES, -1, SM_POLICY_WARN, ""},
    {"few", SM_RULE_ROW_COUNT, -1, SM_POLICY_FAIL, ""},
    {"paid later", SM_RULE_EXPRESSION, -1, SM_POLICY_QUARANTINE, "paid_at >= day"},
    {"sums", SM_RULE_GROUP, -1, SM_POLICY_FAIL, "sum(amount) > 0"},
    {"none", SM_RULE_QUERY, -1, SM_POLICY_FAIL, "SELECT count(*) FROM {object}"},
    {"day,id:reference", SM_RULE_REFERENCE, -1, SM_POLICY_FAIL, ""},
    {"day:required", SM_RULE_REQUIRED, 0, SM_POLICY_FAIL, ""},
    {"day:maximum", SM_RULE_MAXIMUM, 0, SM_POLICY_FAIL, "2030-01-01"},
    {"day:minimum", SM_RULE_MINIMUM, 0, SM_POLICY_FAIL, "2020-01-01"},
    {"id,day:primaryKey", SM_RULE_PRIMARY_KEY, -1, SM_POLICY_FAIL, ""},
    {"id:required", SM_RULE_REQUIRED, 1, SM_POLICY_FAIL, ""},
    {"id:pattern", SM_RULE_PATTERN, 1, SM_POLICY_FAIL, "^[A-Z]+$"},
    {"amount:exclusiveMinimum", SM_RULE_EXCLUSIVE_MINIMUM, 2, SM_POLICY_NULL, "0"},
    {"amount:nullValues", SM_RULE_NULL_VALUES, 2, SM_POLICY_WARN, ""},
    {"steps", SM_RULE_VALID_VALUES, 2, SM_POLICY_NULL, ""},
    {"customer.id:unique", SM_RULE_UNIQUE, 4, SM_POLICY_FAIL, ""},
    {"customer.id:reference", SM_RULE_REFERENCE, 4, SM_POLICY_FAIL, ""},
    /* those of slaProperties come last; an action for rows is none for them */
    {"day:freshness", SM_RULE_FRESHNESS, 0, SM_POLICY_FAIL, "1.5 d"},
    {"amount:freshness", SM_RULE_FRESHNESS, 2, SM_POLICY_FAIL, "2 h"},
    {"customer.id:freshness", SM_RULE_FRESHNESS, 4, SM_POLICY_FAIL, "2 h"},
};

static void check_rules(const sm_contract_table *t)
{
    assert_int_equal(t->n_rules, SM_COUNT(wanted));
    for (int i = 0; i < SM_COUNT(wanted); i++) {
        const sm_rule *r = &t->rules[i];
        if (!sm_str_is(r->name, wanted[i].name) || r->kind != wanted[i].kind ||
            r->column != wanted[i].column || r->action != wanted[i].action ||
            !sm_str_is(r->text, wanted[i].text)) {
            fail_msg("rule %d: %.*s, kind %d, column %d, %s, \"%.*s\"", i, SM_STR_ARG(r->name),
                     r->kind, r->column, sm_policy_name(r->action), SM_STR_ARG(r->text));
        }
    }
}

static const char *const notes[] = {
    "items of column lines is not checked",
    "format password of column id is not checked",
    "minItems of column lines is not checked",
    "the rule for engine soda is not checked",
    "the service level of orders is not checked: it names no column",
    "the service level retention is not checked",
};

static void test_model(void **state)
{
    sm_arena *a = sm_arena_new(NULL);
    sm_contract *c = NULL;
    const sm_contract_table *t = NULL;
    sm_error e = {0};

    assert_ok(kit_read(orders, a, &c, &e), &e);
    assert_ok(sm_contract_find(c, SM_STR("ORDERS"), a, &t, &e), &e);
    assert_true(sm_str_is(c->name, "Orders") && sm_str_is(c->version, "1.0.0"));
    assert_true(sm_str_is(t->physical, "silver.orders"));
    assert_int_equal(t->n_columns, 6);
    assert_true(sm_str_is(t->columns[1].physical, "order_id"));
    assert_true(t->columns[0].is_required && !t->columns[2].is_required);
    assert_int_equal(t->columns[4].parent, 3);
    assert_true(sm_str_is(t->columns[4].path, "customer.id"));
    check_rules(t);

    const sm_rule *r = &t->rules[0];
    assert_true(r->has_fail_above && r->fail_above.is_percent && r->fail_above.value == 0.1);
    assert_int_equal(r->n_columns, 2);
    r = &t->rules[1];
    assert_true(r->limit.op == SM_MUST_BE_BETWEEN && r->limit.value == 1 && r->limit.to == 900);
    r = &t->rules[5];
    assert_true(r->n_columns == 2 && sm_str_is(r->other_table, "days") &&
                sm_str_is(r->other_columns[1], "order_id"));
    r = &t->rules[9];
    assert_true(r->n_columns == 2 && r->columns[0] == 1 && r->columns[1] == 0);
    r = &t->rules[13];
    assert_true(r->limit.op == SM_MUST_BE_LESS && r->limit.is_percent && r->limit.value == 5);
    r = &t->rules[14];
    assert_true(r->takes_null && r->n_values == 2 && r->values[0].is_plain &&
                !r->values[1].is_plain);

    assert_int_equal(c->n_notes, SM_COUNT(notes));
    for (int i = 0; i < SM_COUNT(notes); i++) {
        assert_string_equal(c->notes[i].text.data, notes[i]);
    }
    sm_arena_free(a);
}

/* In v3.0 an exclusive bound is a flag beside the bound. */
static void test_old_bounds(void **state)
{
    sm_arena *a = sm_arena_new(NULL);
    sm_contract *c = NULL;
    sm_error e = {0};

    assert_ok(kit_read(KIT_OLD "schema:\n"
                               "  - name: t\n"
                               "    properties:\n"
                               "      - name: c\n"
                               "        logicalType: integer\n"
                               "        logicalTypeOptions: {minimum: 1, exclusiveMinimum: true,\n"
                               "          maximum: 9, exclusiveMaximum: false}\n",
                       a, &c, &e),
              &e);
    const sm_contract_table *t = &c->tables[0];
    assert_int_equal(t->n_rules, 2);
    assert_int_equal(t->rules[0].kind, SM_RULE_EXCLUSIVE_MINIMUM);
    assert_true(sm_str_is(t->rules[0].text, "1"));
    assert_int_equal(t->rules[1].kind, SM_RULE_MAXIMUM);
    sm_arena_free(a);
}

/* Columns of a key without a position come last; what has no table is a contract, too. */
static void test_keys(void **state)
{
    sm_arena *a = sm_arena_new(NULL);
    sm_contract *c = NULL;
    const sm_contract_table *t = NULL;
    sm_error e = {0};

    assert_ok(
        kit_read(kit_table("properties: [{name: a, primaryKey: true, primaryKeyPosition: -1}, "
                           "{name: b, primaryKey: true, primaryKeyPosition: 2}, {name: c}, "
                           "{name: d, primaryKey: true, primaryKeyPosition: 1}]",
                           a),
                 a, &c, &e),
        &e);
    assert_ok(sm_contract_find(c, SM_STR(""), a, &t, &e), &e);
    assert_int_equal(t->n_rules, 4); /* three columns are required */
    assert_true(sm_str_is(t->rules[2].name, "d,b,a:primaryKey"));
    assert_status(sm_contract_find(c, SM_STR("tt"), a, &t, &e), SM_NAME, &e);
    assert_string_equal(e.todo, "Did you mean \"t\"?");

    assert_ok(kit_read(KIT_HEAD, a, &c, &e), &e);
    assert_int_equal(c->n_tables, 0);
    assert_status(sm_contract_find(c, SM_STR(""), a, &t, &e), SM_NAME, &e);
    sm_arena_free(a);
}

/* The example of each rule is read, and has that rule. */
static void test_examples(void **state)
{
    for (int i = 0; i < SM_RULES; i++) {
        const sm_rule_info *info = sm_rule_info_of((sm_rule_kind)i);
        sm_arena *a = sm_arena_new(NULL);
        sm_contract *c = NULL;
        sm_error e = {0};
        bool has = false;
        assert_ok(kit_read(info->is_row ? kit_column(info->logical, info->yaml, a)
                                        : kit_table(info->yaml, a),
                           a, &c, &e),
                  &e);
        for (int64_t k = 0; k < c->tables[0].n_rules; k++) {
            has = has || c->tables[0].rules[k].kind == (sm_rule_kind)i;
        }
        assert_true(has);
        sm_arena_free(a);
    }
}

/* ---- what it may not say --------------------------------------------------------------------- */

#define TABLE  KIT_HEAD "schema:\n  - name: t\n    properties:\n      - name: c\n"
#define TYPED  TABLE "        logicalType: integer\n"
#define OPTION TYPED "        logicalTypeOptions: "
#define RULE   TYPED "        quality:\n          - "
#define WHOLE  TYPED "    quality:\n      - "

static const struct {
    const char *yaml;
    sm_status want;
    int line, byte;
    const char *what, *todo;
} refused[] = {
    {"", SM_SYNTAX, 0, -1, "the contract is empty", ""},
    {"- x\n", SM_SYNTAX, 1, 3, "a contract is not a mapping", ""},
    {"kind: x\n", SM_INVALID, 1, 7, "kind is DataContract, not \"x\"", ""},
    {"kind: DataContract\n", SM_SYNTAX, 1, 1, "has no apiVersion", ""},
    {"kind: DataContract\napiVersion: v3.1\n", SM_NAME, 2, 13, "no apiVersion \"v3.1\"",
     "It may have: v3.1.0"},
    {"kind: DataContract\napiVersion: v2.2.2\n", SM_UNSUPPORTED, 2, 13, "before v3.0.0", ""},
    {KIT_HEAD "schema: {}\n", SM_SYNTAX, 6, 1, "schema is not a list", ""},
    {KIT_HEAD "schma: []\n", SM_NAME, 6, 1, "no key \"schma\"", "\"schema\""},
    {KIT_HEAD "schema: [{nmae: t}]\n", SM_NAME, 6, 11, "no key \"nmae\"", "\"name\""},
    {KIT_HEAD "schema: [{name: t}, {name: T}]\n", SM_EXISTS, 6, 28, "two tables are called T", ""},
    {TABLE "      - name: C\n", SM_EXISTS, 10, 15, "two properties are called C", ""},
    {TABLE "        requierd: true\n", SM_NAME, 10, 9, "no key \"requierd\"", "\"required\""},
    {TABLE "        required: yes\n", SM_INVALID, 10, 19, "true or false, not \"yes\"", ""},
    {TABLE "        logicalType: text\n", SM_NAME, 10, 22, "no logicalType \"text\"",
     "It may have: string, date"},
    {TABLE "        logicalType: strng\n", SM_NAME, 10, 22, "no logicalType", "\"string\""},
    {TABLE "        logicalTypeOptions: {minimum: 1}\n", SM_SYNTAX, 10, 9, "need a logicalType",
     ""},
    {TABLE "        primaryKey: true\n        primaryKeyPosition: first\n", SM_INVALID, 11, 29,
     "a whole number, not \"first\"", ""},
    {OPTION "{minimun: 1}\n", SM_NAME, 11, 30, "no key \"minimun\"", "\"minimum\""},
    {OPTION "{minLength: 1}\n", SM_NAME, 11, 30, "no key \"minLength\"", ""},
    {OPTION "{minimum: x}\n", SM_INVALID, 11, 39, "minimum is a number, not \"x\"", ""},
    {OPTION "{minimum: .nan}\n", SM_INVALID, 11, 39, "minimum is a number", ""},
    {OPTION "{maximum: inf}\n", SM_INVALID, 11, 39, "maximum is a number", ""},
    {OPTION "{maximum: ''}\n", SM_SYNTAX, 11, 30, "maximum is empty", ""},
    {OPTION "{minimum: 1, exclusiveMinimum: true}\n", SM_INVALID, 11, 60, "a value in v3.1",
     "the bound itself"},
    {OPTION "{multipleOf: 0}\n", SM_INVALID, 11, 42, "a number above 0", ""},
    {OPTION "{format: i31}\n", SM_NAME, 11, 38, "no integer format \"i31\"", "\"i32\""},
    {TABLE "        logicalType: string\n        logicalTypeOptions: {format: ipv}\n", SM_NAME, 11,
     38, "texts have no format \"ipv\"", "\"ipv4\""},
    {TABLE "        logicalType: string\n        logicalTypeOptions: {minLength: -1}\n", SM_INVALID,
     11, 41, "from 0 on, not \"-1\"", ""},
    {RULE "{metric: nullValue, mustBe: 0}\n", SM_NAME, 12, 22, "no metric \"nullValue\"",
     "\"nullValues\""},
    {RULE "{metric: rowCount, mustBe: 0}\n", SM_INVALID, 12, 22, "of a table, not of a property",
     ""},
    {RULE "{metric: nullValues}\n", SM_SYNTAX, 12, 14, "has no operator", "mustBe: 0"},
    {RULE "{metric: nullValues, mustBe: 0, mustNotBe: 1}\n", SM_SYNTAX, 12, 14, "more than one",
     ""},
    {RULE "{metric: nullValues, mustBe: none}\n", SM_INVALID, 12, 42, "mustBe is a number", ""},
    {RULE "{metric: nullValues, mustBeBetween: [3, 1]}\n", SM_INVALID, 12, 50,
     "smaller number first", ""},
    {RULE "{metric: nullValues, mustBe: 0, unit: percents}\n", SM_NAME, 12, 51, "no unit",
     "\"percent\""},
    {RULE "{metric: invalidValues, mustBe: 0}\n", SM_SYNTAX, 12, 14, "needs an argument",
     "below arguments"},
    {RULE "{metric: invalidValues, mustBe: 0, arguments: {values: [1]}}\n", SM_NAME, 12, 60,
     "no key \"values\"", "validValues"},
    {RULE "{metric: invalidValues, mustBe: 0, arguments: {validValues: []}}\n", SM_SYNTAX, 12, 60,
     "validValues is empty", ""},
    {RULE "{metric: invalidValues, mustBe: 0, arguments: {validValues: [1], pattern: x}}\n",
     SM_SYNTAX, 12, 48, "takes one argument", "two rules"},
    {RULE "{rule: duplicateCount, mustBe: 0}\n", SM_UNSUPPORTED, 12, 14, "older word", "metric"},
    {RULE "{type: libary, metric: nullValues, mustBe: 0}\n", SM_NAME, 12, 20, "no type",
     "\"library\""},
    {RULE "{type: custom, engine: smelt, implementation: c > 0, mustBe: 0}\n", SM_INVALID, 12, 66,
     "has no operator", "smelt.failAbove"},
    {RULE "{type: custom, engine: smelt}\n", SM_SYNTAX, 12, 14, "has no implementation", ""},
    {RULE "{type: sql, mustBe: 0}\n", SM_SYNTAX, 12, 14, "has no query", ""},
    {RULE "{type: custom, engine: smelt, implementation: c > 0}\n"
          "          - {type: custom, engine: smelt, implementation: c > 1}\n",
     SM_EXISTS, 13, 14, "two rules are called \"c:expression\"", "name"},
    {WHOLE "{metric: nullValues, mustBe: 0}\n", SM_INVALID, 12, 18, "of a property, not of a table",
     ""},
    {WHOLE "{metric: duplicateValues, mustBe: 0, arguments: {properties: [d]}}\n", SM_NAME, 12, 71,
     "table t has no column \"d\"", ""},
    {WHOLE "{type: custom, engine: smelt, implementation: {groupBy: [c]}}\n", SM_SYNTAX, 12, 56,
     "has no check", ""},
    {WHOLE "{type: custom, engine: smelt, implementation: {fresness: 1 d}}\n", SM_NAME, 12, 56,
     "no key \"fresness\"", "\"freshness\""},
    {WHOLE "{type: custom, engine: smelt, implementation: {freshness: 1 d}}\n", SM_INVALID, 12, 67,
     "of a property, not of a table", ""},
    {RULE "{type: custom, engine: smelt, implementation: {freshness: 1 m}}\n", SM_NAME, 12, 71,
     "no unit of an age \"m\"", "s, min, h, d, w"},
    {RULE "{type: custom, engine: smelt, implementation: {freshness: 0 h}}\n", SM_INVALID, 12, 71,
     "a number above 0, not \"0\"", ""},
    {RULE "{type: custom, engine: smelt, implementation: {freshness: soon}}\n", SM_INVALID, 12, 71,
     "a number above 0, not \"soon\"", ""},
    {RULE "{type: custom, engine: smelt, implementation: {volume: {within: 5%}}}\n", SM_INVALID, 12,
     69, "of a table, not of a property", ""},
    {WHOLE "{type: custom, engine: smelt, implementation: {volume: {within: 5}}}\n", SM_INVALID, 12,
     73, "within cannot be \"5\"", "30%"},
    {WHOLE "{type: custom, engine: smelt, implementation: {volume: {of: 7}}}\n", SM_SYNTAX, 12, 65,
     "volume has no within", ""},
    {WHOLE "{type: custom, engine: smelt, implementation: {volume: {within: 5%, of: 0}}}\n",
     SM_INVALID, 12, 81, "1 to 1000, not \"0\"", ""},
    {WHOLE "{type: custom, engine: smelt, implementation: {check: c > 0, volume: {of: 7}}}\n",
     SM_SYNTAX, 12, 56, "says several rules", "a rule of each"},
    {TYPED "slaProperties: [{property: latency, value: 1, unit: d, element: t.d}]\n", SM_NAME, 11,
     65, "the contract has no column \"t.d\"", "\"t.c\""},
    {TYPED "slaProperties: [{property: latency, value: x, unit: d, element: t.c}]\n", SM_INVALID,
     11, 18, "a number above 0, not \"x\"", ""},
    {TYPED "slaProperties: [{property: latency, value: 1, element: t.c}]\n", SM_SYNTAX, 11, 18,
     "has no unit", ""},
    {TYPED "slaProperties: [{propety: latency}]\n", SM_NAME, 11, 18, "no key \"propety\"",
     "\"property\""},
    {WHOLE "{metric: rowCount, mustBe: 1, unit: percent}\n", SM_INVALID, 12, 45, "no share", ""},
    /* smelt's own words */
    {TYPED "        customProperties: [{property: smelt.onViolaton, value: fail}]\n", SM_NAME, 11,
     39, "no custom property \"smelt.onViolaton\"", "\"smelt.onViolation\""},
    {TYPED "        customProperties: [{property: smelt.onViolation, value: warm}]\n", SM_INVALID,
     11, 65, "cannot be 'warm'", "'fail', 'quarantine', 'warn' or 'null'"},
    {TYPED "        customProperties: [{property: smelt.failAbove, value: -1}]\n", SM_INVALID, 11,
     63, "smelt.failAbove cannot be \"-1\"", "0.1%"},
    {TYPED "        customProperties: [{property: smelt.failAbove}]\n", SM_SYNTAX, 11, 29,
     "has no value", ""},
    {TYPED "        required: true\n"
           "        customProperties: [{property: smelt.onViolation, value: 'null'}]\n",
     SM_INVALID, 12, 66, "must not be NULL", ""},
    {TYPED "        primaryKey: true\n"
           "        quality:\n"
           "          - {metric: invalidValues, mustBe: 0, arguments: {validValues: [1]},\n"
           "             customProperties: [{property: smelt.onViolation, value: 'null'}]}\n",
     SM_INVALID, 14, 71, "rule \"c:validValues\" cannot have the action null", ""},
    {WHOLE "{metric: rowCount, mustBe: 1,\n"
           "         customProperties: [{property: smelt.onViolation, value: quarantine}]}\n",
     SM_INVALID, 13, 66, "of the whole table", ""},
    {WHOLE "{type: custom, engine: smelt, implementation: c > 0,\n"
           "         customProperties: [{property: smelt.onViolation, value: 'null'}]}\n",
     SM_INVALID, 13, 67, "of no column", ""},
    {WHOLE "{type: custom, engine: smelt, implementation: {groupBy: [c], check: sum(c) > 0},\n"
           "         customProperties: [{property: smelt.onViolation, value: quarantine}]}\n",
     SM_INVALID, 13, 66, "of groups, not of rows", ""},
    {TYPED "        customProperties: [{property: smelt.sharePer, value: d}]\n", SM_NAME, 11, 62,
     "table t has no column \"d\"", "It may have: c."},
    {TYPED "        required: true\n"
           "        customProperties: [{property: smelt.sharePer, value: c}]\n",
     SM_INVALID, 12, 62, "nothing says which share", ""},
    {TYPED "        required: true\n        customProperties:\n"
           "          - {property: smelt.failAbove, value: 3}\n"
           "          - {property: smelt.sharePer, value: c}\n",
     SM_INVALID, 14, 47, "nothing says which share", ""},
    {TYPED "        required: true\n        customProperties:\n"
           "          - {property: smelt.failAbove, value: 3%}\n"
           "          - {property: smelt.onViolation, value: quarantine}\n"
           "          - {property: smelt.sharePer, value: c}\n",
     SM_INVALID, 15, 47, "are in no group", ""},
    {WHOLE "{metric: rowCount, mustBe: 1,\n"
           "         customProperties: [{property: smelt.sharePer, value: c}]}\n",
     SM_INVALID, 13, 63, "does not count rows", ""},
    {TABLE "        unique: true\n        customProperties:\n"
           "          - {property: smelt.failAbove, value: 3%}\n"
           "          - {property: smelt.sharePer, value: e}\n      - name: e\n",
     SM_INVALID, 13, 47, "which group they are in", ""},
    {TYPED "    customProperties: [{property: smelt.onViolation, value: warn}]\n", SM_INVALID, 11,
     5, "it has none", ""},
    /* words without an effect */
    {WHOLE "{metric: rowCount, mustBe: 1,\n"
           "         customProperties: [{property: smelt.failAbove, value: 100}]}\n",
     SM_INVALID, 13, 64, "rule \"rowCount\" cannot have smelt.failAbove", ""},
    {WHOLE "{type: sql, query: SELECT 1, mustBe: 1,\n"
           "         customProperties: [{property: smelt.failAbove, value: 5%}]}\n",
     SM_INVALID, 13, 64, "of the whole table", ""},
    {WHOLE "{type: custom, engine: smelt, implementation: {volume: {within: 30%}},\n"
           "         customProperties: [{property: smelt.failAbove, value: 5%}]}\n",
     SM_INVALID, 13, 64, "of the whole table", ""},
    {TABLE "        required: true\n"
           "        customProperties: [{property: smelt.failAbove, value: 5%}]\n"
           "        quality: [{type: custom, engine: smelt, implementation: {freshness: 1 d}}]\n",
     SM_INVALID, 11, 63, "rule \"c:freshness\" cannot have smelt.failAbove", ""},
    {RULE "{metric: nullValues, mustBeLessThan: 5, unit: percent,\n"
          "             customProperties: [{property: smelt.failAbove, value: 4%}]}\n",
     SM_INVALID, 13, 68, "it passes with more than that", ""},
    {RULE "{metric: nullValues, mustBeLessThan: 5,\n"
          "             customProperties: [{property: smelt.failAbove, value: 3}]}\n",
     SM_INVALID, 13, 68, "it passes with more than that", ""},
    {RULE "{metric: nullValues, mustNotBe: 5,\n"
          "             customProperties: [{property: smelt.failAbove, value: 9}]}\n",
     SM_INVALID, 13, 68, "it passes with more than that", ""},
    {RULE "{metric: nullValues, mustBe: 0, query: SELECT 1}\n", SM_INVALID, 12, 45,
     "query is of a rule of type sql, and this one is of type library", "type: sql"},
    {WHOLE "{query: SELECT 1, mustBe: 0}\n", SM_INVALID, 12, 10, "query is of a rule of type sql",
     "type: sql"},
    {WHOLE "{type: sql, query: SELECT 1, mustBe: 0, metric: rowCount}\n", SM_INVALID, 12, 49,
     "metric is of a rule of type library", ""},
    {WHOLE "{type: custom, engine: smelt, implementation: c > 0, unit: percent}\n", SM_INVALID, 12,
     62, "unit is of a rule of type library, and this one is of type custom", ""},
    {WHOLE "{type: text, description: x, implementation: c > 0}\n", SM_INVALID, 12, 38,
     "implementation is of a rule of type custom", ""},
    {WHOLE "{type: text, customProperties: [{property: smelt.onViolation, value: warn}]}\n",
     SM_INVALID, 12, 52, "smelt.onViolation has no effect here", ""},
    {TYPED "slaProperties: [{property: latency, value: 1, unit: d, element: t.c,\n"
           "  customProperties: [{property: smelt.onViolation, value: warn}]}]\n",
     SM_INVALID, 12, 33, "smelt.onViolation has no effect here", "at the property"},
    {TYPED "customProperties: [{property: smelt.failAbove, value: 1}]\n", SM_INVALID, 11, 31,
     "smelt.failAbove has no effect here", "at the property"},
    {TABLE "        primaryKeyPosition: 1\n", SM_INVALID, 10, 29,
     "primaryKeyPosition of no primary key", "primaryKey: true"},
    /* what is made of values */
    {TYPED "        customProperties: [{property: smelt.cast, value: true}]\n", SM_INVALID, 11, 58,
     "it has no physicalType", ""},
    {TYPED "        physicalType: BIGIN\n"
           "        customProperties: [{property: smelt.cast, value: true}]\n",
     SM_SYNTAX, 11, 23, "BIGIN", "bigint"},
    {TYPED "        customProperties: [{property: smelt.cast, value: yes}]\n", SM_INVALID, 11, 58,
     "smelt.cast is true or false", ""},
    {TYPED "        customProperties: [{property: smelt.derive, value: ''}]\n", SM_SYNTAX, 11, 61,
     "smelt.derive is empty", ""},
    {TYPED "        customProperties: [{property: smelt.default, value: null}]\n", SM_INVALID, 11,
     61, "takes the place of NULL", ""},
    {TYPED "        customProperties:\n          - {property: smelt.derive, value: c + 1}\n"
           "          - {property: smelt.default, value: 2}\n",
     SM_INVALID, 13, 46, "coalesce", ""},
    {TYPED "    customProperties: [{property: smelt.derive, value: c}]\n", SM_INVALID, 11, 35,
     "smelt.derive stands on a property", ""},
    {RULE "{metric: nullValues, mustBe: 0,\n"
          "             customProperties: [{property: smelt.cast, value: true}]}\n",
     SM_INVALID, 13, 44, "smelt.cast stands on a property or a table", ""},
    {TABLE "        properties:\n          - name: f\n"
           "            customProperties: [{property: smelt.default, value: 2}]\n",
     SM_INVALID, 12, 65, "field within an object", ""},
    /* references */
    {TYPED "        relationships: [{from: t.c, to: u.c}]\n", SM_SYNTAX, 11, 26, "no from", ""},
    {TYPED "        relationships: [{to: u}]\n", SM_INVALID, 11, 30, "table.column, not \"u\"", ""},
    {TYPED "        relationships: [{to: schema/u/properties/c}]\n", SM_UNSUPPORTED, 11, 30,
     "by id", "table.column"},
    {TYPED "    relationships: [{from: [t.c], to: [u.a, u.b]}]\n", SM_INVALID, 11, 35,
     "1 columns refer to 2", ""},
    {TYPED "    relationships: [{from: v.c, to: u.a}]\n", SM_NAME, 11, 28, "from is of this table",
     ""},
    {TYPED "    relationships: [{from: t.d, to: u.a}]\n", SM_NAME, 11, 28, "no column \"d\"", ""},
};

static void test_refused(void **state)
{
    for (int i = 0; i < SM_COUNT(refused); i++) {
        sm_arena *a = sm_arena_new(NULL);
        sm_contract *c = NULL;
        sm_error e = {0};
        const sm_status st = kit_read(refused[i].yaml, a, &c, &e);
        if (st != refused[i].want || e.line != refused[i].line || e.byte != refused[i].byte ||
            strcmp(e.object, "c.yaml") != 0 || !strstr(e.what, refused[i].what) ||
            !strstr(e.todo, refused[i].todo)) {
            fail_msg("case %d: %s at %d:%d: %s | %s (wanted %d:%d %s)", i, sm_status_name(st),
                     (int)e.line, (int)e.byte, e.what, e.todo, refused[i].line, refused[i].byte,
                     refused[i].what);
        }
        assert_null(c);
        sm_arena_free(a);
    }
}

/* What stands beside words that are refused, and has an effect; and what is told to have none. */
static const struct {
    const char *yaml, *note; /* "": there is none */
} told[] = {
    {RULE "{metric: nullValues, mustBeLessThan: 5,\n"
          "             customProperties: [{property: smelt.failAbove, value: 4}]}\n",
     ""},
    {RULE "{metric: nullValues, mustBeLessThan: 5, unit: percent,\n"
          "             customProperties: [{property: smelt.failAbove, value: 4}]}\n",
     ""},
    {WHOLE "{type: custom, engine: smelt, implementation: {groupBy: [c], check: sum(c) > 0},\n"
           "         customProperties: [{property: smelt.failAbove, value: 2}]}\n",
     ""},
    {WHOLE "{type: sql, query: SELECT 1, mustBe: 1, unit: percent}\n", ""},
    {TABLE "        primaryKey: false\n        primaryKeyPosition: -1\n", ""},
    /* of a service level, what a property says of rows is left out */
    {TABLE "        required: true\n        customProperties:\n"
           "          - {property: smelt.failAbove, value: 3%}\n"
           "          - {property: smelt.sharePer, value: c}\n"
           "slaProperties: [{property: latency, value: 1, unit: d, element: t.c}]\n",
     ""},
    {TABLE "        physicalType: BIGINT\n        customProperties:\n"
           "          - {property: smelt.cast, value: true}\n"
           "          - {property: smelt.onViolation, value: 'null'}\n",
     ""},
    {TABLE "        customProperties: [{property: smelt.onViolation, value: warn}]\n",
     "smelt's words at column c have no effect: no rule of it is checked"},
    {TABLE "        logicalType: array\n        logicalTypeOptions: {minItems: 1}\n"
           "        customProperties: [{property: smelt.failAbove, value: 1}]\n",
     "smelt's words at column c have no effect: no rule of it is checked"},
};

static void test_told(void **state)
{
    for (int i = 0; i < SM_COUNT(told); i++) {
        sm_arena *a = sm_arena_new(NULL);
        sm_contract *c = NULL;
        sm_error e = {0};
        bool is_told = told[i].note[0] == '\0';
        assert_ok(kit_read(told[i].yaml, a, &c, &e), &e);
        for (int64_t k = 0; k < c->n_notes; k++) {
            is_told = is_told || sm_str_is(c->notes[k].text, told[i].note);
        }
        if (!is_told || (told[i].note[0] == '\0' && c->n_notes > 0)) {
            fail_msg("case %d has %d notes", i, (int)c->n_notes);
        }
        sm_arena_free(a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_model),    cmocka_unit_test(test_old_bounds),
        cmocka_unit_test(test_told),     cmocka_unit_test(test_keys),
        cmocka_unit_test(test_examples), cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
