/* SPDX-License-Identifier: Apache-2.0
 *
 * exec/exec_agg_spill.c: GROUP BY with more groups than there is memory for.
 *
 * Calls    smi_agg_check_memory() before each partition of a fold and after each batch. From the
 *          first time on that memory is short, each driver writes the chunks that it makes to disk,
 *          by partition, and chunks that wait to be folded are written too. The output reads the
 *          pieces of one partition after another, and makes the rest of its groups then.
 * Order    A table keeps the groups that it has; all that is on disk comes from later morsels. The
 *          pieces are read in the order of morsels. So every group sees its rows, and appears, in
 *          the order of the input, as if nothing had been spilled.
 * Pieces   A piece is packed records; or rows, one batch for each lane; or a chunk of groups that a
 *          morsel made itself. The states of such groups have pointers, so these chunks stay in
 *          memory; there are few, of the morsels that were under way when spilling began. A later
 *          morsel that would have made groups writes its rows, with a mark (is_early). Its groups
 *          are made when the rows are read, so that a sum of doubles is added up in the same order
 *          as without spilling. */
#include "exec/exec_agg_int.h"

#include <stdlib.h>

/* An aggregate without keys has one group, and never spills. */
static bool should_spill(const smi_agg *a)
{
    return a->n_keys > 0 && smi_memory_groups_are_large(a->exec, a->tables, a->budget) &&
           smi_memory_is_short(a->exec, 0);
}

sm_status smi_agg_check_memory(smi_agg *a, bool *is_spilling, sm_error *e)
{
    sm_status st = SM_OK;
    SM_ASSERT(atomic_load(&a->state) <= SMI_AGG_SPILLING);
    if (atomic_load(&a->state) == SMI_AGG_FILLING && should_spill(a)) {
        sm_mutex_lock(&a->lock);
        if (!a->spill) { /* nobody was faster */
            st = smi_spill_new(a->exec, a->node, &a->spill, e);
            if (st == SM_OK) {
                smi_agg_move(a, SMI_AGG_SPILLING);
            }
        }
        sm_mutex_unlock(&a->lock);
    }
    *is_spilling = atomic_load(&a->state) == SMI_AGG_SPILLING;
    return st;
}

static void add_piece(smi_agg *a, smi_part *part, const smi_agg_piece *piece)
{
    sm_mutex_lock(&a->lock);
    if (part->n_pieces == part->cap_pieces) {
        const int64_t cap = part->cap_pieces ? part->cap_pieces * 2 : 16;
        const size_t bytes = (size_t)cap * sizeof(*part->pieces);
        part->pieces = sm_realloc(part->pieces, bytes);
        sm_budget_force(a->budget, bytes - (size_t)part->cap_pieces * sizeof(*part->pieces));
        part->cap_pieces = cap;
    }
    part->pieces[part->n_pieces++] = *piece;
    sm_mutex_unlock(&a->lock);
}

void smi_agg_keep(smi_agg *a, smi_chunks *some)
{
    sm_mutex_lock(&a->lock);
    for (smi_chunk **at = &some->head; *at;) {
        smi_chunk *c = *at;
        if (c->groups) {
            *at = c->next;
            c->next = a->kept;
            a->kept = c;
        } else {
            at = &c->next;
        }
    }
    sm_mutex_unlock(&a->lock);
}

/* ---- out ------------------------------------------------------------------------------------- */

static bool has_records(const smi_packed *k, int32_t p)
{
    return k->first[p] < k->first[p + 1];
}

