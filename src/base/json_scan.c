/* SPDX-License-Identifier: Apache-2.0
 *
 * base/json_scan.c: reads the tokens of JSON (RFC 8259).
 *
 * Method   One pass from left to right. It stops at the first byte that no valid text could have
 *          there; that byte is the place of the error. If the text is cut, the place is the byte
 *          behind the last. There are two exceptions: nesting deeper than 128 is reported at its
 *          opening bracket, half a surrogate pair at its backslash. UTF-8 is not checked here;
 *          callers check the whole text first.
 * Callers  json_doc.c for documents; the room format for lines. */
#include "base/json_scan.h"

#include <stdio.h>

#include "base/hex.h"
#include "base/text.h"

const char *sm_json_kind_name(sm_json_kind kind)
{
    static const char *const names[] = {
        [SM_JSON_IS_NULL] = "null",        [SM_JSON_IS_FALSE] = "a boolean",
        [SM_JSON_IS_TRUE] = "a boolean",   [SM_JSON_IS_NUMBER] = "a number",
        [SM_JSON_IS_STRING] = "a string",  [SM_JSON_IS_ARRAY] = "an array",
        [SM_JSON_IS_OBJECT] = "an object",
    };
    _Static_assert(SM_COUNT(names) == SM_JSON_IS_OBJECT + 1, "each kind has a name");
    SM_ASSERT((int)kind >= 0 && kind <= SM_JSON_IS_OBJECT);
    return names[kind];
}

static const uint8_t *fail_at(sm_json_scan *s, sm_json_fault fault, const uint8_t *at,
                              const char *wanted)
{
    SM_ASSERT(at >= s->start && at <= s->end); /* a token never reaches past the LF */
    SM_ASSERT(s->fault == SM_JSON_NO_FAULT);   /* nobody scans on behind a mistake */
    s->fault = fault;
    s->bad = at;
    s->wanted = wanted;
    return NULL;
}

const uint8_t *sm_json_scan_unexpected(sm_json_scan *s, const uint8_t *at, const char *wanted)
{
    return fail_at(s, SM_JSON_FAULT_SYNTAX, at, wanted);
}

/* ---- strings --------------------------------------------------------------------------------- */

/* Reads four hexadecimal digits into *out. Returns how many of them are digits; 4 means success. */
static int hex_four(const uint8_t *p, uint32_t *out)
{
    uint32_t v = 0;
    for (int i = 0; i < 4; i++) {
        const int digit = sm_hex_digit((char)p[i]);
        if (digit < 0) {
            return i;
        }
        v = v * 16 + (uint32_t)digit;
    }
    *out = v;
    return 4;
}

static bool is_high_surrogate(uint32_t c)
{
    return c >= 0xd800 && c <= 0xdbff;
}

static bool is_low_surrogate(uint32_t c)
{
    return c >= 0xdc00 && c <= 0xdfff;
}

/* Reads an escape, whose backslash is at p; a pair of surrogates is one escape. */
static const uint8_t *read_escape(sm_json_scan *s, const uint8_t *p)
{
    switch (p[1]) {
    case '"':
    case '\\':
    case '/':
    case 'b':
    case 'f':
    case 'n':
    case 'r':
    case 't':
        return p + 2;
    case 'u':
        break;
    default:
        return sm_json_scan_unexpected(s, p + 1, "one of \"\\/bfnrtu after a backslash");
    }
    uint32_t high = 0, low = 0;
    const int n_digits = hex_four(p + 2, &high);
    if (n_digits < 4) {
        return sm_json_scan_unexpected(s, p + 2 + n_digits, "a hexadecimal digit");
    }
    if (!is_high_surrogate(high)) {
        return is_low_surrogate(high) ? fail_at(s, SM_JSON_FAULT_SURROGATE, p, "") : p + 6;
    }
    const bool is_pair =
        p[6] == '\\' && p[7] == 'u' && hex_four(p + 8, &low) == 4 && is_low_surrogate(low);
    return is_pair ? p + 12 : fail_at(s, SM_JSON_FAULT_SURROGATE, p, "");
}

