/* SPDX-License-Identifier: Apache-2.0
 *
 * query/parse/sql_alter.c: parses what stands behind ALTER TABLE and the table's name. Called by
 * sql_change.c, and by sm_query_alter() for `smelt table alter`.
 *
 * Words     those of Spark; ALTER COLUMN also as DuckDB has it (SET DATA TYPE)
 * Several   ADD COLUMN a BIGINT COMMENT 'x' AFTER b is three changes: the column, its comment, its
 *           place. So each change does one thing, and is checked on its own.
 * Text      An expression is kept as the user wrote it, for a table has it as text in Spark's SQL:
 *           there a name stands in `…`, not in "…". */
#include "query/parse/parse_int.h"

typedef struct altering {
    smi_parser *p;
    sm_alter *items;
    int64_t n, cap;
} altering;

static sm_alter *add_change(altering *t, sm_alter_kind kind)
{
    t->items = sm_arena_grow(t->p->a, t->items, t->n, &t->cap, sizeof(*t->items));
    t->items[t->n] = (sm_alter){.kind = kind};
    return &t->items[t->n++];
}

/* A further change of the column that the last one is about. */
static sm_alter *add_same_column(altering *t, const sm_alter *column, sm_alter_kind kind)
{
    const sm_alter of = *column; /* it may move */
    sm_alter *const out = add_change(t, kind);

    SM_ASSERT(of.n_path > 0);
    out->path = of.path;
    out->n_path = of.n_path;
    return out;
}

static sm_status refuse(smi_parser *p, const char *what, const char *todo)
{
    const sm_status st = smi_sql_fail(p->sql, p->toks[p->at].off, p->e, SM_UNSUPPORTED, "%s", what);
    sm_error_todo(p->e, "%s", todo);
    return st;
}

/* ---- parts ----------------------------------------------------------------------------------- */

/* a.b.c */
static sm_status parse_path(smi_parser *p, sm_alter *out)
{
    sm_str *parts = NULL;
    int64_t n = 0, cap = 0;

    do {
        parts = sm_arena_grow(p->a, parts, n, &cap, sizeof(*parts));
        SM_TRY(smi_parse_name(p, "a column", &parts[n]));
        n++;
    } while (smi_accept_op(p, "."));
    out->path = parts;
    out->n_path = (int32_t)n;
    return SM_OK;
}

static sm_status parse_text(smi_parser *p, const char *what, sm_str *out)
{
    if (p->toks[p->at].kind != SMI_TOK_STRING) {
        return smi_expected(p, what);
    }
    *out = smi_tok_text(p->sql, p->toks[p->at++], p->a);
    return SM_OK;
}

/* An expression, as text with Spark's quotes. */
static sm_status parse_expr_text(smi_parser *p, sm_str *out)
{
    const int64_t first = p->at;
    const uint32_t off = p->toks[first].off;
    smi_ast *unused = NULL;

    SM_TRY(smi_parse_expr(p, &unused));
    const uint32_t end = p->toks[p->at - 1].end;
    const sm_str copy = sm_arena_str(p->a, (sm_str){p->sql->text.data + off, end - off});
    char *text = (char *)copy.data;
    for (int64_t i = first; i < p->at; i++) {
        if (p->toks[i].kind == SMI_TOK_QUOTED) {
            text[p->toks[i].off - off] = text[p->toks[i].end - off - 1] = '`';
        }
    }
    *out = copy;
    return SM_OK;
}

/* FIRST, AFTER b */
static sm_status parse_place(altering *t, const sm_alter *column, bool *is_there)
{
    smi_parser *const p = t->p;
    const bool is_first = smi_accept_word(p, "FIRST");

    *is_there = is_first || smi_accept_word(p, "AFTER");
    if (!*is_there) {
        return SM_OK;
    }
    sm_alter *const move = add_same_column(t, column, SM_ALTER_MOVE_COLUMN);
    return is_first ? SM_OK : smi_parse_name(p, "a column", &move->name);
}

/* ---- columns --------------------------------------------------------------------------------- */

/* a BIGINT [COMMENT 'x'] [DEFAULT x] [FIRST | AFTER b] */
static sm_status parse_new_column(altering *t)
{
    smi_parser *const p = t->p;
    sm_alter *const added = add_change(t, SM_ALTER_ADD_COLUMN);
    bool goes_on = true;

    SM_TRY(parse_path(p, added));
    SM_TRY(smi_parse_type(p, &added->type));
    const sm_alter column = *added;
    while (goes_on) {
        if (smi_peek_word(p, 0, "NOT")) {
            return refuse(p, "a column that is added cannot be NOT NULL",
                          "The rows that are there have NULL in it.");
        }
        if (smi_accept_word(p, "COMMENT")) {
            SM_TRY(parse_text(p, "a text in quotes",
                              &add_same_column(t, &column, SM_ALTER_COMMENT)->text));
        } else if (smi_accept_word(p, "DEFAULT")) {
            sm_str text = {0};
            SM_TRY(parse_expr_text(p, &text));
            add_same_column(t, &column, SM_ALTER_SET_DEFAULT)->text = text;
        } else {
            SM_TRY(parse_place(t, &column, &goes_on));
        }
    }
    return SM_OK;
}

