/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/cli_contract_accept.c: `smelt contract accept PIPELINE [TABLE]`: takes the keys that came
 * into the sources of a pipeline's loads: each becomes a column of the load's SQL, and of its
 * contract. Prints the changes of the files as a unified diff, or writes them.
 *
 * Files    A key that has no certain place in a file is told, with the lines to add. The others are
 *          taken all the same. Tasks may share a file: it is changed for all of them.
 * Type     of the column: that of the values in the last run (sm_key_type). Objects and lists have
 *          no type that is known without looking at all their values: these keys are told. */
#include <inttypes.h>
#include <stdio.h>

#include "base/text.h"
#include "base/time.h"
#include "cli/cli_contract_int.h"
#include "flow/flow.h"

#define CONTEXT 3 /* lines around a change in a diff */

/* A file that is changed. */
typedef struct change {
    sm_str file, before, after;
} change;

typedef struct accepting {
    smi_cli *cli;
    const sm_pipeline *p;
    change *changes;
    int64_t n_changes, cap_changes;
    int64_t n_taken, n_left;
} accepting;

/* The change of a file, begun where it has none. */
static sm_status change_of(accepting *k, sm_str file, change **out, sm_error *e)
{
    sm_str text = {0};

    for (int64_t i = 0; i < k->n_changes; i++) {
        if (sm_str_eq(k->changes[i].file, file)) {
            *out = &k->changes[i];
            return SM_OK;
        }
    }
    SM_TRY(
        smi_read_text(k->cli, sm_arena_printf(k->cli->arena, "%.*s", SM_STR_ARG(file)), &text, e));
    k->changes = sm_arena_grow(k->cli->arena, k->changes, k->n_changes, &k->cap_changes,
                               sizeof(*k->changes));
    *out = &k->changes[k->n_changes++];
    /* It is told when the pipeline, which has the name, is closed. */
    **out = (change){.file = sm_arena_str(k->cli->arena, file), .before = text, .after = text};
    return SM_OK;
}

/* ---- keys ------------------------------------------------------------------------------------ */

/* A key and what keeps it from being taken, on stderr. */
static void tell_left(accepting *k, const sm_new_key *key, const char *type, const char *why)
{
    const sm_str task = sm_pipeline_task_name(k->p, key->task);
    char lines[SM_COUNTED_TEXT_BYTES];

    sm_format_counted(key->lines, "line", lines);
    fprintf(stderr, "smelt: %.*s of %.*s (%s, %s) is not taken: %s\n", SM_STR_ARG(key->path),
            SM_STR_ARG(task), lines, type, why);
    k->n_left++;
}

/* Why its values give no type for a column; NULL: they do. */
static const char *why_no_type(const char *type)
{
    return !type                       ? "its values are of several types"
           : strcmp(type, "NULL") == 0 ? "it has only nulls, so its type is not known"
           : strcmp(type, "STRUCT") == 0
               ? "its values are objects: declare it as STRUCT(...) by hand"
           : strcmp(type, "LIST") == 0 ? "its values are lists: declare it as a list by hand"
                                       : NULL;
}

/* The column in the contract of the load, where that has one. */
static sm_status take_in_contract(accepting *k, const sm_new_key *key, sm_str column,
                                  const char *type, sm_error *e)
{
    const sm_task_text t = sm_pipeline_task_text(k->p, key->task);
    const sm_type *parsed = NULL;
    const char *why = NULL;
    change *c = NULL;

    if (t.contract.len == 0) {
        return SM_OK;
    }
    SM_ASSERT(column.len > 0 && !why_no_type(type));
    SM_TRY(sm_type_parse(sm_str_of(type), k->cli->arena, &parsed, e));
    SM_TRY(change_of(k, t.contract, &c, e));
    SM_TRY(sm_contract_take(c->file, c->after, t.contracted, column, parsed, k->cli->arena,
                            &c->after, &why, e));
    if (why) {
        fprintf(stderr, "smelt: %.*s: %s; add to its table %.*s: {name: %.*s, physicalType: %s}\n",
                SM_STR_ARG(c->file), why, SM_STR_ARG(t.contracted), SM_STR_ARG(column), type);
        k->n_left++;
    }
    return SM_OK;
}

