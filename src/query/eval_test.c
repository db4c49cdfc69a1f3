/* query/eval_test.c: expressions over rows: every layout gives the same values, what need not be
 * evaluated cannot fail, and what fails says where. */
#include "test.h"

#include "query/query_int.h"
#include "query/query_testkit.h"

/* ---- rows ------------------------------------------------------------------------------------ */

/* A batch of the schema t(i, b, d, s, p) with n_rows rows; p is NULL throughout. Row k has
 * i = k − 3, b = 10 · i, d = i / 4, s = one of four texts; NULL where k % 5 is 4. */
enum { ROWS = 150 };
static const char *const texts[] = {"a", "bb", "a text of more than twelve bytes", ""};

static int64_t int_of(int64_t k)
{
    return k - 3;
}
static bool is_null_row(int64_t k)
{
    return k % 5 == 4;
}

typedef struct rows {
    sm_arena *arena;
    sm_budget *budget;
    sm_batch *flat; /* all columns FLAT */
    sm_batch *dict; /* s as a dictionary of the four texts */
} rows;

static void put_row(sm_builder **b, int64_t k)
{
    if (is_null_row(k)) {
        for (int c = 0; c < 5; c++) {
            sm_builder_null(b[c]);
        }
        return;
    }
    sm_builder_i64(b[0], int_of(k));
    sm_builder_i64(b[1], int_of(k) * 10);
    sm_builder_f64(b[2], (double)int_of(k) / 4);
    sm_builder_str(b[3], sm_str_of(texts[k % 4]));
    sm_builder_null(b[4]);
}

static sm_batch *flat_rows(sm_budget *budget)
{
    sm_error e = {0};
    sm_batch *batch = NULL;
    sm_builder *b[5];
    assert_ok(sm_batch_new(budget, &kit_t, &batch, &e), &e);
    for (int c = 0; c < 5; c++) {
        b[c] = sm_builder_new(kit_t_fields[c].type, budget);
    }
    for (int64_t k = 0; k < ROWS; k++) {
        put_row(b, k);
    }
    for (int c = 0; c < 5; c++) {
        assert_ok(sm_builder_finish(b[c], batch, &batch->columns[c], &e), &e);
        sm_builder_free(b[c]);
    }
    batch->n_rows = ROWS;
    return batch;
}

static void rows_init(rows *r)
{
    sm_error e = {0};
    void *codes = NULL, *entries = NULL, *valid = NULL;
    r->arena = sm_arena_new(NULL);
    r->budget = sm_budget_new(NULL, "test", 0);
    r->flat = flat_rows(r->budget);
    r->dict = flat_rows(r->budget);
    assert_ok(sm_batch_alloc(r->dict, ROWS * sizeof(int32_t), &codes, &e), &e);
    assert_ok(sm_batch_alloc(r->dict, sizeof(sm_column), &entries, &e), &e);
    assert_ok(sm_batch_alloc(r->dict, ROWS / 8 + 8, &valid, &e), &e);
    sm_builder *const b = sm_builder_new(&sm_type_string, r->budget);
    for (int k = 0; k < 4; k++) {
        sm_builder_str(b, sm_str_of(texts[k]));
    }
    sm_builder_str(b, SM_STR("in no row")); /* an entry that must not be noticed */
    assert_ok(sm_builder_finish(b, r->dict, entries, &e), &e);
    sm_builder_free(b);
    for (int64_t k = 0; k < ROWS; k++) {
        if (!is_null_row(k)) {
            ((int32_t *)codes)[k] = (int32_t)(k % 4);
            sm_bit_set(valid, k);
        }
    }
    r->dict->columns[3] = (sm_column){
        .type = &sm_type_string,
        .layout = SM_DICT,
        .n_rows = ROWS,
        .validity = valid,
        .values = codes,
        .children = entries,
        .n_children = 1,
    };
}

static void rows_release(rows *r)
{
    sm_batch_release(r->flat);
    sm_batch_release(r->dict);
    sm_budget_free(r->budget);
    sm_arena_free(r->arena);
}

static const sm_expr *bind(const rows *r, const char *text)
{
    sm_error e = {0};
    const sm_expr *x = NULL;
    sm_sql *const sql = SM_NEW(r->arena, sm_sql);
    *sql = (sm_sql){SM_STR("x"), sm_str_of(text)};
    assert_ok(sm_query_expr(sql, &kit_t, &kit_resolver, r->arena, &x, &e), &e);
    return x;
}

/* ---- values ---------------------------------------------------------------------------------- */

