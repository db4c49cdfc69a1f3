/* SPDX-License-Identifier: Apache-2.0
 *
 * query/function/win_test.c: window functions over one partition: a table of answers, and qcut
 * against its definition for random values of every kind, sizes on both sides of each method's
 * limits. */
#include "test.h"

#include <math.h>

#include "query/function/agg_testkit.h"

/* "1101": bit i set where row i has other keys than the one before. */
static const uint8_t *peer_bits(const char *peers)
{
    uint8_t *const bits = SM_NEW_ARRAY(arena, uint8_t, strlen(peers) / 8 + 1);
    for (int64_t i = 0; peers[i] != '\0'; i++) {
        if (peers[i] == '1') {
            sm_bit_set(bits, i);
        }
    }
    return bits;
}

static sm_status run(const sm_expr *call, const sm_window_in *in, sm_column *out, sm_error *e)
{
    sm_builder *b = sm_builder_new(call->type, budget);
    const sm_status st = call->fn->window(call, in, b, e);
    if (st == SM_OK) {
        *out = kit_finish(b);
        assert_int_equal(out->n_rows, in->n_rows);
    }
    sm_builder_free(b);
    return st;
}

static sm_window_before before_of(const char *peers, int64_t n)
{
    sm_window_before before = {0};

    for (; before.n_rows < n; before.n_rows++) {
        if (peers[before.n_rows] == '1') {
            before.last_group = before.n_rows;
            before.n_groups++;
        }
    }
    return before;
}

/* ---- by order ---------------------------------------------------------------------------------
 * */

static const struct {
    const char *name;
    sm_window_fn window;
    const char *peers;
    const char *types[2], *args[2];
    const char *want; /* or what the error says, with a '!' before it */
} cases[] = {
    {"row_number", win_row_number, "1011", {"", ""}, {"", ""}, "1;2;3;4"},
    {"row_number", win_row_number, "", {"", ""}, {"", ""}, ""},
    {"rank", win_rank, "1101", {"", ""}, {"", ""}, "1;2;2;4"},
    {"rank", win_rank, "1000", {"", ""}, {"", ""}, "1;1;1;1"},
    {"rank", win_rank, "10110000010", {"", ""}, {"", ""}, "1;1;3;4;4;4;4;4;4;10;10"},
    {"dense_rank", win_dense_rank, "1101", {"", ""}, {"", ""}, "1;2;2;3"},
    {"ntile", win_ntile, "1000", {"BIGINT", ""}, {"3;3;3;3", ""}, "1;1;2;3"},
    {"ntile", win_ntile, "1000", {"BIGINT", ""}, {"9;9;9;9", ""}, "1;2;3;4"},
    {"ntile", win_ntile, "1000", {"BIGINT", ""}, {"1;NULL;1;1", ""}, "1;NULL;1;1"},
    {"ntile", win_ntile, "10000", {"BIGINT", ""}, {"2;2;2;2;2", ""}, "1;1;1;2;2"},
    {"ntile", win_ntile, "10", {"BIGINT", ""}, {"9223372036854775807;1", ""}, "1;1"},
    {"ntile",
     win_ntile,
     "10",
     {"BIGINT", ""},
     {"0;1", ""},
     "!ntile(0): the parts must be 1 or more"},
    {"qcut", win_qcut, "1000", {"INTEGER", "BIGINT"}, {"1;2;2;NULL", "2;2;2;2"}, "1;1;1;NULL"},
    {"qcut", win_qcut, "1", {"INTEGER", "BIGINT"}, {"5", "3"}, "1"},
    {"qcut", win_qcut, "10", {"INTEGER", "BIGINT"}, {"NULL;NULL", "3;3"}, "NULL;NULL"},
    {"qcut", win_qcut, "10", {"NULL", "BIGINT"}, {"NULL;NULL", "3;3"}, "NULL;NULL"},
    {"qcut", win_qcut, "", {"INTEGER", "BIGINT"}, {"", ""}, ""},
    /* n = 7, 6·1/3 = 2, 6·2/3 = 4: up to v[2] = 20, up to v[4] = 40 */
    {"qcut",
     win_qcut,
     "1000000",
     {"BIGINT", "BIGINT"},
     {"50;10;40;20;30;5;60", "3;3;3;3;3;3;3"},
     "3;1;2;1;2;1;3"},
    {"qcut",
     win_qcut,
     "1000",
     {"VARCHAR", "BIGINT"},
     {"b;a text that is long;c;a", "2;2;2;2"},
     "2;1;2;1"},
    {"qcut",
     win_qcut,
     "1000",
     {"DECIMAL(3,1)", "BIGINT"},
     {"-0.5;99.9;0.0;NULL", "2;2;2;2"},
     "1;2;1;NULL"},
    {"qcut", win_qcut, "100", {"DOUBLE", "BIGINT"}, {"nan;-0.0;0.0", "2;2;2"}, "2;1;1"},
    {"qcut",
     win_qcut,
     "100",
     {"DATE", "BIGINT"},
     {"2022-04-01;1969-01-01;2022-04-02", "3;3;3"},
     "2;1;3"},
    {"qcut", win_qcut, "10", {"BOOLEAN", "BIGINT"}, {"true;false", "2;2"}, "2;1"},
    {"qcut", win_qcut, "10", {"INTEGER", "BIGINT"}, {"1;2", "0;0"}, "!qcut needs 1 class or more"},
};

