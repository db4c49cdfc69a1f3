/* SPDX-License-Identifier: Apache-2.0
 *
 * delta/delta_stats_test.c: bounds as they are written into the log, and what is made of those that
 * others wrote. */
#include "test.h"

#include "delta/delta_int.h"

/* One column x of the type. */
static const sm_type *schema_of(const char *type, sm_arena *a)
{
    char text[256];
    const sm_type *schema = NULL;
    sm_error e = {0};

    snprintf(text, sizeof(text), "STRUCT(x %s)", type);
    assert_ok(sm_type_parse(sm_str_of(text), a, &schema, &e), &e);
    return schema;
}

static sm_value value_of(const sm_type *t, const char *text)
{
    sm_value v = {0};
    sm_error e = {0};

    assert_ok(sm_value_parse(t, sm_str_of(text), &v, &e), &e);
    return v;
}

static const char nothing[] = "{\"numRecords\":3,\"nullCount\":{\"x\":1}}";

/* What stands in the log for a file of 3 rows, one of them NULL. */
static void bounds_are_written_as_others_read_them(void **state)
{
    static const struct {
        const char *type, *min, *max;
        const char *want_min, *want_max; /* JSON; NULL: no bounds at all */
    } cases[] = {
        {"BOOLEAN", "false", "true", "false", "true"},
        {"DOUBLE", "-inf", "inf", "\"-Infinity\"", "\"Infinity\""},
        {"DOUBLE", "0.0", "0.0", "-0.0", "0.0"},
        {"DOUBLE", "-0.0", "-0.0", "-0.0", "0.0"},
        {"FLOAT", "-0.0", "5.5", "-0.0", "5.5"},
        {"DECIMAL(2,2)", "-0.50", "0.25", "-0.50", "0.25"},
        {"DECIMAL(38,0)", "-99999999999999999999999999999999999999", "1",
         "-99999999999999999999999999999999999999", "1"},
        {"DATE", "0001-01-01", "9999-12-31", "\"0001-01-01\"", "\"9999-12-31\""},
        {"DATE", "2022-04-01", "10000-01-01", NULL, NULL},
        {"DATE", "0000-12-31", "2022-04-01", NULL, NULL},
        {"TIMESTAMP", "1969-12-31 23:59:59.9999", "2022-04-01 17:05:00.1230",
         "\"1969-12-31T23:59:59.999\"", "\"2022-04-01T17:05:00.123\""},
        {"TIMESTAMP", "2022-04-01 17:05:00.123456", "2022-04-01 17:05:00.123456",
         "\"2022-04-01T17:05:00.123\"", "\"2022-04-01T17:05:00.124\""},
        {"TIMESTAMP WITH TIME ZONE", "1969-12-31 23:59:59.9999", "1969-12-31 23:59:59.9999",
         "\"1969-12-31T23:59:59.999Z\"", "\"1970-01-01T00:00:00.000Z\""},
        {"TIMESTAMP", "0001-01-01 00:00:00", "9999-12-31 23:59:59.999",
         "\"0001-01-01T00:00:00.000\"", "\"9999-12-31T23:59:59.999\""},
        {"TIMESTAMP", "0001-01-01 00:00:00", "9999-12-31 23:59:59.999001", NULL, NULL},
    };

    for (int i = 0; i < SM_COUNT(cases); i++) {
        sm_arena *a = sm_arena_new(NULL);
        const sm_type *schema = schema_of(cases[i].type, a), *t = schema->fields[0].type;
        const sm_range r = {.has_min = true,
                            .has_max = true,
                            .has_nulls = true,
                            .min = value_of(t, cases[i].min),
                            .max = value_of(t, cases[i].max),
                            .n_nulls = 1,
                            .n_rows = 3};
        sm_buf text = {0};
        char want[512];
        snprintf(want, sizeof(want),
                 "{\"numRecords\":3,\"minValues\":{\"x\":%s},\"maxValues\":{\"x\":%s}"
                 ",\"nullCount\":{\"x\":1}}",
                 cases[i].want_min, cases[i].want_max);
        smi_stats_print(&(sm_delta_metadata){.schema = schema}, &r, 3, &text);
        sm_buf_text(&text, (sm_str){"", 1});
        assert_string_equal(text.data, cases[i].want_min ? want : nothing);
        sm_buf_release(&text);
        sm_arena_free(a);
    }
}

/* Bounds of one column that cannot be told take those of all others with them; a column of NULL
 * and those that Delta has no bounds for do not. */
