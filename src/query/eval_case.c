/* SPDX-License-Identifier: Apache-2.0
 *
 * query/eval_case.c: evaluates CASE.
 *
 * Method    1 Each row is given its branch, by one condition after the other; a condition that can
 *             fail is evaluated only over the rows that have no branch yet.
 *           2 Each branch that some row has is evaluated: over all rows if it cannot fail, else
 *             only over its own rows, which are gathered.
 *           3 The branches' values are merged into one column.
 * Merging   If all rows have the same branch, its column is the result. If all branches are
 *           constant texts, the result is a dictionary whose codes are the numbers of the branches.
 *           Values of a fixed width that were not gathered are blended, one branch at a time. All
 *           else is copied row by row; texts are not copied: the result has the heaps of all
 *           branches. */
#include "query/eval_int.h"

/* ---- CASE ------------------------------------------------------------------------------------ */

/* One branch's values. Where its rows were gathered, `at` is the next of them; else row i's value
 * is value i. */
typedef struct branch {
    sm_column values;
    int64_t n_rows; /* that take it */
    int64_t at;
    bool is_gathered;
    int32_t heap_base; /* in the joint heap */
} branch;

/* Gives the undecided rows where a condition holds to branch k. Row i of the condition is row
 * rows[i], or row i where rows is NULL. */
static void take_branch(const sm_column *cond, const int32_t *rows, int32_t k, uint64_t *undecided,
                        int32_t *choice, branch *b)
{
    const int64_t n = cond->n_rows;
    for (int64_t w = 0; w * 64 < n; w++) {
        uint64_t yes = 0, no = 0;
        smi_truth_word(cond, w, n, &yes, &no);
        yes &= rows ? UINT64_MAX : undecided[w];
        b->n_rows += __builtin_popcountll(yes);
        undecided[w] &= rows ? UINT64_MAX : ~yes;
        for (; yes != 0; yes &= yes - 1) {
            const int64_t i = w * 64 + __builtin_ctzll(yes);
            choice[rows ? rows[i] : i] = k;
            if (rows) {
                undecided[rows[i] >> 6] &= ~(UINT64_C(1) << (rows[i] & 63));
            }
        }
    }
}

/* choice[i]: the branch of row i. */
static sm_status choose_branches(const smi_evaluation *v, const sm_expr *x, const sm_batch *in,
                                 int32_t *choice, branch *branches, sm_error *e)
{
    const int32_t n_when = x->n_args / 2;
    int64_t n_left = in->n_rows;
    smi_truth t;
    void *rows = NULL;
    SM_TRY(smi_truth_new(v, in->n_rows, true, &t, e)); /* yes: undecided */
    SM_TRY(sm_batch_alloc(v->into, (size_t)in->n_rows * sizeof(int32_t), &rows, e));
    for (int64_t i = 0; i < in->n_rows; i++) {
        choice[i] = n_when;
    }
    for (int32_t k = 0; k < n_when && n_left > 0; k++) {
        const sm_expr *const when = x->args[2 * k];
        const bool some = n_left < in->n_rows && smi_can_fail(when);
        sm_batch part;
        sm_column c = {0};
        if (some) {
            smi_rows_of(t.yes, t.n_words, 0, in->n_rows, rows);
            SM_TRY(smi_gather_used(v, when, in, rows, n_left, &part, e));
        }
        SM_TRY(smi_eval(v, when, some ? &part : in, &c, e));
        if (c.layout == SM_DICT) {
            SM_TRY(sm_column_flatten(&c, v->into, &c, e));
        }
        take_branch(&c, some ? rows : NULL, k, t.yes, choice, &branches[k]);
        n_left -= branches[k].n_rows;
    }
    SM_ASSERT(n_left >= 0);
    branches[n_when].n_rows = n_left;
    return SM_OK;
}

static const sm_expr *branch_expr(const sm_expr *x, int32_t k)
{
    SM_ASSERT(k >= 0 && k <= x->n_args / 2);
    return k < x->n_args / 2 ? x->args[2 * k + 1] : x->args[x->n_args - 1];
}

static sm_status eval_branch(const smi_evaluation *v, const sm_expr *x, const sm_batch *in,
                             int32_t k, const int32_t *choice, branch *b, sm_error *e)
{
    const sm_expr *const value = branch_expr(x, k);
    if (!smi_can_fail(value)) {
        SM_TRY(smi_eval(v, value, in, &b->values, e));
    } else {
        void *rows = NULL;
        sm_batch part;
        int64_t n = 0;
        SM_TRY(sm_batch_alloc(v->into, (size_t)b->n_rows * sizeof(int32_t), &rows, e));
        for (int64_t i = 0; i < in->n_rows; i++) {
            if (choice[i] == k) {
                ((int32_t *)rows)[n++] = (int32_t)i;
            }
        }
        SM_ASSERT(n == b->n_rows);
        b->is_gathered = true;
        SM_TRY(smi_gather_used(v, value, in, rows, n, &part, e));
        SM_TRY(smi_eval(v, value, &part, &b->values, e));
    }
    if (b->values.layout == SM_DICT) {
        SM_TRY(sm_column_flatten(&b->values, v->into, &b->values, e));
    }
    return SM_OK;
}

