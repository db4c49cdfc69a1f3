/* SPDX-License-Identifier: Apache-2.0
 *
 * store/store_int.h: what a store is inside the room: one sm_store_ops, and what the files share.
 *
 * Layers   stores.c             opens stores and keeps what they share
 *          store.c              the door: checks keys, counts, waits for slow responses, calls ops
 *          fetch.c, upload.c    the same for ranges and uploads, on the threads of io_service.c
 *          local.c, s3.c, memory_store.c, fault.c   the stores
 * A store embeds sm_store as its first member, its blobs sm_blob, its writers smi_writer. To add a
 * store, write a file with its ops and a smi_open_fn, and add a row to the table of schemes in
 * store.c. */
#ifndef SM_STORE_STORE_INT_H
#define SM_STORE_STORE_INT_H

#include "base/thread.h"
#include "store/store.h"

/* What a listing asks for. */
typedef struct smi_listing {
    sm_str prefix; /* "" or ends in '/' */
    sm_str after;  /* only keys greater; "" for all */
    bool delimited;
    bool
        is_own; /* temporary files too; no symbolic links. Means nothing to stores without either */
    bool is_left; /* is_own: only temporary files */
} smi_listing;

/* How the names of temporary files begin. */
#define SMI_TEMPORARY ".smelt-tmp-"
/** Is the object's name one of a temporary file? */
bool smi_is_temporary(sm_str key);

/* A range, and where its bytes go. */
typedef struct smi_read {
    uint64_t off_bytes;
    size_t len;
    void *out;
} smi_read;

/* An object that is to be opened, and how much of its end is wanted with it. */
typedef struct smi_opening {
    sm_str key;
    uint64_t size_bytes; /* of the object, as far as the caller knows */
    sm_block *tail;      /* where its last tail_len bytes go; NULL: none are wanted */
    size_t tail_len;     /* at most size_bytes */
} smi_opening;

/* An object that is being written, one piece after the other. Nobody sees it before finish. */
typedef struct smi_writer {
    sm_store *store; /* borrowed; set by smi_writer_open */
} smi_writer;

#define SMI_REMOVE_MANY 1000

/* The functions may block, and may be called from any thread; those of one writer one at a time.
 * Keys and prefixes are valid. An error has the cause; the caller in store.c adds the object. */
