/* SPDX-License-Identifier: Apache-2.0
 *
 * exec/exec_memory_test.c: when memory is short, pressed or tight, and how much of it is for what:
 * on both sides of each edge, and without a limit. */
#include "test.h"

#include "exec/exec_memory_int.h"

#define KB     ((size_t)1024)
#define MB     ((size_t)1024 * KB)
#define LIMIT  (960 * MB)
#define NO_END ((size_t)0)

typedef struct kit {
    sm_budget *budget;
    sm_exec_env env;
    smi_execution exec;
} kit;

/* A run under a limit of which so much is left. */
static void kit_init(kit *k, size_t limit, size_t room, int n_drivers)
{
    *k = (kit){.budget = sm_budget_new(NULL, "test", limit)};
    k->env.budget = k->budget;
    k->exec = (smi_execution){.env = &k->env, .n_drivers = n_drivers};
    if (limit != NO_END) {
        sm_budget_force(k->budget, limit - room);
    }
}

static void kit_release(kit *k)
{
    sm_budget_give(k->budget, sm_budget_used(k->budget));
    sm_budget_free(k->budget);
}

static void test_levels(void **state)
{
    const struct {
        size_t room, more;
        bool is_short, is_pressed;
    } rows[] = {
        {LIMIT, 0, false, false},
        {LIMIT, LIMIT / 2, false, false},
        {LIMIT, LIMIT / 2 + 1, true, false},
        {LIMIT, SIZE_MAX, true, false},
        {LIMIT / 2, 0, false, false},
        {LIMIT / 2, 1, true, false},
        {LIMIT / 2 - 1, 0, true, false},
        {LIMIT / 4, 0, true, false},
        {LIMIT / 4 - 1, 0, true, true},
        {0, 0, true, true},
    };
    for (int i = 0; i < SM_COUNT(rows); i++) {
        kit k;
        kit_init(&k, LIMIT, rows[i].room, 2);
        assert_int_equal(smi_memory_is_short(&k.exec, rows[i].more), rows[i].is_short);
        assert_int_equal(smi_memory_is_pressed(&k.exec), rows[i].is_pressed);
        kit_release(&k);
    }
}

/* A third of a small limit, 64 MiB of a large one, stay free beside what running tasks may take. */
static void test_tight(void **state)
{
    const struct {
        size_t limit, room;
        int64_t n_running;
        bool is_tight;
    } rows[] = {
        {LIMIT, 0, 0, false},
        {LIMIT, 80 * MB, 1, false},
        {LIMIT, 80 * MB - 1, 1, true},
        {LIMIT, 192 * MB, 8, false},
        {LIMIT, 192 * MB - 1, 8, true},
        {96 * MB, 44 * MB, 1, false},
        {96 * MB, 44 * MB - 1, 1, true},
        {96 * MB, 56 * MB, 2, false},
        {96 * MB, 56 * MB - 1, 2, true},
    };
    for (int i = 0; i < SM_COUNT(rows); i++) {
        kit k;
        kit_init(&k, rows[i].limit, rows[i].room, 2);
        assert_int_equal(smi_memory_is_tight(&k.exec, rows[i].n_running), rows[i].is_tight);
        kit_release(&k);
    }
}

static void test_sizes(void **state)
{
    kit k;
    kit_init(&k, LIMIT, LIMIT / 2, 4);
    assert_int_equal(smi_memory_share(&k.exec), 120 * MB);
    assert_int_equal(smi_memory_least_run(&k.exec), 60 * MB);
    assert_true(smi_memory_may_read(&k.exec, 80 * MB));
    assert_false(smi_memory_may_read(&k.exec, 80 * MB + 1));
    assert_int_equal(smi_memory_request(120), 30);
    assert_int_equal(smi_memory_merge_runs(&k.exec, 12 * MB), 10);
    assert_int_equal(smi_memory_merge_runs(&k.exec, MB), 120);
    assert_int_equal(smi_memory_merge_runs(&k.exec, 2 * LIMIT), 2);
    assert_int_equal(smi_memory_join_parts_log(&k.exec, 0, 8), 1);
    assert_int_equal(smi_memory_join_parts_log(&k.exec, 241 * MB, 8), 2);
    assert_int_equal(smi_memory_join_parts_log(&k.exec, 2 * LIMIT, 8), 4);
    assert_int_equal(smi_memory_join_parts_log(&k.exec, 1000 * LIMIT, 8), 8);
    kit_release(&k);
}

static void test_groups(void **state)
{
    const struct {
        size_t tables, waiting, others;
        bool are_large;
    } rows[] = {
        {120 * MB, 0, 0, false},           {120 * MB + 1, 0, 0, true},       /* a share */
        {0, 240 * MB, 0, false},           {0, 240 * MB + 1, 0, true},       /* a quarter in all */
        {0, 60 * MB, 661 * MB, false},     {0, 60 * MB + 1, 661 * MB, true}, /* pressed */
        {0, 60 * MB + 1, 600 * MB, false},                                   /* not pressed */
    };
    for (int i = 0; i < SM_COUNT(rows); i++) {
        kit k;
        kit_init(&k, LIMIT, LIMIT - rows[i].others, 2);
        sm_budget *all = sm_budget_new(k.budget, "aggregate", 0);
        sm_budget *tables = sm_budget_new(all, "groups", 0);
        sm_budget_force(tables, rows[i].tables);
        sm_budget_force(all, rows[i].waiting);
        assert_int_equal(smi_memory_groups_are_large(&k.exec, tables, all), rows[i].are_large);
        sm_budget_give(tables, rows[i].tables);
        sm_budget_give(all, rows[i].waiting);
        sm_budget_free(tables);
        sm_budget_free(all);
        kit_release(&k);
    }
}

/* Few drivers wait with as little as many would where memory is nearly out. */
static void test_chunks_and_folds(void **state)
{
    const struct {
        size_t room;
        int n_drivers;
        size_t task, fold;
    } rows[] = {
        {LIMIT, 1, 120 * MB, 24 * MB},       {LIMIT, 4, 30 * MB, 24 * MB},
        {LIMIT, 16, 120 * MB / 16, 24 * MB}, {240 * MB, 1, 120 * MB, 15 * MB},
        {160 * MB, 1, 15 * MB, 10 * MB},     {16 * MB, 4, 15 * MB, MB},
        {16 * MB, 16, 120 * MB / 16, MB},
    };
    for (int i = 0; i < SM_COUNT(rows); i++) {
        kit k;
        kit_init(&k, LIMIT, rows[i].room, rows[i].n_drivers);
        assert_int_equal(smi_memory_task_chunks(&k.exec), rows[i].task);
        assert_int_equal(smi_memory_fold(&k.exec), rows[i].fold);
        kit_release(&k);
    }
}

static void test_without_a_limit(void **state)
{
    kit k;
    kit_init(&k, NO_END, 0, 2);
    sm_budget_force(k.budget, 1000 * LIMIT);
    assert_false(smi_memory_is_short(&k.exec, 1000 * LIMIT));
    assert_false(smi_memory_is_pressed(&k.exec));
    assert_false(smi_memory_is_tight(&k.exec, 1000));
    assert_true(smi_memory_may_read(&k.exec, LIMIT));
    assert_int_equal(smi_memory_fold(&k.exec), 24 * MB);
    assert_int_equal(smi_memory_join_parts_log(&k.exec, 1000 * LIMIT, 8), 1);
    kit_release(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_levels),
        cmocka_unit_test(test_tight),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_groups),
        cmocka_unit_test(test_chunks_and_folds),
        cmocka_unit_test(test_without_a_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
