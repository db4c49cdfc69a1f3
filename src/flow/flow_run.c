/* SPDX-License-Identifier: Apache-2.0
 *
 * flow/flow_run.c: runs a pipeline.
 *
 * A run     gives the variables their values, makes the names that SQL sees (variables, views, the
 *           lake), then does the chosen tasks in their order, each into a candidate that later
 *           tasks see; then the quarantines; and publishes all in one go, quarantines first, then
 *           in the order of the tasks. A failure before that publishes nothing. Tables elsewhere
 *           come last: they are made over what is then in the lake.
 * Sources   are opened when the first task asks for them (flow_plan.c): their files are listed and
 *           those of the window chosen; the others are never opened.
 * Killed    before its publication is in the lake's journal: nothing was changed. After that: the
 *           next run into the lake completes it before it looks at a table. */
#include <inttypes.h>
#include <stdio.h>

#include "base/random.h"
#include "base/text.h"
#include "base/time.h"
#include "flow/flow_int.h"

/* {"pipeline": …, "month": …, "run": …[, "inputs": …]}: for people and tools that read history. */
sm_str smi_flow_metadata_with(const smi_flow_run *r, sm_str inputs)
{
    sm_buf text = {0};
    sm_json_writer w = {.out = &text};

    sm_json_begin_object(&w);
    sm_json_set_text(&w, "pipeline", r->p->name);
    for (int32_t i = 0; i < r->p->n_vars; i++) {
        if (r->p->vars[i].type == SMI_VAR_MONTH) {
            sm_json_set_text(&w, "month", r->vars[i].as.s);
            break;
        }
    }
    sm_json_set_text(&w, "run", r->id);
    if (inputs.len) {
        sm_json_set_raw(&w, "inputs", inputs);
    }
    sm_json_end_object(&w);
    const sm_str out = sm_arena_str(r->arena, sm_buf_str(&text));
    sm_buf_release(&text);
    return out;
}

sm_str smi_flow_metadata(const smi_flow_run *r)
{
    return smi_flow_metadata_with(r, SM_STR(""));
}

/* ---- tasks ---------------------------------------------------------------------------------- */

static sm_status run_task(smi_flow_run *r, int32_t i, sm_error *e)
{
    const smi_flow_task *t = &r->p->tasks[i];
    smi_flow_task_state *state = &r->tasks[i];
    const int64_t start = sm_monotonic_ns();
    sm_status st = SM_OK;
    char date[SM_TIME_TEXT_BYTES];

    if (t->kind == SM_TASK_LOAD) {
        st = smi_flow_load_run(r, i, e);
    } else if (t->kind == SM_TASK_TABLE) {
        st = smi_flow_table_run(r, i, e);
    } else if (t->kind == SM_TASK_PUBLISH) {
        st = smi_flow_publish_run(r, i, e);
    }
    if (st == SM_OK && state->candidate) {
        sm_names_set_candidate(r->names, t->name, state->candidate);
    }
    state->wall_ns = sm_monotonic_ns() - start;
    if (st == SM_OK && t->kind == SM_TASK_PUBLISH) {
        smi_flow_report_published(r, i);
    }
    sm_format_date(r->opts->logical_date, date);
    return sm_within(e, st, "task %.*s, run %s of pipeline %.*s", SM_STR_ARG(t->name), date,
                     SM_STR_ARG(r->p->name));
}

/* Of a run, who is told as each task begins. */
typedef struct listener {
    void (*on_task)(void *ctx, sm_str name, int32_t i, int32_t n);
    void *ctx;
    int32_t n_told;
} listener;

/* The chosen tasks in their order: those that make tables, or those that publish them. */
static sm_status run_tasks(smi_flow_run *r, bool publishing, listener *l, sm_error *e)
{
    int32_t n = 0;

    for (int32_t i = 0; i < r->p->n_tasks; i++) {
        n += r->tasks[i].is_chosen;
    }
    for (int32_t i = 0; i < r->p->n_tasks; i++) {
        const bool is_published = r->p->tasks[i].kind == SM_TASK_PUBLISH;
        if (!r->tasks[i].is_chosen || is_published != publishing) {
            continue;
        }
        if (l->on_task) {
            l->on_task(l->ctx, r->p->tasks[i].name, l->n_told, n);
        }
        l->n_told++;
        SM_TRY(run_task(r, i, e));
    }
    return SM_OK;
}

static sm_status make_tables(smi_flow_run *r, listener *l, sm_error *e)
{
    SM_TRY(run_tasks(r, false, l, e));
    for (int32_t i = 0; i < r->p->n_sources; i++) {
        SM_TRY(smi_flow_quarantine_finish(r, &r->sources[i], e));
    }
    return SM_OK;
}

/* ---- publishing ----------------------------------------------------------------------------- */

