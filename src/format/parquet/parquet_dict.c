/* SPDX-License-Identifier: Apache-2.0
 *
 * format/parquet/parquet_dict.c: the dictionary of a column chunk that is written.
 *
 * Method   A hash table with open addressing and linear probing, at most half full. Entries are
 *          numbered in the order of their first appearance, so the bytes written do not depend on
 *          the hash. Numbers are compared by their bits, so each NaN stays what it is. The code of
 *          a number that came lately is found without a hash.
 * Limits   MAX_ENTRIES and MAX_BYTES. With more, codes would not be small any more, and a reader's
 *          table would not fit into L2. The column then goes on without the dictionary.
 *
 * Called by parquet_column.c and parquet_stats.c. */

#include "format/parquet/parquet_int.h"

#define MAX_ENTRIES 65536
#define MAX_BYTES   (1u << 20)
#define FIRST_SLOTS 1024
#define HASHED      64 /* values whose places in the table are fetched together */

_Static_assert((FIRST_SLOTS & (FIRST_SLOTS - 1)) == 0, "places in the table are masked");
_Static_assert(MAX_BYTES < UINT32_MAX, "offsets of texts are uint32");

typedef struct dict_entry {
    uint32_t off, len;
} dict_entry;

void smi_pq_dict_init(smi_pq_dict *d, int value_bytes)
{
    *d = (smi_pq_dict){
        .value_bytes = value_bytes, .max_entries = MAX_ENTRIES, .max_bytes = MAX_BYTES};
}

void smi_pq_dict_reset(smi_pq_dict *d)
{
    if (d->n == 0) {
        return; /* most chunks have none: their table is empty already */
    }
    d->n = 0;
    d->n_bytes = 0;
    sm_buf_reset(&d->values);
    sm_buf_reset(&d->entries);
    memset(d->slots, 0, (size_t)d->n_slots * sizeof(*d->slots));
    memset(d->known, 0, sizeof(d->known));
}

void smi_pq_dict_release(smi_pq_dict *d)
{
    sm_free(d->slots);
    sm_buf_release(&d->values);
    sm_buf_release(&d->entries);
    smi_pq_dict_init(d, d->value_bytes);
}

size_t smi_pq_dict_memory(const smi_pq_dict *d)
{
    return (size_t)d->n_slots * sizeof(*d->slots) + d->values.cap + d->entries.cap;
}

static uint32_t hash_number(uint64_t v)
{
    return (uint32_t)(sm_mix64(v + 0x9e3779b97f4a7c15u) >> 32);
}

/* The words of a text of 8 to 16 bytes have all of its bytes, some of them twice. */
static uint64_t words_of(const uint8_t *p, size_t n)
{
    return smi_pq_le64(p) ^ (smi_pq_le64(p + n - 8) * 0x9e3779b97f4a7c15u + n);
}

static uint32_t hash_text(sm_str s)
{
    const uint8_t *p = (const uint8_t *)s.data;
    if (s.len > 32) {
        return (uint32_t)(sm_hash64(p, s.len) >> 32);
    }
    if (s.len > 16) {
        return hash_number(words_of(p, 16) * 0xd6e8feb86659fd93u ^ words_of(p + s.len - 16, 16));
    }
    if (s.len >= 8) {
        return hash_number(words_of(p, s.len));
    }
    uint64_t a = 0, b = 0; /* likewise */
    if (s.len >= 4) {
        a = smi_pq_le32(p);
        b = smi_pq_le32(p + s.len - 4);
    } else if (s.len > 0) {
        a = p[0];
        b = (uint64_t)p[s.len / 2] << 8 | p[s.len - 1];
    }
    return hash_number(a ^ (b * 0x9e3779b97f4a7c15u + s.len));
}

sm_str smi_pq_dict_text(const smi_pq_dict *d, uint32_t code)
{
    SM_ASSERT(d->value_bytes == 0 && code < d->n);
    const dict_entry *e = (const dict_entry *)(const void *)d->entries.data + code;
    return (sm_str){(const char *)d->values.data + e->off, e->len};
}

