/* SPDX-License-Identifier: Apache-2.0
 *
 * query/optimize/opt_prune.c: makes every node give only the columns that something above it uses,
 * down to the scans, which then read only those. Removes projections that change nothing, and makes
 * one of two that stand on each other.
 *
 * Method    Goes down with the set of wanted columns, and comes back with a map from a node's old
 *           columns to its new ones, by which its parent renumbers its own. A node may give more
 *           columns than are wanted: a filter gives those that it reads. */
#include "query/optimize/optimize_int.h"

typedef struct pruned {
    sm_plan_node *node;
    int32_t *map; /* from old to new columns; −1: the column is gone */
} pruned;

static pruned prune_node(sm_arena *a, sm_plan_node *n, const bool *want);

static bool *wanted_columns(sm_arena *a, int32_t n, const bool *also)
{
    bool *const out = SM_NEW_ARRAY(a, bool, n + 1);
    if (also) {
        memcpy(out, also, (size_t)n * sizeof(bool));
    }
    return out;
}

static int32_t *kept_map(sm_arena *a, const bool *want, int32_t n, int32_t *n_kept)
{
    int32_t *const map = SM_NEW_ARRAY(a, int32_t, n + 1);
    *n_kept = 0;
    for (int32_t i = 0; i < n; i++) {
        map[i] = want[i] ? (*n_kept)++ : -1;
    }
    return map;
}

static const sm_type *kept_fields(sm_arena *a, const sm_type *schema, const int32_t *map,
                                  int32_t n_kept)
{
    sm_field *const fields = SM_NEW_ARRAY(a, sm_field, n_kept + 1);
    for (int32_t i = 0; i < schema->n_fields; i++) {
        SM_ASSERT(map[i] < n_kept);
        if (map[i] >= 0) {
            fields[map[i]] = schema->fields[i];
        }
    }
    return sm_type_struct(a, fields, n_kept);
}

/* ---- leaves ---------------------------------------------------------------------------------- */

static pruned prune_scan(sm_arena *a, sm_plan_node *n, const bool *want)
{
    const sm_dataset *const d = n->as.scan.dataset;
    const int32_t n_stored = d->schema->n_fields - d->n_constants;
    int32_t n_kept = 0, n_read = 0;
    int32_t *const map = kept_map(a, want, n->schema->n_fields, &n_kept);
    int32_t *const columns = SM_NEW_ARRAY(a, int32_t, n_kept + 1);
    int32_t *const read = SM_NEW_ARRAY(a, int32_t, n_kept + 1);
    for (int32_t i = 0; i < n->schema->n_fields; i++) {
        if (map[i] >= 0) {
            columns[map[i]] = n->as.scan.columns[i];
            if (n->as.scan.columns[i] < n_stored) { /* ascending, as the scan's columns are */
                read[n_read++] = n->as.scan.columns[i];
            }
        }
    }
    n->schema = kept_fields(a, n->schema, map, n_kept);
    n->as.scan.columns = columns;
    SM_ASSERT(n_read <= n_stored && n_read <= n_kept);
    n->as.scan.want.columns = read;
    n->as.scan.want.n_columns = n_read;
    return (pruned){n, map};
}

static pruned prune_values(sm_arena *a, sm_plan_node *n, const bool *want)
{
    const int32_t n_old = n->schema->n_fields;
    int32_t n_kept = 0;
    int32_t *const map = kept_map(a, want, n_old, &n_kept);
    const sm_expr **const rows = SM_NEW_ARRAY(a, const sm_expr *, n->as.values.n_rows *n_kept + 1);
    for (int64_t r = 0; r < n->as.values.n_rows; r++) {
        for (int32_t i = 0; i < n_old; i++) {
            if (map[i] >= 0) {
                rows[r * n_kept + map[i]] = n->as.values.rows[r * n_old + i];
            }
        }
    }
    n->schema = kept_fields(a, n->schema, map, n_kept);
    n->as.values.rows = rows;
    return (pruned){n, map};
}

/* ---- projections ----------------------------------------------------------------------------- */

