/* SPDX-License-Identifier: Apache-2.0
 *
 * format/parquet/parquet_writer.c: writes batches to a Parquet file.
 *
 * Calls      open; write for each batch, again as long as it returns SM_WAIT; finish, again as long
 *            as it returns SM_WAIT; close. The first write() of a batch encodes it; further ones
 *            only wait until its bytes are taken. Between batches copy() takes the row groups of
 *            another file as they are (parquet_copy.c): it ends the row group that is open.
 *            begin_kept() and end_kept() stand around the rows of a row group of which some columns
 *            are another file's.
 * Steps      The rows of a batch are added to the leaves of each top-level column
 *            (parquet_column.c): a nested column by its levels, EDGE rows at a time. Encoded pages
 *            are compressed, several columns at the same time, when there are PENDING_BYTES of them
 *            and when a row group ends. The chunks of a row group are then written one after
 *            another, a block each.
 * Levels     To find a leaf's levels, its column's rows go down from node to node, as arrays of
 *            entries. An entry that is null or an empty list stops, with the levels it has reached.
 *            At a list an entry becomes one for each element.
 * Same bytes The bytes depend on the rows and options only. Pages end at rows that do not depend on
 *            how the rows came in batches, row groups end at row_group_rows and at cuts, and sizes
 *            alone decide what is compressed together. Neither time nor the number of threads
 *            matters.
 * Memory     open takes an estimate from the budget: RESERVE_* for each leaf and the pages that
 *            wait, at most RESERVE_MOST. What is needed beyond that is taken as it is used. Blocks
 *            of bytes that are written count separately.
 * Source     apache/parquet-format README.md, LogicalTypes.md
 *
 * Called by table and exec through sm_format_parquet. */

#include <inttypes.h>

#include "format/parquet/parquet_int.h"

#define EDGE           64 /* rows between two places where a page of a nested leaf may end */
#define PENDING_BYTES  (8u << 20)
#define RESERVE_PAGE   (512u << 10)
#define RESERVE_NUMBER 4 /* compressed bytes of a value; measured on logs: 2 to 4 */
#define RESERVE_TEXT   14
/* Tables of many columns seldom have many rows; more than this is taken only when it is used. */
#define RESERVE_MOST (32u << 20)
#define TAKE_BYTES   (1u << 20)
#define COPY_BYTES   (1u << 20) /* of a piece of a chunk that is copied */
#define KEPT_BYTES   (4u << 20) /* of pieces that are read ahead, … */
#define KEPT_PIECES  64         /* … and so many of them */

/* A node on the path from a top-level column to a leaf. */
typedef struct path_step {
    const smi_pq_node *node;
    const smi_pq_node *repeated; /* LIST, MAP: the repeated node below it; else NULL */
    const sm_type *type;
    int32_t child; /* the child in which the path goes on, if it is nested */
} path_step;

typedef struct out_leaf {
    smi_pq_column column;
    int32_t top; /* index of the top-level column */
    path_step *steps;
    int32_t n_steps; /* 1: the leaf stands at the top */
    sm_str *names;   /* path_in_schema */
    int32_t n_names;
} out_leaf;

typedef struct out_block {
    sm_block *block;
    size_t len;
} out_block;

typedef enum writer_state { WRITING, ENDING, ENDED } writer_state;

/* A row group of which columns stay. Their bytes are read in pieces, in the order of the leaves. */
typedef struct kept_group {
    sm_kept_group of;
    const smi_pq_group *from;
    bool *leaves; /* one for each: does it stay? */
    bool is_open, is_ending;
    bool is_placed; /* the leaf's chunk has its place */
    smi_pq_written_group group;
    int32_t leaf, asked_leaf; /* that is written, that is read … */
    uint64_t at, asked_at;    /* … and how many of its bytes were */
    int64_t n_taken, n_asked; /* pieces */
    uint64_t ahead_bytes;
    out_block pieces[KEPT_PIECES]; /* that have arrived, by their numbers; block NULL: not yet */
} kept_group;

typedef struct pq_writer {
    sm_arena *mem;
    sm_budget *budget;
    size_t taken;
    sm_pool *pool;
    sm_bytes_out to;
    const sm_type *schema;
    smi_pq_node *root;
    smi_pq_press *press;
    smi_pq_codec codec;
    int64_t group_rows;
    int32_t n_leaves;
    out_leaf *leaves;
    smi_pq_seen *seen; /* of the whole file, for each top-level column; used if it is a leaf */
    /* the row group */
    int64_t n_rows;
    /* the file */
    smi_pq_written_group *groups;
    int64_t n_groups, groups_cap;
    int64_t total_rows;
    uint64_t off_bytes;
    out_block *queue;
    int64_t queue_at, n_queue, queue_cap;
    bool is_cut;    /* the next row begins a row group */
    bool has_batch; /* the batch is encoded, but write() has returned SM_WAIT */
    /* the file whose row groups are being copied, and how far that is */
    smi_pq_copy *copy; /* NULL: none */
    int64_t copy_group;
    bool has_group; /* it is in `groups` */
    int32_t copy_leaf;
    uint64_t copy_bytes; /* of the chunk */
    kept_group kept;
    bool has_failed;
    writer_state state;
    /* scratch for finding levels: the entries of two nodes in turn */
    sm_buf rows[2], defs[2], reps[2];
} pq_writer;