/* All branches are constants of text: their numbers are the codes. */
static sm_status case_of_constants(const smi_evaluation *v, const sm_expr *x, int32_t *choice,
                                   int64_t n, sm_column *out, sm_error *e)
{
    const int32_t n_branches = x->n_args / 2 + 1;
    sm_builder *const b = sm_builder_new(x->type, NULL);
    sm_column entries = {0};
    for (int32_t k = 0; k < n_branches; k++) {
        sm_value value = branch_expr(x, k)->value;
        value.type = x->type;
        if (value.is_null) {
            sm_builder_null(b);
        } else {
            sm_builder_str(b, value.as.s);
        }
    }
    const sm_status st = sm_builder_finish(b, v->into, &entries, e);
    sm_builder_free(b);
    SM_TRY(st);
    return smi_dictionary_of(&entries, choice, n, v->into, out, e);
}

/* Puts the branches' heaps behind one another. */
static sm_status join_heaps(branch *branches, int32_t n, sm_batch *into, sm_column *out,
                            sm_error *e)
{
    int32_t n_heap = 0;
    void *heap = NULL;
    for (int32_t k = 0; k < n; k++) {
        branches[k].heap_base = n_heap;
        n_heap += branches[k].values.n_heap;
    }
    SM_TRY(sm_batch_alloc(into, (size_t)(n_heap + 1) * sizeof(sm_heap_buf), &heap, e));
    for (int32_t k = 0; k < n; k++) {
        if (branches[k].values.n_heap > 0) {
            memcpy((sm_heap_buf *)heap + branches[k].heap_base, branches[k].values.heap,
                   (size_t)branches[k].values.n_heap * sizeof(sm_heap_buf));
        }
    }
    out->heap = heap;
    out->n_heap = n_heap;
    return SM_OK;
}

/* Values of T where no branch was gathered: a branch at a time, so that each pass is one blend. */
#define BLEND(T)                                                                                   \
    for (int64_t i = 0; i < n; i++) {                                                              \
        ((T *)out)[i] = choice[i] == k ? ((const T *)values)[i & mask] : ((const T *)out)[i];      \
    }                                                                                              \
    return
static void blend_rows(void *out, int32_t width, const void *values, int64_t mask,
                       const int32_t *choice, int32_t k, int64_t n)
{
    switch (width) {
    case 1:
        BLEND(uint8_t);
    case 2:
        BLEND(uint16_t);
    case 4:
        BLEND(uint32_t);
    case 8:
        BLEND(uint64_t);
    default:
        SM_ASSERT(width == 16);
        BLEND(unsigned __int128);
    }
}
#undef BLEND

static void copy_value(sm_column *out, int64_t i, const branch *b, int64_t at)
{
    const int64_t k = at & smi_mask(&b->values);
    SM_ASSERT(k < b->values.n_rows && sm_type_eq(b->values.type, out->type));
    const size_t width = (size_t)sm_type_bytes(out->type->id);
    uint8_t *const to = (uint8_t *)out->values + (size_t)i * width;
    if (out->type->id == SM_TYPE_BOOL) {
        if (sm_bit_get(b->values.values, k)) {
            sm_bit_set((uint8_t *)out->values, i);
        }
        return;
    }
    memcpy(to, (const uint8_t *)b->values.values + (size_t)k * width, width);
    if (sm_type_is_bytes(out->type->id)) {
        sm_view *const view = (sm_view *)to;
        if (view->inlined.len > SM_VIEW_INLINE) {
            view->ref.buffer += b->heap_base;
        }
    }
}

static bool can_blend(const branch *branches, int32_t n_branches, const sm_type *t)
{
    bool can = t->id != SM_TYPE_BOOL && !sm_type_is_bytes(t->id);
    for (int32_t k = 0; k < n_branches; k++) {
        const branch *b = &branches[k];
        can = can && (b->n_rows == 0 || (!b->is_gathered && b->values.type->id != SM_TYPE_NULL));
    }
    return can;
}

