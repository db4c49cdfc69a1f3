/* SPDX-License-Identifier: Apache-2.0
 *
 * exec/exec_range.c: sorts rows by a number of which it is known how its values lie.
 *
 * Calls    smi_range_run() by exec_sort.c, for sorts with quantiles (sm_plan_sort_even).
 * Method   The quantiles cut the numbers into ranges of about as many rows. A driver collects rows
 *          until GROUP_ROWS are there, then packs those of each range into a *parcel*
 *          (exec_range_pack.c), which it adds to the range's list. Where memory is short, ranges
 *          take turns in writing their parcels to disk. When all rows are there, each range is a
 *          task: it makes a batch of its parcels, sorts it in memory, and gives its rows. Ranges
 *          follow each other in the order of tasks.
 * Large    A range that does not fit in a share of the memory goes through the sorter
 *          (exec_sorter.c), which needs no more than it is given.
 * Order    Total: by the number, then by the row's place in the input. So neither threads nor
 *          memory change what comes out.
 * Why      Against runs that are merged: what is sorted and gathered at a time fits in the cache,
 *          rows take half as much memory, go to disk once and only those that have no room, and
 *          ranges are sorted side by side. */
#include "exec/exec_range_int.h"
#include "exec/exec_sorter_int.h"

#include <string.h>

#define GROUP_ROWS  ((int64_t)65536) /* some MB, of which each range gets a thousand rows */
#define LEAST_GROUP ((int64_t)8192)  /* where memory is short */

/* Rows that wait until there are enough of them. */
typedef struct row_group {
    smi_batches rows;
    int64_t n_rows;
    size_t bytes; /* what batches share is counted for each */
} row_group;

typedef struct parcel {
    sm_block *block;
    size_t bytes;
} parcel;

typedef struct parcels {
    parcel *items;
    int64_t n, cap;
} parcels;

/* Parcels on disk: the extents of pieces that have several, each behind its size (u64). */
typedef struct pieces {
    smi_extent *items;
    int64_t n, cap;
} pieces;

/* The rows between two quantiles. */
typedef struct range {
    parcels held;
    pieces spilled;
    int64_t n_parcels; /* in memory and on disk … */
    size_t bytes;      /* … and together */
    sm_block *piece;   /* that is being read, from at_bytes on; NULL: none */
    size_t at_bytes, piece_bytes;
} range;

typedef struct range_end {
    smi_end end;
    smi_execution *exec;
    const sm_plan_node *node;
    sm_budget *budget;     /* of what is not in rows that are given: those may outlive the sort */
    const sm_type *schema; /* the node's, and the place */
    int32_t key;           /* the column that is sorted by */
    int32_t *columns;      /* of the node's schema, in `schema`: all but the last */
    int32_t n_ranges;
    row_group *groups; /* one a driver */
    sm_mutex lock;
    /* under the lock */
    range *ranges;
    int32_t next_spilled; /* the range whose parcels go to disk next, if it has some */
    smi_spill *spill;
    size_t held_bytes, peak_bytes; /* of parcels */
    /* when rows are given */
    sm_mutex giving; /* taken before the other lock */
    int32_t n_begun; /* ranges below it belong to their tasks; changed under `giving` */
} range_end;

static void parcels_add(parcels *l, const parcel *taken)
{
    if (l->n == l->cap) {
        l->cap = l->cap ? l->cap * 2 : 16;
        l->items = sm_realloc(l->items, (size_t)l->cap * sizeof(*l->items));
    }
    l->items[l->n++] = *taken;
}

static void parcels_release(parcels *l)
{
    for (int64_t i = 0; i < l->n; i++) {
        sm_block_release(l->items[i].block);
    }
    sm_free(l->items);
    *l = (parcels){0};
}

/* ---- to disk and back ------------------------------------------------------------------------ */

