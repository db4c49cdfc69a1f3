/* SPDX-License-Identifier: Apache-2.0
 *
 * store/memory_store.c: objects in memory, for tests: "memory://bucket[/prefix]".
 *
 * Stores of one root (stores.c) that open the same bucket, with any prefix, see the same objects. A
 * bucket lives while a store of it is open or it has an object, and ends with the root at the
 * latest. It behaves like a bucket of S3, not like a disk: it has no folders, so none can be
 * missing. Objects have a reference count, so a blob reads what it has opened even if the key is
 * replaced. */
#include <inttypes.h>
#include <stdio.h>

#include "base/time.h"
#include "store/store_int.h"

#define MEMORY_INFLIGHT_BYTES ((size_t)8 << 20)

typedef struct object {
    _Atomic int32_t refs;
    int64_t modified_us;
    uint64_t version; /* of the bucket when it was put; the etag */
    size_t size_bytes;
    uint8_t bytes[];
} object;

typedef struct named {
    sm_str key; /* in the bucket; owned */
    object *object;
} named;

typedef struct smi_bucket {
    char *name;
    int64_t n_stores; /* under the lock of what is shared, as is the next */
    struct smi_bucket *next;

    sm_mutex lock; /* of all below */
    named *items;  /* sorted by key */
    int64_t n_items, items_cap;
    uint64_t version;
} bucket;

typedef struct memory_store {
    sm_store store;
    bucket *bucket;
    sm_str prefix; /* "" or ends in '/'; owned */
} memory_store;

typedef struct memory_blob {
    sm_blob blob;
    object *object;
} memory_blob;

typedef struct memory_writer {
    smi_writer writer;
    char *key;
    sm_buf bytes;
} memory_writer;

/* ---- objects --------------------------------------------------------------------------------- */

static object *object_new(const void *bytes, size_t n)
{
    object *o = sm_alloc(sizeof(*o) + n);
    atomic_init(&o->refs, 1);
    o->modified_us = sm_now_us();
    o->size_bytes = n;
    if (n > 0) {
        memcpy(o->bytes, bytes, n);
    }
    return o;
}

static void object_release(object *o)
{
    const int32_t before = atomic_fetch_sub_explicit(&o->refs, 1, memory_order_acq_rel);
    SM_ASSERT(before > 0);
    if (before == 1) {
        sm_free(o);
    }
}

/* The key in the bucket: prefix and key; for sm_free(). */
static sm_str full_key(const sm_store *s, sm_str key)
{
    const sm_str prefix = ((const memory_store *)s)->prefix;
    char *text = sm_alloc(prefix.len + key.len + 1);
    memcpy(text, prefix.data, prefix.len);
    if (key.len > 0) {
        memcpy(text + prefix.len, key.data, key.len);
    }
    text[prefix.len + key.len] = '\0';
    return (sm_str){text, prefix.len + key.len};
}

