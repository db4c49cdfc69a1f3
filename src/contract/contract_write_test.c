/* contract/contract_write_test.c: a contract that is written is read back as the same model. */
#include <inttypes.h>
#include <stdlib.h>

#include "test.h"

#include "base/random.h"
#include "base/text.h"
#include "contract/contract_testkit.h"

/* ---- are two models the same? ---------------------------------------------------------------- */

static bool same_limit(const sm_rule_limit *x, const sm_rule_limit *y)
{
    return x->op == y->op && x->value == y->value && x->to == y->to &&
           x->is_percent == y->is_percent;
}

static bool same_lists(const sm_rule *x, const sm_rule *y)
{
    bool is_same = x->n_values == y->n_values && x->n_columns == y->n_columns;

    for (int32_t i = 0; is_same && i < x->n_values; i++) {
        is_same = sm_str_eq(x->values[i].text, y->values[i].text);
    }
    for (int32_t i = 0; is_same && i < x->n_columns; i++) {
        is_same = x->columns[i] == y->columns[i] &&
                  (!x->other_columns || sm_str_eq(x->other_columns[i], y->other_columns[i]));
    }
    return is_same;
}

static bool same_rule(const sm_rule *x, const sm_rule *y)
{
    return x->kind == y->kind && sm_str_eq(x->name, y->name) && x->column == y->column &&
           x->is_quality == y->is_quality && x->action == y->action &&
           same_limit(&x->limit, &y->limit) && x->has_fail_above == y->has_fail_above &&
           same_limit(&x->fail_above, &y->fail_above) && x->has_share_per == y->has_share_per &&
           x->share_per == y->share_per && sm_str_eq(x->text, y->text) &&
           x->takes_null == y->takes_null && same_lists(x, y) &&
           sm_str_eq(x->other_table, y->other_table) && sm_str_eq(x->description, y->description);
}

static bool same_column(const sm_contract_column *x, const sm_contract_column *y)
{
    return sm_str_eq(x->path, y->path) && sm_str_eq(x->physical, y->physical) &&
           sm_str_eq(x->physical_type, y->physical_type) && x->parent == y->parent &&
           x->logical == y->logical && x->is_required == y->is_required &&
           x->key_position == y->key_position && sm_str_eq(x->derive, y->derive) &&
           x->has_default == y->has_default && sm_str_eq(x->default_text, y->default_text) &&
           x->casts == y->casts && x->cast_action == y->cast_action &&
           sm_str_eq(x->description, y->description);
}

static void check_table(const sm_contract_table *x, const sm_contract_table *y, sm_str text)
{
    bool is_same = sm_str_eq(x->name, y->name) && sm_str_eq(x->physical, y->physical) &&
                   sm_str_eq(x->description, y->description) && x->n_columns == y->n_columns &&
                   x->n_rules == y->n_rules;

    for (int64_t i = 0; is_same && i < x->n_columns; i++) {
        is_same = same_column(&x->columns[i], &y->columns[i]);
    }
    for (int64_t i = 0; is_same && i < x->n_rules; i++) {
        is_same = same_rule(&x->rules[i], &y->rules[i]);
    }
    if (!is_same) {
        fail_msg("table %.*s is read otherwise from:\n%.*s", SM_STR_ARG(x->name), SM_STR_ARG(text));
    }
}

/* Reads `yaml`, writes it, and reads that. */
static void check_written(const char *yaml)
{
    sm_arena *a = sm_arena_new(NULL);
    sm_contract *c = NULL, *again = NULL;
    sm_buf out = {0};
    sm_error e = {0};

    assert_ok(kit_read(yaml, a, &c, &e), &e);
    sm_contract_write(c, a, &out);
    const sm_status st = sm_contract_read(SM_STR("w.yaml"), sm_buf_str(&out), a, &again, &e);
    if (st != SM_OK) {
        fail_msg("%s, line %d of:\n%.*s", e.what, (int)e.line, SM_STR_ARG(sm_buf_str(&out)));
    }
    assert_true(sm_str_eq(c->id, again->id) && sm_str_eq(c->name, again->name));
    assert_true(sm_str_eq(c->version, again->version) && sm_str_eq(c->status, again->status));
    assert_int_equal(again->n_notes, 0);
    assert_int_equal(c->n_tables, again->n_tables);
    for (int64_t i = 0; i < c->n_tables; i++) {
        check_table(&c->tables[i], &again->tables[i], sm_buf_str(&out));
    }
    sm_buf_release(&out);
    sm_arena_free(a);
}

/* ---- cases ----------------------------------------------------------------------------------- */

