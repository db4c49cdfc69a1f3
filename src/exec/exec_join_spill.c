/* SPDX-License-Identifier: Apache-2.0
 *
 * exec/exec_join_spill.c: a join whose right side does not fit in memory.
 *
 * Calls    smi_join_run() by exec_run.c, where smi_join_is_large() is true after smi_join_new().
 * Method   Both sides are kept in their order, mostly on disk. Then they are written once more, in
 *          partitions by the top bits of their keys' hash, so that the right side of a partition
 *          fits. A left row carries its *place*, its number in the input. Partitions are joined
 *          side by side as exec_join.c does it in memory, each into a run of rows in the order of
 *          their places. The runs are merged by place, so the output has the same order as without
 *          partitions.
 * Source   Kitsuregawa et al., Application of Hash to Data Base Machine, 1983 (GRACE). */
#include "exec/exec_join_int.h"

#include <stdlib.h>
#include <string.h>

#define PARTS_MAX_LOG 8
#define PARTS_MAX     (1 << PARTS_MAX_LOG)
#define PIECE_ROWS    512 /* about, of one partition */

typedef struct spilled_join spilled_join;

/* One side while it is written to partitions. */
typedef struct side {
    spilled_join *join;
    smi_rows *from;
    int64_t *first; /* the place of each batch's first row; NULL: rows take none */
    const sm_expr *const *keys;
    const sm_type *key_schema, *schema; /* of partitions' rows */
    smi_rows *parts;                    /* under the lock; they borrow the spill */
} side;

struct spilled_join {
    smi_op writer; /* takes a partition's result */
    smi_join *join;
    smi_execution *exec;
    smi_spill *spill;
    sm_mutex lock;
    int32_t n_parts, shift;
    side left, right;
    smi_rows *results; /* a run a partition */
    smi_merge merge;
};

bool smi_join_is_large(const smi_op *op)
{
    return ((const smi_join *)op)->state == SMI_JOIN_KEPT;
}

/* ---- to partitions --------------------------------------------------------------------------- */

/* Evaluates the keys of some rows (*keys) and their hashes, which live in *keys. */
static sm_status hash_rows(spilled_join *s, const side *of, sm_batch *rows, sm_batch **keys,
                           uint64_t **hashes, sm_error *e)
{
    const int32_t n_keys = s->join->node->as.join.n_keys;
    void *mem = NULL;
    SM_TRY(
        smi_eval_flat(s->exec, of->keys, n_keys, of->key_schema, rows, s->join->budget, keys, e));
    const sm_status st = sm_batch_alloc(*keys, (size_t)rows->n_rows * 8, &mem, e);
    if (st != SM_OK) {
        sm_batch_release(*keys);
        return st;
    }
    *hashes = mem;
    for (int32_t k = 0; k < n_keys; k++) {
        sm_column_hash(&(*keys)->columns[k], *hashes, k > 0);
    }
    return SM_OK;
}

/* Sorts references to the batches' rows by partition: first[p] … first[p + 1] − 1 are those of p.
 * */
static sm_status lay_out_by_part(spilled_join *s, const side *of, const smi_batches *rows,
                                 smi_ref *refs, int64_t *first, sm_error *e)
{
    int64_t n = 0, at = 0;
    for (int64_t b = 0; b < rows->n; b++) {
        n += rows->items[b]->n_rows;
    }
    uint8_t *part = sm_alloc((size_t)n);
    int64_t next[PARTS_MAX + 1] = {0};
    sm_status st = SM_OK;
    for (int64_t b = 0; b < rows->n && st == SM_OK; b++) {
        sm_batch *keys = NULL;
        uint64_t *hashes = NULL;
        st = hash_rows(s, of, rows->items[b], &keys, &hashes, e);
        for (int64_t i = 0; st == SM_OK && i < rows->items[b]->n_rows; i++) {
            part[at] = (uint8_t)(hashes[i] >> s->shift);
            SM_ASSERT(part[at] < s->n_parts);
            next[part[at++] + 1]++;
        }
        if (st == SM_OK) {
            sm_batch_release(keys);
        }
    }
    for (int32_t p = 0; p < s->n_parts; p++) {
        next[p + 1] += next[p];
    }
    memcpy(first, next, (size_t)(s->n_parts + 1) * sizeof(*first));
    at = 0;
    for (int64_t b = 0; b < rows->n && st == SM_OK; b++) {
        for (int64_t i = 0; i < rows->items[b]->n_rows; i++, at++) {
            refs[next[part[at]]++] = (smi_ref){.batch = (uint32_t)b, .row = (uint32_t)i};
        }
    }
    sm_free(part);
    return st;
}

