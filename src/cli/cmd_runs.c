/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/cmd_runs.c: `smelt runs [RUN]`: which runs the pipelines of a folder had, what one of them
 * did, and what people ask of one: to end, to run again, to count as done. */
#include <inttypes.h>
#include <stdio.h>

#include "base/json_doc.h"
#include "base/text.h"
#include "base/time.h"
#include "cli/cli_runs_int.h"

typedef struct options {
    const char *project, *pipeline, *state, *from, *mark, *forget;
    int64_t limit;
    bool logs, report, cancel, clear;
} options;

static const smi_opt option_table[] = {
    {"--project", SMI_OPT_TEXT, "PATH",
     "a pipeline file, or the folder that pipelines are in (default: this folder)",
     offsetof(options, project)},
    {"--pipeline", SMI_OPT_TEXT, "NAME", "only runs of this pipeline", offsetof(options, pipeline)},
    {"--state", SMI_OPT_TEXT, "STATE",
     "only runs that are queued, running, success, failed or cancelled", offsetof(options, state)},
    {"--limit", SMI_OPT_I64, "N", "the latest N runs (default: 20); 0: all",
     offsetof(options, limit)},
    {"--logs", SMI_OPT_FLAG, NULL,
     "print what each process of RUN wrote, if a scheduler started it", offsetof(options, logs)},
    {"--report", SMI_OPT_FLAG, NULL, "print the report of RUN, as smelt run --json does",
     offsetof(options, report)},
    {"--cancel", SMI_OPT_FLAG, NULL, "end RUN, or take it out of the queue",
     offsetof(options, cancel)},
    {"--clear", SMI_OPT_FLAG, NULL, "queue RUN again, which has ended", offsetof(options, clear)},
    {"--from", SMI_OPT_TEXT, "TASK", "clear: only TASK and the tasks that need it",
     offsetof(options, from)},
    {"--mark", SMI_OPT_TEXT, "STATE", "let RUN count as success or failed",
     offsetof(options, mark)},
    {"--forget", SMI_OPT_TEXT, "TIME", "delete runs that ended longer ago than TIME, like 90d",
     offsetof(options, forget)},
    {0},
};

/* A run as it is shown. */
typedef struct shown {
    sm_run_row row;
    const char *state; /* "lost": it is running, but no process is at work on it */
    sm_attempt_row *attempts;
    int64_t n_attempts;
} shown;

static sm_status read_shown(smi_cli *cli, sm_state *s, const sm_run_row *row, shown *out,
                            sm_error *e)
{
    bool is_alive = true;

    SM_ASSERT(row->id.len > 0 && row->number > 0);
    *out = (shown){.row = *row, .state = sm_run_state_name(row->state)};
    if (row->state == SM_RUN_STATE_RUNNING) {
        SM_TRY(sm_state_is_alive(s, row->number, &is_alive, e));
    }
    out->state = is_alive ? out->state : "lost";
    return sm_state_attempts(s, row->id, cli->arena, &out->attempts, &out->n_attempts, e);
}

/* Until now, of what has not ended. */
static double seconds_of(int64_t started_us, int64_t ended_us)
{
    SM_ASSERT(started_us > 0);
    return (double)((ended_us ? ended_us : sm_now_us()) - started_us) / 1e6;
}

/* ---- for people ------------------------------------------------------------------------------ */

static const char *time_text(int64_t us, char text[SM_TIME_TEXT_BYTES])
{
    sm_format_timestamp(us / 1000000 * 1000000, text);
    return us ? text : "";
}

static int64_t done_tasks(const shown *s)
{
    int64_t n = 0;

    for (int64_t i = 0; i < s->n_attempts; i++) {
        n += s->attempts[i].state == SM_ATTEMPT_SUCCESS;
    }
    return n;
}

static void print_run(const shown *s, int width)
{
    char started[SM_TIME_TEXT_BYTES];
    const sm_run_row *r = &s->row;

    printf("%-*.*s  %-16.*s  %-9s  %-9s  %-19s", width, SM_STR_ARG(r->id), SM_STR_ARG(r->date),
           sm_run_kind_name(r->kind), s->state, time_text(r->started_us, started));
    if (r->started_us) {
        printf("  %9.2f  %5" PRId64, seconds_of(r->started_us, r->ended_us), done_tasks(s));
    }
    putchar('\n');
}

