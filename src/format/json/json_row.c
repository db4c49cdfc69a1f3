/* SPDX-License-Identifier: Apache-2.0
 *
 * format/json/json_row.c: reads one line into a row, or refuses it. This file defines what a line
 * of JSON means. json_shape.c reads most lines faster and gives the same rows.
 *
 * Method   1. Check that the whole line is UTF-8. Of an ASCII line only the top bits are looked at.
 *          2. Scan the tokens once. A key is first compared with the key that came next in the line
 *             before, in place, without unescaping it. A value is not converted yet: its token is
 *             put into its node's slot. So the last value of a repeated key counts. That holds for
 *             objects too: slots that a replaced object filled have its number in `seen`, and are
 *             thereby not valid for the later one.
 *          3. Check each slot against its column's type, and convert the value. Of the values that
 *             do not fit, the one whose column has the least rank is reported.
 *          4. Append to the builders, only after all checks: a refused line leaves nothing there.
 *          Lists and MAPs stay spans of text in step 2. Steps 3 and 4 both read their elements, one
 *          at a time, into the element's slot.
 * Reasons  In this order: too_long (such a line has only its head here), invalid_utf8, what the
 *          scanner found (syntax, too_deep, lone_surrogate), not_object, then the columns.
 * Values   BOOL       true or false
 *          integers   a number whose value is an integer (smi_json_exact), or a string that is all
 *                     -?(0|[1-9][0-9]*)
 *          FLOAT, DOUBLE, DECIMAL
 *                     a number, or a string that is one. DECIMAL must hold it exactly; so must
 *                     FLOAT and DOUBLE where it is written as an integer. A type that is_rounded
 *                     rounds it once, from its text
 *          VARCHAR    a string, or the text of a number or boolean
 *          BLOB       a string's bytes
 *          DATE, TIME, TIMESTAMP, TIMESTAMP_NTZ
 *                     a string (check_time)
 *          A missing key and null are NULL in every type. */
#include "format/json/json_int.h"

#include <math.h>
#include <stdio.h>

#include "base/text.h"
#include "column/value.h"

void smi_json_parser_init(smi_json_parser *p, smi_json_schema *schema, smi_json_unknown *unknown,
                          sm_budget *budget)
{
    *p = (smi_json_parser){
        .schema = schema,
        .unknown = unknown,
        .scratch = {.max_bytes = SMI_LINE_MAX_BYTES, .budget = budget},
        .members = {.budget = budget},
        .key_text = {.budget = budget},
        .key_table = {.budget = budget},
        .rescued = {.budget = budget},
    };
}

void smi_json_parser_release(smi_json_parser *p)
{
    sm_buf_release(&p->scratch);
    sm_buf_release(&p->members);
    sm_buf_release(&p->key_text);
    sm_buf_release(&p->key_table);
    sm_buf_release(&p->rescued);
}

sm_str smi_json_text(smi_json_parser *p, sm_json_token t)
{
    if (!t.is_odd) {
        return (sm_str){(const char *)t.at, t.len};
    }
    SM_ASSERT(t.len <= p->scratch.cap); /* unescaped text is never longer */
    return (sm_str){(const char *)p->scratch.data, sm_json_unescape(t.at, t.len, p->scratch.data)};
}

/* ---- reading objects into slots -------------------------------------------------------------- */

/* Is the quoted key at q this node's, compared as it stands? Reads 16 bytes, which the padding
 * allows. A match cannot go beyond the end of the line, as no key has an LF in it. */
static inline bool is_key(const smi_json_node *n, const uint8_t *q)
{
    uint64_t words[2];
    memcpy(words, q + 1, sizeof(words));
    return n->key_len > 0 && (((words[0] ^ n->key_words[0]) & n->key_masks[0]) |
                              ((words[1] ^ n->key_words[1]) & n->key_masks[1])) == 0;
}

/* Finds the field whose key stands at q, without unescaping. NULL: read_key must tell. */
static smi_json_node *find_in_place(const smi_json_node *object, const uint8_t *q)
{
    for (int32_t i = 0; !object->table && i < object->n_fields; i++) {
        if (is_key(&object->fields[i], q)) {
            return &object->fields[i];
        }
    }
    return NULL;
}

