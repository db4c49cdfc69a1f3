/* SPDX-License-Identifier: Apache-2.0
 *
 * base/json_scan.h: reads the tokens of a JSON text (RFC 8259) without building a tree. For lines
 * that become columns, and under json_doc.h, which builds the tree of a document.
 *
 * The text must have an LF at `end` and SM_PAD_BYTES readable bytes behind it. Then no loop has to
 * test for the end: an LF is not legal within a token, so every token stops there.
 *
 * Converts nothing: tokens are spans of the text. Does not check UTF-8: the caller has checked the
 * whole text before (sm_utf8_check). Allocates nothing.
 * Threads: one at a time for a scan. */
#ifndef SM_BASE_JSON_SCAN_H
#define SM_BASE_JSON_SCAN_H

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "base/str.h"

#define SM_JSON_MAX_DEPTH 128

typedef enum sm_json_kind {
    SM_JSON_IS_NULL,
    SM_JSON_IS_FALSE,
    SM_JSON_IS_TRUE,
    SM_JSON_IS_NUMBER,
    SM_JSON_IS_STRING,
    SM_JSON_IS_ARRAY,
    SM_JSON_IS_OBJECT,
} sm_json_kind;

const char *sm_json_kind_name(sm_json_kind kind); /* "an array" */

typedef struct sm_json_token {
    const uint8_t *at; /* its first byte; for a string the one after the quote */
    uint32_t len;      /* for a string without its quotes */
    uint8_t kind;      /* sm_json_kind */
    bool is_odd;       /* string: has escapes; number: has a fraction or an exponent */
} sm_json_token;

/* What is wrong with a text that is not JSON. */
typedef enum sm_json_fault {
    SM_JSON_NO_FAULT,
    SM_JSON_FAULT_SYNTAX,
    SM_JSON_FAULT_DEPTH,     /* nested deeper than SM_JSON_MAX_DEPTH */
    SM_JSON_FAULT_SURROGATE, /* an escape that is half of a pair */
} sm_json_fault;

typedef struct sm_json_scan {
    const uint8_t *start;
    const uint8_t *end; /* an LF stands here */
    int depth;          /* the number of open brackets */

    /* The first mistake in the text. */
    sm_json_fault fault;
    const uint8_t *bad; /* its place */
    const char *wanted; /* what is legal there, for the message */
} sm_json_scan;

/** A scan of n bytes. An LF and SM_PAD_BYTES must follow them. Borrows them. */
static inline sm_json_scan sm_json_scan_of(const void *text, size_t n)
{
    const uint8_t *start = text;
    return (sm_json_scan){.start = start, .end = start + n};
}

/* ---- moving on ------------------------------------------------------------------------------- */

/* Each function reads at p and returns the place behind what it read. On a mistake it returns NULL
 * and sets fault, bad and wanted. `bad` is the first byte that no valid text could have there; in a
 * text that is cut, the one behind the last; the bracket that is nested too deep; the backslash of
 * half a surrogate pair. */

/** Reads any value. An array or object is checked and is one token. */
const uint8_t *sm_json_scan_value(sm_json_scan *s, const uint8_t *p, sm_json_token *out);
/** Reads a string; its opening quote is at p. */
const uint8_t *sm_json_scan_string(sm_json_scan *s, const uint8_t *p, sm_json_token *out);
/** Enters the array or object whose opening bracket is at p. Returns the place of its first element
 * or of its closing bracket, behind white space. */
const uint8_t *sm_json_scan_open(sm_json_scan *s, const uint8_t *p);
/** Records that something other than `wanted` stands at `at`; returns NULL. */
const uint8_t *sm_json_scan_unexpected(sm_json_scan *s, const uint8_t *at, const char *wanted);

/** Is it one of the four bytes of white space, which may stand between tokens? */
static inline bool sm_json_is_space(uint8_t c)
{
    return c <= ' ' && (c == ' ' || c == '\t' || c == '\r' || c == '\n');
}

/** The place of the next token, or the end. */
static inline const uint8_t *sm_json_skip_space(const sm_json_scan *s, const uint8_t *p)
{
    while (sm_json_is_space(*p) && p < s->end) {
        p++;
    }
    return p;
}

/** Reads the `:` behind a member's key and the white space around it, up to the value. */
static inline const uint8_t *sm_json_scan_colon(sm_json_scan *s, const uint8_t *p)
{
    p = sm_json_skip_space(s, p);
    return *p == ':' ? sm_json_skip_space(s, p + 1) : sm_json_scan_unexpected(s, p, "':'");
}

/** Goes on behind an element or member: to the next one, or to the closing bracket `close`. *more
 * says whether there was a comma, after which a closing bracket must not follow. */
static inline const uint8_t *sm_json_scan_next(sm_json_scan *s, const uint8_t *p, char close,
                                               bool *more)
{
    p = sm_json_skip_space(s, p);
    *more = *p == ',';
    if (*more) {
        return sm_json_skip_space(s, p + 1);
    }
    if (*p == (uint8_t)close) {
        return p;
    }
    return sm_json_scan_unexpected(s, p, close == '}' ? "',' or '}'" : "',' or ']'");
}

/** The first `"`, `\` or control byte at or after p. */
static inline const uint8_t *sm_json_string_stop(const uint8_t *p)
{
#if defined(__SSE2__)
    const __m128i quote = _mm_set1_epi8('"'), back = _mm_set1_epi8('\\');
    const __m128i last_control = _mm_set1_epi8(0x1f);
    for (;; p += 16) {
        const __m128i v = _mm_loadu_si128((const __m128i *)p);
        const __m128i is_control = _mm_cmpeq_epi8(_mm_min_epu8(v, last_control), v);
        const __m128i is_end = _mm_or_si128(_mm_cmpeq_epi8(v, quote), _mm_cmpeq_epi8(v, back));
        const unsigned hits = (unsigned)_mm_movemask_epi8(_mm_or_si128(is_control, is_end));
        if (hits != 0) {
            return p + __builtin_ctz(hits);
        }
    }
#else
    while (*p != '"' && *p != '\\' && *p >= 0x20) {
        p++;
    }
    return p;
#endif
}

/* ---- what tokens mean ------------------------------------------------------------------------ */

/** Writes a string's text without escapes to `out`, which has room for n bytes. The span was read
 * by sm_json_scan_string(). Returns the text's length, at most n. */
size_t sm_json_unescape(const uint8_t *span, size_t n, uint8_t *out);

/**
 * The exact integer value × 10^scale of a number's token, which may have a fraction or an exponent.
 *
 * Returns   false if that is not an integer, or one of more than 38 digits; *is_integer tells which
 */
bool sm_json_exact(const uint8_t *p, size_t n, int scale, __int128 *out, bool *is_integer);

/* ---- in messages ----------------------------------------------------------------------------- */

/** The status of a fault: SM_SYNTAX, SM_LIMIT for nesting that is too deep, SM_OK for none. */
sm_status sm_json_fault_status(sm_json_fault fault) SM_MUST_USE;
/** Writes what is wrong, without its place: "expected ',' or '}', found 'x'". */
void sm_json_scan_message(const sm_json_scan *s, char *out, size_t cap);
/** Writes the span as one line, cut by "..." if it is longer than cap; returns that text. */
sm_str sm_json_excerpt(const uint8_t *span, size_t n, char *out, size_t cap);

#endif
