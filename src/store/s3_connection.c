/* SPDX-License-Identifier: Apache-2.0
 *
 * store/s3_connection.c: connections: another place and other keys for one bucket, instead of those
 * in the environment, for stores of one sm_stores and of those below it. The room flow makes them
 * from a pipeline's file; s3.c, s3_profile.c and s3_credentials.c ask them for each setting.
 *
 * A connection is like an environment of its own, with the names of AWS tools. A setting that it
 * does not have comes from the real environment. Exceptions: settings about the place never do, and
 * settings about keys do not if the connection has one of them; so place and keys never come half
 * from one and half from the other. */
#include "base/text.h"
#include "store/s3_int.h"

struct smi_connection {
    _Atomic int32_t refs;
    char *name, *bucket; /* "s3://bucket" */
    bool has_keys;
    sm_pair *settings; /* values ended by NUL, owned */
    int32_t n;
    smi_connection *next; /* the next older one */
};

/* ---- which settings -------------------------------------------------------------------------- */

static bool is_among(const char *const *names, sm_str name)
{
    for (; *names; names++) {
        if (sm_str_is(name, *names)) {
            return true;
        }
    }
    return false;
}

static bool is_about_place(sm_str name)
{
    static const char *const names[] = {"AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_REGION",
                                        "AWS_DEFAULT_REGION", NULL};
    return is_among(names, name);
}

static bool is_about_keys(sm_str name)
{
    static const char *const names[] = {"AWS_PROFILE",
                                        "AWS_ACCESS_KEY_ID",
                                        "AWS_SECRET_ACCESS_KEY",
                                        "AWS_SESSION_TOKEN",
                                        "AWS_SKIP_SIGNATURE",
                                        "AWS_WEB_IDENTITY_TOKEN_FILE",
                                        "AWS_ROLE_ARN",
                                        "AWS_ROLE_SESSION_NAME",
                                        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
                                        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
                                        NULL};
    return is_among(names, name);
}

const char *smi_aws_env(const smi_connection *c, const char *variable)
{
    const sm_str name = sm_str_of(variable);
    for (int32_t i = 0; c && i < c->n; i++) {
        if (sm_str_eq(c->settings[i].key, name)) {
            return c->settings[i].value.data;
        }
    }
    const bool is_ours = c && (is_about_place(name) || (c->has_keys && is_about_keys(name)));
    return is_ours ? NULL : sm_env(variable);
}

const char *smi_connection_name(const smi_connection *c)
{
    return c->name;
}

/* ---- the list -------------------------------------------------------------------------------- */

/* The bucket of a URI: "s3://bucket". */
static sm_str bucket_of(sm_str uri)
{
    const size_t scheme = strlen("s3://");
    const char *slash = uri.len > scheme ? memchr(uri.data + scheme, '/', uri.len - scheme) : NULL;
    return slash ? (sm_str){uri.data, (size_t)(slash - uri.data)} : uri;
}

/* The newest connection for a bucket. With the lock held. */
static smi_connection *find_connection(const sm_stores *stores, sm_str bucket)
{
    smi_connection *c = stores->connections;
    while (c && !sm_str_eq(sm_str_of(c->bucket), bucket)) {
        c = c->next;
    }
    return c;
}

smi_connection *smi_connection_find(sm_stores *stores, sm_str uri)
{
    smi_connection *c = NULL;
    for (; stores && !c; stores = stores->parent) {
        sm_mutex_lock(&stores->lock);
        c = smi_connection_retain(find_connection(stores, bucket_of(uri)));
        sm_mutex_unlock(&stores->lock);
    }
    return c;
}

smi_connection *smi_connection_retain(smi_connection *c)
{
    if (c) {
        const int32_t before = atomic_fetch_add(&c->refs, 1);
        SM_ASSERT(before > 0);
    }
    return c;
}

void smi_connection_release(smi_connection *c)
{
    if (!c) {
        return;
    }
    const int32_t before = atomic_fetch_sub(&c->refs, 1);
    SM_ASSERT(before > 0);
    if (before > 1) {
        return;
    }
    for (int32_t i = 0; i < c->n; i++) {
        explicit_bzero((char *)c->settings[i].value.data, c->settings[i].value.len);
        sm_free((char *)c->settings[i].key.data);
        sm_free((char *)c->settings[i].value.data);
    }
    sm_free(c->settings);
    sm_free(c->name);
    sm_free(c->bucket);
    sm_free(c);
}

smi_connection *smi_connection_new(sm_str uri, sm_str name, const sm_pair *settings, int32_t n)
{
    smi_connection *c = sm_alloc_zero(sizeof(*c));
    c->refs = 1;
    c->bucket = smi_str_dup(bucket_of(uri));
    c->name = smi_str_dup(name);
    c->settings = sm_alloc_zero((size_t)(n + 1) * sizeof(*c->settings));
    for (; c->n < n; c->n++) {
        const sm_pair *s = &settings[c->n];
        c->settings[c->n].key = (sm_str){smi_str_dup(s->key), s->key.len};
        c->settings[c->n].value = (sm_str){smi_str_dup(s->value), s->value.len};
        c->has_keys = c->has_keys || is_about_keys(s->key);
    }
    return c;
}

sm_status sm_stores_connect(sm_stores *s, sm_str uri, sm_str name, const sm_pair *settings,
                            int32_t n, sm_error *e)
{
    smi_connection *c = smi_connection_new(uri, name, settings, n);
    sm_status st = SM_OK;
    sm_mutex_lock(&s->lock);
    const smi_connection *other = find_connection(s, sm_str_of(c->bucket));
    if (other && strcmp(other->name, c->name) != 0) {
        st = sm_fail(e, SM_EXISTS, "%.100s has the connection %.100s already", c->bucket,
                     other->name);
    } else {
        c->next = s->connections;
        s->connections = c;
    }
    sm_mutex_unlock(&s->lock);
    if (st != SM_OK) {
        smi_connection_release(c);
    }
    return st;
}

void smi_connections_release(sm_stores *s)
{
    for (smi_connection *c = s->connections, *next; c; c = next) {
        next = c->next;
        smi_connection_release(c);
    }
}
