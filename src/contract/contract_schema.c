/* SPDX-License-Identifier: Apache-2.0
 *
 * contract/contract_schema.c: a table of a contract as the JSON Schema of a row. Called by
 * contract_export.c.
 *
 * NULL     A column that is not required may be null or missing, so null is among its types and
 *          values. One that is required is neither.
 * Twice    Where two rules use one keyword, the second stands in an allOf.
 * Times    are texts in JSON, of a format; their bounds cannot be said.
 * Source   JSON Schema 2020-12, Validation */
#include "base/json_write.h"
#include "base/yaml_write.h"
#include "contract/contract_int.h"

/* A column while its schema is written. */
typedef struct schema_column {
    smi_exporting *x;
    sm_json_writer *w;
    int32_t column;
    bool is_required;
    sm_json_writer more; /* of allOf: objects without brackets around them all */
    sm_buf more_text;
    const char *used[SM_RULES + 4]; /* keywords */
    int n_used;
} schema_column;

static bool is_number(sm_logical_type t)
{
    return t == SM_LOGICAL_NUMBER || t == SM_LOGICAL_INTEGER;
}

/* ---- keywords -------------------------------------------------------------------------------- */

/* Begins the value of a keyword: in the schema itself, or where that has it already, in an object
 * of allOf, which end_keyword() ends. */
static sm_json_writer *begin_keyword(schema_column *s, const char *keyword)
{
    for (int i = 0; i < s->n_used; i++) {
        if (strcmp(s->used[i], keyword) == 0) {
            sm_json_begin_object(&s->more);
            sm_json_key(&s->more, sm_str_of(keyword));
            return &s->more;
        }
    }
    SM_ENSURE(s->n_used < SM_COUNT(s->used));
    s->used[s->n_used++] = keyword;
    sm_json_key(s->w, sm_str_of(keyword));
    return s->w;
}

static void end_keyword(schema_column *s, sm_json_writer *w)
{
    if (w == &s->more) {
        sm_json_end_object(w);
    }
}

static void put_text(schema_column *s, const char *keyword, sm_str text)
{
    sm_json_writer *w = begin_keyword(s, keyword);

    sm_json_put_text(w, text);
    end_keyword(s, w);
}

/* A number as the file has it, if JSON has it so; returns whether. */
static bool put_number(schema_column *s, const char *keyword, sm_str text)
{
    if (!sm_yaml_is_number(text)) {
        return false;
    }
    sm_json_writer *w = begin_keyword(s, keyword);
    sm_json_put_raw(w, text);
    end_keyword(s, w);
    return true;
}

/* A value as JSON has it for the column's type. */
static void put_value(const schema_column *s, sm_json_writer *w, sm_str text)
{
    const sm_logical_type logical = s->x->t->columns[s->column].logical;
    const bool is_raw = is_number(logical)
                            ? sm_yaml_is_number(text)
                            : logical == SM_LOGICAL_BOOLEAN &&
                                  (sm_str_is(text, "true") || sm_str_is(text, "false"));

    if (is_raw) {
        sm_json_put_raw(w, text);
    } else {
        sm_json_put_text(w, text);
    }
}

static void put_values(const schema_column *s, sm_json_writer *w, const sm_rule *r, bool with_null)
{
    sm_json_begin_array(w);
    for (int32_t i = 0; i < r->n_values; i++) {
        put_value(s, w, r->values[i].text);
    }
    if (with_null) {
        sm_json_put_null(w);
    }
    sm_json_end_array(w);
}

