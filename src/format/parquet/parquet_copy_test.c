/* SPDX-License-Identifier: Apache-2.0
 *
 * format/parquet/parquet_copy_test.c: row groups of files are copied into another one between rows
 * that are written: all rows are there, the ranges are those of rows that are written, and readers
 * use footer and page index. Of some row groups only some columns are copied. And which files are
 * not copied. */
#include "parquet_rows.h"
#include "test.h"

#define GROUP 600

typedef struct fixture {
    sm_arena *arena;
    sm_budget *budget;
    const sm_type *schema;
    source sources[16];
} fixture;

static void init(fixture *f, const char *sql, int null_percent)
{
    sm_error e = {0};
    *f = (fixture){.arena = sm_arena_new(NULL), .budget = sm_budget_new(NULL, "test", 0)};
    assert_ok(sm_type_parse(sm_str_of(sql), f->arena, &f->schema, &e), &e);
    for (int32_t i = 0; i < f->schema->n_fields; i++) {
        f->sources[i] = (source){(draw)(i % DRAW_KINDS), null_percent, 0};
    }
}

static void release(fixture *f)
{
    assert_int_equal(sm_budget_used(f->budget), 0);
    sm_budget_free(f->budget);
    sm_arena_free(f->arena);
}

/* Some rows, as batches and as a file. */
typedef struct part {
    rows rows;
    sm_buf file;
    sm_store *store;
    sm_blob *blob;
} part;

static void make_part(fixture *f, int64_t n_rows, const parquet_how *how, part *out)
{
    sm_error e = {0};
    sm_written written;
    static int number = 0;
    char key[32];

    *out = (part){0};
    make_rows(f->schema, f->sources, n_rows, n_rows / 30 + 300, f->budget, &out->rows);
    assert_ok(parquet_write(how, f->schema, out->rows.batches, out->rows.n, f->budget, f->arena,
                            &out->file, &written, &e),
              &e);
    snprintf(key, sizeof(key), "part%d.parquet", number++);
    assert_ok(sm_store_open(test_stores, SM_STR("memory://parquet_copy"), &out->store, &e), &e);
    assert_ok(
        sm_store_put(out->store, sm_str_of(key), out->file.data, out->file.len, SM_PUT_REPLACE, &e),
        &e);
    assert_ok(sm_blob_open(out->store, sm_str_of(key), &out->blob, &e), &e);
}

static void release_part(part *p)
{
    release_rows(&p->rows);
    sm_buf_release(&p->file);
    sm_blob_close(p->blob);
    sm_store_release(p->store);
}

static sm_status ask(const fixture *f, const sm_type *schema, const parquet_how *how, const part *p,
                     bool *can)
{
    const sm_format *format = sm_format_named(SM_STR("parquet"));
    void *opts = sm_arena_alloc(f->arena, format->opts_bytes);
    sm_error e = {0};

    *can = false;
    assert_ok(parquet_set_options(how, opts, f->arena, &e), &e);
    return format->writer->can_copy(schema, opts, p->blob, f->budget, can, &e);
}

static bool can_copy(const fixture *f, const sm_type *schema, const parquet_how *how, const part *p)
{
    bool can = false;

    assert_int_equal(ask(f, schema, how, p, &can), SM_OK);
    return can;
}

/* ---- copies ---------------------------------------------------------------------------------- */

static sm_status write_part(const struct sm_writer_ops *ops, sm_writer *w, const part *p,
                            bool is_copied, sm_error *e)
{
    sm_status st = SM_OK;

    for (int64_t i = 0; i < (is_copied ? 1 : p->rows.n) && st == SM_OK; i++) {
        do {
            st = is_copied ? ops->copy(w, p->blob, (sm_waker){0}, e)
                           : ops->write(w, p->rows.batches[i], (sm_waker){0}, e);
        } while (st == SM_WAIT);
    }
    return st;
}

