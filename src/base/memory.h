/* SPDX-License-Identifier: Apache-2.0
 *
 * base/memory.h: where memory comes from. Budgets (a tree: process > query > operator), blocks
 * (counted buffers that hold data) and the plain allocations that only base and its doors make.
 *
 * Two kinds of memory, told apart on purpose:
 *   data      rows, file bytes, hash tables: sm_block, always asked of a budget; "no" is SM_BUDGET,
 *             the cue to spill or to fail with the least limit that would do.
 *   metadata  names, plans, log entries: sm_arena (arena.h), counted in its budget but never
 *             refused by it; where the system itself has no memory left, the process ends by
 *             sm_out_of_memory(). A lake is safe under that as under any other kill.
 * Threads: every function may be called from any thread. */
#ifndef SM_BASE_MEMORY_H
#define SM_BASE_MEMORY_H

#include "base/status.h"

/* Readable (not meaningful) bytes after the end of every block, so that SIMD may overrun. */
#define SM_PAD_BYTES 64

/* ---- plain allocation ------------------------------------------------------------------------ */

/** Never NULL; zeroed for sm_alloc_zero. Bytes may be 0. Ends the process when memory is out. */
void *sm_alloc(size_t bytes);
void *sm_alloc_zero(size_t bytes);
void *sm_realloc(void *p, size_t bytes);
void sm_free(void *p); /* takes NULL */
_Noreturn void sm_out_of_memory(size_t bytes);

/** a * b into *out; false if it does not fit. For every size that input can choose. */
static inline bool sm_mul_size(size_t a, size_t b, size_t *out)
{
    return !__builtin_mul_overflow(a, b, out);
}
static inline bool sm_add_size(size_t a, size_t b, size_t *out)
{
    return !__builtin_add_overflow(a, b, out);
}

/** Keeps the system's allocator from hoarding: one heap for all threads. For a program to call once
 * at its start; a library leaves its host's allocator alone. */
void sm_memory_tune(void);
/** Blocks on that heap too, for a program that may take gigabytes: faster, and a little larger. */
void sm_memory_tune_roomy(void);

/** Allocations of this door that were not freed yet, by everyone: what a leak test compares. */
int64_t sm_live_allocs(void);

/* ---- budgets --------------------------------------------------------------------------------- */

typedef struct sm_budget sm_budget;
typedef struct sm_cancel sm_cancel; /* thread.h */

/** A node under `parent` (NULL: a root). limit_bytes 0: only the parents limit it. `name` is
 * borrowed and must outlive it. Freed after its children and with nothing taken (asserted). */
sm_budget *sm_budget_new(sm_budget *parent, const char *name, size_t limit_bytes);
void sm_budget_free(sm_budget *b);
/** What the user's own limit has beyond this budget: so many bytes and so many per cent of itself.
 * Refusals then advise in the user's terms. */
void sm_budget_set_overhead(sm_budget *b, size_t fixed_bytes, int percent);

/** The flag that stops the work whose memory this budget and all below it count; NULL: that of the
 * parent no longer holds. A kernel or a function knows its memory, not its run: so it finds the
 * flag. To be set before there are budgets below (asserted), which take it over. */
void sm_budget_set_cancel(sm_budget *b, const sm_cancel *cancel);
/** SM_INTERRUPTED where that flag is set. For each batch, and for about every millisecond of a loop
 * whose length the input decides. Takes NULL, the budget of what nobody stops. */
sm_status sm_check_cancel(const sm_budget *b, sm_error *e) SM_MUST_USE;
/* Of a loop whose rounds take some nanoseconds: a millisecond or two. */
#define SM_LOOK_ROWS 32768
/** The same in such a loop, at number i. */
static inline sm_status sm_check_cancel_at(const sm_budget *b, int64_t i, sm_error *e)
{
    return (i & (SM_LOOK_ROWS - 1)) == 0 ? sm_check_cancel(b, e) : SM_OK;
}

/** Takes bytes here and in every parent, or nowhere: SM_BUDGET, with the budget's name, what was
 * asked, what is in use, and a limit that would do for this and half as much again. */
sm_status sm_budget_take(sm_budget *b, size_t bytes, sm_error *e) SM_MUST_USE;
/** Takes without asking; for metadata, and for what must exist for a refusal to be handled. */
void sm_budget_force(sm_budget *b, size_t bytes);
void sm_budget_give(sm_budget *b, size_t bytes);

size_t sm_budget_used(const sm_budget *b);
size_t sm_budget_peak(const sm_budget *b);
/** What a take could get now: the least of (limit − used) up the tree; SIZE_MAX where unlimited. */
size_t sm_budget_room(const sm_budget *b);
/** The least limit up the tree; SIZE_MAX where there is none. */
size_t sm_budget_limit(const sm_budget *b);

/* ---- blocks ---------------------------------------------------------------------------------- */

/* A counted buffer; what it holds at first is arbitrary: memory is used again under one root
 * budget. `data` is 64-byte aligned and followed by SM_PAD_BYTES. Whoever holds a reference may
 * read; only a sole holder that has not shared it yet may write. */
typedef struct sm_block {
    uint8_t *data;
    size_t size_bytes;
    struct sm_budget *budget;
    _Atomic int32_t refs;
} sm_block;

sm_status sm_block_new(sm_budget *b, size_t bytes, sm_block **out, sm_error *e) SM_MUST_USE;
sm_block *sm_block_retain(sm_block *block); /* returns it */
void sm_block_release(sm_block *block);     /* takes NULL */

#endif
