/* SPDX-License-Identifier: Apache-2.0
 *
 * flow/flow_guard.c: the rows of a task on their way into its table, guarded by its contract.
 * Called by the kinds of tasks that write tables; the rules are the contract room's.
 *
 * Calls    open before the stage, for the columns may be others then; the guard's plan is executed
 *          in the place of the SQL's; judge when the write is staged; close.
 * Names    Rules see what the task's SQL would: variables, sources, and the tables as this run
 *          makes them; the task's own as it will be. Where looking at them opens a source, all is
 *          looked at once more, for names mean something else then.
 * Stays    The rows of the table that stay decide which of a duplicate leaves. They are read only
 *          where a rule needs them.
 * Verdict  A table that breaks a rule of severity error fails its task, and so the run. The commit
 *          of one that is published has the verdict; so has the report of the run, in any case. */
#include "base/time.h"
#include "flow/flow_int.h"

/* What a run itself needs within the least limit that there is (96 MB for the process). */
#define RUN_BYTES ((size_t)84 * 1000 * 1000)

/* ---- what rules name ------------------------------------------------------------------------- */

/* All rows of a relation, as a plan by calls. */
static sm_status rows_of(const smi_flow_guard *g, const sm_relation *of, sm_arena *a,
                         const sm_plan_node **out, sm_error *e)
{
    sm_statement *view = NULL;

    if (of->dataset || of->node) {
        *out = of->dataset ? sm_plan_scan(of, false, a) : of->node;
        return SM_OK;
    }
    SM_TRY(sm_query_select(&of->view, &g->resolver, false, a, &view, e));
    *out = of->n_rows ? sm_plan_counted(view->target, of->n_rows, a) : view->target;
    return view->n_params == 0
               ? SM_OK
               : sm_fail(e, SM_UNSUPPORTED, "the view has a subquery that gives one value");
}

/* `{files}`: a row for each text file that the pass has read. */
static const sm_field files_fields[] = {
    {.name = {"file", 4}, .type = &sm_type_string},
    {.name = {"date", 4}, .type = &sm_type_date, .is_nullable = true},
    {.name = {"lines", 5}, .type = &sm_type_i64},
    {.name = {"kept", 4}, .type = &sm_type_i64},
    {.name = {"refused", 7}, .type = &sm_type_i64},
    {.name = {"blank", 5}, .type = &sm_type_i64},
    {.name = {"again", 5}, .type = &sm_type_bool},
};
static const sm_type files_schema = {
    .id = SM_TYPE_STRUCT, .fields = files_fields, .n_fields = SM_COUNT(files_fields)};

/* The date of a file as its name says it; NULL: it says none, or several. */
static sm_value date_of_file(sm_str uri)
{
    sm_str folder, name;
    int32_t day = 0;
    bool has = false;

    sm_uri_split(uri, &folder, &name);
    (void)sm_date_in_name(name, &day, &has);
    return has ? (sm_value){.type = &sm_type_date, .as.i = day} : sm_value_null(&sm_type_date);
}

/* Is a file of this date read again, as the rows of the date are replaced, or all are? */
static bool is_again(const smi_flow_guard *g, sm_value date)
{
    const bool is_load = g->run->p->tasks[g->task].kind == SM_TASK_LOAD;

    for (int64_t i = 0; i < g->replaced.n && is_load && !date.is_null; i++) {
        if (g->replaced.values[i].as.i == date.as.i) {
            return true;
        }
    }
    return is_load && smi_flow_is_refreshed(g->run, g->task);
}

static const sm_plan_node *files_read(const smi_flow_guard *g, sm_arena *a)
{
    const sm_exec_report *x = &g->report;
    const int32_t n = files_schema.n_fields;
    sm_value *values = SM_NEW_ARRAY(a, sm_value, x->n_files * n + 1), *at = values;

    for (int64_t i = 0; i < x->n_files; i++) {
        const sm_file_report *f = &x->files[i];
        const sm_value date = date_of_file(f->uri);
        const sm_scan_counts *c = &f->counts;
        if (f->is_pruned) {
            continue;
        }
        *at++ = sm_value_str(f->uri);
        *at++ = date;
        *at++ = sm_value_i64(c->lines);
        *at++ = sm_value_i64(c->lines - c->refused - c->blank);
        *at++ = sm_value_i64(c->refused);
        *at++ = sm_value_i64(c->blank);
        *at++ = (sm_value){.type = &sm_type_bool, .as.b = is_again(g, date)};
    }
    return sm_plan_values(&files_schema, values, (at - values) / n, a);
}

