/* SPDX-License-Identifier: Apache-2.0
 *
 * base/hash.c: XXH3, the hash of files, what their contents are known by, the map from strings, the
 * nearest name.
 *
 * Map      Open addressing over 32-bit entry numbers, at most half full, linear probing. Entries
 *          stand in segments that double and never move, so that a value's place stays good.
 * Nearest  Damerau-Levenshtein distance (optimal string alignment) in half steps: an edit or a swap
 *          of neighbours counts 2, a letter in the other case 1. */
#include "base/hash.h"

#include <libdeflate.h>
#include <stdio.h>
#include <zlib.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

uint64_t sm_hash64(const void *bytes, size_t n)
{
    return XXH3_64bits(bytes, n);
}

sm_hash128 sm_hash128_of(const void *bytes, size_t n, uint64_t seed)
{
    const XXH128_hash_t h = XXH3_128bits_withSeed(bytes, n, seed);
    return (sm_hash128){.low = h.low64, .high = h.high64};
}

void sm_hash128_hex(sm_hash128 h, char out[33])
{
    static const char digits[] = "0123456789abcdef";
    for (int i = 0; i < 32; i++) {
        const uint64_t word = i < 16 ? h.high : h.low;
        out[i] = digits[word >> (60 - 4 * (i % 16)) & 15];
    }
    out[32] = '\0';
}

uint32_t sm_crc32(uint32_t crc, const void *bytes, size_t n)
{
    return n ? libdeflate_crc32(crc, bytes, n) : crc; /* it starts anew where bytes is NULL */
}

uint32_t sm_crc32_part(uint32_t crc, uint64_t n_after)
{
    return (uint32_t)crc32_combine(crc, 0, (z_off_t)n_after);
}

/* ---- files ----------------------------------------------------------------------------------- */

sm_hash128 sm_file_hash_add(sm_hash128 a, sm_hash128 b)
{
    sm_hash128 sum = {.low = a.low + b.low};
    sum.high = a.high + b.high + (sum.low < a.low);
    return sum;
}

sm_hash128 sm_file_hash_piece(const void *bytes, size_t n, uint64_t off_bytes)
{
    SM_ASSERT(off_bytes % SM_FILE_HASH_CHUNK == 0);
    const uint8_t *p = bytes;
    uint64_t index = off_bytes / SM_FILE_HASH_CHUNK;
    sm_hash128 sum = {0};
    while (n > 0) {
        const size_t len = n < SM_FILE_HASH_CHUNK ? n : SM_FILE_HASH_CHUNK;
        sum = sm_file_hash_add(sum, sm_hash128_of(p, len, index++));
        p += len;
        n -= len;
    }
    return sum;
}

/* ---- contents -------------------------------------------------------------------------------- */

struct sm_content_sum {
    XXH3_state_t *chunk; /* the one that is not full */
    sm_hash128 full;     /* the sum of those before it */
    uint64_t n_bytes;
    size_t n_head;
    bool has_lines;
    uint8_t head[SM_CONTENT_HEAD_BYTES];
};

sm_content_sum *sm_content_sum_new(void)
{
    sm_content_sum *s = sm_alloc_zero(sizeof(*s));

    s->chunk = XXH3_createState(); /* by itself: it wants 64 bytes of alignment */
    SM_ASSERT(s->chunk);
    sm_content_sum_reset(s);
    return s;
}

void sm_content_sum_free(sm_content_sum *s)
{
    if (s) {
        (void)XXH3_freeState(s->chunk);
        sm_free(s);
    }
}

void sm_content_sum_reset(sm_content_sum *s)
{
    s->full = (sm_hash128){0};
    s->n_bytes = 0;
    s->n_head = 0;
    s->has_lines = false;
    (void)XXH3_128bits_reset_withSeed(s->chunk, 0);
}

/* Is there a byte that no blank line has? A byte-order mark is none. */
static bool has_text(const uint8_t *p, size_t n, uint64_t at)
{
    static const uint8_t mark[3] = {0xef, 0xbb, 0xbf};

    for (size_t i = 0; i < n; i++) {
        const bool is_blank = p[i] == ' ' || p[i] == '\t' || p[i] == '\r' || p[i] == '\n';
        const bool is_mark = at + i < sizeof(mark) && p[i] == mark[at + i];
        if (!is_blank && !is_mark) {
            return true;
        }
    }
    return false;
}

static sm_hash128 chunk_hash(const sm_content_sum *s)
{
    const XXH128_hash_t h = XXH3_128bits_digest(s->chunk);
    return (sm_hash128){.low = h.low64, .high = h.high64};
}

