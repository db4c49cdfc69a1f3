/* SPDX-License-Identifier: Apache-2.0
 *
 * format/json/json_random_test.c: random rows, spelt at random (order of keys, white space,
 * escapes, exponents, repeated and unknown keys), read back as the same rows, however they are cut
 * and however little memory there is. SMELT_SEED=n repeats a run. */
#include "json_read.h"

#include <zlib.h>

#include "test.h"

#include "base/hash.h"
#include "base/quote.h"
#include "base/text.h"

#define SCHEMA                                                                                     \
    "STRUCT(a BIGINT, s VARCHAR, o STRUCT(x BIGINT, y VARCHAR), l VARCHAR[], m "                   \
    "MAP(VARCHAR, BIGINT))"

static uint64_t seed_state;

static uint32_t dice(uint32_t n)
{
    seed_state = seed_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed_state >> 33) % n;
}

/* ---- writing --------------------------------------------------------------------------------- */

static void space(sm_buf *out)
{
    static const char *const spaces[] = {"", "", "", "", " ", "\t", "  ", "\r"};
    sm_buf_text(out, sm_str_of(spaces[dice(SM_COUNT(spaces))]));
}

static void spell_char(sm_buf *out, uint32_t c)
{
    static const char shorts[] = "\"\\/\b\f\n\r\t", letters[] = "\"\\/bfnrt";
    const char *known = c < 0x80 && c > 0 ? strchr(shorts, (int)c) : NULL;
    const bool must_escape = c < 0x20 || c == '"' || c == '\\';
    const uint32_t how = dice(must_escape ? 2 : 8);
    if (how == 0 && known) {
        sm_buf_printf(out, "\\%c", letters[known - shorts]);
    } else if (how > 1) {
        char utf8[4];
        const int n = sm_utf8_put(c, utf8);
        sm_buf_text(out, (sm_str){utf8, (size_t)n});
    } else if (c < 0x10000) {
        sm_buf_printf(out, dice(2) ? "\\u%04x" : "\\u%04X", c);
    } else {
        const uint32_t high = 0xd800 + ((c - 0x10000) >> 10), low = 0xdc00 + (c & 0x3ff);
        sm_buf_printf(out, "\\u%04x\\u%04X", high, low);
    }
}

static void spell_string(sm_buf *out, sm_str s)
{
    size_t at = 0;
    sm_buf_text(out, SM_STR("\""));
    while (at < s.len) {
        spell_char(out, sm_utf8_next(s, &at));
    }
    sm_buf_text(out, SM_STR("\""));
}

static void spell_long(sm_buf *out, int64_t v)
{
    switch (dice(5)) {
    case 0:
        sm_buf_printf(out, "%" PRId64 ".000", v);
        break;
    case 1:
        sm_buf_printf(out, v == 0 ? "-%" PRId64 "e+500" : "%" PRId64 "000E-3", v);
        break;
    case 2:
        sm_buf_printf(out, "\"%" PRId64 "\"", v);
        break;
    default:
        sm_buf_printf(out, "%" PRId64, v);
        break;
    }
}

/* Any valid value, whose keys must not matter. */
static void spell_anything(sm_buf *out, int depth)
{
    static const char *const scalars[] = {"null", "true", "-1.5e-7", "\"a\\u0000\\\"\"",
                                          "{}",   "[]"};
    const uint32_t how = dice(depth > 3 ? 1 : 3);
    if (how == 0) {
        sm_buf_text(out, sm_str_of(scalars[dice(SM_COUNT(scalars))]));
        return;
    }
    const uint32_t n = 1 + dice(3);
    sm_buf_text(out, how == 1 ? SM_STR("[") : SM_STR("{"));
    for (uint32_t i = 0; i < n; i++) {
        sm_buf_text(out, i > 0 ? SM_STR(",") : SM_STR(""));
        if (how == 2) {
            sm_buf_printf(out, "\"%c\":", "asolxyz"[dice(7)]);
        }
        spell_anything(out, depth + 1);
    }
    sm_buf_text(out, how == 1 ? SM_STR("]") : SM_STR("}"));
}

/* ---- random values: their JSON to `line`, what must be read of it to `want` ------------------ */

static sm_str random_text(char out[128])
{
    static const uint32_t chars[] = {'a',  'B',  '"',  '\\',   '/',    1,
                                     '\n', 0x7f, 0xe9, 0x20ac, 0x1f600};
    size_t len = 0;
    for (uint32_t n = dice(5) == 0 ? 24 : dice(8); n > 0; n--) {
        len += (size_t)sm_utf8_put(chars[dice(SM_COUNT(chars))], out + len);
    }
    return (sm_str){out, len};
}

static void random_string(sm_buf *line, sm_buf *want)
{
    char text[128];
    const sm_str s = random_text(text);
    spell_string(line, s);
    sm_buf_json_str(want, s);
}

