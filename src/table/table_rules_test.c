/* SPDX-License-Identifier: Apache-2.0
 *
 * table/table_rules_test.c: rows that break what a table says of its rows stop the write before a
 * version is made; columns that rows do not have are computed; what is not understood is refused
 * before a row is written. */
#include "orders.h"

/* Version 0 of silver/orders, as another writer makes it: protocol, columns (day, Name, amount,
 * then `more`), configuration. */
static void make_table(kit *k, const char *protocol, const char *amount_meta, const char *more,
                       const char *config)
{
    sm_error e = {0};
    sm_store *s = NULL;
    sm_buf log = {0};
    sm_buf_printf(
        &log,
        "{\"protocol\":%s}\n"
        "{\"metaData\":{\"id\":\"o\",\"format\":{\"provider\":\"parquet\",\"options\":{}},"
        "\"schemaString\":\"{\\\"type\\\":\\\"struct\\\",\\\"fields\\\":["
        "{\\\"name\\\":\\\"day\\\",\\\"type\\\":\\\"date\\\",\\\"nullable\\\":true,"
        "\\\"metadata\\\":{}},"
        "{\\\"name\\\":\\\"Name\\\",\\\"type\\\":\\\"string\\\",\\\"nullable\\\":true,"
        "\\\"metadata\\\":{}},"
        "{\\\"name\\\":\\\"amount\\\",\\\"type\\\":\\\"long\\\",\\\"nullable\\\":true,"
        "\\\"metadata\\\":{%s}}%s]}\",\"partitionColumns\":[],\"configuration\":{%s}}}\n",
        protocol, amount_meta, more, config);
    assert_ok(sm_store_open(test_stores, kit_uri(k, "silver/orders"), &s, &e), &e);
    put_text(s, "_delta_log/00000000000000000000.json",
             sm_arena_str(k->arena, sm_buf_str(&log)).data);
    sm_store_release(s);
    sm_buf_release(&log);
}

#define PROTOCOL(writer) "{\"minReaderVersion\":1,\"minWriterVersion\":" #writer "}"
#define FEATURES(names)                                                                            \
    "{\"minReaderVersion\":1,\"minWriterVersion\":7,\"writerFeatures\":[" names "]}"
#define COLUMN(name, type, meta)                                                                   \
    ",{\\\"name\\\":\\\"" name "\\\",\\\"type\\\":\\\"" type                                       \
    "\\\",\\\"nullable\\\":true,\\\"metadata\\\":{" meta "}}"
#define META(key, text) "\\\"" key "\\\":\\\"" text "\\\""

static sm_write append_to(kit *k)
{
    return (sm_write){.uri = kit_uri(k, "silver/orders")};
}

/* ---- rows that break a rule ------------------------------------------------------------------ */

static const order good[] = {{"2022-04-01", "anna", 5}, {"2022-04-02", "bert", 7}};
static const order negative[] = {{"2022-04-01", "anna", 5}, {"2022-04-02", "bert", -7}};
static const order unknown[] = {{"2022-04-01", "anna", 5}, {"2022-04-02", NULL, NO_NUMBER}};

