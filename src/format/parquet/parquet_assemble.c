/* SPDX-License-Identifier: Apache-2.0
 *
 * format/parquet/parquet_assemble.c: makes nested columns from the levels and values of leaves.
 *
 * Method   Walks the tree of shapes. Each node reads the levels of one leaf below it:
 *            a slot begins    where the repetition level is at most slot_rep and the definition
 *                             level at least slot_def
 *            it has a value   where the definition level is at least def
 *            an element of a list begins
 *                             where the repetition level is at most item_rep and the definition
 *                             level at least item_def
 *          All leaves below a node must give the same answer. That is checked, so that in a damaged
 *          file keys are not paired with the values of another row.
 * Source   Melnik et al., Dremel, VLDB 2010; apache/arrow's documentation of the same method
 *
 * Called by parquet_reader.c. */

#include "format/parquet/parquet_int.h"

/* A leaf's levels as one node sees them. */
typedef struct level_view {
    const uint8_t *def, *rep;
    int64_t n;
} level_view;

static level_view levels_of(const smi_pq_leaf *l)
{
    SM_ASSERT(l->defs.n_bytes == (size_t)l->n_levels && l->reps.n_bytes == (size_t)l->n_levels);
    return (level_view){l->defs.data, l->reps.data, l->n_levels};
}

static bool is_slot(const smi_pq_shape *s, const level_view *v, int64_t i)
{
    return v->rep[i] <= s->slot_rep && v->def[i] >= s->slot_def;
}

static int64_t count_slots(const smi_pq_shape *s, const level_view *v)
{
    int64_t n = 0;
    for (int64_t i = 0; i < v->n; i++) {
        n += is_slot(s, v, i);
    }
    return n;
}

static sm_status fail_levels(const smi_pq_leaf *l, sm_error *e)
{
    const sm_status st =
        sm_fail(e, SM_CORRUPT, "levels of column \"%.*s\" do not fit those of its siblings",
                SM_STR_ARG(l->node->name));
    sm_error_place(e, l->pages.file, 0, (int64_t)l->pages.off_bytes);
    return st;
}

/* Sets the bits of slots that have a value; returns their number. */
static int64_t slot_bits(const smi_pq_shape *s, const level_view *v, uint8_t *bits)
{
    int64_t slot = 0, n_set = 0;
    for (int64_t i = 0; i < v->n; i++) {
        if (is_slot(s, v, i)) {
            if (v->def[i] >= s->def) {
                sm_bit_set(bits, slot);
                n_set++;
            }
            slot++;
        }
    }
    return n_set;
}

/* ---- nulls ----------------------------------------------------------------------------------- */

/* Makes a column of nulls. */
static sm_status null_column(const sm_type *t, int64_t n_rows, sm_batch *into, sm_column *out,
                             sm_error *e)
{
    SM_ASSERT(n_rows >= 0);
    void *validity = NULL, *values = NULL, *children = NULL;
    *out = (sm_column){.type = t, .n_rows = n_rows};
    if (t->id == SM_TYPE_NULL) {
        return SM_OK;
    }
    SM_TRY(sm_batch_alloc(into, sm_bits_bytes(n_rows), &validity, e));
    out->validity = validity;
    size_t bytes = t->id == SM_TYPE_BOOL ? sm_bits_bytes(n_rows)
                                         : (size_t)n_rows * (size_t)sm_type_bytes(t->id);
    const bool has_offsets = t->id == SM_TYPE_LIST || t->id == SM_TYPE_MAP;
    if (has_offsets) {
        bytes = (size_t)(n_rows + 1) * sizeof(int32_t);
    }
    if (t->id != SM_TYPE_STRUCT) {
        SM_TRY(sm_batch_alloc(into, bytes, &values, e));
        out->values = values;
    }
    if (!sm_type_is_nested(t->id)) {
        return SM_OK;
    }
    SM_TRY(sm_batch_alloc(into, (size_t)t->n_fields * sizeof(sm_column), &children, e));
    out->children = children;
    out->n_children = t->n_fields;
    for (int32_t i = 0; i < t->n_fields; i++) {
        SM_TRY(null_column(t->fields[i].type, has_offsets ? 0 : n_rows, into,
                           (sm_column *)children + i, e));
    }
    return SM_OK;
}

/* ---- the walk -------------------------------------------------------------------------------- */

static sm_status assemble(const smi_pq_shape *s, smi_pq_leaf *const *leaves, int64_t n_slots,
                          sm_batch *into, sm_column *out, sm_error *e);

