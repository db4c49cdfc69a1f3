/* SPDX-License-Identifier: Apache-2.0
 *
 * query/plan_match.c: is a node of one plan the rows of another plan, whatever else it computes of
 * them? So what is asked of a view need not be computed apart where a query computes it anyway.
 * Called by plan_watch.c.
 *
 * Method    Both plans are optimised, so that filters and joins are where they belong in each, and
 *           projections are merged. Then two nodes are compared from the top down. Columns have
 *           other numbers in the other plan, which has some more: a map tells which is which.
 *           Projections are no rows of their own; what they compute is compared over what is below
 *           them. An AGGREGATE may have more items, a WINDOW too.
 * Doubt     is no: a node that is not known to give the same rows (LIMIT, SORT, UNION, constant
 *           rows, a check that takes rows away) is another one. So is a scan of text that does not
 *           look at all columns of a line: what is read decides which lines it refuses. */
#include "query/query_int.h"

#define MAX_NODES 100000 /* of a node's expressions once they are written out */

/* A node below projections, and the columns above them over its own. */
typedef struct source {
    const sm_plan_node *node;
    const sm_expr **exprs;
    int32_t n;
} source;

/* Projections, and checks by which no row leaves, are passed over. false: they are too large. */
static bool find_source(sm_arena *a, const sm_plan_node *n, source *out)
{
    int64_t size = 0;

    *out = (source){.exprs = SM_NEW_ARRAY(a, const sm_expr *, n->schema->n_fields + 1),
                    .n = n->schema->n_fields};
    for (int32_t i = 0; i < out->n; i++) {
        out->exprs[i] = sm_expr_column(n->schema, i, a);
    }
    for (; size <= MAX_NODES; n = n->inputs[0]) {
        if (n->kind == SM_PLAN_CHECK && n->as.check.is_watch) {
            continue; /* its columns are the first of its input */
        }
        if (n->kind != SM_PLAN_PROJECT) {
            out->node = n;
            return true;
        }
        size = 0;
        for (int32_t i = 0; i < out->n; i++) {
            out->exprs[i] = smi_substitute(a, out->exprs[i], n->as.project.exprs);
            size += smi_expr_size(out->exprs[i]);
        }
    }
    return false;
}

/* x over the columns of the other node; NULL: it reads one that is not there, or is NULL. */
static const sm_expr *mapped(sm_arena *a, const sm_expr *x, const int32_t *map, int32_t n)
{
    bool *const used = SM_NEW_ARRAY(a, bool, n + 1);

    if (!x) {
        return NULL;
    }
    smi_columns_used(x, used);
    for (int32_t i = 0; i < n; i++) {
        if (used[i] && map[i] < 0) {
            return NULL;
        }
    }
    return smi_remap(a, x, map);
}

static bool mapped_eq(sm_arena *a, const sm_expr *x, const int32_t *map, int32_t n,
                      const sm_expr *y)
{
    const sm_expr *const same = mapped(a, x, map, n);

    return same && y ? sm_expr_eq(same, y) : !x && !y;
}

/* Do two inputs give the same rows? map: one a column of `in`; NULL: they do not. */
static const int32_t *match_inputs(sm_arena *a, const sm_plan_node *in, const sm_plan_node *other)
{
    source x, y;
    const int32_t *below = NULL;

    if (!find_source(a, in, &x) || !find_source(a, other, &y)) {
        return NULL;
    }
    below = smi_plan_match(a, x.node, y.node);
    if (!below) {
        return NULL;
    }
    int32_t *const map = SM_NEW_ARRAY(a, int32_t, x.n + 1);
    for (int32_t i = 0; i < x.n; i++) {
        map[i] = -1;
        for (int32_t k = 0; k < y.n && map[i] < 0; k++) {
            map[i] = mapped_eq(a, x.exprs[i], below, x.node->schema->n_fields, y.exprs[k]) ? k : -1;
        }
    }
    return map;
}

/* ---- nodes ----------------------------------------------------------------------------------- */

/* A scan's bounds come from the filter above it, which is found to be the same in both. So it does
 * not matter if this scan has them and the other has lost them to a check. */
