/* SPDX-License-Identifier: Apache-2.0
 *
 * store/fetch.c: opens blobs, reads ranges of them, and returns both in the order in which they
 * arrive.
 *
 * Calls    sm_fetch_new, sm_fetch_open for each object, sm_fetch_request for each range,
 *          sm_fetch_next (or _wait) until SM_END, further requests at any time, sm_fetch_free.
 * Method   A request takes its block from the budget and becomes a job. An I/O thread reads the
 *          range, or sends a request to the network and is called again when the response has come.
 *          The finished job is appended to `arrived` and wakes all waiters; the first that comes
 *          takes it. A failure goes the same way.
 * Groups   If a store prefers large requests, adjacent reads of a blob are kept until the caller
 *          asks for a range. Then they become one job, that of the first read; the others are
 *          linked to it.
 * Wakes    A waiter registers under the lock under which ranges arrive, so no wake is lost. A job
 *          counts as flying until its wakes are done. sm_fetch_free() waits for that, so no waker
 *          is called after it has returned. */
#include "base/memory.h"
#include "store/store_int.h"

/* A read, or the opening of an object (`store` is set). */
typedef struct read_job {
    smi_job job; /* first, so that a pointer to the job is one to the read */
    struct sm_fetch *fetch;
    sm_range_read range; /* of an opening its tag alone, and the blob when it has come */
    sm_block *block;     /* of the range, or the tail */
    sm_store *store;     /* retained; of the object that is opened */
    smi_opening opening; /* owns its key */
    void *state;         /* the store's, of a read that waits for the network; else NULL */
    sm_status status;
    sm_error *error;       /* set if the read has failed */
    struct read_job *next; /* in its group, or in `unsent`, or in `arrived` */
} read_job;

#define GROUP_MAX 64

typedef struct read_list {
    read_job *first, *last;
} read_list;

struct sm_fetch {
    sm_stores *stores; /* retained: the I/O threads are theirs */
    sm_budget *budget;
    smi_io *io;

    sm_mutex lock;    /* guards all below */
    sm_cond arrival;  /* a read arrived, or none is outstanding any more */
    sm_cond landed;   /* n_flying is 0 */
    read_list unsent; /* requested, but not given to the I/O threads yet */
    read_list arrived;
    int64_t n_outstanding; /* reads that were requested and not returned yet */
    int64_t n_flying;      /* jobs that were given to the I/O threads and have not ended */
    bool is_closing;
    smi_waiters waiters;
};

sm_status sm_fetch_new(sm_stores *stores, sm_budget *budget, sm_fetch **out, sm_error *e)
{
    smi_io *io = NULL;
    SM_TRY(smi_io_join(stores, &io, e));
    sm_fetch *f = sm_alloc_zero(sizeof(*f));
    f->stores = sm_stores_retain(stores);
    f->budget = budget;
    f->io = io;
    sm_mutex_init(&f->lock);
    sm_cond_init(&f->arrival);
    sm_cond_init(&f->landed);
    *out = f;
    return SM_OK;
}

static void append_read(read_list *l, read_job *r)
{
    SM_ASSERT((l->first == NULL) == (l->last == NULL));
    r->next = NULL;
    *(l->last ? &l->last->next : &l->first) = r;
    l->last = r;
}

static read_job *take_first_read(read_list *l)
{
    read_job *r = l->first;
    if (r) {
        SM_ASSERT((r == l->last) == (r->next == NULL));
        l->first = r->next;
        l->last = l->first ? l->last : NULL;
    }
    return r;
}

static void read_free(read_job *r)
{
    if (r->state && r->store) {
        r->store->ops->open_free(r->state);
    } else if (r->state) {
        r->range.blob->store->ops->read_free(r->state);
    }
    sm_block_release(r->block);
    sm_blob_close(r->range.blob);
    sm_free((char *)r->opening.key.data);
    sm_store_release(r->store);
    sm_free(r->error);
    sm_free(r);
}

static void chain_free(read_job *first)
{
    for (read_job *r = first, *next; r; r = next) {
        next = r->next;
        read_free(r);
    }
}

void sm_fetch_free(sm_fetch *f)
{
    if (!f) {
        return;
    }
    sm_mutex_lock(&f->lock);
    SM_ASSERT(!f->is_closing);
    f->is_closing = true;
    smi_waiters_release(&f->waiters); /* nobody is woken from now on */
    sm_mutex_unlock(&f->lock);

    smi_job *cancelled = smi_io_cancel(f->io, f);
    sm_mutex_lock(&f->lock);
    while (cancelled) {
        smi_job *next = cancelled->next;
        chain_free((read_job *)cancelled);
        SM_ASSERT(f->n_flying > 0);
        f->n_flying--;
        cancelled = next;
    }
    while (f->n_flying > 0) {
        sm_cond_wait(&f->landed, &f->lock);
    }
    sm_mutex_unlock(&f->lock);

    chain_free(f->unsent.first);
    chain_free(f->arrived.first);
    smi_io_leave(f->io);
    sm_stores_release(f->stores);
    smi_waiters_release(&f->waiters);
    sm_cond_release(&f->landed);
    sm_cond_release(&f->arrival);
    sm_mutex_release(&f->lock);
    sm_free(f);
}

