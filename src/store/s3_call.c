/* SPDX-License-Identifier: Apache-2.0
 *
 * store/s3_call.c: one call to S3: its attempts, and what their responses mean.
 *
 * Callers  all files of the S3 store.
 * Method   Each attempt gets keys, is signed and sent. Its response is read on the thread that
 *          steps the call, never on the wire's. A failure that may pass is followed by another
 *          attempt, after a delay: exponential with full jitter, or as long as the server says. A
 *          range goes on at the byte at which its body broke off.
 * Corrects these once each, without a delay: a clock that differs (by the server's Date), keys that
 *          have expired, a bucket in another region (which the server names).
 * Bounds   Attempts (AWS_MAX_ATTEMPTS), time, and a number of retries that all calls of a store
 *          share: when most calls fail, more of them do not help.
 * Source   "Error responses" and "Error retry behaviour", Amazon S3 API reference and AWS SDKs
 *          reference ("standard" mode); "Exponential Backoff And Jitter", AWS architecture blog. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/random.h"
#include "base/text.h"
#include "base/time.h"
#include "store/s3_int.h"

#define TEXT_MAX       ((size_t)8 << 20)
#define DELAY_FIRST_MS 100
#define DELAY_MAX_MS   20000
#define ALL_MAX_MS     300000 /* from the first attempt to the last */
#define RETRY_COST     5      /* tokens; SMI_RETRY_TOKENS are there, a success gives one back */
#define CLOCK_SKEW_US  ((int64_t)240 * 1000000)

void smi_s3_call_init(smi_s3_call *c, smi_s3 *s3, const smi_s3_ask *ask)
{
    SM_ASSERT(ask->method && ask->doing); /* every message prints what it was doing */
    SM_ASSERT(!ask->into || (ask->into_len > 0 && ask->n_into > 0 && !ask->body));
    SM_ASSERT(!ask->has_checksum || (ask->into && ask->off_bytes == 0));
    SM_ASSERT(!ask->is_if_absent || (ask->body && strcmp(ask->method, "PUT") == 0));
    *c = (smi_s3_call){.s3 = s3, .ask = *ask};
    sm_mutex_init(&c->lock);
}

/* ---- sending --------------------------------------------------------------------------------- */

static void on_answer(sm_exchange *x)
{
    smi_s3_call *c = (smi_s3_call *)x;
    sm_mutex_lock(&c->lock);
    SM_ASSERT(c->is_sent && !c->is_answered);
    c->is_answered = true;
    const sm_waker waker = c->waker;
    c->waker = (sm_waker){0};
    sm_mutex_unlock(&c->lock);
    sm_wake(waker);
}

static const char *header_line(sm_arena *a, sm_str name, sm_str value)
{
    sm_buf line = {0};
    sm_buf_text(&line, name);
    sm_buf_text(&line, value.len > 0 ? SM_STR(": ") : SM_STR(";")); /* libcurl's empty header */
    sm_buf_text(&line, value);
    const sm_str text = sm_arena_str(a, sm_buf_str(&line));
    sm_buf_release(&line);
    return text.data;
}

static void hash_payload(smi_s3_call *c)
{
    if (c->payload_hash[0] != '\0') {
        return; /* an earlier attempt's */
    }
    if (c->s3->is_encrypted && c->ask.body) {
        snprintf(c->payload_hash, sizeof(c->payload_hash), "%s", SMI_UNSIGNED.data);
    } else {
        const smi_sha256_hex hex = smi_sha256_print(smi_sha256_of(c->ask.body, c->ask.n_body));
        memcpy(c->payload_hash, hex.text, sizeof(hex.text));
    }
}

sm_str smi_s3_host(const smi_s3 *s, const char *region, sm_arena *a)
{
    const sm_str host =
        s->is_aws ? sm_arena_strf(a, "s3.%s.%s", region, s->host) : sm_str_of(s->host);
    return s->is_path_style || s->is_web ? host
                                         : sm_arena_strf(a, "%s.%.*s", s->bucket, SM_STR_ARG(host));
}

