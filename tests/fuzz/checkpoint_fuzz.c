/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/fuzz/checkpoint_fuzz.c: any bytes as a checkpoint, which is all that the log has. Bytes
 * that begin with '{' are a V2 checkpoint as JSON, others are Parquet. log_fuzz.h says what must
 * hold. */
#include "log_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const char parquet[] = "00000000000000000001.checkpoint.parquet";
    static const char json[] =
        "00000000000000000001.checkpoint.80a083e8-7026-4e79-81be-64bd76c43a11.json";
    sm_store *store = NULL;
    sm_error e = {0};

    if (n == 0 || n > 1 << 20) {
        return 0;
    }
    expect(sm_store_open(test_stores, SM_STR("memory://checkpoint_fuzz"), &store, &e) == SM_OK,
           "no store");
    put_log(store, data[0] == '{' ? json : parquet, data, n);
    check_log(store);
    empty_store(store);
    sm_store_release(store);
    return 0;
}
