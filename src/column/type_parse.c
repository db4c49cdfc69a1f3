/* SPDX-License-Identifier: Apache-2.0
 *
 * column/type_parse.c: parses a type of SQL, with the names and aliases that DuckDB has.
 *
 *   type    := base ("[]" | ARRAY)*
 *   base    := name ["(" number ["," number] ")"] | STRUCT "(" field ("," field)* ")"
 *              | MAP "(" type "," type ")"
 *   field   := (name | "quoted name") type
 *   name    := one word, or the words of one of SQL's long names ("TIMESTAMP WITH TIME ZONE")
 *
 * Method   Recursive descent.
 * Limits   A type that is nested more than 64 deep is refused; "[]" counts as a level. So neither
 *          this parser nor any other function that recurses over the type can run out of stack. */
#include "column/type.h"

#include "base/map.h"
#include "base/quote.h"
#include "base/text.h"
#include "column/type.h"

#define MAX_DEPTH  64
#define MAX_FIELDS 100000

typedef struct parser {
    sm_str text;
    size_t at;
    sm_arena *arena;
    sm_error *e;
} parser;

typedef struct alias {
    const char *name; /* lower case */
    const sm_type *type;
} alias;

static const alias aliases[] = {
    {"boolean", &sm_type_bool},
    {"bool", &sm_type_bool},
    {"logical", &sm_type_bool},
    {"tinyint", &sm_type_i8},
    {"int1", &sm_type_i8},
    {"smallint", &sm_type_i16},
    {"int2", &sm_type_i16},
    {"int16", &sm_type_i16},
    {"short", &sm_type_i16},
    {"integer", &sm_type_i32},
    {"int", &sm_type_i32},
    {"int4", &sm_type_i32},
    {"int32", &sm_type_i32},
    {"signed", &sm_type_i32},
    {"integral", &sm_type_i32},
    {"bigint", &sm_type_i64},
    {"int8", &sm_type_i64},
    {"int64", &sm_type_i64},
    {"long", &sm_type_i64},
    {"oid", &sm_type_i64},
    {"utinyint", &sm_type_u8},
    {"uint8", &sm_type_u8},
    {"usmallint", &sm_type_u16},
    {"uint16", &sm_type_u16},
    {"uinteger", &sm_type_u32},
    {"uint32", &sm_type_u32},
    {"ubigint", &sm_type_u64},
    {"uint64", &sm_type_u64},
    {"float", &sm_type_f32},
    {"float4", &sm_type_f32},
    {"real", &sm_type_f32},
    {"double", &sm_type_f64},
    {"float8", &sm_type_f64},
    {"varchar", &sm_type_string},
    {"text", &sm_type_string},
    {"string", &sm_type_string},
    {"char", &sm_type_string},
    {"character", &sm_type_string},
    {"bpchar", &sm_type_string},
    {"nvarchar", &sm_type_string},
    {"json", &sm_type_json},
    {"blob", &sm_type_binary},
    {"bytea", &sm_type_binary},
    {"binary", &sm_type_binary},
    {"varbinary", &sm_type_binary},
    {"date", &sm_type_date},
    {"time", &sm_type_time},
    {"timestamp", &sm_type_timestamp_ntz},
    {"datetime", &sm_type_timestamp_ntz},
    {"timestamp_us", &sm_type_timestamp_ntz},
    {"timestamptz", &sm_type_timestamp},
    {"null", &sm_type_null},
};

/* Names that parse_base() knows by itself. They are here for "Did you mean ...?". */
static const char *const other_names[] = {"decimal", "numeric", "dec", "struct", "map", "row"};

/* ---- tokens ---------------------------------------------------------------------------------- */

static void skip_space(parser *p)
{
    while (p->at < p->text.len && strchr(" \t\r\n\f\v", p->text.data[p->at]) &&
           p->text.data[p->at] != 0) {
        p->at++;
    }
}

static bool is_word_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           ((uint8_t)c & 0x80);
}

static sm_str peek_word(parser *p)
{
    skip_space(p);
    size_t end = p->at;
    while (end < p->text.len && is_word_byte(p->text.data[end])) {
        end++;
    }
    return (sm_str){p->text.data + p->at, end - p->at};
}

