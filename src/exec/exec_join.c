/* SPDX-License-Identifier: Apache-2.0
 *
 * exec/exec_join.c: joins: the right side in memory, the left side streaming past it.
 *
 * Calls    smi_join_new by exec_run.c: runs the right input and builds; then the op's push for each
 *          batch of the left side, from many workers at once; smi_join_free. A right side that does
 *          not fit is only kept: exec_join_spill.c takes it from there.
 * Build    Right rows are kept as compact batches in their order. Their keys make groups
 *          (exec_groups.c); rows with a NULL among them match nothing and make none. Row references
 *          are laid out by group, in the order of the right side.
 * Probe    Each left row's candidates, in that order, up to a batch at a time: gathered side by
 *          side, tested by `on`, given on. A left join keeps a row whose candidates all failed,
 *          with NULLs for the right, also where they span batches.
 * Output   In the order of left, a row's matches in the order of right. */
#include "exec/exec_join_int.h"

#include <string.h>

#define BUILD_BYTES 64 /* of a right row: its reference, number, slot and a short key */

/* ---- build ----------------------------------------------------------------------------------- */

static bool has_null(const sm_batch *keys, int64_t i)
{
    for (int32_t k = 0; k < keys->n_columns; k++) {
        if (sm_column_is_null(&keys->columns[k], i)) {
            return true;
        }
    }
    return false;
}

static void hash_keys(const sm_batch *keys, uint64_t *hashes)
{
    for (int32_t k = 0; k < keys->n_columns; k++) {
        sm_column_hash(&keys->columns[k], hashes, k > 0);
    }
}

/* Groups of one right batch's rows that can match: appends to refs and ids. */
static sm_status add_keys(smi_join *j, uint32_t batch, smi_ref *refs, uint32_t *ids, int64_t *n,
                          sm_error *e)
{
    const sm_plan_node *node = j->node;
    sm_batch *all = NULL, *keys = NULL;
    uint64_t *hashes = NULL;
    const int64_t first = *n;
    SM_TRY(smi_eval_flat(j->run, node->as.join.right_keys, node->as.join.n_keys, j->right_keys,
                         j->right.items[batch], j->budget, &all, e));
    for (int64_t i = 0; i < all->n_rows; i++) {
        if (!has_null(all, i)) {
            refs[(*n)++] = (smi_ref){.batch = 0, .row = (uint32_t)i};
        }
    }
    const int64_t n_keys = *n - first;
    const smi_batches list = {.items = &all, .n = 1};
    sm_status st =
        smi_gather_rows(&list, 0, refs + first, n_keys, j->right_keys, j->budget, &keys, e);
    if (st == SM_OK) {
        st = sm_batch_alloc(keys, (size_t)n_keys * 8, (void **)&hashes, e);
    }
    if (st == SM_OK) {
        hash_keys(keys, hashes);
        st = smi_groups_find(j->groups, keys->columns, hashes, n_keys, ids + first, NULL, e);
    }
    for (int64_t i = first; i < *n; i++) {
        refs[i].batch = batch;
    }
    sm_batch_release(keys);
    sm_batch_release(all);
    return st;
}

/* Lays references out by group; a counting sort keeps their order. */
static sm_status lay_out(smi_join *j, const smi_ref *refs, const uint32_t *ids, int64_t n,
                         sm_error *e)
{
    const int64_t n_groups = smi_groups_count(j->groups);
    SM_TRY(sm_block_new(j->budget, (size_t)n * sizeof(smi_ref), &j->refs_block, e));
    SM_TRY(sm_block_new(j->budget, (size_t)(n_groups + 2) * 8, &j->first_block, e));
    smi_ref *out = (smi_ref *)j->refs_block->data;
    int64_t *next = (int64_t *)j->first_block->data + 1; /* becomes `first` when all are placed */
    memset(j->first_block->data, 0, (size_t)(n_groups + 2) * 8);
    for (int64_t i = 0; i < n; i++) {
        next[ids[i] + 1]++;
    }
    for (int64_t g = 0; g < n_groups; g++) {
        next[g + 1] += next[g];
    }
    for (int64_t i = 0; i < n; i++) {
        out[next[ids[i]]++] = refs[i];
    }
    j->refs = out;
    j->first = (const int64_t *)j->first_block->data;
    j->n_refs = n;
    return SM_OK;
}

