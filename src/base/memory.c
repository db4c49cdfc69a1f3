/* SPDX-License-Identifier: Apache-2.0
 *
 * base/memory.c: plain allocation with one counter, budgets, blocks.
 *
 * Budgets  A take raises `used` level by level from the leaf to the root, each by compare and swap,
 *          so that no level is ever seen above its limit; where one refuses, the levels below give
 *          back. The peak is raised after the whole path said yes.
 * Blocks   One allocation: 64 bytes of header, the data, then the zeroed pad. The budget is charged
 *          with all of it. */
#include "base/memory.h"

#include <inttypes.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BLOCK_ALIGN ((size_t)64)

/* ---- plain allocation ------------------------------------------------------------------------ */

static _Atomic int64_t live_bytes;

static void *counted(void *p)
{
    atomic_fetch_add_explicit(&live_bytes, (int64_t)malloc_usable_size(p), memory_order_relaxed);
    return p;
}

static void uncount(void *p)
{
    atomic_fetch_sub_explicit(&live_bytes, (int64_t)malloc_usable_size(p), memory_order_relaxed);
}

void *sm_alloc(size_t bytes)
{
    void *p = malloc(bytes ? bytes : 1);
    if (!p) {
        sm_out_of_memory(bytes);
    }
    return counted(p);
}

void *sm_alloc_zero(size_t bytes)
{
    void *p = calloc(1, bytes ? bytes : 1);
    if (!p) {
        sm_out_of_memory(bytes);
    }
    return counted(p);
}

void *sm_realloc(void *p, size_t bytes)
{
    if (p) {
        uncount(p);
    }
    void *grown = realloc(p, bytes ? bytes : 1);
    if (!grown) {
        sm_out_of_memory(bytes);
    }
    return counted(grown);
}

