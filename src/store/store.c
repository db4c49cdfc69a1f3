/* SPDX-License-Identifier: Apache-2.0
 *
 * store/store.c: the functions of the door. They choose a store by its scheme, check keys before
 * the store sees them, count requests and bytes, name the object in every error, and wait for slow
 * responses.
 *
 * Layers    smi_x() makes one call of the ops, counts it, and names the object. sm_store_x() does
 *           the same and then waits until the response is due. A wrapper (fault.c) calls smi_x() of
 *           the store inside it; so both count, and only the outermost waits.
 * Requests  that are counted: list, stat, get, put, delete, copy, opening a blob, reading a range,
 *           a piece of an upload, its end. */
#include "store/store.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/time.h"
#include "store/store_int.h"

/* ---- schemes: a row a store ------------------------------------------------------------------ */

typedef struct scheme_row {
    const char *name;
    smi_open_fn open;
} scheme_row;

static const scheme_row schemes[] = {
    {"file", smi_local_open}, {"memory", smi_memory_open}, {"s3", smi_s3_open},
    {"http", smi_web_open},   {"https", smi_web_open},
};
#define SCHEME_NAMES "file://, memory://, s3://, https://, http://, or a path"

/* The length of the scheme in "scheme://…"; 0 for a path. */
static size_t scheme_len(sm_str uri)
{
    size_t n = 0;
    while (n < uri.len && ((uri.data[n] >= 'a' && uri.data[n] <= 'z') ||
                           (uri.data[n] >= 'A' && uri.data[n] <= 'Z') ||
                           (n > 0 && uri.data[n] >= '0' && uri.data[n] <= '9') ||
                           (n > 0 && memchr("+-.", uri.data[n], 3)))) {
        n++;
    }
    const bool is_scheme = n > 0 && uri.len >= n + 3 && memcmp(uri.data + n, "://", 3) == 0;
    return is_scheme ? n : 0;
}

static sm_status open_by_scheme(sm_stores *stores, sm_str uri, sm_store **out, sm_error *e)
{
    const size_t n = scheme_len(uri);
    if (n == 0) {
        return smi_local_open(stores, uri, out, e);
    }
    for (int i = 0; i < SM_COUNT(schemes); i++) {
        if (sm_str_eq_nocase((sm_str){uri.data, n}, sm_str_of(schemes[i].name))) {
            return schemes[i].open(stores, uri, out, e);
        }
    }
    const sm_status st =
        sm_fail(e, SM_UNSUPPORTED, "there is no store for \"%.*s://\"", (int)n, uri.data);
    sm_error_todo(e, "Name one of: " SCHEME_NAMES ".");
    return st;
}

sm_status sm_store_open(sm_stores *stores, sm_str uri, sm_store **out, sm_error *e)
{
    if (uri.len == 0 || memchr(uri.data, 0, uri.len)) {
        return sm_fail(e, SM_INVALID, "\"%.*s\" is not the name of a store", SM_STR_ARG(uri));
    }
    sm_store *s = NULL;
    SM_TRY(open_by_scheme(stores, uri, &s, e));
    const sm_status st = smi_fault_from_env(&s, e);
    if (st != SM_OK) {
        sm_store_release(s);
        return st;
    }
    *out = s;
    return SM_OK;
}

char *smi_str_dup(sm_str s)
{
    char *copy = sm_alloc(s.len + 1);
    if (s.len > 0) {
        memcpy(copy, s.data, s.len);
    }
    copy[s.len] = '\0';
    return copy;
}

void smi_store_init(sm_store *s, sm_stores *stores, const sm_store_ops *ops, sm_str uri)
{
    SM_ASSERT(ops->close && ops->inflight_bytes && ops->list && ops->stat && ops->put &&
              ops->remove && ops->blob_open && ops->blob_read && ops->blob_free &&
              ops->writer_open);
    SM_ASSERT(!ops->blob_read_step || (ops->read_hasten && ops->read_free));
    SM_ASSERT(!ops->blob_open_step || (ops->open_hasten && ops->open_free));
    SM_ASSERT(ops->request_bytes == 0 || ops->blob_read_step); /* only it takes several ranges */
    const size_t n = scheme_len(uri);
    const size_t least = n > 0 ? n + 3 : 1; /* "/" stays, and so does the "file://" of "file:///" */
    while (uri.len > least && uri.data[uri.len - 1] == '/') {
        uri.len--;
    }
    s->ops = ops;
    s->stores = sm_stores_retain(stores);
    s->uri = smi_str_dup(uri);
    s->uri_len = uri.len;
    atomic_init(&s->refs, 1);
}

