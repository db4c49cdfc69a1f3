/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/packed.h: compresses bytes with gzip and zstd. */
#ifndef SM_TEST_PACKED_H
#define SM_TEST_PACKED_H

#include "test.h"

#include <zlib.h>
#include <zstd.h>

#include "base/buf.h"

/* One member, or one frame, more. */
static inline void add_gzip(sm_buf *out, const void *bytes, size_t n)
{
    z_stream z = {0};
    sm_error e = {0};
    assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    const size_t bound = deflateBound(&z, n) + 64;
    assert_ok(sm_buf_reserve(out, bound, &e), &e);
    z.next_in = (unsigned char *)bytes;
    z.avail_in = (unsigned)n;
    z.next_out = out->data + out->len;
    z.avail_out = (unsigned)bound;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    out->len += bound - z.avail_out;
    deflateEnd(&z);
}

static inline void add_zstd(sm_buf *out, const void *bytes, size_t n)
{
    sm_error e = {0};
    assert_ok(sm_buf_reserve(out, ZSTD_compressBound(n), &e), &e);
    const size_t made = ZSTD_compress(out->data + out->len, ZSTD_compressBound(n), bytes, n, 3);
    assert_false(ZSTD_isError(made));
    out->len += made;
}

#endif
