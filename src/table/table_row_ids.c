/* SPDX-License-Identifier: Apache-2.0
 *
 * table/table_row_ids.c: the ids of rows, and the versions that wrote them, for rows that are
 * written into other files of a table that tracks its rows. Called by table_rewrite.c, which keeps
 * all rows as they are, and table_replace.c, some of whose rows get new values.
 *
 * Ids       A row's id and version are what its file has in two columns that the table's schema
 *           does not have; where that is NULL, or the file has not these columns, the id is that of
 *           the file's first row, and the row's place in the file more, and the version is the
 *           file's.
 * Written   Moved rows have both in the same two columns: their new file gets ids of its own, as
 *           each new file does, which then count for none of its rows. A row that got new values
 *           keeps its id, and has NULL as its version: that of the file, which is the commit's.
 * Names     of the columns stand in the table's properties.
 * Source    PROTOCOL.md, "Row Tracking" */
#include "table/table_int.h"

sm_status smi_row_ids_settle(const sm_snapshot *base, sm_arena *a, smi_row_ids **out, sm_error *e)
{
    smi_row_ids made = {0};

    *out = NULL;
    SM_TRY(sm_delta_row_columns(base, &made.keeps, made.names, e));
    if (!made.keeps) {
        return SM_OK;
    }
    *out = SM_NEW(a, smi_row_ids);
    **out = made;
    return SM_OK;
}

/* The table's columns, and behind them those of ids and versions. */
static const sm_type *with_ids(const smi_row_ids *ids, const sm_type *schema, sm_arena *a)
{
    const int32_t n = schema->n_fields;
    sm_field *fields = SM_NEW_ARRAY(a, sm_field, n + SMI_ROW_IDS);

    memcpy(fields, schema->fields, (size_t)n * sizeof(*fields));
    for (int32_t i = 0; i < SMI_ROW_IDS; i++) {
        fields[n + i] =
            (sm_field){.name = ids->names[i], .type = &sm_type_i64, .is_nullable = true};
    }
    return sm_type_struct(a, fields, n + SMI_ROW_IDS);
}

/* The columns that files have, with those of ids behind them; then the constants, with the file's
 * version and the id that follows from its first one behind them (sm_dataset.numbers_rows). */
static const sm_type *dataset_schema(const smi_row_ids *ids, const sm_dataset *d, sm_arena *a)
{
    const int32_t n = d->schema->n_fields, n_stored = n - d->n_constants;
    sm_field *fields = SM_NEW_ARRAY(a, sm_field, n + 2 * SMI_ROW_IDS);
    const sm_str behind[] = {SM_STR("file version"), SM_STR("number")};

    memcpy(fields, d->schema->fields, (size_t)n_stored * sizeof(*fields));
    memcpy(fields + n_stored + SMI_ROW_IDS, d->schema->fields + n_stored,
           (size_t)d->n_constants * sizeof(*fields));
    for (int32_t i = 0; i < SMI_ROW_IDS; i++) {
        sm_field number = {.name = ids->names[i], .type = &sm_type_i64, .is_nullable = true};
        fields[n_stored + i] = number;
        number.name = behind[i];
        fields[n + SMI_ROW_IDS + i] = number;
    }
    return sm_type_struct(a, fields, n + 2 * SMI_ROW_IDS);
}

sm_status smi_row_ids_dataset(smi_row_ids *ids, const sm_delta_file *const *files, sm_arena *a,
                              sm_dataset *d, sm_error *e)
{
    const sm_type *schema = dataset_schema(ids, d, a);
    const int32_t n = d->n_constants;

    SM_ASSERT(n > 0); /* the bin */
    ids->n_columns = d->schema->n_fields - 1;
    ids->n_stored = d->schema->n_fields - n;
    for (int64_t i = 0; i < d->n_files; i++) {
        sm_value *constants = SM_NEW_ARRAY(a, sm_value, n + SMI_ROW_IDS);
        if (files[i]->base_row_id < 0 || files[i]->row_version < 0) {
            return sm_fail(e, SM_CORRUPT,
                           "the table tracks its rows, and the file \"%.*s\" has no ids",
                           SM_STR_ARG(files[i]->path));
        }
        for (int32_t k = 0; k < n; k++) {
            constants[k] = d->files[i].constants[k];
        }
        if (ids->numbers_bins) {
            constants[n - 1].as.i -= files[i]->base_row_id; /* number less base: from 0 */
        }
        constants[n] = sm_value_i64(files[i]->row_version);
        constants[n + 1] = sm_value_i64(files[i]->base_row_id);
        d->files[i].constants = constants;
        d->files[i].ranges = NULL; /* they have none of the new columns */
    }
    d->schema = schema;
    d->n_constants = n + SMI_ROW_IDS;
    d->numbers_rows = true;
    return SM_OK;
}

/* What the row's file has of it, else what follows from the file. */
static sm_status either(const sm_expr *own, const sm_expr *files, sm_arena *a, const sm_expr **out,
                        sm_error *e)
{
    const sm_expr *const sides[] = {own, files};
    return sm_expr_call("coalesce", sides, 2, a, out, e);
}

sm_status smi_row_ids_plan(const smi_row_ids *ids, const sm_plan_node *scan, sm_arena *a,
                           const sm_plan_node **out, sm_error *e)
{
    const int32_t n = ids->n_columns, own = ids->n_stored;
    const int32_t bin = n + SMI_ROW_IDS, version = bin + 1, number = bin + 2;
    const sm_expr **exprs = SM_NEW_ARRAY(a, const sm_expr *, n + SMI_ROW_IDS + 1);
    sm_str *names = SM_NEW_ARRAY(a, sm_str, n + SMI_ROW_IDS + 1);
    int32_t m = 0;

    SM_ASSERT(scan->schema->n_fields == number + 1);
    for (int32_t i = 0; i < bin; i++) {
        if (i < own || i >= own + SMI_ROW_IDS) { /* a column of the table */
            names[m] = scan->schema->fields[i].name;
            exprs[m++] = sm_expr_column(scan->schema, i, a);
        }
    }
    names[m] = ids->names[SMI_ROW_ID];
    SM_TRY(either(sm_expr_column(scan->schema, own + SMI_ROW_ID, a),
                  sm_expr_column(scan->schema, number, a), a, &exprs[m++], e));
    names[m] = ids->names[SMI_ROW_VERSION];
    SM_TRY(either(sm_expr_column(scan->schema, own + SMI_ROW_VERSION, a),
                  sm_expr_column(scan->schema, version, a), a, &exprs[m++], e));
    names[m] = scan->schema->fields[bin].name;
    const sm_expr *const place[] = {sm_expr_column(scan->schema, bin, a),
                                    sm_expr_column(scan->schema, number, a)};
    exprs[m] = place[0];
    SM_TRY(ids->numbers_bins ? sm_expr_call("+", place, 2, a, &exprs[m], e) : SM_OK);
    *out = sm_plan_project(scan, exprs, names, m + 1, a);
    return SM_OK;
}

void smi_row_ids_out(const smi_row_ids *ids, smi_out *o)
{
    o->schema = with_ids(ids, o->schema, o->arena);
    smi_partition_stored(o);
}
