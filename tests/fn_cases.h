/* tests/fn_cases.h: calls of SQL functions as rows of a table. Each call is evaluated with
 * constants, with columns, and with one column and the rest constant, because these take
 * different ways through the evaluator and the kernels. */
#ifndef SM_TESTS_FN_CASES_H
#define SM_TESTS_FN_CASES_H

#include "query/query.h"
#include "test.h"

#define FN_CASE_ARGS 4
#define FN_CASE_ROWS 600 /* enough for what kernels do for many rows only */

typedef struct fn_case {
    const char *sql;                /* "substr(?, ?, ?)" */
    const char *args[FN_CASE_ARGS]; /* "'smelt'", "2", "3": literals; {0} ends them */
    const char *want;               /* as text; NULL: the call is NULL */
    sm_status status;               /* of a call that fails: then `want` is the error's text */
} fn_case;

/* The call with each argument as it stands, or as column c0, c1 … where its bit is set. */
static inline void fn_case_sql(const fn_case *c, unsigned columns, sm_buf *out)
{
    int n = 0;
    for (const char *p = c->sql; *p; p++) {
        if (*p != '?') {
            sm_buf_text(out, (sm_str){p, 1});
        } else if (columns >> n & 1) {
            sm_buf_printf(out, "c%d", n++);
        } else {
            sm_buf_text(out, sm_str_of(c->args[n++]));
        }
    }
}

/* One constant, bound and evaluated. */
static inline sm_value fn_case_value(const char *literal, sm_arena *a)
{
    const sm_sql sql = {.name = SM_STR("literal"), .text = sm_str_of(literal)};
    const sm_type *const none = sm_type_struct(a, NULL, 0);
    const sm_expr *x = NULL;
    sm_error e = {0};
    sm_batch *in = NULL, *into = NULL;
    sm_column c = {0};
    assert_ok(sm_query_expr(&sql, none, NULL, a, &x, &e), &e);
    assert_ok(sm_batch_new(NULL, none, &in, &e), &e);
    assert_ok(sm_batch_new(NULL, none, &into, &e), &e);
    in->n_rows = 1;
    assert_ok(sm_expr_eval(x, in, NULL, into, &c, &e), &e);
    const sm_value v = sm_value_copy(a, sm_column_value(&c, 0));
    sm_batch_release(in);
    sm_batch_release(into);
    return v;
}

/* A batch of the arguments as columns; every row that is odd is NULL. */
static inline sm_batch *fn_case_batch(const fn_case *c, sm_arena *a)
{
    sm_field *const fields = SM_NEW_ARRAY(a, sm_field, FN_CASE_ARGS);
    sm_value values[FN_CASE_ARGS];
    sm_error e = {0};
    sm_batch *in = NULL;
    int n = 0;
    for (; n < FN_CASE_ARGS && c->args[n]; n++) {
        values[n] = fn_case_value(c->args[n], a);
        fields[n] = (sm_field){
            .name = sm_arena_strf(a, "c%d", n), .type = values[n].type, .is_nullable = true};
    }
    assert_ok(sm_batch_new(NULL, sm_type_struct(a, fields, n), &in, &e), &e);
    in->n_rows = FN_CASE_ROWS;
    for (int k = 0; k < n; k++) {
        sm_builder *const b = sm_builder_new(values[k].type, NULL);
        for (int i = 0; i < FN_CASE_ROWS; i++) {
            if (i % 2 == 1) {
                sm_builder_null(b);
            } else {
                sm_builder_value(b, values[k]);
            }
        }
        assert_ok(sm_builder_finish(b, in, &in->columns[k], &e), &e);
        sm_builder_free(b);
    }
    return in;
}

static inline void fn_case_check_row(const fn_case *c, const sm_column *got, int64_t i,
                                     const char *sql)
{
    sm_buf text = {0};
    sm_column_print(got, i, &text);
    const sm_str want = c->want ? sm_str_of(c->want) : SM_STR("NULL");
    if (sm_column_is_null(got, i) != (c->want == NULL) || !sm_str_eq(sm_buf_str(&text), want)) {
        fail_msg("%s in row %d: got \"%.*s\", want \"%.*s\"", sql, (int)i,
                 SM_STR_ARG(sm_buf_str(&text)), SM_STR_ARG(want));
    }
    sm_buf_release(&text);
}

static inline void fn_case_check_error(const fn_case *c, sm_status st, const sm_error *e,
                                       const char *sql)
{
    if (st != c->status || !strstr(e->what, c->want) || e->line != 1 || e->byte < 1) {
        fail_msg("%s: got %s at %d:%d, %s; want %s, %s", sql, sm_status_name(st), (int)e->line,
                 (int)e->byte, e->what, sm_status_name(c->status), c->want);
    }
}

static inline void fn_case_run_as(const fn_case *c, unsigned columns, sm_batch *in, sm_arena *a)
{
    sm_buf text = {0};
    sm_error e = {0};
    sm_batch *into = NULL;
    sm_column got = {0};
    const sm_expr *x = NULL;
    const char *why = NULL;

    fn_case_sql(c, columns, &text);
    const char *const sql = sm_arena_str(a, sm_buf_str(&text)).data;
    const sm_sql source = {.name = SM_STR("case"), .text = sm_buf_str(&text)};
    sm_status st = sm_query_expr(&source, in->schema, NULL, a, &x, &e);
    assert_ok(sm_batch_new(NULL, in->schema, &into, &e), &e);
    if (st == SM_OK) {
        st = sm_expr_eval(x, in, NULL, into, &got, &e);
    }
    if (st != SM_OK || c->status != SM_OK) {
        fn_case_check_error(c, st, &e, sql);
    } else {
        if (!sm_column_validate(&got, true, &why)) {
            fail_msg("%s: %s", sql, why);
        }
        for (int64_t i = 0; i < FN_CASE_ROWS; i += 2) {
            fn_case_check_row(c, &got, i, sql);
        }
        if (columns & 1 && !strstr(c->sql, "concat")) { /* which alone leaves NULL out */
            assert_true(sm_column_is_null(&got, 1));
        }
    }
    sm_batch_release(into);
    sm_buf_release(&text);
}

static inline void fn_cases_run(const fn_case *cases, int n)
{
    for (int i = 0; i < n; i++) {
        sm_arena *const a = sm_arena_new(NULL);
        sm_batch *const in = fn_case_batch(&cases[i], a);
        fn_case_run_as(&cases[i], 0, in, a);
        fn_case_run_as(&cases[i], 1, in, a);
        fn_case_run_as(&cases[i], ~0u, in, a);
        sm_batch_release(in);
        sm_arena_free(a);
    }
}

#endif