/* Reads a key that was not found in place. *field: the field that it names, or NULL. */
static const uint8_t *read_key(smi_json_parser *p, const smi_json_node *object, const uint8_t *q,
                               smi_json_node **field)
{
    sm_json_token key;
    if (*q != '"') {
        return sm_json_scan_unexpected(&p->scan, q, "a key in quotes");
    }
    q = sm_json_scan_string(&p->scan, q, &key);
    if (q) {
        *field = smi_json_find(object, smi_json_text(p, key));
        if (!*field && p->is_counting && object->is_whole) {
            smi_json_unknown_add(p->unknown, object, key);
        }
    }
    return q;
}

/* Reads an object into the slots of its fields. Takes the place of its opening brace, returns the
 * place behind the closing one; NULL where the scan has found a fault. */
static const uint8_t *read_object(smi_json_parser *p, smi_json_node *object, const uint8_t *q)
{
    SM_ASSERT(*q == '{' && object->id == SM_TYPE_STRUCT && object->is_walked);
    SM_ASSERT(object->seen_open <= p->opened); /* numbers only count up */
    sm_json_scan *s = &p->scan;
    sm_json_token passed;
    const uint64_t seen = ++p->opened;
    int32_t *follow = object->follows;
    object->seen_open = seen;
    object->first_seen = NULL;

    q = sm_json_scan_open(s, q);
    bool more = q && *q != '}';
    while (q && more) {
        smi_json_node *field = object->n_fields > 0 ? object->fields + *follow : NULL;
        if (field && !is_key(field, q)) {
            field = find_in_place(object, q);
        }
        if (field && *q == '"') {
            q += 1 + field->key_len;
        } else {
            q = read_key(p, object, q, &field);
        }
        if (q && field) {
            *follow = (int32_t)(field - object->fields);
        }
        q = q ? sm_json_scan_colon(s, q) : NULL;
        if (!q) {
            break;
        }
        if (!field) {
            q = sm_json_scan_value(s, q, &passed);
        } else {
            smi_json_slot *slot = &field->slot;
            if (object->table && slot->seen != seen) {
                field->next_seen = object->first_seen;
                object->first_seen = field;
            }
            slot->seen = seen;
            follow = object->follows + 1 + (field - object->fields);
            if (*q == '{' && field->id == SM_TYPE_STRUCT && field->is_walked) {
                slot->token = (sm_json_token){.at = q, .kind = SM_JSON_IS_OBJECT};
                q = read_object(p, field, q);
            } else {
                q = sm_json_scan_value(s, q, &slot->token);
            }
        }
        q = q ? sm_json_scan_next(s, q, '}', &more) : NULL;
    }
    SM_ASSERT(!q || (s->depth > 0 && *q == '}'));
    s->depth--;
    return q ? q + 1 : NULL;
}

/* ---- lists ----------------------------------------------------------------------------------- */

/* Goes through the elements of a list. */
typedef struct elements {
    const uint8_t *at; /* the next element or the closing bracket */
    smi_json_node *element;
    bool more;
} elements;

/* Begins with the list in a token. The list was scanned with its line, so it has no faults. */
static elements elements_of(smi_json_parser *p, smi_json_node *list, const sm_json_token *t)
{
    SM_ASSERT(list->id == SM_TYPE_LIST && t->kind == SM_JSON_IS_ARRAY && *t->at == '[');
    const uint8_t *first = sm_json_skip_space(&p->scan, t->at + 1);
    return (elements){.at = first, .element = list->fields, .more = *first != ']'};
}

/* Reads the object at q, which is an element of a list or a value of a MAP, into the slots of its
 * node and its fields. */
static const uint8_t *read_element(smi_json_parser *p, smi_json_node *n, const uint8_t *q)
{
    const int32_t mark = p->is_counting ? smi_json_unknown_mark(p->unknown) : 0;
    p->scan.depth = 0;
    n->slot.seen = 0;
    n->slot.token = (sm_json_token){.at = q, .kind = SM_JSON_IS_OBJECT};
    q = read_object(p, n, q);
    SM_ASSERT(q && p->scan.depth == 0); /* it was scanned before */
    if (p->is_counting) {
        smi_json_unknown_settle(p->unknown, mark);
    }
    return q;
}

