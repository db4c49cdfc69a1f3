/* SPDX-License-Identifier: Apache-2.0
 *
 * net/net.c: the wire: one thread that carries out the HTTP requests given to it.
 *
 * Method   libcurl's multi interface. Requests wait in a queue under a lock. The thread starts each
 *          when its time has come, copies the bytes of the response to where the owner wants them,
 *          and calls `done`. Connections are kept and reused; over TLS, HTTP/2 streams share one if
 *          the server offers it.
 * Events   libcurl says which sockets it waits for; the thread waits for them by epoll, and tells
 *          it which are ready. So an event costs the same however many requests are under way:
 *          curl_multi_perform() looks at the socket of each, 21 calls of poll() a request with 64
 *          of them. Who sends wakes the thread only if it is asleep.
 * libcurl  is opened on first use: with the libraries that it needs it takes time and 9 MB, which a
 *          run on local files does not pay. Redirects are followed only for requests that are not
 *          signed, as a signature is valid for one host. Proxies come from the environment, as
 *          libcurl reads it. */
#include "net/net.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/library.h"
#include "base/log.h"
#include "base/pool.h"
#include "base/time.h"

#define CONNECT_MS      10000
#define STALL_MS        30000
#define CONNECTIONS_MAX 64 /* to one host */
#define BUFFER_BYTES    131072L
#define REDIRECTS_MAX   10L
#define IDLE_HANDLES    16
#define WAIT_MS         1000
#define EVENTS          64 /* that are taken at a time */
/* The memory of libcurl, of the libraries that it loads, and of the connections of a scan. */
#define RESERVED_BYTES ((size_t)12 << 20)

/* ---- libcurl --------------------------------------------------------------------------------- */

typedef struct curl_api {
    CURLcode (*global_init)(long flags);
    CURL *(*easy_init)(void);
    void (*easy_cleanup)(CURL *easy);
    void (*easy_reset)(CURL *easy);
    CURLcode (*easy_setopt)(CURL *easy, CURLoption option, ...);
    CURLcode (*easy_getinfo)(CURL *easy, CURLINFO info, ...);
    const char *(*easy_strerror)(CURLcode code);
    struct curl_slist *(*slist_append)(struct curl_slist *list, const char *text);
    void (*slist_free_all)(struct curl_slist *list);
    CURLM *(*multi_init)(void);
    CURLMcode (*multi_cleanup)(CURLM *multi);
    CURLMcode (*multi_setopt)(CURLM *multi, CURLMoption option, ...);
    CURLMcode (*multi_add_handle)(CURLM *multi, CURL *easy);
    CURLMcode (*multi_remove_handle)(CURLM *multi, CURL *easy);
    CURLMcode (*multi_socket_action)(CURLM *multi, curl_socket_t s, int events, int *n_running);
    CURLMsg *(*multi_info_read)(CURLM *multi, int *n_left);
    time_t (*getdate)(const char *text, const time_t *unused);
} curl_api;

static sm_mutex api_lock = {PTHREAD_MUTEX_INITIALIZER};
static curl_api api; /* filled in once, under the lock; const from then on */

/* Called with the lock held. */
static sm_status load_curl(sm_error *e)
{
    static const sm_symbol symbols[] = {
        {"curl_easy_init", &api.easy_init},
        {"curl_easy_cleanup", &api.easy_cleanup},
        {"curl_easy_reset", &api.easy_reset},
        {"curl_easy_setopt", &api.easy_setopt},
        {"curl_easy_getinfo", &api.easy_getinfo},
        {"curl_easy_strerror", &api.easy_strerror},
        {"curl_slist_append", &api.slist_append},
        {"curl_slist_free_all", &api.slist_free_all},
        {"curl_multi_init", &api.multi_init},
        {"curl_multi_cleanup", &api.multi_cleanup},
        {"curl_multi_setopt", &api.multi_setopt},
        {"curl_multi_add_handle", &api.multi_add_handle},
        {"curl_multi_remove_handle", &api.multi_remove_handle},
        {"curl_multi_socket_action", &api.multi_socket_action},
        {"curl_multi_info_read", &api.multi_info_read},
        {"curl_getdate", &api.getdate},
        {"curl_global_init", &api.global_init},
    };
    static const char *const files[] = {"libcurl.so.4", "libcurl-gnutls.so.4", NULL};
    static const sm_library library = {.files = files,
                                       .package = "libcurl (Debian: libcurl4)",
                                       .symbols = symbols,
                                       .n_symbols = SM_COUNT(symbols)};
    if (api.global_init) {
        return SM_OK;
    }
    SM_TRY(sm_library_open(&library, e));
    if (api.global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        return sm_fail(e, SM_UNSUPPORTED, "libcurl could not be initialised");
    }
    return SM_OK;
}

