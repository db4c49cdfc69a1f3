/* SPDX-License-Identifier: Apache-2.0
 *
 * flow/flow_run_test.c: a run step by step. Its steps can be read and are told to a listener; a run
 * that is closed before it publishes leaves nothing; a task that failed runs again, and the tables
 * and the quarantine are then what they are without the failure, wherever it struck; the quarantine
 * has one data file for each task that added lines. */
#include <stdlib.h>

#include "base/time.h"
#include "flow/flow_int.h"
#include "orders.h"

#define DAY_US INT64_C(86400000000)

/* Two tasks read the source: the first the lines of one day, the second those of all days. */
static const char pipeline_text[] = "name: shop\n"
                                    "vars:\n"
                                    "  logs: {type: uri}\n"
                                    "  lake: {type: uri}\n"
                                    "  day: {type: date}\n"
                                    "  month: {type: month}\n"
                                    "lake: lake\n"
                                    "sources:\n"
                                    "  - {name: logs, quarantine: bad.orders}\n"
                                    "tasks:\n"
                                    "  - {table: mart.sums, sql: sums.sql}\n"
                                    "  - {table: raw.first, sql: first.sql}\n"
                                    "  - {load: raw.orders, from: logs, sql: orders.sql, by: day}\n"
                                    "  - {view: mart.days, sql: days.sql}\n";
#define READ                                                                                       \
    "read_json(var('logs'), columns => {id: 'BIGINT'}, file_date => true, "                        \
    "bad_lines => 'quarantine', validate => 'all')"

static void put_pipeline(const char *at)
{
    sm_store *s = open_store(at);
    put_text(s, "shop.yaml", pipeline_text);
    put_text(s, "first.sql", "SELECT id FROM " READ " WHERE file_date = DATE '2022-04-01'");
    put_text(s, "orders.sql", "SELECT id, file_date AS day FROM " READ);
    put_text(s, "sums.sql", "SELECT day, sum(id) AS ids FROM raw.orders GROUP BY day");
    put_text(s, "days.sql", "SELECT DISTINCT day, var('day') AS today FROM raw.orders");
    put_text(s, "logs/20220401.json", "{\"id\": 1}\n{\"id\": \"one\"}\n{\"id\": 2}\n");
    put_text(s, "logs/20220402.json", "{\"id\": 3\n{\"id\": 4}\n");
    put_text(s, "logs/20220403.json", "{\"id\": 5}\n{}\n{\"id\": []}\n");
    sm_store_release(s);
}

/* What the listener was told. */
typedef struct told {
    int n_begun, n_ended, n_failed;
    int32_t task, attempt;
    const sm_progress *progress;
} told;

static void on_begin(void *ctx, const sm_task_begin *b)
{
    told *t = ctx;
    assert_int_equal(t->n_begun, t->n_ended);
    assert_int_equal(b->n_tasks, 4);
    assert_int_equal(atomic_load(&b->progress->rows), 0);
    t->n_begun++;
    t->task = b->task;
    t->attempt = b->attempt;
    t->progress = b->progress;
}

static void on_end(void *ctx, const sm_task_report *r)
{
    told *t = ctx;
    t->n_ended++;
    t->n_failed += r->status != SM_OK;
    assert_int_equal(t->n_begun, t->n_ended);
    assert_int_equal(r->task, t->task);
    assert_int_equal(r->attempt, t->attempt);
    assert_true(r->wall_ns >= 0);
    assert_true(r->status == SM_OK || (r->rows == 0 && r->bytes == 0));
}

typedef struct shop {
    kit k;
    sm_pipeline *pipeline;
    sm_str lake;
    told told;
} shop;

static void shop_init(shop *s)
{
    sm_error e = {0};
    *s = (shop){0};
    kit_init(&s->k);
    put_pipeline("memory://shop");
    s->lake = SM_STR("memory://shop/lake");
    assert_ok(sm_pipeline_open(test_stores, SM_STR("memory://shop/shop.yaml"), &s->pipeline, &e),
              &e);
}

static void shop_release(shop *s)
{
    sm_pipeline_close(s->pipeline);
    kit_release(&s->k);
}

