/* SPDX-License-Identifier: Apache-2.0
 *
 * exec/exec_groups.c: a hash table from rows of keys to group numbers 0, 1, 2, …
 *
 * Calls    new; find (makes groups that are missing) or look (does not) for many rows at a time;
 *          state and key by number. After a find that failed the table may only be freed.
 *          Used by the aggregate (a table for each partition, one for a morsel, the sets of
 *          DISTINCT) and by the join (the keys of its right side).
 * Slots    8 bytes each: the low half of the hash and the group number plus one. Linear probing.
 *          They are doubled when half are full, which reads no record.
 * Record   A group's keys and its state side by side, so that comparing the keys brings in the
 *          state's cache line:
 *            keys, each 8 bytes (16: strings, decimals)   null bits, 8 bytes for 64 keys   state
 *          A string of up to 12 bytes is stored within its 16 bytes, as in a view; a longer one as
 *          its length, its first 4 bytes and a pointer to a copy. A nested key is encoded to bytes
 *          and stored as a string. Records stand in pages that double in size and never move.
 * Why      A probe costs one cache miss for the slot and one for the record. With keys and states
 *          in columns it would cost one more for each column. */
#include "exec/exec_groups_int.h"

#include <string.h>

/* The nested keys of the row at hand; the caller's own, since looking is for many threads. */
typedef struct nested_row {
    sm_buf encoded;
    sm_str *keys; /* NULL where no key is nested */
} nested_row;

/* ---- making ---------------------------------------------------------------------------------- */

static smi_key_kind kind_of(const sm_type *t)
{
    if (sm_type_is_nested(t->id)) {
        return SMI_KEY_NESTED;
    }
    if (sm_type_is_bytes(t->id)) {
        return SMI_KEY_STR;
    }
    switch (t->id) {
    case SM_TYPE_F32:
        return SMI_KEY_F32;
    case SM_TYPE_F64:
        return SMI_KEY_F64;
    case SM_TYPE_DECIMAL:
        return SMI_KEY_WIDE;
    default:
        return SMI_KEY_BITS;
    }
}

smi_groups *smi_groups_new(const sm_type *const *types, int32_t n_keys, size_t state_bytes,
                           sm_budget *budget)
{
    smi_groups *g = sm_alloc_zero(sizeof(*g));
    size_t off = 0;
    g->budget = budget;
    g->n_keys = n_keys;
    g->keys = sm_alloc_zero((size_t)(n_keys + 1) * sizeof(*g->keys));
    for (int32_t k = 0; k < n_keys; k++) {
        const smi_key_kind kind = kind_of(types[k]);
        g->keys[k] = (smi_group_key){
            .type = types[k], .kind = kind, .width = sm_type_bytes(types[k]->id), .off = off};
        off += kind == SMI_KEY_WIDE || kind == SMI_KEY_STR || kind == SMI_KEY_NESTED ? 16 : 8;
    }
    g->nulls_off = off;
    off += (size_t)((n_keys + 63) / 64) * 8;
    g->state_off = state_bytes % 16 == 0 ? (off + 15) & ~(size_t)15 : off;
    g->record_bytes = (g->state_off + state_bytes + 15) & ~(size_t)15;
    if (g->record_bytes == 0) {
        g->record_bytes = 16;
    }
    return g;
}

void smi_groups_free(smi_groups *g)
{
    if (!g) {
        return;
    }
    smi_groups_assert_valid(g);
    for (int i = 0; i < SMI_GROUP_PAGES; i++) {
        sm_block_release(g->pages[i]);
    }
    for (int64_t i = 0; i < g->n_heap; i++) {
        sm_block_release(g->heap[i]);
    }
    sm_block_release(g->slots_block);
    sm_free(g->heap);
    sm_free(g->keys);
    sm_free(g);
}

int64_t smi_groups_count(const smi_groups *g)
{
    return g->count;
}

void *smi_groups_state(const smi_groups *g, int64_t id)
{
    return smi_group_record(g, id) + g->state_off;
}

