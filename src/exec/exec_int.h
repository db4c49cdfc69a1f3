/* SPDX-License-Identifier: Apache-2.0
 *
 * exec/exec_int.h: what the files of the exec room share.
 *
 * An *execution* carries out one plan. exec_run.c cuts the plan into *pipes*, which run one after
 * another. A pipe has
 *   source   a scan (exec_scan.c), or numbered tasks over rows that exist already (exec_pipe.c)
 *   ops      filter, project, rename (exec_stream.c), check (exec_check.c) and probe (exec_join.c),
 *            each pushing into the next
 *   end      the ordered end before a sink (exec_order.c), a collector that keeps all rows
 *            (exec_collect.c: for windows and the right side of a join), the aggregate
 *            (exec_agg.c), a sort (exec_sort.c), or a partition of a join on disk
 * A pipe's *drivers*, one for each worker, take *tasks* from the source. A task has an ordinal: it
 * is a morsel of a scan, or some batches of finished rows. Its batches pass the ops in order, one
 * worker at a time, then the task is closed. The ordinals of a pipe have no gaps, and go on over
 * the inputs of a union. A task has its *turn* when all tasks before it are closed; an end keeps
 * what comes before its turn. Only a drain, of the end or of an op with an output of its own, waits
 * for a sink. */
#ifndef SM_EXEC_INT_H
#define SM_EXEC_INT_H

#include "base/map.h"
#include "base/time.h"
#include "exec/exec.h"

/* The most tasks that may be ahead of the oldest one that is not closed: bounds what ends keep. */
#define SMI_AHEAD_MAX 512

typedef struct smi_execution smi_execution;
typedef struct smi_pipe smi_pipe;
typedef struct smi_driver smi_driver;
typedef struct smi_source smi_source;
typedef struct smi_op smi_op;
typedef struct smi_end smi_end;

/* ---- a growing list of batches, each held once ----------------------------------------------- */

typedef struct smi_batches {
    sm_batch **items;
    int64_t n, cap;
} smi_batches;
void smi_batches_add(smi_batches *l, sm_batch *taken);
void smi_batches_release(smi_batches *l); /* leaves {0} */

/* ---- lines of files -------------------------------------------------------------------------- */

/* How many lines of its file are before each morsel of a scan whose dataset has_origin, by the
 * morsel's ordinal; 0 at first (exec_origin.c). */
typedef struct smi_origin {
    sm_mutex lock;
    int64_t *lines_before;
    int64_t n, cap;
} smi_origin;
void smi_origin_init(smi_origin *o);
void smi_origin_release(smi_origin *o);
/** Says it of a morsel, when all earlier ones of its file are accounted. Any thread. */
void smi_origin_set(smi_origin *o, uint64_t ordinal, int64_t n_lines);
/** The line numbers that a reader gave, from 1 in the morsel, as they go through the plan: with the
 * ordinal of the morsel. Columns as of sm_column_gather. */
sm_status smi_origin_mark(const sm_column *lines, uint64_t ordinal, sm_batch *into, sm_column *out,
                          sm_error *e) SM_MUST_USE;
/* A sink that has a column of such numbers made lines of a file, before `inner` gets the rows. */
typedef struct smi_origin_sink {
    sm_sink sink;
    smi_execution *exec;
    const sm_sink *inner;
    int32_t column;
    sm_batch *pending; /* made, and not taken by `inner` yet */
} smi_origin_sink;
void smi_origin_sink_init(smi_origin_sink *s, smi_execution *exec, const sm_sink *inner,
                          int32_t column);
void smi_origin_sink_release(smi_origin_sink *s);

/* ---- the execution --------------------------------------------------------------------------- */

struct smi_execution {
    const sm_plan *plan;
    const sm_exec_env *env;
    sm_arena *arena; /* the coordinating thread only */
    sm_value *params;
    int n_drivers;
    sm_node_profile *profiles;   /* n_drivers × n_nodes */
    const sm_sink *refused;      /* NULL: dropped */
    const sm_sink *const *sides; /* of CHECK nodes, by their number; NULL: dropped */
    int32_t n_sides;
    const int32_t *side_lines; /* sm_outputs */
    smi_origin origin;
    const sm_sink *parted;  /* gets the rows of the root's sort in parts; NULL: it does not */
    int n_parts;            /* that are under way at a time */
    sm_exec_report *report; /* never NULL */
    sm_map *unknown;        /* path -> its place in report->unknown, plus one */
    sm_map *keys;           /* path -> its place in report->keys, plus one */
    int64_t unknown_cap, keys_cap, files_cap;
    int32_t *check_at;       /* by node id: where a CHECK's first check is in report->checks */
    const sm_dataset **seen; /* datasets whose lines are counted already */
    int64_t n_seen, seen_cap;
};

