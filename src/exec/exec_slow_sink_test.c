/* SPDX-License-Identifier: Apache-2.0
 *
 * exec/exec_slow_sink_test.c: a sink that is slower than the query fills no memory, however many
 * rows a single task has: those of a sort or join that goes through the disk, or of a row with many
 * matches. Be it the main sink or that of the rows that leave a CHECK. */
#include "exec_testkit.h"

#include "base/thread.h"
#include "base/time.h"

#define LIMIT ((size_t)32 << 20)
#define TEXT                                                                                       \
    "some text that makes the row as wide as a row of a log is, or wider, with its addresses"
#define LINES  300000 /* of some 130 bytes in memory: more than the limit */
#define LEFT   351
#define RIGHT  2000
#define SCHEMA "STRUCT(v BIGINT, n BIGINT, t VARCHAR)"

/* Takes no row before the memory in use has stood still for a while, and then takes all. */
typedef struct still_sink {
    const sm_budget *budget;
    sm_mutex lock;
    sm_waker waker; /* of who waits */
    bool has_asked, is_open, is_over;
    int64_t n_rows;
} still_sink;

static sm_status still_push(void *ctx, sm_batch *rows, sm_waker waker, sm_error *e)
{
    still_sink *s = ctx;
    (void)e;
    sm_mutex_lock(&s->lock);
    const bool is_open = s->is_open;
    s->waker = waker;
    s->has_asked = true;
    s->n_rows += is_open ? rows->n_rows : 0;
    sm_mutex_unlock(&s->lock);
    return is_open ? SM_OK : SM_WAIT;
}

static void open_when_still(void *ctx)
{
    still_sink *s = ctx;
    size_t before = 0;
    int n_still = 0;
    for (bool goes_on = true; goes_on;) {
        sm_sleep_ms(4);
        const size_t used = sm_budget_used(s->budget);
        sm_mutex_lock(&s->lock);
        n_still = s->has_asked && used == before ? n_still + 1 : 0;
        s->is_open = n_still >= 50;
        goes_on = !s->is_open && !s->is_over;
        const sm_waker waker = s->waker;
        const bool is_open = s->is_open;
        sm_mutex_unlock(&s->lock);
        if (is_open) {
            sm_wake(waker);
        }
        before = used;
    }
}

typedef struct slow_case {
    const char *name;
    void (*make)(kit *k, const sm_str *lines, const sm_str *few);
    int64_t n_rows;
    int n_threads; /* of k_threads, the first */
    bool leaves;   /* all rows leave a CHECK, whose side output is the slow one */
} slow_case;

static sm_plan_node *scan_of(kit *k, const sm_str *text)
{
    return k_scan(k, k_dataset(k, SCHEMA, text, 1, false));
}

static void make_order(kit *k, const sm_str *lines, const sm_str *few)
{
    const sm_sort_key key = {.expr = x_col(k, 0, &sm_type_i64)};
    (void)few;
    k_plan(k, k_sort(k, scan_of(k, lines), &key, 1, -1));
}

/* All rows in one range, which is too large for the memory. */
static void make_large_range(kit *k, const sm_str *lines, const sm_str *few)
{
    static const uint64_t quantiles[] = {0};
    const sm_sort_key key = {.expr = x_col(k, 0, &sm_type_u64)};
    (void)few;
    sm_dataset *d = k_dataset(k, "STRUCT(v UBIGINT, n BIGINT, t VARCHAR)", lines, 1, false);
    sm_plan_node *sort = k_sort(k, k_scan(k, d), &key, 1, -1);
    sort->as.sort.quantiles = quantiles;
    sort->as.sort.n_quantiles = 1;
    k_plan(k, sort);
}

static void make_join(kit *k, const sm_str *left, const sm_str *right, int32_t key)
{
    sm_plan_node *n = k_node(k, SM_PLAN_JOIN,
                             k_type(k, "STRUCT(v BIGINT, n BIGINT, t VARCHAR, rv BIGINT, rn BIGINT,"
                                       " rt VARCHAR)"),
                             scan_of(k, left), scan_of(k, right));
    n->as.join.kind = key < 0 ? SM_JOIN_CROSS : SM_JOIN_INNER;
    n->as.join.left_keys = SM_NEW_ARRAY(k->arena, const sm_expr *, 1);
    n->as.join.right_keys = SM_NEW_ARRAY(k->arena, const sm_expr *, 1);
    if (key >= 0) {
        n->as.join.left_keys[0] = n->as.join.right_keys[0] = x_col(k, key, &sm_type_i64);
        n->as.join.n_keys = 1;
    }
    k_plan(k, n);
}

static void make_large_join(kit *k, const sm_str *lines, const sm_str *few)
{
    (void)few;
    make_join(k, lines, lines, 1);
}

static void make_many_matches(kit *k, const sm_str *lines, const sm_str *few)
{
    (void)lines;
    make_join(k, &few[0], &few[1], 0);
}

static void make_cross(kit *k, const sm_str *lines, const sm_str *few)
{
    (void)lines;
    make_join(k, &few[0], &few[1], -1);
}

/* A CHECK at the root, which every row breaks. */
static void add_check(kit *k)
{
    sm_plan_node *below = k->plan.root;
    sm_plan_node *n = k_node(k, SM_PLAN_CHECK, below->schema, below, NULL);
    sm_check *check = SM_NEW(k->arena, sm_check);
    const sm_value yes = {.type = &sm_type_bool, .as.i = 1}, no = {.type = &sm_type_bool};
    *check = (sm_check){.holds = x_const(k, no), .action = SM_POLICY_QUARANTINE};
    n->as.check.checks = check;
    n->as.check.breaks = SM_NEW_ARRAY(k->arena, const sm_expr *, 1);
    n->as.check.breaks[0] = x_const(k, yes);
    n->as.check.n_checks = 1;
    n->as.check.leaves = sm_plan_check_leaves(below, k->arena);
    k_plan(k, n);
}

