/* SPDX-License-Identifier: Apache-2.0
 *
 * table/table_stage_test.c: appends, overwrites, their files, their refusals, and what a candidate
 * says and leaves behind. */
#include "orders.h"

#include "base/json_doc.h"

static const order first_rows[] = {
    {"2022-04-01", "anna", 5},
    {"2022-04-01", NULL, 7},
    {"2022-04-02", "bert", NO_NUMBER},
};
static const order more_rows[] = {{"2022-04-03", "carl", -1}};
#define FIRST_TEXT "2022-04-01 anna 5;2022-04-01 NULL 7;2022-04-02 bert NULL;"
#define MORE_TEXT  "2022-04-03 carl -1;"

static sm_write write_to(kit *k, sm_write_mode mode)
{
    return (sm_write){.uri = kit_uri(k, "silver/orders"), .mode = mode};
}

static sm_snapshot *open_snapshot(kit *k, const char *table)
{
    sm_error e = {0};
    sm_store *s = NULL;
    sm_snapshot *snapshot = NULL;
    assert_ok(sm_store_open(test_stores, kit_uri(k, table), &s, &e), &e);
    assert_ok(sm_snapshot_open(s, SM_VERSION_LATEST, k->budget, &snapshot, &e), &e);
    sm_store_release(s);
    return snapshot;
}

/* ---- versions -------------------------------------------------------------------------------- */

static void test_append(void **state)
{
    kit k;
    sm_error e = {0};
    int64_t version = -1;
    kit_init(&k);
    const sm_write w = write_to(&k, SM_WRITE_APPEND);

    assert_ok(write_orders(&k, &w, first_rows, 3, &version, &e), &e);
    assert_int_equal(version, 0);
    assert_string_equal(table_text(&k, "silver", "orders"), FIRST_TEXT);
    assert_ok(write_orders(&k, &w, more_rows, 1, &version, &e), &e);
    assert_int_equal(version, 1);
    assert_string_equal(table_text(&k, "silver", "orders"), FIRST_TEXT MORE_TEXT);

    sm_snapshot *s = open_snapshot(&k, "silver/orders");
    int64_t n = 0;
    const sm_delta_file *files = sm_snapshot_files(s, &n);
    assert_int_equal(n, 2);
    assert_int_equal(files[0].n_rows, 3);
    const sm_range *ranges = sm_snapshot_ranges(s, &files[0], k.arena);
    assert_non_null(ranges);
    assert_int_equal(ranges[2].min.as.i, 5);
    assert_int_equal(ranges[2].max.as.i, 7);
    assert_int_equal(ranges[2].n_nulls, 1);
    assert_true(sm_str_starts(files[0].key, SM_STR("part-00000-")));
    assert_true(sm_str_ends(files[0].key, SM_STR("-c000.zstd.parquet")));
    assert_int_equal(sm_snapshot_protocol(s)->min_reader, 1);
    assert_int_equal(sm_snapshot_protocol(s)->min_writer, 2);
    assert_true(sm_snapshot_metadata(s)->schema->fields[0].is_nullable);
    sm_snapshot_release(s);
    kit_release(&k);
}

static void test_overwrite(void **state)
{
    kit k;
    sm_error e = {0};
    int64_t version = -1;
    kit_init(&k);
    const sm_write append = write_to(&k, SM_WRITE_APPEND);
    const sm_write overwrite = write_to(&k, SM_WRITE_OVERWRITE);

    assert_ok(write_orders(&k, &append, first_rows, 3, NULL, &e), &e);
    assert_ok(write_orders(&k, &overwrite, more_rows, 1, &version, &e), &e);
    assert_int_equal(version, 1);
    assert_string_equal(table_text(&k, "silver", "orders"), MORE_TEXT);
    /* Without a row it makes a version too. */
    assert_ok(write_orders(&k, &overwrite, NULL, 0, &version, &e), &e);
    assert_int_equal(version, 2);
    assert_string_equal(table_text(&k, "silver", "orders"), "");
    kit_release(&k);
}

