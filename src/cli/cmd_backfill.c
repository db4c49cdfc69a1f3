/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/cmd_backfill.c: `smelt backfill PIPELINE --from D --to D`: runs the intervals of a schedule
 * whose logical dates are in a span, the oldest first.
 *
 * Who      A scheduler that is up makes the runs, and this command waits for them. Else it is the
 *          scheduler itself until they are made. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "base/time.h"
#include "cli/cli_int.h"
#include "schedule/schedule.h"

#define DAY_US INT64_C(86400000000)

typedef struct options {
    const char *from, *to;
    bool is_dry, is_reverse;
    int64_t parallel;
} options;

static const smi_opt option_table[] = {
    {"--from", SMI_OPT_TEXT, "D", "the first logical date, like 2022-04-01",
     offsetof(options, from)},
    {"--to", SMI_OPT_TEXT, "D", "the last one, like 2022-04-30", offsetof(options, to)},
    {"--dry-run", SMI_OPT_FLAG, NULL, "list what would be run", offsetof(options, is_dry)},
    {"--reverse", SMI_OPT_FLAG, NULL, "the latest first", offsetof(options, is_reverse)},
    {"--parallel", SMI_OPT_I64, "N", "runs at once (default: 1)", offsetof(options, parallel)},
    {0},
};

/* What is asked for. */
typedef struct span {
    sm_str file, pipeline; /* file: from the root */
    sm_due *due;
    int64_t n;
} span;

/* ---- which intervals ------------------------------------------------------------------------- */

static sm_status read_day(const char *option, const char *text, int32_t *day, sm_error *e)
{
    if (text && sm_parse_date(sm_str_of(text), day)) {
        return SM_OK;
    }
    return sm_fail(e, SM_USAGE, "%s needs a date, like 2022-04-30", option);
}

/* Those whose start the clocks of the zone show on a day of the span. Without a schedule: days. */
static sm_status find_due(smi_cli *cli, const options *o, const sm_pipeline *p, span *out,
                          sm_error *e)
{
    sm_pipeline_times t = sm_pipeline_schedule(p);
    int64_t first_us = 0, behind_us = 0;
    int32_t from = 0, to = 0;

    SM_TRY(read_day("--from", o->from, &from, e));
    SM_TRY(read_day("--to", o->to, &to, e));
    if (to < from) {
        return sm_fail(e, SM_USAGE, "--to %s is before --from %s", o->to, o->from);
    }
    if (t.text.len == 0) {
        t.text = SM_STR("@daily");
        SM_TRY(sm_cron_parse(t.text, &t.cron, e));
    }
    (void)sm_zone_instant(t.zone, from * DAY_US, &first_us);
    (void)sm_zone_instant(t.zone, (to + INT64_C(1)) * DAY_US, &behind_us);
    const int64_t start_us = sm_cron_next(&t.cron, t.zone, first_us - 1);
    const int64_t last_us = sm_cron_last(&t.cron, t.zone, behind_us - 1);
    if (start_us > last_us) {
        return sm_fail(e, SM_NOT_FOUND, "no interval of \"%.*s\" begins from %s to %s",
                       SM_STR_ARG(t.text), o->from, o->to);
    }
    const int64_t end_us = sm_cron_next(&t.cron, t.zone, last_us);
    SM_ASSERT(first_us <= start_us && last_us < behind_us && behind_us > first_us);
    SM_TRY(sm_schedule_due(&t, start_us, end_us, cli->arena, &out->due, &out->n, e));
    for (int64_t i = 0; o->is_reverse && i < out->n / 2; i++) {
        const sm_due other = out->due[i];
        out->due[i] = out->due[out->n - 1 - i];
        out->due[out->n - 1 - i] = other;
    }
    return SM_OK;
}