const uint8_t *sm_json_scan_string(sm_json_scan *s, const uint8_t *p, sm_json_token *out)
{
    SM_ASSERT(*p == '"');
    out->at = p + 1;
    out->kind = SM_JSON_IS_STRING;
    out->is_odd = false;
    p++;
    for (;;) {
        p = sm_json_string_stop(p);
        if (*p == '"') {
            out->len = (uint32_t)(p - out->at);
            return p + 1;
        }
        if (*p != '\\') {
            return sm_json_scan_unexpected(s, p,
                                           p == s->end ? "the string's closing '\"'"
                                                       : "an escape for a control character");
        }
        out->is_odd = true;
        p = read_escape(s, p);
        if (!p) {
            return NULL;
        }
    }
}

size_t sm_json_unescape(const uint8_t *span, size_t n, uint8_t *out)
{
    static const char plain[128] = {
        ['"'] = '"',  ['\\'] = '\\', ['/'] = '/',  ['b'] = '\b',
        ['f'] = '\f', ['n'] = '\n',  ['r'] = '\r', ['t'] = '\t',
    };
    const uint8_t *end = span + n;
    uint8_t *to = out;
    while (span < end) {
        const uint8_t *back = memchr(span, '\\', (size_t)(end - span));
        const size_t n_plain = (size_t)((back ? back : end) - span);
        memcpy(to, span, n_plain);
        to += n_plain;
        span += n_plain;
        if (!back) {
            break;
        }
        if (span[1] != 'u') {
            *to++ = (uint8_t)plain[span[1] & 127];
            span += 2;
            continue;
        }
        uint32_t c = 0, low = 0;
        (void)hex_four(span + 2, &c);
        span += 6;
        if (is_high_surrogate(c)) {
            (void)hex_four(span + 2, &low);
            c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
            span += 6;
        }
        char utf8[4];
        const int n_utf8 = sm_utf8_put(c, utf8);
        memcpy(to, utf8, (size_t)n_utf8);
        to += n_utf8;
    }
    SM_ASSERT(span == end && (size_t)(to - out) <= n); /* the span was cut within an escape else */
    return (size_t)(to - out);
}

/* ---- numbers and words ----------------------------------------------------------------------- */

static bool is_digit(uint8_t c)
{
    return (uint8_t)(c - '0') < 10;
}

/* Reads one digit or more. */
static const uint8_t *read_digits(sm_json_scan *s, const uint8_t *p)
{
    if (!is_digit(*p)) {
        return sm_json_scan_unexpected(s, p, "a digit");
    }
    while (is_digit(*p)) {
        p++;
    }
    return p;
}

static const uint8_t *read_number(sm_json_scan *s, const uint8_t *p, sm_json_token *out)
{
    out->at = p;
    out->kind = SM_JSON_IS_NUMBER;
    out->is_odd = false;
    p += *p == '-';
    p = *p == '0' ? p + 1 : read_digits(s, p);
    if (p && *p == '.') {
        out->is_odd = true;
        p = read_digits(s, p + 1);
    }
    if (p && (*p | 0x20) == 'e') {
        out->is_odd = true;
        p++;
        p += *p == '+' || *p == '-';
        p = read_digits(s, p);
    }
    if (p) {
        out->len = (uint32_t)(p - out->at);
    }
    return p;
}

static const uint8_t *read_word(sm_json_scan *s, const uint8_t *p, sm_json_kind kind,
                                sm_json_token *out)
{
    static const char *const words[] = {
        [SM_JSON_IS_NULL] = "null",
        [SM_JSON_IS_FALSE] = "false",
        [SM_JSON_IS_TRUE] = "true",
    };
    const char *word = words[kind];
    uint32_t n = 0;
    for (; word[n] != '\0'; n++) {
        if (p[n] != (uint8_t)word[n]) {
            return sm_json_scan_unexpected(s, p + n, word);
        }
    }
    *out = (sm_json_token){.at = p, .len = n, .kind = (uint8_t)kind};
    return p + n;
}

/* ---- nesting --------------------------------------------------------------------------------- */

const uint8_t *sm_json_scan_open(sm_json_scan *s, const uint8_t *p)
{
    SM_ASSERT((*p == '{' || *p == '[') && s->depth >= 0 && s->depth <= SM_JSON_MAX_DEPTH);
    if (s->depth == SM_JSON_MAX_DEPTH) {
        return fail_at(s, SM_JSON_FAULT_DEPTH, p, "");
    }
    s->depth++;
    return sm_json_skip_space(s, p + 1);
}