/* sm_guarded.other: a table of the contract. */
static sm_status find_other(void *ctx, sm_str table, sm_arena *a, const sm_plan_node **out,
                            sm_error *e)
{
    const smi_flow_guard *g = ctx;
    const sm_run *r = g->run;
    const sm_resolver *names = &g->resolver;

    if (sm_str_is(table, "{files}")) {
        *out = files_read(g, a);
        return SM_OK;
    }
    const sm_str place = smi_flow_contract_place(r->p, &r->p->tasks[g->task], table, r->arena);
    const char *dot = memchr(place.data, '.', place.len);
    sm_relation relation = {0};
    sm_status st = SM_OK;

    if (memchr(place.data, '/', place.len)) {
        const sm_table_arg arg = {.value = sm_value_str(place)};
        st = names->function(names->ctx, SM_STR(""), &arg, 1, a, &relation, e);
    } else {
        SM_ASSERT(dot);
        const sm_str parts[] = {{place.data, (size_t)(dot - place.data)},
                                {dot + 1, place.len - (size_t)(dot + 1 - place.data)}};
        st = names->table(names->ctx, parts, SM_COUNT(parts), a, &relation, e);
    }
    if (st != SM_OK && e && e->object[0] == '\0') { /* a place in SQL that is none */
        e->byte = -1;
    }
    st = st == SM_OK ? rows_of(g, &relation, a, out, e) : st;
    return sm_within(e, st, "table %.*s of the contract, which is %.*s", SM_STR_ARG(table),
                     SM_STR_ARG(place));
}

/* sm_guarded.earlier: all versions that the task's table has, for its rows will be the next. */
static sm_status find_earlier(void *ctx, int32_t n, sm_arena *a, int64_t **out, int32_t *n_out,
                              sm_error *e)
{
    const smi_flow_guard *g = ctx;
    const sm_run *r = g->run;
    sm_store *table = NULL;
    sm_str uri = {0};

    SM_ASSERT(n > 0 && r->p->tasks[g->task].contract);
    SM_TRY(sm_names_uri(g->names, r->p->tasks[g->task].name, a, &uri, e));
    SM_TRY(sm_store_open(r->env->stores, uri, &table, e));
    const sm_status st = sm_contract_earlier(table, INT64_MAX, n, r->env->budget, a, out, n_out, e);
    sm_store_release(table);
    return st;
}

void smi_flow_guard_names(smi_flow_guard *g, sm_candidate *c)
{
    sm_run *r = g->run;

    SM_ASSERT(!g->before); /* the guard's plan stands on the first */
    g->before = g->names;
    g->names = smi_flow_names(r);
    if (c) {
        sm_names_set_candidate(g->names, r->p->tasks[g->task].name, c);
    }
    g->resolver = smi_flow_asking_init(&g->asking, r, g->names);
    g->asking.has_counted = true;
}

/* ---- rows that stay -------------------------------------------------------------------------- */

/* Has it a rule that other rows of the table decide, and that takes rows away or changes them? */
static bool needs_stays(const sm_rule *rule)
{
    return (rule->kind == SM_RULE_UNIQUE || rule->kind == SM_RULE_PRIMARY_KEY ||
            rule->kind == SM_RULE_DUPLICATE_VALUES) &&
           (rule->action == SM_POLICY_QUARANTINE || rule->action == SM_POLICY_NULL);
}

/* Are all these columns among those of the rule? */
static bool has_columns(const sm_contract_table *t, const sm_rule *rule, const sm_str *names,
                        int32_t n)
{
    for (int32_t i = 0; i < n; i++) {
        bool has = false;
        for (int32_t k = 0; k < rule->n_columns; k++) {
            has = has || sm_str_eq_nocase(t->columns[rule->columns[k]].physical, names[i]);
        }
        if (!has) {
            return false;
        }
    }
    return true;
}

/* Which rows stay where partitions are replaced, or rows merged, is known only when the rows are.
 * It does not matter to a rule with all columns by which they are: its duplicates go. */
static sm_status check_stays(const smi_flow_guard *g, const sm_rule *rule, sm_error *e)
{
    const smi_flow_task *t = &g->run->p->tasks[g->task];
    const sm_yaml_doc *file = &t->contract->model->yaml;
    const sm_str *names = t->merge ? t->merge->key.names : t->partition_by;
    const int32_t n = t->merge ? t->merge->key.n : t->n_partition_by;

    if (has_columns(t->contracted, rule, names, n)) {
        return SM_OK;
    }
    const sm_status st =
        sm_fail(e, SM_UNSUPPORTED,
                "rule %.*s cannot %s rows of %.*s: it has not all columns by "
                "which they %s",
                SM_STR_ARG(rule->name), sm_policy_name(rule->action), SM_STR_ARG(t->name),
                t->merge ? "are merged" : "replace partitions");
    sm_error_todo(e, "Let it fail or warn, or add the column %.*s to it.", SM_STR_ARG(names[0]));
    return sm_yaml_at(file, rule->at, st, e);
}

