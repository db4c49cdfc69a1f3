/* SPDX-License-Identifier: Apache-2.0
 *
 * flow/flow_run.c: runs a pipeline.
 *
 * Open      gives the variables their values, chooses the tasks, makes the names that SQL sees
 *           (variables, views, the lake), connects to stores, and completes a publication that
 *           another run left open. What an earlier process of this run has finished is left out.
 * Tasks     each make a candidate, which later tasks read. A task that failed can run again: its
 *           candidate is released, and what it read of the sources is forgotten.
 * Broken    A table that does not keep its contract stays as a candidate (flow_kept.c).
 * Publish   ends the quarantines, then publishes all candidates in one go, quarantines first, then
 *           in the order of the tasks. A failure before that publishes nothing. Tables elsewhere
 *           and tasks that sort a table come last: they start from what is then in the lake.
 * Sources   are opened when the first task asks for them (flow_plan.c).
 * Killed    before its publication is in the lake's journal: nothing was changed. After that: the
 *           next run into the lake completes it before it looks at a table. */
#include <inttypes.h>
#include <string.h>

#include "base/random.h"
#include "base/time.h"
#include "flow/flow_int.h"

/* {"pipeline": …, "month": …, "run": …[, "inputs": …]}: for people and tools that read history. */
sm_str smi_flow_metadata_with(const sm_run *r, sm_str inputs)
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

sm_str smi_flow_metadata(const sm_run *r)
{
    return smi_flow_metadata_with(r, SM_STR(""));
}

/* ---- planning ------------------------------------------------------------------------------- */

#define DAY_US INT64_C(86400000000)

int32_t smi_flow_logical_day(const sm_run *r)
{
    const int64_t us = r->opts->interval.start_us;

    return (int32_t)(us / DAY_US - (us % DAY_US < 0));
}

/* The logical date as run ids and messages have it: "2022-04-30", with a time where it is not
 * midnight: "2022-04-30T06:00:00Z". */
static const char *logical_date(const sm_run *r, char text[SM_TIME_TEXT_BYTES])
{
    if (r->opts->interval.start_us % DAY_US == 0) {
        sm_format_date(smi_flow_logical_day(r), text);
        return text;
    }
    sm_format_instant(r->opts->interval.start_us, text);
    return text;
}

sm_str smi_flow_logical_date(const sm_run *r, sm_arena *a)
{
    char text[SM_TIME_TEXT_BYTES];

    return sm_arena_str(a, sm_str_of(logical_date(r, text)));
}

static void name_run(sm_run *r)
{
    char date[SM_TIME_TEXT_BYTES];
    uint32_t random = 0;

    sm_random_bytes(&random, sizeof(random));
    r->id = r->opts->run_id.len
                ? sm_arena_str(r->arena, r->opts->run_id)
                : sm_arena_strf(r->arena, "%.*s-%s-%08" PRIx32, SM_STR_ARG(r->p->name),
                                logical_date(r, date), random);
}

/* Of task t of the pipeline: its place among the steps, or −1 where the run does not do it. */
static int32_t step_of_task(const sm_run *r, int32_t t)
{
    for (int32_t i = 0; i < r->n_steps; i++) {
        if (r->order[i] == t) {
            return i;
        }
    }
    return -1;
}

static void add_steps(sm_run *r, bool is_after)
{
    for (int32_t i = 0; i < r->p->n_tasks; i++) {
        const smi_flow_task *t = &r->p->tasks[i];
        if (!r->tasks[i].is_chosen || t->is_after != is_after) {
            continue;
        }
        int32_t *needs = SM_NEW_ARRAY(r->arena, int32_t, t->n_needs);
        sm_run_step *step = &r->steps[r->n_steps];
        *step = (sm_run_step){.name = t->name, .kind = t->kind, .needs = needs};
        for (int32_t k = 0; k < t->n_needs; k++) {
            const int32_t need = step_of_task(r, t->needs[k]);
            SM_ASSERT(need >= 0 || !r->tasks[t->needs[k]].is_chosen);
            SM_ASSERT(need < r->n_steps); /* the step itself is added below */
            if (need >= 0) {
                needs[step->n_needs++] = need;
            }
        }
        r->order[r->n_steps++] = i;
    }
}