static void a_file_has_all_bounds_or_none(void **state)
{
    sm_arena *a = sm_arena_new(NULL);
    const sm_type *schema = NULL;
    sm_buf text = {0};
    sm_error e = {0};
    assert_ok(
        sm_type_parse(SM_STR("STRUCT(i BIGINT, d DOUBLE, n VARCHAR, b BLOB, s STRUCT(a DATE))"), a,
                      &schema, &e),
        &e);
    sm_range r[5] = {
        {.has_min = true, .has_max = true, .min = sm_value_i64(1), .max = sm_value_i64(2)},
        {.has_min = true, .has_max = true},
        {.has_nulls = true, .n_nulls = 2},
    };
    r[1].min = r[1].max = value_of(&sm_type_f64, "1.5");

    smi_stats_print(&(sm_delta_metadata){.schema = schema}, r, 2, &text);
    sm_buf_text(&text, (sm_str){"", 1});
    assert_string_equal(text.data, "{\"numRecords\":2,\"minValues\":{\"i\":1,\"d\":1.5},"
                                   "\"maxValues\":{\"i\":2,\"d\":1.5},\"nullCount\":{\"n\":2}}");
    r[1].may_have_nan = true;
    sm_buf_reset(&text);
    smi_stats_print(&(sm_delta_metadata){.schema = schema}, r, 2, &text);
    sm_buf_text(&text, (sm_str){"", 1});
    assert_string_equal(text.data, "{\"numRecords\":2,\"nullCount\":{\"n\":2}}");
    r[1].may_have_nan = false;
    r[0].has_max = false; /* text that has no upper end */
    sm_buf_reset(&text);
    smi_stats_print(&(sm_delta_metadata){.schema = schema}, r, 2, &text);
    sm_buf_text(&text, (sm_str){"", 1});
    assert_string_equal(text.data, "{\"numRecords\":2,\"nullCount\":{\"n\":2}}");
    sm_buf_release(&text);
    sm_arena_free(a);
}