/* The value of row k in text. */
typedef void (*expected_fn)(int64_t k, sm_buf *out);

static void expect_plus(int64_t k, sm_buf *out)
{
    sm_buf_printf(out, "%lld", 11 * (long long)int_of(k));
}
static void expect_quotient(int64_t k, sm_buf *out)
{
    if (int_of(k) == 0) {
        sm_buf_text(out, SM_STR("NULL"));
    } else {
        sm_buf_printf(out, "%lld", 100 / (long long)int_of(k));
    }
}
static void expect_length(int64_t k, sm_buf *out)
{
    sm_buf_printf(out, "%zu", strlen(texts[k % 4]));
}
static void expect_doubled(int64_t k, sm_buf *out)
{
    sm_buf_printf(out, "%s%s", texts[k % 4], texts[k % 4]);
}
static void expect_in(int64_t k, sm_buf *out)
{
    sm_buf_printf(out, k % 4 == 1 || k % 4 == 2 ? "true" : "false");
}
static void expect_class(int64_t k, sm_buf *out)
{
    static const char *const names[] = {"one", "two or three letters or so",
                                        "two or three letters "
                                        "or so",
                                        "NULL"};
    sm_buf_printf(out, "%s", names[k % 4]);
}
static void expect_safe(int64_t k, sm_buf *out)
{
    const int64_t v = int_of(k) > 0 ? 2147483647 / int_of(k) : 0;
    sm_buf_printf(out, "%lld", (long long)v);
}
static void expect_mixed(int64_t k, sm_buf *out)
{
    sm_buf_printf(out, "%s", k % 4 == 0 ? "none of them" : texts[k % 4]);
}
static void expect_dates(int64_t k, sm_buf *out)
{
    sm_buf_printf(out, int_of(k) > 0 ? "%lld-01-01" : "NULL", (long long)int_of(k) + 2000);
}

static const struct {
    const char *expr;
    expected_fn want;
    const char *at_null; /* of rows that are NULL */
} values[] = {
    {"i + b", expect_plus, "NULL"},
    {"100 // nullif(i, 0)", expect_quotient, "NULL"},
    {"length(s)", expect_length, "NULL"},
    {"s || s", expect_doubled, "NULL"},
    {"s IN ('bb', 'a text of more than twelve bytes')", expect_in, "NULL"},
    {"coalesce(s IN ('bb', 'a text of more than twelve bytes'), true)", expect_in, "true"},
    {"CASE WHEN s = 'a' THEN 'one' WHEN s LIKE '_%' THEN 'two or three letters or so' END",
     expect_class, "NULL"},
    /* b - 1 overflows in the branch that these rows do not take; 2147483647 * i would for i > 1 */
    {"CASE WHEN i > 0 THEN 2147483647 // i WHEN i * 0 = 1 THEN 2147483647 * i * i ELSE 0 END",
     expect_safe, "0"},
    {"CASE WHEN s <> 'a' OR s IS NULL THEN s ELSE 'none of them' END", expect_mixed, "NULL"},
    /* make_date fails below 1 and for text, where the condition keeps it from being asked */
    {"CASE WHEN i IS NOT NULL AND i > 0 AND make_date(i + 2000, least(i, 1), 1) IS NOT NULL THEN "
     "make_date(i + 2000, 1, 1) END",
     expect_dates, "NULL"},
};

static void check_values(const rows *r, const sm_batch *in, int v)
{
    sm_error e = {0};
    sm_column c = {0};
    sm_batch *into = NULL;
    sm_buf got = {0}, want = {0};
    const char *why = "";
    assert_ok(sm_batch_new(r->budget, &kit_t, &into, &e), &e);
    const sm_expr *const x = bind(r, values[v].expr);
    assert_ok(sm_expr_eval(x, in, NULL, into, &c, &e), &e);
    if (!sm_column_validate(&c, true, &why)) {
        fail_msg("%s: %s", values[v].expr, why);
    }
    for (int64_t k = 0; k < ROWS; k++) {
        sm_buf_reset(&got);
        sm_buf_reset(&want);
        sm_column_print(&c, k, &got);
        if (is_null_row(k)) {
            sm_buf_text(&want, sm_str_of(values[v].at_null));
        } else {
            values[v].want(k, &want);
        }
        if (!sm_str_eq(sm_buf_str(&got), sm_buf_str(&want))) {
            fail_msg("%s, row %d, %s: %.*s, not %.*s", values[v].expr, (int)k,
                     in == r->dict ? "dictionary" : "flat", (int)got.len, (char *)got.data,
                     (int)want.len, (char *)want.data);
        }
    }
    sm_buf_release(&got);
    sm_buf_release(&want);
    sm_batch_release(into);
}

