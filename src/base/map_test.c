/* SPDX-License-Identifier: Apache-2.0
 *
 * base/map_test.c: many keys, their order, places that stay. */
#include "test.h"

#include "base/map.h"

static void test_map(void **state)
{
    sm_arena *a = sm_arena_new(NULL);
    sm_map *m = sm_map_new(a);
    static int values[5000];
    void **places[5000];
    char name[32];
    assert_null(sm_map_get(m, SM_STR("absent")));
    for (int i = 0; i < 5000; i++) {
        snprintf(name, sizeof(name), "key-%d", i);
        places[i] = sm_map_at(m, sm_str_of(name));
        assert_null(*places[i]);
        *places[i] = &values[i];
        memset(name, 'x', sizeof(name)); /* the key was copied */
    }
    assert_int_equal(sm_map_count(m), 5000);
    for (int i = 0; i < 5000; i++) {
        snprintf(name, sizeof(name), "key-%d", i);
        assert_ptr_equal(sm_map_at(m, sm_str_of(name)), places[i]); /* never moved */
        assert_ptr_equal(sm_map_get(m, sm_str_of(name)), &values[i]);
        assert_true(sm_str_is(sm_map_key(m, i), name)); /* in the order of insertion */
        assert_ptr_equal(sm_map_value(m, i), &values[i]);
    }
    assert_int_equal(sm_map_count(m), 5000);
    assert_null(sm_map_get(m, SM_STR("key-5000")));

    *sm_map_at(m, SM_STR("")) = &values[1];
    assert_ptr_equal(sm_map_get(m, (sm_str){0}), &values[1]);
    *sm_map_at(m, (sm_str){"a\0b", 3}) = &values[2];
    assert_null(sm_map_get(m, SM_STR("a")));
    assert_ptr_equal(sm_map_get(m, (sm_str){"a\0b", 3}), &values[2]);
    sm_arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_map),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
