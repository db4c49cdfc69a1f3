/* SPDX-License-Identifier: Apache-2.0
 *
 * flow/flow_run.c: opens pipelines and runs them.
 *
 * A run     gives the variables their values, makes the names that SQL sees (variables, views, the
 *           lake), then does the chosen tasks in their order, each into a candidate that later
 *           tasks see; then the quarantines; and publishes all in one go, quarantines first, then
 *           in the order of the tasks. A failure before that publishes nothing. Tables elsewhere
 *           come last: they are made over what is then in the lake.
 * Sources   are opened when the first task asks for them (flow_plan.c): their files are listed and
 *           those of the window chosen; the others are never opened.
 * Killed    before its publication is in the lake's journal: nothing was changed. After that: the
 *           next run into the lake completes it before it looks at a table. */
#include <inttypes.h>
#include <stdio.h>

#include "base/random.h"
#include "base/text.h"
#include "base/time.h"
#include "flow/flow_int.h"

/* ---- pipelines ------------------------------------------------------------------------------ */

sm_status sm_pipeline_open(sm_stores *stores, sm_str path, sm_pipeline **out, sm_error *e)
{
    sm_pipeline *p = sm_alloc_zero(sizeof(*p));

    p->arena = sm_arena_new(NULL);
    p->path = sm_arena_str(p->arena, path);
    p->stores = stores;
    sm_status st = smi_flow_yaml_read(p, e);
    if (st == SM_OK) {
        st = smi_flow_graph_order(p, e);
    }
    if (st != SM_OK) {
        sm_pipeline_close(p);
        return st;
    }
    p->stores = NULL;
    *out = p;
    return SM_OK;
}

void sm_pipeline_close(sm_pipeline *p)
{
    if (p) {
        sm_arena_free(p->arena);
        sm_free(p);
    }
}

sm_str sm_pipeline_name(const sm_pipeline *p)
{
    return p->name;
}

int32_t sm_pipeline_tasks(const sm_pipeline *p)
{
    return p->n_tasks;
}

sm_str sm_pipeline_task_name(const sm_pipeline *p, int32_t i)
{
    return p->tasks[i].name;
}

sm_task_kind sm_pipeline_task_kind(const sm_pipeline *p, int32_t i)
{
    return p->tasks[i].kind;
}

/* ---- variables ------------------------------------------------------------------------------ */

static sm_status fail_var_name(const smi_flow_run *r, sm_str name, sm_error *e)
{
    sm_str *names = SM_NEW_ARRAY(r->arena, sm_str, r->p->n_vars);

    for (int32_t i = 0; i < r->p->n_vars; i++) {
        names[i] = r->p->vars[i].name;
    }
    const sm_status st = sm_fail(e, SM_USAGE, "pipeline %.*s has no variable \"%.*s\"",
                                 SM_STR_ARG(r->p->name), SM_STR_ARG(name));
    const char *near = sm_nearest_name(name, names, r->p->n_vars);
    if (near) {
        sm_error_todo(e, "Did you mean \"%s\"?", near);
    }
    return st;
}

static sm_status check_var_names(const smi_flow_run *r, sm_error *e)
{
    for (int32_t i = 0; i < r->opts->n_vars; i++) {
        bool is_known = false;
        for (int32_t k = 0; k < r->p->n_vars; k++) {
            is_known = is_known || sm_str_eq(r->p->vars[k].name, r->opts->vars[i].key);
        }
        if (!is_known) {
            return fail_var_name(r, r->opts->vars[i].key, e);
        }
    }
    return SM_OK;
}

/* The first day of "2022-04". */
static bool parse_month(sm_str text, int32_t *first_day)
{
    char date[16];

    if (text.len != 7) {
        return false;
    }
    snprintf(date, sizeof(date), "%.7s-01", text.data);
    return sm_parse_date((sm_str){date, 10}, first_day);
}

