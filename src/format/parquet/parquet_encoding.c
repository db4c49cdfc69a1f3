/* SPDX-License-Identifier: Apache-2.0
 *
 * format/parquet/parquet_encoding.c: reads and writes the encodings of levels, codes and integers.
 *
 * Runs     A run begins with a varint, its head. Even: the value that follows in (width + 7)/8
 *          bytes comes head/2 times. Odd: head/2 groups of 8 values follow, each value in `width`
 *          bits, the lowest bit first.
 * Delta    Head: the number of values in a block, of miniblocks in a block, of all values, and the
 *          first value. A block: the least difference between neighbours, a width for each
 *          miniblock, then all differences less the least one, bit-packed. Miniblocks after the
 *          last value have a width but no data.
 * Method   Decoders return n values and keep their place. So a few bytes that stand for a billion
 *          values cost no more memory than a batch. A value of up to 57 bits is read by one
 *          unaligned load, which may go 8 bytes beyond the data; blocks have SM_PAD_BYTES there.
 *          Nothing here makes an error message: false means that the data is malformed.
 * Source   apache/parquet-format, Encodings.md
 *
 * Called by parquet_leaf.c and parquet_column.c. */

#include "format/parquet/parquet_int.h"

/* What is written: the sizes that parquet-mr uses. Readers must accept others, but see few. */
#define DELTA_BLOCK     128
#define DELTA_MINIS     4
#define DELTA_MINI      (DELTA_BLOCK / DELTA_MINIS)
#define DELTA_MINIS_MAX 4096
#define DELTA_BLOCK_MAX (1u << 24)

#define PACK_WIDTH 31 /* half a group of 8 values and a part of a byte fit into 128 bits */
#define PACK_ROOM  32
#define RUN_STEP   64

_Static_assert(DELTA_MINI % 32 == 0, "a miniblock is whole words of any width");
_Static_assert(DELTA_BLOCK % 128 == 0 && DELTA_MINI * DELTA_MINIS == DELTA_BLOCK,
               "Encodings.md: blocks are multiples of 128, and miniblocks divide them");

static bool read_varint(const uint8_t **p, const uint8_t *end, uint64_t *out)
{
    uint64_t v = 0;
    for (int shift = 0; shift < 64 && *p < end; shift += 7) {
        const uint8_t b = *(*p)++;
        v |= (uint64_t)(b & 0x7F) << shift;
        if (!(b & 0x80)) {
            *out = v;
            return true;
        }
    }
    return false;
}

static uint64_t unzigzag(uint64_t v)
{
    return (v >> 1) ^ (0 - (v & 1));
}

static uint64_t mask_of(int width)
{
    return width >= 64 ? UINT64_MAX : (1ull << width) - 1;
}

/* ---- bits ------------------------------------------------------------------------------------ */

/* Copies n bits to dst from bit `first` on, where dst is zero and has 8 more bytes after the
 * bitmap. Returns the number of ones. */
static int64_t copy_bits(uint8_t *dst, int64_t first, const uint8_t *src, uint64_t src_bit,
                         int64_t n)
{
    int64_t ones = 0;
    while (n > 0) {
        const int take = n < 56 ? (int)n : 56;
        const uint64_t v = (smi_pq_le64(src + (src_bit >> 3)) >> (src_bit & 7)) & mask_of(take);
        uint8_t *at = dst + (first >> 3);
        const uint64_t merged = smi_pq_le64(at) | v << (first & 7);
        memcpy(at, &merged, sizeof(merged));
        ones += __builtin_popcountll(v);
        src_bit += (uint64_t)take;
        first += take;
        n -= take;
    }
    return ones;
}

static void set_bits(uint8_t *dst, int64_t first, int64_t n)
{
    while (n > 0 && (first & 7) != 0) {
        sm_bit_set(dst, first++);
        n--;
    }
    memset(dst + (first >> 3), 0xFF, (size_t)(n / 8));
    first += n / 8 * 8;
    for (n %= 8; n > 0; n--) {
        sm_bit_set(dst, first++);
    }
}

