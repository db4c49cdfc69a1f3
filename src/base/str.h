/* SPDX-License-Identifier: Apache-2.0
 *
 * base/str.h: borrowed strings: a pointer to bytes and a length. Copies are made in an arena
 * (sm_arena_str) or a buffer (sm_buf_text). Nothing here allocates.
 * Threads: every function may be called from any thread. */
#ifndef SM_BASE_STR_H
#define SM_BASE_STR_H

#include <string.h>

#include "base/status.h"

/* Bytes with a length; not ended by NUL unless a comment says so. Borrowed. `{0}` is empty. */
typedef struct sm_str {
    const char *data;
    size_t len;
} sm_str;

/* A setting, a header, a variable. */
typedef struct sm_pair {
    sm_str key, value;
} sm_pair;

#define SM_STR(literal) ((sm_str){(literal), sizeof(literal) - 1})
#define SM_STR_ARG(s)   ((int)((s).len > 4096 ? 4096 : (s).len)), (s).data /* for "%.*s" */

/** The string of a text that ends with a NUL. Borrows it; NULL is empty. */
static inline sm_str sm_str_of(const char *c_string)
{
    return (sm_str){c_string, c_string ? strlen(c_string) : 0};
}

/* ---- comparing ------------------------------------------------------------------------------- */

/** Are the bytes the same? */
static inline bool sm_str_eq(sm_str a, sm_str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}
/** Are the bytes the same as those of a text that ends with a NUL? */
static inline bool sm_str_is(sm_str a, const char *c_string)
{
    return sm_str_eq(a, sm_str_of(c_string));
}
bool sm_str_starts(sm_str s, sm_str prefix); /* true for an empty prefix */
bool sm_str_ends(sm_str s, sm_str suffix);   /* true for an empty suffix */
bool sm_str_eq_nocase(sm_str a, sm_str b);   /* ignores the case of ASCII letters only */
/** -1, 0 or 1: compares bytes as unsigned; a prefix comes before the longer string. */
int sm_str_cmp(sm_str a, sm_str b);

/* ---- copying --------------------------------------------------------------------------------- */

/** memcpy for texts, most of which are short: copies parts that may overlap. `text` may be NULL
 * where n is 0. */
static inline void sm_str_copy(void *dst, const void *text, size_t n)
{
    const uint8_t *from = text;
    uint8_t *to = dst;
    unsigned __int128 wide[2];
    uint64_t word[2];
    uint32_t half[2];
    if (n > 32) {
        memcpy(to, from, n);
    } else if (n > 16) {
        memcpy(&wide[0], from, 16);
        memcpy(&wide[1], from + n - 16, 16);
        memcpy(to, &wide[0], 16);
        memcpy(to + n - 16, &wide[1], 16);
    } else if (n >= 8) {
        memcpy(&word[0], from, 8);
        memcpy(&word[1], from + n - 8, 8);
        memcpy(to, &word[0], 8);
        memcpy(to + n - 8, &word[1], 8);
    } else if (n >= 4) {
        memcpy(&half[0], from, 4);
        memcpy(&half[1], from + n - 4, 4);
        memcpy(to, &half[0], 4);
        memcpy(to + n - 4, &half[1], 4);
    } else if (n > 0) {
        const uint8_t first = from[0], middle = from[n / 2], last = from[n - 1];
        to[0] = first;
        to[n / 2] = middle;
        to[n - 1] = last;
    }
}

/* ---- in messages ----------------------------------------------------------------------------- */

/** sm_error_place() for an object's name that need not end with a NUL. */
void sm_error_place_str(sm_error *e, sm_str object, int64_t line, int64_t byte);

/**
 * The name that is nearest to `wanted`, for "did you mean".
 *
 * Shape     by edit distance, in which a letter's case counts half; never `wanted` itself; the
 *           first of equally near names
 * Owner     the `data` of one of the names; a caller that prints it as a C string must pass names
 *           that end with a NUL (an arena's strings do)
 * Returns   NULL if no name is near
 */
const char *sm_nearest_name(sm_str wanted, const sm_str *names, int64_t n_names);

#endif
