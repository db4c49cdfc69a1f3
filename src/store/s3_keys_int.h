/* SPDX-License-Identifier: Apache-2.0
 *
 * store/s3_keys_int.h: a keyring, as s3_credentials.c (whose keys, and when) and s3_keys.c (from
 * where) share it. */
#ifndef SM_STORE_S3_KEYS_INT_H
#define SM_STORE_S3_KEYS_INT_H

#include "store/s3_int.h"

typedef enum smi_key_source {
    SMI_KEYS_NOWHERE,
    SMI_KEYS_ANONYMOUS,
    SMI_KEYS_STATIC, /* they stand somewhere, and do not expire */
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
    int depth;     /* of profiles that point to others */
    bool is_base;  /* of a role of the same profile: only its own keys are meant */
    sm_mutex lock; /* of the rest: who fetches makes the others wait, they need them as well */
    bool has_keys;
    smi_keys keys;
    smi_keyring *base; /* of a role: whose keys it is taken with; NULL: not needed yet */
};

/** New keys from the source. Locked. SM_DENIED says what is wrong there. */
sm_status smi_keys_fetch(smi_keyring *k, sm_error *e) SM_MUST_USE;
/** Copies; false where there are none, or they are too long. */
bool smi_keys_take(smi_keys *keys, sm_str id, sm_str secret, sm_str token);
const char *smi_keys_variable(const smi_keyring *k, const char *name);

/** Of another profile, which `of` takes a role with; of the other places where such keys may be. */
sm_status smi_keyring_of_profile(const smi_keyring *of, sm_str profile, smi_keyring **out,
                                 sm_error *e) SM_MUST_USE;
sm_status smi_keyring_of_source(const smi_keyring *of, sm_str source, smi_keyring **out,
                                sm_error *e) SM_MUST_USE;

#endif
