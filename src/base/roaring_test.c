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

/* ---- writing --------------------------------------------------------------------------------- */

static void put_bits(uint8_t *bits, uint32_t first, uint32_t end, uint32_t step)
{
    for (uint32_t i = first; i < end; i += step) {
        bits[i / 8] |= (uint8_t)(1u << i % 8);
    }
}

/* Numbers of one kind of container, and the bytes that they begin with. */
static const struct {
    uint32_t first, end, step;
    const char *head;
    size_t head_len, len;
} written[] = {
    {3, 8, 4, "\x3a\x30\0\0\x01\0\0\0\0\0\x01\0\x10\0\0\0\x03\0\x07\0", 20, 20},
    {10, 13, 1, RUN, sizeof(RUN) - 1, sizeof(RUN) - 1},
    /* 5,000 of 65,536: a bitmap; 4,096 are an array of 2 bytes each */
    {65536, 75536, 2, "\x3a\x30\0\0\x01\0\0\0\x01\0\x87\x13\x10\0\0\0\x55\x55", 18, 16 + 8192},
    {0, 8192, 2, "\x3a\x30\0\0\x01\0\0\0\0\0\xff\x0f\x10\0\0\0\0\0\x02\0", 20, 16 + 8192},
};

static void test_write(void **state)
{
    for (int i = 0; i < SM_COUNT(written); i++) {
        static uint8_t bits[16384];
        sm_buf out = {0};
        sm_error e = {0};
        memset(bits, 0, sizeof(bits));
        put_bits(bits, written[i].first, written[i].end, written[i].step);
        assert_ok(sm_roaring_write(bits, 131072, &out, &e), &e);
        assert_int_equal(out.len, written[i].len);
        assert_memory_equal(out.data, written[i].head, written[i].head_len);
        sm_buf_release(&out);
    }
}

/* Bits behind the last one are not numbers of the set. */
static void test_write_end(void **state)
{
    uint8_t bits[17];

    memset(bits, 0xff, sizeof(bits));
    for (int64_t n_bits = 0; n_bits <= 130; n_bits++) {
        sm_buf out = {0};
        sm_error e = {0};
        seen s = {.most = 1000};
        size_t used = 0;
        assert_ok(sm_roaring_write(bits, n_bits, &out, &e), &e);
        assert_true(sm_roaring_read(out.data, out.len, take, &s, &used));
        assert_int_equal(s.n, n_bits);
        assert_int_equal(used, out.len);
        sm_buf_release(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read),  cmocka_unit_test(test_cut_off),   cmocka_unit_test(test_stop),
        cmocka_unit_test(test_write), cmocka_unit_test(test_write_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
