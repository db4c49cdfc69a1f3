/* SPDX-License-Identifier: Apache-2.0
 *
 * query/parse/sql_change.c: parses the statements that change tables or write files: INSERT, CREATE
 * TABLE, DELETE, TRUNCATE, UPDATE, MERGE, COPY and ALTER TABLE (sql_alter.c). Called by
 * sql_parse.c, which has the rules that they share with queries.
 *
 * Dialect   DuckDB's words, and those of Spark where DuckDB has none. What one of them has and
 *           smelt has not (DROP TABLE, RETURNING, UPDATE … FROM, …) is refused by its name, with
 *           what does it here: an "expected" alone would not say that the word was understood. */
#include "query/parse/parse_int.h"

/* ---- what is not there ----------------------------------------------------------------------- */

sm_status smi_refuse_statement(smi_parser *p)
{
    static const struct {
        const char *word, *todo;
    } others[] = {
        {"DROP", "DELETE FROM t removes all rows of a table; a table itself is its folder."},
        {"DESCRIBE", "smelt table show URI prints the columns of a table, smelt explain a plan."},
        {"DESC", "smelt table show URI prints the columns of a table."},
        {"SHOW", "smelt table show URI prints what a table is; a name that is wrong lists others."},
        {"SUMMARIZE", "smelt table show URI prints the columns of a table, and how many rows."},
        {"EXPLAIN", "smelt explain 'query' shows the plan of a query."},
        {"OPTIMIZE", "smelt table optimize URI joins small files."},
        {"VACUUM", "smelt table vacuum URI deletes files that no version needs."},
        {"RESTORE", "smelt table restore URI --version N brings a version back."},
        {"REPLACE", "MERGE INTO changes rows that are there and adds the others."},
        {"UPSERT", "MERGE INTO changes rows that are there and adds the others."},
        {"BEGIN", "Each statement is one version of its table, all or nothing."},
        {"START", "Each statement is one version of its table, all or nothing."},
        {"COMMIT", "Each statement is one version of its table, all or nothing."},
        {"ROLLBACK", "smelt table restore URI --version N brings a version back."},
        {"ATTACH", "smelt sql --lake DIR says where tables are; a file is read by its path."},
        {"USE", "smelt sql --lake DIR says where tables are."},
        {"SET", "Options are those of the command line: smelt sql --help."},
        {"PRAGMA", "Options are those of the command line: smelt sql --help."},
        {"INSTALL", NULL},
        {"LOAD", NULL},
    };
    for (int i = 0; i < SM_COUNT(others); i++) {
        if (smi_peek_word(p, 0, others[i].word)) {
            smi_sql_fail(p->sql, p->toks[p->at].off, p->e, SM_UNSUPPORTED, "%s is not supported",
                         others[i].word);
            if (others[i].todo) {
                sm_error_todo(p->e, "%s", others[i].todo);
            }
            return SM_UNSUPPORTED;
        }
    }
    return SM_OK;
}

/* Refuses a clause that others have, if one begins here. */
static sm_status refuse_clause(smi_parser *p, const char *statement)
{
    static const struct {
        const char *word, *todo;
    } others[] = {
        {"RETURNING", "Ask for the rows with a query before or after it."},
        {"USING", "MERGE INTO … USING … WHEN MATCHED THEN DELETE does it."},
        {"FROM", "MERGE INTO … USING … WHEN MATCHED THEN UPDATE does it."},
        {"ON", "MERGE INTO updates the rows that are there and inserts the others."},
        {"DEFAULT", "Name the columns, and give VALUES for them."},
        {"CLUSTER", NULL},
        {"LOCATION", "Name the folder in place of the table: CREATE TABLE 'folder' AS …"},
    };
    for (int i = 0; i < SM_COUNT(others); i++) {
        if (smi_peek_word(p, 0, others[i].word)) {
            const sm_status st =
                smi_sql_fail(p->sql, p->toks[p->at].off, p->e, SM_UNSUPPORTED,
                             "%s with %s is not supported", statement, others[i].word);
            if (others[i].todo) {
                sm_error_todo(p->e, "%s", others[i].todo);
            }
            return st;
        }
    }
    return SM_OK;
}

/* ---- parts ----------------------------------------------------------------------------------- */