static sm_status build_groups(smi_join *j, int64_t n_rows, sm_error *e)
{
    sm_block *refs = NULL, *ids = NULL;
    int64_t n = 0;
    const sm_plan_node *node = j->node;
    const sm_type **types = sm_alloc((size_t)node->as.join.n_keys * sizeof(*types));
    for (int32_t k = 0; k < node->as.join.n_keys; k++) {
        types[k] = node->as.join.right_keys[k]->type;
    }
    j->groups = smi_groups_new(types, node->as.join.n_keys, 0, j->budget);
    sm_free(types);
    sm_status st = sm_block_new(j->budget, (size_t)n_rows * sizeof(smi_ref), &refs, e);
    if (st == SM_OK) {
        st = sm_block_new(j->budget, (size_t)n_rows * sizeof(uint32_t), &ids, e);
    }
    for (int64_t b = 0; b < j->right.n && st == SM_OK; b++) {
        st = add_keys(j, (uint32_t)b, (smi_ref *)refs->data, (uint32_t *)ids->data, &n, e);
    }
    if (st == SM_OK) {
        st = lay_out(j, (const smi_ref *)refs->data, (const uint32_t *)ids->data, n, e);
    }
    sm_block_release(refs);
    sm_block_release(ids);
    return st;
}

static sm_status build_all(smi_join *j, int64_t n_rows, sm_error *e)
{
    SM_TRY(sm_block_new(j->budget, (size_t)n_rows * sizeof(smi_ref), &j->refs_block, e));
    smi_ref *refs = (smi_ref *)j->refs_block->data;
    int64_t at = 0;
    for (int64_t b = 0; b < j->right.n; b++) {
        for (int64_t i = 0; i < j->right.items[b]->n_rows; i++) {
            refs[at++] = (smi_ref){.batch = (uint32_t)b, .row = (uint32_t)i};
        }
    }
    j->refs = refs;
    j->n_refs = at;
    return SM_OK;
}

sm_status smi_join_build(smi_join *j, sm_error *e)
{
    int64_t n_rows = 0;
    for (int64_t b = 0; b < j->right.n; b++) {
        n_rows += j->right.items[b]->n_rows;
    }
    j->src = sm_alloc_zero((size_t)(j->n_right + 1) * sizeof(*j->src));
    for (int32_t c = 0; c < j->n_right; c++) {
        j->src[c] = sm_alloc((size_t)(j->right.n + 1) * sizeof(*j->src[c]));
        for (int64_t b = 0; b < j->right.n; b++) {
            j->src[c][b] = &j->right.items[b]->columns[c];
        }
    }
    return j->node->as.join.n_keys > 0 ? build_groups(j, n_rows, e) : build_all(j, n_rows, e);
}

void smi_join_drop_build(smi_join *j)
{
    for (int32_t c = 0; c < j->n_right && j->src; c++) {
        sm_free(j->src[c]);
    }
    sm_free(j->src);
    smi_groups_free(j->groups);
    sm_block_release(j->refs_block);
    sm_block_release(j->first_block);
    smi_batches_release(&j->right);
    j->src = NULL;
    j->groups = NULL;
    j->refs_block = j->first_block = NULL;
}

/* Runs the right side. It is built where it fits, or where it cannot be partitioned. */
static sm_status build(smi_join *j, sm_error *e)
{
    smi_end *end = smi_collect_new(j->run, j->budget, j->node, j->node->inputs[1]->schema);
    const sm_status st = smi_run_into(j->run, j->node->inputs[1], NULL, end, e);
    smi_collect_take(end, &j->rows);
    smi_collect_free(end);
    SM_TRY(st);
    const bool is_large =
        j->rows.spill || smi_is_short(j->run, (size_t)j->rows.n_rows * BUILD_BYTES);
    if (is_large && j->node->as.join.n_keys > 0 && j->rows.n_rows > SM_BATCH_ROWS) {
        return SM_OK;
    }
    const int64_t start_ns = sm_monotonic_ns();
    SM_TRY(smi_rows_load(&j->rows, j->budget, &j->right, e));
    SM_TRY(smi_join_build(j, e));
    smi_profile(j->run, 0, j->node)->cpu_ns += sm_monotonic_ns() - start_ns;
    return SM_OK;
}

/* ---- probe ----------------------------------------------------------------------------------- */

