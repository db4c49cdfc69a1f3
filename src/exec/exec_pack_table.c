/* SPDX-License-Identifier: Apache-2.0
 *
 * exec/exec_pack_table.c: tables of groups that are records (their layout: exec_pack.c), the output
 * of such groups, and records that went to a spill and back.
 *
 * Calls    exec_agg.c (a morsel's own table), exec_agg_fold.c and exec_agg_spill.c (a partition's).
 * Table    Open addressing: u32 high half of the hash, u32 group + 1. Groups stand in one array
 *          that doubles, in the order in which they came: their hot words, a cache line. The other
 *          words of a group are in a second array.
 * Spilled  A piece has some records of a partition, one after another, from any number of batches;
 *          then the bytes of their long keys, in the order of records; then the carries of sums. */
#include "exec/exec_pack_table_int.h"

#include <string.h>

#define FIRST_GROUPS 16
#define FIRST_SLOTS  32

/* The partition of a record by its header. */
static inline uint32_t part_of(uint64_t head)
{
    return (uint32_t)head >> 24;
}

/* How often a group's sum has overflowed; 0 where that was undone again. */
typedef struct carry {
    uint32_t group;
    int32_t item;
    int32_t by;
} carry;

struct smi_pack_table {
    const smi_pack *pack;
    sm_budget *budget;
    sm_block *groups; /* hot words */
    sm_block *rests;  /* the other words; NULL where there are none */
    int64_t count, cap;
    sm_block *slots; /* high half of the hash, group + 1 */
    uint32_t mask;
    sm_block *text[40]; /* of long keys; doubling */
    int32_t n_text;
    size_t text_used;
    smi_groups *sets[MAX_ITEMS]; /* OP_DISTINCT: (group, value) outside of the bits */
    sm_block *carries;
    int64_t n_carries;
};

static inline uint64_t *group_at(const smi_pack_table *t, int64_t id)
{
    return (uint64_t *)(void *)t->groups->data + id * t->pack->hot_words;
}

static inline size_t rest_words(const smi_pack *k)
{
    return (size_t)(k->group_words - k->hot_words);
}

static inline uint64_t *rest_at(const smi_pack_table *t, int64_t id)
{
    return (uint64_t *)(void *)t->rests->data + (size_t)id * rest_words(t->pack);
}

/* Any word of a group. */
static inline uint64_t *word_at(const smi_pack_table *t, int64_t id, int32_t word)
{
    const int32_t hot = t->pack->hot_words;
    return word < hot ? group_at(t, id) + word : rest_at(t, id) + (word - hot);
}

/* ---- tables ---------------------------------------------------------------------------------- */

smi_pack_table *smi_pack_table_new(const smi_pack *k, sm_budget *budget)
{
    smi_pack_table *t = sm_alloc_zero(sizeof(*t));
    t->pack = k;
    t->budget = budget;
    return t;
}

void smi_pack_table_free(smi_pack_table *t)
{
    if (!t) {
        return;
    }
    for (int32_t i = 0; i < t->n_text; i++) {
        sm_block_release(t->text[i]);
    }
    for (int32_t i = 0; i < t->pack->n_items; i++) {
        smi_groups_free(t->sets[i]);
    }
    sm_block_release(t->groups);
    sm_block_release(t->rests);
    sm_block_release(t->slots);
    sm_block_release(t->carries);
    sm_free(t);
}

int64_t smi_pack_count(const smi_pack_table *t)
{
    return t->count;
}

/* The carries in a block; NULL: there are none. */
static carry *carries_in(sm_block *block)
{
    return block ? (carry *)(void *)block->data : NULL;
}

/* A block twice as large that starts with `used` bytes of the old one. */
static sm_status enlarge(sm_block **block, size_t used, size_t bytes, sm_budget *budget,
                         sm_error *e)
{
    sm_block *larger = NULL;
    SM_TRY(sm_block_new(budget, bytes, &larger, e));
    if (*block) {
        memcpy(larger->data, (*block)->data, used);
    }
    sm_block_release(*block);
    *block = larger;
    return SM_OK;
}

