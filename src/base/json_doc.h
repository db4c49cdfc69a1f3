/* SPDX-License-Identifier: Apache-2.0
 *
 * base/json_doc.h: a JSON document as a tree: an action of a Delta commit, a manifest, a server's
 * response. Lines of input do not become trees; they are read by json_scan.h.
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
    bool b;      /* BOOL */
    sm_str text; /* STRING: unescaped; NUMBER: its token; ARRAY, OBJECT: their source bytes */
    sm_str key;  /* the unescaped key, if this is a member of an object */
    const sm_json *child; /* ARRAY, OBJECT: the first; in source order, repeated keys included */
    const sm_json *next;  /* the next child of the same array or object */
    int64_t n_children;
};

/**
 * Reads a text that is one document, with white space around it or not.
 *
 * Owner     the tree lives in the arena and does not borrow `text`
 * Errors    SM_SYNTAX, also for bytes that are not UTF-8; SM_LIMIT if it is nested deeper than 128
 *           or larger than 2 GiB. The place is the line and byte of the first wrong byte, or of the
 *           one behind the last if the text is cut.
 */
sm_status sm_json_parse(sm_str text, sm_arena *a, const sm_json **out, sm_error *e) SM_MUST_USE;

/** The object's member of that key, the last one if it is repeated; NULL if there is none or `o` is
 * NULL or not an object. Cost: a walk over the members. */
const sm_json *sm_json_get(const sm_json *o, const char *key);
/** A number as an integer, in any spelling (1e3); false if it is not an integer or does not fit, or
 * `v` is NULL or not a number. */
bool sm_json_i64(const sm_json *v, int64_t *out);
/** A string's text; "" if v is NULL or not a string. */
sm_str sm_json_text(const sm_json *v);

#endif
