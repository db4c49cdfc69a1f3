/* SPDX-License-Identifier: Apache-2.0
 *
 * base/memory.c: plain allocation, budgets, blocks.
 *
 * Budgets  A take raises `used` level by level from the leaf to the root, each by compare and swap,
 *          so no level ever exceeds its limit. If one level refuses, the levels below it give the
 *          bytes back. The peak is raised after all levels agreed.
 * Blocks   One allocation: 64 bytes of header, the data, then the zeroed pad. The budget is charged
 *          with all of it.
 * Reuse    Most blocks are a range of a file or an array of a batch. They are freed after one
 *          morsel, and the next morsel needs blocks of the same size. If each were returned to the
 *          system, it would be mapped, faulted in page by page and unmapped every time, which took
 *          a third of the processor time of grouping 1 GB of logs. So the root of a budget tree
 *          keeps freed blocks in lists by size (eight sizes a doubling). The last freed is reused
 *          first, as it may still be in the cache. Kept blocks stay charged to the root; it returns
 *          them all to the system before it refuses a take.
 * Holes    Freed memory below what still lives stays with the system's allocator, and no budget
 *          counts it: a load within 96 MB left 35 MB of it to the sort that followed, which then
 *          had 102 MB at the peak. So a root that knows what the process may hold looks at what
 *          it does hold, and returns such memory to the system where that comes near. */
#include "base/memory.h"

#include <inttypes.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/poison_int.h"
#include "base/thread.h"
#include "base/time.h"

#define BLOCK_ALIGN ((size_t)64)
/* Blocks of these costs are kept. For smaller ones the system is as fast; larger ones are rare. */
#define KEPT_LEAST_LOG2 13
#define KEPT_MOST_LOG2  22
#define KEPT_STEPS      8 /* sizes a doubling: at most an eighth of a block is unused */
#define KEPT_LISTS      ((KEPT_MOST_LOG2 - KEPT_LEAST_LOG2) * KEPT_STEPS + 1)
/* A root keeps at most so many bytes, and at most this part of its limit. */
#define KEPT_MOST_BYTES ((size_t)64 << 20)
#define KEPT_SHARE      16
/* Parts of what the process may hold: a look whenever so much was taken; how near is near; how much
 * more it holds than after the last return, before another one is worth it. */
#define LOOK_SHARE  64
#define NEAR_SHARE  8
#define AGAIN_SHARE 32

/* ---- plain allocation ------------------------------------------------------------------------ */

static _Atomic int64_t live_allocs;

static void *count_alloc(void *p)
{
    atomic_fetch_add_explicit(&live_allocs, 1, memory_order_relaxed);
    return p;
}

static void uncount_alloc(void)
{
    atomic_fetch_sub_explicit(&live_allocs, 1, memory_order_relaxed);
}

void *sm_alloc(size_t bytes)
{
    void *p = malloc(bytes ? bytes : 1);
    if (!p) {
        sm_out_of_memory(bytes);
    }
    return count_alloc(p);
}

void *sm_alloc_zero(size_t bytes)
{
    void *p = calloc(1, bytes ? bytes : 1);
    if (!p) {
        sm_out_of_memory(bytes);
    }
    return count_alloc(p);
}

void *sm_realloc(void *p, size_t bytes)
{
    void *grown = realloc(p, bytes ? bytes : 1);
    if (!grown) {
        sm_out_of_memory(bytes);
    }
    return p ? grown : count_alloc(grown);
}

void sm_free(void *p)
{
    if (p) {
        uncount_alloc();
        free(p);
    }
}

_Noreturn void sm_out_of_memory(size_t bytes)
{
    char text[128];
    const int len =
        snprintf(text, sizeof(text), "smelt: out of memory: the system refused %zu bytes\n", bytes);
    if (len > 0) {
        const ssize_t written = write(STDERR_FILENO, text, (size_t)len);
        (void)written; /* the process ends either way */
    }
    _exit(sm_status_exit(SM_NOMEM)); /* no handlers: they may want memory */
}

/* By default glibc gives each thread a heap of its own, which keeps memory that another thread
 * frees: a load of 500 MB of logs with 7 threads peaked at 272 MB, and at 186 MB with one heap. By
 * default glibc also puts allocations of up to 32 MiB on the heap once one of that size was freed.
 * When allocations from 128 KiB on are mapped one by one instead, `smelt run` of 1 GB of logs into
 * one table peaks at 81 MB instead of 134, and grouping them at 314 MB instead of 416, 5 to 6%
 * slower (peaks by /usr/bin/time -v, single runs). */