sm_store *sm_store_retain(sm_store *s)
{
    const int32_t before = atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
    (void)before; /* of the assert alone */
    SM_ASSERT(before > 0);
    return s;
}

void sm_store_release(sm_store *s)
{
    if (!s) {
        return;
    }
    const int32_t before = atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel);
    SM_ASSERT(before > 0);
    if (before > 1) {
        return;
    }
    sm_stores *stores = s->stores;
    sm_free(s->uri);
    s->ops->close(s);
    sm_stores_release(stores);
}

sm_stores *sm_store_opener(const sm_store *s)
{
    return s->stores;
}

/* ---- names ----------------------------------------------------------------------------------- */

sm_str sm_store_uri(const sm_store *s)
{
    return (sm_str){s->uri, s->uri_len};
}

const sm_logger *sm_store_log(const sm_store *s)
{
    return sm_http_log(s->stores->shared->http);
}

/* What separates root and key: nothing if there is no key, or if the root is "/". */
static const char *joint(const sm_store *s, sm_str key)
{
    return key.len == 0 || sm_str_is(sm_store_uri(s), "/") ? "" : "/";
}

/* The bytes of an object's URI with its NUL. */
static size_t object_uri_bytes(const sm_store *s, sm_str key)
{
    return s->uri_len + strlen(joint(s, key)) + key.len + 1;
}

static sm_str object_uri_write(const sm_store *s, sm_str key, char *out)
{
    const size_t gap = strlen(joint(s, key));
    const size_t len = s->uri_len + gap + key.len;
    memcpy(out, s->uri, s->uri_len);
    memcpy(out + s->uri_len, "/", gap);
    if (key.len > 0) {
        memcpy(out + s->uri_len + gap, key.data, key.len);
    }
    out[len] = '\0';
    SM_ASSERT(len + 1 == object_uri_bytes(s, key));
    return (sm_str){out, len};
}

sm_str sm_store_uri_of(const sm_store *s, sm_str key, sm_arena *a)
{
    return object_uri_write(s, key, sm_arena_alloc(a, object_uri_bytes(s, key)));
}

sm_str smi_object_uri(const sm_store *s, sm_str key)
{
    return object_uri_write(s, key, sm_alloc(object_uri_bytes(s, key)));
}

/* Makes the path in *out that of the folder above. Behind a link that is the one above the folder
 * to which the link leads, as it is when the path is opened. */
static void go_up(sm_buf *out)
{
    char to[PATH_MAX];
    struct stat info;

    sm_buf_text(out, (sm_str){"", 1}); /* its NUL */
    if (lstat((const char *)out->data, &info) == 0 && S_ISLNK(info.st_mode) &&
        realpath((const char *)out->data, to)) {
        sm_buf_reset(out);
        sm_buf_text(out, sm_str_of(to));
    } else {
        out->len--;
    }
    while (out->len > 0 && out->data[--out->len] != '/') {
    }
}

/* Appends the parts of a path to the path in *out, and resolves "." and "..". */
static void add_parts(sm_str path, sm_buf *out)
{
    while (path.len > 0) {
        const char *end = memchr(path.data, '/', path.len);
        const sm_str part = {path.data, end ? (size_t)(end - path.data) : path.len};
        const size_t step = part.len + (end ? 1 : 0);
        path = (sm_str){path.data + step, path.len - step};
        if (sm_str_is(part, "..")) {
            go_up(out);
        } else if (part.len > 0 && !sm_str_is(part, ".")) {
            sm_buf_text(out, SM_STR("/"));
            sm_buf_text(out, part);
        }
    }
}

sm_str sm_store_place(const sm_store *s, sm_arena *a)
{
    sm_str uri = sm_store_uri(s);
    const size_t n = scheme_len(uri);
    char here[PATH_MAX];
    sm_buf path = {0};

    if (n > 0 && !sm_str_eq_nocase((sm_str){uri.data, n}, SM_STR("file"))) {
        return sm_arena_str(a, uri); /* the store may be released before it */
    }
    if (n > 0) { /* file:///data, file://localhost/data: the path begins at the third '/' */
        const char *start = memchr(uri.data + n + 3, '/', uri.len - n - 3);
        uri = start ? (sm_str){start, (size_t)(uri.data + uri.len - start)} : uri;
    } else if (uri.data[0] != '/' && getcwd(here, sizeof(here))) {
        add_parts(sm_str_of(here), &path);
    }
    add_parts(uri, &path);
    const sm_str out = path.len > 0 ? sm_arena_str(a, sm_buf_str(&path)) : SM_STR("/");
    sm_buf_release(&path);
    return out;
}

