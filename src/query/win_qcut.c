/* SPDX-License-Identifier: Apache-2.0
 *
 * query/win_qcut.c: qcut(x, parts), the class of each value by order statistics.
 *
 * Meaning  Of the n values that are not NULL, sorted, q[k] = v[(k · (n − 1)) div parts]. The class
 *          of x is the least k of 1 … parts − 1 with x <= q[k], else parts; NULL for NULL. No
 *          number is computed from values, so it is exact for every type that has an order.
 * Method   Numbers and dates become 64-bit keys of the same order, counted from the least. Then
 *            n small        everything is sorted, and the class of a value that first stands at
 *                           v[j] is ⌈j · parts / (n − 1)⌉, at least 1;
 *            n large        only the q's are found: a histogram of the keys' highest 11 bits says
 *                           in which bucket each q lies; keys of those buckets alone move together
 *                           and are looked at again by their next 11 bits. Keys of up to 2,048
 *                           different values in a row are thus counted and not moved at all, others
 *                           are moved at most 5 times.
 *          Decimals, text and more than SELECT_MAX parts are sorted, however many there are. */
#include <stdlib.h>

#include "query/agg_int.h"

#define DIGIT_BITS  11
#define N_DIGITS    (1 << DIGIT_BITS)
#define N_LEVELS    6    /* of DIGIT_BITS in 64 */
#define SELECT_MAX  1024 /* parts */
#define SELECT_FROM 1024 /* values; for fewer, clearing histograms costs more than sorting */
#define INSERT_MAX  24   /* keys of a bucket that are sorted by insertion */
#define LINEAR_MAX  16   /* parts whose q's are compared one by one */

/* ---- keys ----------------------------------------------------------------------------------- */

/* Unsigned, in the order of the doubles; NaN is the largest and −0 is 0. */
static uint64_t key_of_double(double v)
{
    uint64_t bits;
    if (v != v) {
        return UINT64_MAX;
    }
    v = v == 0 ? 0 : v;
    memcpy(&bits, &v, sizeof(bits));
    return bits >> 63 ? ~bits : bits | (uint64_t)1 << 63;
}

static bool is_unsigned(const sm_type *t)
{
    return sm_type_is_integer(t->id) && !sm_type_is_signed(t->id);
}

static bool is_valid(const sm_column *flat, int64_t i)
{
    return !flat->validity || sm_bit_get(flat->validity, i);
}

static uint64_t key_of(const sm_column *c, int64_t i)
{
    if (c->type->id == SM_TYPE_F64 || c->type->id == SM_TYPE_F32) {
        return key_of_double(smi_f64_at(c, i));
    }
    if (c->type->id == SM_TYPE_BOOL) {
        return smi_bool_at(c, i);
    }
    const uint64_t flip = is_unsigned(c->type) ? 0 : (uint64_t)1 << 63;
    return (uint64_t)smi_i64_at(c, i) ^ flip;
}

/* The keys of all rows; those of rows with a value once more, packed. Returns how many. */
static int64_t make_keys(const sm_column *c, uint64_t *keys, uint64_t *packed)
{
    int64_t n = 0;
    if (c->type->id == SM_TYPE_I64) {
        for (int64_t i = 0; i < c->n_rows; i++) {
            keys[i] = (uint64_t)((const int64_t *)c->values)[i] ^ (uint64_t)1 << 63;
        }
    } else {
        for (int64_t i = 0; i < c->n_rows; i++) {
            keys[i] = key_of(c, i);
        }
    }
    for (int64_t i = 0; i < c->n_rows; i++) {
        if (is_valid(c, i)) {
            packed[n++] = keys[i];
        }
    }
    return n;
}

/* ---- selection ------------------------------------------------------------------------------ */

typedef struct selection {
    int64_t *counts;     /* 2 × N_DIGITS a level: how many, and where they go */
    const int64_t *want; /* ranks, ascending */
    uint64_t *found;     /* the key of each */
} selection;

/* Some keys, known to be those of the ranks from `base` on, and the ranks wanted among them. */
typedef struct bucket {
    uint64_t *keys, *spare; /* n each; both are used up */
    int64_t n, base;
    int32_t first, end; /* of want */
} bucket;

static void insertion_sort(uint64_t *keys, int64_t n)
{
    for (int64_t i = 1; i < n; i++) {
        const uint64_t key = keys[i];
        int64_t at = i;
        for (; at > 0 && keys[at - 1] > key; at--) {
            keys[at] = keys[at - 1];
        }
        keys[at] = key;
    }
}

static uint64_t digit_of(uint64_t key, int shift)
{
    return (key >> shift) & (N_DIGITS - 1);
}

/* The end of the ranks wanted below `rank`, from number k on. */
static int32_t ranks_below(const selection *s, int32_t k, int32_t end, int64_t rank)
{
    while (k < end && s->want[k] < rank) {
        k++;
    }
    return k;
}

/* Moves the keys of the buckets with a wanted rank together in spare; place[d] becomes the end of
 * bucket d there. */
