/* SPDX-License-Identifier: Apache-2.0
 *
 * column/builder.c: makes a column row by row.
 *
 * Method   A builder is a tree in the shape of its type, in one arena. Each node has growing arrays
 *          in blocks of the budget: values (or bits, views, offsets) and, from the first null on,
 *          validity. finish moves the blocks to a batch, without copying. The next round starts
 *          with room for as many rows as the last one had; so a loop of equal batches grows
 *          nothing.
 * Refusal  The root keeps the error of the first refused allocation. After it arrays do not grow: a
 *          row beyond their end is counted and dropped. So an append has only the branch that it
 *          needs anyway, `n_rows == cap_rows`, and finish returns the error.
 * Strings  of more than 12 bytes are copied into the node's own heap buffers (4 KiB, doubling to
 *          1 MiB), or stay in the caller's block (str_in). truncate frees the bytes of its rows. */
#include "column/builder.h"

#include "column/column_int.h"

#define MIN_ROWS         64
#define FIRST_HEAP_BYTES 4096
#define MAX_HEAP_BYTES   ((size_t)1 << 20)

typedef struct heap_block {
    sm_block *block;
    int64_t used_bytes; /* in a buffer of our own; the whole size of a retained block */
    bool is_own;
} heap_block;

typedef struct root {
    sm_arena *arena;
    sm_budget *budget;
    bool has_failed;
    sm_error error; /* the first refusal */
} root;

struct sm_builder {
    const sm_type *type;
    root *root;
    int64_t n_rows;
    int64_t cap_rows;
    int64_t hint_rows;
    int32_t width; /* bytes of a value; 0: bits, offsets or nothing */
    sm_block *values;
    sm_block *validity; /* NULL until the first null */
    heap_block *heap;
    int64_t n_heap, cap_heap;
    int64_t own; /* the heap buffer that takes bytes; −1: none */
    size_t next_heap_bytes;
    sm_builder *children;
    int32_t n_children;
};

/* ---- life ------------------------------------------------------------------------------------ */

static bool is_list(const sm_builder *b)
{
    return b->type->id == SM_TYPE_LIST || b->type->id == SM_TYPE_MAP;
}

static void init_node(sm_builder *b, const sm_type *t, root *r)
{
    b->type = t;
    b->root = r;
    b->width = sm_type_bytes(t->id);
    b->own = -1;
    b->next_heap_bytes = FIRST_HEAP_BYTES;
    b->n_children = t->n_fields;
    b->children = SM_NEW_ARRAY(r->arena, sm_builder, t->n_fields > 0 ? t->n_fields : 1);
    for (int32_t i = 0; i < t->n_fields; i++) {
        init_node(&b->children[i], t->fields[i].type, r);
    }
}

sm_builder *sm_builder_new(const sm_type *t, sm_budget *budget)
{
    sm_arena *arena = sm_arena_new(budget);
    root *r = SM_NEW(arena, root);
    sm_builder *b = SM_NEW(arena, sm_builder);
    r->arena = arena;
    r->budget = budget;
    init_node(b, t, r);
    return b;
}

/* Frees what was built; the tree stays. The next round starts with the sizes that this one reached,
 * or with small ones if it was refused memory. */
static void empty_node(sm_builder *b)
{
    size_t copied_bytes = 0;
    sm_block_release(b->values);
    sm_block_release(b->validity);
    for (int64_t i = 0; i < b->n_heap; i++) {
        copied_bytes += b->heap[i].is_own ? (size_t)b->heap[i].used_bytes : 0;
        sm_block_release(b->heap[i].block);
    }
    b->values = NULL;
    b->validity = NULL;
    b->n_heap = 0;
    b->own = -1;
    b->hint_rows = b->root->has_failed ? 0 : b->n_rows < SM_BATCH_ROWS ? b->n_rows : SM_BATCH_ROWS;
    b->next_heap_bytes = FIRST_HEAP_BYTES;
    while (!b->root->has_failed && b->next_heap_bytes < copied_bytes &&
           b->next_heap_bytes < MAX_HEAP_BYTES) {
        b->next_heap_bytes *= 2;
    }
    b->n_rows = 0;
    b->cap_rows = 0;
    for (int32_t i = 0; i < b->n_children; i++) {
        empty_node(&b->children[i]);
    }
}