static void test_conditions(void **state)
{
    static const struct {
        const char *protocol, *meta, *config;
        const char *negative, *unknown; /* what is said of these rows; NULL: they are written */
    } rows[] = {
        {PROTOCOL(3), "", "\"delta.constraints.positive\":\"amount > 0\"",
         "constraint \"positive\" (amount > 0) does not hold for a row: amount = -7",
         "constraint \"positive\" (amount > 0) does not hold for a row: amount = NULL"},
        {FEATURES("\"checkConstraints\""), "",
         "\"delta.constraints.a\":\"amount is null OR amount > 0\","
         "\"delta.constraints.b\":\"Name <> 'bert' or AMOUNT > -9\"",
         "constraint \"a\" (amount is null OR amount > 0) does not hold for a row: amount = -7",
         "constraint \"b\" (Name <> 'bert' or AMOUNT > -9) does not hold for a row: Name = NULL, "
         "amount = NULL"},
        {PROTOCOL(2),
         "\\\"delta.invariants\\\":\\\"{\\\\\\\"expression\\\\\\\":{\\\\\\\"expression\\\\\\\":"
         "\\\\\\\"amount >= -6\\\\\\\"}}\\\"",
         "",
         "the invariant of column \"amount\" (amount >= -6) does not hold for a row: amount = -7",
         "the invariant of column \"amount\" (amount >= -6) does not hold for a row: amount = "
         "NULL"},
        {PROTOCOL(6), "", "\"delta.constraints.x\":\"true\"", NULL, NULL},
        {FEATURES("\"generatedColumns\""), META("delta.generationExpression", "length(Name) + 1"),
         "",
         "generated column \"amount\" (length(Name) + 1) does not hold for a row: amount = -7, "
         "Name = bert",
         NULL}, /* NULL is generated from NULL */
    };
    for (int i = 0; i < SM_COUNT(rows); i++) {
        kit k;
        sm_error e = {0};
        kit_init(&k);
        const sm_write w = append_to(&k);
        make_table(&k, rows[i].protocol, rows[i].meta, "", rows[i].config);
        const char *const what[] = {rows[i].negative, rows[i].unknown};
        const bool is_generated = rows[i].meta[0] != 0 && rows[i].config[0] == 0 && i == 4;
        const order fitting[] = {{"2022-04-01", "anna", is_generated ? 5 : 1}};
        assert_ok(write_orders(&k, &w, fitting, 1, NULL, &e), &e);
        for (int bad = 0; bad < 2; bad++) {
            const int before = count_data_files(&k, "silver/orders");
            const sm_status st = write_orders(&k, &w, bad ? unknown : negative, 2, NULL, &e);
            assert_status(st, what[bad] ? SM_INVALID : SM_OK, &e);
            if (what[bad]) {
                assert_string_equal(e.what, what[bad]);
                assert_int_equal(count_data_files(&k, "silver/orders"), before);
            }
        }
        kit_release(&k);
    }
}

/* ---- columns that rows do not have ----------------------------------------------------------- */

static void test_computed(void **state)
{
    static const struct {
        const char *more, *want;
    } rows[] = {
        {COLUMN("year", "integer", META("delta.generationExpression", "year(day)"))
             COLUMN("kind", "string", META("CURRENT_DEFAULT", "'new'")),
         "2022-04-01 anna 5 2022 new;2022-04-02 bert 7 2022 new;"},
        {COLUMN("twice", "long", META("delta.generationExpression", "n * 2 + amount"))
             COLUMN("n", "integer", META("CURRENT_DEFAULT", "40 + 2")),
         "2022-04-01 anna 5 89 42;2022-04-02 bert 7 91 42;"},
        {COLUMN("none", "integer", META("CURRENT_DEFAULT", "NULL")),
         "2022-04-01 anna 5 NULL;2022-04-02 bert 7 NULL;"},
    };
    for (int i = 0; i < SM_COUNT(rows); i++) {
        for (sm_write_mode mode = SM_WRITE_APPEND; mode <= SM_WRITE_REPLACE_WHERE; mode++) {
            kit k;
            sm_error e = {0};
            kit_init(&k);
            sm_write w = append_to(&k);
            w.mode = mode;
            w.where = where_sql("amount > 5");
            make_table(&k, FEATURES("\"generatedColumns\",\"allowColumnDefaults\""), "",
                       rows[i].more, "");
            if (mode == SM_WRITE_REPLACE_WHERE) {
                const sm_write first = append_to(&k);
                assert_ok(write_orders(&k, &first, good, 2, NULL, &e), &e);
                assert_ok(write_orders(&k, &w, good + 1, 1, NULL, &e), &e);
            } else {
                assert_ok(write_orders(&k, &w, good, 2, NULL, &e), &e);
            }
            assert_string_equal(table_text(&k, "silver", "orders"), rows[i].want);
            kit_release(&k);
        }
    }
}

/* The time of a default is that of the write. */
static void test_default_now(void **state)
{
    kit k;
    sm_error e = {0};
    kit_init(&k);
    const sm_write w = append_to(&k);
    make_table(&k, FEATURES("\"allowColumnDefaults\""), "",
               COLUMN("today", "date", META("CURRENT_DEFAULT", "current_date()")), "");
    const int64_t before = sm_now_us() / 1000000 / 86400;
    assert_ok(write_orders(&k, &w, good, 1, NULL, &e), &e);
    sm_buf want[2] = {{0}, {0}};
    for (int i = 0; i < 2; i++) {
        sm_buf_text(&want[i], SM_STR("2022-04-01 anna 5 "));
        sm_value_print((sm_value){.type = &sm_type_date, .as.i = before + i}, &want[i]);
        sm_buf_text(&want[i], SM_STR(";"));
    }
    const sm_str text = sm_str_of(table_text(&k, "silver", "orders"));
    assert_true(sm_str_eq(text, sm_buf_str(&want[0])) || sm_str_eq(text, sm_buf_str(&want[1])));
    sm_buf_release(&want[0]);
    sm_buf_release(&want[1]);
    kit_release(&k);
}

