/* SPDX-License-Identifier: Apache-2.0
 *
 * query/parse/sql_expr.c: parses expressions, by precedence climbing. Called by sql_parse.c.
 *
 * Precedence is DuckDB's; from the operators that bind least to those that bind most:
 *   OR · AND · NOT · IS · = <> < <= > >= · BETWEEN IN LIKE ILIKE · || · + - · * / // % · ^ ·
 *   unary minus · a[b] a.b a::type
 * An operator becomes a call of the function of its name ("+", "like"), so the binder sees only
 * calls. Forms that are short for others are written out here: BETWEEN, CASE x WHEN. */
#include "query/parse/parse_int.h"

#include "base/text.h"

enum strength {
    BIND_NONE,
    BIND_OR,
    BIND_AND,
    BIND_NOT,
    BIND_IS,
    BIND_COMPARE,
    BIND_IN,
    BIND_CONCAT,
    BIND_SUM,
    BIND_PRODUCT,
    BIND_POWER,
    BIND_MINUS,
};

static sm_status parse_at(smi_parser *p, int strength, smi_ast **out);

/* ---- making nodes ---------------------------------------------------------------------------- */

static smi_ast **grow_asts(smi_parser *p, smi_ast **items, int64_t n, int64_t *cap)
{
    return sm_arena_grow(p->a, items, n, cap, sizeof(void *));
}

static sm_status finish_node(smi_parser *p, smi_ast *x)
{
    x->end = p->at > 0 ? p->toks[p->at - 1].end : x->off;
    for (int32_t i = 0; i < x->n_args; i++) {
        if (x->args[i]->depth >= x->depth) {
            x->depth = x->args[i]->depth + 1;
        }
    }
    SM_ASSERT(x->depth >= 1 && x->end >= x->off);
    if (x->depth > SMI_MAX_DEPTH) {
        return smi_sql_fail(p->sql, x->off, p->e, SM_LIMIT,
                            "expression is over the limit of %d operators deep", SMI_MAX_DEPTH);
    }
    return SM_OK;
}

static smi_ast *node_of(smi_parser *p, smi_ast_kind kind, uint32_t off, smi_ast *const *args,
                        int32_t n)
{
    smi_ast *const x = smi_ast_new(p, kind, off);
    x->args = SM_NEW_ARRAY(p->a, smi_ast *, n > 0 ? n : 1);
    x->n_args = n;
    for (int32_t i = 0; i < n; i++) {
        x->args[i] = args[i];
    }
    return x;
}

static sm_status make_call(smi_parser *p, sm_str name, uint32_t off, smi_ast *x, smi_ast *y,
                           smi_ast **out)
{
    smi_ast *const args[2] = {x, y};
    *out = node_of(p, SMI_AST_CALL, off, args, y ? 2 : 1);
    (*out)->name = name;
    return finish_node(p, *out);
}

static sm_status make_not(smi_parser *p, bool negate, smi_ast **x)
{
    return negate ? make_call(p, SM_STR("not"), (*x)->off, *x, NULL, x) : SM_OK;
}

/* AND and OR have any number of arguments, so that a long chain is not a deep tree. */
static sm_status make_logic(smi_parser *p, smi_ast_kind kind, smi_ast *first, const char *word,
                            int strength, smi_ast **out)
{
    smi_ast **args = NULL;
    int64_t n = 0, cap = 0;
    args = grow_asts(p, args, n, &cap);
    args[n++] = first;
    while (smi_peek_word(p, 0, word)) {
        p->at++;
        args = grow_asts(p, args, n, &cap);
        SM_TRY(parse_at(p, strength + 1, &args[n]));
        n++;
    }
    SM_ASSERT(n >= 2); /* the caller saw the word */
    *out = node_of(p, kind, first->off, args, (int32_t)n);
    return finish_node(p, *out);
}

/* ---- literals -------------------------------------------------------------------------------- */

