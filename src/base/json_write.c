/* SPDX-License-Identifier: Apache-2.0
 *
 * base/json_write.c: writes JSON value by value.
 *
 * Method   One flag says whether the next value needs a comma: an opening bracket clears it, a
 *          value or a closing bracket sets it. Which open brackets are objects is known for
 *          asserts. */
#include "base/json_write.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "base/quote.h"

static bool is_object(const sm_json_writer *w)
{
    return w->depth > 0 && w->depth <= 64 && (w->objects >> (w->depth - 1) & 1);
}

/* May a key come next? Below 64 levels it is not known, and allowed. */
static bool may_have_key(const sm_json_writer *w)
{
    return !w->has_key && (w->depth == 0 || w->depth > 64 || is_object(w));
}

static void put_comma(sm_json_writer *w)
{
    if (w->needs_comma) {
        sm_buf_text(w->out, SM_STR(","));
    }
}

/* Called before each value. Writes its comma, unless its key has written it. */
static void begin_value(sm_json_writer *w)
{
    SM_ASSERT(w->has_key || !is_object(w));
    SM_ASSERT(w->has_key || w->depth > 0 || !w->needs_comma); /* one value only */
    if (!w->has_key) {
        put_comma(w);
    }
    w->has_key = false;
    w->needs_comma = true;
}

/* ---- objects and arrays ---------------------------------------------------------------------- */

static void begin_nested(sm_json_writer *w, bool object)
{
    begin_value(w);
    if (w->depth < 64) {
        const uint64_t bit = UINT64_C(1) << w->depth;
        w->objects = object ? w->objects | bit : w->objects & ~bit;
    }
    w->depth++;
    w->needs_comma = false;
    sm_buf_text(w->out, object ? SM_STR("{") : SM_STR("["));
}

static void end_nested(sm_json_writer *w, bool object)
{
    SM_ASSERT(w->depth > 0 && !w->has_key);
    SM_ASSERT(w->depth > 64 || is_object(w) == object);
    w->depth--;
    w->needs_comma = true;
    sm_buf_text(w->out, object ? SM_STR("}") : SM_STR("]"));
}

void sm_json_begin_object(sm_json_writer *w)
{
    begin_nested(w, true);
}

void sm_json_end_object(sm_json_writer *w)
{
    end_nested(w, true);
}

void sm_json_begin_array(sm_json_writer *w)
{
    begin_nested(w, false);
}

void sm_json_end_array(sm_json_writer *w)
{
    end_nested(w, false);
}

void sm_json_end_line(sm_json_writer *w)
{
    SM_ASSERT(w->depth == 0 && !w->has_key && w->needs_comma);
    sm_buf_text(w->out, SM_STR("\n"));
    w->needs_comma = false;
}

/* ---- values ---------------------------------------------------------------------------------- */

void sm_json_key(sm_json_writer *w, sm_str key)
{
    SM_ASSERT(may_have_key(w));
    put_comma(w);
    sm_buf_json_str(w->out, key);
    sm_buf_text(w->out, SM_STR(":"));
    w->has_key = true;
}

void sm_json_put_text(sm_json_writer *w, sm_str text)
{
    begin_value(w);
    sm_buf_json_str(w->out, text);
}

void sm_json_put_i64(sm_json_writer *w, int64_t n)
{
    begin_value(w);
    sm_buf_printf(w->out, "%" PRId64, n);
}

void sm_json_put_u64(sm_json_writer *w, uint64_t n)
{
    begin_value(w);
    sm_buf_printf(w->out, "%" PRIu64, n);
}

void sm_json_put_fixed(sm_json_writer *w, double v, int decimals)
{
    SM_ASSERT(decimals >= 0 && decimals <= 17);
    if (!isfinite(v)) {
        sm_json_put_null(w);
        return;
    }
    begin_value(w);
    sm_buf_printf(w->out, "%.*f", decimals, v);
}

