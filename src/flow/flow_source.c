/* SPDX-License-Identifier: Apache-2.0
 *
 * flow/flow_source.c: a pipeline's sources in a run. Lists a source's folder and chooses the files
 * of its period; a file that is not chosen is never opened. flow_run.c makes the states of the
 * sources; flow_plan.c and flow_load.c open a source when the first task asks for it. */
#include <inttypes.h>

#include "base/hash.h"
#include "base/text.h"
#include "base/time.h"
#include "flow/flow_int.h"

static bool is_dated(const sm_run *r, int32_t source)
{
    bool is_loaded = false;

    for (int32_t i = 0; i < r->p->n_tasks; i++) {
        is_loaded = is_loaded || r->p->tasks[i].source == source;
    }
    return is_loaded || r->p->sources[source].period >= 0;
}

/* Why there is nothing to do, and what there would be. */
static sm_status fail_no_file(const smi_flow_source_state *s, sm_error *e)
{
    char first[SM_TIME_TEXT_BYTES], last[SM_TIME_TEXT_BYTES], others[SM_COUNTED_TEXT_BYTES];
    int32_t low = 0, high = 0;

    if (s->def->period < 0) {
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
        sm_format_counted(s->found.n_ignored, "other", others);
        sm_error_todo(e, "It has no file whose name matches, and %s.", others);
    }
    return st;
}

static bool is_in_period(const smi_flow_source_state *s, const sm_found_file *f)
{
    return s->def->period < 0 || (f->date >= s->first_day && f->date <= s->last_day);
}

/* When a local file of a watched source may be read: before it may be half written. An object of a
 * bucket appears whole. */
static int64_t settles_us(const sm_store *store, int64_t settle_us, const sm_found_file *f)
{
    return sm_store_is_far(store) ? 0 : f->file.modified_us + settle_us;
}

static sm_status choose_period(sm_run *r, smi_flow_source_state *s, sm_error *e)
{
    const int64_t now_us = sm_now_us();
    int64_t n = 0;

    s->states = SM_NEW_ARRAY(r->arena, smi_flow_file, s->found.n);
    s->by_uri = sm_map_new(r->arena);
    for (int64_t i = 0; i < s->found.n; i++) {
        sm_found_file *f = &s->found.items[i];
        s->states[i].is_in_period =
            is_in_period(s, f) && settles_us(s->found.store, s->def->settle_us, f) <= now_us;
        s->states[i].n_lines = -1;
        s->states[i].reader = -1;
        s->states[i].at = i;
        f->file.content_out = &s->states[i].content;
        *sm_map_at(s->by_uri, f->file.uri) = &s->states[i];
        n += s->states[i].is_in_period;
    }
    SM_ASSERT(sm_map_count(s->by_uri) == s->found.n); /* no two files have one URI */
    return n > 0 ? SM_OK : fail_no_file(s, e);
}

/* Chooses what plans read: the files of the period, each content once. */
static void choose_files(sm_run *r, smi_flow_source_state *s)
{
    SM_ASSERT(s->quarantine.books.in.n_found == s->found.n); /* one match a file */
    s->files = (sm_files){.items = SM_NEW_ARRAY(r->arena, sm_found_file, s->found.n),
                          .store = s->found.store,
                          .n_ignored = s->found.n_ignored};
    for (int64_t i = 0; i < s->found.n; i++) {
        if (s->states[i].is_in_period &&
            s->quarantine.books.match.files[i].kind != SMI_MATCH_PASSED) {
            s->files.items[s->files.n++] = s->found.items[i];
        }
    }
}