/* ---- bytes to write -------------------------------------------------------------------------- */

/* Takes `block`. */
static void queue_block(pq_writer *w, sm_block *block, size_t len)
{
    SM_ASSERT(len > 0 && len <= block->size_bytes && w->queue_at <= w->n_queue);
    if (w->queue_at == w->n_queue) {
        w->queue_at = w->n_queue = 0;
    }
    if (w->n_queue == w->queue_cap) {
        w->queue_cap = w->queue_cap * 2 + 16;
        w->queue = sm_realloc(w->queue, (size_t)w->queue_cap * sizeof(*w->queue));
    }
    w->queue[w->n_queue++] = (out_block){block, len};
    w->off_bytes += len;
}

/* Queues two pieces as one block. */
static sm_status queue_bytes(pq_writer *w, sm_str a, sm_str b, sm_error *e)
{
    sm_block *block = NULL;
    if (a.len + b.len == 0) {
        return SM_OK;
    }
    SM_TRY(sm_block_new(w->budget, a.len + b.len, &block, e));
    if (a.len > 0) {
        memcpy(block->data, a.data, a.len);
    }
    if (b.len > 0) {
        memcpy(block->data + a.len, b.data, b.len);
    }
    queue_block(w, block, a.len + b.len);
    return SM_OK;
}

/* Writes the queued blocks. SM_WAIT: some are left. */
static sm_status write_queue(pq_writer *w, sm_waker waker, sm_error *e)
{
    while (w->queue_at < w->n_queue) {
        out_block *b = &w->queue[w->queue_at];
        SM_TRY(w->to.write(w->to.ctx, b->block, b->len, waker, e));
        sm_block_release(b->block);
        w->queue_at++;
    }
    return SM_OK;
}

/* ---- memory ---------------------------------------------------------------------------------- */

static size_t reserve_of(const pq_writer *w)
{
    size_t total = PENDING_BYTES;
    for (int32_t i = 0; i < w->n_leaves; i++) {
        const smi_pq_column *c = &w->leaves[i].column;
        const size_t row = c->stage == SMI_PQ_STAGE_TEXT ? RESERVE_TEXT : RESERVE_NUMBER;
        total += RESERVE_PAGE + row * (size_t)w->group_rows;
    }
    return total < RESERVE_MOST ? total : RESERVE_MOST;
}

static sm_status count_memory(pq_writer *w, sm_error *e)
{
    size_t used = 0;
    for (int32_t i = 0; i < w->n_leaves; i++) {
        used += smi_pq_column_memory(&w->leaves[i].column);
    }
    if (used > w->taken) {
        const size_t more = (used - w->taken + TAKE_BYTES - 1) / TAKE_BYTES * TAKE_BYTES;
        SM_TRY(sm_budget_take(w->budget, more, e));
        w->taken += more;
    }
    return SM_OK;
}

/* ---- row groups ------------------------------------------------------------------------------ */

/* Is the leaf one of which the open row group gets no rows? */
static bool is_kept(const pq_writer *w, int64_t leaf)
{
    return w->kept.is_open && w->kept.leaves[leaf];
}

static sm_status end_column(void *ctx, int64_t i, sm_error *e)
{
    pq_writer *w = ctx;
    return is_kept(w, i) ? SM_OK : smi_pq_column_end(&w->leaves[i].column, e);
}

static sm_status press_column(void *ctx, int64_t i, sm_error *e)
{
    return smi_pq_column_press(&((pq_writer *)ctx)->leaves[i].column, e);
}

static sm_status for_columns(pq_writer *w, sm_for_fn fn, sm_error *e)
{
    if (w->pool) {
        return sm_pool_for(w->pool, w->n_leaves, fn, w, e);
    }
    for (int32_t i = 0; i < w->n_leaves; i++) {
        SM_TRY(fn(w, i, e));
    }
    return SM_OK;
}

static sm_status press_pending(pq_writer *w, sm_error *e)
{
    size_t pending = 0;
    for (int32_t i = 0; i < w->n_leaves; i++) {
        pending += w->leaves[i].column.raw.len;
    }
    return pending >= PENDING_BYTES ? for_columns(w, press_column, e) : SM_OK;
}

static sm_status put_chunk(pq_writer *w, out_leaf *l, smi_pq_written_chunk *chunk, sm_error *e)
{
    smi_pq_column *c = &l->column;
    SM_ASSERT(c->node->max_rep > 0 ? c->chunk_levels >= w->n_rows : c->chunk_levels == w->n_rows);
    SM_ASSERT((c->dict_out.len > 0) == c->has_coded_pages);
    *chunk = (smi_pq_written_chunk){
        .node = c->node,
        .path = l->names,
        .n_path = l->n_names,
        .codec = w->codec,
        .encodings = c->encodings,
        .n_values = c->chunk_levels,
        .dictionary_off = c->dict_out.len > 0 ? w->off_bytes : 0,
        .data_off = w->off_bytes + c->dict_out.len,
        .compressed_bytes = c->dict_out.len + c->out.len,
        .plain_bytes = c->plain_bytes,
        .pages = c->done,
        .n_pages = c->n_done,
    };
    smi_pq_seen_stats(&c->seen, c->node, w->mem, &chunk->stats);
    if (l->n_steps == 1) {
        smi_pq_seen_merge(&w->seen[l->top], &c->seen);
    }
    SM_TRY(queue_bytes(w, sm_buf_str(&c->dict_out), sm_buf_str(&c->out), e));
    smi_pq_column_reset(c);
    return SM_OK;
}

