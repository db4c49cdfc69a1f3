/* SPDX-License-Identifier: Apache-2.0
 *
 * flow/flow_table.c: table tasks: the rows of a task's SQL overwrite its table, or only the rows of
 * one value of a variable (replace), or only the partitions that they are of (overwrite:
 * partitions), or are added to those that are there (append). Called by flow_run.c.
 *
 * Skipped  A table is not written if nothing has changed that decides its rows: the SQL, the views
 *          and variables that it uses, the program's version, and the state of each table that it
 *          reads. The hash of all this stands in the commit's information ("smelt": {"fingerprint":
 *          …}) and is compared with that of the newest commit. A query that reads files, not
 *          tables, always runs. If a table keeps the rows of other values, the newest commit of the
 *          same value is compared; the hash of the query ("query") shows whether the other rows
 *          were made by another one.
 * Added    Rows are added once for each value of a variable. The commit has a transaction for the
 *          value, so that of two runs at once only one adds them, and its information has the value
 *          ("appended"). A later run of the value that finds the transaction looks for that commit
 *          (flow_past.c): after a RESTORE to an earlier version it is not among those that made the
 *          table's rows, and they are added again.
 * State    of a table: the run that made its newest commit or, if another writer has changed it,
 *          its id and version. A run writes a table once, so the run's name stands for one state,
 *          which is known before it is published. */
#include <inttypes.h>
#include <stdio.h>

#include "flow/flow_int.h"

/* ---- the state of what is read -------------------------------------------------------------- */

/* What the newest commit of a table in the lake says of a key; "" where nothing. */
static sm_status stored_word(sm_run *r, sm_str table, const char *key, sm_str *out, sm_error *e)
{
    sm_store *store = NULL;
    sm_str uri;

    SM_TRY(sm_names_uri(r->names, table, r->arena, &uri, e));
    sm_status st = sm_store_open(r->env->stores, uri, &store, e);
    if (st == SM_OK) {
        st = smi_flow_books_last(r, store, key, out, e);
    }
    sm_store_release(store);
    return st;
}

/* Does the table keep rows that other runs made? */
static bool keeps_rows(const smi_flow_task *t)
{
    return t->replace >= 0 || t->append >= 0 || t->replaces_partitions;
}

/* The variable for each of whose values the table has rows; −1: none. */
static int32_t kept_by(const smi_flow_task *t)
{
    return t->replace >= 0 ? t->replace : t->append;
}

static sm_str period_text(const sm_run *r, int32_t var)
{
    sm_buf text = {0};

    sm_value_print(r->vars[var], &text);
    const sm_str out = sm_arena_str(r->arena, sm_buf_str(&text));
    sm_buf_release(&text);
    return out;
}

static sm_status stored_state(sm_run *r, sm_str table, sm_buf *out, sm_error *e)
{
    sm_status st = SM_OK;
    sm_store *store = NULL;
    sm_snapshot *snapshot = NULL;
    sm_str uri, run = {0};

    SM_TRY(stored_word(r, table, "run", &run, e));
    if (run.len > 0) {
        sm_buf_printf(out, "run %.*s", SM_STR_ARG(run));
        return SM_OK;
    }
    SM_TRY(sm_names_uri(r->names, table, r->arena, &uri, e));
    SM_TRY_GOTO(st, done, sm_store_open(r->env->stores, uri, &store, e));
    SM_TRY_GOTO(st, done,
                sm_snapshot_open_head(store, SM_VERSION_LATEST, r->env->budget, &snapshot, e));
    sm_buf_printf(out, "version %" PRId64 " of %.*s", sm_snapshot_version(snapshot),
                  SM_STR_ARG(sm_snapshot_metadata(snapshot)->id));
done:
    sm_snapshot_release(snapshot);
    sm_store_release(store);
    return st;
}

static sm_status state_of(sm_run *r, sm_str table, sm_str *out, sm_error *e)
{
    const int32_t task = smi_flow_task_find(r->p, table);
    const sm_candidate *c = task >= 0 ? r->tasks[task].candidate : NULL;
    sm_buf text = {0};
    sm_status st = SM_OK;

    if (c && !sm_candidate_is_empty(c) && !sm_candidate_keeps_rows(c)) {
        sm_buf_printf(&text, "run %.*s", SM_STR_ARG(r->id));
    } else {
        st = stored_state(r, task >= 0 ? r->p->tasks[task].name : table, &text, e);
    }
    *out = sm_arena_str(r->arena, sm_buf_str(&text));
    sm_buf_release(&text);
    return st;
}

/* What a table is made from: as JSON for the commit, and as text for the hash. */
typedef struct inputs {
    sm_buf json, text;
} inputs;