static void pieces_add(pieces *l, smi_extent x)
{
    if (l->n == l->cap) {
        l->cap = l->cap ? l->cap * 2 : 4;
        l->items = sm_realloc(l->items, (size_t)l->cap * sizeof(*l->items));
    }
    l->items[l->n++] = x;
}

/* Takes the parcels in memory of a range that has some and is not begun. Ranges take turns, so that
 * each has several for a piece; from the last one on, as the first are given first. Returns its
 * number; −1: there is none. */
static int32_t take_held(range_end *s, parcels *out)
{
    int32_t found = -1;

    sm_mutex_lock(&s->lock);
    for (int32_t left = s->n_ranges; left > 0 && found < 0; left--) {
        if (s->next_spilled < s->n_begun) {
            s->next_spilled = s->n_ranges - 1;
        }
        const int32_t i = s->next_spilled--;
        found = i >= s->n_begun && s->ranges[i].held.n > 0 ? i : -1;
    }
    if (found >= 0) {
        *out = s->ranges[found].held;
        for (int64_t k = 0; k < out->n; k++) {
            s->held_bytes -= out->items[k].bytes;
        }
        s->ranges[found].held = (parcels){0};
    }
    sm_mutex_unlock(&s->lock);
    return found;
}

static sm_status add_to_piece(smi_piece *piece, const parcels *l, sm_error *e)
{
    for (int64_t i = 0; i < l->n; i++) {
        const uint64_t bytes = l->items[i].bytes;
        SM_TRY(smi_piece_add(piece, &bytes, sizeof(bytes), e));
        SM_TRY(smi_piece_add(piece, l->items[i].block->data, l->items[i].bytes, e));
    }
    return SM_OK;
}

/* Writes parcels of a range as one piece. */
static sm_status write_parcels(range_end *s, int32_t which, const parcels *l, sm_error *e)
{
    smi_piece *piece = NULL;
    smi_extent extent = {0};
    uint64_t bytes = 0;

    SM_ASSERT(l->n > 0 && which >= 0 && which < s->n_ranges);
    for (int64_t i = 0; i < l->n; i++) {
        bytes += sizeof(uint64_t) + l->items[i].bytes;
    }
    SM_TRY(smi_piece_begin(s->spill, bytes, &piece, e));
    const sm_status st = add_to_piece(piece, l, e);
    if (st != SM_OK) {
        smi_piece_drop(piece);
        return st;
    }
    SM_TRY(smi_piece_end(piece, &extent, e));
    sm_mutex_lock(&s->lock);
    pieces_add(&s->ranges[which].spilled, extent);
    sm_mutex_unlock(&s->lock);
    return SM_OK;
}

static sm_status make_spill(range_end *s, sm_error *e)
{
    sm_status st = SM_OK;

    sm_mutex_lock(&s->lock);
    if (!s->spill) {
        st = smi_spill_new(s->exec, s->node, &s->spill, e);
        if (st == SM_OK) {
            smi_spill_as_is(s->spill); /* parcels have few bytes already */
        }
    }
    sm_mutex_unlock(&s->lock);
    return st;
}

/* Writes parcels while memory is short. */
static sm_status spill_while_short(range_end *s, sm_error *e)
{
    sm_status st = SM_OK;

    while (st == SM_OK && smi_memory_is_short(s->exec, 0)) {
        parcels held = {0};
        const int32_t which = take_held(s, &held);
        if (which < 0) {
            break;
        }
        st = make_spill(s, e);
        st = st == SM_OK ? write_parcels(s, which, &held, e) : st;
        parcels_release(&held);
    }
    return st;
}

static sm_status read_piece(range_end *s, range *r, sm_error *e)
{
    const smi_extent *x = &r->spilled.items[--r->spilled.n];
    sm_block *block = NULL;

    SM_ASSERT(!r->piece);
    SM_TRY(sm_block_new(s->exec->env->budget, x->plain_bytes, &block, e));
    const sm_status st = smi_spill_get(s->spill, x, block->data, e);
    if (st != SM_OK) {
        sm_block_release(block);
        return st;
    }
    smi_spill_drop(s->spill, x);
    r->piece = block;
    r->piece_bytes = x->plain_bytes;
    r->at_bytes = 0;
    return SM_OK;
}