/* A node's profile as driver d writes it. */
static inline sm_node_profile *smi_profile(const smi_execution *exec, int driver,
                                           const sm_plan_node *node)
{
    return &exec->profiles[(int64_t)driver * exec->plan->n_nodes + node->id];
}

/* SM_INTERRUPTED where the execution is to end. Asked for every batch that is handed on, and in
 * every loop over more rows than one batch has. */
static inline sm_status smi_check_cancel(const smi_execution *exec, sm_error *e)
{
    return sm_cancel_is_set(exec->env->cancel) ? sm_fail(e, SM_INTERRUPTED, "interrupted") : SM_OK;
}

/* The same in a loop over rows, at number i: looks once in some tens of thousands. */
static inline sm_status smi_check_cancel_at(const smi_execution *exec, int64_t i, sm_error *e)
{
    return (i & (SM_LOOK_ROWS - 1)) == 0 ? smi_check_cancel(exec, e) : SM_OK;
}

/* Is the plan as operators rely on (exec_plan_check.c)? Else false, and what is wrong. */
bool smi_plan_validate(const sm_plan *plan, const char **why);

/* Executes a subtree and pushes its rows through the ops from `first` on (NULL: none) into the end.
 * */
sm_status smi_execute_into(smi_execution *exec, const sm_plan_node *node, smi_op *first,
                           smi_end *end, sm_error *e) SM_MUST_USE;

/* ---- tasks, sources -------------------------------------------------------------------------- */

typedef struct smi_task {
    uint64_t ordinal;
    uint32_t seq;
    void *end_state; /* the end's own, made at the first push */
} smi_task;

struct smi_source {
    /* Does the work of one task at most. SM_WAIT: the driver is woken by smi_pipe_wake, or by a
     * waker that the source gave away. SM_END: no task is left to start. */
    sm_status (*step)(smi_source *s, smi_driver *d, sm_error *e);
    /* The number of tasks, or −1 while it is not known. Any thread. */
    int64_t (*n_tasks)(smi_source *s);
    /* Makes the place in the failure of a task absolute, when all earlier tasks are closed. NULL:
     * nothing to do. */
    void (*locate)(smi_source *s, uint64_t ordinal, sm_error *e);
};

/* Numbered tasks that need no waiting; run() pushes the batches of task i with smi_give. */
typedef struct smi_tasks {
    smi_source source;
    int64_t n;
    sm_status (*run)(void *ctx, smi_driver *d, int64_t i, sm_error *e);
    void *ctx;
    const sm_plan_node *node;
    int most_drivers; /* that take tasks; 0: all */
    _Atomic int64_t next;
    _Atomic int64_t n_running;
} smi_tasks;
void smi_tasks_init(smi_tasks *t, const sm_plan_node *node, int64_t n,
                    sm_status (*run)(void *ctx, smi_driver *d, int64_t i, sm_error *e), void *ctx);
/* Tasks over batches that exist already (borrowed until the pipe has ended). */
void smi_tasks_of(smi_tasks *t, const sm_plan_node *node, const smi_batches *rows);

sm_status smi_scan_new(smi_execution *exec, const sm_plan_node *node, smi_source **out,
                       sm_error *e) SM_MUST_USE;
void smi_scan_free(smi_source *s); /* takes NULL; after the pipe has ended */

/* ---- ops and ends ---------------------------------------------------------------------------- */

struct smi_op {
    sm_status (*push)(smi_op *op, smi_driver *d, sm_batch *rows, sm_error *e); /* takes rows */
    const sm_plan_node *node;
    smi_op *next; /* towards the end; NULL: the end itself */
    /* For an op that keeps something of each task, or has an output of its own; else all NULL. As
     * those of smi_end, but that no drain says SM_END: the op's output may have enough, the pipe
     * goes on. */
    sm_status (*close)(smi_op *op, smi_driver *d, sm_error *e);
    sm_status (*drain)(smi_op *op, smi_driver *d, sm_error *e);
    bool (*is_empty)(smi_op *op);
};

