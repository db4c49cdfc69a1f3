/* SPDX-License-Identifier: Apache-2.0
 *
 * base/json_write.h: writes JSON into a buffer, value by value, without white space and with keys
 * in the order of the calls. The writer puts the commas. All JSON that smelt makes is made here.
 *
 *     sm_json_writer w = {.out = &text};
 *     sm_json_begin_object(&w);
 *     sm_json_set_text(&w, "name", name);
 *     sm_json_set_array(&w, "sizes");
 *     sm_json_put_i64(&w, 17);
 *     sm_json_end_array(&w);
 *     sm_json_end_object(&w);                          {"name":"a","sizes":[17]}
 *
 * The buffer must have no bound and no budget, so nothing here can fail. It is asserted that each
 * value of an object has a key and that each bracket is closed by its own kind. Not checked: that a
 * key comes only once, and that text passed in as JSON (raw, members) is JSON.
 * Threads: one at a time for a writer. */
#ifndef SM_BASE_JSON_WRITE_H
#define SM_BASE_JSON_WRITE_H

#include "base/buf.h"
#include "base/status.h"

/* A text being written. `{.out = &buffer}` starts one, which is appended to the buffer; nothing has
 * to be released. At depth 0 the text is one value, or the members of an object whose brackets
 * another writer adds (sm_json_put_members). */
typedef struct sm_json_writer {
    sm_buf *out; /* borrowed */
    int32_t depth;
    bool needs_comma; /* the next value or key needs a comma before it */
    bool has_key;     /* a key was written, its value comes next */
    bool is_exact;    /* values that JSON has no word for (NaN, bytes) become the text that a cast
                       * reads back; else what people expect (sm_column_json) */
    uint64_t
        objects; /* a bit for each of the outer 64 levels, the lowest is the outermost: is it an
                       * object? */
} sm_json_writer;

/* ---- objects and arrays ---------------------------------------------------------------------- */

void sm_json_begin_object(sm_json_writer *w); /* keys with their values come next */
void sm_json_end_object(sm_json_writer *w);   /* the innermost open one must be an object */
void sm_json_begin_array(sm_json_writer *w);  /* values come next */
void sm_json_end_array(sm_json_writer *w);    /* the innermost open one must be an array */
/** Ends a whole value with an LF, as a line of NDJSON; another value may follow. */
void sm_json_end_line(sm_json_writer *w);

/* ---- a value: of an array, of a key, or the whole text --------------------------------------- */

/** Writes the key of the next value. */
void sm_json_key(sm_json_writer *w, sm_str key);
/** Writes a string, escaped by sm_buf_json_str(). */
void sm_json_put_text(sm_json_writer *w, sm_str text);
void sm_json_put_i64(sm_json_writer *w, int64_t n);  /* an integer with all its digits */
void sm_json_put_u64(sm_json_writer *w, uint64_t n); /* the same, up to 2^64 - 1 */
/** Writes a number with so many decimals. nan and inf become null, because JSON lacks them. */
void sm_json_put_fixed(sm_json_writer *w, double v, int decimals);
void sm_json_put_bool(sm_json_writer *w, bool is_true); /* true or false */
void sm_json_put_null(sm_json_writer *w);               /* null */
/** Writes a whole value that is JSON already. */
void sm_json_put_raw(sm_json_writer *w, sm_str json);
/**
 * Starts a value whose JSON the caller appends: for functions that print into a buffer.
 *
 * Returns   the writer's buffer; one whole value must be appended before the writer's next call
 */
sm_buf *sm_json_value_out(sm_json_writer *w);
/** Writes members of this object that are JSON already, `"a":1,"b":2`; there may be none. */
void sm_json_put_members(sm_json_writer *w, sm_str json);

/* ---- a key and its value; the comment names the second call ---------------------------------- */

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
