/* SPDX-License-Identifier: Apache-2.0
 *
 * store/store_test.c: names, objects, listings and blobs, on disk and in memory. */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include "base/thread.h"
#include "scratch.h"
#include "store/store.h"

/* ---- names ----------------------------------------------------------------------------------- */

static void test_open(void **state)
{
    static const struct {
        const char *uri;
        sm_status want;
        const char *name; /* what the store calls itself, or a part of the message */
    } rows[] = {
        {"/a/b", SM_OK, "/a/b"},
        {"/a/b///", SM_OK, "/a/b"},
        {"/", SM_OK, "/"},
        {".", SM_OK, "."},
        {"file:///a/b/", SM_OK, "file:///a/b"},
        {"FILE:///a", SM_OK, "FILE:///a"},
        {"file://localhost/a", SM_OK, "file://localhost/a"},
        {"memory://names/p/q/", SM_OK, "memory://names/p/q"},
        {"", SM_INVALID, "not the name of a store"},
        {"file://elsewhere/a", SM_INVALID, "another host"},
        {"file://a", SM_INVALID, "another host"},
        {"memory://", SM_INVALID, "is empty"},
        {"memory://a/../b", SM_INVALID, "\"..\""},
        {"ftp://host/a", SM_UNSUPPORTED, "\"ftp://\""},
    };
    for (int i = 0; i < SM_COUNT(rows); i++) {
        sm_error e = {0};
        sm_store *s = NULL;
        assert_status(sm_store_open(test_stores, sm_str_of(rows[i].uri), &s, &e), rows[i].want, &e);
        if (rows[i].want == SM_OK) {
            assert_string_equal(sm_store_uri(s).data, rows[i].name);
        } else {
            assert_null(s);
            assert_non_null(strstr(e.what, rows[i].name));
        }
        sm_store_release(s);
    }
    sm_error e = {0};
    sm_store *s = NULL;
    assert_status(sm_store_open(test_stores, SM_STR("ftp://x"), &s, &e), SM_UNSUPPORTED, &e);
    assert_non_null(strstr(e.todo, "file://, memory://"));
    assert_status(sm_store_open(test_stores, (sm_str){"/a\0b", 4}, &s, &e), SM_INVALID, &e);
}

static void test_uri_of(void **state)
{
    static const char *const rows[][3] = {
        {"/", "a", "/a"},
        {"/r/", "a/b", "/r/a/b"},
        {"file:///", "a", "file:///a"},
        {"memory://uri_of", "a", "memory://uri_of/a"},
        {".", "a", "./a"},
    };
    sm_arena *a = sm_arena_new(NULL);
    for (int i = 0; i < SM_COUNT(rows); i++) {
        sm_store *s = open_store(rows[i][0]);
        const sm_str got = sm_store_uri_of(s, sm_str_of(rows[i][1]), a);
        assert_string_equal(got.data, rows[i][2]);
        assert_int_equal(got.len, strlen(rows[i][2]));
        sm_store_release(s);
    }
    sm_arena_free(a);
}

static void test_place(void **state)
{
    char home[PATH_MAX], below[PATH_MAX + 8], above[PATH_MAX];
    assert_non_null(getcwd(home, sizeof(home)));
    snprintf(below, sizeof(below), "%s/logs", home);
    snprintf(above, sizeof(above), "%s", home);
    *strrchr(above, '/') = '\0';
    const struct {
        const char *uri, *want;
    } rows[] = {
        {"/data/lake", "/data/lake"},
        {"/data//lake/.", "/data/lake"},
        {"/data/x/../lake/", "/data/lake"},
        {"/../..", "/"},
        {"/", "/"},
        {"file:///data/lake/", "/data/lake"},
        {"file://localhost/data", "/data"},
        {".", home},
        {"./logs", below},
        {"logs/", below},
        {"x/../logs", below},
        {"..", above},
        {"memory://place/a", "memory://place/a"},
    };
    sm_arena *a = sm_arena_new(NULL);

    for (int i = 0; i < SM_COUNT(rows); i++) {
        sm_store *s = NULL;
        sm_error e = {0};
        assert_ok(sm_store_open(test_stores, sm_str_of(rows[i].uri), &s, &e), &e);
        assert_string_equal(sm_store_place(s, a).data, rows[i].want);
        sm_store_release(s);
    }
    sm_arena_free(a);
}

