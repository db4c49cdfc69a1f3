/* SPDX-License-Identifier: Apache-2.0
 *
 * query/function/fn_compare.c: comparisons, IN and the tests for NULL, whose results are bitmaps;
 * greatest and least. The arguments of a call have one type and are FLAT or CONST.
 *
 * Bits      A loop writes 64 bytes of 0 or 1, for which the compiler uses SIMD compares; then one
 *           multiplication packs eight of these bytes into one byte of the bitmap.
 * Order     As column.h says: of floats NaN is the largest and equals itself, and −0 equals 0; text
 *           is compared by its bytes.
 * IN        looks up integers in a sorted array and text in hash tables. A text of up to 12 bytes
 *           is hashed and compared as the two words of its view, a longer one by its bytes. */
#include "query/function/function_int.h"

#include "base/hash.h"

#include <math.h>
#include <stdlib.h>

typedef enum smi_cmp { SMI_EQ, SMI_NE, SMI_LT, SMI_LE, SMI_GT, SMI_GE } smi_cmp;

/* ---- bits ------------------------------------------------------------------------------------ */

static void pack64(const uint8_t bytes[64], uint8_t *bits)
{
    for (int k = 0; k < 8; k++) {
        uint64_t w;
        memcpy(&w, bytes + 8 * k, 8);
        bits[k] = (uint8_t)((w * UINT64_C(0x0102040810204080)) >> 56);
    }
}

/* Runs `test` (over a and b) for all rows; x is flat unless both are constants. */
#define COMPARE_LOOP(type, test)                                                                   \
    do {                                                                                           \
        const type *const xs = (const type *)x->values, *const ys = (const type *)y->values;       \
        for (int64_t i = 0; i < n; i += 64) {                                                      \
            uint8_t bytes[64] = {0};                                                               \
            const int64_t m = n - i < 64 ? n - i : 64;                                             \
            if (y->layout == SM_CONST) {                                                           \
                const type b = ys[0];                                                              \
                for (int64_t j = 0; j < m; j++) {                                                  \
                    const type a = xs[i + j];                                                      \
                    bytes[j] = (test);                                                             \
                }                                                                                  \
            } else {                                                                               \
                for (int64_t j = 0; j < m; j++) {                                                  \
                    const type a = xs[i + j], b = ys[i + j];                                       \
                    bytes[j] = (test);                                                             \
                }                                                                                  \
            }                                                                                      \
            pack64(bytes, bits + i / 8);                                                           \
        }                                                                                          \
    } while (0)

#define COMPARE_OPS(type, eq, lt, le)                                                              \
    do {                                                                                           \
        switch (op) {                                                                              \
        case SMI_EQ:                                                                               \
            COMPARE_LOOP(type, eq);                                                                \
            return;                                                                                \
        case SMI_NE:                                                                               \
            COMPARE_LOOP(type, !(eq));                                                             \
            return;                                                                                \
        case SMI_LT:                                                                               \
            COMPARE_LOOP(type, lt);                                                                \
            return;                                                                                \
        case SMI_LE:                                                                               \
            COMPARE_LOOP(type, le);                                                                \
            return;                                                                                \
        case SMI_GT:                                                                               \
            COMPARE_LOOP(type, !(le));                                                             \
            return;                                                                                \
        case SMI_GE:                                                                               \
            COMPARE_LOOP(type, !(lt));                                                             \
            return;                                                                                \
        }                                                                                          \
    } while (0)

#define COMPARE_PLAIN(fn, type)                                                                    \
    static void fn(smi_cmp op, const sm_column *x, const sm_column *y, int64_t n, uint8_t *bits)   \
    {                                                                                              \
        COMPARE_OPS(type, a == b, a < b, a <= b);                                                  \
    }
COMPARE_PLAIN(compare_i8, int8_t)
COMPARE_PLAIN(compare_i16, int16_t)
COMPARE_PLAIN(compare_i32, int32_t)
COMPARE_PLAIN(compare_i64, int64_t)
COMPARE_PLAIN(compare_u8, uint8_t)
COMPARE_PLAIN(compare_u16, uint16_t)
COMPARE_PLAIN(compare_u32, uint32_t)
COMPARE_PLAIN(compare_u64, uint64_t)
COMPARE_PLAIN(compare_i128, sm_i128)

#define COMPARE_FLOAT(fn, type)                                                                    \
    static void fn(smi_cmp op, const sm_column *x, const sm_column *y, int64_t n, uint8_t *bits)   \
    {                                                                                              \
        COMPARE_OPS(type, a == b || (isnan(a) && isnan(b)), a < b || (isnan(b) && !isnan(a)),      \
                    a <= b || isnan(b));                                                           \
    }
