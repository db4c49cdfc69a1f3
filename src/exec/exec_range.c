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
 * Parts    Where the sink takes the rows in parts (exec_parts.c), all ranges of a part are a task.
 * Large    A range that does not fit in a driver's part of the memory goes through the sorter
 *          (exec_sorter.c), which needs no more than it is given.
 * Order    Total: by the number, then by the row's place in the input. So neither threads nor
 *          memory change what comes out. A range's rows come in runs whose rows are in the order of
 *          the input. The runs are put into that order; then a radix sort by the number suffices.
 * Why      Against runs that are merged: what is sorted and gathered at a time fits in the cache,
 *          rows take half as much memory, go to disk once and only those that have no room, and
 *          ranges are sorted side by side. */
#include "exec/exec_range_int.h"
#include "exec/exec_sorter_int.h"

#include <stdlib.h>
#include <string.h>

#define GROUP_ROWS  ((int64_t)65536) /* some MB, of which each range gets a thousand rows */
#define LEAST_GROUP ((int64_t)8192)  /* where memory is short */
#define UNPACKED    3    /* times as large are a range's rows as its parcels; 2.8 in logs */
#define STEPS       4096 /* so many more than ranges that few have a quantile within */

/* Rows that wait until there are enough of them. */
typedef struct row_group {
    smi_batches rows;
    smi_run *runs;
    int64_t n_runs, runs_cap;
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
    bool is_begun; /* it belongs to its task; changed under `giving` */
} range;

typedef struct range_end {
    smi_end end;
    smi_execution *exec;
    const sm_plan_node *node;
    sm_budget *budget;     /* of what is not in rows that are given: those may outlive the sort */
    const sm_type *schema; /* the node's, and the place: the task, and the row in the task */
    int32_t key;           /* the column that is sorted by */
    int32_t *columns;      /* of the node's schema, in `schema`: all but the last */
    int32_t n_ranges;
    int step_shift;           /* of settle_steps() */
    int32_t steps[STEPS + 1]; /* the first quantile that is of a step, or of one above */
    row_group *groups;        /* one a driver */
    smi_texts *texts;
    sm_mutex lock;
    /* under the lock */
    range *ranges;
    int32_t next_spilled; /* the range whose parcels go to disk next, if it has some */
    smi_spill *spill;
    size_t held_bytes, peak_bytes; /* of parcels */
    /* when rows are given */
    sm_mutex giving; /* taken before the other lock */
    int32_t *firsts; /* of each task its first range; and their number */
    int32_t n_tasks;
} range_end;

static void group_release(row_group *g)
{
    smi_batches_release(&g->rows);
    sm_free(g->runs);
    *g = (row_group){0};
}

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

/* Takes parcels for a piece. Where few ranges have all rows, not all of them: a piece comes back as
 * a whole. With the lock. */
static void take_for_piece(range_end *s, parcels *held, parcels *out)
{
    const size_t most = smi_memory_least_run(s->exec);
    size_t bytes = 0;

    while (held->n > 0 && (bytes == 0 || bytes + held->items[held->n - 1].bytes <= most)) {
        parcels_add(out, &held->items[--held->n]);
        bytes += out->items[out->n - 1].bytes;
    }
    s->held_bytes -= bytes;
}

/* Takes parcels in memory of a range that has some and is not begun. Ranges take turns, so that
 * each has several for a piece; from the last one on, as the first are given first. Returns its
 * number; −1: there is none. */
