/* SPDX-License-Identifier: Apache-2.0
 *
 * flow/flow_report.c: collects what a run did, as numbers, while the run goes on. Called by
 * flow_run.c and by the kinds of tasks.
 *
 * Lines  A file's lines count once, however often tasks read it.
 * Keys   Unknown keys are known by scan, not by file. Those of a scan count if it read a file that
 *        had not been counted. */
#include <stdarg.h>
#include <stdio.h>

#include "flow/flow_int.h"

#define MOST_UNKNOWN 1000

void sm_run_report_release(sm_run_report *r)
{
    sm_arena_free(r->arena);
    *r = (sm_run_report){0};
}

/* ---- lines ---------------------------------------------------------------------------------- */

static void add_unknown(sm_run *r, const sm_unknown_key *key)
{
    sm_run_report *out = r->report;

    for (int64_t i = 0; i < out->n_unknown; i++) {
        if (sm_str_eq(out->unknown[i].path, key->path)) {
            out->unknown[i].lines += key->lines;
            return;
        }
    }
    if (out->n_unknown < MOST_UNKNOWN) {
        out->unknown = sm_arena_grow(out->arena, out->unknown, out->n_unknown, &r->cap_unknown,
                                     sizeof(*out->unknown));
        out->unknown[out->n_unknown++] =
            (sm_unknown_key){.path = sm_arena_str(out->arena, key->path), .lines = key->lines};
    }
}

static void add_counts(sm_scan_counts *sum, const sm_scan_counts *c)
{
    sum->rows += c->rows;
    sum->lines += c->lines;
    sum->refused += c->refused;
    sum->blank += c->blank;
    sum->shape_lines += c->shape_lines;
    sum->unknown_lines += c->unknown_lines;
}

static void tell_source(sm_run *r, int32_t task, const sm_file_report *f)
{
    for (int32_t i = 0; i < r->p->n_sources; i++) {
        const smi_flow_source_state *s = &r->sources[i];
        smi_flow_file *state = s->by_uri ? sm_map_get(s->by_uri, f->uri) : NULL;
        if (state) {
            state->read_by = state->is_read ? state->read_by : task;
            state->is_read = true;
            state->is_hashed = true;
            state->is_whole = true;
            state->n_lines = f->counts.lines - f->counts.blank;
            state->content.has_lines = state->n_lines > 0;
        }
    }
}

void smi_flow_report_exec(sm_run *r, int32_t task, const sm_exec_report *x)
{
    bool is_new = false;

    for (int64_t i = 0; i < x->n_files; i++) {
        const sm_file_report *f = &x->files[i];
        SM_ASSERT(f->counts.lines >= f->counts.refused + f->counts.blank);
        if (f->is_pruned) {
            continue;
        }
        tell_source(r, task, f);
        void **is_counted = sm_map_at(r->counted, f->uri);
        if (!*is_counted) {
            *is_counted = r;
            is_new = true;
            r->report->files_read++;
            add_counts(&r->report->counts, &f->counts);
        }
    }
    for (int64_t i = 0; i < x->n_unknown && is_new; i++) {
        add_unknown(r, &x->unknown[i]);
    }
}

/* ---- sources -------------------------------------------------------------------------------- */

/* Is it the first time that this is reported of a file, or this warning given? */
static bool is_first_word(sm_run *r, const char *kind, sm_str name)
{
    if (!r->told) {
        r->told = sm_map_new(r->arena);
    }
    void **place = sm_map_at(r->told, sm_arena_strf(r->arena, "%s %.*s", kind, SM_STR_ARG(name)));
    const bool is_first = *place == NULL;
    *place = r;
    return is_first;
}

