/* SPDX-License-Identifier: Apache-2.0
 *
 * query/function/agg_extreme.c: min, max, arg_min, arg_max, any_value (agg_first), first
 * (agg_first_row).
 *
 * State     A cell (agg_int.h) with the best value so far. Only a strictly better value replaces
 *           it: of equal values the first row's stays, however the rows were cut into ranges.
 * Order     That of sorting: NaN is the largest number, −0 equals 0, text is compared by its bytes.
 * Speed     min and max of numbers and dates have a loop for each type; all else is compared cell
 *           by cell. */
#include "query/function/agg_int.h"

/* The states of arg_min and arg_max, and of any_value and first; min and max have a cell alone. */
typedef struct arg_state {
    smi_cell value, by;
} arg_state;

typedef struct first_state {
    smi_cell value;
    bool is_done; /* where the cell has no value, the result is NULL */
} first_state;

/* ---- min, max: loops ------------------------------------------------------------------------ */

#define STEP(name, T, field, is_better)                                                            \
    static inline void name(smi_cell *s, T v)                                                      \
    {                                                                                              \
        const T old = (T)s->fixed.v.field;                                                         \
        if (!s->fixed.has || (is_better)) {                                                        \
            s->fixed.v.field = v;                                                                  \
            s->fixed.has = 1;                                                                      \
        }                                                                                          \
    }
STEP(min_i, int64_t, i, v < old)
STEP(max_i, int64_t, i, v > old)
STEP(min_u, uint64_t, u, v < old)
STEP(max_u, uint64_t, u, v > old)
STEP(min_f, double, f, v < old || (old != old && v == v))
STEP(max_f, double, f, v > old || (v != v && old == old))
#undef STEP

