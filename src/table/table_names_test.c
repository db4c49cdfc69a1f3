/* SPDX-License-Identifier: Apache-2.0
 *
 * table/table_names_test.c: what names and table functions become, and what is said where there is
 * none. The resolver is asked as the binder asks it. */
#include "orders.h"

static const order rows_a[] = {{"2022-04-01", "anna", 5}, {"2022-04-02", "bert", 6}};
static const order rows_b[] = {{"2022-04-03", "carl", 7}};
#define TEXT_A "2022-04-01 anna 5;2022-04-02 bert 6;"
#define TEXT_B "2022-04-03 carl 7;"

static void make_table(kit *k, const char *name)
{
    sm_error e = {0};
    const sm_write w = {.uri = kit_uri(k, name)};
    assert_ok(write_orders(k, &w, rows_a, 2, NULL, &e), &e);
}

static sm_names *lake_of(kit *k)
{
    return sm_names_new(test_stores, sm_str_of(k->at.path), k->budget);
}

/* ---- tables ---------------------------------------------------------------------------------- */

static void test_uri(void **state)
{
    static const struct {
        const char *lake, *table;
        const char *uri; /* NULL: SM_NAME */
    } rows[] = {
        {"/lake", "bronze.log", "/lake/bronze/log"},
        {"/lake//", "bronze.log", "/lake/bronze/log"},
        {"memory://b", "bronze.log", "memory://b/bronze/log"},
        {"/", "a.b", "/a/b"},
        {"/lake", "log", NULL},
        {"/lake", "a.b.c", NULL},
        {"/lake", ".b", NULL},
        {"/lake", "a.", NULL},
        {"/lake", "a/x.b", NULL},
        {"/lake", "a...", NULL},
        {"", "a.b", NULL},
    };
    kit k;
    kit_init(&k);
    for (int i = 0; i < SM_COUNT(rows); i++) {
        sm_error e = {0};
        sm_str uri = {0};
        sm_names *n = sm_names_new(test_stores, sm_str_of(rows[i].lake), k.budget);
        assert_status(sm_names_uri(n, sm_str_of(rows[i].table), k.arena, &uri, &e),
                      rows[i].uri ? SM_OK : SM_NAME, &e);
        if (rows[i].uri) {
            assert_string_equal(uri.data, rows[i].uri);
        }
        sm_names_free(n);
    }
    kit_release(&k);
}

static void test_tables(void **state)
{
    static const struct {
        const char *layer, *table;
        const char *what, *todo; /* NULL: it is there */
    } rows[] = {
        {"silver", "orders", NULL, NULL},
        {"SILVER", "Orders", NULL, NULL},
        {"silver", "view", NULL, NULL},
        {"Silver", "View", NULL, NULL},
        {"silver", "order", "no table \"silver.order\" in", "Did you mean \"silver.orders\"?"},
        {"silver", "zebra_crossings", "no table \"silver.zebra_crossings\" in",
         "There are: silver.view, silver.orders."},
        {"x", "some_other_thing", "no table \"x.some_other_thing\" in", "gold.Sums"},
        {"gold", "sums", NULL, NULL},
        {"_own", "t", "no table \"_own.t\" in", ""},
    };
    kit k;
    kit_init(&k);
    make_table(&k, "silver/orders");
    make_table(&k, "gold/Sums");
    make_table(&k, "_journal/t");
    sm_names *n = lake_of(&k);
    sm_names_set_view(n, SM_STR("silver.view"), (sm_sql){SM_STR("v.sql"), SM_STR("SELECT 1")});
    for (int i = 0; i < SM_COUNT(rows); i++) {
        sm_error e = {0};
        sm_relation r = {0};
        const sm_status st = resolve(n, k.arena, rows[i].layer, rows[i].table, &r, &e);
        if (rows[i].what) {
            assert_int_equal(st, SM_NAME);
            assert_non_null(strstr(e.what, rows[i].what));
            assert_non_null(strstr(e.todo, rows[i].todo));
            assert_string_equal(e.object, ""); /* so that the place in the SQL is told */
        } else {
            assert_ok(st, &e);
            assert_true(r.dataset || sm_str_is(r.view.text, "SELECT 1"));
        }
    }
    sm_names_free(n);
    kit_release(&k);
}