static void test_answers(void **state)
{
    for (int i = 0; i < SM_COUNT(cases); i++) {
        const sm_function fn = {.name = cases[i].name, .window = cases[i].window};
        const sm_type *types[2] = {0};
        sm_column args[2];
        int32_t n_args = 0;
        for (; n_args < 2 && cases[i].types[n_args][0] != '\0'; n_args++) {
            types[n_args] = kit_type(cases[i].types[n_args]);
        }
        for (int as_dict = 0; as_dict < 2; as_dict++) {
            for (int32_t k = 0; k < n_args; k++) {
                const sm_column flat = kit_column(types[k], cases[i].args[k]);
                args[k] = kit_layout(&flat, as_dict);
            }
            const sm_window_in in = {.args = args,
                                     .n_args = n_args,
                                     .n_rows = (int64_t)strlen(cases[i].peers),
                                     .peer_start = peer_bits(cases[i].peers),
                                     .budget = as_dict ? NULL : budget};
            const sm_expr *const call = kit_call(&fn, &sm_type_i64, types, n_args);
            sm_column out;
            sm_error e = {0};
            if (cases[i].want[0] == '!') {
                assert_status(run(call, &in, &out, &e), SM_INVALID, &e);
                assert_string_equal(e.what, cases[i].want + 1);
                assert_int_equal(e.line, 2);
                assert_int_equal(e.byte, 3);
            } else {
                assert_ok(run(call, &in, &out, &e), &e);
                kit_assert_rows(&out, cases[i].want, cases[i].name);
            }
        }
    }
}

/* A partition in two pieces has the numbers that it has as one. */
static void test_pieces(void **state)
{
    static const struct {
        const char *name;
        sm_window_fn window;
        const char *want;
    } numbers[] = {
        {"row_number", win_row_number, "1;2;3;4;5;6;7;8;9;10;11"},
        {"rank", win_rank, "1;1;3;4;4;4;4;8;8;10;10"},
        {"dense_rank", win_dense_rank, "1;1;2;3;3;3;3;4;4;5;5"},
    };
    const char peers[] = "10110001010";
    const int64_t n = sizeof(peers) - 1;

    for (int i = 0; i < SM_COUNT(numbers); i++) {
        const sm_function fn = {.name = numbers[i].name, .window = numbers[i].window};
        const sm_expr *const call = kit_call(&fn, &sm_type_i64, NULL, 0);
        for (int64_t cut = 0; cut <= n; cut++) {
            const sm_window_in second = {.n_rows = n - cut,
                                         .peer_start = peer_bits(peers + cut),
                                         .before = before_of(peers, cut)};
            const sm_window_in first = {.n_rows = cut, .peer_start = peer_bits(peers)};
            sm_builder *b = sm_builder_new(&sm_type_i64, budget);
            sm_error e = {0};
            assert_ok(fn.window(call, &first, b, &e), &e);
            assert_ok(fn.window(call, &second, b, &e), &e);
            const sm_column out = kit_finish(b);
            kit_assert_rows(&out, numbers[i].want, numbers[i].name);
            sm_builder_free(b);
        }
    }
}

/* ---- aggregates over a window -------------------------------------------------------------------
 * */