static sm_status parse_number(smi_parser *p, smi_ast **out)
{
    const smi_tok t = p->toks[p->at];
    const sm_str raw = smi_tok_text(p->sql, t, p->a);
    char *const text = sm_arena_alloc(p->a, raw.len + 1);
    size_t len = 0, n_digits = 0, scale = 0;
    bool has_point = false, has_exponent = false;

    for (size_t i = 0; i < raw.len; i++) {
        const char c = raw.data[i];
        if (c == '_') {
            continue;
        }
        has_point = has_point || c == '.';
        has_exponent = has_exponent || c == 'e' || c == 'E';
        if (c >= '0' && c <= '9') {
            n_digits++; /* 0.25 has three, as in DuckDB */
            scale += has_point;
        }
        text[len++] = c;
    }
    p->at++;
    smi_ast *const x = smi_ast_new(p, SMI_AST_LITERAL, t.off);
    const sm_str s = {text, len};
    int64_t i64 = 0;
    if (!has_point && !has_exponent && sm_parse_i64(s, &i64)) {
        const bool fits = i64 <= INT32_MAX;
        x->value = (sm_value){.type = fits ? &smi_type_int_literal : &sm_type_i64, .as.i = i64};
    } else if (!has_exponent && n_digits <= 38) { /* so many fit 128 bits */
        sm_i128 v = 0;
        for (size_t i = 0; i < len; i++) {
            if (s.data[i] != '.') {
                v = v * 10 + (s.data[i] - '0');
            }
        }
        x->value = (sm_value){
            .type = sm_type_decimal(p->a, (int)n_digits, (int)scale),
            .as.d = v,
        };
    } else if (!has_point && !has_exponent) {
        smi_sql_fail(p->sql, t.off, p->e, SM_RANGE, "an integer of %zu digits: DECIMAL has 38",
                     n_digits);
        sm_error_todo(p->e, "Write it as a DOUBLE, with an exponent: 1e39.");
        return SM_RANGE;
    } else {
        double f = 0;
        if (!sm_parse_f64(s, false, &f)) {
            return smi_sql_fail(p->sql, t.off, p->e, SM_SYNTAX, "malformed number \"%.*s\"",
                                SM_STR_ARG(s));
        }
        x->value = (sm_value){.type = &sm_type_f64, .as.f = f};
    }
    *out = x;
    return finish_node(p, x);
}

static sm_status make_literal(smi_parser *p, sm_value v, smi_ast **out)
{
    *out = smi_ast_new(p, SMI_AST_LITERAL, p->toks[p->at].off);
    (*out)->value = v;
    p->at++;
    return finish_node(p, *out);
}

/* DATE '2022-04-01': a cast of the text, folded when it is bound. */
static sm_status parse_typed_literal(smi_parser *p, const sm_type *type, int n_words, smi_ast **out)
{
    const uint32_t off = p->toks[p->at].off;
    smi_ast *text = NULL;
    p->at += n_words;
    const sm_str s = smi_tok_text(p->sql, p->toks[p->at], p->a);
    SM_TRY(make_literal(p, (sm_value){.type = &smi_type_str_literal, .as.s = s}, &text));
    *out = node_of(p, SMI_AST_CAST, off, &text, 1);
    (*out)->type = type;
    return finish_node(p, *out);
}

/* ---- types ----------------------------------------------------------------------------------- */

/* A type runs from its name over (…) and [] behind it; column's own parser reads the text. */
sm_status smi_parse_type(smi_parser *p, const sm_type **out)
{
    const int64_t first = p->at;
    if (p->toks[first].kind != SMI_TOK_NAME) {
        return smi_expected(p, "a type");
    }
    p->at++;
    if (smi_peek_word(p, -1, "double") && smi_peek_word(p, 0, "precision")) {
        p->at++;
    }
    if (smi_peek_word(p, 0, "with") && smi_peek_word(p, 1, "time") && smi_peek_word(p, 2, "zone")) {
        p->at += 3;
    }
    if (smi_peek_op(p, 0, "(")) {
        int open = 0;
        do {
            open += smi_peek_op(p, 0, "(") ? 1 : smi_peek_op(p, 0, ")") ? -1 : 0;
            if (p->toks[p->at].kind == SMI_TOK_END || open > SMI_MAX_NESTING) {
                return smi_expected(p, "\")\"");
            }
            p->at++;
        } while (open > 0);
    }
    while (smi_peek_op(p, 0, "[") && smi_peek_op(p, 1, "]")) {
        p->at += 2;
    }
    const uint32_t off = p->toks[first].off;
    const sm_str text = {p->sql->text.data + off, p->toks[p->at - 1].end - off};
    sm_error inner = {0};
    const sm_status st = sm_type_parse(text, p->a, out, &inner);
    if (st != SM_OK) {
        const uint32_t at = off + (inner.byte > 0 ? (uint32_t)inner.byte - 1 : 0);
        smi_sql_fail(p->sql, at, p->e, st, "%s", inner.what);
        sm_error_todo(p->e, "%s", inner.todo);
    }
    return st;
}

static sm_status make_cast(smi_parser *p, uint32_t off, smi_ast *x, bool is_try, smi_ast **out)
{
    const sm_type *type = NULL;
    SM_TRY(smi_parse_type(p, &type));
    *out = node_of(p, SMI_AST_CAST, off, &x, 1);
    (*out)->type = type;
    (*out)->flag = is_try;
    return SM_OK;
}

