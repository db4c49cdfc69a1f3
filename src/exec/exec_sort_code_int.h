/* SPDX-License-Identifier: Apache-2.0
 *
 * exec/exec_sort_code_int.h: sort keys as numbers (exec_sort_code.c), for exec_sort.c. */
#ifndef SM_EXEC_SORT_CODE_INT_H
#define SM_EXEC_SORT_CODE_INT_H

#include "exec/exec_int.h"

#define SMI_CODE_KEYS 8 /* of more the first ones, which nearly always decide */

/* One key's part of the number. */
typedef struct smi_sort_code {
    bool is_text, is_desc, has_null, nulls_first;
    uint64_t least; /* numbers: the smallest value's bits, and */
    int cut;        /* low bits that are left out */
    size_t skip;    /* texts: bytes that all begin with */
    int bits;       /* of the value */
    int shift;      /* its lowest bit's place */
} smi_sort_code;

typedef struct smi_sort_codes {
    smi_sort_code keys[SMI_CODE_KEYS]; /* the spec's keys, then its place */
    int32_t n, n_exact;                /* the first n_exact are told apart wholly */
} smi_sort_codes;

/** Measures the rows of the spec, batches side by side. */
sm_status smi_sort_codes_plan(smi_execution *exec, const smi_sort_spec *spec, smi_sort_codes *out,
                              sm_error *e) SM_MUST_USE;
/** The entries of batch b's rows, with their numbers as prefix. */
void smi_sort_codes_of(const smi_sort_codes *codes, const smi_sort_spec *spec, int64_t b,
                       smi_sort_row *rows);

#endif
