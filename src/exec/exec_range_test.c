/* SPDX-License-Identifier: Apache-2.0
 *
 * exec/exec_range_test.c: a sort with quantiles gives the rows of one without, whatever the
 * quantiles, types, threads and memory. */
#include "exec_testkit.h"

#define ROWS 70000 /* more than one group of a driver */
#define SCHEMA                                                                                     \
    "STRUCT(k UBIGINT, hex VARCHAR, id VARCHAR, text VARCHAR, few VARCHAR, same VARCHAR, none "    \
    "VARCHAR, b BOOLEAN, "                                                                         \
    "tiny TINYINT, i INTEGER, f DOUBLE, wide DECIMAL(38,3), small DECIMAL(9,2), d DATE, "          \
    "bytes BLOB, n BIGINT)"

typedef struct range_case {
    sm_str file;
    const char *schema;
    const uint64_t *quantiles;
    int32_t n_quantiles;
} range_case;

static uint64_t random_of(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *state >> 33;
}

/* Lines of the schema. Every seventh value of some columns is not there; `most` bounds the keys. */
static void make_lines(sm_buf *out, int64_t n, uint64_t most)
{
    uint64_t r = 1;
    for (int64_t i = 0; i < n; i++) {
        const unsigned key = (unsigned)(random_of(&r) % most), v = (unsigned)random_of(&r);
        sm_buf_printf(out, "{\"hex\":\"%08x\",\"id\":\"a text of one length %08x\",", v, key);
        sm_buf_printf(out, "\"k\":%u,\"same\":\"the same for all of them\",\"n\":%d", key, (int)i);
        if (v % 7 != 0) {
            sm_buf_printf(out, ",\"text\":\"%.*s%u\",\"few\":\"%s %u\",\"b\":%s", (int)(v % 30),
                          "a text that is as long as that", v, "one of a few", v % 5,
                          v % 2 ? "true" : "false");
        }
        if (v % 3 != 0) {
            sm_buf_printf(out, ",\"tiny\":%d,\"i\":%d,\"f\":%d.25,\"wide\":%u%u.125,\"small\":%u.5",
                          (int)(v % 200) - 100, (int)v - (1 << 30), (int)(v % 1000) - 500, v, key,
                          v % 100000);
            sm_buf_printf(out, ",\"d\":\"19%02u-0%u-11\",\"bytes\":\"%x\"", v % 100, v % 9 + 1, v);
        }
        sm_buf_text(out, SM_STR("}\n"));
    }
}

static void make_range(kit *k, const void *data)
{
    const range_case *c = data;
    const sm_sort_key key = {.expr = x_col(k, 0, &sm_type_u64)};
    sm_plan_node *scan = k_scan(k, k_dataset(k, c->schema, &c->file, 1, false));
    sm_plan_node *sort = k_sort(k, scan, &key, 1, -1);
    sort->as.sort.quantiles = c->quantiles;
    sort->as.sort.n_quantiles = c->n_quantiles;
    k_plan(k, sort);
}

/* Adds what was written to disk to *spilled. */
static sm_status run_within(const range_case *c, int threads, size_t limit, sm_buf *out,
                            int64_t *spilled)
{
    sm_error e = {0};
    kit k = kit_new(threads, 1 << 18, limit);
    make_range(&k, c);
    const sm_status st = k_run(&k, out, &e);
    for (int32_t i = 0; i < k.report.n_nodes; i++) {
        *spilled += k.report.nodes[i].spilled_bytes;
    }
    kit_free(&k);
    return st;
}

static void gives_the_rows_of_a_sort(void **state)
{
    static const uint64_t even[] = {10000, 20000, 30000, 40000, 50000, 60000, 70000, 80000, 90000};
    static const uint64_t equal[] = {500, 500, 500, 99999, 99999};
    static const uint64_t above[] = {1u << 30};
    static const uint64_t low[] = {0, 0, 1};
    const struct {
        const uint64_t *quantiles;
        int32_t n;
    } cases[] = {{even, 9}, {equal, 5}, {above, 1}, {low, 3}};
    sm_buf text = {0}, want = {0};
    int64_t spilled = 0;

    make_lines(&text, ROWS, 100000);
    range_case c = {.file = sm_buf_str(&text), .schema = SCHEMA};
    assert_int_equal(run_within(&c, 2, SIZE_MAX, &want, &spilled), SM_OK);
    for (int i = 0; i < SM_COUNT(cases); i++) {
        sm_buf got = {0};
        c.quantiles = cases[i].quantiles;
        c.n_quantiles = cases[i].n;
        assert_int_equal(run_within(&c, i % 2 ? 1 : 4, SIZE_MAX, &got, &spilled), SM_OK);
        assert_true(sm_str_eq(sm_buf_str(&got), sm_buf_str(&want)));
        sm_buf_release(&got);
    }
    sm_buf_release(&want);
    sm_buf_release(&text);
}

