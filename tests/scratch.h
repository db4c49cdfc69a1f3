/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/scratch.h: a folder that is deleted at the end of its test, and objects with short
 * texts. */
#ifndef SM_STORE_SCRATCH_H
#define SM_STORE_SCRATCH_H

#include "test.h"

#include <ftw.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "stores.h"

typedef struct scratch {
    char path[200];
} scratch;

/* Anyone may enter it: tests of permissions do so as another user. */
static inline scratch scratch_new(void)
{
    scratch s;
    const char *tmp = getenv("TMPDIR");
    snprintf(s.path, sizeof(s.path), "%s/smelt-store-XXXXXX", tmp && tmp[0] ? tmp : "/tmp");
    assert_non_null(mkdtemp(s.path));
    assert_int_equal(chmod(s.path, 0755), 0);
    return s;
}

static inline int scratch_remove_one(const char *path, const struct stat *info, int kind,
                                     struct FTW *at)
{
    return remove(path);
}

static inline void scratch_free(scratch *s)
{
    assert_int_equal(nftw(s->path, scratch_remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

static inline sm_store *open_store(const char *uri)
{
    sm_error e = {0};
    sm_store *s = NULL;
    assert_ok(sm_store_open(test_stores, sm_str_of(uri), &s, &e), &e);
    return s;
}

static inline sm_store *open_scratch(const scratch *at)
{
    return open_store(at->path);
}

static inline void put_text(sm_store *s, const char *key, const char *text)
{
    sm_error e = {0};
    assert_ok(sm_store_put(s, sm_str_of(key), text, strlen(text), SM_PUT_REPLACE, &e), &e);
}

/* text NULL: there is no such object. */
static inline void assert_object(sm_store *s, const char *key, const char *text)
{
    sm_error e = {0};
    sm_buf got = {0};
    if (!text) {
        assert_status(sm_store_get(s, sm_str_of(key), &got, &e), SM_NOT_FOUND, &e);
    } else {
        assert_ok(sm_store_get(s, sm_str_of(key), &got, &e), &e);
        assert_int_equal(got.len, strlen(text));
        assert_memory_equal(got.data, text, got.len);
    }
    sm_buf_release(&got);
}

/* All keys under the prefix, each with a blank behind it; '?' marks what is no object. */
static inline void list_text(sm_store *s, const char *prefix, bool delimited, char out[1024])
{
    sm_error e = {0};
    sm_arena *a = sm_arena_new(NULL);
    sm_entry *items = NULL;
    int64_t n = 0;
    assert_ok(sm_store_list(s, sm_str_of(prefix), delimited, a, &items, &n, &e), &e);
    size_t len = 0;
    out[0] = '\0';
    for (int64_t i = 0; i < n; i++) {
        len += (size_t)snprintf(out + len, 1024 - len, "%.*s%s ", SM_STR_ARG(items[i].key),
                                items[i].is_other ? "?" : "");
        assert_int_equal(items[i].is_folder, items[i].key.data[items[i].key.len - 1] == '/');
    }
    sm_arena_free(a);
}

/* What really stands in a folder, temporary files included. */
static inline int count_files(const char *folder)
{
    char command[400];
    snprintf(command, sizeof(command), "find '%s' -type f | wc -l", folder);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    int n = -1;
    assert_int_equal(fscanf(pipe, "%d", &n), 1);
    pclose(pipe);
    return n;
}

#endif