static sm_status end_group(pq_writer *w, sm_error *e)
{
    SM_ASSERT(w->n_rows <= w->group_rows && !w->kept.is_open);
    if (w->n_rows == 0) {
        return SM_OK;
    }
    SM_TRY(for_columns(w, end_column, e));
    SM_TRY(count_memory(w, e));
    w->groups = sm_arena_grow(w->mem, w->groups, w->n_groups, &w->groups_cap, sizeof(*w->groups));
    smi_pq_written_group *g = &w->groups[w->n_groups++];
    *g = (smi_pq_written_group){
        .n_rows = w->n_rows,
        .chunks = SM_NEW_ARRAY(w->mem, smi_pq_written_chunk, w->n_leaves),
    };
    for (int32_t i = 0; i < w->n_leaves; i++) {
        SM_TRY(put_chunk(w, &w->leaves[i], &g->chunks[i], e));
    }
    w->total_rows += w->n_rows;
    w->n_rows = 0;
    return SM_OK;
}

/* ---- levels of nested columns ---------------------------------------------------------------- */

/* Rows of a column, and the levels that they have so far. rows[i]: its row in the column of the
 * current node; −1: it has stopped. */
typedef struct entries {
    int32_t *rows;
    uint8_t *defs, *reps;
    int64_t n;
} entries;

static entries entries_in(pq_writer *w, int side, int64_t n)
{
    sm_buf_reset(&w->rows[side]);
    sm_buf_reset(&w->defs[side]);
    sm_buf_reset(&w->reps[side]);
    return (entries){
        .rows = (int32_t *)(void *)smi_pq_room(&w->rows[side], (size_t)n * sizeof(int32_t) + 4),
        .defs = smi_pq_room(&w->defs[side], (size_t)n + 1),
        .reps = smi_pq_room(&w->reps[side], (size_t)n + 1),
        .n = n,
    };
}

/* Goes down to a node: null entries stop, and the others get the row of their value in a flat
 * column, which is returned. NULL: a value is null that may not be. */
static const sm_column *enter_node(const sm_column *c, const smi_pq_node *node, entries *in)
{
    const bool is_optional = node->repetition == SMI_PQ_OPTIONAL;
    for (int64_t i = 0; i < in->n; i++) {
        if (in->rows[i] < 0) {
            continue;
        }
        const int32_t at = c->layout == SM_CONST ? 0 : in->rows[i];
        SM_ASSERT(at < c->n_rows);
        const bool is_null =
            c->type->id == SM_TYPE_NULL || (c->validity && !sm_bit_get(c->validity, at));
        if (is_null && !is_optional) {
            return NULL;
        }
        in->rows[i] = is_null ? -1 : c->layout == SM_DICT ? ((const int32_t *)c->values)[at] : at;
        in->defs[i] = (uint8_t)(in->defs[i] + (is_optional && !is_null));
    }
    return c->layout == SM_DICT ? &c->children[0] : c;
}

/* Goes into a list: each entry becomes one for each of its elements, or stops if there are none. */
static entries enter_list(pq_writer *w, const sm_column *list, uint8_t item_rep, const entries *in,
                          int side)
{
    const int32_t *offsets = list->values;
    int64_t n = 0;
    for (int64_t i = 0; i < in->n; i++) {
        const int64_t len =
            in->rows[i] < 0 ? 0 : offsets[in->rows[i] + 1] - (int64_t)offsets[in->rows[i]];
        n += len > 0 ? len : 1;
    }
    entries out = entries_in(w, side, n);
    int64_t at = 0;
    for (int64_t i = 0; i < in->n; i++) {
        const int32_t from = in->rows[i] < 0 ? 0 : offsets[in->rows[i]];
        const int32_t to = in->rows[i] < 0 ? 0 : offsets[in->rows[i] + 1];
        if (from == to) {
            out.rows[at] = -1;
            out.defs[at] = in->defs[i];
            out.reps[at++] = in->reps[i];
        }
        for (int32_t k = from; k < to; k++) {
            out.rows[at] = k;
            out.defs[at] = (uint8_t)(in->defs[i] + 1);
            out.reps[at++] = k == from ? in->reps[i] : item_rep;
        }
    }
    SM_ASSERT(at == n);
    return out;
}

static sm_status fail_null(const smi_pq_node *n, sm_error *e)
{
    return sm_fail(e, SM_SCHEMA, "column \"%.*s\" may not be null, but a row of it is",
                   SM_STR_ARG(n->name));
}

