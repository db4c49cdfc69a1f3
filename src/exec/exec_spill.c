/* SPDX-License-Identifier: Apache-2.0
 *
 * exec/exec_spill.c: stores parts of an operator's state as pieces of a scratch file, and batches
 * as pieces.
 *
 * Calls    by the aggregate, sort, window and join where memory is short.
 * Piece    Blocks of at most BLOCK_BYTES: u64 XXH3 of the rest, u32 stored bytes, u32 plain bytes,
 *          then the bytes, compressed by LZ4 (or plain, where both sizes are equal). A piece has a
 *          range of the file's offsets that it fits into even if nothing can be compressed; the
 *          part that it does not fill is a hole in the file.
 * Batch    u64 rows, ordinal, seq; then its columns: u64 rows, has validity, number of heap
 *          buffers; their sizes; validity; values; heap buffers; children. Everything starts at a
 *          multiple of 64 bytes, so a batch that is read back points into the piece's own block.
 * Why LZ4  Reading back at 2 GB/s it costs less than the disk does, and records of groups become
 *          half as large. */
#include "exec/exec_spill_int.h"

#include <lz4.h>
#include <string.h>

#include "base/hash.h"
#include "base/thread.h"

#define BLOCK_BYTES ((size_t)64 << 10)
#define HEAD_BYTES  ((size_t)16)
#define MOST_STORED (HEAD_BYTES + (size_t)LZ4_COMPRESSBOUND(BLOCK_BYTES))
#define ALIGN_BYTES ((size_t)64)

struct smi_piece {
    smi_spill *spill;
    smi_piece *next; /* among the idle ones */
    uint64_t first, at, left, plain_bytes;
    size_t n; /* of plain */
    uint8_t plain[BLOCK_BYTES];
    uint8_t stored[MOST_STORED];
};

struct smi_spill {
    smi_execution *exec;
    sm_scratch *file;
    sm_mutex lock;
    smi_piece *idle; /* under the lock: what threads write and read through */
    bool is_as_is;   /* blocks are not compressed */
    _Atomic uint64_t end;
    _Atomic int64_t spilled;
    const sm_plan_node *node;
};

/* ---- the file -------------------------------------------------------------------------------- */

sm_status smi_spill_new(smi_execution *exec, const sm_plan_node *node, smi_spill **out, sm_error *e)
{
    sm_scratch *file = NULL;
    SM_TRY(sm_scratch_new(exec->env->spill_dir, &file, e));
    smi_spill *s = sm_alloc_zero(sizeof(*s));
    s->exec = exec;
    s->node = node;
    s->file = file;
    sm_mutex_init(&s->lock);
    *out = s;
    return SM_OK;
}

void smi_spill_as_is(smi_spill *s)
{
    SM_ASSERT(atomic_load(&s->end) == 0);
    s->is_as_is = true;
}

void smi_spill_free(smi_spill *s)
{
    if (!s) {
        return;
    }
    while (s->idle) {
        smi_piece *p = s->idle;
        s->idle = p->next;
        sm_budget_give(s->exec->env->budget, sizeof(*p));
        sm_free(p);
    }
    smi_profile(s->exec, 0, s->node)->spilled_bytes += atomic_load(&s->spilled);
    sm_scratch_free(s->file);
    sm_mutex_release(&s->lock);
    sm_free(s);
}

/* Buffers of a piece: at most one for each thread. They are taken without asking the budget, since
 * without them nothing could be spilled. */
static smi_piece *take_idle(smi_spill *s)
{
    sm_mutex_lock(&s->lock);
    smi_piece *p = s->idle;
    if (p) {
        s->idle = p->next;
    }
    sm_mutex_unlock(&s->lock);
    if (!p) {
        p = sm_alloc(sizeof(*p));
        sm_budget_force(s->exec->env->budget, sizeof(*p));
    }
    p->spill = s;
    p->next = NULL;
    p->n = 0;
    return p;
}

void smi_piece_drop(smi_piece *p)
{
    if (p) {
        smi_spill *s = p->spill;
        SM_ASSERT(!p->next); /* not among the idle ones already */
        sm_mutex_lock(&s->lock);
        p->next = s->idle;
        s->idle = p;
        sm_mutex_unlock(&s->lock);
    }
}

/* ---- writing --------------------------------------------------------------------------------- */

/* The bytes of the file that are reserved for a piece: no block is larger than its plain bytes and
 * its head. */
static uint64_t reserved_bytes(uint64_t bytes)
{
    return bytes + (bytes + BLOCK_BYTES - 1) / BLOCK_BYTES * HEAD_BYTES;
}