void sm_content_sum_add(sm_content_sum *s, const void *bytes, size_t n)
{
    const uint8_t *p = bytes;

    if (n > 0 && s->n_head < sizeof(s->head)) {
        const size_t room = sizeof(s->head) - s->n_head;
        const size_t len = n < room ? n : room;
        memcpy(s->head + s->n_head, p, len);
        s->n_head += len;
    }
    s->has_lines = s->has_lines || has_text(p, n, s->n_bytes);
    while (n > 0) {
        const uint64_t left = SM_FILE_HASH_CHUNK - s->n_bytes % SM_FILE_HASH_CHUNK;
        const size_t len = n < left ? n : (size_t)left;
        (void)XXH3_128bits_update(s->chunk, p, len);
        s->n_bytes += len;
        p += len;
        n -= len;
        if (len == left) {
            s->full = sm_file_hash_add(s->full, chunk_hash(s));
            (void)XXH3_128bits_reset_withSeed(s->chunk, s->n_bytes / SM_FILE_HASH_CHUNK);
        }
    }
}

sm_content sm_content_sum_get(const sm_content_sum *s)
{
    const bool is_cut = s->n_bytes % SM_FILE_HASH_CHUNK != 0;

    return (sm_content){
        .hash = is_cut ? sm_file_hash_add(s->full, chunk_hash(s)) : s->full,
        .bytes = (int64_t)s->n_bytes,
        .head = sm_hash64(s->head, s->n_head),
        .has_lines = s->has_lines,
    };
}

/* ---- a map from strings ---------------------------------------------------------------------- */

typedef struct map_entry {
    sm_str key;
    uint64_t hash;
    void *value;
} map_entry;

#define SEGMENT_MIN  8
#define SEGMENTS_MAX 28 /* 8 + 16 + … pass 2^31 entries */

struct sm_map {
    sm_arena *arena;
    int64_t n;
    uint32_t *slots; /* entry + 1; 0 is free */
    uint64_t n_slots;
    map_entry *segments[SEGMENTS_MAX]; /* segment s keeps SEGMENT_MIN << s entries */
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

/* The slot of the key, or the free one where it belongs. */
static uint32_t *slot_of(const sm_map *m, sm_str key, uint64_t hash)
{
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

/* ---- the nearest name ------------------------------------------------------------------------ */

#define NEAREST_MAX_BYTES 128 /* longer names are not mistyped but generated */

static int swap_cost(char a, char b)
{
    if (a == b) {
        return 0;
    }
    return sm_str_eq_nocase((sm_str){&a, 1}, (sm_str){&b, 1}) ? 1 : 2;
}

static int least(int a, int b)
{
    return a < b ? a : b;
}

static int distance(sm_str a, sm_str b)
{
    if (sm_str_eq_nocase(a, b)) {
        return sm_str_eq(a, b) ? 0 : 1; /* THE_NAME in capitals is one mistake, not many */
    }
    int rows[3][NEAREST_MAX_BYTES + 1]; /* of the matrix: the one before last, the last, this */
    int *before = rows[0], *last = rows[1], *now = rows[2];
    for (size_t j = 0; j <= b.len; j++) {
        last[j] = 2 * (int)j;
    }
    for (size_t i = 1; i <= a.len; i++) {
        now[0] = 2 * (int)i;
        for (size_t j = 1; j <= b.len; j++) {
            const int replaced = last[j - 1] + swap_cost(a.data[i - 1], b.data[j - 1]);
            now[j] = least(replaced, least(last[j], now[j - 1]) + 2);
            if (i > 1 && j > 1 && a.data[i - 1] == b.data[j - 2] &&
                a.data[i - 2] == b.data[j - 1]) {
                now[j] = least(now[j], before[j - 2] + 2);
            }
        }
        int *oldest = before;
        before = last;
        last = now;
        now = oldest;
    }
    return last[b.len];
}

const char *sm_nearest_name(sm_str wanted, const sm_str *names, int64_t n_names)
{
    if (wanted.len == 0 || wanted.len > NEAREST_MAX_BYTES) {
        return NULL;
    }
    /* Near: a third of the letters, at least one, but never all of them. */
    const int third = (int)wanted.len / 3;
    int best_distance = least(third > 1 ? 2 * third : 2, 2 * (int)wanted.len - 1) + 1;
    const char *best = NULL;
    for (int64_t i = 0; i < n_names; i++) {
        if (names[i].len == 0 || names[i].len > NEAREST_MAX_BYTES) {
            continue;
        }
        const int d = distance(wanted, names[i]);
        if (d > 0 && d < best_distance) { /* of equals the first; itself is no advice */
            best_distance = d;
            best = names[i].data;
        }
    }
    return best;
}