/* Adds rows first … first + n − 1 of a top-level column to one of the leaves below it. */
static sm_status add_nested(pq_writer *w, out_leaf *l, const sm_column *c, int64_t first, int64_t n,
                            bool is_edge, sm_error *e)
{
    int side = 0;
    entries at = entries_in(w, side, n);
    for (int64_t i = 0; i < n; i++) {
        at.rows[i] = (int32_t)(first + i);
        at.defs[i] = at.reps[i] = 0;
    }
    for (int32_t i = 0; i < l->n_steps; i++) {
        const path_step *s = &l->steps[i];
        c = enter_node(c, s->node, &at);
        if (!c) {
            return fail_null(s->node, e);
        }
        if (s->repeated) {
            side = !side;
            at = enter_list(w, c, s->repeated->max_rep, &at, side);
        }
        if (i + 1 < l->n_steps) {
            c = &c->children[s->child];
        }
    }
    int64_t n_full = 0;
    for (int64_t i = 0; i < at.n; i++) {
        SM_ASSERT((at.rows[i] >= 0) == (at.defs[i] == l->column.node->max_def));
        SM_ASSERT(at.reps[i] <= l->column.node->max_rep);
        if (at.rows[i] >= 0) {
            at.rows[n_full++] = at.rows[i];
        }
    }
    const smi_pq_levels levels = {at.defs, at.reps, at.n, at.rows, n_full, n, is_edge};
    return smi_pq_column_add_levels(&l->column, c, &levels, e);
}

/* Adds rows of a batch to the current row group, which has room for all of them. */
static sm_status add_rows(pq_writer *w, const sm_batch *b, int64_t first, int64_t n, sm_error *e)
{
    SM_ASSERT(n > 0 && w->n_rows + n <= w->group_rows && first + n <= b->n_rows);
    for (int32_t i = 0; i < w->n_leaves; i++) {
        out_leaf *l = &w->leaves[i];
        const sm_column *c = &b->columns[l->top];
        if (is_kept(w, i)) {
            continue;
        }
        if (l->n_steps == 1) {
            SM_TRY(smi_pq_column_add(&l->column, c, first, n, e));
            continue;
        }
        for (int64_t done = 0; done < n;) {
            const int64_t in_group = w->n_rows + done;
            const int64_t left = EDGE - in_group % EDGE;
            const int64_t take = n - done < left ? n - done : left;
            SM_TRY(add_nested(w, l, c, first + done, take, take == left, e));
            done += take;
        }
    }
    w->n_rows += n;
    return SM_OK;
}

/* ---- the calls ------------------------------------------------------------------------------- */

static int64_t most_rows(const pq_writer *w)
{
    return w->kept.is_open ? w->kept.from->n_rows : w->group_rows;
}

/* A row group of which columns stay gets another number of rows. */
static sm_status fail_kept(const pq_writer *w, int64_t n_rows, sm_error *e)
{
    return sm_fail(
        e, SM_CORRUPT, "%.*s: row group %" PRId64 " has %" PRId64 " rows, and gave %" PRId64,
        SM_STR_ARG(sm_blob_uri(w->kept.of.blob)), w->kept.of.group, w->kept.from->n_rows, n_rows);
}

static sm_status encode_batch(pq_writer *w, const sm_batch *b, sm_error *e)
{
    SM_ASSERT(b->n_columns == w->schema->n_fields);
    if (w->is_cut) {
        w->is_cut = false;
        SM_TRY(end_group(w, e));
    }
    for (int64_t first = 0; first < b->n_rows;) {
        const int64_t left = most_rows(w) - w->n_rows;
        const int64_t take = b->n_rows - first < left ? b->n_rows - first : left;
        if (take == 0) {
            return fail_kept(w, w->n_rows + b->n_rows - first, e);
        }
        SM_TRY(add_rows(w, b, first, take, e));
        first += take;
        SM_TRY(press_pending(w, e));
        SM_TRY(count_memory(w, e));
        if (w->n_rows == w->group_rows && !w->kept.is_open) {
            SM_TRY(end_group(w, e));
        }
    }
    return SM_OK;
}

static sm_status fail_again(sm_error *e)
{
    return sm_fail(e, SM_INTERNAL, "a Parquet writer that has failed was called again");
}

static sm_status writer_write(sm_writer *writer, sm_batch *rows, sm_waker waker, sm_error *e)
{
    pq_writer *w = (pq_writer *)(void *)writer;
    if (w->has_failed) {
        return fail_again(e);
    }
    sm_status st = SM_OK;
    SM_ASSERT(w->state == WRITING);
    if (!w->has_batch) {
        st = encode_batch(w, rows, e);
        w->has_batch = st == SM_OK;
    }
    if (st == SM_OK) {
        st = write_queue(w, waker, e);
    }
    if (st == SM_OK) {
        w->has_batch = false;
    }
    w->has_failed = !sm_status_is_answer(st);
    return st;
}

static void writer_cut(sm_writer *writer)
{
    pq_writer *w = (pq_writer *)(void *)writer;
    SM_ASSERT(!w->has_batch); /* between two batches */
    w->is_cut = true;
}

/* ---- row groups of another file -------------------------------------------------------------- */

/* Sets what the footer says of a chunk that is copied to off_bytes. */
static sm_status place_copied(pq_writer *w, int32_t leaf, const smi_pq_chunk *from, int64_t n_rows,
                              uint64_t off_bytes, smi_pq_written_chunk *c, sm_error *e)
{
    const out_leaf *l = &w->leaves[leaf];

    SM_ASSERT(c->is_copied && c->data_off >= from->off_bytes);
    c->node = l->column.node;
    c->path = l->names;
    c->n_path = l->n_names;
    c->dictionary_off = c->data_off > from->off_bytes ? off_bytes : 0;
    c->data_off = off_bytes + (c->data_off - from->off_bytes);
    if (l->n_steps == 1 && !smi_pq_seen_add_stats(&w->seen[l->top], c->node, &c->stats, n_rows)) {
        return sm_fail(e, SM_INTERNAL, "a row group without statistics was to be copied");
    }
    return SM_OK;
}