static sm_status take_key(accepting *k, const sm_new_key *key, sm_error *e)
{
    const sm_task_text t = sm_pipeline_task_text(k->p, key->task);
    const char *type = sm_key_type(key->kinds);
    sm_sql_key sql_key = {.path = key->path, .type = sm_str_of(type ? type : "")};
    change *c = NULL;

    const char *why = why_no_type(type);
    if (why) {
        tell_left(k, key, type ? type : "mixed", why);
        return SM_OK;
    }
    SM_ASSERT(sm_pipeline_task_kind(k->p, key->task) == SM_TASK_LOAD && t.sql.name.len > 0);
    SM_TRY(change_of(k, t.sql.name, &c, e));
    const sm_sql sql = {.name = c->file, .text = c->after};
    SM_TRY(sm_query_take_keys(&sql, &sql_key, 1, k->cli->arena, &c->after, e));
    if (sql_key.why) {
        tell_left(k, key, type, sql_key.why);
        fprintf(stderr, "  Add to its columns: %.*s\n  and to the SELECT of %.*s: %.*s\n",
                SM_STR_ARG(sql_key.declared), SM_STR_ARG(c->file), SM_STR_ARG(sql_key.selected));
        return SM_OK;
    }
    k->n_taken++;
    if (!t.adds_columns) {
        const sm_str task = sm_pipeline_task_name(k->p, key->task);
        fprintf(stderr,
                "smelt: %.*s has no evolve: add, so the next run needs that or --full-refresh "
                "%.*s\n",
                SM_STR_ARG(task), SM_STR_ARG(task));
    }
    return take_in_contract(k, key, sql_key.name, type, e);
}

/* ---- a diff ---------------------------------------------------------------------------------- */

/* The lines of a text, each with its LF where it has one. */
typedef struct lines {
    sm_str *items;
    int64_t n, cap;
} lines;

static lines lines_of(sm_str text, sm_arena *a)
{
    lines out = {0};

    while (text.len > 0) {
        const char *lf = memchr(text.data, '\n', text.len);
        const size_t len = lf ? (size_t)(lf + 1 - text.data) : text.len;
        out.items = sm_arena_grow(a, out.items, out.n, &out.cap, sizeof(*out.items));
        out.items[out.n++] = (sm_str){text.data, len};
        text = (sm_str){text.data + len, text.len - len};
    }
    return out;
}

/* Lines [from, to) of the text before became [at, end) of the one after. */
typedef struct hunk {
    int64_t from, to, at, end;
} hunk;

/* The next change from line i and j on; false: there is none. Texts differ by what was put in, so
 * the nearest lines that are the same in both end a change. */
static bool next_hunk(const lines *x, const lines *y, int64_t i, int64_t j, hunk *out)
{
    while (i < x->n && j < y->n && sm_str_eq(x->items[i], y->items[j])) {
        i++;
        j++;
    }
    *out = (hunk){.from = i, .to = x->n, .at = j, .end = y->n};
    for (int64_t n = 1; n < x->n - i + y->n - j; n++) {
        for (int64_t k = 0; k <= n; k++) {
            const int64_t a = i + k, b = j + n - k;
            if (a < x->n && b < y->n && sm_str_eq(x->items[a], y->items[b])) {
                out->to = a;
                out->end = b;
                return true;
            }
        }
    }
    return i < x->n || j < y->n;
}

static void print_line(char sign, sm_str line)
{
    printf("%c%.*s%s", sign, SM_STR_ARG(line),
           line.data[line.len - 1] == '\n' ? "" : "\n\\ No newline at end of file\n");
}

