/* SPDX-License-Identifier: Apache-2.0
 *
 * exec/exec_window_spill.c: a window function whose keys and arguments do not fit in memory.
 *
 * Calls    smi_window_spilled() by exec_window.c, for one function after another.
 * Method   Keys, arguments and each row's place in the input go through a sorter (exec_sorter.c),
 *          which gives them in the order of PARTITION BY and ORDER BY. Whole partitions, of some
 *          thousand rows together (a *stretch*), are handled as in exec_window.c. The results, with
 *          their places, go through a second sorter and are cut into the input's batches again.
 * Pieces   A function that can (sm_function.in_pieces) is given the stretch as it comes: the last
 *          partition may go on in the next one, for which its last row and counts are kept.
 * Memory   One partition, and its results, must fit, unless the function takes pieces. */
#include "exec/exec_window_int.h"

/* ---- rows in ------------------------------------------------------------------------------- */

/* Evaluates the expressions over input batch b and adds them, with places, to the sorter. */
static sm_status add_batch(smi_window_all *w, smi_sorter *to, const sm_expr *const *exprs,
                           int64_t b, sm_error *e)
{
    sm_batch *in = NULL, *wide = NULL, *copy = NULL;
    void *mem = NULL;
    const int32_t n = to->schema->n_fields - 1;
    SM_TRY(smi_rows_get(&w->rows, b, w->budget, &in, e));
    sm_status st = smi_eval_flat(w->exec, exprs, n, to->schema, in, w->budget, &wide, e);
    if (st == SM_OK) {
        st = sm_batch_alloc(wide, (size_t)in->n_rows * 8, &mem, e);
    }
    if (st == SM_OK) {
        uint64_t *places = mem;
        for (int64_t i = 0; i < in->n_rows; i++) {
            places[i] = (uint64_t)(w->first[b] + i);
        }
        wide->columns[n] =
            (sm_column){.type = &sm_type_u64, .n_rows = in->n_rows, .values = places};
        st = sm_batch_concat(&wide, 1, true, w->budget, &copy, e);
    }
    sm_batch_release(wide);
    sm_batch_release(in);
    return st == SM_OK ? smi_sorter_add(to, copy, e) : st;
}

/* ---- partitions ---------------------------------------------------------------------------- */

/* Sorted rows that are handled together. */
typedef struct stretch {
    smi_window_job *job;
    int64_t n_rows;
    int64_t n_done; /* of them: 1 where the first has its result, and stands for its partition */
    smi_sorter *results;
} stretch;

/* Adds the results of a stretch, with their places, to the second sorter. */
static sm_status add_results(stretch *s, sm_batch *results, const smi_sort_row *order, sm_error *e)
{
    const smi_window_job *job = s->job;
    sm_batch *b = NULL, *copy = NULL;
    void *mem = NULL;
    const int32_t place = job->spec.n_keys + job->args->n_fields;
    SM_TRY(sm_batch_new(job->w->budget, s->results->schema, &b, e));
    sm_batch_keep_all(b, results);
    b->n_rows = results->n_rows;
    b->columns[0] = results->columns[0];
    sm_status st = sm_batch_alloc(b, (size_t)b->n_rows * 8, &mem, e);
    if (st == SM_OK) {
        uint64_t *places = mem;
        for (int64_t i = 0; i < b->n_rows; i++) {
            const sm_batch *from = job->wide.items[order[i].ref.batch];
            places[i] = ((const uint64_t *)from->columns[place].values)[order[i].ref.row];
        }
        b->columns[1] = (sm_column){.type = &sm_type_u64, .n_rows = b->n_rows, .values = places};
        st = sm_batch_concat(&b, 1, true, job->w->budget, &copy, e);
    }
    sm_batch_release(b);
    return st == SM_OK ? smi_sorter_add(s->results, copy, e) : st;
}

/* Counts rows of the stretch to what their partition had before. */
static void count_before(smi_window_job *job, int64_t first, int64_t end)
{
    sm_window_before *before = &job->before;

    for (int64_t i = first; i < end; i++) {
        if (smi_window_starts_part(job, i)) {
            *before = (sm_window_before){0};
        }
        if (smi_window_starts_group(job, i)) {
            before->last_group = before->n_rows;
            before->n_groups++;
        }
        before->n_rows++;
    }
}

