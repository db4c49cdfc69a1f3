/* contract/contract_verdict_test.c: counts against limits of every kind, at their edges; what a
 * verdict looks like as JSON and as a table. */
#include "test.h"

#include <math.h>

#include "contract/contract_testkit.h"

/* A table of one rule, that a test fills. */
typedef struct one {
    sm_contract c;
    sm_contract_column column;
    sm_contract_table table;
    sm_rule rule;
} one;

static void one_init(one *o, sm_rule rule)
{
    *o = (one){.rule = rule, .column = {.path = SM_STR("c")}};
    o->rule.name = SM_STR("c:rule");
    o->table = (sm_contract_table){.name = SM_STR("t"),
                                   .columns = &o->column,
                                   .n_columns = 1,
                                   .rules = &o->rule,
                                   .n_rules = 1};
}

static const sm_rule_limit none = {0};

static const struct {
    sm_rule_limit limit;
    int64_t n_broken, n_rows;
    bool passes;
} limits[] = {
    {{SM_MUST_BE, 0, 0, false}, 0, 9, true},
    {{SM_MUST_BE, 0, 0, false}, 1, 9, false},
    {{SM_MUST_BE, 2, 0, false}, 2, 9, true},
    {{SM_MUST_NOT_BE, 2, 0, false}, 2, 9, false},
    {{SM_MUST_NOT_BE, 2, 0, false}, 1, 9, true},
    {{SM_MUST_BE_GREATER, 2, 0, false}, 2, 9, false},
    {{SM_MUST_BE_GREATER, 2, 0, false}, 3, 9, true},
    {{SM_MUST_BE_GREATER_OR_EQUAL, 2, 0, false}, 2, 9, true},
    {{SM_MUST_BE_LESS, 2, 0, false}, 2, 9, false},
    {{SM_MUST_BE_LESS, 2, 0, false}, 1, 9, true},
    {{SM_MUST_BE_LESS_OR_EQUAL, 2, 0, false}, 2, 9, true},
    {{SM_MUST_BE_LESS_OR_EQUAL, 2, 0, false}, 3, 9, false},
    {{SM_MUST_BE_BETWEEN, 2, 4, false}, 2, 9, true},
    {{SM_MUST_BE_BETWEEN, 2, 4, false}, 4, 9, true},
    {{SM_MUST_BE_BETWEEN, 2, 4, false}, 5, 9, false},
    {{SM_MUST_NOT_BE_BETWEEN, 2, 4, false}, 4, 9, false},
    {{SM_MUST_NOT_BE_BETWEEN, 2, 4, false}, 5, 9, true},
    /* shares, at their edges */
    {{SM_MUST_BE_LESS_OR_EQUAL, 0.1, 0, true}, 1, 1000, true},
    {{SM_MUST_BE_LESS_OR_EQUAL, 0.1, 0, true}, 1, 999, false},
    {{SM_MUST_BE_LESS, 0.1, 0, true}, 1, 1000, false},
    {{SM_MUST_BE, 33, 0, true}, 33, 100, true},
    {{SM_MUST_BE_LESS_OR_EQUAL, 0.7, 0, true}, 7, 1000, true},
    {{SM_MUST_BE, 0, 0, true}, 0, 0, true},
    {{SM_MUST_BE_GREATER, 0, 0, true}, 0, 0, false},
};

static void test_limits(void **state)
{
    for (int i = 0; i < SM_COUNT(limits); i++) {
        sm_arena *a = sm_arena_new(NULL);
        const sm_rule_count count = {.n_rows = limits[i].n_rows, .n_broken = limits[i].n_broken};
        one o;

        one_init(&o, (sm_rule){.kind = SM_RULE_NULL_VALUES, .limit = limits[i].limit});
        const sm_verdict *v = sm_contract_judge(&o.c, &o.table, limits[i].n_rows, &count, a);
        const sm_outcome want = limits[i].passes ? SM_OUTCOME_PASSED : SM_OUTCOME_FAILED;
        if (v->rules[0].outcome != want || v->outcome != want || v->n_failed != !limits[i].passes) {
            fail_msg("limit %d: %s", i, sm_outcome_name(v->outcome));
        }
        sm_arena_free(a);
    }
}

