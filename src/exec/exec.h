/* SPDX-License-Identifier: Apache-2.0
 *
 * exec/exec.h: the exec room's door. Executes a plan, morsel by morsel, on the workers of an
 * engine. Needs: base to query.
 *
 * A plan is cut into pipes at the operators that must see all rows first (aggregate, sort, window,
 * the right side of a join); each pipe runs to its end before the next begins. Within a pipe, a
 * worker takes a morsel whose bytes have arrived, carries its batches through the streaming
 * operators (filter, project, probe) and pushes them into the pipe's end. Nothing blocks a worker:
 * whoever must wait for bytes or for room returns SM_WAIT and is woken.
 *
 * The output does not depend on threads, memory or the order in which morsels arrive. Batches carry
 * (ordinal, seq), and ends put them in that order. Partial aggregates belong to a fixed range of
 * morsels. Groups leave by partition (the top 8 bits of the hash of their keys), and within a
 * partition in the order of their first rows.
 *
 * Keeps no state in the plan or in the process: two engines know nothing of each other. Stays
 * within its budget. */
#ifndef SM_EXEC_EXEC_H
#define SM_EXEC_EXEC_H

#include "query/query.h"

/* ---- where rows go --------------------------------------------------------------------------- */

/* The rows of a sort with quantiles (sm_plan_sort_even) in parts, several of which are taken side
 * by side. The calls for one part come one at a time, from any worker. */
typedef struct sm_sink_parts {
    /* Ascending, each a quantile: part i has the keys from cuts[i − 1] on, below cuts[i]. */
    const uint64_t *cuts;
    int32_t n_cuts;
    /* Takes the next rows of a part, in order (retains what it keeps). SM_WAIT: not taken, call
     * again when the waker was called. */
    sm_status (*push)(void *ctx, int32_t part, sm_batch *rows, sm_waker waker, sm_error *e);
    /* After the last row of a part, also of one without rows. SM_WAIT as above. */
    sm_status (*end)(void *ctx, int32_t part, sm_waker waker, sm_error *e);
} sm_sink_parts;

/* Takes the rows of a query, in order, one call at a time, from any worker. */
typedef struct sm_sink {
    void *ctx;
    /* Takes the next rows (retains what it keeps). SM_WAIT: not taken, call again when the waker
     * was called. SM_END: wants no more; the execution ends early and well. */
    sm_status (*push)(void *ctx, sm_batch *rows, sm_waker waker, sm_error *e);
    /* After the last row of an execution that went well. SM_WAIT as above. NULL: nothing to do. */
    sm_status (*finish)(void *ctx, sm_waker waker, sm_error *e);
    /* Set where it takes the rows in parts as well, with the same ctx. The execution chooses: then
     * there is no push. NULL: it does not. */
    const sm_sink_parts *parts;
} sm_sink;

/* The schema of refused lines as a sink gets them: the file's URI, then format.h's columns, `line`
 * counted from the file's first line. In the order of files and lines. */
enum { SM_REFUSED_OUT_FILE, SM_REFUSED_OUT_FIRST };
extern const sm_type sm_refused_out_schema;

/* Where the rows of a run go. Each may be NULL: then its rows are counted and dropped. */
typedef struct sm_outputs {
    const sm_sink *main;    /* gets the root's rows */
    const sm_sink *refused; /* gets the refused lines of scans whose relation says keep_refused,
                             * only from the first scan of a dataset */
    /* sides[i] gets the rows that leave the CHECK whose side output is i (sm_plan_check), with the
     * columns of sm_plan_check_leaves. One that says SM_END gets no more; the run goes on. */
    const sm_sink *const *sides;
    int32_t n_sides;
    /* side_lines[i]: the column of side output i that has the line of an origin
     * (sm_plan_with_origin); −1: none has. NULL: none of any */
    const int32_t *side_lines;
} sm_outputs;

/* ---- engines --------------------------------------------------------------------------------- */

/* Memory, threads and stores, which several runs share. A process may have several engines. */
typedef struct sm_engine sm_engine;

typedef struct sm_engine_opts {
    size_t memory_limit; /* of the process's resident memory at its peak; 96 MB at least */
    int64_t threads;     /* 1 to 1,024 */
    sm_str spill_dir;    /* where what does not fit goes; "": the system's */
    sm_logger log;       /* what it keeps must outlive the engine; {0}: none */
} sm_engine_opts;

