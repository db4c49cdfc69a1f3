/* SPDX-License-Identifier: Apache-2.0
 *
 * exec/exec_run.c: executes a plan: cuts it into pipes and runs them one after another.
 *
 * Calls    sm_exec_run() and sm_exec_collect() by table, serve, flow and cli.
 * Method   smi_execute_into() goes down the plan, with the ops that the rows must pass and the end
 *          that they go to. Filter, project and check add an op; so does a join, whose right side
 *          runs at once. A union runs one input after another into the same end, and ordinals go
 *          on. A pipe starts at a scan, a list of values, or an operator that sees all rows first.
 *          A LIMIT that is not the plan's root is executed into a list of its own, which never has
 *          more rows than it passes.
 * First    come scalar subqueries, in the plan's order, since expressions need their values. */
#include "exec/exec_int.h"

/* One tree of nodes that is executed into one end. Ordinals go on over the inputs of a union. */
typedef struct tree_run {
    smi_execution *exec;
    smi_end *end;
    uint64_t turn;
    bool has_ended; /* the end wants no more */
} tree_run;

static sm_status run_tree(tree_run *t, const sm_plan_node *node, smi_op *first, sm_error *e);
static sm_status run_collect(smi_execution *exec, const sm_plan_node *node, int64_t limit,
                             int64_t offset, smi_batches *out, sm_error *e);

static sm_status note_end(tree_run *t, sm_status st)
{
    if (st == SM_END) {
        t->has_ended = true;
        return SM_OK;
    }
    return st;
}

static sm_status run_list(tree_run *t, const sm_plan_node *node, const smi_batches *rows,
                          smi_op *first, sm_error *e)
{
    smi_tasks tasks;
    smi_tasks_of(&tasks, node, rows);
    return note_end(t, smi_pipe_run(t->exec, &tasks.source, first, t->end, &t->turn, e));
}

static sm_status run_scan(tree_run *t, const sm_plan_node *node, smi_op *first, sm_error *e)
{
    smi_source *scan = NULL;
    SM_TRY(smi_scan_new(t->exec, node, &scan, e));
    const sm_status st = smi_pipe_run(t->exec, scan, first, t->end, &t->turn, e);
    smi_scan_free(scan);
    return note_end(t, st);
}

/* Evaluates the constant rows into batches of at most SM_BATCH_ROWS. */
static sm_status make_values(smi_execution *exec, const sm_plan_node *node, smi_batches *out,
                             sm_error *e)
{
    sm_budget *budget = exec->env->budget;
    const int32_t n_fields = node->schema->n_fields;
    sm_status st = SM_OK;
    sm_batch *one = NULL, *rows = NULL;
    sm_builder **builders = sm_alloc_zero((size_t)(n_fields + 1) * sizeof(*builders));

    for (int64_t at = 0; at < node->as.values.n_rows && st == SM_OK; at += SM_BATCH_ROWS) {
        const int64_t left = node->as.values.n_rows - at;
        const int64_t n = left < SM_BATCH_ROWS ? left : SM_BATCH_ROWS;
        SM_TRY_GOTO(st, done, sm_batch_new(budget, node->schema, &rows, e));
        for (int32_t c = 0; c < n_fields; c++) {
            builders[c] = sm_builder_new(node->schema->fields[c].type, budget);
            for (int64_t i = at; i < at + n; i++) {
                sm_column value = {0};
                SM_TRY_GOTO(st, done, sm_batch_new(budget, node->schema, &one, e));
                one->n_rows = 1;
                SM_TRY_GOTO(st, done,
                            sm_expr_eval(node->as.values.rows[i * n_fields + c], one, exec->params,
                                         one, &value, e));
                sm_builder_cell(builders[c], &value, 0);
                sm_batch_release(one);
                one = NULL;
            }
            SM_TRY_GOTO(st, done, sm_builder_finish(builders[c], rows, &rows->columns[c], e));
            sm_builder_free(builders[c]);
            builders[c] = NULL;
        }
        rows->n_rows = n;
        smi_batches_add(out, rows);
        rows = NULL;
    }
done:
    sm_batch_release(one);
    sm_batch_release(rows);
    for (int32_t c = 0; c < n_fields; c++) {
        sm_builder_free(builders[c]);
    }
    sm_free(builders);
    return st;
}

