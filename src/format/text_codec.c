/* SPDX-License-Identifier: Apache-2.0
 *
 * format/text_codec.c: decodes .gz (zlib) and .zst (libzstd) as a stream of bytes. Gzip members and
 * zstd frames that follow one another are one stream, as their own tools write and read them.
 *
 * Memory   Both libraries allocate through this file. So the 128 MiB that a zstd frame may need is
 *          asked of the budget like other memory, and can be refused.
 * Callers  text_lines.c, content.c */
#define ZSTD_STATIC_LINKING_ONLY /* for a context that takes our allocator */
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "format/text_int.h"

struct smi_codec {
    smi_codec_kind kind;
    sm_budget *budget;
    bool is_between;  /* at the start, or a member or frame has just ended */
    bool was_refused; /* the budget refused memory to the library */
    z_stream gzip;
    ZSTD_DCtx *zstd;
};

smi_codec_kind smi_codec_of_name(sm_str name)
{
    if (sm_str_ends(name, SM_STR(".gz"))) {
        return SMI_CODEC_GZIP;
    }
    return sm_str_ends(name, SM_STR(".zst")) ? SMI_CODEC_ZSTD : SMI_CODEC_NONE;
}

sm_str sm_name_plain(sm_str name)
{
    static const size_t suffix_bytes[] = {
        [SMI_CODEC_NONE] = 0, [SMI_CODEC_GZIP] = 3, [SMI_CODEC_ZSTD] = 4};
    _Static_assert(SM_COUNT(suffix_bytes) == SMI_CODEC_ZSTD + 1, "one for each codec");
    return (sm_str){name.data, name.len - suffix_bytes[smi_codec_of_name(name)]};
}

/* ---- memory for the libraries ---------------------------------------------------------------- */

/* Before each allocation: its size, so that it can be given back. Keeps malloc's alignment. */
typedef struct allocation {
    _Alignas(16) size_t bytes;
} allocation;

static void *library_alloc(void *codec, size_t bytes)
{
    smi_codec *c = codec;
    size_t whole = 0;
    if (!sm_add_size(bytes, sizeof(allocation), &whole) ||
        sm_budget_take(c->budget, whole, NULL) != SM_OK) {
        c->was_refused = true;
        return NULL;
    }
    allocation *a = sm_alloc(whole);
    a->bytes = whole;
    return a + 1;
}

static void library_free(void *codec, void *p)
{
    smi_codec *c = codec;
    if (p) {
        allocation *a = (allocation *)p - 1;
        SM_ASSERT(a->bytes > sizeof(*a)); /* else it is no memory of ours, or was overrun */
        sm_budget_give(c->budget, a->bytes);
        sm_free(a);
    }
}

static void *zlib_alloc(void *codec, unsigned n, unsigned bytes)
{
    return library_alloc(codec, (size_t)n * bytes);
}

/* ---- lives ----------------------------------------------------------------------------------- */

static bool open_codec(smi_codec *c)
{
    if (c->kind == SMI_CODEC_GZIP) {
        c->gzip = (z_stream){.zalloc = zlib_alloc, .zfree = library_free, .opaque = c};
        return inflateInit2(&c->gzip, 15 + 16) == Z_OK; /* the largest window; gzip's frame only */
    }
    c->zstd = ZSTD_createDCtx_advanced((ZSTD_customMem){library_alloc, library_free, c});
    return c->zstd != NULL;
}

sm_status smi_codec_new(smi_codec_kind kind, sm_budget *budget, smi_codec **out, sm_error *e)
{
    SM_ASSERT(kind != SMI_CODEC_NONE);
    smi_codec *c = sm_alloc_zero(sizeof(*c));
    *c = (smi_codec){.kind = kind, .budget = budget, .is_between = true};
    if (!open_codec(c)) {
        smi_codec_free(c);
        return sm_fail(e, SM_BUDGET, "no memory left to decompress");
    }
    *out = c;
    return SM_OK;
}

void smi_codec_free(smi_codec *c)
{
    if (!c) {
        return;
    }
    if (c->kind == SMI_CODEC_GZIP) {
        (void)inflateEnd(&c->gzip);
    }
    (void)ZSTD_freeDCtx(c->zstd);
    sm_free(c);
}

void smi_codec_reset(smi_codec *c)
{
    c->is_between = true;
    c->was_refused = false;
    if (c->kind == SMI_CODEC_GZIP) {
        (void)inflateReset(&c->gzip);
    } else {
        (void)ZSTD_DCtx_reset(c->zstd, ZSTD_reset_session_only);
    }
}

bool smi_codec_is_between(const smi_codec *c)
{
    return c->is_between;
}

/* ---- decoding -------------------------------------------------------------------------------- */

static sm_status codec_failed(smi_codec *c, const char *library, const char *why, sm_error *e)
{
    if (c->was_refused) {
        return sm_fail(e, SM_BUDGET, "no memory left to decompress");
    }
    return sm_fail(e, SM_CORRUPT, "damaged %s data: %s", library, why ? why : "unreadable");
}

static unsigned zlib_size(size_t n)
{
    return n < (1u << 30) ? (unsigned)n : 1u << 30;
}

static sm_status run_gzip(smi_codec *c, smi_codec_step *s, sm_error *e)
{
    z_stream *z = &c->gzip;
    for (;;) {
        const unsigned in = zlib_size(s->in_len - s->in_pos);
        const unsigned out = zlib_size(s->out_len - s->out_pos);
        if (out == 0 || (c->is_between && in == 0)) {
            return SM_OK;
        }
        z->next_in = (unsigned char *)s->in + s->in_pos;
        z->avail_in = in;
        z->next_out = s->out + s->out_pos;
        z->avail_out = out;
        const int result = inflate(z, Z_NO_FLUSH);
        s->in_pos += in - z->avail_in;
        s->out_pos += out - z->avail_out;
        if (result == Z_STREAM_END) {
            c->is_between = true;
            (void)inflateReset(z);
            continue;
        }
        if (result == Z_BUF_ERROR) {
            return SM_OK; /* no progress: all input is used and all output given */
        }
        if (result != Z_OK) {
            return codec_failed(c, "gzip", z->msg, e);
        }
        c->is_between = false;
    }
}

static sm_status run_zstd(smi_codec *c, smi_codec_step *s, sm_error *e)
{
    for (;;) {
        ZSTD_inBuffer in = {s->in, s->in_len, s->in_pos};
        ZSTD_outBuffer out = {s->out, s->out_len, s->out_pos};
        if (out.pos == out.size || (c->is_between && in.pos == in.size)) {
            return SM_OK;
        }
        const size_t result = ZSTD_decompressStream(c->zstd, &out, &in);
        const bool has_moved = in.pos > s->in_pos || out.pos > s->out_pos;
        s->in_pos = in.pos;
        s->out_pos = out.pos;
        if (ZSTD_isError(result)) {
            return codec_failed(c, "zstd", ZSTD_getErrorName(result), e);
        }
        c->is_between = result == 0;
        if (!has_moved) {
            return SM_OK;
        }
    }
}

sm_status smi_codec_decode(smi_codec *c, smi_codec_step *step, sm_error *e)
{
    SM_ASSERT(step->in_pos <= step->in_len && step->out_pos <= step->out_len);
    return c->kind == SMI_CODEC_GZIP ? run_gzip(c, step, e) : run_zstd(c, step, e);
}
