/* SPDX-License-Identifier: Apache-2.0
 *
 * base/hash_set.c: open addressing, at most half full. The hash of zeros stands for a free slot and
 * is taken for another one. */
#include "base/hash_set.h"

#define FIRST_SLOTS 1024

static bool is_zero(sm_hash128 h)
{
    return h.low == 0 && h.high == 0;
}

/* The slot that has the hash, which is not 0, or is free for it. */
static sm_hash128 *slot_of(const sm_hash_set *set, sm_hash128 h)
{
    const uint64_t mask = (uint64_t)set->n_slots - 1;

    SM_ASSERT(set->n_slots > 0 && ((uint64_t)set->n_slots & mask) == 0);
    SM_ASSERT(set->n < set->n_slots); /* a full set would have no end */
    for (uint64_t i = h.low & mask;; i = (i + 1) & mask) {
        sm_hash128 *slot = &set->slots[i];
        if ((slot->low == h.low && slot->high == h.high) || is_zero(*slot)) {
            return slot;
        }
    }
}

void sm_hash_set_release(sm_hash_set *set)
{
    sm_free(set->slots);
    sm_budget_give(set->budget, (size_t)set->n_slots * sizeof(*set->slots));
    *set = (sm_hash_set){.budget = set->budget};
}

static sm_status grow(sm_hash_set *set, sm_error *e)
{
    sm_hash_set more = {.n = set->n,
                        .n_slots = set->n_slots ? 2 * set->n_slots : FIRST_SLOTS,
                        .budget = set->budget};
    const size_t bytes = (size_t)more.n_slots * sizeof(*more.slots);

    SM_TRY(sm_budget_take(set->budget, bytes, e));
    more.slots = sm_alloc_zero(bytes);
    for (int64_t i = 0; i < set->n_slots; i++) {
        if (!is_zero(set->slots[i])) {
            *slot_of(&more, set->slots[i]) = set->slots[i];
        }
    }
    SM_ASSERT(more.n * 2 <= more.n_slots);
    sm_hash_set_release(set);
    *set = more;
    return SM_OK;
}

static sm_hash128 not_zero(sm_hash128 h)
{
    h.low += is_zero(h);
    return h;
}

sm_status sm_hash_set_add(sm_hash_set *set, sm_hash128 h, bool *is_new, sm_error *e)
{
    if (set->n * 2 >= set->n_slots) {
        SM_TRY(grow(set, e));
    }
    h = not_zero(h);
    sm_hash128 *slot = slot_of(set, h);
    const bool is_free = is_zero(*slot);
    set->n += is_free;
    *slot = h;
    if (is_new) {
        *is_new = is_free;
    }
    return SM_OK;
}

bool sm_hash_set_has(const sm_hash_set *set, sm_hash128 h)
{
    return set->n > 0 && !is_zero(*slot_of(set, not_zero(h)));
}

void sm_hash_set_fetch(const sm_hash_set *set, sm_hash128 h)
{
    if (set->n_slots > 0) {
        __builtin_prefetch(&set->slots[h.low & ((uint64_t)set->n_slots - 1)], 1);
    }
}
