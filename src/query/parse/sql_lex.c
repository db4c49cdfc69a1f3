/* SPDX-License-Identifier: Apache-2.0
 *
 * query/parse/sql_lex.c: SQL text to tokens, all at once (a query has at most 1 MiB); and errors
 * with a place in the text.
 *
 * A token is a range of bytes and a kind. smi_tok_text() gives a name or string without its quotes.
 * Comments are `-- to the end of the line` and nested block comments. */
#include "query/parse/parse_int.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/text.h"

/* ---- places ---------------------------------------------------------------------------------- */

static void place_of(const sm_sql *sql, uint32_t off_bytes, sm_error *e)
{
    char object[256];
    int64_t line = 1, byte = 1;
    for (size_t i = 0; i < off_bytes && i < sql->text.len; i++) {
        byte++;
        if (sql->text.data[i] == '\n') {
            line++;
            byte = 1;
        }
    }
    const sm_str name = sql->name.len > 0 ? sql->name : SM_STR("SQL");
    snprintf(object, sizeof(object), "%.*s", (int)(name.len > 255 ? 255 : name.len), name.data);
    sm_error_place(e, object, line, byte);
}

sm_status smi_sql_fail(const sm_sql *sql, uint32_t off_bytes, sm_error *e, sm_status st,
                       const char *fmt, ...)
{
    char what[256];
    va_list args;
    va_start(args, fmt);
    vsnprintf(what, sizeof(what), fmt, args);
    va_end(args);
    sm_fail(e, st, "%s", what);
    if (e && sql) {
        SM_ASSERT(off_bytes <= sql->text.len);
        place_of(sql, off_bytes, e);
    }
    return st;
}

sm_status smi_expr_fail(const sm_expr *x, sm_error *e, sm_status st, const char *fmt, ...)
{
    char what[256];
    va_list args;
    va_start(args, fmt);
    vsnprintf(what, sizeof(what), fmt, args);
    va_end(args);
    sm_fail(e, st, "%s", what);
    return smi_expr_place(x, e, st);
}

sm_status smi_expr_place(const sm_expr *x, sm_error *e, sm_status st)
{
    if (e && x && x->sql) {
        place_of(x->sql, x->off_bytes, e);
    }
    return st;
}

sm_str smi_nearest(sm_str wanted, const sm_str *names, int64_t n_names)
{
    const char *const near = sm_nearest_name(wanted, names, n_names);
    for (int64_t i = 0; near && i < n_names; i++) {
        if (names[i].data == near) {
            return names[i];
        }
    }
    return SM_STR("");
}

/* ---- characters ------------------------------------------------------------------------------ */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Letters, '_' and every byte beyond ASCII: names may be in any script. */
static bool starts_name(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (uint8_t)c >= 0x80;
}

/* Is this code point a blank between tokens, as in DuckDB? So are a byte-order mark, and what comes
 * along where SQL is copied from a page. */
static bool is_wide_blank(uint32_t c)
{
    return c == 0xA0 || (c >= 0x2000 && c <= 0x200B) || c == 0x202F || c == 0x205F || c == 0x2060 ||
           c == 0x3000 || c == 0xFEFF;
}

/* The bytes of the blank at `i`; 0: there is none. */
static size_t blank_len(sm_str s, size_t i)
{
    const char c = s.data[i];
    size_t end = i;

    if (c == ' ' || (c >= '\t' && c <= '\r')) {
        return 1;
    }
    /* The first bytes of the wide ones. */
    if (c != '\xC2' && c != '\xE2' && c != '\xE3' && c != '\xEF') {
        return 0;
    }
    return is_wide_blank(sm_utf8_next(s, &end)) ? end - i : 0;
}

static bool goes_on_name(sm_str s, size_t i)
{
    const char c = s.data[i];
    return is_digit(c) || c == '$' || (starts_name(c) && blank_len(s, i) == 0);
}

/* ---- tokens ---------------------------------------------------------------------------------- */

/* Longest first. */
static const char *const ops[] = {
    "::", "||", "<=", ">=", "<>", "!=", "==", "//", "=>", ":=", "->", "**", "(", ")", "[", "]",
    "{",  "}",  ",",  ".",  ";",  "+",  "-",  "*",  "/",  "%",  "<",  ">",  "=", ":", "^", "?",
};