/* ---- on an I/O thread ------------------------------------------------------------------------ */

static bool is_closing(sm_fetch *f)
{
    sm_mutex_lock(&f->lock);
    const bool closing = f->is_closing;
    sm_mutex_unlock(&f->lock);
    return closing;
}

/* Notes what a job ended with. */
static void set_status(read_job *r, sm_status st, const sm_error *failure)
{
    r->status = st;
    if (st != SM_OK) {
        r->error = sm_alloc(sizeof(*failure));
        *r->error = *failure;
    }
}

static int64_t run_opening(smi_job *j)
{
    read_job *r = (read_job *)j;
    sm_error failure = {0};
    if (is_closing(r->fetch)) {
        return 0;
    }
    const sm_status st = smi_blob_open_step(r->store, &r->opening, smi_io_waker(j), &r->state,
                                            &r->range.blob, &failure);
    if (st == SM_WAIT) {
        return SMI_AGAIN;
    }
    set_status(r, st, &failure);
    return smi_due_ns(r->store, st == SM_OK ? r->range.blob->tail_len : 0, 0);
}

static int64_t run_read(smi_job *j)
{
    read_job *r = (read_job *)j;
    sm_error failure = {0};
    if (is_closing(r->fetch)) {
        return 0;
    }
    smi_read reads[GROUP_MAX];
    int n = 0;
    for (const read_job *member = r; member; member = member->next) {
        SM_ASSERT(n < GROUP_MAX && member->range.blob == r->range.blob);
        SM_ASSERT(member->block->size_bytes >= member->range.len);
        reads[n++] = (smi_read){.off_bytes = member->range.off_bytes,
                                .len = member->range.len,
                                .out = member->block->data};
    }
    const sm_status st =
        smi_blob_read_step(r->range.blob, reads, n, smi_io_waker(j), &r->state, &failure);
    if (st == SM_WAIT) {
        return SMI_AGAIN;
    }
    for (read_job *member = r; member; member = member->next) {
        set_status(member, st, &failure);
    }
    return smi_due_ns(r->range.blob->store, st == SM_OK ? smi_reads_bytes(reads, n) : 0, 0);
}

static void hasten_read(smi_job *j)
{
    read_job *r = (read_job *)j;
    SM_ASSERT(r->state); /* only one that waits for the network is hastened */
    if (r->store) {
        r->store->ops->open_hasten(r->state);
    } else {
        r->range.blob->store->ops->read_hasten(r->state);
    }
}

/* A read, and those that are linked to it, have arrived. */
static void arrive(sm_fetch *f, read_job *r)
{
    sm_mutex_lock(&f->lock);
    for (read_job *member = r, *next; member; member = next) {
        next = member->next;
        append_read(&f->arrived, member);
    }
    smi_waiters woken = smi_waiters_take(&f->waiters);
    sm_cond_broadcast(&f->arrival);
    sm_mutex_unlock(&f->lock);
    smi_waiters_wake(&woken);
}

static void end_read_job(smi_job *j)
{
    read_job *r = (read_job *)j;
    sm_fetch *f = r->fetch;

    arrive(f, r);
    sm_mutex_lock(&f->lock);
    SM_ASSERT(f->n_flying > 0);
    if (--f->n_flying == 0) {
        sm_cond_broadcast(&f->landed);
    }
    sm_mutex_unlock(&f->lock);
}

/* ---- the caller's side ----------------------------------------------------------------------- */

sm_status sm_fetch_request(sm_fetch *f, const sm_range_read *range, sm_error *e)
{
    sm_block *block = NULL;
    /* The blob's store runs on the I/O threads that this fetch has joined. */
    SM_ASSERT(range->blob->store->stores->shared == f->stores->shared);
    sm_block *slice = smi_blob_slice(range->blob, range->off_bytes, range->len);
    block = slice;
    SM_TRY(slice ? SM_OK : sm_block_new(f->budget, range->len, &block, e));
    read_job *r = sm_alloc_zero(sizeof(*r));
    r->job = (smi_job){.run = run_read, .done = end_read_job, .hasten = hasten_read, .owner = f};
    r->fetch = f;
    r->range = *range;
    r->block = block;
    sm_blob_retain(range->blob);

    const bool waits = !slice && sm_store_request_bytes(range->blob->store) > 0;
    sm_mutex_lock(&f->lock);
    SM_ASSERT(!f->is_closing);
    f->n_outstanding++;
    f->n_flying += waits || slice ? 0 : 1;
    if (waits) {
        append_read(&f->unsent, r);
    }
    sm_mutex_unlock(&f->lock);
    if (slice) {
        arrive(f, r);
    } else if (!waits) {
        smi_io_add(f->io, &r->job);
    }
    return SM_OK;
}

