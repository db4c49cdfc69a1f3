/* SPDX-License-Identifier: Apache-2.0
 *
 * base/arena.h: memory for many small things that are freed together, with the query, snapshot or
 * document that they belong to. For metadata and strings; rows live in blocks (memory.h).
 * Threads: one at a time. */
#ifndef SM_BASE_ARENA_H
#define SM_BASE_ARENA_H

#include "base/buf.h"
#include "base/memory.h"
#include "base/str.h"

typedef struct sm_arena sm_arena;

/**
 * An empty arena.
 *
 * Owner     keeps a pointer to `budget` (NULL: uncounted), which must outlive the arena
 * Cost      memory comes in chunks, of 2 KiB at first, doubling to 1 MiB. They are counted in the
 *           budget, which cannot refuse them.
 */
sm_arena *sm_arena_new(sm_budget *budget);
void sm_arena_free(sm_arena *a);               /* takes NULL */
sm_budget *sm_arena_budget(const sm_arena *a); /* NULL: uncounted */
void sm_arena_reset(sm_arena *a); /* frees its content, keeps one chunk of at most 1 MiB */

/** Calls release(object) when the content of the arena is freed, the newest first: for an object
 * that belongs to what is in the arena, but whose memory is not the arena's. */
void sm_arena_defer(sm_arena *a, void (*release)(void *object), void *object);

/** Allocates zeroed bytes, 16-byte aligned. Never NULL. Sanitizer builds poison what follows. */
void *sm_arena_alloc(sm_arena *a, size_t bytes);
#define SM_NEW(arena, type)          ((type *)sm_arena_alloc((arena), sizeof(type)))
#define SM_NEW_ARRAY(arena, type, n) ((type *)sm_arena_array((arena), (size_t)(n), sizeof(type)))
/** Allocates a zeroed array. An overflow ends the process: check a count that comes from input with
 * sm_mul_size() first. */
void *sm_arena_array(sm_arena *a, size_t n, size_t size_bytes);

/**
 * Makes room for one more item in an array of the arena.
 *
 * Shape     n items are in use, *cap fit; *cap doubles when the array is full
 * Owner     returns `items`, or a copy with more room; the old array stays in the arena, unused
 */
void *sm_arena_grow(sm_arena *a, void *items, int64_t n, int64_t *cap, size_t size_bytes);

/* ---- strings in it --------------------------------------------------------------------------- */

/** Copies s into the arena. The copy ends with a NUL that its len does not count. */
sm_str sm_arena_str(sm_arena *a, sm_str s);
/** The content of a buffer without a budget as a text of the arena, which ends with a NUL; a long
 * one is not copied. The buffer is empty then. */
sm_str sm_arena_take(sm_arena *a, sm_buf *b);
/** Formats a text into the arena; it ends with a NUL. */
char *sm_arena_printf(sm_arena *a, const char *fmt, ...) SM_PRINTF(2, 3);
/** The same, returned with its length. */
sm_str sm_arena_strf(sm_arena *a, const char *fmt, ...) SM_PRINTF(2, 3);

#endif
