/* SPDX-License-Identifier: Apache-2.0
 *
 * contract/contract_share.c: smelt.sharePer: of the groups that a column divides the rows into, the
 * one with the largest share of rows that break a rule. Called for a rule that some row breaks, by
 * contract_audit.c and contract_guard.c.
 *
 * Method   A plan of one row for each group: its value, its rows, and those that break the rule.
 *          Sorted by share, and groups of the same share by value, the first one is the worst; so
 *          it is the same at any number of threads. NULL is a group of its own. */
#include "contract/contract_int.h"

enum { GROUP_VALUE, GROUP_ROWS, GROUP_BROKEN };

static sm_status call(smi_audit *u, const char *name, const sm_expr *x, const sm_expr *y,
                      const sm_expr **out, sm_error *e)
{
    const sm_expr *const args[] = {x, y};

    return sm_expr_call(name, args, (x != NULL) + (y != NULL), u->a, out, e);
}

static sm_status take_worst(smi_audit *u, const sm_plan_node *groups, sm_rule_count *out,
                            sm_error *e)
{
    const sm_expr *columns[3];
    sm_sort_key keys[2] = {{.is_desc = true}, {.nulls_first = true}};
    const sm_plan_node *root = NULL;
    sm_plan *plan = NULL;
    sm_batch **rows = NULL;
    sm_buf text = {0};
    int64_t n = 0;

    for (int32_t i = 0; i < SM_COUNT(columns); i++) {
        columns[i] = sm_expr_column(groups->schema, i, u->a);
    }
    SM_TRY(call(u, "/", columns[GROUP_BROKEN], columns[GROUP_ROWS], &keys[0].expr, e));
    keys[1].expr = columns[GROUP_VALUE];
    SM_TRY(sm_plan_sort(groups, keys, SM_COUNT(keys), u->a, &root, e));
    SM_TRY(sm_plan_finish(sm_plan_limit(root, 1, 0, u->a), u->a, &plan, e));
    SM_TRY(sm_exec_collect(plan, u->in->env, u->a, &rows, &n, NULL, e));
    if (n == 0) { /* those that broke the rule left by another one, and no others are there */
        return SM_OK;
    }
    SM_ENSURE(n == 1 && rows[0]->n_rows == 1);
    sm_column_print(&rows[0]->columns[GROUP_VALUE], 0, &text);
    out->worst = sm_arena_take(u->a, &text);
    out->worst_rows = sm_column_value(&rows[0]->columns[GROUP_ROWS], 0).as.i;
    out->worst_broken = sm_column_value(&rows[0]->columns[GROUP_BROKEN], 0).as.i;
    sm_batch_release(rows[0]);
    return SM_OK;
}

sm_status smi_share_rows(smi_audit *u, const sm_rule *r, const sm_plan_node *rows,
                         const sm_expr *broken, sm_rule_count *out, sm_error *e)
{
    sm_agg_item items[2] = {0};
    const sm_plan_node *groups = NULL;

    SM_TRY(call(u, "count", NULL, NULL, &items[0].call, e));
    items[1] = (sm_agg_item){.call = items[0].call, .filter = broken};
    SM_TRY(sm_plan_aggregate(rows, &u->columns[r->share_per], 1, items, SM_COUNT(items), u->a,
                             &groups, e));
    return take_worst(u, groups, out, e);
}

/* The duplicates by group: the group's column is one of the keys. */
static sm_status count_duplicates(smi_audit *u, const sm_rule *r, const sm_plan_node *twice,
                                  const sm_plan_node **out, sm_error *e)
{
    const int32_t n = r->n_columns;
    const sm_expr *value = NULL, *rows = sm_expr_column(twice->schema, n, u->a), *beyond = NULL;
    sm_agg_item sum = {0};

    for (int32_t i = 0; i < n; i++) {
        value = r->columns[i] == r->share_per ? sm_expr_column(twice->schema, i, u->a) : value;
    }
    SM_ASSERT(value);
    SM_TRY(call(u, "-", rows, sm_expr_constant(sm_value_i64(1), u->a), &beyond, e));
    SM_TRY(call(u, "sum", beyond, NULL, &sum.call, e));
    return sm_plan_aggregate(twice, &value, 1, &sum, 1, u->a, out, e);
}

sm_status smi_share_unique(smi_audit *u, const sm_rule *r, const sm_plan_node *twice,
                           sm_rule_count *out, sm_error *e)
{
    const sm_plan_node *all = NULL, *broken = NULL, *groups = NULL;
    const sm_expr *same = NULL, *columns[3];
    const sm_str names[] = {SM_STR("group"), SM_STR("rows"), SM_STR("broken")};
    sm_agg_item count = {0};

    SM_TRY(call(u, "count", NULL, NULL, &count.call, e));
    SM_TRY(sm_plan_aggregate(u->in->rows, &u->columns[r->share_per], 1, &count, 1, u->a, &all, e));
    SM_TRY(count_duplicates(u, r, twice, &broken, e)); /* no key of them is NULL */
    const sm_type *pair = sm_plan_join_schema(all, broken, SM_JOIN_INNER, u->a);
    columns[GROUP_VALUE] = sm_expr_column(pair, 0, u->a);
    columns[GROUP_ROWS] = sm_expr_column(pair, 1, u->a);
    columns[GROUP_BROKEN] = sm_expr_column(pair, 3, u->a);
    SM_TRY(call(u, "=", columns[GROUP_VALUE], sm_expr_column(pair, 2, u->a), &same, e));
    SM_TRY(sm_plan_join(all, broken, SM_JOIN_INNER, same, u->a, &groups, e));
    return take_worst(u, sm_plan_project(groups, columns, names, SM_COUNT(names), u->a), out, e);
}