static sm_status read_span(smi_cli *cli, const options *o, const char *file, span *out, sm_error *e)
{
    char folder[4096] = "";
    sm_pipeline *p = NULL;

    if (file[0] != '/' && !getcwd(folder, sizeof(folder))) {
        return sm_fail_errno(e, errno, "could not find the path of this folder");
    }
    while (strncmp(file, "./", 2) == 0) {
        file += 2;
    }
    SM_ASSERT(*file && (*file == '/' || *folder));
    out->file = sm_arena_strf(cli->arena, "%s%s%s", folder, *folder ? "/" : "", file);
    SM_TRY(sm_pipeline_open(cli->env.stores, out->file, &p, e));
    out->pipeline = sm_arena_str(cli->arena, sm_pipeline_name(p));
    const sm_status st = find_due(cli, o, p, out, e);
    sm_pipeline_close(p);
    return st;
}

/* ---- runs ------------------------------------------------------------------------------------ */

/* Is a backfill of that interval under way already? Then it is not queued twice. */
static bool is_there(const sm_run_row *rows, int64_t n, const sm_due *due)
{
    for (int64_t i = 0; i < n; i++) {
        if (rows[i].kind == SM_RUN_BACKFILL &&
            rows[i].interval.start_us == due->interval.start_us) {
            return true;
        }
    }
    return false;
}

static sm_status queue_all(smi_cli *cli, sm_state *s, const span *of, sm_error *e)
{
    SM_ASSERT(of->n > 0 && of->file.data[0] == '/');
    const sm_run_filter alive = {.pipeline = of->pipeline,
                                 .states = 1u << SM_RUN_STATE_QUEUED | 1u << SM_RUN_STATE_RUNNING};
    sm_run_row *rows = NULL;
    int64_t n = 0;

    SM_TRY(sm_state_runs(s, &alive, cli->arena, &rows, &n, e));
    for (int64_t i = 0; i < of->n; i++) {
        const sm_run_new run = {.pipeline = of->pipeline,
                                .file = of->file,
                                .date = of->due[i].date,
                                .interval = of->due[i].interval,
                                .kind = SM_RUN_BACKFILL};
        if (!is_there(rows, n, &of->due[i])) {
            SM_TRY(sm_state_queue(s, &run, cli->arena, NULL, e));
        }
    }
    return SM_OK;
}

/* The runs of the backfill that are queued or running, and those that failed since. */
static sm_status count(sm_state *s, const span *of, int64_t since_us, int64_t *left,
                       int64_t *failed, sm_error *e)
{
    sm_arena *a = sm_arena_new(NULL);
    const sm_run_filter filter = {.pipeline = of->pipeline};
    sm_run_row *rows = NULL;
    int64_t n = 0;
    const sm_status st = sm_state_runs(s, &filter, a, &rows, &n, e);

    *left = *failed = 0;
    for (int64_t i = 0; i < n; i++) {
        const bool is_ours = rows[i].kind == SM_RUN_BACKFILL && sm_str_eq(rows[i].file, of->file);
        *left += is_ours && rows[i].state <= SM_RUN_STATE_RUNNING;
        *failed += is_ours && rows[i].state > SM_RUN_STATE_SUCCESS && rows[i].ended_us >= since_us;
    }
    sm_arena_free(a);
    return st;
}

static void say(void *ctx, const char *line)
{
    const smi_cli *cli = ctx;

    if (!cli->globals.quiet) {
        fprintf(stderr, "%s\n", line);
    }
}

/* Waits for the scheduler that makes the runs. */
static sm_status wait_for_others(smi_cli *cli, sm_state *s, const span *of, int64_t since_us,
                                 sm_error *e)
{
    SM_ASSERT(since_us > 0);
    int64_t left = 1, failed = 0;

    while (left > 0) {
        if (sm_cancel_is_set(cli->env.cancel)) {
            return sm_fail(e, SM_INTERRUPTED,
                           "not waited for; the scheduler goes on with the runs");
        }
        sm_sleep_ms(200);
        SM_TRY(count(s, of, since_us, &left, &failed, e));
    }
    return SM_OK;
}

