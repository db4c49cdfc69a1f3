/* SPDX-License-Identifier: Apache-2.0
 *
 * base/library_test.c: a library that is there, one that is not, and one that lacks a function. */
#include "base/library.h"

#include "test.h"

typedef unsigned long (*crc_fn)(unsigned long crc, const unsigned char *bytes, unsigned int n);

static void finds_functions(void **state)
{
    crc_fn crc = NULL;
    const sm_symbol symbols[] = {{"crc32", &crc}};
    static const char *const files[] = {"libnone.so.7", "libz.so.1", NULL};
    const sm_library l = {.files = files, .package = "zlib1g", .symbols = symbols, .n_symbols = 1};
    sm_error e = {0};
    assert_ok(sm_library_open(&l, &e), &e);
    assert_int_equal(crc(0, (const unsigned char *)"123456789", 9), 0xCBF43926);
}

static void says_what_is_missing(void **state)
{
    crc_fn crc = NULL, other = NULL;
    const sm_symbol symbols[] = {{"crc32", &crc}, {"crc33", &other}};
    static const char *const none[] = {"libnone.so.7", NULL};
    static const char *const files[] = {"libz.so.1", NULL};
    sm_library l = {.files = none, .package = "zlib1g", .symbols = symbols, .n_symbols = 2};
    sm_error e = {0};
    assert_status(sm_library_open(&l, &e), SM_UNSUPPORTED, &e);
    assert_non_null(strstr(e.what, "libnone.so.7"));
    assert_string_equal(e.todo, "Install zlib1g.");
    l.files = files;
    assert_status(sm_library_open(&l, &e), SM_UNSUPPORTED, &e);
    assert_string_equal(e.what, "the library \"libz.so.1\" has no function \"crc33\"");
    assert_null(crc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_functions),
        cmocka_unit_test(says_what_is_missing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