/* Makes the results of the stretch's first n rows: whole partitions, or pieces. */
static sm_status run_stretch(stretch *s, const smi_sort_row *order, int64_t n, sm_error *e)
{
    smi_window_job *job = s->job;
    SM_ASSERT(s->n_done < n && n <= s->n_rows && !job->blocks);
    int64_t first[2] = {s->n_done, n};
    sm_batch *results = NULL;
    job->order = order;
    job->block_first = first;
    job->blocks = &results;
    if (smi_window_starts_part(job, s->n_done)) {
        job->before = (sm_window_before){0};
    }
    sm_status st = smi_window_block(job, 0, e);
    if (st == SM_OK) {
        st = add_results(s, results, order + s->n_done, e);
    }
    if (job->item->call->fn->in_pieces) {
        count_before(job, s->n_done, n);
    }
    sm_batch_release(results);
    job->block_first = NULL;
    job->blocks = NULL;
    return st;
}

/* The row where the last partition begins; those before it are whole partitions. */
static int64_t last_start(const smi_window_job *job, const smi_sort_row *order, int64_t n)
{
    int64_t at = n - 1;
    SM_ASSERT(n > 0);
    while (at > 0 && smi_sort_cmp(&job->spec, 0, job->item->n_partition, order[at - 1].ref,
                                  order[at].ref) == 0) {
        at--;
    }
    return at;
}

/* Keeps only the rows from `first` on. */
static sm_status keep_rest(stretch *s, const smi_sort_row *order, int64_t first, int64_t n,
                           const sm_type *schema, sm_error *e)
{
    smi_batches rest = {0};
    sm_status st = SM_OK;
    for (int64_t at = first; at < n && st == SM_OK; at += SM_BATCH_ROWS) {
        smi_ref refs[SM_BATCH_ROWS];
        sm_batch *b = NULL;
        int64_t some = 0;
        for (; some < SM_BATCH_ROWS && at + some < n; some++) {
            refs[some] = order[at + some].ref;
        }
        st = smi_gather_rows(&s->job->wide, 0, refs, some, schema, s->job->w->budget, &b, e);
        if (st == SM_OK) {
            smi_batches_add(&rest, b);
        }
    }
    smi_batches_release(&s->job->wide);
    s->job->wide = rest;
    s->n_rows = n - first;
    return st;
}

/* Handles the whole partitions of the stretch; all of it where no more rows come, or where the
 * function takes pieces. */
static sm_status look_at_whole(stretch *s, const sm_type *schema, bool is_end, sm_error *e)
{
    smi_window_job *job = s->job;
    sm_block *block = NULL;
    const int64_t n = s->n_rows;
    int64_t at = 0;
    SM_TRY(sm_block_new(job->w->budget, (size_t)(n + 1) * sizeof(smi_sort_row), &block, e));
    smi_sort_row *order = (smi_sort_row *)block->data;
    for (int64_t b = 0; b < job->wide.n; b++) {
        for (int64_t i = 0; i < job->wide.items[b]->n_rows; i++) {
            order[at++] = (smi_sort_row){.ref = {.batch = (uint32_t)b, .row = (uint32_t)i}};
        }
    }
    SM_ASSERT(at == n);
    const bool in_pieces = job->item->call->fn->in_pieces;
    const int64_t n_whole = is_end || in_pieces ? n : last_start(job, order, n);
    sm_status st = n_whole > s->n_done ? run_stretch(s, order, n_whole, e) : SM_OK;
    if (st == SM_OK && n_whole > s->n_done) {
        s->n_done = in_pieces;
        st = keep_rest(s, order, n_whole - s->n_done, n, schema, e);
    }
    sm_block_release(block);
    return st;
}

