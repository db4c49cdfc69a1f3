/* SPDX-License-Identifier: Apache-2.0
 *
 * exec/exec_agg.c: GROUP BY, first half: takes rows in, morsel by morsel.
 *
 * Calls    smi_aggregate_run() by exec_run.c: makes the end, runs the input into it, folds what is
 *          left (exec_agg_fold.c), gives the groups out, frees.
 * Method   The top 8 bits of a 64-bit hash of the keys pick one of 256 partitions. Each morsel
 *          becomes *chunks*, in one of two modes:
 *            rows    keys and arguments are evaluated, and every ROWS_MAX rows are scattered into a
 *                    chunk, compact and sorted by partition;
 *            groups  where its first rows have few groups, the morsel is aggregated into a table of
 *                    its own, whose groups, with their states, become one chunk.
 *          The morsel's first batch alone decides the mode, so the result does not depend on
 *          threads. Chunks are *folded* into the partitions in the order of morsels, as soon as
 *          fold_bytes of them wait whose turn has come. So memory stays bounded, and no lock is
 *          taken for a row. A driver that comes while too much waits takes part in the fold.
 * Packed   Where keys, arguments and states are a few words, rows become records of words instead
 *          (exec_pack.c). The chunks, their order and the folding are the same.
 * FILTER   The aggregates with the same FILTER form a *lane*: their arguments are evaluated for the
 *          rows that pass, and for no others.
 * Why      With a million groups one table misses the cache on every row; 256 stay in it.
 * Source   Leis et al., Morsel-Driven Parallelism, SIGMOD 2014, section 4.4. */
#include "exec/exec_agg_int.h"

#include <string.h>

#define RING     (SMI_AHEAD_MAX * 2)
#define ROWS_MAX 32768 /* of a chunk: 128 a partition, long enough runs for the aggregates' loops */

struct smi_agg_morsel {
    smi_agg_morsel *before, *after; /* among the open ones */
    enum { MODE_UNDECIDED, MODE_ROWS, MODE_GROUPS } mode;
    smi_batches *lanes; /* evaluated, not scattered yet */
    int64_t n_rows;     /* of lane 0 among them */
    uint64_t ordinal;
    bool is_early; /* as its chunks */
    uint32_t n_puts;
    smi_groups *groups;
    sm_agg_heap *heap;
    smi_pack_table *packed; /* MODE_GROUPS of packed records */
    smi_chunks done;
};

void smi_agg_move(smi_agg *a, smi_agg_state to)
{
    const smi_agg_state from = atomic_load(&a->state);
    SM_ASSERT(to > from && (to == SMI_AGG_SPILLING ? from == SMI_AGG_FILLING
                            : to == SMI_AGG_GIVING ? from <= SMI_AGG_SPILLING
                                                   : from == SMI_AGG_GIVING));
    SM_ASSERT(to != SMI_AGG_SPILLING || a->spill);
    atomic_store(&a->state, (int)to);
}

/* ---- chunks ---------------------------------------------------------------------------------- */

static void chunk_free(smi_chunk *c)
{
    for (int32_t l = 0; l < c->n_lanes; l++) {
        sm_batch_release(c->lanes[l].rows);
    }
    smi_groups_free(c->groups);
    sm_agg_heap_free(c->heap);
    smi_packed_free(c->packed);
    sm_free(c->lanes);
    sm_free(c);
}

static void chunks_release(smi_chunks *l)
{
    while (l->head) {
        smi_chunk *c = l->head;
        l->head = c->next;
        chunk_free(c);
    }
    *l = (smi_chunks){0};
}

static void chunks_move(smi_chunks *from, smi_chunks *to)
{
    if (from->head) {
        *(to->tail ? &to->tail->next : &to->head) = from->head;
        to->tail = from->tail;
        to->size_bytes += from->size_bytes;
    }
    *from = (smi_chunks){0};
}

static void add_chunk(smi_agg_morsel *m, smi_chunk *c)
{
    c->ordinal = m->ordinal;
    c->is_early = m->is_early;
    for (int32_t i = 0; i < c->n_lanes; i++) {
        c->size_bytes += sm_batch_bytes(c->lanes[i].rows);
    }
    c->size_bytes += c->packed ? smi_packed_bytes(c->packed) : 0;
    smi_chunks one = {.head = c, .tail = c, .size_bytes = c->size_bytes};
    chunks_move(&one, &m->done);
}

static smi_chunk *chunk_new(int32_t n_lanes)
{
    smi_chunk *c = sm_alloc_zero(sizeof(*c));
    c->n_lanes = n_lanes;
    c->lanes = sm_alloc_zero((size_t)n_lanes * sizeof(*c->lanes));
    return c;
}

