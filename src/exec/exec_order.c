/* SPDX-License-Identifier: Apache-2.0
 *
 * exec/exec_order.c: the ordered end: rows leave in the order of the input, whichever driver made
 * them.
 *
 * Calls    push and close from the drivers' tasks, drain at the start of every step.
 * Method   A ring of lists, one for each task. The batches of the oldest open task go straight to
 *          the outlet; those of later tasks wait in their list for their task's turn. LIMIT and
 *          OFFSET are counted where batches enter the outlet, which is in order.
 * Outlet   A queue before a sink. A driver that finds batches in it, and no other driver at work on
 *          it, pushes them into the sink. Where the sink says SM_WAIT it has that driver's waker,
 *          and only this driver tries again. When more than OUTLET_FULL batches wait, or any while
 *          memory is short, drivers start no more tasks.
 * Check    Where a CHECK is below, it is to see all rows: behind the last row that LIMIT passes the
 *          end goes on, and drops them.
 * Ahead    A task may have any number of rows: those of a merge, or of a join with many matches. So
 *          it waits, within its push, while too much is queued before the sink; or, where its turn
 *          has not come and memory is pressed, for its turn. */
#include "exec/exec_spill_int.h"

#define RING        (SMI_AHEAD_MAX * 2)
#define OUTLET_FULL 64

/* ---- outlet ---------------------------------------------------------------------------------- */

void smi_outlet_init(smi_outlet *o, const sm_sink *sink)
{
    *o = (smi_outlet){.sink = sink, .waiter = -1};
    sm_mutex_init(&o->lock);
}

void smi_outlet_release(smi_outlet *o)
{
    for (int64_t i = 0; i < o->first; i++) {
        o->queue.items[i] = NULL; /* given away */
    }
    smi_batches_release(&o->queue);
    sm_mutex_release(&o->lock);
}

void smi_outlet_put(smi_outlet *o, sm_batch *taken)
{
    sm_mutex_lock(&o->lock);
    SM_ASSERT(!o->is_ended && o->first <= o->queue.n); /* nothing comes behind the end */
    if (o->first == o->queue.n) {
        o->first = o->queue.n = 0;
    }
    if (o->has_enough) {
        sm_batch_release(taken);
    } else {
        smi_batches_add(&o->queue, taken);
    }
    sm_mutex_unlock(&o->lock);
}

/* No batch comes any more; those that are queued still go out. */
static void end_outlet(smi_outlet *o)
{
    sm_mutex_lock(&o->lock);
    o->is_ended = true;
    sm_mutex_unlock(&o->lock);
}

bool smi_outlet_is_empty(smi_outlet *o)
{
    sm_mutex_lock(&o->lock);
    const bool is_empty = (o->first == o->queue.n || o->has_enough) && !o->is_draining;
    sm_mutex_unlock(&o->lock);
    return is_empty;
}

/* Pushes the queued batches into the sink. With the lock, which is released while the sink works.
 * */
static sm_status empty_queue(smi_outlet *o, smi_driver *d, sm_error *e)
{
    while (o->first < o->queue.n) {
        sm_batch *rows = o->queue.items[o->first];
        const int64_t n_rows = rows->n_rows;
        sm_mutex_unlock(&o->lock);
        const sm_status st = o->sink->push(o->sink->ctx, rows, d->waker, e);
        sm_mutex_lock(&o->lock);
        /* Other drivers may add while the sink works, but only this one takes out. */
        SM_ASSERT(o->is_draining && o->queue.items[o->first] == rows);
        if (st != SM_OK) {
            o->has_enough = st == SM_END;
            if (!sm_status_is_answer(st)) {
                o->failed = st;
                o->error = *e;
            }
            return st;
        }
        if (o->rows) {
            atomic_fetch_add_explicit(o->rows, n_rows, memory_order_relaxed);
        }
        o->queue.items[o->first++] = NULL;
        sm_batch_release(rows);
        if (o->is_awaited && o->queue.n - o->first <= OUTLET_FULL / 2) {
            o->is_awaited = false;
            sm_mutex_unlock(&o->lock);
            smi_pipe_wake(d->pipe);
            sm_mutex_lock(&o->lock);
        }
    }
    return o->is_ended ? SM_END : SM_OK;
}