static const struct {
    sm_policy action;
    bool has_fail_above;
    sm_rule_limit fail_above;
    int64_t n_broken;
    sm_outcome want;
} actions[] = {
    {SM_POLICY_WARN, false, {0}, 0, SM_OUTCOME_PASSED},
    {SM_POLICY_WARN, false, {0}, 1000, SM_OUTCOME_WARNED},
    {SM_POLICY_FAIL, false, {0}, 1, SM_OUTCOME_FAILED},
    {SM_POLICY_QUARANTINE, false, {0}, 1, SM_OUTCOME_FAILED},
    {SM_POLICY_NULL, false, {0}, 1, SM_OUTCOME_FAILED},
    {SM_POLICY_WARN, true, {SM_MUST_BE_GREATER, 0.1, 0, true}, 1, SM_OUTCOME_WARNED},
    {SM_POLICY_WARN, true, {SM_MUST_BE_GREATER, 0.1, 0, true}, 2, SM_OUTCOME_FAILED},
    {SM_POLICY_QUARANTINE, true, {SM_MUST_BE_GREATER, 5, 0, false}, 5, SM_OUTCOME_WARNED},
    {SM_POLICY_QUARANTINE, true, {SM_MUST_BE_GREATER, 5, 0, false}, 6, SM_OUTCOME_FAILED},
};

static void test_actions(void **state)
{
    for (int i = 0; i < SM_COUNT(actions); i++) {
        sm_arena *a = sm_arena_new(NULL);
        const sm_rule_count count = {.n_rows = 1000, .n_broken = actions[i].n_broken};
        one o;

        one_init(&o, (sm_rule){.kind = SM_RULE_REQUIRED,
                               .action = actions[i].action,
                               .has_fail_above = actions[i].has_fail_above,
                               .fail_above = actions[i].fail_above});
        const sm_verdict *v = sm_contract_judge(&o.c, &o.table, 1000, &count, a);
        if (v->outcome != actions[i].want) {
            fail_msg("action %d: %s", i, sm_outcome_name(v->outcome));
        }
        sm_arena_free(a);
    }
}

/* Of the whole table: the number itself is compared; NULL keeps no limit. */
static void test_measures(void **state)
{
    static const struct {
        sm_rule_limit limit;
        double measure;
        bool passes;
    } cases[] = {
        {{SM_MUST_BE_GREATER, 0, 0, false}, 1, true},
        {{SM_MUST_BE_GREATER, 0, 0, false}, 0, false},
        {{SM_MUST_NOT_BE, 3, 0, false}, NAN, false},
        {{SM_MUST_NOT_BE, 3, 0, false}, 4, true},
        {{SM_MUST_BE_BETWEEN, 1, 2, false}, 1.5, true},
    };

    for (int i = 0; i < SM_COUNT(cases); i++) {
        sm_arena *a = sm_arena_new(NULL);
        const sm_rule_count count = {.measure = cases[i].measure};
        one o;

        one_init(&o, (sm_rule){.kind = SM_RULE_QUERY, .column = -1, .limit = cases[i].limit});
        const sm_verdict *v = sm_contract_judge(&o.c, &o.table, 7, &count, a);
        assert_int_equal(v->outcome, cases[i].passes ? SM_OUTCOME_PASSED : SM_OUTCOME_FAILED);
        assert_int_equal(v->rules[0].count.n_broken, !cases[i].passes);
        sm_arena_free(a);
    }
}

static const sm_verdict *broken_verdict(one *o, sm_str *example, sm_arena *a)
{
    const sm_rule_count count = {
        .n_rows = 1200, .n_broken = 3, .examples = example, .n_examples = 1};

    one_init(o, (sm_rule){.kind = SM_RULE_MINIMUM, .action = SM_POLICY_WARN, .limit = none});
    return sm_contract_judge(&o->c, &o->table, 1200, &count, a);
}

