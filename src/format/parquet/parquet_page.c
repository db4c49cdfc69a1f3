/* SPDX-License-Identifier: Apache-2.0
 *
 * format/parquet/parquet_page.c: reads the pages of a column chunk, one after another: header,
 * checksum, decompression. Also compresses pages for the writer.
 *
 * Page     A PageHeader (Thrift), then compressed_page_size bytes.
 *          v1: all compressed together: [u32 n, repetition levels] [u32 n, definition levels]
 *              values. A leaf without such levels has none of the two
 *          v2: repetition levels and definition levels, not compressed; then the values, compressed
 * Checks   Both sizes come from the file and are not trusted. The compressed size must be within
 *          the chunk. The plain size must be one that the codec can make of so many bytes, or that
 *          its frame says too. Only then is memory asked of the budget. Decompression must give
 *          exactly that size. The CRC is verified where there is one.
 * Memory   A page that is not compressed is used where it was fetched. Another one is decompressed
 *          into a block, which is used again for the next page unless strings of a batch point into
 *          it.
 * Source   apache/parquet-format, README.md "Data Pages" and "Checksumming", Compression.md
 *
 * Called by parquet_leaf.c to read, by parquet_column.c and parquet_writer.c to compress. */

#include <brotli/decode.h>
#include <inttypes.h>
#include <lz4.h>
#include <snappy-c.h>
#include <zlib.h>
#include <zstd.h>

#include "base/thread.h"
#include "format/parquet/parquet_int.h"

/* The most that a byte can become. Snappy: 64 bytes copied by 3 (its frame has the length too);
 * lz4: 255 by one; deflate: 1,032 (zlib's technical details). */
#define SNAPPY_RATIO  64
#define LZ4_RATIO     256
#define DEFLATE_RATIO 1040

/* About what a context of zstd takes; for the message when there is no memory at all. */
#define CONTEXT_BYTES (1u << 20)

/* ---- decompression --------------------------------------------------------------------------- */

struct smi_pq_codecs {
    ZSTD_DCtx *zstd; /* made on first use */
    z_stream gzip;
    bool has_gzip;
};

smi_pq_codecs *smi_pq_codecs_new(void)
{
    return sm_alloc_zero(sizeof(smi_pq_codecs));
}

void smi_pq_codecs_free(smi_pq_codecs *c)
{
    if (!c) {
        return;
    }
    ZSTD_freeDCtx(c->zstd);
    if (c->has_gzip) {
        inflateEnd(&c->gzip);
    }
    sm_free(c);
}

/* gzip and zlib streams; several members may follow one another (RFC 1952, section 2.2). */
static bool gunzip(smi_pq_codecs *c, const uint8_t *in, size_t n, uint8_t *out, size_t n_out)
{
    if (!c->has_gzip) {
        if (inflateInit2(&c->gzip, 15 + 32) != Z_OK) {
            sm_out_of_memory(sizeof(z_stream));
        }
        c->has_gzip = true;
    }
    z_stream *z = &c->gzip;
    z->next_in = (Bytef *)in;
    z->avail_in = (uInt)n;
    z->next_out = out;
    z->avail_out = (uInt)n_out;
    do {
        if (inflateReset2(z, 15 + 32) != Z_OK || inflate(z, Z_FINISH) != Z_STREAM_END) {
            return false;
        }
    } while (z->avail_in > 0);
    return z->avail_out == 0;
}

/* The deprecated codec LZ4: blocks in Hadoop's framing, each with its plain and its compressed
 * length as big-endian u32. Some writers left the framing out: then it is one bare block. */
static bool unlz4_hadoop(const uint8_t *in, size_t n, uint8_t *out, size_t n_out)
{
    size_t done = 0;
    const uint8_t *p = in, *const end = in + n;
    while (end - p >= 8) {
        const uint32_t plain = __builtin_bswap32(smi_pq_le32(p));
        const uint32_t packed = __builtin_bswap32(smi_pq_le32(p + 4));
        p += 8;
        if (packed > (size_t)(end - p) || plain > n_out - done ||
            LZ4_decompress_safe((const char *)p, (char *)out + done, (int)packed, (int)plain) !=
                (int)plain) {
            done = SIZE_MAX;
            break;
        }
        p += packed;
        done += plain;
    }
    if (p == end && done == n_out) {
        return true;
    }
    return LZ4_decompress_safe((const char *)in, (char *)out, (int)n, (int)n_out) == (int)n_out;
}

