/* SPDX-License-Identifier: Apache-2.0
 *
 * bench/parse.c: the bench's row "parse": cached files to batches of all their columns, on one
 * core.
 *
 *   parse SCHEMA FILE...     SCHEMA as SQL: "STRUCT(_id VARCHAR, _source STRUCT(…))"
 *
 * Reads the morsels of each file with pread into one reused block, as the engine's scan does, and
 * discards the batches. Prints bytes, rows, seconds, GB/s, and the GB/s of a memcpy between two buffers
 * of 32 MiB in the same run. The share of the memcpy rate can be compared between machines. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/time.h"
#include "format/format.h"

#define MEMCPY_BYTES ((size_t)32 << 20)

typedef struct parse_run {
    sm_dataset dataset;
    sm_projection want;
    sm_budget *budget;
    sm_reader *reader;
    int64_t rows, refused, bytes;
} parse_run;

static sm_status pull_all(parse_run *r, sm_blob *blob, sm_error *e)
{
    const sm_format *f = r->dataset.format;

    for (;;) {
        sm_batch *rows = NULL, *refused = NULL;
        sm_byte_range more = {0};
        sm_status st = f->pull(r->reader, &rows, &refused, &more, e);
        r->rows += rows ? rows->n_rows : 0;
        r->refused += refused ? refused->n_rows : 0;
        sm_batch_release(rows);
        sm_batch_release(refused);
        if (st == SM_MORE) {
            sm_block *block = NULL;
            SM_TRY(sm_block_new(r->budget, more.len, &block, e));
            st = sm_blob_read(blob, more.off_bytes, more.len, block->data, e);
            if (st == SM_OK) {
                st = f->feed(r->reader, block, more.len, e);
            }
            sm_block_release(block);
        }
        if (st != SM_OK) {
            return st == SM_END ? SM_OK : st;
        }
    }
}

static sm_status parse_morsel(parse_run *r, sm_file *file, sm_blob *blob, const sm_morsel *m,
                              sm_error *e)
{
    sm_block *block = NULL;
    size_t len = 0;
    sm_status st = SM_OK;

    if (m->n_ranges) {
        len = m->ranges[0].len;
        SM_TRY(sm_block_new(r->budget, len, &block, e));
        st = sm_blob_read(blob, m->ranges[0].off_bytes, len, block->data, e);
    }
    if (st == SM_OK) {
        st = r->dataset.format->begin(r->reader, file, m, &block, &len, e);
    }
    sm_block_release(block);
    return st == SM_OK ? pull_all(r, blob, e) : st;
}

static sm_status parse_file(parse_run *r, int64_t i, sm_error *e)
{
    const sm_format *f = r->dataset.format;
    sm_arena *a = sm_arena_new(NULL);
    sm_blob *blob = NULL;
    sm_file *file = NULL;
    sm_morsel *morsels = NULL;
    int64_t n = 0, skipped = 0;
    sm_status st = SM_OK;

    SM_TRY_GOTO(st, done,
                sm_blob_open(r->dataset.files[i].store, r->dataset.files[i].key, &blob, e));
    r->dataset.files[i].size_bytes = sm_blob_bytes(blob);
    SM_TRY_GOTO(st, done, f->open(&r->dataset, i, blob, &r->want, r->budget, &file, e));
    SM_TRY_GOTO(st, done, f->plan(file, a, &morsels, &n, &skipped, e));
    for (int64_t m = 0; m < n && st == SM_OK; m++) {
        st = parse_morsel(r, file, blob, &morsels[m], e);
    }
    r->bytes += (int64_t)sm_blob_bytes(blob);
done:
    if (file) {
        f->close(file);
    }
    sm_blob_close(blob);
    sm_arena_free(a);
    return st;
}

/* Over a buffer that no cache holds. */
static double memcpy_rate(void)
{
    char *from = sm_alloc_zero(MEMCPY_BYTES), *to = sm_alloc_zero(MEMCPY_BYTES);

    memset(from, 1, MEMCPY_BYTES);
    const int64_t start = sm_monotonic_ns();
    for (int i = 0; i < 16; i++) {
        memcpy(to, from, MEMCPY_BYTES);
        __asm__ volatile("" ::: "memory"); /* it may not be left out */
    }
    const double ns = (double)(sm_monotonic_ns() - start);
    sm_free(from);
    sm_free(to);
    return 16.0 * (double)MEMCPY_BYTES / ns;
}

static sm_status open_dataset(parse_run *r, sm_arena *a, int argc, char **argv, sm_error *e)
{
    const sm_format *json = sm_format_named(SM_STR("json"));
    void *opts = sm_arena_alloc(a, json->opts_bytes);
    const int n_files = argc - 2;
    sm_http *http = sm_http_new(r->budget, NULL);
    sm_stores *stores = sm_stores_new(http); /* ends with the process, as all here does */

    SM_TRY(sm_options_default(json->options, opts, e));
    r->dataset = (sm_dataset){.format = json, .options = opts, .n_files = n_files};
    SM_TRY(sm_type_parse(sm_str_of(argv[1]), a, &r->dataset.schema, e));
    int32_t *columns = SM_NEW_ARRAY(a, int32_t, r->dataset.schema->n_fields);
    for (int32_t c = 0; c < r->dataset.schema->n_fields; c++) {
        columns[c] = c;
    }
    r->want = (sm_projection){.columns = columns,
                              .n_columns = r->dataset.schema->n_fields,
                              .validate_all = true,
                              .keep_refused = true,
                              .count_unknown = true};
    r->dataset.files = SM_NEW_ARRAY(a, sm_datafile, n_files);
    for (int i = 0; i < n_files; i++) {
        sm_str folder, name;
        sm_uri_split(sm_str_of(argv[2 + i]), &folder, &name);
        sm_datafile *file = &r->dataset.files[i];
        file->uri = sm_str_of(argv[2 + i]);
        file->key = name;
        SM_TRY(sm_store_open(stores, folder, &file->store, e));
    }
    return json->reader_new(&r->dataset, &r->want, r->budget, &r->reader, e);
}

int main(int argc, char **argv)
{
    sm_arena *a = sm_arena_new(NULL);
    parse_run r = {.budget = sm_budget_new(NULL, "bench", 0)};
    sm_error e = {0};
    sm_status st = argc < 3 ? sm_fail(&e, SM_USAGE, "usage: parse SCHEMA FILE...")
                            : open_dataset(&r, a, argc, argv, &e);

    const int64_t start = sm_monotonic_ns();
    for (int64_t i = 0; st == SM_OK && i < r.dataset.n_files; i++) {
        st = parse_file(&r, i, &e);
    }
    const double ns = (double)(sm_monotonic_ns() - start);
    if (st != SM_OK) {
        char text[4096];
        sm_error_format(&e, text, sizeof(text));
        fputs(text, stderr);
        return sm_status_exit(st);
    }
    const double copy = memcpy_rate();
    printf("{\"bytes\":%" PRId64 ",\"rows\":%" PRId64 ",\"refused\":%" PRId64
           ",\"seconds\":%.3f,\"gb_per_s\":%.3f,\"memcpy_gb_per_s\":%.3f,\"share\":%.3f}\n",
           r.bytes, r.rows, r.refused, ns / 1e9, (double)r.bytes / ns, copy,
           (double)r.bytes / ns / copy);
    return 0;
}
