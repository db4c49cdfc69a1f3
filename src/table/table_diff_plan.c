/* SPDX-License-Identifier: Apache-2.0
 *
 * table/table_diff_plan.c: the plans by which two versions of a table are compared. Called by
 * table_diff.c, which chooses columns and files.
 *
 * Keys     Of the rows that are read, no key may be NULL, and none may be there twice in a version:
 *          a plan counts each key on both sides. A row of a common file with such a key would be a
 *          second one too, so the keys of common files are read as well, but only within the ends
 *          of the others: statistics leave out most of these files. Keys that are twice among
 *          common files alone are not found: their rows are the same in both versions.
 * By key   `from` LEFT JOIN `to`, of which rows without a partner went, and rows that are distinct
 *          from theirs in a column changed; and `to` LEFT JOIN the keys of `from`, of which rows
 *          without a partner came.
 * Whole    Rows of `from` count −1, those of `to` 1: the sums of equal rows that are not 0. */
#include "table/table_int.h"

#include <inttypes.h>

enum { FROM, TO, COMMON };

/* ---- expressions ----------------------------------------------------------------------------- */

static const sm_expr *text(const smi_diff_parts *p, sm_str s)
{
    return sm_expr_constant(sm_value_str(s), p->arena);
}

static const sm_expr *number(const smi_diff_parts *p, int64_t v)
{
    return sm_expr_constant(sm_value_i64(v), p->arena);
}

static sm_status call1(const smi_diff_parts *p, const char *name, const sm_expr *x,
                       const sm_expr **out, sm_error *e)
{
    return sm_expr_call(name, &x, 1, p->arena, out, e);
}

static sm_status call2(const smi_diff_parts *p, const char *name, const sm_expr *x,
                       const sm_expr *y, const sm_expr **out, sm_error *e)
{
    const sm_expr *const args[] = {x, y};

    return sm_expr_call(name, args, 2, p->arena, out, e);
}

static sm_status when(const smi_diff_parts *p, const sm_expr *is, const sm_expr *then,
                      const sm_expr *otherwise, const sm_expr **out, sm_error *e)
{
    const sm_expr *const parts[] = {is, then, otherwise};

    return sm_expr_case(parts, 3, p->arena, out, e);
}

/* ---- the rows of a version ------------------------------------------------------------------- */

/* The first n compared columns of a version's files, and behind them `mark`, unless it is NULL. */
static sm_status rows_of(const smi_diff_parts *p, int which, int32_t n, const sm_expr *mark,
                         const sm_plan_node **out, sm_error *e)
{
    const int side = which == FROM ? FROM : TO;
    const int64_t *files = which == COMMON ? p->common : p->files[side];
    const int64_t n_files = which == COMMON ? p->n_common : p->n_files[side];
    sm_dataset *d = SM_NEW(p->arena, sm_dataset);
    const sm_expr **exprs = SM_NEW_ARRAY(p->arena, const sm_expr *, n + 1);
    sm_str *names = SM_NEW_ARRAY(p->arena, sm_str, n + 1);
    int32_t *places = NULL;

    SM_ASSERT(n <= p->n_columns && n_files >= 0);
    SM_TRY(sm_snapshot_dataset_of(p->versions[side], files, n_files, p->arena, d, &places, e));
    const sm_relation relation = {
        .dataset = d,
        .label =
            sm_arena_strf(p->arena, "version %" PRId64, sm_snapshot_version(p->versions[side])),
    };
    const sm_plan_node *scan = sm_plan_scan(&relation, false, p->arena);
    for (int32_t i = 0; i < n; i++) {
        const smi_diff_column *c = &p->columns[i];
        exprs[i] = c->at[side] < 0 ? sm_expr_constant(sm_value_null(c->field.type), p->arena)
                                   : sm_expr_column(scan->schema, places[c->at[side]], p->arena);
        if (c->is_text) {
            SM_TRY(sm_expr_cast(exprs[i], &sm_type_string, false, p->arena, &exprs[i], e));
        }
        names[i] = c->field.name;
    }
    if (mark) {
        exprs[n] = mark;
        names[n] = SM_STR("_mark");
    }
    *out = sm_plan_project(scan, exprs, names, n + (mark ? 1 : 0), p->arena);
    return SM_OK;
}

/* ---- are the keys keys? ---------------------------------------------------------------------- */