/* Takes the next parcel of the range's piece. */
static sm_status next_of_piece(range_end *s, range *r, sm_block **out, sm_error *e)
{
    uint64_t bytes = 0;

    memcpy(&bytes, r->piece->data + r->at_bytes, sizeof(bytes));
    r->at_bytes += sizeof(bytes);
    SM_ASSERT(bytes <= r->piece_bytes - r->at_bytes);
    SM_TRY(sm_block_new(s->exec->env->budget, bytes, out, e));
    memcpy((*out)->data, r->piece->data + r->at_bytes, bytes);
    r->at_bytes += bytes;
    if (r->at_bytes == r->piece_bytes) {
        sm_block_release(r->piece);
        r->piece = NULL;
    }
    return SM_OK;
}

/* ---- dividing -------------------------------------------------------------------------------- */

/* Finds the range of each row: how many quantiles are not above its number. All rows of a batch
 * take a step before the next step, so that no row waits for another, nor for a branch. */
static void find_ranges(const range_end *s, const row_group *g, uint32_t *out)
{
    const uint64_t *quantiles = s->node->as.sort.quantiles;
    const uint32_t n_quantiles = (uint32_t)s->n_ranges - 1;
    uint32_t first_step = 1;

    while (first_step <= n_quantiles / 2) {
        first_step *= 2;
    }
    memset(out, 0, (size_t)g->n_rows * sizeof(*out));
    for (int64_t b = 0; b < g->rows.n; b++) {
        const sm_column *c = &g->rows.items[b]->columns[s->key];
        SM_ASSERT(c->type->id == SM_TYPE_U64 && !c->validity && c->layout != SM_DICT);
        const uint64_t *numbers = c->values;
        for (uint32_t step = first_step; step > 0; step /= 2) {
            for (int64_t i = 0; i < c->n_rows; i++) {
                const uint32_t at = out[i] + step;
                const uint32_t last = at <= n_quantiles ? at - 1 : n_quantiles - 1;
                const uint32_t is_in =
                    (at <= n_quantiles) & (quantiles[last] <= numbers[sm_column_at(c, i)]);
                out[i] += step & (0 - is_in);
            }
        }
        out += c->n_rows;
    }
}

/* Divides the rows of a group among the ranges, and empties it. */
static sm_status divide_group(range_end *s, row_group *g, sm_error *e)
{
    const size_t n_ranges = (size_t)s->n_ranges;
    const size_t entry_bytes = sizeof(sm_block *) + sizeof(size_t);
    sm_block *scratch = NULL;
    sm_status st = SM_OK;

    SM_TRY_GOTO(st, done,
                sm_block_new(s->budget,
                             n_ranges * entry_bytes + (size_t)g->n_rows * sizeof(uint32_t),
                             &scratch, e));
    sm_block **blocks = (sm_block **)(void *)scratch->data;
    size_t *sizes = (size_t *)(void *)(blocks + n_ranges);
    uint32_t *ranges = (uint32_t *)(void *)(sizes + n_ranges);
    find_ranges(s, g, ranges);
    SM_TRY_GOTO(st, done,
                smi_parcels_pack(&g->rows, s->schema, ranges, s->n_ranges, s->exec->env->budget,
                                 blocks, sizes, e));
    sm_mutex_lock(&s->lock);
    for (size_t i = 0; i < n_ranges; i++) {
        if (blocks[i]) {
            parcels_add(&s->ranges[i].held, &(parcel){.block = blocks[i], .bytes = sizes[i]});
            s->ranges[i].n_parcels++;
            s->ranges[i].bytes += sizes[i];
            s->held_bytes += sizes[i];
        }
    }
    s->peak_bytes = s->held_bytes > s->peak_bytes ? s->held_bytes : s->peak_bytes;
    sm_mutex_unlock(&s->lock);
done:
    sm_block_release(scratch);
    smi_batches_release(&g->rows);
    *g = (row_group){0};
    return st == SM_OK ? spill_while_short(s, e) : st;
}