static bool look_at(sm_str place, struct stat *out)
{
    SM_ASSERT(place.data[0] == '/' && !memchr(place.data, 0, place.len));
    char *path = smi_str_dup(place);
    const bool is_there = stat(path, out) == 0;
    sm_free(path);
    return is_there;
}

bool sm_place_is_same(sm_str a, sm_str b)
{
    struct stat one, other;

    if (sm_str_eq(a, b)) {
        return true;
    }
    return sm_str_starts(a, SM_STR("/")) && sm_str_starts(b, SM_STR("/")) && look_at(a, &one) &&
           look_at(b, &other) && one.st_dev == other.st_dev && one.st_ino == other.st_ino;
}

sm_str sm_store_real_place(const sm_store *s, sm_arena *a)
{
    const sm_str place = sm_store_place(s, a);
    char real[PATH_MAX];

    SM_ASSERT(place.len > 0);
    const bool is_found = place.data[0] == '/' && realpath(place.data, real);
    return is_found ? sm_arena_str(a, sm_str_of(real)) : place;
}

void sm_uri_split(sm_str uri, sm_str *folder, sm_str *name)
{
    /* The bucket in "s3://bucket" is not a name in a folder "s3:/". */
    const size_t scheme = scheme_len(uri);
    const size_t first = scheme > 0 ? scheme + 3 : 0;
    size_t at = uri.len;
    while (at > first && uri.data[at - 1] != '/') {
        at--;
    }
    if (at == first && first > 0) {
        *folder = uri;
        *name = (sm_str){uri.data + uri.len, 0};
        return;
    }
    *name = (sm_str){uri.data + at, uri.len - at};
    if (at == 0) {
        *folder = SM_STR(".");
    } else {
        const bool is_root = at == 1 || (first > 0 && at == first + 1);
        *folder = (sm_str){uri.data, is_root ? at : at - 1};
    }
}

/* Says which object a failed call was about. */
static sm_status placed(const sm_store *s, sm_str key, sm_status st, sm_error *e)
{
    if (e && !sm_status_is_answer(st)) {
        char object[sizeof(e->object)];
        key = key.data ? key : SM_STR("");
        snprintf(object, sizeof(object), "%s%s%.*s", s->uri, joint(s, key), SM_STR_ARG(key));
        sm_error_place(e, object, 0, -1);
    }
    return st;
}

sm_status smi_key_check(sm_str key, sm_error *e)
{
    if (key.len == 0) {
        return sm_fail(e, SM_INVALID, "the name of an object is empty");
    }
    if (memchr(key.data, 0, key.len)) {
        return sm_fail(e, SM_INVALID, "the name of an object has a byte 0 in it");
    }
    if (sm_str_is(key, ".") || sm_str_is(key, "..")) {
        return sm_fail(e, SM_INVALID, "a folder stands where a file should be");
    }
    size_t start = 0;
    for (size_t i = 0; i <= key.len; i++) {
        if (i < key.len && key.data[i] != '/') {
            continue;
        }
        const sm_str part = {key.data + start, i - start};
        if (part.len == 0 || sm_str_is(part, ".") || sm_str_is(part, "..")) {
            return sm_fail(e, SM_INVALID, "the name \"%.*s\" of an object has the part \"%.*s\"",
                           SM_STR_ARG(key), SM_STR_ARG(part));
        }
        start = i + 1;
    }
    return SM_OK;
}

static sm_status prefix_check(sm_str prefix, sm_error *e)
{
    if (prefix.len == 0) {
        return SM_OK;
    }
    if (prefix.data[prefix.len - 1] != '/') {
        return sm_fail(e, SM_INVALID, "the folder \"%.*s\" does not end in '/'",
                       SM_STR_ARG(prefix));
    }
    return smi_key_check((sm_str){prefix.data, prefix.len - 1}, e);
}

/* ---- counts and slow responses --------------------------------------------------------------- */

size_t sm_store_inflight_bytes(const sm_store *s)
{
    return s->ops->inflight_bytes(s);
}

size_t sm_store_request_bytes(const sm_store *s)
{
    return s->ops->request_bytes;
}

bool sm_store_is_far(const sm_store *s)
{
    return s->ops->is_far ? s->ops->is_far(s) : s->ops->is_network;
}

sm_status sm_store_access_of(sm_store *s, sm_arena *a, sm_store_access *out, sm_error *e)
{
    if (s->ops->access) {
        return s->ops->access(s, a, out, e);
    }
    sm_fail(e, SM_UNSUPPORTED, "no other program can reach \"%s\"", s->uri);
    sm_error_todo(e, "Keep the table in S3 (s3://BUCKET/KEY).");
    return SM_UNSUPPORTED;
}

