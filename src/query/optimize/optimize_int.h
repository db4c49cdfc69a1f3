/* SPDX-License-Identifier: Apache-2.0
 *
 * query/optimize/optimize_int.h: the passes of the optimizer, in their order. The nodes of a plan
 * must have one parent each; a pass changes them in place or replaces them. */
#ifndef SM_QUERY_OPTIMIZE_INT_H
#define SM_QUERY_OPTIMIZE_INT_H

#include "query/query_int.h"

/** Takes the number of rows where it is known, instead of counting them. */
sm_plan_node *smi_opt_count(sm_arena *a, sm_plan_node *n);
/** Joins of aggregates over equal inputs become one aggregate. */
sm_plan_node *smi_opt_merge_aggregates(sm_arena *a, sm_plan_node *n);
/** Leaves out columns that nothing uses. */
sm_plan_node *smi_opt_prune(sm_arena *a, sm_plan_node *root);
/** Computes once what a projection computes several times. */
sm_plan_node *smi_opt_share(sm_arena *a, sm_plan_node *n);
/** All passes that look at one tree at a time (optimize.c). The root keeps its schema. */
sm_plan_node *smi_optimize(sm_arena *a, sm_plan_node *root);
/** Tells the scans which objects the plan takes whole; after all passes that move columns. */
void smi_opt_taken(sm_arena *a, const sm_plan *plan);
/** Makes scans read only those fields of structs that something above them uses. The last pass:
 * earlier ones give scans paths that count the fields of the files' own types. */
void smi_opt_fields(sm_arena *a, const sm_plan *plan);

#endif