/* A column that gets a value: `a`, or `t.a` where the table is named once more. */
static sm_status parse_set_name(smi_parser *p, smi_set *set)
{
    sm_str *tables = NULL;
    int64_t cap = 0;
    const uint32_t begin = p->toks[p->at].off;
    set->off = begin;
    SM_TRY(smi_parse_name(p, "a column", &set->column));
    while (smi_accept_op(p, ".")) {
        tables = sm_arena_grow(p->a, tables, set->n_tables, &cap, sizeof(*tables));
        tables[set->n_tables++] = set->column;
        set->off = p->toks[p->at].off;
        SM_TRY(smi_parse_name(p, "a column", &set->column));
    }
    set->tables = tables;
    set->text = (sm_str){p->sql->text.data + begin, p->toks[p->at - 1].end - begin};
    return SM_OK;
}

/* The name by which columns of the table that is changed may be qualified. */
static sm_str target_name(const smi_from *target)
{
    if (target->alias.len > 0) {
        return target->alias;
    }
    return target->n_parts > 0 ? target->parts[target->n_parts - 1] : target->name;
}

static bool names_target(const smi_set *set, const smi_from *target)
{
    const int32_t n = set->n_tables;
    if (n == 0) {
        return true;
    }
    if (!sm_str_eq_nocase(set->tables[n - 1], target_name(target))) {
        return false;
    }
    return n == 1 || (n == 2 && target->alias.len == 0 && target->n_parts == 2 &&
                      sm_str_eq_nocase(set->tables[0], target->parts[0]));
}

/* Refuses names like `st.p`, a field of the struct st: a column p of the table is not meant. */
static sm_status check_set_names(smi_parser *p, const smi_from *target, const smi_set *sets,
                                 int32_t n)
{
    for (int32_t i = 0; i < n; i++) {
        const smi_set *const set = &sets[i];
        if (names_target(set, target)) {
            continue;
        }
        smi_sql_fail(p->sql, (uint32_t)(set->text.data - p->sql->text.data), p->e, SM_NAME,
                     "\"%.*s\" is no column of the table that is changed", SM_STR_ARG(set->text));
        sm_error_todo(p->e, "The table is \"%.*s\"; a field within a struct is not set by itself.",
                      SM_STR_ARG(target_name(target)));
        return SM_NAME;
    }
    return SM_OK;
}

/* (a, b, …) */
static sm_status parse_columns(smi_parser *p, smi_set **out, int32_t *n)
{
    int64_t cap = 0;
    SM_TRY(smi_expect_op(p, "("));
    do {
        *out = sm_arena_grow(p->a, *out, *n, &cap, sizeof(**out));
        SM_TRY(parse_set_name(p, &(*out)[*n]));
        (*n)++;
    } while (smi_accept_op(p, ","));
    return smi_expect_op(p, ")");
}

/* a = expr, b = expr, … */
static sm_status parse_sets(smi_parser *p, smi_set **out, int32_t *n)
{
    int64_t cap = 0;
    do {
        *out = sm_arena_grow(p->a, *out, *n, &cap, sizeof(**out));
        smi_set *const set = &(*out)[*n];
        SM_TRY(parse_set_name(p, set));
        SM_TRY(smi_expect_op(p, "="));
        SM_TRY(smi_parse_value(p, &set->expr));
        (*n)++;
    } while (smi_accept_op(p, ","));
    return SM_OK;
}

static sm_status parse_where(smi_parser *p, const char *statement, smi_statement *s)
{
    SM_TRY(refuse_clause(p, statement));
    if (smi_accept_word(p, "WHERE")) {
        SM_TRY(smi_parse_expr(p, &s->where));
    }
    return refuse_clause(p, statement);
}

/* ---- INSERT, CREATE TABLE -------------------------------------------------------------------- */

/* DEFAULT VALUES: one row that gives no column, by name. */
static void parse_default_values(smi_parser *p, smi_statement *s)
{
    smi_select *const row = SM_NEW(p->a, smi_select);

    row->kind = SMI_SELECT_VALUES;
    row->off = p->toks[p->at].off;
    row->rows = SM_NEW_ARRAY(p->a, smi_ast **, 1);
    row->n_rows = 1;
    p->at += 2;
    row->end = p->toks[p->at - 1].end;
    s->select = row;
    s->by_name = true;
}

