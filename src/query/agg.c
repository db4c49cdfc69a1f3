/* SPDX-License-Identifier: Apache-2.0
 *
 * query/agg.c: the aggregates of functions.def but those over sets (agg_set.c). Called by exec, a
 * batch of rows at a time, each row with a pointer to its group's state.
 *
 * States    zeroed memory, 8-byte aligned; zero means: nothing seen. Kept small, for a million
 *           groups of them lie in memory: a sum of integers is 16 bytes, two words of a 128-bit sum
 *           with the "seen" bit below the upper one.
 * Order     Rows come in the order of the input and merge appends a later range, so that "first"
 *           and ties mean the same at any number of threads. */
#include "query/query_int.h"

#include "base/hash.h"

/* Blocks double: a heap of few groups stays small, one of a million asks the budget seldom. */
#define FIRST_BLOCK_BYTES ((size_t)1 << 10)
#define MAX_BLOCK_BYTES   ((size_t)1 << 18)

/* ---- the heap -------------------------------------------------------------------------------- */

struct sm_agg_heap {
    sm_budget *budget;
    sm_block **blocks;
    int64_t n_blocks, cap_blocks;
    size_t used, size; /* of the last block */
    size_t all_bytes;
};

sm_agg_heap *sm_agg_heap_new(sm_budget *budget)
{
    sm_agg_heap *const h = sm_alloc_zero(sizeof(*h));
    h->budget = budget;
    return h;
}

void sm_agg_heap_free(sm_agg_heap *h)
{
    if (!h) {
        return;
    }
    for (int64_t i = 0; i < h->n_blocks; i++) {
        sm_block_release(h->blocks[i]);
    }
    sm_free(h->blocks);
    sm_free(h);
}

size_t sm_agg_heap_bytes(const sm_agg_heap *h)
{
    return h->all_bytes;
}

sm_status smi_heap_alloc(sm_agg_heap *h, size_t bytes, void **out, sm_error *e)
{
    bytes = (bytes + 7) & ~(size_t)7;
    if (h->size - h->used < bytes) {
        size_t size = h->size == 0 ? FIRST_BLOCK_BYTES : h->size * 2;
        size = size > MAX_BLOCK_BYTES ? MAX_BLOCK_BYTES : size;
        size = size < bytes ? bytes : size;
        if (h->n_blocks == h->cap_blocks) {
            h->cap_blocks = h->cap_blocks == 0 ? 16 : h->cap_blocks * 2;
            h->blocks = sm_realloc(h->blocks, (size_t)h->cap_blocks * sizeof(*h->blocks));
        }
        SM_TRY(sm_block_new(h->budget, size, &h->blocks[h->n_blocks], e));
        h->n_blocks++;
        h->all_bytes += size;
        h->size = size;
        h->used = 0;
    }
    *out = h->blocks[h->n_blocks - 1]->data + h->used;
    memset(*out, 0, bytes);
    h->used += bytes;
    return SM_OK;
}

/* ---- reading a row in any layout ------------------------------------------------------------- */

/* Where row i's value stands: a FLAT column and a row in it; false where it is NULL. */
static inline bool locate(const sm_column *c, int64_t i, const sm_column **at, int64_t *row)
{
    *at = c;
    *row = i;
    if (c->layout == SM_CONST) {
        *row = 0;
    } else if (c->layout == SM_DICT) {
        *at = &c->children[0];
        *row = ((const int32_t *)c->values)[i];
    }
    const int64_t bit = c->layout == SM_CONST ? 0 : i;
    return c->type->id != SM_TYPE_NULL && (!c->validity || sm_bit_get(c->validity, bit));
}

/* ---- a value that a state keeps -------------------------------------------------------------- */

/* Scalars of any type; text in the heap, whose room is used again where the next one fits. */
typedef struct slot {
    uint64_t words[2]; /* the value's bytes; text: its address and length */
    uint32_t cap;
    uint8_t seen, is_null;
} slot;

