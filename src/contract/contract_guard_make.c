/* SPDX-License-Identifier: Apache-2.0
 *
 * contract/contract_guard_make.c: what a contract makes of rows before its rules see them:
 * smelt.cast, smelt.default and smelt.derive. Called by contract_guard.c, below all its checks.
 *
 * Method   1 A CHECK over the rows as they came in, with a rule "column:cast" for each column that
 *            is of another type than its physicalType: can the value be one? So values that cannot
 *            are counted and shown as they were, and with the action NULL they become NULL.
 *          2 A projection, of the casts (TRY_CAST, as what cannot be cast was counted) and of the
 *            defaults in the place of NULL.
 *          3 A projection, of derived columns: in the place of those that the rows have, or at the
 *            end. Their SQL sees the columns that 2 made.
 * Rules    of 1 are none of the file: the guard's table is a copy with these behind the others. */
#include "base/text.h"
#include "contract/contract_guard_int.h"

/* The columns of the rows while they are made. */
typedef struct making {
    sm_guard *g;
    sm_arena *a;
    const sm_contract_table *t;
    const sm_type **targets; /* of each column of the table: the type to be cast to; NULL: none */
    int32_t *places;         /* in the rows; -1: they have no such column, or it is a field */
    int32_t n_casts;
} making;

static sm_status at_column(const making *m, int32_t i, const char *what, sm_status st, sm_error *e)
{
    const sm_contract_column *c = &m->t->columns[i];
    const sm_yaml_doc *d = &m->g->in.contract->yaml;

    return sm_within(e, sm_yaml_at(d, c->made_at, st, e), "%s of column %.*s, line %d of %s", what,
                     SM_STR_ARG(c->path), (int)c->made_at.line, d->name.data);
}

/* ---- casts ----------------------------------------------------------------------------------- */

/* Finds the columns in the rows, and which of them are cast. What is not there, the rules' binding
 * tells. */
static sm_status find_columns(making *m, sm_error *e)
{
    const sm_type *rows = m->g->rows->schema;

    m->targets = SM_NEW_ARRAY(m->a, const sm_type *, m->t->n_columns + 1);
    m->places = SM_NEW_ARRAY(m->a, int32_t, m->t->n_columns + 1);
    for (int32_t i = 0; i < m->t->n_columns; i++) {
        const sm_contract_column *c = &m->t->columns[i];
        const sm_type *target = NULL;
        m->places[i] = c->parent < 0 ? sm_type_find(rows, c->physical) : -1;
        if (!c->casts || m->places[i] < 0 || c->derive.len > 0) {
            continue;
        }
        SM_TRY(at_column(m, i, "smelt.cast", sm_type_parse(c->physical_type, m->a, &target, e), e));
        if (!sm_type_eq(rows->fields[m->places[i]].type, target)) {
            m->targets[i] = target;
            m->n_casts++;
        }
    }
    return SM_OK;
}

/* A number that an integer or DECIMAL does not hold exactly cannot be cast. */
static bool may_round(const sm_type *from, const sm_type *to)
{
    return sm_type_is_number(from->id) && (sm_type_is_integer(to->id) || to->id == SM_TYPE_DECIMAL);
}

/* c IS NULL OR TRY_CAST(c) IS NOT NULL; of numbers: OR it equals c. */
static sm_status can_cast(const making *m, const sm_expr *c, const sm_type *target,
                          const sm_expr **out, sm_error *e)
{
    const sm_expr *parts[2], *cast = NULL;

    SM_TRY(sm_expr_cast(c, target, true, m->a, &cast, e));
    SM_TRY(sm_expr_call("is_null", &c, 1, m->a, &parts[0], e));
    SM_TRY(sm_expr_call("is_not_null", &cast, 1, m->a, &parts[1], e));
    if (may_round(c->type, target)) {
        const sm_expr *same = NULL;
        SM_TRY(sm_expr_call("=", (const sm_expr *const[]){cast, c}, 2, m->a, &same, e));
        SM_TRY(sm_expr_and((const sm_expr *const[]){parts[1], same}, 2, m->a, &parts[1], e));
    }
    return sm_expr_or(parts, 2, m->a, out, e);
}

/* Makes the guard's own table, with room for the rules of casts, and that of the file over the same
 * rules. Returns the first of those of casts. */
static sm_rule *own_rules(making *m)
{
    sm_contract_table *t = SM_NEW(m->a, sm_contract_table),
                      *of_file = SM_NEW(m->a, sm_contract_table);
    sm_rule *rules = SM_NEW_ARRAY(m->a, sm_rule, m->t->n_rules + m->n_casts + 1);

    *t = *m->t;
    for (int64_t i = 0; i < t->n_rules; i++) {
        rules[i] = t->rules[i];
    }
    t->rules = rules;
    *of_file = *t;
    t->n_rules += m->n_casts;
    m->t = m->g->in.table = t;
    m->g->of_file = of_file;
    return rules + of_file->n_rules;
}

