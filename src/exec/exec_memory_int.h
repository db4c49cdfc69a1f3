/* SPDX-License-Identifier: Apache-2.0
 *
 * exec/exec_memory_int.h: how a run's memory is divided: when an operator spills, when a task may
 * start, how large what waits may grow. The whole policy; operators ask and do not count.
 *
 * The levels, from the fullest: half of the limit is for rows that are kept.
 *   short     less than half is left: who keeps rows puts some to disk
 *   pressed   less than a quarter is left: who keeps little does so too
 *   tight     what is left would not do for one more task: none is started
 * The other half is four *shares*, an eighth each, of what work needs beside rows that are kept:
 * reads on their way, chunks that wait, the batches of a merge, what is decoded or written.
 *
 * Nothing here changes what a query gives, only what it holds, spills and waits for. All of it
 * follows from the limit of the run's budget and the room in it; a budget without a limit is never
 * short, pressed or tight, and its shares are as good as endless.
 * Threads: every function may be called from any thread; an answer may be old when it is used. */
#ifndef SM_EXEC_MEMORY_INT_H
#define SM_EXEC_MEMORY_INT_H

#include "exec/exec_int.h"

/* ---- what rows will cost --------------------------------------------------------------------- */

/* Beside their own bytes, in the structure that an operator makes of them when it has them all. */
enum {
    /* Of a right row of a join: hash, place, reference, number, slot and a short key. */
    SMI_JOIN_ROW_BYTES = 96,
    /* The same in one partition of a join on disk, whose keys are in its rows' bytes. */
    SMI_JOIN_PART_ROW_BYTES = 64,
    /* Of a window's row: its reference, its entry in the order and the copy that sorting makes;
     * and of each key and argument. */
    SMI_WINDOW_ROW_BYTES = 48,
    SMI_WINDOW_VALUE_BYTES = 16,
    /* Of a sorted row: its entry and the copy that sorting makes. */
    SMI_SORTED_ROW_BYTES = 2 * sizeof(smi_sort_row),
};

/* ---- levels ---------------------------------------------------------------------------------- */

/**
 * Should who keeps rows give up some?
 *
 * Units     more_bytes: what it also needs at the end, when it has all rows
 */
bool smi_memory_is_short(const smi_execution *exec, size_t more_bytes);

/** Is little left, whoever has the rest? */
bool smi_memory_is_pressed(const smi_execution *exec);

/** Is so little left that no task should be started beside the `n_running` that run? Never where
 * none runs: one task always may. */
bool smi_memory_is_tight(const smi_execution *exec, int64_t n_running);

/* ---- sizes ----------------------------------------------------------------------------------- */

/** The most that work needs of one kind beside rows that are kept; 0 under a limit of a few bytes.
 */
size_t smi_memory_share(const smi_execution *exec);

/** Less than this is not worth a run on disk: every run costs the merge a batch. */
size_t smi_memory_least_run(const smi_execution *exec);

/** The most that one request to a store may be of `inflight_bytes`, so that several are out. */
int64_t smi_memory_request(int64_t inflight_bytes);

/** May a range of `bytes` be read ahead, and its rows be decoded? */
bool smi_memory_may_read(const smi_execution *exec, size_t bytes);

/** How many runs a merge may read at once, whose batches have up to `batch_bytes`: 2 at least. */
int64_t smi_memory_merge_runs(const smi_execution *exec, uint64_t batch_bytes);

/** The logarithm, 1 … `most`, of the number of partitions in which each of the right side's, built,
 * fits a share: `bytes` are all of it. */
int smi_memory_join_parts_log(const smi_execution *exec, uint64_t bytes, int most);

/* ---- GROUP BY -------------------------------------------------------------------------------- */

/** So many bytes of chunks are folded at once. Asked once, when the aggregate begins. */
size_t smi_memory_fold(const smi_execution *exec);

/** What one driver's task may hold in chunks before it puts them to disk itself. */
size_t smi_memory_task_chunks(const smi_execution *exec);

/** Has the aggregate so much that spilling helps? `tables` counts its groups, `all` those and what
 * waits for them. Only asked where memory is short. */
bool smi_memory_groups_are_large(const smi_execution *exec, const sm_budget *tables,
                                 const sm_budget *all);

#endif