/* ---- the end --------------------------------------------------------------------------------- */

/* The batch with the places of its rows. */
static sm_status with_places(range_end *s, smi_driver *d, sm_batch *rows, sm_batch **out,
                             sm_error *e)
{
    const uint64_t first = (uint64_t)(uintptr_t)d->task->end_state; /* rows before, in the task */
    void *places = NULL;
    sm_batch *b = NULL;

    SM_ASSERT(first + (uint64_t)rows->n_rows <= UINT32_MAX); /* places of two tasks stay apart */
    SM_TRY(sm_batch_new(s->budget, s->schema, &b, e));
    sm_batch_keep_all(b, rows);
    const sm_status st = sm_batch_alloc(b, (size_t)rows->n_rows * sizeof(uint64_t), &places, e);
    if (st != SM_OK) {
        sm_batch_release(b);
        return st;
    }
    for (int64_t i = 0; i < rows->n_rows; i++) {
        ((uint64_t *)places)[i] = d->task->ordinal << 32 | (first + (uint64_t)i);
    }
    memcpy(b->columns, rows->columns, (size_t)rows->n_columns * sizeof(*b->columns));
    b->columns[rows->n_columns] =
        (sm_column){.type = &sm_type_u64, .n_rows = rows->n_rows, .values = places};
    b->n_rows = rows->n_rows;
    d->task->end_state = (void *)(uintptr_t)(first + (uint64_t)rows->n_rows);
    *out = b;
    return SM_OK;
}

static sm_status range_push(smi_end *end, smi_driver *d, sm_batch *rows, sm_error *e)
{
    range_end *s = (range_end *)end;
    row_group *g = &s->groups[d->index];
    sm_batch *placed = NULL;

    SM_ASSERT(rows->n_columns == s->schema->n_fields - 1);
    const sm_status st = with_places(s, d, rows, &placed, e);
    sm_batch_release(rows);
    SM_TRY(st);
    smi_batches_add(&g->rows, placed);
    g->n_rows += placed->n_rows;
    g->bytes += sm_batch_bytes(placed);
    const bool is_worth_it = g->n_rows >= LEAST_GROUP || g->bytes > smi_memory_share(s->exec);
    const bool is_full =
        g->n_rows >= GROUP_ROWS || (is_worth_it && smi_memory_is_short(s->exec, 0));
    return is_full ? divide_group(s, g, e) : SM_OK;
}

static sm_status range_close(smi_end *end, smi_driver *d, sm_error *e)
{
    (void)end, (void)d, (void)e;
    return SM_OK;
}

static sm_status range_drain(smi_end *end, smi_driver *d, sm_error *e)
{
    (void)end, (void)d, (void)e;
    return SM_OK;
}

static bool range_is_empty(smi_end *end)
{
    (void)end;
    return true;
}

