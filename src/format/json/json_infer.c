/* SPDX-License-Identifier: Apache-2.0
 *
 * format/json/json_infer.c: finds the schema of files whose columns nobody declared, by a sample of
 * their lines.
 *
 * Sample   Of each file as many lines as the caller asks for, of those that begin in its first
 *          8 MiB (decompressed); or the whole file if all lines are asked for. Lines that are no
 *          JSON objects are skipped: reading will report them. A file that has no other lines is an
 *          error. Columns are in the order in which their keys first appear.
 * Types    true, false         BOOLEAN
 *          integers            the first of BIGINT, UBIGINT, DECIMAL(38,0) that holds them all;
 *                              VARCHAR where one has more than 38 digits
 *          numbers with a fraction or an exponent, also among integers
 *                              DOUBLE; VARCHAR where it cannot hold one of the integers exactly, as
 *                              integers are never rounded
 *          strings             DATE, TIMESTAMP or TIMESTAMP WITH TIME ZONE where all are of that
 *                              one kind (json_time.c), else VARCHAR. DuckDB does not mix them
 *                              either
 *          objects             a STRUCT of their keys, or a MAP. One that is always empty has no
 *                              type and is left out
 *          arrays              a LIST of what they hold
 *          nothing but null    VARCHAR (sm_type_unseen); so are the elements of a LIST that is
 *                              always empty
 *          Strings, numbers and booleans mixed are VARCHAR, which takes the text of all of them. No
 *          type takes scalars, arrays and objects alike. If these are mixed, the kind that more
 *          values have than any other decides, or VARCHAR if there is none. Lines with the others
 *          are refused (type_mismatch), as nobody asked for objects as text.
 * Maps     As in DuckDB: an object below the top level becomes a MAP from VARCHAR to what all its
 *          fields hold together, if a field is on average in less than a tenth of the objects, or
 *          if there are 200 fields or more of similar types; and only if no line would be refused
 *          for it. So ids as keys do not become a column each. Where the caller knows the columns
 *          of earlier files, an object is what it was there, whatever this sample has of its keys.
 * Limits   10,000 keys outside of MAPs: SM_LIMIT. When that many were seen, objects that are MAPs
 *          by then are found, and their keys are dropped.
 * Callers  read_json and the like (table_function.c), before there is a scan. Blocks. */
#include "format/json/json_int.h"

#include <stdio.h>

#include "base/json_doc.h"
#include "base/map.h"
#include "base/text.h"

/* Bytes of one read. */
#define READ_BYTES ((size_t)1 << 20)
/* How much of a file, decompressed, is looked at if the number of rows is limited: 20,480 lines of
 * 400 bytes. So 32 files of long lines cost 256 MB of reading, not all of their bytes. */
#define SAMPLE_BYTES ((size_t)8 << 20)
#define MOST_KEYS    10000

/* DuckDB's defaults. */
#define MAP_INFERENCE_THRESHOLD    200
#define FIELD_APPEARANCE_THRESHOLD 0.1
#define MAP_SIMILARITY             0.8

/* The kinds of texts are next to each other (is_text), nested kinds are the last (add_kind). */
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

/* Which integers were seen, as bits. */
enum {
    INT_NEGATIVE = 1,
    INT_BEYOND_I64 = 2, /* above BIGINT */
    INT_BEYOND_U64 = 4, /* above UBIGINT, or below BIGINT */
    INT_TOO_LONG = 8,   /* over 38 digits */
    INT_NO_F64 = 16,    /* DOUBLE cannot hold one exactly */
};

/* Were there kinds of values that no type takes alike? */
typedef enum clash {
    NO_CLASH,
    CLASH_OF_SCALARS, /* VARCHAR takes them all */
    CLASH_OF_NESTED,  /* with arrays or objects */
} clash;

/* What was seen of the values of a key, of the elements of arrays, or of the lines. */
typedef struct seen {
    seen_kind kind;
    clash clash;
    unsigned ints; /* bits of INT_… */
    int64_t n;     /* all values, also null */
    int64_t n_scalars, n_lists, n_objects;
    int64_t index;        /* of a field, in its object */
    int64_t next_field;   /* of an object that is being looked at: the field expected next */
    sm_map *fields;       /* of objects: name -> seen */
    struct seen *element; /* of arrays */
    struct seen *value;   /* of objects whose keys were dropped: what all fields hold together */
} seen;

struct sm_sample {
    sm_budget *budget;
    sm_arena *arena;
    sm_arena *line; /* unescaped texts and the error of one line; reset after it */
    seen *root;
    int64_t n_keys;
};