sm_status smi_outlet_drain(smi_outlet *o, smi_driver *d, sm_error *e)
{
    sm_mutex_lock(&o->lock);
    const int64_t n = o->queue.n - o->first;
    if (o->has_enough || o->failed) {
        if (o->failed) {
            *e = o->error;
        }
        sm_mutex_unlock(&o->lock);
        return o->failed ? o->failed : SM_END;
    }
    const bool may = !o->is_draining && (o->waiter < 0 || o->waiter == d->index);
    if (!may || (n == 0 && !o->is_ended)) {
        sm_mutex_unlock(&o->lock);
        const bool is_full = n > OUTLET_FULL || (n > 0 && smi_memory_is_short(d->pipe->exec, 0));
        return is_full ? SM_WAIT : SM_OK;
    }
    SM_ASSERT(!o->failed && !o->has_enough);
    o->is_draining = true;
    const int64_t first = o->first;
    const bool waited = o->waiter == d->index;
    const sm_status st = empty_queue(o, d, e);
    o->is_draining = false;
    o->waiter = st == SM_WAIT ? d->index : -1;
    /* Without this a driver would wake itself again and again until the sink is ready. */
    const bool is_still_waiting = waited && st == SM_WAIT && o->first == first;
    const bool is_awaited = o->is_awaited;
    o->is_awaited = false;
    sm_mutex_unlock(&o->lock);
    if (!is_still_waiting || is_awaited) {
        smi_pipe_wake(d->pipe);
    }
    return st;
}

/* Is so much queued that a task must not add more? Then its driver is woken when there is room: by
 * the driver that is at work on the sink, or by the sink, of which it takes charge. */
static bool is_outlet_full(smi_outlet *o, const smi_driver *d)
{
    sm_mutex_lock(&o->lock);
    const int64_t n = o->queue.n - o->first;
    const bool is_over = o->has_enough || o->failed;
    /* Pressed, not short: a task that is under way may use more than one that is to be begun. */
    const bool is_full =
        !is_over && (n > OUTLET_FULL || (n > 0 && smi_memory_is_pressed(d->pipe->exec)));
    const bool takes_over = is_full && !o->is_draining && o->waiter != d->index;
    o->is_awaited = o->is_awaited || (is_full && o->is_draining);
    o->waiter = takes_over ? d->index : o->waiter;
    sm_mutex_unlock(&o->lock);
    if (takes_over) {
        sm_wake(d->waker); /* to ask the sink before it waits for it */
    }
    return is_full;
}

/* ---- the ordered end ------------------------------------------------------------------------- */

typedef struct order_slot {
    smi_batches waiting;
    size_t bytes; /* of them; what batches share is counted for each */
    bool is_closed;
} order_slot;

typedef struct order_end {
    smi_end end;
    smi_outlet outlet;
    sm_budget *budget;
    sm_mutex lock; /* taken before the outlet's */
    order_slot *ring;
    uint64_t turn;         /* tasks below it are in the outlet */
    int64_t limit, offset; /* rows that may still pass (−1: all), rows still to be left out */
    bool reads_all;        /* and drops what follows */
} order_end;

/* Puts into the outlet what OFFSET and LIMIT leave of a batch whose turn has come. Takes rows. */
static sm_status cut_and_put(order_end *o, sm_batch *rows, sm_error *e)
{
    SM_ASSERT(o->offset >= 0 && o->limit >= -1 && rows->n_rows > 0);
    const int64_t skip = o->offset < rows->n_rows ? o->offset : rows->n_rows;
    int64_t n = rows->n_rows - skip;
    o->offset -= skip;
    if (o->limit >= 0 && n > o->limit) {
        n = o->limit;
    }
    if (n == 0) {
        sm_batch_release(rows);
        return SM_OK;
    }
    if (n < rows->n_rows) {
        sm_batch *part = NULL;
        const sm_status st = sm_batch_slice(rows, skip, n, o->budget, &part, e);
        sm_batch_release(rows);
        SM_TRY(st);
        rows = part;
    }
    smi_outlet_put(&o->outlet, rows);
    if (o->limit >= 0) {
        o->limit -= n;
        if (o->limit == 0 && !o->reads_all) {
            end_outlet(&o->outlet);
        }
    }
    return SM_OK;
}

static sm_status put_waiting(order_end *o, order_slot *slot, sm_error *e)
{
    sm_status st = SM_OK;
    for (int64_t i = 0; i < slot->waiting.n; i++) {
        sm_batch *rows = slot->waiting.items[i];
        slot->waiting.items[i] = NULL;
        if (st == SM_OK) {
            st = cut_and_put(o, rows, e);
        } else {
            sm_batch_release(rows);
        }
    }
    smi_batches_release(&slot->waiting);
    slot->bytes = 0;
    return st;
}

/* Hands on what the sink takes, and waits where it has too much before it. */
static sm_status empty_outlet(order_end *o, smi_driver *d, sm_error *e)
{
    sm_status st = smi_outlet_drain(&o->outlet, d, e);
    while ((st == SM_OK || st == SM_WAIT) && is_outlet_full(&o->outlet, d)) {
        SM_TRY(smi_driver_wait(d, e));
        st = smi_outlet_drain(&o->outlet, d, e);
    }
    return sm_status_is_answer(st) ? SM_OK : st; /* the next step's drain says it again */
}

