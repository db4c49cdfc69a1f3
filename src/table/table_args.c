/* SPDX-License-Identifier: Apache-2.0
 *
 * table/table_args.c: reads the arguments of table functions, which are constants: as a text, a
 * number, a list of columns. One of another kind is refused with its place in the SQL. Called by
 * table_function.c. */
#include "table/table_int.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/time.h"

#define US_PER_DAY ((int64_t)86400 * 1000000)

/* ---- errors ---------------------------------------------------------------------------------- */

sm_status smi_arg_place(const sm_table_arg *arg, sm_error *e, sm_status st)
{
    if (e && st != SM_OK && e->object[0] == '\0') {
        e->line = 0;
        e->byte = arg->off_bytes;
    }
    return st;
}

sm_status smi_arg_fail(const sm_table_arg *arg, sm_error *e, sm_status st, const char *fmt, ...)
{
    char what[sizeof(e->what)];
    va_list args;

    va_start(args, fmt);
    vsnprintf(what, sizeof(what), fmt, args);
    va_end(args);
    return smi_arg_place(arg, e, sm_fail(e, st, "%s", what));
}

/* ---- one value ------------------------------------------------------------------------------- */

static sm_status refuse_kind(const sm_table_arg *arg, const char *what, const char *kind,
                             sm_error *e)
{
    sm_buf got = {0};

    if (!arg->value.is_null && sm_type_is_nested(arg->value.type->id)) {
        sm_buf_text(&got, SM_STR("a list or struct"));
    } else {
        sm_value_print(arg->value, &got);
    }
    const sm_status st = smi_arg_fail(arg, e, SM_TYPE, "%s is %s, not %.*s", what, kind,
                                      SM_STR_ARG(sm_buf_str(&got)));
    sm_buf_release(&got);
    return st;
}

/* An argument's name as a C string, for messages: in the SQL no NUL follows it. */
typedef struct arg_name {
    char text[64];
} arg_name;

static arg_name name_of(const sm_table_arg *arg)
{
    arg_name n;
    snprintf(n.text, sizeof(n.text), "%.*s", SM_STR_ARG(arg->name));
    return n;
}

static bool is_text(const sm_table_arg *arg)
{
    return !arg->value.is_null && arg->value.type->id == SM_TYPE_STRING;
}

sm_status smi_arg_text(const sm_table_arg *arg, const char *what, sm_str *out, sm_error *e)
{
    if (!is_text(arg)) {
        return refuse_kind(arg, what, "text", e);
    }
    *out = arg->value.as.s;
    return SM_OK;
}

sm_status smi_arg_bool(const sm_table_arg *arg, bool *out, sm_error *e)
{
    if (arg->value.is_null || arg->value.type->id != SM_TYPE_BOOL) {
        return refuse_kind(arg, name_of(arg).text, "true or false", e);
    }
    *out = arg->value.as.b;
    return SM_OK;
}

static sm_status arg_count(const sm_table_arg *arg, int64_t *out, sm_error *e)
{
    const sm_value *v = &arg->value;
    const bool is_integer = !v->is_null && sm_type_is_integer(v->type->id);

    /* Read as signed, an unsigned number beyond 63 bits is negative too. */
    if (!is_integer || v->as.i < 0) {
        return refuse_kind(arg, name_of(arg).text, "a whole number of 0 or more", e);
    }
    *out = v->as.i;
    return SM_OK;
}

/* ---- versions -------------------------------------------------------------------------------- */

static sm_status refuse_time(const sm_table_arg *arg, sm_error *e)
{
    return refuse_kind(arg, name_of(arg).text, "a TIMESTAMP, a DATE or the text of one", e);
}

/* The start of a day; infinity where TIMESTAMP does not reach the day. */
static int64_t start_of_day(int64_t days)
{
    if (days > INT64_MAX / US_PER_DAY) {
        return SM_TIMESTAMP_INFINITY;
    }
    return days < -(INT64_MAX / US_PER_DAY) ? -SM_TIMESTAMP_INFINITY : days * US_PER_DAY;
}