/* The first item whose key is not less. With the lock held. */
static int64_t lower_bound(const bucket *b, sm_str key)
{
    int64_t low = 0, high = b->n_items;
    while (low < high) {
        const int64_t mid = low + (high - low) / 2;
        if (sm_str_cmp(b->items[mid].key, key) < 0) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

static bool is_at(const bucket *b, int64_t i, sm_str key)
{
    return i < b->n_items && sm_str_eq(b->items[i].key, key);
}

/* The object, retained; NULL if there is none. */
static object *find_object(sm_store *s, sm_str key)
{
    bucket *b = ((memory_store *)s)->bucket;
    const sm_str full = full_key(s, key);
    sm_mutex_lock(&b->lock);
    const int64_t i = lower_bound(b, full);
    object *o = is_at(b, i, full) ? b->items[i].object : NULL;
    if (o) {
        atomic_fetch_add_explicit(&o->refs, 1, memory_order_relaxed);
    }
    sm_mutex_unlock(&b->lock);
    sm_free((char *)full.data);
    return o;
}

/* Takes the key and the object. With the lock held. */
static void insert_item(bucket *b, int64_t i, sm_str full, object *o)
{
    SM_ASSERT(i >= 0 && i <= b->n_items);
    SM_ASSERT(i == 0 || sm_str_cmp(b->items[i - 1].key, full) < 0);
    SM_ASSERT(i == b->n_items || sm_str_cmp(full, b->items[i].key) < 0);
    if (b->n_items == b->items_cap) {
        b->items_cap = b->items_cap > 0 ? 2 * b->items_cap : 16;
        b->items = sm_realloc(b->items, (size_t)b->items_cap * sizeof(*b->items));
    }
    memmove(b->items + i + 1, b->items + i, (size_t)(b->n_items - i) * sizeof(*b->items));
    b->items[i] = (named){.key = full, .object = o};
    b->n_items++;
}

static sm_status memory_put(sm_store *s, sm_str key, const void *bytes, size_t n, sm_put_mode mode,
                            sm_error *e)
{
    bucket *b = ((memory_store *)s)->bucket;
    object *o = object_new(bytes, n);
    object *unused = NULL;
    sm_str full = full_key(s, key);
    sm_status st = SM_OK;

    sm_mutex_lock(&b->lock);
    o->version = ++b->version;
    const int64_t i = lower_bound(b, full);
    if (!is_at(b, i, full)) {
        insert_item(b, i, full, o);
        full = (sm_str){0};
    } else if (mode == SM_PUT_IF_ABSENT) {
        unused = o;
        st = sm_fail(e, SM_EXISTS, "the object exists already");
    } else {
        unused = b->items[i].object;
        b->items[i].object = o;
    }
    sm_mutex_unlock(&b->lock);

    if (unused) {
        object_release(unused);
    }
    sm_free((char *)full.data);
    return st;
}

static sm_status memory_remove(sm_store *s, sm_str key, sm_error *e)
{
    bucket *b = ((memory_store *)s)->bucket;
    const sm_str full = full_key(s, key);
    sm_mutex_lock(&b->lock);
    const int64_t i = lower_bound(b, full);
    if (is_at(b, i, full)) {
        sm_free((char *)b->items[i].key.data);
        object_release(b->items[i].object);
        b->n_items--;
        memmove(b->items + i, b->items + i + 1, (size_t)(b->n_items - i) * sizeof(*b->items));
    }
    sm_mutex_unlock(&b->lock);
    sm_free((char *)full.data);
    return SM_OK;
}

/* ---- opening --------------------------------------------------------------------------------- */

static const sm_store_ops memory_ops;

static bucket *bucket_join(smi_shared *shared, sm_str name)
{
    sm_mutex_lock(&shared->lock);
    bucket *b = shared->buckets;
    while (b && !sm_str_is(name, b->name)) {
        b = b->next;
    }
    if (!b) {
        b = sm_alloc_zero(sizeof(*b));
        b->name = smi_str_dup(name);
        sm_mutex_init(&b->lock);
        b->next = shared->buckets;
        shared->buckets = b;
    }
    b->n_stores++;
    sm_mutex_unlock(&shared->lock);
    return b;
}

static void bucket_free(bucket *b)
{
    for (int64_t i = 0; i < b->n_items; i++) {
        sm_free((char *)b->items[i].key.data);
        object_release(b->items[i].object);
    }
    sm_mutex_release(&b->lock);
    sm_free(b->items);
    sm_free(b->name);
    sm_free(b);
}

static void bucket_leave(smi_shared *shared, bucket *b)
{
    sm_mutex_lock(&shared->lock);
    SM_ASSERT(b->n_stores > 0);
    const bool is_forgotten = --b->n_stores == 0 && b->n_items == 0; /* no store, so no writer */
    if (is_forgotten) {
        bucket **at = &shared->buckets;
        while (*at != b) {
            at = &(*at)->next;
        }
        *at = b->next;
    }
    sm_mutex_unlock(&shared->lock);
    if (is_forgotten) {
        bucket_free(b);
    }
}

void smi_memory_release(smi_shared *shared)
{
    for (bucket *b = shared->buckets, *next; b; b = next) {
        next = b->next;
        SM_ASSERT(b->n_stores == 0); /* each store retains its sm_stores */
        bucket_free(b);
    }
}

sm_status smi_memory_open(sm_stores *stores, sm_str uri, sm_store **out, sm_error *e)
{
    const size_t head = strlen("memory://");
    sm_str path = {uri.data + head, uri.len - head};
    while (path.len > 0 && path.data[path.len - 1] == '/') {
        path.len--;
    }
    SM_TRY(sm_within(e, smi_key_check(path, e), "the store's name"));

    const char *slash = memchr(path.data, '/', path.len);
    const size_t name_len = slash ? (size_t)(slash - path.data) : path.len;
    memory_store *s = sm_alloc_zero(sizeof(*s));
    smi_store_init(&s->store, stores, &memory_ops, uri);
    s->bucket = bucket_join(stores->shared, (sm_str){path.data, name_len});
    if (slash) {
        s->prefix.len = path.len - name_len; /* without the first '/', with one at the end */
        char *prefix = smi_str_dup((sm_str){slash + 1, s->prefix.len - 1});
        prefix = sm_realloc(prefix, s->prefix.len + 1);
        memcpy(prefix + s->prefix.len - 1, "/", 2);
        s->prefix.data = prefix;
    } else {
        s->prefix.data = smi_str_dup((sm_str){0});
    }
    *out = &s->store;
    return SM_OK;
}

static void memory_close(sm_store *store)
{
    memory_store *s = (memory_store *)store;
    bucket_leave(store->stores->shared, s->bucket);
    sm_free((char *)s->prefix.data);
    sm_free(s);
}

static size_t memory_inflight_bytes(const sm_store *s)
{
    return MEMORY_INFLIGHT_BYTES;
}

/* ---- reading --------------------------------------------------------------------------------- */

static sm_status fail_not_found(sm_error *e)
{
    return sm_fail(e, SM_NOT_FOUND, "there is no such object");
}

static sm_entry entry_of(sm_arena *a, sm_str key, const object *o)
{
    return (sm_entry){
        .key = sm_arena_str(a, key),
        .size_bytes = o->size_bytes,
        .modified_us = o->modified_us,
        .etag = sm_arena_strf(a, "%" PRIu64, o->version),
    };
}

static sm_status memory_stat(sm_store *s, sm_str key, sm_arena *a, sm_entry *out, sm_error *e)
{
    object *o = find_object(s, key);
    if (!o) {
        return fail_not_found(e);
    }
    *out = entry_of(a, key, o);
    object_release(o);
    return SM_OK;
}

static sm_status memory_blob_open(sm_store *s, sm_str key, sm_blob **out, sm_error *e)
{
    object *o = find_object(s, key);
    if (!o) {
        return fail_not_found(e);
    }
    memory_blob *b = sm_alloc_zero(sizeof(*b));
    b->blob.size_bytes = o->size_bytes;
    b->blob.modified_us = o->modified_us;
    b->object = o;
    *out = &b->blob;
    return SM_OK;
}

static sm_status memory_blob_read(sm_blob *b, uint64_t off_bytes, size_t len, void *out,
                                  sm_error *e)
{
    SM_ASSERT(off_bytes <= b->size_bytes && len <= b->size_bytes - off_bytes);
    memcpy(out, ((memory_blob *)b)->object->bytes + off_bytes, len);
    return SM_OK;
}

static void memory_blob_free(sm_blob *b)
{
    object_release(((memory_blob *)b)->object);
    sm_free(b);
}

typedef struct found {
    sm_arena *arena;
    sm_entry *items;
    int64_t n, cap;
} found;

static void add_found(found *f, sm_entry item)
{
    f->items = sm_arena_grow(f->arena, f->items, f->n, &f->cap, sizeof(*f->items));
    f->items[f->n++] = item;
}

/* An item of a delimited listing: the object, or once the folder that it is in. */
static void add_delimited(found *f, sm_str key, sm_str prefix, sm_str after, const object *o)
{
    const char *slash = memchr(key.data + prefix.len, '/', key.len - prefix.len);
    if (!slash) {
        add_found(f, entry_of(f->arena, key, o));
        return;
    }
    const sm_str folder = {key.data, (size_t)(slash + 1 - key.data)};
    const bool is_new = f->n == 0 || !sm_str_eq(f->items[f->n - 1].key, folder);
    if (is_new && sm_str_cmp(folder, after) > 0) {
        add_found(f, (sm_entry){.key = sm_arena_str(f->arena, folder),
                                .etag = SM_STR(""),
                                .is_folder = true});
    }
}

static sm_status memory_list(sm_store *s, const smi_listing *what, sm_arena *a, sm_entry **out,
                             int64_t *n, sm_error *e)
{
    bucket *b = ((memory_store *)s)->bucket;
    const size_t root_len = ((memory_store *)s)->prefix.len;
    const sm_str prefix = full_key(s, what->prefix);
    found f = {.arena = a};

    sm_mutex_lock(&b->lock);
    for (int64_t i = lower_bound(b, prefix);
         i < b->n_items && sm_str_starts(b->items[i].key, prefix); i++) {
        const sm_str full = b->items[i].key;
        const sm_str key = {full.data + root_len, full.len - root_len};
        if (sm_str_cmp(key, what->after) <= 0 || (what->is_left && !smi_is_temporary(key))) {
            continue;
        }
        if (what->delimited) {
            add_delimited(&f, key, what->prefix, what->after, b->items[i].object);
        } else {
            add_found(&f, entry_of(a, key, b->items[i].object));
        }
    }
    sm_mutex_unlock(&b->lock);
    sm_free((char *)prefix.data);
    *out = f.items;
    *n = f.n;
    return SM_OK;
}

/* ---- writing in pieces ----------------------------------------------------------------------- */

static sm_status memory_writer_open(sm_store *s, sm_str key, smi_writer **out, sm_error *e)
{
    memory_writer *w = sm_alloc_zero(sizeof(*w));
    w->key = smi_str_dup(key);
    *out = &w->writer;
    return SM_OK;
}

static sm_status memory_writer_write(smi_writer *w, sm_block *block, size_t n, sm_waker waker,
                                     sm_error *e)
{
    (void)waker;
    return sm_buf_add(&((memory_writer *)w)->bytes, block->data, n, e);
}

static sm_status memory_writer_finish(smi_writer *writer, sm_waker waker, sm_error *e)
{
    (void)waker;
    memory_writer *w = (memory_writer *)writer;
    return memory_put(w->writer.store, sm_str_of(w->key), w->bytes.data, w->bytes.len,
                      SM_PUT_REPLACE, e);
}

static void memory_writer_free(smi_writer *writer)
{
    memory_writer *w = (memory_writer *)writer;
    sm_buf_release(&w->bytes);
    sm_free(w->key);
    sm_free(w);
}

static const sm_store_ops memory_ops = {
    .close = memory_close,
    .inflight_bytes = memory_inflight_bytes,
    .list = memory_list,
    .stat = memory_stat,
    .put = memory_put,
    .remove = memory_remove,
    .blob_open = memory_blob_open,
    .blob_read = memory_blob_read,
    .blob_free = memory_blob_free,
    .writer_open = memory_writer_open,
    .writer_write = memory_writer_write,
    .writer_finish = memory_writer_finish,
    .writer_free = memory_writer_free,
};