static const struct {
    const char *name;
    const sm_aggregate *agg;
    bool is_distinct;
    const char *peers;
    const char *type, *result;
    const char *xs;
    const char *want;
} overs[] = {
    {"sum", &agg_sum, false, "1000", "INTEGER", "BIGINT", "1;2;NULL;4", "7;7;7;7"},
    {"sum", &agg_sum, false, "1111", "INTEGER", "BIGINT", "1;2;NULL;4", "1;3;3;7"},
    {"sum", &agg_sum, false, "1011", "INTEGER", "BIGINT", "NULL;2;1;4", "2;2;3;7"},
    {"sum", &agg_sum, false, "1111", "INTEGER", "BIGINT", "NULL;NULL;1;4", "NULL;NULL;1;5"},
    {"count", &agg_count, false, "1101", "VARCHAR", "BIGINT", "a;NULL;b;c", "1;2;2;3"},
    {"max", &agg_max, false, "1111", "VARCHAR", "VARCHAR", "a;b text that is long;NULL;a",
     "a;b text that is long;b text that is long;b text that is long"},
    {"first", &agg_first_row, false, "1111", "VARCHAR", "VARCHAR", "NULL;a;b;c",
     "NULL;NULL;NULL;NULL"},
    {"any_value", &agg_first, false, "1111", "VARCHAR", "VARCHAR", "NULL;a;b;c", "NULL;a;a;a"},
    {"avg", &agg_avg, false, "1111", "DOUBLE", "DOUBLE", "1;2;6;NULL", "1.0;1.5;3.0;3.0"},
    {"count", &agg_count, true, "1111111", "INTEGER", "BIGINT", "5;5;NULL;6;NULL;5;7",
     "1;1;1;2;2;2;3"},
    {"count", &agg_count, true, "1000000", "INTEGER", "BIGINT", "5;5;NULL;6;NULL;5;7",
     "3;3;3;3;3;3;3"},
    {"sum", &agg_sum, true, "1101", "DECIMAL(3,1)", "DECIMAL(38,1)", "0.5;0.5;1.0;0.5",
     "0.5;1.5;1.5;1.5"},
    {"sum", &agg_sum, false, "", "INTEGER", "BIGINT", "", ""},
};

static void test_over(void **state)
{
    for (int i = 0; i < SM_COUNT(overs); i++) {
        const sm_function fn = {.name = overs[i].name, .aggregate = overs[i].agg};
        const sm_type *const t = kit_type(overs[i].type);
        const sm_column c = kit_column(t, overs[i].xs);
        const sm_expr *call = kit_call(&fn, kit_type(overs[i].result), &t, 1);
        call = overs[i].is_distinct ? kit_wrap(&smi_fn_distinct, call) : call;
        call = kit_wrap(&smi_fn_over, call);
        const sm_window_in in = {.args = &c,
                                 .n_args = 1,
                                 .n_rows = c.n_rows,
                                 .peer_start = peer_bits(overs[i].peers),
                                 .budget = budget};
        sm_column out;
        sm_error e = {0};
        assert_ok(run(call, &in, &out, &e), &e);
        kit_assert_rows(&out, overs[i].want, overs[i].name);
    }
}

static void test_over_count_rows(void **state)
{
    const sm_function fn = {.name = "count", .aggregate = &agg_count};
    const sm_expr *const call = kit_wrap(&smi_fn_over, kit_call(&fn, &sm_type_i64, NULL, 0));
    const sm_window_in in = {.n_rows = 4, .peer_start = peer_bits("1101"), .budget = budget};
    sm_column out;
    sm_error e = {0};
    assert_ok(run(call, &in, &out, &e), &e);
    kit_assert_rows(&out, "1;3;3;4", "count(*)");
}

static void test_over_fails(void **state)
{
    const sm_function fn = {.name = "sum", .aggregate = &agg_sum};
    const sm_type *const t = &sm_type_i64;
    const sm_column c = kit_column(t, "9223372036854775807;1");
    const sm_expr *const call = kit_wrap(&smi_fn_over, kit_call(&fn, t, &t, 1));
    sm_window_in in = {.args = &c, .n_args = 1, .n_rows = 2, .peer_start = peer_bits("11")};
    sm_column out;
    sm_error e = {0};
    assert_status(run(call, &in, &out, &e), SM_RANGE, &e);
    assert_string_equal(e.what, "sum of 9223372036854775808 is beyond BIGINT");
    assert_int_equal(e.byte, 3);
    sm_budget *none = sm_budget_new(NULL, "none", 1);
    in.budget = none;
    assert_status(run(call, &in, &out, &e), SM_BUDGET, &e);
    sm_budget_free(none);
}

/* ---- qcut against its definition
 * ------------------------------------------------------------------ */

static uint64_t seed = 7;

static uint64_t next(void)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (seed ^ seed >> 33) * 0xff51afd7ed558ccdu;
}

typedef enum spread { FEW, CLOSE, WIDE, SKEWED, SAME } spread;

static int64_t draw(spread how)
{
    switch (how) {
    case FEW:
        return (int64_t)(next() % 31) - 3;
    case CLOSE:
        return (int64_t)(next() % 2048) + 1000000;
    case WIDE:
        return (int64_t)next();
    case SKEWED:
        return (int64_t)(next() >> (next() % 64));
    case SAME:
        return 77;
    }
    return 0;
}

