/* SPDX-License-Identifier: Apache-2.0
 *
 * base/text.h: UTF-8, numbers as text, sizes as people write them, settings from the environment,
 * shell patterns. Nothing depends on a locale.
 * Threads: every function may be called from any thread. */
#ifndef SM_BASE_TEXT_H
#define SM_BASE_TEXT_H

#include "base/str.h"

/* ---- UTF-8 (RFC 3629: no surrogates, no overlong forms, at most U+10FFFF) -------------------- */

/**
 * The offset of the first byte that is not UTF-8, or n.
 *
 * Shape     of a sequence that is wrong or cut, the offset of its first byte
 * Cost      8 bytes a step while they are ASCII
 */
size_t sm_utf8_check(const void *bytes, size_t n);
int64_t sm_utf8_count(sm_str s); /* the code points of valid text */
/**
 * The encoding of a text that is not UTF-8, as its first four bytes tell: by its byte-order mark,
 * or by the zeros of two characters of ASCII. NULL: none that is known.
 *
 * Shape     the name that iconv knows it by: "UTF-16", "UTF-32" with a mark, else "UTF-16LE", …
 */
const char *sm_utf_other(const void *bytes, size_t n);
/** Writes a code point as UTF-8; returns its length, 1 to 4. */
int sm_utf8_put(uint32_t code_point, char out[4]);
/** Reads the code point at s.data[*at] of valid text and moves *at behind it. */
uint32_t sm_utf8_next(sm_str s, size_t *at);

/* ---- numbers --------------------------------------------------------------------------------- */

/** Reads an optional '-' and digits, and nothing else; false if s is something else or too large.
 * */
bool sm_parse_i64(sm_str s, int64_t *out);
/**
 * Reads a number as JSON and SQL write it, correctly rounded.
 *
 * Shape     [+-]digits[.digits][e[+-]digits]; inf, infinity and nan if allow_special
 * Returns   false if s is something else, or too large for a double ("1e999"). A number that is too
 *           small becomes 0.
 */
bool sm_parse_f64(sm_str s, bool allow_special, double *out);
bool sm_parse_f32(sm_str s, bool allow_special, float *out); /* the same, rounded to a float */

#define SM_F64_TEXT_BYTES 40
/** Writes the shortest text that reads back as the same number, always with a point or an exponent,
 * as DuckDB casts to VARCHAR: "0.1", "5.0", "1e+300", "nan", "inf". Returns its length. */
size_t sm_format_f64(double v, char out[SM_F64_TEXT_BYTES]);
size_t sm_format_f32(float v, char out[SM_F64_TEXT_BYTES]); /* the same for a float */

/** Reads "512MB", "1.5 GiB", "64KiB" or "1000" (bytes); KB is 1,000 and KiB is 1,024. */
bool sm_parse_size(sm_str s, size_t *out);

/**
 * Reads a length of time: "30s", "5 min", "12 hours", "7d".
 *
 * Shape     digits, at most one blank, and s, m, h, d or w, or a word for one of them: sec, second,
 *           min, minute, hour, day, week, also with an s
 * Returns   false if s is something else, or more than 1,000,000 of its unit
 */
bool sm_parse_duration(sm_str s, int64_t *us);

#define SM_SIZE_TEXT_BYTES 32
/** Writes "10.4 GB", "817 KB" or "0 B": three digits at most, powers of 1,000. Returns its length.
 * */
size_t sm_format_size(int64_t bytes, char out[SM_SIZE_TEXT_BYTES]);
/** Writes "12,345,678". Returns its length. */
size_t sm_format_count(int64_t n, char out[SM_SIZE_TEXT_BYTES]);

#define SM_COUNTED_TEXT_BYTES 64
/** Writes a number and what is counted: "1 row", "0 rows", "12,345 rows". `one`: the word for one,
 * which has an s more for several; at most 30 bytes. Returns its length. */
size_t sm_format_counted(int64_t n, const char *one, char out[SM_COUNTED_TEXT_BYTES]);

/* ---- settings -------------------------------------------------------------------------------- */

/** The value of an environment variable, or NULL if it is unset or empty. */
const char *sm_env(const char *name);

/* ---- shell patterns -------------------------------------------------------------------------- */

/**
 * Does the whole text match the pattern?
 *
 * Shape     `*` any characters but '/', `?` one, `[a-z]` and `[!a-z]` one of a class, `**` any
 *           characters, a `**` and '/' at the start of a name any number of folders, '\' quotes
 * Cost      pattern times text, whatever the pattern: it never backtracks
 */
bool sm_glob_match(sm_str pattern, sm_str text);

#endif
