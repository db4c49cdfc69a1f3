/* SPDX-License-Identifier: Apache-2.0
 *
 * flow/generate_damage.c: the ways in which real logs are odd or broken, one row of a table each:
 * how the line is spoilt, and what a reader must make of it. Called by generate.c for the share of
 * lines that is damaged, or breaks a rule.
 *
 * Row    It changes the line before it is written (prepare), or its bytes afterwards (spoil), or
 *        both. What a reader must make of it follows from what was generated, never from reading it
 *        back.
 * Rules  A second, shorter table breaks the rules of the shipped contracts, in lines that can be
 *        read. It is apart, so that the lines of old options stay as they were.
 * Plain  Damage starts from a plain line (mixed spelling is undone), so that two oddities do not
 *        meet in one line unless a row says so. */
#include "flow/generate_int.h"

#include <stdio.h>

#define GEN_TOO_LONG_BYTES ((size_t)16777216 + 100)

/* ---- helpers -------------------------------------------------------------------------------- */

static const int string_columns[6] = {SMI_GEN_INDEX, SMI_GEN_TYPE,     SMI_GEN_ID,
                                      SMI_GEN_APP,   SMI_GEN_CONTRACT, SMI_GEN_MAC};

static void want_null_source(smi_gen_line *l)
{
    for (int i = SMI_GEN_APP; i <= SMI_GEN_DURATION; i++) {
        l->want[i].is_null = true;
    }
}

static void refuse_column(smi_gen_line *l, int column, sm_str token)
{
    SM_ASSERT(column >= 0 && column < SMI_GEN_COLUMNS && token.len > 0);
    l->token[column] = token;
    l->column = column;
}

static long long seconds_of(const smi_gen_line *l)
{
    return (long long)l->want[SMI_GEN_DURATION].number;
}

/* Inserts bytes into the line behind the text `before`. */
static void insert_bytes(sm_buf *out, size_t start, const char *before, const void *bytes, size_t n)
{
    const char *line = (const char *)out->data + start;
    const size_t len = out->len - start;
    const char *found = memmem(line, len, before, strlen(before));
    SM_ASSERT(found);
    const size_t at = start + (size_t)(found - line) + strlen(before);
    sm_buf_text(out, (sm_str){bytes, n}); /* makes room; the bytes are moved into place below */
    memmove(out->data + at + n, out->data + at, out->len - n - at);
    memcpy(out->data + at, bytes, n);
}

/* ---- kept: odd, but right ------------------------------------------------------------------- */