COMPARE_FLOAT(compare_f32, float)
COMPARE_FLOAT(compare_f64, double)
#undef COMPARE_FLOAT
#undef COMPARE_PLAIN
#undef COMPARE_OPS
#undef COMPARE_LOOP

/* ---- text, booleans, nested ------------------------------------------------------------------ */

static bool view_eq(const sm_view *a, const sm_heap_buf *heap_a, const sm_view *b,
                    const sm_heap_buf *heap_b)
{
    if (a->words[0] != b->words[0]) { /* length and first four bytes */
        return false;
    }
    if (a->inlined.len <= SM_VIEW_INLINE) {
        return a->words[1] == b->words[1];
    }
    return sm_str_eq(sm_view_str(a, heap_a), sm_view_str(b, heap_b));
}

static bool holds(smi_cmp op, int order)
{
    switch (op) {
    case SMI_EQ:
        return order == 0;
    case SMI_NE:
        return order != 0;
    case SMI_LT:
        return order < 0;
    case SMI_LE:
        return order <= 0;
    case SMI_GT:
        return order > 0;
    case SMI_GE:
        return order >= 0;
    }
    return false;
}

static void compare_text(smi_cmp op, const sm_column *x, const sm_column *y, int64_t n,
                         uint8_t *bits)
{
    const sm_view *const xs = x->values, *const ys = y->values;
    const int64_t mx = smi_mask(x), my = smi_mask(y);
    for (int64_t i = 0; i < n; i++) {
        const sm_view *const a = &xs[i & mx], *const b = &ys[i & my];
        bool yes = false;
        if (op == SMI_EQ || op == SMI_NE) {
            yes = view_eq(a, x->heap, b, y->heap) == (op == SMI_EQ);
        } else {
            yes = holds(op, sm_str_cmp(sm_view_str(a, x->heap), sm_view_str(b, y->heap)));
        }
        if (yes) {
            sm_bit_set(bits, i);
        }
    }
}

static void compare_any(smi_cmp op, const sm_column *x, const sm_column *y, int64_t n,
                        uint8_t *bits)
{
    const bool is_nested = sm_type_is_nested(x->type->id);
    SM_ASSERT(!is_nested || op == SMI_EQ ||
              op == SMI_NE); /* the binder: nested ones have no order */
    for (int64_t i = 0; i < n; i++) {
        if (!smi_valid(x, i) || !smi_valid(y, i)) {
            continue;
        }
        int order = 0;
        if (is_nested) {
            order = !sm_column_eq(x, i, y, i);
        } else if (x->type->id == SM_TYPE_BOOL) {
            order = (int)smi_bool_at(x, i) - (int)smi_bool_at(y, i);
        } else {
            order = sm_column_cmp(x, i, y, i);
        }
        if (holds(op, order)) {
            sm_bit_set(bits, i);
        }
    }
}

/* The operator that means the same with its sides exchanged. */
static const smi_cmp mirror[] = {SMI_EQ, SMI_NE, SMI_GT, SMI_GE, SMI_LT, SMI_LE};
_Static_assert(SM_COUNT(mirror) == SMI_GE + 1, "one for each operator");

static void compare_bits(smi_cmp op, const sm_column *x, const sm_column *y, int64_t n,
                         uint8_t *bits)
{
    typedef void (*kernel)(smi_cmp, const sm_column *, const sm_column *, int64_t, uint8_t *);
    static const kernel kernels[] = {
        [SM_TYPE_I8] = compare_i8,
        [SM_TYPE_I16] = compare_i16,
        [SM_TYPE_I32] = compare_i32,
        [SM_TYPE_I64] = compare_i64,
        [SM_TYPE_U8] = compare_u8,
        [SM_TYPE_U16] = compare_u16,
        [SM_TYPE_U32] = compare_u32,
        [SM_TYPE_U64] = compare_u64,
        [SM_TYPE_F32] = compare_f32,
        [SM_TYPE_F64] = compare_f64,
        [SM_TYPE_DECIMAL] = compare_i128,
        [SM_TYPE_STRING] = compare_text,
        [SM_TYPE_BINARY] = compare_text,
        [SM_TYPE_DATE] = compare_i32,
        [SM_TYPE_TIME] = compare_i64,
        [SM_TYPE_TIMESTAMP] = compare_i64,
        [SM_TYPE_TIMESTAMP_NTZ] = compare_i64,
    };
    SM_ASSERT(sm_type_eq(x->type, y->type)); /* a kernel reads both by one width */
    const sm_type_id id = x->type->id;
    const kernel run = (int)id < SM_COUNT(kernels) ? kernels[id] : NULL;
    if (!run) {
        compare_any(op, x, y, n, bits);
        return;
    }
    SM_ASSERT(x->layout != SM_DICT && y->layout != SM_DICT);
    if (x->layout == SM_CONST && y->layout != SM_CONST) {
        run(mirror[op], y, x, n, bits);
    } else {
        run(op, x, y, n, bits);
    }
}

