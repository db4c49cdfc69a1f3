/* SPDX-License-Identifier: Apache-2.0
 *
 * base/arena.h: memory that ends with what it serves (a query, a snapshot, a document), and the
 * strings that live in it. For metadata; rows live in blocks (memory.h).
 * Threads: one at a time. */
#ifndef SM_BASE_ARENA_H
#define SM_BASE_ARENA_H

#include "base/memory.h"
#include "base/str.h"

typedef struct sm_arena sm_arena;

/** Counted in `budget` (NULL: uncounted). Chunks start small and double to 1 MiB. */
sm_arena *sm_arena_new(sm_budget *budget);
void sm_arena_free(sm_arena *a);  /* takes NULL */
void sm_arena_reset(sm_arena *a); /* empties it, keeps one chunk */

/** Never NULL, 16-byte aligned, zeroed. Poisoned beyond its end in sanitizer builds. */
void *sm_arena_alloc(sm_arena *a, size_t bytes);
#define SM_NEW(arena, type)          ((type *)sm_arena_alloc((arena), sizeof(type)))
#define SM_NEW_ARRAY(arena, type, n) ((type *)sm_arena_array((arena), (size_t)(n), sizeof(type)))
/** Dies on overflow: n is ours. A count that input chose is checked with sm_mul_size first. */
void *sm_arena_array(sm_arena *a, size_t n, size_t size_bytes);

/** Grows an array that lives in the arena: returns `items` with room for one more after n (its
 * capacity is *cap, doubled when full; the old one stays in the arena). */
void *sm_arena_grow(sm_arena *a, void *items, int64_t n, int64_t *cap, size_t size_bytes);

/* ---- strings in it --------------------------------------------------------------------------- */

/** Copies into the arena; the copy is ended by a NUL that len does not count. */
sm_str sm_arena_str(sm_arena *a, sm_str s);
/** Text made in the arena, ended by a NUL. */
char *sm_arena_printf(sm_arena *a, const char *fmt, ...) SM_PRINTF(2, 3);
/** The same, with its length. */
sm_str sm_arena_strf(sm_arena *a, const char *fmt, ...) SM_PRINTF(2, 3);

#endif
