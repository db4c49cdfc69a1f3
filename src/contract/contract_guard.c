/* SPDX-License-Identifier: Apache-2.0
 *
 * contract/contract_guard.c: puts the rules of a table around the plan of a write, and judges what
 * was written.
 *
 * Calls    sm_guard_new() before the write, which runs sm_guard_rows(); sm_guard_judge() behind it.
 * Method   First comes what the contract makes of the values (contract_guard_make.c). Then one
 *          CHECK node has all row rules; it sees the rows as they are now. It counts, and takes
 *          away or changes what its rules say, in the pass of the write itself. Each set rule that
 *          takes rows away or changes them is a CHECK of its own above it (contract_guard_set.c).
 *          All other set rules are audited over what the write has staged (contract_audit.c), as
 *          nothing of it is published yet. For those about duplicates a last CHECK, which each row
 *          keeps, takes the hashes of the keys (contract_searches.c): so what was staged, and the
 *          rows beside it that may have such keys, are compared only if a hash comes again.
 * Sides    CHECK nodes by which rows may leave are numbered first, then the others: so an
 *          unbroken range of side outputs needs a sink.
 * Memory   A CHECK keeps ten examples a rule; set rules are joins and windows, which spill. */
#include "contract/contract_guard_int.h"

/* ---- the checks ------------------------------------------------------------------------------ */

sm_status smi_guard_check(sm_guard *g, const sm_bound_rule *rules, int32_t n,
                          const sm_plan_node *in, sm_error *e)
{
    sm_check *checks = SM_NEW_ARRAY(g->a, sm_check, n);
    smi_guard_checks *own = &g->checks[g->n_checks++];
    bool leaves = false;

    for (int32_t i = 0; i < n; i++) {
        leaves = leaves || rules[i].rule->action == SM_POLICY_QUARANTINE;
        checks[i] = (sm_check){.name = rules[i].rule->name,
                               .holds = rules[i].holds,
                               .action = rules[i].rule->action,
                               .column = rules[i].column};
    }
    *own = (smi_guard_checks){.rules = rules, .n_rules = n};
    own->side = leaves ? g->next_side++ : g->next_silent++;
    SM_TRY(sm_plan_check_first(in, g->rows->schema->n_fields, checks, n, own->side, g->a,
                               &own->node, e));
    g->rows = own->node;
    return SM_OK;
}

/* The set rules that are a CHECK. */
static bool is_checked_set(const sm_rule *r)
{
    return !sm_rule_info_of(r->kind)->is_row && smi_mends(r->action);
}

/* How many CHECK nodes there may be, and by how many of them rows leave. */
static void count_checks(sm_guard *g)
{
    const sm_contract_table *t = g->in.table;
    int32_t n_checks = 2; /* of casts, of row rules */
    bool leaves_row_rule = false;

    for (int64_t i = 0; i < t->n_rules; i++) {
        const bool leaves = t->rules[i].action == SM_POLICY_QUARANTINE;
        if (sm_rule_info_of(t->rules[i].kind)->is_row) {
            leaves_row_rule = leaves_row_rule || leaves;
        } else if (is_checked_set(&t->rules[i])) {
            n_checks++;
            g->n_sides += leaves;
        }
    }
    g->n_sides += leaves_row_rule;
    g->checks = SM_NEW_ARRAY(g->a, smi_guard_checks, n_checks);
    g->next_side = g->in.first_side;
    g->next_silent = g->in.first_side + g->n_sides;
}

/* Puts what takes the hashes of keys above all. */
static sm_status search_keys(sm_guard *g, sm_error *e)
{
    const sm_audit in = smi_guard_audit(g, g->rows);
    smi_audit u = {.in = &in, .a = g->a, .from = g->in.writes_as_is ? g->rows : NULL};
    const int32_t n_columns = g->rows->schema->n_fields;

    SM_TRY(smi_bind_columns(in.contract, in.table, in.rows->schema, g->a, &u.columns, e));
    smi_searches_begin(&g->searches, &u, false, g->in.room_bytes);
    const int32_t n = g->searches.n;
    if (n == 0) {
        return SM_OK;
    }
    const sm_plan_node *rows = smi_searches_rows(&g->searches, g->rows, g->a);
    sm_check *checks = SM_NEW_ARRAY(g->a, sm_check, n);
    for (int32_t i = 0; i < n; i++) {
        checks[i] = (sm_check){.name = g->searches.rules[i]->name,
                               .holds = smi_searches_take(&g->searches, i, rows->schema, g->a),
                               .action = SM_POLICY_WARN};
    }
    return sm_plan_check_first(rows, n_columns, checks, n, g->next_silent++, g->a, &g->rows, e);
}