/* ---- reading runs ---------------------------------------------------------------------------- */

void smi_pq_runs_init(smi_pq_runs *r, const uint8_t *p, const uint8_t *end, int width)
{
    SM_ASSERT(p <= end && width >= 0 && width <= 32);
    *r = (smi_pq_runs){.p = p, .end = end, .width = width};
}

/* Begins the next run; it may be empty. */
static bool next_run(smi_pq_runs *r)
{
    const int bytes = (r->width + 7) / 8;
    uint64_t head = 0;
    SM_ASSERT(r->width > 0 && r->run_left == 0 && r->p <= r->end);
    if (r->is_msb) { /* no runs: packed values up to the end */
        r->is_packed = true;
        r->packed = r->p;
        r->packed_bit = 0;
        r->run_left = (uint64_t)(r->end - r->p) * 8 / (uint64_t)r->width;
        r->p = r->end;
        return r->run_left > 0;
    }
    if (!read_varint(&r->p, r->end, &head)) {
        return false;
    }
    const uint64_t left = (uint64_t)(r->end - r->p);
    if (head & 1) {
        const uint64_t groups = head >> 1;
        uint64_t size = 0;
        r->is_packed = true;
        r->packed = r->p;
        r->packed_bit = 0;
        if (__builtin_mul_overflow(groups, (uint64_t)r->width, &size) || size > left) {
            /* Some writers cut the last group's unused bytes. */
            size = left;
            r->run_left = left * 8 / (uint64_t)r->width;
        } else {
            r->run_left = groups * 8;
        }
        r->p += size;
        return true;
    }
    if (left < (uint64_t)bytes) {
        return false;
    }
    r->is_packed = false;
    r->run_left = head >> 1;
    r->value = 0;
    memcpy(&r->value, r->p, (size_t)bytes);
    r->p += bytes;
    return (r->value & ~mask_of(r->width)) == 0;
}

static uint32_t get_msb(const uint8_t *p, uint64_t bit, int width)
{
    uint32_t v = 0;
    for (int i = 0; i < width; i++, bit++) {
        v = v << 1 | (p[bit >> 3] >> (7 - (bit & 7)) & 1u);
    }
    return v;
}

#define RUNS_READ(name, type)                                                                      \
    bool name(smi_pq_runs *r, type *out, int64_t n)                                                \
    {                                                                                              \
        SM_ASSERT(n >= 0 && r->width <= 8 * (int)sizeof(type));                                    \
        if (r->width == 0) {                                                                       \
            memset(out, 0, (size_t)n * sizeof(type));                                              \
            return true;                                                                           \
        }                                                                                          \
        const uint64_t mask = mask_of(r->width);                                                   \
        while (n > 0) {                                                                            \
            if (r->run_left == 0) {                                                                \
                if (!next_run(r)) {                                                                \
                    return false;                                                                  \
                }                                                                                  \
                continue;                                                                          \
            }                                                                                      \
            const int64_t take = (uint64_t)n < r->run_left ? n : (int64_t)r->run_left;             \
            if (!r->is_packed) {                                                                   \
                const type v = (type)r->value;                                                     \
                for (int64_t i = 0; i < take; i++) {                                               \
                    out[i] = v;                                                                    \
                }                                                                                  \
            } else if (r->is_msb) {                                                                \
                for (int64_t i = 0; i < take; i++) {                                               \
                    out[i] = (type)get_msb(r->packed, r->packed_bit, r->width);                    \
                    r->packed_bit += (uint64_t)r->width;                                           \
                }                                                                                  \
            } else {                                                                               \
                const uint8_t *const packed = r->packed;                                           \
                const uint64_t width = (uint64_t)r->width;                                         \
                uint64_t bit = r->packed_bit;                                                      \
                for (int64_t i = 0; i < take; i++) {                                               \
                    out[i] = (type)(smi_pq_le64(packed + (bit >> 3)) >> (bit & 7) & mask);         \
                    bit += width;                                                                  \
                }                                                                                  \
                r->packed_bit = bit;                                                               \
            }                                                                                      \
            out += take;                                                                           \
            n -= take;                                                                             \
            r->run_left -= (uint64_t)take;                                                         \
        }                                                                                          \
        return true;                                                                               \
    }

