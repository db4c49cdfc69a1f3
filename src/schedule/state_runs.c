/* SPDX-License-Identifier: Apache-2.0
 *
 * schedule/state_runs.c: the runs of the state: reading them, queueing new ones, what people ask of
 * one, and forgetting old ones. What a process notes of its own run is in run_notes.c.
 *
 * Cleared  A run that is cleared is queued again under its id. What its processes did before counts
 *          no more: `processes_before` says how many these were.
 * Ids      PIPELINE-DATE-RANDOM. They name a folder of logs, so not all characters are in them. */
#include <dirent.h>
#include <inttypes.h>
#include <unistd.h>

#include "base/json_doc.h"
#include "base/random.h"
#include "base/time.h"
#include "schedule/schedule_int.h"

#define MOST_ID_BYTES 200

const char *sm_run_kind_name(sm_run_kind kind)
{
    static const char *const names[] = {"manual", "scheduled", "backfill", "watch", "after"};
    return names[kind];
}

const char *sm_run_state_name(sm_run_state state)
{
    static const char *const names[] = {"queued", "running", "success", "failed", "cancelled"};
    return names[state];
}

const char *sm_attempt_state_name(sm_attempt_state state)
{
    static const char *const names[] = {"running", "success", "failed", "lost"};
    return names[state];
}

/* ---- reading --------------------------------------------------------------------------------- */

#define COLUMNS                                                                                    \
    "number, id, pipeline, file, start_us, end_us, date, kind, state, arguments, processes,"       \
    " failures, is_cancelling, queued_us, started_us, ended_us, pid, error"

static void get_run(smi_query *q, sm_arena *a, sm_run_row *r)
{
    *r = (sm_run_row){0};
    r->number = smi_query_get_i64(q);
    r->id = smi_query_get_text(q, a);
    r->pipeline = smi_query_get_text(q, a);
    r->file = smi_query_get_text(q, a);
    r->interval.start_us = smi_query_get_i64(q);
    r->interval.end_us = smi_query_get_i64(q);
    r->date = smi_query_get_text(q, a);
    r->kind = (sm_run_kind)smi_query_get_enum(q, SM_RUN_AFTER + 1);
    r->state = (sm_run_state)smi_query_get_enum(q, SM_RUN_STATE_CANCELLED + 1);
    r->arguments = smi_query_get_text(q, a);
    r->processes = (int32_t)smi_query_get_i64(q);
    r->failures = (int32_t)smi_query_get_i64(q);
    r->is_cancelling = smi_query_get_i64(q) != 0;
    r->queued_us = smi_query_get_i64(q);
    r->started_us = smi_query_get_i64(q);
    r->ended_us = smi_query_get_i64(q);
    r->pid = smi_query_get_i64(q);
    r->error = smi_query_get_text(q, a);
    r->report = smi_query_get_text(q, a);
}

/* The statement of a filter. "state < 2" lets SQLite read an index of the few runs that are alive.
 * Its parameters are the same whatever the filter says. */
static const char *filter_sql(const sm_run_filter *f, sm_arena *a)
{
    const uint32_t alive = 1u << SM_RUN_STATE_QUEUED | 1u << SM_RUN_STATE_RUNNING;
    const bool is_alive = f->states != 0 && (f->states & ~alive) == 0;

    return sm_arena_printf(a,
                           "SELECT " COLUMNS ", %s FROM runs WHERE substr(id, 1, length(?1)) = ?1"
                           " AND (?2 = '' OR pipeline = ?2) AND (?3 = 0 OR (?3 >> state) & 1)%s"
                           " ORDER BY number DESC LIMIT ?4",
                           f->wants_report ? "report" : "''", is_alive ? " AND state < 2" : "");
}

