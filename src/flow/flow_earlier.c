/* SPDX-License-Identifier: Apache-2.0
 *
 * flow/flow_earlier.c: what an earlier process of this run has finished, which is left out then.
 * Called by flow_run.c, after the lake is settled.
 *
 * Method   A publication is all or none. So one commit with the run's id, in the log of any of its
 *          tables, says that all of them are published: the lake itself remembers, whenever the
 *          process was killed. The tasks that make tables are left out then, and of those behind
 *          the publication the ones that succeeded. A command that succeeded is not done again in
 *          any case. A run that published nothing, for nothing had changed, is done again, and
 *          finds so again.
 * Cleared  A run that was asked for anew keeps its id; commits from before that do not count. */
#include "flow/flow_int.h"

typedef struct search {
    const sm_run *run;
    sm_arena *scratch;
    int64_t version; /* of its newest commit; −1: it has none */
} search;

static sm_status look_at(void *ctx, const sm_delta_commit_info *info, sm_error *e)
{
    search *s = ctx;
    const sm_json *metadata = NULL;
    sm_error unused = {0};

    (void)e;
    SM_ASSERT(s->version < 0 && s->run->opts->earlier.since_us > 0);
    if (info->timestamp_ms < s->run->opts->earlier.since_us / 1000) {
        return SM_END;
    }
    sm_arena_reset(s->scratch);
    const bool is_its =
        sm_json_parse(info->user_metadata, s->scratch, &metadata, &unused) == SM_OK &&
        sm_str_eq(sm_json_text(sm_json_get(metadata, "run")), s->run->id) &&
        !sm_str_is(info->operation, "OPTIMIZE");
    s->version = is_its ? info->version : -1;
    return is_its ? SM_END : SM_OK;
}

sm_status smi_flow_find_commit(const sm_run *r, sm_store *table, int64_t *version, sm_error *e)
{
    search s = {.run = r, .scratch = sm_arena_new(r->env->budget), .version = -1};
    const sm_status st = sm_delta_history_each(table, -1, r->env->budget, look_at, &s, e);

    sm_arena_free(s.scratch);
    *version = s.version;
    return st == SM_END || st == SM_NOT_FOUND ? SM_OK : st; /* no table yet */
}

static sm_status search_table(sm_run *r, int32_t task, bool *is_found, sm_error *e)
{
    sm_store *store = NULL;
    sm_str uri = {0};
    int64_t version = -1;

    SM_ASSERT(r->tasks[task].is_chosen && !r->p->tasks[task].is_after);
    SM_TRY(sm_names_uri(r->names, r->p->tasks[task].name, r->arena, &uri, e));
    SM_TRY(sm_store_open(r->env->stores, uri, &store, e));
    const sm_status st = smi_flow_find_commit(r, store, &version, e);
    sm_store_release(store);
    *is_found = version >= 0;
    return st;
}

static bool is_done(const sm_run_earlier *earlier, sm_str task)
{
    bool is = false;

    for (int32_t i = 0; i < earlier->n_done && !is; i++) {
        is = sm_str_eq(earlier->done[i], task);
    }
    return is;
}

sm_status smi_flow_leave_out_done(sm_run *r, sm_error *e)
{
    bool is_published = false;

    SM_ASSERT(r->n_steps == 0); /* which are made of the tasks that are left */
    for (int32_t i = 0; i < r->p->n_tasks && r->opts->earlier.since_us > 0; i++) {
        const sm_task_kind kind = r->p->tasks[i].kind;
        if (!is_published && r->tasks[i].is_chosen &&
            (kind == SM_TASK_TABLE || kind == SM_TASK_LOAD)) {
            SM_TRY(search_table(r, i, &is_published, e));
        }
    }
    for (int32_t i = 0; i < r->p->n_tasks; i++) {
        const smi_flow_task *t = &r->p->tasks[i];
        const bool is_before = is_published && !t->is_after;
        const bool is_noted = (is_published || t->command) && is_done(&r->opts->earlier, t->name);
        r->tasks[i].is_chosen = r->tasks[i].is_chosen && !is_before && !is_noted;
    }
    if (is_published) {
        smi_flow_report_warn(r, "an earlier process of this run has published its tables; what it "
                                "had finished is not done again");
    }
    return SM_OK;
}
