/* SPDX-License-Identifier: Apache-2.0
 *
 * store/s3_keys.c: fetches keys from where they are given: the metadata of a machine or container,
 * a token service for web identities and roles, single sign-on, a command. Called by
 * s3_credentials.c, which knows the source and the time.
 *
 * Source   "Use the Instance Metadata Service" (version 2), EC2 user guide; "AssumeRole",
 *          "AssumeRoleWithWebIdentity", STS API reference; "GetRoleCredentials", SSO portal API
 *          reference; "Process credential provider", AWS SDKs and tools reference. */
#include <stdio.h>
#include <sys/wait.h>

#include "base/json_doc.h"
#include "base/text.h"
#include "base/time.h"
#include "net/net.h"
#include "store/s3_keys_int.h"

#define METADATA_MS   1000
#define SERVICE_MS    10000
#define ANSWER_MAX    ((size_t)64 << 10)
#define MACHINE_URL   "http://169.254.169.254"
#define CONTAINER_URL "http://169.254.170.2"
#define TOKEN_SECONDS "21600"

/* ---- keys ------------------------------------------------------------------------------------ */

const char *smi_keys_variable(const smi_keyring *k, const char *name)
{
    return smi_aws_env(k->connection, name);
}

static sm_str profile_setting(const smi_keyring *k, const char *name, sm_arena *a)
{
    return smi_aws_profile_setting(k->connection, name, a);
}

static bool copy_key(char *to, size_t cap, sm_str from)
{
    if (from.len == 0 || from.len >= cap) {
        return false;
    }
    memcpy(to, from.data, from.len);
    to[from.len] = '\0';
    return true;
}

bool smi_keys_take(smi_keys *keys, sm_str id, sm_str secret, sm_str token)
{
    if (!copy_key(keys->key_id, sizeof(keys->key_id), id) ||
        !copy_key(keys->secret, sizeof(keys->secret), secret)) {
        return false;
    }
    return token.len == 0 || copy_key(keys->token, sizeof(keys->token), token);
}

/* Keys as a service gave them. */
typedef struct key_answer {
    sm_str id, secret, token, expires;
} key_answer;

static sm_status no_keys(const smi_keyring *k, sm_error *e, const char *why)
{
    const sm_status st = sm_fail(e, SM_DENIED, "no keys from %s: %s", k->keys.source, why);
    sm_error_todo(e,
                  "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or for public "
                  "data AWS_SKIP_SIGNATURE=true.");
    return st;
}

static sm_status take_answer(smi_keyring *k, const key_answer *got, sm_error *e)
{
    smi_keys keys = {0};
    memcpy(keys.source, k->keys.source, sizeof(keys.source));
    if (!smi_keys_take(&keys, got->id, got->secret, got->token) ||
        (got->expires.len > 0 && !sm_parse_instant(got->expires, &keys.expires_us))) {
        return no_keys(k, e, "the response contains no usable keys");
    }
    k->keys = keys;
    k->has_keys = true;
    return SM_OK;
}

/* One request for keys or a token; the body of the response is in x->text. */
static sm_status ask_service(const smi_keyring *k, sm_http *h, sm_exchange *x, sm_error *e)
{
    char why[200];
    x->text.max_bytes = ANSWER_MAX;
    sm_http_wait(h, x);
    if (x->failure != SM_HTTP_ANSWERED) {
        return no_keys(k, e, x->why);
    }
    if (x->status != 200) {
        snprintf(why, sizeof(why), "HTTP status %d", x->status);
        return no_keys(k, e, why);
    }
    return SM_OK;
}

/* The text as a JSON document, or NULL. */
static const sm_json *document_of(sm_str text, sm_arena *a)
{
    const sm_json *doc = NULL;
    sm_error unused = {0}; /* it may quote a secret */

    return sm_json_parse(text, a, &doc, &unused) == SM_OK ? doc : NULL;
}

/* A member that is a string or a number, as text; "" if there is none. */
static sm_str json_member(const sm_json *object, const char *key)
{
    const sm_json *v = sm_json_get(object, key);

    return v && v->type == SM_JSON_NUMBER ? v->text : sm_json_text(v);
}

/* Takes keys from a JSON document, in which `token` is the name of the session token. */
static sm_status take_json(smi_keyring *k, sm_str text, const char *token, sm_arena *a, sm_error *e)
{
    const sm_json *doc = document_of(text, a);
    const key_answer got = {.id = json_member(doc, "AccessKeyId"),
                            .secret = json_member(doc, "SecretAccessKey"),
                            .token = json_member(doc, token),
                            .expires = json_member(doc, "Expiration")};
    return take_answer(k, &got, e);
}

