/* SPDX-License-Identifier: Apache-2.0
 *
 * flow/flow_table.c: table tasks: the rows of a task's SQL overwrite its table, or only the rows of
 * one value of a variable (replace), or only the partitions that they are of (overwrite:
 * partitions), or are added to those that are there (append), or merged into them (flow_merge.c).
 * Called by flow_run.c.
 *
 * Skipped  A table is not written if nothing has changed that decides its rows (flow_inputs.c). The
 *          hash of all this stands in the commit's information ("smelt": {"fingerprint": …}) and is
 *          compared with that of the newest commit. A query that reads files of no source always
 *          runs. If a table keeps the rows of other values, the newest commit of the same value is
 *          compared; the hash of the query ("query") shows whether the other rows were made by
 *          another one.
 * Added    Rows are added once for each value of a variable. The commit has a transaction for the
 *          value, so that of two runs at once only one adds them, and its information has the value
 *          ("appended"). A later run of the value that finds the transaction looks for that commit
 *          (flow_past.c): after a RESTORE to an earlier version it is not among those that made the
 *          table's rows, and they are added again. */
#include <inttypes.h>
#include <stdio.h>

#include "flow/flow_int.h"

/* ---- rows of other runs ---------------------------------------------------------------------- */

/* Does the table keep rows that other runs made? */
static bool keeps_rows(const smi_flow_task *t)
{
    return t->replace >= 0 || t->append >= 0 || t->replaces_partitions || t->merge;
}

/* The variable for each of whose values the table has rows; −1: none. */
static int32_t kept_by(const smi_flow_task *t)
{
    return t->replace >= 0 ? t->replace : t->append;
}

/* ---- periods -------------------------------------------------------------------------------- */

/* Finds the month or date that all rows of the table belong to: that of its own SQL, or of a table
 * that it reads. */
static sm_status find_period(sm_run *r, int32_t task, sm_error *e)
{
    smi_flow_task_state *state = &r->tasks[task];
    sm_status st = SM_OK;

    if (r->asked.period >= 0) {
        state->period = smi_flow_value_text(r, r->asked.period);
        return SM_OK;
    }
    for (int64_t i = 0; i < r->asked.n_tables && state->period.len == 0 && st == SM_OK; i++) {
        const int32_t other = smi_flow_task_find(r->p, r->asked.tables[i]);
        if (other >= 0 && r->tasks[other].is_chosen) {
            state->period = r->tasks[other].period;
        } else {
            st = smi_flow_stored_word(r, r->asked.tables[i], "window", &state->period, e);
        }
    }
    return st;
}

static sm_status check_replaced(const sm_run *r, const smi_flow_task *t, const sm_plan *plan,
                                sm_error *e)
{
    const sm_str name = r->p->vars[t->replace].name;
    const int32_t column = sm_type_find(plan->root->schema, name);
    sm_buf type = {0}, wanted = {0};
    sm_status st = SM_OK;

    if (column < 0 || !sm_str_eq(plan->root->schema->fields[column].name, name)) {
        st = sm_fail(e, SM_NAME, "its SQL has no column \"%.*s\", whose rows are to be replaced",
                     SM_STR_ARG(name));
        sm_error_place(e, t->sql.name.data, 0, -1);
        sm_error_todo(e, "Add var('%.*s') AS \"%.*s\" to it.", SM_STR_ARG(name), SM_STR_ARG(name));
        return st;
    }
    const sm_type *is = plan->root->schema->fields[column].type;
    if (!sm_type_eq(is, r->vars[t->replace].type)) {
        sm_type_print(is, &type);
        sm_type_print(r->vars[t->replace].type, &wanted);
        st = sm_fail(e, SM_TYPE, "column \"%.*s\" is %.*s, the variable is %.*s", SM_STR_ARG(name),
                     SM_STR_ARG(sm_buf_str(&type)), SM_STR_ARG(sm_buf_str(&wanted)));
        sm_error_place(e, t->sql.name.data, 0, -1);
    }
    sm_buf_release(&type);
    sm_buf_release(&wanted);
    return st;
}

