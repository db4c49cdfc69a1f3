/* SPDX-License-Identifier: Apache-2.0
 *
 * delta/delta_widen_test.c: what a table may become: types that are widened and the record of it,
 * protocols with one more feature, columns that are mapped to their own names, properties. */
#include "test.h"

#include "delta/delta_int.h"

static const sm_type *type_of(const char *sql, sm_arena *a)
{
    const sm_type *t = NULL;
    sm_error e = {0};
    assert_ok(sm_type_parse(sm_str_of(sql), a, &t, &e), &e);
    return t;
}

/* All pairs that the protocol has, and some beside each of them. */
static const struct widening {
    const char *from, *to;
    bool may;
} widenings[] = {
    {"TINYINT", "SMALLINT", true},
    {"TINYINT", "INTEGER", true},
    {"TINYINT", "BIGINT", true},
    {"SMALLINT", "INTEGER", true},
    {"SMALLINT", "BIGINT", true},
    {"INTEGER", "BIGINT", true},
    {"FLOAT", "DOUBLE", true},
    {"TINYINT", "DOUBLE", true},
    {"SMALLINT", "DOUBLE", true},
    {"INTEGER", "DOUBLE", true},
    {"DATE", "TIMESTAMP", true},
    {"DECIMAL(10,2)", "DECIMAL(11,2)", true},
    {"DECIMAL(10,2)", "DECIMAL(11,3)", true},
    {"TINYINT", "DECIMAL(10,0)", true},
    {"SMALLINT", "DECIMAL(12,2)", true},
    {"INTEGER", "DECIMAL(38,28)", true},
    {"BIGINT", "DECIMAL(20,0)", true},
    {"BIGINT", "DECIMAL(25,5)", true},
    {"INTEGER", "INTEGER", false},
    {"BIGINT", "INTEGER", false},
    {"BIGINT", "DOUBLE", false},
    {"INTEGER", "FLOAT", false},
    {"DOUBLE", "FLOAT", false},
    {"DATE", "TIMESTAMP WITH TIME ZONE", false},
    {"TIMESTAMP", "TIMESTAMP WITH TIME ZONE", false},
    {"DECIMAL(10,2)", "DECIMAL(10,2)", false},
    {"DECIMAL(10,2)", "DECIMAL(10,3)", false},
    {"DECIMAL(10,2)", "DECIMAL(12,1)", false},
    {"DECIMAL(10,2)", "DOUBLE", false},
    {"TINYINT", "DECIMAL(9,0)", false},
    {"INTEGER", "DECIMAL(10,1)", false},
    {"BIGINT", "DECIMAL(19,0)", false},
    {"BIGINT", "DECIMAL(20,1)", false},
    {"INTEGER", "VARCHAR", false},
    {"BOOLEAN", "INTEGER", false},
    {"DATE", "DECIMAL(38,0)", false},
};

static void types_widen_as_the_protocol_says(void **state)
{
    sm_arena *a = sm_arena_new(NULL);
    for (int i = 0; i < SM_COUNT(widenings); i++) {
        const struct widening *w = &widenings[i];
        if (sm_delta_may_widen(type_of(w->from, a), type_of(w->to, a)) != w->may) {
            fail_msg("%s to %s: %s", w->from, w->to, w->may ? "refused" : "allowed");
        }
    }
    sm_arena_free(a);
}

static void changes_are_noted_in_their_order(void **state)
{
    sm_arena *a = sm_arena_new(NULL);
    const sm_field_meta comment = {SM_STR("comment"), SM_STR("\"c\"")};
    sm_field f = {.name = SM_STR("x"), .type = &sm_type_i64, .meta = &comment, .n_meta = 1};
    const sm_field_meta spaced = {SM_STR("delta.typeChanges"), SM_STR("[ ]\n")};
    sm_field other = {.name = SM_STR("y"), .type = &sm_type_f64, .meta = &spaced, .n_meta = 1};

    sm_delta_note_widened(&f, SM_STR(""), &sm_type_i16, &sm_type_i32, a);
    sm_delta_note_widened(&f, SM_STR("key.element"), &sm_type_i64, type_of("DECIMAL(21,1)", a), a);
    assert_int_equal(f.n_meta, 2);
    assert_true(sm_str_is(f.meta[0].key, "comment"));
    assert_true(sm_str_is(f.meta[1].json, "[{\"fromType\":\"short\",\"toType\":\"integer\"},"
                                          "{\"fromType\":\"long\",\"toType\":\"decimal(21,1)\","
                                          "\"fieldPath\":\"key.element\"}]"));
    assert_false(smi_was_float(&f));
    sm_delta_note_widened(&other, SM_STR(""), &sm_type_f32, &sm_type_f64, a);
    assert_int_equal(other.n_meta, 1);
    assert_true(sm_str_is(other.meta[0].json, "[ {\"fromType\":\"float\",\"toType\":\"double\"}]"));
    assert_true(smi_was_float(&other));
    sm_arena_free(a);
}

