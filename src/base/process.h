/* SPDX-License-Identifier: Apache-2.0
 *
 * base/process.h: other programs: started in a group of their own, waited for, ended. For tasks
 * that are commands, and for the scheduler's runs.
 * Threads: one thread at a time a process. */
#ifndef SM_BASE_PROCESS_H
#define SM_BASE_PROCESS_H

#include "base/arena.h"

typedef struct sm_process sm_process;

typedef struct sm_process_opts {
    const char *const *argv; /* ended by NULL; a first word without '/' is looked up in PATH */
    const sm_pair *env;      /* set beside the variables of this process, or in their place */
    int32_t n_env;
    const char *folder;  /* where it runs; NULL: here */
    int output;          /* descriptor that takes what it prints; −1: this process's stderr */
    size_t memory_bytes; /* of address space that each of its processes may have; 0: no limit */
    int64_t cpu_seconds; /* of each of its processes; 0: no limit */
} sm_process_opts;

/**
 * Starts a program in a process group of its own. It reads nothing (/dev/null), and has no open
 * file of this process but its output.
 *
 * Owner     sm_process_close() *out
 * Errors    SM_NOT_FOUND, SM_DENIED: there is no such program, or it cannot be run; SM_IO,
 *           SM_NOMEM: the system refuses
 */
sm_status sm_process_start(const sm_process_opts *o, sm_process **out, sm_error *e) SM_MUST_USE;
/** Its id, which is also its group's. */
int64_t sm_process_id(const sm_process *p);
/** A descriptor that poll(2) finds readable when it has ended; as long as the process. */
int sm_process_descriptor(const sm_process *p);

/* How a program ended. */
typedef struct sm_process_end {
    int exit_code; /* −1: by a signal */
    int signal;    /* 0: none */
} sm_process_end;
/** Waits for its end, for at most wait_ms. Returns false if that passed; *end is set once it is
 * true, and stays so. */
bool sm_process_wait(sm_process *p, int64_t wait_ms, sm_process_end *end);
/** Sends a signal to all of its group, also once its first process has ended. */
void sm_process_signal(const sm_process *p, int number);
/** Kills the group if the program has not ended, and frees. Takes NULL. */
void sm_process_close(sm_process *p);
/** Frees, and leaves the program to itself. */
void sm_process_leave(sm_process *p);
/** "exit code 3", "signal 9 (SIGKILL)"; in `a`. */
sm_str sm_process_end_text(const sm_process_end *end, sm_arena *a);

#endif