sm_store_counts sm_store_count(const sm_store *s)
{
    return smi_counts_read(&s->counts);
}

static void add_counts(sm_store *s, const sm_store_counts *n)
{
    smi_counts_add(&s->counts, n);
    if (s->ops->is_network) {
        smi_stores_count(s->stores, n);
    }
}

static void count_request(sm_store *s)
{
    add_counts(s, &(sm_store_counts){.requests = 1});
}

static void count_bytes(sm_store *s, size_t read_bytes, size_t written_bytes)
{
    add_counts(s, &(sm_store_counts){.read_bytes = (int64_t)read_bytes,
                                     .written_bytes = (int64_t)written_bytes});
}

void smi_count_retry(sm_store *s)
{
    add_counts(s, &(sm_store_counts){.retries = 1});
}

int64_t smi_due_ns(sm_store *s, size_t read_bytes, size_t written_bytes)
{
    return s->ops->due_ns ? s->ops->due_ns(s, read_bytes, written_bytes) : 0;
}

/* Waits until the response to a plain call is due; returns st. */
static sm_status wait_due(sm_store *s, size_t read_bytes, size_t written_bytes, sm_status st)
{
    const int64_t due_ns = smi_due_ns(s, read_bytes, written_bytes);
    if (due_ns > 0) {
        const int64_t wait_ns = due_ns - sm_monotonic_ns();
        if (wait_ns > 0) {
            sm_sleep_ms((wait_ns + 999999) / 1000000);
        }
    }
    return st;
}

/* ---- objects --------------------------------------------------------------------------------- */

#ifdef SM_ASSERTS
/* Is a listing what was asked for, in order? What another server answers may be anything but out of
 * order, as we sort it. */
static bool listing_is_valid(const sm_store *s, const smi_listing *what, const sm_entry *entries,
                             int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        const sm_entry *entry = &entries[i];
        const int order = i > 0 ? sm_str_cmp(entries[i - 1].key, entry->key) : -1;
        if (order > 0 || (entry->is_folder && !sm_str_ends(entry->key, SM_STR("/")))) {
            return false;
        }
        if (!s->ops->is_network && (order == 0 || !sm_str_starts(entry->key, what->prefix) ||
                                    sm_str_cmp(entry->key, what->after) <= 0)) {
            return false;
        }
    }
    return n >= 0;
}
#else
#define listing_is_valid(s, what, entries, n) true
#endif

sm_status smi_list(sm_store *s, const smi_listing *what, sm_arena *a, sm_entry **out, int64_t *n,
                   sm_error *e)
{
    count_request(s);
    const sm_status st = s->ops->list(s, what, a, out, n, e);
    SM_ASSERT(st != SM_OK || listing_is_valid(s, what, *out, *n));
    return placed(s, what->prefix, st, e);
}

static sm_status list_entries(sm_store *s, const smi_listing *what, sm_arena *a, sm_entry **out,
                              int64_t *n, sm_error *e)
{
    const sm_status st = prefix_check(what->prefix, e);
    if (st != SM_OK) {
        return placed(s, (sm_str){0}, st, e);
    }
    return wait_due(s, 0, 0, smi_list(s, what, a, out, n, e));
}

sm_status sm_store_list(sm_store *s, sm_str prefix, bool delimited, sm_arena *a, sm_entry **out,
                        int64_t *n, sm_error *e)
{
    const smi_listing what = {.prefix = prefix, .delimited = delimited};
    return list_entries(s, &what, a, out, n, e);
}

sm_status sm_store_list_after(sm_store *s, sm_str prefix, sm_str after, bool delimited, sm_arena *a,
                              sm_entry **out, int64_t *n, sm_error *e)
{
    const smi_listing what = {.prefix = prefix, .after = after, .delimited = delimited};
    return list_entries(s, &what, a, out, n, e);
}

bool smi_is_temporary(sm_str key)
{
    sm_str folder, name;

    sm_uri_split(key, &folder, &name);
    return sm_str_starts(name, SM_STR(SMI_TEMPORARY));
}

sm_status sm_store_list_left(sm_store *s, sm_arena *a, sm_entry **out, int64_t *n, sm_error *e)
{
    const smi_listing what = {.is_own = true, .is_left = true};
    return list_entries(s, &what, a, out, n, e);
}

sm_status sm_store_list_own(sm_store *s, sm_arena *a, sm_entry **out, int64_t *n, sm_error *e)
{
    const smi_listing what = {.is_own = true};
    return list_entries(s, &what, a, out, n, e);
}