static sm_status run_values(tree_run *t, const sm_plan_node *node, smi_op *first, sm_error *e)
{
    smi_batches rows = {0};
    sm_status st = make_values(t->exec, node, &rows, e);
    if (st == SM_OK) {
        sm_node_profile *p = smi_profile(t->exec, 0, node);
        p->rows += node->as.values.n_rows;
        p->batches += rows.n;
        st = run_list(t, node, &rows, first, e);
    }
    smi_batches_release(&rows);
    return st;
}

static sm_status run_limit(tree_run *t, const sm_plan_node *node, smi_op *first, sm_error *e)
{
    smi_batches rows = {0};
    sm_status st = run_collect(t->exec, node->inputs[0], node->as.limit.limit,
                               node->as.limit.offset, &rows, e);
    if (st == SM_OK) {
        sm_node_profile *p = smi_profile(t->exec, 0, node);
        p->batches += rows.n;
        for (int64_t i = 0; i < rows.n; i++) {
            p->rows += rows.items[i]->n_rows;
        }
        st = run_list(t, node, &rows, first, e);
    }
    smi_batches_release(&rows);
    return st;
}

static sm_status run_join(tree_run *t, const sm_plan_node *node, smi_op *first, sm_error *e)
{
    smi_op *probe = NULL;
    SM_TRY(smi_join_new(t->exec, node, first, &probe, e));
    const sm_status st = smi_join_is_large(probe)
                             ? note_end(t, smi_join_run(probe, t->end, &t->turn, e))
                             : run_tree(t, node->inputs[0], probe, e);
    smi_join_free(probe);
    return st;
}

static sm_status run_check(tree_run *t, const sm_plan_node *node, smi_op *first, sm_error *e)
{
    smi_op *check = smi_check_new(t->exec, node, first);
    sm_status st = run_tree(t, node->inputs[0], check, e);
    if (st == SM_OK) {
        st = smi_check_end(check, t->has_ended, e);
    }
    smi_check_free(check);
    return st;
}

static sm_status run_union(tree_run *t, const sm_plan_node *node, smi_op *first, sm_error *e)
{
    smi_op *rename = smi_rename_new(t->exec, node, first);
    for (int32_t i = 0; i < node->n_inputs && !t->has_ended; i++) {
        SM_TRY(run_tree(t, node->inputs[i], rename, e));
    }
    return SM_OK;
}

static sm_status run_tree(tree_run *t, const sm_plan_node *node, smi_op *first, sm_error *e)
{
    smi_op *op = NULL;
    switch (node->kind) {
    case SM_PLAN_SCAN:
        return run_scan(t, node, first, e);
    case SM_PLAN_VALUES:
        return run_values(t, node, first, e);
    case SM_PLAN_FILTER:
        SM_TRY(smi_filter_new(t->exec, node, first, &op));
        return run_tree(t, node->inputs[0], op, e);
    case SM_PLAN_PROJECT:
        SM_TRY(smi_project_new(t->exec, node, first, &op));
        return run_tree(t, node->inputs[0], op, e);
    case SM_PLAN_AGGREGATE:
        return note_end(t, smi_aggregate_run(t->exec, node, first, t->end, &t->turn, e));
    case SM_PLAN_JOIN:
        return run_join(t, node, first, e);
    case SM_PLAN_WINDOW:
        return note_end(t, smi_window_run(t->exec, node, first, t->end, &t->turn, e));
    case SM_PLAN_SORT:
        return note_end(t, smi_sort_run(t->exec, node, first, t->end, &t->turn, e));
    case SM_PLAN_LIMIT:
        return run_limit(t, node, first, e);
    case SM_PLAN_UNION:
        return run_union(t, node, first, e);
    case SM_PLAN_CHECK:
        return run_check(t, node, first, e);
    }
    return sm_fail(e, SM_INTERNAL, "plan node of kind %d", (int)node->kind);
}

sm_status smi_execute_into(smi_execution *exec, const sm_plan_node *node, smi_op *first,
                           smi_end *end, sm_error *e)
{
    tree_run t = {.exec = exec, .end = end};
    return run_tree(&t, node, first, e);
}

/* ---- collecting ------------------------------------------------------------------------------ */