static void release_heaps(sm_builder *b)
{
    sm_free(b->heap);
    for (int32_t i = 0; i < b->n_children; i++) {
        release_heaps(&b->children[i]);
    }
}

void sm_builder_free(sm_builder *b)
{
    if (!b) {
        return;
    }
    sm_arena *arena = b->root->arena;
    empty_node(b);
    release_heaps(b);
    sm_arena_free(arena);
}

int64_t sm_builder_rows(const sm_builder *b)
{
    return b->n_rows;
}

sm_builder *sm_builder_child(sm_builder *b, int32_t i)
{
    SM_ASSERT(i >= 0 && i < b->n_children);
    return &b->children[i];
}

/* ---- growing --------------------------------------------------------------------------------- */

static void keep_refusal(root *r, const sm_error *e)
{
    SM_ASSERT(!sm_status_is_answer(e->status));
    if (!r->has_failed) {
        r->has_failed = true;
        r->error = *e;
    }
}

static size_t values_bytes(const sm_builder *b, int64_t n_rows)
{
    if (b->type->id == SM_TYPE_BOOL) {
        return sm_bits_bytes(n_rows);
    }
    return is_list(b) ? ((size_t)n_rows + 1) * sizeof(int32_t) : (size_t)n_rows * (size_t)b->width;
}

/* Replaces *block by one of `bytes` that starts with its first `used` bytes. Every append writes a
 * whole value, so only bits and the first offset need zeros behind them (is_zeroed). */
static bool enlarge_block(sm_builder *b, sm_block **block, size_t used, size_t bytes,
                          bool is_zeroed)
{
    SM_ASSERT(used <= bytes);
    sm_error e = {0};
    sm_block *made = NULL;
    if (sm_block_new(b->root->budget, bytes, &made, &e) != SM_OK) {
        keep_refusal(b->root, &e);
        return false;
    }
    if (*block) {
        used = used < (*block)->size_bytes ? used : (*block)->size_bytes;
        memcpy(made->data, (*block)->data, used);
    } else {
        used = 0;
    }
    if (is_zeroed) {
        memset(made->data + used, 0, bytes - used);
    }
    sm_block_release(*block);
    *block = made;
    return true;
}

static bool grow_to(sm_builder *b, int64_t cap)
{
    const size_t bytes = values_bytes(b, cap);
    if (b->root->has_failed) {
        return false;
    }
    SM_ASSERT(cap >= b->n_rows);
    if (bytes > 0 &&
        !enlarge_block(b, &b->values, values_bytes(b, b->n_rows), bytes, b->width == 0)) {
        return false;
    }
    if (b->validity &&
        !enlarge_block(b, &b->validity, sm_bits_bytes(b->n_rows), sm_bits_bytes(cap), true)) {
        return false;
    }
    b->cap_rows = cap;
    return true;
}

/* Called when the arrays are full. */
static __attribute__((noinline)) bool grow_arrays(sm_builder *b)
{
    const int64_t least = b->hint_rows > MIN_ROWS ? b->hint_rows : MIN_ROWS;
    return grow_to(b, b->cap_rows > 0 ? 2 * b->cap_rows : least);
}

/* Makes room for a row; false if that was refused: the row is counted and must not be written.
 * After a refusal rows that still fit are written; that does no harm, as finish fails. */
static inline bool has_room(sm_builder *b)
{
    if (b->n_rows < b->cap_rows || grow_arrays(b)) {
        return true;
    }
    b->n_rows++;
    return false;
}

static bool make_validity(sm_builder *b)
{
    SM_ASSERT(!b->validity && b->n_rows <= b->cap_rows);
    if (!enlarge_block(b, &b->validity, 0, sm_bits_bytes(b->cap_rows), true)) {
        return false;
    }
    smi_bits_fill(b->validity->data, 0, b->n_rows, true);
    return true;
}

static inline void end_row(sm_builder *b)
{
    if (b->validity) {
        sm_bit_set(b->validity->data, b->n_rows);
    }
    b->n_rows++;
}

/* ---- appending ------------------------------------------------------------------------------- */

