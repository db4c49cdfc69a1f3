/* SPDX-License-Identifier: Apache-2.0
 *
 * base/str_test.c: comparisons, near names. */
#include "test.h"

#include "base/str.h"

static void test_compare(void **state)
{
    assert_true(sm_str_eq(SM_STR("ab"), sm_str_of("ab")));
    assert_false(sm_str_eq(SM_STR("ab"), SM_STR("aB")));
    assert_true(sm_str_eq((sm_str){0}, SM_STR("")));
    assert_true(sm_str_is(SM_STR("x"), "x"));
    assert_true(sm_str_starts(SM_STR("s3://b"), SM_STR("s3://")));
    assert_false(sm_str_starts(SM_STR("s3"), SM_STR("s3://")));
    assert_true(sm_str_starts((sm_str){0}, SM_STR("")));
    assert_true(sm_str_ends(SM_STR("x.json"), SM_STR(".json")));
    assert_false(sm_str_ends(SM_STR("json"), SM_STR(".json")));
    assert_true(sm_str_ends((sm_str){0}, (sm_str){0}));
    assert_true(sm_str_eq_nocase(SM_STR("SeLeCt"), SM_STR("sElEcT")));
    assert_false(sm_str_eq_nocase(SM_STR("@["), SM_STR("`{"))); /* 32 apart, but no letters */
    assert_false(sm_str_eq_nocase(SM_STR("a"), SM_STR("ab")));
    static const struct {
        const char *a, *b;
        int want;
    } rows[] = {
        {"", "", 0},    {"", "a", -1},   {"a", "", 1},     {"a", "b", -1},
        {"b", "ab", 1}, {"a", "ab", -1}, {"\xFF", "a", 1}, {"ab", "ab", 0},
    };
    for (int i = 0; i < SM_COUNT(rows); i++) {
        assert_int_equal(sm_str_cmp(sm_str_of(rows[i].a), sm_str_of(rows[i].b)), rows[i].want);
    }
}

static void test_nearest(void **state)
{
    static const sm_str names[] = {
        {"height", 6}, {"Weight", 6}, {"leaf_count", 10}, {"id", 2}, {"soil", 4}, {"", 0},
    };
    static const struct {
        const char *wanted, *want;
    } rows[] = {
        {"height", "Weight"}, /* itself is no advice */
        {"hieght", "height"}, /* a swap of neighbours is one edit */
        {"heigth", "height"},
        {"weight", "Weight"}, /* case counts half, a letter whole */
        {"WEIGHT", "Weight"},
        {"leafcount", "leaf_count"},
        {"leaf_counts", "leaf_count"},
        {"lefcnt", NULL},
        {"ID", "id"},
        {"i", NULL}, /* one letter of one is all of it */
        {"if", "id"},
        {"xy", NULL},
        {"soli", "soil"},
        {"boat", NULL},
        {"", NULL},
    };
    for (int i = 0; i < SM_COUNT(rows); i++) {
        const char *got = sm_nearest_name(sm_str_of(rows[i].wanted), names, SM_COUNT(names));
        if (!rows[i].want != !got || (got && strcmp(got, rows[i].want) != 0)) {
            fail_msg("\"%s\": got %s", rows[i].wanted, got ? got : "none");
        }
    }
    assert_null(sm_nearest_name(SM_STR("x"), NULL, 0));
    char longer[300];
    memset(longer, 'a', sizeof(longer));
    const sm_str long_name = {longer, sizeof(longer)};
    assert_null(sm_nearest_name(long_name, &long_name, 1));
    assert_null(sm_nearest_name(SM_STR("aaaa"), &long_name, 1));
}

static void texts_of_each_length_are_copied(void **state)
{
    uint8_t from[80], to[80];
    for (size_t n = 0; n < sizeof(from) - 2; n++) {
        for (size_t i = 0; i < sizeof(from); i++) {
            from[i] = (uint8_t)(i + 1);
            to[i] = 0xEE;
        }
        sm_str_copy(to + 1, n > 0 ? from : NULL, n);
        assert_memory_equal(to + 1, from, n);
        assert_int_equal(to[0], 0xEE);
        assert_int_equal(to[n + 1], 0xEE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_of_each_length_are_copied),
        cmocka_unit_test(test_compare),
        cmocka_unit_test(test_nearest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