static void count_uses(const sm_expr *x, int32_t *uses)
{
    if (x->kind == SM_EXPR_COLUMN) {
        uses[x->index]++;
    }
    for (int32_t i = 0; i < x->n_args; i++) {
        count_uses(x->args[i], uses);
    }
}

/* Has it arguments of AND, OR or CASE, which may never be evaluated? */
static bool is_lazy(const sm_expr *x)
{
    if (x->kind == SM_EXPR_AND || x->kind == SM_EXPR_OR || x->kind == SM_EXPR_CASE) {
        return true;
    }
    for (int32_t i = 0; i < x->n_args; i++) {
        if (is_lazy(x->args[i])) {
            return true;
        }
    }
    return false;
}

/* Two projections become one, unless an expression would then be computed twice, or be evaluated
 * only for some rows although it can fail for all. */
static void merge_projects(sm_arena *a, sm_plan_node *n)
{
    sm_plan_node *const below = n->inputs[0];
    if (below->kind != SM_PLAN_PROJECT) {
        return;
    }
    int32_t *const uses = SM_NEW_ARRAY(a, int32_t, below->schema->n_fields + 1);
    bool any_lazy = false;
    for (int32_t i = 0; i < n->schema->n_fields; i++) {
        count_uses(n->as.project.exprs[i], uses);
        any_lazy = any_lazy || is_lazy(n->as.project.exprs[i]);
    }
    for (int32_t i = 0; i < below->schema->n_fields; i++) {
        const sm_expr *const x = below->as.project.exprs[i];
        const bool is_cheap =
            x->kind == SM_EXPR_COLUMN || x->kind == SM_EXPR_CONST || x->kind == SM_EXPR_PARAM;
        if (!is_cheap && (uses[i] > 1 || (any_lazy && smi_can_fail(x)))) {
            return;
        }
    }
    for (int32_t i = 0; i < n->schema->n_fields; i++) {
        n->as.project.exprs[i] = smi_substitute(a, n->as.project.exprs[i], below->as.project.exprs);
    }
    SM_ASSERT(below->inputs[0] != NULL);
    n->inputs[0] = below->inputs[0];
}

static bool is_identity(const sm_plan_node *n)
{
    if (n->schema->n_fields != n->inputs[0]->schema->n_fields) {
        return false;
    }
    for (int32_t i = 0; i < n->schema->n_fields; i++) {
        const sm_expr *const x = n->as.project.exprs[i];
        if (x->kind != SM_EXPR_COLUMN || x->index != i) {
            return false;
        }
    }
    return true;
}

static pruned prune_project(sm_arena *a, sm_plan_node *n, const bool *want)
{
    int32_t n_kept = 0;
    const int32_t n_old = n->schema->n_fields;
    int32_t *const map = kept_map(a, want, n_old, &n_kept);
    const sm_expr **const exprs = SM_NEW_ARRAY(a, const sm_expr *, n_kept + 1);
    bool *const below = wanted_columns(a, n->inputs[0]->schema->n_fields, NULL);
    for (int32_t i = 0; i < n_old; i++) {
        if (map[i] >= 0) {
            smi_columns_used(n->as.project.exprs[i], below);
        }
    }
    const pruned in = prune_node(a, n->inputs[0], below);
    for (int32_t i = 0; i < n_old; i++) {
        if (map[i] >= 0) {
            exprs[map[i]] = smi_remap(a, n->as.project.exprs[i], in.map);
        }
    }
    n->schema = kept_fields(a, n->schema, map, n_kept);
    n->as.project.exprs = exprs;
    n->inputs[0] = in.node;
    merge_projects(a, n);
    return (pruned){is_identity(n) ? n->inputs[0] : n, map};
}

/* ---- what passes its input on ---------------------------------------------------------------- */

