/* SPDX-License-Identifier: Apache-2.0
 *
 * flow/flow_unit.c: runs the tests of a pipeline's SQL: the SQL of a task over rows that are given,
 * against rows that are expected. flow_unit_yaml.c reads them.
 *
 * Names    The rows that are given are files of a folder in memory. Variables of places lead there,
 *          so that a source is read as it always is, from a file with a name and a date; a table is
 *          its file, read with the types of its columns. Nothing else is in that folder, so nothing
 *          of a lake can be read by its name.
 * Types    Those that the test says; else the columns of the SQL of the task that makes the table,
 *          which is planned for that, down to the sources; else those that the rows themselves
 *          have, as JSON.
 * Compare  What came and what is expected are read into the same types and printed as JSON; equal
 *          texts are equal rows. Rows are compared as a multiset, or one by one where their order
 *          counts. Columns that no expected row names are not looked at. */
#include <stdlib.h>

#include "base/text.h"
#include "base/time.h"
#include "flow/flow_int.h"

#define FOLDER    "memory://unit-tests"
#define DAY_US    86400000000
#define NO_SOURCE "19700101.json" /* the file of a source that has no rows */
#define NO_ROWS   "none.json"     /* of a table of which only the columns are wanted */
#define EXPECTED  "expected.json"

/* A test while it runs. */
typedef struct running {
    const sm_unit_tests *t;
    const smi_unit_test *test;
    const sm_exec_env *env;
    sm_arena *a;
    sm_run run; /* its pipeline, options and variables alone */
    sm_str root;
    sm_store *store;
    sm_names *names;
    sm_resolver inner;
    sm_map *types;  /* of tables, by name in lower case: sm_type, or `types` where not known */
    bool is_typing; /* the plan is made for its columns alone */
} running;

/* ---- what is given --------------------------------------------------------------------------- */

static const smi_unit_rows *given_of(const running *r, sm_str name)
{
    for (int32_t i = 0; i < r->test->n_given; i++) {
        if (sm_str_eq_nocase(r->test->given[i].name, name)) {
            return &r->test->given[i];
        }
    }
    return NULL;
}

/* "ROOT/NAME": the folder of a source or of a place, and the file of a table. */
static sm_str path_of(const running *r, sm_str name)
{
    return sm_arena_strf(r->a, "%.*s/%.*s", SM_STR_ARG(r->root), SM_STR_ARG(name));
}

static int32_t source_named(const sm_pipeline *p, sm_str name)
{
    int32_t i = 0;

    while (i < p->n_sources && !sm_str_eq_nocase(p->sources[i].name, name)) {
        i++;
    }
    return i < p->n_sources ? i : -1;
}

static sm_status put_file(const running *r, sm_str key, sm_str text, sm_error *e)
{
    SM_ASSERT(key.len > 0 && (text.data || text.len == 0));
    return sm_store_put(r->store, key, text.data ? text.data : "", text.len, SM_PUT_REPLACE, e);
}

/* Where the rows lie below the root: a source is a folder that is called as its variable, a table a
 * file. */
static sm_str key_of(const running *r, const smi_unit_rows *g)
{
    return source_named(r->t->p, g->name) >= 0
               ? sm_arena_strf(r->a, "%.*s/%.*s", SM_STR_ARG(g->name), SM_STR_ARG(g->file))
               : sm_arena_strf(r->a, "%.*s.json", SM_STR_ARG(g->name));
}

static sm_status put_files(const running *r, sm_error *e)
{
    const sm_pipeline *p = r->t->p;

    for (int32_t i = 0; i < r->test->n_given; i++) {
        SM_TRY(put_file(r, key_of(r, &r->test->given[i]), r->test->given[i].text, e));
    }
    for (int32_t i = 0; i < p->n_sources; i++) {
        if (!given_of(r, p->sources[i].name)) {
            SM_TRY(put_file(r,
                            sm_arena_strf(r->a, "%.*s/" NO_SOURCE, SM_STR_ARG(p->sources[i].name)),
                            (sm_str){0}, e));
        }
    }
    return put_file(r, SM_STR(NO_ROWS), (sm_str){0}, e);
}

