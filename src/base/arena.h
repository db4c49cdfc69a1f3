/* SPDX-License-Identifier: Apache-2.0
 *
 * base/arena.h: memory that ends with what it serves (a query, a snapshot, a document), and the
 * strings that live in it. For metadata; rows live in blocks (memory.h).
 * Threads: one at a time. */
#ifndef SM_BASE_ARENA_H
#define SM_BASE_ARENA_H

#include <stdarg.h>
#include <string.h>

#include "base/memory.h"

typedef struct sm_arena sm_arena;

/** Counted in `budget` (NULL: uncounted). Chunks start small and double to 1 MiB. */
sm_arena *sm_arena_new(sm_budget *budget);
void sm_arena_free(sm_arena *a);  /* takes NULL */
void sm_arena_reset(sm_arena *a); /* empties it, keeps one chunk */

/** Never NULL, 16-byte aligned, zeroed. Poisoned beyond its end in sanitizer builds. */
void *sm_arena_alloc(sm_arena *a, size_t bytes);
#define SM_NEW(arena, type) ((type *)sm_arena_alloc((arena), sizeof(type)))
/* Dies on overflow: n is ours. A count that input chose is checked with sm_mul_size first. */
#define SM_NEW_ARRAY(arena, type, n) ((type *)sm_arena_array((arena), (size_t)(n), sizeof(type)))
void *sm_arena_array(sm_arena *a, size_t n, size_t size_bytes);

/** Grows an array that lives in the arena: returns `items` with room for one more after n (its
 * capacity is *cap, doubled when full; the old one stays in the arena). */
void *sm_arena_grow(sm_arena *a, void *items, int64_t n, int64_t *cap, size_t size_bytes);

/* ---- strings --------------------------------------------------------------------------------- */

/* Bytes with a length; not ended by NUL unless a comment says so. Borrowed. */
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

static inline sm_str sm_str_of(const char *c_string)
{
    return (sm_str){c_string, c_string ? strlen(c_string) : 0};
}
static inline bool sm_str_eq(sm_str a, sm_str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}
static inline bool sm_str_is(sm_str a, const char *c_string)
{
    return sm_str_eq(a, sm_str_of(c_string));
}
bool sm_str_starts(sm_str s, sm_str prefix);
bool sm_str_ends(sm_str s, sm_str suffix);
bool sm_str_eq_nocase(sm_str a, sm_str b); /* ASCII letters only */
int sm_str_cmp(sm_str a, sm_str b);        /* bytewise, the shorter first */
/** sm_error_place of an object's name that may not be ended by NUL. */
void sm_error_place_str(sm_error *e, sm_str object, int64_t line, int64_t byte);

/** Copies into the arena; the copy is ended by a NUL that len does not count. */
sm_str sm_arena_str(sm_arena *a, sm_str s);
char *sm_arena_printf(sm_arena *a, const char *fmt, ...) SM_PRINTF(2, 3);
sm_str sm_arena_strf(sm_arena *a, const char *fmt, ...) SM_PRINTF(2, 3);

/* ---- a growing buffer ------------------------------------------------------------------------ */

/* Bytes that grow up to a bound its maker sets. `{0}` is empty, unbounded and uncounted. */
typedef struct sm_buf {
    uint8_t *data;
    size_t len, cap;
    size_t max_bytes;  /* never passed: SM_LIMIT; 0: no bound */
    sm_budget *budget; /* counted here where set */
} sm_buf;

void sm_buf_release(sm_buf *b);
void sm_buf_reset(sm_buf *b); /* len = 0, keeps the memory */
/** Makes room for `more` bytes after len. SM_LIMIT or SM_BUDGET. */
sm_status sm_buf_reserve(sm_buf *b, size_t more, sm_error *e) SM_MUST_USE;
sm_status sm_buf_add(sm_buf *b, const void *bytes, size_t n, sm_error *e) SM_MUST_USE;

/** Text output for buffers without bound and budget: cannot fail. */
void sm_buf_text(sm_buf *b, sm_str s);
void sm_buf_printf(sm_buf *b, const char *fmt, ...) SM_PRINTF(2, 3);
/** Appends s as a JSON string, quotes and escapes included. */
void sm_buf_json_str(sm_buf *b, sm_str s);
static inline sm_str sm_buf_str(const sm_buf *b)
{
    return (sm_str){(const char *)b->data, b->len};
}

#endif