static sm_status grow_slots(smi_pack_table *t, sm_error *e)
{
    const uint64_t n = t->slots ? ((uint64_t)t->mask + 1) * 2 : FIRST_SLOTS;
    if (n > (uint64_t)1 << 32) {
        return sm_fail(e, SM_LIMIT, "there are more than 2^31 groups in a partition");
    }
    sm_block_release(t->slots);
    t->slots = NULL;
    SM_TRY(sm_block_new(t->budget, n * 8, &t->slots, e));
    uint64_t *slots = (uint64_t *)(void *)t->slots->data;
    memset(slots, 0, n * 8);
    t->mask = (uint32_t)(n - 1);
    for (int64_t id = 0; id < t->count; id++) {
        const uint32_t hash = (uint32_t)group_at(t, id)[t->pack->key_words];
        uint32_t at = hash & t->mask;
        while (slots[at] != 0) {
            at = (at + 1) & t->mask;
        }
        slots[at] = (uint64_t)(id + 1) << 32 | hash;
        SM_TRY(sm_check_cancel_at(t->budget, id, e));
    }
    return SM_OK;
}

static sm_status make_room(smi_pack_table *t, sm_error *e)
{
    const size_t hot = (size_t)t->pack->hot_words * 8, rest = rest_words(t->pack) * 8;
    if (t->count == t->cap) {
        const size_t count = (size_t)t->count, cap = count ? count * 2 : FIRST_GROUPS;
        SM_TRY(enlarge(&t->groups, count * hot, cap * hot, t->budget, e));
        if (rest > 0) {
            SM_TRY(enlarge(&t->rests, count * rest, cap * rest, t->budget, e));
        }
        t->cap = (int64_t)cap;
    }
    return !t->slots || (uint64_t)t->count * 2 >= t->mask ? grow_slots(t, e) : SM_OK;
}

/* Copies the bytes of a long key, which must outlive the records. */
static sm_status keep_text(smi_pack_table *t, uint64_t *key, sm_error *e)
{
    const size_t len = (uint32_t)key[0];
    sm_block *last = t->n_text > 0 ? t->text[t->n_text - 1] : NULL;
    if (!last || last->size_bytes - t->text_used < len) {
        const size_t twice = last ? last->size_bytes * 2 : 1024;
        SM_ENSURE(t->n_text < SM_COUNT(t->text));
        SM_TRY(sm_block_new(t->budget, twice > len ? twice : len, &last, e));
        t->text[t->n_text++] = last;
        t->text_used = 0;
    }
    memcpy(last->data + t->text_used, (const void *)(uintptr_t)key[1], len);
    key[1] = (uint64_t)(uintptr_t)(last->data + t->text_used);
    t->text_used += len;
    return SM_OK;
}

static inline bool is_far(const uint64_t *str)
{
    return (uint32_t)str[0] > SM_VIEW_INLINE;
}

static inline bool is_same_str(const uint64_t *a, const uint64_t *b)
{
    return a[0] == b[0] && (a[1] == b[1] || (is_far(a) && memcmp((const void *)(uintptr_t)a[1],
                                                                 (const void *)(uintptr_t)b[1],
                                                                 (uint32_t)a[0]) == 0));
}

/* Are the keys equal? Two NULLs are: their words are zero. */
static inline bool is_same_key(const smi_pack *k, const uint64_t *a, const uint64_t *b)
{
    const uint64_t nulls = a[k->key_words] ^ b[k->key_words];
    if (nulls >> (32 + MAX_ITEMS) != 0) {
        return false;
    }
    if (k->is_one_str) {
        return is_same_str(a, b);
    }
    for (int32_t i = 0; i < k->n_keys; i++) {
        const int32_t w = k->keys[i].word;
        if (k->keys[i].is_str ? !is_same_str(a + w, b + w) : a[w] != b[w]) {
            return false;
        }
    }
    return true;
}

