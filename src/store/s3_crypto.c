/* SPDX-License-Identifier: Apache-2.0
 *
 * store/s3_crypto.c: SHA-256, HMAC and SHA-1 by OpenSSL's libcrypto, which is opened on first use.
 * Its functions are declared here, so that building does not need its headers; they have not
 * changed since 1.1. Called by s3_sign.c, by s3_call.c for bodies, by s3_keys.c. */
#include "base/library.h"
#include "store/s3_int.h"

typedef struct evp_md evp_md;         /* EVP_MD */
typedef struct evp_md_ctx evp_md_ctx; /* EVP_MD_CTX */

typedef struct crypto_api {
    const evp_md *(*sha256)(void);
    const evp_md *(*sha1)(void);
    evp_md_ctx *(*ctx_new)(void);
    void (*ctx_free)(evp_md_ctx *ctx);
    int (*begin)(evp_md_ctx *ctx, const evp_md *type, void *engine);
    int (*update)(evp_md_ctx *ctx, const void *data, size_t n);
    int (*end)(evp_md_ctx *ctx, unsigned char *out, unsigned int *out_len);
    unsigned char *(*hmac)(const evp_md *type, const void *key, int key_len,
                           const unsigned char *data, size_t n, unsigned char *out,
                           unsigned int *out_len);
} crypto_api;

static crypto_api api; /* filled in once, under the_lock */
static sm_mutex the_lock = {PTHREAD_MUTEX_INITIALIZER};

sm_status smi_crypto_open(sm_error *e)
{
    static const sm_symbol symbols[] = {
        {"EVP_sha256", &api.sha256},       {"EVP_sha1", &api.sha1},
        {"EVP_MD_CTX_new", &api.ctx_new},  {"EVP_MD_CTX_free", &api.ctx_free},
        {"EVP_DigestInit_ex", &api.begin}, {"EVP_DigestUpdate", &api.update},
        {"EVP_DigestFinal_ex", &api.end},  {"HMAC", &api.hmac},
    };
    static const char *const files[] = {"libcrypto.so.3", "libcrypto.so.1.1", NULL};
    static const sm_library library = {.files = files,
                                       .package = "OpenSSL (Debian: libssl3)",
                                       .symbols = symbols,
                                       .n_symbols = SM_COUNT(symbols)};
    sm_mutex_lock(&the_lock);
    const sm_status st = api.sha256 ? SM_OK : sm_library_open(&library, e);
    sm_mutex_unlock(&the_lock);
    return st;
}

static void compute_digest(const evp_md *kind, const sm_piece *pieces, int n, uint8_t *out)
{
    SM_ASSERT(api.hmac); /* smi_crypto_open() comes first */
    evp_md_ctx *ctx = api.ctx_new();
    if (!ctx) {
        sm_out_of_memory(0);
    }
    SM_ENSURE(api.begin(ctx, kind, NULL) == 1);
    for (int i = 0; i < n; i++) {
        SM_ENSURE(api.update(ctx, pieces[i].bytes, pieces[i].len) == 1);
    }
    SM_ENSURE(api.end(ctx, out, NULL) == 1);
    api.ctx_free(ctx);
}

smi_sha256 smi_sha256_of(const sm_piece *pieces, int n)
{
    smi_sha256 hash;
    compute_digest(api.sha256(), pieces, n, hash.bytes);
    return hash;
}

smi_sha256 smi_hmac_sha256(const void *key, size_t key_len, sm_str text)
{
    smi_sha256 hash;
    SM_ENSURE(api.hmac(api.sha256(), key, (int)key_len, (const unsigned char *)text.data, text.len,
                       hash.bytes, NULL));
    return hash;
}

static void print_hex(const uint8_t *bytes, int n, char *out)
{
    static const char digits[] = "0123456789abcdef";
    for (int i = 0; i < n; i++) {
        out[2 * i] = digits[bytes[i] >> 4];
        out[2 * i + 1] = digits[bytes[i] & 15];
    }
    out[2 * n] = '\0';
}

smi_sha256_hex smi_sha256_print(smi_sha256 hash)
{
    smi_sha256_hex hex;
    print_hex(hash.bytes, SMI_SHA256_BYTES, hex.text);
    return hex;
}

void smi_sha1_print(sm_str text, char out[2 * SMI_SHA1_BYTES + 1])
{
    const sm_piece piece = {text.data, text.len};
    uint8_t bytes[SMI_SHA1_BYTES];
    compute_digest(api.sha1(), &piece, 1, bytes);
    print_hex(bytes, SMI_SHA1_BYTES, out);
}
