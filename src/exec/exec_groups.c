/* SPDX-License-Identifier: Apache-2.0
 *
 * exec/exec_groups.c: a hash table from rows of keys to dense group numbers.
 *
 * Calls    new; find (makes groups) or look (does not) for runs of rows; state and key by number.
 *          Used by the aggregate (a table a partition, a table a morsel, the sets of DISTINCT) and
 *          by the join (its right side's keys).
 * Layout   Slots of 8 bytes, the low half of the hash and the group number plus one; linear
 *          probing, doubled at half full, so growing reads no record. A group's record holds its
 *          keys and its state side by side: comparing the key brings in the state's cache line.
 *            keys, each 8 bytes (16: strings, decimals)   null bits, 8 bytes a 64 keys   state
 *          A string of up to 12 bytes stands in its 16 bytes as in a view, a longer one as length,
 *          4 bytes and a pointer to a copy. A nested key is encoded to bytes and is then a string.
 *          Records stand in pages that double in size and never move.
 * Why      One probe costs one miss for the slot and one for the record; keys and states in columns
 *          of their own cost one more for each. */
#include "exec/exec_int.h"

#include <string.h>

#define FIRST_PAGE_LOG 3 /* 8 records: a table a partition must cost little where groups are few */
#define MAX_PAGES      30
#define FIRST_SLOTS    32

typedef union group_str { /* a string key in a record */
    struct {
        int32_t len;
        uint8_t bytes[12];
    } inlined;
    struct {
        int32_t len;
        uint8_t prefix[4];
        const uint8_t *data;
    } far;
    uint64_t words[2];
} group_str;

typedef enum key_kind { KEY_BITS, KEY_F32, KEY_F64, KEY_WIDE, KEY_STR, KEY_NESTED } key_kind;

typedef struct group_key {
    const sm_type *type;
    key_kind kind;
    int width; /* bytes in the column; 0: a bit */
    size_t off;
} group_key;

struct smi_groups {
    sm_budget *budget;
    group_key *keys;
    int32_t n_keys;
    size_t nulls_off, state_off, record_bytes;
    uint64_t *slots;
    sm_block *slots_block;
    uint32_t mask;
    int64_t count;
    sm_block *pages[MAX_PAGES];
    sm_block **heap; /* copies of long strings */
    int64_t n_heap, heap_cap;
    size_t heap_used;
};

/* The nested keys of the row at hand; the caller's own, since looking is for many threads. */
typedef struct nested_row {
    sm_buf encoded;
    sm_str *keys; /* NULL where no key is nested */
} nested_row;

/* ---- making ---------------------------------------------------------------------------------- */