static sm_status add_group(smi_pack_table *t, const uint64_t *record, int64_t *id, sm_error *e)
{
    const smi_pack *k = t->pack;
    SM_TRY(make_room(t, e));
    SM_ASSERT(t->groups && t->slots && t->count < t->cap && (uint64_t)t->count < t->mask);
    uint64_t *g = group_at(t, t->count);
    const uint64_t head = record[k->key_words];
    memset(g, 0, (size_t)k->hot_words * 8);
    if (t->rests) {
        memset(rest_at(t, t->count), 0, rest_words(k) * 8);
    }
    memcpy(g, record, (size_t)k->key_words * 8);
    g[k->key_words] = head & ~((((uint64_t)1 << MAX_ITEMS) - 1) << 32);
    for (int32_t i = 0; i < k->n_keys; i++) {
        if (k->keys[i].is_str && is_far(g + k->keys[i].word)) {
            SM_TRY(keep_text(t, g + k->keys[i].word, e));
        }
    }
    uint64_t *slots = (uint64_t *)(void *)t->slots->data;
    uint32_t at = (uint32_t)head & t->mask;
    while (slots[at] != 0) {
        at = (at + 1) & t->mask;
    }
    slots[at] = (uint64_t)(t->count + 1) << 32 | (uint32_t)head;
    *id = t->count++;
    return SM_OK;
}

/* The group of a record's keys, or −1 where there is none. */
static inline int64_t find_group(const smi_pack_table *t, const uint64_t *record)
{
    if (!t->slots) {
        return -1;
    }
    const uint64_t *slots = (const uint64_t *)(const void *)t->slots->data;
    const uint32_t hash = (uint32_t)record[t->pack->key_words];
    for (uint32_t at = hash & t->mask;; at = (at + 1) & t->mask) {
        const uint64_t slot = slots[at];
        if (slot == 0) {
            return -1;
        }
        if ((uint32_t)slot == hash) {
            const int64_t id = (int64_t)(slot >> 32) - 1;
            if (is_same_key(t->pack, group_at(t, id), record)) {
                return id;
            }
        }
    }
}

/* ---- adding ---------------------------------------------------------------------------------- */

static sm_status add_carry(smi_pack_table *t, int64_t group, int32_t item, int32_t by, sm_error *e)
{
    const size_t used = (size_t)t->n_carries * sizeof(carry);
    if (!t->carries || used == t->carries->size_bytes) {
        const size_t bytes = used > 0 ? used * 2 : 16 * sizeof(carry);
        SM_TRY(enlarge(&t->carries, used, bytes, t->budget, e));
    }
    carries_in(t->carries)[t->n_carries++] =
        (carry){.group = (uint32_t)group, .item = item, .by = by};
    return SM_OK;
}

static sm_status add_sum(smi_pack_table *t, int64_t id, int32_t item, uint64_t *sum, int64_t v,
                         sm_error *e)
{
    int64_t total = 0;
    const bool over = __builtin_add_overflow((int64_t)*sum, v, &total);
    *sum = (uint64_t)total;
    return over ? add_carry(t, id, item, v > 0 ? 1 : -1, e) : SM_OK;
}

/* Values outside of an item's bits, which are added to its set a few at a time. */
typedef struct others {
    uint32_t groups[256];
    int64_t values[256];
    int32_t item;
    int64_t n;
} others;

static sm_status add_others(smi_pack_table *t, others *o, sm_error *e)
{
    static const sm_type *const types[] = {&sm_type_u32, &sm_type_i64};
    const sm_column keys[] = {
        {.type = &sm_type_u32, .n_rows = o->n, .values = o->groups},
        {.type = &sm_type_i64, .n_rows = o->n, .values = o->values},
    };
    uint64_t hashes[256];
    uint32_t ids[256];
    if (o->n == 0) {
        return SM_OK;
    }
    smi_groups **set = &t->sets[o->item];
    if (!*set) {
        *set = smi_groups_new(types, 2, 0, t->budget);
    }
    sm_column_hash(&keys[0], hashes, false);
    sm_column_hash(&keys[1], hashes, true);
    uint32_t next = (uint32_t)smi_groups_count(*set);
    SM_TRY(smi_groups_find(*set, keys, hashes, NULL, o->n, ids, NULL, e));
    for (int64_t i = 0; i < o->n; i++) {
        if (ids[i] == next) { /* numbers are given in the order of rows */
            next++;
            ++*word_at(t, o->groups[i], t->pack->items[o->item].others);
        }
    }
    o->n = 0;
    return SM_OK;
}

/* The base of an item's bits: the first value chooses it, with some room below, since rows mostly
 * come roughly in the order of days. */
static int64_t base_of(const pack_item *it, int64_t v)
{
    _Atomic int64_t *base = (_Atomic int64_t *)&it->base;
    int64_t is = atomic_load_explicit(base, memory_order_relaxed);
    if (is == INT64_MIN) {
        const int64_t wanted = v - 8;
        if (atomic_compare_exchange_strong(base, &is, wanted)) {
            is = wanted;
        }
    }
    return is;
}

