/* SPDX-License-Identifier: Apache-2.0
 *
 * exec/exec_order_test.c: sorts, joins and windows: rows and their order are the same with any
 * number of threads and any size of morsels. */
#include "exec_testkit.h"

#define PEOPLE                                                                                     \
    "{\"k\":\"b\",\"v\":2}\n"                                                                      \
    "{\"k\":\"a\",\"v\":1}\n"                                                                      \
    "{\"v\":3}\n"                                                                                  \
    "{\"k\":\"b\",\"v\":1}\n"                                                                      \
    "{\"k\":\"a rather long key, and longer\"}\n"                                                  \
    "{\"k\":\"a rather long key, and more\",\"v\":-5}\n"                                           \
    "{\"k\":\"b\",\"v\":2}\n"
#define SCHEMA "STRUCT(k VARCHAR, v BIGINT, n BIGINT)"

static const sm_str people = {PEOPLE, sizeof(PEOPLE) - 1};

static sm_plan_node *scan_of(kit *k, const sm_str *file, const char *schema)
{
    return k_scan(k, k_dataset(k, schema, file, 1, false));
}

/* ---- sort ------------------------------------------------------------------------------------ */

typedef struct sort_case {
    sm_str file;
    sm_sort_key keys[2]; /* their exprs are made: k, v */
    int32_t n_keys;
    int64_t limit;
    const char *want;
} sort_case;

static void make_sort(kit *k, const void *data)
{
    const sort_case *c = data;
    sm_sort_key keys[2] = {c->keys[0], c->keys[1]};
    keys[0].expr = x_col(k, 0, &sm_type_string);
    keys[1].expr = x_col(k, 1, &sm_type_i64);
    sm_plan_node *scan = scan_of(k, &c->file, "STRUCT(k VARCHAR, v BIGINT)");
    k_plan(k, k_sort(k, scan, keys, c->n_keys, c->limit));
}

#define LONGER "a rather long key, and longer NULL\n"
#define MORE   "a rather long key, and more -5\n"
static const sort_case sort_cases[] = {
    {{0}, {{0}, {0}}, 1, -1, "a 1\n" LONGER MORE "b 2\nb 1\nb 2\nNULL 3\n"},
    {{0}, {{0}, {0}}, 2, -1, "a 1\n" LONGER MORE "b 1\nb 2\nb 2\nNULL 3\n"},
    {{0}, {{.is_desc = true}, {0}}, 2, -1, "b 1\nb 2\nb 2\n" MORE LONGER "a 1\nNULL 3\n"},
    {{0},
     {{.is_desc = true, .nulls_first = true}, {.is_desc = true}},
     2,
     -1,
     "NULL 3\nb 2\nb 2\nb 1\n" MORE LONGER "a 1\n"},
    {{0}, {{.nulls_first = true}, {0}}, 1, 3, "NULL 3\na 1\n" LONGER},
    {{0}, {{0}, {0}}, 1, 5, "a 1\n" LONGER MORE "b 2\nb 1\n"},
    {{0}, {{0}, {0}}, 1, 0, ""},
    {{0}, {{0}, {0}}, 1, 100, "a 1\n" LONGER MORE "b 2\nb 1\nb 2\nNULL 3\n"},
};

static void sorts(void **state)
{
    for (int i = 0; i < SM_COUNT(sort_cases); i++) {
        sort_case c = sort_cases[i];
        c.file = people;
        assert_everywhere(make_sort, &c, c.want);
    }
    const sort_case none = {.n_keys = 1, .limit = -1};
    assert_everywhere(make_sort, &none, "");
}

typedef struct big_case {
    sm_str file;
    int64_t limit;
} big_case;

/* ORDER BY v: 1,000 values over many rows, so that most of the order comes from the input. */
static void make_big_sort(kit *k, const void *data)
{
    const big_case *c = data;
    const sm_sort_key key = {.expr = x_col(k, 1, &sm_type_i64), .nulls_first = true};
    k_plan(k, k_sort(k, scan_of(k, &c->file, SCHEMA), &key, 1, c->limit));
}

