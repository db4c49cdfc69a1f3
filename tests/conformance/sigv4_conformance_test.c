/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/conformance/sigv4_conformance_test.c: the signing test suite of aws-c-auth, each case
 * signed in both ways: by headers, and by query parameters. Compared are the canonical request, the
 * string to sign and the signature. S3 signs a path as it is, and so does smelt: where a case asks
 * for a normalised path, this test normalises it before it is signed. */
#include "test.h"

#include <dirent.h>

#include "base/json_doc.h"
#include "base/time.h"
#include "conformance.h"
#include "format/format.h"
#include "store/s3_int.h"

#define MOST_PAIRS 32
#define N_CASES    38 /* in the data */

static const char *folder;

/* A case: what is asked, as its two files say it. */
typedef struct signing_case {
    const char *name;
    const sm_json *context;
    smi_signing signing; /* params and headers are the arrays below */
    sm_pair params[MOST_PAIRS], headers[MOST_PAIRS];
    sm_str body;
} signing_case;

static sm_str read_text(sm_arena *a, const char *name, const char *file)
{
    const char *path = sm_arena_printf(a, "%s/%s/%s", folder, name, file);
    static char bytes[65536];
    FILE *f = fopen(path, "rb");
    if (!f) {
        fail_msg("no %s", path);
    }
    const size_t n = fread(bytes, 1, sizeof(bytes), f);
    fclose(f);
    assert_true(n < sizeof(bytes));
    return sm_arena_str(a, (sm_str){bytes, n});
}

/* ---- the request ----------------------------------------------------------------------------- */

/* Cuts *rest at the first `end`, which is left out; all of it where there is none. */
static sm_str cut(sm_str *rest, char end)
{
    const char *at = rest->len > 0 ? memchr(rest->data, end, rest->len) : NULL;
    const size_t n = at ? (size_t)(at - rest->data) : rest->len;
    const sm_str part = {rest->data, n};
    const size_t used = at ? n + 1 : n;
    rest->data += used;
    rest->len -= used;
    return part;
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : (c | 32) - 'a' + 10;
}

static sm_str decode(sm_str s, sm_arena *a)
{
    char *out = sm_arena_alloc(a, s.len + 1);
    size_t n = 0;
    for (size_t i = 0; i < s.len; i++) {
        const bool is_escape = s.data[i] == '%' && i + 2 < s.len;
        out[n++] = is_escape ? (char)(hex_digit(s.data[i + 1]) * 16 + hex_digit(s.data[i + 2]))
                             : s.data[i];
        i += is_escape ? 2 : 0;
    }
    return (sm_str){out, n};
}

/* RFC 3986, 5.2.4, and empty parts go as well. */
static sm_str normalised(sm_str path, sm_arena *a)
{
    sm_str parts[64], rest = path;
    int n = 0;
    const bool is_folder = path.data[path.len - 1] == '/' || sm_str_ends(path, SM_STR("/.")) ||
                           sm_str_ends(path, SM_STR("/.."));
    while (rest.len > 0) {
        const sm_str part = cut(&rest, '/');
        if (sm_str_is(part, "..")) {
            n -= n > 0;
        } else if (part.len > 0 && !sm_str_is(part, ".")) {
            assert_true(n < SM_COUNT(parts));
            parts[n++] = part;
        }
    }
    sm_str out = SM_STR("");
    for (int i = 0; i < n; i++) {
        out = sm_arena_strf(a, "%.*s/%.*s", SM_STR_ARG(out), SM_STR_ARG(parts[i]));
    }
    return n == 0 || is_folder ? sm_arena_strf(a, "%.*s/", SM_STR_ARG(out)) : out;
}

static void read_target(signing_case *c, sm_str target, sm_arena *a)
{
    sm_str query = target;
    const sm_str path = decode(cut(&query, '?'), a);
    c->signing.path = sm_json_get(c->context, "normalize")->b ? normalised(path, a) : path;
    while (query.len > 0) {
        sm_str value = cut(&query, '&');
        const sm_str name = cut(&value, '=');
        c->params[c->signing.n_params++] = (sm_pair){decode(name, a), decode(value, a)};
    }
}

static void read_request(signing_case *c, sm_arena *a)
{
    sm_str text = read_text(a, c->name, "request.txt");
    sm_str first = cut(&text, '\n');
    c->signing.method = cut(&first, ' ');
    assert_true(sm_str_ends(first, SM_STR(" HTTP/1.1")));
    read_target(c, (sm_str){first.data, first.len - strlen(" HTTP/1.1")}, a);
    while (text.len > 0) {
        sm_str line = cut(&text, '\n');
        if (line.len == 0) {
            c->body = text;
            break;
        }
        if (line.data[0] == ' ') { /* goes on */
            assert_true(c->signing.n_headers > 0);
            sm_pair *last = &c->headers[c->signing.n_headers - 1];
            last->value = sm_arena_strf(a, "%.*s %.*s", SM_STR_ARG(last->value), SM_STR_ARG(line));
        } else {
            const sm_str name = cut(&line, ':');
            c->headers[c->signing.n_headers++] = (sm_pair){name, line};
        }
    }
}

/* ---- the two ways ---------------------------------------------------------------------------- */

