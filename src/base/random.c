/* SPDX-License-Identifier: Apache-2.0
 *
 * base/random.c: random bytes from the system's generator, and UUIDs made of them for the ids of
 * tables and transactions and for the names of files. */
#include "base/random.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/random.h>

#include "base/status.h"

void sm_random_bytes(void *out, size_t n)
{
    uint8_t *at = out;

    while (n > 0) {
        const ssize_t got = getrandom(at, n, 0);
        SM_ENSURE(got >= 0 || errno == EINTR); /* without flags there is no other failure */
        if (got > 0) {
            at += got;
            n -= (size_t)got;
        }
    }
}

void sm_uuid(char out[SM_UUID_BYTES])
{
    uint8_t b[16];

    sm_random_bytes(b, sizeof(b));
    b[6] = (uint8_t)((b[6] & 0x0f) | 0x40); /* version 4 */
    b[8] = (uint8_t)((b[8] & 0x3f) | 0x80); /* variant 1 */
    snprintf(out, SM_UUID_BYTES,
             "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1],
             b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14],
             b[15]);
}