static void test_place_above_a_link(void **state)
{
    char folder[] = "/tmp/smelt-place-XXXXXX";
    assert_non_null(mkdtemp(folder));
    sm_arena *a = sm_arena_new(NULL);
    const sm_str deep = sm_arena_strf(a, "%s/deep", folder);
    const sm_str inner = sm_arena_strf(a, "%s/deep/inner", folder);
    const sm_str link = sm_arena_strf(a, "%s/link", folder);
    const char *const rows[][2] = {
        {"link", "link"},          {"link/x", "link/x"},          {"link/../x", "deep/x"},
        {"link/./../x", "deep/x"}, {"deep/inner/../x", "deep/x"}, {"lost/../x", "x"},
    };

    assert_int_equal(mkdir(deep.data, 0700) | mkdir(inner.data, 0700), 0);
    assert_int_equal(symlink("deep/inner", link.data), 0);
    for (int i = 0; i < SM_COUNT(rows); i++) {
        sm_store *s = NULL;
        sm_error e = {0};
        const sm_str uri = sm_arena_strf(a, "%s/%s", folder, rows[i][0]);
        assert_ok(sm_store_open(test_stores, uri, &s, &e), &e);
        assert_string_equal(sm_store_place(s, a).data,
                            sm_arena_printf(a, "%s/%s", folder, rows[i][1]));
        sm_store_release(s);
    }
    assert_int_equal(unlink(link.data) | rmdir(inner.data) | rmdir(deep.data) | rmdir(folder), 0);
    sm_arena_free(a);
}

static void test_one_folder_by_several_names(void **state)
{
    char folder[] = "/tmp/smelt-place-XXXXXX";
    assert_non_null(mkdtemp(folder));
    sm_arena *a = sm_arena_new(NULL);
    const sm_str one = sm_arena_strf(a, "%s/one", folder);
    const sm_str two = sm_arena_strf(a, "%s/two", folder);
    const sm_str link = sm_arena_strf(a, "%s/link", folder);
    const sm_str lost = sm_arena_strf(a, "%s/lost", folder);

    assert_int_equal(mkdir(one.data, 0700), 0);
    assert_int_equal(mkdir(two.data, 0700), 0);
    assert_int_equal(symlink("one", link.data), 0);
    assert_true(sm_place_is_same(one, one));
    assert_true(sm_place_is_same(one, link));
    assert_false(sm_place_is_same(two, link));
    assert_true(sm_place_is_same(lost, lost));
    assert_false(sm_place_is_same(one, lost));
    assert_false(sm_place_is_same(SM_STR("s3://b/one"), SM_STR("s3://b/two")));
    assert_false(sm_place_is_same(one, SM_STR("s3://b/one")));
    assert_int_equal(unlink(link.data) | rmdir(one.data) | rmdir(two.data) | rmdir(folder), 0);
    sm_arena_free(a);
}

static void test_uri_split(void **state)
{
    static const char *const rows[][3] = {
        {"a.json", ".", "a.json"},
        {"d/a.json", "d", "a.json"},
        {"/a.json", "/", "a.json"},
        {"/d/e/a", "/d/e", "a"},
        {"d/", "d", ""},
        {"", ".", ""},
        {"file:///a", "file:///", "a"},
        {"file:///d/a", "file:///d", "a"},
        {"s3://bucket/d/a", "s3://bucket/d", "a"},
        {"s3://bucket/a", "s3://bucket", "a"},
        {"s3://bucket", "s3://bucket", ""},
    };
    for (int i = 0; i < SM_COUNT(rows); i++) {
        sm_str folder = {0}, name = {0};
        sm_uri_split(sm_str_of(rows[i][0]), &folder, &name);
        assert_true(sm_str_is(folder, rows[i][1]));
        assert_true(sm_str_is(name, rows[i][2]));
    }
}

/* Each way to a key refuses what could leave the root, and touches nothing. */
static void test_refused_keys(void **state)
{
    static const struct {
        const char *data;
        size_t len;
    } keys[] = {
        {"", 0},     {"..", 2},           {".", 1},  {"../x", 4}, {"a/../../x", 9}, {"a/./b", 5},
        {"a//b", 4}, {"/etc/passwd", 11}, {"a/", 2}, {"a/..", 4}, {"a\0b", 3},
    };
    scratch at = scratch_new();
    char root[256];
    snprintf(root, sizeof(root), "%s/inner", at.path);
    const char *uris[] = {root, "memory://refused"};
    for (int u = 0; u < SM_COUNT(uris); u++) {
        sm_store *s = open_store(uris[u]);
        sm_arena *a = sm_arena_new(NULL);
        sm_budget *budget = sm_budget_new(NULL, "refused", 0);
        for (int i = 0; i < SM_COUNT(keys); i++) {
            const sm_str key = {keys[i].data, keys[i].len};
            sm_error e = {0};
            sm_buf buf = {0};
            sm_entry entry;
            sm_blob *b = NULL;
            sm_upload *up = NULL;
            assert_status(sm_store_put(s, key, "x", 1, SM_PUT_REPLACE, &e), SM_INVALID, &e);
            assert_string_equal(e.object, uris[u]);
            assert_status(sm_store_put(s, key, "x", 1, SM_PUT_IF_ABSENT, &e), SM_INVALID, &e);
            assert_status(sm_store_get(s, key, &buf, &e), SM_INVALID, &e);
            assert_status(sm_store_stat(s, key, a, &entry, &e), SM_INVALID, &e);
            assert_status(sm_store_delete(s, key, &e), SM_INVALID, &e);
            assert_status(sm_blob_open(s, key, &b, &e), SM_INVALID, &e);
            assert_status(sm_upload_open(s, key, budget, 0, &up, &e), SM_INVALID, &e);
        }
        static const char *const prefixes[] = {"a", "../", "/", "a//", "./", "a/../"};
        for (int i = 0; i < SM_COUNT(prefixes); i++) {
            sm_error e = {0};
            sm_entry *items = NULL;
            int64_t n = 0;
            assert_status(sm_store_list(s, sm_str_of(prefixes[i]), false, a, &items, &n, &e),
                          SM_INVALID, &e);
        }
        assert_int_equal(sm_store_count(s).requests, 0);
        sm_budget_free(budget);
        sm_arena_free(a);
        sm_store_release(s);
    }
    assert_int_equal(count_files(at.path), 0);
    scratch_free(&at);
}