/** Half of the memory that the machine, or the control group of the process, has; a thread a
 * core. */
sm_engine_opts sm_engine_defaults(void);

/**
 * Makes an engine and starts its workers.
 *
 * Owner     the caller's, sm_engine_free() it; copies `opts`
 * Units     what the process holds now is taken off the limit; memory that others in the process,
 *           another engine among them, take later is not
 * Errors    SM_USAGE: a limit below 96 MB or below what the process has already, a number of
 *           threads out of its range; SM_IO where the system starts no thread
 * Threads   any
 */
sm_status sm_engine_new(const sm_engine_opts *opts, sm_engine **out, sm_error *e) SM_MUST_USE;
/** Ends its workers. To be called when all that was made with it is released. Takes NULL. */
void sm_engine_free(sm_engine *engine);
/** The limit that it was made with, in bytes. */
size_t sm_engine_memory_limit(const sm_engine *engine);
/** The parent of each run's stores: a connection that is made here holds for every run that has no
 * connection of its own, and the counts of all runs are added up here. As long as the engine. */
sm_stores *sm_engine_stores(const sm_engine *engine);

/* ---- how it runs ----------------------------------------------------------------------------- */

typedef struct sm_progress { /* written by workers, read by whoever shows it */
    _Atomic int64_t total_bytes, done_bytes, rows;
} sm_progress;

/* What one run is given; several may run at once, each with its own. A test makes one by hand. */
typedef struct sm_exec_env {
    sm_pool *pool;
    sm_budget *budget;       /* with `cancel` set */
    const sm_cancel *cancel; /* may be NULL */
    sm_progress *progress;   /* may be NULL */
    sm_str spill_dir;        /* "" : the system's */
    sm_stores *stores;       /* open the plan's files and the tables that it writes */
    sm_engine *engine;       /* whose pool, budget and stores these are; NULL: made by hand */
} sm_exec_env;

/* What is a run's own. */
typedef struct sm_exec_share {
    size_t
        memory_bytes; /* the most that it takes of the engine's; 0: whatever the engine has left */
    const sm_cancel *cancel; /* may be NULL */
    sm_progress *progress;   /* may be NULL */
} sm_exec_share;

/**
 * Gives a run its part of an engine: the pool, a budget below the engine's, stores below its
 * stores.
 *
 * Owner     sm_exec_env_release(env), when all that the run has made (batches, candidates, names)
 *           is released; borrows the engine, the flag and the progress until then
 * Units     where runs go side by side, the sum of their memory_bytes should not exceed the
 *           engine's limit: a run without a bound may take what another one needs, which then fails
 *           with SM_BUDGET
 * Threads   any; an environment is used by one run at a time
 */
void sm_exec_env_init(sm_exec_env *env, sm_engine *engine, const sm_exec_share *share);
/** Releases the run's stores and budget. Takes {0}. */
void sm_exec_env_release(sm_exec_env *env);

/* What one node of the plan did; by node id. */
typedef struct sm_node_profile {
    int64_t rows, batches; /* given */
    int64_t cpu_ns;        /* in the operator itself, over all workers */
    int64_t bytes_read, files, morsels, morsels_skipped; /* scans */
    int64_t peak_bytes;                                  /* that the operator held */
    int64_t spilled_bytes;
} sm_node_profile;

/* What became of each file of a scan. */
typedef struct sm_file_report {
    sm_str uri;
    sm_scan_counts counts;
    bool is_pruned; /* not opened: its constants exclude every row */
} sm_file_report;

#define SM_CHECK_EXAMPLES 10

/* What one check of a CHECK counted. It is the same at any number of threads. */
typedef struct sm_check_report {
    int32_t side, check; /* the side output of its CHECK, and its number there */
    sm_str name;
    int64_t n_rows;   /* looked at: all that came into the CHECK */
    int64_t n_broken; /* of them, rows for which the check is FALSE */
    int64_t n_done;   /* of them, rows that left by it; or that stayed, with a value that it made
                       * NULL. A row that several checks take, or a value, counts at the first */
    /* The first rows that broke it, as they came in, and their places among the rows that came into
     * the CHECK, from 0 on. NULL: none did. The batch is the report's; it borrows its schema from
     * the plan, and counts in the budget of the run. */
    sm_batch *examples;
    int64_t example_rows[SM_CHECK_EXAMPLES];
} sm_check_report;

