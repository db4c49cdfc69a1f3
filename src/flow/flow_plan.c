/* SPDX-License-Identifier: Apache-2.0
 *
 * flow/flow_plan.c: makes a plan of a task's SQL, records what the plan reads, and executes it.
 * Called by flow_load.c, flow_table.c and flow_quarantine.c.
 *
 * Asked  The names' resolver is wrapped to see what the SQL asks for, through views too: tables
 *        (the run's inputs), sources (opened when they are first asked for, and read by the files
 *        of their period), views and variables (which decide a table's rows).
 * Twice  Opening a source while planning changes what names mean, and equal scans are recognised by
 *        the address of their dataset. So the SQL is then planned once more. */
#include "flow/flow_int.h"

/* ---- names ---------------------------------------------------------------------------------- */

sm_names *smi_flow_names(const sm_run *r)
{
    const sm_pipeline *p = r->p;
    sm_names *names = sm_names_new(r->env->stores, r->vars[p->lake].as.s, r->env->budget);

    for (int32_t i = 0; i < p->n_vars; i++) {
        sm_names_set_variable(names, p->vars[i].name, r->vars[i]);
    }
    for (int32_t i = 0; i < p->n_sources; i++) {
        if (p->sources[i].has_unknown) {
            sm_names_set_unknown(names, r->vars[p->sources[i].var].as.s, p->sources[i].unknown);
        }
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

/* ---- what SQL asks for ---------------------------------------------------------------------- */

static void note_table(smi_flow_asking *k, sm_str name)
{
    smi_flow_asked *asked = &k->run->asked;

    for (int64_t i = 0; i < asked->n_tables; i++) {
        if (sm_str_eq_nocase(asked->tables[i], name)) {
            return;
        }
    }
    asked->tables = sm_arena_grow(k->run->arena, asked->tables, asked->n_tables, &asked->cap_tables,
                                  sizeof(*asked->tables));
    asked->tables[asked->n_tables++] = name;
}

static void note_period(sm_run *r, int32_t var)
{
    SM_ASSERT(var < 0 || r->p->vars[var].type == SMI_VAR_MONTH ||
              r->p->vars[var].type == SMI_VAR_DATE);
    if (var >= 0 && r->asked.period < 0) {
        r->asked.period = var;
    }
}

static sm_status ask_table(void *ctx, const sm_str *parts, int32_t n_parts, sm_arena *a,
                           sm_relation *out, sm_error *e)
{
    smi_flow_asking *k = ctx;
    const sm_pipeline *p = k->run->p;

    SM_TRY(k->inner.table(k->inner.ctx, parts, n_parts, a, out, e));
    const sm_str name =
        sm_arena_strf(k->run->arena, "%.*s.%.*s", SM_STR_ARG(parts[0]), SM_STR_ARG(parts[1]));
    const int32_t task = smi_flow_task_find(p, name);
    if (task >= 0 && p->tasks[task].kind == SM_TASK_VIEW) {
        const smi_flow_task_state *view = &k->run->tasks[task];
        out->n_rows = k->has_counted && view->is_counted ? &view->n_rows : NULL;
    } else {
        note_table(k, name);
    }
    return SM_OK;
}

/* A table at a version is read as it is published, and is none of what the run makes. */
static sm_status ask_table_at(void *ctx, const sm_str *parts, int32_t n_parts,
                              const sm_table_arg *at, sm_arena *a, sm_relation *out, sm_error *e)
{
    smi_flow_asking *k = ctx;

    k->run->asked.reads_paths = true;
    return k->inner.table_at(k->inner.ctx, parts, n_parts, at, a, out, e);
}

static sm_status ask_source(smi_flow_asking *k, int32_t i, sm_error *e)
{
    smi_flow_source_state *s = &k->run->sources[i];

    _Static_assert(SMI_MAX_SOURCES < 32, "a bit for each source, and one to shift by");
    k->run->asked.sources |= 1u << i;
    note_period(k->run, s->def->period);
    if (i == k->own || s->is_open) {
        return SM_OK;
    }
    k->run->asked.has_opened_one = true;
    return smi_flow_source_open(k->run, i, e);
}

/* The place of a path; "" where no store has such paths. */
static sm_str place_of(sm_run *r, sm_str path)
{
    sm_store *store = NULL;
    sm_error ignored = {0};

    if (sm_store_open(r->env->stores, path, &store, &ignored) != SM_OK) {
        return SM_STR("");
    }
    const sm_str place = sm_store_place(store, r->arena);
    SM_ASSERT(place.len > 0);
    sm_store_release(store);
    return place;
}

/* Notes a table that this run makes, and that is named by its path. */
static void note_path(sm_run *r, sm_str path)
{
    const sm_str place = place_of(r, path);

    for (int32_t i = 0; i < r->p->n_tasks && place.len > 0; i++) {
        const smi_flow_task *t = &r->p->tasks[i];
        const bool is_made = t->kind == SM_TASK_LOAD || t->kind == SM_TASK_TABLE;
        sm_str uri;
        sm_error ignored = {0};
        if (is_made && r->tasks[i].is_chosen &&
            sm_names_uri(r->names, t->name, r->arena, &uri, &ignored) == SM_OK &&
            sm_place_is_same(place, place_of(r, uri))) {
            r->asked.by_path = i;
        }
    }
}

/* By its path a table is read as it is published: one run behind, if this run makes it. A task that
 * reads its own table so means that. */
static void warn_of_path(sm_run *r, int32_t task)
{
    const int32_t of = r->asked.by_path;

    SM_ASSERT(of < r->p->n_tasks && task >= 0 && task < r->p->n_tasks);
    if (of >= 0 && of != task) {
        const sm_str made = r->p->tasks[of].name;
        smi_flow_report_warn(r,
                             "%.*s names %.*s by its path, and reads it as it was before this run: "
                             "by its name it reads what this run makes",
                             SM_STR_ARG(r->p->tasks[task].name), SM_STR_ARG(made));
    }
}

static sm_status ask_function(void *ctx, sm_str name, const sm_table_arg *args, int32_t n_args,
                              sm_arena *a, sm_relation *out, sm_error *e)
{
    smi_flow_asking *k = ctx;
    bool is_source = false;

    const bool is_table = name.len == 0 || sm_str_is(name, "delta_scan");
    if (is_table && n_args == 1 && args[0].value.type->id == SM_TYPE_STRING &&
        !args[0].value.is_null) { /* more arguments say of which version */
        note_path(k->run, args[0].value.as.s);
    }
    for (int32_t i = 0; i < k->run->p->n_sources && n_args > 0; i++) {
        const sm_value *v = &args[0].value;
        if (v->type->id == SM_TYPE_STRING && !v->is_null &&
            sm_str_eq(v->as.s, k->run->sources[i].path)) {
            SM_TRY(ask_source(k, i, e));
            is_source = sm_str_starts(name, SM_STR("read_"));
        }
    }
    k->run->asked.reads_paths = k->run->asked.reads_paths || !is_source;
    return k->inner.function(k->inner.ctx, name, args, n_args, a, out, e);
}

static sm_status ask_variable(void *ctx, sm_str name, sm_arena *a, sm_value *out, sm_error *e)
{
    smi_flow_asking *k = ctx;
    const sm_pipeline *p = k->run->p;

    SM_TRY(k->inner.variable(k->inner.ctx, name, a, out, e));
    for (int32_t i = 0; i < p->n_vars; i++) {
        const smi_flow_var_type type = p->vars[i].type;
        if (sm_str_eq(p->vars[i].name, name) && (type == SMI_VAR_MONTH || type == SMI_VAR_DATE)) {
            note_period(k->run, i);
        }
    }
    sm_buf_printf(&k->run->asked.text, "variable %.*s ", SM_STR_ARG(name));
    sm_value_print(*out, &k->run->asked.text);
    sm_buf_text(&k->run->asked.text, SM_STR("\n"));
    return SM_OK;
}

/* ---- planning ------------------------------------------------------------------------------- */

static void forget_asked(sm_run *r)
{
    sm_buf_release(&r->asked.text);
    r->asked = (smi_flow_asked){.period = -1, .by_path = -1};
}

/* Names read the period's files in place of each open source's folder. Set only if changed, because
 * setting them makes the names forget their datasets. */
static void set_sources(sm_run *r, sm_names *names, int32_t own)
{
    for (int32_t i = 0; i < r->p->n_sources; i++) {
        smi_flow_source_state *s = &r->sources[i];
        if (i != own && s->is_open && sm_names_files(names, s->path) != &s->files) {
            sm_names_set_files(names, s->path, &s->files, NULL);
        }
    }
}

static sm_resolver asking_resolver(smi_flow_asking *k)
{
    k->inner = sm_names_resolver(k->names);
    return (sm_resolver){
        .ctx = k,
        .table = ask_table,
        .table_at = ask_table_at,
        .function = ask_function,
        .variable = ask_variable,
    };
}

sm_resolver smi_flow_asking_init(smi_flow_asking *k, sm_run *r, sm_names *names)
{
    *k = (smi_flow_asking){.run = r, .names = names, .own = -1};
    return asking_resolver(k);
}

void smi_flow_asking_reset(smi_flow_asking *k)
{
    forget_asked(k->run);
    set_sources(k->run, k->names, k->own);
}

sm_status smi_flow_plan(sm_run *r, sm_names *names, const smi_flow_task *t, sm_arena *a,
                        const sm_plan **out, sm_error *e)
{
    SM_ASSERT(!names || names != r->names);
    smi_flow_asking k = {
        .run = r, .names = names ? names : r->names, .own = names ? t->source : -1};
    const sm_resolver resolver = asking_resolver(&k);
    sm_statement *select = NULL;

    do {
        smi_flow_asking_reset(&k);
        SM_TRY(sm_query_select(&t->sql, &resolver, smi_flow_keeps_unknown(r, t), a, &select, e));
    } while (r->asked.has_opened_one);
    r->asked.select = select;
    *out = select->plan;
    return SM_OK;
}

sm_status smi_flow_bind(sm_run *r, const smi_flow_expression *x, const sm_type *schema, sm_arena *a,
                        const sm_expr **out, sm_error *e)
{
    smi_flow_asking k;
    const sm_resolver resolver = smi_flow_asking_init(&k, r, r->names);
    const sm_sql sql = {.name = r->p->path, .text = x->text};
    const sm_status st = sm_query_expr(&sql, schema, &resolver, a, out, e);
    sm_yaml_place at = x->at;

    if (st == SM_OK) {
        return SM_OK;
    }
    if (e && e->line > 0) { /* a place in the text becomes one in the file */
        at.byte += e->line == 1 ? e->byte - 1 : 0;
        e->line = 0;
        e->byte = -1;
    }
    return sm_within(e, smi_flow_at(r->p, at, st, e), "%s", x->key);
}

/* ---- executing ------------------------------------------------------------------------------ */

sm_status smi_flow_execute(sm_run *r, int32_t task, const sm_plan *plan, const sm_sink *main,
                           const smi_flow_sides *sides, sm_exec_report *report, sm_error *e)
{
    static const smi_flow_sides none = {0};
    sm_exec_report own = {0};

    SM_ASSERT(r->tasks[task].phase == SMI_TASK_RUNNING);
    warn_of_path(r, task);
    for (int32_t i = 0; i < r->p->n_sources; i++) {
        if (r->asked.sources >> i & 1) {
            SM_TRY(smi_flow_quarantine_open(r, &r->sources[i], e));
        }
    }
    SM_ASSERT(r->asked.sources >> r->p->n_sources == 0);
    const sm_sink refused = smi_flow_quarantine_sink(r, task);
    report = report ? report : &own;
    sides = sides ? sides : &none;
    const sm_outputs to = {.main = main,
                           .refused = &refused,
                           .sides = sides->to,
                           .n_sides = sides->n,
                           .side_lines = sides->lines};
    const sm_status st = sm_exec_run_to(plan, r->env, &to, report, e);
    if (st == SM_OK) {
        smi_flow_report_exec(r, task, report);
        if (main && r->p->tasks[task].kind == SM_TASK_LOAD) {
            smi_flow_drift_take(r, task, report);
        }
    }
    sm_quarantine_router_release(&r->refuse.router);
    sm_exec_report_release(&own);
    return st;
}

/* ---- into a table --------------------------------------------------------------------------- */

sm_status smi_flow_stage_open(sm_run *r, const smi_flow_task *t, sm_write *w, const sm_type *schema,
                              sm_stage **out, sm_error *e)
{
    w->partition_by = t->partition_by;
    w->n_partition_by = t->n_partition_by;
    w->properties = t->properties;
    w->n_properties = t->n_properties;
    const sm_status st = sm_stage_open(w, schema, r->env, out, e);
    /* The columns that files are split by are known to be there. */
    return st == SM_NAME && t->n_partition_by > 0 ? smi_flow_at(r->p, t->partition_at, st, e) : st;
}

sm_status smi_flow_execute_into(smi_flow_guard *rows, sm_stage *stage, sm_error *e)
{
    sm_run *r = rows->run;
    const sm_sink sink = sm_stage_sink(stage);
    const sm_plan *plan = NULL;
    smi_flow_sides sides = {0};
    sm_arena *a = sm_arena_new(r->env->budget);

    sm_status st = sm_stage_arrange(stage, rows->plan, a, &plan, e);
    if (st == SM_OK) {
        st = smi_flow_sides_open(rows, a, &sides, e);
    }
    if (st == SM_OK) {
        st = smi_flow_execute(r, rows->task, plan, &sink, &sides, &rows->report, e);
    }
    smi_flow_sides_close(&sides);
    sm_arena_free(a);
    return st;
}

/* ---- rows that are replaced ----------------------------------------------------------------- */

static sm_status bind_rows(void *ctx, const sm_type *columns, sm_arena *a, const sm_expr **out,
                           sm_error *e)
{
    const smi_flow_rows *rows = ctx;
    SM_ASSERT(rows->n > 0); /* a replacement always names values */
    const int32_t column = sm_type_find(columns, rows->column);

    if (column < 0) {
        return sm_fail(e, SM_NAME, "no column \"%.*s\", whose rows are to be replaced",
                       SM_STR_ARG(rows->column));
    }
    const sm_expr **args = SM_NEW_ARRAY(a, const sm_expr *, rows->n + 1);
    args[0] = sm_expr_column(columns, column, a);
    for (int64_t i = 0; i < rows->n; i++) {
        args[1 + i] = sm_expr_constant(rows->values[i], a);
    }
    return rows->n == 1 ? sm_expr_call("=", args, 2, a, out, e)
                        : sm_expr_in(args, (int32_t)rows->n + 1, a, out, e);
}

sm_condition smi_flow_condition(const smi_flow_rows *rows)
{
    return (sm_condition){.ctx = (void *)rows, .bind = bind_rows};
}

/* ---- where columns come from ---------------------------------------------------------------- */

const sm_plan_node *smi_flow_plan_scan(const sm_plan *plan)
{
    const sm_plan_node *n = plan->root;

    while (n->kind == SM_PLAN_PROJECT || n->kind == SM_PLAN_FILTER) {
        n = n->inputs[0];
    }
    return n->kind == SM_PLAN_SCAN && plan->n_params == 0 ? n : NULL;
}

/* The names of the way to an output column; 0 where it has none (smi_flow_plan_path). */
static int32_t plan_names(const sm_plan *plan, int32_t column, sm_arena *a, sm_str **names)
{
    const sm_plan_node *scan = NULL;

    SM_ASSERT(column >= 0 && column < plan->root->schema->n_fields);
    return smi_flow_plan_scan(plan) ? sm_plan_way(plan->root, column, a, names, &scan) : 0;
}

bool smi_flow_fit(sm_names *names, const sm_plan *plan, const sm_snapshot *table, sm_arena *a)
{
    const sm_plan_node *scan = smi_flow_plan_scan(plan);
    const sm_type *there = table ? sm_snapshot_metadata(table)->schema : NULL;
    const sm_type *rows = plan->root->schema;
    bool has_changed = false;

    for (int32_t i = 0; there && scan && i < rows->n_fields; i++) {
        const int32_t at = sm_type_find(there, rows->fields[i].name);
        sm_str *way = NULL;
        const int32_t n = at >= 0 ? plan_names(plan, i, a, &way) : 0;
        if (n > 0) {
            has_changed |=
                sm_names_fit_table(names, scan->as.scan.dataset, way, n, there->fields[at].type);
        }
    }
    return has_changed;
}

bool smi_flow_place_unlike(const sm_plan *plan, const sm_snapshot *table, sm_error *e)
{
    const sm_type *there = sm_snapshot_metadata(table)->schema, *rows = plan->root->schema;
    const sm_plan_node *scan = smi_flow_plan_scan(plan);
    sm_arena *a = sm_arena_new(NULL);
    sm_str file = {0};

    for (int32_t i = 0; scan && i < there->n_fields && file.len == 0; i++) {
        const sm_type *type = there->fields[i].type;
        const int32_t at = sm_type_find(rows, there->fields[i].name);
        sm_str *way = NULL;
        const bool is_other = at >= 0 && !sm_type_eq(sm_type_widen(a, rows->fields[at].type), type);
        const int32_t n = is_other ? plan_names(plan, at, a, &way) : 0;
        if (n > 0) {
            file = sm_names_unlike_file(scan->as.scan.dataset, way, n, type);
        }
    }
    if (file.len > 0) {
        sm_error_place_str(e, file, 0, -1);
    }
    sm_arena_free(a);
    return file.len > 0;
}

bool smi_flow_plan_path(const sm_plan *plan, int32_t column, sm_arena *a, sm_str *out)
{
    sm_str *names = NULL;
    const int32_t n = plan_names(plan, column, a, &names);

    for (int32_t i = 0; i < n; i++) {
        *out = i == 0 ? names[0]
                      : sm_arena_strf(a, "%.*s.%.*s", SM_STR_ARG(*out), SM_STR_ARG(names[i]));
    }
    return n > 0;
}

/* ---- what SQL may take from a file's name ---------------------------------------------------- */

bool smi_flow_may_take_name(const sm_pipeline *p, const smi_flow_task *t)
{
    static const char option[] = "filename";
    bool may = false;

    for (int32_t i = 0; i < p->n_tasks && !may; i++) {
        const sm_str text = p->tasks[i].sql.text;
        may = (p->tasks[i].kind == SM_TASK_VIEW || &p->tasks[i] == t) &&
              memmem(text.data, text.len, option, sizeof(option) - 1);
    }
    return may;
}
