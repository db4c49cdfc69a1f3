/* SPDX-License-Identifier: Apache-2.0
 *
 * format/parquet/parquet_test.c: what is written to Parquet comes back, whatever the types, the
 * nulls and the cuts; the same rows give the same bytes; statistics are right; wanted types are
 * found and refused; damaged files are errors. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "parquet_rows.h"
#include "test.h"

#include "base/text.h"
#include "column/builder.h"

/* ---- round trips ----------------------------------------------------------------------------- */

static void round_trip(const char *sql, const parquet_how *how, int64_t n_rows, int64_t most,
                       int null_percent)
{
    sm_arena *a = sm_arena_new(NULL);
    sm_budget *budget = sm_budget_new(NULL, "test", 0);
    const sm_type *schema = NULL;
    source sources[16];
    rows r = {0};
    sm_buf file = {0};
    sm_written written = {0};
    sm_error e = {0};
    assert_ok(sm_type_parse(sm_str_of(sql), a, &schema, &e), &e);
    const int first_way = (int)below(DRAW_KINDS);
    for (int32_t i = 0; i < schema->n_fields; i++) {
        sources[i] = (source){(draw)((first_way + i) % DRAW_KINDS), null_percent, 0};
    }
    make_rows(schema, sources, n_rows, most, budget, &r);
    assert_ok(parquet_write(how, schema, r.batches, r.n, budget, a, &file, &written, &e), &e);
    assert_int_equal(written.n_rows, n_rows);
    assert_int_equal(written.size_bytes, file.len);
    check_written(&file, &r, schema, budget);
    sm_buf_release(&file);
    release_rows(&r);
    assert_int_equal(sm_budget_used(budget), 0);
    sm_budget_free(budget);
    sm_arena_free(a);
}

static void rows_come_back(void **state)
{
    static const parquet_how hows[] = {
        {0},
        {.compression = "snappy", .group_rows = 777, .waits = 2},
        {.compression = "none", .group_rows = 100, .no_dictionary = true},
        {.group_rows = 1, .waits = 3},
    };
    const char *seed = sm_env("SMELT_SEED");
    random_state = seed ? strtoull(seed, NULL, 10) : 42;
    for (int s = 0; s < SM_COUNT(schemas); s++) {
        for (int h = 0; h < SM_COUNT(hows); h++) {
            for (int nulls = 0; nulls <= 100; nulls += nulls < 20 ? 20 : 80) {
                const int64_t n = hows[h].group_rows == 1 ? 20 : 1 + below(3000);
                round_trip(schemas[s], &hows[h], n, 4096, nulls);
            }
        }
    }
}

/* Several pages, the point at which a dictionary is checked, one that becomes full. */
static void long_columns_come_back(void **state)
{
    const parquet_how how = {.group_rows = 60000};
    random_state = 7;
    for (int i = 0; i < 4; i++) {
        round_trip("STRUCT(a BIGINT, b VARCHAR, c INTEGER, d VARCHAR[])", &how, 70000 + i, 4096,
                   i * 5);
    }
    const parquet_how longer = {.group_rows = 90000};
    for (int i = 0; i < 2 * DRAW_KINDS; i++) { /* so that each kind is likely to be drawn */
        round_trip("STRUCT(a BIGINT)", &longer, 95000, 4096, 1);
    }
}

static void a_file_without_rows_has_its_schema(void **state)
{
    const parquet_how how = {0};
    round_trip("STRUCT(a BIGINT, b VARCHAR[])", &how, 0, 1, 0);
}

/* ---- the same bytes -------------------------------------------------------------------------- */

static void cut_rows(const rows *in, int64_t most, sm_budget *budget, rows *out)
{
    sm_error e = {0};
    for (int64_t i = 0; i < in->n; i++) {
        for (int64_t first = 0; first < in->batches[i]->n_rows;) {
            const int64_t left = in->batches[i]->n_rows - first;
            const int64_t n = left < most ? left : most;
            assert_true(out->n < SM_COUNT(out->batches));
            assert_ok(sm_batch_slice(in->batches[i], first, n, budget, &out->batches[out->n++], &e),
                      &e);
            first += n;
        }
    }
    out->n_rows = in->n_rows;
}

static void bytes_do_not_depend_on_batches_or_threads(void **state)
{
    sm_arena *a = sm_arena_new(NULL);
    sm_budget *budget = sm_budget_new(NULL, "test", 0);
    const sm_type *schema = NULL;
    source sources[] = {{DRAW_MANY, 10, 0},  {DRAW_FEW, 0, 0},  {DRAW_EDGES, 5, 0},
                        {DRAW_RISING, 3, 0}, {DRAW_MANY, 9, 0}, {DRAW_LATE, 9, 0},
                        {DRAW_LATE, 9, 0}};
    rows r = {0}, cut = {0};
    sm_buf whole = {0}, pieces = {0}, shared = {0};
    sm_written written = {0};
    sm_pool *pool = NULL;
    sm_error e = {0};
    random_state = 99;
    assert_ok(
        sm_type_parse(SM_STR("STRUCT(a BIGINT, b VARCHAR, c VARCHAR, d VARCHAR, e VARCHAR[], f "
                             "VARCHAR, g VARCHAR[])"),
                      a, &schema, &e),
        &e);
    make_rows(schema, sources, 30000, 4096, budget, &r);
    cut_rows(&r, 997, budget, &cut);
    assert_ok(sm_pool_new(3, &pool, &e), &e);
    const parquet_how how = {.group_rows = 25000}, threads = {.group_rows = 25000, .pool = pool};
    assert_ok(parquet_write(&how, schema, r.batches, r.n, budget, a, &whole, &written, &e), &e);
    assert_ok(parquet_write(&how, schema, cut.batches, cut.n, budget, a, &pieces, &written, &e),
              &e);
    assert_ok(parquet_write(&threads, schema, r.batches, r.n, budget, a, &shared, &written, &e),
              &e);
    assert_int_equal(whole.len, pieces.len);
    assert_memory_equal(whole.data, pieces.data, whole.len);
    assert_int_equal(whole.len, shared.len);
    assert_memory_equal(whole.data, shared.data, whole.len);
    check_written(&whole, &r, schema, budget);
    sm_pool_free(pool);
    sm_buf_release(&whole);
    sm_buf_release(&pieces);
    sm_buf_release(&shared);
    release_rows(&cut);
    release_rows(&r);
    assert_int_equal(sm_budget_used(budget), 0);
    sm_budget_free(budget);
    sm_arena_free(a);
}

