/* SPDX-License-Identifier: Apache-2.0
 *
 * store/store_scratch_test.c: files without a name, to spill to. */
#include "test.h"

#include "scratch.h"
#include "store/store.h"

static void test_bytes_come_back(void **state)
{
    sm_error e = {0};
    sm_scratch *s = NULL;
    uint8_t in[10000], out[10000];
    scratch at = scratch_new();
    const char *folder = at.path;
    for (int i = 0; i < SM_COUNT(in); i++) {
        in[i] = (uint8_t)(i * 7);
    }
    assert_ok(sm_scratch_new(sm_str_of(folder), &s, &e), &e);
    assert_int_equal(count_files(folder), 0);
    assert_ok(sm_scratch_write(s, 0, in, sizeof(in), &e), &e);
    assert_ok(sm_scratch_write(s, 1 << 20, in, sizeof(in), &e), &e); /* a hole before it */
    assert_ok(sm_scratch_read(s, 1 << 20, sizeof(out), out, &e), &e);
    assert_memory_equal(in, out, sizeof(in));
    sm_scratch_drop(s, 0, sizeof(in)); /* of the other, nothing */
    assert_ok(sm_scratch_read(s, 1 << 20, sizeof(out), out, &e), &e);
    assert_memory_equal(in, out, sizeof(in));
    assert_ok(sm_scratch_read(s, 8192, 10000 - 8192, out, &e), &e); /* its last page is not whole */
    assert_memory_equal(in + 8192, out, 10000 - 8192);
    assert_status(sm_scratch_read(s, 1 << 20, sizeof(out) + 1, out, &e), SM_CORRUPT, &e);
    assert_int_equal(count_files(folder), 0);
    sm_scratch_free(s);
    scratch_free(&at);
}

static void test_folders(void **state)
{
    sm_error e = {0};
    sm_scratch *s = NULL;
    assert_status(sm_scratch_new(SM_STR("/nowhere/at/all"), &s, &e), SM_NOT_FOUND, &e);
    assert_non_null(strstr(e.todo, "--spill-dir"));
    assert_string_equal(e.object, "/nowhere/at/all");
    assert_null(s);

    scratch at = scratch_new();
    const char *folder = at.path;
    setenv("TMPDIR", "/nowhere/either", 1);
    assert_status(sm_scratch_new(SM_STR(""), &s, &e), SM_NOT_FOUND, &e);
    setenv("TMPDIR", folder, 1);
    assert_ok(sm_scratch_new(SM_STR(""), &s, &e), &e);
    sm_scratch_free(s);
    unsetenv("TMPDIR");
    scratch_free(&at);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes_come_back),
        cmocka_unit_test(test_folders),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
