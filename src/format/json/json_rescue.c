/* SPDX-License-Identifier: Apache-2.0
 *
 * format/json/json_rescue.c: keeps the unknown keys of a row, those that no column takes, as the
 * text of one JSON object: {"_extra":1,"_source":{"x":2}}.
 *
 * Text      Keys stand at their paths, and only the outermost unknown key of a path is one: its
 *           value is kept whole. Keys and values have the bytes of the line. Of a key given twice
 *           the last value is kept, at the place of the first. A list has an item for each of its
 *           own: an object of the unknown keys, a list, or null for what is neither. A MAP has the
 *           members in which there are unknown keys. A row without unknown keys is NULL.
 * Method    The keys that json_unknown.c has noted of the line are printed in their order: each
 *           object is opened once, as its keys stand together (print_notes). That fails for lists
 *           and MAPs, whose objects share a node, and for keys that are repeated, escaped or many.
 *           Then the line is walked a second time (print_object), which works for all.
 * Callers   json.c and json_shape.c, for each row where the column is wanted. */
#include "format/json/json_int.h"

/* Up to so many keys, comparing each with all others is cheaper than to walk the line again. */
#define FEW_NOTES 16

/* What prints the text of a row. After a failure nothing more is printed. */
typedef struct printer {
    smi_json_parser *parser;
    sm_buf *out;
    sm_status status; /* SM_OK, or why there is no memory */
    sm_error *error;
} printer;

static void print(printer *w, sm_str s)
{
    if (w->status == SM_OK) {
        w->status = sm_buf_add(w->out, s.data, s.len, w->error);
    }
}

/* Begins a member or an item: with a comma, unless it is the first. */
static void print_comma(printer *w)
{
    SM_ASSERT(w->status != SM_OK || w->out->len > 0);
    if (w->status == SM_OK && !memchr("{[", w->out->data[w->out->len - 1], 2)) {
        print(w, SM_STR(","));
    }
}

/* A string with its quotes, or any other value. */
static sm_str text_of(sm_json_token t)
{
    const bool is_string = t.kind == SM_JSON_IS_STRING;
    return (sm_str){(const char *)t.at - is_string, t.len + 2 * (size_t)is_string};
}

/* Begins a member whose key stands in the line. */
static void print_key(printer *w, sm_json_token key)
{
    print_comma(w);
    print(w, text_of(key));
    print(w, SM_STR(":"));
}

/* ---- by the notes ---------------------------------------------------------------------------- */

static bool has_same_key(const smi_json_note *x, const smi_json_note *y)
{
    return x->object == y->object && x->key.len == y->key.len &&
           memcmp(x->key.at, y->key.at, x->key.len) == 0;
}

/* Can these keys be printed one after another? */
static bool are_plain(const smi_json_note *notes, int32_t n)
{
    if (n > FEW_NOTES) {
        return false;
    }
    for (int32_t i = 0; i < n; i++) {
        if (notes[i].object->is_in_list || (notes[i].key.is_odd && n > 1)) {
            return false;
        }
        for (int32_t k = 0; k < i; k++) {
            if (has_same_key(&notes[k], &notes[i])) {
                return false;
            }
        }
    }
    return true;
}

/* Is `inner` the object, or inside it? */
static bool is_within(const smi_json_node *inner, const smi_json_node *object)
{
    while (inner && inner != object) {
        inner = inner->parent;
    }
    return inner != NULL;
}

/* Opens the objects from below `from` down to `to`. */
static void open_objects(printer *w, const smi_json_node *from, const smi_json_node *to)
{
    if (to != from) {
        open_objects(w, from, to->parent);
        print_comma(w);
        print(w, to->opening);
    }
}

static void print_notes(printer *w, const smi_json_note *notes, int32_t n)
{
    const smi_json_node *open = &w->parser->schema->root;
    print(w, SM_STR("{"));
    for (int32_t i = 0; i < n; i++) {
        SM_ASSERT(i == 0 || notes[i - 1].key.at < notes[i].key.at);
        for (; !is_within(notes[i].object, open); open = open->parent) {
            print(w, SM_STR("}"));
        }
        open_objects(w, open, notes[i].object);
        open = notes[i].object;
        print_key(w, notes[i].key);
        print(w, smi_json_unknown_value(notes[i].key));
    }
    for (; open; open = open->parent) {
        print(w, SM_STR("}"));
    }
}