static void test_json(void **state)
{
    sm_arena *a = sm_arena_new(NULL);
    sm_str example = SM_STR("{\"c\":-1}");
    sm_buf out = {0};
    sm_json_writer w = {.out = &out};
    one o;

    const sm_verdict *v = broken_verdict(&o, &example, a);
    sm_json_begin_array(&w);
    sm_verdict_json(v, &w);
    sm_json_end_array(&w);
    assert_true(
        sm_str_is(sm_buf_str(&out),
                  "[{\"table\":\"t\",\"rule\":\"c:rule\",\"kind\":\"minimum\",\"columns\":[\"c\"],"
                  "\"severity\":\"warning\",\"action\":\"warn\",\"rows\":1200,\"violations\":3,"
                  "\"share\":0.002500000,\"allowed\":\"0\",\"outcome\":\"warned\","
                  "\"examples\":[{\"c\":-1}]}]"));
    sm_buf_release(&out);
    sm_arena_free(a);
}

/* Of a rule with smelt.sharePer the share is that of the worst group. */
static void test_worst(void **state)
{
    sm_arena *a = sm_arena_new(NULL);
    sm_buf out = {0};
    sm_json_writer w = {.out = &out};
    const sm_rule_count count = {.n_rows = 1200,
                                 .n_broken = 3,
                                 .worst = SM_STR("2022-04-03"),
                                 .worst_rows = 1000,
                                 .worst_broken = 2};
    one o;

    one_init(&o, (sm_rule){.kind = SM_RULE_MINIMUM,
                           .action = SM_POLICY_WARN,
                           .has_fail_above = true,
                           .fail_above = {SM_MUST_BE_GREATER, 0.1, 0, true},
                           .has_share_per = true});
    const sm_verdict *v = sm_contract_judge(&o.c, &o.table, 1200, &count, a);
    assert_int_equal(v->outcome, SM_OUTCOME_FAILED);
    sm_rule_verdict_print(&v->rules[0], &out);
    assert_true(sm_str_is(sm_buf_str(&out), "3 of 1,200 rows break it, of 2022-04-03 2 of 1,000, "
                                            "allowed: 0, fails > 0.1%"));
    sm_buf_reset(&out);
    sm_verdict_print(v, &out);
    assert_non_null(strstr((const char *)sm_arena_take(a, &out).data, "2022-04-03: 0.2%"));
    sm_json_begin_array(&w);
    sm_verdict_json(v, &w);
    sm_json_end_array(&w);
    assert_non_null(strstr((const char *)sm_arena_take(a, &out).data,
                           "\"share\":0.002000000,\"worst\":{\"group\":\"2022-04-03\","
                           "\"rows\":1000,\"violations\":2},"));
    sm_arena_free(a);
}

/* Rules of one row hold wherever it stands, with whatever limit. What only warns forbids
 * nothing. */
static void test_of_table(void **state)
{
    static const sm_rule_kind of_rows[] = {SM_RULE_REQUIRED, SM_RULE_NULL_VALUES,
                                           SM_RULE_EXPRESSION};
    static const sm_rule_kind of_table[] = {
        SM_RULE_UNIQUE,    SM_RULE_PRIMARY_KEY, SM_RULE_GROUP,    SM_RULE_DUPLICATE_VALUES,
        SM_RULE_ROW_COUNT, SM_RULE_QUERY,       SM_RULE_REFERENCE};
    static const sm_policy policies[] = {SM_POLICY_FAIL, SM_POLICY_QUARANTINE, SM_POLICY_WARN};
    one o;

    for (int a = 0; a < SM_COUNT(policies); a++) {
        for (int fails = 0; fails < 2; fails++) {
            sm_rule r = {.action = policies[a], .has_fail_above = fails != 0};
            for (int i = 0; i < SM_COUNT(of_rows); i++) {
                r.kind = of_rows[i];
                one_init(&o, r);
                assert_false(sm_contract_is_of_table(&o.table));
            }
            for (int i = 0; i < SM_COUNT(of_table); i++) {
                r.kind = of_table[i];
                one_init(&o, r);
                assert_int_equal(sm_contract_is_of_table(&o.table),
                                 policies[a] != SM_POLICY_WARN || fails);
            }
        }
    }
}

