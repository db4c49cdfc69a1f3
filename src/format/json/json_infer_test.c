/* SPDX-License-Identifier: Apache-2.0
 *
 * format/json/json_infer_test.c: schemas made of the first lines. */
#include "test.h"

#include "format/format.h"
#include "stores.h"

typedef struct sample_in {
    const char *name;
    sm_str bytes;
    int64_t max_rows;
} sample_in;

/* The columns of these files; those that give none are passed over, the last failure stays. */
static sm_status sample_all(const sample_in *in, int n, sm_sampled *seen, sm_buf *out, sm_error *e)
{
    const sm_format *json = sm_format_named(SM_STR("json"));
    sm_arena *a = sm_arena_new(NULL);
    sm_sample *s = json->sample_new(NULL);
    sm_store *store = NULL;
    sm_blob *blob = NULL;
    sm_status st = SM_OK;
    int n_given = 0;
    SM_TRY_GOTO(st, done,
                sm_store_open(test_stores, SM_STR("memory://json_infer_test"), &store, e));
    for (int i = 0; i < n; i++) {
        const sm_str name = sm_str_of(in[i].name);
        SM_TRY_GOTO(
            st, done,
            sm_store_put(store, name, in[i].bytes.data, in[i].bytes.len, SM_PUT_REPLACE, e));
        SM_TRY_GOTO(st, done, sm_blob_open(store, name, &blob, e));
        st = json->sample_file(s, blob, in[i].max_rows, seen, e);
        n_given += st == SM_OK;
        sm_blob_close(blob);
        blob = NULL;
    }
    if (n_given > 0) {
        sm_type_print(json->sample_end(s, NULL, a), out);
        sm_buf_printf(out, "%c", 0);
        st = SM_OK;
    }
done:
    sm_blob_close(blob);
    json->sample_free(s);
    sm_store_release(store);
    sm_arena_free(a);
    return st;
}

static sm_status infer(const char *name, const void *bytes, size_t n, sm_buf *out, sm_error *e)
{
    const sample_in in = {name, {bytes, n}, -1};
    sm_sampled seen = {0};
    return sample_all(&in, 1, &seen, out, e);
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
    {"{\"a\":{\"x\":1},\"b\":[1]}\n{\"a\":{\"x\":2},\"b\":[2]}\n{\"a\":\"t\",\"b\":{\"x\":1}}",
     "STRUCT(a STRUCT(x BIGINT), b BIGINT[])"},
    {"{\"a\":{\"x\":1}}\n{\"a\":5}\n{\"a\":\"t\"}", "STRUCT(a VARCHAR)"},
    {"{\"a\":{}}\n{\"a\":{}}\n{\"a\":5}", "STRUCT(a VARCHAR)"},
    /* texts: of one kind of time, or VARCHAR */
    {"{\"d\":\"2022-04-03\",\"t\":\"2022-04-03T10:00\",\"z\":\"2022-04-03T10:00:00+02:00\"}\n"
     "{\"d\":null,\"t\":\"2022-04-03 10:00:00.123\",\"z\":\"2022-04-03T10:00:00Z\"}\n{}\n",
     "STRUCT(d DATE, t TIMESTAMP, z TIMESTAMP WITH TIME ZONE)"},
    {"{\"a\":\"2022-04-03\",\"b\":\"2022-04-03\",\"c\":\"2022-04-03T10:00\",\"d\":\"2022-04-03\"}\n"
     "{\"a\":\"2022-04-03T10:00\",\"b\":\"2022-04-03T10:00Z\",\"c\":\"2022-04-03T10:00Z\",\"d\":"
     "\"\"}\n"
     "{\"a\":\"2022-04-03\",\"b\":\"2022-04-03\",\"c\":\"2022-04-03T10:00\",\"d\":\"2022-04-03\"}"
     "\n",
     "STRUCT(a VARCHAR, b VARCHAR, c VARCHAR, d VARCHAR)"},
    {"{\"a\":\"2022-04-03\",\"b\":\"x\",\"c\":1,\"d\":\"2022-04-03\"}\n"
     "{\"a\":20220403,\"b\":\"2022-04-03\",\"c\":\"2022-04-03\",\"d\":true}\n",
     "STRUCT(a VARCHAR, b VARCHAR, c VARCHAR, d VARCHAR)"},
    {"{\"a\":\"2022-04-03T10:00:00\\u002b02:00\",\"b\":\"2022\\/04\\/03\",\"c\":\"10:00\"}",
     "STRUCT(a TIMESTAMP WITH TIME ZONE, b VARCHAR, c VARCHAR)"},
    {"{\"l\":[\"2022-04-03\",null],\"m\":[\"2022-04-03\",\"2022-04-03T10:00\"],\"n\":[[\"2022-04-"
     "03\"],[]],"
     "\"o\":[{\"a\":\"2022-04-03\"}],\"s\":{\"a\":{\"b\":\"2022-04-03T10:00Z\"}}}",
     "STRUCT(l DATE[], m VARCHAR[], n DATE[][], o STRUCT(a DATE)[], s STRUCT(a STRUCT(b TIMESTAMP "
     "WITH TIME ZONE)))"},
    {"{\"a\":\"2022-04-03\"}\n{\"a\":\"2022-04-03\"}\n{\"a\":[1]}\n", "STRUCT(a VARCHAR)"},
    {"\xef\xbb\xbf\n{bad\n[1]\n{\"k\\u0065y\":1}", "STRUCT(key BIGINT)"},
};