static void test_one_part(void **state)
{
    kit k;
    sm_error e = {0};
    sm_relation r = {0};
    kit_init(&k);
    make_table(&k, "silver/orders");
    sm_names *n = lake_of(&k);
    const sm_resolver by = sm_names_resolver(n);
    const sm_str parts[] = {SM_STR("Orders"), SM_STR("a"), SM_STR("orders")};
    assert_status(by.table(by.ctx, parts, 1, k.arena, &r, &e), SM_NAME, &e);
    assert_string_equal(e.what, "no table \"Orders\": a table's name is layer.table");
    assert_string_equal(e.todo, "Did you mean \"silver.orders\"?");
    assert_status(by.table(by.ctx, parts, 3, k.arena, &r, &e), SM_NAME, &e);
    sm_names_free(n);
    /* Without a lake, and with one that is not there. */
    n = sm_names_new(test_stores, SM_STR(""), k.budget);
    assert_status(resolve(n, k.arena, "a", "b", &r, &e), SM_NAME, &e);
    assert_string_equal(e.what, "no table \"a.b\", and no lake is given");
    sm_names_free(n);
    n = sm_names_new(test_stores, kit_uri(&k, "nowhere"), k.budget);
    assert_status(resolve(n, k.arena, "a", "b", &r, &e), SM_NAME, &e);
    assert_string_equal(e.todo, "");
    sm_names_free(n);
    kit_release(&k);
}

/* One version for as long as the names live, and one dataset by address. */
static void test_one_version(void **state)
{
    kit k;
    sm_error e = {0};
    sm_relation first = {0}, again = {0};
    kit_init(&k);
    make_table(&k, "silver/orders");
    sm_names *n = lake_of(&k);
    assert_ok(resolve(n, k.arena, "silver", "orders", &first, &e), &e);
    assert_true(sm_str_is(first.label, "silver.orders@v0"));
    make_table(&k, "silver/orders");
    assert_ok(resolve(n, k.arena, "silver", "orders", &again, &e), &e);
    assert_ptr_equal(first.dataset, again.dataset);
    assert_string_equal(read_relation_text(&k, &again), TEXT_A);
    sm_names_free(n);
    assert_string_equal(table_text(&k, "silver", "orders"), TEXT_A TEXT_A);
    kit_release(&k);
}

/* ---- candidates ------------------------------------------------------------------------------ */

static void test_candidates(void **state)
{
    static const struct {
        const char *table; /* there before: silver/orders */
        sm_write_mode mode;
        const char *text;
        int64_t rows;
    } rows[] = {
        {"silver/orders", SM_WRITE_APPEND, TEXT_A TEXT_B, 3},
        {"silver/orders", SM_WRITE_OVERWRITE, TEXT_B, 1},
        {"silver/fresh", SM_WRITE_APPEND, TEXT_B, 1},
    };
    for (int i = 0; i < SM_COUNT(rows); i++) {
        kit k;
        sm_error e = {0};
        sm_candidate *c = NULL;
        sm_relation r = {0};
        kit_init(&k);
        make_table(&k, "silver/orders");
        const sm_write w = {.uri = kit_uri(&k, rows[i].table), .mode = rows[i].mode};
        assert_ok(stage_orders(&k, &w, rows_b, 1, 1, &c, &e), &e);
        assert_int_equal(sm_candidate_table_rows(c), rows[i].rows);
        assert_int_equal(sm_candidate_rows(c), 1);
        assert_true(sm_candidate_bytes(c) > 0);
        assert_true(sm_str_eq(sm_candidate_uri(c), w.uri));
        assert_int_equal(sm_candidate_schema(c)->n_fields, 3);

        sm_names *n = lake_of(&k);
        sm_names_set_candidate(n, SM_STR("silver.orders"), c);
        sm_candidate_release(c); /* the names hold it */
        assert_ok(resolve(n, k.arena, "silver", "orders", &r, &e), &e);
        assert_string_equal(read_relation_text(&k, &r), rows[i].text);
        sm_names_free(n);
        assert_string_equal(table_text(&k, "silver", "orders"), TEXT_A); /* nobody else saw it */
        kit_release(&k);
    }
}

/* ---- variables ------------------------------------------------------------------------------- */

