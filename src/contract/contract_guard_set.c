/* SPDX-License-Identifier: Apache-2.0
 *
 * contract/contract_guard_set.c: set rules that take rows away, or make their value NULL, while
 * they are written. Called by contract_guard.c, once for each such rule, over the rows that the
 * checks before it left.
 *
 * Method   The rows get one or two columns beside their own that say what the other rows are; the
 *          rule is then a CHECK like any other, which drops these columns.
 *          unique     "seen", where rows stay in the table: has one of them the row's key? A left
 *                     join with their different keys. "place": the number of the row among those of
 *                     its key, in the order of the input. A row is kept where it is the first of
 *                     its key, and none that stays has it.
 *          reference  "found": has the other table the value? A left join with its different
 *                     values.
 * Order    Joins and windows keep the order of their input, so of duplicates always the same row
 *          stays, and rows are written in the order in which they came.
 * Memory   The different keys of the rows that stay, or values of the other table, are the right
 *          side of a join; all rows that are written wait for the window. Both spill, however many
 *          rows have one key, or none. */
#include "contract/contract_guard_int.h"

/* A set rule on its way to a CHECK. */
typedef struct set_rule {
    sm_guard *g;
    const sm_rule *rule;
    smi_audit u; /* over the guard's rows */
    const sm_expr **keys;
    const sm_plan_node *node; /* the rows, and the columns that say what others are */
} set_rule;

/* The keys of the rule over the rows of `u`. */
static const sm_expr **keys_of(const smi_audit *u, const sm_rule *r)
{
    const sm_expr **keys = SM_NEW_ARRAY(u->a, const sm_expr *, r->n_columns);

    for (int32_t i = 0; i < r->n_columns; i++) {
        keys[i] = u->columns[r->columns[i]];
    }
    return keys;
}

/* Adds a column that says of each row whether its keys are among the different values `right`. */
static sm_status add_found(set_rule *s, const sm_plan_node *right, sm_str name, const sm_expr **out,
                           sm_error *e)
{
    const sm_plan_node *const left = s->node, *joined = NULL;
    const sm_type *t = left->schema;
    const int32_t n = t->n_fields;
    const sm_expr **exprs = SM_NEW_ARRAY(s->u.a, const sm_expr *, n + 1);
    sm_str *names = SM_NEW_ARRAY(s->u.a, sm_str, n + 1);

    SM_TRY(
        smi_audit_look_up(&s->u, left, s->keys, s->rule->n_columns, right, &joined, &exprs[n], e));
    for (int32_t i = 0; i < n; i++) {
        exprs[i] = sm_expr_column(joined->schema, i, s->u.a);
        names[i] = t->fields[i].name;
    }
    names[n] = name;
    s->node = sm_plan_project(joined, exprs, names, n + 1, s->u.a);
    *out = sm_expr_column(s->node->schema, n, s->u.a);
    return SM_OK;
}

/* Which rows none that stays has the key of; NULL: none stay. */
static sm_status add_seen(set_rule *s, const sm_expr **is_new, sm_error *e)
{
    sm_audit in = *s->u.in;
    smi_audit u = {.in = &in, .a = s->u.a};
    const sm_plan_node *right = NULL;
    const sm_expr *seen = NULL;

    in.rows = s->g->in.stays;
    if (!in.rows) {
        return SM_OK;
    }
    SM_TRY(smi_bind_columns(in.contract, in.table, in.rows->schema, u.a, &u.columns, e));
    SM_TRY(smi_audit_different(&u, in.rows, keys_of(&u, s->rule), s->rule->n_columns, &right, e));
    SM_TRY(add_found(s, right, SM_STR("seen"), &seen, e));
    return sm_expr_call("not", &seen, 1, u.a, is_new, e);
}

static sm_status make_unique(set_rule *s, const sm_expr **holds, sm_error *e)
{
    sm_arena *a = s->u.a;
    sm_window_item item = {.partition = s->keys, .n_partition = s->rule->n_columns};
    const sm_expr *parts[2] = {0}, *args[2] = {0};
    int32_t n = 1;

    for (int32_t i = 0; i < s->rule->n_columns; i++) {
        if (sm_type_is_nested(s->keys[i]->type->id)) {
            return sm_fail(e, SM_TYPE, "lists and structs cannot be looked for");
        }
    }
    SM_TRY(add_seen(s, &parts[1], e));
    SM_TRY(sm_expr_call("row_number", NULL, 0, a, &item.call, e));
    SM_TRY(sm_plan_window(s->node, &item, 1, a, &s->node, e));
    args[0] = sm_expr_column(s->node->schema, s->node->schema->n_fields - 1, a);
    args[1] = sm_expr_constant(sm_value_i64(1), a);
    SM_TRY(sm_expr_call("=", args, 2, a, &parts[0], e));
    n += parts[1] != NULL;
    return sm_expr_and(parts, n, a, holds, e);
}

static sm_status make_reference(set_rule *s, const sm_expr **holds, sm_error *e)
{
    const sm_plan_node *right = NULL;

    SM_TRY(smi_audit_target(&s->u, s->rule, &right, e));
    return add_found(s, right, SM_STR("found"), holds, e);
}

/* A row with NULL in one of the keys keeps the rule. */
static sm_status or_null(const set_rule *s, const sm_expr **holds, sm_error *e)
{
    const int32_t n = s->rule->n_columns;
    const sm_expr **parts = SM_NEW_ARRAY(s->u.a, const sm_expr *, n + 1);

    for (int32_t i = 0; i < n; i++) {
        SM_TRY(sm_expr_call("is_null", &s->keys[i], 1, s->u.a, &parts[i], e));
    }
    parts[n] = *holds;
    return sm_expr_or(parts, n + 1, s->u.a, holds, e);
}

sm_status smi_guard_set(sm_guard *g, const sm_rule *r, sm_error *e)
{
    const sm_audit in = smi_guard_audit(g, g->rows);
    set_rule s = {.g = g, .rule = r, .u = {.in = &in, .a = g->a}, .node = g->rows};
    sm_bound_rule *bound = SM_NEW(g->a, sm_bound_rule);
    const bool is_reference = r->kind == SM_RULE_REFERENCE;

    SM_ASSERT(is_reference || r->kind == SM_RULE_UNIQUE || r->kind == SM_RULE_PRIMARY_KEY ||
              r->kind == SM_RULE_DUPLICATE_VALUES); /* others cannot have such an action */
    *bound = (sm_bound_rule){.rule = r, .column = -1};
    SM_TRY(smi_bind_columns(in.contract, in.table, in.rows->schema, g->a, &s.u.columns, e));
    s.keys = keys_of(&s.u, r);
    SM_TRY((is_reference ? make_reference : make_unique)(&s, &bound->holds, e));
    SM_TRY(or_null(&s, &bound->holds, e));
    if (r->action == SM_POLICY_NULL) { /* of a column of its own, which is no field */
        SM_ASSERT(s.u.columns[r->column]->kind == SM_EXPR_COLUMN);
        bound->column = s.u.columns[r->column]->index;
    }
    return smi_guard_check(g, bound, 1, s.node, e);
}