static void random_long(sm_buf *line, sm_buf *want)
{
    static const int64_t limits[] = {0, -1, INT64_MAX, INT64_MIN};
    const int64_t v = dice(4) == 0 ? limits[dice(4)] : (int64_t)dice(1000000) - 500000;
    spell_long(line, v);
    sm_buf_printf(want, "%" PRId64, v);
}

static void random_list(sm_buf *line, sm_buf *want)
{
    const uint32_t n = dice(4);
    sm_buf_text(line, SM_STR("["));
    sm_buf_text(want, SM_STR("["));
    for (uint32_t i = 0; i < n; i++) {
        sm_buf_text(line, i > 0 ? SM_STR(",") : SM_STR(""));
        sm_buf_text(want, i > 0 ? SM_STR(",") : SM_STR(""));
        space(line);
        if (dice(4) == 0) {
            sm_buf_text(line, SM_STR("null"));
            sm_buf_text(want, SM_STR("null"));
        } else {
            random_string(line, want);
        }
        space(line);
    }
    sm_buf_text(line, SM_STR("]"));
    sm_buf_text(want, SM_STR("]"));
}

typedef struct member {
    const char *key;
    void (*value)(sm_buf *line, sm_buf *want);
} member;

static void comma(sm_buf *line, bool *is_first)
{
    sm_buf_text(line, *is_first ? SM_STR("") : SM_STR(","));
    *is_first = false;
    space(line);
}

static void spell_key(sm_buf *line, const char *key)
{
    spell_string(line, sm_str_of(key));
    space(line);
    sm_buf_text(line, SM_STR(":"));
    space(line);
}

/* An object of the members in random order; what is wanted of member i to want[i]. */
static void random_object(sm_buf *line, const member *members, int n, sm_buf *want)
{
    int order[5] = {0, 1, 2, 3, 4};
    bool is_first = true;
    for (int i = n - 1; i > 0; i--) {
        const int other = (int)dice((uint32_t)i + 1), kept = order[i];
        order[i] = order[other];
        order[other] = kept;
    }
    sm_buf_text(line, SM_STR("{"));
    for (int i = 0; i < n; i++) {
        const member *m = &members[order[i]];
        if (dice(6) == 0) { /* an earlier one of the key, which must not matter */
            comma(line, &is_first);
            spell_key(line, m->key);
            spell_anything(line, 0);
        } else if (dice(6) == 0) { /* missing */
            sm_buf_text(&want[order[i]], SM_STR("null"));
            continue;
        }
        if (dice(8) == 0) {
            comma(line, &is_first);
            spell_key(line, "unknown");
            spell_anything(line, 0);
        }
        comma(line, &is_first);
        spell_key(line, m->key);
        if (dice(8) == 0) {
            sm_buf_text(line, SM_STR("null"));
            sm_buf_text(&want[order[i]], SM_STR("null"));
        } else {
            m->value(line, &want[order[i]]);
        }
        space(line);
    }
    sm_buf_text(line, SM_STR("}"));
}

static void random_struct(sm_buf *line, sm_buf *want)
{
    static const member members[] = {{"x", random_long}, {"y", random_string}};
    sm_buf of[2] = {{0}};
    random_object(line, members, 2, of);
    sm_buf_printf(want, "{\"x\":");
    sm_buf_text(want, sm_buf_str(&of[0]));
    sm_buf_printf(want, ",\"y\":");
    sm_buf_text(want, sm_buf_str(&of[1]));
    sm_buf_printf(want, "}");
    sm_buf_release(&of[0]);
    sm_buf_release(&of[1]);
}

/* Keys of a few, some of them several times: the last value counts, in the first one's place. */
static void random_map(sm_buf *line, sm_buf *want)
{
    static const char *const keys[] = {"", "a", "b\"", "\xe2\x82\xac",
                                       "a key of over twelve bytes"};
    uint32_t of[24];
    const uint32_t n = dice(3) == 0 ? 12 + dice(12) : dice(4);
    bool is_first = true;
    sm_buf values[24] = {{0}};
    for (uint32_t i = 0; i < n; i++) {
        of[i] = dice(20);
    }
    sm_buf_text(line, SM_STR("{"));
    for (uint32_t i = 0; i < n; i++) {
        char key[64];
        uint32_t place = 0, last = n - 1;
        while (of[place] != of[i]) {
            place++;
        }
        while (of[last] != of[i]) {
            last--;
        }
        snprintf(key, sizeof(key), "%s%u", keys[of[i] % SM_COUNT(keys)], of[i]);
        comma(line, &is_first);
        spell_key(line, key);
        if (i < last) {
            spell_anything(line, 0);
        } else if (dice(8) == 0) {
            sm_buf_text(line, SM_STR("null"));
            sm_buf_text(&values[place], SM_STR("null"));
        } else {
            random_long(line, &values[place]);
        }
        space(line);
    }
    sm_buf_text(line, SM_STR("}"));
    sm_buf_text(want, SM_STR("{"));
    is_first = true;
    for (uint32_t i = 0; i < n; i++) {
        if (values[i].len > 0) {
            char key[64];
            snprintf(key, sizeof(key), "%s%u", keys[of[i] % SM_COUNT(keys)], of[i]);
            sm_buf_text(want, is_first ? SM_STR("") : SM_STR(","));
            sm_buf_json_str(want, sm_str_of(key));
            sm_buf_text(want, SM_STR(":"));
            sm_buf_text(want, sm_buf_str(&values[i]));
            is_first = false;
        }
        sm_buf_release(&values[i]);
    }
    sm_buf_text(want, SM_STR("}"));
}