static sm_status run_partitions(smi_window_job *job, smi_sorter *rows, smi_sorter *results,
                                sm_error *e)
{
    stretch s = {.job = job, .results = results};
    int64_t enough = SMI_WINDOW_BLOCK;
    for (;;) {
        sm_batch *b = NULL;
        SM_TRY(smi_sorter_next(rows, rows->schema, job->w->budget, &b, e));
        if (!b) {
            return s.n_rows > 0 ? look_at_whole(&s, rows->schema, true, e) : SM_OK;
        }
        s.n_rows += b->n_rows;
        smi_batches_add(&job->wide, b);
        if (s.n_rows >= enough) {
            SM_TRY(look_at_whole(&s, rows->schema, false, e));
            enough = s.n_rows * 2 > SMI_WINDOW_BLOCK ? s.n_rows * 2 : SMI_WINDOW_BLOCK;
        }
    }
}

/* ---- results ------------------------------------------------------------------------------- */

/* Cuts the sorted results into batches as the input has them. */
static sm_status cut_results(smi_window_job *job, smi_sorter *results, smi_window_result *out,
                             sm_error *e)
{
    smi_window_all *w = job->w;
    smi_batches parts = {0};
    sm_batch *from = NULL;
    int64_t used = 0;
    sm_status st = smi_spill_new(w->exec, w->node, &out->by_batch.spill, e);
    out->by_batch.schema = job->result;
    for (int64_t b = 0; b < w->rows.n && st == SM_OK; b++) {
        smi_kept k = {.n_rows = w->rows.items[b].n_rows};
        sm_batch *whole = NULL;
        for (int64_t n = 0; n < k.n_rows && st == SM_OK;) {
            if (!from) {
                st = smi_sorter_next(results, job->result, w->budget, &from, e);
                used = 0;
                SM_ASSERT(st != SM_OK || from);
                continue;
            }
            const int64_t left = from->n_rows - used;
            const int64_t some = left < k.n_rows - n ? left : k.n_rows - n;
            sm_batch *part = NULL;
            st = sm_batch_slice(from, used, some, w->budget, &part, e);
            if (st == SM_OK) {
                smi_batches_add(&parts, part);
            }
            n += some;
            used += some;
            if (used == from->n_rows) {
                sm_batch_release(from);
                from = NULL;
            }
        }
        st = st == SM_OK ? sm_batch_concat(parts.items, parts.n, true, w->budget, &whole, e) : st;
        st = st == SM_OK
                 ? smi_spill_put_batches(out->by_batch.spill, &whole, 1, w->budget, &k.extent, e)
                 : st;
        if (st == SM_OK) {
            smi_rows_add(&out->by_batch, &k);
        }
        sm_batch_release(whole);
        smi_batches_release(&parts);
    }
    /* Each row has a result: none may be left over. */
    SM_ASSERT(st != SM_OK || !from);
    sm_batch_release(from);
    return st;
}

sm_status smi_window_spilled(smi_window_all *w, const sm_window_item *item,
                             smi_window_result *result, sm_error *e)
{
    smi_window_job job = {.w = w, .item = item};
    const sm_expr **exprs = NULL;
    const sm_type *schema = NULL;
    smi_sorter rows, results;
    smi_window_prepare(&job, &exprs, &schema);
    smi_sort_spec by_keys = job.spec;
    by_keys.place = schema->n_fields;
    smi_sorter_init(&rows, w->exec, w->node, w->budget, smi_with_place(w->exec->arena, schema),
                    &by_keys);
    const smi_sort_spec by_place = {.place = 1, .node = w->node};
    smi_sorter_init(&results, w->exec, w->node, w->budget,
                    smi_with_place(w->exec->arena, job.result), &by_place);
    sm_status st = SM_OK;
    for (int64_t b = 0; b < w->rows.n && st == SM_OK; b++) {
        st = add_batch(w, &rows, exprs, b, e);
    }
    st = st == SM_OK ? smi_sorter_finish(&rows, e) : st;
    st = st == SM_OK ? run_partitions(&job, &rows, &results, e) : st;
    smi_batches_release(&job.wide);
    smi_sorter_release(&rows);
    st = st == SM_OK ? smi_sorter_finish(&results, e) : st;
    st = st == SM_OK ? cut_results(&job, &results, result, e) : st;
    smi_sorter_release(&results);
    return st;
}