/* All checks, from the rows up. */
static sm_status build(sm_guard *g, sm_error *e)
{
    sm_bound_rule *rules = NULL;
    int64_t n_rules = 0;

    g->rows = g->in.rows;
    count_checks(g);
    SM_TRY(smi_guard_make(g, e));
    const sm_contract_table *t = g->of_file;
    SM_TRY(sm_contract_bind(g->in.contract, t, g->rows->schema, &g->in.names, g->a, &rules,
                            &n_rules, e));
    SM_TRY(n_rules > 0 ? smi_guard_check(g, rules, (int32_t)n_rules, g->rows, e) : SM_OK);
    for (int64_t i = 0; i < t->n_rules; i++) {
        const sm_rule *r = &t->rules[i];
        if (is_checked_set(r)) {
            SM_TRY(smi_at_rule(g->in.contract, r, smi_guard_set(g, r, e), e));
        }
    }
    return g->in.room_bytes > 0 ? search_keys(g, e) : SM_OK;
}

sm_status sm_guard_new(const sm_guarded *in, sm_arena *a, sm_guard **out, sm_error *e)
{
    sm_guard *g = SM_NEW(a, sm_guard);

    *g = (sm_guard){.in = *in, .of_file = in->table, .a = a};
    SM_TRY(build(g, e));
    *out = g;
    return SM_OK;
}

void sm_guard_free(sm_guard *g)
{
    if (g) {
        smi_searches_free(&g->searches);
    }
}

/* ---- what it has ----------------------------------------------------------------------------- */

const sm_plan_node *sm_guard_rows(const sm_guard *g)
{
    return g->rows;
}

int32_t sm_guard_sides(const sm_guard *g)
{
    return g->n_sides;
}

int32_t sm_guard_checks(const sm_guard *g)
{
    return g->n_checks + (g->searches.n > 0);
}

static const smi_guard_checks *checks_of(const sm_guard *g, int32_t side)
{
    const smi_guard_checks *c = g->checks;

    while (c < g->checks + g->n_checks && c->side != side) {
        c++;
    }
    SM_ENSURE(c < g->checks + g->n_checks);
    return c;
}

const sm_type *sm_guard_leaves(const sm_guard *g, int32_t side)
{
    return checks_of(g, side)->node->as.check.leaves;
}

int32_t sm_guard_rules(const sm_guard *g, int32_t side)
{
    return checks_of(g, side)->n_rules;
}

const sm_rule *sm_guard_rule(const sm_guard *g, int32_t side, int32_t check)
{
    const smi_guard_checks *c = checks_of(g, side);

    SM_ENSURE(check >= 0 && check < c->n_rules);
    return c->rules[check].rule;
}

/* ---- judging --------------------------------------------------------------------------------- */

sm_audit smi_guard_audit(const sm_guard *g, const sm_plan_node *rows)
{
    return (sm_audit){.contract = g->in.contract,
                      .table = g->in.table,
                      .rows = rows,
                      .names = g->in.names,
                      .other = g->in.other,
                      .ctx = g->in.ctx,
                      .env = g->in.env,
                      .earlier = g->in.earlier};
}

/* The columns of the table as far as rows have them, of whatever type; NULL: they do not. */
static const sm_expr **columns_there(const sm_contract_table *t, const sm_type *rows, sm_arena *a)
{
    const sm_expr **out = SM_NEW_ARRAY(a, const sm_expr *, t->n_columns + 1);

    for (int32_t i = 0; i < t->n_columns; i++) {
        const sm_contract_column *c = &t->columns[i];
        const sm_expr *parent = c->parent >= 0 ? out[c->parent] : NULL;
        const sm_type *of = c->parent < 0 ? rows : parent ? parent->type : NULL;
        const int32_t at = of && of->id == SM_TYPE_STRUCT ? sm_type_find(of, c->physical) : -1;
        out[i] = at < 0   ? NULL
                 : parent ? sm_expr_field(parent, at, a)
                          : sm_expr_column(rows, at, a);
    }
    return out;
}