/* The row of a plan that gives at most one; NULL: it gave none. */
static sm_status run_for_row(const smi_diff_parts *p, const sm_plan_node *root, sm_batch **out,
                             sm_error *e)
{
    sm_plan *plan = NULL;
    sm_batch **rows = NULL;
    int64_t n = 0;

    *out = NULL;
    SM_TRY(sm_plan_finish(root, p->arena, &plan, e));
    SM_TRY(sm_exec_collect(plan, p->env, p->arena, &rows, &n, NULL, e));
    for (int64_t i = 0; i < n; i++) {
        if (!*out && rows[i]->n_rows > 0) {
            *out = rows[i];
        } else {
            sm_batch_release(rows[i]);
        }
    }
    return SM_OK;
}

/* "id = 1, day = 2022-04-01" */
static sm_str key_text(const smi_diff_parts *p, const sm_batch *row)
{
    sm_buf out = {0};

    for (int32_t i = 0; i < p->n_keys; i++) {
        sm_buf_printf(&out, "%s%.*s = ", i > 0 ? ", " : "", SM_STR_ARG(p->columns[i].field.name));
        sm_value_print(sm_column_value(&row->columns[i], 0), &out);
    }
    const sm_str copy = sm_arena_str(p->arena, sm_buf_str(&out));
    sm_buf_release(&out);
    return copy;
}

static sm_status check_no_null(const smi_diff_parts *p, const sm_plan_node *keys, sm_error *e)
{
    const sm_expr **is_null = SM_NEW_ARRAY(p->arena, const sm_expr *, p->n_keys);
    const sm_expr *any = NULL;
    const sm_plan_node *bad = NULL;
    sm_batch *row = NULL;

    for (int32_t i = 0; i < p->n_keys; i++) {
        SM_TRY(call1(p, "is_null", sm_expr_column(keys->schema, i, p->arena), &is_null[i], e));
    }
    SM_TRY(sm_expr_or(is_null, p->n_keys, p->arena, &any, e));
    SM_TRY(sm_plan_filter(keys, any, p->arena, &bad, e));
    SM_TRY(run_for_row(p, sm_plan_limit(bad, 1, 0, p->arena), &row, e));
    if (!row) {
        return SM_OK;
    }
    const int64_t mark = sm_column_value(&row->columns[p->n_keys], 0).as.i;
    SM_ASSERT(mark == FROM || mark == TO);
    const sm_status st =
        sm_fail(e, SM_INVALID, "version %" PRId64 " has a row with %.*s: a key is never NULL",
                sm_snapshot_version(p->versions[mark]), SM_STR_ARG(key_text(p, row)));
    sm_batch_release(row);
    return st;
}

/* Rows of common files whose keys are within the ends of the others, column by column. */
static sm_status within_ends(const smi_diff_parts *p, const sm_plan_node *keys,
                             const sm_plan_node *common, const sm_plan_node **out, sm_error *e)
{
    const sm_plan_node *ends = NULL;
    sm_agg_item *items = SM_NEW_ARRAY(p->arena, sm_agg_item, 2 * p->n_keys);
    const sm_expr **tests = SM_NEW_ARRAY(p->arena, const sm_expr *, 2 * p->n_keys);
    const sm_expr *all = NULL;
    sm_batch *row = NULL;
    sm_status st = SM_OK;

    for (int32_t i = 0; i < p->n_keys; i++) {
        const sm_expr *key = sm_expr_column(keys->schema, i, p->arena);
        SM_TRY(call1(p, "min", key, &items[2 * i].call, e));
        SM_TRY(call1(p, "max", key, &items[2 * i + 1].call, e));
    }
    SM_TRY(sm_plan_aggregate(keys, NULL, 0, items, 2 * p->n_keys, p->arena, &ends, e));
    SM_TRY(run_for_row(p, ends, &row, e));
    SM_ENSURE(row != NULL); /* without keys an aggregate gives one row */
    for (int32_t i = 0; i < 2 * p->n_keys && st == SM_OK; i++) {
        const sm_value end = sm_column_value_copy(&row->columns[i], 0, p->arena);
        st = call2(p, i % 2 == 0 ? ">=" : "<=", sm_expr_column(common->schema, i / 2, p->arena),
                   sm_expr_constant(end, p->arena), &tests[i], e);
    }
    sm_batch_release(row);
    SM_TRY(st);
    SM_TRY(sm_expr_and(tests, 2 * p->n_keys, p->arena, &all, e));
    return sm_plan_filter(common, all, p->arena, out, e);
}

