/* SPDX-License-Identifier: Apache-2.0
 *
 * format/json/json_shape_test.c: lines read by the shape of earlier ones give what json_row.c
 * gives: the same rows, refusals, places and counts, at every instruction set, however the file is
 * cut and whatever is broken in it; and clean lines do go that way. SMELT_SEED=n repeats a run. */
#include "json_read.h"

#include "test.h"

#include "base/hash.h"
#include "base/isa.h"
#include "base/text.h"

#define SCHEMA                                                                                     \
    "STRUCT(_index VARCHAR, _id VARCHAR, _score BIGINT, ok BOOLEAN, share DOUBLE, day DATE, "      \
    "price DECIMAL(9,2), small TINYINT, _source STRUCT(App VARCHAR, Mac VARCHAR, Total BIGINT, "   \
    "deep STRUCT(x BIGINT)))"

static uint64_t seed_state;

static uint32_t dice(uint32_t n)
{
    seed_state = seed_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed_state >> 33) % n;
}

/* ---- both ways ------------------------------------------------------------------------------- */

/* Reads it both ways; how many lines went by shape. */
static int64_t assert_ways_agree(const json_read *how, const sm_buf *text)
{
    int64_t by_shape = 0;
    const char *what = json_ways_differ(how, text->data, text->len, &by_shape);
    if (what) {
        print_message("other %s in\n%.*s\n", what, (int)text->len, (const char *)text->data);
    }
    assert_null(what);
    return by_shape;
}

static const json_read plain = {
    .schema = SCHEMA, .validate_all = true, .counts_unknown = true, .beyond = 4096};

/* ---- lines ----------------------------------------------------------------------------------- */

/* A member; which of them a line has, and in which order, is thrown. */
static void add_member(sm_buf *out, int which, bool is_first)
{
    static const char *const texts[] = {
        "STREAM", "NETFLIX",       "x",
        "",       "12 bytes long", "just over twelve bytes, and then over 32 of them"};
    static const char *const strange[] = {"caf\u00e9", "a\\\"b", "\\u20ac", "\xf0\x9f\x98\x80 tv"};
    const char *text = dice(50) == 0 ? strange[dice(4)] : texts[dice(SM_COUNT(texts))];
    sm_buf_text(out, is_first ? SM_STR("") : SM_STR(","));
    switch (which) {
    case 0:
        sm_buf_printf(out, "\"_index\":\"%s\"", text);
        break;
    case 1:
        sm_buf_printf(out, "\"_id\":\"AX_%08x%08x\"", dice(1u << 31), dice(1u << 31));
        break;
    case 2:
        sm_buf_printf(out, "\"_score\":%d", (int)dice(3) - 1);
        break;
    case 3:
        sm_buf_printf(out, "\"ok\":%s", dice(3) == 0 ? "null" : dice(2) ? "true" : "false");
        break;
    case 4:
        sm_buf_printf(out, "\"share\":%d.%d", (int)dice(10), (int)dice(100));
        break;
    case 5:
        sm_buf_printf(out, "\"day\":\"2022-04-%02d\"", 1 + (int)dice(30));
        break;
    case 6:
        sm_buf_printf(out, "\"price\":%d.%02d", (int)dice(10000), (int)dice(100));
        break;
    case 7:
        sm_buf_printf(out, "\"small\":%d", (int)dice(127));
        break;
    case 8:
        sm_buf_printf(out, "\"_extra\":{\"a\":[1,\"%s\",{}]}", text);
        break;
    default:
        sm_buf_printf(out, "\"_other\": \"%s\"", text);
        break;
    }
}

static void add_source(sm_buf *out)
{
    static const int64_t numbers[] = {
        0, 7, -1, 86399, 12345678, 123456789, 1234567890123456, -9999999999, 1234567890123456789};
    const int64_t n = numbers[dice(SM_COUNT(numbers))];
    sm_buf_printf(out, "\"_source\":{\"Mac\":\"0C96E62F%04X\"", dice(65536));
    if (dice(10) > 0) {
        sm_buf_printf(out, dice(20) == 0 ? ",\"Total\":\"%" PRId64 "\"" : ",\"Total\":%" PRId64, n);
    }
    sm_buf_printf(out, ",\"App\":\"%s\",\"deep\":{\"x\":%d}}", dice(2) ? "VOD" : "SPORT",
                  (int)dice(1000));
}

