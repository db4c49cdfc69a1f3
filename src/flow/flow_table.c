/* SPDX-License-Identifier: Apache-2.0
 *
 * flow/flow_table.c: a table task: the rows of its SQL overwrite the table. Called by flow_run.c.
 *
 * Skipped   where nothing that decides its rows has changed: the SQL, the views and variables that
 *           it uses, the program's version, and the state of each table that it reads. The hash of
 *           all this stands in the commit's information ("smelt": {"fingerprint": …}) and is
 *           compared with that of the newest commit. What reads files, not tables, always runs.
 * State     of a table: the run whose commit is its newest one; a table that another writer
 *           changed: its id and version. A run writes a table once, so a run's name stands for one
 *           state, known before it is published. */
#include <inttypes.h>

#include "flow/flow_int.h"

/* ---- the state of what is read -------------------------------------------------------------- */

static sm_status stored_state(smi_flow_run *r, sm_str table, sm_buf *out, sm_error *e)
{
    sm_status st = SM_OK;
    sm_store *store = NULL;
    sm_snapshot *snapshot = NULL;
    sm_str uri, run = {0};

    SM_TRY(sm_names_uri(r->names, table, r->arena, &uri, e));
    SM_TRY_GOTO(st, done, sm_store_open(uri, &store, e));
    SM_TRY_GOTO(st, done, smi_flow_books_last(r, store, "run", &run, e));
    if (run.len > 0) {
        sm_buf_printf(out, "run %.*s", SM_STR_ARG(run));
        goto done;
    }
    SM_TRY_GOTO(st, done, sm_snapshot_open(store, SM_VERSION_LATEST, r->env->budget, &snapshot, e));
    sm_buf_printf(out, "version %" PRId64 " of %.*s", sm_snapshot_version(snapshot),
                  SM_STR_ARG(sm_snapshot_metadata(snapshot)->id));
done:
    sm_snapshot_release(snapshot);
    sm_store_release(store);
    return st;
}

static sm_status state_of(smi_flow_run *r, sm_str table, sm_str *out, sm_error *e)
{
    const int32_t task = smi_flow_task_find(r->p, table);
    const sm_candidate *c = task >= 0 ? r->tasks[task].candidate : NULL;
    sm_buf text = {0};
    sm_status st = SM_OK;

    if (c && !sm_candidate_is_empty(c)) {
        sm_buf_printf(&text, "run %.*s", SM_STR_ARG(r->id));
    } else {
        st = stored_state(r, task >= 0 ? r->p->tasks[task].name : table, &text, e);
    }
    *out = sm_arena_str(r->arena, sm_buf_str(&text));
    sm_buf_release(&text);
    return st;
}

/* What the table is made of, as JSON for the commit and as text for the hash. */
typedef struct inputs {
    sm_buf json, text;
} inputs;

static sm_status gather_inputs(smi_flow_run *r, const smi_flow_task *t, inputs *in, sm_error *e)
{
    bool is_first = true;

    sm_buf_printf(&in->text, "smelt " SMELT_VERSION "\n%.*s\n", SM_STR_ARG(t->name));
    sm_buf_text(&in->text, t->sql.text);
    sm_buf_text(&in->text, sm_buf_str(&r->asked.text));
    sm_buf_text(&in->json, SM_STR("["));
    for (int64_t i = 0; i < r->asked.n_tables; i++) {
        sm_str state;
        SM_TRY(state_of(r, r->asked.tables[i], &state, e));
        sm_buf_printf(&in->text, "\ntable %.*s %.*s", SM_STR_ARG(r->asked.tables[i]),
                      SM_STR_ARG(state));
        sm_buf_text(&in->json, is_first ? SM_STR("{\"table\":") : SM_STR(",{\"table\":"));
        sm_buf_json_str(&in->json, r->asked.tables[i]);
        sm_buf_text(&in->json, SM_STR(",\"state\":"));
        sm_buf_json_str(&in->json, state);
        sm_buf_text(&in->json, SM_STR("}"));
        is_first = false;
    }
    for (int32_t i = 0; i < r->p->n_sources; i++) {
        if (r->asked.sources >> i & 1) {
            sm_buf_text(&in->json, is_first ? SM_STR("{\"source\":") : SM_STR(",{\"source\":"));
            sm_buf_json_str(&in->json, r->sources[i].path);
            sm_buf_printf(&in->json, ",\"files\":%" PRId64 "}", r->sources[i].files.n);
            is_first = false;
        }
    }
    sm_buf_text(&in->json, SM_STR("]"));
    return SM_OK;
}

/* ---- the write ------------------------------------------------------------------------------ */

