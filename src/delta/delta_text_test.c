/* SPDX-License-Identifier: Apache-2.0
 *
 * delta/delta_text_test.c: which texts are values of a type in the log, and which files are the
 * log's by their names. */
#include "test.h"

#include "delta/delta_int.h"

static const struct text_case {
    const char *type, *text;
    const char *want; /* as SQL prints it; NULL: no value */
    bool is_rounded;
} texts[] = {
    {"BIGINT", "9223372036854775807", "9223372036854775807", false},
    {"BIGINT", "-9223372036854775808", "-9223372036854775808", false},
    {"BIGINT", "-0", "0", false},
    {"BIGINT", "9223372036854775808", NULL, false},
    {"BIGINT", "99999999999999999999", NULL, false},
    {"BIGINT", "1.0", NULL, false},
    {"BIGINT", "1.5", NULL, false},
    {"BIGINT", "1e3", NULL, false},
    {"BIGINT", "0x10", NULL, false},
    {"BIGINT", "1_000", NULL, false},
    {"BIGINT", " 7", NULL, false},
    {"BIGINT", "7 ", NULL, false},
    {"BIGINT", "+7", NULL, false},
    {"BIGINT", "", NULL, false},
    {"BIGINT", "-", NULL, false},
    {"TINYINT", "128", NULL, false},
    {"INTEGER", "12abc", NULL, false},
    {"DECIMAL(5,2)", "1.25", "1.25", false},
    {"DECIMAL(5,2)", "1.2500", "1.25", false},
    {"DECIMAL(5,2)", "0E-18", "0.00", false},
    {"DECIMAL(5,2)", "1.2E+2", "120.00", false},
    {"DECIMAL(5,2)", "125e-2", "1.25", false},
    {"DECIMAL(5,2)", "1.239", "1.24", true},
    {"DECIMAL(5,2)", "-1.239", "-1.24", true},
    {"DECIMAL(5,2)", "1e-3", "0.00", true},
    {"DECIMAL(5,2)", "1000", NULL, false},
    {"DECIMAL(5,2)", "1.2.5", NULL, false},
    {"DECIMAL(5,2)", "1.", NULL, false},
    {"DECIMAL(5,2)", ".", NULL, false},
    {"DECIMAL(5,2)", "1e", NULL, false},
    {"DECIMAL(2,2)", ".25", "0.25", false},
    {"DECIMAL(38,0)", "99999999999999999999999999999999999999",
     "99999999999999999999999999999999999999", false},
    {"DOUBLE", "1e+300", "1e+300", false},
    {"DOUBLE", "-0.0", "-0.0", false},
    {"DOUBLE", "Infinity", "inf", false},
    {"DOUBLE", "-Infinity", "-inf", false},
    {"DOUBLE", "NaN", "nan", false},
    {"DOUBLE", "-inf", "-inf", false},
    {"DOUBLE", "+inf", NULL, false},
    {"DOUBLE", "1e999", NULL, false},
    {"DOUBLE", "1.5x", NULL, false},
    {"DOUBLE", "0x10", NULL, false},
    {"FLOAT", "1e39", NULL, false},
    {"BOOLEAN", "true", "true", false},
    {"BOOLEAN", "FALSE", "false", false},
    {"BOOLEAN", "1", NULL, false},
    {"BOOLEAN", "yes", NULL, false},
    {"DATE", "2022-04-03", "2022-04-03", false},
    {"DATE", "0001-01-01", "0001-01-01", false},
    {"DATE", "2022-4-3", NULL, false},
    {"DATE", "2022-04-03 00:00:00", NULL, false},
    {"DATE", "2022-02-30", NULL, false},
    {"DATE", "2022-04-03x", NULL, false},
    {"TIMESTAMP", "2022-04-03", "2022-04-03 00:00:00", false},
    {"TIMESTAMP", "2022-04-03 17:05:00.5", "2022-04-03 17:05:00.5", false},
    {"TIMESTAMP", "2022-04-03T17:05:00.000001Z", "2022-04-03 17:05:00.000001", false},
    {"TIMESTAMP", "2022-04-03T17:05:00+02:00", NULL, false},
    {"TIMESTAMP", "2022-04-03 17:05", NULL, false},
    {"TIMESTAMP", "2022-04-03 17:05:00.0000001", NULL, false},
    {"TIMESTAMP", "2022-04-03 17:05:00.", NULL, false},
    {"TIMESTAMP", "1649000000", NULL, false},
    {"TIMESTAMP WITH TIME ZONE", "2022-04-03T17:05:00+02:00", "2022-04-03 15:05:00+00", false},
    {"TIMESTAMP WITH TIME ZONE", "2022-04-03T17:05:00.123456000Z", "2022-04-03 17:05:00.123456+00",
     false},
    {"TIMESTAMP WITH TIME ZONE", "2022-04-03 17:05:00", "2022-04-03 17:05:00+00", false},
    {"TIMESTAMP WITH TIME ZONE", "2022-04-03T17:05:00 UTC", NULL, false},
    {"VARCHAR", " 1.5 ", " 1.5 ", false},
    {"BIGINT[]", "[1]", NULL, false},
};

