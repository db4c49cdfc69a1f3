/* SPDX-License-Identifier: Apache-2.0
 *
 * store/store_int.h: what a store is inside the room: one sm_store_ops, and what the files share.
 *
 * Layers   stores.c   who opens them, and what they share
 *          store.c    the door: checks keys, counts, waits for slow answers; then calls the ops
 *          fetch.c, upload.c   the same for ranges and uploads, on the threads of io_service.c
 *          local.c, memory_store.c, fault.c   the stores
 * A store embeds sm_store as its first member, its blobs sm_blob, its writers smi_writer. To add
 * one: a file with its ops and an smi_open_fn, and a row in store.c's table of schemes. */
#ifndef SM_STORE_STORE_INT_H
#define SM_STORE_STORE_INT_H

#include "base/thread.h"
#include "store/store.h"

/* What a listing asks for. */
typedef struct smi_listing {
    sm_str prefix; /* "" or ends in '/' */
    sm_str after;  /* only keys greater; "" for all */
    bool delimited;
} smi_listing;

/* A range, and where its bytes go. */
typedef struct smi_read {
    uint64_t off_bytes;
    size_t len;
    void *out;
} smi_read;

/* An object that is being written, one piece after the other. Nobody sees it before finish. */
typedef struct smi_writer {
    sm_store *store; /* borrowed; set by smi_writer_open */
} smi_writer;

#define SMI_REMOVE_MANY 1000

/* The functions block and may be called from any thread; those of one writer one at a time. Keys
 * are valid, prefixes too. They name the cause; the caller in store.c adds the object. */
typedef struct sm_store_ops {
    bool is_network;
    size_t request_bytes; /* reads that lie together are one request of up to so much; 0: each */
    void (*close)(sm_store *s);
    size_t (*inflight_bytes)(const sm_store *s);
    /* NULL: no other program can. */
    sm_status (*access)(sm_store *s, sm_arena *a, sm_store_access *out, sm_error *e);
    sm_status (*list)(sm_store *s, const smi_listing *what, sm_arena *a, sm_entry **out, int64_t *n,
                      sm_error *e);
    sm_status (*stat)(sm_store *s, sm_str key, sm_arena *a, sm_entry *out, sm_error *e);
    sm_status (*get)(sm_store *s, sm_str key, sm_buf *out, sm_error *e); /* NULL: open and read */
    sm_status (*put)(sm_store *s, sm_str key, const void *bytes, size_t n, sm_put_mode mode,
                     sm_error *e);
    /* Does it heed SM_PUT_IF_ABSENT? NULL: it does. */
    sm_status (*check_put)(sm_store *s, sm_error *e);
    sm_status (*remove)(sm_store *s, sm_str key, sm_error *e);
    /* Of at most SMI_REMOVE_MANY; NULL: one by one. */
    sm_status (*remove_many)(sm_store *s, const sm_str *keys, int64_t n, sm_error *e);
    /* SM_UNSUPPORTED: not this one. NULL: by reading and writing it. */
    sm_status (*copy)(sm_store *s, sm_str from, sm_str to, sm_error *e);

    /* Fills in the blob's figures; store.c sets the rest of sm_blob. */
    sm_status (*blob_open)(sm_store *s, sm_str key, sm_blob **out, sm_error *e);
    /* The range is within the object as it was opened. */
    sm_status (*blob_read)(sm_blob *b, uint64_t off_bytes, size_t len, void *out, sm_error *e);
    /* The same without blocking, for stores behind a network (NULL: blob_read on an I/O thread), of
     * n ranges in order that touch or overlap. *state is NULL at first. SM_WAIT: call it again with
     * the same when the waker was called. */
    sm_status (*blob_read_step)(sm_blob *b, const smi_read *reads, int n, sm_waker waker,
                                void **state, sm_error *e);
    void (*read_hasten)(void *state); /* its end, by a failure: the waker is called soon */
    void (*read_free)(void *state); /* of a read that has not ended; nothing is written any more */
    void (*blob_free)(sm_blob *b);  /* what is its own, and b */

    sm_status (*writer_open)(sm_store *s, sm_str key, smi_writer **out, sm_error *e);
    /* The first n bytes of a block; who needs it longer retains it. SM_WAIT: nothing was taken;
     * call it again with the same when the waker was called. */
    sm_status (*writer_write)(smi_writer *w, sm_block *block, size_t n, sm_waker waker,
                              sm_error *e);
    /* Replaces what stands there. SM_WAIT as above. */
    sm_status (*writer_finish)(smi_writer *w, sm_waker waker, sm_error *e);
    void (*writer_free)(smi_writer *w); /* unfinished: leaves nothing behind; may block */

    /* When the answer to a call that has just been carried out is due (sm_monotonic_ns(); 0: now),
     * for a store that plays a slow wire. NULL: always now. Whoever called waits, not the store:
     * so many slow answers overlap without a thread each. */
    int64_t (*due_ns)(sm_store *s, size_t read_bytes, size_t written_bytes);
} sm_store_ops;

