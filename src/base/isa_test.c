/* SPDX-License-Identifier: Apache-2.0 */
#include "base/isa.h"

#include <stdlib.h>

#include "test.h"

static void test_names(void **state)
{
    sm_isa_level level = SM_ISA_REF;
    assert_true(sm_isa_parse("avx512", &level));
    assert_int_equal(level, SM_ISA_AVX512);
    assert_true(sm_isa_parse(sm_isa_name(SM_ISA_AVX2), &level));
    assert_int_equal(level, SM_ISA_AVX2);
    assert_false(sm_isa_parse("AVX2", &level));
    assert_int_equal(level, SM_ISA_AVX2);
}

static void test_the_environment_lowers_only(void **state)
{
    unsetenv("SMELT_ISA");
    const sm_isa_level machine = sm_isa();
    for (int i = SM_ISA_REF; i <= SM_ISA_AVX512; i++) {
        setenv("SMELT_ISA", sm_isa_name((sm_isa_level)i), 1);
        assert_int_equal(sm_isa(), i < (int)machine ? i : (int)machine);
    }
    setenv("SMELT_ISA", "sse9", 1);
    assert_int_equal(sm_isa(), machine);
    unsetenv("SMELT_ISA");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_the_environment_lowers_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
