/* SPDX-License-Identifier: Apache-2.0
 *
 * base/hash_set_test.c: many hashes, those that look alike, a budget that is used up. */
#include "test.h"

#include "base/hash_set.h"

static sm_hash128 hash_of(int64_t i)
{
    return sm_hash128_of(&i, sizeof(i), 0);
}

static void test_many(void **state)
{
    sm_budget *b = sm_budget_new(NULL, "test", (size_t)64 << 20);
    sm_hash_set set = {.budget = b};
    sm_error e = {0};
    bool is_new = false;

    assert_false(sm_hash_set_has(&set, hash_of(0)));
    sm_hash_set_fetch(&set, hash_of(0)); /* of an empty set */
    for (int64_t i = 0; i < 100000; i++) {
        assert_int_equal(sm_hash_set_add(&set, hash_of(i), &is_new, &e), SM_OK);
        assert_true(is_new);
        sm_hash_set_fetch(&set, hash_of(i));
    }
    assert_int_equal(sm_hash_set_add(&set, hash_of(7), NULL, &e), SM_OK);
    assert_int_equal(set.n, 100000);
    assert_true(sm_budget_used(b) <= 100000 * 48);
    for (int64_t i = 0; i < 200000; i++) {
        assert_int_equal(sm_hash_set_has(&set, hash_of(i)), i < 100000);
    }
    sm_hash_set_release(&set);
    assert_false(sm_hash_set_has(&set, hash_of(7)));
    assert_int_equal(sm_budget_used(b), 0);
    sm_budget_free(b);
}

/* Hashes with the same half, and that of zeros. */
static void test_alike(void **state)
{
    static const sm_hash128 hashes[] = {{.low = 0, .high = 0},    {.low = 0, .high = 1},
                                        {.low = 0, .high = 2},    {.low = 1024, .high = 0},
                                        {.low = 1024, .high = 1}, {.low = 1023, .high = 0}};
    sm_hash_set set = {0};
    sm_error e = {0};
    bool is_new = false;

    for (int i = 0; i < SM_COUNT(hashes); i++) {
        assert_false(sm_hash_set_has(&set, hashes[i]));
        assert_int_equal(sm_hash_set_add(&set, hashes[i], &is_new, &e), SM_OK);
        assert_true(is_new);
        assert_int_equal(sm_hash_set_add(&set, hashes[i], &is_new, &e), SM_OK);
        assert_false(is_new);
    }
    for (int i = 0; i < SM_COUNT(hashes); i++) {
        assert_true(sm_hash_set_has(&set, hashes[i]));
    }
    assert_int_equal(set.n, SM_COUNT(hashes));
    sm_hash_set_release(&set);
}

static void test_budget(void **state)
{
    sm_budget *b = sm_budget_new(NULL, "test", 20000);
    sm_hash_set set = {.budget = b};
    sm_error e = {0};
    sm_status st = SM_OK;
    int64_t n = 0;

    while (st == SM_OK) {
        st = sm_hash_set_add(&set, hash_of(n), NULL, &e);
        n += st == SM_OK;
    }
    assert_int_equal(st, SM_BUDGET);
    assert_int_equal(set.n, n);
    for (int64_t i = 0; i < n; i++) {
        assert_true(sm_hash_set_has(&set, hash_of(i)));
    }
    sm_hash_set_release(&set);
    sm_budget_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_alike),
        cmocka_unit_test(test_budget),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