/* "/base/bucket/key": it is signed, and sent in encoded form. */
static sm_str path_of(const smi_s3_call *c, sm_arena *a)
{
    const smi_s3 *s = c->s3;
    const sm_str key = c->ask.key;
    const sm_str parts[] = {sm_str_of(s->base), SM_STR("/"),
                            s->is_path_style ? sm_str_of(s->bucket) : SM_STR(""),
                            s->is_path_style && key.len > 0 ? SM_STR("/") : SM_STR(""), key};
    sm_buf path = {0};
    for (int i = 0; i < SM_COUNT(parts); i++) {
        sm_buf_text(&path, parts[i]);
    }
    const sm_str copy = sm_arena_str(a, sm_buf_str(&path));
    sm_buf_release(&path);
    return copy;
}

/* The path of a web page, which users write in encoded form; encodes only what HTTP cannot carry.
 * */
static sm_str web_path(sm_str path, sm_arena *a)
{
    sm_buf out = {0};
    for (size_t i = 0; i < path.len; i++) {
        const uint8_t c = (uint8_t)path.data[i];
        if (c > ' ' && c < 0x7f) {
            sm_buf_text(&out, (sm_str){path.data + i, 1});
        } else {
            sm_buf_printf(&out, "%%%02X", c);
        }
    }
    const sm_str copy = sm_arena_str(a, sm_buf_str(&out));
    sm_buf_release(&out);
    return copy;
}

static const char *url_of(const smi_s3_call *c, sm_str host, sm_str path, sm_arena *a)
{
    const sm_str query = smi_query_encode(c->ask.params, c->ask.n_params, a);
    const sm_str sent = c->s3->is_web ? web_path(path, a) : smi_uri_encode(path, true, a);
    const sm_str parts[] = {
        sm_str_of(c->s3->scheme), SM_STR("://"), host, sent, SM_STR("?"), query};
    sm_buf url = {0};
    for (int i = 0; i < SM_COUNT(parts) - (query.len > 0 ? 0 : 2); i++) {
        sm_buf_text(&url, parts[i]);
    }
    const sm_str copy = sm_arena_str(a, sm_buf_str(&url));
    sm_buf_release(&url);
    return copy.data;
}

/* The signed headers of an attempt; host comes first. */
static sm_pair *headers_of(const smi_s3_call *c, const smi_keys *keys, sm_str host,
                           const char *date, int *n_headers)
{
    sm_arena *a = c->arena;
    const smi_s3_ask *ask = &c->ask;
    sm_pair *headers = SM_NEW_ARRAY(a, sm_pair, ask->n_headers + 5);
    int n = 0;
    headers[n++] = (sm_pair){SM_STR("host"), host};
    if (!c->s3->is_web) {
        headers[n++] = (sm_pair){SM_STR("x-amz-date"), sm_arena_str(a, sm_str_of(date))};
        headers[n++] = (sm_pair){SM_STR("x-amz-content-sha256"), sm_str_of(c->payload_hash)};
    }
    if (keys->token[0] != '\0') {
        headers[n++] =
            (sm_pair){SM_STR("x-amz-security-token"), sm_arena_str(a, sm_str_of(keys->token))};
    }
    if (ask->into) {
        SM_ASSERT(c->have < ask->into_len); /* a call that has all bytes is not sent again */
        const uint64_t end = ask->off_bytes + ask->into_len;
        headers[n++] = (sm_pair){SM_STR("range"), sm_arena_strf(a, "bytes=%" PRIu64 "-%" PRIu64,
                                                                ask->off_bytes + c->have, end - 1)};
    }
    for (int i = 0; i < ask->n_headers; i++) {
        headers[n++] = ask->headers[i];
    }
    SM_ASSERT(n <= ask->n_headers + 5);
    *n_headers = n;
    return headers;
}

