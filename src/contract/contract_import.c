/* SPDX-License-Identifier: Apache-2.0
 *
 * contract/contract_import.c: a Patito model becomes a contract, by its JSON Schema.
 *
 * Form     pydantic's: {"title", "properties", "$defs"}. A model within a model is a $ref; a field
 *          that may be null is anyOf [its schema, null]. Patito's own words are in column_info, an
 *          object as text: dtype, unique, constraints, derived_from, allow_missing.
 * Null     A column of Patito is nullable by its type; that pydantic's `required` lacks it says
 *          only that it has a default.
 * Exprs    Constraints are expressions of Polars, in its JSON. Comparisons of columns and
 *          constants, joined by and, or, not, mean the same in SQL; what else there is, is left out
 *          by name.
 * Source   Patito 0.8.6, validators.py: pattern is a search, lengths count characters, null breaks
 *          no rule but that of the type */
#include "base/json_doc.h"
#include "base/json_write.h"
#include "base/quote.h"
#include "base/text.h"
#include "contract/contract_int.h"

enum { DEEPEST = 16, MOST_COLUMNS = 10000 }; /* models within models, and all of their fields */

typedef struct importing {
    smi_making m;
    sm_arena *a;
    const sm_json *root;
    sm_contract_note *notes;
    int64_t n_notes, cap_notes;
} importing;

static void leave_out(importing *p, int32_t column, const char *what)
{
    p->notes = sm_arena_grow(p->a, p->notes, p->n_notes, &p->cap_notes, sizeof(*p->notes));
    p->notes[p->n_notes++].text = sm_arena_strf(p->a, "%s of column %.*s is left out", what,
                                                SM_STR_ARG(p->m.t->columns[column].path));
}

/* ---- schemas --------------------------------------------------------------------------------- */

/* What "#/$defs/Name" stands for; the node itself where it is no reference; NULL: there is none. */
static const sm_json *follow(const importing *p, const sm_json *node)
{
    const sm_json *ref = sm_json_get(node, "$ref");
    const sm_str text = sm_json_text(ref), start = SM_STR("#/$defs/");

    if (!ref) {
        return node;
    }
    if (!sm_str_starts(text, start)) {
        return NULL;
    }
    const sm_str name = {text.data + start.len, text.len - start.len};
    const sm_json *defs = sm_json_get(p->root, "$defs");
    for (const sm_json *d = defs ? defs->child : NULL; d; d = d->next) {
        if (sm_str_eq(d->key, name)) {
            return d;
        }
    }
    return NULL;
}

static bool is_null_type(const sm_json *node)
{
    return sm_str_is(sm_json_text(sm_json_get(node, "type")), "null");
}

/* The schema of a field's values, without null. NULL: it has several. */
static const sm_json *inner_of(const importing *p, const sm_json *node, bool *is_nullable)
{
    const sm_json *any = sm_json_get(node, "anyOf"), *all = sm_json_get(node, "allOf");
    const sm_json *found = NULL;

    if (all && all->n_children == 1) {
        return follow(p, all->child);
    }
    if (!any) {
        return follow(p, node);
    }
    for (const sm_json *x = any->child; x; x = x->next) {
        if (is_null_type(x)) {
            *is_nullable = true;
        } else if (found) {
            return NULL;
        } else {
            found = follow(p, x);
        }
    }
    return found;
}

/* Patito's own word of a field: in column_info, which is text or an object, or beside it. Keeps the
 * tree of the text in the arena. NULL: it is not there, or null. */
static const sm_json *own_word(const importing *p, const sm_json *node, const char *key)
{
    const sm_json *info = sm_json_get(node, "column_info"), *word = NULL;
    sm_error unused = {0};

    if (info && info->type == SM_JSON_STRING &&
        sm_json_parse(info->text, p->a, &info, &unused) != SM_OK) {
        return NULL;
    }
    word = sm_json_get(info ? info : node, key);
    const bool is_null = !word || word->type == SM_JSON_NULL ||
                         (word->type == SM_JSON_STRING && sm_str_is(word->text, "null"));
    return is_null ? NULL : word;
}

