/* SPDX-License-Identifier: Apache-2.0
 *
 * base/roaring_test.c: sets of each kind of container, and damaged ones. */
#include "test.h"

#include "base/roaring.h"

#include <stdlib.h>
#include <string.h>

typedef struct seen {
    uint32_t values[8];
    int n, most;
} seen;

static bool take(uint32_t value, void *ctx)
{
    seen *s = ctx;

    if (s->n < (int)SM_COUNT(s->values)) {
        s->values[s->n] = value;
    }
    return ++s->n < s->most;
}

/* An array with 3, 7 and an array of the next 65,536 with 0; then a run of 10 to 12. */
#define ARRAYS "\x3a\x30\0\0\x02\0\0\0\0\0\x01\0\x01\0\0\0\x18\0\0\0\x1c\0\0\0\x03\0\x07\0\0\0"
#define RUN    "\x3b\x30\0\0\x01\0\0\x02\0\x01\0\x0a\0\x02\0"

static const struct {
    const char *bytes;
    size_t len;
    bool is_read;
    int n;
    uint32_t values[4];
} cases[] = {
    {ARRAYS, sizeof(ARRAYS) - 1, true, 3, {3, 7, 65536}},
    {RUN, sizeof(RUN) - 1, true, 3, {10, 11, 12}},
    {RUN "more", sizeof(RUN) + 3, true, 3, {10, 11, 12}},
    {"", 0, false, 0, {0}},
    {"\x3c\x30\0\0\0\0\0\0", 8, false, 0, {0}},
    {"\x3a\x30\0\0\xff\xff\xff\xff", 8, false, 0, {0}},
};

static void test_read(void **state)
{
    for (int i = 0; i < SM_COUNT(cases); i++) {
        seen s = {.most = 100};
        size_t used = 0;
        const bool is_read =
            sm_roaring_read((const uint8_t *)cases[i].bytes, cases[i].len, take, &s, &used);
        assert_int_equal(is_read, cases[i].is_read);
        assert_int_equal(s.n, cases[i].n);
        assert_memory_equal(s.values, cases[i].values, (size_t)s.n * sizeof(uint32_t));
        assert_true(!is_read || used <= cases[i].len);
    }
}

/* Every shorter piece is refused, from a buffer of just its size. */
static void test_cut_off(void **state)
{
    for (size_t len = 0; len < sizeof(ARRAYS) - 1; len++) {
        uint8_t *bytes = malloc(len + 1);
        seen s = {.most = 100};
        size_t used = 0;
        memcpy(bytes, ARRAYS, len);
        assert_false(sm_roaring_read(bytes, len, take, &s, &used));
        free(bytes);
    }
}

static void test_stop(void **state)
{
    seen s = {.most = 2};
    size_t used = 0;

    assert_false(sm_roaring_read((const uint8_t *)RUN, sizeof(RUN) - 1, take, &s, &used));
    assert_int_equal(s.n, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read),
        cmocka_unit_test(test_cut_off),
        cmocka_unit_test(test_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
