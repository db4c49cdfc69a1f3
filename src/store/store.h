/* SPDX-License-Identifier: Apache-2.0
 *
 * store/store.h: the store room's door. Bytes by name: on disk, in memory (tests), behind a
 * wrapper that fails, delays and tears (tests); S3 is one more sm_store_ops. Needs: base, net.
 *
 * A store is one root: a directory or a bucket with a prefix. A *key* is a name below it: parts
 * joined by '/', never empty, never "." or ".." (SM_INVALID), any other bytes. Objects appear whole
 * or not at all and do not change while they are read; a *blob* is one that is open for reading.
 *
 * Never looks inside the bytes. Two ways to move them:
 *   plain calls   block the caller; for small things (a Delta commit, a footer, a listing)
 *   fetch, upload never block a worker: work is queued, workers come back by waker
 * Nothing here belongs to the process: stores are opened by an sm_stores, and share what it has.
 * Threads: every function may be called from any thread unless it says otherwise. */
#ifndef SM_STORE_STORE_H
#define SM_STORE_STORE_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/log.h"
#include "base/pool.h"
#include "net/net.h"

typedef struct sm_stores sm_stores; /* counted */
typedef struct sm_store sm_store;   /* counted */
typedef struct sm_blob sm_blob;     /* counted */

/* ---- who opens stores ------------------------------------------------------------------------ */

/**
 * Makes those of an engine, or of a test. Their stores share the wire, two I/O threads (there while
 * a fetch or an upload is), what is in memory (`memory://`) and the count of SMELT_FAULT; those of
 * another sm_stores_new share nothing with them. Settings of S3 come from the environment.
 *
 * Owner     the caller's, sm_stores_release() it; retains `http`, which is started for the first
 *           store behind a network
 * Threads   any, of this and all that follow
 */
sm_stores *sm_stores_new(sm_http *http);
/** Makes those of one run: they share what `parent` shares, but have connections and counts of
 * their own; what is counted here is counted in `parent` too. Retains it. */
sm_stores *sm_stores_below(sm_stores *parent);
sm_stores *sm_stores_retain(sm_stores *s);
/** Open stores retain those that opened them. Takes NULL. */
void sm_stores_release(sm_stores *s);

/**
 * Gives a bucket of S3 another place and other keys than the environment's, for stores that are
 * opened from now on here or below; of two connections of one bucket the nearer one holds.
 *
 * Shape     `settings` by the names that AWS tools give them ("AWS_REGION"); what they leave out
 *           comes from the environment, if it is neither about the place nor, where they have keys
 *           or a profile, about keys. Of `uri` the bucket counts; `name` is for messages
 * Owner     copies all; ends with `s` and the last store that has it
 * Errors    SM_EXISTS where the bucket has a connection of another name here
 */
sm_status sm_stores_connect(sm_stores *s, sm_str uri, sm_str name, const sm_pair *settings,
                            int32_t n, sm_error *e) SM_MUST_USE;
/** The wire, started, for requests that are no store's; good as long as `s`. SM_UNSUPPORTED where
 * libcurl is not there. */
sm_status sm_stores_http(sm_stores *s, sm_http **out, sm_error *e) SM_MUST_USE;

/* ---- opening --------------------------------------------------------------------------------- */

/**
 * Opens the store that a URI names: a path, `file://…`, `memory://name`, `s3://bucket/…`,
 * `https://…`. Makes nothing: a local root need not exist yet (reads say NOT_FOUND, the first put
 * makes it).
 *
 * Owner     the caller's, sm_store_release() it; retains `stores`
 * Errors    SM_UNSUPPORTED for another scheme, naming those there are; SM_INVALID
 */
sm_status sm_store_open(sm_stores *stores, sm_str uri, sm_store **out, sm_error *e) SM_MUST_USE;
sm_store *sm_store_retain(sm_store *s);
void sm_store_release(sm_store *s); /* takes NULL */

/** Those that opened it, for who opens one beside it. Borrowed, as long as `s`. */
sm_stores *sm_store_opener(const sm_store *s);