static void add_group(pq_writer *w, const smi_pq_written_group *g)
{
    w->groups = sm_arena_grow(w->mem, w->groups, w->n_groups, &w->groups_cap, sizeof(*w->groups));
    w->groups[w->n_groups++] = *g;
    w->total_rows += g->n_rows;
}

/* Takes a whole row group into the file; its bytes follow. */
static sm_status add_copied_group(pq_writer *w, smi_pq_written_group *g, sm_error *e)
{
    const smi_pq_group *from = &w->copy->from->groups[w->copy_group];
    uint64_t off_bytes = w->off_bytes;
    SM_ASSERT(g->n_rows == from->n_rows && g->n_rows > 0 && w->copy_bytes == 0);

    for (int32_t i = 0; i < w->n_leaves; i++) {
        SM_TRY(place_copied(w, i, &from->chunks[i], g->n_rows, off_bytes, &g->chunks[i], e));
        off_bytes += g->chunks[i].compressed_bytes;
    }
    add_group(w, g);
    return SM_OK;
}

/* Queues the next piece of the chunk; SM_END where it has no more. */
static sm_status queue_copied_piece(pq_writer *w, sm_blob *from, sm_error *e)
{
    const smi_pq_chunk *c = &w->copy->from->groups[w->copy_group].chunks[w->copy_leaf];
    SM_ASSERT(w->copy_bytes <= c->size_bytes && w->queue_at == w->n_queue);
    const uint64_t left = c->size_bytes - w->copy_bytes;
    const size_t n = left < COPY_BYTES ? (size_t)left : COPY_BYTES;
    sm_block *block = NULL;

    if (n == 0) {
        return SM_END;
    }
    SM_TRY(sm_block_new(w->budget, n, &block, e));
    const sm_status st = sm_blob_read(from, c->off_bytes + w->copy_bytes, n, block->data, e);
    if (st != SM_OK) {
        sm_block_release(block);
        return st;
    }
    queue_block(w, block, n);
    w->copy_bytes += n;
    return SM_OK;
}

/* Writes all bytes of the row groups that are left, from where it stands. */
static sm_status write_copied(pq_writer *w, sm_blob *from, sm_waker waker, sm_error *e)
{
    for (; w->copy_group < w->copy->from->n_groups; w->copy_group++, w->copy_leaf = 0) {
        if (!w->has_group) {
            SM_TRY(add_copied_group(w, &w->copy->groups[w->copy_group], e));
            w->has_group = true;
        }
        for (; w->copy_leaf < w->n_leaves; w->copy_leaf++, w->copy_bytes = 0) {
            sm_status st = SM_OK;
            while (st == SM_OK) {
                SM_TRY(write_queue(w, waker, e));
                st = queue_copied_piece(w, from, e);
            }
            if (st != SM_END) {
                return st;
            }
        }
        w->has_group = false;
    }
    return SM_OK;
}

static sm_status begin_copy(pq_writer *w, sm_blob *from, sm_error *e)
{
    const smi_pq_copy_opts o = {.schema = w->schema,
                                .root = w->root,
                                .n_leaves = w->n_leaves,
                                .codec = w->codec,
                                .group_rows = w->group_rows};

    SM_TRY(end_group(w, e));
    SM_ASSERT(w->n_rows == 0 && !w->has_group);
    SM_TRY(smi_pq_copy_find(from, &o, w->mem, &w->copy, e));
    if (!w->copy) {
        return sm_fail(e, SM_CORRUPT, "%.*s has changed while it was copied",
                       SM_STR_ARG(sm_blob_uri(from)));
    }
    w->copy_group = w->copy_leaf = 0;
    w->copy_bytes = 0;
    return SM_OK;
}

static sm_status writer_copy(sm_writer *writer, sm_blob *from, sm_waker waker, sm_error *e)
{
    pq_writer *w = (pq_writer *)(void *)writer;
    if (w->has_failed) {
        return fail_again(e);
    }
    SM_ASSERT(w->state == WRITING && !w->has_batch);
    sm_status st = w->copy ? SM_OK : begin_copy(w, from, e);
    if (st == SM_OK) {
        st = write_copied(w, from, waker, e);
    }
    if (st == SM_OK) {
        w->copy = NULL;
    }
    w->has_failed = !sm_status_is_answer(st);
    return st;
}

/* ---- a row group of which columns stay ------------------------------------------------------- */

/* Asks for pieces, as many as are to be read ahead. Where memory is refused, one that is on its way
 * frees some when it is written. */
