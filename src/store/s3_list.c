/* SPDX-License-Identifier: Apache-2.0
 *
 * store/s3_list.c: lists a bucket, page by page. Called through the ops of s3.c.
 *
 * Source   ListObjectsV2, Amazon S3 API reference. Keys are requested in encoded form, because XML
 *          cannot contain every byte. */
#include <stdlib.h>

#include "base/hex.h"
#include "base/text.h"
#include "base/time.h"
#include "store/s3_int.h"

typedef struct listing {
    smi_s3 *s;
    sm_arena *kept;  /* of the entries */
    sm_arena *arena; /* of a page: a bucket may have millions of keys that are not wanted */
    sm_buf next;     /* the token of the next page */
    sm_entry *entries;
    int64_t n, cap;
    sm_entry at; /* the entry that is being read */
    sm_str common, token;
    bool is_truncated, is_encoded, is_result;
} listing;

static sm_str url_decode(sm_str s, sm_arena *a)
{
    char *out = sm_arena_alloc(a, s.len + 1);
    size_t n = 0;
    for (size_t i = 0; i < s.len; i++) {
        const bool is_escape = s.data[i] == '%' && s.len - i > 2 &&
                               sm_hex_digit(s.data[i + 1]) >= 0 && sm_hex_digit(s.data[i + 2]) >= 0;
        if (is_escape) {
            out[n++] = (char)(sm_hex_digit(s.data[i + 1]) * 16 + sm_hex_digit(s.data[i + 2]));
            i += 2;
        } else {
            out[n++] = s.data[i] == '+' ? ' ' : s.data[i];
        }
    }
    return (sm_str){out, n};
}

/* A key or prefix of the response, as a key below the store's root. */
static sm_str below_root(listing *l, sm_str text)
{
    const sm_str key = l->is_encoded ? url_decode(text, l->arena) : sm_arena_str(l->arena, text);
    const size_t root = strlen(l->s->prefix);
    return key.len >= root ? (sm_str){key.data + root, key.len - root} : SM_STR("");
}

static void add_entry(listing *l, sm_entry entry)
{
    l->entries = sm_arena_grow(l->kept, l->entries, l->n, &l->cap, sizeof(*l->entries));
    l->entries[l->n++] = entry;
}

static void on_list_element(void *ctx, sm_str parent, sm_str name, sm_str text)
{
    listing *l = ctx;
    int64_t n = 0;
    if (sm_str_is(parent, "Contents")) {
        if (sm_str_is(name, "Key")) {
            l->at.key = sm_arena_str(l->arena, text);
        } else if (sm_str_is(name, "Size")) {
            l->at.size_bytes = sm_parse_i64(text, &n) && n >= 0 ? (uint64_t)n : 0;
        } else if (sm_str_is(name, "LastModified")) {
            (void)sm_parse_instant(text, &l->at.modified_us);
        } else if (sm_str_is(name, "ETag")) {
            l->at.etag = sm_arena_str(l->arena, text);
        }
    } else if (sm_str_is(parent, "CommonPrefixes")) {
        l->at = (sm_entry){.key = sm_arena_str(l->arena, text), .is_folder = true};
    } else if (sm_str_is(parent, "ListBucketResult")) {
        if (sm_str_is(name, "Contents") || sm_str_is(name, "CommonPrefixes")) {
            add_entry(l, l->at);
            l->at = (sm_entry){0};
        } else if (sm_str_is(name, "IsTruncated")) {
            l->is_truncated = sm_str_is(text, "true");
        } else if (sm_str_is(name, "NextContinuationToken")) {
            l->token = sm_arena_str(l->arena, text);
        } else if (sm_str_is(name, "EncodingType")) {
            l->is_encoded = sm_str_is(text, "url");
        }
    }
    l->is_result |= parent.len == 0 && sm_str_is(name, "ListBucketResult");
}

/* Keeps the entries of a page that are wanted. Their keys are decoded now, as the element that says
 * whether they are encoded may follow them. */