void smi_flow_report_warn(sm_run *r, const char *fmt, ...)
{
    char text[512];
    va_list args;
    sm_run_report *out = r->report;

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    if (!is_first_word(r, "warning", sm_str_of(text))) {
        return;
    }
    out->warnings = sm_arena_grow(out->arena, out->warnings, out->n_warnings, &r->cap_warnings,
                                  sizeof(*out->warnings));
    out->warnings[out->n_warnings++] = sm_arena_str(out->arena, sm_str_of(text));
}

/* ---- contracts ------------------------------------------------------------------------------- */

void smi_flow_report_notes(sm_run *r, const smi_flow_task *t)
{
    const sm_contract *c = t->contract->model;

    for (int64_t i = 0; i < c->n_notes; i++) {
        const sm_contract_note *n = &c->notes[i];
        smi_flow_report_warn(r, "%.*s:%d:%d: %.*s", SM_STR_ARG(c->yaml.name), (int)n->at.line,
                             (int)n->at.byte, SM_STR_ARG(n->text));
    }
    if (t->contracted->n_rules == 0) {
        smi_flow_report_warn(r, "the contract of %.*s has no rules", SM_STR_ARG(t->name));
    }
}

static sm_rule_report rule_report(const sm_rule_verdict *v, sm_arena *a)
{
    sm_str *examples = SM_NEW_ARRAY(a, sm_str, v->count.n_examples + 1);
    sm_buf text = {0};

    sm_rule_verdict_print(v, &text);
    for (int32_t i = 0; i < v->count.n_examples; i++) {
        examples[i] = sm_arena_str(a, v->count.examples[i]);
    }
    const sm_rule_report out = {.rule = sm_arena_str(a, v->rule->name),
                                .outcome = v->outcome,
                                .n_broken = v->count.n_broken,
                                .text = sm_arena_str(a, sm_buf_str(&text)),
                                .examples = examples,
                                .n_examples = v->count.n_examples};
    sm_buf_release(&text);
    return out;
}

/* The rules as members of an array. */
static sm_str rules_json(const sm_verdict *v, sm_arena *a)
{
    sm_buf text = {0};
    sm_json_writer w = {.out = &text};

    sm_json_begin_array(&w);
    sm_verdict_json(v, &w);
    sm_json_end_array(&w);
    const sm_str array = sm_buf_str(&text);
    const sm_str out = sm_arena_str(a, (sm_str){array.data + 1, array.len - 2});
    sm_buf_release(&text);
    return out;
}

/* They stand in the order of the tasks: a view is judged with a table that reads it. */
void smi_flow_report_contract(sm_run *r, int32_t task, const sm_contract_report *own)
{
    sm_run_report *out = r->report;
    int64_t at = 0;

    while (at < out->n_contracts && smi_flow_task_find(r->p, out->contracts[at]->table) < task) {
        at++;
    }
    if (at == out->n_contracts || !sm_str_eq(out->contracts[at]->table, own->table)) {
        out->contracts = sm_arena_grow(out->arena, out->contracts, out->n_contracts,
                                       &r->cap_contracts, sizeof(*out->contracts));
        memmove(&out->contracts[at + 1], &out->contracts[at],
                (size_t)(out->n_contracts++ - at) * sizeof(*out->contracts));
    } /* else it is that of an attempt before this one */
    out->contracts[at] = own;
    r->tasks[task].verdict = own;
}

void smi_flow_report_verdict(sm_run *r, int32_t task, const sm_verdict *v)
{
    sm_run_report *out = r->report;
    const int64_t n = v->table->n_rules;
    sm_contract_report *own = SM_NEW(out->arena, sm_contract_report);
    sm_rule_report *rules = SM_NEW_ARRAY(out->arena, sm_rule_report, n + 1);
    int64_t n_unchecked = 0;

    for (int64_t i = 0; i < n; i++) {
        rules[i] = rule_report(&v->rules[i], out->arena);
        n_unchecked += rules[i].outcome == SM_OUTCOME_UNCHECKED;
    }
    *own = (sm_contract_report){.table = sm_arena_str(out->arena, r->p->tasks[task].name),
                                .outcome = v->outcome,
                                .rules = rules,
                                .n_rules = n,
                                .n_passed = n - v->n_warned - v->n_failed - n_unchecked,
                                .n_unchecked = n_unchecked,
                                .n_warned = v->n_warned,
                                .n_failed = v->n_failed,
                                .n_quarantined = v->n_quarantined,
                                .n_nulled = v->n_nulled,
                                .json = rules_json(v, out->arena)};
    smi_flow_report_contract(r, task, own);
    r->tasks[task].judged = v;
}

