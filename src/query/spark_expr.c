/* SPDX-License-Identifier: Apache-2.0
 *
 * query/spark_expr.c: expressions in Spark's SQL, as Delta tables have them in their
 * constraints, generated columns and defaults. Called by the table room.
 *
 * Method    1. Quotes are written as smelt has them: "text" is 'text' in Spark, and `name` is
 *              "name". Each byte keeps its place, so messages point into the text of the table.
 *           2. The text is parsed as any SQL, and its tree is held against the lists below: what is
 *              not known to mean the same in Spark is refused.
 *           3. It is bound. Casts, also those that binding added, are held against a list too.
 * Why       Whoever writes to a table promises what its expressions say. A wrong answer would let
 *           rows in that other writers refuse, so what is in doubt is refused by name.
 * Same      Where Spark answers NULL or wraps around and smelt fails (an overflow, a text that is
 *           no date), the write stops: no row gets in. Times have their parts in UTC, as in a
 *           Spark session whose time zone is UTC.
 * Source    Spark's SQL reference: "Literals", "Identifiers", "ANSI Compliance", "Built-in
 *           Functions". */
#include "query/bind/bind_int.h"

/* ---- quotes ---------------------------------------------------------------------------------- */

typedef struct spark_text {
    const sm_sql *sql;
    const sm_type *schema;
    char *text; /* as smelt has it; of the same length */
} spark_text;

static sm_status refuse_at(const sm_sql *sql, size_t off, const char *what, sm_error *e)
{
    const sm_status st = smi_sql_fail(sql, (uint32_t)off, e, SM_UNSUPPORTED, "%s", what);
    sm_error_todo(e, "smelt cannot be sure to read this as Spark does.");
    return st;
}

/* Rewrites the quoted token at `start`; returns the place behind it. */
static sm_status take_quoted(const spark_text *t, size_t start, size_t *next, sm_error *e)
{
    const sm_str s = t->sql->text;
    const char quote = s.data[start], ours = quote == '`' ? '"' : '\'';
    size_t end = start + 1;

    while (end < s.len && s.data[end] != quote) {
        if (s.data[end] == '\\' && quote != '`') {
            return refuse_at(t->sql, end, "a \\ in a text of Spark's SQL", e);
        }
        if (s.data[end] == ours) {
            return refuse_at(t->sql, end, "a quote of another kind between quotes", e);
        }
        end++;
    }
    if (end >= s.len || (end + 1 < s.len && s.data[end + 1] == quote)) {
        return refuse_at(t->sql, start, "quotes that do not end, or stand twice", e);
    }
    const sm_str inside = {s.data + start + 1, end - start - 1};
    if (quote == '"' && sm_type_find(t->schema, inside) >= 0) {
        /* Spark: a text; delta-rs: the column. */
        return refuse_at(t->sql, start, "a column's name in double quotes", e);
    }
    t->text[start] = t->text[end] = ours;
    *next = end + 1;
    return SM_OK;
}

static bool is_word_byte(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
           (uint8_t)c >= 0x80;
}

/* Blanks the L of 12L, which is a BIGINT; returns the place behind the word or number. */
static size_t take_word(const spark_text *t, size_t start)
{
    const sm_str s = t->sql->text;
    size_t end = start;

    while (end < s.len && is_word_byte(s.data[end])) {
        end++;
    }
    bool is_number = end - start > 1 && (s.data[end - 1] == 'L' || s.data[end - 1] == 'l');
    for (size_t i = start; i + 1 < end; i++) {
        is_number = is_number && s.data[i] >= '0' && s.data[i] <= '9';
    }
    if (is_number) {
        t->text[end - 1] = ' ';
    }
    return end;
}

static sm_status translate(const spark_text *t, sm_error *e)
{
    const sm_str s = t->sql->text;
    size_t at = 0;

    while (at < s.len) {
        const char c = s.data[at], next = at + 1 < s.len ? s.data[at + 1] : 0;
        if (c == '\'' || c == '"' || c == '`') {
            SM_TRY(take_quoted(t, at, &at, e));
        } else if ((c == '-' && next == '-') || (c == '/' && next == '*')) {
            return refuse_at(t->sql, at, "a comment in an expression", e);
        } else {
            at = is_word_byte(c) ? take_word(t, at) : at + 1;
        }
    }
    return SM_OK;
}

