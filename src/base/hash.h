/* SPDX-License-Identifier: Apache-2.0
 *
 * base/hash.h: hashing with fixed seeds (the same in every process: the order of grouped rows and
 * file identities depend on it). XXH3 by xxHash, inlined. */
#ifndef SM_BASE_HASH_H
#define SM_BASE_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct sm_hash128 {
    uint64_t low, high;
} sm_hash128;

uint64_t sm_hash64(const void *bytes, size_t n);                      /* XXH3, seed 0 */
sm_hash128 sm_hash128_of(const void *bytes, size_t n, uint64_t seed); /* XXH3 */
void sm_hash128_hex(sm_hash128 h, char out[33]);
uint32_t sm_crc32(uint32_t crc, const void *bytes, size_t n); /* zlib's: Parquet, gzip, S3 */
/** What a piece adds to the CRC-32 of the whole in which n_after bytes follow it: the whole's is
 * the XOR of all its pieces', in any order. */
uint32_t sm_crc32_part(uint32_t crc, uint64_t n_after);

/** A bijective mix of 64 bits, for integer keys. */
static inline uint64_t sm_mix64(uint64_t x)
{
    x ^= x >> 32;
    x *= 0xd6e8feb86659fd93u;
    x ^= x >> 32;
    x *= 0xd6e8feb86659fd93u;
    return x ^ (x >> 32);
}

/* The hash of a file that may be read in pieces, in any order, by any thread: the sum modulo 2^128
 * of XXH3-128(chunk i, seed i) over its 64 KiB chunks. Pieces start at a multiple of a chunk and
 * end at one or at the end of the file. Sum of pieces: sm_file_hash_add. */
#define SM_FILE_HASH_CHUNK ((uint64_t)65536)
sm_hash128 sm_file_hash_piece(const void *bytes, size_t n, uint64_t off_bytes);
sm_hash128 sm_file_hash_add(sm_hash128 a, sm_hash128 b);

/* What a file's content is known by: the decompressed bytes. */
typedef struct sm_content {
    sm_hash128 hash; /* of all, as the sum above */
    int64_t bytes;
    uint64_t head;  /* sm_hash64 of the first SM_CONTENT_HEAD_BYTES, or of all where it has fewer */
    bool has_lines; /* that are not blank */
} sm_content;
#define SM_CONTENT_HEAD_BYTES ((size_t)4096)

/* The same, of bytes that come in order, cut anywhere. */
typedef struct sm_content_sum sm_content_sum;
sm_content_sum *sm_content_sum_new(void);
void sm_content_sum_free(sm_content_sum *s); /* takes NULL */
void sm_content_sum_reset(sm_content_sum *s);
void sm_content_sum_add(sm_content_sum *s, const void *bytes, size_t n);
/** Of what was added so far; more may follow. */
sm_content sm_content_sum_get(const sm_content_sum *s);

#endif
