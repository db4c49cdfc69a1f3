/* SPDX-License-Identifier: Apache-2.0
 *
 * format/json/json_infer.c: the schema of files that have none declared, from their first lines.
 *
 * Method   Of each file that is given, as many lines as are asked for, as far as they begin in its
 *          first 8 MiB (decompressed); all of it where all are asked for. A line is let go of once
 *          it was looked at. Lines that are no JSON objects are passed over: reading will tell
 *          them; a file that has no others gives nothing. Keys in order of first appearance.
 * Types    true, false: BOOLEAN. Digits alone: the first of BIGINT, UBIGINT, DECIMAL(38,0) that
 *          holds them all. Numbers with a fraction or an exponent: DOUBLE, and so are integers
 *          beside them. Integers of over 38 digits, or beside DOUBLE one that it cannot hold
 *          exactly: VARCHAR, as nothing is rounded. Strings: DATE, TIMESTAMP or TIMESTAMP WITH TIME
 *          ZONE where all are of that one kind (json_time.c), else VARCHAR; as DuckDB, which mixes
 *          no two of them either. Objects: a STRUCT of their keys, or a MAP. Arrays: a LIST of what
 *          they hold. Only null, or what an array holds that is always empty: VARCHAR
 *          (sm_type_unseen). An object that is always empty has no type and is left out.
 *          What was seen as several of these is VARCHAR, which takes the bytes of strings, numbers
 *          and booleans. No type takes objects, arrays and those alike: what most values are
 *          decides, VARCHAR where none is ahead; lines with others are refused (type_mismatch)
 *          rather than turned into text nobody asked for.
 * Maps     As DuckDB: below the lines' own objects, one becomes a MAP from text to what all its
 *          fields hold together, where a field is on average in less than a tenth of the objects,
 *          or where there are 200 fields or more of similar types; but only if no line would be
 *          refused for it. Ids as keys do not cost a column each, then.
 * Limits   10,000 keys that are no MAP's: SM_LIMIT. Where they are too many, MAPs are told by what
 *          was seen until then, and their keys let go.
 * Callers  table functions, before there is a scan; it blocks. */
#include "format/json/json_int.h"

#include <stdio.h>

#include "base/json_doc.h"
#include "base/map.h"
#include "base/text.h"

/* Read at once. */
#define READ_BYTES ((size_t)1 << 20)
/* Of a file, decompressed, where rows are counted: 20,480 lines of 400 bytes. So 32 files of long
 * lines cost 256 MB of reading, not all that they have. */
#define SAMPLE_BYTES ((size_t)8 << 20)
#define MOST_KEYS    10000

/* DuckDB's defaults. */
#define MAP_INFERENCE_THRESHOLD    200
#define FIELD_APPEARANCE_THRESHOLD 0.1
#define MAP_SIMILARITY             0.8

typedef enum seen_kind {
    SAW_NOTHING,
    SAW_BOOL,
    SAW_INT,
    SAW_FLOAT,
    SAW_DATE,
    SAW_TIMESTAMP,
    SAW_INSTANT, /* a timestamp with a zone */
    SAW_TEXT,    /* any other, or several kinds of texts */
    SAW_LIST,
    SAW_OBJECT
} seen_kind;

/* What integers were seen. */
enum {
    INT_NEGATIVE = 1,
    INT_BEYOND_I64 = 2, /* above BIGINT */
    INT_BEYOND_U64 = 4, /* above UBIGINT, or below BIGINT */
    INT_TOO_LONG = 8,   /* over 38 digits */
    INT_NO_F64 = 16,    /* DOUBLE cannot hold it exactly */
};

/* Were there several kinds that have no common one? */
typedef enum clash {
    NO_CLASH,
    CLASH_OF_SCALARS, /* VARCHAR takes them all */
    CLASH_OF_NESTED,  /* with arrays or objects */
} clash;

