/* SPDX-License-Identifier: Apache-2.0
 *
 * base/hash_test.c: published values, pieces of files. */
#include "test.h"

#include <stdlib.h>

#include "base/hash.h"

static void test_known_values(void **state)
{
    assert_true(sm_hash64("", 0) == 0x2d06800538d394c2u); /* xxHash's own sanity values */
    char hex[33];
    sm_hash128_hex(sm_hash128_of("", 0, 0), hex);
    assert_string_equal(hex, "99aa06d3014798d86001c324468d497f");
    sm_hash128_hex((sm_hash128){.low = 0x0123456789abcdefu, .high = 0xfedcba9876543210u}, hex);
    assert_string_equal(hex, "fedcba98765432100123456789abcdef");

    assert_int_equal(sm_crc32(0, "123456789", 9), 0xcbf43926u);
    assert_int_equal(sm_crc32(sm_crc32(0, "12345", 5), "6789", 4), 0xcbf43926u);
    assert_int_equal(sm_crc32(17, NULL, 0), 17);
    assert_int_equal(sm_crc32_part(sm_crc32(0, "6789", 4), 0) ^
                         sm_crc32_part(sm_crc32(0, "12", 2), 7) ^
                         sm_crc32_part(sm_crc32(0, "345", 3), 4),
                     0xcbf43926u);
}

static void test_mix_is_bijective(void **state)
{
    assert_int_equal(sm_mix64(0), 0);
    for (uint64_t i = 1; i < 64; i++) {
        assert_true(sm_mix64(i) != sm_mix64(i - 1));
    }
}

static void test_file_hash(void **state)
{
    const size_t n = 5 * 65536 + 123;
    uint8_t *bytes = malloc(n);
    for (size_t i = 0; i < n; i++) {
        bytes[i] = (uint8_t)sm_mix64(i);
    }
    const sm_hash128 whole = sm_file_hash_piece(bytes, n, 0);
    const sm_hash128 tail = sm_file_hash_piece(bytes + 3 * 65536, n - 3 * 65536, 3 * 65536);
    const sm_hash128 head = sm_file_hash_piece(bytes, 3 * 65536, 0);
    const sm_hash128 sum = sm_file_hash_add(tail, head); /* in any order */
    assert_true(sum.low == whole.low && sum.high == whole.high);

    const sm_hash128 none = sm_file_hash_piece(NULL, 0, 0);
    assert_true(none.low == 0 && none.high == 0);
    const sm_hash128 one = sm_file_hash_piece("abc", 3, 65536);
    const sm_hash128 want = sm_hash128_of("abc", 3, 1);
    assert_true(one.low == want.low && one.high == want.high);

    memcpy(bytes, bytes + 65536, 65536); /* equal chunks at other places hash differently */
    const sm_hash128 first = sm_file_hash_piece(bytes, 65536, 0);
    const sm_hash128 second = sm_file_hash_piece(bytes + 65536, 65536, 65536);
    assert_true(first.low != second.low);

    const sm_hash128 carry = sm_file_hash_add((sm_hash128){.low = UINT64_MAX, .high = 1},
                                              (sm_hash128){.low = 2, .high = 3});
    assert_true(carry.low == 1 && carry.high == 5);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_values),
        cmocka_unit_test(test_mix_is_bijective),
        cmocka_unit_test(test_file_hash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
