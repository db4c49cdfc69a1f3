/* SPDX-License-Identifier: Apache-2.0
 *
 * base/map.h: a hash map from strings to pointers, for names. Nothing is taken out of it; it ends
 * with its arena.
 * Threads: one at a time; any number may look up while nobody adds. */
#ifndef SM_BASE_MAP_H
#define SM_BASE_MAP_H

#include "base/arena.h"

/* Insertion order is kept: entries 0 … n − 1. */
typedef struct sm_map sm_map;

/** Owner: the map, its table and its keys live in the arena. */
sm_map *sm_map_new(sm_arena *a);
/**
 * The place of the key's value, which is made, holding NULL, where the key is new.
 *
 * Owner     the map's; the place never moves. The key is copied when it is made.
 */
void **sm_map_at(sm_map *m, sm_str key);
void *sm_map_get(const sm_map *m, sm_str key); /* NULL where absent */

int64_t sm_map_count(const sm_map *m);          /* its keys */
sm_str sm_map_key(const sm_map *m, int64_t i);  /* the i-th that was made; ended by NUL */
void *sm_map_value(const sm_map *m, int64_t i); /* the value at that key */

#endif