/* ---- types ----------------------------------------------------------------------------------- */

static sm_logical_type logical_of(const sm_json *node)
{
    static const struct {
        const char *type, *format;
        sm_logical_type logical;
    } types[] = {
        {"string", "date", SM_LOGICAL_DATE}, {"string", "date-time", SM_LOGICAL_TIMESTAMP},
        {"string", "time", SM_LOGICAL_TIME}, {"string", "duration", SM_LOGICAL_NONE},
        {"string", NULL, SM_LOGICAL_STRING}, {"integer", NULL, SM_LOGICAL_INTEGER},
        {"number", NULL, SM_LOGICAL_NUMBER}, {"boolean", NULL, SM_LOGICAL_BOOLEAN},
        {"array", NULL, SM_LOGICAL_ARRAY},   {"object", NULL, SM_LOGICAL_OBJECT},
    };
    const sm_str type = sm_json_text(sm_json_get(node, "type"));
    const sm_str format = sm_json_text(sm_json_get(node, "format"));

    for (int i = 0; i < SM_COUNT(types); i++) {
        if (sm_str_is(type, types[i].type) &&
            (!types[i].format || sm_str_is(format, types[i].format))) {
            return types[i].logical;
        }
    }
    return SM_LOGICAL_NONE;
}

/* The type of Polars that the column must have, as SQL has it. */
static void take_dtype(importing *p, const sm_json *node, int32_t column)
{
    static const char *const types[][2] = {
        {"Int8", "TINYINT"},    {"Int16", "SMALLINT"}, {"Int32", "INTEGER"},
        {"Int64", "BIGINT"},    {"UInt8", "UTINYINT"}, {"UInt16", "USMALLINT"},
        {"UInt32", "UINTEGER"}, {"UInt64", "UBIGINT"}, {"Float32", "FLOAT"},
        {"Float64", "DOUBLE"},  {"String", "VARCHAR"}, {"Utf8", "VARCHAR"},
        {"Boolean", "BOOLEAN"}, {"Date", "DATE"},
    };
    const sm_json *dtype = own_word(p, node, "dtype");

    for (int i = 0; dtype && i < SM_COUNT(types); i++) {
        if (sm_str_is(dtype->text, types[i][0])) {
            p->m.t->columns[column].physical_type = sm_str_of(types[i][1]);
            return;
        }
    }
    if (dtype) {
        leave_out(p, column, sm_arena_printf(p->a, "dtype %.*s", SM_STR_ARG(dtype->text)));
    }
}

/* ---- rules ----------------------------------------------------------------------------------- */

static const struct {
    const char *key;
    sm_rule_kind kind;
    unsigned of; /* logical types */
} options[] = {
#define OF(type) (1u << SM_LOGICAL_##type)
    {"minimum", SM_RULE_MINIMUM, OF(NUMBER) | OF(INTEGER)},
    {"exclusiveMinimum", SM_RULE_EXCLUSIVE_MINIMUM, OF(NUMBER) | OF(INTEGER)},
    {"maximum", SM_RULE_MAXIMUM, OF(NUMBER) | OF(INTEGER)},
    {"exclusiveMaximum", SM_RULE_EXCLUSIVE_MAXIMUM, OF(NUMBER) | OF(INTEGER)},
    {"multipleOf", SM_RULE_MULTIPLE_OF, OF(NUMBER) | OF(INTEGER)},
    {"minLength", SM_RULE_MIN_LENGTH, OF(STRING)},
    {"maxLength", SM_RULE_MAX_LENGTH, OF(STRING)},
    {"pattern", SM_RULE_PATTERN, OF(STRING)},
#undef OF
};

/* Does the word of JSON Schema say nothing of values, or is it looked at elsewhere? */
static bool is_known(sm_str key)
{
    static const char *const words[] = {
        "title",    "description", "type",   "format",      "column_info", "anyOf",
        "allOf",    "$ref",        "enum",   "const",       "properties",  "required",
        "examples", "dtype",       "unique", "constraints", "derived_from"};

    for (int i = 0; i < SM_COUNT(words); i++) {
        if (sm_str_is(key, words[i])) {
            return true;
        }
    }
    return false;
}

