/* query/query_testkit.h: what the query room's tests share: two tables, two views over the first, a
 * variable, and a plan as text. */
#ifndef SM_QUERY_TESTKIT_H
#define SM_QUERY_TESTKIT_H

#include "query/query.h"

/* log(Key, App, Secs, Day): Day is constant in a file. t(i, b, d, s, p): p is a struct. */
static const sm_field kit_log_fields[] = {
    {.name = {"Key", 3}, .type = &sm_type_string, .is_nullable = true},
    {.name = {"App", 3}, .type = &sm_type_string, .is_nullable = true},
    {.name = {"Secs", 4}, .type = &sm_type_i64, .is_nullable = true},
    {.name = {"Day", 3}, .type = &sm_type_date},
};
static const sm_type kit_log = {.id = SM_TYPE_STRUCT, .fields = kit_log_fields, .n_fields = 4};
static const sm_dataset kit_log_data = {.schema = &kit_log, .n_constants = 1};

static const sm_field kit_point_fields[] = {
    {.name = {"x", 1}, .type = &sm_type_i32, .is_nullable = true},
    {.name = {"y", 1}, .type = &sm_type_f64, .is_nullable = true},
};
static const sm_type kit_point = {.id = SM_TYPE_STRUCT, .fields = kit_point_fields, .n_fields = 2};
static const sm_field kit_t_fields[] = {
    {.name = {"i", 1}, .type = &sm_type_i32, .is_nullable = true},
    {.name = {"b", 1}, .type = &sm_type_i64, .is_nullable = true},
    {.name = {"d", 1}, .type = &sm_type_f64, .is_nullable = true},
    {.name = {"s", 1}, .type = &sm_type_string, .is_nullable = true},
    {.name = {"p", 1}, .type = &kit_point, .is_nullable = true},
};
static const sm_type kit_t = {.id = SM_TYPE_STRUCT, .fields = kit_t_fields, .n_fields = 5};
static const sm_dataset kit_t_data = {.schema = &kit_t};

static const struct {
    const char *name, *sql;
} kit_views[] = {
    {"kinds", "SELECT Key, Day, Secs,\n"
              "  CASE WHEN App IN ('a', 'b') THEN 'X' WHEN App = 'c' THEN 'Y' END AS Kind\n"
              "FROM log WHERE Key <> '0' AND Secs > 0"},
    {"sums", "SELECT Key, sum(Secs) FILTER (WHERE Kind = 'X') AS Xs,\n"
             "  sum(Secs) FILTER (WHERE Kind = 'Y') AS Ys FROM kinds GROUP BY Key"},
    {"loop", "SELECT * FROM loop"},
    {"broken", "SELECT Key\nFROM log WHERE Kye = 1"},
};

static sm_status kit_table(void *ctx, const sm_str *parts, int32_t n, sm_arena *a, sm_relation *out,
                           sm_error *e)
{
    const sm_str name = parts[n - 1];
    for (int i = 0; i < SM_COUNT(kit_views); i++) {
        if (sm_str_is(name, kit_views[i].name)) {
            *out = (sm_relation){.view = {name, sm_str_of(kit_views[i].sql)}};
            return SM_OK;
        }
    }
    if (sm_str_is(name, "log") || sm_str_is(name, "t")) {
        const sm_dataset *const d = name.len == 1 ? &kit_t_data : &kit_log_data;
        *out = (sm_relation){.dataset = d, .table = d, .label = name};
        return SM_OK;
    }
    return sm_fail(e, SM_NAME, "no table \"%.*s\"", SM_STR_ARG(name));
}

/* Prints its arguments into the scan's label; `wrong` is an argument that it refuses. */
static void kit_print_arg(const sm_table_arg *arg, sm_buf *out)
{
    if (arg->name.len > 0) {
        sm_buf_printf(out, "%.*s=", SM_STR_ARG(arg->name));
    }
    sm_value_print(arg->value, out);
    for (int64_t i = 0; arg->item_offs && i < arg->value.as.nested.n; i++) {
        sm_buf_printf(out, "@%u", arg->item_offs[i]);
    }
}

static sm_status kit_function(void *ctx, sm_str name, const sm_table_arg *args, int32_t n,
                              sm_arena *a, sm_relation *out, sm_error *e)
{
    sm_buf label = {0};
    sm_buf_text(&label, name.len > 0 ? name : SM_STR("file"));
    for (int32_t i = 0; i < n; i++) {
        sm_buf_text(&label, SM_STR(" "));
        kit_print_arg(&args[i], &label);
        if (sm_str_is(args[i].name, "wrong")) {
            sm_buf_release(&label);
            sm_fail(e, SM_NAME, "no option \"wrong\"");
            e->byte = args[i].off_bytes;
            return SM_NAME;
        }
    }
    *out = (sm_relation){.dataset = &kit_log_data, .label = sm_arena_str(a, sm_buf_str(&label))};
    sm_buf_release(&label);
    return SM_OK;
}

static sm_status kit_variable(void *ctx, sm_str name, sm_arena *a, sm_value *out, sm_error *e)
{
    if (!sm_str_is(name, "month")) {
        return sm_fail(e, SM_NAME, "no variable \"%.*s\"", SM_STR_ARG(name));
    }
    *out = sm_value_str(SM_STR("2022-04"));
    return SM_OK;
}

static const sm_resolver kit_resolver = {
    .table = kit_table,
    .function = kit_function,
    .variable = kit_variable,
};

/** The plan of a query in the arena. */
static inline sm_status kit_plan(const char *text, sm_arena *a, sm_plan **out, sm_error *e)
{
    const sm_sql sql = {SM_STR("q.sql"), sm_str_of(text)};
    return sm_query_plan(&sql, &kit_resolver, a, out, e);
}

/** A statement of any kind in the arena. */
static inline sm_status kit_statement(const char *text, sm_arena *a, sm_statement **out,
                                      sm_error *e)
{
    const sm_sql sql = {SM_STR("q.sql"), sm_str_of(text)};
    return sm_query_statement(&sql, &kit_resolver, a, out, e);
}

#endif