static sm_status parse_cast(smi_parser *p, smi_ast **out)
{
    const uint32_t off = p->toks[p->at].off;
    const bool is_try = smi_peek_word(p, 0, "try_cast");
    smi_ast *x = NULL;
    p->at += 2; /* CAST ( */
    SM_TRY(smi_parse_expr(p, &x));
    SM_TRY(smi_expect_word(p, "AS"));
    SM_TRY(make_cast(p, off, x, is_try, out));
    SM_TRY(smi_expect_op(p, ")"));
    return finish_node(p, *out);
}

/* ---- CASE ------------------------------------------------------------------------------------ */

static sm_status parse_case(smi_parser *p, smi_ast **out)
{
    const uint32_t off = p->toks[p->at].off;
    smi_ast *operand = NULL;
    smi_ast **args = NULL;
    int64_t n = 0, cap = 0;

    p->at++;
    if (!smi_accept_word(p, "WHEN")) {
        SM_TRY(smi_parse_expr(p, &operand));
        SM_TRY(smi_expect_word(p, "WHEN"));
    }
    do {
        smi_ast *when = NULL;
        SM_TRY(smi_parse_expr(p, &when));
        if (operand) {
            SM_TRY(make_call(p, SM_STR("="), when->off, operand, when, &when));
        }
        args = grow_asts(p, args, n, &cap);
        args[n++] = when;
        SM_TRY(smi_expect_word(p, "THEN"));
        args = grow_asts(p, args, n, &cap);
        SM_TRY(smi_parse_expr(p, &args[n]));
        n++;
    } while (smi_accept_word(p, "WHEN"));
    args = grow_asts(p, args, n, &cap);
    if (smi_accept_word(p, "ELSE")) {
        SM_TRY(smi_parse_expr(p, &args[n]));
    } else {
        args[n] = smi_ast_new(p, SMI_AST_LITERAL, off);
        args[n]->value = sm_value_null(&sm_type_null);
    }
    n++;
    SM_TRY(smi_expect_word(p, "END"));
    *out = node_of(p, SMI_AST_CASE, off, args, (int32_t)n);
    return finish_node(p, *out);
}

/* ---- calls ----------------------------------------------------------------------------------- */

static sm_status parse_over(smi_parser *p, smi_over **out)
{
    smi_over *const over = SM_NEW(p->a, smi_over);
    SM_TRY(smi_expect_op(p, "("));
    if (smi_accept_word(p, "PARTITION")) {
        int64_t cap = 0;
        SM_TRY(smi_expect_word(p, "BY"));
        do {
            over->partition = grow_asts(p, over->partition, over->n_partition, &cap);
            SM_TRY(smi_parse_expr(p, &over->partition[over->n_partition]));
            over->n_partition++;
        } while (smi_accept_op(p, ","));
    }
    if (smi_accept_word(p, "ORDER")) {
        SM_TRY(smi_expect_word(p, "BY"));
        SM_TRY(smi_parse_order(p, &over->order, &over->n_order));
    }
    *out = over;
    return smi_expect_op(p, ")");
}

sm_status smi_parse_args(smi_parser *p, smi_ast ***out, int32_t *n)
{
    smi_ast **args = NULL;
    int64_t n_args = 0, cap = 0;
    if (smi_accept_op(p, ")")) {
        *out = NULL;
        *n = 0;
        return SM_OK;
    }
    do {
        sm_str name = {0};
        /* Before an arrow any word is a name: from => 1. */
        const smi_tok t = p->toks[p->at];
        if ((t.kind == SMI_TOK_NAME || t.kind == SMI_TOK_QUOTED) &&
            (smi_peek_op(p, 1, "=>") || smi_peek_op(p, 1, ":="))) {
            name = smi_tok_text(p->sql, p->toks[p->at], p->a);
            p->at += 2;
        }
        args = grow_asts(p, args, n_args, &cap);
        SM_TRY(smi_parse_expr(p, &args[n_args]));
        args[n_args++]->arg_name = name;
    } while (smi_accept_op(p, ","));
    *out = args;
    *n = (int32_t)n_args;
    return smi_expect_op(p, ")");
}

