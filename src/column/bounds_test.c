/* SPDX-License-Identifier: Apache-2.0
 *
 * column/bounds_test.c: every bound against every small set of rows: what is excluded must have no
 * row that fits, and what is known exactly must be excluded where none fits. */
#include "test.h"

#include <math.h>

#include "column/bounds.h"

static const sm_bound_op ops[] = {SM_BOUND_EQ, SM_BOUND_LT,      SM_BOUND_LE,       SM_BOUND_GT,
                                  SM_BOUND_GE, SM_BOUND_IS_NULL, SM_BOUND_NOT_NULL, SM_BOUND_IN};

static bool fits(sm_bound_op op, sm_value row, sm_value v)
{
    if (row.is_null || op == SM_BOUND_IS_NULL || op == SM_BOUND_NOT_NULL) {
        return row.is_null == (op == SM_BOUND_IS_NULL) && (row.is_null || op == SM_BOUND_NOT_NULL);
    }
    const int c = sm_value_cmp(row, v);
    switch (op) {
    case SM_BOUND_LT:
        return c < 0;
    case SM_BOUND_LE:
        return c <= 0;
    case SM_BOUND_GT:
        return c > 0;
    case SM_BOUND_GE:
        return c >= 0;
    default:
        return c == 0;
    }
}

/* min and max over the rows that are neither null nor NaN, as statistics have them. */
static sm_range range_of(const sm_value *rows, int n)
{
    sm_range r = {.has_nulls = true, .n_rows = n};
    for (int i = 0; i < n; i++) {
        if (rows[i].is_null) {
            r.n_nulls++;
        } else if (rows[i].type == &sm_type_f64 && isnan(rows[i].as.f)) {
            r.may_have_nan = true;
        } else {
            r.min = !r.has_min || sm_value_cmp(rows[i], r.min) < 0 ? rows[i] : r.min;
            r.max = !r.has_max || sm_value_cmp(rows[i], r.max) > 0 ? rows[i] : r.max;
            r.has_min = r.has_max = true;
        }
    }
    return r;
}

static void check(const sm_value *rows, int n, sm_value v)
{
    for (int k = 0; k < SM_COUNT(ops); k++) {
        const sm_bound b = {.op = ops[k], .value = v, .values = &v, .n_values = 1};
        bool any = false;
        for (int i = 0; i < n; i++) {
            any = any || fits(ops[k], rows[i], v);
        }
        sm_range r = range_of(rows, n);
        const bool excluded = sm_bound_excludes(&b, &r);
        assert_false(excluded && any);
        /* All values in one place and no NaN: then the range says everything. */
        if (!any && !r.may_have_nan && ops[k] != SM_BOUND_EQ && ops[k] != SM_BOUND_IN &&
            !isnan(v.as.f)) {
            assert_true(excluded);
        }
        r.has_min = r.has_max = r.has_nulls = false;
        r.may_have_nan = true;
        assert_false(sm_bound_excludes(&b, &r) && any);
    }
}

static void test_all_small_sets(void **state)
{
    const double values[] = {-1, 0, 1, INFINITY, NAN};
    sm_value all[6];
    for (int i = 0; i < 5; i++) {
        all[i] = (sm_value){.type = &sm_type_f64, .as.f = values[i]};
    }
    all[5] = sm_value_null(&sm_type_f64);
    for (int set = 1; set < 64; set++) {
        sm_value rows[6];
        int n = 0;
        for (int i = 0; i < 6; i++) {
            if (set >> i & 1) {
                rows[n++] = all[i];
            }
        }
        for (int i = 0; i < 5; i++) {
            check(rows, n, all[i]);
        }
        check(rows, n, (sm_value){.type = &sm_type_f64, .as.f = 0.5});
    }
}

static void test_edges(void **state)
{
    const sm_value five = sm_value_i64(5), ten = sm_value_i64(10);
    const sm_range r = {.has_min = true, .has_max = true, .min = five, .max = ten, .n_rows = 3};
    sm_bound b = {.op = SM_BOUND_EQ, .value = sm_value_null(&sm_type_i64)};
    assert_true(sm_bound_excludes(&b, &r)); /* = NULL holds for no row */

    b.value = sm_value_str(SM_STR("x"));
    assert_false(sm_bound_excludes(&b, &r)); /* statistics of another type */

    const sm_value none[] = {sm_value_i64(4), sm_value_null(&sm_type_i64), sm_value_i64(11)};
    const sm_value some[] = {sm_value_i64(4), sm_value_i64(7)};
    b = (sm_bound){.op = SM_BOUND_IN, .values = none, .n_values = 3};
    assert_true(sm_bound_excludes(&b, &r));
    b.values = some;
    b.n_values = 2;
    assert_false(sm_bound_excludes(&b, &r));
    b.n_values = 0;
    assert_true(sm_bound_excludes(&b, &r));

    const sm_range nothing = {0};
    for (int k = 0; k < SM_COUNT(ops); k++) {
        b = (sm_bound){.op = ops[k], .value = five, .values = some, .n_values = 2};
        assert_false(sm_bound_excludes(&b, &nothing));
    }
    const sm_range wide = {.has_min = true,
                           .has_max = true,
                           .min = sm_value_str(SM_STR("ab")),
                           .max = sm_value_str(SM_STR("ac")),
                           .n_rows = 2};
    b = (sm_bound){.op = SM_BOUND_EQ, .value = sm_value_str(SM_STR("abc"))};
    assert_false(sm_bound_excludes(&b, &wide));
    b.value = sm_value_str(SM_STR("acx"));
    assert_true(sm_bound_excludes(&b, &wide));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_small_sets),
        cmocka_unit_test(test_edges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