static int32_t take_held(range_end *s, parcels *out)
{
    int32_t found = -1;

    sm_mutex_lock(&s->lock);
    for (int32_t left = s->n_ranges; left > 0 && found < 0; left--) {
        const int32_t i = s->next_spilled;
        s->next_spilled = i > 0 ? i - 1 : s->n_ranges - 1;
        found = !s->ranges[i].is_begun && s->ranges[i].held.n > 0 ? i : -1;
    }
    if (found >= 0) {
        take_for_piece(s, &s->ranges[found].held, out);
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

/* Writes parcels while memory is short for what is there and so many bytes more. */
static sm_status spill_while_short(range_end *s, size_t more_bytes, sm_error *e)
{
    sm_status st = SM_OK;

    while (st == SM_OK && smi_memory_is_short(s->exec, more_bytes)) {
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

/* Prepares find_range(): a number's distance from the first quantile, without low bits, tells
 * between which of them it is, nearly always between two that follow each other. */
static void settle_steps(range_end *s)
{
    const uint64_t *quantiles = s->node->as.sort.quantiles;
    const int32_t n = s->n_ranges - 1;
    int32_t at = 0;

    while ((quantiles[n - 1] - quantiles[0]) >> s->step_shift >= STEPS) {
        s->step_shift++;
    }
    for (uint64_t step = 0; step <= STEPS; step++) {
        while (at < n && (quantiles[at] - quantiles[0]) >> s->step_shift < step) {
            at++;
        }
        s->steps[step] = at;
    }
}

/* The range of a number: how many quantiles are not above it. */
static inline uint32_t find_range(const range_end *s, uint64_t number)
{
    const uint64_t *quantiles = s->node->as.sort.quantiles;
    const uint64_t step = number < quantiles[0] ? 0 : (number - quantiles[0]) >> s->step_shift;
    int32_t first = step < STEPS ? s->steps[step] : s->n_ranges - 1;
    int32_t n = step < STEPS ? s->steps[step + 1] - first : 0; /* that are of the same step */

    while (n > 0) {
        const int32_t half = n / 2;
        const bool is_in = quantiles[first + half] <= number;
        first += is_in ? half + 1 : 0;
        n = is_in ? n - half - 1 : half;
    }
    return (uint32_t)first;
}

/* Finds the range of each row. */
static void find_ranges(const range_end *s, const row_group *g, uint32_t *out)
{
    for (int64_t b = 0; b < g->rows.n; b++) {
        const sm_column *c = &g->rows.items[b]->columns[s->key];
        SM_ASSERT(c->type->id == SM_TYPE_U64 && !c->validity && c->layout != SM_DICT);
        const uint64_t *numbers = c->values;
        for (int64_t i = 0; i < c->n_rows; i++) {
            out[i] = find_range(s, numbers[sm_column_at(c, i)]);
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
    const smi_group group = {.rows = &g->rows,
                             .schema = s->schema,
                             .runs = g->runs,
                             .n_runs = g->n_runs,
                             .ranges = ranges,
                             .n_ranges = s->n_ranges,
                             .texts = s->texts};
    SM_TRY_GOTO(st, done, smi_parcels_pack(&group, s->exec->env->budget, blocks, sizes, e));
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
    group_release(g);
    return st == SM_OK ? spill_while_short(s, 0, e) : st;
}

/* ---- the end --------------------------------------------------------------------------------- */

/* Counts n rows of a task, which go on with the group's last run, or begin one. */
static void add_run(row_group *g, smi_task *task, int64_t n)
{
    const uint64_t before = (uint64_t)(uintptr_t)task->end_state; /* rows before, in the task */
    const uint64_t place = task->ordinal << 32 | before;
    const smi_run *last = g->n_runs > 0 ? &g->runs[g->n_runs - 1] : NULL;

    SM_ASSERT(before + (uint64_t)n <= UINT32_MAX); /* places of two tasks stay apart */
    task->end_state = (void *)(uintptr_t)(before + (uint64_t)n);
    if (last && last->first + (uint64_t)last->n_rows == place) {
        g->runs[g->n_runs - 1].n_rows += n;
        return;
    }
    if (g->n_runs == g->runs_cap) {
        g->runs_cap = g->runs_cap ? g->runs_cap * 2 : 8;
        g->runs = sm_realloc(g->runs, (size_t)g->runs_cap * sizeof(*g->runs));
    }
    SM_ASSERT(g->runs && g->n_runs < g->runs_cap);
    g->runs[g->n_runs++] = (smi_run){place, n};
}

static sm_status range_push(smi_end *end, smi_driver *d, sm_batch *rows, sm_error *e)
{
    range_end *s = (range_end *)end;
    row_group *g = &s->groups[d->index];

    SM_ASSERT(rows->n_columns == s->schema->n_fields - 1);
    add_run(g, d->task, rows->n_rows);
    smi_batches_add(&g->rows, rows);
    g->n_rows += rows->n_rows;
    g->bytes += sm_batch_bytes(rows);
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

static void range_init(range_end *s, smi_execution *exec, const sm_plan_node *node)
{
    const sm_expr *key = node->as.sort.keys[0].expr;

    SM_ASSERT(node->as.sort.n_keys == 1 && key->kind == SM_EXPR_COLUMN);
    SM_ASSERT(!node->as.sort.keys[0].is_desc && key->type->id == SM_TYPE_U64);
    *s = (range_end){.end = {.push = range_push, .close = range_close, .node = node},
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
    s->texts = smi_texts_new(node->schema->n_fields, s->budget);
    settle_steps(s);
    sm_mutex_init(&s->lock);
    sm_mutex_init(&s->giving);
}

static void range_release(range_end *s)
{
    for (int i = 0; i < s->exec->n_drivers; i++) {
        group_release(&s->groups[i]);
    }
    for (int32_t i = 0; i < s->n_ranges; i++) {
        parcels_release(&s->ranges[i].held);
        sm_free(s->ranges[i].spilled.items);
        sm_block_release(s->ranges[i].piece);
    }
    sm_free(s->groups);
    sm_free(s->ranges);
    smi_texts_free(s->texts);
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

/* Rows of a range that follow each other in the input, from `begin` on, before `end`. */
typedef struct stretch {
    uint64_t first; /* place */
    int64_t begin, end;
} stretch;

static int by_place(const void *x, const void *y)
{
    const uint64_t a = ((const stretch *)x)->first, b = ((const stretch *)y)->first;
    return a < b ? -1 : a > b;
}

/* The stretches of n > 0 places, in the order of the input; to be freed. */
static stretch *find_stretches(const uint64_t *places, int64_t n, int64_t *n_found)
{
    int64_t cap = 0;
    stretch *all = NULL;

    *n_found = 0;
    for (int64_t i = 0; i < n; i++) {
        if (i > 0 && places[i] == places[i - 1] + 1) {
            continue;
        }
        if (*n_found == cap) {
            cap = cap ? cap * 2 : 128;
            all = sm_realloc(all, (size_t)cap * sizeof(*all));
        }
        all[(*n_found)++] = (stretch){places[i], i, n};
        if (*n_found > 1) {
            all[*n_found - 2].end = i;
        }
    }
    if (*n_found > 1) {
        qsort(all, (size_t)*n_found, sizeof(*all), by_place);
    }
    return all;
}

static int bits_of(uint64_t most)
{
    return most == 0 ? 0 : 64 - __builtin_clzll(most);
}

#define DIGIT_BITS 11 /* counts that fit into the first cache */

/* Sorts n numbers by their bits from `low` on, of which there are `bits`; `spare` has room for as
 * many. Numbers that are equal there keep their order. Returns where they are then: one of the
 * two. */
static uint64_t *sort_bits(uint64_t *numbers, uint64_t *spare, int64_t n, int low, int bits)
{
    const int n_digits = (bits + DIGIT_BITS - 1) / DIGIT_BITS;
    const int digit = n_digits > 0 ? (bits + n_digits - 1) / n_digits : 0;
    const uint64_t mask = ((uint64_t)1 << digit) - 1;

    for (int k = 0; k < n_digits; k++) {
        const int shift = low + k * digit;
        uint32_t ends[1 << DIGIT_BITS] = {0};
        uint32_t sum = 0;
        for (int64_t i = 0; i < n; i++) {
            ends[numbers[i] >> shift & mask]++;
        }
        for (uint64_t v = 0; v <= mask; v++) { /* first where each begins */
            const uint32_t some = ends[v];
            ends[v] = sum;
            sum += some;
        }
        for (int64_t i = 0; i < n; i++) {
            spare[ends[numbers[i] >> shift & mask]++] = numbers[i];
        }
        uint64_t *swap = numbers;
        numbers = spare;
        spare = swap;
    }
    return numbers;
}

/* The rows in order, as the comparison of whole keys gives it. */
static sm_status sort_slowly(range_end *s, sm_batch *rows, int32_t *order, sm_error *e)
{
    const smi_batches list = {.items = &rows, .n = 1};
    const smi_sort_spec spec = spec_of(s, &list);
    sm_block *block = NULL;
    int64_t n = rows->n_rows;

    SM_TRY(smi_sort_rows(s->exec, &spec, s->budget, &block, &n, e));
    const smi_sort_row *sorted = (const smi_sort_row *)(void *)block->data;
    for (int64_t i = 0; i < n; i++) {
        order[i] = (int32_t)sorted[i].ref.row;
    }
    sm_block_release(block);
    return SM_OK;
}

/* The order of a range's rows: *order is in *block. A number, without what all have in common, and
 * that of the row nearly always fit into 64 bits together. */
static sm_status sort_range(range_end *s, sm_batch *rows, sm_block **block, int32_t **order,
                            sm_error *e)
{
    const sm_column *key = &rows->columns[s->key];
    const uint64_t *numbers = key->values;
    const uint64_t *places = rows->columns[rows->n_columns - 1].values;
    const int64_t n = rows->n_rows;
    uint64_t least = UINT64_MAX, most = 0;
    int64_t n_stretches = 0, at = 0;

    SM_ASSERT(n > 0 && n <= INT32_MAX);
    for (int64_t i = 0; i < (key->layout == SM_CONST ? 1 : n); i++) {
        least = numbers[i] < least ? numbers[i] : least;
        most = numbers[i] > most ? numbers[i] : most;
    }
    const int low = bits_of((uint64_t)n - 1), bits = bits_of(most - least);
    SM_TRY(sm_block_new(s->budget, 2 * (size_t)n * sizeof(uint64_t), block, e));
    uint64_t *entries = (uint64_t *)(void *)(*block)->data;
    if (low + bits > 64) {
        *order = (int32_t *)(void *)entries;
        return sort_slowly(s, rows, *order, e);
    }
    stretch *all = find_stretches(places, n, &n_stretches);
    for (int64_t k = 0; k < n_stretches; k++) {
        for (int64_t i = all[k].begin; i < all[k].end; i++) {
            entries[at++] = (numbers[sm_column_at(key, i)] - least) << low | (uint64_t)i;
        }
    }
    sm_free(all);
    const uint64_t *sorted = sort_bits(entries, entries + n, n, low, bits);
    *order = (int32_t *)(void *)(sorted == entries ? entries + n : entries);
    for (int64_t i = 0; i < n; i++) {
        (*order)[i] = (int32_t)(sorted[i] & (((uint64_t)1 << low) - 1));
    }
    return sm_check_cancel(s->budget, e);
}

/* Sorts rows, and gives them. */
static sm_status give_rows(range_end *s, smi_driver *d, sm_batch *rows, sm_error *e)
{
    const int64_t n = rows->n_rows;
    sm_batch *shown = NULL; /* without the place */
    sm_block *block = NULL;
    int32_t *order = NULL;

    sm_status st = sort_range(s, rows, &block, &order, e);
    st = st == SM_OK ? sm_batch_project(rows, s->node->schema, s->columns, &shown, e) : st;
    for (int64_t at = 0; at < n && st == SM_OK && !smi_pipe_is_past(d->pipe, d->task->ordinal);) {
        const int64_t some = n - at < SM_BATCH_ROWS ? n - at : SM_BATCH_ROWS;
        sm_batch *b = NULL;
        st = sm_batch_gather(shown, order + at, some, s->exec->env->budget, &b, e);
        st = st == SM_OK ? give(s, d, b, e) : st;
        at += some;
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

static sm_status unpack(const range_end *s, sm_block *const *blocks, int64_t n, sm_budget *budget,
                        sm_batch **out, sm_error *e)
{
    const smi_parcels all = {.items = blocks, .n = n, .schema = s->schema, .texts = s->texts};
    return smi_parcels_unpack(&all, budget, out, e);
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
    st = st == SM_OK ? unpack(s, blocks, n, s->exec->env->budget, &rows, e) : st;
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
        const sm_status st = unpack(s, &block, 1, s->budget, &rows, e);
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

/* The memory in which a range is sorted at once: its parcels, and the rows that they become. */
static size_t sorting_bytes(const range *r)
{
    return r->bytes * (1 + UNPACKED);
}

/* Begins a range. Parcels of those that are not begun go to disk where memory is short, as this one
 * and what follows need room. A range is not begun while its parcels are being written, and they
 * are not written any more once it is. */
static sm_status make_room(range_end *s, int32_t i, size_t bytes, sm_error *e)
{
    sm_mutex_lock(&s->giving);
    s->ranges[i].is_begun = true;
    const sm_status st = spill_while_short(s, bytes, e);
    sm_mutex_unlock(&s->giving);
    return st;
}

static sm_status give_range(range_end *s, smi_driver *d, int32_t i, sm_error *e)
{
    range *r = &s->ranges[i];

    if (r->bytes == 0) {
        return SM_OK;
    }
    const bool is_small = sorting_bytes(r) <= smi_memory_of_driver(s->exec);
    SM_TRY(make_room(s, i, is_small ? sorting_bytes(r) : 0, e));
    return is_small ? give_small(s, d, r, e) : give_large(s, d, r, e);
}

static sm_status give_task(void *ctx, smi_driver *d, int64_t i, sm_error *e)
{
    range_end *s = ctx;

    SM_ASSERT(i < s->n_tasks && s->firsts[i] <= s->firsts[i + 1]);
    for (int32_t k = s->firsts[i]; k < s->firsts[i + 1]; k++) {
        if (smi_pipe_is_past(d->pipe, d->task->ordinal)) {
            break;
        }
        SM_TRY(give_range(s, d, k, e));
    }
    return SM_OK;
}

/* The range that begins with a quantile; of equal ones the first. */
static int32_t range_from(const range_end *s, uint64_t quantile)
{
    const uint64_t *quantiles = s->node->as.sort.quantiles;
    int32_t i = 0;

    while (i < s->n_ranges - 1 && quantiles[i] < quantile) {
        i++;
    }
    SM_ENSURE(i < s->n_ranges - 1 && quantiles[i] == quantile); /* a cut is a quantile */
    return i + 1;
}

/* Makes a task of each range, or of the ranges of each part of the sink. */
static void settle_tasks(range_end *s, const sm_sink_parts *parts)
{
    s->n_tasks = parts ? parts->n_cuts + 1 : s->n_ranges;
    s->firsts = SM_NEW_ARRAY(s->exec->arena, int32_t, s->n_tasks + 1);
    for (int32_t i = 1; i < s->n_tasks; i++) {
        s->firsts[i] = parts ? range_from(s, parts->cuts[i - 1]) : i;
    }
    s->firsts[s->n_tasks] = s->n_ranges;
}

bool smi_range_can(const sm_plan_node *node)
{
    return node->as.sort.n_quantiles > 0 && node->as.sort.limit < 0 && smi_parcel_can(node->schema);
}

sm_status smi_range_run(smi_execution *exec, const sm_plan_node *node, smi_op *next, smi_end *end,
                        uint64_t *turn, sm_error *e)
{
    const sm_sink *parted = exec->parted;
    range_end s;
    smi_tasks tasks;

    range_init(&s, exec, node);
    exec->parted = NULL; /* for this sort, and no other below it */
    settle_tasks(&s, parted ? parted->parts : NULL);
    sm_status st = smi_execute_into(exec, node->inputs[0], NULL, &s.end, e);
    for (int i = 0; i < exec->n_drivers && st == SM_OK; i++) {
        st = s.groups[i].n_rows > 0 ? divide_group(&s, &s.groups[i], e) : SM_OK;
    }
    st = st == SM_OK ? smi_texts_finish(s.texts, s.schema, exec->env->budget, e) : st;
    if (st == SM_OK) {
        smi_tasks_init(&tasks, node, s.n_tasks, give_task, &s);
        tasks.most_drivers = parted ? exec->n_parts : 0;
        st = smi_pipe_run(exec, &tasks.source, next, end, turn, e);
    }
    st = smi_within_operator(st, "ORDER BY", s.budget, e);
    range_release(&s);
    return st;
}