/* ---- objects --------------------------------------------------------------------------------- */

static void test_copies(sm_store *s)
{
    sm_error e = {0};
    const size_t n = ((size_t)5 << 20) + 7; /* more than goes at a time */
    uint8_t *bytes = malloc(n);
    for (size_t i = 0; i < n; i++) {
        bytes[i] = (uint8_t)(i * 31 >> 3);
    }
    sm_buf buf = {0};
    assert_ok(sm_store_put(s, SM_STR("c/large"), bytes, n, SM_PUT_REPLACE, &e), &e);
    assert_ok(sm_store_copy(s, SM_STR("c/large"), SM_STR("c/again"), &e), &e);
    assert_ok(sm_store_get(s, SM_STR("c/again"), &buf, &e), &e);
    assert_true(buf.len == n && memcmp(buf.data, bytes, n) == 0);
    sm_buf_release(&buf);
    free(bytes);
    put_text(s, "c/small", "small");
    assert_ok(sm_store_copy(s, SM_STR("c/small"), SM_STR("c/again"), &e), &e);
    assert_object(s, "c/again", "small");
    assert_status(sm_store_copy(s, SM_STR("c/none"), SM_STR("c/new"), &e), SM_NOT_FOUND, &e);
    assert_non_null(strstr(e.object, "c/none"));
    assert_object(s, "c/new", NULL);
    assert_status(sm_store_copy(s, SM_STR("c/small"), SM_STR("../x"), &e), SM_INVALID, &e);

    const sm_str keys[] = {SM_STR("c/large"), SM_STR("c/none"), SM_STR("c/small"),
                           SM_STR("c/again")};
    assert_ok(sm_store_delete_many(s, keys, SM_COUNT(keys), &e), &e);
    for (int i = 0; i < SM_COUNT(keys); i++) {
        assert_object(s, keys[i].data, NULL);
    }
    const sm_str odd[] = {SM_STR("a"), SM_STR("..")};
    assert_status(sm_store_delete_many(s, odd, 2, &e), SM_INVALID, &e);
    assert_ok(sm_store_delete_many(s, NULL, 0, &e), &e);
}

static void check_objects(sm_store *s)
{
    sm_error e = {0};
    sm_arena *a = sm_arena_new(NULL);
    const sm_str key = SM_STR("deep/er/ a b \xC3\xA4\xE2\x82\xAC.json");
    char uri[400];
    snprintf(uri, sizeof(uri), "%s/%s", sm_store_uri(s).data, key.data);

    sm_entry entry = {0};
    assert_status(sm_store_stat(s, key, a, &entry, &e), SM_NOT_FOUND, &e);
    assert_string_equal(e.object, uri);
    assert_object(s, key.data, NULL);

    assert_ok(sm_store_put(s, key, "one", 3, SM_PUT_IF_ABSENT, &e), &e);
    assert_object(s, key.data, "one");
    assert_status(sm_store_put(s, key, "two!", 4, SM_PUT_IF_ABSENT, &e), SM_EXISTS, &e);
    assert_string_equal(e.object, uri);
    assert_object(s, key.data, "one");
    assert_ok(sm_store_put(s, key, "two!", 4, SM_PUT_REPLACE, &e), &e);
    assert_object(s, key.data, "two!");
    assert_ok(sm_store_stat(s, key, a, &entry, &e), &e);
    assert_true(sm_str_eq(entry.key, key));
    assert_int_equal(entry.size_bytes, 4);
    assert_true(entry.modified_us > 1600000000000000);
    assert_false(entry.is_folder);

    sm_buf buf = {.max_bytes = 7};
    assert_ok(sm_buf_add(&buf, "was", 3, &e), &e);
    assert_ok(sm_store_get(s, key, &buf, &e), &e); /* appends, up to the bound */
    assert_true(sm_str_is(sm_buf_str(&buf), "wastwo!"));
    assert_status(sm_store_get(s, key, &buf, &e), SM_LIMIT, &e);
    assert_true(sm_str_is(sm_buf_str(&buf), "wastwo!"));
    sm_buf_release(&buf);

    put_text(s, "empty", "");
    assert_object(s, "empty", "");
    assert_object(s, "deep/er", NULL);                        /* a folder is no object, */
    assert_ok(sm_store_delete(s, SM_STR("deep/er"), &e), &e); /* so it is gone already */
    assert_object(s, key.data, "two!");
    assert_ok(sm_store_delete(s, key, &e), &e);
    assert_ok(sm_store_delete(s, key, &e), &e);
    assert_ok(sm_store_delete(s, SM_STR("no/such/folder"), &e), &e);
    assert_object(s, key.data, NULL);
    assert_ok(sm_store_delete(s, SM_STR("empty"), &e), &e);
    sm_arena_free(a);
    test_copies(s);
}

