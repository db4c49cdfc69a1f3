/* SPDX-License-Identifier: Apache-2.0
 *
 * store/s3_credentials.c: where the keys to S3 come from.
 *
 * Calls    by s3.c when a store is opened, by s3_call.c before each request and when S3 says that
 *          the keys have expired.
 * Order    as AWS tools look: AWS_SKIP_SIGNATURE (none wanted), AWS_ACCESS_KEY_ID with its secret,
 *          a web identity (AWS_WEB_IDENTITY_TOKEN_FILE and AWS_ROLE_ARN, or the profile's), the
 *          profile's keys, the metadata of a container, that of the machine.
 * Keys     that expire are fetched again some minutes before. Secrets stand in a keyring, in
 *          signatures' working memory and nowhere else: no message has them.
 * Source   "Standardized credential providers", AWS SDKs and tools reference; "Use the Instance
 *          Metadata Service" (version 2), EC2 user guide. */
#include <stdio.h>

#include "base/http.h"
#include "base/text.h"
#include "base/time.h"
#include "store/s3_int.h"

#define EARLY_US      ((int64_t)300 * 1000000) /* before they expire */
#define METADATA_MS   1000
#define ANSWER_MAX    ((size_t)64 << 10)
#define MACHINE_URL   "http://169.254.169.254"
#define CONTAINER_URL "http://169.254.170.2"
#define TOKEN_SECONDS "21600"

typedef enum key_source { NOWHERE, ANONYMOUS, STATIC, WEB_IDENTITY, CONTAINER, MACHINE } key_source;

struct smi_keyring {
    const sm_connection *connection; /* borrowed; NULL: none */
    key_source source;
    sm_mutex lock; /* of the keys: who fetches makes the others wait, they need them as well */
    bool has_keys;
    smi_keys keys;
};

/* ---- finding the source ---------------------------------------------------------------------- */

static bool copy(char *to, size_t cap, sm_str from)
{
    if (from.len == 0 || from.len >= cap) {
        return false;
    }
    memcpy(to, from.data, from.len);
    to[from.len] = '\0';
    return true;
}

/* Keys that stand somewhere; false where there are none. */
static bool take_static(smi_keys *keys, sm_str id, sm_str secret, sm_str token)
{
    if (!copy(keys->key_id, sizeof(keys->key_id), id) ||
        !copy(keys->secret, sizeof(keys->secret), secret)) {
        return false;
    }
    return token.len == 0 || copy(keys->token, sizeof(keys->token), token);
}

static bool is_true(const char *value)
{
    return value && (sm_str_eq_nocase(sm_str_of(value), SM_STR("true")) || strcmp(value, "1") == 0);
}

/* A profile whose keys would have to be got in a way that smelt does not know. */
static sm_status refuse_others(const smi_keyring *k, sm_arena *a, sm_error *e)
{
    static const char *const others[] = {"credential_process", "sso_session", "sso_start_url",
                                         "source_profile", "credential_source"};
    for (int i = 0; i < SM_COUNT(others); i++) {
        if (smi_aws_profile_setting(k->connection, others[i], a).len > 0) {
            const sm_status st =
                sm_fail(e, SM_UNSUPPORTED,
                        "the profile \"%.*s\" has %s, which is not a source of keys here",
                        SM_STR_ARG(smi_aws_profile(k->connection)), others[i]);
            sm_error_todo(e, "Put the keys into the environment: aws configure export-credentials "
                             "--format env prints them.");
            return st;
        }
    }
    return SM_OK;
}

static const char *variable(const smi_keyring *k, const char *name)
{
    return smi_aws_env(k->connection, name);
}

