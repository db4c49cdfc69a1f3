/* SPDX-License-Identifier: Apache-2.0
 *
 * flow/flow_upkeep.c: tasks that join the files of a table of the lake (sm_table_optimize), or
 * delete those that no version needs any more (sm_table_vacuum). Called by flow_run.c, after the
 * run's tables are published. The rows stay the same, so no task is done again for it, and what
 * they fail with takes nothing back. */
#include "flow/flow_int.h"

sm_status smi_flow_optimize_run(sm_run *r, int32_t task, sm_error *e)
{
    const smi_flow_task *t = &r->p->tasks[task];
    sm_optimize o = {.target_bytes = t->target_bytes};

    SM_ASSERT(r->phase == SMI_RUN_PUBLISHED && t->from.len > 0);
    SM_TRY(sm_names_uri(r->names, t->from, r->arena, &o.uri, e));
    return sm_table_optimize(&o, r->env, &r->tasks[task].optimized, e);
}

sm_status smi_flow_vacuum_run(sm_run *r, int32_t task, sm_error *e)
{
    const smi_flow_task *t = &r->p->tasks[task];
    sm_vacuum_report *out = &r->tasks[task].vacuumed;
    sm_vacuum v = {.retention_us = t->retain_us};

    SM_ASSERT(r->phase == SMI_RUN_PUBLISHED && t->from.len > 0);
    SM_TRY(sm_names_uri(r->names, t->from, r->arena, &v.uri, e));
    sm_arena *a = sm_arena_new(r->env->budget);
    const sm_status st = sm_table_vacuum(r->env->stores, &v, r->env->budget, a, out, e);
    out->files = NULL; /* they live in `a` */
    sm_arena_free(a);
    return st;
}