/* Every second part is copied. */
static void join_parts(fixture *f, const parquet_how *how, const part *parts, int n, sm_buf *out,
                       sm_range *ranges)
{
    const sm_format *format = sm_format_named(SM_STR("parquet"));
    const struct sm_writer_ops *ops = format->writer;
    parquet_sink sink = {.waits = how->waits};
    const sm_bytes_out to = {parquet_sink_write, &sink};
    void *opts = sm_arena_alloc(f->arena, format->opts_bytes);
    sm_written written = {0};
    sm_writer *w = NULL;
    sm_error e = {0};

    assert_ok(parquet_set_options(how, opts, f->arena, &e), &e);
    assert_ok(ops->open(f->schema, opts, to, how->pool, f->budget, &w, &e), &e);
    for (int i = 0; i < n; i++) {
        assert_ok(write_part(ops, w, &parts[i], i % 2 == 1, &e), &e);
    }
    sm_status st = SM_WAIT;
    while (st == SM_WAIT) {
        st = ops->finish(w, (sm_waker){0}, &written, &e);
    }
    assert_ok(st, &e);
    assert_int_equal(written.size_bytes, sink.bytes.len);
    for (int32_t i = 0; i < written.n_ranges; i++) {
        ranges[i] = written.ranges[i];
        ranges[i].min = ranges[i].has_min ? sm_value_copy(f->arena, ranges[i].min) : ranges[i].min;
        ranges[i].max = ranges[i].has_max ? sm_value_copy(f->arena, ranges[i].max) : ranges[i].max;
    }
    ops->close(w);
    *out = sink.bytes;
}

/* Of a row group with NaN a footer says no ends, so that less is known; else the same. */
static void assert_same_range(const sm_range *got, const sm_range *want)
{
    assert_int_equal(got->n_rows, want->n_rows);
    assert_int_equal(got->has_nulls, want->has_nulls);
    assert_int_equal(got->n_nulls, want->n_nulls);
    assert_int_equal(got->may_have_nan, want->may_have_nan);
    if (want->may_have_nan) {
        return;
    }
    assert_int_equal(got->has_min, want->has_min);
    assert_int_equal(got->has_max, want->has_max);
    assert_true(!got->has_min || sm_value_cmp(got->min, want->min) == 0);
    assert_true(!got->has_max || sm_value_cmp(got->max, want->max) == 0);
}

static void round_trip_of(const char *sql, const parquet_how *how, int null_percent)
{
    static const int64_t sizes[] = {70, 2 * GROUP, 900, GROUP + 500, 1};
    fixture f;
    part parts[SM_COUNT(sizes)];
    rows all = {0};
    sm_buf joined = {0}, direct = {0};
    sm_range ranges[16];
    sm_written written;
    sm_error e = {0};

    init(&f, sql, null_percent);
    for (int i = 0; i < SM_COUNT(sizes); i++) {
        make_part(&f, sizes[i], how, &parts[i]);
        for (int64_t k = 0; k < parts[i].rows.n; k++) {
            all.batches[all.n++] = parts[i].rows.batches[k];
            all.n_rows += parts[i].rows.batches[k]->n_rows;
        }
        assert_int_equal(can_copy(&f, f.schema, how, &parts[i]), sizes[i] >= GROUP / 2);
    }
    join_parts(&f, how, parts, SM_COUNT(parts), &joined, ranges);
    check_written(&joined, &all, f.schema, f.budget);
    assert_ok(
        parquet_write(how, f.schema, all.batches, all.n, f.budget, f.arena, &direct, &written, &e),
        &e);
    for (int32_t i = 0; i < f.schema->n_fields; i++) {
        assert_same_range(&ranges[i], &written.ranges[i]);
    }
    sm_buf_release(&joined);
    sm_buf_release(&direct);
    for (int i = 0; i < SM_COUNT(parts); i++) {
        release_part(&parts[i]);
    }
    release(&f);
}

static void test_rows_come_back(void **state)
{
    static const int nulls[] = {0, 30, 100};
    static const parquet_how hows[] = {
        {.group_rows = GROUP},
        {.group_rows = GROUP, .waits = 2},
        {.group_rows = GROUP, .waits = 3, .compression = "none"},
        {.group_rows = GROUP, .compression = "snappy", .no_dictionary = true},
    };
    for (int s = 0; s < SM_COUNT(schemas); s++) {
        for (int i = 0; i < SM_COUNT(nulls); i++) {
            for (int h = 0; h < SM_COUNT(hows); h++) {
                round_trip_of(schemas[s], &hows[h], nulls[i]);
            }
        }
    }
}

/* ---- columns that stay ----------------------------------------------------------------------- */

#define MIXED_ROWS (2 * GROUP + GROUP / 2) /* in three row groups */

static sm_batch *slice_of(const fixture *f, const part *p, int64_t first, int64_t n)
{
    sm_batch *all = NULL, *some = NULL;
    sm_error e = {0};

    assert_ok(sm_batch_concat(p->rows.batches, (int32_t)p->rows.n, true, f->budget, &all, &e), &e);
    assert_ok(sm_batch_slice(all, first, n, f->budget, &some, &e), &e);
    sm_batch_release(all);
    return some;
}

