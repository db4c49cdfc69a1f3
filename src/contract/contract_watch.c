/* SPDX-License-Identifier: Apache-2.0
 *
 * contract/contract_watch.c: an audit of rows that a plan of another purpose reads, so that they
 * are not read once more.
 *
 * Calls    new; the plan gets the watch's checks (plan_watch.c) and is executed; end; free. By
 *          flow, for the contracts of views; by contract_audit.c, whose plan has no other purpose.
 * Checks   One for each row rule. For each rule about duplicates one that is always TRUE and takes
 *          the hash of the row's key (contract_searches.c), unless the plan itself tells that no
 *          two are alike. Where there is none of both, one that
 *          counts the rows.
 * Columns  are those that the rules read and their examples show, then a hash for each search.
 * End      Row rules are counted by the pass, and its examples are theirs. If no key of a search
 *          comes again, nothing breaks its rule; else only the keys that may are audited, over the
 *          rows themselves. All other rules are audited as ever (contract_audit.c).
 * Why      30 files of 60,000 lines, of which a view makes one table: 1.1 s of CPU with a pass of
 *          the contract's own, 0.5 s with this. */
#include "contract/contract_int.h"

struct sm_audit_watch {
    sm_audit in;
    sm_arena *a;
    sm_bound_rule *rules; /* row rules, over in.rows */
    int64_t n_rules;
    smi_searches searches;
    int32_t *place; /* of a column of in.rows: among those that are looked at; −1: it is not */
    sm_plan_watch plan;
};

/* ---- the checks ------------------------------------------------------------------------------ */

/* The columns that are looked at. */
static const sm_plan_node *looked_at(sm_audit_watch *w, smi_audit *u)
{
    const sm_type *schema = w->in.rows->schema;
    const int32_t n_most = schema->n_fields + w->searches.n;
    bool *used = SM_NEW_ARRAY(w->a, bool, schema->n_fields + 1);
    const sm_expr **exprs = SM_NEW_ARRAY(w->a, const sm_expr *, n_most + 1);
    sm_str *names = SM_NEW_ARRAY(w->a, sm_str, n_most + 1);
    int32_t n = 0;

    for (int64_t i = 0; i < w->n_rules; i++) {
        smi_audit_shown(u, &w->rules[i], used);
        sm_expr_columns(w->rules[i].holds, used);
    }
    w->place = SM_NEW_ARRAY(w->a, int32_t, schema->n_fields + 1);
    for (int32_t i = 0; i < schema->n_fields; i++) {
        w->place[i] = used[i] ? n : -1;
        if (used[i]) {
            exprs[n] = sm_expr_column(schema, i, w->a);
            names[n++] = schema->fields[i].name;
        }
    }
    for (int32_t i = 0; i < w->searches.n; i++) {
        exprs[n] = w->searches.hashes[i];
        names[n++] = SM_STR("hash");
    }
    return sm_plan_project(w->in.rows, exprs, names, n, w->a);
}

static void make_checks(sm_audit_watch *w)
{
    const sm_type *columns = w->plan.rows->schema;
    const smi_searches *s = &w->searches;
    sm_check *checks = SM_NEW_ARRAY(w->a, sm_check, w->n_rules + s->n + 1);
    int32_t n = 0;

    for (int64_t i = 0; i < w->n_rules; i++) {
        checks[n++] = (sm_check){.name = w->rules[i].rule->name,
                                 .holds = sm_expr_mapped(w->rules[i].holds, w->place, w->a)};
    }
    for (int32_t i = 0; i < s->n; i++) {
        checks[n++] =
            (sm_check){.name = s->rules[i]->name, .holds = smi_searches_take(s, i, columns, w->a)};
    }
    if (n == 0) {
        sm_plan_watch_rows(w->in.rows, w->plan.side, w->a, &w->plan);
        return;
    }
    for (int32_t i = 0; i < n; i++) {
        checks[i].action = SM_POLICY_WARN;
    }
    w->plan.checks = checks;
    w->plan.n_checks = n;
}