static sm_status shop_open_again(shop *s, sm_str id, int64_t since_us, sm_run **out, sm_error *e)
{
    const sm_pair vars[] = {{SM_STR("logs"), SM_STR("memory://shop/logs")},
                            {SM_STR("lake"), s->lake}};
    const sm_run_opts opts = {
        .vars = vars,
        .n_vars = SM_COUNT(vars),
        .interval = {19113 * DAY_US + DAY_US / 4, 19114 * DAY_US}, /* 2022-05-01 06:00 */
        .run_id = id,
        .earlier = {.since_us = since_us},
        .listener = {.ctx = &s->told, .begin = on_begin, .end = on_end},
    };
    return sm_run_open(s->pipeline, &opts, &s->k.env, out, e);
}

static sm_status shop_open(shop *s, sm_run **out, sm_error *e)
{
    return shop_open_again(s, SM_STR(""), 0, out, e);
}

static const char *shop_text(shop *s)
{
    static const char *const queries[] = {
        "SELECT * FROM raw.first ORDER BY id",
        "SELECT * FROM raw.orders ORDER BY id",
        "SELECT * FROM mart.sums ORDER BY day",
        "SELECT file, line, \"column\", reason FROM bad.orders ORDER BY file, line",
    };
    sm_error e = {0};
    sm_buf all = {0};
    sm_names *n = sm_names_new(test_stores, s->lake, s->k.budget);
    for (int i = 0; i < SM_COUNT(queries); i++) {
        const char *text = NULL;
        assert_ok(sql_text(&s->k, n, queries[i], &text, &e), &e);
        sm_buf_printf(&all, "%s\n", text);
    }
    sm_names_free(n);
    const char *out = sm_arena_str(s->k.arena, sm_buf_str(&all)).data;
    sm_buf_release(&all);
    return out;
}

/* ---- one run --------------------------------------------------------------------------------- */

static void test_steps(void **state)
{
    static const struct {
        const char *name;
        sm_task_kind kind;
        int32_t need; /* −1: none */
    } want[] = {
        {"raw.first", SM_TASK_TABLE, -1},
        {"raw.orders", SM_TASK_LOAD, -1},
        {"mart.sums", SM_TASK_TABLE, 1},
        {"mart.days", SM_TASK_VIEW, 1},
    };
    sm_error e = {0};
    shop s;
    sm_run *r = NULL;
    sm_task_report task;
    sm_publication published = {0};
    sm_run_report report;
    shop_init(&s);
    assert_ok(shop_open(&s, &r, &e), &e);
    assert_int_equal(sm_run_tasks(r), SM_COUNT(want));
    for (int32_t i = 0; i < SM_COUNT(want); i++) {
        const sm_run_step step = sm_run_step_of(r, i);
        assert_true(sm_str_is(step.name, want[i].name));
        assert_int_equal(step.kind, want[i].kind);
        assert_int_equal(step.n_needs, want[i].need >= 0);
        assert_true(step.n_needs == 0 || step.needs[0] == want[i].need);
    }
    assert_ok(sm_run_task(r, 1, &task, &e), &e); /* what needs nothing may come in any order */
    assert_int_equal(task.rows, 5);
    assert_int_equal(atomic_load(&s.told.progress->rows), 5);
    assert_ok(sm_run_task(r, 2, NULL, &e), &e);
    assert_ok(sm_run_task(r, 0, NULL, &e), &e);
    assert_ok(sm_run_task(r, 3, &task, &e), &e);
    assert_true(sm_str_is(task.name, "mart.days") && task.rows == 0);
    assert_ok(sm_run_publish(r, &published, &e), &e);
    assert_int_equal(published.n_tables, 5); /* four tasks, and the quarantine */
    sm_run_close(r, &report);
    assert_int_equal(report.n_tables, 5);
    assert_int_equal(report.counts.refused, 3);
    assert_int_equal(s.told.n_ended, 4);
    sm_run_report_release(&report);
    shop_release(&s);
}