/* One, or several between parentheses. */
static sm_status parse_some(altering *t, sm_status (*one)(altering *t))
{
    const bool has_parens = smi_accept_op(t->p, "(");

    do {
        SM_TRY(one(t));
    } while (smi_accept_op(t->p, ","));
    return has_parens ? smi_expect_op(t->p, ")") : SM_OK;
}

static sm_status parse_dropped(altering *t)
{
    return parse_path(t->p, add_change(t, SM_ALTER_DROP_COLUMN));
}

static sm_status parse_rename(altering *t)
{
    smi_parser *const p = t->p;

    if (smi_peek_word(p, 0, "TO")) {
        return refuse(p, "a table is not renamed", "Its folder is its name.");
    }
    sm_alter *const out = add_change(t, SM_ALTER_RENAME_COLUMN);
    SM_TRY(smi_expect_word(p, "COLUMN"));
    SM_TRY(parse_path(p, out));
    SM_TRY(smi_expect_word(p, "TO"));
    return smi_parse_name(p, "a name", &out->text);
}

/* SET DATA TYPE t, SET DEFAULT x; behind SET. */
static sm_status parse_column_set(smi_parser *p, sm_alter *out)
{
    if (smi_accept_word(p, "DEFAULT")) {
        out->kind = SM_ALTER_SET_DEFAULT;
        return parse_expr_text(p, &out->text);
    }
    if (smi_peek_word(p, 0, "NOT")) {
        return refuse(p, "a column does not become NOT NULL",
                      "Say ADD CONSTRAINT name CHECK (column IS NOT NULL).");
    }
    SM_TRY(smi_expect_word(p, "DATA"));
    SM_TRY(smi_expect_word(p, "TYPE"));
    return smi_parse_type(p, &out->type);
}

/* DROP NOT NULL, DROP DEFAULT; behind DROP. */
static sm_status parse_column_drop(smi_parser *p, sm_alter *out)
{
    out->kind = SM_ALTER_DROP_DEFAULT;
    if (smi_accept_word(p, "DEFAULT")) {
        return SM_OK;
    }
    out->kind = SM_ALTER_DROP_NOT_NULL;
    SM_TRY(smi_expect_word(p, "NOT"));
    return smi_expect_word(p, "NULL");
}

/* a TYPE t, a SET …, a DROP …, a COMMENT 'x', a FIRST; behind ALTER or CHANGE. */
static sm_status parse_column(altering *t)
{
    smi_parser *const p = t->p;
    sm_alter *out = add_change(t, SM_ALTER_TYPE);
    bool is_place = false;

    smi_accept_word(p, "COLUMN");
    SM_TRY(parse_path(p, out));
    if (smi_accept_word(p, "TYPE")) {
        return smi_parse_type(p, &out->type);
    }
    if (smi_accept_word(p, "SET")) {
        return parse_column_set(p, out);
    }
    if (smi_accept_word(p, "DROP")) {
        return parse_column_drop(p, out);
    }
    if (smi_accept_word(p, "COMMENT")) {
        out->kind = SM_ALTER_COMMENT;
        return parse_text(p, "a text in quotes", &out->text);
    }
    t->n--; /* the place is a change of its own */
    SM_TRY(parse_place(t, &(sm_alter){.path = out->path, .n_path = out->n_path}, &is_place));
    return is_place ? SM_OK : smi_expected(p, NULL);
}

/* ---- constraints and properties -------------------------------------------------------------- */

/* name CHECK (x); behind ADD CONSTRAINT. */
static sm_status parse_constraint(altering *t)
{
    smi_parser *const p = t->p;
    sm_alter *const out = add_change(t, SM_ALTER_ADD_CONSTRAINT);

    SM_TRY(smi_parse_name(p, "a name", &out->name));
    SM_TRY(smi_expect_word(p, "CHECK"));
    SM_TRY(smi_expect_op(p, "("));
    SM_TRY(parse_expr_text(p, &out->text));
    return smi_expect_op(p, ")");
}

/* 'delta.appendOnly', or the same without quotes. */
static sm_status parse_key(smi_parser *p, sm_str *out)
{
    sm_buf key = {0};

    if (p->toks[p->at].kind == SMI_TOK_STRING) {
        return parse_text(p, "a property", out);
    }
    do {
        sm_str part = {0};
        const sm_status st = smi_parse_name(p, "a property", &part);
        if (st != SM_OK) {
            sm_buf_release(&key);
            return st;
        }
        sm_buf_printf(&key, "%s%.*s", key.len > 0 ? "." : "", SM_STR_ARG(part));
    } while (smi_accept_op(p, "."));
    *out = sm_arena_str(p->a, sm_buf_str(&key));
    sm_buf_release(&key);
    return SM_OK;
}

