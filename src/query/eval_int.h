/* SPDX-License-Identifier: Apache-2.0
 *
 * query/eval_int.h: what the evaluator's files share: the state of an evaluation, the functions by
 * which they evaluate each other's nodes (eval.c, eval_logic.c, eval_case.c), dictionaries
 * (eval_dict.c), and truth values in words of 64 rows.
 *
 * Owner     columns that come out live in `into`, or share the memory of `in`
 * Errors    SM_BUDGET, SM_CANCELLED, what a function says, with the place of the expression */
#ifndef SM_QUERY_EVAL_INT_H
#define SM_QUERY_EVAL_INT_H

#include "query/function/function_int.h"

typedef struct smi_evaluation {
    const sm_value *params; /* of subqueries; NULL: none */
    sm_batch *into;
} smi_evaluation;

/** Any expression over the rows of a batch. */
sm_status smi_eval(const smi_evaluation *v, const sm_expr *x, const sm_batch *in, sm_column *out,
                   sm_error *e) SM_MUST_USE;
sm_status smi_eval_logic(const smi_evaluation *v, const sm_expr *x, const sm_batch *in,
                         sm_column *out, sm_error *e) SM_MUST_USE;
sm_status smi_eval_case(const smi_evaluation *v, const sm_expr *x, const sm_batch *in,
                        sm_column *out, sm_error *e) SM_MUST_USE;
/** A batch on the stack that shows the columns that x uses, at n given rows. */
sm_status smi_gather_used(const smi_evaluation *v, const sm_expr *x, const sm_batch *in,
                          const int32_t *rows, int64_t n, sm_batch *out, sm_error *e) SM_MUST_USE;

/* ---- dictionaries ---------------------------------------------------------------------------- */

/** The only column or field that x depends on, if it is a dictionary and computing x once for each
 * entry pays; else NULL. */
const sm_expr *smi_entry_leaf(const sm_expr *x, const sm_batch *in);
/** x, by the entries of that leaf. */
sm_status smi_eval_by_entry(const smi_evaluation *v, const sm_expr *x, const sm_batch *in,
                            const sm_expr *leaf, sm_column *out, sm_error *e) SM_MUST_USE;
/** Text by code: `entries` become the dictionary, their nulls go to the n codes. */
sm_status smi_dictionary_of(sm_column *entries, int32_t *codes, int64_t n, sm_batch *into,
                            sm_column *out, sm_error *e) SM_MUST_USE;

/* ---- truth ----------------------------------------------------------------------------------- */

/* What is known of n rows: which are true, which are false. The others are NULL. */
typedef struct smi_truth {
    uint64_t *yes, *no;
    int64_t n_words;
} smi_truth;

/** All n rows true, or all false. */
sm_status smi_truth_new(const smi_evaluation *v, int64_t n, bool yes, smi_truth *out,
                        sm_error *e) SM_MUST_USE;
/** A BOOLEAN column's two bitmaps, 64 of its n rows. */
void smi_truth_word(const sm_column *c, int64_t word, int64_t n, uint64_t *yes, uint64_t *no);
/** The numbers of the rows, of n, whose bit is not that of `flip`; returns how many. */
int64_t smi_rows_of(const uint64_t *bits, int64_t n_words, uint64_t flip, int64_t n, int32_t *rows);
/* 64 rows of a bitmap of n, zeros behind its end. */
static inline uint64_t smi_word_at(const void *bits, int64_t word, int64_t n)
{
    uint64_t w = 0;
    const int64_t bytes = (int64_t)sm_bits_bytes(n) - word * 8;
    memcpy(&w, (const uint8_t *)bits + word * 8, (size_t)(bytes < 8 ? bytes : 8));
    const int64_t left = n - word * 64;
    return left >= 64 ? w : w & ((UINT64_C(1) << left) - 1);
}

#endif
