/* SPDX-License-Identifier: Apache-2.0
 *
 * base/json_doc_test.c: documents as trees: what is in them, and where they are wrong. */
#include "test.h"

#include "base/json_doc.h"

static void assert_str(sm_str got, const char *want)
{
    assert_int_equal(got.len, strlen(want));
    assert_memory_equal(got.data, want, got.len);
}

static void a_document_is_a_tree(void **state)
{
    static const char text[] =
        " {\"add\":{\"path\":\"a\\u00e9/\\\"b\\\"\",\"size\":1e3,\"on\":true,"
        "\"off\":false,\"none\":null},\n\"l\":[ 1, [], {\"k\":-0.5} ],"
        "\"\\u0061dd\":7}\n";
    sm_arena *a = sm_arena_new(NULL);
    const sm_json *doc = NULL;
    sm_error e = {0};
    int64_t n = 0;
    char copy[sizeof(text)];
    memcpy(copy, text, sizeof(text));
    assert_ok(sm_json_parse((sm_str){copy, sizeof(text) - 1}, a, &doc, &e), &e);
    memset(copy, 'x', sizeof(copy)); /* the tree stands on its own */

    assert_int_equal(doc->type, SM_JSON_OBJECT);
    assert_int_equal(doc->n_children, 3);
    assert_str(doc->child->key, "add");
    assert_str(doc->child->next->next->key, "add");
    assert_true(sm_json_i64(sm_json_get(doc, "add"), &n)); /* the last one */
    assert_int_equal(n, 7);

    const sm_json *add = doc->child;
    assert_int_equal(add->n_children, 5);
    assert_str(sm_json_text(sm_json_get(add, "path")), "a\xc3\xa9/\"b\"");
    assert_str(sm_json_get(add, "size")->text, "1e3");
    assert_true(sm_json_i64(sm_json_get(add, "size"), &n));
    assert_int_equal(n, 1000);
    assert_true(sm_json_get(add, "on")->type == SM_JSON_BOOL && sm_json_get(add, "on")->b);
    assert_true(sm_json_get(add, "off")->type == SM_JSON_BOOL && !sm_json_get(add, "off")->b);
    assert_int_equal(sm_json_get(add, "none")->type, SM_JSON_NULL);
    assert_null(sm_json_get(add, "pat"));

    const sm_json *list = sm_json_get(doc, "l");
    assert_int_equal(list->type, SM_JSON_ARRAY);
    assert_int_equal(list->n_children, 3);
    assert_str(list->text, "[ 1, [], {\"k\":-0.5} ]");
    assert_str(list->child->next->next->text, "{\"k\":-0.5}");
    assert_null(list->child->next->child);
    assert_false(sm_json_i64(list->child->next->next->child, &n));
    assert_null(list->child->next->next->next);

    assert_null(sm_json_get(NULL, "a"));
    assert_null(sm_json_get(list, "a"));
    assert_str(sm_json_text(NULL), "");
    assert_str(sm_json_text(list), "");
    assert_false(sm_json_i64(NULL, &n));
    sm_arena_free(a);
}

static void integers_in_any_spelling(void **state)
{
    static const struct {
        const char *text;
        bool is_integer;
        int64_t want;
    } numbers[] = {
        {"0", true, 0},
        {"-0", true, 0},
        {"12e0", true, 12},
        {"120e-1", true, 12},
        {"0.5", false, 0},
        {"9223372036854775807", true, INT64_MAX},
        {"1.5e1", true, 15},
        {"-9223372036854775808", true, INT64_MIN},
        {"1e19", false, 0},
        {"9223372036854775808", false, 0},
        {"\"1\"", false, 0},
        {"true", false, 0},
        {"0e99999", true, 0},
        {"1e-99999999999999999999", false, 0},
        {"100e16", true, 1000000000000000000},
        {"0.000000000000000000000000000000000000000000000000001e51", true, 1},
        {"10000000000000000000000000000000000000000000000000000e-52", true, 1},
        {"1000000000000000000000000000000000000000000000000001e-51", false, 0},
    };
    for (int i = 0; i < SM_COUNT(numbers); i++) {
        sm_arena *a = sm_arena_new(NULL);
        const sm_json *doc = NULL;
        sm_error e = {0};
        int64_t n = 0;
        assert_ok(sm_json_parse(sm_str_of(numbers[i].text), a, &doc, &e), &e);
        if (sm_json_i64(doc, &n) != numbers[i].is_integer || n != numbers[i].want) {
            fail_msg("%s: %lld", numbers[i].text, (long long)n);
        }
        sm_arena_free(a);
    }
}