/* 'k' = 'v'; a number and a word need no quotes. */
static sm_status parse_pair(smi_parser *p, sm_str *key, sm_str *value)
{
    SM_TRY(parse_key(p, key));
    SM_TRY(smi_expect_op(p, "="));
    const smi_tok tok = p->toks[p->at];
    if (tok.kind == SMI_TOK_STRING) {
        return parse_text(p, "a value", value);
    }
    if (tok.kind != SMI_TOK_NAME && tok.kind != SMI_TOK_NUMBER) {
        return smi_expected(p, "a value");
    }
    p->at++;
    *value = sm_arena_str(p->a, (sm_str){p->sql->text.data + tok.off, tok.end - tok.off});
    return SM_OK;
}

static sm_status parse_property(altering *t)
{
    sm_alter *const out = add_change(t, SM_ALTER_SET_PROPERTY);
    return parse_pair(t->p, &out->name, &out->text);
}

sm_status smi_parse_properties(smi_parser *p, sm_pair **out, int32_t *n)
{
    int64_t cap = 0;

    SM_TRY(smi_expect_op(p, "("));
    do {
        const uint32_t off = p->toks[p->at].off;
        *out = sm_arena_grow(p->a, *out, *n, &cap, sizeof(**out));
        sm_pair *const pair = &(*out)[*n];
        SM_TRY(parse_pair(p, &pair->key, &pair->value));
        for (int32_t i = 0; i < *n; i++) {
            if (sm_str_eq_nocase((*out)[i].key, pair->key)) {
                return smi_sql_fail(p->sql, off, p->e, SM_SYNTAX,
                                    "the property \"%.*s\" is set twice", SM_STR_ARG(pair->key));
            }
        }
        (*n)++;
    } while (smi_accept_op(p, ","));
    return smi_expect_op(p, ")");
}

static sm_status parse_unset(altering *t)
{
    return parse_key(t->p, &add_change(t, SM_ALTER_UNSET_PROPERTY)->name);
}

static sm_status parse_if_exists(smi_parser *p, bool *out)
{
    *out = smi_accept_word(p, "IF");
    return *out ? smi_expect_word(p, "EXISTS") : SM_OK;
}

/* ---- any ------------------------------------------------------------------------------------- */

static sm_status parse_add(altering *t)
{
    if (smi_accept_word(t->p, "CONSTRAINT")) {
        return parse_constraint(t);
    }
    if (!smi_accept_word(t->p, "COLUMNS")) {
        SM_TRY(smi_expect_word(t->p, "COLUMN"));
    }
    return parse_some(t, parse_new_column);
}

static sm_status parse_drop(altering *t, bool *if_exists)
{
    smi_parser *const p = t->p;

    if (smi_accept_word(p, "CONSTRAINT")) {
        SM_TRY(parse_if_exists(p, if_exists));
        return smi_parse_name(p, "a name", &add_change(t, SM_ALTER_DROP_CONSTRAINT)->name);
    }
    if (!smi_accept_word(p, "COLUMNS")) {
        SM_TRY(smi_expect_word(p, "COLUMN"));
    }
    SM_TRY(parse_if_exists(p, if_exists));
    return parse_some(t, parse_dropped);
}

static sm_status parse_change(altering *t, bool *if_exists)
{
    smi_parser *const p = t->p;

    if (smi_accept_word(p, "ADD")) {
        return parse_add(t);
    }
    if (smi_accept_word(p, "DROP")) {
        return parse_drop(t, if_exists);
    }
    if (smi_accept_word(p, "RENAME")) {
        return parse_rename(t);
    }
    if (smi_accept_word(p, "ALTER") || smi_accept_word(p, "CHANGE")) {
        return parse_column(t);
    }
    if (smi_accept_word(p, "SET")) {
        SM_TRY(smi_expect_word(p, "TBLPROPERTIES"));
        return parse_some(t, parse_property);
    }
    SM_TRY(smi_expect_word(p, "UNSET"));
    SM_TRY(smi_expect_word(p, "TBLPROPERTIES"));
    SM_TRY(parse_if_exists(p, if_exists));
    return parse_some(t, parse_unset);
}

sm_status smi_parse_alters(smi_parser *p, sm_alter **out, int32_t *n)
{
    altering t = {.p = p};
    const uint32_t off = p->toks[p->at].off;
    bool if_exists = false;

    SM_TRY(parse_change(&t, &if_exists));
    const uint32_t end = p->toks[p->at - 1].end;
    SM_ASSERT(t.n > 0 && end > off);
    for (int64_t i = 0; i < t.n; i++) {
        t.items[i].sql = (sm_str){p->sql->text.data + off, end - off};
        t.items[i].if_exists = if_exists;
    }
    *out = t.items;
    *n = (int32_t)t.n;
    return SM_OK;
}