/* ---- growing --------------------------------------------------------------------------------- */

static sm_status grow_slots(smi_groups *g, sm_error *e)
{
    const uint64_t n = g->slots ? ((uint64_t)g->mask + 1) * 2 : SMI_GROUP_FIRST_SLOTS;
    sm_block *block = NULL;
    if (n > (uint64_t)1 << 32) {
        return sm_fail(e, SM_LIMIT, "there are more than 2^31 groups in a partition");
    }
    SM_TRY(sm_block_new(g->budget, n * 8, &block, e));
    uint64_t *slots = (uint64_t *)block->data;
    memset(slots, 0, n * 8);
    const uint32_t mask = (uint32_t)(n - 1);
    for (uint64_t i = 0; g->slots && i <= g->mask; i++) {
        const uint64_t slot = g->slots[i];
        const sm_status st = sm_check_cancel_at(g->budget, (int64_t)i, e);
        if (st != SM_OK) {
            sm_block_release(block);
            return st;
        }
        if (slot == 0) {
            continue;
        }
        uint32_t at = (uint32_t)slot & mask;
        while (slots[at] != 0) {
            at = (at + 1) & mask;
        }
        slots[at] = slot;
    }
    sm_block_release(g->slots_block);
    g->slots_block = block;
    g->slots = slots;
    g->mask = mask;
    smi_groups_assert_valid(g);
    return SM_OK;
}

/* Makes room for one more group: a page for its record, and slots of which half stay free. */
static sm_status make_room(smi_groups *g, sm_error *e)
{
    if (!g->slots || (uint64_t)g->count * 2 >= g->mask) {
        SM_TRY(grow_slots(g, e));
    }
    const int page = smi_group_page(g->count);
    SM_ENSURE(page < SMI_GROUP_PAGES);
    SM_ASSERT((uint64_t)g->count < g->mask); /* a slot is free, or looking would not end */
    if (!g->pages[page]) {
        const size_t bytes = g->record_bytes << (page + SMI_GROUP_PAGE_LOG);
        SM_TRY(sm_block_new(g->budget, bytes, &g->pages[page], e));
        memset(g->pages[page]->data, 0, bytes);
    }
    return SM_OK;
}

static sm_status keep_bytes(smi_groups *g, const uint8_t *bytes, size_t n, const uint8_t **out,
                            sm_error *e)
{
    sm_block *last = g->n_heap ? g->heap[g->n_heap - 1] : NULL;
    if (!last || last->size_bytes - g->heap_used < n) {
        size_t size = last ? last->size_bytes * 2 : 1024;
        size = size > (256 << 10) ? 256 << 10 : size;
        size = size < n ? n : size;
        if (g->n_heap == g->heap_cap) {
            g->heap_cap = g->heap_cap ? g->heap_cap * 2 : 8;
            g->heap = sm_realloc(g->heap, (size_t)g->heap_cap * sizeof(*g->heap));
        }
        SM_TRY(sm_block_new(g->budget, size, &g->heap[g->n_heap], e));
        last = g->heap[g->n_heap++];
        g->heap_used = 0;
    }
    memcpy(last->data + g->heap_used, bytes, n);
    *out = last->data + g->heap_used;
    g->heap_used += n;
    return SM_OK;
}

/* ---- nested keys ----------------------------------------------------------------------------- */

static sm_status encode_value(const sm_column *c, int64_t i, sm_buf *out, sm_error *e);

static sm_status encode_range(const sm_column *c, int64_t first, int64_t end, sm_buf *out,
                              sm_error *e)
{
    for (int64_t i = first; i < end; i++) {
        SM_TRY(encode_value(c, i, out, e));
    }
    return SM_OK;
}