/* extract(year FROM d), and the forms of substring and position with words for commas. */
static sm_status parse_worded_call(smi_parser *p, smi_ast *call, bool *done)
{
    const bool is_extract = sm_str_eq_nocase(call->name, SM_STR("extract"));
    *done = false;
    if (is_extract) {
        smi_ast *args[2] = {0};
        const smi_tok unit = p->toks[p->at];
        if (unit.kind != SMI_TOK_NAME && unit.kind != SMI_TOK_STRING) {
            return smi_expected(p, "a part of a date (year, month, day, …)");
        }
        const sm_str text = smi_tok_text(p->sql, unit, p->a);
        SM_TRY(make_literal(p, (sm_value){.type = &smi_type_str_literal, .as.s = text}, &args[0]));
        SM_TRY(smi_expect_word(p, "FROM"));
        SM_TRY(smi_parse_expr(p, &args[1]));
        SM_TRY(smi_expect_op(p, ")"));
        smi_ast *const x = node_of(p, SMI_AST_CALL, call->off, args, 2);
        call->name = SM_STR("date_part");
        call->args = x->args;
        call->n_args = 2;
        *done = true;
    }
    return SM_OK;
}

static sm_status parse_call(smi_parser *p, smi_ast **out)
{
    smi_ast *const call = smi_ast_new(p, SMI_AST_CALL, p->toks[p->at].off);
    bool done = false;
    call->name = smi_tok_text(p->sql, p->toks[p->at], p->a);
    p->at += 2; /* name ( */
    SM_TRY(parse_worded_call(p, call, &done));
    if (done) {
        *out = call;
        return finish_node(p, call);
    }
    if (smi_peek_op(p, 0, "*") && smi_peek_op(p, 1, ")")) {
        p->at += 2;
        call->is_star_arg = true;
    } else {
        call->flag = smi_accept_word(p, "DISTINCT");
        SM_TRY(smi_parse_args(p, &call->args, &call->n_args));
    }
    if (smi_peek_word(p, 0, "filter") && smi_peek_op(p, 1, "(")) {
        p->at += 2;
        SM_TRY(smi_expect_word(p, "WHERE"));
        SM_TRY(smi_parse_expr(p, &call->filter));
        SM_TRY(smi_expect_op(p, ")"));
    }
    if (smi_peek_word(p, 0, "over") && smi_peek_op(p, 1, "(")) {
        p->at++;
        SM_TRY(parse_over(p, &call->over));
    }
    *out = call;
    return finish_node(p, call);
}

/* ---- primary expressions --------------------------------------------------------------------- */

static sm_status parse_list(smi_parser *p, smi_ast **out)
{
    const uint32_t off = p->toks[p->at].off;
    smi_ast **args = NULL;
    int64_t n = 0, cap = 0;
    p->at++;
    if (!smi_accept_op(p, "]")) {
        do {
            args = grow_asts(p, args, n, &cap);
            SM_TRY(smi_parse_expr(p, &args[n]));
            n++;
        } while (smi_accept_op(p, ","));
        SM_TRY(smi_expect_op(p, "]"));
    }
    *out = node_of(p, SMI_AST_LIST, off, args, (int32_t)n);
    return finish_node(p, *out);
}

static sm_status parse_struct(smi_parser *p, smi_ast **out)
{
    const uint32_t off = p->toks[p->at].off;
    smi_ast **args = NULL;
    int64_t n = 0, cap = 0;
    p->at++;
    if (!smi_accept_op(p, "}")) {
        do {
            const smi_tok key = p->toks[p->at];
            if (key.kind != SMI_TOK_NAME && key.kind != SMI_TOK_QUOTED &&
                key.kind != SMI_TOK_STRING) {
                return smi_expected(p, "the name of a field");
            }
            p->at++;
            SM_TRY(smi_expect_op(p, ":"));
            args = grow_asts(p, args, n, &cap);
            SM_TRY(smi_parse_expr(p, &args[n]));
            args[n++]->arg_name = smi_tok_text(p->sql, key, p->a);
        } while (smi_accept_op(p, ","));
        SM_TRY(smi_expect_op(p, "}"));
    }
    *out = node_of(p, SMI_AST_STRUCT, off, args, (int32_t)n);
    return finish_node(p, *out);
}

/* MAP {key: value, …}: a call with the keys and values in turn. */
static sm_status parse_map(smi_parser *p, smi_ast **out)
{
    const uint32_t off = p->toks[p->at].off;
    smi_ast **args = NULL;
    int64_t n = 0, cap = 0;
    p->at += 2; /* MAP { */
    do {
        args = grow_asts(p, args, n, &cap);
        SM_TRY(smi_parse_expr(p, &args[n++]));
        SM_TRY(smi_expect_op(p, ":"));
        args = grow_asts(p, args, n, &cap);
        SM_TRY(smi_parse_expr(p, &args[n++]));
    } while (smi_accept_op(p, ","));
    SM_TRY(smi_expect_op(p, "}"));
    *out = node_of(p, SMI_AST_CALL, off, args, (int32_t)n);
    (*out)->name = SM_STR("map {}");
    return finish_node(p, *out);
}