/* Writes some batches' rows, which come at (ordinal, seq). */
static sm_status put_rows(spilled_join *s, side *to, const smi_batches *rows, uint64_t ordinal,
                          uint32_t seq, sm_error *e)
{
    int64_t n = 0;
    int64_t first[PARTS_MAX + 1];
    for (int64_t b = 0; b < rows->n; b++) {
        n += rows->items[b]->n_rows;
    }
    smi_ref *refs = sm_alloc((size_t)(n + 1) * sizeof(*refs));
    sm_status st = lay_out_by_part(s, to, rows, refs, first, e);
    for (int32_t p = 0; p < s->n_parts && st == SM_OK; p++) {
        const int64_t n_here = first[p + 1] - first[p];
        smi_kept k = {.n_rows = n_here, .ordinal = ordinal, .seq = seq};
        sm_batch *b = NULL;
        if (n_here == 0) {
            continue;
        }
        st = smi_gather_rows(rows, 0, refs + first[p], n_here, to->schema, s->join->budget, &b, e);
        st = st == SM_OK ? smi_spill_put_batches(s->spill, &b, 1, s->join->budget, &k.extent, e)
                         : st;
        sm_batch_release(b);
        if (st == SM_OK) {
            sm_mutex_lock(&s->lock);
            smi_rows_add(&to->parts[p], &k);
            sm_mutex_unlock(&s->lock);
        }
    }
    sm_free(refs);
    return st;
}

/* How many batches are written together, so that a partition gets about PIECE_ROWS rows of them. */
static int64_t batches_together(const spilled_join *s)
{
    return (int64_t)s->n_parts * PIECE_ROWS / SM_BATCH_ROWS + 1;
}

/* The batch with a column more: each row's place in the input. */
static sm_status add_places(const side *of, uint64_t first, sm_batch **rows, sm_error *e)
{
    sm_batch *in = *rows, *b = NULL;
    void *mem = NULL;
    SM_TRY(sm_batch_new(of->join->join->budget, of->schema, &b, e));
    sm_batch_keep_all(b, in);
    const sm_status st = sm_batch_alloc(b, (size_t)in->n_rows * 8, &mem, e);
    if (st != SM_OK) {
        sm_batch_release(b);
        return st;
    }
    uint64_t *places = mem;
    for (int64_t i = 0; i < in->n_rows; i++) {
        places[i] = first + (uint64_t)i;
    }
    for (int32_t c = 0; c < in->n_columns; c++) {
        b->columns[c] = in->columns[c];
    }
    b->columns[in->n_columns] =
        (sm_column){.type = &sm_type_u64, .n_rows = in->n_rows, .values = places};
    b->n_rows = in->n_rows;
    sm_batch_release(in);
    *rows = b;
    return SM_OK;
}

/* Task i: writes the i-th few of a side's kept batches to the partitions, and releases them. */
static sm_status put_some(void *ctx, int64_t i, sm_error *e)
{
    side *of = ctx;
    spilled_join *s = of->join;
    smi_batches rows = {0};
    const int64_t end = (i + 1) * batches_together(s);
    sm_status st = SM_OK;
    for (int64_t b = i * batches_together(s); b < end && b < of->from->n && st == SM_OK; b++) {
        sm_batch *one = NULL;
        st = smi_rows_get(of->from, b, s->join->budget, &one, e);
        if (st == SM_OK && of->first) {
            st = add_places(of, (uint64_t)of->first[b], &one, e);
        }
        if (one) {
            smi_batches_add(&rows, one);
        }
        smi_rows_drop(of->from, b);
    }
    if (st == SM_OK) {
        st = put_rows(s, of, &rows, (uint64_t)i, 0, e);
    }
    smi_batches_release(&rows);
    return st;
}