/* ---- looking at values ----------------------------------------------------------------------- */

/* A string's text: a span of the line, or unescaped into s->line. */
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

/* The kind of a text. Parsing it is needed only as long as all texts before were of one kind of
 * time: most columns of text are known by their first value. (A date may be written with escapes,
 * but not its first byte.) */
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
    _Static_assert(SAW_DATE + 3 == SAW_TEXT && SAW_TEXT + 1 == SAW_LIST, "kinds of texts");
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

/* Adds a value's kind; `ints`: the bits of an integer. */
static void add_kind(seen *at, seen_kind kind, unsigned ints)
{
    const seen_kind was = at->kind;
    SM_ASSERT(ints == 0 || kind != SAW_NOTHING);
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

/* The field of that key, added if it is new; all keys share one where the object's were dropped.
 * Fields mostly come in the order of the object before, so the next one is tried first. */
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

static const uint8_t *look_at_value(sm_sample *s, seen *at, sm_json_scan *scan, const uint8_t *p);

/* Looks into an array or object, from its opening bracket; returns the place behind the closing
 * one. / */
static const uint8_t *look_at_nested(sm_sample *s, seen *at, sm_json_scan *scan, const uint8_t *p)
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
        p = look_at_value(s, child, scan, p);
        p = sm_json_scan_next(scan, p, close, &more);
        SM_ASSERT(p); /* is_object_line has scanned the line */
    }
    SM_ASSERT(scan->depth > 0);
    scan->depth--;
    return p + 1;
}

/* Looks at the value at p and returns the place behind it. The line was scanned before, so it has
 * no faults. Recursion is as deep as the value, at most SM_JSON_MAX_DEPTH. */
static const uint8_t *look_at_value(sm_sample *s, seen *at, sm_json_scan *scan, const uint8_t *p)
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
    SM_ASSERT(at->n_scalars + at->n_lists + at->n_objects <= at->n);
    return is_nested ? look_at_nested(s, at, scan, p) : p;
}

/* What the values are to be read as: of scalars, lists and objects what more of them are than of
 * any other, so that one broken line does not decide for all. */
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

/* Adds to `into` all that was seen in `from`, which does not change. */
static void merge_seen(sm_sample *s, seen *into, const seen *from)
{
    SM_ASSERT(into != from && (!from->value || !from->fields) && (!into->value || !into->fields));
    add_kind(into, from->kind, from->ints);
    into->clash = into->clash > from->clash ? into->clash : from->clash;
    into->n += from->n;
    into->n_scalars += from->n_scalars;
    into->n_lists += from->n_lists;
    into->n_objects += from->n_objects;
    if (from->element) {
        into->element = into->element ? into->element : SM_NEW(s->arena, seen);
        merge_seen(s, into->element, from->element);
    }
    if (from->value && !into->value) {
        const seen was = *into;
        into->value = SM_NEW(s->arena, seen);
        into->fields = NULL;
        for (int64_t i = 0; i < n_fields_of(&was); i++) {
            merge_seen(s, into->value, sm_map_value(was.fields, i));
        }
    }
    if (from->value) {
        merge_seen(s, into->value, from->value);
    }
    for (int64_t i = 0; i < n_fields_of(from); i++) {
        merge_seen(s, field_of(s, into, sm_map_key(from->fields, i)),
                   sm_map_value(from->fields, i));
    }
}

/* Is there a clash at or below `at`, at least as bad as `least`? */
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

/* How alike is one field to what all fields are together? From 0 to 1, as DuckDB computes it: the
 * share of the fields of `all` that `one` has. `one` was merged into `all`. */
