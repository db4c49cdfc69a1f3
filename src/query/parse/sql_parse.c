/* SPDX-License-Identifier: Apache-2.0
 *
 * query/parse/sql_parse.c: parses statements by recursive descent, with one function for each rule
 * of the grammar. Expressions are in sql_expr.c. Called by query.c, and by the binder for views.
 *
 * Errors    The parser remembers each word or sign that it looked for at a token and did not find.
 *           If nothing fits, the message lists them, and the advice names the one that is nearest
 *           to the token. So a rule need not know which other rules could have matched. */
#include "query/parse/parse_int.h"

#include <stdio.h>

/* ---- looking and taking ---------------------------------------------------------------------- */

static smi_tok tok_ahead(const smi_parser *p, int64_t ahead)
{
    const int64_t i = p->at + ahead;
    SM_ASSERT(i >= 0 && p->toks[p->n_toks - 1].kind == SMI_TOK_END);
    return p->toks[i < p->n_toks ? i : p->n_toks - 1];
}

bool smi_peek_word(const smi_parser *p, int64_t ahead, const char *word)
{
    const smi_tok t = tok_ahead(p, ahead);
    const sm_str raw = {p->sql->text.data + t.off, t.end - t.off};
    return t.kind == SMI_TOK_NAME && sm_str_eq_nocase(raw, sm_str_of(word));
}

bool smi_peek_op(const smi_parser *p, int64_t ahead, const char *op)
{
    const smi_tok t = tok_ahead(p, ahead);
    const sm_str raw = {p->sql->text.data + t.off, t.end - t.off};
    return t.kind == SMI_TOK_OP && sm_str_is(raw, op);
}

static void remember_expected(smi_parser *p, const char *what)
{
    if (p->expected_at != p->at) {
        p->expected_at = p->at;
        p->n_expected = 0;
    }
    for (int32_t i = 0; i < p->n_expected; i++) {
        if (strcmp(p->expected[i], what) == 0) {
            return;
        }
    }
    if (p->n_expected < SMI_MAX_EXPECTED) {
        p->expected[p->n_expected++] = what;
    }
}

bool smi_accept_word(smi_parser *p, const char *word)
{
    if (smi_peek_word(p, 0, word)) {
        p->at++;
        return true;
    }
    remember_expected(p, word);
    return false;
}

bool smi_accept_op(smi_parser *p, const char *op)
{
    if (smi_peek_op(p, 0, op)) {
        p->at++;
        return true;
    }
    remember_expected(p, op);
    return false;
}

/* ---- what was expected ----------------------------------------------------------------------- */

static bool is_word(const char *s)
{
    return (s[0] >= 'A' && s[0] <= 'Z') && !strchr(s, ' ');
}

/* Advises the expected word that is nearest to the token, or to the alias before it:
 * `SELECT a FORM t` fails at t, but FORM is wrong. */
static void advise_word(smi_parser *p)
{
    sm_str words[SMI_MAX_EXPECTED];
    int64_t n = 0;
    for (int32_t i = 0; i < p->n_expected; i++) {
        if (is_word(p->expected[i])) {
            words[n++] = sm_str_of(p->expected[i]);
        }
    }
    const int64_t at[2] = {p->at, p->alias_at};
    for (int k = 0; k < 2; k++) {
        if (at[k] < 0 || (k == 1 && at[k] != p->at - 1)) {
            continue;
        }
        const smi_tok t = p->toks[at[k]];
        const sm_str raw = {p->sql->text.data + t.off, t.end - t.off};
        const char *const near = t.kind == SMI_TOK_NAME ? sm_nearest_name(raw, words, n) : NULL;
        if (near) {
            sm_error_todo(p->e, "Did you mean %s instead of \"%.*s\"?", near, SM_STR_ARG(raw));
            return;
        }
    }
}