/* ---- what stops a write before it begins ----------------------------------------------------- */

static void test_refused(void **state)
{
    static const struct {
        const char *protocol, *meta, *more, *config;
        sm_status want;
        const char *what, *frame;
    } rows[] = {
        {PROTOCOL(3), "", "", "\"delta.constraints.c\":\"amount / 2 > 0\"", SM_UNSUPPORTED,
         "/ of Spark's SQL", "constraint \"c\": amount / 2 > 0"},
        {PROTOCOL(3), "", "", "\"delta.constraints.c\":\"gone > 0\"", SM_NAME, "no column \"gone\"",
         "constraint \"c\": gone > 0"},
        {PROTOCOL(2), META("delta.invariants", "x"), "", "", SM_UNSUPPORTED,
         "the invariant of column \"amount\" is of an unknown form", "table"},
        {PROTOCOL(4), META("delta.generationExpression", "rand()"), "", "", SM_UNSUPPORTED,
         "rand of Spark's SQL", "generated column \"amount\": rand()"},
        {FEATURES("\"allowColumnDefaults\""), "",
         COLUMN("id", "string", META("CURRENT_DEFAULT", "uuid()")), "", SM_UNSUPPORTED,
         "uuid of Spark's SQL", "the default of column \"id\": uuid()"},
        {PROTOCOL(4), "", COLUMN("_Change_Type", "string", ""),
         "\"delta.enableChangeDataFeed\":\"true\"", SM_SCHEMA,
         "column \"_Change_Type\" of the table has the name of one of its changes", "table"},
        {PROTOCOL(6), "\\\"delta.identity.start\\\":1", "", "", SM_DENIED,
         "the column \"amount\" is GENERATED ALWAYS AS IDENTITY", "table"},
        {FEATURES("\"icebergCompatV2\""), "", "", "", SM_UNSUPPORTED,
         "the table needs the writer feature \"icebergCompatV2\", which is not supported", "table"},
        {PROTOCOL(8), "", "", "", SM_UNSUPPORTED,
         "the table needs writer version 8; versions 1 to 7 can be written", "table"},
    };
    for (int i = 0; i < SM_COUNT(rows); i++) {
        kit k;
        sm_error e = {0};
        sm_stage *s = NULL;
        kit_init(&k);
        const sm_write w = append_to(&k);
        make_table(&k, rows[i].protocol, rows[i].meta, rows[i].more, rows[i].config);
        assert_status(sm_stage_open(&w, &order_schema, &k.env, &s, &e), rows[i].want, &e);
        assert_string_equal(e.what, rows[i].what);
        assert_true(sm_str_starts(sm_str_of(e.frame[0]), sm_str_of(rows[i].frame)));
        kit_release(&k);
    }
}

/* Old protocols have features by their number: a table that uses none of them is written. */
static void test_old_protocols(void **state)
{
    static const char *const protocols[] = {
        PROTOCOL(1),
        PROTOCOL(2),
        PROTOCOL(3),
        PROTOCOL(4),
        PROTOCOL(5),
        PROTOCOL(6),
        FEATURES("\"changeDataFeed\",\"identityColumns\",\"columnMapping\""),
    };
    for (int i = 0; i < SM_COUNT(protocols); i++) {
        kit k;
        sm_error e = {0};
        kit_init(&k);
        const sm_write w = append_to(&k);
        make_table(&k, protocols[i], "", "", "\"delta.enableChangeDataFeed\":\"false\"");
        assert_ok(write_orders(&k, &w, good, 2, NULL, &e), &e);
        assert_string_equal(table_text(&k, "silver", "orders"),
                            "2022-04-01 anna 5;2022-04-02 bert 7;");
        kit_release(&k);
    }
}

/* ---- column mapping -------------------------------------------------------------------------- */