static void test_objects(void **state)
{
    const int64_t before = sm_live_allocs();
    scratch at = scratch_new();
    char missing[300];
    snprintf(missing, sizeof(missing), "%s/not/yet", at.path);
    char as_uri[400];
    snprintf(as_uri, sizeof(as_uri), "file://%s/uri", at.path);
    const char *uris[] = {at.path, missing, as_uri, "memory://objects", "memory://objects/a/b"};
    for (int i = 0; i < SM_COUNT(uris); i++) {
        sm_store *s = open_store(uris[i]);
        check_objects(s);
        sm_store *wrapped = NULL;
        sm_error e = {0};
        assert_ok(sm_store_fault(s, &(sm_fault_plan){0}, &wrapped, &e), &e);
        check_objects(wrapped);
        sm_store_release(wrapped);
        sm_store_release(s);
    }
    assert_int_equal(count_files(at.path), 0); /* no temporary file is left */
    scratch_free(&at);
    assert_int_equal(sm_live_allocs(), before);
}

static void test_relative_root(void **state)
{
    scratch at = scratch_new();
    char home[4096];
    assert_non_null(getcwd(home, sizeof(home)));
    assert_int_equal(chdir(at.path), 0);
    sm_store *s = open_store("new");
    put_text(s, "a/b", "x");
    assert_object(s, "a/b", "x");
    sm_store *here = open_store(".");
    assert_object(here, "new/a/b", "x");
    assert_int_equal(chdir(home), 0);
    sm_store_release(here);
    sm_store_release(s);
    scratch_free(&at);
}

static void test_counts(void **state)
{
    sm_error e = {0};
    sm_store *s = open_store("memory://counts");
    put_text(s, "a", "12345");
    assert_status(sm_store_put(s, SM_STR("a"), "99", 2, SM_PUT_IF_ABSENT, &e), SM_EXISTS, &e);
    assert_object(s, "a", "12345");
    sm_blob *b = NULL;
    assert_ok(sm_blob_open(s, SM_STR("a"), &b, &e), &e);
    char two[2];
    assert_ok(sm_blob_read(b, 1, 2, two, &e), &e);
    sm_blob_close(b);
    assert_ok(sm_store_delete(s, SM_STR("a"), &e), &e);
    const sm_store_counts c = sm_store_count(s);
    assert_int_equal(c.requests, 6);
    assert_int_equal(c.read_bytes, 7);
    assert_int_equal(c.written_bytes, 5);
    assert_int_equal(c.retries, 0);
    sm_store_release(s);
}

/* Who opens a bucket by name sees what others put there, also by a prefix, also later. */
static void test_memory_is_shared(void **state)
{
    const int64_t before = sm_live_allocs();
    sm_error e = {0};
    sm_store *s = open_store("memory://shared");
    put_text(s, "lake/t/x", "1");
    sm_store_release(s);
    sm_store *t = open_store("memory://shared/lake/t");
    assert_object(t, "x", "1");
    put_text(t, "y", "2");
    s = open_store("memory://shared");
    assert_object(s, "lake/t/y", "2");
    sm_store *other = open_store("memory://share");
    assert_object(other, "lake/t/y", NULL);
    sm_store_release(other);
    assert_ok(sm_store_delete(t, SM_STR("x"), &e), &e);
    assert_ok(sm_store_delete(t, SM_STR("y"), &e), &e);
    sm_store_release(t);
    sm_store_release(s);
    assert_int_equal(sm_live_allocs(), before);
}