sm_status smi_piece_begin(smi_spill *s, uint64_t bytes, smi_piece **out, sm_error *e)
{
    SM_ASSERT(bytes > 0); /* an extent of none says that nothing was put */
    SM_TRY(smi_check_cancel(s->exec, e));
    smi_piece *p = take_idle(s);
    p->first = p->at = atomic_fetch_add(&s->end, reserved_bytes(bytes));
    p->plain_bytes = p->left = bytes;
    *out = p;
    return SM_OK;
}

static sm_status write_block(smi_piece *p, sm_error *e)
{
    uint8_t *body = p->stored + HEAD_BYTES;
    const int packed = p->spill->is_as_is
                           ? 0
                           : LZ4_compress_default((const char *)p->plain, (char *)body, (int)p->n,
                                                  (int)(MOST_STORED - HEAD_BYTES));
    uint32_t lens[2] = {(uint32_t)packed, (uint32_t)p->n};
    if (packed <= 0 || (size_t)packed >= p->n) {
        memcpy(body, p->plain, p->n);
        lens[0] = (uint32_t)p->n;
    }
    memcpy(p->stored + 8, lens, sizeof(lens));
    const uint64_t check = sm_hash64(p->stored + 8, 8 + lens[0]);
    memcpy(p->stored, &check, 8);
    const size_t n = HEAD_BYTES + lens[0];
    /* Never into the next piece's offsets. */
    SM_ENSURE(p->at + n <= p->first + reserved_bytes(p->plain_bytes));
    SM_TRY(sm_scratch_write(p->spill->file, p->at, p->stored, n, e));
    p->at += n;
    p->n = 0;
    atomic_fetch_add(&p->spill->spilled, (int64_t)n);
    return SM_OK;
}

sm_status smi_piece_add(smi_piece *p, const void *bytes, size_t len, sm_error *e)
{
    SM_ENSURE(len <= p->left);
    p->left -= len;
    for (const uint8_t *from = bytes; len > 0;) {
        const size_t room = BLOCK_BYTES - p->n;
        const size_t some = len < room ? len : room;
        memcpy(p->plain + p->n, from, some);
        p->n += some;
        from += some;
        len -= some;
        if (p->n == BLOCK_BYTES) {
            SM_TRY(write_block(p, e));
        }
    }
    return SM_OK;
}

sm_status smi_piece_end(smi_piece *p, smi_extent *out, sm_error *e)
{
    SM_ENSURE(
        p->left ==
        0); /* as many bytes were added as were announced, or the next piece would be shifted */
    const sm_status st = p->n > 0 ? write_block(p, e) : SM_OK;
    *out = (smi_extent){.off_bytes = p->first, .plain_bytes = p->plain_bytes};
    smi_piece_drop(p);
    return st;
}

/* ---- reading --------------------------------------------------------------------------------- */

/* Reads the block at `at` into at most `left` bytes at `to`. Returns its size in the file and the
 * number of bytes that it gave. */
static sm_status read_block(smi_piece *through, uint64_t at, uint8_t *to, uint64_t left,
                            uint32_t lens[2], sm_error *e)
{
    sm_scratch *file = through->spill->file;
    uint8_t *in = through->stored;
    uint64_t check = 0;
    SM_TRY(sm_scratch_read(file, at, HEAD_BYTES, in, e));
    memcpy(&check, in, 8);
    memcpy(lens, in + 8, 8);
    bool is_good = lens[0] <= lens[1] && lens[1] <= BLOCK_BYTES && lens[1] <= left && lens[1] > 0;
    if (is_good) {
        SM_TRY(sm_scratch_read(file, at + HEAD_BYTES, lens[0], in + HEAD_BYTES, e));
        is_good = sm_hash64(in + 8, 8 + lens[0]) == check;
    }
    if (is_good && lens[0] == lens[1]) {
        memcpy(to, in + HEAD_BYTES, lens[1]);
    } else if (is_good) {
        is_good = LZ4_decompress_safe((const char *)in + HEAD_BYTES, (char *)to, (int)lens[0],
                                      (int)lens[1]) == (int)lens[1];
    }
    return is_good
               ? SM_OK
               : sm_fail(
                     e, SM_CORRUPT,
                     "what was written to the spill file at byte %llu was changed when it was read",
                     (unsigned long long)at);
}

sm_status smi_spill_get(smi_spill *s, const smi_extent *x, void *out, sm_error *e)
{
    SM_TRY(smi_check_cancel(s->exec, e));
    SM_ASSERT(x->off_bytes + reserved_bytes(x->plain_bytes) <= atomic_load(&s->end));
    smi_piece *through = take_idle(s);
    sm_status st = SM_OK;
    uint64_t at = x->off_bytes;
    for (uint64_t got = 0; got < x->plain_bytes && st == SM_OK;) {
        uint32_t lens[2] = {0};
        st = read_block(through, at, (uint8_t *)out + got, x->plain_bytes - got, lens, e);
        at += HEAD_BYTES + lens[0];
        got += lens[1];
    }
    smi_piece_drop(through);
    return st;
}

