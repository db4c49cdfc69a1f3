/* SPDX-License-Identifier: Apache-2.0
 *
 * column/column.c: reads and compares single rows of columns in any layout. */
#include "column/column.h"

#include <math.h>

#include "column/column_int.h"

/* ---- the place of a row ---------------------------------------------------------------------- */

bool sm_column_is_null(const sm_column *c, int64_t i)
{
    SM_ASSERT(i >= 0 && (i < c->n_rows || i == 0)); /* a constant has row 0 without any row */
    if (c->type->id == SM_TYPE_NULL) {
        return true;
    }
    return c->validity && !sm_bit_get(c->validity, sm_column_at(c, i));
}

bool smi_resolve(const sm_column **c, int64_t *i)
{
    if (sm_column_is_null(*c, *i)) {
        return false;
    }
    *i = sm_column_at(*c, *i);
    if ((*c)->layout == SM_DICT) {
        *i = smi_i32(*c)[*i];
        *c = &(*c)->children[0];
        SM_ASSERT((*c)->layout == SM_FLAT && *i >= 0 && *i < (*c)->n_rows);
    }
    return true;
}

int64_t sm_column_null_count(const sm_column *c)
{
    if (c->type->id == SM_TYPE_NULL) {
        return c->n_rows;
    }
    if (!c->validity) {
        return 0;
    }
    if (c->layout == SM_CONST) {
        return sm_bit_get(c->validity, 0) ? 0 : c->n_rows;
    }
    return c->n_rows - smi_bits_count(c->validity, c->n_rows);
}

/* ---- views ----------------------------------------------------------------------------------- */

const uint64_t sm_view_masks[SM_VIEW_INLINE + 1][2] = {
    {0x00000000ffffffff, 0},
    {0x000000ffffffffff, 0},
    {0x0000ffffffffffff, 0},
    {0x00ffffffffffffff, 0},
    {0xffffffffffffffff, 0},
    {0xffffffffffffffff, 0x00000000000000ff},
    {0xffffffffffffffff, 0x000000000000ffff},
    {0xffffffffffffffff, 0x0000000000ffffff},
    {0xffffffffffffffff, 0x00000000ffffffff},
    {0xffffffffffffffff, 0x000000ffffffffff},
    {0xffffffffffffffff, 0x0000ffffffffffff},
    {0xffffffffffffffff, 0x00ffffffffffffff},
    {0xffffffffffffffff, 0xffffffffffffffff},
};

sm_view sm_view_make(const uint8_t *bytes, int32_t len, int32_t buffer, int32_t off_bytes)
{
    return len <= SM_VIEW_INLINE ? smi_view_inline(bytes, (size_t)len)
                                 : smi_view_ref(bytes, (size_t)len, buffer, off_bytes);
}

sm_str sm_column_str(const sm_column *c, int64_t i)
{
    SM_ASSERT(sm_type_is_bytes(c->type->id) || c->type->id == SM_TYPE_NULL);
    if (!smi_resolve(&c, &i)) {
        return SM_STR("");
    }
    return sm_view_str(&smi_views(c)[i], c->heap);
}

/* ---- values ---------------------------------------------------------------------------------- */

sm_value sm_column_value(const sm_column *c, int64_t i)
{
    sm_value v = {.type = c->type};
    if (!smi_resolve(&c, &i)) {
        v.is_null = true;
        return v;
    }
    switch (v.type->id) {
    case SM_TYPE_BOOL:
        v.as.b = sm_bit_get(c->values, i);
        break;
    case SM_TYPE_I8:
        v.as.i = ((const int8_t *)c->values)[i];
        break;
    case SM_TYPE_I16:
        v.as.i = ((const int16_t *)c->values)[i];
        break;
    case SM_TYPE_I32:
    case SM_TYPE_DATE:
        v.as.i = ((const int32_t *)c->values)[i];
        break;
    case SM_TYPE_I64:
    case SM_TYPE_TIME:
    case SM_TYPE_TIMESTAMP:
    case SM_TYPE_TIMESTAMP_NTZ:
        v.as.i = ((const int64_t *)c->values)[i];
        break;
    case SM_TYPE_U8:
        v.as.u = ((const uint8_t *)c->values)[i];
        break;
    case SM_TYPE_U16:
        v.as.u = ((const uint16_t *)c->values)[i];
        break;
    case SM_TYPE_U32:
        v.as.u = ((const uint32_t *)c->values)[i];
        break;
    case SM_TYPE_U64:
        v.as.u = ((const uint64_t *)c->values)[i];
        break;
    case SM_TYPE_F32:
        v.as.f = (double)((const float *)c->values)[i];
        break;
    case SM_TYPE_F64:
        v.as.f = ((const double *)c->values)[i];
        break;
    case SM_TYPE_DECIMAL:
        memcpy(&v.as.d, (const uint8_t *)c->values + i * 16, 16); /* Arrow aligns them to 8 only */
        break;
    case SM_TYPE_STRING:
    case SM_TYPE_BINARY:
        v.as.s = sm_view_str(&smi_views(c)[i], c->heap);
        break;
    case SM_TYPE_NULL:
    case SM_TYPE_LIST:
    case SM_TYPE_STRUCT:
    case SM_TYPE_MAP:
        SM_ENSURE(!"a nested value needs an arena: sm_column_value_copy");
    }
    return v;
}