static sm_status open_curl(sm_error *e)
{
    sm_mutex_lock(&api_lock);
    const sm_status st = load_curl(e);
    sm_mutex_unlock(&api_lock);
    return st;
}

/* ---- the wire -------------------------------------------------------------------------------- */

typedef struct exchange_list {
    sm_exchange *first, *last;
} exchange_list;

struct sm_http {
    _Atomic int32_t refs;
    sm_budget *budget; /* charged while the thread runs; NULL: none */
    const sm_logger *log;

    sm_mutex starting; /* guards the next four, which do not change once they are set */
    CURLM *multi;
    int events;        /* epoll: the sockets that libcurl waits for, and `bell` */
    int bell;          /* eventfd: there is news */
    sm_thread *thread; /* NULL: not started */

    sm_mutex lock;        /* guards the rest, without `idle` */
    exchange_list queued; /* the thread has not seen them, or their time has not come */
    exchange_list running;
    bool has_cancelled; /* one of `running` or `queued` is cancelled */
    bool is_ending;
    bool has_news;  /* for the thread, since it looked at the lists */
    bool is_asleep; /* the thread must be woken for news */

    /* used by the thread only */
    int64_t due_ns;           /* when libcurl wants to be called; −1: when a socket is ready */
    CURL *idle[IDLE_HANDLES]; /* handles to be used again */
    int n_idle;
};

static void append_exchange(exchange_list *l, sm_exchange *x)
{
    SM_ASSERT((l->first == NULL) == (l->last == NULL));
    x->prev = l->last;
    x->next = NULL;
    *(x->prev ? &x->prev->next : &l->first) = x;
    l->last = x;
}

static void take_out_exchange(exchange_list *l, sm_exchange *x)
{
    /* Taken out of a list that it is not in, it would break both. */
    SM_ASSERT(x->prev ? x->prev->next == x : l->first == x);
    SM_ASSERT(x->next ? x->next->prev == x : l->last == x);
    *(x->prev ? &x->prev->next : &l->first) = x->next;
    *(x->next ? &x->next->prev : &l->last) = x->prev;
    x->prev = x->next = NULL;
}

/* ---- bytes ----------------------------------------------------------------------------------- */

static const char *const header_names[SM_HTTP_HEADERS] = {
    [SM_HTTP_DATE] = "date",
    [SM_HTTP_ETAG] = "etag",
    [SM_HTTP_LENGTH] = "content-length",
    [SM_HTTP_RANGE] = "content-range",
    [SM_HTTP_TYPE] = "content-type",
    [SM_HTTP_MODIFIED] = "last-modified",
    [SM_HTTP_RETRY_AFTER] = "retry-after",
    [SM_HTTP_REGION] = "x-amz-bucket-region",
    [SM_HTTP_CHECKSUM] = "x-amz-checksum-crc32",
    [SM_HTTP_SERVER] = "server",
};

/* Called for each line of a response's head. A status line begins a new head, which replaces an
 * earlier one ("100 Continue"). */
