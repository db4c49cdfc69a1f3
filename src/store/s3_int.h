/* SPDX-License-Identifier: Apache-2.0
 *
 * store/s3_int.h: what the files of the S3 store share.
 *
 * Layers   s3.c              the store: objects and blobs
 *          s3_writer.c       new objects, in parts        s3_batch.c    deletes many, copies
 *          s3_list.c         listings
 *          s3_call.c         one call: signed, sent, sent again, its failure explained
 *          s3_sign.c         Signature Version 4          s3_crypto.c   SHA-256, HMAC, SHA-1
 *          s3_credentials.c  which keys, and when         s3_xml.c      the XML of responses
 *          s3_keys.c         keys from services
 *          s3_connection.c, s3_profile.c  settings
 *          net/net.h         HTTP requests */
#ifndef SM_STORE_S3_INT_H
#define SM_STORE_S3_INT_H

#include "net/net.h"
#include "store/store_int.h"

/* ---- cryptography (s3_crypto.c) -------------------------------------------------------------- */

#define SMI_SHA256_BYTES 32
typedef struct smi_sha256 {
    uint8_t bytes[SMI_SHA256_BYTES];
} smi_sha256;
typedef struct smi_sha256_hex {
    char text[2 * SMI_SHA256_BYTES + 1]; /* lower case, ended by NUL */
} smi_sha256_hex;

/** Opens the library that the functions below need; after that they cannot fail. SM_UNSUPPORTED if
 * it is not installed. */
sm_status smi_crypto_open(sm_error *e) SM_MUST_USE;
smi_sha256 smi_sha256_of(const sm_piece *pieces, int n); /* of the pieces, one after the other */
smi_sha256 smi_hmac_sha256(const void *key, size_t key_len, sm_str text);
smi_sha256_hex smi_sha256_print(smi_sha256 hash);
/** Writes the SHA-1 in lower case, ended by NUL; only for names of files. */
#define SMI_SHA1_BYTES 20
void smi_sha1_print(sm_str text, char out[2 * SMI_SHA1_BYTES + 1]);

/* ---- signing (s3_sign.c) --------------------------------------------------------------------- */

/* What is signed; nothing is encoded yet. All headers are signed; they must include host, and
 * x-amz-date with the time below. */
typedef struct smi_signing {
    sm_str method;
    sm_str path; /* begins with '/'; S3 signs it as it is, without resolving "." and ".." */
    const sm_pair *params;
    int n_params;
    const sm_pair *headers;
    int n_headers;
    sm_str payload_hash; /* hexadecimal SHA-256 of the body, or SMI_UNSIGNED */
    sm_str region, service;
    sm_str key_id, secret;
    int64_t time_us;
} smi_signing;

#define SMI_UNSIGNED SM_STR("UNSIGNED-PAYLOAD")

/* All in the arena. */
typedef struct smi_signature {
    sm_str canonical_request, string_to_sign;
    sm_str hex;
    sm_str signed_headers; /* "host;x-amz-date" */
    sm_str authorization;  /* the header's value */
} smi_signature;

/** Signs by Signature Version 4 ("Create a signed AWS API request", IAM user guide). */
smi_signature smi_sign(const smi_signing *s, sm_arena *a);

/** "20150830T123600Z", ended by NUL: the form of x-amz-date. */
#define SMI_AMZ_DATE_BYTES 17
void smi_amz_date(int64_t time_us, char out[SMI_AMZ_DATE_BYTES]);

/** Percent-encodes all but A-Z a-z 0-9 - . _ ~, and '/' unless it is a path. */
sm_str smi_uri_encode(sm_str s, bool is_path, sm_arena *a);
/** "a=1&b=2", encoded and in the order of signing; "" for none. */
sm_str smi_query_encode(const sm_pair *params, int n, sm_arena *a);

/* ---- responses (s3_xml.c) -------------------------------------------------------------------- */

/* Called when an element ends, with the name of the one around it ("" for the root) and its own
 * text, without that of the elements in it. Borrowed for the call. */
typedef void (*smi_xml_fn)(void *ctx, sm_str parent, sm_str name, sm_str text);

/** Reads XML. SM_CORRUPT if it is not XML or has a document type; on_element was called for the
 * elements before that. */
sm_status smi_xml_read(sm_str text, smi_xml_fn on_element, void *ctx, sm_error *e) SM_MUST_USE;

/* ---- the store (s3.c) ------------------------------------------------------------------------ */