/* What the pass says of one CHECK node. */
static sm_status take_checks(const sm_guard *g, const smi_guard_checks *c,
                             const sm_exec_report *report, sm_arena *a, sm_rule_count *counts,
                             sm_error *e)
{
    const sm_audit in = smi_guard_audit(g, c->node->inputs[0]);
    smi_audit u = {.in = &in, .a = a, .columns = columns_there(in.table, in.rows->schema, a)};

    for (int32_t i = 0; i < c->n_rules; i++) {
        const sm_check_report *found = sm_exec_report_check(report, c->side, i);
        sm_rule_count *out = &counts[c->rules[i].rule - in.table->rules];
        *out = (sm_rule_count){
            .n_rows = found->n_rows, .n_broken = found->n_broken, .n_mended = found->n_done};
        if (found->examples) {
            SM_TRY(smi_audit_show(&u, &c->rules[i], found->examples, out, e));
        }
    }
    return SM_OK;
}

/* Does a rule look at the whole table? Else each of its rows keeps it or breaks it by itself. */
static bool is_of_table(sm_rule_kind k)
{
    return k != SM_RULE_REFERENCE;
}

/* Is the key of a rule of the same types in both? Else equal keys may have other hashes. */
static bool are_alike(const sm_rule *r, const sm_expr *const *one, const sm_expr *const *other)
{
    for (int32_t i = 0; i < r->n_columns; i++) {
        if (!sm_type_eq(one[r->columns[i]]->type, other[r->columns[i]]->type)) {
            return false;
        }
    }
    return true;
}

/* Ends the search for a rule's keys: adds those that stay beside what was written. */
static sm_status end_search(const sm_guard *g, const sm_rule *r, const sm_plan_node *written,
                            const sm_plan_node *stays, sm_arena *a, sm_error *e)
{
    smi_search *search = g->searches.of_rule[r - g->searches.table->rules];
    const sm_audit in = smi_guard_audit(g, stays ? stays : written);
    smi_audit u = {.in = &in, .a = a, .added = written};
    const sm_plan_node *rows = in.rows;
    const sm_expr **taken = NULL, **keys = SM_NEW_ARRAY(a, const sm_expr *, r->n_columns),
                  **added = SM_NEW_ARRAY(a, const sm_expr *, r->n_columns);

    SM_TRY(smi_bind_columns(in.contract, in.table, g->rows->schema, a, &taken, e));
    SM_TRY(smi_bind_columns(in.contract, in.table, rows->schema, a, &u.columns, e));
    if (!are_alike(r, taken, u.columns)) {
        return SM_OK;
    }
    if (stays) {
        for (int32_t i = 0; i < r->n_columns; i++) {
            keys[i] = u.columns[r->columns[i]];
        }
        SM_TRY(smi_audit_between(&u, r, keys, added, &rows, e));
        SM_TRY(smi_search_add(search, &u, rows, keys, r->n_columns, e));
    }
    return smi_search_end(search, e);
}

/* Ends the searches, where rows were all taken, and it is known which rows stay. */
static sm_status end_searches(const sm_guard *g, const sm_exec_report *report,
                              const sm_guard_staged *rows, sm_arena *a, sm_error *e)
{
    const bool are_known = rows->table == rows->written || rows->stays;

    for (int32_t i = 0; i < g->searches.n && are_known && !report->is_partial; i++) {
        const sm_rule *r = g->searches.rules[i];
        SM_TRY(
            smi_at_rule(g->in.contract, r, end_search(g, r, rows->written, rows->stays, a, e), e));
    }
    return SM_OK;
}

/* Counts of the set rules that no CHECK has, over all rows of the table or over those that were
 * written. */