/* Is x none of the values? */
static sm_status is_none_of(const sm_expr *x, const smi_flow_rows *values, sm_arena *a,
                            const sm_expr **out, sm_error *e)
{
    const sm_expr **args = SM_NEW_ARRAY(a, const sm_expr *, values->n + 1);
    const sm_expr *is_in = NULL, *either[2] = {0};

    args[0] = x;
    for (int64_t i = 0; i < values->n; i++) {
        args[1 + i] = sm_expr_constant(values->values[i], a);
    }
    SM_TRY(sm_expr_in(args, (int32_t)values->n + 1, a, &is_in, e));
    SM_TRY(sm_expr_call("not", &is_in, 1, a, &either[0], e));
    SM_TRY(sm_expr_call("is_null", &x, 1, a, &either[1], e));
    return sm_expr_or(either, 2, a, out, e);
}

/* The rows of the table as it is, without those that the write replaces. */
static sm_status plan_stays(const smi_flow_guard *g, const smi_flow_staying *stays, sm_arena *a,
                            const sm_plan_node **out, sm_error *e)
{
    const sm_expr *others = NULL;

    SM_TRY(sm_names_snapshot_rows(g->names, stays->base, g->run->p->tasks[g->task].name, out, e));
    if (!stays->replaced || stays->replaced->n == 0) {
        return SM_OK;
    }
    const int32_t column = sm_type_find((*out)->schema, stays->replaced->column);
    if (column < 0) {
        return SM_OK; /* the stage refuses a write that replaces by it */
    }
    SM_TRY(is_none_of(sm_expr_column((*out)->schema, column, a), stays->replaced, a, &others, e));
    return sm_plan_filter(*out, others, a, out, e);
}

static sm_status find_stays(const smi_flow_guard *g, const smi_flow_staying *stays, sm_arena *a,
                            const sm_plan_node **out, sm_error *e)
{
    const smi_flow_task *t = &g->run->p->tasks[g->task];
    bool are_needed = false;

    *out = NULL;
    for (int64_t i = 0; stays->base && i < t->contracted->n_rules; i++) {
        const sm_rule *rule = &t->contracted->rules[i];
        if (needs_stays(rule) && (t->merge || t->replaces_partitions)) {
            SM_TRY(check_stays(g, rule, e));
        } else {
            are_needed = are_needed || needs_stays(rule);
        }
    }
    return are_needed ? plan_stays(g, stays, a, out, e) : SM_OK;
}

/* ---- around the rows ------------------------------------------------------------------------- */

size_t smi_flow_search_room(const sm_run *r)
{
    const size_t room = sm_budget_room(r->env->budget);
    const size_t spare = room > RUN_BYTES ? room - RUN_BYTES : 0;

    return spare < room / 4 ? spare : room / 4;
}

/* Puts the rules around rows; r->asked becomes what they ask for. */
static sm_status guard_rows(smi_flow_guard *g, const sm_plan_node *rows,
                            const smi_flow_staying *stays, sm_error *e)
{
    const smi_flow_task *t = &g->run->p->tasks[g->task];
    sm_guarded in = {.contract = t->contract->model,
                     .table = t->contracted,
                     .rows = rows,
                     .room_bytes = t->merge ? 0 : smi_flow_search_room(g->run),
                     .other = find_other,
                     .ctx = g,
                     .env = g->run->env,
                     .writes_as_is = t->kind == SM_TASK_TABLE && !t->merge,
                     .earlier = find_earlier};

    do {
        smi_flow_asking_reset(&g->asking);
        in.names = g->resolver;
        SM_TRY(find_stays(g, stays, g->arena, &in.stays, e));
        sm_guard_free(g->guard);
        SM_TRY(sm_guard_new(&in, g->arena, &g->guard, e));
    } while (g->run->asked.has_opened_one);
    return SM_OK;
}

smi_flow_asked smi_flow_asked_keep(sm_run *r)
{
    const smi_flow_asked kept = r->asked;

    r->asked = (smi_flow_asked){0};
    return kept;
}

void smi_flow_asked_restore(sm_run *r, const smi_flow_asked *kept)
{
    sm_buf_release(&r->asked.text);
    r->asked = *kept;
}

