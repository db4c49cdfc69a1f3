/* SPDX-License-Identifier: Apache-2.0
 *
 * Tests of the functions of text, of LIKE and of regular expressions. */
#include "fn_cases.h"

#include "base/thread.h"

static void test_lengths_and_tests(void **state)
{
    static const fn_case cases[] = {
        {"length(?)", {"''"}, "0"},
        {"length(?)", {"'h\u00e9llo'"}, "5"},
        {"length(?)", {"'\U0001F600 a long line of text'"}, "21"},
        {"strlen(?)", {"'h\u00e9llo'"}, "6"},
        {"contains(?, ?)", {"'a text of more than twelve'", "'than'"}, "true"},
        {"contains(?, ?)", {"'abc'", "''"}, "true"},
        {"contains(?, ?)", {"'abc'", "'abcd'"}, "false"},
        {"starts_with(?, ?)", {"'abc'", "'ab'"}, "true"},
        {"starts_with(?, ?)", {"'abc'", "'bc'"}, "false"},
        {"ends_with(?, ?)", {"'abc'", "'bc'"}, "true"},
        {"ends_with(?, ?)", {"'abc'", "'ab'"}, "false"},
    };
    fn_cases_run(cases, SM_COUNT(cases));
}

static void test_parts(void **state)
{
    static const fn_case cases[] = {
        {"substr(?, ?, ?)", {"'smelt'", "2", "3"}, "mel"},
        {"substr(?, ?, ?)", {"'h\u00e9llo'", "2", "2"}, "\u00e9l"},
        {"substr(?, ?, ?)", {"'smelt'", "0", "2"}, "s"}, /* 0 stands before the first */
        {"substr(?, ?, ?)", {"'smelt'", "-2", "1"}, "l"},
        {"substr(?, ?, ?)", {"'smelt'", "-9", "5"}, "s"},
        {"substr(?, ?, ?)", {"'smelt'", "4", "-2"}, "me"}, /* a negative length goes back */
        {"substr(?, ?, ?)", {"'smelt'", "2", "9223372036854775807"}, "melt"},
        {"substr(?, ?)", {"'smelt'", "-2"}, "lt"},
        {"substr(?, ?)", {"'smelt'", "-9"}, "smelt"},
        {"substr(?, ?)", {"'smelt'", "6"}, ""},
        {"substring(?, ?)", {"'a text of more than twelve'", "8"}, "of more than twelve"},
        {"left(?, ?)", {"'sm\u00e9lt'", "3"}, "sm\u00e9"},
        {"left(?, ?)", {"'smelt'", "-2"}, "sme"},
        {"left(?, ?)", {"'smelt'", "0"}, ""},
        {"right(?, ?)", {"'smelt'", "2"}, "lt"},
        {"right(?, ?)", {"'smelt'", "-2"}, "elt"},
        {"right(?, ?)", {"'a text of more than twelve'", "16"}, "more than twelve"},
        {"trim(?)", {"'  a b '"}, "a b"},
        {"trim(?)", {"'\t a'"}, "\t a"}, /* spaces only */
        {"trim(?, ?)", {"'xya yx'", "'xy'"}, "a "},
        {"ltrim(?, ?)", {"'\u00e9\u00e9a\u00e9'", "'\u00e9'"}, "a\u00e9"},
        {"rtrim(?)", {"'   '"}, ""},
        {"rtrim(?, ?)", {"'abc'", "''"}, "abc"},
        {"split_part(?, ?, ?)", {"'a--b--c'", "'--'", "2"}, "b"},
        {"split_part(?, ?, ?)", {"'a--b--c'", "'--'", "-1"}, "c"},
        {"split_part(?, ?, ?)", {"'a--b--c'", "'--'", "4"}, ""},
        {"split_part(?, ?, ?)", {"'a--b--c'", "'--'", "0"}, ""},
    };
    fn_cases_run(cases, SM_COUNT(cases));
}

