/* SPDX-License-Identifier: Apache-2.0
 *
 * store/store.h: the store room's door. Bytes by name: on a local disk, in S3, on a web server, in
 * memory (for tests), and behind a wrapper that fails on purpose (for tests). Needs: base, net.
 *
 * A store is one root: a directory, or a bucket with a prefix. A *key* is the name of an object
 * below it: parts joined by '/', none of which is empty, "." or ".." (SM_INVALID). Objects appear
 * whole or not at all, and do not change while they are read. A *blob* is an object that is open
 * for reading.
 *
 * Never looks inside the bytes. There are two ways to move them:
 *   plain calls    block the caller; for small things (a Delta commit, a footer, a listing)
 *   fetch, upload  queue the work and do not block; a waker tells a worker to come back
 * The process has no state here: a sm_stores opens stores, which share what it has.
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

/* ---- what opens stores ----------------------------------------------------------------------- */

/**
 * Makes the sm_stores of an engine, or of a test. The stores that it opens share the wire, two I/O
 * threads (which run while there is a fetch or an upload), the objects of `memory://` and the call
 * count of SMELT_FAULT. Two of these share nothing. Settings of S3 come from the environment.
 *
 * Owner     the caller's, to sm_stores_release(); retains `http`, which is started when the first
 *           store behind a network is opened
 */
sm_stores *sm_stores_new(sm_http *http);
/** Makes the sm_stores of one run. It shares all of the above with `parent`, which it retains, and
 * has connections and counts of its own. What it counts, `parent` counts too. */
sm_stores *sm_stores_below(sm_stores *parent);
sm_stores *sm_stores_retain(sm_stores *s); /* one more reference; returns s */
/** One reference less. A store retains the sm_stores that opened it. Takes NULL. */
void sm_stores_release(sm_stores *s);

/**
 * Sets where a bucket of S3 is and which keys open it, instead of what the environment says, for
 * stores that `s` and those below it open from now on. If both `s` and one above it have a
 * connection for a bucket, that of `s` counts.
 *
 * Shape     `settings` have the names of AWS tools ("AWS_REGION"). A setting that is left out comes
 *           from the environment, unless it is about the place, or about keys while `settings` have
 *           keys or a profile. Only the bucket of `uri` counts; `name` is for messages.
 * Owner     copies all; the copy ends with `s` and the last store that uses it
 * Errors    SM_EXISTS if `s` has a connection of another name for the bucket
 */
sm_status sm_stores_connect(sm_stores *s, sm_str uri, sm_str name, const sm_pair *settings,
                            int32_t n, sm_error *e) SM_MUST_USE;
/** The wire, started, for requests that do not belong to a store. Borrowed as long as `s`. Errors:
 * those of sm_http_start(). */
sm_status sm_stores_http(sm_stores *s, sm_http **out, sm_error *e) SM_MUST_USE;

/* ---- opening --------------------------------------------------------------------------------- */

/**
 * Opens the store that a URI names: a path, `file://…`, `memory://name`, `s3://bucket/…`,
 * `https://…`. Makes nothing: a local root need not exist (reading gives SM_NOT_FOUND, the first
 * put makes it).
 *
 * Owner     *out is the caller's, to sm_store_release(); it retains `stores`
 * Errors    SM_UNSUPPORTED for another scheme, with advice; SM_INVALID; for S3 and web servers
 *           those of sm_http_start() and of reading the settings
 */
sm_status sm_store_open(sm_stores *stores, sm_str uri, sm_store **out, sm_error *e) SM_MUST_USE;
sm_store *sm_store_retain(sm_store *s); /* one more reference; returns s */
void sm_store_release(sm_store *s);     /* one reference less; takes NULL */

/** The sm_stores that opened it, with which to open another beside it. Borrowed as long as `s`. */
sm_stores *sm_store_opener(const sm_store *s);

/** The root as users name it, without a final '/': "/data/lake", "s3://bucket/lake". */
sm_str sm_store_uri(const sm_store *s);
/** "ROOT/key", for messages and for columns of file names. */
sm_str sm_store_uri_of(const sm_store *s, sm_str key, sm_arena *a);
/** The log for troubles of the store that do not fail a call: that of the wire. May be NULL. */
const sm_logger *sm_store_log(const sm_store *s);
/** The root by a name that does not depend on how the user wrote it or on the working directory: a
 * local one is an absolute path without "." and ".." that leads where the name leads. In `a`. */
