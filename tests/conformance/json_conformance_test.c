/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/conformance/json_conformance_test.c: every file of JSONTestSuite as a document, and
 * files of one line also as a value and as a key within a line. The name of the file says what
 * is expected: y_ is accepted, n_ is refused with a place, i_ may be either, but the same in all
 * forms. The places below were found in the files by hand. */
#include <dirent.h>

#include "conformance.h"
#include "json_read.h"
#include "test.h"

#include "base/json_doc.h"
#include "base/text.h"

static const char *folder;

static const struct {
    const char *file;
    int64_t line, byte;
} places[] = {
    {"n_array_1_true_without_comma.json", 1, 4},
    {"n_array_a_invalid_utf8.json", 1, 2},
    {"n_array_comma_after_close.json", 1, 5},
    {"n_array_double_comma.json", 1, 4},
    {"n_array_extra_close.json", 1, 6},
    {"n_array_incomplete.json", 1, 5},
    {"n_array_inner_array_no_comma.json", 1, 3},
    {"n_array_invalid_utf8.json", 1, 2},
    {"n_array_just_minus.json", 1, 3},
    {"n_array_newlines_unclosed.json", 3, 4},
    {"n_array_spaces_vertical_tab_formfeed.json", 1, 3},
    {"n_array_unclosed_with_new_lines.json", 3, 3},
    {"n_incomplete_false.json", 1, 6},
    {"n_multidigit_number_then_00.json", 1, 4},
    {"n_number_-01.json", 1, 4},
    {"n_number_-1.0..json", 1, 6},
    {"n_number_-NaN.json", 1, 3},
    {"n_number_0.3e+.json", 1, 7},
    {"n_number_1_000.json", 1, 4},
    {"n_number_2.e3.json", 1, 4},
    {"n_number_U+FF11_fullwidth_digit_one.json", 1, 2},
    {"n_number_invalid-utf-8-in-exponent.json", 1, 5},
    {"n_number_with_alpha_char.json", 1, 20},
    {"n_object_bad_value.json", 1, 10},
    {"n_object_comma_instead_of_colon.json", 1, 5},
    {"n_object_garbage_at_end.json", 1, 10},
    {"n_object_lone_continuation_byte_in_key_and_trailing_comma.json", 1, 3},
    {"n_object_missing_value.json", 1, 6},
    {"n_object_several_trailing_commas.json", 1, 9},
    {"n_object_trailing_comment.json", 1, 10},
    {"n_object_with_single_string.json", 1, 22},
    {"n_single_space.json", 1, 2},
    {"n_string_1_surrogate_then_escape_u1x.json", 1, 3},
    {"n_string_backslash_00.json", 1, 4},
    {"n_string_escaped_backslash_bad.json", 1, 8},
    {"n_string_incomplete_escaped_character.json", 1, 8},
    {"n_string_incomplete_surrogate.json", 1, 3},
    {"n_string_invalid-utf-8-in-escape.json", 1, 5},
    {"n_string_start_escape_unclosed.json", 1, 4},
    {"n_string_unescaped_ctrl_char.json", 1, 4},
    {"n_string_unescaped_newline.json", 1, 6},
    {"n_string_unicode_CapitalU.json", 1, 3},
    {"n_structure_100000_opening_arrays.json", 1, 129},
    {"n_structure_UTF8_BOM_no_data.json", 1, 1},
    {"n_structure_capitalized_True.json", 1, 2},
    {"n_structure_comma_instead_of_closing_brace.json", 1, 12},
    {"n_structure_no_data.json", 1, 1},
    {"n_structure_object_with_comment.json", 1, 6},
    {"n_structure_object_with_trailing_garbage.json", 1, 13},
    {"n_structure_open_array_object.json", 1, 321}, /* the 129th bracket: 64 times [{"": and a [ */
    {"n_structure_open_open.json", 1, 4},
    {"n_structure_uescaped_LF_before_string.json", 1, 2},
    {"n_structure_unclosed_array_partial_null.json", 1, 13},
    {"n_structure_unclosed_object.json", 1, 13},
    {"n_structure_whitespace_formfeed.json", 1, 2},
};