/* A value that a file has, beside the bounds that some writer has put there for it. */
static void bounds_of_others_do_not_exclude_what_they_bound(void **state)
{
    static const struct {
        const char *type, *min, *max; /* JSON, "" for none */
        const char *value;            /* within */
        const char *below, *above;    /* shown to be without; NULL: nothing is */
    } cases[] = {
        {"BIGINT", "1", "5", "5", "0", "6"},
        {"BIGINT", "9007199254740993.0", "9007199254740993.0", "9007199254740993", NULL, NULL},
        {"BIGINT", "1e3", "2e3", "7", NULL, NULL},
        {"BIGINT", "\"1\"", "\"5\"", "7", NULL, NULL},
        {"BIGINT", "5", "1", "3", NULL, NULL}, /* they contradict each other */
        {"INTEGER", "1", "99999999999", "7", "0", NULL},
        {"BOOLEAN", "false", "false", "false", NULL, "true"},
        {"BOOLEAN", "0", "1", "false", NULL, NULL},
        /* through doubles */
        {"DECIMAL(18,2)", "1234567890123456.8", "1e+16", "1234567890123456.78",
         "1234567890123450.00", NULL},
        {"DECIMAL(18,2)", "1234567890123456.8", "1234567890123456.8", "1234567890123456.78",
         "1234567890123440.00", "1234567890123470.00"},
        {"DECIMAL(38,0)", "9.9999999999999998e37", "9.9999999999999998e37",
         "99999999999999999999999999999999999999", "99000000000000000000000000000000000000", NULL},
        {"DECIMAL(5,2)", "1.25", "1.25", "1.25", "1.24", "1.26"},
        {"DECIMAL(5,2)", "1.249999", "1.250001", "1.25", "1.23", "1.27"},
        {"DECIMAL(18,0)", "999999999999999872", "999999999999999872", "999999999999999999",
         "999999999999000000", NULL},
        {"DECIMAL(18,0)", "-999999999999999872", "-999999999999999872", "-999999999999999999", NULL,
         "-999999999999000000"},
        /* cut to milliseconds, or read by half */
        {"TIMESTAMP", "\"2022-04-01T17:05:00.123\"", "\"2022-04-01T17:05:00.123\"",
         "2022-04-01 17:05:00.123999", "2022-04-01 17:05:00.122999", "2022-04-01 17:05:00.124"},
        {"TIMESTAMP", "\"1969-12-31T23:59:59.999\"", "\"1969-12-31T23:59:59.999\"",
         "1969-12-31 23:59:59.998001", "1969-12-31 23:59:59.998", "1970-01-01 00:00:00"},
        {"TIMESTAMP", "\"2022-04-01T17:05:00.123+02:00\"", "\"2022\"", "2000-01-01 00:00:00", NULL,
         NULL},
        {"TIMESTAMP WITH TIME ZONE", "\"2022-04-01T17:05:00.123-07:00\"",
         "\"2022-04-01T17:05:00.123-07:00\"", "2022-04-02 00:05:00.1235Z",
         "2022-04-02 00:05:00.122Z", "2022-04-02 00:05:00.124Z"},
        {"TIMESTAMP", "\"2022-04-01T17:05:00\"", "\"2022-04-01T17:05:00Z\"",
         "2022-04-01 17:05:00.999999", "2022-04-01 17:04:59.999999", "2022-04-01 17:05:01"},
        {"TIMESTAMP", "\"2022-04-01\"", "\"2022-04-01\"", "2022-04-01 17:05:00", NULL, NULL},
        {"DATE", "\"2022-4-1\"", "\"2022-04-01T00:00:00Z\"", "2022-04-01", NULL, NULL},
        {"DATE", "19000", "19000", "2022-04-01", NULL, NULL},
        /* text that was cut, and marked by a character that is not the last */
        {"VARCHAR", "\"a\"", "\"az\xEF\xBF\xBD\"", "az\xF0\x9F\x98\x80", "A", "b"},
        {"VARCHAR", "\"a\"", "\"az\x7F\"", "az~", "A", "b"},
        {"DOUBLE", "\"-Infinity\"", "\"Infinity\"", "inf", NULL, NULL},
        {"DOUBLE", "\"NaN\"", "\"NaN\"", "1.0", NULL, NULL},
        {"DOUBLE", "0.0", "5.0", "-0.0", "-1.0", NULL}, /* NaN may be above */
        {"FLOAT", "0.10000000149011612", "1.0", "0.1", "0.05", NULL},
    };

    for (int i = 0; i < SM_COUNT(cases); i++) {
        sm_arena *a = sm_arena_new(NULL);
        const sm_type *schema = schema_of(cases[i].type, a), *t = schema->fields[0].type;
        const sm_range *ranges = NULL;
        int64_t n_rows = 0;
        char json[512];
        snprintf(json, sizeof(json),
                 "{\"numRecords\":3,\"minValues\":{\"x\":%s},\"maxValues\":{\"x\":%s}"
                 ",\"nullCount\":{\"x\":0}}",
                 cases[i].min, cases[i].max);
        smi_stats_parse(sm_str_of(json), schema, a, &n_rows, &ranges);
        assert_int_equal(n_rows, 3);
        const char *const values[] = {cases[i].value, cases[i].below, cases[i].above};
        for (int k = 0; k < 3; k++) {
            const sm_bound_op op = k == 2 ? SM_BOUND_GE : k == 1 ? SM_BOUND_LE : SM_BOUND_EQ;
            if (values[k]) {
                const sm_bound b = {.op = op, .value = value_of(t, values[k])};
                if (sm_bound_excludes(&b, &ranges[0]) != (k > 0)) {
                    fail_msg("case %d: %s in [%s, %s]", i, values[k], cases[i].min, cases[i].max);
                }
            }
        }
        sm_arena_free(a);
    }
}

static void counts_of_null_are_believed_as_far_as_they_can_be(void **state)
{
    static const struct {
        const char *json;
        bool has_nulls;
    } cases[] = {
        {"{\"numRecords\":3,\"nullCount\":{\"x\":3}}", true},
        {"{\"numRecords\":3,\"nullCount\":{\"x\":4}}", false},
        {"{\"numRecords\":3,\"nullCount\":{\"x\":-1}}", false},
        {"{\"numRecords\":3,\"nullCount\":{\"x\":\"0\"}}", false},
        {"{\"numRecords\":3,\"minValues\":{\"x\":1},\"nullCount\":{\"x\":3}}", false},
    };

    for (int i = 0; i < SM_COUNT(cases); i++) {
        sm_arena *a = sm_arena_new(NULL);
        const sm_range *ranges = NULL;
        int64_t n_rows = 0;
        smi_stats_parse(sm_str_of(cases[i].json), schema_of("BIGINT", a), a, &n_rows, &ranges);
        assert_int_equal(ranges[0].has_nulls, cases[i].has_nulls);
        sm_arena_free(a);
    }
}

static void assert_same_bound(bool has, sm_value v, bool has_other, sm_value other)
{
    assert_int_equal(has, has_other);
    if (has) {
        assert_true(sm_value_eq(v, other));
    }
}