static void move_wanted(const selection *s, const bucket *b, int shift, const int64_t *counts,
                        int64_t *place)
{
    int64_t rank = b->base, n_moved = 0;
    int32_t k = b->first;
    for (int d = 0; d < N_DIGITS; d++) {
        const int32_t from = k;
        rank += counts[d];
        k = ranks_below(s, k, b->end, rank);
        place[d] = k > from ? n_moved : -1;
        n_moved += k > from ? counts[d] : 0;
    }
    for (int64_t i = 0; i < b->n; i++) {
        int64_t *const to = &place[digit_of(b->keys[i], shift)];
        if (*to >= 0) {
            b->spare[(*to)++] = b->keys[i];
        }
    }
}

/* Finds the keys of the bucket's wanted ranks; its keys are equal from bit shift + DIGIT_BITS on.
 * */
static void select_ranks(const selection *s, const bucket *b, int shift, int level)
{
    if (b->n <= INSERT_MAX) {
        insertion_sort(b->keys, b->n);
        for (int32_t k = b->first; k < b->end; k++) {
            s->found[k] = b->keys[s->want[k] - b->base];
        }
        return;
    }
    SM_ASSERT(level < N_LEVELS);
    int64_t *const counts = s->counts + (ptrdiff_t)level * 2 * N_DIGITS, *place = counts + N_DIGITS;
    memset(counts, 0, N_DIGITS * sizeof(*counts));
    for (int64_t i = 0; i < b->n; i++) {
        counts[digit_of(b->keys[i], shift)]++;
    }
    const uint64_t above = b->keys[0] & ~(((uint64_t)N_DIGITS << shift) - 1);
    if (shift > 0) {
        move_wanted(s, b, shift, counts, place);
    }
    int64_t rank = b->base;
    int32_t k = b->first;
    for (uint64_t d = 0; d < N_DIGITS && k < b->end; rank += counts[d], d++) {
        const int32_t from = k;
        k = ranks_below(s, k, b->end, rank + counts[d]);
        if (shift == 0) {
            for (int32_t i = from; i < k; i++) {
                s->found[i] = above | d;
            }
        } else if (k > from) {
            const int64_t at = place[d] - counts[d];
            const bucket next = {b->spare + at, b->keys + at, counts[d], rank, from, k};
            select_ranks(s, &next, shift < DIGIT_BITS ? 0 : shift - DIGIT_BITS, level + 1);
        }
    }
}

/* Finds q[1] … q[parts − 1] of n packed keys into q[0] …; uses them up. `spare`: n more. */
static sm_status find_bounds(uint64_t *keys, uint64_t *spare, int64_t n, int32_t parts, uint64_t *q,
                             sm_budget *budget, sm_error *e)
{
    const int32_t n_q = parts - 1;
    const size_t counts_bytes = (size_t)N_LEVELS * 2 * N_DIGITS * sizeof(int64_t);
    sm_block *mem = NULL;
    uint64_t least = keys[0], most = keys[0];
    SM_TRY(sm_block_new(budget, counts_bytes + (size_t)parts * sizeof(int64_t), &mem, e));
    int64_t *const want = (int64_t *)(void *)(mem->data + counts_bytes);
    for (int64_t i = 1; i < n; i++) {
        least = keys[i] < least ? keys[i] : least;
        most = keys[i] > most ? keys[i] : most;
    }
    for (int64_t i = 0; i < n; i++) {
        keys[i] -= least;
    }
    for (int32_t k = 0; k < n_q; k++) {
        want[k] = (k + 1) * (n - 1) / parts;
    }
    const int n_bits = most == least ? 1 : 64 - __builtin_clzll(most - least);
    const selection s = {.counts = (int64_t *)(void *)mem->data, .want = want, .found = q};
    const bucket all = {keys, spare, n, 0, 0, n_q};
    select_ranks(&s, &all, n_bits > DIGIT_BITS ? n_bits - DIGIT_BITS : 0, 0);
    for (int32_t k = 0; k < n_q; k++) {
        q[k] += least;
    }
    sm_block_release(mem);
    return SM_OK;
}

/* How many of the ascending q's are less than the key. */
static int32_t count_less(const uint64_t *q, int32_t n_q, uint64_t key)
{
    int32_t n = 0;
    if (n_q < LINEAR_MAX) {
        for (int32_t k = 0; k < n_q; k++) {
            n += q[k] < key;
        }
        return n;
    }
    for (int32_t end = n_q; n < end;) {
        const int32_t mid = n + (end - n) / 2;
        if (q[mid] < key) {
            n = mid + 1;
        } else {
            end = mid;
        }
    }
    return n;
}

/* ---- sorting -------------------------------------------------------------------------------- */

typedef int (*order_fn)(const void *a, const void *b);

static int order_keys(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}
static int order_wide(const void *a, const void *b)
{
    const sm_i128 x = *(const smi_wide *)a, y = *(const smi_wide *)b;
    return (x > y) - (x < y);
}
static int order_text(const void *a, const void *b)
{
    return sm_str_cmp(*(const sm_str *)a, *(const sm_str *)b);
}

/* Values of `bytes` each: row i's, made on demand; and the valid ones, sorted. */
typedef struct sorted {
    uint8_t *items;
    int64_t n;
    size_t bytes;
    order_fn order;
} sorted;

