/* SPDX-License-Identifier: Apache-2.0
 *
 * query/function/win_over.c: aggregates as window functions: sum(x) OVER (PARTITION BY … ORDER BY
 * …).
 *
 * Frame     A row's result is over the rows up to its last peer, SQL's default. Without ORDER BY
 *           all rows are peers, so it is over the whole partition.
 * Method    Each group of peers has a state of its own. All rows are added by one update; then a
 *           running state merges the groups' states one after another, and is finished after each.
 *           So an aggregate need not know of windows.
 * DISTINCT  Rows whose values came before are added to a state that is never finished. That takes
 *           linear time; finishing a set of distinct values for each row would not. */
#include "query/function/agg_int.h"

typedef struct over_states {
    sm_block *mem;
    uint8_t *states;    /* n_groups, then the running one, then the ignored one; `bytes` each */
    void **of_row;      /* one a row */
    const void **peers; /* one a row: the running state, for finish */
    size_t bytes;
    int64_t n_groups;
} over_states;

static void *state_at(const over_states *s, int64_t i)
{
    SM_ASSERT(i >= 0 && i < s->n_groups + 2);
    return s->states + (size_t)i * s->bytes;
}

static bool starts_group(const sm_window_in *in, int64_t i)
{
    return i == 0 || sm_bit_get(in->peer_start, i);
}

static sm_status states_new(const sm_window_in *in, const sm_aggregate *agg, over_states *out,
                            sm_error *e)
{
    over_states s = {.bytes = (agg->state_bytes + 15) & ~(size_t)15};
    for (int64_t i = 0; i < in->n_rows; i++) {
        s.n_groups += starts_group(in, i);
    }
    const size_t pointers = (size_t)in->n_rows * sizeof(void *);
    const size_t states = (size_t)(s.n_groups + 2) * s.bytes;
    SM_TRY(sm_block_new(in->budget, states + 2 * pointers, &s.mem, e));
    memset(s.mem->data, 0, states);
    s.states = s.mem->data;
    s.of_row = (void **)(void *)(s.states + states);
    s.peers = (const void **)s.of_row + in->n_rows;
    int64_t group = -1;
    for (int64_t i = 0; i < in->n_rows; i++) {
        group += starts_group(in, i);
        s.of_row[i] = state_at(&s, group);
        s.peers[i] = state_at(&s, s.n_groups);
    }
    SM_ASSERT(group == s.n_groups - 1);
    *out = s;
    return SM_OK;
}

/* ---- DISTINCT ------------------------------------------------------------------------------- */

static bool same_values(const sm_window_in *in, int64_t i, int64_t j)
{
    for (int32_t k = 0; k < in->n_args; k++) {
        if (!sm_column_eq(&in->args[k], i, &in->args[k], j)) {
            return false;
        }
    }
    return true;
}

/* Rows whose values an earlier row has go to the ignored state. */
static sm_status ignore_repeats(const sm_window_in *in, over_states *s, sm_error *e)
{
    sm_block *mem = NULL;
    int64_t n_slots = 16;
    while (n_slots < 2 * in->n_rows) {
        n_slots *= 2;
    }
    const size_t hashes_bytes = (size_t)in->n_rows * sizeof(uint64_t);
    SM_TRY(sm_block_new(in->budget, hashes_bytes + (size_t)n_slots * sizeof(int64_t), &mem, e));
    memset(mem->data, 0, mem->size_bytes);
    uint64_t *const hashes = (uint64_t *)(void *)mem->data;
    int64_t *const slots = (int64_t *)(void *)(mem->data + hashes_bytes); /* row + 1; 0: free */
    for (int32_t k = 0; k < in->n_args; k++) {
        sm_column_hash(&in->args[k], hashes, k > 0);
    }
    sm_status st = SM_OK;
    for (int64_t i = 0; i < in->n_rows && st == SM_OK; i++) {
        int64_t at = (int64_t)(hashes[i] & (uint64_t)(n_slots - 1));
        st = sm_check_cancel_at(in->budget, i, e);
        while (slots[at] != 0 &&
               (hashes[slots[at] - 1] != hashes[i] || !same_values(in, slots[at] - 1, i))) {
            at = (at + 1) & (n_slots - 1);
        }
        if (slots[at] == 0) {
            slots[at] = i + 1;
        } else {
            s->of_row[i] = state_at(s, s->n_groups + 1);
        }
    }
    sm_block_release(mem);
    return st;
}

/* ---- the function --------------------------------------------------------------------------- */

/* Appends every row's result, group by group. */
static sm_status give_groups(const sm_expr *call, const sm_window_in *in, const over_states *s,
                             sm_agg_heap *heap, sm_builder *out, sm_error *e)
{
    const sm_aggregate *const agg = call->fn->aggregate;
    void *running = state_at(s, s->n_groups);
    int64_t row = 0, failed = -1;
    for (int64_t g = 0; g < s->n_groups; g++) {
        const void *const group = state_at(s, g);
        const int64_t first = row++;
        SM_TRY(sm_check_cancel_at(in->budget, g, e));
        while (row < in->n_rows && !starts_group(in, row)) {
            row++;
        }
        SM_TRY(agg->merge(call, &running, &group, 1, heap, e));
        SM_TRY(agg->finish(call, s->peers, row - first, out, &failed, e));
    }
    SM_ASSERT(row == in->n_rows);
    return SM_OK;
}

static sm_status aggregate_over(const sm_expr *call, const sm_window_in *in, sm_builder *out,
                                sm_error *e)
{
    const sm_expr *inner = call->prepared;
    const bool is_distinct = inner->fn == &smi_fn_distinct;
    over_states s = {0};
    if (in->n_rows == 0) {
        return SM_OK;
    }
    inner = is_distinct ? inner->prepared : inner;
    SM_ASSERT(inner->fn->aggregate != NULL);
    SM_TRY(states_new(in, inner->fn->aggregate, &s, e));
    sm_agg_heap *const heap = sm_agg_heap_new(in->budget);
    sm_status st = is_distinct ? ignore_repeats(in, &s, e) : SM_OK;
    if (st == SM_OK) {
        st = smi_agg_update_all(inner, in->args, in->n_args, in->n_rows, s.of_row, heap, e);
    }
    if (st == SM_OK) {
        st = give_groups(inner, in, &s, heap, out, e);
    }
    sm_agg_heap_free(heap);
    sm_block_release(s.mem);
    return st;
}

const sm_function smi_fn_over = {
    .name = "over",
    .signature = "",
    .kind = SM_FN_WINDOW,
    .window = aggregate_over,
    .summary = "The aggregate over a window.",
};