static void order_steps(sm_run *r)
{
    r->order = SM_NEW_ARRAY(r->arena, int32_t, r->p->n_tasks);
    r->steps = SM_NEW_ARRAY(r->arena, sm_run_step, r->p->n_tasks);
    add_steps(r, false);
    r->n_made = r->n_steps;
    add_steps(r, true);
}

/* What a run before this one has left open comes first: tables are read as they are after it. */
static sm_status settle_lake(sm_run *r, sm_error *e)
{
    sm_str told = {0};

    SM_TRY(sm_lake_settle(r->env->stores, sm_names_lake(r->names), r->env->budget, r->arena, &told,
                          e));
    if (told.len > 0) {
        smi_flow_report_warn(r, "%.*s", SM_STR_ARG(told));
    }
    return SM_OK;
}

/* The run is cancelled when its own time is over, or that of an attempt: after_us, 0: none. */
static void set_deadline(sm_run *r, int64_t after_us)
{
    const int64_t attempt_ns = after_us > 0 ? sm_monotonic_ns() + after_us * 1000 : 0;
    const bool is_first = attempt_ns && (!r->deadline_ns || attempt_ns < r->deadline_ns);

    SM_ASSERT(after_us >= 0 && r->cancel.above != &r->cancel);
    atomic_store(&r->cancel.deadline_ns, is_first ? attempt_ns : r->deadline_ns);
}

static sm_status plan_run(sm_run *r, sm_error *e)
{
    name_run(r);
    r->counted = sm_map_new(r->arena);
    SM_TRY(smi_flow_variables_bind(r, e));
    SM_TRY(smi_flow_choose_tasks(r, e));
    smi_flow_sources_init(r);
    r->names = smi_flow_names(r);
    SM_TRY(smi_flow_publish_check(r, e));
    SM_TRY(smi_flow_connect(r, e));
    SM_TRY(settle_lake(r, e));
    SM_TRY(smi_flow_leave_out_done(r, e));
    order_steps(r);
    return SM_OK;
}

sm_status sm_run_open(const sm_pipeline *p, const sm_run_opts *opts, const sm_exec_env *env,
                      sm_run **out, sm_error *e)
{
    sm_run *r = sm_alloc_zero(sizeof(*r));

    SM_ASSERT(opts->interval.start_us < opts->interval.end_us);
    SM_ASSERT(!opts->same_root || !opts->other_root);
    SM_ASSERT(opts->n_vars >= 0 && (opts->n_vars == 0 || opts->vars));
    *r = (sm_run){.p = p,
                  .own_opts = *opts,
                  .own_env = *env, /* its connections are no other run's */
                  .cancel = {.above = env->cancel},
                  .progress = env->progress,
                  .arena = sm_arena_new(env->budget),
                  .start_us = sm_now_us(),
                  .start_ns = sm_monotonic_ns(),
                  .own_report = {.arena = sm_arena_new(NULL)}};
    r->own_env.stores = sm_stores_below(env->stores);
    r->opts = &r->own_opts;
    r->env = &r->own_env;
    r->own_env.cancel = &r->cancel;
    sm_budget_set_cancel(env->budget, &r->cancel);
    r->deadline_ns = p->timeout_us > 0 ? r->start_ns + p->timeout_us * 1000 : 0;
    set_deadline(r, 0);
    r->report = &r->own_report;
    const sm_status st = plan_run(r, e);
    if (st != SM_OK) {
        sm_run_close(r, NULL);
        return st;
    }
    *out = r;
    return SM_OK;
}

int32_t sm_run_tasks(const sm_run *r)
{
    return r->n_steps;
}

sm_run_step sm_run_step_of(const sm_run *r, int32_t i)
{
    SM_ASSERT(i >= 0 && i < r->n_steps);
    return r->steps[i];
}

/* ---- tasks ---------------------------------------------------------------------------------- */

/* May step i run now? What a program that calls steps in another order does wrong. */
static bool is_ready(const sm_run *r, int32_t i)
{
    const smi_flow_task_phase phase = r->tasks[r->order[i]].phase;
    bool is_ready = phase == SMI_TASK_WAITING || phase == SMI_TASK_FAILED;

    for (int32_t k = 0; k < r->steps[i].n_needs; k++) {
        const int32_t need = r->order[r->steps[i].needs[k]];
        is_ready = is_ready && r->tasks[need].phase == SMI_TASK_DONE;
    }
    return is_ready && r->phase == (i < r->n_made ? SMI_RUN_MAKING : SMI_RUN_PUBLISHED);
}

