/* SPDX-License-Identifier: Apache-2.0
 *
 * query/function/win_qcut.c: qcut(x, parts), the class of each value by order statistics.
 *
 * Meaning  Of the n values that are not NULL, sorted, q[k] = v[(k · (n − 1)) div parts]. The class
 *          of x is the least k of 1 … parts − 1 with x <= q[k], else parts; NULL for NULL. No
 *          number is computed from values, so it is exact for every type that has an order.
 * Method   n small   everything is sorted, and the class of a value that first stands at v[j] is
 *                    ⌈j · parts / (n − 1)⌉, at least 1.
 *          n large   only the q's are found, and no values are kept. Numbers and dates become
 *                    64-bit keys of the same order. A first pass finds the least key, the greatest
 *                    and n. Each further pass finds 11 more bits of each q, from the highest bit in
 *                    which keys differ: of the keys that begin with the bits of q known so far, it
 *                    counts how many have which 11 bits next, and q's rank tells in which of these
 *                    counts it lies. Values up to 4 million apart take three passes.
 *          Decimals, text and more than PARTS_MAX parts are sorted, however many rows there are.
 * OVER ()  exec makes the passes over its own rows, on all threads (sm_whole_fn). */
#include <stdlib.h>

#include "query/function/agg_int.h"

#define DIGIT_BITS 11
#define N_DIGITS   (1 << DIGIT_BITS)
#define PARTS_MAX  64
#define COUNT_FROM 1024 /* values; for fewer, clearing counts costs more than sorting */
#define LINEAR_MAX 16   /* parts whose q's are compared one by one */

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

_Static_assert((int64_t)PARTS_MAX *N_DIGITS <= INT32_MAX, "counts are indexed by begin and digit");
_Static_assert(sizeof(smi_cell) >= 16 && sizeof(sm_str) == 16,
               "cut_sorted() puts items into a cell");

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

/* The valid rows' values, `bytes` each, in order. */
typedef struct sorted {
    uint8_t *items;
    int64_t n;
    size_t bytes;
    order_fn order;
} sorted;

/* Two sorted runs of `from` to one. */
static sm_status merge_runs(const sorted *s, const uint8_t *from, int64_t n_a, int64_t n_b,
                            uint8_t *to, const sm_budget *budget, sm_error *e)
{
    const uint8_t *a = from, *b = from + (size_t)n_a * s->bytes;
    const uint8_t *const end_a = b, *const end_b = b + (size_t)n_b * s->bytes;
    for (int64_t i = 0; a < end_a || b < end_b; i++) {
        const bool is_b = a == end_a || (b < end_b && s->order(b, a) < 0);
        memcpy(to + (size_t)i * s->bytes, is_b ? b : a, s->bytes);
        *(is_b ? &b : &a) += s->bytes;
        SM_TRY(sm_check_cancel_at(budget, i, e));
    }
    return SM_OK;
}

/* Sorts short runs by qsort(), which cannot be interrupted, then merges them in pairs. At the end
 * s->items is one of the two halves of the memory. */
static sm_status sort_items(sorted *s, uint8_t *spare, const sm_budget *budget, sm_error *e)
{
    const int64_t run = SM_LOOK_ROWS / 8;
    for (int64_t at = 0; at < s->n; at += run) {
        const int64_t n = s->n - at < run ? s->n - at : run;
        SM_TRY(sm_check_cancel(budget, e));
        qsort(s->items + (size_t)at * s->bytes, (size_t)n, s->bytes, s->order);
    }
    for (int64_t width = run; width < s->n; width *= 2) {
        for (int64_t at = 0; at < s->n; at += 2 * width) {
            const int64_t n = s->n - at < 2 * width ? s->n - at : 2 * width;
            const int64_t n_a = n < width ? n : width;
            const size_t off = (size_t)at * s->bytes;
            SM_TRY(merge_runs(s, s->items + off, n_a, n - n_a, spare + off, budget, e));
        }
        uint8_t *const swap = s->items;
        s->items = spare;
        spare = swap;
    }
    return SM_OK;
}

