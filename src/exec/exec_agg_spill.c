/* SPDX-License-Identifier: Apache-2.0
 *
 * exec/exec_agg_spill.c: GROUP BY with more groups than there is memory for.
 *
 * Calls    smi_agg_fold asks smi_agg_is_full before each fold; from the first time on, chunks go to
 *          disk by partition instead of into its table, and the output takes a partition's pieces
 *          in again, when it is the only one that grows.
 * Order    The table keeps what it has, and pieces follow in the order of chunks: every group sees
 *          its rows, and appears, in the order of the input, as if nothing had been spilled.
 * Pieces   of packed records; or of rows, a batch a lane; or a chunk of groups that a morsel made
 *          itself. States of such groups have pointers, so these chunks stay in memory: they are
 *          those that were under way when spilling began. Later morsels that would have made groups
 *          send rows marked with their morsel, and the groups are made when they come back: a sum
 *          of doubles is then added up as it would have been. */
#include "exec/exec_agg_int.h"

bool smi_agg_is_full(const smi_agg *a)
{
    const size_t limit = sm_budget_limit(a->budget);
    return a->n_keys > 0 && sm_budget_used(a->tables) > limit / 8 && smi_is_short(a->run, 0);
}

static smi_agg_piece *add_piece(smi_part *part)
{
    if (part->n_pieces == part->cap_pieces) {
        part->cap_pieces = part->cap_pieces ? part->cap_pieces * 2 : 16;
        part->pieces = sm_realloc(part->pieces, (size_t)part->cap_pieces * sizeof(*part->pieces));
    }
    smi_agg_piece *piece = &part->pieces[part->n_pieces++];
    *piece = (smi_agg_piece){0};
    return piece;
}

/* ---- out ------------------------------------------------------------------------------------- */

static bool has_records(const smi_packed *k, int32_t p)
{
    return k->first[p] < k->first[p + 1];
}

/* One piece for neighbours of one kind. */
static sm_status put_packed(smi_agg *a, int32_t p, smi_part *part, const smi_chunk *head,
                            sm_error *e)
{
    int64_t n_chunks = 0;
    for (const smi_chunk *c = head; c; c = c->next) {
        n_chunks++;
    }
    const smi_packed **list = sm_alloc((size_t)(n_chunks + 1) * sizeof(*list));
    sm_status st = SM_OK;
    for (const smi_chunk *c = head; c && st == SM_OK;) {
        int64_t n = 0;
        const bool is_groups = c->packed->is_groups;
        for (; c && c->packed->is_groups == is_groups; c = c->next) {
            if (has_records(c->packed, p)) {
                list[n++] = c->packed;
            }
        }
        if (n > 0) {
            st = smi_pack_put(a->pack, list, n, p, a->spill, &add_piece(part)->packed, e);
        }
    }
    sm_free(list);
    return st;
}

/* The rows of a chunk's partition, a batch a lane. */
static sm_status put_lanes(smi_agg *a, int32_t p, smi_part *part, const smi_chunk *c, sm_error *e)
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
        smi_agg_piece *piece = add_piece(part);
        piece->early = c->early;
        st = smi_spill_put_batches(a->spill, slices, c->n_lanes, a->budget, &piece->lanes, e);
    }
    for (int32_t l = 0; l < c->n_lanes; l++) {
        sm_batch_release(slices[l]);
    }
    sm_free(slices);
    return st;
}

sm_status smi_agg_put(smi_agg *a, int32_t p, const smi_chunk *head, sm_error *e)
{
    smi_part *part = &a->parts[p];
    if (a->pack) {
        return put_packed(a, p, part, head, e);
    }
    for (const smi_chunk *c = head; c; c = c->next) {
        if (c->lanes[0].count[p] == 0) {
            continue;
        }
        if (c->groups) {
            add_piece(part)->kept = c;
        } else {
            SM_TRY(put_lanes(a, p, part, c, e));
        }
    }
    return SM_OK;
}

/* ---- back ------------------------------------------------------------------------------------ */

static sm_status get_packed(smi_agg *a, int32_t p, smi_part *part, smi_agg_piece *piece,
                            sm_error *e)
{
    smi_packed *records = NULL;
    part->packed = part->packed ? part->packed : smi_pack_table_new(a->pack, a->tables);
    SM_TRY(smi_pack_get(a->pack, &piece->packed, p, a->spill, a->budget, &records, e));
    const sm_status st = smi_pack_add(part->packed, records, p, p + 1, e);
    smi_packed_free(records);
    smi_spill_drop(a->spill, &piece->packed.extent);
    return st;
}

/* A chunk with this partition's rows alone. */
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
        smi_spill_get_batches(a->spill, &piece->lanes, schemas, a->n_lanes, a->budget, rows, e);
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
    smi_spill_drop(a->spill, &piece->lanes);
    return st;
}

/* Adds the groups that one morsel's rows have become. */
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

/* The pieces of one morsel from number i on: its own groups, then they alone. Gives the next. */
static sm_status get_early(smi_agg *a, int32_t p, smi_part *part, int64_t *i, sm_error *e)
{
    smi_part of_morsel = {0};
    const uint64_t morsel = part->pieces[*i].early;
    sm_status st = SM_OK;
    for (; st == SM_OK && *i < part->n_pieces && part->pieces[*i].early == morsel; ++*i) {
        st = fold_piece(a, p, &of_morsel, &part->pieces[*i], e);
    }
    if (st == SM_OK) {
        st = merge_part(a, p, part, &of_morsel, e);
    }
    smi_part_release(a, &of_morsel);
    return st;
}

sm_status smi_agg_get(smi_agg *a, int32_t p, sm_error *e)
{
    smi_part *part = &a->parts[p];
    for (int64_t i = 0; i < part->n_pieces;) {
        smi_agg_piece *piece = &part->pieces[i];
        if (piece->early) {
            SM_TRY(get_early(a, p, part, &i, e));
            continue;
        }
        SM_TRY(a->pack       ? get_packed(a, p, part, piece, e)
               : piece->kept ? smi_agg_fold_into(a, part, piece->kept, p, e)
                             : fold_piece(a, p, part, piece, e));
        i++;
    }
    return SM_OK;
}
