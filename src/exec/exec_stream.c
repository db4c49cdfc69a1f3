/* SPDX-License-Identifier: Apache-2.0
 *
 * exec/exec_stream.c: the operators that need one batch at a time: filter and project, and the
 * renaming of a union's inputs. Made by exec_run.c; the join's probe is in exec_join.c, CHECK in
 * exec_check.c. They live
 * in the execution's arena and keep nothing between batches. */
#include "exec/exec_int.h"

typedef struct stream_op {
    smi_op op;
    smi_execution *exec;
    int32_t *identity; /* rename: 0, 1, 2, … */
} stream_op;

static smi_op *new_op(smi_execution *exec, const sm_plan_node *node, smi_op *next,
                      sm_status (*push)(smi_op *, smi_driver *, sm_batch *, sm_error *))
{
    stream_op *s = SM_NEW(exec->arena, stream_op);
    s->op = (smi_op){.push = push, .node = node, .next = next};
    s->exec = exec;
    return &s->op;
}

/* ---- a row that fails ------------------------------------------------------------------------ */

bool smi_is_of_rows(sm_status st)
{
    return st != SM_OK && st != SM_BUDGET && st != SM_INTERRUPTED && !sm_status_is_answer(st);
}

sm_status smi_push_halves(smi_op *op, smi_driver *d, sm_batch *rows, sm_error *e)
{
    const int64_t half = rows->n_rows / 2;
    sm_status st = SM_OK;
    for (int i = 0; i < 2 && st == SM_OK; i++) {
        sm_batch *part = NULL;
        const int64_t n = i == 0 ? half : rows->n_rows - half;
        *e = (sm_error){0};
        st = sm_batch_slice(rows, i * half, n, d->pipe->exec->env->budget, &part, e);
        st = st == SM_OK ? op->push(op, d, part, e) : st;
    }
    sm_batch_release(rows);
    return st;
}

/* ---- filter ---------------------------------------------------------------------------------- */

static sm_status filter_push(smi_op *op, smi_driver *d, sm_batch *rows, sm_error *e)
{
    const stream_op *s = (const stream_op *)op;
    sm_budget *budget = s->exec->env->budget;
    int32_t small[SM_BATCH_ROWS];
    int32_t *chosen = small;
    sm_batch *kept = NULL;
    int64_t n = 0;

    if (rows->n_rows > SM_BATCH_ROWS) { /* only a sink's own batches are ever larger */
        chosen = sm_alloc((size_t)rows->n_rows * sizeof(*chosen));
    }
    sm_status st =
        sm_expr_select(op->node->as.filter.where, rows, s->exec->params, chosen, &n, budget, e);
    if (st == SM_OK && n == rows->n_rows) {
        kept = sm_batch_retain(rows);
    } else if (st == SM_OK && n > 0) {
        st = sm_batch_gather(rows, chosen, n, budget, &kept, e);
    }
    if (chosen != small) {
        sm_free(chosen);
    }
    if (smi_is_of_rows(st) && rows->n_rows > 1) {
        return smi_push_halves(op, d, rows, e);
    }
    sm_batch_release(rows);
    return kept ? smi_give(d, op->node, op->next, kept, e) : st;
}

sm_status smi_filter_new(smi_execution *exec, const sm_plan_node *node, smi_op *next, smi_op **out)
{
    *out = new_op(exec, node, next, filter_push);
    return SM_OK;
}

/* ---- project --------------------------------------------------------------------------------- */

static sm_status project_push(smi_op *op, smi_driver *d, sm_batch *rows, sm_error *e)
{
    const stream_op *s = (const stream_op *)op;
    const sm_plan_node *node = op->node;
    sm_batch *out = NULL;
    sm_status st = sm_batch_new(s->exec->env->budget, node->schema, &out, e);
    if (st != SM_OK) {
        goto done;
    }
    sm_batch_keep_all(out, rows);
    for (int32_t i = 0; i < node->schema->n_fields; i++) {
        const sm_expr *x = node->as.project.exprs[i];
        if (x->kind == SM_EXPR_COLUMN) {
            out->columns[i] = rows->columns[x->index];
            continue;
        }
        SM_TRY_GOTO(st, done, sm_expr_eval(x, rows, s->exec->params, out, &out->columns[i], e));
    }
    out->n_rows = rows->n_rows;
    out->ordinal = rows->ordinal;
    out->seq = rows->seq;
done:
    if (st != SM_OK) {
        sm_batch_release(out);
    }
    if (smi_is_of_rows(st) && rows->n_rows > 1) {
        return smi_push_halves(op, d, rows, e);
    }
    sm_batch_release(rows);
    return st == SM_OK ? smi_give(d, node, op->next, out, e) : st;
}

sm_status smi_project_new(smi_execution *exec, const sm_plan_node *node, smi_op *next, smi_op **out)
{
    *out = new_op(exec, node, next, project_push);
    return SM_OK;
}

/* ---- rename ---------------------------------------------------------------------------------- */

static sm_status rename_push(smi_op *op, smi_driver *d, sm_batch *rows, sm_error *e)
{
    const stream_op *s = (const stream_op *)op;
    sm_batch *out = NULL;
    const sm_status st = sm_batch_project(rows, op->node->schema, s->identity, &out, e);
    sm_batch_release(rows);
    return st == SM_OK ? smi_give(d, op->node, op->next, out, e) : st;
}

smi_op *smi_rename_new(smi_execution *exec, const sm_plan_node *node, smi_op *next)
{
    smi_op *op = new_op(exec, node, next, rename_push);
    stream_op *s = (stream_op *)op;
    s->identity = SM_NEW_ARRAY(exec->arena, int32_t, node->schema->n_fields);
    for (int32_t i = 0; i < node->schema->n_fields; i++) {
        s->identity[i] = i;
    }
    return op;
}
