/* SPDX-License-Identifier: Apache-2.0
 *
 * exec/exec_pipe.c: runs one pipe: drivers take tasks from its source until all are closed.
 *
 * Calls    smi_pipe_run(), by exec_run.c and by the operators that see all rows first.
 * Step     A driver first lets the end hand on the rows whose turn has come, then does the work of
 *          one task.
 * Order    `turn` is the oldest task that is not closed. A source starts tasks only so far ahead of
 *          it, so what ends must keep is bounded.
 * Failure  The failure with the smallest ordinal is kept. Later tasks are given up, earlier ones
 *          are finished. The pipe fails only when the turn has come to the failed task, and not at
 *          all where an ordered end had enough rows before, as under LIMIT. So the error does not
 *          depend on threads.
 * Waiting  A driver is marked as waiting before it looks for work, and every change that may give
 *          it work wakes all that are marked. So no wake is lost. */
#include "exec/exec_memory_int.h"

#include <string.h>

#define RING (SMI_AHEAD_MAX * 2)

void smi_batches_add(smi_batches *l, sm_batch *taken)
{
    SM_ASSERT(taken && l->n <= l->cap);
    if (l->n == l->cap) {
        l->cap = l->cap ? l->cap * 2 : 16;
        l->items = sm_realloc(l->items, (size_t)l->cap * sizeof(*l->items));
    }
    l->items[l->n++] = taken;
}

void smi_batches_release(smi_batches *l)
{
    for (int64_t i = 0; i < l->n; i++) {
        sm_batch_release(l->items[i]);
    }
    sm_free(l->items);
    *l = (smi_batches){0};
}

int32_t smi_clock(smi_driver *d, int32_t node)
{
    const int64_t now = sm_monotonic_ns();
    const int32_t before = d->node;
    if (before >= 0) {
        smi_execution *exec = d->pipe->exec;
        exec->profiles[(int64_t)d->index * exec->plan->n_nodes + before].cpu_ns +=
            now - d->since_ns;
    }
    d->node = node;
    d->since_ns = now;
    return before;
}

/* ---- handing on ------------------------------------------------------------------------------ */

/* In debug and sanitizer builds: is the batch that an operator gives valid, and of the node's
 * types? Rows of a join on disk have one column more, their place. */
static void check_batch(const sm_batch *rows, const sm_plan_node *node)
{
#ifdef SM_ASSERTS
    const char *why = "";
    const int32_t n_fields = node->schema->n_fields;
    if (!sm_batch_validate(rows, true, &why)) {
        sm_assert_failed(why, "exec: a batch that left an operator", 0);
    }
    SM_ASSERT(rows->n_columns == n_fields ||
              (node->kind == SM_PLAN_JOIN && rows->n_columns == n_fields + 1));
    for (int32_t c = 0; c < n_fields; c++) {
        SM_ASSERT(sm_type_eq(rows->columns[c].type, node->schema->fields[c].type));
    }
#else
    (void)rows, (void)node;
#endif
}

sm_status smi_give(smi_driver *d, const sm_plan_node *node, smi_op *next, sm_batch *rows,
                   sm_error *e)
{
    SM_ASSERT(d->task && d->pipe->drivers + d->index == d); /* in a task of its own pipe */
    if (rows->n_rows == 0) {
        sm_batch_release(rows);
        return SM_OK;
    }
    if (node) {
        sm_node_profile *p = smi_profile(d->pipe->exec, d->index, node);
        p->rows += rows->n_rows;
        p->batches++;
        check_batch(rows, node);
    }
    const sm_status looked = smi_check_cancel(d->pipe->exec, e);
    if (looked != SM_OK) {
        sm_batch_release(rows);
        return looked;
    }
    if (next) {
        const int32_t before = smi_clock(d, next->node ? next->node->id : -1);
        const sm_status st = next->push(next, d, rows, e);
        smi_clock(d, before);
        return st;
    }
    smi_end *end = d->pipe->end;
    const int32_t before = smi_clock(d, end->node ? end->node->id : -1);
    const sm_status st = end->push(end, d, rows, e);
    smi_clock(d, before);
    return st;
}