static void read_case(signing_case *c, sm_arena *a)
{
    sm_error e = {0};
    assert_ok(sm_json_parse(read_text(a, c->name, "context.json"), a, &c->context, &e), &e);
    const sm_json *keys = sm_json_get(c->context, "credentials");
    smi_signing *s = &c->signing;
    *s = (smi_signing){
        .params = c->params,
        .headers = c->headers,
        .region = sm_json_text(sm_json_get(c->context, "region")),
        .service = sm_json_text(sm_json_get(c->context, "service")),
        .key_id = sm_json_text(sm_json_get(keys, "access_key_id")),
        .secret = sm_json_text(sm_json_get(keys, "secret_access_key")),
    };
    assert_true(sm_parse_instant(sm_json_text(sm_json_get(c->context, "timestamp")), &s->time_us));
    read_request(c, a);
    const sm_piece body = {c->body.data, c->body.len};
    const smi_sha256_hex hash = smi_sha256_print(smi_sha256_of(&body, 1));
    s->payload_hash = sm_arena_str(a, sm_str_of(hash.text));
}

static sm_str session_token(const signing_case *c)
{
    const sm_json *token = sm_json_get(sm_json_get(c->context, "credentials"), "token");
    const sm_json *omit = sm_json_get(c->context, "omit_session_token");
    return !token || (omit && omit->b) ? (sm_str){0} : sm_json_text(token);
}

static void add_header(signing_case *c, const char *name, sm_str value)
{
    c->headers[c->signing.n_headers++] = (sm_pair){sm_str_of(name), value};
}

static void add_param(signing_case *c, const char *name, sm_str value)
{
    c->params[c->signing.n_params++] = (sm_pair){sm_str_of(name), value};
}

static void by_headers(signing_case *c, const char *date)
{
    const sm_json *signs_body = sm_json_get(c->context, "sign_body");
    add_header(c, "X-Amz-Date", sm_str_of(date));
    if (session_token(c).len > 0) {
        add_header(c, "X-Amz-Security-Token", session_token(c));
    }
    if (signs_body->b) {
        add_header(c, "x-amz-content-sha256", c->signing.payload_hash);
    }
}

static void by_query(signing_case *c, const char *date, sm_arena *a)
{
    const sm_json *expires = sm_json_get(c->context, "expiration_in_seconds");
    const sm_str signed_headers = smi_sign(&c->signing, a).signed_headers;
    add_param(c, "X-Amz-Algorithm", SM_STR("AWS4-HMAC-SHA256"));
    add_param(c, "X-Amz-Credential",
              sm_arena_strf(a, "%.*s/%.8s/%.*s/%.*s/aws4_request", SM_STR_ARG(c->signing.key_id),
                            date, SM_STR_ARG(c->signing.region), SM_STR_ARG(c->signing.service)));
    add_param(c, "X-Amz-Date", sm_str_of(date));
    add_param(c, "X-Amz-Expires", expires->text);
    add_param(c, "X-Amz-SignedHeaders", signed_headers);
    if (session_token(c).len > 0) {
        add_param(c, "X-Amz-Security-Token", session_token(c));
    }
}

static void assert_file(const signing_case *c, sm_arena *a, const char *file, sm_str got)
{
    const sm_str want = read_text(a, c->name, file);
    if (!sm_str_eq(got, want)) {
        fail_msg("%s, %s: got\n%.*s\nwant\n%.*s", c->name, file, SM_STR_ARG(got), SM_STR_ARG(want));
    }
}

/* `way` is "header" or "query": the beginning of the files' names. */
static void assert_signs(const char *name, const char *way, sm_arena *a)
{
    char date[SMI_AMZ_DATE_BYTES];
    signing_case c = {.name = name};
    read_case(&c, a);
    smi_amz_date(c.signing.time_us, date);
    if (strcmp(way, "header") == 0) {
        by_headers(&c, date);
    } else {
        by_query(&c, date, a);
    }
    const smi_signature got = smi_sign(&c.signing, a);
    assert_file(&c, a, sm_arena_printf(a, "%s-canonical-request.txt", way), got.canonical_request);
    assert_file(&c, a, sm_arena_printf(a, "%s-string-to-sign.txt", way), got.string_to_sign);
    assert_file(&c, a, sm_arena_printf(a, "%s-signature.txt", way), got.hex);
}

static void signs_as_the_suite_does(void **state)
{
    int n = 0;
    sm_error e = {0};
    assert_ok(smi_crypto_open(&e), &e);
    DIR *cases = opendir(folder);
    assert_non_null(cases);
    for (const struct dirent *entry; (entry = readdir(cases));) {
        if (entry->d_name[0] == '.' || strchr(entry->d_name, '.')) {
            continue;
        }
        sm_arena *a = sm_arena_new(NULL);
        assert_signs(entry->d_name, "header", a);
        assert_signs(entry->d_name, "query", a);
        sm_arena_free(a);
        n++;
    }
    closedir(cases);
    assert_int_equal(n, N_CASES);
}

int main(void)
{
    folder = conformance_folder("sigv4");
    const struct CMUnitTest tests[] = {cmocka_unit_test(signs_as_the_suite_does)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
