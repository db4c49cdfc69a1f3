/* SPDX-License-Identifier: Apache-2.0
 *
 * query/eval_logic.c: evaluates AND and OR, and selects rows by a predicate; 64 rows at a time.
 *
 * Truth     Two bitmaps: known to be true, known to be false. A row in neither is NULL. AND and OR
 *           merge one argument after another into them.
 * Laziness  An argument that can fail is evaluated only over the rows that the arguments before it
 *           leave undecided; these are gathered. An argument that cannot fail is evaluated over all
 *           rows, which is cheaper. When rows are selected, later parts of an AND are also
 *           evaluated over gathered rows if few are left. */
#include "query/eval_int.h"

/* ---- AND, OR --------------------------------------------------------------------------------- */

sm_status smi_truth_new(const smi_evaluation *v, int64_t n, bool yes, smi_truth *out, sm_error *e)
{
    void *bits = NULL;
    out->n_words = (n + 63) / 64;
    SM_TRY(sm_batch_alloc(v->into, (size_t)out->n_words * 16 + 16, &bits, e));
    out->yes = bits;
    out->no = out->yes + out->n_words;
    for (int64_t i = 0; i < out->n_words; i++) {
        const int64_t left = n - i * 64;
        const uint64_t all = left >= 64 ? UINT64_MAX : (UINT64_C(1) << left) - 1;
        out->yes[i] = yes ? all : 0;
        out->no[i] = yes ? 0 : all;
    }
    return SM_OK;
}

/* A BOOLEAN column's two bitmaps, word by word. */
void smi_truth_word(const sm_column *c, int64_t word, int64_t n, uint64_t *yes, uint64_t *no)
{
    const int64_t left = n - word * 64;
    const uint64_t all = left >= 64 ? UINT64_MAX : (UINT64_C(1) << left) - 1;
    SM_ASSERT(c->type->id == SM_TYPE_BOOL || c->type->id == SM_TYPE_NULL);
    SM_ASSERT(c->layout != SM_DICT && left > 0);
    if (c->type->id == SM_TYPE_NULL) {
        *yes = 0;
        *no = 0;
    } else if (c->layout == SM_CONST) {
        const bool valid = smi_valid(c, 0);
        *yes = valid && sm_bit_get(c->values, 0) ? all : 0;
        *no = valid && !sm_bit_get(c->values, 0) ? all : 0;
    } else {
        const uint64_t valid = c->validity ? smi_word_at(c->validity, word, n) : all;
        *yes = smi_word_at(c->values, word, n) & valid;
        *no = ~*yes & valid;
    }
}

static void merge_all(smi_truth *t, bool is_and, const sm_column *c, int64_t n)
{
    for (int64_t i = 0; i < t->n_words; i++) {
        uint64_t yes = 0, no = 0;
        smi_truth_word(c, i, n, &yes, &no);
        t->yes[i] = is_and ? t->yes[i] & yes : t->yes[i] | yes;
        t->no[i] = is_and ? t->no[i] | no : t->no[i] & no;
    }
}

static void merge_some(smi_truth *t, bool is_and, const sm_column *c, const int32_t *rows,
                       int64_t n)
{
    for (int64_t k = 0; k < n; k++) {
        uint64_t yes = 0, no = 0;
        const int64_t i = rows[k];
        SM_ASSERT(i >= 0 && i / 64 < t->n_words);
        const uint64_t bit = UINT64_C(1) << (i & 63);
        smi_truth_word(c, k >> 6, n, &yes, &no);
        const bool is_yes = (yes >> (k & 63)) & 1, is_no = (no >> (k & 63)) & 1;
        if (is_and) {
            t->yes[i >> 6] &= is_yes ? UINT64_MAX : ~bit;
            t->no[i >> 6] |= is_no ? bit : 0;
        } else {
            t->yes[i >> 6] |= is_yes ? bit : 0;
            t->no[i >> 6] &= is_no ? UINT64_MAX : ~bit;
        }
    }
}

int64_t smi_rows_of(const uint64_t *bits, int64_t n_words, uint64_t flip, int64_t n, int32_t *rows)
{
    int64_t count = 0;
    for (int64_t i = 0; i < n_words; i++) {
        uint64_t w = bits[i] ^ flip;
        const int64_t left = n - i * 64;
        w &= left >= 64 ? UINT64_MAX : (UINT64_C(1) << left) - 1;
        while (w != 0) {
            rows[count++] = (int32_t)(i * 64 + __builtin_ctzll(w));
            w &= w - 1;
        }
    }
    return count;
}

