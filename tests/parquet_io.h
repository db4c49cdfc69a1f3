/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/parquet_io.h: writes batches to Parquet in memory and reads Parquet back the way a scan
 * does, for the tests and the fuzz target of the format. */
#ifndef SM_TESTS_PARQUET_IO_H
#define SM_TESTS_PARQUET_IO_H

#include <stdio.h>

#include "format/format.h"
#include "stores.h"

/* ---- writing --------------------------------------------------------------------------------- */

/* Takes bytes; refuses every `waits`-th call with SM_WAIT (0: none). */
typedef struct parquet_sink {
    sm_buf bytes;
    int64_t waits, n_calls;
} parquet_sink;

static inline sm_status parquet_sink_write(void *ctx, sm_block *block, size_t len, sm_waker waker,
                                           sm_error *e)
{
    parquet_sink *s = ctx;
    if (s->waits > 0 && ++s->n_calls % s->waits == 0) {
        return SM_WAIT;
    }
    return sm_buf_add(&s->bytes, block->data, len, e);
}

/* Compression and rows of a row group as text; NULL and 0: the default. */
typedef struct parquet_how {
    const char *compression;
    int64_t group_rows;
    bool no_dictionary;
    int64_t waits;
    sm_pool *pool;
} parquet_how;

static inline sm_status parquet_set_options(const parquet_how *how, void *opts, sm_arena *a,
                                            sm_error *e)
{
    const sm_option *table = sm_format_named(SM_STR("parquet"))->options;
    SM_TRY(sm_options_default(table, opts, e));
    if (how->compression) {
        SM_TRY(sm_options_set(table, opts, SM_STR("compression"),
                              sm_value_str(sm_str_of(how->compression)), a, e));
    }
    if (how->group_rows > 0) {
        SM_TRY(sm_options_set(table, opts, SM_STR("row_group_rows"), sm_value_i64(how->group_rows),
                              a, e));
    }
    if (how->no_dictionary) {
        const sm_value no = {.type = &sm_type_bool};
        SM_TRY(sm_options_set(table, opts, SM_STR("dictionary"), no, a, e));
    }
    return SM_OK;
}

/* Writes batches; *ranges (one a column, may be NULL) are copied into the arena. */
static inline sm_status parquet_write(const parquet_how *how, const sm_type *schema,
                                      sm_batch *const *batches, int64_t n, sm_budget *budget,
                                      sm_arena *a, sm_buf *out, sm_written *written, sm_error *e)
{
    const sm_format *f = sm_format_named(SM_STR("parquet"));
    parquet_sink sink = {.waits = how->waits};
    sm_writer *w = NULL;
    void *opts = sm_arena_alloc(a, f->opts_bytes);
    SM_TRY(parquet_set_options(how, opts, a, e));
    const sm_bytes_out to = {parquet_sink_write, &sink};
    SM_TRY(f->writer->open(schema, opts, to, how->pool, budget, &w, e));
    sm_status st = SM_OK;
    for (int64_t i = 0; i < n && st == SM_OK; i++) {
        do {
            st = f->writer->write(w, batches[i], (sm_waker){0}, e);
        } while (st == SM_WAIT);
    }
    if (st == SM_OK) {
        do {
            st = f->writer->finish(w, (sm_waker){0}, written, e);
        } while (st == SM_WAIT);
    }
    if (st == SM_OK) {
        sm_range *ranges = SM_NEW_ARRAY(a, sm_range, written->n_ranges);
        for (int32_t i = 0; i < written->n_ranges; i++) {
            ranges[i] = written->ranges[i];
            if (ranges[i].has_min) {
                ranges[i].min = sm_value_copy(a, ranges[i].min);
            }
            if (ranges[i].has_max) {
                ranges[i].max = sm_value_copy(a, ranges[i].max);
            }
        }
        written->ranges = ranges;
        *out = sink.bytes;
    } else {
        sm_buf_release(&sink.bytes);
    }
    f->writer->close(w);
    return st;
}

/* ---- reading --------------------------------------------------------------------------------- */

typedef struct parquet_in {
    const sm_type *schema;  /* NULL: the file's own */
    const int32_t *columns; /* NULL: all */
    int32_t n_columns;
    sm_bounds bounds;
    const sm_deletes *deletes; /* rows that are left out, or NULL */
    int64_t max_batches;       /* 0: all */
    /* Each batch, borrowed. */
    sm_status (*on_batch)(void *ctx, sm_batch *b, sm_error *e);
    void *ctx;
    /* out */
    int64_t n_rows, n_morsels, n_skipped, n_batches;
} parquet_in;