static void types_follow_what_was_seen(void **state)
{
    for (int i = 0; i < SM_COUNT(cases); i++) {
        sm_buf got = {0};
        sm_error e = {0};
        assert_ok(infer("f.json", cases[i].text, strlen(cases[i].text), &got, &e), &e);
        assert_string_equal((char *)got.data, cases[i].want);
        sm_buf_release(&got);
    }
}

static void put_rows(sm_buf *text, int64_t n_rows, int width, const char *last)
{
    for (int64_t i = 0; i < n_rows; i++) {
        sm_buf_printf(text, "{\"a\":\"%*s\"}\n", width, "x");
    }
    sm_buf_printf(text, "%s", last);
}

/* Rows decide, a blank line being none; bytes only where they are far more than lines of logs. */
static void as_many_rows_count_as_are_asked_for(void **state)
{
    static const struct {
        int64_t n_rows;
        int width;
        const char *last;
        int64_t max_rows;
        const char *want;
        int64_t want_rows;
        bool skips_rows;
    } files[] = {
        {99, 1, "\n{\"late\":1}\n", 100, "STRUCT(a VARCHAR, late BIGINT)", 100, false},
        {100, 1, "{\"late\":1}\n", 100, "STRUCT(a VARCHAR)", 100, true},
        {100, 1, "{\"late\":1}\n", -1, "STRUCT(a VARCHAR, late BIGINT)", 101, false},
        {100, 1, " \n\n", 100, "STRUCT(a VARCHAR)", 100, false},
        {300, 5000, "{\"late\":1}", 20480, "STRUCT(a VARCHAR, late BIGINT)", 301, false},
        {2, 3 << 20, "{\"late\":1}", 20480, "STRUCT(a VARCHAR, late BIGINT)", 3, false},
        {5, 2 << 20, "{\"late\":1}", 20480, "STRUCT(a VARCHAR)", 4, true},
        {5, 2 << 20, "{\"late\":1}", -1, "STRUCT(a VARCHAR, late BIGINT)", 6, false},
    };
    for (int i = 0; i < SM_COUNT(files); i++) {
        sm_buf text = {0}, got = {0};
        sm_sampled seen = {0};
        sm_error e = {0};
        put_rows(&text, files[i].n_rows, files[i].width, files[i].last);
        const sample_in in = {"f.json", sm_buf_str(&text), files[i].max_rows};
        assert_ok(sample_all(&in, 1, &seen, &got, &e), &e);
        assert_string_equal((char *)got.data, files[i].want);
        assert_int_equal(seen.n_rows, files[i].want_rows);
        assert_int_equal(seen.skips_rows, files[i].skips_rows);
        sm_buf_release(&got);
        sm_buf_release(&text);
    }
}

