/* SPDX-License-Identifier: Apache-2.0
 *
 * format/json/json_unknown.c: counts the unknown keys of a morsel, those that no column takes, so
 * that a change of the source is noticed.
 *
 * Calls    reset for each morsel; line for each line; add for each key that is found; settle when
 *          an outermost object was read; then keep or first if the line is kept.
 * Method   A key is noted as (object, token), which costs a few stores. When an outermost object
 *          was read, the keys are dropped that stand in an object which a later value of the same
 *          key replaced. Only if the line is kept are its keys looked up and counted, each path
 *          once for a line.
 * Limits   The first 1,000 paths of a morsel, in the order of the input; the first 4,096 unknown
 *          keys of a line; the first 1,024 bytes of a key. So a hostile file costs bounded memory.
 * Callers  json_row.c and json_shape.c note keys; json.c does the rest. */
#include "format/json/json_int.h"

#include <stdlib.h>

#define MAX_PATHS     1000
#define MAX_NOTES     4096
#define MAX_KEY_BYTES 1024
/* 12 bytes of escapes make at least one byte of text. */
#define ESCAPED_BYTES (12 * MAX_KEY_BYTES)
#define TABLE_SIZE    2048

_Static_assert((TABLE_SIZE & (TABLE_SIZE - 1)) == 0, "places in the table are masked");
_Static_assert(TABLE_SIZE > MAX_PATHS && MAX_PATHS < INT16_MAX, "the table never fills up");

/* A path that was counted. */
typedef struct path {
    const smi_json_node *object;
    sm_str key;
    int64_t last_line; /* the line that counted it last */
} path;

struct smi_json_unknown {
    sm_arena *own;   /* this struct's */
    sm_arena *texts; /* the paths' texts; emptied for each morsel */
    int64_t n_lines; /* kept lines of the morsel */
    int32_t n_notes;
    int32_t n_paths;
    uint8_t unescaped[ESCAPED_BYTES + 12];
    smi_json_note notes[MAX_NOTES];
    path paths[MAX_PATHS];
    sm_unknown_key counts[MAX_PATHS];
    int16_t table[TABLE_SIZE]; /* index + 1 of a path; 0: empty */
};

smi_json_unknown *smi_json_unknown_new(sm_budget *budget)
{
    sm_arena *own = sm_arena_new(budget);
    smi_json_unknown *u = SM_NEW(own, smi_json_unknown);
    u->own = own;
    u->texts = sm_arena_new(budget);
    return u;
}

void smi_json_unknown_free(smi_json_unknown *u)
{
    if (u) {
        sm_arena_free(u->texts);
        sm_arena_free(u->own);
    }
}

void smi_json_unknown_reset(smi_json_unknown *u)
{
    if (u->n_paths > 0) {
        memset(u->table, 0, sizeof(u->table));
        sm_arena_reset(u->texts);
    }
    u->n_paths = 0;
    u->n_notes = 0;
    u->n_lines = 0;
}

void smi_json_unknown_line(smi_json_unknown *u)
{
    u->n_notes = 0;
}

int32_t smi_json_unknown_mark(const smi_json_unknown *u)
{
    return u->n_notes;
}

void smi_json_unknown_add(smi_json_unknown *u, const smi_json_node *object, sm_json_token key)
{
    SM_ASSERT(object->id == SM_TYPE_STRUCT && object->is_whole);
    if (u->n_notes < MAX_NOTES) {
        u->notes[u->n_notes++] =
            (smi_json_note){.object = object, .seen = object->seen_open, .key = key};
    }
}

/* Is object `seen` of node n the one that counts, and no later value of the same key? */
static bool is_current(const smi_json_node *n, uint64_t seen)
{
    while (n->seen_open == seen) {
        if (!n->parent) {
            return true;
        }
        if (n->slot.token.kind != SM_JSON_IS_OBJECT) {
            return false;
        }
        seen = n->slot.seen;
        n = n->parent;
    }
    return false;
}

void smi_json_unknown_settle(smi_json_unknown *u, int32_t mark)
{
    int32_t n_left = mark;
    SM_ASSERT(mark >= 0 && mark <= u->n_notes);
    for (int32_t i = mark; i < u->n_notes; i++) {
        if (is_current(u->notes[i].object, u->notes[i].seen)) {
            u->notes[n_left++] = u->notes[i];
        }
    }
    u->n_notes = n_left;
}

const smi_json_note *smi_json_unknown_notes(const smi_json_unknown *u, int32_t *n)
{
    *n = u->n_notes;
    return u->notes;
}

/* Where the value behind a key begins: no fault is between them, and no LF. */
static const uint8_t *value_at(sm_json_token key)
{
    const uint8_t *p = key.at + key.len + 1;
    SM_ASSERT(key.kind == SM_JSON_IS_STRING && p[-1] == '"');
    while (*p == ':' || sm_json_is_space(*p)) {
        p++;
    }
    return p;
}

sm_str smi_json_unknown_value(sm_json_token key)
{
    sm_json_scan scan = {.start = key.at, .end = rawmemchr(key.at, '\n')};
    sm_json_token value;
    const uint8_t *p = value_at(key);
    const uint8_t *end = sm_json_scan_value(&scan, p, &value);
    SM_ASSERT(end && end > p);
    return (sm_str){(const char *)p, (size_t)(end - p)};
}