static sm_status ask_pieces(kept_group *k, int32_t n_leaves, sm_error *e)
{
    while (k->asked_leaf < n_leaves) {
        const smi_pq_chunk *c = &k->from->chunks[k->asked_leaf];
        const uint64_t left = c->size_bytes - k->asked_at;
        if (!k->leaves[k->asked_leaf] || left == 0) {
            k->asked_leaf++;
            k->asked_at = 0;
            continue;
        }
        const size_t n = left < COPY_BYTES ? (size_t)left : COPY_BYTES;
        const int64_t n_ahead = k->n_asked - k->n_taken;
        if (n_ahead == KEPT_PIECES || (n_ahead > 0 && k->ahead_bytes + n > KEPT_BYTES)) {
            break;
        }
        const sm_range_read read = {.blob = k->of.blob,
                                    .off_bytes = c->off_bytes + k->asked_at,
                                    .len = n,
                                    .tag = (uint64_t)k->n_asked};
        const sm_status st = sm_fetch_request(k->of.fetch, &read, e);
        if (st == SM_BUDGET && n_ahead > 0) {
            *e = (sm_error){0};
            break;
        }
        SM_TRY(st);
        k->n_asked++;
        k->asked_at += n;
        k->ahead_bytes += n;
    }
    sm_fetch_send(k->of.fetch);
    return SM_OK;
}

/* Queues the next piece. */
static sm_status queue_piece(pq_writer *w, sm_waker waker, sm_error *e)
{
    kept_group *k = &w->kept;
    out_block *next = &k->pieces[k->n_taken % KEPT_PIECES];

    SM_TRY(ask_pieces(k, w->n_leaves, e));
    SM_ASSERT(k->n_taken < k->n_asked);
    while (!next->block) {
        sm_fetched got;
        const sm_status st = sm_fetch_next(k->of.fetch, waker, &got, e);
        SM_ENSURE(st != SM_END); /* the piece was asked for */
        SM_TRY(st);
        SM_ASSERT((int64_t)got.tag >= k->n_taken && (int64_t)got.tag < k->n_asked);
        k->pieces[got.tag % KEPT_PIECES] = (out_block){got.block, got.len};
    }
    queue_block(w, next->block, next->len);
    k->at += next->len;
    k->ahead_bytes -= next->len;
    k->n_taken++;
    *next = (out_block){0};
    return SM_OK;
}

/* Writes the chunk of a leaf that stays, from where it stands. */
static sm_status write_kept(pq_writer *w, int32_t leaf, sm_waker waker, sm_error *e)
{
    kept_group *k = &w->kept;
    const smi_pq_chunk *from = &k->from->chunks[leaf];

    if (!k->is_placed) {
        SM_TRY(
            place_copied(w, leaf, from, k->from->n_rows, w->off_bytes, &k->group.chunks[leaf], e));
        k->is_placed = true;
    }
    while (k->at < from->size_bytes) {
        SM_TRY(queue_piece(w, waker, e));
        SM_TRY(write_queue(w, waker, e));
    }
    return SM_OK;
}

static bool keeps_all(const pq_writer *w)
{
    bool all = true;

    for (int32_t i = 0; i < w->n_leaves; i++) {
        all = all && w->kept.leaves[i];
    }
    return all;
}

/* Ends the columns that were given. */
static sm_status end_given(pq_writer *w, sm_error *e)
{
    kept_group *k = &w->kept;

    if (w->n_rows != k->from->n_rows && !(keeps_all(w) && w->n_rows == 0)) {
        return fail_kept(w, w->n_rows, e);
    }
    SM_TRY(for_columns(w, end_column, e));
    SM_TRY(count_memory(w, e));
    k->is_ending = true;
    k->leaf = 0;
    k->at = 0;
    return SM_OK;
}

static sm_status write_mixed(pq_writer *w, sm_waker waker, sm_error *e)
{
    kept_group *k = &w->kept;

    for (; k->leaf < w->n_leaves; k->leaf++, k->at = 0, k->is_placed = false) {
        SM_TRY(write_queue(w, waker, e));
        if (k->leaves[k->leaf]) {
            SM_TRY(write_kept(w, k->leaf, waker, e));
        } else {
            SM_TRY(put_chunk(w, &w->leaves[k->leaf], &k->group.chunks[k->leaf], e));
        }
    }
    SM_TRY(write_queue(w, waker, e));
    add_group(w, &k->group);
    w->n_rows = 0;
    k->is_open = k->is_ending = false;
    return SM_OK;
}

static sm_status writer_end_kept(sm_writer *writer, sm_waker waker, sm_error *e)
{
    pq_writer *w = (pq_writer *)(void *)writer;

    if (w->has_failed) {
        return fail_again(e);
    }
    SM_ASSERT(w->state == WRITING && !w->has_batch && w->kept.is_open);
    sm_status st = w->kept.is_ending ? SM_OK : end_given(w, e);
    st = st == SM_OK ? write_mixed(w, waker, e) : st;
    w->has_failed = !sm_status_is_answer(st);
    return st;
}

static sm_status begin_kept(pq_writer *w, const sm_kept_group *g, sm_error *e)
{
    const smi_pq_copy *copy = g->from->of_format;
    kept_group *k = &w->kept;

    SM_ASSERT(!k->is_open && g->group >= 0 && g->group < g->from->n);
    SM_ASSERT(copy->from->n_leaves == w->n_leaves);
    SM_TRY(end_group(w, e));
    w->is_cut = false;
    *k = (kept_group){.of = *g,
                      .from = &copy->from->groups[g->group],
                      .leaves = k->leaves ? k->leaves : SM_NEW_ARRAY(w->mem, bool, w->n_leaves),
                      .group = copy->groups[g->group],
                      .is_open = true};
    k->group.chunks = SM_NEW_ARRAY(w->mem, smi_pq_written_chunk, w->n_leaves);
    for (int32_t i = 0; i < w->n_leaves; i++) {
        k->leaves[i] = !g->is_kept || g->is_kept[w->leaves[i].top];
        k->group.chunks[i] = copy->groups[g->group].chunks[i];
    }
    SM_ASSERT(keeps_all(w) || k->from->n_rows <= w->group_rows);
    return ask_pieces(k, w->n_leaves, e);
}