static void null_value(smi_gen_line *l, smi_gen_random *r)
{
    const int column = (int)smi_gen_below(r, SMI_GEN_COLUMNS);
    l->token[column] = SM_STR("null");
    l->want[column].is_null = true;
}
static void missing_key(smi_gen_line *l, smi_gen_random *r)
{
    const int column = (int)smi_gen_below(r, SMI_GEN_COLUMNS);
    l->missing = 1u << column;
    l->want[column].is_null = true;
}
static void missing_source(smi_gen_line *l, smi_gen_random *r)
{
    l->is_source_missing = true;
    want_null_source(l);
}
static void null_source(smi_gen_line *l, smi_gen_random *r)
{
    l->source_token = SM_STR("null");
    want_null_source(l);
}
static void empty_object(smi_gen_line *l, smi_gen_random *r)
{
    l->whole = SM_STR("{}");
    for (int i = 0; i < SMI_GEN_COLUMNS; i++) {
        l->want[i].is_null = true;
    }
}
static void unknown_key(smi_gen_line *l, smi_gen_random *r)
{
    l->top_extra = SM_STR("\"_extra\":{\"a\":[1,2.5e-3,{\"b\":null}],\"_id\":7},");
}
static void unknown_source_key(smi_gen_line *l, smi_gen_random *r)
{
    l->source_extra = SM_STR("\"Session\":\"x\",\"Tags\":[true,false],");
}
static void deep_unknown(smi_gen_line *l, smi_gen_random *r)
{
    char open[128], shut[128]; /* the line's own object is the first of 128 levels */
    memset(open, '[', 127);
    memset(shut, ']', 127);
    l->top_extra = smi_gen_text(l, "\"_deep\":%.127s%.127s,", open, shut);
}
static void number_as_string(smi_gen_line *l, smi_gen_random *r)
{
    l->token[SMI_GEN_DURATION] = smi_gen_text(l, "\"%lld\"", seconds_of(l));
    l->token[SMI_GEN_SCORE] = SM_STR("\"-0\"");
    l->want[SMI_GEN_SCORE].number = 0;
}
static void odd_number(smi_gen_line *l, smi_gen_random *r)
{
    static const char *const forms[] = {"%lld.0",   "%llde0",     "%lldE+0",
                                        "%lld0e-1", "%lld.000e0", "%lld000e-3"};
    const int drawn = (int)smi_gen_below(r, SM_COUNT(forms));
    const int form = seconds_of(l) ? drawn : 0; /* 00e-1 is no JSON */
    char text[40];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral" /* the table above */
    snprintf(text, sizeof(text), forms[form], seconds_of(l));
#pragma GCC diagnostic pop
    l->token[SMI_GEN_DURATION] = smi_gen_text(l, "%s", text);
    l->token[SMI_GEN_SCORE] = SM_STR("0e500");
    l->want[SMI_GEN_SCORE].number = 0;
}
static void largest_number(smi_gen_line *l, smi_gen_random *r)
{
    l->token[SMI_GEN_SCORE] = SM_STR("9223372036854775807");
    l->want[SMI_GEN_SCORE].number = INT64_MAX;
}
static void number_for_string(smi_gen_line *l, smi_gen_random *r)
{
    l->token[SMI_GEN_MAC] = SM_STR("1.50e+3");
    l->want[SMI_GEN_MAC].text = SM_STR("1.50e+3");
}
static void boolean_for_string(smi_gen_line *l, smi_gen_random *r)
{
    l->token[SMI_GEN_TYPE] = SM_STR("true");
    l->want[SMI_GEN_TYPE].text = SM_STR("true");
}
static void escaped(smi_gen_line *l, smi_gen_random *r)
{
    const sm_str c = l->want[SMI_GEN_CONTRACT].text;
    l->token[SMI_GEN_CONTRACT] =
        smi_gen_text(l, "\"\\u%04X%.*s\"", c.data[0], (int)c.len - 1, c.data + 1);
    l->token[SMI_GEN_MAC] = SM_STR("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00E9\"");
    l->want[SMI_GEN_MAC].text = SM_STR("\"\\/\b\f\n\r\t\xc3\xa9");
}
static void escaped_key(smi_gen_line *l, smi_gen_random *r)
{
    l->missing = 1u << SMI_GEN_MAC;
    l->source_extra = smi_gen_text(l, "\"M\\u0061c\":\"%.*s\",", 12, l->mac);
}
static void non_ascii(smi_gen_line *l, smi_gen_random *r)
{
    l->token[SMI_GEN_MAC] = SM_STR("\"\xc3\x9f\xe6\xbc\xa2\xf0\x9f\x98\x80\"");
    l->want[SMI_GEN_MAC].text = SM_STR("\xc3\x9f\xe6\xbc\xa2\xf0\x9f\x98\x80");
}
static void surrogate_pair(smi_gen_line *l, smi_gen_random *r)
{
    l->token[SMI_GEN_MAC] = SM_STR("\"\\ud83d\\uDE00 and some more text\"");
    l->want[SMI_GEN_MAC].text = SM_STR("\xf0\x9f\x98\x80 and some more text");
}
static void nul_escape(smi_gen_line *l, smi_gen_random *r)
{
    l->token[SMI_GEN_MAC] = SM_STR("\"a\\u0000b\"");
    l->want[SMI_GEN_MAC].text = SM_STR("a\0b");
}
static void empty_string(smi_gen_line *l, smi_gen_random *r)
{
    l->token[SMI_GEN_CONTRACT] = SM_STR("\"\"");
    l->want[SMI_GEN_CONTRACT].text = SM_STR("");
}
static void repeated_key(smi_gen_line *l, smi_gen_random *r)
{
    l->source_extra = SM_STR("\"TotalDuration\":\"not a number\",\"Mac\":[1],");
}
static void repeated_source(smi_gen_line *l, smi_gen_random *r)
{
    l->top_extra = SM_STR("\"_source\":{\"Contract\":\"LOST\",\"TotalDuration\":true},");
}
static void other_order(smi_gen_line *l, smi_gen_random *r)
{
    l->order = 1 + (int)smi_gen_below(r, 3);
}
static void spaced(smi_gen_line *l, smi_gen_random *r)
{
    l->is_spaced = true;
}
static void crlf(smi_gen_line *l, smi_gen_random *r)
{
    l->has_cr = true;
}
static void blank(smi_gen_line *l, smi_gen_random *r)
{
    l->verdict = SMI_GEN_BLANK;
    l->whole = SM_STR(" \t \r");
}

