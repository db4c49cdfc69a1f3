/* SPDX-License-Identifier: Apache-2.0
 *
 * exec/exec_window.c: window functions.
 *
 * Calls    smi_window_run by exec_run.c.
 * Method   The input is kept whole, in its order. For each function: its keys and arguments are
 *          evaluated, row references sorted by PARTITION BY then ORDER BY (exec_sort.c), and
 *          partitions gathered into blocks of some thousand rows, side by side. Within a block each
 *          partition starts at a multiple of 8 rows, so that its slice of a column is a pointer.
 *          Results stand in the order of sorting; each input row remembers where its own is.
 *          OVER () has nothing to sort: the arguments of all rows are one partition as they stand,
 *          such functions run side by side, and their results are cut into the input's batches.
 * Output   The input's batches with the results beside them: nothing of the input is copied. */
#include "exec/exec_int.h"

#include <string.h>

#define BLOCK_ROWS 16384

/* One function's results. */
typedef struct window_result {
    smi_batches blocks; /* one column each */
    sm_block *where;    /* smi_ref of each input row, in input order */
    sm_batch *whole;    /* OVER (): the results in input order, instead */
} window_result;

typedef struct window_run {
    smi_run *run;
    const sm_plan_node *node;
    sm_budget *budget;
    smi_batches rows;
    int64_t *first;           /* number of each input batch's first row */
    _Atomic int64_t spent_ns; /* over all threads */
    window_result *results;
} window_run;

/* One function at work. */
typedef struct window_job {
    window_run *w;
    const sm_window_item *item;
    smi_batches wide;   /* keys and arguments, beside w->rows */
    smi_sort_spec spec; /* over `wide` */
    const smi_sort_row *order;
    const sm_type *args;   /* schema of the arguments */
    const sm_type *result; /* a struct of the result alone */
    int64_t *block_first;  /* of sorted rows; one more at the end */
    sm_batch **blocks;
} window_job;

/* ---- one block of partitions ----------------------------------------------------------------- */

static bool starts_partition(const window_job *job, int64_t i)
{
    return i == 0 || smi_sort_cmp(&job->spec, 0, job->item->n_partition, job->order[i - 1].ref,
                                  job->order[i].ref) != 0;
}

/* A block's partitions, in the padded order in which they are gathered. */
typedef struct block_layout {
    int64_t n_parts;
    int64_t *first, *n;  /* of each: where it starts, padded; its rows */
    smi_ref *refs;       /* padded */
    uint8_t *peer_start; /* bitmap, padded */
    int64_t n_padded;
} block_layout;

static block_layout lay_out(const window_job *job, int64_t first, int64_t end, sm_arena *a)
{
    block_layout l = {0};
    const int64_t most = (end - first) * 8;
    l.first = SM_NEW_ARRAY(a, int64_t, end - first + 1);
    l.n = SM_NEW_ARRAY(a, int64_t, end - first + 1);
    l.refs = SM_NEW_ARRAY(a, smi_ref, most + 1);
    l.peer_start = SM_NEW_ARRAY(a, uint8_t, most / 8 + 1);
    for (int64_t i = first; i < end; i++) {
        const bool starts = starts_partition(job, i);
        if (starts) {
            while (l.n_padded % 8 != 0) {
                l.refs[l.n_padded++] = job->order[i].ref; /* any row will do between partitions */
            }
            l.first[l.n_parts++] = l.n_padded;
        }
        const bool is_peer =
            !starts && smi_sort_cmp(&job->spec, job->item->n_partition, job->spec.n_keys,
                                    job->order[i - 1].ref, job->order[i].ref) == 0;
        if (!is_peer) {
            sm_bit_set(l.peer_start, l.n_padded);
        }
        l.refs[l.n_padded++] = job->order[i].ref;
        l.n[l.n_parts - 1]++;
    }
    return l;
}

