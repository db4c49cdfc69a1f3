/* SPDX-License-Identifier: Apache-2.0
 *
 * exec/exec_join.c: joins, with the right side in memory and the left side streaming past it.
 *
 * Calls    smi_join_new() by exec_run.c runs the right input and builds the table; then the op's
 *          push for each batch of the left side, from many workers at once; then smi_join_free(). A
 *          right side that does not fit is only kept, and exec_join_spill.c joins it.
 * Build    Right rows are kept as compact batches in their order; exec_join_table.c finds them by
 *          their keys.
 * Probe    A left row's candidates are the right rows with equal keys, in their order. Up to a
 *          batch of pairs is gathered, tested by the rest of the condition (`on`) and given on. A
 *          left join gives a row whose candidates all failed with NULLs for the right side, also
 *          where the candidates span several batches.
 * Output   In the order of the left side, and a row's matches in the order of the right side. */
#include "exec/exec_join_int.h"

#include <string.h>

/* ---- build ----------------------------------------------------------------------------------- */

static sm_status build_all(smi_join *j, int64_t n_rows, sm_error *e)
{
    smi_join_table *t = &j->table;
    SM_TRY(sm_block_new(j->budget, (size_t)n_rows * sizeof(smi_ref), &t->refs_block, e));
    smi_ref *refs = (smi_ref *)t->refs_block->data;
    int64_t at = 0;
    for (int64_t b = 0; b < j->right.n; b++) {
        SM_TRY(smi_check_cancel(j->exec, e));
        for (int64_t i = 0; i < j->right.items[b]->n_rows; i++) {
            refs[at++] = (smi_ref){.batch = (uint32_t)b, .row = (uint32_t)i};
        }
    }
    t->refs = refs;
    t->n_refs = at;
    return SM_OK;
}

sm_status smi_join_build(smi_join *j, sm_error *e)
{
    SM_ASSERT(j->state == SMI_JOIN_EMPTY && !j->src);
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
    SM_TRY(j->node->as.join.n_keys > 0 ? smi_join_table_build(j, n_rows, e)
                                       : build_all(j, n_rows, e));
    SM_ASSERT(j->table.n_refs <= n_rows); /* rows with a NULL among their keys match nothing */
    j->state = SMI_JOIN_BUILT;
    return SM_OK;
}

void smi_join_drop_build(smi_join *j)
{
    for (int32_t c = 0; c < j->n_right && j->src; c++) {
        sm_free(j->src[c]);
    }
    sm_free(j->src);
    smi_join_table_drop(&j->table);
    smi_batches_release(&j->right);
    j->src = NULL;
    j->state = SMI_JOIN_EMPTY;
}

/* Runs the right side, and builds the table where it fits, or where it cannot be partitioned. */
static sm_status run_right_side(smi_join *j, sm_error *e)
{
    smi_end *end = smi_collect_new(j->exec, j->budget, j->node, j->node->inputs[1]->schema);
    const sm_status st = smi_execute_into(j->exec, j->node->inputs[1], NULL, end, e);
    smi_collect_take(end, &j->rows);
    smi_collect_free(end);
    SM_TRY(st);
    const bool is_large =
        j->rows.spill || smi_memory_is_short(j->exec, (size_t)j->rows.n_rows * SMI_JOIN_ROW_BYTES);
    if (is_large && j->node->as.join.n_keys > 0 && j->rows.n_rows > SM_BATCH_ROWS) {
        j->state = SMI_JOIN_KEPT;
        return SM_OK;
    }
    const int64_t start_ns = sm_monotonic_ns();
    SM_TRY(smi_rows_load(&j->rows, j->budget, &j->right, e));
    SM_TRY(smi_join_build(j, e));
    smi_profile(j->exec, 0, j->node)->cpu_ns += sm_monotonic_ns() - start_ns;
    return SM_OK;
}

/* ---- probe ----------------------------------------------------------------------------------- */

/* Pairs of a left row and a candidate, at most a batch of them. */
typedef struct pairs {
    int32_t left[SM_BATCH_ROWS];
    smi_ref right[SM_BATCH_ROWS]; /* SMI_NO_ROW: the left row has no match */
    bool is_last[SM_BATCH_ROWS];  /* of its left row's */
    int32_t chosen[SM_BATCH_ROWS];
    int64_t n;
    bool has_matched; /* has the current left row, in this batch of pairs or an earlier one? */
} pairs;

/* Does no later operator read this column, so that zeros do? Keys are often such columns. */
static bool is_idle(const smi_join *j, int32_t c)
{
    const bool *is_read = j->node->as.join.is_read;
    return is_read && !is_read[c] && !sm_type_is_nested(j->node->schema->fields[c].type->id);
}