/* Evaluates x over the rows that are not decided yet, and merges what it says. */
static sm_status merge_undecided(const smi_evaluation *v, const sm_expr *x, const sm_batch *in,
                                 smi_truth *t, bool is_and, sm_error *e)
{
    void *rows = NULL;
    sm_batch part;
    sm_column c = {0};
    SM_TRY(sm_batch_alloc(v->into, (size_t)in->n_rows * sizeof(int32_t), &rows, e));
    const int64_t n =
        smi_rows_of(is_and ? t->no : t->yes, t->n_words, UINT64_MAX, in->n_rows, rows);
    if (n == 0) {
        return SM_OK;
    }
    if (n == in->n_rows) {
        SM_TRY(smi_eval(v, x, in, &c, e));
    } else {
        SM_TRY(smi_gather_used(v, x, in, rows, n, &part, e));
        SM_TRY(smi_eval(v, x, &part, &c, e));
    }
    if (c.layout == SM_DICT) {
        SM_TRY(sm_column_flatten(&c, v->into, &c, e));
    }
    merge_some(t, is_and, &c, rows, n);
    return SM_OK;
}

static sm_status eval_truth(const smi_evaluation *v, const sm_expr *x, const sm_batch *in,
                            smi_truth *t, sm_error *e)
{
    const bool is_and = x->kind == SM_EXPR_AND;
    SM_ASSERT(is_and || x->kind == SM_EXPR_OR);
    SM_TRY(smi_truth_new(v, in->n_rows, is_and, t, e));
    for (int32_t i = 0; i < x->n_args; i++) {
        sm_column c = {0};
        if (i > 0 && smi_can_fail(x->args[i])) {
            SM_TRY(merge_undecided(v, x->args[i], in, t, is_and, e));
            continue;
        }
        SM_TRY(smi_eval(v, x->args[i], in, &c, e));
        if (c.layout == SM_DICT) {
            SM_TRY(sm_column_flatten(&c, v->into, &c, e));
        }
        merge_all(t, is_and, &c, in->n_rows);
    }
    return SM_OK;
}

sm_status smi_eval_logic(const smi_evaluation *v, const sm_expr *x, const sm_batch *in,
                         sm_column *out, sm_error *e)
{
    smi_truth t;
    bool has_null = false;
    SM_TRY(eval_truth(v, x, in, &t, e));
    *out = (sm_column){
        .type = &sm_type_bool, .layout = SM_FLAT, .n_rows = in->n_rows, .values = t.yes};
    for (int64_t i = 0; i < t.n_words; i++) {
        const int64_t left = in->n_rows - i * 64;
        const uint64_t all = left >= 64 ? UINT64_MAX : (UINT64_C(1) << left) - 1;
        SM_ASSERT((t.no[i] & t.yes[i]) == 0); /* nothing is both */
        t.no[i] |= t.yes[i];                  /* known at all */
        has_null = has_null || t.no[i] != all;
    }
    out->validity = has_null ? (const uint8_t *)t.no : NULL;
    return SM_OK;
}

/* ---- selection ------------------------------------------------------------------------------- */

/* Evaluates AND-ed parts one after another: over the rows that are left if these are few or the
 * part can fail, else over all rows. */
static sm_status select_rows(const smi_evaluation *v, const sm_expr *x, const sm_batch *in,
                             int32_t *rows, int64_t *n, sm_error *e)
{
    const int32_t n_parts = x->kind == SM_EXPR_AND ? x->n_args : 1;
    smi_truth t;
    int64_t n_left = in->n_rows;
    SM_TRY(smi_truth_new(v, in->n_rows, true, &t, e));
    for (int32_t i = 0; i < n_parts && n_left > 0; i++) {
        const sm_expr *const part = x->kind == SM_EXPR_AND ? x->args[i] : x;
        /* a quarter: gathering costs about what a comparison of text does */
        const bool few = i > 0 && (smi_can_fail(part) || n_left < in->n_rows / 4);
        sm_column c = {0};
        if (few) {
            for (int64_t w = 0; w < t.n_words; w++) {
                t.no[w] = ~t.yes[w]; /* NULL is not wanted either */
            }
            SM_TRY(merge_undecided(v, part, in, &t, true, e));
        } else {
            SM_TRY(smi_eval(v, part, in, &c, e));
            if (c.layout == SM_DICT) {
                SM_TRY(sm_column_flatten(&c, v->into, &c, e));
            }
            merge_all(&t, true, &c, in->n_rows);
        }
        n_left = 0;
        for (int64_t w = 0; w < t.n_words; w++) {
            n_left += __builtin_popcountll(t.yes[w]);
        }
    }
    *n = smi_rows_of(t.yes, t.n_words, 0, in->n_rows, rows);
    return SM_OK;
}

sm_status sm_expr_select(const sm_expr *x, const sm_batch *in, const sm_value *params,
                         int32_t *rows, int64_t *n, sm_budget *budget, sm_error *e)
{
    sm_batch *scratch = NULL;
    if (in->n_rows == 0) {
        *n = 0;
        return SM_OK;
    }
    SM_TRY(sm_batch_new(budget, in->schema, &scratch, e));
    const smi_evaluation v = {params, scratch};
    const sm_status st = select_rows(&v, x, in, rows, n, e);
    sm_batch_release(scratch);
    return st;
}