/* How many of a group's rows have that mark. */
static sm_status count_mark(const smi_diff_parts *p, const sm_plan_node *in, int64_t mark,
                            sm_agg_item *out, sm_error *e)
{
    const sm_expr *x = sm_expr_column(in->schema, p->n_keys, p->arena);

    SM_TRY(sm_expr_call("count", NULL, 0, p->arena, &out->call, e));
    return call2(p, "=", x, number(p, mark), &out->filter, e);
}

/* Twice on a side, or once there and in a common file. Behind the keys: the three counts. */
static sm_status is_twice(const smi_diff_parts *p, const sm_type *groups, const sm_expr **out,
                          sm_error *e)
{
    const sm_expr *n[3], *parts[3], *both[2], *sum = NULL;

    for (int i = 0; i < 3; i++) {
        n[i] = sm_expr_column(groups, p->n_keys + i, p->arena);
    }
    SM_TRY(call2(p, ">", n[FROM], number(p, 1), &parts[0], e));
    SM_TRY(call2(p, ">", n[TO], number(p, 1), &parts[1], e));
    SM_TRY(call2(p, "+", n[FROM], n[TO], &sum, e));
    SM_TRY(call2(p, ">", sum, number(p, 0), &both[0], e));
    SM_TRY(call2(p, ">", n[COMMON], number(p, 0), &both[1], e));
    SM_TRY(sm_expr_and(both, 2, p->arena, &parts[2], e));
    return sm_expr_or(parts, 3, p->arena, out, e);
}

static sm_status fail_twice(const smi_diff_parts *p, const sm_batch *row, sm_error *e)
{
    int64_t n[3];

    for (int i = 0; i < 3; i++) {
        n[i] = sm_column_value(&row->columns[p->n_keys + i], 0).as.i;
    }
    const int side = n[FROM] + n[COMMON] > 1 && n[FROM] > 0 ? FROM : TO;
    SM_ASSERT(n[side] + n[COMMON] > 1);
    const sm_status st = sm_fail(
        e, SM_INVALID, "version %" PRId64 " has %" PRId64 " rows with %.*s: a key is there once",
        sm_snapshot_version(p->versions[side]), n[side] + n[COMMON], SM_STR_ARG(key_text(p, row)));
    sm_error_todo(e, "Name further columns of the key, or leave --by out.");
    return st;
}

sm_status smi_diff_check_keys(const smi_diff_parts *p, sm_error *e)
{
    const sm_plan_node *from = NULL, *to = NULL, *keys = NULL, *all = NULL, *groups = NULL;
    const sm_plan_node *common = NULL, *twice = NULL;
    const sm_expr **exprs = SM_NEW_ARRAY(p->arena, const sm_expr *, p->n_keys);
    sm_agg_item items[3] = {0};
    const sm_expr *is = NULL;
    sm_batch *row = NULL;

    SM_ASSERT(p->n_keys > 0);
    SM_TRY(rows_of(p, FROM, p->n_keys, number(p, FROM), &from, e));
    SM_TRY(rows_of(p, TO, p->n_keys, number(p, TO), &to, e));
    SM_TRY(sm_plan_union(from, to, p->arena, &keys, e));
    SM_TRY(check_no_null(p, keys, e));
    all = keys;
    if (p->n_common > 0) {
        SM_TRY(rows_of(p, COMMON, p->n_keys, number(p, COMMON), &common, e));
        SM_TRY(within_ends(p, keys, common, &common, e));
        SM_TRY(sm_plan_union(keys, common, p->arena, &all, e));
    }
    for (int32_t i = 0; i < p->n_keys; i++) {
        exprs[i] = sm_expr_column(all->schema, i, p->arena);
    }
    for (int i = 0; i < 3; i++) {
        SM_TRY(count_mark(p, all, i, &items[i], e));
    }
    SM_TRY(sm_plan_aggregate(all, exprs, p->n_keys, items, 3, p->arena, &groups, e));
    SM_TRY(is_twice(p, groups->schema, &is, e));
    SM_TRY(sm_plan_filter(groups, is, p->arena, &twice, e));
    SM_TRY(run_for_row(p, sm_plan_limit(twice, 1, 0, p->arena), &row, e));
    if (!row) {
        return SM_OK;
    }
    const sm_status st = fail_twice(p, row, e);
    sm_batch_release(row);
    return st;
}