static void put_range(schema_column *s, const sm_rule *r)
{
    const smi_integer_format *f = smi_integer_formats;
    sm_buf text = {0};

    while (!sm_str_eq(f->word, r->text)) {
        f++;
        SM_ASSERT(f < smi_integer_formats + smi_n_integer_formats);
    }
    const sm_i128 ends[] = {f->least, f->greatest};
    const bool has[] = {f->has_least, f->has_greatest};
    for (int i = 0; i < 2; i++) {
        if (has[i]) {
            sm_buf_reset(&text);
            sm_value_print((sm_value){.type = sm_type_decimal(s->x->a, 38, 0), .as.d = ends[i]},
                           &text);
            (void)put_number(s, i == 0 ? "minimum" : "maximum", sm_buf_str(&text));
        }
    }
    sm_buf_release(&text);
}

/* ---- rules ----------------------------------------------------------------------------------- */

/* Returns why the rule cannot be said, or NULL. */
static const char *put_rule(schema_column *s, const sm_rule *r)
{
    const char *name = sm_rule_info_of(r->kind)->name;
    const sm_logical_type logical = s->x->t->columns[s->column].logical;
    sm_json_writer *w = NULL;

    switch (r->kind) {
    case SM_RULE_REQUIRED:
    case SM_RULE_NULL_VALUES:
        return NULL; /* stands in `required` of the object */
    case SM_RULE_MINIMUM:
    case SM_RULE_EXCLUSIVE_MINIMUM:
    case SM_RULE_MAXIMUM:
    case SM_RULE_EXCLUSIVE_MAXIMUM:
    case SM_RULE_MULTIPLE_OF:
        return is_number(logical) && put_number(s, name, r->text)
                   ? NULL
                   : "JSON Schema compares numbers alone";
    case SM_RULE_MIN_LENGTH:
    case SM_RULE_MAX_LENGTH:
        return put_number(s, name, r->text) ? NULL : "its number is not one of JSON";
    case SM_RULE_PATTERN:
    case SM_RULE_TEXT_FORMAT:
        put_text(s, name, r->text);
        return NULL;
    case SM_RULE_INTEGER_FORMAT:
        put_range(s, r);
        return NULL;
    case SM_RULE_VALID_VALUES:
        w = begin_keyword(s, "enum");
        put_values(s, w, r, !s->is_required);
        end_keyword(s, w);
        return NULL;
    case SM_RULE_MISSING_VALUES:
        w = begin_keyword(s, "not");
        sm_json_begin_object(w);
        sm_json_set_array(w, "enum");
        for (int32_t i = 0; i < r->n_values; i++) {
            put_value(s, w, r->values[i].text);
        }
        if (r->takes_null) {
            sm_json_put_null(w);
        }
        sm_json_end_array(w);
        sm_json_end_object(w);
        end_keyword(s, w);
        return NULL;
    default:
        return sm_rule_info_of(r->kind)->is_row ? "JSON Schema has no conditions in SQL"
                                                : "JSON Schema looks at one row";
    }
}

/* ---- columns --------------------------------------------------------------------------------- */

static bool must_be_there(smi_exporting *x, int32_t column)
{
    for (int64_t i = 0; i < x->t->n_rules; i++) {
        const sm_rule *r = &x->t->rules[i];
        const bool is_whole = r->kind == SM_RULE_REQUIRED || r->kind == SM_RULE_NULL_VALUES;
        if (r->column == column && is_whole && r->action != SM_POLICY_WARN &&
            r->limit.op == SM_MUST_BE && !(r->limit.value > 0)) {
            return true;
        }
    }
    return false;
}

static void write_object(smi_exporting *x, sm_json_writer *w, int32_t parent);

