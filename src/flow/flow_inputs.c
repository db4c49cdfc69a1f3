/* SPDX-License-Identifier: Apache-2.0
 *
 * flow/flow_inputs.c: what decides the rows of a table task, as a text of which the hash is the
 * fingerprint of its commit. Called by flow_table.c, which makes no rows that would be the same.
 *
 * Queries  count by their meaning (sql_canonical.c), so that layout and comments do not matter.
 * Tables   by their state: the run that made the newest commit or, if another writer has changed
 *          the table, its id and version. A run writes a table once, so the run's name stands for
 *          one state, which is known before it is published.
 * Files    of sources by their names and marks, which are those that a load trusts, too. Nothing is
 *          read for that. Of files that are named by a path in SQL nobody knows the state.
 * Rules    by their contract, and by what they speak of. Views whose contracts are judged with the
 *          table count like its own: their verdicts belong to the commit (flow_unchanged.c). */
#include <inttypes.h>

#include "base/quote.h"
#include "flow/flow_int.h"

/* ---- tables --------------------------------------------------------------------------------- */

/* What the newest commit of a table in the lake says of a key; "" where nothing. */
sm_status smi_flow_stored_word(sm_run *r, sm_str table, const char *key, sm_str *out, sm_error *e)
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

static sm_status stored_state(sm_run *r, sm_str table, sm_buf *out, sm_error *e)
{
    sm_status st = SM_OK;
    sm_store *store = NULL;
    sm_snapshot *snapshot = NULL;
    sm_str uri, run = {0};

    SM_TRY(smi_flow_stored_word(r, table, "run", &run, e));
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

/* As JSON for the commit, and as text for the hash. */
static sm_status put_table(sm_run *r, sm_str table, smi_flow_inputs *in, sm_json_writer *w,
                           sm_error *e)
{
    sm_str state;

    SM_TRY(state_of(r, table, &state, e));
    sm_buf_printf(&in->text, "\ntable %.*s %.*s", SM_STR_ARG(table), SM_STR_ARG(state));
    sm_json_begin_object(w);
    sm_json_set_text(w, "table", table);
    sm_json_set_text(w, "state", state);
    sm_json_end_object(w);
    return SM_OK;
}

/* ---- files ---------------------------------------------------------------------------------- */

static void put_file(const sm_found_file *f, sm_buf *out)
{
    const smi_flow_mark mark = smi_flow_mark_of(&f->file);

    sm_buf_text(out, SM_STR("\nfile "));
    sm_buf_quoted(out, f->name, '"');
    sm_buf_printf(out, " %" PRIu64 " ", mark.size_bytes);
    if (mark.etag.len > 0) {
        sm_buf_text(out, mark.etag);
    } else {
        sm_buf_printf(out, "%" PRId64 " %" PRId64 " %" PRIu64, mark.modified_us, mark.changed_us,
                      mark.inode);
    }
}

static void put_source(sm_run *r, int32_t source, smi_flow_inputs *in, sm_json_writer *w)
{
    const smi_flow_source_state *s = &r->sources[source];

    SM_ASSERT(s->is_open && s->files.n > 0);
    sm_buf_printf(&in->text, "\nsource %.*s", SM_STR_ARG(sm_store_place(s->files.store, r->arena)));
    if (s->def->has_unknown) {
        sm_buf_printf(&in->text, " unknown %s", sm_policy_name(s->def->unknown));
    }
    for (int64_t i = 0; i < s->files.n; i++) {
        put_file(&s->files.items[i], &in->text);
    }
    sm_json_begin_object(w);
    sm_json_set_text(w, "source", s->path);
    sm_json_set_i64(w, "files", s->files.n);
    sm_json_end_object(w);
}

/* ---- queries -------------------------------------------------------------------------------- */

/* What the SQL asked for that was planned last. */
static sm_status put_asked(sm_run *r, smi_flow_inputs *in, sm_json_writer *w, sm_error *e)
{
    in->reads_paths = in->reads_paths || r->asked.reads_paths;
    sm_buf_text(&in->text, SM_STR("\n"));
    sm_buf_text(&in->text, sm_buf_str(&r->asked.text));
    for (int64_t i = 0; i < r->asked.n_tables; i++) {
        SM_TRY(put_table(r, r->asked.tables[i], in, w, e));
    }
    for (int32_t i = 0; i < r->p->n_sources; i++) {
        if (r->asked.sources >> i & 1) {
            put_source(r, i, in, w);
        }
    }
    return SM_OK;
}

/* ---- contracts ------------------------------------------------------------------------------ */

/* A view of which a rule speaks: all that its SQL asks for. */
static sm_status put_checked_view(sm_run *r, const smi_flow_task *t, smi_flow_inputs *in,
                                  sm_json_writer *w, sm_error *e)
{
    SM_ASSERT(t->kind == SM_TASK_VIEW);
    const sm_plan *plan = NULL;
    const smi_flow_asked asked = smi_flow_asked_keep(r);
    sm_arena *a = sm_arena_new(r->env->budget);

    sm_status st = smi_flow_plan(r, NULL, t, a, &plan, e);
    if (st == SM_OK) {
        st = smi_flow_query_same(r, &t->sql, &in->text, e);
    }
    if (st == SM_OK) {
        st = put_asked(r, in, w, e);
    }
    smi_flow_asked_restore(r, &asked);
    sm_arena_free(a);
    return st;
}

/* What decides the verdict decides whether the rows are judged again, and so made again. */
static sm_status put_contract(sm_run *r, const smi_flow_task *t, smi_flow_inputs *in, sm_error *e)
{
    sm_buf json = {0}; /* the commit tells only of what rows are made from */
    sm_json_writer w = {.out = &json};
    sm_status st = SM_OK;

    smi_flow_guard_text(r, t, &in->text);
    sm_json_begin_array(&w);
    for (int32_t i = 0; i < t->n_checks && st == SM_OK; i++) {
        const int32_t task = smi_flow_task_find(r->p, t->checks[i]);
        const bool is_view = task >= 0 && r->p->tasks[task].kind == SM_TASK_VIEW;
        sm_buf_printf(&in->text, "\nchecked with %.*s ", SM_STR_ARG(t->checks[i]));
        st = is_view ? put_checked_view(r, &r->p->tasks[task], in, &w, e)
                     : put_table(r, t->checks[i], in, &w, e);
    }
    sm_buf_release(&json);
    return sm_within(e, st, "contract of %.*s", SM_STR_ARG(t->name));
}

/* ---- all of it ------------------------------------------------------------------------------ */

sm_status smi_flow_inputs_gather(sm_run *r, int32_t task, smi_flow_inputs *in, sm_error *e)
{
    const smi_flow_task *t = &r->p->tasks[task];
    sm_json_writer w = {.out = &in->json};

    SM_ASSERT(t->kind == SM_TASK_TABLE && in->text.len == 0);
    sm_buf_printf(&in->text, "smelt " SMELT_VERSION "\n%.*s\n", SM_STR_ARG(t->name));
    SM_TRY(smi_flow_query_same(r, &t->sql, &in->text, e));
    for (int32_t i = 0; i < t->n_partition_by; i++) {
        sm_buf_printf(&in->text, "\npartitioned by %.*s", SM_STR_ARG(t->partition_by[i]));
    }
    sm_json_begin_array(&w);
    SM_TRY(put_asked(r, in, &w, e));
    sm_json_end_array(&w);
    SM_TRY(put_contract(r, t, in, e));
    for (int32_t i = 0; i < r->n_made; i++) {
        const int32_t view = r->order[i];
        if (smi_flow_is_watched(r, task, view)) {
            sm_buf_printf(&in->text, "\njudges %.*s", SM_STR_ARG(r->p->tasks[view].name));
            SM_TRY(put_contract(r, &r->p->tasks[view], in, e));
        }
    }
    return SM_OK;
}

void smi_flow_inputs_release(smi_flow_inputs *in)
{
    sm_buf_release(&in->json);
    sm_buf_release(&in->text);
}
