/* SPDX-License-Identifier: Apache-2.0
 *
 * base/random.h: names that nobody else has. Nothing that decides a result may be random. */
#ifndef SM_BASE_RANDOM_H
#define SM_BASE_RANDOM_H

#include <stddef.h>

void sm_random_bytes(void *out, size_t n); /* from the system */

/** A random UUID (RFC 4122, version 4), lower case, ended by NUL. */
#define SM_UUID_BYTES 37
void sm_uuid(char out[SM_UUID_BYTES]);

#endif