static sm_status add_distinct(smi_pack_table *t, int64_t id, int32_t item, uint64_t *state,
                              int64_t v, others *o, sm_error *e)
{
    const uint64_t bit = (uint64_t)v - (uint64_t)base_of(&t->pack->items[item], v);
    if (bit < 64) {
        *state |= (uint64_t)1 << bit;
        return SM_OK;
    }
    if (o->n == SM_COUNT(o->values) || (o->n > 0 && o->item != item)) {
        SM_TRY(add_others(t, o, e));
    }
    if (o->n == 0) {
        o->item = item;
    }
    SM_ASSERT(o->n < SM_COUNT(o->values) && o->item == item);
    o->groups[o->n] = (uint32_t)id;
    o->values[o->n++] = v;
    return SM_OK;
}

static inline bool is_less(const pack_item *it, uint64_t a, uint64_t b)
{
    return it->is_unsigned ? a < b : (int64_t)a < (int64_t)b;
}

/* Adds one record to its group: the arguments of a row, or the states of another table's group. */
static inline sm_status add_record(smi_pack_table *t, int64_t id, const uint64_t *r,
                                   smi_pack_kind kind, others *o, sm_error *e)
{
    const smi_pack *k = t->pack;
    uint64_t *g = group_at(t, id);
    const uint64_t items = (r[k->key_words] >> 32) & (((uint64_t)1 << MAX_ITEMS) - 1);
    const uint64_t had = g[k->key_words] >> 32;
    const uint64_t *args = r + k->key_words + 1;
    g[k->key_words] |= items << 32;
    for (uint64_t left = items; left != 0; left &= left - 1) {
        const int32_t i = __builtin_ctzll(left);
        const pack_item *it = &k->items[i];
        uint64_t *state = word_at(t, id, it->word);
        const uint64_t v = kind == SMI_PACK_GROUPS ? r[it->word]
                           : it->op == OP_COUNT    ? 1
                           : kind == SMI_PACK_NARROW_ROWS
                               ? (uint64_t)((const int32_t *)(const void *)args)[it->arg]
                               : args[it->arg];
        switch (it->op) {
        case OP_COUNT:
            *state += v;
            break;
        case OP_SUM:
            SM_TRY(add_sum(t, id, i, state, (int64_t)v, e));
            break;
        case OP_MIN:
            *state = !(had >> i & 1) || is_less(it, v, *state) ? v : *state;
            break;
        case OP_MAX:
            *state = !(had >> i & 1) || is_less(it, *state, v) ? v : *state;
            break;
        case OP_DISTINCT:
            SM_ASSERT(kind != SMI_PACK_GROUPS); /* smi_pack_has_few_groups saw to it */
            SM_TRY(add_distinct(t, id, i, state, (int64_t)v, o, e));
            break;
        }
    }
    return SM_OK;
}

/* Adds the carries of another table's sums. */
static sm_status add_carries(smi_pack_table *t, const smi_packed *records, uint32_t from,
                             uint32_t to, sm_error *e)
{
    const carry *c = carries_in(records->carries);
    for (int64_t i = 0; i < records->n_carries; i++) {
        if (c[i].group >= from && c[i].group < to) {
            const uint64_t *r = (const uint64_t *)(const void *)records->records->data +
                                (size_t)c[i].group * (size_t)t->pack->group_words;
            const int64_t id = find_group(t, r);
            SM_ENSURE(id >= 0); /* its record was added before; else its sum would be wrong */
            SM_TRY(add_carry(t, id, c[i].item, c[i].by, e));
        }
    }
    return SM_OK;
}

static inline void fetch_slot(const smi_pack_table *t, const uint64_t *record)
{
    const uint64_t *slots = (const uint64_t *)(const void *)t->slots->data;
    __builtin_prefetch(&slots[(uint32_t)record[t->pack->key_words] & t->mask]);
}