/* sm_store_counts, counted by many threads. */
typedef struct smi_counts {
    _Atomic int64_t requests, read_bytes, written_bytes, retries;
} smi_counts;

struct sm_store {
    const sm_store_ops *ops;
    sm_stores *stores; /* that opened it; retained */
    char *uri;         /* ended by NUL, owned */
    size_t uri_len;
    _Atomic int32_t refs;
    smi_counts counts;
};

struct sm_blob {
    sm_store *store; /* retained */
    sm_str uri;      /* ended by NUL, owned */
    uint64_t size_bytes;
    int64_t modified_us;
    bool has_checksum;
    uint32_t checksum; /* see sm_blob_checksum */
    _Atomic int32_t refs;
};

/* ---- who opens stores (stores.c) ------------------------------------------------------------- */

typedef struct smi_io smi_io;
typedef struct smi_connection smi_connection;

/* What the stores of one root share. */
typedef struct smi_shared {
    sm_http *http;                 /* retained */
    sm_mutex lock;                 /* of the rest; each is of one file */
    smi_io *io;                    /* io_service.c; NULL while nobody has joined */
    struct smi_bucket *buckets;    /* memory_store.c */
    struct smi_fault_state *fault; /* fault.c: of the plan that was read last */
    struct smi_safe_bucket *safe;  /* s3.c */
} smi_shared;

struct sm_stores {
    _Atomic int32_t refs;
    sm_stores *parent; /* retained; NULL: the root, which owns what is shared */
    smi_shared *shared;
    smi_counts network; /* of these and those below */

    sm_mutex lock;               /* of the connections and their links */
    smi_connection *connections; /* the newest first (s3_connection.c) */
};

void smi_counts_add(smi_counts *counts, const sm_store_counts *n);
sm_store_counts smi_counts_read(const smi_counts *counts);
/** Counts what went over the network, in those above too. */
void smi_stores_count(sm_stores *s, const sm_store_counts *n);

/* What they have made ends with what is shared, or with the stores. */
void smi_memory_release(smi_shared *shared);
void smi_fault_release(smi_shared *shared);
void smi_safe_buckets_release(smi_shared *shared);
void smi_connections_release(sm_stores *s);

/* ---- stores ---------------------------------------------------------------------------------- */

typedef sm_status (*smi_open_fn)(sm_stores *stores, sm_str uri, sm_store **out, sm_error *e);
sm_status smi_local_open(sm_stores *stores, sm_str uri, sm_store **out, sm_error *e) SM_MUST_USE;
sm_status smi_memory_open(sm_stores *stores, sm_str uri, sm_store **out, sm_error *e) SM_MUST_USE;
sm_status smi_s3_open(sm_stores *stores, sm_str uri, sm_store **out, sm_error *e) SM_MUST_USE;
sm_status smi_web_open(sm_stores *stores, sm_str uri, sm_store **out, sm_error *e) SM_MUST_USE;
/** Wraps *s where SMELT_FAULT says so; SM_USAGE where it cannot be read (then *s stays). */
sm_status smi_fault_from_env(sm_store **s, sm_error *e) SM_MUST_USE;

/** Fills in the head of a new store; retains `stores`, copies the URI without its final '/'. */
void smi_store_init(sm_store *s, sm_stores *stores, const sm_store_ops *ops, sm_str uri);
/** A copy ended by NUL, for sm_free(). */
char *smi_str_dup(sm_str s);
/** "ROOT/key", ended by NUL, for sm_free(). */
sm_str smi_object_uri(const sm_store *s, sm_str key);
/** SM_INVALID where it is none, naming the part. */
sm_status smi_key_check(sm_str key, sm_error *e) SM_MUST_USE;

/** One more attempt of a request that was counted. */
void smi_count_retry(sm_store *s);