/** The root as users name it, without a final '/': "/data/lake", "s3://bucket/lake". */
sm_str sm_store_uri(const sm_store *s);
/** "ROOT/key", for messages and for file columns. */
sm_str sm_store_uri_of(const sm_store *s, sm_str key, sm_arena *a);
/** Where operators are told of what went wrong with it and was passed over: the log of the wire. */
const sm_logger *sm_store_log(const sm_store *s);
/** The root by one name, however the user wrote it and wherever the process runs: local ones as
 * "/data/lake", from the root of the tree, without "." and "..". */
sm_str sm_store_place(const sm_store *s, sm_arena *a);
/** Splits a URI at its last '/': the folder's URI and the name ("." where there is no '/'). */
void sm_uri_split(sm_str uri, sm_str *folder, sm_str *name);

/** Local stores answer in microseconds, remote ones in tens of milliseconds: how many bytes should
 * be in flight so that the wire stays full. */
size_t sm_store_inflight_bytes(const sm_store *s);
/** Ranges that lie together are best asked for in groups of so much, for they become one request;
 * 0: it makes no difference. */
size_t sm_store_request_bytes(const sm_store *s);

/* How another program reaches a store's objects itself. In the arena. */
typedef struct sm_store_access {
    sm_str url;            /* "http://host:9000/bucket/prefix" */
    sm_str key_id, secret; /* the secret goes nowhere but to that program */
    sm_str source;         /* of the keys: "the environment", "the profile default" */
    sm_str region;
    bool is_anonymous;
    bool is_temporary; /* the keys expire */
} sm_store_access;
/** SM_UNSUPPORTED where only this process, or only this machine, reaches it. */
sm_status sm_store_access_of(sm_store *s, sm_arena *a, sm_store_access *out,
                             sm_error *e) SM_MUST_USE;

/* ---- objects --------------------------------------------------------------------------------- */

typedef struct sm_entry {
    sm_str key;
    uint64_t size_bytes;
    int64_t modified_us; /* wall clock */
    int64_t changed_us;  /* of its inode too, by rename or chmod; 0 where the store does not say */
    uint64_t inode;      /* 0 where it has none */
    sm_str etag;         /* "" where the store has none */
    bool is_folder;      /* only listed with `delimited`; its key ends in '/' */
    bool is_other;       /* the same: no object, but a link to nowhere, a pipe, a device */
} sm_entry;

/**
 * Lists the objects whose key starts with `prefix` ("" or ending in '/': a folder's), in byte order
 * of key, into the arena. `delimited`: only those directly in it, and its folders as entries.
 *
 * Returns   SM_OK with *n = 0 where nothing is there; SM_NOT_FOUND where a local root or folder
 *           does not exist (a bucket's prefix never does not exist)
 */
sm_status sm_store_list(sm_store *s, sm_str prefix, bool delimited, sm_arena *a, sm_entry **out,
                        int64_t *n, sm_error *e) SM_MUST_USE;

/** As list, but only keys greater than `after` (for a Delta log's tail). */
sm_status sm_store_list_after(sm_store *s, sm_str prefix, sm_str after, sm_arena *a, sm_entry **out,
                              int64_t *n, sm_error *e) SM_MUST_USE;

sm_status sm_store_stat(sm_store *s, sm_str key, sm_arena *a, sm_entry *out,
                        sm_error *e) SM_MUST_USE;

/** The whole object into *out (appended; its max_bytes is the bound). */
sm_status sm_store_get(sm_store *s, sm_str key, sm_buf *out, sm_error *e) SM_MUST_USE;

typedef enum sm_put_mode {
    SM_PUT_REPLACE,   /* whatever stands there */
    SM_PUT_IF_ABSENT, /* SM_EXISTS where the key is taken: one of many racing writers wins */
} sm_put_mode;

/** Makes the object, whole and durable when it returns. Locally: a temporary file, fsync, rename()
 * or link() to the name, fsync of the folder. */
sm_status sm_store_put(sm_store *s, sm_str key, const void *bytes, size_t n, sm_put_mode mode,
                       sm_error *e) SM_MUST_USE;

/** Does the store heed SM_PUT_IF_ABSENT? Else SM_UNSAFE_STORE; to be asked before long work that
 * ends in such a put, which would say the same. */
sm_status sm_store_check_put(sm_store *s, sm_error *e) SM_MUST_USE;