/* 0.1 as a float is more than 0.1 as a double: the bounds of a file from before must have both. */
static void bounds_of_floats_hold_their_doubles(void **state)
{
    const sm_str json = SM_STR("{\"numRecords\":2,\"minValues\":{\"x\":-0.1},"
                               "\"maxValues\":{\"x\":0.1},\"nullCount\":{\"x\":0}}");
    const double old = (double)0.1F;
    sm_arena *a = sm_arena_new(NULL);
    sm_field f = {.name = SM_STR("x"), .type = &sm_type_f64, .is_nullable = true};
    const sm_range *ranges = NULL;
    int64_t n_rows = 0;

    smi_stats_parse(json, sm_type_struct(a, &f, 1), a, &n_rows, &ranges);
    assert_true(ranges[0].max.as.f == 0.1 && ranges[0].min.as.f == -0.1);
    sm_delta_note_widened(&f, SM_STR(""), &sm_type_f32, &sm_type_f64, a);
    smi_stats_parse(json, sm_type_struct(a, &f, 1), a, &n_rows, &ranges);
    assert_true(old > 0.1 && ranges[0].max.as.f == old && ranges[0].min.as.f == -old);
    const smi_stats_column column = {SM_STR("x"), &sm_type_f64, smi_was_float(&f)};
    sm_range picked = {0};
    smi_stats_pick(json, &column, 1, a, &n_rows, &picked);
    assert_true(picked.max.as.f == old && picked.min.as.f == -old);
    sm_arena_free(a);
}

/* What has_feature() says of each name in a list that ends with NULL. */
static void check_features(const sm_delta_protocol *p, const char *const *names, bool want)
{
    for (; *names; names++) {
        if (sm_delta_has_feature(p, *names) != want) {
            fail_msg("(%d,%d): %s", p->min_reader, p->min_writer, *names);
        }
    }
}

static void protocols_keep_what_their_versions_stood_for(void **state)
{
    sm_arena *a = sm_arena_new(NULL);
    const sm_delta_protocol old = {.min_reader = 1, .min_writer = 2};
    const sm_delta_protocol mapped = {.min_reader = 2, .min_writer = 5};

    sm_delta_protocol p = sm_delta_protocol_with(&old, "checkConstraints", a);
    assert_true(p.min_reader == 1 && p.min_writer == 3 && p.n_writer_features == 0);
    p = sm_delta_protocol_with(&old, "allowColumnDefaults", a);
    assert_true(p.min_reader == 1 && p.min_writer == 7 && p.n_writer_features == 3);
    p = sm_delta_protocol_with(&p, "checkConstraints", a);
    check_features(&p,
                   (const char *const[]){"appendOnly", "invariants", "allowColumnDefaults",
                                         "checkConstraints", NULL},
                   true);
    check_features(&p, (const char *const[]){"columnMapping", "changeDataFeed", NULL}, false);

    p = sm_delta_protocol_with(&old, "columnMapping", a);
    assert_true(p.min_reader == 3 && p.min_writer == 7);
    assert_true(p.n_reader_features == 1 && sm_str_is(p.reader_features[0], "columnMapping"));
    assert_true(p.n_writer_features == 3);

    p = sm_delta_protocol_with(&mapped, "typeWidening", a);
    assert_true(p.min_reader == 3 && p.n_reader_features == 2);
    check_features(&p,
                   (const char *const[]){"columnMapping", "typeWidening", "generatedColumns",
                                         "changeDataFeed", "invariants", NULL},
                   true);
    const sm_delta_protocol same = sm_delta_protocol_with(&p, "typeWidening", a);
    assert_true(same.writer_features == p.writer_features);
    sm_arena_free(a);
}

