/* SPDX-License-Identifier: Apache-2.0
 *
 * flow/flow_replay.c: tries again what a quarantine has of a table, after its SQL, its contract or
 * the types of its columns were mended. Called by `smelt replay`.
 *
 * Lines    of a file become a text that is read by the load's SQL in the place of the file, under
 *          its URI and date: what SQL takes of a file's name is as it was.
 * Rows     that broke a rule are JSON of the columns that the SQL gives. They are read as such, and
 *          only the contract looks at them.
 * One pass Both are one plan (UNION ALL), so that a rule over several rows sees them all. Each row
 *          has its origin with it: a line of one of the texts, which is a row of the quarantine
 *          (flow_replay_rows.c). What is refused again, or leaves again, stays there; all others
 *          are taken in. A line that WHERE leaves out is taken in too, and makes no row, as in a
 *          load.
 * Rounds   Where rows take the place of others, those of each run are tried by themselves, the
 *          first run first, as they would have come: what one key got in two runs is merged in this
 *          order. Else there is one round.
 * Once     The rows that pass in a round, and the quarantine with its column `replayed`, are one
 *          publication, with the books of both as they are: killed anywhere, the round is done or
 *          not. Another run that writes one of them meanwhile is a conflict.
 * Whose    Only what the table lacks of what it was made from: lines and rows of files that it has
 *          loaded, as they were loaded; of a table that is overwritten as a whole, the rows of the
 *          run that made what it has now; of one to which rows are added, those of runs that added
 *          some. All else comes by itself, with its file or its value, when the pipeline is run.
 *          Of the rows of a value (`replace`) those of its last run, as far as the log says it.
 *          A history by dates takes rows of its last date alone: what it says of the days before
 *          cannot be told anew. */
#include <inttypes.h>

#include "base/json_doc.h"
#include "base/text.h"
#include "base/time.h"
#include "flow/flow_replay_int.h"

static const char *const whys[] = {
    [SMI_WHY_CUT] = "are cut at 65,536 bytes, and their line cannot be read from its file",
    [SMI_WHY_OTHER_COLUMNS] = "have other columns than the SQL gives now",
    [SMI_WHY_OTHER_RUN] = "are of other runs than those that made the table's rows",
    [SMI_WHY_OTHER_FILE] =
        "are of files that the table has not loaded, or has loaded with other content",
    [SMI_WHY_UNKNOWN_RUN] = "are of runs of which the table's log does not say what they wrote",
    [SMI_WHY_EARLIER] = "are of earlier dates than the history goes to: --full-refresh the table "
                        "with the first date, then run the others",
    [SMI_WHY_NO_LOAD] = "are lines, and the task is no load",
    [SMI_WHY_BYTES] = "have a BLOB within a list or struct, which does not come back from JSON",
};

void sm_replay_report_release(sm_replay_report *r)
{
    sm_run_report_release(&r->run);
    *r = (sm_replay_report){0};
}

/* ---- what there is --------------------------------------------------------------------------- */

/* Do rows take the place of others? */
static bool goes_by_runs(const smi_flow_task *t)
{
    return t->merge || t->replace >= 0;
}

/* Can rows be added to the task's table? */
static sm_status check_task(const smi_replay *p, sm_error *e)
{
    const smi_flow_task *t = p->t;
    sm_status st = SM_OK;

    if (t->kind != SM_TASK_LOAD && t->kind != SM_TASK_TABLE) {
        st = sm_fail(e, SM_UNSUPPORTED, "%.*s is no table that the pipeline writes",
                     SM_STR_ARG(t->name));
    } else if (t->replaces_partitions) {
        st = sm_fail(e, SM_UNSUPPORTED,
                     "rows cannot be added to %.*s, which replaces the partitions of its rows",
                     SM_STR_ARG(t->name));
        sm_error_todo(e, "Run the task again: it makes these partitions anew.");
    }
    return smi_flow_at(p->run->p, t->at, st, e);
}