/* A sink that keeps all rows. */
typedef struct list_sink {
    smi_batches rows;
} list_sink;

static sm_status list_push(void *ctx, sm_batch *rows, sm_waker waker, sm_error *e)
{
    (void)waker, (void)e;
    smi_batches_add(&((list_sink *)ctx)->rows, sm_batch_retain(rows));
    return SM_OK;
}

/* Executes a subtree into a list, in order; at most `limit` rows (−1: all). */
static sm_status run_collect(smi_execution *exec, const sm_plan_node *node, int64_t limit,
                             int64_t offset, smi_batches *out, sm_error *e)
{
    list_sink list = {0};
    const sm_sink sink = {.ctx = &list, .push = list_push};
    smi_end *end = smi_order_new(exec, &sink, limit, offset, sm_plan_has_check(node));
    const sm_status st = smi_execute_into(exec, node, NULL, end, e);
    smi_order_free(end);
    if (st != SM_OK) {
        smi_batches_release(&list.rows);
        return st;
    }
    *out = list.rows;
    return SM_OK;
}

/* ---- the execution --------------------------------------------------------------------------- */

static sm_status run_params(smi_execution *exec, sm_error *e)
{
    for (int32_t i = 0; i < exec->plan->n_params; i++) {
        const sm_plan_param *p = &exec->plan->params[i];
        smi_batches rows = {0};
        exec->params[i] = sm_value_null(p->type);
        SM_TRY(run_collect(exec, p->root, 2, 0, &rows, e));
        const int64_t n = rows.n == 0 ? 0 : rows.n > 1 ? 2 : rows.items[0]->n_rows;
        if (n == 1) {
            exec->params[i] = sm_column_value_copy(&rows.items[0]->columns[0], 0, exec->arena);
        }
        smi_batches_release(&rows);
        if (n > 1) {
            const sm_status st =
                sm_fail(e, SM_INVALID, "a subquery used as a value gave more than one row");
            sm_error_todo(e, "Aggregate it, or add LIMIT 1.");
            return st;
        }
    }
    return SM_OK;
}

static sm_status finish_step(void *driver, int worker, sm_waker waker, sm_error *e)
{
    const sm_sink *sink = driver;
    (void)worker;
    const sm_status st = sink->finish(sink->ctx, waker, e);
    return st == SM_OK ? SM_END : st;
}

static sm_status finish_sink(smi_execution *exec, const sm_sink *sink, sm_error *e)
{
    if (!sink || !sink->finish) {
        return SM_OK;
    }
    void *driver = (void *)sink;
    return sm_pool_run(exec->env->pool, finish_step, &driver, 1, exec->env->cancel, e);
}

/* A sink that counts the rows for the progress. */
typedef struct counted_sink {
    const sm_sink *inner;
    sm_progress *progress;
} counted_sink;

static sm_status counted_push(void *ctx, sm_batch *rows, sm_waker waker, sm_error *e)
{
    const counted_sink *c = ctx;
    const sm_status st = c->inner->push(c->inner->ctx, rows, waker, e);
    if (st == SM_OK && c->progress) {
        atomic_fetch_add_explicit(&c->progress->rows, rows->n_rows, memory_order_relaxed);
    }
    return st;
}

/* Executes the root into `main`. A LIMIT at the root is left to the ordered end, so that rows
 * stream through it. */
static sm_status run_root(smi_execution *exec, const sm_sink *main, sm_error *e)
{
    const sm_plan_node *root = exec->plan->root;
    counted_sink counted = {.inner = main, .progress = exec->env->progress};
    const sm_sink sink = {.ctx = &counted, .push = counted_push};
    int64_t limit = -1, offset = 0;
    if (root->kind == SM_PLAN_LIMIT) {
        limit = root->as.limit.limit;
        offset = root->as.limit.offset;
        root = root->inputs[0];
    }
    smi_end *end = smi_order_new(exec, &sink, limit, offset, sm_plan_has_check(root));
    const sm_status st = smi_execute_into(exec, root, NULL, end, e);
    smi_order_free(end);
    return st;
}

/* Executes the root into a sink that takes the rows in parts. */
static sm_status run_parted(smi_execution *exec, const sm_sink *main, sm_error *e)
{
    smi_end *end = smi_parts_new(exec, main);

    exec->parted = main;
    const sm_status st = smi_execute_into(exec, exec->plan->root, NULL, end, e);
    smi_parts_free(end);
    return st;
}