/** SM_OK also where the object is gone already. */
sm_status sm_store_delete(sm_store *s, sm_str key, sm_error *e) SM_MUST_USE;
/** All of them, in few requests where the store can. Tries each also where another failed; the
 * error is that of the first. */
sm_status sm_store_delete_many(sm_store *s, const sm_str *keys, int64_t n, sm_error *e) SM_MUST_USE;
/** Makes `to` the same as `from`, replacing it, by the store itself where it can. Blocks. */
sm_status sm_store_copy(sm_store *s, sm_str from, sm_str to, sm_error *e) SM_MUST_USE;

/* ---- blobs ----------------------------------------------------------------------------------- */

sm_status sm_blob_open(sm_store *s, sm_str key, sm_blob **out, sm_error *e) SM_MUST_USE;
sm_blob *sm_blob_retain(sm_blob *b);
void sm_blob_close(sm_blob *b); /* takes NULL */
sm_str sm_blob_uri(const sm_blob *b);
uint64_t sm_blob_bytes(const sm_blob *b);
int64_t sm_blob_modified_us(const sm_blob *b);
sm_store *sm_blob_store(const sm_blob *b);
/** The CRC-32 of the whole, for who reads all of it, where its bytes may change on their way here
 * unseen and the store knows what they should be; else false. */
bool sm_blob_checksum(const sm_blob *b, uint32_t *crc32);

/** Reads exactly len bytes into `out`; blocks. SM_CORRUPT where the object is shorter. */
sm_status sm_blob_read(sm_blob *b, uint64_t off_bytes, size_t len, void *out,
                       sm_error *e) SM_MUST_USE;

/* ---- fetch: ranges in, in completion order --------------------------------------------------- */

typedef struct sm_fetch sm_fetch; /* one reader's requests, under one budget */

/** On the I/O threads of `stores` (retained), whose blobs it is to read. */
sm_status sm_fetch_new(sm_stores *stores, sm_budget *budget, sm_fetch **out,
                       sm_error *e) SM_MUST_USE;
/** Cancels what is under way, waits for it, frees. Takes NULL. */
void sm_fetch_free(sm_fetch *f);

typedef struct sm_range_read {
    sm_blob *blob; /* retained until it is given back */
    uint64_t off_bytes;
    size_t len;   /* past the object's end: SM_CORRUPT for this request */
    uint64_t tag; /* the caller's, given back */
} sm_range_read;

/** Queues a read. Takes its memory from the budget now: SM_BUDGET says to consume first. It is sent
 * by sm_fetch_send, or by who next asks for an answer, as one request with its neighbours. */
sm_status sm_fetch_request(sm_fetch *f, const sm_range_read *r, sm_error *e) SM_MUST_USE;
/** No neighbours come now. */
void sm_fetch_send(sm_fetch *f);

typedef struct sm_fetched {
    uint64_t tag;
    sm_block *block; /* the caller's; its first len bytes are the range */
    size_t len;
} sm_fetched;

/**
 * The next range that has arrived, whichever that is.
 *
 * Returns   SM_OK; SM_WAIT where none has yet (the waker is called when one has); SM_END where
 *           none is outstanding; else the failure of one request (with its object and offset)
 * Threads   any; several may wait, and each arrival wakes at least one
 */
sm_status sm_fetch_next(sm_fetch *f, sm_waker waker, sm_fetched *out, sm_error *e) SM_MUST_USE;
/** The same, but waits on the spot; for callers that are no workers (cli, log replay). */
sm_status sm_fetch_wait(sm_fetch *f, sm_fetched *out, sm_error *e) SM_MUST_USE;

/* ---- upload: a new object out, streaming ----------------------------------------------------- */

typedef struct sm_upload sm_upload;

/** Begins an object. Nothing is visible before sm_upload_finish has succeeded. At most
 * inflight_bytes (0: the store's own figure) wait to be written, counted in the budget. */
sm_status sm_upload_open(sm_store *s, sm_str key, sm_budget *budget, size_t inflight_bytes,
                         sm_upload **out, sm_error *e) SM_MUST_USE;
/** Queues the first len bytes of a block (retained). SM_WAIT: too much is in flight and nothing was
 * taken; call again after the waker. Fails with what an earlier write failed with. */
sm_status sm_upload_write(sm_upload *u, sm_block *block, size_t len, sm_waker waker,
                          sm_error *e) SM_MUST_USE;
