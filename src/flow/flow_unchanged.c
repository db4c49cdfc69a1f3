/* SPDX-License-Identifier: Apache-2.0
 *
 * flow/flow_unchanged.c: what a table task leaves in its commit for a run that finds that nothing
 * has changed, so that this run can say the same without doing the task. Called by flow_table.c.
 *
 * Read    the files of sources that were read, with their contents and lines. A file that the
 *         quarantine of its source does not know, because somebody took the table away, has to be
 *         read again; one that no plan reads, because WHERE excludes its date, has not.
 * Views   the verdicts of the views that the task has judged (flow_watch.c). A verdict that the
 *         time or files of no source decide is not kept: such a view is judged in each run. */
#include "flow/flow_int.h"

/* ---- what the commit says ------------------------------------------------------------------- */

static void put_read(const smi_flow_source_state *s, sm_json_writer *w)
{
    char hex[33];

    for (int64_t i = 0; i < s->found.n; i++) {
        const smi_flow_file *f = &s->states[i];
        if (!f->is_read) {
            continue;
        }
        sm_hash128_hex(f->content.hash, hex);
        sm_json_begin_object(w);
        sm_json_set_text(w, "source", s->def->name);
        sm_json_set_text(w, "name", s->found.items[i].name);
        sm_json_set_u64(w, "size", s->found.items[i].file.size_bytes);
        sm_json_set_text(w, "hash", sm_str_of(hex));
        sm_json_set_i64(w, "lines", f->n_lines);
        sm_json_end_object(w);
    }
}

/* The rules, and of each what people read. */
static void put_verdict(const sm_contract_report *c, sm_json_writer *w)
{
    sm_json_begin_object(w);
    sm_json_set_text(w, "view", c->table);
    sm_json_set_array(w, "texts");
    for (int64_t i = 0; i < c->n_rules; i++) {
        sm_json_put_text(w, c->rules[i].text);
    }
    sm_json_end_array(w);
    sm_json_set_array(w, "rules");
    if (c->json.len > 0) {
        sm_json_put_raw(w, c->json);
    }
    sm_json_end_array(w);
    sm_json_end_object(w);
}

void smi_flow_unchanged_put(const sm_run *r, int32_t task, sm_json_writer *w)
{
    SM_ASSERT(r->p->tasks[task].kind == SM_TASK_TABLE && r->tasks[task].candidate);
    sm_json_set_array(w, "read");
    for (int32_t i = 0; i < r->p->n_sources; i++) {
        if (r->asked.sources >> i & 1) {
            put_read(&r->sources[i], w);
        }
    }
    sm_json_end_array(w);
    sm_json_set_array(w, "views");
    for (int32_t i = 0; i < r->n_made; i++) {
        const smi_flow_task_state *view = &r->tasks[r->order[i]];
        const smi_flow_task *t = &r->p->tasks[r->order[i]];
        SM_ASSERT(view->judged_by != task || (t->kind == SM_TASK_VIEW && view->verdict));
        if (view->judged_by == task && !view->judged_by_more &&
            !sm_contract_depends_on_more(t->contracted)) {
            put_verdict(view->verdict, w);
        }
    }
    sm_json_end_array(w);
}

/* ---- what it is asked ----------------------------------------------------------------------- */

/* The file of an entry of "read"; *i: its index in the source's files. NULL: there is none. */
static smi_flow_source_state *source_of(const sm_run *r, const sm_json *entry, int64_t *i)
{
    const sm_str source = sm_json_text(sm_json_get(entry, "source"));
    const sm_str name = sm_json_text(sm_json_get(entry, "name"));

    for (int32_t k = 0; k < r->p->n_sources; k++) {
        smi_flow_source_state *s = &r->sources[k];
        if (s->is_open && sm_str_eq(s->def->name, source)) {
            *i = smi_match_find(&s->quarantine.books.in, name);
            return *i >= 0 ? s : NULL;
        }
    }
    return NULL;
}

bool smi_flow_unchanged_is_refused(const sm_run *r, const sm_json *said)
{
    const sm_json *read = sm_json_get(said, "read");

    for (const sm_json *f = read ? read->child : NULL; f; f = f->next) {
        int64_t i = -1;
        const smi_flow_source_state *s = source_of(r, f, &i);
        if (!s || (s->quarantine.uri.len > 0 && s->quarantine.books.match.files[i].is_read &&
                   !s->states[i].is_read)) {
            return false;
        }
    }
    return true;
}