static void test_nothing_to_append(void **state)
{
    kit k;
    sm_error e = {0};
    sm_candidate *c = NULL;
    int64_t version = 7;
    kit_init(&k);
    const sm_write w = write_to(&k, SM_WRITE_APPEND);

    assert_ok(stage_orders(&k, &w, NULL, 0, 1, &c, &e), &e);
    assert_true(sm_candidate_is_empty(c));
    assert_ok(sm_publish(&c, 1, k.budget, &version, NULL, &e), &e);
    assert_int_equal(version, -1);
    sm_candidate_release(c);
    /* A transaction makes a version, with or without rows. */
    const sm_delta_txn txn = {.app_id = SM_STR("load:a.json"), .version = 4, .updated_ms = -1};
    const sm_note note = {.txns = &txn, .n_txns = 1};
    assert_ok(stage_orders(&k, &w, NULL, 0, 1, &c, &e), &e);
    sm_candidate_note(c, &note);
    assert_ok(sm_publish(&c, 1, k.budget, &version, NULL, &e), &e);
    assert_int_equal(version, 0);
    sm_candidate_release(c);
    sm_snapshot *s = open_snapshot(&k, "silver/orders");
    assert_int_equal(sm_snapshot_txn(s, txn.app_id), 4);
    assert_int_equal(sm_snapshot_metadata(s)->schema->n_fields, 3);
    sm_snapshot_release(s);
    kit_release(&k);
}

/* Is the object there, with that text? */
static bool is_noted(sm_store *s, const char *key, const char *text)
{
    sm_buf there = {0};
    sm_error e = {0};
    const sm_status st = sm_store_get(s, sm_str_of(key), &there, &e);
    const bool out = st == SM_OK && sm_str_is(sm_buf_str(&there), text);
    sm_buf_release(&there);
    return out;
}

/* The object that a commit names is made with it, deleted where the commit fails, and left alone
 * where it is another writer's. */
static void test_notes(void **state)
{
    kit k;
    sm_error e = {0};
    sm_candidate *c = NULL;
    sm_store *store = NULL;
    int64_t version = -1;
    kit_init(&k);
    const sm_delta_txn txn = {.app_id = SM_STR("books"), .version = 1, .updated_ms = -1};
    sm_write w = write_to(&k, SM_WRITE_APPEND);
    sm_note note = {.txns = &txn,
                    .n_txns = 1,
                    .info_json = SM_STR("\"noted\":true"),
                    .key = SM_STR("_notes/1"),
                    .text = SM_STR("first")};
    w.has_base = true; /* no table yet */

    assert_ok(stage_orders(&k, &w, first_rows, 3, 1, &c, &e), &e);
    sm_candidate_note(c, &note);
    assert_false(sm_candidate_keeps_rows(c));
    assert_ok(sm_store_open(test_stores, w.uri, &store, &e), &e);
    assert_false(is_noted(store, "_notes/1", "first"));
    assert_ok(sm_publish(&c, 1, k.budget, &version, NULL, &e), &e);
    sm_candidate_release(c);
    assert_true(is_noted(store, "_notes/1", "first"));

    /* A commit of only a note, on the first version; a second one on the same base is too late. */
    w.base = open_snapshot(&k, "silver/orders");
    for (int i = 0; i < 2; i++) {
        const sm_delta_txn next = {.app_id = SM_STR("books"), .version = 2 + i, .updated_ms = -1};
        note.txns = &next;
        note.key = i == 0 ? SM_STR("_notes/2") : SM_STR("_notes/3");
        assert_ok(stage_orders(&k, &w, NULL, 0, 1, &c, &e), &e);
        assert_true(sm_candidate_is_empty(c));
        sm_candidate_note(c, &note);
        assert_false(sm_candidate_is_empty(c));
        assert_true(sm_candidate_keeps_rows(c));
        assert_status(sm_publish(&c, 1, k.budget, &version, NULL, &e), i == 0 ? SM_OK : SM_CONFLICT,
                      &e);
        sm_candidate_release(c);
    }
    assert_true(is_noted(store, "_notes/2", "first"));
    assert_false(is_noted(store, "_notes/3", "first"));

    /* An object of that name is there: with our own text, with another. */
    const struct {
        const char *there;
        sm_status want;
    } rows[] = {{"first", SM_OK}, {"other", SM_CONFLICT}};
    for (int i = 0; i < SM_COUNT(rows); i++) {
        const sm_delta_txn next = {.app_id = SM_STR("books"), .version = 4 + i, .updated_ms = -1};
        sm_write later = write_to(&k, SM_WRITE_APPEND);
        note.txns = &next;
        note.key = i == 0 ? SM_STR("_notes/4") : SM_STR("_notes/5");
        put_text(store, note.key.data, rows[i].there);
        assert_ok(stage_orders(&k, &later, NULL, 0, 1, &c, &e), &e);
        sm_candidate_note(c, &note);
        assert_status(sm_publish(&c, 1, k.budget, &version, NULL, &e), rows[i].want, &e);
        sm_candidate_release(c);
        assert_true(is_noted(store, note.key.data, rows[i].there));
    }
    sm_snapshot_release(w.base);
    sm_store_release(store);
    kit_release(&k);
}

