/* SPDX-License-Identifier: Apache-2.0
 *
 * flow/flow_watch.c: the contracts of views. A view is not stored: its rows are judged as the run
 * computes them for a table, or else by passes of their own.
 *
 * View      A view's task binds the rules, so that a mistake there ends the run before its work. If
 *           a table task of the run will read the view, the verdict is due; else it comes now.
 * Watched   The first table task whose plan can have the view's checks (plan_watch.c) judges it,
 *           behind its execution: before its table is judged or published. A view whose rows the
 *           plan does not have as they are, a table that is merged, and text that is judged by the
 *           columns that are read (no validate => 'all') are not watched.
 * Counted   A rule may ask how many rows a view has: `SELECT count(*) FROM view`. Rows that are
 *           watched are counted, too, and so are those of a view without contract that the rule of
 *           some task names: the rule does not read them once more.
 * Rest      Views that are due when all tables are made are judged before these are published.
 * Verdict   The report has it, and is the same whichever way it came. One of severity error fails
 *           the task that judges it, and so the run. */
#include "flow/flow_int.h"

struct smi_flow_watching {
    smi_flow_guard guard;     /* of the view: what its rules name; it stays where it is */
    sm_audit_watch *watch;    /* of its contract; NULL: it is only counted */
    sm_plan_watch plan;       /* its check is NULL where the plan does not have its rows */
    const sm_plan_node *rows; /* all of it */
};

/* ---- passes of their own --------------------------------------------------------------------- */

/* Plans the view's SQL. r->asked becomes what it asks for. */
static sm_status plan_view(smi_flow_guard *g, const sm_statement **out, sm_error *e)
{
    const sm_plan *plan = NULL;

    SM_TRY(smi_flow_plan(g->run, NULL, &g->run->p->tasks[g->task], g->arena, &plan, e));
    *out = g->run->asked.select;
    return SM_OK;
}

/* by: the task whose execution has counted them, or −1. */
static void note_rows(sm_run *r, int32_t view, int64_t n_rows, int32_t by)
{
    r->tasks[view].is_counted = true;
    r->tasks[view].n_rows = n_rows;
    r->tasks[view].counted_by = by;
}

/* What was counted becomes the view's verdict. */
static sm_status tell_verdict(smi_flow_guard *g, const sm_plan_node *rows, int64_t n_rows,
                              const sm_rule_count *counts, sm_error *e)
{
    sm_run *r = g->run;
    const smi_flow_task *t = &r->p->tasks[g->task];
    SM_ASSERT(t->kind == SM_TASK_VIEW && t->contract);
    sm_verdict *v = sm_contract_judge(t->contract->model, t->contracted, n_rows, counts, r->arena);

    note_rows(r, g->task, n_rows, r->tasks[g->task].judged_by);
    v->name = t->name;
    smi_flow_page_profile(g, rows, v);
    smi_flow_report_verdict(r, g->task, v);
    return sm_within(e, sm_verdict_status(v, e), "view %.*s", SM_STR_ARG(t->name));
}

/* Audits the rows of the view, whose plan `select` is. */
static sm_status audit_view(smi_flow_guard *g, const sm_statement *select, sm_rule_count **counts,
                            int64_t *n_rows, sm_error *e)
{
    sm_audit in;

    do {
        smi_flow_asking_reset(&g->asking);
        sm_exec_report_release(&g->report);
        SM_TRY(smi_flow_guard_audit(g, select, &in, e));
        SM_TRY(sm_contract_audit(&in, g->run->arena, counts, n_rows, e));
    } while (g->run->asked.has_opened_one);
    return SM_OK;
}

/* Looks whether the rules fit the view's rows. */
static sm_status bind_view(smi_flow_guard *g, const sm_statement *select, sm_error *e)
{
    sm_audit in;
    sm_bound_rule *rules = NULL;
    int64_t n = 0;

    smi_flow_asking_reset(&g->asking);
    SM_TRY(smi_flow_guard_audit(g, select, &in, e));
    return sm_contract_bind(in.contract, in.table, in.rows->schema, &in.names, g->arena, &rules, &n,
                            e);
}

/* Judges the view's rows, or with is_later only binds the rules. */
static sm_status judge_view(smi_flow_guard *g, bool is_later, sm_error *e)
{
    sm_run *r = g->run;
    const sm_statement *select = NULL;
    sm_rule_count *counts = NULL;
    int64_t n_rows = 0;

    SM_TRY(plan_view(g, &select, e));
    const smi_flow_asked asked = smi_flow_asked_keep(r);
    smi_flow_guard_names(g, NULL);
    const sm_status st =
        is_later ? bind_view(g, select, e) : audit_view(g, select, &counts, &n_rows, e);
    smi_flow_asked_restore(r, &asked);
    SM_TRY(sm_within(e, st, "contract of %.*s", SM_STR_ARG(r->p->tasks[g->task].name)));
    return is_later ? SM_OK : tell_verdict(g, select->target, n_rows, counts, e);
}

