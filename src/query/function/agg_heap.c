/* SPDX-License-Identifier: Apache-2.0
 *
 * query/function/agg_heap.c: the memory that aggregates need beside their states; and what all of
 * them use: flat copies of columns, and cells that hold one value.
 *
 * Heap     Blocks that double from 1 KiB to 256 KiB and are handed out from their beginning;
 *          nothing is given back before the whole heap goes. A partition of few groups stays small,
 *          and one of a million asks the budget seldom.
 * Text     A cell's text is copied into a room of 16, 32, 64 … bytes, and the next text overwrites
 *          it where it fits there: a maximum that is replaced often wastes at most as many bytes as
 *          its longest text has. */
#include "query/function/agg_int.h"

#define FIRST_BLOCK_BYTES ((size_t)1 << 10)
#define MAX_BLOCK_BYTES   ((size_t)1 << 18)
#define MIN_TEXT_BYTES    16

struct sm_agg_heap {
    sm_budget *budget;
    sm_block **blocks;
    int64_t n_blocks, cap_blocks;
    size_t used_bytes;  /* of `data`, the block that is being filled */
    size_t block_bytes; /* the size of that block */
    uint8_t *data;
    size_t total_bytes;
};

sm_agg_heap *sm_agg_heap_new(sm_budget *budget)
{
    sm_agg_heap *h = sm_alloc_zero(sizeof(*h));
    h->budget = budget;
    return h;
}

void sm_agg_heap_free(sm_agg_heap *h)
{
    if (!h) {
        return;
    }
    for (int64_t i = 0; i < h->n_blocks; i++) {
        sm_block_release(h->blocks[i]);
    }
    sm_free(h->blocks);
    sm_free(h);
}

size_t sm_agg_heap_bytes(const sm_agg_heap *h)
{
    return h->total_bytes;
}

sm_budget *smi_heap_budget(const sm_agg_heap *h)
{
    return h ? h->budget : NULL;
}

static sm_status add_block(sm_agg_heap *h, size_t bytes, sm_block **out, sm_error *e)
{
    SM_ASSERT(bytes % 16 == 0);
    SM_TRY(sm_block_new(h->budget, bytes, out, e));
    if (h->n_blocks == h->cap_blocks) {
        h->cap_blocks = h->cap_blocks ? 2 * h->cap_blocks : 4;
        h->blocks = sm_realloc(h->blocks, (size_t)h->cap_blocks * sizeof(sm_block *));
    }
    h->blocks[h->n_blocks++] = *out;
    h->total_bytes += bytes;
    return SM_OK;
}

sm_status smi_heap_alloc(sm_agg_heap *h, size_t bytes, void **out, sm_error *e)
{
    sm_block *block = NULL;
    const size_t need = bytes > 0 ? (bytes + 15) & ~(size_t)15 : 16; /* nothing has a place too */
    if (need < bytes) {
        return sm_fail(e, SM_NOMEM, "%zu bytes cannot be addressed", bytes);
    }
    SM_ASSERT(h->used_bytes <= h->block_bytes && h->used_bytes % 16 == 0);
    if (need <= h->block_bytes - h->used_bytes) {
        *out = h->data + h->used_bytes;
        h->used_bytes += need;
        memset(*out, 0, need);
        return SM_OK;
    }
    if (need > MAX_BLOCK_BYTES / 4) { /* a block of its own; the one being filled stays */
        SM_TRY(add_block(h, need, &block, e));
        *out = block->data;
        memset(*out, 0, need);
        return SM_OK;
    }
    size_t size = h->block_bytes ? 2 * h->block_bytes : FIRST_BLOCK_BYTES;
    while (size < need) {
        size *= 2;
    }
    size = size > MAX_BLOCK_BYTES ? MAX_BLOCK_BYTES : size;
    SM_ASSERT(size >= need); /* need is a quarter of the largest block at most */
    SM_TRY(add_block(h, size, &block, e));
    h->data = block->data;
    h->block_bytes = size;
    h->used_bytes = need;
    *out = h->data;
    memset(*out, 0, need);
    return SM_OK;
}

/* ---- flat columns --------------------------------------------------------------------------- */