/* ---- types ----------------------------------------------------------------------------------- */

static sm_resolver resolver_of(running *r);

/* The columns of a table, by the SQL of the task that makes it; NULL: they are not known. */
static const sm_type *task_types(running *r, int32_t task)
{
    SM_ASSERT(task >= 0 && task < r->t->p->n_tasks);
    const smi_flow_task *t = &r->t->p->tasks[task];
    const bool was_typing = r->is_typing;
    const sm_resolver resolver = resolver_of(r);
    sm_plan *plan = NULL;
    sm_error unused = {0};

    r->is_typing = true;
    const sm_status st = t->sql.text.len > 0
                             ? sm_query_plan(&t->sql, &resolver, r->a, &plan, &unused)
                             : SM_NOT_FOUND;
    r->is_typing = was_typing;
    if (st != SM_OK) {
        return NULL;
    }
    return t->kind == SM_TASK_VIEW ? plan->root->schema : sm_type_widen(r->a, plan->root->schema);
}

static const sm_type *types_of(running *r, sm_str name)
{
    const smi_unit_rows *g = given_of(r, name);
    void **known = sm_map_at(r->types, sm_text_lower(name, r->a));
    const int32_t task = smi_flow_task_find(r->t->p, name);

    if (!*known) {
        *known = r->types; /* so that a table that reads itself ends here */
        const sm_type *found = g && g->types ? g->types : task >= 0 ? task_types(r, task) : NULL;
        *known = found ? (void *)found : r->types;
    }
    return *known == r->types ? NULL : *known;
}

/* ---- names ----------------------------------------------------------------------------------- */

/* A file of JSON with these columns; NULL: as they are found. */
static sm_status read_file(const running *r, sm_str path, const sm_type *columns, sm_arena *a,
                           sm_relation *out, sm_error *e)
{
    const sm_table_arg args[] = {
        {.value = sm_value_str(path)},
        {.name = SM_STR("columns"),
         .value = columns ? sm_columns_value(columns, a) : sm_value_null(&sm_type_null)},
    };

    return r->inner.function(r->inner.ctx, SM_STR("read_json"), args, columns ? 2 : 1, a, out, e);
}

static sm_status fail_not_given(const running *r, const char *what, sm_str name, sm_error *e)
{
    const sm_status st =
        sm_fail(e, SM_NAME, "the SQL reads %s %.*s, of which the test gives no rows", what,
                SM_STR_ARG(name));
    sm_error_todo(e, "Add it to given: input: %.*s, with rows: [] where it has none.",
                  SM_STR_ARG(name));
    SM_ASSERT(r->test->task >= 0);
    return st;
}

/* sm_resolver.table */
static sm_status find_table(void *ctx, const sm_str *parts, int32_t n_parts, sm_arena *a,
                            sm_relation *out, sm_error *e)
{
    running *r = ctx;
    SM_ASSERT(n_parts > 0);
    sm_str name = parts[0];

    for (int32_t i = 1; i < n_parts; i++) {
        name = sm_arena_strf(a, "%.*s.%.*s", SM_STR_ARG(name), SM_STR_ARG(parts[i]));
    }
    const smi_unit_rows *g = given_of(r, name);
    const int32_t task = smi_flow_task_find(r->t->p, name);
    if (!g && task >= 0 && r->t->p->tasks[task].kind == SM_TASK_VIEW) {
        return r->inner.table(r->inner.ctx, parts, n_parts, a, out, e);
    }
    if (!g && !r->is_typing) {
        return fail_not_given(r, "table", name, e);
    }
    const sm_type *types = types_of(r, name);
    if (!g && !types) {
        return sm_fail(e, SM_NAME, "the columns of %.*s are not known", SM_STR_ARG(name));
    }
    return read_file(r, path_of(r, g ? key_of(r, g) : SM_STR(NO_ROWS)), types, a, out, e);
}

/* sm_resolver.table_at */
static sm_status find_table_at(void *ctx, const sm_str *parts, int32_t n_parts,
                               const sm_table_arg *at, sm_arena *a, sm_relation *out, sm_error *e)
{
    return find_table(ctx, parts, n_parts, a, out, e); /* what is given is of every version */
}