/* ---- listings -------------------------------------------------------------------------------- */

/* '-' and '.' come before '/', '0' after it: the order is that of whole keys, not of folders. */
static const char *const listed[] = {
    "a0",
    "a/z",
    "a/b/c",
    "a.txt",
    "a-b",
    "\xC3\xA4/x y",
    "b",
    "_log/00000000000000000002.json",
    "_log/00000000000000000010.json",
    "_log/_side/x",
    "Z",
};

static void check_listing(sm_store *s)
{
    char text[1024];
    for (int i = 0; i < SM_COUNT(listed); i++) {
        put_text(s, listed[i], "12");
    }
    list_text(s, "", false, text);
    assert_string_equal(text, "Z _log/00000000000000000002.json _log/00000000000000000010.json "
                              "_log/_side/x a-b a.txt a/b/c a/z a0 b \xC3\xA4/x y ");
    list_text(s, "", true, text);
    assert_string_equal(text, "Z _log/ a-b a.txt a/ a0 b \xC3\xA4/ ");
    list_text(s, "a/", false, text);
    assert_string_equal(text, "a/b/c a/z ");
    list_text(s, "a/", true, text);
    assert_string_equal(text, "a/b/ a/z ");

    static const struct {
        const char *prefix, *after;
        bool delimited;
        int64_t n;
        const char *first;
    } tails[] = {
        {"_log/", "_log/00000000000000000002.json", false, 2, "_log/00000000000000000010.json"},
        {"_log/", "_log/00000000000000000009", false, 2, "_log/00000000000000000010.json"},
        {"_log/", "_log/00000000000000000009", true, 2, "_log/00000000000000000010.json"},
        {"_log/", "_log/A", true, 1, "_log/_side/"},
        {"_log/", "_log/_side/", true, 0, NULL},
        {"_log/", "_log/", false, 3, "_log/00000000000000000002.json"},
        {"", "a/", false, 5, "a/b/c"},
        {"", "a/b", false, 5, "a/b/c"},
        {"", "a/b/c", false, 4, "a/z"},
        {"", "a/zz", false, 3, "a0"},
        {"", "a/zz", true, 3, "a0"},
        {"", "\xFF", false, 0, NULL},
    };
    sm_arena *a = sm_arena_new(NULL);
    for (int i = 0; i < SM_COUNT(tails); i++) {
        sm_error e = {0};
        sm_entry *items = NULL;
        int64_t n = -1;
        assert_ok(sm_store_list_after(s, sm_str_of(tails[i].prefix), sm_str_of(tails[i].after),
                                      tails[i].delimited, a, &items, &n, &e),
                  &e);
        assert_int_equal(n, tails[i].n);
        if (n > 0) {
            assert_true(sm_str_is(items[0].key, tails[i].first));
            assert_int_equal(items[0].is_folder, tails[i].first[strlen(tails[i].first) - 1] == '/');
            assert_int_equal(items[0].size_bytes, items[0].is_folder ? 0 : 2);
            assert_true(items[0].is_folder || items[0].modified_us > 1600000000000000);
        }
    }
    sm_arena_free(a);
    for (int i = 0; i < SM_COUNT(listed); i++) {
        sm_error e = {0};
        assert_ok(sm_store_delete(s, sm_str_of(listed[i]), &e), &e);
    }
    list_text(s, "", false, text);
    assert_string_equal(text, "");
}

static void test_listing(void **state)
{
    scratch at = scratch_new();
    const char *uris[] = {at.path, "memory://listing", "memory://listing/p"};
    for (int i = 0; i < SM_COUNT(uris); i++) {
        sm_store *s = open_store(uris[i]);
        check_listing(s);
        sm_store_release(s);
    }
    scratch_free(&at);
}

static void test_listing_what_is_not_there(void **state)
{
    scratch at = scratch_new();
    sm_error e = {0};
    sm_entry *items = NULL;
    int64_t n = -1;
    sm_arena *a = sm_arena_new(NULL);
    sm_store *s = open_scratch(&at);
    assert_ok(sm_store_list(s, SM_STR(""), false, a, &items, &n, &e), &e);
    assert_int_equal(n, 0);
    assert_status(sm_store_list(s, SM_STR("no/"), false, a, &items, &n, &e), SM_NOT_FOUND, &e);
    assert_true(sm_str_ends(sm_str_of(e.object), SM_STR("/no/")));
    put_text(s, "file", "x");
    assert_status(sm_store_list(s, SM_STR("file/"), true, a, &items, &n, &e), SM_NOT_FOUND, &e);
    sm_store_release(s);
    s = open_store("/no/such/root");
    assert_status(sm_store_list(s, SM_STR(""), false, a, &items, &n, &e), SM_NOT_FOUND, &e);
    assert_string_equal(e.object, "/no/such/root");
    sm_store_release(s);
    s = open_store("memory://nothing");
    assert_ok(sm_store_list(s, SM_STR("no/"), false, a, &items, &n, &e), &e);
    assert_int_equal(n, 0);
    sm_store_release(s);
    sm_arena_free(a);
    scratch_free(&at);
}

