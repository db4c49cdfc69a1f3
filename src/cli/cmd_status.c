/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/cmd_status.c: `smelt status [PROJECT]`: is the scheduler up, what is due next, and how the
 * last runs ended. */
#include <inttypes.h>
#include <stdio.h>

#include "base/time.h"
#include "cli/cli_int.h"
#include "schedule/schedule.h"

/* A pipeline of the scheduler. */
typedef struct line {
    sm_str name, file, trouble; /* trouble: it cannot be read */
    sm_str schedule, zone;
    int64_t next_us; /* 0: it has no schedule */
    int64_t n_queued, n_running;
    const sm_run_row *last; /* that has ended; NULL: none */
} line;

static sm_status count_runs(smi_cli *cli, sm_state *s, line *l, sm_error *e)
{
    const sm_run_filter filter = {.pipeline = l->name, .limit = 1000};
    sm_run_row *rows = NULL;
    int64_t n = 0;

    SM_ASSERT(l->name.len > 0);
    SM_TRY(sm_state_runs(s, &filter, cli->arena, &rows, &n, e));
    for (int64_t i = n - 1; i >= 0; i--) {
        l->n_queued += rows[i].state == SM_RUN_STATE_QUEUED;
        l->n_running += rows[i].state == SM_RUN_STATE_RUNNING;
        l->last = rows[i].state > SM_RUN_STATE_RUNNING ? &rows[i] : l->last;
    }
    return SM_OK;
}

static sm_status read_line(smi_cli *cli, sm_state *s, sm_str file, line *l, sm_error *e)
{
    sm_pipeline *p = NULL;
    sm_error why = {0};

    *l = (line){.file = file};
    if (sm_pipeline_open(cli->env.stores, file, &p, &why) != SM_OK) {
        l->trouble = sm_arena_str(cli->arena, sm_str_of(why.what));
        return SM_OK;
    }
    const sm_pipeline_times t = sm_pipeline_schedule(p);
    l->name = sm_arena_str(cli->arena, sm_pipeline_name(p));
    l->schedule = sm_arena_str(cli->arena, t.text);
    l->zone = sm_arena_str(cli->arena, sm_zone_name(t.zone));
    l->next_us = t.text.len > 0 ? sm_cron_next(&t.cron, t.zone, sm_now_us()) : 0;
    sm_pipeline_close(p);
    return count_runs(cli, s, l, e);
}

/* ---- for people ------------------------------------------------------------------------------ */

static void print_line(const line *l)
{
    char text[SM_TIME_TEXT_BYTES];

    if (l->trouble.len > 0) {
        printf("%.*s: cannot be read: %.*s\n", SM_STR_ARG(l->file), SM_STR_ARG(l->trouble));
        return;
    }
    SM_ASSERT((l->schedule.len > 0) == (l->next_us > 0));
    printf("%-20.*s ", SM_STR_ARG(l->name));
    if (l->next_us > 0) {
        sm_format_timestamp(l->next_us, text);
        printf("next %s UTC (%.*s in %.*s)", text, SM_STR_ARG(l->schedule), SM_STR_ARG(l->zone));
    } else {
        printf("no schedule");
    }
    if (l->n_queued + l->n_running > 0) {
        printf(", %" PRId64 " running, %" PRId64 " queued", l->n_running, l->n_queued);
    }
    if (l->last) {
        printf(", last %.*s: %s", SM_STR_ARG(l->last->id), sm_run_state_name(l->last->state));
    }
    printf("\n");
}

static void print_scheduler(const sm_scheduler_status *at)
{
    char since[SM_TIME_TEXT_BYTES];

    if (at->is_alive) {
        SM_ASSERT(at->pid > 0);
        sm_format_timestamp(at->since_us / 1000000 * 1000000, since);
        printf("the scheduler is up: process %" PRId64 ", since %s UTC\n", at->pid, since);
    }
}

/* ---- for machines ---------------------------------------------------------------------------- */

static void set_time(sm_json_writer *w, const char *key, int64_t us)
{
    char text[SM_TIME_TEXT_BYTES];

    if (us != 0) {
        sm_format_timestamp(us, text);
        sm_json_set_text(w, key, sm_str_of(text));
    }
}

