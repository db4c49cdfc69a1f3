/* SPDX-License-Identifier: Apache-2.0
 *
 * store/store_scratch_test.c: files without a name, to spill to, and their ranges as objects. */
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

/* A blob keeps the store, and that the file, which is closed with the last of them. */
static void test_ranges_are_objects(void **state)
{
    static const char text[] = "{\"id\": 1}\n{\"id\": 22}\n";
    sm_error e = {0};
    sm_scratch *file = NULL;
    sm_blob *blob = NULL;
    sm_buf got = {0};
    char part[6] = "";
    scratch at = scratch_new();
    sm_arena *a = sm_arena_new(NULL);

    assert_ok(sm_scratch_new(sm_str_of(at.path), &file, &e), &e);
    assert_ok(sm_scratch_write(file, 100, text, strlen(text), &e), &e);
    sm_store *s = sm_store_of_scratch(test_stores, file);
    const sm_str second = sm_scratch_key(110, 11, a);
    assert_string_equal(second.data, "110-11.json");
    assert_ok(sm_store_get(s, second, &got, &e), &e);
    assert_true(sm_str_is(sm_buf_str(&got), "{\"id\": 22}\n"));
    sm_buf_release(&got);
    assert_ok(sm_store_get(s, sm_scratch_key(100, 0, a), &got, &e), &e);
    assert_int_equal(got.len, 0);
    sm_buf_release(&got);
    assert_ok(sm_blob_open(s, sm_scratch_key(100, strlen(text), a), &blob, &e), &e);
    sm_store_release(s);
    assert_int_equal(sm_blob_bytes(blob), strlen(text));
    assert_ok(sm_blob_read(blob, 2, 5, part, &e), &e);
    assert_string_equal(part, "id\": ");
    sm_blob_close(blob);
    assert_int_equal(count_files(at.path), 0);
    sm_arena_free(a);
    scratch_free(&at);
}

static void test_what_is_no_range_is_refused(void **state)
{
    static const char *const keys[] = {"x.json", "12.json", "12-", "-5.json", "12-x.json"};
    sm_error e = {0};
    sm_scratch *file = NULL;
    sm_blob *blob = NULL;
    sm_buf got = {0};
    sm_entry entry;
    scratch at = scratch_new();
    sm_arena *a = sm_arena_new(NULL);

    assert_ok(sm_scratch_new(sm_str_of(at.path), &file, &e), &e);
    sm_store *s = sm_store_of_scratch(test_stores, file);
    for (int i = 0; i < SM_COUNT(keys); i++) {
        assert_status(sm_blob_open(s, sm_str_of(keys[i]), &blob, &e), SM_NOT_FOUND, &e);
        assert_null(blob);
    }
    /* nothing was written there */
    assert_status(sm_store_get(s, sm_scratch_key(0, 10, a), &got, &e), SM_CORRUPT, &e);
    sm_buf_release(&got);
    assert_status(sm_store_stat(s, sm_scratch_key(0, 10, a), a, &entry, &e), SM_UNSUPPORTED, &e);
    assert_status(sm_store_put(s, SM_STR("x"), "y", 1, SM_PUT_REPLACE, &e), SM_UNSUPPORTED, &e);
    assert_status(sm_store_delete(s, SM_STR("x"), &e), SM_UNSUPPORTED, &e);
    sm_store_release(s);
    sm_arena_free(a);
    scratch_free(&at);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes_come_back),
        cmocka_unit_test(test_folders),
        cmocka_unit_test(test_ranges_are_objects),
        cmocka_unit_test(test_what_is_no_range_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