static sm_status compare_rows(smi_cmp op, const sm_fn_call *call, sm_column *out)
{
    compare_bits(op, &call->args[0], &call->args[1], call->n_rows, (uint8_t *)out->values);
    return SM_OK;
}

sm_status fn_equal(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    return compare_rows(SMI_EQ, call, out);
}
sm_status fn_not_equal(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    return compare_rows(SMI_NE, call, out);
}
sm_status fn_less(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    return compare_rows(SMI_LT, call, out);
}
sm_status fn_less_equal(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    return compare_rows(SMI_LE, call, out);
}
sm_status fn_greater(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    return compare_rows(SMI_GT, call, out);
}
sm_status fn_greater_equal(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    return compare_rows(SMI_GE, call, out);
}

/* ---- NULL ------------------------------------------------------------------------------------ */

static bool is_valid_at(const sm_column *c, int64_t i)
{
    return c->type->id != SM_TYPE_NULL && smi_valid(c, i);
}

static sm_status null_test(const sm_fn_call *call, bool want_null, sm_column *out, sm_error *e)
{
    const sm_column *const c = &call->args[0];
    const int64_t n = call->n_rows;
    const bool is_flat = c->layout == SM_FLAT && c->type->id != SM_TYPE_NULL && c->validity;
    const uint8_t all = n > 0 && is_valid_at(c, 0) != want_null ? 0xff : 0; /* where not is_flat */
    SM_TRY(smi_column_new(&sm_type_bool, n, call->into, out, e));
    uint8_t *const bits = (uint8_t *)out->values;
    for (size_t k = 0; k < sm_bits_bytes(n); k++) {
        bits[k] = is_flat ? (uint8_t)(c->validity[k] ^ (want_null ? 0xff : 0)) : all;
    }
    if (n % 8 != 0) {
        bits[n / 8] &= (uint8_t)((1 << n % 8) - 1);
    }
    return SM_OK;
}

sm_status fn_is_null(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    return null_test(call, true, out, e);
}
sm_status fn_is_not_null(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    return null_test(call, false, out, e);
}

static sm_status distinct_test(const sm_fn_call *call, bool want, sm_column *out, sm_error *e)
{
    const sm_column *const x = &call->args[0], *const y = &call->args[1];
    const bool is_null_type = x->type->id == SM_TYPE_NULL;
    sm_column equal = {0};
    SM_TRY(smi_column_new(&sm_type_bool, call->n_rows, call->into, out, e));
    SM_TRY(smi_column_new(&sm_type_bool, call->n_rows, call->into, &equal, e));
    if (!is_null_type) {
        compare_bits(SMI_EQ, x, y, call->n_rows, (uint8_t *)equal.values);
    }
    for (int64_t i = 0; i < call->n_rows; i++) {
        const bool has_x = is_valid_at(x, i), has_y = is_valid_at(y, i);
        const bool same = has_x && has_y ? sm_bit_get(equal.values, i) : has_x == has_y;
        if (same != want) {
            sm_bit_set((uint8_t *)out->values, i);
        }
    }
    return SM_OK;
}

sm_status fn_is_distinct(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    return distinct_test(call, true, out, e);
}
sm_status fn_is_not_distinct(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    return distinct_test(call, false, out, e);
}

sm_status fn_not(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    const sm_column *const c = &call->args[0];
    const uint8_t *const in = c->values;
    const int64_t n_bytes = c->layout == SM_FLAT ? call->n_rows / 8 : 0;
    uint8_t *const bits = (uint8_t *)out->values;
    for (int64_t k = 0; k < n_bytes; k++) {
        bits[k] = (uint8_t)~in[k];
    }
    for (int64_t i = n_bytes * 8; i < call->n_rows; i++) {
        if (!smi_bool_at(c, i)) {
            sm_bit_set(bits, i);
        }
    }
    return SM_OK;
}

/* ---- greatest, least ------------------------------------------------------------------------- */

/* Index of the winning argument of row i, −1 where all are NULL. */
static int32_t winner(const sm_fn_call *call, int64_t i, int sign)
{
    int32_t best = -1;
    for (int32_t k = 0; k < call->n_args; k++) {
        if (!is_valid_at(&call->args[k], i)) {
            continue;
        }
        if (best < 0 || sm_column_cmp(&call->args[k], i, &call->args[best], i) * sign > 0) {
            best = k;
        }
    }
    return best;
}

