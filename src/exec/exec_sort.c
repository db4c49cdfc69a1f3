/* SPDX-License-Identifier: Apache-2.0
 *
 * exec/exec_sort.c: ORDER BY, with LIMIT as top-n; and the sorting that windows use.
 *
 * Calls    smi_sort_run() by exec_run.c; smi_sort_rows() by it, by exec_sorter.c and exec_window.c.
 * Method   Rows are kept as compact batches: the input's columns, the keys, and each row's place in
 *          the input. Sorted are 16-byte entries: 64 bits of the keys, whose order is that of the
 *          keys (exec_sort_code.c), and a reference to the row. Only entries with equal bits look
 *          at the columns. Runs of RUN_ROWS rows are sorted side by side, then merged in pairs.
 *          Rows with equal keys stay in the order of the input.
 * LIMIT n  When many more than n rows are there, they are sorted and all but the first n dropped.
 *          The order is total, so the result does not depend on when that happens. */
#include "exec/exec_sort_code_int.h"
#include "exec/exec_sorter_int.h"

#include <string.h>

#define RUN_ROWS  16384 /* 256 KiB of entries, which stay in L2 while they are sorted */
#define MAX_RUNS  64
#define TASK_ROWS (4 * SM_BATCH_ROWS)

#define FIRST_MOST 65536 /* LIMIT beyond it: all rows are sorted, as they may be spilled */

/* ---- comparing ------------------------------------------------------------------------------- */

int smi_sort_cmp(const smi_sort_spec *spec, int32_t first_key, int32_t end_key, smi_ref a,
                 smi_ref b)
{
    for (int32_t k = first_key; k < end_key; k++) {
        const sm_sort_key *key = &spec->keys[k];
        SM_ASSERT(a.batch < spec->rows->n && b.batch < spec->rows->n);
        const sm_column *x = &spec->rows->items[a.batch]->columns[spec->first + k];
        const sm_column *y = &spec->rows->items[b.batch]->columns[spec->first + k];
        const bool x_null = sm_column_is_null(x, a.row);
        const bool y_null = sm_column_is_null(y, b.row);
        if (x_null || y_null) {
            if (x_null != y_null) {
                return x_null == key->nulls_first ? -1 : 1;
            }
            continue;
        }
        const int c = sm_column_cmp(x, a.row, y, b.row);
        if (c != 0) {
            return key->is_desc ? -c : c;
        }
    }
    return 0;
}

/* How entries with equal prefixes are ordered: by the spec's keys from number first_key on, then by
 * the place, unless the prefix has it. Entries that are still equal keep their order. */
typedef struct entry_order {
    const smi_execution *exec;
    const smi_sort_spec *spec;
    int32_t first_key;
    bool is_in_prefix; /* the prefix decides all */
} entry_order;

static inline bool is_before(const entry_order *o, const smi_sort_row *a, const smi_sort_row *b)
{
    const smi_sort_spec *spec = o->spec;
    if (a->prefix != b->prefix || o->is_in_prefix) {
        return a->prefix < b->prefix;
    }
    const int c = smi_sort_cmp(spec, o->first_key, spec->n_keys, a->ref, b->ref);
    if (c != 0 || spec->place < 0) {
        return c < 0;
    }
    const uint64_t *x = spec->rows->items[a->ref.batch]->columns[spec->place].values;
    const uint64_t *y = spec->rows->items[b->ref.batch]->columns[spec->place].values;
    return x[a->ref.row] < y[b->ref.row];
}

/* ---- merge sort over entries ----------------------------------------------------------------- */

/* Is the execution cancelled? Then entries are left as they are; the caller finds out too. */
static bool is_over(const entry_order *by)
{
    return sm_cancel_is_set(by->exec->env->cancel);
}