static sm_status sort_rows(const sm_column *c, sorted *s,
                           void (*item)(const sm_column *, int64_t, void *),
                           const sm_budget *budget, sm_error *e)
{
    uint8_t *const spare = s->items + (size_t)c->n_rows * s->bytes;
    for (int64_t i = 0; i < c->n_rows; i++) {
        SM_TRY(sm_check_cancel_at(budget, i, e));
        if (is_valid(c, i)) {
            item(c, i, s->items + (size_t)s->n++ * s->bytes);
        }
    }
    return sort_items(s, spare, budget, e);
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
    SM_ASSERT(n > 1); /* something is less */
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
    SM_TRY(sm_block_new(budget, 2 * (size_t)c->n_rows * s.bytes, &mem, e));
    s.items = mem->data;
    sm_status st = sort_rows(c, &s, item, budget, e);
    for (int64_t i = 0; i < c->n_rows && st == SM_OK; i++) {
        smi_cell own;                               /* any 16 bytes */
        st = sm_check_cancel_at(budget, i * 32, e); /* a search takes as long as many rows */
        if (is_valid(c, i)) {
            item(c, i, &own);
            sm_builder_i64(out, class_of(place_of(&s, &own), s.n, parts));
        } else {
            sm_builder_null(out);
        }
    }
    sm_block_release(mem);
    return st;
}

/* ---- counting, pass by pass ----------------------------------------------------------------- */

/* What one thread has seen in this pass. */
typedef struct slot {
    uint64_t least, most;
    int64_t n;
    int64_t *counts; /* N_DIGITS for each known beginning of a q */
} slot;

typedef struct cuts {
    int32_t n_q, n_slots;
    slot *slots;
    bool is_measured; /* the first pass is over: `least` and `n` are known */
    uint64_t least;
    int64_t n;
    int shift;                  /* the bits of q − least from this one on are known; 64: none */
    int bits;                   /* how many bits below `shift` this pass counts */
    uint64_t q[PARTS_MAX];      /* the known bits of q − least; at the end q itself */
    int64_t rank[PARTS_MAX];    /* of q[k] among the keys that begin with the same bits */
    uint64_t begins[PARTS_MAX]; /* the known bits of all q, ascending, each once */
    int32_t n_begins;
} cuts;

static cuts *cuts_new(int32_t parts, int32_t n_slots)
{
    SM_ASSERT(parts >= 1 && parts <= PARTS_MAX && n_slots >= 1);
    cuts *c = sm_alloc_zero(sizeof(*c));
    c->n_q = parts - 1;
    c->n_slots = n_slots;
    c->slots = sm_alloc_zero((size_t)n_slots * sizeof(*c->slots));
    for (int32_t i = 0; i < n_slots; i++) {
        c->slots[i].least = UINT64_MAX;
        c->slots[i].counts = sm_alloc_zero((size_t)parts * N_DIGITS * sizeof(int64_t));
    }
    return c;
}

static void cuts_free(cuts *c)
{
    for (int32_t i = 0; c && i < c->n_slots; i++) {
        sm_free(c->slots[i].counts);
    }
    if (c) {
        sm_free(c->slots);
        sm_free(c);
    }
}

/* The keys of some rows. Those of NULLs are not taken: `valid` has how many others there are. */
static int64_t make_keys(const sm_column *c, int64_t first, int64_t n, uint64_t *keys)
{
    if (c->type->id == SM_TYPE_I64 && !c->validity) {
        const int64_t *v = (const int64_t *)c->values + first;
        for (int64_t i = 0; i < n; i++) {
            keys[i] = (uint64_t)v[i] ^ (uint64_t)1 << 63;
        }
        return n;
    }
    int64_t n_valid = 0;
    for (int64_t i = first; i < first + n; i++) {
        if (is_valid(c, i)) {
            keys[n_valid++] = key_of(c, i);
        }
    }
    return n_valid;
}