sm_status smi_expected(smi_parser *p, const char *what)
{
    char list[160] = "";
    size_t len = 0;
    const smi_tok t = p->toks[p->at];
    if (p->expected_at != p->at) {
        p->n_expected = 0;
    }
    const int32_t n = p->n_expected + (what != NULL);
    for (int32_t i = 0; i < n; i++) {
        const char *const one = i < p->n_expected ? p->expected[i] : what;
        const bool quoted = i < p->n_expected && !is_word(one);
        const char *const sep = i == 0 ? "" : i + 1 < n ? ", " : " or ";
        if (len + strlen(one) + 8 < sizeof(list)) {
            len += (size_t)snprintf(list + len, sizeof(list) - len, quoted ? "%s\"%s\"" : "%s%s",
                                    sep, one);
        }
    }
    char found[48];
    const sm_str raw = {p->sql->text.data + t.off, t.end - t.off};
    if (t.kind == SMI_TOK_END) {
        snprintf(found, sizeof(found), "the end");
    } else {
        size_t cut = raw.len;
        while (cut > 24 || (cut > 0 && cut < raw.len && ((uint8_t)raw.data[cut] & 0xc0) == 0x80)) {
            cut--;
        }
        snprintf(found, sizeof(found), "\"%.*s\"%s", (int)cut, raw.data, cut < raw.len ? "…" : "");
    }
    smi_sql_fail(p->sql, t.off, p->e, SM_SYNTAX, "expected %s, found %s", list, found);
    advise_word(p);
    return SM_SYNTAX;
}

sm_status smi_expect_word(smi_parser *p, const char *word)
{
    return smi_accept_word(p, word) ? SM_OK : smi_expected(p, NULL);
}

sm_status smi_expect_op(smi_parser *p, const char *op)
{
    return smi_accept_op(p, op) ? SM_OK : smi_expected(p, NULL);
}

sm_status smi_nest(smi_parser *p)
{
    SM_ASSERT(p->nesting >= 0);
    if (++p->nesting > SMI_MAX_NESTING) {
        return smi_sql_fail(p->sql, p->toks[p->at].off, p->e, SM_LIMIT,
                            "query nests deeper than the limit of %d", SMI_MAX_NESTING);
    }
    return SM_OK;
}

smi_ast *smi_ast_new(smi_parser *p, smi_ast_kind kind, uint32_t off)
{
    smi_ast *const x = SM_NEW(p->a, smi_ast);
    x->kind = kind;
    x->off = off;
    x->end = off;
    x->depth = 1;
    return x;
}

/* ---- names ----------------------------------------------------------------------------------- */

bool smi_may_name(const smi_parser *p, int64_t ahead)
{
    const smi_tok t = tok_ahead(p, ahead);
    const sm_str raw = {p->sql->text.data + t.off, t.end - t.off};
    return t.kind == SMI_TOK_QUOTED || (t.kind == SMI_TOK_NAME && !smi_is_reserved(raw));
}

sm_status smi_parse_name(smi_parser *p, const char *what, sm_str *out)
{
    if (!smi_may_name(p, 0)) {
        return smi_expected(p, what);
    }
    *out = smi_tok_text(p->sql, p->toks[p->at++], p->a);
    return SM_OK;
}

sm_status smi_parse_name_list(smi_parser *p, const sm_str **out, int32_t *n)
{
    sm_str *names = NULL;
    int64_t n_names = 0, cap = 0;
    do {
        names = sm_arena_grow(p->a, names, n_names, &cap, sizeof(*names));
        SM_TRY(smi_parse_name(p, "a name", &names[n_names]));
        n_names++;
    } while (smi_accept_op(p, ","));
    *out = names;
    *n = (int32_t)n_names;
    return SM_OK;
}

sm_status smi_parse_alias(smi_parser *p, const char *const *words, int n_words, sm_str *out)
{
    if (smi_peek_word(p, 0, "as")) {
        p->at++;
        const smi_tok t = p->toks[p->at]; /* behind AS any word, and a string, may be a name */
        if (t.kind != SMI_TOK_NAME && t.kind != SMI_TOK_QUOTED && t.kind != SMI_TOK_STRING) {
            return smi_expected(p, "an alias");
        }
        *out = smi_tok_text(p->sql, t, p->a);
        p->at++;
        return SM_OK;
    }
    for (int i = 0; i < n_words; i++) {
        if (smi_peek_word(p, 0, words[i])) {
            return SM_OK;
        }
    }
    if (smi_may_name(p, 0)) {
        p->alias_at = p->at;
        *out = smi_tok_text(p->sql, p->toks[p->at++], p->a);
    }
    return SM_OK;
}

/* ---- FROM ------------------------------------------------------------------------------------ */

static sm_status parse_from(smi_parser *p, smi_from **out);

static smi_from *from_new(smi_parser *p, smi_from_kind kind)
{
    smi_from *const f = SM_NEW(p->a, smi_from);
    f->kind = kind;
    f->off = p->toks[p->at].off;
    return f;
}

