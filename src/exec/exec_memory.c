/* SPDX-License-Identifier: Apache-2.0
 *
 * exec/exec_memory.c: how the memory of a run is divided.
 *
 * Calls    by scans (what to read ahead, whether to decode), by numbered tasks (whether to start),
 *          and by each operator that keeps rows (whether to spill, in what pieces).
 * Measured Beside each number stands what other numbers in its place did. The queries are those of
 *          tests/memory/test_spill.py, by their names there ("states": "groups with states" without
 *          its two FILTERs; "whole": "packed groups" over one row group), within 96 MB ("whole":
 *          145 MB). What was spilled is from `smelt explain --analyze … --threads 2`, at least
 *          three times each, since it depends on threads when a driver asks:
 *            packed groups 27.2 to 28.2 MB, states 42.8 to 45.2 (48.9 to 49.6 with its FILTERs),
 *            order 49.8, join 87.5 to 87.9, windows 95.3 to 96.0, whole 29.3.
 *          Peaks of resident memory and failures are from `smelt sql … --threads 7 -o FILE`. */
#include "exec/exec_memory_int.h"

static const size_t MEGA = (size_t)1 << 20;

/* ---- levels ---------------------------------------------------------------------------------- */

/* What has to stay free beside the rows that operators keep. */
static size_t free_bytes(const smi_execution *exec)
{
    /* Half: where over three quarters must be free, sorted rows go to disk twice (order 94.4 MB,
     * states 53.9, join 93.8). A quarter saves 6 % at most (states 40.8, order 49.6, join 82.3);
     * at an eighth the peak of states is 74 to 77 MB instead of 59 to 65. */
    const size_t limit = sm_budget_limit(exec->env->budget);
    const size_t most = limit - limit / 4;
    /* A side output may open a file of its own when its first row comes, behind the operator that
     * keeps rows: a writer of a quarantine takes 15 MB. */
    const size_t each = 16 * MEGA;
    const size_t n = (size_t)exec->n_sides;
    return n < (most - limit / 2) / each ? limit / 2 + n * each : n > 0 ? most : limit / 2;
}

bool smi_memory_is_short(const smi_execution *exec, size_t more_bytes)
{
    const size_t limit = sm_budget_limit(exec->env->budget);
    const size_t room = sm_budget_room(exec->env->budget);
    SM_ASSERT(room <= limit);
    return limit != SIZE_MAX && (room < more_bytes || room - more_bytes < free_bytes(exec));
}

bool smi_memory_is_pressed(const smi_execution *exec)
{
    /* A quarter: without it whole, into Parquet, peaks at 110 MB instead of 87; at a half it
     * spills 30.7 MB. */
    return sm_budget_room(exec->env->budget) < sm_budget_limit(exec->env->budget) / 4;
}

bool smi_memory_is_tight(const smi_execution *exec, int64_t n_running)
{
    SM_ASSERT(n_running >= 0);
    /* Without it states, into Parquet, fails within 96 MB: a take is refused while all threads
     * decode. Twice as much room changes neither spilled bytes nor CPU seconds by more than runs
     * differ. */
    const size_t limit = sm_budget_limit(exec->env->budget);
    const size_t room = sm_budget_room(exec->env->budget);
    const size_t rest = limit / 3 < 64 * MEGA ? limit / 3 : 64 * MEGA;
    const size_t each = limit / 8 < 16 * MEGA ? limit / 8 : 16 * MEGA; /* they may still grow */
    return n_running > 0 && room < rest + (size_t)n_running * each;
}

int64_t smi_memory_parts(const smi_execution *exec)
{
    /* A part has a writer's row group, a range that is sorted, and its batches: some 35 MB of rows
     * of nine columns. Half of the memory may be rows that wait to be sorted. */
    const size_t n = sm_budget_limit(exec->env->budget) / (128 * MEGA);
    return n < 1 ? 1 : n < INT32_MAX ? (int64_t)n : INT32_MAX;
}

/* ---- sizes ----------------------------------------------------------------------------------- */