/* ---- scattering ------------------------------------------------------------------------------ */

/* Where a row of lane 0 went: its partition, and its place among the partition's rows. */
typedef struct row_place {
    uint32_t part, in_part;
} row_place;

/* Sets where each partition's rows start, from their counts. Returns the number of rows with
 * padding. */
static int64_t place_partitions(smi_chunk_lane *lane)
{
    uint32_t at = 0;
    for (int p = 0; p < SMI_PARTS; p++) {
        lane->first[p] = at;
        at += (lane->count[p] + 7) & ~7u;
    }
    return at;
}

static sm_status gather_lane(smi_agg *a, const smi_batches *rows, const sm_type *schema,
                             const smi_ref *refs, int64_t n, smi_chunk_lane *lane, sm_error *e)
{
    return smi_gather_rows(rows, 0, refs, n, schema, a->budget, &lane->rows, e);
}

/* The last column of an evaluated batch: hashes in lane 0, rows in the others. */
static const uint64_t *last_column(const sm_batch *b)
{
    return b->columns[b->n_columns - 1].values;
}

static sm_status scatter_keys(smi_agg *a, const smi_batches *rows, const sm_type *schema,
                              smi_chunk_lane *lane, row_place *places, sm_error *e)
{
    int64_t at = 0;
    for (int64_t b = 0; b < rows->n; b++) {
        const uint64_t *hashes = last_column(rows->items[b]);
        for (int64_t i = 0; i < rows->items[b]->n_rows; i++, at++) {
            const uint32_t p = smi_part_of(hashes[i]);
            places[at] = (row_place){.part = p, .in_part = lane->count[p]++};
        }
    }
    const int64_t n = place_partitions(lane);
    smi_ref *refs = sm_alloc((size_t)n * sizeof(*refs));
    memset(refs, 0,
           (size_t)n * sizeof(*refs)); /* the padding between partitions: any row will do */
    at = 0;
    for (int64_t b = 0; b < rows->n; b++) {
        for (int64_t i = 0; i < rows->items[b]->n_rows; i++, at++) {
            SM_ASSERT(places[at].in_part < lane->count[places[at].part]);
            refs[lane->first[places[at].part] + places[at].in_part] =
                (smi_ref){.batch = (uint32_t)b, .row = (uint32_t)i};
        }
    }
    const sm_status st = gather_lane(a, rows, schema, refs, n, lane, e);
    sm_free(refs);
    return st;
}

/* Scatters a filtered lane: a row goes to the partition that its row of lane 0 went to. The last
 * column of the result is the place of that row among the partition's rows of lane 0. */
static sm_status scatter_filtered(smi_agg *a, const smi_batches *rows, const sm_type *schema,
                                  smi_chunk_lane *lane, const row_place *places, sm_error *e)
{
    for (int64_t b = 0; b < rows->n; b++) {
        const uint64_t *of = last_column(rows->items[b]);
        for (int64_t i = 0; i < rows->items[b]->n_rows; i++) {
            lane->count[places[of[i]].part]++;
        }
    }
    const int64_t n = place_partitions(lane);
    uint32_t next[SMI_PARTS];
    memcpy(next, lane->first, sizeof(next));
    smi_ref *refs = sm_alloc((size_t)n * sizeof(*refs));
    uint64_t *in_part = sm_alloc_zero((size_t)n * sizeof(*in_part));
    memset(refs, 0, (size_t)n * sizeof(*refs));
    for (int64_t b = 0; b < rows->n; b++) {
        const uint64_t *of = last_column(rows->items[b]);
        for (int64_t i = 0; i < rows->items[b]->n_rows; i++) {
            const row_place place = places[of[i]];
            SM_ASSERT(next[place.part] < lane->first[place.part] + lane->count[place.part]);
            const uint32_t to = next[place.part]++;
            refs[to] = (smi_ref){.batch = (uint32_t)b, .row = (uint32_t)i};
            in_part[to] = place.in_part;
        }
    }
    const sm_status st = gather_lane(a, rows, schema, refs, n, lane, e);
    if (st == SM_OK) { /* ours alone still */
        memcpy((void *)last_column(lane->rows), in_part, (size_t)n * sizeof(*in_part));
    }
    sm_free(in_part);
    sm_free(refs);
    return st;
}