static sm_status zeros(const sm_type *type, int64_t n, sm_batch *b, sm_column *out, sm_error *e)
{
    void *mem = NULL;
    const int width = sm_type_bytes(type->id);
    SM_ASSERT(!sm_type_is_nested(type->id)); /* zeros are no lists: children would be missing */
    SM_TRY(sm_batch_alloc(b, width > 0 ? (size_t)n * (size_t)width : (size_t)(n + 7) / 8, &mem, e));
    *out = (sm_column){.type = type, .n_rows = n, .values = mem};
    return SM_OK;
}

/* Makes rows of the pairs: the left side's columns, then the right side's. */
static sm_status join_rows(smi_join *j, sm_batch *left, const pairs *p, sm_batch **out, sm_error *e)
{
    sm_budget *budget = j->exec->env->budget;
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
        } else if (c < j->n_left && is_idle(j, c)) {
            st = zeros(left->columns[c].type, p->n, b, to, e);
        } else {
            st = sm_column_gather(&left->columns[c], p->left, p->n, b, to, e);
        }
    }
    for (int32_t c = 0; c < j->n_right && st == SM_OK; c++) {
        const sm_type *type = j->node->schema->fields[j->n_left + c].type;
        sm_column *to = &b->columns[j->n_left + c];
        st = is_idle(j, j->n_left + c)
                 ? zeros(type, p->n, b, to, e)
                 : smi_gather(type, j->src[c], j->right.n, p->right, p->n, budget, b, to, e);
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

/* Keeps the pairs that passed `on` (n_chosen of them, in `chosen`). For a left join also keeps,
 * without a right row, the last pair of each left row that has matched nothing. */
static void keep_passed(pairs *p, int64_t n_chosen, bool is_left)
{
    SM_ASSERT(n_chosen <= p->n && p->n <= SM_BATCH_ROWS);
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
    SM_ASSERT(at == n_chosen); /* they ascend: each was met */
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
        const sm_status st = sm_expr_select(j->node->as.join.on, out, j->exec->params, p->chosen,
                                            &n, j->exec->env->budget, e);
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

static sm_status probe(smi_join *j, smi_driver *d, sm_batch *left, const int32_t *ids, pairs *p,
                       sm_error *e)
{
    const smi_join_table *t = &j->table;
    const smi_ref nothing = {.batch = SMI_NO_ROW};
    const bool is_left = j->node->as.join.kind == SM_JOIN_LEFT;
    SM_ASSERT(left->n_rows <= INT32_MAX);
    for (int64_t i = 0; i < left->n_rows; i++) {
        const smi_ref *refs = t->refs;
        int64_t n = t->n_refs;
        if (t->n_parts > 0) {
            n = ids[i] < 0 ? 0 : t->first[ids[i] + 1] - t->first[ids[i]];
            refs += ids[i] < 0 ? 0 : t->first[ids[i]];
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
                    return SM_OK; /* nobody wants more rows: a cross join must not go on */
                }
                SM_TRY(smi_check_cancel(j->exec, e));
                SM_TRY(give_pairs(j, d, left, p, e));
            }
        }
    }
    return give_pairs(j, d, left, p, e);
}

sm_status smi_join_probe(smi_join *j, smi_driver *d, sm_batch *left, sm_error *e)
{
    SM_ASSERT(j->state == SMI_JOIN_BUILT);
    SM_ASSERT(left->n_columns == j->n_left + (j->placed != NULL));
    pairs *p = sm_alloc(sizeof(*p));
    int32_t *ids = sm_alloc((size_t)left->n_rows * sizeof(*ids));
    p->n = 0;
    p->has_matched = false;
    sm_status st = j->table.n_parts > 0 ? smi_join_table_look(j, left, ids, e) : SM_OK;
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

sm_status smi_join_new(smi_execution *exec, const sm_plan_node *node, smi_op *next, smi_op **out,
                       sm_error *e)
{
    smi_join *j = SM_NEW(exec->arena, smi_join);
    const int32_t n_keys = node->as.join.n_keys;
    *j = (smi_join){.op = {.push = join_push, .node = node, .next = next},
                    .exec = exec,
                    .node = node,
                    .budget = sm_budget_new(exec->env->budget, "join", 0),
                    .n_left = node->inputs[0]->schema->n_fields,
                    .n_right = node->inputs[1]->schema->n_fields,
                    .left_keys = key_schema(exec->arena, node->as.join.left_keys, n_keys),
                    .right_keys = key_schema(exec->arena, node->as.join.right_keys, n_keys)};
    const sm_status st = smi_within_operator(run_right_side(j, e), "JOIN", j->budget, e);
    if (st != SM_OK) {
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
    smi_report_peak(j->exec, j->node, j->budget);
    sm_budget_free(j->budget);
}
