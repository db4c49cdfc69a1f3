/* SPDX-License-Identifier: Apache-2.0
 *
 * base/quote.c: text in quotes. Stretches of text without anything to escape are copied whole. */
#include "base/quote.h"

#include <stdio.h>

#include "base/text.h"

/* The escape of a byte that a JSON string must not contain, or NULL if it may be copied. */
static const char *json_escape(uint8_t c, char scratch[8])
{
    switch (c) {
    case '"':
        return "\\\"";
    case '\\':
        return "\\\\";
    case '\b':
        return "\\b";
    case '\f':
        return "\\f";
    case '\n':
        return "\\n";
    case '\r':
        return "\\r";
    case '\t':
        return "\\t";
    default:
        if (c >= 0x20) {
            return NULL;
        }
        snprintf(scratch, 8, "\\u%04x", c);
        return scratch;
    }
}

/* Appends valid UTF-8 with its escapes. */
static void put_json_text(sm_buf *b, sm_str s)
{
    size_t plain = 0; /* from here on nothing was copied yet */
    for (size_t i = 0; i < s.len; i++) {
        char scratch[8];
        const char *escape = json_escape((uint8_t)s.data[i], scratch);
        if (escape) {
            sm_buf_text(b, (sm_str){s.data + plain, i - plain});
            sm_buf_text(b, sm_str_of(escape));
            plain = i + 1;
        }
    }
    if (plain < s.len) {
        sm_buf_text(b, (sm_str){s.data + plain, s.len - plain});
    }
}

void sm_buf_json_str(sm_buf *b, sm_str s)
{
    sm_buf_text(b, SM_STR("\""));
    while (s.len > 0) {
        const size_t valid = sm_utf8_check(s.data, s.len);
        put_json_text(b, (sm_str){s.data, valid});
        s = (sm_str){s.data + valid, s.len - valid};
        if (s.len > 0) { /* JSON has no other way to express a byte that is not UTF-8 */
            sm_buf_text(b, SM_STR("\\ufffd"));
            s = (sm_str){s.data + 1, s.len - 1};
        }
    }
    sm_buf_text(b, SM_STR("\""));
}

/* Appends s in quotes, with `before` ahead of each quote and of each `before` in it. */
static void put_in_quotes(sm_buf *b, sm_str s, char quote, char before)
{
    size_t from = 0;

    SM_ASSERT((quote & 0x80) == 0 && (before & 0x80) == 0); /* else they cut UTF-8 sequences */
    sm_buf_text(b, (sm_str){&quote, 1});
    for (size_t i = 0; i < s.len; i++) {
        if (s.data[i] == quote || s.data[i] == before) {
            sm_buf_text(b, (sm_str){s.data + from, i - from});
            sm_buf_text(b, (sm_str){&before, 1});
            from = i;
        }
    }
    if (from < s.len) {
        sm_buf_text(b, (sm_str){s.data + from, s.len - from});
    }
    sm_buf_text(b, (sm_str){&quote, 1});
}

void sm_buf_quoted(sm_buf *b, sm_str s, char quote)
{
    put_in_quotes(b, s, quote, quote);
}

size_t sm_quoted_read(sm_str s, char *out, size_t *n)
{
    size_t len = 0;

    SM_ASSERT(s.len > 0);
    const char quote = s.data[0];
    for (size_t i = 1; i < s.len; i++) {
        if (s.data[i] == quote) {
            i++;
            if (i >= s.len || s.data[i] != quote) {
                *n = len;
                return i;
            }
        }
        out[len++] = s.data[i];
    }
    return 0;
}

void sm_buf_escaped(sm_buf *b, sm_str s, char quote)
{
    put_in_quotes(b, s, quote, '\\');
}