struct smi_end {
    /* Takes a task's next batch. Tasks push side by side, one task's batches one after another. */
    sm_status (*push)(smi_end *end, smi_driver *d, sm_batch *rows, sm_error *e);
    /* d's task has given all. */
    sm_status (*close)(smi_end *end, smi_driver *d, sm_error *e);
    /* Hands on the rows whose turn has come. SM_OK: go on with tasks. SM_WAIT: start no task now
     * (the driver is woken). SM_END: wants no more rows. NULL: it hands on none before its end. */
    sm_status (*drain)(smi_end *end, smi_driver *d, sm_error *e);
    /* Is everything whose turn has come handed on, and is there room for more? NULL: always. */
    bool (*is_empty)(smi_end *end);
    const sm_plan_node *node; /* whose time the end's work counts as; NULL: no node's */
    bool keeps_order;         /* it keeps a task's rows until the turn has come to the task */
};

sm_status smi_filter_new(smi_execution *exec, const sm_plan_node *node, smi_op *next,
                         smi_op **out) SM_MUST_USE;
sm_status smi_project_new(smi_execution *exec, const sm_plan_node *node, smi_op *next,
                          smi_op **out) SM_MUST_USE;
/* The same rows under another schema (equal types): for the inputs of a union. */
smi_op *smi_rename_new(smi_execution *exec, const sm_plan_node *node, smi_op *next);

/* Did single rows fail, so that another part of the batch may be good? */
bool smi_is_of_rows(sm_status st);
/* Pushes a batch that failed into `op` again, in two halves, one after the other. So the rows
 * before the one that fails are given on, which may be all that a LIMIT wants; and the error is
 * that of the first row that fails. Takes rows. */
sm_status smi_push_halves(smi_op *op, smi_driver *d, sm_batch *rows, sm_error *e) SM_MUST_USE;

/* A CHECK (exec_check.c). smi_check_end(), when its input has come to its end, tells the report
 * what was counted; has_ended: not all rows were wanted. smi_check_free() in any case. */
smi_op *smi_check_new(smi_execution *exec, const sm_plan_node *node, smi_op *next);
sm_status smi_check_end(smi_op *op, bool has_ended, sm_error *e) SM_MUST_USE;
void smi_check_free(smi_op *op);

/* Hands an operator's batch on: counts it for `node`, checks it in debug builds, drops it where it
 * has no rows. Takes rows. */
sm_status smi_give(smi_driver *d, const sm_plan_node *node, smi_op *next, sm_batch *rows,
                   sm_error *e) SM_MUST_USE;

/* ---- pipes ----------------------------------------------------------------------------------- */

struct smi_driver {
    smi_pipe *pipe;
    int index;
    sm_waker waker;  /* of the step that runs */
    bool is_waiting; /* to be woken by smi_pipe_wake; under the pipe's lock */
    smi_task *task;
    int32_t node; /* whose time is running; −1: no node's */
    int64_t since_ns;
};

struct smi_pipe {
    smi_execution *exec;
    smi_source *source;
    smi_op *first;
    smi_end *end;
    smi_driver *drivers;
    sm_mutex lock;
    /* under the lock */
    uint64_t base;   /* ordinal of the source's first task */
    uint64_t turn;   /* all tasks below it are closed */
    bool *is_closed; /* ring of SMI_AHEAD_MAX × 2 */
    bool has_failed;
    uint64_t failed_at; /* smallest ordinal that failed */
    sm_error failure;
    _Atomic bool is_stopped; /* the end wants no more */
    _Atomic int n_on_leave;  /* tasks that wait for their turn in the midst of their rows */
};

/* Runs tasks until all are closed and their rows are handed on. *turn is the pipe's first ordinal,
 * and then the next pipe's. */
sm_status smi_pipe_run(smi_execution *exec, smi_source *source, smi_op *first, smi_end *end,
                       uint64_t *turn, sm_error *e) SM_MUST_USE;
/* The oldest task that is not closed. */
uint64_t smi_pipe_turn(smi_pipe *p);
/* Need this task, and all after it, not be started or carried on? A task before it failed, or the
 * end wants no more rows. */
bool smi_pipe_is_past(smi_pipe *p, uint64_t ordinal);
/* Is everything whose turn has come handed on, by the end and by ops with outputs of their own? */
bool smi_pipe_is_empty(smi_pipe *p);
void smi_pipe_wake(smi_pipe *p); /* every driver that waits */
/* Within a task: waits until d is woken, by smi_pipe_wake or by its waker; what it waits for is to
 * be looked at again then. Without a lock. SM_INTERRUPTED: the run is ending. */
