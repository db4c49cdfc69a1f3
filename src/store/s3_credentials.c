/* SPDX-License-Identifier: Apache-2.0
 *
 * store/s3_credentials.c: finds the source of the keys for S3, and decides when they are fetched.
 *
 * Callers  s3.c when a store is opened; s3_call.c before each request, and when S3 says that the
 *          keys have expired. s3_keys.c fetches the keys.
 * Order    that of AWS tools: AWS_SKIP_SIGNATURE (no keys), AWS_ACCESS_KEY_ID with its secret, a
 *          role of the profile that is assumed with other keys, a web identity
 *          (AWS_WEB_IDENTITY_TOKEN_FILE and AWS_ROLE_ARN, or the profile's), single sign-on, the
 *          profile's keys, its command, the metadata of a container, the metadata of the machine.
 * Keys     that expire are fetched again some minutes before. Secrets are only in keyrings and in
 *          the memory of a request while it is signed; no message has them.
 * Source   "Standardized credential providers", AWS SDKs and tools reference. */
#include <stdio.h>

#include "base/time.h"
#include "store/s3_keys_int.h"

#define EARLY_US  ((int64_t)300 * 1000000) /* before they expire */
#define DEPTH_MAX 5                        /* how many profiles may point to one another */

/* ---- finding the source ---------------------------------------------------------------------- */

static bool is_true(const char *value)
{
    return value && (sm_str_eq_nocase(sm_str_of(value), SM_STR("true")) || strcmp(value, "1") == 0);
}

/* Takes keys from variables, or the setting that none are needed; *found says whether there was one
 * of these. */