void sm_memory_tune(void)
{
    mallopt(M_ARENA_MAX, 1);
    mallopt(M_MMAP_THRESHOLD, 128 * 1024);
    mallopt(M_TRIM_THRESHOLD, 1024 * 1024);
}

/* Memory that was returned to the system costs a page fault for each 4 KiB when it is allocated
 * again, 2 us on a virtual machine. When it stays on the heap, grouping 1 GB of logs by customer
 * takes 55,000 faults instead of 73,000 and 3% less time, loading it 41,000 instead of 76,000 and
 * 8% less; the peaks are 217 MB instead of 213, and 161 instead of 127. (Pages of 2 MiB were up to
 * 23% faster on a machine of our own, and up to 23% slower where the host of a virtual machine had
 * to provide them.) */
void sm_memory_tune_roomy(void)
{
    mallopt(M_MMAP_THRESHOLD, 32 * 1024 * 1024);
    mallopt(M_TRIM_THRESHOLD, 64 * 1024 * 1024);
}

int64_t sm_live_allocs(void)
{
    return atomic_load_explicit(&live_allocs, memory_order_relaxed);
}

/* ---- budgets --------------------------------------------------------------------------------- */

/* A free block that a root keeps; the list is linked through the block's first bytes. */
typedef struct kept_block {
    struct kept_block *next;
} kept_block;
_Static_assert(sizeof(kept_block) <= (size_t)1 << KEPT_LEAST_LOG2, "the link fits a kept block");

typedef struct kept_blocks {
    sm_mutex lock;
    kept_block *lists[KEPT_LISTS]; /* under the lock */
    size_t most_bytes;
    _Atomic size_t bytes; /* written under the lock */
} kept_blocks;

struct sm_budget {
    sm_budget *parent;
    sm_budget *root;
    kept_blocks *kept;       /* set in a root, NULL in its children */
    const sm_cancel *cancel; /* its own, or the one inherited from its parent */
    const char *name;
    size_t limit_bytes; /* SIZE_MAX: none of its own */
    size_t fixed_bytes; /* sm_budget_set_overhead */
    int percent;
    size_t resident_most;          /* sm_budget_set_resident; 0: nobody looks */
    _Atomic size_t unseen;         /* taken since the last look */
    _Atomic size_t resident_least; /* that was seen since the last return */
    _Atomic size_t used, peak;
    _Atomic int32_t children;
};

sm_budget *sm_budget_new(sm_budget *parent, const char *name, size_t limit_bytes)
{
    SM_ASSERT(name); /* refusals print it */
    sm_budget *b = sm_alloc_zero(sizeof(*b));
    b->parent = parent;
    b->name = name;
    b->limit_bytes = limit_bytes ? limit_bytes : SIZE_MAX;
    b->root = parent ? parent->root : b;
    b->cancel = parent ? parent->cancel : NULL;
    if (parent) {
        atomic_fetch_add(&parent->children, 1);
        return b;
    }
    b->kept = sm_alloc_zero(sizeof(*b->kept));
    sm_mutex_init(&b->kept->lock);
    const size_t share = b->limit_bytes / KEPT_SHARE;
    b->kept->most_bytes = share < KEPT_MOST_BYTES ? share : KEPT_MOST_BYTES;
    return b;
}

void sm_budget_set_overhead(sm_budget *b, size_t fixed_bytes, int percent)
{
    SM_ASSERT(percent >= 0 && percent < 100);
    b->fixed_bytes = fixed_bytes;
    b->percent = percent;
}

void sm_budget_set_resident(sm_budget *root, size_t most_bytes)
{
    SM_ASSERT(!root->parent && atomic_load(&root->children) == 0);
    root->resident_most = most_bytes;
}

void sm_budget_set_cancel(sm_budget *b, const sm_cancel *cancel)
{
    SM_ASSERT(atomic_load(&b->children) == 0);
    b->cancel = cancel;
}

sm_status sm_check_cancel(const sm_budget *b, sm_error *e)
{
    return b && sm_cancel_is_set(b->cancel) ? sm_fail(e, SM_INTERRUPTED, "interrupted") : SM_OK;
}

static void give_level(sm_budget *b, size_t bytes)
{
    const size_t before = atomic_fetch_sub_explicit(&b->used, bytes, memory_order_relaxed);
    SM_ENSURE(before >= bytes);
}