static sm_status parse_paren(smi_parser *p, smi_ast **out)
{
    const uint32_t off = p->toks[p->at].off;
    p->at++;
    if (smi_starts_query(p, 0)) {
        smi_ast *const x = smi_ast_new(p, SMI_AST_SUBQUERY, off);
        SM_TRY(smi_parse_query(p, &x->select));
        *out = x;
    } else {
        SM_TRY(smi_parse_expr(p, out));
    }
    SM_TRY(smi_expect_op(p, ")"));
    return (*out)->kind == SMI_AST_SUBQUERY ? finish_node(p, *out) : SM_OK;
}

/* `*` or `t.*`, which was read already, with EXCLUDE (a, b) or without. */
static sm_status finish_star(smi_parser *p, smi_ast *star, smi_ast **out)
{
    if (smi_accept_word(p, "EXCLUDE")) {
        if (smi_accept_op(p, "(")) {
            SM_TRY(smi_parse_name_list(p, &star->names, &star->n_names));
            SM_TRY(smi_expect_op(p, ")"));
        } else {
            sm_str *const one = SM_NEW(p->a, sm_str);
            SM_TRY(smi_parse_name(p, "a column", one));
            star->names = one;
            star->n_names = 1;
        }
    }
    for (int32_t i = 0; i < star->n_names; i++) {
        for (int32_t k = 0; k < i; k++) {
            if (sm_str_eq_nocase(star->names[i], star->names[k])) {
                return smi_sql_fail(p->sql, star->off, p->e, SM_NAME,
                                    "EXCLUDE names \"%.*s\" twice", SM_STR_ARG(star->names[i]));
            }
        }
    }
    *out = star;
    return finish_node(p, star);
}

static sm_status parse_column(smi_parser *p, smi_ast **out)
{
    smi_ast *const x = smi_ast_new(p, SMI_AST_COLUMN, p->toks[p->at].off);
    sm_str *parts = NULL;
    int64_t n = 0, cap = 0;
    parts = sm_arena_grow(p->a, parts, n, &cap, sizeof(*parts));
    parts[n++] = smi_tok_text(p->sql, p->toks[p->at++], p->a);
    while (smi_peek_op(p, 0, ".")) {
        p->at++;
        x->parts = parts;
        x->n_parts = (int32_t)n;
        if (smi_peek_op(p, 0, "*")) {
            p->at++;
            x->kind = SMI_AST_STAR;
            return finish_star(p, x, out);
        }
        const smi_tok t = p->toks[p->at];
        if (t.kind != SMI_TOK_NAME && t.kind != SMI_TOK_QUOTED) {
            return smi_expected(p, "a column");
        }
        parts = sm_arena_grow(p->a, parts, n, &cap, sizeof(*parts));
        parts[n++] = smi_tok_text(p->sql, t, p->a);
        p->at++;
    }
    x->parts = parts;
    x->n_parts = (int32_t)n;
    *out = x;
    return finish_node(p, x);
}

static sm_status parse_word(smi_parser *p, smi_ast **out)
{
    const bool calls = smi_peek_op(p, 1, "(");
    const bool quotes = p->toks[p->at + 1].kind == SMI_TOK_STRING; /* END is never a name */
    if (smi_peek_word(p, 0, "case")) {
        return parse_case(p, out);
    }
    if (smi_peek_word(p, 0, "map") && smi_peek_op(p, 1, "{")) {
        return parse_map(p, out);
    }
    if (calls && (smi_peek_word(p, 0, "cast") || smi_peek_word(p, 0, "try_cast"))) {
        return parse_cast(p, out);
    }
    if (smi_peek_word(p, 0, "null")) {
        return make_literal(p, sm_value_null(&sm_type_null), out);
    }
    if (smi_peek_word(p, 0, "true") || smi_peek_word(p, 0, "false")) {
        const bool is_true = smi_peek_word(p, 0, "true");
        return make_literal(p, (sm_value){.type = &sm_type_bool, .as.b = is_true}, out);
    }
    if (quotes && smi_peek_word(p, 0, "date")) {
        return parse_typed_literal(p, &sm_type_date, 1, out);
    }
    if (quotes && smi_peek_word(p, 0, "timestamp")) {
        return parse_typed_literal(p, &sm_type_timestamp_ntz, 1, out);
    }
    if (quotes && smi_peek_word(p, 0, "timestamptz")) {
        return parse_typed_literal(p, &sm_type_timestamp, 1, out);
    }
    if (smi_peek_word(p, 0, "interval") && (quotes || p->toks[p->at + 1].kind == SMI_TOK_NUMBER)) {
        smi_sql_fail(p->sql, p->toks[p->at].off, p->e, SM_UNSUPPORTED, "INTERVAL is not supported");
        sm_error_todo(p->e, "Add a number of days to a DATE: d + 7.");
        return SM_UNSUPPORTED;
    }
    /* left(…) and right(…) are functions though the words are reserved */
    const bool is_function = calls && (smi_peek_word(p, 0, "left") || smi_peek_word(p, 0, "right"));
    if (!is_function && !smi_may_name(p, 0)) {
        return smi_expected(p, "an expression");
    }
    return calls ? parse_call(p, out) : parse_column(p, out);
}