/* A value of a flat column that is not nested: its bytes. Both zeros have the same, and all NaN. */
static sm_status encode_scalar(const sm_column *c, int64_t i, sm_buf *out, sm_error *e)
{
    const sm_value v = sm_column_value(c, i);
    if (sm_type_is_bytes(c->type->id)) {
        const uint64_t len = v.as.s.len;
        SM_TRY(sm_buf_add(out, &len, 8, e));
        return sm_buf_add(out, v.as.s.data, v.as.s.len, e);
    }
    if (c->type->id == SM_TYPE_F32 || c->type->id == SM_TYPE_F64) {
        const double f = v.as.f == 0 ? 0 : v.as.f != v.as.f ? __builtin_nan("") : v.as.f;
        return sm_buf_add(out, &f, 8, e);
    }
    if (c->type->id == SM_TYPE_BOOL) {
        const uint8_t b = v.as.b;
        return sm_buf_add(out, &b, 1, e);
    }
    return c->type->id == SM_TYPE_DECIMAL ? sm_buf_add(out, &v.as.d, 16, e)
                                          : sm_buf_add(out, &v.as.u, 8, e);
}

/* A byte that is 0 for NULL, then the value; a list begins with its length. Two values have equal
 * bytes if and only if they are equal. */
static sm_status encode_value(const sm_column *c, int64_t i, sm_buf *out, sm_error *e)
{
    if (c->layout != SM_FLAT) {
        const bool is_dict = c->layout == SM_DICT;
        if (sm_column_is_null(c, i)) {
            return sm_buf_add(out, "", 1, e);
        }
        if (is_dict) {
            return encode_value(&c->children[0], ((const int32_t *)c->values)[i], out, e);
        }
        sm_column row = *c;
        row.layout = SM_FLAT;
        return encode_value(&row, 0, out, e);
    }
    const uint8_t has_value = !sm_column_is_null(c, i);
    SM_TRY(sm_buf_add(out, &has_value, 1, e));
    if (!has_value) {
        return SM_OK;
    }
    if (c->type->id == SM_TYPE_STRUCT) {
        for (int32_t k = 0; k < c->n_children; k++) {
            SM_TRY(encode_value(&c->children[k], i, out, e));
        }
        return SM_OK;
    }
    if (c->type->id == SM_TYPE_LIST || c->type->id == SM_TYPE_MAP) {
        const int32_t *offs = (const int32_t *)c->values + i;
        const int64_t n = offs[1] - offs[0];
        SM_TRY(sm_buf_add(out, &n, 8, e));
        for (int32_t k = 0; k < c->n_children; k++) {
            SM_TRY(encode_range(&c->children[k], offs[0], offs[1], out, e));
        }
        return SM_OK;
    }
    return encode_scalar(c, i, out, e);
}

/* The reverse of encode_value(): appends the value at *at, and moves *at behind it. All keys of a
 * map stand before its values. */
static void decode_value(const sm_type *t, const uint8_t **at, sm_builder *b)
{
    const uint8_t has_value = *(*at)++;
    if (!has_value) {
        sm_builder_null(b);
        return;
    }
    if (t->id == SM_TYPE_STRUCT) {
        for (int32_t k = 0; k < t->n_fields; k++) {
            decode_value(t->fields[k].type, at, sm_builder_child(b, k));
        }
        sm_builder_struct(b);
        return;
    }
    if (t->id == SM_TYPE_LIST || t->id == SM_TYPE_MAP) {
        int64_t n = 0;
        memcpy(&n, *at, 8);
        *at += 8;
        for (int32_t k = 0; k < t->n_fields; k++) {
            for (int64_t i = 0; i < n; i++) {
                decode_value(t->fields[k].type, at, sm_builder_child(b, k));
            }
        }
        sm_builder_list(b);
        return;
    }
    sm_value v = {.type = t};
    size_t width = 8;
    if (t->id == SM_TYPE_BOOL) {
        v.as.b = **at;
        width = 1;
    } else if (sm_type_is_bytes(t->id)) {
        uint64_t len = 0;
        memcpy(&len, *at, 8);
        v.as.s = (sm_str){(const char *)*at + 8, len};
        width = 8 + len;
    } else if (t->id == SM_TYPE_F32 || t->id == SM_TYPE_F64) {
        memcpy(&v.as.f, *at, 8);
    } else if (t->id == SM_TYPE_DECIMAL) {
        memcpy(&v.as.d, *at, 16);
        width = 16;
    } else {
        memcpy(&v.as.u, *at, 8);
    }
    *at += width;
    if (t->id == SM_TYPE_NULL) {
        sm_builder_null(b);
    } else {
        sm_builder_value(b, v);
    }
}