static bool take_word(parser *p, const char *word)
{
    const sm_str next = peek_word(p);
    if (!sm_str_eq_nocase(next, sm_str_of(word))) {
        return false;
    }
    p->at += next.len;
    return true;
}

static bool take_char(parser *p, char c)
{
    skip_space(p);
    if (p->at >= p->text.len || p->text.data[p->at] != c) {
        return false;
    }
    p->at++;
    return true;
}

static sm_status fail_at(parser *p, size_t at, sm_status st, const char *what)
{
    if (at >= p->text.len) {
        sm_fail(p->e, st, "%s, got the end of the type", what);
    } else {
        const size_t left = p->text.len - at;
        sm_fail(p->e, st, "%s, got \"%.*s\"", what, (int)(left < 40 ? left : 40),
                p->text.data + at);
    }
    sm_error_place(p->e, "", 0, (int64_t)at + 1);
    return st;
}

static sm_status expect_char(parser *p, char c, const char *what)
{
    if (take_char(p, c)) {
        return SM_OK;
    }
    return fail_at(p, p->at, SM_SYNTAX, what);
}

/* Takes a number of at most 9 digits. Returns −1 if there is none. */
static int64_t take_number(parser *p)
{
    const sm_str word = peek_word(p);
    int64_t v = -1;
    if (word.len == 0 || word.len > 9 || !sm_parse_i64(word, &v)) {
        return -1;
    }
    p->at += word.len;
    return v;
}

/* ---- names ----------------------------------------------------------------------------------- */