static sm_status publish(smi_flow_run *r, sm_error *e)
{
    sm_candidate **order = SM_NEW_ARRAY(r->arena, sm_candidate *, r->p->n_sources + r->p->n_tasks);
    int64_t *versions = SM_NEW_ARRAY(r->arena, int64_t, r->p->n_sources + r->p->n_tasks);
    int32_t n = 0;

    for (int32_t i = 0; i < r->p->n_sources; i++) {
        if (r->sources[i].quarantine.candidate) {
            order[n++] = r->sources[i].quarantine.candidate;
        }
    }
    for (int32_t i = 0; i < r->p->n_tasks; i++) {
        if (r->tasks[i].candidate) {
            order[n++] = r->tasks[i].candidate;
        }
    }
    if (sm_cancel_is_set(r->env->cancel)) {
        return sm_fail(e, SM_INTERRUPTED, "interrupted; nothing was published");
    }
    const sm_status st = sm_publish(order, n, r->env->budget, versions, e);
    smi_flow_report_tables(r, order, versions, n);
    return st;
}

/* ---- a run ---------------------------------------------------------------------------------- */

/* What a run before this one has left open comes first: tables are read as they are after it. */
static sm_status settle_lake(smi_flow_run *r, sm_error *e)
{
    sm_str told = {0};

    SM_TRY(sm_lake_settle(r->env->stores, sm_names_lake(r->names), r->env->budget, r->arena, &told,
                          e));
    if (told.len > 0) {
        smi_flow_report_warn(r, "%.*s", SM_STR_ARG(told));
    }
    return SM_OK;
}

static void name_run(smi_flow_run *r)
{
    char date[SM_TIME_TEXT_BYTES];
    uint32_t random = 0;

    sm_random_bytes(&random, sizeof(random));
    sm_format_date(r->opts->logical_date, date);
    r->id = r->opts->run_id.len ? sm_arena_str(r->arena, r->opts->run_id)
                                : sm_arena_strf(r->arena, "%.*s-%s-%08" PRIx32,
                                                SM_STR_ARG(r->p->name), date, random);
}

static sm_status prepare(smi_flow_run *r, sm_error *e)
{
    name_run(r);
    r->counted = sm_map_new(r->arena);
    SM_TRY(smi_flow_variables_bind(r, e));
    SM_TRY(smi_flow_choose_tasks(r, e));
    smi_flow_sources_init(r);
    r->names = smi_flow_names(r);
    SM_TRY(smi_flow_publish_check(r, e));
    return smi_flow_connect(r, e);
}

static void release(smi_flow_run *r)
{
    sm_buf_release(&r->asked.text);
    sm_names_free(r->names);
    for (int32_t i = 0; r->tasks && i < r->p->n_tasks; i++) {
        sm_candidate_release(r->tasks[i].candidate);
    }
    for (int32_t i = 0; r->sources && i < r->p->n_sources; i++) {
        smi_flow_quarantine_release(&r->sources[i].quarantine);
        sm_files_release(&r->sources[i].found);
    }
    sm_arena_free(r->arena);
}

sm_status sm_pipeline_run(sm_pipeline *p, const sm_run_opts *opts, const sm_exec_env *env,
                          void (*on_task)(void *ctx, sm_str name, int32_t i, int32_t n), void *ctx,
                          sm_run_report *report, sm_error *e)
{
    sm_exec_env own = *env; /* its connections are no other run's */
    own.stores = sm_stores_below(env->stores);
    smi_flow_run r = {.p = p,
                      .opts = opts,
                      .env = &own,
                      .arena = sm_arena_new(env->budget),
                      .start_us = sm_now_us(),
                      .start_ns = sm_monotonic_ns(),
                      .report = report};

    listener l = {.on_task = on_task, .ctx = ctx};
    *report = (sm_run_report){.arena = sm_arena_new(NULL)};
    sm_status st = prepare(&r, e);
    if (st == SM_OK) {
        st = settle_lake(&r, e);
    }
    if (st == SM_OK) {
        st = make_tables(&r, &l, e);
        if (st == SM_INTERRUPTED) {
            sm_error_todo(e, "Nothing was published; the same run again does it all.");
        }
        smi_flow_report_sources(&r, st == SM_OK);
    }
    if (st == SM_OK) {
        st = publish(&r, e);
    }
    if (st == SM_OK) {
        st = run_tasks(&r, true, &l, e);
    }
    release(&r);
    report->wall_ns = sm_monotonic_ns() - r.start_ns;
    report->peak_bytes = sm_peak_bytes();
    report->held_bytes = (int64_t)sm_budget_peak(env->budget);
    report->network = sm_stores_network_count(own.stores);
    sm_stores_release(own.stores);
    return st;
}
