/* SPDX-License-Identifier: Apache-2.0
 *
 * column/column_check.c: checks that columns and batches keep the invariants of column.h. Debug
 * builds check each batch that leaves an operator; tests check after each step.
 *
 * Deep     The plain check reads lengths, offsets, codes and views, so that no kernel can read
 *          beyond its memory. A deep check also reads the values: strings are UTF-8, null rows are
 *          zero, decimals have no more digits than their type. */
#include "base/text.h"
#include "column/column_int.h"

#define REFUSE(cond, reason)                                                                       \
    do {                                                                                           \
        if (cond) {                                                                                \
            *why = (reason);                                                                       \
            return false;                                                                          \
        }                                                                                          \
    } while (0)

static bool is_valid(const sm_column *c, int64_t i)
{
    return !c->validity || sm_bit_get(c->validity, i);
}

static bool check_views(const sm_column *c, int64_t n, bool deep, const char **why)
{
    static const uint8_t zeros[SM_VIEW_INLINE];
    for (int64_t i = 0; i < n; i++) {
        const sm_view *v = &smi_views(c)[i];
        const int32_t len = v->inlined.len;
        REFUSE(len < 0, "a view has a negative length");
        if (len <= SM_VIEW_INLINE) {
            REFUSE(memcmp(v->inlined.bytes + len, zeros, (size_t)(SM_VIEW_INLINE - len)) != 0,
                   "the rest of an inline view is not zero");
        } else {
            REFUSE(v->ref.buffer < 0 || v->ref.buffer >= c->n_heap,
                   "a view points to a buffer that is not there");
            REFUSE(v->ref.off_bytes < 0 ||
                       (int64_t)v->ref.off_bytes + len > c->heap[v->ref.buffer].size_bytes,
                   "a view points beyond its buffer");
            REFUSE(memcmp(v->ref.prefix, c->heap[v->ref.buffer].data + v->ref.off_bytes, 4) != 0,
                   "the prefix of a view differs from its bytes");
        }
        if (deep && c->type->id == SM_TYPE_STRING) {
            const sm_str s = sm_view_str(v, c->heap);
            REFUSE(sm_utf8_check(s.data, s.len) != s.len, "a string is not UTF-8");
        }
        REFUSE(deep && !is_valid(c, i) && (v->words[0] | v->words[1]) != 0,
               "the view of a null row is not zero");
    }
    return true;
}

static bool check_fixed(const sm_column *c, int64_t n, const char **why)
{
    static const uint8_t zeros[16];
    const int width = sm_type_bytes(c->type->id);
    sm_i128 limit = 1;
    for (int i = 0; i < c->type->precision; i++) {
        limit *= 10;
    }
    for (int64_t i = 0; i < n; i++) {
        const uint8_t *at = (const uint8_t *)c->values + i * width;
        REFUSE(!is_valid(c, i) && memcmp(at, zeros, (size_t)width) != 0,
               "the value of a null row is not zero");
        if (c->type->id == SM_TYPE_DECIMAL) {
            sm_i128 v;
            memcpy(&v, at, sizeof(v));
            REFUSE(v >= limit || v <= -limit, "a decimal has more digits than its type");
        }
    }
    return true;
}

static bool check_dict(const sm_column *c, bool deep, const char **why)
{
    REFUSE(c->n_children != 1, "a dictionary column has no dictionary");
    const sm_column *dict = &c->children[0];
    REFUSE(!dict->type || !sm_type_eq(dict->type, c->type), "a dictionary has another type");
    REFUSE(dict->layout != SM_FLAT, "a dictionary is not flat");
    REFUSE(sm_column_null_count(dict) > 0, "a dictionary has null entries");
    REFUSE(c->n_rows > 0 && !c->values, "a dictionary column has no codes");
    for (int64_t i = 0; i < c->n_rows; i++) {
        const int32_t code = smi_i32(c)[i];
        if (is_valid(c, i)) {
            REFUSE(code < 0 || code >= dict->n_rows, "a code is not in the dictionary");
        } else {
            REFUSE(code != 0, "the code of a null row is not zero");
        }
    }
    return sm_column_validate(dict, deep, why);
}