static sm_status put_side(side *of, sm_error *e)
{
    const int64_t some = batches_together(of->join);
    SM_TRY(
        sm_pool_for(of->join->exec->env->pool, (of->from->n + some - 1) / some, put_some, of, e));
    for (int32_t p = 0; p < of->join->n_parts; p++) {
        smi_rows_sort(&of->parts[p]);
    }
    return SM_OK;
}

/* ---- a partition ----------------------------------------------------------------------------- */

/* Keeps a partition's joined rows. Its task is the partition. */
static sm_status writer_push(smi_op *op, smi_driver *d, sm_batch *rows, sm_error *e)
{
    spilled_join *s = (spilled_join *)op;
    smi_kept k = {.n_rows = rows->n_rows};
    const sm_status st = smi_spill_put_batches(s->spill, &rows, 1, s->join->budget, &k.extent, e);
    sm_batch_release(rows);
    SM_TRY(st);
    SM_ASSERT(d->task->ordinal < (uint64_t)s->n_parts); /* no other partition adds to its list */
    smi_rows_add(&s->results[d->task->ordinal], &k);
    return SM_OK;
}

static sm_status join_part(void *ctx, smi_driver *d, int64_t p, sm_error *e)
{
    spilled_join *s = ctx;
    smi_join part = {.op = {.node = s->join->node, .next = &s->writer},
                     .exec = s->exec,
                     .node = s->join->node,
                     .budget = s->join->budget,
                     .n_left = s->join->n_left,
                     .n_right = s->join->n_right,
                     .left_keys = s->join->left_keys,
                     .right_keys = s->join->right_keys,
                     .placed = s->join->placed};
    smi_rows *left = &s->left.parts[p], *right = &s->right.parts[p];
    sm_status st = SM_OK;
    for (int64_t b = 0; b < right->n && st == SM_OK; b++) {
        sm_batch *rows = NULL;
        st = smi_rows_get(right, b, s->join->budget, &rows, e);
        if (st == SM_OK) {
            smi_batches_add(&part.right, rows);
        }
    }
    st = st == SM_OK ? smi_join_build(&part, e) : st;
    for (int64_t b = 0; b < left->n && st == SM_OK; b++) {
        sm_batch *rows = NULL;
        st = smi_rows_get(left, b, s->join->budget, &rows, e);
        if (st == SM_OK) {
            st = smi_join_probe(&part, d, rows, e);
            sm_batch_release(rows);
            smi_rows_drop(left, b);
        }
    }
    smi_join_drop_build(&part);
    return st;
}

/* The end of these tasks gets no rows: the writer has taken them. */
static sm_status nothing_pushed(smi_end *end, smi_driver *d, sm_batch *rows, sm_error *e)
{
    (void)end, (void)d;
    sm_batch_release(rows);
    return sm_fail(e, SM_INTERNAL, "a row at the end of a partition's join");
}

static sm_status nothing_to_do(smi_end *end, smi_driver *d, sm_error *e)
{
    (void)end, (void)d, (void)e;
    return SM_OK;
}

static sm_status join_parts(spilled_join *s, sm_error *e)
{
    smi_end end = {.push = nothing_pushed, .close = nothing_to_do};
    smi_tasks tasks;
    uint64_t turn = 0;
    smi_tasks_init(&tasks, s->join->node, s->n_parts, join_part, s);
    return smi_pipe_run(s->exec, &tasks.source, &s->writer, &end, &turn, e);
}

/* ---- the whole ------------------------------------------------------------------------------- */

static sm_status give_merged(void *ctx, smi_driver *d, int64_t i, sm_error *e)
{
    spilled_join *s = ctx;
    (void)i;
    while (!smi_pipe_is_past(d->pipe, d->task->ordinal)) {
        sm_batch *b = NULL;
        SM_TRY(smi_merge_next(&s->merge, s->join->node->schema, s->exec->env->budget, &b, e));
        if (!b) {
            break;
        }
        b->ordinal = d->task->ordinal;
        SM_TRY(smi_give(d, NULL, d->pipe->first, b, e)); /* counted when it was joined */
    }
    return SM_OK;
}

