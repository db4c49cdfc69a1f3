/* SPDX-License-Identifier: Apache-2.0
 *
 * table/table_each.c: the same for each of many files, several at a time, where each waits for a
 * store more than it works. Called by table_fsck.c, table_convert.c, table_reread.c and
 * table_vacuum.c.
 *
 * The threads are its own, not workers of the pool: nothing may block those. Their number bounds
 * the requests that are under way. A thread that the system refuses is done without. */
#include "table/table_int.h"

#include <stdatomic.h>

typedef struct each {
    int64_t n;
    sm_status (*fn)(void *ctx, int slot, int64_t i, sm_error *e);
    void *ctx;
    sm_budget *budget; /* whose run may be cancelled */
    _Atomic int64_t next;
    atomic_bool has_failed;
} each;

typedef struct slot {
    each *of;
    int number;
    sm_thread *thread; /* NULL: the caller itself */
    int64_t at;        /* the item at which it is, or failed */
    sm_status st;
    sm_error error;
} slot;

static void run_slot(void *ctx)
{
    slot *s = ctx;
    each *of = s->of;

    SM_ASSERT(s->number >= 0 && s->number < SMI_EACH_SLOTS);
    while (!atomic_load_explicit(&of->has_failed, memory_order_relaxed)) {
        s->at = atomic_fetch_add_explicit(&of->next, 1, memory_order_relaxed);
        if (s->at >= of->n) {
            return;
        }
        s->st = sm_check_cancel(of->budget, &s->error);
        s->st = s->st == SM_OK ? of->fn(of->ctx, s->number, s->at, &s->error) : s->st;
        if (s->st != SM_OK) {
            atomic_store_explicit(&of->has_failed, true, memory_order_relaxed);
        }
    }
}

/* The failure of the first item that failed. */
static sm_status first_failure(const slot *all, int n, sm_error *e)
{
    const slot *first = NULL;

    for (int i = 0; i < n; i++) {
        if (all[i].st != SM_OK && (!first || all[i].at < first->at)) {
            first = &all[i];
        }
    }
    if (first && e) {
        *e = first->error;
    }
    return first ? first->st : SM_OK;
}

sm_status smi_each(int64_t n, sm_status (*fn)(void *ctx, int slot, int64_t i, sm_error *e),
                   void *ctx, sm_budget *budget, sm_error *e)
{
    each of = {.n = n, .fn = fn, .ctx = ctx, .budget = budget};
    slot all[SMI_EACH_SLOTS];
    sm_error unused = {0};
    int n_slots = 0;
    bool has_started = true;

    while (has_started) {
        slot *s = &all[n_slots];
        *s = (slot){.of = &of, .number = n_slots++};
        has_started = n_slots < SMI_EACH_SLOTS && n_slots < n &&
                      sm_thread_start(run_slot, s, "files", &s->thread, &unused) == SM_OK;
    }
    SM_ASSERT(n_slots >= 1 && !all[n_slots - 1].thread);
    run_slot(&all[n_slots - 1]);
    for (int i = 0; i < n_slots - 1; i++) {
        sm_thread_join(all[i].thread);
    }
    return first_failure(all, n_slots, e);
}