/* Columns without a value, keys that are all equal, no rows, and a column that cannot be packed. */
static void gives_odd_rows(void **state)
{
    static const uint64_t quantiles[] = {3, 7};
    static const char same[] =
        "{\"k\":7,\"n\":1}\n{\"k\":7,\"n\":2}\n{\"k\":7,\"n\":3}\n{\"k\":2,\"n\":4}\n";
    const struct {
        sm_str file;
        const char *schema, *want;
    } cases[] = {
        {{same, sizeof(same) - 1}, "STRUCT(k UBIGINT, n BIGINT)", "2 4\n7 1\n7 2\n7 3\n"},
        {{same, sizeof(same) - 1},
         "STRUCT(k UBIGINT, t VARCHAR, b BOOLEAN, w DECIMAL(38,0), n BIGINT)",
         "2 NULL NULL NULL 4\n7 NULL NULL NULL 1\n7 NULL NULL NULL 2\n7 NULL NULL NULL 3\n"},
        {{same, sizeof(same) - 1},
         "STRUCT(k UBIGINT, l BIGINT[], n BIGINT)",
         "2 NULL 4\n7 NULL 1\n7 NULL 2\n7 NULL 3\n"},
        {{"", 0}, "STRUCT(k UBIGINT, n BIGINT)", ""},
    };

    for (int i = 0; i < SM_COUNT(cases); i++) {
        const range_case c = {cases[i].file, cases[i].schema, quantiles, 2};
        assert_everywhere(make_range, &c, cases[i].want);
    }
}

/* Within any limit: the rows of a run without one, or a refusal that leaves nothing behind. Small
 * limits send ranges to disk, and one range through the sorter. */
static void spills_or_refuses(void **state)
{
    static const uint64_t quantiles[] = {100, 200, 300, 400, 500, 50000};
    sm_buf text = {0}, want = {0};
    int n_refused = 0, n_fine = 0;
    int64_t spilled = 0;

    make_lines(&text, ROWS, 100000);
    const range_case c = {sm_buf_str(&text), SCHEMA, quantiles, 6};
    assert_int_equal(run_within(&c, 2, SIZE_MAX, &want, &spilled), SM_OK);
    for (size_t limit = 64 << 20; limit >= 1 << 20; limit /= 2) {
        sm_buf got = {0};
        const int64_t live = sm_live_allocs();
        const sm_status st = run_within(&c, 2, limit, &got, &spilled);
        assert_true(st == SM_OK || st == SM_BUDGET);
        n_refused += st == SM_BUDGET;
        n_fine += st == SM_OK;
        if (st == SM_OK) {
            assert_true(sm_str_eq(sm_buf_str(&got), sm_buf_str(&want)));
        }
        sm_buf_release(&got);
        assert_int_equal(sm_live_allocs(), live);
    }
    assert_true(n_refused > 0 && n_fine > 1 && spilled > 0);
    sm_buf_release(&want);
    sm_buf_release(&text);
}

static sm_status print_them(void *ctx, sm_batch *rows, sm_waker waker, sm_error *e)
{
    print_rows(rows, ctx);
    return SM_OK;
}

/* Ranges that nearly fill a share of the memory are several times as large when they are sorted,
 * and both drivers have one at a time. */
static void sorts_ranges_of_a_share_side_by_side(void **state)
{
    static const uint64_t quantiles[] = {12500, 25000, 37500, 50000, 62500, 75000, 87500};
    sm_buf text = {0}, want = {0};
    int64_t spilled = 0;

    make_lines(&text, ROWS, 100000);
    const range_case c = {sm_buf_str(&text), SCHEMA, quantiles, SM_COUNT(quantiles)};
    assert_int_equal(run_within(&c, 2, SIZE_MAX, &want, &spilled), SM_OK);
    for (size_t limit = 14 << 20; limit <= 16 << 20; limit += 2 << 20) {
        sm_buf got = {0};
        sm_error e = {0};
        const sm_sink sink = {.ctx = &got, .push = print_them};
        kit k = kit_new(2, 1 << 18, limit);
        make_range(&k, &c);
        const sm_exec_env env = k_env(&k);
        assert_ok(sm_exec_run(&k.plan, &env, &sink, NULL, &k.report, &e), &e);
        assert_true(sm_str_eq(sm_buf_str(&got), sm_buf_str(&want)));
        kit_free(&k);
        sm_buf_release(&got);
    }
    sm_buf_release(&want);
    sm_buf_release(&text);
}