static void append_random(sm_builder *b, const sm_type *t, spread how)
{
    const int64_t v = draw(how);
    char text[40];
    if (next() % 7 == 0) {
        sm_builder_null(b);
    } else if (t->id == SM_TYPE_F64) {
        sm_builder_f64(b, v % 19 == 0 ? (double)NAN : v % 17 == 0 ? -0.0 : (double)v / 8);
    } else if (t->id == SM_TYPE_F32) {
        sm_builder_f64(b, (double)v / 8);
    } else if (t->id == SM_TYPE_DECIMAL) {
        sm_builder_i128(b, (sm_i128)v * 1000);
    } else if (t->id == SM_TYPE_STRING) {
        snprintf(text, sizeof(text), "%lld", (long long)v);
        sm_builder_str(b, sm_str_of(text));
    } else if (t->id == SM_TYPE_U64) {
        sm_builder_u64(b, (uint64_t)v);
    } else {
        sm_builder_i64(b, t->id == SM_TYPE_I64 ? v : (int32_t)v);
    }
}

static int cmp_values(const void *a, const void *b)
{
    return sm_value_cmp(*(const sm_value *)a, *(const sm_value *)b);
}

/* The least k in 1 … parts − 1 with x <= v[(k · (n − 1)) div parts], else parts. */
static int64_t class_of(sm_value x, const sm_value *v, int64_t n, int64_t parts)
{
    int64_t low = 1, high = parts;
    while (low < high) {
        const int64_t k = low + (high - low) / 2;
        if (sm_value_cmp(x, v[(int64_t)((sm_i128)k * (n - 1) / parts)]) <= 0) {
            high = k;
        } else {
            low = k + 1;
        }
    }
    return low;
}

static void check_qcut(const sm_type *t, spread how, int64_t n_rows, int64_t parts)
{
    const sm_function fn = {.name = "qcut", .window = win_qcut};
    const sm_type *types[2] = {t, &sm_type_i64};
    sm_builder *b = sm_builder_new(t, budget);
    sm_value *const sorted = sm_alloc((size_t)n_rows * sizeof(*sorted));
    sm_error e = {0};
    sm_column args[2], out;
    int64_t n = 0;
    for (int64_t i = 0; i < n_rows; i++) {
        append_random(b, t, how);
    }
    args[0] = kit_finish(b);
    assert_ok(sm_column_constant(sm_value_i64(parts), n_rows, batch, &args[1], &e), &e);
    for (int64_t i = 0; i < n_rows; i++) {
        if (!sm_column_is_null(&args[0], i)) {
            sorted[n++] = sm_column_value(&args[0], i);
        }
    }
    qsort(sorted, (size_t)n, sizeof(*sorted), cmp_values);
    const sm_window_in in = {.args = args, .n_args = 2, .n_rows = n_rows, .budget = budget};
    assert_ok(run(kit_call(&fn, &sm_type_i64, types, 2), &in, &out, &e), &e);
    for (int64_t i = 0; i < n_rows; i++) {
        assert_int_equal(sm_column_is_null(&out, i), sm_column_is_null(&args[0], i));
        if (!sm_column_is_null(&out, i)) {
            const int64_t want = class_of(sm_column_value(&args[0], i), sorted, n, parts);
            assert_int_equal(sm_column_value(&out, i).as.i, want);
        }
    }
    sm_builder_free(b);
    sm_free(sorted);
}

static void test_qcut(void **state)
{
    static const char *const types[] = {"BIGINT", "INTEGER", "DATE",          "UBIGINT",
                                        "DOUBLE", "FLOAT",   "DECIMAL(38,3)", "VARCHAR"};
    static const int64_t sizes[] = {1, 2, 3, 10, 100, 1023, 1024, 3000};
    static const int64_t parts[] = {1, 2, 3, 10, 16, 17, 100, 1024, 1025, 1000000000000};
    for (int t = 0; t < SM_COUNT(types); t++) {
        for (int s = 0; s < SM_COUNT(sizes); s++) {
            for (int p = 0; p < SM_COUNT(parts); p++) {
                check_qcut(kit_type(types[t]), (spread)(next() % 5), sizes[s], parts[p]);
            }
        }
    }
    for (int how = FEW; how <= SAME; how++) {
        check_qcut(&sm_type_i64, (spread)how, 20000, 3);
        check_qcut(&sm_type_i64, (spread)how, 20000, 1000);
        check_qcut(&sm_type_f64, (spread)how, 20000, 7);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_answers, kit_setup, kit_teardown),
        cmocka_unit_test_setup_teardown(test_pieces, kit_setup, kit_teardown),
        cmocka_unit_test_setup_teardown(test_over, kit_setup, kit_teardown),
        cmocka_unit_test_setup_teardown(test_over_count_rows, kit_setup, kit_teardown),
        cmocka_unit_test_setup_teardown(test_over_fails, kit_setup, kit_teardown),
        cmocka_unit_test_setup_teardown(test_qcut, kit_setup, kit_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