/* ---- turns and failures ---------------------------------------------------------------------- */

uint64_t smi_pipe_turn(smi_pipe *p)
{
    sm_mutex_lock(&p->lock);
    const uint64_t turn = p->turn;
    sm_mutex_unlock(&p->lock);
    return turn;
}

bool smi_pipe_is_past(smi_pipe *p, uint64_t ordinal)
{
    if (atomic_load(&p->is_stopped)) {
        return true;
    }
    sm_mutex_lock(&p->lock);
    const bool is_past = p->has_failed && ordinal >= p->failed_at;
    sm_mutex_unlock(&p->lock);
    return is_past;
}

void smi_pipe_wake(smi_pipe *p)
{
    for (int i = 0; i < p->exec->n_drivers; i++) {
        smi_driver *d = &p->drivers[i];
        sm_mutex_lock(&p->lock);
        const bool is_waiting = d->is_waiting;
        const sm_waker waker = d->waker;
        d->is_waiting = false;
        sm_mutex_unlock(&p->lock);
        if (is_waiting) {
            sm_wake(waker);
        }
    }
}

sm_status smi_driver_wait(smi_driver *d, sm_error *e)
{
    smi_pipe *p = d->pipe;
    SM_ASSERT(d->task);
    if (!sm_pool_wait(d->waker)) {
        return sm_fail(e, SM_INTERRUPTED, "interrupted");
    }
    sm_mutex_lock(&p->lock);
    d->is_waiting = true;
    sm_mutex_unlock(&p->lock);
    return SM_OK;
}

sm_status smi_task_close(smi_driver *d, sm_error *e)
{
    smi_pipe *p = d->pipe;
    const int32_t before = smi_clock(d, p->end->node ? p->end->node->id : -1);
    const sm_status st = p->end->close(p->end, d, e);
    smi_clock(d, before);
    SM_TRY(st);
    for (smi_op *op = p->first; op; op = op->next) {
        SM_TRY(op->close ? op->close(op, d, e) : SM_OK);
    }
    sm_mutex_lock(&p->lock);
    const uint64_t ordinal = d->task->ordinal;
    SM_ENSURE(ordinal >= p->turn && ordinal < p->turn + RING);
    SM_ASSERT(!p->is_closed[ordinal % RING]); /* a task is closed once */
    p->is_closed[ordinal % RING] = true;
    while (p->is_closed[p->turn % RING]) {
        p->is_closed[p->turn % RING] = false;
        p->turn++;
    }
    sm_mutex_unlock(&p->lock);
    smi_pipe_wake(p);
    return SM_OK;
}

void smi_task_failed(smi_driver *d, sm_status st, const sm_error *e)
{
    smi_pipe *p = d->pipe;
    SM_ASSERT(
        !sm_status_is_answer(st)); /* SM_END and SM_WAIT are no failures: they would be lost */
    sm_mutex_lock(&p->lock);
    SM_ASSERT(d->task->ordinal >= p->turn); /* one that is closed cannot fail any more */
    if (!p->has_failed || d->task->ordinal < p->failed_at) {
        p->has_failed = true;
        p->failed_at = d->task->ordinal;
        p->failure = *e;
        p->failure.status = st;
    }
    sm_mutex_unlock(&p->lock);
    smi_pipe_wake(p);
}

/* ---- the step -------------------------------------------------------------------------------- */

static bool is_end_empty(smi_end *end)
{
    return !end->is_empty || end->is_empty(end);
}

bool smi_pipe_is_empty(smi_pipe *p)
{
    bool is_empty = is_end_empty(p->end);
    for (smi_op *op = p->first; op && is_empty; op = op->next) {
        is_empty = !op->is_empty || op->is_empty(op);
    }
    return is_empty;
}

