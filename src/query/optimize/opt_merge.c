/* SPDX-License-Identifier: Apache-2.0
 *
 * query/optimize/opt_merge.c: an inner join of two aggregates over equal inputs, on all their keys,
 * becomes one aggregate with the items of both, and a projection above it. So two layers of a query
 * that group the same rows by the same key read these rows once.
 *
 *   JOIN a.k = b.k                          PROJECT columns of both
 *     PROJECT … FILTER … AGGREGATE k: x       FILTER of both, k IS NOT NULL
 *       PROJECT P1                              AGGREGATE k: x, y
 *         X                            =>         PROJECT P1 and P2
 *     PROJECT … FILTER … AGGREGATE k: y             X
 *       PROJECT P2
 *         X
 *
 * Proof     Each side has one row for a key, so the join pairs rows one to one. A key that one
 *           side's filter drops is dropped by the join, and so it is by both filters together. A
 *           NULL key equals nothing in a join, hence k IS NOT NULL. The order of grouped rows
 *           depends on the key alone.
 * X         The inputs are equal as plans (smi_plan_eq), as for a view that is named twice. */
#include "query/optimize/optimize_int.h"

#define MAX_SIDE_NODES 100000 /* of a side's expressions once they are written out */

/* One input of the join: the projections and filters above its AGGREGATE, over the AGGREGATE's
 * columns; and what the AGGREGATE reads, over the columns of `base`. */
typedef struct side {
    sm_plan_node *aggregate, *base;
    const sm_expr **outputs; /* one a column that the join sees */
    const sm_expr **filters;
    int32_t n_filters;
    const sm_expr **reads; /* one a column of the AGGREGATE's input */
} side;

static const sm_expr **identity_exprs(sm_arena *a, const sm_type *schema)
{
    const sm_expr **const out = SM_NEW_ARRAY(a, const sm_expr *, schema->n_fields + 1);
    for (int32_t i = 0; i < schema->n_fields; i++) {
        out[i] = smi_column_ref(a, i, schema->fields[i].type, NULL);
    }
    return out;
}

static bool small_enough(const sm_expr *const *exprs, int32_t n)
{
    int64_t size = 0;
    for (int32_t i = 0; i < n; i++) {
        size += smi_expr_size(exprs[i]);
    }
    return size <= MAX_SIDE_NODES;
}

static void substitute_all(sm_arena *a, const sm_expr **exprs, int32_t n, const sm_expr *const *by)
{
    for (int32_t i = 0; i < n; i++) {
        exprs[i] = smi_substitute(a, exprs[i], by);
    }
}

/* Down over projections and filters to the AGGREGATE. */
static bool find_aggregate(sm_arena *a, sm_plan_node *n, side *out)
{
    const int32_t n_out = n->schema->n_fields;
    out->outputs = identity_exprs(a, n->schema);
    for (;; n = n->inputs[0]) {
        if (n->kind == SM_PLAN_PROJECT) {
            substitute_all(a, out->outputs, n_out, n->as.project.exprs);
            substitute_all(a, out->filters, out->n_filters, n->as.project.exprs);
        } else if (n->kind == SM_PLAN_FILTER) {
            smi_conjuncts(a, n->as.filter.where, &out->filters, &out->n_filters);
        } else {
            break;
        }
        if (!small_enough(out->outputs, n_out) || !small_enough(out->filters, out->n_filters)) {
            return false;
        }
    }
    out->aggregate = n;
    return n->kind == SM_PLAN_AGGREGATE && n->as.aggregate.n_keys > 0;
}

/* From the AGGREGATE down over projections. */
static bool find_base(sm_arena *a, side *s)
{
    sm_plan_node *n = s->aggregate->inputs[0];
    const int32_t n_reads = n->schema->n_fields;
    s->reads = identity_exprs(a, n->schema);
    for (; n->kind == SM_PLAN_PROJECT; n = n->inputs[0]) {
        substitute_all(a, s->reads, n_reads, n->as.project.exprs);
        if (!small_enough(s->reads, n_reads)) {
            return false;
        }
    }
    s->base = n;
    return true;
}

/* ---- keys ------------------------------------------------------------------------------------ */

/* pairs[i]: the left key that is the right side's key i. Both sides' keys must be joined one to one
 * and be the same expression over the base. */