static void merge_runs(const entry_order *by, const smi_sort_row *a, int64_t n_a,
                       const smi_sort_row *b, int64_t n_b, smi_sort_row *out)
{
    for (int64_t i = 1; n_a > 0 && n_b > 0; i++) {
        if (i % SM_LOOK_ROWS == 0 && is_over(by)) {
            return;
        }
        if (is_before(by, b, a)) {
            *out++ = *b++;
            n_b--;
        } else {
            *out++ = *a++;
            n_a--;
        }
    }
    memcpy(out, a, (size_t)n_a * sizeof(*a));
    memcpy(out + n_a, b, (size_t)n_b * sizeof(*b));
}

static void insertion_sort(const entry_order *by, smi_sort_row *rows, int64_t n)
{
    for (int64_t i = 1; i < n; i++) {
        const smi_sort_row row = rows[i];
        int64_t at = i;
        while (at > 0 && is_before(by, &row, &rows[at - 1])) {
            rows[at] = rows[at - 1];
            at--;
        }
        rows[at] = row;
    }
}

static void sort_run(const entry_order *by, smi_sort_row *rows, smi_sort_row *spare, int64_t n)
{
    if (n <= 16) {
        insertion_sort(by, rows, n);
        return;
    }
    const int64_t half = n / 2;
    sort_run(by, rows, spare, half);
    sort_run(by, rows + half, spare + half, n - half);
    if (n >= SM_LOOK_ROWS && is_over(by)) {
        return;
    }
    if (!is_before(by, &rows[half], &rows[half - 1])) {
        return; /* sorted already */
    }
    memcpy(spare, rows, (size_t)n * sizeof(*rows));
    merge_runs(by, spare, half, spare + half, n - half, rows);
}

/* One round of sorting: sorts runs of `width` rows, or merges pairs of them. */
typedef struct sort_round {
    const smi_execution *exec;
    const entry_order *by;
    smi_sort_row *from, *to;
    int64_t n, width;
    _Atomic int64_t *spent_ns; /* over all threads */
} sort_round;

static sm_status sort_one(void *ctx, int64_t i, sm_error *e)
{
    const sort_round *r = ctx;
    SM_TRY(smi_check_cancel(r->exec, e));
    const int64_t start_ns = sm_monotonic_ns();
    const int64_t first = i * r->width;
    const int64_t n = r->n - first < r->width ? r->n - first : r->width;
    sort_run(r->by, r->from + first, r->to + first, n);
    atomic_fetch_add(r->spent_ns, sm_monotonic_ns() - start_ns);
    return smi_check_cancel(r->exec, e);
}

static sm_status merge_one(void *ctx, int64_t i, sm_error *e)
{
    const sort_round *r = ctx;
    SM_TRY(smi_check_cancel(r->exec, e));
    const int64_t start_ns = sm_monotonic_ns();
    const int64_t first = i * 2 * r->width;
    const int64_t n = r->n - first < 2 * r->width ? r->n - first : 2 * r->width;
    const int64_t n_a = n < r->width ? n : r->width;
    merge_runs(r->by, r->from + first, n_a, r->from + first + n_a, n - n_a, r->to + first);
    atomic_fetch_add(r->spent_ns, sm_monotonic_ns() - start_ns);
    return smi_check_cancel(r->exec, e);
}

/* Making entries, a batch a task. */
typedef struct entry_job {
    const smi_execution *exec;
    const smi_sort_spec *spec;
    smi_sort_codes codes;
    smi_sort_row *rows;
    int64_t *first; /* of each batch */
    _Atomic int64_t *spent_ns;
} entry_job;

static sm_status make_entries(void *ctx, int64_t b, sm_error *e)
{
    const entry_job *job = ctx;
    SM_TRY(smi_check_cancel(job->exec, e));
    const int64_t start_ns = sm_monotonic_ns();
    smi_sort_codes_of(&job->codes, job->spec, b, job->rows + job->first[b]);
    atomic_fetch_add(job->spent_ns, sm_monotonic_ns() - start_ns);
    return SM_OK;
}