sm_status smi_flow_guard_over(sm_run *r, int32_t task, const sm_plan_node *rows,
                              const smi_flow_staying *stays, sm_arena *a, smi_flow_guard *out,
                              sm_error *e)
{
    const smi_flow_task *t = &r->p->tasks[task];
    const sm_statement *select = r->asked.select;
    sm_plan *guarded = NULL;

    SM_ASSERT(select && !out->names);
    *out = (smi_flow_guard){.run = r, .task = task, .arena = a};
    out->replaced = stays->replaced ? *stays->replaced : (smi_flow_rows){0};
    if (t->contract) {
        const smi_flow_asked asked = smi_flow_asked_keep(r);
        smi_flow_guard_names(out, NULL);
        const sm_status st = guard_rows(out, rows, stays, e);
        r->tasks[task].judged_by_more = r->asked.reads_paths;
        smi_flow_asked_restore(r, &asked);
        SM_TRY(sm_within(e, st, "contract of %.*s", SM_STR_ARG(t->name)));
        rows = sm_guard_rows(out->guard);
    }
    rows = sm_plan_without_origin(rows, a);
    SM_TRY(sm_statement_finish(select, rows, a, &guarded, e));
    out->plan = guarded;
    out->rows = rows;
    return SM_OK;
}

sm_status smi_flow_guard_open(sm_run *r, int32_t task, const sm_plan *plan,
                              const smi_flow_staying *stays, sm_arena *a, smi_flow_guard *out,
                              sm_error *e)
{
    const smi_flow_task *t = &r->p->tasks[task];
    const sm_statement *select = r->asked.select;

    SM_ASSERT(select && select->plan == plan && !out->names);
    if (!t->contract) {
        *out = (smi_flow_guard){.run = r, .task = task, .arena = a, .plan = plan};
        return SM_OK;
    }
    /* Rows that may leave carry with them from which line they are. */
    const sm_plan_node *rows =
        t->quarantine.len > 0 ? sm_plan_with_origin(select->target, a) : NULL;
    return smi_flow_guard_over(r, task, rows ? rows : select->target, stays, a, out, e);
}

void smi_flow_guard_close(smi_flow_guard *g)
{
    smi_flow_watch_close(g);
    sm_guard_free(g->guard);
    sm_exec_report_release(&g->report);
    sm_names_free(g->names);
    sm_names_free(g->before);
    *g = (smi_flow_guard){0};
}

sm_status smi_flow_guard_audit(smi_flow_guard *g, const sm_statement *select, sm_audit *out,
                               sm_error *e)
{
    const smi_flow_task *t = &g->run->p->tasks[g->task];

    if (select->n_params > 0) {
        return sm_fail(e, SM_UNSUPPORTED, "the view has a subquery that gives one value");
    }
    *out = (sm_audit){.contract = t->contract->model,
                      .table = t->contracted,
                      .rows = select->target,
                      .names = g->resolver,
                      .other = find_other,
                      .ctx = g,
                      .env = g->run->env,
                      .report = &g->report};
    return SM_OK;
}

/* ---- the verdict ----------------------------------------------------------------------------- */

/* The rows of `c`. Where others were staged than are in it, it is not known which stay. */
static sm_status find_staged(const smi_flow_guard *g, sm_candidate *written, sm_candidate *c,
                             sm_guard_staged *out, sm_error *e)
{
    const sm_str name = g->run->p->tasks[g->task].name;

    *out = (sm_guard_staged){0};
    SM_TRY(sm_names_candidate_rows(g->names, c, SM_CANDIDATE_TABLE, name, &out->table, e));
    out->written = out->table;
    if (written == c && sm_candidate_rows(c) == sm_candidate_table_rows(c)) {
        return SM_OK;
    }
    SM_TRY(
        sm_names_candidate_rows(g->names, written, SM_CANDIDATE_WRITTEN, name, &out->written, e));
    return written == c
               ? sm_names_candidate_rows(g->names, c, SM_CANDIDATE_STAYS, name, &out->stays, e)
               : SM_OK;
}

/* Judges what the table will be: that of `c`. r->asked becomes what the rules ask for. */
static sm_status make_verdict(smi_flow_guard *g, sm_candidate *written, sm_candidate *c,
                              sm_verdict **out, sm_error *e)
{
    sm_guard_staged rows = {0};

    smi_flow_guard_names(g, c);
    do {
        smi_flow_asking_reset(&g->asking);
        SM_TRY(find_staged(g, written, c, &rows, e));
        SM_TRY(sm_guard_judge(g->guard, &g->report, &rows, g->run->arena, out, e));
    } while (g->run->asked.has_opened_one);
    smi_flow_task_state *state = &g->run->tasks[g->task];
    state->judged_as_stored = g->rows && !g->run->p->tasks[g->task].merge;
    state->judged_all = rows.written == rows.table;
    smi_flow_page_profile(g, rows.written, *out);
    return SM_OK;
}

