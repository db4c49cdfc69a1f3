/* SPDX-License-Identifier: Apache-2.0
 *
 * exec/exec_memory_int.h: how the memory of a run is divided: when an operator spills, when a
 * task may start, how much may wait. The whole policy is here; operators only ask.
 *
 * Half of the limit is for rows that operators keep. Memory is, as less of it is left,
 *   short     less than half is left: an operator that keeps rows writes some to disk
 *   pressed   less than a quarter is left: one that keeps few rows does so too
 *   tight     what is left is not enough for one more task: no task is started
 * The other half is four *shares* of an eighth each, for what work needs beside the rows that are
 * kept: bytes in flight, chunks that wait, the batches of a merge, what is decoded or written.
 *
 * Nothing here changes the result of a query, only what it holds, spills and waits for. All of it
 * follows from the limit of the run's budget and the room in it. A budget without a limit is never
 * short, pressed or tight, and its shares have no bound.
 * Threads: every function may be called from any thread; an answer may be old when it is used. */
#ifndef SM_EXEC_MEMORY_INT_H
#define SM_EXEC_MEMORY_INT_H

#include "exec/exec_int.h"

/* ---- what rows will cost --------------------------------------------------------------------- */

/* Bytes beside a row's own, in the structure that an operator makes of all rows at the end. */
enum {
    /* Of a right row of a join: hash, place, reference, number, slot and key. Measured as the peak
     * of the join within 8 GB, less the rows: 68 with a BIGINT key (join), 75 where each row has a
     * key of its own, 143 where that is a BIGINT and a string of 37 bytes. Within 150 MB join
     * spills 81 MB with 96 or 192, and nothing with 48 (its peak is 80 MB then). */
    SMI_JOIN_ROW_BYTES = 96,
    /* The same in one partition of a join on disk, whose keys are in the bytes of its rows. Join,
     * into Parquet, peaks at 42 MB; with 32 at 51, with 128 at 43. */
    SMI_JOIN_PART_ROW_BYTES = 64,
    /* Of a window's row: its reference, its entry in the order and the copy that sorting makes; and
     * of each key and argument. With two or three keys 37 to 40 bytes a row were measured in all.
     * Within 150 MB windows spills 88.4 MB with these or half as much; without them it spills
     * nothing, and memory is refused. */
    SMI_WINDOW_ROW_BYTES = 48,
    SMI_WINDOW_VALUE_BYTES = 16,
    /* Of a sorted row: its entry and the copy that sorting makes, which is exact. Within 150
     * MB order peaks at 77 MB; with half as much at 81, with twice as much at 71. */
    SMI_SORTED_ROW_BYTES = 2 * sizeof(smi_sort_row),
};

/* ---- levels ---------------------------------------------------------------------------------- */

/**
 * Should an operator that keeps rows write some of them to disk?
 *
 * Units     more_bytes: what it needs besides when it has all rows
 */
bool smi_memory_is_short(const smi_execution *exec, size_t more_bytes);

/** Is little left, whichever operator holds the rest? */
bool smi_memory_is_pressed(const smi_execution *exec);

/** Is so little left that no task should be started beside the `n_running` that run? Never where
 * none runs: one task may always be started. */
bool smi_memory_is_tight(const smi_execution *exec, int64_t n_running);

/** How many parts of the rows may be sorted and written at a time; 1 at least. */
int64_t smi_memory_parts(const smi_execution *exec);

/* ---- sizes ----------------------------------------------------------------------------------- */

/** The most that one kind of work should hold beside the rows that are kept; 0 under a limit of a
 * few bytes. */
size_t smi_memory_share(const smi_execution *exec);
/** The most that a driver should hold of what it works on at once, while all others do the same. */
size_t smi_memory_of_driver(const smi_execution *exec);

/** Fewer bytes than this are not worth a run on disk, since every run costs the merge a batch. */
size_t smi_memory_least_run(const smi_execution *exec);

/** The most bytes of one request to a store that wants `inflight_bytes`, so that several are under
 * way. */
int64_t smi_memory_request(int64_t inflight_bytes);

/** May a range of `bytes` be read ahead, and its rows be decoded? */
bool smi_memory_may_read(const smi_execution *exec, size_t bytes);

/** How many runs, whose batches have up to `batch_bytes`, a merge may read at once: 2 at least. */
int64_t smi_memory_merge_runs(const smi_execution *exec, uint64_t batch_bytes);

/** The logarithm, 1 … `most`, of the number of partitions of a join: so many that each right side,
 * built, fits a share. `bytes` is the size of the whole right side. */
int smi_memory_join_parts_log(const smi_execution *exec, uint64_t bytes, int most);

/* ---- GROUP BY -------------------------------------------------------------------------------- */

/** How many bytes of chunks are folded at once. Asked once, when the aggregate begins. */
size_t smi_memory_fold(const smi_execution *exec);

/** How many bytes of chunks the task of one driver may hold before it writes them to disk itself.
 * */
size_t smi_memory_task_chunks(const smi_execution *exec);

/** Does the aggregate hold so much that spilling helps? `tables` counts its groups; `all` counts
 * the chunks that wait too. To be asked where memory is short. */
bool smi_memory_groups_are_large(const smi_execution *exec, const sm_budget *tables,
                                 const sm_budget *all);

#endif