/* Makes the entries of all rows, and how those with equal prefixes are ordered. */
static sm_status make_all_entries(smi_execution *exec, const smi_sort_spec *spec,
                                  smi_sort_row *rows, entry_order *by, _Atomic int64_t *spent_ns,
                                  sm_error *e)
{
    entry_job job = {.exec = exec, .spec = spec, .rows = rows, .spent_ns = spent_ns};
    int64_t n = 0;
    SM_TRY(smi_sort_codes_plan(exec, spec, &job.codes, e));
    job.first = sm_alloc((size_t)(spec->rows->n + 1) * sizeof(*job.first));
    for (int64_t b = 0; b < spec->rows->n; b++) {
        job.first[b] = n;
        n += spec->rows->items[b]->n_rows;
    }
    const sm_status st = sm_pool_for(exec->env->pool, spec->rows->n, make_entries, &job, e);
    sm_free(job.first);
    const int32_t n_all = spec->n_keys + (spec->place >= 0);
    *by = (entry_order){.exec = exec,
                        .spec = spec,
                        .first_key = job.codes.n_exact,
                        .is_in_prefix = job.codes.n_exact == n_all};
    return st;
}

sm_status smi_sort_rows(smi_execution *exec, const smi_sort_spec *spec, sm_budget *budget,
                        sm_block **out, int64_t *n_out, sm_error *e)
{
    sm_block *a = NULL, *b = NULL;
    int64_t n = 0;
    for (int64_t i = 0; i < spec->rows->n; i++) {
        n += spec->rows->items[i]->n_rows;
    }
    const size_t bytes = (size_t)n * sizeof(smi_sort_row);
    SM_TRY(sm_block_new(budget, bytes, &a, e));
    sm_status st = sm_block_new(budget, bytes, &b, e);
    if (st != SM_OK) {
        sm_block_release(a);
        return st;
    }
    _Atomic int64_t spent_ns = 0;
    entry_order by;
    st = make_all_entries(exec, spec, (smi_sort_row *)a->data, &by, &spent_ns, e);
    SM_ASSERT(st != SM_OK || by.first_key <= spec->n_keys + 1);
    int64_t n_runs = (n + RUN_ROWS - 1) / RUN_ROWS;
    n_runs = n_runs > MAX_RUNS ? MAX_RUNS : n_runs < 1 ? 1 : n_runs;
    sort_round r = {.exec = exec,
                    .spent_ns = &spent_ns,
                    .by = &by,
                    .from = (smi_sort_row *)a->data,
                    .to = (smi_sort_row *)b->data,
                    .n = n,
                    .width = (n + n_runs - 1) / n_runs};
    st = st == SM_OK && n > 0 ? sm_pool_for(exec->env->pool, n_runs, sort_one, &r, e) : st;
    for (; st == SM_OK && r.width < n; r.width *= 2) {
        st = sm_pool_for(exec->env->pool, (n + 2 * r.width - 1) / (2 * r.width), merge_one, &r, e);
        smi_sort_row *swap = r.from;
        r.from = r.to;
        r.to = swap;
    }
    if (spec->node) {
        smi_profile(exec, 0, spec->node)->cpu_ns += spent_ns;
    }
    const bool in_a = (uint8_t *)r.from == a->data;
    sm_block_release(in_a ? b : a);
    if (st != SM_OK) {
        sm_block_release(in_a ? a : b);
        return st;
    }
    *out = in_a ? a : b;
    *n_out = n;
    return SM_OK;
}

/* ---- evaluating ------------------------------------------------------------------------------ */

const sm_type *smi_schema_of(sm_arena *a, const sm_type *const *types, int32_t n)
{
    sm_field *fields = SM_NEW_ARRAY(a, sm_field, n + 1);
    for (int32_t i = 0; i < n; i++) {
        fields[i] = (sm_field){.type = types[i], .is_nullable = true};
    }
    return sm_type_struct(a, fields, n);
}