/* What was seen of a value. */
typedef struct seen {
    seen_kind kind;
    clash clash;
    unsigned ints; /* bits of INT_… */
    int64_t n;     /* how often, null or not */
    int64_t n_scalars, n_lists, n_objects;
    int64_t index;        /* of a field, in its object */
    int64_t next_field;   /* of an object that is being looked at: likely */
    sm_map *fields;       /* of objects: name -> seen */
    struct seen *element; /* of arrays */
    struct seen *value;   /* of objects whose keys were let go: what all fields hold */
} seen;

struct sm_sample {
    sm_budget *budget;
    sm_arena *arena;
    sm_arena *line; /* texts of one line that are spelt with escapes; why it is none */
    seen *root;
    int64_t n_keys;
};

/* ---- looking at values ----------------------------------------------------------------------- */

/* A string's; unescaped it lives as long as the line. */
static sm_str text_of(sm_sample *s, const sm_json_token *t)
{
    if (!t->is_odd) {
        return (sm_str){(const char *)t->at, t->len};
    }
    uint8_t *text = sm_arena_alloc(s->line, t->len + 1);
    return (sm_str){(const char *)text, sm_json_unescape(t->at, t->len, text)};
}

static unsigned kind_of_int(sm_str digits)
{
    sm_i128 v = 0;
    if (digits.len <= 15) { /* any type holds it */
        return digits.data[0] == '-' && digits.data[1] != '0' ? INT_NEGATIVE : 0;
    }
    if (smi_json_exact((const uint8_t *)digits.data, digits.len, 0, &v) != SMI_JSON_OK) {
        return INT_TOO_LONG | INT_NO_F64;
    }
    return (v < 0 ? INT_NEGATIVE : 0) | (v > INT64_MAX ? INT_BEYOND_I64 : 0) |
           (v > (sm_i128)UINT64_MAX || v < INT64_MIN ? INT_BEYOND_U64 : 0) |
           (smi_json_fits_float(v, SM_TYPE_F64) ? 0 : INT_NO_F64);
}

static bool is_text(seen_kind kind)
{
    return kind >= SAW_DATE && kind <= SAW_TEXT;
}

/* Which of the kinds of texts. It matters only where all before were of one kind: most columns of
 * text are told by their first. Dates with escapes are rare, but their first byte is as it is. */
static seen_kind kind_of_text(sm_sample *s, const seen *at, const sm_json_token *t)
{
    const bool may_be_time =
        at->kind == SAW_NOTHING || (at->kind >= SAW_DATE && at->kind < SAW_TEXT);
    int64_t unused = 0;
    if (!may_be_time || t->len == 0 || t->at[0] < '0' || t->at[0] > '9') {
        return SAW_TEXT;
    }
    switch (smi_json_time(text_of(s, t), &unused)) {
    case SM_TYPE_DATE:
        return SAW_DATE;
    case SM_TYPE_TIMESTAMP_NTZ:
        return SAW_TIMESTAMP;
    case SM_TYPE_TIMESTAMP:
        return SAW_INSTANT;
    default:
        return SAW_TEXT;
    }
}

static seen_kind kind_of(sm_sample *s, const seen *at, const sm_json_token *t)
{
    switch ((sm_json_kind)t->kind) {
    case SM_JSON_IS_FALSE:
    case SM_JSON_IS_TRUE:
        return SAW_BOOL;
    case SM_JSON_IS_NUMBER:
        return t->is_odd ? SAW_FLOAT : SAW_INT;
    case SM_JSON_IS_STRING:
        return kind_of_text(s, at, t);
    case SM_JSON_IS_ARRAY:
        return SAW_LIST;
    case SM_JSON_IS_OBJECT:
        return SAW_OBJECT;
    default:
        return SAW_NOTHING;
    }
}