/* ---- by key ---------------------------------------------------------------------------------- */

/* "name=value", texts in quotes: "amount=1", "name='O''Hara'", "day=NULL". */
static sm_status told(const smi_diff_parts *p, sm_str name, const sm_expr *x, const sm_expr **out,
                      sm_error *e)
{
    const sm_str head = sm_arena_strf(p->arena, "%.*s=", SM_STR_ARG(name));
    const sm_expr *is_null = NULL, *value = NULL, *all = NULL;
    const sm_expr *quote = text(p, SM_STR("'"));

    SM_TRY(sm_expr_cast(x, &sm_type_string, false, p->arena, &value, e));
    SM_TRY(call1(p, "is_null", x, &is_null, e));
    if (x->type->id == SM_TYPE_STRING) {
        const sm_expr *const doubled[] = {value, quote, text(p, SM_STR("''"))};
        SM_TRY(sm_expr_call("replace", doubled, 3, p->arena, &value, e));
        const sm_expr *const quoted[] = {text(p, head), quote, value, quote};
        SM_TRY(sm_expr_call("concat", quoted, 4, p->arena, &all, e));
    } else {
        SM_TRY(call2(p, "concat", text(p, head), value, &all, e));
    }
    return when(p, is_null, text(p, sm_arena_strf(p->arena, "%.*sNULL", SM_STR_ARG(head))), all,
                out, e);
}

/* What is told of all columns that are no key, joined by ", ": at[i] says of which column of the
 * input, shows[i] when (NULL: always). names_only: their names, not their values. */
static sm_status list(const smi_diff_parts *p, const sm_type *in, int32_t first,
                      const sm_expr *const *shows, bool names_only, const sm_expr **out,
                      sm_error *e)
{
    const int32_t n = p->n_columns - p->n_keys;
    const sm_expr **args = SM_NEW_ARRAY(p->arena, const sm_expr *, n + 1);
    const sm_expr *none = sm_expr_constant(sm_value_null(&sm_type_string), p->arena);

    *out = none;
    if (n == 0) {
        return SM_OK;
    }
    args[0] = text(p, SM_STR(", "));
    for (int32_t i = 0; i < n; i++) {
        const sm_str name = p->columns[p->n_keys + i].field.name;
        const sm_expr *x = text(p, name);
        if (!names_only) {
            SM_TRY(told(p, name, sm_expr_column(in, first + p->n_keys + i, p->arena), &x, e));
        }
        args[1 + i] = x;
        if (shows) {
            SM_TRY(when(p, shows[i], x, none, &args[1 + i], e));
        }
    }
    return sm_expr_call("concat_ws", args, n + 1, p->arena, out, e);
}

/* _change, the keys, _columns, _before, _after. */
static const sm_plan_node *shown(const smi_diff_parts *p, const sm_plan_node *in,
                                 const sm_expr *change, const sm_expr *const *three)
{
    static const sm_str names[] = {{"_columns", 8}, {"_before", 7}, {"_after", 6}};
    const int32_t n = p->n_keys + 4;
    const sm_expr **exprs = SM_NEW_ARRAY(p->arena, const sm_expr *, n);
    sm_str *all = SM_NEW_ARRAY(p->arena, sm_str, n);

    exprs[0] = change;
    all[0] = SM_STR("_change");
    for (int32_t i = 0; i < p->n_keys; i++) {
        exprs[1 + i] = sm_expr_column(in->schema, i, p->arena);
        all[1 + i] = p->columns[i].field.name;
    }
    for (int32_t i = 0; i < 3; i++) {
        exprs[1 + p->n_keys + i] = three[i];
        all[1 + p->n_keys + i] = names[i];
    }
    return sm_plan_project(in, exprs, all, n, p->arena);
}

