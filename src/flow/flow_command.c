/* SPDX-License-Identifier: Apache-2.0
 *
 * flow/flow_command.c: tasks that run a program. Called by flow_run.c.
 *
 * Where   in the folder in which smelt runs, so that paths of variables hold, with nothing to read.
 *         What it prints goes to stderr: stdout is smelt's answer.
 * Told    by variables of its environment: SMELT_RUN, SMELT_PIPELINE, SMELT_TASK, SMELT_DATE,
 *         SMELT_INTERVAL_START, SMELT_INTERVAL_END, and SMELT_VAR_name for each variable.
 * End     Where the run is cancelled, or the task's time is over, the program and all that it has
 *         started get SIGTERM, and ten seconds later SIGKILL. */
#include <signal.h>

#include "base/process.h"
#include "base/time.h"
#include "flow/flow_int.h"

#define LOOK_MS  50 /* how long a Ctrl-C goes unseen */
#define GRACE_MS 10000

static sm_str timestamp(int64_t us, sm_arena *a)
{
    char text[SM_TIME_TEXT_BYTES];
    const size_t len = sm_format_timestamp(us, text);

    return sm_arena_str(a, (sm_str){text, len});
}

/* A variable's name as a shell takes it. */
static sm_str variable_name(sm_str name, sm_arena *a)
{
    const sm_str out = sm_arena_strf(a, "SMELT_VAR_%.*s", SM_STR_ARG(name));

    for (size_t i = 0; i < out.len; i++) {
        char *c = (char *)&out.data[i];
        *c = *c == '-' ? '_' : *c;
    }
    return out;
}

static const sm_pair *environment(const sm_run *r, const smi_flow_task *t, sm_arena *a, int32_t *n)
{
    const sm_interval *of = &r->opts->interval;
    const sm_pair own[] = {
        {SM_STR("SMELT_RUN"), r->id},
        {SM_STR("SMELT_PIPELINE"), r->p->name},
        {SM_STR("SMELT_TASK"), t->name},
        {SM_STR("SMELT_DATE"), smi_flow_logical_date(r, a)},
        {SM_STR("SMELT_INTERVAL_START"), timestamp(of->start_us, a)},
        {SM_STR("SMELT_INTERVAL_END"), timestamp(of->end_us, a)},
    };
    const smi_flow_command *c = t->command;
    sm_pair *out = SM_NEW_ARRAY(a, sm_pair, SM_COUNT(own) + r->p->n_vars + c->n_env);

    *n = 0;
    for (int i = 0; i < SM_COUNT(own); i++) {
        out[(*n)++] = own[i];
    }
    for (int32_t i = 0; i < r->p->n_vars; i++) {
        out[(*n)++] = (sm_pair){variable_name(r->p->vars[i].name, a), smi_flow_value_text(r, i)};
    }
    for (int32_t i = 0; i < c->n_env; i++) {
        out[(*n)++] = c->env[i];
    }
    return out;
}

static sm_status wait_for(const sm_run *r, sm_process *p, sm_process_end *end, sm_error *e)
{
    while (!sm_process_wait(p, LOOK_MS, end)) {
        if (!sm_cancel_is_set(r->env->cancel)) {
            continue;
        }
        sm_process_signal(p, SIGTERM);
        if (!sm_process_wait(p, GRACE_MS, end)) {
            sm_process_signal(p, SIGKILL);
        }
        return sm_fail(e, SM_INTERRUPTED, "interrupted");
    }
    return SM_OK;
}

sm_status smi_flow_command_run(sm_run *r, int32_t task, sm_error *e)
{
    const smi_flow_task *t = &r->p->tasks[task];
    sm_arena *a = sm_arena_new(r->env->budget);
    sm_process_opts o = {.argv = t->command->argv,
                         .output = -1,
                         .memory_bytes = t->command->memory_bytes,
                         .cpu_seconds = t->command->cpu_seconds};
    sm_process_end end = {0};
    sm_process *p = NULL;

    SM_ASSERT(r->phase == (t->is_after ? SMI_RUN_PUBLISHED : SMI_RUN_MAKING));
    o.env = environment(r, t, a, &o.n_env);
    sm_status st = sm_process_start(&o, &p, e);
    st = st == SM_OK ? wait_for(r, p, &end, e) : st;
    if (st == SM_OK && (end.signal != 0 || end.exit_code != 0)) {
        st = sm_fail(e, SM_IO, "%s ended with %.*s", o.argv[0],
                     SM_STR_ARG(sm_process_end_text(&end, a)));
        sm_error_todo(e, "What it printed is above.");
    }
    sm_process_close(p);
    sm_arena_free(a);
    return st;
}