static sm_status open_tables(smi_replay *p, sm_error *e)
{
    sm_run *r = p->run;
    const sm_str quarantine = smi_flow_quarantine_of(r->p, p->t);
    sm_str uri;

    if (quarantine.len > 0) {
        SM_TRY(sm_names_uri(r->names, quarantine, r->arena, &uri, e));
        SM_TRY(smi_flow_books_open(r, quarantine, uri, false, &p->quarantine, e));
    }
    SM_TRY(sm_names_uri(r->names, p->t->name, r->arena, &uri, e));
    SM_TRY(smi_flow_books_open(r, p->t->name, uri, false, &p->table, e));
    p->out->quarantine = sm_arena_str(r->report->arena, quarantine);
    if (!p->quarantine.snapshot || !p->table.snapshot) {
        const sm_status st = sm_fail(e, SM_NOT_FOUND, "%.*s has no %s", SM_STR_ARG(p->t->name),
                                     quarantine.len == 0       ? "quarantine"
                                     : !p->quarantine.snapshot ? "quarantine yet"
                                                               : "rows yet: run the pipeline");
        return smi_flow_at(r->p, p->t->at, st, e);
    }
    return SM_OK;
}

static void close_tables(smi_replay *p)
{
    smi_flow_books_release(&p->table);
    smi_flow_books_release(&p->quarantine);
}

/* The run that made the table's rows last, or whose rows were replayed last. */
static sm_status last_run(smi_replay *p, sm_str *out, sm_error *e)
{
    SM_TRY(smi_flow_books_last(p->run, p->table.store, "replayed_of", out, e));
    return out->len > 0 ? SM_OK : smi_flow_books_last(p->run, p->table.store, "run", out, e);
}

/* Which run made the rows of a table that is overwritten as a whole. */
static sm_status find_maker(smi_replay *p, sm_error *e)
{
    p->made_by = p->of_run;
    return p->t->kind == SM_TASK_TABLE && p->t->append < 0 && p->of_run.len == 0
               ? last_run(p, &p->made_by, e)
               : SM_OK;
}

/* ---- a run's rows ---------------------------------------------------------------------------- */

/* Has the version put rows in the place of some, and kept others? */
static sm_status replaces_some(const smi_replay *p, int64_t version, bool *out, sm_error *e)
{
    sm_delta_commit_info info;
    const sm_json *parameters = NULL;
    sm_error ignored = {0};
    int64_t txn = -1;

    SM_TRY(sm_delta_info_read(p->table.store, version, SM_STR(""), p->a, &info, &txn, e));
    *out = info.parameters_json.len > 0 &&
           sm_json_parse(info.parameters_json, p->a, &parameters, &ignored) == SM_OK &&
           sm_json_get(parameters, "predicate");
    return SM_OK;
}

/* smi_flow_past_find(), which goes on behind a commit that has replaced the rows of a value. */
static sm_status find_past(const smi_replay *p, const char *key, sm_str text, smi_flow_past *out,
                           sm_error *e)
{
    int64_t version = sm_snapshot_version(p->table.snapshot);
    bool goes_on = false;

    do {
        SM_TRY(smi_flow_past_find(p->run, p->table.store, version, key, text, out, e));
        goes_on = false;
        const bool ended = out->kind == SMI_PAST_OVERWRITTEN || out->kind == SMI_PAST_NONE;
        if (ended && out->version > 0) {
            version = out->version - 1;
            SM_TRY(replaces_some(p, out->version, &goes_on, e));
        }
    } while (goes_on);
    return SM_OK;
}

/* What the commit of the round's run says of a key. *version −1: the log has no such commit of rows
 * that the table has. */
static sm_status run_word(const smi_replay *p, const char *key, sm_str *out, int64_t *version,
                          sm_error *e)
{
    sm_run *r = p->run;
    smi_flow_past past = {0};
    sm_delta_commit_info info;
    int64_t txn = -1;

    *out = (sm_str){0};
    *version = -1;
    SM_TRY(find_past(p, "run", p->of_run, &past, e));
    if (past.kind != SMI_PAST_FOUND) {
        return SM_OK;
    }
    *version = past.version;
    SM_TRY(sm_delta_info_read(p->table.store, past.version, SM_STR(""), p->a, &info, &txn, e));
    const sm_json *smelt = smi_flow_smelt_member(info.json, p->a);
    *out = sm_arena_str(r->arena, sm_json_text(sm_json_get(smelt, key)));
    return SM_OK;
}

/* The table has rows of a value by the last run of it alone. */
static sm_status learn_replaced(smi_replay *p, sm_error *e)
{
    smi_flow_past past = {0};
    int64_t version = -1;
    sm_str value;

    SM_TRY(run_word(p, "replaced", &value, &version, e));
    if (value.len == 0) {
        p->why_none = SMI_WHY_UNKNOWN_RUN;
        return SM_OK;
    }
    SM_TRY(find_past(p, "replaced", value, &past, e));
    if (past.kind != SMI_PAST_FOUND || past.version != version) {
        p->why_none = SMI_WHY_OTHER_RUN;
    }
    return SM_OK;
}

