/* SPDX-License-Identifier: Apache-2.0
 *
 * query/function/agg_set.c: any aggregate over distinct values. The call that the plan carries is
 * of smi_fn_distinct and holds the aggregate's own call in `prepared`.
 *
 * State     Integers, dates and timestamps start with a bitmap of 64 values around the first one
 *           seen: the days of a month take 24 bytes. A value outside of it moves all of them to a
 *           hash table in the heap. Other types have the table from the start. It keeps values in
 *           the order in which they first came.
 * Finish    The values of all states become one column, which the aggregate itself is then given;
 *           count only needs their number. */
#include "query/function/agg_int.h"

#include "base/hash.h"

#include <math.h>

typedef struct entry {
    uint64_t words[2]; /* the value's bytes; text: its address and length */
} entry;

/* Open addressing: slots hold the index of an entry + 1. */
typedef struct value_set {
    entry *entries;
    uint32_t *slots;
    uint64_t n, cap, mask;
} value_set;

typedef struct set_state {
    int64_t base;  /* of the bitmap: bit k is base + k */
    uint64_t bits; /* 0: the values are in `set`, or there are none */
    value_set *set;
} set_state;

/* ---- values ---------------------------------------------------------------------------------- */

static bool is_int_like(sm_type_id id)
{
    return (sm_type_is_integer(id) && id != SM_TYPE_U64) || id == SM_TYPE_DATE ||
           id == SM_TYPE_TIME || id == SM_TYPE_TIMESTAMP || id == SM_TYPE_TIMESTAMP_NTZ;
}

/* The value's key: equal values have equal ones. Text is borrowed. */
static entry entry_of(sm_value v)
{
    entry out = {{0, 0}};
    double f = 0;
    switch (v.type->id) {
    case SM_TYPE_BOOL:
        out.words[0] = v.as.b;
        break;
    case SM_TYPE_F32:
    case SM_TYPE_F64:
        f = isnan(v.as.f) ? (double)NAN : v.as.f == 0 ? 0.0 : v.as.f;
        memcpy(out.words, &f, 8);
        break;
    case SM_TYPE_DECIMAL:
        memcpy(out.words, &v.as.d, 16);
        break;
    case SM_TYPE_STRING:
    case SM_TYPE_BINARY:
        out.words[0] = (uint64_t)(uintptr_t)v.as.s.data;
        out.words[1] = v.as.s.len;
        break;
    default:
        out.words[0] = (uint64_t)v.as.i;
        break;
    }
    return out;
}

static sm_value value_of(const entry *x, const sm_type *t)
{
    sm_value v = {.type = t};
    switch (t->id) {
    case SM_TYPE_BOOL:
        v.as.b = x->words[0] != 0;
        break;
    case SM_TYPE_DECIMAL:
        memcpy(&v.as.d, x->words, 16);
        break;
    case SM_TYPE_STRING:
    case SM_TYPE_BINARY:
        v.as.s = (sm_str){(const char *)(uintptr_t)x->words[0], (size_t)x->words[1]};
        break;
    default:
        memcpy(&v.as, x->words, 8);
        break;
    }
    return v;
}

static uint64_t hash_of(const entry *x, bool is_text)
{
    return is_text ? sm_hash64((const void *)(uintptr_t)x->words[0], (size_t)x->words[1])
                   : sm_mix64(x->words[0] ^ sm_mix64(x->words[1]));
}

static bool same_entry(const entry *x, const entry *y, bool is_text)
{
    if (!is_text) {
        return x->words[0] == y->words[0] && x->words[1] == y->words[1];
    }
    return x->words[1] == y->words[1] &&
           (x->words[1] == 0 || memcmp((const void *)(uintptr_t)x->words[0],
                                       (const void *)(uintptr_t)y->words[0], x->words[1]) == 0);
}

/* ---- the table ------------------------------------------------------------------------------- */