void sm_builder_bool(sm_builder *b, bool v)
{
    SM_ASSERT(b->type->id == SM_TYPE_BOOL);
    if (!has_room(b)) {
        return;
    }
    if (v) {
        sm_bit_set(b->values->data, b->n_rows);
    } else {
        sm_bit_clear(b->values->data, b->n_rows);
    }
    end_row(b);
}

void sm_builder_i64(sm_builder *b, int64_t v)
{
    if (!has_room(b)) {
        return;
    }
    void *const values = b->values->data;
    switch (b->width) {
    case 1:
        SM_ENSURE(v == (int8_t)v);
        ((int8_t *)values)[b->n_rows] = (int8_t)v;
        break;
    case 2:
        SM_ENSURE(v == (int16_t)v);
        ((int16_t *)values)[b->n_rows] = (int16_t)v;
        break;
    case 4:
        SM_ENSURE(v == (int32_t)v);
        ((int32_t *)values)[b->n_rows] = (int32_t)v;
        break;
    default:
        SM_ASSERT(b->width == 8);
        ((int64_t *)values)[b->n_rows] = v;
        break;
    }
    end_row(b);
}

void sm_builder_u64(sm_builder *b, uint64_t v)
{
    if (!has_room(b)) {
        return;
    }
    void *const values = b->values->data;
    switch (b->width) {
    case 1:
        SM_ENSURE(v <= UINT8_MAX);
        ((uint8_t *)values)[b->n_rows] = (uint8_t)v;
        break;
    case 2:
        SM_ENSURE(v <= UINT16_MAX);
        ((uint16_t *)values)[b->n_rows] = (uint16_t)v;
        break;
    case 4:
        SM_ENSURE(v <= UINT32_MAX);
        ((uint32_t *)values)[b->n_rows] = (uint32_t)v;
        break;
    default:
        SM_ASSERT(b->width == 8);
        ((uint64_t *)values)[b->n_rows] = v;
        break;
    }
    end_row(b);
}

void sm_builder_f64(sm_builder *b, double v)
{
    SM_ASSERT(b->type->id == SM_TYPE_F64 || b->type->id == SM_TYPE_F32);
    if (!has_room(b)) {
        return;
    }
    void *const values = b->values->data;
    if (b->width == 8) {
        ((double *)values)[b->n_rows] = v;
    } else {
        ((float *)values)[b->n_rows] = (float)v;
    }
    end_row(b);
}

void sm_builder_i128(sm_builder *b, sm_i128 v)
{
    SM_ASSERT(b->type->id == SM_TYPE_DECIMAL);
    if (!has_room(b)) {
        return;
    }
    memcpy(b->values->data + b->n_rows * 16, &v, sizeof(v));
    end_row(b);
}

/* ---- strings --------------------------------------------------------------------------------- */

static int32_t add_heap(sm_builder *b, sm_block *block, bool is_own)
{
    if (b->n_heap == b->cap_heap) {
        b->cap_heap = b->cap_heap ? 2 * b->cap_heap : 8;
        b->heap = sm_realloc(b->heap, (size_t)b->cap_heap * sizeof(b->heap[0]));
    }
    SM_ENSURE(b->n_heap < INT32_MAX);
    b->heap[b->n_heap] = (heap_block){
        .block = block,
        .used_bytes = is_own ? 0 : (int64_t)block->size_bytes,
        .is_own = is_own,
    };
    return (int32_t)b->n_heap++;
}

/* Opens an own buffer with room for `len` bytes; false where it was refused. Apart from the append,
 * which should not clear an sm_error for each string. */
static __attribute__((noinline)) bool open_heap(sm_builder *b, size_t len)
{
    sm_error e = {0};
    sm_block *block = NULL;
    if (b->root->has_failed) {
        return false;
    }
    if (len > INT32_MAX) {
        sm_fail(&e, SM_LIMIT, "a string of %zu bytes is too long for a column", len);
        keep_refusal(b->root, &e);
        return false;
    }
    if (sm_block_new(b->root->budget, len > b->next_heap_bytes ? len : b->next_heap_bytes, &block,
                     &e) != SM_OK) {
        keep_refusal(b->root, &e);
        return false;
    }
    b->next_heap_bytes *= b->next_heap_bytes < MAX_HEAP_BYTES ? 2 : 1;
    b->own = add_heap(b, block, true);
    return true;
}