static sm_status check_casts(making *m, sm_error *e)
{
    const sm_type *rows = m->g->rows->schema;
    sm_rule *rules = own_rules(m);
    sm_bound_rule *bound = SM_NEW_ARRAY(m->a, sm_bound_rule, m->n_casts);
    int32_t n = 0;

    for (int32_t i = 0; i < m->t->n_columns; i++) {
        const sm_contract_column *c = &m->t->columns[i];
        if (!m->targets[i]) {
            continue;
        }
        const sm_expr *x = sm_expr_column(rows, m->places[i], m->a);
        rules[n] = (sm_rule){.kind = SM_RULE_EXPRESSION,
                             .name = sm_arena_strf(m->a, "%.*s:cast", SM_STR_ARG(c->path)),
                             .column = i,
                             .action = c->cast_action,
                             .at = c->made_at};
        bound[n] = (sm_bound_rule){.rule = &rules[n], .column = m->places[i]};
        SM_TRY(at_column(m, i, "smelt.cast", can_cast(m, x, m->targets[i], &bound[n].holds, e), e));
        n++;
    }
    return smi_guard_check(m->g, bound, n, m->g->rows, e);
}

/* ---- casts and defaults ---------------------------------------------------------------------- */

static sm_status add_default(const making *m, int32_t i, const sm_expr **x, sm_error *e)
{
    const sm_expr *args[3] = {NULL, *x, NULL};
    sm_value v = {0};

    SM_TRY(sm_value_parse((*x)->type, m->t->columns[i].default_text, &v, e));
    args[2] = sm_expr_constant(v, m->a);
    SM_TRY(sm_expr_call("is_not_null", x, 1, m->a, &args[0], e));
    return sm_expr_case(args, 3, m->a, x, e);
}

/* What one column of the table is made of the rows' column x. */
static sm_status make_column(const making *m, int32_t i, const sm_expr **x, sm_error *e)
{
    if (m->targets[i]) {
        SM_TRY(at_column(m, i, "smelt.cast", sm_expr_cast(*x, m->targets[i], true, m->a, x, e), e));
    }
    return m->t->columns[i].has_default
               ? at_column(m, i, "smelt.default", add_default(m, i, x, e), e)
               : SM_OK;
}

/* The columns of the guard's rows, as expressions with names; room for `more` others. */
static sm_str *all_columns(const making *m, int64_t more, const sm_expr ***exprs)
{
    const sm_type *t = m->g->rows->schema;
    sm_str *names = SM_NEW_ARRAY(m->a, sm_str, t->n_fields + more + 1);

    *exprs = SM_NEW_ARRAY(m->a, const sm_expr *, t->n_fields + more + 1);
    for (int32_t i = 0; i < t->n_fields; i++) {
        (*exprs)[i] = sm_expr_column(t, i, m->a);
        names[i] = t->fields[i].name;
    }
    return names;
}

static sm_status cast_and_fill(making *m, sm_error *e)
{
    const sm_expr **exprs = NULL;
    const int32_t n = m->g->rows->schema->n_fields;
    sm_str *names = all_columns(m, 0, &exprs);
    bool is_any = false;

    for (int32_t i = 0; i < m->t->n_columns; i++) {
        if (m->places[i] >= 0 && (m->targets[i] || m->t->columns[i].has_default)) {
            SM_TRY(make_column(m, i, &exprs[m->places[i]], e));
            is_any = true;
        }
    }
    if (is_any) {
        m->g->rows = sm_plan_project(m->g->rows, exprs, names, n, m->a);
    }
    return SM_OK;
}

/* ---- derived columns ------------------------------------------------------------------------- */

static sm_status derive_column(const making *m, int32_t i, const sm_expr **out, sm_error *e)
{
    const sm_contract_column *c = &m->t->columns[i];
    sm_sql *sql = SM_NEW(m->a, sm_sql);
    const sm_type *target = NULL;

    *sql = (sm_sql){.name = sm_arena_strf(m->a, "smelt.derive of %.*s", SM_STR_ARG(c->path)),
                    .text = c->derive};
    SM_TRY(sm_query_expr(sql, m->g->rows->schema, &m->g->in.names, m->a, out, e));
    if (!c->casts) {
        return SM_OK;
    }
    SM_TRY(sm_type_parse(c->physical_type, m->a, &target, e));
    return sm_expr_cast(*out, target, false, m->a, out, e);
}

static sm_status derive(making *m, sm_error *e)
{
    const sm_expr **exprs = NULL;
    int32_t n = m->g->rows->schema->n_fields;
    sm_str *names = all_columns(m, m->t->n_columns, &exprs);
    bool is_any = false;

    for (int32_t i = 0; i < m->t->n_columns; i++) {
        const sm_contract_column *c = &m->t->columns[i];
        if (c->derive.len == 0) {
            continue;
        }
        const int32_t at = m->places[i] >= 0 ? m->places[i] : n++;
        names[at] = c->physical;
        SM_TRY(at_column(m, i, "smelt.derive", derive_column(m, i, &exprs[at], e), e));
        is_any = true;
    }
    if (is_any) {
        m->g->rows = sm_plan_project(m->g->rows, exprs, names, n, m->a);
    }
    return SM_OK;
}

sm_status smi_guard_make(sm_guard *g, sm_error *e)
{
    making m = {.g = g, .a = g->a, .t = g->in.table};

    SM_TRY(find_columns(&m, e));
    SM_TRY(m.n_casts > 0 ? check_casts(&m, e) : SM_OK);
    SM_TRY(cast_and_fill(&m, e));
    return derive(&m, e);
}
