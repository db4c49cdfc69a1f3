/* SPDX-License-Identifier: Apache-2.0
 *
 * exec/exec_memory.c: how a run's memory is divided.
 *
 * Calls    by scans (what to read ahead, whether to decode), by numbered tasks (whether to start),
 *          and by each operator that keeps rows (whether to spill, in what pieces). */
#include "exec/exec_memory_int.h"

#include "exec/exec_pack_int.h"

static const size_t MEGA = (size_t)1 << 20;

/* ---- levels ---------------------------------------------------------------------------------- */

bool smi_memory_is_short(const smi_run *run, size_t more_bytes)
{
    const size_t limit = sm_budget_limit(run->env->budget);
    const size_t room = sm_budget_room(run->env->budget);
    SM_ASSERT(room <= limit);
    return limit != SIZE_MAX && (room < more_bytes || room - more_bytes < limit / 2);
}

bool smi_memory_is_pressed(const smi_run *run)
{
    return sm_budget_room(run->env->budget) < sm_budget_limit(run->env->budget) / 4;
}

bool smi_memory_is_tight(const smi_run *run, int64_t n_running)
{
    SM_ASSERT(n_running >= 0);
    const size_t limit = sm_budget_limit(run->env->budget);
    const size_t room = sm_budget_room(run->env->budget);
    const size_t rest = limit / 3 < 64 * MEGA ? limit / 3 : 64 * MEGA;
    const size_t each = limit / 8 < 16 * MEGA ? limit / 8 : 16 * MEGA; /* they may still grow */
    return n_running > 0 && room < rest + (size_t)n_running * each;
}

/* ---- sizes ----------------------------------------------------------------------------------- */

size_t smi_memory_share(const smi_run *run)
{
    return sm_budget_limit(run->env->budget) / 8;
}

size_t smi_memory_least_run(const smi_run *run)
{
    return sm_budget_limit(run->env->budget) / 16;
}

int64_t smi_memory_request(int64_t inflight_bytes)
{
    return inflight_bytes / 4;
}

bool smi_memory_may_read(const smi_run *run, size_t bytes)
{
    return bytes <= sm_budget_room(run->env->budget) / 6;
}

int64_t smi_memory_merge_runs(const smi_run *run, uint64_t batch_bytes)
{
    enum { LEAST = 2, MOST = 128 };
    SM_ASSERT(batch_bytes > 0);
    const uint64_t n = smi_memory_share(run) / batch_bytes;
    return n < LEAST ? LEAST : n > MOST ? MOST : (int64_t)n;
}

int smi_memory_join_parts_log(const smi_run *run, uint64_t bytes, int most)
{
    const uint64_t fits = smi_memory_share(run) + 1;
    int log = 1;
    while (log < most && bytes >> log > fits) {
        log++;
    }
    return log;
}

/* ---- GROUP BY -------------------------------------------------------------------------------- */

size_t smi_memory_fold(const smi_run *run)
{
    const size_t least = 2 * MEGA, most = 24 * MEGA;
    const size_t part = sm_budget_room(run->env->budget) / 16;
    return part < least ? least : part > most ? most : part;
}

size_t smi_memory_task_chunks(const smi_run *run)
{
    enum { CROWD = 8 }; /* drivers */
    const int n = run->n_drivers;
    const bool is_as_of_a_crowd = n < CROWD && smi_memory_is_pressed(run);
    return smi_memory_share(run) / (size_t)(is_as_of_a_crowd ? CROWD : n);
}

bool smi_memory_groups_are_large(const smi_run *run, const sm_budget *tables, const sm_budget *all)
{
    const size_t limit = sm_budget_limit(run->env->budget);
    const size_t used = sm_budget_used(all);
    return sm_budget_used(tables) > smi_memory_share(run) || used > limit / 4 ||
           (used > smi_memory_least_run(run) && smi_memory_is_pressed(run));
}