static bool unzstd(smi_pq_codecs *c, const uint8_t *in, size_t n, uint8_t *out, size_t n_out)
{
    if (!c->zstd) {
        c->zstd = ZSTD_createDCtx();
        if (!c->zstd) {
            sm_out_of_memory(CONTEXT_BYTES);
        }
    }
    return ZSTD_decompressDCtx(c->zstd, out, n_out, in, n) == n_out;
}

static bool unbrotli(const uint8_t *in, size_t n, uint8_t *out, size_t n_out)
{
    size_t got = n_out;
    return BrotliDecoderDecompress(n, in, &got, out) == BROTLI_DECODER_RESULT_SUCCESS &&
           got == n_out;
}

static bool unsnappy(const uint8_t *in, size_t n, uint8_t *out, size_t n_out)
{
    size_t got = n_out;
    return snappy_uncompress((const char *)in, n, (char *)out, &got) == SNAPPY_OK && got == n_out;
}

/* Can n bytes become n_out bytes? Asked before memory is allocated for them. */
static bool is_plausible(smi_pq_codec codec, const uint8_t *in, size_t n, size_t n_out)
{
    size_t length = 0;
    switch (codec) {
    case SMI_PQ_SNAPPY:
        return n_out / SNAPPY_RATIO <= n &&
               snappy_uncompressed_length((const char *)in, n, &length) == SNAPPY_OK &&
               length == n_out;
    case SMI_PQ_GZIP:
        return n_out / DEFLATE_RATIO <= n;
    case SMI_PQ_LZ4_RAW:
    case SMI_PQ_LZ4_HADOOP:
        return n_out / LZ4_RATIO <= n;
    case SMI_PQ_ZSTD: {
        const unsigned long long frame = ZSTD_getFrameContentSize(in, n);
        return frame != ZSTD_CONTENTSIZE_ERROR &&
               (frame == ZSTD_CONTENTSIZE_UNKNOWN || frame <= n_out);
    }
    default:
        return true;
    }
}

static bool decompress(smi_pq_codecs *c, smi_pq_codec codec, const uint8_t *in, size_t n,
                       uint8_t *out, size_t n_out)
{
    SM_ASSERT(n <= INT32_MAX && n_out > 0 && n_out <= INT32_MAX); /* libraries take int */
    switch (codec) {
    case SMI_PQ_SNAPPY:
        return unsnappy(in, n, out, n_out);
    case SMI_PQ_GZIP:
        return gunzip(c, in, n, out, n_out);
    case SMI_PQ_BROTLI:
        return unbrotli(in, n, out, n_out);
    case SMI_PQ_LZ4_HADOOP:
        return unlz4_hadoop(in, n, out, n_out);
    case SMI_PQ_ZSTD:
        return unzstd(c, in, n, out, n_out);
    case SMI_PQ_LZ4_RAW:
        return LZ4_decompress_safe((const char *)in, (char *)out, (int)n, (int)n_out) == (int)n_out;
    default:
        return false;
    }
}

/* ---- headers --------------------------------------------------------------------------------- */

enum { PAGE_DATA, PAGE_INDEX, PAGE_DICTIONARY, PAGE_DATA_V2 };

typedef struct page_header {
    int32_t type, plain_bytes, packed_bytes;
    uint32_t crc;
    bool has_crc;
    int32_t n_values, encoding, def_encoding, rep_encoding;
    int32_t def_bytes, rep_bytes; /* v2 */
    bool is_compressed;
} page_header;

/* Reads the struct inside of a page header. A field of the same id has another meaning in v1 and
 * v2. */
static void read_inner(smi_thrift_in *in, smi_thrift_type type, int kind, page_header *h)
{
    int16_t id = 0;
    smi_thrift_struct(in, type);
    while (smi_thrift_field(in, &id, &type)) {
        const bool is_v2 = kind == PAGE_DATA_V2;
        if (id == 1) {
            h->n_values = smi_thrift_i32(in, type);
        } else if (id == (is_v2 ? 4 : 2)) {
            h->encoding = smi_thrift_i32(in, type);
        } else if (is_v2 && id == 5) {
            h->def_bytes = smi_thrift_i32(in, type);
        } else if (is_v2 && id == 6) {
            h->rep_bytes = smi_thrift_i32(in, type);
        } else if (is_v2 && id == 7) {
            h->is_compressed = smi_thrift_bool(in, type);
        } else if (kind == PAGE_DATA && id == 3) {
            h->def_encoding = smi_thrift_i32(in, type);
        } else if (kind == PAGE_DATA && id == 4) {
            h->rep_encoding = smi_thrift_i32(in, type);
        } else {
            smi_thrift_skip(in, type);
        }
    }
}