/* Is every task closed, and everything handed on? */
static bool is_pipe_done(smi_pipe *p)
{
    const int64_t n = p->source->n_tasks(p->source);
    if (n < 0) {
        return false;
    }
    sm_mutex_lock(&p->lock);
    SM_ASSERT(p->turn <= p->base + (uint64_t)n);
    const bool all_closed = p->turn == p->base + (uint64_t)n;
    sm_mutex_unlock(&p->lock);
    return all_closed && smi_pipe_is_empty(p);
}

static bool has_come_to_failure(smi_pipe *p, sm_status *st, sm_error *e)
{
    sm_mutex_lock(&p->lock);
    const bool has = p->has_failed && p->turn >= p->failed_at;
    if (has) {
        *st = p->failure.status;
        *e = p->failure;
    }
    const uint64_t failed_at = p->failed_at;
    sm_mutex_unlock(&p->lock);
    if (has && p->source->locate) {
        p->source->locate(p->source, failed_at, e);
    }
    return has;
}

static sm_status stop_pipe(smi_pipe *p)
{
    atomic_store(&p->is_stopped, true);
    smi_pipe_wake(p);
    return SM_END;
}

/* Of the end and of ops with outputs of their own, also where one of them must wait: another may be
 * what its sink waits for. */
static sm_status drain_all(smi_pipe *p, smi_driver *d, sm_error *e)
{
    sm_status st = p->end->drain ? p->end->drain(p->end, d, e) : SM_OK;
    for (smi_op *op = p->first; op && (st == SM_OK || st == SM_WAIT); op = op->next) {
        const sm_status own = op->drain ? op->drain(op, d, e) : SM_OK;
        SM_ASSERT(own != SM_END);
        st = own == SM_OK ? st : own;
    }
    return st;
}

static sm_status step_in_turn(smi_pipe *p, smi_driver *d, sm_error *e)
{
    const sm_status drained = drain_all(p, d, e);
    if (drained == SM_END) {
        return stop_pipe(p);
    }
    if (drained != SM_OK) {
        return drained; /* SM_WAIT as well */
    }
    sm_status st = SM_OK;
    /* In this order: once the turn has come, the end has all rows before the failure. */
    if (has_come_to_failure(p, &st, e)) {
        if (is_end_empty(p->end)) {
            return st;
        }
        *e = (sm_error){0};
    }
    st = p->source->step(p->source, d, e);
    if (st == SM_END) {
        if (is_pipe_done(p)) {
            smi_pipe_wake(p);
            return SM_END;
        }
        return SM_WAIT;
    }
    return st;
}

static sm_status pipe_step(void *driver, int worker, sm_waker waker, sm_error *e)
{
    smi_driver *d = driver;
    smi_pipe *p = d->pipe;
    (void)worker;
    sm_mutex_lock(&p->lock);
    d->waker = waker;
    d->is_waiting = true;
    sm_mutex_unlock(&p->lock);
    if (atomic_load(&p->is_stopped)) {
        return SM_END;
    }
    d->node = -1;
    const sm_status st = step_in_turn(p, d, e);
    smi_clock(d, -1);
    return st;
}

