/* SPDX-License-Identifier: Apache-2.0
 *
 * store/s3_sign.c: Signature Version 4 in the variant of S3. Called by s3_call.c, and by s3_keys.c
 * for the token service (whose path is only "/").
 *
 * Source   "Create a signed AWS API request", IAM user guide; "Signature Calculations for the
 *          Authorization Header", Amazon S3 API reference: for S3, and for no other service, "."
 *          and ".." in a path are not resolved and the path is encoded once, not twice.
 * Tested   by the signing test suite of aws-c-auth (tests/conformance/sigv4_conformance_test.c). */
#include <stdio.h>
#include <stdlib.h>

#include "base/time.h"
#include "store/s3_int.h"

#define ALGORITHM "AWS4-HMAC-SHA256"

/* ---- encoding -------------------------------------------------------------------------------- */

static bool is_unreserved(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

sm_str smi_uri_encode(sm_str s, bool is_path, sm_arena *a)
{
    static const char digits[] = "0123456789ABCDEF";
    char *out = sm_arena_alloc(a, 3 * s.len + 1);
    size_t n = 0;
    for (size_t i = 0; i < s.len; i++) {
        const char c = s.data[i];
        if (is_unreserved(c) || (is_path && c == '/')) {
            out[n++] = c;
        } else {
            out[n++] = '%';
            out[n++] = digits[(uint8_t)c >> 4];
            out[n++] = digits[(uint8_t)c & 15];
        }
    }
    return (sm_str){out, n};
}

static int compare_pairs(const void *a, const void *b)
{
    const sm_pair *x = a, *y = b;
    const int by_name = sm_str_cmp(x->key, y->key);
    return by_name != 0 ? by_name : sm_str_cmp(x->value, y->value);
}

sm_str smi_query_encode(const sm_pair *params, int n, sm_arena *a)
{
    sm_pair *encoded = SM_NEW_ARRAY(a, sm_pair, n + 1);
    size_t len = 0;
    for (int i = 0; i < n; i++) {
        encoded[i].key = smi_uri_encode(params[i].key, false, a);
        encoded[i].value = smi_uri_encode(params[i].value, false, a);
        len += encoded[i].key.len + encoded[i].value.len + 2;
    }
    qsort(encoded, (size_t)n, sizeof(*encoded), compare_pairs); /* the encoded form is sorted */
    char *out = sm_arena_alloc(a, len + 1);
    size_t at = 0;
    for (int i = 0; i < n; i++) {
        at += (size_t)snprintf(out + at, len + 1 - at, "%s%.*s=%.*s", i > 0 ? "&" : "",
                               (int)encoded[i].key.len, encoded[i].key.data,
                               (int)encoded[i].value.len, encoded[i].value.data);
    }
    SM_ASSERT(at <= len); /* nothing was cut */
    return (sm_str){out, at};
}

/* ---- the canonical request ------------------------------------------------------------------- */

static sm_str lower_name(sm_str s, sm_arena *a)
{
    char *out = sm_arena_alloc(a, s.len + 1);
    for (size_t i = 0; i < s.len; i++) {
        out[i] = s.data[i] >= 'A' && s.data[i] <= 'Z' ? (char)(s.data[i] + ('a' - 'A')) : s.data[i];
    }
    return (sm_str){out, s.len};
}

/* The value without white space around it, and with one space for white space within it. */
static sm_str trim_value(sm_str s, sm_arena *a)
{
    char *out = sm_arena_alloc(a, s.len + 1);
    size_t n = 0;
    for (size_t i = 0; i < s.len; i++) {
        const bool is_blank = s.data[i] == ' ' || (s.data[i] >= '\t' && s.data[i] <= '\r');
        if (!is_blank) {
            out[n++] = s.data[i];
        } else if (n > 0 && out[n - 1] != ' ') {
            out[n++] = ' ';
        }
    }
    return (sm_str){out, n > 0 && out[n - 1] == ' ' ? n - 1 : n};
}

/* Sorts by name; it is stable, so several values of one name keep their order. */
static void sort_headers(sm_pair *headers, int n)
{
    for (int i = 1; i < n; i++) {
        const sm_pair h = headers[i];
        int at = i;
        for (; at > 0 && sm_str_cmp(headers[at - 1].key, h.key) > 0; at--) {
            headers[at] = headers[at - 1];
        }
        headers[at] = h;
    }
}

/* Appends "name:value\n" for each name, its values joined by commas; and the names as "a;b". */
static void canonical_headers(const smi_signing *s, sm_arena *a, sm_buf *text, sm_buf *names)
{
    sm_pair *sorted = SM_NEW_ARRAY(a, sm_pair, s->n_headers);
    for (int i = 0; i < s->n_headers; i++) {
        sorted[i].key = lower_name(s->headers[i].key, a);
        sorted[i].value = trim_value(s->headers[i].value, a);
    }
    sort_headers(sorted, s->n_headers);
    for (int i = 0; i < s->n_headers; i++) {
        const bool is_more = i > 0 && sm_str_eq(sorted[i].key, sorted[i - 1].key);
        if (is_more) {
            SM_ASSERT(text->len > 0 && text->data[text->len - 1] == '\n');
            text->len--; /* the line of this name goes on */
            sm_buf_text(text, SM_STR(","));
        } else {
            sm_buf_text(names, i > 0 ? SM_STR(";") : SM_STR(""));
            sm_buf_text(names, sorted[i].key);
            sm_buf_text(text, sorted[i].key);
            sm_buf_text(text, SM_STR(":"));
        }
        sm_buf_text(text, sorted[i].value);
        sm_buf_text(text, SM_STR("\n"));
    }
}

static sm_str canonical_request(const smi_signing *s, sm_arena *a, sm_str *signed_headers)
{
    sm_buf headers = {0}, names = {0}, out = {0};
    canonical_headers(s, a, &headers, &names);
    *signed_headers = sm_arena_str(a, sm_buf_str(&names));
    const sm_str parts[] = {s->method,
                            smi_uri_encode(s->path, true, a),
                            smi_query_encode(s->params, s->n_params, a),
                            sm_buf_str(&headers),
                            *signed_headers,
                            s->payload_hash};
    for (int i = 0; i < SM_COUNT(parts); i++) {
        sm_buf_text(&out, i > 0 ? SM_STR("\n") : SM_STR(""));
        sm_buf_text(&out, parts[i]);
    }
    const sm_str text = sm_arena_str(a, sm_buf_str(&out));
    sm_buf_release(&headers);
    sm_buf_release(&names);
    sm_buf_release(&out);
    return text;
}

/* ---- the signature --------------------------------------------------------------------------- */

void smi_amz_date(int64_t time_us, char out[SMI_AMZ_DATE_BYTES])
{
    int64_t second = time_us / 1000000;
    const int64_t days = (second - (second % 86400 + 86400) % 86400) / 86400;
    second -= days * 86400;
    const sm_civil day = sm_civil_from_days(days);
    snprintf(out, SMI_AMZ_DATE_BYTES, "%04u%02u%02uT%02u%02u%02uZ", (unsigned)day.year % 10000,
             (unsigned)day.month % 100, (unsigned)day.day % 100, (unsigned)(second / 3600) % 100,
             (unsigned)(second / 60 % 60), (unsigned)(second % 60));
}

static smi_sha256 signing_key(const smi_signing *s, sm_str day, sm_arena *a)
{
    const char *secret = sm_arena_printf(a, "AWS4%.*s", SM_STR_ARG(s->secret));
    smi_sha256 key = smi_hmac_sha256(secret, strlen(secret), day);
    key = smi_hmac_sha256(key.bytes, sizeof(key.bytes), s->region);
    key = smi_hmac_sha256(key.bytes, sizeof(key.bytes), s->service);
    return smi_hmac_sha256(key.bytes, sizeof(key.bytes), SM_STR("aws4_request"));
}

smi_signature smi_sign(const smi_signing *s, sm_arena *a)
{
    smi_signature out = {0};
    char date[SMI_AMZ_DATE_BYTES];
    SM_ASSERT(s->path.len > 0 && s->path.data[0] == '/');
    SM_ASSERT(s->n_headers > 0 && s->payload_hash.len > 0);
    smi_amz_date(s->time_us, date);
    const sm_str day = {date, 8};
    const sm_str scope = sm_arena_strf(a, "%.*s/%.*s/%.*s/aws4_request", SM_STR_ARG(day),
                                       SM_STR_ARG(s->region), SM_STR_ARG(s->service));
    out.canonical_request = canonical_request(s, a, &out.signed_headers);
    const sm_piece request = {out.canonical_request.data, out.canonical_request.len};
    const smi_sha256_hex hash = smi_sha256_print(smi_sha256_of(&request, 1));
    out.string_to_sign =
        sm_arena_strf(a, ALGORITHM "\n%s\n%.*s\n%s", date, SM_STR_ARG(scope), hash.text);
    const smi_sha256 key = signing_key(s, day, a);
    const smi_sha256_hex hex =
        smi_sha256_print(smi_hmac_sha256(key.bytes, sizeof(key.bytes), out.string_to_sign));
    out.hex = sm_arena_str(a, sm_str_of(hex.text));
    out.authorization = sm_arena_strf(
        a, ALGORITHM " Credential=%.*s/%.*s, SignedHeaders=%.*s, Signature=%s",
        SM_STR_ARG(s->key_id), SM_STR_ARG(scope), SM_STR_ARG(out.signed_headers), hex.text);
    return out;
}
