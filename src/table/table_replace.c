/* SPDX-License-Identifier: Apache-2.0
 *
 * table/table_replace.c: changes and removes rows in a table's files. Called by table_stage.c once
 * the new rows are written.
 *
 * Method   The cheapest test first:
 *            1. Statistics or partition values say that no row can satisfy a bound of the
 *               condition: the file stays.
 *            2. They say that each column in the condition has the same value in all rows:
 *               the condition is evaluated once, and the file stays, goes or is cut.
 *            3. For all other files one plan reads the columns that decide, and counts the rows
 *               that change and those that go. None: the file stays. All go: it goes. Else it is
 *               cut, or marked: where the table has deletion vectors and one is cheaper
 *               (table_mark.c says when), the file stays with a vector of the rows that change or
 *               go.
 *            4. One plan writes what stays of the files that are cut anew, each row with its old
 *               values or its new ones. Another writes the new values of rows in marked files.
 * Order    The rows of 4 come in the order of the files, and rows of two files never share a new
 *          one: what is written for a file depends on it alone, and is marked as sorted where the
 *          file was (table_cluster_mark.c). A constant column of the dataset says which file a row
 *          is of, by its place among the base's files. New values of rows in marked files come
 *          behind them, and share files: a statement that changes a row in each of a thousand
 *          files writes one.
 * Changes  In a table with a change data feed, all rows that changed are written once more, as they
 *          were and as they are, if a file was cut or marked (table_feed.c).
 * NULL     A row for which the condition is NULL is not replaced.
 * Split    Files with one value each of the column in the condition (split_by) never get to 3, nor
 *          do files of a condition on partition columns alone.
 * Ids      A table that tracks its rows has an id and a version of each, which are written with it
 *          (table_row_ids.c). A row that changes keeps its id, and has no version: it gets that of
 *          the commit.
 * MERGE    Where there is a source (sm_row_change), 2 only tells which files stay, and 3 and 4 join
 *          the files with it (table_merge.c). A file that has more rows after the join than before
 *          has a row with two pairs, which is an error. Where the pairs are known before
 *          (table_match.c), no file is looked into but one whose rows may all go, and what stays of
 *          a file is written without a join (table_patch.c). */
#include "table/table_int.h"

/* What becomes of a file. LOOK: not known until its rows are counted. */
typedef enum file_fate { KEEP, REMOVE, LOOK, CUT, MARK } file_fate;

typedef struct replacing {
    sm_stage *stage;
    sm_arena *arena;
    sm_delta_file *files; /* of the base: those that may have rows within what was read */
    int64_t n_files;
    file_fate *fates; /* one for each file */
    smi_look *looks;  /* of files that were looked into; n_rows as the plan saw them */
    bool can_mark;
    smi_row_ids *ids;          /* NULL: the table does not track its rows */
    const smi_scan_pick *pick; /* the files are a part of all, and so is what is read of them; NULL:
                                * all */
} replacing;

/* ---- by statistics --------------------------------------------------------------------------- */

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

/* Finds the one value that the column has in all rows of the file; false where neither partition
 * nor statistics (NULL: there are none) tell. Bounds may be wider than the values, so where both
 * are equal they are the value. */
static bool only_value(const sm_stage *s, const sm_delta_file *f, const sm_range *ranges,
                       int32_t column, sm_value *out)
{
    const sm_type *t = s->candidate->schema->fields[column].type;
    const int32_t place = sm_delta_partition_at(s->out.metadata, column);

    if (place >= 0) {
        *out = f->partition[place];
        return true;
    }
    if (!ranges) {
        return false;
    }
    const sm_range *r = &ranges[column];
    if (sm_type_is_nested(t->id) || !r->has_nulls || r->n_rows <= 0) {
        return false;
    }
    if (r->n_nulls == r->n_rows) {
        *out = sm_value_null(t);
        return true;
    }
    *out = r->min;
    return r->n_nulls == 0 && r->has_min && r->has_max && !r->may_have_nan &&
           sm_value_cmp(r->min, r->max) == 0;
}

/* Makes a batch of one row with the values of the columns that are used; the others are NULL. */
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