static void print_runs(const shown *runs, int64_t n)
{
    int width = 3;

    for (int64_t i = 0; i < n; i++) {
        SM_ASSERT(i == 0 || runs[i].row.number < runs[i - 1].row.number); /* the latest first */
        width = (int)runs[i].row.id.len > width ? (int)runs[i].row.id.len : width;
    }
    printf("%s%-*s  %-16s  %-9s  %-9s  %-19s  %9s  %5s%s\n", smi_bold(), width, "run",
           "logical date", "kind", "state", "started (UTC)", "seconds", "tasks", smi_plain());
    for (int64_t i = 0; i < n; i++) {
        print_run(&runs[i], width);
    }
}

static void print_attempts(const shown *s)
{
    char started[SM_TIME_TEXT_BYTES], rows[SM_SIZE_TEXT_BYTES];

    printf("\n%s%-28s  %-7s  %-7s  %-19s  %9s  %14s%s\n", smi_bold(), "task", "attempt", "state",
           "started (UTC)", "seconds", "rows", smi_plain());
    for (int64_t i = 0; i < s->n_attempts; i++) {
        const sm_attempt_row *a = &s->attempts[i];
        const bool is_over = a->state == SM_ATTEMPT_SUCCESS || a->state == SM_ATTEMPT_FAILED;
        sm_format_count(a->rows, rows);
        printf("%-28.*s  %3d.%-3d  %-7s  %-19s  %9.2f  %14s\n", SM_STR_ARG(a->task), a->process,
               a->attempt, sm_attempt_state_name(a->state), time_text(a->started_us, started),
               seconds_of(a->started_us, a->ended_us), is_over ? rows : "");
        if (a->error.len > 0) {
            printf("  %.*s\n", SM_STR_ARG(a->error));
        }
    }
}

static void print_one(const shown *s)
{
    print_runs(s, 1);
    printf("\npipeline  %.*s\nfile      %.*s\n", SM_STR_ARG(s->row.pipeline),
           SM_STR_ARG(s->row.file));
    if (s->n_attempts > 0) {
        print_attempts(s);
    }
    if (s->row.error.len > 0) {
        printf("\n%.*s\n", SM_STR_ARG(s->row.error));
    }
}

/* ---- for machines ---------------------------------------------------------------------------- */

/* "2022-04-30T06:00:00.125000Z"; null: not yet. */
static void set_time(sm_json_writer *w, const char *key, int64_t us)
{
    char text[SM_TIME_TEXT_BYTES];

    sm_format_instant(us, text);
    sm_json_set_text_or_null(w, key, us ? sm_str_of(text) : SM_STR(""));
}

static void put_attempt(sm_json_writer *w, const sm_attempt_row *a)
{
    SM_ASSERT(a->process > 0 && a->attempt > 0);
    sm_json_begin_object(w);
    sm_json_set_text(w, "task", a->task);
    sm_json_set_i64(w, "process", a->process);
    sm_json_set_i64(w, "attempt", a->attempt);
    sm_json_set_text(w, "state", sm_str_of(sm_attempt_state_name(a->state)));
    set_time(w, "started", a->started_us);
    set_time(w, "ended", a->ended_us);
    sm_json_set_i64(w, "rows", a->rows);
    sm_json_set_i64(w, "bytes", a->bytes);
    sm_json_set_text_or_null(w, "error", a->error);
    sm_json_end_object(w);
}