static void test_variables(void **state)
{
    kit k;
    sm_error e = {0};
    sm_value v = {0};
    kit_init(&k);
    sm_names *n = sm_names_new(test_stores, SM_STR(""), k.budget);
    const sm_resolver by = sm_names_resolver(n);
    assert_status(by.variable(by.ctx, SM_STR("month"), k.arena, &v, &e), SM_NAME, &e);
    assert_string_equal(e.todo, "Set it with --var month=VALUE.");
    char text[] = "2022-04";
    sm_names_set_variable(n, SM_STR("month"), sm_value_str(sm_str_of(text)));
    sm_names_set_variable(n, SM_STR("limit"), sm_value_i64(3));
    memset(text, 'x', sizeof(text) - 1);
    assert_ok(by.variable(by.ctx, SM_STR("month"), k.arena, &v, &e), &e);
    assert_true(sm_str_is(v.as.s, "2022-04"));
    assert_ok(by.variable(by.ctx, SM_STR("limit"), k.arena, &v, &e), &e);
    assert_int_equal(v.as.i, 3);
    assert_status(by.variable(by.ctx, SM_STR("mont"), k.arena, &v, &e), SM_NAME, &e);
    assert_string_equal(e.what, "no variable \"mont\"");
    assert_string_equal(e.todo, "Did you mean \"month\"?");
    sm_names_set_variable(n, SM_STR("limit"), sm_value_i64(4));
    assert_ok(by.variable(by.ctx, SM_STR("limit"), k.arena, &v, &e), &e);
    assert_int_equal(v.as.i, 4);
    sm_names_free(n);
    kit_release(&k);
}

/* ---- table functions ------------------------------------------------------------------------- */

static sm_table_arg text_arg(const char *name, const char *text)
{
    return (sm_table_arg){
        .name = sm_str_of(name), .value = sm_value_str(sm_str_of(text)), .off_bytes = 40};
}

static sm_table_arg bool_arg(const char *name, bool v)
{
    return (sm_table_arg){
        .name = sm_str_of(name), .value = {.type = &sm_type_bool, .as.b = v}, .off_bytes = 40};
}

/* columns => {…} of one or two columns whose types are texts. */
static sm_table_arg columns_of(sm_arena *a, int n, const char *const names[2],
                               const char *const types[2], const uint32_t offs[2])
{
    sm_field fields[2];
    sm_value *const items = SM_NEW_ARRAY(a, sm_value, 2);
    uint32_t *const item_offs = SM_NEW_ARRAY(a, uint32_t, 2);
    for (int i = 0; i < n; i++) {
        fields[i] = (sm_field){.name = sm_str_of(names[i]), .type = &sm_type_string};
        items[i] = sm_value_str(sm_str_of(types[i]));
        item_offs[i] = offs[i];
    }
    return (sm_table_arg){
        .name = SM_STR("columns"),
        .value = {.type = sm_type_struct(a, fields, n), .as.nested = {items, n}},
        .off_bytes = 50,
        .item_offs = item_offs,
    };
}

static sm_table_arg columns_arg(sm_arena *a)
{
    return columns_of(a, 2, (const char *[]){"id", "n"}, (const char *[]){"VARCHAR", "BIGINT"},
                      (const uint32_t[]){60, 70});
}

static sm_status call(sm_names *n, sm_arena *a, const char *name, const sm_table_arg *args,
                      int32_t n_args, sm_relation *out, sm_error *e)
{
    const sm_resolver by = sm_names_resolver(n);
    return by.function(by.ctx, sm_str_of(name), args, n_args, a, out, e);
}

static void put_logs(kit *k)
{
    sm_store *s = open_scratch(&k->at);
    put_text(s, "logs/20220401.json",
             "{\"id\":\"a\",\"n\":1}\n{\"id\":\"b\",\"n\":2,\"x\":true}\n");
    put_text(s, "logs/20220402.json", "{\"id\":\"c\",\"n\":\"no\"}\n{\"id\":\"d\",\"n\":4}");
    put_text(s, "logs/20220403.json", "");
    put_text(s, "logs/readme", "no log");
    sm_store_release(s);
}