/* Returns all kept blocks of a root to the system. Returns whether there were any. */
static bool free_kept_blocks(sm_budget *root)
{
    kept_blocks *kept = root->kept;
    SM_ASSERT(kept && root->root == root);
    sm_mutex_lock(&kept->lock);
    const size_t bytes = atomic_load_explicit(&kept->bytes, memory_order_relaxed);
    for (int i = 0; i < KEPT_LISTS; i++) {
        for (kept_block *k = kept->lists[i]; k;) {
            kept_block *next = k->next;
            free(k); /* live_allocs does not count kept blocks */
            k = next;
        }
        kept->lists[i] = NULL;
    }
    atomic_store_explicit(&kept->bytes, 0, memory_order_relaxed);
    give_level(root, bytes);
    sm_mutex_unlock(&kept->lock);
    return bytes > 0;
}

void sm_budget_free(sm_budget *b)
{
    if (!b) {
        return;
    }
    SM_ASSERT(atomic_load(&b->children) == 0);
    if (b->kept) {
        free_kept_blocks(b);
        sm_mutex_release(&b->kept->lock);
        sm_free(b->kept);
    }
    SM_ASSERT(atomic_load(&b->used) == 0);
    if (b->parent) {
        atomic_fetch_sub(&b->parent->children, 1);
    }
    sm_free(b);
}

static void raise_peak(sm_budget *b)
{
    const size_t used = atomic_load_explicit(&b->used, memory_order_relaxed);
    size_t peak = atomic_load_explicit(&b->peak, memory_order_relaxed);
    while (used > peak && !atomic_compare_exchange_weak_explicit(
                              &b->peak, &peak, used, memory_order_relaxed, memory_order_relaxed)) {
    }
}

/* Takes bytes from one level. Returns false if its limit refuses; *used is what was in use. */
static bool take_level(sm_budget *b, size_t bytes, size_t *used)
{
    *used = atomic_load_explicit(&b->used, memory_order_relaxed);
    do {
        if (*used > b->limit_bytes || bytes > b->limit_bytes - *used) {
            return false;
        }
    } while (!atomic_compare_exchange_weak_explicit(&b->used, used, *used + bytes,
                                                    memory_order_relaxed, memory_order_relaxed));
    return true;
}

/* The limit that a user has to set for a budget of so many bytes (sm_budget_set_overhead). */
static size_t user_limit(const sm_budget *b, size_t bytes)
{
    return (size_t)((double)(bytes + b->fixed_bytes) * 100.0 / (double)(100 - b->percent));
}

static sm_status refuse_take(const sm_budget *b, size_t bytes, size_t used, sm_error *e)
{
    const size_t mega = 1000000;
    size_t least = 0;
    const bool fits = sm_add_size(used, bytes, &least);

    const sm_status st =
        sm_fail(e, SM_BUDGET, "memory budget \"%s\" refused %zu bytes: %zu of %zu are in use",
                b->name, bytes, used, b->limit_bytes);
    if (!fits || least > SIZE_MAX / 4) {
        return st; /* no limit would be enough */
    }
    /* Later requests are not known; half as much again leaves room for them. */
    const size_t enough = b->limit_bytes / 2 * 3;
    const size_t advice = user_limit(b, least > enough ? least : enough);
    if (advice < mega) {
        sm_error_todo(e, "Raise the memory limit of %s to %zu bytes or more.", b->name, advice);
    } else { /* rounded up, so that following the advice works */
        sm_error_todo(e, "Raise the memory limit of %s to %zuMB or more.", b->name,
                      advice / mega + (advice % mega != 0));
    }
    return st;
}

/* Returns what the allocator keeps to the system if the process, with the bytes that are about to
 * be allocated, comes near what it may hold. Two threads may do so at once, which does no harm. */
static void watch_resident(sm_budget *root, size_t bytes)
{
    const size_t most = root->resident_most;
    if (most == 0 || atomic_fetch_add_explicit(&root->unseen, bytes, memory_order_relaxed) + bytes <
                         most / LOOK_SHARE) {
        return;
    }
    atomic_store_explicit(&root->unseen, 0, memory_order_relaxed);
    const size_t now = (size_t)sm_resident_bytes();
    const size_t least = atomic_load_explicit(&root->resident_least, memory_order_relaxed);
    if (now + bytes > most - most / NEAR_SHARE && now >= least + most / AGAIN_SHARE) {
        malloc_trim(0);
        atomic_store_explicit(&root->resident_least, (size_t)sm_resident_bytes(),
                              memory_order_relaxed);
    } else if (now < least) {
        atomic_store_explicit(&root->resident_least, now, memory_order_relaxed);
    }
}

/* Takes bytes from all levels from b up to the one below `end`, or from none. With `end` NULL the
 * root is included. */
