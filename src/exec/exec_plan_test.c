/* SPDX-License-Identifier: Apache-2.0
 *
 * exec/exec_plan_test.c: plans built by calls give their rows: all of them share nodes, all are
 * finished before the first one runs, and each runs twice. What is no plan is told by name. */
#include "exec_testkit.h"

#include "exec/exec_int.h"

#define LINES_1 "{\"k\":\"a\",\"v\":1}\n{\"k\":\"b\",\"v\":2}\n{\"k\":\"a\",\"v\":3}\n"
#define LINES_2 "{\"v\":4}\n{\"k\":\"b\"}\n"
static const sm_str lines[] = {{LINES_1, sizeof(LINES_1) - 1}, {LINES_2, sizeof(LINES_2) - 1}};

/* What the plans are built on: the rows, those of v > 1, and their columns. */
typedef struct base {
    sm_arena *a;
    const sm_plan_node *all, *some;
    const sm_expr *k, *v;
} base;

static const sm_expr *call(base *b, const char *name, const sm_expr *x, const sm_expr *y)
{
    const sm_expr *const args[] = {x, y};
    const sm_expr *out = NULL;
    sm_error e = {0};
    assert_ok(sm_expr_call(name, args, (x != NULL) + (y != NULL), b->a, &out, &e), &e);
    return out;
}

static const sm_expr *number(base *b, int64_t n)
{
    return sm_expr_constant(sm_value_i64(n), b->a);
}

static const sm_plan_node *filter(base *b, const sm_plan_node *in, const sm_expr *where)
{
    const sm_plan_node *out = NULL;
    sm_error e = {0};
    assert_ok(sm_plan_filter(in, where, b->a, &out, &e), &e);
    return out;
}

static base base_of(kit *k)
{
    const sm_dataset *const d = k_dataset(k, "STRUCT(k VARCHAR, v BIGINT)", lines, 2, false);
    base b = {.a = k->arena};
    b.all = sm_plan_scan(&(sm_relation){.dataset = d, .label = SM_STR("lines")}, false, b.a);
    b.k = sm_expr_column(d->schema, 0, b.a);
    b.v = sm_expr_column(d->schema, 1, b.a);
    b.some = filter(&b, b.all, call(&b, ">", b.v, number(&b, 1)));
    return b;
}

/* ---- plans ----------------------------------------------------------------------------------- */

static const sm_plan_node *all(base *b)
{
    return b->all;
}

static const sm_plan_node *some(base *b)
{
    return b->some;
}

static const sm_plan_node *fewer(base *b)
{
    return filter(b, b->some,
                  call(b, "=", b->k, sm_expr_constant(sm_value_str(SM_STR("b")), b->a)));
}

static const sm_plan_node *project(base *b)
{
    const sm_expr *const exprs[] = {call(b, "+", b->v, number(b, 1)), b->k};
    const sm_str names[] = {SM_STR("w"), SM_STR("k")};
    return sm_plan_project(b->some, exprs, names, 2, b->a);
}

static const sm_plan_node *sorted(base *b, const sm_plan_node *in, const sm_expr *by, bool is_desc)
{
    const sm_sort_key key = {.expr = by, .is_desc = is_desc};
    const sm_plan_node *out = NULL;
    sm_error e = {0};
    assert_ok(sm_plan_sort(in, &key, 1, b->a, &out, &e), &e);
    return out;
}

static const sm_plan_node *group(base *b)
{
    const sm_agg_item items[] = {
        {.call = call(b, "sum", b->v, NULL)},
        {.call = call(b, "count", NULL, NULL), .filter = call(b, ">", b->v, number(b, 2))},
    };
    const sm_plan_node *out = NULL;
    sm_error e = {0};
    assert_ok(sm_plan_aggregate(b->some, &b->k, 1, items, 2, b->a, &out, &e), &e);
    return sorted(b, out, b->k, false);
}

static const sm_plan_node *distinct(base *b)
{
    const sm_plan_node *out = NULL;
    sm_error e = {0};
    assert_ok(sm_plan_aggregate(b->all, &b->k, 1, NULL, 0, b->a, &out, &e), &e);
    return sorted(b, out, b->k, false);
}

static const sm_plan_node *join(base *b, sm_join_kind kind)
{
    const sm_type *const columns = sm_plan_join_schema(b->some, b->all, kind, b->a);
    const sm_expr *const on = call(b, "=", b->k, sm_expr_column(columns, 2, b->a));
    const sm_plan_node *out = NULL;
    sm_error e = {0};
    assert_ok(
        sm_plan_join(b->some, b->all, kind, kind == SM_JOIN_CROSS ? NULL : on, b->a, &out, &e), &e);
    return out;
}

static const sm_plan_node *inner(base *b)
{
    return join(b, SM_JOIN_INNER);
}

static const sm_plan_node *left(base *b)
{
    return join(b, SM_JOIN_LEFT);
}

static const sm_plan_node *pairs(base *b)
{
    const sm_agg_item count = {.call = call(b, "count", NULL, NULL)};
    const sm_plan_node *out = NULL;
    sm_error e = {0};
    assert_ok(sm_plan_aggregate(join(b, SM_JOIN_CROSS), NULL, 0, &count, 1, b->a, &out, &e), &e);
    return out;
}

static const sm_plan_node *window(base *b)
{
    const sm_sort_key order = {.expr = b->v, .is_desc = true};
    const sm_expr *partition[] = {b->k};
    const sm_window_item items[] = {
        {.call = call(b, "row_number", NULL, NULL),
         .partition = partition,
         .n_partition = 1,
         .order = &order,
         .n_order = 1},
        {.call = call(b, "sum", b->v, NULL), .partition = partition, .n_partition = 1},
    };
    const sm_plan_node *out = NULL;
    sm_error e = {0};
    assert_ok(sm_plan_window(b->all, items, 2, b->a, &out, &e), &e);
    return out;
}

