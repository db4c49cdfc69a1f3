/* SPDX-License-Identifier: Apache-2.0
 *
 * column/bounds.h: conditions of the form `column op constant` that all rows of a query's result
 * satisfy. The query derives them; delta and the formats use them to skip files, row groups and
 * pages. The query's filter runs in any case, so a bound may be missing but must not be wrong.
 * Threads: every function may be called from any thread. */
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
    const int32_t *path; /* field indices from the schema's root on; usually one */
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

/* Statistics of a column in a file, row group or page. min and max may be wider than the values
 * (strings are cut), but never narrower. */
typedef struct sm_range {
    bool has_min, has_max, has_nulls;
    sm_value min, max;
    int64_t n_nulls, n_rows;
    bool may_have_nan; /* floats: min and max leave NaN out */
} sm_range;

/** The range of a column that has the same value in all rows: a partition column of a file. Borrows
 * the value. */
static inline sm_range sm_range_of_value(sm_value v)
{
    return (sm_range){.has_min = !v.is_null,
                      .has_max = !v.is_null,
                      .has_nulls = true,
                      .min = v,
                      .max = v,
                      .n_nulls = v.is_null ? 1 : 0,
                      .n_rows = 1};
}

/** Is it certain that no row in the range satisfies the bound? NULL satisfies only IS_NULL. */
bool sm_bound_excludes(const sm_bound *b, const sm_range *r);

#endif
