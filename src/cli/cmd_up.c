/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/cmd_up.c: `smelt up PIPELINE...`: the scheduler, here or left running (--detach).
 *
 * Detach  The scheduler is the same command, started as a process with a log. This one waits for
 *         the line in it that says that the scheduler is up, or for its end. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/process.h"
#include "base/time.h"
#include "cli/cli_int.h"
#include "schedule/schedule.h"

#define LEAST_MEMORY ((size_t)96000000) /* of a run */
#define MAX_RUNS     2
#define UP_LINE      " up: " /* what the scheduler says when it has read all, behind the time */

typedef struct options {
    bool is_detached;
    int64_t max_runs;
} options;

static const smi_opt option_table[] = {
    {"--detach -d", SMI_OPT_FLAG, NULL, "leave it running, and return once it is up",
     offsetof(options, is_detached)},
    {"--max-runs", SMI_OPT_I64, "N",
     "runs at once, of all pipelines; they share the memory limit (default: 2)",
     offsetof(options, max_runs)},
    {0},
};

/* ---- in the foreground ----------------------------------------------------------------------- */

static void say(void *ctx, const char *line)
{
    char now[SM_TIME_TEXT_BYTES];

    (void)ctx;
    sm_format_timestamp(sm_now_us() / 1000000 * 1000000, now);
    fprintf(stderr, "%s %s\n", now, line);
}

static sm_status schedule(smi_cli *cli, const options *o, char **args, int n_args, sm_error *e)
{
    const int64_t max_runs = smi_given_or(o->max_runs, MAX_RUNS);
    SM_ASSERT(n_args > 0 && max_runs > 0);
    const size_t share = sm_engine_memory_limit(cli->engine) / (size_t)max_runs;
    sm_str *files = SM_NEW_ARRAY(cli->arena, sm_str, n_args);
    sm_str arguments[4] = {
        SM_STR("--memory-limit"),
        sm_arena_strf(cli->arena, "%zu", share > LEAST_MEMORY ? share : LEAST_MEMORY)};
    int32_t n_arguments = 2;

    if (cli->globals.threads != SMI_NOT_GIVEN) {
        arguments[n_arguments++] = SM_STR("--threads");
        arguments[n_arguments++] = sm_arena_strf(cli->arena, "%d", (int)cli->globals.threads);
    }
    for (int i = 0; i < n_args; i++) {
        files[i] = sm_str_of(args[i]);
    }
    return sm_scheduler_run(&(sm_scheduler_opts){.stores = cli->env.stores,
                                                 .files = files,
                                                 .n_files = n_args,
                                                 .max_runs = (int32_t)max_runs,
                                                 .arguments = arguments,
                                                 .n_arguments = n_arguments,
                                                 .cancel = cli->env.cancel,
                                                 .say = say},
                            e);
}

/* ---- left running ---------------------------------------------------------------------------- */

/* The log of the scheduler, beside the state; it is added to. */
static sm_status open_log(smi_cli *cli, const char *file, char **path, int *fd, sm_error *e)
{
    const sm_str folder = sm_state_folder(sm_str_of(file), cli->arena);
    const char *state = sm_arena_printf(cli->arena, "%.*s", SM_STR_ARG(folder));

    *path = sm_arena_printf(cli->arena, "%s/scheduler.log", state);
    if (mkdir(state, 0777) != 0 && errno != EEXIST) {
        return sm_fail_errno(e, errno, "could not make the folder %s", state);
    }
    *fd = open(*path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    return *fd >= 0 ? SM_OK : sm_fail_errno(e, errno, "could not open the log %s", *path);
}

/* What is in the log from a byte on. */
static const char *read_log(smi_cli *cli, int fd, off_t from)
{
    SM_ASSERT(fd >= 0 && from >= 0);
    char *text = sm_arena_alloc(cli->arena, 8192);

    return pread(fd, text, 8191, from) > 0 ? text : "";
}

/* Waits until the log says that it is up. SM_CONFLICT and others as its exit code says. */
static sm_status wait_until_up(smi_cli *cli, sm_process *p, int fd, off_t from, sm_error *e)
{
    sm_process_end end = {0};

    while (!sm_process_wait(p, 50, &end)) {
        if (strstr(read_log(cli, fd, from), UP_LINE)) {
            return SM_OK;
        }
    }
    const sm_status st = end.exit_code == sm_status_exit(SM_CONFLICT) ? SM_CONFLICT
                         : end.exit_code == sm_status_exit(SM_USAGE)  ? SM_USAGE
                                                                      : SM_IO;
    fputs(read_log(cli, fd, from), stderr);
    return sm_fail(e, st, "the scheduler has ended at once, as said above");
}

static sm_status detach(smi_cli *cli, const options *o, char **args, int n_args, sm_error *e)
{
    const char **argv = SM_NEW_ARRAY(cli->arena, const char *, n_args + 8);
    sm_process *process = NULL;
    char *path = NULL;
    int fd = -1, n = 0;

    argv[n++] = "/proc/self/exe";
    argv[n++] = "up";
    for (int i = 0; i < n_args; i++) {
        argv[n++] = args[i];
    }
    argv[n++] = "--max-runs";
    argv[n++] = sm_arena_printf(cli->arena, "%d", (int)smi_given_or(o->max_runs, MAX_RUNS));
    SM_ASSERT(n == n_args + 4);
    if (cli->globals.memory_limit > 0) {
        argv[n++] = "--memory-limit";
        argv[n++] = sm_arena_printf(cli->arena, "%zu", cli->globals.memory_limit);
    }
    SM_TRY(open_log(cli, args[0], &path, &fd, e));
    const off_t from = lseek(fd, 0, SEEK_END);
    sm_status st = sm_process_start(&(sm_process_opts){.argv = argv, .output = fd}, &process, e);
    if (st == SM_OK) {
        st = wait_until_up(cli, process, fd, from, e);
        if (st == SM_OK) {
            fprintf(stderr, "the scheduler is up: process %d, log %s\n",
                    (int)sm_process_id(process), path);
        }
        sm_process_leave(process);
    }
    close(fd);
    return st;
}

/* ---- the command ----------------------------------------------------------------------------- */

static sm_status up(smi_cli *cli, const void *opts, char **args, int n_args, sm_error *e)
{
    const options *o = opts;
    const int64_t max_runs = smi_given_or(o->max_runs, MAX_RUNS);

    if (max_runs < 1 || max_runs > 256) {
        return sm_fail(e, SM_USAGE, "--max-runs %d is not a number from 1 to 256", (int)max_runs);
    }
    return o->is_detached ? detach(cli, o, args, n_args, e) : schedule(cli, o, args, n_args, e);
}

const smi_command smi_command_up = {
    .name = "up",
    .usage = "PIPELINE... [--detach] [--max-runs N]",
    .summary = "Runs pipelines when they are due.",
    .details = "The scheduler stays in the foreground and says what it does; Ctrl-C, SIGTERM or\n"
               "`smelt down` end it. What it knows is in .smelt beside the pipelines: killed and\n"
               "started again it goes on.\n"
               "\n"
               "  smelt up pipelines/sales/*.yaml\n",
    .options = option_table,
    .opts_bytes = sizeof(options),
    .min_args = 1,
    .max_args = 1000,
    .run = up,
};