RUNS_READ(smi_pq_runs_u32, uint32_t)
RUNS_READ(smi_pq_runs_u8, uint8_t)
#undef RUNS_READ

bool smi_pq_runs_bits(smi_pq_runs *r, uint8_t *bits, int64_t first, int64_t n, int64_t *n_set)
{
    int64_t ones = 0;
    SM_ASSERT(r->width == 1 && first >= 0 && n >= 0);
    while (n > 0) {
        if (r->run_left == 0) {
            if (!next_run(r)) {
                return false;
            }
            continue;
        }
        const int64_t take = (uint64_t)n < r->run_left ? n : (int64_t)r->run_left;
        if (!r->is_packed && r->value) {
            set_bits(bits, first, take);
            ones += take;
        } else if (r->is_packed && !r->is_msb) {
            ones += copy_bits(bits, first, r->packed, r->packed_bit, take);
            r->packed_bit += (uint64_t)take;
        } else if (r->is_packed) {
            for (int64_t i = 0; i < take; i++, r->packed_bit++) {
                if (get_msb(r->packed, r->packed_bit, 1)) {
                    sm_bit_set(bits, first + i);
                    ones++;
                }
            }
        }
        first += take;
        n -= take;
        r->run_left -= (uint64_t)take;
    }
    *n_set = ones;
    return true;
}

/* ---- writing runs ---------------------------------------------------------------------------- */