sm_status smi_stat(sm_store *s, sm_str key, sm_arena *a, sm_entry *out, sm_error *e)
{
    SM_ASSERT(smi_key_check(key, NULL) == SM_OK);
    count_request(s);
    return placed(s, key, s->ops->stat(s, key, a, out, e), e);
}

/* Checks a key. The error's place is the store, as its cause quotes the key. */
static sm_status check_key(sm_store *s, sm_str key, sm_error *e)
{
    return placed(s, (sm_str){0}, smi_key_check(key, e), e);
}

sm_status sm_store_stat(sm_store *s, sm_str key, sm_arena *a, sm_entry *out, sm_error *e)
{
    SM_TRY(check_key(s, key, e));
    return wait_due(s, 0, 0, smi_stat(s, key, a, out, e));
}

/* Gets an object from a store that has no `get`: opens, reads and closes it. One request is
 * counted. */
static sm_status get_by_blob(sm_store *s, sm_str key, sm_buf *out, sm_error *e)
{
    sm_blob *b = NULL;
    SM_TRY(s->ops->blob_open(s, key, &b, e));
    sm_status st = SM_OK;
    if (b->size_bytes > SIZE_MAX / 2) {
        st = sm_fail(e, SM_LIMIT, "an object of %" PRIu64 " bytes does not fit in memory",
                     b->size_bytes);
    } else {
        st = sm_buf_reserve(out, (size_t)b->size_bytes, e);
    }
    if (st == SM_OK && b->size_bytes > 0) {
        st = s->ops->blob_read(b, 0, (size_t)b->size_bytes, out->data + out->len, e);
    }
    if (st == SM_OK) {
        out->len += (size_t)b->size_bytes;
    }
    s->ops->blob_free(b);
    return st;
}

sm_status smi_get(sm_store *s, sm_str key, sm_buf *out, sm_error *e)
{
    const size_t before = out->len;
    SM_ASSERT(smi_key_check(key, NULL) == SM_OK);
    count_request(s);
    const sm_status st = s->ops->get ? s->ops->get(s, key, out, e) : get_by_blob(s, key, out, e);
    SM_ASSERT(out->len >= before && (st == SM_OK || out->len == before));
    count_bytes(s, out->len - before, 0);
    return placed(s, key, st, e);
}

sm_status sm_store_get(sm_store *s, sm_str key, sm_buf *out, sm_error *e)
{
    SM_TRY(check_key(s, key, e));
    const size_t before = out->len;
    const sm_status st = smi_get(s, key, out, e);
    return wait_due(s, out->len - before, 0, st);
}

sm_status smi_put(sm_store *s, sm_str key, const void *bytes, size_t n, sm_put_mode mode,
                  sm_error *e)
{
    SM_ASSERT(smi_key_check(key, NULL) == SM_OK);
    count_request(s);
    const sm_status st = s->ops->put(s, key, bytes, n, mode, e);
    count_bytes(s, 0, st == SM_OK ? n : 0);
    return placed(s, key, st, e);
}

sm_status sm_store_put(sm_store *s, sm_str key, const void *bytes, size_t n, sm_put_mode mode,
                       sm_error *e)
{
    SM_TRY(check_key(s, key, e));
    return wait_due(s, 0, n, smi_put(s, key, bytes, n, mode, e));
}

sm_status sm_store_check_put(sm_store *s, sm_error *e)
{
    if (!s->ops->check_put) {
        return SM_OK;
    }
    const sm_status st = s->ops->check_put(s, e);
    if (st != SM_OK) {
        sm_error_place(e, s->uri, 0, -1);
    }
    return st;
}

sm_status smi_remove(sm_store *s, sm_str key, sm_error *e)
{
    SM_ASSERT(smi_key_check(key, NULL) == SM_OK);
    count_request(s);
    return placed(s, key, s->ops->remove(s, key, e), e);
}

sm_status sm_store_delete(sm_store *s, sm_str key, sm_error *e)
{
    SM_TRY(check_key(s, key, e));
    return wait_due(s, 0, 0, smi_remove(s, key, e));
}

static sm_status remove_each(sm_store *s, const sm_str *keys, int64_t n, sm_error *e)
{
    sm_status first = SM_OK;
    for (int64_t i = 0; i < n; i++) {
        sm_error unused = {0};
        const sm_status st = sm_store_delete(s, keys[i], first == SM_OK ? e : &unused);
        first = first == SM_OK ? st : first;
    }
    return first;
}

