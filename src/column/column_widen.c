/* SPDX-License-Identifier: Apache-2.0
 *
 * column/column_widen.c: converts unsigned integers for formats that have none, such as Delta.
 *
 * Types    UTINYINT becomes SMALLINT, USMALLINT becomes INTEGER, UINTEGER becomes BIGINT, UBIGINT
 *          becomes DECIMAL(20,0), also inside lists, structs and maps.
 * Errors   Every value fits into the new type. So a conversion fails only if memory runs out. */
#include "column/column_int.h"

static const sm_type decimal20 = {.id = SM_TYPE_DECIMAL, .precision = 20};

const sm_type *sm_type_widen(sm_arena *a, const sm_type *t)
{
    switch (t->id) {
    case SM_TYPE_U8:
        return &sm_type_i16;
    case SM_TYPE_U16:
        return &sm_type_i32;
    case SM_TYPE_U32:
        return &sm_type_i64;
    case SM_TYPE_U64:
        return &decimal20;
    default:
        break;
    }
    if (!sm_type_is_nested(t->id)) {
        return t;
    }
    sm_field *fields = SM_NEW_ARRAY(a, sm_field, t->n_fields + 1);
    bool is_same = true;
    for (int32_t i = 0; i < t->n_fields; i++) {
        fields[i] = t->fields[i];
        fields[i].type = sm_type_widen(a, t->fields[i].type);
        is_same = is_same && fields[i].type == t->fields[i].type;
    }
    if (is_same) {
        return t;
    }
    sm_type *wide = SM_NEW(a, sm_type);
    *wide = *t;
    wide->fields = fields;
    return wide;
}

static void widen_values(const sm_column *src, int64_t n, void *to)
{
    switch (src->type->id) {
    case SM_TYPE_U8:
        for (int64_t i = 0; i < n; i++) {
            ((int16_t *)to)[i] = ((const uint8_t *)src->values)[i];
        }
        break;
    case SM_TYPE_U16:
        for (int64_t i = 0; i < n; i++) {
            ((int32_t *)to)[i] = ((const uint16_t *)src->values)[i];
        }
        break;
    case SM_TYPE_U32:
        for (int64_t i = 0; i < n; i++) {
            ((int64_t *)to)[i] = ((const uint32_t *)src->values)[i];
        }
        break;
    default:
        SM_ASSERT(src->type->id == SM_TYPE_U64);
        for (int64_t i = 0; i < n; i++) {
            ((sm_i128 *)to)[i] = ((const uint64_t *)src->values)[i];
        }
        break;
    }
}

sm_status sm_column_widen(const sm_column *src, const sm_type *to, sm_batch *into, sm_column *out,
                          sm_error *e)
{
    sm_column c = *src;
    void *mem = NULL;
    if (sm_type_eq(src->type, to)) {
        *out = c;
        return SM_OK;
    }
    if (c.layout == SM_DICT) {
        SM_TRY(sm_column_flatten(src, into, &c, e));
    }
    *out = c;
    out->type = to;
    if (sm_type_is_nested(to->id)) {
        SM_TRY(sm_batch_alloc(into, (size_t)c.n_children * sizeof(sm_column), &mem, e));
        for (int32_t i = 0; i < c.n_children; i++) {
            SM_TRY(
                sm_column_widen(&c.children[i], to->fields[i].type, into, (sm_column *)mem + i, e));
        }
        out->children = mem;
        return SM_OK;
    }
    const int64_t n = smi_physical_rows(&c);
    SM_TRY(sm_batch_alloc(into, (size_t)n * (size_t)sm_type_bytes(to->id) + 1, &mem, e));
    widen_values(&c, n, mem);
    out->values = mem;
    return SM_OK;
}