static void test_made(void **state)
{
    static const fn_case cases[] = {
        {"concat(?, ?, ?)", {"'a'", "'b'", "1"}, "ab1"},
        {"concat(?, ?)", {"'a text of more'", "' than twelve'"}, "a text of more than twelve"},
        {"concat_ws(?, ?, ?)", {"', '", "'a'", "2.5"}, "a, 2.5"},
        {"? || ?", {"'a text of more'", "' than twelve'"}, "a text of more than twelve"},
        {"lower(?)", {"'\u00c0\u0416\u03a3 ABC'"}, "\u00e0\u0436\u03c3 abc"},
        {"upper(?)", {"'\u00e9a text of more than twelve'"}, "\u00c9A TEXT OF MORE THAN TWELVE"},
        {"upper(?)", {"'\u00ff\u0250'"}, "\u0178\u2c6f"}, /* two bytes become three */
        {"reverse(?)", {"'h\u00e9llo'"}, "oll\u00e9h"},
        {"replace(?, ?, ?)", {"'abab'", "'b'", "'xyz'"}, "axyzaxyz"},
        {"replace(?, ?, ?)", {"'aaa'", "'aa'", "'b'"}, "ba"},
        {"replace(?, ?, ?)", {"'aaa'", "''", "'b'"}, "aaa"},
        {"lpad(?, ?, ?)", {"'ab'", "5", "'x\u00e9'"}, "x\u00e9xab"},
        {"lpad(?, ?, ?)", {"'abc'", "2", "'x'"}, "ab"},
        {"rpad(?, ?, ?)", {"'ab'", "5", "'xy'"}, "abxyx"},
        {"rpad(?, ?, ?)", {"'ab'", "-1", "'xy'"}, ""},
        {"rpad(?, ?, ?)", {"'ab'", "3", "''"}, "nothing to fill up \"ab\" with", SM_INVALID},
        {"lpad(?, ?, ?)", {"'ab'", "4000000000", "'x'"}, "over", SM_LIMIT},
    };
    fn_cases_run(cases, SM_COUNT(cases));
}

static void test_nulls_in_concat(void **state)
{
    static const fn_case cases[] = {
        {"concat(?, NULL, ?)", {"'a'", "'b'"}, "ab"},
        {"concat(NULL, NULL)", {0}, ""},
        {"concat_ws(?, NULL, ?, NULL, ?)", {"'-'", "'a'", "'b'"}, "a-b"},
        {"concat_ws(NULL, ?)", {"'a'"}, NULL},
        {"? || NULL", {"'a'"}, NULL},
    };
    fn_cases_run(cases, SM_COUNT(cases));
}

static void test_like(void **state)
{
    static const fn_case cases[] = {
        {"? LIKE ?", {"'smelt'", "'s_e%'"}, "true"},
        {"? LIKE ?", {"'smelt'", "'smelt'"}, "true"},
        {"? LIKE ?", {"'smelt'", "'smel'"}, "false"},
        {"? LIKE ?", {"'smelt'", "'%l_'"}, "true"},
        {"? LIKE ?", {"'smelt'", "'%l__'"}, "false"},
        {"? LIKE ?", {"'smelt'", "'%m%l%'"}, "true"},
        {"? LIKE ?", {"'smelt'", "'%l%m%'"}, "false"},
        {"? LIKE ?", {"'abab'", "'ab%ab'"}, "true"},
        {"? LIKE ?", {"'aba'", "'ab%ba'"}, "false"}, /* ends do not overlap */
        {"? LIKE ?", {"'aXbYc'", "'%_b_%c'"}, "true"},
        {"? LIKE ?", {"'h\u00e9'", "'h_'"}, "true"}, /* one character, two bytes */
        {"? LIKE ?", {"'h\u00e9'", "'h__'"}, "false"},
        {"? LIKE ?", {"'\u00e9h'", "'%_h'"}, "true"},
        {"? LIKE ?", {"''", "''"}, "true"},
        {"? LIKE ?", {"''", "'%%'"}, "true"},
        {"? LIKE ?", {"''", "'_'"}, "false"},
        {"? LIKE ?", {"'Smelt'", "'s%'"}, "false"},
        {"? ILIKE ?", {"'Smelt'", "'sM%'"}, "true"},
        {"? ILIKE ?", {"'\u00c9TE'", "'\u00e9t_'"}, "true"},
        {"? NOT ILIKE ?", {"'abc'", "'%D%'"}, "true"},
    };
    fn_cases_run(cases, SM_COUNT(cases));
}

