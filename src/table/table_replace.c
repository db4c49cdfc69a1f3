/* SPDX-License-Identifier: Apache-2.0
 *
 * table/table_replace.c: takes the rows of a condition out of a table's files. Called by
 * table_stage.c once the new rows are written.
 *
 * Method   File by file, the cheapest answer first:
 *            1. statistics say that no row can satisfy a bound of the condition: the file stays
 *            2. statistics say that each column in the condition has one value all through: the
 *               condition is evaluated once, and the file stays or goes
 *            3. else the file's columns in the condition are read and the rows counted: none, the
 *               file stays; all, it goes; some, it goes and the others are written anew
 * NULL     a row for which the condition is NULL is not replaced.
 * Files    that hold one value each of what they are replaced by (split_by) never get to 3. */
#include "table/table_int.h"

typedef enum verdict { KEEP, REMOVE, LOOK } verdict;

/* ---- by statistics --------------------------------------------------------------------------- */

static bool is_excluded(const sm_delta_file *f, const sm_bounds *bounds)
{
    for (int32_t i = 0; f->ranges && i < bounds->n; i++) {
        const sm_bound *b = &bounds->items[i];
        if (b->n_path == 1 && sm_bound_excludes(b, &f->ranges[b->path[0]])) {
            return true;
        }
    }
    return false;
}

/* Marks the columns that an expression reads. */
static void mark_columns(const sm_expr *x, bool *is_used)
{
    if (x->kind == SM_EXPR_COLUMN) {
        is_used[x->index] = true;
    }
    for (int32_t i = 0; i < x->n_args; i++) {
        mark_columns(x->args[i], is_used);
    }
}

/* The one value that the column has in all rows of the file; false where that is not known. Bounds
 * may be wider than the truth, so equal ones are the value itself. */
static bool only_value(const sm_delta_file *f, const sm_type *t, int32_t column, sm_value *out)
{
    const sm_range *r = &f->ranges[column];

    if (sm_type_is_nested(t->id) || !r->has_nulls || f->n_rows <= 0) {
        return false;
    }
    if (r->n_nulls == f->n_rows) {
        *out = sm_value_null(t);
        return true;
    }
    *out = r->min;
    return r->n_nulls == 0 && r->has_min && r->has_max && !r->may_have_nan &&
           sm_value_cmp(r->min, r->max) == 0;
}

/* A batch of one row with those values; other columns are NULL. */
static sm_status one_row(const sm_type *schema, const sm_value *values, const bool *is_used,
                         sm_arena *a, sm_budget *budget, sm_batch **out, sm_error *e)
{
    sm_field *fields = SM_NEW_ARRAY(a, sm_field, schema->n_fields + 1);
    sm_batch *b = NULL;

    for (int32_t i = 0; i < schema->n_fields; i++) {
        fields[i] = schema->fields[i];
        fields[i].type = is_used[i] ? fields[i].type : &sm_type_null;
    }
    SM_TRY(sm_batch_new(budget, sm_type_struct(a, fields, schema->n_fields), &b, e));
    for (int32_t i = 0; i < schema->n_fields; i++) {
        const sm_value v = is_used[i] ? values[i] : sm_value_null(&sm_type_null);
        const sm_status st = sm_column_constant(v, 1, b, &b->columns[i], e);
        if (st != SM_OK) {
            sm_batch_release(b);
            return st;
        }
    }
    b->n_rows = 1;
    *out = b;
    return SM_OK;
}

static sm_status judge_by_values(const sm_stage *s, const sm_delta_file *f, sm_arena *a,
                                 verdict *out, sm_error *e)
{
    const sm_type *schema = s->candidate->schema;
    bool *is_used = SM_NEW_ARRAY(a, bool, schema->n_fields + 1);
    sm_value *values = SM_NEW_ARRAY(a, sm_value, schema->n_fields + 1);
    sm_batch *row = NULL;
    int32_t hit = 0;
    int64_t n = 0;

    *out = LOOK;
    mark_columns(s->where, is_used);
    for (int32_t i = 0; i < schema->n_fields; i++) {
        if (is_used[i] && !only_value(f, schema->fields[i].type, i, &values[i])) {
            return SM_OK;
        }
    }
    SM_TRY(one_row(schema, values, is_used, a, s->env.budget, &row, e));
    const sm_status st = sm_expr_select(s->where, row, NULL, &hit, &n, s->env.budget, e);
    sm_batch_release(row);
    if (st == SM_OK) {
        *out = n == 1 ? REMOVE : KEEP;
    }
    return st;
}