/* ---- what means the same --------------------------------------------------------------------- */

/* Sorted by name. Functions and operators with the same answer in Spark, for the arguments that
 * check_call() lets through. Not among them, with the reason: / (division by 0), upper and lower
 * (letters beyond ASCII), concat (NULL), round, dayofweek (numbered otherwise), regular expressions
 * (Java's), and whatever depends on the time. */
static const struct same_call {
    const char *name;
    int n_min, n_max;
} same_calls[] = {
    {"%", 2, 2},           {"*", 2, 2},         {"+", 2, 2},           {"-", 1, 2},
    {"<", 2, 2},           {"<=", 2, 2},        {"<>", 2, 2},          {"=", 2, 2},
    {">", 2, 2},           {">=", 2, 2},        {"abs", 1, 1},         {"coalesce", 1, 100},
    {"contains", 2, 2},    {"day", 1, 1},       {"dayofmonth", 1, 1},  {"hour", 1, 1},
    {"if", 3, 3},          {"ifnull", 2, 2},    {"is_distinct", 2, 2}, {"is_not_distinct", 2, 2},
    {"is_not_null", 1, 1}, {"is_null", 1, 1},   {"length", 1, 1},      {"like", 2, 2},
    {"ltrim", 1, 1},       {"minute", 1, 1},    {"month", 1, 1},       {"not", 1, 1},
    {"nullif", 2, 2},      {"quarter", 1, 1},   {"rtrim", 1, 1},       {"second", 1, 1},
    {"substr", 2, 3},      {"substring", 2, 3}, {"trim", 1, 1},        {"year", 1, 1},
    {"||", 2, 2},
};

static const struct same_call *same_call_of(sm_str name)
{
    for (int i = 0; i < SM_COUNT(same_calls); i++) {
        if (sm_str_eq_nocase(name, sm_str_of(same_calls[i].name))) {
            return &same_calls[i];
        }
    }
    return NULL;
}

/* A whole number of at least `least`, written out. */
static bool is_number_from(const smi_ast *x, int64_t least)
{
    return x->kind == SMI_AST_LITERAL && !x->value.is_null &&
           sm_type_is_integer(x->value.type->id) && x->value.as.i >= least;
}

static sm_status check_call(const sm_sql *sql, const smi_ast *x, sm_error *e)
{
    const struct same_call *same = same_call_of(x->name);

    if (!same || x->n_args < same->n_min || x->n_args > same->n_max || x->filter || x->over ||
        x->flag || x->is_star_arg) {
        const sm_status st = smi_sql_fail(sql, x->off, e, SM_UNSUPPORTED, "%.*s of Spark's SQL",
                                          SM_STR_ARG(x->name));
        sm_error_todo(e, "smelt cannot be sure to read this as Spark does.");
        return st;
    }
    if (sm_str_starts(sm_str_of(same->name), SM_STR("substr"))) {
        /* Position 0 is the first character in Spark only. */
        for (int32_t i = 1; i < x->n_args; i++) {
            if (!is_number_from(x->args[i], i == 1 ? 1 : 0)) {
                return refuse_at(sql, x->args[i]->off, "a computed place in a text", e);
            }
        }
    }
    return SM_OK;
}

/* In Spark TIMESTAMP has a time zone, and DECIMAL alone is DECIMAL(10,0). */
static sm_status take_type(const sm_sql *sql, smi_ast *x, sm_error *e)
{
    if (x->flag || sm_type_is_nested(x->type->id)) {
        return refuse_at(sql, x->off, "this cast", e);
    }
    if (x->type->id == SM_TYPE_TIMESTAMP_NTZ) {
        x->type = &sm_type_timestamp;
    }
    const sm_str said = {sql->text.data + x->off, x->end - x->off};
    const bool has_digits = memchr(said.data, ',', said.len) != NULL;
    if (x->type->id == SM_TYPE_DECIMAL && !has_digits) {
        return refuse_at(sql, x->off, "a DECIMAL without its digits", e);
    }
    return SM_OK;
}

