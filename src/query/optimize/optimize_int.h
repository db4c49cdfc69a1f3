/* SPDX-License-Identifier: Apache-2.0
 *
 * query/optimize/optimize_int.h: the passes of the optimizer, in their order. Each takes
 * nodes that are the plan's own, and changes them in place or gives others. */
#ifndef SM_QUERY_OPTIMIZE_INT_H
#define SM_QUERY_OPTIMIZE_INT_H

#include "query/query_int.h"

sm_plan_node *smi_opt_merge_aggregates(sm_arena *a, sm_plan_node *n);
sm_plan_node *smi_opt_prune(sm_arena *a, sm_plan_node *root);
sm_plan_node *smi_opt_share(sm_arena *a, sm_plan_node *n);
sm_plan_node *smi_optimize(sm_arena *a, sm_plan_node *root);
/** Tells the scans of a whole plan which objects it takes whole; behind all that moves columns. */
void smi_opt_taken(sm_arena *a, const sm_plan *plan);
/** Lets scans read of structs only the fields that something above them uses. The last pass: what
 * is told to scans before are paths in the files' own types. */
void smi_opt_fields(sm_arena *a, const sm_plan *plan);

#endif