/* Signs the attempt and sets its URL and headers. */
static void prepare_attempt(smi_s3_call *c, const smi_keys *keys, const char *region,
                            int64_t time_us)
{
    sm_arena *a = c->arena;
    char date[SMI_AMZ_DATE_BYTES];
    int n = 0;
    smi_amz_date(time_us, date);
    if (!c->s3->is_web) {
        hash_payload(c);
    }
    const sm_str host = smi_s3_host(c->s3, region, a);
    const sm_pair *headers = headers_of(c, keys, host, date, &n);
    const smi_signing signing = {.method = sm_str_of(c->ask.method),
                                 .path = path_of(c, a),
                                 .params = c->ask.params,
                                 .n_params = c->ask.n_params,
                                 .headers = headers,
                                 .n_headers = n,
                                 .payload_hash = sm_str_of(c->payload_hash),
                                 .region = sm_str_of(region),
                                 .service = SM_STR("s3"),
                                 .key_id = sm_str_of(keys->key_id),
                                 .secret = sm_str_of(keys->secret),
                                 .time_us = time_us};
    const char **lines = SM_NEW_ARRAY(a, const char *, n + 1);
    int n_lines = 0;
    for (int i = 1; i < n; i++) { /* libcurl sends host itself */
        lines[n_lines++] = header_line(a, headers[i].key, headers[i].value);
    }
    if (!keys->is_anonymous) {
        lines[n_lines++] =
            header_line(a, SM_STR("authorization"), smi_sign(&signing, a).authorization);
    }
    c->x.url = url_of(c, host, signing.path, a);
    c->x.headers = lines;
}

static sm_status send_attempt(smi_s3_call *c, int64_t delay_ms, sm_waker waker, sm_error *e)
{
    smi_s3 *s = c->s3;
    smi_keys keys;
    char region[sizeof(s->region)];
    if (s->is_web) {
        keys = (smi_keys){.is_anonymous = true};
    } else {
        SM_TRY(smi_keyring_get(s->keyring, c->has_renewed ? c->key_id : NULL, &keys, e));
    }
    sm_mutex_lock(&s->lock);
    memcpy(region, s->region, sizeof(region));
    const int64_t time_us = sm_now_us() + s->skew_us;
    sm_mutex_unlock(&s->lock);
    if (!c->arena) {
        c->arena = sm_arena_new(NULL);
        c->began_ns = sm_monotonic_ns();
    }
    sm_arena_reset(c->arena);
    prepare_attempt(c, &keys, region, time_us);
    memcpy(c->key_id, keys.key_id, sizeof(c->key_id));
    memcpy(c->key_source, keys.source, sizeof(c->key_source));
    explicit_bzero(&keys, sizeof(keys));
    c->x.method = c->ask.method;
    c->x.body = c->ask.body;
    c->x.n_body = c->ask.n_body;
    c->x.into = c->ask.into;
    c->x.n_into = c->ask.n_into;
    c->x.into_from = c->have;
    c->x.into_len = c->ask.into_len;
    c->x.text.max_bytes = c->ask.text_max > 0 ? c->ask.text_max : TEXT_MAX;
    c->x.not_before_ns = delay_ms > 0 ? sm_monotonic_ns() + delay_ms * 1000000 : 0;
    c->x.ca_file = s->ca_file;
    c->x.follows = s->is_web;
    c->x.done = on_answer;
    c->n_attempts++;
    sm_mutex_lock(&c->lock);
    SM_ASSERT(c->is_sent == c->is_answered); /* one attempt at a time */
    c->is_sent = true;
    c->is_answered = false;
    c->waker = waker;
    sm_mutex_unlock(&c->lock);
    sm_http_send(s->http, &c->x);
    return SM_WAIT;
}

/* ---- reading responses ----------------------------------------------------------------------- */

/* The error in a response of S3. */
typedef struct s3_error {
    char code[64], message[160], region[64];
    bool is_xml;
} s3_error;

static void copy_text(char *to, size_t cap, sm_str text)
{
    snprintf(to, cap, "%.*s", (int)(text.len < cap ? text.len : cap - 1), text.data);
}

static void on_error_element(void *ctx, sm_str parent, sm_str name, sm_str text)
{
    s3_error *err = ctx;
    err->is_xml = true;
    if (!sm_str_is(parent, "Error")) {
        return;
    }
    if (sm_str_is(name, "Code")) {
        copy_text(err->code, sizeof(err->code), text);
    } else if (sm_str_is(name, "Message")) {
        copy_text(err->message, sizeof(err->message), text);
    } else if (sm_str_is(name, "Region")) {
        copy_text(err->region, sizeof(err->region), text);
    }
}

