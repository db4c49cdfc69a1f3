/* SPDX-License-Identifier: Apache-2.0
 *
 * flow/flow_rollback.c: takes back what a run has published: its tables and quarantines have the
 * rows of the versions before it again. Called by `smelt rollback`.
 *
 * Which    Tables whose log has a commit with the run's id. Those of the pipeline's file as it is
 *          now, in the lake that the run's variables name.
 * Later    From the newest version back to the run's: a RESTORE leads to the version that it
 *          brought back; sorting, joining and vacuuming keep the rows. Anything else was written
 *          on top of the run's rows, and would be lost: then nothing is done, for the tables of a
 *          run belong together. Where the way leads to a version before the run's, it is taken
 *          back already.
 * First    A version 0 has none before it: a table that the run made is not taken back.
 * Method   One publication of RESTOREs (sm_tables_restore): all or none. A load after it continues
 *          from the books of the version that is restored, and loads the run's files again. */
#include <inttypes.h>

#include "flow/flow_int.h"

#define MOST_TOLD 4

typedef struct rollback {
    sm_run *run;
    sm_arena *arena;
    sm_store **stores;
    sm_rolled_back *tables;
    int32_t n;
    sm_buf later; /* tables that somebody wrote later, and by what */
    int32_t n_later;
} rollback;

/* ---- which tables ---------------------------------------------------------------------------- */

static bool is_known(const rollback *b, sm_str name)
{
    bool is = false;

    for (int32_t i = 0; i < b->n && !is; i++) {
        is = sm_str_eq(b->tables[i].table, name);
    }
    return is;
}

static sm_status add_table(rollback *b, sm_str name, sm_error *e)
{
    sm_str uri = {0};
    sm_store *store = NULL;
    int64_t version = -1;

    if (name.len == 0 || is_known(b, name)) {
        return SM_OK;
    }
    SM_TRY(sm_names_uri(b->run->names, name, b->arena, &uri, e));
    SM_TRY(sm_store_open(b->run->env->stores, uri, &store, e));
    const sm_status st = smi_flow_find_commit(b->run, store, &version, e);
    if (st != SM_OK || version < 0) {
        sm_store_release(store);
        return st;
    }
    b->stores[b->n] = store;
    b->tables[b->n++] = (sm_rolled_back){.table = name, .version = version, .made = -1};
    return SM_OK;
}

static sm_status find_tables(rollback *b, sm_error *e)
{
    const sm_pipeline *p = b->run->p;
    const int32_t most = p->n_sources + 2 * p->n_tasks;

    b->stores = SM_NEW_ARRAY(b->arena, sm_store *, most);
    b->tables = SM_NEW_ARRAY(b->arena, sm_rolled_back, most);
    for (int32_t i = 0; i < p->n_sources; i++) {
        SM_TRY(add_table(b, p->sources[i].quarantine, e));
    }
    for (int32_t i = 0; i < p->n_tasks; i++) {
        const smi_flow_task *t = &p->tasks[i];
        if (t->kind == SM_TASK_TABLE || t->kind == SM_TASK_LOAD) {
            SM_TRY(add_table(b, t->quarantine, e));
            SM_TRY(add_table(b, t->name, e));
        }
    }
    SM_ASSERT(b->n <= most);
    if (b->n > 0) {
        return SM_OK;
    }
    const sm_status st =
        sm_fail(e, SM_NOT_FOUND, "run %.*s has published nothing that is in the lake",
                SM_STR_ARG(b->run->id));
    sm_error_place_str(e, sm_names_lake(b->run->names), 0, -1);
    return st;
}

/* ---- what came later ------------------------------------------------------------------------- */

static bool keeps_rows(const sm_delta_commit_info *info)
{
    return sm_str_is(info->operation, "OPTIMIZE") ||
           sm_str_starts(info->operation, SM_STR("VACUUM"));
}

static void note_later(rollback *b, sm_str table, const sm_delta_commit_info *info, sm_arena *a)
{
    const sm_json *metadata = NULL;
    sm_error unused = {0};
    sm_str run = {0};

    if (sm_json_parse(info->user_metadata, a, &metadata, &unused) == SM_OK) {
        run = sm_json_text(sm_json_get(metadata, "run"));
    }
    if (b->n_later++ < MOST_TOLD) {
        sm_buf_printf(&b->later, "%s%.*s by %s%.*s", b->n_later > 1 ? ", " : "", SM_STR_ARG(table),
                      run.len ? "run " : "", SM_STR_ARG(run.len ? run : info->operation));
    }
}

