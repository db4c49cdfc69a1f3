/* SPDX-License-Identifier: Apache-2.0
 *
 * store/s3.c: a bucket of S3, or of a server that speaks its protocol, as a store.
 *
 * URI      s3://bucket[/prefix]. The server is that of AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL or the
 *          profile's endpoint_url, with the bucket in the path; else it is AWS, with the bucket in
 *          the host name (in the path if the bucket's name has a dot, which no certificate allows).
 * Objects  are read by s3_read.c and written by s3_writer.c.
 * Commits  A put that must not replace has If-None-Match: *. Before the first one an engine tries
 *          each bucket once; a server that ignores the header is refused by name, because two
 *          writers would overwrite each other there.
 * Lost     If the response to such a put is lost and it is sent again, it is refused like that of
 *          another writer: delta_commit.c reads back who won.
 * Web      A plain web server is the same store without bucket and signature, and read-only. */
#include <stdio.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/random.h"
#include "base/text.h"
#include "store/s3_int.h"

#define INFLIGHT_BYTES ((size_t)32 << 20)
#define REQUEST_BYTES  ((size_t)8 << 20) /* a server needs twice the time with requests of 1 MiB */
#define ATTEMPTS_MAX   10

sm_str smi_s3_key(const smi_s3 *s, sm_str key, sm_arena *a)
{
    return sm_arena_strf(a, "%s%.*s", s->prefix, SM_STR_ARG(key));
}

/* ---- objects --------------------------------------------------------------------------------- */

/* x-amz-checksum-crc32 is the CRC-32 in base64; the server compares it with the body. */
static const char base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

sm_pair smi_s3_checksum(const sm_piece *pieces, int n, sm_arena *a)
{
    uint32_t crc = 0;
    for (int i = 0; i < n; i++) {
        crc = sm_crc32(crc, pieces[i].bytes, pieces[i].len);
    }
    const uint64_t bits = (uint64_t)crc << 16; /* 48 bits, of which 32 count */
    char *text = sm_arena_alloc(a, 9);
    for (int i = 0; i < 6; i++) {
        text[i] = base64[(bits >> (42 - 6 * i)) & 63];
    }
    text[6] = text[7] = '=';
    return (sm_pair){SM_STR("x-amz-checksum-crc32"), {text, 8}};
}

bool smi_s3_checksum_read(const sm_exchange *x, uint32_t *crc32)
{
    const char *text = x->header[SM_HTTP_CHECKSUM];
    uint64_t bits = 0;
    if (strlen(text) != 8 || strcmp(text + 6, "==") != 0) {
        return false; /* none, or "…-3": that of the parts' checksums */
    }
    for (int i = 0; i < 6; i++) {
        const char *digit = strchr(base64, text[i]);
        if (!digit) {
            return false;
        }
        bits = bits << 6 | (uint64_t)(digit - base64);
    }
    *crc32 = (uint32_t)(bits >> 4);
    return true;
}

static sm_status put_once(smi_s3 *s, sm_str key, const sm_piece *body, int n_body,
                          bool is_if_absent, sm_arena *a, sm_error *e)
{
    sm_pair headers[2] = {smi_s3_checksum(body, n_body, a)};
    int n = 1;
    if (is_if_absent) {
        headers[n++] = (sm_pair){SM_STR("if-none-match"), SM_STR("*")};
    }
    const smi_s3_ask ask = {.method = "PUT",
                            .key = smi_s3_key(s, key, a),
                            .headers = headers,
                            .n_headers = n,
                            .body = body,
                            .n_body = n_body,
                            .is_if_absent = is_if_absent,
                            .doing = "write the object"};
    smi_s3_call c;
    smi_s3_call_init(&c, s, &ask);
    const sm_status st = smi_s3_call_wait(&c, e);
    smi_s3_call_release(&c);
    return st;
}

static sm_status remove_key(smi_s3 *s, sm_str key, sm_arena *a, sm_error *e)
{
    const smi_s3_ask ask = {
        .method = "DELETE", .key = smi_s3_key(s, key, a), .doing = "delete the object"};
    smi_s3_call c;
    smi_s3_call_init(&c, s, &ask);
    const sm_status st = smi_s3_call_wait(&c, e);
    smi_s3_call_release(&c);
    return st == SM_NOT_FOUND ? SM_OK : st;
}