static inline bool has_heap_room(const sm_builder *b, size_t len)
{
    if (b->own < 0) {
        return false;
    }
    const heap_block *own = &b->heap[b->own];
    return own->block->size_bytes - (size_t)own->used_bytes >= len;
}

static inline void end_view(sm_builder *b, sm_view v)
{
    ((sm_view *)(void *)b->values->data)[b->n_rows] = v;
    end_row(b);
}

sm_view sm_builder_keep_str(sm_builder *b, sm_str v)
{
    const uint8_t *bytes = (const uint8_t *)v.data;
    SM_ASSERT(sm_type_is_bytes(b->type->id));
    if (v.len <= SM_VIEW_INLINE) {
        return smi_view_inline(bytes, v.len);
    }
    if (!has_heap_room(b, v.len) && !open_heap(b, v.len)) {
        return (sm_view){0};
    }
    heap_block *own = &b->heap[b->own];
    const int64_t off_bytes = own->used_bytes;
    uint8_t *const to = own->block->data + off_bytes;
    memcpy(to, bytes, v.len);
    own->used_bytes += (int64_t)v.len;
    return smi_view_ref(to, v.len, (int32_t)b->own, off_bytes);
}

void sm_builder_str(sm_builder *b, sm_str v)
{
    if (has_room(b)) {
        end_view(b, sm_builder_keep_str(b, v));
    }
}

void sm_builder_str_in(sm_builder *b, int32_t block, sm_str v)
{
    SM_ASSERT(sm_type_is_bytes(b->type->id) && block >= 0 && block < b->n_heap);
    if (!has_room(b)) {
        return;
    }
    const uint8_t *bytes = (const uint8_t *)v.data;
    const sm_block *in = b->heap[block].block;
    if (v.len <= SM_VIEW_INLINE) {
        end_view(b, smi_view_inline(bytes, v.len));
        return;
    }
    SM_ENSURE(bytes >= in->data && v.len <= in->size_bytes &&
              (size_t)(bytes - in->data) <= in->size_bytes - v.len);
    end_view(b, smi_view_ref(bytes, v.len, block, bytes - in->data));
}

int32_t sm_builder_block(sm_builder *b, sm_block *block)
{
    SM_ENSURE(sm_type_is_bytes(b->type->id) && block->size_bytes <= INT32_MAX);
    for (int64_t i = b->n_heap; i > 0 && i > b->n_heap - 4; i--) {
        if (b->heap[i - 1].block == block) {
            return (int32_t)(i - 1);
        }
    }
    return add_heap(b, sm_block_retain(block), false);
}

/* ---- nested, null ---------------------------------------------------------------------------- */

void sm_builder_struct(sm_builder *b)
{
    SM_ASSERT(b->type->id == SM_TYPE_STRUCT);
    for (int32_t i = 0; i < b->n_children; i++) {
        SM_ASSERT(b->children[i].n_rows == b->n_rows + 1);
    }
    if (has_room(b)) {
        end_row(b);
    }
}

static __attribute__((noinline)) void refuse_elements(root *r)
{
    sm_error e = {0};
    sm_fail(&e, SM_LIMIT, "a batch would have over %d elements in its lists", INT32_MAX);
    keep_refusal(r, &e);
}

/* Writes the offset at which row n_rows ends. */
static void end_offsets(sm_builder *b)
{
    const int64_t n = b->children[0].n_rows;
    if (n > INT32_MAX && !b->root->has_failed) {
        refuse_elements(b->root);
    }
    ((int32_t *)(void *)b->values->data)[b->n_rows + 1] = (int32_t)n;
}

void sm_builder_list(sm_builder *b)
{
    SM_ASSERT(is_list(b));
    SM_ASSERT(b->n_children == 1 || b->children[0].n_rows == b->children[1].n_rows);
    if (has_room(b)) {
        end_offsets(b);
        end_row(b);
    }
}

void sm_builder_null(sm_builder *b)
{
    if (b->type->id == SM_TYPE_STRUCT) {
        for (int32_t i = 0; i < b->n_children; i++) {
            sm_builder_null(&b->children[i]);
        }
    }
    if (!has_room(b)) {
        return;
    }
    if (b->type->id == SM_TYPE_NULL) {
        b->n_rows++;
        return;
    }
    if (!b->validity && !make_validity(b)) {
        b->n_rows++;
        return;
    }
    if (b->type->id == SM_TYPE_BOOL) {
        sm_bit_clear(b->values->data, b->n_rows);
    } else if (is_list(b)) {
        end_offsets(b);
    } else if (b->width > 0) {
        memset(b->values->data + b->n_rows * b->width, 0, (size_t)b->width);
    }
    sm_bit_clear(b->validity->data, b->n_rows);
    b->n_rows++;
}