/* ---- files ----------------------------------------------------------------------------------- */

void smi_flow_report_gone(sm_run *r, sm_str name)
{
    sm_run_report *out = r->report;

    if (!is_first_word(r, "gone", name)) {
        return;
    }
    out->gone_files = sm_arena_grow(out->arena, out->gone_files, out->n_gone_files, &r->cap_gone,
                                    sizeof(*out->gone_files));
    out->gone_files[out->n_gone_files++] = sm_arena_str(out->arena, name);
}

void smi_flow_report_moved(sm_run *r, sm_str from, sm_str to)
{
    sm_run_report *out = r->report;

    if (!is_first_word(r, "moved", to)) {
        return;
    }
    out->moved_files = sm_arena_grow(out->arena, out->moved_files, out->n_moved_files,
                                     &r->cap_moved, sizeof(*out->moved_files));
    out->moved_files[out->n_moved_files++] =
        (sm_moved_file){.from = sm_arena_str(out->arena, from), .to = sm_arena_str(out->arena, to)};
}

void smi_flow_report_copy(sm_run *r, sm_str name, sm_str of, bool is_skipped)
{
    sm_run_report *out = r->report;

    if (!is_first_word(r, "copy", name)) {
        return;
    }
    out->copied_files = sm_arena_grow(out->arena, out->copied_files, out->n_copied_files,
                                      &r->cap_copied, sizeof(*out->copied_files));
    out->copied_files[out->n_copied_files++] =
        (sm_copied_file){.name = sm_arena_str(out->arena, name),
                         .of = sm_arena_str(out->arena, of),
                         .is_skipped = is_skipped};
}

/* Which days of the period have a file with lines? A file of which nothing is known counts if it is
 * not empty. */
static bool *days_with_lines(sm_run *r, const smi_flow_source_state *s)
{
    bool *out = SM_NEW_ARRAY(r->arena, bool, s->last_day - s->first_day + 1);

    for (int64_t i = 0; i < s->found.n; i++) {
        const sm_found_file *f = &s->found.items[i];
        const int64_t n_lines = s->states[i].n_lines;
        if ((n_lines >= 0 ? n_lines > 0 : f->file.size_bytes > 0) && f->date >= s->first_day &&
            f->date <= s->last_day) {
            out[f->date - s->first_day] = true;
        }
    }
    return out;
}

static void report_days(sm_run *r, const smi_flow_source_state *s, int64_t *cap)
{
    sm_run_report *out = r->report;

    const bool *has_lines = s->def->period >= 0 ? days_with_lines(r, s) : NULL;

    for (int32_t day = s->first_day; has_lines && day <= s->last_day; day++) {
        if (!has_lines[day - s->first_day]) {
            out->missing_days = sm_arena_grow(out->arena, out->missing_days, out->n_missing_days,
                                              cap, sizeof(*out->missing_days));
            out->missing_days[out->n_missing_days++] = day;
        }
    }
}