static sm_status drop_rows(void *ctx, sm_batch *rows, sm_waker waker, sm_error *e)
{
    return SM_OK;
}

/* In debug and sanitizer builds: is the plan, made of SQL or by calls, one that can be executed? */
static void check_plan(const sm_plan *plan)
{
#ifdef SM_ASSERTS
    const char *why = "";
    if (!smi_plan_validate(plan, &why)) {
        sm_assert_failed(why, __FILE__, __LINE__);
    }
#else
    (void)plan;
#endif
}

/* Refused lines first, then what checks took away, then the rows. */
static sm_status finish_sinks(smi_execution *exec, const sm_outputs *to, sm_error *e)
{
    SM_TRY(finish_sink(exec, to->refused, e));
    for (int32_t i = 0; i < to->n_sides; i++) {
        SM_TRY(finish_sink(exec, to->sides[i], e));
    }
    return finish_sink(exec, to->main, e);
}

sm_status sm_exec_run(const sm_plan *plan, const sm_exec_env *env, const sm_sink *main,
                      const sm_sink *refused, sm_exec_report *report, sm_error *e)
{
    return sm_exec_run_to(plan, env, &(sm_outputs){.main = main, .refused = refused}, report, e);
}

sm_status sm_exec_run_to(const sm_plan *plan, const sm_exec_env *env, const sm_outputs *to,
                         sm_exec_report *report, sm_error *e)
{
    static const sm_sink nowhere = {.push = drop_rows};
    const int64_t start_ns = sm_monotonic_ns();
    const sm_sink *main = to->main ? to->main : &nowhere;
    sm_exec_report own = {0};
    smi_execution exec = {.plan = plan,
                          .env = env,
                          .arena = sm_arena_new(env->budget),
                          .n_drivers = sm_pool_threads(env->pool),
                          .refused = to->refused,
                          .sides = to->sides,
                          .n_sides = to->n_sides,
                          .side_lines = to->side_lines,
                          .report = report ? report : &own};
    check_plan(plan);
    smi_origin_init(&exec.origin);
    exec.n_drivers = exec.n_drivers > SMI_AHEAD_MAX / 8 ? SMI_AHEAD_MAX / 8 : exec.n_drivers;
    smi_report_begin(exec.report, plan->n_nodes);
    exec.unknown = sm_map_new(exec.arena);
    exec.keys = sm_map_new(exec.arena);
    exec.params = SM_NEW_ARRAY(exec.arena, sm_value, plan->n_params + 1);
    exec.profiles =
        SM_NEW_ARRAY(exec.arena, sm_node_profile, (int64_t)exec.n_drivers * plan->n_nodes);

    sm_status st = smi_report_checks(&exec, e);
    if (st == SM_OK) {
        st = run_params(&exec, e);
    }
    exec.n_parts = smi_parts_at_a_time(&exec, main);
    if (st == SM_OK) {
        st = exec.n_parts > 1 ? run_parted(&exec, main, e) : run_root(&exec, main, e);
    }
    if (st == SM_OK) {
        st = finish_sinks(&exec, to, e);
    }
    smi_report_sum(&exec);
    exec.report->wall_ns = sm_monotonic_ns() - start_ns;
    smi_origin_release(&exec.origin);
    sm_arena_free(exec.arena);
    sm_exec_report_release(&own);
    return st;
}

sm_status sm_exec_collect(const sm_plan *plan, const sm_exec_env *env, sm_arena *a, sm_batch ***out,
                          int64_t *n, sm_exec_report *report, sm_error *e)
{
    list_sink list = {0};
    const sm_sink sink = {.ctx = &list, .push = list_push};
    const sm_status st = sm_exec_run(plan, env, &sink, NULL, report, e);
    if (st != SM_OK) {
        smi_batches_release(&list.rows);
        return st;
    }
    *out = SM_NEW_ARRAY(a, sm_batch *, list.rows.n + 1);
    *n = list.rows.n;
    for (int64_t i = 0; i < list.rows.n; i++) {
        (*out)[i] = list.rows.items[i];
        list.rows.items[i] = NULL;
    }
    smi_batches_release(&list.rows);
    return SM_OK;
}
