/* SPDX-License-Identifier: Apache-2.0
 *
 * exec/exec_origin_test.c: rows that leave with their origin: file, line and byte are those that
 * each line has in its text, whatever the other lines are like, with any number of threads and size
 * of morsels, from a CHECK in the scan's pipe and from one behind a window. */
#include "exec_testkit.h"

#define N_FILES 4
#define SCHEMA  "STRUCT(i BIGINT, f BIGINT, line BIGINT, byte BIGINT, t VARCHAR)"
#define N_OWN   3 /* columns of the plan before those of the origin */

/* A line of a file that says itself where it is. `kind` varies how it looks. */
static void put_line(sm_buf *out, int64_t file, int64_t line, int64_t i)
{
    const size_t at = out->len;

    switch (i % 11) {
    case 3: /* blank, and another line end */
        sm_buf_printf(out, " \r\n");
        return;
    case 5: /* refused */
        sm_buf_printf(out, "{\"i\":tru}\n");
        return;
    case 7: /* keys in another order, and a text that no shape has */
        sm_buf_printf(out, "{\"t\":\"\\u00e9\\n\",\"byte\":%zu,\"line\":%d,\"f\":%d,\"i\":%d}\r\n",
                      at, (int)line, (int)file, (int)i);
        return;
    default:
        sm_buf_printf(out, "{\"i\":%d,\"f\":%d,\"line\":%d,\"byte\":%zu,\"t\":\"%s\"}\n", (int)i,
                      (int)file, (int)line, at,
                      i % 13 == 0 ? "a longer text that has some more bytes" : "x");
    }
}

/* The third has a byte-order mark, the second no line, the last no LF at its end. */
static sm_str file_text(sm_arena *a, int64_t file)
{
    sm_buf text = {0};

    if (file == 2) {
        sm_buf_text(&text, SM_STR("\xef\xbb\xbf"));
    }
    for (int64_t i = 0; i < 700 && file != 1; i++) {
        put_line(&text, file, i + 1, i);
    }
    if (file == N_FILES - 1) {
        text.len--;
    }
    return sm_arena_take(a, &text);
}

static const sm_expr *expr_of(kit *k, const sm_type *columns, const char *text)
{
    sm_sql *sql = SM_NEW(k->arena, sm_sql);
    const sm_expr *x = NULL;
    sm_error e = {0};
    *sql = (sm_sql){.name = SM_STR("test"), .text = sm_str_of(text)};
    assert_ok(sm_query_expr(sql, columns, NULL, k->arena, &x, &e), &e);
    return x;
}

static const sm_plan_node *check_of(kit *k, const sm_plan_node *in, const char *holds, int32_t side)
{
    const sm_check check = {.name = SM_STR("c"),
                            .holds = expr_of(k, in->schema, holds),
                            .action = SM_POLICY_QUARANTINE};
    const sm_plan_node *out = NULL;
    sm_error e = {0};
    assert_ok(sm_plan_check(in, &check, 1, side, k->arena, &out, &e), &e);
    return out;
}

/* How many rows so far have been of the same file. */
static const sm_plan_node *count_of_file(kit *k, const sm_plan_node *in)
{
    const sm_expr *by = sm_expr_column(in->schema, 1, k->arena);
    sm_window_item item = {.partition = &by, .n_partition = 1};
    const sm_plan_node *out = NULL;
    sm_error e = {0};
    assert_ok(sm_expr_call("row_number", NULL, 0, k->arena, &item.call, &e), &e);
    assert_ok(sm_plan_window(in, &item, 1, k->arena, &out, &e), &e);
    return out;
}

/* scan, filter, project, CHECK (side 0), window, CHECK (side 1), without the origin. */
static void make_plan(kit *k)
{
    sm_error e = {0};
    sm_str texts[N_FILES];
    sm_plan *plan = NULL;
    for (int64_t i = 0; i < N_FILES; i++) {
        texts[i] = file_text(k->arena, i);
    }
    const sm_relation r = {.dataset = k_dataset(k, SCHEMA, texts, N_FILES, false),
                           .label = SM_STR("lines"),
                           .keep_refused = true};
    const sm_plan_node *n = sm_plan_scan(&r, false, k->arena);
    assert_ok(sm_plan_filter(n, expr_of(k, n->schema, "i % 2 = 0"), k->arena, &n, &e), &e);
    const sm_expr *const columns[N_OWN] = {sm_expr_column(n->schema, 2, k->arena),
                                           sm_expr_column(n->schema, 1, k->arena),
                                           sm_expr_column(n->schema, 3, k->arena)};
    const sm_str names[N_OWN] = {SM_STR("line"), SM_STR("f"), SM_STR("byte")};
    n = sm_plan_project(n, columns, names, N_OWN, k->arena);
    n = sm_plan_with_origin(n, k->arena);
    assert_non_null(n);
    assert_int_equal(n->schema->n_fields, N_OWN + SM_ORIGIN_COLUMNS);
    assert_int_equal(sm_origin_find(n->schema), N_OWN);
    n = check_of(k, n, "line % 3 <> 0", 0);
    n = count_of_file(k, n);
    n = check_of(k, n, "line % 5 <> 0", 1);
    n = sm_plan_without_origin(n, k->arena);
    assert_int_equal(n->schema->n_fields, N_OWN + 1); /* and the window's */
    assert_ptr_equal(sm_plan_without_origin(n, k->arena), n);
    assert_ok(sm_plan_finish(n, k->arena, &plan, &e), &e);
    k->plan = *plan;
}