static void range_init(range_end *s, smi_execution *exec, const sm_plan_node *node)
{
    const sm_expr *key = node->as.sort.keys[0].expr;

    SM_ASSERT(node->as.sort.n_keys == 1 && key->kind == SM_EXPR_COLUMN);
    SM_ASSERT(!node->as.sort.keys[0].is_desc && key->type->id == SM_TYPE_U64);
    *s = (range_end){.end = {.push = range_push,
                             .close = range_close,
                             .drain = range_drain,
                             .is_empty = range_is_empty,
                             .node = node},
                     .exec = exec,
                     .node = node,
                     .budget = sm_budget_new(exec->env->budget, "sort", 0),
                     .schema = smi_with_place(exec->arena, node->schema),
                     .key = key->index,
                     .n_ranges = node->as.sort.n_quantiles + 1,
                     .next_spilled = node->as.sort.n_quantiles};
    s->columns = SM_NEW_ARRAY(exec->arena, int32_t, node->schema->n_fields + 1);
    for (int32_t i = 0; i < node->schema->n_fields; i++) {
        s->columns[i] = i;
    }
    s->groups = sm_alloc_zero((size_t)exec->n_drivers * sizeof(*s->groups));
    s->ranges = sm_alloc_zero((size_t)s->n_ranges * sizeof(*s->ranges));
    sm_mutex_init(&s->lock);
    sm_mutex_init(&s->giving);
}

static void range_release(range_end *s)
{
    for (int i = 0; i < s->exec->n_drivers; i++) {
        smi_batches_release(&s->groups[i].rows);
    }
    for (int32_t i = 0; i < s->n_ranges; i++) {
        parcels_release(&s->ranges[i].held);
        sm_free(s->ranges[i].spilled.items);
        sm_block_release(s->ranges[i].piece);
    }
    sm_free(s->groups);
    sm_free(s->ranges);
    smi_spill_free(s->spill);
    sm_mutex_release(&s->lock);
    sm_mutex_release(&s->giving);
    smi_report_peak(s->exec, s->node, s->budget);
    smi_profile(s->exec, 0, s->node)->peak_bytes += (int64_t)s->peak_bytes;
    sm_budget_free(s->budget);
}

/* ---- giving ---------------------------------------------------------------------------------- */

static smi_sort_spec spec_of(const range_end *s, const smi_batches *rows)
{
    return (smi_sort_spec){.rows = rows,
                           .keys = s->node->as.sort.keys,
                           .n_keys = 1,
                           .first = s->key,
                           .place = s->schema->n_fields - 1};
}

static sm_status give(range_end *s, smi_driver *d, sm_batch *rows, sm_error *e)
{
    rows->ordinal = d->task->ordinal;
    return smi_give(d, s->node, d->pipe->first, rows, e);
}

/* A number of some bits. */
typedef struct field {
    uint64_t least, most;
} field;

static void see(field *f, uint64_t v)
{
    f->least = v < f->least ? v : f->least;
    f->most = v > f->most ? v : f->most;
}

static int bits_of(const field *f)
{
    return f->most == f->least ? 0 : 64 - __builtin_clzll(f->most - f->least);
}

/* Sorts entries by the low `bits` of their prefixes, a byte at a time; `spare` has room for as
 * many. Returns where they are then: one of the two. */
static smi_sort_row *sort_bytes(smi_sort_row *rows, smi_sort_row *spare, int64_t n, int bits)
{
    for (int shift = 0; shift < bits; shift += 8) {
        uint32_t ends[256] = {0};
        uint32_t sum = 0;
        for (int64_t i = 0; i < n; i++) {
            ends[rows[i].prefix >> shift & 255]++;
        }
        for (int k = 0; k < 256; k++) { /* first where each begins */
            const uint32_t some = ends[k];
            ends[k] = sum;
            sum += some;
        }
        for (int64_t i = 0; i < n; i++) {
            spare[ends[rows[i].prefix >> shift & 255]++] = rows[i];
        }
        smi_sort_row *swap = rows;
        rows = spare;
        spare = swap;
    }
    return rows;
}

/* The order of rows, as smi_sort_rows() gives it: *order is in *block. Number, task and row in the
 * task nearly always fit into 64 bits together. */
