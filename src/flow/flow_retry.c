/* SPDX-License-Identifier: Apache-2.0
 *
 * flow/flow_retry.c: does a task again that failed, as often as the pipeline says, where that can
 * help. Called by sm_pipeline_run.
 *
 * Helps  A failure of the network, of a disk, of memory, or another writer's commit may not come
 *        again (sm_status_retry); a mistake in SQL, a broken line or contract comes again, so it
 *        ends the run at once. So does Ctrl-C, also while it waits.
 * Wait   retry_delay before the first retry, twice as long before each next one, at most an hour;
 *        of that a random half is left out, so that runs which failed together do not come back
 *        together. */
#include "base/random.h"
#include "base/time.h"
#include "flow/flow_int.h"

#define MOST_WAIT_MS INT64_C(3600000)
#define LOOK_MS      100 /* how long a Ctrl-C goes unseen */

static int64_t wait_before(const smi_flow_task *t, int32_t attempt)
{
    int64_t ms = t->tries.wait_us / 1000;
    uint64_t random = 0;

    for (int32_t i = 1; i < attempt && ms < MOST_WAIT_MS; i++) {
        ms *= 2;
    }
    ms = ms < MOST_WAIT_MS ? ms : MOST_WAIT_MS;
    sm_random_bytes(&random, sizeof(random));
    return ms - (int64_t)(random % (uint64_t)(ms / 2 + 1));
}

static sm_status wait_for(const sm_run *r, int64_t ms, sm_error *e)
{
    const int64_t end = sm_monotonic_ns() + ms * 1000000;

    for (int64_t left = ms; left > 0; left = (end - sm_monotonic_ns()) / 1000000) {
        if (smi_flow_run_is_late(r)) {
            return SM_TIMEOUT; /* what has failed stays the error */
        }
        if (sm_cancel_is_set(r->env->cancel)) {
            return sm_fail(e, SM_INTERRUPTED, "interrupted");
        }
        sm_sleep_ms(left < LOOK_MS ? left : LOOK_MS);
    }
    return SM_OK;
}

sm_status smi_flow_task_try(sm_run *r, int32_t i, sm_error *e)
{
    const smi_flow_task *t = &r->p->tasks[r->order[i]];
    const int32_t retries = r->opts->no_retries ? 0 : t->tries.retries;
    sm_task_report report = {0};

    for (int32_t attempt = 1;; attempt++) {
        const sm_status st = sm_run_task(r, i, &report, e);
        if (st == SM_OK || st == SM_INTERRUPTED || !sm_status_retry(st) || attempt > retries ||
            smi_flow_run_is_late(r)) {
            return st;
        }
        const int64_t ms = wait_before(t, attempt);
        SM_ASSERT(ms >= 0 && ms <= MOST_WAIT_MS && report.attempt == attempt);
        smi_flow_report_warn(r, "%.*s failed in attempt %d of %d: %s", SM_STR_ARG(t->name), attempt,
                             retries + 1, e->what);
        if (r->opts->listener.again) {
            r->opts->listener.again(r->opts->listener.ctx, &report, e, ms);
        }
        SM_TRY(wait_for(r, ms, e));
    }
}