static bool pair_keys(sm_arena *a, const sm_plan_node *join, const side *left, const side *right,
                      int32_t *pairs)
{
    const int32_t n = join->as.join.n_keys;
    const sm_plan_node *const l = left->aggregate, *const r = right->aggregate;
    bool *const taken = SM_NEW_ARRAY(a, bool, n + 1);
    if (n != l->as.aggregate.n_keys || n != r->as.aggregate.n_keys) {
        return false;
    }
    for (int32_t i = 0; i < n; i++) {
        pairs[i] = -1;
    }
    for (int32_t i = 0; i < n; i++) {
        const sm_expr *const x = smi_substitute(a, join->as.join.left_keys[i], left->outputs);
        const sm_expr *const y = smi_substitute(a, join->as.join.right_keys[i], right->outputs);
        if (x->kind != SM_EXPR_COLUMN || y->kind != SM_EXPR_COLUMN || x->index >= n ||
            y->index >= n || taken[x->index] || pairs[y->index] >= 0) {
            return false;
        }
        const sm_expr *const key_x = smi_substitute(a, l->as.aggregate.keys[x->index], left->reads);
        const sm_expr *const key_y =
            smi_substitute(a, r->as.aggregate.keys[y->index], right->reads);
        if (!sm_expr_eq(key_x, key_y)) {
            return false;
        }
        taken[x->index] = true;
        pairs[y->index] = x->index;
    }
    return true;
}

/* Is the key known not to be NULL, by its source or by the filter that the base is? */
static bool is_never_null(const sm_expr *key, const sm_plan_node *base)
{
    if (!smi_expr_nullable(key, base->schema)) {
        return true;
    }
    return key->kind == SM_EXPR_COLUMN && base->kind == SM_PLAN_FILTER &&
           smi_rejects_null(base->as.filter.where, key->index);
}

/* ---- the new aggregate ----------------------------------------------------------------------- */

/* The columns that the two sides read, each once. */
typedef struct reading {
    const sm_expr **exprs;
    int32_t n;
} reading;

static int32_t *add_reads(sm_arena *a, reading *r, const side *s)
{
    const int32_t n = s->aggregate->inputs[0]->schema->n_fields;
    int32_t *const map = SM_NEW_ARRAY(a, int32_t, n + 1);
    for (int32_t i = 0; i < n; i++) {
        int32_t at = 0;
        while (at < r->n && !sm_expr_eq(r->exprs[at], s->reads[i])) {
            at++;
        }
        if (at == r->n) {
            r->exprs[r->n++] = s->reads[i];
        }
        map[i] = at;
    }
    return map;
}

static sm_agg_item remapped_item(sm_arena *a, const sm_agg_item *item, const int32_t *map)
{
    sm_agg_item out = *item;
    out.call = smi_remap(a, item->call, map);
    out.filter = item->filter ? smi_remap(a, item->filter, map) : NULL;
    return out;
}

static bool item_eq(const sm_agg_item *x, const sm_agg_item *y)
{
    const bool same_filter =
        x->filter && y->filter ? sm_expr_eq(x->filter, y->filter) : x->filter == y->filter;
    return same_filter && sm_expr_eq(x->call, y->call);
}

/* Adds a side's items to those of the new aggregate; returns the map from the side's columns. */
static int32_t *add_items(sm_arena *a, sm_agg_item *items, int32_t *n_items, const side *s,
                          const int32_t *reads, const int32_t *key_map)
{
    const sm_plan_node *const agg = s->aggregate;
    const int32_t n_keys = agg->as.aggregate.n_keys;
    int32_t *const map = SM_NEW_ARRAY(a, int32_t, agg->schema->n_fields + 1);
    for (int32_t i = 0; i < n_keys; i++) {
        map[i] = key_map ? key_map[i] : i;
        SM_ASSERT(map[i] >= 0 && map[i] < n_keys); /* pair_keys() paired each */
    }
    for (int32_t i = 0; i < agg->as.aggregate.n_items; i++) {
        const sm_agg_item item = remapped_item(a, &agg->as.aggregate.items[i], reads);
        int32_t at = 0;
        while (at < *n_items && !item_eq(&items[at], &item)) {
            at++;
        }
        if (at == *n_items) {
            items[(*n_items)++] = item;
        }
        map[n_keys + i] = n_keys + at;
    }
    return map;
}

