/* SPDX-License-Identifier: Apache-2.0
 *
 * flow/flow_pipeline.c: opens and closes pipelines. flow_yaml.c reads the file, flow_graph.c puts
 * the tasks in order. */
#include "flow/flow_int.h"

/* What a run takes for granted: each number that names something else is in its range, and each
 * kind of task has what its work needs. */
static void check_pipeline(const sm_pipeline *p)
{
    SM_ASSERT(p->n_tasks > 0 && p->n_sources <= SMI_MAX_SOURCES);
    SM_ASSERT(p->lake >= 0 && p->lake < p->n_vars);
    for (int32_t i = 0; i < p->n_vars; i++) {
        const smi_flow_var *v = &p->vars[i];
        SM_ASSERT(v->connection < 0 || (v->connection < p->n_connections &&
                                        p->connections[v->connection].server == SMI_SERVER_S3));
    }
    for (int32_t i = 0; i < p->n_sources; i++) {
        SM_ASSERT(p->sources[i].var < p->n_vars && p->sources[i].period < p->n_vars);
    }
    for (int32_t i = 0; i < p->n_tasks; i++) {
        const smi_flow_task *t = &p->tasks[i];
        SM_ASSERT((t->kind == SM_TASK_LOAD) == (t->source >= 0) && t->source < p->n_sources);
        SM_ASSERT((t->kind == SM_TASK_LOAD) == (t->by.len > 0));
        SM_ASSERT((t->kind == SM_TASK_PUBLISH) == (t->connection >= 0));
        SM_ASSERT((t->kind == SM_TASK_CLUSTER) == (t->n_columns > 0));
        SM_ASSERT((t->kind == SM_TASK_COMMAND) == (t->command != NULL));
        SM_ASSERT(t->from.len == 0 || t->is_after);
        SM_ASSERT((t->from.len > 0 || t->command) == (t->sql.text.data == NULL));
        SM_ASSERT(t->timeout_us >= 0);
        SM_ASSERT(t->replace < 0 || (t->kind == SM_TASK_TABLE && t->replace < p->n_vars));
        SM_ASSERT(t->append < 0 || (t->kind == SM_TASK_TABLE && t->replace < 0));
    }
}

sm_status sm_pipeline_open(sm_stores *stores, sm_str path, sm_pipeline **out, sm_error *e)
{
    sm_pipeline *p = sm_alloc_zero(sizeof(*p));

    p->arena = sm_arena_new(NULL);
    p->path = sm_arena_str(p->arena, path);
    p->stores = stores;
    sm_status st = smi_flow_yaml_read(p, e);
    if (st == SM_OK) {
        st = smi_flow_quarantine_name(p, e);
    }
    if (st == SM_OK) {
        st = smi_flow_graph_order(p, e);
    }
    if (st != SM_OK) {
        sm_pipeline_close(p);
        return st;
    }
    check_pipeline(p);
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
    SM_ASSERT(i >= 0 && i < p->n_tasks);
    return p->tasks[i].name;
}

sm_task_text sm_pipeline_task_text(const sm_pipeline *p, int32_t i)
{
    SM_ASSERT(i >= 0 && i < p->n_tasks);
    const smi_flow_task *t = &p->tasks[i];

    return (sm_task_text){
        .sql = t->sql,
        .adds_columns = t->adds_columns,
        .contract = t->contract ? t->contract->name : SM_STR(""),
        .contracted = t->contract ? t->contracted->name : SM_STR(""),
    };
}

sm_task_kind sm_pipeline_task_kind(const sm_pipeline *p, int32_t i)
{
    SM_ASSERT(i >= 0 && i < p->n_tasks);
    return p->tasks[i].kind;
}

const char *sm_task_kind_name(sm_task_kind kind)
{
    static const char *const names[] = {
        [SM_TASK_VIEW] = "view",       [SM_TASK_TABLE] = "table",
        [SM_TASK_LOAD] = "load",       [SM_TASK_PUBLISH] = "publish",
        [SM_TASK_CLUSTER] = "cluster", [SM_TASK_OPTIMIZE] = "optimize",
        [SM_TASK_VACUUM] = "vacuum",   [SM_TASK_COMMAND] = "command",
    };

    SM_ASSERT((int)kind >= 0 && (int)kind < SM_COUNT(names));
    return names[kind];
}

sm_task_place sm_pipeline_task_place(const sm_pipeline *p, int32_t i)
{
    SM_ASSERT(i >= 0 && i < p->n_tasks);
    const smi_flow_task *t = &p->tasks[i];

    return (sm_task_place){
        .needs = t->needs,
        .n_needs = t->n_needs,
        .tags = t->tags,
        .n_tags = t->n_tags,
        .source = t->source >= 0 ? p->sources[t->source].name : SM_STR(""),
        .tries = t->tries,
        .timeout_us = t->timeout_us,
        .is_after = t->is_after,
    };
}

sm_pipeline_times sm_pipeline_schedule(const sm_pipeline *p)
{
    return (sm_pipeline_times){
        .text = p->schedule_text,
        .cron = p->schedule,
        .zone = p->zone,
        .catches_up = p->catches_up,
        .max_runs = p->max_runs,
        .after = p->after,
        .n_after = p->n_after,
    };
}

sm_task_tries sm_pipeline_tries(const sm_pipeline *p)
{
    return p->tries;
}

int64_t sm_pipeline_timeout(const sm_pipeline *p)
{
    return p->timeout_us;
}