/* ---- one key of one row ---------------------------------------------------------------------- */

static inline uint64_t load_bits(const void *values, int64_t i, int width)
{
    uint64_t v = 0;
    switch (width) {
    case 0:
        return sm_bit_get(values, i);
    case 1:
        return ((const uint8_t *)values)[i];
    case 2:
        return ((const uint16_t *)values)[i];
    case 4:
        return ((const uint32_t *)values)[i];
    default:
        memcpy(&v, (const uint8_t *)values + i * 8, 8);
        return v;
    }
}

static inline bool str_is(const smi_group_str *s, sm_str v)
{
    if ((size_t)s->inlined.len != v.len) {
        return false;
    }
    const void *mine = v.len <= SM_VIEW_INLINE ? s->inlined.bytes : s->far.data;
    return memcmp(mine, v.data, v.len) == 0;
}

static sm_status store_str(smi_groups *g, smi_group_str *s, sm_str v, sm_error *e)
{
    if (v.len > INT32_MAX) {
        return sm_fail(e, SM_LIMIT, "a group key of %zu bytes is too long; the most is %d", v.len,
                       INT32_MAX);
    }
    s->inlined.len = (int32_t)v.len;
    if (v.len <= SM_VIEW_INLINE) {
        memcpy(s->inlined.bytes, v.data, v.len);
        return SM_OK;
    }
    memcpy(s->far.prefix, v.data, 4);
    return keep_bytes(g, (const uint8_t *)v.data, v.len, &s->far.data, e);
}

static bool float_is(double a, double b)
{
    return a == b || (a != a && b != b);
}

static bool scalar_is(const smi_group_key *k, const uint8_t *at, const sm_column *c, int64_t i)
{
    switch (k->kind) {
    case SMI_KEY_F32: {
        float f;
        memcpy(&f, at, 4);
        return float_is(f, ((const float *)c->values)[i]);
    }
    case SMI_KEY_F64: {
        double f;
        memcpy(&f, at, 8);
        return float_is(f, ((const double *)c->values)[i]);
    }
    case SMI_KEY_WIDE:
        return memcmp(at, (const uint8_t *)c->values + i * 16, 16) == 0;
    default: {
        uint64_t v;
        memcpy(&v, at, 8);
        return v == load_bits(c->values, i, k->width);
    }
    }
}

/* Are the keys of the row those of the record? Nested keys were encoded into `nested` before. */
static bool row_is(const smi_groups *g, const uint8_t *record, const sm_column *keys, int64_t i,
                   const sm_str *nested)
{
    for (int32_t k = 0; k < g->n_keys; k++) {
        const smi_group_key *key = &g->keys[k];
        const sm_column *c = &keys[k];
        const bool is_null = sm_column_is_null(c, i);
        if (is_null != smi_group_has_null(g, record, k)) {
            return false;
        }
        if (is_null) {
            continue;
        }
        const uint8_t *at = record + key->off;
        if (key->kind == SMI_KEY_NESTED) {
            SM_ASSERT(nested);
            if (!str_is((const smi_group_str *)at, nested[k])) {
                return false;
            }
        } else if (key->kind == SMI_KEY_STR) {
            if (!str_is((const smi_group_str *)at,
                        sm_view_str((const sm_view *)c->values + i, c->heap))) {
                return false;
            }
        } else if (!scalar_is(key, at, c, i)) {
            return false;
        }
    }
    return true;
}