static sm_value slot_value(const slot *s, const sm_type *t)
{
    sm_value v = {.type = t, .is_null = s->is_null};
    switch (t->id) {
    case SM_TYPE_BOOL:
        v.as.b = s->words[0] != 0;
        break;
    case SM_TYPE_STRING:
    case SM_TYPE_BINARY:
        v.as.s = (sm_str){(const char *)(uintptr_t)s->words[0], (size_t)s->words[1]};
        break;
    case SM_TYPE_DECIMAL:
        memcpy(&v.as.d, s->words, 16);
        break;
    default: /* integers, times and floats are eight bytes of the union */
        memcpy(&v.as, s->words, 8);
        break;
    }
    return v;
}

static sm_status slot_set_text(slot *s, sm_str text, sm_agg_heap *h, sm_error *e)
{
    if (s->words[0] == 0 || text.len > s->cap) {
        void *room = NULL;
        const size_t cap = text.len < 16 ? 16 : text.len + text.len / 2;
        if (cap > UINT32_MAX) {
            return sm_fail(e, SM_LIMIT, "a text of %zu bytes is too long to aggregate", text.len);
        }
        SM_TRY(smi_heap_alloc(h, cap, &room, e));
        s->words[0] = (uint64_t)(uintptr_t)room;
        s->cap = (uint32_t)cap;
    }
    if (text.len > 0) {
        memcpy((void *)(uintptr_t)s->words[0], text.data, text.len);
    }
    s->words[1] = text.len;
    return SM_OK;
}

static sm_status slot_set(slot *s, sm_value v, sm_agg_heap *h, sm_error *e)
{
    s->seen = 1;
    s->is_null = v.is_null;
    if (v.is_null) {
        return SM_OK;
    }
    switch (v.type->id) {
    case SM_TYPE_BOOL:
        s->words[0] = v.as.b;
        return SM_OK;
    case SM_TYPE_STRING:
    case SM_TYPE_BINARY:
        return slot_set_text(s, v.as.s, h, e);
    case SM_TYPE_DECIMAL:
        memcpy(s->words, &v.as.d, 16);
        return SM_OK;
    default:
        memcpy(s->words, &v.as, 8);
        return SM_OK;
    }
}

static void put_slot(const slot *s, const sm_type *t, sm_builder *out)
{
    if (!s->seen || s->is_null) {
        sm_builder_null(out);
    } else {
        sm_builder_value(out, slot_value(s, t));
    }
}

/* ---- count ----------------------------------------------------------------------------------- */

static sm_status count_update(const sm_expr *call, const sm_column *args, int32_t n_args,
                              int64_t n_rows, void *const *states, sm_agg_heap *heap, sm_error *e)
{
    for (int64_t i = 0; i < n_rows; i++) {
        const sm_column *c = NULL;
        int64_t row = 0;
        *(int64_t *)states[i] += n_args == 0 || locate(&args[0], i, &c, &row);
    }
    return SM_OK;
}

static sm_status count_merge(const sm_expr *call, void *const *into, const void *const *from,
                             int64_t n, sm_agg_heap *heap, sm_error *e)
{
    for (int64_t i = 0; i < n; i++) {
        *(int64_t *)into[i] += *(const int64_t *)from[i];
    }
    return SM_OK;
}

static sm_status count_finish(const sm_expr *call, const void *const *states, int64_t n,
                              sm_builder *out, int64_t *failed, sm_error *e)
{
    for (int64_t i = 0; i < n; i++) {
        sm_builder_i64(out, *(const int64_t *)states[i]);
    }
    return SM_OK;
}

const sm_aggregate agg_count = {sizeof(int64_t), count_update, count_merge, count_finish};

/* ---- sum and avg ----------------------------------------------------------------------------- */

/* A sum of integers: 128 bits, the upper 63 beside the bit that says that there was a value. The
 * sum of 2^63 values of 64 bits needs 127. */
typedef struct int_sum {
    uint64_t low;
    uint64_t high_seen; /* (upper << 1) | seen */
} int_sum;

/* A sum of decimals or doubles and how many there were; `over`: beyond 128 bits. */
typedef struct wide_sum {
    uint64_t words[2];
    int64_t n_over; /* (n << 1) | over */
} wide_sum;

typedef struct sum_state {
    union {
        int_sum i;
        wide_sum w;
    } as;
} sum_state;