/* Keys that stand in variables, or the word that none are needed; *found stays where neither. */
static sm_status find_variables(smi_keyring *k, bool *found, sm_error *e)
{
    smi_keys *keys = &k->keys;
    const char *id = variable(k, "AWS_ACCESS_KEY_ID");
    const char *secret = variable(k, "AWS_SECRET_ACCESS_KEY");
    const char *token = variable(k, "AWS_SESSION_TOKEN");
    if (k->connection) {
        snprintf(keys->source, sizeof(keys->source), "the connection %.40s",
                 smi_connection_name(k->connection));
    } else {
        snprintf(keys->source, sizeof(keys->source), "the environment");
    }
    *found = true;
    if (is_true(variable(k, "AWS_SKIP_SIGNATURE"))) {
        k->source = ANONYMOUS;
        keys->is_anonymous = true;
    } else if (id && secret) {
        k->source = STATIC;
        if (!take_static(keys, sm_str_of(id), sm_str_of(secret), sm_str_of(token))) {
            return sm_fail(e, SM_INVALID, "AWS_ACCESS_KEY_ID or its secret or token is too long");
        }
    } else if (id || secret) {
        return sm_fail(e, SM_DENIED, "%s is set, but not %s",
                       id ? "AWS_ACCESS_KEY_ID" : "AWS_SECRET_ACCESS_KEY",
                       id ? "AWS_SECRET_ACCESS_KEY" : "AWS_ACCESS_KEY_ID");
    } else {
        *found = false;
    }
    return SM_OK;
}

/* Keys that stand in the profile. */
static bool find_in_profile(smi_keyring *k, sm_arena *a)
{
    const sm_connection *c = k->connection;
    const sm_str profile = smi_aws_profile(c);
    if (!take_static(&k->keys, smi_aws_profile_setting(c, "aws_access_key_id", a),
                     smi_aws_profile_setting(c, "aws_secret_access_key", a),
                     smi_aws_profile_setting(c, "aws_session_token", a))) {
        return false;
    }
    k->source = STATIC;
    snprintf(k->keys.source, sizeof(k->keys.source), "the profile %.*s", (int)profile.len,
             profile.data);
    return true;
}

static sm_status find_source(smi_keyring *k, sm_arena *a, sm_error *e)
{
    char *source = k->keys.source;
    const size_t cap = sizeof(k->keys.source);
    bool found = false;
    SM_TRY(find_variables(k, &found, e));
    if (found) {
        return SM_OK;
    }
    if (smi_aws_setting(k->connection, "AWS_WEB_IDENTITY_TOKEN_FILE", "web_identity_token_file", a)
            .len > 0) {
        k->source = WEB_IDENTITY;
        snprintf(source, cap, "a web identity");
    } else if (find_in_profile(k, a)) {
        return SM_OK;
    } else if (variable(k, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") ||
               variable(k, "AWS_CONTAINER_CREDENTIALS_FULL_URI")) {
        k->source = CONTAINER;
        snprintf(source, cap, "the container's metadata");
    } else {
        SM_TRY(refuse_others(k, a, e));
        k->source = is_true(variable(k, "AWS_EC2_METADATA_DISABLED")) ? NOWHERE : MACHINE;
        snprintf(source, cap, "the machine's metadata");
    }
    return SM_OK;
}

sm_status smi_keyring_new(const sm_connection *c, smi_keyring **out, sm_error *e)
{
    smi_keyring *k = sm_alloc_zero(sizeof(*k));
    k->connection = c;
    sm_arena *a = sm_arena_new(NULL);
    const sm_status st = find_source(k, a, e);
    k->has_keys = k->source == STATIC || k->source == ANONYMOUS;
    sm_arena_free(a);
    if (st != SM_OK) {
        sm_free(k);
        return st;
    }
    sm_mutex_init(&k->lock);
    *out = k;
    return SM_OK;
}

void smi_keyring_free(smi_keyring *k)
{
    if (k) {
        sm_mutex_release(&k->lock);
        explicit_bzero(&k->keys, sizeof(k->keys));
        sm_free(k);
    }
}

/* ---- fetching -------------------------------------------------------------------------------- */

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
    bool has_zone = false;
    smi_keys keys = {0};
    memcpy(keys.source, k->keys.source, sizeof(keys.source));
    if (!take_static(&keys, got->id, got->secret, got->token) ||
        (got->expires.len > 0 && !sm_parse_timestamp(got->expires, &keys.expires_us, &has_zone))) {
        return no_keys(k, e, "the answer has none");
    }
    k->keys = keys;
    k->has_keys = true;
    return SM_OK;
}

/* One request for metadata; its answer's body is x->text. */
static sm_status ask(const smi_keyring *k, sm_http *h, sm_exchange *x, sm_error *e)
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