/* Makes a chunk of the rows that a morsel has evaluated. */
static sm_status scatter_morsel(smi_agg *a, smi_agg_morsel *m, sm_error *e)
{
    if (m->n_rows == 0) {
        return SM_OK;
    }
    smi_chunk *c = chunk_new(a->n_lanes);
    row_place *places = sm_alloc((size_t)m->n_rows * sizeof(*places));
    sm_status st = scatter_keys(a, &m->lanes[0], a->lanes[0].schema, &c->lanes[0], places, e);
    for (int32_t l = 1; st == SM_OK && l < a->n_lanes; l++) {
        st = scatter_filtered(a, &m->lanes[l], a->lanes[l].schema, &c->lanes[l], places, e);
    }
    sm_free(places);
    for (int32_t l = 0; l < a->n_lanes; l++) {
        smi_batches_release(&m->lanes[l]);
    }
    m->n_rows = 0;
    if (st != SM_OK) {
        chunk_free(c);
        return st;
    }
    add_chunk(m, c);
    return SM_OK;
}

sm_status smi_agg_list_groups(smi_agg *a, const smi_groups *g, sm_batch **out, sm_error *e)
{
    const int64_t n = smi_groups_count(g);
    sm_batch *b = NULL;
    uint64_t *ids = NULL, *hashes = NULL;
    SM_TRY(sm_batch_new(a->budget, a->group_schema, &b, e));
    sm_status st = sm_batch_alloc(b, (size_t)n * 8, (void **)&ids, e);
    if (st == SM_OK) {
        st = sm_batch_alloc(b, (size_t)n * 8, (void **)&hashes, e);
    }
    for (int32_t k = 0; st == SM_OK && k < a->n_keys; k++) {
        sm_builder *keys = sm_builder_new(a->key_types[k], a->budget);
        for (int64_t i = 0; i < n; i++) {
            smi_groups_key(g, i, k, keys);
        }
        st = sm_builder_finish(keys, b, &b->columns[k], e);
        sm_builder_free(keys);
        if (st == SM_OK) {
            sm_column_hash(&b->columns[k], hashes, k > 0);
        }
    }
    if (st != SM_OK) {
        sm_batch_release(b);
        return st;
    }
    for (int64_t i = 0; i < n; i++) {
        ids[i] = (uint64_t)i;
    }
    b->columns[a->n_keys] = (sm_column){.type = &sm_type_u64, .n_rows = n, .values = ids};
    b->columns[a->n_keys + 1] = (sm_column){.type = &sm_type_u64, .n_rows = n, .values = hashes};
    b->n_rows = n;
    *out = b;
    return SM_OK;
}

/* Makes a chunk of a morsel's groups, which takes over the table and its states. */
static sm_status scatter_groups(smi_agg *a, smi_agg_morsel *m, sm_error *e)
{
    const int64_t n = smi_groups_count(m->groups);
    sm_batch *rows = NULL;
    SM_TRY(smi_agg_list_groups(a, m->groups, &rows, e));
    smi_chunk *c = chunk_new(1);
    row_place *places = sm_alloc((size_t)(n + 1) * sizeof(*places));
    const smi_batches list = {.items = &rows, .n = 1};
    const sm_status st = scatter_keys(a, &list, a->group_schema, &c->lanes[0], places, e);
    sm_free(places);
    sm_batch_release(rows);
    if (st != SM_OK) {
        chunk_free(c);
        return st;
    }
    c->groups = m->groups;
    c->heap = m->heap;
    m->groups = NULL;
    m->heap = NULL;
    add_chunk(m, c);
    return SM_OK;
}

/* ---- evaluating ------------------------------------------------------------------------------ */

/* Column `at` of `out`: the expression over `in`, flat. */
static sm_status eval_flat(smi_agg *a, const sm_expr *x, const sm_batch *in, sm_batch *out,
                           int32_t at, sm_error *e)
{
    sm_column c = {0};
    if (x->kind == SM_EXPR_COLUMN) {
        c = in->columns[x->index];
    } else {
        SM_TRY(sm_expr_eval(x, in, a->exec->params, out, &c, e));
    }
    return sm_column_flatten(&c, out, &out->columns[at], e);
}

/* Lane 0: keys, arguments, hash. */
static sm_status eval_rows(smi_agg *a, const sm_batch *in, sm_batch **out, sm_error *e)
{
    const smi_agg_lane *lane = &a->lanes[0];
    sm_batch *b = NULL;
    uint64_t *hashes = NULL;
    SM_TRY(sm_batch_new(a->budget, lane->schema, &b, e));
    sm_batch_keep_all(b, in);
    sm_status st = sm_batch_alloc(b, (size_t)in->n_rows * 8, (void **)&hashes, e); /* zeroed */
    for (int32_t k = 0; st == SM_OK && k < a->n_keys; k++) {
        st = eval_flat(a, a->node->as.aggregate.keys[k], in, b, k, e);
        if (st == SM_OK) {
            sm_column_hash(&b->columns[k], hashes, k > 0);
        }
    }
    for (int32_t i = 0; st == SM_OK && i < lane->n_args; i++) {
        st = eval_flat(a, lane->args[i], in, b, a->n_keys + i, e);
    }
    if (st != SM_OK) {
        sm_batch_release(b);
        return st;
    }
    b->n_rows = in->n_rows;
    b->columns[b->n_columns - 1] =
        (sm_column){.type = &sm_type_u64, .n_rows = in->n_rows, .values = hashes};
    *out = b;
    return SM_OK;
}