static void begin_attempt(sm_run *r, int32_t i)
{
    smi_flow_task_state *state = &r->tasks[r->order[i]];

    SM_ASSERT(!state->candidate);
    state->verdict = NULL;
    state->judged = NULL;
    SM_ASSERT(r->own_env.progress == r->progress); /* no other attempt is under way */
    set_deadline(r, r->p->tasks[r->order[i]].timeout_us);
    state->phase = SMI_TASK_RUNNING;
    state->attempt++;
    atomic_store(&state->progress.total_bytes, 0);
    atomic_store(&state->progress.done_bytes, 0);
    atomic_store(&state->progress.rows, 0);
    r->own_env.progress = &state->progress;
    for (int32_t k = 0; k < r->p->n_sources; k++) {
        smi_flow_quarantine_mark(&r->sources[k]);
    }
    if (r->opts->listener.begin) {
        const sm_task_begin begin = {.task = i,
                                     .n_tasks = r->n_steps,
                                     .name = r->steps[i].name,
                                     .kind = r->steps[i].kind,
                                     .attempt = state->attempt,
                                     .progress = &state->progress};
        r->opts->listener.begin(r->opts->listener.ctx, &begin);
    }
}

/* Throws away what a failed attempt made. */
static void undo_attempt(sm_run *r, int32_t task)
{
    smi_flow_task_state *state = &r->tasks[task];

    sm_candidate_release(state->candidate);
    state->candidate = NULL;
    state->period = (sm_str){0};
    smi_flow_own_undo(&state->own);
    smi_flow_watch_undo(r, task);
    smi_flow_sources_undo(r, task);
}

static void end_attempt(sm_run *r, int32_t i, sm_status st, sm_task_report *out)
{
    smi_flow_task_state *state = &r->tasks[r->order[i]];
    const sm_candidate *c = state->candidate;
    const sm_progress *done = &state->progress;

    SM_ASSERT(state->phase == SMI_TASK_RUNNING);
    SM_ASSERT(!c || (st == SM_OK && r->steps[i].kind != SM_TASK_VIEW && i < r->n_made));
    state->phase = st == SM_OK ? SMI_TASK_DONE : SMI_TASK_FAILED;
    r->own_env.progress = r->progress;
    if (r->progress) {
        atomic_fetch_add(&r->progress->total_bytes, atomic_load(&done->total_bytes));
        atomic_fetch_add(&r->progress->done_bytes, atomic_load(&done->done_bytes));
        atomic_fetch_add(&r->progress->rows, atomic_load(&done->rows));
    }
    *out =
        (sm_task_report){.task = i,
                         .name = r->steps[i].name,
                         .kind = r->steps[i].kind,
                         .attempt = state->attempt,
                         .status = st,
                         .rows = c             ? sm_candidate_rows(c)
                                 : st == SM_OK ? state->published.rows + state->clustered.n_rows +
                                                     state->optimized.n_rows
                                               : 0,
                         .bytes = c ? sm_candidate_bytes(c)
                                    : state->clustered.added_bytes + state->optimized.added_bytes,
                         .contract = state->verdict,
                         .wall_ns = state->wall_ns};
    if (r->opts->listener.end) {
        r->opts->listener.end(r->opts->listener.ctx, out);
    }
}

static sm_status do_kind(sm_run *r, int32_t task, sm_error *e)
{
    switch (r->p->tasks[task].kind) {
    case SM_TASK_VIEW:
        return smi_flow_view_run(r, task, e); /* its SQL stands for its name where it is read */
    case SM_TASK_TABLE:
        return smi_flow_table_run(r, task, e);
    case SM_TASK_LOAD:
        return smi_flow_load_run(r, task, e);
    case SM_TASK_PUBLISH:
        return smi_flow_publish_run(r, task, e);
    case SM_TASK_CLUSTER:
        return smi_flow_cluster_run(r, task, e);
    case SM_TASK_OPTIMIZE:
        return smi_flow_optimize_run(r, task, e);
    case SM_TASK_VACUUM:
        return smi_flow_vacuum_run(r, task, e);
    case SM_TASK_COMMAND:
        return smi_flow_command_run(r, task, e);
    }
    return SM_OK;
}