static sm_status judge(const sm_stage *s, const sm_delta_file *f, verdict *out, sm_error *e)
{
    *out = LOOK;
    if (!f->ranges) {
        return SM_OK;
    }
    if (is_excluded(f, &s->candidate->record.read)) {
        *out = KEEP;
        return SM_OK;
    }
    sm_arena *a = sm_arena_new(s->env.budget);
    const sm_status st = judge_by_values(s, f, a, out, e);
    sm_arena_free(a);
    return st;
}

/* ---- by reading ------------------------------------------------------------------------------ */

/* How many rows the file has, and how many of them satisfy the condition. */
static sm_status count_rows(const sm_stage *s, const sm_plan_node *file, sm_arena *a,
                            int64_t *n_rows, int64_t *n_hits, sm_error *e)
{
    sm_agg_item items[2] = {0};
    const sm_plan_node *counts = NULL;
    sm_plan *plan = NULL;
    sm_batch **batches = NULL;
    int64_t n = 0;

    SM_TRY(sm_expr_call("count", NULL, 0, a, &items[0].call, e));
    items[1] = (sm_agg_item){.call = items[0].call, .filter = s->where};
    SM_TRY(sm_plan_aggregate(file, NULL, 0, items, 2, a, &counts, e));
    SM_TRY(sm_plan_finish(counts, a, &plan, e));
    SM_TRY(sm_exec_collect(plan, &s->env, a, &batches, &n, NULL, e));
    SM_ASSERT(n == 1 && batches[0]->n_rows == 1);
    *n_rows = sm_column_value(&batches[0]->columns[0], 0).as.i;
    *n_hits = sm_column_value(&batches[0]->columns[1], 0).as.i;
    sm_batch_release(batches[0]);
    return SM_OK;
}

/* The rows that stay: those for which the condition is false or NULL. */
static sm_status plan_kept(const sm_stage *s, const sm_plan_node *file, sm_arena *a, sm_plan **out,
                           sm_error *e)
{
    const sm_expr *const parts[] = {
        s->where,
        sm_expr_constant((sm_value){.type = &sm_type_bool, .as.b = false}, a),
        sm_expr_constant((sm_value){.type = &sm_type_bool, .as.b = true}, a),
    };
    const sm_expr *stays = NULL;
    const sm_plan_node *kept = NULL;

    SM_TRY(sm_expr_case(parts, SM_COUNT(parts), a, &stays, e));
    SM_TRY(sm_plan_filter(file, stays, a, &kept, e));
    return sm_plan_finish(kept, a, out, e);
}

static sm_status rewrite(sm_stage *s, const sm_plan_node *file, sm_arena *a, sm_error *e)
{
    sm_plan *plan = NULL;
    const sm_sink sink = {.ctx = &s->out, .push = smi_out_push, .finish = smi_out_finish};

    SM_TRY(plan_kept(s, file, a, &plan, e));
    /* They are the table's own columns, in its order, and rows that are not replaced. */
    const int32_t *order = s->out.order;
    const sm_value *only = s->out.only;
    s->out.order = NULL;
    s->out.only = NULL;
    const sm_status st = sm_exec_run(plan, &s->env, &sink, NULL, NULL, e);
    s->out.order = order;
    s->out.only = only;
    return st;
}

static sm_status look_into(sm_stage *s, const sm_dataset *all, int64_t i, const sm_delta_file *f,
                           sm_error *e)
{
    sm_arena *a = sm_arena_new(s->env.budget);
    int64_t n_rows = 0, n_hits = 0;
    sm_dataset one = *all;

    one.files = &all->files[i];
    one.n_files = 1;
    const sm_relation relation = {.dataset = &one, .label = one.files[0].uri};
    const sm_plan_node *const file = sm_plan_scan(&relation, false, a);
    sm_status st = count_rows(s, file, a, &n_rows, &n_hits, e);
    if (st == SM_OK && n_hits > 0 && n_hits < n_rows) {
        st = rewrite(s, file, a, e);
    }
    if (st == SM_OK && n_hits > 0) {
        smi_stage_remove(s, f);
    }
    sm_arena_free(a);
    return st;
}

/* ---- all files ------------------------------------------------------------------------------- */

sm_status smi_replace(sm_stage *s, sm_error *e)
{
    sm_candidate *c = s->candidate;
    int64_t n = 0;
    sm_dataset all = {0};

    const sm_delta_file *files = sm_snapshot_files(c->base, &n);
    for (int64_t i = 0; i < n; i++) {
        verdict v = LOOK;
        SM_TRY(judge(s, &files[i], &v, e));
        if (v == LOOK && !all.files) {
            SM_TRY(smi_candidate_base(c, c->arena, &all, e));
            SM_ASSERT(all.n_files == n); /* one a live file, in their order */
        }
        if (v == LOOK) {
            SM_TRY(look_into(s, &all, i, &files[i], e));
        } else if (v == REMOVE) {
            smi_stage_remove(s, &files[i]);
        }
    }
    return SM_OK;
}