/* Puts the next element into the slot of its node. false after the last. */
static bool next_element(smi_json_parser *p, elements *it)
{
    smi_json_node *n = it->element;
    if (!it->more) {
        return false;
    }
    p->scan.depth = 0;
    n->slot.seen = 0;
    if (n->id == SM_TYPE_STRUCT && *it->at == '{') {
        it->at = read_element(p, n, it->at);
    } else {
        it->at = sm_json_scan_value(&p->scan, it->at, &n->slot.token);
    }
    SM_ASSERT(it->at); /* the list was scanned before */
    it->at = sm_json_scan_next(&p->scan, it->at, ']', &it->more);
    SM_ASSERT(it->at && (it->more || *it->at == ']'));
    return true;
}

/* ---- maps ------------------------------------------------------------------------------------ */

/* Puts a member's value into the slot of its node. */
static void take_value(smi_json_parser *p, smi_json_node *n, sm_json_token value)
{
    if (n->id == SM_TYPE_STRUCT && value.kind == SM_JSON_IS_OBJECT) {
        (void)read_element(p, n, value.at);
    } else {
        n->slot.seen = 0;
        n->slot.token = value;
    }
}

/* Collects the members of n's object. Where memory is refused there are none, and smi_json_line
 * returns the error that is left in p->no_memory. */
static smi_json_members members_of(smi_json_parser *p, const smi_json_node *n)
{
    smi_json_members m;
    const sm_status st = smi_json_members_open(p, n->slot.token, &m, p->error);
    if (st != SM_OK) {
        p->no_memory = st;
        m.n = 0;
    }
    return m;
}

/* ---- checking -------------------------------------------------------------------------------- */

static smi_json_verdict check_integer(smi_json_parser *p, const smi_json_node *n,
                                      smi_json_slot *slot)
{
    const sm_json_token t = slot->token;
    const uint8_t *digits = t.at;
    size_t len = t.len;
    if (t.kind == SM_JSON_IS_STRING) {
        bool is_odd = false;
        const sm_str text = smi_json_text(p, t);
        if (!smi_json_is_number(text, &is_odd) || is_odd) {
            return SMI_JSON_TYPE;
        }
        digits = (const uint8_t *)text.data;
        len = text.len;
    } else if (t.kind != SM_JSON_IS_NUMBER) {
        return SMI_JSON_TYPE;
    } else if (!t.is_odd && len <= 18 && n->id == SM_TYPE_I64) {
        const bool is_negative = digits[0] == '-'; /* 18 digits cannot overflow */
        int64_t v = 0;
        for (size_t i = is_negative; i < len; i++) {
            v = v * 10 + (digits[i] - '0');
        }
        slot->as.i = is_negative ? -v : v;
        return SMI_JSON_OK;
    }
    sm_i128 v = 0, min = 0, max = 0;
    const smi_json_verdict verdict = smi_json_exact(digits, len, 0, &v);
    if (verdict != SMI_JSON_OK) {
        return verdict;
    }
    smi_json_int_bounds(n->id, &min, &max);
    slot->as.i = (int64_t)(uint64_t)v;
    return v >= min && v <= max ? SMI_JSON_OK : SMI_JSON_RANGE;
}

/* The text of a number, or of a string that is a number; false for any other token. *is_odd: it has
 * a fraction or an exponent. */
static bool number_text(smi_json_parser *p, sm_json_token t, sm_str *out, bool *is_odd)
{
    if (t.kind == SM_JSON_IS_NUMBER) {
        *out = (sm_str){(const char *)t.at, t.len};
        *is_odd = t.is_odd;
        return true;
    }
    if (t.kind == SM_JSON_IS_STRING) {
        *out = smi_json_text(p, t);
        return smi_json_is_number(*out, is_odd);
    }
    return false;
}

/* A number without fraction and exponent is an integer, and is not rounded: the type must hold it
 * exactly. (Fractions are rounded, as everywhere.) */
static smi_json_verdict check_float_digits(sm_str digits, sm_type_id id)
{
    sm_i128 v = 0;
    const smi_json_verdict verdict =
        smi_json_exact((const uint8_t *)digits.data, digits.len, 0, &v);
    return verdict == SMI_JSON_OK && smi_json_fits_float(v, id) ? SMI_JSON_OK : SMI_JSON_INEXACT;
}