static sm_status arg_time(const sm_table_arg *arg, int64_t *us, sm_error *e)
{
    const sm_value *v = &arg->value;

    if (v->is_null) {
        return refuse_time(arg, e);
    }
    switch (v->type->id) {
    case SM_TYPE_TIMESTAMP:
    case SM_TYPE_TIMESTAMP_NTZ:
        *us = v->as.i;
        return SM_OK;
    case SM_TYPE_DATE:
        *us = start_of_day(v->as.i);
        return SM_OK;
    case SM_TYPE_STRING:
        return sm_parse_instant(v->as.s, us) ? SM_OK : refuse_time(arg, e);
    default:
        return refuse_time(arg, e);
    }
}

sm_status smi_arg_at(const sm_table_arg *arg, sm_table_at *out, sm_error *e)
{
    if (sm_str_is(arg->name, "version")) {
        out->kind = SM_AT_VERSION;
        return arg_count(arg, &out->version, e);
    }
    SM_ASSERT(sm_str_is(arg->name, "timestamp"));
    out->kind = SM_AT_TIME;
    return arg_time(arg, &out->time_us, e);
}

sm_status smi_arg_version(const sm_table_arg *arg, sm_table_at *out, sm_error *e)
{
    const sm_value *v = &arg->value;

    if (!v->is_null && sm_type_is_integer(v->type->id)) {
        out->kind = SM_AT_VERSION;
        return v->as.i >= 0 ? arg_count(arg, &out->version, e)
                            : smi_arg_fail(arg, e, SM_TYPE, "a version is a number of 0 or more");
    }
    out->kind = SM_AT_TIME;
    return is_text(arg) || v->is_null || v->type->id == SM_TYPE_DATE ||
                   v->type->id == SM_TYPE_TIMESTAMP || v->type->id == SM_TYPE_TIMESTAMP_NTZ
               ? arg_time(arg, &out->time_us, e)
               : smi_arg_fail(arg, e, SM_TYPE, "a version is named by its number or a time");
}

/* ---- lists and structs ----------------------------------------------------------------------- */

static bool is_of_type(const sm_table_arg *arg, sm_type_id id)
{
    return !arg->value.is_null && arg->value.type->id == id;
}

/* Item i of a list or struct as an argument of its own; a field's value has the field's name. */
static sm_table_arg item_of(const sm_table_arg *arg, int64_t i)
{
    const bool is_struct = is_of_type(arg, SM_TYPE_STRUCT);

    SM_ASSERT(is_struct || is_of_type(arg, SM_TYPE_LIST));
    SM_ASSERT(i >= 0 && i < arg->value.as.nested.n);
    SM_ASSERT(!is_struct || arg->value.as.nested.n == arg->value.type->n_fields);
    return (sm_table_arg){
        .name = is_struct ? arg->value.type->fields[i].name : SM_STR(""),
        .value = arg->value.as.nested.items[i],
        .off_bytes = arg->item_offs ? arg->item_offs[i] : arg->off_bytes,
    };
}

sm_status smi_arg_texts(const sm_table_arg *arg, const char *what, sm_arena *a, sm_str **out,
                        int32_t *n, sm_error *e)
{
    const bool is_list = is_of_type(arg, SM_TYPE_LIST);
    const int64_t n_items = is_list ? arg->value.as.nested.n : 1;

    if (n_items == 0) {
        return smi_arg_fail(arg, e, SM_INVALID, "the list of paths is empty");
    }
    sm_str *texts = SM_NEW_ARRAY(a, sm_str, n_items);
    for (int64_t i = 0; i < n_items; i++) {
        const sm_table_arg item = is_list ? item_of(arg, i) : *arg;
        SM_TRY(smi_arg_text(&item, what, &texts[i], e));
        texts[i] = sm_arena_str(a, texts[i]);
    }
    *out = texts;
    SM_ASSERT(n_items <= INT32_MAX); /* the SQL text is at most 1 MiB long */
    *n = (int32_t)n_items;
    return SM_OK;
}