sm_status smi_flat(const sm_column *c, sm_budget *budget, sm_column *out, sm_block **mem,
                   sm_error *e)
{
    const int64_t n = c->n_rows;
    *mem = NULL;
    *out = *c;
    if (c->layout == SM_FLAT || c->type->id == SM_TYPE_NULL) {
        return SM_OK;
    }
    const bool is_dict = c->layout == SM_DICT;
    const sm_column *const from = is_dict ? c->children : c;
    const bool is_bool = c->type->id == SM_TYPE_BOOL;
    const size_t width = (size_t)sm_type_bytes(c->type->id);
    SM_ASSERT(is_bool || width > 0); /* scalar types only */
    SM_ASSERT(from->layout == (is_dict ? SM_FLAT : SM_CONST));
    const size_t bits = (sm_bits_bytes(n) + 15) & ~(size_t)15;
    SM_TRY(sm_block_new(budget, bits + (is_bool ? bits : (size_t)n * width), mem, e));
    uint8_t *const valid = (*mem)->data, *const values = valid + bits;
    memset(valid, 0, (*mem)->size_bytes);
    for (int64_t i = 0; i < n; i++) {
        const int64_t at = is_dict ? ((const int32_t *)c->values)[i] : 0;
        if (c->validity && !sm_bit_get(c->validity, is_dict ? i : 0)) {
            continue;
        }
        SM_ASSERT(at >= 0 && (!is_dict || at < from->n_rows));
        sm_bit_set(valid, i);
        if (!is_bool) {
            memcpy(values + (size_t)i * width, (const uint8_t *)from->values + (size_t)at * width,
                   width);
        } else if (sm_bit_get(from->values, at)) {
            sm_bit_set(values, i);
        }
    }
    *out = (sm_column){.type = c->type,
                       .n_rows = n,
                       .validity = c->validity ? valid : NULL,
                       .values = values,
                       .heap = from->heap,
                       .n_heap = from->n_heap};
    return SM_OK;
}

/* ---- cells ---------------------------------------------------------------------------------- */

typedef enum cell_kind { SIGNED, UNSIGNED, FLOATING, DECIMAL, TEXT } cell_kind;

static cell_kind cell_kind_of(const sm_type *t)
{
    SM_ASSERT(!sm_type_is_nested(t->id) && t->id != SM_TYPE_NULL);
    switch (t->id) {
    case SM_TYPE_U8:
    case SM_TYPE_U16:
    case SM_TYPE_U32:
    case SM_TYPE_U64:
        return UNSIGNED;
    case SM_TYPE_F32:
    case SM_TYPE_F64:
        return FLOATING;
    case SM_TYPE_DECIMAL:
        return DECIMAL;
    case SM_TYPE_STRING:
    case SM_TYPE_BINARY:
        return TEXT;
    default:
        return SIGNED;
    }
}

smi_cell smi_cell_view(const sm_column *c, int64_t i)
{
    smi_cell cell = {0};
    SM_ASSERT(c->layout == SM_FLAT && i < c->n_rows);
    switch (cell_kind_of(c->type)) {
    case SIGNED:
        cell.fixed.v.i = c->type->id == SM_TYPE_BOOL ? smi_bool_at(c, i) : smi_i64_at(c, i);
        cell.fixed.has = 1;
        break;
    case UNSIGNED: /* of 64 bits too: the same ones */
        cell.fixed.v.u = (uint64_t)smi_i64_at(c, i);
        cell.fixed.has = 1;
        break;
    case FLOATING:
        cell.fixed.v.f = smi_f64_at(c, i);
        cell.fixed.has = 1;
        break;
    case DECIMAL: {
        const sm_i128 v = smi_i128_at(c, i);
        cell.decimal = v == 0 ? SMI_WIDE_ZERO : v;
        break;
    }
    case TEXT: {
        const sm_str s = smi_str_at(c, i);
        cell.text.bytes = (uint8_t *)s.data;
        cell.text.len = (uint32_t)s.len;
        break;
    }
    }
    return cell;
}

sm_status smi_cell_copy(smi_cell *cell, const smi_cell *from, const sm_type *t, sm_agg_heap *h,
                        sm_error *e)
{
    SM_ASSERT(smi_cell_has(from) || cell_kind_of(t) == TEXT); /* an empty text may be all zero */
    if (cell_kind_of(t) != TEXT) {
        *cell = *from;
        return SM_OK;
    }
    const uint32_t len = from->text.len;
    SM_ASSERT(len <= INT32_MAX && cell->text.len <= cell->text.cap);
    if (!cell->text.bytes || cell->text.cap < len) {
        void *bytes = NULL;
        uint32_t cap = MIN_TEXT_BYTES;
        while (cap < len) { /* ends, as a length is below 2^31 */
            cap *= 2;
        }
        SM_TRY(smi_heap_alloc(h, cap, &bytes, e));
        cell->text.bytes = bytes;
        cell->text.cap = cap;
    }
    if (len > 0) {
        memcpy(cell->text.bytes, from->text.bytes, len);
    }
    cell->text.len = len;
    return SM_OK;
}

