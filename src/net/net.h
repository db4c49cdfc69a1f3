/* SPDX-License-Identifier: Apache-2.0
 *
 * net/net.h: the net room's door. HTTP requests, many at a time. Called by store for S3 and web
 * servers, by serve for ClickHouse. Needs: base.
 *
 * A wire is one thread that carries out all requests given to it, by libcurl's multi interface. An
 * engine makes its own; a process may have several, and none is started by itself. The wire knows
 * nothing of what a request means and never repeats one: it reports the response, or the failure.
 * */
#ifndef SM_NET_NET_H
#define SM_NET_NET_H

#include "base/buf.h"
#include "base/log.h"
#include "base/memory.h"

typedef struct sm_http sm_http; /* a wire; counted */

/* The headers of a response that are kept. */
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

/* Why no complete response came. */
typedef enum sm_http_failure {
    SM_HTTP_ANSWERED,   /* it came */
    SM_HTTP_NO_HOST,    /* the host's name could not be resolved */
    SM_HTTP_NO_CONNECT, /* no connection: nothing was sent */
    SM_HTTP_NO_TRUST,   /* TLS: a certificate that is not trusted, or no handshake */
    SM_HTTP_STALLED,    /* too long without a byte */
    SM_HTTP_BROKEN,     /* the connection was reset, or the body is shorter than announced */
    SM_HTTP_LOOP,       /* too many redirects */
    SM_HTTP_TOO_LONG,   /* the body is larger than there was room for */
    SM_HTTP_CANCELLED,
    SM_HTTP_OTHER,
} sm_http_failure;

/* Where a part of a response's body goes. Parts may overlap. */
typedef struct sm_into {
    uint8_t *to;
    size_t off, len; /* the part, within the whole body */
} sm_into;

typedef struct sm_piece {
    const void *bytes;
    size_t len;
} sm_piece;

/* One request and its response, embedded in its owner's struct. Everything of the request is
 * borrowed and must not change until `done`. */
typedef struct sm_exchange {
    const char *method; /* "GET"; a response to "HEAD" has no body */
    const char *url;
    const char *const *headers; /* "Name: value", ended by NULL */
    const sm_piece *body;       /* pieces that are sent one after the other; NULL: no body */
    int n_body;
    const sm_into *into; /* receive the body of a 2xx response; NULL: `text` does */
    int n_into;
    size_t into_from; /* where in the whole body this response begins: earlier bytes are here */
    size_t into_len;  /* bytes of the whole body */
    int64_t not_before_ns;        /* sm_monotonic_ns(); 0: now */
    int64_t connect_ms, stall_ms; /* limits to connect, and without a byte; 0: the defaults */
    bool follows;                 /* follows up to ten redirects; for requests without signature */
    const char *ca_file;          /* trusted certificates instead of the system's; NULL: those */
    /* Called once, on the wire's thread. It may send, but must not block. The wire does not touch
     * the exchange any more, so it may be freed. */
    void (*done)(struct sm_exchange *x);
    void *owner; /* for `done` */

    /* The response: */
    sm_http_failure failure;
    char why[160]; /* a failure in libcurl's words */
    int status;    /* HTTP's; 0: no response came */
    size_t got;    /* bytes of this response that are in `into` */
    sm_buf text;   /* any other body; the owner sets its max_bytes, and releases it */
    char header[SM_HTTP_HEADERS][SM_HTTP_HEADER_BYTES]; /* "" if it has none */

    /* Private to the wire: */
    void *easy, *list;
    int piece;       /* the piece of the body to be sent next */
    size_t in_piece; /* bytes of it that were sent */
    bool is_cancelled, is_busy;
    struct sm_exchange *prev, *next;
} sm_exchange;

/**
 * Makes a wire. It uses no thread and no memory of libcurl before sm_http_start().
 *
 * Owner     the caller's, to sm_http_release(); keeps pointers to `budget` and `log` (either may be
 *           NULL), which must outlive it. The budget is charged with the memory of libcurl and its
 *           connections, without being asked.
 */
sm_http *sm_http_new(sm_budget *budget, const sm_logger *log);
sm_http *sm_http_retain(sm_http *h);            /* one more reference; returns the wire */
const sm_logger *sm_http_log(const sm_http *h); /* the log that it was made with; may be NULL */
/** One reference less. The last ends the thread; no request may be under way then (asserted), and
 * it must not happen in `done`. Takes NULL. */
void sm_http_release(sm_http *h);

/**
 * Opens libcurl and starts the thread, unless that is done already. Call it before any request.
 *
 * Errors    SM_UNSUPPORTED if libcurl is not installed, with advice; those of sm_thread_start().
 *           The next call tries again.
 * Threads   any
 */
sm_status sm_http_start(sm_http *h, sm_error *e) SM_MUST_USE;

/**
 * Sends a request, and clears the response of an earlier one.
 *
 * Owner     the exchange is the wire's until it calls `done`
 * Threads   any, also from within `done`
 */
void sm_http_send(sm_http *h, sm_exchange *x);
/** Sends a request and waits for its end; sets `done` and `owner`. Not on the wire's thread. */
void sm_http_wait(sm_http *h, sm_exchange *x);
/** Reads a date of HTTP ("Sun, 06 Nov 1994 08:49:37 GMT"); false if it is not one. */
bool sm_http_date(const char *text, int64_t *us);
/** Makes a request that is under way end soon: `done` is called with SM_HTTP_CANCELLED, unless the
 * response came first. */
void sm_http_cancel(sm_http *h, sm_exchange *x);

#endif