static sm_status decide_by_values(const sm_stage *s, const sm_delta_file *f, const sm_range *ranges,
                                  sm_arena *a, file_fate *out, sm_error *e)
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
        if (is_used[i] && !only_value(s, f, ranges, i, &values[i])) {
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

/* What becomes of a file all of whose rows satisfy the condition. Its rows are counted here if
 * statistics say how many there are, else by looking. A file that should have none may go, but is
 * not written anew: no row of it changes. */
static file_fate decide_whole(sm_stage *s, const sm_delta_file *f)
{
    smi_change *c = &s->change;
    const int64_t n_rows = sm_delta_file_rows(f);

    if (c->rows.source || n_rows < 0 || (n_rows == 0 && c->rows.values)) {
        return LOOK;
    }
    c->n_updated += c->rows.values ? n_rows : 0;
    c->n_deleted += c->rows.values ? 0 : n_rows;
    return c->rows.values ? CUT : REMOVE;
}

static sm_status decide_file(sm_stage *s, const sm_delta_file *f, file_fate *out, sm_error *e)
{
    sm_arena *a = sm_arena_new(s->env.budget);
    const sm_range *ranges = sm_snapshot_ranges(s->candidate->base, f, a);

    *out = LOOK;
    const sm_status st = decide_by_values(s, f, ranges, a, out, e);
    sm_arena_free(a);
    if (*out == REMOVE) {
        *out = decide_whole(s, f);
    }
    return st;
}

/* ---- by reading ------------------------------------------------------------------------------ */

static bool has_fate(const replacing *r, file_fate v)
{
    bool has = false;
    for (int64_t i = 0; i < r->n_files && !has; i++) {
        has = r->fates[i] == v;
    }
    return has;
}

/* The columns of the dataset, and behind them the place of a row's file. Expressions that are bound
 * by name do not know it. */
static const sm_type *with_place(const sm_type *schema, sm_arena *a)
{
    sm_field *fields = SM_NEW_ARRAY(a, sm_field, schema->n_fields + 1);

    memcpy(fields, schema->fields, (size_t)schema->n_fields * sizeof(*fields));
    fields[schema->n_fields] = (sm_field){.name = SM_STR("place"), .type = &sm_type_i64};
    return sm_type_struct(a, fields, schema->n_fields + 1);
}

/* A file's constants: its partition values, then its place. */
static const sm_value *constants_of(const replacing *r, int64_t i, int64_t place,
                                    int32_t n_partition)
{
    sm_value *out = SM_NEW_ARRAY(r->arena, sm_value, n_partition + 1);

    memcpy(out, r->files[i].partition, (size_t)n_partition * sizeof(*out));
    out[n_partition] = sm_value_i64(place);
    return out;
}

/* The rows, with NULL in the columns that are not read. */
static const sm_plan_node *read_some(const replacing *r, const sm_plan_node *rows)
{
    const int32_t n = rows->schema->n_fields;
    const sm_expr **exprs = SM_NEW_ARRAY(r->arena, const sm_expr *, n + 1);
    sm_str *names = SM_NEW_ARRAY(r->arena, sm_str, n + 1);

    for (int32_t i = 0; i < n; i++) {
        const sm_field *f = &rows->schema->fields[i];
        const bool is_read = i == n - 1 || r->pick->columns[i];
        exprs[i] = is_read ? sm_expr_column(rows->schema, i, r->arena)
                           : sm_expr_constant(sm_value_null(f->type), r->arena);
        names[i] = f->name;
    }
    return sm_plan_project(rows, exprs, names, n, r->arena);
}

/* The files with that fate: the columns of the table as files have them, then the place, as of
 * smi_replace_scan(). *columns: of each column of the table, where it is. */
static sm_status dataset_of(const replacing *r, file_fate v, bool numbers, sm_dataset *d,
                            int32_t **columns, const sm_delta_file ***files, sm_error *e)
{
    int64_t n = 0;

    *files = SM_NEW_ARRAY(r->arena, const sm_delta_file *, r->n_files + 1);
    SM_TRY(smi_candidate_base(r->stage->candidate, r->files, r->n_files, r->arena, d, columns, e));
    SM_ASSERT(d->n_files == r->n_files); /* one a file, in their order */
    for (int64_t i = 0; i < r->n_files; i++) {
        if (r->fates[i] == v) {
            const int64_t file = r->pick ? r->pick->first + i : i;
            const int64_t place = numbers ? file << SMI_PLACE_BITS : file;
            (*files)[n] = &r->files[i];
            d->files[n] = d->files[i];
            d->files[n].parts = r->pick ? r->pick->parts[i] : NULL;
            d->files[n++].constants = constants_of(r, i, place, d->n_constants);
        }
    }
    d->n_files = n;
    d->n_constants++;
    d->numbers_rows = numbers;
    d->schema = with_place(d->schema, r->arena);
    return SM_OK;
}

/* A scan of all files with that fate: the table's columns in its order, then the place, as of
 * smi_replace_scan(). */
static sm_status scan_of(const replacing *r, file_fate v, bool numbers, const sm_plan_node **out,
                         sm_error *e)
{
    sm_dataset *d = SM_NEW(r->arena, sm_dataset);
    const sm_delta_file **files = NULL;
    int32_t *columns = NULL;

    SM_TRY(dataset_of(r, v, numbers, d, &columns, &files, e));
    const sm_relation relation = {.dataset = d, .label = r->stage->candidate->uri};
    *out = smi_scan_in_order(&relation, columns, d->schema->n_fields - 1, r->arena);
    *out = r->pick && r->pick->columns ? read_some(r, *out) : *out;
    return SM_OK;
}

/* As scan_of(), and the rows' ids and versions, where the table has these: behind the place, or,
 * with numbers, before it, as rows that are patched are written. */
static sm_status scan_with_ids(const replacing *r, file_fate v, bool numbers,
                               const sm_plan_node **out, sm_error *e)
{
    const int32_t n = r->stage->candidate->schema->n_fields;
    sm_dataset *d = SM_NEW(r->arena, sm_dataset);
    const sm_expr **exprs = SM_NEW_ARRAY(r->arena, const sm_expr *, n + 1 + SMI_ROW_IDS);
    sm_str *names = SM_NEW_ARRAY(r->arena, sm_str, n + 1 + SMI_ROW_IDS);
    const sm_delta_file **files = NULL;
    const sm_plan_node *rows = NULL;
    int32_t *columns = NULL;

    if (!r->ids) {
        return scan_of(r, v, numbers, out, e);
    }
    SM_TRY(dataset_of(r, v, numbers, d, &columns, &files, e));
    r->ids->numbers_bins = numbers;
    SM_TRY(smi_row_ids_dataset(r->ids, files, r->arena, d, e));
    const sm_relation relation = {.dataset = d, .label = r->stage->candidate->uri};
    SM_TRY(smi_row_ids_plan(r->ids, sm_plan_scan(&relation, false, r->arena), r->arena, &rows, e));
    SM_ASSERT(rows->schema->n_fields == n + SMI_ROW_IDS + 1);
    for (int32_t i = 0; i < rows->schema->n_fields; i++) {
        const int32_t behind = numbers ? i : i == n ? n + SMI_ROW_IDS : i - 1;
        const int32_t at = i < n ? columns[i] : behind;
        exprs[i] = sm_expr_column(rows->schema, at, r->arena);
        names[i] = rows->schema->fields[at].name;
    }
    *out = sm_plan_project(rows, exprs, names, rows->schema->n_fields, r->arena);
    return SM_OK;
}

sm_status smi_replace_scan(sm_stage *s, const smi_matches *m, const smi_scan_pick *pick,
                           bool numbers, const sm_plan_node **out, sm_error *e)
{
    replacing r = {.stage = s,
                   .arena = pick ? pick->arena : m->arena,
                   .files = m->files,
                   .n_files = m->n_files,
                   .pick = pick};

    if (pick) {
        r.files += pick->first;
        r.n_files = pick->end - pick->first;
    }
    r.fates = SM_NEW_ARRAY(r.arena, file_fate, r.n_files + 1);
    for (int64_t i = 0; i < r.n_files; i++) {
        r.fates[i] = !pick || pick->files[i] ? LOOK : KEEP;
    }
    return scan_of(&r, LOOK, numbers, out, e);
}

/* Those rows as the expressions of the change are over them; with_ids: and behind that their ids
 * and versions, where the table has these. */
static sm_status rows_of(const replacing *r, file_fate v, bool with_ids, const sm_plan_node **out,
                         sm_error *e)
{
    const sm_row_change *c = &r->stage->change.rows;
    const sm_plan_node *files = NULL;

    SM_TRY(with_ids ? scan_with_ids(r, v, false, &files, e) : scan_of(r, v, false, &files, e));
    *out = files;
    return c->source ? smi_merge_pairs(c, files, r->arena, out, e) : SM_OK;
}

static sm_status finish_plan(const replacing *r, const sm_plan_node *root, sm_plan **out,
                             sm_error *e)
{
    const sm_statement *s = r->stage->change.statement;
    return s ? sm_statement_finish(s, root, r->arena, out, e)
             : sm_plan_finish(root, r->arena, out, e);
}

/* The column with the place of a row's file. */
static const sm_expr *place_of(const replacing *r, const sm_plan_node *rows)
{
    return sm_expr_column(rows->schema, r->stage->candidate->schema->n_fields, r->arena);
}

/* Plans (place of the file, does the row change or go, does it go), one row for each of the files'
 * rows, in their order. */
static sm_status plan_places(const replacing *r, const sm_plan_node *rows, sm_plan **out,
                             sm_error *e)
{
    const sm_row_change *c = &r->stage->change.rows;
    const sm_expr *const exprs[] = {place_of(r, rows), c->acts, c->deletes};
    const sm_str names[] = {SM_STR("place"), SM_STR("acts"), SM_STR("deletes")};

    return finish_plan(r, sm_plan_project(rows, exprs, names, 3, r->arena), out, e);
}

enum { COUNT_PLACE, COUNT_ROWS, COUNT_ACTS, COUNT_DELETES };

/* Plans (place of the file, rows, rows that change, rows that go), one row for each file. */
static sm_status plan_counts(const replacing *r, const sm_plan_node *rows, sm_plan **out,
                             sm_error *e)
{
    const sm_row_change *c = &r->stage->change.rows;
    const sm_expr *place = place_of(r, rows);
    sm_agg_item items[3] = {0};
    const sm_plan_node *counts = NULL;

    SM_TRY(sm_expr_call("count", NULL, 0, r->arena, &items[0].call, e));
    items[1] = (sm_agg_item){.call = items[0].call, .filter = c->acts};
    items[2] = (sm_agg_item){.call = items[0].call, .filter = c->deletes};
    SM_TRY(sm_plan_aggregate(rows, &place, 1, items, 3, r->arena, &counts, e));
    return finish_plan(r, counts, out, e);
}

/* The rows' ids, and their versions unless they change. `rows` end with both. */
static sm_status written_ids(const replacing *r, const sm_plan_node *rows, const sm_expr **out,
                             sm_error *e)
{
    const int32_t first = rows->schema->n_fields - SMI_ROW_IDS;
    const sm_expr *const parts[] = {
        r->stage->change.rows.acts,
        sm_expr_constant(sm_value_null(&sm_type_i64), r->arena),
        sm_expr_column(rows->schema, first + SMI_ROW_VERSION, r->arena),
    };

    out[SMI_ROW_ID] = sm_expr_column(rows->schema, first + SMI_ROW_ID, r->arena);
    return sm_expr_case(parts, SM_COUNT(parts), r->arena, &out[SMI_ROW_VERSION], e);
}

/* The values that rows get, in the table's columns, then their ids and versions where it tracks
 * them, and the place of their file behind these. */
static sm_status new_values(const replacing *r, const sm_plan_node *rows, const sm_plan_node **out,
                            sm_error *e)
{
    const sm_row_change *c = &r->stage->change.rows;
    const sm_type *schema = r->stage->candidate->schema;
    const int32_t n = schema->n_fields, n_ids = r->ids ? SMI_ROW_IDS : 0;
    const sm_expr **exprs = SM_NEW_ARRAY(r->arena, const sm_expr *, n + n_ids + 1);
    sm_str *names = SM_NEW_ARRAY(r->arena, sm_str, n + n_ids + 1);

    for (int32_t i = 0; i < n; i++) {
        exprs[i] = c->values ? c->values[i] : sm_expr_column(rows->schema, i, r->arena);
        names[i] = schema->fields[i].name;
    }
    for (int32_t i = 0; i < n_ids; i++) {
        names[n + i] = r->ids->names[i];
    }
    SM_TRY(r->ids ? written_ids(r, rows, exprs + n, e) : SM_OK);
    exprs[n + n_ids] = place_of(r, rows);
    names[n + n_ids] = SM_STR("place");
    *out = sm_plan_project(rows, exprs, names, n + n_ids + 1, r->arena);
    return SM_OK;
}

/* Plans the rows that stay, with the values that they get: those for which `deletes` is false or
 * NULL. With only_changed, those of them that change. They are as new_values() has them. */
static sm_status plan_kept(const replacing *r, const sm_plan_node *rows, bool only_changed,
                           sm_plan **out, sm_error *e)
{
    const sm_row_change *c = &r->stage->change.rows;
    const sm_expr *const parts[] = {
        c->deletes,
        sm_expr_constant((sm_value){.type = &sm_type_bool, .as.b = false}, r->arena),
        sm_expr_constant((sm_value){.type = &sm_type_bool, .as.b = true}, r->arena),
    };
    const sm_expr *stays = NULL;
    const sm_plan_node *kept = NULL;

    SM_TRY(sm_expr_case(parts, SM_COUNT(parts), r->arena, &stays, e));
    SM_TRY(sm_plan_filter(rows, stays, r->arena, &kept, e));
    if (only_changed) {
        SM_TRY(sm_plan_filter(kept, c->acts, r->arena, &kept, e));
    }
    SM_TRY(c->values || r->ids ? new_values(r, kept, &kept, e) : SM_OK);
    return finish_plan(r, kept, out, e);
}

/* ---- looking --------------------------------------------------------------------------------- */

static int64_t count_at(const sm_batch *groups, int32_t column, int64_t row)
{
    return sm_column_value(&groups->columns[column], row).as.i;
}

/* Takes what plan_counts() gave. */
static void take_counts(replacing *r, const sm_batch *groups)
{
    for (int64_t i = 0; i < groups->n_rows; i++) {
        const int64_t place = count_at(groups, COUNT_PLACE, i);
        SM_ENSURE(place >= 0 && place < r->n_files && r->fates[place] == LOOK);
        r->looks[place] = (smi_look){
            .n_rows = count_at(groups, COUNT_ROWS, i),
            .n_acts = count_at(groups, COUNT_ACTS, i),
            .n_deletes = count_at(groups, COUNT_DELETES, i),
        };
    }
}

/* Sets the fate of a file that was looked into. A file without a row stays. */
static void decide_by_look(replacing *r, int64_t i)
{
    smi_change *c = &r->stage->change;
    const smi_look *l = &r->looks[i];

    SM_ASSERT(l->n_deletes >= 0 && l->n_deletes <= l->n_acts && l->n_acts <= l->n_rows);
    r->fates[i] = l->n_acts == 0              ? KEEP
                  : l->n_deletes == l->n_rows ? REMOVE
                  : smi_look_has_vector(l)    ? MARK
                                              : CUT;
    c->n_updated += l->n_acts - l->n_deletes;
    c->n_deleted += l->n_deletes;
}

/* Counts the rows of the files by themselves: where there are fewer than with the source, a row has
 * several pairs. *first: the first such file; −1: none. */
static sm_status find_doubled(replacing *r, const sm_plan_node *files, int64_t *first, sm_error *e)
{
    const sm_expr *place = place_of(r, files);
    sm_agg_item item = {0};
    const sm_plan_node *counts = NULL;
    sm_plan *plan = NULL;
    sm_batch **groups = NULL;
    int64_t n = 0;

    *first = -1;
    SM_TRY(sm_expr_call("count", NULL, 0, r->arena, &item.call, e));
    SM_TRY(sm_plan_aggregate(files, &place, 1, &item, 1, r->arena, &counts, e));
    SM_TRY(sm_plan_finish(counts, r->arena, &plan, e));
    SM_TRY(sm_exec_collect(plan, &r->stage->env, r->arena, &groups, &n, NULL, e));
    for (int64_t i = 0; i < n; i++) {
        for (int64_t row = 0; row < groups[i]->n_rows; row++) {
            const int64_t at = count_at(groups[i], COUNT_PLACE, row);
            const bool is_doubled = count_at(groups[i], COUNT_ROWS, row) < r->looks[at].n_rows;
            *first = is_doubled && (*first < 0 || at < *first) ? at : *first;
        }
        sm_batch_release(groups[i]);
    }
    return SM_OK;
}

/* No row of the files may have two pairs. `files`: those that were looked into. */
static sm_status check_pairs(replacing *r, const sm_plan_node *files, sm_error *e)
{
    const sm_plan_node *doubled = NULL;
    int64_t first = -1;

    if (!r->stage->change.rows.source) {
        return SM_OK;
    }
    SM_TRY(find_doubled(r, files, &first, e));
    if (first < 0) {
        return SM_OK;
    }
    for (int64_t i = 0; i < r->n_files; i++) {
        r->fates[i] = i == first ? LOOK : KEEP;
    }
    SM_TRY(scan_of(r, LOOK, false, &doubled, e));
    return smi_merge_fail_pairs(&r->stage->change, doubled, &r->stage->env, r->arena, e);
}

/* Counts the rows of each file. */
static sm_status count_rows(replacing *r, const sm_plan_node *rows, sm_error *e)
{
    sm_plan *plan = NULL;
    sm_batch **groups = NULL;
    int64_t n = 0;

    SM_TRY(plan_counts(r, rows, &plan, e));
    SM_TRY(sm_exec_collect(plan, &r->stage->env, r->arena, &groups, &n, NULL, e));
    for (int64_t i = 0; i < n; i++) {
        take_counts(r, groups[i]);
        sm_batch_release(groups[i]);
    }
    return SM_OK;
}

static sm_status look_into(replacing *r, sm_error *e)
{
    const sm_plan_node *files = NULL, *rows = NULL;
    sm_plan *plan = NULL;

    if (!has_fate(r, LOOK)) {
        return SM_OK;
    }
    SM_TRY(scan_of(r, LOOK, false, &files, e));
    SM_TRY(rows_of(r, LOOK, false, &rows, e));
    if (r->can_mark) {
        SM_TRY(plan_places(r, rows, &plan, e));
        SM_TRY(smi_mark_look(r->stage, plan, r->files, r->n_files, r->looks, e));
    } else {
        SM_TRY(count_rows(r, rows, e));
    }
    for (int64_t i = 0; i < r->n_files; i++) {
        if (r->fates[i] == LOOK) {
            decide_by_look(r, i);
        }
    }
    return check_pairs(r, files, e);
}

/* ---- by pairs that are known ----------------------------------------------------------------- */

/* Sets the fate of a file by its pairs, of which the first is the one of that number. Only a look
 * tells whether all of its rows go: the log might say less than there are. */
static sm_status decide_by_pairs(replacing *r, int64_t i, int64_t first, sm_error *e)
{
    smi_change *c = &r->stage->change;
    const int64_t *places = (const int64_t *)(const void *)c->matches->places.data;
    smi_look *l = &r->looks[i];

    if (l->n_acts == 0) {
        r->fates[i] = KEEP;
        return SM_OK;
    }
    if (l->n_deletes > 0 && l->n_deletes >= sm_delta_file_rows(&r->files[i])) {
        *l = (smi_look){0};
        r->fates[i] = LOOK;
        return SM_OK;
    }
    SM_TRY(r->can_mark ? smi_mark_places(r->stage, &r->files[i], places + first, l, e) : SM_OK);
    r->fates[i] = smi_look_has_vector(l) ? MARK : CUT;
    c->n_updated += l->n_acts - l->n_deletes;
    c->n_deleted += l->n_deletes;
    return SM_OK;
}

static sm_status take_matches(replacing *r, sm_error *e)
{
    const smi_matches *m = r->stage->change.matches;
    int64_t first = 0;

    for (int64_t i = 0; i < r->n_files; i++) {
        r->looks[i] = m->looks[i];
        SM_TRY(decide_by_pairs(r, i, first, e));
        first += m->looks[i].n_acts;
    }
    SM_ASSERT(first == m->n);
    return SM_OK;
}

/* ---- rewriting ------------------------------------------------------------------------------- */

/* A generated column that the statement does not set is computed anew, for it follows from those
 * that are set; in a row that moves it is the same. */
int32_t *smi_replace_order(const sm_stage *s, sm_arena *a)
{
    const sm_row_change *c = &s->change.rows;
    const sm_type *schema = s->candidate->schema;
    const int32_t n_out = s->out.schema->n_fields; /* with ids */
    int32_t *order = SM_NEW_ARRAY(a, int32_t, n_out + 1);

    for (int32_t i = 0; i < n_out; i++) {
        const bool is_set =
            i >= schema->n_fields || !c->values || c->values[i]->kind != SM_EXPR_COLUMN;
        order[i] = is_set || !smi_field_is_generated(&schema->fields[i]) ? i : -1;
    }
    return order;
}

/* Writes the plan's rows into the stage's files. They are as new_values() has them; those of two
 * places share no file, unless shares_files. What the table says of its
 * rows counts for those that get new values. */
static sm_status execute_rewrite(const replacing *r, const sm_plan *plan, bool shares_files,
                                 const sm_sink *sink, sm_error *e)
{
    sm_stage *s = r->stage;
    smi_out *o = &s->out;

    if (r->ids) {
        smi_row_ids_out(r->ids, o);
    }
    o->order = smi_replace_order(s, r->arena);
    o->only = NULL; /* these rows are not those that the write was asked for */
    o->origin = shares_files ? -1 : o->schema->n_fields;
    o->rules = (smi_rules){0};
    if (s->change.rows.values) {
        SM_TRY(smi_rules_settle(sm_snapshot_metadata(s->candidate->base), o->order, r->arena,
                                &o->rules, e));
    }
    o->origins = s->change.rows.values ? NULL : r->files; /* new values may be out of order */
    return sm_exec_run(plan, &s->env, sink, NULL, NULL, e);
}

/* Sorts rows by partition, so that those of several files share one for each partition. */
static sm_status sort_by_partition(const replacing *r, sm_plan *plan, sm_plan **out, sm_error *e)
{
    const smi_out *o = &r->stage->out;
    const sm_expr **by = SM_NEW_ARRAY(r->arena, const sm_expr *, o->n_partition + 1);

    *out = plan;
    for (int32_t i = 0; i < o->n_partition; i++) {
        SM_ASSERT(o->keys[i] < o->schema->n_fields);
        by[i] = sm_expr_column(plan->root->schema, o->keys[i], r->arena);
    }
    return o->n_partition > 0 ? sm_plan_sorted(plan, by, o->n_partition, r->arena, out, e) : SM_OK;
}

/* Plans what is written of the files with a fate. */
static sm_status plan_rewrite(const replacing *r, file_fate fate, sm_plan **out, sm_error *e)
{
    const sm_plan_node *rows = NULL;

    SM_TRY(rows_of(r, fate, true, &rows, e));
    SM_TRY(plan_kept(r, rows, fate == MARK, out, e));
    return fate == MARK ? sort_by_partition(r, *out, out, e) : SM_OK;
}

/* Writes what `pick` says of the files that are cut, by their pairs; the rest of them stays. */
static sm_status rewrite_picked(const replacing *r, const smi_scan_pick *pick, smi_patch *patch,
                                sm_error *e)
{
    const sm_sink sink = {patch, smi_patch_push, smi_patch_finish};
    const sm_plan_node *rows = NULL;
    sm_plan *plan = NULL;

    SM_TRY(smi_replace_scan(r->stage, patch->matches, pick, true, &rows, e));
    SM_TRY(finish_plan(r, rows, &plan, e));
    return execute_rewrite(r, plan, false, &sink, e);
}

/* The same for files first … end − 1. */
static sm_status rewrite_some(const replacing *r, int64_t first, int64_t end, const bool *is_cut,
                              smi_patch *patch, sm_error *e)
{
    smi_keep *keep = NULL;
    sm_status st = SM_OK;

    SM_TRY(smi_keep_find(r->stage, first, end, is_cut, patch, &keep, e));
    patch->keep = keep;
    while (first < end && st == SM_OK) {
        smi_scan_pick pick;
        first = patch->keep_end = smi_keep_pick(keep, first, is_cut, &pick);
        st = rewrite_picked(r, &pick, patch, e);
    }
    patch->keep = NULL;
    smi_keep_free(keep);
    return st;
}

/* Writes what stays of the files that are cut, some files at a time. */
static sm_status rewrite_by_pairs(const replacing *r, sm_error *e)
{
    smi_patch patch = {.stage = r->stage, .matches = r->stage->change.matches};
    bool *is_cut = SM_NEW_ARRAY(r->arena, bool, r->n_files + 1);
    sm_status st = SM_OK;
    int64_t first = 0, n = 0;

    for (int64_t i = 0; i < r->n_files && st == SM_OK; i++) {
        is_cut[i] = r->fates[i] == CUT;
        n += is_cut[i];
        if (n == SMI_KEEP_FILES || (n > 0 && i == r->n_files - 1)) {
            st = rewrite_some(r, first, i + 1, is_cut, &patch, e);
            first = i + 1;
            n = 0;
        }
    }
    smi_patch_release(&patch);
    return st;
}

/* The same where rows have ids, which are written with them: nothing stays as it is. */
static sm_status rewrite_with_ids(const replacing *r, sm_error *e)
{
    smi_patch patch = {.stage = r->stage, .matches = r->stage->change.matches, .has_ids = true};
    const sm_sink sink = {&patch, smi_patch_push, smi_patch_finish};
    const sm_plan_node *rows = NULL;
    sm_plan *plan = NULL;

    SM_TRY(scan_with_ids(r, CUT, true, &rows, e));
    SM_TRY(finish_plan(r, rows, &plan, e));
    const sm_status st = execute_rewrite(r, plan, false, &sink, e);
    smi_patch_release(&patch);
    return st;
}

/* Writes what stays of the files that are cut, or the new values of rows in those that are marked.
 */
static sm_status rewrite_files(const replacing *r, file_fate fate, sm_error *e)
{
    smi_out *o = &r->stage->out;
    const sm_sink plain = {o, smi_out_push, smi_out_finish};
    sm_plan *plan = NULL;
    sm_status st = SM_OK;

    SM_ASSERT(fate == CUT || (fate == MARK && r->stage->change.rows.values));
    if (!has_fate(r, fate)) {
        return SM_OK;
    }
    SM_ASSERT(o->origin == -1 && o->state == SMI_OUT_NONE);
    const smi_out before = *o;
    if (fate == CUT && r->stage->change.matches) {
        st = r->ids ? rewrite_with_ids(r, e) : rewrite_by_pairs(r, e);
    } else {
        st = plan_rewrite(r, fate, &plan, e);
        st = st == SM_OK ? execute_rewrite(r, plan, fate == MARK, &plain, e) : st;
    }
    o->order = before.order;
    o->only = before.only;
    o->rules = before.rules;
    o->schema = before.schema;
    o->stored = before.stored;
    o->stored_columns = before.stored_columns;
    o->file_bytes = before.file_bytes;
    o->given_columns = NULL;
    o->origin = -1;
    o->origins = NULL;
    return st;
}

/* ---- changed rows ---------------------------------------------------------------------------- */

/* Writes what changed, where the table wants it and the files alone do not tell: rows that were
 * written anew are not all new. */
static sm_status record_changes(const replacing *r, int64_t n_new, sm_error *e)
{
    replacing all = *r; /* files that go are of the same kind here */
    smi_feed feed = {.n_new = n_new, .arena = r->arena};
    bool is_needed = false;

    all.fates = SM_NEW_ARRAY(r->arena, file_fate, r->n_files + 1);
    for (int64_t i = 0; i < r->n_files; i++) {
        is_needed = is_needed || (r->fates[i] != KEEP && r->fates[i] != REMOVE);
        all.fates[i] = r->fates[i] == KEEP ? KEEP : CUT;
    }
    if (!is_needed || !sm_delta_has_feed(r->stage->out.metadata)) {
        return SM_OK;
    }
    SM_TRY(rows_of(&all, CUT, false, &feed.rows, e));
    return smi_feed_write(r->stage, &feed, e);
}

/* ---- all files ------------------------------------------------------------------------------- */

static sm_status replace_rows(replacing *r, sm_error *e)
{
    const int64_t n_new = r->stage->out.n_adds;

    if (r->stage->change.matches) {
        SM_TRY(take_matches(r, e));
    }
    for (int64_t i = 0; i < r->n_files && !r->stage->change.matches; i++) {
        SM_TRY(decide_file(r->stage, &r->files[i], &r->fates[i], e));
    }
    SM_TRY(look_into(r, e));
    SM_ASSERT(!has_fate(r, LOOK));
    if (has_fate(r, MARK)) {
        SM_TRY(smi_mark_write(r->stage, r->files, r->n_files, r->looks, e));
    }
    SM_TRY(rewrite_files(r, CUT, e));
    if (r->stage->change.rows.values) {
        SM_TRY(rewrite_files(r, MARK, e));
    }
    SM_TRY(record_changes(r, n_new, e));
    for (int64_t i = 0; i < r->n_files; i++) {
        if (r->fates[i] != KEEP) {
            smi_stage_remove(r->stage, &r->files[i]);
        }
    }
    return SM_OK;
}

/* Finds the files that may have rows that change. */
static sm_status pick_files(replacing *r, sm_error *e)
{
    const smi_matches *m = r->stage->change.matches;
    sm_candidate *c = r->stage->candidate;

    if (m) {
        r->files = m->files;
        r->n_files = m->n_files;
        return SM_OK;
    }
    return sm_snapshot_pick(c->base, &c->record.read, c->arena, &r->files, &r->n_files, e);
}

sm_status smi_replace(sm_stage *s, sm_error *e)
{
    replacing r = {.stage = s, .arena = sm_arena_new(s->env.budget)};

    SM_ASSERT(s->state == SMI_STAGE_SETTLING && s->where && s->candidate->base);
    sm_status st = pick_files(&r, e);
    if (st == SM_OK) {
        r.fates = SM_NEW_ARRAY(r.arena, file_fate, r.n_files + 1);
        r.looks = SM_NEW_ARRAY(r.arena, smi_look, r.n_files + 1);
        r.can_mark = sm_delta_has_vectors(s->candidate->base);
        st = smi_row_ids_settle(s->candidate->base, r.arena, &r.ids, e);
        st = st == SM_OK ? replace_rows(&r, e) : st;
        smi_looks_release(r.looks, r.n_files);
    }
    sm_arena_free(r.arena);
    return st;
}