static void measure_keys(slot *s, const uint64_t *keys, int64_t n)
{
    uint64_t least = s->least, most = s->most;
    for (int64_t i = 0; i < n; i++) {
        least = keys[i] < least ? keys[i] : least;
        most = keys[i] > most ? keys[i] : most;
    }
    s->least = least;
    s->most = most;
    s->n += n;
}

static void count_keys(const cuts *c, slot *s, const uint64_t *keys, int64_t n)
{
    SM_ASSERT(c->bits > 0 && c->bits <= DIGIT_BITS && c->bits <= c->shift && c->shift <= 64);
    const int low = c->shift - c->bits;
    const uint64_t mask = ((uint64_t)1 << c->bits) - 1;
    for (int64_t i = 0; i < n; i++) {
        const uint64_t key = keys[i] - c->least;
        const uint64_t begin = c->shift == 64 ? 0 : key >> c->shift;
        const int32_t b = count_less(c->begins, c->n_begins, begin);
        if (b < c->n_begins && c->begins[b] == begin) {
            s->counts[(int64_t)b * N_DIGITS + (int64_t)(key >> low & mask)]++;
        }
    }
}

static void cuts_look(cuts *c, int32_t slot_number, const sm_column *rows)
{
    uint64_t keys[512];
    SM_ASSERT(slot_number >= 0 && slot_number < c->n_slots);
    slot *s = &c->slots[slot_number];
    for (int64_t first = 0; first < rows->n_rows; first += SM_COUNT(keys)) {
        const int64_t left = rows->n_rows - first;
        const int64_t n =
            make_keys(rows, first, left < SM_COUNT(keys) ? left : SM_COUNT(keys), keys);
        if (c->is_measured) {
            count_keys(c, s, keys, n);
        } else {
            measure_keys(s, keys, n);
        }
    }
}

/* What the first pass has seen, by all: whether there is something to count. */
static bool end_measuring(cuts *c)
{
    uint64_t most = 0;
    c->least = UINT64_MAX;
    for (int32_t i = 0; i < c->n_slots; i++) {
        c->least = c->slots[i].least < c->least ? c->slots[i].least : c->least;
        most = c->slots[i].most > most ? c->slots[i].most : most;
        c->n += c->slots[i].n;
    }
    for (int32_t k = 0; k < c->n_q; k++) {
        c->rank[k] = (k + 1) * (c->n - 1) / (c->n_q + 1);
    }
    c->is_measured = true;
    c->n_begins = 1;
    c->shift = c->n == 0 || most == c->least ? 0 : 64 - __builtin_clzll(most - c->least);
    return c->shift > 0;
}

/* What all threads have counted at this place. */
static int64_t sum_counts(cuts *c, int64_t place)
{
    int64_t n = 0;
    for (int32_t i = 0; i < c->n_slots; i++) {
        n += c->slots[i].counts[place];
    }
    return n;
}

/* Finds the bits of q[k] that this pass counted, and its rank among the keys that have them. */
static void find_digit(cuts *c, int32_t k, int32_t begin)
{
    uint64_t digit = 0;
    for (int64_t n = 0;; digit++) {
        SM_ASSERT(begin < c->n_begins && c->begins[begin] == c->q[k]);
        n = sum_counts(c, (int64_t)begin * N_DIGITS + (int64_t)digit);
        if (c->rank[k] < n) {
            break;
        }
        c->rank[k] -= n;
        SM_ASSERT(digit + 1 < N_DIGITS);
    }
    c->q[k] = c->q[k] << c->bits | digit;
}

static void end_counting(cuts *c)
{
    for (int32_t k = 0; k < c->n_q; k++) {
        find_digit(c, k, count_less(c->begins, c->n_begins, c->q[k]));
    }
    for (int32_t i = 0; i < c->n_slots; i++) {
        memset(c->slots[i].counts, 0, (size_t)c->n_begins * N_DIGITS * sizeof(int64_t));
    }
    c->n_begins = 0;
    for (int32_t k = 0; k < c->n_q; k++) { /* ascending, as their ranks are */
        if (k == 0 || c->q[k] != c->q[k - 1]) {
            c->begins[c->n_begins++] = c->q[k];
        }
    }
    SM_ASSERT(c->n_begins <= c->n_q);
    c->shift -= c->bits;
}