static sm_status store_row(smi_groups *g, uint8_t *record, const sm_column *keys, int64_t i,
                           const sm_str *nested, sm_error *e)
{
    for (int32_t k = 0; k < g->n_keys; k++) {
        const smi_group_key *key = &g->keys[k];
        const sm_column *c = &keys[k];
        uint8_t *at = record + key->off;
        if (sm_column_is_null(c, i)) {
            sm_bit_set(record + g->nulls_off, k);
        } else if (key->kind == SMI_KEY_NESTED) {
            SM_ASSERT(nested);
            SM_TRY(store_str(g, (smi_group_str *)at, nested[k], e));
        } else if (key->kind == SMI_KEY_STR) {
            SM_TRY(store_str(g, (smi_group_str *)at,
                             sm_view_str((const sm_view *)c->values + i, c->heap), e));
        } else if (key->kind == SMI_KEY_WIDE) {
            memcpy(at, (const uint8_t *)c->values + i * 16, 16);
        } else {
            const uint64_t v = load_bits(c->values, i, key->width);
            memcpy(at, &v, 8);
        }
    }
    return SM_OK;
}

/* ---- finding --------------------------------------------------------------------------------- */

static sm_status add_group(smi_groups *g, const sm_column *keys, int64_t i, uint64_t hash,
                           const sm_str *nested, uint32_t *id, sm_error *e)
{
    SM_TRY(make_room(g, e));
    SM_TRY(store_row(g, smi_group_record(g, g->count), keys, i, nested, e));
    uint32_t at = (uint32_t)hash & g->mask;
    while (g->slots[at] != 0) {
        at = (at + 1) & g->mask;
    }
    *id = (uint32_t)g->count++;
    g->slots[at] = (uint64_t)(*id + 1) << 32 | (uint32_t)hash;
    return SM_OK;
}

/* The group of a row's keys, or −1 where there is none. */
static int64_t look_row(const smi_groups *g, const sm_column *keys, int64_t i, uint64_t hash,
                        const sm_str *nested)
{
    if (!g->slots) {
        return -1;
    }
    for (uint32_t at = (uint32_t)hash & g->mask;; at = (at + 1) & g->mask) {
        const uint64_t slot = g->slots[at];
        if (slot == 0) {
            return -1;
        }
        if ((uint32_t)slot == (uint32_t)hash) {
            const int64_t id = (int64_t)(slot >> 32) - 1;
            if (row_is(g, smi_group_record(g, id), keys, i, nested)) {
                return id;
            }
        }
    }
}

/* The same for a table with one key, in a column without NULLs, where two words (a short string) or
 * one are compared. A long string goes to look_row(). */
static inline int64_t look_str(const smi_groups *g, const sm_column *c, int64_t i, uint64_t hash)
{
    const sm_view *v = (const sm_view *)c->values + i;
    if (v->inlined.len > SM_VIEW_INLINE || !g->slots) {
        return look_row(g, c, i, hash, NULL);
    }
    for (uint32_t at = (uint32_t)hash & g->mask;; at = (at + 1) & g->mask) {
        const uint64_t slot = g->slots[at];
        if (slot == 0) {
            return -1;
        }
        if ((uint32_t)slot == (uint32_t)hash) {
            const int64_t id = (int64_t)(slot >> 32) - 1;
            const uint8_t *record = smi_group_record(g, id);
            uint64_t words[2];
            memcpy(words, record, 16);
            if (words[0] == v->words[0] && words[1] == v->words[1] &&
                !smi_group_has_null(g, record, 0)) {
                return id;
            }
        }
    }
}

static inline int64_t look_bits(const smi_groups *g, const sm_column *c, int64_t i, uint64_t hash,
                                int width)
{
    if (!g->slots) {
        return -1;
    }
    const uint64_t v = load_bits(c->values, i, width);
    for (uint32_t at = (uint32_t)hash & g->mask;; at = (at + 1) & g->mask) {
        const uint64_t slot = g->slots[at];
        if (slot == 0) {
            return -1;
        }
        if ((uint32_t)slot == (uint32_t)hash) {
            const int64_t id = (int64_t)(slot >> 32) - 1;
            const uint8_t *record = smi_group_record(g, id);
            uint64_t mine;
            memcpy(&mine, record, 8);
            if (mine == v && !smi_group_has_null(g, record, 0)) {
                return id;
            }
        }
    }
}

