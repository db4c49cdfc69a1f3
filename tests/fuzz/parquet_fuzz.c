/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/fuzz/parquet_fuzz.c: any bytes as a Parquet file, read whole by its own schema, with a
 * budget of 64 MiB and at most MAX_BATCHES batches. Whatever the bytes are, the reader must
 * return a status and valid batches, and free all memory. The seeds other_* have no checksums,
 * so that changed pages reach the decoders. */
#include <stdlib.h>

#include "parquet_io.h"

#define MAX_BATCHES 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void expect(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "parquet_fuzz: %s\n", what);
        abort();
    }
}

static sm_status check_batch(void *ctx, sm_batch *b, sm_error *e)
{
    const char *why = "";
    expect(sm_batch_validate(b, true, &why), why);
    return SM_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    sm_store *store = NULL;
    sm_blob *blob = NULL;
    sm_error e = {0};
    sm_budget *budget = sm_budget_new(NULL, "fuzz", 64 << 20);
    expect(parquet_blob(data, n, &store, &blob, &e) == SM_OK, "no blob");
    parquet_in in = {.on_batch = check_batch, .max_batches = MAX_BATCHES};
    const sm_status st = parquet_read(blob, budget, &in, &e);
    expect(st == SM_OK || e.what[0] != '\0', "an error without words");
    sm_blob_close(blob);
    sm_store_release(store);
    expect(sm_budget_used(budget) == 0, "memory was not given back");
    sm_budget_free(budget);
    return 0;
}
