/* SPDX-License-Identifier: Apache-2.0
 *
 * format/json/json_rescue_test.c: unknown keys that are kept in a column: what its text is for each
 * kind of key and value, that it is the same however a line is read, and that it is always JSON.
 * SMELT_SEED=n repeats a run. */
#include "json_read.h"

#include "test.h"

#include "base/hash.h"
#include "base/json_doc.h"
#include "base/text.h"

#define SCHEMA                                                                                     \
    "STRUCT(a BIGINT, s STRUCT(c VARCHAR, \"q\"\"q\" STRUCT(d BIGINT)), l STRUCT(k BIGINT)[], "    \
    "m MAP(VARCHAR, STRUCT(k BIGINT)), n STRUCT(k BIGINT)[][])"

/* Without lists, so that lines go by their shape. */
#define SHAPED "STRUCT(a BIGINT, s STRUCT(c VARCHAR, \"q\"\"q\" STRUCT(d BIGINT)))"

static const struct {
    const char *line, *want; /* the text of the column; NULL: it is NULL */
} cases[] = {
    {"{\"a\":1}", NULL},
    {"{}", NULL},
    {"{\"s\":{\"c\":\"x\",\"q\\\"q\":{\"d\":1}}}", NULL},
    /* kinds of values, with the bytes of the line */
    {"{\"x\":1,\"a\":2}", "{\"x\":1}"},
    {"{\"a\":2,\"x\": 1.50e+3 }", "{\"x\":1.50e+3}"},
    {"{\"x\":null}", "{\"x\":null}"},
    {"{\"x\":true,\"y\":false}", "{\"x\":true,\"y\":false}"},
    {"{\"x\":\"\\u00e9 \\\"\\n\",\"y\":\"\"}", "{\"x\":\"\\u00e9 \\\"\\n\",\"y\":\"\"}"},
    {"{\"x\":{ \"a\" : [1, {\"b\":2,\"b\":3}] }}", "{\"x\":{ \"a\" : [1, {\"b\":2,\"b\":3}] }}"},
    {"{\"x\":[],\"y\":{}}", "{\"x\":[],\"y\":{}}"},
    {"{\"x\":123456789012345678901234567890}", "{\"x\":123456789012345678901234567890}"},
    /* keys: empty, of other letters, escaped, with quotes, like names of columns */
    {"{\"\":1}", "{\"\":1}"},
    {"{\"A\":1,\"_rescued\":2}", "{\"A\":1,\"_rescued\":2}"},
    {"{\"\xc3\xa9\xf0\x9f\x98\x80\":1}", "{\"\xc3\xa9\xf0\x9f\x98\x80\":1}"},
    {"{\"\\u00e9\":1}", "{\"\\u00e9\":1}"},
    {"{\"\\u0000\":1,\"q\\\"q\":2}", "{\"\\u0000\":1,\"q\\\"q\":2}"},
    {"{\"\\u0061\":5,\"x\":1}", "{\"x\":1}"},
    /* nested: at their paths, the outermost unknown key only */
    {"{\"_e\":1,\"s\":{\"x\":{\"c\":1}}}", "{\"_e\":1,\"s\":{\"x\":{\"c\":1}}}"},
    {"{\"s\":{\"x\":1,\"q\\\"q\":{\"y\":2,\"d\":3,\"z\":4},\"w\":5},\"v\":6}",
     "{\"s\":{\"x\":1,\"q\\\"q\":{\"y\":2,\"z\":4},\"w\":5},\"v\":6}"},
    {"{\"s\":{\"q\\\"q\":{\"y\":2}},\"v\":6}", "{\"s\":{\"q\\\"q\":{\"y\":2}},\"v\":6}"},
    /* repeated: the last one, at the place of the first */
    {"{\"x\":1,\"x\":2}", "{\"x\":2}"},
    {"{\"x\":1,\"y\":0,\"\\u0078\":2}", "{\"x\":2,\"y\":0}"},
    {"{\"s\":{\"x\":1},\"y\":2,\"s\":{\"z\":3}}", "{\"y\":2,\"s\":{\"z\":3}}"},
    {"{\"s\":{\"x\":1},\"s\":null}", NULL},
    {"{\"s\":{\"x\":1,\"x\":7},\"y\":1,\"y\":2,\"s\":{\"z\":3}}", "{\"s\":{\"z\":3},\"y\":2}"},
    /* over the few that are compared with each other */
    {"{\"k0\":0,\"k1\":1,\"k2\":2,\"k3\":3,\"k4\":4,\"k5\":5,\"k6\":6,\"k7\":7,\"k8\":8,\"k9\":9,"
     "\"k10\":0,\"k11\":1,\"k12\":2,\"k13\":3,\"k14\":4,\"s\":{\"k0\":1},\"k3\":33,\"k15\":5}",
     "{\"k0\":0,\"k1\":1,\"k2\":2,\"k3\":33,\"k4\":4,\"k5\":5,\"k6\":6,\"k7\":7,\"k8\":8,\"k9\":9,"
     "\"k10\":0,\"k11\":1,\"k12\":2,\"k13\":3,\"k14\":4,\"s\":{\"k0\":1},\"k15\":5}"},
    {" \t{ \"x\" : 1 , \"s\" : { \"y\" : 2 } } \r", "{\"x\":1,\"s\":{\"y\":2}}"},
};

