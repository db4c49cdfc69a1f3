/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/cli_history.c: a run notes in the state of runs that it began and how it ended, and commands
 * find runs there. Called by cmd_run.c, cmd_runs.c and cmd_rollback.c. */
#include <stdlib.h>
#include <unistd.h>

#include "base/text.h"
#include "cli/cli_runs_int.h"

/* ---- a run notes itself ---------------------------------------------------------------------- */

static bool is_local(sm_str file)
{
    for (size_t i = 0; i + 3 <= file.len; i++) {
        if (memcmp(file.data + i, "://", 3) == 0) {
            return false;
        }
    }
    return true;
}

/* The file's whole path, so that the scheduler finds it from any folder. */
static sm_str whole_path(const char *file, sm_arena *a)
{
    char *folder = NULL;

    if (file[0] == '/') {
        return sm_arena_str(a, sm_str_of(file));
    }
    folder = getcwd(sm_arena_alloc(a, 4096), 4096);
    return folder ? sm_arena_strf(a, "%s/%s", folder, file) : sm_str_of(file);
}

static sm_status open_notes(smi_cli *cli, const char *run_id, const sm_run_new *new, smi_history *h,
                            sm_run_earlier *earlier, sm_error *e)
{
    SM_TRY(sm_state_open(sm_state_folder(new->file, cli->arena), true, &h->state, e));
    SM_TRY(sm_run_notes_open(h->state, sm_str_of(run_id), new, &h->notes, e));
    return sm_run_notes_earlier(h->notes, cli->arena, earlier, e);
}

/* The interval of a run, from its logical date on: dates are those that the clocks of its
 * schedule's zone show. Midnight in Paris is the day before in UTC. */
static sm_status interval_of(const sm_run_notes *n, sm_interval *out, sm_error *e)
{
    const sm_interval instants = sm_run_notes_interval(n);

    SM_TRY(smi_options_day(sm_run_notes_date(n).data, &out->start_us, &out->end_us, e));
    SM_ASSERT(instants.start_us < instants.end_us);
    out->end_us = out->start_us + (instants.end_us - instants.start_us);
    return SM_OK;
}

static void close_notes(smi_history *h)
{
    sm_run_notes_close(h->notes);
    sm_state_close(h->state);
    *h = (smi_history){0};
}

sm_status smi_history_begin(smi_cli *cli, const char *file, const char *run_id, sm_run_new new,
                            sm_run_opts *opts, smi_history *h, sm_error *e)
{
    sm_error why = {0};
    sm_run_earlier earlier = {0};

    SM_ASSERT(file[0] && new.interval.start_us < new.interval.end_us);
    *h = (smi_history){0};
    opts->run_id = sm_str_of(run_id);
    if (!is_local(sm_str_of(file))) {
        return SM_OK;
    }
    new.file = whole_path(file, cli->arena);
    const sm_status st = open_notes(cli, run_id, &new, h, &earlier, run_id ? e : &why);
    if (st != SM_OK) {
        close_notes(h);
        if (!run_id) {
            fprintf(stderr, "warning this run is not kept in the history: %s (%s)\n", why.what,
                    why.object);
        }
        return run_id ? st : SM_OK;
    }
    SM_ASSERT(earlier.n_done == 0 || earlier.since_us > 0);
    h->was_queued = run_id != NULL;
    opts->run_id = sm_run_notes_id(h->notes);
    SM_TRY(interval_of(h->notes, &opts->interval, e));
    opts->earlier = earlier;
    opts->listener = sm_run_notes_listener(h->notes, &opts->listener);
    return SM_OK;
}

/* A run of the queue whose process was asked to end, though nobody cancelled the run, goes on in
 * its next process: so ends a scheduler that is stopped, too. */
static sm_run_state end_state(const smi_history *h, sm_status st)
{
    bool is_cancelling = false;
    sm_error unused = {0};

    SM_ASSERT(h->notes);
    if (st != SM_INTERRUPTED) {
        return st == SM_OK ? SM_RUN_STATE_SUCCESS : SM_RUN_STATE_FAILED;
    }
    if (h->was_queued && sm_run_notes_is_cancelling(h->notes, &is_cancelling, &unused) == SM_OK &&
        !is_cancelling) {
        return SM_RUN_STATE_QUEUED;
    }
    return SM_RUN_STATE_CANCELLED;
}

void smi_history_end(smi_cli *cli, smi_history *h, const sm_run_report *report, sm_status st,
                     const sm_error *why)
{
    char *text = sm_arena_alloc(cli->arena, 4096);
    sm_buf out = {0};
    sm_json_writer w = {.out = &out};
    sm_error e = {0};

    if (!h->notes) {
        return;
    }
    SM_ASSERT(h->state);
    sm_run_report_json(report, st == SM_OK ? NULL : why, &w);
    sm_str error = {text, st == SM_OK ? 0 : sm_error_format(why, text, 4096)};
    while (error.len > 0 && error.data[error.len - 1] == '\n') {
        error.len--;
    }
    if (sm_run_notes_end(h->notes, end_state(h, st), sm_buf_str(&out), error, &e) != SM_OK) {
        fprintf(stderr, "warning the history does not know how this run ended: %s\n", e.what);
    }
    sm_buf_release(&out);
    close_notes(h);
}

/* ---- the state of a command ------------------------------------------------------------------ */

sm_status smi_state_open(smi_cli *cli, const char *project, sm_state **out, sm_error *e)
{
    const sm_str folder = sm_state_folder(sm_str_of(project ? project : "."), cli->arena);
    const sm_status st = sm_state_open(folder, false, out, e);

    if (st == SM_NOT_FOUND) {
        sm_error_todo(e, "Name the project: a pipeline file, or the folder that pipelines are in.");
    }
    return st;
}

sm_status smi_state_find(smi_cli *cli, sm_state *s, const char *id, sm_run_row *out, sm_error *e)
{
    const sm_run_filter f = {.id = sm_str_of(id), .limit = 20, .wants_report = true};
    sm_run_row *rows = NULL;
    int64_t n = 0;

    SM_TRY(sm_state_runs(s, &f, cli->arena, &rows, &n, e));
    for (int64_t i = 0; i < n; i++) {
        if (n == 1 || sm_str_is(rows[i].id, id)) {
            *out = rows[i];
            return SM_OK;
        }
    }
    if (n == 0) {
        sm_fail(e, SM_NOT_FOUND, "no run \"%s\"", id);
        sm_error_todo(e, "smelt runs lists them.");
        return SM_NOT_FOUND;
    }
    return sm_fail(e, SM_INVALID, "several runs begin so: %.*s, %.*s%s", SM_STR_ARG(rows[0].id),
                   SM_STR_ARG(rows[1].id), n > 2 ? ", ..." : "");
}