/* ---- rows written down ----------------------------------------------------------------------- */

typedef struct fixture {
    sm_arena *mem;
    sm_budget *budget;
    const sm_type *schema;
    rows rows;
    sm_buf file;
    sm_written written;
    sm_store *store;
    sm_blob *blob;
} fixture;

/* Rows from text, a value a column in the type's SQL form, "" in place of NULL. */
static void write_text(fixture *f, const char *sql, const char *const *values, int64_t n_rows,
                       const parquet_how *how)
{
    sm_error e = {0};
    sm_batch *b = NULL;
    *f = (fixture){.mem = sm_arena_new(NULL), .budget = sm_budget_new(NULL, "test", 0)};
    assert_ok(sm_type_parse(sm_str_of(sql), f->mem, &f->schema, &e), &e);
    assert_ok(sm_batch_new(f->budget, f->schema, &b, &e), &e);
    for (int32_t c = 0; c < f->schema->n_fields; c++) {
        sm_builder *builder = sm_builder_new(f->schema->fields[c].type, f->budget);
        for (int64_t i = 0; i < n_rows; i++) {
            const char *text = values[i * f->schema->n_fields + c];
            sm_value v = {0};
            if (!text) {
                sm_builder_null(builder);
                continue;
            }
            assert_ok(sm_value_parse(f->schema->fields[c].type, sm_str_of(text), &v, &e), &e);
            sm_builder_value(builder, v);
        }
        assert_ok(sm_builder_finish(builder, b, &b->columns[c], &e), &e);
        sm_builder_free(builder);
    }
    b->n_rows = n_rows;
    f->rows = (rows){.batches = {b}, .n = 1, .n_rows = n_rows};
    assert_ok(parquet_write(how, f->schema, f->rows.batches, 1, f->budget, f->mem, &f->file,
                            &f->written, &e),
              &e);
    assert_ok(parquet_blob(f->file.data, f->file.len, &f->store, &f->blob, &e), &e);
}

static void release_fixture(fixture *f)
{
    sm_blob_close(f->blob);
    sm_store_release(f->store);
    sm_buf_release(&f->file);
    release_rows(&f->rows);
    assert_int_equal(sm_budget_used(f->budget), 0);
    sm_budget_free(f->budget);
    sm_arena_free(f->mem);
}

static sm_status print_batch(void *ctx, sm_batch *b, sm_error *e)
{
    sm_buf *out = ctx;
    const char *why = NULL;
    if (!sm_batch_validate(b, true, &why)) {
        return sm_fail(e, SM_INTERNAL, "not valid: %s", why);
    }
    for (int64_t i = 0; i < b->n_rows; i++) {
        for (int32_t c = 0; c < b->n_columns; c++) {
            sm_buf_printf(out, "%s", c > 0 ? "|" : "");
            sm_column_print(&b->columns[c], i, out);
        }
        sm_buf_printf(out, "\n");
    }
    return SM_OK;
}

/* Reads the fixture as another schema; the rows as text, or the error. */
static sm_status read_as(const fixture *f, const char *sql, sm_bounds bounds, sm_buf *out,
                         parquet_in *in, sm_error *e)
{
    const sm_type *schema = f->schema;
    if (sql) {
        SM_TRY(sm_type_parse(sm_str_of(sql), f->mem, &schema, e));
    }
    sm_buf_release(out);
    *out = (sm_buf){0};
    *in = (parquet_in){.schema = schema, .bounds = bounds, .on_batch = print_batch, .ctx = out};
    const sm_status st = parquet_read(f->blob, f->budget, in, e);
    sm_buf_text(out, (sm_str){"", 1});
    return st;
}

static void ranges_are_exact_or_cut_outwards(void **state)
{
    static const char *const values[] = {
        "3",  "2022-04-01", "1.5", "short",
        "-7", "2021-12-31", "nan", "\xf4\x8f\xbf\xbf\xf4\x8f\xbf\xbf",
        NULL, NULL,         NULL,  NULL,
    };
    const parquet_how how = {0};
    fixture f;
    write_text(&f, "STRUCT(a BIGINT, d DATE, f DOUBLE, s VARCHAR)", values, 3, &how);
    const sm_range *r = f.written.ranges;
    assert_int_equal(f.written.n_ranges, 4);
    assert_true(r[0].has_min && r[0].min.as.i == -7 && r[0].max.as.i == 3 && r[0].n_nulls == 1);
    assert_true(r[1].has_max && r[1].min.as.i == 18992 && r[1].max.as.i == 19083);
    assert_true(r[2].has_max && r[2].min.as.f == 1.5 && r[2].max.as.f == 1.5 && r[2].may_have_nan);
    assert_true(r[3].has_max && sm_str_is(r[3].min.as.s, "short"));
    assert_true(sm_str_is(r[3].max.as.s, values[7]));
    release_fixture(&f);
}