sm_str sm_store_place(const sm_store *s, sm_arena *a);
/** Are two places one root? Local folders are compared on disk, where links and mounts may give one
 * folder several names; those that cannot be looked at, and all other stores, by their names. */
bool sm_place_is_same(sm_str a, sm_str b);
/** The place, of a local root without symbolic links; the place itself where there is no such
 * folder yet. */
sm_str sm_store_real_place(const sm_store *s, sm_arena *a);
/** Splits a URI at its last '/' into the folder's URI and the name. Without a '/' the folder is
 * ".". */
void sm_uri_split(sm_str uri, sm_str *folder, sm_str *name);

/** How many bytes should be in flight to keep the way to the store busy: few for a local disk, more
 * for a network. */
size_t sm_store_inflight_bytes(const sm_store *s);
/** Adjacent ranges of up to so many bytes together become one request, so it is best to ask for
 * them in a row; 0: it makes no difference. */
size_t sm_store_request_bytes(const sm_store *s);
/** Does each call wait for a network? Then many objects are best opened by sm_fetch_open(), all at
 * a time. */
bool sm_store_is_far(const sm_store *s);

/* How another program reaches a store's objects by itself. In the arena. */
typedef struct sm_store_access {
    sm_str url;            /* "http://host:9000/bucket/prefix" */
    sm_str key_id, secret; /* the secret may go only to that program */
    sm_str source;         /* where the keys are from: "the environment", "the profile default" */
    sm_str region;
    bool is_anonymous;
    bool is_temporary; /* the keys expire */
} sm_store_access;
/** Tells how another program reaches the store; blocks while keys are fetched. SM_UNSUPPORTED if
 * only this process, or this machine, can reach it. */
sm_status sm_store_access_of(sm_store *s, sm_arena *a, sm_store_access *out,
                             sm_error *e) SM_MUST_USE;

/* ---- objects --------------------------------------------------------------------------------- */

typedef struct sm_entry {
    sm_str key;
    uint64_t size_bytes;
    int64_t modified_us; /* wall clock */
    int64_t changed_us;  /* the last change of its inode, also by rename or chmod; 0: not known */
    uint64_t inode;      /* 0 if the store has none */
    sm_str etag;         /* "" if the store has none */
    bool is_folder;      /* only with `delimited`; its key ends in '/' */
    bool is_other;       /* only with `delimited`: a broken link, a pipe, a device; not an object */
    bool is_linked;      /* only from sm_store_stat: its name, or a folder on the way to it from the
                          * root, is a symbolic link, so its bytes may be anywhere */
} sm_entry;

/**
 * Lists the objects of a folder and of all folders in it, in byte order of their keys.
 *
 * Shape     `prefix` is "" or ends in '/'. With `delimited` only the objects directly in the folder
 *           are listed, and its folders as entries of their own.
 * Owner     the entries and their keys are in the arena
 * Returns   SM_OK, with *n = 0 if nothing is there; SM_NOT_FOUND if a local root or folder does not
 *           exist (a prefix of a bucket always exists)
 */
sm_status sm_store_list(sm_store *s, sm_str prefix, bool delimited, sm_arena *a, sm_entry **out,
                        int64_t *n, sm_error *e) SM_MUST_USE;

/** The same, of keys greater than `after` only (for the tail of a Delta log). A bucket is asked for
 * these alone; of a local folder all names are read, and the others are not looked up. */
sm_status sm_store_list_after(sm_store *s, sm_str prefix, sm_str after, bool delimited, sm_arena *a,
                              sm_entry **out, int64_t *n, sm_error *e) SM_MUST_USE;

/**
 * Lists what lies in the store's root, for who cleans it up: all objects, and temporary files that
 * killed processes have left. Symbolic links are neither followed nor listed.
 *
 * Owner     as sm_store_list
 * Returns   as sm_store_list
 */
sm_status sm_store_list_own(sm_store *s, sm_arena *a, sm_entry **out, int64_t *n,
                            sm_error *e) SM_MUST_USE;

/** The same of the temporary files alone. Cost: memory for these, and for the names of folders. */
sm_status sm_store_list_left(sm_store *s, sm_arena *a, sm_entry **out, int64_t *n,
                             sm_error *e) SM_MUST_USE;

/** Looks an object up; *out is in the arena. SM_NOT_FOUND if there is none. */
sm_status sm_store_stat(sm_store *s, sm_str key, sm_arena *a, sm_entry *out,
                        sm_error *e) SM_MUST_USE;