static void keep_wanted(listing *l, const smi_listing *what, int64_t first)
{
    const int64_t end = l->n;

    l->n = first;
    for (int64_t i = first; i < end; i++) {
        sm_entry entry = l->entries[i];
        entry.key = below_root(l, entry.key);
        if (what->is_left && !smi_is_temporary(entry.key)) {
            continue;
        }
        entry.key = sm_arena_str(l->kept, entry.key);
        entry.etag = sm_arena_str(l->kept, entry.etag);
        l->entries[l->n++] = entry;
    }
}

/* Adds a page to the entries. */
static sm_status list_page(listing *l, const smi_listing *what, sm_error *e)
{
    smi_s3 *s = l->s;
    sm_arena_reset(l->arena);
    sm_pair params[6] = {
        {SM_STR("list-type"), SM_STR("2")},
        {SM_STR("encoding-type"), SM_STR("url")},
        {SM_STR("prefix"), smi_s3_key(s, what->prefix, l->arena)},
    };
    int n = 3;
    if (what->delimited) {
        params[n++] = (sm_pair){SM_STR("delimiter"), SM_STR("/")};
    }
    if (l->next.len > 0) {
        params[n++] = (sm_pair){SM_STR("continuation-token"), sm_buf_str(&l->next)};
    } else if (what->after.len > 0) {
        params[n++] = (sm_pair){SM_STR("start-after"), smi_s3_key(s, what->after, l->arena)};
    }
    const smi_s3_ask ask = {
        .method = "GET", .params = params, .n_params = n, .doing = "list the bucket"};
    smi_s3_call c;
    const int64_t first = l->n;
    l->is_truncated = l->is_encoded = l->is_result = false;
    smi_s3_call_init(&c, s, &ask);
    sm_status st = smi_s3_call_wait(&c, e);
    if (st == SM_OK) {
        l->token = SM_STR("");
        st = smi_xml_read(sm_buf_str(&c.x.text), on_list_element, l, e);
    }
    if (st == SM_OK && (!l->is_result || (l->is_truncated && l->token.len == 0))) {
        st = sm_fail(e, SM_CORRUPT, "the response of %.100s is not a list of objects", s->host);
    }
    smi_s3_call_release(&c);
    keep_wanted(l, what, first);
    sm_buf_reset(&l->next);
    sm_buf_text(&l->next, l->token);
    return st;
}

static int compare_entries(const void *a, const void *b)
{
    return sm_str_cmp(((const sm_entry *)a)->key, ((const sm_entry *)b)->key);
}

/* Removes entries that are not objects below the prefix: the prefix itself, and empty objects that
 * mark folders. */
static void keep_objects(listing *l, const smi_listing *what)
{
    int64_t n = 0;
    for (int64_t i = 0; i < l->n; i++) {
        const sm_str key = l->entries[i].key;
        const bool is_marker = !l->entries[i].is_folder && sm_str_ends(key, SM_STR("/"));
        if (key.len > what->prefix.len && !is_marker) {
            l->entries[n++] = l->entries[i];
        }
    }
    l->n = n;
}

sm_status smi_s3_list(sm_store *store, const smi_listing *what, sm_arena *a, sm_entry **out,
                      int64_t *n, sm_error *e)
{
    listing l = {.s = (smi_s3 *)store, .kept = a, .arena = sm_arena_new(NULL)};
    sm_status st = SM_OK;

    do {
        st = list_page(&l, what, e);
    } while (st == SM_OK && l.is_truncated);
    sm_arena_free(l.arena);
    sm_buf_release(&l.next);
    SM_TRY(st);
    keep_objects(&l, what);
    if (l.n > 0) { /* objects and folders come separately, and not every server sorts by bytes */
        qsort(l.entries, (size_t)l.n, sizeof(*l.entries), compare_entries);
    }
    *out = l.entries;
    *n = l.n;
    return SM_OK;
}