static sm_status sort_range(range_end *s, sm_batch *rows, sm_block **block,
                            const smi_sort_row **order, sm_error *e)
{
    const smi_batches list = {.items = &rows, .n = 1};
    const smi_sort_spec spec = spec_of(s, &list);
    const sm_column *key = &rows->columns[s->key];
    const uint64_t *numbers = key->values, *places = rows->columns[spec.place].values;
    field number = {UINT64_MAX, 0}, task = {UINT64_MAX, 0}, row = {UINT64_MAX, 0};
    int64_t n = rows->n_rows;

    for (int64_t i = 0; i < n; i++) {
        const uint64_t place = places[sm_column_at(&rows->columns[spec.place], i)];
        see(&number, numbers[sm_column_at(key, i)]);
        see(&task, place >> 32);
        see(&row, place & UINT32_MAX);
    }
    const int row_bits = bits_of(&row), low_bits = row_bits + bits_of(&task);
    const int bits = low_bits + bits_of(&number);
    if (bits > 64 || low_bits == 64 || n > INT32_MAX) {
        SM_TRY(smi_sort_rows(s->exec, &spec, s->budget, block, &n, e));
        *order = (const smi_sort_row *)(void *)(*block)->data;
        return SM_OK;
    }
    SM_TRY(sm_block_new(s->budget, 2 * (size_t)n * sizeof(smi_sort_row), block, e));
    smi_sort_row *entries = (smi_sort_row *)(void *)(*block)->data;
    for (int64_t i = 0; i < n; i++) {
        const uint64_t place = places[sm_column_at(&rows->columns[spec.place], i)];
        entries[i] = (smi_sort_row){
            .prefix = (numbers[sm_column_at(key, i)] - number.least) << low_bits |
                      ((place >> 32) - task.least) << row_bits | ((place & UINT32_MAX) - row.least),
            .ref = {.row = (uint32_t)i},
        };
    }
    *order = sort_bytes(entries, entries + n, n, bits);
    return sm_check_cancel(s->budget, e);
}

/* Sorts rows, and gives them. */
static sm_status give_rows(range_end *s, smi_driver *d, sm_batch *rows, sm_error *e)
{
    const int64_t n = rows->n_rows;
    const smi_sort_row *order = NULL;
    sm_batch *shown = NULL; /* without the place */
    sm_block *block = NULL;
    int32_t numbers[SM_BATCH_ROWS];

    sm_status st = sort_range(s, rows, &block, &order, e);
    st = st == SM_OK ? sm_batch_project(rows, s->node->schema, s->columns, &shown, e) : st;
    for (int64_t at = 0; at < n && st == SM_OK && !smi_pipe_is_past(d->pipe, d->task->ordinal);) {
        sm_batch *b = NULL;
        int64_t some = 0;
        for (; some < SM_BATCH_ROWS && at < n; some++, at++) {
            numbers[some] = (int32_t)order[at].ref.row;
        }
        st = sm_batch_gather(shown, numbers, some, s->exec->env->budget, &b, e);
        st = st == SM_OK ? give(s, d, b, e) : st;
    }
    sm_batch_release(shown);
    sm_block_release(block);
    return st;
}

/* Takes the next parcel of a range; *out is NULL at the end. */
static sm_status take_parcel(range_end *s, range *r, sm_block **out, sm_error *e)
{
    *out = NULL;
    if (r->held.n > 0) {
        *out = r->held.items[--r->held.n].block;
        return SM_OK;
    }
    if (!r->piece && r->spilled.n > 0) {
        SM_TRY(read_piece(s, r, e));
    }
    return r->piece ? next_of_piece(s, r, out, e) : SM_OK;
}

static sm_status give_small(range_end *s, smi_driver *d, range *r, sm_error *e)
{
    sm_block **blocks = sm_alloc_zero((size_t)r->n_parcels * sizeof(sm_block *));
    sm_batch *rows = NULL;
    sm_status st = SM_OK;
    int64_t n = 0;

    while (st == SM_OK && n < r->n_parcels) {
        st = take_parcel(s, r, &blocks[n], e);
        n += st == SM_OK;
    }
    st =
        st == SM_OK ? smi_parcels_unpack(blocks, n, s->schema, s->exec->env->budget, &rows, e) : st;
    for (int64_t i = 0; i < n; i++) {
        sm_block_release(blocks[i]);
    }
    sm_free(blocks);
    SM_TRY(st);
    st = give_rows(s, d, rows, e);
    sm_batch_release(rows);
    return st;
}