typedef struct sm_store_ops {
    bool is_network;
    bool (*is_far)(const sm_store *s); /* NULL: is_network */
    size_t request_bytes; /* adjacent reads become a request of up to so much; 0: one each */
    void (*close)(sm_store *s);
    size_t (*inflight_bytes)(const sm_store *s);
    /* How another program reaches it. NULL: it cannot. */
    sm_status (*access)(sm_store *s, sm_arena *a, sm_store_access *out, sm_error *e);
    sm_status (*list)(sm_store *s, const smi_listing *what, sm_arena *a, sm_entry **out, int64_t *n,
                      sm_error *e);
    sm_status (*stat)(sm_store *s, sm_str key, sm_arena *a, sm_entry *out, sm_error *e);
    sm_status (*get)(sm_store *s, sm_str key, sm_buf *out, sm_error *e); /* NULL: open and read */
    sm_status (*put)(sm_store *s, sm_str key, const void *bytes, size_t n, sm_put_mode mode,
                     sm_error *e);
    /* Does it honour SM_PUT_IF_ABSENT? NULL: it does. */
    sm_status (*check_put)(sm_store *s, sm_error *e);
    sm_status (*remove)(sm_store *s, sm_str key, sm_error *e);
    /* At most SMI_REMOVE_MANY keys. NULL: removes one by one. */
    sm_status (*remove_many)(sm_store *s, const sm_str *keys, int64_t n, sm_error *e);
    /* NULL, or SM_UNSUPPORTED for this object: the caller copies by reading and writing. */
    sm_status (*copy)(sm_store *s, sm_str from, sm_str to, sm_error *e);

    /* Fills in the blob's figures; store.c sets the rest of sm_blob. */
    sm_status (*blob_open)(sm_store *s, sm_str key, sm_blob **out, sm_error *e);
    /* The same without blocking (NULL: blob_open is called on an I/O thread), as blob_read_step.
     * It may read the tail with it, and then sets tail_len and retains the block as tail. */
    sm_status (*blob_open_step)(sm_store *s, const smi_opening *want, sm_waker waker, void **state,
                                sm_blob **out, sm_error *e);
    void (*open_hasten)(void *state); /* makes the opening fail soon; its waker is called then */
    void (*open_free)(void *state);   /* ends an opening; its tail is not written any more */
    /* The range is within the object as it was opened. */
    sm_status (*blob_read)(sm_blob *b, uint64_t off_bytes, size_t len, void *out, sm_error *e);
    /* The same without blocking, for stores behind a network (NULL: blob_read is called on an I/O
     * thread). Reads n ranges, sorted by offset, without gaps between them. *state is NULL in the
     * first call and after the last. SM_WAIT: call it again with the same arguments after the
     * waker. */
    sm_status (*blob_read_step)(sm_blob *b, const smi_read *reads, int n, sm_waker waker,
                                void **state, sm_error *e);
    void (*read_hasten)(void *state); /* makes the read fail soon; its waker is called then */
    void (*read_free)(void *state);   /* ends a read; its ranges are not written any more */
    void (*blob_free)(sm_blob *b);    /* frees b and what only this store keeps in it */

    sm_status (*writer_open)(sm_store *s, sm_str key, smi_writer **out, sm_error *e);
    /* Writes the first n bytes of a block, which it retains if it needs it longer. SM_WAIT: nothing
     * was taken; call it again with the same arguments after the waker. */
    sm_status (*writer_write)(smi_writer *w, sm_block *block, size_t n, sm_waker waker,
                              sm_error *e);
    /* Completes the object, replacing another of that key. SM_WAIT as above. */
    sm_status (*writer_finish)(smi_writer *w, sm_waker waker, sm_error *e);
    void (*writer_free)(smi_writer *w); /* drops an unfinished object; may block */

    /* When the response to the call that was just carried out is due (sm_monotonic_ns(); 0: now),
     * for a store that simulates a slow line. NULL: always now. The caller waits, not the store, so
     * that many slow responses overlap without a thread for each. */
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
    sm_block *tail;    /* its last tail_len bytes, if they came when it was opened; retained */
    size_t tail_len;
    _Atomic int32_t refs;
};

/* ---- what opens stores (stores.c) ------------------------------------------------------------ */

typedef struct smi_io smi_io;
typedef struct smi_connection smi_connection;

/* What the stores of one root share. */
typedef struct smi_shared {
    sm_http *http;                 /* retained */
    sm_mutex lock;                 /* guards the rest; each member is used by one file only */
    smi_io *io;                    /* io_service.c; NULL while there is no fetch or upload */
    struct smi_bucket *buckets;    /* memory_store.c */
    struct smi_fault_state *fault; /* fault.c: state of the plan that was read last */
    struct smi_safe_bucket *safe;  /* s3.c */
} smi_shared;

struct sm_stores {
    _Atomic int32_t refs;
    sm_stores *parent; /* retained; NULL: the root, which owns what is shared */
    smi_shared *shared;
    smi_counts network; /* what its stores and those of the ones below did over the network */

    sm_mutex lock;               /* guards the list of connections */
    smi_connection *connections; /* the newest first (s3_connection.c) */
};

void smi_counts_add(smi_counts *counts, const sm_store_counts *n);
sm_store_counts smi_counts_read(const smi_counts *counts);
/** Adds to the network counts of s and of all above it. */
void smi_stores_count(sm_stores *s, const sm_store_counts *n);

/* Each file frees what it has put into smi_shared or sm_stores. */
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
/** Wraps *s if SMELT_FAULT is set; SM_USAGE if it cannot be read (*s is unchanged then). */
sm_status smi_fault_from_env(sm_store **s, sm_error *e) SM_MUST_USE;

