/* SPDX-License-Identifier: Apache-2.0
 *
 * table/table_fsck_data.c: reads all pages of a data file, and compares statistics with the values.
 * Called by table_fsck.c, where all is to be read.
 *
 * Method   One plan over the file alone counts the values of each column that is not nested, and
 *          finds their ends, without NaN, which statistics leave out. Nested columns are read by a
 *          second plan, whose rows are dropped. The reader checks the pages' checksums as it reads.
 *          Nothing is pruned: the plans have no condition, and the dataset has no statistics.
 * Compared Statistics of the log, and those of the footer, must not exclude a value: an end may be
 *          wider than the values, never narrower. Numbers of NULL must be equal, but of a file with
 *          a deletion vector, whose statistics count rows that are deleted. */
#include "table/table_int.h"

#include <inttypes.h>
#include <math.h>

#define MOST_SHOWN 60 /* bytes of a value in a message */

/* What the file's values are, of one stored column. */
typedef struct column_seen {
    int32_t count, min, max; /* the item of the plan, or −1 */
} column_seen;

typedef struct reading {
    const sm_delta_file *file;
    const sm_exec_env *env;
    sm_arena *arena;
    smi_fsck_sink sink;
    sm_dataset *dataset; /* of the file alone, without statistics */
    int32_t n_stored;
    const sm_range *log, *footer; /* a range for each stored column; NULL: none */
    column_seen *seen;
    int32_t n_items;
} reading;

/* ---- reading --------------------------------------------------------------------------------- */

static const sm_plan_node *scan_of(const reading *r)
{
    const sm_relation relation = {.dataset = r->dataset, .label = r->dataset->files[0].uri};

    return sm_plan_scan(&relation, false, r->arena);
}

static bool has_ends(const sm_range *ranges, int32_t column)
{
    return ranges && (ranges[column].has_min || ranges[column].has_max);
}

/* A float's ends are those of its other values. */
static sm_status not_nan(const reading *r, const sm_expr *x, const sm_expr **out, sm_error *e)
{
    const sm_expr *const args[] = {
        x, sm_expr_constant((sm_value){.type = x->type, .as.f = NAN}, r->arena)};

    *out = NULL;
    if (x->type->id != SM_TYPE_F32 && x->type->id != SM_TYPE_F64) {
        return SM_OK;
    }
    return sm_expr_call("is_distinct", args, 2, r->arena, out, e);
}

static sm_status add_column(reading *r, const sm_type *schema, int32_t column, sm_agg_item *items,
                            sm_error *e)
{
    const sm_expr *x = sm_expr_column(schema, column, r->arena);
    column_seen *seen = &r->seen[column];
    const sm_expr *filter = NULL;

    seen->count = r->n_items;
    SM_TRY(sm_expr_call("count", &x, 1, r->arena, &items[r->n_items++].call, e));
    if (!has_ends(r->log, column) && !has_ends(r->footer, column)) {
        return SM_OK;
    }
    SM_TRY(not_nan(r, x, &filter, e));
    seen->min = r->n_items;
    items[r->n_items].filter = filter;
    SM_TRY(sm_expr_call("min", &x, 1, r->arena, &items[r->n_items++].call, e));
    seen->max = r->n_items;
    items[r->n_items].filter = filter;
    return sm_expr_call("max", &x, 1, r->arena, &items[r->n_items++].call, e);
}

/* One row: count(*), then the items of each column. */
static sm_status plan_sums(reading *r, sm_plan **out, sm_error *e)
{
    const sm_plan_node *scan = scan_of(r), *sums = NULL;
    sm_agg_item *items = SM_NEW_ARRAY(r->arena, sm_agg_item, 3 * r->n_stored + 1);

    r->seen = SM_NEW_ARRAY(r->arena, column_seen, r->n_stored + 1);
    SM_TRY(sm_expr_call("count", NULL, 0, r->arena, &items[r->n_items++].call, e));
    for (int32_t i = 0; i < r->n_stored; i++) {
        r->seen[i] = (column_seen){-1, -1, -1};
        if (!sm_type_is_nested(scan->schema->fields[i].type->id)) {
            SM_TRY(add_column(r, scan->schema, i, items, e));
        }
    }
    SM_ASSERT(r->n_items <= 3 * r->n_stored + 1);
    SM_TRY(sm_plan_aggregate(scan, NULL, 0, items, r->n_items, r->arena, &sums, e));
    return sm_plan_finish(sums, r->arena, out, e);
}

static sm_status read_nested(const reading *r, sm_error *e)
{
    const sm_plan_node *scan = scan_of(r);
    const sm_expr **exprs = SM_NEW_ARRAY(r->arena, const sm_expr *, r->n_stored + 1);
    sm_str *names = SM_NEW_ARRAY(r->arena, sm_str, r->n_stored + 1);
    sm_plan *plan = NULL;
    int32_t n = 0;

    for (int32_t i = 0; i < r->n_stored; i++) {
        if (sm_type_is_nested(scan->schema->fields[i].type->id)) {
            exprs[n] = sm_expr_column(scan->schema, i, r->arena);
            names[n++] = scan->schema->fields[i].name;
        }
    }
    if (n == 0) {
        return SM_OK;
    }
    SM_TRY(sm_plan_finish(sm_plan_project(scan, exprs, names, n, r->arena), r->arena, &plan, e));
    return sm_exec_run(plan, r->env, NULL, NULL, NULL, e);
}

/* ---- comparing ------------------------------------------------------------------------------- */