static sm_status gather_inputs(sm_run *r, const smi_flow_task *t, inputs *in, sm_error *e)
{
    sm_json_writer w = {.out = &in->json};

    sm_buf_printf(&in->text, "smelt " SMELT_VERSION "\n%.*s\n", SM_STR_ARG(t->name));
    sm_buf_text(&in->text, t->sql.text);
    sm_buf_text(&in->text, sm_buf_str(&r->asked.text));
    for (int32_t i = 0; i < t->n_partition_by; i++) {
        sm_buf_printf(&in->text, "\npartitioned by %.*s", SM_STR_ARG(t->partition_by[i]));
    }
    sm_json_begin_array(&w);
    for (int64_t i = 0; i < r->asked.n_tables; i++) {
        sm_str state;
        SM_TRY(state_of(r, r->asked.tables[i], &state, e));
        sm_buf_printf(&in->text, "\ntable %.*s %.*s", SM_STR_ARG(r->asked.tables[i]),
                      SM_STR_ARG(state));
        sm_json_begin_object(&w);
        sm_json_set_text(&w, "table", r->asked.tables[i]);
        sm_json_set_text(&w, "state", state);
        sm_json_end_object(&w);
    }
    for (int32_t i = 0; i < r->p->n_sources; i++) {
        if (r->asked.sources >> i & 1) {
            sm_json_begin_object(&w);
            sm_json_set_text(&w, "source", r->sources[i].path);
            sm_json_set_i64(&w, "files", r->sources[i].files.n);
            sm_json_end_object(&w);
        }
    }
    sm_json_end_array(&w);
    return SM_OK;
}

/* ---- periods -------------------------------------------------------------------------------- */

/* Finds the month or date that all rows of the table belong to: that of its own SQL, or of a table
 * that it reads. */
static sm_status find_period(sm_run *r, int32_t task, sm_error *e)
{
    smi_flow_task_state *state = &r->tasks[task];
    sm_status st = SM_OK;

    if (r->asked.period >= 0) {
        state->period = period_text(r, r->asked.period);
        return SM_OK;
    }
    for (int64_t i = 0; i < r->asked.n_tables && state->period.len == 0 && st == SM_OK; i++) {
        const int32_t other = smi_flow_task_find(r->p, r->asked.tables[i]);
        if (other >= 0 && r->tasks[other].is_chosen) {
            state->period = r->tasks[other].period;
        } else {
            st = stored_word(r, r->asked.tables[i], "window", &state->period, e);
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
    sm_str fingerprint;    /* of the rows that would be replaced; "": not known */
    sm_str query;          /* of the rows that were written last; "": not known */
    bool is_added;         /* the rows of this value of `append` are in the table */
    int64_t added_at;      /* by this version; −1: it is not known */
    int64_t txn;           /* the version of the value's transaction; −1: it has none */
} table_there;

/* "month=2023-02": the value for which a run adds rows. */
static sm_str added_value(const sm_run *r, const smi_flow_task *t)
{
    return sm_arena_strf(r->arena, "%.*s=%.*s", SM_STR_ARG(r->p->vars[t->append].name),
                         SM_STR_ARG(period_text(r, t->append)));
}

/* The transaction of that value. A pipeline may get another name, so that is no part of it. */
static sm_str added_app(const sm_run *r, const smi_flow_task *t)
{
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

    out->txn = sm_snapshot_txn(out->snapshot, added_app(r, t));
    SM_TRY(check_earlier(r, task, store, out, e));
    if (out->txn < 0) {
        return SM_OK;
    }
    SM_TRY(smi_flow_past_find(r, store, sm_snapshot_version(out->snapshot), "appended", value,
                              &past, e));
    out->is_added = past.kind != SMI_PAST_NONE;
    out->added_at = past.kind == SMI_PAST_FOUND ? past.version : -1;
    out->fingerprint = past.fingerprint;
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

/* The fingerprint of the commit that last wrote the rows of this value; "" if it is not among the
 * newest commits, or another writer has changed the table since. */
static sm_status period_fingerprint(sm_run *r, sm_store *store, sm_str period, sm_str *out,
                                    sm_error *e)
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
                *out = sm_arena_str(r->arena, sm_json_text(sm_json_get(smelt, "fingerprint")));
            }
        }
        sm_arena_free(scratch);
        is_found = is_found || n < depths[i]; /* the whole history was read */
    }
    return st;
}

/* What is known of the rows that this run would write anew. */
static sm_status look_at_rows(sm_run *r, int32_t task, sm_store *store, table_there *out,
                              sm_error *e)
{
    const smi_flow_task *t = &r->p->tasks[task];

    if (smi_flow_is_refreshed(r, task)) {
        out->txn = t->append >= 0 ? sm_snapshot_txn(out->snapshot, added_app(r, t)) : -1;
        return SM_OK; /* whatever they are */
    }
    if (t->append >= 0) {
        return look_for_added(r, task, store, out, e);
    }
    return t->replace >= 0
               ? period_fingerprint(r, store, period_text(r, t->replace), &out->fingerprint, e)
               : smi_flow_books_last(r, store, "fingerprint", &out->fingerprint, e);
}