static void add_line(sm_buf *out)
{
    static const int orders[3][9] = {
        {0, 1, 2, 3, 4, 5, 6, 7, -1}, {7, 1, 0, 2, -1, 8, 4, 5, 9}, {-1, 0, 1, 9, 2, 5, 6, 3, 4}};
    const int *order = orders[dice(3)];
    bool is_first = true;
    sm_buf_text(out, SM_STR("{"));
    for (int i = 0; i < 9; i++) {
        if (order[i] < 0) {
            sm_buf_text(out, is_first ? SM_STR("") : SM_STR(","));
            add_source(out);
        } else if (dice(20) > 0) {
            add_member(out, order[i], is_first);
        } else {
            continue;
        }
        is_first = false;
    }
    sm_buf_text(out, dice(30) == 0 ? SM_STR("}\r\n") : SM_STR("}\n"));
}

static void clean_lines_go_by_shape(void **state)
{
    sm_buf text = {0};
    const int n = 20000;
    for (int i = 0; i < n; i++) {
        add_line(&text);
    }
    for (int isa = SM_ISA_REF; isa <= SM_ISA_AVX512; isa++) {
        setenv("SMELT_ISA", sm_isa_name((sm_isa_level)isa), 1);
        const int64_t by_shape = assert_ways_agree(&plain, &text);
        print_message("%s: %.2f%% by shape\n", sm_isa_name((sm_isa_level)isa),
                      100.0 * (double)by_shape / n);
        assert_true(by_shape >= n / 100 * 99); /* the lines that teach are not among them */
    }
    unsetenv("SMELT_ISA");
    sm_buf_release(&text);
}

/* One member asked for, the rest checked, or not even that. */
static void columns_that_are_not_asked_for(void **state)
{
    static const int32_t some[] = {1, 8};
    sm_buf text = {0};
    for (int i = 0; i < 2000; i++) {
        add_line(&text);
    }
    json_read how = plain;
    how.columns = some;
    for (int32_t n = 0; n <= 2; n++) {
        how.n_columns = n;
        how.validate_all = true;
        assert_true(assert_ways_agree(&how, &text) > 1500);
        how.validate_all = false;
        assert_true(assert_ways_agree(&how, &text) > 1500);
    }
    how.made = "STRUCT(_id VARCHAR, _source STRUCT(Mac VARCHAR, deep STRUCT(x BIGINT)))";
    assert_true(assert_ways_agree(&how, &text) > 1500);
    how.made = "STRUCT(_id VARCHAR, _source STRUCT(Total BIGINT))";
    how.validate_all = true;
    assert_true(assert_ways_agree(&how, &text) > 1500);
    sm_buf_release(&text);
}

/* ---- what is no such line -------------------------------------------------------------------- */

static void mutate(sm_buf *line)
{
    static const char bytes[] = "{}[]:,\"\\ \t\r\n0123456789-+.eEntfu\x01\x7f\x80\xc3\xff";
    for (uint32_t n = 1 + dice(2); n > 0; n--) {
        const size_t at = dice((uint32_t)line->len);
        const size_t span = 1 + dice(8);
        const size_t len = line->len - at < span ? line->len - at : span;
        switch (dice(4)) {
        case 0:
            line->data[at] = (uint8_t)bytes[dice(sizeof(bytes) - 1)];
            break;
        case 1: /* cut out */
            memmove(line->data + at, line->data + at + len, line->len - at - len);
            line->len -= len;
            break;
        case 2: /* twice */
            memmove(line->data + at + len, line->data + at, line->len - at);
            line->len += len;
            break;
        default: /* from elsewhere */
            memmove(line->data + at, line->data + dice((uint32_t)(line->len - len + 1)), len);
            break;
        }
        if (line->len == 0) {
            line->data[line->len++] = '\n';
        }
    }
}

static void mutated_lines(void **state)
{
    sm_error e = {0};
    int64_t by_shape = 0;
    for (int file = 0; file < 250; file++) {
        sm_buf text = {0}, line = {0};
        for (int i = 0; i < 40; i++) { /* 10,000 in all, each behind two that are whole */
            add_line(&text);
            add_line(&text);
            sm_buf_reset(&line);
            add_line(&line);
            assert_ok(sm_buf_reserve(&line, 64, &e), &e);
            mutate(&line);
            sm_buf_text(&text, sm_buf_str(&line));
        }
        by_shape += assert_ways_agree(&plain, &text);
        sm_buf_release(&line);
        sm_buf_release(&text);
    }
    print_message("%lld of 30,000 lines by shape\n", (long long)by_shape);
    assert_true(by_shape > 12000);
}

static void cut_at_every_byte(void **state)
{
    sm_buf text = {0};
    sm_buf_text(&text, SM_STR("\xef\xbb\xbf"));
    for (int i = 0; i < 12; i++) {
        add_line(&text);
        if (i % 4 == 3) {
            sm_buf_text(&text, SM_STR(" \r\n{\"_score\":1.5}\n"));
        }
    }
    text.len--; /* the last line has no LF */
    json_read how = plain;
    how.is_terse = true;
    for (how.cut = 1; how.cut < text.len; how.cut++) {
        how.beyond = dice(2) ? 4096 : dice(300);
        (void)assert_ways_agree(&how, &text);
    }
    sm_buf_release(&text);
}