/* Of texts as writers write them and of odd ones, some columns are found as by parsing all. */
static void picking_gives_what_parsing_does(void **state)
{
#define SOME "\"numRecords\":3,\"minValues\":{\"x\":1},\"maxValues\":{\"x\":5}"
    static const char *const texts[] = {
        "",
        "{}",
        "[]",
        "{" SOME "}",
        " { " SOME " , \"nullCount\" : { \"x\" : 0 } } \n",
        "{" SOME ",\"nullCount\":{\"x\":0},\"tightBounds\":true}",
        "{" SOME ",\"nullCount\":{\"other\":{\"x\":0}}}",
        "{" SOME ",\"nullCount\":{\"x\":{\"x\":0}}}",
        "{\"more\":[{\"x\":\"}\"},\"]\"]," SOME "}",
        "{" SOME ",\"minValues\":{\"x\":4}}", /* the last one counts */
        "{" SOME ",\"minValues\":{\"x\":2,\"x\":3}}",
        "{" SOME ",\"minValues\":null}",
        "{" SOME ",\"minValues\":7}",
        "{" SOME ",\"minValues\":{}}",
        "{" SOME ",\"minValues\":{\"\\u0078\":2}}", /* an escaped key */
        "{" SOME ",\"maxValues\":{\"y\":\"\\\"x\\\":9\",\"x\":8}}",
        "{" SOME ",\"maxValues\":{\"y\":\"a\\\\\",\"x\":8}}",
        "{" SOME ",\"maxValues\":{\"x\":\"5\"}}",
        "{" SOME ",\"maxValues\":{\"x\":01}}",
        "{" SOME ",\"maxValues\":{\"x\":5e0}}",
        "{" SOME ",\"maxValues\":{\"x\":-}}",
        "{" SOME ",\"maxValues\":{\"x\":tru}}",
        "{" SOME ",\"maxValues\":{\"x\":true}}",
        "{" SOME ",\"maxValues\":{\"x\":5}",
        "{" SOME ",\"maxValues\":{\"x\":5}}}",
        "{" SOME ",}",
        "{" SOME " \"maxValues\":{\"x\":5}}",
        "{" SOME ",\"numRecords\":-1}",
        "{" SOME ",\"numRecords\":\"3\"}",
        "{\"minValues\":{\"x\":1}}",
        "{\"numRecords\":1.5}",
        "{\"numRecords\":3",
        "{\"numRecords\":99999999999999999999}",
        "{\"numRecords\":3,\"minValues\":{\"x\":9},\"maxValues\":{\"x\":5}}",
    };

    for (int i = 0; i < SM_COUNT(texts); i++) {
        sm_arena *a = sm_arena_new(NULL);
        const sm_type *schema = schema_of("BIGINT", a);
        const smi_stats_column column = {.name = SM_STR("x"), .type = &sm_type_i64};
        const sm_range *ranges = NULL;
        sm_range picked = {0};
        int64_t n_rows = 0, n_picked = 0;
        smi_stats_parse(sm_str_of(texts[i]), schema, a, &n_rows, &ranges);
        smi_stats_pick(sm_str_of(texts[i]), &column, 1, a, &n_picked, &picked);
        if (n_rows != n_picked) {
            fail_msg("%s: %d rows, %d picked", texts[i], (int)n_rows, (int)n_picked);
        }
        const sm_range r = ranges ? ranges[0] : (sm_range){0};
        assert_same_bound(picked.has_min, picked.min, r.has_min, r.min);
        assert_same_bound(picked.has_max, picked.max, r.has_max, r.max);
        assert_int_equal(picked.has_nulls, r.has_nulls);
        sm_arena_free(a);
    }
    assert_int_equal(smi_stats_rows(SM_STR("{\"numRecords\":12,\"x\":1}")), 12);
    assert_int_equal(smi_stats_rows(SM_STR("{\"numRecords\":12e0}")), 12);
    assert_int_equal(smi_stats_rows(SM_STR("{ \"numRecords\":0}")), 0);
    assert_int_equal(smi_stats_rows(SM_STR("{\"numRecords\":9223372036854775807}")), INT64_MAX);
    assert_int_equal(smi_stats_rows(SM_STR("{\"numRecords\":9223372036854775808}")), -1);
    assert_int_equal(smi_stats_rows(SM_STR("{\"numRecords\":")), -1);
    assert_int_equal(smi_stats_rows(SM_STR("")), -1);
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bounds_are_written_as_others_read_them),
        cmocka_unit_test(a_file_has_all_bounds_or_none),
        cmocka_unit_test(bounds_of_others_do_not_exclude_what_they_bound),
        cmocka_unit_test(counts_of_null_are_believed_as_far_as_they_can_be),
        cmocka_unit_test(picking_gives_what_parsing_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