static void test_commit_info(void **state)
{
    kit k;
    sm_error e = {0};
    sm_store *s = NULL;
    sm_delta_commit_info *info = NULL;
    sm_candidate *c = NULL;
    int64_t n = 0, version = -1;
    kit_init(&k);
    sm_write w = write_to(&k, SM_WRITE_APPEND);
    w.user_metadata = SM_STR("month 2022-04");
    const sm_note note = {.info_json = SM_STR("\"smelt\":{\"run\":\"r1\"}")};

    assert_ok(stage_orders(&k, &w, first_rows, 3, 1, &c, &e), &e);
    sm_candidate_note(c, &note);
    assert_ok(sm_publish(&c, 1, k.budget, &version, NULL, &e), &e);
    sm_candidate_release(c);
    assert_ok(sm_store_open(test_stores, w.uri, &s, &e), &e);
    assert_ok(sm_delta_history(s, -1, k.arena, &info, &n, &e), &e);
    assert_int_equal(n, 1);
    assert_true(sm_str_is(info[0].operation, "WRITE"));
    assert_true(sm_str_is(info[0].user_metadata, "month 2022-04"));
    const sm_json *json = NULL, *metrics = NULL;
    assert_ok(sm_json_parse(info[0].metrics_json, k.arena, &metrics, &e), &e);
    assert_true(sm_str_is(sm_json_text(sm_json_get(metrics, "numFiles")), "1"));
    assert_true(sm_str_is(sm_json_text(sm_json_get(metrics, "numOutputRows")), "3"));
    assert_ok(sm_json_parse(info[0].parameters_json, k.arena, &json, &e), &e);
    assert_true(sm_str_is(sm_json_text(sm_json_get(json, "mode")), "Append"));
    assert_ok(sm_json_parse(info[0].json, k.arena, &json, &e), &e);
    assert_true(sm_str_is(sm_json_text(sm_json_get(sm_json_get(json, "smelt"), "run")), "r1"));
    sm_store_release(s);
    kit_release(&k);
}

/* ---- files ----------------------------------------------------------------------------------- */

/* Wherever batches end, a file holds one value of the column, in the order of the rows. */
static void test_split(void **state)
{
    static const order rows[] = {
        {"2022-04-01", "a", 1}, {"2022-04-01", "b", 2}, {"2022-04-02", "c", 3},
        {NULL, "d", 4},         {NULL, "e", 5},         {"2022-04-01", "f", 6},
    };
    static const int64_t want_rows[] = {2, 1, 2, 1};
    for (int64_t per_batch = 1; per_batch <= 6; per_batch++) {
        kit k;
        sm_error e = {0};
        sm_candidate *c = NULL;
        int64_t version = -1, n = 0;
        kit_init(&k);
        sm_write w = write_to(&k, SM_WRITE_APPEND);
        w.split_by = SM_STR("day");

        assert_ok(stage_orders(&k, &w, rows, 6, per_batch, &c, &e), &e);
        assert_int_equal(sm_candidate_rows(c), 6);
        assert_int_equal(sm_candidate_table_rows(c), 6);
        assert_ok(sm_publish(&c, 1, k.budget, &version, NULL, &e), &e);
        sm_candidate_release(c);
        sm_snapshot *s = open_snapshot(&k, "silver/orders");
        const sm_delta_file *files = sm_snapshot_files(s, &n);
        assert_int_equal(n, 4);
        for (int64_t i = 0; i < n; i++) {
            assert_int_equal(files[i].n_rows, want_rows[i]);
        }
        sm_snapshot_release(s);
        assert_string_equal(table_text(&k, "silver", "orders"),
                            "2022-04-01 a 1;2022-04-01 b 2;2022-04-02 c 3;NULL d 4;NULL e 5;"
                            "2022-04-01 f 6;");
        kit_release(&k);
    }
}