/* left LEFT JOIN right, by the keys, which come first on both sides. */
static sm_status join(const smi_diff_parts *p, const sm_plan_node *left, const sm_plan_node *right,
                      const sm_plan_node **out, sm_error *e)
{
    SM_ASSERT(p->n_keys <= left->schema->n_fields && p->n_keys <= right->schema->n_fields);
    const sm_type *both = sm_plan_join_schema(left, right, SM_JOIN_LEFT, p->arena);
    const sm_expr **equal = SM_NEW_ARRAY(p->arena, const sm_expr *, p->n_keys);
    const sm_expr *on = NULL;

    for (int32_t i = 0; i < p->n_keys; i++) {
        SM_TRY(call2(p, "=", sm_expr_column(both, i, p->arena),
                     sm_expr_column(both, left->schema->n_fields + i, p->arena), &equal[i], e));
    }
    SM_TRY(sm_expr_and(equal, p->n_keys, p->arena, &on, e));
    return sm_plan_join(left, right, SM_JOIN_LEFT, on, p->arena, out, e);
}

/* Rows of `from` that went, or changed. Keys are never NULL, so a key that is has no partner. */
static sm_status went_or_changed(const smi_diff_parts *p, const sm_plan_node *from,
                                 const sm_plan_node *to, const sm_plan_node **out, sm_error *e)
{
    const int32_t n = p->n_columns - p->n_keys;
    const sm_expr **distinct = SM_NEW_ARRAY(p->arena, const sm_expr *, n + 1);
    const sm_expr **moved = SM_NEW_ARRAY(p->arena, const sm_expr *, n + 1);
    const sm_plan_node *pairs = NULL, *rows = NULL;
    const sm_expr *went = NULL, *any = NULL, *change = NULL, *three[3], *after = NULL;
    const sm_expr *none = sm_expr_constant(sm_value_null(&sm_type_string), p->arena);

    SM_TRY(join(p, from, to, &pairs, e));
    SM_TRY(call1(p, "is_null", sm_expr_column(pairs->schema, p->n_columns, p->arena), &went, e));
    distinct[n] = went;
    for (int32_t i = 0; i < n; i++) {
        const int32_t at = p->n_keys + i;
        SM_TRY(call2(p, "is_distinct", sm_expr_column(pairs->schema, at, p->arena),
                     sm_expr_column(pairs->schema, p->n_columns + at, p->arena), &distinct[i], e));
        const sm_expr *const either[] = {went, distinct[i]};
        SM_TRY(sm_expr_or(either, 2, p->arena, &moved[i], e));
    }
    SM_TRY(sm_expr_or(distinct, n + 1, p->arena, &any, e));
    SM_TRY(sm_plan_filter(pairs, any, p->arena, &rows, e));
    SM_TRY(when(p, went, text(p, SM_STR("went")), text(p, SM_STR("changed")), &change, e));
    SM_TRY(list(p, pairs->schema, 0, distinct, true, &three[0], e));
    SM_TRY(when(p, went, none, three[0], &three[0], e));
    SM_TRY(list(p, pairs->schema, 0, moved, false, &three[1], e));
    SM_TRY(list(p, pairs->schema, p->n_columns, distinct, false, &after, e));
    SM_TRY(when(p, went, none, after, &three[2], e));
    *out = shown(p, rows, change, three);
    return SM_OK;
}

static sm_status came(const smi_diff_parts *p, const sm_plan_node *to, const sm_plan_node **out,
                      sm_error *e)
{
    const sm_plan_node *keys = NULL, *pairs = NULL, *rows = NULL;
    const sm_expr *none = sm_expr_constant(sm_value_null(&sm_type_string), p->arena);
    const sm_expr *is_new = NULL, *three[3] = {none, none, NULL};

    SM_TRY(rows_of(p, FROM, p->n_keys, NULL, &keys, e));
    SM_TRY(join(p, to, keys, &pairs, e));
    SM_TRY(call1(p, "is_null", sm_expr_column(pairs->schema, p->n_columns, p->arena), &is_new, e));
    SM_TRY(sm_plan_filter(pairs, is_new, p->arena, &rows, e));
    SM_TRY(list(p, pairs->schema, 0, NULL, false, &three[2], e));
    *out = shown(p, rows, text(p, SM_STR("came")), three);
    return SM_OK;
}