#define EXTREME_LOOPS(id, T, kind)                                                                 \
    SMI_AGG_LOOP(min_##id, smi_cell, T, min_##kind)                                                \
    SMI_AGG_LOOP(max_##id, smi_cell, T, max_##kind)
EXTREME_LOOPS(I8, int8_t, i)
EXTREME_LOOPS(I16, int16_t, i)
EXTREME_LOOPS(I32, int32_t, i)
EXTREME_LOOPS(I64, int64_t, i)
EXTREME_LOOPS(U8, uint8_t, u)
EXTREME_LOOPS(U16, uint16_t, u)
EXTREME_LOOPS(U32, uint32_t, u)
EXTREME_LOOPS(U64, uint64_t, u)
EXTREME_LOOPS(F32, float, f)
EXTREME_LOOPS(F64, double, f)
#undef EXTREME_LOOPS

#define LOOPS(prefix)                                                                              \
    {                                                                                              \
        [SM_TYPE_I8] = prefix##_I8, [SM_TYPE_I16] = prefix##_I16, [SM_TYPE_I32] = prefix##_I32,    \
        [SM_TYPE_I64] = prefix##_I64, [SM_TYPE_U8] = prefix##_U8, [SM_TYPE_U16] = prefix##_U16,    \
        [SM_TYPE_U32] = prefix##_U32, [SM_TYPE_U64] = prefix##_U64, [SM_TYPE_F32] = prefix##_F32,  \
        [SM_TYPE_F64] = prefix##_F64, [SM_TYPE_DATE] = prefix##_I32,                               \
        [SM_TYPE_TIME] = prefix##_I64, [SM_TYPE_TIMESTAMP] = prefix##_I64,                         \
        [SM_TYPE_TIMESTAMP_NTZ] = prefix##_I64, [SM_TYPE_MAP] = NULL, /* all have a place */       \
    }
static const smi_agg_loop min_loops[] = LOOPS(min);
static const smi_agg_loop max_loops[] = LOOPS(max);
_Static_assert(SM_COUNT(min_loops) == SM_TYPE_MAP + 1, "loops are found by the type's id");
_Static_assert(SM_COUNT(max_loops) == SM_COUNT(min_loops), "loops are found by the type's id");
#undef LOOPS

/* ---- min, max ------------------------------------------------------------------------------- */

/* Is `a` better than `b`, sign −1 for the smallest, 1 for the largest? */
static bool is_better(const smi_cell *a, const smi_cell *b, const sm_type *t, int sign)
{
    SM_ASSERT(sign == 1 || sign == -1);
    return smi_cell_cmp(a, b, t) * sign > 0;
}

static bool is_valid(const sm_column *flat, int64_t i)
{
    return !flat->validity || sm_bit_get(flat->validity, i);
}

static sm_status update_cells(const sm_column *c, int sign, int64_t n_rows, void *const *states,
                              sm_agg_heap *heap, sm_error *e)
{
    for (int64_t i = 0; i < n_rows; i++) {
        smi_cell *const s = states[i];
        if (!is_valid(c, i)) {
            continue;
        }
        const smi_cell v = smi_cell_view(c, i);
        if (!smi_cell_has(s) || is_better(&v, s, c->type, sign)) {
            SM_TRY(smi_cell_copy(s, &v, c->type, heap, e));
        }
    }
    return SM_OK;
}

static sm_status update_extreme(const sm_column *arg, int sign, int64_t n_rows, void *const *states,
                                sm_agg_heap *heap, sm_error *e)
{
    sm_column c;
    sm_block *mem = NULL;
    sm_status st = SM_OK;
    if (arg->type->id == SM_TYPE_NULL) {
        return SM_OK;
    }
    SM_TRY(smi_flat(arg, smi_heap_budget(heap), &c, &mem, e));
    const smi_agg_loop loop = (sign < 0 ? min_loops : max_loops)[c.type->id];
    if (loop) {
        loop(&c, n_rows, states);
    } else {
        st = update_cells(&c, sign, n_rows, states, heap, e);
    }
    sm_block_release(mem);
    return st;
}

static sm_status merge_extreme(const sm_expr *call, int sign, void *const *into,
                               const void *const *from, int64_t n, sm_agg_heap *heap, sm_error *e)
{
    const sm_type *const t = call->args[0]->type;
    for (int64_t i = 0; i < n; i++) {
        const smi_cell *const v = from[i];
        if (smi_cell_has(v) && (!smi_cell_has(into[i]) || is_better(v, into[i], t, sign))) {
            SM_TRY(smi_cell_copy(into[i], v, t, heap, e));
        }
    }
    return SM_OK;
}

static sm_status min_update(const sm_expr *call, const sm_column *args, int32_t n_args,
                            int64_t n_rows, void *const *states, sm_agg_heap *heap, sm_error *e)
{
    return update_extreme(&args[0], -1, n_rows, states, heap, e);
}
static sm_status max_update(const sm_expr *call, const sm_column *args, int32_t n_args,
                            int64_t n_rows, void *const *states, sm_agg_heap *heap, sm_error *e)
{
    return update_extreme(&args[0], 1, n_rows, states, heap, e);
}
static sm_status min_merge(const sm_expr *call, void *const *into, const void *const *from,
                           int64_t n, sm_agg_heap *heap, sm_error *e)
{
    return merge_extreme(call, -1, into, from, n, heap, e);
}
static sm_status max_merge(const sm_expr *call, void *const *into, const void *const *from,
                           int64_t n, sm_agg_heap *heap, sm_error *e)
{
    return merge_extreme(call, 1, into, from, n, heap, e);
}

_Static_assert(offsetof(arg_state, value) == 0, "cell_finish() appends the state's first cell");
_Static_assert(offsetof(first_state, value) == 0, "cell_finish() appends the state's first cell");

/* The first cell of the state is the result. */
static sm_status cell_finish(const sm_expr *call, const void *const *states, int64_t n,
                             sm_builder *out, int64_t *failed, sm_error *e)
{
    for (int64_t i = 0; i < n; i++) {
        smi_cell_append(states[i], call->args[0]->type, out);
    }
    return SM_OK;
}

const sm_aggregate agg_min = {
    .kind = SM_AGG_MIN,
    .state_bytes = sizeof(smi_cell),
    .update = min_update,
    .merge = min_merge,
    .finish = cell_finish,
};
const sm_aggregate agg_max = {
    .kind = SM_AGG_MAX,
    .state_bytes = sizeof(smi_cell),
    .update = max_update,
    .merge = max_merge,
    .finish = cell_finish,
};

/* ---- arg_min, arg_max ----------------------------------------------------------------------- */

static sm_status arg_rows(const sm_column *value, const sm_column *by, int sign, int64_t n_rows,
                          void *const *states, sm_agg_heap *heap, sm_error *e)
{
    for (int64_t i = 0; i < n_rows; i++) {
        arg_state *const s = states[i];
        if (!is_valid(value, i) || !is_valid(by, i)) {
            continue;
        }
        const smi_cell v = smi_cell_view(by, i);
        if (!smi_cell_has(&s->by) || is_better(&v, &s->by, by->type, sign)) {
            SM_TRY(smi_cell_copy(&s->by, &v, by->type, heap, e));
            SM_TRY(smi_cell_set(&s->value, value, i, heap, e));
        }
    }
    return SM_OK;
}

/* As DuckDB: a row counts where it has both. */
static sm_status update_arg(const sm_column *args, int sign, int64_t n_rows, void *const *states,
                            sm_agg_heap *heap, sm_error *e)
{
    sm_column value, by;
    sm_block *value_mem = NULL, *by_mem = NULL;
    sm_status st = SM_OK;
    if (args[0].type->id == SM_TYPE_NULL || args[1].type->id == SM_TYPE_NULL) {
        return SM_OK;
    }
    SM_TRY_GOTO(st, done, smi_flat(&args[0], smi_heap_budget(heap), &value, &value_mem, e));
    SM_TRY_GOTO(st, done, smi_flat(&args[1], smi_heap_budget(heap), &by, &by_mem, e));
    st = arg_rows(&value, &by, sign, n_rows, states, heap, e);
done:
    sm_block_release(value_mem);
    sm_block_release(by_mem);
    return st;
}

static sm_status merge_arg(const sm_expr *call, int sign, void *const *into,
                           const void *const *from, int64_t n, sm_agg_heap *heap, sm_error *e)
{
    const sm_type *const value = call->args[0]->type, *const by = call->args[1]->type;
    for (int64_t i = 0; i < n; i++) {
        arg_state *const s = into[i];
        const arg_state *const more = from[i];
        if (smi_cell_has(&more->by) &&
            (!smi_cell_has(&s->by) || is_better(&more->by, &s->by, by, sign))) {
            SM_ASSERT(smi_cell_has(&more->value)); /* set together */
            SM_TRY(smi_cell_copy(&s->by, &more->by, by, heap, e));
            SM_TRY(smi_cell_copy(&s->value, &more->value, value, heap, e));
        }
    }
    return SM_OK;
}

static sm_status arg_min_update(const sm_expr *call, const sm_column *args, int32_t n_args,
                                int64_t n_rows, void *const *states, sm_agg_heap *heap, sm_error *e)
{
    return update_arg(args, -1, n_rows, states, heap, e);
}
static sm_status arg_max_update(const sm_expr *call, const sm_column *args, int32_t n_args,
                                int64_t n_rows, void *const *states, sm_agg_heap *heap, sm_error *e)
{
    return update_arg(args, 1, n_rows, states, heap, e);
}
static sm_status arg_min_merge(const sm_expr *call, void *const *into, const void *const *from,
                               int64_t n, sm_agg_heap *heap, sm_error *e)
{
    return merge_arg(call, -1, into, from, n, heap, e);
}
static sm_status arg_max_merge(const sm_expr *call, void *const *into, const void *const *from,
                               int64_t n, sm_agg_heap *heap, sm_error *e)
{
    return merge_arg(call, 1, into, from, n, heap, e);
}

const sm_aggregate agg_arg_min = {
    .state_bytes = sizeof(arg_state),
    .update = arg_min_update,
    .merge = arg_min_merge,
    .finish = cell_finish,
};
const sm_aggregate agg_arg_max = {
    .state_bytes = sizeof(arg_state),
    .update = arg_max_update,
    .merge = arg_max_merge,
    .finish = cell_finish,
};

/* ---- any_value, first ----------------------------------------------------------------------- */

static sm_status take_first(const sm_column *arg, bool with_nulls, int64_t n_rows,
                            void *const *states, sm_agg_heap *heap, sm_error *e)
{
    sm_column c;
    sm_block *mem = NULL;
    sm_status st = SM_OK;
    SM_TRY(smi_flat(arg, smi_heap_budget(heap), &c, &mem, e));
    const bool has_any = c.type->id != SM_TYPE_NULL;
    for (int64_t i = 0; i < n_rows && st == SM_OK; i++) {
        first_state *const s = states[i];
        if (s->is_done) {
            continue;
        }
        const bool has = has_any && is_valid(&c, i);
        s->is_done = has || with_nulls;
        if (has) {
            st = smi_cell_set(&s->value, &c, i, heap, e);
        }
    }
    sm_block_release(mem);
    return st;
}

static sm_status first_update(const sm_expr *call, const sm_column *args, int32_t n_args,
                              int64_t n_rows, void *const *states, sm_agg_heap *heap, sm_error *e)
{
    return take_first(&args[0], false, n_rows, states, heap, e);
}
static sm_status first_row_update(const sm_expr *call, const sm_column *args, int32_t n_args,
                                  int64_t n_rows, void *const *states, sm_agg_heap *heap,
                                  sm_error *e)
{
    return take_first(&args[0], true, n_rows, states, heap, e);
}

static sm_status first_merge(const sm_expr *call, void *const *into, const void *const *from,
                             int64_t n, sm_agg_heap *heap, sm_error *e)
{
    for (int64_t i = 0; i < n; i++) {
        first_state *const s = into[i];
        const first_state *const more = from[i];
        if (!s->is_done && more->is_done) {
            s->is_done = true;
            SM_ASSERT(!smi_cell_has(&s->value));
            if (smi_cell_has(&more->value)) {
                SM_TRY(smi_cell_copy(&s->value, &more->value, call->args[0]->type, heap, e));
            }
        }
    }
    return SM_OK;
}

const sm_aggregate agg_first = {
    .state_bytes = sizeof(first_state),
    .update = first_update,
    .merge = first_merge,
    .finish = cell_finish,
};
const sm_aggregate agg_first_row = {
    .state_bytes = sizeof(first_state),
    .update = first_row_update,
    .merge = first_merge,
    .finish = cell_finish,
};
