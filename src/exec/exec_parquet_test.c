/* SPDX-License-Identifier: Apache-2.0
 *
 * exec/exec_parquet_test.c: scans of files with many ranges a morsel: row groups in order, columns
 * by choice, row groups and files left out by bounds, rows counted without reading a column. */
#include "exec_testkit.h"

#include "base/text.h"

#define SCHEMA     "STRUCT(n BIGINT, s VARCHAR, f DOUBLE)"
#define GROUP_ROWS 1000

static sm_status add_bytes(void *ctx, sm_block *block, size_t len, sm_waker waker, sm_error *e)
{
    return sm_buf_add(ctx, block->data, len, e);
}

/* n rows: n = first + i, s = a text with it, long in every second row, f NULL in every third. */
static void write_file(kit *k, sm_str key, int64_t first, int64_t n, int64_t group_rows)
{
    const sm_format *format = sm_format_named(SM_STR("parquet"));
    const sm_type *schema = k_type(k, SCHEMA);
    sm_error e = {0};
    sm_buf bytes = {0};
    sm_writer *w = NULL;
    sm_batch *rows = NULL;
    sm_written written;
    void *opts = sm_arena_alloc(k->arena, format->opts_bytes);
    assert_ok(sm_options_default(format->options, opts, &e), &e);
    assert_ok(sm_options_set(format->options, opts, SM_STR("row_group_rows"),
                             sm_value_i64(group_rows), k->arena, &e),
              &e);
    const sm_bytes_out to = {.write = add_bytes, .ctx = &bytes};
    assert_ok(format->writer->open(schema, opts, to, NULL, k->budget, &w, &e), &e);
    assert_ok(sm_batch_new(k->budget, schema, &rows, &e), &e);
    sm_builder *b[3];
    for (int c = 0; c < 3; c++) {
        b[c] = sm_builder_new(schema->fields[c].type, k->budget);
    }
    for (int64_t i = first; i < first + n; i++) {
        sm_builder_i64(b[0], i);
        sm_builder_str(b[1], sm_arena_strf(k->arena, i % 2 ? "a text of some length, %lld" : "%lld",
                                           (long long)i));
        if (i % 3 == 0) {
            sm_builder_null(b[2]);
        } else {
            sm_builder_f64(b[2], (double)i / 4);
        }
    }
    for (int c = 0; c < 3; c++) {
        assert_ok(sm_builder_finish(b[c], rows, &rows->columns[c], &e), &e);
        sm_builder_free(b[c]);
    }
    rows->n_rows = n;
    assert_ok(format->writer->write(w, rows, (sm_waker){0}, &e), &e);
    assert_ok(format->writer->finish(w, (sm_waker){0}, &written, &e), &e);
    format->writer->close(w);
    sm_batch_release(rows);
    assert_ok(sm_store_put(k->store, key, bytes.data, bytes.len, SM_PUT_REPLACE, &e), &e);
    sm_buf_release(&bytes);
}

/* Three files of n rows, which go on from file to file. */
static sm_dataset *make_files(kit *k, int64_t n, int64_t group_rows)
{
    sm_error e = {0};
    sm_dataset *d = SM_NEW(k->arena, sm_dataset);
    *d = (sm_dataset){.format = sm_format_named(SM_STR("parquet")),
                      .schema = k_type(k, SCHEMA),
                      .n_files = 3,
                      .files = SM_NEW_ARRAY(k->arena, sm_datafile, 3)};
    for (int i = 0; i < 3; i++) {
        sm_entry entry;
        const sm_str key = sm_arena_strf(k->arena, "f%d.json", k->n_files++);
        write_file(k, key, i * n, n, group_rows);
        assert_ok(sm_store_stat(k->store, key, k->arena, &entry, &e), &e);
        d->files[i] = (sm_datafile){.uri = key,
                                    .store = k->store,
                                    .key = key,
                                    .size_bytes = entry.size_bytes,
                                    .n_rows = -1};
    }
    return d;
}

/* Three files of 3,500 rows: row groups of 1,000, 1,000, 1,000, 500. */
static sm_dataset *three_files(kit *k)
{
    return make_files(k, 3500, GROUP_ROWS);
}

/* Columns by number, and n >= at_least as a bound and as a filter. */
typedef struct scan_case {
    int32_t columns[3];
    int32_t n_columns;
    int64_t at_least; /* −1: none */
} scan_case;