#define MAPPED(id, name)                                                                           \
    "\\\"delta.columnMapping.id\\\":" #id ",\\\"delta.columnMapping.physicalName\\\":\\\"" name    \
    "\\\""

static void put_mapped(kit *k, const char *mode)
{
    sm_error e = {0};
    sm_store *s = NULL;
    const char *log =
        sm_arena_strf(
            k->arena,
            "{\"protocol\":{\"minReaderVersion\":2,\"minWriterVersion\":5}}\n"
            "{\"metaData\":{\"id\":\"o\",\"format\":{\"provider\":\"parquet\"},"
            "\"schemaString\":\"{\\\"type\\\":\\\"struct\\\",\\\"fields\\\":["
            "{\\\"name\\\":\\\"day\\\",\\\"type\\\":\\\"date\\\",\\\"nullable\\\":true,"
            "\\\"metadata\\\":{" MAPPED(
                2, "c-2") "}},"
                          "{\\\"name\\\":\\\"amount\\\",\\\"type\\\":\\\"long\\\",\\\"nullable\\\":"
                          "true,"
                          "\\\"metadata\\\":{" MAPPED(
                              5, "c-5") "}}]}\",\"partitionColumns\":[],"
                                        "\"configuration\":{\"delta.columnMapping.mode\":\"%s\","
                                        "\"delta.columnMapping.maxColumnId\":\"7\"}}}\n",
            mode)
            .data;
    assert_ok(sm_store_open(test_stores, kit_uri(k, "silver/orders"), &s, &e), &e);
    put_text(s, "_delta_log/00000000000000000000.json", log);
    sm_store_release(s);
}

static const char *log_text(kit *k, const char *name)
{
    sm_error e = {0};
    sm_store *s = NULL;
    sm_buf text = {0};
    assert_ok(sm_store_open(test_stores, kit_uri(k, "silver/orders"), &s, &e), &e);
    assert_ok(sm_store_get(s, sm_arena_strf(k->arena, "_delta_log/%s", name), &text, &e), &e);
    const char *out = sm_arena_str(k->arena, sm_buf_str(&text)).data;
    sm_buf_release(&text);
    sm_store_release(s);
    return out;
}

/* A column that is new gets the next id; statistics and files have physical names; metadata that is
 * written again is whole, in both modes. */
static void test_mapped(void **state)
{
    static const char *const modes[] = {"name", "id"};
    for (int i = 0; i < SM_COUNT(modes); i++) {
        kit k;
        sm_error e = {0};
        kit_init(&k);
        put_mapped(&k, modes[i]);
        sm_write w = append_to(&k);
        w.adds_columns = true;
        assert_ok(write_orders(&k, &w, good, 2, NULL, &e), &e);
        assert_ok(write_orders(&k, &w, good + 1, 1, NULL, &e), &e);
        assert_string_equal(table_text(&k, "silver", "orders"),
                            "2022-04-01 5 anna;2022-04-02 7 bert;2022-04-02 7 bert;");
        const char *log = log_text(&k, "00000000000000000001.json");
        assert_non_null(strstr(log, MAPPED(2, "c-2")));
        assert_non_null(strstr(log, MAPPED(5, "c-5")));
        assert_non_null(strstr(log, "\\\"delta.columnMapping.id\\\":8,"
                                    "\\\"delta.columnMapping.physicalName\\\":\\\"col-"));
        assert_non_null(strstr(log, "\"delta.columnMapping.maxColumnId\":\"8\""));
        assert_non_null(strstr(log, "\\\"c-5\\\":7")); /* the largest amount */
        assert_null(strstr(log, "smelt.unused"));

        /* Before the column its id was free: going back there would give it away again. */
        sm_restored restored;
        sm_store *s = NULL;
        const sm_restore back = {.at = {.kind = SM_AT_VERSION, .version = 0}};
        assert_ok(sm_store_open(test_stores, w.uri, &s, &e), &e);
        assert_status(sm_table_restore(s, &back, k.budget, &restored, &e), SM_UNSUPPORTED, &e);
        sm_store_release(s);
        kit_release(&k);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conditions),    cmocka_unit_test(test_computed),
        cmocka_unit_test(test_default_now),   cmocka_unit_test(test_refused),
        cmocka_unit_test(test_old_protocols), cmocka_unit_test(test_mapped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