static void test_the_day_and_month_are_of_the_interval_s_start(void **state)
{
    sm_error e = {0};
    shop s;
    sm_run *r = NULL;
    shop_init(&s);
    assert_ok(shop_open(&s, &r, &e), &e);
    assert_int_equal(r->vars[2].as.i, 19113);
    assert_true(sm_str_is(r->vars[3].as.s, "2022-05"));
    assert_true(sm_str_starts(r->id, SM_STR("shop-2022-05-01T06:00:00Z-")));
    sm_run_close(r, NULL);
    shop_release(&s);
}

static void test_a_run_that_is_closed_early_leaves_nothing(void **state)
{
    for (int32_t n = 0; n <= 4; n++) {
        sm_error e = {0};
        shop s;
        sm_run *r = NULL;
        shop_init(&s);
        s.lake = SM_STR("memory://shop/early");
        assert_ok(shop_open(&s, &r, &e), &e);
        for (int32_t i = 0; i < n; i++) {
            assert_ok(sm_run_task(r, i, NULL, &e), &e);
        }
        sm_run_close(r, NULL);
        sm_store *lake = open_store(s.lake.data);
        char names[1024];
        list_text(lake, "", false, names);
        assert_string_equal(names, "");
        sm_store_release(lake);
        shop_release(&s);
    }
}

/* Two runs of one pipeline into two lakes, a step of each in turn; one gives up, the other is as
 * if it had been alone. */
static void test_steps_of_two_runs_alternate(void **state)
{
    sm_error e = {0};
    shop s;
    sm_run *runs[3] = {0};
    const char *texts[3] = {0};
    shop_init(&s);
    for (int k = 0; k < 3; k++) {
        s.lake = sm_arena_strf(s.k.arena, "memory://shop/turn-%d", k);
        assert_ok(shop_open(&s, &runs[k], &e), &e);
    }
    for (int32_t i = 0; i < 4; i++) {
        assert_ok(sm_run_task(runs[0], i, NULL, &e), &e);
        assert_ok(sm_run_task(runs[1], i, NULL, &e), &e);
        if (i < 2) {
            assert_ok(sm_run_task(runs[2], i, NULL, &e), &e);
        }
    }
    sm_run_close(runs[2], NULL);
    for (int k = 0; k < 2; k++) {
        assert_ok(sm_run_publish(runs[k], NULL, &e), &e);
        sm_run_close(runs[k], NULL);
        s.lake = sm_arena_strf(s.k.arena, "memory://shop/turn-%d", k);
        texts[k] = shop_text(&s);
    }
    assert_string_equal(texts[0], texts[1]);
    assert_non_null(strstr(texts[0], "20220401.json"));
    shop_release(&s);
}

/* How many data files the quarantine has. */
static int64_t quarantine_files(const shop *s)
{
    sm_error e = {0};
    sm_snapshot *snapshot = NULL;
    int64_t n = 0;
    sm_store *table =
        open_store(sm_arena_strf(s->k.arena, "%.*s/bad/orders", SM_STR_ARG(s->lake)).data);
    assert_ok(sm_snapshot_open(table, SM_VERSION_LATEST, s->k.budget, &snapshot, &e), &e);
    sm_snapshot_files(snapshot, &n);
    sm_snapshot_release(snapshot);
    sm_store_release(table);
    return n;
}

/* ---- failures -------------------------------------------------------------------------------- */

/* Call `at` of those that reach stores fails, once; 0: none, they are only counted. */
static void plan_fault(int64_t at)
{
    char plan[64];
    snprintf(plan, sizeof(plan), "at=%lld,kind=error", (long long)at);
    assert_int_equal(setenv("SMELT_FAULT", plan, 1), 0);
}

static int64_t count_calls(void)
{
    sm_store *s = open_store("memory://shop");
    const int64_t n = sm_fault_calls(s);
    sm_store_release(s);
    return n;
}

/* A run of which each step that fails is done again: a task by itself, what comes before and after
 * the tasks by a new run. `last`: a task that is done again after all others; −1: at once. */
