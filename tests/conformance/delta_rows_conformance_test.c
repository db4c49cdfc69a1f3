/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/conformance/delta_rows_conformance_test.c: the rows of the Delta project's golden
 * tables, scanned by the engine: their number, and the SHA-256 of the table and of each column.
 * A table that smelt cannot read yet is in `not_in_reach`, by name, with the reason: it must be
 * refused with that reason. */
#include "canonical.h"
#include "conformance.h"
#include "test.h"

#include "delta/delta.h"
#include "exec/exec.h"
#include "stores.h"

static const struct {
    const char *path;
    const char *reason; /* a part of the error */
} not_in_reach[] = {
    {"spark-variant-checkpoint", "variantType-preview"},
};

static const char *reason_not_in_reach(sm_str path)
{
    for (int i = 0; i < SM_COUNT(not_in_reach); i++) {
        if (sm_str_is(path, not_in_reach[i].path)) {
            return not_in_reach[i].reason;
        }
    }
    return NULL;
}

typedef struct scan {
    sm_arena *arena;
    sm_pool *pool;
    sm_budget *budget;
    sm_snapshot *snapshot;
    canonical_table table;
    const sm_type *schema;
    int32_t *columns;
    int64_t n_rows;
} scan;

static sm_status take_rows(void *ctx, sm_batch *rows, sm_waker waker, sm_error *e)
{
    scan *s = ctx;
    sm_batch *in_order = NULL;

    SM_TRY(sm_batch_project(rows, s->schema, s->columns, &in_order, e));
    s->n_rows += rows->n_rows;
    const sm_status st = add_batch(&s->table, in_order, e);
    sm_batch_release(in_order);
    return st;
}

/* A plan of one scan of all columns. */
static sm_plan *scan_plan(scan *s, const sm_dataset *d)
{
    sm_plan *plan = SM_NEW(s->arena, sm_plan);
    sm_plan_node *node = SM_NEW(s->arena, sm_plan_node);
    const int32_t n = d->schema->n_fields;
    int32_t *all = SM_NEW_ARRAY(s->arena, int32_t, n);

    for (int32_t i = 0; i < n; i++) {
        all[i] = i;
    }
    node->kind = SM_PLAN_SCAN;
    node->schema = d->schema;
    node->as.scan.dataset = d;
    node->as.scan.columns = all;
    node->as.scan.want.columns = all;
    node->as.scan.want.n_columns = n - d->n_constants;
    node->as.scan.label = SM_STR("table");
    plan->root = node;
    plan->n_nodes = 1;
    return plan;
}

static sm_status scan_table(scan *s, sm_store *store, sm_error *e)
{
    sm_dataset d;

    SM_TRY(sm_snapshot_open(store, SM_VERSION_LATEST, s->budget, &s->snapshot, e));
    SM_TRY(sm_snapshot_dataset(s->snapshot, s->arena, &d, &s->columns, e));
    s->schema = sm_snapshot_metadata(s->snapshot)->schema;
    const sm_exec_env env = {.pool = s->pool, .budget = s->budget, .stores = test_stores};
    const sm_sink sink = {.ctx = s, .push = take_rows};
    return sm_exec_run(scan_plan(s, &d), &env, &sink, NULL, NULL, e);
}

static int check_table(const char *folder, const sm_json *entry)
{
    char uri[4096];
    sm_error e = {0};
    sm_store *store = NULL;
    scan s = {.arena = sm_arena_new(NULL)};
    int n_bad = 0;

    const sm_str path = sm_json_text(sm_json_get(entry, "path"));
    snprintf(uri, sizeof(uri), "%s/%.*s", folder, SM_STR_ARG(path));
    s.budget = sm_budget_new(NULL, "conformance", (size_t)1 << 30);
    assert_ok(sm_pool_new(2, &s.pool, &e), &e);
    assert_ok(sm_store_open(test_stores, sm_str_of(uri), &store, &e), &e);
    const sm_status st = scan_table(&s, store, &e);
    const char *reason = reason_not_in_reach(path);
    if (reason) {
        printf("%.*s: not in reach: %s\n", SM_STR_ARG(path), reason);
        if (st != SM_UNSUPPORTED || !strstr(e.what, reason)) {
            printf("%.*s: %s %s\n", SM_STR_ARG(path), sm_status_name(st), e.what);
            n_bad++;
        }
    } else if (st != SM_OK) {
        printf("%.*s: %s: %s\n", SM_STR_ARG(path), sm_status_name(st), e.what);
        n_bad++;
    } else {
        n_bad += compare(path, entry, &s.table, s.n_rows);
    }
    release_table(&s.table);
    sm_snapshot_release(s.snapshot);
    sm_store_release(store);
    sm_pool_free(s.pool);
    sm_arena_free(s.arena);
    assert_int_equal(sm_budget_used(s.budget), 0);
    sm_budget_free(s.budget);
    return n_bad;
}

static void test_golden_rows(void **state)
{
    const char *folder = conformance_folder("delta-golden");
    sm_arena *a = sm_arena_new(NULL);
    sm_store *store = NULL;
    sm_buf text = {0};
    const sm_json *doc = NULL;
    sm_error e = {0};
    int n_tables = 0, n_bad = 0;

    assert_ok(sm_store_open(test_stores, sm_str_of(folder), &store, &e), &e);
    assert_ok(sm_store_get(store, SM_STR("expected.json"), &text, &e), &e);
    assert_ok(sm_json_parse(sm_buf_str(&text), a, &doc, &e), &e);
    const sm_json *entries = sm_json_get(doc, "entries");
    assert_non_null(entries);
    for (const sm_json *entry = entries->child; entry; entry = entry->next) {
        if (sm_str_is(sm_json_text(sm_json_get(entry, "expect")), "rows")) {
            n_tables++;
            n_bad += check_table(folder, entry) > 0;
        }
    }
    printf("%d tables, %d not as expected\n", n_tables, n_bad);
    assert_int_equal(n_tables, 90);
    assert_int_equal(n_bad, 0);
    sm_buf_release(&text);
    sm_store_release(store);
    sm_arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
