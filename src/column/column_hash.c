/* SPDX-License-Identifier: Apache-2.0
 *
 * column/column_hash.c: computes a 64-bit hash for each row, for GROUP BY, joins and partitions.
 *
 * Method   Works on chunks of 256 rows. A loop without a branch hashes all values. It may read null
 *          rows, because their values are zero. Then the hashes of null rows are overwritten. If
 *          the caller has hashes of other columns, the new ones are combined with them.
 * Dict     The entries of a small dictionary are hashed once, into a table on the stack, and rows
 *          look their hash up by their code.
 * Strings  of up to 12 bytes are hashed as the two words of their view, without access to the heap.
 *          Longer ones are hashed with XXH3. Two equal strings have the same length, so both are
 *          hashed in the same way.
 * Floats   are hashed as doubles. −0 has the hash of 0, and all NaNs have the same hash. */
#include "column/column_int.h"

#include "base/hash.h"

#define CHUNK_ROWS 256
/* 2,048 hashes are 16 KiB of stack. */
#define MAX_DICT_ENTRIES 2048

#define HASH_NULL   UINT64_C(0x9c4e1f2ad3b86571)
#define HASH_LIST   UINT64_C(0x6a09e667f3bcc909)
#define HASH_STRUCT UINT64_C(0x3c6ef372fe94f82b)

/* Multiplies to 128 bits and combines both halves by XOR, so that each bit of the result depends on
 * each bit of a and b. */