static void test_file_bytes(void **state)
{
    kit k;
    sm_error e = {0};
    int64_t n = 0;
    kit_init(&k);
    sm_write w = write_to(&k, SM_WRITE_APPEND);
    w.file_bytes = 1; /* so each batch (of two rows) ends a file */

    assert_ok(write_orders(&k, &w, first_rows, 3, NULL, &e), &e);
    sm_snapshot *s = open_snapshot(&k, "silver/orders");
    const sm_delta_file *files = sm_snapshot_files(s, &n);
    assert_int_equal(n, 2);
    assert_int_equal(files[0].n_rows, 2);
    assert_int_equal(files[1].n_rows, 1);
    sm_snapshot_release(s);
    assert_string_equal(table_text(&k, "silver", "orders"), FIRST_TEXT);
    kit_release(&k);
}

/* A stage that is closed early and a candidate that is not published leave no file. */
static void test_unpublished(void **state)
{
    kit k;
    sm_error e = {0};
    sm_candidate *c = NULL;
    sm_stage *s = NULL;
    kit_init(&k);
    const sm_write w = write_to(&k, SM_WRITE_APPEND);

    assert_ok(write_orders(&k, &w, first_rows, 3, NULL, &e), &e);
    assert_ok(stage_orders(&k, &w, more_rows, 1, 1, &c, &e), &e);
    assert_int_equal(count_data_files(&k, "silver/orders"), 2);
    sm_candidate_release(sm_candidate_retain(c));
    assert_int_equal(count_data_files(&k, "silver/orders"), 2);
    sm_candidate_release(c);
    assert_int_equal(count_data_files(&k, "silver/orders"), 1);

    sm_batch *b = orders(&k, more_rows, 1);
    assert_ok(sm_stage_open(&w, &order_schema, &k.env, &s, &e), &e);
    assert_ok(push_all(s, b, &e), &e);
    assert_ok(finish_all(s, &e), &e);
    assert_int_equal(count_data_files(&k, "silver/orders"), 2);
    sm_stage_close(s);
    assert_int_equal(count_data_files(&k, "silver/orders"), 1);
    sm_batch_release(b);
    assert_string_equal(table_text(&k, "silver", "orders"), FIRST_TEXT);
    kit_release(&k);
}

/* ---- schemas --------------------------------------------------------------------------------- */

static void test_schema(void **state)
{
    static const struct {
        sm_field fields[4];
        int n;
        sm_status want;
        const char *what, *todo;
    } rows[] = {
        {{{.name = {"day", 3}, .type = &sm_type_date},
          {.name = {"Name", 4}, .type = &sm_type_string},
          {.name = {"amount", 6}, .type = &sm_type_string}},
         3,
         SM_SCHEMA,
         "column \"amount\" is BIGINT in the table and VARCHAR here",
         "Cast it to BIGINT"},
        {{{.name = {"day", 3}, .type = &sm_type_date},
          {.name = {"name", 4}, .type = &sm_type_string},
          {.name = {"amount", 6}, .type = &sm_type_i64}},
         3,
         SM_SCHEMA,
         "column \"Name\" of the table is missing here",
         "Is it \"name\"?"},
        {{{.name = {"day", 3}, .type = &sm_type_date},
          {.name = {"Name", 4}, .type = &sm_type_string},
          {.name = {"amount", 6}, .type = &sm_type_i64},
          {.name = {"x", 1}, .type = &sm_type_i64}},
         4,
         SM_SCHEMA,
         "column \"x\" is not in the table",
         ""},
        {{{.name = {"amount", 6}, .type = &sm_type_i64},
          {.name = {"day", 3}, .type = &sm_type_date},
          {.name = {"Name", 4}, .type = &sm_type_string}},
         3,
         SM_OK,
         "",
         ""},
    };
    kit k;
    sm_error e = {0};
    kit_init(&k);
    const sm_write w = write_to(&k, SM_WRITE_APPEND);
    assert_ok(write_orders(&k, &w, first_rows, 3, NULL, &e), &e);
    for (int i = 0; i < SM_COUNT(rows); i++) {
        sm_stage *s = NULL;
        const sm_type schema = {
            .id = SM_TYPE_STRUCT, .fields = rows[i].fields, .n_fields = rows[i].n};
        assert_status(sm_stage_open(&w, &schema, &k.env, &s, &e), rows[i].want, &e);
        if (rows[i].want != SM_OK) {
            assert_string_equal(e.what, rows[i].what);
            assert_non_null(strstr(e.todo, rows[i].todo));
            assert_non_null(strstr(e.frame[0], "silver/orders"));
        }
        sm_stage_close(s);
    }
    kit_release(&k);
}