static void test_read_json(void **state)
{
    kit k;
    sm_error e = {0};
    sm_relation r = {0}, again = {0};
    kit_init(&k);
    put_logs(&k);
    const sm_str logs = kit_uri(&k, "logs");
    sm_names *n = lake_of(&k);
    const sm_table_arg args[] = {text_arg("", logs.data),       columns_arg(k.arena),
                                 text_arg("match", "\\.json$"), bool_arg("filename", true),
                                 bool_arg("file_date", true),   text_arg("bad_lines", "quarantine"),
                                 text_arg("validate", "all")};
    assert_ok(call(n, k.arena, "read_json", args, SM_COUNT(args), &r, &e), &e);
    assert_true(r.keep_refused && r.validate_all && r.count_unknown);
    assert_int_equal(r.dataset->n_files, 3);
    assert_int_equal(r.dataset->n_constants, 2);
    assert_int_equal(r.dataset->schema->n_fields, 4);
    assert_true(sm_str_is(r.dataset->schema->fields[2].name, "filename"));
    assert_int_equal(r.dataset->schema->fields[2].type->id, SM_TYPE_STRING);
    assert_true(sm_str_is(r.dataset->schema->fields[3].name, "file_date"));
    assert_int_equal(r.dataset->schema->fields[3].type->id, SM_TYPE_DATE);
    const char *want =
        sm_arena_printf(k.arena,
                        "a 1 %s/20220401.json 2022-04-01;b 2 %s/20220401.json 2022-04-01;"
                        "d 4 %s/20220402.json 2022-04-02;",
                        logs.data, logs.data, logs.data);
    assert_string_equal(read_relation_text(&k, &r), want);
    /* The same call is the same dataset; another is another. */
    assert_ok(call(n, k.arena, "read_json", args, SM_COUNT(args), &again, &e), &e);
    assert_ptr_equal(r.dataset, again.dataset);
    assert_ok(call(n, k.arena, "read_json", args, SM_COUNT(args) - 1, &again, &e), &e);
    assert_ptr_not_equal(r.dataset, again.dataset);
    assert_false(again.validate_all);
    sm_names_free(n);
    kit_release(&k);
}

static void test_read_chosen(void **state)
{
    kit k;
    sm_error e = {0};
    sm_relation r = {0};
    sm_files found = {0};
    sm_content content = {0}, want = {0};
    bool is_whole = false;
    kit_init(&k);
    put_logs(&k);
    const sm_str logs = kit_uri(&k, "logs");
    sm_names *n = lake_of(&k);
    assert_ok(sm_files_find(test_stores, logs, SM_STR("json$"), true, k.arena, &found, &e), &e);
    sm_files chosen = {.items = &found.items[0], .n = 1};
    chosen.items[0].file.content_out = &content;
    sm_names_set_files(n, logs, &chosen, NULL);
    const sm_table_arg args[] = {text_arg("", logs.data), columns_arg(k.arena),
                                 bool_arg("file_date", true)};
    assert_ok(call(n, k.arena, "read_json", args, SM_COUNT(args), &r, &e), &e);
    assert_int_equal(r.dataset->n_files, 1);
    assert_string_equal(read_relation_text(&k, &r), "a 1 2022-04-01;b 2 2022-04-01;");
    assert_ok(sm_file_content(&found.items[0].file, &k.env, &want, &is_whole, &e), &e);
    assert_true(content.hash.low == want.hash.low && content.hash.high == want.hash.high);
    assert_true(content.bytes == want.bytes && content.head == want.head && content.has_lines);
    /* None of them: no rows, and no listing of the folder. */
    chosen.n = 0;
    sm_names_set_files(n, logs, &chosen, NULL);
    assert_ok(call(n, k.arena, "read_json", args, SM_COUNT(args), &r, &e), &e);
    assert_int_equal(r.dataset->n_files, 0);
    assert_string_equal(read_relation_text(&k, &r), "");
    sm_names_free(n);
    sm_files_release(&found);
    kit_release(&k);
}

static void test_inferred(void **state)
{
    kit k;
    sm_error e = {0};
    sm_relation r = {0};
    kit_init(&k);
    put_logs(&k);
    make_table(&k, "silver/orders");
    sm_names *n = lake_of(&k);
    /* The first file is empty: the second says what there is. */
    const sm_table_arg paths[] = {text_arg("", kit_uri(&k, "logs/20220403.json").data),
                                  text_arg("", kit_uri(&k, "logs/20220401.json").data)};
    const sm_value values[] = {paths[0].value, paths[1].value};
    const sm_field element = {.name = SM_STR("element"), .type = &sm_type_string};
    const sm_table_arg list = {
        .value = {.type = sm_type_list(k.arena, element), .as.nested = {values, 2}},
        .off_bytes = 40,
    };
    assert_ok(call(n, k.arena, "read_json", &list, 1, &r, &e), &e);
    assert_int_equal(r.dataset->schema->n_fields, 3);
    assert_string_equal(read_relation_text(&k, &r), "a 1 NULL;b 2 true;");
    assert_status(call(n, k.arena, "read_json", paths, 1, &r, &e), SM_INVALID, &e);
    assert_non_null(strstr(e.what, "no columns: \""));
    assert_non_null(strstr(e.what, "20220403.json\" is empty"));

    const sm_table_arg json = text_arg("", kit_uri(&k, "logs/20220401.json").data);
    assert_ok(call(n, k.arena, "", &json, 1, &r, &e), &e);
    assert_string_equal(read_relation_text(&k, &r), "a 1 NULL;b 2 true;");
    const sm_table_arg table = text_arg("", kit_uri(&k, "silver/orders").data);
    assert_ok(call(n, k.arena, "", &table, 1, &r, &e), &e);
    assert_string_equal(read_relation_text(&k, &r), TEXT_A);
    const sm_table_arg glob = text_arg("", kit_uri(&k, "silver/orders/*.parquet").data);
    assert_ok(call(n, k.arena, "read_parquet", &glob, 1, &r, &e), &e);
    assert_string_equal(read_relation_text(&k, &r), TEXT_A);
    sm_names_free(n);
    kit_release(&k);
}