/* A bucket and a prefix in it. The members before `lock` do not change after it was opened. */
typedef struct smi_s3 {
    sm_store store; /* first */
    sm_http *http;  /* as long as the store's stores */
    struct smi_keyring *keyring;
    smi_connection *connection;       /* NULL: settings come from the environment */
    char *bucket, *prefix;            /* prefix: "" or ends in '/' */
    char *scheme, *host, *base;       /* "https", "host[:port]", "" or a path before all others */
    bool is_web;                      /* a plain web server: no bucket, nothing is signed */
    char *ca_file;                    /* NULL: the system's */
    bool is_path_style, is_encrypted; /* https */
    bool is_aws;                      /* the host is that of the region, and `host` its end */
    int64_t attempts_max;

    sm_mutex lock; /* guards the rest */
    char region[64];
    bool knows_region;
    int64_t skew_us;      /* the server's clock minus ours */
    int32_t retry_tokens; /* a retry costs some, a success earns one; 0 … SMI_RETRY_TOKENS */
} smi_s3;

#define SMI_RETRY_TOKENS 500

/** The key in the bucket of a key below the store's root. */
sm_str smi_s3_key(const smi_s3 *s, sm_str key, sm_arena *a);
/** The header with the CRC-32 of a body, which the server compares with the body that it gets. */
sm_pair smi_s3_checksum(const sm_piece *pieces, int n, sm_arena *a);
/** The CRC-32 of an object in a response; false if it has none, or only one of the object's parts.
 * */
bool smi_s3_checksum_read(const sm_exchange *x, uint32_t *crc32);

/* ---- reading (s3_read.c): see sm_store_ops --------------------------------------------------- */

sm_status smi_s3_stat(sm_store *s, sm_str key, sm_arena *a, sm_entry *out, sm_error *e) SM_MUST_USE;
sm_status smi_s3_get(sm_store *s, sm_str key, sm_buf *out, sm_error *e) SM_MUST_USE;
sm_status smi_s3_blob_open(sm_store *s, sm_str key, sm_blob **out, sm_error *e) SM_MUST_USE;
sm_status smi_s3_blob_open_step(sm_store *s, const smi_opening *want, sm_waker waker, void **state,
                                sm_blob **out, sm_error *e) SM_MUST_USE;
void smi_s3_open_hasten(void *state);
void smi_s3_open_free(void *state);
sm_status smi_s3_blob_read(sm_blob *b, uint64_t off_bytes, size_t len, void *out,
                           sm_error *e) SM_MUST_USE;
sm_status smi_s3_blob_read_step(sm_blob *b, const smi_read *reads, int n, sm_waker waker,
                                void **state, sm_error *e) SM_MUST_USE;
void smi_s3_read_hasten(void *state);
void smi_s3_read_free(void *state);
void smi_s3_blob_free(sm_blob *b);

/* ---- listing (s3_list.c), on the server's side (s3_batch.c): see sm_store_ops ---------------- */

sm_status smi_s3_list(sm_store *s, const smi_listing *what, sm_arena *a, sm_entry **out, int64_t *n,
                      sm_error *e) SM_MUST_USE;

sm_status smi_s3_remove_many(sm_store *s, const sm_str *keys, int64_t n, sm_error *e) SM_MUST_USE;
sm_status smi_s3_copy(sm_store *s, sm_str from, sm_str to, sm_error *e) SM_MUST_USE;

/* ---- writing (s3_writer.c): see sm_store_ops ------------------------------------------------- */

sm_status smi_s3_writer_open(sm_store *s, sm_str key, smi_writer **out, sm_error *e) SM_MUST_USE;
sm_status smi_s3_writer_write(smi_writer *w, sm_block *block, size_t n, sm_waker waker,
                              sm_error *e) SM_MUST_USE;
sm_status smi_s3_writer_finish(smi_writer *w, sm_waker waker, sm_error *e) SM_MUST_USE;
void smi_s3_writer_free(smi_writer *w);

/* ---- one call (s3_call.c) -------------------------------------------------------------------- */

/* A request. All of it is borrowed until the call ends. */
typedef struct smi_s3_ask {
    const char *method;
    sm_str key; /* in the bucket, prefix included; "": the bucket itself */
    const sm_pair *params;
    int n_params;
    const sm_pair *headers; /* besides those of the signature */
    int n_headers;
    const sm_piece *body;
    int n_body;
    const sm_into *into; /* where into_len bytes of the object from off_bytes on go; NULL: the
                          * response goes to x.text */
    int n_into;
    uint64_t off_bytes;
    size_t into_len;
    size_t text_max;   /* the most bytes of x.text; 0: enough for a page of a listing */
    bool is_object;    /* x.text gets the bytes of an object, not XML */
    bool has_checksum; /* `into` is a whole object, whose checksum is known */
    uint32_t checksum;
    bool is_if_absent; /* a put with If-None-Match */
    const char *doing; /* "list the bucket", for messages */
} smi_s3_ask;