/* Candidate pairs, at most a batch of them. */
typedef struct pairs {
    int32_t left[SM_BATCH_ROWS];
    smi_ref right[SM_BATCH_ROWS]; /* SMI_NO_ROW: the left row has no match */
    bool is_last[SM_BATCH_ROWS];  /* of its left row's */
    int32_t chosen[SM_BATCH_ROWS];
    int64_t n;
    bool has_matched; /* has the current left row, in this batch of pairs or an earlier one? */
} pairs;

/* The pairs as rows: left's columns, then right's. */
static sm_status join_rows(smi_join *j, sm_batch *left, const pairs *p, sm_batch **out, sm_error *e)
{
    sm_budget *budget = j->run->env->budget;
    sm_batch *b = NULL;
    bool is_same = p->n == left->n_rows;
    for (int64_t i = 0; i < p->n && is_same; i++) {
        is_same = p->left[i] == i;
    }
    SM_TRY(sm_batch_new(budget, j->placed ? j->placed : j->node->schema, &b, e));
    sm_batch_keep_all(b, left);
    sm_status st = SM_OK;
    for (int32_t c = 0; c < left->n_columns && st == SM_OK; c++) {
        sm_column *to = &b->columns[c < j->n_left ? c : b->n_columns - 1]; /* a place comes last */
        if (is_same) {
            *to = left->columns[c];
        } else {
            st = sm_column_gather(&left->columns[c], p->left, p->n, b, to, e);
        }
    }
    for (int32_t c = 0; c < j->n_right && st == SM_OK; c++) {
        const sm_type *type = j->node->schema->fields[j->n_left + c].type;
        st = smi_gather(type, j->src[c], j->right.n, p->right, p->n, budget, b,
                        &b->columns[j->n_left + c], e);
    }
    if (st != SM_OK) {
        sm_batch_release(b);
        return st;
    }
    b->n_rows = p->n;
    b->ordinal = left->ordinal;
    b->seq = left->seq;
    *out = b;
    return SM_OK;
}

/* Leaves the pairs that passed `on` (chosen, n_chosen of them), and for a left join one without a
 * match for each row whose last candidate is here and that none has passed. */
static void keep_passed(pairs *p, int64_t n_chosen, bool is_left)
{
    int64_t at = 0, kept = 0;
    for (int64_t i = 0; i < p->n; i++) {
        const bool has_passed = at < n_chosen && p->chosen[at] == i;
        const bool has_no_row = p->right[i].batch == SMI_NO_ROW;
        at += has_passed;
        p->has_matched = p->has_matched || (has_passed && !has_no_row);
        const bool is_bare = is_left && p->is_last[i] && !p->has_matched;
        if ((has_passed && !has_no_row) || is_bare) {
            p->left[kept] = p->left[i];
            p->right[kept] = is_bare ? (smi_ref){.batch = SMI_NO_ROW} : p->right[i];
            kept++;
        }
        if (p->is_last[i]) {
            p->has_matched = false;
        }
    }
    p->n = kept;
}

static sm_status give_pairs(smi_join *j, smi_driver *d, sm_batch *left, pairs *p, sm_error *e)
{
    sm_batch *out = NULL;
    if (p->n == 0) {
        return SM_OK;
    }
    SM_TRY(join_rows(j, left, p, &out, e));
    if (j->node->as.join.on) {
        const bool is_left = j->node->as.join.kind == SM_JOIN_LEFT;
        const int64_t n_before = p->n;
        int64_t n = 0;
        const sm_status st = sm_expr_select(j->node->as.join.on, out, j->run->params, p->chosen, &n,
                                            j->run->env->budget, e);
        if (st != SM_OK) {
            sm_batch_release(out);
            return st;
        }
        keep_passed(p, n, is_left);
        if (p->n != n_before || n != n_before) {
            sm_batch_release(out);
            out = NULL;
            if (p->n > 0) {
                SM_TRY(join_rows(j, left, p, &out, e));
            }
        }
    }
    p->n = 0;
    return out ? smi_give(d, j->node, j->op.next, out, e) : SM_OK;
}