#define TEN(x) x x x x x x x x x x
static void long_strings_are_rounded_up(void **state)
{
    /* 40 characters; what 32 of them round up to. */
    static const struct {
        const char *text, *max; /* NULL: there is none */
    } cases[] = {
        {TEN("abcd"), "abcdabcdabcdabcdabcdabcdabcdabce"},
        {TEN("abc\x7f"), "abc\x7f"
                         "abc\x7f"
                         "abc\x7f"
                         "abc\x7f"
                         "abc\x7f"
                         "abc\x7f"
                         "abc\x7f"
                         "abc\xc2\x80"},
        {"abcdabcdabcdabcdabcdabcdabcdabc\xed\x9f\xbf"
         "zz",
         "abcdabcdabcdabcdabcdabcdabcdabc\xee\x80\x80"},
        {"abcdabcdabcdabcdabcdabcdabcdab\xf4\x8f\xbf\xbf\xf4\x8f\xbf\xbf"
         "zz",
         "abcdabcdabcdabcdabcdabcdabcdac"},
        {TEN("\xf4\x8f\xbf\xbf") TEN("\xf4\x8f\xbf\xbf") TEN("\xf4\x8f\xbf\xbf")
             TEN("\xf4\x8f\xbf\xbf"),
         NULL},
    };
    const parquet_how how = {0};
    for (int i = 0; i < SM_COUNT(cases); i++) {
        fixture f;
        write_text(&f, "STRUCT(s VARCHAR)", &cases[i].text, 1, &how);
        const sm_range *r = f.written.ranges;
        assert_true(r->has_min && r->min.as.s.len < strlen(cases[i].text));
        assert_memory_equal(r->min.as.s.data, cases[i].text, r->min.as.s.len);
        assert_int_equal(sm_utf8_count(r->min.as.s), 32);
        assert_int_equal(r->has_max, cases[i].max != NULL);
        if (cases[i].max) {
            assert_int_equal(r->max.as.s.len, strlen(cases[i].max));
            assert_memory_equal(r->max.as.s.data, cases[i].max, r->max.as.s.len);
        }
        /* A bound just over the string may skip the file, one at it may not. */
        static const int32_t path[] = {0};
        sm_bound at = {path, 1, SM_BOUND_EQ, sm_value_str(sm_str_of(cases[i].text)), NULL, 0};
        sm_buf text = {0};
        parquet_in in;
        sm_error e = {0};
        assert_ok(read_as(&f, NULL, (sm_bounds){&at, 1}, &text, &in, &e), &e);
        assert_int_equal(in.n_rows, 1);
        at.value = sm_value_str(SM_STR("a"));
        assert_ok(read_as(&f, NULL, (sm_bounds){&at, 1}, &text, &in, &e), &e);
        assert_int_equal(in.n_skipped, 1);
        sm_buf_release(&text);
        release_fixture(&f);
    }
}

static void row_groups_are_skipped_by_bounds(void **state)
{
    static const char *const values[] = {"1", "a",  "2", "b", "3", "c",
                                         "4", NULL, "5", "e", "6", "f"};
    static const int32_t a[] = {0}, b[] = {1};
    const sm_value five = sm_value_i64(5), bee = sm_value_str(SM_STR("bb"));
    const struct {
        sm_bound bound;
        int64_t n_skipped;
        const char *rows;
    } cases[] = {
        {{a, 1, SM_BOUND_GE, five}, 2, "5|e\n6|f\n"},
        {{a, 1, SM_BOUND_LT, five}, 1, "1|a\n2|b\n3|c\n4|NULL\n"},
        {{a, 1, SM_BOUND_EQ, five}, 2, "5|e\n6|f\n"},
        {{b, 1, SM_BOUND_EQ, bee}, 3, ""},
        {{b, 1, SM_BOUND_IS_NULL}, 2, "3|c\n4|NULL\n"},
        {{b, 1, SM_BOUND_NOT_NULL}, 0, "1|a\n2|b\n3|c\n4|NULL\n5|e\n6|f\n"},
    };
    const parquet_how how = {.group_rows = 2};
    fixture f;
    sm_buf text = {0};
    parquet_in in;
    sm_error e = {0};
    write_text(&f, "STRUCT(a BIGINT, b VARCHAR)", values, 6, &how);
    for (int i = 0; i < SM_COUNT(cases); i++) {
        assert_ok(read_as(&f, NULL, (sm_bounds){&cases[i].bound, 1}, &text, &in, &e), &e);
        assert_int_equal(in.n_skipped, cases[i].n_skipped);
        assert_string_equal((char *)text.data, cases[i].rows);
    }
    /* A column that the file does not have is null there. */
    const sm_bound missing = {b, 1, SM_BOUND_EQ, five};
    assert_ok(read_as(&f, "STRUCT(a BIGINT, x BIGINT)", (sm_bounds){&missing, 1}, &text, &in, &e),
              &e);
    assert_int_equal(in.n_skipped, 3);
    sm_buf_release(&text);
    release_fixture(&f);
}

/* Deletes the rows of a text of '-' and 'x', one for each row of the file. */
typedef struct text_deletes {
    sm_deletes deletes;
    const char *rows;
    sm_status status;
} text_deletes;