sm_status smi_pipe_run(smi_execution *exec, smi_source *source, smi_op *first, smi_end *end,
                       uint64_t *turn, sm_error *e)
{
    smi_pipe p = {
        .exec = exec, .source = source, .first = first, .end = end, .base = *turn, .turn = *turn};
    void *drivers[SMI_AHEAD_MAX];
    const int n = exec->n_drivers;

    sm_mutex_init(&p.lock);
    p.is_closed = sm_alloc_zero(RING * sizeof(bool));
    p.drivers = sm_alloc_zero((size_t)n * sizeof(smi_driver));
    for (int i = 0; i < n; i++) {
        p.drivers[i] = (smi_driver){.pipe = &p, .index = i, .node = -1};
        drivers[i] = &p.drivers[i];
    }
    SM_ASSERT(n > 0 && n <= SMI_AHEAD_MAX / 8);
    sm_status st = sm_pool_run(exec->env->pool, pipe_step, drivers, n, exec->env->cancel, e);
    /* A pipe that ends well has closed all tasks, unless the end wanted no more rows. */
    SM_ASSERT(st != SM_OK || atomic_load(&p.is_stopped) || source->n_tasks(source) < 0 ||
              p.turn == p.base + (uint64_t)source->n_tasks(source));
    if (st == SM_OK && atomic_load(&p.is_stopped)) {
        st = SM_END;
    }
    *turn = p.turn;
    sm_free(p.drivers);
    sm_free(p.is_closed);
    sm_mutex_release(&p.lock);
    return st;
}

/* ---- numbered tasks -------------------------------------------------------------------------- */

static int64_t tasks_count(smi_source *s)
{
    return ((smi_tasks *)s)->n;
}

static sm_status tasks_step(smi_source *s, smi_driver *d, sm_error *e)
{
    smi_tasks *t = (smi_tasks *)s;
    smi_pipe *p = d->pipe;
    const uint64_t ahead = (uint64_t)d->pipe->exec->n_drivers * 4 + 4;
    int64_t i = atomic_load(&t->next);
    if (t->most_drivers > 0 && d->index >= t->most_drivers) {
        return SM_END;
    }
    do {
        if (i >= t->n || smi_pipe_is_past(p, p->base + (uint64_t)i)) {
            return i >= t->n ? SM_END : SM_WAIT;
        }
        if (p->base + (uint64_t)i >= smi_pipe_turn(p) + ahead ||
            smi_memory_is_tight(p->exec, atomic_load(&t->n_running))) {
            return SM_WAIT;
        }
    } while (!atomic_compare_exchange_weak(&t->next, &i, i + 1));
    atomic_fetch_add(&t->n_running, 1);

    smi_task task = {.ordinal = p->base + (uint64_t)i};
    d->task = &task;
    smi_clock(d, t->node ? t->node->id : -1);
    SM_ASSERT(i >= 0 && i < t->n);
    sm_status st = t->run(t->ctx, d, i, e);
    SM_ASSERT(st != SM_WAIT && d->task == &task); /* a numbered task does not wait */
    const int64_t n_before = atomic_fetch_sub(&t->n_running, 1);
    SM_ASSERT(n_before > 0);
    if (st == SM_OK) {
        st = smi_task_close(d, e);
    }
    if (st != SM_OK) {
        smi_task_failed(d, st, e);
    }
    d->task = NULL;
    return SM_OK;
}

void smi_tasks_init(smi_tasks *t, const sm_plan_node *node, int64_t n,
                    sm_status (*run)(void *ctx, smi_driver *d, int64_t i, sm_error *e), void *ctx)
{
    *t = (smi_tasks){.source = {.step = tasks_step, .n_tasks = tasks_count},
                     .n = n,
                     .run = run,
                     .ctx = ctx,
                     .node = node};
}

/* As many rows as a morsel has, so that the ends' work for each task pays. */
#define TASK_BATCHES 16

static sm_status run_batches(void *ctx, smi_driver *d, int64_t i, sm_error *e)
{
    const smi_batches *rows = ctx;
    for (int64_t k = i * TASK_BATCHES; k < rows->n && k < (i + 1) * TASK_BATCHES; k++) {
        if (smi_pipe_is_past(d->pipe, d->task->ordinal)) {
            break;
        }
        SM_TRY(smi_give(d, NULL, d->pipe->first, sm_batch_retain(rows->items[k]), e));
    }
    return SM_OK;
}

void smi_tasks_of(smi_tasks *t, const sm_plan_node *node, const smi_batches *rows)
{
    smi_tasks_init(t, node, (rows->n + TASK_BATCHES - 1) / TASK_BATCHES, run_batches, (void *)rows);
}