/* The groups of the left rows; −1: none. */
static sm_status look_up(smi_join *j, sm_batch *left, int32_t *ids, sm_error *e)
{
    sm_batch *keys = NULL;
    uint64_t *hashes = NULL;
    SM_TRY(smi_eval_flat(j->run, j->node->as.join.left_keys, j->node->as.join.n_keys, j->left_keys,
                         left, j->run->env->budget, &keys, e));
    sm_status st = sm_batch_alloc(keys, (size_t)left->n_rows * 8, (void **)&hashes, e);
    if (st == SM_OK) {
        hash_keys(keys, hashes);
        st = smi_groups_look(j->groups, keys->columns, hashes, left->n_rows, ids, e);
    }
    for (int64_t i = 0; st == SM_OK && i < left->n_rows; i++) {
        if (ids[i] >= 0 && has_null(keys, i)) {
            ids[i] = -1;
        }
    }
    sm_batch_release(keys);
    return st;
}

static sm_status probe(smi_join *j, smi_driver *d, sm_batch *left, const int32_t *ids, pairs *p,
                       sm_error *e)
{
    const smi_ref nothing = {.batch = SMI_NO_ROW};
    const bool is_left = j->node->as.join.kind == SM_JOIN_LEFT;
    for (int64_t i = 0; i < left->n_rows; i++) {
        const smi_ref *refs = j->refs;
        int64_t n = j->n_refs;
        if (j->groups) {
            n = ids[i] < 0 ? 0 : j->first[ids[i] + 1] - j->first[ids[i]];
            refs += ids[i] < 0 ? 0 : j->first[ids[i]];
        }
        if (n == 0 && is_left) {
            refs = &nothing;
            n = 1;
        }
        for (int64_t k = 0; k < n; k++) {
            p->left[p->n] = (int32_t)i;
            p->right[p->n] = refs[k];
            p->is_last[p->n++] = k == n - 1;
            if (p->n == SM_BATCH_ROWS) {
                if (smi_pipe_is_past(d->pipe, d->task->ordinal)) {
                    return SM_OK; /* a cross join must not go on for nobody */
                }
                SM_TRY(give_pairs(j, d, left, p, e));
            }
        }
    }
    return give_pairs(j, d, left, p, e);
}

sm_status smi_join_probe(smi_join *j, smi_driver *d, sm_batch *left, sm_error *e)
{
    pairs *p = sm_alloc(sizeof(*p));
    int32_t *ids = sm_alloc((size_t)left->n_rows * sizeof(*ids));
    p->n = 0;
    p->has_matched = false;
    sm_status st = j->groups ? look_up(j, left, ids, e) : SM_OK;
    if (st == SM_OK) {
        st = probe(j, d, left, ids, p, e);
    }
    sm_free(ids);
    sm_free(p);
    return st;
}

static sm_status join_push(smi_op *op, smi_driver *d, sm_batch *rows, sm_error *e)
{
    const sm_status st = smi_join_probe((smi_join *)op, d, rows, e);
    sm_batch_release(rows);
    return st;
}

/* ---- making ---------------------------------------------------------------------------------- */

static const sm_type *key_schema(sm_arena *a, const sm_expr *const *keys, int32_t n)
{
    const sm_type **types = SM_NEW_ARRAY(a, const sm_type *, n + 1);
    for (int32_t i = 0; i < n; i++) {
        types[i] = keys[i]->type;
    }
    return smi_schema_of(a, types, n);
}

sm_status smi_join_new(smi_run *run, const sm_plan_node *node, smi_op *next, smi_op **out,
                       sm_error *e)
{
    smi_join *j = SM_NEW(run->arena, smi_join);
    const int32_t n_keys = node->as.join.n_keys;
    *j = (smi_join){.op = {.push = join_push, .node = node, .next = next},
                    .run = run,
                    .node = node,
                    .budget = sm_budget_new(run->env->budget, "join", 0),
                    .n_left = node->inputs[0]->schema->n_fields,
                    .n_right = node->inputs[1]->schema->n_fields,
                    .left_keys = key_schema(run->arena, node->as.join.left_keys, n_keys),
                    .right_keys = key_schema(run->arena, node->as.join.right_keys, n_keys)};
    const sm_status st = build(j, e);
    if (st != SM_OK) {
        smi_within_operator(st, "JOIN", j->budget, e);
        smi_join_free(&j->op);
        return st;
    }
    *out = &j->op;
    return SM_OK;
}

void smi_join_free(smi_op *op)
{
    smi_join *j = (smi_join *)op;
    smi_join_drop_build(j);
    smi_rows_release(&j->rows);
    smi_report_peak(j->run, j->node, j->budget);
    sm_budget_free(j->budget);
}