sm_status smi_eval_flat(smi_execution *exec, const sm_expr *const *exprs, int32_t n,
                        const sm_type *schema, sm_batch *in, sm_budget *budget, sm_batch **out,
                        sm_error *e)
{
    sm_batch *b = NULL;
    SM_ASSERT(n <= schema->n_fields);
    SM_TRY(sm_batch_new(budget, schema, &b, e));
    sm_batch_keep_all(b, in);
    sm_status st = SM_OK;
    for (int32_t i = 0; i < n && st == SM_OK; i++) {
        sm_column c = {0};
        SM_ASSERT(sm_type_eq(exprs[i]->type, schema->fields[i].type));
        if (exprs[i]->kind == SM_EXPR_COLUMN) {
            c = in->columns[exprs[i]->index];
        } else {
            st = sm_expr_eval(exprs[i], in, exec->params, b, &c, e);
        }
        if (st == SM_OK) {
            st = sm_column_flatten(&c, b, &b->columns[i], e);
        }
    }
    if (st != SM_OK) {
        sm_batch_release(b);
        return st;
    }
    b->n_rows = in->n_rows;
    b->ordinal = in->ordinal;
    b->seq = in->seq;
    *out = b;
    return SM_OK;
}

/* ---- the end --------------------------------------------------------------------------------- */

typedef struct sort_end {
    smi_end end;
    smi_execution *exec;
    const sm_plan_node *node;
    sm_budget *budget;
    int32_t n_payload;
    const sm_expr **exprs; /* payload columns, then keys */
    const sm_type *schema; /* of payload, keys and the place */
    int64_t limit;
    smi_sorter sorter;
} sort_end;

static smi_sort_spec spec_of(const sort_end *s, const smi_batches *rows)
{
    return (smi_sort_spec){.rows = rows,
                           .keys = s->node->as.sort.keys,
                           .n_keys = s->node->as.sort.n_keys,
                           .first = s->n_payload,
                           .place = s->n_payload + s->node->as.sort.n_keys};
}

/* Sorts the list and keeps its first `limit` rows. */
static sm_status keep_first_rows(sort_end *s, smi_batches *rows, sm_error *e)
{
    const smi_sort_spec spec = spec_of(s, rows);
    sm_block *block = NULL;
    smi_batches kept = {0};
    int64_t n = 0;
    SM_TRY(smi_sort_rows(s->exec, &spec, s->budget, &block, &n, e));
    const smi_sort_row *order = (const smi_sort_row *)block->data;
    n = n < s->limit ? n : s->limit;
    sm_status st = SM_OK;
    smi_ref *refs = sm_alloc(SM_BATCH_ROWS * sizeof(*refs));
    for (int64_t at = 0; at < n && st == SM_OK; at += SM_BATCH_ROWS) {
        const int64_t some = n - at < SM_BATCH_ROWS ? n - at : SM_BATCH_ROWS;
        sm_batch *b = NULL;
        for (int64_t i = 0; i < some; i++) {
            refs[i] = order[at + i].ref;
        }
        st = smi_gather_rows(rows, 0, refs, some, s->schema, s->budget, &b, e);
        if (st == SM_OK) {
            smi_batches_add(&kept, b);
        }
    }
    sm_free(refs);
    sm_block_release(block);
    smi_batches_release(st == SM_OK ? rows : &kept);
    if (st == SM_OK) {
        *rows = kept;
    }
    return st;
}

/* Is it time to keep only the first rows of n? Where memory is short, as soon as half would go. */
static bool has_many(const sort_end *s, int64_t n)
{
    const bool is_short = smi_memory_is_short(s->exec, (size_t)n * SMI_SORTED_ROW_BYTES);
    return n >= (is_short ? 2 * s->limit + SM_BATCH_ROWS : 4 * s->limit + 16 * SM_BATCH_ROWS);
}

/* With LIMIT: adds batches to the sorter's; when there are many rows, keeps only the first ones.
 * Where even these have no room, the sorter writes them to disk. */