/* ---- by a walk over the line ----------------------------------------------------------------- */

/* Each step says whether it printed an unknown key. */
static bool print_value(printer *w, const smi_json_node *n, sm_json_token value);

/* Prints the members of an object that are unknown, or hold unknown keys. `n`: a STRUCT or a MAP.
 */
static bool print_object(printer *w, const smi_json_node *n, sm_json_token object)
{
    smi_json_members members;
    bool has_any = false;

    if (w->status == SM_OK) {
        w->status = smi_json_members_open(w->parser, object, &members, w->error);
    }
    if (w->status != SM_OK) {
        return false;
    }
    print(w, SM_STR("{"));
    for (int64_t i = 0; i < members.n; i++) {
        const smi_json_member m = smi_json_member_at(w->parser, &members, i);
        const bool is_map = n->id == SM_TYPE_MAP;
        const smi_json_node *field = is_map ? &n->fields[1] : smi_json_find(n, m.name);
        const size_t mark = w->out->len;
        print_key(w, m.key);
        bool is_kept = !field;
        if (is_kept) {
            print(w, text_of(m.value));
        } else {
            is_kept = print_value(w, field, m.value);
        }
        w->out->len = is_kept ? w->out->len : mark;
        has_any = has_any || is_kept;
    }
    print(w, SM_STR("}"));
    if (w->status == SM_OK) { /* else what was opened below was not closed */
        smi_json_members_close(w->parser, &members);
    }
    return has_any;
}

static bool print_list(printer *w, const smi_json_node *list, sm_json_token value)
{
    sm_json_scan scan = {.start = value.at, .end = w->parser->scan.end};
    const uint8_t *q = sm_json_skip_space(&scan, value.at + 1);
    bool more = *q != ']', has_any = false;

    print(w, SM_STR("["));
    while (more) {
        sm_json_token item;
        q = sm_json_scan_value(&scan, q, &item);
        q = sm_json_scan_next(&scan, q, ']', &more);
        SM_ASSERT(q); /* the line was kept */
        print_comma(w);
        has_any = print_value(w, &list->fields[0], item) || has_any;
    }
    print(w, SM_STR("]"));
    return has_any;
}

/* Prints what is unknown in a value of a known key. */
static bool print_value(printer *w, const smi_json_node *n, sm_json_token value)
{
    if ((n->id == SM_TYPE_STRUCT || n->id == SM_TYPE_MAP) && value.kind == SM_JSON_IS_OBJECT) {
        return print_object(w, n, value);
    }
    if (n->id == SM_TYPE_LIST && value.kind == SM_JSON_IS_ARRAY) {
        return print_list(w, n, value);
    }
    print(w, SM_STR("null"));
    return false;
}

static void walk_line(printer *w, const uint8_t *line, size_t n)
{
    smi_json_parser *p = w->parser;
    p->scan = sm_json_scan_of(line, n);
    sm_buf_reset(&p->members);
    sm_buf_reset(&p->key_text);
    w->status = sm_buf_reserve(&p->key_text, n, w->error);
    const uint8_t *first = sm_json_skip_space(&p->scan, line);
    const sm_json_token object = {.at = first, .kind = SM_JSON_IS_OBJECT};
    const bool has_any = print_object(w, &p->schema->root, object);
    SM_ASSERT(has_any || w->status != SM_OK); /* there are notes */
    sm_buf_reset(&p->members);                /* after a failure some are open */
    sm_buf_reset(&p->key_text);
}

/* ---- a row ----------------------------------------------------------------------------------- */

sm_status smi_json_rescue(smi_json_parser *p, const uint8_t *line, size_t n, sm_error *e)
{
    printer w = {.parser = p, .out = &p->rescued, .error = e};
    int32_t n_notes = 0;
    const smi_json_note *notes = smi_json_unknown_notes(p->unknown, &n_notes);

    if (n_notes == 0) {
        sm_builder_null(p->schema->rescued);
        return SM_OK;
    }
    sm_buf_reset(&p->rescued);
    if (are_plain(notes, n_notes)) {
        print_notes(&w, notes, n_notes);
    } else {
        walk_line(&w, line, n);
    }
    SM_TRY(w.status);
    sm_builder_str(p->schema->rescued, sm_buf_str(&p->rescued));
    return SM_OK;
}