/* ---- calls without waiting: counted, the object named in the error --------------------------- */

sm_status smi_list(sm_store *s, const smi_listing *what, sm_arena *a, sm_entry **out, int64_t *n,
                   sm_error *e) SM_MUST_USE;
sm_status smi_stat(sm_store *s, sm_str key, sm_arena *a, sm_entry *out, sm_error *e) SM_MUST_USE;
sm_status smi_get(sm_store *s, sm_str key, sm_buf *out, sm_error *e) SM_MUST_USE;
sm_status smi_put(sm_store *s, sm_str key, const void *bytes, size_t n, sm_put_mode mode,
                  sm_error *e) SM_MUST_USE;
sm_status smi_remove(sm_store *s, sm_str key, sm_error *e) SM_MUST_USE;
sm_status smi_blob_open(sm_store *s, sm_str key, sm_blob **out, sm_error *e) SM_MUST_USE;
sm_status smi_blob_read(sm_blob *b, uint64_t off_bytes, size_t len, void *out,
                        sm_error *e) SM_MUST_USE;
/* As ops->blob_read_step; blocks where the store has no such call, and takes one range then. */
sm_status smi_blob_read_step(sm_blob *b, const smi_read *reads, int n, sm_waker waker, void **state,
                             sm_error *e) SM_MUST_USE;
/* From the first byte of the first range to the end of the last. */
size_t smi_reads_bytes(const smi_read *reads, int n);
sm_status smi_writer_open(sm_store *s, sm_str key, smi_writer **out, sm_error *e) SM_MUST_USE;
sm_status smi_writer_write(smi_writer *w, sm_block *block, size_t n, sm_waker waker,
                           sm_error *e) SM_MUST_USE;
sm_status smi_writer_finish(smi_writer *w, sm_waker waker, sm_error *e) SM_MUST_USE;
void smi_writer_free(smi_writer *w); /* takes NULL */

/** When the answer to the call that was just made is due; 0: now. Once for each call. */
int64_t smi_due_ns(sm_store *s, size_t read_bytes, size_t written_bytes);

/* ---- I/O threads ----------------------------------------------------------------------------- */

#define SMI_AGAIN INT64_MIN

/* Work for an I/O thread, embedded in its owner's struct. */
typedef struct smi_job {
    /* Does the work; returns when it is answered (sm_monotonic_ns(); 0: now), or SMI_AGAIN: it
     * waits for what is not a thread's work, and is run once more after its waker. */
    int64_t (*run)(struct smi_job *j);
    /* Called at that time, on an I/O thread. The service does not touch j any more. */
    void (*done)(struct smi_job *j);
    /* Called by smi_io_cancel for one that waits for its waker, which this has to bring about.
     * NULL where `run` never says SMI_AGAIN, or where that comes soon anyway. */
    void (*hasten)(struct smi_job *j);
    const void *owner; /* for smi_io_cancel */
    /* The service's own: */
    smi_io *io;
    int64_t due_ns;
    bool is_running, is_called; /* by its waker, while it was running */
    bool is_cancelled;
    struct smi_job *prev, *next;
} smi_job;

/** The stores' I/O threads, started for the first who comes, ended with the last who leaves. */
sm_status smi_io_join(sm_stores *stores, smi_io **out, sm_error *e) SM_MUST_USE;
void smi_io_leave(smi_io *io); /* not from a job */
void smi_io_add(smi_io *io, smi_job *j);
/** Runs a job once more that said SMI_AGAIN, or is about to. To be called once each time. */
sm_waker smi_io_waker(smi_job *j);
/** Takes out the owner's jobs that have not begun and those that wait for their time; returns them
 * linked by `next`. For the others, `done` is still called, as soon as they have been run. */
smi_job *smi_io_cancel(smi_io *io, const void *owner);

/* ---- those who wait -------------------------------------------------------------------------- */

/* Wakers, each once. All are called when something has come: a driver that registered and then
 * found its work elsewhere must not swallow the one wake of another that still waits. */
typedef struct smi_waiters {
    sm_waker *items;
    int64_t n, cap;
} smi_waiters;

void smi_waiters_add(smi_waiters *w, sm_waker waker);
/** Moves them out, so that they are called without the lock. */
smi_waiters smi_waiters_take(smi_waiters *w);
/** Calls each and frees the list. */
void smi_waiters_wake(smi_waiters *taken);
void smi_waiters_release(smi_waiters *w);

#endif
