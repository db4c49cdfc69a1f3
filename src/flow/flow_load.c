/* SPDX-License-Identifier: Apache-2.0
 *
 * flow/flow_load.c: loads: brings the files of a source into a table, each exactly once. Called by
 * flow_run.c. flow_books.c keeps record of what was loaded; flow_match_int.h says how files are
 * matched with it.
 *
 * New files        alone are appended.
 * Changed file     Its date is replaced as a whole, from all files of that date, in the same commit
 *                  that appends new files.
 * --full-refresh   reads all files that the books have, of all roots, and overwrites the table.
 * Nothing to read  If only the books change, because a file was renamed, a commit has the books
 *                  alone. A date whose files are all gone is removed in the same way. Otherwise
 *                  there is no candidate, and the table stays at its version.
 * Columns          that nobody declared are found in the files that are read, together with those
 *                  that the books have from earlier loads: so a file may lack any of them, or be
 *                  empty. A full refresh finds them anew.
 * SQL              It reads the source's files one by one: a SELECT of columns and expressions,
 *                  with or without WHERE. Its `by` column is the file's date (file_date), so that
 *                  the rows of a date are the rows of its files. Any other SQL is refused.
 * Versions         of transactions are the same in the table and in its quarantine: one more than
 *                  the greater of both, if both take a file. */
#include <inttypes.h>

#include "base/time.h"
#include "flow/flow_int.h"

typedef struct load {
    sm_run *run;
    int32_t index;
    const smi_flow_task *task;
    smi_flow_source_state *source;
    sm_str uri;
    smi_flow_books books;
    const sm_type *known; /* the columns that earlier loads found; NULL: none */
    int32_t by;           /* column of the SQL */
    bool has_found;       /* its columns were found by looking */
} load;

/* ---- the plan ------------------------------------------------------------------------------- */

/* The files that a plan reads in place of the source's folder: those for which keep() is true, and
 * those of other roots that the table or else the quarantine needs. */
static const sm_files *choose_files(const load *l, bool (*keep)(const load *l, int64_t i),
                                    bool to_table)
{
    sm_files *out = SM_NEW(l->run->arena, sm_files);
    const sm_files *all = &l->source->found;
    const smi_flow_books *b = to_table ? &l->books : &l->source->quarantine.books;

    *out = (sm_files){.items = SM_NEW_ARRAY(l->run->arena, sm_found_file, all->n + b->n_others),
                      .store = all->store};
    for (int64_t i = 0; i < all->n; i++) {
        if (keep(l, i)) {
            out->items[out->n++] = all->items[i];
        }
    }
    for (int64_t i = 0; i < b->n_others; i++) {
        if (to_table || !b->others[i].state->is_read) {
            out->items[out->n++] = b->others[i].found;
        }
    }
    return out;
}

static bool is_to_load(const load *l, int64_t i)
{
    return l->books.match.files[i].is_read;
}

/* Does the quarantine need the refused lines of file i? */
static bool is_refusing(const load *l, int64_t i)
{
    const smi_flow_quarantine *q = &l->source->quarantine;
    return q->uri.len > 0 && q->books.match.files[i].is_read;
}

/* Was file i loaded before the quarantine was added? */
static bool is_to_quarantine(const load *l, int64_t i)
{
    return is_refusing(l, i) && !l->source->states[i].is_read;
}

static sm_status refuse_sql(const load *l, const char *why, sm_error *e)
{
    const sm_status st = sm_fail(e, SM_INVALID, "%.*s cannot be loaded file by file: %s",
                                 SM_STR_ARG(l->task->name), why);
    sm_error_place(e, l->task->sql.name.data, 0, -1);
    sm_error_todo(e,
                  "A load's SQL is SELECT ... FROM read_json(var('%.*s'), file_date => true, "
                  "...), with or without WHERE.",
                  SM_STR_ARG(l->source->def->name));
    return st;
}