static pruned prune_passing(sm_arena *a, sm_plan_node *n, const bool *want)
{
    bool *const below = wanted_columns(a, n->schema->n_fields, want);
    sm_sort_key *const keys = n->kind == SM_PLAN_SORT ? n->as.sort.keys : NULL;
    if (n->kind == SM_PLAN_FILTER) {
        smi_columns_used(n->as.filter.where, below);
    }
    for (int32_t i = 0; keys && i < n->as.sort.n_keys; i++) {
        smi_columns_used(keys[i].expr, below);
    }
    const pruned in = prune_node(a, n->inputs[0], below);
    if (n->kind == SM_PLAN_FILTER) {
        n->as.filter.where = smi_remap(a, n->as.filter.where, in.map);
    }
    for (int32_t i = 0; keys && i < n->as.sort.n_keys; i++) {
        keys[i].expr = smi_remap(a, keys[i].expr, in.map);
    }
    n->inputs[0] = in.node;
    n->schema = in.node->schema;
    return (pruned){n, in.map};
}

static pruned prune_aggregate(sm_arena *a, sm_plan_node *n, const bool *want)
{
    const int32_t n_keys = n->as.aggregate.n_keys, n_old = n->schema->n_fields;
    bool *const keep = wanted_columns(a, n_old, want);
    bool *const below = wanted_columns(a, n->inputs[0]->schema->n_fields, NULL);
    int32_t n_kept = 0;
    for (int32_t i = 0; i < n_keys; i++) {
        keep[i] = true;
        smi_columns_used(n->as.aggregate.keys[i], below);
    }
    int32_t *const map = kept_map(a, keep, n_old, &n_kept);
    sm_agg_item *const items = SM_NEW_ARRAY(a, sm_agg_item, n_kept - n_keys + 1);
    for (int32_t i = 0; i < n->as.aggregate.n_items; i++) {
        if (map[n_keys + i] >= 0) {
            const sm_agg_item *const item = &n->as.aggregate.items[i];
            items[map[n_keys + i] - n_keys] = *item;
            smi_columns_used(item->call, below);
            if (item->filter) {
                smi_columns_used(item->filter, below);
            }
        }
    }
    const pruned in = prune_node(a, n->inputs[0], below);
    for (int32_t i = 0; i < n_keys; i++) {
        n->as.aggregate.keys[i] = smi_remap(a, n->as.aggregate.keys[i], in.map);
    }
    for (int32_t i = 0; i < n_kept - n_keys; i++) {
        items[i].call = smi_remap(a, items[i].call, in.map);
        items[i].filter = items[i].filter ? smi_remap(a, items[i].filter, in.map) : NULL;
    }
    SM_ASSERT(n_kept >= n_keys); /* keys decide which rows there are */
    n->schema = kept_fields(a, n->schema, map, n_kept);
    n->as.aggregate.items = items;
    n->as.aggregate.n_items = n_kept - n_keys;
    n->inputs[0] = in.node;
    return (pruned){n, map};
}

static void window_uses(const sm_window_item *w, bool *used)
{
    smi_columns_used(w->call, used);
    for (int32_t i = 0; i < w->n_partition; i++) {
        smi_columns_used(w->partition[i], used);
    }
    for (int32_t i = 0; i < w->n_order; i++) {
        smi_columns_used(w->order[i].expr, used);
    }
}

static sm_window_item remap_window(sm_arena *a, const sm_window_item *w, const int32_t *map)
{
    sm_window_item out = *w;
    sm_sort_key *const order = SM_NEW_ARRAY(a, sm_sort_key, w->n_order + 1);
    out.call = smi_remap(a, w->call, map);
    out.partition = SM_NEW_ARRAY(a, const sm_expr *, w->n_partition + 1);
    for (int32_t i = 0; i < w->n_partition; i++) {
        out.partition[i] = smi_remap(a, w->partition[i], map);
    }
    for (int32_t i = 0; i < w->n_order; i++) {
        order[i] = w->order[i];
        order[i].expr = smi_remap(a, w->order[i].expr, map);
    }
    out.order = order;
    return out;
}

