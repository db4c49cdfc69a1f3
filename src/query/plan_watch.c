/* SPDX-License-Identifier: Apache-2.0
 *
 * query/plan_watch.c: checks of a relation's rows in a plan that computes them for another purpose,
 * so that they are not computed once more. Called by query.c when a plan is optimised, but for the
 * passes that count the fields of structs.
 *
 *   …                    …
 *   SCAN of own columns    CHECK of the relation's columns; the own ones go on
 *                    =>      PROJECT the own ones, and behind them the relation's
 *                              SCAN of both
 *
 * Scans     A relation of columns of one scan may read some that the plan does not: the scan reads
 *           these, too.
 * Others    Of a relation that is filtered, joined or grouped, the plan must have a node that gives
 *           its rows and all columns that the checks read (plan_match.c). The CHECK is above it.
 * Rows      go on as they were: no check takes one away. The scan gives all of them: a CHECK is
 *           read to its end whatever stands above it, and bounds, by which the scan could pass over
 *           files, are taken off it; the filter that they come from stays.
 * Refused   Lines are refused for the columns that are read of them, unless the relation says
 *           validate => 'all'. Text without that is left alone: with more columns read the query
 *           would lose rows.
 * Files     The report of a run has all files of text that it read. A relation of text is left
 *           alone where the plan reads other text, so that these files are the relation's.
 * Pruned    A scan of a table with bounds is left alone, too: it may read few of many files. */
#include "query/optimize/optimize_int.h"

#define MAX_NODES 100000 /* of the relation's expressions once they are written out */

/* A relation's columns over those of the node below its projections, in a plan of its own. */
typedef struct relation {
    const sm_plan_node *node;
    const sm_expr **exprs; /* one a column of its rows */
    int32_t n;
} relation;

/* false: its expressions are too large. */
static bool find_relation(const sm_plan_node *rows, sm_arena *a, relation *out)
{
    const sm_plan_node *n = rows;
    int64_t size = 0;

    *out = (relation){.exprs = SM_NEW_ARRAY(a, const sm_expr *, rows->schema->n_fields + 1),
                      .n = rows->schema->n_fields};
    for (int32_t i = 0; i < out->n; i++) {
        out->exprs[i] = sm_expr_column(rows->schema, i, a);
    }
    for (; n->kind == SM_PLAN_PROJECT && size <= MAX_NODES; n = n->inputs[0]) {
        size = 0;
        for (int32_t i = 0; i < out->n; i++) {
            out->exprs[i] = smi_substitute(a, out->exprs[i], n->as.project.exprs);
            size += smi_expr_size(out->exprs[i]);
        }
    }
    out->node = n;
    return size <= MAX_NODES;
}

/* Has the plan a scan of the dataset, or where that is NULL one of text? */
static bool has_scan(const sm_plan_node *n, const sm_dataset *d)
{
    const bool is_scan = n->kind == SM_PLAN_SCAN;
    bool has = is_scan && (d ? n->as.scan.dataset == d : smi_is_text(n->as.scan.dataset));

    for (int32_t i = 0; i < n->n_inputs && !has; i++) {
        has = has_scan(n->inputs[i], d);
    }
    return has;
}

/* Does the plan read other text than the relation? */
static bool reads_other_text(const sm_plan_node *n, const sm_plan_node *of)
{
    bool reads = n->kind == SM_PLAN_SCAN && smi_is_text(n->as.scan.dataset) &&
                 !has_scan(of, n->as.scan.dataset);

    for (int32_t i = 0; i < n->n_inputs && !reads; i++) {
        reads = reads_other_text(n->inputs[i], of);
    }
    return reads;
}

/* ---- a relation of one scan ------------------------------------------------------------------ */

/* Does the scan give the rows that the relation's own would, with more columns too? */
static bool is_fit(const sm_plan_node *scan, const sm_dataset *d)
{
    return scan->as.scan.dataset == d && !d->rescues && scan->schema->n_fields > 0 &&
           (smi_is_text(d) ? scan->as.scan.want.validate_all : scan->as.scan.want.bounds.n == 0);
}

/* Where the plan links to such a scan; NULL: it has none. */
static sm_plan_node **find_scan(sm_plan_node **at, const sm_dataset *d)
{
    sm_plan_node **found = NULL;

    if ((*at)->kind == SM_PLAN_SCAN) {
        return is_fit(*at, d) ? at : NULL;
    }
    for (int32_t i = 0; i < (*at)->n_inputs && !found; i++) {
        found = find_scan(&(*at)->inputs[i], d);
    }
    return found;
}