static void put_line(sm_json_writer *w, const line *l)
{
    sm_json_begin_object(w);
    sm_json_set_text(w, "pipeline", l->name);
    sm_json_set_text(w, "file", l->file);
    sm_json_set_text(w, "error", l->trouble);
    sm_json_set_text(w, "schedule", l->schedule);
    sm_json_set_text(w, "timezone", l->zone);
    set_time(w, "next", l->next_us);
    sm_json_set_i64(w, "running", l->n_running);
    sm_json_set_i64(w, "queued", l->n_queued);
    if (l->last) {
        sm_json_set_object(w, "last");
        sm_json_set_text(w, "run", l->last->id);
        sm_json_set_text(w, "logical_date", l->last->date);
        sm_json_set_text(w, "state", sm_str_of(sm_run_state_name(l->last->state)));
        set_time(w, "ended", l->last->ended_us);
        sm_json_end_object(w);
    }
    sm_json_end_object(w);
}

static void print_json(smi_cli *cli, const sm_scheduler_status *at, const line *lines, int64_t n)
{
    sm_buf out = {0};
    sm_json_writer w = {.out = &out};

    sm_json_begin_object(&w);
    sm_json_set_bool(&w, "up", at->is_alive);
    if (at->is_alive) {
        sm_json_set_i64(&w, "pid", at->pid);
        set_time(&w, "since", at->since_us);
    }
    sm_json_set_array(&w, "pipelines");
    for (int64_t i = 0; i < n; i++) {
        put_line(&w, &lines[i]);
    }
    sm_json_end_array(&w);
    sm_json_end_object(&w);
    smi_answer_print(cli, &w);
}

/* ---- the command ----------------------------------------------------------------------------- */

static sm_status show(smi_cli *cli, sm_state *s, sm_scheduler_status *at, sm_error *e)
{
    sm_str *files = NULL;
    int64_t n = 0;

    SM_TRY(sm_scheduler_look(s, at, e));
    SM_TRY(sm_state_files(s, cli->arena, &files, &n, e));
    line *lines = SM_NEW_ARRAY(cli->arena, line, n);
    for (int64_t i = 0; i < n; i++) {
        SM_TRY(read_line(cli, s, files[i], &lines[i], e));
    }
    if (cli->globals.json) {
        print_json(cli, at, lines, n);
        return SM_OK;
    }
    print_scheduler(at);
    for (int64_t i = 0; i < n; i++) {
        print_line(&lines[i]);
    }
    return SM_OK;
}

static sm_status status(smi_cli *cli, const void *opts, char **args, int n_args, sm_error *e)
{
    const sm_str folder = sm_state_folder(sm_str_of(n_args > 0 ? args[0] : "."), cli->arena);
    sm_scheduler_status at = {0};
    sm_state *s = NULL;

    (void)opts;
    SM_ASSERT(n_args <= 1);
    sm_status st = sm_state_open(folder, false, &s, e);
    if (st == SM_OK) {
        st = show(cli, s, &at, e);
        sm_state_close(s);
    } else if (st == SM_NOT_FOUND) {
        if (cli->globals.json) {
            print_json(cli, &at, NULL, 0);
        }
        st = SM_OK;
    }
    if (st == SM_OK && !at.is_alive) {
        st = sm_fail(e, SM_NOT_FOUND, "no scheduler is up for %.*s", SM_STR_ARG(folder));
        sm_error_todo(e, "Start it by smelt up PIPELINE..., or name the project.");
    }
    return st;
}

static const smi_opt option_table[] = {{0}};

const smi_command smi_command_status = {
    .name = "status",
    .usage = "[PROJECT]",
    .summary = "Tells whether the scheduler is up, and what is due.",
    .details = "PROJECT is a pipeline file, or the folder that pipelines are in (default: this "
               "one).\nThe exit code is 0 where a scheduler is up, else 1.\n",
    .options = option_table,
    .opts_bytes = 1,
    .min_args = 0,
    .max_args = 1,
    .run = status,
};
