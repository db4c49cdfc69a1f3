/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/fault/change_fault_test.c: statements that change a table whose store fails or lies at its
 * k-th call, for k = 1, 2, … until the statement succeeds by itself. After each fault the table has
 * its old rows or its new ones, also after an open publication has been completed; the statement
 * succeeds when it is run again on the old ones; and nothing leaks. So too where the statement
 * writes deletion vectors, and where it writes files of the change data feed. */
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

/* A table and a statement. */
typedef struct scene {
    const char *sql, *before, *after; /* as `text` tells the rows */
    void (*make)(kit *k);
    const char *(*text)(kit *k);
} scene;

static void make_small(kit *k)
{
    sm_error e = {0};
    const sm_write w = {.uri = kit_uri(k, "b/t"), .split_by = SM_STR("day")};
    assert_ok(write_orders(k, &w, old_rows, SM_COUNT(old_rows), NULL, &e), &e);
}

static const char *small_text(kit *k)
{
    return table_text(k, "b", "t");
}

static void make_recording(kit *k)
{
    make_small(k);
    enable_feed(k, "b/t");
}

/* ---- with deletion vectors ------------------------------------------------------------------- */

#define N_LARGE 1500

static void make_large(kit *k)
{
    static order rows[N_LARGE];
    sm_error e = {0};
    const sm_write w = {.uri = kit_uri(k, "b/t")};
    for (int i = 0; i < N_LARGE; i++) {
        rows[i] = (order){"2022-04-01", "anna", i};
    }
    assert_ok(write_orders(k, &w, rows, N_LARGE, NULL, &e), &e);
    enable_vectors(k, "b/t", "true");
}

static const char *large_text(kit *k)
{
    sm_names *n = sm_names_new(test_stores, sm_str_of(k->at.path), k->budget);
    const char *text = NULL;
    sm_error e = {0};

    assert_ok(sql_text(k, n, "SELECT count(*), sum(amount) FROM b.t", &text, &e), &e);
    sm_names_free(n);
    return text;
}

/* The vectors of the first two are too large for the log. */
static const scene marking[] = {
    {"DELETE FROM b.t WHERE amount % 5 = 0", "1500 1124250;", "1200 900000;", make_large,
     large_text},
    {"UPDATE b.t SET amount = amount + 1 WHERE amount % 5 = 1", "1500 1124250;", "1500 1124550;",
     make_large, large_text},
    {"MERGE INTO b.t t USING (VALUES (7), (2000)) s(n) ON t.amount = s.n "
     "WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT (amount) VALUES (s.n)",
     "1500 1124250;", "1500 1126243;", make_large, large_text},
};

/* ---- one fault ------------------------------------------------------------------------------- */

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

static void check_after(kit *k, const scene *of, int n_old_files, sm_status st)
{
    sm_error e = {0};
    sm_str told = {0};
    const bool was_new = st == SM_OK || strcmp(of->text(k), of->before) != 0;
    assert_ok(sm_lake_settle(test_stores, sm_str_of(k->at.path), k->budget, k->arena, &told, &e),
              &e);
    const char *text = of->text(k);
    if (was_new || strcmp(text, of->before) != 0) {
        assert_string_equal(text, of->after);
        return;
    }
    if (st == SM_DISK_FULL) { /* when files nobody needs would hurt most */
        assert_int_equal(count_data_files(k, "b/t"), n_old_files);
        assert_int_equal(count_ending(k, "b/t", ".bin"), 0);
        assert_int_equal(count_ending(k, "b/t/_change_data", ".parquet"), 0);
    }
    assert_ok(change(k, of->sql, &e), &e);
    assert_string_equal(of->text(k), of->after);
}

/* Fails one call of a statement; whether there was such a call. */
static bool fail_once(const scene *of, int at, const char *kind)
{
    kit k;
    sm_error e = {0};
    kit_init(&k);
    of->make(&k);
    const int n_old_files = count_data_files(&k, "b/t");
    arm(at, kind);
    const sm_status st = change(&k, of->sql, &e);
    const bool fired = disarm(at);
    if (!fired) {
        assert_ok(st, &e);
    }
    check_after(&k, of, n_old_files, st);
    kit_release(&k);
    return fired;
}

static void fail_each(const scene *of)
{
    static const char *const kinds[] = {"error", "lost", "disk_full"};

    for (int kind = 0; kind < SM_COUNT(kinds); kind++) {
        int at = 1;
        while (fail_once(of, at, kinds[kind])) {
            at++;
        }
        assert_true(at > 5);
        const int64_t live = sm_live_allocs();
        for (int again = 1; again < at; again += 5) {
            fail_once(of, again, kinds[kind]);
            assert_int_equal(sm_live_allocs(), live);
        }
    }
}

static void test_failing_calls(void **state)
{
    for (int i = 0; i < SM_COUNT(statements); i++) {
        fail_each(&(scene){.sql = statements[i].sql,
                           .before = OLD_TEXT,
                           .after = statements[i].after,
                           .make = make_small,
                           .text = small_text});
    }
}

static void test_failing_calls_of_a_feed(void **state)
{
    for (int i = 1; i < SM_COUNT(statements); i++) { /* the first one adds rows only */
        fail_each(&(scene){.sql = statements[i].sql,
                           .before = OLD_TEXT,
                           .after = statements[i].after,
                           .make = make_recording,
                           .text = small_text});
    }
}

static void test_failing_calls_of_vectors(void **state)
{
    for (int i = 0; i < SM_COUNT(marking); i++) {
        fail_each(&marking[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_failing_calls),
                                       cmocka_unit_test(test_failing_calls_of_a_feed),
                                       cmocka_unit_test(test_failing_calls_of_vectors)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