static uint64_t number_at(const smi_pq_dict *d, const void *values, int64_t i)
{
    SM_ASSERT(values);
    return d->value_bytes == 4 ? ((const uint32_t *)values)[i] : ((const uint64_t *)values)[i];
}

/* Doubles the table where one more entry would make it more than half full. */
static void grow_slots(smi_pq_dict *d)
{
    const smi_pq_slot *const old = d->slots;
    const uint32_t n_old = d->n_slots;
    if (n_old >= (d->n + 1) * 2) {
        return;
    }
    d->n_slots = n_old ? n_old * 2 : FIRST_SLOTS;
    d->slots = sm_alloc_zero((size_t)d->n_slots * sizeof(*d->slots));
    for (uint32_t i = 0; i < n_old; i++) {
        uint32_t at = old[i].hash & (d->n_slots - 1);
        while (d->slots[at].code) {
            at = (at + 1) & (d->n_slots - 1);
        }
        if (old[i].code) {
            d->slots[at] = old[i];
        }
    }
    sm_free((void *)old);
    SM_ASSERT(d->n_slots >= (d->n + 1) * 2);
}

static bool is_full(const smi_pq_dict *d, size_t more)
{
    return d->n >= d->max_entries || d->n_bytes + more > d->max_bytes;
}

bool smi_pq_dict_has_room(const smi_pq_dict *d, const sm_column *texts)
{
    const sm_view *v = texts->values;
    size_t bytes = 0;
    if (texts->n_rows > (int64_t)(d->max_entries - d->n)) {
        return false;
    }
    for (int64_t i = 0; i < texts->n_rows; i++) {
        bytes += (size_t)v[i].inlined.len + 4;
    }
    return bytes <= d->max_bytes - d->n_bytes;
}

/* Gives the next entry, which is of `bytes` bytes in a dictionary page, the free place. */
static uint32_t add_entry(smi_pq_dict *d, uint32_t at, uint32_t hash, size_t bytes)
{
    SM_ASSERT(!d->slots[at].code && !is_full(d, bytes));
    d->n_bytes += bytes;
    d->slots[at] = (smi_pq_slot){++d->n, hash};
    grow_slots(d);
    return d->n - 1;
}

/* The code of a number; −1 where it is new and the dictionary is full. */
static int64_t number_code(smi_pq_dict *d, uint64_t v, uint32_t hash)
{
    uint32_t at = hash & (d->n_slots - 1);

    while (d->slots[at].code && (d->slots[at].hash != hash ||
                                 number_at(d, d->values.data, d->slots[at].code - 1) != v)) {
        at = (at + 1) & (d->n_slots - 1);
    }
    if (d->slots[at].code) {
        return d->slots[at].code - 1;
    }
    if (is_full(d, (size_t)d->value_bytes)) {
        return -1;
    }
    memcpy(smi_pq_room(&d->values, sizeof(v)), &v, sizeof(v));
    d->values.len += (size_t)d->value_bytes;
    return add_entry(d, at, hash, (size_t)d->value_bytes);
}

/* The codes of at most HASHED numbers. */
static int64_t number_codes(smi_pq_dict *d, const void *values, int64_t n, uint32_t *codes)
{
    uint32_t hashes[HASHED];
    uint8_t others[HASHED];
    int n_others = 0;

    SM_ASSERT(n <= HASHED);
    for (int64_t i = 0; i < n; i++) {
        const uint64_t v = number_at(d, values, i);
        const int k = (int)(v % SMI_PQ_KNOWN);
        if (d->known[k].code > 0 && d->known[k].value == v) {
            codes[i] = d->known[k].code - 1;
            continue;
        }
        hashes[n_others] = hash_number(v);
        __builtin_prefetch(&d->slots[hashes[n_others] & (d->n_slots - 1)]);
        others[n_others++] = (uint8_t)i;
    }
    for (int i = 0; i < n_others; i++) {
        const uint64_t v = number_at(d, values, others[i]);
        const int64_t code = number_code(d, v, hashes[i]);
        if (code < 0) {
            return others[i];
        }
        codes[others[i]] = (uint32_t)code;
        d->known[v % SMI_PQ_KNOWN].value = v;
        d->known[v % SMI_PQ_KNOWN].code = (uint32_t)code + 1;
    }
    return n;
}