static inline void int_sum_add(int_sum *s, int64_t v)
{
    const uint64_t low = s->low + (uint64_t)v;
    const uint64_t carry = low < s->low;
    const uint64_t sign = v < 0 ? UINT64_MAX : 0;
    s->low = low;
    s->high_seen = (s->high_seen + ((carry + sign) << 1)) | 1;
}

static sm_i128 int_sum_value(const int_sum *s)
{
    const uint64_t high = s->high_seen >> 1;
    const uint64_t wide = high | (high & (UINT64_C(1) << 62) ? UINT64_C(1) << 63 : 0);
    return (sm_i128)(((unsigned __int128)wide << 64) | s->low);
}

static void wide_add(wide_sum *s, sm_i128 v, int64_t n)
{
    sm_i128 sum;
    memcpy(&sum, s->words, 16);
    const bool over = __builtin_add_overflow(sum, v, &sum);
    memcpy(s->words, &sum, 16);
    s->n_over = (s->n_over + n * 2) | over;
}

static void float_add(wide_sum *s, double v, int64_t n)
{
    double sum;
    memcpy(&sum, s->words, 8);
    sum += v;
    memcpy(s->words, &sum, 8);
    s->n_over += n * 2;
}

typedef enum sum_kind { SUM_INT, SUM_WIDE, SUM_FLOAT } sum_kind;

static bool is_avg(const sm_expr *call)
{
    return call->fn->name[0] == 'a';
}

/* avg needs the count: it takes the wide state for integers too, and so do 64-bit unsigned ones. */
static sum_kind kind_of(const sm_expr *call)
{
    const sm_type_id id = call->args[0]->type->id;
    if (id == SM_TYPE_F64 || id == SM_TYPE_F32) {
        return SUM_FLOAT;
    }
    return id == SM_TYPE_DECIMAL || id == SM_TYPE_U64 || is_avg(call) ? SUM_WIDE : SUM_INT;
}

static sm_status sum_update(const sm_expr *call, const sm_column *args, int32_t n_args,
                            int64_t n_rows, void *const *states, sm_agg_heap *heap, sm_error *e)
{
    const sm_column *const c = &args[0];
    const sum_kind kind = kind_of(call);
    if (kind == SUM_INT && c->layout == SM_FLAT && c->type->id == SM_TYPE_I64) {
        const int64_t *const v = c->values;
        for (int64_t i = 0; i < n_rows; i++) {
            if (!c->validity || sm_bit_get(c->validity, i)) {
                int_sum_add(states[i], v[i]);
            }
        }
        return SM_OK;
    }
    for (int64_t i = 0; i < n_rows; i++) {
        const sm_column *at = NULL;
        int64_t row = 0;
        if (!locate(c, i, &at, &row)) {
            continue;
        }
        if (kind == SUM_INT) {
            int_sum_add(states[i], smi_i64_at(at, row));
        } else if (kind == SUM_WIDE) {
            wide_add(states[i], smi_i128_at(at, row), 1);
        } else {
            float_add(states[i], smi_f64_at(at, row), 1);
        }
    }
    return SM_OK;
}

static void int_sum_merge(int_sum *into, const int_sum *from)
{
    const uint64_t low = into->low + from->low;
    const uint64_t carry = low < into->low;
    const uint64_t seen = (into->high_seen | from->high_seen) & 1;
    const uint64_t high = (into->high_seen >> 1) + (from->high_seen >> 1) + carry;
    into->low = low;
    into->high_seen = (high << 1) | seen;
}

static sm_status sum_merge(const sm_expr *call, void *const *into, const void *const *from,
                           int64_t n, sm_agg_heap *heap, sm_error *e)
{
    const sum_kind kind = kind_of(call);
    for (int64_t i = 0; i < n; i++) {
        const wide_sum *const w = from[i];
        if (kind == SUM_INT) {
            int_sum_merge(into[i], from[i]);
        } else if (kind == SUM_WIDE) {
            sm_i128 v;
            memcpy(&v, w->words, 16);
            wide_add(into[i], v, w->n_over >> 1);
            ((wide_sum *)into[i])->n_over |= w->n_over & 1;
        } else if (w->n_over >> 1 > 0) {
            double v;
            memcpy(&v, w->words, 8);
            float_add(into[i], v, w->n_over >> 1);
        }
    }
    return SM_OK;
}