sm_status sm_store_delete_many(sm_store *s, const sm_str *keys, int64_t n, sm_error *e)
{
    sm_status first = SM_OK;
    if (!s->ops->remove_many || n == 1) {
        return remove_each(s, keys, n, e);
    }
    for (int64_t i = 0; i < n; i++) {
        SM_TRY(check_key(s, keys[i], e));
    }
    for (int64_t i = 0; i < n; i += SMI_REMOVE_MANY) {
        const int64_t n_now = n - i < SMI_REMOVE_MANY ? n - i : SMI_REMOVE_MANY;
        sm_error unused = {0};
        count_request(s);
        if (wait_due(s, 0, 0, s->ops->remove_many(s, keys + i, n_now, &unused)) == SM_OK) {
            continue;
        }
        /* Not every server can do it. One by one, the error is that of one object. */
        unused = (sm_error){0};
        const sm_status st = remove_each(s, keys + i, n_now, first == SM_OK ? e : &unused);
        first = first == SM_OK ? st : first;
    }
    return first;
}

/* ---- copying --------------------------------------------------------------------------------- */

#define COPY_BYTES ((size_t)1 << 20)

static sm_status copy_bytes(sm_blob *from, sm_upload *to, sm_budget *budget, sm_error *e)
{
    for (uint64_t at = 0; at < from->size_bytes;) {
        const uint64_t left = from->size_bytes - at;
        const size_t n = left < COPY_BYTES ? (size_t)left : COPY_BYTES;
        sm_block *block = NULL;
        SM_TRY(sm_block_new(budget, n, &block, e));
        sm_status st = sm_blob_read(from, at, n, block->data, e);
        st = st == SM_OK ? sm_upload_write_wait(to, block, n, e) : st;
        sm_block_release(block);
        if (st != SM_OK) {
            return st;
        }
        at += n;
    }
    return sm_upload_finish_wait(to, e);
}

static sm_status copy_here(sm_store *s, sm_str from, sm_str to, sm_error *e)
{
    sm_blob *blob = NULL;
    sm_upload *upload = NULL;
    SM_TRY(sm_blob_open(s, from, &blob, e));
    sm_budget *budget = sm_budget_new(NULL, "copy", 0);
    sm_status st = sm_upload_open(s, to, budget, 4 * COPY_BYTES, &upload, e);
    st = st == SM_OK ? copy_bytes(blob, upload, budget, e) : st;
    sm_upload_close(upload);
    sm_blob_close(blob);
    sm_budget_free(budget);
    return st;
}

sm_status sm_store_copy(sm_store *s, sm_str from, sm_str to, sm_error *e)
{
    SM_TRY(check_key(s, from, e));
    SM_TRY(check_key(s, to, e));
    if (!s->ops->copy) {
        return copy_here(s, from, to, e);
    }
    count_request(s);
    const sm_status st = s->ops->copy(s, from, to, e);
    return st == SM_UNSUPPORTED ? copy_here(s, from, to, e)
                                : wait_due(s, 0, 0, placed(s, from, st, e));
}

/* ---- blobs ----------------------------------------------------------------------------------- */

/* Called after an opening: counts it, and makes what the store gave a blob, or places its failure.
 */
static sm_status end_open(sm_store *s, sm_str key, sm_status st, sm_blob *b, sm_blob **out,
                          sm_error *e)
{
    count_request(s);
    if (st != SM_OK) {
        return placed(s, key, st, e);
    }
    SM_ASSERT(b->tail_len <= b->size_bytes && (b->tail_len > 0) == (b->tail != NULL));
    count_bytes(s, b->tail_len, 0);
    b->uri = smi_object_uri(s, key);
    b->store = sm_store_retain(s);
    atomic_init(&b->refs, 1);
    *out = b;
    return SM_OK;
}

sm_status smi_blob_open(sm_store *s, sm_str key, sm_blob **out, sm_error *e)
{
    SM_ASSERT(smi_key_check(key, NULL) == SM_OK);
    sm_blob *b = NULL;
    const sm_status st = s->ops->blob_open(s, key, &b, e);
    return end_open(s, key, st, b, out, e);
}

sm_status smi_blob_open_step(sm_store *s, const smi_opening *want, sm_waker waker, void **state,
                             sm_blob **out, sm_error *e)
{
    if (!s->ops->blob_open_step) {
        return smi_blob_open(s, want->key, out, e);
    }
    sm_blob *b = NULL;
    const sm_status st = s->ops->blob_open_step(s, want, waker, state, &b, e);
    SM_ASSERT((st == SM_WAIT) == (*state != NULL)); /* who is to free it depends on that */
    return st == SM_WAIT ? st : end_open(s, want->key, st, b, out, e);
}