static const sm_plan_node *top(base *b)
{
    return sm_plan_limit(sorted(b, b->all, b->v, true), 2, 1, b->a);
}

static const sm_plan_node *both(base *b)
{
    const sm_plan_node *out = NULL;
    sm_error e = {0};
    assert_ok(sm_plan_union(b->some, b->all, b->a, &out, &e), &e);
    return out;
}

#define ALL  "a 1\nb 2\na 3\nNULL 4\nb NULL\n"
#define SOME "b 2\na 3\nNULL 4\n"
#define PAIR "b 2 b 2\nb 2 b NULL\na 3 a 1\na 3 a 3\n"

static const struct {
    const sm_plan_node *(*build)(base *b);
    const char *want;
} plans[] = {
    {all, ALL},
    {some, SOME},
    {fewer, "b 2\n"},
    {project, "3 b\n4 a\n5 NULL\n"},
    {group, "a 3 1\nb 2 0\nNULL 4 1\n"},
    {distinct, "a\nb\nNULL\n"},
    {inner, PAIR},
    {left, PAIR "NULL 4 NULL NULL\n"},
    {pairs, "15\n"},
    {window, "a 1 2 4\nb 2 1 2\na 3 1 4\nNULL 4 1 4\nb NULL 2 2\n"},
    {top, "a 3\nb 2\n"},
    {both, SOME ALL},
};

/* ---- running --------------------------------------------------------------------------------- */

static void finish_all(kit *k, sm_plan **out)
{
    base b = base_of(k);
    sm_error e = {0};
    const sm_plan_node *roots[SM_COUNT(plans)];
    for (int i = 0; i < SM_COUNT(plans); i++) {
        roots[i] = plans[i].build(&b);
    }
    for (int i = 0; i < SM_COUNT(plans); i++) {
        assert_ok(sm_plan_finish(roots[i], k->arena, &out[i], &e), &e);
    }
}

static void make_one(kit *k, const void *data)
{
    sm_plan *all_plans[SM_COUNT(plans)];
    finish_all(k, all_plans);
    k->plan = *all_plans[*(const int *)data];
}

static void test_rows(void **state)
{
    for (int i = 0; i < SM_COUNT(plans); i++) {
        assert_everywhere(make_one, &i, plans[i].want);
    }
}

/* One after the other in one process, and all of them once more. */
static void test_twice(void **state)
{
    kit k = kit_new(2, 97, 0);
    sm_plan *all_plans[SM_COUNT(plans)];
    finish_all(&k, all_plans);
    for (int i = 0; i < 2 * SM_COUNT(plans); i++) {
        sm_error e = {0};
        sm_buf text = {0};
        k.plan = *all_plans[i % SM_COUNT(plans)];
        assert_ok(k_run(&k, &text, &e), &e);
        sm_buf_text(&text, (sm_str){"", 1});
        assert_string_equal((const char *)text.data, plans[i % SM_COUNT(plans)].want);
        sm_buf_release(&text);
    }
    kit_free(&k);
}

/* ---- what is no plan ------------------------------------------------------------------------- */

static void break_column(sm_plan *p)
{
    ((sm_expr *)p->root->as.project.exprs[1])->index = 2;
}

static void break_type(sm_plan *p)
{
    ((sm_expr *)p->root->as.project.exprs[1])->index = 1;
}

static void break_output(sm_plan *p)
{
    p->root->as.project.exprs[1] = p->root->as.project.exprs[0];
}

static void break_id(sm_plan *p)
{
    p->root->id = p->n_nodes;
}

static void break_inputs(sm_plan *p)
{
    p->root->n_inputs = 0;
}

static void break_keys(sm_plan *p)
{
    sm_expr *x = (sm_expr *)p->root->as.join.right_keys[0];
    x->type = &sm_type_i64;
    x->index = 1;
}

static void break_window(sm_plan *p)
{
    p->root->as.window.n_items = 1;
}

static void break_aggregate(sm_plan *p)
{
    p->root->as.aggregate.n_keys = 1;
}

static const struct {
    const sm_plan_node *(*build)(base *b);
    void (*damage)(sm_plan *p);
    const char *why;
} broken[] = {
    {project, break_column, "a plan's column is not one of its input's"},
    {project, break_type, "a plan's column has another type than its input's"},
    {project, break_output, "a plan's expression has another type than the column that it makes"},
    {project, break_id, "a plan's node has a number that is not the plan's"},
    {project, break_inputs, "a plan's node has too many or too few inputs"},
    {inner, break_keys, "a join compares keys of two types"},
    {window, break_window, "a window gives other columns than its input's and its items"},
    {pairs, break_aggregate, "an aggregate gives other columns than keys and items"},
};

static void test_no_plans(void **state)
{
    for (int i = 0; i < SM_COUNT(broken); i++) {
        kit k = kit_new(1, 97, 0);
        base b = base_of(&k);
        sm_plan *plan = NULL;
        const char *why = "";
        sm_error e = {0};
        assert_ok(sm_plan_finish(broken[i].build(&b), k.arena, &plan, &e), &e);
        assert_true(smi_plan_validate(plan, &why));
        broken[i].damage(plan);
        assert_false(smi_plan_validate(plan, &why));
        assert_string_equal(why, broken[i].why);
        kit_free(&k);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_plans),
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
