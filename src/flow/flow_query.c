/* SPDX-License-Identifier: Apache-2.0
 *
 * flow/flow_query.c: remembers by which query a table's rows were loaded. A load whose SQL has
 * changed would put rows of one kind beside rows of another, so it stops before it reads and says
 * what differs. Called by loads, and by tables that keep other values' rows, which only warn.
 *
 * Kept     as text (sql_canonical.c) in the table's books. What may differ from run to run is left
 *          out: places, `match`, and variables that stand for a place, a month or a date. Other
 *          variables stand there with their values.
 * Allowed  The load goes on if the text is the same; if the books have none because the table is
 *          older than this check (they then take it); if the run was given --keep-old; and if only
 *          columns were added, or fields to a declared STRUCT, and the task may add them (evolve:
 *          add).
 * Message  compares the texts line by line, and shows the lines that only one of them has. */
#include <stdio.h>

#include "base/quote.h"
#include "flow/flow_int.h"

/* ---- the text ------------------------------------------------------------------------------- */

typedef struct query_of {
    const sm_run *run;
    const smi_flow_task *task;
    bool *names; /* of each variable: does the text have its name? */
} query_of;

static bool is_open(void *ctx, sm_str variable)
{
    const query_of *q = ctx;
    const sm_pipeline *p = q->run->p;

    for (int32_t i = 0; i < p->n_vars; i++) {
        const smi_flow_var *v = &p->vars[i];
        if (sm_str_eq(v->name, variable)) {
            q->names[i] = v->type == SMI_VAR_URI || v->type == SMI_VAR_MONTH ||
                          v->type == SMI_VAR_DATE || i == q->task->replace || i == q->task->append;
            return q->names[i];
        }
    }
    return false;
}

sm_status smi_flow_query_text(sm_run *r, const smi_flow_task *t, sm_str *out, bool **names,
                              sm_error *e)
{
    SM_ASSERT(t >= r->p->tasks && t < r->p->tasks + r->p->n_tasks);
    query_of q = {r, t, SM_NEW_ARRAY(r->arena, bool, r->p->n_vars)};
    const sm_resolver resolver = sm_names_resolver(r->names);
    const sm_canonical_opts opts = {
        .ctx = &q, .is_open = is_open, .without_paths = true, .without_argument = "match"};

    if (names) {
        *names = q.names;
    }
    SM_TRY(sm_query_canonical(&t->sql, &resolver, &opts, r->arena, out, e));
    if (smi_flow_keeps_unknown(r, t)) { /* a column that the source adds, not the SQL */
        *out = sm_arena_strf(r->arena, "%.*scolumn \"" SM_RESCUED "\": unknown keys\n",
                             SM_STR_ARG(*out));
    }
    return SM_OK;
}

sm_status smi_flow_query_same(sm_run *r, const sm_sql *sql, sm_buf *out, sm_error *e)
{
    static const sm_canonical_opts all = {0};
    const sm_resolver resolver = sm_names_resolver(r->names);
    sm_str text = {0};

    SM_TRY(sm_query_canonical(sql, &resolver, &all, r->arena, &text, e));
    sm_buf_text(out, text);
    return SM_OK;
}

/* ---- what differs --------------------------------------------------------------------------- */

/* The next line of a text, without its end; false at the text's end. */
static bool next_line(sm_str *rest, sm_str *line)
{
    if (rest->len == 0) {
        return false;
    }
    const char *end = memchr(rest->data, '\n', rest->len);
    *line = (sm_str){rest->data, end ? (size_t)(end - rest->data) : rest->len};
    const size_t used = line->len + (end != NULL);
    *rest = (sm_str){rest->data + used, rest->len - used};
    return true;
}

static bool has_line(sm_str text, sm_str wanted)
{
    sm_str line;

    while (next_line(&text, &line)) {
        if (sm_str_eq(line, wanted)) {
            return true;
        }
    }
    return false;
}

/* What a line is about: up to its colon ("column \"n\"", "with skip"), else its first word. */
static sm_str subject_of(sm_str line)
{
    bool is_quoted = false;

    for (size_t i = 0; i < line.len; i++) {
        is_quoted = is_quoted != (line.data[i] == '"');
        if (!is_quoted && (line.data[i] == ':' || sm_str_starts(line, SM_STR("where ")))) {
            return (sm_str){line.data, line.data[i] == ':' ? i : 5};
        }
    }
    return line;
}

/* The line of `text` with that subject which `other` has not; "": none. */
static sm_str counterpart(sm_str text, sm_str other, sm_str subject)
{
    sm_str line;

    while (next_line(&text, &line)) {
        if (sm_str_eq(subject_of(line), subject) && !has_line(other, line)) {
            return line;
        }
    }
    return (sm_str){0};
}

static sm_str value_of(sm_str line)
{
    const size_t skip = subject_of(line).len;
    size_t at = skip;

    while (at < line.len && (line.data[at] == ':' || line.data[at] == ' ')) {
        at++;
    }
    return (sm_str){line.data + at, line.len - at};
}