static sm_status read_text_deletes(const sm_deletes *d, int64_t n_rows, sm_budget *budget,
                                   sm_block **out, sm_error *e)
{
    const text_deletes *t = (const text_deletes *)(const void *)d;
    assert_int_equal(n_rows, strlen(t->rows));
    if (t->status != SM_OK) {
        return sm_fail(e, t->status, "no deletes");
    }
    SM_TRY(sm_block_new(budget, sm_bits_bytes(n_rows), out, e));
    memset((*out)->data, 0, sm_bits_bytes(n_rows));
    for (int64_t i = 0; i < n_rows; i++) {
        if (t->rows[i] == 'x') {
            sm_bit_set((*out)->data, i);
        }
    }
    return SM_OK;
}

static void deleted_rows_are_left_out(void **state)
{
    static const char *const values[] = {"1", "a",  "2", "b", "3", "c",
                                         "4", NULL, "5", "e", "6", "f"};
    static const int32_t a[] = {0};
    const sm_bound from_three = {a, 1, SM_BOUND_GE, sm_value_i64(3)};
    static const struct {
        const char *deleted;
        const char *all, *from_three;
    } cases[] = {
        {"------", "1|a\n2|b\n3|c\n4|NULL\n5|e\n6|f\n", "3|c\n4|NULL\n5|e\n6|f\n"},
        {"x----x", "2|b\n3|c\n4|NULL\n5|e\n", "3|c\n4|NULL\n5|e\n"},
        {"-xx-x-", "1|a\n4|NULL\n6|f\n", "4|NULL\n6|f\n"},
        {"--xx--", "1|a\n2|b\n5|e\n6|f\n", "5|e\n6|f\n"},
        {"xxxxxx", "", ""},
    };
    const parquet_how how = {.group_rows = 2};
    fixture f;
    sm_error e = {0};
    write_text(&f, "STRUCT(a BIGINT, b VARCHAR)", values, 6, &how);
    for (int i = 0; i < 2 * SM_COUNT(cases); i++) {
        const text_deletes deletes = {{read_text_deletes}, cases[i / 2].deleted, SM_OK};
        sm_buf text = {0};
        parquet_in in = {.schema = f.schema,
                         .deletes = &deletes.deletes,
                         .bounds = {&from_three, i % 2},
                         .on_batch = print_batch,
                         .ctx = &text};
        const char *want = i % 2 ? cases[i / 2].from_three : cases[i / 2].all;
        assert_ok(parquet_read(f.blob, f.budget, &in, &e), &e);
        sm_buf_text(&text, (sm_str){"", 1});
        assert_string_equal((char *)text.data, want);
        assert_int_equal(in.n_skipped, i % 2);
        sm_buf_release(&text);
    }
    const text_deletes failing = {{read_text_deletes}, "------", SM_CORRUPT};
    parquet_in in = {.schema = f.schema, .deletes = &failing.deletes};
    assert_status(parquet_read(f.blob, f.budget, &in, &e), SM_CORRUPT, &e);
    release_fixture(&f);
}

static void wanted_types_are_found_or_refused(void **state)
{
    static const char *const values[] = {"7",  "1.50", "2022-04-01", "x",  "2.5",
                                         NULL, NULL,   NULL,         NULL, NULL};
    static const struct {
        const char *schema;
        const char *rows;  /* NULL: refused */
        const char *words; /* in the refusal */
    } cases[] = {
        {"STRUCT(i BIGINT, d DECIMAL(20,4), t TIMESTAMP, s BLOB, f DOUBLE)",
         "7|1.5000|2022-04-01 00:00:00|x|2.5\nNULL|NULL|NULL|NULL|NULL\n", NULL},
        {"STRUCT(S VARCHAR, nothing INTEGER[], i DECIMAL(12,2), i2 STRUCT(a BIGINT))",
         "x|NULL|7.00|NULL\nNULL|NULL|NULL|NULL\n", NULL},
        {"STRUCT(i DOUBLE)", "7.0\nNULL\n", NULL},
        {"STRUCT(i SMALLINT)", "7\nNULL\n", NULL}, /* plain INT32: each value is checked */
        {"STRUCT(i VARCHAR)", NULL, "\"i\" is INT32 in the file, VARCHAR is wanted"},
        {"STRUCT(i DECIMAL(5,0))", NULL, "DECIMAL(5,0)"},
        {"STRUCT(d DECIMAL(4,1))", NULL, "(DECIMAL(4,2))"},
        {"STRUCT(f FLOAT, t BIGINT)", NULL, "\"t\" is INT32 (DATE)"},
        {"STRUCT(s STRUCT(a BIGINT))", NULL, "BYTE_ARRAY (STRING)"},
    };
    const parquet_how how = {0};
    fixture f;
    sm_buf text = {0};
    parquet_in in;
    write_text(&f, "STRUCT(i INTEGER, d DECIMAL(4,2), t DATE, s VARCHAR, f FLOAT)", values, 2,
               &how);
    for (int i = 0; i < SM_COUNT(cases); i++) {
        sm_error e = {0};
        const sm_status st = read_as(&f, cases[i].schema, (sm_bounds){0}, &text, &in, &e);
        if (cases[i].rows) {
            assert_ok(st, &e);
            assert_string_equal((char *)text.data, cases[i].rows);
        } else {
            assert_status(st, SM_SCHEMA, &e);
            assert_non_null(strstr(e.what, cases[i].words));
            assert_non_null(strstr(e.object, "t.parquet"));
        }
    }
    sm_buf_release(&text);
    release_fixture(&f);
}

static void a_value_too_large_is_an_error(void **state)
{
    static const char *const values[] = {"7", "40000"};
    const parquet_how how = {0};
    fixture f;
    sm_buf text = {0};
    parquet_in in;
    sm_error e = {0};
    write_text(&f, "STRUCT(i INTEGER)", values, 2, &how);
    assert_status(read_as(&f, "STRUCT(i SMALLINT)", (sm_bounds){0}, &text, &in, &e), SM_RANGE, &e);
    assert_non_null(strstr(e.what, "column \"i\""));
    sm_buf_release(&text);
    release_fixture(&f);
}

