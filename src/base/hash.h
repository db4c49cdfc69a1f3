/* SPDX-License-Identifier: Apache-2.0
 *
 * base/hash.h: hash functions with fixed seeds: XXH3 (xxHash, inlined) and CRC-32. They give the
 * same values in every process; the order of grouped rows and the identity of files depend on that.
 * Threads: every function may be called from any thread; a sm_content_sum by one at a time. */
#ifndef SM_BASE_HASH_H
#define SM_BASE_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct sm_hash128 {
    uint64_t low, high;
} sm_hash128;

uint64_t sm_hash64(const void *bytes, size_t n);                      /* XXH3-64, seed 0 */
sm_hash128 sm_hash128_of(const void *bytes, size_t n, uint64_t seed); /* XXH3-128 */
void sm_hash128_hex(sm_hash128 h, char out[33]); /* 32 digits, the high word first, and a NUL */
/** Continues the CRC-32 of zlib, Parquet, gzip and S3; the first call passes 0 as `crc`. */
uint32_t sm_crc32(uint32_t crc, const void *bytes, size_t n);
/** The share of a piece in the CRC-32 of the whole: `crc` is the piece's own, and n_after bytes
 * follow it in the whole. The XOR of all shares, in any order, is the whole's CRC-32. */
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

/* ---- files ----------------------------------------------------------------------------------- */

/* A file's hash is the sum modulo 2^128 of XXH3-128(chunk i, seed i) over its 64 KiB chunks. Pieces
 * of a file can therefore be hashed in any order and by any thread, and then added up. */
#define SM_FILE_HASH_CHUNK ((uint64_t)65536)
/**
 * The share of a piece in the hash of its file.
 *
 * Shape     off_bytes, the piece's place in the file, is a multiple of SM_FILE_HASH_CHUNK
 *           (asserted) and so is n, unless the piece ends where the file ends
 */
sm_hash128 sm_file_hash_piece(const void *bytes, size_t n, uint64_t off_bytes);
sm_hash128 sm_file_hash_add(sm_hash128 a, sm_hash128 b); /* the sum of two shares */

/* The identity of a file's content, of its bytes after decompression. */
typedef struct sm_content {
    sm_hash128 hash; /* the file's hash, as above */
    int64_t bytes;
    uint64_t head;  /* sm_hash64 of the first SM_CONTENT_HEAD_BYTES, or of all if there are fewer */
    bool has_lines; /* is there a line that is not blank? */
} sm_content;
#define SM_CONTENT_HEAD_BYTES ((size_t)4096)

/* Computes a sm_content from bytes that arrive in order, in pieces of any length. */
typedef struct sm_content_sum sm_content_sum;
sm_content_sum *sm_content_sum_new(void);                                /* of no bytes yet */
void sm_content_sum_free(sm_content_sum *s);                             /* takes NULL */
void sm_content_sum_reset(sm_content_sum *s);                            /* starts again */
void sm_content_sum_add(sm_content_sum *s, const void *bytes, size_t n); /* the next bytes */
/** The content of the bytes added so far; more may follow. */
sm_content sm_content_sum_get(const sm_content_sum *s);

#endif