/* Columns in another order are matched by name. */
static void test_order(void **state)
{
    static const int32_t turned[] = {2, 0, 1};
    kit k;
    sm_error e = {0};
    sm_stage *s = NULL;
    sm_candidate *c = NULL;
    sm_batch *other = NULL;
    int64_t version = 0;
    kit_init(&k);
    const sm_write w = write_to(&k, SM_WRITE_APPEND);
    assert_ok(write_orders(&k, &w, first_rows, 3, NULL, &e), &e);

    const sm_field fields[] = {order_fields[2], order_fields[0], order_fields[1]};
    const sm_type schema = {.id = SM_TYPE_STRUCT, .fields = fields, .n_fields = 3};
    sm_batch *b = orders(&k, more_rows, 1);
    assert_ok(sm_batch_project(b, &schema, turned, &other, &e), &e);
    assert_ok(sm_stage_open(&w, &schema, &k.env, &s, &e), &e);
    assert_ok(push_all(s, other, &e), &e);
    assert_ok(finish_all(s, &e), &e);
    assert_ok(sm_stage_candidate(s, &c, &e), &e);
    sm_stage_close(s);
    assert_ok(sm_publish(&c, 1, k.budget, &version, NULL, &e), &e);
    sm_candidate_release(c);
    sm_batch_release(other);
    sm_batch_release(b);
    assert_string_equal(table_text(&k, "silver", "orders"), FIRST_TEXT MORE_TEXT);
    kit_release(&k);
}

/* An overwrite with other columns changes the table's schema, and keeps its id. */
static void test_new_schema(void **state)
{
    kit k;
    sm_error e = {0};
    sm_stage *s = NULL;
    sm_candidate *c = NULL;
    int64_t version = 0;
    kit_init(&k);
    const sm_write append = write_to(&k, SM_WRITE_APPEND);
    const sm_write overwrite = write_to(&k, SM_WRITE_OVERWRITE);
    assert_ok(write_orders(&k, &append, first_rows, 3, NULL, &e), &e);
    sm_snapshot *before = open_snapshot(&k, "silver/orders");

    const sm_field fields[] = {{.name = {"n", 1}, .type = &sm_type_i32}};
    const sm_type schema = {.id = SM_TYPE_STRUCT, .fields = fields, .n_fields = 1};
    assert_ok(sm_stage_open(&overwrite, &schema, &k.env, &s, &e), &e);
    assert_ok(finish_all(s, &e), &e);
    assert_ok(sm_stage_candidate(s, &c, &e), &e);
    sm_stage_close(s);
    assert_false(sm_candidate_is_empty(c));
    assert_int_equal(sm_candidate_table_rows(c), 0);
    assert_ok(sm_publish(&c, 1, k.budget, &version, NULL, &e), &e);
    sm_candidate_release(c);

    sm_snapshot *after = open_snapshot(&k, "silver/orders");
    const sm_delta_metadata *m = sm_snapshot_metadata(after);
    assert_true(sm_str_eq(m->id, sm_snapshot_metadata(before)->id));
    assert_int_equal(m->schema->n_fields, 1);
    assert_int_equal(m->schema->fields[0].type->id, SM_TYPE_I32);
    assert_true(m->schema->fields[0].is_nullable);
    sm_snapshot_release(before);
    sm_snapshot_release(after);
    kit_release(&k);
}

