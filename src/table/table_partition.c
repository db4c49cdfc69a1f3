/* SPDX-License-Identifier: Apache-2.0
 *
 * table/table_partition.c: what a write has to do about partitions: which columns the table is
 * partitioned by, in which order rows should come, and which partitions an overwrite replaces.
 * Called by table_stage.c; sm_stage_arrange() by those who run a plan into a stage; the table's
 * files by partition are for table_cluster_choose.c.
 *
 * Columns  A new table and an overwrite take those of the write; an overwrite that names none keeps
 *          the table's. All other writes keep the table's, and may name only these.
 * Order    Rows are sorted by partition before they are written, so that a partition has one file
 *          (or as many as its size asks for) however the rows came, and one open file is enough.
 *          The alternative, a file open for each partition, reserves a row group's memory for each:
 *          with more partitions than the budget has room for, files would be ended and begun again
 *          with every few rows. Sorting is stable, spills, and does not depend on threads, so
 *          neither do the files. Nothing is sorted where files are split by the partition column
 *          anyway: a load reads the files of its source one after another. A partition column that
 *          the table generates is computed for sorting, and again when the rows are written.
 * Replaced SM_WRITE_REPLACE_PARTITIONS removes the files of the partitions that the new files are
 *          of. Which these are is known only when the rows are written; the bounds of what was read
 *          are then the least and the greatest value of each partition column. */
#include "table/table_int.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

/* ---- the columns ----------------------------------------------------------------------------- */

static sm_status fail_name(const sm_type *schema, sm_str name, const char *what, sm_error *e)
{
    sm_arena *a = sm_arena_new(NULL);
    sm_str *names = SM_NEW_ARRAY(a, sm_str, schema->n_fields + 1);

    for (int32_t i = 0; i < schema->n_fields; i++) {
        names[i] = sm_arena_str(a, schema->fields[i].name);
    }
    const char *nearest = sm_nearest_name(sm_arena_str(a, name), names, schema->n_fields);
    const sm_status st = sm_fail(e, SM_NAME, "no column \"%.*s\" to %s by", SM_STR_ARG(name), what);
    if (nearest) {
        sm_error_todo(e, "Is it \"%s\"?", nearest);
    }
    sm_arena_free(a);
    return st;
}

/* Finds a column by its name, in any case, whose values are plain. */
static sm_status find_column(const sm_type *schema, sm_str name, const char *what, int32_t *out,
                             sm_error *e)
{
    *out = sm_type_find(schema, name);
    if (*out < 0) {
        return fail_name(schema, name, what, e);
    }
    if (sm_type_is_nested(schema->fields[*out].type->id)) {
        return sm_fail(e, SM_TYPE, "the nested column \"%.*s\" is nothing to %s by",
                       SM_STR_ARG(name), what);
    }
    return SM_OK;
}

/* The partition columns of the names, as the schema spells them. */
static sm_status find_columns(const sm_type *schema, const sm_str *names, int32_t n, sm_arena *a,
                              sm_str **out, sm_error *e)
{
    *out = SM_NEW_ARRAY(a, sm_str, n + 1);
    for (int32_t i = 0; i < n; i++) {
        int32_t at = -1;
        SM_TRY(find_column(schema, names[i], "partition", &at, e));
        (*out)[i] = schema->fields[at].name;
        for (int32_t before = 0; before < i; before++) {
            if (sm_str_eq((*out)[before], (*out)[i])) {
                return sm_fail(e, SM_INVALID, "partitioned by \"%.*s\" twice",
                               SM_STR_ARG((*out)[i]));
            }
        }
    }
    if (n > 0 && n == schema->n_fields) {
        const sm_status st = sm_fail(e, SM_SCHEMA, "the table would have partition columns only");
        sm_error_todo(e, "Leave out at least one column of the %" PRId32 ".", n);
        return st;
    }
    return SM_OK;
}

/* "a", "b" */
static void print_names(const sm_str *names, int32_t n, sm_buf *out)
{
    for (int32_t i = 0; i < n; i++) {
        sm_buf_printf(out, "%s\"%.*s\"", i > 0 ? ", " : "", SM_STR_ARG(names[i]));
    }
}

static bool are_same(const sm_delta_metadata *m, const sm_str *names, int32_t n)
{
    bool is_same = m->n_partition_columns == n;

    for (int32_t i = 0; i < n && is_same; i++) {
        is_same = sm_str_eq_nocase(m->partition_columns[i], names[i]);
    }
    return is_same;
}

