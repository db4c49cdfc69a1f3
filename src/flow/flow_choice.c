/* SPDX-License-Identifier: Apache-2.0
 *
 * flow/flow_choice.c: which tasks a run does (--select), and which of their tables it makes anew
 * (--full-refresh). Called by flow_run.c. */
#include "base/text.h"
#include "flow/flow_int.h"

bool smi_flow_is_refreshed(const sm_run *r, int32_t task)
{
    return r->opts->refresh.len > 0 && sm_str_eq_nocase(r->opts->refresh, r->p->tasks[task].name);
}

bool smi_flow_is_source_refreshed(const sm_run *r, const smi_flow_source_state *s)
{
    for (int32_t i = 0; i < r->p->n_tasks; i++) {
        if (r->tasks[i].is_chosen && r->p->tasks[i].source == s - r->sources &&
            smi_flow_is_refreshed(r, i)) {
            return true;
        }
    }
    return false;
}

/* The quarantine of a source is made anew with a load of it, so rows of another load would be lost
 * that its rules have put there. */
static sm_status check_shared(const sm_run *r, int32_t task, sm_error *e)
{
    const smi_flow_task *t = &r->p->tasks[task];

    for (int32_t i = 0; i < r->p->n_tasks && t->source >= 0; i++) {
        const smi_flow_task *other = &r->p->tasks[i];
        if (i != task && other->source == t->source && other->quarantine.len > 0) {
            const sm_status st =
                sm_fail(e, SM_UNSUPPORTED, "%.*s has rows that the rules of %.*s took",
                        SM_STR_ARG(other->quarantine), SM_STR_ARG(other->name));
            sm_error_todo(e, "A full refresh of another load of the source would lose them.");
            return st;
        }
    }
    return SM_OK;
}

static sm_status check_refresh(const sm_run *r, sm_error *e)
{
    const sm_pipeline *p = r->p;
    sm_str *names = SM_NEW_ARRAY(r->arena, sm_str, p->n_tasks);
    int32_t n = 0;

    for (int32_t i = 0; i < p->n_tasks; i++) {
        const bool is_table = p->tasks[i].kind == SM_TASK_LOAD || p->tasks[i].kind == SM_TASK_TABLE;
        if (is_table && r->tasks[i].is_chosen && smi_flow_is_refreshed(r, i)) {
            return check_shared(r, i, e);
        }
        if (is_table && r->tasks[i].is_chosen) {
            names[n++] = p->tasks[i].name;
        }
    }
    if (r->opts->refresh.len == 0) {
        return SM_OK;
    }
    const sm_status st = sm_fail(e, SM_USAGE, "no task of this run makes the table \"%.*s\"",
                                 SM_STR_ARG(r->opts->refresh));
    const char *near = sm_nearest_name(r->opts->refresh, names, n);
    if (near) {
        sm_error_todo(e, "Did you mean \"%s\"?", near);
    }
    return st;
}

sm_status smi_flow_choose_tasks(sm_run *r, sm_error *e)
{
    bool *chosen = NULL;

    r->tasks = SM_NEW_ARRAY(r->arena, smi_flow_task_state, r->p->n_tasks);
    SM_TRY(sm_pipeline_select(r->p, r->opts->task, r->arena, &chosen, e));
    for (int32_t i = 0; i < r->p->n_tasks; i++) {
        r->tasks[i].is_chosen = chosen[i];
        r->tasks[i].n_rows_before = -1;
        r->tasks[i].judged_by = -1;
    }
    return check_refresh(r, e);
}