static void put_run(sm_json_writer *w, const shown *s)
{
    const sm_run_row *r = &s->row;

    sm_json_begin_object(w);
    sm_json_set_text(w, "run", r->id);
    sm_json_set_text(w, "pipeline", r->pipeline);
    sm_json_set_text(w, "file", r->file);
    sm_json_set_text(w, "logical_date", r->date);
    set_time(w, "interval_start", r->interval.start_us);
    set_time(w, "interval_end", r->interval.end_us);
    sm_json_set_text(w, "kind", sm_str_of(sm_run_kind_name(r->kind)));
    sm_json_set_text(w, "state", sm_str_of(s->state));
    sm_json_set_raw(w, "arguments", r->arguments);
    sm_json_set_i64(w, "processes", r->processes);
    set_time(w, "queued", r->queued_us);
    set_time(w, "started", r->started_us);
    set_time(w, "ended", r->ended_us);
    sm_json_set_text_or_null(w, "error", r->error);
    sm_json_set_array(w, "tasks");
    for (int64_t i = 0; i < s->n_attempts; i++) {
        put_attempt(w, &s->attempts[i]);
    }
    sm_json_end_array(w);
    sm_json_end_object(w);
}

static void print_json(smi_cli *cli, const shown *runs, int64_t n)
{
    sm_buf out = {0};
    sm_json_writer w = {.out = &out};

    sm_json_begin_array(&w);
    for (int64_t i = 0; i < n; i++) {
        put_run(&w, &runs[i]);
    }
    sm_json_end_array(&w);
    smi_answer_print(cli, &w);
}

/* ---- reading --------------------------------------------------------------------------------- */

/* The bit of a state that was named; 0: none was. */
static sm_status read_state(const char *word, uint32_t *bits, sm_error *e)
{
    for (int i = 0; word && i <= SM_RUN_STATE_CANCELLED; i++) {
        if (strcmp(word, sm_run_state_name((sm_run_state)i)) == 0) {
            *bits = 1u << i;
        }
    }
    return !word || *bits ? SM_OK
                          : sm_fail(e, SM_USAGE,
                                    "--state \"%s\" is none of queued, running, success, failed, "
                                    "cancelled",
                                    word);
}

static sm_status list(smi_cli *cli, sm_state *s, const options *o, sm_error *e)
{
    sm_run_filter f = {.pipeline = sm_str_of(o->pipeline), .limit = smi_given_or(o->limit, 20)};
    sm_run_row *rows = NULL;
    int64_t n = 0;

    SM_TRY(read_state(o->state, &f.states, e));
    SM_TRY(sm_state_runs(s, &f, cli->arena, &rows, &n, e));
    shown *runs = SM_NEW_ARRAY(cli->arena, shown, n);
    for (int64_t i = 0; i < n; i++) {
        SM_TRY(read_shown(cli, s, &rows[i], &runs[i], e));
    }
    if (cli->globals.json) {
        print_json(cli, runs, n);
    } else {
        print_runs(runs, n);
    }
    return SM_OK;
}

static sm_status show(smi_cli *cli, sm_state *s, const sm_run_row *row, sm_error *e)
{
    shown one;

    SM_TRY(read_shown(cli, s, row, &one, e));
    if (cli->globals.json) {
        print_json(cli, &one, 1);
    } else {
        print_one(&one);
    }
    return SM_OK;
}

static sm_status print_report(const sm_run_row *row, sm_error *e)
{
    SM_ASSERT(row->report.len == 0 || row->report.data[0] == '{');
    if (row->report.len == 0) {
        return sm_fail(e, SM_NOT_FOUND, "run %.*s has no report: it is %s", SM_STR_ARG(row->id),
                       sm_run_state_name(row->state));
    }
    printf("%.*s\n", SM_STR_ARG(row->report));
    return SM_OK;
}

static void copy_file(FILE *f)
{
    char bytes[8192];

    for (size_t n = fread(bytes, 1, sizeof(bytes), f); n > 0;
         n = fread(bytes, 1, sizeof(bytes), f)) {
        fwrite(bytes, 1, n, stdout);
    }
}

