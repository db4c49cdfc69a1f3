/* SPDX-License-Identifier: Apache-2.0
 *
 * store/s3_batch.c: deletes many objects by one request, and copies an object on the server,
 * without moving its bytes here. Called through the ops of s3.c.
 *
 * Source   DeleteObjects and CopyObject, Amazon S3 API reference. */
#include <inttypes.h>

#include "store/s3_int.h"

/* ---- deleting -------------------------------------------------------------------------------- */

/* What the response says of objects that were not deleted. */
typedef struct refusals {
    sm_arena *arena;
    sm_str key, code, message; /* of the element that is read */
    sm_str first_key, first_code, first_message;
    int64_t n;
    bool is_result;
} refusals;

static void on_delete_element(void *ctx, sm_str parent, sm_str name, sm_str text)
{
    refusals *r = ctx;
    if (sm_str_is(parent, "Error")) {
        sm_str *to = sm_str_is(name, "Key")       ? &r->key
                     : sm_str_is(name, "Code")    ? &r->code
                     : sm_str_is(name, "Message") ? &r->message
                                                  : NULL;
        if (to) {
            *to = sm_arena_str(r->arena, text);
        }
    } else if (sm_str_is(parent, "DeleteResult") && sm_str_is(name, "Error")) {
        if (r->n++ == 0) {
            r->first_key = r->key;
            r->first_code = r->code;
            r->first_message = r->message;
        }
    }
    r->is_result |= parent.len == 0 && sm_str_is(name, "DeleteResult");
}

static void put_escaped(sm_buf *out, sm_str text)
{
    for (size_t i = 0; i < text.len; i++) {
        const char c = text.data[i];
        if (c == '&' || c == '<' || c == '>' || (uint8_t)c < ' ') {
            sm_buf_printf(out, "&#%d;", c);
        } else {
            sm_buf_text(out, (sm_str){&c, 1});
        }
    }
}

static sm_str list_of_keys(const smi_s3 *s, const sm_str *keys, int64_t n, sm_arena *a)
{
    sm_buf text = {0};
    sm_buf_text(&text, SM_STR("<Delete><Quiet>true</Quiet>"));
    for (int64_t i = 0; i < n; i++) {
        sm_buf_text(&text, SM_STR("<Object><Key>"));
        put_escaped(&text, smi_s3_key(s, keys[i], a));
        sm_buf_text(&text, SM_STR("</Key></Object>"));
    }
    sm_buf_text(&text, SM_STR("</Delete>"));
    const sm_str list = sm_arena_str(a, sm_buf_str(&text));
    sm_buf_release(&text);
    return list;
}

static sm_status check_delete(const smi_s3 *s, const sm_exchange *x, sm_arena *a, sm_error *e)
{
    refusals r = {.arena = a};
    SM_TRY(smi_xml_read(sm_buf_str(&x->text), on_delete_element, &r, e));
    if (!r.is_result) {
        return sm_fail(e, SM_CORRUPT, "%.100s did not say what it deleted", s->host);
    }
    return r.n == 0
               ? SM_OK
               : sm_fail(e, SM_DENIED,
                         "%" PRId64 " objects could not be deleted, the first is %.*s: %.*s: %.*s",
                         r.n, SM_STR_ARG(r.first_key), SM_STR_ARG(r.first_code),
                         SM_STR_ARG(r.first_message));
}

sm_status smi_s3_remove_many(sm_store *store, const sm_str *keys, int64_t n, sm_error *e)
{
    static const sm_pair params[] = {{{"delete", 6}, {"", 0}}};
    smi_s3 *s = (smi_s3 *)store;
    SM_ASSERT(n > 0 && n <= SMI_REMOVE_MANY); /* S3's limit */
    sm_arena *a = sm_arena_new(NULL);
    const sm_str list = list_of_keys(s, keys, n, a);
    const sm_piece body = {list.data, list.len};
    const sm_pair checksum = smi_s3_checksum(&body, 1, a);
    const smi_s3_ask ask = {.method = "POST",
                            .params = params,
                            .n_params = 1,
                            .headers = &checksum,
                            .n_headers = 1,
                            .body = &body,
                            .n_body = 1,
                            .doing = "delete objects"};
    smi_s3_call c;
    smi_s3_call_init(&c, s, &ask);
    sm_status st = smi_s3_call_wait(&c, e);
    st = st == SM_OK ? check_delete(s, &c.x, a, e) : st;
    smi_s3_call_release(&c);
    sm_arena_free(a);
    return st;
}

/* ---- copying --------------------------------------------------------------------------------- */

sm_status smi_s3_copy(sm_store *store, sm_str from, sm_str to, sm_error *e)
{
    static const sm_piece nothing = {"", 0};
    smi_s3 *s = (smi_s3 *)store;
    sm_arena *a = sm_arena_new(NULL);
    const sm_str source =
        sm_arena_strf(a, "/%s/%.*s", s->bucket, SM_STR_ARG(smi_s3_key(s, from, a)));
    const sm_pair header = {SM_STR("x-amz-copy-source"), smi_uri_encode(source, true, a)};
    const smi_s3_ask ask = {.method = "PUT",
                            .key = smi_s3_key(s, to, a),
                            .headers = &header,
                            .n_headers = 1,
                            .body = &nothing,
                            .n_body = 1,
                            .doing = "copy the object"};
    smi_s3_call c;
    smi_s3_call_init(&c, s, &ask);
    const sm_status st = smi_s3_call_wait(&c, e);
    smi_s3_call_release(&c);
    sm_arena_free(a);
    return st;
}