static sm_status s3_remove(sm_store *store, sm_str key, sm_error *e)
{
    sm_arena *a = sm_arena_new(NULL);
    const sm_status st = remove_key((smi_s3 *)store, key, a, e);
    sm_arena_free(a);
    return st;
}

/* ---- puts that must not replace -------------------------------------------------------------- */

/* Puts the same key twice: the second put must be refused. */
static sm_status probe_put(smi_s3 *s, sm_arena *a, sm_error *e)
{
    char id[SM_UUID_BYTES];
    static const sm_piece body = {"smelt", 5};
    sm_uuid(id);
    const sm_str key = sm_arena_strf(a, ".smelt-probe-%s", id);
    sm_status st = put_once(s, key, &body, 1, true, a, e);
    if (st == SM_OK) { /* the first may be refused already, if its response was lost */
        st = put_once(s, key, &body, 1, true, a, e);
    }
    if (st != SM_OK && st != SM_EXISTS && st != SM_UNSUPPORTED) {
        return st;
    }
    if (remove_key(s, key, a, NULL) != SM_OK) { /* keys without the right to delete will do */
        sm_log(sm_store_log(&s->store), SM_LOG_WARN, "s3: %.*s is left in %s", SM_STR_ARG(key),
               s->bucket);
    }
    if (st == SM_EXISTS) {
        return SM_OK;
    }
    sm_fail(e, SM_UNSAFE_STORE,
            "%.100s does not honour If-None-Match: two writers would overwrite each other",
            s->host);
    sm_error_todo(e, "Use one that does: AWS S3, MinIO of 2024-11 or later, versitygw.");
    return SM_UNSAFE_STORE;
}

/* A bucket that was tried. They are kept because each table is a store of its own, and a run would
 * try the same bucket for each of them. */
typedef struct smi_safe_bucket {
    struct smi_safe_bucket *next;
    char name[]; /* host/base/bucket, ended by NUL */
} safe_bucket;

static bool is_known_safe(smi_shared *shared, sm_str name)
{
    sm_mutex_lock(&shared->lock);
    const safe_bucket *b = shared->safe;
    while (b && !sm_str_is(name, b->name)) {
        b = b->next;
    }
    sm_mutex_unlock(&shared->lock);
    return b != NULL;
}

static void remember_safe(smi_shared *shared, sm_str name)
{
    safe_bucket *b = sm_alloc(sizeof(*b) + name.len + 1);
    memcpy(b->name, name.data, name.len);
    b->name[name.len] = '\0';
    sm_mutex_lock(&shared->lock);
    b->next = shared->safe;
    shared->safe = b;
    sm_mutex_unlock(&shared->lock);
}

void smi_safe_buckets_release(smi_shared *shared)
{
    for (safe_bucket *b = shared->safe, *next; b; b = next) {
        next = b->next;
        sm_free(b);
    }
}

static sm_status ensure_safe_put(smi_s3 *s, sm_arena *a, sm_error *e)
{
    SM_ASSERT(!s->is_web && s->bucket[0] != '\0');
    const sm_str name = sm_arena_strf(a, "%s%s/%s", s->host, s->base, s->bucket);
    if (is_known_safe(s->store.stores->shared, name)) {
        return SM_OK;
    }
    SM_TRY(probe_put(s, a, e));
    remember_safe(s->store.stores->shared, name);
    return SM_OK;
}

static sm_status s3_put(sm_store *store, sm_str key, const void *bytes, size_t n, sm_put_mode mode,
                        sm_error *e)
{
    smi_s3 *s = (smi_s3 *)store;
    sm_arena *a = sm_arena_new(NULL);
    const sm_piece body = {bytes, n};
    const bool is_if_absent = mode == SM_PUT_IF_ABSENT;
    sm_status st = is_if_absent ? ensure_safe_put(s, a, e) : SM_OK;
    st = st == SM_OK ? put_once(s, key, &body, 1, is_if_absent, a, e) : st;
    sm_arena_free(a);
    return st;
}

static sm_status s3_check_put(sm_store *store, sm_error *e)
{
    sm_arena *a = sm_arena_new(NULL);
    const sm_status st = ensure_safe_put((smi_s3 *)store, a, e);
    sm_arena_free(a);
    return st;
}