static bool match_scan(const sm_plan_node *v, const sm_plan_node *n, int32_t *map)
{
    const sm_projection *const x = &v->as.scan.want, *const y = &n->as.scan.want;
    const sm_dataset *const d = v->as.scan.dataset;

    if (d != n->as.scan.dataset || d->rescues || (y->bounds.n > 0 && y->bounds.n != x->bounds.n) ||
        (smi_is_text(d) && !(x->validate_all && y->validate_all))) {
        return false;
    }
    for (int32_t i = 0; i < v->schema->n_fields; i++) {
        for (int32_t k = 0; k < n->schema->n_fields; k++) {
            map[i] = n->as.scan.columns[k] == v->as.scan.columns[i] ? k : map[i];
        }
    }
    return true;
}

static bool item_eq(sm_arena *a, const sm_agg_item *x, const int32_t *map, int32_t n,
                    const sm_agg_item *y)
{
    return x->is_distinct == y->is_distinct && mapped_eq(a, x->call, map, n, y->call) &&
           mapped_eq(a, x->filter, map, n, y->filter);
}

/* Each key of one must be one of the other. */
static bool match_aggregate(sm_arena *a, const sm_plan_node *v, const sm_plan_node *n, int32_t *map)
{
    const int32_t *const in = match_inputs(a, v->inputs[0], n->inputs[0]);
    const int32_t n_in = v->inputs[0]->schema->n_fields, n_keys = v->as.aggregate.n_keys;
    bool *const is_taken = SM_NEW_ARRAY(a, bool, n_keys + 1);

    if (!in || n_keys != n->as.aggregate.n_keys) {
        return false;
    }
    for (int32_t i = 0; i < n_keys; i++) {
        for (int32_t k = 0; k < n_keys && map[i] < 0; k++) {
            const sm_expr *const key = n->as.aggregate.keys[k];
            if (!is_taken[k] && mapped_eq(a, v->as.aggregate.keys[i], in, n_in, key)) {
                is_taken[k] = true;
                map[i] = k;
            }
        }
        if (map[i] < 0) {
            return false;
        }
    }
    for (int32_t i = 0; i < v->as.aggregate.n_items; i++) {
        for (int32_t k = 0; k < n->as.aggregate.n_items; k++) {
            const bool is_same =
                item_eq(a, &v->as.aggregate.items[i], in, n_in, &n->as.aggregate.items[k]);
            map[n_keys + i] = is_same ? n_keys + k : map[n_keys + i];
        }
    }
    return true;
}

static bool match_filter(sm_arena *a, const sm_plan_node *v, const sm_plan_node *n, int32_t *map)
{
    const int32_t *const in = match_inputs(a, v->inputs[0], n->inputs[0]);

    if (!in || !mapped_eq(a, v->as.filter.where, in, v->schema->n_fields, n->as.filter.where)) {
        return false;
    }
    memcpy(map, in, (size_t)v->schema->n_fields * sizeof(*map));
    return true;
}

static bool keys_eq(sm_arena *a, const sm_expr *const *x, const int32_t *map, int32_t n_columns,
                    const sm_expr *const *y, int32_t n)
{
    for (int32_t i = 0; i < n; i++) {
        if (!mapped_eq(a, x[i], map, n_columns, y[i])) {
            return false;
        }
    }
    return true;
}

static bool match_join(sm_arena *a, const sm_plan_node *v, const sm_plan_node *n, int32_t *map)
{
    const int32_t *const left = match_inputs(a, v->inputs[0], n->inputs[0]);
    const int32_t *const right = left ? match_inputs(a, v->inputs[1], n->inputs[1]) : NULL;
    const int32_t n_left = v->inputs[0]->schema->n_fields;
    const int32_t n_right = v->inputs[1]->schema->n_fields;
    const int32_t n_keys = v->as.join.n_keys;

    if (!right || v->as.join.kind != n->as.join.kind || n_keys != n->as.join.n_keys ||
        !keys_eq(a, v->as.join.left_keys, left, n_left, n->as.join.left_keys, n_keys) ||
        !keys_eq(a, v->as.join.right_keys, right, n_right, n->as.join.right_keys, n_keys)) {
        return false;
    }
    for (int32_t i = 0; i < n_left + n_right; i++) {
        const int32_t at = i < n_left ? left[i] : right[i - n_left];
        map[i] = i < n_left || at < 0 ? at : n->inputs[0]->schema->n_fields + at;
    }
    const bool is_same = mapped_eq(a, v->as.join.on, map, n_left + n_right, n->as.join.on);
    for (int32_t i = 0; i < n_left + n_right && n->as.join.is_read; i++) {
        map[i] =
            map[i] >= 0 && n->as.join.is_read[map[i]] ? map[i] : -1; /* others have no values */
    }
    return is_same;
}

