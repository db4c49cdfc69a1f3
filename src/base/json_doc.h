/* SPDX-License-Identifier: Apache-2.0
 *
 * base/json_doc.h: a JSON document as a tree: a Delta commit's action, a manifest, an answer of a
 * server. Rows come by json_scan.h, without a tree.
 * Threads: one at a time for an arena; a tree may be read by any thread. */
#ifndef SM_BASE_JSON_DOC_H
#define SM_BASE_JSON_DOC_H

#include "base/arena.h"

typedef enum sm_json_type {
    SM_JSON_NULL,
    SM_JSON_BOOL,
    SM_JSON_NUMBER,
    SM_JSON_STRING,
    SM_JSON_ARRAY,
    SM_JSON_OBJECT,
} sm_json_type;

typedef struct sm_json sm_json;
struct sm_json {
    sm_json_type type;
    bool b;
    sm_str text; /* STRING: unescaped; NUMBER: its token; ARRAY, OBJECT: their source bytes */
    sm_str key;  /* of a member of an object: unescaped */
    const sm_json *child; /* ARRAY, OBJECT: the first; in source order, repeated keys included */
    const sm_json *next;
    int64_t n_children;
};

/**
 * Reads one document with nothing but white space around it.
 *
 * Owner     the tree lives in the arena, and holds nothing of `text`
 * Errors    SM_SYNTAX, also for what is no UTF-8; SM_LIMIT deeper than 128 or over 2 GiB; with line
 *           and byte of the first offending byte, at the end of the text one after its last
 */
sm_status sm_json_parse(sm_str text, sm_arena *a, const sm_json **out, sm_error *e) SM_MUST_USE;

/** The member of that key (the last one where repeated), or NULL. `o` may be NULL. */
const sm_json *sm_json_get(const sm_json *o, const char *key);
/** The number as an integer, whatever its spelling (1e3); false where it is none or too large, or
 * `v` is NULL or no number. */
bool sm_json_i64(const sm_json *v, int64_t *out);
/** A string's text, or "" where v is NULL or no string. */
sm_str sm_json_text(const sm_json *v);

#endif