/* ---- the write ------------------------------------------------------------------------------ */

/* The table as it was before the run. */
typedef struct table_there {
    bool is_there;
    sm_str uri;
    sm_snapshot *snapshot; /* NULL: it is not there */
    const sm_json *said;   /* by the commit of the rows that would be replaced; NULL: not known */
    sm_str query;          /* of the rows that were written last; "": not known */
    bool is_added;         /* the rows of this value of `append` are in the table */
    int64_t added_at;      /* by this version; −1: it is not known */
    int64_t txn;           /* the version of the task's transaction; −1: there is none */
} table_there;

/* "month=2023-02": the value for which a run adds rows. */
static sm_str added_value(const sm_run *r, const smi_flow_task *t)
{
    return sm_arena_strf(r->arena, "%.*s=%.*s", SM_STR_ARG(r->p->vars[t->append].name),
                         SM_STR_ARG(smi_flow_value_text(r, t->append)));
}

/* The transaction of that value, or of a history. A pipeline may get another name, so that is no
 * part of it. */
static sm_str app_of(const sm_run *r, const smi_flow_task *t)
{
    SM_ASSERT(t->append >= 0 || t->merge);
    if (t->append < 0) {
        return SM_STR(SMI_HISTORY_APP);
    }
    return sm_arena_strf(r->arena, "smelt-append:%.*s", SM_STR_ARG(added_value(r, t)));
}

/* Rows that were added for values of another variable, or that an earlier form of the task has
 * written, may be the same rows. */
static sm_status check_earlier(sm_run *r, int32_t task, sm_store *store, const table_there *there,
                               sm_error *e)
{
    const smi_flow_task *t = &r->p->tasks[task];
    const sm_str name = r->p->vars[t->append].name;
    smi_flow_past past = {0};

    SM_TRY(smi_flow_past_find(r, store, sm_snapshot_version(there->snapshot), "appended",
                              (sm_str){0}, &past, e));
    const bool is_other = past.kind == SMI_PAST_FOUND &&
                          !(sm_str_starts(past.text, name) && past.text.data[name.len] == '=');
    const bool is_whole =
        past.kind == SMI_PAST_OVERWRITTEN && past.is_ours && r->tasks[task].n_rows_before != 0;
    if (!is_other && !is_whole) {
        return SM_OK;
    }
    const sm_status st =
        sm_fail(e, SM_INVALID,
                "%.*s has rows that version %" PRId64 " has %s%.*s, so some could be there "
                "twice",
                SM_STR_ARG(t->name), past.version, is_other ? "added for " : "written as a whole",
                SM_STR_ARG(past.text));
    sm_error_todo(e, "--full-refresh %.*s makes it anew, with this run's rows only.",
                  SM_STR_ARG(t->name));
    return st;
}

/* Have the rows of this value been added? */
static sm_status look_for_added(sm_run *r, int32_t task, sm_store *store, table_there *out,
                                sm_error *e)
{
    const smi_flow_task *t = &r->p->tasks[task];
    smi_flow_past past = {0};
    const sm_str value = added_value(r, t);

    SM_TRY(check_earlier(r, task, store, out, e));
    if (out->txn < 0) {
        return SM_OK;
    }
    SM_TRY(smi_flow_past_find(r, store, sm_snapshot_version(out->snapshot), "appended", value,
                              &past, e));
    out->is_added = past.kind != SMI_PAST_NONE;
    out->added_at = past.kind == SMI_PAST_FOUND ? past.version : -1;
    out->said = past.said;
    if (past.kind != SMI_PAST_OVERWRITTEN) {
        return SM_OK;
    }
    const sm_status st = sm_fail(e, SM_INVALID,
                                 "version %" PRId64
                                 ", by another writer, has overwritten rows of %.*s, so it is not "
                                 "known whether it still has those of %.*s",
                                 past.version, SM_STR_ARG(t->name), SM_STR_ARG(value));
    sm_error_todo(e, "Restore it to version %" PRId64 ", or make it anew: --full-refresh %.*s.",
                  past.version - 1, SM_STR_ARG(t->name));
    return st;
}

