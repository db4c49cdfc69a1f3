/* SPDX-License-Identifier: Apache-2.0
 *
 * Tests of sums of decimals, and of casts of integers to them. */
#include "fn_cases.h"

static void test_limits(void **state)
{
    static const char nines[] = "99999999999999999999999999999999999999::DECIMAL(38,0)";
    static const char half[] = "50000000000000000000000000000000000000::DECIMAL(38,0)";
    const fn_case cases[] = {
        {"? + ?", {nines, "0::DECIMAL(38,0)"}, "99999999999999999999999999999999999999"},
        {"? + ?", {nines, "1::DECIMAL(38,0)"}, "is out of the range of DECIMAL(38,0)", SM_RANGE},
        {"? + ?", {half, half}, "is out of the range of DECIMAL(38,0)", SM_RANGE},
        {"? - ?", {half, half}, "0"},
        {"? + ?", {nines, nines}, "is out of the range of DECIMAL(38,0)", SM_RANGE},
        {"-? - ?", {nines, "1::DECIMAL(38,0)"}, "is out of the range", SM_RANGE},
        {"-? + ?", {nines, nines}, "0"},
        {"? + ?",
         {"18446744073709551615::DECIMAL(38,0)", "1::DECIMAL(38,0)"},
         "18446744073709551616"},
        {"? - ?",
         {"-9223372036854775808::DECIMAL(38,0)", "1::DECIMAL(38,0)"},
         "-9223372036854775809"},
        {"? + ?", {"0.5::DECIMAL(3,1)", "99.9::DECIMAL(3,1)"}, "100.4"},
    };
    fn_cases_run(cases, SM_COUNT(cases));
}

static void test_casts(void **state)
{
    static const fn_case cases[] = {
        {"?::DECIMAL(38,0)", {"-9223372036854775808"}, "-9223372036854775808"},
        {"?::DECIMAL(19,0)", {"9223372036854775807"}, "9223372036854775807"},
        {"?::DECIMAL(18,0)", {"9223372036854775807"}, "cannot be cast", SM_RANGE},
        {"?::DECIMAL(38,19)", {"-9223372036854775808"}, "-9223372036854775808.0000000000000000000"},
        {"?::DECIMAL(38,20)", {"9223372036854775807"}, "cannot be cast", SM_RANGE},
        {"?::DECIMAL(38,2)", {"-7::TINYINT"}, "-7.00"},
        {"?::DECIMAL(38,2)", {"200::UTINYINT"}, "200.00"},
        {"?::DECIMAL(38,0)", {"18446744073709551615::UBIGINT"}, "18446744073709551615"},
    };
    fn_cases_run(cases, SM_COUNT(cases));
}

/* ---- many rows ------------------------------------------------------------------------------- */

#define N_ROWS 200

/* A value of up to so many bits, which lies within ±(10^38 − 1). */
static sm_i128 random_value(uint64_t *seed, int bits)
{
    unsigned __int128 v = 0;
    for (int k = 0; k < 2; k++) {
        *seed = *seed * UINT64_C(6364136223846793005) + 1442695040888963407;
        v = v << 64 | (*seed ^ *seed >> 29);
    }
    v = v >> (128 - bits) >> 1;
    const sm_i128 most = (sm_i128)10000000000000000000u * 10000000000000000000u - 1;
    const sm_i128 kept = (sm_i128)v > most ? most : (sm_i128)v;
    return *seed >> 63 ? -kept : kept;
}

static void add_decimals(sm_batch *in, int column, const sm_i128 *v, int64_t null_row)
{
    sm_error e = {0};
    sm_builder *const b = sm_builder_new(in->schema->fields[column].type, NULL);
    for (int64_t i = 0; i < N_ROWS; i++) {
        if (i == null_row) {
            sm_builder_null(b);
        } else {
            sm_builder_value(b, (sm_value){.type = in->schema->fields[column].type, .as.d = v[i]});
        }
    }
    assert_ok(sm_builder_finish(b, in, &in->columns[column], &e), &e);
    sm_builder_free(b);
}

/* Rows of random values: the sum of each, or an error where one is beyond the range. */
static void check_sums(uint64_t seed, int bits, const char *text, bool has_null)
{
    sm_arena *const a = sm_arena_new(NULL);
    const sm_type *const t = sm_type_decimal(a, 38, 0);
    const sm_field fields[] = {{.name = SM_STR("x"), .type = t, .is_nullable = true},
                               {.name = SM_STR("y"), .type = t, .is_nullable = true}};
    const sm_sql sql = {.name = SM_STR("q"), .text = sm_str_of(text)};
    const sm_i128 limit = (sm_i128)10000000000000000000u * 10000000000000000000u;
    const int64_t null_row = has_null ? 7 : -1;
    sm_error e = {0};
    sm_batch *in = NULL, *into = NULL;
    sm_column got = {0};
    const sm_expr *expr = NULL;
    sm_i128 x[N_ROWS], y[N_ROWS], sums[N_ROWS];
    bool fits = true;
    for (int64_t i = 0; i < N_ROWS; i++) {
        x[i] = random_value(&seed, bits);
        y[i] = random_value(&seed, bits);
        const bool over = strchr(text, '-') ? __builtin_sub_overflow(x[i], y[i], &sums[i])
                                            : __builtin_add_overflow(x[i], y[i], &sums[i]);
        fits = fits && (i == null_row || (!over && sums[i] < limit && sums[i] > -limit));
    }
    assert_ok(sm_batch_new(NULL, sm_type_struct(a, fields, 2), &in, &e), &e);
    assert_ok(sm_batch_new(NULL, in->schema, &into, &e), &e);
    in->n_rows = N_ROWS;
    add_decimals(in, 0, x, null_row);
    add_decimals(in, 1, y, -1);
    assert_ok(sm_query_expr(&sql, in->schema, NULL, a, &expr, &e), &e);
    const sm_status st = sm_expr_eval(expr, in, NULL, into, &got, &e);
    assert_status(st, fits ? SM_OK : SM_RANGE, &e);
    for (int64_t i = 0; st == SM_OK && i < N_ROWS; i++) {
        assert_int_equal(sm_column_is_null(&got, i), i == null_row);
        assert_true(i == null_row || sm_column_value(&got, i).as.d == sums[i]);
    }
    sm_batch_release(in);
    sm_batch_release(into);
    sm_arena_free(a);
}

static void test_sums(void **state)
{
    for (int bits = 2; bits <= 127; bits++) {
        for (int k = 0; k < 4; k++) {
            check_sums((uint64_t)(bits * 4 + k), bits, k % 2 ? "x - y" : "x + y", k >= 2);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_casts),
        cmocka_unit_test(test_sums),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