static pruned prune_window(sm_arena *a, sm_plan_node *n, const bool *want)
{
    const int32_t n_old = n->schema->n_fields, n_items = n->as.window.n_items;
    const int32_t n_in = n_old - n_items;
    SM_ASSERT(n_in == n->inputs[0]->schema->n_fields);
    bool *const below = wanted_columns(a, n_in, want);
    sm_window_item *const items = SM_NEW_ARRAY(a, sm_window_item, n_items + 1);
    int32_t *const map = SM_NEW_ARRAY(a, int32_t, n_old + 1);
    int32_t n_kept = 0;
    for (int32_t i = 0; i < n_items; i++) {
        if (want[n_in + i]) {
            window_uses(&n->as.window.items[i], below);
        }
    }
    const pruned in = prune_node(a, n->inputs[0], below);
    memcpy(map, in.map, (size_t)n_in * sizeof(*map));
    for (int32_t i = 0; i < n_items; i++) {
        map[n_in + i] = want[n_in + i] ? in.node->schema->n_fields + n_kept : -1;
        if (want[n_in + i]) {
            items[n_kept++] = remap_window(a, &n->as.window.items[i], in.map);
        }
    }
    return (pruned){n_kept > 0 ? smi_node_window(a, in.node, items, n_kept) : in.node, map};
}

/* ---- two inputs ------------------------------------------------------------------------------ */

static pruned prune_join(sm_arena *a, sm_plan_node *n, const bool *want)
{
    const int32_t n_old = n->schema->n_fields;
    const int32_t n_left = n->inputs[0]->schema->n_fields, n_right = n_old - n_left;
    bool *const all = wanted_columns(a, n_old, want);
    bool *const right = wanted_columns(a, n_right, NULL);
    if (n->as.join.on) {
        smi_columns_used(n->as.join.on, all);
    }
    memcpy(right, all + n_left, (size_t)n_right * sizeof(bool));
    for (int32_t i = 0; i < n->as.join.n_keys; i++) {
        smi_columns_used(n->as.join.left_keys[i], all);
        smi_columns_used(n->as.join.right_keys[i], right);
    }
    const pruned l = prune_node(a, n->inputs[0], all);
    const pruned r = prune_node(a, n->inputs[1], right);
    int32_t *const map = SM_NEW_ARRAY(a, int32_t, n_old + 1);
    memcpy(map, l.map, (size_t)n_left * sizeof(*map));
    for (int32_t i = 0; i < n_right; i++) {
        map[n_left + i] = r.map[i] >= 0 ? l.node->schema->n_fields + r.map[i] : -1;
    }
    for (int32_t i = 0; i < n->as.join.n_keys; i++) {
        n->as.join.left_keys[i] = smi_remap(a, n->as.join.left_keys[i], l.map);
        n->as.join.right_keys[i] = smi_remap(a, n->as.join.right_keys[i], r.map);
    }
    n->as.join.on = n->as.join.on ? smi_remap(a, n->as.join.on, map) : NULL;
    n->inputs[0] = l.node;
    n->inputs[1] = r.node;
    n->schema = sm_plan_join_schema(l.node, r.node, n->as.join.kind, a);
    bool *const is_read = wanted_columns(a, n->schema->n_fields, NULL);
    for (int32_t i = 0; i < n_old; i++) {
        if (map[i] >= 0) {
            is_read[map[i]] = want[i];
        }
    }
    if (n->as.join.on) {
        smi_columns_used(n->as.join.on, is_read);
    }
    n->as.join.is_read = is_read;
    return (pruned){n, map};
}

/* An input of a UNION that gives exactly the wanted columns, as the other one must too. */
static sm_plan_node *exact_columns(sm_arena *a, pruned in, const sm_type *schema,
                                   const int32_t *map, int32_t n_kept)
{
    const sm_expr **const exprs = SM_NEW_ARRAY(a, const sm_expr *, n_kept + 1);
    sm_str *const names = SM_NEW_ARRAY(a, sm_str, n_kept + 1);
    for (int32_t i = 0; i < schema->n_fields; i++) {
        if (map[i] >= 0) {
            SM_ASSERT(in.map[i] >= 0); /* it was wanted */
            exprs[map[i]] = smi_column_ref(a, in.map[i], schema->fields[i].type, NULL);
            names[map[i]] = schema->fields[i].name;
        }
    }
    sm_plan_node *const n = smi_node_project(a, in.node, exprs, names, n_kept);
    merge_projects(a, n);
    return is_identity(n) ? n->inputs[0] : n;
}