/* What the commit says that last wrote the rows of this value, in `a`; NULL if it is not among the
 * newest commits, or another writer has changed the table since. */
static sm_status said_of_period(sm_run *r, sm_store *store, sm_str period, sm_arena *a,
                                const sm_json **out, sm_error *e)
{
    static const int64_t depths[] = {4, 64, 1024};
    bool is_found = false;
    sm_status st = SM_OK;

    for (int i = 0; i < SM_COUNT(depths) && st == SM_OK && !is_found; i++) {
        sm_arena *scratch = sm_arena_new(r->env->budget);
        sm_delta_commit_info *infos = NULL;
        int64_t n = 0;
        st = sm_delta_history(store, depths[i], scratch, &infos, &n, e);
        for (int64_t k = 0; st == SM_OK && k < n && !is_found; k++) {
            const sm_json *smelt = smi_flow_smelt_member(infos[k].json, scratch);
            const bool is_ours = sm_str_eq(sm_json_text(sm_json_get(smelt, "replaced")), period);
            is_found = is_ours || (!smelt && !sm_str_is(infos[k].operation, "OPTIMIZE"));
            if (is_ours) {
                *out = smi_flow_smelt_member(infos[k].json, a);
            }
        }
        sm_arena_free(scratch);
        is_found = is_found || n < depths[i]; /* the whole history was read */
    }
    return st;
}

/* What is known of the rows that this run would write anew, in `a`. */
static sm_status look_at_rows(sm_run *r, int32_t task, sm_store *store, sm_arena *a,
                              table_there *out, sm_error *e)
{
    const smi_flow_task *t = &r->p->tasks[task];

    if (t->append >= 0 || t->merge) {
        out->txn = sm_snapshot_txn(out->snapshot, app_of(r, t));
    }
    if (smi_flow_is_refreshed(r, task)) {
        return SM_OK; /* whatever they are */
    }
    if (t->append >= 0) {
        return look_for_added(r, task, store, out, e);
    }
    return t->replace >= 0
               ? said_of_period(r, store, smi_flow_value_text(r, t->replace), a, &out->said, e)
               : smi_flow_books_said(store, a, &out->said, e);
}

static sm_status look_at_table(sm_run *r, int32_t task, sm_arena *a, table_there *out, sm_error *e)
{
    const smi_flow_task *t = &r->p->tasks[task];
    sm_status st = SM_OK;
    sm_store *store = NULL;

    out->txn = -1;
    SM_TRY(sm_names_uri(r->names, t->name, r->arena, &out->uri, e));
    SM_TRY_GOTO(st, done, sm_store_open(r->env->stores, out->uri, &store, e));
    SM_TRY_GOTO(st, done, sm_delta_exists(store, &out->is_there, e));
    if (!out->is_there) {
        goto done;
    }
    SM_TRY_GOTO(st, done,
                sm_snapshot_open_head(store, SM_VERSION_LATEST, r->env->budget, &out->snapshot, e));
    SM_TRY_GOTO(st, done, smi_flow_snapshot_rows(out->snapshot, &r->tasks[task].n_rows_before, e));
    SM_TRY_GOTO(st, done, look_at_rows(r, task, store, a, out, e));
    if (kept_by(t) >= 0) {
        st = smi_flow_books_last(r, store, "query", &out->query, e);
    }
done:
    sm_store_release(store);
    return st;
}

static void put_word(sm_json_writer *w, const char *key, sm_str value)
{
    if (value.len > 0) {
        sm_json_set_text(w, key, value);
    }
}

