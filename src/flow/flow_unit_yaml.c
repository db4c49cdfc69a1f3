/* SPDX-License-Identifier: Apache-2.0
 *
 * flow/flow_unit_yaml.c: reads a file of tests of a pipeline's SQL. flow_unit.c runs them.
 *
 * Rows     A row is a map of YAML, or a file beside the tests has them as NDJSON. Both become text,
 *          which is read as JSON with the types that the columns have: a plain 5 is a number and
 *          "5" a text, null and an empty value are NULL.
 * Source   dbt 1.10, reference/resource-properties/unit-tests: keys and meaning are dbt's, where
 *          there is such a thing */
#include "base/json_write.h"
#include "base/text.h"
#include "base/time.h"
#include "base/yaml_write.h"
#include "flow/flow_int.h"

typedef struct reading {
    sm_unit_tests *t;
    const sm_yaml_doc *d;
    sm_stores *stores;
    sm_str folder; /* of the file */
    sm_arena *a;
} reading;

/* ---- rows ------------------------------------------------------------------------------------ */

static bool is_null(const sm_yaml *n)
{
    return n->type == SM_YAML_TEXT && n->is_plain &&
           (n->text.len == 0 || sm_str_is(n->text, "null") || sm_str_is(n->text, "~"));
}

/* A value of YAML as JSON; the depth of a document is bounded. */
static sm_status put_json(const reading *r, const sm_yaml *n, sm_json_writer *w, sm_error *e)
{
    switch (n->type) {
    case SM_YAML_MAP:
        sm_json_begin_object(w);
        for (const sm_yaml *x = n->child; x; x = x->next) {
            sm_json_key(w, x->key->text);
            SM_TRY(put_json(r, x, w, e));
        }
        sm_json_end_object(w);
        return SM_OK;
    case SM_YAML_LIST:
        sm_json_begin_array(w);
        for (const sm_yaml *x = n->child; x; x = x->next) {
            SM_TRY(put_json(r, x, w, e));
        }
        sm_json_end_array(w);
        return SM_OK;
    case SM_YAML_TEXT: {
        const bool is_word =
            sm_yaml_is_number(n->text) || sm_str_is(n->text, "true") || sm_str_is(n->text, "false");
        if (is_null(n)) {
            sm_json_put_null(w);
        } else if (n->is_plain && is_word) {
            sm_json_put_raw(w, n->text);
        } else {
            sm_json_put_text(w, n->text);
        }
        return SM_OK;
    }
    default:
        return sm_yaml_at(r->d, n->at, sm_fail(e, SM_SYNTAX, "an alias cannot be a value"), e);
    }
}

/* Adds the keys of a row to those of the rows before it. */
static void note_keys(const reading *r, const sm_yaml *row, smi_unit_rows *out, sm_str *keys,
                      sm_yaml_place *places)
{
    for (const sm_yaml *x = row->child; x; x = x->next) {
        int32_t k = 0;
        while (k < out->n_keys && !sm_str_eq(keys[k], x->key->text)) {
            k++;
        }
        if (k == out->n_keys) {
            keys[out->n_keys] = sm_arena_str(r->a, x->key->text);
            places[out->n_keys++] = x->key->at;
        }
    }
}

static sm_status read_row_list(const reading *r, const sm_yaml *list, smi_unit_rows *out,
                               sm_error *e)
{
    sm_buf text = {0};
    sm_json_writer w = {.out = &text};
    sm_status st = SM_OK;
    int64_t n_cells = 0;

    for (const sm_yaml *x = list->child; x && st == SM_OK; x = x->next) {
        st = sm_yaml_want(r->d, x, x->at, SM_YAML_MAP, "a row", e);
        n_cells += x->n_children;
    }
    sm_str *keys = SM_NEW_ARRAY(r->a, sm_str, n_cells + 1);
    sm_yaml_place *places = SM_NEW_ARRAY(r->a, sm_yaml_place, n_cells + 1);
    for (const sm_yaml *x = list->child; x && st == SM_OK; x = x->next) {
        note_keys(r, x, out, keys, places);
        st = put_json(r, x, &w, e);
        if (st == SM_OK) {
            sm_json_end_line(&w);
            out->n_rows++;
        }
    }
    SM_ASSERT(out->n_keys <= n_cells);
    out->keys = keys;
    out->key_places = places;
    out->text = sm_arena_take(r->a, &text);
    return st;
}