static double similarity(const seen *all, const seen *one)
{
    SM_ASSERT(all->n >= one->n);
    SM_ASSERT(all->value || n_fields_of(all) >= n_fields_of(one)); /* its keys were not dropped */
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

/* Is a field, on average, in less than FIELD_APPEARANCE_THRESHOLD of the objects? */
static bool is_rare(const seen *at)
{
    double n = 0;
    for (int64_t i = 0; i < n_fields_of(at); i++) {
        n += (double)((const seen *)sm_map_value(at->fields, i))->n;
    }
    return n < FIELD_APPEARANCE_THRESHOLD * (double)at->n_objects * (double)n_fields_of(at);
}

/* What all fields of an object hold together. */
static seen *merge_fields(sm_sample *s, const seen *at)
{
    const int64_t n_keys = s->n_keys;
    seen *all = SM_NEW(s->arena, seen);

    for (int64_t i = 0; i < n_fields_of(at); i++) {
        merge_seen(s, all, sm_map_value(at->fields, i));
    }
    s->n_keys = n_keys; /* merging has counted fields of `all`, which become no columns */
    return all;
}

/* Decides whether an object is a MAP. Returns what the MAP's values hold; NULL: it is a STRUCT.
 * known: its type in earlier files; NULL: not known. */
static seen *map_value(sm_sample *s, const seen *at, const sm_type *known)
{
    const bool is_known = known && (known->id == SM_TYPE_STRUCT || known->id == SM_TYPE_MAP);
    const bool rare = is_rare(at);
    const int64_t n = n_fields_of(at);
    if (at->value || (is_known && known->id == SM_TYPE_STRUCT) ||
        (!is_known && !rare && n < MAP_INFERENCE_THRESHOLD)) {
        return at->value;
    }
    seen *all = merge_fields(s, at);
    if (is_known) {
        return all;
    }
    double sum = 0;
    for (int64_t i = 0; i < n && !rare; i++) {
        sum += similarity(all, sm_map_value(at->fields, i));
    }
    const bool is_alike = rare || sum >= MAP_SIMILARITY * (double)n;
    return is_alike && !has_clash(all, rare ? CLASH_OF_NESTED : CLASH_OF_SCALARS) ? all : NULL;
}

/* Drops the keys of objects that are MAPs by now. Returns how many keys are left. */
static int64_t drop_map_keys(sm_sample *s, seen *at, bool is_root)
{
    int64_t n_keys = at->element ? drop_map_keys(s, at->element, false) : 0;
    if (!is_root && kind_to_read(at) == SAW_OBJECT && at->fields) {
        at->value = map_value(s, at, NULL);
        at->fields = at->value ? NULL : at->fields;
    }
    SM_ASSERT(!at->value || !at->fields);
    if (at->value) {
        return n_keys + drop_map_keys(s, at->value, false);
    }
    for (int64_t i = 0; i < n_fields_of(at); i++) {
        n_keys += 1 + drop_map_keys(s, sm_map_value(at->fields, i), false);
    }
    return n_keys;
}

/* ---- types ----------------------------------------------------------------------------------- */

static const sm_type *type_of(sm_sample *s, const seen *at, const sm_type *known, sm_arena *a);

/* What is known of a field of a `known` type of that kind; NULL: nothing. */
static const sm_type *known_field(const sm_type *known, sm_type_id kind, int32_t i)
{
    return known && known->id == kind && i >= 0 ? known->fields[i].type : NULL;
}

static const sm_type *struct_of(sm_sample *s, const seen *at, const sm_type *known, sm_arena *a)
{
    const bool is_known = known && known->id == SM_TYPE_STRUCT;
    const int64_t n = n_fields_of(at);
    sm_field *fields = SM_NEW_ARRAY(a, sm_field, n);
    int32_t n_fields = 0;
    for (int64_t i = 0; i < n; i++) {
        const sm_str name = sm_map_key(at->fields, i);
        const sm_type *field =
            known_field(known, SM_TYPE_STRUCT, is_known ? sm_type_find(known, name) : -1);
        const sm_type *type = type_of(s, sm_map_value(at->fields, i), field, a);
        if (type) {
            fields[n_fields++] = (sm_field){
                .name = sm_arena_str(a, name),
                .type = type,
                .is_nullable = true,
            };
        }
    }
    return sm_type_struct(a, fields, n_fields);
}

static const sm_type *map_of(sm_sample *s, const seen *value, const sm_type *known, sm_arena *a)
{
    const sm_field key = {.name = SM_STR("key"), .type = &sm_type_string};
    const sm_field field = {
        .name = SM_STR("value"),
        .type = type_of(s, value, known_field(known, SM_TYPE_MAP, 1), a),
        .is_nullable = true,
    };
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

/* The type of what was seen; NULL for an object that is always empty, or a list of such objects. */
static const sm_type *type_of(sm_sample *s, const seen *at, const sm_type *known, sm_arena *a)
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
        const sm_type *element = type_of(s, at->element, known_field(known, SM_TYPE_LIST, 0), a);
        const sm_field field = {.name = SM_STR("element"), .type = element, .is_nullable = true};
        return element ? sm_type_list(a, field) : NULL;
    }
    case SAW_OBJECT: {
        const seen *value = map_value(s, at, known);
        const sm_type *type = value ? map_of(s, value, known, a) : struct_of(s, at, known, a);
        return type && type->n_fields > 0 ? type : at->n_scalars > 0 ? &sm_type_string : NULL;
    }
    case SAW_NOTHING:
        return &sm_type_unseen;
    default:
        return &sm_type_string;
    }
}

