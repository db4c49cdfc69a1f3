/* SPDX-License-Identifier: Apache-2.0
 *
 * base/quote.h: text put in quotes, so that a language reads it back as it was. All of it goes to
 * buffers without bound and budget, so nothing here can fail.
 * Threads: every function may be called from any thread, on its own buffer. */
#ifndef SM_BASE_QUOTE_H
#define SM_BASE_QUOTE_H

#include "base/buf.h"

/**
 * Appends s as a JSON string, quotes included.
 *
 * Shape     escapes ", \ and control characters only (\b \f \n \r \t, else \u00xx); other UTF-8
 *           stands as it is. A byte that is no UTF-8 becomes \ufffd, for JSON cannot say it.
 */
void sm_buf_json_str(sm_buf *b, sm_str s);

/** Appends s in quotes, each quote within doubled: SQL's names (") and texts ('), fields of CSV. */
void sm_buf_quoted(sm_buf *b, sm_str s, char quote);

/** Appends s in quotes, with a backslash before each quote and backslash within. */
void sm_buf_escaped(sm_buf *b, sm_str s, char quote);

#endif
