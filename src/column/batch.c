/* SPDX-License-Identifier: Apache-2.0
 *
 * column/batch.c: the life of a batch, its memory, and the derived batches.
 *
 * Memory   A batch has a block of its own: the struct, its columns, the list of the blocks that it
 *          retains, and spare bytes for small arrays (bitmaps, heap tables, children). Arrays of
 *          BIG_BYTES or more get a block each; smaller ones are taken from a chunk.
 * Blocks   The list of retained blocks may contain a block twice. When it is full, duplicates are
 *          removed before it grows; so retaining the same inputs repeatedly costs no memory. */
#include <stdlib.h>

#include "column/column_int.h"

#define ALIGN_BYTES 64
#define BIG_BYTES   4096
#define SPARE_BYTES 2048 /* for small arrays, in the block of a new batch */
#define FIRST_KEEPS 24

typedef struct sm_batch_memory {
    sm_budget *budget;
    sm_block *self;    /* the batch's own block; not in `kept` */
    uint8_t *at, *end; /* the rest of the chunk */
    size_t next_chunk_bytes;
    sm_block **kept;
    int64_t n_kept, cap_kept;
    size_t kept_bytes; /* bytes of `kept` when it is not `first`; 0: it is */
    sm_block *first[FIRST_KEEPS];
} sm_batch_memory;

static size_t align_up(size_t bytes)
{
    return (bytes + ALIGN_BYTES - 1) & ~(size_t)(ALIGN_BYTES - 1);
}

/* ---- life ------------------------------------------------------------------------------------ */

sm_status sm_batch_new(sm_budget *budget, const sm_type *schema, sm_batch **out, sm_error *e)
{
    SM_ASSERT(schema->id == SM_TYPE_STRUCT);
    const size_t n = (size_t)schema->n_fields;
    const size_t columns_off = align_up(sizeof(sm_batch));
    const size_t memory_off = align_up(columns_off + n * sizeof(sm_column));
    const size_t spare_off = align_up(memory_off + sizeof(sm_batch_memory));
    sm_block *self = NULL;

    SM_TRY(sm_block_new(budget, spare_off + SPARE_BYTES, &self, e));
    memset(self->data, 0, spare_off);
    sm_batch *b = (sm_batch *)(void *)self->data;
    b->schema = schema;
    b->columns = (sm_column *)(void *)(self->data + columns_off);
    b->n_columns = schema->n_fields;
    b->memory = (sm_batch_memory *)(void *)(self->data + memory_off);
    b->memory->budget = budget;
    b->memory->self = self;
    b->memory->at = self->data + spare_off;
    b->memory->end = self->data + self->size_bytes;
    b->memory->next_chunk_bytes = 2 * BIG_BYTES;
    b->memory->kept = b->memory->first;
    b->memory->cap_kept = FIRST_KEEPS;
    for (size_t i = 0; i < n; i++) {
        b->columns[i].type = schema->fields[i].type;
    }
    b->refs = 1;
    *out = b;
    return SM_OK;
}

sm_batch *sm_batch_retain(sm_batch *b)
{
    const int32_t before = b->refs++;
    SM_ASSERT(before > 0);
    return b;
}

void sm_batch_release(sm_batch *b)
{
    if (!b) {
        return;
    }
    const int32_t left = --b->refs;
    SM_ASSERT(left >= 0);
    if (left > 0) {
        return;
    }
    sm_batch_memory *m = b->memory;
    SM_ASSERT((m->kept == m->first) == (m->kept_bytes == 0));
    for (int64_t i = 0; i < m->n_kept; i++) {
        sm_block_release(m->kept[i]);
    }
    if (m->kept != m->first) {
        sm_free(m->kept);
        sm_budget_give(m->budget, m->kept_bytes);
    }
    sm_block_release(m->self);
}

sm_status sm_batch_check_cancel(const sm_batch *b, sm_error *e)
{
    return sm_check_cancel(b->memory->budget, e);
}

/* ---- kept blocks ----------------------------------------------------------------------------- */

static int by_address(const void *a, const void *b)
{
    const uintptr_t x = (uintptr_t) * (sm_block *const *)a, y = (uintptr_t) * (sm_block *const *)b;
    return (x > y) - (x < y);
}