static sm_status assemble_leaf(const smi_pq_shape *s, const smi_pq_leaf *l, int64_t n_slots,
                               sm_batch *into, sm_column *out, sm_error *e)
{
    const level_view v = levels_of(l);
    uint8_t *bits = NULL;
    void *values = NULL;
    SM_ASSERT(l->convert == &s->convert); /* the leaf's values are this shape's */
    SM_TRY(smi_pq_alloc_bits(into, n_slots, &bits, e));
    const int64_t n_set = slot_bits(s, &v, bits);
    SM_ASSERT(n_set == l->n_values);
    out->validity = n_set < n_slots ? bits : NULL;
    if (s->type->id == SM_TYPE_BOOL) {
        void *bytes = NULL;
        uint8_t *packed = NULL;
        SM_TRY(sm_batch_alloc(into, (size_t)n_slots, &bytes, e));
        smi_pq_spread(l->values.data, bytes, 1, bits, 0, n_slots, n_set);
        SM_TRY(smi_pq_alloc_bits(into, n_slots, &packed, e));
        smi_pq_pack_bools(bytes, n_slots, packed);
        out->values = packed;
        return SM_OK;
    }
    SM_TRY(sm_batch_alloc(into, (size_t)n_slots * (size_t)l->value_bytes, &values, e));
    smi_pq_spread(l->values.data, values, l->value_bytes, bits, 0, n_slots, n_set);
    out->values = values;
    return sm_type_is_bytes(s->type->id) ? smi_pq_leaf_heap(l, out, e) : SM_OK;
}

static sm_status add_children(const smi_pq_shape *s, sm_batch *into, sm_column *out, sm_column **to,
                              sm_error *e)
{
    void *children = NULL;
    SM_TRY(sm_batch_alloc(into, (size_t)s->n_children * sizeof(sm_column), &children, e));
    out->children = children;
    out->n_children = s->n_children;
    *to = children;
    return SM_OK;
}

/* Do a leaf's levels give the same answer for a shape as `want`? */
typedef bool (*agree_fn)(const smi_pq_shape *s, const level_view *v, const void *want);

/* What one leaf says of a node's slots; the other leaves below the node must agree. */
typedef struct claim {
    const smi_pq_shape *shape;
    int64_t n_slots;
    agree_fn agrees;
    const void *want;
} claim;

/* Fails unless all leaves at and below `below` agree with the claim. */
static sm_status check_leaves(const claim *c, const smi_pq_shape *below, smi_pq_leaf *const *leaves,
                              sm_error *e)
{
    if (below->kind == SMI_PQ_SHAPE_LEAF && below->leaf != c->shape->leaf) {
        const level_view v = levels_of(leaves[below->leaf]);
        if (count_slots(c->shape, &v) != c->n_slots || !c->agrees(c->shape, &v, c->want)) {
            return fail_levels(leaves[below->leaf], e);
        }
    }
    for (int32_t i = 0; i < below->n_children; i++) {
        SM_TRY(check_leaves(c, &below->children[i], leaves, e));
    }
    return SM_OK;
}

static bool agrees_on_bits(const smi_pq_shape *s, const level_view *v, const void *want)
{
    const uint8_t *bits = want;
    int64_t slot = 0;
    for (int64_t i = 0; i < v->n; i++) {
        if (is_slot(s, v, i) && sm_bit_get(bits, slot++) != (v->def[i] >= s->def)) {
            return false;
        }
    }
    return true;
}

static sm_status assemble_struct(const smi_pq_shape *s, smi_pq_leaf *const *leaves, int64_t n_slots,
                                 sm_batch *into, sm_column *out, sm_error *e)
{
    const level_view v = levels_of(leaves[s->leaf]);
    uint8_t *bits = NULL;
    sm_column *children = NULL;
    SM_TRY(add_children(s, into, out, &children, e));
    SM_TRY(smi_pq_alloc_bits(into, n_slots, &bits, e));
    const int64_t n_set = slot_bits(s, &v, bits);
    out->validity = n_set < n_slots ? bits : NULL;
    for (int32_t i = 0; i < s->n_children; i++) {
        SM_TRY(assemble(&s->children[i], leaves, n_slots, into, &children[i], e));
    }
    const claim c = {s, n_slots, agrees_on_bits, bits};
    return check_leaves(&c, s, leaves, e);
}

/* Finds the offsets of a list's slots, and sets the bits of those that are not null. false where a
 * level continues a list that was not begun, or where there are too many elements. */