static sm_status bind_text(const smi_flow_run *r, const smi_flow_var *v, sm_str text, sm_value *out,
                           sm_error *e)
{
    static const char *const wanted[] = {
        [SMI_VAR_MONTH] = "a month, like 2022-04",
        [SMI_VAR_DATE] = "a date, like 2022-04-30",
        [SMI_VAR_INTEGER] = "a whole number",
    };
    int32_t day = 0;
    int64_t number = 0;
    bool is_good = true;

    *out = sm_value_str(sm_arena_str(r->arena, text));
    if (v->type == SMI_VAR_MONTH) {
        is_good = parse_month(text, &day);
    } else if (v->type == SMI_VAR_DATE) {
        is_good = sm_parse_date(text, &day);
        *out = (sm_value){.type = &sm_type_date, .as.i = day};
    } else if (v->type == SMI_VAR_INTEGER) {
        is_good = sm_parse_i64(text, &number);
        *out = sm_value_i64(number);
    } else if (v->type == SMI_VAR_URI) {
        is_good = text.len > 0;
    }
    return is_good ? SM_OK
                   : sm_fail(e, SM_USAGE, "variable %.*s: \"%.*s\" is not %s", SM_STR_ARG(v->name),
                             SM_STR_ARG(text), v->type == SMI_VAR_URI ? "a URI" : wanted[v->type]);
}

static sm_status bind_var(const smi_flow_run *r, const smi_flow_var *v, sm_value *out, sm_error *e)
{
    char text[SM_TIME_TEXT_BYTES];

    for (int32_t i = r->opts->n_vars - 1; i >= 0; i--) { /* given twice: the last one holds */
        if (sm_str_eq(r->opts->vars[i].key, v->name)) {
            return bind_text(r, v, r->opts->vars[i].value, out, e);
        }
    }
    if (v->has_default) {
        return smi_flow_at(r->p, v->at, bind_text(r, v, v->default_text, out, e), e);
    }
    if (v->type == SMI_VAR_MONTH || v->type == SMI_VAR_DATE) {
        const size_t len = sm_format_date(r->opts->logical_date, text);
        return bind_text(r, v, (sm_str){text, len - (v->type == SMI_VAR_MONTH ? 3 : 0)}, out, e);
    }
    const sm_status st = sm_fail(e, SM_USAGE, "variable %.*s has no value", SM_STR_ARG(v->name));
    sm_error_todo(e, "Set it with --var %.*s=...%s%.*s", SM_STR_ARG(v->name),
                  v->help.len ? ": " : "", SM_STR_ARG(v->help));
    return st;
}

/* ---- names ---------------------------------------------------------------------------------- */

sm_names *smi_flow_names(const smi_flow_run *r)
{
    const sm_pipeline *p = r->p;
    sm_names *names = sm_names_new(r->env->stores, r->vars[p->lake].as.s, r->env->budget);

    for (int32_t i = 0; i < p->n_vars; i++) {
        sm_names_set_variable(names, p->vars[i].name, r->vars[i]);
    }
    for (int32_t i = 0; i < p->n_tasks; i++) {
        if (p->tasks[i].kind == SM_TASK_VIEW) {
            sm_names_set_view(names, p->tasks[i].name, p->tasks[i].sql);
        } else if (r->tasks[i].candidate) {
            sm_names_set_candidate(names, p->tasks[i].name, r->tasks[i].candidate);
        }
    }
    if (r->opts->morsel_bytes) {
        sm_names_set_morsel_bytes(names, r->opts->morsel_bytes);
    }
    return names;
}

/* {"pipeline": …, "month": …, "run": …[, "inputs": …]}: for people and tools that read history. */
sm_str smi_flow_metadata_with(const smi_flow_run *r, sm_str inputs)
{
    sm_buf text = {0};
    sm_json_writer w = {.out = &text};

    sm_json_begin_object(&w);
    sm_json_set_text(&w, "pipeline", r->p->name);
    for (int32_t i = 0; i < r->p->n_vars; i++) {
        if (r->p->vars[i].type == SMI_VAR_MONTH) {
            sm_json_set_text(&w, "month", r->vars[i].as.s);
            break;
        }
    }
    sm_json_set_text(&w, "run", r->id);
    if (inputs.len) {
        sm_json_set_raw(&w, "inputs", inputs);
    }
    sm_json_end_object(&w);
    const sm_str out = sm_arena_str(r->arena, sm_buf_str(&text));
    sm_buf_release(&text);
    return out;
}