static void take_option(importing *p, const sm_json *x, int32_t column)
{
    const unsigned logical = 1u << p->m.t->columns[column].logical;

    for (int i = 0; i < SM_COUNT(options); i++) {
        if (sm_str_is(x->key, options[i].key) && (options[i].of & logical) &&
            x->type == (options[i].kind == SM_RULE_PATTERN ? SM_JSON_STRING : SM_JSON_NUMBER) &&
            x->text.len > 0) {
            smi_make_rule(&p->m, options[i].kind, column)->text = x->text;
            return;
        }
    }
    const bool is_nothing = sm_str_is(x->key, "default") && x->type == SM_JSON_NULL;
    if (!is_known(x->key) && !is_nothing) {
        leave_out(p, column, sm_arena_printf(p->a, "%.*s", SM_STR_ARG(x->key)));
    }
}

static void take_format(importing *p, const sm_json *node, int32_t column)
{
    const sm_str format = sm_json_text(sm_json_get(node, "format"));
    const sm_logical_type logical = p->m.t->columns[column].logical;

    if (format.len == 0 || (logical >= SM_LOGICAL_DATE && logical <= SM_LOGICAL_TIME)) {
        return;
    }
    for (int32_t i = 0; logical == SM_LOGICAL_STRING && i < smi_n_text_formats; i++) {
        if (sm_str_eq(smi_text_formats[i].word, format) && smi_text_formats[i].pattern.len > 0) {
            smi_make_rule(&p->m, SM_RULE_TEXT_FORMAT, column)->text = format;
            return;
        }
    }
    leave_out(p, column, sm_arena_printf(p->a, "format %.*s", SM_STR_ARG(format)));
}

static void add_values(importing *p, const sm_json *first, int64_t n, int32_t column)
{
    sm_rule_value *values = SM_NEW_ARRAY(p->a, sm_rule_value, n + 1);
    sm_rule *r = smi_make_rule(&p->m, SM_RULE_VALID_VALUES, column);

    r->is_quality = true;
    r->values = values;
    for (const sm_json *x = first; x && n > 0; x = x->next, n--) {
        if (x->type == SM_JSON_NULL) {
            r->takes_null = true;
            continue;
        }
        const sm_str flag = x->b ? SM_STR("true") : SM_STR("false");
        values[r->n_values++] = (sm_rule_value){.text = x->type == SM_JSON_BOOL ? flag : x->text,
                                                .is_plain = x->type != SM_JSON_STRING};
    }
}

/* ---- constraints ----------------------------------------------------------------------------- */

static bool put_expr(const importing *p, const sm_json *x, sm_str own, sm_buf *out);

static bool put_pair(const importing *p, const sm_json *x, sm_str own, sm_buf *out)
{
    static const char *const ops[][2] = {
        {"Lt", "<"},     {"LtEq", "<="}, {"Gt", ">"},  {"GtEq", ">="},        {"Eq", "="},
        {"NotEq", "<>"}, {"And", "AND"}, {"Or", "OR"}, {"LogicalAnd", "AND"}, {"LogicalOr", "OR"},
    };
    const sm_str op = sm_json_text(sm_json_get(x, "op"));
    int i = 0;

    while (i < SM_COUNT(ops) && !sm_str_is(op, ops[i][0])) {
        i++;
    }
    if (i == SM_COUNT(ops)) {
        return false;
    }
    sm_buf_text(out, SM_STR("("));
    bool is_said = put_expr(p, sm_json_get(x, "left"), own, out);
    sm_buf_printf(out, " %s ", ops[i][1]);
    is_said = is_said && put_expr(p, sm_json_get(x, "right"), own, out);
    sm_buf_text(out, SM_STR(")"));
    return is_said;
}