/* ---- refused: syntax ------------------------------------------------------------------------ */

static void cut(smi_gen_line *l, smi_gen_random *r, sm_buf *out, size_t start)
{
    out->len = start + 1 + smi_gen_below(r, out->len - start - 1);
}
static void no_json(smi_gen_line *l, smi_gen_random *r)
{
    static const char *const texts[] = {"this is no JSON",
                                        "<html></html>",
                                        "a,b,c",
                                        "}{",
                                        "nul",
                                        "{\"_id\":\"a\"} {\"_id\":\"b\"}"};
    l->whole = sm_str_of(texts[smi_gen_below(r, SM_COUNT(texts))]);
}
static void bad_token(smi_gen_line *l, smi_gen_random *r)
{
    static const char *const tokens[] = {"NaN",   "Infinity",  "-Infinity",  "+1",   "01", "1.",
                                         ".5",    "1e",        "'x'",        "0x1F", "-",  "True",
                                         "1_000", "\"\\x41\"", "\"\\u12G4\""};
    const uint64_t i = smi_gen_below(r, SM_COUNT(tokens));
    l->token[SMI_GEN_DURATION] = sm_str_of(tokens[i]);
}
static void trailing_comma(smi_gen_line *l, smi_gen_random *r)
{
    l->token[SMI_GEN_APP] = SM_STR("\"KPLUS\","); /* the last key of the export's order */
}
static void comment(smi_gen_line *l, smi_gen_random *r)
{
    l->token[SMI_GEN_SCORE] = SM_STR("0/* none */");
}
static void control_byte(smi_gen_line *l, smi_gen_random *r, sm_buf *out, size_t start)
{
    insert_bytes(out, start, "\"AX_", "\x01", 1);
}

/* ---- refused: the other reasons ------------------------------------------------------------- */

static void invalid_utf8(smi_gen_line *l, smi_gen_random *r, sm_buf *out, size_t start)
{
    static const char *const bytes[] = {"\xff", "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80",
                                        "\x80", "\xe2\x82"};
    const char *bad = bytes[smi_gen_below(r, SM_COUNT(bytes))];
    insert_bytes(out, start, "\"AX_", bad, strlen(bad));
}
static void invalid_utf8_and_syntax(smi_gen_line *l, smi_gen_random *r, sm_buf *out, size_t start)
{
    out->len -= 1; /* the closing brace: a syntax error too, but UTF-8 is checked first */
    insert_bytes(out, start, "\"AX_", "\xfe", 1);
}
static void lone_surrogate(smi_gen_line *l, smi_gen_random *r)
{
    static const char *const texts[] = {"\"a\\ud800\"", "\"\\udc00b\"", "\"\\ud83d\\u0041\"",
                                        "\"\\ud83dx\""};
    l->token[SMI_GEN_MAC] = sm_str_of(texts[smi_gen_below(r, SM_COUNT(texts))]);
}
static void lone_surrogate_key(smi_gen_line *l, smi_gen_random *r)
{
    l->top_extra = SM_STR("\"k\\uD9FF\":1,");
}
static void too_deep(smi_gen_line *l, smi_gen_random *r)
{
    char open[128];
    memset(open, '[', 128); /* the 129th level; never closed, but depth comes first in the line */
    l->top_extra = smi_gen_text(l, "\"_deep\":%.128s,", open);
}
static void not_object(smi_gen_line *l, smi_gen_random *r)
{
    static const char *const texts[] = {"[1,2]", "\"text\"", "17",
                                        "null",  "true",     "[{\"_id\":\"a\"}]"};
    l->whole = sm_str_of(texts[smi_gen_below(r, SM_COUNT(texts))]);
}
static void out_of_range(smi_gen_line *l, smi_gen_random *r)
{
    static const char *const tokens[] = {"9223372036854775808",
                                         "-9223372036854775809",
                                         "\"9223372036854775808\"",
                                         "1e19",
                                         "-1e500",
                                         "92233720368547758080e-1"};
    refuse_column(l, SMI_GEN_DURATION, sm_str_of(tokens[smi_gen_below(r, SM_COUNT(tokens))]));
}
static void no_integer(smi_gen_line *l, smi_gen_random *r)
{
    static const char *const tokens[] = {"254.5", "\"12x\"", "\"\"",    "true",    "[254]",
                                         "1e-1",  "\"1e3\"", "\"+5\"",  "\"007\"", "\" 5\"",
                                         "{}",    "-0.5",    "\"2.0\"", "false"};
    refuse_column(l, SMI_GEN_DURATION, sm_str_of(tokens[smi_gen_below(r, SM_COUNT(tokens))]));
}
static void no_string(smi_gen_line *l, smi_gen_random *r)
{
    const int column = string_columns[smi_gen_below(r, SM_COUNT(string_columns))];
    refuse_column(l, column, smi_gen_below(r, 2) ? SM_STR("[\"a\"]") : SM_STR("{\"a\":1}"));
}
static void no_object_source(smi_gen_line *l, smi_gen_random *r)
{
    static const char *const tokens[] = {"[]", "\"text\"", "5", "true"};
    l->source_token = sm_str_of(tokens[smi_gen_below(r, SM_COUNT(tokens))]);
    l->column = SMI_GEN_APP;
}
static void two_columns(smi_gen_line *l, smi_gen_random *r)
{
    refuse_column(l, SMI_GEN_DURATION, SM_STR("\"twelve\""));
    refuse_column(l, SMI_GEN_SCORE, SM_STR("99999999999999999999")); /* the first one is named */
}

