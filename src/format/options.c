/* SPDX-License-Identifier: Apache-2.0
 *
 * format/options.c: sets the options of a format by name, from the format's table of options. SQL
 * (`read_json(…, name => value)`), the command line and pipelines all set them here. */
#include "format/format.h"

#include "base/text.h"

static void *place_of(const sm_option *o, void *opts)
{
    return (char *)opts + o->offset;
}

/* Sets an option from text; false where the text is no value of its type. Keeps the text. */
static bool set_from_text(const sm_option *o, void *opts, sm_str text)
{
    switch (o->type) {
    case SM_OPT_BOOL: {
        const bool is_true = sm_str_eq_nocase(text, SM_STR("true"));
        *(bool *)place_of(o, opts) = is_true;
        return is_true || sm_str_eq_nocase(text, SM_STR("false"));
    }
    case SM_OPT_I64:
        return sm_parse_i64(text, place_of(o, opts));
    case SM_OPT_SIZE:
        return sm_parse_size(text, place_of(o, opts));
    case SM_OPT_TEXT:
        *(sm_str *)place_of(o, opts) = text;
        return true;
    }
    return false;
}

sm_status sm_options_default(const sm_option *table, void *opts, sm_error *e)
{
    for (const sm_option *o = table; o && o->name; o++) {
        if (o->default_text && (o->default_text[0] != '\0' || o->type == SM_OPT_TEXT) &&
            !set_from_text(o, opts, sm_str_of(o->default_text))) {
            return sm_fail(e, SM_INTERNAL, "option %s has a default of another type", o->name);
        }
    }
    return SM_OK;
}

/* NULL where no option has the name; `table` may be NULL. */
static const sm_option *find_option(const sm_option *table, sm_str name)
{
    for (const sm_option *o = table; o && o->name; o++) {
        if (sm_str_is(name, o->name)) {
            return o;
        }
    }
    return NULL;
}

#define MOST_OPTIONS 64

static sm_status no_such_option(const sm_option *table, sm_str name, sm_error *e)
{
    sm_str names[MOST_OPTIONS];
    int64_t n = 0;
    for (const sm_option *o = table; o && o->name && n < MOST_OPTIONS; o++) {
        names[n++] = sm_str_of(o->name);
    }
    SM_ASSERT(n < MOST_OPTIONS); /* a longer table would be cut, and its last names never advised */
    const char *nearest = sm_nearest_name(name, names, n);
    const sm_status st = sm_fail(e, SM_NAME, "no option \"%.*s\"", SM_STR_ARG(name));
    if (nearest) {
        sm_error_todo(e, "Did you mean \"%s\"?", nearest);
    }
    return st;
}

/* Reads an integer of any width. false: another type, or over INT64_MAX. */
static bool read_integer(sm_value v, int64_t *out)
{
    if (!sm_type_is_integer(v.type->id)) {
        return false;
    }
    *out = v.as.i;
    return sm_type_is_signed(v.type->id) || v.as.u <= INT64_MAX;
}

static bool set_from_value(const sm_option *o, void *opts, sm_value v, sm_arena *a)
{
    int64_t number = 0;
    if (v.is_null) {
        return false;
    }
    if (v.type->id == SM_TYPE_STRING && (o->type == SM_OPT_TEXT || o->type == SM_OPT_SIZE)) {
        return set_from_text(o, opts, o->type == SM_OPT_TEXT ? sm_arena_str(a, v.as.s) : v.as.s);
    }
    if (v.type->id == SM_TYPE_BOOL && o->type == SM_OPT_BOOL) {
        *(bool *)place_of(o, opts) = v.as.b;
        return true;
    }
    if (o->type == SM_OPT_I64 && read_integer(v, &number)) {
        *(int64_t *)place_of(o, opts) = number;
        return true;
    }
    if (o->type == SM_OPT_SIZE && read_integer(v, &number) && number >= 0) {
        *(size_t *)place_of(o, opts) = (size_t)number;
        return true;
    }
    return false;
}

sm_status sm_options_set(const sm_option *table, void *opts, sm_str name, sm_value v, sm_arena *a,
                         sm_error *e)
{
    static const char *const wanted[] = {
        [SM_OPT_BOOL] = "true or false",
        [SM_OPT_I64] = "an integer",
        [SM_OPT_SIZE] = "a size such as 1048576 or '1 MiB'",
        [SM_OPT_TEXT] = "text",
    };
    _Static_assert(SM_COUNT(wanted) == SM_OPT_TEXT + 1, "words for each type of option");
    const sm_option *o = find_option(table, name);
    if (!o) {
        return no_such_option(table, name, e);
    }
    if (set_from_value(o, opts, v, a)) {
        return SM_OK;
    }
    sm_buf text = {0};
    sm_value_print(v, &text);
    const sm_status st = sm_fail(e, SM_TYPE, "option %s is %s, not %.*s", o->name, wanted[o->type],
                                 SM_STR_ARG(sm_buf_str(&text)));
    sm_buf_release(&text);
    return st;
}
