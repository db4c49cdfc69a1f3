/* contract/contract_page_test.c: a page of several tables, and of verdicts without a profile; texts
 * that are not what they should be. (tests/cli/test_check_page.py looks at whole pages.) */
#include "test.h"

#include "contract/contract_testkit.h"

static const struct {
    const char *text;
    int64_t n_chars;
    const char *want;
} texts[] = {
    {"a<b>&\"'", 99, "a&lt;b&gt;&amp;&quot;&#39;"},
    {"\xc3\xa9\xf0\x9f\x98\x80", 99, "\xc3\xa9\xf0\x9f\x98\x80"},
    {"\xc3\xa9\xc3\xa9\xc3\xa9", 2, "\xc3\xa9\xc3\xa9\xe2\x80\xa6"},
    {"ab", 2, "ab"},
    {"", 2, ""},
    {"\n\t\r\x1b", 99, "\\n\\t\\u000d\\u001b"},
    {"\xe2\x80\xae x", 99, "\\u202e x"}, /* right to left from here on */
    {"\xf3\xa0\x81\x81", 99, "\\ue0041"},
    {"a\xff\xc3", 99, "a\\xff\\xc3"},                              /* no UTF-8 */
    {"\xe6\x96\x87\xe5\xad\x97x", 5, "\xe6\x96\x87\xe5\xad\x97x"}, /* each as wide as two */
    {"\xe6\x96\x87\xe5\xad\x97x", 4, "\xe6\x96\x87\xe5\xad\x97\xe2\x80\xa6"},
    {"\xf0\x9f\x98\x80\xf0\x9f\x98\x80", 3, "\xf0\x9f\x98\x80\xe2\x80\xa6"},
    {"x\xe2\x80\xaey", 7, "x\\u202e\xe2\x80\xa6"}, /* what is spelled out counts so */
    {"\xffx", 3, "\xe2\x80\xa6"},
    {"\xed\xa0\x80", 99, "\\xed\\xa0\\x80"},
};

static void test_texts(void **state)
{
    for (int i = 0; i < SM_COUNT(texts); i++) {
        sm_buf out = {0};
        smi_html_short(&out, sm_str_of(texts[i].text), texts[i].n_chars);
        if (!sm_str_is(sm_buf_str(&out), texts[i].want)) {
            fail_msg("text %d: %.*s", i, SM_STR_ARG(sm_buf_str(&out)));
        }
        sm_buf_release(&out);
    }
}

/* Judges the one table of a contract, whose one rule `n_broken` of 4 rows break. */
static const sm_verdict *judge(const char *yaml, int64_t n_broken, sm_arena *a)
{
    const sm_rule_count count = {.n_rows = 4, .n_broken = n_broken};
    sm_contract *c = NULL;
    sm_error e = {0};

    assert_ok(kit_read(kit_table(yaml, a), a, &c, &e), &e);
    assert_int_equal(c->tables[0].n_rules, 1);
    return sm_contract_judge(c, &c->tables[0], 4, &count, a);
}

static bool has(const sm_buf *page, const char *word)
{
    return memmem(page->data, page->len, word, strlen(word)) != NULL;
}

static void test_several_tables(void **state)
{
    sm_arena *a = sm_arena_new(NULL);
    const sm_page_table tables[] = {
        {judge("properties: [{name: c, required: true}]", 0, a), SM_STR("lake/silver/t")},
        {judge("properties: [{name: d}], quality: [{metric: rowCount, mustBe: 4}]", 0, a),
         SM_STR("lake/gold/<t>")},
    };
    sm_buf page = {0}, again = {0};

    sm_verdict_page(SM_STR("run & more"), SM_STR("it <b>ran"), tables, SM_COUNT(tables), &page);
    assert_true(has(&page, "it &lt;b&gt;ran"));
    assert_true(has(&page, "<title>run &amp; more</title>"));
    assert_true(has(&page, "<h1>run &amp; more</h1>"));
    for (int i = 0; i < SM_COUNT(tables); i++) {
        assert_true(has(&page, sm_arena_printf(a, "href=\"#table%d\"", i)));
        assert_true(has(&page, sm_arena_printf(a, "id=\"table%d\"", i)));
    }
    assert_true(has(&page, "lake/silver/t<") && has(&page, "lake/gold/&lt;t&gt;<"));
    assert_true(has(&page, "<h3><bdi>c</bdi></h3>") && has(&page, "<h3><bdi>d</bdi></h3>"));
    assert_true(has(&page, "The whole table"));
    assert_false(has(&page, "<svg")); /* no verdict has a profile */
    sm_verdict_page(SM_STR("run & more"), SM_STR("it <b>ran"), tables, SM_COUNT(tables), &again);
    assert_true(sm_str_eq(sm_buf_str(&page), sm_buf_str(&again)));
    sm_buf_release(&page);
    sm_buf_release(&again);
    sm_arena_free(a);
}

/* A page of no table, as of a run whose tables have no contracts. */
static void test_no_table(void **state)
{
    sm_buf page = {0};

    sm_verdict_page(SM_STR("run"), SM_STR("none"), NULL, 0, &page);
    assert_true(has(&page, "<h1>run</h1>") && has(&page, "none") && has(&page, "</html>"));
    assert_false(has(&page, "<table"));
    sm_buf_release(&page);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_several_tables),
        cmocka_unit_test(test_no_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
