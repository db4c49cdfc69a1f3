/* SPDX-License-Identifier: Apache-2.0
 *
 * format/parquet/parquet_look.c: what the footer of a whole file says: rows, and the range of each
 * column over all row groups. Called through sm_format.look, where a file that somebody else wrote
 * becomes part of a table, or is compared with what a table's log says of it. */
#include "format/parquet/parquet_int.h"

/* Widens a range by that of a further row group, whose rows are behind it. A group that is all NULL
 * has no ends and needs none. */
static void join_range(sm_range *all, const sm_range *group, bool is_first)
{
    const bool is_empty = group->has_nulls && group->n_nulls == group->n_rows;
    const bool was_empty = is_first || (all->has_nulls && all->n_nulls == all->n_rows);

    if (!is_empty) {
        const bool takes_min = group->has_min && (was_empty || all->has_min);
        const bool takes_max = group->has_max && (was_empty || all->has_max);
        if (takes_min && (was_empty || sm_value_cmp(group->min, all->min) < 0)) {
            all->min = group->min;
        }
        if (takes_max && (was_empty || sm_value_cmp(group->max, all->max) > 0)) {
            all->max = group->max;
        }
        all->has_min = takes_min;
        all->has_max = takes_max;
        all->may_have_nan = all->may_have_nan || group->may_have_nan;
    }
    all->has_nulls = group->has_nulls && (is_first || all->has_nulls);
    all->n_nulls += group->n_nulls;
    all->n_rows += group->n_rows;
}

static sm_status range_of_column(const smi_pq_footer *f, const sm_field *field, sm_str file,
                                 sm_arena *a, sm_range *out, sm_error *e)
{
    smi_pq_shape shape;

    *out = (sm_range){0};
    SM_TRY(smi_pq_shape_of(f, field, file, a, &shape, e));
    for (int64_t i = 0; i < f->n_groups; i++) {
        sm_range group;
        smi_pq_stats_range(f, &f->groups[i], &shape, &group);
        join_range(out, &group, i == 0);
    }
    SM_ASSERT(!out->has_min || out->min.type == field->type);
    SM_ASSERT(!out->has_nulls || out->n_nulls <= out->n_rows);
    return SM_OK;
}

sm_status smi_pq_look(sm_blob *blob, const sm_type *schema, sm_arena *a, sm_written *out,
                      sm_error *e)
{
    const sm_str file = sm_arena_str(a, sm_blob_uri(blob));
    smi_pq_footer *footer = NULL;

    sm_status st = smi_pq_footer_read(blob, a, &footer, e);
    if (st == SM_OK) {
        sm_range *ranges = SM_NEW_ARRAY(a, sm_range, schema->n_fields + 1);
        for (int32_t i = 0; i < schema->n_fields && st == SM_OK; i++) {
            st = range_of_column(footer, &schema->fields[i], file, a, &ranges[i], e);
        }
        *out = (sm_written){
            .n_rows = footer->n_rows,
            .size_bytes = sm_blob_bytes(blob),
            .ranges = ranges,
            .n_ranges = schema->n_fields,
        };
    }
    if (st != SM_OK) {
        sm_error_place(e, file.data, 0, -1);
    }
    return st;
}
