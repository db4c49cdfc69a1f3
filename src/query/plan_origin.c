/* SPDX-License-Identifier: Apache-2.0
 *
 * query/plan_origin.c: plans whose rows say from which line of which file they come. Called by
 * flow, for rows that may leave into a quarantine.
 *
 * Method   The scan gets a dataset of its own with three more constant columns, of which the line
 *          and the offset are computed as lines are read (sm_dataset.has_origin). Each projection
 *          above passes them on, behind its own columns. Nothing of it is there in other plans. */
#include "query/query_int.h"

static const sm_field origin_fields[] = {
    {.name = {"smelt.file", 10}, .type = &sm_type_string, .is_nullable = true},
    {.name = {"smelt.line", 10}, .type = &sm_type_i64, .is_nullable = true},
    {.name = {"smelt.byte_offset", 17}, .type = &sm_type_i64, .is_nullable = true},
};
const sm_type sm_origin_schema = {
    .id = SM_TYPE_STRUCT, .fields = origin_fields, .n_fields = SM_COUNT(origin_fields)};

_Static_assert(SM_COUNT(origin_fields) == SM_ORIGIN_COLUMNS, "they are named there");

static const sm_type *with_origin(const sm_type *columns, sm_arena *a)
{
    const int32_t n = columns->n_fields;
    sm_field *const fields = SM_NEW_ARRAY(a, sm_field, n + SM_ORIGIN_COLUMNS);

    memcpy(fields, columns->fields, (size_t)n * sizeof(*fields));
    memcpy(fields + n, origin_fields, sizeof(origin_fields));
    return sm_type_struct(a, fields, n + SM_ORIGIN_COLUMNS);
}

/* The constants of a file, and its URI. */
static sm_value *constants_of(const sm_datafile *f, int32_t n, sm_arena *a)
{
    sm_value *const out = SM_NEW_ARRAY(a, sm_value, n + SM_ORIGIN_COLUMNS);

    if (n > 0) {
        memcpy(out, f->constants, (size_t)n * sizeof(*out));
    }
    out[n + SM_ORIGIN_FILE] = sm_value_str(f->uri);
    out[n + SM_ORIGIN_LINE] = sm_value_null(&sm_type_i64);
    out[n + SM_ORIGIN_BYTE_OFFSET] = sm_value_null(&sm_type_i64);
    return out;
}

static const sm_dataset *dataset_of(const sm_dataset *from, sm_arena *a)
{
    sm_dataset *const d = SM_NEW(a, sm_dataset);

    *d = *from;
    d->schema = with_origin(from->schema, a);
    d->n_constants = from->n_constants + SM_ORIGIN_COLUMNS;
    d->has_origin = true;
    d->files = SM_NEW_ARRAY(a, sm_datafile, from->n_files + 1);
    for (int64_t i = 0; i < from->n_files; i++) {
        d->files[i] = from->files[i];
        d->files[i].constants = constants_of(&from->files[i], from->n_constants, a);
    }
    return d;
}

static const sm_plan_node *scan_of(const sm_plan_node *n, sm_arena *a)
{
    sm_plan_node *const scan = SM_NEW(a, sm_plan_node);
    const int32_t n_columns = n->schema->n_fields, n_old = n->as.scan.dataset->schema->n_fields;
    int32_t *const columns = SM_NEW_ARRAY(a, int32_t, n_columns + SM_ORIGIN_COLUMNS);

    for (int32_t i = 0; i < n_columns + SM_ORIGIN_COLUMNS; i++) {
        columns[i] = i < n_columns ? n->as.scan.columns[i] : n_old + i - n_columns;
    }
    *scan = *n;
    scan->schema = with_origin(n->schema, a);
    scan->as.scan.dataset = dataset_of(n->as.scan.dataset, a);
    scan->as.scan.columns = columns;
    return scan;
}

static const sm_plan_node *project_of(const sm_plan_node *n, const sm_plan_node *in, sm_arena *a)
{
    const int32_t n_columns = n->schema->n_fields, n_in = in->schema->n_fields;
    const int32_t n_all = n_columns + SM_ORIGIN_COLUMNS;
    const sm_expr **const exprs = SM_NEW_ARRAY(a, const sm_expr *, n_all);
    sm_str *const names = SM_NEW_ARRAY(a, sm_str, n_all);

    for (int32_t i = 0; i < n_all; i++) {
        exprs[i] = i < n_columns ? n->as.project.exprs[i]
                                 : sm_expr_column(in->schema, n_in - n_all + i, a);
        names[i] = i < n_columns ? n->schema->fields[i].name : origin_fields[i - n_columns].name;
    }
    return smi_node_project(a, (sm_plan_node *)in, exprs, names, n_all);
}

static const sm_plan_node *node_of(const sm_plan_node *n, sm_arena *a)
{
    if (n->kind == SM_PLAN_SCAN) {
        return scan_of(n, a);
    }
    const sm_plan_node *const in = node_of(n->inputs[0], a);
    return n->kind == SM_PLAN_FILTER ? smi_node_filter(a, (sm_plan_node *)in, n->as.filter.where)
                                     : project_of(n, in, a);
}

const sm_plan_node *sm_plan_with_origin(const sm_plan_node *rows, sm_arena *a)
{
    const sm_plan_node *n = rows;

    while (n->kind == SM_PLAN_PROJECT || n->kind == SM_PLAN_FILTER) {
        n = n->inputs[0];
    }
    const bool is_of_lines = n->kind == SM_PLAN_SCAN && n->as.scan.dataset->format->is_text &&
                             !n->as.scan.dataset->has_origin;
    return is_of_lines ? node_of(rows, a) : NULL;
}

/* ---- finding them again ---------------------------------------------------------------------- */

static bool is_origin(const sm_type *columns, int32_t at)
{
    bool is = at + SM_ORIGIN_COLUMNS <= columns->n_fields;

    for (int32_t i = 0; i < SM_ORIGIN_COLUMNS && is; i++) {
        is = sm_str_eq(columns->fields[at + i].name, origin_fields[i].name) &&
             sm_type_eq(columns->fields[at + i].type, origin_fields[i].type);
    }
    return is;
}

int32_t sm_origin_find(const sm_type *columns)
{
    int32_t at = columns->n_fields - SM_ORIGIN_COLUMNS; /* the last ones, if a user has such too */

    while (at >= 0 && !is_origin(columns, at)) {
        at--;
    }
    return at < 0 ? -1 : at;
}

const sm_plan_node *sm_plan_without_origin(const sm_plan_node *rows, sm_arena *a)
{
    const int32_t at = sm_origin_find(rows->schema), n = rows->schema->n_fields;
    const sm_expr **const exprs = SM_NEW_ARRAY(a, const sm_expr *, n + 1);
    sm_str *const names = SM_NEW_ARRAY(a, sm_str, n + 1);
    int32_t n_kept = 0;

    for (int32_t i = 0; i < n && at >= 0; i++) {
        if (i < at || i >= at + SM_ORIGIN_COLUMNS) {
            exprs[n_kept] = sm_expr_column(rows->schema, i, a);
            names[n_kept++] = rows->schema->fields[i].name;
        }
    }
    return at < 0 ? rows : sm_plan_project(rows, exprs, names, n_kept, a);
}