static sm_status sum_failed(const sm_expr *call, int64_t i, int64_t *failed, sm_error *e)
{
    sm_buf type = {0};
    sm_type_print(call->type, &type);
    *failed = i;
    const sm_status st = smi_expr_fail(call, e, SM_RANGE, "%s is out of the range of %.*s",
                                       call->fn->name, SM_STR_ARG(sm_buf_str(&type)));
    sm_buf_release(&type);
    return st;
}

/* An exact sum as the call's type: BIGINT, or DECIMAL of 38 digits. */
static bool put_exact(const sm_expr *call, sm_i128 v, sm_builder *out)
{
    if (call->type->id == SM_TYPE_DECIMAL) {
        if (v >= smi_pow10[38] || v <= -smi_pow10[38]) {
            return false;
        }
        sm_builder_i128(out, v);
        return true;
    }
    if (v < INT64_MIN || v > INT64_MAX) {
        return false;
    }
    sm_builder_i64(out, (int64_t)v);
    return true;
}

static sm_status sum_finish(const sm_expr *call, const void *const *states, int64_t n,
                            sm_builder *out, int64_t *failed, sm_error *e)
{
    const sum_kind kind = kind_of(call);
    for (int64_t i = 0; i < n; i++) {
        const wide_sum *const w = states[i];
        const int_sum *const s = states[i];
        const bool seen = kind == SUM_INT ? (s->high_seen & 1) != 0 : w->n_over >> 1 > 0;
        if (!seen) {
            sm_builder_null(out);
            continue;
        }
        if (kind == SUM_FLOAT) {
            double v;
            memcpy(&v, w->words, 8);
            sm_builder_f64(out, v);
            continue;
        }
        sm_i128 v;
        memcpy(&v, w->words, 16);
        const bool over = kind == SUM_WIDE && (w->n_over & 1);
        if (over || !put_exact(call, kind == SUM_INT ? int_sum_value(s) : v, out)) {
            return sum_failed(call, i, failed, e);
        }
    }
    return SM_OK;
}

static sm_status avg_finish(const sm_expr *call, const void *const *states, int64_t n,
                            sm_builder *out, int64_t *failed, sm_error *e)
{
    const sum_kind kind = kind_of(call);
    const sm_type *const t = call->args[0]->type;
    const double unit = t->id == SM_TYPE_DECIMAL ? (double)smi_pow10[t->scale] : 1;
    for (int64_t i = 0; i < n; i++) {
        const wide_sum *const w = states[i];
        const int64_t count = w->n_over >> 1;
        sm_i128 exact;
        double v;
        memcpy(&exact, w->words, 16);
        memcpy(&v, w->words, 8);
        if (kind == SUM_WIDE && (w->n_over & 1)) {
            return sum_failed(call, i, failed, e);
        }
        if (count == 0) {
            sm_builder_null(out);
        } else {
            sm_builder_f64(out, (kind == SUM_FLOAT ? v : (double)exact / unit) / (double)count);
        }
    }
    return SM_OK;
}

const sm_aggregate agg_sum = {sizeof(sum_state), sum_update, sum_merge, sum_finish};
const sm_aggregate agg_avg = {sizeof(wide_sum), sum_update, sum_merge, avg_finish};

/* ---- min, max, first, any_value -------------------------------------------------------------- */

static bool is_int_like(sm_type_id id)
{
    return (sm_type_is_integer(id) && id != SM_TYPE_U64) || id == SM_TYPE_DATE ||
           id == SM_TYPE_TIME || id == SM_TYPE_TIMESTAMP || id == SM_TYPE_TIMESTAMP_NTZ;
}