static sm_status add_to_first(sort_end *s, smi_batches *mine, sm_error *e)
{
    smi_sorter *all = &s->sorter;
    for (;;) {
        int64_t n = 0;
        for (int64_t i = 0; i < mine->n; i++) {
            n += mine->items[i]->n_rows;
        }
        sm_mutex_lock(&all->lock);
        SM_ASSERT(all->state == SMI_SORTER_FILLING);
        if (all->n_rows == 0 || !has_many(s, all->n_rows + n)) {
            sm_mutex_unlock(&all->lock);
            break;
        }
        for (int64_t i = 0; i < all->rows.n; i++) {
            smi_batches_add(mine, all->rows.items[i]);
            all->rows.items[i] = NULL;
        }
        smi_batches_release(&all->rows);
        all->n_rows = 0;
        all->bytes = 0;
        sm_mutex_unlock(&all->lock);
        SM_TRY(keep_first_rows(s, mine, e));
    }
    for (int64_t i = 0; i < mine->n; i++) {
        sm_batch *taken = mine->items[i];
        mine->items[i] = NULL;
        SM_TRY(smi_sorter_add(all, taken, e));
    }
    smi_batches_release(mine);
    return SM_OK;
}

static sm_status sort_push(smi_end *end, smi_driver *d, sm_batch *rows, sm_error *e)
{
    sort_end *s = (sort_end *)end;
    const int32_t n_exprs = s->n_payload + s->node->as.sort.n_keys;
    sm_batch *wide = NULL, *copy = NULL;
    uint64_t *places = NULL;
    const uint64_t first = (uint64_t)(uintptr_t)d->task->end_state; /* rows before, in the task */
    sm_status st = smi_eval_flat(s->exec, s->exprs, n_exprs, s->schema, rows, s->budget, &wide, e);
    if (st == SM_OK) {
        st = sm_batch_alloc(wide, (size_t)rows->n_rows * 8, (void **)&places, e);
    }
    if (st == SM_OK) {
        SM_ASSERT(first + (uint64_t)rows->n_rows <=
                  UINT32_MAX); /* places of two tasks stay apart */
        for (int64_t i = 0; i < rows->n_rows; i++) {
            places[i] = d->task->ordinal << 32 | (first + (uint64_t)i);
        }
        d->task->end_state = (void *)(uintptr_t)(first + (uint64_t)rows->n_rows);
        wide->columns[n_exprs] =
            (sm_column){.type = &sm_type_u64, .n_rows = rows->n_rows, .values = places};
        st = sm_batch_concat(&wide, 1, true, s->budget, &copy, e);
    }
    sm_batch_release(wide);
    sm_batch_release(rows);
    SM_TRY(st);
    if (s->limit < 0 || s->limit > FIRST_MOST) {
        return smi_sorter_add(&s->sorter, copy, e);
    }
    smi_batches mine = {0};
    smi_batches_add(&mine, copy);
    st = add_to_first(s, &mine, e);
    smi_batches_release(&mine);
    return st;
}

static sm_status sort_close(smi_end *end, smi_driver *d, sm_error *e)
{
    (void)end, (void)d, (void)e;
    return SM_OK;
}

static void sort_init(sort_end *s, smi_execution *exec, const sm_plan_node *node)
{
    const int32_t n_keys = node->as.sort.n_keys;
    s->end = (smi_end){.push = sort_push, .close = sort_close, .node = node};
    s->exec = exec;
    s->node = node;
    s->limit = node->as.sort.limit;
    s->n_payload = node->schema->n_fields;
    s->exprs = SM_NEW_ARRAY(exec->arena, const sm_expr *, s->n_payload + n_keys + 1);
    const sm_type **types = SM_NEW_ARRAY(exec->arena, const sm_type *, s->n_payload + n_keys + 1);
    for (int32_t i = 0; i < s->n_payload; i++) {
        sm_expr *x = SM_NEW(exec->arena, sm_expr);
        types[i] = node->schema->fields[i].type;
        *x = (sm_expr){.kind = SM_EXPR_COLUMN, .type = types[i], .index = i};
        s->exprs[i] = x;
    }
    for (int32_t k = 0; k < n_keys; k++) {
        s->exprs[s->n_payload + k] = node->as.sort.keys[k].expr;
        types[s->n_payload + k] = node->as.sort.keys[k].expr->type;
    }
    types[s->n_payload + n_keys] = &sm_type_u64;
    s->schema = smi_schema_of(exec->arena, types, s->n_payload + n_keys + 1);
    const smi_sort_spec spec = spec_of(s, NULL);
    smi_sorter_init(&s->sorter, exec, node, s->budget, s->schema, &spec);
}