static bool read_header(smi_thrift_in *in, page_header *h)
{
    int16_t id = 0;
    smi_thrift_type type;
    *h = (page_header){.type = -1,
                       .plain_bytes = -1,
                       .packed_bytes = -1,
                       .n_values = -1,
                       .encoding = -1,
                       .def_encoding = SMI_PQ_RLE,
                       .rep_encoding = SMI_PQ_RLE,
                       .is_compressed = true};
    while (smi_thrift_field(in, &id, &type)) {
        switch (id) {
        case 1:
            h->type = smi_thrift_i32(in, type);
            break;
        case 2:
            h->plain_bytes = smi_thrift_i32(in, type);
            break;
        case 3:
            h->packed_bytes = smi_thrift_i32(in, type);
            break;
        case 4:
            h->crc = (uint32_t)smi_thrift_i32(in, type);
            h->has_crc = true;
            break;
        case 5:
            read_inner(in, type, PAGE_DATA, h);
            break;
        case 7:
            read_inner(in, type, PAGE_DICTIONARY, h);
            break;
        case 8:
            read_inner(in, type, PAGE_DATA_V2, h);
            break;
        default:
            smi_thrift_skip(in, type);
        }
    }
    const bool has_values =
        h->type == PAGE_DATA || h->type == PAGE_DICTIONARY || h->type == PAGE_DATA_V2;
    return !in->failed && h->plain_bytes >= 0 && h->packed_bytes >= 0 && h->def_bytes >= 0 &&
           h->rep_bytes >= 0 && (!has_values || (h->n_values >= 0 && h->encoding >= 0));
}

/* ---- bodies ---------------------------------------------------------------------------------- */

static sm_status fail_at(const smi_pq_pages *p, const uint8_t *at, sm_error *e, const char *what)
{
    const sm_status st = sm_fail(e, SM_CORRUPT, "%s", what);
    sm_error_place(e, p->file, 0, (int64_t)(p->off_bytes + (uint64_t)(at - p->start)));
    return st;
}

static void drop_page_block(smi_pq_pages *p)
{
    sm_block_release(p->block);
    p->block = NULL;
    p->block_shared = false;
}

/* Makes p->block a block that nobody else reads, with room for n bytes. */
static sm_status own_block(smi_pq_pages *p, size_t n, sm_error *e)
{
    if (p->block && p->block != p->source && !p->block_shared && p->block->size_bytes >= n) {
        return SM_OK;
    }
    drop_page_block(p);
    return sm_block_new(p->budget, n, &p->block, e);
}

/* Finds the levels of a v1 page, which are at the front of its values, and moves *p behind them. */
static bool split_levels(smi_pq_encoding encoding, int max_level, int64_t n_values,
                         const uint8_t **p, const uint8_t *end, const uint8_t **from,
                         const uint8_t **to)
{
    *from = *to = *p;
    if (max_level == 0) {
        return true;
    }
    uint64_t n = 0;
    if (encoding == SMI_PQ_RLE) {
        if (end - *p < 4) {
            return false;
        }
        n = smi_pq_le32(*p);
        *p += 4;
    } else if (encoding == SMI_PQ_BIT_PACKED) {
        n = ((uint64_t)n_values * (uint64_t)smi_pq_width((uint32_t)max_level) + 7) / 8;
    } else {
        return false;
    }
    if (n > (uint64_t)(end - *p)) {
        return false;
    }
    *from = *p;
    *p += n;
    *to = *p;
    return true;
}

/* Decompresses the body; its first `keep` bytes are never compressed. If nothing is compressed,
 * *out is the body itself. */