static bool list_offsets(const smi_pq_shape *s, const level_view *v, int32_t *offsets,
                         uint8_t *bits, int64_t *n_set)
{
    int64_t slot = 0, n_items = 0, begun = 0;
    for (int64_t i = 0; i < v->n; i++) {
        const bool has_item = v->def[i] >= s->item_def;
        if (is_slot(s, v, i)) {
            offsets[slot] = (int32_t)n_items;
            begun = n_items;
            if (v->def[i] >= s->def) {
                sm_bit_set(bits, slot);
                ++*n_set;
            }
            slot++;
            n_items += has_item;
        } else if (v->rep[i] > s->slot_rep) {
            if (!has_item || n_items == begun) {
                return false;
            }
            n_items += v->rep[i] <= s->item_rep;
        }
        if (n_items > INT32_MAX) {
            return false;
        }
    }
    offsets[slot] = (int32_t)n_items;
    return true;
}

static bool agrees_on_offsets(const smi_pq_shape *s, const level_view *v, const void *want)
{
    const int32_t *offsets = want;
    int64_t slot = 0, n_items = 0;
    for (int64_t i = 0; i < v->n; i++) {
        if (is_slot(s, v, i) && offsets[slot++] != n_items) {
            return false;
        }
        n_items += v->rep[i] <= s->item_rep && v->def[i] >= s->item_def;
    }
    return offsets[slot] == n_items;
}

static sm_status assemble_list(const smi_pq_shape *s, smi_pq_leaf *const *leaves, int64_t n_slots,
                               sm_batch *into, sm_column *out, sm_error *e)
{
    const level_view v = levels_of(leaves[s->leaf]);
    uint8_t *bits = NULL;
    void *offsets = NULL;
    sm_column *children = NULL;
    int64_t n_set = 0;
    SM_TRY(add_children(s, into, out, &children, e));
    SM_TRY(smi_pq_alloc_bits(into, n_slots, &bits, e));
    SM_TRY(sm_batch_alloc(into, (size_t)(n_slots + 1) * sizeof(int32_t), &offsets, e));
    if (!list_offsets(s, &v, offsets, bits, &n_set)) {
        return fail_levels(leaves[s->leaf], e);
    }
    out->validity = n_set < n_slots ? bits : NULL;
    out->values = offsets;
    const claim c = {s, n_slots, agrees_on_offsets, offsets};
    SM_TRY(check_leaves(&c, s, leaves, e));
    const int64_t n_items = ((const int32_t *)offsets)[n_slots];
    for (int32_t i = 0; i < s->n_children; i++) {
        SM_TRY(assemble(&s->children[i], leaves, n_items, into, &children[i], e));
    }
    return SM_OK;
}

static sm_status assemble_variant(const smi_pq_shape *s, smi_pq_leaf *const *leaves,
                                  int64_t n_slots, sm_batch *into, sm_column *out, sm_error *e)
{
    sm_column group = {0};

    SM_ASSERT(s->n_children == 1 && s->children[0].kind == SMI_PQ_SHAPE_STRUCT);
    SM_TRY(assemble(&s->children[0], leaves, n_slots, into, &group, e));
    const sm_status st = smi_pq_variant_texts(&group, into, out, e);
    return sm_within(e, st, "column %.*s", SM_STR_ARG(s->path));
}

static sm_status assemble(const smi_pq_shape *s, smi_pq_leaf *const *leaves, int64_t n_slots,
                          sm_batch *into, sm_column *out, sm_error *e)
{
    if (s->kind == SMI_PQ_SHAPE_MISSING) {
        return null_column(s->type, n_slots, into, out, e);
    }
    SM_ASSERT(s->leaf >= 0 && s->slot_def <= s->def);
    const smi_pq_leaf *l = leaves[s->leaf];
    const level_view v = levels_of(l);
    if (count_slots(s, &v) != n_slots) {
        return fail_levels(l, e);
    }
    *out = (sm_column){.type = s->type, .n_rows = n_slots};
    switch (s->kind) {
    case SMI_PQ_SHAPE_LEAF:
        return assemble_leaf(s, l, n_slots, into, out, e);
    case SMI_PQ_SHAPE_STRUCT:
        return assemble_struct(s, leaves, n_slots, into, out, e);
    case SMI_PQ_SHAPE_VARIANT:
        return assemble_variant(s, leaves, n_slots, into, out, e);
    default:
        return assemble_list(s, leaves, n_slots, into, out, e);
    }
}

sm_status smi_pq_assemble(const smi_pq_shape *shape, smi_pq_leaf *const *leaves, int64_t n_rows,
                          sm_batch *into, sm_column *out, sm_error *e)
{
    return assemble(shape, leaves, n_rows, into, out, e);
}
