/* SPDX-License-Identifier: Apache-2.0
 *
 * flow/flow_load.c: a load: files of a source into a table, each exactly once (flow_books.c says
 * how that is known). Called by flow_run.c.
 *
 * New files only      are appended.
 * A changed file      its Date is replaced as a whole, from all files of that Date, in the same
 *                     commit that appends the new ones.
 * Nothing new         no candidate: the table stays at its version.
 * The SQL             reads the source's files one by one: SELECT of columns and expressions,
 *                     WHERE; its `by` column is the file's date (file_date), so that a Date's rows
 *                     are the rows of its files. Anything else is refused.
 * Versions            of transactions are the same in table and quarantine: one more than the
 *                     greater of both, where both take a file in. */
#include <inttypes.h>

#include "base/time.h"
#include "flow/flow_int.h"

typedef struct load {
    smi_flow_run *run;
    int32_t index;
    const smi_flow_task *task;
    smi_flow_source_state *source;
    sm_str uri;
    smi_flow_books books;
    smi_flow_verdict *verdicts;
    int64_t *versions;
    int32_t by; /* column of the SQL */
} load;

/* ---- the plan ------------------------------------------------------------------------------- */

/* The files for which keep() holds, as what names read of the source's folder. */
static const sm_files *choose_files(const load *l, bool (*keep)(const load *l, int64_t i))
{
    sm_files *out = SM_NEW(l->run->arena, sm_files);
    const sm_files *all = &l->source->files;

    *out = (sm_files){.items = SM_NEW_ARRAY(l->run->arena, sm_found_file, all->n),
                      .store = all->store};
    for (int64_t i = 0; i < all->n; i++) {
        if (keep(l, i)) {
            out->items[out->n++] = all->items[i];
        }
    }
    return out;
}

static bool is_to_load(const load *l, int64_t i)
{
    return l->verdicts[i] != SMI_FILE_SAME;
}

/* Loaded before, but its refused lines are not in quarantine: a new quarantine. */
static bool is_to_quarantine(const load *l, int64_t i)
{
    return l->source->quarantine.verdicts && l->source->quarantine.verdicts[i] != SMI_FILE_SAME &&
           !l->source->states[i].is_read;
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
    if (d->n_files != files->n || !sm_str_eq(d->files[0].uri, files->items[0].file.uri)) {
        return refuse_sql(l, "its SQL does not read its source", e);
    }
    l->by = sm_type_find(plan->root->schema, l->task->by);
    if (l->by < 0) {
        return refuse_sql(l, "its SQL has no column of the name after `by`", e);
    }
    if (!smi_flow_plan_path(plan, l->by, a, &path) || !sm_str_is(path, "file_date")) {
        return refuse_sql(l, "the column after `by` is not file_date", e);
    }
    return SM_OK;
}

/* ---- the write ------------------------------------------------------------------------------ */

/* "Date" IN (DATE '2022-04-01', …): the Dates that are replaced; "" where there is none. */
static sm_str replaced_dates(const load *l, sm_str column)
{
    sm_buf text = {0};
    char day[SM_TIME_TEXT_BYTES];
    const sm_files *files = &l->source->files;

    for (int64_t i = 0; i < files->n; i++) {
        bool is_first = l->verdicts[i] == SMI_FILE_AGAIN;
        for (int64_t k = 0; k < i && is_first; k++) {
            is_first =
                l->verdicts[k] != SMI_FILE_AGAIN || files->items[k].date != files->items[i].date;
        }
        if (!is_first) {
            continue;
        }
        if (text.len == 0) {
            sm_buf_text(&text, SM_STR("\""));
            for (size_t c = 0; c < column.len; c++) { /* a quote in a name is written twice */
                sm_buf_printf(&text, column.data[c] == '"' ? "\"\"" : "%c", column.data[c]);
            }
            sm_buf_text(&text, SM_STR("\" IN ("));
        } else {
            sm_buf_text(&text, SM_STR(", "));
        }
        sm_format_date(files->items[i].date, day);
        sm_buf_printf(&text, "DATE '%s'", day);
    }
    sm_buf_text(&text, text.len ? SM_STR(")") : SM_STR(""));
    const sm_str out = sm_arena_str(l->run->arena, sm_buf_str(&text));
    sm_buf_release(&text);
    return out;
}

static void choose_versions(load *l)
{
    smi_flow_quarantine *q = &l->source->quarantine;

    for (int64_t i = 0; i < l->source->files.n; i++) {
        const sm_str name = l->source->files.items[i].name;
        l->versions[i] = -1;
        if (!is_to_load(l, i)) {
            continue;
        }
        const int64_t mine = smi_flow_books_version(&l->books, name);
        const int64_t other = q->verdicts ? smi_flow_books_version(&q->books, name) : -1;
        if (q->verdicts && q->verdicts[i] != SMI_FILE_SAME) {
            l->versions[i] = (mine > other ? mine : other) + 1;
            q->versions[i] = l->versions[i];
        } else {
            l->versions[i] = mine + 1 > other ? mine + 1 : other;
        }
    }
}

