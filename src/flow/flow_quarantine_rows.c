/* SPDX-License-Identifier: Apache-2.0
 *
 * flow/flow_quarantine_rows.c: rows that contracts take away, on their way into quarantine tables.
 * Called by flow_plan.c around the execution of a guard's plan, by flow_run.c when a task ends, and
 * as a pipeline is opened, for the names.
 *
 * Which   A load's rows go into the quarantine of its source, with the refused lines: that of a
 *         source without one is quarantine.TABLE. A view's do, where the source's is called so.
 *         Those of another task go into a quarantine of its own, quarantine.TABLE.
 * Own     It has no books: each run of the task adds the rows that it took away, beside those of
 *         earlier runs. It is opened for each attempt at the task, and is published with the run.
 * Message what the rule wants, as the contract says it, and the value. */
#include "base/time.h"
#include "flow/flow_int.h"

/* ---- names ---------------------------------------------------------------------------------- */

static sm_status check_rule_name(const smi_flow_task *t, const sm_rule *rule, sm_error *e)
{
    for (int32_t i = 0; sm_refused_reason(i); i++) {
        if (sm_str_is(rule->name, sm_refused_reason(i))) {
            const sm_status st = sm_fail(
                e, SM_INVALID,
                "the rule is called \"%.*s\", which is why a line is refused in a quarantine",
                SM_STR_ARG(rule->name));
            sm_error_todo(e, "Give it another name.");
            return sm_yaml_at(&t->contract->model->yaml, rule->at, st, e);
        }
    }
    return SM_OK;
}

/* Has its contract a rule that takes rows away? */
static sm_status takes_rows(const smi_flow_task *t, bool *out, sm_error *e)
{
    for (int64_t i = 0; t->contracted && i < t->contracted->n_rules; i++) {
        const sm_rule *rule = &t->contracted->rules[i];
        if (rule->action == SM_POLICY_QUARANTINE) {
            *out = true;
            SM_TRY(check_rule_name(t, rule, e));
        }
    }
    return SM_OK;
}

static sm_str own_name(const sm_pipeline *p, const smi_flow_task *t)
{
    const char *dot = memchr(t->name.data, '.', t->name.len);

    SM_ASSERT(dot);
    return sm_arena_strf(p->arena, "quarantine.%.*s", (int)(t->name.data + t->name.len - dot - 1),
                         dot + 1);
}

static sm_status fail_shared(const sm_pipeline *p, const smi_flow_task *t, const char *with,
                             sm_str name, sm_error *e)
{
    const sm_status st =
        sm_fail(e, SM_EXISTS, "rows of %.*s would go to %.*s, as those of %s%.*s do",
                SM_STR_ARG(t->name), SM_STR_ARG(t->quarantine), with, SM_STR_ARG(name));
    sm_error_todo(e, "Call the table otherwise, or let the rules of one of them fail or warn.");
    return smi_flow_at(p, t->at, st, e);
}

/* Whose the name is, if it is that of another task's table or quarantine, or of a source that is
 * not its own; *what says which of these. "": nobody's. */
static sm_str owner_of(const sm_pipeline *p, const smi_flow_task *t, sm_str name, const char **what)
{
    const int32_t table = smi_flow_task_find(p, name);

    *what = table >= 0 ? "the task " : "";
    if (table >= 0) {
        return p->tasks[table].name;
    }
    for (int32_t i = 0; i < p->n_tasks; i++) {
        const smi_flow_task *o = &p->tasks[i];
        if (o != t && sm_str_eq_nocase(o->quarantine, name)) {
            return o->name;
        }
    }
    *what = "the source ";
    for (int32_t i = 0; i < p->n_sources; i++) {
        const bool may = t->source == i || t->kind == SM_TASK_VIEW;
        if (!may && sm_str_eq_nocase(p->sources[i].quarantine, name)) {
            return p->sources[i].name;
        }
    }
    return (sm_str){0};
}

static sm_status check_shared(const sm_pipeline *p, const smi_flow_task *t, sm_error *e)
{
    const char *what = "";
    const sm_str owner = owner_of(p, t, t->quarantine, &what);

    return owner.len > 0 ? fail_shared(p, t, what, owner, e) : SM_OK;
}

sm_status smi_flow_quarantine_name(sm_pipeline *p, sm_error *e)
{
    for (int32_t i = 0; i < p->n_tasks; i++) {
        smi_flow_task *t = &p->tasks[i];
        smi_flow_source *source = t->source >= 0 ? &p->sources[t->source] : NULL;
        bool takes = false;
        SM_TRY(takes_rows(t, &takes, e));
        if (!takes) {
            continue;
        }
        t->quarantine = own_name(p, t);
        if (source && source->quarantine.len == 0) {
            source->quarantine = t->quarantine;
        } else if (source) {
            t->quarantine = source->quarantine;
        }
    }
    for (int32_t i = 0; i < p->n_tasks; i++) {
        if (p->tasks[i].quarantine.len > 0) {
            SM_TRY(check_shared(p, &p->tasks[i], e));
        }
    }
    return SM_OK;
}