static size_t on_header(char *bytes, size_t size, size_t n, void *ctx)
{
    sm_exchange *x = ctx;
    sm_str line = {bytes, size * n};
    while (line.len > 0 && (line.data[line.len - 1] == '\n' || line.data[line.len - 1] == '\r')) {
        line.len--;
    }
    const char *colon = line.len > 0 ? memchr(line.data, ':', line.len) : NULL;
    if (!colon) {
        if (sm_str_starts(line, SM_STR("HTTP/"))) {
            memset(x->header, 0, sizeof(x->header));
        }
        return size * n;
    }
    const sm_str name = {line.data, (size_t)(colon - line.data)};
    sm_str value = {colon + 1, line.len - name.len - 1};
    while (value.len > 0 && (value.data[0] == ' ' || value.data[0] == '\t')) {
        value.data++;
        value.len--;
    }
    for (int h = 0; h < SM_HTTP_HEADERS; h++) {
        if (sm_str_eq_nocase(name, sm_str_of(header_names[h])) &&
            value.len < SM_HTTP_HEADER_BYTES) {
            memcpy(x->header[h], value.data, value.len);
            x->header[h][value.len] = '\0';
        }
    }
    return size * n;
}

/* Copies those of the bytes that belong to the part. `at` is their place in the body. */
static void copy_to_part(const sm_into *part, size_t at, const char *bytes, size_t len)
{
    const size_t first = at > part->off ? at : part->off;
    const size_t part_end = part->off + part->len;
    const size_t end = at + len < part_end ? at + len : part_end;
    if (first < end) {
        memcpy(part->to + (first - part->off), bytes + (first - at), end - first);
    }
}

/* Called for bytes of a response's body. Returning less than their number ends the transfer. */
static size_t on_body(char *bytes, size_t size, size_t n, void *ctx)
{
    sm_exchange *x = ctx;
    const size_t len = size * n;
    long status = 0;
    api.easy_getinfo(x->easy, CURLINFO_RESPONSE_CODE, &status);
    if (x->into && status >= 200 && status < 300) {
        const size_t at = x->into_from + x->got;
        SM_ASSERT(at <= x->into_len);
        if (len > x->into_len - at) {
            x->failure = SM_HTTP_TOO_LONG;
            return 0;
        }
        for (int i = 0; i < x->n_into; i++) {
            copy_to_part(&x->into[i], at, bytes, len);
        }
        x->got += len;
        return len;
    }
    if (sm_buf_add(&x->text, bytes, len, NULL) != SM_OK) {
        x->failure = SM_HTTP_TOO_LONG;
        return 0;
    }
    return len;
}

static size_t body_bytes(const sm_exchange *x)
{
    size_t n = 0;
    for (int i = 0; i < x->n_body; i++) {
        n += x->body[i].len;
    }
    return n;
}

static size_t on_send(char *out, size_t size, size_t n, void *ctx)
{
    sm_exchange *x = ctx;
    size_t room = size * n;
    const size_t before = room;
    while (room > 0 && x->piece < x->n_body) {
        const sm_piece *p = &x->body[x->piece];
        SM_ASSERT(x->in_piece <= p->len);
        const size_t left = p->len - x->in_piece;
        const size_t len = left < room ? left : room;
        if (len > 0) {
            memcpy(out + (before - room), (const uint8_t *)p->bytes + x->in_piece, len);
        }
        room -= len;
        x->in_piece += len;
        if (x->in_piece == p->len) {
            x->piece++;
            x->in_piece = 0;
        }
    }
    return before - room;
}

/* libcurl sends the body again if a kept connection turns out to be closed. */
static int on_rewind(void *ctx, curl_off_t to, int origin)
{
    sm_exchange *x = ctx;
    x->piece = 0;
    x->in_piece = 0;
    return to == 0 && origin == SEEK_SET ? CURL_SEEKFUNC_OK : CURL_SEEKFUNC_FAIL;
}

/* ---- one exchange, on the wire's thread ------------------------------------------------------ */