static sm_status set_grow(value_set *s, bool is_text, sm_agg_heap *h, sm_error *e)
{
    void *entries = NULL, *slots = NULL;
    const uint64_t cap = s->cap == 0 ? 4 : s->cap * 2;
    if (cap > UINT32_MAX) {
        return sm_fail(e, SM_LIMIT, "over 2^31 distinct values in one group");
    }
    SM_TRY(smi_heap_alloc(h, cap * sizeof(entry), &entries, e));
    SM_TRY(smi_heap_alloc(h, cap * 2 * sizeof(uint32_t), &slots, e));
    if (s->n > 0) {
        memcpy(entries, s->entries, s->n * sizeof(entry));
    }
    SM_ASSERT((cap & (cap - 1)) == 0 && s->n < cap);
    s->entries = entries;
    s->slots = slots;
    s->cap = cap;
    s->mask = cap * 2 - 1;
    for (uint64_t i = 0; i < s->n; i++) {
        uint64_t at = hash_of(&s->entries[i], is_text) & s->mask;
        while (s->slots[at] != 0) {
            at = (at + 1) & s->mask;
        }
        s->slots[at] = (uint32_t)(i + 1);
        SM_TRY(sm_check_cancel_at(smi_heap_budget(h), (int64_t)i, e));
    }
    return SM_OK;
}

static sm_status set_add(value_set **set, entry x, bool is_text, sm_agg_heap *h, sm_error *e)
{
    if (!*set) {
        void *fresh = NULL;
        SM_TRY(smi_heap_alloc(h, sizeof(**set), &fresh, e));
        *set = fresh;
    }
    value_set *const s = *set;
    if (s->n == s->cap) {
        SM_TRY(set_grow(s, is_text, h, e));
    }
    SM_ASSERT(s->n < s->cap && s->mask == 2 * s->cap - 1); /* half of the slots are free */
    uint64_t at = hash_of(&x, is_text) & s->mask;
    for (; s->slots[at] != 0; at = (at + 1) & s->mask) {
        if (same_entry(&s->entries[s->slots[at] - 1], &x, is_text)) {
            return SM_OK;
        }
    }
    if (is_text) {
        void *copy = NULL;
        SM_TRY(smi_heap_alloc(h, x.words[1] > 0 ? x.words[1] : 1, &copy, e));
        if (x.words[1] > 0) {
            memcpy(copy, (const void *)(uintptr_t)x.words[0], x.words[1]);
        }
        x.words[0] = (uint64_t)(uintptr_t)copy;
    }
    s->entries[s->n++] = x;
    s->slots[at] = (uint32_t)s->n;
    return SM_OK;
}

/* ---- the state ------------------------------------------------------------------------------- */

static sm_status bits_to_set(set_state *s, sm_agg_heap *h, sm_error *e)
{
    for (uint64_t bits = s->bits; bits != 0; bits &= bits - 1) {
        const entry x = {{(uint64_t)(s->base + __builtin_ctzll(bits)), 0}};
        SM_TRY(set_add(&s->set, x, false, h, e));
    }
    s->bits = 0;
    return SM_OK;
}

static sm_status add_int(set_state *s, int64_t v, sm_agg_heap *h, sm_error *e)
{
    SM_ASSERT(!s->set || s->bits == 0);
    if (!s->set) {
        if (s->bits == 0) { /* 31 before and 32 behind: a month from any of its days */
            s->base = v < INT64_MIN + 31 ? INT64_MIN : v > INT64_MAX - 32 ? INT64_MAX - 63 : v - 31;
        }
        const uint64_t k = (uint64_t)v - (uint64_t)s->base;
        if (k < 64) {
            s->bits |= UINT64_C(1) << k;
            return SM_OK;
        }
        SM_TRY(bits_to_set(s, h, e));
    }
    return set_add(&s->set, (entry){{(uint64_t)v, 0}}, false, h, e);
}

static sm_status distinct_update(const sm_expr *call, const sm_column *args, int32_t n_args,
                                 int64_t n_rows, void *const *states, sm_agg_heap *heap,
                                 sm_error *e)
{
    const sm_type *const t = args[0].type;
    const bool ints = is_int_like(t->id), is_text = sm_type_is_bytes(t->id);
    for (int64_t i = 0; i < n_rows; i++) {
        set_state *const s = states[i];
        if (sm_column_is_null(&args[0], i)) {
            continue;
        }
        const sm_value v = sm_column_value(&args[0], i);
        SM_TRY(ints ? add_int(s, v.as.i, heap, e)
                    : set_add(&s->set, entry_of(v), is_text, heap, e));
    }
    return SM_OK;
}