static sm_status fail_others(const sm_delta_metadata *m, const sm_write *w, sm_error *e)
{
    sm_buf there = {0}, here = {0};

    print_names(m->partition_columns, m->n_partition_columns, &there);
    print_names(w->partition_by, w->n_partition_by, &here);
    const sm_status st =
        there.len > 0 ? sm_fail(e, SM_SCHEMA, "the table is partitioned by %.*s, not by %.*s",
                                SM_STR_ARG(sm_buf_str(&there)), SM_STR_ARG(sm_buf_str(&here)))
                      : sm_fail(e, SM_SCHEMA, "the table is not partitioned, so not by %.*s",
                                SM_STR_ARG(sm_buf_str(&here)));
    sm_buf_release(&there);
    sm_buf_release(&here);
    return st;
}

static sm_status settle_columns(sm_stage *s, const sm_write *w, sm_error *e)
{
    sm_candidate *c = s->candidate;
    const sm_delta_metadata *there = c->base ? sm_snapshot_metadata(c->base) : NULL;
    sm_str *columns = NULL;

    if (there && s->mode != SM_WRITE_OVERWRITE) {
        return w->n_partition_by == 0 || are_same(there, w->partition_by, w->n_partition_by)
                   ? SM_OK
                   : fail_others(there, w, e);
    }
    const bool keeps = there && w->n_partition_by == 0;
    const int32_t n = keeps ? there->n_partition_columns : w->n_partition_by;
    const sm_status st = find_columns(c->schema, keeps ? there->partition_columns : w->partition_by,
                                      n, c->arena, &columns, e);
    if (st == SM_NAME && keeps) {
        sm_error_todo(e, "The table that is there is partitioned by it.");
    }
    SM_TRY(st);
    if (!are_same(smi_candidate_metadata(c), columns, n)) {
        sm_delta_metadata *m = smi_candidate_change(c, c->schema);
        m->partition_columns = columns;
        m->n_partition_columns = n;
    }
    return SM_OK;
}

/* ---- what files are split by, and have ------------------------------------------------------- */

static sm_status settle_split(sm_stage *s, const sm_write *w, sm_error *e)
{
    smi_out *o = &s->out;

    SM_ASSERT(!w->only || w->split_by.len > 0);
    if (w->split_by.len == 0) {
        return SM_OK;
    }
    SM_TRY(find_column(o->schema, w->split_by, "split files", &o->split, e));
    o->only = w->only;
    if (sm_delta_partition_at(o->metadata, o->split) < 0) {
        int32_t *keys = SM_NEW_ARRAY(o->arena, int32_t, o->n_partition + 1);
        memcpy(keys, o->keys, (size_t)o->n_partition * sizeof(*keys));
        keys[o->n_keys++] = o->split;
        o->keys = keys;
    }
    return SM_OK;
}

/* Is it one of the table's partition columns? Changed rows have a column behind those of the table.
 */
static bool is_partition_column(const smi_out *o, int32_t i)
{
    SM_ASSERT(i >= 0 && i < o->schema->n_fields);
    return i < o->metadata->schema->n_fields && sm_delta_partition_at(o->metadata, i) >= 0;
}

/* The columns that files have: all but the partition columns. */
void smi_partition_stored(smi_out *o)
{
    if (o->n_partition == 0) {
        o->stored = sm_delta_file_schema(o->schema, o->arena);
        return;
    }
    sm_field *fields = SM_NEW_ARRAY(o->arena, sm_field, o->schema->n_fields);
    int32_t *columns = SM_NEW_ARRAY(o->arena, int32_t, o->schema->n_fields);
    int32_t n = 0;

    for (int32_t i = 0; i < o->schema->n_fields; i++) {
        if (!is_partition_column(o, i)) {
            columns[n] = i;
            fields[n++] = o->schema->fields[i];
        }
    }
    SM_ASSERT(n + o->n_partition == o->schema->n_fields);
    o->stored = sm_delta_file_schema(sm_type_struct(o->arena, fields, n), o->arena);
    o->stored_columns = columns;
}

void smi_partition_out(smi_out *o)
{
    const int32_t n = o->metadata->n_partition_columns;
    int32_t *keys = SM_NEW_ARRAY(o->arena, int32_t, n + 1);

    for (int32_t i = 0; i < n; i++) {
        keys[i] = sm_type_find(o->schema, o->metadata->partition_columns[i]);
        SM_ASSERT(keys[i] >= 0);
    }
    o->keys = keys;
    o->n_keys = o->n_partition = n;
    o->split = o->origin = -1;
    smi_partition_stored(o);
}

