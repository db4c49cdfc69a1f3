/* SPDX-License-Identifier: Apache-2.0
 *
 * base/hex_test.c: every byte, as a digit or none. */
#include "test.h"

#include "base/hex.h"

static void test_digit(void **state)
{
    static const char digits[] = "0123456789abcdef", capitals[] = "0123456789ABCDEF";

    for (int c = 0; c < 256; c++) {
        const char *small = c ? strchr(digits, c) : NULL;
        const char *large = c ? strchr(capitals, c) : NULL;
        const long want = small ? small - digits : large ? large - capitals : -1;
        assert_int_equal(sm_hex_digit((char)c), want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_digit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