static void sorts_many_stably(void **state)
{
    sm_buf text = {0};
    k_lines(&text, 40000, 50, 1);
    const big_case all = {.file = sm_buf_str(&text), .limit = -1};
    const big_case some = {.file = sm_buf_str(&text), .limit = 1234};
    char *got = k_everywhere(make_big_sort, &all);
    char *top = k_once(make_big_sort, &some, 2, 1000);
    assert_memory_equal(got, top, strlen(top));
    long long last_v = -1, last_n = -1;
    int64_t n = 0;
    for (char *at = got; *at; n++) {
        char *end = strchr(at, '\n');
        *end = '\0';
        char *n_at = strrchr(at, ' ');
        *n_at = '\0';
        const char *v_at = strrchr(at, ' ');
        const long long v = strcmp(v_at, " NULL") == 0 ? -1 : strtoll(v_at, NULL, 10);
        const long long line = strtoll(n_at + 1, NULL, 10);
        assert_true(v > last_v || (v == last_v && line > last_n));
        last_v = v;
        last_n = line;
        at = end + 1;
    }
    assert_int_equal(n, 40000);
    free(top);
    free(got);
    sm_buf_release(&text);
}

/* The same rows whatever the threads, where top-n throws rows away on the way. */
static void keeps_the_first_of_many(void **state)
{
    sm_buf text = {0};
    k_lines(&text, 150000, 50, 2);
    const big_case c = {.file = sm_buf_str(&text), .limit = 10};
    char *one = k_once(make_big_sort, &c, 1, 1 << 20);
    for (int t = 0; t < SM_COUNT(k_threads); t++) {
        char *got = k_once(make_big_sort, &c, k_threads[t], 10000);
        assert_string_equal(got, one);
        free(got);
    }
    free(one);
    sm_buf_release(&text);
}

/* ---- join ------------------------------------------------------------------------------------ */

#define LEFT_LINES                                                                                 \
    "{\"k\":\"b\",\"v\":2}\n{\"k\":\"c\",\"v\":7}\n{\"v\":3}\n{\"k\":\"a\",\"v\":1}\n"             \
    "{\"k\":\"b\",\"v\":9}\n"
#define RIGHT_LINES                                                                                \
    "{\"k\":\"a\",\"w\":10}\n{\"k\":\"b\",\"w\":20}\n{\"w\":30}\n{\"k\":\"b\",\"w\":5}\n"          \
    "{\"k\":\"d\",\"w\":40}\n"

typedef struct join_case {
    sm_join_kind kind;
    bool has_key, has_on; /* on: v < w */
    const char *want;
} join_case;

static void make_join(kit *k, const void *data)
{
    static const sm_str left = {LEFT_LINES, sizeof(LEFT_LINES) - 1};
    static const sm_str right = {RIGHT_LINES, sizeof(RIGHT_LINES) - 1};
    const join_case *c = data;
    sm_plan_node *n =
        k_node(k, SM_PLAN_JOIN, k_type(k, "STRUCT(k VARCHAR, v BIGINT, rk VARCHAR, w BIGINT)"),
               scan_of(k, &left, "STRUCT(k VARCHAR, v BIGINT)"),
               scan_of(k, &right, "STRUCT(k VARCHAR, w BIGINT)"));
    n->as.join.kind = c->kind;
    n->as.join.left_keys = SM_NEW_ARRAY(k->arena, const sm_expr *, 1);
    n->as.join.right_keys = SM_NEW_ARRAY(k->arena, const sm_expr *, 1);
    n->as.join.left_keys[0] = n->as.join.right_keys[0] = x_col(k, 0, &sm_type_string);
    n->as.join.n_keys = c->has_key;
    if (c->has_on) {
        n->as.join.on = x_call(k, &fn_less, &sm_type_bool, x_col(k, 1, &sm_type_i64),
                               x_col(k, 3, &sm_type_i64));
    }
    k_plan(k, n);
}

static void joins(void **state)
{
    static const join_case cases[] = {
        {SM_JOIN_INNER, true, false, "b 2 b 20\nb 2 b 5\na 1 a 10\nb 9 b 20\nb 9 b 5\n"},
        {SM_JOIN_LEFT, true, false,
         "b 2 b 20\nb 2 b 5\nc 7 NULL NULL\nNULL 3 NULL NULL\na 1 a 10\nb 9 b 20\nb 9 b 5\n"},
        {SM_JOIN_INNER, true, true, "b 2 b 20\nb 2 b 5\na 1 a 10\nb 9 b 20\n"},
        {SM_JOIN_LEFT, true, true,
         "b 2 b 20\nb 2 b 5\nc 7 NULL NULL\nNULL 3 NULL NULL\na 1 a 10\nb 9 b 20\n"},
        {SM_JOIN_CROSS, false, true,
         "b 2 a 10\nb 2 b 20\nb 2 NULL 30\nb 2 b 5\nb 2 d 40\nc 7 a 10\nc 7 b 20\nc 7 NULL 30\n"
         "c 7 d 40\nNULL 3 a 10\nNULL 3 b 20\nNULL 3 NULL 30\nNULL 3 b 5\nNULL 3 d 40\n"
         "a 1 a 10\na 1 b 20\na 1 NULL 30\na 1 b 5\na 1 d 40\n"
         "b 9 a 10\nb 9 b 20\nb 9 NULL 30\nb 9 d 40\n"},
    };
    for (int i = 0; i < SM_COUNT(cases); i++) {
        assert_everywhere(make_join, &cases[i], cases[i].want);
    }
}