sm_status smi_driver_wait(smi_driver *d, sm_error *e) SM_MUST_USE;
/* d's task has given its last batch. */
sm_status smi_task_close(smi_driver *d, sm_error *e) SM_MUST_USE;
/* d's task failed. The pipe keeps the failure until all earlier tasks are closed. */
void smi_task_failed(smi_driver *d, sm_status st, const sm_error *e);

/* The driver's time counts for `node` from now on. Returns the node before, to be switched back to.
 * */
int32_t smi_clock(smi_driver *d, int32_t node);

/* ---- ends ------------------------------------------------------------------------------------ */

/* A queue before a sink: filled in order, emptied by one worker at a time. */
typedef struct smi_outlet {
    const sm_sink *sink;
    sm_mutex lock;
    smi_batches queue; /* [first, n) wait */
    int64_t first;
    bool is_draining, is_ended;
    bool is_awaited;  /* a driver waits for room in the queue */
    bool has_enough;  /* the sink said SM_END */
    sm_status failed; /* or it failed: it is not called again, and every caller gets the failure */
    sm_error error;
    int waiter;            /* the driver to whom the sink said SM_WAIT; −1 */
    _Atomic int64_t *rows; /* counted here where set */
} smi_outlet;
void smi_outlet_init(smi_outlet *o, const sm_sink *sink);
void smi_outlet_release(smi_outlet *o);
void smi_outlet_put(smi_outlet *o, sm_batch *taken);
/* SM_WAIT: this driver waits for the sink, or too much is queued. SM_END: the sink has enough. A
 * failure of the sink is returned to every caller from then on. */
sm_status smi_outlet_drain(smi_outlet *o, smi_driver *d, sm_error *e) SM_MUST_USE;
bool smi_outlet_is_empty(smi_outlet *o);

/* The ordered end: puts batches in the order of their tasks, and passes rows offset … offset +
 * limit − 1 (limit −1: all that follow). reads_all: rows are wanted behind these too, and dropped.
 * */
smi_end *smi_order_new(smi_execution *exec, const sm_sink *sink, int64_t limit, int64_t offset,
                       bool reads_all);
void smi_order_free(smi_end *end);

/* How many parts of the rows of the plan are to go to the sink side by side (exec_parts.c); 1: they
 * go there in order. */
int smi_parts_at_a_time(const smi_execution *exec, const sm_sink *sink);
/* The end for that: the rows of task i are those of part i. */
smi_end *smi_parts_new(smi_execution *exec, const sm_sink *sink);
void smi_parts_free(smi_end *end);

/* ---- rows by reference (exec_gather.c) ------------------------------------------------------- */

typedef struct smi_ref {
    uint32_t batch; /* SMI_NO_ROW: a NULL row */
    uint32_t row;
} smi_ref;
#define SMI_NO_ROW UINT32_MAX

/* The rows that refs name, of columns src[0 … n_src − 1] (of one type, any layout), flat; string
 * bytes are copied, so the sources need not outlive `into`. */
sm_status smi_gather(const sm_type *type, const sm_column *const *src, int64_t n_src,
                     const smi_ref *refs, int64_t n, sm_budget *budget, sm_batch *into,
                     sm_column *out, sm_error *e) SM_MUST_USE;
/* The same for whole rows of batches: columns first … first + schema's fields − 1. */
sm_status smi_gather_rows(const smi_batches *rows, int32_t first, const smi_ref *refs, int64_t n,
                          const sm_type *schema, sm_budget *budget, sm_batch **out,
                          sm_error *e) SM_MUST_USE;

/* ---- groups (exec_groups.c) ------------------------------------------------------------------ */

/* A hash table from rows of keys to group numbers 0, 1, 2, …; each group has a state, which never
 * moves. */
typedef struct smi_groups smi_groups;
smi_groups *smi_groups_new(const sm_type *const *types, int32_t n_keys, size_t state_bytes,
                           sm_budget *budget);
void smi_groups_free(smi_groups *g); /* takes NULL */
int64_t smi_groups_count(const smi_groups *g);
/* The groups of n rows of flat key columns: of the rows that `rows` lists, or (NULL) of the first
 * n. ids[k] is the group of the k-th; groups that are missing are made in this order. states[k]
 * (NULL: not wanted) is its state, which is all zeros when made. After a failure the table may only
 * be freed. */
sm_status smi_groups_find(smi_groups *g, const sm_column *keys, const uint64_t *hashes,
                          const int32_t *rows, int64_t n, uint32_t *ids, uint8_t **states,
                          sm_error *e) SM_MUST_USE;