sm_str smi_flow_metadata(const smi_flow_run *r)
{
    return smi_flow_metadata_with(r, SM_STR(""));
}

/* ---- sources -------------------------------------------------------------------------------- */

static bool is_dated(const smi_flow_run *r, int32_t source)
{
    bool is_loaded = false;

    for (int32_t i = 0; i < r->p->n_tasks; i++) {
        is_loaded = is_loaded || r->p->tasks[i].source == source;
    }
    return is_loaded || r->p->sources[source].window >= 0;
}

/* Why there is nothing to do, and what there would be. */
static sm_status fail_no_file(const smi_flow_source_state *s, sm_error *e)
{
    char first[SM_TIME_TEXT_BYTES], last[SM_TIME_TEXT_BYTES];
    int32_t low = 0, high = 0;

    if (s->def->window < 0) {
        return sm_fail(e, SM_NOT_FOUND, "no file to read in %.*s", SM_STR_ARG(s->path));
    }
    sm_format_date(s->first_day, first);
    sm_format_date(s->last_day, last);
    const sm_status st = sm_fail(e, SM_NOT_FOUND, "no file in %.*s is dated %s to %s",
                                 SM_STR_ARG(s->path), first, last);
    for (int64_t i = 0; i < s->found.n; i++) {
        const int32_t date = s->found.items[i].date;
        low = i == 0 || date < low ? date : low;
        high = i == 0 || date > high ? date : high;
    }
    if (s->found.n > 0) {
        sm_format_date(low, first);
        sm_format_date(high, last);
        sm_error_todo(e, "Its files are dated %s to %s.", first, last);
    } else {
        sm_error_todo(e, "It has no file whose name matches at all, %" PRId64 " others.",
                      s->found.n_ignored);
    }
    return st;
}

static bool is_in_window(const smi_flow_source_state *s, const sm_found_file *f)
{
    return s->def->window < 0 || (f->date >= s->first_day && f->date <= s->last_day);
}

static sm_status choose_window(smi_flow_run *r, smi_flow_source_state *s, sm_error *e)
{
    int64_t n = 0;

    s->states = SM_NEW_ARRAY(r->arena, smi_flow_file, s->found.n);
    s->by_uri = sm_map_new(r->arena);
    for (int64_t i = 0; i < s->found.n; i++) {
        sm_found_file *f = &s->found.items[i];
        s->states[i].is_in_window = is_in_window(s, f);
        s->states[i].n_lines = -1;
        s->states[i].reader = -1;
        s->states[i].at = i;
        f->file.content_out = &s->states[i].content;
        *sm_map_at(s->by_uri, f->file.uri) = &s->states[i];
        n += s->states[i].is_in_window;
    }
    return n > 0 ? SM_OK : fail_no_file(s, e);
}

/* What plans read: the window's files, but those whose content another one of them has. */
static void choose_files(smi_flow_run *r, smi_flow_source_state *s)
{
    s->files = (sm_files){.items = SM_NEW_ARRAY(r->arena, sm_found_file, s->found.n),
                          .store = s->found.store,
                          .n_ignored = s->found.n_ignored};
    for (int64_t i = 0; i < s->found.n; i++) {
        if (s->states[i].is_in_window &&
            s->quarantine.books.match.files[i].kind != SMI_MATCH_PASSED) {
            s->files.items[s->files.n++] = s->found.items[i];
        }
    }
}

