/* SPDX-License-Identifier: Apache-2.0
 *
 * query/function/win_rank.c: row_number, rank, dense_rank, ntile: window functions that need only
 * the order of the rows, not their values. */
#include "query/function/agg_int.h"

sm_status win_row_number(const sm_expr *call, const sm_window_in *in, sm_builder *out, sm_error *e)
{
    for (int64_t i = 0; i < in->n_rows; i++) {
        SM_TRY(sm_check_cancel_at(in->budget, i, e));
        sm_builder_i64(out, in->before.n_rows + i + 1);
    }
    return SM_OK;
}

sm_status win_rank(const sm_expr *call, const sm_window_in *in, sm_builder *out, sm_error *e)
{
    int64_t first = in->before.last_group; /* of the row's peers */
    for (int64_t i = 0; i < in->n_rows; i++) {
        SM_TRY(sm_check_cancel_at(in->budget, i, e));
        first = sm_bit_get(in->peer_start, i) ? in->before.n_rows + i : first;
        sm_builder_i64(out, first + 1);
    }
    return SM_OK;
}

sm_status win_dense_rank(const sm_expr *call, const sm_window_in *in, sm_builder *out, sm_error *e)
{
    int64_t n_groups = in->before.n_groups;
    for (int64_t i = 0; i < in->n_rows; i++) {
        SM_TRY(sm_check_cancel_at(in->budget, i, e));
        n_groups += (i == 0 && in->before.n_rows == 0) || sm_bit_get(in->peer_start, i);
        sm_builder_i64(out, n_groups);
    }
    return SM_OK;
}

/* The part of row i of n; the first n mod parts parts have one row more than the others. */
static int64_t ntile_of(int64_t i, int64_t n, int64_t parts)
{
    SM_ASSERT(parts >= 1 && parts <= n && i < n); /* so that no part is empty */
    const int64_t small = n / parts, n_large = n % parts;
    const int64_t in_large = n_large * (small + 1);
    return i < in_large ? 1 + i / (small + 1) : 1 + n_large + (i - in_large) / small;
}

sm_status win_ntile(const sm_expr *call, const sm_window_in *in, sm_builder *out, sm_error *e)
{
    sm_column parts;
    sm_block *mem = NULL;
    sm_status st = SM_OK;
    SM_TRY(smi_flat(&in->args[0], in->budget, &parts, &mem, e));
    for (int64_t i = 0; i < in->n_rows && st == SM_OK; i++) {
        if (parts.type->id == SM_TYPE_NULL || !smi_valid(&parts, i)) {
            sm_builder_null(out);
            continue;
        }
        const int64_t n = smi_i64_at(&parts, i);
        st = sm_check_cancel_at(in->budget, i, e);
        if (st == SM_OK && n < 1) {
            st = smi_expr_fail(call, e, SM_INVALID, "ntile(%lld): the parts must be 1 or more",
                               (long long)n);
        } else if (st == SM_OK) {
            sm_builder_i64(out, ntile_of(i, in->n_rows, n < in->n_rows ? n : in->n_rows));
        }
    }
    sm_block_release(mem);
    return st;
}