static void pick_full_i64(int64_t *best, const sm_column *c, int sign, int64_t n)
{
    const int64_t *const v = c->values;
    const int64_t mask = smi_mask(c);
    if (sign > 0) {
        for (int64_t i = 0; i < n; i++) {
            best[i] = v[i & mask] > best[i] ? v[i & mask] : best[i];
        }
    } else {
        for (int64_t i = 0; i < n; i++) {
            best[i] = v[i & mask] < best[i] ? v[i & mask] : best[i];
        }
    }
}

/* 64-bit integers: one pass for each argument, over the best values so far. */
static sm_status pick_i64(const sm_fn_call *call, int sign, sm_column *out, sm_error *e)
{
    uint8_t *bits = NULL;
    bool is_full = true; /* no argument has a NULL */
    SM_TRY(smi_column_new(call->expr->type, call->n_rows, call->into, out, e));
    int64_t *const best = (int64_t *)out->values;
    for (int32_t k = 0; k < call->n_args; k++) {
        is_full = is_full && !call->args[k].validity;
    }
    if (!is_full) {
        SM_TRY(smi_own_validity(out, call->into, &bits, e));
        memset(bits, 0, sm_bits_bytes(call->n_rows));
    }
    for (int64_t i = 0; is_full && i < call->n_rows; i++) {
        best[i] = sign > 0 ? INT64_MIN : INT64_MAX;
    }
    for (int32_t k = 0; k < call->n_args; k++) {
        const sm_column *const c = &call->args[k];
        if (is_full) {
            pick_full_i64(best, c, sign, call->n_rows);
            continue;
        }
        for (int64_t i = 0; i < call->n_rows; i++) {
            const int64_t x = ((const int64_t *)c->values)[i & smi_mask(c)];
            const bool wins = !sm_bit_get(bits, i) || (sign > 0 ? x > best[i] : x < best[i]);
            if (smi_valid(c, i) && wins) {
                best[i] = x;
                sm_bit_set(bits, i);
            }
        }
    }
    return SM_OK;
}

static sm_status pick_best(const sm_fn_call *call, int sign, sm_column *out, sm_error *e)
{
    const sm_type *const t = call->expr->type;
    if (t->id == SM_TYPE_I64) {
        return pick_i64(call, sign, out, e);
    }
    sm_builder *const b = sm_builder_new(t, NULL);
    for (int64_t i = 0; i < call->n_rows; i++) {
        const int32_t k = winner(call, i, sign);
        if (k < 0) {
            sm_builder_null(b);
        } else {
            sm_builder_cell(b, &call->args[k], i);
        }
    }
    const sm_status st = sm_builder_finish(b, call->into, out, e);
    sm_builder_free(b);
    return st;
}

sm_status fn_greatest(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    return pick_best(call, 1, out, e);
}
sm_status fn_least(const sm_fn_call *call, sm_column *out, sm_error *e)
{
    return pick_best(call, -1, out, e);
}

/* ---- IN -------------------------------------------------------------------------------------- */

typedef struct in_set {
    bool has_null;
    int64_t *ints; /* integers, dates, timestamps, ascending */
    int32_t n_ints;
    sm_view *shorts; /* texts of up to 12 bytes: open addressing, `mask` + 1 slots; len −1: free */
    sm_str *texts;   /* longer texts, in the same way; data NULL: free */
    uint64_t mask;
    const sm_value *values; /* any other type: compared one by one */
    int32_t n_values;
} in_set;

static bool is_int_like(sm_type_id id)
{
    return (sm_type_is_integer(id) && id != SM_TYPE_U64) || id == SM_TYPE_DATE ||
           id == SM_TYPE_TIME || id == SM_TYPE_TIMESTAMP || id == SM_TYPE_TIMESTAMP_NTZ;
}

static int by_int(const void *x, const void *y)
{
    const int64_t a = *(const int64_t *)x, b = *(const int64_t *)y;
    return (a > b) - (a < b);
}

static uint64_t view_slot(const sm_view *v, uint64_t mask)
{
    /* two odd constants spread both words over the upper half */
    const uint64_t h =
        v->words[0] * UINT64_C(0x9e3779b97f4a7c15) + v->words[1] * UINT64_C(0xd6e8feb86659fd93);
    return (h >> 32) & mask;
}