static void test_every_rule(void **state)
{
    sm_arena *a = sm_arena_new(NULL);

    for (int k = 0; k < SM_RULES; k++) {
        const sm_rule_info *info = sm_rule_info_of((sm_rule_kind)k);
        check_written(info->is_row ? kit_column(info->logical, info->yaml, a)
                                   : kit_table(info->yaml, a));
    }
    sm_arena_free(a);
}

static const char *const properties[] = {
    /* rules in another order than the writer's own */
    "properties: [{name: c, logicalType: integer, quality: [{metric: nullValues, mustBe: 3}],"
    " logicalTypeOptions: {maximum: 9, minimum: 1}, unique: true, required: true}]",
    "quality: [{metric: rowCount, mustBe: 3}], properties: [{name: c}]",
    "properties: [{name: o, properties: [{name: x, required: true}, {name: y}], required: true},"
    " {name: p, physicalName: P q, physicalType: 'DECIMAL(10, 2)', description: 'two: lines'}]",
    /* keys */
    "properties: [{name: a, primaryKey: true, primaryKeyPosition: 2},"
    " {name: b, required: true, unique: true, primaryKey: true, primaryKeyPosition: 1},"
    " {name: d, primaryKey: true}]",
    "properties: [{name: a, primaryKey: true}, {name: b, primaryKey: true}], customProperties:"
    " [{property: smelt.onViolation, value: quarantine}, {property: smelt.failAbove, value: 5%}]",
    "properties: [{name: a}, {name: b, logicalType: string, logicalTypeOptions: {minLength: 1},"
    " customProperties: [{property: smelt.failAbove, value: 0.1%}, {property: smelt.sharePer,"
    "  value: a}], quality: [{metric: nullValues, mustBe: 0}]}], quality: [{metric:"
    " duplicateValues, unit: percent, mustBeLessThan: 1, arguments: {properties: [b, a]},"
    " customProperties: [{property: smelt.sharePer, value: b}]}]",
    /* what is made of values */
    "properties: [{name: a, physicalType: BIGINT, customProperties: [{property: smelt.cast, value:"
    " true}, {property: smelt.onViolation, value: 'null'}]}, {name: b, customProperties: "
    "[{property:"
    "  smelt.default, value: '007'}]}, {name: d, required: true, customProperties: [{property:"
    "  smelt.derive, value: \"a || ': ' || b\"}]}, {name: e, physicalType: DATE}], "
    "customProperties:"
    " [{property: smelt.cast, value: true}]",
    /* smelt's words: of a property, of a rule, of a rule that says otherwise */
    "properties: [{name: c, logicalType: string, logicalTypeOptions: {minLength: 1},"
    " customProperties: [{property: smelt.onViolation, value: warn},"
    " {property: smelt.failAbove, value: 0.1%}], quality: [{metric: nullValues, mustBe: 0},"
    " {metric: missingValues, arguments: {missingValues: [no, '1', 1, null]}, unit: percent,"
    "  mustBeBetween: [0.5, 1e300], customProperties:"
    "  [{property: smelt.onViolation, value: fail}, {property: smelt.failAbove, value: 7}]}]}]",
    "properties: [{name: c, logicalType: string, logicalTypeOptions: {minLength: 1},"
    " customProperties: [{property: smelt.onViolation, value: 'null'}]}]",
    "properties: [{name: c, quality: [{metric: invalidValues, severity: info,"
    " arguments: {validValues: [null]}, mustNotBeBetween: [1, 2]}]}]",
    /* the same pattern as option and as rule of its own */
    "properties: [{name: c, logicalType: string, logicalTypeOptions: {pattern: '^\"\\\\'},"
    " quality: [{name: p, metric: invalidValues, arguments: {pattern: 'a: #'}, mustBe: 0,"
    " description: d}]}]",
    "properties: [{name: a}, {name: b}], relationships: [{from: [t.a, t.b], to: [o.x, o.y]},"
    " {from: t.b, to: q.z}]",
    "properties: [{name: d, logicalType: date, logicalTypeOptions: {minimum: 2020-01-01}}]",
};

/* Service levels stand behind all tables, with the action of their property. */
static const char *const levels[] = {
    "slaProperties: [{property: latency, value: 4, unit: days, element: t.c}]\n"
    "schema: [{name: t, properties: [{name: c, logicalType: date, required: true}, {name: d,"
    " unique: true}]}]\n",
    "slaProperties: [{property: latency, value: 1, unit: d, element: t.c}]\n"
    "schema: [{name: t, properties: [{name: c, logicalType: date,"
    " logicalTypeOptions: {minimum: '2022-01-01'}, quality: [{metric: nullValues, mustBe: "
    "0}]}]}]\n",
    "schema: [{name: t, properties: [{name: c, customProperties: [{property: smelt.onViolation,"
    " value: warn}], quality: [{name: often, type: custom, engine: smelt, implementation: "
    "{freshness: 90min}}]},"
    " {name: o, properties: [{name: x, customProperties: [{property: smelt.onViolation, value:"
    " warn}]}]}]}, {name: u, properties: [{name: c}]}]\n"
    "slaDefaultElement: t.o.x\n"
    "slaProperties: [{property: freshness, value: 1.5, unit: h, description: 'd: #'},"
    " {property: latency, value: 2, unit: w, element: 't.c, u.c'}]\n",
};