void smi_spill_drop(smi_spill *s, const smi_extent *x)
{
    SM_ASSERT(x->off_bytes + reserved_bytes(x->plain_bytes) <= atomic_load(&s->end));
    sm_scratch_drop(s->file, x->off_bytes, reserved_bytes(x->plain_bytes));
}

/* ---- batches out ----------------------------------------------------------------------------- */

/* Where the parts of batches go: they are first counted (piece is NULL), then written. */
typedef struct parts {
    smi_piece *piece;
    uint64_t at;
} parts;

static sm_status add_part(parts *to, const void *bytes, size_t len, sm_error *e)
{
    static const uint8_t zeros[ALIGN_BYTES];
    const size_t pad = (ALIGN_BYTES - len % ALIGN_BYTES) % ALIGN_BYTES;
    to->at += len + pad;
    if (to->piece) {
        SM_TRY(smi_piece_add(to->piece, bytes, len, e));
        SM_TRY(smi_piece_add(to->piece, zeros, pad, e));
    }
    return SM_OK;
}

/* Bytes of a flat column's values. */
static size_t values_bytes(const sm_type *t, int64_t n_rows)
{
    switch (t->id) {
    case SM_TYPE_NULL:
    case SM_TYPE_STRUCT:
        return 0;
    case SM_TYPE_BOOL:
        return sm_bits_bytes(n_rows);
    case SM_TYPE_LIST:
    case SM_TYPE_MAP:
        return (size_t)(n_rows + 1) * sizeof(int32_t);
    default:
        return (size_t)n_rows * (size_t)sm_type_bytes(t->id);
    }
}

static sm_status add_column(parts *to, const sm_column *c, sm_error *e)
{
    SM_ASSERT(c->layout == SM_FLAT);
    const uint64_t head[3] = {(uint64_t)c->n_rows, c->validity != NULL, (uint64_t)c->n_heap};
    SM_TRY(add_part(to, head, sizeof(head), e));
    for (int32_t i = 0; i < c->n_heap; i++) {
        const uint64_t size = (uint64_t)c->heap[i].size_bytes;
        SM_TRY(add_part(to, &size, sizeof(size), e));
    }
    if (c->validity) {
        SM_TRY(add_part(to, c->validity, sm_bits_bytes(c->n_rows), e));
    }
    SM_TRY(add_part(to, c->values, values_bytes(c->type, c->n_rows), e));
    for (int32_t i = 0; i < c->n_heap; i++) {
        SM_TRY(add_part(to, c->heap[i].data, (size_t)c->heap[i].size_bytes, e));
    }
    for (int32_t i = 0; i < c->n_children; i++) {
        SM_TRY(add_column(to, &c->children[i], e));
    }
    return SM_OK;
}

static sm_status add_batches(parts *to, sm_batch *const *batches, int32_t n, sm_error *e)
{
    for (int32_t i = 0; i < n; i++) {
        const sm_batch *b = batches[i];
        const uint64_t head[4] = {b != NULL, b ? (uint64_t)b->n_rows : 0, b ? b->ordinal : 0,
                                  b ? b->seq : 0};
        SM_TRY(add_part(to, head, sizeof(head), e));
        for (int32_t c = 0; b && c < b->n_columns; c++) {
            SM_TRY(add_column(to, &b->columns[c], e));
        }
    }
    return SM_OK;
}

/* The batch as it is written: constants and dictionaries are expanded, and only the bytes of
 * strings that a row has are kept. */
static sm_status flatten_batch(const sm_batch *b, sm_budget *budget, sm_batch **out, sm_error *e)
{
    sm_batch *in = (sm_batch *)b;
    return sm_batch_concat(&in, 1, true, budget, out, e);
}

sm_status smi_spill_put_batches(smi_spill *s, sm_batch *const *batches, int32_t n,
                                sm_budget *budget, smi_extent *out, sm_error *e)
{
    sm_batch **flat = sm_alloc_zero((size_t)n * sizeof(*flat));
    parts to = {0};
    sm_status st = SM_OK;
    for (int32_t i = 0; i < n; i++) {
        SM_TRY_GOTO(st, done, batches[i] ? flatten_batch(batches[i], budget, &flat[i], e) : SM_OK);
    }
    SM_TRY_GOTO(st, done, add_batches(&to, flat, n, e)); /* counts */
    SM_TRY_GOTO(st, done, smi_piece_begin(s, to.at, &to.piece, e));
    SM_ASSERT(to.piece);
    SM_TRY_GOTO(st, done, add_batches(&to, flat, n, e));
    st = smi_piece_end(to.piece, out, e);
    to.piece = NULL;
done:
    smi_piece_drop(to.piece);
    for (int32_t i = 0; i < n; i++) {
        sm_batch_release(flat[i]);
    }
    sm_free(flat);
    return st;
}

