/* SPDX-License-Identifier: Apache-2.0
 *
 * net/net.h: the net room's door. HTTP requests, many at a time. Called by store for S3, by serve
 * for ClickHouse. Needs: base.
 *
 * A wire is one thread that carries out all requests given to it, by libcurl's multi interface. It
 * belongs to who made it: a process may have several, and none begins by itself. It knows nothing
 * of what is asked and never tries again: it says what came, or what failed how. */
#ifndef SM_NET_NET_H
#define SM_NET_NET_H

#include "base/buf.h"
#include "base/log.h"
#include "base/memory.h"

typedef struct sm_http sm_http; /* a wire; counted */

/* Headers of an answer that are kept. */
typedef enum sm_http_header {
    SM_HTTP_DATE,
    SM_HTTP_ETAG,
    SM_HTTP_LENGTH, /* Content-Length */
    SM_HTTP_RANGE,  /* Content-Range */
    SM_HTTP_TYPE,   /* Content-Type */
    SM_HTTP_MODIFIED,
    SM_HTTP_RETRY_AFTER,
    SM_HTTP_REGION,   /* x-amz-bucket-region */
    SM_HTTP_CHECKSUM, /* x-amz-checksum-crc32 */
    SM_HTTP_SERVER,
    SM_HTTP_HEADERS,
} sm_http_header;
#define SM_HTTP_HEADER_BYTES 200

/* Why no whole answer came. */
typedef enum sm_http_failure {
    SM_HTTP_ANSWERED,
    SM_HTTP_NO_HOST,    /* its name is not known */
    SM_HTTP_NO_CONNECT, /* nobody answers there: nothing was sent */
    SM_HTTP_NO_TRUST,   /* TLS: the certificate does not fit, or no handshake */
    SM_HTTP_STALLED,    /* too long without a byte */
    SM_HTTP_BROKEN,     /* reset, or shorter than announced */
    SM_HTTP_LOOP,       /* too many redirects */
    SM_HTTP_TOO_LONG,   /* more than there was room for */
    SM_HTTP_CANCELLED,
    SM_HTTP_OTHER,
} sm_http_failure;

/* Where a part of an answer's body goes. Parts may overlap. */
typedef struct sm_into {
    uint8_t *to;
    size_t off, len; /* in the body */
} sm_into;

typedef struct sm_piece {
    const void *bytes;
    size_t len;
} sm_piece;

/* One request and its answer, embedded in its owner's struct. Everything asked is borrowed and
 * stays as it is until `done`. */
typedef struct sm_exchange {
    const char *method; /* "GET"; "HEAD" has no body in its answer */
    const char *url;
    const char *const *headers; /* "Name: value", ended by NULL */
    const sm_piece *body;       /* sent one after the other; NULL: no body */
    int n_body;
    const sm_into *into; /* take the body of a 2xx answer; NULL: `text` does */
    int n_into;
    size_t into_from; /* where in it this answer begins: what was got before is not asked again */
    size_t into_len;  /* bytes of the whole */
    int64_t not_before_ns;        /* sm_monotonic_ns(); 0: now */
    int64_t connect_ms, stall_ms; /* stall: without a byte; 0: the wire's own figures */
    bool follows;                 /* redirects, up to ten: for what is not signed */
    const char *ca_file; /* trusted beside or instead of the system's; NULL: the system's */
    /* Called once, on the wire's thread, which waits for it: it may send, it must not block. The
     * wire does not touch the exchange any more. */
    void (*done)(struct sm_exchange *x);
    void *owner; /* for `done` */

    /* The answer: */
    sm_http_failure failure;
    char why[160]; /* of a failure, in libcurl's words */
    int status;    /* of HTTP; 0: none came */
    size_t got;    /* bytes of this answer that are in `into` */
    sm_buf text;   /* any other body; the owner sets its max_bytes, and releases it */
    char header[SM_HTTP_HEADERS][SM_HTTP_HEADER_BYTES]; /* "" where there is none */

    /* The wire's own: */
    void *easy, *list;
    int piece; /* to be sent next, and how far in it */
    size_t in_piece;
    bool is_cancelled;
    struct sm_exchange *prev, *next;
} sm_exchange;

/**
 * Makes a wire. It costs nothing before sm_http_start.
 *
 * Owner     the caller's, sm_http_release() it; borrows both (may be NULL) to its end: `budget` is
 *           charged with what libcurl and its connections take, which is never refused
 */
sm_http *sm_http_new(sm_budget *budget, const sm_logger *log);
sm_http *sm_http_retain(sm_http *h);
const sm_logger *sm_http_log(const sm_http *h);
/** The last release ends the thread: nothing may be under way, and it must not be called from
 * `done`. Takes NULL. */
void sm_http_release(sm_http *h);

/**
 * Opens libcurl and starts the thread, where neither was done; to be called before requests.
 *
 * Errors    SM_UNSUPPORTED where libcurl is not there, saying how to install it; SM_IO where the
 *           system starts no thread. The next call tries again
 * Threads   any
 */
sm_status sm_http_start(sm_http *h, sm_error *e) SM_MUST_USE;

/** Forgets an earlier answer and sends. From any thread, also from `done`. */
void sm_http_send(sm_http *h, sm_exchange *x);
/** Sends and waits on the spot; `done` need not be set. Not from the wire's thread. */
void sm_http_wait(sm_http *h, sm_exchange *x);
/** A date as HTTP has it ("Sun, 06 Nov 1994 08:49:37 GMT"); false where it is none. */
bool sm_http_date(const char *text, int64_t *us);
/** Hastens the end of one that may be under way: `done` comes soon, with SM_HTTP_CANCELLED unless
 * the answer was faster. */
void sm_http_cancel(sm_http *h, sm_exchange *x);

#endif
