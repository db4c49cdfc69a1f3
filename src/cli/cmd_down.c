/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/cmd_down.c: `smelt down [PROJECT]`: asks the scheduler of a project to end, and waits for it.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>

#include "base/time.h"
#include "cli/cli_int.h"
#include "schedule/schedule.h"

#define WAIT_MS 40000 /* the scheduler waits 30 s for its runs */

static sm_status end_scheduler(smi_cli *cli, sm_state *s, sm_error *e)
{
    sm_scheduler_status at = {0};

    SM_TRY(sm_scheduler_look(s, &at, e));
    if (!at.is_alive) {
        fputs("no scheduler is up\n", stderr);
        return SM_OK;
    }
    SM_ASSERT(at.pid > 0);
    if (kill((pid_t)at.pid, SIGTERM) != 0) {
        return sm_fail_errno(e, errno, "could not end the scheduler, process %d", (int)at.pid);
    }
    for (int waited_ms = 0; at.is_alive && waited_ms < WAIT_MS; waited_ms += 50) {
        if (sm_cancel_is_set(cli->env.cancel)) {
            return sm_fail(e, SM_INTERRUPTED, "interrupted; the scheduler was asked to end");
        }
        sm_sleep_ms(50);
        SM_TRY(sm_scheduler_look(s, &at, e));
    }
    if (at.is_alive) {
        return sm_fail(e, SM_TIMEOUT, "the scheduler has not ended in %d s: process %d",
                       WAIT_MS / 1000, (int)at.pid);
    }
    fputs("the scheduler is down\n", stderr);
    return SM_OK;
}

static sm_status down(smi_cli *cli, const void *opts, char **args, int n_args, sm_error *e)
{
    const sm_str folder = sm_state_folder(sm_str_of(n_args > 0 ? args[0] : "."), cli->arena);
    sm_state *s = NULL;

    (void)opts;
    SM_ASSERT(n_args <= 1);
    sm_status st = sm_state_open(folder, false, &s, e);
    if (st == SM_NOT_FOUND) {
        fputs("no scheduler is up\n", stderr);
        return SM_OK;
    }
    if (st == SM_OK) {
        st = end_scheduler(cli, s, e);
        sm_state_close(s);
    }
    return st;
}

static const smi_opt option_table[] = {{0}};

const smi_command smi_command_down = {
    .name = "down",
    .usage = "[PROJECT]",
    .summary = "Ends the scheduler.",
    .details = "PROJECT is a pipeline file, or the folder that pipelines are in (default: this "
               "one).\nRuns under way are asked to end; the next scheduler goes on with them.\n",
    .options = option_table,
    .opts_bytes = 1,
    .min_args = 0,
    .max_args = 1,
    .run = down,
};