static void read_file(const char *name, sm_buf *out)
{
    char path[4096];
    sm_error e = {0};
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    assert_ok(sm_buf_reserve(out, 1 << 20, &e), &e);
    out->len = fread(out->data, 1, out->cap, f);
    assert_true(out->len < out->cap);
    fclose(f);
}

static sm_status parse(const sm_buf *text, sm_error *e)
{
    sm_arena *a = sm_arena_new(NULL);
    const sm_json *doc = NULL;
    const sm_status st = sm_json_parse(sm_buf_str(text), a, &doc, e);
    assert_int_equal(doc != NULL, st == SM_OK);
    sm_arena_free(a);
    return st;
}

/* Runs `check` over every file; returns how many there were. */
static int for_each_file(void (*check)(const char *name, const sm_buf *text))
{
    int n = 0;
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    for (const struct dirent *entry = readdir(dir); entry; entry = readdir(dir)) {
        if (strchr("yni", entry->d_name[0]) && entry->d_name[1] == '_') {
            sm_buf text = {0};
            read_file(entry->d_name, &text);
            check(entry->d_name, &text);
            sm_buf_release(&text);
            n++;
        }
    }
    closedir(dir);
    return n;
}

static void check_document(const char *name, const sm_buf *text)
{
    sm_error e = {0};
    const sm_status st = parse(text, &e);
    if ((name[0] == 'y' && st != SM_OK) || (name[0] == 'n' && st == SM_OK)) {
        fail_msg("%s: %s %s", name, sm_status_name(st), e.what);
    }
    if (st != SM_OK) {
        assert_true(st == SM_SYNTAX || st == SM_LIMIT);
        assert_true(e.line >= 1 && e.byte >= 1 && e.byte <= (int64_t)text->len + 1);
    }
}

static void documents(void **state)
{
    assert_int_equal(for_each_file(check_document), 318);
}

static void places_in_documents(void **state)
{
    for (int i = 0; i < SM_COUNT(places); i++) {
        sm_buf text = {0};
        sm_error e = {0};
        read_file(places[i].file, &text);
        assert_int_not_equal(parse(&text, &e), SM_OK);
        if (e.line != places[i].line || e.byte != places[i].byte) {
            fail_msg("%s: %" PRId64 ":%" PRId64 ", want %" PRId64 ":%" PRId64, places[i].file,
                     e.line, e.byte, places[i].line, places[i].byte);
        }
        sm_buf_release(&text);
    }
}

/* Reads prefix + text + suffix as the only line; SM_OK where it is kept. */
static sm_status read_line(const char *prefix, sm_str text, const char *suffix, sm_error *e)
{
    static const json_read how = {.schema = "STRUCT(a BIGINT)", .stops_at_bad = true};
    sm_buf line = {0};
    json_result r;
    sm_buf_text(&line, sm_str_of(prefix));
    sm_buf_text(&line, text);
    sm_buf_text(&line, sm_str_of(suffix));
    const sm_status st = json_read_bytes(&how, line.data, line.len, &r, e);
    assert_int_equal(r.counts.rows, st == SM_OK);
    json_result_release(&r);
    sm_buf_release(&line);
    return st;
}

/* One more or less of the depth that a line may have. */
static bool is_deep(sm_str s)
{
    return s.len > 200 && s.data[0] == '[';
}