/* The hash of the query of a table that keeps rows of other values; else "". */
static sm_str query_hash(sm_run *r, const smi_flow_task *t)
{
    char hex[33] = "";
    sm_str text = {0};
    sm_error ignored = {0}; /* SQL without a canonical text is not compared */

    if (kept_by(t) >= 0 && smi_flow_query_text(r, t, &text, NULL, &ignored) == SM_OK) {
        sm_hash128_hex(sm_hash128_of(text.data, text.len, 0), hex);
    }
    return sm_arena_str(r->arena, sm_str_of(hex));
}

/* A table task while it is done. */
typedef struct making {
    sm_run *r;
    int32_t task;
    const smi_flow_task *t;
    const sm_plan *plan; /* of the SQL */
    smi_flow_guard rows; /* those that are written */
    table_there there;
    smi_flow_inputs in;
    char fingerprint[33];
    smi_flow_merging merging; /* of a table whose rows are merged */
    sm_names *names;          /* of the plan; NULL: the run's */
} making;

/* Does the run add the rows of a value? */
static bool adds_value(const making *m)
{
    return m->t->append >= 0 && sm_candidate_rows(m->r->tasks[m->task].candidate) > 0;
}

/* Does the run go on with a history, if only to a time at which nothing has changed? */
static bool tells_time(const making *m)
{
    return m->t->merge && m->t->merge->is_history && m->merging.order.len > 0 &&
           (m->merging.is_next || !sm_candidate_is_empty(m->r->tasks[m->task].candidate));
}

static sm_str info_of(const making *m)
{
    sm_run *r = m->r;
    const smi_flow_task *t = m->t;
    sm_buf text = {0};
    sm_json_writer w = {.out = &text};

    sm_json_set_object(&w, "smelt");
    sm_json_set_text(&w, "pipeline", r->p->name);
    put_word(&w, "run", r->id);
    if (!r->tasks[m->task].judged_by_more) {
        put_word(&w, "fingerprint", sm_str_of(m->fingerprint));
    }
    put_word(&w, "window", r->tasks[m->task].period);
    put_word(&w, "query", query_hash(r, t));
    put_word(&w, "replaced", t->replace >= 0 ? smi_flow_value_text(r, t->replace) : (sm_str){0});
    put_word(&w, "appended", adds_value(m) ? added_value(r, t) : (sm_str){0});
    put_word(&w, "merged", m->merging.order);
    if (t->merge && sm_candidate_keeps_rows(r->tasks[m->task].candidate)) {
        sm_json_set_bool(&w, "same_rows", true);
    }
    smi_flow_unchanged_put(r, m->task, &w);
    sm_json_end_object(&w);
    const sm_str out = sm_arena_str(r->arena, sm_buf_str(&text));
    sm_buf_release(&text);
    return out;
}

/* Adds to the commit what it says of itself. Where a value has no rows yet, nothing is remembered
 * of it: they may come later. */
static void note_rows(const making *m)
{
    sm_candidate *c = m->r->tasks[m->task].candidate;
    sm_delta_txn txn = {.version = m->there.txn + 1, .updated_ms = m->r->start_us / 1000};
    sm_note note = {.txns = &txn, .info_json = info_of(m)};

    SM_ASSERT(m->there.txn >= -1);
    if (adds_value(m)) {
        txn.app_id = app_of(m->r, m->t);
        note.n_txns = 1;
    } else if (tells_time(m)) {
        txn.app_id = app_of(m->r, m->t);
        const int64_t next = m->there.txn + 1; /* versions of a transaction grow */
        txn.version = m->merging.order_us > next ? m->merging.order_us : next;
        note.n_txns = 1;
    }
    sm_candidate_note(c, &note);
}