/* A left row with more candidates than a batch has rows, none of which pass, and one that has all
 * pass. */
static void make_wide_join(kit *k, const void *data)
{
    static const char left[] = "{\"v\":5}\n{\"v\":20000}\n{\"v\":12000}\n";
    static const sm_str left_file = {left, sizeof(left) - 1};
    sm_plan_node *n =
        k_node(k, SM_PLAN_JOIN, k_type(k, "STRUCT(v BIGINT, n BIGINT)"),
               scan_of(k, &left_file, "STRUCT(v BIGINT)"), scan_of(k, data, "STRUCT(n BIGINT)"));
    n->as.join.kind = SM_JOIN_LEFT;
    n->as.join.on =
        x_call(k, &fn_less, &sm_type_bool, x_col(k, 0, &sm_type_i64), x_col(k, 1, &sm_type_i64));
    k_plan(k, n);
}

static void joins_over_batches(void **state)
{
    sm_buf text = {0}, want = {0};
    for (int i = 0; i < 12002; i++) {
        sm_buf_printf(&text, "{\"n\":%d}\n", i);
    }
    for (int i = 6; i < 12002; i++) {
        sm_buf_printf(&want, "5 %d\n", i);
    }
    sm_buf_text(&want, SM_STR("20000 NULL\n12000 12001\n"));
    sm_buf_text(&want, (sm_str){"", 1});
    const sm_str file = sm_buf_str(&text);
    char *got = k_once(make_wide_join, &file, 2, 30);
    assert_string_equal(got, (char *)want.data);
    free(got);
    sm_buf_release(&text);
    sm_buf_release(&want);
}

/* Joined with itself by v: rows are "v left v right", left rising, then right. */
static void make_self_join(kit *k, const void *data)
{
    const sm_str *file = data;
    sm_dataset *d = k_dataset(k, "STRUCT(v BIGINT, n BIGINT)", file, 1, false);
    sm_plan_node *n =
        k_node(k, SM_PLAN_JOIN, k_type(k, "STRUCT(v BIGINT, n BIGINT, rv BIGINT, rn BIGINT)"),
               k_scan(k, d), k_scan(k, d));
    n->as.join.kind = SM_JOIN_INNER;
    const sm_expr **keys = SM_NEW_ARRAY(k->arena, const sm_expr *, 1);
    keys[0] = x_col(k, 0, &sm_type_i64);
    n->as.join.left_keys = n->as.join.right_keys = keys;
    n->as.join.n_keys = 1;
    k_plan(k, n);
}

static void joins_many(void **state)
{
    sm_buf text = {0};
    k_lines(&text, 3000, 40, 9);
    const sm_str file = sm_buf_str(&text);
    sm_buf_text(&text, (sm_str){"", 1});
    int64_t times[1000] = {0}, want = 0, n = 0;
    for (const char *at = (char *)text.data; (at = strstr(at, "\"v\":")) != NULL; at++) {
        times[strtoll(at + 4, NULL, 10)]++;
    }
    for (int i = 0; i < 1000; i++) {
        want += times[i] * times[i];
    }
    char *got = k_everywhere(make_self_join, &file);
    long long last_left = -1, last_right = -1;
    for (char *at = got; *at; n++) {
        const long long v = strtoll(at, &at, 10), left = strtoll(at, &at, 10);
        const long long w = strtoll(at, &at, 10), right = strtoll(at, &at, 10);
        assert_int_equal(v, w);
        assert_true(left > last_left || (left == last_left && right > last_right));
        last_left = left;
        last_right = right;
        at++;
    }
    assert_int_equal(n, want);
    free(got);
    sm_buf_release(&text);
}

/* ---- windows --------------------------------------------------------------------------------- */