static bool is_same_text(const uint8_t *p, const uint8_t *q, size_t n)
{
    if (n < 8 || n > 16) {
        return memcmp(p, q, n) == 0;
    }
    return smi_pq_le64(p) == smi_pq_le64(q) && smi_pq_le64(p + n - 8) == smi_pq_le64(q + n - 8);
}

static bool entry_is(const smi_pq_dict *d, uint32_t code, sm_str s)
{
    const dict_entry *e = (const dict_entry *)(const void *)d->entries.data + code;
    return e->len == s.len && is_same_text(d->values.data + e->off, (const uint8_t *)s.data, s.len);
}

/* The codes of at most HASHED texts. */
static int64_t text_codes(smi_pq_dict *d, const sm_str *values, int64_t n, uint32_t *codes)
{
    dict_entry *to = (dict_entry *)(void *)smi_pq_room(&d->entries, (size_t)n * sizeof(*to) + 1);
    uint32_t hashes[HASHED];

    SM_ASSERT(n <= HASHED);
    for (int64_t i = 0; i < n; i++) {
        hashes[i] = hash_text(values[i]);
        __builtin_prefetch(&d->slots[hashes[i] & (d->n_slots - 1)]);
    }
    for (int64_t i = 0; i < n; i++) {
        const sm_str s = values[i];
        const uint32_t hash = hashes[i];
        uint32_t at = hash & (d->n_slots - 1);
        while (d->slots[at].code &&
               (d->slots[at].hash != hash || !entry_is(d, d->slots[at].code - 1, s))) {
            at = (at + 1) & (d->n_slots - 1);
        }
        if (d->slots[at].code) {
            codes[i] = d->slots[at].code - 1;
            continue;
        }
        if (is_full(d, s.len + 4)) {
            return i;
        }
        *to++ = (dict_entry){(uint32_t)d->values.len, (uint32_t)s.len};
        d->entries.len += sizeof(*to);
        sm_str_copy(smi_pq_room(&d->values, s.len + 1), s.data, s.len); /* never NULL */
        d->values.len += s.len;
        codes[i] = add_entry(d, at, hash, s.len + 4);
    }
    return n;
}

/* Are all of n > 0 values the same? Tells at once where the first two differ. */
static bool are_same(const smi_pq_dict *d, const void *values, int64_t n)
{
    uint64_t other = 0;
    if (d->value_bytes == 0) {
        const sm_str *const s = values;
        int64_t i = 1;
        while (i < n && s[i].len == s[0].len &&
               (s[i].data == s[0].data ||
                is_same_text((const uint8_t *)s[i].data, (const uint8_t *)s[0].data, s[0].len))) {
            i++;
        }
        return i == n;
    }
    if (n > 1 && number_at(d, values, 0) != number_at(d, values, 1)) {
        return false;
    }
    for (int64_t i = 1; i < n; i++) {
        other |= number_at(d, values, i) ^ number_at(d, values, 0);
    }
    return other == 0;
}

int64_t smi_pq_dict_codes(smi_pq_dict *d, const void *values, int64_t n, uint32_t *codes)
{
    SM_ASSERT(d->n <= d->max_entries && d->n_bytes <= d->max_bytes);
    SM_ASSERT(d->value_bytes == 0 ? d->entries.len == d->n * sizeof(dict_entry)
                                  : d->values.len == (size_t)d->n * (size_t)d->value_bytes);
    const bool is_text = d->value_bytes == 0;
    const size_t bytes = is_text ? sizeof(sm_str) : (size_t)d->value_bytes;

    grow_slots(d);
    for (int64_t at = 0; at < n; at += HASHED) {
        const void *const from = (const uint8_t *)values + (size_t)at * bytes;
        const int64_t some = n - at < HASHED ? n - at : HASHED;
        const int64_t n_asked = are_same(d, from, some) ? 1 : some;
        const int64_t done = is_text ? text_codes(d, from, n_asked, codes + at)
                                     : number_codes(d, from, n_asked, codes + at);
        if (done < n_asked) {
            return at + done;
        }
        for (int64_t i = n_asked; i < some; i++) {
            codes[at + i] = codes[at];
        }
    }
    return n;
}