static void test_levels(void **state)
{
    sm_arena *a = sm_arena_new(NULL);

    for (int i = 0; i < SM_COUNT(levels); i++) {
        check_written(sm_arena_printf(a, KIT_HEAD "%s", levels[i]));
    }
    sm_arena_free(a);
}

static void test_properties(void **state)
{
    sm_arena *a = sm_arena_new(NULL);

    for (int i = 0; i < SM_COUNT(properties); i++) {
        check_written(kit_table(properties[i], a));
    }
    check_written(KIT_HEAD);
    check_written(KIT_OLD "name: old\nschema:\n  - name: t\n    properties:\n"
                          "      - {name: c, logicalType: number,\n"
                          "         logicalTypeOptions: {minimum: 1, exclusiveMinimum: true}}\n");
    sm_arena_free(a);
}

/* ---- random contracts ------------------------------------------------------------------------ */

/* One of n texts, or none. */
#define MAYBE(x, ...)                                                                              \
    maybe((x), (const char *const[]){__VA_ARGS__}, SM_COUNT(((const char *const[]){__VA_ARGS__})))
static const char *maybe(uint64_t *x, const char *const *texts, int n)
{
    const uint64_t i = random_below(x, (uint64_t)n + 1);

    return i < (uint64_t)n ? texts[i] : "";
}

/* A property with some of all keys, in one of two orders. */
static void add_property(sm_buf *out, uint64_t *x, int number)
{
    const char *const flags =
        MAYBE(x, "        required: true\n", "        unique: true\n",
              "        unique: true\n        required: true\n", "        primaryKey: true\n");
    const char *const options =
        MAYBE(x, "        logicalTypeOptions: {maxLength: 9, minLength: 0, pattern: 'x: \"y'}\n",
              "        logicalTypeOptions: {format: uuid}\n");
    const bool is_turned = random_below(x, 2);

    sm_buf_printf(out, "      - name: \"c%d%s\"\n        logicalType: string\n", number,
                  MAYBE(x, " a: b", "#", "\\n", "'", "é"));
    sm_buf_printf(
        out, "%s%s%s", MAYBE(x, "        description: 'no'\n"), is_turned ? options : flags,
        MAYBE(x, "        customProperties: [{property: smelt.onViolation, value: warn}]\n",
              "        customProperties: [{property: smelt.failAbove, value: 3}]\n"));
    sm_buf_printf(out, "%s%s",
                  MAYBE(x,
                        "        quality:\n"
                        "          - {metric: invalidValues, arguments: {validValues: [a, 'y']},"
                        " mustBe: 0}\n"
                        "          - {metric: nullValues, unit: percent, mustBeLessThan: 0.1,"
                        " severity: warning}\n",
                        "        relationships: [{to: p.y, customProperties:"
                        " [{property: smelt.onViolation, value: quarantine}]}]\n"),
                  is_turned ? flags : options);
    if (random_below(x, 4) == 0) {
        sm_buf_text(out, SM_STR("        properties: [{name: in, unique: true}, {name: two}]\n"));
    }
}

/* SMELT_SEED=n repeats a run. */
static void test_random(void **state)
{
    const char *given = sm_env("SMELT_SEED");
    uint64_t x = 0;

    sm_random_bytes(&x, sizeof(x));
    x = given ? strtoull(given, NULL, 10) : x;
    print_message("SMELT_SEED=%" PRIu64 "\n", x);
    for (int i = 0; i < 500; i++) {
        sm_buf out = {0};
        sm_buf_text(&out, SM_STR(KIT_HEAD "schema:\n"));
        for (int t = 0; t < 2; t++) {
            sm_buf_printf(&out, "  - name: t%d\n", t);
            sm_buf_text(&out, sm_str_of(MAYBE(&x, "    quality: [{metric: rowCount, mustBe: 5}]\n",
                                              "    description: x # y\n")));
            sm_buf_text(&out, SM_STR("    properties:\n"));
            for (int c = 0; c < 4; c++) {
                add_property(&out, &x, c);
            }
        }
        sm_buf_text(&out, (sm_str){"", 1});
        check_written((const char *)out.data);
        sm_buf_release(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_rule),
        cmocka_unit_test(test_properties),
        cmocka_unit_test(test_levels),
        cmocka_unit_test(test_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