static sm_status check_plan(load *l, const sm_plan *plan, const sm_files *files, sm_arena *a,
                            sm_error *e)
{
    const sm_plan_node *scan = smi_flow_plan_scan(plan);
    sm_str path = {0};

    if (!scan) {
        return refuse_sql(l, "its SQL is more than columns and WHERE over one read", e);
    }
    const sm_dataset *d = scan->as.scan.dataset;
    if (d->n_files != files->n ||
        (files->n > 0 && !sm_str_eq(d->files[0].uri, files->items[0].file.uri))) {
        return refuse_sql(l, "its SQL does not read its source", e);
    }
    l->has_found = d->sampled != NULL;
    l->by = sm_type_find(plan->root->schema, l->task->by);
    if (l->by < 0) {
        return refuse_sql(l,
                          sm_arena_printf(a, "its SQL has no column \"%.*s\", which by names",
                                          SM_STR_ARG(l->task->by)),
                          e);
    }
    if (!smi_flow_plan_path(plan, l->by, a, &path) || !sm_str_is(path, "file_date")) {
        return refuse_sql(l,
                          sm_arena_printf(a, "column \"%.*s\", which by names, is not file_date",
                                          SM_STR_ARG(l->task->by)),
                          e);
    }
    return SM_OK;
}

/* Plans the SQL over these files; its rows fit the table. */
static sm_status plan_sql(load *l, sm_names *names, const sm_files *files, sm_arena *a,
                          const sm_plan **out, sm_error *e)
{
    sm_names_set_files(names, l->source->path, files, l->known);
    SM_TRY(smi_flow_plan(l->run, names, l->task, a, out, e));
    SM_TRY(check_plan(l, *out, files, a, e));
    return smi_flow_is_refreshed(l->run, l->index) ||
                   !smi_flow_fit(names, *out, l->books.snapshot, a)
               ? SM_OK
               : smi_flow_plan(l->run, names, l->task, a, out, e);
}

/* ---- the write ------------------------------------------------------------------------------ */

/* The rows of the dates that are replaced. */
static smi_flow_rows replaced_dates(const load *l)
{
    const smi_match_out *match = &l->books.match;
    sm_value *values = SM_NEW_ARRAY(l->run->arena, sm_value, match->n_dates + 1);

    for (int64_t i = 0; i < match->n_dates; i++) {
        values[i] = (sm_value){.type = &sm_type_date, .as.i = match->dates[i]};
    }
    return (smi_flow_rows){.column = l->task->by, .values = values, .n = match->n_dates};
}

static void choose_versions(load *l)
{
    smi_flow_books *other = &l->source->quarantine.books;

    for (int64_t i = 0; i < l->books.in.n_found; i++) {
        if (!is_to_load(l, i)) {
            continue;
        }
        const int64_t mine = smi_flow_books_version(l->run, &l->books, i);
        const int64_t its = smi_flow_books_version(l->run, other, i);
        SM_ASSERT(mine >= -1 && its >= -1);
        l->books.reads[i].version = (mine > its ? mine : its) + 1;
        if (is_refusing(l, i)) {
            other->reads[i].version = l->books.reads[i].version;
        } else if (its > mine) {
            l->books.reads[i].version = its;
        }
    }
}

bool smi_flow_has_all(const sm_type *rows, const sm_type *there)
{
    if (rows->id != there->id || there->n_fields == 0) {
        return sm_type_eq(rows, there);
    }
    for (int32_t i = 0; i < there->n_fields; i++) {
        const bool is_struct = there->id == SM_TYPE_STRUCT;
        const int32_t at = is_struct ? sm_type_find(rows, there->fields[i].name) : i;
        if (at < 0 || !smi_flow_has_all(rows->fields[at].type, there->fields[i].type)) {
            return false;
        }
    }
    return true;
}

/* Have the rows all that the table has, and more? */
static bool is_wider(const load *l, const sm_type *schema)
{
    const sm_type *there = sm_snapshot_metadata(l->books.snapshot)->schema;
    sm_arena *a = sm_arena_new(NULL);

    const sm_type *rows = sm_type_widen(a, schema);
    const bool is = smi_flow_has_all(rows, there) && !smi_flow_has_all(there, rows);
    sm_arena_free(a);
    return is;
}

/* plan: of the SQL; rows: of those that are written. NULL: none are, and the table's own stay, or
 * go. */