/* A history whose rows are of the runs' dates: these rows must be of its last one, and are merged
 * as of it. Where rows have times of their own, no commit says one. */
static sm_status learn_history(smi_replay *p, sm_error *e)
{
    sm_run *r = p->run;
    smi_flow_past past = {0};
    int64_t version = -1;
    int32_t day = 0;
    sm_str order;

    SM_TRY(find_past(p, "merged", (sm_str){0}, &past, e));
    if (past.kind != SMI_PAST_FOUND && p->t->merge->at.text.len > 0) {
        return SM_OK;
    }
    SM_TRY(run_word(p, "merged", &order, &version, e));
    if (order.len == 0 || past.kind != SMI_PAST_FOUND) {
        p->why_none = SMI_WHY_UNKNOWN_RUN;
    } else if (!sm_str_eq(order, past.text)) {
        p->why_none = SMI_WHY_EARLIER;
    } else if (p->t->merge->at.text.len == 0 && sm_parse_date(order, &day)) {
        r->own_opts.interval.start_us = (int64_t)day * INT64_C(86400000000);
    }
    p->order = order;
    return SM_OK;
}

/* Without a condition the row that is merged last wins, which is now that of an earlier run. */
static void warn_of_order(const smi_replay *p)
{
    const smi_flow_task *t = p->t;

    if (t->merge->update_when.text.len == 0 && !sm_str_eq(p->last, p->of_run)) {
        smi_flow_report_warn(p->run,
                             "rows of the run %.*s were merged into %.*s after those of %.*s: "
                             "where both have a key, the older row is there now (update_when "
                             "decides)",
                             SM_STR_ARG(p->of_run), SM_STR_ARG(t->name), SM_STR_ARG(p->last));
    }
}

/* What is known of the run whose rows the round tries. */
static sm_status learn_run(smi_replay *p, sm_error *e)
{
    p->why_none = SMI_WHY_NONE;
    if (p->of_run.len == 0) {
        return SM_OK;
    }
    if (p->t->replace >= 0) {
        return learn_replaced(p, e);
    }
    return p->t->merge->is_history ? learn_history(p, e) : SM_OK;
}

/* ---- the plan -------------------------------------------------------------------------------- */

/* The texts of the lines, as the source's files. */
static void line_files(const smi_replay *p, sm_files *out)
{
    *out = (sm_files){.items = SM_NEW_ARRAY(p->a, sm_found_file, p->n_files + 1),
                      .store = p->line_out.store};
    for (int64_t i = 0; i < p->n_files; i++) {
        sm_found_file *f = &out->items[out->n++];
        sm_str folder;
        sm_uri_split(p->files[i]->uri, &folder, &f->name);
        (void)sm_date_in_name(f->name, &f->date, &f->has_date);
        f->file = smi_replay_file(p, &p->line_out, p->files[i]);
    }
}

/* The columns that were found in the files of earlier loads; NULL: they are declared. */
static sm_status found_columns(const smi_replay *p, const sm_type **out, sm_error *e)
{
    *out = NULL;
    for (int32_t i = 0; i < p->table.n_roots && !*out; i++) {
        if (p->table.roots[i].columns.len > 0) {
            SM_TRY(sm_type_parse(p->table.roots[i].columns, p->a, out, e));
        }
    }
    return SM_OK;
}

/* Plans the task's SQL over the lines. *out: its rows with their origin; NULL: it is no load. */
static sm_status plan_lines(smi_replay *p, const sm_plan_node **out, sm_error *e)
{
    sm_run *r = p->run;
    const sm_plan *plan = NULL;
    const sm_type *known = NULL;
    sm_files *files = SM_NEW(p->a, sm_files);

    *out = NULL;
    if (p->t->kind != SM_TASK_LOAD) {
        return smi_flow_plan(r, NULL, p->t, p->a, &plan, e);
    }
    SM_TRY(smi_replay_sort_lines(p, e));
    line_files(p, files);
    SM_TRY(found_columns(p, &known, e));
    sm_names_set_files(p->names, r->sources[p->t->source].path, files, known);
    SM_TRY(smi_flow_plan(r, p->names, p->t, p->a, &plan, e));
    if (smi_flow_fit(p->names, plan, p->table.snapshot, p->a)) {
        SM_TRY(smi_flow_plan(r, p->names, p->t, p->a, &plan, e));
    }
    *out = sm_plan_with_origin(r->asked.select->target, p->a);
    if (!*out) {
        const sm_status st =
            sm_fail(e, SM_INVALID, "%.*s cannot be loaded line by line", SM_STR_ARG(p->t->name));
        sm_error_place(e, p->t->sql.name.data, 0, -1);
        return st;
    }
    return SM_OK;
}

