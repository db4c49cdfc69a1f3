/* SPDX-License-Identifier: Apache-2.0
 *
 * exec/exec_collect.c: the end that keeps all rows, for operators that must see them all first.
 *
 * Calls    by windows and by the right side of a join.
 * Method   Batches are kept as they come, and sorted by (ordinal, seq) when the pipe has ended.
 *          They are copied, so that the few rows of a filtered scan do not hold the bytes of its
 *          files. Where memory is short a batch goes to the spill instead. */
#include "exec/exec_spill_int.h"

#include <stdlib.h>

/* ---- rows ------------------------------------------------------------------------------------ */

void smi_rows_add(smi_rows *r, const smi_kept *taken)
{
    /* Either in memory or on disk: only one of them is released. */
    SM_ASSERT(taken->n_rows > 0 && !taken->rows != !taken->extent.plain_bytes);
    if (r->n == r->cap) {
        r->cap = r->cap ? r->cap * 2 : 16;
        r->items = sm_realloc(r->items, (size_t)r->cap * sizeof(*r->items));
    }
    r->items[r->n++] = *taken;
    r->n_rows += taken->n_rows;
}

sm_status smi_rows_get(const smi_rows *r, int64_t i, sm_budget *budget, sm_batch **out, sm_error *e)
{
    const smi_kept *k = &r->items[i];
    SM_ASSERT(i >= 0 && i < r->n && (k->rows || (k->extent.plain_bytes > 0 && r->spill)));
    if (k->rows) {
        *out = sm_batch_retain(k->rows);
        return SM_OK;
    }
    return smi_spill_get_batches(r->spill, &k->extent, &r->schema, 1, budget, out, e);
}

void smi_rows_drop(smi_rows *r, int64_t i)
{
    smi_kept *k = &r->items[i];
    sm_batch_release(k->rows);
    k->rows = NULL;
    if (k->extent.plain_bytes > 0) {
        smi_spill_drop(r->spill, &k->extent);
        k->extent = (smi_extent){0};
    }
}

static int by_place(const void *a, const void *b)
{
    const smi_kept *x = a, *y = b;
    if (x->ordinal != y->ordinal) {
        return x->ordinal < y->ordinal ? -1 : 1;
    }
    return x->seq < y->seq ? -1 : x->seq > y->seq;
}

void smi_rows_sort(smi_rows *r)
{
    if (r->n > 1) {
        qsort(r->items, (size_t)r->n, sizeof(*r->items), by_place);
    }
}

sm_status smi_rows_load(smi_rows *r, sm_budget *budget, smi_batches *out, sm_error *e)
{
    sm_status st = SM_OK;
    for (int64_t i = 0; i < r->n && st == SM_OK; i++) {
        sm_batch *rows = NULL;
        st = smi_rows_get(r, i, budget, &rows, e);
        if (st == SM_OK) {
            smi_batches_add(out, rows);
        }
        smi_rows_drop(r, i);
    }
    smi_rows_release(r);
    return st;
}

void smi_rows_release(smi_rows *r)
{
    for (int64_t i = 0; i < r->n; i++) {
        sm_batch_release(r->items[i].rows);
    }
    sm_free(r->items);
    smi_spill_free(r->spill);
    *r = (smi_rows){0};
}

/* ---- the end --------------------------------------------------------------------------------- */

typedef struct collect_end {
    smi_end end;
    smi_execution *exec;
    const sm_plan_node *node;
    sm_budget *budget;
    sm_mutex lock;
    smi_rows rows; /* under the lock; as they came */
} collect_end;

static sm_status spill_of(collect_end *c, smi_spill **out, sm_error *e)
{
    sm_mutex_lock(&c->lock);
    const sm_status st = c->rows.spill ? SM_OK : smi_spill_new(c->exec, c->node, &c->rows.spill, e);
    *out = c->rows.spill;
    sm_mutex_unlock(&c->lock);
    return st;
}

/* Takes rows. */
static sm_status keep_copy(collect_end *c, sm_batch *rows, smi_kept *out, sm_error *e)
{
    smi_spill *spill = NULL;
    sm_status st = SM_OK;
    if (!smi_memory_is_short(c->exec, 0)) {
        st = sm_batch_concat(&rows, 1, true, c->budget, &out->rows, e);
    } else {
        st = spill_of(c, &spill, e);
        st = st == SM_OK ? smi_spill_put_batches(spill, &rows, 1, c->budget, &out->extent, e) : st;
    }
    sm_batch_release(rows);
    return st;
}

static sm_status collect_push(smi_end *end, smi_driver *d, sm_batch *rows, sm_error *e)
{
    collect_end *c = (collect_end *)end;
    smi_kept k = {.n_rows = rows->n_rows, .ordinal = d->task->ordinal, .seq = d->task->seq++};
    SM_TRY(keep_copy(c, rows, &k, e));
    sm_mutex_lock(&c->lock);
    smi_rows_add(&c->rows, &k);
    sm_mutex_unlock(&c->lock);
    return SM_OK;
}

static sm_status collect_close(smi_end *end, smi_driver *d, sm_error *e)
{
    (void)end, (void)d, (void)e;
    return SM_OK;
}

smi_end *smi_collect_new(smi_execution *exec, sm_budget *budget, const sm_plan_node *node,
                         const sm_type *schema)
{
    collect_end *c = sm_alloc_zero(sizeof(*c));
    c->end = (smi_end){.push = collect_push, .close = collect_close, .node = node};
    c->exec = exec;
    c->node = node;
    c->budget = budget;
    c->rows.schema = schema;
    sm_mutex_init(&c->lock);
    return &c->end;
}

void smi_collect_take(smi_end *end, smi_rows *out)
{
    collect_end *c = (collect_end *)end;
    smi_rows_sort(&c->rows);
    *out = c->rows;
    c->rows = (smi_rows){0};
}

void smi_collect_free(smi_end *end)
{
    collect_end *c = (collect_end *)end;
    if (c) {
        smi_rows_release(&c->rows);
        sm_mutex_release(&c->lock);
        sm_free(c);
    }
}
