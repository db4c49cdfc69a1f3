/* SPDX-License-Identifier: Apache-2.0
 *
 * query/parse/sql_take.c: changes the text of a query so that it takes a further key of the files
 * that it reads: the key's type goes into `columns => {…}` of its read function, or into the
 * STRUCT(…) there that the key is in, and the key into the list of its SELECT. Called for contracts
 * that are changed to what a source has become (sm_query_take_keys).
 *
 * Place    behind the last of its kind. What stands on a line of its own is followed by a line of
 *          its own, indented alike; a comment behind it stays there. Nothing else changes.
 * Refused  a text in which the place is not certain: SELECT, its list and the read function must be
 *          the outermost ones, and `columns` must be spelt out. */
#include "base/quote.h"
#include "query/parse/parse_int.h"

/* ---- inserting ------------------------------------------------------------------------------- */

/* A text, and where something is put in. */
typedef struct place {
    sm_str text;
    size_t start, end; /* of the last item that is there */
} place;

static size_t line_start(sm_str text, size_t at)
{
    while (at > 0 && text.data[at - 1] != '\n') {
        at--;
    }
    return at;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* Where the line ends, if nothing but a comment is behind `at`; SIZE_MAX: something else is. */
static size_t rest_of_line(sm_str text, size_t at)
{
    while (at < text.len && is_blank(text.data[at])) {
        at++;
    }
    if (at < text.len && text.data[at] != '\n' &&
        !sm_str_starts((sm_str){text.data + at, text.len - at}, SM_STR("--"))) {
        return SIZE_MAX;
    }
    while (at < text.len && text.data[at] != '\n') {
        at++;
    }
    return at > 0 && text.data[at - 1] == '\r' ? at - 1 : at;
}

/* The text with a further item behind the last one. */
static sm_str add_item(const place *p, sm_str item, sm_arena *a)
{
    const sm_str text = p->text;
    const size_t first = line_start(text, p->start), eol = rest_of_line(text, p->end);
    size_t indent = 0;
    sm_buf out = {0};

    while (is_blank(text.data[first + indent])) {
        indent++;
    }
    sm_buf_text(&out, (sm_str){text.data, p->end});
    sm_buf_text(&out, SM_STR(","));
    if (first + indent == p->start && eol != SIZE_MAX) {
        const bool has_cr = eol < text.len && text.data[eol] == '\r';
        sm_buf_text(&out, (sm_str){text.data + p->end, eol - p->end});
        sm_buf_text(&out, has_cr ? SM_STR("\r\n") : SM_STR("\n"));
        sm_buf_text(&out, (sm_str){text.data + first, indent});
        sm_buf_text(&out, item);
        sm_buf_text(&out, (sm_str){text.data + eol, text.len - eol});
    } else {
        sm_buf_text(&out, SM_STR(" "));
        sm_buf_text(&out, item);
        sm_buf_text(&out, (sm_str){text.data + p->end, text.len - p->end});
    }
    const sm_str done = sm_arena_str(a, sm_buf_str(&out));
    sm_buf_release(&out);
    return done;
}

/* ---- the type of a STRUCT, as it is written -------------------------------------------------- */

/* A name at `at` of a type's text, which stands in a literal; returns the place behind it. */
static size_t read_name(sm_str t, size_t at, sm_arena *a, sm_str *out)
{
    size_t n = 0, used = 0;

    if (at < t.len && t.data[at] == '"') {
        char *text = sm_arena_alloc(a, t.len + 1);
        used = sm_quoted_read((sm_str){t.data + at, t.len - at}, text, &n);
        size_t n_text = 0;
        for (size_t i = 0; i < n; i++) { /* in the literal a ' is doubled */
            text[n_text++] = text[i];
            i += text[i] == '\'' && i + 1 < n && text[i + 1] == '\'';
        }
        *out = (sm_str){text, n_text};
        return at + used;
    }
    while (at + used < t.len && !is_blank(t.data[at + used]) && t.data[at + used] != '\n' &&
           !memchr("(),[", t.data[at + used], 4)) {
        used++;
    }
    *out = (sm_str){t.data + at, used};
    return at + used;
}

static size_t skip_blank(sm_str t, size_t at)
{
    while (at < t.len && (is_blank(t.data[at]) || t.data[at] == '\n')) {
        at++;
    }
    return at;
}

/* The place behind the type at `at`: a comma or the bracket that closes the STRUCT around it. */
static size_t skip_type(sm_str t, size_t at)
{
    int depth = 0;
    bool is_quoted = false;

    for (; at < t.len; at++) {
        is_quoted = is_quoted != (t.data[at] == '"');
        if (is_quoted) {
            continue;
        }
        if (depth == 0 && (t.data[at] == ',' || t.data[at] == ')')) {
            break;
        }
        depth += t.data[at] == '(' ? 1 : t.data[at] == ')' ? -1 : 0;
    }
    return at;
}

/* What is behind a name and a dot at the start of a path; "": the path does not begin so. */
static sm_str path_below(sm_str path, sm_str name)
{
    const size_t skip = name.len + 1;
    return path.len > skip && sm_str_starts(path, name) && path.data[name.len] == '.'
               ? (sm_str){path.data + skip, path.len - skip}
               : (sm_str){0};
}

/* What became of a key. */
typedef struct taking {
    sm_arena *a;
    sm_buf way; /* the names of the objects that it is in, as SQL */
    sm_str key; /* what is left of its path: its own name at the end */
    const char *why;
    place at;
} taking;

static void fail(taking *k, const char *why)
{
    k->why = why;
}

/* Goes into the STRUCT whose type is the text's part from `from` to `to`, and on to the innermost
 * one that the key is in: k->at is its last field. */
static void enter_struct(taking *k, size_t from, size_t to)
{
    const sm_str t = {k->at.text.data, to};
    const sm_str head = SM_STR("STRUCT");
    size_t at = skip_blank(t, from);

    if (at + head.len > to || !sm_str_eq_nocase((sm_str){t.data + at, head.len}, head)) {
        fail(k, "it stands in a value that is no STRUCT");
        return;
    }
    while (to > at && (is_blank(t.data[to - 1]) || t.data[to - 1] == '\n')) {
        to--;
    }
    at = skip_blank(t, at + head.len);
    if (at >= to || t.data[at] != '(' || t.data[to - 1] != ')') {
        fail(k, "it stands in a list");
        return;
    }
    do {
        sm_str name = {0};
        const size_t start = skip_blank(t, at + 1);
        const size_t type = read_name(t, start, k->a, &name);
        at = skip_type(t, type);
        const sm_str below = path_below(k->key, name);
        if (sm_str_eq_nocase(k->key, name)) {
            fail(k, "a column has its name already");
            return;
        }
        if (below.len > 0) {
            sm_buf_text(&k->way, SM_STR("."));
            smi_print_name(name, &k->way);
            k->key = below;
            enter_struct(k, type, at);
            return;
        }
        size_t end = at; /* without the blanks before a bracket on a line of its own */
        while (end > start && (is_blank(t.data[end - 1]) || t.data[end - 1] == '\n')) {
            end--;
        }
        k->at.start = start;
        k->at.end = end;
    } while (at < to && t.data[at] == ',');
}

/* ---- the query ------------------------------------------------------------------------------- */

static const smi_ast *columns_of(const smi_from *f)
{
    for (int32_t i = 0; i < f->n_args; i++) {
        if (sm_str_is(f->args[i]->arg_name, "columns")) {
            return f->args[i];
        }
    }
    return NULL;
}

/* Why the query's text cannot be changed; NULL: it can. */
static const char *why_not(const smi_select *s)
{
    if (s->kind != SMI_SELECT || s->n_items == 0 || !s->from ||
        s->from->kind != SMI_FROM_FUNCTION || s->from->off < s->items[0].expr->off) {
        return "the SELECT does not itself read the files";
    }
    const smi_ast *columns = columns_of(s->from);
    if (!columns) {
        return "the SQL declares no columns";
    }
    return columns->kind == SMI_AST_STRUCT && columns->n_args > 0
               ? NULL
               : "the columns are not written as {name: 'TYPE', ...}";
}

/* Where the type of the key is declared: k->at, and *field: within a STRUCT. */
static void find_declared(taking *k, const smi_ast *columns, bool *field)
{
    const smi_ast *last = columns->args[columns->n_args - 1];

    *field = false;
    for (int32_t i = 0; i < columns->n_args; i++) {
        const smi_ast *x = columns->args[i];
        const sm_str below = path_below(k->key, x->arg_name);
        if (sm_str_eq_nocase(x->arg_name, k->key)) {
            fail(k, "a column has its name already");
            return;
        }
        if (below.len > 0 && x->kind != SMI_AST_LITERAL) {
            fail(k, "the type of its object is no text");
            return;
        }
        if (below.len > 0) {
            smi_print_name(x->arg_name, &k->way);
            k->key = below;
            *field = true;
            enter_struct(k, x->off + 1, x->end - 1);
            return;
        }
    }
    /* An argument begins with its name: at the start of a line, if the one before it, or the
     * bracket, is on an earlier line. */
    const size_t before =
        columns->n_args > 1 ? columns->args[columns->n_args - 2]->end : columns->off;
    const size_t line = line_start(k->at.text, last->off);
    k->at.start = last->off;
    k->at.end = last->end;
    if (before < line) {
        k->at.start = line;
        while (is_blank(k->at.text.data[k->at.start])) {
            k->at.start++;
        }
    }
}

/* Has the query a column of that name? */
static bool has_output(const smi_select *s, sm_str name)
{
    for (int32_t i = 0; i < s->n_items; i++) {
        const smi_item *item = &s->items[i];
        const smi_ast *x = item->expr;
        const sm_str own = item->alias.len > 0         ? item->alias
                           : x->kind == SMI_AST_COLUMN ? x->parts[x->n_parts - 1]
                           : x->kind == SMI_AST_FIELD  ? x->name
                                                       : (sm_str){0};
        if (sm_str_eq_nocase(own, name)) {
            return true;
        }
    }
    return false;
}

static bool has_star(const smi_select *s)
{
    bool has = false;
    for (int32_t i = 0; i < s->n_items; i++) {
        has = has || s->items[i].expr->kind == SMI_AST_STAR;
    }
    return has;
}

/* Where the list of the SELECT ends: behind the last token before FROM. */
static sm_status end_of_list(const sm_sql *sql, const smi_select *s, sm_arena *a, size_t *end,
                             sm_error *e)
{
    smi_tok *toks = NULL;
    int64_t n = 0, at = 0;

    SM_TRY(smi_lex(sql, a, &toks, &n, e));
    while (at < n && toks[at].off < s->from->off) {
        at++;
    }
    SM_ASSERT(at >= 3); /* SELECT, an item, FROM */
    *end = toks[at - 2].end;
    return SM_OK;
}

static sm_str name_of(const smi_select *s, const taking *k, sm_str path, sm_arena *a)
{
    if (!has_output(s, k->key)) {
        return k->key;
    }
    char *text = sm_arena_alloc(a, path.len + 1);
    for (size_t i = 0; i < path.len; i++) {
        text[i] = path.data[i] == '.' ? '_' : path.data[i];
    }
    return (sm_str){text, path.len};
}

static sm_str print_selected(const taking *k, sm_str name, sm_arena *a)
{
    sm_buf out = {0};

    sm_buf_text(&out, sm_buf_str(&k->way));
    sm_buf_text(&out, k->way.len > 0 ? SM_STR(".") : SM_STR(""));
    smi_print_name(k->key, &out);
    if (k->way.len > 0 || !sm_str_eq(name, k->key)) {
        sm_buf_text(&out, SM_STR(" AS "));
        smi_print_name(name, &out);
    }
    const sm_str text = sm_arena_str(a, sm_buf_str(&out));
    sm_buf_release(&out);
    return text;
}

/* As a column "x: 'BIGINT'", as a field "x BIGINT", which stands in a literal. */
static sm_str print_declared(const taking *k, sm_str type, bool is_field, sm_arena *a)
{
    sm_buf name = {0}, out = {0};

    smi_print_name(k->key, &name);
    for (size_t i = 0; i < name.len; i++) {
        const char c = (char)name.data[i];
        sm_buf_text(&out, is_field && c == '\'' ? SM_STR("''") : (sm_str){&c, 1});
    }
    sm_buf_printf(&out, is_field ? " %.*s" : ": '%.*s'", SM_STR_ARG(type));
    const sm_str text = sm_arena_str(a, sm_buf_str(&out));
    sm_buf_release(&name);
    sm_buf_release(&out);
    return text;
}

/* Changes *text for one key. */
static sm_status take_key(sm_str name_of_text, sm_str *text, sm_sql_key *key, sm_arena *a,
                          sm_error *e)
{
    const sm_sql sql = {.name = name_of_text, .text = *text};
    taking k = {.a = a, .key = key->path, .at = {.text = *text}};
    smi_select *s = NULL;
    bool is_field = false;
    size_t end = 0;

    SM_TRY(smi_parse_select(&sql, a, &s, e));
    fail(&k, why_not(s));
    if (!k.why) {
        find_declared(&k, columns_of(s->from), &is_field);
    }
    key->declared = print_declared(&k, key->type, is_field, a);
    key->name = name_of(s, &k, key->path, a);
    key->selected = print_selected(&k, key->name, a);
    if (!k.why && !has_star(s) && has_output(s, key->name)) {
        fail(&k, "columns of the SELECT have its names already");
    }
    key->why = k.why;
    if (!k.why) { /* first what stands behind: the other place does not move */
        SM_TRY(end_of_list(&sql, s, a, &end, e));
        sm_str changed = add_item(&k.at, key->declared, a);
        const smi_ast *last = s->items[s->n_items - 1].expr;
        if (!has_star(s)) {
            changed = add_item(&(place){changed, last->off, end}, key->selected, a);
        }
        *text = changed;
    }
    sm_buf_release(&k.way);
    return SM_OK;
}

sm_status sm_query_take_keys(const sm_sql *sql, sm_sql_key *keys, int32_t n, sm_arena *a,
                             sm_str *out, sm_error *e)
{
    smi_select *checked = NULL;
    sm_sql *changed = SM_NEW(a, sm_sql);

    *out = sql->text;
    for (int32_t i = 0; i < n; i++) {
        SM_TRY(take_key(sql->name, out, &keys[i], a, e));
    }
    *changed = (sm_sql){.name = sql->name, .text = *out};
    return smi_parse_select(changed, a, &checked, e);
}