static sm_status extreme_update(const sm_expr *call, const sm_column *c, int64_t n_rows,
                                void *const *states, int sign, sm_agg_heap *heap, sm_error *e)
{
    const bool ints = is_int_like(c->type->id);
    for (int64_t i = 0; i < n_rows; i++) {
        slot *const s = states[i];
        const sm_column *at = NULL;
        int64_t row = 0;
        if (!locate(c, i, &at, &row)) {
            continue;
        }
        if (ints) {
            const int64_t v = smi_i64_at(at, row), best = (int64_t)s->words[0];
            if (!s->seen || (sign > 0 ? v > best : v < best)) {
                s->words[0] = (uint64_t)v;
                s->seen = 1;
            }
            continue;
        }
        const sm_value v = sm_column_value(at, row);
        if (!s->seen || sm_value_cmp(v, slot_value(s, c->type)) * sign > 0) {
            SM_TRY(slot_set(s, v, heap, e));
        }
    }
    return SM_OK;
}

static sm_status extreme_merge(const sm_expr *call, void *const *into, const void *const *from,
                               int64_t n, int sign, sm_agg_heap *heap, sm_error *e)
{
    const sm_type *const t = call->args[0]->type;
    for (int64_t i = 0; i < n; i++) {
        const slot *const f = from[i];
        slot *const s = into[i];
        if (f->seen && (!s->seen || sm_value_cmp(slot_value(f, t), slot_value(s, t)) * sign > 0)) {
            SM_TRY(slot_set(s, slot_value(f, t), heap, e));
        }
    }
    return SM_OK;
}

static sm_status slot_finish(const sm_expr *call, const void *const *states, int64_t n,
                             sm_builder *out, int64_t *failed, sm_error *e)
{
    for (int64_t i = 0; i < n; i++) {
        put_slot(states[i], call->type, out);
    }
    return SM_OK;
}

static sm_status max_update(const sm_expr *call, const sm_column *args, int32_t n_args,
                            int64_t n_rows, void *const *states, sm_agg_heap *heap, sm_error *e)
{
    return extreme_update(call, &args[0], n_rows, states, 1, heap, e);
}
static sm_status max_merge(const sm_expr *call, void *const *into, const void *const *from,
                           int64_t n, sm_agg_heap *heap, sm_error *e)
{
    return extreme_merge(call, into, from, n, 1, heap, e);
}
static sm_status min_update(const sm_expr *call, const sm_column *args, int32_t n_args,
                            int64_t n_rows, void *const *states, sm_agg_heap *heap, sm_error *e)
{
    return extreme_update(call, &args[0], n_rows, states, -1, heap, e);
}
static sm_status min_merge(const sm_expr *call, void *const *into, const void *const *from,
                           int64_t n, sm_agg_heap *heap, sm_error *e)
{
    return extreme_merge(call, into, from, n, -1, heap, e);
}
const sm_aggregate agg_max = {sizeof(slot), max_update, max_merge, slot_finish};
const sm_aggregate agg_min = {sizeof(slot), min_update, min_merge, slot_finish};

static sm_status keep_first(const sm_column *c, int64_t n_rows, void *const *states,
                            bool with_nulls, sm_agg_heap *heap, sm_error *e)
{
    for (int64_t i = 0; i < n_rows; i++) {
        slot *const s = states[i];
        const sm_column *at = NULL;
        int64_t row = 0;
        if (s->seen) {
            continue;
        }
        if (locate(c, i, &at, &row)) {
            SM_TRY(slot_set(s, sm_column_value(at, row), heap, e));
        } else if (with_nulls) {
            SM_TRY(slot_set(s, sm_value_null(c->type), heap, e));
        }
    }
    return SM_OK;
}

static sm_status first_update(const sm_expr *call, const sm_column *args, int32_t n_args,
                              int64_t n_rows, void *const *states, sm_agg_heap *heap, sm_error *e)
{
    return keep_first(&args[0], n_rows, states, false, heap, e);
}
static sm_status first_row_update(const sm_expr *call, const sm_column *args, int32_t n_args,
                                  int64_t n_rows, void *const *states, sm_agg_heap *heap,
                                  sm_error *e)
{
    return keep_first(&args[0], n_rows, states, true, heap, e);
}
static sm_status first_merge(const sm_expr *call, void *const *into, const void *const *from,
                             int64_t n, sm_agg_heap *heap, sm_error *e)
{
    for (int64_t i = 0; i < n; i++) {
        const slot *const f = from[i];
        slot *const s = into[i];
        if (f->seen && !s->seen) {
            SM_TRY(slot_set(s, slot_value(f, call->args[0]->type), heap, e));
        }
    }
    return SM_OK;
}
const sm_aggregate agg_first = {sizeof(slot), first_update, first_merge, slot_finish};
const sm_aggregate agg_first_row = {sizeof(slot), first_row_update, first_merge, slot_finish};