/* ---- what is told again ---------------------------------------------------------------------- */

static void tell_file(const sm_run *r, const sm_json *entry)
{
    int64_t i = -1;
    const smi_flow_source_state *s = source_of(r, entry, &i);

    if (!s) {
        return;
    }
    s->states[i].is_skipped = true;
    if (s->states[i].n_lines < 0) {
        (void)sm_json_i64(sm_json_get(entry, "lines"), &s->states[i].n_lines);
    }
}

static sm_outcome outcome_of(sm_str name)
{
    sm_outcome o = SM_OUTCOME_PASSED;

    while (o < SM_OUTCOME_UNCHECKED && !sm_str_eq(name, sm_str_of(sm_outcome_name(o)))) {
        o++;
    }
    return o;
}

static sm_rule_report rule_again(const sm_json *rule, const sm_json *text, sm_arena *a)
{
    const sm_json *examples = sm_json_get(rule, "examples");
    sm_str *texts = SM_NEW_ARRAY(a, sm_str, (examples ? examples->n_children : 0) + 1);
    sm_rule_report out = {.rule = sm_arena_str(a, sm_json_text(sm_json_get(rule, "rule"))),
                          .outcome = outcome_of(sm_json_text(sm_json_get(rule, "outcome"))),
                          .text = sm_arena_str(a, sm_json_text(text)),
                          .examples = texts};

    (void)sm_json_i64(sm_json_get(rule, "violations"), &out.n_broken);
    for (const sm_json *x = examples ? examples->child : NULL; x; x = x->next) {
        texts[out.n_examples++] = sm_arena_str(a, x->text);
    }
    return out;
}

/* The report has the verdict again that was kept; false: it is none of the view's contract. */
static bool tell_verdict(sm_run *r, int32_t view, const sm_json *kept)
{
    sm_arena *a = r->report->arena;
    const sm_json *rules = sm_json_get(kept, "rules"), *texts = sm_json_get(kept, "texts");
    const int64_t n = r->p->tasks[view].contracted->n_rules;

    if (!rules || !texts || rules->n_children != n || texts->n_children != n) {
        return false; /* somebody has changed what the commit says */
    }
    sm_contract_report *own = SM_NEW(a, sm_contract_report);
    sm_rule_report *reports = SM_NEW_ARRAY(a, sm_rule_report, n + 1);
    *own = (sm_contract_report){.table = sm_arena_str(a, r->p->tasks[view].name), .rules = reports};
    const sm_json *text = texts->child;
    for (const sm_json *x = rules->child; x; x = x->next, text = text->next) {
        const sm_rule_report one = reports[own->n_rules++] = rule_again(x, text, a);
        own->n_warned += one.outcome == SM_OUTCOME_WARNED;
        own->n_failed += one.outcome == SM_OUTCOME_FAILED;
        own->n_unchecked += one.outcome == SM_OUTCOME_UNCHECKED;
    }
    own->n_passed = n - own->n_warned - own->n_failed - own->n_unchecked;
    own->outcome = own->n_warned > 0 ? SM_OUTCOME_WARNED : SM_OUTCOME_PASSED;
    if (own->n_failed > 0) {
        return false; /* a run that publishes has none */
    }
    own->json = sm_arena_str(a, (sm_str){rules->text.data + 1, rules->text.len - 2});
    smi_flow_report_contract(r, view, own);
    return true;
}

void smi_flow_unchanged_tell(sm_run *r, int32_t task, const sm_json *said)
{
    SM_ASSERT(r->tasks[task].phase == SMI_TASK_RUNNING && !r->tasks[task].candidate);
    const sm_json *read = sm_json_get(said, "read"), *views = sm_json_get(said, "views");

    for (const sm_json *f = read ? read->child : NULL; f; f = f->next) {
        tell_file(r, f);
    }
    views = r->opts->wants_page ? NULL : views; /* a page is drawn of rows: they are judged now */
    for (const sm_json *v = views ? views->child : NULL; v; v = v->next) {
        const int32_t view = smi_flow_task_find(r->p, sm_json_text(sm_json_get(v, "view")));
        if (view >= 0 && smi_flow_is_watched(r, task, view) && tell_verdict(r, view, v)) {
            r->tasks[view].is_due = false;
            r->tasks[view].judged_by = task;
        }
    }
}