/* ---- in bulk --------------------------------------------------------------------------------- */

bool sm_builder_reserve(sm_builder *b, int64_t n)
{
    bool fits = b->cap_rows - b->n_rows >= n || grow_to(b, b->n_rows + n);
    for (int32_t i = 0; i < b->n_children && fits && !is_list(b); i++) {
        fits = sm_builder_reserve(&b->children[i], n);
    }
    return fits;
}

void *sm_builder_values(sm_builder *b)
{
    return b->values ? b->values->data : NULL;
}

void sm_builder_advance(sm_builder *b, int64_t n)
{
    SM_ENSURE(b->cap_rows - b->n_rows >= n);
    if (b->validity) {
        smi_bits_fill(b->validity->data, b->n_rows, n, true);
    }
    b->n_rows += n;
}

void sm_builder_set_null(sm_builder *b, int64_t row)
{
    SM_ASSERT(row < b->n_rows && !is_list(b));
    if (row >= b->cap_rows || (!b->validity && !make_validity(b))) {
        return; /* refused: finish tells */
    }
    if (b->type->id == SM_TYPE_BOOL) {
        sm_bit_clear(b->values->data, row);
    } else if (b->width > 0) {
        memset(b->values->data + row * b->width, 0, (size_t)b->width);
    }
    sm_bit_clear(b->validity->data, row);
}

/* ---- values and cells ------------------------------------------------------------------------ */

void sm_builder_value(sm_builder *b, sm_value v)
{
    const sm_type_id id = b->type->id;
    if (v.is_null || id == SM_TYPE_NULL) {
        sm_builder_null(b);
        return;
    }
    SM_ASSERT(v.type->id == id);
    if (sm_type_is_nested(id)) {
        for (int64_t i = 0; i < v.as.nested.n; i++) {
            sm_builder_value(&b->children[i % b->n_children], v.as.nested.items[i]);
        }
        if (is_list(b)) {
            sm_builder_list(b);
        } else {
            sm_builder_struct(b);
        }
    } else if (id == SM_TYPE_BOOL) {
        sm_builder_bool(b, v.as.b);
    } else if (id == SM_TYPE_F32 || id == SM_TYPE_F64) {
        sm_builder_f64(b, v.as.f);
    } else if (id == SM_TYPE_DECIMAL) {
        sm_builder_i128(b, v.as.d);
    } else if (sm_type_is_bytes(id)) {
        sm_builder_str(b, v.as.s);
    } else if (id >= SM_TYPE_U8 && id <= SM_TYPE_U64) {
        sm_builder_u64(b, v.as.u);
    } else {
        sm_builder_i64(b, v.as.i);
    }
}

void sm_builder_cell(sm_builder *b, const sm_column *c, int64_t i)
{
    if (!sm_type_is_nested(b->type->id)) {
        sm_builder_value(b, sm_column_value(c, i));
        return;
    }
    if (!smi_resolve(&c, &i)) {
        sm_builder_null(b);
        return;
    }
    if (is_list(b)) {
        for (int32_t at = smi_i32(c)[i]; at < smi_i32(c)[i + 1]; at++) {
            for (int32_t k = 0; k < b->n_children; k++) {
                sm_builder_cell(&b->children[k], &c->children[k], at);
            }
        }
        sm_builder_list(b);
        return;
    }
    for (int32_t k = 0; k < b->n_children; k++) {
        sm_builder_cell(&b->children[k], &c->children[k], i);
    }
    sm_builder_struct(b);
}

/* ---- truncating ------------------------------------------------------------------------------ */

/* Frees the bytes of the rows from n_rows on: they begin with those of the first of these rows that
 * is in our own buffer. */