size_t smi_memory_share(const smi_execution *exec)
{
    /* An eighth, four of which are the half that is not kept. With a sixteenth a merge reads too
     * few runs, and order writes most rows a second time (89.4 MB); a quarter spills no less
     * (packed 29.1, join 87.9, order 49.8). */
    return sm_budget_limit(exec->env->budget) / 8;
}

size_t smi_memory_least_run(const smi_execution *exec)
{
    /* Half a share. With an eighth or a 64th order spills the same 49.8 MB, so it is not what
     * cuts runs there; it bounds their number where others hold the memory. */
    return sm_budget_limit(exec->env->budget) / 16;
}

size_t smi_memory_of_driver(const smi_execution *exec)
{
    return sm_budget_limit(exec->env->budget) / 2 / (size_t)exec->n_drivers;
}

int64_t smi_memory_request(int64_t inflight_bytes)
{
    /* A quarter. 137 MB of NDJSON in MinIO, behind tests/s3_proxy.py with every answer up to 100 ms
     * late, ordered by a text: 56.4 MB spilled, 22 requests. With a half or the whole 91 to 96 MB
     * spilled and a fifth more CPU seconds; with an eighth 56.4 MB, but 32 to 36 requests. */
    return inflight_bytes / 4;
}

bool smi_memory_may_read(const smi_execution *exec, size_t bytes)
{
    /* A sixth, for decoded rows are several times their bytes. Spilled bytes of states do not
     * show it (43.7 MB with a half, 43.9 with a 24th); it is a bound, not a trade. */
    return bytes <= sm_budget_room(exec->env->budget) / 6;
}

int64_t smi_memory_merge_runs(const smi_execution *exec, uint64_t batch_bytes)
{
    /* As many as fit. A bound of 16, 64, 128 or 256 runs as well changed nothing (order, windows);
     * one of 8 wrote most rows of order a second time (91.9 to 96.1 MB). */
    enum { LEAST = 2 };
    SM_ASSERT(batch_bytes > 0);
    const uint64_t n = smi_memory_share(exec) / batch_bytes;
    return n < LEAST ? LEAST : (int64_t)n;
}

int smi_memory_join_parts_log(const smi_execution *exec, uint64_t bytes, int most)
{
    const uint64_t fits = smi_memory_share(exec) + 1;
    int log = 1;
    while (log < most && bytes >> log > fits) {
        log++;
    }
    return log;
}

/* ---- GROUP BY -------------------------------------------------------------------------------- */

size_t smi_memory_fold(const smi_execution *exec)
{
    /* A sixteenth of what is free: with a quarter packed spills 29.9 MB, with a 64th 28.6. At most
     * 24 MiB: within 8 GB groups with states takes 0.61 CPU seconds and peaks at 482 MB; with 6 MiB
     * 0.65, with 48 and 96 MiB still 0.60 but 499 and 525 MB. No least: from 256 KiB to 8 MiB none
     * changed what is spilled, the peak or the CPU seconds. */
    const size_t most = 24 * MEGA;
    const size_t part = sm_budget_room(exec->env->budget) / 16;
    return part > most ? most : part;
}

size_t smi_memory_task_chunks(const smi_execution *exec)
{
    /* Where little is left, an eighth of a share for few drivers too: without this whole, with one
     * thread, peaks at 92 MB instead of 84, and groups with states over one row group at 117
     * instead of 108. With 4 or 16 in its place nothing changes, with 2, 4 or 7 threads. */
    enum { CROWD = 8 }; /* drivers */
    const int n = exec->n_drivers;
    const bool is_as_of_a_crowd = n < CROWD && smi_memory_is_pressed(exec);
    return smi_memory_share(exec) / (size_t)(is_as_of_a_crowd ? CROWD : n);
}

bool smi_memory_groups_are_large(const smi_execution *exec, const sm_budget *tables,
                                 const sm_budget *all)
{
    /* Little is not worth it, unless a reader's large row group leaves no room even for that.
     * With a half or an eighth instead of the quarter states spills as much (43.2 MB, 43.4). */
    const size_t limit = sm_budget_limit(exec->env->budget);
    const size_t used = sm_budget_used(all);
    return sm_budget_used(tables) > smi_memory_share(exec) || used > limit / 4 ||
           (used > smi_memory_least_run(exec) && smi_memory_is_pressed(exec));
}