static sm_status keep_refused(sm_run *r, int32_t task, sm_error *e)
{
    SM_TRY(smi_flow_own_keep(r, task, e));
    for (int32_t i = 0; i < r->p->n_sources; i++) {
        SM_TRY(smi_flow_quarantine_keep(&r->sources[i], e));
    }
    return SM_OK;
}

static sm_status do_task(sm_run *r, int32_t task, sm_error *e)
{
    const smi_flow_task *t = &r->p->tasks[task];
    smi_flow_task_state *state = &r->tasks[task];
    const int64_t start = sm_monotonic_ns();
    sm_status st = do_kind(r, task, e);

    if (st == SM_CONTRACT) {
        smi_flow_keep(r, task, e);
    }
    st = st == SM_OK ? keep_refused(r, task, e) : st;
    state->wall_ns = sm_monotonic_ns() - start;
    if (st == SM_OK && state->candidate) {
        sm_names_set_candidate(r->names, t->name, state->candidate);
    }
    if (st == SM_OK && t->command) {
        smi_flow_report_command(r, task);
    } else if (st == SM_OK && t->is_after) {
        smi_flow_report_after(r, task);
    }
    return st;
}

bool smi_flow_run_is_late(const sm_run *r)
{
    return r->deadline_ns > 0 && sm_monotonic_ns() >= r->deadline_ns;
}

/* What was cancelled by time, and by nobody, says so. t: the task whose time it may be; NULL: of
 * none. */
static sm_status say_late(const sm_run *r, const smi_flow_task *t, sm_status st, sm_error *e)
{
    if (st != SM_INTERRUPTED || sm_cancel_is_set(r->cancel.above)) {
        return st;
    }
    const bool is_run = !t || smi_flow_run_is_late(r);
    if (e) {
        *e = (sm_error){0};
    }
    return sm_fail(e, SM_TIMEOUT, "it took longer than the timeout of the %s, %.3f s",
                   is_run ? "run" : "task",
                   (double)(is_run ? r->p->timeout_us : t->timeout_us) / 1e6);
}

static sm_status say_interrupted(sm_status st, sm_error *e)
{
    if (st == SM_INTERRUPTED) {
        sm_error_todo(e, "Nothing was published. Run it again to do all of it.");
    }
    return st;
}

sm_status sm_run_task(sm_run *r, int32_t i, sm_task_report *report, sm_error *e)
{
    char date[SM_TIME_TEXT_BYTES];
    sm_task_report ignored;

    SM_ASSERT(i >= 0 && i < r->n_steps);
    SM_ASSERT(is_ready(r, i));
    begin_attempt(r, i);
    const sm_status st = say_late(r, &r->p->tasks[r->order[i]], do_task(r, r->order[i], e), e);
    set_deadline(r, 0);
    if (st != SM_OK) {
        undo_attempt(r, r->order[i]);
    }
    end_attempt(r, i, st, report ? report : &ignored);
    sm_within(e, st, "task %.*s, run %s of pipeline %.*s", SM_STR_ARG(r->steps[i].name),
              logical_date(r, date), SM_STR_ARG(r->p->name));
    return i < r->n_made ? say_interrupted(st, e) : st;
}

/* ---- publishing ----------------------------------------------------------------------------- */

static sm_status finish_quarantines(sm_run *r, sm_error *e)
{
    for (int32_t i = 0; i < r->p->n_sources; i++) {
        SM_TRY(smi_flow_quarantine_finish(r, &r->sources[i], e));
    }
    return SM_OK;
}

static void tell_sources(sm_run *r, bool is_done)
{
    SM_ASSERT(!r->has_told_sources);
    smi_flow_report_sources(r, is_done);
    r->has_told_sources = true;
}