static sm_status writer_begin_kept(sm_writer *writer, const sm_kept_group *g, sm_error *e)
{
    pq_writer *w = (pq_writer *)(void *)writer;

    if (w->has_failed) {
        return fail_again(e);
    }
    SM_ASSERT(w->state == WRITING && !w->has_batch && !w->copy);
    const sm_status st = begin_kept(w, g, e);
    w->has_failed = st != SM_OK;
    return st;
}

/* ---- the end --------------------------------------------------------------------------------- */

static uint64_t writer_bytes(const sm_writer *writer)
{
    const pq_writer *w = (const pq_writer *)(const void *)writer;
    uint64_t total = w->off_bytes;
    for (int32_t i = 0; i < w->n_leaves; i++) {
        const smi_pq_column *c = &w->leaves[i].column;
        /* What is not compressed yet counts as a third: logs become a quarter to a half. */
        total += c->out.len + (c->raw.len + c->plain.len + c->codes.len / 4) / 3;
    }
    return total;
}

static sm_status queue_footer(pq_writer *w, sm_error *e)
{
    sm_buf footer = {0};
    smi_pq_index_write(w->groups, w->n_groups, w->n_leaves, w->off_bytes, &footer);
    smi_pq_footer_write(w->root, w->groups, w->n_groups, w->n_leaves, w->total_rows, &footer);
    const sm_status st = queue_bytes(w, sm_buf_str(&footer), (sm_str){0}, e);
    sm_buf_release(&footer);
    return st;
}

static void set_written(pq_writer *w, sm_written *out)
{
    sm_range *ranges = SM_NEW_ARRAY(w->mem, sm_range, w->schema->n_fields);
    for (int32_t i = 0; i < w->schema->n_fields; i++) {
        ranges[i] = (sm_range){.n_rows = w->total_rows};
    }
    for (int32_t i = 0; i < w->n_leaves; i++) {
        const out_leaf *l = &w->leaves[i];
        if (l->n_steps == 1) {
            smi_pq_seen_range(&w->seen[l->top], w->total_rows, w->mem, &ranges[l->top]);
        }
    }
    *out = (sm_written){
        .n_rows = w->total_rows,
        .size_bytes = w->off_bytes,
        .ranges = ranges,
        .n_ranges = w->schema->n_fields,
    };
}

static sm_status writer_finish(sm_writer *writer, sm_waker waker, sm_written *out, sm_error *e)
{
    pq_writer *w = (pq_writer *)(void *)writer;
    if (w->has_failed) {
        return fail_again(e);
    }
    sm_status st = SM_OK;
    SM_ASSERT(!w->has_batch && w->state != ENDED);
    if (w->state == WRITING) {
        st = end_group(w, e);
        if (st == SM_OK) {
            st = queue_footer(w, e);
        }
        if (st == SM_OK) {
            w->state = ENDING;
        }
    }
    if (st == SM_OK) {
        st = write_queue(w, waker, e);
    }
    if (st == SM_OK) {
        w->state = ENDED;
        set_written(w, out);
    }
    w->has_failed = !sm_status_is_answer(st);
    return st;
}

/* ---- open and close -------------------------------------------------------------------------- */

sm_status smi_pq_codec_of(const smi_pq_options *o, smi_pq_codec *out, sm_error *e)
{
    const struct {
        const char *name;
        smi_pq_codec codec;
    } codecs[] = {{"zstd", SMI_PQ_ZSTD}, {"snappy", SMI_PQ_SNAPPY}, {"none", SMI_PQ_UNCOMPRESSED}};
    for (int i = 0; i < SM_COUNT(codecs); i++) {
        if (sm_str_is(o->compression, codecs[i].name)) {
            *out = codecs[i].codec;
            return SM_OK;
        }
    }
    const sm_status st = sm_fail(e, SM_INVALID, "compression \"%.*s\"", SM_STR_ARG(o->compression));
    sm_error_todo(e, "Use zstd, snappy or none.");
    return st;
}

/* The path from a top-level column to each of its leaves, in the tree's order. */
typedef struct pathfinder {
    pq_writer *w;
    const smi_pq_options *opts;
    path_step steps[SMI_PQ_MAX_DEPTH];
    sm_str names[SMI_PQ_MAX_DEPTH + 1];
    int32_t n_steps, n_names, top, next_leaf;
} pathfinder;

static void add_leaf(pathfinder *p, const smi_pq_node *node, const sm_type *type)
{
    pq_writer *w = p->w;
    SM_ASSERT(p->next_leaf < w->n_leaves && node->leaf == p->next_leaf);
    out_leaf *l = &w->leaves[p->next_leaf++];
    smi_pq_column_init(&l->column, node, type, w->press, w->codec, p->opts->dictionary, w->budget);
    l->top = p->top;
    l->n_steps = p->n_steps;
    l->steps = SM_NEW_ARRAY(w->mem, path_step, p->n_steps);
    memcpy(l->steps, p->steps, (size_t)p->n_steps * sizeof(path_step));
    l->n_names = p->n_names;
    l->names = SM_NEW_ARRAY(w->mem, sm_str, p->n_names);
    memcpy(l->names, p->names, (size_t)p->n_names * sizeof(sm_str));
}