static sm_status distinct_merge(const sm_expr *call, void *const *into, const void *const *from,
                                int64_t n, sm_agg_heap *heap, sm_error *e)
{
    const sm_type *const t = call->args[0]->type;
    const bool ints = is_int_like(t->id), is_text = sm_type_is_bytes(t->id);
    for (int64_t i = 0; i < n; i++) {
        const set_state *const f = from[i];
        set_state *const s = into[i];
        for (uint64_t bits = f->bits; bits != 0; bits &= bits - 1) {
            SM_TRY(add_int(s, f->base + __builtin_ctzll(bits), heap, e));
        }
        for (uint64_t k = 0; f->set && k < f->set->n; k++) {
            const entry x = f->set->entries[k];
            SM_TRY(sm_check_cancel_at(smi_heap_budget(heap), (int64_t)k, e));
            SM_TRY(ints ? add_int(s, (int64_t)x.words[0], heap, e)
                        : set_add(&s->set, x, is_text, heap, e));
        }
    }
    return SM_OK;
}

static int64_t count_of(const set_state *s)
{
    return s->set ? (int64_t)s->set->n : __builtin_popcountll(s->bits);
}

/* Appends the values of all states, one state after the other. */
static void put_values(const void *const *states, int64_t n, const sm_type *t, sm_builder *out)
{
    for (int64_t i = 0; i < n; i++) {
        const set_state *const s = states[i];
        for (uint64_t bits = s->bits; bits != 0; bits &= bits - 1) {
            const entry x = {{(uint64_t)(s->base + __builtin_ctzll(bits)), 0}};
            sm_builder_value(out, value_of(&x, t));
        }
        for (uint64_t k = 0; s->set && k < s->set->n; k++) {
            sm_builder_value(out, value_of(&s->set->entries[k], t));
        }
    }
}

/* Gives the values to the aggregate itself, a state of its own for each of ours. */
static sm_status aggregate_values(const sm_expr *inner, const void *const *states, int64_t n,
                                  sm_builder *out, int64_t *failed, sm_error *e)
{
    const sm_aggregate *const agg = inner->fn->aggregate;
    const sm_type *const t = inner->args[0]->type;
    const size_t stride = (agg->state_bytes + 7) & ~(size_t)7;
    static const sm_type no_columns = {.id = SM_TYPE_STRUCT};
    int64_t n_values = 0;
    for (int64_t i = 0; i < n; i++) {
        n_values += count_of(states[i]);
    }
    SM_ASSERT(inner->fn != &smi_fn_distinct && stride % 8 == 0);
    uint8_t *const own = sm_alloc_zero(stride * (size_t)n + 8);
    void **const by_row = sm_alloc(((size_t)n_values + 1) * sizeof(void *));
    void **const by_state = sm_alloc(((size_t)n + 1) * sizeof(void *));
    int64_t row = 0;
    for (int64_t i = 0; i < n; i++) {
        by_state[i] = own + stride * (size_t)i;
        for (int64_t k = count_of(states[i]); k > 0; k--) {
            by_row[row++] = by_state[i];
        }
    }
    SM_ASSERT(row == n_values);
    sm_builder *const b = sm_builder_new(t, NULL);
    sm_agg_heap *const heap = sm_agg_heap_new(NULL);
    sm_batch *batch = NULL;
    sm_column column = {0};
    put_values(states, n, t, b);
    sm_status st = sm_batch_new(NULL, &no_columns, &batch, e);
    if (st == SM_OK) {
        st = sm_builder_finish(b, batch, &column, e);
    }
    if (st == SM_OK) {
        st = smi_agg_update_all(inner, &column, 1, n_values, by_row, heap, e);
    }
    if (st == SM_OK) {
        st = agg->finish(inner, (const void *const *)by_state, n, out, failed, e);
    }
    sm_builder_free(b);
    sm_batch_release(batch);
    sm_agg_heap_free(heap);
    sm_free(by_state);
    sm_free(by_row);
    sm_free(own);
    return st;
}

static sm_status distinct_finish(const sm_expr *call, const void *const *states, int64_t n,
                                 sm_builder *out, int64_t *failed, sm_error *e)
{
    const sm_expr *const inner = call->prepared;
    if (strcmp(inner->fn->name, "count") != 0) {
        return aggregate_values(inner, states, n, out, failed, e);
    }
    for (int64_t i = 0; i < n; i++) {
        sm_builder_i64(out, count_of(states[i]));
    }
    return SM_OK;
}

static const sm_aggregate agg_distinct = {
    .kind = SM_AGG_DISTINCT,
    .state_bytes = sizeof(set_state),
    .update = distinct_update,
    .merge = distinct_merge,
    .finish = distinct_finish,
};
const sm_function smi_fn_distinct = {
    .name = "distinct",
    .signature = "",
    .kind = SM_FN_AGGREGATE,
    .aggregate = &agg_distinct,
    .summary = "The aggregate over distinct values.",
};