static inline uint64_t fold_words(uint64_t a, uint64_t b)
{
    const unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline uint64_t combine_hashes(uint64_t hash, uint64_t next)
{
    return sm_mix64(hash * UINT64_C(0x9e3779b97f4a7c15) + next);
}

static inline uint64_t hash_int(uint64_t v)
{
    return sm_mix64(v + UINT64_C(0x9e3779b97f4a7c15));
}

static inline uint64_t hash_f64(double v)
{
    uint64_t bits = 0;
    v = v == 0 ? 0 : v;
    memcpy(&bits, &v, sizeof(bits));
    return hash_int(v != v ? UINT64_C(0x7ff8000000000000) : bits);
}

static inline uint64_t hash_i128(const uint8_t *at)
{
    uint64_t words[2];
    memcpy(words, at, sizeof(words));
    return combine_hashes(hash_int(words[1]), words[0]);
}

static inline uint64_t hash_view(const sm_view *v, const sm_heap_buf *heap)
{
    if (v->inlined.len <= SM_VIEW_INLINE) {
        const uint64_t h = fold_words(v->words[0] ^ UINT64_C(0xa0761d6478bd642f),
                                      v->words[1] ^ UINT64_C(0xe7037ed1a0b428db));
        return fold_words(h ^ UINT64_C(0x8ebc6af09c88c6e3), UINT64_C(0x589965cc75374cc3));
    }
    const sm_str s = sm_view_str(v, heap);
    return sm_hash64(s.data, s.len);
}

/* ---- a range of rows ------------------------------------------------------------------------- */

static void hash_range(const sm_column *c, int64_t first, int64_t n, uint64_t *out);

/* The loop for one type. `expr` is the hash of row i. */
#define HASH_LOOP(ctype, expr)                                                                     \
    do {                                                                                           \
        const ctype *const v = (const ctype *)c->values + first;                                   \
        for (int64_t i = 0; i < n; i++) {                                                          \
            out[i] = (expr);                                                                       \
        }                                                                                          \
    } while (0)

static void hash_scalars(const sm_column *c, int64_t first, int64_t n, uint64_t *out)
{
    switch (c->type->id) {
    case SM_TYPE_BOOL:
        for (int64_t i = 0; i < n; i++) {
            out[i] = hash_int(sm_bit_get(c->values, first + i));
        }
        break;
    case SM_TYPE_I8:
        HASH_LOOP(int8_t, hash_int((uint64_t)(int64_t)v[i]));
        break;
    case SM_TYPE_I16:
        HASH_LOOP(int16_t, hash_int((uint64_t)(int64_t)v[i]));
        break;
    case SM_TYPE_I32:
    case SM_TYPE_DATE:
        HASH_LOOP(int32_t, hash_int((uint64_t)(int64_t)v[i]));
        break;
    case SM_TYPE_U8:
        HASH_LOOP(uint8_t, hash_int(v[i]));
        break;
    case SM_TYPE_U16:
        HASH_LOOP(uint16_t, hash_int(v[i]));
        break;
    case SM_TYPE_U32:
        HASH_LOOP(uint32_t, hash_int(v[i]));
        break;
    case SM_TYPE_F32:
        HASH_LOOP(float, hash_f64((double)v[i]));
        break;
    case SM_TYPE_F64:
        HASH_LOOP(double, hash_f64(v[i]));
        break;
    case SM_TYPE_DECIMAL: /* read as bytes: Arrow aligns them only to 8 */
        for (int64_t i = 0; i < n; i++) {
            out[i] = hash_i128((const uint8_t *)c->values + (first + i) * 16);
        }
        break;
    case SM_TYPE_STRING:
    case SM_TYPE_BINARY:
        HASH_LOOP(sm_view, hash_view(&v[i], c->heap));
        break;
    default: /* I64, U64, TIME, TIMESTAMP, TIMESTAMP_NTZ */
        HASH_LOOP(uint64_t, hash_int(v[i]));
        break;
    }
}
#undef HASH_LOOP

static uint64_t hash_elements(const sm_column *c, int32_t from, int32_t to)
{
    uint64_t part[64];
    uint64_t h = HASH_LIST + (uint64_t)(to - from);
    for (int32_t at = from; at < to; at += SM_COUNT(part)) {
        const int32_t n = to - at < SM_COUNT(part) ? to - at : SM_COUNT(part);
        for (int32_t child = 0; child < c->n_children; child++) {
            hash_range(&c->children[child], at, n, part);
            for (int32_t i = 0; i < n; i++) {
                h = combine_hashes(h, part[i]);
            }
        }
    }
    return h;
}

/* Hashes n ≤ CHUNK_ROWS rows of a flat column. */
static void hash_flat(const sm_column *c, int64_t first, int64_t n, uint64_t *out)
{
    if (c->type->id == SM_TYPE_STRUCT) {
        uint64_t part[CHUNK_ROWS];
        for (int64_t i = 0; i < n; i++) {
            out[i] = HASH_STRUCT;
        }
        for (int32_t child = 0; child < c->n_children; child++) {
            hash_range(&c->children[child], first, n, part);
            for (int64_t i = 0; i < n; i++) {
                out[i] = combine_hashes(out[i], part[i]);
            }
        }
    } else if (sm_type_is_nested(c->type->id)) {
        const int32_t *offsets = smi_i32(c) + first;
        for (int64_t i = 0; i < n; i++) {
            const bool is_null = sm_column_is_null(c, first + i);
            out[i] = is_null ? 0 : hash_elements(c, offsets[i], offsets[i + 1]);
        }
    } else {
        hash_scalars(c, first, n, out);
    }
    for (int64_t i = 0; c->validity && i < n; i++) {
        out[i] = sm_bit_get(c->validity, first + i) ? out[i] : HASH_NULL;
    }
}

static uint64_t hash_constant(const sm_column *c)
{
    uint64_t h = HASH_NULL;
    if (!sm_column_is_null(c, 0)) {
        sm_column row = *c;
        row.layout = SM_FLAT;
        row.n_rows = 1;
        hash_flat(&row, 0, 1, &h);
    }
    return h;
}

static void hash_range(const sm_column *c, int64_t first, int64_t n, uint64_t *out)
{
    if (c->type->id != SM_TYPE_NULL && c->layout == SM_FLAT) {
        hash_flat(c, first, n, out);
        return;
    }
    const uint64_t constant = c->layout == SM_CONST ? hash_constant(c) : HASH_NULL;
    for (int64_t i = 0; i < n; i++) {
        out[i] = constant;
        if (c->layout == SM_DICT && !sm_column_is_null(c, first + i)) {
            hash_range(&c->children[0], smi_i32(c)[first + i], 1, &out[i]);
        }
    }
}

/* ---- the whole column ------------------------------------------------------------------------ */

/* Sets table[code] to the hash of each dictionary entry. Returns false if there is no dictionary,
 * if it is too large for the stack, or if it has more entries than the column has rows. */
static bool hash_entries(const sm_column *c, uint64_t *table)
{
    const int64_t n = c->layout == SM_DICT ? c->children[0].n_rows : 0;
    if (n == 0 || n > MAX_DICT_ENTRIES || n > c->n_rows) {
        return false;
    }
    for (int64_t at = 0; at < n; at += CHUNK_ROWS) {
        hash_range(&c->children[0], at, n - at < CHUNK_ROWS ? n - at : CHUNK_ROWS, table + at);
    }
    return true;
}

void sm_column_hash(const sm_column *c, uint64_t *hashes, bool mix_in)
{
    uint64_t part[CHUNK_ROWS];
    uint64_t table[MAX_DICT_ENTRIES];
    const bool has_table = hash_entries(c, table);

    for (int64_t at = 0; at < c->n_rows; at += CHUNK_ROWS) {
        const int64_t n = c->n_rows - at < CHUNK_ROWS ? c->n_rows - at : CHUNK_ROWS;
        uint64_t *const out = mix_in ? part : hashes + at;
        if (has_table) {
            const int32_t *codes = smi_i32(c) + at;
            for (int64_t i = 0; i < n; i++) {
                out[i] = table[codes[i]]; /* null rows have code 0 */
            }
            for (int64_t i = 0; c->validity && i < n; i++) {
                out[i] = sm_bit_get(c->validity, at + i) ? out[i] : HASH_NULL;
            }
        } else {
            hash_range(c, at, n, out);
        }
        for (int64_t i = 0; mix_in && i < n; i++) {
            hashes[at + i] = combine_hashes(hashes[at + i], part[i]);
        }
    }
}