/** Ends it: all bytes durable, the object visible. SM_WAIT while it is under way; call again. */
sm_status sm_upload_finish(sm_upload *u, sm_waker waker, sm_error *e) SM_MUST_USE;
/** The same two, but they wait on the spot; for callers that are no workers. */
sm_status sm_upload_write_wait(sm_upload *u, sm_block *block, size_t len, sm_error *e) SM_MUST_USE;
sm_status sm_upload_finish_wait(sm_upload *u, sm_error *e) SM_MUST_USE;
uint64_t sm_upload_bytes(const sm_upload *u); /* accepted so far */
/** Frees; an unfinished object leaves nothing behind. Takes NULL. Waits for what is under way. */
void sm_upload_close(sm_upload *u);

/* ---- scratch: bytes that need not outlive the process ---------------------------------------- */

typedef struct sm_scratch sm_scratch;

/** A file without a name in a local folder ("": TMPDIR, or /tmp), gone when it is freed and however
 * the process ends. Threads: any; ranges that are written must not overlap. */
sm_status sm_scratch_new(sm_str folder, sm_scratch **out, sm_error *e) SM_MUST_USE;
void sm_scratch_free(sm_scratch *s); /* takes NULL */
/** SM_DISK_FULL, naming the folder, while the disk still has SM_SCRATCH_SPARE_BYTES for others. */
sm_status sm_scratch_write(sm_scratch *s, uint64_t off_bytes, const void *bytes, size_t len,
                           sm_error *e) SM_MUST_USE;
/** SM_CORRUPT where nothing, or less, was written there. */
sm_status sm_scratch_read(sm_scratch *s, uint64_t off_bytes, size_t len, void *out,
                          sm_error *e) SM_MUST_USE;
/** The range is not needed any more: its whole pages go back to the disk where it can do that. */
void sm_scratch_drop(sm_scratch *s, uint64_t off_bytes, uint64_t len);
#define SM_SCRATCH_SPARE_BYTES ((uint64_t)64 << 20)

/* ---- counting what went over the wire -------------------------------------------------------- */

typedef struct sm_store_counts {
    int64_t requests, read_bytes, written_bytes, retries;
} sm_store_counts;
sm_store_counts sm_store_count(const sm_store *s);
/** The same of all stores behind a network that were opened here or below. */
sm_store_counts sm_stores_network_count(const sm_stores *s);

/* ---- fault: a wrapper for tests -------------------------------------------------------------- */

typedef enum sm_fault_kind {
    SM_FAULT_ERROR,      /* the call fails with SM_IO and has done nothing */
    SM_FAULT_LOST,       /* the call is carried out, then fails: an answer that never came */
    SM_FAULT_TORN,       /* half of the bytes are read or written (never visible), then SM_IO */
    SM_FAULT_DISK_FULL,  /* SM_DISK_FULL */
    SM_FAULT_KILL,       /* SIGKILL to the process before the call */
    SM_FAULT_KILL_AFTER, /* SIGKILL right after the call was carried out */
    SM_FAULT_STOP, /* SIGSTOP to the process before the call: others may do what they like, then
                          * it goes on (SIGCONT) */
} sm_fault_kind;

typedef struct sm_fault_plan {
    int64_t at_call;  /* 1-based count of calls that reach the store (see fault.c for which count);
                      * 0: none */
    bool writes_only; /* count only calls that change something */
    sm_fault_kind kind;
    int64_t delay_ms;    /* on each request's answer */
    int64_t bytes_per_s; /* one wire shared by all requests; 0: unlimited */
} sm_fault_plan;

/** Wraps a store: the same bytes, with the plan's faults. Keeps `inner`. The plan is also taken
 * from SMELT_FAULT ("at=7,kind=kill,writes=1,delay_ms=50,bytes_per_s=125000000") by
 * sm_store_open() for every store, so that a whole program can be tested. */
sm_status sm_store_fault(sm_store *inner, const sm_fault_plan *plan, sm_store **out,
                         sm_error *e) SM_MUST_USE;
/** Counted so far: by this store's plan; all of one sm_stores_new that SMELT_FAULT wrapped share
 * one count. */
int64_t sm_fault_calls(const sm_store *s);
bool sm_fault_has_fired(const sm_store *s);

#endif
