/* SPDX-License-Identifier: Apache-2.0
 *
 * flow/flow_page.c: all verdicts of a run as one page of HTML (sm_run_opts.wants_page). The page
 * itself is the contract room's (contract_page.c).
 *
 * Calls    smi_flow_page_profile() where a verdict is made, while its rows can still be read, of a
 *          candidate that fails too; smi_flow_page_print() at the end of the run, whatever became
 *          of it.
 * Rows     that are drawn are those that the run has written, or all of a view: of rows that left,
 *          and of those that were there before, there is no bar.
 * Cost     the passes of sm_contract_profile() over these rows, which lie in storage already. They
 *          are no part of the write: what is drawn depends on the least and greatest value. */
#include "base/time.h"
#include "flow/flow_int.h"

void smi_flow_page_profile(smi_flow_guard *g, const sm_plan_node *rows, sm_verdict *v)
{
    sm_run *r = g->run;
    const smi_flow_task *t = &r->p->tasks[g->task];
    sm_error why = {0};

    v->now_us = sm_now_us();
    if (!r->opts->wants_page) {
        return;
    }
    const sm_audit in = {.contract = t->contract->model,
                         .table = t->contracted,
                         .rows = rows,
                         .names = g->resolver,
                         .env = r->env};
    const smi_flow_asked asked = smi_flow_asked_keep(r);
    smi_flow_asking_reset(&g->asking);
    if (sm_contract_profile(&in, r->arena, &v->profile, &why) != SM_OK) {
        smi_flow_report_warn(r, "the columns of %.*s are not drawn: %s", SM_STR_ARG(t->name),
                             why.what);
    }
    smi_flow_asked_restore(r, &asked);
}

static sm_str place_of(const sm_run *r, const smi_flow_task *t)
{
    sm_str uri = {0};

    if (t->kind == SM_TASK_VIEW || sm_names_uri(r->names, t->name, r->arena, &uri, NULL) != SM_OK) {
        return SM_STR("a view");
    }
    return uri;
}

void smi_flow_page_print(sm_run *r)
{
    sm_page_table *tables = SM_NEW_ARRAY(r->arena, sm_page_table, r->p->n_tasks);
    const char *told = r->phase == SMI_RUN_PUBLISHED ? "The run has published its tables."
                       : r->phase == SMI_RUN_MAKING  ? "The run has published nothing."
                                                     : "The run has failed.";
    sm_buf page = {0};
    int32_t n = 0;

    if (!r->opts->wants_page || !r->tasks) {
        return;
    }
    for (int32_t i = 0; i < r->p->n_tasks; i++) {
        if (r->tasks[i].judged) {
            tables[n++] =
                (sm_page_table){.verdict = r->tasks[i].judged, .uri = place_of(r, &r->p->tasks[i])};
        }
    }
    told = n > 0 ? told : sm_arena_printf(r->arena, "%s It has judged no table.", told);
    SM_ASSERT(r->id.len > 0 && r->report->page.len == 0);
    sm_verdict_page(r->id, sm_str_of(told), tables, n, &page);
    r->report->page = sm_arena_take(r->report->arena, &page);
}
