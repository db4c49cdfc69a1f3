/* SPDX-License-Identifier: Apache-2.0
 *
 * flow/flow_judged_test.c: what is kept of a run's verdicts where another run writes meanwhile:
 * only what is true of the version that was published. What a check then tells is what one tells
 * that reads all. tests/cli/test_judged.py has all that happens without other writers. */
#include "flow/flow_int.h"
#include "orders.h"

#define DAY_US INT64_C(86400000000)

static const char pipeline_text[] =
    "name: shop\n"
    "vars: {day: {type: date}, lake: {type: uri}}\n"
    "lake: lake\n"
    "tasks:\n"
    "  - {table: silver.orders, sql: orders.sql, append: day, contract: orders.yaml}\n"
    "  - {table: gold.sums, sql: sums.sql, contract: sums.yaml}\n";
#define HEAD "apiVersion: v3.1.0\nkind: DataContract\nid: shop\nversion: 1.0.0\nstatus: active\n"
static const char orders_yaml[] =
    HEAD "schema: [{name: orders, properties: [{name: id, logicalType: integer, "
         "logicalTypeOptions: {minimum: 0}}]}]\n";
/* The rule counts the rows of the other table. */
static const char sums_yaml[] =
    HEAD "schema: [{name: sums, properties: [{name: ids}], quality: [{name: q, type: sql, "
         "query: SELECT count(*) FROM silver.orders, mustBeGreaterThan: 0}]}]\n";

typedef struct shop {
    kit k;
    sm_store *files;
    sm_pipeline *pipeline;
    const char *lake; /* of the test alone */
} shop;

static void shop_init(shop *s, const char *lake)
{
    sm_error e = {0};
    *s = (shop){.lake = lake};
    kit_init(&s->k);
    s->files = open_store("memory://judged");
    put_text(s->files, "shop.yaml", pipeline_text);
    put_text(s->files, "orders.sql", "SELECT day(var('day')) AS id, var('day') AS day");
    put_text(s->files, "sums.sql", "SELECT sum(id) AS ids FROM silver.orders");
    put_text(s->files, "orders.yaml", orders_yaml);
    put_text(s->files, "sums.yaml", sums_yaml);
    assert_ok(sm_pipeline_open(test_stores, SM_STR("memory://judged/shop.yaml"), &s->pipeline, &e),
              &e);
}

static void shop_release(shop *s)
{
    sm_pipeline_close(s->pipeline);
    sm_store_release(s->files);
    kit_release(&s->k);
}

/* Opens a run of that day of May 2022, and does its tasks. */
static sm_run *do_tasks(shop *s, int day, const char *select)
{
    const int64_t start_us = (19112 + day) * DAY_US;
    const sm_pair lake = {SM_STR("lake"), sm_arena_strf(s->k.arena, "memory://judged/%s", s->lake)};
    const sm_run_opts opts = {.vars = &lake,
                              .n_vars = 1,
                              .interval = {start_us, start_us + DAY_US},
                              .task = sm_str_of(select)};
    sm_run *r = NULL;
    sm_error e = {0};

    assert_ok(sm_run_open(s->pipeline, &opts, &s->k.env, &r, &e), &e);
    for (int32_t i = 0; i < sm_run_tasks(r); i++) {
        assert_ok(sm_run_task(r, i, NULL, &e), &e);
    }
    return r;
}

static void publish(sm_run *r)
{
    sm_error e = {0};
    assert_ok(sm_run_publish(r, NULL, &e), &e);
    assert_int_equal(r->report->n_warnings, 0);
}

static void run_whole(shop *s, int day, const char *select)
{
    sm_run *r = do_tasks(s, day, select);
    publish(r);
    sm_run_close(r, NULL);
}