static sm_status read_row_file(const reading *r, sm_str name, sm_yaml_place at, smi_unit_rows *out,
                               sm_error *e)
{
    sm_store *store = NULL;
    sm_buf text = {0};

    SM_TRY(sm_store_open(r->stores, r->folder, &store, e));
    const sm_status st = sm_store_get(store, name, &text, e);
    sm_store_release(store);
    out->text = sm_arena_take(r->a, &text);
    out->n_keys = -1;
    return sm_yaml_at(r->d, at, st, e);
}

/* columns: {a: BIGINT} */
static sm_status read_types(const reading *r, const sm_yaml *map, smi_unit_rows *out, sm_error *e)
{
    sm_field *fields = SM_NEW_ARRAY(r->a, sm_field, map->n_children + 1);
    int32_t n = 0;

    SM_TRY(sm_yaml_want(r->d, map, map->at, SM_YAML_MAP, "columns", e));
    for (const sm_yaml *x = map->child; x; x = x->next, n++) {
        sm_str type = {0};
        SM_TRY(sm_yaml_text(r->d, x, "the type of a column", &type, e));
        fields[n] = (sm_field){.name = sm_arena_str(r->a, x->key->text), .is_nullable = true};
        const sm_status st = sm_type_parse(type, r->a, &fields[n].type, e);
        if (st != SM_OK) {
            e->line = 0; /* of the type's own text */
            e->byte = -1;
            return sm_yaml_at(r->d, x->at, st, e);
        }
    }
    out->types = n > 0 ? sm_type_struct(r->a, fields, n) : NULL;
    return SM_OK;
}

/* `rows` of a list, or `file`. */
static sm_status read_rows(const reading *r, const sm_yaml_fields *f, int rows, int file,
                           const char *what, smi_unit_rows *out, sm_error *e)
{
    sm_str name = {0};
    SM_ASSERT(out->n_rows == 0 && out->n_keys == 0);

    out->at = f->at;
    if (f->has[rows] == f->has[file]) {
        return sm_yaml_at(r->d, f->at, sm_fail(e, SM_SYNTAX, "%s has either rows or file", what),
                          e);
    }
    if (f->has[file]) {
        SM_TRY(sm_yaml_fields_text(r->d, f, file, what, true, &name, e));
        return read_row_file(r, name, f->values[file]->at, out, e);
    }
    SM_TRY(sm_yaml_want(r->d, f->values[rows], f->places[rows], SM_YAML_LIST, "rows", e));
    return read_row_list(r, f->values[rows], out, e);
}

/* ---- a test ---------------------------------------------------------------------------------- */

/* ref('silver.orders') and source('raw', 'orders') as dbt has them; else the name as it is. */
static sm_str table_name(const reading *r, sm_str text)
{
    sm_buf out = {0};

    if (!sm_str_ends(text, SM_STR(")"))) {
        return sm_arena_str(r->a, text);
    }
    for (size_t i = 0; i < text.len; i++) {
        const char *quote = text.data + i;
        const char *end =
            *quote == '\'' || *quote == '"' ? memchr(quote + 1, *quote, text.len - i - 1) : NULL;
        if (end) {
            sm_buf_text(&out, out.len > 0 ? SM_STR(".") : SM_STR(""));
            sm_buf_text(&out, (sm_str){quote + 1, (size_t)(end - quote - 1)});
            i = (size_t)(end - text.data);
        }
    }
    return sm_arena_take(r->a, &out);
}

