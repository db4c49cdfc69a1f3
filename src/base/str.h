/* SPDX-License-Identifier: Apache-2.0
 *
 * base/str.h: strings that are borrowed: bytes with a length. Who needs a copy makes it in an arena
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

/** Of text that is ended by NUL. Borrows it; NULL is empty. */
static inline sm_str sm_str_of(const char *c_string)
{
    return (sm_str){c_string, c_string ? strlen(c_string) : 0};
}

/* ---- comparing ------------------------------------------------------------------------------- */

/** The same bytes? */
static inline bool sm_str_eq(sm_str a, sm_str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}
/** The bytes of a text that is ended by NUL? */
static inline bool sm_str_is(sm_str a, const char *c_string)
{
    return sm_str_eq(a, sm_str_of(c_string));
}
bool sm_str_starts(sm_str s, sm_str prefix); /* an empty one too */
bool sm_str_ends(sm_str s, sm_str suffix);   /* an empty one too */
bool sm_str_eq_nocase(sm_str a, sm_str b);   /* ASCII letters only */
/** -1, 0 or 1: bytewise, the shorter first. */
int sm_str_cmp(sm_str a, sm_str b);

/* ---- in messages ----------------------------------------------------------------------------- */

/** sm_error_place of an object's name that may not be ended by NUL. */
void sm_error_place_str(sm_error *e, sm_str object, int64_t line, int64_t byte);

/**
 * The name nearest to `wanted`, for "did you mean".
 *
 * Shape     by edit distance, where case counts half; never `wanted` itself; of equals the first
 * Owner     the `data` of one of the names. Printed as a C string, so give names that are ended by
 *           NUL (an arena's are).
 * Returns   NULL where none is near
 */
const char *sm_nearest_name(sm_str wanted, const sm_str *names, int64_t n_names);

#endif
