/* query/function/functions_test.c: the example of every function gives its answer; the list is
 * sorted. */
#include "test.h"

#include "query/function/function_int.h"

static void test_sorted(void **unused)
{
    int32_t n = 0;
    const sm_function *const fns = sm_functions(&n);
    for (int32_t i = 1; i < n; i++) {
        if (strcmp(fns[i - 1].name, fns[i].name) >= 0) {
            fail_msg("%s stands before %s", fns[i - 1].name, fns[i].name);
        }
    }
    assert_ptr_equal(smi_function_named(SM_STR("SUBSTR")), smi_function_named(SM_STR("substr")));
    assert_null(smi_function_named(SM_STR("sub")));
    assert_string_equal(smi_function_nearest(SM_STR("substrng")), "substring");
}

/* ---- scalars --------------------------------------------------------------------------------- */

static void check_scalar(const sm_function *fn)
{
    static const sm_type none = {.id = SM_TYPE_STRUCT};
    sm_error e = {0};
    sm_arena *const a = sm_arena_new(NULL);
    sm_budget *const budget = sm_budget_new(NULL, "test", 0);
    sm_batch *batch = NULL;
    sm_column c = {0};
    sm_buf text = {0};
    const sm_expr *x = NULL;
    const sm_sql sql = {sm_str_of(fn->name), sm_str_of(fn->example)};
    assert_ok(sm_query_expr(&sql, &none, NULL, a, &x, &e), &e);
    assert_ok(sm_batch_new(budget, &none, &batch, &e), &e);
    batch->n_rows = 3;
    assert_ok(sm_expr_eval(x, batch, NULL, batch, &c, &e), &e);
    assert_int_equal(c.n_rows, 3);
    sm_column_print(&c, 2, &text);
    if (!sm_str_is(sm_buf_str(&text), fn->answer)) {
        fail_msg("%s: %s gives %.*s, not %s", fn->name, fn->example, (int)text.len,
                 (const char *)text.data, fn->answer);
    }
    sm_buf_release(&text);
    sm_batch_release(batch);
    sm_budget_free(budget);
    sm_arena_free(a);
}

/* ---- aggregates and windows ------------------------------------------------------------------ */

/* (x, s) = (1, 'b'), (2, 'a'), (2, NULL), (NULL, 'c'), in the order of `rows`. */
static sm_batch *rows_of(sm_budget *budget, const sm_type *schema, const int *rows, int n)
{
    static const char *const s[] = {"b", "a", NULL, "c"};
    static const int64_t v[] = {1, 2, 2, -1};
    sm_error e = {0};
    sm_batch *batch = NULL;
    assert_ok(sm_batch_new(budget, schema, &batch, &e), &e);
    sm_builder *const x = sm_builder_new(&sm_type_i64, budget);
    sm_builder *const t = sm_builder_new(&sm_type_string, budget);
    for (int i = 0; i < n; i++) {
        v[rows[i]] < 0 ? sm_builder_null(x) : sm_builder_i64(x, v[rows[i]]);
        s[rows[i]] ? sm_builder_str(t, sm_str_of(s[rows[i]])) : sm_builder_null(t);
    }
    assert_ok(sm_builder_finish(x, batch, &batch->columns[0], &e), &e);
    assert_ok(sm_builder_finish(t, batch, &batch->columns[1], &e), &e);
    sm_builder_free(x);
    sm_builder_free(t);
    batch->n_rows = n;
    return batch;
}

typedef struct setup {
    sm_arena *arena;
    sm_budget *budget;
    const sm_type *schema;
    sm_dataset dataset;
} setup;

static sm_status resolve_table(void *ctx, const sm_str *parts, int32_t n, sm_arena *a,
                               sm_relation *out, sm_error *e)
{
    setup *const s = ctx;
    *out = (sm_relation){.dataset = &s->dataset, .label = SM_STR("t")};
    return SM_OK;
}

static void setup_init(setup *s)
{
    s->arena = sm_arena_new(NULL);
    s->budget = sm_budget_new(NULL, "test", 0);
    const sm_field fields[] = {
        {.name = SM_STR("x"), .type = &sm_type_i64, .is_nullable = true},
        {.name = SM_STR("s"), .type = &sm_type_string, .is_nullable = true},
    };
    s->schema = sm_type_struct(s->arena, fields, 2);
    s->dataset = (sm_dataset){.schema = s->schema};
}

static void setup_release(setup *s)
{
    sm_budget_free(s->budget);
    sm_arena_free(s->arena);
}