sm_status smi_partition_settle(sm_stage *s, const sm_write *w, sm_error *e)
{
    SM_ASSERT(s->state == SMI_STAGE_OPENING && s->candidate->schema);
    SM_TRY(settle_columns(s, w, e));
    s->out.metadata = smi_candidate_metadata(s->candidate);
    smi_partition_out(&s->out);
    if (s->mode == SM_WRITE_REPLACE_PARTITIONS && s->out.n_partition == 0) {
        const sm_status st = sm_fail(e, SM_INVALID,
                                     "the table is not partitioned: there are no partitions to "
                                     "replace");
        sm_error_todo(e, "Name the columns of partition_by, or replace all rows.");
        return st;
    }
    return settle_split(s, w, e);
}

/* ---- the order of rows ----------------------------------------------------------------------- */

/* An expression over the table's columns as one over the rows', which may have other places and
 * narrower types, and lack those that the table computes. */
static sm_status over_rows(const smi_out *o, const sm_type *rows, const sm_expr *x, sm_arena *a,
                           const sm_expr **out, sm_error *e)
{
    if (x->kind == SM_EXPR_COLUMN) {
        const int32_t place = o->order ? o->order[x->index] : x->index;
        if (place < 0) {
            SM_ASSERT(o->rules.defaults[x->index]); /* none is generated from a generated one */
            *out = o->rules.defaults[x->index];
            return SM_OK;
        }
        const sm_expr *column = sm_expr_column(rows, place, a);
        *out = column;
        return sm_type_eq(column->type, x->type) ? SM_OK
                                                 : sm_expr_cast(column, x->type, false, a, out, e);
    }
    sm_expr *copy = SM_NEW(a, sm_expr);
    *copy = *x;
    copy->args = SM_NEW_ARRAY(a, const sm_expr *, x->n_args + 1);
    for (int32_t i = 0; i < x->n_args; i++) {
        SM_TRY(over_rows(o, rows, x->args[i], a, &copy->args[i], e));
    }
    *out = copy;
    return SM_OK;
}

/* The expression that gives a key's value in the rows given; NULL: it is the same in all rows. */
static sm_status key_in_rows(const smi_out *o, const sm_type *rows, int32_t key, sm_arena *a,
                             const sm_expr **out, sm_error *e)
{
    const int32_t place = o->order ? o->order[key] : key;

    *out = NULL;
    if (place >= 0) {
        *out = sm_expr_column(rows, place, a);
    } else if (o->rules.generated[key]) {
        return over_rows(o, rows, o->rules.generated[key], a, out, e);
    }
    return SM_OK;
}

sm_status sm_stage_arrange(const sm_stage *s, const sm_plan *plan, sm_arena *a, const sm_plan **out,
                           sm_error *e)
{
    const smi_out *o = &s->out;
    const sm_expr **by = SM_NEW_ARRAY(a, const sm_expr *, o->n_keys + 1);
    sm_plan *sorted = NULL;
    int32_t n = 0;

    SM_ASSERT(s->state == SMI_STAGE_WRITING);
    *out = plan;
    if (o->n_partition == 0 || (o->n_keys == 1 && o->keys[0] == o->split)) {
        return SM_OK;
    }
    for (int32_t i = 0; i < o->n_keys; i++) {
        SM_TRY(key_in_rows(o, plan->root->schema, o->keys[i], a, &by[n], e));
        n += by[n] != NULL;
    }
    if (n > 0) {
        SM_TRY(sm_plan_sorted(plan, by, n, a, &sorted, e));
        *out = sorted;
    }
    return SM_OK;
}

/* ---- files by partition ---------------------------------------------------------------------- */

sm_str smi_partition_identity(const sm_value *values, int32_t n, sm_buf *text)
{
    sm_buf one = {0};

    sm_buf_reset(text);
    for (int32_t i = 0; i < n; i++) {
        sm_buf_reset(&one);
        if (!values[i].is_null) {
            sm_value_print(values[i], &one);
        }
        sm_buf_printf(text, "%c%zu:", values[i].is_null ? '-' : '+', one.len);
        sm_buf_text(text, sm_buf_str(&one));
    }
    sm_buf_release(&one);
    return sm_buf_str(text);
}