/* What lies in the folder itself, and which keys lead out of it. */
static void check_own(sm_store *s)
{
    static const struct {
        const char *key;
        bool is_linked;
    } keys[] = {{"d/x", false},     {"file", true},     {"linked/x", true},
                {"d/up/d/x", true}, {"here/d/x", true}, {".smelt-tmp-0123456789abcdef", false}};
    sm_error e = {0};
    sm_entry *items = NULL, entry;
    int64_t n = 0;
    sm_arena *a = sm_arena_new(NULL);

    assert_ok(sm_store_list_own(s, a, &items, &n, &e), &e);
    assert_int_equal(n, 2);
    assert_true(sm_str_is(items[0].key, ".smelt-tmp-0123456789abcdef"));
    assert_true(sm_str_is(items[1].key, "d/x"));
    assert_int_equal(items[1].size_bytes, 1);
    for (int i = 0; i < SM_COUNT(keys); i++) {
        assert_ok(sm_store_stat(s, sm_str_of(keys[i].key), a, &entry, &e), &e);
        assert_int_equal(entry.is_linked, keys[i].is_linked);
    }
    sm_arena_free(a);
}

/* Temporary files and pipes are passed over, links are followed, but not in circles. */
static void test_strange_files(void **state)
{
    scratch at = scratch_new();
    sm_store *s = open_scratch(&at);
    sm_error e = {0};
    char text[1024];
    put_text(s, "d/x", "1");
    char path[300];
    assert_int_equal(chdir(at.path), 0);
    FILE *left = fopen(".smelt-tmp-0123456789abcdef", "w"); /* of a killed process */
    assert_non_null(left);
    fclose(left);
    assert_int_equal(symlink("d", "linked"), 0);
    assert_int_equal(symlink("d/x", "file"), 0);
    assert_int_equal(symlink("nowhere", "dangling"), 0);
    assert_int_equal(symlink("self", "self"), 0);
    assert_int_equal(mkfifo("pipe", 0600), 0);
    list_text(s, "", false, text);
    assert_string_equal(text, "d/x file linked/x ");
    list_text(s, "", true, text);
    assert_string_equal(text, "d/ dangling? file linked/ pipe? self? ");
    assert_object(s, "linked/x", "1");
    assert_object(s, "dangling", NULL);
    sm_buf buf = {0};
    assert_status(sm_store_get(s, SM_STR("pipe"), &buf, &e), SM_UNSUPPORTED, &e);
    assert_status(sm_store_get(s, SM_STR("self"), &buf, &e), SM_INVALID, &e);
    assert_status(sm_store_put(s, SM_STR("d/.smelt-tmp-x"), "", 0, SM_PUT_REPLACE, &e), SM_INVALID,
                  &e);
    assert_status(sm_store_put(s, SM_STR("d/x/y"), "", 0, SM_PUT_REPLACE, &e), SM_INVALID, &e);
    assert_non_null(strstr(e.what, "a file stands where a folder should be"));
    memset(path, 'n', 299);
    path[299] = '\0';
    assert_status(sm_store_put(s, sm_str_of(path), "", 0, SM_PUT_REPLACE, &e), SM_INVALID, &e);

    assert_int_equal(symlink("..", "d/up"), 0);
    assert_int_equal(symlink("../d", "d/again"), 0);
    assert_int_equal(symlink(".", "here"), 0);
    list_text(s, "", false, text);
    assert_string_equal(text, "d/x file linked/x ");
    list_text(s, "d/", false, text);
    assert_string_equal(text, "d/up/file d/x ");
    check_own(s);
    sm_store_release(s);
    assert_int_equal(chdir("/"), 0);
    scratch_free(&at);
}

/* ---- blobs ----------------------------------------------------------------------------------- */