static sm_status read_column(const sm_table_arg *item, sm_arena *a, sm_field *out, sm_error *e)
{
    sm_str text = {0};
    const sm_type *type = NULL;

    if (item->name.len == 0) {
        return smi_arg_fail(item, e, SM_INVALID, "a column has no name");
    }
    SM_TRY(smi_arg_text(item, "a column's type", &text, e));
    const sm_status st = sm_type_parse(text, a, &type, e);
    if (st != SM_OK) {
        return smi_arg_place(item, e, sm_within(e, st, "column %.*s", SM_STR_ARG(item->name)));
    }
    *out = (sm_field){.name = sm_arena_str(a, item->name), .type = type, .is_nullable = true};
    return SM_OK;
}

sm_status smi_arg_columns(const sm_table_arg *arg, sm_arena *a, const sm_type **out, sm_error *e)
{
    const int32_t n = is_of_type(arg, SM_TYPE_STRUCT) ? arg->value.type->n_fields : 0;
    if (n == 0) {
        return smi_arg_fail(arg, e, SM_TYPE, "columns takes {name: 'TYPE', …}");
    }
    sm_field *fields = SM_NEW_ARRAY(a, sm_field, n);
    for (int32_t i = 0; i < n; i++) {
        const sm_table_arg item = item_of(arg, i);
        SM_TRY(read_column(&item, a, &fields[i], e));
        for (int32_t j = 0; j < i; j++) {
            if (sm_str_eq(fields[j].name, fields[i].name)) {
                return smi_arg_fail(&item, e, SM_INVALID, "column \"%.*s\" is named twice",
                                    SM_STR_ARG(fields[i].name));
            }
        }
    }
    *out = sm_type_struct(a, fields, n);
    return SM_OK;
}

sm_value sm_columns_value(const sm_type *columns, sm_arena *a)
{
    sm_field *fields = SM_NEW_ARRAY(a, sm_field, columns->n_fields);
    sm_value *types = SM_NEW_ARRAY(a, sm_value, columns->n_fields);

    for (int32_t i = 0; i < columns->n_fields; i++) {
        fields[i] = (sm_field){.name = columns->fields[i].name, .type = &sm_type_string};
        types[i] = sm_value_str(sm_type_text(columns->fields[i].type, a));
    }
    return (sm_value){.type = sm_type_struct(a, fields, columns->n_fields),
                      .as.nested = {types, columns->n_fields}};
}

/* ---- the call as a text ---------------------------------------------------------------------- */

/* A text stands behind its length, so that two different calls never give the same text. */
static void print_text(sm_buf *out, sm_str s)
{
    sm_buf_printf(out, "%zu:", s.len);
    sm_buf_text(out, s);
}

static void print_value(sm_buf *out, const sm_value *v)
{
    sm_buf text = {0};

    if (!v->is_null && sm_type_is_nested(v->type->id)) {
        sm_buf_printf(out, "[%" PRId64 " ", v->as.nested.n);
        for (int64_t i = 0; i < v->as.nested.n; i++) {
            print_value(out, &v->as.nested.items[i]);
        }
        return;
    }
    sm_buf_printf(&text, v->is_null ? "null" : "= ");
    if (!v->is_null) {
        sm_value_print(*v, &text);
    }
    print_text(out, sm_buf_str(&text));
    sm_buf_release(&text);
}

static void print_arg(sm_buf *out, const sm_table_arg *arg)
{
    sm_buf type = {0};

    print_text(out, arg->name);
    sm_type_print(arg->value.type, &type);
    print_text(out, sm_buf_str(&type));
    print_value(out, &arg->value);
    sm_buf_release(&type);
}

sm_str smi_call_text(sm_str name, const sm_table_arg *args, int32_t n_args, sm_arena *a)
{
    sm_buf text = {0};

    print_text(&text, name);
    for (int32_t i = 0; i < n_args; i++) {
        print_arg(&text, &args[i]);
    }
    const sm_str copy = sm_arena_str(a, sm_buf_str(&text));
    sm_buf_release(&text);
    return copy;
}