/* Are there bytes in it, within a list or struct? They do not come back from JSON. */
static bool has_inner_bytes(const sm_type *t, bool is_inner)
{
    bool has = is_inner && t->id == SM_TYPE_BINARY;

    for (int32_t i = 0; i < t->n_fields && !has; i++) {
        has = has_inner_bytes(t->fields[i].type, true);
    }
    return has;
}

/* The columns as they are read. */
static const sm_type *read_columns(const smi_replay *p, const sm_type *columns)
{
    sm_field *fields = SM_NEW_ARRAY(p->a, sm_field, columns->n_fields + 1);

    for (int32_t i = 0; i < columns->n_fields; i++) {
        fields[i] = columns->fields[i];
        fields[i].is_nullable = true;
        fields[i].type = smi_replay_is_cast(fields[i].type) ? &sm_type_string : fields[i].type;
    }
    return sm_type_struct(p->a, fields, columns->n_fields);
}

/* The columns as the SQL gives them, of those that are read, and the origin behind them. */
static sm_status cast_columns(const smi_replay *p, const sm_plan_node *in, const sm_type *columns,
                              const sm_plan_node **out, sm_error *e)
{
    const int32_t n = in->schema->n_fields;
    const sm_expr **exprs = SM_NEW_ARRAY(p->a, const sm_expr *, n);
    sm_str *names = SM_NEW_ARRAY(p->a, sm_str, n);

    for (int32_t i = 0; i < n; i++) {
        exprs[i] = sm_expr_column(in->schema, i, p->a);
        names[i] = in->schema->fields[i].name;
        if (i < columns->n_fields && smi_replay_is_cast(columns->fields[i].type)) {
            SM_TRY(sm_expr_cast(exprs[i], columns->fields[i].type, false, p->a, &exprs[i], e));
        }
    }
    *out = sm_plan_project(in, exprs, names, n, p->a);
    return SM_OK;
}

/* The rows, read as JSON of the columns that the SQL gives. */
static sm_status plan_rows(smi_replay *p, const sm_plan_node **out, sm_error *e)
{
    sm_dataset *d = SM_NEW(p->a, sm_dataset);

    SM_ASSERT(p->rows && p->rows->n > 0);
    *d = (sm_dataset){.format = sm_format_named(SM_STR("json")),
                      .schema = read_columns(p, p->columns),
                      .files = SM_NEW(p->a, sm_datafile),
                      .n_files = 1};
    d->files[0] = smi_replay_file(p, &p->row_out, p->rows);
    const sm_relation rows = {
        .dataset = d, .label = p->rows->uri, .keep_refused = true, .validate_all = true};
    return cast_columns(p, sm_plan_with_origin(sm_plan_scan(&rows, false, p->a), p->a), p->columns,
                        out, e);
}

/* Lines and rows as one plan; NULL: nothing is to be tried. */
static sm_status plan_all(smi_replay *p, const sm_plan_node **out, sm_error *e)
{
    const sm_plan_node *lines = NULL, *rows = NULL;

    SM_TRY(plan_lines(p, &lines, e));
    p->columns = p->run->asked.select->target->schema;
    for (int32_t i = 0; i < p->columns->n_fields; i++) {
        p->has_inner_bytes |= has_inner_bytes(p->columns->fields[i].type, false);
    }
    SM_TRY(smi_replay_sort_rows(p, e));
    if (p->rows) {
        SM_TRY(plan_rows(p, &rows, e));
    }
    lines = p->n_files > 0 ? lines : NULL;
    *out = lines ? lines : rows;
    return lines && rows ? sm_plan_union(lines, rows, p->a, out, e) : SM_OK;
}

/* ---- the pass -------------------------------------------------------------------------------- */

/* A sink of rows that stay in the quarantine, and where their file and line are. */
typedef struct staying {
    smi_replay *p;
    int32_t file, line;
} staying;