static smi_json_verdict check_float(smi_json_parser *p, const smi_json_node *n, smi_json_slot *slot)
{
    /* FLOAT holds all integers of 7 digits, DOUBLE those of 15 */
    const size_t safe = n->id == SM_TYPE_F32 ? 7 : 15;
    sm_str text = {0};
    bool is_odd = false;
    double v = 0;
    if (!number_text(p, slot->token, &text, &is_odd)) {
        return SMI_JSON_TYPE;
    }
    /* The text is a number, so parsing fails only where it is out of range. */
    float single = 0;
    const bool fits =
        n->id == SM_TYPE_F32 ? sm_parse_f32(text, false, &single) : sm_parse_f64(text, false, &v);
    slot->as.f = n->id == SM_TYPE_F32 ? (double)single : v;
    if (!fits) {
        return SMI_JSON_RANGE;
    }
    return is_odd || text.len <= safe || n->type->is_rounded ? SMI_JSON_OK
                                                             : check_float_digits(text, n->id);
}

/* A number with digits behind those of the type, as a cast of its text has it. */
static smi_json_verdict round_decimal(const sm_type *t, sm_str number, sm_i128 *out)
{
    sm_value v = {0};
    sm_error ignored = {0};

    if (sm_value_parse(t, number, &v, &ignored) != SM_OK) {
        return SMI_JSON_RANGE;
    }
    *out = v.as.d;
    return SMI_JSON_OK;
}

smi_json_verdict smi_json_decimal(smi_json_parser *p, const smi_json_node *n, sm_json_token t,
                                  sm_i128 *out)
{
    SM_ASSERT(n->id == SM_TYPE_DECIMAL && n->type->precision <= 38);
    sm_str text = {0};
    bool unused = false;
    if (!number_text(p, t, &text, &unused)) {
        return SMI_JSON_TYPE;
    }
    const smi_json_verdict verdict =
        smi_json_exact((const uint8_t *)text.data, text.len, n->type->scale, out);
    if (verdict == SMI_JSON_TYPE && n->type->is_rounded) {
        return round_decimal(n->type, text, out);
    }
    sm_i128 limit = 1;
    for (int i = 0; i < n->type->precision; i++) {
        limit *= 10;
    }
    const bool fits = verdict == SMI_JSON_OK && *out<limit && * out> - limit;
    return verdict != SMI_JSON_OK || fits ? verdict : SMI_JSON_RANGE;
}

/* A text has the value that a cast gives it. Where the column's type was found in a sample, though,
 * only those texts fit that would have given the column this type. Casting the others would drop
 * their clock, zone or digits below a microsecond, which nobody asked for. */
static smi_json_verdict check_time(smi_json_parser *p, const smi_json_node *n, smi_json_slot *slot)
{
    if (slot->token.kind != SM_JSON_IS_STRING) {
        return SMI_JSON_TYPE;
    }
    const sm_str text = smi_json_text(p, slot->token);
    const bool is_one = p->schema->is_found ? smi_json_time(text, &slot->as.i) == n->id
                                            : sm_parse_time_as(n->id, text, &slot->as.i);
    return is_one ? SMI_JSON_OK : SMI_JSON_TYPE;
}

/* A switch over the types. */
smi_json_verdict smi_json_check(smi_json_parser *p, smi_json_node *n)
{
    const sm_json_kind kind = (sm_json_kind)n->slot.token.kind;
    sm_i128 unused = 0;
    SM_ASSERT(kind != SM_JSON_IS_NULL && !sm_type_is_nested(n->id));
    switch (n->id) {
    case SM_TYPE_STRING:
        return kind == SM_JSON_IS_ARRAY || kind == SM_JSON_IS_OBJECT ? SMI_JSON_TYPE : SMI_JSON_OK;
    case SM_TYPE_BINARY:
        return kind == SM_JSON_IS_STRING ? SMI_JSON_OK : SMI_JSON_TYPE;
    case SM_TYPE_BOOL:
        return kind == SM_JSON_IS_TRUE || kind == SM_JSON_IS_FALSE ? SMI_JSON_OK : SMI_JSON_TYPE;
    case SM_TYPE_I8:
    case SM_TYPE_I16:
    case SM_TYPE_I32:
    case SM_TYPE_I64:
    case SM_TYPE_U8:
    case SM_TYPE_U16:
    case SM_TYPE_U32:
    case SM_TYPE_U64:
        return check_integer(p, n, &n->slot);
    case SM_TYPE_F32:
    case SM_TYPE_F64:
        return check_float(p, n, &n->slot);
    case SM_TYPE_DECIMAL:
        return smi_json_decimal(p, n, n->slot.token, &unused);
    case SM_TYPE_DATE:
    case SM_TYPE_TIME:
    case SM_TYPE_TIMESTAMP:
    case SM_TYPE_TIMESTAMP_NTZ:
        return check_time(p, n, &n->slot);
    default:
        return SMI_JSON_TYPE; /* the type NULL takes nothing but null */
    }
}