/* The columns of `old` that stay, and of `new` the others; or NULL in those that stay. */
static sm_batch *mix(const fixture *f, const sm_batch *old, const sm_batch *new,
                     const bool *is_kept, bool is_given)
{
    sm_batch *b = NULL;
    sm_error e = {0};

    assert_ok(sm_batch_new(f->budget, f->schema, &b, &e), &e);
    sm_batch_keep_all(b, old);
    sm_batch_keep_all(b, new);
    b->n_rows = old->n_rows;
    for (int32_t i = 0; i < f->schema->n_fields; i++) {
        b->columns[i] = is_kept[i] ? old->columns[i] : new->columns[i];
        if (is_kept[i] && is_given) {
            assert_ok(sm_column_constant(sm_value_null(f->schema->fields[i].type), b->n_rows, b,
                                         &b->columns[i], &e),
                      &e);
        }
    }
    return b;
}

static sm_status again(sm_status (*call)(sm_writer *w, sm_waker waker, sm_error *e), sm_writer *w,
                       sm_error *e)
{
    sm_status st = SM_WAIT;

    while (st == SM_WAIT) {
        st = call(w, (sm_waker){0}, e);
    }
    return st;
}

/* Writes a file whose row groups have some columns of the old one. */
static void write_mixed(const struct sm_writer_ops *ops, sm_writer *w, const sm_kept_group *kept,
                        sm_batch *given)
{
    sm_error e = {0};
    sm_status st = given ? SM_WAIT : SM_OK;

    assert_int_equal(kept->from->n_rows[kept->group], given ? given->n_rows : GROUP);
    assert_ok(ops->begin_kept(w, kept, &e), &e);
    while (st == SM_WAIT) {
        st = ops->write(w, given, (sm_waker){0}, &e);
    }
    assert_ok(st, &e);
    assert_ok(again(ops->end_kept, w, &e), &e);
}

/* The middle one of three row groups stays whole; of the others each column may. */
static void mix_of(const char *sql, const parquet_how *how, const parquet_how *old_how,
                   int null_percent)
{
    const sm_format *format = sm_format_named(SM_STR("parquet"));
    const struct sm_writer_ops *ops = format->writer;
    parquet_sink sink = {.waits = how->waits};
    sm_row_groups *groups = NULL;
    sm_fetch *fetch = NULL;
    sm_writer *w = NULL;
    sm_written written = {0}, direct_written;
    sm_buf direct = {0};
    rows all = {0};
    fixture f;
    part old, new;
    sm_error e = {0};

    init(&f, sql, null_percent);
    void *opts = sm_arena_alloc(f.arena, format->opts_bytes);
    make_part(&f, MIXED_ROWS, old_how, &old);
    make_part(&f, MIXED_ROWS, how, &new);
    assert_ok(parquet_set_options(how, opts, f.arena, &e), &e);
    assert_ok(ops->row_groups(f.schema, opts, old.blob, f.arena, &groups, &e), &e);
    assert_true(groups && groups->n == 3 && groups->mixed_rows == GROUP);
    assert_ok(sm_fetch_new(test_stores, f.budget, &fetch, &e), &e);
    assert_ok(ops->open(f.schema, opts, (sm_bytes_out){parquet_sink_write, &sink}, how->pool,
                        f.budget, &w, &e),
              &e);
    for (int64_t g = 0; g < 3; g++) {
        sm_batch *a = slice_of(&f, &old, g * GROUP, groups->n_rows[g]);
        sm_batch *b = slice_of(&f, &new, g * GROUP, groups->n_rows[g]);
        bool is_kept[16];
        for (int i = 0; i < SM_COUNT(is_kept); i++) {
            is_kept[i] = g == 1 || below(2);
        }
        const sm_kept_group kept = {groups, g, g == 1 ? NULL : is_kept, old.blob, fetch};
        sm_batch *given = g == 1 ? NULL : mix(&f, a, b, is_kept, true);
        write_mixed(ops, w, &kept, given);
        all.batches[all.n++] = mix(&f, a, b, is_kept, false);
        all.n_rows += a->n_rows;
        sm_batch_release(given);
        sm_batch_release(a);
        sm_batch_release(b);
    }
    sm_status st = SM_WAIT;
    while (st == SM_WAIT) {
        st = ops->finish(w, (sm_waker){0}, &written, &e);
    }
    assert_ok(st, &e);
    assert_int_equal(written.n_rows, MIXED_ROWS);
    check_written(&sink.bytes, &all, f.schema, f.budget);
    assert_ok(parquet_write(how, f.schema, all.batches, all.n, f.budget, f.arena, &direct,
                            &direct_written, &e),
              &e);
    for (int32_t i = 0; i < f.schema->n_fields; i++) {
        assert_same_range(&written.ranges[i], &direct_written.ranges[i]);
    }
    ops->close(w);
    sm_fetch_free(fetch);
    sm_buf_release(&sink.bytes);
    sm_buf_release(&direct);
    release_rows(&all);
    release_part(&old);
    release_part(&new);
    release(&f);
}

