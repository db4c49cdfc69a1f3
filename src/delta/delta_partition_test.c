/* SPDX-License-Identifier: Apache-2.0
 *
 * delta/delta_partition_test.c: folders and texts of partition values, and which values have
 * none. */
#include "test.h"

#include "delta/delta_int.h"

#include <math.h>

static sm_value value_of(const char *type, const char *text, sm_arena *a)
{
    const sm_type *schema = NULL;
    sm_value v = {0};
    sm_error e = {0};

    const sm_str all = sm_arena_strf(a, "STRUCT(\"a:b\" %s)", type);
    assert_ok(sm_type_parse(all, a, &schema, &e), &e);
    const sm_type *t = schema->fields[0].type;
    if (!text) {
        return sm_value_null(t);
    }
    if (sm_type_is_bytes(t->id)) {
        return (sm_value){.type = t, .as.s = sm_str_of(text)};
    }
    assert_ok(sm_value_parse(t, sm_str_of(text), &v, &e), &e);
    return v;
}

/* The metadata of a table whose one column is also its partition column. */
static sm_delta_metadata table_of(sm_value v, sm_arena *a)
{
    sm_field *f = SM_NEW(a, sm_field);
    *f = (sm_field){.name = SM_STR("a:b"), .type = v.type, .is_nullable = true};
    return (sm_delta_metadata){
        .schema = sm_type_struct(a, f, 1), .partition_columns = &f->name, .n_partition_columns = 1};
}