/* The source whose folder a table function reads; −1: it reads something else. */
static int32_t source_read(const running *r, const sm_table_arg *args, int32_t n_args)
{
    const sm_pipeline *p = r->t->p;
    const sm_value *v = n_args > 0 ? &args[0].value : NULL;
    const bool is_text = v && v->type->id == SM_TYPE_STRING && !v->is_null;
    int32_t i = 0;

    while (is_text && i < p->n_sources &&
           !sm_str_eq(v->as.s, r->run.vars[p->sources[i].var].as.s)) {
        i++;
    }
    return is_text && i < p->n_sources ? i : -1;
}

/* The columns of a source do not depend on what its files are called. */
static int32_t without_match(const sm_table_arg *args, int32_t n_args, sm_table_arg *out)
{
    int32_t n = 0;

    for (int32_t i = 0; i < n_args; i++) {
        if (!sm_str_is(args[i].name, "match")) {
            out[n++] = args[i];
        }
    }
    return n;
}

/* sm_resolver.function */
static sm_status find_function(void *ctx, sm_str name, const sm_table_arg *args, int32_t n_args,
                               sm_arena *a, sm_relation *out, sm_error *e)
{
    running *r = ctx;
    const int32_t source = source_read(r, args, n_args);
    const sm_str of = source >= 0 ? r->t->p->sources[source].name : (sm_str){0};

    if (source >= 0 && r->is_typing) {
        sm_table_arg *others = SM_NEW_ARRAY(a, sm_table_arg, n_args);
        n_args = without_match(args, n_args, others);
        return r->inner.function(r->inner.ctx, name, others, n_args, a, out, e);
    }
    if (source >= 0 && !given_of(r, of)) {
        return fail_not_given(r, "source", of, e);
    }
    const sm_status st = r->inner.function(r->inner.ctx, name, args, n_args, a, out, e);
    if (source >= 0 && st == SM_NOT_FOUND) {
        sm_error_todo(e, "Say what the file of the rows is called: input: %.*s, as: NAME.",
                      SM_STR_ARG(of));
    }
    return st;
}

/* sm_resolver.variable */
static sm_status find_variable(void *ctx, sm_str name, sm_arena *a, sm_value *out, sm_error *e)
{
    const sm_resolver *inner = &((const running *)ctx)->inner;

    return inner->variable(inner->ctx, name, a, out, e);
}

static sm_resolver resolver_of(running *r)
{
    return (sm_resolver){.ctx = r,
                         .table = find_table,
                         .table_at = find_table_at,
                         .function = find_function,
                         .variable = find_variable};
}

/* ---- variables ------------------------------------------------------------------------------- */

/* The test's variables; those of places lead to the folder in memory, whatever the file says. */
static sm_status bind_variables(running *r, sm_error *e)
{
    const sm_pipeline *p = r->t->p;
    sm_pair *vars = SM_NEW_ARRAY(r->a, sm_pair, r->test->n_vars + p->n_vars + 1);
    int32_t n = 0, day = (int32_t)(sm_now_us() / DAY_US);

    for (int32_t i = 0; i < r->test->n_vars; i++) {
        vars[n++] = r->test->vars[i];
    }
    for (int32_t i = 0; i < p->n_vars; i++) {
        if (p->vars[i].type == SMI_VAR_URI) {
            vars[n++] = (sm_pair){p->vars[i].name, path_of(r, p->vars[i].name)};
        }
    }
    if (r->test->date.len > 0) {
        SM_ENSURE(sm_parse_date(r->test->date, &day)); /* looked at when it was read */
    }
    r->run =
        (sm_run){.p = p,
                 .own_opts = {.vars = vars,
                              .n_vars = n,
                              .interval = {.start_us = day * DAY_US, .end_us = (day + 1) * DAY_US}},
                 .arena = r->a};
    r->run.opts = &r->run.own_opts;
    return sm_yaml_at(&r->t->yaml, r->test->at, smi_flow_variables_bind(&r->run, e), e);
}