static void files_are_one_schema(void **state)
{
    static const uint8_t empty_gzip[] = {0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3,
                                         3,    0,    0, 0, 0, 0, 0, 0, 0, 0};
    const struct {
        sample_in in[3];
        const char *want;
    } cases_of_files[] = {
        {{{"1.json", SM_STR("{\"id\":1}\n"), 10},
          {"2.json", SM_STR("{\"id\":2,\"extra\":\"x\"}\n"), 10},
          {"3.json", SM_STR("{\"id\":1.5}"), 10}},
         "STRUCT(id DOUBLE, extra VARCHAR)"},
        {{{"1.json", SM_STR("\n \n"), 10},
          {"2.json.gz", {(const char *)empty_gzip, sizeof(empty_gzip)}, 10},
          {"3.json", SM_STR("{\"id\":1}"), 10}},
         "STRUCT(id BIGINT)"},
        {{{"1.json", SM_STR("no JSON\nat all\n"), 10},
          {"2.json.gz", SM_STR("{\"id\":1}"), 10},
          {"3.json", SM_STR("{\"s\":{\"a\":1}}"), 10}},
         "STRUCT(s STRUCT(a BIGINT))"},
        {{{"1.json", SM_STR("{\"s\":{},\"n\":null}"), 10},
          {"2.json", SM_STR("{\"s\":{\"a\":true}}"), 10},
          {"3.json", SM_STR("{\"s\":null,\"n\":5}"), 10}},
         "STRUCT(s STRUCT(a BOOLEAN), n BIGINT)"},
    };
    for (int i = 0; i < SM_COUNT(cases_of_files); i++) {
        sm_buf got = {0};
        sm_sampled seen = {0};
        sm_error e = {0};
        assert_ok(sample_all(cases_of_files[i].in, 3, &seen, &got, &e), &e);
        assert_string_equal((char *)got.data, cases_of_files[i].want);
        sm_buf_release(&got);
    }
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
        {"\n{\n  \"a\": 1\n}\n", SM_UNSUPPORTED, 2, 1},
        {"{\n  \"a\": 1}} no JSON\n", SM_UNSUPPORTED, 1, 1},
        {"{bad\n", SM_SYNTAX, 1, 2},
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

static void expect(sm_buf *text, const char *want)
{
    sm_buf got = {0};
    sm_error e = {0};
    assert_ok(infer("f.json", text->data, text->len, &got, &e), &e);
    sm_buf_printf(&got, "%c", 0);
    assert_string_equal((char *)got.data, want);
    sm_buf_release(&got);
    sm_buf_reset(text);
}

/* An object of n fields k0 … whose values are printed by `value` with the field's number. */
static void put_object(sm_buf *text, const char *key, int n, const char *value)
{
    sm_buf_printf(text, "{\"%s\":{", key);
    for (int i = 0; i < n; i++) {
        sm_buf_printf(text, "%s\"k%d\":%s", i > 0 ? "," : "", i, value);
    }
    sm_buf_printf(text, "}}\n");
}

/* The type that `n` lines have, each with an object of one key of its own. */
static void put_ids(sm_buf *text, int n, const char *const *values, int n_values)
{
    for (int i = 0; i < n; i++) {
        sm_buf_printf(text, "{\"m\":{\"id%d\":%s},\"n\":%d}\n", i, values[i % n_values], i);
    }
}

static void objects_of_many_keys_are_maps(void **state)
{
    static const char
        *const ints[] = {"1", "-2", "null"},
               *const numbers[] = {"1", "0.5"}, *const big[] = {"1", "18446744073709551615"},
               *const mixed[] = {"1", "\"x\"", "true"}, *const nested[] = {"1", "[1]"},
               *const days[] = {"\"2022-04-03\"", "null"},
               *const times[] = {"\"2022-04-03\"", "\"2022-04-03T10:00\""},
               *const objects[] = {"{\"a\":1}", "{\"b\":\"x\",\"a\":2}"}, *const empty[] = {"{}"};
    sm_buf text = {0};
    /* in less than a tenth of the objects, on average */
    put_ids(&text, 11, ints, 3);
    expect(&text, "STRUCT(m MAP(VARCHAR, BIGINT), n BIGINT)");
    put_ids(&text, 3, ints, 3);
    expect(&text, "STRUCT(m STRUCT(id0 BIGINT, id1 BIGINT, id2 VARCHAR), n BIGINT)");
    put_ids(&text, 20, numbers, 2);
    expect(&text, "STRUCT(m MAP(VARCHAR, DOUBLE), n BIGINT)");
    put_ids(&text, 20, big, 2);
    expect(&text, "STRUCT(m MAP(VARCHAR, UBIGINT), n BIGINT)");
    put_ids(&text, 20, mixed, 3);
    expect(&text, "STRUCT(m MAP(VARCHAR, VARCHAR), n BIGINT)");
    put_ids(&text, 20, days, 2);
    expect(&text, "STRUCT(m MAP(VARCHAR, DATE), n BIGINT)");
    put_ids(&text, 20, times, 2);
    expect(&text, "STRUCT(m MAP(VARCHAR, VARCHAR), n BIGINT)");
    put_ids(&text, 20, objects, 2);
    expect(&text, "STRUCT(m MAP(VARCHAR, STRUCT(a BIGINT, b VARCHAR)), n BIGINT)");
    put_ids(&text, 20, empty, 1);
    expect(&text, "STRUCT(n BIGINT)");
    put_ids(&text, 11, nested, 2); /* lines would be refused for a MAP's sake */
    expect(&text, "STRUCT(m STRUCT(id0 BIGINT, id1 BIGINT[], id2 BIGINT, id3 BIGINT[], id4 BIGINT, "
                  "id5 BIGINT[], id6 BIGINT, id7 BIGINT[], id8 BIGINT, id9 BIGINT[], id10 BIGINT), "
                  "n BIGINT)");
    /* 200 fields of one type, or of similar ones */
    put_object(&text, "m", 200, "1");
    expect(&text, "STRUCT(m MAP(VARCHAR, BIGINT))");
    put_object(&text, "m", 200, "\"2022-04-03T10:00Z\"");
    expect(&text, "STRUCT(m MAP(VARCHAR, TIMESTAMP WITH TIME ZONE))");
    put_object(&text, "m", 200, "\"2022-04-03\""); /* kinds of texts are alike */
    sm_buf_printf(&text, "{\"m\":{\"k9\":\"x\"}}\n");
    expect(&text, "STRUCT(m MAP(VARCHAR, VARCHAR))");
    put_object(&text, "m", 200, "{\"a\":[1],\"b\":2}");
    expect(&text, "STRUCT(m MAP(VARCHAR, STRUCT(a BIGINT[], b BIGINT)))");
    /* in lists, in others' values; the lines' own object never */
    sm_buf_printf(&text, "{\"l\":[null");
    for (int i = 0; i < 11; i++) {
        sm_buf_printf(&text, ",{\"a%d\":{\"b%d\":%d}}", i, i, i);
    }
    sm_buf_printf(&text, "]}\n");
    expect(&text, "STRUCT(l MAP(VARCHAR, MAP(VARCHAR, BIGINT))[])");
    sm_buf_release(&text);
}

static void objects_that_are_no_maps_stay_structs(void **state)
{
    sm_buf text = {0}, got = {0};
    sm_error e = {0};
    for (int i = 0; i < 2; i++) { /* one field less; one of another type */
        put_object(&text, "m", 199, "1");
        if (i == 1) {
            sm_buf_reset(&text);
            put_object(&text, "m", 250, "1");
            sm_buf_printf(&text, "{\"m\":{\"k9\":\"x\"}}\n");
        }
        assert_ok(infer("f.json", text.data, text.len, &got, &e), &e);
        assert_true(sm_str_starts(sm_buf_str(&got), SM_STR("STRUCT(m STRUCT(k0 BIGINT, ")));
        sm_buf_reset(&got);
        sm_buf_reset(&text);
    }
    for (int i = 0; i < 300; i++) { /* the lines themselves */
        sm_buf_printf(&text, "{\"k%d\":1}\n", i);
    }
    assert_ok(infer("f.json", text.data, text.len, &got, &e), &e);
    assert_true(sm_str_starts(sm_buf_str(&got), SM_STR("STRUCT(k0 BIGINT, k1 BIGINT, ")));
    sm_buf_release(&text);
    sm_buf_release(&got);
}

static void keys_are_bounded(void **state)
{
    static const char *const ints[] = {"1"};
    sm_buf text = {0}, got = {0};
    sm_error e = {0};
    put_ids(&text, 19999, ints, 1); /* a MAP's are not */
    expect(&text, "STRUCT(m MAP(VARCHAR, BIGINT), n BIGINT)");
    put_object(&text, "m", 10001, "1");
    expect(&text, "STRUCT(m MAP(VARCHAR, BIGINT))");
    for (int i = 0; i < 10001; i++) {
        sm_buf_printf(&text, "%s\"k%d\":1", i > 0 ? "," : "{", i);
    }
    sm_buf_printf(&text, "}\n");
    assert_status(infer("f.json", text.data, text.len, &got, &e), SM_LIMIT, &e);
    assert_string_equal(e.what, "more than 10000 keys to make columns of");
    sm_buf_release(&text);
    sm_buf_release(&got);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(types_follow_what_was_seen),
        cmocka_unit_test(as_many_rows_count_as_are_asked_for),
        cmocka_unit_test(files_are_one_schema),
        cmocka_unit_test(nothing_to_infer_from_is_an_error),
        cmocka_unit_test(objects_of_many_keys_are_maps),
        cmocka_unit_test(objects_that_are_no_maps_stay_structs),
        cmocka_unit_test(keys_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
