/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/cli_change.c: runs a statement that changes a table, and prints what it did. For `smelt sql
 * --write`, and for `smelt table delete`, `update` and `merge`, which make the statement's text of
 * their options: whatever it means in SQL is what it means there. */
#include <inttypes.h>
#include <stdio.h>

#include "base/quote.h"
#include "base/text.h"
#include "base/time.h"
#include "cli/cli_query_int.h"

/* ---- lines that were left out ---------------------------------------------------------------- */

/* Prints how many lines were left out, so that nothing is lost unseen. How far a scan got that
 * LIMIT ended early varies from run to run, and so does its count. */
static void tell_refused(const sm_exec_report *r)
{
    char refused[SM_COUNTED_TEXT_BYTES], lines[SM_SIZE_TEXT_BYTES];

    SM_ASSERT(r->counts.refused <= r->counts.lines);
    if (r->counts.refused == 0) {
        return;
    }
    if (r->is_partial) {
        sm_format_counted(r->counts.refused, "line", refused);
        fprintf(stderr,
                "smelt: at least %s could not be read and %s left out; the query ended before it "
                "had read all lines\n",
                refused, r->counts.refused == 1 ? "was" : "were");
        return;
    }
    sm_format_count(r->counts.refused, refused);
    sm_format_count(r->counts.lines, lines);
    fprintf(stderr, "smelt: %s of %s lines could not be read and were left out\n", refused, lines);
}

#define SHOWN_KEYS 5

/* Prints the keys that no column takes, of lines that were kept. */
static void tell_unknown(const sm_exec_report *r)
{
    char lines[SM_SIZE_TEXT_BYTES];

    if (r->counts.unknown_lines == 0) {
        return;
    }
    sm_format_count(r->counts.unknown_lines, lines);
    fprintf(stderr,
            "smelt: %s%s row%s keys that no column takes:", r->is_partial ? "at least " : "", lines,
            r->counts.unknown_lines == 1 ? " has" : "s have");
    for (int64_t i = 0; i < r->n_unknown && i < SHOWN_KEYS; i++) {
        sm_format_count(r->unknown[i].lines, lines);
        fprintf(stderr, "%s %.*s (%s)", i ? "," : "", SM_STR_ARG(r->unknown[i].path), lines);
    }
    fprintf(stderr, "%s\n", r->n_unknown > SHOWN_KEYS ? ", ..." : "");
}

void smi_tell_lines(const sm_exec_report *r)
{
    tell_refused(r);
    tell_unknown(r);
}

/* ---- a statement ----------------------------------------------------------------------------- */

static void print_change_json(smi_cli *cli, const char *statement, const sm_changed *c, double secs)
{
    sm_buf out = {0};
    sm_json_writer w = {.out = &out};

    sm_json_begin_object(&w);
    sm_json_set_text_or_null(&w, "statement", sm_str_of(statement));
    sm_json_set_text_or_null(&w, "table", c->table);
    sm_json_set_i64_or_null(&w, "version", c->version);
    sm_json_set_object(&w, "rows");
    sm_json_set_i64_or_null(&w, "inserted", c->n_inserted);
    sm_json_set_i64_or_null(&w, "updated", c->n_updated);
    sm_json_set_i64_or_null(&w, "deleted", c->n_deleted);
    sm_json_end_object(&w);
    sm_json_set_object(&w, "files");
    sm_json_set_i64_or_null(&w, "added", c->n_added);
    sm_json_set_i64_or_null(&w, "removed", c->n_removed);
    sm_json_set_i64_or_null(&w, "marked", c->n_marked);
    sm_json_end_object(&w);
    if (c->n_features > 0) {
        sm_json_set_array(&w, "features");
        for (int32_t i = 0; i < c->n_features; i++) {
            sm_json_put_text(&w, c->features[i]);
        }
        sm_json_end_array(&w);
    }
    sm_json_key(&w, SM_STR("seconds"));
    sm_json_put_fixed(&w, secs, 3);
    sm_json_end_object(&w);
    smi_answer_print(cli, &w);
}