/* Filled by an execution, released by the caller. */
typedef struct sm_exec_report {
    sm_arena *arena;        /* what the rest lives in; made by the execution */
    sm_node_profile *nodes; /* n_nodes of the plan */
    int32_t n_nodes;
    sm_scan_counts counts; /* of all text scans; a dataset that is scanned twice counts once */
    bool is_partial; /* a scan was not read to its end, as under LIMIT: counts are at least these,
                      * and depend on how far it got */
    sm_unknown_key *unknown; /* in order of first appearance, the first 1,000 */
    int64_t n_unknown;
    sm_known_key *keys; /* of the scans that count unknown keys in all objects, in their order */
    int64_t n_keys;
    sm_file_report *files; /* of the text scans, in their order */
    int64_t n_files;
    sm_check_report *checks; /* of all CHECK nodes, by their side outputs; all is zero in them where
                              * the run failed before its input ended. Counts are of all rows that
                              * came in unless a sink said SM_END, as is_partial tells then */
    int32_t n_checks;
    int64_t wall_ns;
} sm_exec_report;
/** What a check of the plan counted: number `check` of the CHECK of side output `side`, which the
 * plan has. */
const sm_check_report *sm_exec_report_check(const sm_exec_report *r, int32_t side, int32_t check);
/** Frees what the report holds. Takes {0}. */
void sm_exec_report_release(sm_exec_report *r);

/**
 * Executes a plan to its end.
 *
 * Shape     sinks are finished in this order: refused, sides, main
 * Owner     borrows all; *report is the caller's, also after a failure (may be NULL)
 * Errors    where several workers fail, the failure that comes first in the order of the input;
 *           SM_INTERRUPTED; SM_BUDGET; what a sink fails with
 * Threads   any number of calls at once, each from a thread that is no worker of the pool; blocks
 */
sm_status sm_exec_run_to(const sm_plan *plan, const sm_exec_env *env, const sm_outputs *to,
                         sm_exec_report *report, sm_error *e) SM_MUST_USE;
/** The same without side outputs: what leaves a CHECK is counted and dropped. */
sm_status sm_exec_run(const sm_plan *plan, const sm_exec_env *env, const sm_sink *main,
                      const sm_sink *refused, sm_exec_report *report, sm_error *e) SM_MUST_USE;

/** Executes a plan and keeps all rows in memory. The array lives in `a`; the batches are the
 * caller's, who releases each. For answers that are known to be small. */
sm_status sm_exec_collect(const sm_plan *plan, const sm_exec_env *env, sm_arena *a, sm_batch ***out,
                          int64_t *n, sm_exec_report *report, sm_error *e) SM_MUST_USE;

/* ---- rows into one file ---------------------------------------------------------------------- */

/* Rows on their way into one file, or into bytes that the caller takes. */
typedef struct sm_output sm_output;

typedef struct sm_output_opts {
    const sm_format *format; /* one that is written: sm_format_named(), sm_format_to_write() */
    const void *options;     /* of format->opts_bytes; NULL: its defaults */
    sm_str uri;              /* of the file, … */
    sm_bytes_out bytes;      /* … unless write() is set: then the bytes go there, and uri is "" */
} sm_output_opts;

/**
 * Opens the way of rows into a file.
 *
 * Shape     the file appears whole once the sink's finish has said SM_OK, or not at all. It takes
 *           the place of one that is there
 * Owner     *out is the caller's, sm_output_close() it. Copies `schema`; borrows `env`, its budget
 *           and what `options` and `bytes` point to until then
 * Errors    those of the store; SM_BUDGET where what the format needs from the start does not fit;
 *           SM_UNSUPPORTED where the format has no such type
 */
sm_status sm_output_open(const sm_output_opts *opts, const sm_type *schema, const sm_exec_env *env,
                         sm_output **out, sm_error *e) SM_MUST_USE;
/** Where the rows go: for sm_exec_run(). Good until the close. */
sm_sink sm_output_sink(sm_output *o);
/** Rows that have come in so far. */
int64_t sm_output_rows(const sm_output *o);
/** Frees; a file that is not finished leaves nothing behind. Takes NULL. */
void sm_output_close(sm_output *o);

/* ---- how it ran ------------------------------------------------------------------------------ */

/** EXPLAIN ANALYZE: the plan's tree with each node's profile. */
void sm_exec_print(const sm_plan *plan, const sm_exec_report *report, sm_buf *out);

#endif
