/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/fuzz/commit_fuzz.c: any bytes as the commits of a table: the text up to a NUL is version
 * 0, what follows is version 1. log_fuzz.h says what must hold. */
#include <string.h>

#include "log_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    sm_store *store = NULL;
    sm_error e = {0};
    const uint8_t *end = n > 0 ? memchr(data, '\0', n) : NULL;
    const size_t n_first = end ? (size_t)(end - data) : n;

    if (n > 65536) {
        return 0;
    }
    expect(sm_store_open(test_stores, SM_STR("memory://commit_fuzz"), &store, &e) == SM_OK,
           "no store");
    put_log(store, "00000000000000000000.json", data, n_first);
    if (end) {
        put_log(store, "00000000000000000001.json", end + 1, n - n_first - 1);
    }
    check_log(store);
    empty_store(store);
    sm_store_release(store);
    return 0;
}