/* Prints hunks [0, n), which are near each other, as one. */
static void print_hunks(const lines *x, const lines *y, const hunk *h, int64_t n)
{
    SM_ASSERT(n > 0 && h[0].from <= h[n - 1].to && h[n - 1].to <= x->n && h[n - 1].end <= y->n);
    const int64_t before = h[0].from < CONTEXT ? h[0].from : CONTEXT;
    const int64_t rest = x->n - h[n - 1].to, behind = rest < CONTEXT ? rest : CONTEXT;
    const int64_t first = h[0].from - before, last = h[n - 1].to + behind;
    const int64_t y_first = h[0].at - before, y_last = h[n - 1].end + behind;
    int64_t i = first;

    printf("@@ -%" PRId64 ",%" PRId64 " +%" PRId64 ",%" PRId64 " @@\n", first + (last > first),
           last - first, y_first + (y_last > y_first), y_last - y_first);
    for (int64_t k = 0; k < n; k++) {
        for (; i < h[k].from; i++) {
            print_line(' ', x->items[i]);
        }
        for (; i < h[k].to; i++) {
            print_line('-', x->items[i]);
        }
        for (int64_t j = h[k].at; j < h[k].end; j++) {
            print_line('+', y->items[j]);
        }
    }
    for (; i < last; i++) {
        print_line(' ', x->items[i]);
    }
}

static void print_diff(const change *c, sm_arena *a)
{
    const lines x = lines_of(c->before, a), y = lines_of(c->after, a);
    hunk *hunks = NULL, found;
    int64_t n = 0, cap = 0, i = 0, j = 0;

    printf("--- %.*s\n+++ %.*s\n", SM_STR_ARG(c->file), SM_STR_ARG(c->file));
    while (next_hunk(&x, &y, i, j, &found)) {
        if (n > 0 && found.from - hunks[n - 1].to > (int64_t)2 * CONTEXT) {
            print_hunks(&x, &y, hunks, n);
            n = 0;
        }
        hunks = sm_arena_grow(a, hunks, n, &cap, sizeof(*hunks));
        hunks[n++] = found;
        i = found.to;
        j = found.end;
    }
    if (n > 0) {
        print_hunks(&x, &y, hunks, n);
    }
}

static sm_status write_file(smi_cli *cli, const change *c, sm_error *e)
{
    sm_str folder = {0}, name = {0};
    sm_store *store = NULL;

    SM_ASSERT(!sm_str_eq(c->before, c->after));
    sm_uri_split(c->file, &folder, &name);
    sm_status st = sm_store_open(cli->env.stores, folder, &store, e);
    st = st == SM_OK ? sm_store_put(store, name, c->after.data, c->after.len, SM_PUT_REPLACE, e)
                     : st;
    sm_store_release(store);
    return sm_within(e, st, "writing %.*s", SM_STR_ARG(c->file));
}

/* ---- the command ----------------------------------------------------------------------------- */

/* The new keys of the load that makes `table`, or of all loads. */
static sm_status find_keys(accepting *k, sm_run *r, const char *table, sm_new_key **keys,
                           int64_t *n, sm_error *e)
{
    int64_t n_kept = 0;
    bool is_there = !table;

    for (int32_t i = 0; table && i < sm_pipeline_tasks(k->p); i++) {
        is_there = is_there || (sm_pipeline_task_kind(k->p, i) == SM_TASK_LOAD &&
                                sm_str_is(sm_pipeline_task_name(k->p, i), table));
    }
    if (!is_there) {
        const sm_status st = sm_fail(e, SM_USAGE, "the pipeline has no load \"%s\"", table);
        sm_error_todo(e, "Keys come into tables that load a source.");
        return st;
    }
    SM_TRY(sm_run_new_keys(r, k->cli->arena, keys, n, e));
    for (int64_t i = 0; i < *n; i++) {
        if (!table || sm_str_is(sm_pipeline_task_name(k->p, (*keys)[i].task), table)) {
            (*keys)[n_kept++] = (*keys)[i];
        }
    }
    *n = n_kept;
    return SM_OK;
}