/* ---- the first lines ------------------------------------------------------------------------- */

/* A file that is being looked at. */
typedef struct file_sample {
    sm_sample *s;
    sm_blob *blob;
    smi_lines lines;
    smi_text_file file;
    int64_t max_rows; /* −1: all */
    sm_sampled got;
    sm_error bad; /* of the first line that is no object */
} file_sample;

/* Is the line one JSON object and nothing else? *first: its brace. */
static bool is_object_line(const smi_line *line, const uint8_t **first)
{
    sm_json_scan scan = sm_json_scan_of(line->data, line->len);
    sm_json_token whole;
    *first = sm_json_skip_space(&scan, line->data);
    const uint8_t *p = **first == '{' ? sm_json_scan_value(&scan, *first, &whole) : NULL;
    return p && sm_json_skip_space(&scan, p) == scan.end &&
           sm_utf8_check(line->data, line->len) == line->len;
}

/* Makes the error of a line for which is_object_line says no. */
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

/* Looks at one line. If it is no object, its error is kept if it is the first, and the sample goes
 * on. Fails where the file's first line shows that the file has another layout. */
static sm_status look_at_line(file_sample *l, const smi_line *line, bool is_first, sm_error *error)
{
    sm_sample *s = l->s;
    const uint8_t *first = NULL;
    const bool is_object = !line->is_too_long && is_object_line(line, &first);
    if (is_object) {
        sm_json_scan scan = sm_json_scan_of(line->data, line->len);
        (void)look_at_value(s, s->root, &scan, first);
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

/* Reads `more`, or more than that: most samples need many more lines. */
static sm_status feed_more(file_sample *l, sm_byte_range more, sm_error *e)
{
    SM_ASSERT(more.len > 0 && more.off_bytes < l->file.size_bytes);
    sm_block *block = NULL;
    const uint64_t left = l->file.size_bytes - more.off_bytes;
    const uint64_t step = left < READ_BYTES ? left : READ_BYTES;
    more.len = more.len > step ? more.len : (size_t)step;
    SM_TRY(read_block(l->blob, more, l->s->budget, &block, e));
    const sm_status st = smi_lines_feed(&l->lines, block, more.len, e);
    sm_block_release(block);
    return st;
}

/* Makes the whole file one morsel, and reads its first bytes. */
static sm_status begin_lines(file_sample *l, sm_error *e)
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

/* Looks at the file's lines until enough were seen. */
static sm_status look_at_lines(file_sample *l, sm_error *e)
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
            l->s->n_keys = drop_map_keys(l->s, l->s->root, true);
        }
        if (l->s->n_keys > MOST_KEYS) {
            sm_fail(e, SM_LIMIT, "more than %d keys to make columns of", MOST_KEYS);
            sm_error_todo(e, "Declare the columns that are wanted.");
            return SM_LIMIT;
        }
    }
}

/* The error where no line is an object: that of the first line. If it was too long, SM_SYNTAX: to
 * callers SM_LIMIT means that the whole sample has too many columns. */
static sm_status fail_without_rows(const file_sample *l, sm_error *e)
{
    SM_ASSERT(l->got.n_rows == 0);
    const sm_error *bad = &l->bad;
    const bool is_bad = bad->status != SM_OK;
    const sm_status why = bad->status == SM_LIMIT ? SM_SYNTAX : bad->status;
    const sm_status st = is_bad ? sm_fail(e, why, "%s", bad->what)
                                : sm_fail(e, SM_SCHEMA, "no line to make columns of");
    sm_error_place_str(e, l->file.uri, bad->line, is_bad ? bad->byte : -1);
    sm_error_todo(e, "%s the columns, with columns => {name: 'TYPE', …}.",
                  is_bad ? "No line could be read: mend the file, or declare" : "Declare");
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
    SM_ASSERT(max_rows >= -1 && s->root->kind != SAW_LIST);
    file_sample l = {
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
        return fail_without_rows(&l, e);
    }
    *out = l.got;
    return SM_OK;
}

const sm_type *smi_json_sample_end(sm_sample *s, const sm_type *known, sm_arena *a)
{
    SM_ASSERT(!known || known->id == SM_TYPE_STRUCT);
    return struct_of(s, s->root, known, a);
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