/* ---- batches back ---------------------------------------------------------------------------- */

/* A piece in memory that is being read. This process has written it, and its checksums were
 * checked. */
typedef struct reading {
    const uint8_t *at;
    sm_batch *into;
} reading;

static const void *next_part(reading *r, size_t len)
{
    const uint8_t *part = r->at;
    r->at += (len + ALIGN_BYTES - 1) / ALIGN_BYTES * ALIGN_BYTES;
    return part;
}

static sm_status read_column(reading *r, const sm_type *type, sm_column *out, sm_error *e);

static sm_status read_children(reading *r, const sm_type *type, sm_column *c, sm_error *e)
{
    sm_column *children = NULL;
    void *mem = NULL;
    const int32_t n = type->id == SM_TYPE_LIST ? 1 : type->id == SM_TYPE_MAP ? 2 : type->n_fields;
    SM_TRY(sm_batch_alloc(r->into, (size_t)n * sizeof(*children), &mem, e));
    children = mem;
    for (int32_t i = 0; i < n; i++) {
        SM_TRY(read_column(r, type->fields[i].type, &children[i], e));
    }
    c->children = children;
    c->n_children = n;
    return SM_OK;
}

static sm_status read_column(reading *r, const sm_type *type, sm_column *out, sm_error *e)
{
    uint64_t head[3];
    memcpy(head, next_part(r, sizeof(head)), sizeof(head));
    sm_column c = {.type = type, .n_rows = (int64_t)head[0], .n_heap = (int32_t)head[2]};
    void *mem = NULL;
    if (c.n_heap > 0) {
        SM_TRY(sm_batch_alloc(r->into, (size_t)c.n_heap * sizeof(sm_heap_buf), &mem, e));
    }
    sm_heap_buf *heap = mem;
    for (int32_t i = 0; i < c.n_heap; i++) {
        memcpy(&heap[i].size_bytes, next_part(r, 8), 8);
    }
    c.validity = head[1] ? next_part(r, sm_bits_bytes(c.n_rows)) : NULL;
    const size_t n = values_bytes(type, c.n_rows);
    const void *values = next_part(r, n);
    c.values = type->id == SM_TYPE_NULL || type->id == SM_TYPE_STRUCT ? NULL : values;
    for (int32_t i = 0; i < c.n_heap; i++) {
        heap[i].data = next_part(r, (size_t)heap[i].size_bytes);
    }
    c.heap = heap;
    if (sm_type_is_nested(type->id)) {
        SM_TRY(read_children(r, type, &c, e));
    }
    *out = c;
    return SM_OK;
}

static sm_status read_batch(reading *r, const sm_type *schema, sm_block *block, sm_budget *budget,
                            sm_batch **out, sm_error *e)
{
    uint64_t head[4];
    memcpy(head, next_part(r, sizeof(head)), sizeof(head));
    if (!head[0]) {
        *out = NULL;
        return SM_OK;
    }
    SM_TRY(sm_batch_new(budget, schema, &r->into, e));
    sm_batch_keep(r->into, block);
    sm_status st = SM_OK;
    for (int32_t c = 0; c < schema->n_fields && st == SM_OK; c++) {
        st = read_column(r, schema->fields[c].type, &r->into->columns[c], e);
    }
    if (st != SM_OK) {
        sm_batch_release(r->into);
        return st;
    }
    r->into->n_rows = (int64_t)head[1];
    r->into->ordinal = head[2];
    r->into->seq = (uint32_t)head[3];
    *out = r->into;
    return SM_OK;
}

sm_status smi_spill_get_batches(smi_spill *s, const smi_extent *x, const sm_type *const *schemas,
                                int32_t n, sm_budget *budget, sm_batch **out, sm_error *e)
{
    sm_block *block = NULL;
    SM_TRY(sm_block_new(budget, x->plain_bytes, &block, e));
    sm_status st = smi_spill_get(s, x, block->data, e);
    reading r = {.at = block->data};
    int32_t done = 0;
    for (; done < n && st == SM_OK; done++) {
        st = read_batch(&r, schemas[done], block, budget, &out[done], e);
        done -= st != SM_OK;
    }
    SM_ASSERT(st != SM_OK ||
              r.at == block->data + x->plain_bytes); /* all of it was read, no more */
    for (int32_t i = 0; i < done && st != SM_OK; i++) {
        sm_batch_release(out[i]);
        out[i] = NULL;
    }
    sm_block_release(block);
    return st;
}