static void make_scan(kit *k, const void *data)
{
    static const int32_t path[] = {0};
    const scan_case *c = data;
    sm_dataset *d = three_files(k);
    sm_plan_node *scan = k_scan(k, d);
    sm_field fields[3];
    for (int32_t i = 0; i < c->n_columns; i++) {
        fields[i] = d->schema->fields[c->columns[i]];
    }
    scan->schema = sm_type_struct(k->arena, fields, c->n_columns);
    scan->as.scan.columns = (int32_t *)c->columns;
    scan->as.scan.want.columns = c->columns;
    scan->as.scan.want.n_columns = c->n_columns;
    if (c->at_least < 0) {
        k_plan(k, scan);
        return;
    }
    sm_bound *bound = SM_NEW(k->arena, sm_bound);
    *bound = (sm_bound){
        .path = path, .n_path = 1, .op = SM_BOUND_GE, .value = sm_value_i64(c->at_least)};
    scan->as.scan.want.bounds = (sm_bounds){.items = bound, .n = 1};
    const sm_expr *where =
        x_call(k, &fn_less, &sm_type_bool, x_i64(k, c->at_least - 1), x_col(k, 0, &sm_type_i64));
    k_plan(k, k_filter(k, scan, where));
}

static char *expect(const scan_case *c)
{
    sm_buf out = {0};
    for (int64_t i = c->at_least > 0 ? c->at_least : 0; i < 10500; i++) {
        for (int32_t k = 0; k < c->n_columns; k++) {
            char number[SM_F64_TEXT_BYTES];
            sm_buf_text(&out, k > 0 ? SM_STR(" ") : SM_STR(""));
            if (c->columns[k] == 0) {
                sm_buf_printf(&out, "%lld", (long long)i);
            } else if (c->columns[k] == 1) {
                sm_buf_printf(&out, i % 2 ? "a text of some length, %lld" : "%lld", (long long)i);
            } else {
                sm_format_f64((double)i / 4, number);
                sm_buf_text(&out, i % 3 ? sm_str_of(number) : SM_STR("NULL"));
            }
        }
        sm_buf_text(&out, SM_STR("\n"));
    }
    sm_buf_text(&out, (sm_str){"", 1});
    char *copy = strdup((char *)out.data);
    sm_buf_release(&out);
    return copy;
}

static void scans_row_groups_in_order(void **state)
{
    static const scan_case cases[] = {
        {{0, 1, 2}, 3, -1}, {{1}, 1, -1}, {{0, 2}, 2, -1}, {{0, 1}, 2, 9200}, {{0, 2}, 2, 4000},
    };
    for (int i = 0; i < SM_COUNT(cases); i++) {
        char *want = expect(&cases[i]);
        for (int t = 0; t < SM_COUNT(k_threads); t++) {
            char *got = k_once(make_scan, &cases[i], k_threads[t], 0);
            assert_string_equal(got, want);
            free(got);
        }
        free(want);
    }
}

static void leaves_out_row_groups(void **state)
{
    const scan_case c = {{0}, 1, 9200}; /* the third file's rows 2,200 on: its last two groups */
    sm_error e = {0};
    sm_buf out = {0};
    kit k = kit_new(2, 0, 0);
    make_scan(&k, &c);
    assert_ok(k_run(&k, &out, &e), &e);
    assert_int_equal(k.report.nodes[0].morsels, 2);
    assert_int_equal(k.report.nodes[0].morsels_skipped, 10);
    assert_int_equal(k.report.nodes[0].rows, 1500);
    assert_int_equal(k.report.n_files, 0); /* only text is told of by file */
    sm_buf_release(&out);
    kit_free(&k);
}

/* Rows of which one in so many is read. */
typedef struct some_case {
    int64_t n, group_rows, one_of;
    int64_t rows_before[3];
    bool is_damaged; /* the page indexes of the files */
    int64_t want[8]; /* the first row and the end of each stretch that is read; −1: no more */
} some_case;

/* Damages the offset indexes, which are before the footer. */
static void damage_index(kit *k, sm_str key)
{
    sm_error e = {0};
    sm_buf bytes = {0};
    assert_ok(sm_store_get(k->store, key, &bytes, &e), &e);
    uint32_t footer_bytes = 0;
    memcpy(&footer_bytes, bytes.data + bytes.len - 8, sizeof(footer_bytes));
    for (size_t i = 1; i <= 250; i++) {
        bytes.data[bytes.len - 8 - footer_bytes - i] ^= 0x55;
    }
    assert_ok(sm_store_put(k->store, key, bytes.data, bytes.len, SM_PUT_REPLACE, &e), &e);
    sm_buf_release(&bytes);
}