static sm_status parse_insert(smi_parser *p, smi_statement *s)
{
    s->kind = SM_STATEMENT_INSERT;
    if (smi_peek_word(p, 0, "or") || smi_peek_word(p, 0, "overwrite")) {
        smi_sql_fail(p->sql, p->toks[p->at].off, p->e, SM_UNSUPPORTED,
                     "INSERT with %s is not supported",
                     smi_peek_word(p, 0, "or") ? "OR" : "OVERWRITE");
        sm_error_todo(p->e, "INSERT INTO t REPLACE USING (a, …) replaces partitions, MERGE INTO "
                            "single rows, CREATE OR REPLACE TABLE all.");
        return SM_UNSUPPORTED;
    }
    SM_TRY(smi_expect_word(p, "INTO"));
    SM_TRY(smi_parse_target(p, &s->target));
    if (smi_peek_op(p, 0, "(") && !smi_starts_query(p, 1)) {
        SM_TRY(parse_columns(p, &s->sets, &s->n_sets));
    }
    if (smi_accept_word(p, "REPLACE")) {
        SM_TRY(smi_expect_word(p, "USING"));
        SM_TRY(parse_columns(p, &s->partition_by, &s->n_partition_by));
    }
    if (smi_accept_word(p, "BY")) {
        s->by_name = smi_accept_word(p, "NAME");
        if (!s->by_name) {
            SM_TRY(smi_expect_word(p, "POSITION"));
        }
    }
    if (s->n_sets == 0 && !s->by_name && smi_peek_word(p, 0, "default") &&
        smi_peek_word(p, 1, "values")) {
        parse_default_values(p, s);
        return refuse_clause(p, "INSERT");
    }
    const bool is_query = smi_starts_query(p, 0) || smi_peek_op(p, 0, "(");
    if (!is_query) {
        SM_TRY(refuse_clause(p, "INSERT")); /* not before: a query may begin with FROM */
        return smi_expected(p, "SELECT or VALUES");
    }
    SM_TRY(smi_parse_query(p, &s->select));
    return refuse_clause(p, "INSERT");
}

/* A column of CREATE TABLE t (a TYPE, …): an item that is NULL in that type. */
static sm_status parse_new_column(smi_parser *p, smi_item *item)
{
    smi_ast *const null = smi_ast_new(p, SMI_AST_LITERAL, p->toks[p->at].off);
    smi_ast *const cast = smi_ast_new(p, SMI_AST_CAST, p->toks[p->at].off);

    SM_TRY(smi_parse_name(p, "a column", &item->alias));
    SM_TRY(smi_parse_type(p, &cast->type));
    null->value = sm_value_null(&sm_type_null);
    cast->args = SM_NEW(p->a, smi_ast *);
    cast->args[0] = null;
    cast->n_args = 1;
    null->end = cast->end = p->toks[p->at - 1].end;
    item->expr = cast;
    if (smi_peek_op(p, 0, ",") || smi_peek_op(p, 0, ")") || p->toks[p->at].kind != SMI_TOK_NAME) {
        return SM_OK;
    }
    smi_sql_fail(p->sql, p->toks[p->at].off, p->e, SM_UNSUPPORTED,
                 "only a type may stand behind the name of a new table's column");
    sm_error_todo(p->e, "ALTER TABLE … ALTER COLUMN a SET DEFAULT x, … COMMENT 'x' and ADD "
                        "CONSTRAINT a CHECK (a IS NOT NULL) say more of it.");
    return SM_UNSUPPORTED;
}

/* (a TYPE, …): a query of these columns that gives no row. */
static sm_status parse_new_columns(smi_parser *p, smi_statement *s)
{
    smi_select *const q = SM_NEW(p->a, smi_select);
    int64_t cap = 0;

    q->off = p->toks[p->at].off;
    SM_TRY(smi_expect_op(p, "("));
    do {
        q->items = sm_arena_grow(p->a, q->items, q->n_items, &cap, sizeof(*q->items));
        SM_TRY(parse_new_column(p, &q->items[q->n_items++]));
    } while (smi_accept_op(p, ","));
    SM_TRY(smi_expect_op(p, ")"));
    SM_ASSERT(q->n_items > 0);
    q->end = p->toks[p->at - 1].end;
    q->where = smi_ast_new(p, SMI_AST_LITERAL, q->off);
    q->where->end = q->end;
    q->where->value = (sm_value){.type = &sm_type_bool, .as.b = false};
    s->select = q;
    return SM_OK;
}

