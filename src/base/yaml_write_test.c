/* base/yaml_write_test.c: what is written is read back as the same texts, by the reader of YAML. */
#include <inttypes.h>
#include <stdlib.h>

#include "test.h"

#include "base/random.h"
#include "base/text.h"
#include "base/yaml.h"
#include "base/yaml_write.h"

static void test_layout(void **state)
{
    static const char *const want = "# two\n"
                                    "# lines\n"
                                    "name: a b\n"
                                    "n: 17\n"
                                    "map:\n"
                                    "  no: \"no\"\n"
                                    "  list:\n"
                                    "    - id: \"1\"\n"
                                    "      deep:\n"
                                    "        x: true\n"
                                    "    - values: [a, \"\", 1.5, null]\n"
                                    "      none: []\n";
    sm_buf out = {0};
    sm_yaml_writer w = {.out = &out};

    sm_yaml_comment(&w, SM_STR("two\nlines"));
    sm_yaml_set_text(&w, "name", SM_STR("a b"));
    sm_yaml_set_plain(&w, "n", SM_STR("17"));
    sm_yaml_set_map(&w, "map");
    sm_yaml_set_text(&w, "no", SM_STR("no"));
    sm_yaml_set_list(&w, "list");
    sm_yaml_begin_item(&w);
    sm_yaml_set_text(&w, "id", SM_STR("1"));
    sm_yaml_set_map(&w, "deep");
    sm_yaml_set_plain(&w, "x", SM_STR("true"));
    sm_yaml_end(&w);
    sm_yaml_end_item(&w);
    sm_yaml_begin_item(&w);
    sm_yaml_set_line(&w, "values");
    sm_yaml_put_text(&w, SM_STR("a"));
    sm_yaml_put_text(&w, SM_STR(""));
    sm_yaml_put_plain(&w, SM_STR("1.5"));
    sm_yaml_put_plain(&w, SM_STR("null"));
    sm_yaml_end_line(&w);
    sm_yaml_set_line(&w, "none");
    sm_yaml_end_line(&w);
    sm_yaml_end_item(&w);
    sm_yaml_end(&w);
    sm_yaml_end(&w);
    assert_int_equal(w.depth, 0);
    sm_buf_text(&out, (sm_str){"", 1});
    assert_string_equal((const char *)out.data, want);
    sm_buf_release(&out);
}

/* Writes the text as a value, in a line and below an item; reads it three times. */
static void check_text(sm_str text)
{
    sm_arena *a = sm_arena_new(NULL);
    sm_yaml_doc d = {.name = SM_STR("x.yaml"), .arena = a};
    sm_buf out = {0};
    sm_yaml_writer w = {.out = &out};
    sm_error e = {0};

    sm_yaml_set_text(&w, "k", text);
    sm_yaml_set_line(&w, "l");
    sm_yaml_put_text(&w, text);
    sm_yaml_put_text(&w, text);
    sm_yaml_end_line(&w);
    assert_ok(sm_yaml_parse(&d, sm_buf_str(&out), "the text", &e), &e);
    const sm_yaml *nodes[] = {d.root->child, d.root->child->next->child,
                              d.root->child->next->child->next};
    for (int i = 0; i < SM_COUNT(nodes); i++) {
        if (!sm_str_eq(nodes[i]->text, text)) {
            fail_msg("%.*s becomes \"%.*s\"", SM_STR_ARG(sm_buf_str(&out)),
                     SM_STR_ARG(nodes[i]->text));
        }
    }
    sm_buf_release(&out);
    sm_arena_free(a);
}

static const char *const texts[] = {
    "",
    "a",
    "~",
    "null",
    "NULL",
    "true",
    "No",
    "y",
    "1",
    "-1.5e3",
    "0x1F",
    "1_000",
    "1:30",
    "2022-04-01",
    ".inf",
    "a: b",
    "a:",
    "a #b",
    "#a",
    " a",
    "a ",
    "- a",
    "-",
    "[a]",
    "{a: 1}",
    "a, b",
    "'a'",
    "\"a\"",
    "a\\b",
    "a\nb\n",
    "\ta\r",
    "&a",
    "*a",
    "!a",
    "%a",
    "@a",
    "`a`",
    "|",
    ">",
    "? a",
    "\x01\x7f",
    "é",
    "\xc2\x85\xe2\x80\xa8\xef\xbb\xbf",
    "\xf0\x9f\x98\x80",
    "---",
    "...",
    "^[A-Z]+$",
    "a\302\240b",
    "<<",
    "=",
    "a\n\n b",
    "c % 2 = 0",
    "v3.1.0",
};

static void test_texts(void **state)
{
    for (int i = 0; i < SM_COUNT(texts); i++) {
        check_text(sm_str_of(texts[i]));
    }
    sm_buf long_text = {0};
    for (int i = 0; i < 3000; i++) {
        sm_buf_text(&long_text, SM_STR("long \n"));
    }
    check_text(sm_buf_str(&long_text));
    sm_buf_release(&long_text);
}

static void test_numbers(void **state)
{
    static const char *const numbers[] = {"0", "-1", "1.5", "1e3", "-0.25E-7"};
    static const char *const others[] = {"", "-", "01", "1.", ".5", "1e", "+1", "1 ", "inf", "1_0"};

    for (int i = 0; i < SM_COUNT(numbers); i++) {
        assert_true(sm_yaml_is_number(sm_str_of(numbers[i])));
    }
    for (int i = 0; i < SM_COUNT(others); i++) {
        assert_false(sm_yaml_is_number(sm_str_of(others[i])));
    }
}

/* Texts of random code points, many of which mean something to YAML. SMELT_SEED=n repeats a run. */
static void test_random(void **state)
{
    static const char signs[] = " \n\t\"'\\:#-?[]{},&*!|>%@`~=.0aNul";
    const char *given = sm_env("SMELT_SEED");
    uint64_t x = 0;

    sm_random_bytes(&x, sizeof(x));
    x = (given ? strtoull(given, NULL, 10) : x) | 1;
    print_message("SMELT_SEED=%" PRIu64 "\n", x);
    for (int i = 0; i < 3000; i++) {
        sm_buf text = {0};
        for (uint64_t n = x >> 60; n > 0; n--) {
            char put[4];
            x = x * 6364136223846793005u + 1442695040888963407u;
            const uint32_t r = (uint32_t)(x >> 33), kind = (uint32_t)(x >> 61);
            const uint32_t c = kind == 0   ? 0xA0 + r % 0xD000
                               : kind == 1 ? r % 0x100
                                           : (uint32_t)signs[r % (sizeof(signs) - 1)];
            sm_buf_text(&text, (sm_str){put, (size_t)sm_utf8_put(c, put)});
        }
        x = x * 6364136223846793005u + 1442695040888963407u;
        check_text(sm_buf_str(&text));
        sm_buf_release(&text);
    }
}

/* What is no UTF-8 cannot be said. */
static void test_broken_utf8(void **state)
{
    sm_buf out = {0};
    sm_yaml_writer w = {.out = &out};

    sm_yaml_set_text(&w, "k", SM_STR("a\377b"));
    assert_true(sm_str_is(sm_buf_str(&out), "k: \"a\\ufffdb\"\n"));
    sm_buf_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layout),      cmocka_unit_test(test_texts),
        cmocka_unit_test(test_numbers),     cmocka_unit_test(test_random),
        cmocka_unit_test(test_broken_utf8),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