/* How the rows meet those that are there. The rows that are replaced are those of *rows. */
static sm_status choose_mode(const making *m, smi_flow_rows *rows, sm_write *w, sm_error *e)
{
    sm_run *r = m->r;
    const smi_flow_task *t = m->t;
    const bool is_kept = m->there.is_there && !smi_flow_is_refreshed(r, m->task);

    if (t->replace >= 0) {
        SM_TRY(check_replaced(r, t, m->rows.plan, e));
        rows->column = w->split_by = r->p->vars[t->replace].name;
        rows->values = w->only = &r->vars[t->replace];
    }
    if (t->append >= 0 || t->merge) {
        w->has_base = true; /* at which was looked */
        w->base = m->there.snapshot;
    }
    if (!is_kept) {
        w->mode = SM_WRITE_OVERWRITE;
    } else if (t->replace >= 0) {
        w->mode = SM_WRITE_REPLACE_WHERE;
        w->where = smi_flow_condition(rows);
    } else if (t->replaces_partitions) {
        w->mode = SM_WRITE_REPLACE_PARTITIONS;
    } else if (t->append >= 0) {
        w->mode = SM_WRITE_APPEND;
    } else {
        w->mode = t->merge ? SM_WRITE_REPLACE_WHERE : SM_WRITE_OVERWRITE;
    }
    return SM_OK;
}

static sm_status stage_rows(making *m, sm_write *w, sm_error *e)
{
    sm_run *r = m->r;
    sm_candidate **c = &r->tasks[m->task].candidate;
    sm_stage *stage = NULL;

    SM_TRY(m->names ? SM_OK : smi_flow_watch_open(&m->rows, e));
    SM_TRY(smi_flow_stage_open(r, m->t, w, m->rows.plan->root->schema, &stage, e));
    sm_status st = smi_flow_execute_into(&m->rows, stage, e);
    if (st == SM_OK) {
        st = sm_stage_candidate(stage, c, e);
    }
    sm_stage_close(stage);
    if (st == SM_OK) {
        st = smi_flow_watch_judge(&m->rows, e);
    }
    return st == SM_OK ? smi_flow_guard_judge(&m->rows, *c, *c, e) : st;
}

/* Replaces all rows of the table, those of the variable's value, or those of the partitions that
 * the new rows have; adds rows, or merges them. */
static sm_status write_rows(making *m, sm_error *e)
{
    smi_flow_rows rows = {.n = 1}; /* the rows to be replaced: those of the variable's value */
    sm_write write = {
        .uri = m->there.uri,
        .user_metadata = smi_flow_metadata_with(m->r, sm_buf_str(&m->in.json)),
    };

    SM_ASSERT(!m->r->tasks[m->task].candidate);
    SM_TRY(choose_mode(m, &rows, &write, e));
    const sm_status st = m->t->merge ? smi_flow_merge_rows(&m->rows, &m->merging, &write, e)
                                     : stage_rows(m, &write, e);
    if (st == SM_SCHEMA && write.mode != SM_WRITE_OVERWRITE) {
        if (e && m->there.snapshot && smi_flow_place_unlike(m->plan, m->there.snapshot, e)) {
            e->todo[0] = '\0'; /* a cast does not help: other days have other types */
        }
        sm_error_todo(e, "--full-refresh %.*s makes it anew, with this run's rows only.",
                      SM_STR_ARG(m->t->name));
    }
    if (m->r->tasks[m->task].candidate) { /* also of one that fails by its verdict: it is kept */
        note_rows(m);
    }
    return st;
}

/* A table was made anew that would else have kept rows of other runs. */
static void warn_of_lost(const making *m)
{
    sm_run *r = m->r;
    const smi_flow_task *t = m->t;

    if (kept_by(t) >= 0) {
        smi_flow_report_warn(r,
                             "%.*s was made anew with the rows of %.*s only: run the other values "
                             "of \"%.*s\" again",
                             SM_STR_ARG(t->name), SM_STR_ARG(smi_flow_value_text(r, kept_by(t))),
                             SM_STR_ARG(r->p->vars[kept_by(t)].name));
    } else if (t->replaces_partitions) {
        smi_flow_report_warn(r,
                             "%.*s was made anew with the partitions of this run only: run again "
                             "what made the others",
                             SM_STR_ARG(t->name));
    } else if (t->merge) {
        smi_flow_report_warn(r, "%.*s was made anew with the rows of this run only%s",
                             SM_STR_ARG(t->name),
                             t->merge->is_history ? ": its history begins with them" : "");
    }
}