/* Adds a kind, with the bits of its integers. */
static void add_kind(seen *at, seen_kind kind, unsigned ints)
{
    const seen_kind was = at->kind;
    at->ints |= ints;
    if (was == kind || kind == SAW_NOTHING) {
        return;
    }
    const bool are_numbers =
        (was == SAW_INT || was == SAW_FLOAT) && (kind == SAW_INT || kind == SAW_FLOAT);
    const bool are_texts = is_text(was) && is_text(kind);
    const bool is_nested = was >= SAW_LIST || kind >= SAW_LIST;
    at->kind = was == SAW_NOTHING ? kind : are_numbers ? SAW_FLOAT : SAW_TEXT;
    if (was != SAW_NOTHING && !are_numbers && !are_texts) {
        const clash now = is_nested ? CLASH_OF_NESTED : CLASH_OF_SCALARS;
        at->clash = at->clash > now ? at->clash : now;
    }
}

/* Fields mostly come in the order of the object before. */
static seen *field_of(sm_sample *s, seen *object, sm_str key)
{
    const int64_t next = object->next_field;
    if (object->value) {
        return object->value;
    }
    if (!object->fields) {
        object->fields = sm_map_new(s->arena);
    }
    if (next < sm_map_count(object->fields) && sm_str_eq(sm_map_key(object->fields, next), key)) {
        object->next_field++;
        return sm_map_value(object->fields, next);
    }
    void **place = sm_map_at(object->fields, key);
    if (!*place) {
        seen *field = SM_NEW(s->arena, seen);
        field->index = sm_map_count(object->fields) - 1;
        s->n_keys++;
        *place = field;
    }
    object->next_field = ((const seen *)*place)->index + 1;
    return *place;
}

static const uint8_t *look(sm_sample *s, seen *at, sm_json_scan *scan, const uint8_t *p);

/* From an opening bracket to behind the closing one. */
static const uint8_t *look_within(sm_sample *s, seen *at, sm_json_scan *scan, const uint8_t *p)
{
    const bool is_object = *p == '{';
    const char close = is_object ? '}' : ']';
    p = sm_json_scan_open(scan, p);
    bool more = *p != (uint8_t)close;
    if (!is_object && !at->element) {
        at->element = SM_NEW(s->arena, seen);
    }
    at->next_field = 0;
    while (more) {
        seen *child = at->element;
        if (is_object) {
            sm_json_token key;
            p = sm_json_scan_string(scan, p, &key);
            child = field_of(s, at, text_of(s, &key));
            p = sm_json_scan_colon(scan, p);
        }
        p = look(s, child, scan, p);
        p = sm_json_scan_next(scan, p, close, &more);
    }
    scan->depth--;
    return p + 1;
}

/* Looks at the value at p and returns the place behind it. The line was checked: nothing in it can
 * be wrong. Recursion is as deep as the value, at most SM_JSON_MAX_DEPTH. */
static const uint8_t *look(sm_sample *s, seen *at, sm_json_scan *scan, const uint8_t *p)
{
    sm_json_token t = {.kind = *p == '{' ? SM_JSON_IS_OBJECT : SM_JSON_IS_ARRAY};
    const bool is_nested = *p == '{' || *p == '[';
    if (!is_nested) {
        p = sm_json_scan_value(scan, p, &t);
    }
    const seen_kind kind = kind_of(s, at, &t);
    const sm_str digits = {(const char *)t.at, t.len};
    add_kind(at, kind, kind == SAW_INT ? kind_of_int(digits) : 0);
    at->n++;
    at->n_lists += kind == SAW_LIST;
    at->n_objects += kind == SAW_OBJECT;
    at->n_scalars += kind != SAW_LIST && kind != SAW_OBJECT && kind != SAW_NOTHING;
    return is_nested ? look_within(s, at, scan, p) : p;
}

/* What it is to be read as: of scalars, lists and objects what most values are, so that one broken
 * line does not decide for all others. */