static void test_table(void **state)
{
    sm_arena *a = sm_arena_new(NULL);
    sm_str example = SM_STR("{\"c\":-1}");
    sm_buf out = {0};
    one o;

    const sm_verdict *v = broken_verdict(&o, &example, a);
    sm_verdict_print(v, &out);
    assert_true(sm_str_is(sm_buf_str(&out),
                          "rule     rows  broken  share  allowed  action  verdict\n"
                          "c:rule  1,200       3  0.25%  0        warn    warned\n"
                          "\nc:rule:\n  {\"c\":-1}\n"
                          "\nt warned: 1,200 rows, 1 rule, 0 failed, 1 warned\n"));
    sm_buf_reset(&out);
    sm_rule_verdict_print(&v->rules[0], &out);
    assert_true(sm_str_is(sm_buf_str(&out), "3 of 1,200 rows break it, allowed: 0"));
    sm_buf_release(&out);
    sm_arena_free(a);
}

/* Lines have at most 80 characters: a name that does not fit stands above its numbers. */
static void test_long_names(void **state)
{
    static const struct {
        const char *name;
        const char *lines;
    } cases[] = {
        {"a_name_that_fits_with_32_chars__", "a_name_that_fits_with_32_chars__  1,200"},
        {"a_name_that_does_not_fit_in_a_line_of_eighty_characters:minimum",
         "a_name_that_does_not_fit_in_a_line_of_eighty_characters:minimum\n  "},
    };

    for (int i = 0; i < SM_COUNT(cases); i++) {
        sm_arena *a = sm_arena_new(NULL);
        sm_buf out = {0};
        one o;
        const sm_verdict *v = broken_verdict(&o, NULL, a);
        o.rule.name = sm_str_of(cases[i].name);
        v->rules[0].count.n_examples = 0;
        sm_verdict_print(v, &out);
        sm_str text = sm_buf_str(&out);
        const char *at = memmem(text.data, text.len, cases[i].lines, strlen(cases[i].lines));
        if (!at) {
            fail_msg("%.*s", SM_STR_ARG(text));
        }
        while (text.len > 0) {
            const size_t n = (size_t)((const char *)memchr(text.data, '\n', text.len) - text.data);
            assert_true(n <= 80);
            text = (sm_str){text.data + n + 1, text.len - n - 1};
        }
        sm_buf_release(&out);
        sm_arena_free(a);
    }
}

/* A rule of the whole table that had nothing to compare with neither passes nor fails. */
static void test_unchecked(void **state)
{
    sm_arena *a = sm_arena_new(NULL);
    const sm_rule_count count = {.is_unchecked = true, .detail = SM_STR("no version")};
    sm_buf out = {0};
    one o;

    one_init(&o, (sm_rule){.kind = SM_RULE_VOLUME,
                           .column = -1,
                           .limit = {SM_MUST_BE_BETWEEN, -30, 30, true}});
    const sm_verdict *v = sm_contract_judge(&o.c, &o.table, 7, &count, a);
    assert_int_equal(v->rules[0].outcome, SM_OUTCOME_UNCHECKED);
    assert_int_equal(v->outcome, SM_OUTCOME_PASSED);
    assert_int_equal(v->n_failed + v->n_warned, 0);
    sm_rule_verdict_print(&v->rules[0], &out);
    assert_true(sm_str_is(sm_buf_str(&out), "it is not checked: no version"));
    sm_buf_release(&out);
    sm_arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_limits),    cmocka_unit_test(test_actions),
        cmocka_unit_test(test_measures),  cmocka_unit_test(test_json),
        cmocka_unit_test(test_table),     cmocka_unit_test(test_long_names),
        cmocka_unit_test(test_unchecked), cmocka_unit_test(test_worst),
        cmocka_unit_test(test_of_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
