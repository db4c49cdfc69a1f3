/* SPDX-License-Identifier: Apache-2.0
 *
 * store/s3_keys_int.h: the keyring, which s3_credentials.c (which keys, and when) and s3_keys.c
 * (from where) share. */
#ifndef SM_STORE_S3_KEYS_INT_H
#define SM_STORE_S3_KEYS_INT_H

#include "store/s3_int.h"

typedef enum smi_key_source {
    SMI_KEYS_NOWHERE,
    SMI_KEYS_ANONYMOUS,
    SMI_KEYS_STATIC, /* from variables or a profile; they do not expire */
    SMI_KEYS_ROLE,
    SMI_KEYS_WEB_IDENTITY,
    SMI_KEYS_SIGN_ON,
    SMI_KEYS_PROCESS,
    SMI_KEYS_CONTAINER,
    SMI_KEYS_MACHINE,
} smi_key_source;

struct smi_keyring {
    smi_connection *connection; /* retained; NULL: none */
    sm_http *http;              /* borrowed */
    smi_key_source source;
    int depth;    /* how many profiles have led to this one */
    bool is_base; /* a role's keyring of the role's own profile: only the keys in it count */
    sm_mutex
        lock; /* guards the rest; held while keys are fetched, as other threads need them too */
    bool has_keys;
    smi_keys keys;
    smi_keyring *base; /* a role's: the keys with which it is assumed; NULL: not needed yet */
};

/** Fetches new keys from the source. With the lock held. SM_DENIED says what is wrong there. */
sm_status smi_keys_fetch(smi_keyring *k, sm_error *e) SM_MUST_USE;
/** Copies keys; false if there are none, or they are too long. */
bool smi_keys_take(smi_keys *keys, sm_str id, sm_str secret, sm_str token);
const char *smi_keys_variable(const smi_keyring *k, const char *name);

/** Keyrings with which the role of `of` is assumed: of another profile, or of a credential_source.
 * */
sm_status smi_keyring_of_profile(const smi_keyring *of, sm_str profile, smi_keyring **out,
                                 sm_error *e) SM_MUST_USE;
sm_status smi_keyring_of_source(const smi_keyring *of, sm_str source, smi_keyring **out,
                                sm_error *e) SM_MUST_USE;

#endif