static seen_kind kind_to_read(const seen *at)
{
    return at->n_objects > at->n_scalars && at->n_objects > at->n_lists ? SAW_OBJECT
           : at->n_lists > at->n_scalars && at->n_lists > at->n_objects ? SAW_LIST
                                                                        : at->kind;
}

/* ---- maps ------------------------------------------------------------------------------------ */

static int64_t n_fields_of(const seen *at)
{
    return at->fields ? sm_map_count(at->fields) : 0;
}

/* Adds what another value was seen as. */
static void merge(sm_sample *s, seen *into, const seen *from)
{
    add_kind(into, from->kind, from->ints);
    into->clash = into->clash > from->clash ? into->clash : from->clash;
    into->n += from->n;
    into->n_scalars += from->n_scalars;
    into->n_lists += from->n_lists;
    into->n_objects += from->n_objects;
    if (from->element) {
        into->element = into->element ? into->element : SM_NEW(s->arena, seen);
        merge(s, into->element, from->element);
    }
    if (from->value && !into->value) {
        const seen was = *into;
        into->value = SM_NEW(s->arena, seen);
        into->fields = NULL;
        for (int64_t i = 0; i < n_fields_of(&was); i++) {
            merge(s, into->value, sm_map_value(was.fields, i));
        }
    }
    if (from->value) {
        merge(s, into->value, from->value);
    }
    for (int64_t i = 0; i < n_fields_of(from); i++) {
        merge(s, field_of(s, into, sm_map_key(from->fields, i)), sm_map_value(from->fields, i));
    }
}

/* Is there a clash at or below `at`, of that kind or a worse one? */
static bool has_clash(const seen *at, clash least)
{
    const bool is_text = at->kind == SAW_FLOAT && (at->ints & INT_NO_F64) != 0;
    bool has = at->clash >= least || (is_text && least == CLASH_OF_SCALARS) ||
               (at->element && has_clash(at->element, least)) ||
               (at->value && has_clash(at->value, least));
    for (int64_t i = 0; i < n_fields_of(at) && !has; i++) {
        has = has_clash(sm_map_value(at->fields, i), least);
    }
    return has;
}

/* How much of what all fields together are is this one? 1: as much as can be. */
static double similarity(const seen *all, const seen *one)
{
    if (all->kind == SAW_LIST && one->kind == SAW_LIST) {
        return similarity(all->element, one->element);
    }
    if (all->kind != SAW_OBJECT || one->kind != SAW_OBJECT || n_fields_of(all) == 0) {
        return 1;
    }
    double sum = 0;
    for (int64_t i = 0; i < n_fields_of(one); i++) {
        const seen *field = sm_map_get(all->fields, sm_map_key(one->fields, i));
        sum += similarity(field, sm_map_value(one->fields, i));
    }
    return sum / (double)n_fields_of(all);
}

/* Is a field in few of the objects, on average? */
static bool is_rare(const seen *at)
{
    double n = 0;
    for (int64_t i = 0; i < n_fields_of(at); i++) {
        n += (double)((const seen *)sm_map_value(at->fields, i))->n;
    }
    return n < FIELD_APPEARANCE_THRESHOLD * (double)at->n_objects * (double)n_fields_of(at);
}

/* What the values of the MAP hold that an object is; NULL: it is none. */
static seen *map_value(sm_sample *s, const seen *at)
{
    const bool rare = is_rare(at);
    const int64_t n = n_fields_of(at), n_keys = s->n_keys;
    if (at->value || (!rare && n < MAP_INFERENCE_THRESHOLD)) {
        return at->value;
    }
    seen *all = SM_NEW(s->arena, seen);
    for (int64_t i = 0; i < n; i++) {
        merge(s, all, sm_map_value(at->fields, i));
    }
    s->n_keys = n_keys; /* those of `all` are no more columns */
    double sum = 0;
    for (int64_t i = 0; i < n && !rare; i++) {
        sum += similarity(all, sm_map_value(at->fields, i));
    }
    const bool is_alike = rare || sum >= MAP_SIMILARITY * (double)n;
    return is_alike && !has_clash(all, rare ? CLASH_OF_NESTED : CLASH_OF_SCALARS) ? all : NULL;
}

