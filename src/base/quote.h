/* SPDX-License-Identifier: Apache-2.0
 *
 * base/quote.h: text put in quotes so that SQL, JSON or CSV reads the same text back. The buffers
 * must have no bound and no budget, so nothing here can fail.
 * Threads: every function may be called from any thread, on its own buffer. */
#ifndef SM_BASE_QUOTE_H
#define SM_BASE_QUOTE_H

#include "base/buf.h"

/**
 * Appends s as a JSON string, quotes included.
 *
 * Shape     escapes only ", \ and control characters (\b \f \n \r \t, else \u00xx); other UTF-8 is
 *           copied. A byte that is not UTF-8 becomes \ufffd, because JSON cannot express it.
 */
void sm_buf_json_str(sm_buf *b, sm_str s);

/** Appends s in quotes and doubles each quote in it: SQL names (") and texts ('), CSV fields. */
void sm_buf_quoted(sm_buf *b, sm_str s, char quote);

/** Reads what sm_buf_quoted() wrote, at the start of s, which begins with a quote: the text without
 * its quotes into `out`, which has room for s.len bytes, and how long it is into n. The bytes of s
 * up to the closing quote, with it; 0: there is none. */
size_t sm_quoted_read(sm_str s, char *out, size_t *n);

/** Appends s in quotes, with a backslash before each quote and each backslash in it. */
void sm_buf_escaped(sm_buf *b, sm_str s, char quote);

#endif
