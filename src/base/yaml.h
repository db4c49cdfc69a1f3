/* SPDX-License-Identifier: Apache-2.0
 *
 * base/yaml.h: a YAML document as a tree in which each node knows its place, and mappings that are
 * read by the keys that they may have: pipeline files, contracts.
 *
 * All values are text: what YAML would make of 2022-04, no or 1e3 plays no part; who wants a number
 * or a flag asks for it. There are no aliases: where one is used, it is an error at its place.
 * Threads: one at a time for an arena; a tree may be read by any thread. */
#ifndef SM_BASE_YAML_H
#define SM_BASE_YAML_H

#include "base/arena.h"

/* Line and byte of the file, from 1; {0}: none. That of a mapping or list is that of its first
 * scalar. */
typedef struct sm_yaml_place {
    int64_t line, byte;
} sm_yaml_place;

typedef enum sm_yaml_type {
    SM_YAML_NONE,  /* nothing, as the root of a document that has no content */
    SM_YAML_ALIAS, /* *name; nothing takes it */
    SM_YAML_TEXT,
    SM_YAML_LIST,
    SM_YAML_MAP,
} sm_yaml_type;

typedef struct sm_yaml sm_yaml;
struct sm_yaml {
    sm_yaml_type type;
    bool is_plain; /* TEXT: written without quotes, so null, 1 and true may be meant as such.
                    * A key without a value has an empty one, without a place */
    sm_str text;   /* TEXT; ends with a NUL */
    sm_yaml_place at;
    const sm_yaml *key;   /* of a member of a map */
    const sm_yaml *child; /* LIST, MAP: the first, in the order of the file */
    const sm_yaml *next;  /* the next child of the same node */
    int32_t n_children;
};

typedef struct sm_yaml_doc {
    sm_str name;     /* of the file, for messages; ends with a NUL */
    sm_arena *arena; /* of the tree, and of texts for messages */
    const sm_yaml *root;
} sm_yaml_doc;

/* ---- the document ---------------------------------------------------------------------------- */

/**
 * Reads a text that is one document.
 *
 * Shape     d->name and d->arena are set; `what` names the document in messages: "the pipeline"
 * Owner     the tree lives in d->arena and does not borrow `text`
 * Errors    SM_SYNTAX with the first mistake and its place: not YAML, a key twice, a second
 *           document, bytes that are not UTF-8, nothing at all; SM_LIMIT deeper than 64
 */
sm_status sm_yaml_parse(sm_yaml_doc *d, sm_str text, const char *what, sm_error *e) SM_MUST_USE;
/** Adds a place in the document to an error; returns st. */
sm_status sm_yaml_at(const sm_yaml_doc *d, sm_yaml_place at, sm_status st, sm_error *e) SM_MUST_USE;

/* ---- single values --------------------------------------------------------------------------- */

/** The place of a node; none of NULL. */
static inline sm_yaml_place sm_yaml_place_of(const sm_yaml *n)
{
    return n ? n->at : (sm_yaml_place){0};
}
/** The text of a node (may be NULL). `what` names it in messages. SM_SYNTAX: it is none. */
sm_status sm_yaml_text(const sm_yaml_doc *d, const sm_yaml *n, const char *what, sm_str *out,
                       sm_error *e) SM_MUST_USE;
/** SM_SYNTAX unless the node is a SM_YAML_MAP or SM_YAML_LIST, as `type` says. `at`: the place for
 * the message. */
sm_status sm_yaml_want(const sm_yaml_doc *d, const sm_yaml *n, sm_yaml_place at, sm_yaml_type type,
                       const char *what, sm_error *e) SM_MUST_USE;
/**
 * SM_NAME: `word` is none of n names; with the nearest of them, or else all.
 *
 * Shape     `what` begins the message: "a task has no key", behind which the word stands. The names
 *           end with a NUL
 */
sm_status sm_yaml_fail_word(const sm_yaml_doc *d, sm_yaml_place at, const char *what, sm_str word,
                            const sm_str *names, int32_t n, sm_error *e) SM_MUST_USE;

/* ---- mappings -------------------------------------------------------------------------------- */

#define SM_YAML_KEYS 40 /* the most that a kind of mapping may have */

/* A mapping, read by the keys that it may have. */
typedef struct sm_yaml_fields {
    const char *const *keys; /* ended by NULL */
    const sm_yaml *values[SM_YAML_KEYS];
    sm_yaml_place places[SM_YAML_KEYS]; /* of the keys */
    bool has[SM_YAML_KEYS];
    sm_yaml_place at;
} sm_yaml_fields;

/**
 * Sorts the members of a mapping by `keys`, which end with NULL.
 *
 * Owner     keeps `keys` and the nodes
 * Errors    SM_SYNTAX: no mapping; SM_NAME at another key, with the nearest
 */
sm_status sm_yaml_fields_read(const sm_yaml_doc *d, const sm_yaml *map, const char *what,
                              const char *const *keys, sm_yaml_fields *f, sm_error *e) SM_MUST_USE;
/** The text of a key. Where it is missing, *out stays as it is or, with `must`, it is an error, as
 * is an empty text then. `what` names the mapping. */
sm_status sm_yaml_fields_text(const sm_yaml_doc *d, const sm_yaml_fields *f, int key,
                              const char *what, bool must, sm_str *out, sm_error *e) SM_MUST_USE;

#endif
