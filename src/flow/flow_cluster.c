/* SPDX-License-Identifier: Apache-2.0
 *
 * flow/flow_cluster.c: tasks that sort a table of the lake (sm_table_cluster). Called by
 * flow_run.c.
 *
 * When   After the run's tables are published, as a commit of its own: the rows stay the same, so
 *        no task has to wait for it, and what it fails with takes nothing back. It moves what the
 *        run's load has added, and does nothing where that is nothing.
 * Few    Rows that are fewer than the row group of an unsorted file are left for a later run:
 *        sorting them would hardly make a filter read less, and each commit costs readers of the
 *        log.
 * State  Its commit is an OPTIMIZE, which does not count as a change of the table: tasks that read
 *        the table are skipped as before (flow_books.c). */
#include "flow/flow_int.h"

#define LEAST_ROWS 262144 /* of a row group, where neither the table nor its writer says else */

sm_status smi_flow_cluster_run(sm_run *r, int32_t task, sm_error *e)
{
    const smi_flow_task *t = &r->p->tasks[task];
    sm_cluster c = {
        .by = t->columns, .n_by = t->n_columns, .curve = t->curve, .least_rows = LEAST_ROWS};

    SM_ASSERT(r->phase == SMI_RUN_PUBLISHED && t->n_columns > 0);
    SM_TRY(sm_names_uri(r->names, t->from, r->arena, &c.uri, e));
    return sm_table_cluster(&c, r->env, r->arena, &r->tasks[task].clustered, e);
}