/* ---- arg_max, arg_min ------------------------------------------------------------------------ */

typedef struct arg_state {
    slot key, value;
} arg_state;

static sm_status arg_offer(arg_state *s, sm_value value, sm_value key, int sign, sm_agg_heap *heap,
                           sm_error *e)
{
    if (s->key.seen && sm_value_cmp(key, slot_value(&s->key, key.type)) * sign <= 0) {
        return SM_OK;
    }
    SM_TRY(slot_set(&s->key, key, heap, e));
    return slot_set(&s->value, value, heap, e);
}

static int arg_sign(const sm_expr *call)
{
    return strcmp(call->fn->name, "arg_max") == 0 ? 1 : -1;
}

/* Rows with NULL in either are left out, as in DuckDB. */
static sm_status arg_update(const sm_expr *call, const sm_column *args, int32_t n_args,
                            int64_t n_rows, void *const *states, sm_agg_heap *heap, sm_error *e)
{
    const int sign = arg_sign(call);
    for (int64_t i = 0; i < n_rows; i++) {
        const sm_column *value = NULL, *key = NULL;
        int64_t row_value = 0, row_key = 0;
        if (locate(&args[0], i, &value, &row_value) && locate(&args[1], i, &key, &row_key)) {
            SM_TRY(arg_offer(states[i], sm_column_value(value, row_value),
                             sm_column_value(key, row_key), sign, heap, e));
        }
    }
    return SM_OK;
}

static sm_status arg_merge(const sm_expr *call, void *const *into, const void *const *from,
                           int64_t n, sm_agg_heap *heap, sm_error *e)
{
    for (int64_t i = 0; i < n; i++) {
        const arg_state *const f = from[i];
        if (f->key.seen) {
            SM_TRY(arg_offer(into[i], slot_value(&f->value, call->args[0]->type),
                             slot_value(&f->key, call->args[1]->type), arg_sign(call), heap, e));
        }
    }
    return SM_OK;
}

static sm_status arg_finish(const sm_expr *call, const void *const *states, int64_t n,
                            sm_builder *out, int64_t *failed, sm_error *e)
{
    for (int64_t i = 0; i < n; i++) {
        put_slot(&((const arg_state *)states[i])->value, call->type, out);
    }
    return SM_OK;
}
const sm_aggregate agg_arg_max = {sizeof(arg_state), arg_update, arg_merge, arg_finish};
const sm_aggregate agg_arg_min = {sizeof(arg_state), arg_update, arg_merge, arg_finish};

/* ---- bool_and, bool_or ----------------------------------------------------------------------- */

enum { SAW_FALSE = 1, SAW_TRUE = 2 };

static sm_status bool_update(const sm_expr *call, const sm_column *args, int32_t n_args,
                             int64_t n_rows, void *const *states, sm_agg_heap *heap, sm_error *e)
{
    for (int64_t i = 0; i < n_rows; i++) {
        const sm_column *at = NULL;
        int64_t row = 0;
        if (locate(&args[0], i, &at, &row)) {
            *(uint64_t *)states[i] |= smi_bool_at(at, row) ? SAW_TRUE : SAW_FALSE;
        }
    }
    return SM_OK;
}

static sm_status bool_merge(const sm_expr *call, void *const *into, const void *const *from,
                            int64_t n, sm_agg_heap *heap, sm_error *e)
{
    for (int64_t i = 0; i < n; i++) {
        *(uint64_t *)into[i] |= *(const uint64_t *)from[i];
    }
    return SM_OK;
}

