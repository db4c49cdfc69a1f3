/* SPDX-License-Identifier: Apache-2.0
 *
 * base/random.h: random bytes and unique names. Results of queries must not depend on them.
 * Threads: every function may be called from any thread. */
#ifndef SM_BASE_RANDOM_H
#define SM_BASE_RANDOM_H

#include <stddef.h>

void sm_random_bytes(void *out, size_t n); /* from the system's generator, getrandom(2) */

#define SM_UUID_BYTES 37
/** Writes a random UUID (RFC 4122, version 4): 36 characters, lower case, and a NUL. */
void sm_uuid(char out[SM_UUID_BYTES]);

#endif