/* layer.table */
static sm_status parse_name_parts(smi_parser *p, smi_from *f)
{
    sm_str *parts = NULL;
    int64_t n = 0, cap = 0;
    do {
        parts = sm_arena_grow(p->a, parts, n, &cap, sizeof(*parts));
        SM_TRY(smi_parse_name(p, "a table", &parts[n]));
        n++;
    } while (smi_accept_op(p, "."));
    f->parts = parts;
    f->n_parts = (int32_t)n;
    return SM_OK;
}

static sm_status parse_table_name(smi_parser *p, smi_from *f)
{
    SM_TRY(parse_name_parts(p, f));
    if (f->n_parts == 1 && smi_peek_op(p, 0, "(")) {
        p->at++;
        f->kind = SMI_FROM_FUNCTION;
        f->name = f->parts[0];
        return smi_parse_args(p, &f->args, &f->n_args);
    }
    return SM_OK;
}

/* Does AT (VERSION => …) stand there? Without the arrow it is an alias with names of columns. */
static bool starts_at(const smi_parser *p)
{
    return smi_peek_word(p, 0, "at") && smi_peek_op(p, 1, "(") && smi_may_name(p, 2) &&
           smi_peek_op(p, 3, "=>");
}

static sm_status refuse_at(smi_parser *p, const smi_from *f)
{
    const uint32_t off = p->toks[p->at].off;

    if (f->kind == SMI_FROM_FUNCTION) {
        const sm_status st =
            smi_sql_fail(p->sql, off, p->e, SM_SYNTAX, "AT cannot follow a table function");
        sm_error_todo(p->e, "Ask for a version with delta_scan(…, version => n) or "
                            "delta_scan(…, timestamp => t).");
        return st;
    }
    return smi_sql_fail(p->sql, off, p->e, SM_SYNTAX,
                        f->kind == SMI_FROM_SELECT ? "AT cannot follow a subquery"
                                                   : "AT stands here twice");
}

/* AT (VERSION => n), AT (TIMESTAMP => t): an argument of that name, in small letters. */
static sm_status parse_at(smi_parser *p, smi_from *f)
{
    if (!starts_at(p)) {
        return SM_OK;
    }
    if ((f->kind != SMI_FROM_TABLE && f->kind != SMI_FROM_FILE) || f->n_args > 0) {
        return refuse_at(p, f);
    }
    p->at += 2;
    const bool is_version = smi_accept_word(p, "VERSION");
    if (!is_version) {
        SM_TRY(smi_expect_word(p, "TIMESTAMP"));
    }
    SM_TRY(smi_expect_op(p, "=>"));
    f->args = SM_NEW_ARRAY(p->a, smi_ast *, 1);
    SM_TRY(smi_parse_expr(p, &f->args[0]));
    f->n_args = 1;
    f->args[0]->arg_name = is_version ? SM_STR("version") : SM_STR("timestamp");
    return smi_expect_op(p, ")");
}

static const char *const from_words[] = {"semi", "anti", "asof", "positional", "exclude"};

/* What may follow an item of FROM: [AT (…)] [[AS] alias [(names)]] [AT (…)]. */
static sm_status parse_from_alias(smi_parser *p, smi_from *f)
{
    SM_TRY(parse_at(p, f));
    SM_TRY(smi_parse_alias(p, from_words, SM_COUNT(from_words), &f->alias));
    if (f->alias.len > 0 && smi_accept_op(p, "(")) {
        SM_TRY(smi_parse_name_list(p, &f->columns, &f->n_columns));
        SM_TRY(smi_expect_op(p, ")"));
    }
    return parse_at(p, f);
}

sm_status smi_parse_from_item(smi_parser *p, smi_from **out)
{
    smi_from *f = NULL;
    if (smi_peek_op(p, 0, "(")) {
        const bool is_query = smi_starts_query(p, 1);
        f = from_new(p, SMI_FROM_SELECT);
        p->at++;
        SM_TRY(smi_nest(p));
        if (is_query) {
            SM_TRY(smi_parse_query(p, &f->select));
        } else {
            SM_TRY(parse_from(p, &f));
        }
        p->nesting--;
        SM_TRY(smi_expect_op(p, ")"));
        if (!is_query) { /* (a JOIN b …) has no name of its own */
            *out = f;
            return SM_OK;
        }
    } else if (p->toks[p->at].kind == SMI_TOK_STRING) {
        f = from_new(p, SMI_FROM_FILE);
        f->name = smi_tok_text(p->sql, p->toks[p->at++], p->a);
    } else {
        f = from_new(p, SMI_FROM_TABLE);
        SM_TRY(parse_table_name(p, f));
    }
    f->end = p->toks[p->at - 1].end;
    *out = f;
    return parse_from_alias(p, f);
}