/* Texts that are none. Beside each other some of the bad ones are a character, and lengths
 * that lie before texts have bytes over 0x7F although no text has. */
static void a_text_that_is_not_utf8_is_found_in_each_encoding(void **state)
{
    enum { N = 300 };
    static const struct {
        const char *head; /* of each text; "" and a number: no text shares much with the last */
        bool no_dictionary;
        int64_t n;
    } files[] = {
        {"", true, 1}, {"", true, N}, {"a long beginning of all texts ", true, N}, {"", false, N}};
    static const char *const bad[] = {"\xff", "ab\xc3", "\xa9", NULL};
    char texts[N][96];
    const char *values[N];

    for (int f = 0; f < SM_COUNT(files); f++) {
        for (int b = 0; b < SM_COUNT(bad); b++) {
            const parquet_how how = {.no_dictionary = files[f].no_dictionary};
            fixture written;
            sm_buf text = {0};
            parquet_in in;
            sm_error e = {0};
            for (int i = 0; i < files[f].n; i++) {
                const int number = files[f].no_dictionary ? i * 7919 % N : i % 3;
                const bool is_bad = bad[b] && i == files[f].n - 1;
                snprintf(texts[i], sizeof(texts[i]), "%s%.*d%s", files[f].head, 1 + i % 40, number,
                         is_bad ? bad[b] : "");
                values[i] = texts[i];
            }
            write_text(&written, "STRUCT(t VARCHAR)", values, files[f].n, &how);
            assert_status(read_as(&written, NULL, (sm_bounds){0}, &text, &in, &e),
                          bad[b] ? SM_CORRUPT : SM_OK, &e);
            assert_true(!bad[b] || strstr(e.what, "a string is not UTF-8"));
            sm_buf_release(&text);
            release_fixture(&written);
        }
    }
}

/* Column mapping: by physical name, whatever the name is now; and what is written has the names
 * that it goes by. */
static void columns_are_found_by_their_mapping(void **state)
{
    static const char *const values[] = {"1", "x"};
    static const sm_field_meta first[] = {
        {{"delta.columnMapping.id", 22}, {"7", 1}},
        {{"delta.columnMapping.physicalName", 32}, {"\"col-a\"", 7}}};
    static const sm_field_meta second[] = {
        {{"delta.columnMapping.physicalName", 32}, {"\"b\"", 3}}};
    const parquet_how how = {0};
    fixture f;
    sm_arena *a = sm_arena_new(NULL);
    sm_field fields[] = {
        {.name = SM_STR("a"),
         .type = &sm_type_i64,
         .is_nullable = true,
         .meta = first,
         .n_meta = 2},
        {.name = SM_STR("bee"), .type = &sm_type_string, .meta = second, .n_meta = 1},
    };
    sm_buf out = {0}, text = {0};
    sm_written written = {0};
    sm_error e = {0};
    write_text(&f, "STRUCT(\"col-a\" BIGINT, b VARCHAR)", values, 1, &how);
    const sm_type *schema = sm_type_struct(a, fields, 2), *stored = NULL;
    parquet_in in = {.schema = schema, .on_batch = print_batch, .ctx = &text};
    assert_ok(parquet_read(f.blob, f.budget, &in, &e), &e);
    assert_memory_equal(text.data, "1|x\n", 4);
    assert_ok(parquet_write(&how, schema, f.rows.batches, 1, f.budget, a, &out, &written, &e), &e);
    sm_blob_close(f.blob);
    sm_store_release(f.store);
    assert_ok(parquet_blob(out.data, out.len, &f.store, &f.blob, &e), &e);
    assert_ok(sm_format_infer(sm_format_named(SM_STR("parquet")), f.blob, NULL, a, &stored, &e),
              &e);
    assert_true(sm_str_is(stored->fields[0].name, "a"));
    assert_true(sm_str_is(stored->fields[1].name, "bee"));
    sm_buf_release(&out);
    sm_buf_release(&text);
    sm_arena_free(a);
    release_fixture(&f);
}

/* ---- layouts --------------------------------------------------------------------------------- */

typedef struct layouts {
    int64_t n_dict, n_flat;
} layouts;

static sm_status count_layouts(void *ctx, sm_batch *b, sm_error *e)
{
    layouts *l = ctx;
    l->n_dict += b->columns[0].layout == SM_DICT;
    l->n_flat += b->columns[0].layout == SM_FLAT;
    return SM_OK;
}

/* Few strings come by code, many as they are; and columns that come by code or as constants are
 * written like any others. */
static void few_strings_come_by_code(void **state)
{
    for (draw kind = DRAW_FEW; kind <= DRAW_MANY; kind++) {
        sm_arena *a = sm_arena_new(NULL);
        sm_budget *budget = sm_budget_new(NULL, "test", 0);
        const sm_type *schema = NULL;
        source sources[] = {{kind, 10, 0}, {DRAW_MANY, 0, 0}};
        rows r = {0}, again = {0};
        sm_buf file = {0};
        sm_written written = {0};
        sm_error e = {0};
        assert_ok(sm_type_parse(SM_STR("STRUCT(s VARCHAR, n BIGINT)"), a, &schema, &e), &e);
        make_rows(schema, sources, 9000, 4096, budget, &r);
        const parquet_how how = {0};
        assert_ok(parquet_write(&how, schema, r.batches, r.n, budget, a, &file, &written, &e), &e);
        sm_store *store = NULL;
        sm_blob *blob = NULL;
        layouts l = {0};
        assert_ok(parquet_blob(file.data, file.len, &store, &blob, &e), &e);
        parquet_in in = {.on_batch = count_layouts, .ctx = &l};
        assert_ok(parquet_read(blob, budget, &in, &e), &e);
        assert_true(kind == DRAW_FEW ? l.n_flat == 0 && l.n_dict == 3 : l.n_dict == 0);
        sm_blob_close(blob);
        sm_store_release(store);
        sm_buf_release(&file);
        release_rows(&again);
        release_rows(&r);
        sm_budget_free(budget);
        sm_arena_free(a);
    }
}

