/* SPDX-License-Identifier: Apache-2.0
 *
 * base/roaring.c: Roaring's portable format, by CRoaring. It is in base because CRoaring allocates
 * by itself, and its headers use malloc. Called by delta_vector.c and delta_vector_write.c. */
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

/* Numbers on their way into a set: many at once spare it looking for their place. */
typedef struct pending {
    roaring_bitmap_t *set;
    uint32_t items[1024];
    size_t n;
} pending;

static void add_pending(pending *p)
{
    roaring_bitmap_add_many(p->set, p->n, p->items);
    p->n = 0;
}

/* Adds the numbers whose bits are set in a word; `first` is the number of its first bit. */
static void add_word(pending *p, uint64_t word, int64_t first)
{
    if (p->n + 64 > sizeof(p->items) / sizeof(p->items[0])) {
        add_pending(p);
    }
    for (; word != 0; word &= word - 1) {
        p->items[p->n++] = (uint32_t)(first + __builtin_ctzll(word));
    }
}

static void add_bits(roaring_bitmap_t *set, const uint8_t *bits, int64_t n_bits)
{
    pending p = {.set = set};

    for (int64_t first = 0; first < n_bits; first += 64) {
        const int64_t n = n_bits - first < 64 ? n_bits - first : 64;
        uint64_t word = 0;
        for (int64_t k = 0; k < (n + 7) / 8; k++) {
            word |= (uint64_t)bits[first / 8 + k] << (8 * k);
        }
        if (n < 64) {
            word &= ((uint64_t)1 << n) - 1; /* bits behind the last one may be anything */
        }
        add_word(&p, word, first);
    }
    add_pending(&p);
}

sm_status sm_roaring_write(const uint8_t *bits, int64_t n_bits, sm_buf *out, sm_error *e)
{
    SM_ASSERT(out && (bits || n_bits == 0) && n_bits >= 0 && n_bits <= (int64_t)1 << 32);
    roaring_bitmap_t *set = roaring_bitmap_create();

    if (!set) {
        return sm_fail(e, SM_BUDGET, "no memory for a set of numbers");
    }
    add_bits(set, bits, n_bits);
    (void)roaring_bitmap_run_optimize(set);
    const size_t n = roaring_bitmap_portable_size_in_bytes(set);
    const sm_status st = sm_buf_reserve(out, n, e);
    if (st == SM_OK) {
        out->len += roaring_bitmap_portable_serialize(set, (char *)out->data + out->len);
        SM_ASSERT(out->len <= out->cap);
    }
    roaring_bitmap_free(set);
    return st;
}
