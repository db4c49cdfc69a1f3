/* SPDX-License-Identifier: Apache-2.0
 *
 * store/http_int.h: HTTP requests, many at a time, for the stores behind a network. Called by
 * s3_call.c and s3_credentials.c.
 *
 * One thread of the process, the wire, carries out all of them by libcurl's multi interface. It
 * knows nothing of what is asked and never tries again: it says what came, or what failed how. */
#ifndef SM_STORE_HTTP_INT_H
#define SM_STORE_HTTP_INT_H

#include "store/store_int.h"

typedef struct smi_http smi_http;

/* Headers of an answer that are kept. */
typedef enum smi_http_header {
    SMI_HTTP_DATE,
    SMI_HTTP_ETAG,
    SMI_HTTP_LENGTH, /* Content-Length */
    SMI_HTTP_RANGE,  /* Content-Range */
    SMI_HTTP_TYPE,   /* Content-Type */
    SMI_HTTP_MODIFIED,
    SMI_HTTP_RETRY_AFTER,
    SMI_HTTP_REGION, /* x-amz-bucket-region */
    SMI_HTTP_SERVER,
    SMI_HTTP_HEADERS,
} smi_http_header;
#define SMI_HTTP_HEADER_BYTES 200

/* Why no whole answer came. */
typedef enum smi_http_failure {
    SMI_HTTP_ANSWERED,
    SMI_HTTP_NO_HOST,    /* its name is not known */
    SMI_HTTP_NO_CONNECT, /* nobody answers there: nothing was sent */
    SMI_HTTP_NO_TRUST,   /* TLS: the certificate does not fit, or no handshake */
    SMI_HTTP_STALLED,    /* too long without a byte */
    SMI_HTTP_BROKEN,     /* reset, or shorter than announced */
    SMI_HTTP_TOO_LONG,   /* more than there was room for */
    SMI_HTTP_CANCELLED,
    SMI_HTTP_OTHER,
} smi_http_failure;

typedef struct smi_piece {
    const void *bytes;
    size_t len;
} smi_piece;

/* One request and its answer, embedded in its owner's struct. Everything asked is borrowed and
 * stays as it is until `done`. */
typedef struct smi_exchange {
    const char *method; /* "GET"; "HEAD" has no body in its answer */
    const char *url;
    const char *const *headers; /* "Name: value", ended by NULL */
    const smi_piece *body;      /* sent one after the other; NULL: no body */
    int n_body;
    uint8_t *into; /* takes the body of a 2xx answer; NULL: `text` does */
    size_t into_len;
    int64_t not_before_ns;        /* sm_monotonic_ns(); 0: now */
    int64_t connect_ms, stall_ms; /* stall: without a byte; 0: the wire's own figures */
    const char *ca_file; /* trusted beside or instead of the system's; NULL: the system's */
    /* Called once, on the wire's thread, which waits for it: it may send, it must not block. The
     * wire does not touch the exchange any more. */
    void (*done)(struct smi_exchange *x);
    void *owner; /* for `done` */

    /* The answer: */
    smi_http_failure failure;
    char why[160]; /* of a failure, in libcurl's words */
    int status;    /* of HTTP; 0: none came */
    size_t got;    /* bytes that are in `into` */
    sm_buf text;   /* any other body; the owner sets its max_bytes, and releases it */
    char header[SMI_HTTP_HEADERS][SMI_HTTP_HEADER_BYTES]; /* "" where there is none */

    /* The wire's own: */
    void *easy, *list;
    int piece; /* to be sent next, and how far in it */
    size_t in_piece;
    bool is_cancelled;
    struct smi_exchange *prev, *next;
} smi_exchange;

/** The wire, started for the first who comes, ended with the last who leaves. SM_UNSUPPORTED where
 * libcurl is not there. */
sm_status smi_http_join(smi_http **out, sm_error *e) SM_MUST_USE;
void smi_http_leave(smi_http *h); /* takes NULL; nothing may be under way for who leaves last */

/** Forgets an earlier answer and sends. From any thread, also from `done`. */
void smi_http_send(smi_http *h, smi_exchange *x);
/** Sends and waits on the spot; `done` need not be set. Not from the wire's thread. */
void smi_http_wait(smi_http *h, smi_exchange *x);
/** A date as HTTP has it ("Sun, 06 Nov 1994 08:49:37 GMT"); false where it is none. */
bool smi_http_date(const char *text, int64_t *us);
/** Hastens the end of one that may be under way: `done` comes soon, with SMI_HTTP_CANCELLED unless
 * the answer was faster. */
void smi_http_cancel(smi_http *h, smi_exchange *x);

#endif