static void check_blob(sm_store *s)
{
    sm_error e = {0};
    sm_blob *b = NULL;
    assert_status(sm_blob_open(s, SM_STR("no/b"), &b, &e), SM_NOT_FOUND, &e);
    assert_null(b);
    put_text(s, "b", "0123456789");
    assert_ok(sm_blob_open(s, SM_STR("b"), &b, &e), &e);
    assert_int_equal(sm_blob_bytes(b), 10);
    assert_ptr_equal(sm_blob_store(b), s);
    assert_true(sm_str_ends(sm_blob_uri(b), SM_STR("/b")));
    assert_true(sm_blob_modified_us(b) > 1600000000000000);

    put_text(s, "b", "replaced, but not for those who read");
    char got[11] = {0};
    assert_ok(sm_blob_read(b, 3, 4, got, &e), &e);
    assert_string_equal(got, "3456");
    assert_ok(sm_blob_read(b, 10, 0, got, &e), &e);
    static const struct {
        uint64_t off;
        size_t len;
    } past[] = {{10, 1}, {9, 2}, {11, 0}, {UINT64_MAX, 2}, {2, SIZE_MAX}};
    for (int i = 0; i < SM_COUNT(past); i++) {
        assert_status(sm_blob_read(b, past[i].off, past[i].len, got, &e), SM_CORRUPT, &e);
        assert_string_equal(e.object, sm_blob_uri(b).data);
        assert_int_equal(e.byte, (int64_t)past[i].off);
    }
    sm_blob *again = sm_blob_retain(b);
    sm_blob_close(b);
    assert_ok(sm_store_delete(s, SM_STR("b"), &e), &e);
    assert_ok(sm_blob_read(again, 0, 10, got, &e), &e); /* open, though its name is gone */
    assert_string_equal(got, "0123456789");
    sm_blob_close(again);
    sm_blob_close(NULL);
}

static void test_blob(void **state)
{
    scratch at = scratch_new();
    const char *uris[] = {at.path, "memory://blob"};
    for (int i = 0; i < SM_COUNT(uris); i++) {
        sm_store *s = open_store(uris[i]);
        check_blob(s);
        sm_store_release(s);
    }
    scratch_free(&at);
}

static void test_shrunk_file(void **state)
{
    scratch at = scratch_new();
    sm_store *s = open_scratch(&at);
    sm_error e = {0};
    sm_blob *b = NULL;
    char path[300], got[10];
    put_text(s, "f", "0123456789");
    assert_ok(sm_blob_open(s, SM_STR("f"), &b, &e), &e);
    snprintf(path, sizeof(path), "%s/f", at.path);
    assert_int_equal(truncate(path, 6), 0);
    assert_status(sm_blob_read(b, 2, 8, got, &e), SM_CORRUPT, &e);
    assert_string_equal(e.object, path);
    assert_int_equal(e.byte, 6); /* where the bytes end */
    sm_blob_close(b);
    sm_store_release(s);
    scratch_free(&at);
}

/* ---- races, rights, full disks --------------------------------------------------------------- */

#define RACERS 8
#define ROUNDS 50

typedef struct racer {
    sm_store *store;
    int id;
    int won[ROUNDS]; /* 1: this one made the object; 0: it existed; -1: another failure */
} racer;

static void race(void *ctx)
{
    racer *r = ctx;
    for (int round = 0; round < ROUNDS; round++) {
        char key[40], text[40];
        snprintf(key, sizeof(key), "log/%05d.json", round);
        const int len = snprintf(text, sizeof(text), "racer %d", r->id);
        sm_error e = {0};
        const sm_status st =
            sm_store_put(r->store, sm_str_of(key), text, (size_t)len, SM_PUT_IF_ABSENT, &e);
        r->won[round] = st == SM_OK ? 1 : st == SM_EXISTS ? 0 : -1;
    }
}

static void check_race(sm_store *s)
{
    racer racers[RACERS];
    sm_thread *threads[RACERS];
    sm_error e = {0};
    for (int i = 0; i < RACERS; i++) {
        racers[i] = (racer){.store = s, .id = i};
        assert_ok(sm_thread_start(race, &racers[i], "racer", &threads[i], &e), &e);
    }
    for (int i = 0; i < RACERS; i++) {
        sm_thread_join(threads[i]);
    }
    for (int round = 0; round < ROUNDS; round++) {
        int winner = -1;
        for (int i = 0; i < RACERS; i++) {
            assert_int_not_equal(racers[i].won[round], -1);
            if (racers[i].won[round]) {
                assert_int_equal(winner, -1);
                winner = i;
            }
        }
        assert_int_not_equal(winner, -1);
        char key[40], text[40];
        snprintf(key, sizeof(key), "log/%05d.json", round);
        snprintf(text, sizeof(text), "racer %d", winner);
        assert_object(s, key, text);
    }
}

static void test_put_if_absent_race(void **state)
{
    scratch at = scratch_new();
    const char *uris[] = {at.path, "memory://race"};
    for (int i = 0; i < SM_COUNT(uris); i++) {
        sm_store *s = open_store(uris[i]);
        check_race(s);
        sm_store_release(s);
    }
    assert_int_equal(count_files(at.path), ROUNDS);
    scratch_free(&at);
}