sm_status smi_flow_source_open(smi_flow_run *r, int32_t source, sm_error *e)
{
    smi_flow_source_state *s = &r->sources[source];
    sm_status st = SM_OK;

    if (s->is_open) {
        return SM_OK;
    }
    SM_TRY_GOTO(st, done,
                sm_files_find(r->env->stores, s->path, s->def->match, is_dated(r, source), r->arena,
                              &s->found, e));
    SM_TRY_GOTO(st, done, choose_window(r, s, e));
    SM_TRY_GOTO(st, done, smi_flow_quarantine_match(r, s, e));
    choose_files(r, s);
    s->is_open = true;
done:
    if (st == SM_NOT_FOUND) {
        sm_error_todo(e, "The folder is that of --var %.*s=...", SM_STR_ARG(s->def->name));
    }
    return sm_within(e, st, "source %.*s", SM_STR_ARG(s->def->name));
}

static void init_source(smi_flow_run *r, int32_t i)
{
    smi_flow_source_state *s = &r->sources[i];

    s->def = &r->p->sources[i];
    s->path = r->vars[s->def->var].as.s;
    if (s->def->window >= 0 && parse_month(r->vars[s->def->window].as.s, &s->first_day)) {
        const sm_civil first = sm_civil_from_days(s->first_day);
        s->last_day = s->first_day + sm_days_in_month(first.year, first.month) - 1;
    }
}

/* ---- running plans -------------------------------------------------------------------------- */

sm_status smi_flow_execute(smi_flow_run *r, int32_t task, const sm_plan *plan, const sm_sink *main,
                           sm_error *e)
{
    sm_exec_report report = {0};

    for (int32_t i = 0; i < r->p->n_sources; i++) {
        if (r->asked.sources >> i & 1) {
            SM_TRY(smi_flow_quarantine_open(r, &r->sources[i], e));
        }
    }
    const sm_sink refused = smi_flow_quarantine_sink(r, task);
    const sm_status st = sm_exec_run(plan, r->env, main, &refused, &report, e);
    if (st == SM_OK) {
        smi_flow_report_exec(r, &report);
    }
    sm_quarantine_router_release(&r->refuse.router);
    sm_exec_report_release(&report);
    return st;
}

/* ---- tasks that are made anew ---------------------------------------------------------------- */

bool smi_flow_is_refreshed(const smi_flow_run *r, int32_t task)
{
    return r->opts->refresh.len > 0 && sm_str_eq_nocase(r->opts->refresh, r->p->tasks[task].name);
}

bool smi_flow_is_source_refreshed(const smi_flow_run *r, const smi_flow_source_state *s)
{
    for (int32_t i = 0; i < r->p->n_tasks; i++) {
        if (r->tasks[i].is_chosen && r->p->tasks[i].source == s - r->sources &&
            smi_flow_is_refreshed(r, i)) {
            return true;
        }
    }
    return false;
}

static sm_status check_refresh(const smi_flow_run *r, sm_error *e)
{
    const sm_pipeline *p = r->p;
    sm_str *names = SM_NEW_ARRAY(r->arena, sm_str, p->n_tasks);
    int32_t n = 0;

    for (int32_t i = 0; i < p->n_tasks; i++) {
        const bool is_table = p->tasks[i].kind == SM_TASK_LOAD || p->tasks[i].kind == SM_TASK_TABLE;
        if (is_table && r->tasks[i].is_chosen && smi_flow_is_refreshed(r, i)) {
            return SM_OK;
        }
        if (is_table && r->tasks[i].is_chosen) {
            names[n++] = p->tasks[i].name;
        }
    }
    if (r->opts->refresh.len == 0) {
        return SM_OK;
    }
    const sm_status st = sm_fail(e, SM_USAGE, "no task of this run makes the table \"%.*s\"",
                                 SM_STR_ARG(r->opts->refresh));
    const char *near = sm_nearest_name(r->opts->refresh, names, n);
    if (near) {
        sm_error_todo(e, "Did you mean \"%s\"?", near);
    }
    return st;
}

/* ---- tasks ---------------------------------------------------------------------------------- */

