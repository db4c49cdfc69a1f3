/* SPDX-License-Identifier: Apache-2.0
 *
 * query/eval_column.c: makes the columns that kernels fill, and reads values of arguments, integers
 * of any width alike. Called by the evaluator, by casts and by the kernels of functions. */
#include "query/eval_int.h"

/* ---- columns under construction -------------------------------------------------------------- */

static size_t bitmap_bytes(int64_t n_rows)
{
    return (size_t)((n_rows + 63) / 64 * 8); /* whole words, so that loops may go by words */
}

sm_status smi_column_new(const sm_type *t, int64_t n_rows, sm_batch *into, sm_column *out,
                         sm_error *e)
{
    void *values = NULL;
    *out = (sm_column){.type = t, .layout = SM_FLAT, .n_rows = n_rows};
    if (t->id == SM_TYPE_NULL) {
        return SM_OK;
    }
    const size_t width = (size_t)sm_type_bytes(t->id);
    SM_ASSERT(!sm_type_is_nested(t->id) && n_rows >= 0);
    const size_t bytes = t->id == SM_TYPE_BOOL ? bitmap_bytes(n_rows) : width * (size_t)n_rows;
    SM_TRY(sm_batch_alloc(into, bytes > 0 ? bytes : 8, &values, e));
    out->values = values;
    return SM_OK;
}

sm_status smi_own_validity(sm_column *out, sm_batch *into, uint8_t **bits, sm_error *e)
{
    void *fresh = NULL;
    SM_TRY(sm_batch_alloc(into, bitmap_bytes(out->n_rows) + 8, &fresh, e));
    memset(fresh, 0xff, (size_t)(out->n_rows / 8));
    for (int64_t i = out->n_rows / 8 * 8; i < out->n_rows; i++) {
        sm_bit_set(fresh, i);
    }
    out->validity = fresh;
    *bits = fresh;
    return SM_OK;
}

sm_status smi_set_null(sm_column *out, int64_t i, sm_batch *into, sm_error *e)
{
    uint8_t *bits = (uint8_t *)out->validity; /* a column under construction owns its bitmap */
    SM_ASSERT(i >= 0 && i < out->n_rows && out->layout != SM_CONST);
    if (!bits) {
        SM_TRY(smi_own_validity(out, into, &bits, e));
    }
    sm_bit_clear(bits, i);
    return SM_OK;
}

/* ---- reading arguments ----------------------------------------------------------------------- */

int64_t smi_i64_at(const sm_column *c, int64_t i)
{
    const int64_t k = i & smi_mask(c);
    switch (c->type->id) {
    case SM_TYPE_I8:
        return ((const int8_t *)c->values)[k];
    case SM_TYPE_I16:
        return ((const int16_t *)c->values)[k];
    case SM_TYPE_I32:
    case SM_TYPE_DATE:
        return ((const int32_t *)c->values)[k];
    case SM_TYPE_U8:
        return ((const uint8_t *)c->values)[k];
    case SM_TYPE_U16:
        return ((const uint16_t *)c->values)[k];
    case SM_TYPE_U32:
        return ((const uint32_t *)c->values)[k];
    case SM_TYPE_BOOL:
        return sm_bit_get(c->values, k);
    default:
        SM_ASSERT(sm_type_bytes(c->type->id) == 8);
        return ((const int64_t *)c->values)[k];
    }
}

double smi_f64_at(const sm_column *c, int64_t i)
{
    const int64_t k = i & smi_mask(c);
    return c->type->id == SM_TYPE_F32   ? (double)((const float *)c->values)[k]
           : c->type->id == SM_TYPE_F64 ? ((const double *)c->values)[k]
                                        : (double)smi_i64_at(c, i);
}

sm_i128 smi_i128_at(const sm_column *c, int64_t i)
{
    sm_i128 v;
    if (c->type->id == SM_TYPE_U64) {
        return ((const uint64_t *)c->values)[i & smi_mask(c)];
    }
    if (c->type->id != SM_TYPE_DECIMAL) {
        return smi_i64_at(c, i);
    }
    memcpy(&v, (const uint8_t *)c->values + (i & smi_mask(c)) * 16, 16);
    return v;
}

bool smi_bool_at(const sm_column *c, int64_t i)
{
    SM_ASSERT(c->type->id == SM_TYPE_BOOL);
    return sm_bit_get(c->values, i & smi_mask(c));
}