static sm_status audit_sets(const sm_guard *g, const sm_plan_node *rows, bool of_table,
                            const sm_plan_node *added, sm_arena *a, sm_rule_count *counts,
                            sm_error *e)
{
    const sm_audit in = smi_guard_audit(g, rows);
    smi_audit u = {.in = &in,
                   .a = a,
                   .counts = counts,
                   .added = added,
                   .searches = g->searches.of_rule,
                   .from = of_table && !added && g->in.writes_as_is ? g->rows : NULL};
    bool is_ready = false;

    for (int64_t i = 0; i < in.table->n_rules; i++) {
        const sm_rule *r = &in.table->rules[i];
        if (sm_rule_info_of(r->kind)->is_row || is_checked_set(r) ||
            is_of_table(r->kind) != of_table) {
            continue;
        }
        if (!is_ready) {
            SM_TRY(smi_bind_columns(in.contract, in.table, rows->schema, a, &u.columns, e));
            SM_TRY(smi_audit_count(&u, rows, &u.n_rows, e));
            is_ready = true;
        }
        SM_TRY(smi_audit_set_rule(&u, r, e));
    }
    return SM_OK;
}

/* The worst groups of rules of rows, over those that were written: a rule with smelt.sharePer takes
 * none away. */
static sm_status find_shares(const sm_guard *g, const sm_plan_node *written, sm_arena *a,
                             sm_rule_count *counts, sm_error *e)
{
    const sm_audit in = smi_guard_audit(g, written);
    smi_audit u = {.in = &in, .a = a};
    sm_bound_rule *rules = NULL;
    int64_t n = 0;
    bool is_any = false;

    for (int64_t i = 0; i < g->of_file->n_rules; i++) {
        const sm_rule *r = &g->of_file->rules[i];
        is_any = is_any ||
                 (r->has_share_per && sm_rule_info_of(r->kind)->is_row && counts[i].n_broken > 0);
    }
    if (!is_any) {
        return SM_OK;
    }
    SM_TRY(sm_contract_bind(in.contract, g->of_file, written->schema, &in.names, a, &rules, &n, e));
    SM_TRY(smi_bind_columns(in.contract, in.table, written->schema, a, &u.columns, e));
    for (int64_t i = 0; i < n; i++) {
        sm_rule_count *out = &counts[rules[i].rule - g->of_file->rules];
        SM_TRY(out->n_broken > 0 ? smi_audit_share(&u, &rules[i], out, e) : SM_OK);
    }
    return SM_OK;
}

/* The rows that came into the pass. */
static sm_status count_pass(const sm_guard *g, const sm_rule_count *counts,
                            const sm_plan_node *written, sm_arena *a, int64_t *out, sm_error *e)
{
    const sm_audit in = smi_guard_audit(g, written);
    smi_audit u = {.in = &in, .a = a};

    if (g->n_checks > 0) {
        *out = counts[g->checks[0].rules[0].rule - g->in.table->rules].n_rows;
        return SM_OK;
    }
    return smi_audit_count(&u, written, out, e);
}

/* The table of the verdict, which outlives the guard: a copy where it is the guard's own. */
static const sm_contract_table *lasting_table(const sm_guard *g, sm_arena *a)
{
    const sm_contract_table *own = g->in.table;
    sm_contract_table *t = SM_NEW(a, sm_contract_table);

    if (own == g->of_file) {
        return own;
    }
    *t = *own;
    t->rules = SM_NEW_ARRAY(a, sm_rule, t->n_rules);
    for (int64_t i = 0; i < t->n_rules; i++) {
        t->rules[i] = own->rules[i];
        t->rules[i].name = sm_arena_str(a, own->rules[i].name);
    }
    return t;
}

sm_status sm_guard_judge(const sm_guard *g, const sm_exec_report *report,
                         const sm_guard_staged *rows, sm_arena *a, sm_verdict **out, sm_error *e)
{
    const sm_plan_node *table = rows->table, *written = rows->written;
    sm_rule_count *counts = SM_NEW_ARRAY(a, sm_rule_count, g->in.table->n_rules + 1);
    int64_t n_rows = 0;

    for (int32_t i = 0; i < g->n_checks; i++) {
        SM_TRY(take_checks(g, &g->checks[i], report, a, counts, e));
    }
    SM_TRY(end_searches(g, report, rows, a, e));
    SM_TRY(audit_sets(g, table, true, table == written ? NULL : written, a, counts, e));
    SM_TRY(audit_sets(g, written, false, NULL, a, counts, e));
    SM_TRY(find_shares(g, written, a, counts, e));
    SM_TRY(count_pass(g, counts, written, a, &n_rows, e));
    *out = smi_judge_written(g->in.contract, lasting_table(g, a), n_rows, counts, a);
    return SM_OK;
}