/* Notes a value that does not fit. Of several, the one whose column has the least rank is kept; of
 * one column's, the first. `culprit`: the node whose type it does not fit, at or below `column`. */
static void note_offence(smi_json_parser *p, smi_json_node *column, const smi_json_node *culprit,
                         smi_json_verdict verdict)
{
    SM_ASSERT(verdict != SMI_JSON_OK && !column->is_in_list && column->rank < INT32_MAX);
    if (!column->is_checked || (p->worst && p->worst->rank <= column->rank)) {
        return;
    }
    p->worst = column;
    p->culprit = culprit;
    p->verdict = verdict;
    p->worst_token = culprit->slot.token;
}

static void check_node(smi_json_parser *p, smi_json_node *n, smi_json_node *column);

/* Checks the fields that the object has. In a STRUCT with many fields only those are visited, by
 * the list that read_object made: the order does not matter, as each field has a rank of its own.
 * In a list all fields have the column's rank, and the first one in the schema's order counts. */
static void check_fields(smi_json_parser *p, smi_json_node *n, smi_json_node *column)
{
    if (n->table && !n->is_in_list) {
        for (smi_json_node *field = n->first_seen; field; field = field->next_seen) {
            SM_ASSERT(field->parent == n && field->slot.seen == n->seen_open);
            check_node(p, field, field);
        }
        return;
    }
    for (int32_t i = 0; i < n->n_fields; i++) {
        if (n->fields[i].slot.seen == n->seen_open) {
            check_node(p, &n->fields[i], n->is_in_list ? column : &n->fields[i]);
        }
    }
}

static void check_map(smi_json_parser *p, smi_json_node *n, smi_json_node *column)
{
    smi_json_node *value = &n->fields[1];
    const smi_json_members m = members_of(p, n);
    for (int64_t i = 0; i < m.n; i++) {
        take_value(p, value, smi_json_member_at(p, &m, i).value);
        check_node(p, value, column);
    }
    smi_json_members_close(p, &m);
}

/* Checks what is in n's slot. `column`: n, or the outermost list or map around it. */
static void check_node(smi_json_parser *p, smi_json_node *n, smi_json_node *column)
{
    const sm_json_kind kind = (sm_json_kind)n->slot.token.kind;
    if (!n->is_walked || kind == SM_JSON_IS_NULL) {
        return;
    }
    if (n->id == SM_TYPE_STRUCT) {
        if (kind != SM_JSON_IS_OBJECT) {
            note_offence(p, column, n, SMI_JSON_TYPE);
            return;
        }
        check_fields(p, n, column);
    } else if (n->id == SM_TYPE_LIST) {
        if (kind != SM_JSON_IS_ARRAY) {
            note_offence(p, column, n, SMI_JSON_TYPE);
            return;
        }
        elements it = elements_of(p, n, &n->slot.token);
        while (next_element(p, &it)) {
            check_node(p, it.element, column);
        }
    } else if (n->id == SM_TYPE_MAP) {
        if (kind != SM_JSON_IS_OBJECT) {
            note_offence(p, column, n, SMI_JSON_TYPE);
            return;
        }
        check_map(p, n, column);
    } else if (n->is_checked) {
        const smi_json_verdict verdict = smi_json_check(p, n);
        if (verdict != SMI_JSON_OK) {
            note_offence(p, column, n, verdict);
        }
    }
}

/* ---- appending ------------------------------------------------------------------------------- */

