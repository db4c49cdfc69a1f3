/* SPDX-License-Identifier: Apache-2.0
 *
 * serve/clickhouse_http.c: sends statements to a ClickHouse server over its HTTP interface.
 * Called by clickhouse.c.
 *
 * Method   One POST for each statement, with user and password in headers, never in the URL. The
 *          server answers when it has the whole result (wait_end_of_query), so that a failure
 *          halfway has an HTTP status of its own. A statement without an answer is sent again,
 *          ATTEMPTS times in all.
 * Source   "HTTP interface", ClickHouse documentation */
#include <inttypes.h>
#include <stdio.h>

#include "base/quote.h"
#include "base/time.h"
#include "serve/serve_int.h"

#define ATTEMPTS   4
#define ANSWER_MAX ((size_t)4 << 20)
#define STALL_MS   120000 /* a sum over a large table takes long before its first byte */

sm_status smi_clickhouse_open(const sm_clickhouse_publish *p, sm_stores *stores, sm_arena *a,
                              smi_clickhouse *out, sm_error *e)
{
    const bool is_https = sm_str_starts(p->to, SM_STR("https://"));
    const size_t skip = is_https ? 8 : 7;
    sm_str rest = {p->to.data + skip, p->to.len > skip ? p->to.len - skip : 0};
    const char *slash = rest.len > 0 ? memchr(rest.data, '/', rest.len) : NULL;
    const sm_str host = {rest.data, slash ? (size_t)(slash - rest.data) : rest.len};
    sm_str database = {host.data + host.len + 1, slash ? rest.len - host.len - 1 : 0};
    while (database.len > 0 && database.data[database.len - 1] == '/') {
        database.len--;
    }
    if ((!is_https && !sm_str_starts(p->to, SM_STR("http://"))) || host.len == 0 ||
        memchr(host.data, '@', host.len) ||
        (database.len > 0 && memchr(database.data, '/', database.len))) {
        sm_fail(e, SM_USAGE, "\"%.*s\" is not the address of a ClickHouse database",
                SM_STR_ARG(p->to));
        sm_error_todo(e, "Name it as http://HOST:PORT/DATABASE; user and password are taken from "
                         "CLICKHOUSE_USER and CLICKHOUSE_PASSWORD.");
        return SM_USAGE;
    }
    *out = (smi_clickhouse){
        .arena = a,
        .base = sm_arena_printf(a, "http%s://%.*s", is_https ? "s" : "", SM_STR_ARG(host)),
        .database = database.len > 0 ? database : SM_STR("default"),
        .user = p->user,
        .password = p->password};
    return sm_stores_http(stores, &out->http, e);
}

/* ---- quoting --------------------------------------------------------------------------------- */

static sm_str quoted(sm_str s, char quote, sm_arena *a)
{
    sm_buf out = {0};

    sm_buf_escaped(&out, s, quote);
    const sm_str copy = sm_arena_str(a, sm_buf_str(&out));
    sm_buf_release(&out);
    return copy;
}

sm_str smi_clickhouse_name(sm_str name, sm_arena *a)
{
    return quoted(name, '`', a);
}

sm_str smi_clickhouse_text(sm_str text, sm_arena *a)
{
    return quoted(text, '\'', a);
}

/* ---- failures -------------------------------------------------------------------------------- */

typedef struct exception_row {
    int code;
    sm_status status;
    const char *advice;
} exception_row;

static const exception_row exceptions[] = {
    {516, SM_DENIED, "Check CLICKHOUSE_USER and CLICKHOUSE_PASSWORD."},
    {192, SM_DENIED, "Check CLICKHOUSE_USER."},
    {193, SM_DENIED, "Check CLICKHOUSE_PASSWORD."},
    {497, SM_DENIED, "This user needs CREATE TABLE, DROP TABLE, SELECT and the source S3."},
    {81, SM_NAME, "Make the database, or name another in --to."},
    {56, SM_UNSUPPORTED, "This server has no DeltaLake engine: use a newer one."},
    {499, SM_IO,
     "ClickHouse itself must reach the store: its endpoint by that name, with the same keys."},
    {491, SM_DENIED, "Allow the endpoint in the server's remote_url_allow_hosts."},
};