static sm_status take_below(sm_budget *b, const sm_budget *end, size_t bytes, sm_error *e)
{
    SM_ASSERT(!end || end == b->root);
    for (sm_budget *level = b; level != end; level = level->parent) {
        size_t used = 0;
        bool fits = take_level(level, bytes, &used);
        if (!fits && level->kept && free_kept_blocks(level)) {
            fits = take_level(level, bytes, &used);
        }
        if (!fits) {
            for (sm_budget *below = b; below != level; below = below->parent) {
                give_level(below, bytes);
            }
            return refuse_take(level, bytes, used, e);
        }
    }
    for (sm_budget *level = b; level != end; level = level->parent) {
        raise_peak(level);
    }
    if (!end && b) {
        watch_resident(b->root, bytes);
    }
    return SM_OK;
}

static void give_below(sm_budget *b, const sm_budget *end, size_t bytes)
{
    for (sm_budget *level = b; level != end; level = level->parent) {
        give_level(level, bytes);
    }
}

sm_status sm_budget_take(sm_budget *b, size_t bytes, sm_error *e)
{
    return take_below(b, NULL, bytes, e);
}

void sm_budget_force(sm_budget *b, size_t bytes)
{
    for (sm_budget *level = b; level; level = level->parent) {
        atomic_fetch_add_explicit(&level->used, bytes, memory_order_relaxed);
        raise_peak(level);
    }
}

void sm_budget_give(sm_budget *b, size_t bytes)
{
    give_below(b, NULL, bytes);
}

size_t sm_budget_used(const sm_budget *b)
{
    const size_t used = atomic_load_explicit(&b->used, memory_order_relaxed);
    const size_t kept = b->kept ? atomic_load_explicit(&b->kept->bytes, memory_order_relaxed) : 0;
    return used > kept ? used - kept : 0;
}

size_t sm_budget_peak(const sm_budget *b)
{
    return atomic_load_explicit(&b->peak, memory_order_relaxed);
}

size_t sm_budget_room(const sm_budget *b)
{
    size_t room = SIZE_MAX;
    for (const sm_budget *level = b; level; level = level->parent) {
        if (level->limit_bytes == SIZE_MAX) {
            continue;
        }
        const size_t used = sm_budget_used(level);
        const size_t here = used < level->limit_bytes ? level->limit_bytes - used : 0;
        room = here < room ? here : room;
    }
    return room;
}

size_t sm_budget_limit(const sm_budget *b)
{
    size_t limit = SIZE_MAX;
    for (const sm_budget *level = b; level; level = level->parent) {
        limit = level->limit_bytes < limit ? level->limit_bytes : limit;
    }
    return limit;
}

/* ---- blocks ---------------------------------------------------------------------------------- */

_Static_assert(sizeof(sm_block) <= BLOCK_ALIGN, "the header fits before the data");

/* The list in which free blocks of this cost are kept, and *cost rounded up to the cost of all
 * blocks in that list. Returns −1 and leaves *cost as it is if such blocks are not kept. */
static int list_of(size_t *cost)
{
    if (*cost < (size_t)1 << KEPT_LEAST_LOG2 || *cost > (size_t)1 << KEPT_MOST_LOG2) {
        return -1;
    }
    const int log2 = 63 - __builtin_clzll(*cost);
    const size_t step = ((size_t)1 << log2) / KEPT_STEPS;
    const size_t rounded = (*cost + step - 1) & ~(step - 1);
    const size_t nth = (rounded >> log2 > 1) ? KEPT_STEPS : rounded / step - KEPT_STEPS;
    SM_ASSERT(rounded >= *cost && rounded % BLOCK_ALIGN == 0 && nth <= KEPT_STEPS);
    *cost = rounded;
    return (log2 - KEPT_LEAST_LOG2) * KEPT_STEPS + (int)nth;
}

/* The cost of a block of `bytes` and its list of kept blocks. Returns false on an overflow. */
static bool block_cost(size_t bytes, size_t *cost, int *list)
{
    size_t sum = 0;
    if (!sm_add_size(bytes, BLOCK_ALIGN + SM_PAD_BYTES + BLOCK_ALIGN - 1, &sum)) {
        return false;
    }
    *cost = sum & ~(BLOCK_ALIGN - 1);
    *list = list_of(cost);
    return true;
}