static void find_leaves(pathfinder *p, const smi_pq_node *node, const sm_type *type)
{
    SM_ASSERT(p->n_steps < SMI_PQ_MAX_DEPTH && p->n_names < SMI_PQ_MAX_DEPTH);
    path_step *s = &p->steps[p->n_steps++];
    p->names[p->n_names++] = node->name;
    *s = (path_step){.node = node, .type = type};
    if (!sm_type_is_nested(type->id)) {
        add_leaf(p, node, type);
    } else {
        const bool is_struct = type->id == SM_TYPE_STRUCT;
        const smi_pq_node *parent = is_struct ? node : node->children[0];
        if (!is_struct) {
            s->repeated = parent;
            p->names[p->n_names++] = parent->name;
        }
        for (int32_t i = 0; i < type->n_fields; i++) {
            s->child = i;
            find_leaves(p, parent->children[i], type->fields[i].type);
        }
        p->n_names -= !is_struct;
    }
    p->n_names--;
    p->n_steps--;
}

static sm_status prepare_writer(pq_writer *w, const smi_pq_options *o, sm_error *e)
{
    const smi_pq_node **leaves = NULL;
    SM_TRY(smi_pq_codec_of(o, &w->codec, e));
    if (o->row_group_rows < 1 || o->row_group_rows > INT32_MAX || o->level < 1 || o->level > 19) {
        return sm_fail(e, SM_INVALID, "row_group_rows %" PRId64 ", level %" PRId64,
                       o->row_group_rows, o->level);
    }
    w->group_rows = o->row_group_rows;
    SM_TRY(smi_pq_tree_of(w->schema, w->mem, &w->root, &leaves, &w->n_leaves, e));
    w->press = smi_pq_press_new(w->codec, (int)o->level);
    w->leaves = SM_NEW_ARRAY(w->mem, out_leaf, w->n_leaves);
    w->seen = SM_NEW_ARRAY(w->mem, smi_pq_seen, w->schema->n_fields);
    pathfinder *p = SM_NEW(w->mem, pathfinder);
    p->w = w;
    p->opts = o;
    for (int32_t i = 0; i < w->schema->n_fields; i++) {
        smi_pq_seen_init(&w->seen[i], w->schema->fields[i].type);
        p->top = i;
        find_leaves(p, w->root->children[i], w->schema->fields[i].type);
    }
    SM_ASSERT(p->next_leaf == w->n_leaves && p->n_steps == 0 && p->n_names == 0);
    const size_t reserve = reserve_of(w);
    SM_TRY(sm_budget_take(w->budget, reserve, e));
    w->taken = reserve;
    return queue_bytes(w, SM_STR(SMI_PQ_MAGIC), (sm_str){0}, e);
}

static void writer_close(sm_writer *writer)
{
    pq_writer *w = (pq_writer *)(void *)writer;
    if (!w) {
        return;
    }
    for (int32_t i = 0; i < w->n_leaves && w->leaves; i++) {
        smi_pq_column_release(&w->leaves[i].column);
    }
    for (int32_t i = 0; i < w->schema->n_fields && w->seen; i++) {
        smi_pq_seen_release(&w->seen[i]);
    }
    for (; w->queue_at < w->n_queue; w->queue_at++) {
        sm_block_release(w->queue[w->queue_at].block);
    }
    for (int i = 0; i < KEPT_PIECES; i++) {
        sm_block_release(w->kept.pieces[i].block);
    }
    for (int i = 0; i < 2; i++) {
        sm_buf_release(&w->rows[i]);
        sm_buf_release(&w->defs[i]);
        sm_buf_release(&w->reps[i]);
    }
    sm_free(w->queue);
    smi_pq_press_free(w->press);
    if (w->taken > 0) {
        sm_budget_give(w->budget, w->taken);
    }
    sm_arena_free(w->mem);
}

static sm_status writer_open(const sm_type *schema, const void *opts, sm_bytes_out to,
                             sm_pool *pool, sm_budget *budget, sm_writer **out, sm_error *e)
{
    sm_arena *mem = sm_arena_new(budget);
    pq_writer *w = SM_NEW(mem, pq_writer);
    w->mem = mem;
    w->budget = budget;
    w->pool = pool;
    w->to = to;
    w->schema = sm_type_copy(mem, schema);
    const sm_status st = prepare_writer(w, opts, e);
    if (st != SM_OK) {
        writer_close((sm_writer *)(void *)w);
        return st;
    }
    *out = (sm_writer *)(void *)w;
    return SM_OK;
}

const struct sm_writer_ops smi_pq_writer = {
    .open = writer_open,
    .write = writer_write,
    .bytes = writer_bytes,
    .finish = writer_finish,
    .close = writer_close,
    .can_copy = smi_pq_can_copy,
    .copy = writer_copy,
    .cut = writer_cut,
    .row_groups = smi_pq_row_groups,
    .begin_kept = writer_begin_kept,
    .end_kept = writer_end_kept,
};