static sm_status print_logs(smi_cli *cli, sm_state *s, const sm_run_row *row, sm_error *e)
{
    const sm_str folder = sm_state_logs(s, row->id, cli->arena);
    int n_found = 0;

    SM_ASSERT(row->processes >= row->failures);
    for (int32_t i = 1; i <= row->processes + row->failures + 1; i++) {
        const char *path = sm_arena_printf(cli->arena, "%.*s/%d.log", SM_STR_ARG(folder), i);
        FILE *f = fopen(path, "rb");
        if (f) {
            printf("%s==> process %d, %s <==\n", n_found++ ? "\n" : "", i, path);
            copy_file(f);
            fclose(f);
        }
    }
    if (n_found > 0) {
        return SM_OK;
    }
    sm_fail(e, SM_NOT_FOUND, "run %.*s has no log", SM_STR_ARG(row->id));
    sm_error_todo(e, "Only what a scheduler starts has one; a run by hand writes to its terminal.");
    return SM_NOT_FOUND;
}

/* ---- orders ---------------------------------------------------------------------------------- */

/* A word as a shell reads it back. */
static void print_word(sm_str word)
{
    putchar(' ');
    putchar('\'');
    for (size_t i = 0; i < word.len; i++) {
        if (word.data[i] == '\'') {
            fputs("'\\''", stdout);
        } else {
            putchar(word.data[i]);
        }
    }
    putchar('\'');
}

/* The command that a scheduler would start. */
static sm_status print_command(smi_cli *cli, const sm_run_row *row, sm_error *e)
{
    const sm_json *arguments = NULL;

    SM_ASSERT(row->state == SM_RUN_STATE_QUEUED);
    SM_TRY(sm_json_parse(row->arguments, cli->arena, &arguments, e));
    printf("smelt run");
    print_word(row->file);
    printf(" --date %.*s --run-id %.*s", SM_STR_ARG(row->date), SM_STR_ARG(row->id));
    for (const sm_json *v = arguments->child; v; v = v->next) {
        print_word(sm_json_text(v));
    }
    putchar('\n');
    return SM_OK;
}

static sm_status give_order(smi_cli *cli, sm_state *s, sm_run_row row, sm_run_order order,
                            sm_str from, sm_error *e)
{
    sm_scheduler_status scheduler = {0};

    SM_ASSERT(from.len == 0 || order == SM_RUN_CLEAR);
    SM_TRY(sm_state_order(s, row.id, order, from, e));
    SM_TRY(smi_state_find(cli, s, row.id.data, &row, e));
    if (cli->globals.json) {
        return show(cli, s, &row, e);
    }
    if (row.is_cancelling) {
        printf("%.*s is asked to end\n", SM_STR_ARG(row.id));
        return SM_OK;
    }
    printf("%.*s is %s\n", SM_STR_ARG(row.id), sm_run_state_name(row.state));
    SM_TRY(sm_scheduler_look(s, &scheduler, e));
    if (order == SM_RUN_CLEAR && !scheduler.is_alive) {
        printf("No scheduler is running that starts it. By hand:\n  ");
        return print_command(cli, &row, e);
    }
    return SM_OK;
}

static sm_status read_mark(const char *word, sm_run_order *out, sm_error *e)
{
    SM_ASSERT(word);
    const bool is_success = sm_str_is(sm_str_of(word), "success");

    if (!is_success && !sm_str_is(sm_str_of(word), "failed")) {
        return sm_fail(e, SM_USAGE, "--mark \"%s\" is neither success nor failed", word);
    }
    *out = is_success ? SM_RUN_MARK_SUCCESS : SM_RUN_MARK_FAILED;
    return SM_OK;
}

static sm_status forget(smi_cli *cli, sm_state *s, const char *age, sm_error *e)
{
    char count[SM_COUNTED_TEXT_BYTES];
    int64_t us = 0, n = 0;

    if (!sm_parse_duration(sm_str_of(age), &us)) {
        return sm_fail(e, SM_USAGE, "--forget \"%s\" is not a time, like 90d or 12h", age);
    }
    SM_TRY(sm_state_forget(s, sm_now_us() - us, &n, e));
    if (cli->globals.json) {
        sm_buf out = {0};
        sm_json_writer w = {.out = &out};
        sm_json_begin_object(&w);
        sm_json_set_i64(&w, "forgotten", n);
        sm_json_end_object(&w);
        smi_answer_print(cli, &w);
        return SM_OK;
    }
    sm_format_counted(n, "run", count);
    printf("forgot %s\n", count);
    return SM_OK;
}