static sm_status read_given(const reading *r, const sm_yaml *map, smi_unit_test *test, sm_error *e)
{
    static const char *const keys[] = {"input", "rows", "file", "columns", "as", NULL};
    smi_unit_rows *g = &test->given[test->n_given];
    sm_yaml_fields f;
    SM_ASSERT(test->given);
    sm_str input = {0}, as = SM_STR("20000101.json");

    SM_TRY(sm_yaml_fields_read(r->d, map, "an input", keys, &f, e));
    SM_TRY(sm_yaml_fields_text(r->d, &f, 0, "an input", true, &input, e));
    SM_TRY(sm_yaml_fields_text(r->d, &f, 4, "an input", false, &as, e));
    g->name = table_name(r, input);
    g->file = sm_arena_str(r->a, as);
    for (int32_t i = 0; i < test->n_given; i++) {
        const bool is_same = sm_str_eq_nocase(test->given[i].name, g->name) &&
                             sm_str_eq(test->given[i].file, g->file);
        if (is_same) {
            return sm_yaml_at(
                r->d, f.at, sm_fail(e, SM_EXISTS, "input %.*s is given twice", SM_STR_ARG(g->name)),
                e);
        }
    }
    SM_TRY(f.has[3] ? read_types(r, f.values[3], g, e) : SM_OK);
    SM_TRY(read_rows(r, &f, 1, 2, "an input", g, e));
    test->n_given++;
    return SM_OK;
}

static sm_status read_expected(const reading *r, const sm_yaml *map, smi_unit_test *test,
                               sm_error *e)
{
    static const char *const keys[] = {"rows", "file", "ordered", NULL};
    sm_str ordered = SM_STR("false");
    sm_yaml_fields f;

    SM_TRY(sm_yaml_fields_read(r->d, map, "expect", keys, &f, e));
    SM_TRY(sm_yaml_fields_text(r->d, &f, 2, "expect", false, &ordered, e));
    test->is_ordered = sm_str_is(ordered, "true");
    if (!test->is_ordered && !sm_str_is(ordered, "false")) {
        return sm_yaml_at(
            r->d, f.values[2]->at,
            sm_fail(e, SM_INVALID, "ordered is true or false, not \"%.*s\"", SM_STR_ARG(ordered)),
            e);
    }
    return read_rows(r, &f, 0, 1, "expect", &test->expected, e);
}

/* overrides: {vars: {month: 2022-04}, date: 2022-04-30} */
static sm_status read_overrides(const reading *r, const sm_yaml *map, smi_unit_test *test,
                                sm_error *e)
{
    static const char *const keys[] = {"vars", "date", NULL};
    int32_t day = 0;
    sm_yaml_fields f;

    SM_TRY(sm_yaml_fields_read(r->d, map, "overrides", keys, &f, e));
    SM_TRY(sm_yaml_fields_text(r->d, &f, 1, "overrides", false, &test->date, e));
    if (test->date.len > 0 && !sm_parse_date(test->date, &day)) {
        return sm_yaml_at(r->d, f.values[1]->at,
                          sm_fail(e, SM_INVALID, "date \"%.*s\" is no date, like 2022-04-30",
                                  SM_STR_ARG(test->date)),
                          e);
    }
    if (!f.has[0]) {
        return SM_OK;
    }
    SM_TRY(sm_yaml_want(r->d, f.values[0], f.places[0], SM_YAML_MAP, "vars", e));
    sm_pair *vars = SM_NEW_ARRAY(r->a, sm_pair, f.values[0]->n_children + 1);
    for (const sm_yaml *x = f.values[0]->child; x; x = x->next) {
        sm_pair *v = &vars[test->n_vars++];
        v->key = sm_arena_str(r->a, x->key->text);
        SM_TRY(sm_yaml_text(r->d, x, "the value of a variable", &v->value, e));
    }
    test->vars = vars;
    return SM_OK;
}

/* The task whose SQL is tested. */
static sm_status find_model(const reading *r, sm_str name, sm_yaml_place at, int32_t *out,
                            sm_error *e)
{
    const sm_pipeline *p = r->t->p;
    sm_str *names = SM_NEW_ARRAY(r->a, sm_str, p->n_tasks);
    int32_t n = 0;

    for (int32_t i = 0; i < p->n_tasks; i++) {
        if (p->tasks[i].sql.text.len > 0) {
            if (sm_str_eq_nocase(p->tasks[i].name, name)) {
                *out = i;
                return SM_OK;
            }
            names[n++] = p->tasks[i].name;
        }
    }
    return sm_yaml_fail_word(r->d, at, "the pipeline has no task with SQL called", name, names, n,
                             e);
}