/* In a run that failed, a file that was not read counts as skipped only if a load said so. */
void smi_flow_report_sources(sm_run *r, bool is_done)
{
    int64_t cap_days = 0;

    for (int32_t i = 0; i < r->p->n_sources; i++) {
        const smi_flow_source_state *s = &r->sources[i];
        if (!s->is_open) {
            continue;
        }
        r->report->files_ignored += s->found.n_ignored;
        for (int64_t k = 0; k < s->found.n; k++) {
            const smi_flow_file *f = &s->states[k];
            r->report->files_skipped +=
                f->is_in_period && !f->is_read && (is_done || f->is_skipped);
        }
        report_days(r, s, &cap_days);
        if (s->quarantine.uri.len == 0 && r->report->counts.refused > 0) {
            smi_flow_report_warn(r,
                                 "source %.*s has no quarantine, so its refused lines are not kept",
                                 SM_STR_ARG(s->def->name));
        }
    }
}

/* ---- tables --------------------------------------------------------------------------------- */

static int64_t version_of(const sm_candidate *c, sm_candidate *const *published,
                          const int64_t *versions, int32_t n)
{
    for (int32_t i = 0; i < n; i++) {
        if (published[i] == c) {
            return versions[i];
        }
    }
    return -1;
}

/* What a merge did, in the report's arena; NULL where there was none. */
static const sm_merged *keep_merged(const sm_run *r, int32_t task)
{
    const smi_flow_task_state *t = &r->tasks[task];

    if (!r->p->tasks[task].merge || !t->candidate) {
        return NULL;
    }
    sm_merged *own = SM_NEW(r->report->arena, sm_merged);
    *own = t->merged;
    return own;
}

void smi_flow_report_tables(sm_run *r, sm_candidate *const *published, const int64_t *versions,
                            int32_t n)
{
    sm_run_report *out = r->report;

    SM_ASSERT(!out->tables); /* once a run */
    out->tables = SM_NEW_ARRAY(out->arena, sm_table_report, 2 * r->p->n_tasks + r->p->n_sources);
    for (int32_t i = 0; i < r->p->n_tasks; i++) {
        const smi_flow_task_state *t = &r->tasks[i];
        if (t->is_chosen && !r->p->tasks[i].is_after && !r->p->tasks[i].command) {
            out->tables[out->n_tables++] = (sm_table_report){
                .name = sm_arena_str(out->arena, r->p->tasks[i].name),
                .version = version_of(t->candidate, published, versions, n),
                .rows = t->candidate ? sm_candidate_table_rows(t->candidate) : t->n_rows_before,
                .bytes = t->candidate ? sm_candidate_bytes(t->candidate) : 0,
                .kind = r->p->tasks[i].kind,
                .period = sm_arena_str(out->arena, t->period),
                .merged = keep_merged(r, i),
                .contract = t->verdict,
                .wall_ns = t->wall_ns,
            };
        }
    }
    for (int32_t i = 0; i < r->p->n_sources; i++) {
        const smi_flow_source_state *s = &r->sources[i];
        const smi_flow_quarantine *q = &s->quarantine;
        if (s->is_open && q->uri.len > 0 && (q->candidate || q->n_rows_before >= 0)) {
            out->tables[out->n_tables++] = (sm_table_report){
                .name = sm_arena_str(out->arena, q->name),
                .version = version_of(q->candidate, published, versions, n),
                .rows = q->candidate ? sm_candidate_table_rows(q->candidate) : q->n_rows_before,
                .bytes = q->candidate ? sm_candidate_bytes(q->candidate) : 0,
                .kind = SM_TASK_TABLE,
                .wall_ns = q->wall_ns,
            };
        }
    }
    for (int32_t i = 0; i < r->p->n_tasks; i++) {
        const smi_flow_own_quarantine *own = &r->tasks[i].own;
        if (own->candidate) {
            out->tables[out->n_tables++] = (sm_table_report){
                .name = sm_arena_str(out->arena, r->p->tasks[i].quarantine),
                .version = version_of(own->candidate, published, versions, n),
                .rows = sm_candidate_table_rows(own->candidate),
                .bytes = sm_candidate_bytes(own->candidate),
                .kind = SM_TASK_TABLE,
                .wall_ns = own->wall_ns,
            };
        }
    }
}