sm_status smi_flow_source_open(sm_run *r, int32_t source, sm_error *e)
{
    smi_flow_source_state *s = &r->sources[source];
    sm_status st = SM_OK;

    if (s->is_open) {
        return SM_OK;
    }
    SM_TRY_GOTO(st, done,
                sm_files_find(r->env->stores, s->path, s->def->match, is_dated(r, source), r->arena,
                              &s->found, e));
    SM_TRY_GOTO(st, done, choose_period(r, s, e));
    SM_TRY_GOTO(st, done, smi_flow_quarantine_match(r, s, e));
    choose_files(r, s);
    s->is_open = true;
done:
    if (st != SM_OK) { /* the next attempt lists it anew */
        smi_flow_quarantine_release(&s->quarantine);
        sm_files_release(&s->found);
        s->by_uri = NULL;
    }
    if (st == SM_NOT_FOUND) {
        sm_error_todo(e, "Set the folder with --var %.*s=...", SM_STR_ARG(s->def->name));
    }
    return sm_within(e, st, "source %.*s", SM_STR_ARG(s->def->name));
}

/* ---- sources whose files run the pipeline ---------------------------------------------------- */

void sm_pipeline_watched(const sm_pipeline *p, sm_arena *a, sm_watched_source **out, int32_t *n)
{
    SM_ASSERT(p->n_sources <= SMI_MAX_SOURCES);
    *out = SM_NEW_ARRAY(a, sm_watched_source, p->n_sources);
    *n = 0;
    for (int32_t i = 0; i < p->n_sources; i++) {
        const smi_flow_source *s = &p->sources[i];
        if (s->is_watched) {
            SM_ASSERT(p->vars[s->var].has_default && s->poll_us > 0);
            (*out)[(*n)++] = (sm_watched_source){.folder = p->vars[s->var].default_text,
                                                 .match = s->match,
                                                 .poll_us = s->poll_us,
                                                 .settle_us = s->settle_us};
        }
    }
}

sm_status sm_watched_look(const sm_watched_source *s, sm_stores *stores, int64_t now_us,
                          sm_watched_files *out, sm_error *e)
{
    sm_arena *a = sm_arena_new(NULL);
    sm_files found = {0};
    const sm_status st = sm_files_find(stores, s->folder, s->match, false, a, &found, e);

    *out = (sm_watched_files){0};
    for (int64_t i = 0; i < found.n; i++) {
        const sm_found_file *f = &found.items[i];
        const int64_t settles = settles_us(found.store, s->settle_us, f);
        if (settles > now_us) {
            out->next_us = out->next_us == 0 || settles < out->next_us ? settles : out->next_us;
            continue;
        }
        const uint64_t marks[] = {sm_hash64(f->name.data, f->name.len), f->file.size_bytes,
                                  (uint64_t)f->file.modified_us};
        out->print += sm_hash64(marks, sizeof(marks)); /* a sum: whatever the order */
        out->n++;
    }
    sm_files_release(&found);
    sm_arena_free(a);
    return st == SM_NOT_FOUND ? SM_OK : st; /* no folder yet */
}

/* ---- the sources of a run -------------------------------------------------------------------- */

static void init_source(sm_run *r, int32_t i)
{
    smi_flow_source_state *s = &r->sources[i];

    s->def = &r->p->sources[i];
    s->path = r->vars[s->def->var].as.s;
    SM_ASSERT(s->def->period < 0 || r->p->vars[s->def->period].type == SMI_VAR_MONTH);
    if (s->def->period >= 0 && smi_flow_parse_month(r->vars[s->def->period].as.s, &s->first_day)) {
        const sm_civil first = sm_civil_from_days(s->first_day);
        s->last_day = s->first_day + sm_days_in_month(first.year, first.month) - 1;
        SM_ASSERT(first.day == 1 && s->last_day - s->first_day >= 27);
    }
}

void smi_flow_sources_init(sm_run *r)
{
    r->sources = SM_NEW_ARRAY(r->arena, smi_flow_source_state, r->p->n_sources);
    for (int32_t i = 0; i < r->p->n_sources; i++) {
        init_source(r, i);
    }
}

void smi_flow_sources_undo(sm_run *r, int32_t task)
{
    for (int32_t i = 0; i < r->p->n_sources; i++) {
        smi_flow_source_state *s = &r->sources[i];
        smi_flow_quarantine_undo(r, s, task);
        for (int64_t k = 0; s->is_open && k < sm_map_count(s->by_uri); k++) {
            smi_flow_file *f = sm_map_value(s->by_uri, k);
            f->is_read = f->is_read && f->read_by != task;
        }
    }
}