static sm_status run_task(smi_flow_run *r, int32_t i, sm_error *e)
{
    const smi_flow_task *t = &r->p->tasks[i];
    smi_flow_task_state *state = &r->tasks[i];
    const int64_t start = sm_monotonic_ns();
    sm_status st = SM_OK;
    char date[SM_TIME_TEXT_BYTES];

    if (t->kind == SM_TASK_LOAD) {
        st = smi_flow_load_run(r, i, e);
    } else if (t->kind == SM_TASK_TABLE) {
        st = smi_flow_table_run(r, i, e);
    } else if (t->kind == SM_TASK_PUBLISH) {
        st = smi_flow_publish_run(r, i, e);
    }
    if (st == SM_OK && state->candidate) {
        sm_names_set_candidate(r->names, t->name, state->candidate);
    }
    state->wall_ns = sm_monotonic_ns() - start;
    if (st == SM_OK && t->kind == SM_TASK_PUBLISH) {
        smi_flow_report_published(r, i);
    }
    sm_format_date(r->opts->logical_date, date);
    return sm_within(e, st, "task %.*s, run %s of pipeline %.*s", SM_STR_ARG(t->name), date,
                     SM_STR_ARG(r->p->name));
}

/* Of a run, who is told as each task begins. */
typedef struct listener {
    void (*on_task)(void *ctx, sm_str name, int32_t i, int32_t n);
    void *ctx;
    int32_t n_told;
} listener;

/* The chosen tasks in their order: those that make tables, or those that publish them. */
static sm_status run_tasks(smi_flow_run *r, bool publishing, listener *l, sm_error *e)
{
    int32_t n = 0;

    for (int32_t i = 0; i < r->p->n_tasks; i++) {
        n += r->tasks[i].is_chosen;
    }
    for (int32_t i = 0; i < r->p->n_tasks; i++) {
        const bool is_published = r->p->tasks[i].kind == SM_TASK_PUBLISH;
        if (!r->tasks[i].is_chosen || is_published != publishing) {
            continue;
        }
        if (l->on_task) {
            l->on_task(l->ctx, r->p->tasks[i].name, l->n_told, n);
        }
        l->n_told++;
        SM_TRY(run_task(r, i, e));
    }
    return SM_OK;
}

static sm_status make_tables(smi_flow_run *r, listener *l, sm_error *e)
{
    SM_TRY(run_tasks(r, false, l, e));
    for (int32_t i = 0; i < r->p->n_sources; i++) {
        SM_TRY(smi_flow_quarantine_finish(r, &r->sources[i], e));
    }
    return SM_OK;
}

/* ---- publishing ----------------------------------------------------------------------------- */

static sm_status publish(smi_flow_run *r, sm_error *e)
{
    sm_candidate **order = SM_NEW_ARRAY(r->arena, sm_candidate *, r->p->n_sources + r->p->n_tasks);
    int64_t *versions = SM_NEW_ARRAY(r->arena, int64_t, r->p->n_sources + r->p->n_tasks);
    int32_t n = 0;

    for (int32_t i = 0; i < r->p->n_sources; i++) {
        if (r->sources[i].quarantine.candidate) {
            order[n++] = r->sources[i].quarantine.candidate;
        }
    }
    for (int32_t i = 0; i < r->p->n_tasks; i++) {
        if (r->tasks[i].candidate) {
            order[n++] = r->tasks[i].candidate;
        }
    }
    if (sm_cancel_is_set(r->env->cancel)) {
        return sm_fail(e, SM_INTERRUPTED, "interrupted; nothing was published");
    }
    const sm_status st = sm_publish(order, n, r->env->budget, versions, e);
    smi_flow_report_tables(r, order, versions, n);
    return st;
}

/* ---- a run ---------------------------------------------------------------------------------- */

/* What a run before this one has left open comes first: tables are read as they are after it. */
static sm_status settle_lake(smi_flow_run *r, sm_error *e)
{
    sm_str told = {0};

    SM_TRY(sm_lake_settle(r->env->stores, sm_names_lake(r->names), r->env->budget, r->arena, &told,
                          e));
    if (told.len > 0) {
        smi_flow_report_warn(r, "%.*s", SM_STR_ARG(told));
    }
    return SM_OK;
}