/* Writes neighbours of the same kind of record as one piece. */
static sm_status put_packed(smi_agg *a, int32_t p, smi_part *part, const smi_chunk *head,
                            uint64_t seq, sm_error *e)
{
    int64_t n_chunks = 0;
    for (const smi_chunk *c = head; c; c = c->next) {
        n_chunks++;
    }
    const smi_packed **list = sm_alloc((size_t)(n_chunks + 1) * sizeof(*list));
    sm_status st = SM_OK;
    for (const smi_chunk *c = head; c && st == SM_OK;) {
        int64_t n = 0;
        const smi_pack_kind kind = c->packed->kind;
        smi_agg_piece piece = {.ordinal = c->ordinal, .seq = seq++};
        do {
            if (has_records(c->packed, p)) {
                list[n++] = c->packed;
            }
            c = c->next;
        } while (c && c->packed->kind == kind && !c->starts_run);
        if (n > 0) {
            st = smi_pack_put(a->pack, list, n, p, a->spill, &piece.is.packed, e);
            add_piece(a, part, &piece);
        }
    }
    sm_free(list);
    return st;
}

/* Writes a partition's rows of a chunk, one batch for each lane. */
static sm_status put_lanes(smi_agg *a, int32_t p, const smi_chunk *c, smi_extent *out, sm_error *e)
{
    sm_batch **slices = sm_alloc_zero((size_t)c->n_lanes * sizeof(*slices));
    sm_status st = SM_OK;
    for (int32_t l = 0; l < c->n_lanes && st == SM_OK; l++) {
        const smi_chunk_lane *lane = &c->lanes[l];
        if (lane->rows && lane->count[p] > 0) {
            st = sm_batch_slice(lane->rows, lane->first[p], lane->count[p], a->budget, &slices[l],
                                e);
        }
    }
    if (st == SM_OK) {
        st = smi_spill_put_batches(a->spill, slices, c->n_lanes, a->budget, out, e);
    }
    for (int32_t l = 0; l < c->n_lanes; l++) {
        sm_batch_release(slices[l]);
    }
    sm_free(slices);
    return st;
}

sm_status smi_agg_put(smi_agg *a, int32_t p, const smi_chunk *head, uint32_t n, sm_error *e)
{
    smi_part *part = &a->parts[p];
    SM_ASSERT(a->spill && atomic_load(&a->state) == SMI_AGG_SPILLING);
    uint64_t seq = (uint64_t)n << 32;
    if (a->pack) {
        return put_packed(a, p, part, head, seq, e);
    }
    for (const smi_chunk *c = head; c; c = c->next) {
        smi_agg_piece piece = {.ordinal = c->ordinal, .seq = seq++, .is_early = c->is_early};
        if (c->lanes[0].count[p] == 0) {
            continue;
        }
        if (c->groups) {
            piece.is.kept = c;
            piece.is_kept = true;
        } else {
            SM_TRY(put_lanes(a, p, c, &piece.is.lanes, e));
        }
        add_piece(a, part, &piece);
    }
    return SM_OK;
}

/* ---- back ------------------------------------------------------------------------------------ */

static sm_status get_packed(smi_agg *a, int32_t p, smi_part *part, smi_agg_piece *piece,
                            sm_error *e)
{
    smi_packed *records = NULL;
    part->packed = part->packed ? part->packed : smi_pack_table_new(a->pack, a->tables);
    SM_TRY(smi_pack_get(a->pack, &piece->is.packed, p, a->spill, a->budget, &records, e));
    const smi_packed *const one[] = {records};
    const sm_status st = smi_pack_add(part->packed, one, 1, p, p + 1, e);
    smi_packed_free(records);
    smi_spill_drop(a->spill, &piece->is.packed.extent);
    return st;
}

/* Reads a piece as a chunk that has rows of this partition only. */
static sm_status get_lanes(smi_agg *a, int32_t p, const smi_agg_piece *piece, smi_chunk *c,
                           sm_error *e)
{
    sm_batch **rows = sm_alloc_zero((size_t)a->n_lanes * sizeof(*rows));
    const sm_type **schemas = sm_alloc((size_t)a->n_lanes * sizeof(*schemas));
    *c = (smi_chunk){.n_lanes = a->n_lanes,
                     .lanes = sm_alloc_zero((size_t)a->n_lanes * sizeof(*c->lanes))};
    for (int32_t l = 0; l < a->n_lanes; l++) {
        schemas[l] = a->lanes[l].schema;
    }
    const sm_status st =
        smi_spill_get_batches(a->spill, &piece->is.lanes, schemas, a->n_lanes, a->budget, rows, e);
    for (int32_t l = 0; l < a->n_lanes && st == SM_OK; l++) {
        c->lanes[l].rows = rows[l];
        c->lanes[l].count[p] = rows[l] ? (uint32_t)rows[l]->n_rows : 0;
    }
    sm_free(schemas);
    sm_free(rows);
    return st;
}

