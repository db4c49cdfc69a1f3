/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/cli_env.c: makes the engine of a command, as its options and the environment say, and lets
 * Ctrl-C cancel the command. Called by main.c. */
#include <signal.h>
#include <unistd.h>

#include "base/text.h"
#include "cli/cli_int.h"

/* With at least so much memory, bytes that lie unused on the heap do not matter. */
#define ROOMY_BYTES ((size_t)1000 * 1000 * 1000)

/* ---- Ctrl-C ---------------------------------------------------------------------------------- */

/* The only variable of the process: a signal handler can reach no other. */
static sm_cancel interrupted;
_Static_assert(ATOMIC_BOOL_LOCK_FREE == 2, "a signal handler may set it");

static void on_interrupt(int signal_number)
{
    if (sm_cancel_is_set(&interrupted)) {
        _exit(sm_status_exit(SM_INTERRUPTED)); /* the second signal; any kill leaves a lake whole */
    }
    sm_cancel_set(&interrupted);
}

/* Catches Ctrl-C, kill and a terminal that is closed. A signal that is ignored already (by nohup,
 * or by a shell for a command in the background) stays ignored. */
static void catch_interrupts(void)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action = {.sa_handler = on_interrupt, .sa_flags = SA_RESTART};
    struct sigaction before;

    sigemptyset(&action.sa_mask);
    for (int i = 0; i < SM_COUNT(signals); i++) {
        if (sigaction(signals[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN) {
            sigaction(signals[i], &action, NULL);
        }
    }
}

/* ---- the engine ------------------------------------------------------------------------------ */

/* Takes each setting from the options, else from the environment, else the engine's default. */
static sm_status read_opts(const smi_globals *g, sm_engine_opts *out, sm_error *e)
{
    const char *limit = sm_env("SMELT_MEMORY_LIMIT");
    const char *threads = sm_env("SMELT_THREADS");
    size_t bytes = g->memory_limit;

    *out = sm_engine_defaults();
    if (!bytes && limit && !sm_parse_size(sm_str_of(limit), &bytes)) {
        return sm_fail(e, SM_USAGE, "SMELT_MEMORY_LIMIT \"%s\" is not a size, like 512MB", limit);
    }
    out->memory_limit = bytes ? bytes : out->memory_limit;
    if (g->threads != SMI_NOT_GIVEN) {
        out->threads = g->threads;
    } else if (threads && !sm_parse_i64(sm_str_of(threads), &out->threads)) {
        return sm_fail(e, SM_USAGE, "SMELT_THREADS \"%s\" is not a whole number", threads);
    }
    if (sm_log_level_of(sm_str_of(sm_env("SMELT_LOG")), &out->log.level)) {
        out->log.write = sm_log_to_stderr;
    }
    out->spill_dir = sm_str_of(g->spill_dir ? g->spill_dir : sm_env("SMELT_SPILL_DIR"));
    return SM_OK;
}

sm_status smi_cli_open(smi_cli *cli, sm_error *e)
{
    sm_engine_opts opts;

    SM_ASSERT(cli->arena && !cli->engine); /* opened once */
    SM_TRY(read_opts(&cli->globals, &opts, e));
    if (opts.memory_limit >= ROOMY_BYTES) {
        sm_memory_tune_roomy();
    }
    SM_TRY(sm_engine_new(&opts, &cli->engine, e));
    catch_interrupts();
    sm_exec_env_init(&cli->env, cli->engine,
                     &(sm_exec_share){.cancel = &interrupted, .progress = &cli->progress});
    return SM_OK;
}

void smi_cli_close(smi_cli *cli)
{
    if (cli->device) {
        fclose(cli->device); /* unbuffered: all that was written has been seen to be */
    }
    SM_ASSERT(!cli->painter); /* its thread reads what is freed below */
    sm_exec_env_release(&cli->env);
    sm_engine_free(cli->engine);
}