static sm_str shown(const reading *r, sm_value v)
{
    sm_buf text = {0};

    sm_value_print(v, &text);
    const sm_str all = sm_buf_str(&text);
    const sm_str out = all.len <= MOST_SHOWN
                           ? sm_arena_str(r->arena, all)
                           : sm_arena_strf(r->arena, "%.*s...", MOST_SHOWN, all.data);
    sm_buf_release(&text);
    return out;
}

static void tell_end(const reading *r, int32_t column, const char *who, const char *which,
                     sm_value said, sm_value is)
{
    r->sink.found(r->sink.ctx, SM_FSCK_STATISTICS,
                  sm_arena_printf(r->arena,
                                  "column %.*s: %s that no value is %s than %.*s, it has %.*s",
                                  SM_STR_ARG(r->dataset->schema->fields[column].name), who, which,
                                  SM_STR_ARG(shown(r, said)), SM_STR_ARG(shown(r, is))));
}

static sm_value item_of(const sm_batch *row, int32_t item)
{
    SM_ASSERT(item >= 0);
    return sm_column_value(&row->columns[item], 0);
}

static void compare_column(const reading *r, const sm_batch *row, int32_t column,
                           const sm_range *said, const char *who)
{
    const column_seen *seen = &r->seen[column];
    const int64_t n_rows = item_of(row, 0).as.i;

    if (seen->count < 0) {
        return;
    }
    const int64_t n_nulls = n_rows - item_of(row, seen->count).as.i;
    if (!r->file->dv && said->has_nulls && said->n_nulls != n_nulls) {
        r->sink.found(
            r->sink.ctx, SM_FSCK_STATISTICS,
            sm_arena_printf(
                r->arena, "column %.*s: %s that it has %" PRId64 " times NULL, it has %" PRId64,
                SM_STR_ARG(r->dataset->schema->fields[column].name), who, said->n_nulls, n_nulls));
    }
    if (said->has_min && seen->min >= 0 && !item_of(row, seen->min).is_null &&
        sm_value_cmp(said->min, item_of(row, seen->min)) > 0) {
        tell_end(r, column, who, "less", said->min, item_of(row, seen->min));
    }
    if (said->has_max && seen->max >= 0 && !item_of(row, seen->max).is_null &&
        sm_value_cmp(said->max, item_of(row, seen->max)) < 0) {
        tell_end(r, column, who, "greater", said->max, item_of(row, seen->max));
    }
}

static void compare(const reading *r, const sm_batch *row)
{
    const int64_t n_rows = item_of(row, 0).as.i, n_said = sm_delta_file_rows(r->file);

    SM_ASSERT(row->n_rows == 1);
    if (n_said >= 0 && n_said != n_rows) {
        r->sink.found(r->sink.ctx, SM_FSCK_ROWS,
                      sm_arena_printf(r->arena, "it has %" PRId64 " rows, the log says %" PRId64,
                                      n_rows, n_said));
    }
    for (int32_t i = 0; i < r->n_stored; i++) {
        if (r->log) {
            compare_column(r, row, i, &r->log[i], "the log says");
        }
        compare_column(r, row, i, &r->footer[i], "its footer says");
    }
}

/* ---- the file -------------------------------------------------------------------------------- */

static sm_status look_at_footer(reading *r, sm_error *e)
{
    const sm_datafile *f = &r->dataset->files[0];
    const sm_type *stored = sm_type_struct(r->arena, r->dataset->schema->fields, r->n_stored);
    sm_written said = {0};
    sm_blob *blob = NULL;

    SM_TRY(sm_blob_open_tail(f->store, f->key, f->size_bytes, r->dataset->format->tail_bytes, &blob,
                             e));
    const sm_status st = r->dataset->format->look(blob, stored, r->arena, &said, e);
    sm_blob_close(blob);
    r->footer = said.ranges;
    return st;
}

static sm_status read_file(reading *r, sm_error *e)
{
    sm_plan *plan = NULL;
    sm_batch **rows = NULL;
    int64_t n = 0;

    SM_TRY(look_at_footer(r, e));
    SM_TRY(plan_sums(r, &plan, e));
    SM_TRY(read_nested(r, e));
    SM_TRY(sm_exec_collect(plan, r->env, r->arena, &rows, &n, NULL, e));
    SM_ENSURE(n == 1 && rows[0]->n_rows == 1); /* without keys there is one row */
    compare(r, rows[0]);
    sm_batch_release(rows[0]);
    return SM_OK;
}

sm_status smi_fsck_data(const sm_snapshot *s, const sm_delta_file *file, const sm_exec_env *env,
                        smi_fsck_sink sink, sm_error *e)
{
    int32_t *columns = NULL;
    sm_dataset d;
    reading r = {.file = file, .env = env, .sink = sink, .dataset = &d};
    sm_error bad = {0};

    r.arena = sm_arena_new(env->budget);
    sm_status st = sm_snapshot_dataset_picked(s, file, 1, r.arena, &d, &columns, &bad);
    if (st == SM_OK) {
        r.n_stored = d.schema->n_fields - d.n_constants;
        r.log = d.files[0].ranges;
        d.files[0].ranges = NULL;
        d.files[0].n_rows = -1;
        st = read_file(&r, &bad);
    }
    if (st != SM_OK && smi_fsck_is_fault(st)) {
        sink.found(sink.ctx, SM_FSCK_DAMAGED, bad.what);
        st = SM_OK;
    } else if (st != SM_OK && e) {
        *e = bad;
    }
    sm_arena_free(r.arena);
    return st;
}