/* ---- opening --------------------------------------------------------------------------------- */

static size_t s3_inflight_bytes(const sm_store *s)
{
    (void)s;
    return INFLIGHT_BYTES;
}

static sm_status s3_access(sm_store *store, sm_arena *a, sm_store_access *out, sm_error *e)
{
    smi_s3 *s = (smi_s3 *)store;
    smi_keys keys;
    SM_TRY(smi_keyring_get(s->keyring, NULL, &keys, e));
    size_t n = strlen(s->prefix);
    n -= n > 0; /* its '/' */
    const char *bucket = s->is_path_style ? sm_arena_printf(a, "/%s", s->bucket) : "";
    sm_mutex_lock(&s->lock);
    const sm_str region = sm_arena_str(a, sm_str_of(s->region));
    const sm_str host = smi_s3_host(s, s->region, a);
    sm_mutex_unlock(&s->lock);
    *out =
        (sm_store_access){.url = sm_arena_strf(a, "%s://%.*s%s%s/%.*s", s->scheme, SM_STR_ARG(host),
                                               s->base, bucket, (int)n, s->prefix),
                          .key_id = sm_arena_str(a, sm_str_of(keys.key_id)),
                          .secret = sm_arena_str(a, sm_str_of(keys.secret)),
                          .source = sm_arena_str(a, sm_str_of(keys.source)),
                          .region = region,
                          .is_anonymous = keys.is_anonymous,
                          .is_temporary = keys.token[0] != '\0'};
    explicit_bzero(&keys, sizeof(keys));
    return SM_OK;
}

static void s3_close(sm_store *store)
{
    smi_s3 *s = (smi_s3 *)store;
    smi_keyring_free(s->keyring);
    smi_connection_release(s->connection);
    sm_free(s->bucket);
    sm_free(s->prefix);
    sm_free(s->scheme);
    sm_free(s->host);
    sm_free(s->base);
    sm_free(s->ca_file);
    sm_mutex_release(&s->lock);
    sm_free(s);
}

static const sm_store_ops s3_ops = {
    .is_network = true,
    .request_bytes = REQUEST_BYTES,
    .close = s3_close,
    .inflight_bytes = s3_inflight_bytes,
    .access = s3_access,
    .list = smi_s3_list,
    .stat = smi_s3_stat,
    .get = smi_s3_get,
    .put = s3_put,
    .check_put = s3_check_put,
    .remove = s3_remove,
    .remove_many = smi_s3_remove_many,
    .copy = smi_s3_copy,
    .blob_open = smi_s3_blob_open,
    .blob_open_step = smi_s3_blob_open_step,
    .open_hasten = smi_s3_open_hasten,
    .open_free = smi_s3_open_free,
    .blob_read = smi_s3_blob_read,
    .blob_read_step = smi_s3_blob_read_step,
    .read_hasten = smi_s3_read_hasten,
    .read_free = smi_s3_read_free,
    .blob_free = smi_s3_blob_free,
    .writer_open = smi_s3_writer_open,
    .writer_write = smi_s3_writer_write,
    .writer_finish = smi_s3_writer_finish,
    .writer_free = smi_s3_writer_free,
};

static sm_status set_endpoint(smi_s3 *s, sm_str url, sm_error *e)
{
    const bool is_https = sm_str_starts(url, SM_STR("https://"));
    if (!is_https && !sm_str_starts(url, SM_STR("http://"))) {
        const sm_status st = sm_fail(e, SM_INVALID, "\"%.*s\" is not an endpoint", SM_STR_ARG(url));
        sm_error_todo(e,
                      "An endpoint, as in AWS_ENDPOINT_URL, is http://HOST:PORT or https://HOST.");
        return st;
    }
    const size_t skip = is_https ? 8 : 7;
    sm_str rest = {url.data + skip, url.len - skip};
    while (rest.len > 0 && rest.data[rest.len - 1] == '/') {
        rest.len--;
    }
    const char *slash = rest.len > 0 ? memchr(rest.data, '/', rest.len) : NULL;
    sm_str host = {rest.data, slash ? (size_t)(slash - rest.data) : rest.len};
    s->base = smi_str_dup((sm_str){rest.data + host.len, rest.len - host.len});
    /* The port that the scheme implies is not part of what is signed. */
    const sm_str implied = is_https ? SM_STR(":443") : SM_STR(":80");
    host.len -= sm_str_ends(host, implied) ? implied.len : 0;
    if (host.len == 0 || memchr(host.data, '@', host.len)) {
        return sm_fail(e, SM_INVALID, "the endpoint \"%.*s\" has no host, or names a user",
                       SM_STR_ARG(url));
    }
    s->host = smi_str_dup(host);
    s->scheme = smi_str_dup(is_https ? SM_STR("https") : SM_STR("http"));
    s->is_encrypted = is_https;
    s->is_path_style = true;
    return SM_OK;
}