static sm_status push_staying(void *ctx, sm_batch *rows, sm_waker waker, sm_error *e)
{
    const staying *s = ctx;

    for (int64_t i = 0; i < rows->n_rows; i++) {
        smi_replay_refuse(s->p, sm_column_str(&rows->columns[s->file], i),
                          sm_column_value(&rows->columns[s->line], i).as.i);
    }
    return SM_OK;
}

/* Sinks of all that a guard takes away. */
static sm_outputs side_outputs(smi_replay *p, const smi_flow_guard *g)
{
    const int32_t n = g->guard ? sm_guard_sides(g->guard) : 0;
    staying *ctxs = SM_NEW_ARRAY(p->a, staying, n + 1);
    sm_sink *sinks = SM_NEW_ARRAY(p->a, sm_sink, n + 1);
    const sm_sink **to = SM_NEW_ARRAY(p->a, const sm_sink *, n + 1);
    int32_t *lines = SM_NEW_ARRAY(p->a, int32_t, n + 1);

    SM_ASSERT(n >= 0 && (n == 0 || p->t->quarantine.len > 0));
    for (int32_t i = 0; i < n; i++) {
        const int32_t origin = sm_origin_find(sm_guard_leaves(g->guard, i));
        SM_ASSERT(origin >= 0);
        ctxs[i] = (staying){p, origin + SM_ORIGIN_FILE, origin + SM_ORIGIN_LINE};
        sinks[i] = (sm_sink){.ctx = &ctxs[i], .push = push_staying};
        to[i] = &sinks[i];
        lines[i] = ctxs[i].line;
    }
    return (sm_outputs){.sides = to, .n_sides = n, .side_lines = lines};
}

static sm_status run_into(smi_replay *p, smi_flow_guard *g, sm_stage *stage, sm_error *e)
{
    staying refused = {p, SM_REFUSED_OUT_FILE, SM_REFUSED_OUT_FIRST + SM_REFUSED_LINE};
    const sm_sink main = sm_stage_sink(stage);
    const sm_sink stays = {.ctx = &refused, .push = push_staying};
    const sm_plan *plan = NULL;
    sm_outputs to = side_outputs(p, g);

    to.main = &main;
    to.refused = &stays;
    SM_TRY(sm_stage_arrange(stage, g->plan, p->a, &plan, e));
    return sm_exec_run_to(plan, p->run->env, &to, &g->report, e);
}

/* What the commit of the table says beside its run. */
static sm_str member_of(const smi_replay *p, int64_t n_replayed)
{
    sm_buf text = {0};
    sm_json_writer w = {.out = &text};

    sm_json_set_i64(&w, "replayed", n_replayed);
    if (p->made_by.len > 0) {
        sm_json_set_text(&w, "replayed_of", p->made_by);
    }
    return sm_arena_take(p->a, &text);
}

/* Counts what has become of the round's rows; returns how many are taken in. */
static int64_t count_outcomes(smi_replay *p)
{
    int64_t n[3] = {0};

    SM_ASSERT(p->n == (int64_t)p->outcomes.len);
    for (int64_t i = 0; i < p->n; i++) {
        n[p->outcomes.data[i]]++;
    }
    p->out->n_replayed += n[SMI_TAKEN_IN];
    p->out->n_refused += n[SMI_REFUSED];
    p->out->n_not_replayed += n[SMI_LEFT_OUT];
    return n[SMI_TAKEN_IN];
}

/* What is staged of a round. */
typedef struct staging {
    smi_flow_guard g;
    smi_flow_merging merging; /* of a task that merges */
    sm_write write;
    sm_stage *stage;
    sm_candidate *c;
} staging;

/* Rows with times that are not those of their run would say something else than they do. */
static sm_status check_order(const smi_replay *p, const smi_flow_merging *m, sm_error *e)
{
    if (m->order.len == 0 || !p->t->merge->is_history || sm_str_eq(m->order, p->order)) {
        return SM_OK;
    }
    const sm_status st =
        sm_fail(e, SM_INVALID, "the rows of the run %.*s are so since %.*s, and `at` says %.*s",
                SM_STR_ARG(p->of_run), SM_STR_ARG(p->order), SM_STR_ARG(m->order));
    sm_error_todo(e, "Give --date or --var as that run had them.");
    return smi_flow_at(p->run->p, p->t->merge->at.at, st, e);
}