/* The scan with the columns that the relation needs, too. place[c]: where it gives column c of the
 * dataset; −1: it does not. */
static sm_plan_node *widen_scan(const sm_plan_node *scan, const relation *of, sm_arena *a,
                                int32_t *place)
{
    const sm_dataset *const d = scan->as.scan.dataset;
    const int32_t n_all = d->schema->n_fields, n_stored = n_all - d->n_constants;
    sm_plan_node *const out = SM_NEW(a, sm_plan_node);
    sm_field *const fields = SM_NEW_ARRAY(a, sm_field, n_all);
    int32_t *const columns = SM_NEW_ARRAY(a, int32_t, n_all);
    int32_t *const stored = SM_NEW_ARRAY(a, int32_t, n_all);
    bool *const is_own = SM_NEW_ARRAY(a, bool, n_all);
    bool *const used = SM_NEW_ARRAY(a, bool, of->node->schema->n_fields + 1);
    int32_t n = 0, n_read = 0;

    for (int32_t i = 0; i < scan->schema->n_fields; i++) {
        is_own[scan->as.scan.columns[i]] = true;
    }
    for (int32_t i = 0; i < of->n; i++) {
        smi_columns_used(of->exprs[i], used);
    }
    for (int32_t i = 0; i < of->node->schema->n_fields; i++) {
        const int32_t c = of->node->as.scan.columns[i];
        is_own[c] = is_own[c] || used[i];
    }
    SM_ASSERT(of->node->as.scan.dataset == d && n_stored >= 0);
    for (int32_t c = 0; c < n_all; c++) { /* ascending, as a scan's columns are */
        place[c] = is_own[c] ? n : -1;
        if (is_own[c]) {
            fields[n] = d->schema->fields[c];
            columns[n++] = c;
        }
        if (is_own[c] && c < n_stored) {
            stored[n_read++] = c;
        }
    }
    SM_ASSERT(n >= scan->schema->n_fields && n_read >= scan->as.scan.want.n_columns);
    SM_ASSERT(!scan->as.scan.want.types); /* opt_fields.c comes later */
    *out = *scan;
    out->schema = sm_type_struct(a, fields, n);
    out->as.scan.columns = columns;
    out->as.scan.want.columns = stored;
    out->as.scan.want.n_columns = n_read;
    out->as.scan.want.bounds = (sm_bounds){0};
    return out;
}

/* Makes room in the plan's scan for the relation. */
static sm_plan_node *watch_scan(const sm_plan_node *scan, const relation *of, sm_arena *a,
                                int32_t *own, int32_t *map)
{
    int32_t *const place = SM_NEW_ARRAY(a, int32_t, scan->as.scan.dataset->schema->n_fields);
    sm_plan_node *const wide = widen_scan(scan, of, a, place);

    for (int32_t i = 0; i < scan->schema->n_fields; i++) {
        own[i] = place[scan->as.scan.columns[i]];
    }
    for (int32_t i = 0; i < of->node->schema->n_fields; i++) {
        map[i] = place[of->node->as.scan.columns[i]];
    }
    return wide;
}

/* ---- any other relation ---------------------------------------------------------------------- */

/* Does the node give the relation's rows, with all columns that it is computed from? */
static bool gives(const sm_plan_node *n, const relation *of, sm_arena *a, int32_t *map)
{
    const int32_t n_of = of->node->schema->n_fields;
    const int32_t *const same = n->schema->n_fields > 0 ? smi_plan_match(a, of->node, n) : NULL;
    bool *const used = SM_NEW_ARRAY(a, bool, n_of + 1);
    bool has_all = same != NULL;

    for (int32_t i = 0; i < of->n; i++) {
        smi_columns_used(of->exprs[i], used);
    }
    for (int32_t i = 0; i < n_of && has_all; i++) {
        map[i] = same[i];
        has_all = !used[i] || same[i] >= 0;
    }
    return has_all;
}

/* Where the plan links to such a node; NULL: it has none. */
static sm_plan_node **find_rows(sm_plan_node **at, const relation *of, sm_arena *a, int32_t *map)
{
    sm_plan_node **found = gives(*at, of, a, map) ? at : NULL;

    for (int32_t i = 0; i < (*at)->n_inputs && !found; i++) {
        found = find_rows(&(*at)->inputs[i], of, a, map);
    }
    return found;
}

/* ---- the check ------------------------------------------------------------------------------- */