static inline sm_status parquet_read_morsel(const sm_format *f, sm_reader *r, sm_file *file,
                                            const sm_morsel *m, sm_blob *blob, sm_budget *budget,
                                            parquet_in *in, sm_error *e)
{
    sm_block **blocks = sm_alloc_zero((size_t)(m->n_ranges + 1) * sizeof(sm_block *));
    size_t *lens = sm_alloc_zero((size_t)(m->n_ranges + 1) * sizeof(size_t));
    sm_status st = SM_OK;
    for (int32_t i = 0; i < m->n_ranges && st == SM_OK; i++) {
        lens[i] = m->ranges[i].len;
        st = sm_block_new(budget, lens[i], &blocks[i], e);
        if (st == SM_OK) {
            st = sm_blob_read(blob, m->ranges[i].off_bytes, lens[i], blocks[i]->data, e);
        }
    }
    if (st == SM_OK) {
        st = f->begin(r, file, m, blocks, lens, e);
    }
    for (int32_t i = 0; i < m->n_ranges; i++) {
        sm_block_release(blocks[i]);
    }
    sm_free(blocks);
    sm_free(lens);
    while (st == SM_OK && (in->max_batches == 0 || in->n_batches < in->max_batches)) {
        sm_batch *rows = NULL, *refused = NULL;
        sm_byte_range more = {0};
        st = f->pull(r, &rows, &refused, &more, e);
        if (st != SM_OK) {
            break;
        }
        SM_ENSURE(rows && !refused && rows->n_rows > 0 && rows->n_rows <= SM_BATCH_ROWS);
        in->n_rows += rows->n_rows;
        in->n_batches++;
        if (in->on_batch) {
            st = in->on_batch(in->ctx, rows, e);
        }
        sm_batch_release(rows);
    }
    return st == SM_END ? SM_OK : st;
}

static inline sm_status parquet_read(sm_blob *blob, sm_budget *budget, parquet_in *in, sm_error *e)
{
    const sm_format *f = sm_format_named(SM_STR("parquet"));
    sm_arena *a = sm_arena_new(NULL);
    sm_file *file = NULL;
    sm_reader *r = NULL;
    sm_morsel *morsels = NULL;
    sm_datafile data = {.deletes = in->deletes};
    sm_dataset d = {.format = f, .schema = in->schema, .files = &data, .n_files = 1};
    sm_projection want = {.columns = in->columns, .n_columns = in->n_columns, .bounds = in->bounds};
    sm_status st = SM_OK;
    if (!d.schema) {
        st = sm_format_infer(f, blob, NULL, a, &d.schema, e);
    }
    if (st == SM_OK && !want.columns) {
        int32_t *all = SM_NEW_ARRAY(a, int32_t, d.schema->n_fields);
        for (int32_t i = 0; i < d.schema->n_fields; i++) {
            all[i] = i;
        }
        want.columns = all;
        want.n_columns = d.schema->n_fields;
    }
    if (st == SM_OK) {
        st = f->open(&d, 0, blob, &want, budget, &file, e);
    }
    if (st == SM_OK) {
        st = f->plan(file, a, &morsels, &in->n_morsels, &in->n_skipped, e);
    }
    if (st == SM_OK) {
        st = f->reader_new(&d, &want, budget, &r, e);
    }
    for (int64_t i = 0; i < in->n_morsels && st == SM_OK; i++) {
        SM_ENSURE(morsels[i].in_file == i && morsels[i].is_last == (i + 1 == in->n_morsels));
        st = parquet_read_morsel(f, r, file, &morsels[i], blob, budget, in, e);
    }
    f->reader_free(r);
    f->close(file);
    sm_arena_free(a);
    return st;
}

/* Bytes as an object in memory. */
static inline sm_status parquet_blob(const void *bytes, size_t n, sm_store **store, sm_blob **blob,
                                     sm_error *e)
{
    SM_TRY(sm_store_open(test_stores, SM_STR("memory://parquet"), store, e));
    SM_TRY(sm_store_put(*store, SM_STR("t.parquet"), bytes, n, SM_PUT_REPLACE, e));
    return sm_blob_open(*store, SM_STR("t.parquet"), blob, e);
}

#endif