/* A sink of rows in parts. */
#define CUTS 3
typedef struct part_texts {
    sm_buf rows[CUTS + 1]; /* of each part */
    int n_ended[CUTS + 1];
    sm_buf all; /* what did not come in parts */
} part_texts;

static sm_status push_all(void *ctx, sm_batch *rows, sm_waker waker, sm_error *e)
{
    print_rows(rows, &((part_texts *)ctx)->all);
    return SM_OK;
}

static sm_status push_part(void *ctx, int32_t part, sm_batch *rows, sm_waker waker, sm_error *e)
{
    part_texts *t = ctx;
    assert_int_equal(t->n_ended[part], 0);
    print_rows(rows, &t->rows[part]);
    return SM_OK;
}

static sm_status end_part(void *ctx, int32_t part, sm_waker waker, sm_error *e)
{
    part_texts *t = ctx;
    t->n_ended[part]++;
    if (t->n_ended[part] == 1) { /* as a store that is woken at once */
        sm_wake(waker);
        return SM_WAIT;
    }
    return SM_OK;
}

/* The rows in parts, part by part, or all at once; *in_parts says which. */
static void run_parted(const range_case *c, const uint64_t *cuts, int threads, size_t limit,
                       sm_buf *out, bool *in_parts)
{
    part_texts t = {0};
    const sm_sink_parts parts = {.cuts = cuts, .n_cuts = CUTS, .push = push_part, .end = end_part};
    const sm_sink sink = {.ctx = &t, .push = push_all, .parts = &parts};
    sm_error e = {0};
    kit k = kit_new(threads, 1 << 18, limit);
    make_range(&k, c);
    const sm_exec_env env = k_env(&k);
    assert_ok(sm_exec_run(&k.plan, &env, &sink, NULL, &k.report, &e), &e);
    *in_parts = t.n_ended[0] > 0;
    sm_buf_text(out, sm_buf_str(&t.all));
    for (int i = 0; i <= CUTS; i++) {
        assert_int_equal(t.n_ended[i], *in_parts ? 2 : 0);
        sm_buf_text(out, sm_buf_str(&t.rows[i]));
        sm_buf_release(&t.rows[i]);
    }
    sm_buf_release(&t.all);
    kit_free(&k);
}

/* A sink that takes parts gets them side by side where there is memory for it, the second of these
 * without rows; else all rows in order. They are the same. */
static void gives_rows_in_parts(void **state)
{
    static const uint64_t quantiles[] = {10000, 20000, 20000, 50000, 50000, 50001, 90000};
    static const uint64_t cuts[CUTS] = {20000, 50000, 50001};
    const struct {
        int threads;
        size_t limit;
        bool in_parts;
    } cases[] = {{1, SIZE_MAX, false},
                 {2, SIZE_MAX, true},
                 {7, SIZE_MAX, true},
                 {4, 64 << 20, false},
                 {2, (size_t)1 << 30, true}};
    sm_buf text = {0}, want = {0};
    int64_t spilled = 0;

    make_lines(&text, ROWS, 100000);
    range_case c = {.file = sm_buf_str(&text), .schema = SCHEMA};
    assert_int_equal(run_within(&c, 2, SIZE_MAX, &want, &spilled), SM_OK);
    c.quantiles = quantiles;
    c.n_quantiles = SM_COUNT(quantiles);
    for (int i = 0; i < SM_COUNT(cases); i++) {
        sm_buf got = {0};
        bool in_parts = false;
        run_parted(&c, cuts, cases[i].threads, cases[i].limit, &got, &in_parts);
        assert_int_equal(in_parts, cases[i].in_parts);
        assert_true(sm_str_eq(sm_buf_str(&got), sm_buf_str(&want)));
        sm_buf_release(&got);
    }
    sm_buf_release(&want);
    sm_buf_release(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_the_rows_of_a_sort),
        cmocka_unit_test(gives_odd_rows),
        cmocka_unit_test(spills_or_refuses),
        cmocka_unit_test(sorts_ranges_of_a_share_side_by_side),
        cmocka_unit_test(gives_rows_in_parts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