/* ---- the command ----------------------------------------------------------------------------- */

/* What is asked of one run; 0 or 1 of these. */
static sm_status check_options(const options *o, bool has_run, sm_error *e)
{
    const int n = o->logs + o->report + o->cancel + o->clear + (o->mark != NULL);

    if (n > 1) {
        return sm_fail(e, SM_USAGE,
                       "--logs, --report, --cancel, --clear and --mark exclude each other");
    }
    if (n > 0 && !has_run) {
        return sm_fail(e, SM_USAGE, "name the run: smelt runs RUN --%s; smelt runs lists them",
                       o->logs     ? "logs"
                       : o->report ? "report"
                       : o->cancel ? "cancel"
                       : o->clear  ? "clear"
                                   : "mark");
    }
    if (o->from && !o->clear) {
        return sm_fail(e, SM_USAGE, "--from belongs to --clear");
    }
    if (has_run && (o->forget || o->pipeline || o->state || o->limit != SMI_NOT_GIVEN)) {
        return sm_fail(e, SM_USAGE,
                       "--forget, --pipeline, --state and --limit are for all runs, not one");
    }
    if (o->limit != SMI_NOT_GIVEN && o->limit < 0) {
        return sm_fail(e, SM_USAGE, "--limit %" PRId64 " is below 0", o->limit);
    }
    return SM_OK;
}

/* A wrong name must not wait in the queue until it fails. */
static sm_status check_from(smi_cli *cli, const sm_run_row *row, const char *from, sm_error *e)
{
    sm_pipeline *p = NULL;
    bool *unused = NULL;

    SM_TRY(sm_pipeline_open(cli->env.stores, row->file, &p, e));
    const sm_status st = sm_pipeline_select(p, sm_str_of(from), cli->arena, &unused, e);
    sm_pipeline_close(p);
    return st;
}

static sm_status do_one(smi_cli *cli, sm_state *s, const options *o, const char *id, sm_error *e)
{
    sm_run_row row = {0};
    sm_run_order order = SM_RUN_CANCEL;

    SM_TRY(smi_state_find(cli, s, id, &row, e));
    if (o->logs) {
        return print_logs(cli, s, &row, e);
    }
    if (o->report) {
        return print_report(&row, e);
    }
    if (o->from) {
        SM_TRY(check_from(cli, &row, o->from, e));
    }
    if (o->mark) {
        SM_TRY(read_mark(o->mark, &order, e));
    }
    if (o->cancel || o->clear || o->mark) {
        order = o->clear ? SM_RUN_CLEAR : order;
        return give_order(cli, s, row, order, sm_str_of(o->from), e);
    }
    return show(cli, s, &row, e);
}

static sm_status show_runs(smi_cli *cli, const void *opts, char **args, int n_args, sm_error *e)
{
    const options *o = opts;
    sm_state *s = NULL;

    SM_ASSERT(n_args <= 1);
    SM_TRY(check_options(o, n_args == 1, e));
    SM_TRY(smi_state_open(cli, o->project, &s, e));
    const sm_status st = n_args == 1 ? do_one(cli, s, o, args[0], e)
                         : o->forget ? forget(cli, s, o->forget, e)
                                     : list(cli, s, o, e);
    sm_state_close(s);
    return st;
}

const smi_command smi_command_runs = {
    .name = "runs",
    .usage = "[RUN] [--project PATH]",
    .summary = "Shows the runs of pipelines, and clears, marks or cancels one.",
    .details =
        "RUN is the id of a run, or its beginning. The runs of all pipelines of a folder are "
        "kept in\n"
        ".smelt beside them, or in the folder that SMELT_STATE names.\n"
        "\n"
        "  smelt runs --project pipelines/sales\n"
        "  smelt runs sales-2022-04-30-1f2e3d4c --project pipelines/sales --clear\n",
    .options = option_table,
    .opts_bytes = sizeof(options),
    .min_args = 0,
    .max_args = 1,
    .run = show_runs,
};