static void test_columns_stay(void **state)
{
    static const int nulls[] = {0, 30, 100};
    static const parquet_how hows[] = {
        {.group_rows = GROUP},
        {.group_rows = GROUP, .waits = 2},
        {.group_rows = GROUP, .compression = "snappy", .no_dictionary = true},
    };
    for (int s = 0; s < SM_COUNT(schemas); s++) {
        for (int i = 0; i < SM_COUNT(nulls); i++) {
            for (int h = 0; h < SM_COUNT(hows); h++) {
                mix_of(schemas[s], &hows[h], &hows[(h + i) % SM_COUNT(hows)], nulls[i]);
            }
        }
    }
}

/* A row group that gets fewer or more rows than it has. */
static void test_other_number_of_rows(void **state)
{
    static const parquet_how how = {.group_rows = GROUP};
    const sm_format *format = sm_format_named(SM_STR("parquet"));
    const struct sm_writer_ops *ops = format->writer;
    const bool is_kept[] = {true, false};

    for (int64_t n = GROUP - 1; n <= GROUP + 1; n++) {
        parquet_sink sink = {0};
        sm_row_groups *groups = NULL;
        sm_fetch *fetch = NULL;
        sm_writer *w = NULL;
        fixture f;
        part p;
        sm_error e = {0};
        init(&f, "STRUCT(a BIGINT, b VARCHAR)", 10);
        void *opts = sm_arena_alloc(f.arena, format->opts_bytes);
        make_part(&f, 2 * GROUP, &how, &p);
        assert_ok(parquet_set_options(&how, opts, f.arena, &e), &e);
        assert_ok(ops->row_groups(f.schema, opts, p.blob, f.arena, &groups, &e), &e);
        assert_ok(sm_fetch_new(test_stores, f.budget, &fetch, &e), &e);
        assert_ok(ops->open(f.schema, opts, (sm_bytes_out){parquet_sink_write, &sink}, NULL,
                            f.budget, &w, &e),
                  &e);
        sm_batch *given = slice_of(&f, &p, 0, n);
        const sm_kept_group kept = {groups, 1, is_kept, p.blob, fetch};
        assert_ok(ops->begin_kept(w, &kept, &e), &e);
        sm_status st = ops->write(w, given, (sm_waker){0}, &e);
        st = st == SM_OK ? again(ops->end_kept, w, &e) : st;
        assert_int_equal(st, n == GROUP ? SM_OK : SM_CORRUPT);
        assert_true(n == GROUP || strstr(e.what, "row group 1 has 600 rows"));
        sm_batch_release(given);
        ops->close(w);
        sm_fetch_free(fetch);
        sm_buf_release(&sink.bytes);
        release_part(&p);
        release(&f);
    }
}

/* ---- reading --------------------------------------------------------------------------------- */

/* Bounds leave out copied row groups, and pages of them. */
static void test_bounds(void **state)
{
    static const parquet_how how = {.group_rows = 100000};
    fixture f;
    part parts[4];
    sm_buf joined = {0};
    sm_range ranges[16];
    sm_store *store = NULL;
    sm_blob *blob = NULL;
    sm_error e = {0};

    init(&f, "STRUCT(id BIGINT)", 0);
    f.sources[0].draw = DRAW_RISING;
    for (int i = 0; i < SM_COUNT(parts); i++) {
        make_part(&f, 100000, &how, &parts[i]);
    }
    join_parts(&f, &how, parts, SM_COUNT(parts), &joined, ranges);
    assert_ok(parquet_blob(joined.data, joined.len, &store, &blob, &e), &e);
    const int64_t last = ranges[0].max.as.i;
    const int32_t path = 0;
    const sm_bound above = {
        .path = &path, .n_path = 1, .op = SM_BOUND_GE, .value = sm_value_i64(last)};
    parquet_in in = {.schema = f.schema, .bounds = {.items = &above, .n = 1}};
    assert_ok(parquet_read(blob, f.budget, &in, &e), &e);
    assert_int_equal(in.n_skipped, 3);
    assert_true(in.n_rows > 0 && in.n_rows < 100000); /* the last pages of the last group, a copy */
    sm_blob_close(blob);
    sm_store_release(store);
    sm_buf_release(&joined);
    for (int i = 0; i < SM_COUNT(parts); i++) {
        release_part(&parts[i]);
    }
    release(&f);
}