sm_str smi_flow_quarantine_of(const sm_pipeline *p, const smi_flow_task *t)
{
    const char *ignored = "";

    if (t->source >= 0 && p->sources[t->source].quarantine.len > 0) {
        return p->sources[t->source].quarantine;
    }
    const sm_str own = t->quarantine.len > 0 ? t->quarantine : own_name(p, t);
    return owner_of(p, t, own, &ignored).len == 0 ? own : (sm_str){0};
}

/* ---- a quarantine of its own ----------------------------------------------------------------- */

static sm_status base_of(sm_run *r, sm_str uri, sm_snapshot **out, sm_error *e)
{
    sm_store *store = NULL;
    bool is_there = false;

    SM_TRY(sm_store_open(r->env->stores, uri, &store, e));
    sm_status st = sm_delta_exists(store, &is_there, e);
    if (st == SM_OK && is_there) {
        st = sm_snapshot_open_head(store, SM_VERSION_LATEST, r->env->budget, out, e);
    }
    sm_store_release(store);
    return st;
}

static sm_status open_own(sm_run *r, int32_t task, sm_error *e)
{
    smi_flow_own_quarantine *own = &r->tasks[task].own;
    const sm_quarantine_opts opts = {.run = r->id, .time_us = r->start_us};
    smi_flow_leaving leaving = {0};
    sm_snapshot *base = NULL;
    sm_write write = {.user_metadata = smi_flow_metadata(r), .has_base = true};

    SM_ASSERT(!own->table && !own->candidate);
    SM_TRY(sm_names_uri(r->names, r->p->tasks[task].quarantine, r->arena, &own->uri, e));
    SM_TRY(base_of(r, own->uri, &base, e));
    sm_status st = smi_flow_quarantine_age(r, base, &leaving, e);
    if (st == SM_OK) {
        write.uri = own->uri;
        write.base = base;
        smi_flow_quarantine_leave(&leaving, &write);
        st = sm_quarantine_open(&write, &opts, r->env, &own->table, e);
    }
    sm_snapshot_release(base);
    return st;
}

sm_status smi_flow_own_keep(sm_run *r, int32_t task, sm_error *e)
{
    smi_flow_own_quarantine *own = &r->tasks[task].own;
    const int64_t start = sm_monotonic_ns();

    if (!own->table) {
        return SM_OK;
    }
    const sm_status st = sm_quarantine_mark(own->table) > 0
                             ? sm_quarantine_candidate(own->table, &own->candidate, e)
                             : SM_OK; /* no row was taken away */
    sm_quarantine_close(own->table);
    own->table = NULL;
    own->wall_ns = sm_monotonic_ns() - start;
    return sm_within(e, st, "quarantine %.*s", SM_STR_ARG(r->p->tasks[task].quarantine));
}

void smi_flow_own_undo(smi_flow_own_quarantine *o)
{
    sm_quarantine_close(o->table);
    sm_candidate_release(o->candidate);
    *o = (smi_flow_own_quarantine){0};
}

/* ---- which quarantine ------------------------------------------------------------------------ */

/* The source whose quarantine a task's rows go to; −1: to one of its own. */
static int32_t source_of(const sm_run *r, const smi_flow_task *t)
{
    for (int32_t i = 0; i < r->p->n_sources; i++) {
        if (sm_str_eq_nocase(r->p->sources[i].quarantine, t->quarantine)) {
            return i;
        }
    }
    return -1;
}

static sm_status open_quarantine(sm_run *r, int32_t task, sm_quarantine **out, sm_error *e)
{
    const int32_t source = source_of(r, &r->p->tasks[task]);

    SM_ASSERT(r->p->tasks[task].quarantine.len > 0);
    if (source < 0) {
        SM_TRY(open_own(r, task, e));
        *out = r->tasks[task].own.table;
        return SM_OK;
    }
    SM_TRY(smi_flow_quarantine_open(r, &r->sources[source], e));
    *out = r->sources[source].quarantine.table;
    SM_ENSURE(*out); /* the files that are read were claimed, so there is work */
    return SM_OK;
}

/* ---- rules as texts -------------------------------------------------------------------------- */

static void print_names(const sm_contract_table *t, const int32_t *columns, int32_t n, sm_buf *out)
{
    for (int32_t i = 0; i < n; i++) {
        sm_buf_printf(out, "%s%.*s", i > 0 ? ", " : "",
                      SM_STR_ARG(t->columns[columns[i]].physical));
    }
}