static void name_run(smi_flow_run *r)
{
    char date[SM_TIME_TEXT_BYTES];
    uint32_t random = 0;

    sm_random_bytes(&random, sizeof(random));
    sm_format_date(r->opts->logical_date, date);
    r->id = r->opts->run_id.len ? sm_arena_str(r->arena, r->opts->run_id)
                                : sm_arena_strf(r->arena, "%.*s-%s-%08" PRIx32,
                                                SM_STR_ARG(r->p->name), date, random);
}

static sm_status prepare(smi_flow_run *r, sm_error *e)
{
    const sm_pipeline *p = r->p;
    bool *chosen = SM_NEW_ARRAY(r->arena, bool, p->n_tasks);

    name_run(r);
    r->vars = SM_NEW_ARRAY(r->arena, sm_value, p->n_vars);
    r->sources = SM_NEW_ARRAY(r->arena, smi_flow_source_state, p->n_sources);
    r->tasks = SM_NEW_ARRAY(r->arena, smi_flow_task_state, p->n_tasks);
    r->counted = sm_map_new(r->arena);
    SM_TRY(check_var_names(r, e));
    for (int32_t i = 0; i < p->n_vars; i++) {
        SM_TRY(bind_var(r, &p->vars[i], &r->vars[i], e));
    }
    SM_TRY(smi_flow_graph_choose(p, r->opts->task, chosen, e));
    for (int32_t i = 0; i < p->n_tasks; i++) {
        r->tasks[i].is_chosen = chosen[i];
        r->tasks[i].n_rows_before = -1;
    }
    SM_TRY(check_refresh(r, e));
    for (int32_t i = 0; i < p->n_sources; i++) {
        init_source(r, i);
    }
    r->names = smi_flow_names(r);
    SM_TRY(smi_flow_publish_check(r, e));
    return smi_flow_connect(r, e);
}

static void release(smi_flow_run *r)
{
    sm_buf_release(&r->asked.text);
    sm_names_free(r->names);
    for (int32_t i = 0; r->tasks && i < r->p->n_tasks; i++) {
        sm_candidate_release(r->tasks[i].candidate);
    }
    for (int32_t i = 0; r->sources && i < r->p->n_sources; i++) {
        smi_flow_quarantine_release(&r->sources[i].quarantine);
        sm_files_release(&r->sources[i].found);
    }
    sm_arena_free(r->arena);
}

sm_status sm_pipeline_run(sm_pipeline *p, const sm_run_opts *opts, const sm_exec_env *env,
                          void (*on_task)(void *ctx, sm_str name, int32_t i, int32_t n), void *ctx,
                          sm_run_report *report, sm_error *e)
{
    sm_exec_env own = *env; /* its connections are no other run's */
    own.stores = sm_stores_below(env->stores);
    smi_flow_run r = {.p = p,
                      .opts = opts,
                      .env = &own,
                      .arena = sm_arena_new(env->budget),
                      .start_us = sm_now_us(),
                      .start_ns = sm_monotonic_ns(),
                      .report = report};

    listener l = {.on_task = on_task, .ctx = ctx};
    *report = (sm_run_report){.arena = sm_arena_new(NULL)};
    sm_status st = prepare(&r, e);
    if (st == SM_OK) {
        st = settle_lake(&r, e);
    }
    if (st == SM_OK) {
        st = make_tables(&r, &l, e);
        if (st == SM_INTERRUPTED) {
            sm_error_todo(e, "Nothing was published; the same run again does it all.");
        }
        smi_flow_report_sources(&r, st == SM_OK);
    }
    if (st == SM_OK) {
        st = publish(&r, e);
    }
    if (st == SM_OK) {
        st = run_tasks(&r, true, &l, e);
    }
    release(&r);
    report->wall_ns = sm_monotonic_ns() - r.start_ns;
    report->peak_bytes = sm_peak_bytes();
    report->held_bytes = (int64_t)sm_budget_peak(env->budget);
    report->network = sm_stores_network_count(own.stores);
    sm_stores_release(own.stores);
    return st;
}