/* Which of them a table and its columns allow. */
typedef enum look_kind { LOOK_ANY, LOOK_STR, LOOK_BITS } look_kind;

static look_kind look_kind_of(const smi_groups *g, const sm_column *keys)
{
    if (g->n_keys != 1 || keys[0].validity || keys[0].type->id == SM_TYPE_NULL) {
        return LOOK_ANY;
    }
    return g->keys[0].kind == SMI_KEY_STR    ? LOOK_STR
           : g->keys[0].kind == SMI_KEY_BITS ? LOOK_BITS
                                             : LOOK_ANY;
}

static bool has_nested(const smi_groups *g)
{
    for (int32_t k = 0; k < g->n_keys; k++) {
        if (g->keys[k].kind == SMI_KEY_NESTED) {
            return true;
        }
    }
    return false;
}

/* Encodes the nested keys of a row. The buffer may move while it grows, so the pointers are set
 * when all keys are in it. */
static sm_status encode_row(const smi_groups *g, const sm_column *keys, int64_t i, nested_row *row,
                            sm_error *e)
{
    sm_buf_reset(&row->encoded);
    for (int32_t k = 0; k < g->n_keys; k++) {
        const size_t first = row->encoded.len;
        if (g->keys[k].kind == SMI_KEY_NESTED && !sm_column_is_null(&keys[k], i)) {
            SM_TRY(encode_value(&keys[k], i, &row->encoded, e));
        }
        row->keys[k].len = row->encoded.len - first;
    }
    size_t at = 0;
    for (int32_t k = 0; k < g->n_keys; k++) {
        row->keys[k].data = (const char *)row->encoded.data + at;
        at += row->keys[k].len;
    }
    return SM_OK;
}

static nested_row nested_begin(const smi_groups *g)
{
    nested_row row = {.encoded = {.budget = g->budget}};
    if (has_nested(g)) {
        row.keys = sm_alloc((size_t)g->n_keys * sizeof(*row.keys));
    }
    return row;
}

static void nested_end(nested_row *row)
{
    sm_buf_release(&row->encoded);
    sm_free(row->keys);
}

static inline int64_t look_by(const smi_groups *g, look_kind kind, const sm_column *keys, int64_t i,
                              uint64_t hash, const sm_str *nested)
{
    return kind == LOOK_STR    ? look_str(g, keys, i, hash)
           : kind == LOOK_BITS ? look_bits(g, keys, i, hash, g->keys[0].width)
                               : look_row(g, keys, i, hash, nested);
}

/* Without keys all rows are of the one group, which is there. */
static void find_only_group(const smi_groups *g, int64_t n, uint32_t *ids, uint8_t **states)
{
    uint8_t *const state = smi_groups_state(g, 0);

    memset(ids, 0, (size_t)n * sizeof(*ids));
    for (int64_t k = 0; states && k < n; k++) {
        states[k] = state;
    }
}