static sm_status bind_merge(smi_replay *p, staging *s, sm_error *e)
{
    sm_snapshot *there = p->table.snapshot;

    SM_TRY(smi_flow_merge_bind(p->run, p->task, s->g.plan, there, p->a, &s->merging, e));
    SM_TRY(check_order(p, &s->merging, e));
    s->merging.history.closes_missing = false; /* these are not all rows of their time */
    return p->t->merge->is_history ? smi_flow_merge_order(p->run, p->task, there, &s->merging, e)
                                   : SM_OK;
}

static sm_status open_stage(smi_replay *p, const sm_plan_node *all, staging *s, sm_error *e)
{
    const smi_flow_task *t = p->t;
    const smi_flow_staying stays = {.base = p->table.snapshot};

    s->write = (sm_write){.uri = sm_store_uri(p->table.store),
                          .mode = t->merge ? SM_WRITE_REPLACE_WHERE : SM_WRITE_APPEND,
                          .split_by = t->replace >= 0 ? p->run->p->vars[t->replace].name : t->by,
                          .adds_columns = t->adds_columns,
                          .user_metadata = smi_flow_metadata(p->run),
                          .has_base = true,
                          .base = p->table.snapshot};
    SM_TRY(smi_flow_guard_over(p->run, p->task, all, &stays, p->a, &s->g, e));
    const sm_type *schema = s->g.plan->root->schema;
    if (!t->merge) {
        return smi_flow_stage_open(p->run, t, &s->write, schema, &s->stage, e);
    }
    SM_TRY(bind_merge(p, s, e));
    return smi_flow_merge_open(p->run, t, &s->write, schema, &s->stage, e);
}

/* The rows that were staged, merged into the table: the candidate of that, judged. */
static sm_status merge_rows(smi_replay *p, staging *s, sm_error *e)
{
    smi_flow_task_state *state = &p->run->tasks[p->task];
    sm_candidate *rows = s->c;

    SM_ASSERT(!state->candidate);
    s->c = NULL;
    const sm_status st = smi_flow_merge_staged(&s->g, &s->merging, &s->write, rows, e);
    s->c = state->candidate;
    state->candidate = NULL;
    sm_candidate_release(rows);
    if (st == SM_INVALID && e && e->todo[0] == '\0') {
        sm_error_todo(e, "Delete the row from %.*s, or make the table anew.",
                      SM_STR_ARG(p->quarantine.table));
    }
    if (st == SM_OK) {
        p->out->n_rows += state->merged.n_added;
        p->out->n_changed += state->merged.n_changed;
        p->out->n_deleted += state->merged.n_deleted;
        if (!p->t->merge->is_history) {
            warn_of_order(p);
        }
    }
    return st;
}

/* Stages what passes: s->c is the table's candidate, judged; NULL: nothing was taken in. */
static sm_status stage_table(smi_replay *p, const sm_plan_node *all, staging *s, sm_error *e)
{
    SM_TRY(open_stage(p, all, s, e));
    SM_TRY(run_into(p, &s->g, s->stage, e));
    const int64_t n_replayed = count_outcomes(p);
    if (n_replayed == 0) {
        return SM_OK;
    }
    SM_TRY(sm_stage_candidate(s->stage, &s->c, e));
    s->g.report.n_files = 0; /* these were texts: a rule over files has nothing to judge */
    if (p->t->merge) {
        SM_TRY(merge_rows(p, s, e));
    }
    smi_flow_books_carry(p->run, &p->table, member_of(p, n_replayed), s->c);
    if (!p->t->merge) {
        SM_TRY(smi_flow_guard_judge(&s->g, s->c, s->c, e));
        p->out->n_rows += sm_candidate_rows(s->c);
    }
    return SM_OK;
}

/* ---- all of it ------------------------------------------------------------------------------- */

static sm_status publish(smi_replay *p, sm_candidate *table, sm_error *e)
{
    sm_candidate *both[2] = {NULL, table};
    int64_t versions[2] = {-1, -1};

    SM_ASSERT(table && p->out->n_replayed > 0);
    SM_TRY(smi_replay_mark(p, &both[0], e));
    smi_flow_books_carry(p->run, &p->quarantine, member_of(p, p->out->n_replayed), both[0]);
    const sm_status st = sm_publish(both, 2, p->run->env->budget, versions, NULL, e);
    sm_candidate_release(both[0]);
    p->out->quarantine_version = versions[0] >= 0 ? versions[0] : p->out->quarantine_version;
    p->out->version = versions[1] >= 0 ? versions[1] : p->out->version;
    return st;
}