static pruned prune_union(sm_arena *a, sm_plan_node *n, const bool *want)
{
    int32_t n_kept = 0;
    int32_t *const map = kept_map(a, want, n->schema->n_fields, &n_kept);
    for (int32_t i = 0; i < 2; i++) {
        const pruned in = prune_node(a, n->inputs[i], want);
        n->inputs[i] = exact_columns(a, in, n->schema, map, n_kept);
    }
    n->schema = kept_fields(a, n->schema, map, n_kept);
    return (pruned){n, map};
}

/* ---- what is wanted whole -------------------------------------------------------------------- */

static bool same_names(const sm_type *x, const sm_type *y)
{
    for (int32_t i = 0; i < x->n_fields; i++) {
        if (!sm_str_eq(x->fields[i].name, y->fields[i].name)) {
            return false;
        }
    }
    return x->n_fields == y->n_fields;
}

/* A node that gives all its columns under its own names, whatever becomes of the nodes below. */
sm_plan_node *smi_opt_prune(sm_arena *a, sm_plan_node *root)
{
    const sm_type *const schema = root->schema;
    const int32_t n = schema->n_fields;
    bool *const want = wanted_columns(a, n, NULL);
    for (int32_t i = 0; i < n; i++) {
        want[i] = true;
    }
    const pruned out = prune_node(a, root, want);
    bool is_same = same_names(schema, out.node->schema);
    for (int32_t i = 0; i < n; i++) {
        is_same = is_same && out.map[i] == i;
    }
    if (is_same) {
        return out.node;
    }
    const sm_expr **const exprs = SM_NEW_ARRAY(a, const sm_expr *, n + 1);
    sm_str *const names = SM_NEW_ARRAY(a, sm_str, n + 1);
    for (int32_t i = 0; i < n; i++) {
        SM_ASSERT(out.map[i] >= 0); /* all were wanted */
        exprs[i] = smi_column_ref(a, out.map[i], schema->fields[i].type, NULL);
        names[i] = schema->fields[i].name;
    }
    sm_plan_node *const named = smi_node_project(a, out.node, exprs, names, n);
    if (out.node->kind == SM_PLAN_PROJECT) {
        merge_projects(a, named);
    }
    return named;
}

/* A CHECK has all columns of its input; rows leave it under the names that its checks were made
 * over. */
static pruned prune_check(sm_arena *a, sm_plan_node *n)
{
    int32_t *const same = SM_NEW_ARRAY(a, int32_t, n->schema->n_fields + 1);
    for (int32_t i = 0; i < n->schema->n_fields; i++) {
        same[i] = i;
    }
    n->inputs[0] = smi_opt_prune(a, n->inputs[0]);
    return (pruned){n, same};
}

static pruned prune_node(sm_arena *a, sm_plan_node *n, const bool *want)
{
    switch (n->kind) {
    case SM_PLAN_SCAN:
        return prune_scan(a, n, want);
    case SM_PLAN_VALUES:
        return prune_values(a, n, want);
    case SM_PLAN_PROJECT:
        return prune_project(a, n, want);
    case SM_PLAN_AGGREGATE:
        return prune_aggregate(a, n, want);
    case SM_PLAN_JOIN:
        return prune_join(a, n, want);
    case SM_PLAN_WINDOW:
        return prune_window(a, n, want);
    case SM_PLAN_UNION:
        return prune_union(a, n, want);
    case SM_PLAN_CHECK:
        return prune_check(a, n);
    case SM_PLAN_FILTER:
    case SM_PLAN_SORT:
    case SM_PLAN_LIMIT:
        break;
    }
    return prune_passing(a, n, want);
}
