/* SPDX-License-Identifier: Apache-2.0
 *
 * base/yaml_write.c: YAML text.
 *
 * Quotes   A text stands without quotes only where it begins with a letter, is made of letters,
 *          digits and a few signs that mean nothing to YAML, and is none of its words. All else
 *          stands in double quotes with the escapes that JSON has, which YAML has too.
 * Source   YAML 1.2.2, sections 5.7 and 7.3; YAML 1.1, "bool" and "null" types, for its words */
#include "base/yaml_write.h"

#include "base/text.h"

enum { INDENT = 2 };

/* ---- single values --------------------------------------------------------------------------- */

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* What a reader of YAML takes as no text. */
static bool is_word_of_yaml(sm_str s)
{
    static const char *const words[] = {"null", "true", "false", "yes", "no",
                                        "on",   "off",  "y",     "n"};

    for (int i = 0; i < (int)(sizeof(words) / sizeof(words[0])); i++) {
        if (sm_str_eq_nocase(s, sm_str_of(words[i]))) {
            return true;
        }
    }
    return false;
}

static bool is_plain(sm_str s)
{
    if (s.len == 0 || !is_letter(s.data[0]) || s.data[s.len - 1] == ' ' || is_word_of_yaml(s)) {
        return false;
    }
    for (size_t i = 0; i < s.len; i++) {
        if (!is_letter(s.data[i]) && !is_digit(s.data[i]) && !memchr("_-./ ()+", s.data[i], 8)) {
            return false;
        }
    }
    return true;
}

static size_t skip_digits(sm_str s, size_t at)
{
    while (at < s.len && is_digit(s.data[at])) {
        at++;
    }
    return at;
}

bool sm_yaml_is_number(sm_str s)
{
    size_t at = s.len > 0 && s.data[0] == '-', start = at;

    at = skip_digits(s, at);
    if (at == start || (s.data[start] == '0' && at > start + 1)) {
        return false;
    }
    if (at < s.len && s.data[at] == '.') {
        start = at + 1;
        at = skip_digits(s, start);
        if (at == start) {
            return false;
        }
    }
    if (at < s.len && (s.data[at] | 0x20) == 'e') {
        at += 1 + (at + 1 < s.len && (s.data[at + 1] == '-' || s.data[at + 1] == '+'));
        start = at;
        at = skip_digits(s, start);
        if (at == start) {
            return false;
        }
    }
    return at == s.len;
}

/* May the code point stand in quotes as it is? */
static bool is_printable(uint32_t c)
{
    return c >= 0x20 && c != 0x7F && !(c >= 0x80 && c < 0xA0) && c != 0x2028 && c != 0x2029 &&
           c != 0xFEFF && c != 0xFFFE && c != 0xFFFF;
}

static void put_quoted(sm_buf *out, sm_str s)
{
    sm_buf_text(out, SM_STR("\""));
    for (size_t at = 0; at < s.len;) {
        const size_t valid = at + sm_utf8_check(s.data + at, s.len - at);
        while (at < valid) {
            const size_t start = at;
            const uint32_t c = sm_utf8_next((sm_str){s.data, valid}, &at);
            if (c == '"' || c == '\\') {
                sm_buf_printf(out, "\\%c", (char)c);
            } else if (c == '\n' || c == '\t') {
                sm_buf_text(out, c == '\n' ? SM_STR("\\n") : SM_STR("\\t"));
            } else if (is_printable(c)) {
                sm_buf_text(out, (sm_str){s.data + start, at - start});
            } else {
                sm_buf_printf(out, "\\u%04x", (unsigned)c);
            }
        }
        if (at < s.len) {
            sm_buf_text(out, SM_STR("\\ufffd"));
            at++;
        }
    }
    sm_buf_text(out, SM_STR("\""));
}

static void put_value(sm_buf *out, sm_str text)
{
    if (is_plain(text)) {
        sm_buf_text(out, text);
    } else {
        put_quoted(out, text);
    }
}

/* ---- lines ----------------------------------------------------------------------------------- */

static void indent(sm_yaml_writer *w)
{
    sm_buf_printf(w->out, "%*s", w->depth * INDENT, "");
}

static void put_key(sm_yaml_writer *w, const char *key)
{
    SM_ASSERT(!w->is_line);
    if (w->after_dash) {
        w->after_dash = false;
    } else {
        indent(w);
    }
    w->is_open = false;
    sm_buf_printf(w->out, "%s:", key);
}

void sm_yaml_comment(sm_yaml_writer *w, sm_str text)
{
    SM_ASSERT(!w->after_dash && !w->is_line);
    for (size_t at = 0; at < text.len;) {
        const char *end = memchr(text.data + at, '\n', text.len - at);
        const size_t stop = end ? (size_t)(end - text.data) : text.len;
        indent(w);
        sm_buf_text(w->out, SM_STR("# "));
        for (; at < stop; at++) {
            const uint8_t c = (uint8_t)text.data[at];
            if (c >= 0x20 && c < 0x7F) {
                sm_buf_text(w->out, (sm_str){text.data + at, 1});
            }
        }
        sm_buf_text(w->out, SM_STR("\n"));
        at = stop + 1;
    }
}

void sm_yaml_set_text(sm_yaml_writer *w, const char *key, sm_str text)
{
    put_key(w, key);
    sm_buf_text(w->out, SM_STR(" "));
    put_value(w->out, text);
    sm_buf_text(w->out, SM_STR("\n"));
}

void sm_yaml_set_plain(sm_yaml_writer *w, const char *key, sm_str word)
{
    put_key(w, key);
    sm_buf_text(w->out, SM_STR(" "));
    sm_buf_text(w->out, word);
    sm_buf_text(w->out, SM_STR("\n"));
}

static void begin(sm_yaml_writer *w, const char *key)
{
    put_key(w, key);
    sm_buf_text(w->out, SM_STR("\n"));
    w->depth++;
    w->is_open = true;
}

void sm_yaml_set_map(sm_yaml_writer *w, const char *key)
{
    begin(w, key);
}

void sm_yaml_set_list(sm_yaml_writer *w, const char *key)
{
    begin(w, key);
}

void sm_yaml_end(sm_yaml_writer *w)
{
    SM_ASSERT(w->depth > 0 && !w->is_open);
    w->depth--;
}

void sm_yaml_begin_item(sm_yaml_writer *w)
{
    SM_ASSERT(!w->after_dash && !w->is_line);
    indent(w);
    sm_buf_text(w->out, SM_STR("- "));
    w->depth++;
    w->after_dash = w->is_open = true;
}

void sm_yaml_end_item(sm_yaml_writer *w)
{
    sm_yaml_end(w);
}

void sm_yaml_set_line(sm_yaml_writer *w, const char *key)
{
    put_key(w, key);
    sm_buf_text(w->out, SM_STR(" ["));
    w->is_line = w->is_open = true;
}

/* The comma before a value of a line. */
static sm_buf *next_value(sm_yaml_writer *w)
{
    SM_ASSERT(w->is_line);
    if (!w->is_open) {
        sm_buf_text(w->out, SM_STR(", "));
    }
    w->is_open = false;
    return w->out;
}

void sm_yaml_put_text(sm_yaml_writer *w, sm_str text)
{
    put_value(next_value(w), text);
}

void sm_yaml_put_plain(sm_yaml_writer *w, sm_str word)
{
    sm_buf_text(next_value(w), word);
}

void sm_yaml_end_line(sm_yaml_writer *w)
{
    SM_ASSERT(w->is_line);
    sm_buf_text(w->out, SM_STR("]\n"));
    w->is_line = w->is_open = false;
}
