/* SPDX-License-Identifier: Apache-2.0
 *
 * query/plan_way.c: where the columns of a plan's rows come from: the way down, by projections and
 * filters alone, to a column of a scan. Whoever writes the rows into a table may so have the files
 * read in the table's types. */
#include "query/query_int.h"

typedef struct way {
    sm_arena *arena;
    const sm_plan_node *scan;
    sm_str *names;
    int64_t n, cap;
} way;

static void add_name(way *w, sm_str name)
{
    w->names = sm_arena_grow(w->arena, w->names, w->n, &w->cap, sizeof(*w->names));
    w->names[w->n++] = name;
}

/* The way of column `column` of a node's rows; expr_way does it for an expression over them. */
static bool column_way(const sm_plan_node *n, int32_t column, way *out);

static bool expr_way(const sm_plan_node *n, const sm_expr *x, way *out)
{
    if (x->kind == SM_EXPR_COLUMN) {
        return column_way(n, x->index, out);
    }
    if (x->kind != SM_EXPR_FIELD || !expr_way(n, x->args[0], out)) {
        return false;
    }
    add_name(out, x->args[0]->type->fields[x->index].name);
    return true;
}

static bool column_way(const sm_plan_node *n, int32_t column, way *out)
{
    while (n->kind == SM_PLAN_FILTER) {
        n = n->inputs[0];
    }
    if (n->kind == SM_PLAN_PROJECT) {
        return expr_way(n->inputs[0], n->as.project.exprs[column], out);
    }
    if (n->kind != SM_PLAN_SCAN) {
        return false;
    }
    out->scan = n;
    add_name(out, n->as.scan.dataset->schema->fields[n->as.scan.columns[column]].name);
    return true;
}

int32_t smi_expr_way(const sm_plan_node *n, const sm_expr *x, sm_arena *a, sm_str **names,
                     const sm_plan_node **scan)
{
    way w = {.arena = a};

    if (!expr_way(n, x, &w)) {
        return 0;
    }
    SM_ASSERT(w.n > 0 && w.scan->kind == SM_PLAN_SCAN);
    *names = w.names;
    *scan = w.scan;
    return (int32_t)w.n;
}

int32_t sm_plan_way(const sm_plan_node *n, int32_t column, sm_arena *a, sm_str **names,
                    const sm_plan_node **scan)
{
    const sm_expr x = {
        .kind = SM_EXPR_COLUMN, .type = n->schema->fields[column].type, .index = column};

    SM_ASSERT(column >= 0 && column < n->schema->n_fields);
    return smi_expr_way(n, &x, a, names, scan);
}

/* Has the expression a column that is_it marks? */
static bool has_marked(const sm_expr *x, const bool *is_it, int32_t n, sm_arena *a)
{
    bool *const used = SM_NEW_ARRAY(a, bool, n + 1);

    smi_columns_used(x, used);
    for (int32_t i = 0; i < n; i++) {
        if (used[i] && is_it[i]) {
            return true;
        }
    }
    return false;
}

/* Marks the columns of a node's rows that have the scan's column, or a field of it. false: it is
 * used otherwise. */
static bool mark(const sm_plan_node *n, sm_str column, bool *is_it, sm_arena *a)
{
    if (n->kind == SM_PLAN_SCAN) {
        for (int32_t i = 0; i < n->schema->n_fields; i++) {
            is_it[i] = sm_str_eq(n->schema->fields[i].name, column);
        }
        return true;
    }
    const sm_plan_node *const in = n->inputs[0];
    const int32_t n_in = in->schema->n_fields;
    bool *const was = SM_NEW_ARRAY(a, bool, n_in + 1);

    SM_ASSERT(n->kind == SM_PLAN_FILTER || n->kind == SM_PLAN_PROJECT);
    if (!mark(in, column, was, a)) {
        return false;
    }
    if (n->kind == SM_PLAN_FILTER) {
        memcpy(is_it, was, (size_t)n_in * sizeof(*was));
        return !has_marked(n->as.filter.where, was, n_in, a);
    }
    for (int32_t i = 0; i < n->schema->n_fields; i++) {
        const sm_expr *x = n->as.project.exprs[i];
        const bool has = has_marked(x, was, n_in, a);
        while (x->kind == SM_EXPR_FIELD) {
            x = x->args[0];
        }
        if (has && x->kind != SM_EXPR_COLUMN) {
            return false;
        }
        is_it[i] = has;
    }
    return true;
}

bool smi_plan_passes(const sm_plan_node *n, sm_str column)
{
    sm_arena *const a = sm_arena_new(NULL);
    const bool is = mark(n, column, SM_NEW_ARRAY(a, bool, n->schema->n_fields + 1), a);

    sm_arena_free(a);
    return is;
}
