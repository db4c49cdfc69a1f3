/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/fuzz/vector_fuzz.c: any bytes as a deletion vector. Two bytes give the rows of the data
 * file (272 times the first, and the second), two more the rows that are deleted by the log; the
 * rest is the vector. If it is taken, as many bits are set as the log says, and none behind the
 * rows; and one deleted row more or less is refused. The bytes are in a buffer of just their size.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "delta/delta_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define ROWS_MOST 70000

static void expect(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "vector_fuzz: %s\n", what);
        abort();
    }
}

static sm_status decode(const uint8_t *bytes, size_t len, int64_t n_rows, int64_t n_deleted,
                        uint8_t *bits)
{
    sm_error e = {0};

    memset(bits, 0, sm_bits_bytes(ROWS_MOST) + 1);
    return smi_vector_decode(bytes, len, n_rows, n_deleted, bits, &e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static uint8_t bits[ROWS_MOST / 8 + 2];

    if (n < 4 || n > 65536) {
        return 0;
    }
    const int64_t n_rows = data[0] * 272 + data[1], n_deleted = data[2] * 272 + data[3];
    uint8_t *bytes = malloc(n - 4 + 1);
    memcpy(bytes, data + 4, n - 4);
    const sm_status st = decode(bytes, n - 4, n_rows, n_deleted, bits);
    expect(st == SM_OK || st == SM_CORRUPT, "another status");
    if (st == SM_OK) {
        int64_t n_set = 0;
        for (int64_t i = 0; i < ROWS_MOST; i++) {
            n_set += sm_bit_get(bits, i);
            expect(i < n_rows || !sm_bit_get(bits, i), "a row behind the last one");
        }
        expect(n_set == n_deleted, "another number of rows");
        expect(decode(bytes, n - 4, n_rows, n_deleted + 1, bits) == SM_CORRUPT, "one too few");
        expect(decode(bytes, n - 4, n_rows, n_deleted - 1, bits) == SM_CORRUPT, "one too many");
    }
    free(bytes);
    return 0;
}
