/* contract/contract_kept_test.c: what kept verdicts take for granted. The rest is tested from
 * outside, in tests/cli/test_check_kept.py. */
#include "test.h"

#include "contract/contract_testkit.h"

/* A verdict is kept by what the SQL of its rules reads. A function of time or chance would be more
 * than that: contract_kept.c must then look for it in the rules. */
static void test_sql_depends_on_what_it_reads(void **state)
{
    int32_t n = 0;
    const sm_function *functions = sm_functions(&n);

    (void)state;
    assert_true(n > 100);
    for (int32_t i = 0; i < n; i++) {
        if (functions[i].kind == SM_FN_SCALAR && !functions[i].is_pure) {
            fail_msg("%s gives another value each time", functions[i].name);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sql_depends_on_what_it_reads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