static int by_partition(const void *x, const void *y)
{
    const smi_placed_file *a = x, *b = y;

    if (a->partition != b->partition) {
        return a->partition < b->partition ? -1 : 1;
    }
    return a->file < b->file ? -1 : a->file > b->file; /* of one array */
}

smi_placed_file *smi_partition_files(const sm_snapshot *s, sm_arena *a, int64_t *n)
{
    const sm_delta_file *files = sm_snapshot_files(s, n);
    const int32_t n_columns = sm_snapshot_metadata(s)->n_partition_columns;
    smi_placed_file *out = SM_NEW_ARRAY(a, smi_placed_file, *n + 1);
    sm_map *numbers = sm_map_new(a);
    sm_buf text = {0};

    for (int64_t i = 0; i < *n; i++) {
        void **number =
            sm_map_at(numbers, smi_partition_identity(files[i].partition, n_columns, &text));
        if (!*number) {
            *number = (void *)(intptr_t)sm_map_count(numbers);
        }
        out[i] = (smi_placed_file){&files[i], (intptr_t)*number};
    }
    qsort(out, (size_t)*n, sizeof(*out), by_partition);
    sm_buf_release(&text);
    return out;
}

/* ---- replaced partitions --------------------------------------------------------------------- */

static void put_bound(sm_bounds *read, int32_t field, sm_bound_op op, sm_value v, sm_arena *a)
{
    int32_t *path = SM_NEW_ARRAY(a, int32_t, 1);

    *path = field;
    ((sm_bound *)read->items)[read->n++] =
        (sm_bound){.path = path, .n_path = 1, .op = op, .value = v};
}

/* Bounds of partition column i in the new files. NULL and NaN beside other values have none. */
static void read_column(sm_stage *s, int32_t i)
{
    sm_delta_commit *r = &s->candidate->record;
    sm_value least = s->out.adds[0].partition[i], greatest = least;

    for (int64_t k = 0; k < s->out.n_adds; k++) {
        const sm_value v = s->out.adds[k].partition[i];
        const bool is_float = v.type->id == SM_TYPE_F32 || v.type->id == SM_TYPE_F64;
        if (v.is_null != least.is_null || (is_float && !v.is_null && isnan(v.as.f))) {
            return;
        }
        least = !v.is_null && sm_value_cmp(v, least) < 0 ? v : least;
        greatest = !v.is_null && sm_value_cmp(v, greatest) > 0 ? v : greatest;
    }
    if (least.is_null) {
        put_bound(&r->read, s->out.keys[i], SM_BOUND_IS_NULL, least, s->candidate->arena);
        return;
    }
    put_bound(&r->read, s->out.keys[i], SM_BOUND_GE, least, s->candidate->arena);
    put_bound(&r->read, s->out.keys[i], SM_BOUND_LE, greatest, s->candidate->arena);
}

/* Removes those of the files whose partition has new rows. */
static void remove_replaced(sm_stage *s, const sm_delta_file *files, int64_t n_files)
{
    const int32_t n = s->out.n_partition;
    sm_arena *a = sm_arena_new(s->env.budget);
    sm_map *replaced = sm_map_new(a);
    sm_buf text = {0};

    for (int64_t i = 0; i < s->out.n_adds; i++) {
        *sm_map_at(replaced, smi_partition_identity(s->out.adds[i].partition, n, &text)) = s;
    }
    for (int64_t i = 0; i < n_files; i++) {
        if (sm_map_get(replaced, smi_partition_identity(files[i].partition, n, &text))) {
            smi_stage_remove(s, &files[i]);
        }
    }
    sm_buf_release(&text);
    sm_arena_free(a);
}

sm_status smi_partition_replace(sm_stage *s, sm_error *e)
{
    sm_candidate *c = s->candidate;
    const int32_t n = s->out.n_partition;
    sm_delta_file *files = NULL;
    int64_t n_files = 0;

    SM_ASSERT(s->state == SMI_STAGE_SETTLING && n > 0 && c->record.read.n == 0);
    c->record.read.items = SM_NEW_ARRAY(c->arena, sm_bound, 2 * n);
    for (int32_t i = 0; i < n && s->out.n_adds > 0; i++) {
        read_column(s, i);
    }
    if (c->base && s->out.n_adds > 0) {
        SM_TRY(sm_snapshot_pick(c->base, &c->record.read, c->arena, &files, &n_files, e));
        remove_replaced(s, files, n_files);
    }
    return SM_OK;
}
