/* SPDX-License-Identifier: Apache-2.0
 *
 * exec/exec_output_test.c: the rows of a query in a file, in each format, and as bytes of the
 * caller's; what is there of a file that was not finished. */
#include "exec_testkit.h"

#define LINES "{\"k\":\"b\",\"v\":2}\n{\"k\":\"a\"}\n{\"v\":-3}\n"

static const sm_str lines = {LINES, sizeof(LINES) - 1};

static void make_scan(kit *k)
{
    k_plan(k, k_scan(k, k_dataset(k, "STRUCT(k VARCHAR, v BIGINT)", &lines, 1, false)));
}

static const struct {
    const char *format, *want; /* NULL: the text does not matter */
} texts[] = {
    {"csv", "k,v\nb,2\na,\n,-3\n"},
    {"json", "[\n{\"k\":\"b\",\"v\":2},\n{\"k\":\"a\",\"v\":null},\n{\"k\":null,\"v\":-3}\n]\n"},
    {"ndjson", "{\"k\":\"b\",\"v\":2}\n{\"k\":\"a\",\"v\":null}\n{\"k\":null,\"v\":-3}\n"},
    {"parquet", NULL},
};

static void rows_become_a_file(void **state)
{
    for (int i = 0; i < SM_COUNT(texts); i++) {
        kit k = kit_new(2, 0, 0);
        sm_error e = {0};
        sm_output *o = NULL;
        sm_buf text = {0};
        make_scan(&k);
        const sm_exec_env env = k_env(&k);
        const sm_str key = SM_STR("out");
        const sm_output_opts opts = {.format = sm_format_named(sm_str_of(texts[i].format)),
                                     .uri = sm_store_uri_of(k.store, key, k.arena)};
        assert_ok(sm_output_open(&opts, k.plan.root->schema, &env, &o, &e), &e);
        const sm_sink sink = sm_output_sink(o);
        assert_ok(sm_exec_run(&k.plan, &env, &sink, NULL, NULL, &e), &e);
        assert_int_equal(sm_output_rows(o), 3);
        sm_output_close(o);
        assert_ok(sm_store_get(k.store, key, &text, &e), &e);
        if (texts[i].want) {
            assert_int_equal(text.len, strlen(texts[i].want));
            assert_memory_equal(text.data, texts[i].want, text.len);
        } else {
            assert_true(text.len > 8 && memcmp(text.data, "PAR1", 4) == 0);
        }
        sm_buf_release(&text);
        assert_ok(sm_store_delete(k.store, key, &e), &e);
        kit_free(&k);
    }
}

/* Takes the bytes, but has every block come twice. */
typedef struct taker {
    sm_buf text;
    bool has_waited;
    sm_status fails;
} taker;

static sm_status take_bytes(void *ctx, sm_block *block, size_t len, sm_waker waker, sm_error *e)
{
    taker *t = ctx;

    if (t->fails != SM_OK) {
        return sm_fail(e, t->fails, "no more");
    }
    t->has_waited = !t->has_waited;
    if (t->has_waited) {
        sm_wake(waker);
        return SM_WAIT;
    }
    return sm_buf_add(&t->text, block->data, len, e);
}

static void rows_become_bytes(void **state)
{
    for (int fails = 0; fails <= 1; fails++) {
        kit k = kit_new(2, 0, 0);
        sm_error e = {0};
        sm_output *o = NULL;
        taker t = {.fails = fails ? SM_DISK_FULL : SM_OK};
        make_scan(&k);
        const sm_exec_env env = k_env(&k);
        const sm_output_opts opts = {.format = sm_format_named(SM_STR("csv")),
                                     .bytes = {take_bytes, &t}};
        assert_ok(sm_output_open(&opts, k.plan.root->schema, &env, &o, &e), &e);
        const sm_sink sink = sm_output_sink(o);
        assert_status(sm_exec_run(&k.plan, &env, &sink, NULL, NULL, &e), t.fails, &e);
        sm_output_close(o);
        assert_int_equal(t.text.len, fails ? 0 : strlen(texts[0].want));
        sm_buf_release(&t.text);
        kit_free(&k);
    }
}

static void without_an_end_there_is_no_file(void **state)
{
    kit k = kit_new(1, 0, 0);
    sm_error e = {0};
    sm_output *o = NULL;
    sm_buf text = {0};
    const sm_exec_env env = k_env(&k);
    const sm_str key = SM_STR("out");
    const sm_output_opts opts = {.format = sm_format_named(SM_STR("csv")),
                                 .uri = sm_store_uri_of(k.store, key, k.arena)};

    assert_ok(sm_output_open(&opts, k_type(&k, "STRUCT(k VARCHAR)"), &env, &o, &e), &e);
    sm_output_close(o);
    assert_status(sm_store_get(k.store, key, &text, &e), SM_NOT_FOUND, &e);
    sm_output_close(NULL);
    kit_free(&k);
}

static void what_cannot_be_opened_leaves_nothing(void **state)
{
    kit k = kit_new(1, 0, 1000); /* less than a format needs from the start */
    sm_error e = {0};
    sm_output *o = NULL;
    const sm_exec_env env = k_env(&k);
    const sm_output_opts opts = {.format = sm_format_named(SM_STR("csv")),
                                 .uri = sm_store_uri_of(k.store, SM_STR("out"), k.arena)};

    assert_status(sm_output_open(&opts, k_type(&k, "STRUCT(k VARCHAR)"), &env, &o, &e), SM_BUDGET,
                  &e);
    assert_null(o);
    kit_free(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_become_a_file),
        cmocka_unit_test(rows_become_bytes),
        cmocka_unit_test(without_an_end_there_is_no_file),
        cmocka_unit_test(what_cannot_be_opened_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