/** Appends the whole object to *out, whose max_bytes bounds it. SM_NOT_FOUND if there is none. */
sm_status sm_store_get(sm_store *s, sm_str key, sm_buf *out, sm_error *e) SM_MUST_USE;

typedef enum sm_put_mode {
    SM_PUT_REPLACE,   /* replaces an object of that key */
    SM_PUT_IF_ABSENT, /* SM_EXISTS if there is one: of several racing writers one wins */
} sm_put_mode;

/**
 * Makes an object. It is complete and durable when the call returns.
 *
 * Errors    SM_EXISTS (SM_PUT_IF_ABSENT); SM_UNSAFE_STORE if the store cannot put like that. After
 *           another failure the object may be there or not, but never in part.
 * Cost      locally a temporary file, fsync, rename() or link() to the name, fsync of the folder
 */
sm_status sm_store_put(sm_store *s, sm_str key, const void *bytes, size_t n, sm_put_mode mode,
                       sm_error *e) SM_MUST_USE;

/** Does the store honour SM_PUT_IF_ABSENT? SM_UNSAFE_STORE if not. Ask before long work that ends
 * with such a put, which would fail the same way. */
sm_status sm_store_check_put(sm_store *s, sm_error *e) SM_MUST_USE;

/** Deletes an object. SM_OK also if there is none. */
sm_status sm_store_delete(sm_store *s, sm_str key, sm_error *e) SM_MUST_USE;
/** Deletes objects, by few requests if the store can. Goes on after a failure and returns the
 * first. */
sm_status sm_store_delete_many(sm_store *s, const sm_str *keys, int64_t n, sm_error *e) SM_MUST_USE;
/** Copies an object to the key `to`, replacing what is there. If the store can copy by itself, the
 * bytes do not come here. */
sm_status sm_store_copy(sm_store *s, sm_str from, sm_str to, sm_error *e) SM_MUST_USE;

/* ---- blobs ----------------------------------------------------------------------------------- */

/**
 * Opens an object for reading.
 *
 * Owner     *out is the caller's, to sm_blob_close(); it retains the store
 * Errors    SM_NOT_FOUND if there is none
 */
sm_status sm_blob_open(sm_store *s, sm_str key, sm_blob **out, sm_error *e) SM_MUST_USE;
/** The same for who reads the last tail_bytes first, as sm_fetch_opening has them: if the store is
 * behind a network, they come with the same request. The blob holds them, outside of any budget. */
sm_status sm_blob_open_tail(sm_store *s, sm_str key, uint64_t size_bytes, size_t tail_bytes,
                            sm_blob **out, sm_error *e) SM_MUST_USE;
sm_blob *sm_blob_retain(sm_blob *b);           /* one more reference; returns b */
void sm_blob_close(sm_blob *b);                /* one reference less; takes NULL */
sm_str sm_blob_uri(const sm_blob *b);          /* "ROOT/key", ended by NUL; as long as b */
uint64_t sm_blob_bytes(const sm_blob *b);      /* its size */
int64_t sm_blob_modified_us(const sm_blob *b); /* wall clock */
sm_store *sm_blob_store(const sm_blob *b);     /* borrowed as long as b */
/** The last bytes of the object, if they came when it was opened (sm_fetch_opening); else "".
 * Borrowed as long as b. */
sm_str sm_blob_tail(const sm_blob *b);
/** The CRC-32 of the whole object, if its bytes could change unnoticed on their way here and the
 * store knows their CRC-32; else false. Who reads the whole object compares it. */
bool sm_blob_checksum(const sm_blob *b, uint32_t *crc32);

/** Reads exactly len bytes into `out`; blocks. SM_CORRUPT if the object is shorter. */
sm_status sm_blob_read(sm_blob *b, uint64_t off_bytes, size_t len, void *out,
                       sm_error *e) SM_MUST_USE;

/* ---- fetch: reads ranges, which arrive in any order ------------------------------------------ */

typedef struct sm_fetch sm_fetch; /* the reads of one reader, under one budget */

/**
 * A fetch without reads.
 *
 * Owner     *out is the caller's, to sm_fetch_free(); it uses the I/O threads of `stores`, which it
 *           retains and which must have opened the blobs; `budget` must outlive it
 */
sm_status sm_fetch_new(sm_stores *stores, sm_budget *budget, sm_fetch **out,
                       sm_error *e) SM_MUST_USE;
/** Cancels the reads that are under way, waits for their end, and frees the fetch. Takes NULL. */
void sm_fetch_free(sm_fetch *f);