sm_status sm_state_runs(sm_state *s, const sm_run_filter *f, sm_arena *a, sm_run_row **out,
                        int64_t *n, sm_error *e)
{
    sm_run_row *runs = NULL;
    int64_t n_runs = 0, cap = 0;
    smi_query q = smi_query_new(s, filter_sql(f, a), e);

    smi_query_text(&q, f->id);
    smi_query_text(&q, f->pipeline);
    smi_query_i64(&q, f->states);
    smi_query_i64(&q, f->limit > 0 ? f->limit : -1);
    while (smi_query_step(&q) == SM_OK) {
        runs = sm_arena_grow(a, runs, n_runs, &cap, sizeof(*runs));
        get_run(&q, a, &runs[n_runs++]);
    }
    SM_TRY(smi_query_end(&q));
    *out = runs;
    *n = n_runs;
    return SM_OK;
}

sm_status smi_state_run(sm_state *s, sm_str id, sm_arena *a, sm_run_row *out, sm_error *e)
{
    smi_query q = smi_query_new(s, "SELECT " COLUMNS ", report FROM runs WHERE id = ?", e);

    smi_query_text(&q, id);
    const sm_status st = smi_query_step(&q);
    if (st == SM_OK) {
        get_run(&q, a, out);
    }
    SM_TRY(smi_query_end(&q));
    return st == SM_OK ? SM_OK : sm_fail(e, SM_NOT_FOUND, "no run \"%.*s\"", SM_STR_ARG(id));
}

sm_status sm_state_attempts(sm_state *s, sm_str run, sm_arena *a, sm_attempt_row **out, int64_t *n,
                            sm_error *e)
{
    sm_attempt_row *rows = NULL;
    int64_t n_rows = 0, cap = 0;
    smi_query q = smi_query_new(
        s,
        "SELECT task, process, attempt, attempts.state, attempts.started_us, attempts.ended_us,"
        " rows, bytes, attempts.error FROM attempts JOIN runs ON number = run WHERE id = ?"
        " ORDER BY attempts.rowid",
        e);

    smi_query_text(&q, run);
    while (smi_query_step(&q) == SM_OK) {
        rows = sm_arena_grow(a, rows, n_rows, &cap, sizeof(*rows));
        sm_attempt_row *row = &rows[n_rows++];
        *row = (sm_attempt_row){0};
        row->task = smi_query_get_text(&q, a);
        row->process = (int32_t)smi_query_get_i64(&q);
        row->attempt = (int32_t)smi_query_get_i64(&q);
        row->state = (sm_attempt_state)smi_query_get_enum(&q, SM_ATTEMPT_LOST + 1);
        row->started_us = smi_query_get_i64(&q);
        row->ended_us = smi_query_get_i64(&q);
        row->rows = smi_query_get_i64(&q);
        row->bytes = smi_query_get_i64(&q);
        row->error = smi_query_get_text(&q, a);
    }
    SM_TRY(smi_query_end(&q));
    *out = rows;
    *n = n_rows;
    return SM_OK;
}

/* ---- queueing -------------------------------------------------------------------------------- */

static bool is_id_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.' || c == ':' || c == '+';
}

sm_str smi_state_new_id(const sm_run_new *run, sm_arena *a)
{
    const size_t most = MOST_ID_BYTES / 2;
    const size_t len = run->pipeline.len < most ? run->pipeline.len : most;
    uint32_t random = 0;

    sm_random_bytes(&random, sizeof(random));
    char *id = sm_arena_printf(a, "%.*s-%.*s-%08" PRIx32, (int)len, run->pipeline.data,
                               SM_STR_ARG(run->date), random);
    for (char *c = id; *c; c++) {
        *c = is_id_char(*c) && !(c == id && *c == '.') ? *c : '_';
    }
    return sm_str_of(id);
}

static sm_status check_id(sm_str id, sm_error *e)
{
    bool is_good = id.len > 0 && id.len <= MOST_ID_BYTES && id.data[0] != '.';

    for (size_t i = 0; i < id.len; i++) {
        is_good = is_good && is_id_char(id.data[i]);
    }
    return is_good ? SM_OK
                   : sm_fail(e, SM_INVALID,
                             "\"%.*s\" cannot be the id of a run: only letters, digits and -_.:+, "
                             "at most %d",
                             SM_STR_ARG(id), MOST_ID_BYTES);
}