/* Lines with lists and MAPs. */
static const struct {
    const char *line, *want;
} nested[] = {
    {"{\"l\":[{\"k\":1}],\"m\":{\"p\":{\"k\":1}},\"n\":[[{}]]}", NULL},
    {"{\"l\":[{\"k\":1,\"x\":2},null,{\"k\":3},{\"x\":[4]}]}",
     "{\"l\":[{\"x\":2},null,{},{\"x\":[4]}]}"},
    {"{\"y\":1,\"l\":[{\"x\":1,\"x\":2}],\"z\":3}", "{\"y\":1,\"l\":[{\"x\":2}],\"z\":3}"},
    {"{\"l\":[{\"x\":1}],\"l\":[],\"z\":3}", "{\"z\":3}"},
    {"{\"m\":{\"p\":{\"k\":1},\"q\":{\"x\":2},\"r\":null}}", "{\"m\":{\"q\":{\"x\":2}}}"},
    {"{\"m\":{\"q\":{\"x\":2},\"q\":{\"k\":1}},\"y\":1}", "{\"y\":1}"},
    {"{\"n\":[[],[{\"k\":1},{\"x\":2}],null]}", "{\"n\":[[],[{},{\"x\":2}],null]}"},
};

/* What came of a line: the last column of its row. */
static void rescued_of(const char *schema, const char *mode, const sm_buf *text, json_result *r)
{
    const json_read how = {.schema = schema, .rescues_unknown = true, .validate_all = true};
    sm_error e = {0};

    setenv("SMELT_JSON", mode, 1);
    assert_ok(json_read_bytes(&how, text->data, text->len, r, &e), &e);
    unsetenv("SMELT_JSON");
    assert_int_equal(r->counts.refused, 0);
}

/* The rows of `line` three times must end with `want`, by shape and in full. */
static void expect_rescued(const char *schema, const char *line, const char *want)
{
    static const char *const modes[] = {"shape", "full"};
    sm_buf text = {0}, end = {0};
    sm_json_writer w = {.out = &end};

    sm_buf_printf(&text, "%s\n%s\n%s\n", line, line, line);
    sm_json_begin_array(&w);
    if (want) {
        sm_json_put_text(&w, sm_str_of(want));
    } else {
        sm_json_put_null(&w);
    }
    sm_json_end_array(&w);
    for (int i = 0; i < SM_COUNT(modes); i++) {
        json_result r;
        rescued_of(schema, modes[i], &text, &r);
        assert_int_equal(r.counts.rows, 3);
        assert_int_equal(r.counts.unknown_lines, want ? 3 : 0);
        sm_str rest = sm_buf_str(&r.rows);
        for (int row = 0; row < 3; row++) {
            const size_t n = (size_t)((const char *)memchr(rest.data, '\n', rest.len) - rest.data);
            const sm_str got = {rest.data + n - (end.len - 1), end.len - 1};
            const sm_str wanted = {(const char *)end.data + 1, end.len - 1};
            if (n < end.len || !sm_str_eq(got, wanted)) {
                fail_msg("%s: got\n%.*s\nwant\n%.*s", line, (int)n, rest.data, (int)end.len,
                         (const char *)end.data);
            }
            rest = (sm_str){rest.data + n + 1, rest.len - n - 1};
        }
        json_result_release(&r);
    }
    sm_buf_release(&text);
    sm_buf_release(&end);
}