typedef struct sm_range_read {
    sm_blob *blob; /* retained until the read is returned */
    uint64_t off_bytes;
    size_t len;   /* beyond the object's end: this read fails with SM_CORRUPT */
    uint64_t tag; /* the caller's, returned with the range */
} sm_range_read;

/**
 * Queues a read.
 *
 * Shape     reads of adjacent ranges become one request if the store prefers that; they are kept
 *           for it until sm_fetch_send(), sm_fetch_next() or sm_fetch_wait() is called
 * Errors    SM_BUDGET if its memory, which is taken now, is refused: consume ranges first
 */
sm_status sm_fetch_request(sm_fetch *f, const sm_range_read *r, sm_error *e) SM_MUST_USE;
/** Sends the reads that were kept for their neighbours. */
void sm_fetch_send(sm_fetch *f);

/* An object to be opened. */
typedef struct sm_fetch_opening {
    sm_store *store;     /* retained until it is returned */
    sm_str key;          /* copied */
    uint64_t size_bytes; /* as far as the caller knows: a listing, or a table's log, told it */
    size_t tail_bytes;   /* so many bytes of its end, at most all, will be read first (a footer). If
                        * the store is behind a network, they come with the same request, and
                        * reading them needs none. Reading another part is as usual. */
    uint64_t tag;
} sm_fetch_opening;

/**
 * Queues the opening of an object, which arrives as a range does.
 *
 * Owner     the blob that arrives holds the tail in memory of the fetch's budget, which must
 *           outlive it
 * Errors    SM_BUDGET if memory for the tail is refused; SM_INVALID: not a key
 */
sm_status sm_fetch_open(sm_fetch *f, const sm_fetch_opening *o, sm_error *e) SM_MUST_USE;

/* A range, or an object that was opened. */
typedef struct sm_fetched {
    uint64_t tag;    /* also of what failed */
    sm_block *block; /* its first len bytes are the range, or it is a slice; NULL for an object */
    size_t len;
    sm_blob *blob; /* NULL for a range */
} sm_fetched;

/**
 * Gives the next range or object that has arrived, whichever that is.
 *
 * Owner     out->block is the caller's, to sm_block_release(), and out->blob to sm_blob_close()
 * Returns   SM_OK; SM_WAIT if none has arrived (the waker is called when one has); SM_END if
 *           nothing is outstanding; else the failure of one, with its object and offset, and with
 *           out->tag set
 * Threads   any; several may wait, and each arrival wakes all of them
 */
sm_status sm_fetch_next(sm_fetch *f, sm_waker waker, sm_fetched *out, sm_error *e) SM_MUST_USE;
/** The same, but blocks until a range arrives; for callers that are not workers. */
sm_status sm_fetch_wait(sm_fetch *f, sm_fetched *out, sm_error *e) SM_MUST_USE;

/* ---- upload: a new object out, streaming ----------------------------------------------------- */

typedef struct sm_upload sm_upload;

/**
 * Begins an object. Nobody sees it before sm_upload_finish() has succeeded.
 *
 * Owner     *out is the caller's, to sm_upload_close(); it retains the store
 * Units     at most inflight_bytes wait to be written (0: what is best for the store); a single
 *           piece may be larger
 */
sm_status sm_upload_open(sm_store *s, sm_str key, sm_budget *budget, size_t inflight_bytes,
                         sm_upload **out, sm_error *e) SM_MUST_USE;
/**
 * Queues the first len bytes of a block.
 *
 * Owner     retains the block until the bytes are written; it must not change until then
 * Returns   SM_OK; SM_WAIT if too much is in flight: nothing was taken, call again after the waker;
 *           or the failure of an earlier write
 */
sm_status sm_upload_write(sm_upload *u, sm_block *block, size_t len, sm_waker waker,
                          sm_error *e) SM_MUST_USE;
/** Completes the object, which is durable and visible after SM_OK. SM_WAIT while that is under way:
 * call again after the waker. */
sm_status sm_upload_finish(sm_upload *u, sm_waker waker, sm_error *e) SM_MUST_USE;
/** sm_upload_write(), but blocks instead of SM_WAIT; for callers that are not workers. */
sm_status sm_upload_write_wait(sm_upload *u, sm_block *block, size_t len, sm_error *e) SM_MUST_USE;
/** sm_upload_finish(), but blocks instead of SM_WAIT; for callers that are not workers. */
sm_status sm_upload_finish_wait(sm_upload *u, sm_error *e) SM_MUST_USE;
uint64_t sm_upload_bytes(const sm_upload *u); /* bytes that were queued so far */
size_t
sm_upload_inflight_bytes(const sm_upload *u); /* of them, those whose blocks are still held */
/** Waits for what is under way and frees the upload. An object that is not finished leaves nothing
 * behind. Takes NULL. */