static void warn_of_rows(const making *m)
{
    sm_run *r = m->r;
    const smi_flow_task *t = m->t;
    const smi_flow_task_state *state = &r->tasks[m->task];
    const int64_t n_rows = t->merge ? state->merged.n_rows : sm_candidate_rows(state->candidate);

    if (n_rows == 0) {
        smi_flow_report_warn(r, "%.*s has no rows%s", SM_STR_ARG(t->name),
                             keeps_rows(t) ? " of this run" : "");
    }
    if (m->there.is_there && smi_flow_is_refreshed(r, m->task)) {
        warn_of_lost(m);
        return;
    }
    const sm_str query = query_hash(r, t);
    if (query.len > 0 && m->there.query.len > 0 && !sm_str_eq(query, m->there.query)) {
        smi_flow_report_warn(
            r,
            "the SQL of %.*s has changed: rows of other values of \"%.*s\" stay as "
            "they are until you run these again",
            SM_STR_ARG(t->name), SM_STR_ARG(r->p->vars[kept_by(t)].name));
    }
}

/* Would the rows be the same as those that are there? */
static bool is_same(const making *m)
{
    return !m->in.reads_paths &&
           sm_str_is(sm_json_text(sm_json_get(m->there.said, "fingerprint")), m->fingerprint);
}

/* Rows that were added stay, whatever they would be now. */
static void tell_added(const making *m)
{
    char by[40] = "an earlier version";

    if (m->there.added_at >= 0) {
        snprintf(by, sizeof(by), "version %" PRId64, m->there.added_at);
    }
    smi_flow_report_warn(m->r,
                         "%s of %.*s has added the rows of %.*s: they stay, and none are added, "
                         "though what they are made from may have changed",
                         by, SM_STR_ARG(m->t->name), SM_STR_ARG(added_value(m->r, m->t)));
}

/* ---- properties ----------------------------------------------------------------------------- */

/* A commit that sets properties is passed over when the table's rows are asked for. */
static void note_properties(const making *m)
{
    sm_buf text = {0};
    sm_json_writer w = {.out = &text};

    sm_json_set_object(&w, "smelt");
    sm_json_set_text(&w, "pipeline", m->r->p->name);
    sm_json_set_text(&w, "run", m->r->id);
    sm_json_set_bool(&w, "same_rows", true);
    sm_json_end_object(&w);
    const sm_note note = {.info_json = sm_buf_str(&text)};
    sm_candidate_note(m->r->tasks[m->task].candidate, &note);
    sm_buf_release(&text);
}

/* The rows stay. The properties of the task may be others than the table has. */
static sm_status keep_rows(making *m, sm_error *e)
{
    const sm_delta_metadata *there = sm_snapshot_metadata(m->there.snapshot);
    sm_candidate **c = &m->r->tasks[m->task].candidate;
    sm_stage *stage = NULL;
    sm_write w = {
        .uri = m->there.uri, .has_base = true, .base = m->there.snapshot, .keeps_values = true};

    SM_ASSERT(m->there.is_there && !*c);
    if (sm_delta_has_properties(there, m->t->properties, m->t->n_properties)) {
        return SM_OK;
    }
    w.user_metadata = smi_flow_metadata(m->r);
    SM_TRY(smi_flow_stage_open(m->r, m->t, &w, there->schema, &stage, e));
    const sm_status st = sm_stage_candidate(stage, c, e);
    sm_stage_close(stage);
    if (st == SM_OK) {
        note_properties(m);
    }
    return st;
}

/* ---- a task --------------------------------------------------------------------------------- */

/* Where rows are added to those of a table, columns that were found in files are fitted to its own:
 * a day of whole numbers goes into a column of DOUBLE. The names are the task's own, as another
 * task may read the same files as they are. */