/* Keys and objects that come twice, although each of their places was learnt. */
static void keys_that_come_twice(void **state)
{
    static const char lines[] =
        "{\"_score\":1,\"_source\":{\"Mac\":\"a\",\"Total\":2},\"_id\":\"x\"}\n"
        "{\"_id\":\"x\",\"_source\":{\"Mac\":\"a\",\"Total\":2},\"_score\":1}\n"
        "{\"_score\":3,\"_id\":\"y\",\"_source\":{\"Total\":4}}\n"
        "{\"_source\":{\"Total\":5,\"Mac\":\"b\"},\"_score\":1}\n"
        "{\"_score\":1,\"_source\":{\"Mac\":\"a\"},\"_id\":\"x\",\"_source\":{\"Total\":7}}\n"
        "{\"_id\":\"x\",\"_source\":{\"Mac\":\"a\",\"Total\":2,\"Mac\":\"c\"},\"_score\":1}\n"
        "{\"_score\":8,\"_id\":\"x\",\"_score\":9}\n"
        "{\"_score\":8,\"_source\":null}\n"
        "{\"_score\":8,\"_source\":{}}\n"
        "{}\n";
    sm_buf text = {0};
    for (int i = 0; i < 3; i++) {
        sm_buf_text(&text, SM_STR(lines));
    }
    assert_true(assert_ways_agree(&plain, &text) >= 8);
    sm_buf_release(&text);
}

/* More different keys than there are states, and keys longer than an edge. */
static void what_is_learnt_is_bounded(void **state)
{
    sm_buf text = {0};
    for (int i = 0; i < 3000; i++) {
        sm_buf_printf(&text, "{\"k%d\":1,\"_score\":%d,\"%0*d\":true}\n", i % 1500, i,
                      i % 7 == 0 ? 300 : 3, i % 5);
        add_line(&text);
    }
    json_read how = plain;
    how.counts_unknown = false; /* the first 1,000 paths a morsel; the test keeps 64 */
    (void)assert_ways_agree(&how, &text);
    sm_buf_release(&text);
}

/* ---- keys that no column takes, where they are an error -------------------------------------- */

/* Lines with empty ones go by shape; the first that holds something ends it. */
static void an_unknown_key_is_an_error(void **state)
{
    static const struct {
        const char *late;
        int64_t byte; /* 0: no error */
    } rows[] = {
        {"{\"a\":1,\"o\":{\"x\":1}}", 8},    {"{\"o\":{ },\"late\":null,\"a\":1}", 10},
        {"{\"a\":1,\"o\":{}}", 0},           {"{\"a\":1,\"o\":[{}, []]}", 0},
        {"{\"a\":1,\"s\":{\"late\":1}}", 0}, {"{\"late\":1,\"a\":\"x\"}", 0},
        {"{\"o\":1,\"o\":{}}", 2},           {"{\"l\\u0061te\":0}", 2},
    };
    for (int i = 0; i < SM_COUNT(rows); i++) {
        json_read how = {.schema = "STRUCT(a BIGINT, s STRUCT(b BIGINT))", .fails_unknown = true};
        sm_buf text = {0};
        for (int n = 0; n < 60; n++) {
            sm_buf_printf(&text, "%s\n",
                          n == 50 ? rows[i].late : "{\"a\":1,\"o\":{},\"s\":{\"b\":2}}");
        }
        for (how.cut = 0; how.cut < text.len; how.cut += 97) {
            json_result r;
            sm_error e = {0};
            const sm_status st = json_read_bytes(&how, text.data, text.len, &r, &e);
            assert_status(st, rows[i].byte > 0 ? SM_SCHEMA : SM_OK, &e);
            assert_true(r.counts.unknown_lines == 0);
            assert_int_equal(e.byte, rows[i].byte > 0 ? rows[i].byte : 0);
            assert_int_equal(e.line, how.cut == 0 && rows[i].byte > 0 ? 51 : e.line);
            assert_true(rows[i].byte > 0 || r.shape_lines > 0);
            json_result_release(&r);
        }
        sm_buf_release(&text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clean_lines_go_by_shape),
        cmocka_unit_test(columns_that_are_not_asked_for),
        cmocka_unit_test(mutated_lines),
        cmocka_unit_test(cut_at_every_byte),
        cmocka_unit_test(keys_that_come_twice),
        cmocka_unit_test(what_is_learnt_is_bounded),
        cmocka_unit_test(an_unknown_key_is_an_error),
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