/* One line: what became of how many rows, and the table's version. */
static void print_change(sm_statement_kind kind, const sm_changed *c)
{
    const struct {
        const char *verb;
        int64_t n;
        bool is_shown;
    } counts[] = {
        {"inserted", c->n_inserted, c->n_inserted > 0},
        {"updated", c->n_updated, c->n_updated > 0},
        {"deleted", c->n_deleted, c->n_deleted > 0},
    };
    char rows[SM_COUNTED_TEXT_BYTES];
    const char *before = "";

    for (int i = 0; i < SM_COUNT(counts); i++) {
        if (counts[i].is_shown) {
            sm_format_counted(counts[i].n, "row", rows);
            printf("%s%s %s", before, rows, counts[i].verb);
            before = ", ";
        }
    }
    SM_ASSERT(c->table.len > 0);
    if (c->version < 0) {
        printf("nothing changed: %.*s stays as it is\n", SM_STR_ARG(c->table));
    } else {
        /* A file without rows may come or go. */
        const char *what = kind == SM_STATEMENT_ALTER ? "altered" : !before[0] ? "no rows" : "";
        printf("%s: version %" PRId64 " of %.*s\n", what, c->version, SM_STR_ARG(c->table));
    }
    for (int32_t i = 0; i < c->n_features; i++) {
        printf("turned on the table feature %.*s\n", SM_STR_ARG(c->features[i]));
    }
}

/* It may be this very statement or command, which was killed when it was run before. */
static void tell_before(const char *what, sm_str told)
{
    if (told.len > 0) {
        fprintf(stderr, "smelt: before this %s, %.*s\n", what, SM_STR_ARG(told));
    }
}

void smi_tell_completed(const sm_lake_query *q)
{
    tell_before("statement", sm_lake_query_told(q));
}

sm_status smi_settle_first(smi_cli *cli, sm_store *table, sm_error *e)
{
    sm_str told = {0};

    SM_TRY(sm_table_settle(table, cli->env.budget, cli->arena, &told, e));
    tell_before("command", told);
    return SM_OK;
}

sm_status smi_change_run(smi_cli *cli, sm_lake_query *q, sm_error *e)
{
    const sm_statement *s = sm_lake_query_statement(q);
    const int64_t start = sm_monotonic_ns();
    sm_exec_report report = {0};
    sm_changed changed;

    SM_ASSERT(s->kind != SM_STATEMENT_SELECT && s->kind != SM_STATEMENT_COPY);
    smi_progress_start(cli, sm_statement_name(s->kind), &cli->progress);
    const sm_status st = sm_lake_query_change(q, &cli->env, &report, &changed, e);
    smi_progress_stop(cli);
    if (st == SM_OK) {
        smi_tell_lines(&report);
        if (cli->globals.json) {
            print_change_json(cli, sm_statement_name(s->kind), &changed,
                              (double)(sm_monotonic_ns() - start) / 1e9);
        } else {
            print_change(s->kind, &changed);
        }
    }
    sm_exec_report_release(&report);
    return st;
}

/* ---- made of options ------------------------------------------------------------------------- */

static void put_path(sm_buf *sql, sm_str path)
{
    sm_buf_quoted(sql, path, '\'');
}

static sm_status need(const char *option, const char *text, const char *why, sm_error *e)
{
    if (text && text[0]) {
        return SM_OK;
    }
    const sm_status st = sm_fail(e, SM_USAGE, "%s is missing", option);
    sm_error_todo(e, "%s", why);
    return st;
}

static sm_status make_delete(sm_str uri, const smi_change_opts *o, sm_buf *sql, sm_error *e)
{
    SM_ASSERT(!o->set && !o->using && !o->on); /* the verb has no such options */
    SM_TRY(need("--where", o->where, "--where true deletes all rows.", e));
    sm_buf_text(sql, SM_STR("DELETE FROM "));
    put_path(sql, uri);
    sm_buf_printf(sql, " WHERE %s", o->where);
    return SM_OK;
}