/* "minimum: 0", "validValues: a, b", "unique: id": a rule as the contract has it, in short. */
static void print_rule(const sm_contract_table *t, const sm_rule *rule, sm_buf *out)
{
    sm_buf_printf(out, "%s", sm_rule_info_of(rule->kind)->name);
    if (rule->text.len > 0 || rule->n_values > 0 || rule->n_columns > 0) {
        sm_buf_text(out, SM_STR(": "));
    }
    sm_buf_text(out, rule->text);
    for (int32_t i = 0; i < rule->n_values; i++) {
        sm_buf_printf(out, "%s%.*s", i > 0 ? ", " : "", SM_STR_ARG(rule->values[i].text));
    }
    print_names(t, rule->columns, rule->text.len > 0 ? 0 : rule->n_columns, out);
    if (rule->other_table.len > 0) {
        sm_buf_printf(out, " in %.*s", SM_STR_ARG(rule->other_table));
    }
}

/* Where the rule's column is among those of the rows: the column that a field is in. −1: none. */
static int32_t column_of(const sm_contract_table *t, const sm_rule *rule, const sm_type *rows)
{
    SM_ASSERT(rule->column < t->n_columns && rule->n_columns >= 0);
    int32_t i = rule->column < 0 && rule->n_columns == 1 ? rule->columns[0] : rule->column;

    while (i >= 0 && t->columns[i].parent >= 0) {
        i = t->columns[i].parent;
    }
    return i < 0 ? -1 : sm_type_find(rows, t->columns[i].physical);
}

static const sm_quarantine_rule *rules_of(const smi_flow_guard *g, int32_t side, sm_arena *a)
{
    const sm_contract_table *t = g->run->p->tasks[g->task].contracted;
    const int32_t n = sm_guard_rules(g->guard, side);
    sm_quarantine_rule *out = SM_NEW_ARRAY(a, sm_quarantine_rule, n);
    sm_buf text = {0};

    for (int32_t i = 0; i < n; i++) {
        const sm_rule *rule = sm_guard_rule(g->guard, side, i);
        sm_buf_reset(&text);
        print_rule(t, rule, &text);
        out[i] =
            (sm_quarantine_rule){.name = rule->name,
                                 .wants = sm_arena_str(a, sm_buf_str(&text)),
                                 .column = column_of(t, rule, sm_guard_leaves(g->guard, side))};
    }
    sm_buf_release(&text);
    return out;
}

/* ---- side outputs ---------------------------------------------------------------------------- */

static void open_side(const smi_flow_guard *g, sm_quarantine *q, int32_t i, sm_arena *a,
                      smi_flow_sides *s)
{
    const sm_type *leaves = sm_guard_leaves(g->guard, i);
    SM_ASSERT(q && i < s->n);
    const sm_quarantine_side side = {
        .leaves = leaves,
        .origin = sm_origin_find(leaves),
        .rules = rules_of(g, i, a),
        .n_rules = sm_guard_rules(g->guard, i),
    };

    s->rows[i] = sm_quarantine_rows_new(q, &side);
    s->sinks[i] = sm_quarantine_rows_sink(s->rows[i]);
    s->to[i] = &s->sinks[i];
    s->lines[i] = side.origin < 0 ? -1 : side.origin + SM_ORIGIN_LINE;
}

sm_status smi_flow_sides_open(const smi_flow_guard *g, sm_arena *a, smi_flow_sides *out,
                              sm_error *e)
{
    const int32_t n = g->guard ? sm_guard_sides(g->guard) : 0;
    sm_quarantine *q = NULL;

    if (n == 0) {
        return SM_OK;
    }
    SM_TRY(sm_within(e, open_quarantine(g->run, g->task, &q, e), "quarantine %.*s",
                     SM_STR_ARG(g->run->p->tasks[g->task].quarantine)));
    *out = (smi_flow_sides){.rows = SM_NEW_ARRAY(a, sm_quarantine_rows *, n),
                            .sinks = SM_NEW_ARRAY(a, sm_sink, n),
                            .to = SM_NEW_ARRAY(a, const sm_sink *, n),
                            .lines = SM_NEW_ARRAY(a, int32_t, n),
                            .n = n};
    for (int32_t i = 0; i < n; i++) {
        open_side(g, q, i, a, out);
    }
    return SM_OK;
}

void smi_flow_sides_close(smi_flow_sides *s)
{
    for (int32_t i = 0; i < s->n; i++) {
        sm_quarantine_rows_close(s->rows[i]);
    }
    *s = (smi_flow_sides){0};
}