static void columns_are_mapped_to_their_own_names(void **state)
{
    sm_arena *a = sm_arena_new(NULL);
    const sm_pair config[] = {{SM_STR("delta.columnMapping.mode"), SM_STR("none")},
                              {SM_STR("k"), SM_STR("v")}};
    sm_delta_metadata m = {
        .schema = type_of("STRUCT(a BIGINT, s STRUCT(b VARCHAR), l STRUCT(c DATE)[])", a),
        .config = config,
        .n_config = 2,
    };
    const sm_delta_protocol p = sm_delta_protocol_with(
        &(sm_delta_protocol){.min_reader = 1, .min_writer = 2}, "columnMapping", a);

    assert_false(sm_delta_is_mapped(&p, &m));
    sm_delta_map_by_name(&m, a);
    assert_true(sm_delta_is_mapped(&p, &m));
    assert_true(sm_str_is(smi_config(&m, "delta.columnMapping.maxColumnId"), "5"));
    assert_true(sm_str_is(smi_config(&m, "k"), "v"));
    assert_int_equal(m.n_config, 3);
    const sm_type *stored = sm_delta_file_schema(m.schema, a);
    assert_true(sm_type_eq(stored, m.schema)); /* the same names */
    const sm_field *c = &m.schema->fields[2].type->fields[0].type->fields[0];
    assert_true(sm_str_is(c->meta[0].json, "5") && sm_str_is(c->meta[1].json, "\"c\""));
    sm_arena_free(a);
}

static const struct property_case {
    const char *key, *value;
    sm_status want;
    const char *said; /* the feature, or what the advice has */
} properties[] = {
    {"delta.appendOnly", "true", SM_OK, "appendOnly"},
    {"DELTA.APPENDONLY", "false", SM_OK, NULL},
    {"delta.appendOnly", "yes", SM_INVALID, "true or false"},
    {"delta.enableTypeWidening", "TRUE", SM_OK, "typeWidening"},
    {"delta.columnMapping.mode", "name", SM_OK, "columnMapping"},
    {"delta.columnMapping.mode", "id", SM_INVALID, "name"},
    {"delta.checkpointInterval", "0", SM_INVALID, "1 or more"},
    {"delta.checkpointInterval", "25", SM_OK, NULL},
    {"delta.logRetentionDuration", "interval 2 weeks", SM_OK, NULL},
    {"delta.logRetentionDuration", "2 fortnights", SM_INVALID, "interval"},
    {"delta.targetFileSize", "64mb", SM_OK, NULL},
    {"delta.targetFileSize", "big", SM_INVALID, "256mb"},
    {"delta.appendonl", "true", SM_NAME, "delta.appendOnly"},
    {"delta.minWriterVersion", "7", SM_DENIED, ""},
    {"delta.constraints.x", "a > 0", SM_DENIED, "ADD CONSTRAINT"},
    {"delta.feature.typeWidening", "supported", SM_DENIED, ""},
    {"delta.enableRowTracking", "true", SM_OK, "rowTracking"},
    {"delta.inCommitTimestampEnablementVersion", "3", SM_DENIED, ""},
    {"smelt.readers", "spark, DuckDB,polars", SM_OK, NULL},
    {"smelt.readers", "spark;duckdb", SM_INVALID, "clickhouse, delta-rs"},
    {"smelt.rowGroupRows", "1000", SM_OK, NULL},
    {"smelt.rowGroupRow", "1000", SM_NAME, "smelt.rowGroupRows"},
    {"owner", "anyone", SM_OK, NULL},
};

static void properties_are_known_or_refused(void **state)
{
    for (int i = 0; i < SM_COUNT(properties); i++) {
        const struct property_case *c = &properties[i];
        const char *feature = NULL;
        sm_error e = {0};
        assert_status(sm_delta_check_property(sm_str_of(c->key), sm_str_of(c->value), &feature, &e),
                      c->want, &e);
        if (c->want != SM_OK) {
            assert_non_null(strstr(e.todo, c->said));
        } else if (c->said) {
            assert_string_equal(feature, c->said);
        } else {
            assert_null(feature);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(types_widen_as_the_protocol_says),
        cmocka_unit_test(changes_are_noted_in_their_order),
        cmocka_unit_test(bounds_of_floats_hold_their_doubles),
        cmocka_unit_test(protocols_keep_what_their_versions_stood_for),
        cmocka_unit_test(columns_are_mapped_to_their_own_names),
        cmocka_unit_test(properties_are_known_or_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