static inline void fetch_group(const smi_pack_table *t, const uint64_t *record)
{
    const uint64_t *slots = (const uint64_t *)(const void *)t->slots->data;
    const uint32_t hash = (uint32_t)record[t->pack->key_words];
    uint32_t at = hash & t->mask;
    while (slots[at] != 0 && (uint32_t)slots[at] != hash) {
        at = (at + 1) & t->mask;
    }
    if (slots[at] != 0) {
        const int64_t id = (int64_t)(slots[at] >> 32) - 1;
        __builtin_prefetch(group_at(t, id), 1);
        if ((record[t->pack->key_words] >> 32 & t->pack->cold_items) != 0) {
            __builtin_prefetch(rest_at(t, id), 1);
        }
    }
}

static inline sm_status take_record(smi_pack_table *t, const uint64_t *r, smi_pack_kind kind,
                                    others *o, sm_error *e)
{
    int64_t id = find_group(t, r);
    if (id < 0) {
        SM_TRY(add_group(t, r, &id, e));
    }
    switch (kind) { /* each its own loop over the items */
    case SMI_PACK_NARROW_ROWS:
        return add_record(t, id, r, SMI_PACK_NARROW_ROWS, o, e);
    case SMI_PACK_ROWS:
        return add_record(t, id, r, SMI_PACK_ROWS, o, e);
    default:
        return add_record(t, id, r, SMI_PACK_GROUPS, o, e);
    }
}

/* Records of one kind that are to be added; they stand anywhere. */
typedef struct queue {
    const uint64_t *records[1024];
    int64_t n;
    smi_pack_kind kind;
} queue;

/* Adds the queue's records and empties it. Each record, its slot and its group are prefetched some
 * records ahead, so that their cache misses overlap. */
static sm_status add_queue(smi_pack_table *t, queue *q, others *o, sm_error *e)
{
    enum { STEP = 16 };
    const uint64_t *const *r = q->records;
    const int64_t n = q->n;
    q->n = 0;
    SM_TRY(n > 0 ? make_room(t, e) : SM_OK);
    for (int64_t i = 0; n > 0 && i < n + 3 * STEP; i++) {
        if (i < n) {
            __builtin_prefetch(r[i]);
        }
        if (i >= STEP && i - STEP < n) {
            fetch_slot(t, r[i - STEP]);
        }
        if (i >= 2 * STEP && i - 2 * STEP < n) {
            fetch_group(t, r[i - 2 * STEP]);
        }
        if (i >= 3 * STEP) {
            SM_TRY(take_record(t, r[i - 3 * STEP], q->kind, o, e));
        }
    }
    return SM_OK;
}

sm_status smi_pack_add(smi_pack_table *t, const smi_packed *const *list, int64_t n_list,
                       int32_t first, int32_t end, sm_error *e)
{
    queue q;
    others o;
    q.n = o.n = 0;
    for (int64_t c = 0; c < n_list; c++) {
        const smi_packed *k = list[c];
        const size_t words = smi_pack_words(t->pack, k->kind);
        const uint64_t *all = (const uint64_t *)(const void *)k->records->data;
        if (q.n > 0 && q.kind != k->kind) {
            SM_TRY(add_queue(t, &q, &o, e));
        }
        q.kind = k->kind;
        SM_TRY(sm_check_cancel(t->budget, e));
        for (uint32_t i = k->first[first]; i < k->first[end]; i++) {
            q.records[q.n++] = all + i * words;
            if (q.n == SM_COUNT(q.records)) {
                SM_TRY(add_queue(t, &q, &o, e));
            }
        }
    }
    SM_TRY(add_queue(t, &q, &o, e));
    SM_TRY(add_others(t, &o, e));
    for (int64_t c = 0; c < n_list; c++) {
        SM_TRY(add_carries(t, list[c], list[c]->first[first], list[c]->first[end], e));
    }
    return SM_OK;
}

/* ---- a table's groups as records ------------------------------------------------------------- */

/* Gives each group its record: by partition, and within one in the order in which groups came. */
static void place_groups(const smi_pack_table *t, smi_packed *out, uint32_t *places)
{
    const int32_t head = t->pack->key_words;
    uint32_t next[SMI_PARTS] = {0};
    uint32_t at = 0;
    for (int64_t id = 0; id < t->count; id++) {
        next[part_of(group_at(t, id)[head])]++;
    }
    for (int p = 0; p < SMI_PARTS; p++) {
        const uint32_t count = next[p];
        out->first[p] = next[p] = at;
        at += count;
    }
    out->first[SMI_PARTS] = at;
    for (int64_t id = 0; id < t->count; id++) {
        places[id] = next[part_of(group_at(t, id)[head])]++;
    }
}