/* The error in a response; its code is "" if there is none. */
static s3_error read_error(const sm_exchange *x)
{
    s3_error err = {0};
    if (x->text.len > 0 &&
        smi_xml_read(sm_buf_str(&x->text), on_error_element, &err, NULL) != SM_OK) {
        err.is_xml = err.is_xml && err.code[0] != '\0';
    }
    if (err.region[0] == '\0') {
        copy_text(err.region, sizeof(err.region), sm_str_of(x->header[SM_HTTP_REGION]));
    }
    return err;
}

static bool is_code(const s3_error *err, const char *const *codes, int n)
{
    for (int i = 0; i < n; i++) {
        if (strcmp(err->code, codes[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* Is it a failure that may pass, so that another attempt is worthwhile? */
static bool may_pass(const sm_exchange *x, const s3_error *err)
{
    static const char *const codes[] = {"InternalError",
                                        "SlowDown",
                                        "ServiceUnavailable",
                                        "RequestTimeout",
                                        "Throttling",
                                        "ThrottlingException",
                                        "ConditionalRequestConflict",
                                        "OperationAborted",
                                        "RequestLimitExceeded",
                                        "BandwidthLimitExceeded",
                                        "XAmzContentSHA256Mismatch",
                                        "BadDigest",
                                        "XAmzContentChecksumMismatch",
                                        "IncompleteBody"};
    const int s = x->status;
    return s == 500 || s == 502 || s == 503 || s == 504 || s == 408 || s == 429 || s == 409 ||
           is_code(err, codes, SM_COUNT(codes));
}

/* Milliseconds to wait before the next attempt; −1 if there is to be none. */
static int64_t delay_of_next(smi_s3_call *c)
{
    smi_s3 *s = c->s3;
    uint32_t random = 0;
    int64_t asked_ms = 0;
    const int64_t spent_ms = (sm_monotonic_ns() - c->began_ns) / 1000000;
    SM_ASSERT(c->n_attempts > 0);
    sm_mutex_lock(&s->lock);
    SM_ASSERT(s->retry_tokens >= 0 && s->retry_tokens <= SMI_RETRY_TOKENS);
    const bool may = s->retry_tokens >= RETRY_COST;
    s->retry_tokens -= may ? RETRY_COST : 0;
    sm_mutex_unlock(&s->lock);
    if (!may || c->n_attempts >= s->attempts_max || spent_ms > ALL_MAX_MS) {
        return -1;
    }
    const int64_t n = c->n_attempts < 20 ? c->n_attempts - 1 : 19;
    const int64_t most = DELAY_FIRST_MS << n;
    sm_random_bytes(&random, sizeof(random));
    const int64_t jitter_ms = (int64_t)random % ((most < DELAY_MAX_MS ? most : DELAY_MAX_MS) + 1);
    if (sm_parse_i64(sm_str_of(c->x.header[SM_HTTP_RETRY_AFTER]), &asked_ms) && asked_ms > 0) {
        asked_ms = asked_ms > 60 ? 60000 : asked_ms * 1000;
    }
    return jitter_ms > asked_ms ? jitter_ms : asked_ms;
}

/* Sends again after a delay, or returns the failure in `e` if there were enough attempts. */
static sm_status try_again(smi_s3_call *c, sm_waker waker, sm_status failed, sm_error *e)
{
    const int64_t delay_ms = delay_of_next(c);
    if (delay_ms < 0) {
        return sm_within(e, failed, "after %" PRId64 " attempts in %.1f s", c->n_attempts,
                         (double)(sm_monotonic_ns() - c->began_ns) / 1e9);
    }
    smi_count_retry(&c->s3->store);
    sm_log(sm_store_log(&c->s3->store), SM_LOG_INFO,
           "s3: attempt %" PRId64 " to %s: %s; next in %" PRId64 " ms", c->n_attempts, c->ask.doing,
           e ? e->what : "failed", delay_ms);
    return send_attempt(c, delay_ms, waker, e);
}

/* Handles an attempt without a complete response. */
static sm_status take_broken_body(smi_s3_call *c, sm_waker waker, sm_error *e)
{
    const sm_exchange *x = &c->x;
    const char *host = c->s3->host;
    sm_status st = SM_IO;
    c->have += x->got; /* of a range, these bytes are good */
    SM_ASSERT(!c->ask.into || c->have <= c->ask.into_len);
    switch (x->failure) {
    case SM_HTTP_CANCELLED:
        return sm_fail(e, SM_INTERRUPTED, "cancelled");
    case SM_HTTP_NO_TRUST:
        st = sm_fail(e, SM_DENIED, "could not make a TLS connection to %.80s: %s", host, x->why);
        sm_error_todo(
            e, "If the endpoint has a certificate of its own, name the file of its authority in "
               "AWS_CA_BUNDLE.");
        return st;
    case SM_HTTP_NO_HOST:
        st = sm_fail(e, SM_IO, "could not resolve the endpoint %.100s: %s", host, x->why);
        sm_error_todo(e, "Check AWS_ENDPOINT_URL and the region.");
        return c->n_attempts < 3 ? try_again(c, waker, st, e) : st;
    case SM_HTTP_NO_CONNECT:
        st = sm_fail(e, SM_IO, "could not connect to the endpoint %.80s: %s", host, x->why);
        sm_error_todo(e, "Check that the server is running, and AWS_ENDPOINT_URL.");
        return c->n_attempts < 4 ? try_again(c, waker, st, e) : st;
    case SM_HTTP_LOOP:
        return sm_fail(e, SM_IO, "%.80s redirects without end", host);
    case SM_HTTP_TOO_LONG:
        st = sm_fail(e, SM_CORRUPT, "%.80s sent more than was asked for", host);
        sm_error_todo(e, "Use a server that sends ranges of files (HTTP range requests).");
        return st;
    case SM_HTTP_STALLED:
        return try_again(
            c, waker, sm_fail(e, SM_TIMEOUT, "%.80s sent nothing for too long: %s", host, x->why),
            e);
    default:
        return try_again(c, waker,
                         sm_fail(e, SM_IO, "the connection to %.80s failed: %s", host, x->why), e);
    }
}

/* Corrects region, clock or keys if the response says so, each once. Returns whether it did: then
 * another attempt may succeed. */
static bool correct_once(smi_s3_call *c, const s3_error *err)
{
    static const char *const expired[] = {"ExpiredToken", "ExpiredTokenException",
                                          "TokenRefreshRequired"};
    smi_s3 *s = c->s3;
    int64_t server_us = 0;
    const bool has_date = sm_http_date(c->x.header[SM_HTTP_DATE], &server_us);
    sm_mutex_lock(&s->lock);
    const bool is_elsewhere = err->region[0] != '\0' && strcmp(err->region, s->region) != 0;
    const bool moves = is_elsewhere && !c->has_moved;
    if (moves) {
        memcpy(s->region, err->region, sizeof(s->region));
    }
    const int64_t skew_us = server_us - sm_now_us();
    const int64_t off_us = skew_us - s->skew_us;
    const bool sets_clock = has_date && !c->has_set_clock && c->x.status == 403 &&
                            (strcmp(err->code, "RequestTimeTooSkewed") == 0 ||
                             off_us > CLOCK_SKEW_US || off_us < -CLOCK_SKEW_US);
    if (sets_clock) {
        s->skew_us = skew_us;
    }
    sm_mutex_unlock(&s->lock);
    const bool renews = !c->has_renewed && is_code(err, expired, SM_COUNT(expired));
    c->has_moved |= moves;
    c->has_set_clock |= sets_clock;
    c->has_renewed |= renews;
    return moves || sets_clock || renews;
}

/* What a code means to the user. */
typedef struct code_row {
    const char *code;
    sm_status status;
    const char *advice;
} code_row;

static const code_row code_rows[] = {
    {"NoSuchKey", SM_NOT_FOUND, ""},
    {"NoSuchUpload", SM_NOT_FOUND, ""},
    {"NoSuchBucket", SM_NAME, "Check the bucket's name and the endpoint, or make the bucket."},
    {"InvalidBucketName", SM_NAME, "Check the bucket's name."},
    {"InvalidAccessKeyId", SM_DENIED,
     "The server does not know this access key: check AWS_ACCESS_KEY_ID and the endpoint."},
    {"XAdminUserNotFound", SM_DENIED, /* versitygw's word for the same */
     "The server does not know this access key: check AWS_ACCESS_KEY_ID and the endpoint."},
    {"SignatureDoesNotMatch", SM_DENIED,
     "The secret does not belong to the access key: check AWS_SECRET_ACCESS_KEY."},
    {"AccessDenied", SM_DENIED, "These keys may not do this here: check their permissions."},
    {"ExpiredToken", SM_DENIED, "The session has expired: get new keys."},
    {"InvalidToken", SM_DENIED, "The session token is not good: check AWS_SESSION_TOKEN."},
    {"RequestTimeTooSkewed", SM_DENIED, "Set this machine's clock."},
    {"PermanentRedirect", SM_NAME, "Set AWS_REGION to the bucket's region."},
    {"AuthorizationHeaderMalformed", SM_NAME, "Set AWS_REGION to the bucket's region."},
    {"IllegalLocationConstraintException", SM_NAME, "Set AWS_REGION to the bucket's region."},
    {"NotImplemented", SM_UNSUPPORTED, ""},
    {"InvalidRange", SM_CORRUPT, ""},
};

/* The row of a code; for a code without one, what the HTTP status says. */
static code_row code_row_of(const s3_error *err, int status)
{
    for (int i = 0; i < SM_COUNT(code_rows); i++) {
        if (strcmp(code_rows[i].code, err->code) == 0) {
            return code_rows[i];
        }
    }
    if (status == 401 || status == 403) {
        return (code_row){"", SM_DENIED,
                          "These keys may not do this here: check the keys and their permissions."};
    }
    return (code_row){"", status == 416 ? SM_CORRUPT : status == 501 ? SM_UNSUPPORTED : SM_IO, ""};
}

static sm_status refuse_page(const smi_s3_call *c, sm_error *e)
{
    const int status = c->x.status;
    return status == 404 || status == 410 ? sm_fail(e, SM_NOT_FOUND, "no such page")
           : status == 401 || status == 403
               ? sm_fail(e, SM_DENIED, "the server refused access: HTTP status %d", status)
           : status == 412
               ? sm_fail(e, SM_CONFLICT, "the page was replaced meanwhile")
               : sm_fail(e, SM_IO, "could not %s: HTTP status %d", c->ask.doing, status);
}

/* The failure of a response that another attempt would not change. */
static sm_status refuse_response(const smi_s3_call *c, const s3_error *err, sm_error *e)
{
    if (c->s3->is_web) {
        return refuse_page(c, e);
    }
    const sm_exchange *x = &c->x;
    const char *code = err->code;
    const code_row row = code_row_of(err, x->status);
    if (x->status == 412) {
        return c->ask.is_if_absent ? sm_fail(e, SM_EXISTS, "the object exists already")
                                   : sm_fail(e, SM_CONFLICT, "the object was replaced meanwhile");
    }
    if (strcmp(code, "NoSuchKey") == 0 ||
        (x->status == 404 && strcmp(c->ask.method, "HEAD") == 0)) {
        return sm_fail(e, SM_NOT_FOUND, "no such object");
    }
    if (!err->is_xml && x->text.len > 0) {
        sm_fail(e, SM_UNSUPPORTED, "%.80s does not answer as S3 does: HTTP status %d, %.40s",
                c->s3->host, x->status, x->header[SM_HTTP_TYPE]);
        sm_error_todo(e, "Check AWS_ENDPOINT_URL: it may be that of a console or a proxy.");
        return SM_UNSUPPORTED;
    }
    if (code[0] != '\0') {
        sm_fail(e, row.status, "could not %s: %s: %.100s (HTTP %d)", c->ask.doing, code,
                err->message, x->status);
    } else {
        sm_fail(e, row.status, "could not %s: HTTP status %d, with keys from %s", c->ask.doing,
                x->status, c->key_source);
    }
    if (row.advice[0] != '\0') {
        sm_error_todo(e, "%s", row.advice);
    }
    return row.status;
}

/* Was the body of an object changed on its way? Known only for a whole object with a checksum. */
static bool has_changed(const smi_s3_call *c)
{
    const smi_s3_ask *ask = &c->ask;
    uint32_t want = ask->checksum, crc = 0;
    if (!ask->into) {
        return ask->is_object && smi_s3_checksum_read(&c->x, &want) &&
               sm_crc32(0, c->x.text.data, c->x.text.len) != want;
    }
    if (!ask->has_checksum) {
        return false;
    }
    size_t at = 0; /* the parts may overlap */
    for (int i = 0; i < ask->n_into; i++) {
        const sm_into *part = &ask->into[i];
        const size_t end = part->off + part->len;
        if (end > at) {
            crc = sm_crc32(crc, part->to + (at - part->off), end - at);
            at = end;
        }
    }
    return crc != want;
}

/* Handles a response with status 2xx: is it what was asked for? */
static sm_status take_success(smi_s3_call *c, sm_waker waker, sm_error *e)
{
    smi_s3 *s = c->s3;
    const sm_exchange *x = &c->x;
    if (c->ask.into) {
        c->have += x->got;
        SM_ASSERT(c->have <= c->ask.into_len);
        if (c->have < c->ask.into_len) {
            return try_again(c, waker,
                             sm_fail(e, SM_IO, "%.80s sent less than was asked for", s->host), e);
        }
    }
    if (has_changed(c)) {
        c->have = 0;
        return try_again(
            c, waker, sm_fail(e, SM_CORRUPT, "the body was changed on its way from %.80s", s->host),
            e);
    }
    sm_mutex_lock(&s->lock);
    s->retry_tokens += s->retry_tokens < SMI_RETRY_TOKENS;
    sm_mutex_unlock(&s->lock);
    return SM_OK;
}

static sm_status take_answer(smi_s3_call *c, sm_waker waker, sm_error *e)
{
    const sm_exchange *x = &c->x;
    if (x->failure != SM_HTTP_ANSWERED) {
        return take_broken_body(c, waker, e);
    }
    const bool is_good = x->status >= 200 && x->status < 300;
    if (is_good && (c->ask.into || x->text.len == 0)) {
        return take_success(c, waker, e);
    }
    const s3_error err = c->ask.is_object && is_good ? (s3_error){0} : read_error(x);
    if (is_good && err.code[0] == '\0' && (err.is_xml || c->ask.is_object)) {
        return take_success(c, waker, e);
    }
    if (correct_once(c, &err)) {
        return send_attempt(c, 0, waker, e);
    }
    if (may_pass(x, &err) || (is_good && err.code[0] != '\0')) {
        const sm_status st = refuse_response(c, &err, e);
        return try_again(c, waker, st, e);
    }
    return refuse_response(c, &err, e);
}

/* ---- stepping -------------------------------------------------------------------------------- */

sm_status smi_s3_call_step(smi_s3_call *c, sm_waker waker, sm_error *e)
{
    sm_mutex_lock(&c->lock);
    const bool is_first = !c->is_sent;
    const bool waits = c->is_sent && !c->is_answered;
    if (waits) {
        c->waker = waker;
    }
    sm_mutex_unlock(&c->lock);
    if (waits) {
        return SM_WAIT;
    }
    return is_first ? send_attempt(c, 0, waker, e) : take_answer(c, waker, e);
}

sm_status smi_s3_call_wait(smi_s3_call *c, sm_error *e)
{
    sm_pause pause;
    sm_pause_init(&pause);
    sm_status st = SM_OK;
    while ((st = smi_s3_call_step(c, sm_pause_waker(&pause), e)) == SM_WAIT) {
        sm_pause_wait(&pause);
    }
    sm_pause_release(&pause);
    return st;
}

void smi_s3_call_hasten(smi_s3_call *c)
{
    sm_http_cancel(c->s3->http, &c->x);
}

void smi_s3_call_release(smi_s3_call *c)
{
    sm_pause pause;
    sm_pause_init(&pause);
    sm_mutex_lock(&c->lock);
    const bool is_away = c->is_sent && !c->is_answered;
    if (is_away) {
        c->waker = sm_pause_waker(&pause);
    }
    sm_mutex_unlock(&c->lock);
    if (is_away) {
        smi_s3_call_hasten(c);
        sm_pause_wait(&pause);
    }
    sm_pause_release(&pause);
    sm_buf_release(&c->x.text);
    sm_arena_free(c->arena);
    sm_mutex_release(&c->lock);
}
