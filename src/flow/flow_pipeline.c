/* SPDX-License-Identifier: Apache-2.0
 *
 * flow/flow_pipeline.c: opens and closes pipelines. flow_yaml.c reads the file, flow_graph.c puts
 * the tasks in order. */
#include "flow/flow_int.h"

sm_status sm_pipeline_open(sm_stores *stores, sm_str path, sm_pipeline **out, sm_error *e)
{
    sm_pipeline *p = sm_alloc_zero(sizeof(*p));

    p->arena = sm_arena_new(NULL);
    p->path = sm_arena_str(p->arena, path);
    p->stores = stores;
    sm_status st = smi_flow_yaml_read(p, e);
    if (st == SM_OK) {
        st = smi_flow_graph_order(p, e);
    }
    if (st != SM_OK) {
        sm_pipeline_close(p);
        return st;
    }
    p->stores = NULL;
    *out = p;
    return SM_OK;
}

void sm_pipeline_close(sm_pipeline *p)
{
    if (p) {
        sm_arena_free(p->arena);
        sm_free(p);
    }
}

sm_str sm_pipeline_name(const sm_pipeline *p)
{
    return p->name;
}

int32_t sm_pipeline_tasks(const sm_pipeline *p)
{
    return p->n_tasks;
}

sm_str sm_pipeline_task_name(const sm_pipeline *p, int32_t i)
{
    return p->tasks[i].name;
}

sm_task_kind sm_pipeline_task_kind(const sm_pipeline *p, int32_t i)
{
    return p->tasks[i].kind;
}