int32_t smi_json_bind(smi_json_node *n, sm_block *block)
{
    SM_ASSERT(n->is_wanted && sm_type_is_bytes(n->id));
    if (n->bound != block) {
        n->bound = block;
        n->bound_index = sm_builder_block(n->builder, block);
    }
    return n->bound_index;
}

/* Appends a token's bytes without copying them: the builder keeps the line's block. */
static void append_span(smi_json_parser *p, smi_json_node *n)
{
    const sm_str span = {(const char *)n->slot.token.at, n->slot.token.len};
    sm_builder_str_in(n->builder, smi_json_bind(n, p->block), span);
}

/* Appends a value of a scalar type, checked and not null. A switch over the types. */
static void append_scalar(smi_json_parser *p, smi_json_node *n)
{
    SM_ASSERT(n->is_wanted && n->slot.token.kind != SM_JSON_IS_NULL);
    const smi_json_slot *slot = &n->slot;
    sm_i128 d = 0;
    switch (n->id) {
    case SM_TYPE_STRING:
    case SM_TYPE_BINARY:
        if (slot->token.kind == SM_JSON_IS_STRING && slot->token.is_odd) {
            sm_builder_str(n->builder, smi_json_text(p, slot->token));
        } else {
            append_span(p, n);
        }
        break;
    case SM_TYPE_BOOL:
        sm_builder_bool(n->builder, slot->token.kind == SM_JSON_IS_TRUE);
        break;
    case SM_TYPE_U8:
    case SM_TYPE_U16:
    case SM_TYPE_U32:
    case SM_TYPE_U64:
        sm_builder_u64(n->builder, (uint64_t)slot->as.i);
        break;
    case SM_TYPE_F32:
    case SM_TYPE_F64:
        sm_builder_f64(n->builder, slot->as.f);
        break;
    case SM_TYPE_DECIMAL:
        (void)smi_json_decimal(p, n, slot->token, &d);
        sm_builder_i128(n->builder, d);
        break;
    default:
        sm_builder_i64(n->builder, slot->as.i);
        break;
    }
}

static void append_value(smi_json_parser *p, smi_json_node *n, bool is_there);

static void append_map(smi_json_parser *p, smi_json_node *n)
{
    smi_json_node *key = &n->fields[0], *value = &n->fields[1];
    const smi_json_members members = members_of(p, n);
    for (int64_t i = 0; i < members.n; i++) {
        const smi_json_member m = smi_json_member_at(p, &members, i);
        key->slot.token = m.key;
        append_scalar(p, key);
        take_value(p, value, m.value);
        append_value(p, value, true);
    }
    smi_json_members_close(p, &members);
    sm_builder_list(n->builder);
}

/* Appends what is in n's slot; NULL if the key is missing (is_there false). */
static void append_value(smi_json_parser *p, smi_json_node *n, bool is_there)
{
    SM_ASSERT(n->is_wanted && n->is_checked);
    if (!is_there || n->slot.token.kind == SM_JSON_IS_NULL) {
        sm_builder_null(n->builder);
    } else if (n->id == SM_TYPE_STRUCT) {
        for (int32_t i = 0; i < n->n_made; i++) {
            append_value(p, n->made[i], n->made[i]->slot.seen == n->seen_open);
        }
        sm_builder_struct(n->builder);
    } else if (n->id == SM_TYPE_LIST) {
        elements it = elements_of(p, n, &n->slot.token);
        while (next_element(p, &it)) {
            append_value(p, it.element, true);
        }
        sm_builder_list(n->builder);
    } else if (n->id == SM_TYPE_MAP) {
        append_map(p, n);
    } else {
        if (n->is_in_list) {
            (void)smi_json_check(p, n); /* later elements have overwritten the slot since */
        }
        append_scalar(p, n);
    }
}

void smi_json_parser_unbind(smi_json_parser *p)
{
    for (int32_t i = 0; i < p->schema->n_bindable; i++) {
        p->schema->bindable[i]->bound = NULL;
    }
}

/* ---- refusing -------------------------------------------------------------------------------- */

#define EXCERPT_BYTES 64