/* How much of an escaped key to unescape to get MAX_KEY_BYTES of text. Ends between escapes. */
static size_t escaped_head(sm_json_token key)
{
    size_t at = 0;
    while (at < key.len && at < ESCAPED_BYTES) {
        const bool is_pair = at + 7 < key.len && key.at[at] == '\\' && key.at[at + 1] == 'u' &&
                             (key.at[at + 2] | 0x20) == 'd' && key.at[at + 3] >= '8';
        at += key.at[at] != '\\' ? 1 : key.at[at + 1] != 'u' ? 2 : is_pair ? 12 : 6;
    }
    SM_ASSERT(at <= key.len && at < ESCAPED_BYTES + 12); /* fits u->unescaped */
    return at;
}

/* The key's text: unescaped, and cut to MAX_KEY_BYTES; good until the next call. */
static sm_str key_text(smi_json_unknown *u, sm_json_token key)
{
    sm_str text = {(const char *)key.at, key.len};
    if (key.is_odd) {
        const size_t len = sm_json_unescape(key.at, escaped_head(key), u->unescaped);
        text = (sm_str){(const char *)u->unescaped, len};
    }
    if (text.len > MAX_KEY_BYTES) {
        text.len = MAX_KEY_BYTES;
        while (text.len > 0 && ((uint8_t)text.data[text.len] & 0xc0) == 0x80) {
            text.len--; /* do not cut a character */
        }
    }
    return text;
}

/* The index of a key's path, added if it is new; −1 where there are too many. */
static int32_t find_path(smi_json_unknown *u, const smi_json_note *n)
{
    const sm_str key = key_text(u, n->key);
    uint32_t at = (uint32_t)sm_mix64(sm_hash64(key.data, key.len) ^ (uintptr_t)n->object);
    for (at &= TABLE_SIZE - 1; u->table[at] != 0; at = (at + 1) & (TABLE_SIZE - 1)) {
        const int32_t i = u->table[at] - 1;
        if (u->paths[i].object == n->object && sm_str_eq(u->paths[i].key, key)) {
            return i;
        }
    }
    if (u->n_paths == MAX_PATHS) {
        return -1;
    }
    const int32_t i = u->n_paths++;
    const sm_str parent = n->object->path;
    const size_t key_off = parent.len + (parent.len > 0);
    char *text = sm_arena_alloc(u->texts, key_off + key.len + 1); /* zeroed; a key may have NULs */
    const sm_str whole = {text, key_off + key.len};
    if (parent.len > 0) {
        memcpy(text, parent.data, parent.len);
        text[parent.len] = '.';
    }
    if (key.len > 0) {
        memcpy(text + key_off, key.data, key.len);
    }
    u->paths[i] = (path){
        .object = n->object,
        .key = {text + key_off, key.len},
        .last_line = -1,
    };
    u->counts[i] = (sm_unknown_key){.path = whole};
    u->table[at] = (int16_t)(i + 1);
    return i;
}

static int by_place(const void *a, const void *b)
{
    const smi_json_note *left = a, *right = b;
    return (left->key.at > right->key.at) - (left->key.at < right->key.at);
}

static void sort_notes(smi_json_unknown *u)
{
    bool is_sorted = true; /* but keys inside lists were noted after all others */
    for (int32_t i = 1; i < u->n_notes && is_sorted; i++) {
        is_sorted = u->notes[i - 1].key.at < u->notes[i].key.at;
    }
    if (!is_sorted) {
        qsort(u->notes, (size_t)u->n_notes, sizeof(u->notes[0]), by_place);
    }
    for (int32_t i = 1; i < u->n_notes; i++) { /* a key is noted once, however often it is read */
        SM_ASSERT(u->notes[i - 1].key.at < u->notes[i].key.at);
    }
}

bool smi_json_unknown_keep(smi_json_unknown *u)
{
    sort_notes(u);
    for (int32_t i = 0; i < u->n_notes; i++) {
        const int32_t p = find_path(u, &u->notes[i]);
        if (p >= 0 && u->paths[p].last_line != u->n_lines) {
            SM_ASSERT(u->paths[p].last_line < u->n_lines && u->counts[p].lines <= u->n_lines);
            u->paths[p].last_line = u->n_lines;
            u->counts[p].lines++;
        }
        if (p >= 0) {
            u->counts[p].kinds |= smi_json_kind(value_at(u->notes[i].key));
        }
    }
    u->n_lines++;
    return u->n_notes > 0;
}

/* ---- the first key, where unknown keys are errors -------------------------------------------- */

bool smi_json_holds_nothing(const uint8_t *value, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!memchr("{}[], \t\r", value[i], 8)) {
            return false;
        }
    }
    return true;
}

bool smi_json_unknown_first(smi_json_unknown *u, const smi_json_node **object, sm_json_token *key)
{
    sort_notes(u);
    for (int32_t i = 0; i < u->n_notes; i++) {
        *object = u->notes[i].object;
        *key = u->notes[i].key;
        const sm_str value = smi_json_unknown_value(*key);
        if (i + 1 == MAX_NOTES || /* the line may have more than were noted */
            !smi_json_holds_nothing((const uint8_t *)value.data, value.len)) {
            return true;
        }
    }
    return false;
}

sm_str smi_json_unknown_path(smi_json_unknown *u, const smi_json_node *object, sm_json_token key,
                             sm_arena *a)
{
    const sm_str text = key_text(u, key);
    return object->path.len == 0
               ? sm_arena_str(a, text)
               : sm_arena_strf(a, "%.*s.%.*s", SM_STR_ARG(object->path), SM_STR_ARG(text));
}

const sm_unknown_key *smi_json_unknown_counts(const smi_json_unknown *u, int64_t *n)
{
    *n = u->n_paths;
    return u->counts;
}