/* A filtered lane: the arguments of the rows that pass, and the numbers of these rows, counted from
 * `base` on. */
static sm_status eval_passing(smi_agg *a, const smi_agg_lane *lane, sm_batch *in, int64_t base,
                              sm_batch **out, sm_error *e)
{
    sm_batch *b = NULL, *passing = NULL;
    uint64_t *of = NULL;
    int64_t n = 0;
    int32_t *rows = sm_alloc((size_t)in->n_rows * sizeof(*rows));
    sm_status st = sm_expr_select(lane->filter, in, a->exec->params, rows, &n, a->budget, e);
    if (st != SM_OK || n == 0) {
        goto done;
    }
    SM_TRY_GOTO(st, done, sm_batch_gather(in, rows, n, a->budget, &passing, e));
    SM_TRY_GOTO(st, done, sm_batch_new(a->budget, lane->schema, &b, e));
    sm_batch_keep_all(b, passing);
    for (int32_t i = 0; i < lane->n_args; i++) {
        SM_TRY_GOTO(st, done, eval_flat(a, lane->args[i], passing, b, i, e));
    }
    SM_TRY_GOTO(st, done, sm_batch_alloc(b, (size_t)n * 8, (void **)&of, e));
    for (int64_t i = 0; i < n; i++) {
        of[i] = (uint64_t)(base + rows[i]);
    }
    b->columns[lane->n_args] = (sm_column){.type = &sm_type_u64, .n_rows = n, .values = of};
    b->n_rows = n;
done:
    sm_free(rows);
    sm_batch_release(passing);
    if (st != SM_OK) {
        sm_batch_release(b);
        return st;
    }
    *out = b;
    return SM_OK;
}

/* ---- a morsel's own table -------------------------------------------------------------------- */

/* Are there few groups among the first rows? Estimated by linear counting of their hashes, which
 * costs less than a table. */
static bool has_few_groups(const sm_batch *rows)
{
    enum { SAMPLE = 1024, BITS = 4096 };
    uint8_t seen[BITS / 8] = {0};
    const uint64_t *hashes = last_column(rows);
    const int64_t n = rows->n_rows < SAMPLE ? rows->n_rows : SAMPLE;
    int64_t n_seen = 0;
    for (int64_t i = 0; i < n; i++) {
        const int64_t bit = (int64_t)(hashes[i] % BITS);
        n_seen += !sm_bit_get(seen, bit);
        sm_bit_set(seen, bit);
    }
    return n_seen * 4 <= n;
}

sm_status smi_agg_update(const smi_agg_item *it, const sm_column *cols, int64_t n,
                         uint8_t *const *states, const uint64_t *rows, void **pointers,
                         sm_agg_heap *heap, sm_error *e)
{
    sm_column args[SMI_ARGS_MAX];
    for (int32_t i = 0; i < it->n_args; i++) {
        args[i] = cols[it->cols[i]];
        SM_ASSERT(sm_type_eq(args[i].type, it->item->call->args[i]->type));
    }
    for (int64_t i = 0; i < n; i++) {
        pointers[i] = states[rows ? rows[i] : (uint64_t)i] + it->state_off;
    }
    return it->fn->update(it->item->call, args, it->n_args, n, pointers, heap, e);
}

/* Adds one batch (its lanes, evaluated; lane rows count from 0) to the morsel's table. */
static sm_status group_batch(smi_agg *a, smi_agg_morsel *m, sm_batch *const *lanes, sm_error *e)
{
    const int64_t n = lanes[0]->n_rows;
    sm_status st = SM_OK;
    if (!m->groups) {
        m->groups = smi_groups_new(a->key_types, a->n_keys, a->state_bytes, a->budget);
        m->heap = sm_agg_heap_new(a->budget);
    }
    uint32_t *ids = sm_alloc((size_t)n * sizeof(*ids));
    uint8_t **states = sm_alloc((size_t)n * sizeof(*states));
    void **pointers = sm_alloc((size_t)n * sizeof(*pointers));
    SM_TRY_GOTO(st, done,
                smi_groups_find(m->groups, lanes[0]->columns, last_column(lanes[0]), NULL, n, ids,
                                states, e));
    for (int32_t i = 0; i < a->n_items && st == SM_OK; i++) {
        const smi_agg_item *it = &a->items[i];
        const sm_batch *lane = lanes[it->lane];
        if (lane) {
            st = smi_agg_update(it, lane->columns, lane->n_rows, states,
                                it->lane ? last_column(lane) : NULL, pointers, m->heap, e);
        }
    }
done:
    sm_free(pointers);
    sm_free(states);
    sm_free(ids);
    return st;
}