static void add_text(in_set *set, sm_str s)
{
    if (s.len <= SM_VIEW_INLINE) {
        const sm_view v = sm_view_make((const uint8_t *)s.data, (int32_t)s.len, 0, 0);
        uint64_t at = view_slot(&v, set->mask);
        while (set->shorts[at].inlined.len >= 0) {
            at = (at + 1) & set->mask;
        }
        set->shorts[at] = v;
        return;
    }
    uint64_t slot = sm_hash64(s.data, s.len) & set->mask;
    while (set->texts[slot].data && !sm_str_eq(set->texts[slot], s)) {
        slot = (slot + 1) & set->mask;
    }
    set->texts[slot] = s;
}

const void *smi_prepare_in(const sm_expr *in, sm_arena *a)
{
    SM_ASSERT(in->kind == SM_EXPR_IN && in->n_args >= 2);
    in_set *const set = SM_NEW(a, in_set);
    const sm_type_id id = in->args[0]->type->id;
    sm_value *const values = SM_NEW_ARRAY(a, sm_value, in->n_args);
    int32_t n = 0;
    for (int32_t i = 1; i < in->n_args; i++) {
        SM_ASSERT(in->args[i]->kind == SM_EXPR_CONST);
        SM_ASSERT(sm_type_eq(in->args[i]->type, in->args[0]->type));
        if (in->args[i]->value.is_null) {
            set->has_null = true;
        } else {
            values[n++] = in->args[i]->value;
        }
    }
    if (is_int_like(id)) {
        set->ints = SM_NEW_ARRAY(a, int64_t, n + 1);
        for (int32_t i = 0; i < n; i++) {
            set->ints[set->n_ints++] = values[i].as.i;
        }
        qsort(set->ints, (size_t)n, sizeof(int64_t), by_int);
    } else if (sm_type_is_bytes(id)) {
        uint64_t n_slots = 4;
        while (n_slots < (uint64_t)n * 4 + 1) {
            n_slots *= 2;
        }
        set->mask = n_slots - 1;
        set->texts = SM_NEW_ARRAY(a, sm_str, n_slots);
        set->shorts = SM_NEW_ARRAY(a, sm_view, n_slots);
        for (uint64_t i = 0; i < n_slots; i++) {
            set->shorts[i].inlined.len = -1;
        }
        for (int32_t i = 0; i < n; i++) {
            add_text(set, values[i].as.s.data ? values[i].as.s : SM_STR(""));
        }
    }
    SM_ASSERT(!set->texts || (uint64_t)n * 4 <= set->mask); /* a search ends at a free slot */
    set->values = values;
    set->n_values = n;
    return set;
}

bool smi_in_has_null(const sm_expr *x)
{
    return ((const in_set *)x->prepared)->has_null;
}

static bool has_int(const in_set *set, int64_t v)
{
    int32_t low = 0, high = set->n_ints;
    while (low < high) {
        const int32_t middle = low + (high - low) / 2;
        if (set->ints[middle] < v) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < set->n_ints && set->ints[low] == v;
}

static bool has_short(const in_set *set, const sm_view *v)
{
    for (uint64_t at = view_slot(v, set->mask); set->shorts[at].inlined.len >= 0;
         at = (at + 1) & set->mask) {
        if (set->shorts[at].words[0] == v->words[0] && set->shorts[at].words[1] == v->words[1]) {
            return true;
        }
    }
    return false;
}

static bool has_text(const in_set *set, const sm_column *c, int64_t i)
{
    const sm_view *const v = (const sm_view *)c->values + (i & smi_mask(c));
    if (v->inlined.len <= SM_VIEW_INLINE) {
        return has_short(set, v);
    }
    const sm_str s = sm_view_str(v, c->heap);
    uint64_t slot = sm_hash64(s.data, s.len) & set->mask;
    while (set->texts[slot].data) {
        if (sm_str_eq(set->texts[slot], s)) {
            return true;
        }
        slot = (slot + 1) & set->mask;
    }
    return false;
}

static bool has_value(const in_set *set, sm_value v)
{
    for (int32_t i = 0; i < set->n_values; i++) {
        if (sm_value_eq(set->values[i], v)) {
            return true;
        }
    }
    return false;
}

void smi_in_bits(const sm_expr *x, const sm_column *c, uint8_t *bits)
{
    const in_set *const set = x->prepared;
    SM_ASSERT(set != NULL && sm_type_eq(c->type, x->args[0]->type));
    for (int64_t i = 0; i < c->n_rows; i++) {
        if (!smi_valid(c, i)) {
            continue;
        }
        const bool yes = set->ints    ? has_int(set, smi_i64_at(c, i))
                         : set->texts ? has_text(set, c, i)
                                      : has_value(set, sm_column_value(c, i));
        if (yes) {
            sm_bit_set(bits, i);
        }
    }
}
