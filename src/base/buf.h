/* SPDX-License-Identifier: Apache-2.0
 *
 * base/buf.h: a growing buffer of bytes or text, with an optional bound and an optional budget.
 * Its content does not end with a NUL.
 * Threads: one at a time. */
#ifndef SM_BASE_BUF_H
#define SM_BASE_BUF_H

#include "base/memory.h"
#include "base/str.h"

/* `{0}` is empty, unbounded and uncounted. */
typedef struct sm_buf {
    uint8_t *data;
    size_t len, cap;
    size_t max_bytes;  /* more than this is SM_LIMIT; 0: no bound */
    sm_budget *budget; /* the capacity is counted here if set */
} sm_buf;

void sm_buf_release(sm_buf *b); /* frees the memory; empty again, with its bound and budget */
void sm_buf_reset(sm_buf *b);   /* len = 0, keeps the memory */

/** The content. Owner: borrowed from the buffer, until it grows or is released. */
static inline sm_str sm_buf_str(const sm_buf *b)
{
    return (sm_str){(const char *)b->data, b->len};
}

/* ---- bytes ----------------------------------------------------------------------------------- */

/**
 * Makes room for `more` bytes after len.
 *
 * Errors    SM_LIMIT over max_bytes; SM_BUDGET if the budget refuses even len + more bytes. The
 *           buffer is unchanged then.
 * Cost      the capacity doubles, so appending byte by byte is linear in the end
 */
sm_status sm_buf_reserve(sm_buf *b, size_t more, sm_error *e) SM_MUST_USE;
/** Appends n bytes, which must not be bytes of this buffer (asserted). Errors of sm_buf_reserve. */
sm_status sm_buf_add(sm_buf *b, const void *bytes, size_t n, sm_error *e) SM_MUST_USE;

/* ---- text, in buffers without bound and budget (ensured): cannot fail ------------------------ */

void sm_buf_text(sm_buf *b, sm_str s);                               /* appends s */
void sm_buf_printf(sm_buf *b, const char *fmt, ...) SM_PRINTF(2, 3); /* appends without a NUL */

#endif