static void make_window(kit *k, const void *data)
{
    const sm_type *t = &sm_type_i64;
    sm_plan_node *scan = scan_of(k, data, SCHEMA);
    sm_plan_node *n =
        k_node(k, SM_PLAN_WINDOW,
               k_type(k, "STRUCT(k VARCHAR, v BIGINT, n BIGINT, p BIGINT, q BIGINT)"), scan, NULL);
    n->as.window.n_items = 2;
    n->as.window.items = SM_NEW_ARRAY(k->arena, sm_window_item, 2);
    sm_window_item *by_key = &n->as.window.items[0];
    by_key->call = x_call(k, &fn_place, t, x_col(k, 1, t), NULL);
    by_key->partition = SM_NEW_ARRAY(k->arena, const sm_expr *, 1);
    by_key->partition[0] = x_col(k, 0, &sm_type_string);
    by_key->n_partition = 1;
    sm_sort_key *order = SM_NEW_ARRAY(k->arena, sm_sort_key, 1);
    order[0] = (sm_sort_key){.expr = x_col(k, 1, t), .is_desc = true};
    by_key->order = order;
    by_key->n_order = 1;
    n->as.window.items[1].call = x_call(k, &fn_place, t, NULL, NULL);
    k_plan(k, n);
}

static void runs_windows(void **state)
{
    static const char text[] = "{\"k\":\"b\",\"v\":2,\"n\":0}\n"
                               "{\"k\":\"a\",\"v\":1,\"n\":1}\n"
                               "{\"k\":\"b\",\"v\":4,\"n\":2}\n"
                               "{\"v\":7,\"n\":3}\n"
                               "{\"k\":\"b\",\"v\":2,\"n\":4}\n"
                               "{\"k\":\"b\",\"n\":5}\n"
                               "{\"v\":8,\"n\":6}\n";
    const sm_str file = {text, sizeof(text) - 1}, none = {"", 0};
    assert_everywhere(make_window, &file,
                      "b 2 0 2002002 1001\n"
                      "a 1 1 1001001 2001\n"
                      "b 4 2 4001001 3001\n"
                      "NULL 7 3 7002002 4001\n"
                      "b 2 4 2003002 5001\n"
                      "b NULL 5 4003 6001\n"
                      "NULL 8 6 8001001 7001\n");
    assert_everywhere(make_window, &none, "");
}

static void runs_windows_over_many(void **state)
{
    sm_buf text = {0};
    k_lines(&text, 30000, 700, 11);
    const sm_str file = sm_buf_str(&text);
    char *got = k_everywhere(make_window, &file);
    int64_t n = 0;
    for (char *at = got; *at; at = strchr(at, '\n') + 1, n++) {
        const char *end = strchr(at, '\n');
        while (end[-1] != ' ') {
            end--;
        }
        assert_int_equal(strtoll(end, NULL, 10),
                         (n + 1) * 1000 + 1); /* input order, one peer group */
    }
    assert_int_equal(n, 30000);
    free(got);
    sm_buf_release(&text);
}

/* ---- refusals -------------------------------------------------------------------------------- */

/* Every operator that keeps rows frees all when the budget refuses some. */
/* Within any limit: the answer of an unlimited run, or a refusal. */
static void spills_or_refuses(void **state)
{
    static const k_make makes[] = {make_big_sort, make_self_join, make_window};
    sm_buf text = {0};
    k_lines(&text, 20000, 5000, 7);
    const big_case big = {.file = sm_buf_str(&text), .limit = -1};
    for (int i = 0; i < SM_COUNT(makes); i++) {
        int n_refused = 0, n_fine = 0;
        sm_buf free = {0};
        for (size_t limit = 512 << 20; limit >= 256 << 10; limit /= 2) {
            sm_error e = {0};
            sm_buf out = {0};
            const int64_t live = sm_live_allocs();
            kit k = kit_new(2, 1 << 16, limit);
            makes[i](&k, i == 0 ? (const void *)&big : (const void *)&big.file);
            const sm_status st = k_run(&k, &out, &e);
            assert_true(st == SM_OK || st == SM_BUDGET);
            n_refused += st == SM_BUDGET;
            n_fine += st == SM_OK;
            if (st == SM_OK && free.len > 0) {
                assert_true(sm_str_eq(sm_buf_str(&out), sm_buf_str(&free)));
            }
            kit_free(&k);
            if (limit == 512 << 20) {
                free = out;
            } else {
                sm_buf_release(&out);
                assert_int_equal(sm_live_allocs(), live);
            }
        }
        assert_true(n_refused > 0 && n_fine > 0);
        sm_buf_release(&free);
    }
    sm_buf_release(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sorts),
        cmocka_unit_test(sorts_many_stably),
        cmocka_unit_test(keeps_the_first_of_many),
        cmocka_unit_test(joins),
        cmocka_unit_test(joins_over_batches),
        cmocka_unit_test(joins_many),
        cmocka_unit_test(runs_windows),
        cmocka_unit_test(runs_windows_over_many),
        cmocka_unit_test(spills_or_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