static sm_status at(sm_names *n, const char *table, const sm_table_arg *arg, sm_arena *a,
                    sm_relation *out, sm_error *e)
{
    const sm_resolver r = sm_names_resolver(n);
    const sm_str parts[] = {SM_STR("silver"), sm_str_of(table)};

    *e = (sm_error){0};
    return r.table_at(r.ctx, parts, 2, arg, a, out, e);
}

static void test_table_at(void **state)
{
    kit k;
    sm_error e = {0};
    sm_relation r = {0}, again = {0};
    kit_init(&k);
    make_table(&k, "silver/orders");
    make_table(&k, "silver/orders");
    sm_names *n = lake_of(&k);
    sm_names_set_view(n, SM_STR("silver.view"), (sm_sql){SM_STR("v.sql"), SM_STR("SELECT 1")});
    sm_table_arg arg = {.name = SM_STR("version"), .value = sm_value_i64(0), .off_bytes = 60};
    assert_ok(at(n, "orders", &arg, k.arena, &r, &e), &e);
    assert_string_equal(read_relation_text(&k, &r), TEXT_A);
    assert_true(sm_str_eq(r.label, SM_STR("silver.orders@v0")));
    assert_ok(at(n, "orders", &arg, k.arena, &again, &e), &e);
    assert_ptr_equal(again.dataset, r.dataset);
    assert_ok(at(n, "Orders", &arg, k.arena, &r, &e), &e);
    assert_string_equal(read_relation_text(&k, &r), TEXT_A);
    assert_status(at(n, "view", &arg, k.arena, &r, &e), SM_INVALID, &e);
    assert_string_equal(e.what, "\"silver.view\" is a view, which has no versions");
    assert_status(at(n, "ordesr", &arg, k.arena, &r, &e), SM_NAME, &e);
    assert_string_equal(e.todo, "Did you mean \"silver.orders\"?");
    arg.value = sm_value_i64(2);
    assert_status(at(n, "orders", &arg, k.arena, &r, &e), SM_NOT_FOUND, &e);
    assert_non_null(strstr(e.what, "its latest is 1"));
    arg = text_arg("timestamp", "2100-01-01");
    assert_ok(at(n, "orders", &arg, k.arena, &r, &e), &e);
    assert_string_equal(read_relation_text(&k, &r), TEXT_A TEXT_A);
    arg = text_arg("timestamp", "1999-01-01 00:00:00+02");
    assert_status(at(n, "orders", &arg, k.arena, &r, &e), SM_NOT_FOUND, &e);
    assert_non_null(strstr(e.what, "no version at 1998-12-31 22:00:00: the first, version 0, is"));
    arg.value = (sm_value){.type = &sm_type_date, .as.i = INT32_MAX};
    assert_ok(at(n, "orders", &arg, k.arena, &r, &e), &e);
    arg.value = (sm_value){.type = &sm_type_date, .as.i = -INT32_MAX};
    assert_status(at(n, "orders", &arg, k.arena, &r, &e), SM_NOT_FOUND, &e);
    arg = text_arg("timestamp", "soon");
    assert_status(at(n, "orders", &arg, k.arena, &r, &e), SM_TYPE, &e);
    assert_string_equal(e.what, "timestamp is a TIMESTAMP, a DATE or the text of one, not soon");
    sm_names_free(n);
    kit_release(&k);
}

