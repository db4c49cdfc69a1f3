/* SPDX-License-Identifier: Apache-2.0
 *
 * table/table_out_parts.c: writes sorted rows into data files, several files at a time.
 *
 * Calls    init; the sink, for one execution; finish where that went well; release, which gives the
 *          files to the smi_out that they are of. By table_rewrite.c.
 * Method   A part of the rows, from one cut to the next, has an smi_out of its own (table_out.c),
 *          which one worker at a time writes into. They share what is settled before the first row,
 *          and the arena of the adds, which they use with a lock. An execution that takes no parts
 *          pushes all rows into the one smi_out.
 * Same     Both ways the same rows go into a file: it ends at a cut at the latest, and between two
 *          cuts it ends by what was written since the first of them. */
#include "table/table_int.h"

static sm_status push_all(void *parts, sm_batch *rows, sm_waker waker, sm_error *e)
{
    const smi_out_parts *p = parts;
    return smi_out_push(p->into, rows, waker, e);
}

static sm_status push_part(void *parts, int32_t i, sm_batch *rows, sm_waker waker, sm_error *e)
{
    const smi_out_parts *p = parts;
    SM_ASSERT(i < p->n);
    return smi_out_push(&p->items[i], rows, waker, e);
}

static sm_status end_part(void *parts, int32_t i, sm_waker waker, sm_error *e)
{
    const smi_out_parts *p = parts;
    SM_ASSERT(i < p->n);
    return smi_out_end(&p->items[i], waker, e);
}

void smi_out_parts_init(smi_out_parts *p, smi_out *into)
{
    const smi_out_sorted *sorted = into->sorted;

    *p = (smi_out_parts){.into = into};
    p->sink = (sm_sink){.ctx = p, .push = push_all};
    sm_mutex_init(&p->lock);
    if (!sorted || sorted->n_cuts == 0) {
        return;
    }
    p->n = sorted->n_cuts + 1;
    p->parts = (sm_sink_parts){
        .cuts = sorted->cuts, .n_cuts = sorted->n_cuts, .push = push_part, .end = end_part};
    p->sink.parts = &p->parts;
    p->items = sm_alloc((size_t)p->n * sizeof(*p->items));
    for (int32_t i = 0; i < p->n; i++) {
        smi_out_fork(into, &p->lock, &p->items[i]);
        p->items[i].n_opened += i; /* a number in names */
    }
}

static sm_status finish_out(smi_out *o, sm_error *e)
{
    sm_status st = SM_OK;
    sm_pause pause;

    sm_pause_init(&pause);
    while ((st = smi_out_finish(o, sm_pause_waker(&pause), e)) == SM_WAIT) {
        sm_pause_wait(&pause);
    }
    sm_pause_release(&pause);
    return st;
}

sm_status smi_out_parts_finish(smi_out_parts *p, sm_error *e)
{
    SM_TRY(finish_out(p->into, e));
    for (int32_t i = 0; i < p->n; i++) {
        SM_TRY(finish_out(&p->items[i], e));
    }
    return SM_OK;
}

void smi_out_parts_release(smi_out_parts *p)
{
    smi_out *into = p->into;

    for (int32_t i = 0; i < p->n; i++) {
        smi_out_join(into, &p->items[i]);
    }
    sm_free(p->items);
    sm_mutex_release(&p->lock);
    *p = (smi_out_parts){0};
}
