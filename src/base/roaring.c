/* SPDX-License-Identifier: Apache-2.0
 *
 * base/roaring.c: Roaring's portable format, by CRoaring. It is in base because CRoaring allocates
 * by itself, and its headers use malloc. Called by delta_vector.c. */
#include "base/roaring.h"

#include "base/status.h"

#include <roaring/roaring.h>

bool sm_roaring_read(const uint8_t *bytes, size_t len, sm_roaring_each each, void *ctx,
                     size_t *used)
{
    SM_ASSERT(bytes && each && used);
    const char *at = (const char *)bytes;
    const size_t n = roaring_bitmap_portable_deserialize_size(at, len);

    if (n == 0 || n > len) {
        return false;
    }
    roaring_bitmap_t *set = roaring_bitmap_portable_deserialize_safe(at, n);
    if (!set) {
        return false;
    }
    /* Only walked: its sizes are not used to fill anything, as they may contradict its content. */
    const bool is_read = roaring_iterate(set, each, ctx);
    roaring_bitmap_free(set);
    *used = n;
    return is_read;
}