static key_kind kind_of(const sm_type *t)
{
    if (sm_type_is_nested(t->id)) {
        return KEY_NESTED;
    }
    if (sm_type_is_bytes(t->id)) {
        return KEY_STR;
    }
    switch (t->id) {
    case SM_TYPE_F32:
        return KEY_F32;
    case SM_TYPE_F64:
        return KEY_F64;
    case SM_TYPE_DECIMAL:
        return KEY_WIDE;
    default:
        return KEY_BITS;
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
        const key_kind kind = kind_of(types[k]);
        g->keys[k] = (group_key){
            .type = types[k], .kind = kind, .width = sm_type_bytes(types[k]->id), .off = off};
        off += kind == KEY_WIDE || kind == KEY_STR || kind == KEY_NESTED ? 16 : 8;
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
    for (int i = 0; i < MAX_PAGES; i++) {
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

static inline uint8_t *record_at(const smi_groups *g, int64_t id)
{
    SM_ASSERT(id >= 0 && id <= g->count); /* count: the one that is being made */
    const uint64_t n = (uint64_t)id + (1u << FIRST_PAGE_LOG);
    const int page = 63 - __builtin_clzll(n) - FIRST_PAGE_LOG;
    const uint64_t first = (uint64_t)1 << (page + FIRST_PAGE_LOG);
    return g->pages[page]->data + (n - first) * g->record_bytes;
}

void *smi_groups_state(const smi_groups *g, int64_t id)
{
    return record_at(g, id) + g->state_off;
}

/* ---- growing --------------------------------------------------------------------------------- */

static sm_status grow_slots(smi_groups *g, sm_error *e)
{
    const uint64_t n = g->slots ? ((uint64_t)g->mask + 1) * 2 : FIRST_SLOTS;
    sm_block *block = NULL;
    if (n > (uint64_t)1 << 32) {
        return sm_fail(e, SM_LIMIT, "more than 2^31 groups in a partition");
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
    return SM_OK;
}

/* Room for one more group: a page for its record, slots that stay half empty. */
static sm_status make_room(smi_groups *g, sm_error *e)
{
    if (!g->slots || (uint64_t)g->count * 2 >= g->mask) {
        SM_TRY(grow_slots(g, e));
    }
    const uint64_t n = (uint64_t)g->count + (1u << FIRST_PAGE_LOG);
    const int page = 63 - __builtin_clzll(n) - FIRST_PAGE_LOG;
    SM_ENSURE(page < MAX_PAGES);
    SM_ASSERT((uint64_t)g->count < g->mask); /* a slot is free, or looking would not end */
    if (!g->pages[page]) {
        const size_t bytes = g->record_bytes << (page + FIRST_PAGE_LOG);
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

static sm_status encode(const sm_column *c, int64_t i, sm_buf *out, sm_error *e);

static sm_status encode_range(const sm_column *c, int64_t first, int64_t end, sm_buf *out,
                              sm_error *e)
{
    for (int64_t i = first; i < end; i++) {
        SM_TRY(encode(c, i, out, e));
    }
    return SM_OK;
}

/* Flat scalars: by their bytes, floats with one zero and one NaN. */
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

/* A byte for null or not, then the value; lists with their length before. Equal values, and only
 * they, have equal bytes. */
static sm_status encode(const sm_column *c, int64_t i, sm_buf *out, sm_error *e)
{
    if (c->layout != SM_FLAT) {
        const bool is_dict = c->layout == SM_DICT;
        if (sm_column_is_null(c, i)) {
            return sm_buf_add(out, "", 1, e);
        }
        if (is_dict) {
            return encode(&c->children[0], ((const int32_t *)c->values)[i], out, e);
        }
        sm_column row = *c;
        row.layout = SM_FLAT;
        return encode(&row, 0, out, e);
    }
    const uint8_t has_value = !sm_column_is_null(c, i);
    SM_TRY(sm_buf_add(out, &has_value, 1, e));
    if (!has_value) {
        return SM_OK;
    }
    if (c->type->id == SM_TYPE_STRUCT) {
        for (int32_t k = 0; k < c->n_children; k++) {
            SM_TRY(encode(&c->children[k], i, out, e));
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

/* The other way: appends the value at *at. A map's keys stand before its values. */
static void decode(const sm_type *t, const uint8_t **at, sm_builder *b)
{
    const uint8_t has_value = *(*at)++;
    if (!has_value) {
        sm_builder_null(b);
        return;
    }
    if (t->id == SM_TYPE_STRUCT) {
        for (int32_t k = 0; k < t->n_fields; k++) {
            decode(t->fields[k].type, at, sm_builder_child(b, k));
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
                decode(t->fields[k].type, at, sm_builder_child(b, k));
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

static inline bool str_is(const group_str *s, sm_str v)
{
    if ((size_t)s->inlined.len != v.len) {
        return false;
    }
    const void *mine = v.len <= SM_VIEW_INLINE ? s->inlined.bytes : s->far.data;
    return memcmp(mine, v.data, v.len) == 0;
}

static sm_status store_str(smi_groups *g, group_str *s, sm_str v, sm_error *e)
{
    if (v.len > INT32_MAX) {
        return sm_fail(e, SM_LIMIT, "a group key of %zu bytes", v.len);
    }
    s->inlined.len = (int32_t)v.len;
    if (v.len <= SM_VIEW_INLINE) {
        memcpy(s->inlined.bytes, v.data, v.len);
        return SM_OK;
    }
    memcpy(s->far.prefix, v.data, 4);
    return keep_bytes(g, (const uint8_t *)v.data, v.len, &s->far.data, e);
}

static inline bool is_null_key(const smi_groups *g, const uint8_t *record, int32_t k)
{
    return sm_bit_get(record + g->nulls_off, k);
}

static bool float_is(double a, double b)
{
    return a == b || (a != a && b != b);
}

static bool scalar_is(const group_key *k, const uint8_t *at, const sm_column *c, int64_t i)
{
    switch (k->kind) {
    case KEY_F32: {
        float f;
        memcpy(&f, at, 4);
        return float_is(f, ((const float *)c->values)[i]);
    }
    case KEY_F64: {
        double f;
        memcpy(&f, at, 8);
        return float_is(f, ((const double *)c->values)[i]);
    }
    case KEY_WIDE:
        return memcmp(at, (const uint8_t *)c->values + i * 16, 16) == 0;
    default: {
        uint64_t v;
        memcpy(&v, at, 8);
        return v == load_bits(c->values, i, k->width);
    }
    }
}

/* Is the row's key that of the record? Nested keys were encoded into `nested` beforehand. */
static bool row_is(const smi_groups *g, const uint8_t *record, const sm_column *keys, int64_t i,
                   const sm_str *nested)
{
    for (int32_t k = 0; k < g->n_keys; k++) {
        const group_key *key = &g->keys[k];
        const sm_column *c = &keys[k];
        const bool is_null = sm_column_is_null(c, i);
        if (is_null != is_null_key(g, record, k)) {
            return false;
        }
        if (is_null) {
            continue;
        }
        const uint8_t *at = record + key->off;
        if (key->kind == KEY_NESTED) {
            SM_ASSERT(nested);
            if (!str_is((const group_str *)at, nested[k])) {
                return false;
            }
        } else if (key->kind == KEY_STR) {
            if (!str_is((const group_str *)at,
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
        const group_key *key = &g->keys[k];
        const sm_column *c = &keys[k];
        uint8_t *at = record + key->off;
        if (sm_column_is_null(c, i)) {
            sm_bit_set(record + g->nulls_off, k);
        } else if (key->kind == KEY_NESTED) {
            SM_ASSERT(nested);
            SM_TRY(store_str(g, (group_str *)at, nested[k], e));
        } else if (key->kind == KEY_STR) {
            SM_TRY(store_str(g, (group_str *)at,
                             sm_view_str((const sm_view *)c->values + i, c->heap), e));
        } else if (key->kind == KEY_WIDE) {
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
    SM_TRY(store_row(g, record_at(g, g->count), keys, i, nested, e));
    uint32_t at = (uint32_t)hash & g->mask;
    while (g->slots[at] != 0) {
        at = (at + 1) & g->mask;
    }
    *id = (uint32_t)g->count++;
    g->slots[at] = (uint64_t)(*id + 1) << 32 | (uint32_t)hash;
    return SM_OK;
}

/* −1 where the key has no group. */
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
            if (row_is(g, record_at(g, id), keys, i, nested)) {
                return id;
            }
        }
    }
}

/* The loop for one key without nulls whose comparing is two or one words: is_same and `type_t`
 * differ. What does not fit (a long string) goes to look_row. */
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
            const uint8_t *record = record_at(g, id);
            uint64_t words[2];
            memcpy(words, record, 16);
            if (words[0] == v->words[0] && words[1] == v->words[1] && !is_null_key(g, record, 0)) {
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
            const uint8_t *record = record_at(g, id);
            uint64_t mine;
            memcpy(&mine, record, 8);
            if (mine == v && !is_null_key(g, record, 0)) {
                return id;
            }
        }
    }
}

typedef enum look_way { LOOK_ANY, LOOK_STR, LOOK_BITS } look_way;

static look_way way_of(const smi_groups *g, const sm_column *keys)
{
    if (g->n_keys != 1 || keys[0].validity || keys[0].type->id == SM_TYPE_NULL) {
        return LOOK_ANY;
    }
    return g->keys[0].kind == KEY_STR    ? LOOK_STR
           : g->keys[0].kind == KEY_BITS ? LOOK_BITS
                                         : LOOK_ANY;
}

static bool has_nested(const smi_groups *g)
{
    for (int32_t k = 0; k < g->n_keys; k++) {
        if (g->keys[k].kind == KEY_NESTED) {
            return true;
        }
    }
    return false;
}

/* Encodes the nested keys of a row; offsets become pointers when all are there. */
static sm_status encode_row(const smi_groups *g, const sm_column *keys, int64_t i, nested_row *row,
                            sm_error *e)
{
    sm_buf_reset(&row->encoded);
    for (int32_t k = 0; k < g->n_keys; k++) {
        const size_t first = row->encoded.len;
        if (g->keys[k].kind == KEY_NESTED && !sm_column_is_null(&keys[k], i)) {
            SM_TRY(encode(&keys[k], i, &row->encoded, e));
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

static inline int64_t look_by(const smi_groups *g, look_way way, const sm_column *keys, int64_t i,
                              uint64_t hash, const sm_str *nested)
{
    return way == LOOK_STR    ? look_str(g, keys, i, hash)
           : way == LOOK_BITS ? look_bits(g, keys, i, hash, g->keys[0].width)
                              : look_row(g, keys, i, hash, nested);
}

sm_status smi_groups_find(smi_groups *g, const sm_column *keys, const uint64_t *hashes,
                          const int32_t *rows, int64_t n, uint32_t *ids, uint8_t **states,
                          sm_error *e)
{
    const look_way way = n > 0 ? way_of(g, keys) : LOOK_ANY;
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
        const int64_t id = look_by(g, way, keys, i, hashes[i], nested.keys);
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
    nested_end(&nested);
    return st;
}

sm_status smi_groups_look(const smi_groups *g, const sm_column *keys, const uint64_t *hashes,
                          const int32_t *rows, int64_t n, int32_t *ids, sm_error *e)
{
    const look_way way = n > 0 ? way_of(g, keys) : LOOK_ANY;
    nested_row nested = nested_begin(g);
    sm_status st = SM_OK;
    for (int64_t k = 0; k < n; k++) {
        if (nested.keys) {
            SM_TRY_GOTO(st, done, encode_row(g, keys, rows[k], &nested, e));
        }
        SM_ASSERT(rows[k] >= 0 && rows[k] < keys[0].n_rows && keys[0].layout == SM_FLAT);
        ids[k] = (int32_t)look_by(g, way, keys, rows[k], hashes[rows[k]], nested.keys);
    }
done:
    nested_end(&nested);
    return st;
}

/* ---- reading back ---------------------------------------------------------------------------- */

static sm_str record_str(const group_str *s)
{
    const bool is_near = s->inlined.len <= SM_VIEW_INLINE;
    return (sm_str){is_near ? (const char *)s->inlined.bytes : (const char *)s->far.data,
                    (size_t)s->inlined.len};
}

/* A number of the key's type from its 8 (or 16) bytes. */
static sm_value record_value(const group_key *key, const uint8_t *at)
{
    sm_value v = {.type = key->type};
    uint64_t bits;
    memcpy(&bits, at, 8);
    switch (key->kind) {
    case KEY_F32: {
        float f;
        memcpy(&f, at, 4);
        v.as.f = f;
        return v;
    }
    case KEY_F64:
        memcpy(&v.as.f, at, 8);
        return v;
    case KEY_WIDE:
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
    const group_key *key = &g->keys[k];
    const uint8_t *record = record_at(g, id);
    const uint8_t *at = record + key->off;
    if (is_null_key(g, record, k)) {
        sm_builder_null(b);
    } else if (key->kind == KEY_STR) {
        sm_builder_str(b, record_str((const group_str *)at));
    } else if (key->kind == KEY_NESTED) {
        const uint8_t *bytes = (const uint8_t *)record_str((const group_str *)at).data;
        decode(key->type, &bytes, b);
    } else {
        sm_builder_value(b, record_value(key, at));
    }
}
