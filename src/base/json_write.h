/* SPDX-License-Identifier: Apache-2.0
 *
 * base/json_write.h: JSON, written value by value into a buffer: no blanks, keys in the order in
 * which they come, commas where they belong. The one way in which JSON is made.
 *
 *     sm_json_writer w = {.out = &text};
 *     sm_json_begin_object(&w);
 *     sm_json_set_text(&w, "name", name);
 *     sm_json_set_array(&w, "sizes");
 *     sm_json_put_i64(&w, 17);
 *     sm_json_end_array(&w);
 *     sm_json_end_object(&w);                          {"name":"a","sizes":[17]}
 *
 * The buffer has no bound and no budget, so nothing here can fail. That each value of an object has
 * a key, and that all ends as it began, is asserted. Keys are not looked up: none is to come twice.
 * Never checks what it is given as JSON already (raw).
 * Threads: one at a time for a writer. */
#ifndef SM_BASE_JSON_WRITE_H
#define SM_BASE_JSON_WRITE_H

#include "base/buf.h"
#include "base/status.h"

/* A text being written; `{.out = &buffer}` begins one behind what is in the buffer. It holds
 * nothing: there is no release. At depth 0 it is one value, or members of an object that somebody
 * else puts around them (sm_json_put_members). */
typedef struct sm_json_writer {
    sm_buf *out; /* borrowed */
    int32_t depth;
    bool needs_comma; /* before the next value or key: something stands before it */
    bool has_key;     /* its value comes next */
    uint64_t objects; /* of the outer 64 levels, the lowest bit the outermost: is it an object? */
} sm_json_writer;

/* ---- objects and arrays ---------------------------------------------------------------------- */

void sm_json_begin_object(sm_json_writer *w); /* keys with values come next */
void sm_json_end_object(sm_json_writer *w);   /* the innermost, which is one */
void sm_json_begin_array(sm_json_writer *w);  /* values come next */
void sm_json_end_array(sm_json_writer *w);    /* the innermost, which is one */
/** Ends a whole value with LF and begins the next: a line of NDJSON. */
void sm_json_end_line(sm_json_writer *w);

/* ---- a value: an array's, a key's, or all ---------------------------------------------------- */

/** The key of the next value. */
void sm_json_key(sm_json_writer *w, sm_str key);
/** A string, escaped as sm_buf_json_str does it. */
void sm_json_put_text(sm_json_writer *w, sm_str text);
void sm_json_put_i64(sm_json_writer *w, int64_t n);  /* all its digits */
void sm_json_put_u64(sm_json_writer *w, uint64_t n); /* the same, to 2^64 - 1 */
/** With so many decimals. A value that is no number (nan, inf) is null, for JSON has none. */
void sm_json_put_fixed(sm_json_writer *w, double v, int decimals);
void sm_json_put_bool(sm_json_writer *w, bool is_true); /* true or false */
void sm_json_put_null(sm_json_writer *w);               /* null */
/** A whole value that is JSON already. */
void sm_json_put_raw(sm_json_writer *w, sm_str json);
/**
 * Begins a value that the caller appends as JSON: for what is printed into buffers anyway.
 *
 * Returns   the writer's buffer. One whole value goes into it before the writer's next call.
 */
sm_buf *sm_json_value_out(sm_json_writer *w);
/** Members of this object that are JSON already, `"a":1,"b":2`; none where it is empty. */
void sm_json_put_members(sm_json_writer *w, sm_str json);

/* ---- a key and its value: what stands behind each ------------------------------------------- */

void sm_json_set_object(sm_json_writer *w, const char *key);             /* sm_json_begin_object */
void sm_json_set_array(sm_json_writer *w, const char *key);              /* sm_json_begin_array */
void sm_json_set_text(sm_json_writer *w, const char *key, sm_str text);  /* sm_json_put_text */
void sm_json_set_i64(sm_json_writer *w, const char *key, int64_t n);     /* sm_json_put_i64 */
void sm_json_set_u64(sm_json_writer *w, const char *key, uint64_t n);    /* sm_json_put_u64 */
void sm_json_set_bool(sm_json_writer *w, const char *key, bool is_true); /* sm_json_put_bool */
void sm_json_set_raw(sm_json_writer *w, const char *key, sm_str json);   /* sm_json_put_raw */

/* ---- a key, and a value that may be missing ------------------------------------------------- */

/** sm_json_put_text, or null where the text is empty. */
void sm_json_set_text_or_null(sm_json_writer *w, const char *key, sm_str text);
/** sm_json_put_i64, or null where the number is below 0. */
void sm_json_set_i64_or_null(sm_json_writer *w, const char *key, int64_t n);
/**
 * Sets "error" of the open object: what failed, for a machine to read.
 *
 * Shape     {"status","code","message","place","todo","within":[…]}: the status's name and number,
 *           the cause, the place as sm_error_format_place() prints it, the advice, and the frames,
 *           innermost first. A text that is empty is null.
 */
void sm_json_set_error(sm_json_writer *w, const sm_error *e);

#endif