sm_status smi_parse_target(smi_parser *p, smi_from **out)
{
    smi_from *f = NULL;
    if (p->toks[p->at].kind == SMI_TOK_STRING) {
        f = from_new(p, SMI_FROM_FILE);
        f->name = smi_tok_text(p->sql, p->toks[p->at++], p->a);
    } else {
        f = from_new(p, SMI_FROM_TABLE);
        SM_TRY(parse_name_parts(p, f));
    }
    f->end = p->toks[p->at - 1].end;
    SM_ASSERT(f->end > f->off && (f->kind == SMI_FROM_FILE) == (f->n_parts == 0));
    *out = f;
    return SM_OK;
}

/* Which join begins here? *is_join false: none. */
static sm_status parse_join_kind(smi_parser *p, bool *is_join, sm_join_kind *kind)
{
    static const char *const others[] = {"right", "full",    "semi",      "anti",
                                         "asof",  "natural", "positional"};
    *is_join = true;
    for (int i = 0; i < SM_COUNT(others); i++) {
        if (smi_peek_word(p, 0, others[i])) {
            smi_sql_fail(p->sql, p->toks[p->at].off, p->e, SM_UNSUPPORTED,
                         "%s JOIN is not supported", others[i]);
            sm_error_todo(p->e, "Joins are INNER, LEFT and CROSS.");
            return SM_UNSUPPORTED;
        }
    }
    if (smi_accept_word(p, "CROSS")) {
        *kind = SM_JOIN_CROSS;
        return smi_expect_word(p, "JOIN");
    }
    if (smi_accept_word(p, "LEFT")) {
        *kind = SM_JOIN_LEFT;
        smi_accept_word(p, "OUTER");
        return smi_expect_word(p, "JOIN");
    }
    *kind = SM_JOIN_INNER;
    if (smi_accept_word(p, "INNER")) {
        return smi_expect_word(p, "JOIN");
    }
    *is_join = smi_accept_word(p, "JOIN");
    return SM_OK;
}

static sm_status parse_join_condition(smi_parser *p, smi_from *join)
{
    if (join->join == SM_JOIN_CROSS) {
        return SM_OK;
    }
    if (smi_accept_word(p, "ON")) {
        return smi_parse_expr(p, &join->on);
    }
    SM_TRY(smi_expect_word(p, "USING"));
    SM_TRY(smi_expect_op(p, "("));
    SM_TRY(smi_parse_name_list(p, &join->using_names, &join->n_using));
    return smi_expect_op(p, ")");
}

static sm_status parse_joins(smi_parser *p, smi_from **out)
{
    SM_TRY(smi_parse_from_item(p, out));
    for (int64_t n = 0;; n++) {
        bool is_join = false;
        sm_join_kind kind = SM_JOIN_INNER;
        SM_TRY(parse_join_kind(p, &is_join, &kind));
        if (!is_join) {
            return SM_OK;
        }
        smi_from *const join = from_new(p, SMI_FROM_JOIN);
        if (n >= SMI_MAX_NESTING) {
            return smi_sql_fail(p->sql, join->off, p->e, SM_LIMIT, "over the limit of %d joins",
                                SMI_MAX_NESTING);
        }
        join->left = *out;
        join->join = kind;
        SM_TRY(smi_parse_from_item(p, &join->right));
        SM_TRY(parse_join_condition(p, join));
        join->end = p->toks[p->at - 1].end;
        *out = join;
    }
}

static sm_status parse_from(smi_parser *p, smi_from **out)
{
    SM_TRY(parse_joins(p, out));
    for (int64_t n = 0; smi_accept_op(p, ","); n++) {
        smi_from *const join = from_new(p, SMI_FROM_JOIN);
        if (n >= SMI_MAX_NESTING) {
            return smi_sql_fail(p->sql, join->off, p->e, SM_LIMIT, "over the limit of %d joins",
                                SMI_MAX_NESTING);
        }
        join->left = *out;
        join->join = SM_JOIN_CROSS;
        SM_TRY(parse_joins(p, &join->right));
        join->end = p->toks[p->at - 1].end;
        *out = join;
    }
    return SM_OK;
}

/* ---- SELECT ---------------------------------------------------------------------------------- */