static void test_delta_scan(void **state)
{
    kit k;
    sm_error e = {0};
    sm_relation r = {0};
    kit_init(&k);
    make_table(&k, "silver/orders");
    make_table(&k, "silver/orders");
    sm_names *n = lake_of(&k);
    sm_table_arg args[] = {text_arg("", kit_uri(&k, "silver/orders").data),
                           {.name = SM_STR("version"), .value = sm_value_i64(0), .off_bytes = 60}};
    assert_ok(call(n, k.arena, "delta_scan", args, 2, &r, &e), &e);
    assert_string_equal(read_relation_text(&k, &r), TEXT_A);
    assert_true(sm_str_ends(r.label, SM_STR("silver/orders@v0")));
    assert_ok(call(n, k.arena, "DELTA_SCAN", args, 1, &r, &e), &e);
    assert_string_equal(read_relation_text(&k, &r), TEXT_A TEXT_A);
    args[1].value = sm_value_i64(9);
    assert_status(call(n, k.arena, "delta_scan", args, 2, &r, &e), SM_NOT_FOUND, &e);
    args[1].value = sm_value_i64(-1);
    assert_status(call(n, k.arena, "delta_scan", args, 2, &r, &e), SM_TYPE, &e);
    assert_string_equal(e.what, "version is a whole number of 0 or more, not -1");
    assert_int_equal(e.byte, 60);
    args[1].name = SM_STR("verison");
    assert_status(call(n, k.arena, "delta_scan", args, 2, &r, &e), SM_NAME, &e);
    assert_string_equal(e.todo, "Did you mean \"version\"?");
    args[0] = text_arg("", kit_uri(&k, "silver").data);
    assert_status(call(n, k.arena, "delta_scan", args, 1, &r, &e), SM_NOT_FOUND, &e);
    assert_int_equal(e.byte, 40);
    assert_status(call(n, k.arena, "delta_scan", args, 0, &r, &e), SM_INVALID, &e);
    sm_names_free(n);
    kit_release(&k);
}

/* ---- arguments that do not fit --------------------------------------------------------------- */

static void test_arguments(void **state)
{
    kit k;
    kit_init(&k);
    const char *const date[] = {"DATE", "DATE"};
    const uint32_t offs[] = {77, 78};
    const sm_table_arg bad_type =
        columns_of(k.arena, 1, (const char *[]){"a", NULL}, (const char *[]){"BIGNT", NULL}, offs);
    const sm_table_arg twice = columns_of(k.arena, 2, (const char *[]){"a", "a"}, date, offs);
    const sm_table_arg taken =
        columns_of(k.arena, 1, (const char *[]){"filename", NULL}, date, offs);
    sm_table_arg in_list = text_arg("columns", "DATE"), no_text = columns_arg(k.arena);
    const sm_field element = {.name = SM_STR("element"), .type = &sm_type_string};
    const sm_value type_text = in_list.value;
    in_list.value =
        (sm_value){.type = sm_type_list(k.arena, element), .as.nested = {&type_text, 1}};
    no_text.name = SM_STR("match");
    const sm_table_arg no_arg = {.off_bytes = 0};
    const struct {
        sm_table_arg arg, other; /* besides the path */
        sm_status want;
        const char *what, *todo;
        int64_t byte;
    } rows[] = {
        {text_arg("bad_line", "skip"), no_arg, SM_NAME, "read_json has no argument \"bad_line\"",
         "Did you mean \"bad_lines\"?", 40},
        {text_arg("bad_lines", "drop"), no_arg, SM_INVALID, "bad_lines cannot be 'drop'",
         "Use 'fail', 'skip' or 'quarantine'.", 40},
        {text_arg("bad_lines", "rescue"), no_arg, SM_INVALID, "bad_lines cannot be 'rescue'",
         "Use 'fail', 'skip' or 'quarantine'.", 40},
        {text_arg("validate", "some"), no_arg, SM_INVALID,
         "validate is 'read' or 'all', not 'some'", "", 40},
        {text_arg("filename", "yes"), no_arg, SM_TYPE, "filename is true or false, not yes", "",
         40},
        {bool_arg("match", true), no_arg, SM_TYPE, "match is text, not true", "", 40},
        {text_arg("columns", "a"), no_arg, SM_TYPE, "columns takes {name: 'TYPE', …}", "", 40},
        {bad_type, no_arg, SM_SYNTAX, "BIGNT", "Did you mean bigint?", 77},
        {twice, no_arg, SM_INVALID, "column \"a\" is named twice", "", 78},
        {taken, bool_arg("filename", true), SM_INVALID, "have a column \"filename\" of their own",
         "", 30},
        {in_list, no_arg, SM_TYPE, "columns takes {name: 'TYPE', …}", "", 40},
        {no_text, no_arg, SM_TYPE, "match is text, not a list or struct", "", 50},
        {text_arg("match", "[a"), no_arg, SM_SYNTAX, "is not a regular expression", "", 30},
        {text_arg("match", "csv$"), no_arg, SM_NOT_FOUND, "no file matches in", "", 30},
        {text_arg("", "b"), no_arg, SM_INVALID, "read_json takes one path", "", 40},
        {bool_arg("file_date", true), columns_arg(k.arena), SM_INVALID, "has no date", "", -1},
    };
    put_logs(&k);
    sm_names *n = lake_of(&k);
    for (int i = 0; i < SM_COUNT(rows); i++) {
        sm_error e = {0};
        sm_relation r = {0};
        sm_table_arg path = text_arg("", kit_uri(&k, "logs").data);
        path.off_bytes = 30;
        const sm_table_arg args[] = {path, rows[i].arg, rows[i].other};
        const int32_t n_args = rows[i].other.name.len > 0 ? 3 : 2;
        assert_status(call(n, k.arena, "read_json", args, n_args, &r, &e), rows[i].want, &e);
        assert_non_null(strstr(e.what, rows[i].what));
        assert_non_null(strstr(e.todo, rows[i].todo));
        if (rows[i].byte >= 0) {
            assert_int_equal(e.byte, rows[i].byte);
            assert_int_equal(e.line, 0);
            assert_string_equal(e.object, "");
        }
    }
    sm_names_free(n);
    kit_release(&k);
}

