/* SPDX-License-Identifier: Apache-2.0
 *
 * Engines: what they refuse, what runs share and what they do not. */
#include "test.h"

#include "base/thread.h"
#include "exec/exec.h"

#define MB ((size_t)1000 * 1000)

static sm_engine *engine_new(size_t limit)
{
    sm_engine *engine = NULL;
    sm_error e = {0};
    assert_ok(sm_engine_new(&(sm_engine_opts){.memory_limit = limit, .threads = 2}, &engine, &e),
              &e);
    return engine;
}

static void test_defaults(void **state)
{
    const sm_engine_opts opts = sm_engine_defaults();
    assert_true(opts.memory_limit > 96 * MB);
    assert_in_range(opts.threads, 1, 1024);
    assert_int_equal(opts.spill_dir.len, 0);
}

static void test_refused(void **state)
{
    const struct {
        size_t limit;
        int64_t threads;
        const char *what;
    } rows[] = {
        {96 * MB - 1, 1, "a memory limit of 95999999 bytes is too small"},
        {0, 1, "a memory limit of 0 bytes is too small"},
        {1000 * MB, 0, "0 threads: not in 1 … 1024"},
        {1000 * MB, -3, "-3 threads: not in 1 … 1024"},
        {1000 * MB, 1025, "1025 threads: not in 1 … 1024"},
    };
    const int64_t before = sm_live_allocs();
    for (int i = 0; i < SM_COUNT(rows); i++) {
        const sm_engine_opts opts = {.memory_limit = rows[i].limit, .threads = rows[i].threads};
        sm_engine *engine = NULL;
        sm_error e = {0};
        assert_status(sm_engine_new(&opts, &engine, &e), SM_USAGE, &e);
        assert_string_equal(e.what, rows[i].what);
        assert_null(engine);
    }
    assert_int_equal(sm_live_allocs(), before);
}

/* A host that holds more than the limit leaves nothing to count with. */
static void test_process_beyond_its_limit(void **state)
{
    const size_t bytes = 200 * MB;
    char *host = sm_alloc(bytes);
    memset(host, 1, bytes);
    const sm_engine_opts opts = {.memory_limit = 150 * MB, .threads = 1};
    sm_engine *engine = NULL;
    sm_error e = {0};
    assert_status(sm_engine_new(&opts, &engine, &e), SM_USAGE, &e);
    size_t named = 0; /* a sanitizer has its own part in it */
    assert_int_equal(sscanf(e.what,
                            "a memory limit of 150000000 bytes is too small: the process has %zu",
                            &named),
                     1);
    assert_true(named >= bytes);
    assert_int_equal(host[bytes - 1], 1);
    sm_free(host);
}

static void test_runs_share_memory(void **state)
{
    sm_engine *engine = engine_new(1000 * MB);
    sm_exec_env one, bounded;
    sm_error e = {0};
    sm_exec_env_init(&one, engine, &(sm_exec_share){0});
    sm_exec_env_init(&bounded, engine, &(sm_exec_share){.memory_bytes = 100 * MB});
    assert_int_equal(sm_engine_memory_limit(engine), 1000 * MB);
    const size_t all = sm_budget_limit(one.budget);
    assert_true(all < 920 * MB + 1);
    assert_int_equal(sm_budget_limit(bounded.budget), 100 * MB);

    assert_ok(sm_budget_take(one.budget, all - 60 * MB, &e), &e);
    assert_int_equal(sm_budget_room(bounded.budget), 60 * MB);
    assert_status(sm_budget_take(bounded.budget, 61 * MB, &e), SM_BUDGET, &e);
    assert_non_null(strstr(e.what, "\"the process\""));
    sm_budget_give(one.budget, all - 60 * MB);
    assert_status(sm_budget_take(bounded.budget, 101 * MB, &e), SM_BUDGET, &e);
    assert_non_null(strstr(e.what, "\"the run\""));
    assert_int_equal(sm_budget_peak(bounded.budget), 0); /* each has its own peak */
    assert_int_equal(sm_budget_peak(one.budget), all - 60 * MB);
    sm_exec_env_release(&one);
    sm_exec_env_release(&bounded);
    sm_exec_env_release(&bounded); /* {0} by now */
    sm_engine_free(engine);
}