static void set_names(running *r)
{
    const sm_pipeline *p = r->t->p;
    SM_ASSERT(r->run.vars || p->n_vars == 0);

    r->names = sm_names_new(r->env->stores, path_of(r, SM_STR("lake")), r->env->budget);
    for (int32_t i = 0; i < p->n_vars; i++) {
        sm_names_set_variable(r->names, p->vars[i].name, r->run.vars[i]);
    }
    for (int32_t i = 0; i < p->n_tasks; i++) {
        if (p->tasks[i].kind == SM_TASK_VIEW) {
            sm_names_set_view(r->names, p->tasks[i].name, p->tasks[i].sql);
        }
    }
    r->inner = sm_names_resolver(r->names);
}

/* ---- keys ------------------------------------------------------------------------------------ */

/* Each key of the rows must be a column, else a mistake in it would be a NULL. */
static sm_status check_keys(const running *r, const smi_unit_rows *rows, const sm_type *columns,
                            const char *what, sm_error *e)
{
    sm_str *names = SM_NEW_ARRAY(r->a, sm_str, columns->n_fields + 1);

    for (int32_t i = 0; i < columns->n_fields; i++) {
        names[i] = sm_arena_str(r->a, columns->fields[i].name);
    }
    for (int32_t i = 0; i < rows->n_keys; i++) {
        int32_t k = 0;
        while (k < columns->n_fields && !sm_str_eq(columns->fields[k].name, rows->keys[i])) {
            k++;
        }
        if (k == columns->n_fields) {
            return sm_yaml_fail_word(&r->t->yaml, rows->key_places[i], what, rows->keys[i], names,
                                     columns->n_fields, e);
        }
    }
    return SM_OK;
}

static sm_status check_given(running *r, sm_error *e)
{
    for (int32_t i = 0; i < r->test->n_given; i++) {
        const smi_unit_rows *g = &r->test->given[i];
        if (source_named(r->t->p, g->name) >= 0) {
            continue; /* its keys are whatever the source has */
        }
        const sm_type *types = types_of(r, g->name);
        if (types) {
            SM_TRY(check_keys(r, g, types,
                              sm_arena_printf(r->a, "%.*s has no column", SM_STR_ARG(g->name)), e));
        } else if (g->n_rows == 0 && g->n_keys == 0) {
            const sm_status st =
                sm_fail(e, SM_INVALID, "the columns of %.*s are not known", SM_STR_ARG(g->name));
            sm_error_todo(e, "Say them: columns: {name: TYPE}.");
            return sm_yaml_at(&r->t->yaml, g->at, st, e);
        }
    }
    return SM_OK;
}

/* ---- rows ------------------------------------------------------------------------------------ */

/* Rows as texts. */
typedef struct texts {
    sm_str *items;
    int64_t n, cap;
} texts;

/* columns: which of the plan's are wanted, in their order. */
static sm_status collect(const running *r, const sm_plan *plan, const int32_t *columns, int32_t n,
                         texts *out, sm_error *e)
{
    const sm_type *schema = plan->root->schema;
    sm_batch **batches = NULL;
    int64_t n_batches = 0;

    SM_ASSERT(n <= schema->n_fields);
    SM_TRY(sm_exec_collect(plan, r->env, r->a, &batches, &n_batches, NULL, e));
    for (int64_t i = 0; i < n_batches; i++) {
        for (int64_t row = 0; row < batches[i]->n_rows; row++) {
            sm_buf text = {0};
            sm_json_writer w = {.out = &text};
            sm_json_begin_object(&w);
            for (int32_t c = 0; c < n; c++) {
                sm_json_key(&w, schema->fields[columns[c]].name);
                sm_column_json(&batches[i]->columns[columns[c]], row, &w);
            }
            sm_json_end_object(&w);
            out->items = sm_arena_grow(r->a, out->items, out->n, &out->cap, sizeof(*out->items));
            out->items[out->n++] = sm_arena_take(r->a, &text);
        }
        sm_batch_release(batches[i]);
    }
    return SM_OK;
}