static void set_request(sm_exchange *x, CURL *c)
{
    struct curl_slist *list = NULL;
    for (int i = 0; x->headers[i]; i++) {
        list = api.slist_append(list, x->headers[i]);
    }
    list = api.slist_append(list, "Expect:"); /* no round trip before a body */
    list = api.slist_append(list, "Accept:");
    x->list = list;
    api.easy_setopt(c, CURLOPT_HTTPHEADER, list);
    api.easy_setopt(c, CURLOPT_URL, x->url);
    api.easy_setopt(c, CURLOPT_PATH_AS_IS, 1L);
    if (strcmp(x->method, "HEAD") == 0) {
        api.easy_setopt(c, CURLOPT_NOBODY, 1L);
    } else if (x->body) {
        api.easy_setopt(c, CURLOPT_UPLOAD, 1L);
        api.easy_setopt(c, CURLOPT_INFILESIZE_LARGE, (curl_off_t)body_bytes(x));
        api.easy_setopt(c, CURLOPT_READFUNCTION, on_send);
        api.easy_setopt(c, CURLOPT_READDATA, x);
        api.easy_setopt(c, CURLOPT_SEEKFUNCTION, on_rewind);
        api.easy_setopt(c, CURLOPT_SEEKDATA, x);
        api.easy_setopt(c, CURLOPT_CUSTOMREQUEST, x->method);
    } else {
        api.easy_setopt(c, CURLOPT_HTTPGET, 1L);
        api.easy_setopt(c, CURLOPT_CUSTOMREQUEST, x->method);
    }
}

static void set_wire(sm_exchange *x, CURL *c)
{
    const int64_t stall_s = ((x->stall_ms > 0 ? x->stall_ms : STALL_MS) + 999) / 1000;
    api.easy_setopt(c, CURLOPT_PRIVATE, x);
    api.easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    api.easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
    api.easy_setopt(c, CURLOPT_USERAGENT, "smelt/" SMELT_VERSION);
    api.easy_setopt(c, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
    api.easy_setopt(c, CURLOPT_PIPEWAIT, 1L);
    api.easy_setopt(c, CURLOPT_BUFFERSIZE, BUFFER_BYTES);
    api.easy_setopt(c, CURLOPT_UPLOAD_BUFFERSIZE, BUFFER_BYTES);
    const int64_t connect_ms = x->connect_ms > 0 ? x->connect_ms : CONNECT_MS;
    api.easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, (long)connect_ms);
    api.easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 1L);
    api.easy_setopt(c, CURLOPT_LOW_SPEED_TIME, (long)stall_s);
    api.easy_setopt(c, CURLOPT_ERRORBUFFER, x->why);
    api.easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
    api.easy_setopt(c, CURLOPT_HEADERDATA, x);
    api.easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
    api.easy_setopt(c, CURLOPT_WRITEDATA, x);
    if (x->follows) {
        api.easy_setopt(c, CURLOPT_FOLLOWLOCATION, 1L);
        api.easy_setopt(c, CURLOPT_MAXREDIRS, REDIRECTS_MAX);
    }
    if (x->ca_file) {
        api.easy_setopt(c, CURLOPT_CAINFO, x->ca_file);
    }
}

static sm_http_failure failure_of(CURLcode code)
{
    switch (code) {
    case CURLE_OK:
        return SM_HTTP_ANSWERED;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
        return SM_HTTP_NO_HOST;
    case CURLE_COULDNT_CONNECT:
        return SM_HTTP_NO_CONNECT;
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_ISSUER_ERROR:
        return SM_HTTP_NO_TRUST;
    case CURLE_TOO_MANY_REDIRECTS:
        return SM_HTTP_LOOP;
    case CURLE_OPERATION_TIMEDOUT:
        return SM_HTTP_STALLED;
    case CURLE_GOT_NOTHING:
    case CURLE_PARTIAL_FILE:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
    case CURLE_WEIRD_SERVER_REPLY:
        return SM_HTTP_BROKEN;
    default:
        return SM_HTTP_OTHER;
    }
}