static sm_status parse_primary(smi_parser *p, smi_ast **out)
{
    const smi_tok t = p->toks[p->at];
    switch (t.kind) {
    case SMI_TOK_NUMBER:
        return parse_number(p, out);
    case SMI_TOK_STRING: {
        const sm_str s = smi_tok_text(p->sql, t, p->a);
        return make_literal(p, (sm_value){.type = &smi_type_str_literal, .as.s = s}, out);
    }
    case SMI_TOK_QUOTED:
        return smi_peek_op(p, 1, "(") ? parse_call(p, out) : parse_column(p, out);
    case SMI_TOK_NAME:
        return parse_word(p, out);
    default:
        break;
    }
    if (smi_peek_op(p, 0, "(")) {
        return parse_paren(p, out);
    }
    if (smi_peek_op(p, 0, "[")) {
        return parse_list(p, out);
    }
    if (smi_peek_op(p, 0, "{")) {
        return parse_struct(p, out);
    }
    if (smi_peek_op(p, 0, "*")) {
        p->at++;
        return finish_star(p, smi_ast_new(p, SMI_AST_STAR, t.off), out);
    }
    return smi_expected(p, "an expression");
}

static sm_status make_field(smi_parser *p, smi_ast *x, smi_tok name, smi_ast **out)
{
    *out = node_of(p, SMI_AST_FIELD, x->off, &x, 1);
    (*out)->name = smi_tok_text(p->sql, name, p->a);
    return finish_node(p, *out);
}

/* Behind x[: a string is the name of a field or a key, all else is a key. */
static sm_status parse_subscript(smi_parser *p, smi_ast *x, smi_ast **out)
{
    const smi_tok name = p->toks[p->at];
    if (name.kind == SMI_TOK_STRING && smi_peek_op(p, 1, "]")) {
        p->at += 2;
        return make_field(p, x, name, out);
    }
    smi_ast *args[2] = {x, NULL};
    SM_TRY(smi_parse_expr(p, &args[1]));
    SM_TRY(smi_expect_op(p, "]"));
    *out = node_of(p, SMI_AST_CALL, x->off, args, 2);
    (*out)->name = SM_STR("map_extract_value");
    return finish_node(p, *out);
}

static sm_status parse_postfix(smi_parser *p, smi_ast **out)
{
    SM_TRY(parse_primary(p, out));
    for (;;) {
        smi_ast *const x = *out;
        if (smi_peek_op(p, 0, "::")) {
            p->at++;
            SM_TRY(make_cast(p, x->off, x, false, out));
            SM_TRY(finish_node(p, *out));
        } else if (smi_peek_op(p, 0, "[")) {
            p->at++;
            SM_TRY(parse_subscript(p, x, out));
        } else if (smi_peek_op(p, 0, ".") && x->kind != SMI_AST_LITERAL) {
            p->at++;
            const smi_tok name = p->toks[p->at];
            if (name.kind != SMI_TOK_NAME && name.kind != SMI_TOK_QUOTED) {
                return smi_expected(p, "the name of a field");
            }
            p->at++;
            SM_TRY(make_field(p, x, name, out));
        } else {
            return SM_OK;
        }
    }
}

/* ---- prefixes -------------------------------------------------------------------------------- */

static sm_status parse_minus(smi_parser *p, smi_ast **out)
{
    const uint32_t off = p->toks[p->at].off;
    const bool is_minus = smi_peek_op(p, 0, "-");
    p->at++;
    SM_TRY(smi_nest(p));
    SM_TRY(parse_at(p, BIND_MINUS, out));
    p->nesting--;
    if (!is_minus) {
        return SM_OK;
    }
    smi_ast *const x = *out;
    const bool is_int = x->kind == SMI_AST_LITERAL && x->value.type == &smi_type_int_literal;
    if (is_int && x->value.as.i > 0) { /* -5 is a literal that adapts as 5 does */
        x->value.as.i = -x->value.as.i;
        x->off = off;
        return SM_OK;
    }
    return make_call(p, SM_STR("-"), off, x, NULL, out);
}