static void test_refused_types(void **state)
{
    static const struct {
        sm_field fields[2];
        int n;
        sm_status want;
        const char *what;
    } rows[] = {
        {{{.name = {"a", 1}, .type = &sm_type_null}}, 1, SM_UNSUPPORTED, "\"a\" has no type"},
        {{{.name = {"a", 1}, .type = &sm_type_time}}, 1, SM_UNSUPPORTED, "Delta has no type TIME"},
        {{{.name = {"a", 1}, .type = &sm_type_i64}, {.name = {"a", 1}, .type = &sm_type_i64}},
         2,
         SM_SCHEMA,
         "two columns are called \"a\""},
    };
    kit k;
    sm_error e = {0};
    kit_init(&k);
    const sm_write w = write_to(&k, SM_WRITE_APPEND);
    for (int i = 0; i < SM_COUNT(rows); i++) {
        sm_stage *s = NULL;
        const sm_type schema = {
            .id = SM_TYPE_STRUCT, .fields = rows[i].fields, .n_fields = rows[i].n};
        assert_status(sm_stage_open(&w, &schema, &k.env, &s, &e), rows[i].want, &e);
        assert_non_null(strstr(e.what, rows[i].what));
    }
    kit_release(&k);
}

/* Names that differ in case only, at the top and below: two fields of one struct. */
static void test_names_that_differ_in_case(void **state)
{
    static const struct {
        const char *schema;
        const char *what; /* NULL: taken */
    } cases[] = {
        {"STRUCT(a BIGINT, A BIGINT)", "the columns \"a\" and \"A\" differ in case only"},
        {"STRUCT(straße BIGINT, x DATE, STRAßE BIGINT)", "\"straße\" and \"STRAßE\" differ"},
        {"STRUCT(É BIGINT, é BIGINT)", "\"É\" and \"é\" differ in case only"},
        {"STRUCT(s STRUCT(a BIGINT, A BIGINT))", "\"a\" and \"A\" in column \"s\" differ"},
        {"STRUCT(l STRUCT(x STRUCT(b BIGINT, c DATE, B BIGINT)[])[])",
         "\"b\" and \"B\" in column \"l.x\" differ"},
        {"STRUCT(m MAP(VARCHAR, STRUCT(v BIGINT, V DATE)))", "\"v\" and \"V\" in column \"m\""},
        {"STRUCT(a STRUCT(b BIGINT), b STRUCT(A BIGINT), c STRUCT(a BIGINT, b BIGINT))", NULL},
    };
    kit k;
    sm_error e = {0};
    kit_init(&k);
    const sm_write w = write_to(&k, SM_WRITE_APPEND);
    for (int i = 0; i < SM_COUNT(cases); i++) {
        sm_stage *s = NULL;
        const sm_type *schema = NULL;
        assert_ok(sm_type_parse(sm_str_of(cases[i].schema), k.arena, &schema, &e), &e);
        const sm_status st = sm_stage_open(&w, schema, &k.env, &s, &e);
        assert_status(st, cases[i].what ? SM_SCHEMA : SM_OK, &e);
        if (cases[i].what && !strstr(e.what, cases[i].what)) {
            fail_msg("%s: %s", cases[i].schema, e.what);
        }
        sm_stage_close(s);
    }
    kit_release(&k);
}

/* ---- tables made by others ------------------------------------------------------------------- */