/* ---- the end --------------------------------------------------------------------------------- */

static smi_agg_morsel *morsel_of(smi_agg *a, smi_driver *d)
{
    if (d->task->end_state) {
        return d->task->end_state;
    }
    smi_agg_morsel *m = sm_alloc_zero(sizeof(*m));
    m->lanes = sm_alloc_zero((size_t)a->n_lanes * sizeof(*m->lanes));
    m->ordinal = d->task->ordinal;
    sm_mutex_lock(&a->lock);
    m->after = a->open;
    if (a->open) {
        a->open->before = m;
    }
    a->open = m;
    sm_mutex_unlock(&a->lock);
    d->task->end_state = m;
    return m;
}

static void morsel_free(smi_agg *a, smi_agg_morsel *m)
{
    sm_mutex_lock(&a->lock);
    *(m->before ? &m->before->after : &a->open) = m->after;
    if (m->after) {
        m->after->before = m->before;
    }
    sm_mutex_unlock(&a->lock);
    for (int32_t l = 0; l < a->n_lanes; l++) {
        smi_batches_release(&m->lanes[l]);
    }
    chunks_release(&m->done);
    smi_groups_free(m->groups);
    sm_agg_heap_free(m->heap);
    smi_pack_table_free(m->packed);
    sm_free(m->lanes);
    sm_free(m);
}

/* Keeps a batch's lanes (takes them) until they are enough for a chunk. */
static sm_status keep_batch(smi_agg *a, smi_agg_morsel *m, sm_batch **lanes, sm_error *e)
{
    m->n_rows += lanes[0]->n_rows;
    for (int32_t l = 0; l < a->n_lanes; l++) {
        if (lanes[l]) {
            smi_batches_add(&m->lanes[l], lanes[l]);
            lanes[l] = NULL;
        }
    }
    return m->n_rows >= ROWS_MAX || smi_memory_is_short(a->exec, 0) ? scatter_morsel(a, m, e)
                                                                    : SM_OK;
}

/* ---- packed records -------------------------------------------------------------------------- */

static void add_packed(smi_agg_morsel *m, smi_packed *taken)
{
    smi_chunk *c = chunk_new(0);
    c->packed = taken;
    add_chunk(m, c);
}

static sm_status pack_batch(smi_agg *a, smi_agg_morsel *m, sm_batch *rows, sm_error *e)
{
    smi_packed *packed = NULL;
    SM_TRY(smi_pack_rows(a->pack, rows, a->budget, &packed, e));
    if (m->mode == MODE_UNDECIDED) {
        m->mode = smi_pack_has_few_groups(a->pack, packed) ? MODE_GROUPS : MODE_ROWS;
    }
    if (m->mode == MODE_ROWS) {
        add_packed(m, packed);
        return SM_OK;
    }
    m->packed = m->packed ? m->packed : smi_pack_table_new(a->pack, a->budget);
    const smi_packed *const one[] = {packed};
    const sm_status st = smi_pack_add(m->packed, one, 1, 0, SMI_PARTS, e);
    smi_packed_free(packed);
    return st;
}

/* Makes a chunk of the groups of a morsel's own table. */
static sm_status close_packed(smi_agg_morsel *m, sm_error *e)
{
    smi_packed *packed = NULL;
    if (!m->packed) {
        return SM_OK;
    }
    SM_TRY(smi_pack_groups(m->packed, &packed, e));
    m->packed = NULL;
    add_packed(m, packed);
    return SM_OK;
}

/* ---- the end's functions --------------------------------------------------------------------- */