static void test_regex_matches(void **state)
{
    static const fn_case cases[] = {
        {"regexp_matches(?, ?)", {"'smelt'", "'^sm'"}, "true"},
        {"regexp_matches(?, ?)", {"'smelt'", "'^m'"}, "false"},
        {"regexp_matches(?, ?)", {"'smelt'", "''"}, "true"},
        {"regexp_matches(?, ?)", {"'h\u00e9'", "'^h.$'"}, "true"},
        {"regexp_matches(?, ?)", {"'\u00e9'", "'\\w'"}, "false"},
        {"regexp_matches(?, ?)", {"'a\n'", "'a$'"}, "false"}, /* $ is the very end */
        {"regexp_matches(?, ?)", {"'a\nb'", "'a.b'"}, "false"},
        {"regexp_matches(?, ?, ?)", {"'a\nb'", "'a.b'", "'s'"}, "true"},
        {"regexp_matches(?, ?, ?)", {"'ABC'", "'b'", "'i'"}, "true"},
        {"regexp_matches(?, ?, ?)", {"'ABC'", "'b'", "'ic'"}, "false"},
        {"regexp_matches(?, ?, ?)", {"'a.c'", "'.'", "'l'"}, "true"},
        {"regexp_matches(?, ?, ?)", {"'abc'", "'.'", "'l'"}, "false"},
        {"regexp_matches(?, NULL)", {"'abc'"}, NULL},
        {"regexp_full_match(?, ?)", {"'abc'", "'b'"}, "false"},
        {"regexp_full_match(?, ?)", {"'abc'", "'a|abc'"}, "true"},
        {"regexp_full_match(?, ?, ?)", {"'abc'", "'A.C'", "'i'"}, "true"},
        {"regexp_matches(?, ?)", {"'a'", "'a(b'"}, "\"a(b\": missing closing", SM_INVALID},
        {"regexp_matches(?, ?)", {"'a'", "'[z-a]'"}, "at byte 4", SM_INVALID},
        {"regexp_matches(?, ?, ?)", {"'a'", "'a'", "'iq'"}, "option", SM_INVALID},
        {"regexp_matches(?, ?, ?)", {"'a'", "'a'", "'g'"}, "option g", SM_INVALID},
        {"regexp_matches(?, ?)",
         {"'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'", "'^(a+)+$|^(a|aa)+b'"},
         "true"},
        {"regexp_matches(?, ?)",
         {"'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaac'", "'^(a|aa|aaa)*b?$'"},
         "too many steps on \"aaaa",
         SM_LIMIT},
    };
    fn_cases_run(cases, SM_COUNT(cases));
}

static void test_regex_text(void **state)
{
    static const fn_case cases[] = {
        {"regexp_extract(?, ?)", {"'abc123'", "'[0-9]+'"}, "123"},
        {"regexp_extract(?, ?, ?)", {"'abc123'", "'([a-z]+)([0-9]+)'", "2"}, "123"},
        {"regexp_extract(?, ?, ?)", {"'abc'", "'(x)?b'", "1"}, ""}, /* took no part */
        {"regexp_extract(?, ?, ?)", {"'abc'", "'b'", "3"}, ""},
        {"regexp_extract(?, ?)", {"'abc'", "'x'"}, ""},
        {"regexp_extract(?, ?, ?)",
         {"'a text of more than twelve'", "'t.* (m.*)$'", "1"},
         "more than twelve"},
        {"regexp_extract(?, ?, ?, ?)", {"'ABC'", "'b'", "0", "'i'"}, "B"},
        {"regexp_extract(?, ?, ?)", {"'abc'", "'b'", "10"}, "group 10", SM_RANGE},
        {"regexp_extract(?, ?, ?)", {"'abc'", "'b'", "-1"}, "group -1", SM_RANGE},
        {"regexp_replace(?, ?, ?)", {"'aba'", "'a'", "'x'"}, "xba"},
        {"regexp_replace(?, ?, ?, ?)", {"'aba'", "'a'", "'x'", "'g'"}, "xbx"},
        {"regexp_replace(?, ?, ?, ?)", {"'abc'", "'x*'", "'-'", "'g'"}, "-a-b-c-"},
        {"regexp_replace(?, ?, ?, ?)", {"'baac'", "'a*'", "'-'", "'g'"}, "-b-c-"},
        {"regexp_replace(?, ?, ?, ?)", {"'\u00e9\u00e8'", "'x*'", "'-'", "'g'"}, "-\u00e9-\u00e8-"},
        {"regexp_replace(?, ?, ?)",
         {"'john smith'", "'(\\w+) (\\w+)'", "'\\2, \\1 \\\\ \\0'"},
         "smith, john \\ john smith"},
        {"regexp_replace(?, ?, ?, ?)", {"'ABA'", "'a'", "''", "'gi'"}, "B"},
        {"regexp_replace(?, ?, ?)", {"'abc'", "'b'", "'\\1'"}, "has group 1", SM_INVALID},
        {"regexp_replace(?, ?, ?)", {"'abc'", "'b'", "'a\\'"}, "\"a\\\"", SM_INVALID},
        {"regexp_replace(?, ?, ?)", {"'abc'", "'b'", "'\\n'"}, "\"\\n\"", SM_INVALID},
    };
    fn_cases_run(cases, SM_COUNT(cases));
}

