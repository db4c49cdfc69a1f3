/* SPDX-License-Identifier: Apache-2.0
 *
 * bench/fetch.c: measures how fast the fetch functions of store.h read, when the bytes are discarded.
 * It reads all objects directly in a folder, in the ranges that a scan of JSON requests, with as many
 * in flight. It prints one JSON object; `make bench ROW=s3` compares the rate of a query with it. */
#include <inttypes.h>
#include <stdio.h>

#include "base/memory.h"
#include "base/time.h"
#include "store/store.h"

#define RANGE_BYTES  ((uint64_t)1 << 20)
#define BEYOND_BYTES 4096

typedef struct reading {
    sm_store *store;
    sm_fetch *fetch;
    sm_budget *budget;
    sm_entry *entries;
    int64_t n_entries, file;
    sm_blob *blob; /* of the file, from whose `off` the next range begins */
    uint64_t off, bytes;
    size_t in_flight, wanted;
} reading;

static sm_status next_blob(reading *r, sm_error *e)
{
    while (r->file < r->n_entries && (!r->blob || r->off >= sm_blob_bytes(r->blob))) {
        r->file += r->blob != NULL;
        sm_blob_close(r->blob);
        r->blob = NULL;
        r->off = 0;
        if (r->file < r->n_entries) {
            SM_TRY(sm_blob_open(r->store, r->entries[r->file].key, &r->blob, e));
        }
    }
    return SM_OK;
}

static sm_status fill(reading *r, sm_error *e)
{
    while (r->in_flight < r->wanted) {
        SM_TRY(next_blob(r, e));
        if (!r->blob) {
            return SM_OK;
        }
        const uint64_t left = sm_blob_bytes(r->blob) - r->off;
        const uint64_t most = RANGE_BYTES + BEYOND_BYTES;
        const sm_range_read range = {
            .blob = r->blob, .off_bytes = r->off, .len = (size_t)(left < most ? left : most)};
        SM_TRY(sm_fetch_request(r->fetch, &range, e));
        r->off += RANGE_BYTES;
        r->in_flight += range.len;
    }
    return SM_OK;
}

static sm_status read_all(reading *r, sm_error *e)
{
    const size_t group = sm_store_request_bytes(r->store);
    for (;;) {
        sm_fetched got;
        if (r->in_flight == 0 || r->wanted - r->in_flight >= group) {
            SM_TRY(fill(r, e));
        }
        const sm_status st = sm_fetch_wait(r->fetch, &got, e);
        if (st != SM_OK) {
            return st == SM_END ? SM_OK : st;
        }
        r->in_flight -= got.len < r->in_flight ? got.len : r->in_flight;
        r->bytes += got.len;
        sm_block_release(got.block);
    }
}

int main(int argc, char **argv)
{
    sm_error e = {0};
    sm_arena *a = sm_arena_new(NULL);
    reading r = {.budget = sm_budget_new(NULL, "fetch", 0)};
    sm_http *http = sm_http_new(r.budget, NULL);
    sm_stores *stores = sm_stores_new(http);
    const int64_t begun_ns = sm_monotonic_ns();
    sm_status st = argc == 2 ? sm_store_open(stores, sm_str_of(argv[1]), &r.store, &e)
                             : sm_fail(&e, SM_USAGE, "bench_fetch FOLDER");
    if (st == SM_OK) {
        r.wanted = sm_store_inflight_bytes(r.store);
        st = sm_store_list(r.store, SM_STR(""), true, a, &r.entries, &r.n_entries, &e);
    }
    st = st == SM_OK ? sm_fetch_new(stores, r.budget, &r.fetch, &e) : st;
    st = st == SM_OK ? read_all(&r, &e) : st;
    if (st != SM_OK) {
        char text[2048];
        sm_error_format(&e, text, sizeof(text));
        fprintf(stderr, "%s", text);
        return 1;
    }
    const double seconds = (double)(sm_monotonic_ns() - begun_ns) / 1e9;
    printf("{\"seconds\":%.4f,\"rows\":0,\"bytes\":%" PRIu64 ",\"gb_per_s\":%.4f,\"share\":1}\n",
           seconds, r.bytes, (double)r.bytes / seconds / 1e9);
    sm_fetch_free(r.fetch);
    sm_blob_close(r.blob);
    sm_store_release(r.store);
    sm_stores_release(stores);
    sm_http_release(http);
    sm_budget_free(r.budget);
    sm_arena_free(a);
    return 0;
}