static void begin_exchange(sm_http *h, sm_exchange *x)
{
    SM_ASSERT(x->is_busy && !x->easy && !x->list);
    SM_ASSERT(h->n_idle >= 0 && h->n_idle <= IDLE_HANDLES);
    CURL *c = h->n_idle > 0 ? h->idle[--h->n_idle] : api.easy_init();
    if (!c) {
        sm_out_of_memory(0);
    }
    x->easy = c;
    set_request(x, c);
    set_wire(x, c);
    SM_ENSURE(api.multi_add_handle(h->multi, c) == CURLM_OK);
}

/* Logs a response, without the URL's query, which may contain a signature. */
static void log_answer(const sm_http *h, const sm_exchange *x)
{
    long version = 0;
    if (!sm_log_on(h->log, SM_LOG_DEBUG) || !x->easy) {
        return;
    }
    api.easy_getinfo(x->easy, CURLINFO_HTTP_VERSION, &version);
    const char *name = version >= CURL_HTTP_VERSION_2_0   ? "HTTP/2"
                       : version == CURL_HTTP_VERSION_1_1 ? "HTTP/1.1"
                                                          : "HTTP/1.0";
    const size_t n_url = strcspn(x->url, "?");
    sm_log(h->log, SM_LOG_DEBUG, "http: %s %.*s: %s %d", x->method, n_url < 500 ? (int)n_url : 500,
           x->url, name, x->status);
}

/* Called without the lock: `done` may send, and it may free the exchange. */
static void end_exchange(sm_http *h, sm_exchange *x, CURLcode code)
{
    long status = 0;
    SM_ASSERT(x->is_busy && !x->prev && !x->next); /* in no list, and `done` is called once */
    if (x->easy) {
        api.easy_getinfo(x->easy, CURLINFO_RESPONSE_CODE, &status);
        x->status = (int)status;
        log_answer(h, x);
        api.multi_remove_handle(h->multi, x->easy);
        api.easy_reset(x->easy);
        if (h->n_idle < IDLE_HANDLES) {
            h->idle[h->n_idle++] = x->easy;
        } else {
            api.easy_cleanup(x->easy);
        }
        api.slist_free_all(x->list);
    }
    x->easy = x->list = NULL;
    if (x->failure == SM_HTTP_ANSWERED) {
        x->failure = failure_of(code);
    }
    if (x->failure != SM_HTTP_ANSWERED && x->why[0] == '\0') {
        snprintf(x->why, sizeof(x->why), "%s", api.easy_strerror(code));
    }
    x->is_busy = false;
    x->done(x);
}

/* ---- sockets and time ------------------------------------------------------------------------ */

/* libcurl tells which events of a socket it waits for. */
static int on_socket(CURL *easy, curl_socket_t s, int what, void *ctx, void *unused)
{
    const sm_http *h = ctx;
    struct epoll_event ev = {.data.fd = s};
    (void)easy, (void)unused;
    if (what == CURL_POLL_REMOVE) {
        /* It may be closed already, which has taken it out. */
        (void)epoll_ctl(h->events, EPOLL_CTL_DEL, s, NULL);
        return 0;
    }
    ev.events = (what & CURL_POLL_IN ? EPOLLIN : 0u) | (what & CURL_POLL_OUT ? EPOLLOUT : 0u);
    if (epoll_ctl(h->events, EPOLL_CTL_MOD, s, &ev) != 0) {
        return errno == ENOENT ? epoll_ctl(h->events, EPOLL_CTL_ADD, s, &ev) : -1;
    }
    return 0;
}

/* libcurl tells when it wants to be called; −1: not for the sake of time. */
static int on_timer(CURLM *multi, long ms, void *ctx)
{
    sm_http *h = ctx;
    (void)multi;
    h->due_ns = ms < 0 ? -1 : sm_monotonic_ns() + (int64_t)ms * 1000000;
    return 0;
}