static void sort_rows(const sm_column *c, sorted *s,
                      void (*item)(const sm_column *, int64_t, void *))
{
    for (int64_t i = 0; i < c->n_rows; i++) {
        if (is_valid(c, i)) {
            item(c, i, s->items + (size_t)s->n++ * s->bytes);
        }
    }
    qsort(s->items, (size_t)s->n, s->bytes, s->order);
}

static void item_key(const sm_column *c, int64_t i, void *out)
{
    *(uint64_t *)out = key_of(c, i);
}
static void item_wide(const sm_column *c, int64_t i, void *out)
{
    *(smi_wide *)out = smi_i128_at(c, i);
}
static void item_text(const sm_column *c, int64_t i, void *out)
{
    *(sm_str *)out = smi_str_at(c, i);
}

/* The number of items that are less. */
static int64_t place_of(const sorted *s, const void *item)
{
    int64_t at = 0;
    for (int64_t end = s->n; at < end;) {
        const int64_t mid = at + (end - at) / 2;
        if (s->order(s->items + (size_t)mid * s->bytes, item) < 0) {
            at = mid + 1;
        } else {
            end = mid;
        }
    }
    return at;
}

/* The least class k >= 1 with (k · (n − 1)) div parts >= place. */
static int64_t class_of(int64_t place, int64_t n, int64_t parts)
{
    if (place == 0) {
        return 1;
    }
    const sm_i128 k = ((sm_i128)place * parts + n - 2) / (n - 1);
    return (int64_t)k;
}

static sm_status cut_sorted(const sm_column *c, int64_t parts, sm_budget *budget, sm_builder *out,
                            sm_error *e)
{
    const bool is_wide = c->type->id == SM_TYPE_DECIMAL, is_text = sm_type_is_bytes(c->type->id);
    void (*const item)(const sm_column *, int64_t, void *) = is_wide   ? item_wide
                                                             : is_text ? item_text
                                                                       : item_key;
    sorted s = {.bytes = is_wide || is_text ? 16 : sizeof(uint64_t),
                .order = is_wide   ? order_wide
                         : is_text ? order_text
                                   : order_keys};
    sm_block *mem = NULL;
    SM_TRY(sm_block_new(budget, (size_t)c->n_rows * s.bytes, &mem, e));
    s.items = mem->data;
    sort_rows(c, &s, item);
    for (int64_t i = 0; i < c->n_rows; i++) {
        smi_cell own; /* any 16 bytes */
        if (is_valid(c, i)) {
            item(c, i, &own);
            sm_builder_i64(out, class_of(place_of(&s, &own), s.n, parts));
        } else {
            sm_builder_null(out);
        }
    }
    sm_block_release(mem);
    return SM_OK;
}

/* ---- the function --------------------------------------------------------------------------- */

static sm_status cut_selected(const sm_column *c, int32_t parts, sm_budget *budget, sm_builder *out,
                              sm_error *e)
{
    uint64_t q[SELECT_MAX];
    sm_block *mem = NULL;
    sm_status st = SM_OK;
    SM_TRY(sm_block_new(budget, (size_t)c->n_rows * 3 * sizeof(uint64_t), &mem, e));
    uint64_t *const keys = (uint64_t *)(void *)mem->data;
    uint64_t *const packed = keys + c->n_rows;
    const int64_t n = make_keys(c, keys, packed);
    if (n > 0) {
        st = find_bounds(packed, packed + c->n_rows, n, parts, q, budget, e);
    }
    for (int64_t i = 0; i < c->n_rows && st == SM_OK; i++) {
        if (is_valid(c, i)) {
            sm_builder_i64(out, 1 + count_less(q, parts - 1, keys[i]));
        } else {
            sm_builder_null(out);
        }
    }
    sm_block_release(mem);
    return st;
}

sm_status win_qcut(const sm_expr *call, const sm_window_in *in, sm_builder *out, sm_error *e)
{
    sm_column c;
    sm_block *mem = NULL;
    if (in->n_rows == 0) {
        return SM_OK;
    }
    const sm_value parts = sm_column_value(&in->args[1], 0);
    if (parts.is_null || parts.as.i < 1) {
        return smi_expr_fail(call, e, SM_INVALID, "qcut needs 1 class or more");
    }
    if (in->args[0].type->id == SM_TYPE_NULL) {
        for (int64_t i = 0; i < in->n_rows; i++) {
            sm_builder_null(out);
        }
        return SM_OK;
    }
    SM_TRY(smi_flat(&in->args[0], in->budget, &c, &mem, e));
    const bool has_keys = c.type->id != SM_TYPE_DECIMAL && !sm_type_is_bytes(c.type->id);
    const bool is_selected = has_keys && c.n_rows >= SELECT_FROM && parts.as.i <= SELECT_MAX;
    const sm_status st = is_selected ? cut_selected(&c, (int32_t)parts.as.i, in->budget, out, e)
                                     : cut_sorted(&c, parts.as.i, in->budget, out, e);
    sm_block_release(mem);
    return st;
}
