/* SPDX-License-Identifier: Apache-2.0
 *
 * base/map.h: a hash map from strings to pointers, for names. Keys cannot be removed; the map ends
 * with its arena.
 * Threads: one at a time; any number may look up while none adds. */
#ifndef SM_BASE_MAP_H
#define SM_BASE_MAP_H

#include "base/arena.h"

/* Entries are numbered 0 … n − 1 in the order in which they were added. */
typedef struct sm_map sm_map;

/** An empty map. It, its table and its keys live in the arena. */
sm_map *sm_map_new(sm_arena *a);
/**
 * The address of a key's value. A new key is added with the value NULL.
 *
 * Owner     the map's; the address stays valid as long as the map. The key is copied if it is new.
 */
void **sm_map_at(sm_map *m, sm_str key);
void *sm_map_get(const sm_map *m, sm_str key); /* the key's value; NULL if it is not in the map */

int64_t sm_map_count(const sm_map *m);          /* the number of keys */
sm_str sm_map_key(const sm_map *m, int64_t i);  /* the i-th key that was added; ended by NUL */
void *sm_map_value(const sm_map *m, int64_t i); /* the value of that key */

#endif
