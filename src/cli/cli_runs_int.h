/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/cli_runs_int.h: what smelt run, smelt runs and smelt rollback share: the state of runs. */
#ifndef SM_CLI_CLI_RUNS_INT_H
#define SM_CLI_CLI_RUNS_INT_H

#include "cli/cli_int.h"
#include "schedule/schedule.h"

/* ---- a run notes itself (cli_history.c) ------------------------------------------------------ */

/* The notes of this process; {0}: it keeps none. */
typedef struct smi_history {
    sm_state *state;
    sm_run_notes *notes;
    bool was_queued; /* the run has its id from --run-id */
} smi_history;

/**
 * Begins to note the run of a pipeline file in the state beside it, and completes its options: id,
 * interval, listener, what earlier processes have finished.
 *
 * Shape     run_id: of a run that may be in the state already; NULL: a new one. `new` is what is
 *           kept of it, without `file`. Files that are not local are not noted
 * Owner     *h is to be ended by smi_history_end(), also after a failure
 * Errors    with a run_id all of sm_state_open() and sm_run_notes_open(): two processes must not
 *           make one run. Without, a history that cannot be kept is said on stderr, and is no error
 */
sm_status smi_history_begin(smi_cli *cli, const char *file, const char *run_id, sm_run_new new,
                            sm_run_opts *opts, smi_history *h, sm_error *e) SM_MUST_USE;
/** Notes how the run ended: with `st`, and why. Takes {0}. */
void smi_history_end(smi_cli *cli, smi_history *h, const sm_run_report *report, sm_status st,
                     const sm_error *why);

/* ---- the state of a command (cli_history.c) -------------------------------------------------- */

/** Opens the state of a project: a pipeline file or a folder; NULL: this folder. SM_NOT_FOUND where
 * no run was noted there. */
sm_status smi_state_open(smi_cli *cli, const char *project, sm_state **out,
                         sm_error *e) SM_MUST_USE;
/** The one run whose id is or begins so. SM_NOT_FOUND; SM_INVALID: several, with their ids. */
sm_status smi_state_find(smi_cli *cli, sm_state *s, const char *id, sm_run_row *out,
                         sm_error *e) SM_MUST_USE;

#endif