static void test_values(void **unused)
{
    rows r;
    rows_init(&r);
    for (int v = 0; v < SM_COUNT(values); v++) {
        check_values(&r, r.flat, v);
        check_values(&r, r.dict, v);
    }
    rows_release(&r);
}

/* ---- layouts --------------------------------------------------------------------------------- */

static void test_layouts(void **unused)
{
    static const struct {
        const char *expr;
        sm_layout want; /* over the dictionary batch */
    } cases[] = {
        {"s", SM_DICT},
        {"upper(s)", SM_DICT},
        {"CASE WHEN s = 'a' THEN 'x' ELSE 'y' END", SM_DICT},
        {"s = 'a'", SM_FLAT},
        {"length(s)", SM_FLAT},
        {"s || CAST(i AS VARCHAR)", SM_FLAT},
        {"7", SM_CONST},
        {"i", SM_FLAT},
    };
    rows r;
    rows_init(&r);
    for (int k = 0; k < SM_COUNT(cases); k++) {
        sm_error e = {0};
        sm_column c = {0};
        sm_batch *into = NULL;
        assert_ok(sm_batch_new(r.budget, &kit_t, &into, &e), &e);
        assert_ok(sm_expr_eval(bind(&r, cases[k].expr), r.dict, NULL, into, &c, &e), &e);
        if (c.layout != cases[k].want || c.n_rows != ROWS) {
            fail_msg("%s: layout %d", cases[k].expr, (int)c.layout);
        }
        sm_batch_release(into);
    }
    rows_release(&r);
}

/* A result that shares the input's text outlives the input. */
static void test_keeps_input(void **unused)
{
    rows r;
    sm_error e = {0};
    sm_column c = {0};
    sm_batch *into = NULL;
    rows_init(&r);
    assert_ok(sm_batch_new(r.budget, &kit_t, &into, &e), &e);
    assert_ok(sm_expr_eval(bind(&r, "CASE WHEN i > 0 THEN s END"), r.flat, NULL, into, &c, &e), &e);
    sm_batch_release(r.flat);
    r.flat = NULL;
    const sm_str s = sm_column_str(&c, 6);
    assert_true(sm_str_is(s, texts[2]));
    sm_batch_release(into);
    rows_release(&r);
}

/* ---- selection ------------------------------------------------------------------------------- */

static void test_select(void **unused)
{
    static const struct {
        const char *where;
        int64_t n, first;
    } cases[] = {
        {"true", 150, 0},
        {"false", 0, 0},
        {"NULL", 0, 0},
        {"i >= 0", 117, 3}, /* rows 3 … 149 but those of k % 5 = 4, of which row 4 is the first */
        {"i IS NULL", 30, 4},
        {"s = 'bb'", 30, 1},
        {"s = 'bb' AND i > 50", 19, 57},
        {"NOT (s = 'bb')", 90, 0},
        {"NOT regexp_matches(s, '^[b]+$')", 90, 0},
        {"NOT regexp_matches('x', '^[b]+$')", 150, 0},
        {"s IN ('a', 'bb', NULL)", 60, 0},
        {"s NOT IN ('a', NULL)", 0, 0},
        {"i > 140 OR s = ''", 33, 3},
        {"i > 0 AND 10 // i > 4", 1, 5},
        {"i = 1 AND make_date(i, i, i) = DATE '0001-01-01'", 0, 0}, /* row 4 is NULL */
        {"i = 2 AND make_date(i, i, i) = DATE '0002-02-02'", 1, 5},
        {"d BETWEEN 0.25 AND 1", 3, 5},
    };
    rows r;
    int32_t got[ROWS], again[ROWS];
    rows_init(&r);
    for (int k = 0; k < SM_COUNT(cases); k++) {
        sm_error e = {0};
        int64_t n = 0, m = 0;
        const sm_expr *x = bind(&r, cases[k].where);
        x = smi_cast(r.arena, x, &sm_type_bool);
        assert_ok(sm_expr_select(x, r.flat, NULL, got, &n, r.budget, &e), &e);
        assert_ok(sm_expr_select(x, r.dict, NULL, again, &m, r.budget, &e), &e);
        if (n != cases[k].n || m != n || (n > 0 && got[0] != cases[k].first) ||
            memcmp(got, again, (size_t)n * sizeof(int32_t)) != 0) {
            fail_msg("%s: %d rows (dictionary: %d) from %d", cases[k].where, (int)n, (int)m,
                     n > 0 ? got[0] : -1);
        }
    }
    rows_release(&r);
}

