/* SPDX-License-Identifier: Apache-2.0
 *
 * format/json/json_unknown.c: counting the keys that no column takes, so that drift of a source is
 * seen.
 *
 * Method   While a line is read, its unknown keys are noted as (object, token): a few stores. When
 *          its outermost object (or that of a list's element) has been read, those are forgotten
 *          that stood in an object which a later one of the same key replaced. Only when the line
 *          is kept are keys looked up and counted, each once a line.
 * Limits   The first 1,000 paths of a morsel, in input order; of a line its first 4,096 unknown
 *          keys; a key shows its first 1,024 bytes. So a hostile file costs bounded memory.
 * Callers  json_row.c; json.c resets it a morsel. */
#include "format/json/json_int.h"

#include <stdlib.h>

#define MAX_PATHS     1000
#define MAX_NOTES     4096
#define MAX_KEY_BYTES 1024
/* 12 bytes of escapes make at least one byte of text. */
#define ESCAPED_BYTES (12 * MAX_KEY_BYTES)
#define TABLE_SIZE    2048 /* over MAX_PATHS; a power of two */

typedef struct note {
    const smi_json_node *object;
    uint64_t seen; /* the object's, when it was read */
    sm_json_token key;
} note;

typedef struct path {
    const smi_json_node *object;
    sm_str key;
    int64_t last_line; /* that counted it */
} path;

struct smi_json_unknown {
    sm_arena *own;   /* where this stands */
    sm_arena *texts; /* of the paths; emptied a morsel */
    int64_t n_lines;
    int32_t n_notes;
    int32_t n_paths;
    uint8_t unescaped[ESCAPED_BYTES + 12];
    note notes[MAX_NOTES];
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
    if (u->n_notes < MAX_NOTES) {
        u->notes[u->n_notes++] = (note){.object = object, .seen = object->seen_open, .key = key};
    }
}

/* Is it the object that stands in the end? */
static bool is_winner(const smi_json_node *n, uint64_t seen)
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
    for (int32_t i = mark; i < u->n_notes; i++) {
        if (is_winner(u->notes[i].object, u->notes[i].seen)) {
            u->notes[n_left++] = u->notes[i];
        }
    }
    u->n_notes = n_left;
}

/* So much of an escaped key that MAX_KEY_BYTES of its text are in it, whole escapes. */
static size_t escaped_head(sm_json_token key)
{
    size_t at = 0;
    while (at < key.len && at < ESCAPED_BYTES) {
        const bool is_pair = at + 7 < key.len && key.at[at] == '\\' && key.at[at + 1] == 'u' &&
                             (key.at[at + 2] | 0x20) == 'd' && key.at[at + 3] >= '8';
        at += key.at[at] != '\\' ? 1 : key.at[at + 1] != 'u' ? 2 : is_pair ? 12 : 6;
    }
    return at;
}

/* The key's text: unescaped and cut; good until the next call. */
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
            text.len--; /* not within a character */
        }
    }
    return text;
}

/* The path's index, made where it is new; −1 where there are too many. */
static int32_t find_path(smi_json_unknown *u, const note *n)
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
    const uint8_t *left = ((const note *)a)->key.at, *right = ((const note *)b)->key.at;
    return (left > right) - (left < right);
}

static void sort_notes(smi_json_unknown *u)
{
    bool is_sorted = true; /* keys within lists come after all others */
    for (int32_t i = 1; i < u->n_notes && is_sorted; i++) {
        is_sorted = u->notes[i - 1].key.at < u->notes[i].key.at;
    }
    if (!is_sorted) {
        qsort(u->notes, (size_t)u->n_notes, sizeof(u->notes[0]), by_place);
    }
}

bool smi_json_unknown_keep(smi_json_unknown *u)
{
    sort_notes(u);
    for (int32_t i = 0; i < u->n_notes; i++) {
        const int32_t p = find_path(u, &u->notes[i]);
        if (p >= 0 && u->paths[p].last_line != u->n_lines) {
            u->paths[p].last_line = u->n_lines;
            u->counts[p].lines++;
        }
    }
    u->n_lines++;
    return u->n_notes > 0;
}

/* ---- the first one, where it is an error ----------------------------------------------------- */

bool smi_json_holds_nothing(const uint8_t *value, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!memchr("{}[], \t\r", value[i], 8)) {
            return false;
        }
    }
    return true;
}

/* The line was kept, so that nothing in it can be wrong. */
static bool has_value(sm_json_token key)
{
    sm_json_scan scan = {.start = key.at, .end = rawmemchr(key.at, '\n')};
    sm_json_token value;
    const uint8_t *p = sm_json_scan_colon(&scan, key.at + key.len + 1);
    const uint8_t *end = sm_json_scan_value(&scan, p, &value);
    return !smi_json_holds_nothing(p, (size_t)(end - p));
}

bool smi_json_unknown_first(smi_json_unknown *u, const smi_json_node **object, sm_json_token *key)
{
    sort_notes(u);
    for (int32_t i = 0; i < u->n_notes; i++) {
        *object = u->notes[i].object;
        *key = u->notes[i].key;
        if (i + 1 == MAX_NOTES || has_value(*key)) { /* further ones were not noted */
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