/* ---- what leaves ----------------------------------------------------------------------------- */

typedef struct side {
    const kit *k;
    int64_t n_rows, n_calls, last_line, last_file;
    int64_t divisor; /* of the lines that leave */
} side;

static int64_t number(const sm_batch *rows, int32_t column, int64_t row)
{
    return sm_column_value(&rows->columns[column], row).as.i;
}

static sm_status push(void *ctx, sm_batch *rows, sm_waker waker, sm_error *e)
{
    side *s = ctx;
    if (s->n_calls++ % 2 == 0) {
        sm_wake(waker);
        return SM_WAIT;
    }
    for (int64_t i = 0; i < rows->n_rows; i++) {
        const sm_str file = sm_column_str(&rows->columns[N_OWN + SM_ORIGIN_FILE], i);
        const int64_t line = number(rows, 0, i), of = number(rows, 1, i);
        assert_int_equal(number(rows, N_OWN + SM_ORIGIN_LINE, i), line);
        assert_int_equal(number(rows, N_OWN + SM_ORIGIN_BYTE_OFFSET, i), number(rows, 2, i));
        assert_int_equal(file.data[file.len - 6] - '0', of); /* f2.json */
        assert_int_equal(line % s->divisor, 0);
        assert_true(of > s->last_file || (of == s->last_file && line > s->last_line));
        s->last_file = of;
        s->last_line = line;
    }
    s->n_rows += rows->n_rows;
    return SM_OK;
}

static void check_origin(int threads, size_t morsel_bytes)
{
    const int64_t live = sm_live_allocs();
    kit k = kit_new(threads, morsel_bytes, 0);
    sm_error e = {0};
    make_plan(&k);
    side first = {.k = &k, .divisor = 3}, second = {.k = &k, .divisor = 5};
    const sm_sink one = {.ctx = &first, .push = push}, two = {.ctx = &second, .push = push};
    const sm_sink *const sides[] = {&one, &two};
    const int32_t lines[] = {N_OWN + SM_ORIGIN_LINE, N_OWN + SM_ORIGIN_LINE};
    const sm_exec_env env = k_env(&k);
    const sm_outputs to = {.sides = sides, .n_sides = 2, .side_lines = lines};
    assert_ok(sm_exec_run_to(&k.plan, &env, &to, &k.report, &e), &e);

    int64_t n_first = 0, n_second = 0;
    for (int64_t i = 0; i < 700; i += 2) { /* the lines that are rows, and pass the filter */
        const bool is_row = i % 11 != 3 && i % 11 != 5;
        n_first += is_row && (i + 1) % 3 == 0;
        n_second += is_row && (i + 1) % 3 != 0 && (i + 1) % 5 == 0;
    }
    assert_int_equal(first.n_rows, 3 * n_first);
    assert_int_equal(second.n_rows, 3 * n_second);
    kit_free(&k);
    assert_int_equal(sm_live_allocs(), live);
}

static void says_where_each_row_is_from(void **state)
{
    static const size_t morsels[] = {97, 1000, 5000, 1 << 20};
    for (int threads = 1; threads <= 4; threads++) {
        for (int m = 0; m < SM_COUNT(morsels); m++) {
            check_origin(threads, morsels[m]);
        }
    }
}

/* Only projections and filters over one scan of lines have an origin. */
static void has_none(void **state)
{
    kit k = kit_new(1, 1000, 0);
    const sm_str text = SM_STR("{\"i\":1}\n");
    const sm_relation r = {.dataset = k_dataset(&k, "STRUCT(i BIGINT)", &text, 1, false),
                           .label = SM_STR("lines")};
    const sm_plan_node *scan = sm_plan_scan(&r, false, k.arena), *both = NULL;
    sm_error e = {0};

    assert_non_null(sm_plan_with_origin(scan, k.arena));
    assert_null(sm_plan_with_origin(sm_plan_with_origin(scan, k.arena), k.arena));
    assert_null(sm_plan_with_origin(sm_plan_limit(scan, 1, 0, k.arena), k.arena));
    assert_ok(sm_plan_union(scan, scan, k.arena, &both, &e), &e);
    assert_null(sm_plan_with_origin(both, k.arena));
    kit_free(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(says_where_each_row_is_from),
        cmocka_unit_test(has_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