sm_status sm_blob_open(sm_store *s, sm_str key, sm_blob **out, sm_error *e)
{
    SM_TRY(check_key(s, key, e));
    return wait_due(s, 0, 0, smi_blob_open(s, key, out, e));
}

sm_status sm_blob_open_tail(sm_store *s, sm_str key, uint64_t size_bytes, size_t tail_bytes,
                            sm_blob **out, sm_error *e)
{
    const size_t tail_len = size_bytes < tail_bytes ? (size_t)size_bytes : tail_bytes;
    if (!s->ops->blob_open_step || tail_len == 0) {
        return sm_blob_open(s, key, out, e);
    }
    sm_block *tail = NULL;
    void *state = NULL;
    sm_pause pause;
    SM_TRY(check_key(s, key, e));
    SM_TRY(sm_block_new(NULL, tail_len, &tail, e));
    const smi_opening want = {
        .key = key, .size_bytes = size_bytes, .tail = tail, .tail_len = tail_len};
    sm_status st = SM_OK;
    sm_pause_init(&pause);
    while ((st = smi_blob_open_step(s, &want, sm_pause_waker(&pause), &state, out, e)) == SM_WAIT) {
        sm_pause_wait(&pause);
    }
    sm_pause_release(&pause);
    sm_block_release(tail);
    return st;
}

sm_blob *sm_blob_retain(sm_blob *b)
{
    const int32_t before = atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
    (void)before; /* of the assert alone */
    SM_ASSERT(before > 0);
    return b;
}

void sm_blob_close(sm_blob *b)
{
    if (!b) {
        return;
    }
    const int32_t before = atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel);
    SM_ASSERT(before > 0);
    if (before > 1) {
        return;
    }
    sm_store *s = b->store;
    sm_free((char *)b->uri.data);
    sm_block_release(b->tail);
    s->ops->blob_free(b);
    sm_store_release(s);
}

sm_str sm_blob_uri(const sm_blob *b)
{
    return b->uri;
}

uint64_t sm_blob_bytes(const sm_blob *b)
{
    return b->size_bytes;
}

int64_t sm_blob_modified_us(const sm_blob *b)
{
    return b->modified_us;
}

bool sm_blob_checksum(const sm_blob *b, uint32_t *crc32)
{
    *crc32 = b->checksum;
    return b->has_checksum;
}

sm_store *sm_blob_store(const sm_blob *b)
{
    return b->store;
}

sm_str sm_blob_tail(const sm_blob *b)
{
    return b->tail ? (sm_str){(const char *)b->tail->data, b->tail_len} : SM_STR("");
}

static sm_status check_range(const sm_blob *b, uint64_t off_bytes, size_t len, sm_error *e)
{
    if (off_bytes > b->size_bytes || len > b->size_bytes - off_bytes) {
        return sm_fail(e, SM_CORRUPT,
                       "the object is cut off: it has %" PRIu64 " bytes, and %zu at %" PRIu64
                       " were to be read",
                       b->size_bytes, len, off_bytes);
    }
    return SM_OK;
}

/* Called after a read: counts it, and adds the place to its failure. */
static sm_status end_read(sm_blob *b, uint64_t off_bytes, size_t len, sm_status st, sm_error *e)
{
    count_request(b->store);
    count_bytes(b->store, st == SM_OK ? len : 0, 0);
    if (st != SM_OK && e) {
        sm_error_place(e, b->uri.data, 0, (int64_t)off_bytes);
    }
    return st;
}

/* Is a range of some bytes in the tail? *at: where it begins there. */
static bool is_in_tail(const sm_blob *b, uint64_t off_bytes, size_t len, size_t *at)
{
    const uint64_t tail_off = b->size_bytes - b->tail_len;
    *at = (size_t)(off_bytes - tail_off);
    return len > 0 && b->tail_len > 0 && off_bytes >= tail_off && off_bytes < b->size_bytes &&
           len <= b->size_bytes - off_bytes;
}

sm_block *smi_blob_slice(const sm_blob *b, uint64_t off_bytes, size_t len)
{
    size_t at = 0;
    return is_in_tail(b, off_bytes, len, &at) ? sm_block_slice(b->tail, at, len) : NULL;
}

sm_status smi_blob_read(sm_blob *b, uint64_t off_bytes, size_t len, void *out, sm_error *e)
{
    size_t at = 0;
    const sm_status st = check_range(b, off_bytes, len, e);
    if (st != SM_OK && e) {
        sm_error_place(e, b->uri.data, 0, (int64_t)off_bytes);
    }
    if (st != SM_OK || len == 0) {
        return st;
    }
    if (is_in_tail(b, off_bytes, len, &at)) {
        memcpy(out, b->tail->data + at, len);
        return SM_OK;
    }
    return end_read(b, off_bytes, len, b->store->ops->blob_read(b, off_bytes, len, out, e), e);
}