static sm_status push_lanes(smi_agg *a, smi_agg_morsel *m, sm_batch *rows, sm_error *e)
{
    sm_batch **lanes = sm_alloc_zero((size_t)a->n_lanes * sizeof(*lanes));
    sm_status st = eval_rows(a, rows, &lanes[0], e);
    if (st == SM_OK && m->mode == MODE_UNDECIDED) {
        const bool is_early = a->may_group_early && (a->n_keys == 0 || has_few_groups(lanes[0]));
        const bool is_spilling = atomic_load(&a->state) == SMI_AGG_SPILLING;
        m->mode = is_early && !is_spilling ? MODE_GROUPS : MODE_ROWS;
        m->is_early = is_early && is_spilling;
    }
    const int64_t base = m->mode == MODE_ROWS ? m->n_rows : 0;
    for (int32_t l = 1; st == SM_OK && l < a->n_lanes; l++) {
        st = eval_passing(a, &a->lanes[l], rows, base, &lanes[l], e);
    }
    if (st == SM_OK) {
        st = m->mode == MODE_ROWS ? keep_batch(a, m, lanes, e) : group_batch(a, m, lanes, e);
    }
    for (int32_t l = 0; l < a->n_lanes; l++) {
        sm_batch_release(lanes[l]);
    }
    sm_free(lanes);
    return st;
}

/* Does the morsel hold so much that it must write it to disk before its turn? Once its turn has
 * come, chunks are written in larger pieces. */
static bool has_much(const smi_agg *a, const smi_agg_morsel *m, bool is_last)
{
    const size_t mine = m->done.size_bytes;
    const bool is_over_all = atomic_load(&a->waiting) + mine > smi_memory_share(a->exec);
    return mine > smi_memory_task_chunks(a->exec) || (is_last && (m->n_puts > 0 || is_over_all));
}

/* Writes a morsel's chunks to disk, once spilling has begun. */
static sm_status put_some(smi_agg *a, smi_agg_morsel *m, bool is_last, sm_error *e)
{
    bool is_spilling = false;
    SM_TRY(smi_agg_check_memory(a, &is_spilling, e));
    if (!is_spilling || !has_much(a, m, is_last)) {
        return SM_OK;
    }
    const uint32_t n = m->n_puts++;
    sm_status st = SM_OK;
    for (int32_t p = 0; p < SMI_PARTS && st == SM_OK; p++) {
        st = smi_agg_put(a, p, m->done.head, n, e);
    }
    smi_agg_keep(a, &m->done);
    chunks_release(&m->done);
    return st;
}

static sm_status agg_push(smi_end *end, smi_driver *d, sm_batch *rows, sm_error *e)
{
    smi_agg *a = (smi_agg *)end;
    smi_agg_morsel *m = morsel_of(a, d);
    SM_ASSERT(atomic_load(&a->state) <= SMI_AGG_SPILLING);
    SM_ASSERT(m->ordinal == d->task->ordinal);
    const sm_status st = a->pack ? pack_batch(a, m, rows, e) : push_lanes(a, m, rows, e);
    sm_batch_release(rows);
    return st == SM_OK ? put_some(a, m, false, e) : st;
}

/* The first chunks of a list, about fold_bytes of them. */
static smi_chunks take_first(smi_agg *a, smi_chunks *from)
{
    smi_chunks some = {
        .head = from->head, .tail = from->head, .size_bytes = from->head->size_bytes};
    while (some.tail->next && some.size_bytes < a->fold_bytes) {
        some.tail = some.tail->next;
        some.size_bytes += some.tail->size_bytes;
    }
    SM_ASSERT(some.size_bytes <= from->size_bytes);
    from->head = some.tail->next;
    from->size_bytes -= some.size_bytes;
    some.tail->next = NULL;
    return some;
}

/* Folds chunks that wait, if they are enough and no other driver folds. Called with the lock, which
 * is released meanwhile. Never folds all at once: a morsel may have many chunks, and spilling can
 * only begin between two folds. */
static sm_status fold_some(smi_agg *a, size_t enough, sm_error *e)
{
    if (a->is_folding || a->queue.size_bytes < enough || !a->queue.head) {
        return SM_OK;
    }
    smi_chunks all = a->queue;
    a->queue = (smi_chunks){0};
    SM_ASSERT(atomic_load(&a->waiting) >= all.size_bytes);
    a->waiting -= all.size_bytes;
    a->is_folding = true;
    sm_mutex_unlock(&a->lock);
    sm_status st = SM_OK;
    while (all.head && st == SM_OK) {
        smi_chunks some = take_first(a, &all);
        st = smi_agg_fold(a, &some, e);
        chunks_release(&some);
    }
    chunks_release(&all);
    sm_mutex_lock(&a->lock);
    SM_ASSERT(a->is_folding); /* no other driver has begun to */
    a->is_folding = false;
    return st;
}

/* Should a fold come sooner, since memory is short and nothing is spilled yet? */
static bool wants_fold(const smi_agg *a)
{
    return atomic_load(&a->state) == SMI_AGG_FILLING && smi_memory_is_short(a->exec, 0);
}