sm_status smi_flow_guard_judge(smi_flow_guard *g, sm_candidate *written, sm_candidate *c,
                               sm_error *e)
{
    sm_run *r = g->run;
    sm_verdict *v = NULL;

    if (!g->guard) {
        return SM_OK;
    }
    const smi_flow_task *t = &r->p->tasks[g->task];
    sm_candidate_guard(c);
    smi_flow_report_notes(r, t);
    const smi_flow_asked asked = smi_flow_asked_keep(r);
    sm_status st = make_verdict(g, written, c, &v, e);
    r->tasks[g->task].judged_by_more |= r->asked.reads_paths;
    smi_flow_asked_restore(r, &asked);
    SM_TRY(sm_within(e, st, "contract of %.*s", SM_STR_ARG(t->name)));
    SM_ENSURE(v); /* it was made */
    v->name = t->name;
    sm_candidate_judge(c, &(sm_judged){.passes = v->outcome != SM_OUTCOME_FAILED,
                                       .is_of_table = sm_contract_is_of_table(v->table),
                                       .json = sm_verdict_brief(v, t->contract->hash, r->arena)});
    smi_flow_report_verdict(r, g->task, v);
    return sm_verdict_status(v, e);
}

/* ---- rows that only leave -------------------------------------------------------------------- */

/* No row of a plan. */
static sm_status no_rows(const sm_plan_node *of, sm_arena *a, const sm_plan_node **out, sm_error *e)
{
    const sm_value no = {.type = &sm_type_bool, .as.b = false};

    return sm_plan_filter(of, sm_expr_constant(no, a), a, out, e);
}

static sm_status guard_nothing(smi_flow_guard *g, sm_candidate *c, sm_error *e)
{
    const smi_flow_staying none = {0};
    const sm_plan_node *table = NULL, *rows = NULL;
    sm_plan *plan = NULL;

    smi_flow_guard_names(g, c);
    SM_TRY(sm_names_candidate_rows(g->names, c, SM_CANDIDATE_WRITTEN,
                                   g->run->p->tasks[g->task].name, &table, e));
    SM_TRY(no_rows(table, g->arena, &rows, e));
    SM_TRY(guard_rows(g, rows, &none, e));
    SM_TRY(sm_plan_finish(sm_guard_rows(g->guard), g->arena, &plan, e));
    return sm_exec_run(plan, g->run->env, NULL, NULL, &g->report, e);
}

sm_status smi_flow_guard_leaving(sm_run *r, int32_t task, sm_candidate *c, sm_error *e)
{
    const smi_flow_task *t = &r->p->tasks[task];
    smi_flow_guard g = {.run = r, .task = task};

    if (!t->contract || sm_candidate_keeps_rows(c)) {
        return SM_OK;
    }
    g.arena = sm_arena_new(r->env->budget);
    const smi_flow_asked asked = smi_flow_asked_keep(r);
    sm_status st = guard_nothing(&g, c, e);
    smi_flow_asked_restore(r, &asked);
    st = sm_within(e, st, "contract of %.*s", SM_STR_ARG(t->name));
    if (st == SM_OK) {
        st = smi_flow_guard_judge(&g, c, c, e);
    }
    sm_arena *a = g.arena;
    smi_flow_guard_close(&g);
    sm_arena_free(a);
    return st;
}

/* ---- what decides the verdict ---------------------------------------------------------------- */

/* May a rule use the variable? Its SQL has the name. */
static bool may_use(const sm_contract_table *t, sm_str variable)
{
    for (int64_t i = 0; i < t->n_rules; i++) {
        const sm_str text = t->rules[i].text;
        if (text.len > 0 && memmem(text.data, text.len, variable.data, variable.len)) {
            return true;
        }
    }
    return false;
}

void smi_flow_guard_text(const sm_run *r, const smi_flow_task *t, sm_buf *out)
{
    if (!t->contract) {
        return;
    }
    sm_buf_printf(out, "\ncontract %.*s %.*s", SM_STR_ARG(t->contract->hash),
                  SM_STR_ARG(t->contracted->name));
    for (int32_t i = 0; i < r->p->n_vars; i++) {
        if (may_use(t->contracted, r->p->vars[i].name)) {
            sm_buf_printf(out, "\nvariable %.*s ", SM_STR_ARG(r->p->vars[i].name));
            sm_value_print(r->vars[i], out);
        }
    }
}