static sm_status do_view(sm_run *r, int32_t task, bool is_later, sm_error *e)
{
    smi_flow_guard g = {.run = r, .task = task, .arena = sm_arena_new(r->env->budget)};
    sm_arena *a = g.arena;
    const sm_status st = judge_view(&g, is_later, e);

    smi_flow_guard_close(&g);
    sm_arena_free(a);
    r->tasks[task].is_due = st == SM_OK && is_later;
    return st;
}

/* ---- who reads a view ------------------------------------------------------------------------ */

/* Does the task's SQL read the view, through other views too? */
static bool reads_view(const sm_pipeline *p, int32_t task, int32_t view)
{
    bool reads = false;

    for (int32_t i = 0; i < p->tasks[task].n_needs && !reads; i++) {
        const int32_t need = p->tasks[task].needs[i];
        reads = need == view || (p->tasks[need].kind == SM_TASK_VIEW && reads_view(p, need, view));
    }
    return reads;
}

/* Are the rows of a task those of its SQL, in one plan over the run's own names? */
static bool may_watch(const smi_flow_task *t)
{
    return t->kind == SM_TASK_TABLE && !t->merge;
}

bool smi_flow_is_watched(const sm_run *r, int32_t task, int32_t view)
{
    return r->tasks[view].is_due && may_watch(&r->p->tasks[task]) && reads_view(r->p, task, view);
}

sm_status smi_flow_view_run(sm_run *r, int32_t task, sm_error *e)
{
    const smi_flow_task *t = &r->p->tasks[task];
    bool is_later = false;

    SM_ASSERT(!r->tasks[task].is_due);
    r->tasks[task].judged_by = -1;
    r->tasks[task].is_counted = false;
    if (!t->contract) {
        return SM_OK;
    }
    smi_flow_report_notes(r, t);
    for (int32_t i = 0; i < r->n_made && !is_later; i++) {
        const int32_t reader = r->order[i];
        is_later = may_watch(&r->p->tasks[reader]) && reads_view(r->p, reader, task);
    }
    return do_view(r, task, is_later, e);
}

sm_status smi_flow_views_finish(sm_run *r, sm_error *e)
{
    for (int32_t i = 0; i < r->n_made; i++) {
        if (r->tasks[r->order[i]].is_due) {
            SM_TRY(do_view(r, r->order[i], false, e));
        }
    }
    return SM_OK;
}

void smi_flow_watch_undo(sm_run *r, int32_t task)
{
    for (int32_t i = 0; i < r->n_made; i++) {
        smi_flow_task_state *view = &r->tasks[r->order[i]];
        if (r->p->tasks[r->order[i]].kind != SM_TASK_VIEW) {
            continue;
        }
        if (view->judged_by == task) {
            view->judged_by = -1;
            view->is_due = true;
        }
        view->is_counted = view->is_counted && view->counted_by != task;
    }
}

/* ---- watching -------------------------------------------------------------------------------- */

/* Does a rule of some task name the view? */
static bool is_named(const sm_run *r, int32_t view)
{
    for (int32_t i = 0; i < r->n_made; i++) {
        const smi_flow_task *t = &r->p->tasks[r->order[i]];
        for (int32_t k = 0; k < t->n_checks; k++) {
            if (smi_flow_task_find(r->p, t->checks[k]) == view) {
                return true;
            }
        }
    }
    return false;
}

/* Makes the checks of a view; where nothing can look at its rows, it has none. */
static sm_status watch_view(smi_flow_watching *w, int32_t side, size_t room_bytes, sm_error *e)
{
    sm_run *r = w->guard.run;
    const sm_statement *select = NULL;
    sm_audit in;

    SM_TRY(plan_view(&w->guard, &select, e));
    if (!r->tasks[w->guard.task].is_due) {
        if (select->n_params == 0) {
            sm_plan_watch_rows(select->target, side, w->guard.arena, &w->plan);
        }
        return SM_OK;
    }
    smi_flow_guard_names(&w->guard, NULL);
    smi_flow_asking_reset(&w->guard.asking);
    SM_TRY(smi_flow_guard_audit(&w->guard, select, &in, e));
    SM_TRY(sm_audit_watch_new(&in, side, room_bytes, w->guard.arena, &w->watch, e));
    w->plan = *sm_audit_watch_plan(w->watch);
    w->rows = select->target;
    return SM_OK;
}

/* Makes the checks of all views that are due or to be counted. r->asked becomes what they ask
 * for. */
static sm_status watch_views(smi_flow_guard *g, int32_t first_side, sm_error *e)
{
    sm_run *r = g->run;

    g->watching = SM_NEW_ARRAY(g->arena, smi_flow_watching, r->n_made);
    for (int32_t i = 0; i < r->n_made; i++) {
        const int32_t view = r->order[i];
        const bool is_wanted =
            r->tasks[view].is_due || (!r->tasks[view].is_counted && is_named(r, view));
        if (r->p->tasks[view].kind == SM_TASK_VIEW && is_wanted &&
            reads_view(r->p, g->task, view)) {
            g->watching[g->n_watching++].guard =
                (smi_flow_guard){.run = r, .task = view, .arena = g->arena};
        }
    }
    const size_t room_bytes = smi_flow_search_room(r);
    for (int32_t i = 0; i < g->n_watching; i++) {
        smi_flow_watching *w = &g->watching[i];
        const sm_status st = watch_view(w, first_side + i, room_bytes / (size_t)g->n_watching, e);
        SM_TRY(sm_within(e, st, "contract of %.*s", SM_STR_ARG(r->p->tasks[w->guard.task].name)));
    }
    return SM_OK;
}