/* Makes the runs itself. */
static sm_status run_all(smi_cli *cli, const options *o, const span *of, sm_error *e)
{
    SM_ASSERT(of->n > 0);
    const int64_t parallel = smi_given_or(o->parallel, 1);
    const sm_str arguments[] = {
        SM_STR("--memory-limit"),
        sm_arena_strf(cli->arena, "%zu", sm_engine_memory_limit(cli->engine) / (size_t)parallel)};

    SM_TRY(sm_scheduler_run(&(sm_scheduler_opts){.stores = cli->env.stores,
                                                 .files = &of->file,
                                                 .n_files = 1,
                                                 .max_runs = (int32_t)parallel,
                                                 .arguments = arguments,
                                                 .n_arguments = SM_COUNT(arguments),
                                                 .is_backfill = true,
                                                 .cancel = cli->env.cancel,
                                                 .say = say,
                                                 .ctx = cli},
                            e));
    if (sm_cancel_is_set(cli->env.cancel)) {
        return sm_fail(e, SM_INTERRUPTED,
                       "interrupted; smelt up, or the same command, goes on with the runs");
    }
    return SM_OK;
}

static sm_status make_runs(smi_cli *cli, const options *o, sm_state *s, const span *of, sm_error *e)
{
    const int64_t since_us = sm_now_us();
    sm_scheduler_status other = {0};
    int64_t left = 0, failed = 0;

    SM_TRY(sm_scheduler_look(s, &other, e));
    if (other.is_alive && o->parallel != SMI_NOT_GIVEN) {
        return sm_fail(e, SM_USAGE,
                       "--parallel is for a backfill without a scheduler: process %" PRId64
                       " runs as many at once as max_active_runs of the pipeline says",
                       other.pid);
    }
    SM_TRY(queue_all(cli, s, of, e));
    SM_TRY(other.is_alive ? wait_for_others(cli, s, of, since_us, e) : run_all(cli, o, of, e));
    SM_TRY(count(s, of, since_us, &left, &failed, e));
    if (failed > 0) {
        sm_fail(e, SM_IO, "%" PRId64 " of %" PRId64 " runs have failed or were cancelled", failed,
                of->n);
        sm_error_todo(e, "smelt runs lists them, with their errors.");
        return SM_IO;
    }
    if (!cli->globals.quiet) {
        fprintf(stderr, "%" PRId64 " runs done\n", of->n);
    }
    return SM_OK;
}

/* ---- the command ----------------------------------------------------------------------------- */

static void preview(smi_cli *cli, const span *of)
{
    sm_buf out = {0};
    sm_json_writer w = {.out = &out};

    if (!cli->globals.json) {
        for (int64_t i = 0; i < of->n; i++) {
            printf("%.*s\n", SM_STR_ARG(of->due[i].date));
        }
        return;
    }
    sm_json_begin_array(&w);
    for (int64_t i = 0; i < of->n; i++) {
        sm_json_put_text(&w, of->due[i].date);
    }
    sm_json_end_array(&w);
    smi_answer_print(cli, &w);
}

static sm_status backfill(smi_cli *cli, const void *opts, char **args, int n_args, sm_error *e)
{
    const options *o = opts;
    const int64_t parallel = smi_given_or(o->parallel, 1);
    span of = {0};
    sm_state *s = NULL;

    SM_ASSERT(n_args == 1);
    if (parallel < 1 || parallel > 64) {
        return sm_fail(e, SM_USAGE, "--parallel is a number from 1 to 64");
    }
    SM_TRY(read_span(cli, o, args[0], &of, e));
    if (o->is_dry) {
        preview(cli, &of);
        return SM_OK;
    }
    SM_TRY(sm_state_open(sm_state_folder(of.file, cli->arena), true, &s, e));
    const sm_status st = make_runs(cli, o, s, &of, e);
    sm_state_close(s);
    return st;
}

const smi_command smi_command_backfill = {
    .name = "backfill",
    .usage = "PIPELINE --from D --to D [--dry-run] [--reverse] [--parallel N]",
    .summary = "Runs a pipeline for past intervals of its schedule.",
    .details = "Those whose logical date is in the span, both days included; without a schedule, "
               "days.\n"
               "\n"
               "  smelt backfill pipelines/sales/delta.yaml --from 2022-04-01 --to 2022-04-30\n",
    .options = option_table,
    .opts_bytes = sizeof(options),
    .min_args = 1,
    .max_args = 1,
    .run = backfill,
};