static const char *const item_words[] = {"exclude"};

static sm_status parse_items(smi_parser *p, smi_select *s)
{
    int64_t cap = 0;
    do {
        s->items = sm_arena_grow(p->a, s->items, s->n_items, &cap, sizeof(*s->items));
        smi_item *const item = &s->items[s->n_items];
        SM_TRY(smi_parse_expr(p, &item->expr));
        SM_TRY(smi_parse_alias(p, item_words, SM_COUNT(item_words), &item->alias));
        s->n_items++;
        /* a comma before FROM, which DuckDB lets pass */
    } while (smi_accept_op(p, ",") && !smi_peek_word(p, 0, "from"));
    return SM_OK;
}

static sm_status parse_group(smi_parser *p, smi_select *s)
{
    int64_t cap = 0;
    SM_TRY(smi_expect_word(p, "BY"));
    if (smi_accept_word(p, "ALL")) {
        s->group_all = true;
        return SM_OK;
    }
    if (smi_peek_op(p, 0, "(") && smi_peek_op(p, 1, ")")) {
        s->group_none = true;
        p->at += 2;
        return SM_OK;
    }
    do {
        s->group = sm_arena_grow(p->a, s->group, s->n_group, &cap, sizeof(*s->group));
        SM_TRY(smi_parse_expr(p, &s->group[s->n_group]));
        s->n_group++;
    } while (smi_accept_op(p, ","));
    return SM_OK;
}

static void add_star(smi_parser *p, smi_select *s)
{
    s->items = SM_NEW(p->a, smi_item);
    s->items[0].expr = smi_ast_new(p, SMI_AST_STAR, s->off);
    s->n_items = 1;
}

/* SELECT … [FROM …] or FROM … [SELECT …], up to QUALIFY. */
static sm_status parse_core(smi_parser *p, smi_select *s)
{
    const bool from_first = smi_accept_word(p, "FROM");
    if (from_first) {
        SM_TRY(parse_from(p, &s->from));
    }
    if (from_first ? smi_accept_word(p, "SELECT") : true) {
        if (!from_first) {
            SM_TRY(smi_expect_word(p, "SELECT"));
        }
        s->is_distinct = smi_accept_word(p, "DISTINCT");
        if (!s->is_distinct) {
            smi_accept_word(p, "ALL");
        }
        SM_TRY(parse_items(p, s));
    } else {
        add_star(p, s);
    }
    if (!from_first && smi_accept_word(p, "FROM")) {
        SM_TRY(parse_from(p, &s->from));
    }
    if (smi_accept_word(p, "WHERE")) {
        SM_TRY(smi_parse_expr(p, &s->where));
    }
    if (smi_accept_word(p, "GROUP")) {
        SM_TRY(parse_group(p, s));
    }
    if (smi_accept_word(p, "HAVING")) {
        SM_TRY(smi_parse_expr(p, &s->having));
    }
    if (smi_accept_word(p, "QUALIFY")) {
        SM_TRY(smi_parse_expr(p, &s->qualify));
    }
    return SM_OK;
}

sm_status smi_parse_value(smi_parser *p, smi_ast **out)
{
    const bool is_alone = tok_ahead(p, 1).kind != SMI_TOK_OP || smi_peek_op(p, 1, ",") ||
                          smi_peek_op(p, 1, ")") || smi_peek_op(p, 1, ";");

    if (!is_alone || !smi_peek_word(p, 0, "default")) {
        return smi_parse_expr(p, out);
    }
    *out = smi_ast_new(p, SMI_AST_DEFAULT, p->toks[p->at].off);
    (*out)->end = p->toks[p->at++].end;
    return SM_OK;
}

static sm_status parse_values(smi_parser *p, smi_select *s)
{
    int64_t cap = 0;
    s->kind = SMI_SELECT_VALUES;
    p->at++;
    do {
        smi_ast **row = NULL;
        int64_t n = 0, cap_row = 0;
        const uint32_t off = p->toks[p->at].off;
        SM_TRY(smi_expect_op(p, "("));
        do {
            row = sm_arena_grow(p->a, row, n, &cap_row, sizeof(*row));
            SM_TRY(smi_parse_value(p, &row[n]));
            n++;
        } while (smi_accept_op(p, ","));
        SM_TRY(smi_expect_op(p, ")"));
        if (s->n_rows > 0 && n != s->n_items) {
            return smi_sql_fail(p->sql, off, p->e, SM_SYNTAX,
                                "row has %lld values, the first one has %d", (long long)n,
                                s->n_items);
        }
        s->n_items = (int32_t)n;
        s->rows = sm_arena_grow(p->a, s->rows, s->n_rows, &cap, sizeof(*s->rows));
        s->rows[s->n_rows++] = row;
    } while (smi_accept_op(p, ","));
    return SM_OK;
}