/* After a row group whose texts are all new, the first 2,048 texts decide about a dictionary.
 * After two in vain the next one goes without. */
static void a_dictionary_is_given_up_sooner_after_one_in_vain(void **state)
{
    enum { GROUP = 20000 };
    static char texts[4 * GROUP][16];
    static const char *values[4 * GROUP];
    const parquet_how how = {.group_rows = GROUP};
    layouts l = {0};
    parquet_in in = {.on_batch = count_layouts, .ctx = &l};
    fixture f;
    sm_error e = {0};

    for (int i = 0; i < 4 * GROUP; i++) {
        const int is_late = i % GROUP >= 2048;
        const int number = i < GROUP ? i : i < 2 * GROUP ? (is_late ? 0 : i) : i % 900;
        snprintf(texts[i], sizeof(texts[i]), "text-%d", number);
        values[i] = texts[i];
    }
    write_text(&f, "STRUCT(s VARCHAR)", values, 4 * GROUP, &how);
    assert_ok(parquet_read(f.blob, f.budget, &in, &e), &e);
    assert_int_equal(l.n_flat, 3 * 5);
    assert_int_equal(l.n_dict, 5);
    check_written(&f.file, &f.rows, f.schema, f.budget);
    release_fixture(&f);
}

static sm_status note_layout(void *ctx, sm_batch *b, sm_error *e)
{
    const char layout = b->columns[0].layout == SM_DICT ? 'd' : '-';
    return sm_buf_add(ctx, &layout, 1, e);
}

/* Row groups whose texts are all new, one after another: more and more of those that follow begin
 * without a dictionary, but never more than seven. One that pays ends that. */
static void dictionaries_in_vain_are_tried_seldom(void **state)
{
    enum { GROUP = 2048, MOST = 24 };
    static char texts[MOST * GROUP][16];
    static const char *values[MOST * GROUP];
    static const struct {
        const char *groups;  /* n: all new, f: few different */
        const char *layouts; /* of each: d: with a dictionary */
    } files[] = {
        {"nfnfnf", "-d-d-d"},
        {"nnfff", "---dd"},
        {"nnnnfffff", "-------dd"},
        {"nnnnnnnnnfffffffnf", "---------------d-d"},
        {"nnnnnnnnnnnnnnnnffffffff", "-----------------------d"},
    };
    const parquet_how how = {.group_rows = GROUP};

    for (int f = 0; f < SM_COUNT(files); f++) {
        const int n = (int)strlen(files[f].groups);
        fixture written;
        sm_buf seen = {0};
        sm_error e = {0};
        for (int i = 0; i < n * GROUP; i++) {
            const bool is_new = files[f].groups[i / GROUP] == 'n';
            snprintf(texts[i], sizeof(texts[i]), "text-%d", is_new ? i : i % 10);
            values[i] = texts[i];
        }
        write_text(&written, "STRUCT(s VARCHAR)", values, n * GROUP, &how);
        parquet_in in = {.on_batch = note_layout, .ctx = &seen};
        assert_ok(parquet_read(written.blob, written.budget, &in, &e), &e);
        assert_int_equal(seen.len, n);
        assert_memory_equal(seen.data, files[f].layouts, (size_t)n);
        check_written(&written.file, &written.rows, written.schema, written.budget);
        sm_buf_release(&seen);
        release_fixture(&written);
    }
}

/* Texts that repeat others nearby: a file of many pages finds out that looking nearby alone is
 * enough, and becomes smaller for it; one of few pages does not try. Hashes never repeat. */
static void many_pages_are_searched_as_the_first_ones_show(void **state)
{
    enum { PAGE = 20480, FEW = 5, MANY = 15 };
    static char texts[MANY * PAGE][20];
    static const char *values[MANY * PAGE];
    const parquet_how how = {.no_dictionary = true, .group_rows = 3 * PAGE};
    size_t sizes[2][2] = {{0}};
    for (int is_hash = 0; is_hash < 2; is_hash++) {
        for (int i = 0; i < MANY * PAGE; i++) {
            const uint64_t random = sm_mix64((uint64_t)i + 1);
            snprintf(texts[i], sizeof(texts[i]), is_hash ? "%016" PRIx64 : "%06" PRIu64 "-customer",
                     is_hash ? random : random % 1000000);
            values[i] = texts[i];
        }
        for (int is_long = 0; is_long < 2; is_long++) {
            fixture f;
            write_text(&f, "STRUCT(s VARCHAR)", values, (is_long ? MANY : FEW) * PAGE, &how);
            check_written(&f.file, &f.rows, f.schema, f.budget);
            sizes[is_hash][is_long] = f.file.len;
            release_fixture(&f);
        }
    }
    assert_true(sizes[0][1] < sizes[0][0] * MANY / FEW / 100 * 93);
    assert_true(sizes[1][1] > sizes[1][0] * MANY / FEW / 1000 * 995);
    assert_true(sizes[1][1] < sizes[1][0] * MANY / FEW / 1000 * 1005);
}