sm_status sm_audit_watch_new(const sm_audit *in, int32_t side, size_t room_bytes, sm_arena *a,
                             sm_audit_watch **out, sm_error *e)
{
    sm_audit_watch *w = SM_NEW(a, sm_audit_watch);

    *w = (sm_audit_watch){.in = *in, .a = a, .plan = {.side = side}};
    smi_audit u = {.in = &w->in, .a = a, .from = in->rows};
    SM_TRY(smi_bind_columns(in->contract, in->table, in->rows->schema, a, &u.columns, e));
    SM_TRY(sm_contract_bind(in->contract, in->table, in->rows->schema, &in->names, a, &w->rules,
                            &w->n_rules, e));
    smi_searches_begin(&w->searches, &u, true, room_bytes);
    w->plan.rows = looked_at(w, &u);
    make_checks(w);
    *out = w;
    return SM_OK;
}

sm_plan_watch *sm_audit_watch_plan(sm_audit_watch *w)
{
    return &w->plan;
}

/* ---- what they found ------------------------------------------------------------------------- */

/* Example rows with the columns of the view: NULL where no rule reads one. */
static sm_status view_rows(const sm_audit_watch *w, sm_batch *examples, sm_batch **out, sm_error *e)
{
    const sm_type *schema = w->in.rows->schema;
    const int32_t n_own = w->plan.check->schema->n_fields;
    sm_batch *b = NULL;
    sm_status st = SM_OK;

    SM_TRY(sm_batch_new(w->in.env->budget, schema, &b, e));
    sm_batch_keep_all(b, examples);
    for (int32_t i = 0; i < schema->n_fields && st == SM_OK; i++) {
        if (w->place[i] >= 0) {
            b->columns[i] = examples->columns[n_own + w->place[i]];
        } else {
            st = sm_column_constant(sm_value_null(schema->fields[i].type), examples->n_rows, b,
                                    &b->columns[i], e);
        }
    }
    if (st != SM_OK) {
        sm_batch_release(b);
        return st;
    }
    b->n_rows = examples->n_rows;
    *out = b;
    return SM_OK;
}

/* What the pass says of a row rule. */
static sm_status take_rule(const sm_audit_watch *w, smi_audit *u, int32_t i,
                           const sm_exec_report *report, sm_error *e)
{
    const sm_bound_rule *rule = &w->rules[i];
    const sm_check_report *found = sm_exec_report_check(report, w->plan.side, i);
    sm_rule_count *out = &u->counts[rule->rule - w->in.table->rules];
    sm_batch *shown = NULL;

    *out = (sm_rule_count){.n_rows = found->n_rows, .n_broken = found->n_broken};
    if (!found->examples) {
        return SM_OK;
    }
    SM_TRY(view_rows(w, found->examples, &shown, e));
    const sm_status st = smi_audit_show(u, rule, shown, out, e);
    sm_batch_release(shown);
    return st == SM_OK ? smi_audit_share(u, rule, out, e) : st;
}

sm_status sm_audit_watch_end(sm_audit_watch *w, const sm_exec_report *report, sm_arena *a,
                             sm_rule_count **counts, int64_t *n_rows, sm_error *e)
{
    const sm_contract_table *t = w->in.table;
    smi_audit u = {.in = &w->in,
                   .a = a,
                   .n_rows = sm_exec_report_check(report, w->plan.side, 0)->n_rows,
                   .searches = w->searches.of_rule,
                   .counts = SM_NEW_ARRAY(a, sm_rule_count, t->n_rules + 1)};

    SM_ASSERT(w->plan.check && !report->is_partial);
    SM_TRY(smi_bind_columns(w->in.contract, t, w->in.rows->schema, a, &u.columns, e));
    for (int32_t i = 0; i < w->n_rules; i++) {
        SM_TRY(take_rule(w, &u, i, report, e));
    }
    SM_TRY(smi_searches_end(&w->searches, e));
    SM_TRY(smi_audit_sets(&u, e));
    *counts = u.counts;
    *n_rows = u.n_rows;
    return SM_OK;
}

void sm_audit_watch_free(sm_audit_watch *w)
{
    if (w) {
        smi_searches_free(&w->searches);
    }
}