/* Calls libcurl if it is time to. */
static void act_if_due(sm_http *h)
{
    int n_running = 0;
    if (h->due_ns >= 0 && h->due_ns <= sm_monotonic_ns()) {
        h->due_ns = -1; /* it may set another */
        api.multi_socket_action(h->multi, CURL_SOCKET_TIMEOUT, 0, &n_running);
    }
}

/* Waits until a socket is ready, it is time, or there is news, and lets libcurl act. */
static void wait_and_act(sm_http *h, int wait_ms)
{
    struct epoll_event ready[EVENTS];
    const int64_t left_ns = h->due_ns < 0 ? INT64_MAX : h->due_ns - sm_monotonic_ns();
    if (left_ns < (int64_t)wait_ms * 1000000) {
        wait_ms = left_ns <= 0 ? 0 : (int)((left_ns + 999999) / 1000000);
    }
    const int n = epoll_wait(h->events, ready, EVENTS, wait_ms);
    SM_ASSERT(n >= 0 || errno == EINTR);
    for (int i = 0; i < n; i++) {
        const uint32_t got = ready[i].events;
        const int bits = (got & EPOLLIN ? CURL_CSELECT_IN : 0) |
                         (got & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
                         (got & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0);
        int n_running = 0;
        uint64_t rings = 0;
        if (ready[i].data.fd == h->bell) {
            (void)!read(h->bell, &rings, sizeof(rings)); /* one that is not read rings again */
        } else {
            api.multi_socket_action(h->multi, ready[i].data.fd, bits, &n_running);
        }
    }
}

/* Says that there is news. With the lock held; returns whether the thread must be woken. */
static bool set_news(sm_http *h)
{
    const bool wakes = h->is_asleep;
    h->has_news = true;
    h->is_asleep = false;
    return wakes;
}

static void ring(const sm_http *h)
{
    const uint64_t one = 1;
    const ssize_t n = write(h->bell, &one, sizeof(one));
    SM_ENSURE(n == (ssize_t)sizeof(one)); /* its counter never comes near its limit */
}

/* ---- the thread ------------------------------------------------------------------------------ */

/* Moves the cancelled exchanges to *out. With the lock held. */
static void take_cancelled(sm_http *h, exchange_list *out)
{
    exchange_list *const lists[] = {&h->queued, &h->running};
    for (int i = 0; h->has_cancelled && i < SM_COUNT(lists); i++) {
        for (sm_exchange *x = lists[i]->first, *next; x; x = next) {
            next = x->next;
            if (x->is_cancelled) {
                take_out_exchange(lists[i], x);
                append_exchange(out, x);
            }
        }
    }
    h->has_cancelled = false;
}

/* Begins the exchanges whose time has come. Returns how long to wait for the next. With the lock
 * held. */
static int begin_due(sm_http *h)
{
    int64_t wait_ms = WAIT_MS;
    const int64_t now_ns = h->queued.first ? sm_monotonic_ns() : 0;
    for (sm_exchange *x = h->queued.first, *next; x; x = next) {
        next = x->next;
        const int64_t left_ms = (x->not_before_ns - now_ns + 999999) / 1000000;
        if (left_ms <= 0) {
            take_out_exchange(&h->queued, x);
            append_exchange(&h->running, x);
            begin_exchange(h, x);
        } else if (left_ms < wait_ms) {
            wait_ms = left_ms;
        }
    }
    SM_ASSERT(wait_ms > 0 && wait_ms <= WAIT_MS); /* 0 would make the thread spin */
    return (int)wait_ms;
}

/* Ends the exchanges that libcurl has finished. */
static void end_finished(sm_http *h)
{
    int n_left = 0;
    for (CURLMsg *m; (m = api.multi_info_read(h->multi, &n_left));) {
        if (m->msg != CURLMSG_DONE) {
            continue;
        }
        sm_exchange *x = NULL;
        const CURLcode code = m->data.result;
        api.easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &x);
        sm_mutex_lock(&h->lock);
        take_out_exchange(&h->running, x);
        sm_mutex_unlock(&h->lock);
        end_exchange(h, x, code);
    }
}