/* {"Dyn": {"Int": 10}}, {"Scalar": {"String": "x"}} */
static bool put_literal(const sm_json *x, sm_buf *out)
{
    const sm_json *kind = x ? x->child : NULL;
    const sm_json *v = kind && kind->type == SM_JSON_OBJECT ? kind->child : NULL;

    if (!v || !(sm_str_is(kind->key, "Dyn") || sm_str_is(kind->key, "Scalar"))) {
        return false;
    }
    if (v->type == SM_JSON_BOOL) {
        sm_buf_text(out, v->b ? SM_STR("true") : SM_STR("false"));
    } else if (v->type == SM_JSON_STRING && sm_str_is(v->key, "String")) {
        sm_buf_quoted(out, v->text, '\'');
    } else if (v->type == SM_JSON_NUMBER && !sm_str_starts(v->key, SM_STR("Date"))) {
        sm_buf_text(out, v->text);
    } else {
        return false;
    }
    return v->type != SM_JSON_NUMBER || sm_str_is(kind->key, "Dyn") ||
           sm_str_starts(v->key, SM_STR("Int")) || sm_str_starts(v->key, SM_STR("UInt")) ||
           sm_str_starts(v->key, SM_STR("Float"));
}

/* An expression of Polars as SQL; false: it has something else than is known to mean the same. The
 * depth of JSON is bounded. */
static bool put_expr(const importing *p, const sm_json *x, sm_str own, sm_buf *out)
{
    const sm_json *part = x && x->type == SM_JSON_OBJECT && x->n_children == 1 ? x->child : NULL;

    if (!part) {
        return false;
    }
    if (sm_str_is(part->key, "BinaryExpr")) {
        return put_pair(p, part, own, out);
    }
    if (sm_str_is(part->key, "Column") && part->type == SM_JSON_STRING) {
        sm_buf_quoted(out, sm_str_is(part->text, "_") ? own : part->text, '"');
        return true;
    }
    if (sm_str_is(part->key, "Literal")) {
        return put_literal(part, out);
    }
    const sm_json *what = sm_json_get(sm_json_get(part, "function"), "Boolean");
    const sm_json *input = sm_json_get(part, "input");
    if (sm_str_is(part->key, "Function") && sm_str_is(sm_json_text(what), "Not") && input) {
        sm_buf_text(out, SM_STR("NOT "));
        return put_expr(p, input->child, own, out);
    }
    return false;
}

static void take_constraint(importing *p, sm_str json, int32_t column, int n)
{
    const sm_contract_column *c = &p->m.t->columns[column];
    const sm_json *x = NULL;
    sm_buf out = {0};
    sm_error unused = {0};

    /* A field is named by a path in SQL, and by its own name in Patito. */
    if (c->parent < 0 && sm_json_parse(json, p->a, &x, &unused) == SM_OK &&
        put_expr(p, x, c->physical, &out)) {
        sm_rule *r = smi_make_rule(&p->m, SM_RULE_EXPRESSION, column);
        r->is_quality = true;
        r->name = sm_arena_strf(p->a, "%.*s:constraint %d", SM_STR_ARG(c->path), n);
        r->text = sm_arena_take(p->a, &out);
    } else {
        leave_out(p, column, sm_arena_printf(p->a, "constraint %d", n));
    }
    sm_buf_release(&out);
}

/* One expression, or a list of such, each as text. */
static void take_constraints(importing *p, const sm_json *node, int32_t column)
{
    const sm_json *word = own_word(p, node, "constraints"), *list = NULL;
    sm_error unused = {0};
    int n = 0;

    if (!word) {
        return;
    }
    if (word->type != SM_JSON_STRING || sm_json_parse(word->text, p->a, &list, &unused) != SM_OK) {
        leave_out(p, column, "constraints");
    } else if (list->type != SM_JSON_ARRAY) {
        take_constraint(p, word->text, column, 1);
    } else {
        for (const sm_json *x = list->child; x; x = x->next) {
            take_constraint(p, sm_json_text(x), column, ++n);
        }
    }
}

/* ---- columns --------------------------------------------------------------------------------- */

