/* SPDX-License-Identifier: Apache-2.0
 *
 * delta/delta_length_test.c: commits of very many files: what is longer than a commit may be, or
 * than the memory there is, is refused before all of it is printed, and no version is made. */
#include "test.h"

#include <stdio.h>

#include "delta/delta_int.h"
#include "stores.h"

/* Files of another table, each with a text of so many bytes; how many were asked for. */
typedef struct many_files {
    sm_str text;
    int64_t n, n_asked;
} many_files;

static sm_status give_files(void *ctx, const sm_delta_sink *to, sm_error *e)
{
    many_files *m = ctx;
    const sm_pair tag = {SM_STR("text"), m->text};
    const sm_delta_file file = {.path = SM_STR("file:///other/a.parquet"),
                                .tags = &tag,
                                .n_tags = 1,
                                .n_rows = -1,
                                .base_row_id = -1,
                                .row_version = -1};

    to->begin(to->ctx);
    for (m->n_asked = 0; m->n_asked < m->n;) {
        m->n_asked++;
        SM_TRY(to->file(to->ctx, &file, e));
    }
    return SM_OK;
}

/* A new table of n files with texts of text_bytes: the status, and how many were asked for. */
static sm_status make_clone(size_t text_bytes, int64_t n, size_t limit_bytes, int64_t *n_asked,
                            sm_error *e)
{
    sm_budget *budget = sm_budget_new(NULL, "the test", limit_bytes);
    sm_arena *a = sm_arena_new(NULL);
    char *text = sm_alloc(text_bytes);
    many_files files = {.text = {text, text_bytes}, .n = n};
    const sm_delta_metadata m = {.id = SM_STR("a"), .schema = sm_type_struct(a, NULL, 0)};
    const sm_delta_commit c = {.operation = SM_STR("CLONE"),
                               .metadata = &m,
                               .restores_each = give_files,
                               .restores_of = &files,
                               .n_restores = n};
    static int number = 0;
    char uri[64];
    sm_store *store = NULL;
    int64_t version = -1;

    memset(text, 'x', text_bytes);
    snprintf(uri, sizeof(uri), "memory://delta_length_test_%d", number++);
    assert_ok(sm_store_open(test_stores, sm_str_of(uri), &store, e), e);
    const sm_status st = sm_delta_commit_write(store, NULL, &c, budget, &version, e);
    bool is_there = false;
    sm_error unused = {0};
    assert_ok(sm_delta_exists(store, &is_there, &unused), &unused);
    assert_int_equal(is_there, st == SM_OK);
    *n_asked = files.n_asked;
    sm_store_release(store);
    sm_free(text);
    sm_arena_free(a);
    assert_int_equal(sm_budget_used(budget), 0);
    sm_budget_free(budget);
    return st;
}

static void test_memory(void **state)
{
    sm_error e = {0};
    int64_t n_asked = 0;

    assert_int_equal(make_clone(100000, 1000, 20 << 20, &n_asked, &e), SM_BUDGET);
    assert_in_range(n_asked, 200, 221); /* the budget is asked once a MiB */
    assert_non_null(strstr(e.todo, "Raise the memory limit of the test"));
    e = (sm_error){0};
    assert_ok(make_clone(100000, 100, 20 << 20, &n_asked, &e), &e);
    (void)state;
}

/* A text of 1 GiB is made. */
static void test_limit(void **state)
{
    const size_t text_bytes = (size_t)64 << 20;
    sm_error e = {0};
    int64_t n_asked = 0;

    assert_int_equal(make_clone(text_bytes, 1000, 0, &n_asked, &e), SM_LIMIT);
    assert_int_equal(n_asked, 15); /* 15/16 of what can be read */
    assert_non_null(strstr(e.what, "too long to be read"));
    assert_non_null(strstr(e.todo, "change a part of the table at a time"));
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