static sm_status make_update(sm_str uri, const smi_change_opts *o, sm_buf *sql, sm_error *e)
{
    SM_ASSERT(!o->using && !o->on);
    SM_TRY(
        need("--set", o->set, "Name the new values: --set 'amount = amount + 1, note = NULL'.", e));
    SM_TRY(need("--where", o->where, "--where true updates all rows.", e));
    sm_buf_text(sql, SM_STR("UPDATE "));
    put_path(sql, uri);
    sm_buf_printf(sql, " SET %s WHERE %s", o->set, o->where);
    return SM_OK;
}

/* Does the text begin like a query, and not like the name of a file? */
static bool is_query(const char *text)
{
    static const char *const words[] = {"select ", "with ", "from ", "values ", "values("};
    const sm_str all = sm_str_of(text + strspn(text, " \t\n"));
    bool is = all.len > 0 && all.data[0] == '(';

    for (int i = 0; i < SM_COUNT(words) && !is; i++) {
        const size_t n = strlen(words[i]);
        is = all.len > n && sm_str_eq_nocase((sm_str){all.data, n}, sm_str_of(words[i]));
    }
    return is;
}

/* t."a" = s."a" AND …, of names with commas between. */
static sm_status put_keys(smi_cli *cli, const char *text, sm_buf *sql, sm_error *e)
{
    sm_str *names = NULL;
    int32_t n = 0;

    SM_TRY(smi_options_names(cli, "--on", text, &names, &n, e));
    for (int32_t i = 0; i < n; i++) {
        sm_buf_text(sql, i > 0 ? SM_STR(" AND t.") : SM_STR("t."));
        sm_buf_quoted(sql, names[i], '"');
        sm_buf_text(sql, SM_STR(" = s."));
        sm_buf_quoted(sql, names[i], '"');
    }
    return SM_OK;
}

static sm_status make_merge(smi_cli *cli, sm_str uri, const smi_change_opts *o, sm_buf *sql,
                            sm_error *e)
{
    SM_ASSERT(!o->where && !o->set);
    SM_TRY(need("--using", o->using, "Name a file, a table's folder or a query with the new rows.",
                e));
    SM_TRY(need("--on", o->on, "Name the columns that make a row the same one: --on id.", e));
    sm_buf_text(sql, SM_STR("MERGE INTO "));
    put_path(sql, uri);
    sm_buf_text(sql, SM_STR(" AS t USING "));
    if (is_query(o->using)) {
        sm_buf_printf(sql, o->using[0] == '(' ? "%s" : "(%s)", o->using);
    } else {
        put_path(sql, sm_str_of(o->using));
    }
    sm_buf_text(sql, SM_STR(" AS s ON "));
    SM_TRY(put_keys(cli, o->on, sql, e));
    sm_buf_text(sql, SM_STR(" WHEN MATCHED THEN UPDATE SET * WHEN NOT MATCHED THEN INSERT *"));
    return SM_OK;
}

static sm_status run_text(smi_cli *cli, sm_str sql, sm_error *e)
{
    const smi_query_opts opts = {0};
    const char *text = sm_arena_str(cli->arena, sql).data;
    sm_lake_query *q = NULL;

    SM_TRY(smi_lake_query_open(cli, &opts, SM_QUERY_CHANGES, text, &q, e));
    smi_tell_completed(q);
    const sm_status st = smi_change_run(cli, q, e);
    sm_lake_query_close(q);
    return st;
}

sm_status smi_change_table(smi_cli *cli, const char *verb, sm_str uri, const smi_change_opts *o,
                           sm_error *e)
{
    SM_ASSERT(uri.len > 0);
    sm_buf sql = {0};
    sm_status st = strcmp(verb, "delete") == 0   ? make_delete(uri, o, &sql, e)
                   : strcmp(verb, "update") == 0 ? make_update(uri, o, &sql, e)
                                                 : make_merge(cli, uri, o, &sql, e);

    if (st == SM_OK) {
        st = run_text(cli, sm_buf_str(&sql), e);
        (void)sm_within(e, st, "%.*s", SM_STR_ARG(sm_buf_str(&sql)));
    }
    sm_buf_release(&sql);
    return st;
}