/* ---- metadata -------------------------------------------------------------------------------- */

static sm_status read_token_file(const smi_keyring *k, sm_str path, sm_arena *a, sm_str *out,
                                 sm_error *e)
{
    char bytes[16384];
    FILE *f = fopen(sm_arena_printf(a, "%.*s", SM_STR_ARG(path)), "rb");
    if (!f) {
        return no_keys(k, e, "the token file cannot be read");
    }
    size_t n = fread(bytes, 1, sizeof(bytes), f);
    fclose(f);
    while (n > 0 && (bytes[n - 1] == '\n' || bytes[n - 1] == '\r' || bytes[n - 1] == ' ')) {
        n--;
    }
    *out = sm_arena_str(a, (sm_str){bytes, n});
    return n == sizeof(bytes) ? no_keys(k, e, "the token is too long") : SM_OK;
}

static sm_status from_container(smi_keyring *k, sm_http *h, sm_exchange *x, sm_arena *a,
                                sm_error *e)
{
    const char *full = smi_keys_variable(k, "AWS_CONTAINER_CREDENTIALS_FULL_URI");
    const char *relative = smi_keys_variable(k, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    const char *token_file = smi_keys_variable(k, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
    sm_str token = sm_str_of(smi_keys_variable(k, "AWS_CONTAINER_AUTHORIZATION_TOKEN"));
    if (token_file) {
        SM_TRY(read_token_file(k, sm_str_of(token_file), a, &token, e));
    }
    const char *headers[] = {
        token.len > 0 ? sm_arena_printf(a, "Authorization: %.*s", SM_STR_ARG(token)) : NULL, NULL};
    x->method = "GET";
    x->url = relative ? sm_arena_printf(a, CONTAINER_URL "%s", relative) : full;
    x->headers = headers;
    SM_TRY(ask_service(k, h, x, e));
    return take_json(k, sm_buf_str(&x->text), "Token", a, e);
}

static sm_status from_machine(smi_keyring *k, sm_http *h, sm_exchange *x, sm_arena *a, sm_error *e)
{
    static const char *const ttl[] = {"X-aws-ec2-metadata-token-ttl-seconds: " TOKEN_SECONDS, NULL};
    static const sm_piece nothing = {"", 0};
    const char *other = smi_keys_variable(k, "AWS_EC2_METADATA_SERVICE_ENDPOINT");
    const char *base = other ? other : MACHINE_URL;
    x->method = "PUT";
    x->body = &nothing;
    x->n_body = 1;
    x->headers = ttl;
    x->url = sm_arena_printf(a, "%s/latest/api/token", base);
    SM_TRY(ask_service(k, h, x, e));
    const char *headers[] = {
        sm_arena_printf(a, "X-aws-ec2-metadata-token: %.*s", SM_STR_ARG(sm_buf_str(&x->text))),
        NULL};
    x->method = "GET";
    x->body = NULL;
    x->n_body = 0;
    x->headers = headers;
    const char *roles = sm_arena_printf(a, "%s/latest/meta-data/iam/security-credentials/", base);
    x->url = roles;
    SM_TRY(ask_service(k, h, x, e));
    sm_str role = sm_buf_str(&x->text);
    const char *line_end = role.len > 0 ? memchr(role.data, '\n', role.len) : NULL;
    role.len = line_end ? (size_t)(line_end - role.data) : role.len;
    x->url = sm_arena_printf(a, "%s%.*s", roles, SM_STR_ARG(role));
    SM_TRY(ask_service(k, h, x, e));
    return take_json(k, sm_buf_str(&x->text), "Token", a, e);
}

/* ---- the token service ----------------------------------------------------------------------- */

static void on_identity(void *ctx, sm_str parent, sm_str name, sm_str text)
{
    key_answer *got = ((void **)ctx)[0];
    sm_arena *a = ((void **)ctx)[1];
    if (!sm_str_is(parent, "Credentials")) {
        return;
    }
    sm_str *to = sm_str_is(name, "AccessKeyId")       ? &got->id
                 : sm_str_is(name, "SecretAccessKey") ? &got->secret
                 : sm_str_is(name, "SessionToken")    ? &got->token
                 : sm_str_is(name, "Expiration")      ? &got->expires
                                                      : NULL;
    if (to) {
        *to = sm_arena_str(a, text);
    }
}

/* Sends a form to the token service. The headers include those of a signature if it has one. */
static sm_status ask_tokens(smi_keyring *k, sm_http *h, sm_exchange *x, sm_str url, sm_str form,
                            const char *const *headers, sm_arena *a, sm_error *e)
{
    const sm_piece body = {form.data, form.len};
    x->method = "POST";
    x->url = sm_arena_printf(a, "%.*s/", SM_STR_ARG(url));
    x->headers = headers;
    x->body = &body;
    x->n_body = 1;
    SM_TRY(ask_service(k, h, x, e));
    key_answer got = {0};
    SM_TRY(smi_xml_read(sm_buf_str(&x->text), on_identity, (void *[]){&got, a}, e));
    return take_answer(k, &got, e);
}

static sm_str region_of(const smi_keyring *k, sm_arena *a)
{
    const sm_str region = smi_aws_setting(k->connection, "AWS_REGION", "region", a);
    return region.len > 0 ? region : SM_STR("us-east-1");
}

/* Ended by NUL, without a final '/'. */
static sm_str tokens_url(const smi_keyring *k, sm_arena *a)
{
    sm_str url = smi_aws_setting(k->connection, "AWS_ENDPOINT_URL_STS", "endpoint_url", a);
    while (url.len > 0 && url.data[url.len - 1] == '/') {
        url.len--;
    }
    return url.len > 0
               ? sm_arena_strf(a, "%.*s", SM_STR_ARG(url))
               : sm_arena_strf(a, "https://sts.%.*s.amazonaws.com", SM_STR_ARG(region_of(k, a)));
}

static sm_str session_of(const smi_keyring *k, sm_arena *a)
{
    const sm_str name =
        smi_aws_setting(k->connection, "AWS_ROLE_SESSION_NAME", "role_session_name", a);
    return name.len > 0 ? name : SM_STR("smelt");
}

#define FORM_TYPE "application/x-www-form-urlencoded"

static sm_status from_web_identity(smi_keyring *k, sm_http *h, sm_exchange *x, sm_arena *a,
                                   sm_error *e)
{
    static const char *const headers[] = {"Content-Type: " FORM_TYPE, NULL};
    const sm_str role = smi_aws_setting(k->connection, "AWS_ROLE_ARN", "role_arn", a);
    const sm_str file =
        smi_aws_setting(k->connection, "AWS_WEB_IDENTITY_TOKEN_FILE", "web_identity_token_file", a);
    sm_str token;
    if (role.len == 0) {
        return no_keys(k, e, "AWS_ROLE_ARN is not set");
    }
    SM_TRY(read_token_file(k, file, a, &token, e));
    const sm_pair params[] = {
        {SM_STR("Action"), SM_STR("AssumeRoleWithWebIdentity")},
        {SM_STR("Version"), SM_STR("2011-06-15")},
        {SM_STR("RoleArn"), role},
        {SM_STR("RoleSessionName"), session_of(k, a)},
        {SM_STR("WebIdentityToken"), token},
    };
    return ask_tokens(k, h, x, tokens_url(k, a), smi_query_encode(params, SM_COUNT(params), a),
                      headers, a, e);
}

/* The keys with which a role is assumed; their keyring is kept for the next time. */
static sm_status base_keys(smi_keyring *k, smi_keys *out, sm_arena *a, sm_error *e)
{
    const sm_str profile = profile_setting(k, "source_profile", a);
    SM_ASSERT(k->source == SMI_KEYS_ROLE);
    if (!k->base && profile.len > 0) {
        SM_TRY(smi_keyring_of_profile(k, profile, &k->base, e));
    } else if (!k->base) {
        SM_TRY(smi_keyring_of_source(k, profile_setting(k, "credential_source", a), &k->base, e));
    }
    return smi_keyring_get(k->base, NULL, out, e);
}

/* The headers of a signed form, for sm_exchange. */
static const char *const *sign_form(const smi_keyring *k, const smi_keys *keys, sm_str url,
                                    sm_str form, sm_arena *a)
{
    const sm_piece body = {form.data, form.len};
    const smi_sha256_hex hash = smi_sha256_print(smi_sha256_of(&body, 1));
    const char *host = strstr(url.data, "://");
    char date[SMI_AMZ_DATE_BYTES];
    const int64_t now_us = sm_now_us();
    smi_amz_date(now_us, date);
    sm_pair headers[4] = {{SM_STR("host"), host ? sm_str_of(host + 3) : url},
                          {SM_STR("content-type"), SM_STR(FORM_TYPE)},
                          {SM_STR("x-amz-date"), sm_str_of(date)}};
    int n = 3;
    if (keys->token[0] != '\0') {
        headers[n++] = (sm_pair){SM_STR("x-amz-security-token"), sm_str_of(keys->token)};
    }
    const smi_signing signing = {.method = SM_STR("POST"),
                                 .path = SM_STR("/"),
                                 .headers = headers,
                                 .n_headers = n,
                                 .payload_hash = sm_str_of(hash.text),
                                 .region = region_of(k, a),
                                 .service = SM_STR("sts"),
                                 .key_id = sm_str_of(keys->key_id),
                                 .secret = sm_str_of(keys->secret),
                                 .time_us = now_us};
    const char **lines = SM_NEW_ARRAY(a, const char *, n + 1);
    for (int i = 1; i < n; i++) { /* libcurl sends host itself */
        lines[i - 1] = sm_arena_printf(a, "%.*s: %.*s", SM_STR_ARG(headers[i].key),
                                       SM_STR_ARG(headers[i].value));
    }
    lines[n - 1] =
        sm_arena_printf(a, "authorization: %.*s", SM_STR_ARG(smi_sign(&signing, a).authorization));
    return lines;
}

static sm_status from_role(smi_keyring *k, sm_http *h, sm_exchange *x, sm_arena *a, sm_error *e)
{
    sm_pair params[5] = {
        {SM_STR("Action"), SM_STR("AssumeRole")},
        {SM_STR("Version"), SM_STR("2011-06-15")},
        {SM_STR("RoleArn"), profile_setting(k, "role_arn", a)},
        {SM_STR("RoleSessionName"), session_of(k, a)},
    };
    int n = 4;
    smi_keys keys;
    if (params[2].value.len == 0) {
        return no_keys(k, e, "the profile has no role_arn");
    }
    if (profile_setting(k, "mfa_serial", a).len > 0) {
        return no_keys(k, e, "a role with a second factor (mfa_serial) is not supported");
    }
    const sm_str external = profile_setting(k, "external_id", a);
    if (external.len > 0) {
        params[n++] = (sm_pair){SM_STR("ExternalId"), external};
    }
    SM_TRY(base_keys(k, &keys, a, e));
    const sm_str url = tokens_url(k, a);
    const sm_str form = smi_query_encode(params, n, a);
    const char *const *headers = sign_form(k, &keys, url, form, a);
    explicit_bzero(&keys, sizeof(keys));
    return ask_tokens(k, h, x, url, form, headers, a, e);
}

/* ---- single sign-on -------------------------------------------------------------------------- */

/* Reads the file that `aws sso login` has left. A hash of the session's name or address names it.
 * */
static sm_status sign_on_file(const smi_keyring *k, sm_str name, sm_arena *a, sm_str *out,
                              sm_error *e)
{
    char hex[2 * SMI_SHA1_BYTES + 1];
    const char *home = sm_env("HOME");
    smi_sha1_print(name, hex);
    const sm_str path = sm_arena_strf(a, "%s/.aws/sso/cache/%s.json", home ? home : "", hex);
    return read_token_file(k, path, a, out, e);
}

static sm_status fail_sign_on(const smi_keyring *k, sm_error *e)
{
    const sm_str profile = smi_aws_profile(k->connection);
    const sm_status st =
        sm_fail(e, SM_DENIED, "no keys from %s: you are not signed on, or the session has expired",
                k->keys.source);
    sm_error_todo(e, "Run aws sso login --profile %.*s", SM_STR_ARG(profile));
    return st;
}

/* A setting of the profile's sso-session, or of the profile itself if it has none (the old form).
 * */
static sm_str sign_on_setting(const smi_keyring *k, const char *name, sm_arena *a)
{
    const sm_str session = profile_setting(k, "sso_session", a);
    return session.len > 0 ? smi_aws_section_setting(
                                 sm_arena_strf(a, "sso-session %.*s", SM_STR_ARG(session)), name, a)
                           : profile_setting(k, name, a);
}

/* Takes keys from the response of the portal, which has names of its own and milliseconds. */
static sm_status take_sign_on(smi_keyring *k, sm_str text, sm_arena *a, sm_error *e)
{
    int64_t expires_ms = 0;
    const sm_json *keys = sm_json_get(document_of(text, a), "roleCredentials");
    const key_answer got = {.id = json_member(keys, "accessKeyId"),
                            .secret = json_member(keys, "secretAccessKey"),
                            .token = json_member(keys, "sessionToken")};
    if (!sm_parse_i64(json_member(keys, "expiration"), &expires_ms)) {
        return no_keys(k, e, "the response does not say when they expire");
    }
    SM_TRY(take_answer(k, &got, e));
    k->keys.expires_us = expires_ms * 1000;
    return SM_OK;
}

static sm_status from_sign_on(smi_keyring *k, sm_http *h, sm_exchange *x, sm_arena *a, sm_error *e)
{
    const sm_str session = profile_setting(k, "sso_session", a);
    const sm_str region = sign_on_setting(k, "sso_region", a);
    const char *other = smi_keys_variable(k, "AWS_ENDPOINT_URL_SSO");
    sm_str file, start = sign_on_setting(k, "sso_start_url", a);
    int64_t expires_us = 0;
    if (sign_on_file(k, session.len > 0 ? session : start, a, &file, e) != SM_OK) {
        return fail_sign_on(k, e);
    }
    const sm_json *signed_on = document_of(file, a);
    const sm_str token = json_member(signed_on, "accessToken");
    const bool is_good = sm_parse_instant(json_member(signed_on, "expiresAt"), &expires_us);
    if (token.len == 0 || !is_good || expires_us < sm_now_us()) {
        return fail_sign_on(k, e);
    }
    const sm_pair params[] = {{SM_STR("account_id"), profile_setting(k, "sso_account_id", a)},
                              {SM_STR("role_name"), profile_setting(k, "sso_role_name", a)}};
    const char *base =
        other ? other
              : sm_arena_printf(a, "https://portal.sso.%.*s.amazonaws.com", SM_STR_ARG(region));
    const char *headers[] = {sm_arena_printf(a, "x-amz-sso_bearer_token: %.*s", SM_STR_ARG(token)),
                             NULL};
    x->method = "GET";
    x->url = sm_arena_printf(a, "%s/federation/credentials?%.*s", base,
                             SM_STR_ARG(smi_query_encode(params, SM_COUNT(params), a)));
    x->headers = headers;
    SM_TRY(ask_service(k, h, x, e));
    return take_sign_on(k, sm_buf_str(&x->text), a, e);
}

/* ---- a command ------------------------------------------------------------------------------- */

static sm_status from_process(smi_keyring *k, sm_http *h, sm_exchange *x, sm_arena *a, sm_error *e)
{
    char *text = sm_arena_alloc(a, ANSWER_MAX);
    char why[64];
    const sm_str command = profile_setting(k, "credential_process", a);
    FILE *out = popen(sm_arena_printf(a, "%.*s", SM_STR_ARG(command)), "re");
    if (!out) {
        return no_keys(k, e, "the command cannot be started");
    }
    const size_t n = fread(text, 1, ANSWER_MAX, out);
    const int status = pclose(out);
    if (status != 0) {
        snprintf(why, sizeof(why), "the command ended with exit code %d",
                 WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
        return no_keys(k, e, why);
    }
    return take_json(k, (sm_str){text, n}, "SessionToken", a, e);
}

/* ---- the door -------------------------------------------------------------------------------- */

sm_status smi_keys_fetch(smi_keyring *k, sm_error *e)
{
    static sm_status (*const ways[])(smi_keyring *, sm_http *, sm_exchange *, sm_arena *,
                                     sm_error *) = {
        [SMI_KEYS_ROLE] = from_role,           [SMI_KEYS_WEB_IDENTITY] = from_web_identity,
        [SMI_KEYS_SIGN_ON] = from_sign_on,     [SMI_KEYS_PROCESS] = from_process,
        [SMI_KEYS_CONTAINER] = from_container, [SMI_KEYS_MACHINE] = from_machine};
    const bool is_near = k->source == SMI_KEYS_CONTAINER || k->source == SMI_KEYS_MACHINE;
    SM_ASSERT(k->source != SMI_KEYS_ANONYMOUS && k->source != SMI_KEYS_STATIC); /* never fetched */
    _Static_assert(SM_COUNT(ways) == SMI_KEYS_MACHINE + 1, "each source has its way");
    if (k->source == SMI_KEYS_NOWHERE) {
        return no_keys(k, e, "none are set");
    }
    SM_ASSERT(ways[k->source]);
    sm_arena *a = sm_arena_new(NULL);
    sm_exchange x = {.connect_ms = is_near ? METADATA_MS : SERVICE_MS};
    const sm_status st = ways[k->source](k, k->http, &x, a, e);
    sm_buf_release(&x.text);
    sm_arena_free(a);
    return st;
}