static smi_select *select_new(smi_parser *p)
{
    smi_select *const s = SM_NEW(p->a, smi_select);
    s->off = p->toks[p->at].off;
    return s;
}

/* One operand of UNION: a SELECT, VALUES, or a query in parentheses. */
static sm_status parse_operand(smi_parser *p, smi_select **out)
{
    if (smi_peek_op(p, 0, "(")) {
        p->at++;
        SM_TRY(smi_parse_query(p, out));
        return smi_expect_op(p, ")");
    }
    smi_select *const s = select_new(p);
    if (smi_peek_word(p, 0, "values")) {
        SM_TRY(parse_values(p, s));
    } else {
        SM_TRY(parse_core(p, s));
    }
    s->end = p->toks[p->at - 1].end;
    *out = s;
    return SM_OK;
}

static sm_status parse_unions(smi_parser *p, smi_select **out)
{
    SM_TRY(parse_operand(p, out));
    for (int64_t n = 0;; n++) {
        if (smi_peek_word(p, 0, "intersect") || smi_peek_word(p, 0, "except")) {
            return smi_sql_fail(p->sql, p->toks[p->at].off, p->e, SM_UNSUPPORTED,
                                "INTERSECT and EXCEPT are not supported");
        }
        if (!smi_accept_word(p, "UNION")) {
            return SM_OK;
        }
        smi_select *const both = select_new(p);
        if (n >= SMI_MAX_NESTING) {
            return smi_sql_fail(p->sql, both->off, p->e, SM_LIMIT, "over the limit of %d UNIONs",
                                SMI_MAX_NESTING);
        }
        both->kind = SMI_SELECT_UNION;
        both->off = (*out)->off;
        both->is_distinct = !smi_accept_word(p, "ALL");
        if (both->is_distinct) {
            smi_accept_word(p, "DISTINCT");
        }
        both->left = *out;
        SM_TRY(parse_operand(p, &both->right));
        both->end = p->toks[p->at - 1].end;
        *out = both;
    }
}

/* ---- WITH, ORDER BY, LIMIT ------------------------------------------------------------------- */

static sm_status parse_direction(smi_parser *p, bool *is_desc, bool *nulls_first)
{
    *is_desc = smi_accept_word(p, "DESC");
    if (!*is_desc) {
        smi_accept_word(p, "ASC");
    }
    *nulls_first = false;
    if (smi_accept_word(p, "NULLS")) {
        *nulls_first = smi_accept_word(p, "FIRST");
        return *nulls_first ? SM_OK : smi_expect_word(p, "LAST");
    }
    return SM_OK;
}

sm_status smi_parse_order(smi_parser *p, smi_order **out, int32_t *n)
{
    smi_order *keys = NULL;
    int64_t n_keys = 0, cap = 0;
    do {
        keys = sm_arena_grow(p->a, keys, n_keys, &cap, sizeof(*keys));
        smi_order *const key = &keys[n_keys++];
        SM_TRY(smi_parse_expr(p, &key->expr));
        SM_TRY(parse_direction(p, &key->is_desc, &key->nulls_first));
    } while (smi_accept_op(p, ","));
    *out = keys;
    *n = (int32_t)n_keys;
    return SM_OK;
}

