/* SPDX-License-Identifier: Apache-2.0
 *
 * table/table_query_test.c: one query over a lake: its tables, its variables, its errors, and that
 * nothing of it is left. */
#include "orders.h"

static const order rows[] = {{"2022-04-01", "anna", 5}, {"2022-04-02", "bert", 6}};

static const struct {
    const char *sql;
    sm_status status;
    const char *want; /* rows, or part of the message */
} queries[] = {
    {"SELECT day, name, amount FROM b.t ORDER BY amount", SM_OK,
     "2022-04-01 anna 5;2022-04-02 bert 6;"},
    {"SELECT day, name, amount FROM b.t WHERE name = var('who')", SM_OK, "2022-04-02 bert 6;"},
    {"SELECT day, name, amount FROM b.t WHERE name = var('when')", SM_NAME, "when"},
    {"SELECT day FROM b.other", SM_NAME, "b.other"},
    {"SELECT FROM", SM_SYNTAX, ""},
};

static void test_queries(void **state)
{
    kit k;

    kit_init(&k);
    sm_error e = {0};
    const sm_write w = {.uri = kit_uri(&k, "b/t")};
    assert_ok(write_orders(&k, &w, rows, SM_COUNT(rows), NULL, &e), &e);
    const size_t used = sm_budget_used(k.budget);
    for (int i = 0; i < SM_COUNT(queries); i++) {
        char sql[200]; /* it is copied, so that it may change while the plan is used */
        sm_pair who = {SM_STR("who"), SM_STR("bert")};
        sm_lake_query *q = NULL;
        snprintf(sql, sizeof(sql), "%s", queries[i].sql);
        const sm_lake_query_opts opts = {.sql = {.name = SM_STR("a test"), .text = sm_str_of(sql)},
                                         .lake = sm_str_of(k.at.path),
                                         .vars = &who,
                                         .n_vars = 1};
        assert_status(sm_lake_query_open(&opts, &k.env, &q, &e), queries[i].status, &e);
        memset(sql, 'x', sizeof(sql));
        who = (sm_pair){0};
        if (queries[i].status == SM_OK) {
            for (int times = 0; times < 2; times++) {
                const char *text = NULL;
                assert_ok(plan_text(&k, sm_lake_query_plan(q), &text, &e), &e);
                assert_string_equal(text, queries[i].want);
            }
        } else {
            assert_null(q);
            assert_non_null(strstr(e.what, queries[i].want));
            assert_non_null(strstr(e.object, "a test"));
        }
        sm_lake_query_close(q);
        assert_int_equal(sm_budget_used(k.budget), used);
    }
    sm_lake_query_close(NULL);
    kit_release(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_queries),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