size_t smi_reads_bytes(const smi_read *reads, int n)
{
    uint64_t end = 0;
    for (int i = 0; i < n; i++) {
        const uint64_t read_end = reads[i].off_bytes + reads[i].len;
        SM_ASSERT(reads[i].off_bytes >= reads[0].off_bytes);
        SM_ASSERT(i == 0 || reads[i].off_bytes <= end); /* no gap: its bytes would go nowhere */
        end = read_end > end ? read_end : end;
    }
    SM_ASSERT(n > 0 && end >= reads[0].off_bytes);
    return (size_t)(end - reads[0].off_bytes);
}

sm_status smi_blob_read_step(sm_blob *b, const smi_read *reads, int n, sm_waker waker, void **state,
                             sm_error *e)
{
    const sm_store_ops *ops = b->store->ops;
    const uint64_t off_bytes = reads[0].off_bytes;
    const size_t len = smi_reads_bytes(reads, n);
    const sm_status fits = check_range(b, off_bytes, len, e);
    if (n == 1 && (!ops->blob_read_step || len == 0 || fits != SM_OK)) {
        return smi_blob_read(b, off_bytes, len, reads[0].out, e);
    }
    SM_TRY(fits);
    SM_ASSERT(ops->blob_read_step); /* fetch.c makes groups only for stores that take them */
    const sm_status st = ops->blob_read_step(b, reads, n, waker, state, e);
    SM_ASSERT((st == SM_WAIT) == (*state != NULL)); /* who is to free it depends on that */
    return st == SM_WAIT ? st : end_read(b, off_bytes, len, st, e);
}

sm_status sm_blob_read(sm_blob *b, uint64_t off_bytes, size_t len, void *out, sm_error *e)
{
    return wait_due(b->store, len, 0, smi_blob_read(b, off_bytes, len, out, e));
}

/* ---- writers --------------------------------------------------------------------------------- */

/* Not counted: the first request is that of the first piece. */
sm_status smi_writer_open(sm_store *s, sm_str key, smi_writer **out, sm_error *e)
{
    SM_ASSERT(smi_key_check(key, NULL) == SM_OK);
    smi_writer *w = NULL;
    SM_TRY(s->ops->writer_open(s, key, &w, e));
    w->store = s;
    *out = w;
    return SM_OK;
}

sm_status smi_writer_write(smi_writer *w, sm_block *block, size_t n, sm_waker waker, sm_error *e)
{
    SM_ASSERT(n <= block->size_bytes);
    const sm_status st = w->store->ops->writer_write(w, block, n, waker, e);
    if (st != SM_WAIT) {
        count_request(w->store);
        count_bytes(w->store, 0, st == SM_OK ? n : 0);
    }
    return st;
}

sm_status smi_writer_finish(smi_writer *w, sm_waker waker, sm_error *e)
{
    const sm_status st = w->store->ops->writer_finish(w, waker, e);
    if (st != SM_WAIT) {
        count_request(w->store);
    }
    return st;
}

void smi_writer_free(smi_writer *w)
{
    if (w) {
        w->store->ops->writer_free(w);
    }
}

/* ---- waiters --------------------------------------------------------------------------------- */

void smi_waiters_add(smi_waiters *w, sm_waker waker)
{
    SM_ASSERT(w->n <= w->cap && (w->cap == 0) == (w->items == NULL));
    if (!waker.wake) {
        return;
    }
    for (int64_t i = 0; i < w->n; i++) {
        if (w->items[i].wake == waker.wake && w->items[i].ctx == waker.ctx) {
            return;
        }
    }
    if (w->n == w->cap) {
        w->cap = w->cap > 0 ? 2 * w->cap : 4;
        w->items = sm_realloc(w->items, (size_t)w->cap * sizeof(*w->items));
    }
    w->items[w->n++] = waker;
}

smi_waiters smi_waiters_take(smi_waiters *w)
{
    const smi_waiters taken = *w;
    *w = (smi_waiters){0};
    return taken;
}

void smi_waiters_wake(smi_waiters *taken)
{
    for (int64_t i = 0; i < taken->n; i++) {
        sm_wake(taken->items[i]);
    }
    smi_waiters_release(taken);
}

void smi_waiters_release(smi_waiters *w)
{
    sm_free(w->items);
    *w = (smi_waiters){0};
}
