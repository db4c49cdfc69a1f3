/* SPDX-License-Identifier: Apache-2.0
 *
 * base/buf_test.c: bounds, budgets, text. */
#include "test.h"

#include "base/buf.h"

static void test_bounds(void **state)
{
    sm_error e = {0};
    sm_budget *budget = sm_budget_new(NULL, "buf", 1000);
    sm_buf b = {.max_bytes = 900, .budget = budget};
    for (int i = 0; i < 90; i++) {
        assert_ok(sm_buf_add(&b, "0123456789", 10, &e), &e);
        assert_int_equal(sm_budget_used(budget), b.cap);
        assert_true(b.cap <= 900);
    }
    assert_int_equal(b.len, 900);
    assert_status(sm_buf_add(&b, "x", 1, &e), SM_LIMIT, &e);
    assert_string_equal(e.what, "900 bytes and 1 more are over the limit of 900");
    assert_status(sm_buf_reserve(&b, SIZE_MAX, &e), SM_LIMIT, &e);
    assert_int_equal(b.len, 900);
    for (int i = 0; i < 900; i++) {
        assert_int_equal(b.data[i], '0' + i % 10);
    }
    sm_buf_reset(&b);
    assert_int_equal(b.len, 0);
    assert_int_equal(sm_budget_used(budget), b.cap);
    sm_buf_release(&b);
    assert_int_equal(sm_budget_used(budget), 0);

    sm_buf c = {.budget = budget};
    assert_ok(sm_buf_reserve(&c, 600, &e), &e);
    c.len = 600;
    assert_ok(sm_buf_reserve(&c, 400, &e), &e); /* doubling is refused, the need is not */
    assert_int_equal(c.cap, 1000);
    assert_status(sm_buf_reserve(&c, 401, &e), SM_BUDGET, &e);
    assert_int_equal(c.cap, 1000);
    sm_buf_release(&c);
    sm_buf_release(&c); /* is `{0}` again */
    sm_budget_free(budget);
}

static void test_text(void **state)
{
    sm_buf b = {0};
    assert_int_equal(sm_buf_str(&b).len, 0);
    for (int i = 0; i < 300; i++) {
        sm_buf_printf(&b, "%d,", i);
    }
    sm_buf_text(&b, SM_STR("end"));
    sm_buf_text(&b, (sm_str){0});
    char want[2000] = "";
    size_t len = 0;
    for (int i = 0; i < 300; i++) {
        len += (size_t)snprintf(want + len, sizeof(want) - len, "%d,", i);
    }
    snprintf(want + len, sizeof(want) - len, "end");
    assert_int_equal(b.len, strlen(want));
    assert_memory_equal(b.data, want, b.len);
    sm_buf_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