static sm_status fail_name(parser *p, size_t at, sm_str word)
{
    sm_str names[SM_COUNT(aliases) + SM_COUNT(other_names)];
    int n = 0;
    for (int i = 0; i < SM_COUNT(aliases); i++) {
        names[n++] = sm_str_of(aliases[i].name);
    }
    for (int i = 0; i < SM_COUNT(other_names); i++) {
        names[n++] = sm_str_of(other_names[i]);
    }
    sm_fail(p->e, SM_SYNTAX, "there is no type \"%.*s\"", (int)(word.len < 60 ? word.len : 60),
            word.data);
    sm_error_place(p->e, "", 0, (int64_t)at + 1);
    /* sm_nearest_name() compares with case, and the names above are in lower case. */
    char lower[32];
    size_t len = 0;
    for (; len < word.len && len < sizeof(lower); len++) {
        const char c = word.data[len];
        lower[len] = (char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
    }
    const char *nearest = sm_nearest_name((sm_str){lower, len}, names, n);
    if (nearest) {
        sm_error_todo(p->e, "Did you mean %s?", nearest);
    }
    return SM_SYNTAX;
}

static sm_status parse_field_name(parser *p, sm_str *out)
{
    skip_space(p);
    const size_t start = p->at;
    if (start >= p->text.len || p->text.data[start] != '"') {
        *out = peek_word(p);
        p->at += out->len;
        return out->len > 0 ? SM_OK : fail_at(p, start, SM_SYNTAX, "expected the name of a field");
    }
    const sm_str rest = {p->text.data + start, p->text.len - start};
    char *name = sm_arena_alloc(p->arena, rest.len);
    size_t len = 0;
    const size_t used = sm_quoted_read(rest, name, &len);
    if (used == 0) {
        return fail_at(p, start, SM_SYNTAX, "expected a closing '\"'");
    }
    p->at += used;
    *out = (sm_str){name, len};
    return SM_OK;
}

/* ---- types ----------------------------------------------------------------------------------- */

static sm_status parse_type(parser *p, int depth, const sm_type **out);

static sm_status parse_struct(parser *p, int depth, const sm_type **out)
{
    sm_map *names = sm_map_new(p->arena);
    sm_field *fields = NULL;
    int64_t n = 0, cap = 0;

    SM_TRY(expect_char(p, '(', "expected '(' after STRUCT"));
    do {
        skip_space(p);
        if (n > 0 && p->at < p->text.len && p->text.data[p->at] == ')') {
            break; /* a comma before the bracket, as DuckDB allows */
        }
        const size_t start = p->at;
        sm_field f = {.is_nullable = true};
        sm_str name = {0};
        SM_TRY(parse_field_name(p, &name));
        f.name = sm_arena_str(p->arena, name);
        void **seen = sm_map_at(names, name);
        if (*seen) {
            return fail_at(p, start, SM_SYNTAX, "expected a name that no other field has");
        }
        *seen = names;
        SM_TRY(parse_type(p, depth + 1, &f.type));
        if (n == MAX_FIELDS) {
            return fail_at(p, start, SM_LIMIT, "expected at most 100,000 fields");
        }
        fields = sm_arena_grow(p->arena, fields, n, &cap, sizeof(sm_field));
        fields[n++] = f;
    } while (take_char(p, ','));
    SM_TRY(expect_char(p, ')', "expected ',' or ')'"));
    *out = sm_type_struct(p->arena, fields, (int32_t)n);
    return SM_OK;
}

static sm_status parse_map(parser *p, int depth, const sm_type **out)
{
    sm_field key = {.name = SM_STR("key")};
    sm_field value = {.name = SM_STR("value"), .is_nullable = true};

    SM_TRY(expect_char(p, '(', "expected '(' after MAP"));
    SM_TRY(parse_type(p, depth + 1, &key.type));
    SM_TRY(expect_char(p, ',', "expected ',' between the types of key and value"));
    SM_TRY(parse_type(p, depth + 1, &value.type));
    SM_TRY(expect_char(p, ')', "expected ')'"));
    *out = sm_type_map(p->arena, key, value);
    return SM_OK;
}

static sm_status parse_decimal(parser *p, const sm_type **out)
{
    int64_t precision = 18, scale = 3; /* DuckDB's defaults */
    skip_space(p);
    const size_t start = p->at;
    if (take_char(p, '(')) {
        precision = take_number(p);
        scale = 0;
        if (take_char(p, ',')) {
            scale = take_number(p);
        }
        if (precision < 1 || precision > 38) {
            return fail_at(p, start, SM_SYNTAX, "expected a DECIMAL precision from 1 to 38");
        }
        if (scale < 0 || scale > precision) {
            return fail_at(p, start, SM_SYNTAX, "expected a DECIMAL scale from 0 to its precision");
        }
        SM_TRY(expect_char(p, ')', "expected ')'"));
    }
    *out = sm_type_decimal(p->arena, (int)precision, (int)scale);
    return SM_OK;
}

/* Takes "(n)" after VARCHAR, FLOAT or TIMESTAMP. *n is −1 if it is absent. */
static sm_status parse_length(parser *p, int64_t *n)
{
    *n = -1;
    if (take_char(p, '(')) {
        *n = take_number(p);
        if (*n < 0) {
            return fail_at(p, p->at, SM_SYNTAX, "expected a number");
        }
        return expect_char(p, ')', "expected ')'");
    }
    return SM_OK;
}

/* Takes what may follow a name: a length, or the other words of a long name. */
static sm_status parse_rest_of_name(parser *p, sm_str word, const sm_type **type)
{
    int64_t n = -1;
    if ((*type)->id == SM_TYPE_STRING) {
        if (sm_str_eq_nocase(word, SM_STR("character")) || sm_str_eq_nocase(word, SM_STR("char"))) {
            take_word(p, "varying");
        }
        return parse_length(p, &n); /* the length is ignored, as in DuckDB */
    }
    if (sm_str_eq_nocase(word, SM_STR("float"))) {
        skip_space(p);
        const size_t start = p->at;
        SM_TRY(parse_length(p, &n));
        if (n == 0 || n > 53) {
            return fail_at(p, start, SM_SYNTAX, "expected a FLOAT precision from 1 to 53");
        }
        *type = n > 24 ? &sm_type_f64 : &sm_type_f32;
        return SM_OK;
    }
    if (sm_str_eq_nocase(word, SM_STR("double"))) {
        take_word(p, "precision");
        return SM_OK;
    }
    const bool is_stamp = sm_str_eq_nocase(word, SM_STR("timestamp"));
    if (!is_stamp && !sm_str_eq_nocase(word, SM_STR("time"))) {
        return SM_OK;
    }
    skip_space(p);
    const size_t start = p->at;
    SM_TRY(parse_length(p, &n));
    if (n >= 0 && n != 6) {
        return fail_at(p, start, SM_UNSUPPORTED, "expected microseconds, (6)");
    }
    const size_t zone = p->at;
    const bool with = take_word(p, "with");
    if (with || take_word(p, "without")) {
        if (!take_word(p, "time") || !take_word(p, "zone")) {
            return fail_at(p, p->at, SM_SYNTAX, "expected TIME ZONE");
        }
        if (with && !is_stamp) {
            return fail_at(p, zone, SM_UNSUPPORTED, "expected TIME without a zone");
        }
    }
    *type = with ? &sm_type_timestamp : *type;
    return SM_OK;
}

static sm_status parse_base(parser *p, int depth, const sm_type **out)
{
    skip_space(p);
    const size_t start = p->at;
    sm_str word;
    if (p->at < p->text.len && p->text.data[p->at] == '"') {
        SM_TRY(parse_field_name(p, &word)); /* DuckDB prints the type of NULL as "NULL" */
    } else {
        word = peek_word(p);
        p->at += word.len;
    }
    if (word.len == 0) {
        return fail_at(p, start, SM_SYNTAX, "expected a type");
    }
    if (sm_str_eq_nocase(word, SM_STR("struct")) || sm_str_eq_nocase(word, SM_STR("row"))) {
        return parse_struct(p, depth, out);
    }
    if (sm_str_eq_nocase(word, SM_STR("map"))) {
        return parse_map(p, depth, out);
    }
    if (sm_str_eq_nocase(word, SM_STR("decimal")) || sm_str_eq_nocase(word, SM_STR("numeric")) ||
        sm_str_eq_nocase(word, SM_STR("dec"))) {
        return parse_decimal(p, out);
    }
    for (int i = 0; i < SM_COUNT(aliases); i++) {
        if (sm_str_eq_nocase(word, sm_str_of(aliases[i].name))) {
            *out = aliases[i].type;
            return parse_rest_of_name(p, word, out);
        }
    }
    return fail_name(p, start, word);
}

static sm_status parse_type(parser *p, int depth, const sm_type **out)
{
    int n_lists = 0;
    if (depth > MAX_DEPTH) {
        return fail_at(p, p->at, SM_LIMIT, "expected a type nested at most 64 deep");
    }
    SM_TRY(parse_base(p, depth, out));
    for (;;) {
        skip_space(p);
        const size_t start = p->at;
        if (take_char(p, '[')) {
            if (take_number(p) >= 0) {
                return fail_at(p, start, SM_UNSUPPORTED, "expected a list without a fixed length");
            }
            SM_TRY(expect_char(p, ']', "expected ']'"));
        } else if (!take_word(p, "array")) {
            return SM_OK;
        }
        if (depth + ++n_lists > MAX_DEPTH) {
            return fail_at(p, start, SM_LIMIT, "expected a type nested at most 64 deep");
        }
        *out = sm_type_list(
            p->arena, (sm_field){.name = SM_STR("element"), .type = *out, .is_nullable = true});
    }
}

/* The number of levels of a type. "[]" puts a level around a type that is parsed already, so the
 * depth of the recursion alone does not limit it. */
static int height(const sm_type *t)
{
    int most = 0;
    for (int32_t i = 0; i < t->n_fields; i++) {
        const int h = height(t->fields[i].type);
        most = h > most ? h : most;
    }
    return most + 1;
}

sm_status sm_type_parse(sm_str sql, sm_arena *a, const sm_type **out, sm_error *e)
{
    parser p = {.text = sql, .arena = a, .e = e};
    const sm_type *t = NULL;

    SM_TRY(parse_type(&p, 1, &t));
    skip_space(&p);
    if (p.at < sql.len) {
        return fail_at(&p, p.at, SM_SYNTAX, "expected the end of the type");
    }
    if (height(t) > MAX_DEPTH) {
        return fail_at(&p, 0, SM_LIMIT, "expected a type nested at most 64 deep");
    }
    *out = t;
    return SM_OK;
}
