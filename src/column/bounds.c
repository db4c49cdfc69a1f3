/* SPDX-License-Identifier: Apache-2.0
 *
 * column/bounds.c: decides whether a range of rows can be skipped. It says yes only if that is
 * certain. NaN is the largest value; min and max do not include it. */
#include "column/bounds.h"

#include <math.h>

static bool is_float(const sm_type *t)
{
    return t->id == SM_TYPE_F32 || t->id == SM_TYPE_F64;
}

static bool is_nan(sm_value v)
{
    return is_float(v.type) && isnan(v.as.f);
}

/* Is the limit there, and of the value's type (a file's statistics may be of an older type)? */
static bool is_known(bool has, sm_value limit, sm_value v)
{
    return has && limit.type && !limit.is_null && sm_type_eq(limit.type, v.type) && !is_nan(limit);
}

/* Is every value that is not null and not NaN above v, or (or_equal) at it? */
static bool all_above(const sm_range *r, sm_value v, bool or_equal)
{
    if (!is_known(r->has_min, r->min, v)) {
        return false;
    }
    const int c = sm_value_cmp(r->min, v);
    return c > 0 || (or_equal && c == 0);
}

static bool all_below(const sm_range *r, sm_value v, bool or_equal)
{
    if (!is_known(r->has_max, r->max, v)) {
        return false;
    }
    const int c = sm_value_cmp(r->max, v);
    return c < 0 || (or_equal && c == 0);
}

static bool excludes_value(sm_bound_op op, sm_value v, const sm_range *r)
{
    if (v.is_null) {
        return true; /* no comparison with NULL holds */
    }
    if (sm_type_is_nested(v.type->id) || v.type->id == SM_TYPE_NULL) {
        return false;
    }
    const bool may_have_nan = is_float(v.type) && r->may_have_nan;
    if (is_nan(v)) {
        return op == SM_BOUND_GT || ((op == SM_BOUND_EQ || op == SM_BOUND_GE) && !may_have_nan);
    }
    switch (op) {
    case SM_BOUND_EQ:
        return all_above(r, v, false) || all_below(r, v, false);
    case SM_BOUND_LT:
        return all_above(r, v, true);
    case SM_BOUND_LE:
        return all_above(r, v, false);
    case SM_BOUND_GT:
        return !may_have_nan && all_below(r, v, true);
    case SM_BOUND_GE:
        return !may_have_nan && all_below(r, v, false);
    default:
        return false;
    }
}

bool sm_bound_excludes(const sm_bound *b, const sm_range *r)
{
    SM_ASSERT(!r->has_min || !r->has_max || r->min.type->id == r->max.type->id);
    SM_ASSERT(b->op != SM_BOUND_IN || b->n_values >= 0);
    const bool all_null = r->has_nulls && r->n_rows > 0 && r->n_nulls >= r->n_rows;
    switch (b->op) {
    case SM_BOUND_IS_NULL:
        return r->has_nulls && r->n_nulls == 0;
    case SM_BOUND_NOT_NULL:
        return all_null;
    case SM_BOUND_IN:
        for (int32_t i = 0; i < b->n_values && !all_null; i++) {
            if (!excludes_value(SM_BOUND_EQ, b->values[i], r)) {
                return false;
            }
        }
        return true;
    default:
        return all_null || excludes_value(b->op, b->value, r);
    }
}