static sm_status run_block(void *ctx, int64_t b, sm_error *e)
{
    const window_job *job = ctx;
    const smi_run *run = job->w->run;
    if (sm_cancel_is_set(run->env->cancel)) {
        return sm_fail(e, SM_INTERRUPTED, "interrupted");
    }
    const int64_t start_ns = sm_monotonic_ns();
    sm_arena *a = sm_arena_new(job->w->budget);
    const block_layout l = lay_out(job, job->block_first[b], job->block_first[b + 1], a);
    sm_batch *args = NULL, *out = NULL;
    sm_builder *result = sm_builder_new(job->result->fields[0].type, job->w->budget);
    sm_status st = smi_gather_rows(&job->wide, job->spec.n_keys, l.refs, l.n_padded, job->args,
                                   job->w->budget, &args, e);
    const int32_t n_args = job->args->n_fields;
    for (int64_t p = 0; p < l.n_parts && st == SM_OK; p++) {
        sm_column *columns = SM_NEW_ARRAY(a, sm_column, n_args + 1);
        for (int32_t c = 0; c < n_args; c++) {
            columns[c] = smi_column_at(&args->columns[c], l.first[p], l.n[p], a);
        }
        const sm_window_in in = {.args = columns,
                                 .n_args = n_args,
                                 .n_rows = l.n[p],
                                 .peer_start = l.peer_start + l.first[p] / 8,
                                 .budget = job->w->budget};
        st = job->item->call->fn->window(job->item->call, &in, result, e);
    }
    if (st == SM_OK) {
        st = sm_batch_new(job->w->budget, job->result, &out, e);
    }
    if (st == SM_OK) {
        st = sm_builder_finish(result, out, &out->columns[0], e);
    }
    if (st == SM_OK) {
        out->n_rows = job->block_first[b + 1] - job->block_first[b];
        SM_ASSERT(out->columns[0].n_rows == out->n_rows);
        job->blocks[b] = sm_batch_retain(out);
    }
    sm_builder_free(result);
    sm_batch_release(args);
    sm_batch_release(out);
    sm_arena_free(a);
    atomic_fetch_add(&job->w->spent_ns, sm_monotonic_ns() - start_ns);
    return st;
}

/* ---- one function ---------------------------------------------------------------------------- */

/* Keys of PARTITION BY, of ORDER BY, then arguments, of every input batch. */
static sm_status widen(window_job *job, sm_error *e)
{
    const sm_window_item *it = job->item;
    sm_arena *a = job->w->run->arena;
    const int32_t n_keys = it->n_partition + it->n_order;
    const int32_t n = n_keys + it->call->n_args;
    const sm_expr **exprs = SM_NEW_ARRAY(a, const sm_expr *, n + 1);
    const sm_type **types = SM_NEW_ARRAY(a, const sm_type *, n + 1);
    sm_sort_key *keys = SM_NEW_ARRAY(a, sm_sort_key, n_keys + 1);
    for (int32_t i = 0; i < it->n_partition; i++) {
        keys[i] = (sm_sort_key){.expr = it->partition[i]};
    }
    for (int32_t i = 0; i < it->n_order; i++) {
        keys[it->n_partition + i] = it->order[i];
    }
    for (int32_t i = 0; i < n; i++) {
        exprs[i] = i < n_keys ? keys[i].expr : it->call->args[i - n_keys];
        types[i] = exprs[i]->type;
    }
    const sm_type *schema = smi_schema_of(a, types, n);
    job->args = smi_schema_of(a, types + n_keys, it->call->n_args);
    job->result = smi_schema_of(a, &it->call->type, 1);
    for (int64_t b = 0; b < job->w->rows.n; b++) {
        sm_batch *wide = NULL;
        SM_TRY(smi_eval_flat(job->w->run, exprs, n, schema, job->w->rows.items[b], job->w->budget,
                             &wide, e));
        smi_batches_add(&job->wide, wide);
    }
    job->spec = (smi_sort_spec){
        .rows = &job->wide, .keys = keys, .n_keys = n_keys, .place = -1, .node = job->w->node};
    return SM_OK;
}

/* Whole partitions, at least BLOCK_ROWS rows a block. Returns the number of blocks. */
static int64_t cut_blocks(window_job *job, int64_t n)
{
    job->block_first = sm_alloc_zero((size_t)(n / BLOCK_ROWS + 3) * sizeof(*job->block_first));
    int64_t n_blocks = 0;
    for (int64_t at = 0; at < n;) {
        int64_t end = at + BLOCK_ROWS < n ? at + BLOCK_ROWS : n;
        while (end < n && !starts_partition(job, end)) {
            end++;
        }
        job->block_first[n_blocks++] = at;
        job->block_first[n_blocks] = end;
        at = end;
    }
    return n_blocks;
}

/* Notes for every input row where its result stands. */
static sm_status note_places(window_job *job, int64_t n, int64_t n_blocks, window_result *result,
                             sm_error *e)
{
    SM_TRY(sm_block_new(job->w->budget, (size_t)n * sizeof(smi_ref), &result->where, e));
    smi_ref *where = (smi_ref *)result->where->data;
    for (int64_t b = 0; b < n_blocks; b++) {
        for (int64_t i = job->block_first[b]; i < job->block_first[b + 1]; i++) {
            const smi_ref ref = job->order[i].ref;
            where[job->w->first[ref.batch] + ref.row] =
                (smi_ref){.batch = (uint32_t)b, .row = (uint32_t)(i - job->block_first[b])};
        }
    }
    return SM_OK;
}

