/* SPDX-License-Identifier: Apache-2.0
 *
 * base/policy_test.c: the words of policies, and what a place says of those it does not take. */
#include "test.h"

#include "base/policy.h"

#define BAD_LINES                                                                                  \
    (SM_TAKES(SM_POLICY_FAIL) | SM_TAKES(SM_POLICY_SKIP) | SM_TAKES(SM_POLICY_QUARANTINE))
#define VIOLATION                                                                                  \
    (SM_TAKES(SM_POLICY_FAIL) | SM_TAKES(SM_POLICY_QUARANTINE) | SM_TAKES(SM_POLICY_WARN) |        \
     SM_TAKES(SM_POLICY_NULL))
#define UNKNOWN (SM_TAKES(SM_POLICY_FAIL) | SM_TAKES(SM_POLICY_IGNORE))

static const struct {
    const char *what, *word;
    unsigned takes;
    sm_policy want;
    const char *told, *todo; /* "": it is taken */
} cases[] = {
    {"bad_lines", "fail", BAD_LINES, SM_POLICY_FAIL, "", ""},
    {"bad_lines", "error", BAD_LINES, SM_POLICY_FAIL, "", ""},
    {"bad_lines", "quarantine", BAD_LINES, SM_POLICY_QUARANTINE, "", ""},
    {"unknown", "ignore", UNKNOWN, SM_POLICY_IGNORE, "", ""},
    {"gone", "remove", SM_TAKES(SM_POLICY_REMOVE), SM_POLICY_REMOVE, "", ""},
    {"bad_lines", "rescue", BAD_LINES, 0, "bad_lines cannot be 'rescue'",
     "Use 'fail', 'skip' or 'quarantine'."},
    {"unknown", "null", UNKNOWN, 0, "unknown cannot be 'null'", "Use 'fail' or 'ignore'."},
    {"smelt.onViolation", "null", VIOLATION, SM_POLICY_NULL, "", ""},
    {"smelt.onViolation", "warm", VIOLATION, 0, "smelt.onViolation cannot be 'warm'",
     "Use 'fail', 'quarantine', 'warn' or 'null'."},
    {"copies", "error", SM_TAKES(SM_POLICY_KEEP), 0, "copies cannot be 'error'", "Use 'keep'."},
    {"unknown", "drop", UNKNOWN, 0, "unknown cannot be 'drop'", "Use 'fail' or 'ignore'."},
    {"unknown", "Fail", UNKNOWN, 0, "unknown cannot be 'Fail'", "Use 'fail' or 'ignore'."},
    {"unknown", "", UNKNOWN, 0, "unknown cannot be ''", "Use 'fail' or 'ignore'."},
};

static void a_place_takes_some_of_the_words(void **state)
{
    for (int i = 0; i < SM_COUNT(cases); i++) {
        sm_policy got = SM_POLICIES;
        sm_error e = {0};
        const sm_status want = cases[i].told[0] != '\0' ? SM_INVALID : SM_OK;
        assert_status(
            sm_policy_parse(cases[i].what, sm_str_of(cases[i].word), cases[i].takes, &got, &e),
            want, &e);
        assert_int_equal(got, want == SM_OK ? cases[i].want : SM_POLICIES);
        assert_string_equal(e.what, cases[i].told);
        assert_string_equal(e.todo, cases[i].todo);
    }
}

static void every_policy_has_a_word_of_its_own(void **state)
{
    for (int i = 0; i < SM_POLICIES; i++) {
        sm_policy got = SM_POLICIES;
        sm_error e = {0};
        const sm_str word = sm_str_of(sm_policy_name((sm_policy)i));
        assert_ok(sm_policy_parse("x", word, SM_TAKES(i), &got, &e), &e);
        assert_int_equal(got, i);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_place_takes_some_of_the_words),
        cmocka_unit_test(every_policy_has_a_word_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