static void random_file(int n_rows, sm_buf *file, sm_buf *want)
{
    static const member members[] = {{"a", random_long},
                                     {"s", random_string},
                                     {"o", random_struct},
                                     {"l", random_list},
                                     {"m", random_map}};
    for (int row = 0; row < n_rows; row++) {
        sm_buf of[5] = {{0}};
        space(file);
        random_object(file, members, 5, of);
        space(file);
        sm_buf_text(file, SM_STR("\n"));
        for (int i = 0; i < 5; i++) {
            sm_buf_text(want, i > 0 ? SM_STR(",") : SM_STR("["));
            sm_buf_text(want, sm_buf_str(&of[i]));
            sm_buf_release(&of[i]);
        }
        sm_buf_text(want, SM_STR("]\n"));
    }
}

static void assert_text(const sm_buf *got, const sm_buf *want)
{
    size_t at = 0;
    while (at < got->len && at < want->len && got->data[at] == want->data[at]) {
        at++;
    }
    if (at < got->len || at < want->len) {
        const size_t from = at > 100 ? at - 100 : 0;
        fail_msg("differ at %zu: got\n%.200s\nwant\n%.200s", at, got->data + from,
                 want->data + from);
    }
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void random_rows_are_read_back(void **state)
{
    for (int round = 0; round < 20; round++) {
        json_read how = {.schema = SCHEMA, .counts_unknown = round % 2 == 0};
        sm_buf file = {0}, want = {0};
        json_result r;
        sm_error e = {0};
        random_file(300, &file, &want);
        assert_ok(json_read_bytes(&how, file.data, file.len, &r, &e), &e);
        assert_int_equal(r.counts.refused, 0);
        assert_int_equal(r.counts.rows, 300);
        assert_text(&r.rows, &want);
        json_result_release(&r);

        for (int i = 0; i < 10; i++) {
            how.cut = 1 + dice((uint32_t)file.len - 1);
            how.beyond = dice(300);
            assert_ok(json_read_bytes(&how, file.data, file.len, &r, &e), &e);
            assert_text(&r.rows, &want);
            json_result_release(&r);
        }
        sm_buf_release(&file);
        sm_buf_release(&want);
    }
}

static void gzip(const sm_buf *bytes, sm_buf *out)
{
    z_stream z = {0};
    sm_error e = {0};
    assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    assert_ok(sm_buf_reserve(out, bytes->len + 1024, &e), &e);
    z.next_in = bytes->data;
    z.avail_in = (unsigned)bytes->len;
    z.next_out = out->data;
    z.avail_out = (unsigned)out->cap;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    out->len = z.total_out;
    deflateEnd(&z);
}

/* From no memory to enough: refused as such, nothing left behind, then the same rows. */
static void memory_may_be_short(void **state)
{
    sm_buf file = {0}, packed = {0}, want = {0};
    random_file(2000, &file, &want);
    gzip(&file, &packed);
    for (int k = 0; k < 2; k++) {
        const char *name = k == 0 ? "lines.json" : "lines.json.gz";
        const sm_buf *bytes = k == 0 ? &file : &packed;
        int n_refused = 0;
        const int64_t live = sm_live_allocs();
        for (size_t limit = 1;; limit += limit / 4 + 1) {
            const json_read how = {
                .schema = SCHEMA, .name = name, .limit_bytes = limit, .counts_unknown = true};
            json_result r;
            sm_error e = {0};
            const sm_status st = json_read_bytes(&how, bytes->data, bytes->len, &r, &e);
            if (st == SM_OK) {
                assert_text(&r.rows, &want);
            } else {
                assert_int_equal(st, SM_BUDGET);
                n_refused++;
            }
            json_result_release(&r);
            assert_int_equal(sm_live_allocs(), live);
            if (st == SM_OK) {
                break;
            }
        }
        assert_true(n_refused > 10);
    }
    sm_buf_release(&file);
    sm_buf_release(&packed);
    sm_buf_release(&want);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_rows_are_read_back),
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