static void texts_are_read_whole(void **state)
{
    for (int i = 0; i < SM_COUNT(texts); i++) {
        const struct text_case *c = &texts[i];
        sm_arena *a = sm_arena_new(NULL);
        const sm_type *t = NULL;
        sm_value v = {0}, want = {0};
        bool is_exact = false;
        sm_buf printed = {0};
        sm_error e = {0};
        assert_ok(sm_type_parse(sm_str_of(c->type), a, &t, &e), &e);
        const bool is_one = smi_text_value(t, sm_str_of(c->text), &v, &is_exact);
        if (is_one != (c->want != NULL)) {
            fail_msg("\"%s\" as %s: %s", c->text, c->type, is_one ? "is one" : "is none");
        }
        if (is_one) {
            sm_value_print(v, &printed);
            assert_ok(sm_value_parse(t, sm_str_of(c->want), &want, &e), &e);
            if (!sm_value_eq(v, want) || is_exact == c->is_rounded) {
                fail_msg("\"%s\" as %s: %.*s", c->text, c->type, SM_STR_ARG(sm_buf_str(&printed)));
            }
        }
        sm_buf_release(&printed);
        sm_arena_free(a);
    }
}

static void files_are_told_by_their_whole_name(void **state)
{
    static const struct {
        const char *name;
        smi_log_entry want;
    } cases[] = {
        {"00000000000000000007.json", {SMI_ENTRY_COMMIT, false, 7, 1, 1}},
        {"00000000000000000007.checkpoint.parquet", {SMI_ENTRY_CHECKPOINT, false, 7, 1, 1}},
        {"00000000000000000007.checkpoint.80a083e8-7026-4e79-81be-64bd76c43a11.parquet",
         {SMI_ENTRY_CHECKPOINT, false, 7, 1, 1}},
        {"00000000000000000007.checkpoint.80A083e8-7026-4e79-81be-64bd76c43a11.json",
         {SMI_ENTRY_CHECKPOINT, true, 7, 1, 1}},
        {"00000000000000000007.checkpoint.0000000002.0000000003.parquet",
         {SMI_ENTRY_PART, false, 7, 2, 3}},
        {"00000000000000000007.checkpoint.parquet.bak", {.part = 1, .n_parts = 1}},
        {"00000000000000000007.checkpoint.parquet.tmp-123", {.part = 1, .n_parts = 1}},
        {".00000000000000000007.checkpoint.parquet.crc", {.part = 1, .n_parts = 1}},
        {"00000000000000000007.checkpoint.0000000002.0000000003.parquet.bak",
         {.part = 1, .n_parts = 1}},
        {"00000000000000000007.checkpoint.2.3.parquet", {.part = 1, .n_parts = 1}},
        {"00000000000000000007.checkpoint.0000000002.parquet", {.part = 1, .n_parts = 1}},
        {"00000000000000000007.checkpoint.copy.parquet", {.part = 1, .n_parts = 1}},
        {"00000000000000000007.checkpoint.80a083e8-7026-4e79-81be-64bd76c43a1.json",
         {.part = 1, .n_parts = 1}},
        {"00000000000000000007.checkpoint.json", {.part = 1, .n_parts = 1}},
        {"00000000000000000007.checkpoint", {.part = 1, .n_parts = 1}},
        {"00000000000000000007.json.tmp", {.part = 1, .n_parts = 1}},
        {"00000000000000000007.crc", {SMI_ENTRY_CHECKSUM, false, 7, 1, 1}},
        {"00000000000000000007.crc.tmp", {.part = 1, .n_parts = 1}},
        {"00000000000000000007.80a083e8-7026-4e79-81be-64bd76c43a11.json",
         {.part = 1, .n_parts = 1}},
        {"00000000000000000007.00000000000000000009.compacted.json",
         {SMI_ENTRY_COMPACTED, false, 7, 1, 1, 9}},
        {"00000000000000000009.00000000000000000007.compacted.json", {.part = 1, .n_parts = 1}},
        {"7.json", {.part = 1, .n_parts = 1}},
        {"99999999999999999999.json", {.part = 1, .n_parts = 1}},
        {"0000000000000000000x.json", {.part = 1, .n_parts = 1}},
        {"_last_checkpoint", {.part = 1, .n_parts = 1}},
        {"", {.part = 1, .n_parts = 1}},
    };

    for (int i = 0; i < SM_COUNT(cases); i++) {
        char key[256];
        snprintf(key, sizeof(key), "_delta_log/%s", cases[i].name);
        const smi_log_entry got = smi_log_entry_of(sm_str_of(key)), *want = &cases[i].want;
        if (got.kind != want->kind || got.is_json != want->is_json ||
            got.version != want->version || got.part != want->part ||
            got.n_parts != want->n_parts || got.last != want->last) {
            fail_msg("%s: kind %d, version %lld, part %lld of %lld", cases[i].name, got.kind,
                     (long long)got.version, (long long)got.part, (long long)got.n_parts);
        }
    }
    assert_int_equal(smi_log_entry_of(SM_STR("elsewhere/00000000000000000007.json")).kind,
                     SMI_ENTRY_OTHER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_are_read_whole),
        cmocka_unit_test(files_are_told_by_their_whole_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