static void check_line(const char *name, const sm_buf *bytes)
{
    const sm_str text = sm_buf_str(bytes);
    sm_error in_document = {0}, in_line = {0};
    const sm_status want = parse(bytes, &in_document);
    if ((text.len > 0 && memchr(text.data, '\n', text.len)) || is_deep(text)) {
        return;
    }
    const sm_status got = read_line("{\"v\":", text, "}", &in_line);
    if ((got == SM_OK) != (want == SM_OK)) {
        fail_msg("%s as a value: %s, as a document: %s", name, sm_status_name(got),
                 sm_status_name(want));
    }
    /* Its error is where it was, unless the line could go on with the byte: `,` and `}`. */
    const bool is_within = got != SM_OK && in_document.byte <= (int64_t)text.len;
    const bool may_go_on = is_within && strchr(",}", text.data[in_document.byte - 1]);
    if (is_within && !may_go_on && sm_utf8_check(text.data, text.len) == text.len) {
        assert_int_equal(in_line.byte, in_document.byte + 5);
    }
    const bool is_key = text.len >= 4 && text.data[1] == '"' && text.data[text.len - 2] == '"';
    if (strstr(name, "_string_") && is_key && text.data[0] == '[') {
        const sm_status as_key =
            read_line("{", (sm_str){text.data + 1, text.len - 2}, ":1}", &in_line);
        if ((as_key == SM_OK) != (want == SM_OK)) {
            fail_msg("%s as a key: %s", name, sm_status_name(as_key));
        }
    }
}

static void values_and_keys_of_lines(void **state)
{
    assert_int_equal(for_each_file(check_line), 318);
}

/* As the value of each kind of column, of an unknown key and as a whole line, among lines whose
 * shape is known: by shapes and in full the same comes of it. */
static void check_ways(const char *name, const sm_buf *bytes)
{
    static const json_read how = {
        .schema = "STRUCT(a BIGINT, s VARCHAR, d DOUBLE, o STRUCT(x BIGINT))",
        .validate_all = true,
        .counts_unknown = true,
        .beyond = 4096,
    };
    static const char clean[] = "{\"a\":1,\"s\":\"t\",\"d\":1.5,\"o\":{\"x\":2},\"u\":\"v\"}\n"
                                "{\"a\":1,\"s\":\"t\",\"d\":1.5,\"o\":{\"x\":2},\"u\":[1]}\n";
    static const char *const around[][2] = {
        {"{\"a\":", ",\"s\":\"t\",\"d\":1.5,\"o\":{\"x\":2},\"u\":\"v\"}\n"},
        {"{\"a\":1,\"s\":", ",\"d\":1.5,\"o\":{\"x\":2},\"u\":\"v\"}\n"},
        {"{\"a\":1,\"s\":\"t\",\"d\":", ",\"o\":{\"x\":2},\"u\":\"v\"}\n"},
        {"{\"a\":1,\"s\":\"t\",\"d\":1.5,\"o\":", ",\"u\":\"v\"}\n"},
        {"{\"a\":1,\"s\":\"t\",\"d\":1.5,\"o\":{\"x\":", "},\"u\":\"v\"}\n"},
        {"{\"a\":1,\"s\":\"t\",\"d\":1.5,\"o\":{\"x\":2},\"u\":", "}\n"},
        {"", "\n"},
    };
    const sm_str text = sm_buf_str(bytes);
    if (text.len > 0 && memchr(text.data, '\n', text.len)) {
        return;
    }
    for (int i = 0; i < SM_COUNT(around); i++) {
        int64_t by_shape = 0;
        sm_buf lines = {0};
        sm_buf_text(&lines, sm_str_of(clean));
        for (int k = 0; k < 3; k++) {
            sm_buf_text(&lines, sm_str_of(around[i][0]));
            sm_buf_text(&lines, text);
            sm_buf_text(&lines, sm_str_of(around[i][1]));
            sm_buf_text(&lines, sm_str_of(clean));
        }
        const char *what = json_ways_differ(&how, lines.data, lines.len, &by_shape);
        if (what) {
            fail_msg("%s behind %s: other %s", name, around[i][0], what);
        }
        if (by_shape <
            4) { /* of eight clean ones: not what teaches, nor what follows a blank line */
            fail_msg("%s behind %s: %lld lines by shape", name, around[i][0], (long long)by_shape);
        }
        sm_buf_release(&lines);
    }
}

static void values_in_known_shapes(void **state)
{
    assert_int_equal(for_each_file(check_ways), 318);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(documents),
        cmocka_unit_test(places_in_documents),
        cmocka_unit_test(values_and_keys_of_lines),
        cmocka_unit_test(values_in_known_shapes),
    };
    folder = conformance_folder("json");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