/* The value of a key in a flat JSON object of strings without escapes but "\/"; "" where none. */
static sm_str json_text(sm_str object, const char *key, sm_arena *a)
{
    const char *quoted = sm_arena_printf(a, "\"%s\"", key);
    const char *at = memmem(object.data, object.len, quoted, strlen(quoted));
    const char *end = object.data + object.len;
    char *out = sm_arena_alloc(a, object.len + 1);
    size_t n = 0;
    at = at ? at + strlen(quoted) : end;
    while (at < end && (*at == ' ' || *at == ':' || *at == '\t' || *at == '\n' || *at == '\r')) {
        at++;
    }
    if (at == end || *at != '"') {
        return SM_STR("");
    }
    for (at++; at < end && *at != '"'; at++) {
        if (*at != '\\') {
            out[n++] = *at;
        }
    }
    return (sm_str){out, n};
}

static sm_status take_json(smi_keyring *k, const sm_exchange *x, sm_arena *a, sm_error *e)
{
    const sm_str text = sm_buf_str(&x->text);
    const key_answer got = {.id = json_text(text, "AccessKeyId", a),
                            .secret = json_text(text, "SecretAccessKey", a),
                            .token = json_text(text, "Token", a),
                            .expires = json_text(text, "Expiration", a)};
    return take_answer(k, &got, e);
}

static sm_status read_token_file(const smi_keyring *k, sm_str path, sm_arena *a, sm_str *out,
                                 sm_error *e)
{
    char bytes[16384];
    FILE *f = fopen(sm_arena_printf(a, "%.*s", SM_STR_ARG(path)), "rb");
    if (!f) {
        return no_keys(k, e, "its token file cannot be read");
    }
    size_t n = fread(bytes, 1, sizeof(bytes), f);
    fclose(f);
    while (n > 0 && (bytes[n - 1] == '\n' || bytes[n - 1] == '\r' || bytes[n - 1] == ' ')) {
        n--;
    }
    *out = sm_arena_str(a, (sm_str){bytes, n});
    return n == sizeof(bytes) ? no_keys(k, e, "its token is too long") : SM_OK;
}