/* `t`: the column's type, in the arena already. */
static sm_value copy_as(const sm_column *c, int64_t i, const sm_type *t, sm_arena *a)
{
    if (!sm_type_is_nested(t->id)) {
        sm_value v = sm_column_value(c, i);
        v.type = t;
        if (!v.is_null && sm_type_is_bytes(t->id)) {
            v.as.s = sm_arena_str(a, v.as.s);
        }
        return v;
    }
    if (!smi_resolve(&c, &i)) {
        return sm_value_null(t);
    }
    const bool is_struct = t->id == SM_TYPE_STRUCT;
    const int64_t first = is_struct ? i : smi_i32(c)[i];
    const int64_t n_rows = is_struct ? 1 : smi_i32(c)[i + 1] - first;
    sm_value *const items = SM_NEW_ARRAY(a, sm_value, n_rows * c->n_children + 1);
    int64_t n = 0;
    for (int64_t at = first; at < first + n_rows; at++) {
        for (int32_t k = 0; k < c->n_children; k++) {
            items[n] = copy_as(&c->children[k], at, smi_item_type(t, n), a);
            n++;
        }
    }
    return (sm_value){.type = t, .as.nested = {items, n}};
}

sm_value sm_column_value_copy(const sm_column *c, int64_t i, sm_arena *a)
{
    return copy_as(c, i, sm_type_copy(a, c->type), a);
}

/* ---- comparing rows -------------------------------------------------------------------------- */

static bool eq_view(const sm_column *a, int64_t i, const sm_column *b, int64_t j)
{
    const sm_view *x = &smi_views(a)[i], *y = &smi_views(b)[j];
    if (x->words[0] != y->words[0]) { /* length and first four bytes */
        return false;
    }
    if (x->inlined.len <= SM_VIEW_INLINE) {
        return x->words[1] == y->words[1];
    }
    return memcmp(sm_view_str(x, a->heap).data, sm_view_str(y, b->heap).data, (size_t)x->ref.len) ==
           0;
}

static bool eq_f64(double a, double b)
{
    return a == b || (isnan(a) && isnan(b));
}

static bool eq_elements(const sm_column *a, int64_t i, const sm_column *b, int64_t j)
{
    const int32_t *x = smi_i32(a) + i, *y = smi_i32(b) + j;
    if (x[1] - x[0] != y[1] - y[0]) {
        return false;
    }
    for (int32_t k = 0; k < x[1] - x[0]; k++) {
        for (int32_t child = 0; child < a->n_children; child++) {
            if (!sm_column_eq(&a->children[child], x[0] + k, &b->children[child], y[0] + k)) {
                return false;
            }
        }
    }
    return true;
}

bool sm_column_eq(const sm_column *a, int64_t i, const sm_column *b, int64_t j)
{
    const sm_type_id id = a->type->id;
    SM_ASSERT(b->type->id == id);
    const bool has_a = smi_resolve(&a, &i), has_b = smi_resolve(&b, &j);
    if (!has_a || !has_b) {
        return has_a == has_b;
    }
    switch (id) {
    case SM_TYPE_BOOL:
        return sm_bit_get(a->values, i) == sm_bit_get(b->values, j);
    case SM_TYPE_F32:
        return eq_f64((double)((const float *)a->values)[i], (double)((const float *)b->values)[j]);
    case SM_TYPE_F64:
        return eq_f64(((const double *)a->values)[i], ((const double *)b->values)[j]);
    case SM_TYPE_STRING:
    case SM_TYPE_BINARY:
        return eq_view(a, i, b, j);
    case SM_TYPE_LIST:
    case SM_TYPE_MAP:
        return eq_elements(a, i, b, j);
    case SM_TYPE_STRUCT:
        for (int32_t k = 0; k < a->n_children; k++) {
            if (!sm_column_eq(&a->children[k], i, &b->children[k], j)) {
                return false;
            }
        }
        return true;
    case SM_TYPE_I64:
    case SM_TYPE_U64:
    case SM_TYPE_TIME:
    case SM_TYPE_TIMESTAMP:
    case SM_TYPE_TIMESTAMP_NTZ:
        return ((const int64_t *)a->values)[i] == ((const int64_t *)b->values)[j];
    default: {
        const int64_t width = sm_type_bytes(id);
        return memcmp((const uint8_t *)a->values + i * width,
                      (const uint8_t *)b->values + j * width, (size_t)width) == 0;
    }
    }
}

int sm_column_cmp(const sm_column *a, int64_t i, const sm_column *b, int64_t j)
{
    SM_ASSERT(a->type->id == b->type->id && !sm_type_is_nested(a->type->id));
    const bool null_a = sm_column_is_null(a, i), null_b = sm_column_is_null(b, j);
    if (null_a || null_b) {
        return (int)null_a - (int)null_b;
    }
    return sm_value_cmp(sm_column_value(a, i), sm_column_value(b, j));
}
