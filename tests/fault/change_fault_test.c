/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/fault/change_fault_test.c: statements that change a table whose store fails or lies at its
 * k-th call, for k = 1, 2, … until the statement succeeds by itself. After each fault the table has
 * its old rows or its new ones, also after an open publication has been completed; the statement
 * succeeds when it is run again on the old ones; and nothing leaks. */
#include "orders.h"

static const order old_rows[] = {
    {"2022-04-01", "anna", 5},
    {"2022-04-01", "bert", 6},
    {"2022-04-02", "carl", 7},
};
#define OLD_TEXT "2022-04-01 anna 5;2022-04-01 bert 6;2022-04-02 carl 7;"

static const struct {
    const char *sql, *after;
} statements[] = {
    {"INSERT INTO b.t SELECT day, 'copy', amount FROM b.t WHERE amount = 7",
     OLD_TEXT "2022-04-02 copy 7;"},
    {"DELETE FROM b.t WHERE amount > 5", "2022-04-01 anna 5;"},
    {"UPDATE b.t SET amount = (SELECT max(amount) FROM b.t) WHERE name = 'bert'",
     "2022-04-02 carl 7;2022-04-01 anna 5;2022-04-01 bert 7;"},
    {"MERGE INTO b.t t USING (VALUES ('carl', 70), ('new', 1)) s(n, a) ON t.name = s.n "
     "WHEN MATCHED THEN UPDATE SET amount = s.a "
     "WHEN NOT MATCHED THEN INSERT (name, amount) VALUES (s.n, s.a)",
     "2022-04-01 anna 5;2022-04-01 bert 6;2022-04-02 carl 70;NULL new 1;"},
};

static sm_status change(kit *k, const char *sql, sm_error *e)
{
    const sm_lake_query_opts opts = {
        .mode = SM_QUERY_CHANGES,
        .sql = {.name = SM_STR("a test"), .text = sm_str_of(sql)},
        .lake = sm_str_of(k->at.path),
    };
    sm_lake_query *q = NULL;
    sm_changed c = {0};
    SM_TRY(sm_lake_query_open(&opts, &k->env, &q, e));
    const sm_status st = sm_lake_query_change(q, &k->env, NULL, &c, e);
    sm_lake_query_close(q);
    return st;
}

static void arm(int k, const char *kind)
{
    char plan[64];
    snprintf(plan, sizeof(plan), "at=%d,kind=%s,writes=0", k, kind);
    setenv("SMELT_FAULT", plan, 1);
}

/* Ends the plan; whether its call came. */
static bool disarm(int k)
{
    sm_error e = {0};
    sm_store *s = NULL;
    assert_ok(sm_store_open(test_stores, SM_STR("memory://count"), &s, &e), &e);
    const bool fired = sm_fault_calls(s) >= k;
    sm_store_release(s);
    unsetenv("SMELT_FAULT");
    return fired;
}

static bool is_old(const char *text)
{
    return strcmp(text, OLD_TEXT) == 0;
}

static void check_after(kit *k, int i, int n_old_files, sm_status st)
{
    sm_error e = {0};
    sm_str told = {0};
    const char *text = table_text(k, "b", "t");
    const bool was_new = st == SM_OK || !is_old(text);
    assert_ok(sm_lake_settle(test_stores, sm_str_of(k->at.path), k->budget, k->arena, &told, &e),
              &e);
    text = table_text(k, "b", "t");
    if (was_new || !is_old(text)) {
        assert_string_equal(text, statements[i].after);
        return;
    }
    if (st == SM_DISK_FULL) { /* when files nobody needs would hurt most */
        assert_int_equal(count_data_files(k, "b/t"), n_old_files);
    }
    assert_ok(change(k, statements[i].sql, &e), &e);
    assert_string_equal(table_text(k, "b", "t"), statements[i].after);
}

/* Fails one call of a statement; whether there was such a call. */
static bool fail_once(int i, int at, const char *kind)
{
    kit k;
    sm_error e = {0};
    kit_init(&k);
    const sm_write w = {.uri = kit_uri(&k, "b/t"), .split_by = SM_STR("day")};
    assert_ok(write_orders(&k, &w, old_rows, SM_COUNT(old_rows), NULL, &e), &e);
    const int n_old_files = count_data_files(&k, "b/t");
    arm(at, kind);
    const sm_status st = change(&k, statements[i].sql, &e);
    const bool fired = disarm(at);
    if (!fired) {
        assert_ok(st, &e);
    }
    check_after(&k, i, n_old_files, st);
    kit_release(&k);
    return fired;
}

static void test_failing_calls(void **state)
{
    static const char *const kinds[] = {"error", "lost", "disk_full"};
    for (int i = 0; i < SM_COUNT(statements); i++) {
        for (int kind = 0; kind < SM_COUNT(kinds); kind++) {
            int at = 1;
            while (fail_once(i, at, kinds[kind])) {
                at++;
            }
            assert_true(at > 5);
            const int64_t live = sm_live_allocs();
            for (int again = 1; again < at; again += 5) {
                fail_once(i, again, kinds[kind]);
                assert_int_equal(sm_live_allocs(), live);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_failing_calls)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