/* The reason in "Code: 516. DB::Exception: REASON", its first line, with the secret blotted out. */
static sm_str reason_of(const smi_clickhouse *c, sm_str text, int *code)
{
    char *copy = (char *)sm_arena_str(c->arena, text).data;
    *code = 0;
    (void)sscanf(copy, "Code: %d", code);
    char *at = c->hidden.len > 0 ? memmem(copy, text.len, c->hidden.data, c->hidden.len) : NULL;
    while (at) {
        memset(at, '*', c->hidden.len);
        at = memmem(at, text.len - (size_t)(at - copy), c->hidden.data, c->hidden.len);
    }
    const char *start = strstr(copy, "DB::Exception: ");
    sm_str reason = sm_str_of(start ? start + strlen("DB::Exception: ") : copy);
    const char *end = reason.len > 0 ? memchr(reason.data, '\n', reason.len) : NULL;
    reason.len = end ? (size_t)(end - reason.data) : reason.len;
    SM_ASSERT(c->hidden.len == 0 ||
              !memmem(reason.data, reason.len, c->hidden.data, c->hidden.len));
    return reason;
}

/* The error of an answer other than 200. */
static sm_status fail_answer(const smi_clickhouse *c, const char *doing, const sm_exchange *x,
                             sm_error *e)
{
    SM_ASSERT(x->failure == SM_HTTP_ANSWERED);
    int code = 0;
    const sm_str reason = reason_of(c, sm_buf_str(&x->text), &code);
    exception_row row = {0, x->status == 401 || x->status == 403 ? SM_DENIED : SM_IO, ""};
    if (code == 0 && x->status != 200) {
        sm_fail(e, row.status, "%.80s does not answer as ClickHouse does: HTTP status %d", c->base,
                x->status);
        sm_error_todo(e, "--to is the HTTP interface, port 8123 by default.");
        return row.status;
    }
    for (int i = 0; i < SM_COUNT(exceptions); i++) {
        row = exceptions[i].code == code ? exceptions[i] : row;
    }
    sm_fail(e, row.status, "ClickHouse could not %s: %.*s (code %d)", doing,
            (int)(reason.len < 110 ? reason.len : 110), reason.data, code);
    if (row.advice[0] != '\0') {
        sm_error_todo(e, "%s", row.advice);
    }
    return row.status;
}

static sm_status fail_no_answer(const smi_clickhouse *c, const char *doing, const sm_exchange *x,
                                sm_error *e)
{
    SM_ASSERT(x->failure != SM_HTTP_ANSWERED);
    const sm_status st = x->failure == SM_HTTP_STALLED    ? SM_TIMEOUT
                         : x->failure == SM_HTTP_NO_TRUST ? SM_DENIED
                                                          : SM_IO;
    sm_fail(e, st, "ClickHouse at %.60s could not be asked to %s: %.80s", c->base, doing, x->why);
    sm_error_todo(e, x->failure == SM_HTTP_NO_TRUST
                         ? "The server's certificate must be one that this machine trusts."
                         : "Check that the server runs, and the address in --to.");
    return st;
}

/* ---- asking ---------------------------------------------------------------------------------- */

static bool is_worth_another(const sm_exchange *x)
{
    return x->failure == SM_HTTP_NO_CONNECT || x->failure == SM_HTTP_BROKEN ||
           x->failure == SM_HTTP_STALLED ||
           (x->failure == SM_HTTP_ANSWERED && (x->status == 502 || x->status == 503));
}

sm_status smi_clickhouse_ask(const smi_clickhouse *c, const char *doing, sm_str statement,
                             sm_str *answer, sm_error *e)
{
    SM_ASSERT(c->http && c->base && statement.len > 0);
    sm_arena *a = c->arena;
    const sm_piece body = {statement.data, statement.len};
    const char *headers[] = {
        "Content-Type: text/plain",
        sm_arena_printf(a, "X-ClickHouse-User: %.*s",
                        SM_STR_ARG(c->user.len > 0 ? c->user : SM_STR("default"))),
        c->password.len > 0 ? sm_arena_printf(a, "X-ClickHouse-Key: %.*s", SM_STR_ARG(c->password))
                            : NULL,
        NULL};
    sm_exchange x = {.method = "POST",
                     .url = sm_arena_printf(a, "%s/?wait_end_of_query=1", c->base),
                     .headers = headers,
                     .body = &body,
                     .n_body = 1,
                     .stall_ms = STALL_MS,
                     .text = {.max_bytes = ANSWER_MAX}};
    for (int attempt = 1;; attempt++) {
        sm_http_wait(c->http, &x);
        if (attempt == ATTEMPTS || !is_worth_another(&x)) {
            break;
        }
        x.not_before_ns = sm_monotonic_ns() + (int64_t)attempt * 300000000;
    }
    sm_status st = SM_OK;
    if (x.failure != SM_HTTP_ANSWERED) {
        st = fail_no_answer(c, doing, &x, e);
    } else if (x.status != 200) {
        st = fail_answer(c, doing, &x, e);
    } else if (answer) {
        *answer = sm_arena_str(a, sm_buf_str(&x.text));
    }
    sm_buf_release(&x.text);
    return st;
}