static sm_status agg_close(smi_end *end, smi_driver *d, sm_error *e)
{
    smi_agg *a = (smi_agg *)end;
    smi_chunks done = {0};
    smi_agg_morsel *m = d->task->end_state;
    if (m) {
        SM_TRY(a->pack     ? close_packed(m, e)
               : m->groups ? scatter_groups(a, m, e)
                           : scatter_morsel(a, m, e));
        SM_TRY(put_some(a, m, true, e));
        done = m->done;
        done.is_put = m->n_puts > 0;
        m->done = (smi_chunks){0};
        d->task->end_state = NULL;
        morsel_free(a, m);
    }
    sm_mutex_lock(&a->lock);
    done.is_closed = true;
    SM_ENSURE(d->task->ordinal >= a->turn && d->task->ordinal < a->turn + RING);
    SM_ASSERT(!a->ring[d->task->ordinal % RING].is_closed);
    a->ring[d->task->ordinal % RING] = done;
    a->waiting += done.size_bytes;
    for (; a->ring[a->turn % RING].is_closed; a->turn++) {
        smi_chunks *next = &a->ring[a->turn % RING];
        if (next->head) {
            next->head->starts_run = a->had_put;
        }
        a->had_put = next->is_put || (a->had_put && !next->head);
        chunks_move(next, &a->queue);
    }
    const int32_t before = smi_clock(d, -1); /* a fold's time is counted where it is spent */
    const sm_status st = fold_some(a, wants_fold(a) ? 1 : a->fold_bytes, e);
    sm_mutex_unlock(&a->lock);
    smi_clock(d, before);
    smi_pipe_wake(d->pipe);
    return st;
}

static sm_status agg_drain(smi_end *end, smi_driver *d, sm_error *e)
{
    smi_agg *a = (smi_agg *)end;
    (void)d, (void)e;
    sm_mutex_lock(&a->lock);
    const bool is_full = a->is_folding && a->queue.size_bytes >= a->fold_bytes;
    sm_mutex_unlock(&a->lock);
    return is_full ? SM_WAIT : SM_OK;
}

/* ---- making ---------------------------------------------------------------------------------- */

static int32_t lane_of(smi_agg *a, const sm_expr *filter)
{
    for (int32_t l = 0; l < a->n_lanes; l++) {
        const sm_expr *other = a->lanes[l].filter;
        if (filter == other || (filter && other && sm_expr_eq(filter, other))) {
            return l;
        }
    }
    a->lanes[a->n_lanes] = (smi_agg_lane){.filter = filter};
    return a->n_lanes++;
}

/* The number of an argument in its lane. Equal arguments are evaluated once. */
static int32_t arg_of(smi_agg *a, smi_agg_lane *lane, const sm_expr *x)
{
    for (int32_t i = 0; i < lane->n_args; i++) {
        if (sm_expr_eq(lane->args[i], x)) {
            return i;
        }
    }
    const sm_expr **args = SM_NEW_ARRAY(a->exec->arena, const sm_expr *, lane->n_args + 1);
    for (int32_t i = 0; i < lane->n_args; i++) {
        args[i] = lane->args[i];
    }
    args[lane->n_args] = x;
    lane->args = args;
    return lane->n_args++;
}

static sm_status make_item(smi_agg *a, smi_agg_item *it, const sm_agg_item *item, sm_error *e)
{
    const sm_expr *call = item->call;
    if (call->n_args > SMI_ARGS_MAX) {
        return sm_fail(e, SM_LIMIT, "%s() with more than %d arguments", call->fn->name,
                       SMI_ARGS_MAX);
    }
    *it = (smi_agg_item){.item = item, .fn = call->fn->aggregate, .n_args = call->n_args};
    it->lane = lane_of(a, item->filter);
    it->set = item->is_distinct ? a->n_sets++ : -1;
    for (int32_t i = 0; i < call->n_args; i++) {
        it->cols[i] =
            (it->lane == 0 ? a->n_keys : 0) + arg_of(a, &a->lanes[it->lane], call->args[i]);
    }
    it->state_off = a->state_bytes;
    a->state_bytes += (it->fn->state_bytes + 15) & ~(size_t)15;
    a->may_group_early = a->may_group_early && !item->is_distinct && it->fn->merge;
    it->set_types = SM_NEW_ARRAY(a->exec->arena, const sm_type *, call->n_args + 1);
    it->set_types[0] = &sm_type_u32;
    for (int32_t i = 0; i < call->n_args; i++) {
        it->set_types[1 + i] = call->args[i]->type;
    }
    return SM_OK;
}