/* ---- failures -------------------------------------------------------------------------------- */

static void test_failures(void **unused)
{
    static const struct {
        const char *expr;
        sm_status want;
        int64_t byte;
        const char *what;
    } cases[] = {
        {"1 + b * 9223372036854775807", SM_RANGE, 5, "-30 * 9223372036854775807 is out of the"},
        {"CAST(s AS BIGINT)", SM_TYPE, 1, "\"a\" cannot be cast to BIGINT"},
        {"CAST(b AS TINYINT)", SM_RANGE, 1, "\"130\" cannot be cast to TINYINT"},
        {"make_date(2022, i, 1)", SM_RANGE, 1, "there is no date 2022--3-1"},
        {"date_trunc(s, DATE '2022-01-01')", SM_INVALID, 1, "no unit \"a\""},
        {"regexp_matches('aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa' || s, '^(a+)+$')", SM_LIMIT, 1,
         "needs too many steps"},
        {"lpad(s, 1000000000, 'x')", SM_LIMIT, 1, "characters"},
    };
    rows r;
    rows_init(&r);
    for (int k = 0; k < SM_COUNT(cases); k++) {
        const sm_batch *const both[] = {r.flat, r.dict};
        const sm_expr *const x = bind(&r, cases[k].expr);
        for (int d = 0; d < 2; d++) {
            sm_error e = {0};
            sm_column c = {0};
            sm_batch *into = NULL;
            assert_ok(sm_batch_new(r.budget, &kit_t, &into, &e), &e);
            const sm_status st = sm_expr_eval(x, both[d], NULL, into, &c, &e);
            if (st != cases[k].want || e.line != 1 || e.byte != cases[k].byte ||
                !strstr(e.what, cases[k].what)) {
                fail_msg("%s: %s at %lld: %s", cases[k].expr, sm_status_name(st), (long long)e.byte,
                         e.what);
            }
            sm_batch_release(into);
        }
    }
    rows_release(&r);
}

/* The budget's refusal is passed on, and nothing stays behind. */
static void test_budget(void **unused)
{
    rows r;
    rows_init(&r);
    const sm_expr *const x = bind(&r, "s || s || CAST(i AS VARCHAR)");
    bool done = false;
    for (size_t limit = 1024; !done; limit += 1024) {
        sm_error e = {0};
        sm_column c = {0};
        sm_batch *into = NULL;
        sm_budget *const small = sm_budget_new(NULL, "small", limit);
        sm_status st = sm_batch_new(small, &kit_t, &into, &e);
        if (st == SM_OK) {
            st = sm_expr_eval(x, r.flat, NULL, into, &c, &e);
        }
        done = st == SM_OK;
        assert_true(done || st == SM_BUDGET);
        sm_batch_release(into);
        assert_int_equal(sm_budget_used(small), 0);
        sm_budget_free(small);
    }
    rows_release(&r);
}

/* ---- bounds ---------------------------------------------------------------------------------- */

static void test_bounds(void **unused)
{
    rows r;
    sm_bounds b = {0};
    rows_init(&r);
    sm_expr_bounds(bind(&r, "i > 3 AND (b = 1 OR b = 2) AND p.y <= 2.5 AND s IN ('x', NULL) AND "
                            "d IS NULL AND 7 >= i AND i <> 4"),
                   r.arena, &b);
    assert_int_equal(b.n, 5);
    assert_int_equal(b.items[0].op, SM_BOUND_GT);
    assert_int_equal(b.items[0].path[0], 0);
    assert_int_equal(b.items[0].value.type->id, SM_TYPE_I32);
    assert_int_equal(b.items[0].value.as.i, 3);
    assert_int_equal(b.items[1].op, SM_BOUND_LE);
    assert_int_equal(b.items[1].n_path, 2);
    assert_int_equal(b.items[1].path[0], 4);
    assert_int_equal(b.items[1].path[1], 1);
    assert_int_equal(b.items[2].op, SM_BOUND_IN);
    assert_int_equal(b.items[2].n_values, 1);
    assert_int_equal(b.items[3].op, SM_BOUND_IS_NULL);
    assert_int_equal(b.items[4].op, SM_BOUND_LE);
    assert_int_equal(b.items[4].value.as.i, 7);
    rows_release(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),      cmocka_unit_test(test_layouts),
        cmocka_unit_test(test_keeps_input), cmocka_unit_test(test_select),
        cmocka_unit_test(test_failures),    cmocka_unit_test(test_budget),
        cmocka_unit_test(test_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