static const struct {
    const char *name;
    sm_status status;
} reasons[] = {
    [SMI_JSON_FINE] = {"fine", SM_OK},
    [SMI_JSON_TOO_LONG] = {"too_long", SM_LIMIT},
    [SMI_JSON_INVALID_UTF8] = {"invalid_utf8", SM_SYNTAX},
    [SMI_JSON_SYNTAX] = {"syntax", SM_SYNTAX},
    [SMI_JSON_TOO_DEEP] = {"too_deep", SM_LIMIT},
    [SMI_JSON_LONE_SURROGATE] = {"lone_surrogate", SM_SYNTAX},
    [SMI_JSON_NOT_OBJECT] = {"not_object", SM_TYPE},
    [SMI_JSON_OUT_OF_RANGE] = {"out_of_range", SM_RANGE},
    [SMI_JSON_TYPE_MISMATCH] = {"type_mismatch", SM_TYPE},
};
_Static_assert(SM_COUNT(reasons) == SMI_JSON_TYPE_MISMATCH + 1, "a name for each reason");

const char *smi_json_reason_name(smi_json_reason r)
{
    return reasons[r].name;
}

const char *sm_refused_reason(int32_t i)
{
    const int32_t n = SMI_JSON_TYPE_MISMATCH - SMI_JSON_FINE;

    SM_ASSERT(i >= 0);
    return i < n ? reasons[SMI_JSON_FINE + 1 + i].name : NULL;
}

sm_status smi_json_reason_status(smi_json_reason r)
{
    return reasons[r].status;
}

static smi_json_reason reason_of(sm_json_fault fault)
{
    static const smi_json_reason of[] = {
        [SM_JSON_NO_FAULT] = SMI_JSON_FINE,
        [SM_JSON_FAULT_SYNTAX] = SMI_JSON_SYNTAX,
        [SM_JSON_FAULT_DEPTH] = SMI_JSON_TOO_DEEP,
        [SM_JSON_FAULT_SURROGATE] = SMI_JSON_LONE_SURROGATE,
    };
    _Static_assert(SM_COUNT(of) == SM_JSON_FAULT_SURROGATE + 1, "a reason for each fault");
    return of[fault];
}

static void refuse_line(smi_json_parser *p, smi_json_reason reason, const uint8_t *at,
                        smi_json_refusal *why)
{
    SM_ASSERT(reason != SMI_JSON_FINE && at >= p->scan.start && at <= p->scan.end);
    why->reason = reason;
    why->byte = at - p->scan.start + 1;
    why->column = (sm_str){0};
}

static void refuse_column(smi_json_parser *p, smi_json_refusal *why)
{
    SM_ASSERT(p->verdict != SMI_JSON_OK && p->worst->is_checked);
    const sm_json_token t = p->worst_token;
    const bool is_string = t.kind == SM_JSON_IS_STRING;
    char excerpt[EXCERPT_BYTES];
    sm_buf type = {0};

    p->worst->n_misfits++;
    /* The kind of the column's own value, which may hold the one that does not fit. */
    const sm_json_token own = p->worst->slot.token;
    p->worst->misfit_kinds |= smi_json_kind(own.at - (own.kind == SM_JSON_IS_STRING));
    refuse_line(p, p->verdict == SMI_JSON_TYPE ? SMI_JSON_TYPE_MISMATCH : SMI_JSON_OUT_OF_RANGE,
                t.at - is_string, why);
    why->column = p->worst->column;
    sm_type_print(p->culprit->type, &type);
    sm_json_excerpt(t.at, t.len, excerpt, sizeof(excerpt));
    const char *quote = is_string ? "\"" : "";
    snprintf(why->message, sizeof(why->message),
             p->verdict == SMI_JSON_RANGE     ? "%s%s%s is out of the range of %.*s"
             : p->verdict == SMI_JSON_INEXACT ? "%s%s%s is an integer that %.*s cannot hold exactly"
                                              : "%s%s%s cannot be read as %.*s",
             quote, excerpt, quote, (int)(type.len > 80 ? 80 : type.len), (const char *)type.data);
    sm_buf_release(&type);
}

static bool is_ascii(const uint8_t *p, size_t n)
{
    size_t i = 0;
#if defined(__SSE2__)
    __m128i any = _mm_setzero_si128();
    for (; i + 16 <= n; i += 16) {
        any = _mm_or_si128(any, _mm_loadu_si128((const __m128i *)(p + i)));
    }
    if (_mm_movemask_epi8(any) != 0) {
        return false;
    }
#endif
    uint8_t rest = 0;
    for (; i < n; i++) {
        rest |= p[i];
    }
    return rest < 0x80;
}

