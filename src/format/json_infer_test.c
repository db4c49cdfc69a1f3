/* SPDX-License-Identifier: Apache-2.0
 *
 * format/json_infer_test.c: schemas made of the first lines. */
#include "test.h"

#include "format/format.h"

static sm_status infer(const char *name, const void *bytes, size_t n, sm_buf *out, sm_error *e)
{
    const sm_format *json = sm_format_named(SM_STR("json"));
    sm_arena *a = sm_arena_new(NULL);
    sm_store *store = NULL;
    sm_blob *blob = NULL;
    const sm_type *type = NULL;
    sm_status st = SM_OK;
    SM_TRY_GOTO(st, done, sm_store_open(SM_STR("memory://json_infer_test"), &store, e));
    SM_TRY_GOTO(st, done, sm_store_put(store, sm_str_of(name), bytes, n, SM_PUT_REPLACE, e));
    SM_TRY_GOTO(st, done, sm_blob_open(store, sm_str_of(name), &blob, e));
    SM_TRY_GOTO(st, done, json->infer(blob, NULL, a, &type, e));
    sm_type_print(type, out);
done:
    sm_blob_close(blob);
    sm_store_release(store);
    sm_arena_free(a);
    return st;
}

static const struct {
    const char *text, *want;
} cases[] = {
    {"{\"b\":1,\"a\":\"x\"}\n{\"c\":true,\"b\":2}\n", "STRUCT(b BIGINT, a VARCHAR, c BOOLEAN)"},
    {"{\"a\":1}\n{\"a\":1.5}\n", "STRUCT(a DOUBLE)"},
    {"{\"a\":1e3,\"b\":9223372036854775808,\"c\":-9223372036854775808}",
     "STRUCT(a DOUBLE, b UBIGINT, c BIGINT)"},
    /* integers: exact, whatever it takes */
    {"{\"a\":9223372036854775807,\"b\":18446744073709551615,\"c\":18446744073709551616}",
     "STRUCT(a BIGINT, b UBIGINT, c DECIMAL(38,0))"},
    {"{\"a\":9223372036854775808,\"b\":-9223372036854775809}\n{\"a\":-1,\"b\":1}\n",
     "STRUCT(a DECIMAL(38,0), b DECIMAL(38,0))"},
    {"{\"a\":99999999999999999999999999999999999999,\"b\":100000000000000000000000000000000000000,"
     "\"c\":-100000000000000000000000000000000000000}",
     "STRUCT(a DECIMAL(38,0), b VARCHAR, c VARCHAR)"},
    {"{\"a\":[1,18446744073709551615],\"b\":\"18446744073709551615\"}",
     "STRUCT(a UBIGINT[], b VARCHAR)"},
    {"{\"a\":0.5,\"b\":0.5,\"c\":18446744073709551616}\n"
     "{\"a\":9007199254740993,\"b\":9007199254740992,\"c\":1.5}\n",
     "STRUCT(a VARCHAR, b DOUBLE, c DOUBLE)"},
    {"{\"a\":1}\n{\"a\":\"x\"}\n{\"b\":true}\n{\"b\":0}\n", "STRUCT(a VARCHAR, b VARCHAR)"},
    {"{\"a\":null,\"b\":null}\n{\"b\":5}\n", "STRUCT(a VARCHAR, b BIGINT)"},
    {"{\"s\":{\"x\":1}}\n{\"s\":{\"y\":\"q\",\"x\":2.5}}\n{\"s\":null}\n",
     "STRUCT(s STRUCT(x DOUBLE, y VARCHAR))"},
    {"{\"l\":[],\"m\":[1,null],\"n\":[[1],[\"x\"]],\"o\":[{\"a\":1},{\"b\":true}]}",
     "STRUCT(l VARCHAR[], m BIGINT[], n VARCHAR[][], o STRUCT(a BIGINT, b BOOLEAN)[])"},
    {"{\"a\":{\"x\":1}}\n{\"a\":5}\n{\"b\":[1]}\n{\"b\":{}}\n", "STRUCT(a VARCHAR, b VARCHAR)"},
    {"{\"a\":{},\"b\":[{}],\"c\":1}", "STRUCT(c BIGINT)"},
    {"\xef\xbb\xbf\n{bad\n[1]\n{\"k\\u0065y\":1}", "STRUCT(key BIGINT)"},
};

static void types_follow_what_was_seen(void **state)
{
    for (int i = 0; i < SM_COUNT(cases); i++) {
        sm_buf got = {0};
        sm_error e = {0};
        assert_ok(infer("f.json", cases[i].text, strlen(cases[i].text), &got, &e), &e);
        sm_buf_printf(&got, "%c", 0);
        assert_string_equal((char *)got.data, cases[i].want);
        sm_buf_release(&got);
    }
}

static void only_the_first_lines_count(void **state)
{
    sm_buf text = {0}, got = {0};
    sm_error e = {0};
    for (int i = 0; i < 20000; i++) {
        sm_buf_printf(&text, "{\"a\":%d}\n", i);
    }
    sm_buf_printf(&text, "{\"late\":1}\n");
    assert_ok(infer("f.json", text.data, text.len, &got, &e), &e);
    sm_buf_printf(&got, "%c", 0);
    assert_string_equal((char *)got.data, "STRUCT(a BIGINT)");
    sm_buf_release(&got);

    sm_buf_reset(&text); /* a first line over 1 MiB counts whole, what is behind it not */
    sm_buf_printf(&text, "{\"s\":\"%*s\",\"t\":1}\n{\"late\":1}\n", 3 << 20, "x");
    assert_ok(infer("f.json", text.data, text.len, &got, &e), &e);
    sm_buf_printf(&got, "%c", 0);
    assert_string_equal((char *)got.data, "STRUCT(s VARCHAR, t BIGINT)");
    sm_buf_release(&got);
    sm_buf_release(&text);
}

static void nothing_to_infer_from_is_an_error(void **state)
{
    static const struct {
        const char *text;
        sm_status want;
        int64_t line, byte;
    } files[] = {
        {"", SM_SCHEMA, 0, -1},
        {" \n\n", SM_SCHEMA, 0, -1},
        {"\n{\n  \"a\": 1\n}\n", SM_SYNTAX, 2, 2},
        {"[{\"a\":1}]\n", SM_TYPE, 1, 1},
    };
    for (int i = 0; i < SM_COUNT(files); i++) {
        sm_buf got = {0};
        sm_error e = {0};
        assert_status(infer("f.json", files[i].text, strlen(files[i].text), &got, &e),
                      files[i].want, &e);
        assert_string_equal(e.object, "memory://json_infer_test/f.json");
        assert_int_equal(e.line, files[i].line);
        assert_int_equal(e.byte, files[i].byte);
        sm_buf_release(&got);
    }
}

static void keys_are_bounded(void **state)
{
    sm_buf text = {0}, got = {0};
    sm_error e = {0};
    sm_buf_printf(&text, "{\"a\":{");
    for (int i = 0; i < 10001; i++) {
        sm_buf_printf(&text, "%s\"k%d\":1", i > 0 ? "," : "", i);
    }
    sm_buf_printf(&text, "}}\n");
    assert_status(infer("f.json", text.data, text.len, &got, &e), SM_LIMIT, &e);
    assert_string_equal(e.what, "more than 10000 keys to make columns of");
    sm_buf_release(&text);
    sm_buf_release(&got);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(types_follow_what_was_seen),
        cmocka_unit_test(only_the_first_lines_count),
        cmocka_unit_test(nothing_to_infer_from_is_an_error),
        cmocka_unit_test(keys_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
