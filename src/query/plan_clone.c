/* SPDX-License-Identifier: Apache-2.0
 *
 * query/plan_clone.c: copies the nodes of a plan; a node with several parents becomes several
 * nodes. The optimizer writes into nodes and relies on each having one parent, whereas callers that
 * build plans may use a node in many places. Called by sm_plan_finish(), and by the binder where a
 * name in FROM stands for a node.
 *
 * Copied    nodes, and the arrays of expressions, items and keys, which the optimizer writes into.
 * Shared    expressions, types and datasets: nobody changes them.
 * Limits    Where a node is both inputs of a join, and this join is both inputs of another, and so
 *           on, the copy doubles at each: so its nodes are counted. Its levels are limited because
 *           every pass over a plan is recursive. */
#include "query/query_int.h"

#define MAX_NODES  100000
#define MAX_LEVELS 2000

typedef struct cloning {
    sm_arena *a;
    int32_t n_nodes; /* copied so far */
    int32_t depth;   /* of the node that is being copied */
} cloning;

static const sm_expr **exprs_copy(sm_arena *a, const sm_expr *const *exprs, int64_t n)
{
    const sm_expr **const out = SM_NEW_ARRAY(a, const sm_expr *, n + 1);
    for (int64_t i = 0; i < n; i++) {
        out[i] = exprs[i];
    }
    return out;
}

static sm_sort_key *keys_copy(sm_arena *a, const sm_sort_key *keys, int32_t n)
{
    sm_sort_key *const out = SM_NEW_ARRAY(a, sm_sort_key, n + 1);
    for (int32_t i = 0; i < n; i++) {
        out[i] = keys[i];
    }
    return out;
}

static sm_agg_item *items_copy(sm_arena *a, const sm_agg_item *items, int32_t n)
{
    sm_agg_item *const out = SM_NEW_ARRAY(a, sm_agg_item, n + 1);
    for (int32_t i = 0; i < n; i++) {
        out[i] = items[i];
    }
    return out;
}

static sm_window_item *windows_copy(sm_arena *a, const sm_window_item *items, int32_t n)
{
    sm_window_item *const out = SM_NEW_ARRAY(a, sm_window_item, n + 1);
    for (int32_t i = 0; i < n; i++) {
        out[i] = items[i];
        out[i].partition = exprs_copy(a, items[i].partition, items[i].n_partition);
        out[i].order = keys_copy(a, items[i].order, items[i].n_order);
    }
    return out;
}

/* Copies the arrays that a copied node still shares with the original. */
static void copy_arrays(sm_arena *a, sm_plan_node *n)
{
    switch (n->kind) {
    case SM_PLAN_PROJECT:
        n->as.project.exprs = exprs_copy(a, n->as.project.exprs, n->schema->n_fields);
        break;
    case SM_PLAN_AGGREGATE:
        n->as.aggregate.keys = exprs_copy(a, n->as.aggregate.keys, n->as.aggregate.n_keys);
        n->as.aggregate.items = items_copy(a, n->as.aggregate.items, n->as.aggregate.n_items);
        break;
    case SM_PLAN_JOIN:
        n->as.join.left_keys = exprs_copy(a, n->as.join.left_keys, n->as.join.n_keys);
        n->as.join.right_keys = exprs_copy(a, n->as.join.right_keys, n->as.join.n_keys);
        break;
    case SM_PLAN_WINDOW:
        n->as.window.items = windows_copy(a, n->as.window.items, n->as.window.n_items);
        break;
    case SM_PLAN_SORT:
        n->as.sort.keys = keys_copy(a, n->as.sort.keys, n->as.sort.n_keys);
        break;
    case SM_PLAN_SCAN: /* passes give these new arrays and do not write into the old ones */
    case SM_PLAN_VALUES:
    case SM_PLAN_FILTER:
    case SM_PLAN_LIMIT:
    case SM_PLAN_UNION:
    case SM_PLAN_CHECK: /* no pass changes what it reads: all columns of its input */
        break;
    }
}

static sm_status copy_node(cloning *c, const sm_plan_node *n, sm_plan_node **out, sm_error *e)
{
    if (++c->n_nodes > MAX_NODES || ++c->depth > MAX_LEVELS) {
        return sm_fail(e, SM_LIMIT, "plan is over the limit of %d nodes or %d levels", MAX_NODES,
                       MAX_LEVELS);
    }
    sm_plan_node *const copy = SM_NEW(c->a, sm_plan_node);
    *copy = *n;
    copy_arrays(c->a, copy);
    for (int32_t i = 0; i < n->n_inputs; i++) {
        SM_TRY(copy_node(c, n->inputs[i], &copy->inputs[i], e));
    }
    c->depth--;
    SM_ASSERT(c->depth >= 0 && copy->n_inputs == smi_node_inputs(copy->kind));
    *out = copy;
    return SM_OK;
}

sm_status smi_plan_clone(sm_arena *a, const sm_plan_node *root, sm_plan_node **out, sm_error *e)
{
    cloning c = {.a = a};
    return copy_node(&c, root, out, e);
}