static sm_plan_node *merged_aggregate(sm_arena *a, sm_plan_node *join, const side *left,
                                      const side *right, const int32_t *pairs)
{
    const sm_plan_node *const l = left->aggregate, *const r = right->aggregate;
    const int32_t n_keys = l->as.aggregate.n_keys;
    const int32_t n_left = join->inputs[0]->schema->n_fields, n_all = join->schema->n_fields;
    const int32_t max_reads = l->inputs[0]->schema->n_fields + r->inputs[0]->schema->n_fields;
    reading reads = {SM_NEW_ARRAY(a, const sm_expr *, max_reads + 1), 0};
    sm_agg_item *const items =
        SM_NEW_ARRAY(a, sm_agg_item, l->as.aggregate.n_items + r->as.aggregate.n_items + 1);
    int32_t n_items = 0;

    const int32_t *const read_l = add_reads(a, &reads, left);
    const int32_t *const read_r = add_reads(a, &reads, right);
    const int32_t *const map_l = add_items(a, items, &n_items, left, read_l, NULL);
    const int32_t *const map_r = add_items(a, items, &n_items, right, read_r, pairs);
    SM_ASSERT(reads.n <= max_reads);
    SM_ASSERT(n_items <= l->as.aggregate.n_items + r->as.aggregate.n_items);

    sm_str *const read_names = SM_NEW_ARRAY(a, sm_str, reads.n + 1);
    for (int32_t i = 0; i < reads.n; i++) {
        for (int32_t k = 0; k < l->inputs[0]->schema->n_fields; k++) {
            read_names[i] = read_l[k] == i ? l->inputs[0]->schema->fields[k].name : read_names[i];
        }
        for (int32_t k = 0; k < r->inputs[0]->schema->n_fields && read_names[i].len == 0; k++) {
            read_names[i] = read_r[k] == i ? r->inputs[0]->schema->fields[k].name : read_names[i];
        }
    }
    sm_plan_node *n = smi_node_project(a, left->base, reads.exprs, read_names, reads.n);
    const sm_expr **const keys = SM_NEW_ARRAY(a, const sm_expr *, n_keys);
    for (int32_t i = 0; i < n_keys; i++) {
        keys[i] = smi_remap(a, l->as.aggregate.keys[i], read_l);
    }
    n = smi_node_aggregate(a, n, keys, n_keys, items, n_items);

    const sm_expr **const where =
        SM_NEW_ARRAY(a, const sm_expr *, left->n_filters + right->n_filters + n_keys + 1);
    int32_t n_where = 0;
    for (int32_t i = 0; i < n_keys; i++) {
        const sm_expr *const key = smi_substitute(a, l->as.aggregate.keys[i], left->reads);
        if (!is_never_null(key, left->base)) {
            const sm_expr **const arg = SM_NEW_ARRAY(a, const sm_expr *, 1);
            arg[0] = smi_column_ref(a, i, keys[i]->type, NULL);
            where[n_where++] = smi_call(a, "is_not_null", &sm_type_bool, arg, 1, NULL);
        }
    }
    for (int32_t i = 0; i < left->n_filters; i++) {
        where[n_where++] = smi_remap(a, left->filters[i], map_l);
    }
    for (int32_t i = 0; i < right->n_filters; i++) {
        where[n_where++] = smi_remap(a, right->filters[i], map_r);
    }
    n = smi_node_filter(a, n, smi_and(a, where, n_where));

    const sm_expr **const exprs = SM_NEW_ARRAY(a, const sm_expr *, n_all + 1);
    sm_str *const names = SM_NEW_ARRAY(a, sm_str, n_all + 1);
    for (int32_t i = 0; i < n_all; i++) {
        exprs[i] = i < n_left ? smi_remap(a, left->outputs[i], map_l)
                              : smi_remap(a, right->outputs[i - n_left], map_r);
        names[i] = join->schema->fields[i].name;
    }
    return smi_node_project(a, n, exprs, names, n_all);
}

static sm_plan_node *merge_join(sm_arena *a, sm_plan_node *join)
{
    side left = {0}, right = {0};
    int32_t *const pairs = SM_NEW_ARRAY(a, int32_t, join->as.join.n_keys + 1);
    if (join->as.join.kind != SM_JOIN_INNER || join->as.join.on ||
        !find_aggregate(a, join->inputs[0], &left) || !find_aggregate(a, join->inputs[1], &right) ||
        !find_base(a, &left) || !find_base(a, &right) ||
        !pair_keys(a, join, &left, &right, pairs) || !smi_plan_eq(left.base, right.base)) {
        return join;
    }
    return merged_aggregate(a, join, &left, &right, pairs);
}

sm_plan_node *smi_opt_merge_aggregates(sm_arena *a, sm_plan_node *n)
{
    for (int32_t i = 0; i < n->n_inputs; i++) {
        n->inputs[i] = smi_opt_merge_aggregates(a, n->inputs[i]);
    }
    return n->kind == SM_PLAN_JOIN ? merge_join(a, n) : n;
}
