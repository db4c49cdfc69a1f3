/* SPDX-License-Identifier: Apache-2.0
 *
 * schedule/scheduler_int.h: what the files of the scheduler share: its pipeline files, its states,
 * and the processes that it has started. One thread does it all. */
#ifndef SM_SCHEDULE_SCHEDULER_INT_H
#define SM_SCHEDULE_SCHEDULER_INT_H

#include "base/process.h"
#include "schedule/schedule_int.h"

#define SMI_MOST_DUE    100000 /* intervals that are listed at once */
#define SMI_MOST_QUEUED 16  /* runs that catch up and wait, of a pipeline: the rest waits in time */
#define SMI_MOST_LOST   3   /* processes of a run that may be lost before it has failed */
#define SMI_MOST_MET    5   /* processes of a run that met another writer, and are tried again */
#define SMI_MOST_GUESTS 256 /* pipelines of a state that are no pipelines of its scheduler */
#define SMI_GRACE_US    INT64_C(30000000) /* from SIGTERM to SIGKILL */
#define SMI_TICK_MS     1000              /* how often files and states are looked at */

/** The first interval of a schedule that ends after an instant. Its text is in `a`. */
sm_due smi_schedule_next(const sm_pipeline_times *t, int64_t after_us, sm_arena *a);

/* ---- what the scheduler has ------------------------------------------------------------------ */

/* A source whose files start runs. */
typedef struct smi_watched {
    sm_watched_source def;
    int inotify;     /* its number among the folders that the system tells of; −1: none */
    uint64_t print;  /* of the files for which a run was queued last */
    int64_t look_us; /* when it is looked at next */
} smi_watched;

/* A pipeline file. What was read last is kept while the file cannot be read. */
typedef struct smi_planned {
    sm_str path;     /* absolute */
    int32_t place;   /* which state it has */
    sm_arena *arena; /* of what was read */
    sm_pipeline *p;  /* NULL: it was never read */
    bool is_guest;   /* no pipeline of this scheduler: only its queued runs are started */
    sm_pipeline_times times;
    smi_watched *watched;
    int32_t n_watched;
    uint64_t print;   /* of its files, when they were read last */
    uint64_t trouble; /* what was said of it last: it cannot be read, and its runs wait; 0: none */
    uint64_t queue_trouble; /* the same of its queue */
    int64_t dealt_us;       /* intervals that end by then are dealt with; 0: it is not known yet */
    int32_t n_queued, n_active; /* runs, as the state had them last */
} smi_planned;

/* A state, and what was said of it. */
typedef struct smi_place {
    sm_state *state;
    uint64_t trouble;       /* what was said of it last, so that it is not said again; 0: none */
    uint64_t start_trouble; /* the same of starting a run */
    bool is_dirty;          /* its runs are to be looked at */
} smi_place;

/* A process of a run that this scheduler has started. */
typedef struct smi_child {
    sm_process *process;
    int32_t place, file;
    int64_t number; /* of its run */
    sm_str run;
    char id[256];
    int32_t processes; /* that the run had before */
    int64_t asked_us;  /* when it was asked to end; 0: it was not */
    bool is_killed;
} smi_child;

typedef struct smi_scheduler {
    const sm_scheduler_opts *o;
    sm_arena *arena; /* as long as the scheduler */
    sm_arena *tick;  /* as long as one turn of its loop */
    smi_planned *files;
    int32_t n_files;
    smi_place *places;
    int32_t n_places;
    smi_child *children; /* room for `max_runs` */
    int32_t n_children, max_runs;
    int32_t n_adopted; /* runs that a scheduler before this one has started */
    bool is_short;     /* the system had no room for a process: it is tried again */
    bool is_ending;    /* it starts nothing any more */
    int inotify;       /* −1: the system has none to give */
} smi_scheduler;

int64_t smi_scheduler_now(const smi_scheduler *s);
/** Says a line to people. */
void smi_scheduler_say(const smi_scheduler *s, const char *fmt, ...) SM_PRINTF(2, 3);
/** Says what has failed, once: `*said` remembers it until it is another failure, or none (SM_OK).
 */
void smi_scheduler_tell(const smi_scheduler *s, uint64_t *said, const char *what, sm_status st,
                        const sm_error *e);

/* ---- pipeline files (scheduler_file.c) ------------------------------------------------------- */

/** Reads a file, and keeps what was read before where that fails. */
sm_status smi_planned_read(smi_scheduler *s, smi_planned *f, sm_error *e) SM_MUST_USE;
/** Reads those files again that have changed, and says so. */
void smi_planned_reload(smi_scheduler *s);
/** Do the pipelines fit together? SM_EXISTS: two of one name; SM_NAME: `after` names none of them;
 * SM_INVALID: they wait for each other in a circle. */
sm_status smi_planned_check(const smi_scheduler *s, sm_error *e) SM_MUST_USE;
void smi_planned_close(smi_planned *f);

/* ---- what is due (scheduler_queue.c) --------------------------------------------------------- */

/** Queues the runs that are due now. */
void smi_queue_due(smi_scheduler *s);
/** When the next run is due; INT64_MAX: nothing is. */
int64_t smi_queue_next(const smi_scheduler *s);
/** Takes what the system told of watched folders. */
void smi_watch_events(smi_scheduler *s);

/* ---- processes of runs (scheduler_runs.c) ---------------------------------------------------- */

/** Takes what processes have done since, and starts those of queued and lost runs. */
void smi_runs_look(smi_scheduler *s);
/** Asks all processes to end, and waits for them. */
void smi_runs_end(smi_scheduler *s);
/** How many runs are queued or running, as they were seen last. */
int64_t smi_runs_left(const smi_scheduler *s);

#endif