#define PROTOCOL "{\"protocol\":{\"minReaderVersion\":1,\"minWriterVersion\":2}}\n"
#define METADATA(nullable, partition)                                                              \
    "{\"metaData\":{\"id\":\"i\",\"format\":{\"provider\":\"parquet\",\"options\":{}},"            \
    "\"schemaString\":\"{\\\"type\\\":\\\"struct\\\",\\\"fields\\\":["                             \
    "{\\\"name\\\":\\\"day\\\",\\\"type\\\":\\\"date\\\",\\\"nullable\\\":true,\\\"metadata\\\":{" \
    "}},"                                                                                          \
    "{\\\"name\\\":\\\"Name\\\",\\\"type\\\":\\\"string\\\",\\\"nullable\\\":" nullable            \
    ",\\\"metadata\\\":{\\\"comment\\\":\\\"who\\\"}},"                                            \
    "{\\\"name\\\":\\\"amount\\\",\\\"type\\\":\\\"long\\\",\\\"nullable\\\":true,"                \
    "\\\"metadata\\\":{}}]}\","                                                                    \
    "\"partitionColumns\":[" partition "],\"configuration\":{}}}\n"

static void put_table(kit *k, const char *text)
{
    sm_error e = {0};
    sm_store *s = NULL;
    assert_ok(sm_store_open(test_stores, kit_uri(k, "silver/orders"), &s, &e), &e);
    put_text(s, "_delta_log/00000000000000000000.json", text);
    sm_store_release(s);
}

static void test_not_null(void **state)
{
    kit k;
    sm_error e = {0};
    kit_init(&k);
    const sm_write w = write_to(&k, SM_WRITE_APPEND);
    put_table(&k, PROTOCOL METADATA("false", ""));

    assert_status(write_orders(&k, &w, first_rows, 3, NULL, &e), SM_SCHEMA, &e);
    assert_string_equal(e.what,
                        "column \"Name\" of the table is NOT NULL, but a row has NULL in it");
    assert_int_equal(count_data_files(&k, "silver/orders"), 0);
    assert_ok(write_orders(&k, &w, more_rows, 1, NULL, &e), &e);
    sm_snapshot *s = open_snapshot(&k, "silver/orders");
    assert_false(sm_snapshot_metadata(s)->schema->fields[1].is_nullable);
    assert_int_equal(sm_snapshot_metadata(s)->schema->fields[1].n_meta, 1);
    sm_snapshot_release(s);
    kit_release(&k);
}

/* ---- two writers ----------------------------------------------------------------------------- */

static void test_conflict(void **state)
{
    kit k;
    sm_error e = {0};
    sm_candidate *c = NULL;
    int64_t version = 0;
    kit_init(&k);
    const sm_write append = write_to(&k, SM_WRITE_APPEND);
    const sm_write overwrite = write_to(&k, SM_WRITE_OVERWRITE);

    assert_ok(write_orders(&k, &append, first_rows, 3, NULL, &e), &e);
    assert_ok(stage_orders(&k, &overwrite, first_rows, 1, 1, &c, &e), &e);
    assert_ok(write_orders(&k, &append, more_rows, 1, NULL, &e), &e);
    assert_status(sm_publish(&c, 1, k.budget, &version, NULL, &e), SM_CONFLICT, &e);
    assert_int_equal(version, -1);
    sm_candidate_release(c);
    assert_int_equal(count_data_files(&k, "silver/orders"), 2);

    /* An append goes behind the other writer's commit. */
    assert_ok(stage_orders(&k, &append, more_rows, 1, 1, &c, &e), &e);
    assert_ok(write_orders(&k, &append, more_rows, 1, NULL, &e), &e);
    assert_ok(sm_publish(&c, 1, k.budget, &version, NULL, &e), &e);
    assert_int_equal(version, 3);
    sm_candidate_release(c);
    assert_string_equal(table_text(&k, "silver", "orders"),
                        FIRST_TEXT MORE_TEXT MORE_TEXT MORE_TEXT);
    kit_release(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_append),
        cmocka_unit_test(test_overwrite),
        cmocka_unit_test(test_nothing_to_append),
        cmocka_unit_test(test_notes),
        cmocka_unit_test(test_commit_info),
        cmocka_unit_test(test_split),
        cmocka_unit_test(test_file_bytes),
        cmocka_unit_test(test_unpublished),
        cmocka_unit_test(test_schema),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_new_schema),
        cmocka_unit_test(test_refused_types),
        cmocka_unit_test(test_names_that_differ_in_case),
        cmocka_unit_test(test_not_null),
        cmocka_unit_test(test_conflict),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