static sm_status parse_prefix(smi_parser *p, int strength, smi_ast **out)
{
    if (smi_peek_op(p, 0, "-") || smi_peek_op(p, 0, "+")) {
        return parse_minus(p, out);
    }
    if (smi_peek_word(p, 0, "not") && strength <= BIND_NOT) {
        const uint32_t off = p->toks[p->at].off;
        p->at++;
        SM_TRY(smi_nest(p));
        SM_TRY(parse_at(p, BIND_NOT, out));
        p->nesting--;
        return make_call(p, SM_STR("not"), off, *out, NULL, out);
    }
    return parse_postfix(p, out);
}

/* ---- infixes --------------------------------------------------------------------------------- */

static const struct {
    const char *op;
    int strength;
    sm_str name;
} infixes[] = {
    {"=", BIND_COMPARE, {"=", 1}},    {"==", BIND_COMPARE, {"=", 1}},
    {"<>", BIND_COMPARE, {"<>", 2}},  {"!=", BIND_COMPARE, {"<>", 2}},
    {"<", BIND_COMPARE, {"<", 1}},    {"<=", BIND_COMPARE, {"<=", 2}},
    {">", BIND_COMPARE, {">", 1}},    {">=", BIND_COMPARE, {">=", 2}},
    {"||", BIND_CONCAT, {"||", 2}},   {"+", BIND_SUM, {"+", 1}},
    {"-", BIND_SUM, {"-", 1}},        {"*", BIND_PRODUCT, {"*", 1}},
    {"/", BIND_PRODUCT, {"/", 1}},    {"//", BIND_PRODUCT, {"//", 2}},
    {"%", BIND_PRODUCT, {"%", 1}},    {"^", BIND_POWER, {"power", 5}},
    {"**", BIND_POWER, {"power", 5}},
};

static sm_status parse_is(smi_parser *p, smi_ast **out)
{
    smi_ast *const x = *out;
    p->at++;
    const bool negate = smi_accept_word(p, "NOT");
    if (smi_accept_word(p, "DISTINCT")) {
        smi_ast *y = NULL;
        SM_TRY(smi_expect_word(p, "FROM"));
        SM_TRY(parse_at(p, BIND_IS + 1, &y));
        return make_call(p, negate ? SM_STR("is_not_distinct") : SM_STR("is_distinct"), x->off, x,
                         y, out);
    }
    if (smi_accept_word(p, "NULL")) {
        return make_call(p, negate ? SM_STR("is_not_null") : SM_STR("is_null"), x->off, x, NULL,
                         out);
    }
    if (smi_accept_word(p, "UNKNOWN")) {
        return make_call(p, negate ? SM_STR("is_not_null") : SM_STR("is_null"), x->off, x, NULL,
                         out);
    }
    const bool is_true = smi_accept_word(p, "TRUE");
    if (!is_true && !smi_accept_word(p, "FALSE")) {
        return smi_expected(p, NULL);
    }
    smi_ast *truth = node_of(p, SMI_AST_CAST, x->off, out, 1); /* 42 is true */
    truth->type = &sm_type_bool;
    smi_ast *const y = smi_ast_new(p, SMI_AST_LITERAL, p->toks[p->at - 1].off);
    y->value = (sm_value){.type = &sm_type_bool, .as.b = is_true};
    return make_call(p, negate ? SM_STR("is_distinct") : SM_STR("is_not_distinct"), x->off, truth,
                     y, out);
}

static sm_status parse_between(smi_parser *p, bool negate, smi_ast **out)
{
    smi_ast *const x = *out;
    smi_ast *low = NULL, *high = NULL, *both[2] = {0};
    SM_TRY(parse_at(p, BIND_IN + 1, &low));
    SM_TRY(smi_expect_word(p, "AND"));
    SM_TRY(parse_at(p, BIND_IN + 1, &high));
    SM_TRY(make_call(p, SM_STR(">="), x->off, x, low, &both[0]));
    SM_TRY(make_call(p, SM_STR("<="), x->off, x, high, &both[1]));
    *out = node_of(p, SMI_AST_AND, x->off, both, 2);
    SM_TRY(finish_node(p, *out));
    return make_not(p, negate, out);
}