void sm_upload_close(sm_upload *u);

/* ---- scratch: bytes that need not outlive the process ---------------------------------------- */

typedef struct sm_scratch sm_scratch;

/** A file without a name in a local folder ("": TMPDIR, or /tmp). It is gone when it is freed or
 * the process ends. Threads: any; ranges that are written at the same time must not overlap. */
sm_status sm_scratch_new(sm_str folder, sm_scratch **out, sm_error *e) SM_MUST_USE;
void sm_scratch_free(sm_scratch *s); /* takes NULL */
/** Writes a range. SM_DISK_FULL, naming the folder, already when the disk has less than
 * SM_SCRATCH_SPARE_BYTES left, which are for others. */
sm_status sm_scratch_write(sm_scratch *s, uint64_t off_bytes, const void *bytes, size_t len,
                           sm_error *e) SM_MUST_USE;
/** Reads a range that was written. SM_CORRUPT if the file is shorter. */
sm_status sm_scratch_read(sm_scratch *s, uint64_t off_bytes, size_t len, void *out,
                          sm_error *e) SM_MUST_USE;
/** Returns the whole pages of a range that is not needed any more to the disk, if it can do that.
 * */
void sm_scratch_drop(sm_scratch *s, uint64_t off_bytes, uint64_t len);
#define SM_SCRATCH_SPARE_BYTES ((uint64_t)64 << 20)

/** A store whose objects are ranges of a scratch file, for reading alone; it takes the file, which
 * goes on to be written to meanwhile. Owner: sm_store_release() it; it retains `stores`. */
sm_store *sm_store_of_scratch(sm_stores *stores, sm_scratch *taken);
/** The key of a range. In `a`. */
sm_str sm_scratch_key(uint64_t off_bytes, uint64_t bytes, sm_arena *a);

/* ---- counts ---------------------------------------------------------------------------------- */

typedef struct sm_store_counts {
    int64_t requests, read_bytes, written_bytes, retries;
} sm_store_counts;
sm_store_counts sm_store_count(const sm_store *s); /* of this store, since it was opened */
/** The same of all stores behind a network that `s`, or one below it, has opened. */
sm_store_counts sm_stores_network_count(const sm_stores *s);

/* ---- fault: a wrapper for tests -------------------------------------------------------------- */

typedef enum sm_fault_kind {
    SM_FAULT_ERROR,      /* the call fails with SM_IO and has done nothing */
    SM_FAULT_LOST,       /* the call is carried out, then fails: its response is lost */
    SM_FAULT_TORN,       /* half of the bytes are read or written (never visible), then SM_IO */
    SM_FAULT_DISK_FULL,  /* SM_DISK_FULL */
    SM_FAULT_KILL,       /* SIGKILL to the process before the call */
    SM_FAULT_KILL_AFTER, /* SIGKILL right after the call was carried out */
    SM_FAULT_STOP,       /* SIGSTOP to the process before the call; SIGCONT makes it go on */
    SM_FAULT_LATE,       /* the call is carried out delay_ms later; other calls have no delay */
} sm_fault_kind;

typedef struct sm_fault_plan {
    int64_t at_call;  /* the call that fails, from 1 (fault.c says which calls count); 0: none */
    bool writes_only; /* count only calls that change something */
    sm_fault_kind kind;
    int64_t delay_ms;    /* of the response to each request; SM_FAULT_LATE: of the one call */
    int64_t bytes_per_s; /* one line shared by all requests; 0: unlimited */
} sm_fault_plan;

/** Wraps a store, which it retains: the same objects, with the faults of the plan. sm_store_open()
 * wraps every store if SMELT_FAULT has a plan
 * ("at=7,kind=kill,writes=1,delay_ms=50,bytes_per_s=125000000"), to test a whole program. */
sm_status sm_store_fault(sm_store *inner, const sm_fault_plan *plan, sm_store **out,
                         sm_error *e) SM_MUST_USE;
/** The calls that were counted for this store's plan. All stores of one sm_stores_new() that
 * SMELT_FAULT wraps share a count. */
int64_t sm_fault_calls(const sm_store *s);
bool sm_fault_has_fired(const sm_store *s); /* has the plan's call come? */

#endif