static void values_become_folders(void **state)
{
    static const struct {
        const char *type, *value, *text, *folder; /* folder NULL: refused */
    } cases[] = {
        {"VARCHAR", "x", "x", "x"},
        {"VARCHAR", NULL, "", "__HIVE_DEFAULT_PARTITION__"},
        {"VARCHAR", "a/b:c=d%e", "a/b:c=d%e", "a%2Fb%3Ac%3Dd%25e"},
        {"VARCHAR", "\"#'*?\\{[]^\x01\x7f", "\"#'*?\\{[]^\x01\x7f",
         "%22%23%27%2A%3F%5C%7B%5B%5D%5E%01%7F"},
        {"VARCHAR", " }~+&\xC3\xA9", " }~+&\xC3\xA9", " }~+&\xC3\xA9"},
        {"VARCHAR", "", "", NULL},
        {"VARCHAR", "__HIVE_DEFAULT_PARTITION__", "__HIVE_DEFAULT_PARTITION__", NULL},
        {"BLOB", "ab", "ab", "ab"},
        {"BLOB", "\xFF", "\xFF", NULL},
        {"BLOB", "", "", NULL},
        {"BOOLEAN", "true", "true", "true"},
        {"TINYINT", "-128", "-128", "-128"},
        {"BIGINT", "9223372036854775807", "9223372036854775807", "9223372036854775807"},
        {"DECIMAL(2,2)", "-0.50", "-0.50", "-0.50"},
        {"DECIMAL(38,0)", "-99999999999999999999999999999999999999",
         "-99999999999999999999999999999999999999", "-99999999999999999999999999999999999999"},
        {"FLOAT", "0.1", "0.1", "0.1"},
        {"DOUBLE", "-0.0", "-0.0", "-0.0"},
        {"DOUBLE", "nan", "NaN", "NaN"},
        {"DOUBLE", "-inf", "-Infinity", "-Infinity"},
        {"DATE", "2022-04-01", "2022-04-01", "2022-04-01"},
        {"DATE", "0001-01-01", "0001-01-01", "0001-01-01"},
        {"DATE", "10000-01-01", "10000-01-01", NULL},
        {"DATE", "infinity", "infinity", NULL},
        {"TIMESTAMP", "2022-04-01 17:05:00", "2022-04-01 17:05:00", "2022-04-01 17%3A05%3A00"},
        {"TIMESTAMP", "2022-04-01 17:05:00.5", "2022-04-01 17:05:00.5",
         "2022-04-01 17%3A05%3A00.5"},
        {"TIMESTAMP WITH TIME ZONE", "2022-04-01 17:05:00+02", "2022-04-01T15:05:00.000000Z",
         "2022-04-01 15%3A05%3A00"},
        {"TIMESTAMP WITH TIME ZONE", "1969-12-31 23:59:59.999999", "1969-12-31T23:59:59.999999Z",
         "1969-12-31 23%3A59%3A59.999999"},
        {"TIMESTAMP WITH TIME ZONE", "9999-12-31 23:59:59.999999", "9999-12-31T23:59:59.999999Z",
         "9999-12-31 23%3A59%3A59.999999"},
        {"TIMESTAMP WITH TIME ZONE", "0001-01-01 00:00:00", "0001-01-01T00:00:00.000000Z",
         "0001-01-01 00%3A00%3A00"},
        {"TIMESTAMP WITH TIME ZONE", "10000-01-01 00:00:00", NULL, NULL},
        {"TIMESTAMP WITH TIME ZONE", "infinity", NULL, NULL},
        {"TIMESTAMP", "9999-12-31 23:59:59.999999", "9999-12-31 23:59:59.999999",
         "9999-12-31 23%3A59%3A59.999999"},
        {"TIMESTAMP", "0001-01-01 00:00:00", "0001-01-01 00:00:00", "0001-01-01 00%3A00%3A00"},
        {"TIMESTAMP", "0000-12-31 23:59:59.999999", NULL, NULL},
        {"TIMESTAMP", "-infinity", NULL, NULL},
        {"DATE", "9999-12-31", "9999-12-31", "9999-12-31"},
        {"DATE", "-infinity", NULL, NULL},
    };
    for (int i = 0; i < SM_COUNT(cases); i++) {
        sm_arena *a = sm_arena_new(NULL);
        const sm_value v = value_of(cases[i].type, cases[i].value, a);
        const sm_delta_metadata m = table_of(v, a);
        sm_buf text = {0};
        sm_str folder = {0};
        sm_error e = {0};

        const sm_status st = sm_delta_partition_folder(&m, &v, a, &folder, &e);
        if (!cases[i].folder) {
            assert_status(st, SM_INVALID, &e);
            assert_non_null(strstr(e.what, "\"a:b\""));
            assert_true(e.todo[0] != '\0');
        } else {
            assert_ok(st, &e);
            const sm_str want = sm_arena_strf(a, "a%%3Ab=%s/", cases[i].folder);
            assert_string_equal(folder.data, want.data);
            smi_partition_text(v, &text);
            sm_value back = {0};
            assert_ok(smi_partition_value(v.type, sm_buf_str(&text), a, &back, &e), &e);
            assert_true(sm_delta_partition_eq(v, back));
            sm_buf_text(&text, (sm_str){"", 1});
            assert_string_equal(text.data, cases[i].text);
        }
        sm_buf_release(&text);
        sm_arena_free(a);
    }
}

static void a_long_folder_is_refused(void **state)
{
    static const struct {
        int length;
        sm_status want;
    } cases[] = {{249, SM_OK}, {250, SM_LIMIT}};
    char text[300];

    memset(text, 'x', sizeof(text));
    for (int i = 0; i < SM_COUNT(cases); i++) {
        sm_arena *a = sm_arena_new(NULL);
        const sm_value v = sm_value_str((sm_str){text, (size_t)cases[i].length});
        const sm_delta_metadata m = table_of(v, a);
        sm_str folder = {0};
        sm_error e = {0};
        assert_status(sm_delta_partition_folder(&m, &v, a, &folder, &e), cases[i].want, &e);
        sm_arena_free(a);
    }
}

static void two_zeros_are_two_partitions(void **state)
{
    const sm_value zero = {.type = &sm_type_f64}, minus = {.type = &sm_type_f64, .as.f = -0.0};
    const sm_value nan = {.type = &sm_type_f64, .as.f = (double)NAN};

    assert_true(sm_delta_partition_eq(zero, zero));
    assert_false(sm_delta_partition_eq(zero, minus));
    assert_true(sm_delta_partition_eq(nan, nan));
    assert_true(sm_delta_partition_eq(sm_value_null(&sm_type_f64), sm_value_null(&sm_type_f64)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_become_folders),
        cmocka_unit_test(a_long_folder_is_refused),
        cmocka_unit_test(two_zeros_are_two_partitions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