static sm_status open_stage(load *l, const sm_plan *plan, const sm_plan *rows, sm_stage **out,
                            sm_error *e)
{
    const sm_type *schema =
        rows ? rows->root->schema : sm_snapshot_metadata(l->books.snapshot)->schema;
    const smi_flow_rows replaced = replaced_dates(l);
    SM_ASSERT(replaced.n == 0 || l->books.snapshot); /* only an existing table has rows to lose */
    sm_write write = {
        .uri = l->uri,
        .mode = smi_flow_is_refreshed(l->run, l->index) ? SM_WRITE_OVERWRITE
                : replaced.n > 0                        ? SM_WRITE_REPLACE_WHERE
                                                        : SM_WRITE_APPEND,
        .where = smi_flow_condition(&replaced),
        .split_by = l->task->by,
        .adds_columns = l->task->adds_columns,
        .user_metadata = smi_flow_metadata(l->run),
        .has_base = true,
        .base = l->books.snapshot,
        .keeps_values = !plan,
    };
    const sm_status st = smi_flow_stage_open(l->run, l->task, &write, schema, out, e);
    if (st == SM_SCHEMA && l->books.snapshot && e) {
        char near[sizeof(e->todo)] = {0};
        if (!plan ||
            !smi_flow_place_unlike(plan, l->books.snapshot,
                                   e)) { /* a cast does not help: other days have other types */
            memcpy(near, e->todo, sizeof(near));
        }
        e->todo[0] = '\0';
        sm_error_todo(e, "%s%s%s--full-refresh %.*s loads all files again.", near,
                      near[0] ? " " : "",
                      is_wider(l, schema) ? "evolve: add on the task adds columns; "
                      : l->has_found      ? "columns => {…} of read_json declares it; "
                                          : "",
                      SM_STR_ARG(l->task->name));
    }
    return st;
}

static sm_status end_stage(load *l, sm_stage *stage, sm_error *e)
{
    sm_candidate **c = &l->run->tasks[l->index].candidate;
    SM_ASSERT(!*c);

    SM_TRY(smi_flow_books_settle(l->run, l->source, &l->books, e));
    SM_TRY(sm_stage_candidate(stage, c, e));
    smi_flow_drift_settle(l->run, l->index, &l->books);
    smi_flow_books_enter(l->run, &l->books, *c);
    return SM_OK;
}

/* The books keep the columns that were found, with those of earlier loads. */
static void take_columns(load *l, const sm_plan *plan)
{
    const sm_dataset *d = smi_flow_plan_scan(plan)->as.scan.dataset;

    smi_flow_books_take_columns(
        l->run, &l->books,
        d->sampled ? sm_type_struct(l->run->arena, d->schema->fields, sm_dataset_keys(d)) : NULL);
}

/* Puts the contract around the rows. */
static sm_status guard_rows(const load *l, const sm_plan *plan, sm_arena *a, smi_flow_guard *out,
                            sm_error *e)
{
    const smi_flow_rows replaced = replaced_dates(l);
    const smi_flow_staying stays = {
        .base = smi_flow_is_refreshed(l->run, l->index) ? NULL : l->books.snapshot,
        .replaced = &replaced,
    };

    return smi_flow_guard_open(l->run, l->index, plan, &stays, a, out, e);
}

/* Reads the files for which keep() is true by the SQL; the rows go into the table or nowhere. */
static sm_status read_files(load *l, bool (*keep)(const load *l, int64_t i), bool to_table,
                            sm_error *e)
{
    sm_status st = SM_OK;
    sm_run *r = l->run;
    const sm_plan *plan = NULL;
    sm_stage *stage = NULL;
    sm_names *names = smi_flow_names(r);
    sm_arena *a = sm_arena_new(r->env->budget);
    const sm_files *files = choose_files(l, keep, to_table);
    smi_flow_guard rows = {0};

    if (files->n == 0) {
        goto done;
    }
    SM_TRY_GOTO(st, done, plan_sql(l, names, files, a, &plan, e));
    if (!to_table) {
        st = smi_flow_execute(r, l->index, plan, NULL, NULL, NULL, e);
        goto done;
    }
    take_columns(l, plan);
    choose_versions(l);
    SM_TRY_GOTO(st, done, guard_rows(l, plan, a, &rows, e));
    SM_TRY_GOTO(st, done, open_stage(l, plan, rows.plan, &stage, e));
    SM_TRY_GOTO(st, done, smi_flow_execute_into(&rows, stage, e));
    SM_TRY_GOTO(st, done, end_stage(l, stage, e));
    st = smi_flow_guard_judge(&rows, r->tasks[l->index].candidate, r->tasks[l->index].candidate, e);
done:
    smi_flow_guard_close(&rows);
    sm_stage_close(stage);
    sm_names_free(names);
    sm_arena_free(a);
    return st;
}

/* Binds the SQL if there was nothing to read, so that a run that succeeds has checked it; for a new
 * query, that its rows fit the table, too. (Columns that are found by looking differ from file to
 * file, so a difference to those of another day is no error.) */
