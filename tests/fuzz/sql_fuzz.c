/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/fuzz/sql_fuzz.c: any text as SQL: parsed, bound against two tables and a view, optimised
 * and printed; and its tables collected. Also as one expression, evaluated over a few rows.
 * Whatever is wrong must be an error with a place, found in bounded time and memory. */
#include <stdio.h>
#include <stdlib.h>

#include "query/query.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

static const sm_field point_fields[] = {
    {.name = {"x", 1}, .type = &sm_type_i32, .is_nullable = true},
    {.name = {"y", 1}, .type = &sm_type_f64, .is_nullable = true},
};
static const sm_type point = {.id = SM_TYPE_STRUCT, .fields = point_fields, .n_fields = 2};
static const sm_field fields[] = {
    {.name = {"i", 1}, .type = &sm_type_i32, .is_nullable = true},
    {.name = {"b", 1}, .type = &sm_type_i64, .is_nullable = true},
    {.name = {"d", 1}, .type = &sm_type_f64, .is_nullable = true},
    {.name = {"s", 1}, .type = &sm_type_string, .is_nullable = true},
    {.name = {"day", 3}, .type = &sm_type_date, .is_nullable = true},
    {.name = {"at", 2}, .type = &sm_type_timestamp_ntz, .is_nullable = true},
    {.name = {"p", 1}, .type = &point, .is_nullable = true},
};
enum { N_FIELDS = 7, N_ROWS = 4 };
static const sm_type schema = {.id = SM_TYPE_STRUCT, .fields = fields, .n_fields = N_FIELDS};
static const sm_dataset dataset = {.schema = &schema, .n_constants = 1};

static sm_status table(void *ctx, const sm_str *parts, int32_t n, sm_arena *a, sm_relation *out,
                       sm_error *e)
{
    const sm_str name = parts[n - 1];
    if (sm_str_is(name, "v")) {
        *out = (sm_relation){.view = {name, SM_STR("SELECT s, sum(b) AS n FROM t GROUP BY s")}};
        return SM_OK;
    }
    if (sm_str_is(name, "w")) { /* a view that names itself */
        *out = (sm_relation){.view = {name, SM_STR("SELECT * FROM w, w")}};
        return SM_OK;
    }
    *out = (sm_relation){.dataset = &dataset, .label = SM_STR("t")};
    return sm_str_is(name, "t") ? SM_OK : sm_fail(e, SM_NAME, "no such table");
}

static sm_status function(void *ctx, sm_str name, const sm_table_arg *args, int32_t n, sm_arena *a,
                          sm_relation *out, sm_error *e)
{
    *out = (sm_relation){.dataset = &dataset, .label = SM_STR("f")};
    return SM_OK;
}

static sm_status variable(void *ctx, sm_str name, sm_arena *a, sm_value *out, sm_error *e)
{
    *out = sm_value_str(SM_STR("2022-04"));
    return SM_OK;
}

static const sm_resolver resolver = {.table = table, .function = function, .variable = variable};

static void require(bool cond, const char *what)
{
    if (!cond) {
        fprintf(stderr, "sql_fuzz: %s\n", what);
        abort();
    }
}

/* An error carries its own status; where the text is to blame, a place in it too. */
static void check_error(sm_status st, const sm_error *e)
{
    require(st == e->status, "the status of the error is another one");
    require(e->what[0] != 0, "an error without a cause");
    require(st != SM_INTERNAL, "an internal error");
    if (st == SM_SYNTAX || st == SM_NAME || st == SM_TYPE) {
        require(e->line >= 1 && e->byte >= 1, "an error without its place");
    }
}

static void plan_text(const sm_sql *sql)
{
    sm_error e = {0};
    sm_plan *plan = NULL;
    sm_table_name *names = NULL;
    int32_t n = 0;
    sm_arena *const a = sm_arena_new(NULL);
    const sm_status st = sm_query_plan(sql, &resolver, a, &plan, &e);
    if (st == SM_OK) {
        sm_buf text = {0};
        sm_plan_print(plan, NULL, NULL, &text);
        require(text.len > 0, "an empty plan");
        sm_buf_release(&text);
        require(sm_query_tables(sql, a, &names, &n, &e) == SM_OK, "a plan without its tables");
    } else {
        check_error(st, &e);
    }
    sm_arena_free(a);
}

static void fill(sm_batch *batch)
{
    sm_error e = {0};
    for (int c = 0; c < N_FIELDS; c++) {
        sm_builder *const b = sm_builder_new(fields[c].type, NULL);
        for (int k = 0; k < N_ROWS; k++) {
            if (k == 2 || c == N_FIELDS - 1) {
                sm_builder_null(b);
            } else if (c == 2) {
                sm_builder_f64(b, k - 0.5);
            } else if (c == 3) {
                sm_builder_str(b, k == 0 ? SM_STR("abc") : SM_STR("a text of more than twelve"));
            } else {
                sm_builder_i64(b, k == 3 ? INT32_MIN : k);
            }
        }
        require(sm_builder_finish(b, batch, &batch->columns[c], &e) == SM_OK, "no column");
        sm_builder_free(b);
    }
    batch->n_rows = N_ROWS;
}

static void evaluate_text(const sm_sql *sql)
{
    sm_error e = {0};
    const sm_expr *x = NULL;
    sm_batch *rows = NULL;
    const char *why = "";
    sm_arena *const a = sm_arena_new(NULL);
    /* 64 MB: no row of these comes near it */
    sm_budget *const budget = sm_budget_new(NULL, "fuzz", (size_t)64 << 20);
    sm_status st = sm_query_expr(sql, &schema, &resolver, a, &x, &e);
    if (st == SM_OK && sm_batch_new(budget, &schema, &rows, &e) == SM_OK) {
        sm_column c = {0};
        fill(rows);
        st = sm_expr_eval(x, rows, NULL, rows, &c, &e);
        if (st == SM_OK) {
            require(c.n_rows == N_ROWS && sm_type_eq(c.type, x->type), "a column of another shape");
            require(sm_column_validate(&c, true, &why), why);
        }
    }
    if (st != SM_OK) {
        check_error(st, &e);
    }
    sm_batch_release(rows);
    sm_budget_free(budget);
    sm_arena_free(a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    const sm_sql sql = {SM_STR("fuzz"), {(const char *)data, size_bytes}};
    plan_text(&sql);
    evaluate_text(&sql);
    return 0;
}