sm_status smi_cell_set(smi_cell *cell, const sm_column *c, int64_t i, sm_agg_heap *h, sm_error *e)
{
    const smi_cell view = smi_cell_view(c, i);
    return smi_cell_copy(cell, &view, c->type, h, e);
}

static int cmp_f64(double a, double b)
{
    if (a != a || b != b) {
        return (a != a) - (b != b);
    }
    return (a > b) - (a < b);
}

int smi_cell_cmp(const smi_cell *a, const smi_cell *b, const sm_type *t)
{
    switch (cell_kind_of(t)) {
    case SIGNED:
        return (a->fixed.v.i > b->fixed.v.i) - (a->fixed.v.i < b->fixed.v.i);
    case UNSIGNED:
        return (a->fixed.v.u > b->fixed.v.u) - (a->fixed.v.u < b->fixed.v.u);
    case FLOATING:
        return cmp_f64(a->fixed.v.f, b->fixed.v.f);
    case DECIMAL: {
        const sm_i128 x = a->decimal == SMI_WIDE_ZERO ? 0 : a->decimal;
        const sm_i128 y = b->decimal == SMI_WIDE_ZERO ? 0 : b->decimal;
        return (x > y) - (x < y);
    }
    case TEXT: {
        const int c = sm_str_cmp((sm_str){(const char *)a->text.bytes, a->text.len},
                                 (sm_str){(const char *)b->text.bytes, b->text.len});
        return (c > 0) - (c < 0);
    }
    }
    return 0;
}

void smi_cell_append(const smi_cell *cell, const sm_type *t, sm_builder *out)
{
    if (!smi_cell_has(cell)) {
        sm_builder_null(out);
        return;
    }
    switch (cell_kind_of(t)) {
    case SIGNED:
        if (t->id == SM_TYPE_BOOL) {
            sm_builder_bool(out, cell->fixed.v.i != 0);
        } else {
            sm_builder_i64(out, cell->fixed.v.i);
        }
        break;
    case UNSIGNED:
        sm_builder_u64(out, cell->fixed.v.u);
        break;
    case FLOATING:
        sm_builder_f64(out, cell->fixed.v.f);
        break;
    case DECIMAL:
        sm_builder_i128(out, cell->decimal == SMI_WIDE_ZERO ? 0 : cell->decimal);
        break;
    case TEXT:
        sm_builder_str(out, (sm_str){(const char *)cell->text.bytes, cell->text.len});
        break;
    }
}

/* ---- many rows ------------------------------------------------------------------------------- */

sm_status smi_agg_update_all(const sm_expr *call, const sm_column *args, int32_t n_args,
                             int64_t n_rows, void *const *states, sm_agg_heap *heap, sm_error *e)
{
    const sm_aggregate *const agg = call->fn->aggregate;
    SM_ASSERT(agg != NULL && heap != NULL);
    _Static_assert(SM_LOOK_ROWS % 8 == 0, "sm_column_part() begins at a byte of the bitmap");
    if (n_rows <= SM_LOOK_ROWS) {
        return agg->update(call, args, n_args, n_rows, states, heap, e);
    }
    sm_arena *const a = sm_arena_new(NULL);
    sm_column *const part = SM_NEW_ARRAY(a, sm_column, n_args + 1);
    sm_status st = SM_OK;
    for (int64_t at = 0; at < n_rows && st == SM_OK; at += SM_LOOK_ROWS) {
        const int64_t n = n_rows - at < SM_LOOK_ROWS ? n_rows - at : SM_LOOK_ROWS;
        for (int32_t k = 0; k < n_args; k++) {
            part[k] = sm_column_part(&args[k], at, n, a);
        }
        st = sm_check_cancel(heap->budget, e);
        st = st == SM_OK ? agg->update(call, part, n_args, n, states + at, heap, e) : st;
    }
    sm_arena_free(a);
    return st;
}