static const sm_verdict *check(shop *s, const char *contract, const char *table, bool keeps)
{
    sm_arena *a = s->k.arena;
    sm_contract *c = NULL;
    sm_verdict *v = NULL;
    sm_error e = {0};

    assert_ok(sm_contract_read(SM_STR("c.yaml"), sm_str_of(contract), a, &c, &e), &e);
    const sm_checked_rows in = {
        .contract = c,
        .table = &c->tables[0],
        .uri = sm_arena_strf(a, "memory://judged/%s/%s", s->lake, table),
        .keeps = keeps,
    };
    assert_ok(sm_contract_check(&in, &s->k.env, a, &v, &e), &e);
    assert_int_equal(v->notes[0].len + v->notes[1].len, 0);
    return v;
}

/* Checks a table for the first time behind a run; was its verdict kept by that? */
static bool is_kept(shop *s, const char *contract, const char *table)
{
    const sm_verdict *want = check(s, contract, table, false),
                     *is = check(s, contract, table, true);

    assert_int_equal(is->n_rows, want->n_rows);
    for (int64_t i = 0; i < want->table->n_rules; i++) {
        assert_int_equal(is->rules[i].count.n_rows, want->rules[i].count.n_rows);
        assert_int_equal(is->rules[i].count.n_broken, want->rules[i].count.n_broken);
        assert_true(is->rules[i].count.measure == want->rules[i].count.measure);
    }
    assert_true(check(s, contract, table, true)->is_kept);
    return is->is_kept;
}

static void test_nobody_else_writes(void **state)
{
    shop s;
    shop_init(&s, "alone");
    run_whole(&s, 1, "");
    assert_true(is_kept(&s, orders_yaml, "silver/orders"));
    assert_true(is_kept(&s, sums_yaml, "gold/sums"));
    run_whole(&s, 2, "");
    assert_true(is_kept(&s, sums_yaml, "gold/sums"));
    assert_false(is_kept(&s, orders_yaml, "silver/orders")); /* older rows are beside the new */
    shop_release(&s);
}

/* Another run adds rows between what this one has judged and what it publishes. */
static void test_rows_come_before_the_publication(void **state)
{
    shop s;
    shop_init(&s, "before");
    run_whole(&s, 1, "");
    sm_run *r = do_tasks(&s, 2, "");
    run_whole(&s, 3, "silver.orders");
    publish(r);
    sm_run_close(r, NULL);
    assert_false(is_kept(&s, orders_yaml, "silver/orders"));
    assert_int_equal(check(&s, orders_yaml, "silver/orders", true)->n_rows, 3);
    /* two rows were judged as the table that the rule reads, which has three */
    assert_false(is_kept(&s, sums_yaml, "gold/sums"));
    assert_true(check(&s, sums_yaml, "gold/sums", true)->rules[0].count.measure == 3);
    shop_release(&s);
}

/* Deletes what is kept beside a table; how many objects it was. */
static int64_t forget(shop *s, const char *table)
{
    sm_arena *a = s->k.arena;
    sm_entry *found = NULL;
    int64_t n = 0;
    sm_error e = {0};

    assert_ok(sm_store_list(s->files, sm_arena_strf(a, "%s/%s/_smelt/verdicts/", s->lake, table),
                            false, a, &found, &n, &e),
              &e);
    for (int64_t i = 0; i < n; i++) {
        assert_ok(sm_store_delete(s->files, found[i].key, &e), &e);
    }
    return n;
}

/* Another run adds rows behind the publication, before the verdict is kept. */
static void test_rows_come_behind_the_publication(void **state)
{
    shop s;
    shop_init(&s, "behind");
    sm_run *r = do_tasks(&s, 1, "");
    publish(r);
    run_whole(&s, 2, "silver.orders");
    assert_int_equal(forget(&s, "silver/orders"), 2);
    assert_int_equal(forget(&s, "gold/sums"), 2);
    smi_flow_judged_keep(r);
    assert_int_equal(forget(&s, "silver/orders"), 0);
    assert_int_equal(r->report->n_warnings, 0);
    sm_run_close(r, NULL);
    assert_false(is_kept(&s, sums_yaml, "gold/sums"));
    assert_false(is_kept(&s, orders_yaml, "silver/orders"));
    shop_release(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nobody_else_writes),
        cmocka_unit_test(test_rows_come_before_the_publication),
        cmocka_unit_test(test_rows_come_behind_the_publication),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