/* Lets go of the keys of objects that are MAPs by now. Returns how many keys are left. */
static int64_t let_keys_go(sm_sample *s, seen *at, bool is_root)
{
    int64_t n_keys = at->element ? let_keys_go(s, at->element, false) : 0;
    if (!is_root && kind_to_read(at) == SAW_OBJECT && at->fields) {
        at->value = map_value(s, at);
        at->fields = at->value ? NULL : at->fields;
    }
    if (at->value) {
        return n_keys + let_keys_go(s, at->value, false);
    }
    for (int64_t i = 0; i < n_fields_of(at); i++) {
        n_keys += 1 + let_keys_go(s, sm_map_value(at->fields, i), false);
    }
    return n_keys;
}

/* ---- types ----------------------------------------------------------------------------------- */

static const sm_type *type_of(sm_sample *s, const seen *at, sm_arena *a);

static const sm_type *struct_of(sm_sample *s, const seen *at, sm_arena *a)
{
    const int64_t n = n_fields_of(at);
    sm_field *fields = SM_NEW_ARRAY(a, sm_field, n);
    int32_t n_fields = 0;
    for (int64_t i = 0; i < n; i++) {
        const sm_type *type = type_of(s, sm_map_value(at->fields, i), a);
        if (type) {
            fields[n_fields++] = (sm_field){
                .name = sm_arena_str(a, sm_map_key(at->fields, i)),
                .type = type,
                .is_nullable = true,
            };
        }
    }
    return sm_type_struct(a, fields, n_fields);
}

static const sm_type *map_of(sm_sample *s, const seen *value, sm_arena *a)
{
    const sm_field key = {.name = SM_STR("key"), .type = &sm_type_string};
    const sm_field field = {
        .name = SM_STR("value"), .type = type_of(s, value, a), .is_nullable = true};
    return field.type ? sm_type_map(a, key, field) : NULL;
}

static const sm_type *type_of_ints(unsigned ints, sm_arena *a)
{
    const bool has_both_ends = (ints & INT_NEGATIVE) != 0 && (ints & INT_BEYOND_I64) != 0;
    return (ints & INT_TOO_LONG) != 0                      ? &sm_type_string
           : (ints & INT_BEYOND_U64) != 0 || has_both_ends ? sm_type_decimal(a, 38, 0)
           : (ints & INT_BEYOND_I64) != 0                  ? &sm_type_u64
                                                           : &sm_type_i64;
}

/* NULL: an object that is always empty, or a list of such. */
static const sm_type *type_of(sm_sample *s, const seen *at, sm_arena *a)
{
    switch (kind_to_read(at)) {
    case SAW_BOOL:
        return &sm_type_bool;
    case SAW_INT:
        return type_of_ints(at->ints, a);
    case SAW_FLOAT:
        return (at->ints & INT_NO_F64) != 0 ? &sm_type_string : &sm_type_f64;
    case SAW_DATE:
        return &sm_type_date;
    case SAW_TIMESTAMP:
        return &sm_type_timestamp_ntz;
    case SAW_INSTANT:
        return &sm_type_timestamp;
    case SAW_LIST: {
        const sm_type *element = type_of(s, at->element, a);
        const sm_field field = {.name = SM_STR("element"), .type = element, .is_nullable = true};
        return element ? sm_type_list(a, field) : NULL;
    }
    case SAW_OBJECT: {
        const seen *value = map_value(s, at);
        const sm_type *type = value ? map_of(s, value, a) : struct_of(s, at, a);
        return type && type->n_fields > 0 ? type : at->n_scalars > 0 ? &sm_type_string : NULL;
    }
    case SAW_NOTHING:
        return &sm_type_unseen;
    default:
        return &sm_type_string;
    }
}

