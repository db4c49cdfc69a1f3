/* SPDX-License-Identifier: Apache-2.0
 *
 * format/parquet/parquet_variant_test.c: texts of variants whose bytes are written out here, whole
 * and damaged. Files of others, shredded ones too: tests/peers/test_variants.py. */
#include "test.h"

#include "column/builder.h"
#include "format/parquet/parquet_int.h"

#define EMPTY "01 00 00"             /* metadata without names */
#define AB    "01 02 00 01 02 61 62" /* a, b */

static const struct {
    const char *metadata, *value;
    const char *text; /* NULL: it is damaged, and … */
    const char *what; /* … a part of the error */
} cases[] = {
    {EMPTY, "00", "null", NULL},
    {EMPTY, "04", "true", NULL},
    {EMPTY, "08", "false", NULL},
    {EMPTY, "0C 80", "-128", NULL},
    {EMPTY, "10 FE FF", "-2", NULL},
    {EMPTY, "14 01 00 00 80", "-2147483647", NULL},
    {EMPTY, "18 00 00 00 00 00 00 00 80", "-9223372036854775808", NULL},
    {EMPTY, "1C 00 00 00 00 00 00 F8 3F", "1.5", NULL},
    {EMPTY, "1C 00 00 00 00 00 00 F0 7F", "\"Infinity\"", NULL},
    {EMPTY, "20 02 E2 04 00 00", "12.5", NULL}, /* 12.50 */
    {EMPTY, "20 02 9C FF FF FF", "-1", NULL},   /* −1.00 */
    {EMPTY, "20 03 FF FF FF FF", "-0.001", NULL},
    {EMPTY, "20 26 00 00 00 00", "0", NULL},
    {EMPTY, "24 00 FF FF FF FF FF FF FF FF", "-1", NULL},
    {EMPTY, "28 01 05 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00", "0.5", NULL},
    {EMPTY, "28 00 FF FF FF FF FF FF FF FF FF FF FF FF FF FF FF 7F",
     "170141183460469231731687303715884105727", NULL},
    {EMPTY, "2C FF FF FF FF", "\"1969-12-31\"", NULL},
    {EMPTY, "30 40 42 0F 00 00 00 00 00", "\"1970-01-01 00:00:01+00:00\"", NULL},
    {EMPTY, "34 20 A1 07 00 00 00 00 00", "\"1970-01-01 00:00:00.5\"", NULL},
    {EMPTY, "38 00 00 C0 3F", "1.5", NULL},
    {EMPTY, "3C 04 00 00 00 00 01 02 FF", "\"AAEC/w==\"", NULL},
    {EMPTY, "3C 00 00 00 00", "\"\"", NULL},
    {EMPTY, "40 02 00 00 00 C3 A4", "\"ä\"", NULL},
    {EMPTY, "44 40 42 0F 00 00 00 00 00", "\"00:00:01\"", NULL},
    {EMPTY, "48 01 00 00 00 00 00 00 00", "\"1970-01-01 00:00:00.000000001+00:00\"", NULL},
    {EMPTY, "4C FF FF FF FF FF FF FF FF", "\"1969-12-31 23:59:59.999999999\"", NULL},
    {EMPTY, "50 11 11 11 11 22 22 43 33 84 44 55 55 55 55 55 55",
     "\"11111111-2222-4333-8444-555555555555\"", NULL},
    {EMPTY, "09 61 22", "\"a\\\"\"", NULL}, /* a short text of 2 bytes */
    {EMPTY, "01", "\"\"", NULL},
    {EMPTY, "03 00 00", "[]", NULL},
    {EMPTY, "03 02 00 01 02 00 04", "[null,true]", NULL},
    {EMPTY, "13 02 00 00 00 00 01 02 00 04", "[null,true]", NULL}, /* is_large */
    {EMPTY, "07 01 00 00 01 00 00", "[null]", NULL},               /* offsets of 2 bytes */
    {AB, "02 00 00", "{}", NULL},
    {AB, "02 02 00 01 01 00 02 04 00", "{\"a\":null,\"b\":true}", NULL}, /* values in their order */
    {AB, "02 01 01 00 06 02 01 00 00 01 00", "{\"b\":{\"a\":null}}", NULL},
    {"41 01 00 00 00 01 00 61", "02 01 00 00 01 04", "{\"a\":true}", NULL}, /* wider offsets */
    {"31 00 00", "00", "null", NULL}, /* sorted; the reserved bit is ignored */
    {"02 00 00", "00", NULL, "version 1"},
    {"", "00", NULL, "version 1"},
    {"01", "00", NULL, "too short"},
    {"01 05 00", "00", NULL, "too short"},
    {"C1 FF FF FF FF", "00", NULL, "too short"},
    {EMPTY, "", NULL, "cut off"},
    {EMPTY, "18 00", NULL, "cut off"},
    {EMPTY, "20 27 00 00 00 00", NULL, "too many digits"},
    {EMPTY, "54", NULL, "of type 21"},
    {EMPTY, "FC", NULL, "of type 63"},
    {EMPTY, "40 03 00 00 00 C3 A4", NULL, "longer than its value"},
    {EMPTY, "40 FF FF FF FF", NULL, "longer than its value"},
    {EMPTY, "40 01 00 00 00 C3", NULL, "not UTF-8"},
    {EMPTY, "09 61", NULL, "longer than its value"},
    {EMPTY, "03 02 00 01", NULL, "cut off"},
    {EMPTY, "13 FF FF FF FF 00", NULL, "cut off"},
    {EMPTY, "03 01 09 0A 00", NULL, "not within"},
    {EMPTY, "02 01 00 00 01 00", NULL, "no name"},
    {"01 01 00 09 61", "02 01 00 00 01 00", NULL, "not within the metadata"},
    {"01 01 00 01 FF", "02 01 00 00 01 00", NULL, "not UTF-8"},
};

