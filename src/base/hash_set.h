/* SPDX-License-Identifier: Apache-2.0
 *
 * base/hash_set.h: a set of 128-bit hashes, for millions of things whose names would take too much
 * memory. Two things with the same hash are one thing to it: with 128 bits that does not happen.
 * Threads: one at a time; any number may look while none adds. */
#ifndef SM_BASE_HASH_SET_H
#define SM_BASE_HASH_SET_H

#include "base/hash.h"
#include "base/memory.h"

/* {.budget = …} is an empty set, which takes no memory yet: 32 bytes for each hash at most, but
 * that it has 16 KB with the first. */
typedef struct sm_hash_set {
    sm_hash128 *slots;
    int64_t n, n_slots;
    sm_budget *budget; /* borrowed */
} sm_hash_set;

void sm_hash_set_release(sm_hash_set *set); /* it is empty then, and can be used again */
/** Adds a hash. *is_new (NULL: not asked) is false where it was there. SM_BUDGET where there is no
 * room for it: the set is as before. */
sm_status sm_hash_set_add(sm_hash_set *set, sm_hash128 h, bool *is_new, sm_error *e) SM_MUST_USE;
bool sm_hash_set_has(const sm_hash_set *set, sm_hash128 h); /* is it in the set? */
/** Has the memory fetched that sm_hash_set_add() or sm_hash_set_has() will look at. Worth while a
 * few hundred calls ahead, since a large set is in no cache. */
void sm_hash_set_fetch(const sm_hash_set *set, sm_hash128 h);

#endif