sm_status smi_pack_groups(smi_pack_table *t, smi_packed **out, sm_error *e)
{
    const size_t bytes = (size_t)t->pack->group_words * 8, hot = (size_t)t->pack->hot_words * 8;
    smi_packed *k = sm_alloc_zero(sizeof(*k));
    uint32_t *places = sm_alloc((size_t)(t->count + 1) * sizeof(*places));
    sm_status st = sm_block_new(t->budget, (size_t)t->count * bytes + 8, &k->records, e);
    if (st == SM_OK) {
        k->kind = SMI_PACK_GROUPS;
        place_groups(t, k, places);
        for (int64_t id = 0; id < t->count; id++) {
            uint8_t *to = k->records->data + places[id] * bytes;
            memcpy(to, group_at(t, id), hot);
            if (bytes > hot) {
                memcpy(to + hot, rest_at(t, id), bytes - hot);
            }
        }
        carry *c = carries_in(t->carries);
        for (int64_t i = 0; i < t->n_carries; i++) {
            c[i].group = places[c[i].group];
        }
        k->carries = t->carries;
        k->n_carries = t->n_carries;
        t->carries = NULL;
        sm_block_release(t->groups);
        sm_block_release(t->rests);
        sm_block_release(t->slots);
        t->groups = t->rests = t->slots = NULL;
        k->owner = t;
        *out = k;
    } else {
        smi_packed_free(k);
    }
    sm_free(places);
    return st;
}

/* ---- output ---------------------------------------------------------------------------------- */

/* An output column that is being filled: n rows, from a table's group `first` on. */
typedef struct filling {
    const smi_pack_table *table;
    int64_t first, n;
    sm_builder *to;
    int64_t at; /* the builder's row of the first */
} filling;

/* The distance, in words, from a group's word to that of the next group. */
static size_t stride_of(const smi_pack_table *t, int32_t word)
{
    return word < t->pack->hot_words ? (size_t)t->pack->hot_words : rest_words(t->pack);
}

#define FILL_WORDS(T)                                                                              \
    for (int64_t i = 0; i < f->n; i++) {                                                           \
        ((T *)values)[f->at + i] = (T)from[(size_t)i * stride];                                    \
    }                                                                                              \
    break

static void fill_words(const filling *f, const sm_type *t, int32_t word)
{
    void *values = sm_builder_values(f->to);
    const size_t stride = stride_of(f->table, word);
    const uint64_t *from = word_at(f->table, f->first, word);
    switch (t->id) {
    case SM_TYPE_BOOL:
        for (int64_t i = 0; i < f->n; i++) {
            if (from[(size_t)i * stride] != 0) {
                sm_bit_set(values, f->at + i);
            } else {
                sm_bit_clear(values, f->at + i);
            }
        }
        break;
    case SM_TYPE_I8:
    case SM_TYPE_U8:
        FILL_WORDS(uint8_t);
    case SM_TYPE_I16:
    case SM_TYPE_U16:
        FILL_WORDS(uint16_t);
    case SM_TYPE_I32:
    case SM_TYPE_U32:
    case SM_TYPE_DATE:
        FILL_WORDS(uint32_t);
    default:
        FILL_WORDS(uint64_t);
    }
}
#undef FILL_WORDS

static void fill_strings(const filling *f, int32_t word)
{
    sm_view *values = sm_builder_values(f->to);
    for (int64_t i = 0; i < f->n; i++) {
        const uint64_t *key = group_at(f->table, f->first + i) + word;
        if (is_far(key)) {
            values[f->at + i] = sm_builder_keep_str(
                f->to, (sm_str){(const char *)(uintptr_t)key[1], (uint32_t)key[0]});
        } else {
            values[f->at + i] = (sm_view){.words = {key[0], key[1]}};
        }
    }
}

/* Ends the column. A row is null where its group's header lacks the bit, or (`is_null`) has it. */
static void end_column(const filling *f, int bit, bool is_null)
{
    sm_builder_advance(f->to, f->n);
    for (int64_t i = 0; i < f->n; i++) {
        const uint64_t head = group_at(f->table, f->first + i)[f->table->pack->key_words];
        if ((head >> (32 + bit) & 1) == is_null) {
            sm_builder_set_null(f->to, f->at + i);
        }
    }
}