/* Refuses the end of a CREATE TABLE that has neither. */
static sm_status expect_rows(smi_parser *p)
{
    if (p->toks[p->at].kind != SMI_TOK_END && !smi_peek_op(p, 0, ";")) {
        return smi_expect_word(p, "AS");
    }
    smi_sql_fail(p->sql, p->toks[p->at].off, p->e, SM_SYNTAX,
                 "CREATE TABLE needs columns, or a query that gives them");
    sm_error_todo(p->e, "CREATE TABLE t (a BIGINT, …), or CREATE TABLE t AS SELECT ….");
    return SM_SYNTAX;
}

/* PARTITIONED BY and TBLPROPERTIES, each once, in any order. */
static sm_status parse_layout(smi_parser *p, smi_statement *s)
{
    for (;;) {
        if (s->n_partition_by == 0 && smi_accept_word(p, "PARTITIONED")) {
            SM_TRY(smi_expect_word(p, "BY"));
            SM_TRY(parse_columns(p, &s->partition_by, &s->n_partition_by));
        } else if (s->n_properties == 0 && smi_accept_word(p, "TBLPROPERTIES")) {
            SM_TRY(smi_parse_properties(p, &s->properties, &s->n_properties));
        } else {
            return SM_OK;
        }
    }
}

static sm_status parse_create(smi_parser *p, smi_statement *s)
{
    s->kind = SM_STATEMENT_CREATE_TABLE;
    if (smi_accept_word(p, "OR")) {
        SM_TRY(smi_expect_word(p, "REPLACE"));
        s->or_replace = true;
    }
    if (smi_peek_word(p, 0, "view") || smi_peek_word(p, 0, "temp") ||
        smi_peek_word(p, 0, "temporary")) {
        smi_sql_fail(p->sql, p->toks[p->at].off, p->e, SM_UNSUPPORTED,
                     "only tables are created, no views and nothing temporary");
        sm_error_todo(p->e, "A pipeline has views; WITH names a query within a statement.");
        return SM_UNSUPPORTED;
    }
    SM_TRY(smi_expect_word(p, "TABLE"));
    if (!s->or_replace && smi_accept_word(p, "IF")) {
        SM_TRY(smi_expect_word(p, "NOT"));
        SM_TRY(smi_expect_word(p, "EXISTS"));
        s->if_not_exists = true;
    }
    SM_TRY(smi_parse_target(p, &s->target));
    if (smi_peek_op(p, 0, "(")) {
        SM_TRY(parse_new_columns(p, s));
    }
    SM_TRY(parse_layout(p, s));
    if (smi_peek_word(p, 0, "USING")) {
        smi_sql_fail(p->sql, p->toks[p->at].off, p->e, SM_UNSUPPORTED,
                     "CREATE TABLE with USING is not supported");
        sm_error_todo(p->e, "Leave it out: every table is a Delta table.");
        return SM_UNSUPPORTED;
    }
    SM_TRY(refuse_clause(p, "CREATE TABLE"));
    if (s->select) {
        return SM_OK;
    }
    if (!smi_accept_word(p, "AS")) {
        return expect_rows(p);
    }
    return smi_parse_query(p, &s->select);
}

/* ---- DELETE, UPDATE, COPY -------------------------------------------------------------------- */

static sm_status parse_delete(smi_parser *p, smi_statement *s)
{
    s->kind = SM_STATEMENT_DELETE;
    SM_TRY(smi_expect_word(p, "FROM"));
    SM_TRY(smi_parse_target(p, &s->target));
    SM_TRY(smi_parse_alias(p, (const char *const[]){"returning"}, 1, &s->target->alias));
    return parse_where(p, "DELETE", s);
}

/* TRUNCATE [TABLE] t: a DELETE of all rows. */
static sm_status parse_truncate(smi_parser *p, smi_statement *s)
{
    s->kind = SM_STATEMENT_DELETE;
    (void)smi_accept_word(p, "TABLE");
    return smi_parse_target(p, &s->target);
}

static sm_status parse_update(smi_parser *p, smi_statement *s)
{
    s->kind = SM_STATEMENT_UPDATE;
    SM_TRY(smi_parse_target(p, &s->target));
    SM_TRY(smi_parse_alias(p, (const char *const[]){"set"}, 1, &s->target->alias));
    SM_TRY(smi_expect_word(p, "SET"));
    SM_TRY(parse_sets(p, &s->sets, &s->n_sets));
    return parse_where(p, "UPDATE", s);
}