/* `n` gives `from`'s columns, at the places `own`, and by `map` those of the relation's node. Gives
 * from's columns, and behind them the relation's, which are written out: what several of them have
 * in common is computed once. */
static sm_plan_node *both_columns(sm_plan_node *n, const sm_type *from, const int32_t *own,
                                  const relation *of, const int32_t *map, const sm_type *names,
                                  sm_arena *a)
{
    const int32_t n_own = from->n_fields, n_all = n_own + of->n;
    const sm_expr **const exprs = SM_NEW_ARRAY(a, const sm_expr *, n_all);
    sm_str *const of_all = SM_NEW_ARRAY(a, sm_str, n_all);

    for (int32_t i = 0; i < n_all; i++) {
        exprs[i] = i < n_own ? sm_expr_column(n->schema, own[i], a)
                             : smi_remap(a, of->exprs[i - n_own], map);
        of_all[i] = i < n_own ? from->fields[i].name : names->fields[i - n_own].name;
    }
    return smi_opt_share(a, smi_node_project(a, n, exprs, of_all, n_all));
}

/* Puts the checks where the plan links to a node; `both` gives that node's columns, and behind them
 * the relation's. */
static sm_status put_check(sm_plan_watch *w, const sm_plan_node *both, sm_arena *a,
                           sm_plan_node **at, sm_error *e)
{
    const int32_t n_own = (*at)->schema->n_fields;
    sm_check *const checks = SM_NEW_ARRAY(a, sm_check, w->n_checks);

    for (int32_t i = 0; i < w->n_checks; i++) {
        checks[i] = w->checks[i];
        SM_ASSERT(checks[i].action == SM_POLICY_FAIL || checks[i].action == SM_POLICY_WARN);
        checks[i].holds = sm_expr_moved(w->checks[i].holds, n_own, a);
    }
    SM_TRY(sm_plan_check_first(both, n_own, checks, w->n_checks, w->side, a, &w->check, e));
    SM_ASSERT(sm_type_eq(w->check->schema, (*at)->schema)); /* nodes above see no difference */
    *at = (sm_plan_node *)w->check;                         /* this plan's own */
    (*at)->as.check.is_watch = true;
    return SM_OK;
}

static sm_status watch_relation(sm_plan_watch *w, sm_arena *a, sm_plan_node **root, sm_error *e)
{
    sm_plan_node *rows = NULL;
    relation of;

    SM_TRY(smi_plan_clone(a, w->rows, &rows, e));
    rows = smi_optimize(a, rows);
    if (!find_relation(rows, a, &of) ||
        (has_scan(of.node, NULL) && reads_other_text(*root, of.node))) {
        return SM_OK;
    }
    const bool is_scan = of.node->kind == SM_PLAN_SCAN;
    int32_t *const map = SM_NEW_ARRAY(a, int32_t, of.node->schema->n_fields + 1);
    sm_plan_node **const at =
        is_scan ? find_scan(root, of.node->as.scan.dataset) : find_rows(root, &of, a, map);
    if (!at) {
        return SM_OK;
    }
    const sm_type *const from = (*at)->schema;
    int32_t *const own = SM_NEW_ARRAY(a, int32_t, from->n_fields);
    for (int32_t i = 0; i < from->n_fields; i++) {
        own[i] = i;
    }
    SM_ASSERT(from->n_fields > 0); /* a CHECK passes some columns on */
    sm_plan_node *const n = is_scan ? watch_scan(*at, &of, a, own, map) : *at;
    return put_check(w, both_columns(n, from, own, &of, map, w->rows->schema, a), a, at, e);
}

sm_status smi_watch(smi_watches w, sm_arena *a, sm_plan_node **root, sm_error *e)
{
    for (int32_t i = 0; i < w.n; i++) {
        SM_ASSERT(w.items[i].n_checks > 0);
        w.items[i].check = NULL;
        SM_TRY(watch_relation(&w.items[i], a, root, e));
    }
    return SM_OK;
}

void sm_plan_watch_rows(const sm_plan_node *rows, int32_t side, sm_arena *a, sm_plan_watch *out)
{
    const sm_value yes = {.type = &sm_type_bool, .as.b = true};
    sm_check *const check = SM_NEW(a, sm_check);

    *check = (sm_check){
        .name = SM_STR("rows"), .holds = sm_expr_constant(yes, a), .action = SM_POLICY_WARN};
    *out = (sm_plan_watch){.rows = sm_plan_project(rows, NULL, NULL, 0, a),
                           .checks = check,
                           .n_checks = 1,
                           .side = side};
}
