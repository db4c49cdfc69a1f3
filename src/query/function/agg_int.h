/* SPDX-License-Identifier: Apache-2.0
 *
 * query/function/agg_int.h: what the aggregates (agg_*.c) and window functions (win_*.c) share:
 * flat copies of columns, loops over rows and their states, and cells, which hold one value of any
 * scalar type. */
#ifndef SM_QUERY_AGG_INT_H
#define SM_QUERY_AGG_INT_H

#include "query/function/function_int.h"

/** The budget that the heap was made with; NULL for no heap. */
sm_budget *smi_heap_budget(const sm_agg_heap *h);

/** The column SM_FLAT: itself, or copied into *mem (release it; NULL where nothing was). A NULL
 * constant keeps a bitmap of its own. Scalar types. */
sm_status smi_flat(const sm_column *c, sm_budget *budget, sm_column *out, sm_block **mem,
                   sm_error *e) SM_MUST_USE;

/** update() for any number of rows: in parts, and looks between them whether the query is
 * cancelled. The columns are flat. */
sm_status smi_agg_update_all(const sm_expr *call, const sm_column *args, int32_t n_args,
                             int64_t n_rows, void *const *states, sm_agg_heap *heap,
                             sm_error *e) SM_MUST_USE;

/* ---- loops ---------------------------------------------------------------------------------- */

/* Do all rows go to one state, as without GROUP BY? Then it may stay in registers. */
static inline bool smi_one_state(void *const *states, int64_t n_rows)
{
    int64_t i = 0;
    while (i < n_rows && states[i] == states[0]) {
        i++;
    }
    return n_rows > 0 && i == n_rows;
}

/* Defines name(flat column, n_rows, states), which runs step(state, value) for each row that has a
 * value, states being of type S and values of type T. */
#define SMI_AGG_LOOP(name, S, T, step)                                                             \
    static void name(const sm_column *c, int64_t n_rows, void *const *states)                      \
    {                                                                                              \
        SM_ASSERT(c->layout == SM_FLAT && sm_type_bytes(c->type->id) == sizeof(T));                \
        const T *const values = c->values;                                                         \
        const uint8_t *const valid = c->validity;                                                  \
        if (smi_one_state(states, n_rows)) {                                                       \
            S one = *(S *)states[0];                                                               \
            for (int64_t i = 0; i < n_rows && !valid; i++) {                                       \
                step(&one, values[i]);                                                             \
            }                                                                                      \
            for (int64_t i = 0; i < n_rows && valid; i++) {                                        \
                if (sm_bit_get(valid, i)) {                                                        \
                    step(&one, values[i]);                                                         \
                }                                                                                  \
            }                                                                                      \
            *(S *)states[0] = one;                                                                 \
            return;                                                                                \
        }                                                                                          \
        for (int64_t i = 0; i < n_rows && !valid; i++) {                                           \
            step((S *)states[i], values[i]);                                                       \
        }                                                                                          \
        for (int64_t i = 0; i < n_rows && valid; i++) {                                            \
            if (sm_bit_get(valid, i)) {                                                            \
                step((S *)states[i], values[i]);                                                   \
            }                                                                                      \
        }                                                                                          \
    }
typedef void (*smi_agg_loop)(const sm_column *c, int64_t n_rows, void *const *states);

/* ---- cells ---------------------------------------------------------------------------------- */

/* 128 bits at an address that need not be aligned to 16. */
typedef sm_i128 smi_wide __attribute__((aligned(8)));

/* A value, or none: all bytes zero means none, for every type. */
typedef union smi_cell {
    struct {
        union {
            int64_t i; /* signed integers, dates, times; BOOLEAN */
            uint64_t u;
            double f;
        } v;
        uint64_t has; /* 1 */
    } fixed;
    smi_wide decimal; /* 0 is stored as SMI_WIDE_ZERO, which is no DECIMAL */
    struct {
        uint8_t *bytes; /* in the heap; not NULL for the empty string */
        uint32_t len, cap;
    } text;
} smi_cell;
#define SMI_WIDE_ZERO ((sm_i128)((unsigned __int128)1 << 127))
_Static_assert(sizeof(smi_cell) == 16, "smi_cell_has() reads two words; groups have many of them");
_Static_assert(_Alignof(smi_cell) == 8, "states need only 8: exec puts them one behind another");

static inline bool smi_cell_has(const smi_cell *cell)
{
    uint64_t words[2];
    memcpy(words, cell, sizeof(words));
    return (words[0] | words[1]) != 0;
}
/** Row i, which is valid, of a flat scalar column. */
sm_status smi_cell_set(smi_cell *cell, const sm_column *c, int64_t i, sm_agg_heap *h,
                       sm_error *e) SM_MUST_USE;
/** Copies a cell that has a value of type t; its text goes to the heap. */
sm_status smi_cell_copy(smi_cell *cell, const smi_cell *from, const sm_type *t, sm_agg_heap *h,
                        sm_error *e) SM_MUST_USE;
/** −1, 0, 1 as sm_value_cmp; both have a value. */
int smi_cell_cmp(const smi_cell *a, const smi_cell *b, const sm_type *t);
/** Row i of a flat column as a cell that borrows its text. */
smi_cell smi_cell_view(const sm_column *c, int64_t i);
/** Appends the value, or NULL. */
void smi_cell_append(const smi_cell *cell, const sm_type *t, sm_builder *out);

#endif
