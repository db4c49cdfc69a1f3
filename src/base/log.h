/* SPDX-License-Identifier: Apache-2.0
 *
 * base/log.h: the log for operators of smelt, one line a message. It is off unless the owner of an
 * engine gives a logger; the program's logger writes to stderr. Warnings for the user do not go
 * here but into the run's report.
 * Threads: every function may be called from any thread. */
#ifndef SM_BASE_LOG_H
#define SM_BASE_LOG_H

#include "base/str.h"

typedef enum sm_log_level { SM_LOG_ERROR, SM_LOG_WARN, SM_LOG_INFO, SM_LOG_DEBUG } sm_log_level;

/* Where lines go. A logger must not change while an engine uses it. */
typedef struct sm_logger {
    /* Gets a whole line, "2022-04-01 17:05:00 warn …\n". Called from any thread. NULL: no log. */
    void (*write)(void *ctx, sm_log_level level, sm_str line);
    void *ctx;
    sm_log_level level; /* the least severe level that is written */
} sm_logger;

/** A function for sm_logger.write: writes to stderr. Each line is one write(2), so that lines of
 * several threads do not mix. */
void sm_log_to_stderr(void *ctx, sm_log_level level, sm_str line);
/** Finds the level of that name ("error", "warn", "info", "debug"); false if there is none. */
bool sm_log_level_of(sm_str name, sm_log_level *out);

/** Is this level written? Ask first if the message is costly to make. `l` may be NULL: false. */
bool sm_log_on(const sm_logger *l, sm_log_level level);
/**
 * Writes one message if its level is on.
 *
 * Shape     one line of at most 1,024 bytes with time, level and LF; a longer one is cut and ends
 *           with "..."; control characters become '?'
 * Threads   any thread
 */
void sm_log(const sm_logger *l, sm_log_level level, const char *fmt, ...) SM_PRINTF(3, 4);

#endif