static void constants_and_codes_are_written(void **state)
{
    sm_arena *a = sm_arena_new(NULL);
    sm_budget *budget = sm_budget_new(NULL, "test", 0);
    const sm_type *schema = NULL;
    sm_batch *b = NULL;
    sm_error e = {0};
    sm_buf file = {0};
    sm_written written = {0};
    assert_ok(sm_type_parse(SM_STR("STRUCT(c VARCHAR, n BIGINT, d VARCHAR)"), a, &schema, &e), &e);
    assert_ok(sm_batch_new(budget, schema, &b, &e), &e);
    assert_ok(sm_column_constant(sm_value_str(SM_STR("a constant of some length")), 3000, b,
                                 &b->columns[0], &e),
              &e);
    assert_ok(sm_column_constant(sm_value_null(&sm_type_i64), 3000, b, &b->columns[1], &e), &e);
    sm_builder *entries = sm_builder_new(&sm_type_string, budget);
    sm_builder_str(entries, SM_STR("first"));
    sm_builder_str(entries, SM_STR("the second entry is long"));
    void *child = NULL, *codes = NULL, *bits = NULL;
    assert_ok(sm_batch_alloc(b, sizeof(sm_column), &child, &e), &e);
    assert_ok(sm_builder_finish(entries, b, child, &e), &e);
    sm_builder_free(entries);
    assert_ok(sm_batch_alloc(b, 3000 * sizeof(int32_t), &codes, &e), &e);
    assert_ok(sm_batch_alloc(b, 400, &bits, &e), &e);
    for (int i = 0; i < 3000; i++) {
        if (i % 3 != 0) {
            ((int32_t *)codes)[i] = i % 2;
            sm_bit_set(bits, i);
        }
    }
    b->columns[2] = (sm_column){.type = &sm_type_string,
                                .layout = SM_DICT,
                                .n_rows = 3000,
                                .validity = bits,
                                .values = codes,
                                .children = child,
                                .n_children = 1};
    b->n_rows = 3000;
    const parquet_how how = {.group_rows = 1234};
    rows r = {.batches = {b}, .n = 1, .n_rows = 3000};
    assert_ok(parquet_write(&how, schema, r.batches, 1, budget, a, &file, &written, &e), &e);
    check_written(&file, &r, schema, budget);
    assert_int_equal(written.ranges[2].n_nulls, 1000);
    sm_buf_release(&file);
    release_rows(&r);
    sm_budget_free(budget);
    sm_arena_free(a);
}

/* ---- limits and damage ----------------------------------------------------------------------- */

static void null_in_a_column_that_may_not_be_is_an_error(void **state)
{
    sm_arena *a = sm_arena_new(NULL);
    static const char *const values[] = {NULL};
    const parquet_how how = {0};
    fixture f;
    sm_buf out = {0};
    sm_written written = {0};
    sm_error e = {0};
    const sm_field field = {.name = SM_STR("n"), .type = &sm_type_i64};
    write_text(&f, "STRUCT(n BIGINT)", values, 1, &how);
    assert_status(parquet_write(&how, sm_type_struct(a, &field, 1), f.rows.batches, 1, f.budget, a,
                                &out, &written, &e),
                  SM_SCHEMA, &e);
    assert_non_null(strstr(e.what, "\"n\" may not be null"));
    release_fixture(&f);
    sm_arena_free(a);
}

static void the_memory_of_a_row_group_is_asked_for_at_first(void **state)
{
    const parquet_how how = {0};
    sm_arena *a = sm_arena_new(NULL);
    sm_budget *budget = sm_budget_new(NULL, "small", 1 << 20);
    const sm_field field = {.name = SM_STR("n"), .type = &sm_type_i64};
    sm_buf out = {0};
    sm_written written = {0};
    sm_error e = {0};
    assert_status(
        parquet_write(&how, sm_type_struct(a, &field, 1), NULL, 0, budget, a, &out, &written, &e),
        SM_BUDGET, &e);
    assert_int_equal(sm_budget_used(budget), 0);
    sm_budget_free(budget);
    sm_arena_free(a);
}

/* Is a byte guarded by the footer's checksum? Not those of the key that says that there is one. */
static bool is_guarded(const fixture *f, size_t at)
{
    const sm_str key = SM_STR("smelt.footer.crc32");
    const uint8_t *end = f->file.data + f->file.len;
    uint32_t len = 0;
    memcpy(&len, end - 8, 4);
    const uint8_t *found = memmem(end - 8 - len, len, key.data, key.len);
    assert_non_null(found);
    const uint8_t *byte = f->file.data + at;
    return byte >= end - 8 - len && byte < end - 8 &&
           (byte < found - 5 || byte >= found + key.len + 2);
}

/* Every byte changed, every length cut: an error or the same rows, never a crash or a leak. Pages
 * and the footer have checksums, so that a change there is always found. */