/** Fills in the head of a new store; retains `stores`, copies the URI without its final '/'. */
void smi_store_init(sm_store *s, sm_stores *stores, const sm_store_ops *ops, sm_str uri);
/** A copy ended by NUL, for sm_free(). */
char *smi_str_dup(sm_str s);
/** "ROOT/key", ended by NUL, for sm_free(). */
sm_str smi_object_uri(const sm_store *s, sm_str key);
/** Is it a key? SM_INVALID if not, naming the part that is wrong. */
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
/* ops->blob_open_step. If the store has none, it blocks and brings no tail. */
sm_status smi_blob_open_step(sm_store *s, const smi_opening *want, sm_waker waker, void **state,
                             sm_blob **out, sm_error *e) SM_MUST_USE;
sm_status smi_blob_read(sm_blob *b, uint64_t off_bytes, size_t len, void *out,
                        sm_error *e) SM_MUST_USE;
/** A range that came when the object was opened, as a block of its own; NULL where it did not. */
sm_block *smi_blob_slice(const sm_blob *b, uint64_t off_bytes, size_t len);
/* ops->blob_read_step. If the store has none, n must be 1, and it blocks. */
sm_status smi_blob_read_step(sm_blob *b, const smi_read *reads, int n, sm_waker waker, void **state,
                             sm_error *e) SM_MUST_USE;
/* The bytes from the start of the first range to the largest end. */
size_t smi_reads_bytes(const smi_read *reads, int n);
sm_status smi_writer_open(sm_store *s, sm_str key, smi_writer **out, sm_error *e) SM_MUST_USE;
sm_status smi_writer_write(smi_writer *w, sm_block *block, size_t n, sm_waker waker,
                           sm_error *e) SM_MUST_USE;
sm_status smi_writer_finish(smi_writer *w, sm_waker waker, sm_error *e) SM_MUST_USE;
void smi_writer_free(smi_writer *w); /* takes NULL */

/** When the response to the call that was just made is due; 0: now. To be called once a call. */
int64_t smi_due_ns(sm_store *s, size_t read_bytes, size_t written_bytes);

/* ---- I/O threads ----------------------------------------------------------------------------- */

#define SMI_AGAIN INT64_MIN

/* Work for an I/O thread, embedded in its owner's struct. */
typedef struct smi_job {
    /* Does the work. Returns when its response is due (sm_monotonic_ns(); 0: now), or SMI_AGAIN if
     * it waits for the network: it is run once more after its waker was called. */
    int64_t (*run)(struct smi_job *j);
    /* Called when the response is due, on an I/O thread. The service does not touch j any more. */
    void (*done)(struct smi_job *j);
    /* Called by smi_io_cancel() for a job that waits for its waker; it makes that come soon. NULL
     * if `run` never returns SMI_AGAIN, or if the waker comes soon anyway. */
    void (*hasten)(struct smi_job *j);
    const void *owner; /* for smi_io_cancel */
    /* Private to the service: */
    smi_io *io;
    int64_t due_ns;
    bool is_running, is_called; /* is_called: its waker was called while it was running */
    bool is_cancelled;
    struct smi_job *prev, *next;
} smi_job;

/** Joins the I/O threads of these stores; the first join starts them, the last leave ends them. */
sm_status smi_io_join(sm_stores *stores, smi_io **out, sm_error *e) SM_MUST_USE;
void smi_io_leave(smi_io *io); /* not from within a job */
void smi_io_add(smi_io *io, smi_job *j);
/** The waker of a job that returns SMI_AGAIN. It must be called once for each time (asserted); it
 * may be called before `run` has returned. */
sm_waker smi_io_waker(smi_job *j);
/** Cancels the owner's jobs. Those that have not begun and those that are parked are returned,
 * linked by `next`. The others end as soon as they can, and `done` is still called for them. */
smi_job *smi_io_cancel(smi_io *io, const void *owner);

/* ---- waiters --------------------------------------------------------------------------------- */

/* A set of wakers. All are called when something has arrived: if only one were called, it could be
 * that of a driver that has found other work, while another driver still waits. */
typedef struct smi_waiters {
    sm_waker *items;
    int64_t n, cap;
} smi_waiters;

void smi_waiters_add(smi_waiters *w, sm_waker waker);
/** Empties *w and returns its content, so that the wakers can be called without the lock. */
smi_waiters smi_waiters_take(smi_waiters *w);
/** Calls each and frees the list. */
void smi_waiters_wake(smi_waiters *taken);
void smi_waiters_release(smi_waiters *w);

#endif