static sm_status plan_by_key(const smi_diff_parts *p, const sm_plan_node **out, sm_error *e)
{
    const sm_plan_node *from = NULL, *to = NULL, *old = NULL, *new = NULL, *all = NULL;
    sm_sort_key *order = SM_NEW_ARRAY(p->arena, sm_sort_key, p->n_keys);

    SM_TRY(rows_of(p, FROM, p->n_columns, NULL, &from, e));
    SM_TRY(rows_of(p, TO, p->n_columns, NULL, &to, e));
    SM_TRY(went_or_changed(p, from, to, &old, e));
    SM_TRY(came(p, to, &new, e));
    SM_TRY(sm_plan_union(old, new, p->arena, &all, e));
    for (int32_t i = 0; i < p->n_keys; i++) {
        order[i].expr = sm_expr_column(all->schema, 1 + i, p->arena);
    }
    return sm_plan_sort(all, order, p->n_keys, p->arena, out, e);
}

/* ---- whole rows ------------------------------------------------------------------------------ */

/* The sums of equal rows that are not 0: the columns, then the sum. */
static sm_status sums_of(const smi_diff_parts *p, const sm_plan_node **out, sm_error *e)
{
    const sm_plan_node *from = NULL, *to = NULL, *both = NULL, *sums = NULL;
    const sm_expr **columns = SM_NEW_ARRAY(p->arena, const sm_expr *, p->n_columns + 1);
    sm_agg_item sum = {0};
    const sm_expr *is_left = NULL;

    SM_TRY(rows_of(p, FROM, p->n_columns, number(p, -1), &from, e));
    SM_TRY(rows_of(p, TO, p->n_columns, number(p, 1), &to, e));
    SM_TRY(sm_plan_union(from, to, p->arena, &both, e));
    for (int32_t i = 0; i < p->n_columns; i++) {
        columns[i] = sm_expr_column(both->schema, i, p->arena);
    }
    SM_TRY(call1(p, "sum", sm_expr_column(both->schema, p->n_columns, p->arena), &sum.call, e));
    SM_TRY(sm_plan_aggregate(both, columns, p->n_columns, &sum, 1, p->arena, &sums, e));
    SM_TRY(call2(p, "<>", sm_expr_column(sums->schema, p->n_columns, p->arena), number(p, 0),
                 &is_left, e));
    return sm_plan_filter(sums, is_left, p->arena, out, e);
}

static sm_status plan_whole(const smi_diff_parts *p, const sm_plan_node **out, sm_error *e)
{
    const int32_t n = p->n_columns + 2;
    const sm_expr **exprs = SM_NEW_ARRAY(p->arena, const sm_expr *, n);
    sm_str *names = SM_NEW_ARRAY(p->arena, sm_str, n);
    sm_sort_key *order = SM_NEW_ARRAY(p->arena, sm_sort_key, n);
    const sm_plan_node *sums = NULL;
    const sm_expr *is_less = NULL;

    SM_TRY(sums_of(p, &sums, e));
    const sm_expr *sum = sm_expr_column(sums->schema, p->n_columns, p->arena);
    SM_TRY(call2(p, "<", sum, number(p, 0), &is_less, e));
    SM_TRY(when(p, is_less, text(p, SM_STR("went")), text(p, SM_STR("came")), &exprs[0], e));
    SM_TRY(call1(p, "abs", sum, &exprs[1], e));
    names[0] = SM_STR("_change");
    names[1] = SM_STR("_rows");
    for (int32_t i = 0; i < p->n_columns; i++) {
        exprs[2 + i] = sm_expr_column(sums->schema, i, p->arena);
        names[2 + i] = p->columns[i].field.name;
    }
    const sm_plan_node *rows = sm_plan_project(sums, exprs, names, n, p->arena);
    for (int32_t i = 0; i < p->n_columns; i++) {
        order[i].expr = sm_expr_column(rows->schema, 2 + i, p->arena);
    }
    if (p->n_columns == 0) {
        *out = rows;
        return SM_OK;
    }
    return sm_plan_sort(rows, order, p->n_columns, p->arena, out, e);
}

sm_status smi_diff_make_plan(const smi_diff_parts *p, sm_plan **out, sm_error *e)
{
    const sm_plan_node *root = NULL;

    SM_ASSERT(p->n_keys <= p->n_columns);
    if (p->n_keys > 0) {
        SM_TRY(plan_by_key(p, &root, e));
    } else {
        SM_TRY(plan_whole(p, &root, e));
    }
    return sm_plan_finish(root, p->arena, out, e);
}