static sm_status publish_candidates(sm_run *r, sm_error *e)
{
    const int32_t most = r->p->n_sources + 2 * r->p->n_tasks;
    sm_candidate **order = SM_NEW_ARRAY(r->arena, sm_candidate *, most);
    int64_t *versions = SM_NEW_ARRAY(r->arena, int64_t, most);
    int32_t n = 0;

    for (int32_t i = 0; i < r->p->n_sources; i++) {
        SM_ASSERT(!r->sources[i].quarantine.table); /* it has been finished */
        if (r->sources[i].quarantine.candidate) {
            order[n++] = r->sources[i].quarantine.candidate;
        }
    }
    for (int32_t i = 0; i < r->p->n_tasks; i++) {
        SM_ASSERT(!r->tasks[i].own.table);
        if (r->tasks[i].own.candidate) {
            order[n++] = r->tasks[i].own.candidate;
        }
    }
    for (int32_t i = 0; i < r->p->n_tasks; i++) {
        SM_ASSERT(!r->tasks[i].candidate || r->tasks[i].phase == SMI_TASK_DONE);
        if (r->tasks[i].candidate) {
            order[n++] = r->tasks[i].candidate;
        }
    }
    if (sm_cancel_is_set(r->env->cancel)) {
        return sm_fail(e, SM_INTERRUPTED, "interrupted; nothing was published");
    }
    const sm_status st = sm_publish(order, n, r->env->budget, versions, &r->report->mixed_ns, e);
    smi_flow_report_tables(r, order, versions, n);
    if (st == SM_OK) {
        smi_flow_report_drift(r);
    }
    return st;
}

sm_status sm_run_publish(sm_run *r, sm_publication *publication, sm_error *e)
{
    const int64_t start = sm_monotonic_ns();

    SM_ASSERT(r->phase == SMI_RUN_MAKING);
    for (int32_t i = 0; i < r->n_made; i++) {
        SM_ASSERT(r->tasks[r->order[i]].phase == SMI_TASK_DONE);
    }
    r->phase = SMI_RUN_CLOSED;
    SM_TRY(say_interrupted(say_late(r, NULL, smi_flow_views_finish(r, e), e), e));
    SM_TRY(say_interrupted(say_late(r, NULL, finish_quarantines(r, e), e), e));
    tell_sources(r, true);
    SM_TRY(publish_candidates(r, e));
    smi_flow_drop_kept(r);
    smi_flow_judged_keep(r);
    r->phase = SMI_RUN_PUBLISHED;
    if (publication) {
        *publication = (sm_publication){.tables = r->report->tables,
                                        .n_tables = r->report->n_tables,
                                        .wall_ns = sm_monotonic_ns() - start,
                                        .mixed_ns = r->report->mixed_ns};
    }
    return SM_OK;
}

/* ---- the end -------------------------------------------------------------------------------- */

static void release_run(sm_run *r)
{
    sm_buf_release(&r->asked.text);
    sm_names_free(r->names);
    for (int32_t i = 0; r->tasks && i < r->p->n_tasks; i++) {
        sm_candidate_release(r->tasks[i].candidate);
        smi_flow_own_undo(&r->tasks[i].own);
    }
    for (int32_t i = 0; r->sources && i < r->p->n_sources; i++) {
        smi_flow_quarantine_release(&r->sources[i].quarantine);
        sm_files_release(&r->sources[i].found);
    }
    sm_arena_free(r->arena);
}

void sm_run_close(sm_run *r, sm_run_report *report)
{
    sm_run_report made = {0};

    if (r) {
        if (r->sources && !r->has_told_sources) {
            tell_sources(r, false);
        }
        smi_flow_page_print(r);
        release_run(r);
        made = r->own_report;
        made.wall_ns = sm_monotonic_ns() - r->start_ns;
        made.held_bytes = (int64_t)sm_budget_peak(r->env->budget);
        made.network = sm_stores_network_count(r->env->stores);
        sm_budget_set_cancel(r->env->budget, r->cancel.above);
        sm_stores_release(r->own_env.stores);
        sm_free(r);
    }
    made.peak_bytes = sm_peak_bytes();
    if (report) {
        *report = made;
    } else {
        sm_run_report_release(&made);
    }
}

sm_status sm_pipeline_run(const sm_pipeline *p, const sm_run_opts *opts, const sm_exec_env *env,
                          sm_run_report *report, sm_error *e)
{
    const int64_t start = sm_monotonic_ns();
    sm_run *r = NULL;
    sm_status st = sm_run_open(p, opts, env, &r, e);
    int32_t i = 0;

    for (; st == SM_OK && i < r->n_made; i++) {
        st = smi_flow_task_try(r, i, e);
    }
    if (st == SM_OK) {
        st = sm_run_publish(r, NULL, e);
    }
    for (; st == SM_OK && i < r->n_steps; i++) {
        st = smi_flow_task_try(r, i, e);
    }
    sm_run_close(r, report);
    report->wall_ns = sm_monotonic_ns() - start;
    return st;
}