/* Must the task wait for its turn? It has many rows already, and memory is pressed. */
static bool is_too_early(order_end *o, const smi_driver *d)
{
    const smi_execution *exec = d->pipe->exec;
    const uint64_t ordinal = d->task->ordinal;
    sm_mutex_lock(&o->lock);
    const bool is_in_turn = ordinal == o->turn;
    const size_t bytes = o->ring[ordinal % RING].bytes;
    sm_mutex_unlock(&o->lock);
    return !is_in_turn && bytes > smi_memory_share(exec) / (size_t)exec->n_drivers &&
           smi_memory_is_pressed(exec) && !smi_pipe_is_past(d->pipe, ordinal);
}

static sm_status wait_for_turn(order_end *o, smi_driver *d, sm_error *e)
{
    smi_pipe *p = d->pipe;
    sm_pool *pool = p->exec->env->pool;
    sm_status st = SM_OK;
    if (!is_too_early(o, d) || !sm_pool_take_leave(pool)) {
        return SM_OK;
    }
    atomic_fetch_add(&p->n_on_leave, 1);
    smi_pipe_wake(p); /* the oldest task is to be started now, however tight memory is */
    while (st == SM_OK && is_too_early(o, d)) {
        st = smi_driver_wait(d, e);
    }
    atomic_fetch_sub(&p->n_on_leave, 1);
    sm_pool_end_leave(pool);
    return st;
}

static sm_status order_push(smi_end *end, smi_driver *d, sm_batch *rows, sm_error *e)
{
    order_end *o = (order_end *)end;
    sm_status st = SM_OK;
    sm_mutex_lock(&o->lock);
    const uint64_t ordinal = d->task->ordinal;
    const bool is_in_turn = ordinal == o->turn;
    SM_ENSURE(ordinal >= o->turn && ordinal < o->turn + RING);
    if (is_in_turn) {
        st = cut_and_put(o, rows, e);
    } else {
        o->ring[ordinal % RING].bytes += sm_batch_bytes(rows);
        smi_batches_add(&o->ring[ordinal % RING].waiting, rows);
    }
    sm_mutex_unlock(&o->lock);
    SM_TRY(st);
    return is_in_turn ? empty_outlet(o, d, e) : wait_for_turn(o, d, e);
}

static sm_status order_close(smi_end *end, smi_driver *d, sm_error *e)
{
    order_end *o = (order_end *)end;
    sm_status st = SM_OK;
    sm_mutex_lock(&o->lock);
    SM_ENSURE(d->task->ordinal >= o->turn && d->task->ordinal < o->turn + RING);
    SM_ASSERT(!o->ring[d->task->ordinal % RING].is_closed);
    o->ring[d->task->ordinal % RING].is_closed = true;
    while (st == SM_OK && o->ring[o->turn % RING].is_closed) {
        SM_ASSERT(o->ring[o->turn % RING].waiting.n ==
                  0); /* a task in its turn puts nothing aside */
        o->ring[o->turn % RING].is_closed = false;
        o->turn++;
        st = put_waiting(o, &o->ring[o->turn % RING], e);
    }
    sm_mutex_unlock(&o->lock);
    return st;
}

static sm_status order_drain(smi_end *end, smi_driver *d, sm_error *e)
{
    return smi_outlet_drain(&((order_end *)end)->outlet, d, e);
}

/* Not empty where LIMIT was reached: a drain must still say SM_END. */
static bool order_is_empty(smi_end *end)
{
    smi_outlet *o = &((order_end *)end)->outlet;
    sm_mutex_lock(&o->lock);
    const bool is_over = o->is_ended || o->has_enough;
    sm_mutex_unlock(&o->lock);
    return !is_over && smi_outlet_is_empty(o);
}

smi_end *smi_order_new(smi_execution *exec, const sm_sink *sink, int64_t limit, int64_t offset,
                       bool reads_all)
{
    order_end *o = sm_alloc_zero(sizeof(*o));
    o->end = (smi_end){.push = order_push,
                       .close = order_close,
                       .drain = order_drain,
                       .is_empty = order_is_empty,
                       .keeps_order = true};
    o->budget = exec->env->budget;
    o->limit = limit;
    o->offset = offset;
    o->reads_all = reads_all;
    o->ring = sm_alloc_zero(RING * sizeof(*o->ring));
    sm_mutex_init(&o->lock);
    smi_outlet_init(&o->outlet, sink);
    if (limit == 0 && !reads_all) {
        end_outlet(&o->outlet);
    }
    return &o->end;
}

void smi_order_free(smi_end *end)
{
    order_end *o = (order_end *)end;
    if (!o) {
        return;
    }
    for (int i = 0; i < RING; i++) {
        smi_batches_release(&o->ring[i].waiting);
    }
    smi_outlet_release(&o->outlet);
    sm_mutex_release(&o->lock);
    sm_free(o->ring);
    sm_free(o);
}