/* The same without making groups: −1 where there is none. Any thread, while nobody finds. Nested
 * keys are encoded, for which memory may be refused. */
sm_status smi_groups_look(const smi_groups *g, const sm_column *keys, const uint64_t *hashes,
                          const int32_t *rows, int64_t n, int32_t *ids, sm_error *e) SM_MUST_USE;
void *smi_groups_state(const smi_groups *g, int64_t id);
/* Appends key k of a group. */
void smi_groups_key(const smi_groups *g, int64_t id, int32_t k, sm_builder *b);

/* ---- operators that see all rows first ------------------------------------------------------- */

sm_status smi_aggregate_run(smi_execution *exec, const sm_plan_node *node, smi_op *next,
                            smi_end *end, uint64_t *turn, sm_error *e) SM_MUST_USE;
sm_status smi_sort_run(smi_execution *exec, const sm_plan_node *node, smi_op *next, smi_end *end,
                       uint64_t *turn, sm_error *e) SM_MUST_USE;
/* A sort whose quantiles are known (exec_range.c), and which can be done by ranges. */
bool smi_range_can(const sm_plan_node *node);
sm_status smi_range_run(smi_execution *exec, const sm_plan_node *node, smi_op *next, smi_end *end,
                        uint64_t *turn, sm_error *e) SM_MUST_USE;
sm_status smi_window_run(smi_execution *exec, const sm_plan_node *node, smi_op *next, smi_end *end,
                         uint64_t *turn, sm_error *e) SM_MUST_USE;
/* Runs the right side and makes the op that probes it. */
sm_status smi_join_new(smi_execution *exec, const sm_plan_node *node, smi_op *next, smi_op **out,
                       sm_error *e) SM_MUST_USE;
void smi_join_free(smi_op *op);
/* Is the right side too large to be probed in memory? Then smi_join_run() takes the place of the
 * left side's pipe. */
bool smi_join_is_large(const smi_op *op);
sm_status smi_join_run(smi_op *op, smi_end *end, uint64_t *turn, sm_error *e) SM_MUST_USE;

/* ---- sorting (exec_sort.c) ------------------------------------------------------------------- */

/* One row of the input with the first bytes of its keys. */
typedef struct smi_sort_row {
    uint64_t prefix; /* orders as the first key does, as far as it goes */
    smi_ref ref;
} smi_sort_row;

typedef struct smi_sort_spec {
    const smi_batches *rows;
    const sm_sort_key *keys; /* key i stands in column first + i of the batches */
    int32_t n_keys;
    int32_t first;
    int32_t place; /* a UBIGINT column that orders equal rows; −1: as they stand in the list */
    const sm_plan_node *node; /* whose time the work counts as; NULL: the sorting driver's node */
} smi_sort_spec;

/* All rows in order; *out is a block of *n smi_sort_row. */
sm_status smi_sort_rows(smi_execution *exec, const smi_sort_spec *spec, sm_budget *budget,
                        sm_block **out, int64_t *n, sm_error *e) SM_MUST_USE;
/* −1, 0, 1 by keys first_key … end_key − 1. */
int smi_sort_cmp(const smi_sort_spec *spec, int32_t first_key, int32_t end_key, smi_ref a,
                 smi_ref b);
/* A batch of the expressions over `in`, flat, and n_extra more columns left for the caller. */
sm_status smi_eval_flat(smi_execution *exec, const sm_expr *const *exprs, int32_t n,
                        const sm_type *schema, sm_batch *in, sm_budget *budget, sm_batch **out,
                        sm_error *e) SM_MUST_USE;
/* A struct type of these types; its fields have no names. */
const sm_type *smi_schema_of(sm_arena *a, const sm_type *const *types, int32_t n);

/* ---- reports --------------------------------------------------------------------------------- */

void smi_report_begin(sm_exec_report *r, int32_t n_nodes);
/* Lists the plan's checks, which have counted nothing yet. Errors: SM_USAGE for a side output that
 * two of them have. */
sm_status smi_report_checks(smi_execution *exec, sm_error *e) SM_MUST_USE;
void smi_report_sum(smi_execution *exec);
/* The peak of an operator's budget, into its node's profile. */
void smi_report_peak(smi_execution *exec, const sm_plan_node *node, const sm_budget *budget);
/* Where st is SM_BUDGET, adds to the error which operator held how much. Returns st. */
sm_status smi_within_operator(sm_status st, const char *name, const sm_budget *budget,
                              sm_error *e) SM_MUST_USE;

#endif