sm_status sm_fetch_open(sm_fetch *f, const sm_fetch_opening *o, sm_error *e)
{
    const size_t most = o->size_bytes < SIZE_MAX ? (size_t)o->size_bytes : SIZE_MAX;
    const size_t tail_len = o->tail_bytes < most ? o->tail_bytes : most;
    sm_block *tail = NULL;

    SM_ASSERT(o->store->stores->shared == f->stores->shared);
    SM_TRY(smi_key_check(o->key, e));
    SM_TRY(tail_len > 0 ? sm_block_new(f->budget, tail_len, &tail, e) : SM_OK);
    read_job *r = sm_alloc_zero(sizeof(*r));
    r->job = (smi_job){.run = run_opening, .done = end_read_job, .hasten = hasten_read, .owner = f};
    r->fetch = f;
    r->range.tag = o->tag;
    r->block = tail;
    r->store = sm_store_retain(o->store);
    r->opening = (smi_opening){.key = {smi_str_dup(o->key), o->key.len},
                               .size_bytes = o->size_bytes,
                               .tail = tail,
                               .tail_len = tail_len};
    sm_mutex_lock(&f->lock);
    SM_ASSERT(!f->is_closing);
    f->n_outstanding++;
    f->n_flying++;
    sm_mutex_unlock(&f->lock);
    smi_io_add(f->io, &r->job);
    return SM_OK;
}

/* Can a read be added to the request that begins with `first` and reaches up to `end`? */
static bool fits_group(const read_job *first, uint64_t end, const read_job *r)
{
    const uint64_t from = first->range.off_bytes;
    const uint64_t most = sm_store_request_bytes(first->range.blob->store);
    return r->range.blob == first->range.blob && r->range.off_bytes >= from &&
           r->range.off_bytes <= end && r->range.off_bytes < from + most;
}

/* Takes the next group out of `unsent`. With the lock held. */
static read_job *take_group(sm_fetch *f)
{
    read_list group = {0};
    uint64_t end = 0;
    for (int n = 0; n < GROUP_MAX && f->unsent.first; n++) {
        read_job *r = f->unsent.first;
        if (group.first && !fits_group(group.first, end, r)) {
            break;
        }
        append_read(&group, take_first_read(&f->unsent));
        const uint64_t read_end = r->range.off_bytes + r->range.len;
        end = read_end > end ? read_end : end;
    }
    return group.first;
}

/* Gives the unsent reads to the I/O threads. With the lock held, which it gives up for each call.
 * */
static void send_reads(sm_fetch *f)
{
    for (read_job *first; (first = take_group(f));) {
        f->n_flying++;
        sm_mutex_unlock(&f->lock);
        smi_io_add(f->io, &first->job);
        sm_mutex_lock(&f->lock);
    }
}

void sm_fetch_send(sm_fetch *f)
{
    sm_mutex_lock(&f->lock);
    send_reads(f);
    sm_mutex_unlock(&f->lock);
}

/* Takes the first read that has arrived; NULL if none has. With the lock held. */
static read_job *take_arrived(sm_fetch *f)
{
    read_job *r = take_first_read(&f->arrived);
    SM_ASSERT(!r || f->n_outstanding > 0);
    f->n_outstanding -= r != NULL;
    return r;
}

static sm_status return_read(read_job *r, sm_fetched *out, sm_error *e)
{
    const sm_status st = r->status;
    SM_ASSERT((st == SM_OK) == (r->error == NULL));
    *out = (sm_fetched){.tag = r->range.tag};
    if (st == SM_OK && r->store) {
        out->blob = r->range.blob;
        r->range.blob = NULL;
    } else if (st == SM_OK) {
        out->block = r->block;
        out->len = r->range.len;
        r->block = NULL;
    } else if (e) {
        *e = *r->error;
    }
    read_free(r);
    return st;
}

/* Unlocks; wakes all waiters if there is nothing left to wait for. */
static void unlock_and_wake_at_end(sm_fetch *f)
{
    smi_waiters woken = {0};
    if (f->n_outstanding == 0) {
        woken = smi_waiters_take(&f->waiters);
        sm_cond_broadcast(&f->arrival);
    }
    sm_mutex_unlock(&f->lock);
    smi_waiters_wake(&woken);
}

sm_status sm_fetch_next(sm_fetch *f, sm_waker waker, sm_fetched *out, sm_error *e)
{
    sm_mutex_lock(&f->lock);
    send_reads(f);
    read_job *r = take_arrived(f);
    if (!r) {
        const sm_status st = f->n_outstanding == 0 ? SM_END : SM_WAIT;
        if (st == SM_WAIT) {
            smi_waiters_add(&f->waiters, waker);
        }
        sm_mutex_unlock(&f->lock);
        return st;
    }
    unlock_and_wake_at_end(f);
    return return_read(r, out, e);
}

sm_status sm_fetch_wait(sm_fetch *f, sm_fetched *out, sm_error *e)
{
    sm_mutex_lock(&f->lock);
    send_reads(f);
    read_job *r = NULL;
    while (!(r = take_arrived(f)) && f->n_outstanding > 0) {
        sm_cond_wait(&f->arrival, &f->lock);
    }
    if (!r) {
        sm_mutex_unlock(&f->lock);
        return SM_END;
    }
    unlock_and_wake_at_end(f);
    return return_read(r, out, e);
}