void smi_flow_report_drift(sm_run *r)
{
    sm_run_report *out = r->report;
    int64_t n = 0;

    for (int32_t i = 0; i < r->p->n_tasks; i++) {
        n += r->tasks[i].n_drift;
    }
    out->drift = SM_NEW_ARRAY(out->arena, sm_key_drift, n);
    for (int32_t i = 0; i < r->p->n_tasks; i++) {
        for (int64_t k = 0; k < r->tasks[i].n_drift; k++) {
            const sm_key_drift *d = &r->tasks[i].drift[k];
            sm_key_drift *to = &out->drift[out->n_drift++];
            *to = *d;
            to->table = sm_arena_str(out->arena, d->table);
            to->path = sm_arena_str(out->arena, d->path);
            to->was = sm_arena_str(out->arena, d->was);
            to->is = sm_arena_str(out->arena, d->is);
        }
    }
}

/* What a clustering did, in the report's arena. */
static const sm_cluster_report *keep_clustered(sm_arena *a, const sm_cluster_report *r)
{
    sm_cluster_report *own = SM_NEW(a, sm_cluster_report);

    *own = *r;
    own->by = NULL; /* the run's; the pipeline names them */
    own->n_by = 0;
    own->files = NULL;
    return own;
}

static sm_table_report clustered_table(sm_arena *a, const smi_flow_task_state *t)
{
    return (sm_table_report){
        .version = t->clustered.version,
        .rows = t->clustered.n_rows,
        .bytes = t->clustered.added_bytes,
        .clustered = keep_clustered(a, &t->clustered),
    };
}

static sm_table_report optimized_table(sm_arena *a, const smi_flow_task_state *t)
{
    sm_optimize_report *own = SM_NEW(a, sm_optimize_report);

    *own = t->optimized;
    return (sm_table_report){
        .version = own->version, .rows = own->n_rows, .bytes = own->added_bytes, .optimized = own};
}

static sm_table_report vacuumed_table(sm_arena *a, const smi_flow_task_state *t)
{
    sm_vacuum_report *own = SM_NEW(a, sm_vacuum_report);

    *own = t->vacuumed;
    own->files = NULL; /* the report says how many */
    return (sm_table_report){.version = -1, .vacuumed = own};
}

static sm_table_report published_table(sm_arena *a, const smi_flow_task_state *t)
{
    return (sm_table_report){
        .version = t->published.version,
        .rows = t->published.rows,
        .server = sm_arena_strf(a, "ClickHouse %s", t->published.server),
    };
}

void smi_flow_report_command(sm_run *r, int32_t task)
{
    sm_run_report *out = r->report;

    SM_ASSERT(r->p->tasks[task].command);
    if (!out->commands) {
        out->commands = SM_NEW_ARRAY(out->arena, sm_command_report, r->p->n_tasks);
    }
    SM_ASSERT(out->n_commands < r->p->n_tasks);
    out->commands[out->n_commands++] =
        (sm_command_report){.name = sm_arena_str(out->arena, r->p->tasks[task].name),
                            .wall_ns = r->tasks[task].wall_ns};
}

void smi_flow_report_after(sm_run *r, int32_t task)
{
    sm_run_report *out = r->report;
    const smi_flow_task_state *t = &r->tasks[task];

    SM_ASSERT(out->tables && out->n_tables < 2 * r->p->n_tasks + r->p->n_sources);
    sm_table_report *table = &out->tables[out->n_tables++];
    const sm_task_kind kind = r->p->tasks[task].kind;
    *table = kind == SM_TASK_CLUSTER    ? clustered_table(out->arena, t)
             : kind == SM_TASK_OPTIMIZE ? optimized_table(out->arena, t)
             : kind == SM_TASK_VACUUM   ? vacuumed_table(out->arena, t)
                                        : published_table(out->arena, t);
    table->name = sm_arena_str(out->arena, r->p->tasks[task].name);
    table->kind = kind;
    table->wall_ns = t->wall_ns;
}