static void fill_distinct(const filling *f, const pack_item *it)
{
    int64_t *values = sm_builder_values(f->to);
    for (int64_t i = 0; i < f->n; i++) {
        values[f->at + i] = __builtin_popcountll(*word_at(f->table, f->first + i, it->word)) +
                            (int64_t)*word_at(f->table, f->first + i, it->others);
    }
}

/* Fails for the first group whose sum does not fit: it still has a carry. */
static sm_status check_sum(const filling *f, int32_t item, int64_t *failed, sm_error *e)
{
    const smi_pack_table *t = f->table;
    const carry *c = carries_in(t->carries);
    for (int64_t id = f->first; c && id < f->first + f->n; id++) {
        int64_t by = 0;
        for (int64_t i = 0; i < t->n_carries; i++) {
            by += c[i].group == id && c[i].item == item ? c[i].by : 0;
        }
        if (by != 0) {
            const pack_item *it = &t->pack->items[item];
            *failed = id;
            return sm_agg_sum_too_large(
                it->call, (sm_i128)(int64_t)*word_at(t, id, it->word) + ((sm_i128)by << 64), e);
        }
    }
    return SM_OK;
}

static void fill_key(const filling *f, int32_t k)
{
    const pack_key *key = &f->table->pack->keys[k];
    if (key->is_str) {
        fill_strings(f, key->word);
    } else {
        fill_words(f, key->expr->type, key->word);
    }
    end_column(f, MAX_ITEMS + k, true);
}

void smi_pack_key(const smi_pack_table *t, int64_t id, int32_t k, sm_builder *to)
{
    const filling f = {.table = t, .first = id, .n = 1, .to = to, .at = sm_builder_rows(to)};
    if (sm_builder_reserve(to, 1)) {
        fill_key(&f, k);
    }
}

static sm_status fill_item(filling *f, int32_t i, int64_t *failed, sm_error *e)
{
    const pack_item *it = &f->table->pack->items[i];
    if (it->op == OP_DISTINCT) {
        fill_distinct(f, it);
        sm_builder_advance(f->to, f->n);
        return SM_OK;
    }
    fill_words(f, it->call->type, it->word);
    if (it->op == OP_COUNT) {
        sm_builder_advance(f->to, f->n);
        return SM_OK;
    }
    end_column(f, i, false);
    return it->op == OP_SUM ? check_sum(f, i, failed, e) : SM_OK;
}

sm_status smi_pack_fill(const smi_pack_table *t, int64_t first, int64_t n, sm_builder *const *out,
                        int64_t *failed, sm_error *e)
{
    const smi_pack *k = t->pack;
    *failed = -1;
    for (int32_t c = 0; c < k->n_keys + k->n_items; c++) {
        filling f = {
            .table = t, .first = first, .n = n, .to = out[c], .at = sm_builder_rows(out[c])};
        if (!sm_builder_reserve(out[c], n)) {
            return SM_OK; /* refused: finishing the builder tells */
        }
        if (c < k->n_keys) {
            fill_key(&f, c);
        } else {
            SM_TRY(fill_item(&f, c - k->n_keys, failed, e));
        }
    }
    return SM_OK;
}

/* ---- records to a spill and back ------------------------------------------------------------- */

/* Counts the bytes of a partition's long keys; with `to` also writes them, in the order of records.
 * */
static sm_status add_text(const smi_pack *k, const smi_packed *records, int32_t part, size_t words,
                          smi_piece *to, uint64_t *bytes, sm_error *e)
{
    const uint64_t *all = (const uint64_t *)(const void *)records->records->data;
    for (uint32_t i = records->first[part]; i < records->first[part + 1]; i++) {
        for (int32_t w = 0; w < k->n_keys; w++) {
            const uint64_t *key = all + i * words + k->keys[w].word;
            if (k->keys[w].is_str && is_far(key)) {
                *bytes += (uint32_t)key[0];
                SM_TRY(
                    !to ? SM_OK
                        : smi_piece_add(to, (const void *)(uintptr_t)key[1], (uint32_t)key[0], e));
            }
        }
    }
    return SM_OK;
}