/* Puts the checks into the plan. */
static sm_status plan_watched(smi_flow_guard *g, const sm_statement *select, sm_error *e)
{
    sm_plan_watch *plans = SM_NEW_ARRAY(g->arena, sm_plan_watch, g->n_watching);
    sm_plan *plan = NULL;
    int32_t n = 0;

    SM_ASSERT(g->plan);
    for (int32_t i = 0; i < g->n_watching; i++) {
        if (g->watching[i].plan.rows) {
            plans[n++] = g->watching[i].plan;
        }
    }
    SM_TRY(sm_statement_watched(select, g->rows ? g->rows : select->target, plans, n, g->arena,
                                &plan, e));
    g->plan = plan;
    for (int32_t i = 0, k = 0; i < g->n_watching; i++) {
        smi_flow_watching *w = &g->watching[i];
        w->plan = w->plan.rows ? plans[k++] : w->plan;
        if (w->watch && w->plan.check) {
            sm_audit_watch_plan(w->watch)->check = w->plan.check;
        } else {
            sm_audit_watch_free(w->watch);
            w->watch = NULL;
        }
    }
    return SM_OK;
}

sm_status smi_flow_watch_open(smi_flow_guard *g, sm_error *e)
{
    sm_run *r = g->run;
    const sm_statement *select = r->asked.select;

    SM_ASSERT(select && !g->watching);
    if (!may_watch(&r->p->tasks[g->task]) || select->n_params > 0) { /* these may read files, too */
        return SM_OK;
    }
    const smi_flow_asked asked = smi_flow_asked_keep(r);
    const sm_status st = watch_views(g, g->guard ? sm_guard_checks(g->guard) : 0, e);
    smi_flow_asked_restore(r, &asked);
    SM_TRY(st);
    return g->n_watching > 0 ? plan_watched(g, select, e) : SM_OK;
}

/* The files of `{files}` are those of the view: the plan has no scan of other text. */
static sm_status end_watch(smi_flow_watching *w, const sm_exec_report *report,
                           sm_rule_count **counts, int64_t *n_rows, sm_error *e)
{
    smi_flow_guard *g = &w->guard;
    sm_status st = SM_OK;

    g->report.files = report->files;
    g->report.n_files = report->n_files;
    do {
        smi_flow_asking_reset(&g->asking);
        st = sm_audit_watch_end(w->watch, report, g->run->arena, counts, n_rows, e);
    } while (st == SM_OK && g->run->asked.has_opened_one);
    g->report = (sm_exec_report){0}; /* they are the execution's */
    return st;
}

static sm_status judge_watched(smi_flow_guard *g, smi_flow_watching *w, sm_error *e)
{
    sm_run *r = g->run;
    const int32_t view = w->guard.task;
    sm_rule_count *counts = NULL;
    int64_t n_rows = 0;
    const smi_flow_asked asked = smi_flow_asked_keep(r);
    const sm_status st = end_watch(w, &g->report, &counts, &n_rows, e);

    r->tasks[view].judged_by_more = r->asked.reads_paths || r->asked.sources != 0;
    smi_flow_asked_restore(r, &asked);
    SM_TRY(sm_within(e, st, "contract of %.*s", SM_STR_ARG(r->p->tasks[view].name)));
    SM_ASSERT(r->tasks[view].is_due && r->tasks[view].judged_by < 0);
    r->tasks[view].is_due = false;
    r->tasks[view].judged_by = g->task;
    return tell_verdict(&w->guard, w->rows, n_rows, counts, e);
}

sm_status smi_flow_watch_judge(smi_flow_guard *g, sm_error *e)
{
    const int32_t n = g->report.is_partial ? 0 : g->n_watching;

    for (int32_t i = 0; i < n; i++) { /* rules of one view may name another */
        const sm_plan_watch *plan = &g->watching[i].plan;
        if (plan->check) {
            note_rows(g->run, g->watching[i].guard.task,
                      sm_exec_report_check(&g->report, plan->side, 0)->n_rows, g->task);
        }
    }
    for (int32_t i = 0; i < n; i++) {
        SM_TRY(g->watching[i].watch ? judge_watched(g, &g->watching[i], e) : SM_OK);
    }
    smi_flow_watch_close(g);
    return SM_OK;
}

void smi_flow_watch_close(smi_flow_guard *g)
{
    for (int32_t i = 0; i < g->n_watching; i++) {
        sm_audit_watch_free(g->watching[i].watch);
        smi_flow_guard_close(&g->watching[i].guard);
    }
    g->watching = NULL;
    g->n_watching = 0;
}
