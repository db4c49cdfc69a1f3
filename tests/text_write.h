/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/text_write.h: rows given as text, written by a text format: for the tests of its writer. */
#ifndef SM_TESTS_TEXT_WRITE_H
#define SM_TESTS_TEXT_WRITE_H

#include "test.h"

#include "column/builder.h"
#include "format/format.h"

/* What is written, and how. */
typedef struct text_write {
    const char *format;
    const char *schema;       /* "STRUCT(a VARCHAR, b BIGINT)", scalars only */
    const char *const *cells; /* row by row; NULL: a null */
    int64_t n_rows;
    int64_t times;      /* the batch is written so many times; 0: once */
    int64_t waits;      /* every so many calls of `to` say SM_WAIT; 0: none does */
    int64_t fails_at;   /* the call of `to` that fails, from 1 on; 0: none does */
    size_t limit_bytes; /* of the writer's budget; 0: none */
} text_write;

typedef struct text_written {
    sm_buf text;
    sm_written written;
    int64_t n_calls, n_waits;
    const text_write *how;
} text_written;

static inline sm_status text_write_to(void *ctx, sm_block *block, size_t len, sm_waker waker,
                                      sm_error *e)
{
    text_written *w = ctx;

    w->n_calls++;
    if (w->how->fails_at > 0 && w->n_calls >= w->how->fails_at) {
        return sm_fail(e, SM_DISK_FULL, "the disk is full");
    }
    if (w->how->waits > 0 && w->n_calls % w->how->waits != 0) {
        w->n_waits++;
        return SM_WAIT;
    }
    return sm_buf_add(&w->text, block->data, len, e);
}

static inline sm_batch *text_write_batch(const text_write *how, const sm_type *schema,
                                         sm_budget *budget)
{
    sm_error e = {0};
    sm_batch *b = NULL;

    assert_ok(sm_batch_new(budget, schema, &b, &e), &e);
    b->n_rows = how->n_rows;
    for (int32_t c = 0; c < schema->n_fields; c++) {
        sm_builder *column = sm_builder_new(schema->fields[c].type, budget);
        for (int64_t row = 0; row < how->n_rows; row++) {
            const char *cell = how->cells[row * schema->n_fields + c];
            sm_value v = {0};
            if (cell) {
                assert_ok(sm_value_parse(schema->fields[c].type, sm_str_of(cell), &v, &e), &e);
                sm_builder_value(column, v);
            } else {
                sm_builder_null(column);
            }
        }
        assert_ok(sm_builder_finish(column, b, &b->columns[c], &e), &e);
        sm_builder_free(column);
    }
    return b;
}

/* Every call that says SM_WAIT is made again. *out is the caller's to release. Nothing of the
 * budget may be left in use. */
static inline sm_status text_write_run(const text_write *how, text_written *out, sm_error *e)
{
    const sm_format *f = sm_format_named(sm_str_of(how->format));
    sm_budget *given = sm_budget_new(NULL, "given", 0);
    sm_budget *budget = sm_budget_new(NULL, "writer", how->limit_bytes);
    sm_arena *a = sm_arena_new(NULL);
    const sm_type *schema = NULL;
    sm_writer *w = NULL;

    *out = (text_written){.how = how};
    assert_non_null(f);
    assert_ok(sm_type_parse(sm_str_of(how->schema), a, &schema, e), e);
    void *opts = sm_arena_alloc(a, f->opts_bytes + 1);
    assert_ok(sm_options_default(f->options, opts, e), e);
    sm_batch *b = text_write_batch(how, schema, given);
    const sm_bytes_out to = {text_write_to, out};
    sm_status st = f->writer->open(schema, opts, to, NULL, budget, &w, e);
    for (int64_t i = 0; i < (how->times ? how->times : 1) && st == SM_OK; i++) {
        do {
            st = f->writer->write(w, b, (sm_waker){0}, e);
        } while (st == SM_WAIT);
    }
    while (st == SM_OK || st == SM_WAIT) {
        const uint64_t bytes = f->writer->bytes(w);
        st = f->writer->finish(w, (sm_waker){0}, &out->written, e);
        if (st == SM_OK) {
            assert_true(out->written.size_bytes >= bytes);
            assert_int_equal(out->written.size_bytes, out->text.len);
            assert_int_equal(out->written.n_ranges, schema->n_fields);
            break;
        }
    }
    if (w && st != SM_OK) { /* it has failed for good */
        sm_error again = {0};
        assert_status(f->writer->write(w, b, (sm_waker){0}, &again), SM_INTERNAL, &again);
        assert_status(f->writer->finish(w, (sm_waker){0}, &out->written, &again), SM_INTERNAL,
                      &again);
    }
    f->writer->close(w);
    sm_batch_release(b);
    sm_arena_free(a);
    assert_int_equal(sm_budget_used(budget), 0);
    sm_budget_free(budget);
    sm_budget_free(given);
    return st;
}

/* The text is exactly this, also where every second block has to wait. */
static inline void text_write_gives(text_write how, const char *want)
{
    for (how.waits = 0; how.waits <= 2; how.waits += 2) {
        text_written got;
        sm_error e = {0};
        assert_ok(text_write_run(&how, &got, &e), &e);
        sm_buf_text(&got.text, (sm_str){"", 1});
        assert_string_equal((const char *)got.text.data, want);
        assert_int_equal(got.written.n_rows, how.n_rows);
        sm_buf_release(&got.text);
    }
}

/* Many blocks: the text is the same however often a block must wait, and however small the budget
 * is that still does; where one block fails, or the budget is too small, so does the writing. */
static inline void text_write_many(const char *format, const char *schema, const char *const *cells,
                                   int64_t n_rows, int64_t times)
{
    const text_write plain = {
        .format = format, .schema = schema, .cells = cells, .n_rows = n_rows, .times = times};
    text_written want, got;
    sm_error e = {0};

    assert_ok(text_write_run(&plain, &want, &e), &e);
    assert_true(want.n_calls >= 3);
    assert_int_equal(want.written.n_rows, n_rows * times);
    text_write how = plain;
    how.waits = 3;
    how.limit_bytes = 2000000;
    assert_ok(text_write_run(&how, &got, &e), &e);
    assert_int_equal(got.n_waits, 2 * want.n_calls);
    assert_int_equal(got.text.len, want.text.len);
    assert_memory_equal(got.text.data, want.text.data, want.text.len);
    sm_buf_release(&got.text);
    for (int64_t i = 1; i <= want.n_calls; i++) {
        how = plain;
        how.fails_at = i;
        assert_status(text_write_run(&how, &got, &e), SM_DISK_FULL, &e);
        sm_buf_release(&got.text);
    }
    static const size_t limits[] = {1000, 300000, 600000}; /* to open it, of a block, of its rows */
    for (int i = 0; i < SM_COUNT(limits); i++) {
        how = plain;
        how.limit_bytes = limits[i];
        assert_status(text_write_run(&how, &got, &e), SM_BUDGET, &e);
        sm_buf_release(&got.text);
    }
    sm_buf_release(&want.text);
}

#endif