static void make_some(kit *k, const void *data)
{
    static const int32_t columns[] = {0, 2};
    const some_case *c = data;
    sm_dataset *d = make_files(k, c->n, c->group_rows);
    d->one_of = c->one_of;
    for (int i = 0; i < 3; i++) {
        d->files[i].rows_before = c->rows_before[i];
        if (c->is_damaged) {
            damage_index(k, d->files[i].key);
        }
    }
    sm_plan_node *scan = k_scan(k, d);
    const sm_field fields[] = {d->schema->fields[0], d->schema->fields[2]};
    scan->schema = sm_type_struct(k->arena, fields, 2);
    scan->as.scan.columns = (int32_t *)columns;
    scan->as.scan.want.columns = columns;
    scan->as.scan.want.n_columns = 2;
    k_plan(k, scan);
}

/* Pieces of 20,480 rows: by where they are among the rows of all files, whatever these are. Without
 * page index, as many of a row group's first rows. */
static void reads_some_rows(void **state)
{
    static const some_case cases[] = {
        {3500, 1000, 2, {0, 20480, 39960}, false, {0, 3500, 8000, 10500, -1}},
        {70000,
         50000,
         2,
         {0, 20480 * 3, 20480 * 5},
         false,
         {0, 20480, 40960, 70000, 90480, 110960, 160480, 180960}},
        {70000,
         50000,
         2,
         {0, 20480 * 3, 20480 * 5},
         true,
         {0, 29520, 50000, 70000, 70000, 90480, 140000, 160480}},
        {3500, 1000, 8, {20480, 20480, 20480}, false, {-1}},
    };
    for (int i = 0; i < SM_COUNT(cases); i++) {
        sm_buf want = {0};
        for (int s = 0; s < 8 && cases[i].want[s] >= 0; s += 2) {
            for (int64_t n = cases[i].want[s]; n < cases[i].want[s + 1]; n++) {
                char number[SM_F64_TEXT_BYTES];
                sm_format_f64((double)n / 4, number);
                sm_buf_printf(&want, "%lld %s\n", (long long)n, n % 3 ? number : "NULL");
            }
        }
        sm_buf_text(&want, (sm_str){"", 1});
        for (int t = 0; t < SM_COUNT(k_threads); t++) {
            char *got = k_once(make_some, &cases[i], k_threads[t], 0);
            assert_string_equal(got, (const char *)want.data);
            free(got);
        }
        sm_buf_release(&want);
    }
}

static void counts_without_columns(void **state)
{
    const scan_case c = {{0}, 0, -1};
    for (int t = 0; t < SM_COUNT(k_threads); t++) {
        sm_error e = {0};
        sm_buf out = {0};
        kit k = kit_new(k_threads[t], 0, 0);
        make_scan(&k, &c);
        assert_ok(k_run(&k, &out, &e), &e);
        assert_int_equal(k.report.nodes[0].rows, 10500);
        assert_int_equal(k.report.nodes[0].bytes_read, 0);
        sm_buf_release(&out);
        kit_free(&k);
    }
}

static void make_torn(kit *k, const void *data)
{
    sm_error e = {0};
    sm_buf bytes = {0};
    sm_dataset *d = three_files(k);
    sm_datafile *f = &d->files[1];
    assert_ok(sm_store_get(k->store, f->key, &bytes, &e), &e);
    bytes.data[bytes.len - 5] = 0x7F; /* the footer's length */
    assert_ok(sm_store_put(k->store, f->key, bytes.data, bytes.len, SM_PUT_REPLACE, &e), &e);
    sm_buf_release(&bytes);
    sm_plan_node *scan = k_scan(k, d);
    k_plan(k, *(const bool *)data ? k_limit(k, scan, 3500, 0) : scan);
}

/* A file that does not open fails in its turn: rows of the files before it may be enough. */
static void fails_at_a_file_in_its_turn(void **state)
{
    const bool all = false, enough = true;
    assert_fails_everywhere(make_torn, &all, SM_CORRUPT, "f1.json");
    for (int t = 0; t < SM_COUNT(k_threads); t++) {
        char *got = k_once(make_torn, &enough, k_threads[t], 0);
        assert_non_null(strstr(got, "\n3498 3498 NULL\n"));
        free(got);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scans_row_groups_in_order),
        cmocka_unit_test(leaves_out_row_groups),
        cmocka_unit_test(reads_some_rows),
        cmocka_unit_test(counts_without_columns),
        cmocka_unit_test(fails_at_a_file_in_its_turn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