static sm_status unpack_body(smi_pq_pages *p, const page_header *h, const uint8_t *body,
                             size_t keep, const uint8_t **out, sm_error *e)
{
    SM_ASSERT(keep <= (size_t)h->packed_bytes && keep <= (size_t)h->plain_bytes);
    const size_t packed = (size_t)h->packed_bytes - keep, plain = (size_t)h->plain_bytes - keep;
    const bool is_plain = p->codec == SMI_PQ_UNCOMPRESSED || !h->is_compressed;
    if (is_plain) {
        if (packed != plain) {
            return fail_at(p, body, e, "a page that is not compressed has two sizes");
        }
        drop_page_block(p);
        p->block = sm_block_retain(p->source);
        p->block_shared = true;
        *out = body;
        return SM_OK;
    }
    if (p->codec == SMI_PQ_LZO) {
        return sm_fail(e, SM_UNSUPPORTED, "compression codec lzo");
    }
    if (plain > 0 && !is_plausible(p->codec, body + keep, packed, plain)) {
        return fail_at(p, body, e, "a page's sizes do not fit its compressed data");
    }
    SM_TRY(own_block(p, keep + plain, e));
    memcpy(p->block->data, body, keep);
    /* A page without values: some writers store no bytes for it, some an empty stream. */
    if (plain > 0 &&
        !decompress(p->codecs, p->codec, body + keep, packed, p->block->data + keep, plain)) {
        return fail_at(p, body, e, "a page's compressed data is damaged");
    }
    *out = p->block->data;
    return SM_OK;
}

static sm_status read_body(smi_pq_pages *p, const page_header *h, const uint8_t *body,
                           smi_pq_page *out, sm_error *e)
{
    const bool is_v2 = h->type == PAGE_DATA_V2;
    const uint8_t *at = NULL;
    size_t keep = 0;
    if (h->has_crc && sm_crc32(0, body, (size_t)h->packed_bytes) != h->crc) {
        return fail_at(p, body, e, "a page's checksum does not match its bytes");
    }
    if (is_v2) {
        keep = (size_t)h->rep_bytes + (size_t)h->def_bytes;
        if (keep > (size_t)h->packed_bytes || keep > (size_t)h->plain_bytes) {
            return fail_at(p, body, e, "a page's levels are longer than the page");
        }
    }
    SM_TRY(unpack_body(p, h, body, keep, &at, e));
    const uint8_t *const end = at + h->plain_bytes;
    *out = (smi_pq_page){
        .is_dictionary = h->type == PAGE_DICTIONARY,
        .encoding = (smi_pq_encoding)h->encoding,
        .rep_encoding = (smi_pq_encoding)h->rep_encoding,
        .def_encoding = (smi_pq_encoding)h->def_encoding,
        .n_values = h->n_values,
        .rep = at,
        .rep_end = at + h->rep_bytes,
        .def = at + h->rep_bytes,
        .def_end = at + keep,
        .block = p->block,
    };
    at += keep;
    if (h->type == PAGE_DATA && (!split_levels(out->rep_encoding, p->max_rep, h->n_values, &at, end,
                                               &out->rep, &out->rep_end) ||
                                 !split_levels(out->def_encoding, p->max_def, h->n_values, &at, end,
                                               &out->def, &out->def_end))) {
        return fail_at(p, body, e, "a page's levels do not fit the page");
    }
    out->values = at;
    out->values_end = end;
    SM_ASSERT(at <= end);
    SM_ASSERT(out->is_dictionary || (out->rep <= out->rep_end && out->rep_end <= end));
    SM_ASSERT(out->is_dictionary || (out->def <= out->def_end && out->def_end <= end));
    return SM_OK;
}

/* Are there more pages? Goes on to the second piece at the end of the first. */
static bool has_more_pages(smi_pq_pages *p)
{
    SM_ASSERT(p->start <= p->p && p->p <= p->end);
    SM_ASSERT(p->then.len == 0 || p->then.block);
    if (p->p == p->end && p->then.len > 0) {
        p->source = p->then.block;
        p->p = p->start = p->then.bytes;
        p->end = p->start + p->then.len;
        p->off_bytes = p->then.off_bytes;
        p->then.len = 0;
    }
    return p->p < p->end;
}

sm_status smi_pq_pages_next(smi_pq_pages *p, smi_pq_page *out, sm_error *e)
{
    while (has_more_pages(p)) {
        page_header h;
        smi_thrift_in in = {.p = p->p, .end = p->end};
        if (!read_header(&in, &h)) {
            return fail_at(p, p->p, e, "a page header is damaged");
        }
        const uint8_t *body = in.p;
        if (h.packed_bytes > p->end - body) {
            return fail_at(p, p->p, e, "a page is longer than its column chunk");
        }
        p->p = body + h.packed_bytes;
        if (h.type == PAGE_DATA || h.type == PAGE_DICTIONARY || h.type == PAGE_DATA_V2) {
            return read_body(p, &h, body, out, e);
        }
    }
    return SM_END;
}