static sm_window_item mapped_window(sm_arena *a, const sm_window_item *w, const int32_t *map,
                                    int32_t n)
{
    sm_window_item out = {.call = mapped(a, w->call, map, n),
                          .partition = SM_NEW_ARRAY(a, const sm_expr *, w->n_partition + 1),
                          .n_partition = w->n_partition,
                          .n_order = w->n_order};
    sm_sort_key *const order = SM_NEW_ARRAY(a, sm_sort_key, w->n_order + 1);
    bool is_whole = out.call != NULL;

    for (int32_t i = 0; i < w->n_partition; i++) {
        out.partition[i] = mapped(a, w->partition[i], map, n);
        is_whole = is_whole && out.partition[i];
    }
    for (int32_t i = 0; i < w->n_order; i++) {
        order[i] = w->order[i];
        order[i].expr = mapped(a, w->order[i].expr, map, n);
        is_whole = is_whole && order[i].expr;
    }
    out.order = order;
    out.call = is_whole ? out.call : NULL;
    return out;
}

static bool match_window(sm_arena *a, const sm_plan_node *v, const sm_plan_node *n, int32_t *map)
{
    const int32_t *const in = match_inputs(a, v->inputs[0], n->inputs[0]);
    const int32_t n_in = v->inputs[0]->schema->n_fields, n_first = n->inputs[0]->schema->n_fields;

    if (!in) {
        return false;
    }
    memcpy(map, in, (size_t)n_in * sizeof(*map));
    for (int32_t i = 0; i < v->as.window.n_items; i++) {
        const sm_window_item item = mapped_window(a, &v->as.window.items[i], in, n_in);
        for (int32_t k = 0; item.call && k < n->as.window.n_items; k++) {
            map[n_in + i] =
                smi_window_eq(&item, &n->as.window.items[k]) ? n_first + k : map[n_in + i];
        }
    }
    return true;
}

const int32_t *smi_plan_match(sm_arena *a, const sm_plan_node *v, const sm_plan_node *n)
{
    int32_t *const map = SM_NEW_ARRAY(a, int32_t, v->schema->n_fields + 1);
    bool is_same = false;

    for (int32_t i = 0; i < v->schema->n_fields; i++) {
        map[i] = -1;
    }
    SM_ASSERT(v->n_inputs == smi_node_inputs(v->kind) && n->n_inputs == smi_node_inputs(n->kind));
    if (v->kind != n->kind) {
        return NULL;
    }
    switch (v->kind) {
    case SM_PLAN_SCAN:
        is_same = match_scan(v, n, map);
        break;
    case SM_PLAN_FILTER:
        is_same = match_filter(a, v, n, map);
        break;
    case SM_PLAN_AGGREGATE:
        is_same = match_aggregate(a, v, n, map);
        break;
    case SM_PLAN_JOIN:
        is_same = match_join(a, v, n, map);
        break;
    case SM_PLAN_WINDOW:
        is_same = match_window(a, v, n, map);
        break;
    default:
        break;
    }
    for (int32_t i = 0; i < v->schema->n_fields && is_same; i++) {
        SM_ASSERT(map[i] < n->schema->n_fields);
        SM_ASSERT(map[i] < 0 ||
                  sm_type_eq(v->schema->fields[i].type, n->schema->fields[map[i]].type));
    }
    return is_same ? map : NULL;
}