static void write_type(schema_column *s)
{
    static const char *const types[] = {
        [SM_LOGICAL_NONE] = NULL,         [SM_LOGICAL_STRING] = "string",
        [SM_LOGICAL_DATE] = "string",     [SM_LOGICAL_TIMESTAMP] = "string",
        [SM_LOGICAL_TIME] = "string",     [SM_LOGICAL_NUMBER] = "number",
        [SM_LOGICAL_INTEGER] = "integer", [SM_LOGICAL_OBJECT] = "object",
        [SM_LOGICAL_ARRAY] = "array",     [SM_LOGICAL_BOOLEAN] = "boolean",
    };
    const sm_logical_type logical = s->x->t->columns[s->column].logical;
    const char *format = logical == SM_LOGICAL_DATE        ? "date"
                         : logical == SM_LOGICAL_TIMESTAMP ? "date-time"
                         : logical == SM_LOGICAL_TIME      ? "time"
                                                           : NULL;

    if (types[logical] && s->is_required) {
        sm_json_set_text(s->w, "type", sm_str_of(types[logical]));
    } else if (types[logical]) {
        sm_json_set_array(s->w, "type");
        sm_json_put_text(s->w, sm_str_of(types[logical]));
        sm_json_put_text(s->w, SM_STR("null"));
        sm_json_end_array(s->w);
    }
    if (format) {
        put_text(s, "format", sm_str_of(format));
    }
}

static void write_column(smi_exporting *x, sm_json_writer *w, int32_t column)
{
    schema_column s = {.x = x, .w = w, .column = column};
    const sm_contract_column *c = &x->t->columns[column];

    s.more.out = &s.more_text;
    s.is_required = must_be_there(x, column);
    sm_json_key(w, c->physical);
    sm_json_begin_object(w);
    if (c->description.len > 0) {
        sm_json_set_text(w, "description", c->description);
    }
    write_type(&s);
    write_object(x, w, column);
    sm_json_begin_array(&s.more);
    for (int64_t i = 0; i < x->t->n_rules; i++) {
        const sm_rule *r = &x->t->rules[i];
        if (r->column == column && smi_is_strict(x, r)) {
            const char *why = put_rule(&s, r);
            if (why) {
                smi_unsaid(x, r, why);
            }
        }
    }
    sm_json_end_array(&s.more);
    if (s.more_text.len > 2) { /* not [] */
        sm_json_set_raw(w, "allOf", sm_buf_str(&s.more_text));
    }
    sm_json_end_object(w);
    sm_buf_release(&s.more_text);
}

/* The keywords of an object: its properties, and which must be there. YAML bounds the depth. */
static void write_object(smi_exporting *x, sm_json_writer *w, int32_t parent)
{
    int32_t n = 0, n_required = 0;

    for (int32_t i = parent + 1; i < x->t->n_columns; i++) {
        if (x->t->columns[i].parent != parent) {
            continue;
        }
        if (n++ == 0) {
            sm_json_set_object(w, "properties");
        }
        write_column(x, w, i);
    }
    if (n > 0) {
        sm_json_end_object(w);
    }
    for (int32_t i = parent + 1; i < x->t->n_columns; i++) {
        if (x->t->columns[i].parent != parent || !must_be_there(x, i)) {
            continue;
        }
        if (n_required++ == 0) {
            sm_json_set_array(w, "required");
        }
        sm_json_put_text(w, x->t->columns[i].physical);
    }
    if (n_required > 0) {
        sm_json_end_array(w);
    }
}

void smi_export_schema(smi_exporting *x)
{
    sm_json_writer w = {.out = x->out};

    sm_json_begin_object(&w);
    sm_json_set_text(&w, "$schema", SM_STR("https://json-schema.org/draft/2020-12/schema"));
    sm_json_set_text(&w, "title", x->t->name);
    if (x->t->description.len > 0) {
        sm_json_set_text(&w, "description", x->t->description);
    }
    sm_json_set_text(&w, "type", SM_STR("object"));
    write_object(x, &w, -1);
    sm_json_end_object(&w);
    sm_json_end_line(&w);
    for (int64_t i = 0; i < x->t->n_rules; i++) {
        if (x->t->rules[i].column < 0 && smi_is_strict(x, &x->t->rules[i])) {
            smi_unsaid(x, &x->t->rules[i],
                       sm_rule_info_of(x->t->rules[i].kind)->is_row
                           ? "JSON Schema has no conditions in SQL"
                           : "JSON Schema looks at one row");
        }
    }
}