/* The plan of SELECT example FROM t; returns the node of the kind. */
static sm_plan_node *plan_of(setup *s, const char *example, sm_plan_kind kind)
{
    sm_error e = {0};
    sm_plan *plan = NULL;
    const sm_resolver resolver = {.ctx = s, .table = resolve_table};
    const sm_sql sql = {SM_STR("example"), sm_arena_strf(s->arena, "SELECT %s FROM t", example)};
    assert_ok(sm_query_plan(&sql, &resolver, s->arena, &plan, &e), &e);
    sm_plan_node *n = plan->root;
    while (n->kind != kind) {
        assert_true(n->n_inputs == 1);
        n = n->inputs[0];
    }
    return n;
}

/* Which column of rows_of each column of the node's input is. */
static void args_of(const sm_plan_node *scan, const sm_batch *all, sm_batch *shown,
                    sm_column columns[2])
{
    *shown = *all;
    for (int32_t i = 0; i < scan->schema->n_fields; i++) {
        columns[i] = all->columns[scan->as.scan.columns[i]];
    }
    shown->columns = columns;
    shown->n_columns = scan->schema->n_fields;
}

/* Half of the rows into one state, half into another, merged; then all at once: both agree. */
static void check_aggregate(const sm_function *fn, bool split)
{
    static const int order[] = {0, 1, 2, 3};
    setup s;
    sm_error e = {0};
    setup_init(&s);
    const sm_plan_node *const agg = plan_of(&s, fn->example, SM_PLAN_AGGREGATE);
    const sm_expr *const call = agg->as.aggregate.items[0].call;
    const sm_aggregate *const ops = call->fn->aggregate;
    sm_agg_heap *const heap = sm_agg_heap_new(s.budget), *const other = sm_agg_heap_new(s.budget);
    void *const one = sm_alloc_zero(ops->state_bytes + 8);
    void *const two = sm_alloc_zero(ops->state_bytes + 8);
    for (int part = 0; part < (split ? 2 : 1); part++) {
        sm_batch *const batch =
            rows_of(s.budget, s.schema, split ? order + 2 * part : order, split ? 2 : 4);
        sm_batch shown;
        sm_column columns[2], args[2];
        void *states[4];
        args_of(agg->inputs[0], batch, &shown, columns);
        for (int32_t i = 0; i < call->n_args; i++) {
            assert_ok(sm_expr_eval(call->args[i], &shown, NULL, batch, &args[i], &e), &e);
        }
        for (int i = 0; i < 4; i++) {
            states[i] = part == 0 ? one : two;
        }
        assert_ok(ops->update(call, args, call->n_args, batch->n_rows, states,
                              part == 0 ? heap : other, &e),
                  &e);
        sm_batch_release(batch);
    }
    if (split) {
        void *const into[] = {one};
        const void *const from[] = {two};
        assert_ok(ops->merge(call, into, from, 1, heap, &e), &e);
    }
    sm_agg_heap_free(other);
    sm_builder *const b = sm_builder_new(call->type, s.budget);
    const void *const states[] = {one};
    int64_t failed = -1;
    assert_ok(ops->finish(call, states, 1, b, &failed, &e), &e);
    sm_batch *out = NULL;
    sm_column c = {0};
    sm_buf text = {0};
    assert_ok(sm_batch_new(s.budget, s.schema, &out, &e), &e);
    assert_ok(sm_builder_finish(b, out, &c, &e), &e);
    sm_column_print(&c, 0, &text);
    if (!sm_str_is(sm_buf_str(&text), fn->answer)) {
        fail_msg("%s gives %.*s, not %s", fn->example, (int)text.len, (const char *)text.data,
                 fn->answer);
    }
    sm_buf_release(&text);
    sm_builder_free(b);
    sm_batch_release(out);
    sm_agg_heap_free(heap);
    sm_free(one);
    sm_free(two);
    setup_release(&s);
}

/* Stable insertion sort of the four rows by the item's order keys. */
static void sort_rows(const sm_window_item *w, const sm_batch *in, sm_batch *scratch, int *rows)
{
    sm_error e = {0};
    for (int32_t k = 0; k < w->n_order; k++) {
        sm_column c = {0};
        assert_ok(sm_expr_eval(w->order[k].expr, in, NULL, scratch, &c, &e), &e);
        for (int i = 1; i < 4; i++) {
            for (int j = i; j > 0 && sm_column_cmp(&c, rows[j - 1], &c, rows[j]) > 0; j--) {
                const int row = rows[j];
                rows[j] = rows[j - 1];
                rows[j - 1] = row;
            }
        }
    }
}