typedef struct smi_s3_call {
    sm_exchange x; /* first; after SM_OK its text and headers are the response */
    smi_s3 *s3;
    smi_s3_ask ask;
    sm_arena *arena; /* memory of one attempt; reset for each */
    char payload_hash[2 * SMI_SHA256_BYTES + 1];
    char key_id[256]; /* the keys of the attempt */
    char key_source[64];
    int64_t n_attempts, began_ns, wait_ns;
    bool has_renewed, has_moved, has_set_clock; /* what was corrected already */
    size_t have;                                /* bytes of `into` that earlier attempts got */

    sm_mutex lock; /* guards the rest */
    bool is_sent, is_answered;
    sm_waker waker;
} smi_s3_call;

/** The host that a bucket has in a region: "bucket.s3.eu-west-1.amazonaws.com". */
sm_str smi_s3_host(const smi_s3 *s, const char *region, sm_arena *a);
/** Prepares a call; nothing is sent yet. */
void smi_s3_call_init(smi_s3_call *c, smi_s3 *s3, const smi_s3_ask *ask);
/** Cancels the call if it is under way, waits for its end, and frees what it has. */
void smi_s3_call_release(smi_s3_call *c);
/**
 * Sends the request, or reads the response. Sends again after a failure that may pass, with a delay
 * that grows.
 *
 * Returns   SM_WAIT: call again after the waker; SM_OK; SM_NOT_FOUND; SM_EXISTS (is_if_absent);
 *           SM_CONFLICT (If-Match); else a failure that says whether endpoint, keys, region,
 *           permissions or the server are at fault
 */
sm_status smi_s3_call_step(smi_s3_call *c, sm_waker waker, sm_error *e) SM_MUST_USE;
/** The same, but blocks instead of SM_WAIT. */
sm_status smi_s3_call_wait(smi_s3_call *c, sm_error *e) SM_MUST_USE;
/** Makes the call end soon, with a failure unless the response comes first. */
void smi_s3_call_hasten(smi_s3_call *c);

/* ---- credentials (s3_credentials.c) ---------------------------------------------------------- */

typedef struct smi_keys {
    char key_id[256];
    char secret[256];   /* never printed */
    char token[4096];   /* "": none */
    int64_t expires_us; /* 0: never */
    bool is_anonymous;  /* requests are not signed */
    char source[64];    /* "the environment", "profile default": for messages */
} smi_keys;

typedef struct smi_keyring smi_keyring;

/** Finds where keys come from, in the order of the AWS CLI (s3_credentials.c). It fetches none yet.
 * Retains the connection (NULL: none); keeps a pointer to the wire. */
sm_status smi_keyring_new(smi_connection *c, sm_http *http, smi_keyring **out,
                          sm_error *e) SM_MUST_USE;
void smi_keyring_free(smi_keyring *k); /* takes NULL */
/** Gives keys that are valid for some minutes. Fetches new ones if there are none, if they expire
 * soon, or if their id is `refused` (NULL: none was refused). May block. SM_DENIED if there are
 * none, with what was tried. */
sm_status smi_keyring_get(smi_keyring *k, const char *refused, smi_keys *out,
                          sm_error *e) SM_MUST_USE;

/* ---- settings (s3_connection.c, s3_profile.c); a connection may be NULL ---------------------- */

/** The connection for the bucket of a URI, in `stores` or above it, retained; NULL if none. */
smi_connection *smi_connection_find(sm_stores *stores, sm_str uri);
smi_connection *smi_connection_retain(smi_connection *c); /* takes NULL */
void smi_connection_release(smi_connection *c);           /* takes NULL */
/** A connection that is in no list. */
smi_connection *smi_connection_new(sm_str uri, sm_str name, const sm_pair *settings, int32_t n);
const char *smi_connection_name(const smi_connection *c);
/** The value of a variable in the connection, else in the environment; NULL if neither has it. */
const char *smi_aws_env(const smi_connection *c, const char *variable);
/** A setting of AWS tools: the variable, else the name in the profile of ~/.aws, else "". Borrowed
 * from the arena, the connection or the environment. */
sm_str smi_aws_setting(const smi_connection *c, const char *variable, const char *name,
                       sm_arena *a);
/** The same from the profile only. */
sm_str smi_aws_profile_setting(const smi_connection *c, const char *name, sm_arena *a);
sm_str smi_aws_profile(const smi_connection *c);                /* AWS_PROFILE, or "default" */
bool smi_aws_has_profile(const smi_connection *c, sm_arena *a); /* is there a section of it? */
/** A setting of another section of ~/.aws/config, for example of "sso-session name". */
sm_str smi_aws_section_setting(sm_str section, const char *name, sm_arena *a);

#endif