static sm_status bool_finish(const sm_expr *call, const void *const *states, int64_t n,
                             sm_builder *out, int64_t *failed, sm_error *e)
{
    const bool is_and = strcmp(call->fn->name, "bool_and") == 0;
    for (int64_t i = 0; i < n; i++) {
        const uint64_t saw = *(const uint64_t *)states[i];
        if (saw == 0) {
            sm_builder_null(out);
        } else {
            sm_builder_bool(out, is_and ? !(saw & SAW_FALSE) : (saw & SAW_TRUE) != 0);
        }
    }
    return SM_OK;
}
const sm_aggregate agg_bool_and = {sizeof(uint64_t), bool_update, bool_merge, bool_finish};
const sm_aggregate agg_bool_or = {sizeof(uint64_t), bool_update, bool_merge, bool_finish};

/* ---- string_agg ------------------------------------------------------------------------------ */

/* The whole text so far, in the heap, doubled when full. */
typedef struct text_state {
    uint8_t *data; /* NULL: no value yet */
    int64_t len, cap;
} text_state;

static sm_status text_add(text_state *s, sm_str a, sm_str b, sm_agg_heap *h, sm_error *e)
{
    const int64_t more = (int64_t)(a.len + b.len);
    if (!s->data || s->cap - s->len < more) {
        void *room = NULL;
        const int64_t cap = (s->len + more) * 2 < 32 ? 32 : (s->len + more) * 2;
        if (cap > INT32_MAX) {
            return sm_fail(e, SM_LIMIT, "string_agg makes a text of over 1 GiB");
        }
        SM_TRY(smi_heap_alloc(h, (size_t)cap, &room, e));
        if (s->len > 0) {
            memcpy(room, s->data, (size_t)s->len);
        }
        s->data = room;
        s->cap = cap;
    }
    if (a.len > 0) {
        memcpy(s->data + s->len, a.data, a.len);
    }
    if (b.len > 0) {
        memcpy(s->data + s->len + a.len, b.data, b.len);
    }
    s->len += more;
    return SM_OK;
}

static sm_status separator(const sm_expr *call, sm_str *out, sm_error *e)
{
    const sm_expr *const x = call->args[1];
    if (x->kind != SM_EXPR_CONST || x->value.is_null) {
        return smi_expr_fail(x, e, SM_UNSUPPORTED, "string_agg's separator is a constant");
    }
    *out = x->value.as.s;
    return SM_OK;
}

static sm_status text_update(const sm_expr *call, const sm_column *args, int32_t n_args,
                             int64_t n_rows, void *const *states, sm_agg_heap *heap, sm_error *e)
{
    sm_str sep = {0};
    SM_TRY(separator(call, &sep, e));
    for (int64_t i = 0; i < n_rows; i++) {
        text_state *const s = states[i];
        const sm_column *at = NULL;
        int64_t row = 0;
        if (locate(&args[0], i, &at, &row)) {
            SM_TRY(text_add(s, s->data ? sep : SM_STR(""), smi_str_at(at, row), heap, e));
        }
    }
    return SM_OK;
}

static sm_status text_merge(const sm_expr *call, void *const *into, const void *const *from,
                            int64_t n, sm_agg_heap *heap, sm_error *e)
{
    sm_str sep = {0};
    SM_TRY(separator(call, &sep, e));
    for (int64_t i = 0; i < n; i++) {
        const text_state *const f = from[i];
        text_state *const s = into[i];
        if (f->data) {
            const sm_str text = {(const char *)f->data, (size_t)f->len};
            SM_TRY(text_add(s, s->data ? sep : SM_STR(""), text, heap, e));
        }
    }
    return SM_OK;
}

static sm_status text_finish(const sm_expr *call, const void *const *states, int64_t n,
                             sm_builder *out, int64_t *failed, sm_error *e)
{
    for (int64_t i = 0; i < n; i++) {
        const text_state *const s = states[i];
        if (s->data) {
            sm_builder_str(out, (sm_str){(const char *)s->data, (size_t)s->len});
        } else {
            sm_builder_null(out);
        }
    }
    return SM_OK;
}
const sm_aggregate agg_string = {sizeof(text_state), text_update, text_merge, text_finish};