static sm_status skip_blanks(const sm_sql *sql, size_t *at, sm_error *e)
{
    const sm_str s = sql->text;
    size_t i = *at;
    while (i < s.len) {
        const char c = s.data[i];
        const size_t blank = blank_len(s, i);
        if (blank > 0) {
            i += blank;
        } else if (c == '-' && i + 1 < s.len && s.data[i + 1] == '-') {
            while (i < s.len && s.data[i] != '\n') {
                i++;
            }
        } else if (c == '/' && i + 1 < s.len && s.data[i + 1] == '*') {
            const size_t start = i;
            int64_t open = 0;
            do {
                if (i + 1 >= s.len) {
                    return smi_sql_fail(sql, (uint32_t)start, e, SM_SYNTAX,
                                        "comment is not closed: expected */");
                }
                const bool opens = s.data[i] == '/' && s.data[i + 1] == '*';
                const bool closes = s.data[i] == '*' && s.data[i + 1] == '/';
                open += opens ? 1 : closes ? -1 : 0;
                i += opens || closes ? 2 : 1;
            } while (open > 0);
        } else {
            break;
        }
    }
    *at = i;
    return SM_OK;
}

static sm_status lex_quoted(const sm_sql *sql, size_t start, size_t *end, sm_error *e)
{
    const sm_str s = sql->text;
    const char quote = s.data[start];
    for (size_t i = start + 1; i < s.len; i++) {
        if (s.data[i] != quote) {
            continue;
        }
        if (i + 1 < s.len && s.data[i + 1] == quote) {
            i++;
            continue;
        }
        *end = i + 1;
        return SM_OK;
    }
    return smi_sql_fail(sql, (uint32_t)start, e, SM_SYNTAX, "%s is not closed: expected %c",
                        quote == '"' ? "quoted name" : "string", quote);
}

/* 1_000: a '_' stands between two digits. */
static size_t lex_digits(sm_str s, size_t i)
{
    while (i < s.len && is_digit(s.data[i])) {
        const bool is_joined = i + 2 < s.len && s.data[i + 1] == '_' && is_digit(s.data[i + 2]);
        i += is_joined ? 2 : 1;
    }
    return i;
}

static size_t lex_number(sm_str s, size_t i)
{
    i = lex_digits(s, i);
    if (i < s.len && s.data[i] == '.') {
        i = lex_digits(s, i + 1);
    }
    if (i < s.len && (s.data[i] == 'e' || s.data[i] == 'E')) {
        const size_t sign = i + 1 < s.len && (s.data[i + 1] == '+' || s.data[i + 1] == '-');
        if (i + 1 + sign < s.len && is_digit(s.data[i + 1 + sign])) {
            i += 1 + sign;
            while (i < s.len && is_digit(s.data[i])) {
                i++;
            }
        }
    }
    return i;
}

static sm_status lex_one(const sm_sql *sql, size_t i, smi_tok *out, sm_error *e)
{
    const sm_str s = sql->text;
    const char c = s.data[i];
    size_t end = i;
    smi_tok_kind kind = SMI_TOK_OP;

    if (starts_name(c)) {
        kind = SMI_TOK_NAME;
        while (end < s.len && goes_on_name(s, end)) {
            end++;
        }
    } else if (c == '"' || c == '\'') {
        kind = c == '"' ? SMI_TOK_QUOTED : SMI_TOK_STRING;
        SM_TRY(lex_quoted(sql, i, &end, e));
        if (kind == SMI_TOK_QUOTED && end - i == 2) {
            return smi_sql_fail(sql, (uint32_t)i, e, SM_SYNTAX, "quoted name is empty");
        }
    } else if (is_digit(c) || (c == '.' && i + 1 < s.len && is_digit(s.data[i + 1]))) {
        kind = SMI_TOK_NUMBER;
        end = lex_number(s, i);
        if (end < s.len && goes_on_name(s, end)) {
            return smi_sql_fail(sql, (uint32_t)i, e, SM_SYNTAX,
                                "number runs into a name: expected a space before \"%c\"",
                                s.data[end]);
        }
    } else {
        for (int k = 0; k < SM_COUNT(ops) && end == i; k++) {
            const size_t len = strlen(ops[k]);
            if (s.len - i >= len && memcmp(s.data + i, ops[k], len) == 0) {
                end = i + len;
            }
        }
        if (end == i) {
            return smi_sql_fail(sql, (uint32_t)i, e, SM_SYNTAX, "character 0x%02x is not SQL",
                                (unsigned)(uint8_t)c);
        }
    }
    *out = (smi_tok){.off = (uint32_t)i, .end = (uint32_t)end, .kind = kind};
    return SM_OK;
}