static sm_status parse_ctes(smi_parser *p, smi_cte **out, int32_t *n)
{
    int64_t cap = 0;
    if (smi_peek_word(p, 0, "recursive")) {
        return smi_sql_fail(p->sql, p->toks[p->at].off, p->e, SM_UNSUPPORTED,
                            "WITH RECURSIVE is not supported");
    }
    do {
        *out = sm_arena_grow(p->a, *out, *n, &cap, sizeof(**out));
        smi_cte *const cte = &(*out)[(*n)++];
        const uint32_t off = p->toks[p->at].off;
        SM_TRY(smi_parse_name(p, "a name", &cte->name));
        for (int32_t i = 0; i + 1 < *n; i++) {
            if (sm_str_eq_nocase((*out)[i].name, cte->name)) {
                return smi_sql_fail(p->sql, off, p->e, SM_NAME, "WITH has two tables \"%.*s\"",
                                    SM_STR_ARG(cte->name));
            }
        }
        if (smi_accept_op(p, "(")) {
            SM_TRY(smi_parse_name_list(p, &cte->columns, &cte->n_columns));
            SM_TRY(smi_expect_op(p, ")"));
        }
        SM_TRY(smi_expect_word(p, "AS"));
        if (smi_accept_word(p, "NOT")) { /* a hint: CTEs are bound in their place either way */
            SM_TRY(smi_expect_word(p, "MATERIALIZED"));
        } else {
            smi_accept_word(p, "MATERIALIZED");
        }
        SM_TRY(smi_expect_op(p, "("));
        SM_TRY(smi_parse_query(p, &cte->select));
        SM_TRY(smi_expect_op(p, ")"));
        cte->sql = p->sql;
    } while (smi_accept_op(p, ",") && !smi_peek_word(p, 0, "select"));
    return SM_OK;
}

/* A query has one ORDER BY, LIMIT and WITH: one in parentheses that has some already is wrapped in
 * a SELECT * FROM, which then gets those behind the parentheses. */
static smi_select *wrap_modified(smi_parser *p, smi_select *s)
{
    if (s->n_order == 0 && !s->order_all && !s->limit && !s->offset && s->n_ctes == 0) {
        return s;
    }
    smi_select *const outer = select_new(p);
    outer->off = s->off;
    outer->from = from_new(p, SMI_FROM_SELECT);
    outer->from->select = s;
    add_star(p, outer);
    return outer;
}

static sm_status parse_modifiers(smi_parser *p, smi_select *s)
{
    if (smi_accept_word(p, "ORDER")) {
        SM_TRY(smi_expect_word(p, "BY"));
        if (smi_accept_word(p, "ALL")) {
            bool nulls_first = false;
            s->order_all = true;
            SM_TRY(parse_direction(p, &s->order_all_desc, &nulls_first));
        } else {
            SM_TRY(smi_parse_order(p, &s->order, &s->n_order));
        }
    }
    for (int k = 0; k < 2; k++) { /* in either order */
        if (!s->limit && smi_accept_word(p, "LIMIT")) {
            if (!smi_accept_word(p, "ALL")) {
                SM_TRY(smi_parse_expr(p, &s->limit));
            }
        } else if (!s->offset && smi_accept_word(p, "OFFSET")) {
            SM_TRY(smi_parse_expr(p, &s->offset));
        }
    }
    return SM_OK;
}

/* A query behind its WITH. */
static sm_status parse_query_of(smi_parser *p, smi_cte *ctes, int32_t n_ctes, smi_select **out)
{
    SM_TRY(parse_unions(p, out));
    const bool is_modified = n_ctes > 0 || smi_peek_word(p, 0, "order") ||
                             smi_peek_word(p, 0, "limit") || smi_peek_word(p, 0, "offset");
    if (is_modified) {
        *out = wrap_modified(p, *out);
    }
    SM_TRY(parse_modifiers(p, *out));
    (*out)->ctes = ctes;
    (*out)->n_ctes = n_ctes;
    (*out)->end = p->toks[p->at - 1].end;
    return SM_OK;
}

sm_status smi_parse_query(smi_parser *p, smi_select **out)
{
    smi_cte *ctes = NULL;
    int32_t n_ctes = 0;
    SM_TRY(smi_nest(p));
    if (smi_accept_word(p, "WITH")) {
        SM_TRY(parse_ctes(p, &ctes, &n_ctes));
    }
    SM_TRY(parse_query_of(p, ctes, n_ctes, out));
    p->nesting--;
    return SM_OK;
}

bool smi_starts_query(const smi_parser *p, int64_t ahead)
{
    static const char *const words[] = {"select", "with", "values", "from"};
    for (int i = 0; i < SM_COUNT(words); i++) {
        if (smi_peek_word(p, ahead, words[i])) {
            return true;
        }
    }
    return false;
}

/* ---- whole texts ----------------------------------------------------------------------------- */

static sm_status parser_init(smi_parser *p, const sm_sql *sql, sm_arena *a, sm_error *e)
{
    smi_tok *toks = NULL;
    *p = (smi_parser){.sql = sql, .a = a, .e = e, .expected_at = -1, .alias_at = -1};
    SM_TRY(smi_lex(sql, a, &toks, &p->n_toks, e));
    p->toks = toks;
    return SM_OK;
}