void sm_free(void *p)
{
    if (p) {
        uncount(p);
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

/* By default glibc gives each thread a heap of its own, which keeps what another thread frees: with
 * 7 threads a load of 500 MB of logs peaked at 272 MB, with one heap at 186 MB. It also moves
 * blocks of up to 32 MiB onto the heap once one was freed: mapped by themselves from 128 KiB on,
 * the same program took 81 MB instead of 134 for `smelt run` over 1 GB of logs into one table, and
 * 314 MB instead of 416 for grouping them, 5 to 6% slower (peaks by /usr/bin/time -v, single runs).
 * */
void sm_memory_tune(void)
{
    mallopt(M_ARENA_MAX, 1);
    mallopt(M_MMAP_THRESHOLD, 128 * 1024);
    mallopt(M_TRIM_THRESHOLD, 64 * 1024 * 1024);
}

int64_t sm_live_bytes(void)
{
    return atomic_load_explicit(&live_bytes, memory_order_relaxed);
}

/* ---- budgets --------------------------------------------------------------------------------- */

struct sm_budget {
    sm_budget *parent;
    const char *name;
    size_t limit_bytes; /* SIZE_MAX: none of its own */
    size_t fixed_bytes; /* sm_budget_set_overhead */
    int percent;
    _Atomic size_t used, peak;
    _Atomic int32_t children;
};

sm_budget *sm_budget_new(sm_budget *parent, const char *name, size_t limit_bytes)
{
    sm_budget *b = sm_alloc_zero(sizeof(*b));
    b->parent = parent;
    b->name = name;
    b->limit_bytes = limit_bytes ? limit_bytes : SIZE_MAX;
    if (parent) {
        atomic_fetch_add(&parent->children, 1);
    }
    return b;
}

void sm_budget_set_overhead(sm_budget *b, size_t fixed_bytes, int percent)
{
    SM_ASSERT(percent >= 0 && percent < 100);
    b->fixed_bytes = fixed_bytes;
    b->percent = percent;
}

void sm_budget_free(sm_budget *b)
{
    if (!b) {
        return;
    }
    SM_ASSERT(atomic_load(&b->children) == 0);
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

/* Returns false, and what was in use, where the level's limit refuses. */
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

static void give_level(sm_budget *b, size_t bytes)
{
    const size_t before = atomic_fetch_sub_explicit(&b->used, bytes, memory_order_relaxed);
    SM_ASSERT(before >= bytes);
}

/* The user's limit under which a budget of so many bytes is left. */
static size_t user_limit(const sm_budget *b, size_t bytes)
{
    return (size_t)((double)(bytes + b->fixed_bytes) * 100.0 / (double)(100 - b->percent));
}

static sm_status refuse(const sm_budget *b, size_t bytes, size_t used, sm_error *e)
{
    const size_t mega = 1000000;
    size_t least = 0;
    const bool fits = sm_add_size(used, bytes, &least);

    const sm_status st =
        sm_fail(e, SM_BUDGET, "memory budget \"%s\" refused %zu bytes: %zu of %zu are in use",
                b->name, bytes, used, b->limit_bytes);
    if (!fits || least > SIZE_MAX / 4) {
        return st; /* no limit would do */
    }
    /* What comes after this request is not known: half as much again leaves it room. */
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

sm_status sm_budget_take(sm_budget *b, size_t bytes, sm_error *e)
{
    for (sm_budget *level = b; level; level = level->parent) {
        size_t used = 0;
        if (!take_level(level, bytes, &used)) {
            for (sm_budget *below = b; below != level; below = below->parent) {
                give_level(below, bytes);
            }
            return refuse(level, bytes, used, e);
        }
    }
    for (sm_budget *level = b; level; level = level->parent) {
        raise_peak(level);
    }
    return SM_OK;
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
    for (sm_budget *level = b; level; level = level->parent) {
        give_level(level, bytes);
    }
}

size_t sm_budget_used(const sm_budget *b)
{
    return atomic_load_explicit(&b->used, memory_order_relaxed);
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

/* ---- blocks ---------------------------------------------------------------------------------- */

_Static_assert(sizeof(sm_block) <= BLOCK_ALIGN, "the header fits before the data");

/* What a block of `bytes` costs; false where that does not fit a size. */
static bool block_cost(size_t bytes, size_t *cost)
{
    size_t sum = 0;
    if (!sm_add_size(bytes, BLOCK_ALIGN + SM_PAD_BYTES + BLOCK_ALIGN - 1, &sum)) {
        return false;
    }
    *cost = sum & ~(BLOCK_ALIGN - 1);
    return true;
}

sm_status sm_block_new(sm_budget *b, size_t bytes, sm_block **out, sm_error *e)
{
    size_t cost = 0;
    if (!block_cost(bytes, &cost)) {
        return sm_fail(e, SM_NOMEM, "a block of %zu bytes cannot be addressed", bytes);
    }
    if (b) {
        SM_TRY(sm_budget_take(b, cost, e));
    }
    sm_block *block = aligned_alloc(BLOCK_ALIGN, cost);
    if (!block) {
        if (b) {
            sm_budget_give(b, cost);
        }
        return sm_fail(e, SM_NOMEM, "the system refused %zu bytes", cost);
    }
    counted(block);
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

sm_block *sm_block_retain(sm_block *block)
{
    const int32_t before = atomic_fetch_add_explicit(&block->refs, 1, memory_order_relaxed);
    SM_ASSERT(before > 0);
    return block;
}

void sm_block_release(sm_block *block)
{
    if (!block) {
        return;
    }
    const int32_t before = atomic_fetch_sub_explicit(&block->refs, 1, memory_order_acq_rel);
    SM_ASSERT(before > 0);
    if (before > 1) {
        return;
    }
    size_t cost = 0;
    const bool fits = block_cost(block->size_bytes, &cost);
    SM_ASSERT(fits);
    sm_budget *budget = block->budget;
    sm_free(block);
    if (budget) {
        sm_budget_give(budget, cost);
    }
}
