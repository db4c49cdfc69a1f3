/* SPDX-License-Identifier: Apache-2.0
 *
 * column/bounds.h: what a query knows of the rows it wants, as `column op constant`, all of which
 * must hold. Queries derive bounds; delta and the formats skip files, row groups and pages by them;
 * the filter above always runs, so a bound may be lost but never be wrong. */
#ifndef SM_COLUMN_BOUNDS_H
#define SM_COLUMN_BOUNDS_H

#include "column/value.h"

typedef enum sm_bound_op {
    SM_BOUND_EQ,
    SM_BOUND_LT,
    SM_BOUND_LE,
    SM_BOUND_GT,
    SM_BOUND_GE,
    SM_BOUND_IS_NULL,
    SM_BOUND_NOT_NULL,
    SM_BOUND_IN, /* one of `values` */
} sm_bound_op;

typedef struct sm_bound {
    const int32_t *path; /* field indexes from the schema's root; usually of length 1 */
    int32_t n_path;
    sm_bound_op op;
    sm_value value;         /* of the column's type; unused for the null tests and IN */
    const sm_value *values; /* IN */
    int32_t n_values;
} sm_bound;

typedef struct sm_bounds {
    const sm_bound *items;
    int32_t n;
} sm_bounds;

/* What is known of a column in a file, row group or page. min and max may be wider than the truth
 * (truncated strings), never narrower. */
typedef struct sm_range {
    bool has_min, has_max, has_nulls;
    sm_value min, max;
    int64_t n_nulls, n_rows;
    bool may_have_nan; /* floats: min and max leave NaN out */
} sm_range;

/** Can no row in the range satisfy the bound? (NULL satisfies only IS_NULL.) false if unsure. */
bool sm_bound_excludes(const sm_bound *b, const sm_range *r);

#endif