/* One read of the left side arrives when all others are through: the tasks behind it are ready
 * before it. */
#define LATE_MS    300
#define LEFT_READS 3 /* the last calls */

/* Seven drivers need much of the memory for the rows that they divide, in a range or a join. */
static const slow_case cases[] = {
    {"order", make_order, LINES, 3},
    {"a large range", make_large_range, LINES, 2},
    {"a large join", make_large_join, LINES, 2},
    {"many matches", make_many_matches, LEFT *RIGHT, 3},
    {"cross join", make_cross, LEFT *RIGHT, 3},
    {"check of order", make_order, LINES, 2, true},
    {"check of a large join", make_large_join, LINES, 1, true},
    {"check of many matches", make_many_matches, LEFT *RIGHT, 2, true},
};

/* With the late call of the store (0: none); returns how many calls there were. */
static int64_t run_case(const slow_case *c, int threads, int64_t late, const sm_str *lines,
                        const sm_str *few)
{
    sm_error e = {0};
    sm_thread *thread = NULL;
    /* Several morsels of both files: tasks whose turn has not come have many rows as well. */
    kit k = kit_new(threads, 1 << 14, LIMIT);
    still_sink s = {.budget = k.budget};
    const sm_sink sink = {.ctx = &s, .push = still_push};
    const sm_sink *const sides[] = {&sink};
    const sm_outputs to = {.main = c->leaves ? NULL : &sink, .sides = sides, .n_sides = c->leaves};
    const sm_exec_env env = k_env(&k);
    const sm_fault_plan plan = {.at_call = late, .kind = SM_FAULT_LATE, .delay_ms = LATE_MS};
    sm_store *inner = k.store;
    assert_ok(sm_store_fault(inner, &plan, &k.store, &e), &e);
    sm_store_release(inner);
    sm_mutex_init(&s.lock);
    c->make(&k, lines, few);
    if (c->leaves) {
        add_check(&k);
    }
    assert_ok(sm_thread_start(open_when_still, &s, "opens", &thread, &e), &e);
    const sm_status st = sm_exec_run_to(&k.plan, &env, &to, &k.report, &e);
    sm_mutex_lock(&s.lock);
    s.is_over = true;
    sm_mutex_unlock(&s.lock);
    sm_thread_join(thread);
    if (st != SM_OK || s.n_rows != c->n_rows) {
        fail_msg("%s with %d threads, call %lld late: %s, %lld rows", c->name, threads,
                 (long long)late, e.what, (long long)s.n_rows);
    }
    const int64_t n_calls = sm_fault_calls(k.store);
    assert_int_equal(sm_fault_has_fired(k.store), late > 0);
    sm_mutex_release(&s.lock);
    kit_free(&k);
    return n_calls;
}

/* The lines of a test: many rows, and two files of which each row of one matches all of the other.
 */
typedef struct lines {
    sm_buf many, few[2];
    sm_str all, some[2];
} lines;

static void make_lines(lines *l)
{
    *l = (lines){0};
    for (int i = 0; i < LINES; i++) {
        sm_buf_printf(&l->many, "{\"v\":%d,\"n\":%d,\"t\":\"%s %d\"}\n", (int)(i * 7919LL % 100003),
                      i, TEXT, i);
    }
    for (int i = 0; i < LEFT + RIGHT; i++) {
        sm_buf_printf(&l->few[i >= LEFT], "{\"v\":1,\"n\":%d,\"t\":\"%s %d\"}\n", i, TEXT, i);
    }
    l->all = sm_buf_str(&l->many);
    l->some[0] = sm_buf_str(&l->few[0]);
    l->some[1] = sm_buf_str(&l->few[1]);
}

static void free_lines(lines *l)
{
    sm_buf_release(&l->few[0]);
    sm_buf_release(&l->few[1]);
    sm_buf_release(&l->many);
}

static void fills_no_memory(void **state)
{
    lines l;
    (void)state;
    make_lines(&l);
    for (int i = 0; i < SM_COUNT(cases); i++) {
        for (int t = 0; t < cases[i].n_threads; t++) {
            (void)run_case(&cases[i], k_threads[t], 0, &l.all, l.some);
        }
    }
    free_lines(&l);
}

static void late_read_fills_no_memory(void **state)
{
    static const slow_case many[] = {
        {"many matches", make_many_matches, LEFT * RIGHT, 2},
        {"cross join", make_cross, LEFT * RIGHT, 2},
        {"check of many matches", make_many_matches, LEFT * RIGHT, 1, true},
    };
    lines l;
    (void)state;
    make_lines(&l);
    for (int i = 0; i < SM_COUNT(many); i++) {
        for (int t = 0; t < many[i].n_threads; t++) {
            const int64_t n = run_case(&many[i], k_threads[t], 0, &l.all, l.some);
            for (int64_t late = n - LEFT_READS + 1; late <= n; late++) {
                (void)run_case(&many[i], k_threads[t], late, &l.all, l.some);
            }
        }
    }
    free_lines(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fills_no_memory),
        cmocka_unit_test(late_read_fills_no_memory),
    };
    return cmocka_run_group_tests_name("slow sink", tests, NULL, NULL);
}
