/* SPDX-License-Identifier: Apache-2.0
 *
 * exec/exec_window.c: window functions.
 *
 * Calls    smi_window_run() by exec_run.c.
 * Method   The input is kept whole, in its order. For each function, its keys and arguments are
 *          evaluated, references to rows are sorted by PARTITION BY and then ORDER BY
 *          (exec_sort.c), and whole partitions are gathered into blocks of some thousand rows, side
 *          by side. Within a block each partition starts at a multiple of 8 rows, so that its slice
 *          of a column is just a pointer. Results are in the order of sorting; for each input row
 *          it is noted where its result is.
 * OVER ()  needs no sorting. A function that can (sm_whole_fn) makes passes over the rows where
 * they
 *          are, in memory or on disk, and then gives its results batch by batch.
 * Spilled  exec_window_spill.c, for a function whose keys and arguments do not fit in memory.
 * Output   The input's batches with the results beside them: nothing of the input is copied. */
#include "exec/exec_window_int.h"

#include <string.h>

/* ---- one block of partitions ----------------------------------------------------------------- */

bool smi_window_starts_part(const smi_window_job *job, int64_t i)
{
    return i == 0 || smi_sort_cmp(&job->spec, 0, job->item->n_partition, job->order[i - 1].ref,
                                  job->order[i].ref) != 0;
}

bool smi_window_starts_group(const smi_window_job *job, int64_t i)
{
    return i == 0 || smi_sort_cmp(&job->spec, 0, job->spec.n_keys, job->order[i - 1].ref,
                                  job->order[i].ref) != 0;
}

/* The partitions of a block as they are gathered, with padding between them. */
typedef struct block_layout {
    int64_t n_parts;
    int64_t *first, *n;  /* of each: where it starts, padded; its rows */
    smi_ref *refs;       /* padded */
    uint8_t *peer_start; /* bitmap, padded */
    int64_t n_padded;
} block_layout;

/* Sets bit i − first where a partition starts at row i, and for the first row, which may go on with
 * one. *n_parts is their number. */
static sm_status mark_starts(const smi_window_job *job, int64_t first, int64_t end, uint8_t *bits,
                             int64_t *n_parts, sm_error *e)
{
    int64_t n = 0;
    for (int64_t i = first; i < end; i++) {
        SM_TRY(smi_check_cancel_at(job->w->exec, i, e));
        if (i == first || smi_window_starts_part(job, i)) {
            sm_bit_set(bits, i - first);
            n++;
        }
    }
    *n_parts = n;
    return SM_OK;
}

static sm_status lay_out_block(const smi_window_job *job, int64_t first, int64_t end, sm_arena *a,
                               block_layout *out, sm_error *e)
{
    block_layout l = {0};
    int64_t n_parts = 0;
    uint8_t *starts = SM_NEW_ARRAY(a, uint8_t, (end - first) / 8 + 1);
    SM_TRY(mark_starts(job, first, end, starts, &n_parts, e));
    const int64_t most = end - first + n_parts * 7;
    l.first = SM_NEW_ARRAY(a, int64_t, n_parts + 1);
    l.n = SM_NEW_ARRAY(a, int64_t, n_parts + 1);
    l.refs = SM_NEW_ARRAY(a, smi_ref, most + 1);
    l.peer_start = SM_NEW_ARRAY(a, uint8_t, most / 8 + 1);
    for (int64_t i = first; i < end; i++) {
        const bool is_start = sm_bit_get(starts, i - first);
        SM_TRY(smi_check_cancel_at(job->w->exec, i, e));
        if (is_start) {
            while (l.n_padded % 8 != 0) {
                l.refs[l.n_padded++] = job->order[i].ref; /* any row will do between partitions */
            }
            l.first[l.n_parts++] = l.n_padded;
        }
        if (i == first
                ? smi_window_starts_group(job, i)
                : is_start || smi_sort_cmp(&job->spec, job->item->n_partition, job->spec.n_keys,
                                           job->order[i - 1].ref, job->order[i].ref) != 0) {
            sm_bit_set(l.peer_start, l.n_padded);
        }
        l.refs[l.n_padded++] = job->order[i].ref;
        l.n[l.n_parts - 1]++;
    }
    *out = l;
    return SM_OK;
}