static sm_status find_variables(smi_keyring *k, bool *found, sm_error *e)
{
    smi_keys *keys = &k->keys;
    const char *id = smi_keys_variable(k, "AWS_ACCESS_KEY_ID");
    const char *secret = smi_keys_variable(k, "AWS_SECRET_ACCESS_KEY");
    const char *token = smi_keys_variable(k, "AWS_SESSION_TOKEN");
    if (k->connection) {
        snprintf(keys->source, sizeof(keys->source), "the connection %.40s",
                 smi_connection_name(k->connection));
    } else {
        snprintf(keys->source, sizeof(keys->source), "the environment");
    }
    *found = true;
    if (is_true(smi_keys_variable(k, "AWS_SKIP_SIGNATURE"))) {
        k->source = SMI_KEYS_ANONYMOUS;
        keys->is_anonymous = true;
    } else if (id && secret) {
        k->source = SMI_KEYS_STATIC;
        if (!smi_keys_take(keys, sm_str_of(id), sm_str_of(secret), sm_str_of(token))) {
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

/* Takes keys from the profile. */
static bool find_in_profile(smi_keyring *k, sm_arena *a)
{
    const smi_connection *c = k->connection;
    const sm_str profile = smi_aws_profile(c);
    if (!smi_keys_take(&k->keys, smi_aws_profile_setting(c, "aws_access_key_id", a),
                       smi_aws_profile_setting(c, "aws_secret_access_key", a),
                       smi_aws_profile_setting(c, "aws_session_token", a))) {
        return false;
    }
    k->source = SMI_KEYS_STATIC;
    snprintf(k->keys.source, sizeof(k->keys.source), "the profile %.*s", (int)profile.len,
             profile.data);
    return true;
}

static sm_str profile_setting(const smi_keyring *k, const char *name, sm_arena *a)
{
    return smi_aws_profile_setting(k->connection, name, a);
}

/* A profile that was named must exist, as keys from elsewhere would be the wrong ones. */
static sm_status want_profile(const smi_keyring *k, sm_arena *a, sm_error *e)
{
    if (!smi_keys_variable(k, "AWS_PROFILE") || smi_aws_has_profile(k->connection, a)) {
        return SM_OK;
    }
    const sm_status st = sm_fail(e, SM_NAME, "no profile \"%.*s\" in ~/.aws/config and credentials",
                                 SM_STR_ARG(smi_aws_profile(k->connection)));
    sm_error_todo(e, "Check AWS_PROFILE; aws configure list-profiles prints those that exist.");
    return st;
}

static void set_source(smi_keyring *k, smi_key_source source, const char *name)
{
    k->source = source;
    snprintf(k->keys.source, sizeof(k->keys.source), "%s", name);
}

static sm_status find_source(smi_keyring *k, sm_arena *a, sm_error *e)
{
    bool found = false;
    SM_TRY(find_variables(k, &found, e));
    if (found) {
        return SM_OK;
    }
    SM_TRY(want_profile(k, a, e));
    const bool has_base = profile_setting(k, "source_profile", a).len > 0 ||
                          profile_setting(k, "credential_source", a).len > 0;
    if (has_base && !k->is_base) {
        set_source(k, SMI_KEYS_ROLE, "the profile's role");
    } else if (smi_aws_setting(k->connection, "AWS_WEB_IDENTITY_TOKEN_FILE",
                               "web_identity_token_file", a)
                   .len > 0) {
        set_source(k, SMI_KEYS_WEB_IDENTITY, "a web identity");
    } else if (profile_setting(k, "sso_account_id", a).len > 0) {
        set_source(k, SMI_KEYS_SIGN_ON, "single sign-on");
    } else if (find_in_profile(k, a)) {
        return SM_OK;
    } else if (profile_setting(k, "credential_process", a).len > 0) {
        set_source(k, SMI_KEYS_PROCESS, "the profile's credential_process");
    } else if (smi_keys_variable(k, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") ||
               smi_keys_variable(k, "AWS_CONTAINER_CREDENTIALS_FULL_URI")) {
        set_source(k, SMI_KEYS_CONTAINER, "the container's metadata");
    } else if (is_true(smi_keys_variable(k, "AWS_EC2_METADATA_DISABLED"))) {
        set_source(k, SMI_KEYS_NOWHERE, "the environment or a profile");
    } else {
        set_source(k, SMI_KEYS_MACHINE, "the machine's metadata");
    }
    return SM_OK;
}

static smi_keyring *keyring_alloc(smi_connection *c, sm_http *http, int depth)
{
    smi_keyring *k = sm_alloc_zero(sizeof(*k));
    k->connection = c;
    k->http = http;
    k->depth = depth;
    sm_mutex_init(&k->lock);
    return k;
}

static sm_status keyring_find(smi_keyring *k, sm_error *e)
{
    sm_arena *a = sm_arena_new(NULL);
    const sm_status st = find_source(k, a, e);
    k->has_keys = k->source == SMI_KEYS_STATIC || k->source == SMI_KEYS_ANONYMOUS;
    sm_arena_free(a);
    return st;
}

/* Returns the keyring in *out, or frees it after a failure. */
static sm_status keyring_give(smi_keyring *k, sm_status st, smi_keyring **out)
{
    if (st != SM_OK) {
        smi_keyring_free(k);
        return st;
    }
    *out = k;
    return SM_OK;
}

sm_status smi_keyring_new(smi_connection *c, sm_http *http, smi_keyring **out, sm_error *e)
{
    smi_keyring *k = keyring_alloc(smi_connection_retain(c), http, 0);
    const sm_status st = keyring_find(k, e);
    return keyring_give(k, st, out);
}

sm_status smi_keyring_of_profile(const smi_keyring *of, sm_str profile, smi_keyring **out,
                                 sm_error *e)
{
    const sm_pair settings[] = {{SM_STR("AWS_PROFILE"), profile}};
    if (of->depth == DEPTH_MAX) {
        return sm_fail(e, SM_INVALID, "more than %d profiles point to one another", DEPTH_MAX);
    }
    smi_connection *c = smi_connection_new(SM_STR(""), profile, settings, 1);
    smi_keyring *k = keyring_alloc(c, of->http, of->depth + 1);
    /* A profile that names itself means the keys in it. */
    k->is_base = sm_str_eq(profile, smi_aws_profile(of->connection));
    const sm_status st = keyring_find(k, e);
    return keyring_give(k, st, out);
}

sm_status smi_keyring_of_source(const smi_keyring *of, sm_str source, smi_keyring **out,
                                sm_error *e)
{
    smi_keyring *k = keyring_alloc(NULL, of->http, DEPTH_MAX);
    bool found = true;
    sm_status st = SM_OK;
    if (sm_str_is(source, "Environment")) {
        st = find_variables(k, &found, e);
        k->has_keys = true;
    } else if (sm_str_is(source, "Ec2InstanceMetadata")) {
        set_source(k, SMI_KEYS_MACHINE, "the machine's metadata");
    } else if (sm_str_is(source, "EcsContainer")) {
        set_source(k, SMI_KEYS_CONTAINER, "the container's metadata");
    } else {
        found = false;
    }
    if (st == SM_OK && !found) {
        st = sm_fail(e, SM_DENIED, "credential_source %.*s has no keys", SM_STR_ARG(source));
        sm_error_todo(e, "Set it to Environment, Ec2InstanceMetadata or EcsContainer.");
    }
    return keyring_give(k, st, out);
}

void smi_keyring_free(smi_keyring *k)
{
    if (k) {
        smi_keyring_free(k->base);
        smi_connection_release(k->connection);
        sm_mutex_release(&k->lock);
        explicit_bzero(&k->keys, sizeof(k->keys));
        sm_free(k);
    }
}

/* ---- getting keys ---------------------------------------------------------------------------- */

sm_status smi_keyring_get(smi_keyring *k, const char *refused, smi_keys *out, sm_error *e)
{
    sm_status st = SM_OK;
    sm_mutex_lock(&k->lock);
    const bool is_old =
        !k->has_keys || (k->keys.expires_us > 0 && k->keys.expires_us - EARLY_US < sm_now_us());
    const bool is_refused = refused && strcmp(refused, k->keys.key_id) == 0;
    if (k->source != SMI_KEYS_STATIC && k->source != SMI_KEYS_ANONYMOUS && (is_old || is_refused)) {
        st = smi_keys_fetch(k, e);
        const bool are_still_good = k->has_keys && k->keys.expires_us > sm_now_us();
        st = are_still_good && !is_refused ? SM_OK : st;
    }
    SM_ASSERT(st != SM_OK || k->has_keys);
    SM_ASSERT(st != SM_OK || k->keys.is_anonymous ||
              (k->keys.key_id[0] != '\0' && k->keys.secret[0] != '\0'));
    *out = k->keys;
    sm_mutex_unlock(&k->lock);
    return st;
}