static sm_status from_container(smi_keyring *k, sm_http *h, sm_exchange *x, sm_arena *a,
                                sm_error *e)
{
    const char *full = variable(k, "AWS_CONTAINER_CREDENTIALS_FULL_URI");
    const char *relative = variable(k, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    const char *token_file = variable(k, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
    sm_str token = sm_str_of(variable(k, "AWS_CONTAINER_AUTHORIZATION_TOKEN"));
    if (token_file) {
        SM_TRY(read_token_file(k, sm_str_of(token_file), a, &token, e));
    }
    const char *headers[] = {
        token.len > 0 ? sm_arena_printf(a, "Authorization: %.*s", SM_STR_ARG(token)) : NULL, NULL};
    x->method = "GET";
    x->url = relative ? sm_arena_printf(a, CONTAINER_URL "%s", relative) : full;
    x->headers = headers;
    SM_TRY(ask(k, h, x, e));
    return take_json(k, x, a, e);
}

static sm_status from_machine(smi_keyring *k, sm_http *h, sm_exchange *x, sm_arena *a, sm_error *e)
{
    static const char *const ttl[] = {"X-aws-ec2-metadata-token-ttl-seconds: " TOKEN_SECONDS, NULL};
    static const sm_piece nothing = {"", 0};
    const char *other = variable(k, "AWS_EC2_METADATA_SERVICE_ENDPOINT");
    const char *base = other ? other : MACHINE_URL;
    x->method = "PUT";
    x->body = &nothing;
    x->n_body = 1;
    x->headers = ttl;
    x->url = sm_arena_printf(a, "%s/latest/api/token", base);
    SM_TRY(ask(k, h, x, e));
    const char *headers[] = {
        sm_arena_printf(a, "X-aws-ec2-metadata-token: %.*s", SM_STR_ARG(sm_buf_str(&x->text))),
        NULL};
    x->method = "GET";
    x->body = NULL;
    x->n_body = 0;
    x->headers = headers;
    const char *roles = sm_arena_printf(a, "%s/latest/meta-data/iam/security-credentials/", base);
    x->url = roles;
    SM_TRY(ask(k, h, x, e));
    sm_str role = sm_buf_str(&x->text);
    const char *line_end = role.len > 0 ? memchr(role.data, '\n', role.len) : NULL;
    role.len = line_end ? (size_t)(line_end - role.data) : role.len;
    x->url = sm_arena_printf(a, "%s%.*s", roles, SM_STR_ARG(role));
    SM_TRY(ask(k, h, x, e));
    return take_json(k, x, a, e);
}

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

static sm_status from_web_identity(smi_keyring *k, sm_http *h, sm_exchange *x, sm_arena *a,
                                   sm_error *e)
{
    static const char *const headers[] = {"Content-Type: application/x-www-form-urlencoded", NULL};
    const sm_str role = smi_aws_setting(k->connection, "AWS_ROLE_ARN", "role_arn", a);
    const sm_str region = smi_aws_setting(k->connection, "AWS_REGION", "region", a);
    sm_str session =
        smi_aws_setting(k->connection, "AWS_ROLE_SESSION_NAME", "role_session_name", a);
    const sm_str endpoint =
        smi_aws_setting(k->connection, "AWS_ENDPOINT_URL_STS", "endpoint_url", a);
    sm_str token;
    if (role.len == 0) {
        return no_keys(k, e, "AWS_ROLE_ARN is not set");
    }
    SM_TRY(read_token_file(
        k,
        smi_aws_setting(k->connection, "AWS_WEB_IDENTITY_TOKEN_FILE", "web_identity_token_file", a),
        a, &token, e));
    session = session.len > 0 ? session : SM_STR("smelt");
    const sm_pair params[] = {
        {SM_STR("Action"), SM_STR("AssumeRoleWithWebIdentity")},
        {SM_STR("Version"), SM_STR("2011-06-15")},
        {SM_STR("RoleArn"), role},
        {SM_STR("RoleSessionName"), session},
        {SM_STR("WebIdentityToken"), token},
    };
    const sm_str form = smi_query_encode(params, SM_COUNT(params), a);
    const sm_piece body = {form.data, form.len};
    x->method = "POST";
    x->url = endpoint.len > 0 ? sm_arena_printf(a, "%.*s/", SM_STR_ARG(endpoint))
             : region.len > 0
                 ? sm_arena_printf(a, "https://sts.%.*s.amazonaws.com/", SM_STR_ARG(region))
                 : "https://sts.amazonaws.com/";
    x->headers = headers;
    x->body = &body;
    x->n_body = 1;
    SM_TRY(ask(k, h, x, e));
    key_answer got = {0};
    SM_TRY(smi_xml_read(sm_buf_str(&x->text), on_identity, (void *[]){&got, a}, e));
    return take_answer(k, &got, e);
}

/* Locked. */
static sm_status fetch_keys(smi_keyring *k, sm_error *e)
{
    static sm_status (*const ways[])(smi_keyring *, sm_http *, sm_exchange *, sm_arena *,
                                     sm_error *) = {
        [WEB_IDENTITY] = from_web_identity, [CONTAINER] = from_container, [MACHINE] = from_machine};
    sm_http *h = NULL;
    if (k->source == NOWHERE) {
        snprintf(k->keys.source, sizeof(k->keys.source), "the environment or a profile");
        return no_keys(k, e, "there are none");
    }
    SM_TRY(sm_http_join(&h, e));
    sm_arena *a = sm_arena_new(NULL);
    sm_exchange x = {.connect_ms = METADATA_MS};
    const sm_status st = ways[k->source](k, h, &x, a, e);
    sm_buf_release(&x.text);
    sm_arena_free(a);
    sm_http_leave(h);
    return st;
}

sm_status smi_keyring_get(smi_keyring *k, const char *refused, smi_keys *out, sm_error *e)
{
    sm_status st = SM_OK;
    sm_mutex_lock(&k->lock);
    const bool is_old =
        !k->has_keys || (k->keys.expires_us > 0 && k->keys.expires_us - EARLY_US < sm_now_us());
    const bool is_refused = refused && strcmp(refused, k->keys.key_id) == 0;
    if (k->source != STATIC && k->source != ANONYMOUS && (is_old || is_refused)) {
        st = fetch_keys(k, e);
        const bool are_still_good = k->has_keys && k->keys.expires_us > sm_now_us();
        st = are_still_good && !is_refused ? SM_OK : st;
    }
    *out = k->keys;
    sm_mutex_unlock(&k->lock);
    return st;
}