static sm_status bind_sql(load *l, sm_error *e)
{
    const sm_plan *plan = NULL;
    sm_stage *stage = NULL;
    sm_names *names = smi_flow_names(l->run);
    sm_arena *a = sm_arena_new(l->run->env->budget);
    const sm_files *files = &l->source->files;

    sm_status st = plan_sql(l, names, files, a, &plan, e);
    if (st == SM_OK && l->books.snapshot && l->books.has_other_query) {
        st = open_stage(l, plan, plan, &stage, e);
    }
    sm_stage_close(stage);
    sm_names_free(names);
    sm_arena_free(a);
    return st;
}

/* If the query has changed, may the load go on? If the new query is wrong for this source, that is
 * the error, rather than the choice between old and new rows. */
static sm_status check_query(load *l, sm_str query, sm_error *e)
{
    sm_error of_sql = {0};
    const sm_str old = smi_flow_books_query(l->run, &l->books);
    const sm_status st = smi_flow_query_check(l->run, l->index, old, query, e);

    if (st == SM_OK) {
        return SM_OK;
    }
    const sm_status of_bind = bind_sql(l, &of_sql);
    if (of_bind == SM_OK) {
        return st;
    }
    *e = of_sql;
    return of_bind;
}

/* The first file to load for which the variable may have had another value when it was loaded
 * before; NULL: none. A period's variable belongs to the files of the period, others to the run,
 * and so to the root that it loaded. */
static const sm_datafile *first_of_other_run(const load *l, int32_t var)
{
    const smi_flow_source_state *s = l->source;
    const bool is_period = var == s->def->period;

    for (int64_t i = 0; i < s->found.n && is_period; i++) {
        if (is_to_load(l, i) && !s->states[i].is_in_period) {
            return &s->found.items[i].file;
        }
    }
    SM_ASSERT(l->books.n_others == 0 || l->books.others);
    for (int64_t i = 0; i < l->books.n_others; i++) {
        const sm_found_file *f = &l->books.others[i].found;
        if (!is_period || f->date < s->first_day || f->date > s->last_day) {
            return &f->file;
        }
    }
    return NULL;
}

/* Books do not have the values of variables: rows of files that another run loaded would get the
 * values of this run. */
static sm_status check_variables(const load *l, const bool *names, sm_error *e)
{
    const sm_pipeline *p = l->run->p;

    for (int32_t i = 0; i < p->n_vars; i++) {
        const sm_datafile *f = names[i] ? first_of_other_run(l, i) : NULL;
        if (f) {
            const sm_status st = sm_fail(e, SM_INVALID,
                                         "var('%.*s') decides the rows of %.*s, and its value "
                                         "for this file is not known",
                                         SM_STR_ARG(p->vars[i].name), SM_STR_ARG(l->task->name));
            sm_error_place(e, f->uri.data, 0, -1);
            sm_error_todo(e,
                          "Use filename => true or file_date => true, which belong to each file; "
                          "or delete the table and its quarantine, and load them again.");
            return st;
        }
    }
    return SM_OK;
}

/* Does the table lack a property of the task? */
static bool lacks_property(const load *l)
{
    SM_ASSERT(l->books.snapshot && (l->task->n_properties == 0 || l->task->properties));
    return !sm_delta_has_properties(sm_snapshot_metadata(l->books.snapshot), l->task->properties,
                                    l->task->n_properties);
}

/* Writes what changes without reading a file: the books, dates that have no file any more, and the
 * table's properties. */
static sm_status write_books(load *l, sm_error *e)
{
    sm_stage *stage = NULL;
    const sm_snapshot *there = l->books.snapshot;

    if (!there || l->run->tasks[l->index].candidate ||
        !(smi_flow_books_has_news(&l->books) || lacks_property(l))) {
        return SM_OK;
    }
    sm_status st = open_stage(l, NULL, NULL, &stage, e);
    if (st == SM_OK) {
        st = end_stage(l, stage, e);
    }
    sm_stage_close(stage);
    return st == SM_OK
               ? smi_flow_guard_leaving(l->run, l->index, l->run->tasks[l->index].candidate, e)
               : st;
}

/* ---- files that are gone -------------------------------------------------------------------- */