static void set_aws(smi_s3 *s)
{
    s->base = smi_str_dup(SM_STR(""));
    s->scheme = smi_str_dup(SM_STR("https"));
    s->host = smi_str_dup(SM_STR("amazonaws.com"));
    s->is_encrypted = s->is_aws = true;
    s->is_path_style = strchr(s->bucket, '.') != NULL;
}

static sm_status set_names(smi_s3 *s, sm_str uri, sm_error *e)
{
    sm_str rest = {uri.data + strlen("s3://"), uri.len - strlen("s3://")};
    while (rest.len > 0 && rest.data[rest.len - 1] == '/') {
        rest.len--;
    }
    const char *slash = rest.len > 0 ? memchr(rest.data, '/', rest.len) : NULL;
    const sm_str bucket = {rest.data, slash ? (size_t)(slash - rest.data) : rest.len};
    const sm_str prefix = {rest.data + bucket.len, rest.len - bucket.len};
    if (bucket.len == 0) {
        const sm_status st = sm_fail(e, SM_INVALID, "\"%.*s\" names no bucket", SM_STR_ARG(uri));
        sm_error_todo(e, "A name in S3 is s3://BUCKET/KEY.");
        return st;
    }
    s->bucket = smi_str_dup(bucket);
    s->prefix = sm_alloc(prefix.len + 2);
    if (prefix.len == 0) {
        s->prefix[0] = '\0';
        return SM_OK;
    }
    const sm_str key = {prefix.data + 1, prefix.len - 1};
    snprintf(s->prefix, prefix.len + 2, "%.*s/", (int)key.len, key.data);
    return smi_key_check(key, e);
}

static sm_status set_place(smi_s3 *s, sm_arena *a, sm_error *e)
{
    const smi_connection *c = s->connection;
    sm_str endpoint = smi_aws_setting(c, "AWS_ENDPOINT_URL_S3", "endpoint_url", a);
    const char *all = smi_aws_env(c, "AWS_ENDPOINT_URL");
    const char *region_env = smi_aws_env(c, "AWS_DEFAULT_REGION");
    const char *ca_file = smi_aws_env(c, "AWS_CA_BUNDLE");
    const char *attempts = sm_env("AWS_MAX_ATTEMPTS");
    if (all && !smi_aws_env(c, "AWS_ENDPOINT_URL_S3")) {
        endpoint = sm_str_of(all);
    }
    sm_str region = smi_aws_setting(c, "AWS_REGION", "region", a);
    if (region_env && !smi_aws_env(c, "AWS_REGION")) {
        region = sm_str_of(region_env);
    }
    region = region.len > 0 && region.len < sizeof(s->region) ? region : SM_STR("us-east-1");
    memcpy(s->region, region.data, region.len);
    s->ca_file = ca_file ? smi_str_dup(sm_str_of(ca_file)) : NULL;
    if (!attempts || !sm_parse_i64(sm_str_of(attempts), &s->attempts_max) || s->attempts_max < 1) {
        s->attempts_max = ATTEMPTS_MAX;
    }
    if (endpoint.len > 0) {
        return set_endpoint(s, endpoint, e);
    }
    set_aws(s);
    return SM_OK;
}

/* ---- plain web servers ----------------------------------------------------------------------- */

static sm_status no_writing(sm_store *s, sm_error *e)
{
    (void)s;
    return sm_fail(e, SM_UNSUPPORTED, "smelt can only read from a web server");
}