/* ---- the table ------------------------------------------------------------------------------ */

static const struct damage {
    const char *name;
    void (*prepare)(smi_gen_line *l, smi_gen_random *r);
    void (*spoil)(smi_gen_line *l, smi_gen_random *r, sm_buf *out, size_t start);
    const char *reason; /* NULL: the line is kept (or blank) */
} damages[] = {
    {"null_value", null_value, NULL, NULL},
    {"missing_key", missing_key, NULL, NULL},
    {"missing_source", missing_source, NULL, NULL},
    {"null_source", null_source, NULL, NULL},
    {"empty_object", empty_object, NULL, NULL},
    {"unknown_key", unknown_key, NULL, NULL},
    {"unknown_source_key", unknown_source_key, NULL, NULL},
    {"deep_unknown", deep_unknown, NULL, NULL},
    {"number_as_string", number_as_string, NULL, NULL},
    {"odd_number", odd_number, NULL, NULL},
    {"largest_number", largest_number, NULL, NULL},
    {"number_for_string", number_for_string, NULL, NULL},
    {"boolean_for_string", boolean_for_string, NULL, NULL},
    {"escaped", escaped, NULL, NULL},
    {"escaped_key", escaped_key, NULL, NULL},
    {"non_ascii", non_ascii, NULL, NULL},
    {"surrogate_pair", surrogate_pair, NULL, NULL},
    {"nul_escape", nul_escape, NULL, NULL},
    {"empty_string", empty_string, NULL, NULL},
    {"repeated_key", repeated_key, NULL, NULL},
    {"repeated_source", repeated_source, NULL, NULL},
    {"other_order", other_order, NULL, NULL},
    {"spaced", spaced, NULL, NULL},
    {"crlf", crlf, NULL, NULL},
    {"blank", blank, NULL, NULL},
    {"cut", NULL, cut, "syntax"},
    {"no_json", no_json, NULL, "syntax"},
    {"bad_token", bad_token, NULL, "syntax"},
    {"trailing_comma", trailing_comma, NULL, "syntax"},
    {"comment", comment, NULL, "syntax"},
    {"control_byte", NULL, control_byte, "syntax"},
    {"invalid_utf8", NULL, invalid_utf8, "invalid_utf8"},
    {"invalid_utf8_and_syntax", NULL, invalid_utf8_and_syntax, "invalid_utf8"},
    {"lone_surrogate", lone_surrogate, NULL, "lone_surrogate"},
    {"lone_surrogate_key", lone_surrogate_key, NULL, "lone_surrogate"},
    {"too_deep", too_deep, NULL, "too_deep"},
    {"not_object", not_object, NULL, "not_object"},
    {"out_of_range", out_of_range, NULL, "out_of_range"},
    {"no_integer", no_integer, NULL, "type_mismatch"},
    {"no_string", no_string, NULL, "type_mismatch"},
    {"no_object_source", no_object_source, NULL, "type_mismatch"},
    {"two_columns", two_columns, NULL, "out_of_range"},
};