static void test_no_such_function(void **state)
{
    kit k;
    sm_error e = {0};
    sm_relation r = {0};
    kit_init(&k);
    sm_names *n = lake_of(&k);
    const sm_table_arg arg = text_arg("", "x");
    assert_status(call(n, k.arena, "read_jsn", &arg, 1, &r, &e), SM_NAME, &e);
    assert_string_equal(e.todo, "Did you mean \"read_json\"?");
    assert_status(call(n, k.arena, "read_json", &arg, 0, &r, &e), SM_INVALID, &e);
    assert_status(call(n, k.arena, "", &arg, 1, &r, &e), SM_NOT_FOUND, &e);
    assert_string_equal(e.what, "there is no file or folder \"x\"");
    const sm_table_arg folder = text_arg("", ".");
    assert_status(call(n, k.arena, "", &folder, 1, &r, &e), SM_INVALID, &e);
    assert_string_equal(e.what, "\".\" is not a Delta table, and its name has no known format");
    sm_names_free(n);
    kit_release(&k);
}

/* ---- through SQL ----------------------------------------------------------------------------- */

/* A table that is partitioned by its first column, which its files do not have. */
static void make_partitioned(kit *k)
{
    static const char log[] =
        "{\"protocol\":{\"minReaderVersion\":1,\"minWriterVersion\":2}}\n"
        "{\"metaData\":{\"id\":\"i\",\"format\":{\"provider\":\"parquet\",\"options\":{}},"
        "\"schemaString\":\"{\\\"type\\\":\\\"struct\\\",\\\"fields\\\":["
        "{\\\"name\\\":\\\"a \\\\\\\"day\\\\\\\"\\\",\\\"type\\\":\\\"date\\\","
        "\\\"nullable\\\":true,\\\"metadata\\\":{}},"
        "{\\\"name\\\":\\\"Name\\\",\\\"type\\\":\\\"string\\\",\\\"nullable\\\":true,"
        "\\\"metadata\\\":{}},"
        "{\\\"name\\\":\\\"amount\\\",\\\"type\\\":\\\"long\\\",\\\"nullable\\\":true,"
        "\\\"metadata\\\":{}}]}\","
        "\"partitionColumns\":[\"a \\\"day\\\"\"],\"configuration\":{}}}\n"
        "{\"add\":{\"path\":\"d=1/f.parquet\",\"partitionValues\":{\"a \\\"day\\\"\":"
        "\"2022-05-01\"},\"size\":%zu,\"modificationTime\":0,\"dataChange\":true}}\n";
    sm_error e = {0};
    sm_store *s = open_scratch(&k->at);
    sm_entry *entries = NULL;
    int64_t n = 0;
    sm_buf bytes = {0};
    make_table(k, "silver/orders");
    assert_ok(sm_store_list(s, SM_STR("silver/orders/"), true, k->arena, &entries, &n, &e), &e);
    for (int64_t i = 0; i < n; i++) {
        if (sm_str_ends(entries[i].key, SM_STR(".parquet"))) {
            assert_ok(sm_store_get(s, entries[i].key, &bytes, &e), &e);
        }
    }
    assert_ok(sm_store_put(s, SM_STR("silver/parts/d=1/f.parquet"), bytes.data, bytes.len,
                           SM_PUT_REPLACE, &e),
              &e);
    put_text(s, "silver/parts/_delta_log/00000000000000000000.json",
             sm_arena_printf(k->arena, log, bytes.len));
    sm_buf_release(&bytes);
    sm_store_release(s);
}