/* Takes a kept block from its list; the root is charged with it already. NULL: there is none. */
static void *take_kept(sm_budget *root, int list, size_t cost)
{
    kept_blocks *kept = root->kept;
    SM_ASSERT(kept && list >= 0 && list < KEPT_LISTS);
    sm_mutex_lock(&kept->lock);
    kept_block *k = kept->lists[list];
    if (k) {
        SM_UNPOISON(k, cost);
        SM_ASSERT(atomic_load(&kept->bytes) >= cost);
        kept->lists[list] = k->next;
        atomic_fetch_sub_explicit(&kept->bytes, cost, memory_order_relaxed);
    }
    sm_mutex_unlock(&kept->lock);
    return k;
}

/* Keeps a freed block, which stays charged to the root. Returns false if enough are kept. */
static bool keep_block(sm_budget *root, int list, size_t cost, void *block)
{
    kept_blocks *kept = root->kept;
    kept_block *k = block;
    SM_ASSERT(kept && list >= 0 && list < KEPT_LISTS);
    sm_mutex_lock(&kept->lock);
    const size_t bytes = atomic_load_explicit(&kept->bytes, memory_order_relaxed);
    const bool has_room = cost <= kept->most_bytes && bytes <= kept->most_bytes - cost;
    if (has_room) {
        k->next = kept->lists[list];
        kept->lists[list] = k;
        atomic_store_explicit(&kept->bytes, bytes + cost, memory_order_relaxed);
        SM_POISON((uint8_t *)k + sizeof(*k), cost - sizeof(*k));
    }
    sm_mutex_unlock(&kept->lock);
    return has_room;
}

/* Memory for a block, charged to b; NULL on failure, with *st set. */
static void *block_memory(sm_budget *b, int list, size_t cost, sm_status *st, sm_error *e)
{
    void *kept = b && list >= 0 ? take_kept(b->root, list, cost) : NULL;
    *st = kept ? take_below(b, b->root, cost, e) : b ? sm_budget_take(b, cost, e) : SM_OK;
    if (*st != SM_OK) {
        if (kept) {
            free(kept);
            give_level(b->root, cost);
        }
        return NULL;
    }
    void *memory = kept ? kept : aligned_alloc(BLOCK_ALIGN, cost);
    if (!memory) {
        if (b) {
            sm_budget_give(b, cost);
        }
        *st = sm_fail(e, SM_NOMEM, "the system refused %zu bytes", cost);
        return NULL;
    }
    return count_alloc(memory);
}

sm_status sm_block_new(sm_budget *b, size_t bytes, sm_block **out, sm_error *e)
{
    size_t cost = 0;
    int list = -1;
    sm_status st = SM_OK;
    if (!block_cost(bytes, &cost, &list)) {
        return sm_fail(e, SM_NOMEM, "a block of %zu bytes cannot be addressed", bytes);
    }
    sm_block *block = block_memory(b, list, cost, &st, e);
    if (!block) {
        return st;
    }
    *block = (sm_block){
        .data = (uint8_t *)block + BLOCK_ALIGN,
        .size_bytes = bytes,
        .budget = b,
        .refs = 1,
    };
    memset(block->data + bytes, 0, SM_PAD_BYTES);
    *out = block;
    return SM_OK;
}

sm_block *sm_block_slice(sm_block *whole, size_t off, size_t len)
{
    SM_ASSERT(off <= whole->size_bytes && len <= whole->size_bytes - off);
    sm_block *slice = sm_alloc(sizeof(*slice));
    *slice = (sm_block){
        .data = whole->data + off, .size_bytes = len, .whole = sm_block_retain(whole), .refs = 1};
    return slice;
}

sm_block *sm_block_retain(sm_block *block)
{
    const int32_t before = atomic_fetch_add_explicit(&block->refs, 1, memory_order_relaxed);
    SM_ENSURE(before > 0);
    return block;
}

void sm_block_release(sm_block *block)
{
    if (!block) {
        return;
    }
    const int32_t before = atomic_fetch_sub_explicit(&block->refs, 1, memory_order_acq_rel);
    SM_ENSURE(before > 0);
    if (before > 1) {
        return;
    }
    if (block->whole) {
        sm_block_release(block->whole);
        sm_free(block);
        return;
    }
    SM_ASSERT(block->data == (uint8_t *)block + BLOCK_ALIGN); /* the caller moved its own pointer */
    size_t cost = 0;
    int list = -1;
    const bool fits = block_cost(block->size_bytes, &cost, &list);
    SM_ENSURE(fits);
    sm_budget *budget = block->budget;
    if (budget && list >= 0 && keep_block(budget->root, list, cost, block)) {
        uncount_alloc();
        give_below(budget, budget->root, cost);
        return;
    }
    sm_free(block);
    if (budget) {
        sm_budget_give(budget, cost);
    }
}