static sm_status run_item(window_run *w, const sm_window_item *item, window_result *result,
                          sm_error *e)
{
    window_job job = {.w = w, .item = item};
    sm_block *order = NULL;
    int64_t n = 0, n_blocks = 0;
    sm_status st = widen(&job, e);
    if (st == SM_OK) {
        st = smi_sort_rows(w->run, &job.spec, w->budget, &order, &n, e);
    }
    if (st == SM_OK) {
        job.order = (const smi_sort_row *)order->data;
        n_blocks = cut_blocks(&job, n);
        job.blocks = sm_alloc_zero((size_t)(n_blocks + 1) * sizeof(*job.blocks));
        st = sm_pool_for(w->run->env->pool, n_blocks, run_block, &job, e);
        for (int64_t b = 0; b < n_blocks; b++) {
            if (job.blocks[b]) {
                smi_batches_add(&result->blocks, job.blocks[b]);
            }
        }
    }
    if (st == SM_OK) {
        st = note_places(&job, n, n_blocks, result, e);
    }
    sm_free(job.blocks);
    sm_free(job.block_first);
    sm_block_release(order);
    smi_batches_release(&job.wide);
    return st;
}

/* ---- OVER () --------------------------------------------------------------------------------- */

static bool is_whole(const sm_window_item *it)
{
    return it->n_partition == 0 && it->n_order == 0;
}

/* All functions that are OVER (), by number among them. */
typedef struct whole_jobs {
    window_job *jobs;
    window_result **results;
    int64_t n;
} whole_jobs;

/* Calls the function on all rows at once; all are peers. */
static sm_status call_whole(const window_job *job, const sm_column *args, int64_t n_rows,
                            sm_builder *result, sm_error *e)
{
    sm_block *peers = NULL;
    const size_t bytes = sm_bits_bytes(n_rows);
    SM_TRY(sm_block_new(job->w->budget, bytes, &peers, e));
    memset(peers->data, 0, bytes);
    sm_bit_set(peers->data, 0);
    const sm_window_in in = {.args = args,
                             .n_args = job->args->n_fields,
                             .n_rows = n_rows,
                             .peer_start = peers->data,
                             .budget = job->w->budget};
    const sm_status st = job->item->call->fn->window(job->item->call, &in, result, e);
    sm_block_release(peers);
    return st;
}

static sm_status run_whole(void *ctx, int64_t i, sm_error *e)
{
    const whole_jobs *all = ctx;
    window_job *job = &all->jobs[i];
    sm_batch *args = NULL, *out = NULL;
    const int64_t start_ns = sm_monotonic_ns();
    if (sm_cancel_is_set(job->w->run->env->cancel)) {
        return sm_fail(e, SM_INTERRUPTED, "interrupted");
    }
    sm_budget *shared = job->w->run->env->budget; /* of what the output's batches keep */
    sm_builder *result = sm_builder_new(job->result->fields[0].type, shared);
    sm_status st = sm_batch_concat(job->wide.items, job->wide.n, false, job->w->budget, &args, e);
    if (st == SM_OK) {
        st = call_whole(job, args->columns, args->n_rows, result, e);
    }
    if (st == SM_OK) {
        st = sm_batch_new(shared, job->result, &out, e);
    }
    if (st == SM_OK) {
        st = sm_builder_finish(result, out, &out->columns[0], e);
    }
    if (st == SM_OK) {
        out->n_rows = args->n_rows;
        SM_ASSERT(out->columns[0].n_rows == out->n_rows);
        all->results[i]->whole = sm_batch_retain(out);
    }
    sm_builder_free(result);
    sm_batch_release(args);
    sm_batch_release(out);
    smi_batches_release(&job->wide);
    atomic_fetch_add(&job->w->spent_ns, sm_monotonic_ns() - start_ns);
    return st;
}

static sm_status run_wholes(window_run *w, sm_error *e)
{
    const int32_t n_items = w->node->as.window.n_items;
    whole_jobs all = {.jobs = SM_NEW_ARRAY(w->run->arena, window_job, n_items + 1),
                      .results = SM_NEW_ARRAY(w->run->arena, window_result *, n_items + 1)};
    sm_status st = SM_OK;
    for (int32_t i = 0; i < n_items && w->rows.n > 0 && st == SM_OK; i++) {
        const sm_window_item *item = &w->node->as.window.items[i];
        if (is_whole(item)) {
            all.results[all.n] = &w->results[i];
            all.jobs[all.n] = (window_job){.w = w, .item = item};
            st = widen(&all.jobs[all.n++], e);
        }
    }
    if (st == SM_OK) {
        st = sm_pool_for(w->run->env->pool, all.n, run_whole, &all, e);
    }
    for (int64_t i = 0; i < all.n; i++) {
        smi_batches_release(&all.jobs[i].wide);
    }
    return st;
}