/* The number of rows in memory that LIMIT lets pass. */
static int64_t n_given(const sort_end *s)
{
    return s->limit >= 0 && s->sorter.n_order > s->limit ? s->limit : s->sorter.n_order;
}

static sm_status give_sorted(void *ctx, smi_driver *d, int64_t i, sm_error *e)
{
    const sort_end *s = ctx;
    smi_ref refs[SM_BATCH_ROWS];
    const int64_t n_order = n_given(s);
    const int64_t end = (i + 1) * TASK_ROWS < n_order ? (i + 1) * TASK_ROWS : n_order;
    for (int64_t at = i * TASK_ROWS; at < end; at += SM_BATCH_ROWS) {
        const int64_t n = end - at < SM_BATCH_ROWS ? end - at : SM_BATCH_ROWS;
        sm_batch *b = NULL;
        for (int64_t k = 0; k < n; k++) {
            refs[k] = s->sorter.order[at + k].ref;
        }
        SM_TRY(smi_gather_rows(&s->sorter.rows, 0, refs, n, s->node->schema, s->exec->env->budget,
                               &b, e));
        b->ordinal = d->task->ordinal;
        SM_TRY(smi_give(d, s->node, d->pipe->first, b, e));
    }
    return SM_OK;
}

/* Gives the rows from disk. One task, since a merge goes row by row. */
static sm_status give_merged(void *ctx, smi_driver *d, int64_t i, sm_error *e)
{
    sort_end *s = ctx;
    int64_t left = s->limit < 0 ? INT64_MAX : s->limit;
    (void)i;
    while (left > 0 && !smi_pipe_is_past(d->pipe, d->task->ordinal)) {
        sm_batch *b = NULL;
        SM_TRY(smi_merge_next(&s->sorter.merge, s->node->schema, s->exec->env->budget, &b, e));
        if (!b) {
            break;
        }
        if (b->n_rows > left) {
            sm_batch *part = NULL;
            const sm_status st = sm_batch_slice(b, 0, left, s->exec->env->budget, &part, e);
            sm_batch_release(b);
            SM_TRY(st);
            b = part;
        }
        left -= b->n_rows;
        b->ordinal = d->task->ordinal;
        SM_TRY(smi_give(d, s->node, d->pipe->first, b, e));
    }
    return SM_OK;
}

sm_status smi_sort_run(smi_execution *exec, const sm_plan_node *node, smi_op *next, smi_end *end,
                       uint64_t *turn, sm_error *e)
{
    if (smi_range_can(node)) {
        return smi_range_run(exec, node, next, end, turn, e);
    }
    sort_end s = {.budget = sm_budget_new(exec->env->budget, "sort", 0)};
    sort_init(&s, exec, node);
    sm_status st = smi_execute_into(exec, node->inputs[0], NULL, &s.end, e);
    if (st == SM_OK) {
        st = smi_sorter_finish(&s.sorter, e);
    }
    if (st == SM_OK) {
        smi_tasks tasks;
        if (s.sorter.state == SMI_SORTER_SORTED) {
            const int64_t n = (n_given(&s) + TASK_ROWS - 1) / TASK_ROWS;
            smi_tasks_init(&tasks, node, n, give_sorted, &s);
        } else {
            smi_tasks_init(&tasks, node, 1, give_merged, &s);
        }
        st = smi_pipe_run(exec, &tasks.source, next, end, turn, e);
    }
    st = smi_within_operator(st, "ORDER BY", s.budget, e);
    smi_sorter_release(&s.sorter);
    smi_report_peak(exec, node, s.budget);
    sm_budget_free(s.budget);
    return st;
}