static void test_each_run_has_its_flag(void **state)
{
    sm_engine *engine = engine_new(1000 * MB);
    sm_cancel flags[2] = {0};
    sm_exec_env env[3];
    sm_budget *operators[3];
    sm_error e = {0};
    for (int i = 0; i < 3; i++) { /* nobody stops the third */
        sm_exec_env_init(&env[i], engine, &(sm_exec_share){.cancel = i < 2 ? &flags[i] : NULL});
        operators[i] = sm_budget_new(env[i].budget, "operator", 0);
    }
    sm_cancel_set(&flags[1]);
    assert_ok(sm_check_cancel(operators[0], &e), &e);
    assert_status(sm_check_cancel(operators[1], &e), SM_INTERRUPTED, &e);
    assert_status(sm_check_cancel(env[1].budget, &e), SM_INTERRUPTED, &e);
    assert_ok(sm_check_cancel(operators[2], &e), &e);
    for (int i = 0; i < 3; i++) {
        sm_budget_free(operators[i]);
        sm_exec_env_release(&env[i]);
    }
    sm_engine_free(engine);
}

/* Two engines know nothing of each other; all ends with them. */
static void test_two_engines(void **state)
{
    const int64_t before = sm_live_allocs();
    sm_engine *engines[2];
    sm_exec_env env[2];
    sm_store *stores[2];
    sm_error e = {0};
    for (int i = 0; i < 2; i++) {
        engines[i] = engine_new(400 * MB);
        sm_exec_env_init(&env[i], engines[i], &(sm_exec_share){0});
        assert_ok(sm_store_open(env[i].stores, SM_STR("memory://bucket"), &stores[i], &e), &e);
        assert_ok(sm_store_put(stores[i], SM_STR("k"), i ? "1" : "0", 1, SM_PUT_IF_ABSENT, &e), &e);
    }
    assert_ok(sm_budget_take(env[0].budget, sm_budget_limit(env[0].budget), &e), &e);
    assert_ok(sm_budget_take(env[1].budget, MB, &e), &e);
    sm_budget_give(env[0].budget, sm_budget_limit(env[0].budget));
    sm_budget_give(env[1].budget, MB);
    for (int i = 0; i < 2; i++) {
        sm_store_release(stores[i]);
        sm_exec_env_release(&env[i]);
        sm_engine_free(engines[i]);
    }
    assert_int_equal(sm_live_allocs(), before);
}

static void hear(void *ctx, sm_log_level level, sm_str line)
{
    int *n_lines = ctx;
    assert_int_equal(level, SM_LOG_WARN);
    assert_true(sm_str_ends(line, SM_STR(" warn of this engine\n")));
    ++*n_lines;
}

static void test_each_engine_has_its_log(void **state)
{
    int n_lines = 0;
    sm_engine *told = NULL, *silent = engine_new(400 * MB);
    sm_error e = {0};
    const sm_engine_opts opts = {.memory_limit = 400 * MB,
                                 .threads = 1,
                                 .log = {.write = hear, .ctx = &n_lines, .level = SM_LOG_WARN}};
    assert_ok(sm_engine_new(&opts, &told, &e), &e);
    sm_engine *const engines[] = {told, silent};
    for (int i = 0; i < 2; i++) {
        sm_exec_env env;
        sm_store *s = NULL;
        sm_exec_env_init(&env, engines[i], &(sm_exec_share){0});
        assert_ok(sm_store_open(env.stores, SM_STR("memory://log"), &s, &e), &e);
        sm_log(sm_store_log(s), SM_LOG_WARN, "of this engine");
        sm_log(sm_store_log(s), SM_LOG_INFO, "not said");
        sm_store_release(s);
        sm_exec_env_release(&env);
        sm_engine_free(engines[i]);
    }
    assert_int_equal(n_lines, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_runs_share_memory),
        cmocka_unit_test(test_each_run_has_its_flag),
        cmocka_unit_test(test_two_engines),
        cmocka_unit_test(test_each_engine_has_its_log),
        cmocka_unit_test(test_process_beyond_its_limit), /* last: its peak stays */
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