static sm_status take_properties(importing *p, const sm_json *model, int32_t parent, int depth,
                                 sm_error *e);

/* What a field says beside its type: at the field itself, and at what it stands for. */
static void take_rules(importing *p, const sm_json *node, const sm_json *inner, int32_t column)
{
    const sm_json *unique = own_word(p, node, "unique");

    if (unique && unique->type == SM_JSON_BOOL && unique->b) {
        smi_make_rule(&p->m, SM_RULE_UNIQUE, column);
    }
    for (const sm_json *x = inner->child; x; x = x->next) {
        take_option(p, x, column);
    }
    for (const sm_json *x = inner != node ? node->child : NULL; x; x = x->next) {
        take_option(p, x, column);
    }
    take_format(p, inner, column);
    const sm_json *list = sm_json_get(inner, "enum"), *one = sm_json_get(inner, "const");
    if (list && list->n_children > 0) {
        add_values(p, list->child, list->n_children, column);
    } else if (one) {
        add_values(p, one, 1, column);
    }
    take_constraints(p, node, column);
    static const char *const words[] = {"derived_from", "allow_missing"};
    for (int i = 0; i < SM_COUNT(words); i++) {
        const sm_json *word = own_word(p, node, words[i]);
        if (word && (word->type != SM_JSON_BOOL || word->b)) {
            leave_out(p, column, words[i]);
        }
    }
}

static sm_status take_column(importing *p, const sm_json *node, int32_t parent, int depth,
                             sm_error *e)
{
    bool is_nullable = is_null_type(node);
    const sm_json *inner = inner_of(p, node, &is_nullable);
    const int32_t own =
        smi_make_column(&p->m, node->key, parent, inner ? logical_of(inner) : SM_LOGICAL_NONE);

    p->m.t->columns[own].description = sm_json_text(sm_json_get(node, "description"));
    if (!is_nullable) {
        smi_make_rule(&p->m, SM_RULE_REQUIRED, own);
    }
    if (!inner || p->m.t->columns[own].logical == SM_LOGICAL_NONE) {
        leave_out(p, own, "the type");
    }
    take_dtype(p, node, own);
    take_rules(p, node, inner ? inner : node, own);
    return inner && sm_json_get(inner, "properties") ? take_properties(p, inner, own, depth + 1, e)
                                                     : SM_OK;
}

static sm_status take_properties(importing *p, const sm_json *model, int32_t parent, int depth,
                                 sm_error *e)
{
    const sm_json *properties = sm_json_get(model, "properties");

    if (depth > DEEPEST) {
        return sm_fail(e, SM_LIMIT, "models lie within models, deeper than %d", DEEPEST);
    }
    if (!properties || properties->type != SM_JSON_OBJECT || properties->n_children == 0) {
        return sm_fail(e, SM_SYNTAX, "the JSON is no schema of a model: it has no properties");
    }
    for (const sm_json *x = properties->child; x; x = x->next) {
        if (p->m.t->n_columns >=
            MOST_COLUMNS) { /* models that name each other double at each step */
            return sm_fail(e, SM_LIMIT, "the model has more than %d fields", MOST_COLUMNS);
        }
        SM_TRY(take_column(p, x, parent, depth, e));
    }
    return SM_OK;
}

sm_status sm_contract_import_patito(sm_str name, sm_str text, sm_arena *a, sm_contract **out,
                                    sm_contract_note **notes, int64_t *n_notes, sm_error *e)
{
    importing p = {.a = a};

    SM_TRY(sm_json_parse(text, a, &p.root, e));
    const sm_str title = sm_json_text(sm_json_get(p.root, "title"));
    sm_contract *c = smi_make_contract(&p.m,
                                       name.len > 0    ? name
                                       : title.len > 0 ? title
                                                       : SM_STR("rows"),
                                       a);
    p.m.t->description = sm_json_text(sm_json_get(p.root, "description"));
    SM_TRY(take_properties(&p, p.root, -1, 1, e));
    *out = c;
    *notes = p.notes;
    *n_notes = p.n_notes;
    return SM_OK;
}
