/* SPDX-License-Identifier: Apache-2.0
 *
 * base/json_doc.c: builds the tree of a JSON document from the tokens of json_scan.c.
 *
 * Method   The text is copied into the arena and an LF is put behind it. So the scan needs no test
 *          for the end, and the tree does not depend on the caller's text. UTF-8 is checked over
 *          the whole text before the scan. If both checks fail, the error that comes first in the
 *          text is reported.
 * Place    An error's place is the line and byte of the first byte that no valid document could
 *          have there. If the text is cut, it is one behind the last byte. */
#include "base/json_doc.h"

#include "base/json_scan.h"
#include "base/text.h"

#define DOCUMENT_MAX_BYTES ((size_t)1 << 31)

typedef struct document {
    sm_json_scan scan;
    sm_arena *arena;
} document;

static sm_str token_text(document *d, const sm_json_token *t)
{
    if (t->kind != SM_JSON_IS_STRING || !t->is_odd) {
        return (sm_str){(const char *)t->at, t->len};
    }
    uint8_t *copy = sm_arena_alloc(d->arena, t->len);
    return (sm_str){(const char *)copy, sm_json_unescape(t->at, t->len, copy)};
}

_Static_assert((int)SM_JSON_IS_ARRAY > (int)SM_JSON_IS_STRING &&
                   (int)SM_JSON_IS_OBJECT > (int)SM_JSON_IS_STRING,
               "set_scalar's table ends with strings");

static void set_scalar(document *d, const sm_json_token *t, sm_json *out)
{
    static const sm_json_type types[] = {
        [SM_JSON_IS_NULL] = SM_JSON_NULL,     [SM_JSON_IS_FALSE] = SM_JSON_BOOL,
        [SM_JSON_IS_TRUE] = SM_JSON_BOOL,     [SM_JSON_IS_NUMBER] = SM_JSON_NUMBER,
        [SM_JSON_IS_STRING] = SM_JSON_STRING,
    };
    SM_ASSERT(t->kind < SM_COUNT(types));
    out->type = types[t->kind];
    out->b = t->kind == SM_JSON_IS_TRUE;
    if (out->type == SM_JSON_NUMBER || out->type == SM_JSON_STRING) {
        out->text = token_text(d, t);
    }
}

/* Reads a member's key, up to its value. */
static const uint8_t *read_key(document *d, const uint8_t *p, sm_json *out)
{
    sm_json_token key;
    if (*p != '"') {
        return sm_json_scan_unexpected(&d->scan, p, "a key in quotes");
    }
    p = sm_json_scan_string(&d->scan, p, &key);
    if (!p) {
        return NULL;
    }
    out->key = token_text(d, &key);
    return sm_json_scan_colon(&d->scan, p);
}

/* Reads a value into *out, of which only the key is set. SM_JSON_MAX_DEPTH ends the recursion. */
static const uint8_t *read_value(document *d, const uint8_t *p, sm_json *out)
{
    sm_json_scan *s = &d->scan;
    const uint8_t *start = p;
    const bool is_object = *p == '{';
    if (!is_object && *p != '[') {
        sm_json_token t;
        p = sm_json_scan_value(s, p, &t);
        if (p) {
            set_scalar(d, &t, out);
        }
        return p;
    }
    const char close = is_object ? '}' : ']';
    const sm_json **link = &out->child;
    p = sm_json_scan_open(s, p);
    bool more = p && *p != (uint8_t)close;
    while (p && more) {
        sm_json *child = SM_NEW(d->arena, sm_json);
        p = is_object ? read_key(d, p, child) : p;
        p = p ? read_value(d, p, child) : NULL;
        p = p ? sm_json_scan_next(s, p, close, &more) : NULL;
        *link = child;
        link = (const sm_json **)&child->next;
        out->n_children++;
    }
    if (!p) {
        return NULL;
    }
    s->depth--;
    out->type = is_object ? SM_JSON_OBJECT : SM_JSON_ARRAY;
    out->text = (sm_str){(const char *)start, (size_t)(p + 1 - start)};
    return p + 1;
}

static void place_error(sm_error *e, const uint8_t *text, size_t at)
{
    int64_t line = 1;
    size_t line_start = 0;
    for (size_t i = 0; i < at; i++) {
        if (text[i] == '\n') {
            line++;
            line_start = i + 1;
        }
    }
    sm_error_place(e, "", line, (int64_t)(at - line_start) + 1);
}

static sm_status fail_scan(document *d, size_t bad_utf8, sm_error *e)
{
    const sm_json_scan *s = &d->scan;
    const size_t n = (size_t)(s->end - s->start);
    const size_t at = s->fault != SM_JSON_NO_FAULT ? (size_t)(s->bad - s->start) : n;
    sm_status st;
    if (bad_utf8 < n && bad_utf8 <= at) {
        st = sm_fail(e, SM_SYNTAX, "byte 0x%02x begins no UTF-8 character", s->start[bad_utf8]);
    } else {
        char message[160];
        sm_json_scan_message(s, message, sizeof(message));
        st = sm_fail(e, sm_json_fault_status(s->fault), "%s", message);
    }
    if (e) {
        place_error(e, s->start, bad_utf8 < at ? bad_utf8 : at);
    }
    return st;
}

sm_status sm_json_parse(sm_str text, sm_arena *a, const sm_json **out, sm_error *e)
{
    if (text.len > DOCUMENT_MAX_BYTES) {
        return sm_fail(e, SM_LIMIT, "a JSON document of %zu bytes is over the limit of %zu",
                       text.len, DOCUMENT_MAX_BYTES);
    }
    uint8_t *copy = sm_arena_alloc(a, text.len + 1 + SM_PAD_BYTES);
    if (text.len > 0) {
        memcpy(copy, text.data, text.len);
    }
    copy[text.len] = '\n';
    document d = {.scan = sm_json_scan_of(copy, text.len), .arena = a};
    sm_json *root = SM_NEW(a, sm_json);
    const size_t bad_utf8 = sm_utf8_check(copy, text.len);
    const uint8_t *p = read_value(&d, sm_json_skip_space(&d.scan, copy), root);
    p = p ? sm_json_skip_space(&d.scan, p) : NULL;
    if (p && p != d.scan.end) {
        p = sm_json_scan_unexpected(&d.scan, p, "the end");
    }
    if (!p || bad_utf8 < text.len) {
        return fail_scan(&d, bad_utf8, e);
    }
    SM_ASSERT(d.scan.depth == 0 && d.scan.fault == SM_JSON_NO_FAULT);
    *out = root;
    return SM_OK;
}

const sm_json *sm_json_get(const sm_json *o, const char *key)
{
    const sm_json *found = NULL;
    const sm_str wanted = sm_str_of(key);
    if (!o || o->type != SM_JSON_OBJECT) {
        return NULL;
    }
    for (const sm_json *member = o->child; member; member = member->next) {
        found = sm_str_eq(member->key, wanted) ? member : found;
    }
    return found;
}

bool sm_json_i64(const sm_json *v, int64_t *out)
{
    __int128 exact = 0;
    bool is_integer = false;
    if (!v || v->type != SM_JSON_NUMBER ||
        !sm_json_exact((const uint8_t *)v->text.data, v->text.len, 0, &exact, &is_integer) ||
        exact < INT64_MIN || exact > INT64_MAX) {
        return false;
    }
    *out = (int64_t)exact;
    return true;
}

sm_str sm_json_text(const sm_json *v)
{
    return v && v->type == SM_JSON_STRING ? v->text : SM_STR("");
}