/* Takes what is new; returns how long to wait for the next request whose time comes. */
static int take_news(sm_http *h, exchange_list *cancelled, bool *is_ending)
{
    sm_mutex_lock(&h->lock);
    h->has_news = h->is_asleep = false;
    take_cancelled(h, cancelled);
    const int wait_ms = begin_due(h);
    *is_ending = h->is_ending && !h->queued.first && !h->running.first;
    sm_mutex_unlock(&h->lock);
    return wait_ms;
}

static void wire_thread(void *ctx)
{
    sm_http *h = ctx;
    for (bool is_ending = false; !is_ending;) {
        exchange_list cancelled = {0};
        const int wait_ms = take_news(h, &cancelled, &is_ending);
        for (sm_exchange *x; (x = cancelled.first);) {
            take_out_exchange(&cancelled, x);
            x->failure = SM_HTTP_CANCELLED;
            end_exchange(h, x, CURLE_ABORTED_BY_CALLBACK);
        }
        act_if_due(h);
        end_finished(h);
        sm_mutex_lock(&h->lock);
        const bool waits = !h->has_news && !is_ending;
        h->is_asleep = waits;
        sm_mutex_unlock(&h->lock);
        if (waits) {
            wait_and_act(h, wait_ms);
            end_finished(h);
        }
    }
}

/* ---- from new to free ------------------------------------------------------------------------ */

sm_http *sm_http_new(sm_budget *budget, const sm_logger *log)
{
    sm_http *h = sm_alloc_zero(sizeof(*h));
    atomic_init(&h->refs, 1);
    h->budget = budget;
    h->log = log;
    h->events = h->bell = -1;
    h->due_ns = -1;
    sm_mutex_init(&h->starting);
    sm_mutex_init(&h->lock);
    return h;
}

const sm_logger *sm_http_log(const sm_http *h)
{
    return h->log;
}

sm_http *sm_http_retain(sm_http *h)
{
    const int32_t before = atomic_fetch_add_explicit(&h->refs, 1, memory_order_relaxed);
    SM_ASSERT(before > 0);
    return h;
}

/* Makes what the thread waits by. What a failure leaves is for close_events(). */
static sm_status open_events(sm_http *h, sm_error *e)
{
    struct epoll_event ev = {.events = EPOLLIN};
    h->events = epoll_create1(EPOLL_CLOEXEC);
    h->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    ev.data.fd = h->bell;
    if (h->events < 0 || h->bell < 0 || epoll_ctl(h->events, EPOLL_CTL_ADD, h->bell, &ev) != 0) {
        return sm_fail_errno(e, errno, "could not wait for sockets");
    }
    return SM_OK;
}

static void close_events(sm_http *h)
{
    if (h->events >= 0) {
        close(h->events);
    }
    if (h->bell >= 0) {
        close(h->bell);
    }
    h->events = h->bell = -1;
}