/* The table's newest fingerprint and its rows. */
static sm_status look_at_table(smi_flow_run *r, sm_str uri, sm_str *fingerprint, int64_t *n_rows,
                               sm_error *e)
{
    sm_status st = SM_OK;
    sm_store *store = NULL;
    sm_snapshot *snapshot = NULL;
    bool is_there = false;

    SM_TRY_GOTO(st, done, sm_store_open(uri, &store, e));
    SM_TRY_GOTO(st, done, sm_delta_exists(store, &is_there, e));
    if (is_there) {
        SM_TRY_GOTO(st, done,
                    sm_snapshot_open(store, SM_VERSION_LATEST, r->env->budget, &snapshot, e));
        *n_rows = smi_flow_snapshot_rows(snapshot);
        SM_TRY_GOTO(st, done, smi_flow_books_last(r, store, "fingerprint", fingerprint, e));
    }
done:
    sm_snapshot_release(snapshot);
    sm_store_release(store);
    return st;
}

/* The files that were read, by their hashes. */
static void put_files(smi_flow_run *r, sm_buf *out)
{
    char hex[33];
    bool is_first = true;

    sm_buf_text(out, SM_STR(",\"read\":["));
    for (int32_t i = 0; i < r->p->n_sources; i++) {
        const smi_flow_source_state *s = &r->sources[i];
        for (int64_t k = 0; (r->asked.sources >> i & 1) && k < s->files.n; k++) {
            if (!s->states[k].is_read) {
                continue;
            }
            sm_hash128_hex(s->states[k].hash, hex);
            sm_buf_text(out, is_first ? SM_STR("{\"name\":") : SM_STR(",{\"name\":"));
            sm_buf_json_str(out, s->files.items[k].name);
            sm_buf_printf(out, ",\"size\":%" PRIu64 ",\"hash\":\"%s\"}",
                          s->files.items[k].file.size_bytes, hex);
            is_first = false;
        }
    }
    sm_buf_text(out, SM_STR("]"));
}

static sm_str info_of(smi_flow_run *r, const char *fingerprint)
{
    sm_buf text = {0};

    sm_buf_text(&text, SM_STR("\"smelt\":{\"pipeline\":"));
    sm_buf_json_str(&text, r->p->name);
    sm_buf_text(&text, SM_STR(",\"run\":"));
    sm_buf_json_str(&text, r->id);
    sm_buf_printf(&text, ",\"fingerprint\":\"%s\"", fingerprint);
    put_files(r, &text);
    sm_buf_text(&text, SM_STR("}"));
    const sm_str out = sm_arena_str(r->arena, sm_buf_str(&text));
    sm_buf_release(&text);
    return out;
}

static sm_status overwrite(smi_flow_run *r, int32_t task, sm_str uri, const sm_plan *plan,
                           const inputs *in, const char *fingerprint, sm_error *e)
{
    sm_stage *stage = NULL;
    const sm_write write = {
        .uri = uri,
        .mode = SM_WRITE_OVERWRITE,
        .operation = SM_STR("WRITE"),
        .user_metadata = smi_flow_metadata_with(r, sm_buf_str(&in->json)),
    };

    SM_TRY(sm_stage_open(&write, plan->root->schema, r->env, &stage, e));
    const sm_sink sink = sm_stage_sink(stage);
    sm_status st = smi_flow_execute(r, task, plan, &sink, e);
    if (st == SM_OK) {
        st = sm_stage_candidate(stage, NULL, 0, info_of(r, fingerprint), &r->tasks[task].candidate,
                                e);
    }
    sm_stage_close(stage);
    return st;
}

sm_status smi_flow_table_run(smi_flow_run *r, int32_t task, sm_error *e)
{
    sm_status st = SM_OK;
    const smi_flow_task *t = &r->p->tasks[task];
    smi_flow_task_state *state = &r->tasks[task];
    sm_plan *plan = NULL;
    sm_arena *a = sm_arena_new(r->env->budget);
    inputs in = {0};
    sm_str uri, before = {0};
    char fingerprint[33];

    SM_TRY_GOTO(st, done, smi_flow_plan(r, NULL, t, a, &plan, e));
    SM_TRY_GOTO(st, done, sm_names_uri(r->names, t->name, r->arena, &uri, e));
    SM_TRY_GOTO(st, done, look_at_table(r, uri, &before, &state->n_rows_before, e));
    SM_TRY_GOTO(st, done, gather_inputs(r, t, &in, e));
    sm_hash128_hex(sm_hash128_of(in.text.data, in.text.len, 0), fingerprint);
    if (!r->asked.reads_paths && sm_str_is(before, fingerprint)) {
        goto done; /* it would be the same */
    }
    SM_TRY_GOTO(st, done, overwrite(r, task, uri, plan, &in, fingerprint, e));
    if (sm_candidate_rows(state->candidate) == 0) {
        smi_flow_report_warn(r, "%.*s has no rows", SM_STR_ARG(t->name));
    }
done:
    sm_buf_release(&in.json);
    sm_buf_release(&in.text);
    sm_arena_free(a);
    return st;
}
