/* SPDX-License-Identifier: Apache-2.0
 *
 * store/stores.c: sm_stores, which opens stores: what the stores of one engine share, the
 * connections that they use, and their common counts.
 *
 * Tree     A root has the wire, the I/O threads, the buckets in memory and the plan of SMELT_FAULT.
 *          Below it there is one for each run. It shares all of that, has connections of its own,
 *          and adds its counts to those above it.
 * Lives    A store retains the sm_stores that opened it, which retains the one above. So what is
 *          shared ends with the last store. */
#include "store/store_int.h"

sm_stores *sm_stores_new(sm_http *http)
{
    SM_ASSERT(http);
    sm_stores *s = sm_alloc_zero(sizeof(*s));
    smi_shared *shared = sm_alloc_zero(sizeof(*shared));
    shared->http = sm_http_retain(http);
    sm_mutex_init(&shared->lock);
    s->shared = shared;
    sm_mutex_init(&s->lock);
    atomic_init(&s->refs, 1);
    return s;
}

sm_stores *sm_stores_below(sm_stores *parent)
{
    sm_stores *s = sm_alloc_zero(sizeof(*s));
    s->parent = sm_stores_retain(parent);
    s->shared = parent->shared;
    sm_mutex_init(&s->lock);
    atomic_init(&s->refs, 1);
    return s;
}

sm_stores *sm_stores_retain(sm_stores *s)
{
    const int32_t before = atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
    SM_ASSERT(before > 0);
    return s;
}

static void shared_free(smi_shared *shared)
{
    SM_ASSERT(!shared->io);
    smi_memory_release(shared);
    smi_fault_release(shared);
    smi_safe_buckets_release(shared);
    sm_http_release(shared->http);
    sm_mutex_release(&shared->lock);
    sm_free(shared);
}

void sm_stores_release(sm_stores *s)
{
    if (!s) {
        return;
    }
    const int32_t before = atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel);
    SM_ASSERT(before > 0);
    if (before > 1) {
        return;
    }
    sm_stores *parent = s->parent;
    smi_connections_release(s);
    if (!parent) {
        shared_free(s->shared);
    }
    sm_mutex_release(&s->lock);
    sm_free(s);
    sm_stores_release(parent);
}

sm_status sm_stores_http(sm_stores *s, sm_http **out, sm_error *e)
{
    SM_TRY(sm_http_start(s->shared->http, e));
    *out = s->shared->http;
    return SM_OK;
}

/* ---- counts ---------------------------------------------------------------------------------- */

void smi_counts_add(smi_counts *counts, const sm_store_counts *n)
{
    SM_ASSERT(n->requests >= 0 && n->read_bytes >= 0 && n->written_bytes >= 0 && n->retries >= 0);
    atomic_fetch_add_explicit(&counts->requests, n->requests, memory_order_relaxed);
    atomic_fetch_add_explicit(&counts->read_bytes, n->read_bytes, memory_order_relaxed);
    atomic_fetch_add_explicit(&counts->written_bytes, n->written_bytes, memory_order_relaxed);
    atomic_fetch_add_explicit(&counts->retries, n->retries, memory_order_relaxed);
}

sm_store_counts smi_counts_read(const smi_counts *counts)
{
    smi_counts *c = (smi_counts *)counts; /* C17's atomic loads do not take a pointer to const */
    return (sm_store_counts){
        .requests = atomic_load_explicit(&c->requests, memory_order_relaxed),
        .read_bytes = atomic_load_explicit(&c->read_bytes, memory_order_relaxed),
        .written_bytes = atomic_load_explicit(&c->written_bytes, memory_order_relaxed),
        .retries = atomic_load_explicit(&c->retries, memory_order_relaxed),
    };
}

void smi_stores_count(sm_stores *s, const sm_store_counts *n)
{
    for (; s; s = s->parent) {
        smi_counts_add(&s->network, n);
    }
}

sm_store_counts sm_stores_network_count(const sm_stores *s)
{
    return smi_counts_read(&s->network);
}