static sm_status check_tree(const sm_sql *sql, smi_ast *x, smi_descent *at, sm_error *e)
{
    SM_TRY(smi_enter_expr(at, sql, x->off, e));
    switch (x->kind) {
    case SMI_AST_COLUMN:
    case SMI_AST_LITERAL:
    case SMI_AST_AND:
    case SMI_AST_OR:
    case SMI_AST_CASE:
    case SMI_AST_IN:
    case SMI_AST_FIELD:
        break;
    case SMI_AST_CALL:
        SM_TRY(check_call(sql, x, e));
        break;
    case SMI_AST_CAST:
        SM_TRY(take_type(sql, x, e));
        break;
    default:
        return refuse_at(sql, x->off, "this kind of expression", e);
    }
    for (int32_t i = 0; i < x->n_args; i++) {
        SM_TRY(check_tree(sql, x->args[i], at, e));
    }
    smi_leave_expr(at);
    return SM_OK;
}

/* ---- casts ----------------------------------------------------------------------------------- */

static bool is_time(sm_type_id id)
{
    return id == SM_TYPE_DATE || id == SM_TYPE_TIMESTAMP || id == SM_TYPE_TIMESTAMP_NTZ;
}

/* Does a cast give the same value in Spark, where both give one? Fractions do not: Spark cuts them
 * off and smelt rounds. */
static bool casts_alike(const sm_type *from, const sm_type *to)
{
    const sm_type_id a = from->id, b = to->id;

    if (sm_type_eq(from, to) || a == SM_TYPE_NULL) {
        return true;
    }
    if (is_time(a)) {
        return is_time(b) || (a == SM_TYPE_DATE && b == SM_TYPE_STRING);
    }
    if (sm_type_is_integer(a) || a == SM_TYPE_BOOL) {
        return sm_type_is_number(b) || b == SM_TYPE_STRING;
    }
    if (a == SM_TYPE_DECIMAL) {
        return b == SM_TYPE_F64 || (b == SM_TYPE_DECIMAL && to->scale >= from->scale);
    }
    return (a == SM_TYPE_F32 && b == SM_TYPE_F64) || (a == SM_TYPE_STRING && b == SM_TYPE_DATE);
}

static sm_status check_casts(const sm_sql *sql, const sm_expr *x, sm_arena *a, sm_error *e)
{
    if (x->kind == SM_EXPR_CAST && !casts_alike(x->args[0]->type, x->type)) {
        const sm_str from = smi_type_text(a, x->args[0]->type), to = smi_type_text(a, x->type);
        const sm_status st =
            smi_sql_fail(sql, x->off_bytes, e, SM_UNSUPPORTED, "a cast of %.*s to %.*s",
                         SM_STR_ARG(from), SM_STR_ARG(to));
        sm_error_todo(e, "smelt cannot be sure to read this as Spark does.");
        return st;
    }
    if (x->kind == SM_EXPR_CALL && strcmp(x->fn->name, "%") == 0 &&
        !sm_type_is_integer(x->type->id)) {
        return refuse_at(sql, x->off_bytes, "% of numbers that are not whole", e);
    }
    for (int32_t i = 0; i < x->n_args; i++) {
        SM_TRY(check_casts(sql, x->args[i], a, e));
    }
    return SM_OK;
}

/* ---- all of it ------------------------------------------------------------------------------- */

sm_status sm_query_expr_spark(const sm_sql *sql, const sm_type *schema, const sm_type *type,
                              sm_arena *a, const sm_expr **out, sm_error *e)
{
    SM_ASSERT(schema->id == SM_TYPE_STRUCT && type);
    smi_descent at = {0};
    smi_ast *tree = NULL;
    const sm_expr *x = NULL;

    sm_sql *const own = SM_NEW(a, sm_sql);
    own->name = sm_arena_str(a, sql->name);
    own->text = sm_arena_str(a, sql->text);
    const spark_text t = {.sql = sql, .schema = schema, .text = (char *)own->text.data};
    SM_TRY(translate(&t, e));
    SM_TRY(smi_parse_one_expr(own, a, &tree, e));
    SM_TRY(check_tree(own, tree, &at, e));
    SM_TRY(smi_bind_alone(own, tree, schema, NULL, a, &x, e));
    SM_TRY(sm_expr_cast(x, type, false, a, &x, e));
    SM_TRY(check_casts(own, x, a, e));
    *out = x;
    return SM_OK;
}