static const struct {
    const char *text;
    sm_status want;
    int64_t line, byte;
} rejects[] = {
    {"", SM_SYNTAX, 1, 1},
    {" \n", SM_SYNTAX, 2, 1},
    {"{\"a\":1}\n{\"a\":}", SM_SYNTAX, 2, 1},
    {"[1,\n 2,\n x]", SM_SYNTAX, 3, 2},
    {"{\"a\":\"\n\"}", SM_SYNTAX, 1, 7},
    {"\xef\xbb\xbf{}", SM_SYNTAX, 1, 1},
    {"[\"\xff\"]", SM_SYNTAX, 1, 3},
    {"[x,\"\xff\"]", SM_SYNTAX, 1, 2},
    {"[\"\xff\",x]", SM_SYNTAX, 1, 3},
    {"[\"a\\ud800\"]", SM_SYNTAX, 1, 4},
    {"{\"k\" \n:\n1,\n}", SM_SYNTAX, 4, 1},
    {"{\"k\":{\"l\":[", SM_SYNTAX, 1, 12},
    {"nul", SM_SYNTAX, 1, 4},
    {"1 2", SM_SYNTAX, 1, 3},
};

static void errors_have_their_place(void **state)
{
    for (int i = 0; i < SM_COUNT(rejects); i++) {
        sm_arena *a = sm_arena_new(NULL);
        const sm_json *doc = NULL;
        sm_error e = {0};
        assert_status(sm_json_parse(sm_str_of(rejects[i].text), a, &doc, &e), rejects[i].want, &e);
        if (e.line != rejects[i].line || e.byte != rejects[i].byte) {
            fail_msg("%s: %lld:%lld", rejects[i].text, (long long)e.line, (long long)e.byte);
        }
        assert_null(doc);
        sm_arena_free(a);
    }
}

static void nesting_is_bounded(void **state)
{
    static const struct {
        int depth;
        sm_status want;
    } depths[] = {{128, SM_OK}, {129, SM_LIMIT}, {100000, SM_LIMIT}};
    for (int i = 0; i < SM_COUNT(depths); i++) {
        sm_arena *a = sm_arena_new(NULL);
        const sm_json *doc = NULL;
        sm_error e = {0};
        const size_t n = (size_t)depths[i].depth;
        char *text = sm_alloc(2 * n);
        memset(text, '[', n);
        memset(text + n, ']', n);
        assert_status(sm_json_parse((sm_str){text, 2 * n}, a, &doc, &e), depths[i].want, &e);
        if (depths[i].want != SM_OK) {
            assert_int_equal(e.line, 1);
            assert_int_equal(e.byte, 129);
        }
        sm_free(text);
        sm_arena_free(a);
    }
}

/* The error may be nobody's. */
static void no_error_is_needed(void **state)
{
    sm_arena *a = sm_arena_new(NULL);
    const sm_json *doc = NULL;
    assert_int_equal(sm_json_parse(SM_STR("["), a, &doc, NULL), SM_SYNTAX);
    sm_arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_document_is_a_tree),    cmocka_unit_test(integers_in_any_spelling),
        cmocka_unit_test(errors_have_their_place), cmocka_unit_test(nesting_is_bounded),
        cmocka_unit_test(no_error_is_needed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
