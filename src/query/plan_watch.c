/* SPDX-License-Identifier: Apache-2.0
 *
 * query/plan_watch.c: checks of a relation's rows in a plan that reads them for another purpose, so
 * that they are not read once more. Called by query.c when a plan is optimised, but for the passes
 * that count the fields of structs.
 *
 *   …                    …
 *   SCAN of own columns    CHECK of the relation's columns; the own ones go on
 *                    =>      PROJECT the own ones, and behind them the relation's
 *                              SCAN of both
 *
 * Rows      go on as they were: no check takes one away. The scan gives all of them: a CHECK is
 *           read to its end whatever stands above it, and bounds, by which the scan could pass over
 *           files, are taken off it; the filter that they come from stays.
 * Refused   Lines are refused for the columns that are read of them, unless the relation says
 *           validate => 'all'. Text without that is left alone: with more columns read the query
 *           would lose rows.
 * Files     The report of a run has all files of text that it read. A relation of text is left
 *           alone where the plan reads other text, so that these files are the relation's.
 * Pruned    A scan of a table with bounds is left alone, too: it may read few of many files. */
#include "query/query_int.h"

#define MAX_NODES 100000 /* of the relation's expressions once they are written out */

/* A relation's columns over those of its one scan. */
typedef struct relation {
    const sm_plan_node *scan;
    const sm_expr **exprs; /* one a column of its rows */
    int32_t n;
} relation;

/* false: something else than projections is above the scan. */
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
    out->scan = n;
    return n->kind == SM_PLAN_SCAN && size <= MAX_NODES;
}

static bool is_text(const sm_dataset *d)
{
    return d->format && d->format->is_text; /* tests of this room have none */
}

/* Does the scan give the rows that the relation's own would, with more columns too? */
static bool is_fit(const sm_plan_node *scan, const sm_dataset *d)
{
    return scan->as.scan.dataset == d && !d->rescues && scan->schema->n_fields > 0 &&
           (is_text(d) ? scan->as.scan.want.validate_all : scan->as.scan.want.bounds.n == 0);
}

/* Does the plan read other text than the dataset? */
static bool reads_other_text(const sm_plan_node *n, const sm_dataset *d)
{
    bool reads = n->kind == SM_PLAN_SCAN && n->as.scan.dataset != d && is_text(n->as.scan.dataset);

    for (int32_t i = 0; i < n->n_inputs && !reads; i++) {
        reads = reads_other_text(n->inputs[i], d);
    }
    return reads;
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
    bool *const used = SM_NEW_ARRAY(a, bool, of->scan->schema->n_fields + 1);
    int32_t n = 0, n_read = 0;

    for (int32_t i = 0; i < scan->schema->n_fields; i++) {
        is_own[scan->as.scan.columns[i]] = true;
    }
    for (int32_t i = 0; i < of->n; i++) {
        smi_columns_used(of->exprs[i], used);
    }
    for (int32_t i = 0; i < of->scan->schema->n_fields; i++) {
        const int32_t c = of->scan->as.scan.columns[i];
        is_own[c] = is_own[c] || used[i];
    }
    SM_ASSERT(of->scan->as.scan.dataset == d && n_stored >= 0);
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

/* The columns of `scan`, and behind them the relation's. */
static const sm_plan_node *both_columns(const sm_plan_node *scan, const relation *of,
                                        const sm_type *names, sm_arena *a)
{
    const int32_t n_own = scan->schema->n_fields, n = n_own + of->n;
    const int32_t n_of = of->scan->schema->n_fields;
    int32_t *const place = SM_NEW_ARRAY(a, int32_t, scan->as.scan.dataset->schema->n_fields);
    int32_t *const map = SM_NEW_ARRAY(a, int32_t, n_of + 1);
    const sm_expr **const exprs = SM_NEW_ARRAY(a, const sm_expr *, n);
    sm_str *const of_all = SM_NEW_ARRAY(a, sm_str, n);
    const sm_plan_node *const wide = widen_scan(scan, of, a, place);

    for (int32_t i = 0; i < n_of; i++) {
        map[i] = place[of->scan->as.scan.columns[i]];
    }
    for (int32_t i = 0; i < n; i++) {
        exprs[i] = i < n_own ? sm_expr_column(wide->schema, place[scan->as.scan.columns[i]], a)
                             : smi_remap(a, of->exprs[i - n_own], map);
        of_all[i] = i < n_own ? scan->schema->fields[i].name : names->fields[i - n_own].name;
    }
    return sm_plan_project(wide, exprs, of_all, n, a);
}

static sm_status watch_scan(sm_plan_watch *w, const relation *of, sm_arena *a, sm_plan_node **at,
                            sm_error *e)
{
    const int32_t n_own = (*at)->schema->n_fields;
    const sm_plan_node *const both = both_columns(*at, of, w->rows->schema, a);
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

sm_status smi_watch(smi_watches w, sm_arena *a, sm_plan_node **root, sm_error *e)
{
    for (int32_t i = 0; i < w.n; i++) {
        SM_ASSERT(w.items[i].n_checks > 0);
        relation of;
        const bool is_known = find_relation(w.items[i].rows, a, &of);
        const sm_dataset *const d = is_known ? of.scan->as.scan.dataset : NULL;
        const bool may = is_known && !(is_text(d) && reads_other_text(*root, d));
        sm_plan_node **const at = may ? find_scan(root, d) : NULL;
        w.items[i].check = NULL;
        SM_TRY(at ? watch_scan(&w.items[i], &of, a, at, e) : SM_OK);
    }
    return SM_OK;
}
