/* base/yaml_test.c: what a document becomes, the places of its parts, and what is refused. */
#include "test.h"

#include "base/yaml.h"

static sm_yaml_doc doc_new(void)
{
    return (sm_yaml_doc){.name = SM_STR("x.yaml"), .arena = sm_arena_new(NULL)};
}

/* The tree as one line: texts with their place, quoted ones in quotes. */
static void print_node(const sm_yaml *n, sm_buf *out)
{
    static const char *const opens[] = {"~", "*", "", "[", "{"}, *const closes[] = {"", "", "", "]",
                                                                                    "}"};

    sm_buf_printf(out, "%s", opens[n->type]);
    if (n->type == SM_YAML_TEXT) {
        sm_buf_printf(out, n->is_plain ? "%.*s" : "'%.*s'", SM_STR_ARG(n->text));
        sm_buf_printf(out, "@%d:%d", (int)n->at.line, (int)n->at.byte);
    }
    int32_t n_seen = 0;
    for (const sm_yaml *c = n->child; c; c = c->next, n_seen++) {
        sm_buf_text(out, n_seen ? SM_STR(" ") : SM_STR(""));
        if (c->key) {
            print_node(c->key, out);
            sm_buf_text(out, SM_STR("="));
        }
        print_node(c, out);
    }
    assert_int_equal(n_seen, n->n_children);
    sm_buf_printf(out, "%s", closes[n->type]);
}

static const struct {
    const char *yaml, *tree;
} documents[] = {
    {"a: 1\nb: '1'\n", "{a@1:1=1@1:4 b@2:1='1'@2:5}"},
    {"- x\n- [y, \"z\"]\n", "[x@1:3 [y@2:4 'z'@2:8]]"},
    {"a:\n  b: {c: no}\n", "{a@1:1={b@2:3={c@2:7=no@2:10}}}"},
    {"a: |\n  one\n  two\n", "{a@1:1='one\ntwo\n'@2:1}"},
    {"a: []\nb: {}\n", "{a@1:1=[] b@2:1={}}"},
    {"# only a comment before\na: &x 1\nb: *x\n", "{a@2:1=1@2:7 b@3:1=*}"},
    {"text\n", "text@1:1"},
    {"a:\nb: ~\n", "{a@1:1=@0:0 b@2:1=~@2:4}"},
};

static void test_documents(void **state)
{
    for (int i = 0; i < SM_COUNT(documents); i++) {
        sm_yaml_doc d = doc_new();
        sm_buf out = {0};
        sm_error e = {0};
        assert_ok(sm_yaml_parse(&d, sm_str_of(documents[i].yaml), "the file", &e), &e);
        print_node(d.root, &out);
        sm_buf_text(&out, (sm_str){"", 1});
        assert_string_equal((const char *)out.data, documents[i].tree);
        sm_buf_release(&out);
        sm_arena_free(d.arena);
    }
}

static const struct {
    const char *yaml;
    sm_status want;
    int line, byte;
    const char *what;
} refused[] = {
    {"", SM_SYNTAX, 0, -1, "the file is empty"},
    {" \r\n\t# nothing: [\n", SM_SYNTAX, 0, -1, "the file is empty"},
    {"# nothing\n", SM_SYNTAX, 0, -1, "the file is empty"},
    {"a: [", SM_SYNTAX, 2, 1, "not YAML"},
    {"a: 1\na: 2\n", SM_SYNTAX, 2, 1, "not YAML"},
    {"a: \xff\n", SM_SYNTAX, 0, -1, "not UTF-8"},
    {"\xfe\xff", SM_SYNTAX, 0, -1, "the file is UTF-16, not UTF-8"},
    {"a: b: c\n", SM_SYNTAX, 1, 5, "not YAML"},
};

static void test_refused(void **state)
{
    for (int i = 0; i < SM_COUNT(refused); i++) {
        sm_yaml_doc d = doc_new();
        sm_error e = {0};
        assert_status(sm_yaml_parse(&d, sm_str_of(refused[i].yaml), "the file", &e),
                      refused[i].want, &e);
        assert_non_null(strstr(e.what, refused[i].what));
        assert_string_equal(e.object, "x.yaml");
        assert_int_equal(e.line, refused[i].line);
        assert_int_equal(e.byte, refused[i].byte);
        assert_null(d.root);
        sm_arena_free(d.arena);
    }
}

/* Deep input is an error, whoever finds it, and no overflow of the stack. */
static void test_depth(void **state)
{
    static char text[200000];
    memset(text, '[', sizeof(text));

    for (int depth = 10; depth < (int)sizeof(text); depth *= 10) {
        sm_yaml_doc d = doc_new();
        sm_error e = {0};
        memset(text + depth, ']', (size_t)depth);
        const sm_status st = sm_yaml_parse(&d, (sm_str){text, 2 * (size_t)depth}, "the file", &e);
        assert_int_equal(st == SM_OK, depth == 10);
        assert_true(st == SM_OK || st == SM_SYNTAX || st == SM_LIMIT);
        memset(text, '[', sizeof(text));
        sm_arena_free(d.arena);
    }
}

static const struct {
    const char *yaml;
    sm_status want;
    int line, byte;
    const char *what, *todo;
} maps[] = {
    {"name: x\nsize: 1\n", SM_OK, 0, 0, "", ""},
    {"- name\n", SM_SYNTAX, 1, 3, "a thing is not a mapping", ""},
    {"name: x\nsise: 1\n", SM_NAME, 2, 1, "a thing has no key \"sise\"", "Did you mean \"size\"?"},
    {"name: x\nqqqqqq: 1\n", SM_NAME, 2, 1, "no key \"qqqqqq\"", "It may have: name, size."},
    {"[name]: x\n", SM_SYNTAX, 1, 2, "a key is not a text", ""},
    {"size: 1\n", SM_SYNTAX, 1, 1, "a thing has no name", ""},
    {"name: ''\n", SM_SYNTAX, 1, 1, "name is empty", ""},
    {"name: [x]\n", SM_SYNTAX, 1, 1, "name is not a text", ""},
    {"size: &s 1\nname: *s\n", SM_SYNTAX, 0, 0, "name is not a text", ""},
};

static void test_maps(void **state)
{
    static const char *const keys[] = {"name", "size", NULL};

    for (int i = 0; i < SM_COUNT(maps); i++) {
        sm_yaml_doc d = doc_new();
        sm_yaml_fields f;
        sm_error e = {0};
        sm_str name = {0};
        assert_ok(sm_yaml_parse(&d, sm_str_of(maps[i].yaml), "the file", &e), &e);
        sm_status st = sm_yaml_fields_read(&d, d.root, "a thing", keys, &f, &e);
        if (st == SM_OK) {
            st = sm_yaml_fields_text(&d, &f, 0, "a thing", true, &name, &e);
        }
        assert_status(st, maps[i].want, &e);
        assert_non_null(strstr(e.what, maps[i].what));
        assert_non_null(strstr(e.todo, maps[i].todo));
        if (maps[i].line > 0) {
            assert_int_equal(e.line, maps[i].line);
            assert_int_equal(e.byte, maps[i].byte);
        }
        assert_true(st != SM_OK || sm_str_is(name, "x"));
        sm_arena_free(d.arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_documents),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_maps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