static sm_status read_test(const reading *r, const sm_yaml *map, smi_unit_test *test, sm_error *e)
{
    static const char *const keys[] = {"name",   "model",     "given", "expect", "description",
                                       "config", "overrides", "meta",  "tags",   NULL};
    enum { NAME, MODEL, GIVEN, EXPECT, OVERRIDES = 6 };
    sm_str model = {0};
    sm_yaml_fields f;

    SM_TRY(sm_yaml_fields_read(r->d, map, "a unit test", keys, &f, e));
    test->at = f.at;
    SM_TRY(sm_yaml_fields_text(r->d, &f, NAME, "a unit test", true, &test->name, e));
    SM_TRY(sm_yaml_fields_text(r->d, &f, MODEL, "a unit test", true, &model, e));
    SM_TRY(find_model(r, table_name(r, model), f.values[MODEL]->at, &test->task, e));
    if (!f.has[EXPECT]) {
        return sm_yaml_at(r->d, f.at, sm_fail(e, SM_SYNTAX, "a unit test has no expect"), e);
    }
    SM_TRY(read_expected(r, f.values[EXPECT], test, e));
    SM_TRY(f.has[OVERRIDES] ? read_overrides(r, f.values[OVERRIDES], test, e) : SM_OK);
    if (!f.has[GIVEN]) {
        return SM_OK;
    }
    SM_TRY(sm_yaml_want(r->d, f.values[GIVEN], f.places[GIVEN], SM_YAML_LIST, "given", e));
    test->given = SM_NEW_ARRAY(r->a, smi_unit_rows, f.values[GIVEN]->n_children + 1);
    for (const sm_yaml *x = f.values[GIVEN]->child; x; x = x->next) {
        SM_TRY(read_given(r, x, test, e));
    }
    return SM_OK;
}

static sm_status read_tests(reading *r, sm_error *e)
{
    static const char *const keys[] = {"unit_tests", "version", NULL};
    sm_unit_tests *t = r->t;
    sm_yaml_fields f;

    SM_TRY(sm_yaml_fields_read(r->d, r->d->root, "a file of tests", keys, &f, e));
    SM_TRY(sm_yaml_want(r->d, f.values[0], f.at, SM_YAML_LIST, "unit_tests", e));
    t->tests = SM_NEW_ARRAY(r->a, smi_unit_test, f.values[0]->n_children + 1);
    for (const sm_yaml *x = f.values[0]->child; x; x = x->next) {
        smi_unit_test *test = &t->tests[t->n];
        SM_TRY(read_test(r, x, test, e));
        for (int32_t i = 0; i < t->n; i++) {
            if (sm_str_eq(t->tests[i].name, test->name)) {
                return sm_yaml_at(
                    r->d, test->at,
                    sm_fail(e, SM_EXISTS, "two tests are called \"%.*s\"", SM_STR_ARG(test->name)),
                    e);
            }
        }
        t->n++;
    }
    return SM_OK;
}

sm_status sm_unit_tests_read(const sm_pipeline *p, sm_stores *stores, sm_str name, sm_str text,
                             sm_arena *a, sm_unit_tests **out, sm_error *e)
{
    sm_unit_tests *t = SM_NEW(a, sm_unit_tests);
    reading r = {.t = t, .d = &t->yaml, .stores = stores, .a = a};
    sm_str base = {0};

    *t = (sm_unit_tests){.p = p, .yaml = {.name = sm_arena_str(a, name), .arena = a}};
    sm_uri_split(t->yaml.name, &r.folder, &base);
    SM_TRY(sm_yaml_parse(&t->yaml, text, "the file of tests", e));
    SM_TRY(read_tests(&r, e));
    SM_ASSERT(t->n >= 0 && (t->n == 0 || t->tests));
    *out = t;
    return SM_OK;
}