/* Rows with patterns of their own, one after another. */
static void test_pattern_a_row(void **state)
{
    sm_arena *const a = sm_arena_new(NULL);
    const sm_field fields[] = {{.name = SM_STR("s"), .type = &sm_type_string},
                               {.name = SM_STR("p"), .type = &sm_type_string}};
    static const char *const patterns[] = {"^a", "^b", "c$", "c$", "(", "^a"};
    const sm_sql sql = {.name = SM_STR("q"), .text = SM_STR("regexp_matches(s, p)")};
    sm_error e = {0};
    sm_batch *in = NULL, *into = NULL;
    sm_column got = {0};
    const sm_expr *x = NULL;
    for (int n = 4; n <= SM_COUNT(patterns); n += 2) {
        assert_ok(sm_batch_new(NULL, sm_type_struct(a, fields, 2), &in, &e), &e);
        assert_ok(sm_batch_new(NULL, in->schema, &into, &e), &e);
        in->n_rows = n;
        for (int k = 0; k < 2; k++) {
            sm_builder *const b = sm_builder_new(&sm_type_string, NULL);
            for (int i = 0; i < n; i++) {
                sm_builder_str(b, k == 0 ? SM_STR("abc") : sm_str_of(patterns[i]));
            }
            assert_ok(sm_builder_finish(b, in, &in->columns[k], &e), &e);
            sm_builder_free(b);
        }
        assert_ok(sm_query_expr(&sql, in->schema, NULL, a, &x, &e), &e);
        if (n == 4) {
            assert_ok(sm_expr_eval(x, in, NULL, into, &got, &e), &e);
            assert_int_equal(*(const uint8_t *)got.values, 0x0d); /* rows 0, 2, 3 */
        } else {
            assert_status(sm_expr_eval(x, in, NULL, into, &got, &e), SM_INVALID, &e);
            assert_non_null(strstr(e.what, "\"(\""));
        }
        sm_batch_release(in);
        sm_batch_release(into);
    }
    sm_arena_free(a);
}

/* One of several threads that match by the same expression. */
typedef struct regex_thread {
    sm_thread *thread;
    const sm_expr *x;
    int n_wrong;
} regex_thread;

/* Over many batches of rows "aI" with I from 0 on. */
static void match_many(void *ctx)
{
    regex_thread *const t = ctx;
    sm_error e = {0};
    for (int round = 0; round < 20; round++) {
        const int64_t n = round % 2 ? 3 : 2000;
        sm_batch *in = NULL, *into = NULL;
        sm_column got = {0};
        sm_builder *const b = sm_builder_new(&sm_type_string, NULL);
        static const sm_field field = {.name = {"s", 1}, .type = &sm_type_string};
        static const sm_type rows = {.id = SM_TYPE_STRUCT, .fields = &field, .n_fields = 1};
        assert_ok(sm_batch_new(NULL, &rows, &in, &e), &e);
        assert_ok(sm_batch_new(NULL, &rows, &into, &e), &e);
        in->n_rows = n;
        for (int64_t i = 0; i < n; i++) {
            char text[32];
            sm_builder_str(b, (sm_str){text, (size_t)snprintf(text, sizeof(text), "a%d", (int)i)});
        }
        assert_ok(sm_builder_finish(b, in, &in->columns[0], &e), &e);
        assert_ok(sm_expr_eval(t->x, in, NULL, into, &got, &e), &e);
        for (int64_t i = 0; i < n; i++) { /* two digits, the last is odd */
            const bool right = i >= 10 && i < 100 && i % 2 == 1;
            t->n_wrong += sm_bit_get(got.values, i) != right;
        }
        sm_builder_free(b);
        sm_batch_release(in);
        sm_batch_release(into);
    }
}

/* A constant pattern is compiled once, for all threads, and goes with the expression. */
static void test_pattern_of_threads(void **state)
{
    const int64_t before = sm_live_allocs();
    sm_arena *const a = sm_arena_new(NULL);
    const sm_field field = {.name = SM_STR("s"), .type = &sm_type_string};
    const sm_type *const rows = sm_type_struct(a, &field, 1);
    const sm_sql sql = {.name = SM_STR("q"),
                        .text = SM_STR("regexp_matches(s, '^a[0-9][13579]$')")};
    regex_thread threads[4] = {0};
    sm_error e = {0};
    const sm_expr *x = NULL;
    assert_ok(sm_query_expr(&sql, rows, NULL, a, &x, &e), &e);
    for (int i = 0; i < SM_COUNT(threads); i++) {
        threads[i].x = x;
        assert_ok(sm_thread_start(match_many, &threads[i], "match", &threads[i].thread, &e), &e);
    }
    for (int i = 0; i < SM_COUNT(threads); i++) {
        sm_thread_join(threads[i].thread);
        assert_int_equal(threads[i].n_wrong, 0);
    }
    sm_arena_free(a);
    assert_int_equal(sm_live_allocs(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lengths_and_tests),
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_made),
        cmocka_unit_test(test_nulls_in_concat),
        cmocka_unit_test(test_like),
        cmocka_unit_test(test_regex_matches),
        cmocka_unit_test(test_regex_text),
        cmocka_unit_test(test_pattern_a_row),
        cmocka_unit_test(test_pattern_of_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
