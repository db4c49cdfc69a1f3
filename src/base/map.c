/* SPDX-License-Identifier: Apache-2.0
 *
 * base/map.c: the hash map from strings.
 *
 * Method   A table of 32-bit entry numbers with open addressing and linear probing, at most half
 *          full. Entries live in segments, each twice as large as the one before, which never move;
 *          so the address of a value stays valid. */
#include "base/map.h"

#include "base/hash.h"

typedef struct map_entry {
    sm_str key;
    uint64_t hash;
    void *value;
} map_entry;

#define SEGMENT_MIN  8
#define SEGMENTS_MAX 28 /* 8 + 16 + … are more than 2^31 entries */

struct sm_map {
    sm_arena *arena;
    int64_t n;
    uint32_t *slots;                   /* number of an entry + 1; 0: free */
    uint64_t n_slots;                  /* a power of two */
    map_entry *segments[SEGMENTS_MAX]; /* segment s has room for SEGMENT_MIN << s entries */
};

static map_entry *entry_at(const sm_map *m, int64_t i)
{
    const uint64_t shifted = (uint64_t)i + SEGMENT_MIN; /* segment s starts at SEGMENT_MIN << s */
    const int top = 63 - __builtin_clzll(shifted);
    const int segment = top - 3;
    _Static_assert(SEGMENT_MIN == 1 << 3, "entry_at counts in segments of 8");
    return &m->segments[segment][shifted - (UINT64_C(1) << top)];
}

sm_map *sm_map_new(sm_arena *a)
{
    sm_map *m = SM_NEW(a, sm_map);
    m->arena = a;
    m->n_slots = 16;
    m->slots = SM_NEW_ARRAY(a, uint32_t, m->n_slots);
    return m;
}

/* The slot of the key, or the free slot where it belongs. */
static uint32_t *slot_of(const sm_map *m, sm_str key, uint64_t hash)
{
    SM_ASSERT((m->n_slots & (m->n_slots - 1)) == 0);
    SM_ASSERT((uint64_t)m->n <= m->n_slots / 2); /* a full table would have no end */
    for (uint64_t i = hash & (m->n_slots - 1);; i = (i + 1) & (m->n_slots - 1)) {
        uint32_t *slot = &m->slots[i];
        if (*slot == 0) {
            return slot;
        }
        const map_entry *entry = entry_at(m, *slot - 1);
        if (entry->hash == hash && sm_str_eq(entry->key, key)) {
            return slot;
        }
    }
}

static void grow_slots(sm_map *m)
{
    m->n_slots *= 2;
    m->slots = SM_NEW_ARRAY(m->arena, uint32_t, m->n_slots); /* the old ones stay in the arena */
    for (int64_t i = 0; i < m->n; i++) {
        const map_entry *entry = entry_at(m, i);
        *slot_of(m, entry->key, entry->hash) = (uint32_t)i + 1;
    }
}

static map_entry *add_entry(sm_map *m)
{
    const uint64_t shifted = (uint64_t)m->n + SEGMENT_MIN;
    if ((shifted & (shifted - 1)) == 0) { /* a power of two: the first of its segment */
        const int segment = 63 - __builtin_clzll(shifted) - 3;
        SM_ENSURE(segment < SEGMENTS_MAX);
        SM_ASSERT(!m->segments[segment]);
        m->segments[segment] = SM_NEW_ARRAY(m->arena, map_entry, shifted);
    }
    return entry_at(m, m->n++);
}

void **sm_map_at(sm_map *m, sm_str key)
{
    const uint64_t hash = sm_hash64(key.data, key.len);
    uint32_t *slot = slot_of(m, key, hash);
    if (*slot) {
        return &entry_at(m, *slot - 1)->value;
    }
    if ((uint64_t)m->n + 1 > m->n_slots / 2) {
        grow_slots(m);
        slot = slot_of(m, key, hash);
    }
    map_entry *entry = add_entry(m);
    SM_ASSERT(m->n <= UINT32_MAX);
    *slot = (uint32_t)m->n;
    entry->key = sm_arena_str(m->arena, key);
    entry->hash = hash;
    return &entry->value;
}

void *sm_map_get(const sm_map *m, sm_str key)
{
    const uint32_t slot = *slot_of(m, key, sm_hash64(key.data, key.len));
    return slot ? entry_at(m, slot - 1)->value : NULL;
}

int64_t sm_map_count(const sm_map *m)
{
    return m->n;
}

sm_str sm_map_key(const sm_map *m, int64_t i)
{
    SM_ASSERT(i >= 0 && i < m->n);
    return entry_at(m, i)->key;
}

void *sm_map_value(const sm_map *m, int64_t i)
{
    SM_ASSERT(i >= 0 && i < m->n);
    return entry_at(m, i)->value;
}
