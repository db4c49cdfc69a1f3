/* SPDX-License-Identifier: Apache-2.0
 *
 * Tests of query/function/regex_class.c: which patterns are of one class, and that what a class
 * says of a text is what PCRE2 says. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "test.h"

#include <pcre2.h>

#include "query/function/function_int.h"

static bool pcre_fits(sm_str pattern, bool whole, sm_str text)
{
    const uint32_t flags =
        PCRE2_UTF | PCRE2_DOLLAR_ENDONLY | (whole ? PCRE2_ANCHORED | PCRE2_ENDANCHORED : 0);
    int code = 0;
    PCRE2_SIZE at = 0;

    pcre2_code *const re =
        pcre2_compile((PCRE2_SPTR)pattern.data, pattern.len, flags, &code, &at, NULL);
    assert_non_null(re);
    pcre2_match_data *const data = pcre2_match_data_create_from_pattern(re, NULL);
    const int n = pcre2_match(re, (PCRE2_SPTR)text.data, text.len, 0, 0, data, NULL);
    pcre2_match_data_free(data);
    pcre2_code_free(re);
    assert_true(n >= 0 || n == PCRE2_ERROR_NOMATCH);
    return n >= 0;
}

static void check_pattern(sm_str pattern, bool whole)
{
    const sm_str texts[] = {
        SM_STR(""),
        SM_STR("A"),
        SM_STR("AB"),
        SM_STR("AB9"),
        SM_STR("AB-9"),
        SM_STR("a"),
        SM_STR("AB\n"),
        SM_STR("\nAB"),
        SM_STR("A\0B"),
        SM_STR("\303\251"),
        SM_STR("A\303\251"),
        SM_STR("{}"),
        SM_STR("123456789 123456789 123456789"),
        SM_STR("~"),
        SM_STR(" "),
        SM_STR("123"),
        SM_STR("1234"),
        SM_STR("$"),
        SM_STR("AAAAAAAA"),
    };
    smi_regex_class c;

    assert_true(smi_regex_class_of(pattern, whole, &c));
    for (size_t i = 0; i < SM_COUNT(texts); i++) {
        const bool expected = pcre_fits(pattern, whole, texts[i]);
        if (smi_regex_class_fits(&c, texts[i]) != expected) {
            fail_msg("%.*s of \"%.*s\" is not %d", SM_STR_ARG(pattern), SM_STR_ARG(texts[i]),
                     (int)expected);
        }
    }
}

static void test_classes(void **state)
{
    static const char *const counts[] = {"",    "+",    "*",     "?",    "{0}",
                                         "{2}", "{2,}", "{1,3}", "{03}", "{0,65535}"};
    static const char *const classes[] = {"[A-Z0-9]", "[123]", "[ -,]",      "[$A-Za-z{}]",
                                          "[.-9]",    "[A]",   "[!-,.-Z_-~]"};

    for (size_t i = 0; i < SM_COUNT(classes); i++) {
        for (size_t k = 0; k < SM_COUNT(counts); k++) {
            char pattern[64];
            const int n = snprintf(pattern, sizeof(pattern), "^%s%s$", classes[i], counts[k]);
            check_pattern((sm_str){pattern, (size_t)n}, false);
            check_pattern((sm_str){pattern, (size_t)n}, true);
            check_pattern((sm_str){pattern + 1, (size_t)n - 1}, true);
            check_pattern((sm_str){pattern + 1, (size_t)n - 2}, true);
        }
    }
}

/* These mean more, or something else. */
static void test_others(void **state)
{
    static const char *const patterns[] = {
        "",
        "^",
        "^$",
        "[A-Z]",
        "^[A-Z]",
        "[A-Z]$",
        "^[^A]$",
        "^[]A]$",
        "^[A-]$",
        "^[-A]$",
        "^[\\d]$",
        "^[[:alpha:]]+$",
        "^[A\303\251]$",
        "^[A]+?$",
        "^[A]++$",
        "^[A]{2}{3}$",
        "^[A]{,3}$",
        "^[A]{2,3}+$",
        "^[A][B]$",
        "^[A]$|B",
        "^[A]$\n",
        "^A$",
        "^([A])$",
        "^[A]{x}$",
        "^[A",
        "^[A]{2",
        "^[A]{2,",
        "^[A-",
        "^[",
        "^[A]+$$",
    };
    smi_regex_class c;

    for (size_t i = 0; i < SM_COUNT(patterns); i++) {
        const sm_str pattern = {patterns[i], strlen(patterns[i])};
        assert_false(smi_regex_class_of(pattern, false, &c));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_classes),
        cmocka_unit_test(test_others),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