static void unknown_keys_are_kept(void **state)
{
    for (int i = 0; i < SM_COUNT(cases); i++) {
        expect_rescued(SHAPED, cases[i].line, cases[i].want);
        expect_rescued(SCHEMA, cases[i].line, cases[i].want);
    }
    for (int i = 0; i < SM_COUNT(nested); i++) {
        expect_rescued(SCHEMA, nested[i].line, nested[i].want);
    }
}

/* Lines that are refused or blank give no row, and the columns stay side by side. */
static void rows_stay_beside_their_keys(void **state)
{
    static const char text[] = "{\"a\":1,\"x\":1}\n\n{\"a\":\"no\",\"x\":2}\n{\"a\":3}\n{\"a\":4,"
                               "\"x\":4}\nbad\n{\"x\":5,\"a\":5}\n";
    const json_read how = {.schema = "STRUCT(a BIGINT)", .rescues_unknown = true};
    json_result r;
    sm_error e = {0};

    assert_ok(json_read_bytes(&how, text, sizeof(text) - 1, &r, &e), &e);
    assert_true(sm_str_is(sm_buf_str(&r.rows), "[1,\"{\\\"x\\\":1}\"]\n[3,null]\n"
                                               "[4,\"{\\\"x\\\":4}\"]\n[5,\"{\\\"x\\\":5}\"]\n"));
    assert_int_equal(r.counts.unknown_lines, 3);
    json_result_release(&r);
}

/* Only the rescued column is read, or it is not read at all. */
static void the_column_alone_and_without_it(void **state)
{
    static const char text[] = "{\"a\":1,\"x\":1}\n{\"a\":2}\n{\"s\":{\"y\":3}}\n";
    static const int32_t both[] = {0, 2};
    json_read how = {.schema = "STRUCT(a BIGINT, s STRUCT(c VARCHAR))",
                     .rescues_unknown = true,
                     .columns = both + 1,
                     .n_columns = 1};
    json_result r;
    sm_error e = {0};

    assert_ok(json_read_bytes(&how, text, sizeof(text) - 1, &r, &e), &e);
    assert_true(sm_str_is(sm_buf_str(&r.rows), "[\"{\\\"x\\\":1}\"]\n[null]\n"
                                               "[\"{\\\"s\\\":{\\\"y\\\":3}}\"]\n"));
    json_result_release(&r);
    how.columns = both;
    assert_ok(json_read_bytes(&how, text, sizeof(text) - 1, &r, &e), &e);
    assert_true(sm_str_is(sm_buf_str(&r.rows), "[1]\n[2]\n[null]\n"));
    json_result_release(&r);
}

/* More unknown keys than are noted, and texts of megabytes: nothing is cut. */
static void many_and_large_keys_are_whole(void **state)
{
    const json_read how = {.schema = "STRUCT(a BIGINT)", .rescues_unknown = true};
    sm_buf line = {0}, want = {0};
    sm_json_writer w = {.out = &want};
    json_result r;
    sm_error e = {0};

    sm_buf_printf(&line, "{");
    for (int i = 0; i < 10000; i++) {
        sm_buf_printf(&line, "%s\"key %d\":%d", i > 0 ? "," : "", i, i);
    }
    sm_buf_printf(&line, ",\"");
    for (int i = 0; i < 3000000; i++) {
        sm_buf_printf(&line, "k");
    }
    sm_buf_printf(&line, "\":\"");
    for (int i = 0; i < 3000000; i++) {
        sm_buf_printf(&line, "v");
    }
    sm_buf_printf(&line, "\"}");
    sm_json_begin_array(&w);
    sm_json_put_null(&w);
    sm_json_put_text(&w, sm_buf_str(&line));
    sm_json_end_array(&w);
    sm_json_end_line(&w);
    assert_ok(json_read_bytes(&how, line.data, line.len, &r, &e), &e);
    assert_true(json_same_text(&r.rows, &want));
    json_result_release(&r);
    sm_buf_release(&line);
    sm_buf_release(&want);
}

