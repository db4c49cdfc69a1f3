/* SPDX-License-Identifier: Apache-2.0
 *
 * base/json_scan.h: the tokens of RFC 8259 in a text, without a tree: for lines that become columns
 * and for whatever else must be fast. A tree of a whole document: json_doc.h.
 *
 * The text always has an LF at `end` and SM_PAD_BYTES readable bytes behind it. So no loop looks
 * for the end: an LF is neither structure nor a legal byte of a token, and every token stops at it.
 *
 * Never converts anything: tokens are spans of the text. Never looks at UTF-8: the caller has
 * checked the whole text (sm_utf8_check). Allocates nothing.
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
    const uint8_t *at; /* its first byte; of a string the one after the quote */
    uint32_t len;      /* of a string without its quotes */
    uint8_t kind;      /* sm_json_kind */
    bool is_odd;       /* string: has escapes; number: has a fraction or an exponent */
} sm_json_token;

/* What is wrong with a text. */
typedef enum sm_json_fault {
    SM_JSON_NO_FAULT,
    SM_JSON_FAULT_SYNTAX,
    SM_JSON_FAULT_DEPTH,     /* nested deeper than SM_JSON_MAX_DEPTH */
    SM_JSON_FAULT_SURROGATE, /* an escape that is half of a pair */
} sm_json_fault;

typedef struct sm_json_scan {
    const uint8_t *start; /* places count from here */
    const uint8_t *end;
    int depth; /* brackets open */

    /* Where it went wrong. */
    sm_json_fault fault;
    const uint8_t *bad;
    const char *wanted; /* what would have been right there, for the message */
} sm_json_scan;

/** A scan of n bytes with what must stand behind them. Borrows them. */
static inline sm_json_scan sm_json_scan_of(const void *text, size_t n)
{
    const uint8_t *start = text;
    return (sm_json_scan){.start = start, .end = start + n};
}

/* ---- moving on ------------------------------------------------------------------------------- */

/* Each takes the place to read at and returns the place after, or NULL with fault, bad and wanted
 * set: the first byte that no valid text could have there, which is the one after the last where
 * the text is cut; nesting that is too deep is at its bracket, a half pair at its backslash. */

/** Any value; arrays and objects are checked and passed over as one token. */
const uint8_t *sm_json_scan_value(sm_json_scan *s, const uint8_t *p, sm_json_token *out);
/** From its opening quote. */
const uint8_t *sm_json_scan_string(sm_json_scan *s, const uint8_t *p, sm_json_token *out);
/** A bracket at p opens: to the first element or the closing bracket (no white space). */
const uint8_t *sm_json_scan_open(sm_json_scan *s, const uint8_t *p);
/** Records that the text goes on otherwise than wanted; returns NULL. */
const uint8_t *sm_json_scan_unexpected(sm_json_scan *s, const uint8_t *at, const char *wanted);

/** One of the four bytes that may stand between tokens? */
static inline bool sm_json_is_space(uint8_t c)
{
    return c <= ' ' && (c == ' ' || c == '\t' || c == '\r' || c == '\n');
}

/** To the next token, or the end. */
static inline const uint8_t *sm_json_skip_space(const sm_json_scan *s, const uint8_t *p)
{
    while (sm_json_is_space(*p) && p < s->end) {
        p++;
    }
    return p;
}

/** The rest of a member after its key: `:` and white space, up to the value. */
static inline const uint8_t *sm_json_scan_colon(sm_json_scan *s, const uint8_t *p)
{
    p = sm_json_skip_space(s, p);
    return *p == ':' ? sm_json_skip_space(s, p + 1) : sm_json_scan_unexpected(s, p, "':'");
}

/** Behind an element or member: to the next one, or onto the closing bracket (as of
 * sm_json_scan_open). Where a comma stood, *more is true: a closing bracket may not follow. */
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

/** Writes the text of a string's span (valid, with escapes) to out, which has room for n bytes.
 * Returns its length, at most n. */
size_t sm_json_unescape(const uint8_t *span, size_t n, uint8_t *out);

/**
 * value × 10^scale of a number's token (exponent and fraction allowed) as an integer, exactly.
 *
 * Returns   false where that is no integer, or one of over 38 digits: *is_integer tells them apart
 */
bool sm_json_exact(const uint8_t *p, size_t n, int scale, __int128 *out, bool *is_integer);

/* ---- in messages ----------------------------------------------------------------------------- */

/** SM_SYNTAX, or SM_LIMIT of what is too deep. */
sm_status sm_json_fault_status(sm_json_fault fault) SM_MUST_USE;
/** "expected ',' or '}', found 'x'": the failure of a scan, without its place. */
void sm_json_scan_message(const sm_json_scan *s, char *out, size_t cap);
/** As much of a span as a message can show, in one line. */
sm_str sm_json_excerpt(const uint8_t *span, size_t n, char *out, size_t cap);

#endif