static sm_status look_at_table(sm_run *r, int32_t task, table_there *out, sm_error *e)
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
    SM_TRY_GOTO(st, done, look_at_rows(r, task, store, out, e));
    if (kept_by(t) >= 0) {
        st = smi_flow_books_last(r, store, "query", &out->query, e);
    }
done:
    sm_store_release(store);
    return st;
}

/* Writes the files that were read, with their hashes. */
static void put_files(sm_run *r, sm_json_writer *w)
{
    char hex[33];

    sm_json_set_array(w, "read");
    for (int32_t i = 0; i < r->p->n_sources; i++) {
        const smi_flow_source_state *s = &r->sources[i];
        for (int64_t k = 0; (r->asked.sources >> i & 1) && k < s->found.n; k++) {
            if (!s->states[k].is_read) {
                continue;
            }
            sm_hash128_hex(s->states[k].content.hash, hex);
            sm_json_begin_object(w);
            sm_json_set_text(w, "name", s->found.items[k].name);
            sm_json_set_u64(w, "size", s->found.items[k].file.size_bytes);
            sm_json_set_text(w, "hash", sm_str_of(hex));
            sm_json_end_object(w);
        }
    }
    sm_json_end_array(w);
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

static sm_str info_of(sm_run *r, int32_t task, const char *fingerprint)
{
    const smi_flow_task *t = &r->p->tasks[task];
    const bool has_added = t->append >= 0 && sm_candidate_rows(r->tasks[task].candidate) > 0;
    sm_buf text = {0};
    sm_json_writer w = {.out = &text};

    sm_json_set_object(&w, "smelt");
    sm_json_set_text(&w, "pipeline", r->p->name);
    put_word(&w, "run", r->id);
    put_word(&w, "fingerprint", sm_str_of(fingerprint));
    put_word(&w, "window", r->tasks[task].period);
    put_word(&w, "query", query_hash(r, t));
    put_word(&w, "replaced", t->replace >= 0 ? period_text(r, t->replace) : (sm_str){0});
    put_word(&w, "appended", has_added ? added_value(r, t) : (sm_str){0});
    put_files(r, &w);
    sm_json_end_object(&w);
    const sm_str out = sm_arena_str(r->arena, sm_buf_str(&text));
    sm_buf_release(&text);
    return out;
}

/* Adds to the commit what it says of itself. Where a value has no rows yet, nothing is remembered
 * of it: they may come later. */
static void note_rows(sm_run *r, int32_t task, const table_there *there, const char *fingerprint)
{
    const smi_flow_task *t = &r->p->tasks[task];
    sm_candidate *c = r->tasks[task].candidate;
    const bool has_added = t->append >= 0 && sm_candidate_rows(c) > 0;
    const sm_delta_txn txn = {
        .app_id = has_added ? added_app(r, t) : (sm_str){0},
        .version = there->txn + 1,
        .updated_ms = r->start_us / 1000,
    };
    const sm_note note = {
        .txns = &txn,
        .n_txns = has_added,
        .info_json = info_of(r, task, fingerprint),
    };

    SM_ASSERT(there->txn >= -1);
    sm_candidate_note(c, &note);
}

/* Replaces all rows of the table, those of the variable's value, or those of the partitions that
 * the new rows have; or adds rows. */
static sm_status write_rows(sm_run *r, int32_t task, const table_there *there, const sm_plan *plan,
                            const inputs *in, const char *fingerprint, sm_error *e)
{
    const smi_flow_task *t = &r->p->tasks[task];
    const bool is_part = t->replace >= 0;
    SM_ASSERT(!r->tasks[task].candidate);
    sm_stage *stage = NULL;
    smi_flow_rows rows = {.n = 1}; /* the rows to be replaced: those of the variable's value */
    sm_write write = {
        .uri = there->uri,
        .mode = SM_WRITE_OVERWRITE,
        .user_metadata = smi_flow_metadata_with(r, sm_buf_str(&in->json)),
    };

    if (is_part) {
        SM_TRY(check_replaced(r, t, plan, e));
        rows.column = write.split_by = r->p->vars[t->replace].name;
        rows.values = write.only = &r->vars[t->replace];
    }
    if (is_part && there->is_there && !smi_flow_is_refreshed(r, task)) {
        write.mode = SM_WRITE_REPLACE_WHERE;
        write.where = smi_flow_condition(&rows);
    } else if (t->replaces_partitions && there->is_there && !smi_flow_is_refreshed(r, task)) {
        write.mode = SM_WRITE_REPLACE_PARTITIONS;
    } else if (t->append >= 0 && there->is_there && !smi_flow_is_refreshed(r, task)) {
        write.mode = SM_WRITE_APPEND;
        write.has_base = true; /* in which the value was looked for */
        write.base = there->snapshot;
    }
    sm_status st = smi_flow_stage_open(r, t, &write, plan->root->schema, &stage, e);
    if (st == SM_SCHEMA && write.mode != SM_WRITE_OVERWRITE) {
        sm_error_todo(e, "--full-refresh %.*s makes it anew, with this run's rows only.",
                      SM_STR_ARG(t->name));
    }
    SM_TRY(st);
    st = smi_flow_execute_into(r, task, plan, stage, e);
    if (st == SM_OK) {
        st = sm_stage_candidate(stage, &r->tasks[task].candidate, e);
    }
    if (st == SM_OK) {
        note_rows(r, task, there, fingerprint);
    }
    sm_stage_close(stage);
    return st;
}

static void warn_of_rows(sm_run *r, int32_t task, const table_there *there)
{
    const smi_flow_task *t = &r->p->tasks[task];

    if (sm_candidate_rows(r->tasks[task].candidate) == 0) {
        smi_flow_report_warn(r, "%.*s has no rows%s", SM_STR_ARG(t->name),
                             keeps_rows(t) ? " of this run" : "");
    }
    const sm_str query = query_hash(r, t);
    if (query.len > 0 && there->query.len > 0 && !sm_str_eq(query, there->query) &&
        !smi_flow_is_refreshed(r, task)) {
        smi_flow_report_warn(
            r,
            "the SQL of %.*s has changed: rows of other values of \"%.*s\" stay as "
            "they are until you run these again",
            SM_STR_ARG(t->name), SM_STR_ARG(r->p->vars[kept_by(t)].name));
    }
    if (!there->is_there || !smi_flow_is_refreshed(r, task)) {
        return;
    }
    if (kept_by(t) >= 0) {
        smi_flow_report_warn(r,
                             "%.*s was made anew with the rows of %.*s only: run the other values "
                             "of \"%.*s\" again",
                             SM_STR_ARG(t->name), SM_STR_ARG(period_text(r, kept_by(t))),
                             SM_STR_ARG(r->p->vars[kept_by(t)].name));
    } else if (t->replaces_partitions) {
        smi_flow_report_warn(r,
                             "%.*s was made anew with the partitions of this run only: run again "
                             "what made the others",
                             SM_STR_ARG(t->name));
    }
}

/* Rows that were added stay, whatever they would be now. */
static void tell_added(sm_run *r, const smi_flow_task *t, const table_there *there,
                       const char *fingerprint)
{
    char by[40] = "an earlier version";

    if (!r->asked.reads_paths && sm_str_is(there->fingerprint, fingerprint)) {
        return; /* they would be the same */
    }
    if (there->added_at >= 0) {
        snprintf(by, sizeof(by), "version %" PRId64, there->added_at);
    }
    smi_flow_report_warn(r,
                         "%s of %.*s has added the rows of %.*s: they stay, and none are added, "
                         "though what they are made from may have changed",
                         by, SM_STR_ARG(t->name), SM_STR_ARG(added_value(r, t)));
}

sm_status smi_flow_table_run(sm_run *r, int32_t task, sm_error *e)
{
    sm_status st = SM_OK;
    const smi_flow_task *t = &r->p->tasks[task];
    sm_plan *plan = NULL;
    sm_arena *a = sm_arena_new(r->env->budget);
    inputs in = {0};
    table_there there = {0};
    char fingerprint[33];

    SM_TRY_GOTO(st, done, smi_flow_plan(r, NULL, t, a, &plan, e));
    SM_TRY_GOTO(st, done, look_at_table(r, task, &there, e));
    if (!keeps_rows(t)) {
        SM_TRY_GOTO(st, done, find_period(r, task, e));
    }
    SM_TRY_GOTO(st, done, gather_inputs(r, t, &in, e));
    sm_hash128_hex(sm_hash128_of(in.text.data, in.text.len, 0), fingerprint);
    if (there.is_added) {
        tell_added(r, t, &there, fingerprint);
        goto done;
    }
    if (!r->asked.reads_paths && sm_str_is(there.fingerprint, fingerprint) &&
        !smi_flow_is_refreshed(r, task)) {
        goto done; /* the rows would be the same */
    }
    SM_TRY_GOTO(st, done, write_rows(r, task, &there, plan, &in, fingerprint, e));
    warn_of_rows(r, task, &there);
done:
    sm_buf_release(&in.json);
    sm_buf_release(&in.text);
    sm_snapshot_release(there.snapshot);
    sm_arena_free(a);
    return st;
}