static sm_status fit_rows(making *m, sm_arena *a, sm_error *e)
{
    const sm_plan_node *scan = smi_flow_plan_scan(m->plan);

    if (!keeps_rows(m->t) || !m->there.snapshot || smi_flow_is_refreshed(m->r, m->task) || !scan ||
        !scan->as.scan.dataset->sampled) {
        return SM_OK;
    }
    m->names = smi_flow_names(m->r);
    SM_TRY(smi_flow_plan(m->r, m->names, m->t, a, &m->plan, e));
    return smi_flow_fit(m->names, m->plan, m->there.snapshot, a)
               ? smi_flow_plan(m->r, m->names, m->t, a, &m->plan, e)
               : SM_OK;
}

/* Puts the contract around the rows. */
static sm_status guard_rows(making *m, sm_arena *a, sm_error *e)
{
    const smi_flow_task *t = m->t;
    const bool is_kept = keeps_rows(t) && !smi_flow_is_refreshed(m->r, m->task);
    const smi_flow_rows replaced = {
        .n = t->replace >= 0,
        .column = t->replace >= 0 ? m->r->p->vars[t->replace].name : (sm_str){0},
        .values = t->replace >= 0 ? &m->r->vars[t->replace] : NULL,
    };
    const smi_flow_staying stays = {.base = is_kept ? m->there.snapshot : NULL,
                                    .replaced = &replaced};

    return smi_flow_guard_open(m->r, m->task, m->plan, &stays, a, &m->rows, e);
}

/* Finds out all that decides the rows, and their fingerprint. */
static sm_status look(making *m, sm_arena *a, sm_error *e)
{
    SM_TRY(smi_flow_plan(m->r, NULL, m->t, a, &m->plan, e));
    SM_TRY(look_at_table(m->r, m->task, a, &m->there, e));
    SM_TRY(fit_rows(m, a, e));
    SM_TRY(guard_rows(m, a, e));
    if (m->t->merge) {
        SM_TRY(
            smi_flow_merge_bind(m->r, m->task, m->rows.plan, m->there.snapshot, a, &m->merging, e));
    }
    if (!keeps_rows(m->t)) {
        SM_TRY(find_period(m->r, m->task, e));
    }
    SM_TRY(smi_flow_inputs_gather(m->r, m->task, &m->in, e));
    sm_buf_text(&m->in.text, m->merging.text);
    sm_hash128_hex(sm_hash128_of(m->in.text.data, m->in.text.len, 0), m->fingerprint);
    return SM_OK;
}

static sm_status make_table(making *m, sm_error *e)
{
    sm_run *r = m->r;

    if (m->there.is_added && !is_same(m)) {
        tell_added(m);
        return keep_rows(m, e);
    }
    if (is_same(m) && (m->there.is_added || smi_flow_unchanged_is_refused(r, m->there.said))) {
        smi_flow_unchanged_tell(r, m->task, m->there.said);
        return keep_rows(m, e);
    }
    if (m->there.is_there && m->t->merge && !smi_flow_is_refreshed(r, m->task)) {
        SM_TRY(smi_flow_merge_order(r, m->task, m->there.snapshot, &m->merging, e));
    }
    SM_TRY(write_rows(m, e));
    warn_of_rows(m);
    return SM_OK;
}

sm_status smi_flow_table_run(sm_run *r, int32_t task, sm_error *e)
{
    making m = {.r = r, .task = task, .t = &r->p->tasks[task]};
    sm_arena *a = sm_arena_new(r->env->budget);

    sm_status st = look(&m, a, e);
    if (st == SM_OK) {
        st = make_table(&m, e);
    }
    smi_flow_guard_close(&m.rows);
    smi_flow_inputs_release(&m.in);
    sm_snapshot_release(m.there.snapshot);
    sm_names_free(m.names);
    sm_arena_free(a);
    return st;
}