static sm_status end_stage(load *l, sm_stage *stage, sm_candidate **out, sm_error *e)
{
    const sm_files *files = &l->source->files;
    sm_delta_txn *txns = SM_NEW_ARRAY(l->run->arena, sm_delta_txn, files->n);
    int64_t n = 0;

    for (int64_t i = 0; i < files->n; i++) {
        if (is_to_load(l, i)) {
            txns[n++] = (sm_delta_txn){.app_id = smi_flow_app_id(l->run, files->items[i].name),
                                       .version = l->versions[i],
                                       .updated_ms = l->run->start_us / 1000};
        }
    }
    const sm_str info = smi_flow_books_info(l->run, l->source, &l->books, l->verdicts, l->versions);
    return sm_stage_candidate(stage, txns, n, info, out, e);
}

/* The files for which keep() holds, through the SQL; rows into the table, or nowhere. */
static sm_status read_files(load *l, bool (*keep)(const load *l, int64_t i), bool to_table,
                            sm_error *e)
{
    sm_status st = SM_OK;
    smi_flow_run *r = l->run;
    sm_plan *plan = NULL;
    sm_stage *stage = NULL;
    sm_names *names = smi_flow_names(r);
    sm_arena *a = sm_arena_new(r->env->budget);
    const sm_files *files = choose_files(l, keep);

    if (files->n == 0) {
        goto done;
    }
    sm_names_set_files(names, l->source->path, files);
    SM_TRY_GOTO(st, done, smi_flow_plan(r, names, l->task, a, &plan, e));
    SM_TRY_GOTO(st, done, check_plan(l, plan, files, a, e));
    if (!to_table) {
        st = smi_flow_execute(r, l->index, plan, NULL, e);
        goto done;
    }
    choose_versions(l);
    const sm_field *by = &plan->root->schema->fields[l->by];
    const sm_sql where = {.name = SM_STR("replaced dates"), .text = replaced_dates(l, by->name)};
    const sm_write write = {
        .uri = l->uri,
        .mode = where.text.len ? SM_WRITE_REPLACE_WHERE : SM_WRITE_APPEND,
        .where = where,
        .split_by = by->name,
        .operation = SM_STR("WRITE"),
        .user_metadata = smi_flow_metadata(r),
    };
    SM_TRY_GOTO(st, done, sm_stage_open(&write, plan->root->schema, r->env, &stage, e));
    const sm_sink sink = sm_stage_sink(stage);
    SM_TRY_GOTO(st, done, smi_flow_execute(r, l->index, plan, &sink, e));
    st = end_stage(l, stage, &r->tasks[l->index].candidate, e);
done:
    sm_stage_close(stage);
    sm_names_free(names);
    sm_arena_free(a);
    return st;
}

/* ---- files that are gone -------------------------------------------------------------------- */

static void tell_gone(void *ctx, sm_str name, const smi_flow_known *k, int32_t date)
{
    load *l = ctx;

    if (k->is_dropped) {
        return;
    }
    if (smi_flow_is_again(l->source, l->verdicts, date)) {
        smi_flow_report_warn(l->run,
                             "%.*s is gone, and its Date is loaded anew: its rows leave %.*s",
                             SM_STR_ARG(name), SM_STR_ARG(l->task->name));
    } else {
        smi_flow_report_gone(l->run, name);
    }
}

sm_status smi_flow_load_run(smi_flow_run *r, int32_t task, sm_error *e)
{
    sm_status st = SM_OK;
    const smi_flow_task *t = &r->p->tasks[task];
    load l = {.run = r, .index = task, .task = t, .source = &r->sources[t->source]};

    SM_TRY(smi_flow_source_open(r, t->source, e));
    SM_TRY(sm_names_uri(r->names, t->name, r->arena, &l.uri, e));
    SM_TRY_GOTO(st, done, smi_flow_books_open(r, l.source, l.uri, &l.books, e));
    r->tasks[task].n_rows_before = smi_flow_snapshot_rows(l.books.snapshot);
    l.verdicts = SM_NEW_ARRAY(r->arena, smi_flow_verdict, l.source->files.n);
    l.versions = SM_NEW_ARRAY(r->arena, int64_t, l.source->files.n);
    SM_TRY_GOTO(st, done, smi_flow_books_judge(r, l.source, &l.books, l.verdicts, e));
    smi_flow_books_gone(l.source, &l.books, tell_gone, &l);
    SM_TRY_GOTO(st, done, read_files(&l, is_to_load, true, e));
    st = read_files(&l, is_to_quarantine, false, e);
done:
    smi_flow_books_release(&l.books);
    return st;
}