static void test_sql(void **state)
{
    static const struct {
        const char *sql, *text; /* text NULL: an error */
        const char *what;
        int64_t line, byte;
    } rows[] = {
        {"FROM silver.orders", TEXT_A, NULL, 0, 0},
        {"SELECT amount FROM SILVER.Orders WHERE day > DATE '2022-04-01'", "6;", NULL, 0, 0},
        {"FROM silver.parts", "2022-05-01 anna 5;2022-05-01 bert 6;", NULL, 0, 0},
        {"SELECT p.\"Name\" FROM silver.parts AS p", "anna;bert;", NULL, 0, 0},
        {"SELECT p.\"Name\", q.amount FROM silver.parts p JOIN silver.parts q USING (amount)",
         "anna 5;bert 6;", NULL, 0, 0},
        {"SELECT count(*) FROM silver.view", "2;", NULL, 0, 0},
        {"SELECT var('month')", "2022-04;", NULL, 0, 0},
        {"SELECT id FROM read_json(var('logs'), match => 'json$', file_date => true,\n"
         "  columns => {id: 'VARCHAR', n: 'BIGINT'}, bad_lines => 'skip',\n"
         "  validate => 'all')\n"
         "WHERE file_date = DATE '2022-04-02'",
         "d;", NULL, 0, 0},
        {"SELECT *\nFROM silver.ordres", NULL, "no table \"silver.ordres\"", 2, 6},
        {"SELECT var('mont')", NULL, "no variable \"mont\"", 1, 8},
        {"FROM read_json(var('logs'),\n  columns => {id: 'VARCHAR',\n n: 'BIGNIT'})", NULL,
         "there is no type \"BIGNIT\"", 3, 5},
        {"FROM read_json(var('logs'),\n  colums => {id: 'VARCHAR'})", NULL,
         "read_json has no argument \"colums\"", 2, 13},
    };
    kit k;
    sm_error e = {0};
    kit_init(&k);
    make_partitioned(&k);
    put_logs(&k);
    sm_names *n = lake_of(&k);
    sm_names_set_view(n, SM_STR("silver.view"),
                      (sm_sql){SM_STR("v.sql"), SM_STR("SELECT * FROM silver.orders")});
    sm_names_set_variable(n, SM_STR("month"), sm_value_str(SM_STR("2022-04")));
    sm_names_set_variable(n, SM_STR("logs"), sm_value_str(kit_uri(&k, "logs")));
    for (int i = 0; i < SM_COUNT(rows); i++) {
        const char *text = NULL;
        const sm_status st = sql_text(&k, n, rows[i].sql, &text, &e);
        if (rows[i].text) {
            assert_ok(st, &e);
            assert_string_equal(text, rows[i].text);
        } else {
            assert_int_not_equal(st, SM_OK);
            assert_non_null(strstr(e.what, rows[i].what));
            assert_string_equal(e.object, "q.sql");
            assert_int_equal(e.line, rows[i].line);
            assert_int_equal(e.byte, rows[i].byte);
        }
    }
    sm_names_free(n);
    kit_release(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_uri),
        cmocka_unit_test(test_tables),
        cmocka_unit_test(test_one_part),
        cmocka_unit_test(test_one_version),
        cmocka_unit_test(test_candidates),
        cmocka_unit_test(test_variables),
        cmocka_unit_test(test_read_json),
        cmocka_unit_test(test_read_chosen),
        cmocka_unit_test(test_inferred),
        cmocka_unit_test(test_delta_scan),
        cmocka_unit_test(test_table_at),
        cmocka_unit_test(test_arguments),
        cmocka_unit_test(test_no_such_function),
        cmocka_unit_test(test_sql),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