/* (FORMAT name) */
static sm_status parse_copy_options(smi_parser *p, smi_statement *s)
{
    if (!smi_accept_op(p, "(")) {
        return SM_OK;
    }
    SM_TRY(smi_expect_word(p, "FORMAT"));
    if (p->toks[p->at].kind == SMI_TOK_STRING) {
        s->format = smi_tok_text(p->sql, p->toks[p->at++], p->a);
    } else {
        SM_TRY(smi_parse_name(p, "a format", &s->format));
    }
    return smi_expect_op(p, ")");
}

/* SELECT * FROM a table, for COPY table TO. */
static smi_select *select_all(smi_parser *p, smi_from *from)
{
    smi_select *const s = SM_NEW(p->a, smi_select);
    s->off = from->off;
    s->end = from->end;
    s->from = from;
    s->items = SM_NEW(p->a, smi_item);
    s->items[0].expr = smi_ast_new(p, SMI_AST_STAR, from->off);
    s->n_items = 1;
    return s;
}

static sm_status parse_copy(smi_parser *p, smi_statement *s)
{
    s->kind = SM_STATEMENT_COPY;
    if (smi_accept_op(p, "(")) {
        SM_TRY(smi_parse_query(p, &s->select));
        SM_TRY(smi_expect_op(p, ")"));
    } else {
        smi_from *from = NULL;
        SM_TRY(smi_parse_target(p, &from));
        s->select = select_all(p, from);
    }
    if (smi_peek_word(p, 0, "from")) {
        smi_sql_fail(p->sql, p->toks[p->at].off, p->e, SM_UNSUPPORTED,
                     "COPY … FROM is not supported");
        sm_error_todo(p->e, "INSERT INTO … SELECT * FROM 'file' adds a file's rows.");
        return SM_UNSUPPORTED;
    }
    SM_TRY(smi_expect_word(p, "TO"));
    if (p->toks[p->at].kind != SMI_TOK_STRING) {
        return smi_expected(p, "the name of a file, in quotes");
    }
    s->file = smi_tok_text(p->sql, p->toks[p->at++], p->a);
    return parse_copy_options(p, s);
}

/* ---- MERGE ----------------------------------------------------------------------------------- */

/* MATCHED, NOT MATCHED [BY TARGET], NOT MATCHED BY SOURCE */
static sm_status parse_when_kind(smi_parser *p, smi_when *w)
{
    const bool is_not = smi_accept_word(p, "NOT");
    SM_TRY(smi_expect_word(p, "MATCHED"));
    w->kind = is_not ? SMI_WHEN_NOT_MATCHED : SMI_WHEN_MATCHED;
    if (is_not && smi_accept_word(p, "BY")) {
        if (smi_accept_word(p, "SOURCE")) {
            w->kind = SMI_WHEN_NOT_MATCHED_BY_SOURCE;
        } else {
            SM_TRY(smi_expect_word(p, "TARGET"));
        }
    }
    return SM_OK;
}

/* INSERT *, INSERT (a, b) VALUES (x, y) */
static sm_status parse_when_insert(smi_parser *p, smi_when *w)
{
    w->action = SMI_ACTION_INSERT;
    w->is_star = smi_accept_op(p, "*");
    if (w->is_star) {
        return SM_OK;
    }
    SM_TRY(parse_columns(p, &w->sets, &w->n_sets));
    SM_TRY(smi_expect_word(p, "VALUES"));
    const uint32_t off = p->toks[p->at].off;
    int32_t n = 0;
    SM_TRY(smi_expect_op(p, "("));
    do {
        smi_ast *x = NULL;
        SM_TRY(smi_parse_value(p, &x));
        if (n < w->n_sets) {
            w->sets[n].expr = x;
        }
        n++;
    } while (smi_accept_op(p, ","));
    SM_TRY(smi_expect_op(p, ")"));
    return n == w->n_sets
               ? SM_OK
               : smi_sql_fail(p->sql, off, p->e, SM_SYNTAX,
                              "INSERT names %d columns and gives %d values", w->n_sets, n);
}