/* The columns that are compared: those that the expected rows name, or all. */
static int32_t *compared_columns(const running *r, const sm_type *schema, int32_t *n)
{
    const smi_unit_rows *x = &r->test->expected;
    SM_ASSERT(schema->id == SM_TYPE_STRUCT);
    int32_t *columns = SM_NEW_ARRAY(r->a, int32_t, schema->n_fields + 1);
    const bool is_all = x->n_keys <= 0;

    *n = is_all ? schema->n_fields : 0;
    for (int32_t i = 0; is_all && i < schema->n_fields; i++) {
        columns[i] = i;
    }
    for (int32_t k = 0; k < x->n_keys; k++) {
        for (int32_t i = 0; i < schema->n_fields; i++) {
            if (sm_str_eq(schema->fields[i].name, x->keys[k])) {
                columns[(*n)++] = i;
            }
        }
    }
    SM_ASSERT(*n <= schema->n_fields);
    return columns;
}

/* The expected rows, read into the types of what comes. */
static sm_status read_expected(running *r, const sm_type *schema, const int32_t *columns, int32_t n,
                               texts *out, sm_error *e)
{
    sm_field *fields = SM_NEW_ARRAY(r->a, sm_field, n);
    int32_t *all = SM_NEW_ARRAY(r->a, int32_t, n);
    SM_ASSERT(n > 0 || schema->n_fields == 0);
    sm_relation rows = {0};
    sm_plan *plan = NULL;

    for (int32_t i = 0; i < n; i++) {
        fields[i] = schema->fields[columns[i]];
        all[i] = i;
        if (fields[i].type->id == SM_TYPE_NULL) {
            fields[i].type = &sm_type_string; /* any: all of them are NULL */
        }
    }
    SM_TRY(put_file(r, SM_STR(EXPECTED), r->test->expected.text, e));
    SM_TRY(read_file(r, path_of(r, SM_STR(EXPECTED)), sm_type_struct(r->a, fields, n), r->a, &rows,
                     e));
    SM_TRY(sm_plan_finish(sm_plan_scan(&rows, false, r->a), r->a, &plan, e));
    return collect(r, plan, all, n, out, e);
}

/* ---- comparing ------------------------------------------------------------------------------- */

static int compare_texts(const void *a, const void *b)
{
    return sm_str_cmp(*(const sm_str *)a, *(const sm_str *)b);
}

/* Both in order: what only one of them has. */
static void compare_sorted(texts *came, texts *expected, sm_arena *a, sm_unit_result *out)
{
    sm_str *missing = SM_NEW_ARRAY(a, sm_str, expected->n + 1);
    sm_str *unexpected = SM_NEW_ARRAY(a, sm_str, came->n + 1);

    if (came->n > 0) {
        qsort(came->items, (size_t)came->n, sizeof(sm_str), compare_texts);
    }
    if (expected->n > 0) {
        qsort(expected->items, (size_t)expected->n, sizeof(sm_str), compare_texts);
    }
    for (int64_t i = 0, k = 0; i < came->n || k < expected->n;) {
        const int order = i == came->n       ? 1
                          : k == expected->n ? -1
                                             : sm_str_cmp(came->items[i], expected->items[k]);
        if (order < 0) {
            unexpected[out->n_unexpected++] = came->items[i];
        } else if (order > 0) {
            missing[out->n_missing++] = expected->items[k];
        }
        i += order <= 0;
        k += order >= 0;
    }
    SM_ASSERT(came->n - out->n_unexpected == expected->n - out->n_missing); /* the same rows */
    out->missing = missing;
    out->unexpected = unexpected;
}

/* Row by row: what is not in its place. */
static void compare_ordered(const texts *came, const texts *expected, sm_arena *a,
                            sm_unit_result *out)
{
    sm_str *missing = SM_NEW_ARRAY(a, sm_str, expected->n + 1);
    sm_str *unexpected = SM_NEW_ARRAY(a, sm_str, came->n + 1);

    for (int64_t i = 0; i < came->n || i < expected->n; i++) {
        const bool has = i < came->n, wants = i < expected->n;
        if (has && wants && sm_str_eq(came->items[i], expected->items[i])) {
            continue;
        }
        if (wants) {
            missing[out->n_missing++] = expected->items[i];
        }
        if (has) {
            unexpected[out->n_unexpected++] = came->items[i];
        }
    }
    out->missing = missing;
    out->unexpected = unexpected;
}