static sm_status take_keys(accepting *k, const sm_run_opts *opts, const char *table, sm_error *e)
{
    sm_run *r = NULL;
    sm_new_key *keys = NULL;
    int64_t n = 0;

    SM_TRY(sm_run_open(k->p, opts, &k->cli->env, &r, e));
    sm_status st = find_keys(k, r, table, &keys, &n, e);
    sm_run_close(r, NULL);
    for (int64_t i = 0; st == SM_OK && i < n; i++) {
        st = take_key(k, &keys[i], e);
    }
    if (st == SM_OK && n == 0) {
        fprintf(stderr, "smelt: no key has come that no column takes\n");
    }
    return st;
}

/* For machines: the files that change, whole; and how many keys were taken and places left. */
static void print_answer(const accepting *k, const sm_error *e)
{
    sm_buf out = {0};
    sm_json_writer w = {.out = &out};

    SM_ASSERT(!k->cli->has_answered && k->n_taken >= 0);
    sm_json_begin_object(&w);
    sm_json_set_array(&w, "files");
    for (int64_t i = 0; i < k->n_changes; i++) {
        const change *c = &k->changes[i];
        if (!sm_str_eq(c->before, c->after)) {
            sm_json_begin_object(&w);
            sm_json_set_text(&w, "file", c->file);
            sm_json_set_text(&w, "before", c->before);
            sm_json_set_text(&w, "after", c->after);
            sm_json_end_object(&w);
        }
    }
    sm_json_end_array(&w);
    sm_json_set_i64(&w, "taken", k->n_taken);
    sm_json_set_i64(&w, "left", k->n_left);
    if (e) {
        sm_json_set_error(&w, e);
    }
    sm_json_end_object(&w);
    smi_answer_print(k->cli, &w);
}

static sm_status give_changes(accepting *k, bool writes, sm_error *e)
{
    for (int64_t i = 0; i < k->n_changes; i++) {
        const change *c = &k->changes[i];
        if (sm_str_eq(c->before, c->after)) {
            continue;
        }
        if (writes) {
            SM_TRY(write_file(k->cli, c, e));
            fprintf(stderr, "smelt: changed %.*s\n", SM_STR_ARG(c->file));
        } else if (!k->cli->globals.json) {
            print_diff(c, k->cli->arena);
        }
    }
    return SM_OK;
}

static sm_status fail_left(const accepting *k, sm_error *e)
{
    char places[SM_COUNTED_TEXT_BYTES];

    sm_format_counted(k->n_left, "place", places);
    const sm_status st = sm_fail(e, SM_UNSUPPORTED, "%s could not be found for new keys", places);
    sm_error_todo(e, "Add them by hand, as said above.");
    return st;
}

sm_status smi_contract_accept(smi_cli *cli, const smi_accept *o, sm_error *e)
{
    const int64_t now = sm_now_us();
    sm_run_opts opts = {.interval = {now, now + 1}};
    sm_pair *vars = NULL;
    sm_pipeline *p = NULL;
    accepting k = {.cli = cli};

    SM_TRY(smi_options_pairs(cli, "--var", &o->vars, &vars, e));
    opts.vars = vars;
    opts.n_vars = o->vars.n;
    SM_TRY(sm_pipeline_open(cli->env.stores, sm_str_of(o->pipeline), &p, e));
    k.p = p;
    sm_status st = take_keys(&k, &opts, o->table, e);
    st = st == SM_OK ? give_changes(&k, o->writes, e) : st;
    sm_pipeline_close(p);
    st = st == SM_OK && k.n_left > 0 ? fail_left(&k, e) : st;
    if (cli->globals.json) {
        print_answer(&k, st == SM_OK ? NULL : e);
    }
    return st;
}