/* Writes the carries of a partition's groups, whose numbers count from `at`. */
static sm_status put_carries(const smi_packed *records, int32_t part, uint32_t at, smi_piece *to,
                             int64_t *n, sm_error *e)
{
    const uint32_t from = records->first[part], end = records->first[part + 1];
    const carry *c = carries_in(records->carries);
    for (int64_t i = 0; i < records->n_carries; i++) {
        if (c[i].group >= from && c[i].group < end) {
            const carry one = {c[i].group - from + at, c[i].item, c[i].by};
            ++*n;
            SM_TRY(!to ? SM_OK : smi_piece_add(to, &one, sizeof(one), e));
        }
    }
    return SM_OK;
}

sm_status smi_pack_put(const smi_pack *k, const smi_packed *const *list, int64_t n, int32_t part,
                       smi_spill *spill, smi_pack_piece *out, sm_error *e)
{
    const size_t words = smi_pack_words(k, list[0]->kind);
    uint64_t text = 0, ignored = 0;
    smi_piece *p = NULL;
    *out = (smi_pack_piece){.kind = list[0]->kind};
    for (int64_t i = 0; i < n; i++) {
        SM_TRY(add_text(k, list[i], part, words, NULL, &text, e));
        SM_TRY(put_carries(list[i], part, 0, NULL, &out->n_carries, e));
        out->n_records += list[i]->first[part + 1] - list[i]->first[part];
    }
    SM_TRY(smi_piece_begin(
        spill, out->n_records * words * 8 + text + (uint64_t)out->n_carries * sizeof(carry), &p,
        e));
    sm_status st = SM_OK;
    for (int64_t i = 0; i < n && st == SM_OK; i++) {
        const uint32_t from = list[i]->first[part], end = list[i]->first[part + 1];
        st = smi_piece_add(p, list[i]->records->data + from * words * 8, (end - from) * words * 8,
                           e);
    }
    for (int64_t i = 0; i < n && st == SM_OK; i++) {
        st = add_text(k, list[i], part, words, p, &ignored, e);
    }
    uint32_t at = 0;
    int64_t n_ignored = 0;
    for (int64_t i = 0; i < n && st == SM_OK; i++) {
        st = put_carries(list[i], part, at, p, &n_ignored, e);
        at += list[i]->first[part + 1] - list[i]->first[part];
    }
    if (st != SM_OK) {
        smi_piece_drop(p);
        return st;
    }
    return smi_piece_end(p, &out->extent, e);
}

/* Makes long keys point to their bytes, which now follow the records. */
static uint8_t *restore_text(const smi_pack *k, uint64_t *records, uint32_t n, size_t words)
{
    uint8_t *text = (uint8_t *)(records + n * words);
    for (uint32_t i = 0; i < n; i++) {
        for (int32_t w = 0; w < k->n_keys; w++) {
            uint64_t *key = records + i * words + k->keys[w].word;
            if (k->keys[w].is_str && is_far(key)) {
                key[1] = (uint64_t)(uintptr_t)text;
                text += (uint32_t)key[0];
            }
        }
    }
    return text;
}

sm_status smi_pack_get(const smi_pack *k, const smi_pack_piece *piece, int32_t part,
                       smi_spill *spill, sm_budget *budget, smi_packed **out, sm_error *e)
{
    const size_t words = smi_pack_words(k, piece->kind);
    const size_t carry_bytes = (size_t)piece->n_carries * sizeof(carry);
    smi_packed *r = sm_alloc_zero(sizeof(*r));
    sm_status st = sm_block_new(budget, piece->extent.plain_bytes, &r->records, e);
    if (st == SM_OK && carry_bytes > 0) {
        st = sm_block_new(budget, carry_bytes, &r->carries, e);
    }
    if (st == SM_OK) {
        st = smi_spill_get(spill, &piece->extent, r->records->data, e);
    }
    if (st != SM_OK) {
        smi_packed_free(r);
        return st;
    }
    uint64_t *records = (uint64_t *)(void *)r->records->data;
    const uint8_t *after = restore_text(k, records, piece->n_records, words);
    if (carry_bytes > 0) {
        memcpy(r->carries->data, after, carry_bytes);
    }
    r->kind = piece->kind;
    r->n_carries = piece->n_carries;
    for (int32_t p = part + 1; p <= SMI_PARTS; p++) {
        r->first[p] = piece->n_records;
    }
    *out = r;
    return SM_OK;
}