sm_status smi_state_add(sm_state *s, sm_str id, const sm_run_new *run, sm_error *e)
{
    SM_ASSERT(run->interval.start_us <= run->interval.end_us);
    SM_TRY(check_id(id, e));
    smi_query q = smi_query_new(
        s,
        "INSERT INTO runs(id, pipeline, file, start_us, end_us, date, kind, state, arguments,"
        " queued_us) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        e);

    smi_query_text(&q, id);
    smi_query_text(&q, run->pipeline);
    smi_query_text(&q, run->file);
    smi_query_i64(&q, run->interval.start_us);
    smi_query_i64(&q, run->interval.end_us);
    smi_query_text(&q, run->date);
    smi_query_i64(&q, run->kind);
    smi_query_i64(&q, SM_RUN_STATE_QUEUED);
    smi_query_text(&q, run->arguments.len ? run->arguments : SM_STR("[]"));
    smi_query_i64(&q, sm_now_us());
    return smi_query_run(&q);
}

/* A schedule is never dealt with up to an earlier instant than before. */
static sm_status note_dealt(sm_state *s, sm_str file, int64_t up_to_us, sm_error *e)
{
    smi_query q = smi_query_new(
        s,
        "INSERT INTO schedules(file, up_to_us) VALUES (?, ?)"
        " ON CONFLICT (file) DO UPDATE SET up_to_us = max(up_to_us, excluded.up_to_us)",
        e);

    smi_query_text(&q, file);
    smi_query_i64(&q, up_to_us);
    return smi_query_run(&q);
}

sm_status sm_state_queue(sm_state *s, const sm_run_new *run, sm_arena *a, sm_str *id, sm_error *e)
{
    const sm_str made = smi_state_new_id(run, a);

    SM_ASSERT(run->up_to_us >= 0);
    SM_TRY(smi_state_begin(s, true, e));
    sm_status st = smi_state_add(s, made, run, e);
    if (st == SM_OK && run->up_to_us != 0) {
        st = note_dealt(s, run->file, run->up_to_us, e);
    }
    SM_TRY(smi_state_end(s, st, e));
    if (id) {
        *id = made;
    }
    return SM_OK;
}

sm_status sm_state_dealt(sm_state *s, sm_str file, int64_t *up_to_us, sm_error *e)
{
    int64_t found = 0;
    smi_query q = smi_query_new(s, "SELECT up_to_us FROM schedules WHERE file = ?", e);

    smi_query_text(&q, file);
    if (smi_query_step(&q) == SM_OK) {
        found = smi_query_get_i64(&q);
    }
    SM_TRY(smi_query_end(&q));
    *up_to_us = found;
    return SM_OK;
}

sm_status sm_state_files(sm_state *s, sm_arena *a, sm_str **out, int64_t *n, sm_error *e)
{
    int64_t cap = 0;
    smi_query q = smi_query_new(s, "SELECT file FROM schedules ORDER BY file", e);

    *out = NULL;
    *n = 0;
    while (smi_query_step(&q) == SM_OK) {
        *out = sm_arena_grow(a, *out, *n, &cap, sizeof(**out));
        (*out)[(*n)++] = smi_query_get_text(&q, a);
    }
    return smi_query_end(&q);
}

sm_status sm_state_set_dealt(sm_state *s, sm_str file, int64_t up_to_us, sm_error *e)
{
    SM_TRY(smi_state_begin(s, true, e));
    return smi_state_end(s, note_dealt(s, file, up_to_us, e), e);
}

/* ---- what people ask of a run ---------------------------------------------------------------- */

/* The arguments of a run with `--select FROM+` in place of the selection that they had. */
static sm_status select_from(sm_str arguments, sm_str from, sm_arena *a, sm_str *out, sm_error *e)
{
    const sm_json *doc = NULL;
    sm_buf text = {0};
    sm_json_writer w = {.out = &text};

    SM_TRY(sm_json_parse(arguments, a, &doc, e));
    SM_ASSERT(doc->type == SM_JSON_ARRAY);
    sm_json_begin_array(&w);
    for (const sm_json *v = doc->child; v; v = v->next) {
        const sm_str word = sm_json_text(v);
        if (v->next && (sm_str_is(word, "--select") || sm_str_is(word, "--task"))) {
            v = v->next;
            continue;
        }
        sm_json_put_text(&w, word);
    }
    sm_json_put_text(&w, SM_STR("--select"));
    sm_json_put_text(&w, sm_arena_strf(a, "%.*s+", SM_STR_ARG(from)));
    sm_json_end_array(&w);
    *out = sm_arena_take(a, &text);
    return SM_OK;
}

static sm_status clear(sm_state *s, const sm_run_row *run, sm_str from, sm_arena *a, sm_error *e)
{
    sm_str arguments = run->arguments;

    if (from.len > 0) {
        SM_TRY(select_from(run->arguments, from, a, &arguments, e));
    }
    smi_query q = smi_query_new(
        s,
        "UPDATE runs SET state = ?, queued_us = ?, arguments = ?, started_us = 0, ended_us = 0,"
        " failures = 0, is_cancelling = 0, processes_before = processes, error = '', report = ''"
        " WHERE id = ?",
        e);
    smi_query_i64(&q, SM_RUN_STATE_QUEUED);
    smi_query_i64(&q, sm_now_us());
    smi_query_text(&q, arguments);
    smi_query_text(&q, run->id);
    return smi_query_run(&q);
}

static sm_status set_state(sm_state *s, sm_str run, sm_run_state state, sm_str error, sm_error *e)
{
    smi_query q = smi_query_new(s,
                                "UPDATE runs SET state = ?, ended_us = ?, error = ?,"
                                " is_cancelling = 0 WHERE id = ?",
                                e);

    smi_query_i64(&q, state);
    smi_query_i64(&q, sm_now_us());
    smi_query_text(&q, error);
    smi_query_text(&q, run);
    return smi_query_run(&q);
}

static sm_status note_cancelling(sm_state *s, sm_str run, sm_error *e)
{
    smi_query q = smi_query_new(s, "UPDATE runs SET is_cancelling = 1 WHERE id = ?", e);

    smi_query_text(&q, run);
    return smi_query_run(&q);
}

static sm_status refuse(const sm_run_row *run, const char *what, sm_error *e)
{
    sm_fail(e, SM_INVALID, "run %.*s cannot be %s: it %s", SM_STR_ARG(run->id), what,
            run->state == SM_RUN_STATE_RUNNING  ? "is running"
            : run->state == SM_RUN_STATE_QUEUED ? "is queued"
                                                : "has ended");
    return SM_INVALID;
}

/* Is a process at work on it? A run whose process was killed is RUNNING until somebody looks. */
static sm_status is_at_work(sm_state *s, const sm_run_row *run, bool *out, sm_error *e)
{
    *out = false;
    return run->state == SM_RUN_STATE_RUNNING ? sm_state_is_alive(s, run->number, out, e) : SM_OK;
}

/* In a transaction. *is_told: its process is to be asked to end. */
static sm_status order_run(sm_state *s, const sm_run_row *run, sm_run_order order, sm_str from,
                           sm_arena *a, bool *is_told, sm_error *e)
{
    bool is_working = false;

    SM_TRY(is_at_work(s, run, &is_working, e));
    switch (order) {
    case SM_RUN_CANCEL:
        if (run->state > SM_RUN_STATE_RUNNING) {
            return refuse(run, "cancelled", e);
        }
        *is_told = is_working;
        return is_working ? note_cancelling(s, run->id, e)
                          : set_state(s, run->id, SM_RUN_STATE_CANCELLED, SM_STR(""), e);
    case SM_RUN_CLEAR:
        if (is_working || run->state == SM_RUN_STATE_QUEUED) {
            return refuse(run, "cleared", e);
        }
        return clear(s, run, from, a, e);
    case SM_RUN_MARK_SUCCESS:
    case SM_RUN_MARK_FAILED:
        if (is_working) {
            return refuse(run, "marked", e);
        }
        return order == SM_RUN_MARK_SUCCESS
                   ? set_state(s, run->id, SM_RUN_STATE_SUCCESS, SM_STR(""), e)
                   : set_state(s, run->id, SM_RUN_STATE_FAILED, SM_STR("marked by hand"), e);
    }
    return SM_OK;
}

sm_status sm_state_order(sm_state *s, sm_str run, sm_run_order order, sm_str from, sm_error *e)
{
    sm_arena *a = sm_arena_new(NULL);
    sm_run_row row = {0};
    bool is_told = false;
    sm_status st = smi_state_begin(s, true, e);

    if (st == SM_OK) {
        st = smi_state_run(s, run, a, &row, e);
        st = st == SM_OK ? order_run(s, &row, order, from, a, &is_told, e) : st;
        st = smi_state_end(s, st, e);
    }
    if (st == SM_OK && is_told) {
        st = smi_state_ask_to_end(s, &row, e);
    }
    sm_arena_free(a);
    return st;
}

sm_status sm_state_give_up(sm_state *s, sm_str run, sm_str error, sm_error *e)
{
    SM_TRY(smi_state_begin(s, true, e));
    return smi_state_end(s, set_state(s, run, SM_RUN_STATE_FAILED, error, e), e);
}

/* ---- forgetting ------------------------------------------------------------------------------ */

sm_str sm_state_logs(const sm_state *s, sm_str run, sm_arena *a)
{
    return sm_arena_strf(a, "%.*s/logs/%.*s", SM_STR_ARG(s->folder), SM_STR_ARG(run));
}

/* Deletes the logs of a run. What cannot be deleted stays: nothing reads it. */
static void delete_logs(const sm_state *s, sm_str run, sm_arena *a)
{
    const sm_str folder = sm_state_logs(s, run, a);
    DIR *d = opendir(folder.data);

    for (struct dirent *at = d ? readdir(d) : NULL; at; at = readdir(d)) {
        (void)unlinkat(dirfd(d), at->d_name, 0); /* "." and ".." refuse */
    }
    if (d) {
        closedir(d);
        (void)rmdir(folder.data);
    }
}

static sm_status find_old(sm_state *s, int64_t before_us, sm_arena *a, sm_str **out, int64_t *n,
                          sm_error *e)
{
    int64_t cap = 0;
    smi_query q = smi_query_new(s, "SELECT id FROM runs WHERE state > 1 AND ended_us < ?", e);

    smi_query_i64(&q, before_us);
    while (smi_query_step(&q) == SM_OK) {
        *out = sm_arena_grow(a, *out, *n, &cap, sizeof(**out));
        (*out)[(*n)++] = smi_query_get_text(&q, a);
    }
    return smi_query_end(&q);
}

static sm_status delete_old(sm_state *s, int64_t before_us, sm_error *e)
{
    smi_query attempts =
        smi_query_new(s,
                      "DELETE FROM attempts WHERE run IN"
                      " (SELECT number FROM runs WHERE state > 1 AND ended_us < ?)",
                      e);
    smi_query_i64(&attempts, before_us);
    SM_TRY(smi_query_run(&attempts));
    smi_query runs = smi_query_new(s, "DELETE FROM runs WHERE state > 1 AND ended_us < ?", e);
    smi_query_i64(&runs, before_us);
    return smi_query_run(&runs);
}

sm_status sm_state_forget(sm_state *s, int64_t before_us, int64_t *n, sm_error *e)
{
    sm_arena *a = sm_arena_new(NULL);
    sm_str *old = NULL;
    int64_t n_old = 0;
    sm_status st = smi_state_begin(s, true, e);

    if (st == SM_OK) {
        st = find_old(s, before_us, a, &old, &n_old, e);
        st = st == SM_OK && n_old > 0 ? delete_old(s, before_us, e) : st;
        st = smi_state_end(s, st, e);
    }
    for (int64_t i = 0; st == SM_OK && i < n_old; i++) {
        delete_logs(s, old[i], a);
    }
    *n = n_old;
    sm_arena_free(a);
    return st;
}