/* WITH belongs to a query; before a statement that changes a table, to all queries in it. */
static sm_status check_with(smi_parser *p, const smi_statement *s, uint32_t off)
{
    const bool takes = s->kind == SM_STATEMENT_INSERT || s->kind == SM_STATEMENT_DELETE ||
                       s->kind == SM_STATEMENT_UPDATE || s->kind == SM_STATEMENT_MERGE;

    if (takes) {
        return SM_OK;
    }
    smi_sql_fail(p->sql, off, p->e, SM_SYNTAX, "WITH cannot stand before %s",
                 sm_statement_name(s->kind));
    sm_error_todo(p->e, "Let it begin the query within the statement.");
    return SM_SYNTAX;
}

/* Where only a query may stand: refuses a statement that changes something, by its name. */
static sm_status refuse_change(smi_parser *p, uint32_t off)
{
    const char *const change = smi_peek_change(p);

    if (!change) {
        return SM_OK;
    }
    smi_sql_fail(p->sql, off, p->e, SM_DENIED,
                 "%s changes something, and only a query may stand here", change);
    sm_error_todo(p->e, "smelt sql --write runs such a statement.");
    return SM_DENIED;
}

/* A statement of any kind, or only a query. */
static sm_status parse_statement(smi_parser *p, bool is_query, smi_statement **out)
{
    const uint32_t off = p->toks[p->at].off;
    smi_cte *ctes = NULL;
    int32_t n_ctes = 0;

    SM_TRY(smi_nest(p));
    if (smi_accept_word(p, "WITH")) {
        SM_TRY(parse_ctes(p, &ctes, &n_ctes));
    }
    SM_TRY(is_query ? refuse_change(p, off) : smi_parse_change(p, out));
    SM_TRY(*out ? SM_OK : smi_refuse_statement(p));
    if (*out) {
        SM_TRY(n_ctes > 0 ? check_with(p, *out, off) : SM_OK);
        (*out)->ctes = ctes;
        (*out)->n_ctes = n_ctes;
    } else {
        *out = SM_NEW(p->a, smi_statement);
        (*out)->kind = SM_STATEMENT_SELECT;
        SM_TRY(parse_query_of(p, ctes, n_ctes, &(*out)->select));
    }
    SM_ASSERT((*out)->select || (*out)->target);
    (*out)->off = off;
    (*out)->end = p->toks[p->at - 1].end;
    p->nesting--;
    return SM_OK;
}

/* Nothing but semicolons may follow a statement. */
static sm_status parse_end(smi_parser *p)
{
    SM_ASSERT(p->nesting == 0); /* each level that was entered was left */
    while (smi_accept_op(p, ";")) {
    }
    return p->toks[p->at].kind == SMI_TOK_END ? SM_OK : smi_expected(p, "the end");
}

sm_status smi_parse(const sm_sql *sql, sm_arena *a, smi_statement **out, sm_error *e)
{
    smi_parser p;
    *out = NULL;
    SM_TRY(parser_init(&p, sql, a, e));
    SM_TRY(parse_statement(&p, false, out));
    return parse_end(&p);
}

sm_status smi_parse_select(const sm_sql *sql, sm_arena *a, smi_select **out, sm_error *e)
{
    smi_parser p;
    smi_statement *s = NULL;
    SM_TRY(parser_init(&p, sql, a, e));
    SM_TRY(parse_statement(&p, true, &s));
    SM_TRY(parse_end(&p));
    *out = s->select;
    return SM_OK;
}

sm_status sm_query_alter(const sm_sql *sql, sm_arena *a, sm_alter **out, int32_t *n, sm_error *e)
{
    smi_parser p;
    sm_sql *const kept = SM_NEW(a, sm_sql);
    *kept = *sql;
    SM_TRY(parser_init(&p, kept, a, e));
    SM_TRY(smi_parse_alters(&p, out, n));
    return p.toks[p.at].kind == SMI_TOK_END ? SM_OK : smi_expected(&p, "the end");
}

sm_status smi_parse_one_expr(const sm_sql *sql, sm_arena *a, smi_ast **out, sm_error *e)
{
    smi_parser p;
    SM_TRY(parser_init(&p, sql, a, e));
    SM_TRY(smi_parse_expr(&p, out));
    SM_ASSERT(p.nesting == 0);
    return p.toks[p.at].kind == SMI_TOK_END ? SM_OK : smi_expected(&p, "the end");
}
