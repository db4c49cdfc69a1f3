/* SPDX-License-Identifier: Apache-2.0
 *
 * query/function/agg_testkit.h: columns from text, in any layout, and calls, for the tests of
 * aggregates and window functions. They include test.h before it. */
#ifndef SM_QUERY_AGG_TESTKIT_H
#define SM_QUERY_AGG_TESTKIT_H

#include <stdlib.h>

#include "query/function/agg_int.h"

static sm_arena *arena;
static sm_budget *budget;
static sm_batch *batch;

static inline int kit_setup(void **state)
{
    sm_error e = {0};
    arena = sm_arena_new(NULL);
    budget = sm_budget_new(NULL, "test", 0);
    assert_ok(sm_batch_new(budget, sm_type_struct(arena, NULL, 0), &batch, &e), &e);
    return 0;
}

static inline int kit_teardown(void **state)
{
    sm_batch_release(batch);
    assert_int_equal(sm_budget_used(budget), 0);
    sm_budget_free(budget);
    sm_arena_free(arena);
    assert_int_equal(sm_live_allocs(), 0);
    return 0;
}

static inline const sm_type *kit_type(const char *sql)
{
    sm_error e = {0};
    const sm_type *t = NULL;
    if (strcmp(sql, "NULL") == 0) {
        return &sm_type_null;
    }
    assert_ok(sm_type_parse(sm_str_of(sql), arena, &t, &e), &e);
    return t;
}

static inline void kit_append(sm_builder *b, const sm_type *t, sm_str text)
{
    sm_error e = {0};
    sm_value v;
    if (sm_str_is(text, "NULL")) {
        sm_builder_null(b);
        return;
    }
    assert_ok(sm_value_parse(t, text, &v, &e), &e);
    sm_builder_value(b, v);
}

/* The values as a dictionary column (each row its own entry, backwards) or as they are. */
static inline sm_column kit_layout(const sm_column *c, bool as_dict)
{
    if (!as_dict || c->type->id == SM_TYPE_NULL) {
        return *c;
    }
    int32_t *const codes = SM_NEW_ARRAY(arena, int32_t, c->n_rows + 1);
    int32_t *const back = SM_NEW_ARRAY(arena, int32_t, c->n_rows + 1);
    sm_column *const entries = SM_NEW(arena, sm_column);
    sm_error e = {0};
    for (int64_t i = 0; i < c->n_rows; i++) {
        back[i] = (int32_t)(c->n_rows - 1 - i);
        codes[i] = sm_column_is_null(c, i) ? 0 : back[i];
    }
    assert_ok(sm_column_gather(c, back, c->n_rows, batch, entries, &e), &e);
    entries->validity = NULL;
    sm_column out = *c;
    out.layout = SM_DICT;
    out.values = codes;
    out.children = entries;
    out.n_children = 1;
    out.heap = NULL;
    out.n_heap = 0;
    return out;
}

/* The parts of a text between separators; of "" none. */
static inline int64_t kit_split(const char *text, char separator, sm_str *parts, int64_t cap)
{
    int64_t n = 0;
    for (const char *at = text; text[0] != '\0'; at++) {
        const char *const end = strchr(at, separator);
        assert_true(n < cap);
        parts[n++] = (sm_str){at, end ? (size_t)(end - at) : strlen(at)};
        if (!end) {
            break;
        }
        at = end;
    }
    return n;
}

static inline sm_column kit_finish(sm_builder *b)
{
    sm_error e = {0};
    sm_column c = {0};
    const char *why = NULL;
    assert_ok(sm_builder_finish(b, batch, &c, &e), &e);
    if (!sm_column_validate(&c, true, &why)) {
        fail_msg("%s", why);
    }
    return c;
}

/* "1;NULL;3" as a column. */
static inline sm_column kit_column(const sm_type *t, const char *values)
{
    static sm_str parts[4096] = {0};
    sm_builder *b = sm_builder_new(t, budget);
    const int64_t n = kit_split(values, ';', parts, 4096);
    for (int64_t i = 0; i < n; i++) {
        kit_append(b, t, parts[i]);
    }
    const sm_column c = kit_finish(b);
    sm_builder_free(b);
    return c;
}

static inline void kit_assert_rows(const sm_column *c, const char *want, const char *name)
{
    sm_buf got = {0};
    for (int64_t i = 0; i < c->n_rows; i++) {
        sm_buf_text(&got, i > 0 ? SM_STR(";") : SM_STR(""));
        sm_column_print(c, i, &got);
    }
    sm_buf_text(&got, (sm_str){"", 1});
    assert_non_null(got.data);
    if (strcmp((const char *)got.data, want) != 0) {
        fail_msg("%s: got %s, want %s", name, (const char *)got.data, want);
    }
    sm_buf_release(&got);
}

static const sm_sql kit_sql = {.name = {"test", 4}, .text = {"SELECT\n  call(x)", 16}};

/* A call of fn over columns 0 … of the types given, at line 2, byte 3. */
static inline const sm_expr *kit_call(const sm_function *fn, const sm_type *result,
                                      const sm_type *const *types, int32_t n_args)
{
    sm_expr *const x = SM_NEW(arena, sm_expr);
    *x = (sm_expr){.kind = SM_EXPR_CALL, .type = result, .fn = fn, .sql = &kit_sql, .off_bytes = 9};
    x->args = SM_NEW_ARRAY(arena, const sm_expr *, n_args + 1);
    x->n_args = n_args;
    for (int32_t i = 0; i < n_args; i++) {
        sm_expr *const arg = SM_NEW(arena, sm_expr);
        *arg = (sm_expr){.kind = SM_EXPR_COLUMN, .type = types[i], .index = i};
        x->args[i] = arg;
    }
    return x;
}

/* The call around it that stands for DISTINCT or OVER. */
static inline const sm_expr *kit_wrap(const sm_function *fn, const sm_expr *inner)
{
    sm_expr *const x = SM_NEW(arena, sm_expr);
    *x = *inner;
    x->fn = fn;
    x->prepared = inner;
    return x;
}

#endif