/* A struct of the keys (n_keys of them), then the arguments, then so many UBIGINTs. */
static const sm_type *make_schema(smi_agg *a, int32_t n_keys, const smi_agg_lane *lane, int n_extra)
{
    const int32_t n_args = lane ? lane->n_args : 0;
    const int32_t n = n_keys + n_args + n_extra;
    sm_field *fields = SM_NEW_ARRAY(a->exec->arena, sm_field, n);
    for (int32_t i = 0; i < n; i++) {
        fields[i].is_nullable = true;
        fields[i].type = i < n_keys            ? a->key_types[i]
                         : i < n_keys + n_args ? lane->args[i - n_keys]->type
                                               : &sm_type_u64;
    }
    return sm_type_struct(a->exec->arena, fields, n);
}

static sm_status agg_init(smi_agg *a, smi_execution *exec, const sm_plan_node *node, sm_error *e)
{
    const int32_t n_items = node->as.aggregate.n_items;
    sm_arena *arena = exec->arena;
    a->pack = smi_pack_new(exec, node);
    a->end = (smi_end){.push = agg_push, .close = agg_close, .drain = agg_drain, .node = node};
    a->exec = exec;
    a->node = node;
    a->n_keys = node->as.aggregate.n_keys;
    a->n_items = n_items;
    a->may_group_early = true;
    a->key_types = SM_NEW_ARRAY(arena, const sm_type *, a->n_keys + 1);
    a->lanes = SM_NEW_ARRAY(arena, smi_agg_lane, n_items + 1);
    a->n_lanes = 1;
    a->items = SM_NEW_ARRAY(arena, smi_agg_item, n_items + 1);
    for (int32_t k = 0; k < a->n_keys; k++) {
        a->key_types[k] = node->as.aggregate.keys[k]->type;
    }
    for (int32_t i = 0; i < n_items; i++) {
        SM_TRY(make_item(a, &a->items[i], &node->as.aggregate.items[i], e));
    }
    a->lanes[0].schema = make_schema(a, a->n_keys, &a->lanes[0], 1);
    for (int32_t l = 1; l < a->n_lanes; l++) {
        a->lanes[l].schema = make_schema(a, 0, &a->lanes[l], 1);
    }
    a->group_schema = make_schema(a, a->n_keys, NULL, 2);
    a->fold_bytes = smi_memory_fold(exec);
    return SM_OK;
}

static void agg_release(smi_agg *a)
{
    while (a->open) {
        morsel_free(a, a->open);
    }
    for (int i = 0; i < RING; i++) {
        chunks_release(&a->ring[i]);
    }
    chunks_release(&a->queue);
    smi_chunks kept = {.head = a->kept};
    chunks_release(&kept);
    for (int p = 0; p < SMI_PARTS; p++) {
        smi_part_release(a, &a->parts[p]);
    }
    sm_mutex_release(&a->lock);
    sm_free(a->ring);
    smi_profile(a->exec, 0, a->node)->cpu_ns += atomic_load(&a->fold_ns);
    smi_spill_free(a->spill);
    smi_report_peak(a->exec, a->node, a->budget);
    sm_budget_free(a->tables);
    sm_budget_free(a->budget);
    sm_free(a);
}

sm_status smi_aggregate_run(smi_execution *exec, const sm_plan_node *node, smi_op *next,
                            smi_end *end, uint64_t *turn, sm_error *e)
{
    smi_agg *a = sm_alloc_zero(sizeof(*a));
    a->budget = sm_budget_new(exec->env->budget, "aggregate", 0);
    a->tables = sm_budget_new(a->budget, "groups", 0);
    a->ring = sm_alloc_zero(RING * sizeof(*a->ring));
    sm_mutex_init(&a->lock);
    sm_status st = agg_init(a, exec, node, e);
    if (st == SM_OK) {
        st = smi_execute_into(exec, node->inputs[0], NULL, &a->end, e);
    }
    if (st == SM_OK) {
        sm_mutex_lock(&a->lock);
        st = fold_some(a, 0, e);
        sm_mutex_unlock(&a->lock);
    }
    if (st == SM_OK) {
        SM_ASSERT(!a->open && !a->queue.head && atomic_load(&a->waiting) == 0);
        smi_agg_move(a, SMI_AGG_GIVING);
        st = smi_agg_output(a, next, end, turn, e);
    }
    if (st == SM_OK) {
        smi_agg_move(a, SMI_AGG_DONE);
    }
    st = smi_within_operator(st, "GROUP BY", a->budget, e);
    agg_release(a);
    return st;
}
