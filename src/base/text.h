/* SPDX-License-Identifier: Apache-2.0
 *
 * base/text.h: UTF-8, numbers as text, sizes as people write them, settings from the
 * environment. */
#ifndef SM_BASE_TEXT_H
#define SM_BASE_TEXT_H

#include "base/str.h"

/* ---- UTF-8 (RFC 3629: no surrogates, no overlong forms, at most U+10FFFF) -------------------- */

/** The offset of the first byte that is not UTF-8 (of the sequence's first byte), or n. */
size_t sm_utf8_check(const void *bytes, size_t n);
int64_t sm_utf8_count(sm_str s); /* code points, of valid text */
/** Writes a code point, returns its 1 to 4 bytes. */
int sm_utf8_put(uint32_t code_point, char out[4]);
/** Reads the code point at s.data[*at] of valid text and moves *at on. */
uint32_t sm_utf8_next(sm_str s, size_t *at);

/* ---- numbers (no locale) --------------------------------------------------------------------- */

/** In full, an optional '-' and digits; false where it is not one or does not fit. */
bool sm_parse_i64(sm_str s, int64_t *out);
/** Correctly rounded, as JSON and SQL write them, also inf and nan where allow_special; false where
 * it is not one or too large ("1e999"). What is too small becomes 0. */
bool sm_parse_f64(sm_str s, bool allow_special, double *out);
bool sm_parse_f32(sm_str s, bool allow_special, float *out);
/** The shortest text that reads back the same: "0.1", "1e+300", "nan", "inf", "5.0" (always with
 * point or exponent, as DuckDB casts to VARCHAR). Returns the length. */
#define SM_F64_TEXT_BYTES 40
size_t sm_format_f64(double v, char out[SM_F64_TEXT_BYTES]);
size_t sm_format_f32(float v, char out[SM_F64_TEXT_BYTES]);

/** "512MB", "1.5 GiB", "64KiB", "1000": powers of 1,000 and of 1,024. */
bool sm_parse_size(sm_str s, size_t *out);
/** "10.4 GB", "817 KB", "0 B": three digits at most, powers of 1,000. "12,345,678" for counts. */
#define SM_SIZE_TEXT_BYTES 32
size_t sm_format_size(int64_t bytes, char out[SM_SIZE_TEXT_BYTES]);
size_t sm_format_count(int64_t n, char out[SM_SIZE_TEXT_BYTES]);

/* ---- settings -------------------------------------------------------------------------------- */

/** The environment variable, or NULL where it is unset or empty. */
const char *sm_env(const char *name);

/** Does text match the shell pattern (`*`, `?`, `[a-z]`, `**` over folders)? No backtracking
 * blow-up. */
bool sm_glob_match(sm_str pattern, sm_str text);

#endif