/* Sorts the blocks and releases duplicates; returns how many are left. */
static int64_t release_duplicates(sm_block **blocks, int64_t n)
{
    int64_t n_left = 0;
    qsort(blocks, (size_t)n, sizeof(blocks[0]), by_address);
    for (int64_t i = 0; i < n; i++) {
        if (n_left > 0 && blocks[n_left - 1] == blocks[i]) {
            sm_block_release(blocks[i]);
        } else {
            blocks[n_left++] = blocks[i];
        }
    }
    return n_left;
}

/* The budget cannot refuse: a batch must be able to retain what it points to. */
static void grow_kept(sm_batch_memory *m)
{
    const int64_t cap = 2 * m->cap_kept;
    const size_t bytes = (size_t)cap * sizeof(m->kept[0]);
    sm_block **grown = sm_alloc(bytes);
    memcpy(grown, m->kept, (size_t)m->n_kept * sizeof(m->kept[0]));
    if (m->kept != m->first) {
        sm_free(m->kept);
    }
    sm_budget_force(m->budget, bytes);
    sm_budget_give(m->budget, m->kept_bytes);
    m->kept = grown;
    m->kept_bytes = bytes;
    m->cap_kept = cap;
}

/* Takes over a reference. */
static void keep_taken(sm_batch_memory *m, sm_block *block)
{
    if (m->n_kept == m->cap_kept) {
        m->n_kept = release_duplicates(m->kept, m->n_kept);
        if (m->n_kept > m->cap_kept - m->cap_kept / 4) {
            grow_kept(m);
        }
    }
    m->kept[m->n_kept++] = block;
}

void sm_batch_keep(sm_batch *b, sm_block *block)
{
    sm_batch_memory *m = b->memory;
    if (m->n_kept > 0 && m->kept[m->n_kept - 1] == block) {
        return;
    }
    keep_taken(m, sm_block_retain(block));
}

void sm_batch_keep_all(sm_batch *b, const sm_batch *other)
{
    if (b == other) {
        return;
    }
    for (int64_t i = 0; i < other->memory->n_kept; i++) {
        keep_taken(b->memory, sm_block_retain(other->memory->kept[i]));
    }
    keep_taken(b->memory, sm_block_retain(other->memory->self));
}

size_t sm_batch_bytes(const sm_batch *b)
{
    const sm_batch_memory *m = b->memory;
    sm_block **blocks = sm_alloc((size_t)(m->n_kept + 1) * sizeof(blocks[0]));
    size_t bytes = m->self->size_bytes + m->kept_bytes;
    memcpy(blocks, m->kept, (size_t)m->n_kept * sizeof(blocks[0]));
    qsort(blocks, (size_t)m->n_kept, sizeof(blocks[0]), by_address);
    for (int64_t i = 0; i < m->n_kept; i++) {
        bytes += i > 0 && blocks[i] == blocks[i - 1] ? 0 : blocks[i]->size_bytes;
    }
    sm_free(blocks);
    return bytes;
}

/* ---- allocating ------------------------------------------------------------------------------ */

/* SIMD may overrun a slice of a chunk too: another follows it, or the padding of the block. */
sm_status sm_batch_alloc_raw(sm_batch *b, size_t bytes, void **out, sm_error *e)
{
    sm_batch_memory *m = b->memory;
    sm_block *block = NULL;
    if (bytes >= BIG_BYTES) {
        SM_TRY(sm_block_new(m->budget, bytes, &block, e));
        keep_taken(m, block);
        *out = block->data;
        return SM_OK;
    }
    const size_t step = align_up(bytes > 0 ? bytes : 1);
    if ((size_t)(m->end - m->at) < step) {
        SM_TRY(sm_block_new(m->budget, m->next_chunk_bytes, &block, e));
        keep_taken(m, block);
        m->at = block->data;
        m->end = block->data + block->size_bytes;
        if (m->next_chunk_bytes < 16 * BIG_BYTES) {
            m->next_chunk_bytes *= 2;
        }
    }
    *out = m->at;
    m->at += step;
    return SM_OK;
}

sm_status sm_batch_alloc(sm_batch *b, size_t bytes, void **out, sm_error *e)
{
    SM_TRY(sm_batch_alloc_raw(b, bytes, out, e));
    memset(*out, 0, bytes);
    return SM_OK;
}

/* ---- deriving -------------------------------------------------------------------------------- */