typedef struct difference {
    int n;
    sm_str before, after; /* the first difference; "" if one side has no such line */
    bool only_adds;       /* only columns were added, and what is read for them */
    bool adds_column, drops_column;
} difference;

static bool is_column(sm_str line)
{
    return sm_str_starts(line, SM_STR("column "));
}

/* Is it a declared column that now has further fields? */
static bool is_widened(sm_str was, sm_str is)
{
    sm_arena *a = sm_arena_new(NULL);
    const sm_type *types[2] = {NULL, NULL};
    const sm_str lines[2] = {was, is};

    for (int i = 0; i < 2 && sm_str_starts(lines[i], SM_STR("with columns ")); i++) {
        const sm_str value = value_of(lines[i]);
        char *text = sm_arena_alloc(a, value.len + 1);
        size_t n = 0;
        sm_error ignored = {0};
        if (value.len == 0 || !value.data || value.data[0] != '\'' ||
            sm_quoted_read(value, text, &n) != value.len ||
            sm_type_parse((sm_str){text, n}, a, &types[i], &ignored) != SM_OK) {
            types[i] = NULL;
        }
    }
    const bool is_wider = types[0] && types[1] && smi_flow_has_all(types[1], types[0]);
    sm_arena_free(a);
    return is_wider;
}

static difference compare_queries(sm_str old, sm_str now)
{
    difference d = {.only_adds = true};
    sm_str rest = old, line;

    while (next_line(&rest, &line)) {
        if (!has_line(now, line)) {
            const sm_str after = counterpart(now, old, subject_of(line));
            d.only_adds = d.only_adds && is_widened(line, after);
            d.drops_column = d.drops_column || (after.len == 0 && is_column(line));
            if (d.n++ == 0) {
                d.before = line;
                d.after = after;
            }
        }
    }
    rest = now;
    while (next_line(&rest, &line)) {
        if (has_line(old, line)) {
            continue;
        }
        d.only_adds =
            d.only_adds && (is_column(line) || sm_str_starts(line, SM_STR("with columns ")));
        if (counterpart(old, now, subject_of(line)).len == 0) {
            d.after = d.n++ == 0 ? line : d.after;
            d.adds_column = d.adds_column || is_column(line);
        }
    }
    if (d.n == 0) { /* the same lines in another order: columns were moved */
        d.n = 1;
        d.only_adds = false;
    }
    return d;
}

static sm_str describe_difference(const difference *d, sm_arena *a)
{
    const sm_str subject = subject_of(d->before.len ? d->before : d->after);
    SM_ASSERT(d->n == 1 || d->before.len > 0 || d->after.len > 0);
    char more[40] = "";

    if (d->n > 1) {
        snprintf(more, sizeof(more), " (and %d more)", d->n - 1);
    }
    if (subject.len == 0) {
        return SM_STR("its columns are in another order");
    }
    if (d->before.len == 0 || d->after.len == 0) {
        sm_str line = d->before.len ? d->before : d->after;
        if (sm_str_starts(line, SM_STR("with "))) {
            line = (sm_str){line.data + 5, line.len - 5};
        }
        return sm_arena_strf(a, "%s %.*s%s", d->before.len ? "without" : "with new",
                             (int)(line.len > 90 ? 90 : line.len), line.data, more);
    }
    const sm_str was = value_of(d->before), is = value_of(d->after);
    return sm_arena_strf(a, "%.*s was %.*s, is %.*s%s", (int)(subject.len > 40 ? 40 : subject.len),
                         subject.data, (int)(was.len > 50 ? 50 : was.len), was.data,
                         (int)(is.len > 50 ? 50 : is.len), is.data, more);
}

/* ---- the check ------------------------------------------------------------------------------ */

/* How the old rows can stay. Rows of a table have all of its columns and no others. */
static const char *what_keeps(const smi_flow_task *t, const difference *d)
{
    if (d->drops_column) {
        return "the old rows can stay only if the SQL still has their columns.";
    }
    return d->adds_column && !t->adds_columns
               ? "evolve: add on the task adds the column to the old rows."
               : "--keep-old keeps the old rows.";
}

sm_status smi_flow_query_check(sm_run *r, int32_t task, sm_str old, sm_str now, sm_error *e)
{
    const smi_flow_task *t = &r->p->tasks[task];

    if (old.len == 0 || sm_str_eq(old, now) || smi_flow_is_refreshed(r, task)) {
        return SM_OK;
    }
    const difference d = compare_queries(old, now);
    if (r->opts->keep_old || (t->adds_columns && d.only_adds)) {
        return SM_OK;
    }
    const sm_status st =
        sm_fail(e, SM_INVALID, "the SQL of %.*s differs from the SQL that loaded its rows: %.*s",
                SM_STR_ARG(t->name), SM_STR_ARG(describe_difference(&d, r->arena)));
    sm_error_place(e, t->sql.name.data, 0, -1);
    sm_error_todo(e, "--full-refresh %.*s loads all files again; %s", SM_STR_ARG(t->name),
                  what_keeps(t, &d));
    return st;
}