static sm_status try_rows(smi_replay *p, sm_error *e)
{
    const sm_plan_node *all = NULL;
    staging s = {0};

    SM_TRY(find_maker(p, e));
    SM_TRY(learn_run(p, e));
    SM_TRY(plan_all(p, &all, e));
    if (!all) {
        (void)count_outcomes(p);
        return SM_OK;
    }
    sm_status st = stage_table(p, all, &s, e);
    sm_stage_close(s.stage);
    if (st == SM_OK && s.c) {
        st = publish(p, s.c, e);
    }
    smi_flow_guard_close(&s.g);
    sm_candidate_release(s.c);
    return st;
}

static void begin_round(smi_replay *p, sm_str of_run)
{
    *p = (smi_replay){.run = p->run, .task = p->task, .t = p->t, .out = p->out, .last = p->last};
    p->of_run = of_run;
    p->a = sm_arena_new(p->run->env->budget);
    p->scratch = sm_arena_new(p->run->env->budget);
    p->names = smi_flow_names(p->run);
    p->texts = sm_map_new(p->a);
    p->whose = sm_map_new(p->a);
}

static void end_round(smi_replay *p)
{
    smi_replay_rows_release(p);
    sm_names_free(p->names);
    close_tables(p);
    sm_arena_free(p->scratch);
    sm_arena_free(p->a);
}

/* Tries the rows of a run; "": all. */
static sm_status do_round(smi_replay *p, sm_str of_run, int64_t *left_out, sm_error *e)
{
    begin_round(p, of_run);
    sm_status st = open_tables(p, e);
    st = st == SM_OK ? try_rows(p, e) : st;
    for (int i = 0; i < SMI_N_WHYS; i++) {
        left_out[i] += p->left_out[i];
    }
    end_round(p);
    return st;
}

/* The runs whose rows the quarantine has. */
static sm_status list_runs(smi_replay *p, sm_str **runs, int64_t *n, sm_error *e)
{
    begin_round(p, (sm_str){0});
    sm_status st = open_tables(p, e);
    st = st == SM_OK ? last_run(p, &p->last, e) : st;
    st = st == SM_OK ? smi_replay_runs(p, runs, n, e) : st;
    end_round(p);
    return st;
}

static void warn_of_left(const smi_replay *p, const int64_t *left_out)
{
    for (int i = 0; i < SMI_N_WHYS; i++) {
        if (left_out[i] > 0) {
            smi_flow_report_warn(p->run, "%" PRId64 " of the quarantine are not replayed: they %s",
                                 left_out[i], whys[i]);
        }
    }
}

static sm_status replay_all(smi_replay *p, sm_error *e)
{
    int64_t left_out[SMI_N_WHYS] = {0}, n = 1;
    sm_str all = {0}, *runs = &all;

    SM_TRY(check_task(p, e));
    if (goes_by_runs(p->t)) {
        SM_TRY(list_runs(p, &runs, &n, e));
    }
    sm_status st = SM_OK;
    for (int64_t i = 0; i < n && st == SM_OK; i++) {
        st = do_round(p, runs[i], left_out, e);
    }
    warn_of_left(p, left_out);
    return st;
}

static sm_status replay_run(sm_run *r, sm_replay_report *report, sm_error *e)
{
    SM_ASSERT(r->n_steps == 1);
    const int32_t task = r->order[0];
    smi_replay p = {.run = r, .task = task, .t = &r->p->tasks[task], .out = report};

    return sm_within(e, replay_all(&p, e), "replay of %.*s", SM_STR_ARG(r->p->tasks[task].name));
}

sm_status sm_pipeline_replay(const sm_pipeline *p, const sm_run_opts *opts, const sm_exec_env *env,
                             sm_replay_report *report, sm_error *e)
{
    const int64_t start = sm_monotonic_ns();
    sm_run *r = NULL;

    *report = (sm_replay_report){.version = -1, .quarantine_version = -1};
    SM_ASSERT(opts->task.len > 0 && opts->refresh.len == 0);
    sm_status st = sm_run_open(p, opts, env, &r, e);
    st = st == SM_OK ? replay_run(r, report, e) : st;
    sm_run_close(r, &report->run);
    report->run.wall_ns = sm_monotonic_ns() - start;
    return st;
}