static void lanes_release(smi_chunk *c)
{
    for (int32_t l = 0; l < c->n_lanes; l++) {
        sm_batch_release(c->lanes[l].rows);
    }
    sm_free(c->lanes);
}

static sm_status fold_piece(smi_agg *a, int32_t p, smi_part *into, const smi_agg_piece *piece,
                            sm_error *e)
{
    smi_chunk c = {0};
    sm_status st = get_lanes(a, p, piece, &c, e);
    if (st == SM_OK) {
        st = smi_agg_fold_into(a, into, &c, p, e);
    }
    lanes_release(&c);
    smi_spill_drop(a->spill, &piece->is.lanes);
    return st;
}

static sm_status fold_kept(smi_agg *a, int32_t p, smi_part *into, const smi_chunk *kept,
                           sm_error *e)
{
    smi_chunk alone = *kept;
    alone.next = NULL; /* it stands in a list */
    return smi_agg_fold_into(a, into, &alone, p, e);
}

/* Adds the groups that were made of one morsel's rows. */
static sm_status merge_part(smi_agg *a, int32_t p, smi_part *part, smi_part *of_morsel, sm_error *e)
{
    smi_chunk_lane lane = {0};
    const smi_chunk c = {.n_lanes = 1, .lanes = &lane, .groups = of_morsel->groups};
    SM_TRY(smi_agg_list_groups(a, of_morsel->groups, &lane.rows, e));
    lane.count[p] = (uint32_t)lane.rows->n_rows;
    const sm_status st = smi_agg_fold_into(a, part, &c, p, e);
    sm_batch_release(lane.rows);
    return st;
}

/* Reads the pieces of one morsel, from number *i on: makes the morsel's groups, and then adds them
 * to the partition. Moves *i behind them. */
static sm_status get_early(smi_agg *a, int32_t p, smi_part *part, int64_t *i, sm_error *e)
{
    smi_part of_morsel = {0};
    const uint64_t morsel = part->pieces[*i].ordinal;
    sm_status st = SM_OK;
    for (; st == SM_OK && *i < part->n_pieces && part->pieces[*i].ordinal == morsel; ++*i) {
        st = fold_piece(a, p, &of_morsel, &part->pieces[*i], e);
    }
    if (st == SM_OK) {
        st = merge_part(a, p, part, &of_morsel, e);
    }
    smi_part_release(a, &of_morsel);
    return st;
}

static int by_morsel(const void *a, const void *b)
{
    const smi_agg_piece *x = a, *y = b;
    if (x->ordinal != y->ordinal) {
        return x->ordinal < y->ordinal ? -1 : 1;
    }
    return x->seq < y->seq ? -1 : x->seq > y->seq;
}

sm_status smi_agg_get(smi_agg *a, int32_t p, sm_error *e)
{
    smi_part *part = &a->parts[p];
    SM_ASSERT(atomic_load(&a->state) == SMI_AGG_GIVING);
    if (part->n_pieces > 1) {
        qsort(part->pieces, (size_t)part->n_pieces, sizeof(*part->pieces), by_morsel);
    }
    for (int64_t i = 0; i < part->n_pieces;) {
        smi_agg_piece *piece = &part->pieces[i];
        SM_ASSERT(i == 0 || by_morsel(piece - 1, piece) < 0); /* no two at one place */
        if (piece->is_early) {
            SM_TRY(get_early(a, p, part, &i, e));
            continue;
        }
        SM_TRY(a->pack          ? get_packed(a, p, part, piece, e)
               : piece->is_kept ? fold_kept(a, p, part, piece->is.kept, e)
                                : fold_piece(a, p, part, piece, e));
        i++;
    }
    return SM_OK;
}
