/* SPDX-License-Identifier: Apache-2.0
 *
 * table/table_diff_test.c: the rows by which two versions differ, and stores that fail. What is
 * compared with another program's answer is in tests/cli/test_diff.py. */
#include "orders.h"

static const sm_str by_name[] = {{"Name", 4}};
static const sm_str by_day_and_name[] = {{"Name", 4}, {"day", 3}};

static sm_store *make_table(kit *k)
{
    static const order first[] = {{"2022-04-01", "anna", 1}, {"2022-04-01", "bert", 2}};
    static const order more[] = {{"2022-04-02", "carl", 3}, {NULL, "dora", 4}};
    static const order other[] = {{"2022-04-01", "bert", 5}, {"2022-04-03", "emma", 6}};
    const sm_write w = {.uri = kit_uri(k, "silver/orders")};
    const sm_write replace = {.uri = w.uri,
                              .mode = SM_WRITE_REPLACE_WHERE,
                              .where = where_sql("day = DATE '2022-04-01'")};
    sm_error e = {0};

    assert_ok(write_orders(k, &w, first, 2, NULL, &e), &e);
    assert_ok(write_orders(k, &w, more, 2, NULL, &e), &e);
    assert_ok(write_orders(k, &replace, other, 1, NULL, &e), &e);
    assert_ok(write_orders(k, &w, other + 1, 1, NULL, &e), &e);
    return open_store(w.uri.data);
}

static sm_status run(kit *k, sm_store *s, const sm_diff_opts *opts, const char **out, sm_error *e)
{
    sm_diff *d = NULL;

    SM_TRY(sm_diff_open(s, opts, &k->env, &d, e));
    const sm_status st = plan_text(k, sm_diff_plan(d), out, e);
    sm_diff_close(d);
    return st;
}

static const struct {
    int64_t from, to;
    const sm_str *keys;
    int32_t n_keys;
    const char *rows;
} cases[] = {
    {0, 0, by_name, 1, ""},
    {0, 1, by_name, 1,
     "came carl NULL NULL day=2022-04-02, amount=3;"
     "came dora NULL NULL day=NULL, amount=4;"},
    {0, 3, by_name, 1,
     "went anna NULL day=2022-04-01, amount=1 NULL;changed bert amount amount=2 amount=5;"
     "came carl NULL NULL day=2022-04-02, amount=3;came dora NULL NULL day=NULL, amount=4;"
     "came emma NULL NULL day=2022-04-03, amount=6;"},
    {3, 1, by_name, 1,
     "came anna NULL NULL day=2022-04-01, amount=1;changed bert amount amount=5 amount=2;"
     "went emma NULL day=2022-04-03, amount=6 NULL;"},
    {1, 3, by_day_and_name, 2,
     "went anna 2022-04-01 NULL amount=1 NULL;changed bert 2022-04-01 amount amount=2 amount=5;"
     "came emma 2022-04-03 NULL NULL amount=6;"},
    {1, 3, NULL, 0,
     "went 1 2022-04-01 anna 1;went 1 2022-04-01 bert 2;came 1 2022-04-01 bert 5;"
     "came 1 2022-04-03 emma 6;"},
};

static void test_rows(void **state)
{
    kit k;
    kit_init(&k);
    sm_store *s = make_table(&k);

    for (int i = 0; i < SM_COUNT(cases); i++) {
        sm_error e = {0};
        const char *rows = NULL;
        const sm_diff_opts opts = {
            .from = {.kind = SM_AT_VERSION, .version = cases[i].from},
            .to = {.kind = SM_AT_VERSION, .version = cases[i].to},
            .keys = cases[i].keys,
            .n_keys = cases[i].n_keys,
        };
        assert_ok(run(&k, s, &opts, &rows, &e), &e);
        assert_string_equal(rows, cases[i].rows);
    }
    sm_store_release(s);
    kit_release(&k);
}

/* Each k-th call to the store fails: the answer is whole, or it is an error. */
static void test_failures(void **state)
{
    kit k;
    kit_init(&k);
    sm_store_release(make_table(&k));
    const sm_diff_opts opts = {
        .from = {.kind = SM_AT_VERSION},
        .keys = by_name,
        .n_keys = 1,
    };

    for (int at = 1;; at++) {
        sm_error e = {0};
        const char *rows = "";
        setenv("SMELT_FAULT", sm_arena_strf(k.arena, "at=%d,kind=error", at).data, 1);
        sm_store *s = open_store(kit_uri(&k, "silver/orders").data);
        const sm_status st = run(&k, s, &opts, &rows, &e);
        const bool fired = sm_fault_calls(s) >= at;
        sm_store_release(s);
        unsetenv("SMELT_FAULT");
        assert_int_equal(sm_budget_used(k.budget), 0);
        if (st == SM_OK) {
            assert_string_equal(rows, cases[2].rows);
        }
        if (!fired) {
            assert_int_equal(st, SM_OK);
            assert_true(at > 10);
            break;
        }
    }
    kit_release(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