/* Ends a pass and prepares the next; false where none is needed. */
static bool cuts_next(cuts *c)
{
    if (!c->is_measured) {
        end_measuring(c);
    } else {
        end_counting(c);
    }
    c->bits = c->shift < DIGIT_BITS ? c->shift : DIGIT_BITS;
    if (c->shift > 0 && c->n_q > 0) {
        return true;
    }
    for (int32_t k = 0; k < c->n_q; k++) {
        c->q[k] += c->least;
    }
    return false;
}

static void cuts_give(const cuts *c, const sm_column *rows, sm_builder *out)
{
    uint64_t keys[512];
    if (!sm_builder_reserve(out, rows->n_rows)) {
        return; /* refused: finishing the builder tells */
    }
    SM_ASSERT(c->is_measured && (c->shift == 0 || c->n_q == 0)); /* the passes are over */
    const int64_t at = sm_builder_rows(out);
    int64_t *values = (int64_t *)sm_builder_values(out) + at;
    for (int64_t first = 0; !rows->validity && first < rows->n_rows; first += SM_COUNT(keys)) {
        const int64_t left = rows->n_rows - first;
        const int64_t n =
            make_keys(rows, first, left < SM_COUNT(keys) ? left : SM_COUNT(keys), keys);
        for (int64_t i = 0; i < n; i++) {
            values[first + i] = 1 + count_less(c->q, c->n_q, keys[i]);
        }
    }
    for (int64_t i = 0; rows->validity && i < rows->n_rows; i++) {
        values[i] = is_valid(rows, i) ? 1 + count_less(c->q, c->n_q, key_of(rows, i)) : 0;
    }
    sm_builder_advance(out, rows->n_rows);
    for (int64_t i = 0; rows->validity && i < rows->n_rows; i++) {
        if (!is_valid(rows, i)) {
            sm_builder_set_null(out, at + i);
        }
    }
}

/* Are there few enough parts, of what has keys? */
static bool can_count(const sm_type *t, int64_t parts)
{
    return t->id != SM_TYPE_DECIMAL && t->id != SM_TYPE_NULL && !sm_type_is_bytes(t->id) &&
           !sm_type_is_nested(t->id) && parts >= 1 && parts <= PARTS_MAX;
}

/* ---- OVER () -------------------------------------------------------------------------------- */

static void *whole_begin(const sm_expr *call, int32_t n_slots)
{
    const sm_expr *parts = call->args[1];
    if (parts->kind != SM_EXPR_CONST || parts->value.is_null ||
        !can_count(call->args[0]->type, parts->value.as.i)) {
        return NULL;
    }
    return cuts_new((int32_t)parts->value.as.i, n_slots);
}

static void whole_look(void *state, int32_t slot_number, const sm_column *arg)
{
    cuts_look(state, slot_number, arg);
}

static bool whole_next(void *state)
{
    return cuts_next(state);
}

static void whole_give(const void *state, const sm_column *arg, sm_builder *out)
{
    cuts_give(state, arg, out);
}

static void whole_end(void *state)
{
    cuts_free(state);
}

const sm_whole_fn smi_whole_qcut = {.begin = whole_begin,
                                    .look = whole_look,
                                    .next = whole_next,
                                    .give = whole_give,
                                    .end = whole_end};

/* ---- the function --------------------------------------------------------------------------- */

static void cut_counted(const sm_column *c, int32_t parts, sm_builder *out)
{
    cuts *found = cuts_new(parts, 1);
    do {
        cuts_look(found, 0, c);
    } while (cuts_next(found));
    cuts_give(found, c, out);
    cuts_free(found);
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
    sm_status st = SM_OK;
    if (c.n_rows >= COUNT_FROM && can_count(c.type, parts.as.i)) {
        cut_counted(&c, (int32_t)parts.as.i, out);
    } else {
        st = cut_sorted(&c, parts.as.i, in->budget, out, e);
    }
    sm_block_release(mem);
    return st;
}