/* Runs a check in a child; its exit code is the number of the step that went wrong, or 0. */
static int in_child(int (*check)(const char *root), const char *root)
{
    fflush(NULL);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        _exit(check(root));
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

#define SKIPPED 77

static int check_denied(const char *root)
{
    if (geteuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0)) {
        return SKIPPED;
    }
    sm_error e = {0};
    sm_store *s = NULL;
    sm_buf buf = {0};
    sm_arena *a = sm_arena_new(NULL);
    sm_entry *items = NULL;
    int64_t n = 0;
    if (sm_store_open(test_stores, sm_str_of(root), &s, &e) != SM_OK) {
        return 1;
    }
    if (sm_store_get(s, SM_STR("secret"), &buf, &e) != SM_DENIED || !strstr(e.object, "/secret") ||
        e.todo[0] == '\0') {
        return 2;
    }
    if (sm_store_put(s, SM_STR("new"), "x", 1, SM_PUT_REPLACE, &e) != SM_DENIED) {
        return 3;
    }
    if (sm_store_put(s, SM_STR("new/deep"), "x", 1, SM_PUT_IF_ABSENT, &e) != SM_DENIED) {
        return 4;
    }
    if (sm_store_delete(s, SM_STR("secret"), &e) != SM_DENIED) {
        return 5;
    }
    if (sm_store_list(s, SM_STR(""), false, a, &items, &n, &e) != SM_DENIED ||
        !strstr(e.object, "/closed/")) {
        return 6;
    }
    if (sm_store_list(s, SM_STR(""), true, a, &items, &n, &e) != SM_OK || n != 2) {
        return 7;
    }
    if (sm_store_get(s, SM_STR("closed/x"), &buf, &e) != SM_DENIED) {
        return 8;
    }
    return 0;
}

static void test_denied(void **state)
{
    scratch at = scratch_new();
    sm_store *s = open_scratch(&at);
    put_text(s, "secret", "x");
    put_text(s, "closed/x", "x");
    char secret[300], closed[300];
    snprintf(secret, sizeof(secret), "%s/secret", at.path);
    snprintf(closed, sizeof(closed), "%s/closed", at.path);
    assert_int_equal(chmod(secret, 0), 0);
    assert_int_equal(chmod(closed, 0), 0);
    assert_int_equal(chmod(at.path, 0555), 0);
    const int step = in_child(check_denied, at.path);
    assert_int_equal(chmod(at.path, 0755), 0);
    assert_int_equal(chmod(closed, 0755), 0);
    sm_store_release(s);
    scratch_free(&at);
    if (step == SKIPPED) {
        print_message("SKIPPED test_denied: cannot become another user here\n");
        skip();
    }
    assert_int_equal(step, 0);
}

static int check_full_disk(const char *root)
{
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("tmpfs", root, "tmpfs", 0, "size=64k") != 0) {
        return SKIPPED;
    }
    static char big[100000];
    sm_error e = {0};
    sm_store *s = NULL;
    sm_buf buf = {0};
    if (sm_store_open(test_stores, sm_str_of(root), &s, &e) != SM_OK ||
        sm_store_put(s, SM_STR("a"), "old", 3, SM_PUT_REPLACE, &e) != SM_OK) {
        return 1;
    }
    if (sm_store_put(s, SM_STR("a"), big, sizeof(big), SM_PUT_REPLACE, &e) != SM_DISK_FULL ||
        !strstr(e.object, "/a") || e.todo[0] == '\0') {
        return 2;
    }
    if (count_files(root) != 1 || sm_store_get(s, SM_STR("a"), &buf, &e) != SM_OK ||
        !sm_str_is(sm_buf_str(&buf), "old")) {
        return 3;
    }
    return 0;
}

static void test_full_disk(void **state)
{
    scratch at = scratch_new();
    const int step = in_child(check_full_disk, at.path);
    scratch_free(&at);
    if (step == SKIPPED) {
        print_message("SKIPPED test_full_disk: cannot mount a small file system here\n");
        skip();
    }
    assert_int_equal(step, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_open),
        cmocka_unit_test(test_uri_of),
        cmocka_unit_test(test_place),
        cmocka_unit_test(test_place_above_a_link),
        cmocka_unit_test(test_one_folder_by_several_names),
        cmocka_unit_test(test_uri_split),
        cmocka_unit_test(test_refused_keys),
        cmocka_unit_test(test_objects),
        cmocka_unit_test(test_relative_root),
        cmocka_unit_test(test_counts),
        cmocka_unit_test(test_memory_is_shared),
        cmocka_unit_test(test_listing),
        cmocka_unit_test(test_listing_what_is_not_there),
        cmocka_unit_test(test_strange_files),
        cmocka_unit_test(test_blob),
        cmocka_unit_test(test_shrunk_file),
        cmocka_unit_test(test_put_if_absent_race),
        cmocka_unit_test(test_denied),
        cmocka_unit_test(test_full_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