static sm_status derive_batch(const sm_batch *b, const sm_type *schema, int64_t n_rows,
                              sm_budget *budget, sm_batch **out, sm_error *e)
{
    SM_TRY(sm_batch_new(budget, schema, out, e));
    (*out)->n_rows = n_rows;
    (*out)->ordinal = b->ordinal;
    (*out)->seq = b->seq;
    return SM_OK;
}

sm_status sm_batch_project(const sm_batch *b, const sm_type *schema, const int32_t *columns,
                           sm_batch **out, sm_error *e)
{
    sm_batch *made = NULL;
    SM_TRY(derive_batch(b, schema, b->n_rows, b->memory->budget, &made, e));
    sm_batch_keep_all(made, b);
    for (int32_t i = 0; i < made->n_columns; i++) {
        SM_ASSERT(columns[i] >= 0 && columns[i] < b->n_columns);
        SM_ASSERT(sm_type_eq(schema->fields[i].type, b->columns[columns[i]].type));
        made->columns[i] = b->columns[columns[i]];
    }
    *out = made;
    return SM_OK;
}

sm_status sm_batch_slice(const sm_batch *b, int64_t first, int64_t n_rows, sm_budget *budget,
                         sm_batch **out, sm_error *e)
{
    sm_status st = SM_OK;
    sm_batch *made = NULL;

    SM_ASSERT(first >= 0 && n_rows >= 0 && first <= b->n_rows - n_rows);
    SM_TRY(derive_batch(b, b->schema, n_rows, budget, &made, e));
    sm_batch_keep_all(made, b);
    for (int32_t i = 0; i < b->n_columns; i++) {
        SM_TRY_GOTO(st, done,
                    smi_column_slice(&b->columns[i], first, n_rows, made, &made->columns[i], e));
    }
    *out = made;
    made = NULL;
done:
    sm_batch_release(made);
    return st;
}

/* Does a gathered column point into the memory of its source? */
static bool shares_memory(const sm_column *c)
{
    if (c->layout != SM_FLAT || c->n_heap > 0) {
        return true;
    }
    for (int32_t i = 0; i < c->n_children; i++) {
        if (shares_memory(&c->children[i])) {
            return true;
        }
    }
    return false;
}

sm_status sm_batch_gather(const sm_batch *b, const int32_t *rows, int64_t n_rows, sm_budget *budget,
                          sm_batch **out, sm_error *e)
{
    sm_status st = SM_OK;
    sm_batch *made = NULL;
    bool is_shared = false;

    SM_TRY(derive_batch(b, b->schema, n_rows, budget, &made, e));
    for (int32_t i = 0; i < b->n_columns; i++) {
        is_shared = is_shared || shares_memory(&b->columns[i]);
        SM_TRY_GOTO(st, done,
                    sm_column_gather(&b->columns[i], rows, n_rows, made, &made->columns[i], e));
    }
    if (is_shared) { /* a batch of numbers only does not hold its input */
        sm_batch_keep_all(made, b);
    }
    *out = made;
    made = NULL;
done:
    sm_batch_release(made);
    return st;
}

sm_status sm_batch_concat(sm_batch *const *batches, int64_t n, bool compact, sm_budget *budget,
                          sm_batch **out, sm_error *e)
{
    sm_status st = SM_OK;
    sm_batch *made = NULL;
    int64_t n_rows = 0;
    const sm_column **srcs = NULL;

    SM_ASSERT(n >= 1);
    for (int64_t i = 0; i < n; i++) {
        SM_ASSERT(batches[i]->n_columns == batches[0]->n_columns);
        n_rows += batches[i]->n_rows;
    }
    SM_TRY(derive_batch(batches[0], batches[0]->schema, n_rows, budget, &made, e));
    for (int64_t i = 0; i < n && !compact; i++) {
        sm_batch_keep_all(made, batches[i]);
    }
    srcs = sm_alloc((size_t)n * sizeof(srcs[0]));
    for (int32_t c = 0; c < made->n_columns; c++) {
        for (int64_t i = 0; i < n; i++) {
            srcs[i] = &batches[i]->columns[c];
        }
        SM_TRY_GOTO(st, done, smi_column_concat(srcs, n, compact, made, &made->columns[c], e));
    }
    *out = made;
    made = NULL;
done:
    sm_free(srcs);
    sm_batch_release(made);
    return st;
}