/* Adds all rows of a range to a sorter. */
static sm_status add_all(range_end *s, range *r, smi_sorter *sorter, sm_error *e)
{
    for (;;) {
        sm_block *block = NULL;
        sm_batch *rows = NULL;
        SM_TRY(take_parcel(s, r, &block, e));
        if (!block) {
            return SM_OK;
        }
        const sm_status st = smi_parcels_unpack(&block, 1, s->schema, s->budget, &rows, e);
        sm_block_release(block);
        SM_TRY(st);
        SM_TRY(smi_sorter_add(sorter, rows, e));
    }
}

/* A range that has too many rows for the memory. */
static sm_status give_large(range_end *s, smi_driver *d, range *r, sm_error *e)
{
    const smi_sort_spec spec = spec_of(s, NULL);
    smi_sorter sorter;
    sm_batch *rows = NULL;

    smi_sorter_init(&sorter, s->exec, s->node, s->budget, s->schema, &spec);
    sorter.is_of_driver = true;
    sm_status st = add_all(s, r, &sorter, e);
    st = st == SM_OK ? smi_sorter_finish(&sorter, e) : st;
    while (st == SM_OK && !smi_pipe_is_past(d->pipe, d->task->ordinal)) {
        st = smi_sorter_next(&sorter, s->node->schema, s->exec->env->budget, &rows, e);
        if (st != SM_OK || !rows) {
            break;
        }
        st = give(s, d, rows, e);
    }
    sm_mutex_lock(&s->lock); /* several ranges may be large */
    smi_sorter_release(&sorter);
    sm_mutex_unlock(&s->lock);
    return st;
}

/* Begins a range. Parcels of those that are not begun go to disk where memory is short, as this one
 * and what follows need room. A range is not begun while its parcels are being written, and they
 * are not written any more once it is. */
static sm_status make_room(range_end *s, int32_t i, sm_error *e)
{
    sm_mutex_lock(&s->giving);
    s->n_begun = i >= s->n_begun ? i + 1 : s->n_begun;
    const sm_status st = spill_while_short(s, e);
    sm_mutex_unlock(&s->giving);
    return st;
}

static sm_status give_range(void *ctx, smi_driver *d, int64_t i, sm_error *e)
{
    range_end *s = ctx;
    range *r = &s->ranges[i];

    if (r->bytes == 0) {
        return SM_OK;
    }
    SM_TRY(make_room(s, (int32_t)i, e));
    return r->bytes <= smi_memory_share(s->exec) ? give_small(s, d, r, e) : give_large(s, d, r, e);
}

bool smi_range_can(const sm_plan_node *node)
{
    return node->as.sort.n_quantiles > 0 && node->as.sort.limit < 0 && smi_parcel_can(node->schema);
}

sm_status smi_range_run(smi_execution *exec, const sm_plan_node *node, smi_op *next, smi_end *end,
                        uint64_t *turn, sm_error *e)
{
    range_end s;
    smi_tasks tasks;

    range_init(&s, exec, node);
    sm_status st = smi_execute_into(exec, node->inputs[0], NULL, &s.end, e);
    for (int i = 0; i < exec->n_drivers && st == SM_OK; i++) {
        st = s.groups[i].n_rows > 0 ? divide_group(&s, &s.groups[i], e) : SM_OK;
    }
    if (st == SM_OK) {
        smi_tasks_init(&tasks, node, s.n_ranges, give_range, &s);
        st = smi_pipe_run(exec, &tasks.source, next, end, turn, e);
    }
    st = smi_within_operator(st, "ORDER BY", s.budget, e);
    range_release(&s);
    return st;
}