static void tell_gone(const load *l)
{
    const smi_flow_books *b = &l->books;

    for (int64_t i = 0; i < b->n_known; i++) {
        const smi_flow_known *k = &b->known[i];
        const bool is_lost = smi_flow_books_loses(b, i);
        if (b->match.left[i] == SMI_KNOWN_GONE ||
            (is_lost && l->source->def->gone == SM_POLICY_REMOVE)) {
            smi_flow_report_gone(l->run, k->path);
        } else if (is_lost) {
            smi_flow_report_warn(
                l->run, "%.*s is gone and its date is loaded again, so its rows leave %.*s",
                SM_STR_ARG(k->path), SM_STR_ARG(l->task->name));
        }
    }
}

static void note_skipped(load *l)
{
    for (int64_t i = 0; i < l->books.in.n_found; i++) {
        l->source->states[i].is_skipped = !is_to_load(l, i) && !is_refusing(l, i);
    }
}

/* A load that has nothing to do judges nothing: so a contract that is new, or another one now, is
 * told. Reading the whole table would be a surprise; who wants that is told how. */
static sm_status tell_unjudged(const load *l, sm_error *e)
{
    const smi_flow_contract *c = l->task->contract;
    bool is_judged = true;

    if (!c || !l->books.snapshot || l->run->tasks[l->index].verdict) {
        return SM_OK;
    }
    SM_TRY(smi_flow_books_judged(l->run, l->books.store, c->hash, &is_judged, e));
    if (!is_judged) {
        const bool is_named = c->model->n_tables > 1;
        smi_flow_report_warn(l->run,
                             "the contract of %.*s is another one than that by which its rows were "
                             "judged, and no file is new: smelt check %.*s %.*s%s%.*s",
                             SM_STR_ARG(l->task->name), SM_STR_ARG(c->name), SM_STR_ARG(l->uri),
                             is_named ? " --table " : "",
                             SM_STR_ARG(is_named ? l->task->contracted->name : SM_STR("")));
    }
    return SM_OK;
}

sm_status smi_flow_load_run(sm_run *r, int32_t task, sm_error *e)
{
    sm_status st = SM_OK;
    const smi_flow_task *t = &r->p->tasks[task];
    const smi_flow_wants wants = {
        .takes_date = true, .takes_name = smi_flow_may_take_name(r->p, t), .has_dates = true};
    load l = {.run = r, .index = task, .task = t, .source = &r->sources[t->source]};
    const bool is_refreshed = smi_flow_is_refreshed(r, task);
    sm_str query = {0};
    bool *names = NULL;

    r->tasks[task].seen = NULL; /* of an attempt that failed */
    r->tasks[task].n_drift = 0;
    SM_TRY(smi_flow_query_text(r, t, &query, &names, e));
    SM_TRY(smi_flow_source_open(r, t->source, e));
    SM_TRY(sm_names_uri(r->names, t->name, r->arena, &l.uri, e));
    SM_TRY_GOTO(st, done, smi_flow_books_open(r, t->name, l.uri, is_refreshed, &l.books, e));
    SM_TRY_GOTO(st, done,
                smi_flow_snapshot_rows(l.books.snapshot, &r->tasks[task].n_rows_before, e));
    if (is_refreshed) {
        SM_TRY_GOTO(st, done, smi_flow_books_reload(r, l.source, &l.books, e));
    } else {
        SM_TRY_GOTO(st, done, smi_flow_books_match(r, l.source, &wants, &l.books, e));
    }
    SM_TRY_GOTO(st, done, smi_flow_books_columns(r, &l.books, r->arena, &l.known, e));
    SM_TRY_GOTO(st, done, check_query(&l, query, e));
    SM_TRY_GOTO(st, done, check_variables(&l, names, e));
    smi_flow_books_take_query(r, &l.books, query);
    SM_TRY_GOTO(st, done, smi_flow_quarantine_claim(r, task, &l.books, e));
    note_skipped(&l);
    tell_gone(&l);
    SM_TRY_GOTO(st, done, read_files(&l, is_to_load, true, e));
    if (!r->tasks[task].candidate) {
        SM_TRY_GOTO(st, done, bind_sql(&l, e));
    }
    SM_TRY_GOTO(st, done, write_books(&l, e));
    SM_TRY_GOTO(st, done, tell_unjudged(&l, e));
    smi_flow_books_tell(r, &l.books);
    st = read_files(&l, is_to_quarantine, false, e);
done:
    smi_flow_books_release(&l.books);
    return st;
}