/* A web server cannot list. The error says so, unless there is nothing at that address at all. */
static sm_status web_list(sm_store *store, const smi_listing *what, sm_arena *a, sm_entry **out,
                          int64_t *n, sm_error *e)
{
    const smi_s3_ask ask = {.method = "HEAD", .key = what->prefix, .doing = "look at the folder"};
    smi_s3_call c;
    (void)a;
    (void)out;
    (void)n;
    smi_s3_call_init(&c, (smi_s3 *)store, &ask);
    const sm_status st = smi_s3_call_wait(&c, e);
    smi_s3_call_release(&c);
    if (st != SM_OK) {
        return st;
    }
    sm_fail(e, SM_UNSUPPORTED, "a web server does not list its files");
    sm_error_todo(e, "Name each file in full; tables can be kept in S3 (s3://BUCKET/KEY).");
    return SM_UNSUPPORTED;
}

static sm_status web_put(sm_store *s, sm_str key, const void *bytes, size_t n, sm_put_mode mode,
                         sm_error *e)
{
    (void)key;
    (void)bytes;
    (void)n;
    (void)mode;
    return no_writing(s, e);
}

static sm_status web_remove(sm_store *s, sm_str key, sm_error *e)
{
    (void)key;
    return no_writing(s, e);
}

static sm_status web_writer_open(sm_store *s, sm_str key, smi_writer **out, sm_error *e)
{
    (void)key;
    (void)out;
    return no_writing(s, e);
}

static const sm_store_ops web_ops = {
    .is_network = true,
    .request_bytes = REQUEST_BYTES,
    .close = s3_close,
    .inflight_bytes = s3_inflight_bytes,
    .list = web_list,
    .stat = smi_s3_stat,
    .get = smi_s3_get,
    .put = web_put,
    .remove = web_remove,
    .blob_open = smi_s3_blob_open,
    .blob_open_step = smi_s3_blob_open_step,
    .open_hasten = smi_s3_open_hasten,
    .open_free = smi_s3_open_free,
    .blob_read = smi_s3_blob_read,
    .blob_read_step = smi_s3_blob_read_step,
    .read_hasten = smi_s3_read_hasten,
    .read_free = smi_s3_read_free,
    .blob_free = smi_s3_blob_free,
    .writer_open = web_writer_open,
};

sm_status smi_web_open(sm_stores *stores, sm_str uri, sm_store **out, sm_error *e)
{
    const char *ca_file = sm_env("AWS_CA_BUNDLE");
    smi_s3 *s = sm_alloc_zero(sizeof(*s));
    sm_mutex_init(&s->lock);
    s->retry_tokens = SMI_RETRY_TOKENS;
    s->attempts_max = ATTEMPTS_MAX;
    s->is_web = true;
    s->bucket = smi_str_dup(SM_STR(""));
    s->prefix = smi_str_dup(SM_STR(""));
    s->ca_file = ca_file ? smi_str_dup(sm_str_of(ca_file)) : NULL;
    sm_status st = set_endpoint(s, uri, e);
    s->is_path_style = false;
    st = st == SM_OK ? sm_stores_http(stores, &s->http, e) : st;
    if (st != SM_OK) {
        s3_close(&s->store);
        return st;
    }
    smi_store_init(&s->store, stores, &web_ops, uri);
    *out = &s->store;
    return SM_OK;
}

sm_status smi_s3_open(sm_stores *stores, sm_str uri, sm_store **out, sm_error *e)
{
    smi_s3 *s = sm_alloc_zero(sizeof(*s));
    sm_arena *a = sm_arena_new(NULL);
    sm_mutex_init(&s->lock);
    s->retry_tokens = SMI_RETRY_TOKENS;
    s->connection = smi_connection_find(stores, uri);
    sm_status st = set_names(s, uri, e);
    st = st == SM_OK ? set_place(s, a, e) : st;
    st = st == SM_OK ? smi_crypto_open(e) : st;
    st = st == SM_OK ? sm_stores_http(stores, &s->http, e) : st;
    st = st == SM_OK ? smi_keyring_new(s->connection, s->http, &s->keyring, e) : st;
    sm_arena_free(a);
    if (st != SM_OK) {
        s3_close(&s->store);
        return st;
    }
    SM_ASSERT(s->bucket[0] != '\0' && s->host && s->scheme && s->keyring);
    SM_ASSERT(s->prefix[0] == '\0' || s->prefix[strlen(s->prefix) - 1] == '/');
    smi_store_init(&s->store, stores, &s3_ops, uri);
    *out = &s->store;
    return SM_OK;
}