/* ---- a test ---------------------------------------------------------------------------------- */

/* An error about a file in memory says nothing to the user: its place is that of the rows in the
 * test, or of the test. */
static sm_status at_test(const running *r, sm_status st, sm_error *e)
{
    const sm_str object = sm_arena_str(r->a, sm_str_of(e->object));
    sm_yaml_place at = r->test->at;
    sm_str what = {0};
    SM_ASSERT(st == SM_OK || !sm_status_is_answer(st));

    if (st == SM_OK || !sm_str_starts(object, SM_STR(FOLDER))) {
        return sm_yaml_at(&r->t->yaml, at, st, e);
    }
    for (int32_t i = 0; i < r->test->n_given; i++) {
        const smi_unit_rows *g = &r->test->given[i];
        if (sm_str_eq(object, path_of(r, key_of(r, g)))) {
            what = sm_arena_strf(r->a, "input %.*s", SM_STR_ARG(g->name));
            at = g->at;
        }
    }
    if (sm_str_ends(object, SM_STR("/" EXPECTED))) {
        what = SM_STR("expect");
        at = r->test->expected.at;
    }
    if (what.len > 0 && e->line > 0) {
        what = sm_arena_strf(r->a, "row %d of %s", (int)e->line, what.data);
    }
    e->object[0] = '\0';
    e->line = 0;
    e->byte = -1;
    sm_error_todo(e, "Correct the rows of the test.");
    st = sm_yaml_at(&r->t->yaml, at, st, e);
    return what.len > 0 ? sm_within(e, st, "%s", what.data) : st;
}

static sm_status run_test(running *r, sm_unit_result *out, sm_error *e)
{
    const smi_unit_test *test = r->test;
    const smi_flow_task *task = &r->t->p->tasks[test->task];
    texts came = {0}, expected = {0};
    sm_plan *plan = NULL;
    int32_t n = 0;

    SM_TRY(put_files(r, e));
    SM_TRY(check_given(r, e));
    const sm_resolver resolver = resolver_of(r);
    SM_TRY(at_test(r, sm_query_plan(&task->sql, &resolver, r->a, &plan, e), e));
    const sm_type *schema = plan->root->schema;
    SM_TRY(check_keys(r, &test->expected, schema, "the SQL gives no column", e));
    const int32_t *columns = compared_columns(r, schema, &n);
    SM_TRY(at_test(r, collect(r, plan, columns, n, &came, e), e));
    SM_TRY(at_test(r, read_expected(r, schema, columns, n, &expected, e), e));
    *out = (sm_unit_result){.n_rows = came.n, .n_expected = expected.n};
    if (test->is_ordered) {
        compare_ordered(&came, &expected, r->a, out);
    } else {
        compare_sorted(&came, &expected, r->a, out);
    }
    return SM_OK;
}

sm_status sm_unit_test_run(const sm_unit_tests *t, int32_t i, const sm_exec_env *env, sm_arena *a,
                           sm_unit_result *out, sm_error *e)
{
    running r = {.t = t, .test = &t->tests[i], .env = env, .a = a, .types = sm_map_new(a)};

    SM_ASSERT(i >= 0 && i < t->n);
    r.root = sm_arena_strf(a, FOLDER "/%d", (int)i);
    sm_status st = bind_variables(&r, e);
    if (st == SM_OK) {
        set_names(&r);
        st = sm_store_open(env->stores, r.root, &r.store, e);
    }
    st = st == SM_OK ? run_test(&r, out, e) : st;
    sm_store_release(r.store);
    if (r.names) {
        sm_names_free(r.names);
    }
    return sm_within(e, st, "test \"%.*s\"", SM_STR_ARG(r.test->name));
}

int32_t sm_unit_tests_n(const sm_unit_tests *t)
{
    return t->n;
}

sm_str sm_unit_test_name(const sm_unit_tests *t, int32_t i)
{
    SM_ASSERT(i >= 0 && i < t->n);
    return t->tests[i].name;
}

sm_str sm_unit_test_model(const sm_unit_tests *t, int32_t i)
{
    SM_ASSERT(i >= 0 && i < t->n);
    return t->p->tasks[t->tests[i].task].name;
}