static void run_stubbornly(shop *s, const int32_t *tasks, int32_t last)
{
    sm_error e = {0};
    sm_run *r = NULL;
    sm_run_report report;
    bool is_done = false;
    for (int n_runs = 0; !is_done; n_runs++) {
        assert_true(n_runs < 3);
        if (shop_open(s, &r, &e) != SM_OK) {
            continue;
        }
        bool has_left_one = false;
        for (int32_t i = 0; i < 4; i++) {
            const sm_status st = sm_run_task(r, tasks[i], NULL, &e);
            if (st != SM_OK) {
                assert_status(st, SM_IO, &e);
                has_left_one = tasks[i] == last;
                assert_ok(has_left_one ? SM_OK : sm_run_task(r, tasks[i], NULL, &e), &e);
            }
        }
        if (has_left_one) {
            assert_ok(sm_run_task(r, last, NULL, &e), &e);
        }
        is_done = sm_run_publish(r, NULL, &e) == SM_OK;
        sm_run_close(r, &report);
        if (is_done && n_runs == 0) { /* a file's lines count once, however often they were read */
            assert_int_equal(report.counts.lines, 8);
            assert_int_equal(report.counts.refused, 3);
            assert_int_equal(report.files_read, 3);
        }
        sm_run_report_release(&report);
    }
}

/* One thread: which call has which number is fixed but for reads. */
static void test_a_task_that_failed_runs_again(void **state)
{
    static const struct {
        int32_t tasks[4], last;
        int64_t n_files; /* of the quarantine: one for each task that added lines */
    } cases[] = {
        {{0, 1, 2, 3}, -1, 2},
        {{1, 0, 2, 3}, -1, 1},
        {{0, 1, 2, 3}, 0, -1}, /* which task adds the lines depends on which fails */
    };
    shop s;
    shop_init(&s);
    const char *want = NULL;
    int n_retried = 0;
    for (int k = 0; k < SM_COUNT(cases); k++) {
        int64_t n_calls = 1;
        for (int64_t at = 0; at <= n_calls; at++) {
            s.told = (told){0};
            s.lake = sm_arena_strf(s.k.arena, "memory://shop/lake-%d-%d", k, (int)at);
            plan_fault(at);
            run_stubbornly(&s, cases[k].tasks, cases[k].last);
            n_calls = at == 0 ? count_calls() : n_calls;
            assert_int_equal(unsetenv("SMELT_FAULT"), 0);
            want = want ? want : shop_text(&s);
            assert_string_equal(shop_text(&s), want);
            if (cases[k].n_files >= 0) {
                assert_int_equal(quarantine_files(&s), cases[k].n_files);
            }
            n_retried += s.told.n_failed;
        }
    }
    assert_true(n_retried > 50);
    shop_release(&s);
}

/* What the run has published is left out, whichever process has done it; not what another run or
 * the same one before it was cleared has. */
static void test_a_run_that_has_published_leaves_that_out(void **state)
{
    const int64_t begin = sm_now_us();
    shop s;
    shop_init(&s);
    sm_run *r = NULL;
    sm_error e = {0};
    assert_ok(shop_open_again(&s, SM_STR("one"), begin, &r, &e), &e);
    assert_int_equal(sm_run_tasks(r), 4); /* it has published nothing */
    for (int32_t i = 0; i < 4; i++) {
        assert_ok(sm_run_task(r, i, NULL, &e), &e);
    }
    assert_ok(sm_run_publish(r, NULL, &e), &e);
    sm_run_close(r, NULL);
    const struct {
        const char *id;
        int64_t since_us;
        int32_t n_tasks;
    } cases[] = {
        {"one", begin, 0},
        {"one", 0, 4},
        {"two", begin, 4},
        {"one", sm_now_us() + 1000000, 4},
    };
    for (int i = 0; i < SM_COUNT(cases); i++) {
        assert_ok(shop_open_again(&s, sm_str_of(cases[i].id), cases[i].since_us, &r, &e), &e);
        assert_int_equal(sm_run_tasks(r), cases[i].n_tasks);
        sm_run_close(r, NULL);
    }
    shop_release(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_steps),
        cmocka_unit_test(test_the_day_and_month_are_of_the_interval_s_start),
        cmocka_unit_test(test_a_run_that_is_closed_early_leaves_nothing),
        cmocka_unit_test(test_steps_of_two_runs_alternate),
        cmocka_unit_test(test_a_task_that_failed_runs_again),
        cmocka_unit_test(test_a_run_that_has_published_leaves_that_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