sm_status smi_window_block(void *ctx, int64_t b, sm_error *e)
{
    const smi_window_job *job = ctx;
    const smi_execution *exec = job->w->exec;
    SM_TRY(smi_check_cancel(exec, e));
    const int64_t start_ns = sm_monotonic_ns();
    sm_arena *a = sm_arena_new(job->w->budget);
    block_layout l = {0};
    sm_batch *args = NULL, *out = NULL;
    sm_builder *result = sm_builder_new(job->result->fields[0].type, job->w->budget);
    sm_status st = lay_out_block(job, job->block_first[b], job->block_first[b + 1], a, &l, e);
    if (st == SM_OK) {
        st = smi_gather_rows(&job->wide, job->spec.n_keys, l.refs, l.n_padded, job->args,
                             job->w->budget, &args, e);
    }
    const int32_t n_args = job->args->n_fields;
    SM_ASSERT(st != SM_OK ||
              l.n_padded <= job->block_first[b + 1] - job->block_first[b] + 7 * l.n_parts);
    for (int64_t p = 0; p < l.n_parts && st == SM_OK; p++) {
        sm_column *columns = SM_NEW_ARRAY(a, sm_column, n_args + 1);
        for (int32_t c = 0; c < n_args; c++) {
            columns[c] = sm_column_part(&args->columns[c], l.first[p], l.n[p], a);
        }
        const sm_window_in in = {.args = columns,
                                 .n_args = n_args,
                                 .n_rows = l.n[p],
                                 .before = p == 0 && b == 0 ? job->before : (sm_window_before){0},
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

/* Evaluates the expressions over batch b. Where the batch is read from the spill, the result is a
 * copy, so that the batch can be freed. */
static sm_status eval_one_batch(smi_window_job *job, const sm_expr *const *exprs, int32_t n,
                                const sm_type *schema, int64_t b, sm_error *e)
{
    smi_window_all *w = job->w;
    sm_batch *in = NULL, *wide = NULL, *copy = NULL;
    SM_TRY(smi_check_cancel(w->exec, e));
    SM_TRY(smi_rows_get(&w->rows, b, w->budget, &in, e));
    sm_status st = smi_eval_flat(w->exec, exprs, n, schema, in, w->budget, &wide, e);
    if (st == SM_OK && !w->rows.items[b].rows) {
        st = sm_batch_concat(&wide, 1, true, w->budget, &copy, e);
        sm_batch_release(wide);
        wide = copy;
    }
    sm_batch_release(in);
    SM_TRY(st);
    smi_batches_add(&job->wide, wide);
    return SM_OK;
}

/* The expressions are the keys of PARTITION BY, those of ORDER BY, then the arguments. */
void smi_window_prepare(smi_window_job *job, const sm_expr ***exprs, const sm_type **schema)
{
    const sm_window_item *it = job->item;
    sm_arena *a = job->w->exec->arena;
    const int32_t n_keys = it->n_partition + it->n_order;
    const int32_t n = n_keys + it->call->n_args;
    const sm_expr **all = SM_NEW_ARRAY(a, const sm_expr *, n + 1);
    const sm_type **types = SM_NEW_ARRAY(a, const sm_type *, n + 1);
    sm_sort_key *keys = SM_NEW_ARRAY(a, sm_sort_key, n_keys + 1);
    for (int32_t i = 0; i < it->n_partition; i++) {
        keys[i] = (sm_sort_key){.expr = it->partition[i]};
    }
    for (int32_t i = 0; i < it->n_order; i++) {
        keys[it->n_partition + i] = it->order[i];
    }
    for (int32_t i = 0; i < n; i++) {
        all[i] = i < n_keys ? keys[i].expr : it->call->args[i - n_keys];
        types[i] = all[i]->type;
    }
    *exprs = all;
    *schema = smi_schema_of(a, types, n);
    job->args = smi_schema_of(a, types + n_keys, it->call->n_args);
    job->result = smi_schema_of(a, &it->call->type, 1);
    job->spec = (smi_sort_spec){
        .rows = &job->wide, .keys = keys, .n_keys = n_keys, .place = -1, .node = job->w->node};
}

/* Keys and arguments of every input batch. */
static sm_status eval_all_batches(smi_window_job *job, sm_error *e)
{
    const sm_expr **exprs = NULL;
    const sm_type *schema = NULL;
    smi_window_prepare(job, &exprs, &schema);
    for (int64_t b = 0; b < job->w->rows.n; b++) {
        SM_TRY(eval_one_batch(job, exprs, schema->n_fields, schema, b, e));
    }
    return SM_OK;
}

/* Cuts the sorted rows into blocks of whole partitions, each of at least SMI_WINDOW_BLOCK rows
 * where there are so many. *n_out is the number of blocks. */
static sm_status cut_blocks(smi_window_job *job, int64_t n, int64_t *n_out, sm_error *e)
{
    job->block_first =
        sm_alloc_zero((size_t)(n / SMI_WINDOW_BLOCK + 3) * sizeof(*job->block_first));
    int64_t n_blocks = 0;
    for (int64_t at = 0; at < n;) {
        int64_t end = at + SMI_WINDOW_BLOCK < n ? at + SMI_WINDOW_BLOCK : n;
        while (end < n && !smi_window_starts_part(job, end)) {
            SM_TRY(smi_check_cancel_at(job->w->exec, end, e));
            end++;
        }
        SM_ASSERT(end > at && n_blocks < n / SMI_WINDOW_BLOCK + 2);
        job->block_first[n_blocks++] = at;
        job->block_first[n_blocks] = end;
        at = end;
    }
    *n_out = n_blocks;
    return SM_OK;
}

/* Notes for every input row where its result stands. */
static sm_status note_places(smi_window_job *job, int64_t n, int64_t n_blocks,
                             smi_window_result *result, sm_error *e)
{
    SM_TRY(sm_block_new(job->w->budget, (size_t)n * sizeof(smi_ref), &result->where, e));
    SM_ASSERT(n_blocks == 0 || job->block_first[n_blocks] == n);
    smi_ref *where = (smi_ref *)result->where->data;
    for (int64_t b = 0; b < n_blocks; b++) {
        for (int64_t i = job->block_first[b]; i < job->block_first[b + 1]; i++) {
            const smi_ref ref = job->order[i].ref;
            where[job->w->first[ref.batch] + ref.row] =
                (smi_ref){.batch = (uint32_t)b, .row = (uint32_t)(i - job->block_first[b])};
            SM_TRY(smi_check_cancel_at(job->w->exec, i, e));
        }
    }
    return SM_OK;
}

static sm_status run_item(smi_window_all *w, const sm_window_item *item, smi_window_result *result,
                          sm_error *e)
{
    smi_window_job job = {.w = w, .item = item};
    sm_block *order = NULL;
    int64_t n = 0, n_blocks = 0;
    sm_status st = eval_all_batches(&job, e);
    if (st == SM_OK) {
        st = smi_sort_rows(w->exec, &job.spec, w->budget, &order, &n, e);
    }
    if (st == SM_OK) {
        job.order = (const smi_sort_row *)order->data;
        st = cut_blocks(&job, n, &n_blocks, e);
    }
    if (st == SM_OK) {
        job.blocks = sm_alloc_zero((size_t)(n_blocks + 1) * sizeof(*job.blocks));
        st = sm_pool_for(w->exec->env->pool, n_blocks, smi_window_block, &job, e);
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

/* The first argument of function k over `in`, flat; it may point into the memory of `in`. */
static sm_status eval_arg(const smi_window_all *w, int32_t k, sm_batch *in, sm_batch **out,
                          sm_error *e)
{
    const sm_expr *arg = w->node->as.window.items[k].call->args[0];
    return smi_eval_flat(w->exec, &arg, 1, w->results[k].arg, in, w->budget, out, e);
}

/* Shows a batch to the functions that want another pass. */
static sm_status show_batch(smi_window_all *w, int64_t b, int32_t slot, sm_error *e)
{
    sm_batch *in = NULL;
    SM_TRY(smi_rows_get(&w->rows, b, w->budget, &in, e));
    sm_status st = SM_OK;
    for (int32_t k = 0; k < w->node->as.window.n_items && st == SM_OK; k++) {
        const smi_window_result *r = &w->results[k];
        sm_batch *arg = NULL;
        if (r->whole && r->wants_pass) {
            st = eval_arg(w, k, in, &arg, e);
        }
        if (arg) {
            w->node->as.window.items[k].call->fn->whole->look(r->whole, slot, &arg->columns[0]);
        }
        sm_batch_release(arg);
    }
    sm_batch_release(in);
    return st;
}

/* Shows a slot's share of the batches. For sm_pool_for(). */
static sm_status show_share(void *ctx, int64_t slot, sm_error *e)
{
    smi_window_all *w = ctx;
    const int64_t start_ns = sm_monotonic_ns();
    const int64_t n_slots = w->exec->n_drivers;
    sm_status st = SM_OK;
    for (int64_t b = w->rows.n * slot / n_slots;
         b < w->rows.n * (slot + 1) / n_slots && st == SM_OK; b++) {
        st = smi_check_cancel(w->exec, e);
        st = st == SM_OK ? show_batch(w, b, (int32_t)slot, e) : st;
    }
    atomic_fetch_add(&w->spent_ns, sm_monotonic_ns() - start_ns);
    return st;
}

/* Passes over all rows, until no function wants another. */
static sm_status run_wholes(smi_window_all *w, sm_error *e)
{
    const int32_t n_items = w->node->as.window.n_items;
    bool wants_pass = false;
    for (int32_t k = 0; k < n_items; k++) {
        const sm_window_item *it = &w->node->as.window.items[k];
        smi_window_result *r = &w->results[k];
        if (it->n_partition == 0 && it->n_order == 0 && it->call->fn->whole) {
            r->whole = it->call->fn->whole->begin(it->call, w->exec->n_drivers);
            r->arg = smi_schema_of(w->exec->arena, &it->call->args[0]->type, 1);
            r->wants_pass = r->whole != NULL;
            r->method = r->whole ? SMI_WINDOW_WHOLE : SMI_WINDOW_NONE;
            wants_pass = wants_pass || r->wants_pass;
        }
    }
    while (wants_pass) {
        SM_TRY(sm_pool_for(w->exec->env->pool, w->exec->n_drivers, show_share, w, e));
        wants_pass = false;
        for (int32_t k = 0; k < n_items; k++) {
            smi_window_result *r = &w->results[k];
            r->wants_pass =
                r->wants_pass && w->node->as.window.items[k].call->fn->whole->next(r->whole);
            wants_pass = wants_pass || r->wants_pass;
        }
    }
    return SM_OK;
}

/* ---- output ---------------------------------------------------------------------------------- */

static sm_status give_whole(const smi_window_all *w, int32_t k, sm_batch *in, sm_batch *out,
                            sm_column *column, sm_error *e)
{
    const sm_expr *call = w->node->as.window.items[k].call;
    sm_batch *arg = NULL;
    SM_TRY(eval_arg(w, k, in, &arg, e));
    sm_builder *result = sm_builder_new(call->type, w->exec->env->budget);
    call->fn->whole->give(w->results[k].whole, &arg->columns[0], result);
    const sm_status st = sm_builder_finish(result, out, column, e);
    sm_builder_free(result);
    sm_batch_release(arg);
    return st;
}

static sm_status give_spilled(const smi_window_all *w, const smi_window_result *r, int64_t i,
                              sm_batch *out, sm_column *column, sm_error *e)
{
    sm_batch *result = NULL;
    SM_TRY(smi_rows_get(&r->by_batch, i, w->exec->env->budget, &result, e));
    sm_batch_keep_all(out, result);
    *column = result->columns[0];
    sm_batch_release(result);
    return SM_OK;
}

static sm_status give_batch(void *ctx, smi_driver *d, int64_t i, sm_error *e)
{
    smi_window_all *w = ctx;
    sm_budget *budget = w->exec->env->budget;
    sm_batch *in = NULL, *out = NULL;
    SM_TRY(smi_rows_get(&w->rows, i, budget, &in, e));
    sm_status st = sm_batch_new(budget, w->node->schema, &out, e);
    if (st != SM_OK) {
        sm_batch_release(in);
        return st;
    }
    sm_batch_keep_all(out, in);
    for (int32_t c = 0; c < in->n_columns; c++) {
        out->columns[c] = in->columns[c];
    }
    for (int32_t k = 0; k < w->node->as.window.n_items && st == SM_OK; k++) {
        const smi_window_result *r = &w->results[k];
        SM_ASSERT(r->method != SMI_WINDOW_NONE);
        if (r->method == SMI_WINDOW_WHOLE) {
            st = give_whole(w, k, in, out, &out->columns[in->n_columns + k], e);
            continue;
        }
        if (r->method == SMI_WINDOW_SPILLED) {
            SM_ASSERT(r->by_batch.n == w->rows.n);
            st = give_spilled(w, r, i, out, &out->columns[in->n_columns + k], e);
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
    out->n_rows = in->n_rows;
    out->ordinal = d->task->ordinal;
    sm_batch_release(in);
    if (st != SM_OK) {
        sm_batch_release(out);
        return st;
    }
    return smi_give(d, w->node, d->pipe->first, out, e);
}

/* Would keys, arguments and the order of all rows leave too little memory? */
static bool must_spill_item(const smi_window_all *w, const sm_window_item *item)
{
    const int32_t n = item->n_partition + item->n_order + item->call->n_args;
    const size_t each = SMI_WINDOW_ROW_BYTES + SMI_WINDOW_VALUE_BYTES * (size_t)n;
    return smi_memory_is_short(w->exec, (size_t)w->rows.n_rows * each);
}

sm_status smi_window_run(smi_execution *exec, const sm_plan_node *node, smi_op *next, smi_end *end,
                         uint64_t *turn, sm_error *e)
{
    /* The rows are the query's own: the output shares them with whoever keeps it. */
    smi_window_all w = {
        .exec = exec, .node = node, .budget = sm_budget_new(exec->env->budget, "window", 0)};
    smi_end *collect = smi_collect_new(exec, exec->env->budget, node, node->inputs[0]->schema);
    sm_status st = smi_execute_into(exec, node->inputs[0], NULL, collect, e);
    smi_collect_take(collect, &w.rows);
    smi_collect_free(collect);
    w.first = SM_NEW_ARRAY(exec->arena, int64_t, w.rows.n + 1);
    for (int64_t b = 0; b < w.rows.n; b++) {
        w.first[b + 1] = w.first[b] + w.rows.items[b].n_rows;
    }
    w.results = SM_NEW_ARRAY(exec->arena, smi_window_result, node->as.window.n_items + 1);
    st = st == SM_OK ? run_wholes(&w, e) : st;
    for (int32_t i = 0; i < node->as.window.n_items && st == SM_OK; i++) {
        smi_window_result *r = &w.results[i];
        if (r->method == SMI_WINDOW_NONE) {
            const sm_window_item *item = &node->as.window.items[i];
            r->method = must_spill_item(&w, item) ? SMI_WINDOW_SPILLED : SMI_WINDOW_BLOCKS;
            st = r->method == SMI_WINDOW_SPILLED ? smi_window_spilled(&w, item, r, e)
                                                 : run_item(&w, item, r, e);
        }
    }
    if (st == SM_OK) {
        smi_tasks tasks;
        smi_tasks_init(&tasks, node, w.rows.n, give_batch, &w);
        st = smi_pipe_run(exec, &tasks.source, next, end, turn, e);
    }
    st = smi_within_operator(st, "OVER (…)", w.budget, e);
    for (int32_t i = 0; i < node->as.window.n_items; i++) {
        smi_batches_release(&w.results[i].blocks);
        smi_rows_release(&w.results[i].by_batch);
        sm_block_release(w.results[i].where);
        if (w.results[i].whole) {
            node->as.window.items[i].call->fn->whole->end(w.results[i].whole);
        }
    }
    smi_rows_release(&w.rows);
    smi_profile(exec, 0, node)->cpu_ns += atomic_load(&w.spent_ns);
    smi_report_peak(exec, node, w.budget);
    sm_budget_free(w.budget);
    return st;
}