/* ---- the first lines ------------------------------------------------------------------------- */

/* A file's rows under way. */
typedef struct looking {
    sm_sample *s;
    sm_blob *blob;
    smi_lines lines;
    smi_text_file file;
    int64_t max_rows; /* −1: all */
    sm_sampled got;
    sm_error bad; /* of the first line that is none */
} looking;

/* Is it an object in full? *first: its brace. */
static bool is_object_line(const smi_line *line, const uint8_t **first)
{
    sm_json_scan scan = sm_json_scan_of(line->data, line->len);
    sm_json_token whole;
    *first = sm_json_skip_space(&scan, line->data);
    const uint8_t *p = **first == '{' ? sm_json_scan_value(&scan, *first, &whole) : NULL;
    return p && sm_json_skip_space(&scan, p) == scan.end &&
           sm_utf8_check(line->data, line->len) == line->len;
}

/* Why it is none. */
static sm_status fail_line(sm_sample *s, const smi_line *line, sm_error *e)
{
    const sm_json *v = NULL;
    const sm_str text = {(const char *)line->data, line->len};
    if (line->is_too_long) {
        return sm_fail(e, SM_LIMIT, "a line is over the limit of %zu bytes", SMI_LINE_MAX_BYTES);
    }
    SM_TRY(sm_json_parse(text, s->line, &v, e));
    return sm_fail(e, SM_TYPE, "a line is an object, not %s",
                   v->type == SM_JSON_ARRAY ? "an array" : "a single value");
}

/* Looks at one line; its error, if it is none of ours to read, is kept where there is none yet. A
 * file of another layout is told by its first. */
static sm_status look_at_line(looking *l, const smi_line *line, bool is_first, sm_error *error)
{
    sm_sample *s = l->s;
    const uint8_t *first = NULL;
    const bool is_object = !line->is_too_long && is_object_line(line, &first);
    if (is_object) {
        sm_json_scan scan = sm_json_scan_of(line->data, line->len);
        (void)look(s, s->root, &scan, first);
        l->got.n_rows++;
    } else if (l->bad.status == SM_OK) {
        l->bad.status = fail_line(s, line, &l->bad);
        l->bad.line = line->number;
        l->bad.byte = l->bad.byte > 0 ? l->bad.byte : 1;
    }
    sm_arena_reset(s->line);
    return !is_object && is_first ? smi_json_foreign(&l->lines, line, error) : SM_OK;
}

/* Reads [off, off + len) of the blob into a block. */
static sm_status read_block(sm_blob *blob, sm_byte_range r, sm_budget *budget, sm_block **out,
                            sm_error *e)
{
    SM_TRY(sm_block_new(budget, r.len, out, e));
    const sm_status st = sm_blob_read(blob, r.off_bytes, r.len, (*out)->data, e);
    if (st != SM_OK) {
        sm_block_release(*out);
        *out = NULL;
    }
    return st;
}

/* Reads on, at least as much as is asked for: a sample goes on for many lines. */
static sm_status feed_more(looking *l, sm_byte_range more, sm_error *e)
{
    sm_block *block = NULL;
    const uint64_t left = l->file.size_bytes - more.off_bytes;
    const uint64_t step = left < READ_BYTES ? left : READ_BYTES;
    more.len = more.len > step ? more.len : (size_t)step;
    SM_TRY(read_block(l->blob, more, l->s->budget, &block, e));
    const sm_status st = smi_lines_feed(&l->lines, block, more.len, e);
    sm_block_release(block);
    return st;
}

