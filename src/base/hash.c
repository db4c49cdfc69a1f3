/* SPDX-License-Identifier: Apache-2.0
 *
 * base/hash.c: XXH3, CRC-32, the hash of a file, and the identity of a file's content. */
#include "base/hash.h"

#include <libdeflate.h>
#include <string.h>
#include <zlib.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/memory.h"

uint64_t sm_hash64(const void *bytes, size_t n)
{
    return XXH3_64bits(bytes, n);
}

sm_hash128 sm_hash128_of(const void *bytes, size_t n, uint64_t seed)
{
    const XXH128_hash_t h = XXH3_128bits_withSeed(bytes, n, seed);
    return (sm_hash128){.low = h.low64, .high = h.high64};
}

void sm_hash128_hex(sm_hash128 h, char out[33])
{
    static const char digits[] = "0123456789abcdef";
    for (int i = 0; i < 32; i++) {
        const uint64_t word = i < 16 ? h.high : h.low;
        out[i] = digits[word >> (60 - 4 * (i % 16)) & 15];
    }
    out[32] = '\0';
}

uint32_t sm_crc32(uint32_t crc, const void *bytes, size_t n)
{
    return n ? libdeflate_crc32(crc, bytes, n) : crc; /* with NULL libdeflate would start again */
}

uint32_t sm_crc32_part(uint32_t crc, uint64_t n_after)
{
    return (uint32_t)crc32_combine(crc, 0, (z_off_t)n_after);
}

/* ---- files ----------------------------------------------------------------------------------- */

sm_hash128 sm_file_hash_add(sm_hash128 a, sm_hash128 b)
{
    sm_hash128 sum = {.low = a.low + b.low};
    sum.high = a.high + b.high + (sum.low < a.low);
    return sum;
}

sm_hash128 sm_file_hash_piece(const void *bytes, size_t n, uint64_t off_bytes)
{
    SM_ASSERT(off_bytes % SM_FILE_HASH_CHUNK == 0);
    const uint8_t *p = bytes;
    uint64_t index = off_bytes / SM_FILE_HASH_CHUNK;
    sm_hash128 sum = {0};
    while (n > 0) {
        const size_t len = n < SM_FILE_HASH_CHUNK ? n : SM_FILE_HASH_CHUNK;
        sum = sm_file_hash_add(sum, sm_hash128_of(p, len, index++));
        p += len;
        n -= len;
    }
    return sum;
}

/* ---- contents -------------------------------------------------------------------------------- */

struct sm_content_sum {
    XXH3_state_t *chunk; /* the chunk that is not full yet */
    sm_hash128 full;     /* the sum of the chunks before it */
    uint64_t n_bytes;
    size_t n_head; /* bytes of head in use */
    bool has_lines;
    uint8_t head[SM_CONTENT_HEAD_BYTES];
};

sm_content_sum *sm_content_sum_new(void)
{
    sm_content_sum *s = sm_alloc_zero(sizeof(*s));

    s->chunk = XXH3_createState(); /* not a member: it has to be aligned to 64 bytes */
    if (!s->chunk) {
        sm_out_of_memory(sizeof(*s->chunk));
    }
    sm_content_sum_reset(s);
    return s;
}

void sm_content_sum_free(sm_content_sum *s)
{
    if (s) {
        (void)XXH3_freeState(s->chunk);
        sm_free(s);
    }
}

void sm_content_sum_reset(sm_content_sum *s)
{
    s->full = (sm_hash128){0};
    s->n_bytes = 0;
    s->n_head = 0;
    s->has_lines = false;
    (void)XXH3_128bits_reset_withSeed(s->chunk, 0);
}

/* Is there a byte that is neither white space nor part of a byte-order mark at the file's start? */
static bool has_text(const uint8_t *p, size_t n, uint64_t at)
{
    static const uint8_t mark[3] = {0xef, 0xbb, 0xbf};

    for (size_t i = 0; i < n; i++) {
        const bool is_blank = p[i] == ' ' || p[i] == '\t' || p[i] == '\r' || p[i] == '\n';
        const bool is_mark = at + i < sizeof(mark) && p[i] == mark[at + i];
        if (!is_blank && !is_mark) {
            return true;
        }
    }
    return false;
}

static sm_hash128 chunk_hash(const sm_content_sum *s)
{
    const XXH128_hash_t h = XXH3_128bits_digest(s->chunk);
    return (sm_hash128){.low = h.low64, .high = h.high64};
}

void sm_content_sum_add(sm_content_sum *s, const void *bytes, size_t n)
{
    const uint8_t *p = bytes;

    SM_ASSERT(s->n_head == (s->n_bytes < sizeof(s->head) ? s->n_bytes : sizeof(s->head)));
    if (n > 0 && s->n_head < sizeof(s->head)) {
        const size_t room = sizeof(s->head) - s->n_head;
        const size_t len = n < room ? n : room;
        memcpy(s->head + s->n_head, p, len);
        s->n_head += len;
    }
    s->has_lines = s->has_lines || has_text(p, n, s->n_bytes);
    while (n > 0) {
        const uint64_t left = SM_FILE_HASH_CHUNK - s->n_bytes % SM_FILE_HASH_CHUNK;
        const size_t len = n < left ? n : (size_t)left;
        (void)XXH3_128bits_update(s->chunk, p, len);
        s->n_bytes += len;
        p += len;
        n -= len;
        if (len == left) {
            s->full = sm_file_hash_add(s->full, chunk_hash(s));
            (void)XXH3_128bits_reset_withSeed(s->chunk, s->n_bytes / SM_FILE_HASH_CHUNK);
        }
    }
}

sm_content sm_content_sum_get(const sm_content_sum *s)
{
    const bool is_cut = s->n_bytes % SM_FILE_HASH_CHUNK != 0;

    return (sm_content){
        .hash = is_cut ? sm_file_hash_add(s->full, chunk_hash(s)) : s->full,
        .bytes = (int64_t)s->n_bytes,
        .head = sm_hash64(s->head, s->n_head),
        .has_lines = s->has_lines,
    };
}