/* ---- files that are not copied --------------------------------------------------------------- */

static void test_other_forms(void **state)
{
    static const parquet_how how = {.group_rows = GROUP};
    static const struct {
        const char *schema; /* of the writer; the file has a BIGINT, b VARCHAR, c BIGINT[] */
        parquet_how how;
        int64_t n_rows;
        bool can;
    } cases[] = {
        {"STRUCT(a BIGINT, b VARCHAR, c BIGINT[])", {.group_rows = GROUP}, GROUP, true},
        {"STRUCT(a BIGINT, b VARCHAR, c BIGINT[])", {.group_rows = GROUP}, GROUP / 2, true},
        {"STRUCT(a BIGINT, b VARCHAR, c BIGINT[])", {.group_rows = GROUP}, GROUP / 2 - 1, false},
        {"STRUCT(a BIGINT, b VARCHAR, c BIGINT[])", {.group_rows = GROUP - 1}, GROUP, false},
        {"STRUCT(a BIGINT, b VARCHAR, c BIGINT[])",
         {.group_rows = GROUP, .compression = "snappy"},
         GROUP,
         false},
        {"STRUCT(a INTEGER, b VARCHAR, c BIGINT[])", {.group_rows = GROUP}, GROUP, false},
        {"STRUCT(a BIGINT, b BLOB, c BIGINT[])", {.group_rows = GROUP}, GROUP, false},
        {"STRUCT(a BIGINT, b VARCHAR, c INTEGER[])", {.group_rows = GROUP}, GROUP, false},
        {"STRUCT(x BIGINT, b VARCHAR, c BIGINT[])", {.group_rows = GROUP}, GROUP, false},
        {"STRUCT(b VARCHAR, a BIGINT, c BIGINT[])", {.group_rows = GROUP}, GROUP, false},
        {"STRUCT(a BIGINT, b VARCHAR)", {.group_rows = GROUP}, GROUP, false},
        {"STRUCT(a BIGINT, b VARCHAR, c BIGINT[], d BIGINT)", {.group_rows = GROUP}, GROUP, false},
    };
    for (int i = 0; i < SM_COUNT(cases); i++) {
        fixture f;
        part p;
        sm_error e = {0};
        const sm_type *schema = NULL;
        init(&f, "STRUCT(a BIGINT, b VARCHAR, c BIGINT[])", 10);
        make_part(&f, cases[i].n_rows, &how, &p);
        assert_ok(sm_type_parse(sm_str_of(cases[i].schema), f.arena, &schema, &e), &e);
        assert_int_equal(can_copy(&f, schema, &cases[i].how, &p), cases[i].can);
        release_part(&p);
        release(&f);
    }
}

/* A changed byte in the page index or the footer: no copy. Only where it makes another name or
 * number of that of a checksum, nothing tells. */
static void test_damage(void **state)
{
    static const parquet_how how = {.group_rows = GROUP};
    fixture f;
    part p;
    sm_error e = {0};
    uint32_t footer = 0;
    int n_can = 0;

    init(&f, "STRUCT(a BIGINT, b VARCHAR)", 10);
    make_part(&f, GROUP, &how, &p);
    const size_t len = p.file.len;
    memcpy(&footer, p.file.data + len - 8, 4);
    const size_t footer_at = len - 8 - footer;
    for (size_t at = footer_at - 30; at < len - 8; at++) {
        bool can = false;
        p.file.data[at] ^= 0x15;
        sm_blob_close(p.blob);
        assert_ok(sm_store_put(p.store, SM_STR("damaged"), p.file.data, len, SM_PUT_REPLACE, &e),
                  &e);
        assert_ok(sm_blob_open(p.store, SM_STR("damaged"), &p.blob, &e), &e);
        const sm_status st = ask(&f, f.schema, &how, &p, &can);
        assert_true(st == SM_OK || at >= footer_at);
        n_can += can;
        p.file.data[at] ^= 0x15;
    }
    assert_true(n_can <= 30);
    release_part(&p);
    release(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_come_back),       cmocka_unit_test(test_columns_stay),
        cmocka_unit_test(test_other_number_of_rows), cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_other_forms),          cmocka_unit_test(test_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