static void make_multi(sm_http *h)
{
    h->multi = api.multi_init();
    if (!h->multi) {
        sm_out_of_memory(0);
    }
    api.multi_setopt(h->multi, CURLMOPT_MAX_HOST_CONNECTIONS, (long)CONNECTIONS_MAX);
    api.multi_setopt(h->multi, CURLMOPT_MAXCONNECTS, (long)CONNECTIONS_MAX);
    api.multi_setopt(h->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_MULTIPLEX);
    api.multi_setopt(h->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    api.multi_setopt(h->multi, CURLMOPT_SOCKETDATA, h);
    api.multi_setopt(h->multi, CURLMOPT_TIMERFUNCTION, on_timer);
    api.multi_setopt(h->multi, CURLMOPT_TIMERDATA, h);
}

/* Called with the lock `starting` held. */
static sm_status start_thread(sm_http *h, sm_error *e)
{
    SM_TRY(open_curl(e));
    sm_status st = open_events(h, e);
    if (st == SM_OK) {
        make_multi(h);
        st = sm_thread_start(wire_thread, h, "smelt-wire", &h->thread, e);
    }
    if (st != SM_OK) {
        if (h->multi) {
            api.multi_cleanup(h->multi);
        }
        h->multi = NULL;
        close_events(h);
        return st;
    }
    if (h->budget) {
        sm_budget_force(h->budget, RESERVED_BYTES);
    }
    return SM_OK;
}

sm_status sm_http_start(sm_http *h, sm_error *e)
{
    sm_mutex_lock(&h->starting);
    const sm_status st = h->thread ? SM_OK : start_thread(h, e);
    sm_mutex_unlock(&h->starting);
    return st;
}

static void stop_thread(sm_http *h)
{
    sm_mutex_lock(&h->lock);
    SM_ASSERT(!h->queued.first && !h->running.first);
    h->is_ending = true;
    const bool wakes = set_news(h);
    sm_mutex_unlock(&h->lock);
    if (wakes) {
        ring(h);
    }
    sm_thread_join(h->thread);
    for (int i = 0; i < h->n_idle; i++) {
        api.easy_cleanup(h->idle[i]);
    }
    api.multi_cleanup(h->multi);
    close_events(h);
    if (h->budget) {
        sm_budget_give(h->budget, RESERVED_BYTES);
    }
}

void sm_http_release(sm_http *h)
{
    if (!h) {
        return;
    }
    const int32_t before = atomic_fetch_sub_explicit(&h->refs, 1, memory_order_acq_rel);
    SM_ASSERT(before > 0);
    if (before > 1) {
        return;
    }
    if (h->thread) {
        stop_thread(h);
    }
    sm_mutex_release(&h->lock);
    sm_mutex_release(&h->starting);
    sm_free(h);
}

/* ---- exchanges ------------------------------------------------------------------------------- */

void sm_http_send(sm_http *h, sm_exchange *x)
{
    SM_ASSERT(h->multi && x->done);
    SM_ASSERT(!x->is_busy); /* its fields and its links are the wire's until `done` */
    SM_ASSERT(!x->into || x->into_from < x->into_len);
    for (int i = 0; x->into && i < x->n_into; i++) {
        SM_ASSERT(x->into[i].off <= x->into_len && x->into[i].len <= x->into_len - x->into[i].off);
    }
    x->is_busy = true;
    x->failure = SM_HTTP_ANSWERED;
    x->why[0] = '\0';
    x->status = 0;
    x->got = 0;
    x->piece = 0;
    x->in_piece = 0;
    x->is_cancelled = false;
    sm_buf_reset(&x->text);
    memset(x->header, 0, sizeof(x->header));
    sm_mutex_lock(&h->lock);
    append_exchange(&h->queued, x);
    const bool wakes = set_news(h);
    sm_mutex_unlock(&h->lock);
    if (wakes) {
        ring(h);
    }
}

static void end_wait(sm_exchange *x)
{
    sm_wake(sm_pause_waker(x->owner));
}

void sm_http_wait(sm_http *h, sm_exchange *x)
{
    sm_pause pause;
    sm_pause_init(&pause);
    x->owner = &pause;
    x->done = end_wait;
    sm_http_send(h, x);
    sm_pause_wait(&pause);
    sm_pause_release(&pause);
}

void sm_http_cancel(sm_http *h, sm_exchange *x)
{
    sm_mutex_lock(&h->lock);
    x->is_cancelled = true;
    h->has_cancelled = true;
    const bool wakes = set_news(h);
    sm_mutex_unlock(&h->lock);
    if (wakes) {
        ring(h);
    }
}

bool sm_http_date(const char *text, int64_t *us)
{
    const time_t seconds = text[0] != '\0' ? api.getdate(text, NULL) : -1;
    *us = (int64_t)seconds * 1000000;
    return seconds != -1;
}