/* ---- random lines ---------------------------------------------------------------------------- */

static uint64_t seed_state;

static uint32_t dice(uint32_t n)
{
    seed_state = seed_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed_state >> 33) % n;
}

static void random_value(sm_buf *out, int depth);

static void random_object(sm_buf *out, int depth)
{
    static const char *const keys[] = {"a", "s", "c", "q\\\"q", "d", "x", "y", "\\u0078", "l", "m"};
    const uint32_t n = dice(5);

    sm_buf_printf(out, dice(4) ? "{" : " { ");
    for (uint32_t i = 0; i < n; i++) {
        sm_buf_printf(out, "%s\"%s\":", i > 0 ? "," : "", keys[dice(SM_COUNT(keys))]);
        random_value(out, depth + 1);
    }
    sm_buf_printf(out, "}");
}

static void random_value(sm_buf *out, int depth)
{
    static const char *const scalars[] = {"null", "1", "-2", "\"t\"", "[]", "[{\"x\":1}]"};

    if (depth < 4 && dice(2)) {
        random_object(out, depth);
    } else {
        sm_buf_printf(out, "%s", scalars[dice(SM_COUNT(scalars))]);
    }
}

/* By shape and in full, cut and whole, in all of memory or little: the same rows. */
static void random_lines_agree(void **state)
{
    const json_read how = {.schema = SHAPED, .rescues_unknown = true, .validate_all = true};
    int64_t n_shaped = 0;

    for (int round = 0; round < 200; round++) {
        sm_buf text = {0};
        int64_t by_shape = 0;
        for (int i = 0; i < 60; i++) {
            random_object(&text, 0);
            sm_buf_printf(&text, "\n");
        }
        const char *what = json_ways_differ(&how, text.data, text.len, &by_shape);
        if (what) {
            fail_msg("other %s in\n%.*s", what, (int)text.len, (const char *)text.data);
        }
        n_shaped += by_shape;
        sm_buf_release(&text);
    }
    assert_true(n_shaped > 100);
}

static void memory_may_be_short(void **state)
{
    sm_buf text = {0};
    json_result want;
    sm_error e = {0};
    int n_refused = 0;

    for (int i = 0; i < 500; i++) {
        random_object(&text, 0);
        sm_buf_printf(&text, "\n{\"x\":%d,\"s\":{\"y\":%d}}\n{\"l\":[{\"x\":%d}]}\n", i, i, i);
    }
    json_read how = {.schema = SCHEMA, .rescues_unknown = true};
    assert_ok(json_read_bytes(&how, text.data, text.len, &want, &e), &e);
    const int64_t live = sm_live_allocs();
    for (how.limit_bytes = 1;; how.limit_bytes += how.limit_bytes / 8 + 1) {
        json_result r;
        const sm_status st = json_read_bytes(&how, text.data, text.len, &r, &e);
        const bool is_same = json_same_text(&r.rows, &want.rows);
        json_result_release(&r);
        assert_int_equal(sm_live_allocs(), live);
        if (st == SM_OK) {
            assert_true(is_same);
            break;
        }
        assert_int_equal(st, SM_BUDGET);
        n_refused++;
    }
    assert_true(n_refused > 10);
    json_result_release(&want);
    sm_buf_release(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unknown_keys_are_kept),
        cmocka_unit_test(rows_stay_beside_their_keys),
        cmocka_unit_test(the_column_alone_and_without_it),
        cmocka_unit_test(many_and_large_keys_are_whole),
        cmocka_unit_test(random_lines_agree),
        cmocka_unit_test(memory_may_be_short),
    };
    int64_t seed = 20220401;
    const char *given = sm_env("SMELT_SEED");
    if (given && !sm_parse_i64(sm_str_of(given), &seed)) {
        return 2;
    }
    printf("SMELT_SEED=%" PRId64 "\n", seed);
    seed_state = sm_mix64((uint64_t)seed);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
