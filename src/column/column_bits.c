/* SPDX-License-Identifier: Apache-2.0
 *
 * column/column_bits.c: copies, fills and counts bits, a word at a time. Bits lie least first, so
 * that on a little-endian machine eight bytes load as a word of 64 rows in order. */
#include "column/column_int.h"

static uint64_t load_bits(const uint8_t *src, int64_t off, int64_t n) /* 1 … 64 bits */
{
    uint64_t word = 0;
    const int64_t shift = off & 7;
    const int64_t n_bytes = (shift + n + 7) / 8;
    memcpy(&word, src + (off >> 3), (size_t)(n_bytes < 8 ? n_bytes : 8));
    word >>= shift;
    if (n_bytes > 8 && shift > 0) {
        word |= (uint64_t)src[(off >> 3) + 8] << (64 - shift);
    }
    return n == 64 ? word : word & ((UINT64_C(1) << n) - 1);
}

void smi_bits_copy(uint8_t *dst, int64_t dst_off, const uint8_t *src, int64_t src_off, int64_t n)
{
    if (n <= 0) {
        return;
    }
    /* First the bits that complete a byte which has rows already, then whole words. */
    const int64_t in_byte = dst_off & 7;
    if (in_byte != 0) {
        const int64_t head = n < 8 - in_byte ? n : 8 - in_byte;
        uint8_t *byte = &dst[dst_off >> 3];
        const uint8_t below = (uint8_t)((1u << in_byte) - 1);
        *byte = (uint8_t)((*byte & below) | (load_bits(src, src_off, head) << in_byte));
        dst_off += head;
        src_off += head;
        n -= head;
    }
    dst += dst_off >> 3;
    for (; n > 0; n -= 64, src_off += 64, dst += 8) {
        const int64_t take = n < 64 ? n : 64;
        const uint64_t word = load_bits(src, src_off, take);
        memcpy(dst, &word, (size_t)((take + 7) / 8));
    }
}

void smi_bits_fill(uint8_t *dst, int64_t dst_off, int64_t n, bool value)
{
    uint8_t bits[16];
    memset(bits, value ? 255 : 0, sizeof(bits));
    for (; n > 0; n -= 64, dst_off += 64) {
        smi_bits_copy(dst, dst_off, bits, 0, n < 64 ? n : 64);
    }
}

int64_t smi_bits_count(const uint8_t *bits, int64_t n)
{
    int64_t count = 0;
    int64_t i = 0;
    for (; i + 64 <= n; i += 64) {
        uint64_t word = 0;
        memcpy(&word, bits + i / 8, 8);
        count += __builtin_popcountll(word);
    }
    if (i < n) {
        count += __builtin_popcountll(load_bits(bits, i, n - i));
    }
    return count;
}