/* Checks the line but for its types (UTF-8, syntax, that it is an object) and fills the slots.
 * false where it is refused. */
static bool scan_line(smi_json_parser *p, const smi_line *line, smi_json_refusal *why)
{
    smi_json_node *root = &p->schema->root;
    sm_json_scan *s = &p->scan;
    sm_json_token whole;

    if (!is_ascii(line->data, line->len)) {
        const size_t bad = sm_utf8_check(line->data, line->len);
        if (bad < line->len) {
            refuse_line(p, SMI_JSON_INVALID_UTF8, line->data + bad, why);
            snprintf(why->message, sizeof(why->message), "byte 0x%02x begins no UTF-8 character",
                     line->data[bad]);
            return false;
        }
    }
    const uint8_t *first = sm_json_skip_space(s, line->data);
    const bool is_object = *first == '{';
    const uint8_t *q =
        is_object ? read_object(p, root, first) : sm_json_scan_value(s, first, &whole);
    q = q ? sm_json_skip_space(s, q) : NULL;
    if (q && q != s->end) {
        q = sm_json_scan_unexpected(s, q, "the end of the line");
    }
    if (!q) {
        refuse_line(p, reason_of(s->fault), s->bad, why);
        sm_json_scan_message(s, why->message, sizeof(why->message));
        return false;
    }
    if (!is_object) {
        refuse_line(p, SMI_JSON_NOT_OBJECT, first, why);
        snprintf(why->message, sizeof(why->message), "a line is an object, not %s",
                 sm_json_kind_name((sm_json_kind)whole.kind));
    }
    return is_object;
}

static void append_row(smi_json_parser *p)
{
    const smi_json_schema *schema = p->schema;
    p->is_counting = false; /* lists are read a second time, and their keys were counted */
    for (int32_t i = 0; i < schema->n_wanted; i++) {
        smi_json_node *n = schema->wanted[i];
        append_value(p, n, n->slot.seen == schema->root.seen_open);
        SM_ASSERT(sm_builder_rows(schema->builders[i]) == sm_builder_rows(schema->builders[0]));
    }
}

sm_status smi_json_line(smi_json_parser *p, const smi_line *line, bool *is_kept,
                        smi_json_refusal *why, sm_error *e)
{
    smi_json_node *root = &p->schema->root;
    SM_ASSERT(line->len > 0 && (line->is_too_long || line->data[line->len] == '\n'));
    SM_ASSERT(!p->unknown || p->schema->looks_unknown);
    *is_kept = false;
    p->scan = sm_json_scan_of(line->data, line->len);
    p->block = line->block;
    p->worst = NULL;
    p->is_counting = p->unknown != NULL;
    if (line->is_too_long) {
        refuse_line(p, SMI_JSON_TOO_LONG, line->data, why);
        snprintf(why->message, sizeof(why->message),
                 "a line of %llu bytes is over the limit of %zu",
                 (unsigned long long)line->full_bytes, SMI_LINE_MAX_BYTES);
        return SM_OK;
    }
    if (line->len > p->scratch.cap) { /* smi_json_text unescapes into it */
        SM_TRY(sm_buf_reserve(&p->scratch, line->len, e));
    }
    if (p->schema->has_maps) {
        sm_buf_reset(&p->members);
        sm_buf_reset(&p->key_text);
        SM_TRY(sm_buf_reserve(&p->key_text, line->len, e));
        p->no_memory = SM_OK;
        p->error = e;
    }
    if (p->unknown) {
        smi_json_unknown_line(p->unknown);
    }
    if (!scan_line(p, line, why)) {
        return SM_OK;
    }
    if (p->unknown) {
        smi_json_unknown_settle(p->unknown, 0);
    }
    root->slot.token.kind = SM_JSON_IS_OBJECT;
    check_node(p, root, root);
    SM_TRY(p->no_memory);
    if (p->worst) {
        refuse_column(p, why);
        return SM_OK;
    }
    append_row(p);
    SM_TRY(p->no_memory);
    smi_json_keys_count(p->schema);
    SM_ASSERT(p->members.len == 0 && p->key_text.len == 0); /* each MAP was closed */
    *is_kept = true;
    return SM_OK;
}