static void put_varint(sm_buf *b, uint64_t v)
{
    uint8_t *p = smi_pq_room(b, 10);
    size_t n = 0;
    while (v >= 0x80) {
        p[n++] = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    p[n++] = (uint8_t)v;
    b->len += n;
}

void smi_pq_runs_repeat(uint32_t v, int64_t n, int width, sm_buf *out)
{
    const size_t bytes = (size_t)(width + 7) / 8;
    SM_ASSERT(n >= 0 && ((uint64_t)v & ~mask_of(width)) == 0);
    if (n == 0) {
        return;
    }
    put_varint(out, (uint64_t)n << 1);
    memcpy(smi_pq_room(out, 4), &v, 4);
    out->len += bytes;
}

/* Packs a group of 8 values, `width` bytes of the up to PACK_ROOM that are written. No group waits
 * for the one before it, so the processor packs several at the same time. */
#define PACK_GROUP(name, type)                                                                     \
    static inline void name(const type *v, int width, uint8_t *to)                                 \
    {                                                                                              \
        unsigned __int128 half[2];                                                                 \
        SM_ASSERT(width > 0 && width <= PACK_WIDTH);                                               \
        for (int i = 0; i < 2; i++, v += 4) {                                                      \
            const uint64_t low = (uint64_t)v[0] | (uint64_t)v[1] << width;                         \
            const uint64_t high = (uint64_t)v[2] | (uint64_t)v[3] << width;                        \
            SM_ASSERT(((low | high) & ~mask_of(2 * width)) == 0); /* else it changes others */     \
            half[i] = low | (unsigned __int128)high << (2 * width);                                \
        }                                                                                          \
        const int bits = 4 * width, odd = bits % 8; /* the halves may meet within a byte */        \
        const unsigned __int128 rest = half[0] >> (bits - odd) | half[1] << odd;                   \
        memcpy(to, &half[0], sizeof(half[0]));                                                     \
        memcpy(to + bits / 8, &rest, sizeof(rest));                                                \
    }
PACK_GROUP(pack_group_u8, uint8_t)
PACK_GROUP(pack_group_u32, uint32_t)
PACK_GROUP(pack_group_u64, uint64_t)
#undef PACK_GROUP

#define RUNS_WRITE(name, type, pack_group)                                                         \
    static void name##_packed(const type *v, int64_t n, int width, sm_buf *out)                    \
    {                                                                                              \
        const int64_t groups = (n + 7) / 8;                                                        \
        if (n == 0) {                                                                              \
            return;                                                                                \
        }                                                                                          \
        put_varint(out, (uint64_t)groups << 1 | 1);                                                \
        const size_t bytes = (size_t)groups * (size_t)width;                                       \
        uint8_t *p = smi_pq_room(out, bytes + PACK_ROOM);                                          \
        uint64_t acc = 0;                                                                          \
        int filled = 0;                                                                            \
        int64_t i = 0;                                                                             \
        for (; width <= PACK_WIDTH && i + 8 <= n; i += 8, p += width) {                            \
            pack_group(v + i, width, p);                                                           \
        }                                                                                          \
        for (; i < n; i++) {                                                                       \
            SM_ASSERT(((uint64_t)v[i] & ~mask_of(width)) == 0); /* else it changes others */       \
            acc |= (uint64_t)v[i] << filled;                                                       \
            filled += width;                                                                       \
            if (filled >= 32) {                                                                    \
                memcpy(p, &acc, 4);                                                                \
                p += 4;                                                                            \
                acc >>= 32;                                                                        \
                filled -= 32;                                                                      \
            }                                                                                      \
        }                                                                                          \
        memcpy(p, &acc, 8);                                                                        \
        p += (filled + 7) / 8;                                                                     \
        uint8_t *const end = out->data + out->len + bytes;                                         \
        if (p < end) {                                                                             \
            memset(p, 0, (size_t)(end - p));                                                       \
        }                                                                                          \
        out->len += bytes;                                                                         \
    }                                                                                              \
                                                                                                   \
    /* Where the run of equal values that begins at i ends; levels are often one long run. */      \
    static int64_t name##_run_end(const type *v, int64_t i, int64_t n)                             \
    {                                                                                              \
        int64_t end = i + 1;                                                                       \
        type other = 0;                                                                            \
        while (other == 0 && end + RUN_STEP <= n && v[end] == v[i]) {                              \
            for (int64_t k = 0; k < RUN_STEP; k++) {                                               \
                other |= v[end + k] ^ v[i];                                                        \
            }                                                                                      \
            end += other == 0 ? RUN_STEP : 0;                                                      \
        }                                                                                          \
        while (end < n && v[end] == v[i]) {                                                        \
            end++;                                                                                 \
        }                                                                                          \
        return end;                                                                                \
    }                                                                                              \
                                                                                                   \
    void name(const type *v, int64_t n, int width, sm_buf *out)                                    \
    {                                                                                              \
        int64_t packed = 0; /* values before it are written */                                     \
        int64_t i = 0;                                                                             \
        while (i < n) {                                                                            \
            const int64_t same = name##_run_end(v, i, n);                                          \
            /* A packed stretch holds whole groups: the run gives what is missing to the last. */  \
            const int64_t odd = (i - packed) % 8 == 0 ? 0 : 8 - (i - packed) % 8;                  \
            if (same - i - odd >= 8) {                                                             \
                name##_packed(v + packed, i + odd - packed, width, out);                           \
                smi_pq_runs_repeat(v[i], same - i - odd, width, out);                              \
                packed = same;                                                                     \
            }                                                                                      \
            i = same;                                                                              \
        }                                                                                          \
        name##_packed(v + packed, n - packed, width, out);                                         \
    }

RUNS_WRITE(smi_pq_runs_write, uint32_t, pack_group_u32)
RUNS_WRITE(smi_pq_runs_write_u8, uint8_t, pack_group_u8)
#undef RUNS_WRITE

/* ---- reading deltas -------------------------------------------------------------------------- */

bool smi_pq_delta_init(smi_pq_delta *d, const uint8_t *p, const uint8_t *end)
{
    uint64_t block = 0, minis = 0, total = 0, first = 0;
    *d = (smi_pq_delta){.end = end};
    if (!read_varint(&p, end, &block) || !read_varint(&p, end, &minis) ||
        !read_varint(&p, end, &total) || !read_varint(&p, end, &first)) {
        return false;
    }
    if (minis == 0 || minis > DELTA_MINIS_MAX || block == 0 || block > DELTA_BLOCK_MAX ||
        block % minis != 0 || (block / minis) % 8 != 0) {
        return false;
    }
    d->p = p;
    d->block_values = block;
    d->mini_values = block / minis;
    d->n_minis = (uint32_t)minis;
    d->mini = d->n_minis;
    d->left = total;
    d->last = unzigzag(first);
    return true;
}

/* Moves to the next miniblock. There are values left to decode. */
static bool next_mini(smi_pq_delta *d)
{
    SM_ASSERT(d->left > 0 && d->mini <= d->n_minis && d->p <= d->end);
    if (d->mini == d->n_minis) {
        uint64_t min = 0;
        if (!read_varint(&d->p, d->end, &min) || (uint64_t)(d->end - d->p) < d->n_minis) {
            return false;
        }
        d->min_delta = unzigzag(min);
        d->widths = d->p;
        d->p += d->n_minis;
        d->mini = 0;
    }
    d->width = d->widths[d->mini++];
    if (d->width > 64) {
        return false;
    }
    d->mini_left = d->mini_values;
    d->packed = d->p;
    d->packed_bit = 0;
    const uint64_t have = (uint64_t)(d->end - d->p);
    const uint64_t full = d->mini_values / 8 * (uint64_t)d->width;
    const uint64_t used = d->left < d->mini_values ? d->left : d->mini_values;
    if ((used * (uint64_t)d->width + 7) / 8 > have) {
        return false;
    }
    d->p += full < have ? full : have; /* the last miniblock may be cut after its last value */
    return true;
}

static inline uint64_t get_wide(const uint8_t *p, uint64_t bit, int width, uint64_t mask)
{
    const int shift = (int)(bit & 7);
    uint64_t v = smi_pq_le64(p + (bit >> 3)) >> shift;
    if (shift + width > 64) {
        v |= (uint64_t)p[(bit >> 3) + 8] << (64 - shift);
    }
    return v & mask;
}

#define DELTA_READ(name, type)                                                                     \
    bool name(smi_pq_delta *d, type *out, int64_t n)                                               \
    {                                                                                              \
        if ((uint64_t)n > d->left) {                                                               \
            return false;                                                                          \
        }                                                                                          \
        if (n > 0 && !d->has_first) {                                                              \
            d->has_first = true;                                                                   \
            *out++ = (type)d->last;                                                                \
            n--;                                                                                   \
            d->left--;                                                                             \
        }                                                                                          \
        while (n > 0) {                                                                            \
            if (d->mini_left == 0 && !next_mini(d)) {                                              \
                return false;                                                                      \
            }                                                                                      \
            const int64_t take = (uint64_t)n < d->mini_left ? n : (int64_t)d->mini_left;           \
            const uint64_t mask = mask_of(d->width), min = d->min_delta;                           \
            uint64_t last = d->last;                                                               \
            for (int64_t i = 0; d->width == 0 && i < take; i++) { /* no step waits for another */  \
                out[i] = (type)(last + min * (uint64_t)(i + 1));                                   \
            }                                                                                      \
            for (int64_t i = 0; d->width > 0 && i < take; i++) {                                   \
                last += min + get_wide(d->packed, d->packed_bit, d->width, mask);                  \
                d->packed_bit += (uint64_t)d->width;                                               \
                out[i] = (type)last;                                                               \
            }                                                                                      \
            last += d->width == 0 ? min * (uint64_t)take : 0;                                      \
            d->last = last;                                                                        \
            out += take;                                                                           \
            n -= take;                                                                             \
            d->left -= (uint64_t)take;                                                             \
            d->mini_left -= (uint64_t)take;                                                        \
        }                                                                                          \
        return true;                                                                               \
    }

DELTA_READ(smi_pq_delta_i64, int64_t)
DELTA_READ(smi_pq_delta_i32, int32_t)
#undef DELTA_READ

const uint8_t *smi_pq_delta_end(const smi_pq_delta *d)
{
    smi_pq_delta at = *d;
    if (at.left > 0 && !at.has_first) {
        at.left--;
    }
    while (at.left > 0) { /* each block has at least one byte, so this ends with the data */
        if (!next_mini(&at)) {
            return NULL;
        }
        at.left -= at.left < at.mini_values ? at.left : at.mini_values;
    }
    return at.p;
}

/* ---- writing deltas -------------------------------------------------------------------------- */

/* Packs the values of a miniblock, each in `width` bits. */
static void put_mini_u64(const uint64_t *values, int width, sm_buf *out)
{
    SM_ASSERT(width >= 0 && width <= 64);
    uint8_t *p = smi_pq_room(out, (size_t)DELTA_MINI * 8 + PACK_ROOM);
    uint64_t word = 0;
    int filled = 0;
    out->len += (size_t)DELTA_MINI / 8 * (size_t)width;
    if (width == 0) {
        return;
    }
    if (width <= PACK_WIDTH) {
        for (int i = 0; i < DELTA_MINI; i += 8, p += width) {
            pack_group_u64(values + i, width, p);
        }
        return;
    }
    for (int i = 0; i < DELTA_MINI; i++) {
        const uint64_t v = values[i];
        SM_ASSERT((v & ~mask_of(width)) == 0); /* else it changes others */
        word |= v << filled;
        filled += width;
        if (filled >= 64) {
            memcpy(p, &word, 8);
            p += 8;
            filled -= 64;
            word = filled > 0 ? v >> (width - filled) : 0;
        }
    }
    SM_ASSERT(filled == 0 || filled == 32); /* of a miniblock of 32 values */
    memcpy(p, &word, 8);
}

static void put_mini_u32(const uint32_t *values, int width, sm_buf *out)
{
    SM_ASSERT(width >= 0 && width <= 32);
    uint8_t *p = smi_pq_room(out, (size_t)DELTA_MINI * 4 + PACK_ROOM);
    out->len += (size_t)DELTA_MINI / 8 * (size_t)width;
    if (width > PACK_WIDTH) {
        memcpy(p, values, (size_t)DELTA_MINI * sizeof(*values));
        return;
    }
    for (int i = 0; width > 0 && i < DELTA_MINI; i += 8, p += width) {
        pack_group_u32(values + i, width, p);
    }
}

/* Writes the least difference of a block and the widths of its miniblocks. */
static void put_block_head(int64_t min, const uint8_t *widths, sm_buf *out)
{
    put_varint(out, ((uint64_t)min << 1) ^ (uint64_t)(min >> 63));
    memcpy(smi_pq_room(out, DELTA_MINIS), widths, DELTA_MINIS);
    out->len += DELTA_MINIS;
}

/* The least of a whole block. In four parts, since each comparison waits for the one before. */
static int64_t least_of_i64(const int64_t *delta)
{
    int64_t least[4] = {delta[0], delta[1], delta[2], delta[3]};
    for (int i = 4; i < DELTA_BLOCK; i += 4) {
        for (int k = 0; k < 4; k++) {
            least[k] = delta[i + k] < least[k] ? delta[i + k] : least[k];
        }
    }
    for (int k = 1; k < 4; k++) {
        least[0] = least[k] < least[0] ? least[k] : least[0];
    }
    return least[0];
}

static int32_t least_of_i32(const int32_t *delta)
{
    int32_t least = delta[0];
    for (int i = 1; i < DELTA_BLOCK; i++) { /* which the compiler does for several at a time */
        least = delta[i] < least ? delta[i] : least;
    }
    return least;
}

/* Writes one block of n differences; behind them there is room for a whole one. What is above the
 * least of them fits into the type without a sign. */
#define PUT_BLOCK(bits)                                                                            \
    static void put_block_i##bits(int##bits##_t *delta, int n, sm_buf *out)                        \
    {                                                                                              \
        SM_ASSERT(n > 0 && n <= DELTA_BLOCK);                                                      \
        const int n_minis = (n + DELTA_MINI - 1) / DELTA_MINI;                                     \
        uint##bits##_t values[DELTA_BLOCK];                                                        \
        uint8_t widths[DELTA_MINIS] = {0};                                                         \
        for (int i = n; i < DELTA_BLOCK; i++) {                                                    \
            delta[i] = delta[0];                                                                   \
        }                                                                                          \
        const int##bits##_t min = least_of_i##bits(delta);                                         \
        for (int i = n; i < DELTA_BLOCK; i++) {                                                    \
            delta[i] = min;                                                                        \
        }                                                                                          \
        for (int m = 0; m < n_minis; m++) {                                                        \
            uint##bits##_t any = 0; /* has the highest bit of the greatest value */                \
            for (int i = m * DELTA_MINI; i < (m + 1) * DELTA_MINI; i++) {                          \
                values[i] = (uint##bits##_t)delta[i] - (uint##bits##_t)min;                        \
                any |= values[i];                                                                  \
            }                                                                                      \
            widths[m] = any == 0 ? 0 : (uint8_t)(64 - __builtin_clzll(any));                       \
        }                                                                                          \
        put_block_head(min, widths, out);                                                          \
        for (int m = 0; m < n_minis; m++) {                                                        \
            put_mini_u##bits(values + m * DELTA_MINI, widths[m], out);                             \
        }                                                                                          \
    }
PUT_BLOCK(32)
PUT_BLOCK(64)
#undef PUT_BLOCK

static void put_delta_head(int64_t n, int64_t first, sm_buf *out)
{
    put_varint(out, DELTA_BLOCK);
    put_varint(out, DELTA_MINIS);
    put_varint(out, (uint64_t)n);
    put_varint(out, ((uint64_t)first << 1) ^ (uint64_t)(first >> 63));
}

/* Differences wrap around in the type's width: so 32 bits suffice for those of INT32. Those of a
 * block are often all the same: of lengths that are all the same, of ids that count up. */
#define DELTA_WRITE(name, type, unsigned_type, put_block)                                          \
    void name(const type *v, int64_t n, sm_buf *out)                                               \
    {                                                                                              \
        static const uint8_t no_widths[DELTA_MINIS];                                               \
        type delta[DELTA_BLOCK];                                                                   \
        put_delta_head(n, n > 0 ? v[0] : 0, out);                                                  \
        for (int64_t i = 1; i < n; i += DELTA_BLOCK) {                                             \
            const int count = n - i < DELTA_BLOCK ? (int)(n - i) : DELTA_BLOCK;                    \
            const unsigned_type first = (unsigned_type)v[i] - (unsigned_type)v[i - 1];             \
            unsigned_type other = 0;                                                               \
            for (int k = 1; k < count; k++) {                                                      \
                other |= first ^ ((unsigned_type)v[i + k] - (unsigned_type)v[i + k - 1]);          \
            }                                                                                      \
            if (other == 0) {                                                                      \
                put_block_head((type)first, no_widths, out);                                       \
                continue;                                                                          \
            }                                                                                      \
            for (int k = 0; k < count; k++) {                                                      \
                delta[k] = (type)((unsigned_type)v[i + k] - (unsigned_type)v[i + k - 1]);          \
            }                                                                                      \
            put_block(delta, count, out);                                                          \
        }                                                                                          \
    }

DELTA_WRITE(smi_pq_delta_write_i64, int64_t, uint64_t, put_block_i64)
DELTA_WRITE(smi_pq_delta_write_i32, int32_t, uint32_t, put_block_i32)
#undef DELTA_WRITE