void sm_json_put_bool(sm_json_writer *w, bool is_true)
{
    sm_json_put_raw(w, is_true ? SM_STR("true") : SM_STR("false"));
}

void sm_json_put_null(sm_json_writer *w)
{
    sm_json_put_raw(w, SM_STR("null"));
}

void sm_json_put_raw(sm_json_writer *w, sm_str json)
{
    SM_ASSERT(json.len > 0);
    begin_value(w);
    sm_buf_text(w->out, json);
}

sm_buf *sm_json_value_out(sm_json_writer *w)
{
    begin_value(w);
    return w->out;
}

void sm_json_put_members(sm_json_writer *w, sm_str json)
{
    SM_ASSERT(may_have_key(w));
    SM_ASSERT(json.len == 0 || json.data[0] == '"'); /* members start with a key, not a bracket */
    if (json.len > 0) {
        put_comma(w);
        sm_buf_text(w->out, json);
        w->needs_comma = true;
    }
}

/* ---- a key and its value --------------------------------------------------------------------- */

void sm_json_set_object(sm_json_writer *w, const char *key)
{
    sm_json_key(w, sm_str_of(key));
    sm_json_begin_object(w);
}

void sm_json_set_array(sm_json_writer *w, const char *key)
{
    sm_json_key(w, sm_str_of(key));
    sm_json_begin_array(w);
}

void sm_json_set_text(sm_json_writer *w, const char *key, sm_str text)
{
    sm_json_key(w, sm_str_of(key));
    sm_json_put_text(w, text);
}

void sm_json_set_i64(sm_json_writer *w, const char *key, int64_t n)
{
    sm_json_key(w, sm_str_of(key));
    sm_json_put_i64(w, n);
}

void sm_json_set_u64(sm_json_writer *w, const char *key, uint64_t n)
{
    sm_json_key(w, sm_str_of(key));
    sm_json_put_u64(w, n);
}

void sm_json_set_bool(sm_json_writer *w, const char *key, bool is_true)
{
    sm_json_key(w, sm_str_of(key));
    sm_json_put_bool(w, is_true);
}

void sm_json_set_raw(sm_json_writer *w, const char *key, sm_str json)
{
    sm_json_key(w, sm_str_of(key));
    sm_json_put_raw(w, json);
}

/* ---- a key, and a value that may be missing ------------------------------------------------- */

void sm_json_set_text_or_null(sm_json_writer *w, const char *key, sm_str text)
{
    sm_json_key(w, sm_str_of(key));
    if (text.len > 0) {
        sm_json_put_text(w, text);
    } else {
        sm_json_put_null(w);
    }
}

void sm_json_set_i64_or_null(sm_json_writer *w, const char *key, int64_t n)
{
    sm_json_key(w, sm_str_of(key));
    if (n < 0) {
        sm_json_put_null(w);
    } else {
        sm_json_put_i64(w, n);
    }
}

void sm_json_set_error(sm_json_writer *w, const sm_error *e)
{
    char place[sizeof(e->object) + 64];

    SM_ASSERT(!sm_status_is_answer(e->status)); /* success is no error to tell */
    SM_ASSERT(e->frames <= SM_COUNT(e->frame));
    sm_error_format_place(e, place, sizeof(place));
    sm_json_set_object(w, "error");
    sm_json_set_text_or_null(w, "status", sm_str_of(sm_status_name(e->status)));
    sm_json_set_i64(w, "code", (int64_t)e->status);
    sm_json_set_text_or_null(w, "message",
                             sm_str_of(e->what[0] ? e->what : sm_status_text(e->status)));
    sm_json_set_text_or_null(w, "place", sm_str_of(place));
    sm_json_set_text_or_null(w, "todo", sm_str_of(e->todo));
    sm_json_set_array(w, "within");
    for (int i = 0; i < e->frames; i++) {
        sm_json_put_text(w, sm_str_of(e->frame[i]));
    }
    sm_json_end_array(w);
    sm_json_end_object(w);
}
