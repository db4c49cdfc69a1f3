/* SPDX-License-Identifier: Apache-2.0
 *
 * exec/exec_parts.c: the end for rows that go to their sink in parts, several at a time.
 *
 * Calls    by exec_run.c in place of the ordered end, where a sink takes parts and the plan's root
 *          is a sort of ranges, with no more than projections above it.
 * Method   A part is a task (exec_range.c): one driver sorts its ranges one after another, and
 *          pushes their rows into the sink. So nothing is handed to another thread, and no driver
 *          waits for the turn of its rows. Where the sink says SM_WAIT the driver waits in its
 *          task, which it may do for I/O.
 * Order    Rows of a part come in order, and part i has the rows between two cuts. What the sink
 *          gets for a part depends on neither threads nor memory. */
#include "exec/exec_memory_int.h"

typedef struct parts_end {
    smi_end end;
    smi_execution *exec;
    const sm_sink *sink;
} parts_end;

/* Waits in the task for what made the sink say SM_WAIT. */
static sm_status wait_for_sink(smi_driver *d, sm_status said, sm_error *e)
{
    SM_ASSERT(said != SM_END); /* a sink of parts takes all rows */
    return said == SM_WAIT ? smi_driver_wait(d, e) : said;
}

static int32_t part_of(const parts_end *p, const smi_driver *d)
{
    const uint64_t ordinal = d->task->ordinal;

    SM_ASSERT(ordinal <= (uint64_t)p->sink->parts->n_cuts);
    return (int32_t)ordinal;
}

static sm_status parts_push(smi_end *end, smi_driver *d, sm_batch *rows, sm_error *e)
{
    const parts_end *p = (parts_end *)end;
    const sm_sink_parts *parts = p->sink->parts;
    sm_progress *progress = p->exec->env->progress;
    sm_status said = SM_WAIT, st = SM_OK;

    while (said == SM_WAIT && st == SM_OK) {
        said = parts->push(p->sink->ctx, part_of(p, d), rows, d->waker, e);
        st = wait_for_sink(d, said, e);
    }
    if (st == SM_OK && progress) {
        atomic_fetch_add_explicit(&progress->rows, rows->n_rows, memory_order_relaxed);
    }
    sm_batch_release(rows);
    return st;
}

static sm_status parts_close(smi_end *end, smi_driver *d, sm_error *e)
{
    const parts_end *p = (parts_end *)end;
    const sm_sink_parts *parts = p->sink->parts;
    sm_status said = SM_WAIT, st = SM_OK;

    while (said == SM_WAIT && st == SM_OK) {
        said = parts->end(p->sink->ctx, part_of(p, d), d->waker, e);
        st = wait_for_sink(d, said, e);
    }
    return st;
}

int smi_parts_at_a_time(const smi_execution *exec, const sm_sink *sink)
{
    const sm_plan_node *node = exec->plan->root;

    while (node->kind == SM_PLAN_PROJECT) {
        node = node->inputs[0];
    }
    if (!sink->parts || node->kind != SM_PLAN_SORT || !smi_range_can(node)) {
        return 1;
    }
    const int64_t most = smi_memory_parts(exec), n = (int64_t)sink->parts->n_cuts + 1;
    const int64_t some = most < n ? most : n;
    return some < exec->n_drivers ? (int)some : exec->n_drivers;
}

smi_end *smi_parts_new(smi_execution *exec, const sm_sink *sink)
{
    parts_end *p = sm_alloc_zero(sizeof(*p));

    p->end = (smi_end){.push = parts_push, .close = parts_close};
    p->exec = exec;
    p->sink = sink;
    return &p->end;
}

void smi_parts_free(smi_end *end)
{
    sm_free((parts_end *)end);
}