sm_status smi_groups_find(smi_groups *g, const sm_column *keys, const uint64_t *hashes,
                          const int32_t *rows, int64_t n, uint32_t *ids, uint8_t **states,
                          sm_error *e)
{
    SM_ASSERT(!g->has_failed);
    if (g->n_keys == 0 && g->count == 1) {
        find_only_group(g, n, ids, states);
        return SM_OK;
    }
    const look_kind kind = n > 0 ? look_kind_of(g, keys) : LOOK_ANY;
    nested_row nested = nested_begin(g);
    sm_status st = SM_OK;
    for (int32_t k = 0; k < g->n_keys && n > 0; k++) {
        SM_ASSERT(keys[k].layout == SM_FLAT && sm_type_eq(keys[k].type, g->keys[k].type));
    }
    for (int64_t k = 0; k < n; k++) {
        const int64_t i = rows ? rows[k] : k;
        SM_ASSERT(g->n_keys == 0 || (i >= 0 && i < keys[0].n_rows));
        if (nested.keys) {
            SM_TRY_GOTO(st, done, encode_row(g, keys, i, &nested, e));
        }
        const int64_t id = look_by(g, kind, keys, i, hashes[i], nested.keys);
        if (id >= 0) {
            ids[k] = (uint32_t)id;
        } else {
            SM_TRY_GOTO(st, done, add_group(g, keys, i, hashes[i], nested.keys, &ids[k], e));
        }
        if (states) {
            states[k] = smi_groups_state(g, ids[k]);
        }
    }
done:
    g->has_failed = st != SM_OK;
    nested_end(&nested);
    return st;
}

sm_status smi_groups_look(const smi_groups *g, const sm_column *keys, const uint64_t *hashes,
                          const int32_t *rows, int64_t n, int32_t *ids, sm_error *e)
{
    const look_kind kind = n > 0 ? look_kind_of(g, keys) : LOOK_ANY;
    nested_row nested = nested_begin(g);
    sm_status st = SM_OK;
    for (int64_t k = 0; k < n; k++) {
        if (nested.keys) {
            SM_TRY_GOTO(st, done, encode_row(g, keys, rows[k], &nested, e));
        }
        SM_ASSERT(rows[k] >= 0 && rows[k] < keys[0].n_rows && keys[0].layout == SM_FLAT);
        ids[k] = (int32_t)look_by(g, kind, keys, rows[k], hashes[rows[k]], nested.keys);
    }
done:
    nested_end(&nested);
    return st;
}

/* ---- reading back ---------------------------------------------------------------------------- */

static sm_str record_str(const smi_group_str *s)
{
    const bool is_near = s->inlined.len <= SM_VIEW_INLINE;
    return (sm_str){is_near ? (const char *)s->inlined.bytes : (const char *)s->far.data,
                    (size_t)s->inlined.len};
}

/* The value of a key that is no string from its 8 (or 16) bytes. */
static sm_value record_value(const smi_group_key *key, const uint8_t *at)
{
    sm_value v = {.type = key->type};
    uint64_t bits;
    memcpy(&bits, at, 8);
    switch (key->kind) {
    case SMI_KEY_F32: {
        float f;
        memcpy(&f, at, 4);
        v.as.f = f;
        return v;
    }
    case SMI_KEY_F64:
        memcpy(&v.as.f, at, 8);
        return v;
    case SMI_KEY_WIDE:
        memcpy(&v.as.d, at, 16);
        return v;
    default:
        break;
    }
    if (key->width == 0) {
        v.as.b = bits != 0;
    } else if (sm_type_is_integer(key->type->id) && !sm_type_is_signed(key->type->id)) {
        v.as.u = bits;
    } else {
        const int shift = 64 - 8 * key->width; /* sign extension */
        v.as.i = (int64_t)(bits << shift) >> shift;
    }
    return v;
}

void smi_groups_key(const smi_groups *g, int64_t id, int32_t k, sm_builder *b)
{
    SM_ASSERT(id < g->count && k >= 0 && k < g->n_keys);
    const smi_group_key *key = &g->keys[k];
    const uint8_t *record = smi_group_record(g, id);
    const uint8_t *at = record + key->off;
    if (smi_group_has_null(g, record, k)) {
        sm_builder_null(b);
    } else if (key->kind == SMI_KEY_STR) {
        sm_builder_str(b, record_str((const smi_group_str *)at));
    } else if (key->kind == SMI_KEY_NESTED) {
        const uint8_t *bytes = (const uint8_t *)record_str((const smi_group_str *)at).data;
        decode_value(key->type, &bytes, b);
    } else {
        sm_builder_value(b, record_value(key, at));
    }
}
