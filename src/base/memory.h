/* SPDX-License-Identifier: Apache-2.0
 *
 * base/memory.h: where memory comes from: plain allocation, budgets (a tree: engine > run >
 * operator) and blocks (counted buffers that hold data).
 *
 * There are two kinds of memory:
 *   data      rows, file bytes, hash tables: sm_block. Each block is asked of a budget, which may
 *             refuse it with SM_BUDGET; the caller then spills, or fails and names a limit that
 *             would have been enough.
 *   metadata  names, plans, log entries: sm_arena (arena.h). It is counted in a budget but never
 *             refused. If the system has no memory left, sm_out_of_memory() ends the process; for
 *             the tables of a lake that is no worse than any other kill.
 * Threads: every function may be called from any thread. */
#ifndef SM_BASE_MEMORY_H
#define SM_BASE_MEMORY_H

#include "base/status.h"

/* Readable bytes of no meaning after the end of every block, so that SIMD loads may overrun it. */
#define SM_PAD_BYTES 64

/* ---- plain allocation ------------------------------------------------------------------------ */

/** Allocates bytes, of which there may be 0. Never NULL: it ends the process when memory is out. */
void *sm_alloc(size_t bytes);
void *sm_alloc_zero(size_t bytes);       /* the same, zeroed */
void *sm_realloc(void *p, size_t bytes); /* the same, with the bytes of p, which may be NULL */
void sm_free(void *p);                   /* takes NULL */
/** Says on stderr that the system refused so many bytes, and ends the process. */
_Noreturn void sm_out_of_memory(size_t bytes);

/** a * b into *out; false if it does not fit. For every size that input can choose. */
static inline bool sm_mul_size(size_t a, size_t b, size_t *out)
{
    return !__builtin_mul_overflow(a, b, out);
}
/** a + b into *out; false if it does not fit. */
static inline bool sm_add_size(size_t a, size_t b, size_t *out)
{
    return !__builtin_add_overflow(a, b, out);
}

/** Makes the system's allocator use one heap for all threads and return freed memory early. For a
 * program to call once at its start; a library must leave its host's allocator alone. */
void sm_memory_tune(void);
/** Puts large allocations on that heap too: faster, with a slightly higher peak. For a program that
 * may use gigabytes; call it after sm_memory_tune(). */
void sm_memory_tune_roomy(void);

/** The number of allocations in the process that were not freed yet; leak tests compare it. */
int64_t sm_live_allocs(void);

/* ---- budgets --------------------------------------------------------------------------------- */

typedef struct sm_budget sm_budget;
typedef struct sm_cancel sm_cancel; /* thread.h */

/**
 * A new budget below `parent` (NULL: a root).
 *
 * Owner     keeps a pointer to `parent` and to `name`, both of which must outlive it
 * Units     limit_bytes 0: no limit of its own, only the parents'
 */
sm_budget *sm_budget_new(sm_budget *parent, const char *name, size_t limit_bytes);
/** Frees a budget that has no children and whose memory was all given back (asserted). Takes NULL.
 * */
void sm_budget_free(sm_budget *b);
/** Says how much larger the user's limit is than this budget: by fixed_bytes and by `percent` of
 * the user's limit. The advice of a refusal is then in the user's terms. */
void sm_budget_set_overhead(sm_budget *b, size_t fixed_bytes, int percent);
/** Says how many bytes the process may hold. The root then returns memory that was freed, and that
 * the system's allocator keeps, to the system before the process holds more. To be called while
 * there is no budget below (asserted). */
void sm_budget_set_resident(sm_budget *root, size_t most_bytes);

/** Sets the flag that cancels the work whose memory this budget and all budgets below it count;
 * NULL: none, not even the parent's. A kernel or function knows only its memory, and finds the flag
 * of its run this way. To be called while there is no budget below (asserted); later ones inherit
 * the flag. */
void sm_budget_set_cancel(sm_budget *b, const sm_cancel *cancel);
/**
 * Has the work of this budget been cancelled?
 *
 * Returns   SM_OK, or SM_INTERRUPTED if the flag is set. `b` may be NULL: never cancelled.
 * Cost      one atomic load; call it for each batch, and about once a millisecond in a loop whose
 *           length depends on input
 */
sm_status sm_check_cancel(const sm_budget *b, sm_error *e) SM_MUST_USE;
/* Rows between two checks in a loop that takes nanoseconds for each: a millisecond or two. */
#define SM_LOOK_ROWS 32768
/** The same in such a loop, at row i: checks at every multiple of SM_LOOK_ROWS. */
static inline sm_status sm_check_cancel_at(const sm_budget *b, int64_t i, sm_error *e)
{
    return (i & (SM_LOOK_ROWS - 1)) == 0 ? sm_check_cancel(b, e) : SM_OK;
}

/**
 * Takes bytes from this budget and every parent, or from none of them.
 *
 * Errors    SM_BUDGET, with the name of the budget that refused, the bytes asked for and in use;
 *           the advice is a limit that is enough for this and at least half as much again
 * Threads   any thread
 * Cost      one compare-and-swap a level, and one more for a new peak
 */
sm_status sm_budget_take(sm_budget *b, size_t bytes, sm_error *e) SM_MUST_USE;
/** Takes bytes even beyond the limit: for metadata, and for memory without which a refusal could
 * not be handled. */
void sm_budget_force(sm_budget *b, size_t bytes);
/** Gives bytes back to this budget and every parent. More than was taken ends the process. */
void sm_budget_give(sm_budget *b, size_t bytes);

size_t sm_budget_used(const sm_budget *b); /* bytes in use, without free blocks that a root keeps */
size_t sm_budget_peak(const sm_budget *b); /* the most bytes that were ever taken at a time */
/** The most that a take could get now: the least of (limit − used) up to the root; SIZE_MAX if
 * nothing limits it. */
size_t sm_budget_room(const sm_budget *b);
/** The least limit up to the root; SIZE_MAX if there is none. */
size_t sm_budget_limit(const sm_budget *b);

/* ---- blocks ---------------------------------------------------------------------------------- */

/* A buffer with a reference count, counted in a budget. `data` is 64-byte aligned and followed by
 * SM_PAD_BYTES. Its first content is arbitrary, because freed blocks are reused under a root
 * budget. Any holder of a reference may read; only a sole holder that never shared it may write. */
typedef struct sm_block {
    uint8_t *data;
    size_t size_bytes;
    struct sm_budget *budget;
    struct sm_block *whole; /* that this one is a slice of; retained */
    _Atomic int32_t refs;
} sm_block;

/**
 * A new block of `bytes` bytes, of which there may be 0.
 *
 * Owner     *out is the caller's, to sm_block_release(); it keeps a pointer to `b` (NULL:
 *           uncounted), which must outlive it
 * Units     the budget is charged with `bytes`, 192 more at most, and from 8 KiB to 4 MiB up to an
 *           eighth on top, which is what lets blocks of similar sizes be reused
 * Errors    SM_BUDGET if the budget refuses, SM_NOMEM if the system does
 */
sm_status sm_block_new(sm_budget *b, size_t bytes, sm_block **out, sm_error *e) SM_MUST_USE;
/** Bytes `off` to off + len − 1 of a block, as a block of their own without a copy: it is not
 * aligned, nobody writes it, and it keeps the whole block. The caller's, to sm_block_release(). */
sm_block *sm_block_slice(sm_block *whole, size_t off, size_t len);
sm_block *sm_block_retain(sm_block *block); /* one more reference; returns the block */
void sm_block_release(sm_block *block);     /* one reference less; the last frees it; takes NULL */

#endif