sm_status smi_lex(const sm_sql *sql, sm_arena *a, smi_tok **out, int64_t *n, sm_error *e)
{
    smi_tok *toks = NULL;
    int64_t n_toks = 0, cap = 0;
    size_t at = 0;

    if (sql->text.len > SMI_MAX_TEXT_BYTES) {
        sm_fail(e, SM_LIMIT, "query of %zu bytes is over the limit of 1 MiB", sql->text.len);
        return SM_LIMIT;
    }
    const char *other = sm_utf_other(sql->text.data, sql->text.len);
    if (other) {
        const sm_status st = smi_sql_fail(sql, 0, e, SM_SYNTAX, "the text is %s, not UTF-8", other);
        sm_error_todo(e, "Write it as UTF-8, as by iconv -f %s -t UTF-8.", other);
        return st;
    }
    const size_t bad = sm_utf8_check(sql->text.data, sql->text.len);
    if (bad < sql->text.len) {
        return smi_sql_fail(sql, (uint32_t)bad, e, SM_SYNTAX, "byte 0x%02x is not UTF-8",
                            (unsigned)(uint8_t)sql->text.data[bad]);
    }
    for (;;) {
        SM_TRY(skip_blanks(sql, &at, e));
        toks = sm_arena_grow(a, toks, n_toks, &cap, sizeof(*toks));
        if (at >= sql->text.len) {
            toks[n_toks] = (smi_tok){(uint32_t)at, (uint32_t)at, SMI_TOK_END};
            break;
        }
        SM_TRY(lex_one(sql, at, &toks[n_toks], e));
        SM_ASSERT(toks[n_toks].off == at && toks[n_toks].end > at);
        SM_ASSERT(toks[n_toks].end <= sql->text.len);
        at = toks[n_toks].end;
        n_toks++;
    }
    *out = toks;
    *n = n_toks + 1;
    return SM_OK;
}

sm_str smi_tok_text(const sm_sql *sql, smi_tok t, sm_arena *a)
{
    SM_ASSERT(t.off <= t.end && t.end <= sql->text.len); /* a token of this text */
    const sm_str raw = {sql->text.data + t.off, t.end - t.off};
    if (t.kind != SMI_TOK_QUOTED && t.kind != SMI_TOK_STRING) {
        return raw;
    }
    SM_ASSERT(raw.len >= 2 && raw.data[0] == raw.data[raw.len - 1]);
    const sm_str inner = {raw.data + 1, raw.len - 2};
    if (!memchr(inner.data, raw.data[0], inner.len)) {
        return inner;
    }
    char *const text = sm_arena_alloc(a, inner.len);
    size_t len = 0;
    for (size_t i = 0; i < inner.len; i++) {
        text[len++] = inner.data[i];
        i += inner.data[i] == raw.data[0]; /* the second of two quotes */
    }
    return (sm_str){text, len};
}

/* ---- keywords -------------------------------------------------------------------------------- */

/* Sorted. Of the words that this grammar uses, those that DuckDB reserves: so a text that is
 * accepted here means the same there. */
static const char *const reserved[] = {
    "all",     "and",       "any",     "as",    "asc",        "both",    "case",    "cast",
    "collate", "create",    "cross",   "desc",  "distinct",   "else",    "end",     "except",
    "false",   "fetch",     "for",     "from",  "full",       "group",   "having",  "in",
    "inner",   "intersect", "into",    "is",    "isnull",     "join",    "lateral", "left",
    "like",    "limit",     "natural", "not",   "notnull",    "null",    "offset",  "on",
    "or",      "order",     "outer",   "pivot", "positional", "qualify", "right",   "select",
    "semi",    "some",      "table",   "then",  "to",         "true",    "union",   "unique",
    "unpivot", "using",     "when",    "where", "window",     "with",
};

static int word_cmp(const void *key, const void *item)
{
    return strcmp(key, *(const char *const *)item);
}

bool smi_is_reserved(sm_str word)
{
    char low[16];
    if (word.len >= sizeof(low)) {
        return false;
    }
    for (size_t i = 0; i < word.len; i++) {
        const char c = word.data[i];
        low[i] = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
    }
    low[word.len] = 0;
    return bsearch(low, reserved, SM_COUNT(reserved), sizeof(reserved[0]), word_cmp) != NULL;
}