/* Goes back from the newest version of table i to the run's. */
static sm_status look_at_later(rollback *b, int32_t i, sm_error *e)
{
    sm_store *store = b->stores[i];
    sm_snapshot *now = NULL;
    sm_delta_commit_info info;
    int64_t txn = -1;
    sm_status st = SM_OK;

    SM_TRY(sm_snapshot_open_head(store, SM_VERSION_LATEST, b->run->env->budget, &now, e));
    int64_t at = sm_snapshot_version(now);
    sm_snapshot_release(now);
    SM_ASSERT(at >= b->tables[i].version);
    while (st == SM_OK && at > b->tables[i].version) {
        sm_arena *scratch = sm_arena_new(b->run->env->budget);
        st = sm_delta_info_read(store, at, SM_STR(""), scratch, &info, &txn, e);
        if (st == SM_OK && sm_delta_effect_of(&info) == SM_DELTA_RESTORES) {
            st = sm_delta_restored_version(store, &info, b->run->env->budget, &at, e);
        } else if (st == SM_OK && keeps_rows(&info)) {
            at--;
        } else if (st == SM_OK) {
            note_later(b, b->tables[i].table, &info, scratch);
            at = b->tables[i].version;
        }
        sm_arena_free(scratch);
    }
    b->tables[i].is_same = at < b->tables[i].version;
    return sm_within(e, st, "table %.*s", SM_STR_ARG(b->tables[i].table));
}

static sm_status check_tables(rollback *b, sm_error *e)
{
    for (int32_t i = 0; i < b->n; i++) {
        SM_TRY(look_at_later(b, i, e));
        b->tables[i].to = b->tables[i].version - 1;
        if (b->tables[i].version == 0) {
            sm_fail(e, SM_UNSUPPORTED, "run %.*s has made the table %.*s: no version is before it",
                    SM_STR_ARG(b->run->id), SM_STR_ARG(b->tables[i].table));
            sm_error_todo(e, "Nothing was done. Delete what the run made, or clear the run.");
            return SM_UNSUPPORTED;
        }
    }
    if (b->n_later == 0) {
        return SM_OK;
    }
    sm_fail(e, SM_CONFLICT, "written after run %.*s: %.*s%s", SM_STR_ARG(b->run->id),
            SM_STR_ARG(sm_buf_str(&b->later)), b->n_later > MOST_TOLD ? ", ..." : "");
    sm_error_todo(e, "Nothing was done. Roll back the later runs first, the latest before others.");
    return SM_CONFLICT;
}

/* ---- taking it back -------------------------------------------------------------------------- */

static sm_status restore(rollback *b, bool is_trial, sm_error *e)
{
    sm_store **stores = SM_NEW_ARRAY(b->arena, sm_store *, b->n);
    sm_restore *opts = SM_NEW_ARRAY(b->arena, sm_restore, b->n);
    sm_restored *done = SM_NEW_ARRAY(b->arena, sm_restored, b->n);
    int32_t n = 0;

    for (int32_t i = 0; i < b->n; i++) {
        if (!b->tables[i].is_same) {
            opts[n] = (sm_restore){.at = {.kind = SM_AT_VERSION, .version = b->tables[i].to},
                                   .is_trial = is_trial};
            stores[n++] = b->stores[i];
        }
    }
    if (n == 0) {
        return SM_OK;
    }
    SM_ASSERT(n <= b->n && b->n_later == 0);
    SM_TRY(sm_tables_restore(stores, opts, n, b->run->env->budget, done, e));
    for (int32_t i = 0, k = 0; i < b->n; i++) {
        if (!b->tables[i].is_same) {
            b->tables[i].made = done[k++].made;
        }
    }
    return SM_OK;
}

sm_status sm_run_roll_back(sm_run *r, bool is_trial, sm_arena *a, sm_rolled_back **out, int32_t *n,
                           sm_error *e)
{
    rollback b = {.run = r, .arena = a};

    SM_ASSERT(r->opts->earlier.since_us > 0 && r->opts->run_id.len > 0);
    sm_status st = find_tables(&b, e);
    st = st == SM_OK ? check_tables(&b, e) : st;
    st = st == SM_OK ? restore(&b, is_trial, e) : st;
    for (int32_t i = 0; i < b.n; i++) {
        sm_store_release(b.stores[i]);
    }
    sm_buf_release(&b.later);
    *out = b.tables;
    *n = b.n;
    return st;
}