static sm_status parse_in(smi_parser *p, bool negate, smi_ast **out)
{
    smi_ast *const x = *out;
    smi_ast **args = NULL;
    int64_t n = 0, cap = 0;
    SM_TRY(smi_expect_op(p, "("));
    if (smi_starts_query(p, 0)) {
        smi_sql_fail(p->sql, p->toks[p->at].off, p->e, SM_UNSUPPORTED,
                     "IN (SELECT …) is not supported");
        sm_error_todo(p->e, "Write it as a JOIN with a SELECT DISTINCT.");
        return SM_UNSUPPORTED;
    }
    args = grow_asts(p, args, n, &cap);
    args[n++] = x;
    do {
        args = grow_asts(p, args, n, &cap);
        SM_TRY(smi_parse_expr(p, &args[n]));
        n++;
    } while (smi_accept_op(p, ","));
    SM_TRY(smi_expect_op(p, ")"));
    *out = node_of(p, SMI_AST_IN, x->off, args, (int32_t)n);
    SM_TRY(finish_node(p, *out));
    return make_not(p, negate, out);
}

/* [NOT] BETWEEN, IN, LIKE, ILIKE. *done: there is none of them. */
static sm_status parse_in_group(smi_parser *p, smi_ast **out, bool *done)
{
    const bool negate = smi_peek_word(p, 0, "not");
    const int64_t at = negate ? 1 : 0;
    *done = false;
    if (smi_peek_word(p, at, "between")) {
        p->at += at + 1;
        return parse_between(p, negate, out);
    }
    if (smi_peek_word(p, at, "in")) {
        p->at += at + 1;
        return parse_in(p, negate, out);
    }
    if (smi_peek_word(p, at, "like") || smi_peek_word(p, at, "ilike")) {
        const sm_str name = smi_peek_word(p, at, "like") ? SM_STR("like") : SM_STR("ilike");
        smi_ast *y = NULL;
        p->at += at + 1;
        SM_TRY(parse_at(p, BIND_IN + 1, &y));
        SM_TRY(make_call(p, name, (*out)->off, *out, y, out));
        return make_not(p, negate, out);
    }
    *done = true;
    return SM_OK;
}

static bool is_comparison(const smi_parser *p)
{
    for (int i = 0; i < SM_COUNT(infixes) && infixes[i].strength == BIND_COMPARE; i++) {
        if (smi_peek_op(p, 0, infixes[i].op)) {
            return true;
        }
    }
    return false;
}

/* One infix that binds at least as strongly as asked; *done: there is none. */
static sm_status parse_infix(smi_parser *p, int strength, smi_ast **out, bool *done)
{
    *done = false;
    if (p->toks[p->at].kind == SMI_TOK_OP) {
        for (int i = 0; i < SM_COUNT(infixes); i++) {
            if (infixes[i].strength >= strength && smi_peek_op(p, 0, infixes[i].op)) {
                smi_ast *y = NULL;
                p->at++;
                SM_TRY(parse_at(p, infixes[i].strength + 1, &y));
                if (infixes[i].strength == BIND_COMPARE && is_comparison(p)) {
                    smi_sql_fail(p->sql, p->toks[p->at].off, p->e, SM_SYNTAX,
                                 "a comparison of a comparison");
                    sm_error_todo(p->e, "Write a < b AND b < c, or put one in parentheses.");
                    return SM_SYNTAX;
                }
                return make_call(p, infixes[i].name, (*out)->off, *out, y, out);
            }
        }
        *done = true;
        return SM_OK;
    }
    if (strength <= BIND_OR && smi_peek_word(p, 0, "or")) {
        return make_logic(p, SMI_AST_OR, *out, "or", BIND_OR, out);
    }
    if (strength <= BIND_AND && smi_peek_word(p, 0, "and")) {
        return make_logic(p, SMI_AST_AND, *out, "and", BIND_AND, out);
    }
    if (strength <= BIND_IS && smi_peek_word(p, 0, "is")) {
        return parse_is(p, out);
    }
    if (strength <= BIND_IS && (smi_peek_word(p, 0, "isnull") || smi_peek_word(p, 0, "notnull"))) {
        const bool is_null = smi_peek_word(p, 0, "isnull");
        p->at++;
        return make_call(p, is_null ? SM_STR("is_null") : SM_STR("is_not_null"), (*out)->off, *out,
                         NULL, out);
    }
    if (strength <= BIND_IN) {
        return parse_in_group(p, out, done);
    }
    *done = true;
    return SM_OK;
}

static sm_status parse_at(smi_parser *p, int strength, smi_ast **out)
{
    SM_ASSERT(strength >= BIND_NONE && strength <= BIND_MINUS);
    SM_TRY(parse_prefix(p, strength, out));
    for (;;) {
        bool done = false;
        SM_TRY(parse_infix(p, strength, out, &done));
        if (done) {
            return SM_OK;
        }
    }
}

sm_status smi_parse_expr(smi_parser *p, smi_ast **out)
{
    SM_TRY(smi_nest(p));
    SM_TRY(parse_at(p, BIND_NONE, out));
    p->nesting--;
    return SM_OK;
}
