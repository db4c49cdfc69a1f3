/* SPDX-License-Identifier: Apache-2.0
 *
 * base/roaring.h: reads and writes sets of numbers in Roaring's portable format, by CRoaring. The
 * bytes that are read may be anything: what comes out is checked by who takes it. */
#ifndef SM_BASE_ROARING_H
#define SM_BASE_ROARING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/status.h"

#define SM_ROARING_PART_BYTES ((size_t)128) /* two allocations and their places */

/** Takes one number of a set; false ends the reading. The order of arguments is CRoaring's. */
typedef bool (*sm_roaring_each)(uint32_t value, void *ctx);

/**
 * Reads the 32-bit set at the start of `len` bytes and calls each(number, ctx) for its numbers,
 * which rise unless the bytes are damaged.
 *
 * Returns   true with the bytes that the set has in *used; false where the bytes are no set or are
 *           cut off, or where each() returned false
 * Units     meanwhile the set is unpacked, into about len bytes, and SM_ROARING_PART_BYTES for
 *           each 65,536 numbers among which it has some. They are in no budget: the caller asks.
 * Threads   any thread
 * Source    RoaringFormatSpec, "General layout"
 */
bool sm_roaring_read(const uint8_t *bytes, size_t len, sm_roaring_each each, void *ctx,
                     size_t *used);

/**
 * Appends the set of the numbers below n_bits, at most 2^32, whose bits are set: each 65,536 of
 * them as an array, a bitmap or runs, whichever is the smallest.
 *
 * Errors    those of sm_buf_reserve; SM_BUDGET where there is no memory
 * Units     meanwhile the set takes about as many bytes as it is written with, in no budget
 * Threads   any thread
 */
sm_status sm_roaring_write(const uint8_t *bits, int64_t n_bits, sm_buf *out,
                           sm_error *e) SM_MUST_USE;

#endif
