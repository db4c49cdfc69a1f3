/* SPDX-License-Identifier: Apache-2.0
 *
 * column/column_print.c: prints one row of a column: as the text that DuckDB's cast to VARCHAR
 * gives, or as JSON.
 *
 * Quotes   Inside a list, struct or map, a text is put in single quotes if it could be misread
 *          without them: if it is empty, if it is NULL (in upper or lower case), if it begins or
 *          ends with a space, or if it contains one of  " ' ( ) , : = [ \ ] { }  In quotes, ' and \
 *          are escaped with \. Names of struct fields are always in quotes.
 * Source   DuckDB 2.0, compared byte by byte. */
#include <math.h>

#include "base/quote.h"
#include "column/column_int.h"

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool needs_quotes(sm_str s)
{
    if (s.len == 0 || is_space(s.data[0]) || is_space(s.data[s.len - 1]) ||
        sm_str_eq_nocase(s, SM_STR("null"))) {
        return true;
    }
    for (size_t i = 0; i < s.len; i++) {
        if (s.data[i] != 0 && strchr("\"'(),:=[\\]{}", s.data[i])) {
            return true;
        }
    }
    return false;
}

void smi_print_inside(sm_value v, sm_buf *out)
{
    const sm_type_id id = v.type->id;
    if (v.is_null || sm_type_is_nested(id) || sm_type_is_number(id)) {
        sm_value_print(v, out);
        return;
    }
    sm_buf text = {0};
    sm_str s = v.as.s;
    if (id != SM_TYPE_STRING) {
        sm_value_print(v, &text);
        s = sm_buf_str(&text);
    }
    if (needs_quotes(s)) {
        sm_buf_escaped(out, s, '\'');
    } else {
        sm_buf_text(out, s);
    }
    sm_buf_release(&text);
}

static void print_inner(const sm_column *c, int64_t i, sm_buf *out)
{
    if (sm_type_is_nested(c->type->id)) {
        sm_column_print(c, i, out);
    } else {
        smi_print_inside(sm_column_value(c, i), out);
    }
}

static void print_list(const sm_column *c, int64_t i, sm_buf *out)
{
    const bool is_map = c->type->id == SM_TYPE_MAP;
    const int32_t from = smi_i32(c)[i], to = smi_i32(c)[i + 1];
    sm_buf_text(out, is_map ? SM_STR("{") : SM_STR("["));
    for (int32_t k = from; k < to; k++) {
        sm_buf_text(out, k > from ? SM_STR(", ") : SM_STR(""));
        print_inner(&c->children[0], k, out);
        if (is_map) {
            sm_buf_text(out, SM_STR("="));
            print_inner(&c->children[1], k, out);
        }
    }
    sm_buf_text(out, is_map ? SM_STR("}") : SM_STR("]"));
}

static void print_struct(const sm_column *c, int64_t i, sm_buf *out)
{
    sm_buf_text(out, SM_STR("{"));
    for (int32_t k = 0; k < c->n_children; k++) {
        sm_buf_text(out, k > 0 ? SM_STR(", ") : SM_STR(""));
        sm_buf_escaped(out, c->type->fields[k].name, '\'');
        sm_buf_text(out, SM_STR(": "));
        print_inner(&c->children[k], i, out);
    }
    sm_buf_text(out, SM_STR("}"));
}

void sm_column_print(const sm_column *c, int64_t i, sm_buf *out)
{
    if (!sm_type_is_nested(c->type->id)) {
        sm_value_print(sm_column_value(c, i), out);
    } else if (!smi_resolve(&c, &i)) {
        sm_buf_text(out, SM_STR("NULL"));
    } else if (c->type->id == SM_TYPE_STRUCT) {
        print_struct(c, i, out);
    } else {
        print_list(c, i, out);
    }
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static void json_hex(sm_str s, sm_buf *out)
{
    sm_buf_text(out, SM_STR("\""));
    for (size_t i = 0; i < s.len; i++) {
        sm_buf_printf(out, "%02x", (uint8_t)s.data[i]);
    }
    sm_buf_text(out, SM_STR("\""));
}

/* As a cast to VARCHAR gives it. */
static void json_printed(sm_value v, sm_json_writer *w)
{
    sm_buf text = {0};

    sm_value_print(v, &text);
    sm_json_put_text(w, sm_buf_str(&text));
    sm_buf_release(&text);
}

static void json_scalar(const sm_column *c, int64_t i, sm_json_writer *w)
{
    const sm_value v = sm_column_value(c, i);
    const sm_type_id id = c->type->id;
    const bool is_float = id == SM_TYPE_F32 || id == SM_TYPE_F64;
    if (w->is_exact && !v.is_null && (id == SM_TYPE_BINARY || (is_float && !isfinite(v.as.f)))) {
        json_printed(v, w);
    } else if (v.is_null || (is_float && !isfinite(v.as.f))) {
        sm_json_put_null(w);
    } else if (id == SM_TYPE_STRING) {
        sm_json_put_text(w, v.as.s);
    } else if (id == SM_TYPE_BINARY) {
        json_hex(v.as.s, sm_json_value_out(w));
    } else if (id == SM_TYPE_DECIMAL) {
        smi_print_decimal(v.as.d, v.type, true, sm_json_value_out(w));
    } else if (sm_type_is_number(id) || id == SM_TYPE_BOOL) {
        sm_value_print(v, sm_json_value_out(w));
    } else { /* dates and times, which have no character to escape */
        sm_buf *out = sm_json_value_out(w);
        sm_buf_text(out, SM_STR("\""));
        sm_value_print(v, out);
        sm_buf_text(out, SM_STR("\""));
    }
}

/* A key of a map. Keys in JSON are strings, so keys of other types are printed as text. */
static void json_key(const sm_column *c, int64_t i, sm_json_writer *w)
{
    sm_buf text = {0};
    sm_column_print(c, i, &text);
    sm_json_key(w, sm_buf_str(&text));
    sm_buf_release(&text);
}

static void json_map(const sm_column *c, int64_t i, sm_json_writer *w)
{
    sm_json_begin_object(w);
    for (int32_t k = smi_i32(c)[i]; k < smi_i32(c)[i + 1]; k++) {
        json_key(&c->children[0], k, w);
        sm_column_json(&c->children[1], k, w);
    }
    sm_json_end_object(w);
}

static void json_list(const sm_column *c, int64_t i, sm_json_writer *w)
{
    sm_json_begin_array(w);
    for (int32_t k = smi_i32(c)[i]; k < smi_i32(c)[i + 1]; k++) {
        sm_column_json(&c->children[0], k, w);
    }
    sm_json_end_array(w);
}

static void json_struct(const sm_column *c, int64_t i, sm_json_writer *w)
{
    sm_json_begin_object(w);
    for (int32_t k = 0; k < c->n_children; k++) {
        sm_json_key(w, c->type->fields[k].name);
        sm_column_json(&c->children[k], i, w);
    }
    sm_json_end_object(w);
}

void sm_column_json(const sm_column *c, int64_t i, sm_json_writer *w)
{
    if (!sm_type_is_nested(c->type->id)) {
        json_scalar(c, i, w);
    } else if (!smi_resolve(&c, &i)) {
        sm_json_put_null(w);
    } else if (c->type->id == SM_TYPE_STRUCT) {
        json_struct(c, i, w);
    } else if (c->type->id == SM_TYPE_MAP) {
        json_map(c, i, w);
    } else {
        json_list(c, i, w);
    }
}