/* ---- output ---------------------------------------------------------------------------------- */

/* Batch i's part of a column of all rows. */
static sm_status cut_whole(const window_run *w, const sm_batch *whole, int64_t i, sm_batch *out,
                           int32_t column, sm_error *e)
{
    sm_batch *part = NULL;
    const int64_t n = w->first[i + 1] - w->first[i];
    SM_TRY(sm_batch_slice(whole, w->first[i], n, w->run->env->budget, &part, e));
    sm_batch_keep_all(out, part);
    out->columns[column] = part->columns[0];
    sm_batch_release(part);
    return SM_OK;
}

static sm_status give_batch(void *ctx, smi_driver *d, int64_t i, sm_error *e)
{
    window_run *w = ctx;
    sm_budget *budget = w->run->env->budget;
    sm_batch *in = w->rows.items[i];
    sm_batch *out = NULL;
    SM_TRY(sm_batch_new(budget, w->node->schema, &out, e));
    sm_batch_keep_all(out, in);
    for (int32_t c = 0; c < in->n_columns; c++) {
        out->columns[c] = in->columns[c];
    }
    sm_status st = SM_OK;
    for (int32_t k = 0; k < w->node->as.window.n_items && st == SM_OK; k++) {
        const window_result *r = &w->results[k];
        if (r->whole) {
            st = cut_whole(w, r->whole, i, out, in->n_columns + k, e);
            continue;
        }
        const sm_type *type = w->node->as.window.items[k].call->type;
        const sm_column **src = sm_alloc((size_t)(r->blocks.n + 1) * sizeof(*src));
        for (int64_t b = 0; b < r->blocks.n; b++) {
            src[b] = &r->blocks.items[b]->columns[0];
        }
        st = smi_gather(type, src, r->blocks.n, (const smi_ref *)r->where->data + w->first[i],
                        in->n_rows, budget, out, &out->columns[in->n_columns + k], e);
        sm_free(src);
    }
    if (st != SM_OK) {
        sm_batch_release(out);
        return st;
    }
    out->n_rows = in->n_rows;
    out->ordinal = d->task->ordinal;
    return smi_give(d, w->node, d->pipe->first, out, e);
}

sm_status smi_window_run(smi_run *run, const sm_plan_node *node, smi_op *next, smi_end *end,
                         uint64_t *turn, sm_error *e)
{
    /* The rows are the query's own: the output shares them with whoever keeps it. */
    window_run w = {
        .run = run, .node = node, .budget = sm_budget_new(run->env->budget, "window", 0)};
    smi_end *collect = smi_collect_new(run, run->env->budget, node);
    sm_status st = smi_run_into(run, node->inputs[0], NULL, collect, e);
    smi_collect_take(collect, &w.rows);
    smi_collect_free(collect);
    w.first = SM_NEW_ARRAY(run->arena, int64_t, w.rows.n + 1);
    for (int64_t b = 0; b < w.rows.n; b++) {
        w.first[b + 1] = w.first[b] + w.rows.items[b]->n_rows;
    }
    w.results = SM_NEW_ARRAY(run->arena, window_result, node->as.window.n_items + 1);
    st = st == SM_OK ? run_wholes(&w, e) : st;
    for (int32_t i = 0; i < node->as.window.n_items && st == SM_OK; i++) {
        if (!is_whole(&node->as.window.items[i])) {
            st = run_item(&w, &node->as.window.items[i], &w.results[i], e);
        }
    }
    if (st == SM_OK) {
        smi_tasks tasks;
        smi_tasks_init(&tasks, node, w.rows.n, give_batch, &w);
        st = smi_pipe_run(run, &tasks.source, next, end, turn, e);
    }
    st = smi_within_operator(st, "OVER (…)", w.budget, e);
    for (int32_t i = 0; i < node->as.window.n_items; i++) {
        smi_batches_release(&w.results[i].blocks);
        sm_block_release(w.results[i].where);
        sm_batch_release(w.results[i].whole);
    }
    smi_batches_release(&w.rows);
    smi_profile(run, 0, node)->cpu_ns += atomic_load(&w.spent_ns);
    smi_report_peak(run, node, w.budget);
    sm_budget_free(w.budget);
    return st;
}