static void truncate_heap(sm_builder *b, int64_t n_rows)
{
    const sm_view *views = b->values ? (const sm_view *)(const void *)b->values->data : NULL;
    const int64_t end = b->n_rows < b->cap_rows ? b->n_rows : b->cap_rows;
    for (int64_t i = n_rows; views && i < end && b->own >= 0; i++) {
        if (views[i].inlined.len <= SM_VIEW_INLINE || !b->heap[views[i].ref.buffer].is_own) {
            continue;
        }
        /* If it is in an older buffer of our own, all of the current one came later. */
        b->heap[b->own].used_bytes = views[i].ref.buffer == b->own ? views[i].ref.off_bytes : 0;
        return;
    }
}

void sm_builder_truncate(sm_builder *b, int64_t n_rows)
{
    SM_ASSERT(n_rows >= 0 && n_rows <= b->n_rows);
    if (sm_type_is_bytes(b->type->id)) {
        truncate_heap(b, n_rows);
    }
    for (int32_t i = 0; i < b->n_children; i++) {
        int64_t left = n_rows;
        if (is_list(b)) {
            /* After a refusal the offsets may be missing, or lie beyond what the child has left. */
            const bool is_there = b->values && n_rows <= b->cap_rows;
            left = is_there ? ((const int32_t *)(const void *)b->values->data)[n_rows] : 0;
            left = left < b->children[i].n_rows ? left : b->children[i].n_rows;
        }
        sm_builder_truncate(&b->children[i], left);
    }
    b->n_rows = n_rows;
}

/* ---- finishing ------------------------------------------------------------------------------- */

/* The validity, or NULL if no row is null; bits after the last row become zero. */
static const uint8_t *finish_validity(sm_builder *b, sm_batch *into)
{
    if (!b->validity || smi_bits_count(b->validity->data, b->n_rows) == b->n_rows) {
        return NULL;
    }
    if (b->n_rows % 8 != 0) {
        uint8_t *last = &b->validity->data[b->n_rows / 8];
        *last = (uint8_t)(*last & ((1u << (b->n_rows % 8)) - 1));
    }
    sm_batch_keep(into, b->validity);
    return b->validity->data;
}

static sm_status finish_heap(sm_builder *b, sm_batch *into, sm_column *out, sm_error *e)
{
    void *mem = NULL;
    if (b->n_heap == 0) {
        return SM_OK;
    }
    SM_TRY(sm_batch_alloc(into, (size_t)b->n_heap * sizeof(sm_heap_buf), &mem, e));
    sm_heap_buf *const heap = mem;
    for (int64_t i = 0; i < b->n_heap; i++) {
        heap[i].data = b->heap[i].block->data;
        heap[i].size_bytes = b->heap[i].used_bytes;
        sm_batch_keep(into, b->heap[i].block);
    }
    out->heap = heap;
    out->n_heap = (int32_t)b->n_heap;
    return SM_OK;
}

static sm_status finish_node(sm_builder *b, sm_batch *into, sm_column *out, sm_error *e)
{
    void *mem = NULL;
    *out = (sm_column){.type = b->type, .n_rows = b->n_rows, .n_children = b->n_children};
    if (!b->values && values_bytes(b, 0) > 0) { /* a list of no rows has one offset too */
        SM_TRY(sm_batch_alloc(into, values_bytes(b, 0), &mem, e));
        out->values = mem;
    } else if (b->values) {
        sm_batch_keep(into, b->values);
        out->values = b->values->data;
    }
    out->validity = finish_validity(b, into);
    SM_TRY(finish_heap(b, into, out, e));
    if (b->n_children > 0) {
        SM_TRY(sm_batch_alloc(into, (size_t)b->n_children * sizeof(sm_column), &mem, e));
        sm_column *const children = mem;
        for (int32_t i = 0; i < b->n_children; i++) {
            SM_TRY(finish_node(&b->children[i], into, &children[i], e));
        }
        out->children = children;
    }
    return SM_OK;
}

sm_status sm_builder_finish(sm_builder *b, sm_batch *into, sm_column *out, sm_error *e)
{
    root *r = b->root;
    sm_column made = {0};
    sm_status st = SM_OK;

    if (r->has_failed) {
        st = r->error.status;
        if (e) {
            *e = r->error;
        }
    } else {
        st = finish_node(b, into, &made, e);
    }
    empty_node(b);
    r->has_failed = false;
    if (st == SM_OK) {
        *out = made;
    }
    return st;
}