/* Chooses so many partitions that two of them, built, take a quarter of the limit. */
static void choose_parts(spilled_join *s)
{
    const smi_rows *right = s->right.from;
    uint64_t bytes = 0;
    for (int64_t i = 0; i < right->n; i++) {
        bytes += right->items[i].rows ? sm_batch_bytes(right->items[i].rows)
                                      : right->items[i].extent.plain_bytes;
    }
    bytes += (uint64_t)right->n_rows * SMI_JOIN_PART_ROW_BYTES;
    const int log = smi_memory_join_parts_log(s->exec, bytes, PARTS_MAX_LOG);
    SM_ASSERT(log >= 1 && log <= PARTS_MAX_LOG); /* a shift by 64 would be undefined */
    s->n_parts = 1 << log;
    s->shift = 64 - log;
}

static void side_init(spilled_join *s, side *of, smi_rows *from, const sm_expr *const *keys,
                      const sm_type *key_schema, const sm_type *schema)
{
    *of = (side){.join = s, .from = from, .keys = keys, .key_schema = key_schema, .schema = schema};
    of->parts = SM_NEW_ARRAY(s->exec->arena, smi_rows, s->n_parts);
    for (int32_t p = 0; p < s->n_parts; p++) {
        of->parts[p] = (smi_rows){.schema = schema, .spill = s->spill};
    }
}

static void parts_release(spilled_join *s, smi_rows *parts)
{
    for (int32_t p = 0; parts && p < s->n_parts; p++) {
        parts[p].spill = NULL; /* it is the join's */
        smi_rows_release(&parts[p]);
    }
}

/* Writes both sides to partitions, and joins each into a run. */
static sm_status run_parts(spilled_join *s, smi_rows *left, sm_error *e)
{
    smi_join *j = s->join;
    sm_arena *a = s->exec->arena;
    s->right.from = &j->rows;
    choose_parts(s);
    SM_TRY(smi_spill_new(s->exec, j->node, &s->spill, e));
    j->placed = smi_with_place(a, j->node->schema);
    side_init(s, &s->right, &j->rows, j->node->as.join.right_keys, j->right_keys, j->rows.schema);
    side_init(s, &s->left, left, j->node->as.join.left_keys, j->left_keys,
              smi_with_place(a, left->schema));
    s->left.first = SM_NEW_ARRAY(a, int64_t, left->n + 1);
    for (int64_t b = 0; b < left->n; b++) {
        s->left.first[b + 1] = s->left.first[b] + left->items[b].n_rows;
    }
    s->results = SM_NEW_ARRAY(a, smi_rows, s->n_parts);
    for (int32_t p = 0; p < s->n_parts; p++) {
        s->results[p] = (smi_rows){.schema = j->placed, .spill = s->spill};
    }
    SM_TRY(put_side(&s->right, e));
    SM_TRY(put_side(&s->left, e));
    return join_parts(s, e);
}

sm_status smi_join_run(smi_op *op, smi_end *end, uint64_t *turn, sm_error *e)
{
    smi_join *j = (smi_join *)op;
    SM_ASSERT(j->state == SMI_JOIN_KEPT && j->node->as.join.n_keys > 0);
    spilled_join s = {.writer = {.push = writer_push, .node = j->node}, .join = j, .exec = j->exec};
    smi_rows left = {0};
    sm_mutex_init(&s.lock);
    const sm_type *left_schema = j->node->inputs[0]->schema;
    smi_end *collect = smi_collect_new(j->exec, j->budget, j->node, left_schema);
    sm_status st = smi_execute_into(j->exec, j->node->inputs[0], NULL, collect, e);
    smi_collect_take(collect, &left);
    smi_collect_free(collect);
    st = st == SM_OK ? run_parts(&s, &left, e) : st;
    if (st == SM_OK) {
        const smi_sort_spec spec = {.place = j->node->schema->n_fields};
        smi_tasks tasks;
        smi_tasks_init(&tasks, j->node, 1, give_merged, &s);
        st = smi_merge_begin(&s.merge, &spec, s.results, s.n_parts, j->budget, e);
        st = st == SM_OK ? smi_pipe_run(j->exec, &tasks.source, j->op.next, end, turn, e) : st;
        smi_merge_end(&s.merge);
    }
    st = smi_within_operator(st, "JOIN", j->budget, e);
    parts_release(&s, s.left.parts);
    parts_release(&s, s.right.parts);
    parts_release(&s, s.results);
    smi_rows_release(&left);
    smi_spill_free(s.spill);
    sm_mutex_release(&s.lock);
    return st;
}