/* Rows of branch k whose value is NULL: null, and zero as everywhere. */
static sm_status blend_nulls(const smi_evaluation *v, const sm_column *values,
                             const int32_t *choice, int32_t k, sm_column *out, sm_error *e)
{
    const size_t width = (size_t)sm_type_bytes(out->type->id);
    const bool is_const = values->layout == SM_CONST;
    if (!values->validity || (is_const && smi_valid(values, 0))) {
        return SM_OK;
    }
    for (int64_t w = 0; w * 64 < out->n_rows; w++) {
        const int64_t left = out->n_rows - w * 64;
        const uint64_t all = left >= 64 ? UINT64_MAX : (UINT64_C(1) << left) - 1;
        uint64_t nulls = is_const ? all : ~smi_word_at(values->validity, w, out->n_rows) & all;
        for (; nulls != 0; nulls &= nulls - 1) {
            const int64_t i = w * 64 + __builtin_ctzll(nulls);
            if (choice[i] == k) {
                SM_TRY(smi_set_null(out, i, v->into, e));
                memset((uint8_t *)out->values + (size_t)i * width, 0, width);
            }
        }
    }
    return SM_OK;
}

static sm_status blend_branches(const smi_evaluation *v, const branch *branches, int32_t n_branches,
                                const int32_t *choice, sm_column *out, sm_error *e)
{
    for (int32_t k = 0; k < n_branches; k++) {
        const sm_column *values = &branches[k].values;
        if (branches[k].n_rows > 0) {
            blend_rows((void *)out->values, sm_type_bytes(out->type->id), values->values,
                       smi_mask(values), choice, k, out->n_rows);
            SM_TRY(blend_nulls(v, values, choice, k, out, e));
        }
    }
    return SM_OK;
}

static sm_status merge_branches(const smi_evaluation *v, branch *branches, int32_t n_branches,
                                const int32_t *choice, sm_column *out, sm_error *e)
{
    if (sm_type_is_bytes(out->type->id)) {
        SM_TRY(join_heaps(branches, n_branches, v->into, out, e));
    }
    if (can_blend(branches, n_branches, out->type)) {
        return blend_branches(v, branches, n_branches, choice, out, e);
    }
    for (int64_t i = 0; i < out->n_rows; i++) {
        SM_ASSERT(choice[i] >= 0 && choice[i] < n_branches);
        branch *const b = &branches[choice[i]];
        const int64_t at = b->is_gathered ? b->at++ : i;
        if (b->values.type->id == SM_TYPE_NULL || !smi_valid(&b->values, at)) {
            SM_TRY(smi_set_null(out, i, v->into, e));
        } else {
            copy_value(out, i, b, at);
        }
    }
    return SM_OK;
}

static sm_status merge_nested(const smi_evaluation *v, branch *branches, const int32_t *choice,
                              int64_t n, const sm_type *t, sm_column *out, sm_error *e)
{
    sm_builder *const builder = sm_builder_new(t, NULL);
    for (int64_t i = 0; i < n; i++) {
        branch *const b = &branches[choice[i]];
        sm_builder_cell(builder, &b->values, b->is_gathered ? b->at++ : i);
    }
    const sm_status st = sm_builder_finish(builder, v->into, out, e);
    sm_builder_free(builder);
    return st;
}

sm_status smi_eval_case(const smi_evaluation *v, const sm_expr *x, const sm_batch *in,
                        sm_column *out, sm_error *e)
{
    const int32_t n_branches = x->n_args / 2 + 1;
    const int64_t n = in->n_rows;
    void *choices = NULL, *all = NULL;
    bool only_text = x->type->id == SM_TYPE_STRING;
    SM_TRY(sm_batch_alloc(v->into, (size_t)n * sizeof(int32_t), &choices, e));
    SM_TRY(sm_batch_alloc(v->into, (size_t)n_branches * sizeof(branch), &all, e));
    branch *const branches = all;
    SM_TRY(choose_branches(v, x, in, choices, branches, e));
    for (int32_t k = 0; k < n_branches; k++) {
        if (branches[k].n_rows == n) { /* every row goes one way */
            return smi_eval(v, branch_expr(x, k), in, out, e);
        }
        only_text = only_text && branch_expr(x, k)->kind == SM_EXPR_CONST;
    }
    if (only_text) {
        return case_of_constants(v, x, choices, n, out, e);
    }
    for (int32_t k = 0; k < n_branches; k++) {
        if (branches[k].n_rows > 0) {
            SM_TRY(eval_branch(v, x, in, k, choices, &branches[k], e));
        }
    }
    if (sm_type_is_nested(x->type->id)) {
        return merge_nested(v, branches, choices, n, x->type, out, e);
    }
    SM_TRY(smi_column_new(x->type, n, v->into, out, e));
    return merge_branches(v, branches, n_branches, choices, out, e);
}