static sm_str bytes_of(const char *hex, uint8_t *out)
{
    size_t n = 0;

    for (const char *at = hex; *at; at += *at == ' ') {
        unsigned byte = 0;
        assert_int_equal(sscanf(at, "%2x", &byte), 1);
        out[n++] = (uint8_t)byte;
        at += 2;
    }
    return (sm_str){(const char *)out, n};
}

/* The text of one variant, in `a`; of NULL, where metadata is NULL, no data. */
static sm_status text_of(sm_str metadata, sm_str value, sm_arena *a, sm_str *out, sm_error *e)
{
    const sm_type *group = NULL;
    sm_batch *batch = NULL;
    sm_column column = {0}, texts = {.type = &sm_type_variant};

    assert_ok(sm_type_parse(SM_STR("STRUCT(metadata BLOB, value BLOB)"), a, &group, e), e);
    const sm_field field = {.name = SM_STR("v"), .type = group, .is_nullable = true};
    assert_ok(sm_batch_new(NULL, sm_type_struct(a, &field, 1), &batch, e), e);
    sm_builder *b = sm_builder_new(group, NULL);
    if (metadata.data) {
        sm_builder_str(sm_builder_child(b, 0), metadata);
        sm_builder_str(sm_builder_child(b, 1), value);
        sm_builder_struct(b);
    } else {
        sm_builder_null(b);
    }
    assert_ok(sm_builder_finish(b, batch, &column, e), e);
    const sm_status st = smi_pq_variant_texts(&column, batch, &texts, e);
    if (st == SM_OK) {
        assert_int_equal(texts.n_rows, 1);
        *out =
            sm_column_is_null(&texts, 0) ? (sm_str){0} : sm_arena_str(a, sm_column_str(&texts, 0));
    }
    sm_builder_free(b);
    sm_batch_release(batch);
    return st;
}

static void test_texts(void **state)
{
    uint8_t metadata[64], value[64];

    for (int i = 0; i < SM_COUNT(cases); i++) {
        sm_arena *a = sm_arena_new(NULL);
        sm_error e = {0};
        sm_str text = {0};
        const sm_status st = text_of(bytes_of(cases[i].metadata, metadata),
                                     bytes_of(cases[i].value, value), a, &text, &e);
        if (cases[i].text) {
            assert_ok(st, &e);
            if (!sm_str_is(text, cases[i].text)) {
                fail_msg("%s: %.*s", cases[i].value, SM_STR_ARG(text));
            }
        } else if (st == SM_OK || !strstr(e.what, cases[i].what)) {
            fail_msg("%s %s: %s, %s", cases[i].metadata, cases[i].value, sm_status_name(st),
                     e.what);
        }
        sm_arena_free(a);
    }
}

static void test_null(void **state)
{
    sm_arena *a = sm_arena_new(NULL);
    sm_error e = {0};
    sm_str text = SM_STR("x");

    assert_ok(text_of((sm_str){0}, (sm_str){0}, a, &text, &e), &e);
    assert_null(text.data);
    sm_arena_free(a);
}

/* Bytes that name each other many times over, or too deep, end in an error: not in hours of work,
 * and not at the end of the stack. */
static void test_bombs(void **state)
{
    uint8_t metadata[8], deep[3000], wide[200];
    const sm_str none = bytes_of(EMPTY, metadata);
    sm_arena *a = sm_arena_new(NULL);
    sm_error e = {0};
    sm_str text = {0};

    for (size_t i = 0; i + 4 <= sizeof(deep); i += 4) { /* arrays of one item */
        memcpy(deep + i, "\x03\x01\x00\x01", 4);
    }
    assert_status(text_of(none, (sm_str){(char *)deep, sizeof(deep)}, a, &text, &e), SM_LIMIT, &e);
    size_t n = 0;
    for (int level = 0; level < 10; level++) { /* 8 items that are all the next level */
        wide[n++] = 3;
        wide[n++] = 8;
        memset(wide + n, 0, 9);
        n += 9;
    }
    wide[n++] = 0;
    assert_status(text_of(none, (sm_str){(char *)wide, n}, a, &text, &e), SM_LIMIT, &e);
    sm_arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_null),
        cmocka_unit_test(test_bombs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