static void damage_is_found(void **state)
{
    static const char *const values[] = {"1", "x", "2", "a longer string", NULL, NULL, "3", "x"};
    const parquet_how how = {.group_rows = 2};
    fixture f;
    write_text(&f, "STRUCT(a BIGINT, s VARCHAR)", values, 4, &how);
    int64_t live = 0;
    int n_errors = 0;
    sm_error none = {0};
    sm_buf want = {0};
    parquet_in whole = {.schema = f.schema, .on_batch = print_batch, .ctx = &want};
    assert_ok(parquet_read(f.blob, f.budget, &whole, &none), &none);
    for (size_t i = 0; i < f.file.len * 9; i++) { /* each bit, each length */
        sm_error e = {0};
        sm_store *store = NULL;
        sm_blob *blob = NULL;
        sm_budget *budget = sm_budget_new(NULL, "damage", 64 << 20);
        const size_t at = i / 9;
        const size_t n = i % 9 == 8 ? at : f.file.len;
        const uint8_t before = f.file.data[at];
        f.file.data[at] = (uint8_t)(before ^ (1u << i % 9));
        assert_ok(parquet_blob(f.file.data, n, &store, &blob, &e), &e);
        f.file.data[at] = before;
        sm_buf got = {0};
        parquet_in in = {.schema = f.schema, .on_batch = print_batch, .ctx = &got};
        const sm_status st = parquet_read(blob, budget, &in, &e);
        n_errors += st != SM_OK;
        if (st == SM_OK && !sm_str_eq(sm_buf_str(&got), sm_buf_str(&want))) {
            fail_msg("byte %zu of %zu changed: %.*s", at, f.file.len, (int)got.len, got.data);
        }
        sm_buf_release(&got);
        if (n < f.file.len || is_guarded(&f, at)) {
            assert_int_not_equal(st, SM_OK);
        }
        if (st != SM_OK) {
            assert_true(e.what[0] != '\0' && strstr(e.object, "t.parquet"));
        }
        sm_blob_close(blob);
        sm_store_release(store);
        assert_int_equal(sm_budget_used(budget), 0);
        sm_budget_free(budget);
        live = i == 0 ? sm_live_allocs() : live;
        if (n == f.file.len) {
            assert_int_equal(sm_live_allocs(), live);
        }
    }
    assert_true(n_errors > (int)f.file.len);
    sm_buf_release(&want);
    release_fixture(&f);
}

#define INDEXED_ROWS 61000 /* three pages */
#define INDEXED_FROM 45000

static sm_status count_from(void *ctx, sm_batch *b, sm_error *e)
{
    for (int64_t i = 0; i < b->n_rows; i++) {
        *(int64_t *)ctx += sm_column_value(&b->columns[0], i).as.i >= INDEXED_FROM;
    }
    return SM_OK;
}

/* Pages are left out by the index: one that was changed must not leave out others. */
static void a_changed_index_loses_no_row(void **state)
{
    static const int32_t path[] = {0};
    const sm_bound from = {path, 1, SM_BOUND_GE, sm_value_i64(INDEXED_FROM)};
    const parquet_how how = {0};
    fixture f;
    sm_error e = {0};
    char(*numbers)[8] = malloc(INDEXED_ROWS * sizeof(*numbers));
    const char **values = malloc(INDEXED_ROWS * sizeof(*values));
    for (int i = 0; i < INDEXED_ROWS; i++) {
        snprintf(numbers[i], sizeof(numbers[i]), "%d", i);
        values[i] = numbers[i];
    }
    write_text(&f, "STRUCT(a BIGINT)", values, INDEXED_ROWS, &how);
    int64_t n = 0;
    parquet_in in = {.schema = f.schema, .bounds = {&from, 1}, .on_batch = count_from, .ctx = &n};
    assert_ok(parquet_read(f.blob, f.budget, &in, &e), &e);
    assert_true(in.n_rows < INDEXED_ROWS && n == INDEXED_ROWS - INDEXED_FROM);
    uint32_t footer = 0;
    memcpy(&footer, f.file.data + f.file.len - 8, 4);
    const size_t end = f.file.len - 8 - footer;
    int n_read = 0;
    for (size_t bit = 8 * (end - 200); bit < 8 * end; bit++) {
        sm_store *store = NULL;
        sm_blob *blob = NULL;
        f.file.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_ok(parquet_blob(f.file.data, f.file.len, &store, &blob, &e), &e);
        f.file.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        n = 0;
        const sm_status st = parquet_read(blob, f.budget, &in, &e);
        if (st == SM_OK && n != INDEXED_ROWS - INDEXED_FROM) {
            fail_msg("bit %zu before the footer: %d rows", 8 * end - bit, (int)n);
        }
        n_read += st == SM_OK;
        sm_blob_close(blob);
        sm_store_release(store);
    }
    assert_true(n_read > 600); /* a changed index is none; the pages tell the truth */
    free(values);
    free(numbers);
    release_fixture(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_come_back),
        cmocka_unit_test(long_columns_come_back),
        cmocka_unit_test(a_file_without_rows_has_its_schema),
        cmocka_unit_test(bytes_do_not_depend_on_batches_or_threads),
        cmocka_unit_test(ranges_are_exact_or_cut_outwards),
        cmocka_unit_test(long_strings_are_rounded_up),
        cmocka_unit_test(row_groups_are_skipped_by_bounds),
        cmocka_unit_test(deleted_rows_are_left_out),
        cmocka_unit_test(wanted_types_are_found_or_refused),
        cmocka_unit_test(a_value_too_large_is_an_error),
        cmocka_unit_test(a_text_that_is_not_utf8_is_found_in_each_encoding),
        cmocka_unit_test(columns_are_found_by_their_mapping),
        cmocka_unit_test(few_strings_come_by_code),
        cmocka_unit_test(a_dictionary_is_given_up_sooner_after_one_in_vain),
        cmocka_unit_test(dictionaries_in_vain_are_tried_seldom),
        cmocka_unit_test(many_pages_are_searched_as_the_first_ones_show),
        cmocka_unit_test(constants_and_codes_are_written),
        cmocka_unit_test(null_in_a_column_that_may_not_be_is_an_error),
        cmocka_unit_test(the_memory_of_a_row_group_is_asked_for_at_first),
        cmocka_unit_test(damage_is_found),
        cmocka_unit_test(a_changed_index_loses_no_row),
    };
    return cmocka_run_group_tests_name("parquet", tests, NULL, NULL);
}