/* The whole file is one morsel, of which the first bytes are read. */
static sm_status begin_lines(looking *l, sm_error *e)
{
    const uint64_t size = l->file.size_bytes;
    sm_block *block = NULL;
    size_t len = size < READ_BYTES ? (size_t)size : READ_BYTES;
    sm_byte_range range = {.len = len};
    const sm_morsel morsel = {
        .ranges = &range,
        .n_ranges = size > 0,
        .own = {.len = (size_t)size},
    };
    if (size > 0) {
        SM_TRY(read_block(l->blob, range, l->s->budget, &block, e));
    }
    const sm_status st = smi_lines_begin(&l->lines, &l->file, &morsel, &block, &len, e);
    sm_block_release(block);
    return st;
}

static sm_status look_at_lines(looking *l, sm_error *e)
{
    smi_line line;
    sm_byte_range more;
    int64_t n_rows = 0;
    for (;;) {
        const sm_status st = smi_lines_next(&l->lines, &line, &more, e);
        if (st == SM_END) {
            return SM_OK;
        }
        if (st == SM_MORE) {
            SM_TRY(feed_more(l, more, e));
            continue;
        }
        SM_TRY(st);
        if (l->max_rows >= 0 && (n_rows == l->max_rows || line.off_bytes >= SAMPLE_BYTES)) {
            l->got.skips_rows = true;
            return SM_OK;
        }
        SM_TRY(look_at_line(l, &line, n_rows++ == 0, e));
        if (l->s->n_keys > MOST_KEYS) {
            l->s->n_keys = let_keys_go(l->s, l->s->root, true);
        }
        if (l->s->n_keys > MOST_KEYS) {
            sm_fail(e, SM_LIMIT, "more than %d keys to make columns of", MOST_KEYS);
            sm_error_todo(e, "Declare the columns that are wanted.");
            return SM_LIMIT;
        }
    }
}

/* No line gave columns: the error of the first one says why. SM_LIMIT is another failure, of all
 * that was seen. */
static sm_status no_rows(const looking *l, sm_error *e)
{
    const sm_error *bad = &l->bad;
    const bool is_bad = bad->status != SM_OK;
    const sm_status why = bad->status == SM_LIMIT ? SM_SYNTAX : bad->status;
    const sm_status st = is_bad ? sm_fail(e, why, "%s", bad->what)
                                : sm_fail(e, SM_SCHEMA, "no line to make columns of");
    sm_error_place_str(e, l->file.uri, bad->line, is_bad ? bad->byte : -1);
    return st;
}

/* ---- the format's door ----------------------------------------------------------------------- */

sm_sample *smi_json_sample_new(const void *opts)
{
    sm_sample *s = sm_alloc_zero(sizeof(*s));
    s->budget = sm_budget_new(NULL, "schema inference", 0);
    s->arena = sm_arena_new(s->budget);
    s->line = sm_arena_new(s->budget);
    s->root = SM_NEW(s->arena, seen);
    return s;
}

sm_status smi_json_sample_file(sm_sample *s, sm_blob *blob, int64_t max_rows, sm_sampled *out,
                               sm_error *e)
{
    looking l = {
        .s = s,
        .blob = blob,
        .max_rows = max_rows,
        .file =
            {
                .uri = sm_blob_uri(blob),
                .size_bytes = sm_blob_bytes(blob),
                .codec = smi_codec_of_name(sm_blob_uri(blob)),
            },
        .got = {.n_files = 1},
    };
    smi_lines_init(&l.lines, s->budget);
    sm_status st = begin_lines(&l, e);
    if (st == SM_OK) {
        st = look_at_lines(&l, e);
    }
    smi_lines_release(&l.lines);
    SM_TRY(st);
    if (l.got.n_rows == 0) {
        return no_rows(&l, e);
    }
    *out = l.got;
    return SM_OK;
}

const sm_type *smi_json_sample_end(sm_sample *s, sm_arena *a)
{
    return struct_of(s, s->root, a);
}

void smi_json_sample_free(sm_sample *s)
{
    if (s) {
        sm_arena_free(s->line);
        sm_arena_free(s->arena);
        sm_budget_free(s->budget);
        sm_free(s);
    }
}
