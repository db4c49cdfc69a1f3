/* SPDX-License-Identifier: Apache-2.0
 *
 * table/table_curve.c: puts rows on a space-filling curve. Called by table_cluster.c.
 *
 * Why ranks  A curve is only good if its cells hold about as many rows each. Values are not like
 *            that: texts share their beginnings, numbers are skewed. Ranks are even by themselves,
 *            and every type that has an order has them.
 * Sample     Each row's number is hashed, and the SAMPLE_ROWS rows with the least hashes are kept
 *            (bottom-k). So the sample is the same whoever reads the rows, and their number need
 *            not be known before.
 * Rank       The share of the sample that is less than the value, in 2^bits steps. A value is
 *            first compared by 64 bits (`head`), which decide for numbers; texts with the same head
 *            by the next 8 bytes (`tail`); where those are equal too, as a whole.
 * Search     Heads lie in blocks of BLOCK, and the last ones of the blocks are the level above. So
 *            a head is found in five steps, each of which compares it with a whole block: a static
 *            B-tree (S. Slotin, Algorithms for Modern Hardware, "Static B-Trees").
 * Key        Morton: the highest bit of each rank, then the next bit of each, and so on. Hilbert:
 *            the ranks are turned first, then taken in turn likewise (J. Skilling, Programming the
 *            Hilbert curve, AIP 707, 2004). Bits of a byte are spread by a table.
 * Bits       As many as 64 leave for each column, and no more than the sample can tell apart. */
#include "table/table_curve_int.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/isa.h"

#if SM_HAS_X86
#include <immintrin.h>
#endif

#define SAMPLE_BITS 14 /* a cell of 2^-14 of the table is far smaller than a row group */
#define SAMPLE_ROWS ((int64_t)1 << SAMPLE_BITS)
#define SIGN        ((uint64_t)1 << 63)

/* ---- the sample ------------------------------------------------------------------------------ */

typedef struct sampled_row {
    uint64_t hash;          /* of its number */
    const sm_value *values; /* n */
} sampled_row;

struct smi_sample {
    int32_t n;
    const sm_type *types[SMI_CURVE_COLUMNS];
    sm_budget *budget;
    sm_arena *arena;   /* of the values */
    sampled_row *rows; /* 2 × SAMPLE_ROWS; the first n_rows are used */
    int64_t n_rows, n_seen;
    uint64_t below; /* rows with a hash from here on are not taken */
};

smi_sample *smi_sample_new(const sm_type *const *types, int32_t n, sm_budget *budget)
{
    SM_ASSERT(n > 0 && n <= SMI_CURVE_COLUMNS);
    smi_sample *s = sm_alloc_zero(sizeof(*s));

    for (int32_t k = 0; k < n; k++) {
        SM_ASSERT(!sm_type_is_nested(types[k]->id));
        s->types[k] = types[k];
    }
    s->n = n;
    s->budget = budget;
    s->arena = sm_arena_new(budget);
    s->rows = sm_alloc(2 * (size_t)SAMPLE_ROWS * sizeof(*s->rows));
    s->below = UINT64_MAX;
    return s;
}

void smi_sample_free(smi_sample *s)
{
    if (s) {
        sm_arena_free(s->arena);
        sm_free(s->rows);
        sm_free(s);
    }
}

void smi_sample_expect(smi_sample *s, int64_t n_rows)
{
    const int64_t wanted = SAMPLE_ROWS + SAMPLE_ROWS / 2; /* their number varies by some hundred */

    SM_ASSERT(s->n_seen == 0 && n_rows >= 0);
    if (n_rows > wanted) {
        s->below = UINT64_MAX / (uint64_t)n_rows * (uint64_t)wanted;
    }
}

int64_t smi_sample_rows(const smi_sample *s)
{
    return s->n_seen;
}