static void check_window(const sm_function *fn)
{
    static const int order[] = {0, 1, 2, 3};
    int rows[] = {0, 1, 2, 3};
    setup s;
    sm_error e = {0};
    setup_init(&s);
    const sm_plan_node *const node = plan_of(&s, fn->example, SM_PLAN_WINDOW);
    const sm_window_item *const w = &node->as.window.items[0];
    sm_batch *const batch = rows_of(s.budget, s.schema, order, 4);
    sm_batch shown;
    sm_column columns[2];
    args_of(node->inputs[0], batch, &shown, columns);
    sort_rows(w, &shown, batch, rows);
    sm_batch *const sorted = rows_of(s.budget, s.schema, rows, 4);
    sm_batch shown_sorted;
    sm_column sorted_columns[2], args[2] = {0}, key = {0};
    uint8_t peers = 0;
    args_of(node->inputs[0], sorted, &shown_sorted, sorted_columns);
    for (int32_t i = 0; i < w->call->n_args; i++) {
        assert_ok(sm_expr_eval(w->call->args[i], &shown_sorted, NULL, sorted, &args[i], &e), &e);
    }
    if (w->n_order > 0) {
        assert_ok(sm_expr_eval(w->order[0].expr, &shown_sorted, NULL, sorted, &key, &e), &e);
        for (int i = 1; i < 4; i++) {
            peers |= (uint8_t)(!sm_column_eq(&key, i - 1, &key, i) << i);
        }
    }
    const sm_window_in in = {
        .args = args, .n_args = w->call->n_args, .n_rows = 4, .peer_start = &peers};
    sm_builder *const b = sm_builder_new(w->call->type, s.budget);
    sm_column c = {0};
    sm_buf text = {0};
    assert_ok(w->call->fn->window(w->call, &in, b, &e), &e);
    assert_ok(sm_builder_finish(b, sorted, &c, &e), &e);
    for (int row = 0; row < 4; row++) {
        for (int i = 0; i < 4; i++) {
            if (rows[i] == row) {
                sm_buf_text(&text, row > 0 ? SM_STR(" ") : SM_STR(""));
                sm_column_print(&c, i, &text);
            }
        }
    }
    if (!sm_str_is(sm_buf_str(&text), fn->answer)) {
        fail_msg("%s gives %.*s, not %s", fn->example, (int)text.len, (const char *)text.data,
                 fn->answer);
    }
    sm_buf_release(&text);
    sm_builder_free(b);
    sm_batch_release(sorted);
    sm_batch_release(batch);
    setup_release(&s);
}

static void test_examples(void **unused)
{
    int32_t n = 0;
    const int64_t live = sm_live_allocs();
    const sm_function *const fns = sm_functions(&n);
    for (int32_t i = 0; i < n; i++) {
        if (fns[i].kind == SM_FN_SCALAR) {
            check_scalar(&fns[i]);
        } else if (fns[i].kind == SM_FN_AGGREGATE) {
            check_aggregate(&fns[i], false);
            check_aggregate(&fns[i], true);
        } else {
            check_window(&fns[i]);
        }
    }
    assert_int_equal(sm_live_allocs(), live);
}

/* Aggregates over distinct values and as windows, which functions.def does not list. */
static void test_wrapped(void **unused)
{
    static const struct {
        const char *example, *answer;
    } aggs[] = {
        {"count(DISTINCT x)", "2"},
        {"count(DISTINCT s)", "3"},
        {"sum(DISTINCT x)", "3"},
        {"sum(DISTINCT CAST(x AS DOUBLE))", "3.0"},
        {"max(DISTINCT s)", "c"},
        {"count(*)", "4"},
        {"count(s)", "3"},
        {"avg(DISTINCT x * 1000)", "1500.0"},
        {"sum(CAST(x AS DECIMAL(5,2)))", "5.00"},
        {"avg(CAST(x AS DECIMAL(5,2)))", "1.6666666666666667"},
        {"min(x)", "1"},
        {"string_agg(DISTINCT s, '')", "bac"},
    };
    static const struct {
        const char *example, *answer;
    } windows[] = {
        {"sum(x) OVER ()", "5 5 5 5"},
        {"sum(x) OVER (ORDER BY x)", "1 5 5 5"},
        {"count(*) OVER (ORDER BY s)", "2 1 4 3"},
        {"count(DISTINCT x) OVER ()", "2 2 2 2"},
        {"qcut(s, 2) OVER ()", "1 1 NULL 2"},
        {"qcut(CAST(x AS DOUBLE), 3) OVER ()", "1 2 2 NULL"},
    };
    for (int i = 0; i < SM_COUNT(aggs); i++) {
        const sm_function fn = {.example = aggs[i].example, .answer = aggs[i].answer};
        check_aggregate(&fn, false);
        check_aggregate(&fn, true);
    }
    for (int i = 0; i < SM_COUNT(windows); i++) {
        const sm_function fn = {.example = windows[i].example, .answer = windows[i].answer};
        check_window(&fn);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sorted),
        cmocka_unit_test(test_examples),
        cmocka_unit_test(test_wrapped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
