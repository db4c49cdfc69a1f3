/* SPDX-License-Identifier: Apache-2.0
 *
 * flow/flow_kept.c: a table that does not keep its contract stays as a candidate, to be looked at,
 * until the table is published. Called by flow_run.c; table_kept.c does it.
 *
 * Only the table that failed is kept: what the run made of others is as good as new when it runs
 * again. Its note says what it would have said, so that the files of a load are not loaded twice
 * where the candidate is published later. */
#include <string.h>

#include "base/time.h"
#include "flow/flow_int.h"

/* Behind the advice that is there. */
static void advise(sm_error *e, const char *text)
{
    char before[sizeof(e->todo)];

    if (e) {
        memcpy(before, e->todo, sizeof(before));
        e->todo[0] = '\0';
        sm_error_todo(e, "%s%s%s", before, before[0] ? " " : "", text);
    }
}

void smi_flow_keep(sm_run *r, int32_t task, sm_error *e)
{
    const smi_flow_task *t = &r->p->tasks[task];
    const smi_flow_task_state *state = &r->tasks[task];
    sm_error why = {0};
    bool is_kept = false;

    if (!state->candidate || !state->verdict || state->verdict->outcome != SM_OUTCOME_FAILED) {
        return;
    }
    SM_ASSERT(t->contract && t->contracted);
    SM_ASSERT(state->phase == SMI_TASK_RUNNING);
    const sm_keeping k = {
        .run = r->id,
        .contract = t->contract->name,
        .hash = t->contract->hash,
        .report = sm_arena_strf(r->arena, "[%.*s]", SM_STR_ARG(state->verdict->json)),
        /* They would be in the quarantine of the run, which is not published. */
        .n_left = state->verdict->n_quarantined,
        .now_us = sm_now_us(),
    };
    const sm_status st = sm_candidate_keep(state->candidate, &k, r->env->budget, &is_kept, &why);
    if (st != SM_OK) {
        advise(e, sm_arena_printf(r->arena, "Its rows are not kept: %s.", why.what));
        SM_ASSERT(!is_kept);
    } else if (is_kept) {
        advise(e, sm_arena_printf(r->arena, "Its rows are kept for 7 days: candidate.%.*s in SQL.",
                                  SM_STR_ARG(t->name)));
    }
}

void smi_flow_drop_kept(sm_run *r)
{
    SM_ASSERT(r->phase != SMI_RUN_MAKING);
    for (int32_t i = 0; i < r->p->n_tasks; i++) {
        const smi_flow_task *t = &r->p->tasks[i];
        const sm_candidate *c = r->tasks[i].candidate;
        sm_error e = {0};
        if (!t->contract || !c || sm_candidate_is_empty(c)) {
            continue;
        }
        const sm_status st =
            sm_kept_drop(r->env->stores, sm_names_lake(r->names), t->name, r->env->budget, &e);
        if (st != SM_OK) {
            smi_flow_report_warn(r, "the candidate of %.*s that is kept could not be deleted: %s",
                                 SM_STR_ARG(t->name), e.what);
        }
    }
}