/* Numbers in a row become numbers that look random; no two become the same (splitmix64). */
static uint64_t hash_number(uint64_t n)
{
    n += UINT64_C(0x9E3779B97F4A7C15);
    n = (n ^ (n >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    n = (n ^ (n >> 27)) * UINT64_C(0x94D049BB133111EB);
    return n ^ (n >> 31);
}

static int by_hash(const void *x, const void *y)
{
    const uint64_t a = ((const sampled_row *)x)->hash, b = ((const sampled_row *)y)->hash;
    return a < b ? -1 : a > b;
}

/* A copy that borrows nothing but the type, which is the sample's. */
static sm_value keep_value(sm_arena *a, const sm_type *type, sm_value v)
{
    v.type = type;
    if (sm_type_is_bytes(type->id) && !v.is_null) {
        v.as.s = sm_arena_str(a, v.as.s);
    }
    return v;
}

/* Keeps the rows with the least hashes, and copies their values so that the others' are freed. */
static void thin_out(smi_sample *s)
{
    sm_arena *kept = sm_arena_new(s->budget);

    qsort(s->rows, (size_t)s->n_rows, sizeof(*s->rows), by_hash);
    s->n_rows = s->n_rows < SAMPLE_ROWS ? s->n_rows : SAMPLE_ROWS;
    for (int64_t i = 0; i < s->n_rows; i++) {
        sm_value *copy = SM_NEW_ARRAY(kept, sm_value, s->n);
        for (int32_t k = 0; k < s->n; k++) {
            copy[k] = keep_value(kept, s->types[k], s->rows[i].values[k]);
        }
        s->rows[i].values = copy;
    }
    SM_ASSERT(s->n_rows == SAMPLE_ROWS);
    s->below = s->rows[s->n_rows - 1].hash;
    sm_arena_free(s->arena);
    s->arena = kept;
}

static void take_row(smi_sample *s, uint64_t hash, const sm_batch *rows, int64_t i)
{
    sm_value *values = SM_NEW_ARRAY(s->arena, sm_value, s->n);

    for (int32_t k = 0; k < s->n; k++) {
        const sm_column *c = &rows->columns[k];
        SM_ASSERT(sm_type_eq(c->type, s->types[k]));
        const bool is_null = sm_column_is_null(c, i);
        values[k] = keep_value(s->arena, s->types[k],
                               is_null ? sm_value_null(c->type) : sm_column_value(c, i));
    }
    s->rows[s->n_rows++] = (sampled_row){.hash = hash, .values = values};
    if (s->n_rows == 2 * SAMPLE_ROWS) {
        thin_out(s);
    }
}

void smi_sample_add(smi_sample *s, const sm_batch *rows)
{
    SM_ASSERT(rows->n_columns == s->n);
    for (int64_t i = 0; i < rows->n_rows; i++) {
        const uint64_t hash = hash_number((uint64_t)s->n_seen++);
        if (hash < s->below) {
            take_row(s, hash, rows, i);
        }
    }
}

/* ---- ranks ----------------------------------------------------------------------------------- */

#define WHOLE       16 /* bytes of a text that its head and its tail have */
#define BLOCK       8  /* heads: a line of the cache */
#define MOST_LEVELS 6  /* of more heads than a sample has rows */

/* Heads in levels: of the lowest all, of each other the last one of each block of the level below
 * it. Levels are filled up with UINT64_MAX, and the lowest has one more of them at least, so that
 * no head is above all. */
typedef struct tree {
    uint64_t *levels[MOST_LEVELS]; /* the lowest first */
    int n_levels;
} tree;

/* For each of n heads the first one of the tree's that is not less. */
typedef void find_fn(const tree *t, const uint64_t *heads, int32_t n, uint32_t *at);

/* The different values that a column has in the sample, ascending. */
typedef struct boundaries {
    const sm_type *type;
    bool is_exact; /* equal heads are equal values */
    int64_t n;     /* without NULL */
    tree tree;
    const uint64_t *heads;  /* the tree's lowest level */
    const uint64_t *tails;  /* n; of texts */
    const uint8_t *lens;    /* n; of texts of at most WHOLE bytes; others: WHOLE + 1 */
    const sm_value *values; /* n */
    const uint32_t *ranks;  /* n + 1: of each value, and of values above all */
} boundaries;

struct smi_curve {
    sm_curve kind;
    int32_t n;
    int bits;
    find_fn *find;
    boundaries columns[SMI_CURVE_COLUMNS];
    uint64_t spread[256]; /* a byte's bits, n places apart */
};

static uint64_t head_of_float(double f)
{
    uint64_t bits = 0;

    if (f != f) {
        return UINT64_MAX; /* NaN is the largest */
    }
    f = f == 0 ? 0 : f; /* −0 equals 0 */
    memcpy(&bits, &f, sizeof(bits));
    return bits & SIGN ? ~bits : bits | SIGN;
}

static uint64_t head_of_text(sm_str s)
{
    uint64_t head = 0;

    memcpy(&head, s.data ? s.data : "", s.len < sizeof(head) ? s.len : sizeof(head));
    return __builtin_bswap64(head);
}

/* The 8 bytes behind a text's head. */
static uint64_t tail_of_text(sm_str s)
{
    uint64_t tail = 0;

    if (s.len >= WHOLE) {
        memcpy(&tail, s.data + 8, sizeof(tail));
        return __builtin_bswap64(tail);
    }
    if (s.len > 8) { /* the last 8 bytes, without those of the head */
        memcpy(&tail, s.data + s.len - 8, sizeof(tail));
        return __builtin_bswap64(tail) << 8 * (WHOLE - s.len);
    }
    return 0;
}

/* 64 bits whose order is that of the values, as far as they tell them apart. */
static uint64_t head_of(sm_value v)
{
    switch (v.type->id) {
    case SM_TYPE_BOOL:
        return v.as.b;
    case SM_TYPE_U8:
    case SM_TYPE_U16:
    case SM_TYPE_U32:
    case SM_TYPE_U64:
        return v.as.u;
    case SM_TYPE_F32:
    case SM_TYPE_F64:
        return head_of_float(v.as.f);
    case SM_TYPE_DECIMAL:
        return (uint64_t)(v.type->precision <= 18 ? v.as.d : v.as.d >> 64) ^ SIGN;
    case SM_TYPE_STRING:
    case SM_TYPE_BINARY:
        return head_of_text(v.as.s);
    default:
        SM_ASSERT(!sm_type_is_nested(v.type->id) && v.type->id != SM_TYPE_NULL);
        return (uint64_t)v.as.i ^ SIGN;
    }
}

/* The first of `n` ascending heads that is not less. */
static int64_t first_from(const uint64_t *heads, int64_t n, uint64_t head)
{
    int64_t at = 0;

    while (n > 0) {
        const int64_t half = n / 2;
        const bool is_less = heads[at + half] < head;
        at += is_less ? half + 1 : 0;
        n = is_less ? n - half - 1 : half;
    }
    return at;
}

/* Reference: this loop is the meaning; every version finds the same places. */
static void find_ref(const tree *t, const uint64_t *heads, int32_t n, uint32_t *at)
{
    for (int32_t i = 0; i < n; i++) {
        uint32_t place = 0;
        for (int level = t->n_levels - 1; level >= 0; level--) {
            const uint64_t *block = t->levels[level] + (size_t)place * BLOCK;
            uint32_t n_less = 0;
            for (int k = 0; k < BLOCK; k++) {
                n_less += block[k] < heads[i];
            }
            place = place * BLOCK + n_less;
        }
        at[i] = place;
    }
}

#if SM_HAS_X86
SM_TARGET(SM_AVX2)
static void find_avx2(const tree *t, const uint64_t *heads, int32_t n, uint32_t *at)
{
    const __m256i sign = _mm256_set1_epi64x((int64_t)SIGN); /* integers are compared as signed */

    for (int32_t i = 0; i < n; i++) {
        const __m256i head = _mm256_xor_si256(_mm256_set1_epi64x((int64_t)heads[i]), sign);
        uint32_t place = 0;
        for (int level = t->n_levels - 1; level >= 0; level--) {
            const __m256i *block =
                (const __m256i *)(const void *)(t->levels[level] + (size_t)place * BLOCK);
            const __m256i low = _mm256_xor_si256(_mm256_loadu_si256(block), sign);
            const __m256i high = _mm256_xor_si256(_mm256_loadu_si256(block + 1), sign);
            const int less =
                _mm256_movemask_pd(_mm256_castsi256_pd(_mm256_cmpgt_epi64(head, low))) |
                _mm256_movemask_pd(_mm256_castsi256_pd(_mm256_cmpgt_epi64(head, high))) << 4;
            place = place * BLOCK + (uint32_t)__builtin_popcount((unsigned)less);
        }
        at[i] = place;
    }
}

SM_TARGET(SM_AVX512)
static void find_avx512(const tree *t, const uint64_t *heads, int32_t n, uint32_t *at)
{
    for (int32_t i = 0; i < n; i++) {
        const __m512i head = _mm512_set1_epi64((int64_t)heads[i]);
        uint32_t place = 0;
        for (int level = t->n_levels - 1; level >= 0; level--) {
            const __m512i block = _mm512_loadu_si512(t->levels[level] + (size_t)place * BLOCK);
            const unsigned less = _mm512_cmplt_epu64_mask(block, head);
            place = place * BLOCK + (uint32_t)__builtin_popcount(less);
        }
        at[i] = place;
    }
}
#endif

static const struct {
    sm_isa_level isa;
    find_fn *find;
} versions[] = {
#if SM_HAS_X86
    {SM_ISA_AVX512, find_avx512},
    {SM_ISA_AVX2, find_avx2},
#endif
    {SM_ISA_REF, find_ref},
};

static find_fn *best_version(void)
{
    const sm_isa_level isa = sm_isa();
    int i = 0;

    while (versions[i].isa > isa) {
        i++;
    }
    return versions[i].find;
}

static bool is_less_text(const boundaries *b, int64_t i, uint64_t head, uint64_t tail)
{
    return i < b->n && b->heads[i] == head && b->tails[i] < tail;
}

/* The first boundary from `at` on that is not less than a text by head and tail; `at` is the first
 * by heads. Nearly always it is one of the next few. */
static int64_t skip_tails(const boundaries *b, int64_t at, uint64_t head, uint64_t tail)
{
    int64_t step = 1;

    while (is_less_text(b, at + step - 1, head, tail)) {
        at += step;
        step *= 2;
    }
    for (step /= 2; step > 0; step /= 2) {
        at += is_less_text(b, at + step - 1, head, tail) ? step : 0;
    }
    return at;
}

/* The first boundary that is not less than a value with this head; `at` is the first by heads. */
static int64_t look_at_whole(const boundaries *b, int64_t at, uint64_t head, sm_value v)
{
    int64_t n = head == UINT64_MAX ? b->n - at : first_from(b->heads + at, b->n - at, head + 1);

    while (n > 0) { /* among those that the heads do not tell apart */
        const int64_t half = n / 2;
        const bool is_less = sm_value_cmp(b->values[at + half], v) < 0;
        at += is_less ? half + 1 : 0;
        n = is_less ? n - half - 1 : half;
    }
    return at;
}

static bool is_undecided(const boundaries *b, int64_t at, uint64_t head)
{
    return !b->is_exact && at < b->n && b->heads[at] == head;
}

static uint32_t rank_of(const boundaries *b, sm_value v)
{
    const uint64_t head = head_of(v);
    const int64_t at = first_from(b->heads, b->n, head);

    return b->ranks[is_undecided(b, at, head) ? look_at_whole(b, at, head, v) : at];
}

uint32_t smi_curve_rank(const smi_curve *c, int32_t column, sm_value v)
{
    SM_ASSERT(column >= 0 && column < c->n);
    return v.is_null ? 0 : rank_of(&c->columns[column], v);
}

int smi_curve_bits(const smi_curve *c)
{
    return c->bits;
}

/* ---- keys ------------------------------------------------------------------------------------ */

/* Turns a point so that its bits, taken in turn, are its place on the Hilbert curve. */
static void turn_hilbert(uint32_t *x, int32_t n, int bits)
{
    uint32_t t = 0;

    for (uint32_t q = (uint32_t)1 << (bits - 1); q > 1; q >>= 1) { /* undo the turns of the cells */
        const uint32_t below = q - 1;
        for (int32_t i = 0; i < n; i++) {
            if (x[i] & q) {
                x[0] ^= below;
            } else {
                t = (x[0] ^ x[i]) & below;
                x[0] ^= t;
                x[i] ^= t;
            }
        }
    }
    for (int32_t i = 1; i < n; i++) { /* Gray code */
        x[i] ^= x[i - 1];
    }
    t = 0;
    for (uint32_t q = (uint32_t)1 << (bits - 1); q > 1; q >>= 1) {
        t ^= x[n - 1] & q ? q - 1 : 0;
    }
    for (int32_t i = 0; i < n; i++) {
        x[i] ^= t;
    }
}

static void fill_spread(uint64_t *spread, int32_t n)
{
    for (int byte = 0; byte < 256; byte++) {
        spread[byte] = 0;
        for (int bit = 0; bit < 8 && bit * n < 64; bit++) {
            spread[byte] |= (uint64_t)(byte >> bit & 1) << (bit * n);
        }
    }
}

/* Takes the bits of n ranks in turn; the first rank's is the higher of each round. */
static uint64_t interleave(const uint64_t *spread, const uint32_t *ranks, int32_t n)
{
    uint64_t key = 0;

    for (int32_t i = 0; i < n; i++) {
        const uint32_t r = ranks[i];
        const uint64_t low = spread[r & 0xFF];
        const uint64_t high = r >> 8 && 8 * n < 64 ? spread[r >> 8 & 0xFF] << (8 * n) : 0;
        key |= (low | high) << (n - 1 - i);
    }
    return key;
}

static uint64_t key_of(sm_curve kind, const uint64_t *spread, uint32_t *ranks, int32_t n, int bits)
{
    if (kind == SM_CURVE_HILBERT) {
        turn_hilbert(ranks, n, bits);
    }
    return interleave(spread, ranks, n);
}

uint64_t smi_curve_key(sm_curve kind, const uint32_t *ranks, int32_t n, int bits)
{
    SM_ASSERT(n > 0 && n <= SMI_CURVE_COLUMNS && bits > 0 && bits <= 16 && n * bits <= 64);
    uint64_t spread[256];
    uint32_t turned[SMI_CURVE_COLUMNS];

    memcpy(turned, ranks, (size_t)n * sizeof(*ranks));
    fill_spread(spread, n);
    return key_of(kind, spread, turned, n, bits);
}

/* ---- making a curve -------------------------------------------------------------------------- */

static int by_value(const void *x, const void *y)
{
    const sm_value *a = x, *b = y;

    if (a->is_null || b->is_null) {
        return (int)b->is_null - (int)a->is_null; /* NULL first */
    }
    return sm_value_cmp(*a, *b);
}

/* The rank that a value has behind `n_less` of `n` sampled rows. */
static uint32_t rank_behind(int64_t n_less, int64_t n, int bits)
{
    SM_ASSERT(n_less >= 0 && n_less <= n);
    const int64_t most = ((int64_t)1 << bits) - 1;
    return n == 0 ? 0 : (uint32_t)(n_less * most / n);
}

/* A level of n heads, each block of which is a line of the cache. */
static uint64_t *new_level(int64_t n, sm_arena *a)
{
    uint64_t *level = SM_NEW_ARRAY(a, uint64_t, n + BLOCK);

    level += -((uintptr_t)level / sizeof(*level)) % BLOCK;
    memset(level, 0xFF, (size_t)n * sizeof(*level));
    return level;
}

/* Makes the levels above the lowest one, which has room for n heads. */
static void settle_levels(tree *t, int64_t n, sm_arena *a)
{
    SM_ASSERT(n % BLOCK == 0 && t->levels[0][n - 1] == UINT64_MAX);
    for (t->n_levels = 1; n > BLOCK; t->n_levels++) {
        const uint64_t *below = t->levels[t->n_levels - 1];
        const int64_t n_blocks = n / BLOCK;
        SM_ASSERT(t->n_levels < MOST_LEVELS);
        n = (n_blocks + BLOCK - 1) / BLOCK * BLOCK;
        uint64_t *level = new_level(n, a);
        for (int64_t i = 0; i < n_blocks; i++) {
            level[i] = below[i * BLOCK + BLOCK - 1];
        }
        t->levels[t->n_levels] = level;
    }
}

/* Makes the boundaries of the values, which are sorted. */
static void settle_boundaries(boundaries *b, const sm_value *values, int64_t n, int bits,
                              sm_arena *a)
{
    sm_value *own = SM_NEW_ARRAY(a, sm_value, n + 1);
    uint32_t *ranks = SM_NEW_ARRAY(a, uint32_t, n + 1);
    uint64_t *tails = SM_NEW_ARRAY(a, uint64_t, n + 1);
    uint8_t *lens = SM_NEW_ARRAY(a, uint8_t, n + 1);
    const bool are_texts = sm_type_is_bytes(b->type->id);
    const int64_t n_room = (n / BLOCK + 1) * BLOCK; /* more than n */
    uint64_t *heads = new_level(n_room, a);

    for (int64_t i = 0; i < n; i++) {
        if (!values[i].is_null && (b->n == 0 || sm_value_cmp(own[b->n - 1], values[i]) != 0)) {
            own[b->n] = sm_value_copy(a, values[i]);
            heads[b->n] = head_of(values[i]);
            if (are_texts) {
                const size_t len = values[i].as.s.len;
                tails[b->n] = tail_of_text(values[i].as.s);
                lens[b->n] = (uint8_t)(len <= WHOLE ? len : WHOLE + 1);
            }
            ranks[b->n++] = rank_behind(i, n, bits);
        }
    }
    ranks[b->n] = rank_behind(n, n, bits);
    b->tree.levels[0] = heads;
    settle_levels(&b->tree, n_room, a);
    b->heads = heads;
    b->tails = tails;
    b->lens = lens;
    b->values = own;
    b->ranks = ranks;
}

/* Do 64 bits tell all values of the type apart? */
static bool has_exact_heads(const sm_type *t)
{
    return !sm_type_is_bytes(t->id) && (t->id != SM_TYPE_DECIMAL || t->precision <= 18);
}

const smi_curve *smi_curve_new(sm_curve kind, smi_sample *s, int key_bits, sm_arena *a)
{
    smi_curve *c = SM_NEW(a, smi_curve);
    const int bits = key_bits / s->n;

    SM_ASSERT(bits > 0 && key_bits <= 64);
    if (s->n_rows > SAMPLE_ROWS) {
        thin_out(s);
    }
    c->kind = kind;
    c->n = s->n;
    c->find = best_version();
    c->bits = bits < SAMPLE_BITS ? bits : SAMPLE_BITS;
    fill_spread(c->spread, c->n);
    sm_value *values = sm_alloc((size_t)(s->n_rows + 1) * sizeof(*values));
    for (int32_t k = 0; k < s->n; k++) {
        for (int64_t i = 0; i < s->n_rows; i++) {
            values[i] = s->rows[i].values[k];
        }
        qsort(values, (size_t)s->n_rows, sizeof(*values), by_value);
        const sm_type *type = sm_value_copy(a, sm_value_null(s->types[k])).type;
        c->columns[k] = (boundaries){.type = type, .is_exact = has_exact_heads(type)};
        settle_boundaries(&c->columns[k], values, s->n_rows, c->bits, a);
    }
    sm_free(values);
    return c;
}

static int by_number(const void *x, const void *y)
{
    const uint64_t a = *(const uint64_t *)x, b = *(const uint64_t *)y;
    return a < b ? -1 : a > b;
}

void smi_curve_quantiles(const smi_curve *c, const smi_sample *s, int32_t n, uint64_t *out)
{
    uint64_t *keys = sm_alloc((size_t)(s->n_rows + 1) * sizeof(*keys));
    uint32_t ranks[SMI_CURVE_COLUMNS];

    SM_ASSERT(c->n == s->n && n >= 0);
    for (int64_t i = 0; i < s->n_rows; i++) {
        for (int32_t k = 0; k < c->n; k++) {
            ranks[k] = smi_curve_rank(c, k, s->rows[i].values[k]);
        }
        keys[i] = key_of(c->kind, c->spread, ranks, c->n, c->bits);
    }
    qsort(keys, (size_t)s->n_rows, sizeof(*keys), by_number);
    for (int32_t i = 0; i < n; i++) {
        out[i] = s->n_rows > 0 ? keys[(int64_t)(i + 1) * s->n_rows / (n + 1)] : 0;
    }
    sm_free(keys);
}

/* ---- keys of rows ---------------------------------------------------------------------------- */

#define CHUNK 256

/* The heads of rows first … first + n − 1 of a flat column of texts; of NULLs any. */
static void read_text_heads(const sm_column *c, int64_t first, int32_t n, uint64_t *heads)
{
    const sm_view *views = (const sm_view *)c->values + first;

    for (int32_t i = 0; i < n; i++) {
        const sm_view *v = &views[i];
        const bool is_inline = v->inlined.len <= SM_VIEW_INLINE; /* zeros behind its bytes */
        const void *bytes = is_inline
                                ? (const void *)v->inlined.bytes
                                : (const void *)(c->heap[v->ref.buffer].data + v->ref.off_bytes);
        memcpy(&heads[i], bytes, sizeof(*heads));
        heads[i] = __builtin_bswap64(heads[i]);
    }
}

/* Are the values integers of so many bytes, the order of which is that of what they mean? */
static bool are_integers(const sm_type *t, int bytes)
{
    static const sm_type_id ids[] = {SM_TYPE_I32, SM_TYPE_DATE, SM_TYPE_I64, SM_TYPE_TIMESTAMP,
                                     SM_TYPE_TIMESTAMP_NTZ};
    bool are = false;

    for (int i = 0; i < SM_COUNT(ids) && !are; i++) {
        are = t->id == ids[i] && sm_type_bytes(t->id) == bytes;
    }
    return are;
}

/* The heads of rows first … first + n − 1; of NULLs any. The common columns are read in loops of
 * their own. */
static void read_heads(const sm_column *c, int64_t first, int32_t n, uint64_t *heads)
{
    const bool is_flat = c->layout == SM_FLAT;

    if (is_flat && sm_type_is_bytes(c->type->id)) {
        read_text_heads(c, first, n, heads);
    } else if (is_flat && are_integers(c->type, sizeof(int32_t))) {
        const int32_t *values = (const int32_t *)c->values + first;
        for (int32_t i = 0; i < n; i++) {
            heads[i] = (uint64_t)(int64_t)values[i] ^ SIGN;
        }
    } else if (is_flat && are_integers(c->type, sizeof(int64_t))) {
        const int64_t *values = (const int64_t *)c->values + first;
        for (int32_t i = 0; i < n; i++) {
            heads[i] = (uint64_t)values[i] ^ SIGN;
        }
    } else {
        for (int32_t i = 0; i < n; i++) {
            heads[i] = sm_column_is_null(c, first + i) ? 0 : head_of(sm_column_value(c, first + i));
        }
    }
}

/* For each of n heads the first of the boundaries that is not less. Of days and the like all
 * are often equal. */
static void find_heads(const smi_curve *curve, const boundaries *b, const uint64_t *heads,
                       int32_t n, uint32_t *at)
{
    int32_t n_same = 1;

    while (n_same < n && heads[n_same] == heads[0]) {
        n_same++;
    }
    if (n_same < n || n == 0) {
        curve->find(&b->tree, heads, n, at);
        return;
    }
    curve->find(&b->tree, heads, 1, at);
    for (int32_t i = 1; i < n; i++) {
        at[i] = at[0];
    }
}

/* The first boundary that is not less than the value of a row; `at` is the first by heads, and has
 * the head of the row. */
static int64_t look_closer(const boundaries *b, int64_t at, uint64_t head, const sm_column *c,
                           int64_t row)
{
    if (sm_type_is_bytes(b->type->id)) {
        const sm_str s = c->layout == SM_FLAT
                             ? sm_view_str((const sm_view *)c->values + row, c->heap)
                             : sm_column_str(c, row);
        const uint64_t tail = tail_of_text(s);
        at = skip_tails(b, at, head, tail);
        const bool has_other = !is_undecided(b, at, head) || b->tails[at] != tail;
        if (has_other || (s.len <= WHOLE && b->lens[at] == s.len)) { /* or it is the boundary */
            return at;
        }
    }
    return look_at_whole(b, at, head, sm_column_value(c, row));
}

/* The ranks of rows first … first + n − 1. */
static void rank_rows(const smi_curve *curve, const boundaries *b, const sm_column *c,
                      int64_t first, int32_t n, uint32_t *ranks)
{
    const bool has_nulls = c->type->id == SM_TYPE_NULL || c->validity;
    uint64_t heads[CHUNK];
    uint32_t at[CHUNK];

    SM_ASSERT(n <= CHUNK && first + n <= c->n_rows);
    read_heads(c, first, n, heads);
    find_heads(curve, b, heads, n, at);
    for (int32_t i = 0; i < n; i++) {
        if (has_nulls && sm_column_is_null(c, first + i)) {
            ranks[i] = 0;
            continue;
        }
        const bool is_decided = !is_undecided(b, at[i], heads[i]);
        ranks[i] = b->ranks[is_decided ? at[i] : look_closer(b, at[i], heads[i], c, first + i)];
    }
}

/* The ranks of a dictionary's entries, or of a constant's value, which its rows take. */
static void rank_few(const smi_curve *curve, const boundaries *b, const sm_column *c,
                     uint32_t *ranks)
{
    const bool is_const = c->layout == SM_CONST;
    const sm_column *entries = is_const ? c : &c->children[0];
    const int32_t *codes = c->values;
    uint32_t few[CHUNK];

    SM_ASSERT(is_const || entries->n_rows <= CHUNK);
    rank_rows(curve, b, entries, 0, is_const ? 1 : (int32_t)entries->n_rows, few);
    for (int64_t i = 0; i < c->n_rows; i++) {
        const bool is_null = !is_const && sm_column_is_null(c, i);
        ranks[i * curve->n] = is_null ? 0 : few[is_const ? 0 : codes[i]];
    }
}

/* Writes the column's ranks into the first of every curve->n places. */
static void rank_column(const smi_curve *curve, const boundaries *b, const sm_column *c,
                        int64_t n_rows, uint32_t *ranks)
{
    uint32_t some[CHUNK];

    SM_ASSERT(c->n_rows == n_rows);
    if (n_rows > 0 &&
        (c->layout == SM_CONST || (c->layout == SM_DICT && c->children[0].n_rows <= CHUNK))) {
        rank_few(curve, b, c, ranks);
        return;
    }
    for (int64_t at = 0; at < n_rows; at += CHUNK) {
        const int32_t n_some = n_rows - at < CHUNK ? (int32_t)(n_rows - at) : CHUNK;
        rank_rows(curve, b, c, at, n_some, some);
        for (int32_t i = 0; i < n_some; i++) {
            ranks[(at + i) * curve->n] = some[i];
        }
    }
}

/* Puts the numbers of bins before places on a curve. */
static void put_bins(const sm_column *bins, uint64_t *keys)
{
    SM_ASSERT(bins->type->id == SM_TYPE_I64);
    for (int64_t i = 0; i < bins->n_rows; i++) {
        const uint64_t bin = (uint64_t)sm_column_value(bins, i).as.i;
        SM_ASSERT(keys[i] >> SMI_CURVE_BIN_SHIFT == 0 && bin >> (64 - SMI_CURVE_BIN_SHIFT) == 0);
        keys[i] |= bin << SMI_CURVE_BIN_SHIFT;
    }
}

static sm_status eval_key(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    const smi_curve *c = call->expr->prepared;
    const int64_t n_rows = call->n_rows;
    uint32_t *ranks = NULL;
    uint64_t *keys = NULL;

    SM_ASSERT(call->n_args == c->n || call->n_args == c->n + 1);
    SM_TRY(sm_batch_alloc_raw(call->into, (size_t)n_rows * sizeof(*keys), (void **)&keys, e));
    SM_TRY(sm_batch_alloc_raw(call->into, (size_t)(n_rows * c->n) * sizeof(*ranks), (void **)&ranks,
                              e));
    for (int32_t k = 0; k < c->n; k++) {
        rank_column(c, &c->columns[k], &call->args[k], n_rows, ranks + k);
    }
    for (int64_t i = 0; i < n_rows; i++) {
        keys[i] = key_of(c->kind, c->spread, ranks + i * c->n, c->n, c->bits);
    }
    if (call->n_args > c->n) {
        put_bins(&call->args[c->n], keys);
    }
    *out = (sm_column){.type = &sm_type_u64, .n_rows = n_rows, .values = keys};
    return SM_OK;
}

/* No row of functions.def: only a plan that smelt builds can have it. */
static const sm_function curve_function = {
    .name = "curve_key",
    .signature = "(any, ...) -> ubigint",
    .kind = SM_FN_SCALAR,
    .eval = eval_key,
    .summary = "The place of a row on the curve of its table.",
};

const sm_expr *smi_curve_expr(const smi_curve *c, const sm_type *schema, const int32_t *columns,
                              int32_t bin, sm_arena *a)
{
    sm_expr *x = SM_NEW(a, sm_expr);
    const sm_expr **args = SM_NEW_ARRAY(a, const sm_expr *, c->n + 1);

    SM_ASSERT(bin < 0 || c->n * c->bits <= SMI_CURVE_BIN_SHIFT);

    for (int32_t k = 0; k < c->n; k++) {
        args[k] = sm_expr_column(schema, columns[k], a);
        SM_ASSERT(sm_type_eq(args[k]->type, c->columns[k].type));
    }
    if (bin >= 0) {
        args[c->n] = sm_expr_column(schema, bin, a);
    }
    *x = (sm_expr){
        .kind = SM_EXPR_CALL,
        .type = &sm_type_u64,
        .fn = &curve_function,
        .prepared = c,
        .args = args,
        .n_args = c->n + (bin >= 0),
    };
    return x;
}