static void make_plain(smi_gen_line *l)
{
    for (int i = 0; i < SMI_GEN_COLUMNS; i++) {
        l->token[i] = (sm_str){0};
        l->want[i].is_null = false;
    }
    l->missing = 0;
    l->order = 0;
    l->want[SMI_GEN_MAC].text = (sm_str){l->mac, 12};
}

void smi_gen_damage(smi_gen_line *l, smi_gen_random *r)
{
    make_plain(l);
    const struct damage *d = &damages[smi_gen_below(r, SM_COUNT(damages))];
    l->damage = d->name;
    l->verdict = d->reason ? SMI_GEN_REFUSED : SMI_GEN_KEPT;
    l->reason = d->reason;
    SM_ASSERT(d->prepare || d->spoil);
    if (d->prepare) {
        d->prepare(l, r);
    }
}

void smi_gen_damage_too_long(smi_gen_line *l)
{
    l->damage = "too_long";
    l->verdict = SMI_GEN_REFUSED;
    l->reason = "too_long";
}

void smi_gen_spoil(smi_gen_line *l, smi_gen_random *r, sm_buf *out, size_t start)
{
    SM_ASSERT(start <= out->len);
    if (l->reason && strcmp(l->reason, "too_long") == 0) {
        static const char nothing[4096] = "";
        while (out->len - start <
               GEN_TOO_LONG_BYTES) { /* NUL bytes: no JSON, but length is first */
            sm_buf_text(out, (sm_str){nothing, sizeof(nothing)});
        }
        return;
    }
    for (int i = 0; i < SM_COUNT(damages); i++) {
        if (damages[i].spoil && strcmp(damages[i].name, l->damage) == 0) {
            damages[i].spoil(l, r, out, start);
        }
    }
}

/* ---- violations: right, but not what the contracts of the shipped pipeline want -------------- */

static void no_id(smi_gen_line *l, smi_gen_random *r)
{
    l->token[SMI_GEN_ID] = SM_STR("null");
    l->want[SMI_GEN_ID].is_null = true;
}
static void negative_score(smi_gen_line *l, smi_gen_random *r)
{
    l->want[SMI_GEN_SCORE].number = -1 - (int64_t)smi_gen_below(r, 1000);
}
static void negative_seconds(smi_gen_line *l, smi_gen_random *r)
{
    l->want[SMI_GEN_DURATION].number = -1 - (int64_t)smi_gen_below(r, 86400);
}
static void more_than_a_day(smi_gen_line *l, smi_gen_random *r)
{
    l->want[SMI_GEN_DURATION].number = 86401 + (int64_t)smi_gen_below(r, 86400);
}
static void odd_contract(smi_gen_line *l, smi_gen_random *r)
{
    const sm_str c = l->want[SMI_GEN_CONTRACT].text;
    l->want[SMI_GEN_CONTRACT].text = smi_gen_text(l, "x-%.*s", (int)c.len, c.data);
}

static const struct violation {
    const char *name;
    void (*prepare)(smi_gen_line *l, smi_gen_random *r);
} violations[] = {
    {"no_id", no_id},
    {"negative_score", negative_score},
    {"negative_seconds", negative_seconds},
    {"more_than_a_day", more_than_a_day},
    {"odd_contract", odd_contract},
};

void smi_gen_violate(smi_gen_line *l, smi_gen_random *r)
{
    const struct violation *v = &violations[smi_gen_below(r, SM_COUNT(violations))];
    make_plain(l);
    l->damage = v->name;
    v->prepare(l, r);
}

void smi_gen_repeat_id(smi_gen_line *l)
{
    make_plain(l);
    l->damage = "repeated_id";
    l->want[SMI_GEN_ID].text = SM_STR("AX_again");
}