/* Checks an array or object from its bracket on and returns the place behind the closing one.
 * SM_JSON_MAX_DEPTH ends the recursion. */
static const uint8_t *skip_nested(sm_json_scan *s, const uint8_t *p)
{
    const bool is_object = *p == '{';
    const char close = is_object ? '}' : ']';
    sm_json_token passed;

    p = sm_json_scan_open(s, p);
    bool more = p && *p != (uint8_t)close;
    while (p && more) {
        if (is_object) {
            if (*p != '"') {
                return sm_json_scan_unexpected(s, p, "a key in quotes");
            }
            p = sm_json_scan_string(s, p, &passed);
            p = p ? sm_json_scan_colon(s, p) : NULL;
        }
        p = p ? sm_json_scan_value(s, p, &passed) : NULL;
        p = p ? sm_json_scan_next(s, p, close, &more) : NULL;
    }
    s->depth--;
    return p ? p + 1 : NULL;
}

const uint8_t *sm_json_scan_value(sm_json_scan *s, const uint8_t *p, sm_json_token *out)
{
    switch (*p) {
    case '"':
        return sm_json_scan_string(s, p, out);
    case '{':
    case '[': {
        const uint8_t *at = p;
        const uint8_t kind = *p == '{' ? SM_JSON_IS_OBJECT : SM_JSON_IS_ARRAY;
        p = skip_nested(s, p);
        if (p) {
            *out = (sm_json_token){.at = at, .len = (uint32_t)(p - at), .kind = kind};
        }
        return p;
    }
    case 't':
        return read_word(s, p, SM_JSON_IS_TRUE, out);
    case 'f':
        return read_word(s, p, SM_JSON_IS_FALSE, out);
    case 'n':
        return read_word(s, p, SM_JSON_IS_NULL, out);
    default:
        return *p == '-' || is_digit(*p) ? read_number(s, p, out)
                                         : sm_json_scan_unexpected(s, p, "a value");
    }
}

/* ---- messages -------------------------------------------------------------------------------- */

sm_status sm_json_fault_status(sm_json_fault fault)
{
    switch (fault) {
    case SM_JSON_NO_FAULT:
        return SM_OK;
    case SM_JSON_FAULT_DEPTH:
        return SM_LIMIT;
    default:
        return SM_SYNTAX;
    }
}

sm_str sm_json_excerpt(const uint8_t *span, size_t n, char *out, size_t cap)
{
    static const char dots[] = "...";
    SM_ASSERT(cap >= sizeof(dots));
    const bool is_cut = n + 1 > cap;
    size_t len = is_cut ? cap - sizeof(dots) : n;
    while (is_cut && len > 0 && (span[len] & 0xc0) == 0x80) {
        len--; /* not within a character */
    }
    memcpy(out, span, len);
    for (size_t i = 0; i < len; i++) {
        if ((uint8_t)out[i] < 0x20) {
            out[i] = ' '; /* white space within an array or object */
        }
    }
    memcpy(out + len, is_cut ? dots : "", is_cut ? sizeof(dots) : 1);
    return (sm_str){out, len + (is_cut ? sizeof(dots) - 1 : 0)};
}

void sm_json_scan_message(const sm_json_scan *s, char *out, size_t cap)
{
    SM_ASSERT(s->fault != SM_JSON_NO_FAULT);
    if (s->fault == SM_JSON_FAULT_DEPTH) {
        snprintf(out, cap, "nested deeper than %d", SM_JSON_MAX_DEPTH);
    } else if (s->fault == SM_JSON_FAULT_SURROGATE) {
        snprintf(out, cap, "the escape '%.6s' is half of a surrogate pair", (const char *)s->bad);
    } else if (s->bad == s->end) {
        snprintf(out, cap, "expected %s, found the end", s->wanted);
    } else if (*s->bad > 0x20 && *s->bad < 0x7f) {
        snprintf(out, cap, "expected %s, found '%c'", s->wanted, *s->bad);
    } else {
        snprintf(out, cap, "expected %s, found byte 0x%02x", s->wanted, *s->bad);
    }
}