static sm_status parse_when_action(smi_parser *p, smi_when *w)
{
    if (w->kind == SMI_WHEN_NOT_MATCHED) {
        SM_TRY(smi_expect_word(p, "INSERT"));
        return parse_when_insert(p, w);
    }
    if (smi_accept_word(p, "DELETE")) {
        w->action = SMI_ACTION_DELETE;
        return SM_OK;
    }
    SM_TRY(smi_expect_word(p, "UPDATE"));
    SM_TRY(smi_expect_word(p, "SET"));
    w->action = SMI_ACTION_UPDATE;
    w->is_star = w->kind == SMI_WHEN_MATCHED && smi_accept_op(p, "*");
    return w->is_star ? SM_OK : parse_sets(p, &w->sets, &w->n_sets);
}

static sm_status parse_when(smi_parser *p, smi_when *w)
{
    SM_TRY(parse_when_kind(p, w));
    if (smi_accept_word(p, "AND")) {
        SM_TRY(smi_parse_expr(p, &w->condition));
    }
    SM_TRY(smi_expect_word(p, "THEN"));
    SM_TRY(parse_when_action(p, w));
    w->end = p->toks[p->at - 1].end;
    SM_ASSERT(w->end > w->off);
    return SM_OK;
}

static sm_status parse_merge(smi_parser *p, smi_statement *s)
{
    int64_t cap = 0;
    s->kind = SM_STATEMENT_MERGE;
    SM_TRY(smi_expect_word(p, "INTO"));
    SM_TRY(smi_parse_target(p, &s->target));
    SM_TRY(smi_parse_alias(p, NULL, 0, &s->target->alias));
    SM_TRY(smi_expect_word(p, "USING"));
    SM_TRY(smi_parse_from_item(p, &s->source));
    SM_TRY(smi_expect_word(p, "ON"));
    SM_TRY(smi_parse_expr(p, &s->on));
    for (uint32_t off = p->toks[p->at].off; smi_accept_word(p, "WHEN"); off = p->toks[p->at].off) {
        s->whens = sm_arena_grow(p->a, s->whens, s->n_whens, &cap, sizeof(*s->whens));
        smi_when *const w = &s->whens[s->n_whens++];
        w->off = off;
        SM_TRY(parse_when(p, w));
    }
    return s->n_whens > 0 ? refuse_clause(p, "MERGE") : smi_expected(p, NULL);
}

/* ---- ALTER TABLE ----------------------------------------------------------------------------- */

static sm_status parse_alter(smi_parser *p, smi_statement *s)
{
    s->kind = SM_STATEMENT_ALTER;
    SM_TRY(smi_expect_word(p, "TABLE"));
    SM_TRY(smi_parse_target(p, &s->target));
    return smi_parse_alters(p, &s->alters, &s->n_alters);
}

/* ---- any ------------------------------------------------------------------------------------- */

static sm_status check_names(smi_parser *p, const smi_statement *s)
{
    SM_TRY(check_set_names(p, s->target, s->sets, s->n_sets));
    for (int32_t i = 0; i < s->n_whens; i++) {
        SM_TRY(check_set_names(p, s->target, s->whens[i].sets, s->whens[i].n_sets));
    }
    return SM_OK;
}

static const struct {
    const char *word;
    sm_status (*parse)(smi_parser *p, smi_statement *s);
} changes[] = {
    {"INSERT", parse_insert}, {"CREATE", parse_create},     {"DELETE", parse_delete},
    {"UPDATE", parse_update}, {"MERGE", parse_merge},       {"COPY", parse_copy},
    {"ALTER", parse_alter},   {"TRUNCATE", parse_truncate},
};

const char *smi_peek_change(const smi_parser *p)
{
    for (int i = 0; i < SM_COUNT(changes); i++) {
        if (smi_peek_word(p, 0, changes[i].word)) {
            return changes[i].word;
        }
    }
    return NULL;
}

sm_status smi_parse_change(smi_parser *p, smi_statement **out)
{
    const uint32_t off = p->toks[p->at].off;

    *out = NULL;
    for (int i = 0; i < SM_COUNT(changes); i++) {
        if (smi_accept_word(p, changes[i].word)) {
            smi_statement *const s = SM_NEW(p->a, smi_statement);
            s->off = off;
            SM_TRY(changes[i].parse(p, s));
            SM_TRY(check_names(p, s));
            s->end = p->toks[p->at - 1].end;
            SM_ASSERT(s->select || s->target);
            *out = s;
            return SM_OK;
        }
    }
    return SM_OK;
}