static bool check_list(const sm_column *c, int64_t n, bool deep, const char **why)
{
    const bool is_map = c->type->id == SM_TYPE_MAP;
    REFUSE(c->n_children != c->type->n_fields, "a list or map has the wrong number of children");
    for (int32_t k = 0; k < c->n_children; k++) {
        const sm_column *child = &c->children[k];
        REFUSE(!child->type || !sm_type_eq(child->type, c->type->fields[k].type),
               "a child has another type than its field");
        REFUSE(is_map && child->layout != SM_FLAT, "the keys or values of a map are not flat");
        REFUSE(child->n_rows != c->children[0].n_rows, "keys and values differ in number");
    }
    REFUSE(n > 0 && !c->values, "a list or map has no offsets");
    for (int64_t i = 0; i < n; i++) {
        const int32_t from = smi_i32(c)[i], to = smi_i32(c)[i + 1];
        REFUSE(from < 0 || to < from || to > c->children[0].n_rows, "offsets fall or overrun");
        REFUSE(deep && !is_valid(c, i) && to != from, "a null list has elements");
    }
    for (int32_t k = 0; k < c->n_children; k++) {
        if (!sm_column_validate(&c->children[k], deep, why)) {
            return false;
        }
    }
    return true;
}

static bool check_struct(const sm_column *c, int64_t n, bool deep, const char **why)
{
    REFUSE(c->n_children != c->type->n_fields, "a struct has the wrong number of children");
    for (int32_t k = 0; k < c->n_children; k++) {
        const sm_column *child = &c->children[k];
        REFUSE(!child->type || !sm_type_eq(child->type, c->type->fields[k].type),
               "a child has another type than its field");
        REFUSE(child->n_rows != n, "a struct's child has another number of rows");
        if (!sm_column_validate(child, deep, why)) {
            return false;
        }
        for (int64_t i = 0; deep && i < n; i++) {
            REFUSE(!is_valid(c, i) && !sm_column_is_null(child, i),
                   "the child of a null struct is not null");
        }
    }
    return true;
}

bool sm_column_validate(const sm_column *c, bool deep, const char **why)
{
    REFUSE(!c->type, "a column has no type");
    REFUSE(c->n_rows < 0, "a column has a negative number of rows");
    REFUSE(c->layout != SM_FLAT && c->layout != SM_CONST && c->layout != SM_DICT,
           "a column has no such layout");
    REFUSE(c->n_children > 0 && !c->children, "children are missing");
    REFUSE(c->n_heap > 0 && !c->heap, "heap buffers are missing");
    if (c->layout == SM_DICT) {
        return check_dict(c, deep, why);
    }
    const int64_t n = smi_physical_rows(c);
    switch (c->type->id) {
    case SM_TYPE_NULL:
        return true;
    case SM_TYPE_LIST:
    case SM_TYPE_MAP:
        return check_list(c, n, deep, why);
    case SM_TYPE_STRUCT:
        return check_struct(c, n, deep, why);
    default:
        break;
    }
    REFUSE(n > 0 && !c->values, "a column has no values");
    if (sm_type_is_bytes(c->type->id)) {
        return check_views(c, n, deep, why);
    }
    if (c->type->id == SM_TYPE_BOOL) {
        for (int64_t i = 0; deep && i < n; i++) {
            REFUSE(!is_valid(c, i) && sm_bit_get(c->values, i),
                   "the bit of a null row is not zero");
        }
        return true;
    }
    return !deep || check_fixed(c, n, why);
}

bool sm_batch_validate(const sm_batch *b, bool deep, const char **why)
{
    REFUSE(!b->schema || b->schema->id != SM_TYPE_STRUCT, "a batch's schema is not a struct");
    REFUSE(b->n_columns != b->schema->n_fields, "a batch has other columns than its schema");
    REFUSE(b->n_rows < 0, "a batch has a negative number of rows");
    for (int32_t i = 0; i < b->n_columns; i++) {
        const sm_column *c = &b->columns[i];
        REFUSE(!c->type || !sm_type_eq(c->type, b->schema->fields[i].type),
               "a column has another type than its field");
        REFUSE(c->n_rows != b->n_rows, "a column has another number of rows than its batch");
        if (!sm_column_validate(c, deep, why)) {
            return false;
        }
    }
    return true;
}
#undef REFUSE