void smi_pq_pages_release(smi_pq_pages *p)
{
    drop_page_block(p);
}

/* ---- compression ----------------------------------------------------------------------------- */

/* How many contexts are kept. A worker that compresses takes one, or makes one if none is idle. */
#define PRESS_CONTEXTS 64

struct smi_pq_press {
    smi_pq_codec codec;
    int level;
    sm_mutex lock;
    ZSTD_CCtx *idle[PRESS_CONTEXTS];
    int n_idle;
};

smi_pq_press *smi_pq_press_new(smi_pq_codec codec, int level)
{
    smi_pq_press *c = sm_alloc_zero(sizeof(*c));
    c->codec = codec;
    c->level = level;
    sm_mutex_init(&c->lock);
    return c;
}

void smi_pq_press_free(smi_pq_press *c)
{
    if (!c) {
        return;
    }
    for (int i = 0; i < c->n_idle; i++) {
        ZSTD_freeCCtx(c->idle[i]);
    }
    sm_mutex_release(&c->lock);
    sm_free(c);
}

static ZSTD_CCtx *take_context(smi_pq_press *c)
{
    sm_mutex_lock(&c->lock);
    ZSTD_CCtx *ctx = c->n_idle > 0 ? c->idle[--c->n_idle] : NULL;
    sm_mutex_unlock(&c->lock);
    if (!ctx) {
        ctx = ZSTD_createCCtx();
        if (!ctx) {
            sm_out_of_memory(CONTEXT_BYTES);
        }
    }
    return ctx;
}

static void give_context(smi_pq_press *c, ZSTD_CCtx *ctx)
{
    sm_mutex_lock(&c->lock);
    const bool has_room = c->n_idle < PRESS_CONTEXTS;
    if (has_room) {
        c->idle[c->n_idle++] = ctx;
    }
    sm_mutex_unlock(&c->lock);
    if (!has_room) {
        ZSTD_freeCCtx(ctx);
    }
}

/* The level has 2^13 or 2^14 places of 4 bytes. 2^11 stay in the first cache beside the page; 2^6
 * know little but the text before. */
static int hash_log_of(const smi_pq_press *c, smi_pq_search search)
{
    static const int logs[] = {0, 11, 6}; /* 0: as the level has it */
    _Static_assert(SM_COUNT(logs) == SMI_PQ_SEARCHES, "one for each search");
    return c->level == 1 ? logs[search] : 0;
}

static sm_status press_zstd(smi_pq_press *c, smi_pq_search search, sm_str in, sm_buf *out,
                            sm_error *e)
{
    ZSTD_CCtx *ctx = take_context(c);
    const size_t bound = ZSTD_compressBound(in.len);
    size_t got = ZSTD_CCtx_setParameter(ctx, ZSTD_c_compressionLevel, c->level);
    if (!ZSTD_isError(got)) {
        got = ZSTD_CCtx_setParameter(ctx, ZSTD_c_hashLog, hash_log_of(c, search));
    }
    if (!ZSTD_isError(got)) {
        got = ZSTD_compress2(ctx, smi_pq_room(out, bound), bound, in.data, in.len);
    }
    give_context(c, ctx);
    if (ZSTD_isError(got)) {
        return sm_fail(e, SM_INTERNAL, "zstd: %s", ZSTD_getErrorName(got));
    }
    out->len = got;
    return SM_OK;
}

bool smi_pq_press_searches(const smi_pq_press *c)
{
    return c->codec == SMI_PQ_ZSTD && c->level == 1;
}

sm_status smi_pq_press_bytes(smi_pq_press *c, smi_pq_search search, sm_str in, sm_buf *out,
                             sm_error *e)
{
    sm_buf_reset(out);
    if (c->codec == SMI_PQ_ZSTD) {
        return press_zstd(c, search, in, out, e);
    }
    if (c->codec == SMI_PQ_SNAPPY) {
        size_t got = snappy_max_compressed_length(in.len);
        if (snappy_compress(in.data, in.len, (char *)smi_pq_room(out, got), &got) != SNAPPY_OK) {
            return sm_fail(e, SM_INTERNAL, "snappy could not compress");
        }
        out->len = got;
        return SM_OK;
    }
    sm_str_copy(smi_pq_room(out, in.len + 1), in.data, in.len);
    out->len = in.len;
    return SM_OK;
}
